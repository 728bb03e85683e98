"""Which class reads which parameter type: the one table of parameters this host knows.

The HIPv1 types 128 and 577 (RFC 5201) are not here: in a HIPv2 packet the first is skipped and the
second is an unknown critical parameter.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from hipgw.wire.parameter import Parameter
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
