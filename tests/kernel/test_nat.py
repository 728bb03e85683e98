"""A NAT between two kernels moves: data follows.

a eth0 192.168.7.1 --- 192.168.7.254 in [r] out 10.77.0.254:20001 --- 10.77.0.2 eth0 b
"""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import ip_address, ip_interface

import pytest

from hipgw.lab.hosts import LabHost
from hipgw.lab.network import Lab
from hipgw.lab.topology import Host, Link, Port, Topology
from tests.kernel.daemons import PATIENCE_S, carried, current, our_states, ping, rekey, until
from tests.netns.streams import CountingStream


def port(host: str, interface: str, address: str) -> Port:
    return Port(host, interface, (ip_interface(address),))


TOPOLOGY = Topology(
    "nat",
    (
        Host("a", routers=(ip_address("192.168.7.254"),)),
        Host("r", speaks_hip=False),
        Host("b"),
    ),
    (
        Link((port("a", "eth0", "192.168.7.1/24"), port("r", "in", "192.168.7.254/24"))),
        Link((port("r", "out", "10.77.0.254/24"), port("b", "eth0", "10.77.0.2/24"))),
    ),
)


def translate(router: LabHost, udp_port: int) -> None:
    """UDP leaves from this port of the router; earlier translations go with its address."""
    nat = ["iptables-legacy", "-w", "-t", "nat"]
    router.run([*nat, "-F", "POSTROUTING"])
    rule = "-A POSTROUTING -o out -p udp -j MASQUERADE --to-ports"
    router.run([*nat, *rule.split(), f"{udp_port}-{udp_port}"])


def outside(router: LabHost, old: str, new: str) -> None:
    router.run(["ip", "address", "delete", f"{old}/24", "dev", "out"])
    router.run(["ip", "address", "add", f"{new}/24", "dev", "out"])


@pytest.fixture
def lab() -> Iterator[Lab]:
    settings = {"datapath": {"backend": "kernel"}}
    with Lab(TOPOLOGY, name="nat", encapsulation="udp", settings=settings) as made:
        router = made.host("r")
        router.run(["sysctl", "-q", "-w", "net.ipv4.ip_forward=1"])
        translate(router, 20001)
        made.start_daemons(patience_s=PATIENCE_S)
        yield made


def test_data_follows_a_nat_to_another_port_and_another_address(lab: Lab) -> None:
    a, router, b = lab.host("a"), lab.host("r"), lab.host("b")
    ping(a, b)
    carried("kernel", a, b)
    assert current(b)["out"]["peer_port"] == 20001
    spis = {entry["spi"] for entry in current(b).values()}
    with CountingStream(a, b) as stream:
        stream.wait_for_more()
        for old, new, udp_port in (
            ("10.77.0.254", "10.77.0.254", 20002),
            ("10.77.0.254", "10.77.0.253", 20003),
        ):
            translate(router, udp_port)
            outside(router, old, new)
            until(
                lambda new=new, udp_port=udp_port: (
                    (current(b)["out"]["peer_address"], current(b)["out"]["peer_port"])
                    == (new, udp_port)
                ),
                lambda: b.log_tail(20),
            )
            stream.wait_for_more()
            [sent] = [one.state for one in our_states(b) if one.state.source == b.addresses[0]]
            assert sent.encapsulation is not None
            assert (str(sent.destination), sent.encapsulation.destination_port) == (new, udp_port)
    assert spis == {entry["spi"] for entry in current(b).values()}
    assert "NAT moved" in b.files.log.read_text()
    # The inbound state still knows the address before: said again and again, and ignored.
    ping(a, b, 20)
    assert b.files.log.read_text().count("NAT moved") < 10
    rekey(b, a)
    ping(a, b)
    carried("kernel", a, b)
