"""What an authentic NOTIFY of each type leads to (RFC 7401 sections 5.2.19, 6.13).

A NOTIFY is information and never changes a state by itself.  While our I2 waits for its R2, an
error says that "the corresponding request has failed entirely" (5.2.19): then the I2 is sent once
more, since a NOTIFY can be an old one that is replayed, and after that the exchange is given up
instead of being repeated in vain.  Types that are not in the table are shown and no more.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import Final

from hipgw.proto.association import Association, Initiation
from hipgw.proto.core import Core, TimerKind
from hipgw.proto.states import State
from hipgw.values import NotifyType

ACKNOWLEDGED_MOST: Final = 5
"""Times that an I2_ACKNOWLEDGEMENT puts the next I2 off."""


class Reaction(Enum):
    """What is done while an I2 of ours waits for its R2."""

    SHOW = "shown to the operator"
    GIVE_UP = "one more I2, then E-FAILED"
    NEW_PUZZLE = "a new I1 after a while, for another puzzle"
    WAIT = "no I2 for a while"


REACTIONS: Final[Mapping[NotifyType, Reaction]] = {
    NotifyType.UNSUPPORTED_CRITICAL_PARAMETER_TYPE: Reaction.GIVE_UP,
    NotifyType.INVALID_SYNTAX: Reaction.GIVE_UP,
    NotifyType.NO_DH_PROPOSAL_CHOSEN: Reaction.GIVE_UP,
    NotifyType.INVALID_DH_CHOSEN: Reaction.NEW_PUZZLE,
    NotifyType.NO_HIP_PROPOSAL_CHOSEN: Reaction.GIVE_UP,
    NotifyType.INVALID_HIP_CIPHER_CHOSEN: Reaction.NEW_PUZZLE,
    NotifyType.NO_ESP_PROPOSAL_CHOSEN: Reaction.GIVE_UP,
    NotifyType.INVALID_ESP_TRANSFORM_CHOSEN: Reaction.NEW_PUZZLE,
    NotifyType.UNSUPPORTED_HIT_SUITE: Reaction.GIVE_UP,
    NotifyType.AUTHENTICATION_FAILED: Reaction.GIVE_UP,
    # The I2 was damaged on its way; the next copy need not be.
    NotifyType.CHECKSUM_FAILED: Reaction.SHOW,
    NotifyType.HIP_MAC_FAILED: Reaction.GIVE_UP,
    NotifyType.ENCRYPTION_FAILED: Reaction.GIVE_UP,
    NotifyType.INVALID_HIT: Reaction.GIVE_UP,
    NotifyType.BLOCKED_BY_POLICY: Reaction.GIVE_UP,
    NotifyType.RESPONDER_BUSY_PLEASE_RETRY: Reaction.NEW_PUZZLE,
    # About UPDATEs, or services that are asked for once the association stands.
    NotifyType.LOCATOR_TYPE_UNSUPPORTED: Reaction.SHOW,
    # RFC 8002 section 5: `certificate_gate` acts on these two, by policy.
    NotifyType.CREDENTIALS_REQUIRED: Reaction.SHOW,
    NotifyType.INVALID_CERTIFICATE: Reaction.SHOW,
    NotifyType.REG_REQUIRED: Reaction.SHOW,
    NotifyType.NO_VALID_NAT_TRAVERSAL_MODE_PARAMETER: Reaction.GIVE_UP,
    NotifyType.CONNECTIVITY_CHECKS_FAILED: Reaction.SHOW,
    NotifyType.MESSAGE_NOT_RELAYED: Reaction.SHOW,
    NotifyType.SERVER_REFLEXIVE_CANDIDATE_ALLOCATION_FAILED: Reaction.SHOW,
    NotifyType.RVS_HMAC_PROHIBITED_WITH_RELAY: Reaction.SHOW,
    NotifyType.OVERLAY_TTL_EXCEEDED: Reaction.SHOW,
    NotifyType.UNKNOWN_NEXT_HOP: Reaction.SHOW,
    NotifyType.NO_VALID_HIP_TRANSPORT_MODE: Reaction.GIVE_UP,
    NotifyType.I2_ACKNOWLEDGEMENT: Reaction.WAIT,
    NotifyType.NAT_KEEPALIVE: Reaction.SHOW,
}
"""INVALID_..._CHOSEN: the R1 that we answered is no longer what the peer offers, so ask anew."""


def reaction_to(notify_type: int) -> Reaction:
    """The row of the table; `SHOW` for a type that is unknown (section 5.2.19)."""
    try:
        return REACTIONS[NotifyType(notify_type)]
    except (ValueError, KeyError):
        return Reaction.SHOW


def react(core: Core, association: Association, notify_type: int, now: float) -> None:
    """Do what an authentic NOTIFY leads to."""
    initiation = association.initiation
    if initiation is None or association.state is not State.I2_SENT or not initiation.i2:
        return
    match reaction_to(notify_type):
        case Reaction.GIVE_UP:
            _give_up(core, association, initiation, now)
        case Reaction.NEW_PUZZLE:
            _ask_anew(core, association, initiation, now)
        case Reaction.WAIT:
            _wait(core, association, initiation, now)
        case Reaction.SHOW:
            pass


def _give_up(core: Core, association: Association, initiation: Initiation, now: float) -> None:
    initiation.tries = max(initiation.tries, core.config.tries - 1)
    core.arm(association, TimerKind.RETRY, now, core.jitter(core.config.retry_first_s))


def _ask_anew(core: Core, association: Association, initiation: Initiation, now: float) -> None:
    """The same solution must not be used again: a new I1 brings another puzzle."""
    config = core.config
    if initiation.wants_new_r1:
        return  # a repeated I2 was refused as well
    initiation.refusals += 1
    if initiation.refusals >= config.tries:
        _give_up(core, association, initiation, now)
        return
    initiation.wants_new_r1 = True
    initiation.tries = 1
    delay_s = min(config.retry_first_s * 2.0**initiation.refusals, config.retry_most_s)
    core.arm(association, TimerKind.RETRY, now, core.jitter(delay_s))


def _wait(core: Core, association: Association, initiation: Initiation, now: float) -> None:
    if initiation.acknowledgements >= ACKNOWLEDGED_MOST:
        return
    initiation.acknowledgements += 1
    core.arm(association, TimerKind.RETRY, now, core.jitter(core.config.i2_acknowledged_s))
