"""DSA, ECDSA_LOW and RSA-1024: what HIPv1 peers and very small hosts have, on request only."""

from __future__ import annotations

import base64

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import dsa, padding, rsa

from hipgw.crypto import (
    KEY_KINDS,
    WEAK_KEY_KINDS,
    HostIdentity,
    PrivateHostIdentity,
    hit_from_hi,
    hit_v1_from_hi,
)
from hipgw.errors import CryptoError, LocalProtocolError
from hipgw.values import HiAlgorithm, HitSuite

SIGNATURE_OCTETS = {"rsa-1024": 128, "dsa-1024": 41, "ecdsa-secp160r1": 42}
HI_OCTETS = {"rsa-1024": 132, "dsa-1024": 405, "ecdsa-secp160r1": 43}
SUITES = {
    "rsa-1024": HitSuite.RSA_DSA_SHA256,
    "dsa-1024": HitSuite.RSA_DSA_SHA256,
    "ecdsa-secp160r1": HitSuite.ECDSA_LOW_SHA1,
}
SECP160R1_ORDER = 0x0100000000000000000001F4C8F927AED3CA752257

# RFC 6979 appendix A.2.1
P = bytes.fromhex(
    "86F5CA03DCFEB225063FF830A0C769B9DD9D6153AD91D7CE27F787C43278B447E6533B86B18BED6E8A48B784A14C252C"
    "5BE0DBF60B86D6385BD2F12FB763ED8873ABFD3F5BA2E0A8C0A59082EAC056935E529DAF7C610467899C77ADEDFC846C"
    "881870B7B19B2B58F9BE0521A17002E3BDD6B86685EE90B3D9A1B02B782B1779"
)
Q = bytes.fromhex("996F967F6C8E388D9E28D01E205FBA957A5698B1")
G = bytes.fromhex(
    "07B0F92546150B62514BB771E2A0C0CE387F03BDA6C56B505209FF25FD3C133D89BBCD97E904E09114D9A7DEFDEADFC9"
    "078EA544D2E401AEECC40BB9FBBF78FD87995A10A1C27CB7789B594BA7EFB5C4326A9FE59A070E136DB77175464ADCA4"
    "17BE5DCE2F40D10A46A3A3943F26AB7FD9C0398FF8C76EE0A56826A8A88F1DBD"
)
X = 0x411602CB19A6CCC34494D79D98EF1E7ED5AF25F7
Y = bytes.fromhex(
    "5DF5E01DED31D0297E274E1691C192FE5868FEF9E19A84776454B100CF16F65392195A38B90523E2542EE61871C0440C"
    "B87C322FC4B4D2EC5E1E7EC766E1BE8D4CE935437DC11C3C8FD426338933EBFE739CB3465F4D3668C5E473508253B1E6"
    "82F65CBDC4FAE93C2EA212390E54905A86E2223170B44EAA7DA5DD9FFCFB7F3B"
)
DSA_HI = b"\x08" + Q + P + G + Y
DSA_SAMPLE = {  # HIP version -> T | R | S over "sample"
    1: "08 2E1A0C2562B2912CAAF89186FB0F42001585DA55 29EFB6B0AFF2D7A68EB70CA313022253B9A88DF5",
    2: "08 81F2F5850BE5BC123C43F71A3033E9384611C545 4CDD914B65EB6C66A8AAAD27299BEE6B035F5E89",
}

# Made by `openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:secp160r1` and
# `openssl dgst -sha1 -sign`, OpenSSL 3.0.
LOW_PEM = b"""-----BEGIN PRIVATE KEY-----
MGECAQAwEAYHKoZIzj0CAQYFK4EEAAgESjBIAgEBBBUA3v/f7HLNUwxDaiI+PfaT
/lgW+vOhLAMqAAT/rn0yJNNt6OStE6+SpYL8XokkE+aS8I8pnnCYx34c+6zHqY5N
gi6T
-----END PRIVATE KEY-----
"""
LOW_PUBLIC_PEM = b"""-----BEGIN PUBLIC KEY-----
MD4wEAYHKoZIzj0CAQYFK4EEAAgDKgAE/659MiTTbejkrROvkqWC/F6JJBPmkvCP
KZ5wmMd+HPusx6mOTYIukw==
-----END PUBLIC KEY-----
"""
LOW_SIGNATURE_OF_HIP = bytes.fromhex(
    "0049fcad566d094b86f73aead8be96e59048b06f7c00077bfde04f52edabab904b82ac98a7431bc62633"
)


