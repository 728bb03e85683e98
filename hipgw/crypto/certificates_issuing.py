"""Making certificates and revocation lists: a host's key as certification authority (RFC 8002).

An issuer's HIT stands in issuerAltName, the subject's in subjectAltName, and the subject's key is
its Host Identity (section 3).  Both also are common names, where HIPL looks for them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from ipaddress import IPv6Address
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from hipgw.crypto.certificates import HostCertificate
from hipgw.crypto.certificates_chain import RevocationList
from hipgw.crypto.ecdsa_low import EcdsaLowPublicKey
from hipgw.crypto.identities import HostIdentity, PrivateHostIdentity
from hipgw.errors import LocalProtocolError
from hipgw.values import HiAlgorithm, Hit

NAME_CHARACTERS_MOST: Final = 64
"""Upper bound of an organization name (RFC 5280 appendix A.1)."""

PURPOSES: Final = {
    "clientAuth": ExtendedKeyUsageOID.CLIENT_AUTH,
    "serverAuth": ExtendedKeyUsageOID.SERVER_AUTH,
    "ipsecIKE": x509.ObjectIdentifier("1.3.6.1.5.5.7.3.17"),
    "anyExtendedKeyUsage": ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE,
}
"""Extended Key Usages by the names that OpenSSL has for them."""

_CERTIFIED: Final = frozenset({HiAlgorithm.RSA, HiAlgorithm.ECDSA, HiAlgorithm.EDDSA})
_SigningKey = (
    rsa.RSAPrivateKey
    | ec.EllipticCurvePrivateKey
    | ed25519.Ed25519PrivateKey
    | ed448.Ed448PrivateKey
)


@dataclass(frozen=True, slots=True)
class Validity:
    """First and last second of validity, Unix time."""

    not_before_s: int
    not_after_s: int


@dataclass(frozen=True, slots=True)
class Extras:
    """What a host's certificate says beyond its HIT.

    Attributes:
        dns_names: for subjectAltName, in ASCII.
        mail_addresses: likewise.
        purposes: keys of `PURPOSES`; () sets no Extended Key Usage.
    """

    dns_names: tuple[str, ...] = ()
    mail_addresses: tuple[str, ...] = ()
    purposes: tuple[str, ...] = ()


NO_EXTRAS: Final = Extras()


@dataclass(frozen=True, slots=True)
class Authority:
    """A key that issues, with its own certificate; LocalProtocolError when the two do not fit."""

    identity: PrivateHostIdentity
    certificate: HostCertificate

    def __post_init__(self) -> None:
        rights = self.certificate.rights
        if self.certificate.public != self.identity.public:
            raise LocalProtocolError("the authority's certificate is not of its key")
        if not (rights.is_authority and rights.signs_certificates and rights.signs_lists):
            raise LocalProtocolError("the authority's certificate is not one of an authority")


def new_root(
    identity: PrivateHostIdentity, validity: Validity, *, organization: str = ""
) -> Authority:
    """Make a self-signed authority.

    Args:
        identity: its key.
        validity: of its certificate.
        organization: text for people, or "".

    Raises:
        LocalProtocolError: a key, validity or name that cannot be used.
    """
    name = _name_of(identity.hit, organization)
    builder = _builder(identity.public, name, validity)
    builder = _with_authority_extensions(builder, path_length=None)
    certificate = _sign(builder, identity, name, _subject_identifier(identity.public))
    return Authority(identity, certificate)


def issue_certificate(
    authority: Authority, subject: HostIdentity, validity: Validity, extras: Extras = NO_EXTRAS
) -> HostCertificate:
    """Certify the key of a host.

    Args:
        authority: who issues.
        subject: the host's key.
        validity: within that of the authority.
        extras: more names and purposes.

    Raises:
        LocalProtocolError: a key that cannot be certified, or a validity that is empty or goes
            past that of the authority.
    """
    builder = _issued(authority, subject, _name_of(subject.hit, ""), validity, extras)
    builder = builder.add_extension(
        x509.BasicConstraints(ca=False, path_length=None), critical=True
    ).add_extension(_usage(is_authority=False), critical=True)
    if extras.purposes:
        purposes = [PURPOSES[word] for word in extras.purposes]
        builder = builder.add_extension(x509.ExtendedKeyUsage(purposes), critical=False)
    return _sign_by(builder, authority)


def issue_authority(
    authority: Authority,
    identity: PrivateHostIdentity,
    validity: Validity,
    *,
    organization: str = "",
) -> Authority:
    """Make an authority below another; none can be below it.

    Raises:
        LocalProtocolError: as `issue_certificate`, or the authority allows none below itself.
    """
    if authority.certificate.rights.path_length == 0:
        raise LocalProtocolError("that authority may not have another below itself")
    name = _name_of(identity.hit, organization)
    builder = _issued(authority, identity.public, name, validity)
    builder = _with_authority_extensions(builder, path_length=0)
    certificate = _sign_by(builder, authority)
    return Authority(identity, certificate)


def issue_revocation_list(
    authority: Authority,
    revoked: Mapping[int, int],
    *,
    number: int,
    this_update_s: int,
    next_update_s: int,
) -> RevocationList:
    """Make a revocation list.

    Args:
        authority: who issues it.
        revoked: serial number -> when it was revoked, Unix time.
        number: CRL number, larger than of every list before (RFC 5280 section 5.2.3).
        this_update_s: now, Unix time.
        next_update_s: when the next one comes at the latest, Unix time.

    Raises:
        LocalProtocolError: the list would end before it begins.
    """
    if next_update_s <= this_update_s:
        raise LocalProtocolError("revocation list: the next update comes before this one")
    builder = (
        x509.CertificateRevocationListBuilder()
        .issuer_name(authority.certificate.parsed.subject)
        .last_update(_time(this_update_s))
        .next_update(_time(next_update_s))
        .add_extension(x509.CRLNumber(number), critical=False)
        .add_extension(_authority_identifier(_identifier_of(authority)), critical=False)
    )
    for serial, when_s in sorted(revoked.items()):
        builder = builder.add_revoked_certificate(
            x509.RevokedCertificateBuilder()
            .serial_number(serial)
            .revocation_date(_time(when_s))
            .build()
        )
    key = _signing_key(authority.identity)
    signed = builder.sign(key, _hash_for(key))
    return RevocationList.from_der(signed.public_bytes(serialization.Encoding.DER))


def _issued(
    authority: Authority,
    subject: HostIdentity,
    name: x509.Name,
    validity: Validity,
    extras: Extras = NO_EXTRAS,
) -> x509.CertificateBuilder:
    """A certificate that `authority` shall sign, without its rights."""
    ends_s = authority.certificate.not_after_s
    if validity.not_after_s > ends_s:
        raise LocalProtocolError(
            "a certificate cannot outlive its authority: "
            f"{validity.not_after_s - ends_s} seconds too long"
        )
    return _builder(subject, name, validity, extras)


def _builder(
    subject: HostIdentity, name: x509.Name, validity: Validity, extras: Extras = NO_EXTRAS
) -> x509.CertificateBuilder:
    key = subject.public_key
    if subject.algorithm not in _CERTIFIED or isinstance(key, EcdsaLowPublicKey):
        raise LocalProtocolError(
            f"{subject.algorithm.name} keys are not certified: choose RSA, ECDSA or EdDSA"
        )
    if validity.not_after_s <= validity.not_before_s:
        raise LocalProtocolError("validity ends before it begins")
    return (
        x509.CertificateBuilder()
        .subject_name(name)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(_time(validity.not_before_s))
        .not_valid_after(_time(validity.not_after_s))
        .add_extension(_alternative_names(subject.hit, extras), critical=False)
        .add_extension(_subject_identifier(subject), critical=False)
    )


def _alternative_names(hit: Hit, extras: Extras) -> x509.SubjectAlternativeName:
    try:
        more: list[x509.GeneralName] = [x509.DNSName(name) for name in extras.dns_names]
        more += [x509.RFC822Name(name) for name in extras.mail_addresses]
    except ValueError as error:
        raise LocalProtocolError(f"alternative name: {error}") from error
    return x509.SubjectAlternativeName([_address_of(hit), *more])


def _with_authority_extensions(
    builder: x509.CertificateBuilder, *, path_length: int | None
) -> x509.CertificateBuilder:
    return builder.add_extension(
        x509.BasicConstraints(ca=True, path_length=path_length), critical=True
    ).add_extension(_usage(is_authority=True), critical=True)


def _sign_by(builder: x509.CertificateBuilder, authority: Authority) -> HostCertificate:
    name = authority.certificate.parsed.subject
    return _sign(builder, authority.identity, name, _identifier_of(authority))


def _sign(
    builder: x509.CertificateBuilder,
    issuer: PrivateHostIdentity,
    name: x509.Name,
    identifier: x509.SubjectKeyIdentifier,
) -> HostCertificate:
    """Add who issues it, by name, HIT and key identifier, and sign."""
    key = _signing_key(issuer)
    signed = (
        builder.issuer_name(name)
        .add_extension(x509.IssuerAlternativeName([_address_of(issuer.hit)]), critical=False)
        .add_extension(_authority_identifier(identifier), critical=False)
        .sign(key, _hash_for(key))
    )
    return HostCertificate.from_der(signed.public_bytes(serialization.Encoding.DER))


def _signing_key(identity: PrivateHostIdentity) -> _SigningKey:
    key = (
        serialization.load_pem_private_key(identity.to_pem(), password=None)
        if identity.public.algorithm in _CERTIFIED
        else None
    )
    if not isinstance(key, _SigningKey):
        raise LocalProtocolError(f"{identity.public.kind} keys issue no certificates")
    return key


def _hash_for(key: _SigningKey) -> hashes.SHA256 | hashes.SHA384 | None:
    """The hash that the key's HIT suite has in HIP_SIGNATURE; none beside EdDSA.

    RSA signs as PKCS #1 v1.5, which every reader of certificates knows, PSS not.
    """
    if isinstance(key, rsa.RSAPrivateKey):
        return hashes.SHA256()
    return hashes.SHA384() if isinstance(key, ec.EllipticCurvePrivateKey) else None


def _name_of(hit: Hit, organization: str) -> x509.Name:
    attributes = [x509.NameAttribute(NameOID.COMMON_NAME, str(hit))]
    if organization:
        if len(organization.encode()) > NAME_CHARACTERS_MOST or not organization.isprintable():
            raise LocalProtocolError(
                f"organization name: at most {NAME_CHARACTERS_MOST} octets of printable text"
            )
        attributes.insert(0, x509.NameAttribute(NameOID.ORGANIZATION_NAME, organization))
    return x509.Name(attributes)


def _address_of(hit: Hit) -> x509.IPAddress:
    return x509.IPAddress(IPv6Address(hit.packed))


def _usage(*, is_authority: bool) -> x509.KeyUsage:
    """An authority may prove who it is, too: it is a host with a key of its own."""
    return x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=is_authority,
        crl_sign=is_authority,
        encipher_only=False,
        decipher_only=False,
    )


def _subject_identifier(subject: HostIdentity) -> x509.SubjectKeyIdentifier:
    key = subject.public_key
    if isinstance(key, EcdsaLowPublicKey):
        raise LocalProtocolError("ECDSA_LOW keys are not certified")
    return x509.SubjectKeyIdentifier.from_public_key(key)


def _identifier_of(authority: Authority) -> x509.SubjectKeyIdentifier:
    """As the authority's certificate has it, which other software may have chosen."""
    extensions = authority.certificate.parsed.extensions
    try:
        return extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    except x509.ExtensionNotFound:
        return _subject_identifier(authority.identity.public)


def _authority_identifier(identifier: x509.SubjectKeyIdentifier) -> x509.AuthorityKeyIdentifier:
    return x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(identifier)


def _time(unix_s: int) -> datetime:
    try:
        return datetime.fromtimestamp(unix_s, UTC)
    except (ValueError, OverflowError, OSError) as error:
        raise LocalProtocolError(f"no such time: {unix_s} seconds of Unix time") from error
