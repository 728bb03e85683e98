"""ESP against vectors made and checked by other tools; sources in this folder's README.

The suite vectors are those of HIPv2, with 64-bit sequence number 0x100000005; their "esp" form
authenticates the low 32 bits only, as hipgw does without extended sequence numbers, and "esp_esn"
all of them. HIPv1's mandatory suite is
in the captures of OpenHIP and HIPL.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from hipgw._fastpath.contexts import OpenContext, SealContext
from tests.reference.esp import CBC, COUNTER_IV, IV, SUITES, Inbound, Keys, seal
from tests.twin.batches import Batch
from tests.twin.test_esp_extended import EVERYWHERE, choose, fixture_as_before  # noqa: F401
from tests.vectors.pcap_file import PROTOCOL_ESP, PROTOCOL_HIP, datagrams

FOLDER = Path(__file__).parent / "pcap"
SUITE_VECTORS = json.loads((FOLDER / "esp-suite-vectors.json").read_text())
EXCHANGES = json.loads((FOLDER / "hipv2-ref-vectors.json").read_text())
V1_SECRETS = json.loads((FOLDER / "hipv1-interop-secrets.json").read_text())
IN_FILE = [suite for suite in SUITES if suite < 0x100]
V1_AES_128_CBC_HMAC_SHA1 = 0x101
UDP = 17
SEQUENCE = 0x1_0000_0005
ICMPV6 = 58
AES_GMAC = 15
EXTENDED = [(suite, name) for suite, name in EVERYWHERE if suite in IN_FILE]
GMAC_KEY = "4c80cdefbb5d10da906ac73c3613a63422433c64"
GMAC_PACKET = (
    "0000432100000007000000000000000045000030da3a00008001df3bc0a80005c0a800010800c6cd0200070061626364"
    "65666768696a6b6c6d6e6f707172737401020201f2a9a836e155106aa8dcd618e4099aaa"
)
"""The GMAC case of draft-mcgrew-gcm-test-01 section 4; RFC 4543 has none."""


def suite_vector(suite: int, form: str = "esp") -> tuple[Keys, int, bytes, bytes]:
    """Keys, SPI, payload, sealed packet."""
    vector = SUITE_VECTORS[str(suite)]
    enc_key, auth_key = bytes.fromhex(vector["enc_key"]), bytes.fromhex(vector["auth_key"])
    keys = Keys(suite, enc_key, auth_key, is_extended=form == "esp_esn")
    assert (vector["next_header"], int(vector["seq64"], 16)) == (UDP, SEQUENCE)
    spi = int(vector["spi"], 16)
    return keys, spi, bytes.fromhex(vector["inner"]), bytes.fromhex(vector[form])


def opened(keys: Keys, spi: int, packets: list[bytes]) -> list[bytes]:
    context = OpenContext()
    top = SEQUENCE - 9 if keys.is_extended else 0
    context.add(
        spi, keys.suite, keys.encryption, keys.authentication, top, extended=keys.is_extended
    )
    batch = Batch.of(packets, room=0)
    assert context.open_batch(batch.arena, batch.raw) == len(packets)
    assert (batch.desc["next_header"] == UDP).all()
    return batch.packets()


def sealed(keys: Keys, spi: int, payload: bytes, sequence: int) -> bytes:
    context = SealContext()
    context.add(
        spi, keys.suite, keys.encryption, keys.authentication, sequence - 1,
        extended=keys.is_extended,
    )  # fmt: skip
    batch = Batch.of([payload], next_header=UDP, family=6)
    assert context.seal_batch(batch.arena, batch.raw) == 1
    return batch.packet(0)


@pytest.mark.parametrize("suite", IN_FILE)
def test_the_kernel_opens_the_vector(suite: int) -> None:
    keys, spi, payload, packet = suite_vector(suite)
    assert opened(keys, spi, [packet]) == [payload]


@pytest.mark.parametrize("suite", IN_FILE)
def test_the_reference_makes_the_vector(suite: int) -> None:
    keys, spi, payload, packet = suite_vector(suite)
    iv = packet[8 : 8 + IV[suite]]
    assert seal(keys, spi, 0x1_0000_0005, payload, next_header=UDP, iv=iv) == packet
    assert Inbound(keys).open_batch([packet]) == [(payload, UDP)]


@pytest.mark.parametrize("suite", IN_FILE)
def test_the_kernel_seals_as_the_reference_under_the_keys_of_the_vector(suite: int) -> None:
    """The kernel chooses the IV; where there is none, the vector itself comes out."""
    keys, spi, payload, packet = suite_vector(suite)
    found = sealed(keys, spi, payload, 5)
    iv = found[8 : 8 + IV[suite]]
    assert found == seal(keys, spi, 5, payload, next_header=UDP, iv=iv)
    assert found[:8] == packet[:8]
    assert len(found) == len(packet)
    if suite in {7, 14}:
        assert found == packet


def test_the_file_has_a_vector_for_every_suite_of_hipv2() -> None:
    assert [int(suite) for suite in SUITE_VECTORS] == IN_FILE


@pytest.mark.parametrize("suite", COUNTER_IV)
def test_the_sequence_number_of_the_vector_gives_the_vector(suite: int) -> None:
    """The vectors count their IVs as the kernel does, from bit 32 on; so only the IV differs."""
    keys, spi, payload, packet = suite_vector(suite)
    assert packet[8:16] == (0x1_0000_0005).to_bytes(8)
    found = sealed(keys, spi, payload, 5)
    assert found[8:16] == (5).to_bytes(8)
    assert found[16:] != packet[16:]


@pytest.mark.parametrize("suite", IN_FILE)
@pytest.mark.parametrize("extended", [False, True])
def test_the_other_form_is_refused(suite: int, *, extended: bool) -> None:
    keys, spi, _, _ = suite_vector(suite)
    other = SUITE_VECTORS[str(suite)]["esp" if extended else "esp_esn"]
    context = OpenContext()
    context.add(spi, suite, keys.encryption, keys.authentication, SEQUENCE - 9, extended=extended)
    batch = Batch.of([bytes.fromhex(other)])
    assert context.open_batch(batch.arena, batch.raw) == 0
    assert batch.reason(0) == ("icv_wrong" if extended else "too_old")


@pytest.mark.parametrize(("suite", "name"), EXTENDED)
def test_extended_numbers_with_every_backend(suite: int, name: str) -> None:
    """Octet for octet where nothing is random: IVs that count have 64 bits already."""
    keys, spi, payload, packet = suite_vector(suite, "esp_esn")
    choose(suite, name)
    assert opened(keys, spi, [packet]) == [payload]
    found = sealed(keys, spi, payload, SEQUENCE)
    iv = found[8 : 8 + IV[suite]]
    assert found == seal(keys, spi, SEQUENCE, payload, next_header=UDP, iv=iv)
    if suite not in CBC:
        assert found == packet
    iv = packet[8 : 8 + IV[suite]]
    assert seal(keys, spi, SEQUENCE, payload, next_header=UDP, iv=iv) == packet


def test_gmac_authenticates_the_iv_as_the_author_of_rfc_4543_says() -> None:
    keys = Keys(AES_GMAC, b"", bytes.fromhex(GMAC_KEY))
    packet = bytes.fromhex(GMAC_PACKET)
    payload = packet[16:-20]
    assert seal(keys, 0x4321, 7, payload, next_header=1, iv=bytes(8)) == packet
    assert Inbound(keys).open_batch([packet]) == [(payload, 1)]
    context = OpenContext()
    context.add(0x4321, AES_GMAC, b"", keys.authentication)
    batch = Batch.of([packet], room=0)
    assert context.open_batch(batch.arena, batch.raw) == 1
    assert (batch.packet(0), int(batch.desc[0]["next_header"])) == (payload, 1)


def exchange_keys(exchange: dict[str, object], direction: str) -> tuple[Keys, int]:
    """Keys and SPI of a direction: "gl" belongs to the sender with the greater HIT."""
    from_greater = (direction == "I->R") == exchange["initiator_hit_greater"]
    prefix = "esp_gl" if from_greater else "esp_lg"
    spi = exchange["spi_r" if direction == "I->R" else "spi_i"]
    suite = exchange["esp_suite"]
    assert isinstance(suite, int)
    encryption, authentication = (str(exchange[f"{prefix}_{part}"]) for part in ("enc", "auth"))
    keys = Keys(suite, bytes.fromhex(encryption), bytes.fromhex(authentication))
    return keys, int(str(spi), 16)


@pytest.mark.parametrize("name", EXCHANGES)
@pytest.mark.parametrize("direction", ["I->R", "R->I"])
def test_packets_after_a_base_exchange(name: str, direction: str) -> None:
    exchange = EXCHANGES[name]
    keys, spi = exchange_keys(exchange, direction)
    rows = [row for row in exchange["esp"] if row["dir"] == direction]
    packets = [bytes.fromhex(row["esp"]) for row in rows]
    payloads = [bytes.fromhex(row["inner_udp"]) for row in rows]
    assert rows
    assert opened(keys, spi, packets) == payloads
    for row, packet, payload in zip(rows, packets, payloads, strict=True):
        found = sealed(keys, spi, payload, row["seq"])
        assert len(found) == len(packet)
        if keys.suite in {7, 13}:
            assert found == packet, "no random IV: octet for octet"


@pytest.mark.parametrize("name", ["hipv1-openhip-hipl-raw139", "hipv1-openhip-hipl-udp10500"])
def test_packets_between_openhip_and_hipl(name: str) -> None:
    """HIPv1; the Initiator has the greater HIT and sends with keys 4 and 5 of its log."""
    secrets = {key: bytes.fromhex(value) for key, value in V1_SECRETS[name].items()}
    captured = list(datagrams(FOLDER / f"{name}.pcap"))
    initiator = next(d.source for d in captured if d.protocol == PROTOCOL_HIP)
    for is_initiator, numbers in (
        (True, ("key4@72", "key5@88")),
        (False, ("key6@108", "key7@124")),
    ):
        keys = Keys(V1_AES_128_CBC_HMAC_SHA1, *(secrets[number] for number in numbers))
        packets = [
            d.octets
            for d in captured
            if d.protocol == PROTOCOL_ESP and (d.source == initiator) is is_initiator
        ]
        assert packets
        batch = Batch.of(packets, room=0)
        context = OpenContext()
        context.add(
            int.from_bytes(packets[0][:4]), keys.suite, keys.encryption, keys.authentication
        )
        assert context.open_batch(batch.arena, batch.raw) == len(packets)
        protocols = [int(number) for number in batch.desc["next_header"]]
        assert list(zip(batch.packets(), protocols, strict=True)) == Inbound(keys).open_batch(
            packets
        )
        assert set(protocols) <= {1, ICMPV6}
