"""Is a certificate valid, for this host, now, and who says so (RFC 8002 sections 3, 4; RFC 5280).

Signatures, names and extensions are `cryptography`'s work; the walk from the host to a trusted
authority is ours, because its path validator knows no EdDSA keys and only the web's profile.  Ours
is narrow: what it does not know (name constraints, critical policies) it refuses.

Every check that needs no signature comes first, and the number of signatures looked at is bounded:
whoever presents a chain is a stranger.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final, Self

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa
from cryptography.x509.oid import ExtensionOID, SignatureAlgorithmOID

from hipgw.crypto.certificates import (
    UNREADABLE,
    CertificateError,
    CertificateFailure,
    HostCertificate,
    pem_blocks,
)
from hipgw.crypto.hi_fields import RSA_BITS_LEAST, RSA_BITS_MOST
from hipgw.crypto.hits import EddsaHitReading, hit_from_hi
from hipgw.crypto.identities import HostIdentity
from hipgw.values import Hit

PRESENTED_MOST: Final = 8
"""Certificates looked at for one host; a chain is as long at most."""
SIGNATURES_MOST: Final = 16
LIST_OCTETS_MOST: Final = 8 * 1024 * 1024

_CURVES: Final = (ec.SECP256R1, ec.SECP384R1, ec.SECP521R1)
_HASHES: Final = (hashes.SHA256, hashes.SHA384, hashes.SHA512)
_WITH_HASH: Final = frozenset(
    {
        SignatureAlgorithmOID.RSA_WITH_SHA256,
        SignatureAlgorithmOID.RSA_WITH_SHA384,
        SignatureAlgorithmOID.RSA_WITH_SHA512,
        SignatureAlgorithmOID.RSASSA_PSS,
        SignatureAlgorithmOID.ECDSA_WITH_SHA256,
        SignatureAlgorithmOID.ECDSA_WITH_SHA384,
        SignatureAlgorithmOID.ECDSA_WITH_SHA512,
    }
)
_WITHOUT_HASH: Final = frozenset({SignatureAlgorithmOID.ED25519, SignatureAlgorithmOID.ED448})
_LIST_EXTENSIONS: Final = frozenset(
    {ExtensionOID.CRL_NUMBER, ExtensionOID.AUTHORITY_KEY_IDENTIFIER}
)


@dataclass(frozen=True, slots=True)
class RevocationList:
    """A CRL, read; whose it is shows when it is used.

    Attributes:
        der: its octets.
        serials: every serial number listed: all are invalid whatever the reason says, hold and
            removal included (RFC 8002 section 4).
        this_update_s: when it was made, Unix time.
        next_update_s: when the next one was due, or None.
        issuer_name: who made it, in DER.
        parsed: for the modules beside this one.
    """

    der: bytes = field(repr=False)
    serials: frozenset[int] = field(compare=False, repr=False)
    this_update_s: int = field(compare=False)
    next_update_s: int | None = field(compare=False)
    issuer_name: bytes = field(compare=False, repr=False)
    parsed: x509.CertificateRevocationList = field(compare=False, repr=False)

    @classmethod
    def from_der(cls, der: bytes) -> Self:
        """Read one list.

        Raises:
            CertificateError: BAD, or UNSUPPORTED for a delta or indirect list.
        """
        if len(der) > LIST_OCTETS_MOST:
            raise CertificateError(
                CertificateFailure.UNSUPPORTED, f"revocation list above {LIST_OCTETS_MOST} octets"
            )
        try:
            parsed = x509.load_der_x509_crl(der)
            critical = [entry.oid for entry in parsed.extensions if entry.critical]
            next_update = parsed.next_update_utc
            read = cls(
                der=der,
                serials=frozenset(entry.serial_number for entry in parsed),
                this_update_s=int(parsed.last_update_utc.timestamp()),
                next_update_s=None if next_update is None else int(next_update.timestamp()),
                issuer_name=parsed.issuer.public_bytes(),
                parsed=parsed,
            )
        except (*UNREADABLE, x509.InvalidVersion) as error:
            raise CertificateError(CertificateFailure.BAD, "octets are no X.509 CRL") from error
        for oid in critical:
            if oid not in _LIST_EXTENSIONS:
                raise CertificateError(
                    CertificateFailure.UNSUPPORTED,
                    f"revocation list with the critical extension {oid.dotted_string}",
                )
        return read

    def to_pem(self) -> bytes:
        """The PEM form."""
        return self.parsed.public_bytes(serialization.Encoding.PEM)

    def is_of(self, issuer: HostCertificate) -> bool:
        """Whether `issuer` has this list's issuer name and may sign lists, and its key signed."""
        if self.issuer_name != issuer.subject_name or not issuer.rights.signs_lists:
            return False
        key = issuer.parsed.public_key()
        if not isinstance(
            key,
            rsa.RSAPublicKey
            | ec.EllipticCurvePublicKey
            | ed25519.Ed25519PublicKey
            | ed448.Ed448PublicKey,
        ):
            return False
        try:
            return self.parsed.is_signature_valid(key)
        except (ValueError, TypeError, UnsupportedAlgorithm):
            return False


