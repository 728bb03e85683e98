"""What a CERT parameter carries, by its type (RFC 8002 section 2).

Types 3 and 7 name a certificate instead of carrying it.  Both are read, and neither is ever fetched
or looked up: a peer must not be able to make this host ask others (section 7).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from cryptography import x509

from hipgw.crypto.certificates import (
    CertificateError,
    CertificateFailure,
    CertificateType,
    HostCertificate,
)

HASH_OCTETS: Final = 20
"""SHA-1 (RFC 7296 section 3.6)."""
URL_OCTETS_MOST: Final = 1024
NAME_OCTETS_MOST: Final = 1024
SCHEMES: Final = ("http://", "https://")


@dataclass(frozen=True, slots=True)
class HashAndUrl:
    """Type 3: where a certificate is, and the SHA-1 of its DER form (RFC 7296 section 3.6)."""

    digest: bytes
    url: str


@dataclass(frozen=True, slots=True)
class DistinguishedName:
    """Type 7: the subject of a certificate (RFC 4514)."""

    text: str
    name: x509.Name


Carried = HostCertificate | HashAndUrl | DistinguishedName


def read_carried(kind: int, octets: bytes) -> Carried:
    """Read the certificate field of a CERT parameter.

    Args:
        kind: CERT type.
        octets: the field.

    Raises:
        CertificateError: BAD when it is not what the type says, UNSUPPORTED for an LDAP URL, SPKI
            and types that do not exist.
    """
    if kind == CertificateType.X509:
        return HostCertificate.from_der(octets)
    if kind == CertificateType.HASH_AND_URL:
        return _read_hash_and_url(octets)
    if kind == CertificateType.DISTINGUISHED_NAME:
        return _read_name(octets)
    raise CertificateError(CertificateFailure.UNSUPPORTED, f"CERT type {kind}")


def _read_hash_and_url(octets: bytes) -> HashAndUrl:
    digest, url = octets[:HASH_OCTETS], octets[HASH_OCTETS:]
    if not url or len(url) > URL_OCTETS_MOST or not all(0x21 <= octet <= 0x7E for octet in url):
        raise CertificateError(
            CertificateFailure.BAD,
            f"hash and URL of {len(octets)} octets: need {HASH_OCTETS} and a URL in ASCII of at"
            f" most {URL_OCTETS_MOST}",
        )
    text = url.decode("ascii")
    if not text.lower().startswith(SCHEMES):
        raise CertificateError(CertificateFailure.UNSUPPORTED, "URL is neither http nor https")
    return HashAndUrl(digest, text)


def _read_name(octets: bytes) -> DistinguishedName:
    refusal = CertificateError(
        CertificateFailure.BAD,
        f"{len(octets)} octets are no distinguished name of at most {NAME_OCTETS_MOST}",
    )
    if not 0 < len(octets) <= NAME_OCTETS_MOST:
        raise refusal
    try:
        text = octets.decode("utf-8")
        return DistinguishedName(text, x509.Name.from_rfc4514_string(text))
    except ValueError as error:
        raise refusal from error
