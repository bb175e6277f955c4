"""Tokens of key pairs: signed by the private half, verified by the public one, rotated without a gap."""

from __future__ import annotations

import json
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm

from api.auth.token_keys import KeySetRefused, TokenKeys, read_key_set, shared_keys
from api.auth.tokens import Principal, Role, TokenInvalid, Tokens
from kernel.keyring import KeyRing

NOW_S = 1_800_000_000.0
ALICE = Principal(Role.RIDER, "alice")
SECRETS = KeyRing({"shared": "a secret of the tests that is long enough"})


def pair(kid: str, algorithm: str = "EdDSA", **more: Any) -> dict[str, Any]:
    if algorithm == "EdDSA":
        entry = json.loads(OKPAlgorithm.to_jwk(ed25519.Ed25519PrivateKey.generate()))
    elif algorithm == "ES256":
        entry = json.loads(ECAlgorithm.to_jwk(ec.generate_private_key(ec.SECP256R1())))
    else:
        entry = json.loads(RSAAlgorithm.to_jwk(rsa.generate_private_key(65537, 2048)))
    return {**entry, "kid": kid, **more}


def keys_of(*entries: dict[str, Any], secrets: KeyRing | None = None) -> TokenKeys:
    read = read_key_set(json.dumps({"keys": list(entries)}))
    return TokenKeys([*read, *(shared_keys(secrets) if secrets else [])])


def public_half(keys: TokenKeys) -> list[Any]:
    """What somebody who knows the public page alone can verify with."""
    return read_key_set(json.dumps(keys.public_set()))


@pytest.mark.parametrize("algorithm", ["EdDSA", "ES256"])
def test_whoever_knows_the_public_page_alone_verifies_a_token_and_signs_none(algorithm: str) -> None:
    keys = keys_of(pair("1", algorithm))
    token = Tokens(keys, lambda: NOW_S).issue(Role.RIDER, "alice")
    assert jwt.get_unverified_header(token) == {"alg": algorithm, "kid": "1", "typ": "JWT"}
    elsewhere = Tokens(TokenKeys([*public_half(keys), *shared_keys(SECRETS)]), lambda: NOW_S)
    assert elsewhere.verify(token).principal == ALICE
    with pytest.raises(KeySetRefused, match="no key signs"):
        TokenKeys(public_half(keys))


@pytest.mark.parametrize("algorithm", ["EdDSA", "ES256"])
def test_the_public_page_holds_no_part_of_a_private_half(algorithm: str) -> None:
    entry = pair("1", algorithm)
    text = json.dumps(keys_of(entry, secrets=SECRETS).public_set())
    assert entry["d"] not in text
    assert "shared" not in text
    assert entry["d"] not in repr(read_key_set(json.dumps({"keys": [entry]})))


def test_a_token_signed_with_the_text_of_a_public_key_as_a_shared_secret_is_refused() -> None:
    private = ed25519.Ed25519PrivateKey.generate()
    keys = keys_of({**json.loads(OKPAlgorithm.to_jwk(private)), "kid": "1"})
    claims = {"iss": "hexhail", "aud": "hexhail.api", "sub": "alice", "role": "operator", "exp": NOW_S + 60}
    raw = serialization.Encoding.Raw, serialization.PublicFormat.Raw
    secret = private.public_key().public_bytes(*raw)
    for forged in (
        jwt.encode(claims, secret, "HS256", headers={"kid": "1"}),
        jwt.encode(claims, None, "none", headers={"kid": "1"}),
        jwt.encode(claims, ed25519.Ed25519PrivateKey.generate(), "EdDSA", headers={"kid": "1"}),
    ):
        with pytest.raises(TokenInvalid):
            Tokens(keys, lambda: NOW_S).verify(forged)
    good = jwt.encode(claims, private, "EdDSA", headers={"kid": "1"})
    assert Tokens(keys, lambda: NOW_S).verify(good).principal == Principal(Role.OPERATOR, "alice")


def test_a_new_key_verifies_before_it_signs_so_that_processes_may_take_it_over_one_after_the_other() -> None:
    old, new = pair("old"), pair("new", signs_from_s=NOW_S + 300.0)
    keys = keys_of(old, new)
    assert [keys.signer(NOW_S + s).key_id for s in (0.0, 299.0, 300.0)] == ["old", "old", "new"]
    ahead = Tokens(keys, lambda: NOW_S + 300.0).issue(Role.RIDER, "alice")
    behind = Tokens(keys, lambda: NOW_S + 297.0)
    assert behind.verify(ahead).principal == ALICE, "a process whose clock is behind knows the key already"
    assert [entry["kid"] for entry in keys.public_set()["keys"]] == ["old", "new"]


def test_a_dropped_key_has_its_tokens_refused() -> None:
    old, new = pair("old"), pair("new", signs_from_s=NOW_S - 1.0)
    tokens = Tokens(keys_of(old), lambda: NOW_S)
    token = tokens.issue(Role.RIDER, "alice")
    tokens.use(keys_of(old, new))
    assert tokens.verify(token).principal == ALICE
    tokens.use(keys_of(new))
    with pytest.raises(TokenInvalid, match="a key that is not in use"):
        tokens.verify(token)


def test_tokens_of_shared_secrets_count_beside_key_pairs_which_sign_from_then_on() -> None:
    before = Tokens(TokenKeys.of_secrets(SECRETS), lambda: NOW_S).issue(Role.RIDER, "alice")
    tokens = Tokens(keys_of(pair("1"), secrets=SECRETS), lambda: NOW_S)
    assert tokens.verify(before).principal == ALICE
    assert jwt.get_unverified_header(tokens.issue(Role.RIDER, "alice"))["kid"] == "1"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "it is no JSON: .* in line 1"),
        ("[]", "it is no JWK Set"),
        ('{"keys": [1]}', "key 1 is no JSON object"),
        (json.dumps({"keys": [pair("1"), {"kty": "OKP"}]}), 'key 2 needs a "kid"'),
        ('{"keys": [{"kid": "a", "kty": "OKP", "crv": "Ed25519", "x": "!"}]}', "key 'a' cannot be read"),
        ('{"keys": [{"kid": "a", "kty": "nonsense"}]}', "key 'a' cannot be read"),
        (json.dumps({"keys": [pair("rsa", "RS256")]}), "key 'rsa' is for RS256; expected one of EdDSA, ES256"),
        (json.dumps({"keys": [pair("1", signs_from_s="soon")]}), "no number of seconds"),
    ],
)
def test_a_key_file_that_is_wrong_is_refused_with_the_key_and_the_reason(text: str, said: str) -> None:
    with pytest.raises(KeySetRefused, match=said):
        read_key_set(text)


def test_two_keys_of_one_id_are_refused() -> None:
    with pytest.raises(KeySetRefused, match="two keys have the id 'shared'"):
        keys_of(pair("shared"), secrets=SECRETS)
