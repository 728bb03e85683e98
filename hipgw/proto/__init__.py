"""The engine of both HIP versions: every association of a host, without I/O, clock or randomness.

Bytes, time and randomness come in through `Endpoint`; effects (work for the loop) and events
(facts for the operator) go out.  `states` owns the state machine.
"""

from hipgw.proto.association_view import AssociationView, HeartbeatView
from hipgw.proto.config import EndpointConfig, permit_everyone
from hipgw.proto.dialects import hits_of
from hipgw.proto.effects import (
    Compute,
    Effect,
    InstallSa,
    JobId,
    LimitPath,
    MoveSa,
    RemoveSa,
    SendDatagram,
    StoreR1Counter,
)
from hipgw.proto.endpoint import Endpoint
from hipgw.proto.events import (
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
from hipgw.proto.states import TRANSITIONS, State, Trigger

__all__ = [
    "TRANSITIONS",
    "AssociationView",
    "Closed",
    "Compute",
    "Effect",
    "Endpoint",
    "EndpointConfig",
    "Established",
    "Event",
    "Failed",
    "HandedOver",
    "HeartbeatView",
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
    "Origin",
    "PeerFound",
    "PeerIsAnonymous",
    "PeerNotFound",
    "Rekeyed",
    "RemoveSa",
    "Role",
    "SendDatagram",
    "State",
    "StoreR1Counter",
    "Trigger",
    "hits_of",
    "permit_everyone",
]
