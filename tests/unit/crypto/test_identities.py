"""Host Identities: PEM forms, the HI field, and keys that are refused."""

from __future__ import annotations

import base64

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed25519, rsa, x25519

from hipgw.crypto import KEY_KINDS, HostIdentity, PrivateHostIdentity, hit_from_hi
from hipgw.errors import CryptoError, LocalProtocolError
from hipgw.values import HiAlgorithm, HitSuite

SIGNATURE_OCTETS = {
    "ecdsa-p256": 64,
    "ecdsa-p384": 96,
    "ed25519": 64,
    "ed448": 114,
    "rsa-2048": 256,
    "rsa-3072": 384,
}
HI_OCTETS = {
    "ecdsa-p256": 67,
    "ecdsa-p384": 99,
    "ed25519": 36,
    "ed448": 61,
    "rsa-2048": 260,
    "rsa-3072": 388,
}
SUITES = {
    "ecdsa": HitSuite.ECDSA_SHA384,
    "ed255": HitSuite.EDDSA_CSHAKE128,
    "ed448": HitSuite.EDDSA_CSHAKE128,
    "rsa-2": HitSuite.RSA_DSA_SHA256,
    "rsa-3": HitSuite.RSA_DSA_SHA256,
}
ORDERS = {
    "ecdsa-p256": 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551,
    "ecdsa-p384": int(
        "FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF"
        "C7634D81F4372DDF581A0DB248B0A77AECEC196ACCC52973",
        16,
    ),
}
TRADITIONAL = (
    serialization.Encoding.PEM,
    serialization.PrivateFormat.TraditionalOpenSSL,
    serialization.NoEncryption(),
)


@pytest.fixture(scope="module")
def identities() -> dict[str, PrivateHostIdentity]:
    return {kind: PrivateHostIdentity.generate(kind) for kind in SIGNATURE_OCTETS}


@pytest.fixture(params=list(SIGNATURE_OCTETS))
def identity(
    request: pytest.FixtureRequest, identities: dict[str, PrivateHostIdentity]
) -> PrivateHostIdentity:
    return identities[request.param]


def test_kinds_are_those_of_the_documentation() -> None:
    assert set(KEY_KINDS) == set(SIGNATURE_OCTETS) | {"rsa-4096"}


def test_sizes_and_suite(identity: PrivateHostIdentity) -> None:
    kind = identity.public.kind
    assert len(identity.public.hi) == HI_OCTETS[kind]
    assert len(identity.sign(b"message")) == SIGNATURE_OCTETS[kind]
    assert identity.public.suite is SUITES[kind[:5]]
    assert identity.hit.suite == identity.public.suite
    assert identity.hit.version == 2
    assert identity.hit == hit_from_hi(identity.public.hi, identity.public.suite)


def test_pem_round_trip(identity: PrivateHostIdentity) -> None:
    pem = identity.to_pem()
    assert pem.startswith(b"-----BEGIN PRIVATE KEY-----\n")
    again = PrivateHostIdentity.from_pem(pem)
    assert again == identity
    assert identity.public.verify(again.sign(b"message"), b"message")
    assert identity.public_pem().startswith(b"-----BEGIN PUBLIC KEY-----\n")


def test_wire_round_trip_is_equal_and_hashes_alike(identity: PrivateHostIdentity) -> None:
    public = identity.public
    again = HostIdentity.from_wire(int(public.algorithm), public.hi)
    assert again == public
    assert hash(again) == hash(public)
    assert again.hit == public.hit
    assert again.kind == public.kind


def test_identities_differ(identities: dict[str, PrivateHostIdentity]) -> None:
    publics = [identity.public for identity in identities.values()]
    assert len(set(publics)) == len(publics)
    assert PrivateHostIdentity.generate("ed25519") != identities["ed25519"]


def test_repr_shows_no_private_key(identity: PrivateHostIdentity) -> None:
    body = identity.to_pem().splitlines()[1].decode()
    shown = repr(identity) + str(identity)
    assert str(identity.hit) in shown
    assert body not in shown
    assert "PrivateKey" not in shown


@pytest.mark.parametrize("kind", ["", "rsa-1024", "dsa", "ECDSA-P256"])
def test_unknown_kind(kind: str) -> None:
    with pytest.raises(LocalProtocolError, match="ecdsa-p256"):
        PrivateHostIdentity.generate(kind)


def test_traditional_rsa_pem() -> None:
    key = rsa.generate_private_key(65537, 2048)
    pem = key.private_bytes(*TRADITIONAL)
    assert b"BEGIN RSA PRIVATE KEY" in pem
    hi = PrivateHostIdentity.from_pem(pem).public.hi
    assert hi == b"\x03\x01\x00\x01" + key.public_key().public_numbers().n.to_bytes(256, "big")


