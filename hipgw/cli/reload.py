"""`hipgw reload`: the configuration file read again by the running daemon."""

from __future__ import annotations

from typing import Any

import click

from hipgw.cli.asking import EXIT_CODES, ask, control_options, show


@click.command(
    epilog=f"""\
\b
Examples:
  hipgw reload
  hipgw reload --json | jq -r '.restart_needed[]'
{EXIT_CODES}
"""
)
@control_options
def reload(socket_path: str, *, as_json: bool) -> None:
    """Have the daemon read its configuration file again, without losing an association.

    Says which keys hold from now on, and which ones need a restart.  A file with a mistake changes
    nothing.  What `hipconf` has changed at run time is as the file says again.
    """
    show(ask(socket_path, "reload"), render_reloaded, as_json=as_json)


def render_reloaded(answer: dict[str, Any]) -> str:
    """A line for what holds, and one for what needs a restart."""
    taken, waiting = answer["taken"], answer["restart_needed"]
    lines = [f"reloaded: {', '.join(taken) or 'nothing has changed'}"]
    if waiting:
        lines.append(f"needs a restart: {', '.join(waiting)}")
    return "\n".join(lines)
