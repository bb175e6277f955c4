"""`hexhail keys`: key files that are made, rotated and followed by a running process."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from api.auth.token_keys import TokenKeys
from api.auth.tokens import Role, TokenInvalid, Tokens
from hexhail.runtime.settings import Settings
from hexhail.runtime.token_keys import TokenKeysWatch, load_issuers, load_token_keys
from tests.hexhail.command_line import hexhail

SECRETS = {"shared": "a secret of the tests that is long enough"}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    file = tmp_path / "keys.json"
    assert hexhail("keys", "new", str(file)).returncode == 0
    return file


def ids(file: Path) -> list[str]:
    return [entry["kid"] for entry in json.loads(file.read_text())["keys"]]


def settings(file: Path | None, **more: Any) -> Settings:
    return Settings(token_secrets=SECRETS, token_keys_file=file, **more)


def test_a_new_key_file_is_for_its_owner_alone_and_is_not_overwritten(file: Path) -> None:
    assert file.stat().st_mode & 0o777 == 0o600
    before = file.read_bytes()
    refused = hexhail("keys", "new", str(file))
    assert refused.returncode == 1
    assert "keys rotate" in refused.stderr
    assert file.read_bytes() == before


@pytest.mark.parametrize("algorithm", ["EdDSA", "ES256"])
def test_a_rotated_key_signs_after_its_time_and_the_old_one_can_be_dropped_then(file: Path, algorithm: str) -> None:
    (old,) = ids(file)
    assert hexhail("keys", "rotate", str(file), "--algorithm", algorithm, "--after-s", "600").returncode == 0
    _, later = ids(file)
    refused = hexhail("keys", "drop", str(file), "--kid", old)
    assert (refused.returncode, ids(file)) == (1, [old, later])
    assert "signs now" in refused.stderr
    assert hexhail("keys", "rotate", str(file), "--algorithm", algorithm, "--after-s", "0").returncode == 0
    assert hexhail("keys", "drop", str(file), "--kid", old).returncode == 0
    assert old not in ids(file)


def test_the_list_shows_who_signs_and_no_secret(file: Path) -> None:
    hexhail("keys", "rotate", str(file))
    listed = hexhail("keys", "list", str(file)).stdout
    old, later = ids(file)
    assert [line.split("│")[-2].strip() for line in listed.splitlines() if old in line or later in line] == [
        "signs",
        "verifies",
    ]
    assert not any(entry["d"] in listed for entry in json.loads(file.read_text())["keys"])


def test_a_running_process_follows_the_file_and_keeps_its_keys_while_the_file_is_wrong(file: Path) -> None:
    tokens = Tokens(load_token_keys(settings(file)))
    watch = TokenKeysWatch(settings(file), tokens.use)
    old = tokens.issue(Role.RIDER, "alice")
    hexhail("keys", "rotate", str(file), "--after-s", "0")
    watch.look()
    new = tokens.issue(Role.RIDER, "alice")
    assert tokens.verify(old).principal == tokens.verify(new).principal
    good = file.read_text()
    for wrong in ("{", '{"keys": []}'[:-2]):
        file.write_text(wrong)
        watch.look()
        assert tokens.verify(new)
    file.unlink()
    watch.look()
    assert tokens.verify(new)
    file.write_text(good)
    hexhail("keys", "drop", str(file), "--kid", ids(file)[0])
    watch.look()
    with pytest.raises(TokenInvalid):
        tokens.verify(old)
    assert tokens.verify(new)


def test_a_rotation_between_the_start_of_a_process_and_its_watch_is_seen(file: Path) -> None:
    tokens = Tokens(load_token_keys(settings(file)))
    hexhail("keys", "rotate", str(file), "--after-s", "0")
    watch = TokenKeysWatch(settings(file), tokens.use)
    elsewhere = Tokens(load_token_keys(settings(file))).issue(Role.RIDER, "alice")
    with pytest.raises(TokenInvalid):
        tokens.verify(elsewhere)
    watch.look()
    assert tokens.verify(elsewhere)


def test_a_process_without_the_key_file_refuses_to_start_and_says_which_file(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"HEXHAIL_TOKEN_KEYS_FILE .*missing\.json: .*No such file"):
        load_token_keys(settings(tmp_path / "missing.json"))


def test_without_a_key_file_the_shared_secrets_sign() -> None:
    keys = load_token_keys(settings(None))
    assert isinstance(keys, TokenKeys)
    assert keys.signer(0.0).key_id == "shared"
    assert keys.public_set() == {"keys": []}


ISSUER = '[[oidc.issuers]]\nname = "idp"\nissuer = "https://id.example"\naudience = "app"\nrole = "rider"\n'


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            ISSUER.replace('"rider"', '"admin"'),
            r"oidc.toml:5: \[oidc.issuers.0\] role is 'admin'; expected one of rider, driver, operator",
        ),
        (ISSUER.replace("https", "http"), "issuer needs https"),
        (ISSUER + 'algorithms = ["HS256"]\n', "algorithms needs some of RS256, ES256, EdDSA"),
        (ISSUER + "audeince = 1\n", r"audeince is not a key of this section; expected audience, perhaps"),
        (ISSUER + ISSUER, "issuers need a name of their own each"),
        (ISSUER.replace('audience = "app"\n', ""), r"audience is missing"),
        ("[oidx]\n", r"oidc, perhaps"),
    ],
)
def test_a_wrong_file_of_issuers_is_refused_with_what_and_where(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "oidc.toml").write_text(text)
    with pytest.raises(ValueError, match=said):
        load_issuers(settings(None, oidc_file=tmp_path / "oidc.toml"))


def test_issuers_are_read_from_their_file(tmp_path: Path) -> None:
    (tmp_path / "oidc.toml").write_text(ISSUER + 'claims = {email_verified = true, groups = "staff"}\n')
    (issuer,) = load_issuers(settings(None, oidc_file=tmp_path / "oidc.toml"))
    assert (issuer.name, issuer.role, issuer.claims) == ("idp", Role.RIDER, {"email_verified": True, "groups": "staff"})
    assert load_issuers(settings(None)) == ()
