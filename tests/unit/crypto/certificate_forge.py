"""Certificates of any shape, right and wrong, straight from `cryptography`."""

from __future__ import annotations

import datetime
import ipaddress
from dataclasses import dataclass, field
from functools import cache

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from hipgw.crypto import PrivateHostIdentity
from hipgw.crypto.certificates import HostCertificate

NOW_S = 1_800_000_000
DAY_S = 86400


WEAK = "weak"
"""A name whose key is RSA with 1024 bits."""
OLD = "old"
"""A name whose key is RSA with 2048 bits: it has a HIT of each HIP version."""
KINDS = {WEAK: "rsa-1024", OLD: "rsa-2048"}


@cache
def identity(name: str, kind: str = "ecdsa-p256") -> PrivateHostIdentity:
    """One key for each name."""
    return PrivateHostIdentity.generate(KINDS.get(name, kind), allow_weak=True)


def time_of(unix_s: int) -> datetime.datetime:
    return datetime.datetime.fromtimestamp(unix_s, datetime.UTC)


def name_of(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, text)])


def addresses(*texts: str) -> list[x509.GeneralName]:
    return [x509.IPAddress(ipaddress.ip_address(text)) for text in texts]


def usage(*, sign: bool = True, certificates: bool = False, lists: bool = False) -> x509.KeyUsage:
    return x509.KeyUsage(sign, False, False, False, False, certificates, lists, False, False)


@dataclass
class Forged:
    """What goes into a certificate.

    `subject` and `issuer` name the keys, too, unless `named` is the subject's name and `signer`
    has the key that signs.
    """

    subject: str
    issuer: str
    names: list[str] = field(default_factory=list)
    issuer_names: list[str] = field(default_factory=list)
    ca: bool | None = False
    path_length: int | None = None
    serial: int = 7
    not_before_s: int = NOW_S - DAY_S
    not_after_s: int = NOW_S + DAY_S
    extra: list[tuple[x509.ExtensionType, bool]] = field(default_factory=list)
    signer: str | None = None
    named: str | None = None
    algorithm: hashes.HashAlgorithm | None = field(default_factory=hashes.SHA256)

    def make(self) -> HostCertificate:
        public = serialization.load_pem_public_key(identity(self.subject).public_pem())
        builder = (
            x509.CertificateBuilder()
            .subject_name(name_of(self.named or self.subject))
            .issuer_name(name_of(self.issuer))
            .public_key(public)  # type: ignore[arg-type]
            .serial_number(self.serial)
            .not_valid_before(time_of(self.not_before_s))
            .not_valid_after(time_of(self.not_after_s))
        )
        if self.ca is not None:
            constraints = x509.BasicConstraints(self.ca, self.path_length if self.ca else None)
            builder = builder.add_extension(constraints, critical=True)
        if self.names:
            alternative = x509.SubjectAlternativeName(addresses(*self.names))
            builder = builder.add_extension(alternative, critical=False)
        if self.issuer_names:
            issuers = x509.IssuerAlternativeName(addresses(*self.issuer_names))
            builder = builder.add_extension(issuers, critical=False)
        for extension, critical in self.extra:
            builder = builder.add_extension(extension, critical=critical)
        signer = identity(self.signer or self.issuer)
        key = serialization.load_pem_private_key(signer.to_pem(), None)
        made = builder.sign(key, self.algorithm)  # type: ignore[arg-type]
        return HostCertificate.from_der(made.public_bytes(serialization.Encoding.DER))


def root(name: str = "root", **changes: object) -> HostCertificate:
    return Forged(name, name, ca=True, **changes).make()  # type: ignore[arg-type]


def between(name: str, issuer: str, **changes: object) -> HostCertificate:
    return Forged(name, issuer, ca=True, **changes).make()  # type: ignore[arg-type]


def leaf(name: str = "host", issuer: str = "root", **changes: object) -> HostCertificate:
    return Forged(name, issuer, **changes).make()  # type: ignore[arg-type]


def revocation_list(
    issuer: str,
    *entries: tuple[int, x509.ReasonFlags | None],
    signer: str | None = None,
    this_update_s: int = NOW_S - DAY_S,
    next_update_s: int = NOW_S + DAY_S,
    extra: tuple[x509.ExtensionType, bool] | None = None,
) -> bytes:
    """A revocation list in DER."""
    builder = (
        x509.CertificateRevocationListBuilder()
        .issuer_name(name_of(issuer))
        .last_update(time_of(this_update_s))
        .next_update(time_of(next_update_s))
    )
    for serial, reason in entries:
        entry = x509.RevokedCertificateBuilder().serial_number(serial)
        entry = entry.revocation_date(time_of(this_update_s))
        if reason is not None:
            entry = entry.add_extension(x509.CRLReason(reason), critical=False)
        builder = builder.add_revoked_certificate(entry.build())
    if extra is not None:
        builder = builder.add_extension(extra[0], critical=extra[1])
    key = serialization.load_pem_private_key(identity(signer or issuer).to_pem(), None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    return builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.DER)
