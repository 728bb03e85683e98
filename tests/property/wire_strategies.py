"""Hypothesis strategies for every parameter and for whole packets."""

from __future__ import annotations

from collections.abc import Callable
from ipaddress import IPv4Address, IPv6Address

from hypothesis import strategies as st

from hipgw.values import Hit
from hipgw.wire import (
    PARAMETERS,
    Ack,
    AckData,
    AddressLocator,
    CandidatePriority,
    Cert,
    DhGroupList,
    DiffieHellman,
    EchoRequestSigned,
    EchoRequestUnsigned,
    EchoResponseSigned,
    EchoResponseUnsigned,
    Encrypted,
    EspInfo,
    EspTransform,
    From,
    HipCipherList,
    HipMac,
    HipMac2,
    HipPacket,
    HipSignature,
    HipSignature2,
    HipTransportMode,
    HitSuiteList,
    HostId,
    LocatorRecord,
    LocatorSet,
    MappedAddress,
    NatTraversalMode,
    Nominate,
    Notification,
    OverlayId,
    OverlayTtl,
    PacketType,
    Parameter,
    PayloadMic,
    PeerPermission,
    PermissionRule,
    Puzzle,
    R1Counter,
    RegFailed,
    RegFrom,
    RegInfo,
    RegRequest,
    RegResponse,
    RelayedAddress,
    RelayFrom,
    RelayHmac,
    RelayTo,
    RouteDst,
    RouteVia,
    RvsHmac,
    Seq,
    SeqData,
    Solution,
    SpiLocator,
    TransactionId,
    TransactionPacing,
    TransportFormatList,
    TransportLocator,
    UnknownLocator,
    UnknownParameter,
    ViaRvs,
)

u8 = st.integers(0, 0xFF)
u16 = st.integers(0, 0xFFFF)
u32 = st.integers(0, 0xFFFFFFFF)
u64 = st.integers(0, 0xFFFFFFFFFFFFFFFF)
blob = st.binary(max_size=40)
some = st.binary(min_size=1, max_size=70)
hits = st.builds(Hit, st.binary(min_size=16, max_size=16))
addresses = st.one_of(
    st.builds(IPv4Address, u32),
    st.builds(IPv6Address, st.binary(min_size=16, max_size=16)).filter(
        lambda address: address.ipv4_mapped is None
    ),
)


def tuple_of(
    element: st.SearchStrategy[int], least: int = 0, most: int = 10
) -> st.SearchStrategy[tuple[int, ...]]:
    return st.lists(element, min_size=least, max_size=most).map(tuple)


def solution_of(octets: int) -> st.SearchStrategy[Solution]:
    half = st.binary(min_size=octets, max_size=octets)
    return st.builds(Solution, u8, st.binary(min_size=2, max_size=2), half, half, u8)


def cert_of(count: int) -> st.SearchStrategy[Cert]:
    return st.builds(Cert, u8, st.just(count), st.integers(1, count), u8, blob)


words = st.integers(0, 12).flatmap(lambda n: st.binary(min_size=4 * n, max_size=4 * n))
locators = st.one_of(
    st.builds(AddressLocator, addresses),
    st.builds(SpiLocator, u32, addresses),
    st.builds(TransportLocator, u16, u8, u8, u32, u32, addresses),
    st.builds(UnknownLocator, st.integers(3, 255), words),
)
records = st.builds(LocatorRecord, locators, st.integers(1, 0xFFFFFFFF), u8, st.booleans())
rules = st.builds(PermissionRule, u16, u16, u8, addresses, addresses, u32, u32)
host_ids = st.one_of(
    st.builds(HostId, u16, blob),
    st.builds(HostId, u16, blob, st.integers(1, 15), blob),
)


def hit_tuples(least: int) -> st.SearchStrategy[tuple[Hit, ...]]:
    return st.lists(hits, min_size=least, max_size=6).map(tuple)


