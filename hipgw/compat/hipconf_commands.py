"""What each word of hipconf does: ask the daemon, answer in HIPL's lines.

A handler takes the client and its arguments and returns a `Reply`: the text that HIPL would print,
and the same as JSON values.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from hipgw.compat.control_client import ControlClient, ControlError
from hipgw.errors import HipgwError
from hipgw.values import Hit, Lsi

SENT: Final = "User message was sent successfully to the HIP daemon.\n"
"""What HIPL prints after every command that sets something."""

ALGORITHM_WORDS: Final = {"rsa": "RSA", "dsa": "DSA", "ecdsa": "ECDSA", "ed": "EdDSA"}
STATE_WORDS: Final = {"E-FAILED": "FAILED"}
"""Where HIPL's word for a state differs from RFC 7401's."""


class WordError(HipgwError):
    """A command line that hipconf does not take; the text is the whole complaint."""


@dataclass(frozen=True, slots=True)
class Reply:
    """The answer to one command: HIPL's text with its line ends, and the JSON document.

    `octets` is what goes to standard output where HIPL writes no text.
    """

    text: str
    document: dict[str, Any]
    octets: bytes = b""


def get_hi(client: ControlClient, arguments: Sequence[str]) -> Reply:
    """`get hi default|all`."""
    if arguments[0] not in {"default", "all"}:
        raise WordError(f'Invalid argument "{arguments[0]}". Use "default" or "all".')
    answer = client.call("hits")
    hits = answer["hits"]
    if arguments[0] == "all":
        return Reply("".join(_hi_line(entry) for entry in hits), answer)
    for entry in hits:
        if entry.get("default"):
            lsi = entry.get("lsi") or "0.0.0.0"  # noqa: S104 - HIPL's text for "none"
            return Reply(f"Default HIT: {entry['hit']}\nDefault LSI: {lsi}\n", entry)
    raise WordError("the daemon has no host identity: make one with `hipgw key new`")


def _hi_line(entry: dict[str, Any]) -> str:
    kind = "Anonymous" if entry.get("kind") == "anonymous" else "Public   "
    lsi = entry.get("lsi") or "0.0.0.0"  # noqa: S104
    return f"{kind} {algorithm_word(entry['algorithm'])} {entry['hit']}     LSI {lsi}\n"


def algorithm_word(algorithm: str) -> str:
    """HIPL's word for an algorithm of hipgw: "ecdsa-p256" is "ECDSA", "ed25519" is "EdDSA"."""
    family = algorithm.lower().partition("-")[0].rstrip("0123456789")
    return ALGORITHM_WORDS.get(family, f"Unknown algorithm ({algorithm})")


def add_map(client: ControlClient, arguments: Sequence[str]) -> Reply:
    """`add map HIT IP [LSI]`; the IP may be a host name."""
    hit = valid_hit(arguments[0])
    lsi = arguments[2] if len(arguments) > 2 else None
    if lsi is not None:
        try:
            Lsi.parse(lsi)
        except ValueError as error:
            raise WordError(f"Wrong LSI value: '{lsi}' is not a dotted quad") from error
    try:
        answer = client.call("map_add", hit=hit, ip=arguments[1], lsi=lsi)
    except ControlError as error:
        if error.code == "wrong_lsi":
            raise WordError(
                f"Wrong LSI value: {error.remedy}" if error.remedy else "Wrong LSI value"
            ) from error
        raise
    return Reply(SENT, answer)


def get_map(client: ControlClient, arguments: Sequence[str]) -> Reply:
    """`get map HIT|LSI`: the address that the next I1 would go to."""
    answer, address = _mapped(client, arguments[0])
    return Reply(f"Resolved to IP: {address}\n", answer)


def hit_to_ip(client: ControlClient, arguments: Sequence[str]) -> Reply:
    """`hit-to-ip HIT|LSI`: `get map` in the words of 2009; `on|off` is the DNS zone's switch."""
    if arguments[0] in {"on", "off"}:
        raise WordError(
            f"not offered yet in hipgw: hit-to-ip {arguments[0]} (look-up in the hit-to-ip zone)"
        )
    answer, address = _mapped(client, arguments[0])
    return Reply(f"Found IP: {address}\n", answer)


def _mapped(client: ControlClient, target: str) -> tuple[dict[str, Any], str]:
    answer = client.call("map_get", target=target)
    if not answer.get("ips"):
        raise WordError(f"no address is known for {target}: add one with `hipconf daemon add map`")
    return answer, str(answer["ips"][0])


def get_ha(client: ControlClient, arguments: Sequence[str]) -> Reply:
    """`get ha all|HIT`; a HIT picks blocks by local or peer HIT, an unknown one prints nothing."""
    wanted = None if arguments[0] == "all" else valid_hit(arguments[0])
    shown = [
        entry
        for entry in client.call("associations")["associations"]
        if wanted is None or wanted in {entry["hit"], entry["local_hit"]}
    ]
    return Reply("".join(association_block(entry) for entry in shown), {"associations": shown})


