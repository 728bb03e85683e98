"""How a packet ends that is not accepted: one counter, perhaps a NOTIFY."""

from __future__ import annotations

from dataclasses import dataclass

from hipgw.errors import PeerProtocolError
from hipgw.values import Hit, NotifyType, Path
from hipgw.values.quick_making import quickly_made


@dataclass(frozen=True, slots=True)
class Refused:
    """Result of a job that found the packet wanting.

    `reason` is a name of `CONTROL_REASONS`; `notify` is what the sender may be told, given that it
    has solved a puzzle or shares keys with us (RFC 7401 section 5.2.19).
    """

    reason: str
    notify: NotifyType | None = None
    data: bytes = b""
    """Notification Data."""
    detail: str = ""
    """Of a refused certificate: why, for the operator."""


@quickly_made
@dataclass(frozen=True, slots=True)
class DroppedPacket:
    """The latest packet that was dropped for a reason, for the operator to know whose it was."""

    sender: Hit
    """As the packet says; nobody has proven it."""
    path: Path
    detail: str = ""
    """Where in the packet the trouble is, if it could not be read."""


class RefusedError(PeerProtocolError):
    """Ends the handling of one packet; stays inside the engine.

    Attributes:
        refused: the counter, and the NOTIFY to send if any.
    """

    def __init__(self, reason: str, notify: NotifyType | None = None) -> None:
        super().__init__(reason)
        self.refused = Refused(reason, notify)
