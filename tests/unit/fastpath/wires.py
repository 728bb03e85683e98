"""Two data paths joined by loopback, with sockets in place of their TUN devices.

    application A - [A: DataPath] - UDP on the loopback - [DataPath :B] - application B

A SOCK_SEQPACKET pair reads and writes one packet a call, as a TUN device does.  With offloads on,
each packet has a vnet header in front, and super-packets arrive.
"""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Callable, Iterator
from typing import ClassVar

from hipgw._fastpath.reasons import REASONS
from hipgw._fastpath.worker import DataPath
from tests.reference.checksum import checksum, pseudo_header
from tests.reference.segmentation import segment

HIT_A = bytes.fromhex("20010021") + bytes(11) + b"\x0a"
HIT_B = bytes.fromhex("20010022") + bytes(11) + b"\x0b"
HIT_C = bytes.fromhex("20010023") + bytes(11) + b"\x0c"
LSI_A = bytes([1, 0, 0, 1])
LSI_B = bytes([1, 0, 0, 2])
NO_LSI = bytes(4)
SPI_AB = 0x1000_00AB
SPI_BA = 0x1000_00BA
KEYS = {7: (0, 32), 8: (16, 32), 9: (32, 32), 13: (20, 0)}
PASSED = {
    "tun_rx", "esp_tx", "net_rx", "esp_rx", "tun_tx", "punt_control", "punt_no_sa", "punt_family",
    "tso_in", "gso_out", "gro_in", "coalesced_out", "gso_refused", "read_trouble",
    "i1_received", "r1_sent",
    "queue_rx", "queue_left", "queue_supers", "queue_overrun", "queue_broken",
    "link_tx", "link_refused", "handed_over", "gave_way",
}  # fmt: skip
PATIENCE_S = 60.0
BUFFER_OCTETS = 4 << 20
SO_SNDBUFFORCE, SO_RCVBUFFORCE = 32, 33
EVERY_OFFLOAD = {"vnet_hdr": True, "uso": True, "udp_gso": True, "udp_gro": True}
UDP_GRO = 104


def ipv6(
    payload: bytes, next_header: int = 17, source: bytes = HIT_A, destination: bytes = HIT_B
) -> bytes:
    """Hop limit 64 and traffic class 0, as the far end rebuilds it."""
    head = b"\x60\0\0\0" + len(payload).to_bytes(2) + bytes([next_header, 64])
    return head + source + destination + payload


def ipv4(
    payload: bytes, protocol: int = 17, source: bytes = LSI_A, destination: bytes = LSI_B
) -> bytes:
    head = bytes([0x45, 0]) + (20 + len(payload)).to_bytes(2) + b"\0\0\x40\0\x40"
    head += bytes([protocol, 0, 0]) + source + destination
    return head[:10] + checksum(head).to_bytes(2) + head[12:] + payload


def udp(
    payload: bytes, source: bytes, destination: bytes, ports: tuple[int, int] = (1000, 2000)
) -> bytes:
    length = 8 + len(payload)
    head = ports[0].to_bytes(2) + ports[1].to_bytes(2) + length.to_bytes(2) + bytes(2)
    total = checksum(pseudo_header(source, destination, 17, length) + head + payload) or 0xFFFF
    return head[:6] + total.to_bytes(2) + payload


def tcp(source: bytes, destination: bytes, ports: tuple[int, int]) -> bytes:
    """A SYN."""
    head = ports[0].to_bytes(2) + ports[1].to_bytes(2) + bytes(8) + b"\x50\x02\xff\xff" + bytes(4)
    total = checksum(pseudo_header(source, destination, 6, 20) + head)
    return head[:16] + total.to_bytes(2) + head[18:]


def hit_udp(payload: bytes, ports: tuple[int, int] = (1000, 2000)) -> bytes:
    return ipv6(udp(payload, HIT_A, HIT_B, ports))


def dropped(before: dict[str, int], after: dict[str, int]) -> dict[str, int]:
    """Counters that rose, other than those of packets that passed."""
    return {
        name: after[name] - before[name]
        for name in after
        if after[name] != before[name] and name not in PASSED
    }


def wait_until(is_so: Callable[[], bool]) -> None:
    """Poll; the limit is for a broken build, not a promise of speed."""
    limit = time.monotonic() + PATIENCE_S
    while not is_so():
        assert time.monotonic() < limit, "nothing happened for a minute"
        time.sleep(0.001)


def make_roomy(channel: socket.socket) -> None:
    """Room for all that a test sends before it reads: a worker waits for room, but not for long."""
    for forced, plain in (
        (SO_SNDBUFFORCE, socket.SO_SNDBUF),
        (SO_RCVBUFFORCE, socket.SO_RCVBUF),
    ):
        try:
            channel.setsockopt(socket.SOL_SOCKET, forced, BUFFER_OCTETS)
        except PermissionError:  # as much as net.core.wmem_max and rmem_max let anybody have
            channel.setsockopt(socket.SOL_SOCKET, plain, BUFFER_OCTETS)


class Application:
    """The far end of the TUN device: packets of wire size, whatever the device does."""

    def __init__(self, channel: socket.socket, *, has_vnet: bool) -> None:
        self.channel = channel
        self.channel.settimeout(PATIENCE_S)
        self.has_vnet = has_vnet
        self.waiting: list[bytes] = []

    def send(self, packet: bytes) -> None:
        self.channel.send((bytes(10) if self.has_vnet else b"") + packet)

    def recv(self, octets: int) -> bytes:
        if not self.has_vnet:
            return self.channel.recv(octets)
        if not self.waiting:
            self.waiting = segment(self.channel.recv(1 << 17), octets)
        return self.waiting.pop(0)

    def close(self) -> None:
        self.channel.close()


