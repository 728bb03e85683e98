"""What the tests of hostile packets share: a pair of hosts, and ways to tamper between them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from hipgw.proto import EndpointConfig, NotifyReceived
from hipgw.values import (
    DhGroup,
)
from hipgw.wire import (
    Encrypted,
    HipMac,
    HipSignature,
    PacketType,
    Parameter,
)
from tests.engine.forge import (
    checksummed,
    named,
    without,
)
from tests.engine.network import (
    Datagram,
    Network,
    Node,
)

FAST = EndpointConfig(dh_groups=(DhGroup.NIST_P256,))
Change = Callable[[Datagram], Datagram]


def pair(
    config: EndpointConfig = FAST, other: EndpointConfig | None = None
) -> tuple[Network, Node, Node]:
    network = Network()
    return network, network.node(config=config), network.node(config=other or config)


def only(kind: PacketType, change: Change) -> Callable[[Datagram], list[Datagram]]:
    """A wire that changes every packet of one type."""
    return lambda datagram: [change(datagram) if datagram.kind is kind else datagram]


def notified(node: Node) -> list[int]:
    return [event.notify_type for event in node.saw(NotifyReceived)]


def capture_i2(network: Network, one: Node, other: Node) -> Datagram:
    """An I2 of `one` that has not arrived."""
    network.wire = lambda datagram: [] if datagram.kind is PacketType.I2 else [datagram]
    one.want(other)
    network.run(0.1)
    network.wire = lambda datagram: [datagram]
    return network.sent(PacketType.I2)[0]


def rebuilt_i2(one: Node, i2: Datagram, *instead: Parameter) -> Datagram:
    """The same I2 with something else for ENCRYPTED, MAC and signature of its sender right."""
    assert one.keying is not None
    dialect = one.dialect
    packet = dialect.parse(i2.payload)
    parameters = without(HipMac)(tuple(without(Encrypted)(packet.parameters)))
    parameters = tuple(without(HipSignature)(tuple(parameters)))
    octets = dialect.build(PacketType.I2, packet.sender, packet.receiver, (*parameters, *instead))
    octets = dialect.with_mac(octets, one.keying.protection, one.keying.hip.mac_out)
    octets = dialect.with_signature(octets, named(one.identities[0], dialect))
    return replace(i2, payload=checksummed(octets, i2.path))
