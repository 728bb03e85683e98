"""I1 to R1 in the worker against the engine: the same octets, or the engine's turn.

Both get every I1 at the same time; a path is what the sockets say, an address is four or sixteen
octets.
"""

from __future__ import annotations

from ipaddress import ip_address
from itertools import count
from random import Random

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from hipgw._fastpath.answer_i1 import I1Desk
from hipgw._fastpath.tables import SaTables
from hipgw.crypto import PrivateHostIdentity
from hipgw.daemon.strangers import Strangers
from hipgw.proto import ClaimI1s, Compute, Endpoint, EndpointConfig, PublishR1s, SendDatagram
from hipgw.values import NULL_HIT, DhGroup, Encapsulation, Hit, Path
from hipgw.wire import (
    DhGroupList,
    EchoRequestUnsigned,
    HipPacket,
    PacketType,
    Parameter,
    Puzzle,
    UnknownParameter,
    emit_packet,
    parse_packet,
    with_checksum,
)

SENDER = Hit(bytes.fromhex("20010022") + bytes(range(12)))
KEYS = [PrivateHostIdentity.generate(kind) for kind in ("ecdsa-p256", "ed25519", "rsa-2048")]
OURS = [key.hit for key in KEYS]
GROUPS = (DhGroup.NIST_P256, DhGroup.NIST_P384)
WIDE_OPEN = {
    "r1_rate": 1e7, "r1_burst": 1e7, "r1_source_rate": 1e7, "r1_source_burst": 1e7,
}  # fmt: skip
PATHS = [
    Path(ip_address("192.0.2.1"), ip_address("198.51.100.7")),
    Path(ip_address("2001:db8::1"), ip_address("2001:db8:7::7")),
    Path(ip_address("192.0.2.1"), ip_address("198.51.100.7"), Encapsulation.UDP, 10500, 4500),
    Path(ip_address("2001:db8::1"), ip_address("2001:db8:7::7"), Encapsulation.UDP, 10500, 10500),
]
paths = st.sampled_from(PATHS)


class Both:
    """One engine and one desk that offers what the engine has published."""

    def __init__(self, **config: object) -> None:
        settings = EndpointConfig(dh_groups=GROUPS, **{**WIDE_OPEN, **config})  # type: ignore[arg-type]
        self.engine = Endpoint(KEYS, settings, Random(7).randbytes, 1000.0)
        self.desk = I1Desk(SaTables())
        self.host = Strangers(self.desk)
        self.now_s = count(1001)
        self.sent: list[SendDatagram] = []
        self.settle(1000.0)

    def settle(self, now: float) -> None:
        while effects := self.engine.take_effects():
            for effect in effects:
                match effect:
                    case Compute():
                        self.engine.job_done(effect.job_id, effect.job.run(), now)
                    case PublishR1s():
                        self.host.publish(effect)
                    case ClaimI1s():
                        self.host.claim(effect)
                    case SendDatagram():
                        self.sent.append(effect)

    def ask(self, packet: bytes, path: Path) -> tuple[bytes | None, bytes | None]:
        """What the desk answers (None: leaves it to the engine), and what the engine would."""
        now_s = next(self.now_s)
        self.engine.receive_datagram(packet, path, float(now_s))
        self.sent.clear()
        self.settle(float(now_s))
        fast = self.desk.answer(
            packet,
            path.peer.packed,
            path.local.packed,
            path.encapsulation is Encapsulation.RAW,
            now_s * 1_000_000_000,
        )
        r1s = [one.payload for one in self.sent if one.payload[2] & 0x7F == PacketType.R1]
        return fast, r1s[0] if r1s else None


@pytest.fixture(scope="module")
def both() -> Both:
    return Both()


def i1(
    path: Path,
    receiver: Hit = OURS[0],
    *parameters: Parameter,
    sender: Hit = SENDER,
    groups: tuple[int, ...] = (7, 8),
) -> bytes:
    packet = HipPacket(PacketType.I1, sender, receiver, parameters or (DhGroupList(groups),))
    return fit(emit_packet(packet), path)


def fit(packet: bytes, path: Path) -> bytes:
    """With the checksum of the path, if the packet has a length to sum up."""
    if path.encapsulation is Encapsulation.UDP or (packet[1] + 1) * 8 != len(packet):
        return packet
    return with_checksum(packet, path.peer, path.local)


