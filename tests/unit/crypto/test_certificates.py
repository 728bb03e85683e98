"""Certificates as they come: what is read of them, and that nothing odd escapes."""

from __future__ import annotations

import hashlib
import subprocess
import sys

import pytest
from cryptography import x509
from hypothesis import given, settings
from hypothesis import strategies as st

from hipgw.crypto import PrivateHostIdentity
from hipgw.crypto.certificates import (
    CERTIFICATE_OCTETS_MOST,
    CertificateError,
    CertificateFailure,
    CertificateType,
    HostCertificate,
    certificates_from,
    identity_from_public_key,
)
from hipgw.crypto.certificates_carried import (
    DistinguishedName,
    HashAndUrl,
    read_carried,
)
from hipgw.crypto.certificates_chain import RevocationList, TrustStore, verify_chain
from hipgw.errors import CryptoError
from hipgw.values import Hit
from tests.unit.crypto.certificate_forge import (
    NOW_S,
    identity,
    leaf,
    revocation_list,
    root,
)

# RFC 8002 appendix A: the certificate alone.
SAMPLE = b"""\
-----BEGIN CERTIFICATE-----
MIIDWTCCAkGgAwIBAgIJALBSLicpGyy5MA0GCSqGSIb3DQEBCwUAME0xFzAVBgoJ
kiaJk/IsZAEZFgdFeGFtcGxlMRMwEQYKCZImiZPyLGQBGRYDY29tMR0wGwYDVQQD
ExRFeGFtcGxlIGlzc3VpbmcgaG9zdDAeFw0xNjAyMjUxMTI4MjlaFw0xNzAyMjQx
MTI4MjlaME0xFzAVBgoJkiaJk/IsZAEZFgdFeGFtcGxlMRMwEQYKCZImiZPyLGQB
GRYDY29tMR0wGwYDVQQDExRFeGFtcGxlIGlzc3VpbmcgaG9zdDCCASIwDQYJKoZI
hvcNAQEBBQADggEPADCCAQoCggEBAMmwhZSvHzp3OcnVgaXu0rVrcpFdIiweWeUG
Kb2iGfasyuv3iNhUVUEBWNiHZNjIz27COIEiGq7ppoAiA+7zG35oEeP0e5gzKL9A
7E8Z6BCKiwdg95/kgvinWAQ9QgfINMqZbRHrc8HZlpNV5cftgE+K8hpvg8gVpI+4
av7zT0kaXB+JuzDmmLzOo6I3hbF5HCbmRAy5Ptg3gUb0AiVGouraJVxGoqPFWIBT
H8XlEaDa2PKt1pjUzlU1zAvTWwlI71dlgMtlef3LTVuzjRr/Klg+lmUQPgSBeCvV
yol46ihcvAJKVM2qqZmN1jnpXqlzGl2TVTmbchrCoB/jTLBBmJcCAwEAAaM8MDow
GwYDVR0RBBQwEocQIAEAJ9z8DLj4hdU/TmNItzAbBgNVHRIEFDAShxAgAQAt+Hhk
wWfjlxaIvWjkMA0GCSqGSIb3DQEBCwUAA4IBAQBt5qmmMMSrPoY5Ht52TU6kLWNN
u0G/0wxmE4tNslBZNvyuQp7IoEEaHJRWBSiCNE5jdYcxJWc2phoPuPfbA+fdppom
xGjiz1lU5u7Mp877Vr8xYPTL5/AOUPi3xTwa3nTQqoPlFSWxv76kf68K3ggJDhMd
KjsamdmvEPwIkl/Y0BDWuQyG2oU7RLWXkBACT1ofrgcwa/XmEpNy4hDJjiwAi9bw
BcP/kSRpbVtaDEAoAfJbRbibrp5z6d2D4IXXrWyxgaygMDedYL2SO9KhIYeLxNla
XCFWPgJ+82+l3kB1gPVBaFyyYfsdmqWXqNSpgkWGeTxjdj39hqD4FIRVwYz6
-----END CERTIFICATE-----
"""
SAMPLE_NOW_S = 1_460_000_000

QUIET = pytest.mark.filterwarnings(
    "ignore:Parsed a serial number", "ignore:Attribute's length must be"
)
"""pytest puts its filters before those of the module."""


