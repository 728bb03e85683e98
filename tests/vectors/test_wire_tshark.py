"""Packets that we emit, read by tshark: another dissector finds what we put in."""

from __future__ import annotations

import struct
import subprocess
from ipaddress import IPv4Address, IPv6Address, ip_address
from pathlib import Path

from hipgw.values import NULL_HIT, Address, Hit
from hipgw.wire import (
    Ack,
    DhGroupList,
    DiffieHellman,
    EchoRequestSigned,
    EchoRequestUnsigned,
    EchoResponseSigned,
    EchoResponseUnsigned,
    Encrypted,
    EspInfo,
    EspTransform,
    HipCipherList,
    HipMac,
    HipMac2,
    HipPacket,
    HipSignature,
    HipSignature2,
    HitSuiteList,
    HostId,
    LocatorRecord,
    LocatorSet,
    Notification,
    PacketType,
    Puzzle,
    R1Counter,
    Seq,
    Solution,
    SpiLocator,
    TransportFormatList,
    emit_packet,
    with_checksum,
)
from tests.vectors.pcap_file import LINK_RAW, PROTOCOL_HIP

A = Hit.parse("2001:21::a")
B = Hit.parse("2001:22::b")
V6 = ip_address("2001:db8::1"), ip_address("2001:db8::2")
V4 = ip_address("192.0.2.1"), ip_address("192.0.2.2")
GOOD, BAD = "1", "0"
FIELDS = (
    "hip.packet_type",
    "hip.version",
    "hip.checksum.status",
    "hip.hit_sndr",
    "hip.hit_rcvr",
    "hip.type",
    "hip.controls",
    "_ws.malformed",
)
TAIL = HipMac(b"m" * 32), HipSignature(5, b"s" * 256)
EXCHANGE = (
    HipPacket(PacketType.I1, A, NULL_HIT, (DhGroupList((7, 8, 3)),)),
    HipPacket(
        PacketType.R1,
        B,
        A,
        (
            R1Counter(7),
            Puzzle(10, 37, b"\xab\xcd", b"i" * 32),
            DhGroupList((7, 3)),
            DiffieHellman(7, b"d" * 64),
            HipCipherList((4, 2)),
            HostId(5, b"\3\1\0\1" + b"n" * 256, 1, b"\1r\7example\0"),
            HitSuiteList((1, 2)),
            TransportFormatList((4095,)),
            EspTransform((13, 8)),
            HipSignature2(5, b"s" * 256),
            EchoRequestUnsigned(b"x"),
        ),
        controls=1,
    ),
    HipPacket(
        PacketType.I2,
        A,
        B,
        (
            EspInfo(96, 0, 0x1234567),
            R1Counter(7),
            Solution(10, b"\xab\xcd", b"i" * 32, b"j" * 32),
            DiffieHellman(7, b"d" * 64),
            HipCipherList((4,)),
            Encrypted(b"v" * 16 + b"c" * 48),
            TransportFormatList((4095,)),
            EspTransform((13,)),
            *TAIL,
            EchoResponseUnsigned(b"x"),
        ),
    ),
    HipPacket(
        PacketType.R2,
        B,
        A,
        (EspInfo(96, 0, 0x7654321), HipMac2(b"m" * 32), HipSignature(5, b"s" * 256)),
    ),
    HipPacket(
        PacketType.UPDATE,
        A,
        B,
        (
            EspInfo(0, 0x1234567, 0x1234567),
            LocatorSet((LocatorRecord(SpiLocator(0x1234567, V4[0]), 600, preferred=True),)),
            Seq(0),
            Ack((0, 1)),
            EchoRequestSigned(b"nonce"),
            *TAIL,
        ),
    ),
    HipPacket(PacketType.NOTIFY, A, B, (Notification(24), Notification(1, b"\x02\x41"), TAIL[1])),
    HipPacket(PacketType.CLOSE, A, B, (EchoRequestSigned(b"bye"), *TAIL)),
    HipPacket(PacketType.CLOSE_ACK, B, A, (EchoResponseSigned(b"bye"), *TAIL)),
)


def ip_packet(source: Address, destination: Address, payload: bytes) -> bytes:
    if isinstance(source, IPv4Address) and isinstance(destination, IPv4Address):
        head = struct.pack("!BBHIBBH", 0x45, 0, 20 + len(payload), 0, 64, PROTOCOL_HIP, 0)
        return head + source.packed + destination.packed + payload
    assert isinstance(source, IPv6Address)
    head = struct.pack("!IHBB", 0x60000000, len(payload), PROTOCOL_HIP, 64)
    return head + source.packed + destination.packed + payload


def tshark(packets: list[bytes], folder: Path) -> list[dict[str, str]]:
    """What tshark says of IP packets: one mapping of field to value per packet."""
    octets = struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, LINK_RAW)
    for packet in packets:
        octets += struct.pack("<IIII", 0, 0, len(packet), len(packet)) + packet
    path = folder / "emitted.pcap"
    path.write_bytes(octets)
    command = ["tshark", "-n", "-r", str(path), "-T", "fields", "-E", "separator=;"]
    for field in FIELDS:
        command += ["-e", field]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=300)
    lines = done.stdout.splitlines()
    return [dict(zip(FIELDS, line.split(";"), strict=True)) for line in lines]


def test_tshark_reads_what_we_emit(tmp_path: Path) -> None:
    sent = [
        (packet, ip_packet(*addresses, with_checksum(emit_packet(packet), *addresses)))
        for addresses in (V4, V6)
        for packet in EXCHANGE
    ]
    seen = tshark([octets for _, octets in sent], tmp_path)
    assert len(seen) == len(sent)
    for (packet, _), fields in zip(sent, seen, strict=True):
        assert int(fields["hip.packet_type"]) == packet.packet_type
        assert int(fields["hip.version"]) == packet.version
        assert fields["hip.checksum.status"] == GOOD
        assert bytes.fromhex(fields["hip.hit_sndr"].replace(":", "")) == packet.sender.packed
        assert bytes.fromhex(fields["hip.hit_rcvr"].replace(":", "")) == packet.receiver.packed
        types = [int(number) for number in fields["hip.type"].split(",")]
        assert types == [parameter.wire_type for parameter in packet.parameters]
        assert int(fields["hip.controls"], 16) == packet.controls
        assert fields["_ws.malformed"] == ""


def test_tshark_sees_a_wrong_checksum(tmp_path: Path) -> None:
    """The judge of the test above can say no."""
    octets = with_checksum(emit_packet(EXCHANGE[0]), *V6)
    wrong = octets[:4] + bytes([octets[4] ^ 1]) + octets[5:]
    (fields,) = tshark([ip_packet(*V6, wrong)], tmp_path)
    assert fields["hip.checksum.status"] == BAD
