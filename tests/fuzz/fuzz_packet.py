"""Invariant: parse_packet raises only WireError; what it accepts is emitted and read again equal.

The input is a packet.  Everything else that takes a stranger's packet is called with it too.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from ipaddress import IPv4Address, IPv6Address
from itertools import pairwise

from hipgw.errors import LocalProtocolError, WireError
from hipgw.values import Quirk
from hipgw.values.reasons import CONTROL_REASONS
from hipgw.wire import (
    EchoRequestUnsigned,
    HipPacket,
    HostId,
    LocatorSet,
    ParameterType,
    append_parameter,
    checksum_is_right,
    covered_octets,
    emit_packet,
    emit_parameter,
    find_tlv,
    mac2_octets,
    parse_packet,
    peek_header,
    r1_signed_octets,
    strip_plaintext_padding,
    with_checksum,
)
from tests.fuzz.target import Target
from tests.fuzz.tlvs import mutate_packet
from tests.vectors.pcap_file import PCAP_FOLDER, hip_packets

BOTH = frozenset({1, 2})
EVERY_QUIRK = frozenset(Quirk)
HOST_ID_TLV = emit_parameter(HostId(7, bytes(67), 1, b"host"))
COVERED = (ParameterType.HIP_MAC, ParameterType.HIP_SIGNATURE, ParameterType.RVS_HMAC)
PAIRS = (
    (IPv4Address("192.0.2.1"), IPv4Address("192.0.2.2")),
    (IPv6Address("2001:db8::1"), IPv6Address("2001:db8::2")),
)
READERS = (
    peek_header,
    strip_plaintext_padding,
    partial(find_tlv, type_=ParameterType.PUZZLE),
    partial(mac2_octets, host_id_tlv=HOST_ID_TLV),
    r1_signed_octets,
    *(partial(covered_octets, type_=number) for number in COVERED),
)


def run(octets: bytes) -> None:
    """Read, write, read again; then every other reader."""
    packets = [
        _parsed(octets),
        _parsed(octets, versions=BOTH),
        _parsed(octets, versions=BOTH, lenient_order=True),
    ]
    for strict, lenient in pairwise(packets):
        assert strict is None or strict == lenient, "a lenient reader reads the same"
    if _parsed(octets, versions=BOTH, quirks=EVERY_QUIRK) is None:
        assert packets[1] is None, "compatibility switches forbid nothing"
    if packets[1] is not None:
        _check_emission(packets[1])
    for read in READERS:
        with contextlib.suppress(WireError):
            read(octets)
    with contextlib.suppress(WireError, LocalProtocolError):
        longer = append_parameter(octets, EchoRequestUnsigned(b"x"))
        assert find_tlv(longer, ParameterType.ECHO_REQUEST_UNSIGNED) is not None
    for source, destination in PAIRS:
        assert checksum_is_right(octets, source, destination) in {True, False}
        with contextlib.suppress(LocalProtocolError):
            filled = with_checksum(octets, source, destination)
            assert checksum_is_right(filled, source, destination)


def _parsed(octets: bytes, **how: object) -> HipPacket | None:
    try:
        return parse_packet(octets, **how)  # type: ignore[arg-type]
    except WireError as error:
        check_refusal(error, octets)
        return None


def check_refusal(error: WireError, octets: bytes) -> None:
    """A refusal has a counter and a place."""
    assert error.reason in CONTROL_REASONS
    assert 0 <= error.offset_octets <= len(octets)


def _check_emission(packet: HipPacket) -> None:
    try:
        again = emit_packet(replace(packet, octets=b""))
    except LocalProtocolError:
        assert has_timeless_locator(packet), "only a locator lifetime of 0 is read and not written"
        return
    reread = parse_packet(again, versions=BOTH)
    assert reread == packet
    assert emit_packet(reread) == again


def has_timeless_locator(packet: HipPacket) -> bool:
    """Whether a LOCATOR_SET holds what the RFC lets nobody send."""
    return any(not one.lifetime_s for each in packet.all(LocatorSet) for one in each.locators)


def seeds() -> Iterator[bytes]:
    """Every HIP packet of the captures."""
    for capture in sorted(PCAP_FOLDER.glob("*.pcap")):
        for datagram in hip_packets(capture):
            yield datagram.octets


TARGET = Target("packet", run, seeds, mutate_packet, octets_most=2200)
