"""`hipgw connect`, `close` and `rekey`: associations made, ended and given new keys by hand."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

from hipgw.cli.asking import EXIT_CODES, ask, control_options, show
from hipgw.cli.rendering import milliseconds, plural
from hipgw.cli.status import peer_title, suite_name

ANSWER_MARGIN_S = 5.0
"""How much longer than the daemon we wait, so that its own refusal arrives."""

Command = TypeVar("Command", bound=Callable[..., Any])


def wait_option(help_text: str) -> Callable[[Command], Command]:
    """`--wait SECONDS`, for an exchange that the daemon begins."""
    return click.option(
        "--wait",
        "wait_s",
        type=click.FloatRange(min=0, max=600),
        default=15.0,
        show_default=True,
        metavar="SECONDS",
        help=help_text,
    )


@click.command(
    epilog=f"""\
\b
Examples:
  hipgw connect gw2
  hipgw connect 2001:22:e0d3:30c4:f6a7:86e5:2dc9:39ad --wait 30
  hipgw connect gw2 --from work
  hipgw connect gw2 --anonymous
  hipgw connect --opportunistic 192.0.2.2
{EXIT_CODES}
"""
)
@click.argument("target")
@wait_option("How long the base exchange may take.")
@click.option(
    "--from",
    "local",
    metavar="IDENTITY",
    help="Name, HIT or LSI of the identity of this host to do it as.",
)
@click.option(
    "--anonymous",
    is_flag=True,
    help="Do it as an anonymous identity; one is made if there is none.",
)
@click.option(
    "--opportunistic",
    is_flag=True,
    help="TARGET is an IP address or its DNS name; learn who is there, and pin the HIT.",
)
@control_options
def connect(
    target: str,
    wait_s: float,
    local: str | None,
    socket_path: str,
    *,
    anonymous: bool,
    opportunistic: bool,
    as_json: bool,
) -> None:
    """Make an association with TARGET now, and wait until it is ESTABLISHED.

    TARGET is a HIT, an LSI, or a host name of the configuration or a hosts file.  The first packet
    to a peer does the same by itself; this command shows whether it works, and how fast.

    An association belongs to one identity of this host: the default one, that of [[peer]] identity,
    or as --from and --anonymous say.  Applications choose by the source address they bind to.

    With --opportunistic nobody vouches for the host at the address: whoever can answer in its place
    is believed, the first time.  Later its HIT must be the same: see `hipgw pins`.
    """
    choices: dict[str, object] = {}
    if local is not None:
        choices["local"] = local
    choices |= {
        name: True
        for name, is_on in (("anonymous", anonymous), ("opportunistic", opportunistic))
        if is_on
    }
    answer = ask(
        socket_path,
        "connect",
        timeout_s=wait_s + ANSWER_MARGIN_S,
        target=target,
        wait_s=wait_s,
        **choices,
    )
    show(answer, render_connected, as_json=as_json)


def render_connected(answer: dict[str, Any]) -> str:
    """One line about the association that `connect` made or found."""
    peer = answer["peer"]
    way = f" over {peer['encapsulation']}" if peer.get("encapsulation") else ""
    line = (
        f"{peer_title(peer)}: {peer['state']} in {milliseconds(answer['took_s'])}, "
        f"{suite_name(peer.get('esp_suite'))}, {peer.get('endpoint') or 'no endpoint'}{way}"
    )
    if "address" not in answer:
        return line
    kept = {(True, True): "pinned now", (True, False): "as pinned"}.get(
        (answer["pinned"], answer["new_pin"]), "not pinned"
    )
    return f"{line}\n{answer['address']} is {peer['hit']}, LSI {peer.get('lsi')} ({kept})"


@click.command(
    epilog=f"""\
\b
Examples:
  hipgw close gw2
  hipgw close --all
{EXIT_CODES}
"""
)
@click.argument("target", required=False)
@click.option("--all", "everything", is_flag=True, help="Close every association.")
@control_options
def close(target: str | None, socket_path: str, *, everything: bool, as_json: bool) -> None:
    """Close the association with TARGET (a HIT, an LSI or a host name), or all of them."""
    if bool(target) == everything:
        raise click.UsageError("name one TARGET, or say --all")
    answer = ask(socket_path, "close", target="all" if everything else target)
    show(answer, render_closed, as_json=as_json)


def render_closed(answer: dict[str, Any]) -> str:
    """How many associations `close` ended, and the peers' HITs."""
    closed = answer["closed"]
    return "\n".join([f"closed {plural(len(closed), 'association')}", *closed])


@click.command(
    epilog=f"""\
\b
Examples:
  hipgw rekey gw2
  hipgw rekey gw2 --to kernel
  hipgw rekey 2001:22:e0d3:30c4:f6a7:86e5:2dc9:39ad --json
{EXIT_CODES}
"""
)
@click.argument("target")
@wait_option("How long the exchange may take.")
@click.option(
    "--to",
    "carrier",
    type=click.Choice(["user", "kernel"]),
    default=None,
    help="Who carries the association from then on.",
)
@control_options
def rekey(
    target: str, wait_s: float, carrier: str | None, socket_path: str, *, as_json: bool
) -> None:
    """Replace the ESP keys with TARGET (a HIT, an LSI or a host name) now; no packet is lost.

    The daemon does the same by itself at the age and after the octets that [hip] rekey_s and
    rekey_octets say.
    """
    asked: dict[str, Any] = {"target": target, "wait_s": wait_s}
    if carrier is not None:
        asked["to"] = carrier
    answer = ask(socket_path, "rekey", timeout_s=wait_s + ANSWER_MARGIN_S, **asked)
    show(answer, render_rekeyed, as_json=as_json)


def render_rekeyed(answer: dict[str, Any]) -> str:
    """One line about the security associations that `rekey` has made."""
    peer = answer["peer"]
    return (
        f"{peer_title(peer)}: new keys in {milliseconds(answer['took_s'])}, "
        f"SPI in {peer['spi_in']:08x}, out {peer['spi_out']:08x}"
    )
