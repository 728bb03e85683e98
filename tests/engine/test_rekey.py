"""Rekey: by each trigger, from each side, crossing, with and without new Diffie-Hellman.

In every test both hosts are watched: at each moment either can open what the other would send.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import pytest

from hipgw.proto import EndpointConfig, Rekeyed, State
from hipgw.values import DhGroup, Direction, EspSuite, HitSuite
from hipgw.wire import (
    Ack,
    DiffieHellman,
    EspInfo,
    HipPacket,
    PacketType,
    Parameter,
    Seq,
)
from tests.engine.forge import sealed
from tests.engine.network import (
    Datagram,
    Network,
    Node,
    Weather,
    assert_joined,
    exchange,
    low_and_high,
    parse_packet,
)
from tests.engine.traffic import Traffic

pytestmark = pytest.mark.usefixtures("hip_version")


FAST = EndpointConfig(dh_groups=(DhGroup.NIST_P256,), rekey_s=0.0)
WITH_DH = replace(FAST, rekey_with_dh=True)


def joined(
    config: EndpointConfig = FAST,
    other_config: EndpointConfig | None = None,
    *,
    seed: int = 1,
    is_low_first: bool = True,
) -> tuple[Network, Node, Node]:
    network = Network(seed)
    keys = low_and_high() if is_low_first else low_and_high()[::-1]
    one = network.node(keys[0], config=config)
    other = network.node(keys[1], config=other_config or config)
    exchange(one, other)
    network.watched.append((one, other))
    return network, one, other


def rekey(one: Node, other: Node) -> bool:
    started = one.endpoint.rekey_association(other.hit, one.network.now)
    one.settle()
    return started


def updates(network: Network, since: int = 0) -> list[HipPacket]:
    return [parse_packet(one.payload) for one in network.sent(PacketType.UPDATE)[since:]]


def spis(node: Node, other: Node) -> tuple[int | None, int | None]:
    view = node.view(other)
    assert view is not None
    return view.spi_in, view.spi_out


def settle_down(network: Network, one: Node, other: Node) -> None:
    """Fair weather until nothing of a rekey is left."""
    network.weather = Weather()
    network.wire = lambda datagram: [datagram]
    network.run(200.0)
    assert_joined(one, other)


@pytest.mark.parametrize(("config", "responder"), list(product((FAST, WITH_DH), repeat=2)))
@pytest.mark.parametrize("is_low_first", [True, False])
def test_operator_rekeys(
    config: EndpointConfig, responder: EndpointConfig, is_low_first: bool
) -> None:
    network, one, other = joined(config, responder, is_low_first=is_low_first)
    before = spis(one, other)
    traffic = Traffic(network, one, other)
    assert rekey(one, other)
    network.run(1.0)
    view = one.view(other)
    assert view is not None
    assert (view.rekeys, view.is_rekeying) == (1, False)
    assert view.spi_in is not None
    assert view.spi_out is not None
    assert not set(before) & {view.spi_in, view.spi_out}
    # What data paths spread SAs over cores by stays: the old SA's packets are not overtaken.
    assert [spi & 0xFF for spi in before] == [(spi or 0) & 0xFF for spi in spis(one, other)]
    has_dh = config.rekey_with_dh or responder.rekey_with_dh
    assert one.saw(Rekeyed) == [
        Rekeyed(one.hit, other.hit, view.spi_in, view.spi_out, has_dh, "operator")
    ]
    assert [event.reason for event in other.saw(Rekeyed)] == ["peer"]
    request, answer, last = updates(network)
    assert (one.dialect.dh_value(request) is not None) is config.rekey_with_dh
    assert (one.dialect.dh_value(answer) is not None) is responder.rekey_with_dh
    assert request.require(Seq).update_id == answer.require(Ack).update_ids[0] == 0
    assert last.require(Ack).update_ids == (answer.require(Seq).update_id,)
    assert last.get(Seq) is None
    network.run(10.0)
    traffic.stop()
    assert traffic.there.lost == traffic.back.lost == 0
    assert traffic.there.arrived > 1000
    settle_down(network, one, other)


@pytest.mark.parametrize("hip_version", [2], indirect=True)
def test_rekey_without_dh_draws_the_next_keys_of_the_same_keymat() -> None:
    network, one, other = joined()
    assert one.keying is not None
    index = one.keying.esp.keymat_index_after
    for number in range(3):
        rekey(one, other)
        network.run(1.0)
        info = updates(network)[3 * number].require(EspInfo)
        assert info.keymat_index == index + number * 2 * 20  # AES-GCM: 16 + 4 each way
    settle_down(network, one, other)


@pytest.mark.parametrize("hip_version", [2], indirect=True)
def test_the_greater_of_two_keymat_indices_counts() -> None:
    network, one, other = joined()
    assert other.keying is not None
    index = other.keying.esp.keymat_index_after + 100
    spi_in, spi_out = spis(other, one)
    assert spi_in is not None
    network.watched.clear()  # `one` is played by this test
    info = EspInfo(index, spi_out or 0, 0x12345678)
    other.receive(*sealed(one, other, PacketType.UPDATE, info, Seq(0)))
    assert updates(network)[0].require(EspInfo).keymat_index == index
    expected = other.keying.keymat.octets(index, 40)
    into = next(sa for sa in other.sas.values() if sa.spi not in {spi_in, spi_out})
    assert into.direction is Direction.IN
    assert into.encryption_key in {expected[:20], expected[20:]}


@pytest.mark.parametrize("hip_version", [2], indirect=True)
def test_the_greater_of_two_keymat_indices_counts_when_requests_cross() -> None:
    for more in (0, 100):
        network, one, other = joined()
        assert one.keying is not None
        index = one.keying.esp.keymat_index_after
        network.watched.clear()  # `other` is played by this test
        network.wire = lambda _: []
        before = set(one.sas)
        rekey(one, other)
        spi_in, spi_out = spis(other, one)
        info = EspInfo(index + more, spi_in or 0, 4711)
        one.receive(*sealed(other, one, PacketType.UPDATE, info, Seq(0)))
        (fresh,) = set(one.sas) - before
        expected = one.keying.keymat.octets(index + more, 40)
        assert one.sas[fresh].encryption_key in {expected[:20], expected[20:]}
        assert spi_out is not None


@pytest.mark.parametrize("hip_version", [2], indirect=True)
def test_new_dh_of_one_side_starts_keymat_anew_for_both_when_requests_cross() -> None:
    network, one, other = joined(WITH_DH, FAST)
    rekey(one, other)
    rekey(other, one)
    network.run(1.0)
    assert len(one.saw(Rekeyed)) == 1
    assert one.saw(Rekeyed)[0].with_dh
    since = len(network.sent(PacketType.UPDATE))
    rekey(other, one)
    assert updates(network, since)[0].require(EspInfo).keymat_index == 40


@pytest.mark.parametrize("hip_version", [2], indirect=True)
def test_keymat_at_its_end_forces_new_dh() -> None:
    network, one, other = joined(replace(FAST, esp_suites=(EspSuite.AES_256_CBC_HMAC_SHA256,)))
    assert one.keying is not None
    limit = 255 * (48 if one.keying.suite is HitSuite.ECDSA_SHA384 else 32)
    without_dh = (limit - one.keying.hip.keymat_index) // 128 - 1
    for number in range(without_dh + 1):
        assert rekey(one, other)
        network.run(0.3)
        other.send_esp(one)
        one.send_esp(other)
        request = updates(network)[-3]
        assert (request.get(DiffieHellman) is not None) is (number == without_dh), number
        network.run(5.0)
    assert request.require(EspInfo).keymat_index == 0
    rekey(one, other)
    network.run(1.0)
    assert updates(network)[-3].require(EspInfo).keymat_index == 128
    settle_down(network, one, other)


@pytest.mark.parametrize("config", [FAST, WITH_DH])
@pytest.mark.parametrize("late_s", [0.0, 0.005, 0.0101, 0.015, 0.0201, 0.025])
def test_both_rekey_at_once(config: EndpointConfig, late_s: float) -> None:
    network, one, other = joined(config)
    traffic = Traffic(network, one, other, every_s=0.001)
    rekey(one, other)
    network.run(late_s)
    rekey(other, one)
    network.run(2.0)
    traffic.stop()
    network.run(1.0)
    assert traffic.there.lost == traffic.back.lost == 0
    assert {len(node.saw(Rekeyed)) for node in (one, other)} in ({1}, {2})
    settle_down(network, one, other)
    assert not [name for node in (one, other) for name in node.dropped() if "mac" in name]


@pytest.mark.parametrize("number", [0, 1, 2])
@pytest.mark.parametrize("config", [FAST, WITH_DH])
def test_each_update_of_a_rekey_lost_once(config: EndpointConfig, number: int) -> None:
    network, one, other = joined(config)
    sent = len(network.sent(PacketType.UPDATE))
    traffic = Traffic(network, one, other)
    lost = iter(range(100))

    def lose(datagram: Datagram) -> list[Datagram]:
        if datagram.kind is PacketType.UPDATE and next(lost) == number:
            return []
        return [datagram]

    network.wire = lose
    rekey(one, other)
    network.run(3.0)
    traffic.stop()
    network.run(1.0)
    assert len(network.sent(PacketType.UPDATE)) - sent > 3
    assert traffic.there.lost == traffic.back.lost == 0
    assert len(one.saw(Rekeyed)) == len(other.saw(Rekeyed)) == 1
    settle_down(network, one, other)


@pytest.mark.parametrize("both_ways", [True, False])
@pytest.mark.parametrize("seed", range(30))
def test_rekeys_from_both_sides_in_bad_weather(seed: int, both_ways: bool) -> None:
    config = (FAST, WITH_DH)[seed % 2]
    network, one, other = joined(config, seed=seed)
    network.weather = Weather(
        loss=0.2, duplication=0.2, latency_s=0.02, spread_s=0.1, job_s=0.02 * (seed % 3)
    )
    traffic = Traffic(network, one, other, every_s=0.02, both_ways=both_ways)
    for number in range(8):
        rekey(one, other)
        if (seed + number) % 3:
            rekey(other, one)
        network.run(2.0 + 0.3 * (seed % 7))
    traffic.stop()
    network.run(1.0)
    for flow in traffic.flows:
        assert flow.lost == 0
    assert len(one.saw(Rekeyed)) >= 3
    settle_down(network, one, other)


def test_rekey_by_time_the_initiator_first() -> None:
    network, one, other = joined(replace(FAST, rekey_s=100.0))
    traffic = Traffic(network, one, other, every_s=0.5)
    network.run(1000.0)
    traffic.stop()
    network.run(1.0)
    assert 9 <= len(one.saw(Rekeyed)) <= 12
    assert {event.reason for event in one.saw(Rekeyed)} == {"time"}
    assert {event.reason for event in other.saw(Rekeyed)} == {"peer"}
    assert traffic.there.lost == traffic.back.lost == 0


@pytest.mark.parametrize(
    ("config", "reason"),
    [
        (replace(FAST, rekey_octets=10_000), "octets"),
        (replace(FAST, rekey_packets=100), "packets"),
    ],
)
def test_rekey_by_use(config: EndpointConfig, reason: str) -> None:
    network, one, other = joined(config)
    traffic = Traffic(network, one, other)
    network.run(5.0)
    traffic.stop()
    network.run(1.0)
    assert len(one.saw(Rekeyed)) >= 3
    reasons = {event.reason for node in (one, other) for event in node.saw(Rekeyed)}
    assert reasons <= {reason, "peer"}
    assert reason in reasons
    assert traffic.there.lost == traffic.back.lost == 0


@pytest.mark.parametrize("number", [0, 1])
def test_rekey_when_the_sequence_numbers_end(number: int) -> None:
    network, one, other = joined()
    one.endpoint.sa_expiring((spis(one, other)[number]) or 0, network.now)  # type: ignore[arg-type]
    one.settle()
    network.run(1.0)
    assert [event.reason for event in one.saw(Rekeyed)] == ["packets"]
    one.endpoint.sa_expiring(12345, network.now)  # type: ignore[arg-type]
    assert not one.endpoint.take_effects()


def test_responder_switches_when_data_arrives_before_the_last_ack() -> None:
    network, one, other = joined()
    rekey(one, other)
    network.wire = lambda datagram: (
        [] if parse_packet(datagram.payload).get(Seq) is None else [datagram]
    )
    network.run(0.05)
    old = spis(other, one)[1]
    assert spis(one, other)[0] != old, "the Initiator has switched"
    assert spis(other, one)[1] == old, "the other has not"
    assert one.send_esp(other)
    assert spis(other, one)[1] == spis(one, other)[0]
    settle_down(network, one, other)


def test_old_inbound_sa_stays_for_the_grace_time_and_no_longer() -> None:
    network, one, other = joined(replace(FAST, sa_grace_s=5.0, sa_hold_s=50.0))
    rekey(one, other)
    network.run(1.0)
    assert len(one.sas) == len(other.sas) == 3
    network.run(6.0)
    assert len(other.sas) == 2, "the peer has switched before its last ACK"
    assert len(one.sas) == 3, "no data yet: the peer may still use the old one"
    other.send_esp(one)
    network.run(4.0)
    assert len(one.sas) == 3
    network.run(2.0)
    assert len(one.sas) == 2
    rekey(one, other)
    network.run(52.0)
    assert len(one.sas) == 2, "without data the old one goes after the hold time"


def test_one_rekey_at_a_time() -> None:
    network, one, other = joined()
    assert rekey(one, other)
    assert not rekey(one, other)
    network.run(1.0)
    assert rekey(one, other)


def test_no_rekey_without_an_association() -> None:
    network = Network()
    one, other = network.node(config=FAST), network.node(config=FAST)
    assert not rekey(one, other)
    one.want(other)
    assert not rekey(one, other)


def test_peer_that_acknowledges_and_never_answers() -> None:
    network, one, other = joined(replace(FAST, rekey_timeout_s=10.0))
    network.wire = lambda _: []
    before = dict(one.sas)
    rekey(one, other)
    one.receive(*sealed(other, one, PacketType.UPDATE, Ack((0,))))
    network.run(9.0)
    view = one.view(other)
    assert view is not None
    assert view.is_rekeying
    network.run(2.0)
    view = one.view(other)
    assert view is not None
    assert not view.is_rekeying
    assert one.endpoint.activity["rekey_given_up"] == 1
    assert one.sas == before
    assert one.state(other) is State.ESTABLISHED


def test_peer_that_answers_nothing_is_closed() -> None:
    network, one, other = joined(replace(FAST, update_tries=5))
    network.wire = lambda _: []
    network.watched.clear()
    rekey(one, other)
    assert network.run(30.0, until=lambda: one.state(other) is State.CLOSING)
    assert len(network.sent(PacketType.UPDATE)) == 5
    assert not one.sas
    view = one.view(other)
    assert view is not None
    assert view.retransmissions == 4


def test_new_base_exchange_in_the_middle_of_a_rekey() -> None:
    network, one, other = joined(WITH_DH)
    network.watched.clear()
    rekey(one, other)
    network.run(0.015)
    network.restart(one, WITH_DH)
    one.want(other)
    network.run(1.0)
    assert one.send_esp(other)
    assert_joined(one, other)
    settle_down(network, one, other)


def test_close_in_the_middle_of_a_rekey_leaves_no_sa() -> None:
    for after_s in (0.0, 0.005, 0.011, 0.021):
        network, one, other = joined(WITH_DH)
        network.watched.clear()
        rekey(one, other)
        network.run(after_s)
        one.close(other)
        network.run(1.0)
        assert not one.sas
        assert not other.sas


@pytest.mark.parametrize("hip_version", [2], indirect=True)
@pytest.mark.parametrize(
    ("parameters", "reason"),
    [
        ((EspInfo(0, 0, 0), DiffieHellman(8, bytes(96))), "dh_group"),
        ((EspInfo(200, 0, 0), DiffieHellman(7, bytes(64))), "hip_malformed"),
    ],
)
def test_rekey_against_the_rules_is_dropped(parameters: tuple[Parameter, ...], reason: str) -> None:
    network, one, other = joined()
    _spi_in, spi_out = spis(other, one)
    info = replace(parameters[0], old_spi=spi_out, new_spi=4711)  # type: ignore[type-var]
    before = dict(other.sas)
    other.receive(*sealed(one, other, PacketType.UPDATE, info, Seq(0), *parameters[1:]))
    assert other.dropped() == {reason: 1}
    assert other.sas == before
    assert not updates(network)


@pytest.mark.parametrize("hip_version", [2], indirect=True)
def test_rekey_with_a_public_value_off_the_curve_changes_nothing() -> None:
    _network, one, other = joined()
    _spi_in, spi_out = spis(other, one)
    assert spi_out is not None
    before = dict(other.sas)
    forged = EspInfo(0, spi_out, 4711), Seq(0), DiffieHellman(7, b"\1" * 64)
    other.receive(*sealed(one, other, PacketType.UPDATE, *forged))
    assert other.dropped() == {"dh_invalid": 1}
    assert other.sas == before
    assert rekey(other, one), "the failed one is forgotten"


@pytest.mark.parametrize("new_spi", [0, 1, 255])
def test_reserved_spis_are_not_used(new_spi: int) -> None:
    network, one, other = joined()
    _spi_in, spi_out = spis(other, one)
    assert spi_out is not None
    before = dict(other.sas)
    other.receive(*sealed(one, other, PacketType.UPDATE, EspInfo(300, spi_out, new_spi), Seq(0)))
    assert other.sas == before
    assert len(updates(network)) == 1
    assert updates(network)[0].get(EspInfo) is None, "acknowledged, that is all"


def test_replayed_rekey_does_nothing_twice() -> None:
    network, one, other = joined()
    rekey(one, other)
    network.run(1.0)
    request = network.sent(PacketType.UPDATE)[0]
    before = dict(other.sas), spis(other, one)
    for _ in range(5):
        network.deliver(request)
    network.run(1.0)
    assert (other.sas, spis(other, one)) == before
    assert other.dropped()["replayed"] == 5


def test_peer_that_rekeys_all_the_time_does_not_fill_the_tables() -> None:
    network, one, other = joined(replace(FAST, update_rate=1000.0, sa_hold_s=1000.0))
    for _ in range(40):
        rekey(one, other)
        network.run(0.05)
    assert len(one.saw(Rekeyed)) == 40
    assert len(one.sas) <= 10
    assert len(other.sas) <= 10
