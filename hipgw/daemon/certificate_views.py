"""What the control socket shows of certificates, as JSON values; times are Unix seconds."""

from __future__ import annotations

from typing import Any

from hipgw.daemon.certificate_config import PACKETS, LoadedCertificates
from hipgw.proto import CertificateView, Standing


def certificate_view(shown: CertificateView | None) -> dict[str, Any] | None:
    """What a peer has shown, or null; subject and issuer are the peer's own words."""
    if shown is None:
        return None
    return {
        "standing": str(shown.standing),
        "verified": shown.standing is Standing.VERIFIED,
        "detail": shown.detail or None,
        "subject": shown.subject or None,
        "issuer": shown.issuer or None,
        "serial": shown.serial or None,
        "valid_until": shown.until_s,
        "required": shown.is_required,
    }


def own_certificates_view(loaded: LoadedCertificates) -> dict[str, Any]:
    """`status`: our chains, where they are sent, and how many authorities are trusted."""
    policy = loaded.policy
    return {
        "own": [
            {
                "hit": str(hit),
                "subject": chain[0].subject,
                "issuer": chain[0].issuer,
                "serial": chain[0].serial_text,
                "valid_until": min(entry.not_after_s for entry in chain),
                "chain": len(chain),
            }
            for hit, chain in policy.chains.items()
        ],
        "send_in": [word for word, kind in PACKETS.items() if kind in policy.send_in],
        "anchors": 0 if policy.trust is None else len(policy.trust.authorities),
        "lists": 0 if policy.trust is None else len(policy.trust.revocation_lists),
    }