@pytest.fixture(scope="module")
def identities() -> dict[str, PrivateHostIdentity]:
    return {kind: PrivateHostIdentity.generate(kind, allow_weak=True) for kind in WEAK_KEY_KINDS}


@pytest.fixture(params=list(SIGNATURE_OCTETS))
def identity(
    request: pytest.FixtureRequest, identities: dict[str, PrivateHostIdentity]
) -> PrivateHostIdentity:
    return identities[request.param]


def dsa_identity() -> HostIdentity:
    return HostIdentity.from_wire(3, DSA_HI, allow_weak=True)


def test_kinds() -> None:
    assert set(WEAK_KEY_KINDS) == set(SIGNATURE_OCTETS)
    assert not set(WEAK_KEY_KINDS) & set(KEY_KINDS)


def test_sizes_and_hits(identity: PrivateHostIdentity) -> None:
    public = identity.public
    assert len(public.hi) == HI_OCTETS[public.kind]
    assert len(identity.sign(b"message")) == SIGNATURE_OCTETS[public.kind]
    assert public.suite is SUITES[public.kind]
    assert identity.hit == identity.hit_of(2) == hit_from_hi(public.hi, public.suite)
    assert identity.hit_v1 == identity.hit_of(1) == hit_v1_from_hi(public.hi)
    assert (identity.hit.version, identity.hit_v1.version) == (2, 1)


def test_only_on_request(identity: PrivateHostIdentity) -> None:
    with pytest.raises(LocalProtocolError):
        PrivateHostIdentity.generate(identity.public.kind)
    with pytest.raises(CryptoError):
        PrivateHostIdentity.from_pem(identity.to_pem())
    with pytest.raises(CryptoError):
        HostIdentity.from_wire(identity.public.algorithm, identity.public.hi)


def test_pem_round_trip(identity: PrivateHostIdentity) -> None:
    pem = identity.to_pem()
    assert pem.startswith(b"-----BEGIN PRIVATE KEY-----\n")
    again = PrivateHostIdentity.from_pem(pem, allow_weak=True)
    assert again == identity
    assert identity.public.verify(again.sign(b"message"), b"message")
    assert identity.public_pem().startswith(b"-----BEGIN PUBLIC KEY-----\n")


def test_repr_shows_no_private_key(identity: PrivateHostIdentity) -> None:
    shown = repr(identity) + str(identity)
    assert str(identity.hit) in shown
    assert identity.to_pem().splitlines()[1].decode() not in shown
    assert "PrivateKey" not in shown


def test_wrong_signatures(identity: PrivateHostIdentity) -> None:
    signature, public = identity.sign(b"m"), identity.public
    assert public.verify(signature, b"m")
    assert not public.verify(signature, b"n")
    for bad in (b"", signature[:1], signature[:-1], signature + b"\0", bytes(len(signature))):
        assert not public.verify(bad, b"m")
        assert not public.verify(bad, b"m", version=1)
    for place in range(len(signature)):
        bent = bytearray(signature)
        bent[place] ^= 0x10
        assert not public.verify(bytes(bent), b"m")


@pytest.mark.parametrize("kind", ["rsa-1024", "dsa-1024"])
def test_the_two_versions_sign_differently(
    kind: str, identities: dict[str, PrivateHostIdentity]
) -> None:
    identity = identities[kind]
    first, second = identity.sign(b"m", version=1), identity.sign(b"m")
    public = identity.public
    assert public.verify(first, b"m", version=1)
    assert not public.verify(first, b"m")
    assert not public.verify(second, b"m", version=1)


