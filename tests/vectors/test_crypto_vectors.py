"""Published values, and the four reference base exchanges of pcap/hipv2-ref-vectors.json.

Each constant names its source.  `pcap/README.md` says how the reference exchanges were verified.
"""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest

from hipgw.crypto import (
    DhPrivateKey,
    EddsaHitReading,
    HostIdentity,
    Keymat,
    PrivateHostIdentity,
    compute_mac,
    cshake128,
    decrypt_parameter,
    draw_esp_keys,
    draw_hip_keys,
    hit_from_hi,
    kmac128,
    mac_is_right,
    puzzle_is_solved,
    rhash,
)
from hipgw.values import DhGroup, EspSuite, HiAlgorithm, HipCipher, Hit, HitSuite

Exchange = dict[str, Any]
REFERENCE: dict[str, Exchange] = json.loads(
    (Path(__file__).parent / "pcap" / "hipv2-ref-vectors.json").read_text()
)

HIP_MAC, HIP_MAC_2, HIP_SIGNATURE, HIP_SIGNATURE_2 = 61505, 61569, 61697, 61633
ENCRYPTED, HOST_ID = 641, 705


# --- SP 800-185 -------------------------------------------------------------------------------

EMAIL = b"Email Signature"
TAGGED = b"My Tagged Application"
SAMPLE_KEY = bytes(range(0x40, 0x60))


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        (bytes(range(4)), "c1c36925b6409a04f1b504fcbca9d82b4017277cb5ed2b2065fc1d3814d5aaf5"),
        (bytes(range(200)), "c5221d50e4f822d96a2e8881a961420f294b7b24fe3d2094baed2c6524cc166b"),
    ],
)
def test_sp_800_185_cshake128_samples(message: bytes, expected: str) -> None:
    assert cshake128(message, 32, customization=EMAIL).hex() == expected


@pytest.mark.parametrize(
    ("message", "customization", "expected"),
    [
        (bytes(range(4)), b"", "e5780b0d3ea6f7d3a429c5706aa43a00fadbd7d49628839e3187243f456ee14e"),
        (
            bytes(range(4)),
            TAGGED,
            "3b1fba963cd8b0b59e8c1a6d71888b7143651af8ba0a7070c0979e2811324aa5",
        ),
        (
            bytes(range(200)),
            TAGGED,
            "1f5b4e6cca02209e0dcb5ca635b89a15e271ecc760071dfd805faa38f9729230",
        ),
    ],
)
def test_sp_800_185_kmac128_samples(message: bytes, customization: bytes, expected: str) -> None:
    assert kmac128(SAMPLE_KEY, message, 32, customization=customization).hex() == expected


# --- HITs -------------------------------------------------------------------------------------

ED25519_PUBLIC = bytes.fromhex(  # RFC 8032 section 7.1, test 1
    "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a"
)
RSA_2048_RFC_8002 = bytes.fromhex(  # RFC 8002 appendix A, exponent 65537
    "c9b08594af1f3a7739c9d581a5eed2b56b72915d222c1e59e50629bda219f6accaebf788d85455410158d88764d8"
    "c8cf6ec23881221aaee9a6802203eef31b7e6811e3f47b983328bf40ec4f19e8108a8b0760f79fe482f8a758043d"
    "4207c834ca996d11eb73c1d9969355e5c7ed804f8af21a6f83c815a48fb86afef34f491a5c1f89bb30e698bccea3"
    "a23785b1791c26e6440cb93ed8378146f4022546a2eada255c46a2a3c55880531fc5e511a0dad8f2add698d4ce55"
    "35cc0bd35b0948ef576580cb6579fdcb4d5bb38d1aff2a583e9665103e0481782bd5ca8978ea285cbc024a54cdaa"
    "a9998dd639e95ea9731a5d9355399b721ac2a01fe34cb0419897"
)
RSA_1024_HI_RFC_8005 = base64.b64decode(  # RFC 8005 section 7; the HIT printed there is no ORCHID
    "AwEAAbdxyhNuSutc5EMzxTs9LBPCIkOFH8cIvM4p9+LrV4e19WzK00+CI6zBCQTdtWsuxKbWIy87UOoJTwkUs7lBu+Up"
    "r1gsNrut79ryra+bSRGQb1slImA8YVJyuIDsj7kwzG7jnERNqnWxZ48AWkskmdHaVDP4BcelrTI3rMXdXF5D"
)
P256_BASE = bytes.fromhex(  # SEC 2 section 2.4.2: the public key of d = 1
    "6b17d1f2e12c4247f8bce6e563a440f277037d812deb33a0f4a13945d898c296"
    "4fe342e2fe1a7f9b8ee7eb4a7c0f9e162bce33576b315ececbb6406837bf51f5"
)
P384_BASE = bytes.fromhex(  # SEC 2 section 2.5.1
    "aa87ca22be8b05378eb1c71ef320ad746e1d3b628ba79b9859f741e082542a385502f25dbf55296c3a545e3872760ab7"
    "3617de4a96262c6f5d9e98bf9292dc29f8f41dbd289a147ce9da3113b5f0b8c00a60b1ce1d7e819d7a431d7c90ea0e5f"
)


