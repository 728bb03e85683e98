"""When a bad HIP packet of a stranger is answered with ICMP (RFC 7401 section 5.4).

All are Parameter Problems, about packets of hosts that share no association with us, over IP
protocol 139 only, and limited per source and in total (RFC 4443 section 2.4).  A wrong checksum is
never answered.
"""

from __future__ import annotations

from typing import Final

from hipgw.proto.config import IcmpReplies
from hipgw.proto.core import Core
from hipgw.proto.effects import SendIcmp
from hipgw.proto.limits import SourceLimiter
from hipgw.values import Encapsulation, Path
from hipgw.wire import HEADER_OCTETS, PacketType, ParameterType, find_tlv, peek_header

POINTERS: Final = {"hip_version": 3, "hip_type": 2, "hip_short": 1, "hip_long": 1}
"""Octet of the HIP header that each reason is about."""
SENDER_POINTER: Final = 8
RECEIVER_POINTER: Final = 24
_SHOULD: Final = frozenset({"hip_version"})
_NEED_ASSOCIATION: Final = frozenset(
    {int(PacketType.UPDATE), int(PacketType.CLOSE), int(PacketType.CLOSE_ACK)}
)
"""Section 5.4.4 forbids it for I1, R1, I2, R2 and NOTIFY."""
_TLV_HEAD_OCTETS: Final = 4
_SOLUTION_HEAD_OCTETS: Final = 4


class IcmpReplier:
    """Answers strangers, now and then."""

    def __init__(self, core: Core, now: float) -> None:
        config = core.config
        self._core: Final = core
        self.limit: Final = SourceLimiter(
            rate=config.icmp_rate,
            burst=config.icmp_burst,
            source_rate=config.icmp_source_rate,
            source_burst=config.icmp_source_burst,
            sources_most=config.sources_most,
            now=now,
        )

    def on_dropped(
        self, reason: str, payload: bytes, path: Path, now: float, offset: int | None = None
    ) -> None:
        """A packet was dropped: tell its sender if the RFC, the configuration and the rates allow.

        Args:
            reason: name of `CONTROL_REASONS`.
            payload: the packet.
            path: as in `Endpoint.receive_datagram`.
            now: monotonic seconds.
            offset: of the octet that is wrong, if that is known.
        """
        wish = self._core.config.icmp_replies
        if wish is IcmpReplies.OFF or path.encapsulation is not Encapsulation.RAW:
            return
        if path.peer.is_multicast or path.local.is_multicast or path.peer.is_unspecified:
            return
        pointer = self._pointer(reason, payload, offset)
        if pointer is None:
            return
        is_asked_for = reason in _SHOULD or (reason == "puzzle_wrong" and path.local.version == 6)
        if wish is IcmpReplies.SHOULD and not is_asked_for:
            return
        if not self.limit.allows(path.peer, now):
            self._core.note("icmp_not_sent")
            return
        self._core.note("icmp_sent")
        self._core.effects.append(SendIcmp(path, pointer, payload))

    def _pointer(self, reason: str, payload: bytes, offset: int | None) -> int | None:
        """The octet of the HIP packet that is wrong; None when this is no case for ICMP."""
        if reason == "hip_short" and len(payload) < HEADER_OCTETS:
            return None
        if reason in POINTERS:
            return POINTERS[reason]
        if len(payload) < HEADER_OCTETS:
            return None
        kind, _, sender, receiver = peek_header(payload)
        if reason in {"no_association", "hit_not_ours"}:
            if kind not in _NEED_ASSOCIATION:
                return None
            ours = self._core.identities
            is_known = any(self._core.find(local, sender) is not None for local in ours)
            return RECEIVER_POINTER if is_known else SENDER_POINTER
        if self._core.find(receiver, sender) is not None:
            return None
        if reason == "puzzle_wrong":
            return _pointer_to_j(payload)
        return (offset or None) if reason in {"hip_malformed", "hip_critical"} else None


def _pointer_to_j(payload: bytes) -> int | None:
    """The first octet of #J in SOLUTION (section 5.4.3)."""
    found = find_tlv(payload, ParameterType.SOLUTION)
    if found is None:
        return None
    offset, _ = found
    length = int.from_bytes(payload[offset + 2 : offset + 4], "big")
    i_octets = (length - _SOLUTION_HEAD_OCTETS) // 2
    return offset + _TLV_HEAD_OCTETS + _SOLUTION_HEAD_OCTETS + i_octets
