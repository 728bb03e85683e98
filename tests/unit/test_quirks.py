"""The table of compatibility switches."""

from __future__ import annotations

import re

from hipgw._fastpath.reasons import REASONS
from hipgw.values.quirks import (
    NO_QUIRKS,
    PRESETS,
    QUIRKS,
    Quirk,
    contradiction,
    in_order,
    seen_as,
)
from hipgw.values.reasons import CONTROL_REASONS


def test_every_switch_is_described() -> None:
    assert list(QUIRKS) == list(Quirk)
    for quirk, facts in QUIRKS.items():
        assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)+", quirk.value)
        assert facts.versions <= {1, 2}
        assert facts.versions
        for text in (facts.changes, facts.rule, facts.cost):
            assert text
            assert "|" not in text, "it goes into a table"
            assert not text.endswith(".")


def test_presets_hold_switches_and_do_not_contradict_themselves() -> None:
    assert set(PRESETS) == {"cutehip", "hip-vpls", "openhip", "hipl"}
    assert not set(PRESETS) & {quirk.value for quirk in Quirk}, "one name, one meaning"
    for quirks in PRESETS.values():
        assert quirks
        assert quirks <= frozenset(Quirk)
        assert contradiction(quirks) is None


def test_two_forms_of_one_secret_or_key_contradict_each_other() -> None:
    both = frozenset({Quirk.UNPADDED_DH_SECRET, Quirk.LEFT_ALIGNED_DH_SECRET})
    assert contradiction(both) == "left-aligned-dh-secret and unpadded-dh-secret"
    assert contradiction(both | {Quirk.SHORT_LOCATOR}) is not None
    swaps = frozenset({Quirk.SWAPPED_MAC_KEYS, Quirk.SWAPPED_EXCHANGE_MAC_KEYS})
    assert contradiction(swaps) == "swapped-exchange-mac-keys and swapped-mac-keys"
    assert contradiction(NO_QUIRKS) is None
    assert all(contradiction(frozenset({quirk})) is None for quirk in Quirk)


def test_every_sign_of_a_missing_switch_is_a_reason_to_drop() -> None:
    reasons = {reason for facts in QUIRKS.values() for reason in facts.seen_as}
    assert reasons <= CONTROL_REASONS.keys() | REASONS.keys()
    for reason in reasons:
        assert set(seen_as(reason)) == {q for q in Quirk if reason in QUIRKS[q].seen_as}
    assert seen_as("hip_checksum") == ()


def test_order_is_that_of_the_table() -> None:
    assert in_order(frozenset(Quirk)) == tuple(Quirk)
    assert in_order(NO_QUIRKS) == ()
    last, first = Quirk.SHORT_LOCATOR, Quirk.LITTLE_ENDIAN_PUZZLE
    assert in_order(frozenset({last, first})) == (first, last)