@pytest.mark.parametrize(
    ("algorithm", "hi", "hit"),
    [
        (
            HiAlgorithm.RSA,
            b"\x03\x01\x00\x01" + RSA_2048_RFC_8002,
            "2001:21:d4bf:8284:dae7:d346:68c9:9a15",
        ),
        (HiAlgorithm.RSA, RSA_1024_HI_RFC_8005, "2001:21:731f:db71:2bf5:bf3b:f642:72a4"),
        (
            HiAlgorithm.ECDSA,
            b"\0\x01\x04" + P256_BASE,
            "2001:22:f482:7b66:edea:73a8:1796:b6",
        ),
        (HiAlgorithm.ECDSA, b"\0\x01" + P256_BASE, "2001:22:549b:5c1a:ac37:1ebc:cf8c:885"),
        (
            HiAlgorithm.ECDSA,
            b"\0\x02\x04" + P384_BASE,
            "2001:22:fa11:1755:9b40:ee42:9793:f282",
        ),
        (HiAlgorithm.ECDSA, b"\0\x02" + P384_BASE, "2001:22:498:aeb2:d230:dcd4:82b4:ae60"),
        (
            HiAlgorithm.EDDSA,
            b"\0\x01\0\0" + ED25519_PUBLIC,
            "2001:25:9dbc:2ff3:b95a:8ae4:712:f3b3",
        ),
    ],
)
def test_hit_of_a_known_key(algorithm: HiAlgorithm, hi: bytes, hit: str) -> None:
    identity = HostIdentity.from_wire(algorithm, hi, allow_weak=True)
    assert identity.hit == Hit.parse(hit)
    assert identity.hi == hi


@pytest.mark.parametrize(
    ("reading", "hit"),
    [
        (EddsaHitReading.CONTEXT_IN_MESSAGE, "2001:25:94f8:6e7a:36ad:d203:ed89:625f"),
        (EddsaHitReading.CONTEXT_AS_CUSTOMIZATION, "2001:25:9dbc:2ff3:b95a:8ae4:712:f3b3"),
        (EddsaHitReading.CONTEXT_TWICE, "2001:25:cfa1:8fbe:17bc:4e6b:4d01:db37"),
        (EddsaHitReading.RAW_KEY, "2001:25:52c2:69ad:c47d:27f9:f1ff:9b73"),
    ],
)
def test_readings_of_the_eddsa_hit(reading: EddsaHitReading, hit: str) -> None:
    hi = b"\0\x01\0\0" + ED25519_PUBLIC
    assert hit_from_hi(hi, HitSuite.EDDSA_CSHAKE128, reading) == Hit.parse(hit)
    assert HostIdentity.from_wire(13, hi, reading=reading).hit == Hit.parse(hit)


