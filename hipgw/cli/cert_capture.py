"""`hipgw cert check-capture`: what a middlebox would let pass."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from hipgw.cli.asking import EXIT_CODES, CommandFailed, json_option, print_json
from hipgw.cli.cert_text import plainly
from hipgw.cli.rendering import plural, utc
from hipgw.compat.control_client import printable


@click.command(
    "check-capture",
    epilog=f"""\
\b
Examples:
  hipgw cert check-capture hip.pcap --anchors /etc/hip/anchors
  hipgw cert check-capture hip.pcap --anchors ca-cert.pem --json
{EXIT_CODES}
""",
)
@click.argument("capture", metavar="FILE", type=click.Path(dir_okay=False, path_type=Path))
@click.option(
    "--anchors",
    metavar="PLACE",
    multiple=True,
    required=True,
    type=click.Path(path_type=Path),
    help="Trusted authorities and revocation lists, file or directory; may be given several times.",
)
@click.option("--at", "at_s", type=click.IntRange(0), help="As if it were this Unix second.")
@json_option
@plainly
def check_capture(
    capture: Path, *, anchors: tuple[Path, ...], at_s: int | None, as_json: bool
) -> None:
    """Judge the certificates in a capture as a middlebox does; exit code 1 if one is refused.

    A HIP packet with certificates passes when a chain to a trusted authority vouches for its
    sender's key, that key is the one of the sender HIT, and it has signed the packet.  FILE is a
    pcap file of Ethernet frames; fragments are passed over.
    """
    from hipgw.daemon.certificate_config import load_trust
    from hipgw.daemon.certificate_watch import judge_packets
    from hipgw.lab.capture import control_packets

    for place in anchors:
        if not place.exists():
            raise CommandFailed(f"{place}: no such file or directory", "name an authority's files")
    trust = load_trust(anchors)
    if trust is None:
        raise CommandFailed("no trusted authority in --anchors", "name one's ca-cert.pem")
    try:
        packets = control_packets(capture)
    except (OSError, ValueError) as error:
        raise CommandFailed(f"{capture}: {error}", "write it by tcpdump -w") from error
    judged = judge_packets(packets, trust, at_s)
    if as_json:
        print_json({"packets": judged})
    else:
        shown = [
            _line(printable(entry))
            for entry in judged
            if entry["certificate"] != "without certificate"
        ]
        click.echo("\n".join([*shown, _summary(judged)]))
    if any(entry["certificate"] == "refused" for entry in judged):
        sys.exit(1)


def _line(entry: dict[str, Any]) -> str:
    words = [f"{entry['type']} {entry['sender']} > {entry['receiver']}: {entry['certificate']}"]
    if entry["detail"]:
        words.append(entry["detail"])
    if entry["issuer"]:
        words += [f"issued by {entry['issuer']}", f"until {utc(entry['valid_until'])}"]
    return ", ".join(words)


def _summary(judged: list[dict[str, Any]]) -> str:
    counts = [entry["certificate"] for entry in judged]
    parts = [
        f"{counts.count(word)} {word}"
        for word in ("accepted", "refused", "incomplete")
        if counts.count(word)
    ]
    return f"{plural(len(judged), 'HIP packet')}, certificates: {', '.join(parts) or 'none'}"
