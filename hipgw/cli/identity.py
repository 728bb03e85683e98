"""`hipgw identity`: the identities of the running daemon."""

from __future__ import annotations

from typing import Any

import click

from hipgw.cli.asking import EXIT_CODES, ask, control_options, show
from hipgw.cli.key import ALGORITHMS
from hipgw.cli.rendering import table

HEADER = ("NAME", "HIT", "LSI", "ALGORITHM", "KIND", "CALLED", "FILE")
MAKE_S = 60.0
"""A large RSA key takes its time."""


@click.group()
def identity() -> None:
    """Identities of the running daemon: list, make, load, take away.

    What is changed here ends with the daemon; [[host_identity]] of hipgw.toml and the key
    directory say what a start begins with.  `hipgw key` works on key files without a daemon.
    """


@identity.command(
    "list",
    epilog=f"""\
\b
Examples:
  hipgw identity list
  hipgw identity list --json | jq -r '.identities[].hit'
{EXIT_CODES}
""",
)
@control_options
def list_identities(socket_path: str, *, as_json: bool) -> None:
    """List the identities of this host, the default one first."""
    show(ask(socket_path, "identities"), render_identities, as_json=as_json)


@identity.command(
    epilog=f"""\
\b
Examples:
  hipgw identity new work
  hipgw identity new guest --anonymous
{EXIT_CODES}
"""
)
@click.argument("name")
@click.option(
    "--algorithm",
    type=click.Choice(ALGORITHMS),
    default=ALGORITHMS[0],
    show_default=True,
    help="Kind of key.",
)
@click.option("--anonymous", is_flag=True, help="In no directory; peers are told so (A bit).")
@click.option("--keep", is_flag=True, help="Write an anonymous key to the key directory, too.")
@click.option(
    "--domain-identifier",
    metavar="NAME",
    help='Host name or user@realm sent with it; "" for none.  Default: [identity] '
    "domain_identifier, but none for an anonymous one.",
)
@control_options
def new(
    name: str,
    algorithm: str,
    domain_identifier: str | None,
    socket_path: str,
    *,
    anonymous: bool,
    keep: bool,
    as_json: bool,
) -> None:
    """Make a host identity called NAME and use it at once.

    Its key is written to the key directory, unless it is anonymous: that one lives in memory.
    """
    more = {} if domain_identifier is None else {"domain_identifier": domain_identifier}
    answer = ask(
        socket_path,
        "identity_new",
        timeout_s=MAKE_S,
        name=name,
        kind=algorithm,
        anonymous=anonymous,
        keep=keep,
        **more,
    )
    show(answer, lambda one: render_identities({"identities": [one["identity"]]}), as_json=as_json)


@identity.command(
    epilog=f"""\
\b
Examples:
  hipgw identity add
  hipgw identity add work
{EXIT_CODES}
"""
)
@click.argument("name", required=False)
@click.option("--anonymous", is_flag=True, help="Peers are told that it is in no directory.")
@control_options
def add(name: str | None, socket_path: str, *, anonymous: bool, as_json: bool) -> None:
    """Use the key file NAME.pem of the key directory; by default every one not in use yet."""
    more = {} if name is None else {"name": name}
    answer = ask(socket_path, "identity_add", timeout_s=MAKE_S, anonymous=anonymous, **more)
    show(answer, render_identities, as_json=as_json)


@identity.command(
    epilog=f"""\
\b
Examples:
  hipgw identity remove work
  hipgw identity remove all
{EXIT_CODES}
"""
)
@click.argument("target")
@control_options
def remove(target: str, socket_path: str, *, as_json: bool) -> None:
    """Use TARGET (a name, HIT or LSI) no more, and close its associations; its key file stays.

    "all" means every identity but the default one, which cannot be removed.
    """
    answer = ask(socket_path, "identity_remove", target=target)
    show(answer, render_removed, as_json=as_json)


@identity.command(
    epilog=f"""\
\b
Examples:
  hipgw identity rotate guest
{EXIT_CODES}
"""
)
@click.argument("target")
@control_options
def rotate(target: str, socket_path: str, *, as_json: bool) -> None:
    """Give the name of an anonymous identity to a new key; associations of the old one go on."""
    answer = ask(socket_path, "identity_rotate", timeout_s=MAKE_S, target=target)
    show(answer, lambda one: render_identities({"identities": [one["identity"]]}), as_json=as_json)


def render_identities(answer: dict[str, Any]) -> str:
    """The table of identities."""
    rows = [_row(entry) for entry in answer["identities"]]
    return table(HEADER, rows) if rows else "no more identities"


def _row(entry: dict[str, Any]) -> tuple[str, ...]:
    kind = "default" if entry["default"] else entry["kind"]
    return (
        entry["name"],
        entry["hit"],
        entry["lsi"],
        entry["algorithm"],
        f"{kind}, retired" if entry["retired"] else kind,
        entry["domain_identifier"] or "-",
        entry["file"] or "in memory",
    )


def render_removed(answer: dict[str, Any]) -> str:
    """How many, and which."""
    gone = answer["removed"]
    noun = "1 identity" if len(gone) == 1 else f"{len(gone)} identities"
    return "\n".join([f"removed {noun}", *gone])