@pytest.mark.parametrize(
    ("key", "det"),
    [
        (
            "9990d5b04b72a18066d4092b52c7d4994fb7c16bd7e8c1f440ffa8d04ff1e13f",
            "2001:3f:fe00:5:5e60:a157:1e91:a0b7",
        ),
        (
            "ce681e36e1141aeb560d6e76bc796b7b7cb454e463ccb1f12de30a380101803f",
            "2001:3f:fe00:a05:6615:ee45:d427:9a0",
        ),
        (
            "8233fdaeb5068bc14859d113a0edfcf8dc07814e3dd2765e6b5b82e04d070597",
            "2001:3f:fe00:a05:260e:d437:6b25:6e28",
        ),
        (
            "c92e2f9d97e8960f9b5f1654f8b09039f9dadc5bcf061eac4f0cea79e8e877fa",
            "2001:3f:fe00:a05:1308:2469:9a4b:c6b2",
        ),
    ],
)
def test_rfc_9886_appendix_a_dets(key: str, det: str) -> None:
    context = bytes.fromhex("00b5a69c795df5d5f0087f56843f2c40")
    octets = Hit.parse(det).packed
    tag = cshake128(octets[:8] + bytes.fromhex(key), 8, customization=context)
    assert tag == octets[8:]


# --- Diffie-Hellman ---------------------------------------------------------------------------

RFC_5903 = {
    # section 8.1
    DhGroup.NIST_P256: (
        "c88f01f510d9ac3f70a292daa2316de544e9aab8afe84049c62a9c57862d1433",
        (
            "dad0b65394221cf9b051e1feca5787d098dfe637fc90b9ef945d0c3772581180"
            "5271a0461cdb8252d61f1c456fa3e59ab1f45b33accf5f58389e0577b8990bb3"
        ),
        "c6ef9c5d78ae012a011164acb397ce2088685d8f06bf9be0b283ab46476bee53",
        (
            "d12dfb5289c8d4f81208b70270398c342296970a0bccb74c736fc7554494bf63"
            "56fbf3ca366cc23e8157854c13c58d6aac23f046ada30f8353e74f33039872ab"
        ),
        "d6840f6b42f6edafd13116e0e12565202fef8e9ece7dce03812464d04b9442de",
    ),
    # section 8.2
    DhGroup.NIST_P384: (
        (
            "099f3c7034d4a2c699884d73a375a67f7624ef7c6b3c0f160647b67414dce655"
            "e35b538041e649ee3faef896783ab194"
        ),
        (
            "667842d7d180ac2cde6f74f37551f55755c7645c20ef73e31634fe72b4c55ee6"
            "de3ac808acb4bdb4c88732aee95f41aa9482ed1fc0eeb9cafc4984625ccfc23f"
            "65032149e0e144ada024181535a0f38eeb9fcff3c2c947dae69b4c634573a81c"
        ),
        (
            "41cb0779b4bdb85d47846725fbec3c9430fab46cc8dc5060855cc9bda0aa2942"
            "e0308312916b8ed2960e4bd55a7448fc"
        ),
        (
            "e558dbef53eecde3d3fccfc1aea08a89a987475d12fd950d83cfa41732bc509d"
            "0d1ac43a0336def96fda41d0774a3571dcfbec7aacf3196472169e838430367f"
            "66eebe3c6e70c416dd5f0c68759dd1fff83fa40142209dff5eaad96db9e6386c"
        ),
        (
            "11187331c279962d93d604243fd592cb9d0a926f422e47187521287e7156c5c4"
            "d603135569b9e9d09cf5d4a270f59746"
        ),
    ),
}


@pytest.mark.parametrize("group", RFC_5903)
def test_rfc_5903_section_8(group: DhGroup) -> None:
    i, public_i, r, public_r, shared = (bytes.fromhex(text) for text in RFC_5903[group])
    initiator, responder = DhPrivateKey.from_scalar(group, i), DhPrivateKey.from_scalar(group, r)
    assert initiator.public == public_i
    assert responder.public == public_r
    assert initiator.exchange(public_r) == shared
    assert responder.exchange(public_i) == shared


def test_rfc_5903_section_8_3() -> None:
    i, r = (
        DhPrivateKey.from_scalar(DhGroup.NIST_P521, bytes.fromhex(text))
        for text in (
            (
                "0037ade9319a89f4dabdb3ef411aaccca5123c61acab57b5393dce47608172a095aa85a3"
                "0fe1c2952c6771d937ba9777f5957b2639bab072462f68c27a57382d4a52"
            ),
            (
                "0145ba99a847af43793fdd0e872e7cdfa16be30fdc780f97bccc3f078380201e9c677d60"
                "0b343757a3bdbf2a3163e4c2f869cca7458aa4a4effc311f5cb151685eb9"
            ),
        )
    )
    assert i.exchange(r.public) == r.exchange(i.public)
    assert i.exchange(r.public).hex() == (
        "01144c7d79ae6956bc8edb8e7c787c4521cb086fa64407f97894e5e6b2d79b04d1427e73"
        "ca4baa240a34786859810c06b3c715a3a8cc3151f2bee417996d19f3ddea"
    )