STRATEGIES: dict[Callable[..., Parameter], st.SearchStrategy[Parameter]] = {
    EspInfo: st.builds(EspInfo, u16, u32, u32),
    R1Counter: st.builds(R1Counter, u64, u32),
    LocatorSet: st.builds(LocatorSet, st.lists(records, max_size=4).map(tuple)),
    Puzzle: st.builds(Puzzle, u8, u8, st.binary(min_size=2, max_size=2), some),
    Solution: st.integers(1, 48).flatmap(solution_of),
    Seq: st.builds(Seq, u32),
    Ack: st.builds(Ack, tuple_of(u32, 1)),
    DhGroupList: st.builds(DhGroupList, tuple_of(u8)),
    DiffieHellman: st.builds(DiffieHellman, u8, blob),
    HipCipherList: st.builds(HipCipherList, tuple_of(u16, 0, 6)),
    NatTraversalMode: st.builds(NatTraversalMode, tuple_of(u16, 0, 6)),
    TransactionPacing: st.builds(TransactionPacing, u32),
    Encrypted: st.builds(Encrypted, blob, u32),
    HostId: host_ids,
    HitSuiteList: st.builds(HitSuiteList, tuple_of(st.integers(0, 15))),
    Cert: st.integers(1, 255).flatmap(cert_of),
    Notification: st.builds(Notification, u16, blob),
    EchoRequestSigned: st.builds(EchoRequestSigned, blob),
    RegInfo: st.builds(RegInfo, u8, u8, tuple_of(u8)),
    RegRequest: st.builds(RegRequest, u8, tuple_of(u8)),
    RegResponse: st.builds(RegResponse, u8, tuple_of(u8)),
    RegFailed: st.builds(RegFailed, u8, tuple_of(u8)),
    RegFrom: st.builds(RegFrom, u16, u8, addresses),
    EchoResponseSigned: st.builds(EchoResponseSigned, blob),
    TransportFormatList: st.builds(TransportFormatList, tuple_of(u16)),
    EspTransform: st.builds(EspTransform, tuple_of(u16, 0, 6)),
    SeqData: st.builds(SeqData, u32),
    AckData: st.builds(AckData, tuple_of(u32, 1)),
    PayloadMic: st.builds(PayloadMic, u8, st.binary(min_size=8, max_size=8), blob),
    TransactionId: st.builds(TransactionId, blob),
    OverlayId: st.builds(OverlayId, blob),
    RouteDst: st.builds(RouteDst, u16, hit_tuples(1)),
    RelayedAddress: st.builds(RelayedAddress, u16, u8, addresses),
    MappedAddress: st.builds(MappedAddress, u16, u8, addresses),
    PeerPermission: st.builds(PeerPermission, st.lists(rules, min_size=1, max_size=3).map(tuple)),
    CandidatePriority: st.builds(CandidatePriority, u32),
    Nominate: st.builds(Nominate),
    HipTransportMode: st.builds(HipTransportMode, u16, tuple_of(u16)),
    HipMac: st.builds(HipMac, some),
    HipMac2: st.builds(HipMac2, some),
    HipSignature2: st.builds(HipSignature2, u16, some),
    HipSignature: st.builds(HipSignature, u16, some),
    EchoResponseUnsigned: st.builds(EchoResponseUnsigned, blob),
    EchoRequestUnsigned: st.builds(EchoRequestUnsigned, blob),
    RelayFrom: st.builds(RelayFrom, u16, u8, addresses),
    RelayTo: st.builds(RelayTo, u16, u8, addresses),
    OverlayTtl: st.builds(OverlayTtl, u16),
    RouteVia: st.builds(RouteVia, u16, hit_tuples(0)),
    From: st.builds(From, addresses),
    RvsHmac: st.builds(RvsHmac, some),
    ViaRvs: st.builds(ViaRvs, st.lists(addresses, min_size=1, max_size=4).map(tuple)),
    RelayHmac: st.builds(RelayHmac, some),
    UnknownParameter: st.builds(
        UnknownParameter,
        st.integers(0, 0x7FFF).map(lambda half: half * 2).filter(lambda n: n not in PARAMETERS),
        blob,
    ),
}

parameters = st.one_of(*STRATEGIES.values())


def in_order(found: list[Parameter]) -> tuple[Parameter, ...]:
    """Sort by type and keep the first of those that may come once only."""
    kept: list[Parameter] = []
    for parameter in sorted(found, key=lambda each: each.wire_type):
        repeated = bool(kept) and kept[-1].wire_type == parameter.wire_type
        if not repeated or parameter.MAY_REPEAT:
            kept.append(parameter)
    return tuple(kept)


packets = st.builds(
    HipPacket,
    st.sampled_from(PacketType),
    hits,
    hits,
    st.lists(parameters, max_size=6).map(in_order),
    controls=st.sampled_from((0, 1)),
)
