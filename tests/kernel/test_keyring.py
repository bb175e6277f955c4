from __future__ import annotations

from typing import Any

import pytest

from kernel.keyring import KeyRing

KEY, OLD_KEY = "k" * 32, "o" * 32


def test_the_first_key_signs_and_all_are_found() -> None:
    ring = KeyRing({"2": KEY, "1": OLD_KEY})
    assert (ring.signing_id, ring.signing_key, len(ring)) == ("2", KEY, 2)
    assert (ring.find("2"), ring.find("1")) == (KEY, OLD_KEY)


@pytest.mark.parametrize("key_id", ["3", "", None, 2, ["2"], {}])
def test_an_id_that_is_none_of_ours_finds_nothing(key_id: Any) -> None:
    assert KeyRing({"2": KEY}).find(key_id) is None


def test_a_key_of_too_few_bytes_is_refused_with_what_to_do() -> None:
    with pytest.raises(ValueError, match="the signing key 'k1' has 31 bytes and needs at least 32: make one with"):
        KeyRing({"k0": KEY, "k1": "k" * 31})
    KeyRing({"k1": "é" * 16})  # 32 bytes


def test_a_ring_without_keys_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one key"):
        KeyRing({})


def test_the_text_of_a_ring_keeps_the_keys_secret() -> None:
    assert repr(KeyRing({"2": KEY, "1": OLD_KEY})) == "KeyRing(2, 1)"
