"""Certificates of hosts: X.509 v3 with HITs in the alternative names (RFC 8002 section 3).

Here a certificate is read; `certificates_chain` verifies it, `certificates_issuing` makes one.  A
certificate comes from a stranger: whatever its octets are, only `CertificateError` is raised.
"""

from __future__ import annotations

import warnings
from binascii import Error as Base64Error
from binascii import a2b_base64
from dataclasses import dataclass, field
from enum import IntEnum
from ipaddress import IPv6Address
from typing import Final, Self

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed448, ed25519, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, ExtensionOID, ObjectIdentifier

from hipgw.crypto.hi_fields import emit_hi
from hipgw.crypto.identities import HostIdentity
from hipgw.errors import CryptoError
from hipgw.values import Hit

CERTIFICATE_OCTETS_MOST: Final = 8192
"""More than a HIP packet can carry, and enough for any certificate with an RSA-4096 key."""
FILE_CERTIFICATES_MOST: Final = 1000

_PEM_BEGINNING: Final = b"-----BEGIN "
_IPSEC_IKE: Final = ObjectIdentifier("1.3.6.1.5.5.7.3.17")
_PURPOSES: Final = frozenset(
    {
        ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE,
        ExtendedKeyUsageOID.CLIENT_AUTH,
        ExtendedKeyUsageOID.SERVER_AUTH,
        _IPSEC_IKE,
    }
)
"""No purpose is registered for HIP: these stand for proving who one is."""
_HANDLED: Final = frozenset(
    {
        ExtensionOID.BASIC_CONSTRAINTS,
        ExtensionOID.KEY_USAGE,
        ExtensionOID.EXTENDED_KEY_USAGE,
        ExtensionOID.SUBJECT_ALTERNATIVE_NAME,
        ExtensionOID.ISSUER_ALTERNATIVE_NAME,
    }
)
UNREADABLE: Final = (
    ValueError,
    TypeError,
    UnsupportedAlgorithm,
    x509.DuplicateExtension,
    x509.UnsupportedGeneralNameType,
)
"""What the parser of `cryptography` raises, at loading or when a part is first looked at."""

# The parser warns of these two where it could refuse.  Peers must not be able to write to standard
# error: the first is refused below, the second harms nobody.
warnings.filterwarnings("ignore", message="Parsed a serial number which wasn't positive")
warnings.filterwarnings("ignore", message="Attribute's length must be", category=UserWarning)


class CertificateType(IntEnum):
    """CERT types (RFC 8002 section 2); 2, 4, 6 and 8 were SPKI."""

    X509 = 1
    HASH_AND_URL = 3
    LDAP_URL = 5
    DISTINGUISHED_NAME = 7


class CertificateFailure(IntEnum):
    """Why a certificate is refused, as registration failure types (RFC 8003 section 3.3)."""

    BAD = 4
    """Corrupt, wrong signature, or a HIT that is not that of the key."""
    UNSUPPORTED = 5
    """Of a type or algorithm, or with a key, that is not supported."""
    EXPIRED = 6
    """No longer valid: past its end, or revoked."""
    OTHER = 7
    """Anything else."""
    UNKNOWN_CA = 8
    """No trusted authority has issued it."""


class CertificateError(CryptoError):
    """A certificate or revocation list that cannot be used; no text of the peer is in the message.

    Attributes:
        failure: the kind, with its registration failure type.
        position: index of the certificate at fault among those presented, or None.
        detail: the message without the kind.
    """

    def __init__(
        self, failure: CertificateFailure, detail: str, position: int | None = None
    ) -> None:
        super().__init__(f"certificate {failure.name.lower().replace('_', ' ')}: {detail}")
        self.failure: Final = failure
        self.detail: Final = detail
        self.position: Final = position

    def at(self, position: int) -> CertificateError:
        """The same failure of the certificate at `position`."""
        return CertificateError(self.failure, self.detail, position)


@dataclass(frozen=True, slots=True)
class Rights:
    """What the extensions let the holder of a key do (RFC 5280 section 4.2.1).

    Attributes:
        is_authority: Basic Constraints say CA.
        path_length: how many authorities may follow below; None without a limit.
        signs_messages: Key Usage is absent, or has digitalSignature.
        signs_certificates: Key Usage is absent, or has keyCertSign.
        signs_lists: Key Usage is absent, or has cRLSign.
        refusal: why it must not be used at all, or "".
    """

    is_authority: bool
    path_length: int | None
    signs_messages: bool
    signs_certificates: bool
    signs_lists: bool
    refusal: str


