"""What the control socket shows of routed prefixes and of the interface's MTU."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hipgw.values import Hit

if TYPE_CHECKING:
    from hipgw.daemon.gateway import Gateway


def subnets_of(gateway: Gateway, peer: Hit) -> list[str]:
    """The prefixes behind a peer, as configured."""
    return [
        str(network)
        for options in gateway.config.peers
        if options.hit == peer
        for network in options.subnets
    ]


def mtu_by(gateway: Gateway) -> str:
    """Who says how long packets on the interface may be: "path", "configuration" or "operator"."""
    if gateway.mtus is not None and gateway.mtus.is_operators:
        return "operator"
    return "path" if gateway.config.network.mtu is None else "configuration"
