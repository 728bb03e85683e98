"""Sequence numbers of 64 bits by configuration: which security associations get them, and when."""

from __future__ import annotations

from dataclasses import replace

from hipgw.proto import EndpointConfig
from hipgw.values import DhGroup, Direction, Spi
from hipgw.wire import PacketType
from tests.engine.network import Datagram, Network, Node, exchange, low_and_high

FAST = EndpointConfig(dh_groups=(DhGroup.NIST_P256,), rekey_s=0.0)


def pair(*, one_has: bool = True, other_has: bool = True) -> tuple[Network, Node, Node]:
    network, (low, high) = Network(1), low_and_high()
    one = network.node(low, config=told(FAST, high.hit if one_has else None))
    other = network.node(high, config=told(FAST, low.hit if other_has else None))
    return network, one, other


def told(config: EndpointConfig, peer: object) -> EndpointConfig:
    return replace(config, extended_peers=frozenset([] if peer is None else [peer]))


def present(node: Node, peer: Node) -> dict[Direction, bool]:
    """Whether the SAs of now are extended."""
    view = node.view(peer)
    assert view is not None
    spis = {Direction.IN: view.spi_in, Direction.OUT: view.spi_out}
    return {
        direction: node.sas[direction, Spi(spi or 0), peer.hit].is_extended
        for direction, spi in spis.items()
    }


def rekey(network: Network, one: Node, other: Node) -> None:
    assert one.endpoint.rekey_association(other.hit, network.now)
    one.settle()
    network.run(1.0)


BOTH = {Direction.IN: True, Direction.OUT: True}
NEITHER = {Direction.IN: False, Direction.OUT: False}


def test_an_exchange_takes_what_is_configured() -> None:
    _, one, other = pair()
    exchange(one, other)
    assert present(one, other) == present(other, one) == BOTH
    assert one.send_esp(other)
    assert other.send_esp(one)


def test_nobody_else_has_them() -> None:
    _, one, other = pair(one_has=False, other_has=False)
    exchange(one, other)
    assert present(one, other) == present(other, one) == NEITHER
    assert one.send_esp(other)


def test_one_end_alone_understands_nothing() -> None:
    network, one, other = pair(other_has=False)
    one.want(other)
    network.run(0.2)
    assert (present(one, other), present(other, one)) == (BOTH, NEITHER)
    assert not one.send_esp(other)
    assert not other.send_esp(one)


def test_a_reload_holds_from_the_next_keys_on_and_both_ways_back() -> None:
    network, one, other = pair(one_has=False, other_has=False)
    exchange(one, other)
    for wanted in (BOTH, NEITHER):
        before = present(one, other)
        for node, peer in ((one, other), (other, one)):
            config = told(FAST, peer.hit if wanted is BOTH else None)
            node.endpoint.reconfigure(config, network.now)
            node.settle()
        assert present(one, other) == present(other, one) == before
        assert one.send_esp(other)
        rekey(network, one, other)
        assert present(one, other) == present(other, one) == wanted
        assert one.send_esp(other)
        assert other.send_esp(one)


def test_a_reload_in_the_middle_of_an_exchange_splits_no_pair() -> None:
    """The inbound SA is there before the I2 goes, the outbound one with the R2."""
    network, one, other = pair()
    seen = []

    def wire(datagram: Datagram) -> list[Datagram]:
        if datagram.kind is PacketType.R2:
            seen.extend(sa.is_extended for sa in one.sas.values())
            one.endpoint.reconfigure(told(FAST, None), network.now)
        return [datagram]

    network.wire = wire
    one.want(other)
    network.run(1.0)
    assert seen == [True]
    assert present(one, other) == present(other, one) == BOTH
    assert one.send_esp(other)
    rekey(network, one, other)
    assert (present(one, other), present(other, one)) == (NEITHER, BOTH), "one end has to follow"


def test_numbers_that_do_not_run_out_ask_for_no_new_keys() -> None:
    for has, rekeys in ((True, 0), (False, 1)):
        network, one, other = pair(one_has=has, other_has=has)
        one.endpoint.reconfigure(replace(one.endpoint.config, rekey_packets=100), network.now)
        exchange(one, other)
        view = one.view(other)
        assert view is not None
        assert view.spi_out is not None
        hits = {"local": one.hit, "peer": other.hit}
        spi, now = Spi(view.spi_out), network.now
        one.endpoint.sa_usage(spi, 9000, 100, now, direction=Direction.OUT, **hits)
        one.settle()
        network.run(1.0)
        after = one.view(other)
        assert after is not None
        assert after.rekeys == rekeys