@pytest.mark.parametrize("kind", ["ecdsa-p256", "ed25519", "ecdsa-secp160r1"])
def test_version_one_has_no_other_signatures(kind: str) -> None:
    identity = PrivateHostIdentity.generate(kind, allow_weak=True)
    with pytest.raises(LocalProtocolError, match="RSA and DSA"):
        identity.sign(b"m", version=1)
    assert not identity.public.verify(identity.sign(b"m"), b"m", version=1)


def test_rsa_of_version_one_is_pkcs1_with_sha1() -> None:
    key = rsa.generate_private_key(65537, 2048)
    pem = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    identity = PrivateHostIdentity.from_pem(pem)
    expected = key.sign(b"m", padding.PKCS1v15(), hashes.SHA1())  # noqa: S303
    assert identity.sign(b"m", version=1) == expected
    other_hash = key.sign(b"m", padding.PKCS1v15(), hashes.SHA256())
    assert not identity.public.verify(other_hash, b"m", version=1)


class TestDsa:
    @pytest.mark.parametrize("version", [1, 2])
    def test_signatures_of_rfc_6979(self, version: int) -> None:
        signature = bytes.fromhex(DSA_SAMPLE[version])
        assert dsa_identity().verify(signature, b"sample", version=version)
        assert not dsa_identity().verify(signature, b"sample", version=3 - version)
        assert not dsa_identity().verify(b"\x07" + signature[1:], b"sample", version=version)

    def test_hi_of_a_key(self) -> None:
        numbers = dsa.DSAParameterNumbers(*(int.from_bytes(n, "big") for n in (P, Q, G)))
        public = dsa.DSAPublicNumbers(int.from_bytes(Y, "big"), numbers)
        key = dsa.DSAPrivateNumbers(X, public).private_key()
        for form in (
            serialization.PrivateFormat.PKCS8,
            serialization.PrivateFormat.TraditionalOpenSSL,
        ):
            pem = key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption())
            identity = PrivateHostIdentity.from_pem(pem, allow_weak=True)
            assert identity.public.hi == DSA_HI
            assert identity.public.kind == "dsa-1024"
            assert identity.public == dsa_identity()

    def test_keys_that_host_id_cannot_carry(self) -> None:
        key = dsa.generate_private_key(2048)
        pem = key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        with pytest.raises(CryptoError, match="2048"):
            PrivateHostIdentity.from_pem(pem, allow_weak=True)

    @pytest.mark.parametrize(
        "hi",
        [
            b"",
            b"\x08",
            DSA_HI[:-1],
            DSA_HI + b"\0",
            b"\x07" + DSA_HI[1:],
            b"\x09" + DSA_HI[1:],
            b"\x00" + Q + P[:64] + G[:64] + Y[:64],  # well-formed, 512 bits
            b"\x08" + Q + P + G + bytes(128),
            b"\x08" + Q + P + G + bytes(127) + b"\x01",
            b"\x08" + Q + P + G + P,
            b"\x08" + Q + P + G + Y[:-1] + bytes([Y[-1] ^ 1]),  # not of order q
            b"\x08" + Q + P + bytes(127) + b"\x01" + Y,
            b"\x08" + Q + P + bytes(127) + b"\x02" + Y,
            b"\x08" + Q + P[:-1] + b"\x78" + G + Y,  # even p
            b"\x08" + Q[:-1] + b"\xb0" + P + G + Y,
            b"\x08\x00" + Q[1:] + P + G + Y,
            b"\x08" + bytes(20) + P + G + Y,
            b"\x08" + Q + bytes(128) + G + Y,
        ],
    )
    def test_malformed(self, hi: bytes) -> None:
        with pytest.raises(CryptoError):
            HostIdentity.from_wire(HiAlgorithm.DSA, hi, allow_weak=True)

    def test_r_and_s_out_of_range(self) -> None:
        signature = bytes.fromhex(DSA_SAMPLE[2])
        r, s = signature[1:21], signature[21:]
        for bad in (bytes(20), Q, b"\xff" * 20):
            assert not dsa_identity().verify(b"\x08" + bad + s, b"sample")
            assert not dsa_identity().verify(b"\x08" + r + bad, b"sample")