# --- HMAC and HKDF ----------------------------------------------------------------------------


def test_rfc_5869_a_1_extract_and_first_block() -> None:
    suite = HitSuite.RSA_DSA_SHA256
    key = compute_mac(suite, bytes(range(13)), b"\x0b" * 22)
    assert key.hex() == "077709362c2e32df0ddc3f0dc47bba6390b6c73bb50f9c3122ec844ad7c2b3e5"
    first = compute_mac(suite, key, bytes(range(0xF0, 0xFA)) + b"\x01")
    assert first.hex() == "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf"


@pytest.mark.parametrize(
    ("suite", "expected"),
    [
        (HitSuite.ECDSA_LOW_SHA1, "effcdf6ae5eb2fa2d27416d5f184df9c259a7c79"),  # RFC 2202 3
        (
            HitSuite.RSA_DSA_SHA256,  # RFC 4231 section 4.3
            "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843",
        ),
        (
            HitSuite.ECDSA_SHA384,
            (
                "af45d2e376484031617f78d2b58a6b1b9c7ef464f5a01b47e42ec3736322445e"
                "8e2240ca5e69e2c78b3239ecfab21649"
            ),
        ),
    ],
)
def test_hmac_of_jefe(suite: HitSuite, expected: str) -> None:
    mac = compute_mac(suite, b"Jefe", b"what do ya want for nothing?")
    assert mac.hex() == expected


# --- Signatures -------------------------------------------------------------------------------

RFC_6979 = {  # appendix A.2.5 and A.2.6: SHA-384 of "sample"
    1: (
        (
            "60fed4ba255a9d31c961eb74c6356d68c049b8923b61fa6ce669622e60f29fb6"
            "7903fe1008b8bc99a41ae9e95628bc64f2f1b20c2d7e9f5177a3c294d4462299"
        ),
        (
            "0eafea039b20e9b42309fb1d89e213057cbf973dc0cfc8f129edddc800ef7719"
            "4861f0491e6998b9455193e34e7b0d284ddd7149a74b95b9261f13abde940954"
        ),
    ),
    2: (
        (
            "ec3a4e415b4e19a4568618029f427fa5da9a8bc4ae92e02e06aae5286b300c64"
            "def8f0ea9055866064a254515480bc138015d9b72d7d57244ea8ef9ac0c62189"
            "6708a59367f9dfb9f54ca84b3f1c9db1288b231c3ae0d4fe7344fd2533264720"
        ),
        (
            "94edbb92a5ecb8aad4736e56c691916b3f88140666ce9fa73d64c4ea95ad133c"
            "81a648152e44acf96e36dd1e80fabe4699ef4aeb15f178cea1fe40db2603138f"
            "130e740a19624526203b6351d0a3a94fa329c145786e679e7b82c71a38628ac8"
        ),
    ),
}


@pytest.mark.parametrize("curve", RFC_6979)
def test_rfc_6979_ecdsa_with_sha384(curve: int) -> None:
    point, signature = (bytes.fromhex(text) for text in RFC_6979[curve])
    identity = HostIdentity.from_wire(7, curve.to_bytes(2, "big") + b"\x04" + point)
    assert identity.verify(signature, b"sample")
    assert not identity.verify(signature, b"test")


EDDSA = {  # RFC 8032: PKCS#8 head of RFC 8410, secret, public, signature of the empty message
    "section 7.1 test 1": (
        "302e020100300506032b657004220420",
        "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
        "00010000d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
        (
            "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e06522490155"
            "5fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b"
        ),
    ),
    "section 7.4 blank": (
        "3047020100300506032b6571043b0439",
        (
            "6c82a562cb808d10d632be89c8513ebf6c929f34ddfa8c9f63c9960ef6e348a3"
            "528c8a3fcc2f044e39a3fc5b94492f8f032e7549a20098f95b"
        ),
        (
            "00030000"
            "5fd7449b59b461fd2ce787ec616ad46a1da1342485a70e1f8a0ea75d80e96778"
            "edf124769b46c7061bd6783df1e50f6cd1fa1abeafe8256180"
        ),
        (
            "533a37f6bbe457251f023c0d88f976ae2dfb504a843e34d2074fd823d41a591f"
            "2b233f034f628281f2fd7a22ddd47d7828c59bd0a21bfd3980ff0d2028d4b18a"
            "9df63e006c5d1c2d345b925d8dc00b4104852db99ac5c7cdda8530a113a0f4db"
            "b61149f05a7363268c71d95808ff2e652600"
        ),
    ),
}