@pytest.mark.parametrize("path", PATHS, ids=str)
@pytest.mark.parametrize("number", range(len(OURS)))
@pytest.mark.parametrize("groups", [(7,), (8,), (8, 7), (9, 8), (3, 7, 9)])
def test_plain_i1s_get_the_same_r1(
    both: Both, path: Path, number: int, groups: tuple[int, ...]
) -> None:
    fast, slow = both.ask(i1(path, OURS[number], groups=groups), path)
    assert fast is not None
    assert fast == slow


@pytest.mark.parametrize("path", PATHS, ids=str)
@pytest.mark.parametrize("groups", [(9, 3), ()])
def test_an_i1_without_a_group_of_ours_is_the_engines(
    both: Both, path: Path, groups: tuple[int, ...]
) -> None:
    fast, slow = both.ask(i1(path, groups=groups), path)
    assert fast is None
    assert slow is not None, "it may know more groups for a legacy peer, and answers in any case"


def test_the_same_i_never_comes_twice() -> None:
    both = Both()
    packet, path = i1(PATHS[0]), PATHS[0]
    made = []
    for _ in range(50):
        fast = both.desk.answer(packet, path.peer.packed, path.local.packed, True, 5_000_000_000)
        assert fast
        made.append(parse_packet(fast).require(Puzzle).i)
    assert len(set(made)) == 50


@given(
    path=paths,
    groups=st.lists(st.integers(0, 255), max_size=40).map(tuple),
    sender=st.binary(min_size=12, max_size=12),
)
def test_any_list_of_groups_of_any_sender(
    both: Both, path: Path, groups: tuple[int, ...], sender: bytes
) -> None:
    hit = Hit(b"\x20\x01\x00\x25" + sender)
    fast, slow = both.ask(i1(path, sender=hit, groups=groups), path)
    assert fast == (slow if {7, 8} & set(groups) else None)


@given(path=paths, data=st.data())
def test_hostile_i1s_get_the_same_r1_or_are_the_engines(
    both: Both, path: Path, data: st.DataObject
) -> None:
    packet = bytearray(i1(path))
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(packet) - 1))
        packet[at] = data.draw(st.integers(0, 255))
    cut = data.draw(st.sampled_from([0, 0, 0, 1, 4, 8]))
    longer = data.draw(st.sampled_from([b"", b"", b"\0", bytes(8)]))
    octets = bytes(packet[: len(packet) - cut]) + longer
    if data.draw(st.booleans()) and len(octets) >= 40:
        octets = fit(octets, path)
    fast, slow = both.ask(octets, path)
    assert fast is None or fast == slow


@given(path=paths, octets=st.binary(max_size=200))
@example(path=PATHS[0], octets=b"")
@example(path=PATHS[0], octets=bytes(2) + b"\x01" + bytes(37))
def test_anything_at_all(both: Both, path: Path, octets: bytes) -> None:
    fast, slow = both.ask(octets, path)
    assert fast is None or fast == slow


@pytest.mark.parametrize(
    "change",
    [
        lambda p: p[:3] + b"\x11" + p[4:],  # HIPv1
        lambda p: p[:24] + NULL_HIT.packed + p[40:],  # opportunistic
        lambda p: p[:24] + SENDER.packed + p[40:],  # to somebody else
        lambda p: p[:8] + OURS[1].packed + p[24:],  # from ourselves
        lambda p: p[:8] + b"\x20\x01\x00\x12" + p[12:],  # from a HIT of HIPv1
        lambda p: p[:40] + b"\x01\xfe" + p[42:],  # 510: unknown and not critical
        lambda p: p[:42] + b"\0\x05" + p[44:],  # longer than the packet
        lambda p: p + bytes(8),
        lambda p: p[:-8],
    ],
    ids=range(9),
)
def test_what_is_not_plain_is_the_engines(both: Both, change: object) -> None:
    path = PATHS[2]
    fast, _ = both.ask(change(i1(path)), path)  # type: ignore[operator]
    assert fast is None


@pytest.mark.parametrize(
    "more", [EchoRequestUnsigned(b"middlebox"), UnknownParameter(4096, b"x")], ids=str
)
def test_more_than_a_list_of_groups_is_the_engines(both: Both, more: Parameter) -> None:
    path = PATHS[0]
    fast, slow = both.ask(i1(path, OURS[0], DhGroupList((7,)), more), path)
    assert fast is None
    assert slow is not None


def test_a_wrong_checksum_counts_over_raw_ip_alone(both: Both) -> None:
    raw, udp = PATHS[0], PATHS[2]
    packet = i1(raw)
    broken = packet[:4] + bytes([packet[4] ^ 1]) + packet[5:]
    assert both.ask(broken, raw) == (None, None)
    fast, slow = both.ask(broken, udp)
    assert fast is not None
    assert fast == slow


