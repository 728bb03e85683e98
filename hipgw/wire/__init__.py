"""HIPv2 octets to frozen values and back (RFC 7401 and its extensions).

Pure: no clock, no randomness, no I/O.  A parser raises `WireError` and nothing else, whatever the
octets; an emitter raises `LocalProtocolError` for what our own side must not send.
"""

from hipgw.wire.assembly import append_parameter, patch_r1
from hipgw.wire.checksum import checksum_is_right, with_checksum
from hipgw.wire.coverage import covered_octets, mac2_octets, r1_signed_octets
from hipgw.wire.framing import emit_parameter, find_tlv, parse_parameters, total_octets
from hipgw.wire.header import (
    CONTROL_ANONYMOUS,
    HEADER_OCTETS,
    HIP_VERSION,
    NO_NEXT_HEADER,
    PACKET_OCTETS_MAX,
    PARAMETER_OCTETS_MAX,
    SPOKEN_VERSIONS,
    PacketType,
    peek_header,
)
from hipgw.wire.packet import HipPacket, emit_packet, parse_packet
from hipgw.wire.parameter import Parameter, UnknownParameter
from hipgw.wire.parameter_types import ParameterType, is_critical
from hipgw.wire.parameters.certificates import Cert
from hipgw.wire.parameters.data import AckData, HipTransportMode, PayloadMic, SeqData
from hipgw.wire.parameters.esp import EspInfo, EspTransform
from hipgw.wire.parameters.exchange import (
    SUITES_MAX,
    DhGroupList,
    DiffieHellman,
    Encrypted,
    HipCipherList,
    Puzzle,
    R1Counter,
    Solution,
    TransportFormatList,
)
from hipgw.wire.parameters.identity import HitSuiteList, HostId
from hipgw.wire.parameters.locators import (
    LIFETIME_UNBOUNDED_S,
    AddressLocator,
    Locator,
    LocatorRecord,
    LocatorSet,
    SpiLocator,
    TransportLocator,
    UnknownLocator,
)
from hipgw.wire.parameters.opaque import (
    EchoRequestSigned,
    EchoRequestUnsigned,
    EchoResponseSigned,
    EchoResponseUnsigned,
    OverlayId,
    TransactionId,
)
from hipgw.wire.parameters.overlay import (
    ROUTE_HITS_MAX,
    ROUTE_MUST_FOLLOW,
    ROUTE_SYMMETRIC,
    OverlayTtl,
    RouteDst,
    RouteVia,
)
from hipgw.wire.parameters.proofs import HipMac, HipMac2, HipSignature, HipSignature2
from hipgw.wire.parameters.registration import RegFailed, RegInfo, RegRequest, RegResponse
from hipgw.wire.parameters.relay import (
    CandidatePriority,
    MappedAddress,
    NatTraversalMode,
    Nominate,
    PeerPermission,
    PermissionRule,
    RegFrom,
    RelayedAddress,
    RelayFrom,
    RelayHmac,
    RelayTo,
    TransactionPacing,
)
from hipgw.wire.parameters.rendezvous import From, RvsHmac, ViaRvs
from hipgw.wire.parameters.update import Ack, Notification, Seq
from hipgw.wire.plaintext import pad_plaintext, strip_plaintext_padding
from hipgw.wire.registry import PARAMETERS

__all__ = [
    "CONTROL_ANONYMOUS",
    "HEADER_OCTETS",
    "HIP_VERSION",
    "LIFETIME_UNBOUNDED_S",
    "NO_NEXT_HEADER",
    "PACKET_OCTETS_MAX",
    "PARAMETERS",
    "PARAMETER_OCTETS_MAX",
    "ROUTE_HITS_MAX",
    "ROUTE_MUST_FOLLOW",
    "ROUTE_SYMMETRIC",
    "SPOKEN_VERSIONS",
    "SUITES_MAX",
    "Ack",
    "AckData",
    "AddressLocator",
    "CandidatePriority",
    "Cert",
    "DhGroupList",
    "DiffieHellman",
    "EchoRequestSigned",
    "EchoRequestUnsigned",
    "EchoResponseSigned",
    "EchoResponseUnsigned",
    "Encrypted",
    "EspInfo",
    "EspTransform",
    "From",
    "HipCipherList",
    "HipMac",
    "HipMac2",
    "HipPacket",
    "HipSignature",
    "HipSignature2",
    "HipTransportMode",
    "HitSuiteList",
    "HostId",
    "Locator",
    "LocatorRecord",
    "LocatorSet",
    "MappedAddress",
    "NatTraversalMode",
    "Nominate",
    "Notification",
    "OverlayId",
    "OverlayTtl",
    "PacketType",
    "Parameter",
    "ParameterType",
    "PayloadMic",
    "PeerPermission",
    "PermissionRule",
    "Puzzle",
    "R1Counter",
    "RegFailed",
    "RegFrom",
    "RegInfo",
    "RegRequest",
    "RegResponse",
    "RelayFrom",
    "RelayHmac",
    "RelayTo",
    "RelayedAddress",
    "RouteDst",
    "RouteVia",
    "RvsHmac",
    "Seq",
    "SeqData",
    "Solution",
    "SpiLocator",
    "TransactionId",
    "TransactionPacing",
    "TransportFormatList",
    "TransportLocator",
    "UnknownLocator",
    "UnknownParameter",
    "ViaRvs",
    "append_parameter",
    "checksum_is_right",
    "covered_octets",
    "emit_packet",
    "emit_parameter",
    "find_tlv",
    "is_critical",
    "mac2_octets",
    "pad_plaintext",
    "parse_packet",
    "parse_parameters",
    "patch_r1",
    "peek_header",
    "r1_signed_octets",
    "strip_plaintext_padding",
    "total_octets",
    "with_checksum",
]