def revocation_lists_from(octets: bytes) -> tuple[RevocationList, ...]:
    """Read a file: one CRL in DER, or any number in PEM.

    Raises:
        CertificateError: none in it, or one that cannot be used.
    """
    if b"-----BEGIN " not in octets:
        return (RevocationList.from_der(octets),)
    blocks = pem_blocks(octets, "X509 CRL")
    if not blocks:
        raise CertificateError(CertificateFailure.BAD, "PEM without an X509 CRL")
    return tuple(RevocationList.from_der(der) for der in blocks)


@dataclass(frozen=True, slots=True)
class TrustStore:
    """Whom this host believes.

    Attributes:
        authorities: trusted certificates: roots, authorities below a root, or single hosts.
        revocation_lists: of any of the authorities in a chain.
        lists_required: refuse where an authority of the chain has no list, or an outdated one;
            else an outdated list counts for what it names.
    """

    authorities: tuple[HostCertificate, ...]
    revocation_lists: tuple[RevocationList, ...] = ()
    lists_required: bool = False


@dataclass(frozen=True, slots=True)
class VerifiedChain:
    """A chain that holds.

    Attributes:
        path: from the host's certificate to the trusted one.
        identity: the host's key.
        until_s: when the first of them ends, Unix time.
    """

    path: tuple[HostCertificate, ...]
    identity: HostIdentity
    until_s: int

    @property
    def hit(self) -> Hit:
        """The HIT of the host's key."""
        return self.identity.hit


def verify_chain(
    presented: Sequence[HostCertificate],
    trust: TrustStore,
    unix_now_s: float,
    *,
    host: HostIdentity | None = None,
) -> VerifiedChain:
    """Verify the certificate of a host by the authorities that come with it.

    Args:
        presented: the host's certificate and those of authorities between it and a trusted one, in
            any order; without `host`, its own comes first.
        trust: whom to believe.
        unix_now_s: wall clock, seconds.
        host: whose certificate it must be: the Host Identity of the HOST_ID parameter.

    Raises:
        CertificateError: with the failure and, where one certificate is at fault, its position.
    """
    if not 0 < len(presented) <= PRESENTED_MOST:
        raise CertificateError(
            CertificateFailure.OTHER,
            f"{len(presented)} certificates presented, 1 to {PRESENTED_MOST} are looked at",
        )
    position = _position_of(host, presented)
    certificate = presented[position]
    identity = certificate.public
    if identity is None:
        raise CertificateError(
            CertificateFailure.UNSUPPORTED, "key cannot be a Host Identity", position
        )
    if not certificate.rights.signs_messages:
        raise CertificateError(
            CertificateFailure.OTHER, "key usage lacks digitalSignature", position
        )
    walk = _Walk(presented, trust, unix_now_s)
    path = walk.climb((certificate,))
    return VerifiedChain(path, identity, min(entry.not_after_s for entry in path))


