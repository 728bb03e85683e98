from __future__ import annotations

import struct
from ipaddress import ip_address
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hipgw.lab.capture import Capture, classify, read_pcap, sightings
from hipgw.values import Encapsulation
from hipgw.wire import PacketType

MACS = bytes(12)
I1_HEADER = bytes((59, 4, 0x01, 0x21)) + bytes(36)
ESP = struct.pack(">II", 0x1234, 1) + bytes(40)


def ipv4(protocol: int, payload: bytes, padding: bytes = b"") -> bytes:
    header = struct.pack(
        ">BBHHHBBH4s4s", 0x45, 0, 20 + len(payload), 0, 0, 64, protocol, 0,
        bytes((10, 77, 0, 1)), bytes((10, 77, 0, 2)),
    )  # fmt: skip
    return MACS + b"\x08\x00" + header + payload + padding


def ipv6(protocol: int, payload: bytes) -> bytes:
    header = struct.pack(">IHBB", 6 << 28, len(payload), protocol, 64)
    source, destination = ip_address("fd00:77::1").packed, ip_address("fd00:77::2").packed
    return MACS + b"\x86\xdd" + header + source + destination + payload


def udp(payload: bytes, source: int = 40000, destination: int = 10500) -> bytes:
    return struct.pack(">HHHH", source, destination, 8 + len(payload), 0) + payload


@pytest.mark.parametrize(
    ("frame", "encapsulation", "kind"),
    [
        (ipv4(139, I1_HEADER), Encapsulation.RAW, PacketType.I1),
        (ipv6(139, I1_HEADER), Encapsulation.RAW, PacketType.I1),
        (ipv4(50, ESP), Encapsulation.RAW, None),
        (ipv6(50, ESP), Encapsulation.RAW, None),
        (ipv4(17, udp(bytes(4) + I1_HEADER)), Encapsulation.UDP, PacketType.I1),
        (ipv6(17, udp(bytes(4) + I1_HEADER, 10500, 40000)), Encapsulation.UDP, PacketType.I1),
        (ipv4(17, udp(ESP)), Encapsulation.UDP, None),
    ],
    ids=["hip4", "hip6", "esp4", "esp6", "udp-hip4", "udp-hip6", "udp-esp4"],
)
def test_hip_and_esp_are_recognised_in_every_encapsulation(
    frame: bytes, encapsulation: Encapsulation, kind: PacketType | None
) -> None:
    sighting = classify(1.5, frame)
    assert sighting is not None
    assert (sighting.encapsulation, sighting.packet_type) == (encapsulation, kind)
    assert sighting.time_s == 1.5
    assert sighting.octets == len(frame) - 14
    assert str(sighting.source) in {"10.77.0.1", "fd00:77::1"}
    assert str(sighting.destination) in {"10.77.0.2", "fd00:77::2"}


@pytest.mark.parametrize(
    "frame",
    [
        b"",
        MACS + b"\x08\x06" + bytes(28),
        ipv4(1, bytes(64)),
        ipv4(17, udp(I1_HEADER, 53, 53)),
        ipv4(17, udp(b"\xff")),
        ipv4(139, bytes((59, 4, 0x7F)) + bytes(37)),
        ipv4(139, I1_HEADER[:-1]),
        ipv4(50, bytes(4)),
        ipv6(58, bytes(32)),
    ],
    ids=[
        "empty",
        "arp",
        "icmp",
        "dns",
        "nat-keepalive",
        "unknown-type",
        "short-hip",
        "short-esp",
        "icmpv6",
    ],
)
def test_other_packets_are_passed_over(frame: bytes) -> None:
    assert classify(0.0, frame) is None


def test_ethernet_padding_is_not_counted() -> None:
    sighting = classify(0.0, ipv4(50, ESP, padding=bytes(18)))
    assert sighting is not None
    assert sighting.octets == 20 + len(ESP)


@given(
    st.binary(max_size=120)
    | st.builds(
        lambda kind, rest: MACS + kind + rest,
        st.sampled_from([b"\x08\x00", b"\x86\xdd"]),
        st.binary(max_size=100),
    )
)
def test_no_frame_makes_the_reader_raise(frame: bytes) -> None:
    sighting = classify(0.0, frame)
    assert sighting is None or sighting.octets >= 0


def pcap(order: str, magic: int, packets: list[tuple[int, int, bytes]], linktype: int = 1) -> bytes:
    head = struct.pack(order + "IHHiIII", magic, 2, 4, 0, 0, 262144, linktype)
    return head + b"".join(
        struct.pack(order + "IIII", seconds, parts, len(frame), len(frame)) + frame
        for seconds, parts, frame in packets
    )


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize(("magic", "parts"), [(0xA1B2C3D4, 250_000), (0xA1B23C4D, 250_000_000)])
def test_a_capture_of_either_byte_order_and_resolution(
    tmp_path: Path, order: str, magic: int, parts: int
) -> None:
    file = tmp_path / "x.pcap"
    file.write_bytes(pcap(order, magic, [(7, parts, ipv4(139, I1_HEADER)), (8, 0, bytes(60))]))
    (sighting,) = sightings(file)
    assert sighting.time_s == pytest.approx(7.25)
    assert sighting.packet_type is PacketType.I1


def test_a_packet_that_was_cut_off_is_left_out() -> None:
    whole = pcap("<", 0xA1B2C3D4, [(1, 0, b"first"), (2, 0, b"second")])
    assert [frame for _, frame in read_pcap(whole[:-1])] == [b"first"]
    assert [frame for _, frame in read_pcap(whole)] == [b"first", b"second"]


@pytest.mark.parametrize(
    "octets", [b"", bytes(24), pcap("<", 0xA1B2C3D4, [], linktype=113)],
    ids=["empty", "magic", "linktype"],
)  # fmt: skip
def test_other_files_are_refused(octets: bytes) -> None:
    with pytest.raises(ValueError, match="not a"):
        list(read_pcap(octets))


def test_the_filter_is_one_argument() -> None:
    command = Capture(Path("/x.pcap"), "eth0", "udp port 10500").command
    assert command[-1] == "udp port 10500"
    assert command[command.index("-w") + 1] == "/x.pcap"
    assert Capture(Path("/x.pcap"), "eth0", "").command[-1] == "root"
