"""Opens every descriptor that the daemon needs, and closes them together.

What is opened last is closed first.  Closing the TUN descriptor removes hip0 with its addresses and
routes, so a `kill -9` leaves none of them either.
"""

from __future__ import annotations

import socket
from collections.abc import Iterable
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import Final

from hipgw.drivers.esp_filter import EspFilter
from hipgw.drivers.icmp import open_icmp
from hipgw.drivers.link import open_link
from hipgw.drivers.nfqueue import open_queue
from hipgw.drivers.offload import Offload, Offloads, RawSending, enable_udp
from hipgw.drivers.packet_sockets import poll_busily
from hipgw.drivers.rawip import open_raw
from hipgw.drivers.tun import TunDevice, open_tun
from hipgw.drivers.udp import open_hip_udp_group
from hipgw.errors import HostError
from hipgw.values import ESP_PROTOCOL, HIP_PROTOCOL

FAMILIES: Final = (4, 6)
LEAST_SLOT_OCTETS: Final = 2304
SLOT_SPARE_OCTETS: Final = 512
"""More than headroom, BEET header, and ESP overhead together."""


@dataclass(frozen=True, slots=True)
class Devices:
    """Open descriptors by address family, 4 or 6; a socket for each pair of workers."""

    tun: TunDevice
    hip: dict[int, socket.socket]
    """Protocol 139: read by the data path, written by both."""
    esp: dict[int, list[socket.socket]]
    """Protocol 50, read and written by the data path."""
    udp: dict[int, list[socket.socket]]
    """HIP and ESP in UDP: read by the data path, written by both."""
    icmp: dict[int, socket.socket]
    """What routers say about packets that are too big; empty when nobody asks for it."""
    offloads: Offloads
    link: socket.socket | None = None
    """Sends ESP of protocol 50 to next hops; None without."""
    link_reason: str = ""
    """Why there is none."""
    queues: tuple[socket.socket, ...] = ()
    """Netfilter queues, read by the data path."""

    @property
    def control_udp(self) -> dict[int, socket.socket]:
        """The UDP sockets that HIP control goes through."""
        return {family: sockets[0] for family, sockets in self.udp.items()}

    def fds_of(self, pair: int) -> tuple[int, int, int, int, int]:
        """TUN queue, UDP sockets and raw sockets of protocol 50 of a pair of workers."""
        return (
            self.tun.queues[pair],
            _descriptor(self.udp, 4, pair),
            _descriptor(self.udp, 6, pair),
            _descriptor(self.esp, 4, pair),
            _descriptor(self.esp, 6, pair),
        )


def open_devices(
    stack: ExitStack,
    *,
    interface: str,
    mtu_octets: int,
    udp_port: int,
    tun_offload: Offload = Offload.AUTO,
    udp_offload: Offload = Offload.AUTO,
    queues: Iterable[int] = (),
    cut_queue: int | None = None,
    discover_mtu: bool = True,
    raw_sending: RawSending = RawSending.AUTO,
    pairs: int = 1,
    steering: int = 1,
    busy_poll_us: int = 0,
) -> Devices:
    """Open everything, for so many pairs of workers; `stack` closes it.

    From `cut_queue` packets come cut by the kernel.  Netfilter queues fail open: a packet that
    finds no room goes on to the TUN device.

    Raises:
        HostError: what is missing or in use, with the remedy.
    """
    # A host whose kernel has no IPv6 has no second group, and gets the IPv4 half.
    udp = open_hip_udp_group(udp_port, pairs, discover_mtu=discover_mtu)
    every_udp = [stack.enter_context(channel) for group in udp.values() for channel in group]
    hip = {family: stack.enter_context(open_raw(HIP_PROTOCOL, family)) for family in udp}
    esp = {
        family: [
            stack.enter_context(open_raw(ESP_PROTOCOL, family, discover_mtu=discover_mtu))
            for _ in range(pairs)
        ]
        for family in udp
    }
    EspFilter(esp).share()
    if busy_poll_us:
        for channel in (*every_udp, *(one for group in esp.values() for one in group)):
            poll_busily(channel, busy_poll_us)
    icmp = {
        family: stack.enter_context(open_icmp(family)) for family in (udp if discover_mtu else ())
    }
    tun = stack.enter_context(
        open_tun(interface, mtu=mtu_octets, offload=tun_offload, queues=pairs, steering=steering)
    )
    offloads = replace(
        enable_udp(every_udp, udp_offload),
        vnet_hdr=tun.vnet_hdr,
        uso=tun.uso,
        tun_reason=tun.reason,
    )
    opened = [stack.enter_context(open_queue(number, fail_open=True)) for number in queues]
    if cut_queue is not None:
        opened.append(stack.enter_context(open_queue(cut_queue, gso=False, fail_open=True)))
    link, link_reason = open_next_hop_socket(stack, raw_sending, discover_mtu=discover_mtu)
    return Devices(tun, hip, esp, udp, icmp, offloads, link, link_reason, tuple(opened))


def open_next_hop_socket(
    stack: ExitStack, wanted: RawSending, *, discover_mtu: bool
) -> tuple[socket.socket | None, str]:
    """The packet socket, or None and why not; raw sockets do without."""
    if wanted is RawSending.SOCKET:
        return None, "as configured"
    if not discover_mtu:  # what goes to a next hop is not fragmented on the way
        return None, "no path MTU discovery"
    try:
        return stack.enter_context(open_link()), ""
    except HostError as error:
        return None, str(error)


def descriptor_of(table: dict[int, socket.socket], family: int) -> int:
    """File descriptor of a family's socket, or -1."""
    return table[family].fileno() if family in table else -1


def _descriptor(table: dict[int, list[socket.socket]], family: int, pair: int) -> int:
    return table[family][pair].fileno() if family in table else -1


def slot_octets(longest_octets: int) -> int:
    """Room that the data path keeps for one packet: header and trailer space included.

    Args:
        longest_octets: of the packets that any link of this host carries.
    """
    return max(LEAST_SLOT_OCTETS, (longest_octets + SLOT_SPARE_OCTETS + 63) // 64 * 64)