class Host:
    """One data path, its application's end, and its UDP socket."""

    defaults: ClassVar[dict[str, bool]] = {}
    """Offloads that are on unless said otherwise."""

    def __init__(self, family: int = 4, **options: int) -> None:
        self.family = family
        options = self.defaults | options
        near, self.tun = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.application = Application(near, has_vnet=bool(options.get("vnet_hdr")))
        self.address = "127.0.0.1" if family == 4 else "::1"
        kind = socket.AF_INET if family == 4 else socket.AF_INET6
        self.udp = socket.socket(kind, socket.SOCK_DGRAM)
        if family == 4:
            self.udp.setsockopt(socket.IPPROTO_IP, 8, 1)  # IP_PKTINFO
            self.udp.setsockopt(socket.IPPROTO_IP, 13, 1)  # IP_RECVTOS
            self.udp.setsockopt(socket.IPPROTO_IP, 12, 1)  # IP_RECVTTL
        else:
            self.udp.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVPKTINFO, 1)
            self.udp.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVTCLASS, 1)
            self.udp.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVHOPLIMIT, 1)
        make_roomy(self.udp)
        make_roomy(self.tun)
        if options.get("udp_gro"):
            self.udp.setsockopt(socket.IPPROTO_UDP, UDP_GRO, 1)
        self.udp.bind((self.address, 0))
        self.port = self.udp.getsockname()[1]
        sockets = {f"udp{family}_fd": self.udp.fileno()}
        self.path = DataPath(tun_fd=self.tun.fileno(), **sockets, **options)
        self.threads: list[threading.Thread] = []

    def start(self) -> None:
        self.threads = [
            threading.Thread(target=self.path.run_outbound),
            threading.Thread(target=self.path.run_inbound),
        ]
        for thread in self.threads:
            thread.start()

    def stop(self) -> None:
        self.path.stop()
        for thread in self.threads:
            thread.join(PATIENCE_S)
            assert not thread.is_alive()

    def close(self) -> None:
        self.stop()
        for channel in (self.application, self.tun, self.udp):
            channel.close()

    def install_out(
        self,
        spi: int,
        hits: tuple[bytes, bytes],
        lsis: tuple[bytes, bytes],
        to_port: int,
        *,
        suite: int = 13,
        sequence: int = 0,
        extended: bool = False,
    ) -> None:
        encryption, authentication = KEYS[suite]
        packed = socket.inet_pton(
            socket.AF_INET if self.family == 4 else socket.AF_INET6, self.address
        )
        self.path.install_out(
            spi,
            suite,
            bytes(range(encryption)),
            bytes(range(authentication)),
            *hits,
            *lsis,
            family=self.family,
            source=packed,
            destination=packed,
            udp=True,
            source_port=self.port,
            destination_port=to_port,
            sequence=sequence,
            extended=extended,
        )

    def install_in(
        self,
        spi: int,
        hits: tuple[bytes, bytes],
        lsis: tuple[bytes, bytes],
        *,
        suite: int = 13,
        sequence: int = 0,
        extended: bool = False,
    ) -> None:
        encryption, authentication = KEYS[suite]
        keys = bytes(range(encryption)), bytes(range(authentication))
        numbers = {"sequence": sequence, "extended": extended}
        self.path.install_in(spi, suite, *keys, *hits, *lsis, **numbers)

    def punts(self, count: int) -> list[tuple[int, bytes, tuple[object, ...]]]:
        """Exactly the next `count` punts."""
        taken: list[tuple[int, bytes, tuple[object, ...]]] = []

        def has_all() -> bool:
            taken.extend(self.path.take_punts())
            return len(taken) >= count

        wait_until(has_all)
        assert len(taken) == count
        return taken


def ended(host: Host) -> int:
    """Datagrams that were handed to the control plane or dropped, and how often they count."""
    counters = host.path.counters()
    return counters["punt_control"] + sum(counters[name] for name in REASONS)


def join(a: Host, b: Host, suite: int, lsis: tuple[bytes, bytes]) -> None:
    """Both directions of one association between A and B."""
    ours, theirs = lsis, lsis[::-1]
    b.install_in(SPI_AB, (HIT_B, HIT_A), theirs, suite=suite)
    a.install_in(SPI_BA, (HIT_A, HIT_B), ours, suite=suite)
    a.install_out(SPI_AB, (HIT_A, HIT_B), ours, b.port, suite=suite)
    b.install_out(SPI_BA, (HIT_B, HIT_A), theirs, a.port, suite=suite)


@contextlib.contextmanager
def running_hosts(count: int, family: int = 4, **options: int) -> Iterator[list[Host]]:
    hosts = [Host(family, **options) for _ in range(count)]
    try:
        for host in hosts:
            host.start()
        yield hosts
    finally:
        for host in hosts:
            host.close()


@contextlib.contextmanager
def wired(
    *,
    suite: int = 13,
    family: int = 4,
    lsis: tuple[bytes, bytes] = (LSI_A, LSI_B),
    **options: int,
) -> Iterator[tuple[Host, Host]]:
    """A and B with an association, workers running."""
    with running_hosts(2, family, **options) as (a, b):
        join(a, b, suite, lsis)
        yield a, b
