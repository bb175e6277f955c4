"""Who may sign in, from the settings: the keys of tokens, in a file that may change under way, and trusted issuers."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import structlog

from api.auth.issuers import Issuer, OidcParams
from api.auth.token_keys import TokenKeys, read_key_set, shared_keys
from hexhail.runtime.settings import Settings
from kernel.section_reader import Sections, read_params, refuse_unknown_sections

log = structlog.get_logger(__name__)

#: Wall seconds between two looks at the file.
LOOK_EVERY_S = 1.0


def load_token_keys(settings: Settings) -> TokenKeys:
    """Return the keys that sign and verify tokens: those of the key file first, then the shared secrets.

    Raises ValueError that names the file and what is wrong.
    """
    secrets = shared_keys(settings.key_ring())
    path = settings.token_keys_file
    if path is None:
        return TokenKeys(secrets)
    try:
        return TokenKeys([*read_key_set(path.read_text(encoding="utf-8")), *secrets])
    except (OSError, ValueError) as error:
        raise ValueError(f"HEXHAIL_TOKEN_KEYS_FILE {path}: {error}; `hexhail keys --help` makes one") from error


def load_issuers(settings: Settings) -> tuple[Issuer, ...]:
    """Return the trusted issuers of ID tokens, none without a file. Raises ValueError that names the mistake."""
    path = settings.oidc_file
    if path is None:
        return ()
    try:
        sections = Sections.read(path)
        refuse_unknown_sections(sections, [OidcParams.SECTION])
        return read_params(sections, OidcParams).issuers
    except OSError as error:
        raise ValueError(f"HEXHAIL_OIDC_FILE {path} cannot be read: {error.strerror}") from error


class TokenKeysWatch:
    """Reads the key file again when it changes, so that keys are rotated without a restart."""

    def __init__(self, settings: Settings, use: Callable[[TokenKeys], None]) -> None:
        """``use`` gets the keys of each new state of the file."""
        self._settings = settings
        self._use = use
        #: None at first: the file may have changed since the process read it to start with.
        self._seen: tuple[int, int, int] | None = None

    async def run(self) -> None:
        """Look until cancelled; at once done where there is no key file."""
        while self._settings.token_keys_file is not None:
            await asyncio.sleep(LOOK_EVERY_S)
            self.look()

    def look(self) -> None:
        """Take the file over if it changed. A file that cannot be used is logged, and the keys in use stay."""
        state = _state(self._settings.token_keys_file)
        if state == self._seen:
            return
        self._seen = state
        try:
            keys = load_token_keys(self._settings)
        except ValueError as error:
            log.error("token_keys_refused", error=str(error), in_use="the keys of before")  # noqa: TRY400 - no traceback
            return
        self._use(keys)
        log.info("token_keys_read", keys=repr(keys))


def _state(path: Path | None) -> tuple[int, int, int] | None:
    """What changes with every new content; None while there is no file."""
    if path is None:
        return None
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino
