"""Base exchanges in fair weather: every identity, group, suite, family and encapsulation."""

from __future__ import annotations

from ipaddress import ip_address
from typing import Any

import pytest

from hipgw.crypto import KEY_KINDS
from hipgw.errors import LocalProtocolError
from hipgw.proto import (
    Compute,
    Endpoint,
    EndpointConfig,
    Established,
    Failed,
    InstallSa,
    Role,
    SendDatagram,
    State,
)
from hipgw.values import (
    NULL_HIT,
    DhGroup,
    Direction,
    Encapsulation,
    EspSuite,
    HipCipher,
    Hit,
    HitSuite,
    Path,
)
from hipgw.wire import (
    DhGroupList,
    DiffieHellman,
    EchoRequestSigned,
    EchoRequestUnsigned,
    EchoResponseSigned,
    EchoResponseUnsigned,
    Encrypted,
    EspInfo,
    HitSuiteList,
    HostId,
    PacketType,
    Parameter,
    Puzzle,
    R1Counter,
    Solution,
    checksum_is_right,
    parse_packet,
)
from tests.engine.forge import bare, resigned_r1
from tests.engine.network import (
    Datagram,
    Network,
    Node,
    Weather,
    assert_joined,
    exchange,
    identity,
)

GROUPS = (
    DhGroup.NIST_P256,
    DhGroup.NIST_P384,
    DhGroup.NIST_P521,
    DhGroup.MODP_1536,
    DhGroup.MODP_2048,
    DhGroup.MODP_3072,
)
FAST = EndpointConfig(dh_groups=(DhGroup.NIST_P256,))


def pair(config: EndpointConfig = FAST, other: EndpointConfig | None = None) -> tuple[Node, Node]:
    network = Network()
    return network.node(config=config), network.node(config=other or config)


def parsed(node: Node, kind: PacketType) -> tuple[Parameter, ...]:
    return parse_packet(node.network.sent(kind)[0].payload).parameters


@pytest.mark.parametrize("kind", KEY_KINDS)
def test_every_identity_kind_speaks_to_p256_in_both_roles(kind: str) -> None:
    network = Network()
    one, other = network.node(identity(kind, 50), config=FAST), network.node(config=FAST)
    exchange(one, other)
    assert_joined(one, other)
    other.close(one)
    network.run(1.0)
    network.restart(one, FAST)
    exchange(other, one)
    assert_joined(other, one)


@pytest.mark.parametrize("group", GROUPS)
def test_every_group(group: DhGroup) -> None:
    one, other = pair(EndpointConfig(dh_groups=(group,), is_legacy=lambda _: True))
    exchange(one, other)
    assert_joined(one, other)
    view = one.view(other)
    assert view is not None
    assert view.dh_group is group
    assert (view.role, view.hit_suite) == (Role.INITIATOR, HitSuite.ECDSA_SHA384)


@pytest.mark.parametrize("kind", KEY_KINDS)
@pytest.mark.parametrize("group", [DhGroup.NIST_P384, DhGroup.MODP_3072])
def test_identity_kinds_with_other_groups(kind: str, group: DhGroup) -> None:
    config = EndpointConfig(dh_groups=(group,))
    network = Network()
    one = network.node(identity(kind, 50), config=config)
    other = network.node(identity("ed25519", 51), config=config)
    exchange(other, one)
    assert_joined(one, other)


@pytest.mark.parametrize("cipher", HipCipher)
@pytest.mark.parametrize("suite", EspSuite)
def test_every_cipher_and_esp_suite(cipher: HipCipher, suite: EspSuite) -> None:
    config = EndpointConfig(
        dh_groups=(DhGroup.NIST_P256,), hip_ciphers=(cipher,), esp_suites=(suite,)
    )
    one, other = pair(config)
    exchange(one, other)
    assert_joined(one, other)
    view = other.view(one)
    assert view is not None
    assert (view.hip_cipher, view.esp_suite) == (cipher, suite)
    assert {sa.suite for sa in one.sas.values()} == {suite}


@pytest.mark.parametrize("encapsulation", Encapsulation)
@pytest.mark.parametrize("family", [0, 1])
def test_every_family_and_encapsulation(encapsulation: Encapsulation, family: int) -> None:
    one, other = pair()
    for node in (one, other):
        node.addresses = [node.addresses[family]]
    path = one.path_to(other, encapsulation)
    one.want(other, path)
    one.network.run(0.2)
    assert one.state(other) is State.ESTABLISHED
    assert_joined_after_esp(one, other)
    for datagram in one.network.carried:
        if encapsulation is Encapsulation.UDP:
            assert datagram.payload[4:6] == b"\0\0"
        else:
            there = datagram.path
            assert checksum_is_right(datagram.payload, there.peer, there.local)
    assert all(sa.path.encapsulation is encapsulation for sa in other.sas.values())


def assert_joined_after_esp(one: Node, other: Node) -> None:
    assert one.send_esp(other)
    assert_joined(one, other)


def test_four_packets_and_nothing_dropped() -> None:
    one, other = pair()
    exchange(one, other)
    kinds = [datagram.kind.name for datagram in one.network.carried]
    assert kinds == ["I1", "R1", "I2", "R2"]
    assert not one.dropped()
    assert not other.dropped()
    assert (one.endpoint.activity["i2_sent"], other.endpoint.activity["i2_received"]) == (1, 1)


def test_packets_carry_what_section_12_lists() -> None:
    one, other = pair()
    exchange(one, other)
    types = {kind: [int(p.wire_type) for p in parsed(one, kind)] for kind in list(PacketType)[:4]}
    assert types == {
        PacketType.I1: [511],
        PacketType.R1: [129, 257, 511, 513, 579, 705, 715, 2049, 4095, 61633],
        PacketType.I2: [65, 129, 321, 513, 579, 641, 2049, 4095, 61505, 61697],
        PacketType.R2: [65, 61569, 61697],
    }


def test_i2_echoes_puzzle_and_counter_and_names_our_spi() -> None:
    one, other = pair()
    exchange(one, other)
    r1 = parse_packet(one.network.sent(PacketType.R1)[0].payload)
    i2 = parse_packet(one.network.sent(PacketType.I2)[0].payload)
    puzzle, solution = r1.require(Puzzle), i2.require(Solution)
    assert (puzzle.k, puzzle.opaque, puzzle.i) == (solution.k, solution.opaque, solution.i)
    assert i2.require(R1Counter) == r1.require(R1Counter)
    view = one.view(other)
    assert view is not None
    assert i2.require(EspInfo) == EspInfo(128, 0, int(view.spi_in or 0))
    assert i2.require(Encrypted).iv_and_ciphertext


def test_inbound_sa_is_installed_before_the_i2_and_both_before_the_r2() -> None:
    one, other = pair()
    exchange(one, other)

    def order(node: Node) -> list[str]:
        words = []
        for effect in node.log:
            if isinstance(effect, InstallSa):
                words.append(effect.sa.direction.name)
            elif isinstance(effect, SendDatagram):
                words.append(PacketType(effect.payload[2]).name)
        return words

    assert order(one) == ["I1", "IN", "I2", "OUT"]
    assert order(other) == ["R1", "IN", "OUT", "R2"]


def test_events_say_who_was_what() -> None:
    one, other = pair()
    exchange(one, other)
    (mine,), (theirs,) = one.saw(Established), other.saw(Established)
    assert isinstance(mine, Established)
    assert isinstance(theirs, Established)
    assert (mine.role, theirs.role) == (Role.INITIATOR, Role.RESPONDER)
    assert (mine.spi_in, mine.spi_out) == (theirs.spi_out, theirs.spi_in)
    assert mine.exchange_s == pytest.approx(0.04)


def test_wanting_an_association_again_does_nothing() -> None:
    one, other = pair()
    one.want(other)
    one.want(other)
    one.network.run(0.2)
    one.want(other)
    one.network.run(0.2)
    assert len(one.network.carried) == 4


def test_domain_identifier_is_shown_at_the_peer() -> None:
    name = b"\x03gw1\x07example\x00"
    config = EndpointConfig(
        dh_groups=(DhGroup.NIST_P256,), domain_identifier_type=1, domain_identifier=name
    )
    one, other = pair(config)
    exchange(one, other)
    for node, peer in ((one, other), (other, one)):
        view = node.view(peer)
        assert view is not None
        assert (view.peer_di_type, view.peer_di) == (1, name)


def test_responder_takes_the_first_group_of_its_own_list_that_is_offered() -> None:
    initiator = EndpointConfig(dh_groups=(DhGroup.NIST_P521, DhGroup.NIST_P384))
    responder = EndpointConfig(dh_groups=(DhGroup.NIST_P256, DhGroup.NIST_P384, DhGroup.NIST_P521))
    one, other = pair(initiator, responder)
    exchange(one, other)
    view = one.view(other)
    assert view is not None
    assert view.dh_group is DhGroup.NIST_P384
    r1 = parse_packet(one.network.sent(PacketType.R1)[0].payload)
    assert r1.require(DhGroupList).groups == (7, 8, 9)