def test_an_association_has_the_engine_decide() -> None:
    both = Both()
    path = PATHS[2]
    both.engine.want_association(SENDER, [path], 1000.5, local=OURS[0])
    both.settle(1000.5)
    fast, _ = both.ask(i1(path), path)
    assert fast is None
    fast, slow = both.ask(i1(path, OURS[1]), path)
    assert fast is not None
    assert fast == slow
    both.engine.close_association(SENDER, 1001.5, local=OURS[0])
    both.engine.handle_deadline(2000.0)
    both.settle(2000.0)
    both.now_s = count(2001)
    fast, slow = both.ask(i1(path), path)
    assert fast is not None
    assert fast == slow


def test_many_claims_come_and_go() -> None:
    desk = I1Desk(SaTables())
    hits = [Hit(b"\x20\x01\x00\x22" + n.to_bytes(12, "big")) for n in range(3000)]
    both = Both()
    path = PATHS[2]
    for hit in hits:
        both.desk.claim(OURS[0].packed, hit.packed, True)
        desk.claim(OURS[0].packed, hit.packed, False)  # never claimed: harmless
    for hit in hits[::2]:
        both.desk.claim(OURS[0].packed, hit.packed, False)
    for number, hit in enumerate(hits):
        octets = both.desk.answer(
            i1(path, sender=hit), path.peer.packed, path.local.packed, False, 9_000_000_000
        )
        assert (octets is None) is (number % 2 == 1)


def test_limits_come_before_everything() -> None:
    both = Both(r1_source_rate=1.0, r1_source_burst=2.0)
    path = PATHS[2]
    asked = [
        both.desk.answer(octets, path.peer.packed, path.local.packed, False, 10**12)
        for octets in (i1(path), i1(path, NULL_HIT), i1(path), i1(path, NULL_HIT))
    ]
    assert asked[0]
    assert asked[1:] == [None, b"", b""]


def test_an_engine_that_announces_locators_leaves_addresses_out() -> None:
    both = Both(announce_locators=True)
    for path in PATHS:
        fast, slow = both.ask(i1(path), path)
        assert fast is not None
        assert fast == slow


def test_a_new_generation_takes_over() -> None:
    both = Both()
    path = PATHS[0]
    first, _ = both.ask(i1(path), path)
    both.engine.handle_deadline(1400.0)
    both.settle(1400.0)
    both.now_s = count(1401)
    second, slow = both.ask(i1(path), path)
    assert second == slow
    assert first is not None
    assert second is not None
    assert parse_packet(first).require(Puzzle).opaque != parse_packet(second).require(Puzzle).opaque


@pytest.mark.parametrize(
    "wrong",
    [
        {"opaque": b"x"},
        {"secret": bytes(31)},
        {"groups": b""},
        {"r1s": [(bytes(15), 7, bytes(48), 40, 4)]},
        {"r1s": [(bytes(16), 0, bytes(48), 40, 4)]},
        {"r1s": [(bytes(16), 7, bytes(48), 40, 4)]},
        {"r1s": [(bytes(16), 7, b"\0\5" + bytes(46), 40, 7)]},
        {"r1s": [(bytes(16), 7, b"\0\5" + bytes(46), 41, 4)]},
        {"r1s": [(bytes(16), 7, b"\0\5" + bytes(46), 40, 49)]},
        {"r1s": [(bytes(16), 7, b"\0\5" + bytes(46), -2, 4)]},
    ],
    ids=str,
)
def test_r1s_that_cannot_be_filled_in_are_refused(wrong: dict[str, object]) -> None:
    arguments: dict[str, object] = {
        "opaque": bytes(2), "secret": bytes(32), "began_us": 0, "binds_addresses": True,
        "groups": bytes([7]), "r1s": [], "rate": 1.0, "burst": 1.0, "source_rate": 1.0,
        "source_burst": 1.0, "sources_most": 1,
    }  # fmt: skip
    desk = I1Desk(SaTables())
    with pytest.raises(ValueError, match=r"expected|not what|does not fit"):
        desk.publish(**{**arguments, **wrong})  # type: ignore[arg-type]
    desk.publish(**arguments)  # type: ignore[arg-type]


def test_fields_that_nobody_checks_change_nothing(both: Both) -> None:
    path = PATHS[2]
    packet = i1(path)
    odd = bytes([17]) + packet[1:2] + bytes([0x81, 0x2F]) + packet[4:6] + b"\xff\xff" + packet[8:]
    fast, slow = both.ask(odd, path)
    assert fast is not None
    assert fast == slow
