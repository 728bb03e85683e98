"""I1 and UPDATE over all pairs of addresses, paced; the first answer wins."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_address

import pytest

from hipgw.proto import EndpointConfig, HandedOver, State
from hipgw.values import DhGroup, Path
from hipgw.wire import PacketType
from tests.engine.network import Network, Node, assert_joined

pytestmark = pytest.mark.usefixtures("hip_version")

FAST = EndpointConfig(dh_groups=(DhGroup.NIST_P256,), shotgun=True, shotgun_pace_s=0.05)


def pair(
    config: EndpointConfig, mine: tuple[str, ...], theirs: tuple[str, ...]
) -> tuple[Network, Node, Node]:
    network = Network()
    one = network.node(config=config, addresses=mine)
    other = network.node(config=config, addresses=theirs)
    one.tell_addresses()
    other.tell_addresses()
    return network, one, other


def paths(one: Node, *targets: str) -> list[Path]:
    return [
        Path(local, ip_address(target))
        for target in targets
        for local in one.addresses
        if local.version == ip_address(target).version
    ]


def test_i1_reaches_the_one_address_that_works() -> None:
    network, one, other = pair(FAST, ("192.0.2.1",), ("192.0.2.2",))
    one.want(other, *paths(one, "203.0.113.1", "203.0.113.2", "203.0.113.3", "192.0.2.2"))
    network.run(0.1)
    assert len(network.sent(PacketType.I1)) == 3
    network.run(0.2)
    assert one.state(other) is State.ESTABLISHED
    view = one.view(other)
    assert view is not None
    assert str(view.path.peer) == "192.0.2.2"


def test_i1s_are_paced_and_stop_at_the_first_r1() -> None:
    config = replace(FAST, shotgun_pace_s=0.025)  # the R1 comes after 0.02
    network, one, other = pair(config, ("192.0.2.1",), ("192.0.2.2",))
    targets = ["192.0.2.2", *(f"203.0.113.{number}" for number in range(1, 12))]
    started_s = network.now
    one.want(other, *paths(one, *targets))
    assert len(network.sent(PacketType.I1)) == 1
    network.run(2.0)
    assert len(network.sent(PacketType.I1)) == 1, "the R1 was there before the second one"
    assert one.state(other) is State.ESTABLISHED
    assert network.now >= started_s


def test_i1s_go_round_again_when_nobody_answers() -> None:
    network, one, other = pair(replace(FAST, tries=2), ("192.0.2.1",), ("192.0.2.2",))
    one.want(other, *paths(one, *(f"203.0.113.{number}" for number in range(1, 6))))
    assert network.run(30.0, until=lambda: one.state(other) is State.E_FAILED)
    targets = [str(datagram.path.local) for datagram in network.sent(PacketType.I1)]
    assert targets == [f"203.0.113.{number}" for number in range(1, 6)] * 2
    sent = len(network.carried)
    network.run(5.0)
    assert len(network.carried) == sent


def test_shotgun_has_a_limit() -> None:
    network, one, other = pair(replace(FAST, tries=1), ("192.0.2.1",), ("192.0.2.2",))
    one.want(other, *paths(one, *(f"203.0.113.{number}" for number in range(1, 100))))
    network.run(20.0)
    assert len(network.sent(PacketType.I1)) == 16


def test_without_shotgun_three_i1s_at_most() -> None:
    network, one, other = pair(replace(FAST, shotgun=False), ("192.0.2.1",), ("192.0.2.2",))
    one.want(other, *paths(one, *(f"203.0.113.{number}" for number in range(1, 12))))
    network.run(0.4)
    assert len(network.sent(PacketType.I1)) == 3


@pytest.mark.parametrize("shotgun", [True, False])
def test_update_finds_the_pair_that_works(shotgun: bool) -> None:
    """Both have two addresses; after the move only the last pair passes."""
    config = replace(FAST, shotgun=shotgun, announce_locators=True)
    mine, theirs = ("192.0.2.1", "198.51.100.1"), ("192.0.2.2", "198.51.100.2")
    network, one, other = pair(config, mine, theirs)
    network.run(0.1)
    one.want(other)
    network.run(1.0)
    assert one.send_esp(other)
    network.run(1.0)
    network.dead |= {ip_address("192.0.2.2"), ip_address("203.0.113.1")}
    since = len(network.sent(PacketType.UPDATE))
    moved_s = network.now
    one.move("203.0.113.1", "198.51.100.1", preferences=(10, 0))

    def is_found() -> bool:
        view = one.view(other)
        assert view is not None
        return (str(view.path.local), str(view.path.peer)) == ("198.51.100.1", "198.51.100.2")

    assert network.run(5.0, until=is_found)
    if shotgun:
        assert network.now - moved_s < 4 * 0.05 + 0.2
    network.run(5.0)
    assert len(network.sent(PacketType.UPDATE)) - since < 40
    assert one.saw(HandedOver)
    assert one.send_esp(other)
    assert other.send_esp(one)
    assert_joined(one, other)