def test_responder_falls_back_to_its_first_group_when_none_is_offered() -> None:
    one, other = pair(
        EndpointConfig(dh_groups=(DhGroup.NIST_P521,)),
        EndpointConfig(dh_groups=(DhGroup.NIST_P384, DhGroup.NIST_P256)),
    )
    one.want(other)
    one.network.run(0.2)
    r1 = parse_packet(one.network.sent(PacketType.R1)[0].payload)
    assert r1.require(DiffieHellman).group == DhGroup.NIST_P384


def test_i1_takes_at_most_three_paths_at_once_and_the_answered_one_is_kept() -> None:
    network = Network()
    one = network.node(config=FAST)
    other = network.node(config=FAST, addresses=["192.0.2.50", "192.0.2.51", "2001:db8::50"])
    dead = ["192.0.2.90", "192.0.2.91"]
    mine = one.addresses[0]
    paths = [Path(mine, ip_address(text)) for text in (*dead, "192.0.2.51", "192.0.2.50")]
    one.want(other, *paths)
    assert [datagram.path.local for datagram in network.sent(PacketType.I1)] == [
        path.peer for path in paths[:3]
    ]
    network.run(0.2)
    view = one.view(other)
    assert view is not None
    assert view.state is State.ESTABLISHED
    assert str(view.path.peer) == "192.0.2.51"


@pytest.mark.parametrize("k", [1, 8, 12])
def test_puzzles_are_solved(k: int) -> None:
    one, other = pair(FAST, EndpointConfig(dh_groups=(DhGroup.NIST_P256,), puzzle_k=k))
    exchange(one, other)
    r1 = parse_packet(one.network.sent(PacketType.R1)[0].payload)
    assert r1.require(Puzzle).k == k


def test_puzzle_is_tried_in_portions_until_its_lifetime_is_over() -> None:
    network = Network(weather=Weather(job_s=2.0))
    impatient = EndpointConfig(dh_groups=(DhGroup.NIST_P256,), puzzle_tries=1)
    hard = EndpointConfig(dh_groups=(DhGroup.NIST_P256,), puzzle_k=22, puzzle_lifetime=33)
    one, other = network.node(config=impatient), network.node(config=hard)
    network.run(5.0)
    one.want(other)
    network.run(20.0)
    portions = [effect for effect in one.log if isinstance(effect, Compute)]
    assert len(portions) > 3
    assert one.dropped()["puzzle_expired"] >= 1
    assert one.state(other) in {State.I1_SENT, State.E_FAILED}
    assert not network.sent(PacketType.I2)


def test_too_hard_a_puzzle_is_refused() -> None:
    one, other = pair(
        EndpointConfig(dh_groups=(DhGroup.NIST_P256,), puzzle_k_most=10),
        EndpointConfig(dh_groups=(DhGroup.NIST_P256,), puzzle_k=11),
    )
    one.want(other)
    one.network.run(0.2)
    assert one.dropped() == {"puzzle_too_hard": 1}
    assert one.state(other) is State.I1_SENT


def test_echo_requests_come_back_signed_and_unsigned() -> None:
    one, other = pair()
    requests = (EchoRequestSigned(b"signed"), EchoRequestUnsigned(b"a"), EchoRequestUnsigned(b"bc"))

    def add(datagram: Datagram) -> list[Datagram]:
        if datagram.kind is not PacketType.R1:
            return [datagram]
        return [resigned_r1(datagram, other.identities[0], lambda old: (*old, *requests))]

    one.network.wire = add
    one.want(other)
    one.network.run(0.2)
    i2 = parse_packet(one.network.sent(PacketType.I2)[0].payload)
    assert i2.require(EchoResponseSigned).data == b"signed"
    assert [echo.data for echo in i2.all(EchoResponseUnsigned)] == [b"a", b"bc"]
    assert one.state(other) is State.ESTABLISHED


def test_identity_of_another_suite_is_used_when_the_responder_lacks_ours() -> None:
    network = Network()
    ecdsa, eddsa = identity(), identity("ed25519", 60)
    one = network.node(ecdsa, eddsa, config=FAST)
    only_eddsa = EndpointConfig(
        dh_groups=(DhGroup.NIST_P256,), hit_suites=(HitSuite.EDDSA_CSHAKE128,)
    )
    other = network.node(identity("ed25519", 61), config=only_eddsa)
    one.want(other)
    network.run(0.2)
    view = one.view(other)
    assert view is not None
    assert (view.state, view.local) == (State.ESTABLISHED, eddsa.hit)
    assert parse_packet(network.sent(PacketType.R1)[0].payload).require(HitSuiteList).suites == (5,)
    senders = [parse_packet(one.payload).sender for one in network.sent(PacketType.I1)]
    assert senders == [ecdsa.hit, eddsa.hit]


