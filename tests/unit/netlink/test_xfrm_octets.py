"""Requests against the layouts of <linux/xfrm.h>, octet by octet; what comes back; keys."""

from __future__ import annotations

import struct
from ipaddress import IPv4Address, IPv6Address

import pytest

from hipgw.netlink.xfrm import (
    Aead,
    Authentication,
    Cipher,
    Encapsulation,
    Lifetime,
    Mark,
    Migration,
    Mode,
    Ownership,
    PolicyDirection,
    PolicyId,
    Replay,
    ReplayEsn,
    Selector,
    StateExtraFlag,
    StateFlag,
    StateId,
    Template,
    XfrmPolicy,
    XfrmState,
)
from hipgw.netlink.xfrm.octets import MessageWriter, XfrmFormatError, read_messages
from hipgw.netlink.xfrm.policies import (
    delete_policy,
    dump_policies,
    migrate,
    new_policy,
    parse_policy,
    update_policy,
)
from hipgw.netlink.xfrm.states import (
    allocate_spi,
    delete_state,
    get_state,
    new_state,
    parse_state,
    update_state,
)

HIT_A = IPv6Address("2001:20:aaaa:1:2:3:4:5")
HIT_B = IPv6Address("2001:20:bbbb:1:2:3:4:5")
OUTER_A = IPv4Address("10.9.0.1")
OUTER_B = IPv4Address("10.9.0.2")
PAIR = Selector.between(HIT_A, HIT_B)
FOREVER = b"\xff" * 32 + bytes(32)
SELECTOR_OCTETS = (
    HIT_B.packed + HIT_A.packed + bytes(8) + struct.pack("=HBBB", 10, 128, 128, 0) + bytes(11)
)
KEY = bytes(range(1, 17))


def gcm() -> Aead:
    return Aead("rfc4106(gcm(aes))", bytearray(KEY + b"salt"))


def state(**changes: object) -> XfrmState:
    values: dict[str, object] = {
        "source": OUTER_A,
        "destination": OUTER_B,
        "spi": 0x11223344,
        "selector": PAIR,
        "reqid": 0x48495001,
    }
    return XfrmState(**(values | changes))  # type: ignore[arg-type]


def padded(attribute_type: int, value: bytes) -> bytes:
    length = 4 + len(value)
    return struct.pack("=HH", length, attribute_type) + value + bytes(-length % 4)


def info(*, window: int = 32, flags: int = 0, mode: int = 4, lifetime: bytes = FOREVER) -> bytes:
    """xfrm_usersa_info of `state()`: selector 0, id 56, source 80, ..., tail 204, size 224."""
    octets = bytearray(224)
    octets[0:56] = SELECTOR_OCTETS
    octets[56:60] = OUTER_B.packed
    octets[72:76] = bytes.fromhex("11223344")
    octets[76] = 50
    octets[80:84] = OUTER_A.packed
    octets[96:160] = lifetime
    octets[208:212] = struct.pack("=I", 0x48495001)
    octets[212:214] = struct.pack("=H", 2)
    octets[214:217] = bytes([mode, window, flags])
    return bytes(octets)


def test_selector_golden() -> None:
    assert len(SELECTOR_OCTETS) == 56
    assert new_state(state()).body()[:56] == SELECTOR_OCTETS


def test_new_state_golden() -> None:
    writer = new_state(state(aead=gcm()))
    name = b"rfc4106(gcm(aes))".ljust(64, b"\0")
    aead = padded(18, name + struct.pack("=II", 160, 128) + KEY + b"salt")
    assert writer.body() == info() + aead
    message = bytes(writer.finish(7, 4))
    assert message[:16] == struct.pack("=IHHII", 16 + 224 + len(aead), 0x10, 0x605, 7, 0)


def test_update_state_has_its_own_type_and_no_create_flag() -> None:
    assert struct.unpack_from("=HH", update_state(state()).finish(1, 4), 4) == (0x1A, 5)


