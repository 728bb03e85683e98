"""The engine of both HIP versions: every association of a host, without I/O, clock or randomness.

Bytes, time and randomness come in through `Endpoint`; effects (work for the loop) and events
(facts for the operator) go out.  `states` owns the state machine.
"""

from hipgw.proto.association_table import AssociationTable
from hipgw.proto.association_view import AssociationView, HeartbeatView
from hipgw.proto.certificate_observer import CertificateObserver, ObservedPacket, Passing
from hipgw.proto.certificate_policy import NO_CERTIFICATES, CertificatePolicy
from hipgw.proto.config import EndpointConfig, IcmpReplies, permit_everyone
from hipgw.proto.credentials import CertificateView, Standing
from hipgw.proto.dialects import hits_of
from hipgw.proto.effects import (
    AbandonJob,
    ClaimI1s,
    Compute,
    Effect,
    InstallSa,
    JobId,
    LimitPath,
    MoveSa,
    PublishR1s,
    R1Limits,
    R1Template,
    RemoveSa,
    SendDatagram,
    SendIcmp,
    StoreR1Counter,
)
from hipgw.proto.endpoint import Endpoint
from hipgw.proto.events import (
    CertificateJudged,
    Closed,
    Established,
    Event,
    Failed,
    HandedOver,
    IdentityGone,
    NotifyReceived,
    PeerFound,
    PeerIsAnonymous,
    PeerNotFound,
    Rekeyed,
    Role,
)
from hipgw.proto.jobs import Job
from hipgw.proto.locators import LocalAddress, LocatorState, LocatorView, Origin
from hipgw.proto.own_identities import IdentityTraits
from hipgw.proto.refusals import DroppedPacket
from hipgw.proto.states import TRANSITIONS, State, Trigger

__all__ = [
    "NO_CERTIFICATES",
    "TRANSITIONS",
    "AbandonJob",
    "AssociationTable",
    "AssociationView",
    "CertificateJudged",
    "CertificateObserver",
    "CertificatePolicy",
    "CertificateView",
    "ClaimI1s",
    "Closed",
    "Compute",
    "DroppedPacket",
    "Effect",
    "Endpoint",
    "EndpointConfig",
    "Established",
    "Event",
    "Failed",
    "HandedOver",
    "HeartbeatView",
    "IcmpReplies",
    "IdentityGone",
    "IdentityTraits",
    "InstallSa",
    "Job",
    "JobId",
    "LimitPath",
    "LocalAddress",
    "LocatorState",
    "LocatorView",
    "MoveSa",
    "NotifyReceived",
    "ObservedPacket",
    "Origin",
    "Passing",
    "PeerFound",
    "PeerIsAnonymous",
    "PeerNotFound",
    "PublishR1s",
    "R1Limits",
    "R1Template",
    "Rekeyed",
    "RemoveSa",
    "Role",
    "SendDatagram",
    "SendIcmp",
    "Standing",
    "State",
    "StoreR1Counter",
    "Trigger",
    "hits_of",
    "permit_everyone",
]
