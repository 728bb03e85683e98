"""Which library carries which ESP suite, as `hipgw doctor` shows it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from hipgw.dataplane.ciphers import (
    ALIKE,
    CipherBackend,
    CipherChoice,
    CipherTiming,
    choose_ciphers,
)


def look_at_ciphers(wanted: str = CipherBackend.AUTO) -> tuple[CipherChoice, ...]:
    """What `[offload] crypto` would choose on this host now.

    Raises:
        HostError: intel-ipsec-mb is asked for and does not work here.
    """
    return choose_ciphers(CipherBackend(wanted))


def cipher_checks(choices: Sequence[CipherChoice]) -> list[dict[str, str]]:
    """A finding for each suite: the choice, then the others."""
    return [
        {
            "name": f"crypto {choice.suite.name}",
            "outcome": "ok",
            "detail": _sentence(choice),
            "remedy": "",
        }
        for choice in choices
    ]


def _sentence(choice: CipherChoice) -> str:
    others = (one for one in choice.candidates if one != choice.chosen)
    timed = [_words(choice.chosen) + _least(choice), *map(_words, others)]
    reason = f" ({choice.reason})" if choice.reason else ""
    return f"{', '.join(timed)}{reason}"


def _words(one: CipherTiming) -> str:
    name = f"{one.library}{f' {one.variant}' if one.variant else ''}"
    if not one.works:
        return f"{name} failed its self-test"
    return f"{name} {one.seal_gbit_s:.0f}/{one.open_gbit_s:.0f} Gbit/s"


def _least(choice: CipherChoice) -> str:
    if choice.seal_least == choice.open_least == 1:
        return ""
    return f" from {choice.seal_least}/{choice.open_least} packets on"


def cipher_rows(choices: Sequence[CipherChoice]) -> list[dict[str, Any]]:
    """For `--json`: every choice with its figures, sealing and opening."""
    return [
        {
            "suite": choice.suite.name,
            "suites": [suite.name for suite in ALIKE[choice.suite]],
            **_row(choice.chosen),
            "seal_least_packets": choice.seal_least,
            "open_least_packets": choice.open_least,
            "reason": choice.reason,
            "candidates": [_row(one) for one in choice.candidates],
        }
        for choice in choices
    ]


def _row(one: CipherTiming) -> dict[str, Any]:
    return {
        "library": one.library,
        "variant": one.variant,
        "works": one.works,
        "seal_gbit_s": round(one.seal_gbit_s, 1),
        "open_gbit_s": round(one.open_gbit_s, 1),
    }