def test_state_of_separate_algorithms_golden() -> None:
    writer = new_state(
        state(
            cipher=Cipher("cbc(aes)", bytearray(KEY)),
            authentication=Authentication("hmac(sha256)", bytearray(KEY * 2), 128),
        )
    )
    auth = b"hmac(sha256)".ljust(64, b"\0") + struct.pack("=II", 256, 128) + KEY * 2
    crypt = b"cbc(aes)".ljust(64, b"\0") + struct.pack("=I", 128) + KEY
    assert writer.body() == info() + padded(20, auth) + padded(2, crypt)


def test_options_golden() -> None:
    writer = new_state(
        state(
            encapsulation=Encapsulation(10500, 4500),
            replay=Replay(1000, 5, 0x1F),
            extra_flags=StateExtraFlag.DONT_ENCAP_DSCP,
            output_mark=Mark(0x7, 0xF),
            mark=Mark(0x9),
            if_id=3,
            mapping_interval_s=2,
        )
    )
    expected = (
        padded(4, struct.pack("=H", 2) + struct.pack("!HH", 10500, 4500) + bytes(18))
        + padded(10, struct.pack("=III", 1000, 5, 0x1F))
        + padded(24, struct.pack("=I", 1))
        + padded(29, struct.pack("=I", 7))
        + padded(30, struct.pack("=I", 15))
        + padded(32, struct.pack("=I", 2))
        + padded(21, struct.pack("=II", 9, 0xFFFFFFFF))
        + padded(31, struct.pack("=I", 3))
    )
    assert writer.body() == info() + expected


def test_extended_sequence_numbers_golden() -> None:
    esn = ReplayEsn(128, outbound=0x100000002, inbound=0x300000004)
    writer = new_state(state(flags=StateFlag.ESN, replay_esn=esn))
    numbers = padded(23, struct.pack("=6I", 4, 2, 4, 1, 3, 128) + bytes(16))
    assert writer.body() == info(window=0, flags=128) + numbers


def test_lifetime_golden() -> None:
    limits = Lifetime(1, 2, 3, 4, 5, 6, 7, 8)
    assert new_state(state(lifetime=limits)).body()[96:160] == struct.pack("=8Q", *range(1, 9))


@pytest.mark.parametrize(("build", "kind"), [(delete_state, 0x11), (get_state, 0x12)])
def test_state_id_golden(build: object, kind: int) -> None:
    assert callable(build)
    writer = build(StateId(OUTER_B, 0x11223344, mark=Mark(9)))
    expected = OUTER_B.packed + bytes(12) + bytes.fromhex("11223344") + struct.pack("=HBx", 2, 50)
    assert writer.body() == expected + padded(21, struct.pack("=II", 9, 0xFFFFFFFF))
    assert struct.unpack_from("=H", writer.finish(1, 4), 4) == (kind,)


def test_allocate_spi_golden() -> None:
    body = allocate_spi(state(spi=0), 0x100, 0x1FF).body()
    assert len(body) == 232
    assert body[224:] == struct.pack("=II", 0x100, 0x1FF)


def test_policy_golden() -> None:
    template = Template(OUTER_A, OUTER_B, reqid=0x48495001)
    writer = new_policy(XfrmPolicy(PAIR, PolicyDirection.OUT, (template,), priority=1000, if_id=3))
    policy = SELECTOR_OCTETS + FOREVER + bytes(32) + struct.pack("=II4B4x", 1000, 0, 1, 0, 0, 0)
    wanted = (
        OUTER_B.packed + bytes(16) + bytes([50, 0, 0, 0]) + struct.pack("=HH", 2, 0)
        + OUTER_A.packed + bytes(12) + struct.pack("=IBBB", 0x48495001, 4, 0, 0) + bytes(1)
        + b"\xff" * 12
    )  # fmt: skip
    assert len(policy) == 168
    assert len(wanted) == 64
    assert writer.body() == policy + padded(5, wanted) + padded(31, struct.pack("=I", 3))


def test_policy_types() -> None:
    policy = XfrmPolicy(PAIR, PolicyDirection.IN)
    types = [
        struct.unpack_from("=HH", writer.finish(1, 4), 4)
        for writer in (new_policy(policy), update_policy(policy), dump_policies())
    ]
    assert types == [(0x13, 0x605), (0x19, 5), (0x15, 5)]