def test_traditional_ec_pem_after_its_parameters() -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    pem = key.private_bytes(*TRADITIONAL)
    assert b"BEGIN EC PRIVATE KEY" in pem
    # As `openssl ecparam -name prime256v1 -genkey` writes it.
    head = b"-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n"
    point = key.public_key().public_bytes(
        serialization.Encoding.X962, serialization.PublicFormat.UncompressedPoint
    )
    assert PrivateHostIdentity.from_pem(head + pem).public.hi == b"\0\x01" + point


def test_unusable_pem_is_refused() -> None:
    plain = serialization.NoEncryption()
    pkcs8 = serialization.PrivateFormat.PKCS8

    def pem(key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey) -> bytes:
        return key.private_bytes(serialization.Encoding.PEM, pkcs8, plain)

    good = PrivateHostIdentity.generate("ecdsa-p256").to_pem()
    unusable = [
        b"",
        b"not a key",
        good[: len(good) // 2],
        PrivateHostIdentity.generate("ed25519").public_pem(),
        pem(rsa.generate_private_key(65537, 1024)),  # noqa: S505 - that is the point
        pem(ec.generate_private_key(ec.SECP521R1())),
        x25519.X25519PrivateKey.generate().private_bytes(serialization.Encoding.PEM, pkcs8, plain),
        dsa.generate_private_key(2048).private_bytes(serialization.Encoding.PEM, pkcs8, plain),
    ]
    for text in unusable:
        with pytest.raises(CryptoError) as caught:
            PrivateHostIdentity.from_pem(text)
        assert caught.value.__suppress_context__ or caught.value.__context__ is None


def test_encrypted_pem_names_the_remedy() -> None:
    key = ed25519.Ed25519PrivateKey.generate()
    pem = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.BestAvailableEncryption(b"secret"),
    )
    with pytest.raises(CryptoError, match="openssl pkey"):
        PrivateHostIdentity.from_pem(pem)


