"""What HIPv1 has otherwise (RFC 5201, 5202), and who may use what is of old."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest

from hipgw.crypto import USABLE_TRANSFORMS
from hipgw.errors import LocalProtocolError
from hipgw.proto import EndpointConfig, Failed, State
from hipgw.proto.dialect_v1 import DialectV1
from hipgw.values import (
    ESP_SUITES_V1_ONLY,
    NULL_HIT,
    DhGroup,
    EspSuite,
    HipCipher,
    HipTransform,
    NotifyType,
)
from hipgw.wire import (
    DhPublicValue,
    DiffieHellmanV1,
    Encrypted,
    EspInfo,
    EspTransform,
    HipMac,
    HipSignature,
    HipTransformList,
    PacketType,
    Parameter,
    R1Counter,
    R1CounterV1,
    Seq,
    Solution,
)
from tests.engine.forge import changed, checksummed, named, resigned_r1, sealed, swap, without
from tests.engine.hostile import capture_i2, notified, only, rebuilt_i2
from tests.engine.network import (
    FAST_V1,
    Network,
    Node,
    Speech,
    assert_joined,
    exchange,
    identity,
    legacy,
    parse_packet,
)

V1 = DialectV1()
STRICT = replace(FAST_V1, is_legacy=lambda _: False)


@pytest.fixture(autouse=True)
def _v1() -> Iterator[None]:
    Speech.version = 1
    yield
    Speech.version = 2


def as_configured(network: Network, config: EndpointConfig, kind: str = "rsa-1024") -> Node:
    """A host of HIPv1 with exactly that configuration; the network has no say."""
    Speech.version = 2
    node = network.node(identity(kind, len(network.nodes) + 1), config=config)
    Speech.version = 1
    node.dialect = V1
    return node


def pair(
    config: EndpointConfig = FAST_V1, other: EndpointConfig | None = None
) -> tuple[Node, Node]:
    network = Network()
    return as_configured(network, config), as_configured(network, other or config)


def sent(node: Node, kind: PacketType) -> list[Parameter]:
    return list(parse_packet(node.network.sent(kind)[0].payload).parameters)


# --- the base exchange ---


def test_four_packets_of_version_1_and_nothing_dropped() -> None:
    one, other = pair(EndpointConfig(is_legacy=lambda _: True, speaks_v1=lambda: True))
    exchange(one, other)
    assert_joined(one, other)
    assert {datagram.payload[3] for datagram in one.network.carried} == {0x11}
    assert {datagram.payload[8:12].hex()[:7] for datagram in one.network.carried} == {"2001001"}
    assert (one.dropped(), other.dropped()) == ({}, {})
    assert not sent(one, PacketType.I1)
    kinds = [type(parameter).__name__ for parameter in sent(other, PacketType.R1)]
    assert kinds == [
        "R1CounterV1",
        "PuzzleV1",
        "DiffieHellmanV1",
        "HipTransformList",
        "HostIdV1",
        "EspTransform",
        "HipSignature2V1",
    ]
    view = one.view(other)
    assert view is not None
    assert (view.version, view.is_legacy, view.hit_suite) == (1, True, None)
    assert view.esp_suite is EspSuite.V1_AES_128_CBC_HMAC_SHA1


def test_r1_has_two_public_values_and_the_i2_answers_the_preferred_one() -> None:
    mine = replace(FAST_V1, v1_dh_groups=(DhGroup.MODP_768, DhGroup.MODP_1536, DhGroup.MODP_384))
    theirs = replace(FAST_V1, v1_dh_groups=(DhGroup.MODP_384, DhGroup.MODP_1536))
    one, other = pair(mine, theirs)
    exchange(one, other)
    assert_joined(one, other)
    values = parse_packet(one.network.sent(PacketType.R1)[0].payload).require(DiffieHellmanV1)
    assert [value.group for value in values.values] == [1, 3]
    answer = parse_packet(one.network.sent(PacketType.I2)[0].payload).require(DiffieHellmanV1)
    assert [value.group for value in answer.values] == [3]


@pytest.mark.parametrize(
    "group", [DhGroup.MODP_384, DhGroup.MODP_768, DhGroup.MODP_1536, DhGroup.MODP_3072]
)
def test_every_group(group: DhGroup) -> None:
    one, other = pair(replace(FAST_V1, v1_dh_groups=(group,)))
    exchange(one, other)
    assert_joined(one, other)
    view = other.view(one)
    assert view is not None
    assert view.dh_group is group


@pytest.mark.parametrize("transform", USABLE_TRANSFORMS, ids=lambda one: one.name)
@pytest.mark.parametrize("suite", sorted(ESP_SUITES_V1_ONLY), ids=lambda one: one.name)
def test_every_transform_and_esp_suite(transform: HipTransform, suite: EspSuite) -> None:
    one, other = pair(replace(FAST_V1, v1_transforms=(transform,), v1_esp_suites=(suite,)))
    exchange(one, other)
    assert_joined(one, other)
    assert {sa.suite for sa in one.sas.values()} == {suite}
    offer = parse_packet(one.network.sent(PacketType.R1)[0].payload).require(EspTransform)
    assert offer.suites == (suite & 0xFF,), "numbers of RFC 5202"
    assert one.endpoint.rekey_association(other.hit, one.network.now)
    one.settle()
    one.network.run(0.5)
    assert one.send_esp(other)
    assert other.send_esp(one)


@pytest.mark.parametrize("kind", ["rsa-1024", "rsa-2048", "dsa-1024"])
def test_every_identity_kind_in_both_roles(kind: str) -> None:
    network = Network()
    one, other = as_configured(network, FAST_V1, kind), as_configured(network, FAST_V1)
    exchange(one, other)
    assert_joined(one, other)
    other.close(one)
    network.run(1.0)
    network.restart(one, FAST_V1)
    exchange(other, one)
    assert_joined(other, one)


@pytest.mark.parametrize("k", [1, 10])
def test_puzzles_are_solved(k: int) -> None:
    one, other = pair(replace(FAST_V1, puzzle_k=k))
    exchange(one, other)
    assert_joined(one, other)
    assert parse_packet(one.network.sent(PacketType.I2)[0].payload).require(Solution).k == k


def test_r1_without_counter_is_answered_without_one() -> None:
    one, other = pair()
    one.network.wire = only(
        PacketType.R1,
        lambda datagram: resigned_r1(datagram, other.identities[0], without(R1Counter)),
    )
    exchange(one, other)
    assert_joined(one, other)
    assert parse_packet(one.network.sent(PacketType.I2)[0].payload).get(R1Counter) is None


def test_host_id_may_come_in_the_clear() -> None:
    """HIPL sends it so, OpenHIP in ENCRYPTED."""
    one, other = pair()
    i2 = capture_i2(one.network, one, other)
    clear = V1.host_id_of(named(one.identities[0], V1), 1, b"vm\0")
    one.network.deliver(rebuilt_i2(one, i2, clear))
    one.network.run(0.1)
    assert one.send_esp(other)
    assert_joined(other, one)
    view = other.view(one)
    assert view is not None
    assert view.peer_di == b"vm\0"


def test_opportunistic_i1_gets_an_r1_of_its_version() -> None:
    one, other = pair(FAST_V1, replace(FAST_V1, answer_opportunistic=True))
    path = other.path_to(one)
    other.receive(checksummed(V1.build(PacketType.I1, one.hit, NULL_HIT, ()), path), path)
    (r1,) = one.network.sent(PacketType.R1)
    assert parse_packet(r1.payload).sender == other.hit


def test_esp_keys_follow_the_hip_keys_of_the_transform() -> None:
    one, other = pair()
    exchange(one, other)
    assert one.keying is not None
    assert one.keying.hip.keymat_index == 72, "16 + 20 octets each way"
    assert one.keying.esp.keymat_index_after == 144
    assert one.keying.protection.keymat_octets_most == 0x10000


# --- faulty I2s ---

I2_FAULTS: dict[str, tuple[str, Callable[[tuple[Parameter, ...]], object], NotifyType | None]] = {
    "counter": ("r1_counter_old", swap(R1CounterV1(99)), None),
    "group": (
        "dh_group",
        swap(DiffieHellmanV1((DhPublicValue(3, bytes(192)),))),
        NotifyType.INVALID_DH_CHOSEN,
    ),
    "two public values": (
        "dh_group",
        swap(DiffieHellmanV1((DhPublicValue(1, bytes(48)), DhPublicValue(1, bytes(48))))),
        NotifyType.INVALID_DH_CHOSEN,
    ),
    "public value": (
        "dh_invalid",
        swap(DiffieHellmanV1((DhPublicValue(1, bytes(47) + b"\1"),))),
        None,
    ),
    "NULL transform": (
        "hip_cipher",
        swap(HipTransformList((5,))),
        NotifyType.INVALID_HIP_CIPHER_CHOSEN,
    ),
    "two transforms": (
        "hip_cipher",
        swap(HipTransformList((1, 2))),
        NotifyType.INVALID_HIP_CIPHER_CHOSEN,
    ),
    "ESP suite": ("esp_suite", swap(EspTransform((8,))), NotifyType.INVALID_ESP_TRANSFORM_CHOSEN),
    "keymat index": ("hip_malformed", swap(EspInfo(0, 0, 2000)), None),
    "MAC": ("mac_wrong", swap(HipMac(bytes(20))), NotifyType.HIP_MAC_FAILED),
    "signature": (
        "signature_wrong",
        swap(HipSignature(7, bytes(128))),
        NotifyType.AUTHENTICATION_FAILED,
    ),
    "signature algorithm": (
        "signature_wrong",
        swap(HipSignature(5, bytes(41))),
        NotifyType.AUTHENTICATION_FAILED,
    ),
    "no MAC": ("hip_missing", without(HipMac), None),
    "no identity": ("hip_missing", without(Encrypted), None),
    "no solution": ("hip_missing", without(Solution), None),
}


@pytest.mark.parametrize("fault", I2_FAULTS)
def test_faulty_i2(fault: str) -> None:
    reason, change, notify_type = I2_FAULTS[fault]
    one, other = pair()
    i2 = capture_i2(one.network, one, other)
    one.network.deliver(changed(i2, change))  # type: ignore[arg-type]
    one.network.run(0.1)
    assert other.dropped() == {reason: 1}
    assert not other.endpoint.associations()
    assert not other.sas
    assert notified(one) == ([] if notify_type is None else [notify_type])


@pytest.mark.parametrize(
    ("reason", "change"),
    [
        ("dh_group", swap(DiffieHellmanV1((DhPublicValue(5, bytes(768)),)))),
        ("hip_cipher", swap(HipTransformList((4, 6)))),
        ("esp_suite", swap(EspTransform((4, 8)))),
    ],
)
def test_r1_with_nothing_in_common(reason: str, change: object) -> None:
    one, other = pair()
    one.network.wire = only(
        PacketType.R1,
        lambda datagram: resigned_r1(datagram, other.identities[0], change),  # type: ignore[arg-type]
    )
    one.want(other)
    one.network.run(0.1)
    assert one.state(other) is State.E_FAILED
    assert one.dropped() == {reason: 1}


# --- who may ---


def test_i1_of_a_peer_that_is_not_legacy_is_refused_by_name() -> None:
    one, other = pair(FAST_V1, STRICT)
    one.want(other)
    one.network.run(0.1)
    assert other.dropped() == {"legacy_refused": 1}
    assert not one.network.sent(PacketType.R1)


def test_host_that_never_heard_of_legacy_refuses_by_the_same_name() -> None:
    one, other = pair(FAST_V1, EndpointConfig(dh_groups=(DhGroup.NIST_P256,)))
    one.want(other)
    one.network.run(0.1)
    assert other.dropped() == {"legacy_refused": 1}


def test_peer_that_is_not_legacy_is_not_called_in_version_1() -> None:
    one, other = pair(STRICT, FAST_V1)
    one.want(other)
    assert [event.reason for event in one.saw(Failed)] == ["legacy_refused"]
    assert not one.network.carried


def test_ecdsa_has_no_name_in_version_1() -> None:
    network = Network()
    one = as_configured(network, FAST_V1, "ecdsa-p384")
    other = as_configured(network, FAST_V1)
    assert [hit.version for hit in one.endpoint.identities] == [2]
    assert sorted(hit.version for hit in other.endpoint.identities) == [1, 2]
    one.want(other)
    assert [event.reason for event in one.saw(Failed)] == ["no_identity"]


def test_legacy_that_is_taken_back_ends_what_a_peer_may_say() -> None:
    allowed = [True]
    one, other = pair(FAST_V1, replace(FAST_V1, is_legacy=lambda _: allowed[0]))
    exchange(one, other)
    allowed[0] = False
    other.receive(*sealed(one, other, PacketType.UPDATE, Seq(0)))
    assert other.dropped() == {"legacy_refused": 1}


def test_r1s_of_version_1_are_made_when_a_peer_becomes_legacy() -> None:
    allowed = [False]
    config = replace(FAST_V1, is_legacy=lambda _: allowed[0], speaks_v1=lambda: allowed[0])
    one, other = pair(FAST_V1, config)
    one.want(other)
    one.network.run(0.1)
    assert other.dropped() == {"legacy_refused": 1}
    allowed[0] = True
    other.endpoint.legacy_changed(one.network.now)
    other.settle()
    one.network.run(1.0)  # the I1 is sent again
    assert one.send_esp(other)
    assert_joined(one, other)


def test_hits_and_version_of_a_packet_must_match() -> None:
    """As HIPL 1.0.8 sends when it believes to speak HIPv2."""
    one, other = pair()
    path = other.path_to(one)
    i1 = V1.build(PacketType.I1, one.hit, other.hit, ())
    for version, sender, receiver in (
        (0x21, one.hit, other.hit),
        (0x11, one.hit, other.identities[0].hit),
        (0x11, one.identities[0].hit, other.hit),
        (0x21, one.identities[0].hit, other.hit),
    ):
        header = i1[:3] + bytes([version]) + i1[4:8] + sender.packed + receiver.packed
        other.receive(checksummed(header, path), path)
    assert other.dropped() == {"hit_version": 4}
    with pytest.raises(LocalProtocolError, match="different HIP versions"):
        one.endpoint.want_association(
            other.hit, [one.path_to(other)], 0.0, local=one.identities[0].hit
        )


def test_one_host_speaks_both_versions_at_once() -> None:
    network = Network()
    old = as_configured(network, FAST_V1)
    config = replace(legacy(EndpointConfig()), dh_groups=(DhGroup.NIST_P256,))
    both = as_configured(network, config, "rsa-2048")
    both.dialect = V1
    exchange(old, both)
    Speech.version = 2
    new = network.node(config=EndpointConfig(dh_groups=(DhGroup.NIST_P256,)))
    new.want(both, peer=both.identities[0].hit)
    network.run(0.2)
    views = {view.peer: view for view in both.endpoint.associations()}
    assert views[old.hit].version == 1
    assert views[new.hit].version == 2
    assert (views[old.hit].is_legacy, views[new.hit].is_legacy) == (True, False)
    assert views[new.hit].hip_cipher is HipCipher.AES_128_CBC
    both.close(old)
    network.run(0.1)
    assert old.state(both) is State.CLOSED
    assert new.view(both) is not None


# --- HIPv2 with what is of old ---


@pytest.mark.parametrize("is_allowed", [True, False])
@pytest.mark.parametrize("kind", ["rsa-1024", "dsa-1024"])
def test_weak_key_in_version_2(kind: str, is_allowed: bool) -> None:
    Speech.version = 2
    network = Network()
    config = EndpointConfig(dh_groups=(DhGroup.NIST_P256,), is_legacy=lambda _: is_allowed)
    trusting = replace(config, is_legacy=lambda _: True)
    weak, other = network.node(identity(kind, 1), config=trusting), network.node(config=config)
    weak.want(other)
    network.run(0.1)
    assert other.dropped() == ({} if is_allowed else {"signature_wrong": 1})
    assert (other.state(weak) is State.R2_SENT) is is_allowed
    if is_allowed:
        view = other.view(weak)
        assert view is not None
        assert (view.version, view.legacy) == (2, (f"the peer's key {kind}",))
        mine = weak.view(other)
        assert mine is not None
        assert mine.legacy == (f"our key {kind}",)


def test_weak_key_of_ours_is_not_shown_to_others() -> None:
    Speech.version = 2
    network = Network()
    weak = network.node(identity("rsa-1024", 1), identity("ecdsa-p384", 1))
    other = network.node()
    other.want(weak)
    network.run(0.1)
    assert weak.dropped() == {"legacy_refused": 1}
    weak.want(other)
    network.run(0.1)
    view = weak.view(other)
    assert view is not None
    assert view.local == identity("ecdsa-p384", 1).hit


@pytest.mark.parametrize("is_allowed", [True, False])
def test_weak_group_in_version_2(is_allowed: bool) -> None:
    Speech.version = 2
    network = Network()
    groups = (DhGroup.MODP_1536, DhGroup.NIST_P256)
    config = EndpointConfig(dh_groups=groups, is_legacy=lambda _: is_allowed)
    one = network.node(config=EndpointConfig(dh_groups=groups, is_legacy=lambda _: True))
    other = network.node(config=config)
    one.want(other)
    network.run(0.1)
    group = parse_packet(network.sent(PacketType.R1)[0].payload)
    assert other.dialect.dh_value(group)[0] == groups[0 if is_allowed else 1]  # type: ignore[index]


def test_configuration_mistakes() -> None:
    for mistake in (
        {"v1_dh_groups": (DhGroup.NIST_P256,)},
        {"v1_transforms": (HipTransform.BLOWFISH_CBC_HMAC_SHA1,)},
        {"v1_esp_suites": (EspSuite.AES_GCM_16,)},
        {"v1_esp_suites": ()},
    ):
        with pytest.raises(LocalProtocolError, match="expected 1 to 6 of"):
            EndpointConfig(**mistake)  # type: ignore[arg-type]