class TestEcdsaLow:
    def test_key_and_signature_of_openssl(self) -> None:
        identity = PrivateHostIdentity.from_pem(LOW_PEM, allow_weak=True)
        assert identity.public.verify(LOW_SIGNATURE_OF_HIP, b"HIP")
        assert identity.to_pem() == LOW_PEM
        assert identity.public_pem() == LOW_PUBLIC_PEM
        assert identity.public.hi[:3] == b"\0\x01\x04"
        assert identity.public.kind == "ecdsa-secp160r1"

    def test_text_around_the_pem(self) -> None:
        around = b"some text\r\n" + LOW_PEM.replace(b"\n", b"\r\n") + b"more\r\n"
        identity = PrivateHostIdentity.from_pem(around, allow_weak=True)
        assert identity.to_pem() == LOW_PEM

    def test_halves_of_two_keys(self) -> None:
        other = PrivateHostIdentity.generate("ecdsa-secp160r1", allow_weak=True)
        bodies = [
            base64.b64decode(b"".join(pem.splitlines()[1:-1])) for pem in (LOW_PEM, other.to_pem())
        ]
        mixed = base64.b64encode(bodies[0][:-40] + bodies[1][-40:])
        pem = b"-----BEGIN PRIVATE KEY-----\n" + mixed + b"\n-----END PRIVATE KEY-----\n"
        with pytest.raises(CryptoError, match="another key"):
            PrivateHostIdentity.from_pem(pem, allow_weak=True)

    @pytest.mark.parametrize("scalar", [0, SECP160R1_ORDER, 2**168 - 1])
    def test_scalar_outside_the_order(self, scalar: int) -> None:
        body = base64.b64decode(b"".join(LOW_PEM.splitlines()[1:-1]))
        start = len(body) - 40 - 6 - 21
        der = body[:start] + scalar.to_bytes(21, "big") + body[start + 21 :]
        pem = b"-----BEGIN PRIVATE KEY-----\n%b\n-----END PRIVATE KEY-----" % base64.b64encode(der)
        with pytest.raises(CryptoError):
            PrivateHostIdentity.from_pem(pem, allow_weak=True)

    def test_bare_point(self) -> None:
        public = PrivateHostIdentity.from_pem(LOW_PEM, allow_weak=True).public
        bare = HostIdentity.from_wire(9, public.hi[:2] + public.hi[3:], allow_weak=True)
        assert bare.verify(LOW_SIGNATURE_OF_HIP, b"HIP")
        assert bare.hit != public.hit

    def test_malformed(self) -> None:
        hi = PrivateHostIdentity.from_pem(LOW_PEM, allow_weak=True).public.hi
        for bad in (
            b"",
            b"\0\x01",
            hi[:-1],
            hi + b"\0",
            b"\0\x02" + hi[2:],
            b"\0\x01\x02" + hi[3:],
            hi[:-1] + bytes([hi[-1] ^ 1]),
            hi[:3] + bytes(40),
            hi[:3] + b"\xff" * 40,
        ):
            with pytest.raises(CryptoError):
                HostIdentity.from_wire(HiAlgorithm.ECDSA_LOW, bad, allow_weak=True)

    def test_r_and_s_out_of_range(self) -> None:
        public = PrivateHostIdentity.from_pem(LOW_PEM, allow_weak=True).public
        r, s = LOW_SIGNATURE_OF_HIP[:21], LOW_SIGNATURE_OF_HIP[21:]
        for bad in (0, SECP160R1_ORDER, 2**168 - 1):
            octets = bad.to_bytes(21, "big")
            assert not public.verify(octets + s, b"HIP")
            assert not public.verify(r + octets, b"HIP")
