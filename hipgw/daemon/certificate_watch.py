"""What a middlebox would say of the certificates in HIP packets: for captures, as JSON values."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from hipgw.crypto.certificates_chain import TrustStore
from hipgw.proto import CertificateObserver, ObservedPacket


def judge_packets(
    packets: Iterable[tuple[float, bytes]], trust: TrustStore, at_s: float | None = None
) -> list[dict[str, Any]]:
    """Judge HIP packets in the order in which they passed.

    Args:
        packets: time (Unix seconds) and octets of each.
        trust: whom the middlebox believes.
        at_s: Unix time by which validity is told; None: that of each packet.

    Returns:
        One document for each HIP packet: time, type, sender, receiver, certificate, detail,
        issuer, valid_until.
    """
    observer = CertificateObserver(trust)
    judged = []
    for time_s, octets in packets:
        seen = observer.on_packet(octets, time_s, time_s if at_s is None else at_s)
        if seen is not None:
            judged.append({"time": time_s, **_document(seen)})
    return judged


def _document(seen: ObservedPacket) -> dict[str, Any]:
    chain = seen.chain
    return {
        "type": seen.packet_type.name,
        "sender": str(seen.sender),
        "receiver": str(seen.receiver),
        "certificate": str(seen.passing),
        "detail": seen.detail or None,
        "issuer": None if chain is None else chain.path[0].issuer,
        "valid_until": None if chain is None else chain.until_s,
    }
