"""The table of parameters against the numbers of the RFCs, typed in here a second time."""

from __future__ import annotations

import hipgw.wire
from hipgw.wire import PARAMETERS, PARAMETERS_V1, ParameterType, is_critical

# RFC 7401 section 5.2; 7402 5.1; 8046 4; 8002 2; 8003 4; 8004 4.2; 9028 5; 6078 4; 6079 6;
# 6028 4.1; 6261 3.1.
TYPES = {
    "EspInfo": 65,
    "R1Counter": 129,
    "LocatorSet": 193,
    "Puzzle": 257,
    "Solution": 321,
    "Seq": 385,
    "Ack": 449,
    "DhGroupList": 511,
    "DiffieHellman": 513,
    "HipCipherList": 579,
    "NatTraversalMode": 608,
    "TransactionPacing": 610,
    "Encrypted": 641,
    "HostId": 705,
    "HitSuiteList": 715,
    "Cert": 768,
    "Notification": 832,
    "EchoRequestSigned": 897,
    "RegInfo": 930,
    "RegRequest": 932,
    "RegResponse": 934,
    "RegFailed": 936,
    "RegFrom": 950,
    "EchoResponseSigned": 961,
    "TransportFormatList": 2049,
    "EspTransform": 4095,
    "SeqData": 4481,
    "AckData": 4545,
    "PayloadMic": 4577,
    "TransactionId": 4580,
    "OverlayId": 4592,
    "RouteDst": 4601,
    "RelayedAddress": 4650,
    "MappedAddress": 4660,
    "PeerPermission": 4680,
    "CandidatePriority": 4700,
    "Nominate": 4710,
    "HipTransportMode": 7680,
    "HipMac": 61505,
    "HipMac2": 61569,
    "HipSignature2": 61633,
    "HipSignature": 61697,
    "EchoResponseUnsigned": 63425,
    "EchoRequestUnsigned": 63661,
    "RelayFrom": 63998,
    "RelayTo": 64002,
    "OverlayTtl": 64011,
    "RouteVia": 64017,
    "From": 65498,
    "RvsHmac": 65500,
    "ViaRvs": 65502,
    "RelayHmac": 65520,
}
# What HIPv1 has otherwise (RFC 5201 section 5.2), and what came after it.
OWN_V1 = {
    "R1CounterV1": 128,
    "PuzzleV1": 257,
    "SolutionV1": 321,
    "DiffieHellmanV1": 513,
    "HipTransformList": 577,
    "HostIdV1": 705,
    "HipMacV1": 61505,
    "HipMac2V1": 61569,
    "HipSignature2V1": 61633,
    "HipSignatureV1": 61697,
}
NOT_IN_V1 = {
    "R1Counter",  # RFC 7401: type 129
    "DhGroupList",
    "HipCipherList",
    "HitSuiteList",
    "TransportFormatList",
    "RelayedAddress",  # RFC 9028
    "MappedAddress",
    "PeerPermission",
    "CandidatePriority",
    "Nominate",
}
REPEATING = {
    "EspInfo",  # RFC 8047 4.2.4
    "LocatorSet",  # RFC 8047 4.2.8
    "Encrypted",  # RFC 7401 5.2.18
    "Cert",  # RFC 8002 2
    "Notification",  # RFC 7401 5.2.19
    "RegRequest",  # RFC 8003 4.3
    "RegResponse",  # RFC 8003 4.4
    "RegFailed",  # RFC 8003 4.5
    "PayloadMic",  # RFC 6078 4
    "EchoResponseUnsigned",  # RFC 7401 5.2.23
    "EchoRequestUnsigned",  # RFC 7401 5.2.21
    "From",  # RFC 8004 4.2.2
    "RvsHmac",  # RFC 8004 4.2.2
}


def test_numbers() -> None:
    assert {kind.__name__: number for number, kind in PARAMETERS.items()} == TYPES


def test_numbers_of_hipv1() -> None:
    shared = {
        name: number
        for name, number in TYPES.items()
        if name not in NOT_IN_V1 and number not in OWN_V1.values()
    }
    assert {kind.__name__: number for number, kind in PARAMETERS_V1.items()} == shared | OWN_V1


def test_repetition_is_the_same_in_both_versions() -> None:
    repeating = {number for number, kind in PARAMETERS.items() if kind.MAY_REPEAT}
    repeating_v1 = {number for number, kind in PARAMETERS_V1.items() if kind.MAY_REPEAT}
    assert repeating_v1 == repeating


def test_every_kind_is_exported() -> None:
    for number, kind in [*PARAMETERS.items(), *PARAMETERS_V1.items()]:
        assert getattr(hipgw.wire, kind.__name__) is kind
        assert number == kind.TYPE


def test_what_may_repeat() -> None:
    assert {kind.__name__ for kind in PARAMETERS.values() if kind.MAY_REPEAT} == REPEATING


def test_type_names() -> None:
    """Every number has a name; the only names without a class are those of HIPv1."""
    numbers = {int(number) for number in ParameterType}
    assert numbers == set(TYPES.values()) | {128, 577}
    assert ParameterType(577).name == "HIP_TRANSFORM"
    assert ParameterType(128).name == "R1_COUNTER_V1"


def test_critical() -> None:
    assert is_critical(65)
    assert not is_critical(608)