@pytest.mark.parametrize("test", EDDSA)
def test_rfc_8032_eddsa(test: str) -> None:
    head, secret, hi, signature = (bytes.fromhex(text) for text in EDDSA[test])
    body = base64.b64encode(head + secret)
    pem = b"-----BEGIN PRIVATE KEY-----\n" + body + b"\n-----END PRIVATE KEY-----\n"
    identity = PrivateHostIdentity.from_pem(pem)
    assert identity.public.hi == hi
    assert identity.sign(b"") == signature
    assert identity.public.verify(signature, b"")


# --- Reference base exchanges -----------------------------------------------------------------


def parameters(packet: bytes) -> dict[int, tuple[int, bytes]]:
    """Type -> (offset of the TLV, contents) of a HIP packet in hand-made parsing."""
    found = {}
    offset = 40
    while offset < len(packet):
        kind = int.from_bytes(packet[offset : offset + 2], "big")
        length = int.from_bytes(packet[offset + 2 : offset + 4], "big")
        found[kind] = offset, packet[offset + 4 : offset + 4 + length]
        offset += 11 + length - (length + 3) % 8
    return found


def covered(packet: bytes, kind: int, extra: bytes = b"") -> bytes:
    """The octets under a MAC or signature (RFC 7401 section 6.4); the checksum is 0 in the JSON."""
    octets = bytearray(packet[: parameters(packet)[kind][0]] + extra)
    octets[1] = len(octets) // 8 - 1
    octets[4:6] = b"\0\0"
    return bytes(octets)


@pytest.fixture(params=sorted(REFERENCE))
def exchange(request: pytest.FixtureRequest) -> Exchange:
    return REFERENCE[request.param]


def octets_of(exchange: Exchange, name: str) -> bytes:
    return bytes.fromhex(exchange[name])


def keymat_of(exchange: Exchange) -> Keymat:
    return Keymat(
        HitSuite(exchange["oga"]),
        octets_of(exchange, "kij"),
        Hit.parse(exchange["hit_i"]),
        Hit.parse(exchange["hit_r"]),
        octets_of(exchange, "I"),
        octets_of(exchange, "J"),
    )


def test_reference_hits(exchange: Exchange) -> None:
    for role in "ir":
        identity = HostIdentity.from_wire(exchange["hi_alg"], octets_of(exchange, f"hi_{role}"))
        assert identity.hit == Hit.parse(exchange[f"hit_{role}"])
        assert identity.suite == exchange["oga"]


def test_reference_keymat(exchange: Exchange) -> None:
    stream = octets_of(exchange, "keymat_512")
    keymat = keymat_of(exchange)
    assert keymat.octets(0, 512) == stream
    assert keymat.octets(77, 200) == stream[77:277]


def test_reference_keys(exchange: Exchange) -> None:
    keymat = keymat_of(exchange)
    initiator, responder = Hit.parse(exchange["hit_i"]), Hit.parse(exchange["hit_r"])
    out, into = ("gl", "lg") if exchange["initiator_hit_greater"] else ("lg", "gl")
    cipher, suite = HipCipher(exchange["hip_cipher"]), HitSuite(exchange["oga"])
    keys = draw_hip_keys(keymat, cipher, suite, initiator, responder)
    assert keys.encryption_out == octets_of(exchange, f"hip_{out}_enc")
    assert keys.mac_out == octets_of(exchange, f"hip_{out}_mac")
    assert keys.encryption_in == octets_of(exchange, f"hip_{into}_enc")
    assert keys.mac_in == octets_of(exchange, f"hip_{into}_mac")
    assert keys.keymat_index == exchange["keymat_index"]

    esp_suite = EspSuite(exchange["esp_suite"])
    esp = draw_esp_keys(keymat, keys.keymat_index, esp_suite, initiator, responder)
    assert esp.encryption_out == octets_of(exchange, f"esp_{out}_enc")
    assert esp.authentication_out == octets_of(exchange, f"esp_{out}_auth")
    assert esp.encryption_in == octets_of(exchange, f"esp_{into}_enc")
    assert esp.authentication_in == octets_of(exchange, f"esp_{into}_auth")
    assert esp.keymat_index_after == exchange["keymat_index_after_esp"]