@dataclass(frozen=True, slots=True)
class HostCertificate:
    """An X.509 v3 certificate, read; nothing of it is verified yet.

    Attributes:
        der: its octets; two certificates are equal when these are.
        serial: positive number, unique for its issuer.
        subject: distinguished name (RFC 4514); text of the peer.
        issuer: distinguished name of the issuer; text of the peer.
        not_before_s: first second of validity, Unix time.
        not_after_s: last second of validity, Unix time.
        subject_hits: HITs among the iPAddress names of subjectAltName.
        issuer_hits: HITs among those of issuerAltName.
        public: the subject's key as Host Identity; None when HIP has no such keys.
        rights: from the extensions.
        subject_name: the subject's name in DER, for comparing.
        issuer_name: the issuer's.
        parsed: for the modules beside this one.
    """

    der: bytes = field(repr=False)
    serial: int = field(compare=False)
    subject: str = field(compare=False)
    issuer: str = field(compare=False)
    not_before_s: int = field(compare=False)
    not_after_s: int = field(compare=False)
    subject_hits: tuple[Hit, ...] = field(compare=False)
    issuer_hits: tuple[Hit, ...] = field(compare=False)
    public: HostIdentity | None = field(compare=False)
    rights: Rights = field(compare=False)
    subject_name: bytes = field(compare=False, repr=False)
    issuer_name: bytes = field(compare=False, repr=False)
    parsed: x509.Certificate = field(compare=False, repr=False)

    @classmethod
    def from_der(cls, der: bytes, *, allow_weak: bool = False) -> Self:
        """Read one certificate.

        Args:
            der: exactly one certificate, at most `CERTIFICATE_OCTETS_MOST` octets.
            allow_weak: let the subject's key be one that `HostIdentity.from_wire` takes only so.

        Raises:
            CertificateError: BAD or UNSUPPORTED.
        """
        if len(der) > CERTIFICATE_OCTETS_MOST:
            raise CertificateError(
                CertificateFailure.UNSUPPORTED,
                f"{len(der)} octets, at most {CERTIFICATE_OCTETS_MOST} are read",
            )
        try:
            parsed = x509.load_der_x509_certificate(der)
            if parsed.version is not x509.Version.v3:
                raise CertificateError(CertificateFailure.UNSUPPORTED, "X.509, but not version 3")
            if parsed.serial_number <= 0:  # RFC 5280 section 4.1.2.2
                raise CertificateError(CertificateFailure.BAD, "serial number is not positive")
            extensions = parsed.extensions
            return cls(
                der=der,
                serial=parsed.serial_number,
                subject=parsed.subject.rfc4514_string(),
                issuer=parsed.issuer.rfc4514_string(),
                not_before_s=int(parsed.not_valid_before_utc.timestamp()),
                not_after_s=int(parsed.not_valid_after_utc.timestamp()),
                subject_hits=_hits_of(extensions, x509.SubjectAlternativeName),
                issuer_hits=_hits_of(extensions, x509.IssuerAlternativeName),
                public=_identity_of(parsed, allow_weak=allow_weak),
                rights=_rights_of(extensions),
                subject_name=parsed.subject.public_bytes(),
                issuer_name=parsed.issuer.public_bytes(),
                parsed=parsed,
            )
        except x509.InvalidVersion as error:
            raise CertificateError(
                CertificateFailure.UNSUPPORTED, "not an X.509 version that exists"
            ) from error
        except UNREADABLE as error:
            raise CertificateError(CertificateFailure.BAD, "octets are no X.509") from error

    def to_pem(self) -> bytes:
        """The PEM form."""
        return self.parsed.public_bytes(serialization.Encoding.PEM)

    @property
    def serial_text(self) -> str:
        """The serial number in words, see `serial_text`."""
        return serial_text(self.serial)

    @property
    def hit(self) -> Hit | None:
        """The HIT of the subject's key, whether named in the certificate or not."""
        return None if self.public is None else self.public.hit

    @property
    def is_self_issued(self) -> bool:
        """Whether issuer and subject have one name."""
        return self.subject_name == self.issuer_name

    def is_signed_by(self, issuer: HostCertificate) -> bool:
        """Whether `issuer` has this subject's issuer name, and its key made the signature."""
        try:
            self.parsed.verify_directly_issued_by(issuer.parsed)
        except (*UNREADABLE, InvalidSignature):
            return False
        return True


def serial_text(serial: int) -> str:
    """A serial number as OpenSSL prints it: hexadecimal digits, an even number of them."""
    digits = f"{serial:X}"
    return digits if len(digits) % 2 == 0 else f"0{digits}"


