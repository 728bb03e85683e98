"""`hipgw pins`: who was found at an address in opportunistic mode."""

from __future__ import annotations

from typing import Any

import click

from hipgw.cli.asking import EXIT_CODES, ask, control_options, show
from hipgw.cli.rendering import plural, table

HEADER = ("ADDRESS", "HIT", "SINCE", "NAME")


@click.group()
def pins() -> None:
    """Hosts found in opportunistic mode, as `ssh` keeps known_hosts.

    Whoever is first found at an address is pinned to it; later another HIT there is refused.
    """


@pins.command(
    "list",
    epilog=f"""\
\b
Examples:
  hipgw pins list
  hipgw pins list --json | jq -r '.pins[].hit'
{EXIT_CODES}
""",
)
@control_options
def list_pins(socket_path: str, *, as_json: bool) -> None:
    """List addresses and who must be there."""
    show(ask(socket_path, "pins"), render_pins, as_json=as_json)


@pins.command(
    "remove",
    epilog=f"""\
\b
Examples:
  hipgw pins remove 192.0.2.2
  hipgw pins remove all
{EXIT_CODES}
""",
)
@click.argument("target")
@control_options
def remove(target: str, socket_path: str, *, as_json: bool) -> None:
    """Forget who was found at TARGET: an address, a HIT (wherever it was), or "all".

    The next `hipgw connect --opportunistic` takes whoever is there.  Do so when the peer's new key
    is known to be right.
    """
    show(ask(socket_path, "pins_remove", target=target), render_removed, as_json=as_json)


def render_pins(answer: dict[str, Any]) -> str:
    """The table; one sentence when there is none."""
    found = answer["pins"]
    if not found:
        return "no pins: `hipgw connect --opportunistic ADDRESS` makes them"
    rows = [
        (pin["address"], pin["hit"], pin["since"] or "-", (pin["names"] or ["-"])[0])
        for pin in found
    ]
    return table(HEADER, rows)


def render_removed(answer: dict[str, Any]) -> str:
    """How many, and which."""
    gone = answer["removed"]
    lines = [f"{pin['address']} {pin['hit']}" for pin in gone]
    return "\n".join([f"removed {plural(len(gone), 'pin')}", *lines])
