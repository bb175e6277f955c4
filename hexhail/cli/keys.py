"""`hexhail keys`: makes and rotates the key pairs that sign tokens."""

from __future__ import annotations

import json
import os
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from hexhail.cli.console import fail, out

keys_app = typer.Typer(
    help="Make, rotate and list the key pairs that sign tokens (HEXHAIL_TOKEN_KEYS_FILE).", no_args_is_help=True
)

KeyFile = Annotated[Path, typer.Argument(help="the key file, a JWK Set with private keys", show_default=False)]
Algorithm = Annotated[str, typer.Option(help="EdDSA (Ed25519) or ES256")]


@keys_app.command()
def new(file: KeyFile, algorithm: Algorithm = "EdDSA") -> None:
    """Make a key file with one key, readable by you alone; it signs at once."""
    if file.exists():
        fail(f"{file} exists: `hexhail keys rotate {file}` adds a key to it")
    key = _new_key(algorithm, time.time())
    _write(file, [key])
    out.print(f"made {key['kid']}; set HEXHAIL_TOKEN_KEYS_FILE={file} for every process that signs or verifies")


@keys_app.command()
def rotate(
    file: KeyFile,
    algorithm: Algorithm = "EdDSA",
    after_s: Annotated[
        float,
        typer.Option(min=0, help="seconds until it signs: every verifier must have the file, or its page, by then"),
    ] = 300.0,
) -> None:
    """Add a key that signs later; running processes follow within a second, and tokens of old keys still count."""
    entries, key = _read(file), _new_key(algorithm, time.time() + after_s)
    _write(file, [*entries, key])
    out.print(f"added {key['kid']}: it verifies at once and signs in {after_s:.0f} s")
    out.print("drop the old key when its last token has expired: hexhail keys drop --help", soft_wrap=True)


@keys_app.command()
def drop(file: KeyFile, kid: Annotated[str, typer.Option(help="id of the key")]) -> None:
    """Remove a key: tokens that it signed count no more, everywhere, within a second. Not the one that signs now."""
    entries = _read(file)
    left = [entry for entry in entries if entry["kid"] != kid]
    if len(left) == len(entries):
        fail(f"{file} has no key {kid!r}; it has {', '.join(entry['kid'] for entry in entries)}")
    if kid == _signer(file, entries):
        fail(f"{kid} signs now: rotate first, and drop it when the new key signs")
    _write(file, left)
    out.print(f"dropped {kid}")


@keys_app.command("list")
def list_keys(file: KeyFile) -> None:
    """List the keys: id, algorithm, since when each signs. Secrets are not shown."""
    entries = _read(file)
    signer, table = _signer(file, entries), Table("key", "algorithm", "signs from", "now")
    for entry in entries:
        signs_from = datetime.fromtimestamp(entry.get("signs_from_s", 0.0), UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
        has_private = "d" in entry
        role = "signs" if entry["kid"] == signer else "verifies"
        table.add_row(entry["kid"], entry.get("alg", ""), signs_from if has_private else "never: public half", role)
    out.print(table)


def _new_key(algorithm: str, signs_from_s: float) -> dict[str, Any]:
    """A new key pair as a JWK whose id says when it was made."""
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519
    from jwt.algorithms import ECAlgorithm, OKPAlgorithm

    if algorithm == "EdDSA":
        jwk = json.loads(OKPAlgorithm.to_jwk(ed25519.Ed25519PrivateKey.generate()))
    elif algorithm == "ES256":
        jwk = json.loads(ECAlgorithm.to_jwk(ec.generate_private_key(ec.SECP256R1())))
    else:
        fail(f"no algorithm {algorithm!r}: EdDSA or ES256")
    kid = f"{datetime.now(UTC):%Y%m%dT%H%M%S}-{os.urandom(3).hex()}"
    jwk.pop("key_ops", None)
    return {**jwk, "kid": kid, "alg": algorithm, "use": "sig", "signs_from_s": round(signs_from_s, 3)}


def _read(file: Path) -> list[dict[str, Any]]:
    """The keys of a file that can be used."""
    from api.auth.token_keys import read_key_set

    try:
        text = file.read_text(encoding="utf-8")
        read_key_set(text)
    except OSError as error:
        fail(f"{file} cannot be read: {error.strerror}; `hexhail keys new {file}` makes one")
    except ValueError as error:
        fail(f"{file}: {error}")
    entries: list[dict[str, Any]] = json.loads(text)["keys"]
    return entries


def _signer(file: Path, entries: list[dict[str, Any]]) -> str:
    from api.auth.token_keys import TokenKeys, read_key_set

    try:
        return TokenKeys(read_key_set(json.dumps({"keys": entries}))).signer(time.time()).key_id
    except ValueError as error:
        fail(f"{file}: {error}")


def _write(file: Path, entries: list[dict[str, Any]]) -> None:
    """Write the file whole or not at all, readable by its owner alone."""
    unfinished = file.with_name(f"{file.name}.unfinished")
    try:
        descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as text:
            json.dump({"keys": entries}, text, indent=2)
            text.flush()
            os.fsync(text.fileno())
        unfinished.replace(file)
    except OSError as error:
        fail(f"{file} cannot be written: {error.strerror}")