def _position_of(host: HostIdentity | None, presented: Sequence[HostCertificate]) -> int:
    """Index of the certificate whose key is the host's."""
    if host is None:
        return 0
    for position, certificate in enumerate(presented):
        if certificate.public == host:
            return position
    raise CertificateError(CertificateFailure.OTHER, f"none presented is of the key of {host.hit}")


class _Walk:
    """One search for a path; counts the signatures it looks at."""

    def __init__(
        self, presented: Sequence[HostCertificate], trust: TrustStore, unix_now_s: float
    ) -> None:
        self._presented = presented
        self._trust = trust
        self._now_s = unix_now_s
        self._signatures_left = SIGNATURES_MOST

    def climb(self, path: tuple[HostCertificate, ...]) -> tuple[HostCertificate, ...]:
        """Complete a path, depth first; CertificateError of the step that came nearest."""
        top = path[-1]
        self._check_itself(top)
        if top in self._trust.authorities:
            return path
        nearest: CertificateError | None = None
        for issuer in (*self._trust.authorities, *self._presented):
            if issuer in path or not _may_have_issued(top, issuer):
                continue
            try:
                self._check_step(path, issuer)
                return self.climb((*path, issuer))
            except CertificateError as error:
                if nearest is None or nearest.failure is CertificateFailure.UNKNOWN_CA:
                    nearest = error
        raise nearest or CertificateError(
            CertificateFailure.UNKNOWN_CA, "issuer is not trusted", self._place(top)
        )

    def _place(self, certificate: HostCertificate) -> int | None:
        """Index among the presented ones; None for a trusted one of our own."""
        for position, presented in enumerate(self._presented):
            if presented == certificate:
                return position
        return None

    def _fail(
        self, certificate: HostCertificate, failure: CertificateFailure, why: str
    ) -> CertificateError:
        text = f"serial {certificate.serial_text}: {why}"
        return CertificateError(failure, text, self._place(certificate))

    def _check_itself(self, certificate: HostCertificate) -> None:
        """What one certificate says of itself: validity, extensions, its HIT."""
        if self._now_s < certificate.not_before_s:
            raise self._fail(
                certificate,
                CertificateFailure.OTHER,
                f"not valid for another {certificate.not_before_s - self._now_s:.0f} seconds:"
                " compare the clocks",
            )
        if self._now_s >= certificate.not_after_s + 1:
            raise self._fail(
                certificate,
                CertificateFailure.EXPIRED,
                f"ended {self._now_s - certificate.not_after_s:.0f} seconds ago",
            )
        if certificate.rights.refusal:
            raise self._fail(certificate, CertificateFailure.OTHER, certificate.rights.refusal)
        if not _hits_are_right(certificate.subject_hits, certificate.public):
            raise self._fail(
                certificate,
                CertificateFailure.BAD,
                "subjectAltName has a HIT that is not of the subject's key",
            )

    def _check_step(self, path: tuple[HostCertificate, ...], issuer: HostCertificate) -> None:
        """Whether `issuer` may, and did, sign the top of the path, and has not taken it back."""
        top = path[-1]
        rights = issuer.rights
        if not rights.is_authority or not rights.signs_certificates:
            raise self._fail(issuer, CertificateFailure.OTHER, "is no authority, but has issued")
        if len(path) >= PRESENTED_MOST:
            raise self._fail(top, CertificateFailure.OTHER, "chain is too long")
        between = sum(1 for entry in path[1:] if not entry.is_self_issued)
        if rights.path_length is not None and between > rights.path_length:
            raise self._fail(
                issuer,
                CertificateFailure.OTHER,
                f"allows {rights.path_length} authorities below, not {between}",
            )
        _check_algorithms(top, issuer, self._place(top))
        if not _hits_are_right(top.issuer_hits, issuer.public):
            raise self._fail(
                top,
                CertificateFailure.BAD,
                "issuerAltName has a HIT that is not of the issuer's key",
            )
        self._count_signature(top)
        if not top.is_signed_by(issuer):
            raise self._fail(top, CertificateFailure.BAD, "signature does not verify")
        self._check_lists(top, issuer)

    def _check_lists(self, certificate: HostCertificate, issuer: HostCertificate) -> None:
        """RFC 8002 section 4: whatever is listed is invalid."""
        current = False
        for revoked in self._trust.revocation_lists:
            if not revoked.is_of(issuer):
                continue
            if certificate.serial in revoked.serials:
                raise self._fail(certificate, CertificateFailure.EXPIRED, "revoked")
            if revoked.this_update_s <= self._now_s and (
                revoked.next_update_s is None or self._now_s <= revoked.next_update_s
            ):
                current = True
        if self._trust.lists_required and not current:
            raise self._fail(
                certificate,
                CertificateFailure.OTHER,
                "its issuer has no current revocation list here",
            )

    def _count_signature(self, top: HostCertificate) -> None:
        if not self._signatures_left:
            raise self._fail(top, CertificateFailure.OTHER, "too many signatures to look at")
        self._signatures_left -= 1