def test_sample_of_rfc_8002() -> None:
    (sample,) = certificates_from(b"text before\n" + SAMPLE)
    assert sample.serial == 12705268244493839545
    assert sample.serial_text == "B0522E27291B2CB9"
    assert sample.subject == sample.issuer == "CN=Example issuing host,DC=com,DC=Example"
    assert (sample.not_before_s, sample.not_after_s) == (1456399709, 1487935709)
    assert sample.subject_hits == (Hit.parse("2001:27:dcfc:cb8:f885:d53f:4e63:48b7"),)
    assert sample.issuer_hits == (Hit.parse("2001:2d:f878:64c1:67e3:9716:88bd:68e4"),)
    assert sample.is_self_issued
    assert sample.is_signed_by(sample)
    assert sample.to_pem() == SAMPLE


def test_hits_of_the_sample_are_not_those_of_its_key() -> None:
    # Its issuer HIT is an ORCHID of RFC 4843 with the prefix of RFC 7343 written over it.
    (sample,) = certificates_from(SAMPLE)
    public = sample.public
    assert public is not None
    assert public.hit == Hit.parse("2001:21:d4bf:8284:dae7:d346:68c9:9a15")
    assert public.hit_v1 == Hit.parse("2001:1d:f878:64c1:67e3:9716:88bd:68e4")
    assert public.hit_v1.packed[4:] == sample.issuer_hits[0].packed[4:]
    with pytest.raises(CertificateError) as refused:
        verify_chain([sample], TrustStore((sample,)), SAMPLE_NOW_S)
    assert refused.value.failure is CertificateFailure.BAD
    assert "subjectAltName" in refused.value.detail


def test_rights() -> None:
    authority = root(path_length=3)
    assert authority.rights.is_authority
    assert authority.rights.path_length == 3
    host = leaf()
    assert not host.rights.is_authority
    assert host.rights.signs_messages
    assert leaf(ca=None).rights == host.rights


def test_only_hits_are_taken_from_the_addresses() -> None:
    hit = str(identity("host").hit)
    made = leaf(names=["192.0.2.1", hit, "2001:db8::1", "2001:1d::1"])
    assert made.subject_hits == (Hit.parse(hit), Hit.parse("2001:1d::1"))


@pytest.mark.parametrize("octets", [b"", b"\x30", b"\x30\x03\x02\x01\x01", b"\0" * 100])
def test_no_certificate(octets: bytes) -> None:
    with pytest.raises(CertificateError) as refused:
        HostCertificate.from_der(octets)
    assert refused.value.failure is CertificateFailure.BAD


def test_more_octets_than_one_certificate() -> None:
    der = leaf().der
    with pytest.raises(CertificateError):
        HostCertificate.from_der(der + b"\0")
    with pytest.raises(CertificateError) as refused:
        HostCertificate.from_der(der + bytes(CERTIFICATE_OCTETS_MOST))
    assert refused.value.failure is CertificateFailure.UNSUPPORTED


def test_files() -> None:
    one, two = leaf(), root()
    assert certificates_from(one.der) == (one,)
    assert certificates_from(one.to_pem() + b"text\n" + two.to_pem()) == (one, two)