def test_no_identity_of_a_supported_suite_fails() -> None:
    only_rsa = EndpointConfig(dh_groups=(DhGroup.NIST_P256,), hit_suites=(HitSuite.RSA_DSA_SHA256,))
    one, other = pair(FAST, only_rsa)
    one.want(other)
    one.network.run(0.2)
    assert one.saw(Failed) == [Failed(one.hit, other.hit, "hit_suite")]
    assert one.state(other) is State.E_FAILED


def test_local_identity_may_be_chosen() -> None:
    network = Network()
    first, second = identity(), identity("ecdsa-p384", 62)
    one, other = network.node(first, second, config=FAST), network.node(config=FAST)
    exchange(one, other, local=second.hit)
    view = one.view(other)
    assert view is not None
    assert view.local == second.hit
    one.want(other)  # without a choice, the identity in use stays
    assert one.view(other) is not None


def test_opportunistic_i1_gets_an_r1_only_when_allowed() -> None:
    for allowed in (False, True):
        config = EndpointConfig(dh_groups=(DhGroup.NIST_P256,), answer_opportunistic=allowed)
        one, other = pair(config)
        path = other.path_to(one)
        i1 = bare(PacketType.I1, one.hit, NULL_HIT, path, DhGroupList((7,)))
        other.receive(i1, path)
        assert len(one.network.sent(PacketType.R1)) == allowed
        assert other.dropped() == ({} if allowed else {"hit_not_ours": 1})


def test_opportunistic_r1_prefers_the_suite_of_the_initiator() -> None:
    network = Network()
    config = EndpointConfig(dh_groups=(DhGroup.NIST_P256,), answer_opportunistic=True)
    rsa, eddsa = identity("rsa-2048", 50), identity("ed25519", 50)
    other = network.node(rsa, eddsa, config=config)
    for kind, expected in (("ed25519", eddsa), ("ecdsa-p256", rsa)):
        one = network.node(identity(kind, 63), config=FAST)
        path = other.path_to(one)
        other.receive(bare(PacketType.I1, one.hit, NULL_HIT, path, DhGroupList((7,))), path)
        r1 = parse_packet(network.sent(PacketType.R1)[-1].payload)
        assert r1.sender == expected.hit
        assert r1.require(HostId).hi == expected.public.hi


def test_callers_mistakes_are_told() -> None:
    one, other = pair()
    path = one.path_to(other)
    for peer, paths, local in (
        (one.hit, [path], None),
        (other.hit, [], None),
        (other.hit, [path], other.hit),
        (NULL_HIT, [path], None),
        (Hit.parse("2001:db8::1"), [path], None),
    ):
        with pytest.raises(LocalProtocolError):
            one.endpoint.want_association(peer, paths, one.network.now, local=local)
    with pytest.raises(LocalProtocolError):
        EndpointConfig(hip_ciphers=())
    mistakes: list[dict[str, Any]] = [
        {"r1_period_s": 1.0},
        {"puzzle_k": 256},
        {"puzzle_k_most": 65},
        {"puzzle_lifetime": 31},
        {"domain_identifier": bytes(256)},
        {"hip_ciphers": (HipCipher.AES_128_CBC,) * 7},
    ]
    for mistake in mistakes:
        with pytest.raises(LocalProtocolError):
            EndpointConfig(**mistake)
    with pytest.raises(LocalProtocolError):
        Endpoint([], FAST, bytes, 0.0)


def test_peer_of_an_unknown_suite_is_not_called() -> None:
    one, other = pair()
    unknown = Hit(b"\x20\x01\x00\x2f" + bytes(12))
    one.want(other, peer=unknown)
    assert one.saw(Failed) == [Failed(one.hit, unknown, "hit_suite")]
    assert not one.network.carried


def test_peers_that_policy_forbids_are_not_called() -> None:
    config = EndpointConfig(dh_groups=(DhGroup.NIST_P256,), permits=lambda _: False)
    one, other = pair(config, FAST)
    one.want(other)
    assert one.saw(Failed) == [Failed(one.hit, other.hit, "policy")]
    assert not one.network.carried


def test_views_and_effects_show_no_key() -> None:
    one, other = pair()
    exchange(one, other)
    assert one.keying is not None
    secrets = [one.keying.hip.mac_out, one.keying.hip.encryption_out, one.keying.esp.encryption_in]
    shown = repr(one.log) + repr(one.endpoint.associations()) + repr(one.events) + repr(one.keying)
    for secret in secrets:
        assert repr(secret)[2:-1] not in shown
        assert secret.hex() not in shown
    assert {sa.direction for sa in one.sas.values()} == {Direction.IN, Direction.OUT}