class TestFromWire:
    def refuse(self, algorithm: int, hi: bytes) -> None:
        with pytest.raises(CryptoError):
            HostIdentity.from_wire(algorithm, hi)

    @pytest.mark.parametrize("algorithm", [0, 3, 9, 4, 13, 65535])
    def test_other_algorithms(self, algorithm: int) -> None:
        self.refuse(algorithm, b"\x03\x01\x00\x01" + b"\xff" * 256)

    def test_every_truncation(self, identity: PrivateHostIdentity) -> None:
        public = identity.public
        # An RSA modulus has no length field: cut to 2048 bits or more it would be another key.
        for length in range(min(len(public.hi), 4 + 255)):
            self.refuse(public.algorithm, public.hi[:length])

    def test_an_octet_too_many(self, identity: PrivateHostIdentity) -> None:
        if identity.public.algorithm is HiAlgorithm.RSA:
            longer = HostIdentity.from_wire(5, identity.public.hi + b"\x01")
            assert longer != identity.public  # another modulus, hence another HIT
            assert longer.hit != identity.hit
        else:
            self.refuse(identity.public.algorithm, identity.public.hi + b"\0")

    def test_bare_point_is_the_same_key_under_another_hit(
        self, identities: dict[str, PrivateHostIdentity]
    ) -> None:
        for kind in ("ecdsa-p256", "ecdsa-p384"):
            identity = identities[kind]
            hi = identity.public.hi
            bare = HostIdentity.from_wire(7, hi[:2] + hi[3:])
            assert bare.verify(identity.sign(b"m"), b"m")
            assert bare.hit == hit_from_hi(hi[:2] + hi[3:], HitSuite.ECDSA_SHA384)
            assert bare.hit != identity.hit

    def test_points_off_the_curve(self, identities: dict[str, PrivateHostIdentity]) -> None:
        hi = identities["ecdsa-p256"].public.hi
        self.refuse(7, hi[:-1] + bytes([hi[-1] ^ 1]))
        self.refuse(7, hi[:3] + bytes(64))
        self.refuse(7, hi[:3] + b"\xff" * 64)
        self.refuse(7, b"\0\x01\x00")  # the point at infinity

    def test_other_curves_and_point_forms(self, identities: dict[str, PrivateHostIdentity]) -> None:
        hi = identities["ecdsa-p256"].public.hi
        self.refuse(7, b"\0\x03" + hi[2:])
        self.refuse(7, b"\0\x02" + hi[2:])
        self.refuse(7, hi[:2] + b"\x02" + hi[3:35])
        self.refuse(7, hi[:2] + b"\x06" + hi[3:])

    def test_rsa_sizes(self) -> None:
        def hi(bits: int) -> bytes:
            return b"\x01\x03" + ((1 << bits) - 1).to_bytes((bits + 7) // 8, "big")

        self.refuse(5, hi(1024))
        self.refuse(5, hi(2047))
        self.refuse(5, hi(4097))
        assert HostIdentity.from_wire(5, hi(4096)).kind == "rsa-4096"
        assert HostIdentity.from_wire(5, hi(1024), allow_weak=True).kind == "rsa-1024"
        with pytest.raises(CryptoError):
            HostIdentity.from_wire(5, hi(1023), allow_weak=True)

    def test_rsa_shapes(self) -> None:
        modulus = b"\xc1" * 256
        assert HostIdentity.from_wire(5, b"\x03\x01\x00\x01" + modulus)
        assert HostIdentity.from_wire(5, b"\x00\x00\x03\x01\x00\x01" + modulus)
        self.refuse(5, b"\x03\x00\x01\x01" + modulus)  # leading zero in the exponent
        self.refuse(5, b"\x03\x01\x00\x01\x00" + modulus)  # leading zero in the modulus
        self.refuse(5, b"\x01\x01" + modulus)  # e = 1
        self.refuse(5, b"\x01\x04" + modulus)  # even exponent
        self.refuse(5, b"\x03\x01\x00\x01" + modulus[:-1] + b"\xc0")  # even modulus
        self.refuse(5, b"\x09" + b"\x01" * 9 + modulus)  # exponent of more than 64 bits
        self.refuse(5, b"\x00" + modulus)
        self.refuse(5, b"\xff" + modulus)

    def test_eddsa_shapes(self, identities: dict[str, PrivateHostIdentity]) -> None:
        hi = identities["ed25519"].public.hi
        self.refuse(13, b"\0\x02" + hi[2:])  # Ed25519ph
        self.refuse(13, b"\0\x03" + hi[2:])
        self.refuse(13, b"\0\x01\0\x01" + hi[4:])

    @pytest.mark.parametrize(
        "key",
        [
            bytes(32),  # order 4
            b"\x01" + bytes(31),  # the neutral element
            (2**255 - 20).to_bytes(32, "little"),  # y = -1
            (2**255 - 19).to_bytes(32, "little"),  # y = p
            (2**255 - 1).to_bytes(32, "little"),
            bytes.fromhex("26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05"),
            bytes.fromhex("c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a"),
            bytes.fromhex("c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa"),
            b"\x02" + bytes(31),  # off the curve
        ],
    )
    def test_unusable_ed25519_points(self, key: bytes) -> None:
        self.refuse(13, b"\0\x01\0\0" + key)

    @pytest.mark.parametrize("y", [0, 1, 2**448 - 2**224 - 2, 2**448 - 2**224 - 1, 2**455])
    def test_unusable_ed448_points(self, y: int) -> None:
        self.refuse(13, b"\0\x03\0\0" + y.to_bytes(57, "little"))


class TestVerify:
    def test_hostile_lengths(self, identity: PrivateHostIdentity) -> None:
        signature = identity.sign(b"m")
        for hostile in (b"", signature[:1], signature[:-1], signature + b"\0", bytes(5000)):
            assert not identity.public.verify(hostile, b"m")
        assert not identity.public.verify(bytes(len(signature)), b"m")
        assert not identity.public.verify(b"\xff" * len(signature), b"m")

    @pytest.mark.parametrize("kind", list(ORDERS))
    def test_r_and_s_out_of_range(
        self, kind: str, identities: dict[str, PrivateHostIdentity]
    ) -> None:
        identity, order = identities[kind], ORDERS[kind]
        signature = identity.sign(b"m")
        size = len(signature) // 2
        r, s = signature[:size], signature[size:]
        assert identity.public.verify(r + s, b"m")
        for bad in (0, order, order + 1, 2 ** (8 * size) - 1):
            octets = bad.to_bytes(size, "big")
            assert not identity.public.verify(octets + s, b"m")
            assert not identity.public.verify(r + octets, b"m")
            assert not identity.public.verify(octets + octets, b"m")

    def test_eddsa_s_above_the_order(self, identities: dict[str, PrivateHostIdentity]) -> None:
        order = 2**252 + 27742317777372353535851937790883648493  # RFC 8032 section 5.1
        identity = identities["ed25519"]
        signature = identity.sign(b"m")
        s = int.from_bytes(signature[32:], "little") + order
        assert not identity.public.verify(signature[:32] + s.to_bytes(32, "little"), b"m")

    def test_signatures_of_others(self, identities: dict[str, PrivateHostIdentity]) -> None:
        for signer in identities.values():
            signature = signer.sign(b"m")
            for other in identities.values():
                assert other.public.verify(signature, b"m") is (other is signer)

    def test_der_is_not_a_hip_signature(self, identities: dict[str, PrivateHostIdentity]) -> None:
        key = serialization.load_pem_private_key(identities["ecdsa-p256"].to_pem(), None)
        assert isinstance(key, ec.EllipticCurvePrivateKey)
        der = key.sign(b"m", ec.ECDSA(hashes.SHA384()))
        assert not identities["ecdsa-p256"].public.verify(der, b"m")


def test_pem_body_is_base64_of_the_same_key(identities: dict[str, PrivateHostIdentity]) -> None:
    pem = identities["ed25519"].public_pem().decode().splitlines()
    der = base64.b64decode("".join(pem[1:-1]))
    assert der[-32:] == identities["ed25519"].public.hi[4:]