def association_block(entry: dict[str, Any]) -> str:
    """HIPL's block for one association, then what hipgw knows more: SPIs, suite, counters, age."""
    state = entry["state"]
    lines = [
        f"HA is {STATE_WORDS.get(state, state)}",
        f" Shotgun mode is {'on' if entry.get('shotgun') else 'off'}.",
        f" Broadcast mode is {'on' if entry.get('broadcast') else 'off'}.",
        f" Local HIT: {entry['local_hit']}",
        f" Peer  HIT: {entry['hit']}",
        f" Local LSI: {entry.get('local_lsi') or '0.0.0.0'}",  # noqa: S104
        f" Peer  LSI: {entry.get('lsi') or '0.0.0.0'}",  # noqa: S104
        f" Local IP: {entry.get('local_address') or '::'}",
        f" Local NAT traversal UDP port: {entry.get('local_port') or 0}",
        f" Peer  IP: {entry.get('peer_address') or '::'}",
        f" Peer  NAT traversal UDP port: {entry.get('peer_port') or 0}",
        f" Peer  hostname: {entry.get('hostname') or ''}",
    ]
    if entry.get("spi_in") is not None and entry.get("spi_out") is not None:
        lines += [
            f" ESP suite: {(entry.get('esp_suite') or 'none').replace('_', '-')}",
            f" SPI in: 0x{entry['spi_in']:08x}",
            f" SPI out: 0x{entry['spi_out']:08x}",
            f" Received: {entry.get('rx_packets', 0)} packets, {entry.get('rx_octets', 0)} bytes",
            f" Sent: {entry.get('tx_packets', 0)} packets, {entry.get('tx_octets', 0)} bytes",
        ]
    lines += _heartbeat_lines(entry.get("heartbeat"))
    if entry.get("legacy"):
        lines.append(f" HIP version: {entry['version']} (legacy)")
    if entry.get("since_s") is not None:
        lines.append(f" Age: {int(entry['since_s'])} seconds")
    return "".join(f"{line}\n" for line in lines)


def _heartbeat_lines(beat: dict[str, Any] | None) -> list[str]:
    """HIPL's two lines about heartbeats; none where they are off."""
    if not beat or not beat["interval_s"]:
        return []
    mean_s = beat["mean_rtt_s"] or 0.0
    sent, received, lost = beat["sent"], beat["received"], beat["lost"]
    return [
        f" Heartbeat {mean_s * 1000:.6f} ms mean RTT,",
        f" {sent} packets sent, {received} packets received, {lost} packets lost",
    ]


def rst(client: ControlClient, arguments: Sequence[str]) -> Reply:
    """`rst all`, `rst peer_hit HIT`, `rst HIT`: close associations."""
    words = list(arguments)
    if words[0] == "all":
        target = "all"
        words = words[1:]
    else:
        if words[0] == "peer_hit":
            words = words[1:]
        if not words:
            raise WordError("Not enough arguments given for the action 'rst'")
        target, words = valid_hit(words[0]), words[1:]
    if words:
        raise WordError(f"Too many arguments given for the action 'rst': '{words[0]}'")
    return Reply(SENT, client.call("close", target=target))


def default_hip_version(client: ControlClient, arguments: Sequence[str]) -> Reply:
    """`default-hip-version 1|2`, and without a number what it is."""
    if not arguments:
        answer = client.call("default_hip_version")
    elif arguments[0] in {"1", "2"}:
        answer = client.call("set_default_hip_version", version=int(arguments[0]))
    else:
        raise WordError(f"Invalid argument '{arguments[0]}': the HIP version is 1 or 2.")
    return Reply(f"Default hip version: {answer['version']}\n", answer)


def hit_to_lsi(client: ControlClient, arguments: Sequence[str]) -> Reply:
    """`hit-to-lsi HIT`: the LSI of a HIT, given now if it had none."""
    hit = valid_hit(arguments[0])
    answer = client.call("hit_to_lsi", hit=hit)
    return Reply(f"HIT {arguments[0]} maps to LSI {answer['lsi']}\n", answer)


def lsi_to_hit(client: ControlClient, arguments: Sequence[str]) -> Reply:
    """`lsi-to-hit LSI`."""
    try:
        lsi = Lsi.parse(arguments[0])
    except ValueError as error:
        raise WordError(f"'{arguments[0]}' is not an LSI: a dotted quad is expected") from error
    answer = client.call("lsi_to_hit", lsi=str(lsi))
    return Reply(f"Found HIT: {answer['hit']}\n", answer)


def valid_hit(text: str) -> str:
    """`text` in the canonical form, or a `WordError` when it is no HIT (RFC 7343, RFC 4843)."""
    try:
        hit = Hit.parse(text)
    except ValueError as error:
        raise WordError(f"'{text}' is not a valid HIT.") from error
    if not hit.version:
        raise WordError(f"'{text}' is not a valid HIT: expected 2001:20::/28 or 2001:10::/28.")
    return str(hit)