def test_reference_puzzle(exchange: Exchange) -> None:
    suite, k = HitSuite(exchange["oga"]), exchange["K"]
    i, j = octets_of(exchange, "I"), octets_of(exchange, "J")
    initiator, responder = Hit.parse(exchange["hit_i"]), Hit.parse(exchange["hit_r"])
    digest = rhash(suite, i + initiator.packed + responder.packed + j)
    assert digest == octets_of(exchange, "puzzle_digest")
    assert puzzle_is_solved(suite, k, i, initiator, responder, j)
    if k:
        assert not puzzle_is_solved(suite, k, i, responder, initiator, j)


def test_reference_macs(exchange: Exchange) -> None:
    suite = HitSuite(exchange["oga"])
    greater = exchange["initiator_hit_greater"]
    r1, i2, r2 = (octets_of(exchange, name) for name in ("r1", "i2", "r2"))
    key = octets_of(exchange, "hip_gl_mac" if greater else "hip_lg_mac")
    mac = parameters(i2)[HIP_MAC][1]
    assert mac == octets_of(exchange, "i2_mac")
    assert mac_is_right(suite, key, covered(i2, HIP_MAC), mac)

    key = octets_of(exchange, "hip_lg_mac" if greater else "hip_gl_mac")
    start = parameters(r1)[HOST_ID][0]
    end = min(o for o, _ in parameters(r1).values() if o > start)
    mac = parameters(r2)[HIP_MAC_2][1]
    assert mac == octets_of(exchange, "r2_mac2")
    assert mac_is_right(suite, key, covered(r2, HIP_MAC_2, r1[start:end]), mac)


def test_reference_signatures(exchange: Exchange) -> None:
    initiator, responder = (
        HostIdentity.from_wire(exchange["hi_alg"], octets_of(exchange, name))
        for name in ("hi_i", "hi_r")
    )
    r1, i2, r2 = (octets_of(exchange, name) for name in ("r1", "i2", "r2"))
    signature = parameters(r1)[HIP_SIGNATURE_2][1][2:]
    assert responder.verify(signature, octets_of(exchange, "r1_signed_bytes"))
    assert not responder.verify(signature, r1)
    assert initiator.verify(parameters(i2)[HIP_SIGNATURE][1][2:], covered(i2, HIP_SIGNATURE))
    assert responder.verify(parameters(r2)[HIP_SIGNATURE][1][2:], covered(r2, HIP_SIGNATURE))


def test_reference_encrypted_host_id(exchange: Exchange) -> None:
    key = octets_of(exchange, "hip_gl_enc" if exchange["initiator_hit_greater"] else "hip_lg_enc")
    text = parameters(octets_of(exchange, "i2"))[ENCRYPTED][1][4:]  # after the reserved field
    plain = decrypt_parameter(HipCipher(exchange["hip_cipher"]), key, text)
    assert plain[:2] == HOST_ID.to_bytes(2, "big")
    assert octets_of(exchange, "hi_i") in plain


def test_reference_dh_modp_1536() -> None:
    exchange = REFERENCE["hipv2-ref-rsa-modp1536-v6"]
    group = DhGroup(exchange["dh_group"])
    private = {  # six SHA-256 digests each, as the maker of the vectors drew them
        role: b"".join(
            rhash(HitSuite.RSA_DSA_SHA256, f"hip ref dh {role}{n}".encode()) for n in range(6)
        )
        for role in "ir"
    }
    key_i, key_r = (DhPrivateKey.from_scalar(group, private[role]) for role in "ir")
    assert key_i.public == octets_of(exchange, "dh_pub_i")
    assert key_r.public == octets_of(exchange, "dh_pub_r")
    assert key_i.exchange(key_r.public) == octets_of(exchange, "kij")
    assert key_r.exchange(key_i.public) == octets_of(exchange, "kij")
