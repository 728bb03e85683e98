"""`hipgw drops`: which packets were dropped, counted by reason."""

from __future__ import annotations

from typing import Any

import click

from hipgw.cli.asking import EXIT_CODES, ask, control_options, show
from hipgw.cli.rendering import table

HEADER = ("COUNT", "WHERE", "REASON", "MEANING")


@click.command(
    epilog=f"""\
\b
Examples:
  hipgw drops
  hipgw drops --all --json
{EXIT_CODES}
"""
)
@click.option("--all", "everything", is_flag=True, help="Show reasons that count zero, too.")
@control_options
def drops(socket_path: str, *, everything: bool, as_json: bool) -> None:
    """Show how many packets were dropped since the daemon's start, by reason.

    Every packet that is not forwarded adds one to exactly one of these counters.
    """
    show(
        ask(socket_path, "drops"),
        render_drops,
        as_json=as_json,
        select=None if everything else counted_drops,
    )


def counted_drops(answer: dict[str, Any]) -> dict[str, Any]:
    """The reasons that have counted anything."""
    return {"drops": [entry for entry in answer["drops"] if entry["count"]]}


def render_drops(answer: dict[str, Any]) -> str:
    """The table of `hipgw drops`, highest count first."""
    entries = answer["drops"]
    if not entries:
        return "no drops"
    ordered = sorted(entries, key=lambda entry: -entry["count"])
    rows = [
        (str(entry["count"]), entry.get("where") or "-", entry["reason"], entry["meaning"])
        for entry in ordered
    ]
    return "\n".join([table(HEADER, rows, right="COUNT"), *_advice(ordered)])


def _advice(entries: list[dict[str, Any]]) -> list[str]:
    """What to try where the peer is another program than hipgw."""
    lines = []
    for entry in entries:
        if not entry["count"] or not entry.get("switches"):
            continue
        lines.append(f"#   - {entry['reason']}: {', '.join(entry['switches'])}")
        latest = entry.get("latest")
        if latest:
            lines.append(f"#     latest from {latest['peer_hit']} at {latest['peer_address']}")
        if latest and latest["detail"]:
            lines.append(f"#     {latest['detail']}")
    if not lines:
        return []
    return [
        "",
        "# If the peer is no hipgw, a compatibility switch may be missing, or one too many:",
        *lines,
    ]
