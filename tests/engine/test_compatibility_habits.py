"""Habits of foreign hosts that an exchange alone does not show, and what the operator is told."""

from __future__ import annotations

from dataclasses import replace

import pytest

from hipgw.proto import State
from hipgw.values import Direction, Quirk
from hipgw.values.quirks import NO_QUIRKS
from hipgw.wire import EchoRequestSigned, PacketType
from tests.engine.foreign import MAC, SPI, Foreign, K, then, up_to
from tests.engine.network import Network, identity
from tests.engine.test_compatibility import (
    CONFIG,
    KEY,
    SWAPS,
    assert_understood,
    begin,
    meet,
    prepared,
)


@pytest.mark.parametrize("we_call", [True, False])
@pytest.mark.parametrize("habit", sorted(SWAPS))
def test_either_swap_is_not_the_other(habit: Quirk, *, we_call: bool) -> None:
    """The exchange is the same; of UPDATEs, each side's MAC is wrong to the other then."""
    for switches in SWAPS:
        network, node, host = meet(frozenset({habit}), frozenset({switches}), we_call=we_call)
        assert host.established
        host.heartbeat()
        network.run(0.1)
        assert node.dropped() == ({} if switches == habit else {"mac_wrong": 1})


def test_close_has_the_keys_of_the_rfc_after_a_swapped_exchange() -> None:
    only = frozenset({Quirk.SWAPPED_EXCHANGE_MAC_KEYS})
    _, node, host = meet(only, only, we_call=True)
    node.endpoint.close_association(host.hit, node.network.now)
    node.settle()
    node.network.run(0.1)
    (close,) = [octets for octets in host.received if octets[2] & 0x7F == PacketType.CLOSE]
    host.check_mac(close, MAC, up_to(close, MAC), "CLOSE")


def test_so_has_close_ack() -> None:
    only = frozenset({Quirk.SWAPPED_EXCHANGE_MAC_KEYS})
    network, node, host = meet(only, only, we_call=False)
    close = host.packet(PacketType.CLOSE, (EchoRequestSigned(b"echo"),))
    host.send(host.signed(then(close, MAC, host.mac(host.mac_keys[0], close))))
    network.run(0.1)
    assert node.dropped() == {}
    (ack,) = [octets for octets in host.received if octets[2] & 0x7F == PacketType.CLOSE_ACK]
    host.check_mac(ack, MAC, up_to(ack, MAC), "CLOSE_ACK")


@pytest.mark.parametrize("is_on", [True, False])
def test_extra_puzzle_bit(*, is_on: bool) -> None:
    """Their K of 6 is one of 7: half of our solutions have that bit by chance."""
    only = frozenset({Quirk.EXTRA_PUZZLE_BIT})
    answers = set()
    for nonce in range(8):
        network, node, host = prepared(2, only if is_on else NO_QUIRKS)
        host.deviations, host.k, host.nonce = only, K, nonce
        begin(network, node, host, we_call=True)
        answers.add(host.complaint)
    assert answers == ({""} if is_on else {"", "I2: puzzle"})


def test_extra_puzzle_bit_is_not_asked_for() -> None:
    """Of their solutions K bits are enough, as ever."""
    assert_understood(*meet(NO_QUIRKS, frozenset({Quirk.EXTRA_PUZZLE_BIT}), we_call=False))


@pytest.mark.parametrize("is_on", [True, False])
def test_responder_spi(*, is_on: bool) -> None:
    """We receive with the SPI of their R2, or with that of our I2; closing removes it."""
    switches = frozenset({Quirk.RESPONDER_SPI} if is_on else ())
    network, node, host = meet(NO_QUIRKS, switches, we_call=True)
    assert_understood(network, node, host)
    (out,) = [spi for way, spi, _ in node.sas if way is Direction.OUT]
    (into,) = [spi for way, spi, _ in node.sas if way is Direction.IN]
    assert out == SPI
    assert (into == SPI) is is_on
    (view,) = node.endpoint.associations()
    assert view.spi_in == into
    node.endpoint.close_association(host.hit, network.now)
    node.settle()
    assert not node.sas


def test_responder_spi_does_not_take_one_that_is_in_use() -> None:
    """A second peer with the same SPI is refused, and the first one stays as it is."""
    one, other = (Foreign(identity(KEY, number), address=f"198.51.100.{number}")
                  for number in (57, 58))  # fmt: skip
    table = dict.fromkeys((one.hit, other.hit), frozenset({Quirk.RESPONDER_SPI}))
    network = Network()
    config = replace(CONFIG, compatibility=lambda peer: table.get(peer, NO_QUIRKS))
    node = network.node(identity(KEY, 51), config=config)
    for host in (one, other):
        host.attach(node)
        begin(network, node, host, we_call=True)
    assert node.dropped() == {"spi_taken": 1}
    states = {view.peer: view.state for view in node.endpoint.associations()}
    assert states == {one.hit: State.ESTABLISHED, other.hit: State.I2_SENT}
    assert {peer for way, spi, peer in node.sas if (way, spi) == (Direction.IN, SPI)} == {one.hit}


def test_the_latest_drop_says_whose_and_where() -> None:
    _, node, host = meet(frozenset({Quirk.UNORDERED_PARAMETERS}), NO_QUIRKS, we_call=False)
    (dropped,) = node.endpoint.latest_drops.values()
    assert (dropped.sender, dropped.path.peer) == (host.hit, host.path().peer)
    assert dropped.detail.startswith("hip_malformed at octet ")
    _, node, host = meet(frozenset({Quirk.REVERSED_PUZZLE_HITS}), NO_QUIRKS, we_call=False)
    dropped = node.endpoint.latest_drops["puzzle_wrong"]
    assert (dropped.sender, dropped.detail) == (host.hit, "")
    node.receive(b"short", host.path())
    assert node.dropped()["hip_short"] == 1
    assert "hip_short" not in node.endpoint.latest_drops
