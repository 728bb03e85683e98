"""What the control socket shows of rekeys, locators and heartbeats, as JSON values."""

from __future__ import annotations

from typing import Any

from hipgw.proto import AssociationView, LocatorView


def upkeep_view(view: AssociationView, now: float, *, heartbeat_s: float) -> dict[str, Any]:
    """The part of an association that UPDATEs are for.

    `rekeyed_s` is an age, `lifetime_s` what is left; both null where there is none.
    """
    beat = view.heartbeat
    return {
        "rekeys": view.rekeys,
        "rekeyed_s": None if view.rekeyed_s is None else _rounded(now - view.rekeyed_s),
        "rekeying": view.is_rekeying,
        "rtt_s": None if view.rtt_s is None else round(view.rtt_s, 6),
        "limited": view.is_limited,
        "locators": [_locator(locator, now) for locator in view.locators],
        "announced": [str(address) for address in view.announced],
        "heartbeat": {
            "interval_s": heartbeat_s,
            "sent": beat.sent,
            "received": beat.received,
            "lost": beat.lost,
            "mean_rtt_s": None if beat.mean_rtt_s is None else round(beat.mean_rtt_s, 6),
        },
    }


def no_upkeep() -> dict[str, Any]:
    """The same fields of a peer without an association."""
    return {
        "rekeys": 0,
        "rekeyed_s": None,
        "rekeying": False,
        "rtt_s": None,
        "limited": False,
        "locators": [],
        "announced": [],
        "heartbeat": None,
    }


def _locator(locator: LocatorView, now: float) -> dict[str, Any]:
    expires_s = locator.expires_s
    return {
        "address": str(locator.address),
        "port": locator.port,
        "state": str(locator.state),
        "preferred": locator.is_preferred,
        "origin": locator.origin.name.lower(),
        "lifetime_s": None if expires_s is None else _rounded(expires_s - now),
    }


def _rounded(seconds: float) -> float:
    return round(max(seconds, 0.0), 3)
