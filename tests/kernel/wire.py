"""What leaves the hosts on the wire between them.

Only outgoing frames count: a tap on the receiver sees decapsulated packets, too, which the kernel
hands in again on the same device.
"""

from __future__ import annotations

import socket
from dataclasses import dataclass
from types import TracebackType
from typing import Final, Self

from tests.kernel.hosts import Host

ETH_P_ALL: Final = 3
ETH_P_ARP: Final = 0x0806
PACKET_OUTGOING: Final = 4
ROOM_OCTETS: Final = 1 << 23
LINK_CHATTER: Final = range(130, 150)
"""ICMPv6 types of the link itself: MLD and neighbour discovery."""


@dataclass(frozen=True)
class Sent:
    """One packet; `what` is "esp", "udp" or what it is instead."""

    family: int
    what: str
    octets: bytes


class Wire:
    """Records both hosts' packets while it is open."""

    def __init__(self, *hosts: Host) -> None:
        self._taps = []
        for host in hosts:
            tap = host.call(
                lambda: socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(ETH_P_ALL))
            )
            tap.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, ROOM_OCTETS)
            link = f"v{host.number}"
            host.call(lambda tap=tap, link=link: tap.bind((link, ETH_P_ALL)))
            tap.setblocking(False)
            self._taps.append(tap)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for tap in self._taps:
            tap.close()

    def take(self) -> list[Sent]:
        """What was sent since, without ARP and the link's own ICMPv6."""
        found = []
        for tap in self._taps:
            while True:
                try:
                    octets, address = tap.recvfrom(70000)
                except BlockingIOError:
                    break
                if address[2] == PACKET_OUTGOING and address[1] != ETH_P_ARP:
                    found.append(classify(octets))
        return [sent for sent in found if sent.what != "link"]

    def kinds(self) -> set[tuple[int, str]]:
        return {(sent.family, sent.what) for sent in self.take()}


def classify(octets: bytes) -> Sent:
    version = octets[0] >> 4
    if version == 4:
        protocol, start = octets[9], (octets[0] & 15) * 4
    elif version == 6:
        protocol, start = octets[6], 40
        if protocol == 0:  # MLD reports carry hop-by-hop options
            protocol, start = octets[40], 48 + 8 * octets[41]
        if protocol == 44:  # only the first fragment shows what it is; later ones name it as well
            protocol, start = octets[40], 48
    else:
        return Sent(version, "strange", octets)
    if protocol == 58 and octets[start] in LINK_CHATTER:
        return Sent(version, "link", octets)
    names = {50: "esp", 17: "udp"}
    return Sent(version, names.get(protocol, f"protocol {protocol}"), octets)


def esp_of(sent: Sent) -> bytes:
    """From the SPI on, of a packet that is raw ESP or ESP in UDP."""
    start = (sent.octets[0] & 15) * 4 if sent.family == 4 else 40
    return sent.octets[start + 8 :] if sent.what == "udp" else sent.octets[start:]
