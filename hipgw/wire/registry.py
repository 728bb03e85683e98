"""Which class reads which parameter type, per HIP version: all parameters that this host knows.

The HIPv1 types 128 and 577 (RFC 5201) are not in the table of HIPv2: in a HIPv2 packet the first is
skipped and the second is an unknown critical parameter.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from hipgw.errors import LocalProtocolError
from hipgw.wire.parameter import Parameter, UnknownParameter
from hipgw.wire.parameters.certificates import Cert
from hipgw.wire.parameters.data import AckData, HipTransportMode, PayloadMic, SeqData
from hipgw.wire.parameters.esp import EspInfo, EspTransform
from hipgw.wire.parameters.exchange import (
    DhGroupList,
    DiffieHellman,
    Encrypted,
    HipCipherList,
    Puzzle,
    R1Counter,
    Solution,
    TransportFormatList,
)
from hipgw.wire.parameters.hipv1 import (
    DiffieHellmanV1,
    HipMac2V1,
    HipMacV1,
    HipSignature2V1,
    HipSignatureV1,
    HipTransformList,
    HostIdV1,
    PuzzleV1,
    R1CounterV1,
    SolutionV1,
)
from hipgw.wire.parameters.identity import HitSuiteList, HostId
from hipgw.wire.parameters.locators import LocatorSet
from hipgw.wire.parameters.opaque import (
    EchoRequestSigned,
    EchoRequestUnsigned,
    EchoResponseSigned,
    EchoResponseUnsigned,
    OverlayId,
    TransactionId,
)
from hipgw.wire.parameters.overlay import OverlayTtl, RouteDst, RouteVia
from hipgw.wire.parameters.proofs import HipMac, HipMac2, HipSignature, HipSignature2
from hipgw.wire.parameters.registration import RegFailed, RegInfo, RegRequest, RegResponse
from hipgw.wire.parameters.relay import (
    CandidatePriority,
    MappedAddress,
    NatTraversalMode,
    Nominate,
    PeerPermission,
    RegFrom,
    RelayedAddress,
    RelayFrom,
    RelayHmac,
    RelayTo,
    TransactionPacing,
)
from hipgw.wire.parameters.rendezvous import From, RvsHmac, ViaRvs
from hipgw.wire.parameters.update import Ack, Notification, Seq

_KINDS: Final[tuple[type[Parameter], ...]] = (
    EspInfo,
    R1Counter,
    LocatorSet,
    Puzzle,
    Solution,
    Seq,
    Ack,
    DhGroupList,
    DiffieHellman,
    HipCipherList,
    NatTraversalMode,
    TransactionPacing,
    Encrypted,
    HostId,
    HitSuiteList,
    Cert,
    Notification,
    EchoRequestSigned,
    RegInfo,
    RegRequest,
    RegResponse,
    RegFailed,
    RegFrom,
    EchoResponseSigned,
    TransportFormatList,
    EspTransform,
    SeqData,
    AckData,
    PayloadMic,
    TransactionId,
    OverlayId,
    RouteDst,
    RelayedAddress,
    MappedAddress,
    PeerPermission,
    CandidatePriority,
    Nominate,
    HipTransportMode,
    HipMac,
    HipMac2,
    HipSignature2,
    HipSignature,
    EchoResponseUnsigned,
    EchoRequestUnsigned,
    RelayFrom,
    RelayTo,
    OverlayTtl,
    RouteVia,
    From,
    RvsHmac,
    ViaRvs,
    RelayHmac,
)

PARAMETERS: Final[Mapping[int, type[Parameter]]] = MappingProxyType(
    {int(kind.TYPE): kind for kind in _KINDS}
)
"""Parameter type -> class, for every parameter of HIPv2 and its extensions."""

_KINDS_V1: Final[tuple[type[Parameter], ...]] = (
    EspInfo,  # RFC 5202
    R1CounterV1,
    LocatorSet,  # LOCATOR of RFC 5206
    PuzzleV1,
    SolutionV1,
    Seq,
    Ack,
    DiffieHellmanV1,
    HipTransformList,
    NatTraversalMode,  # RFC 5770
    TransactionPacing,
    Encrypted,
    HostIdV1,
    Cert,  # RFC 6253
    Notification,
    EchoRequestSigned,
    RegInfo,  # RFC 5203
    RegRequest,
    RegResponse,
    RegFailed,
    RegFrom,  # RFC 5770
    EchoResponseSigned,
    EspTransform,  # RFC 5202
    SeqData,  # RFC 6078
    AckData,
    PayloadMic,
    TransactionId,
    OverlayId,  # RFC 6079
    RouteDst,  # RFC 6028
    HipTransportMode,  # RFC 6261
    HipMacV1,
    HipMac2V1,
    HipSignature2V1,
    HipSignatureV1,
    EchoResponseUnsigned,
    EchoRequestUnsigned,
    RelayFrom,  # RFC 5770
    RelayTo,
    OverlayTtl,  # RFC 6079
    RouteVia,  # RFC 6028
    From,  # RFC 5204
    RvsHmac,
    ViaRvs,
    RelayHmac,  # RFC 5770
)

PARAMETERS_V1: Final[Mapping[int, type[Parameter]]] = MappingProxyType(
    {int(kind.TYPE): kind for kind in _KINDS_V1}
)
"""Parameter type -> class, for every parameter of HIPv1 and its extensions."""

_ONLY_V1: Final = frozenset(_KINDS_V1) - frozenset(_KINDS)


def parameters_of(version: int) -> Mapping[int, type[Parameter]]:
    """The layouts of a HIP version; those of HIPv2 for any version but 1."""
    return PARAMETERS_V1 if version == 1 else PARAMETERS


def require_layout_of(version: int, parameter: Parameter) -> None:
    """Refuse to write a parameter in the layout of another HIP version.

    Raises:
        LocalProtocolError: the parameter's class belongs to another version.
    """
    kind = type(parameter)
    if version == 1:
        is_foreign = (
            kind is not UnknownParameter and PARAMETERS_V1.get(parameter.wire_type) is not kind
        )
    else:
        is_foreign = kind in _ONLY_V1
    if is_foreign:
        raise LocalProtocolError(f"{kind.__name__} is no parameter of HIP version {version}")