def certificates_from(octets: bytes) -> tuple[HostCertificate, ...]:
    """Read a file: one certificate in DER, or any number in PEM with text between.

    Raises:
        CertificateError: none in it, or one that cannot be read; `position` says which.
    """
    if _PEM_BEGINNING not in octets:
        return (HostCertificate.from_der(octets),)
    blocks = pem_blocks(octets, "CERTIFICATE")
    if not blocks:
        raise CertificateError(CertificateFailure.BAD, "PEM without a CERTIFICATE")
    found: list[HostCertificate] = []
    for position, der in enumerate(blocks):
        try:
            found.append(HostCertificate.from_der(der))
        except CertificateError as error:
            raise error.at(position) from error
    return tuple(found)


def pem_blocks(octets: bytes, label: str) -> list[bytes]:
    """The contents of all PEM blocks with a label.

    Raises:
        CertificateError: a block without end or not in base64, or above `FILE_CERTIFICATES_MOST`.
    """
    begin, end = f"-----BEGIN {label}-----".encode(), f"-----END {label}-----".encode()
    blocks: list[bytes] = []
    for part in octets.split(begin)[1:]:
        body, found, _ = part.partition(end)
        try:
            blocks.append(a2b_base64(b"".join(body.split()), strict_mode=True))
        except Base64Error as error:
            raise CertificateError(CertificateFailure.BAD, f"{label} not in base64") from error
        if not found:
            raise CertificateError(CertificateFailure.BAD, f"{label} without its END line")
        if len(blocks) > FILE_CERTIFICATES_MOST:
            raise CertificateError(CertificateFailure.OTHER, "too many in one file")
    return blocks


def identity_from_public_key(octets: bytes) -> HostIdentity:
    """The Host Identity of a public key file: SubjectPublicKeyInfo in PEM or DER.

    Raises:
        CryptoError: no public key, or one that cannot be a Host Identity.
    """
    load = (
        serialization.load_pem_public_key
        if _PEM_BEGINNING in octets
        else serialization.load_der_public_key
    )
    try:
        key = load(octets)
    except (ValueError, UnsupportedAlgorithm) as error:
        raise CryptoError("not a public key in PEM or DER form") from error
    if not isinstance(
        key,
        rsa.RSAPublicKey
        | ec.EllipticCurvePublicKey
        | ed25519.Ed25519PublicKey
        | ed448.Ed448PublicKey,
    ):
        raise CryptoError(f"public key of type {type(key).__name__} cannot be certified")
    return HostIdentity.from_wire(*emit_hi(key))


def _identity_of(parsed: x509.Certificate, *, allow_weak: bool) -> HostIdentity | None:
    """The subject's key as Host Identity, or None when it can be none."""
    try:
        key = parsed.public_key()
    except UnsupportedAlgorithm:
        return None
    if not isinstance(
        key,
        rsa.RSAPublicKey
        | dsa.DSAPublicKey
        | ec.EllipticCurvePublicKey
        | ed25519.Ed25519PublicKey
        | ed448.Ed448PublicKey,
    ):
        return None
    try:
        return HostIdentity.from_wire(*emit_hi(key), allow_weak=allow_weak)
    except CryptoError:
        return None


def _hits_of(
    extensions: x509.Extensions,
    kind: type[x509.SubjectAlternativeName | x509.IssuerAlternativeName],
) -> tuple[Hit, ...]:
    """HITs of either version among the iPAddress names; other addresses are not ours to judge."""
    try:
        names = extensions.get_extension_for_class(kind).value
    except x509.ExtensionNotFound:
        return ()
    addresses = names.get_values_for_type(x509.IPAddress)
    hits = (Hit(address.packed) for address in addresses if isinstance(address, IPv6Address))
    return tuple(hit for hit in hits if hit.version)


def _rights_of(extensions: x509.Extensions) -> Rights:
    """Read Basic Constraints and the key usages; look for what is not handled."""
    is_authority, path_length, refusal = False, None, ""
    messages = certificates = lists = True
    for extension in extensions:
        value = extension.value
        if isinstance(value, x509.BasicConstraints):
            is_authority, path_length = value.ca, value.path_length
        elif isinstance(value, x509.KeyUsage):
            messages = value.digital_signature
            certificates, lists = value.key_cert_sign, value.crl_sign
        elif isinstance(value, x509.ExtendedKeyUsage):
            if not _PURPOSES & set(value):
                refusal = "extended key usage has none of clientAuth, serverAuth, ipsecIKE, any"
        elif isinstance(value, x509.NameConstraints):
            refusal = "name constraints are not supported"
        elif extension.critical and extension.oid not in _HANDLED:
            refusal = f"critical extension {extension.oid.dotted_string} is not supported"
    return Rights(is_authority, path_length, messages, certificates, lists, refusal)
