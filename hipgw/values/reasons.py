"""Why a packet was not forwarded: the one table behind enum, counter, metric and docs row.

The data path keeps its own half in `hipgw/_fastpath/reasons.pxd`, because `_fastpath` imports
nothing of hipgw; `tests/unit/test_reasons.py` holds the two halves together.
"""

from __future__ import annotations

from typing import Final

CONTROL_REASONS: Final = {
    # The packet itself (RFC 7401 sections 5.1, 5.2)
    "hip_short": "control packet shorter than its header or its Header Length",
    "hip_long": "octets after the end that the Header Length names",
    "hip_version": "HIP version that this host does not speak",
    "hip_checksum": "wrong HIP checksum",
    "hip_type": "unknown HIP packet type",
    "hip_malformed": "parameter with a bad length, order, count or content",
    "hip_critical": "unknown critical parameter",
    "hip_missing": "a parameter that the packet type requires is missing",
    "legacy_refused": "HIPv1, or an algorithm of old, with a peer that is not `legacy`",
    # Whom it is for, and from (RFC 7401 sections 6.7 to 6.15)
    "hit_not_ours": "receiver HIT is not one of ours",
    "hit_reflected": "sender HIT is one of ours",
    "hit_version": "HIT of another HIP version than that of the packet",
    "hit_mismatch": "HIT is not the hash of the Host Identity sent with it",
    "state_unexpected": "packet type that the state of the association does not expect",
    "hit_race_lost": "I1 or I2 of a simultaneous exchange that our side wins (section 6.7, 6.9)",
    "no_association": "packet for an association that does not exist",
    # Cheap checks (sections 4.1.1, 6.3)
    "r1_rate": "I1 above the rate at which R1s are sent to one source or in total",
    "r1_counter_old": "R1 counter below the one already seen from that host",
    "puzzle_expired": "puzzle unknown, of an older generation, or past its lifetime",
    "puzzle_wrong": "solution that does not solve the puzzle",
    "puzzle_too_hard": "puzzle whose K is above the limit of the configuration",
    "busy": "work for strangers at its ceiling: too many half-open exchanges",
    # Proposals
    "dh_group": "no common Diffie-Hellman group, or a group that was not offered",
    "dh_invalid": "Diffie-Hellman public value that is not in the group",
    "hip_cipher": "no common HIP cipher, or a cipher that was not offered",
    "esp_suite": "no common ESP transform, or a transform that was not offered",
    "hit_suite": "HIT suite that this host does not support",
    "transport_format": "no common transport format",
    "spi_taken": "R2 of a peer with `responder-spi`, with an SPI that is in use here",
    # Cryptographic checks
    "mac_wrong": "HIP_MAC or HIP_MAC_2 does not verify",
    "signature_wrong": "HIP_SIGNATURE or HIP_SIGNATURE_2 does not verify",
    "decrypt_failed": "ENCRYPTED parameter that does not hold a HOST_ID",
    "echo_wrong": "ECHO_RESPONSE that does not match the request",
    "update_rate": "UPDATE above the rate at which those of one peer are worked on",
    "replayed": "UPDATE or I2 already seen",
    "policy": "refused by configuration",
    "anonymous": "peer with an anonymous Host Identity, while the configuration takes none",
    "peer_changed": "R1 of another host than the one known at that address",
    "certificate_missing": "no certificate where one is required, or its validity has ended",
    "certificate_refused": "certificate that does not verify where one is required",
    "notify_received": "NOTIFY: counted and shown, never acted upon (section 6.13)",
}
"""Reason name -> one-line meaning, for packets that the control plane drops."""