def _may_have_issued(certificate: HostCertificate, issuer: HostCertificate) -> bool:
    """Names fit, and so do key identifiers where both have one (RFC 5280 section 4.2.1.1)."""
    if certificate.issuer_name != issuer.subject_name:
        return False
    try:
        wanted = certificate.parsed.extensions.get_extension_for_class(x509.AuthorityKeyIdentifier)
        found = issuer.parsed.extensions.get_extension_for_class(x509.SubjectKeyIdentifier)
    except x509.ExtensionNotFound:
        return True
    return wanted.value.key_identifier in (None, found.value.digest)


def _hits_are_right(named: tuple[Hit, ...], identity: HostIdentity | None) -> bool:
    """Whether every HIT named is of the key; no name is no claim.

    HITs of both versions of HIP count, and of every reading of an EdDSA HIT: all are hashes of it.
    """
    if not named:
        return True
    if identity is None:
        return False
    hits = {hit_from_hi(identity.hi, identity.suite, reading) for reading in EddsaHitReading}
    return hits | {identity.hit_v1} >= set(named)


def _check_algorithms(top: HostCertificate, issuer: HostCertificate, position: int | None) -> None:
    """RFC 8002 section 2: algorithms of RFC 7401; and those of the same families with more bits.

    SHA-1 goes no further than the HITs of HIPv1.
    """
    oid = top.parsed.signature_algorithm_oid
    if oid not in _WITHOUT_HASH and not (
        oid in _WITH_HASH and isinstance(_hash_of(top.parsed), _HASHES)
    ):
        raise CertificateError(
            CertificateFailure.UNSUPPORTED,
            f"serial {top.serial_text}: signature algorithm {oid.dotted_string}",
            position,
        )
    try:
        key = issuer.parsed.public_key()
    except (ValueError, UnsupportedAlgorithm):
        key = None
    if isinstance(key, rsa.RSAPublicKey):
        usable = RSA_BITS_LEAST <= key.key_size <= RSA_BITS_MOST
    elif isinstance(key, ec.EllipticCurvePublicKey):
        usable = isinstance(key.curve, _CURVES)
    else:
        usable = isinstance(key, ed25519.Ed25519PublicKey | ed448.Ed448PublicKey)
    if not usable:
        raise CertificateError(
            CertificateFailure.UNSUPPORTED,
            f"serial {top.serial_text}: issuer's key is weak or of an unsupported kind",
            position,
        )


def _hash_of(parsed: x509.Certificate) -> hashes.HashAlgorithm | None:
    try:
        return parsed.signature_hash_algorithm
    except UnsupportedAlgorithm:
        return None
