"""`hipgw peers`: one line for each peer that this host knows."""

from __future__ import annotations

from typing import Any

import click

from hipgw.cli.asking import EXIT_CODES, ask_for_all, control_options, show
from hipgw.cli.rendering import short_age, size, table

HEADER = ("PEER", "LSI", "NAME", "STATE", "ENDPOINT", "LAST", "RECEIVED", "SENT")
SUBNETS = "SUBNETS"


@click.command(
    epilog=f"""\
\b
Examples:
  hipgw peers
  hipgw peers --json | jq -r '.peers[].hit'
{EXIT_CODES}
"""
)
@control_options
def peers(socket_path: str, *, as_json: bool) -> None:
    """List the peers that this host knows, one line each.

    LAST is the time since the latest packet in either direction.  SUBNETS, where a peer has some,
    are the prefixes of hosts behind it.
    """
    show(ask_for_all(socket_path, "peers"), render_peers, as_json=as_json)


def render_peers(answer: dict[str, Any]) -> str:
    """The table of `hipgw peers`; one sentence when there is none."""
    peers = answer["peers"]
    if not peers:
        return "no peers: name one in the configuration, /etc/hip/hosts, or by `hipgw connect`"
    if not any(peer.get("subnets") for peer in peers):
        return table(HEADER, [_row(peer) for peer in peers], right="RECEIVED SENT")
    rows = [(*_row(peer), ",".join(peer.get("subnets") or ()) or "-") for peer in peers]
    return table((*HEADER, SUBNETS), rows, right="RECEIVED SENT")


def _row(peer: dict[str, Any]) -> tuple[str, ...]:
    endpoint = peer.get("endpoint")
    if endpoint and peer.get("encapsulation") == "udp":
        endpoint += " udp"
    return (
        peer["hit"],
        peer.get("lsi") or "-",
        peer.get("name") or "-",
        f"{peer['state']} legacy" if peer.get("legacy") else peer["state"],
        endpoint or "-",
        short_age(peer.get("last_used_s")),
        size(peer.get("rx_octets", 0)),
        size(peer.get("tx_octets", 0)),
    )
