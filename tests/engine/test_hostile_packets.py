"""Headers, R1s and R2s that are wrong, reflected or dishonest: one counter, no state."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from hipgw.proto import EndpointConfig, Failed, State
from hipgw.values import (
    DhGroup,
    EspSuite,
    HipCipher,
    NotifyType,
    Path,
)
from hipgw.wire import (
    DhGroupList,
    DiffieHellman,
    EchoRequestSigned,
    EchoRequestUnsigned,
    EchoResponseUnsigned,
    EspInfo,
    EspTransform,
    HipCipherList,
    HipMac2,
    HipSignature,
    HipSignature2,
    HitSuiteList,
    HostId,
    PacketType,
    Parameter,
    Puzzle,
    R1Counter,
    TransportFormatList,
)
from tests.engine.forge import (
    bare,
    changed,
    checksummed,
    resigned_r1,
    swap,
    without,
)
from tests.engine.hostile import FAST, only, pair
from tests.engine.network import (
    assert_joined,
    exchange,
    parse_packet,
)


def mutilated(octets: bytes, path: Path) -> dict[str, bytes]:
    return {
        "hip_short": octets[:39],
        "hip_checksum": octets[:-1] + bytes([octets[-1] ^ 1]),
        "hip_version": octets[:3] + b"\x31" + octets[4:],
        "hip_type": checksummed(octets[:2] + b"\x05" + octets[3:], path),
        "hit_not_ours": checksummed(octets[:24] + bytes(15) + b"\1" + octets[40:], path),
        "hit_reflected": checksummed(octets[:8] + octets[24:40] + octets[24:], path),
        "hit_suite": checksummed(octets[:8] + bytes(16) + octets[24:], path),
    }


@pytest.mark.parametrize(
    "reason",
    [
        "hip_short",
        "hip_checksum",
        "hip_version",
        "hip_type",
        "hit_not_ours",
        "hit_reflected",
        "hit_suite",
    ],
)
def test_bad_headers_raise_one_counter_and_leave_nothing(reason: str) -> None:
    _, one, other = pair()
    path = other.path_to(one)
    i1 = bare(PacketType.I1, one.hit, other.hit, path, DhGroupList((7,)))
    other.receive(mutilated(i1, path)[reason], path)
    assert other.dropped() == {reason: 1}
    assert not other.endpoint.associations()
    assert not one.network.carried


def test_empty_and_absurd_datagrams() -> None:
    _, one, other = pair()
    path = other.path_to(one)
    for octets in (b"", b"\0", bytes(40), b"\xff" * 2048, b"\xff" * 70000):
        other.receive(octets, path)
    assert sum(other.dropped().values()) == 5


def test_i1_without_groups_is_dropped() -> None:
    _, one, other = pair()
    path = other.path_to(one)
    other.receive(bare(PacketType.I1, one.hit, other.hit, path), path)
    assert other.dropped() == {"hip_missing": 1}


@pytest.mark.parametrize("kind", [k for k in PacketType if k not in {PacketType.I1, PacketType.I2}])
def test_packets_without_association_are_dropped(kind: PacketType) -> None:
    _, one, other = pair()
    path = other.path_to(one)
    other.receive(bare(kind, one.hit, other.hit, path), path)
    expected = "hip_type" if kind in {PacketType.HDRR, PacketType.HIP_DATA} else "no_association"
    assert other.dropped() == {expected: 1}


@pytest.mark.parametrize("kind", [PacketType.R1, PacketType.R2, PacketType.CLOSE_ACK])
def test_packets_out_of_state_are_dropped_when_established(kind: PacketType) -> None:
    _, one, other = pair()
    exchange(one, other)
    path = other.path_to(one)
    other.receive(bare(kind, one.hit, other.hit, path), path)
    assert other.dropped() == {"state_unexpected": 1}
    assert_joined(one, other)


def test_reflected_packets_of_a_whole_exchange_are_dropped() -> None:
    network, one, other = pair()
    exchange(one, other)
    for datagram in list(network.carried):
        sender = one if datagram.source == one.name else other
        path = sender.path_to(other if sender is one else one)
        before = sum(sender.dropped().values())
        sender.receive(checksummed(datagram.payload, path), path)
        assert sum(sender.dropped().values()) == before + 1
    assert set(one.dropped()) | set(other.dropped()) == {"hit_not_ours"}


R1_FAULTS: dict[str, tuple[str, Callable[[tuple[Parameter, ...]], object]]] = {
    "signature": ("signature_wrong", swap(HipSignature2(7, bytes(64)))),
    "signature algorithm": ("signature_wrong", swap(HipSignature2(5, bytes(64)))),
    "changed cipher": ("signature_wrong", swap(HipCipherList((1,)))),
    "changed counter": ("signature_wrong", swap(R1Counter(77))),
    "short I": ("hip_malformed", swap(Puzzle(0, 39, b"\0\0", bytes(32)))),
    **{
        f"no {kind.__name__}": ("hip_missing", without(kind))
        for kind in (Puzzle, DhGroupList, DiffieHellman, HipCipherList, HostId, HitSuiteList)
    },
    **{
        f"no {kind.__name__}": ("hip_missing", without(kind))
        for kind in (TransportFormatList, EspTransform, HipSignature2)
    },
}


@pytest.mark.parametrize("fault", R1_FAULTS)
def test_faulty_r1(fault: str) -> None:
    reason, change = R1_FAULTS[fault]
    network, one, other = pair()
    network.wire = only(PacketType.R1, lambda datagram: changed(datagram, change))  # type: ignore[arg-type]
    one.want(other)
    network.run(0.1)
    assert one.dropped() == {reason: 1}
    assert one.state(other) is State.I1_SENT
    assert not one.sas
    network.wire = lambda datagram: [datagram]
    network.run(1.0)  # the next I1 brings an honest R1
    assert one.state(other) is State.ESTABLISHED


R1_OFFERS: dict[str, tuple[str, Parameter, NotifyType]] = {
    "group": ("dh_group", DhGroupList((11,)), NotifyType.NO_DH_PROPOSAL_CHOSEN),
    "cipher": ("hip_cipher", HipCipherList((1, 3)), NotifyType.NO_HIP_PROPOSAL_CHOSEN),
    "transform": ("esp_suite", EspTransform((1, 7)), NotifyType.NO_ESP_PROPOSAL_CHOSEN),
    "format": ("transport_format", TransportFormatList(()), NotifyType.NO_ESP_PROPOSAL_CHOSEN),
    "suite": ("hit_suite", HitSuiteList((1,)), NotifyType.UNSUPPORTED_HIT_SUITE),
}


@pytest.mark.parametrize("offer", R1_OFFERS)
def test_nothing_in_common_ends_in_notify_and_e_failed(offer: str) -> None:
    reason, parameter, notify_type = R1_OFFERS[offer]
    network, one, other = pair()
    network.wire = only(
        PacketType.R1, lambda one: resigned_r1(one, other.identities[0], swap(parameter))
    )
    one.want(other)
    network.run(0.1)
    assert one.dropped() == {reason: 1}
    assert one.saw(Failed) == [Failed(one.hit, other.hit, reason)]
    assert one.state(other) is State.E_FAILED
    (notify,) = network.sent(PacketType.NOTIFY)
    assert int.from_bytes(notify.payload[46:48], "big") == notify_type
    assert other.dropped() == {"no_association": 1}


@pytest.mark.parametrize(
    ("reason", "change"),
    [
        ("dh_invalid", swap(DiffieHellman(7, b"\1" * 64))),
        ("dh_invalid", swap(DiffieHellman(7, b""))),
        ("hip_long", lambda old: (*old, EchoRequestSigned(bytes(1600)))),
    ],
)
def test_authentic_r1_that_cannot_be_answered(reason: str, change: object) -> None:
    network, one, other = pair()
    network.wire = only(
        PacketType.R1,
        lambda r1: resigned_r1(r1, other.identities[0], change),  # type: ignore[arg-type]
    )
    one.want(other)
    network.run(0.1)
    assert one.dropped() == {reason: 1}
    assert one.state(other) is State.I1_SENT
    assert not one.sas
    network.wire = lambda datagram: [datagram]
    network.run(1.0)
    assert one.send_esp(other)
    assert_joined(one, other)


def test_middleboxes_cannot_make_our_i2_too_long() -> None:
    network, one, other = pair()
    many = tuple(EchoRequestUnsigned(bytes(100)) for _ in range(12))
    network.wire = only(
        PacketType.R1, lambda r1: resigned_r1(r1, other.identities[0], lambda old: (*old, *many))
    )
    one.want(other)
    network.run(0.1)
    (i2,) = network.sent(PacketType.I2)
    assert 0 < len(parse_packet(i2.payload).all(EchoResponseUnsigned)) <= 12
    assert one.state(other) is State.ESTABLISHED


def test_group_downgrade_is_seen() -> None:
    initiator = EndpointConfig(dh_groups=(DhGroup.NIST_P384, DhGroup.NIST_P256))
    responder = EndpointConfig(dh_groups=(DhGroup.NIST_P384, DhGroup.NIST_P256))
    network, one, other = pair(initiator, responder)
    # An attacker takes the better group out of the I1, so the R1 comes with the lesser one.
    network.wire = only(PacketType.I1, lambda datagram: changed(datagram, swap(DhGroupList((7,)))))
    one.want(other)
    network.run(0.1)
    assert one.dropped() == {"dh_group": 1}
    assert one.state(other) is State.I1_SENT
    assert not network.sent(PacketType.I2)


def test_r1_of_another_host_is_not_for_us() -> None:
    network, one, other = pair()
    third = network.node(config=FAST)
    exchange(third, other)
    r1 = network.sent(PacketType.R1)[0]
    one.receive(r1.payload, r1.path)
    assert sum(one.dropped().values()) == 1


# --- R2 ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("reason", "change"),
    [
        ("mac_wrong", swap(HipMac2(bytes(48)))),
        ("mac_wrong", swap(EspInfo(128, 0, 3000))),
        ("signature_wrong", swap(HipSignature(7, bytes(64)))),
        ("hip_missing", without(HipMac2)),
        ("hip_missing", without(HipSignature)),
        ("hip_missing", without(EspInfo)),
    ],
)
def test_faulty_r2(reason: str, change: object) -> None:
    network, one, other = pair()
    network.wire = only(PacketType.R2, lambda datagram: changed(datagram, change))  # type: ignore[arg-type]
    one.want(other)
    network.run(0.1)
    assert one.dropped() == {reason: 1}
    assert one.state(other) is State.I2_SENT
    network.wire = lambda datagram: [datagram]
    network.run(1.0)
    assert one.send_esp(other)
    assert_joined(one, other)


def test_esp_before_the_r2_does_not_end_the_exchange() -> None:
    network, one, other = pair()
    network.wire = lambda datagram: [] if datagram.kind is PacketType.R2 else [datagram]
    one.want(other)
    network.run(0.1)
    assert other.send_esp(one), "the inbound SA of the Initiator is there before the R2"
    assert one.state(other) is State.I2_SENT


def test_only_offered_suites_are_accepted() -> None:
    strict = EndpointConfig(
        dh_groups=(DhGroup.NIST_P256,),
        hip_ciphers=(HipCipher.AES_256_CBC,),
        esp_suites=(EspSuite.AES_256_CBC_HMAC_SHA256,),
    )
    _, one, other = pair(FAST, strict)
    exchange(one, other)
    view = one.view(other)
    assert view is not None
    assert (view.hip_cipher, view.esp_suite) == (
        HipCipher.AES_256_CBC,
        EspSuite.AES_256_CBC_HMAC_SHA256,
    )
