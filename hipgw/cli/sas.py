"""`hipgw sas`: the security associations, in the manner of `swanctl --list-sas`."""

from __future__ import annotations

from typing import Any

import click

from hipgw.cli.asking import EXIT_CODES, ask_for_all, control_options, show
from hipgw.cli.rendering import bold, duration, plural
from hipgw.cli.status import suite_name


@click.command(
    epilog=f"""\
\b
Examples:
  hipgw sas
  hipgw sas --json | jq '.sas[] | {{spi, packets}}'
{EXIT_CODES}
"""
)
@control_options
def sas(socket_path: str, *, as_json: bool) -> None:
    """List security associations with their SPIs, suites and counters.

    Octets are those of the packets inside ESP.  Keys are never shown.
    """
    show(ask_for_all(socket_path, "sas"), render_sas, as_json=as_json)


def render_sas(answer: dict[str, Any]) -> str:
    """The text of `hipgw sas`: one block for each pair of HITs, inbound first."""
    sas = answer["sas"]
    if not sas:
        return "no security associations"
    pairs: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for association in sas:
        pairs.setdefault((association["local_hit"], association["peer_hit"]), []).append(
            association
        )
    return "\n\n".join(_pair_block(*hits, members) for hits, members in pairs.items())


def _pair_block(local_hit: str, peer_hit: str, members: list[dict[str, Any]]) -> str:
    name = next((sa["name"] for sa in members if sa.get("name")), None)
    title = bold(name or peer_hit)
    lines = [f"{title}: {local_hit} > {peer_hit}{_legacy(members)}"]
    if lsis := _lsis(members):
        lines.append(f"  lsi {lsis}")
    lines.append(f"  path {_path(members[0])}")
    ordered = sorted(members, key=lambda sa: (sa["direction"] != "in", sa.get("current") is False))
    lines += [f"  {line}" for sa in ordered for line in _sa_lines(sa)]
    return "\n".join(lines)


def _legacy(members: list[dict[str, Any]]) -> str:
    """What of old the association uses, if it uses any."""
    if not any(sa.get("legacy") for sa in members):
        return ""
    use = members[0].get("legacy_use") or [f"HIPv{members[0].get('version', 1)}"]
    return f" (legacy: {', '.join(use)})"


def _lsis(members: list[dict[str, Any]]) -> str:
    for sa in members:
        if sa.get("local_lsi") and sa.get("peer_lsi"):
            return f"{sa['local_lsi']} > {sa['peer_lsi']}"
    return ""


def _path(sa: dict[str, Any]) -> str:
    ends = []
    for side in ("local", "peer"):
        address, port = sa[f"{side}_address"], sa.get(f"{side}_port")
        if sa["encapsulation"] == "udp":
            address = f"[{address}]:{port}" if ":" in address else f"{address}:{port}"
        ends.append(address)
    return f"{ends[0]} > {ends[1]} {'udp' if sa['encapsulation'] == 'udp' else 'esp'}"


def _sa_lines(sa: dict[str, Any]) -> list[str]:
    old = ", old" if sa.get("current") is False else ""
    used = sa.get("last_used_s")
    last = "never used" if used is None else f"used {duration(used)} ago"
    suite, age = suite_name(sa["suite"]), duration(sa["age_s"])
    carried = f"{plural(sa['packets'], 'packet')}, {plural(sa['octets'], 'octet')}"
    kernel = ", in the kernel" if sa.get("carrier") == "kernel" else ""
    bits = " of 64 bits" if sa.get("extended_sequence_numbers") else ""
    return [
        f"{sa['direction']:<3} {sa['spi']:08x}, {suite}{kernel}, installed {age} ago{old}",
        f"    {carried}, sequence {sa['sequence']}{bits}, {last}",
    ]
