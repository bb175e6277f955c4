"""Signing keys by id: the first signs, all of them verify, so that a key can be replaced while signed texts live."""

from __future__ import annotations

from collections.abc import Mapping

#: Of HS256, the only algorithm that the keys are for: as long as its hash (RFC 7518, section 3.2).
KEY_BYTES_MIN = 32


class KeyRing:
    """Keys of one installation. Its text shows their ids and never the keys."""

    def __init__(self, keys: Mapping[str, str]) -> None:
        """``keys``: key id -> key, the signing one first. Raises ValueError if there is none, or one is too short."""
        if not keys:
            raise ValueError("a key ring needs at least one key")
        for key_id, key in keys.items():
            if len(key.encode()) < KEY_BYTES_MIN:
                raise ValueError(
                    f"the signing key {key_id!r} has {len(key.encode())} bytes and needs at least {KEY_BYTES_MIN}: "
                    "make one with `openssl rand -hex 32`"
                )
        self._keys = dict(keys)
        #: Id of the key that signs.
        self.signing_id = next(iter(keys))

    @property
    def ids(self) -> tuple[str, ...]:
        """The ids of the keys, the signing one first."""
        return tuple(self._keys)

    @property
    def signing_key(self) -> str:
        """The key that signs."""
        return self._keys[self.signing_id]

    def find(self, key_id: object) -> str | None:
        """Return the key of this id, None if there is none; ``key_id`` may be anything that a text claims."""
        return self._keys.get(key_id) if isinstance(key_id, str) else None

    def __len__(self) -> int:
        return len(self._keys)

    def __repr__(self) -> str:
        return f"KeyRing({', '.join(self._keys)})"