def test_delete_policy_golden() -> None:
    by_selector = delete_policy(PolicyId(PAIR, PolicyDirection.FORWARD)).body()
    assert by_selector == SELECTOR_OCTETS + struct.pack("=IB3x", 0, 2)
    by_index = delete_policy(PolicyId(None, PolicyDirection.OUT, 0x99)).body()
    assert by_index == bytes(56) + struct.pack("=IB3x", 0x99, 1)


def test_migrate_golden() -> None:
    new_a, new_b = IPv6Address("fd09::1"), IPv6Address("fd09::2")
    move = Migration(OUTER_A, OUTER_B, new_a, new_b, reqid=5)
    one = (
        OUTER_B.packed + bytes(12) + OUTER_A.packed + bytes(12) + new_b.packed + new_a.packed
        + struct.pack("=BBHIHH", 50, 4, 0, 5, 2, 10)
    )  # fmt: skip
    assert len(one) == 76
    body = migrate(PAIR, PolicyDirection.OUT, [move]).body()
    assert body == SELECTOR_OCTETS + struct.pack("=IB3x", 0, 1) + padded(17, one)
    ports = struct.pack("=H", 2) + struct.pack("!HH", 10500, 20002) + bytes(18)
    with_ports = migrate(PAIR, PolicyDirection.OUT, [move], Encapsulation(10500, 20002)).body()
    assert with_ports == bytes(body) + padded(4, ports)


def test_state_read_back_with_and_without_keys() -> None:
    wanted = state(aead=gcm())
    body = memoryview(new_state(wanted).body())
    assert parse_state(body, with_keys=True).state == wanted
    bare = parse_state(body).state
    assert bare.aead == Aead("rfc4106(gcm(aes))", bytearray(), 128)


def test_counters_of_a_report() -> None:
    octets = bytearray(info())
    octets[160:192] = struct.pack("=4Q", 1000, 10, 1_700_000_000, 1_700_000_001)
    octets[192:204] = struct.pack("=3I", 1, 2, 3)
    report = parse_state(memoryview(bytes(octets) + padded(15, struct.pack("=Q", 17))))
    assert (report.usage.octets, report.usage.packets) == (1000, 10)
    failures = report.failures
    assert (failures.replay_window, failures.replay, failures.integrity) == (1, 2, 3)
    assert report.last_used_s == 17


def test_policy_read_back() -> None:
    policy = XfrmPolicy(PAIR, PolicyDirection.IN, (Template(OUTER_A, OUTER_B),), priority=9)
    assert parse_policy(memoryview(new_policy(policy).body())) == policy


def test_keys_are_nowhere_in_repr_and_wiped_on_demand() -> None:
    wanted = state(
        aead=gcm(),
        cipher=Cipher("cbc(aes)", bytearray(KEY)),
        authentication=Authentication("hmac(sha256)", bytearray(KEY)),
    )
    assert "key" not in repr(wanted)
    assert repr(KEY)[2:-1] not in repr(wanted)
    wanted.wipe()
    assert wanted.aead is not None
    assert wanted.cipher is not None
    assert wanted.authentication is not None
    keys = wanted.aead.key + wanted.cipher.key + wanted.authentication.key
    assert keys == bytes(20 + 16 + 16)


def test_a_written_request_is_wiped_in_place() -> None:
    writer = new_state(state(aead=gcm()))
    shown = writer.finish(1, 4)
    assert KEY in bytes(shown)
    writer.wipe()
    assert not any(shown)