@pytest.mark.parametrize(
    ("octets", "position"),
    [
        (b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n", None),
        (b"-----BEGIN CERTIFICATE-----\n*\n-----END CERTIFICATE-----\n", None),
        (b"-----BEGIN CERTIFICATE-----\nAAAA\n", None),
        (SAMPLE + b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", 1),
    ],
)
def test_files_without_a_usable_certificate(octets: bytes, position: int | None) -> None:
    with pytest.raises(CertificateError) as refused:
        certificates_from(octets)
    assert refused.value.position == position


@pytest.mark.parametrize("kind", ["ecdsa-p256", "ecdsa-p384", "ed25519", "ed448", "rsa-2048"])
def test_public_key_files(kind: str) -> None:
    private = PrivateHostIdentity.generate(kind)
    assert identity_from_public_key(private.public_pem()) == private.public
    with pytest.raises(CryptoError):
        identity_from_public_key(private.to_pem())


@QUIET
@settings(max_examples=300)
@given(
    edits=st.lists(st.tuples(st.integers(0, 10_000), st.integers(0, 255)), min_size=1, max_size=4),
    sample=st.booleans(),
)
def test_any_octets_are_a_certificate_or_a_certificate_error(
    edits: list[tuple[int, int]], sample: bool
) -> None:
    original = certificates_from(SAMPLE)[0] if sample else leaf(names=[str(identity("host").hit)])
    octets = bytearray(original.der)
    for place, value in edits:
        octets[place % len(octets)] = value
    try:
        read = HostCertificate.from_der(bytes(octets))
        verify_chain([read], TrustStore((original, root())), NOW_S)
    except CertificateError:
        return
    assert read == original


@QUIET
@settings(max_examples=200)
@given(place=st.integers(0, 10_000), value=st.integers(0, 255))
def test_any_octets_are_a_list_or_a_certificate_error(place: int, value: int) -> None:
    original = revocation_list("root", (7, None), (9, x509.ReasonFlags.key_compromise))
    octets = bytearray(original)
    octets[place % len(octets)] = value
    try:
        read = RevocationList.from_der(bytes(octets))
    except CertificateError:
        return
    assert not read.is_of(root()) or bytes(octets) == original


def test_a_peer_cannot_write_to_standard_error() -> None:
    country = bytearray(leaf(name="XYZ").der)
    # subject: commonName (2.5.4.3) becomes countryName (2.5.4.6), which may not have 3 characters
    country[country.rindex(b"\x06\x03\x55\x04\x03\x0c\x03XYZ") + 4] = 6
    zero = bytearray(leaf(serial=7).der)
    zero[zero.index(b"\x02\x01\x07") + 2] = 0
    script = (
        "import sys\n"
        "from hipgw.crypto.certificates import CertificateError, HostCertificate\n"
        "for text in sys.argv[1:]:\n"
        "    try:\n"
        "        print(HostCertificate.from_der(bytes.fromhex(text)).subject)\n"
        "    except CertificateError as error:\n"
        "        print(error)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, country.hex(), zero.hex()],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "C=XYZ\ncertificate bad: serial number is not positive\n"
    assert done.stderr == ""


# --- the certificate field of CERT, by type ---


def test_carried_x509() -> None:
    made = leaf()
    assert read_carried(CertificateType.X509, made.der) == made


def test_carried_hash_and_url() -> None:
    digest = hashlib.sha1(leaf().der, usedforsecurity=False).digest()
    read = read_carried(CertificateType.HASH_AND_URL, digest + b"https://ca.example.net/7.der")
    assert read == HashAndUrl(digest, "https://ca.example.net/7.der")


@pytest.mark.parametrize(
    ("octets", "failure"),
    [
        (b"", CertificateFailure.BAD),
        (bytes(20), CertificateFailure.BAD),
        (bytes(20) + b"http://ca.example.net/\n", CertificateFailure.BAD),
        (bytes(20) + "http://ca.example.net/ä".encode(), CertificateFailure.BAD),
        (bytes(20) + b"http://" + b"a" * 1020, CertificateFailure.BAD),
        (bytes(20) + b"file:///etc/shadow", CertificateFailure.UNSUPPORTED),
    ],
)
def test_no_hash_and_url(octets: bytes, failure: CertificateFailure) -> None:
    with pytest.raises(CertificateError) as refused:
        read_carried(CertificateType.HASH_AND_URL, octets)
    assert refused.value.failure is failure


def test_carried_name() -> None:
    read = read_carried(CertificateType.DISTINGUISHED_NAME, b"CN=Steve Kille,O=Isode Limited,C=GB")
    assert isinstance(read, DistinguishedName)
    assert [attribute.value for attribute in read.name] == ["GB", "Isode Limited", "Steve Kille"]


@given(st.binary(max_size=60))
def test_any_octets_are_a_name_or_a_certificate_error(octets: bytes) -> None:
    try:
        read = read_carried(CertificateType.DISTINGUISHED_NAME, octets)
    except CertificateError:
        return
    assert isinstance(read, DistinguishedName)


@pytest.mark.parametrize("kind", [0, 2, 4, 5, 6, 8, 9, 255])
def test_types_that_are_not_taken(kind: int) -> None:
    with pytest.raises(CertificateError) as refused:
        read_carried(kind, b"ldap://ca.example.net/")
    assert refused.value.failure is CertificateFailure.UNSUPPORTED


def test_another_version_is_unsupported() -> None:
    octets = bytearray(leaf().der)
    at = octets.index(b"\xa0\x03\x02\x01\x02")  # [0] INTEGER 2, which is version 3
    octets[at + 4] = 1
    with pytest.raises(CertificateError) as refused:
        HostCertificate.from_der(bytes(octets))
    assert refused.value.failure is CertificateFailure.UNSUPPORTED
