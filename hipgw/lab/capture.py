"""Captures on a lab host, and what HIP and ESP a capture holds."""

from __future__ import annotations

import struct
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path
from typing import Any, Final

from hipgw.lab.readiness import wait_for_words
from hipgw.values import ESP_PROTOCOL, HIP_PROTOCOL, HIP_UDP_PORT, Address, Encapsulation
from hipgw.wire import PacketType

LISTEN_PATIENCE_S: Final = 30.0
QUIET_S: Final = 0.1
WRITE_PATIENCE_S: Final = 30.0
BUFFER_KIB: Final = 16384
"""A slot takes 64 KiB where super-packets pass: the 2 MiB of tcpdump's own hold 32 packets."""

PCAP_HEADER_OCTETS: Final = 24
RECORD_HEADER_OCTETS: Final = 16
LINKTYPE_ETHERNET: Final = 1
ETHERNET_HEADER_OCTETS: Final = 14
HIP_HEADER_OCTETS: Final = 40
"""RFC 7401 section 5.1; the third octet holds a zero bit and the packet type."""
UDP_PROTOCOL: Final = 17
UDP_HEADER_OCTETS: Final = 8
ZERO_MARKER: Final = bytes(4)
"""Before HIP in UDP; ESP has its SPI there, which is never zero (RFC 9028 section 5.1)."""


class Capture:
    """A tcpdump that writes to a file."""

    def __init__(self, path: Path, interface: str, filters: str) -> None:
        self.path: Final = path
        self.command: Final = [
            "tcpdump", "-n", "-i", interface, "-w", str(path), "-U", "-s", "0",
            "--immediate-mode", "-B", str(BUFFER_KIB), "-Z", "root",
            *([filters] if filters else []),
        ]  # fmt: skip

    def wait_until_listening(self, process: subprocess.Popen[Any]) -> None:
        """Return when packets are being captured; raises HostError when they will not be."""
        wait_for_words(process, "listening on", patience_s=LISTEN_PATIENCE_S)

    def wait_until_written(self, process: subprocess.Popen[Any]) -> None:
        """Return when the file has not grown for a moment, and tcpdump waits for more."""
        deadline = time.monotonic() + WRITE_PATIENCE_S
        before = -1
        while time.monotonic() < deadline:
            now = self.path.stat().st_size
            if now == before and not _has_work(process.pid):
                return
            before = now
            time.sleep(QUIET_S)


def _has_work(pid: int) -> bool:
    """Whether a process runs, or would if it were let; it sleeps when it has read every packet."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return stat.rpartition(")")[2].split()[0] in {"R", "D", "T"}  # proc(5)


@dataclass(frozen=True, slots=True)
class Sighting:
    """A HIP control packet or an ESP packet in a capture."""

    time_s: float
    """Seconds since the epoch."""
    source: Address
    destination: Address
    encapsulation: Encapsulation
    packet_type: PacketType | None
    """None for ESP."""
    octets: int
    """Of the whole IP packet, outer header included."""


def read_pcap(octets: bytes) -> Iterator[tuple[float, bytes]]:
    """Time (seconds since the epoch) and Ethernet frame of each packet of a pcap file.

    A last packet that is cut off is left out: its writer was ended.

    Raises:
        ValueError: not a pcap file of Ethernet frames.
    """
    forms = {
        b"\xd4\xc3\xb2\xa1": ("<", 1e-6),
        b"\xa1\xb2\xc3\xd4": (">", 1e-6),
        b"\x4d\x3c\xb2\xa1": ("<", 1e-9),
        b"\xa1\xb2\x3c\x4d": (">", 1e-9),
    }
    if len(octets) < PCAP_HEADER_OCTETS or octets[:4] not in forms:
        raise ValueError("not a pcap file")
    order, unit_s = forms[octets[:4]]
    if struct.unpack_from(order + "I", octets, 20)[0] & 0xFFFF != LINKTYPE_ETHERNET:
        raise ValueError("not a capture of Ethernet frames")
    offset = PCAP_HEADER_OCTETS
    while offset + RECORD_HEADER_OCTETS <= len(octets):
        seconds, parts, captured, _ = struct.unpack_from(order + "IIII", octets, offset)
        offset += RECORD_HEADER_OCTETS
        if offset + captured > len(octets):
            return
        yield seconds + parts * unit_s, octets[offset : offset + captured]
        offset += captured


def sightings(path: Path) -> list[Sighting]:
    """The HIP and ESP packets of a capture file, in its order; anything else is passed over."""
    seen = (classify(time_s, frame) for time_s, frame in read_pcap(path.read_bytes()))
    return [sighting for sighting in seen if sighting is not None]


def control_packets(path: Path) -> list[tuple[float, bytes]]:
    """Time (seconds since the epoch) and octets of the HIP packets of a capture, out of IP and UDP.

    Raises:
        OSError, ValueError: the file cannot be read, or is not a capture.
    """
    found = []
    for time_s, frame in read_pcap(path.read_bytes()):
        carried = _dissect(frame)
        if carried is not None and carried.protocol == HIP_PROTOCOL:
            found.append((time_s, carried.payload))
    return found


def classify(time_s: float, frame: bytes) -> Sighting | None:
    """What an Ethernet frame carries, or None when it is neither HIP nor ESP.

    IPv6 extension headers and fragments are not looked into.
    """
    carried = _dissect(frame)
    if carried is None:
        return None
    ends = carried.source, carried.destination, carried.encapsulation
    if carried.protocol == ESP_PROTOCOL and len(carried.payload) >= 8:
        return Sighting(time_s, *ends, None, carried.ip_octets)
    if carried.protocol == HIP_PROTOCOL and len(carried.payload) >= HIP_HEADER_OCTETS:
        try:
            kind = PacketType(carried.payload[2] & 0x7F)
        except ValueError:
            return None
        return Sighting(time_s, *ends, kind, carried.ip_octets)
    return None


@dataclass(frozen=True, slots=True)
class _Carried:
    """The payload of an IP packet, taken out of UDP where that carries HIP or ESP."""

    source: Address
    destination: Address
    encapsulation: Encapsulation
    protocol: int
    payload: bytes
    ip_octets: int


def _dissect(frame: bytes) -> _Carried | None:
    packet = frame[ETHERNET_HEADER_OCTETS:]
    source: Address
    destination: Address
    if frame[12:14] == b"\x08\x00" and len(packet) >= 20:
        protocol, start = packet[9], (packet[0] & 0x0F) * 4
        source, destination = IPv4Address(packet[12:16]), IPv4Address(packet[16:20])
        length = int.from_bytes(packet[2:4], "big")
    elif frame[12:14] == b"\x86\xdd" and len(packet) >= 40:
        protocol, start = packet[6], 40
        source, destination = IPv6Address(packet[8:24]), IPv6Address(packet[24:40])
        length = 40 + int.from_bytes(packet[4:6], "big")
    else:
        return None
    payload, encapsulation = packet[start:length], Encapsulation.RAW
    if protocol == UDP_PROTOCOL:
        ports = payload[:4]
        if HIP_UDP_PORT.to_bytes(2, "big") not in (ports[:2], ports[2:]):
            return None
        payload, encapsulation = payload[UDP_HEADER_OCTETS:], Encapsulation.UDP
        is_control = payload[:4] == ZERO_MARKER
        protocol, payload = (HIP_PROTOCOL, payload[4:]) if is_control else (ESP_PROTOCOL, payload)
    return _Carried(source, destination, encapsulation, protocol, payload, length)