def test_a_request_that_does_not_fit_is_refused() -> None:
    writer = MessageWriter(0x10)
    with pytest.raises(XfrmFormatError, match="more than 8192"):
        writer.put(bytes(8192))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"spi": 255}, "SPI 0xff"),
        ({"spi": 1 << 32}, "SPI 0x100000000"),
        ({"replay_window": 64}, "replay window 64"),
        ({"flags": StateFlag.ESN}, "need replay_esn"),
        ({"aead": Aead("", bytearray(20))}, "algorithm name"),
        ({"aead": Aead("x" * 64, bytearray(20))}, "algorithm name"),
    ],
)
def test_what_the_kernel_would_take_amiss(changes: dict[str, object], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        new_state(state(**changes))


@pytest.mark.parametrize("window", [-1, 4097])
def test_replay_window_out_of_range(window: int) -> None:
    with pytest.raises(ValueError, match="replay window"):
        ReplayEsn(window)


def test_selectors_of_two_families_or_too_long_a_prefix() -> None:
    with pytest.raises(ValueError, match="two families"):
        Selector.between(HIT_A, OUTER_A)
    with pytest.raises(ValueError, match="prefix length 33"):
        Selector(OUTER_A, 33, OUTER_B, 32)


def test_number_of_moves_and_templates() -> None:
    with pytest.raises(ValueError, match="0 moves"):
        migrate(PAIR, PolicyDirection.OUT, [])
    with pytest.raises(ValueError, match="7 templates"):
        new_policy(XfrmPolicy(PAIR, PolicyDirection.OUT, (Template(OUTER_A, OUTER_B),) * 7))


@pytest.mark.parametrize(
    ("offset", "octets", "words"),
    [
        (40, struct.pack("=H", 7), "family 7"),
        (42, b"\xff", "/255"),
        (212, struct.pack("=H", 0), "family 0"),
        (214, b"\x2a", "42 is no Mode"),
    ],
)
def test_hostile_states(offset: int, octets: bytes, words: str) -> None:
    body = bytearray(info())
    body[offset : offset + len(octets)] = octets
    with pytest.raises(XfrmFormatError, match=words):
        parse_state(memoryview(body))


@pytest.mark.parametrize(
    ("attribute", "words"),
    [
        (struct.pack("=HH", 3, 18), "attribute of 3 octets"),
        (struct.pack("=HH", 99, 18), "attribute of 99 octets"),
        (padded(18, bytes(71)), "algorithm: 71 octets"),
        (padded(18, bytes(64) + struct.pack("=II", 0xFFFFFFFF, 128)), "key: 0 octets"),
        (padded(18, b"\xff" * 64 + bytes(8)), "not ASCII"),
        (padded(23, struct.pack("=6I", 0xFFFFFFFF, 0, 0, 0, 0, 1)), "replay bitmap"),
        (padded(23, struct.pack("=6I", 1, 0, 0, 0, 0, 64) + bytes(4)), "replay window of 64"),
        (padded(4, bytes(23)), "encapsulation"),
        (padded(21, bytes(7)), "mark"),
    ],
)
def test_hostile_attributes(attribute: bytes, words: str) -> None:
    with pytest.raises(XfrmFormatError, match=words):
        parse_state(memoryview(info() + attribute))


def test_hostile_message_lengths() -> None:
    for length in (0, 15, 17, 0xFFFFFFFF):
        with pytest.raises(XfrmFormatError, match="message of"):
            list(read_messages(memoryview(struct.pack("=IHHII", length, 0x10, 0, 1, 0))))


def test_templates_in_parts() -> None:
    body = new_policy(XfrmPolicy(PAIR, PolicyDirection.IN)).body() + padded(5, bytes(63))
    with pytest.raises(XfrmFormatError, match="templates of 63"):
        parse_policy(memoryview(body))


def test_ours_is_told_from_theirs() -> None:
    ours = Ownership(range(0x48490000, 0x484A0000))
    mine, other = Template(OUTER_A, OUTER_B, reqid=0x48495001), Template(OUTER_A, OUTER_B, reqid=7)
    assert ours.has_state(state())
    assert not ours.has_state(state(reqid=0))
    assert ours.has_policy(XfrmPolicy(PAIR, PolicyDirection.IN, (mine,)))
    assert not ours.has_policy(XfrmPolicy(PAIR, PolicyDirection.IN))
    assert not ours.has_policy(XfrmPolicy(PAIR, PolicyDirection.IN, (mine, other)))
    assert not ours.has_policy(XfrmPolicy(PAIR, PolicyDirection.SOCKET_OUT, (mine,)))
    assert Mode.BEET == 4


@pytest.mark.parametrize("reqids", [range(0), range(10)])
def test_request_id_0_belongs_to_nobody(reqids: range) -> None:
    with pytest.raises(ValueError, match="request ids"):
        Ownership(reqids)
