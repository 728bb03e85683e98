"""The state machine of RFC 7401 section 4.4.4, as data: the one file that owns every transition.

A pair that is not in `TRANSITIONS` is refused: the packet is dropped, the wish ignored.  Rows that
RFC 7401 does not print are marked "ours" with the reason.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import Final


class State(Enum):
    """States of an association (RFC 7401 section 4.4.3)."""

    __hash__ = object.__hash__  # members are single; that of Enum is Python and hashes the name

    UNASSOCIATED = "UNASSOCIATED"
    I1_SENT = "I1-SENT"
    I2_SENT = "I2-SENT"
    R2_SENT = "R2-SENT"
    ESTABLISHED = "ESTABLISHED"
    CLOSING = "CLOSING"
    CLOSED = "CLOSED"
    E_FAILED = "E-FAILED"

    def __str__(self) -> str:
        return self.value


class Trigger(Enum):
    """What moves an association; `..._VALID` means that every check of the packet passed."""

    __hash__ = object.__hash__  # as above

    DATA_TO_SEND = "data to send"
    I1_RECEIVED = "I1 to be answered"
    R1_VALID = "R1 answered with an I2"
    R1_OTHER_SUITE = "R1 whose HIT_SUITE_LIST lacks our suite, while we have another identity"
    R1_UNACCEPTABLE = "authentic R1 that offers nothing we accept"
    I2_VALID = "valid I2"
    R2_VALID = "valid R2"
    DATA_RECEIVED = "valid ESP"
    UPDATE_VALID = "valid UPDATE"
    NOTIFY_VALID = "valid NOTIFY"
    CLOSE_VALID = "valid CLOSE"
    CLOSE_ACK_VALID = "valid CLOSE_ACK"
    CLOSE_REQUESTED = "operator asks to close"
    IDLE = "nothing sent or received for UAL"
    CERTIFICATE_REFUSED = "no certificate of the peer holds, but one is required"
    UPDATE_UNANSWERED = "UPDATE not acknowledged after UPDATE_RETRY_MAX"
    RETRY = "retransmission timer, tries left"
    RETRIES_OVER = "retransmission timer, no tries left"
    EXCHANGE_COMPLETE = "Exchange-Complete timer"
    GIVE_WAY = "not proven, and its room is needed"
    HOLD_OVER = "CLOSED or E-FAILED has lasted long enough"


TRANSITIONS: Final[Mapping[tuple[State, Trigger], State]] = {
    # Table 2: UNASSOCIATED
    (State.UNASSOCIATED, Trigger.DATA_TO_SEND): State.I1_SENT,
    (State.UNASSOCIATED, Trigger.I1_RECEIVED): State.UNASSOCIATED,
    (State.UNASSOCIATED, Trigger.I2_VALID): State.R2_SENT,
    # Table 3: I1-SENT.  Which side of two crossing I1s yields: section 6.7.
    (State.I1_SENT, Trigger.I1_RECEIVED): State.I1_SENT,
    (State.I1_SENT, Trigger.I2_VALID): State.R2_SENT,
    (State.I1_SENT, Trigger.R1_OTHER_SUITE): State.I1_SENT,
    (State.I1_SENT, Trigger.R1_VALID): State.I2_SENT,
    (State.I1_SENT, Trigger.RETRY): State.I1_SENT,
    (State.I1_SENT, Trigger.RETRIES_OVER): State.E_FAILED,
    # ours: RFC 7402 section 6.4 lets the Initiator abandon an exchange without a common suite
    (State.I1_SENT, Trigger.R1_UNACCEPTABLE): State.E_FAILED,
    (State.I1_SENT, Trigger.CLOSE_REQUESTED): State.UNASSOCIATED,  # ours: the peer holds no state
    # Table 4: I2-SENT.  Which side of two crossing I2s yields: section 6.9.
    (State.I2_SENT, Trigger.I1_RECEIVED): State.I2_SENT,
    (State.I2_SENT, Trigger.R1_VALID): State.I2_SENT,
    (State.I2_SENT, Trigger.I2_VALID): State.R2_SENT,
    (State.I2_SENT, Trigger.R2_VALID): State.ESTABLISHED,
    (State.I2_SENT, Trigger.CLOSE_VALID): State.CLOSED,
    (State.I2_SENT, Trigger.CERTIFICATE_REFUSED): State.E_FAILED,  # ours: by policy (RFC 8002)
    (State.I2_SENT, Trigger.RETRY): State.I2_SENT,
    (State.I2_SENT, Trigger.RETRIES_OVER): State.E_FAILED,
    (State.I2_SENT, Trigger.NOTIFY_VALID): State.I2_SENT,  # ours: answers to a refused I2
    # Table 5: R2-SENT
    (State.R2_SENT, Trigger.I1_RECEIVED): State.R2_SENT,
    (State.R2_SENT, Trigger.I2_VALID): State.R2_SENT,
    (State.R2_SENT, Trigger.DATA_RECEIVED): State.ESTABLISHED,
    (State.R2_SENT, Trigger.UPDATE_VALID): State.ESTABLISHED,
    (State.R2_SENT, Trigger.EXCHANGE_COMPLETE): State.ESTABLISHED,
    (State.R2_SENT, Trigger.CLOSE_VALID): State.CLOSED,
    (State.R2_SENT, Trigger.NOTIFY_VALID): State.R2_SENT,
    (State.R2_SENT, Trigger.CLOSE_REQUESTED): State.CLOSING,  # ours: the keys are there
    (State.R2_SENT, Trigger.CERTIFICATE_REFUSED): State.CLOSING,  # ours: by policy (RFC 8002)
    (State.R2_SENT, Trigger.GIVE_WAY): State.UNASSOCIATED,  # ours: strangers must stay cheap
    # Table 6: ESTABLISHED
    (State.ESTABLISHED, Trigger.I1_RECEIVED): State.ESTABLISHED,
    (State.ESTABLISHED, Trigger.I2_VALID): State.R2_SENT,
    (State.ESTABLISHED, Trigger.DATA_RECEIVED): State.ESTABLISHED,
    (State.ESTABLISHED, Trigger.UPDATE_VALID): State.ESTABLISHED,
    (State.ESTABLISHED, Trigger.NOTIFY_VALID): State.ESTABLISHED,
    (State.ESTABLISHED, Trigger.CLOSE_VALID): State.CLOSED,
    (State.ESTABLISHED, Trigger.IDLE): State.CLOSING,
    (State.ESTABLISHED, Trigger.UPDATE_UNANSWERED): State.CLOSING,
    (State.ESTABLISHED, Trigger.CLOSE_REQUESTED): State.CLOSING,  # ours: as IDLE, by hand
    (State.ESTABLISHED, Trigger.CERTIFICATE_REFUSED): State.CLOSING,  # ours: by policy (RFC 8002)
    # ours: as in R2-SENT, when the Exchange-Complete timer alone has led here
    (State.ESTABLISHED, Trigger.GIVE_WAY): State.UNASSOCIATED,
    # Table 7: CLOSING
    (State.CLOSING, Trigger.DATA_TO_SEND): State.I1_SENT,
    (State.CLOSING, Trigger.I1_RECEIVED): State.CLOSING,
    (State.CLOSING, Trigger.I2_VALID): State.R2_SENT,
    (State.CLOSING, Trigger.R1_VALID): State.I2_SENT,
    (State.CLOSING, Trigger.CLOSE_VALID): State.CLOSED,
    (State.CLOSING, Trigger.CLOSE_ACK_VALID): State.UNASSOCIATED,
    (State.CLOSING, Trigger.RETRY): State.CLOSING,
    (State.CLOSING, Trigger.RETRIES_OVER): State.UNASSOCIATED,
    # Table 8: CLOSED
    (State.CLOSED, Trigger.DATA_TO_SEND): State.CLOSED,
    (State.CLOSED, Trigger.I1_RECEIVED): State.CLOSED,
    (State.CLOSED, Trigger.I2_VALID): State.R2_SENT,
    (State.CLOSED, Trigger.R1_VALID): State.I2_SENT,
    (State.CLOSED, Trigger.CLOSE_VALID): State.CLOSED,
    (State.CLOSED, Trigger.CLOSE_ACK_VALID): State.UNASSOCIATED,
    (State.CLOSED, Trigger.HOLD_OVER): State.UNASSOCIATED,
    (State.CLOSED, Trigger.RETRY): State.CLOSED,  # ours: the I1 of "data to send" may be lost
    (State.CLOSED, Trigger.RETRIES_OVER): State.E_FAILED,  # ours: as in I1-SENT
    (State.CLOSED, Trigger.R1_UNACCEPTABLE): State.E_FAILED,  # ours: as in I1-SENT
    # Table 9: E-FAILED
    (State.E_FAILED, Trigger.HOLD_OVER): State.UNASSOCIATED,
    (State.E_FAILED, Trigger.I1_RECEIVED): State.E_FAILED,  # ours: an R1 costs no state
    (State.E_FAILED, Trigger.CLOSE_REQUESTED): State.UNASSOCIATED,  # ours: end the hold by hand
}
"""Every move there is; E-FAILED ends early, by HOLD_OVER, when the peer sends a valid I2."""
