"""Hosts that move while a TCP stream runs over HIP: RFC 8046 and 8047 on the real kernel.

hipgw-NAME-a hip0 | eth0 10.77.0.1 fd00:77::1 ------ eth0 10.77.0.2 fd00:77::2 | hip0 hipgw-NAME-b

multihomed: the same, and a second wire eth1 10.78.0.1 fd00:78::1 ------ eth1 10.78.0.2 fd00:78::2
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from hipgw.lab.hosts import LabHost
from hipgw.lab.network import Lab
from hipgw.lab.topology import multihomed, pair
from hipgw.wire import PacketType
from tests.netns.seen import said
from tests.netns.streams import CountingStream, until

pytestmark = pytest.mark.netns

OLD = {4: "10.77.0.1/24", 6: "fd00:77::1/64"}
NEW = {4: "10.77.0.101/25", 6: "fd00:77::101/64"}
"""Of another prefix length: the kernel takes what is in the same prefix along when one goes."""
KEYED = ("ESTABLISHED", "R2-SENT")
SENT = "User message was sent successfully to the HIP daemon.\n"


@contextlib.contextmanager
def lab_of(name: str, topology: object = None, **options: object) -> Iterator[Lab]:
    """A lab whose daemons run and know their addresses."""
    with Lab(
        topology or pair(),  # type: ignore[arg-type]
        name=f"move-{name}-{os.getpid()}",
        **options,  # type: ignore[arg-type]
    ) as lab:
        lab.start_daemons()
        for host in lab.hosts:
            until(lambda h=host: locators_of(h) != [], f"{host.name} knows its addresses")
        yield lab


def locators_of(host: LabHost) -> list[str]:
    locators: list[str] = host.ask("locators")["locators"]
    return locators


def path_of(host: LabHost) -> tuple[str, str]:
    (entry,) = host.ask("associations")["associations"]
    return entry["local_address"], entry["peer_address"]


def address(host: LabHost, verb: str, text: str) -> None:
    duplicates = ["nodad"] if ":" in text and verb == "add" else []
    host.run(["ip", "address", verb, text, "dev", "eth0", *duplicates])


def assert_never_closed(lab: Lab) -> None:
    for host in lab.hosts:
        assert [entry["state"] for entry in host.ask("peers")["peers"]] == ["ESTABLISHED"]
        assert " closed " not in host.files.log.read_text()


CASES = [
    (way, old, new, "raw")
    for way in ("hard", "soft")
    for old, new in ((4, 4), (4, 6), (6, 6), (6, 4))
]


@pytest.mark.parametrize(
    ("way", "old", "new", "encapsulation"), [*CASES, ("hard", 4, 6, "udp"), ("soft", 6, 4, "udp")]
)
def test_a_stream_survives_a_handover(way: str, old: int, new: int, encapsulation: str) -> None:
    settings = {"hip": {"announce_locators": True}}
    name = f"{way}{old}{new}{encapsulation}"
    with lab_of(name, family=old, encapsulation=encapsulation, settings=settings) as lab:
        a, b = lab.host("a"), lab.host("b")
        going, coming = OLD[old], NEW[new]
        # So that there is nowhere else to go: a has one address at a time, b one of each family.
        address(a, "delete", OLD[10 - old])
        with CountingStream(a, b) as stream:
            stream.wait_for_more()
            assert path_of(a)[0] == going.partition("/")[0]
            if way == "soft":
                address(a, "add", coming)
                stream.wait_for_more()
                address(a, "delete", going)
            else:
                address(a, "delete", going)
                address(a, "add", coming)
            here = coming.partition("/")[0]
            until(lambda: path_of(a)[0] == here, lambda: f"a moved: {path_of(a)}")
            until(lambda: path_of(b)[1] == here, lambda: f"b follows: {path_of(b)}")
            stream.wait_for_more()
        assert_never_closed(lab)


def test_a_route_that_comes_late_is_found() -> None:
    with lab_of("late") as lab:
        a, b = lab.host("a"), lab.host("b")
        b.run(["ip", "route", "add", "10.79.0.5/32", "dev", "eth0"])
        with CountingStream(a, b) as stream:
            stream.wait_for_more()
            address(a, "delete", OLD[4])
            address(a, "add", "10.79.0.5/32")
            until(lambda: path_of(a)[0] == "10.79.0.5", "a has taken the new address")
            a.run(["ip", "route", "add", "10.77.0.0/24", "dev", "eth0"])
            until(lambda: path_of(b)[1] == "10.79.0.5", "b follows")
            stream.wait_for_more()
        assert_never_closed(lab)


def test_a_host_without_an_address_comes_back() -> None:
    with lab_of("gone", family=4) as lab:
        a, b = lab.host("a"), lab.host("b")
        address(a, "delete", OLD[6])
        with CountingStream(a, b) as stream:
            stream.wait_for_more()
            address(a, "delete", OLD[4])
            until(lambda: locators_of(a) == [], "a has no address")
            address(a, "add", NEW[4])
            until(lambda: path_of(b)[1] == "10.77.0.101", "b follows")
            stream.wait_for_more()
        assert_never_closed(lab)


@pytest.mark.parametrize("cut", ["link", "silent"])
def test_another_uplink_takes_over(cut: str) -> None:
    settings = {"hip": {"announce_locators": True, "heartbeat_s": 1}}
    with lab_of(f"uplink-{cut}", multihomed(underlay="v4"), settings=settings) as lab:
        a, b = lab.host("a"), lab.host("b")
        with CountingStream(a, b) as stream:
            stream.wait_for_more()
            first = path_of(a)
            cut_off = "eth0" if first[0].startswith("10.77.") else "eth1"
            if cut == "link":
                a.run(["ip", "link", "set", cut_off, "down"])
            else:
                # Frames go to nobody's address, and neither host is told.
                for host, peer in ((a, first[1]), (b, first[0])):
                    nobody = f"ip neighbour replace {peer} lladdr 02:00:00:00:00:99 nud permanent"
                    host.run([*nobody.split(), "dev", cut_off])
            other = "10.78.0." if cut_off == "eth0" else "10.77.0."

            def is_moved() -> bool:
                return all(side.startswith(other) for host in (a, b) for side in path_of(host))

            until(is_moved, lambda: f"both use the other wire: {path_of(a)} {path_of(b)}")
            stream.wait_for_more()
        assert_never_closed(lab)
        if cut == "silent":
            said = a.run(["hipgw", "hipconf", "get", "ha", "all"]).stdout
            assert " Heartbeat " in said
            assert " packets sent, " in said


def test_both_hosts_move_at_once() -> None:
    settings = {"hip": {"announce_locators": True}}
    with lab_of("both", settings=settings) as lab:
        a, b = lab.host("a"), lab.host("b")
        with CountingStream(a, b) as stream:
            stream.wait_for_more()
            assert path_of(a) == ("10.77.0.1", "10.77.0.2")
            # Each keeps the IPv6 address that the other knows, and gets a new IPv4 one.
            for host, last in ((a, 1), (b, 2)):
                address(host, "delete", f"10.77.0.{last}/24")
                address(host, "add", f"10.77.0.{100 + last}/25")
            until(
                lambda: path_of(a) == path_of(b)[::-1] and "10.77.0.1" not in path_of(a),
                lambda: f"they have found each other: {path_of(a)} {path_of(b)}",
            )
            stream.wait_for_more()
        assert_never_closed(lab)


def test_both_close_at_once_and_begin_anew() -> None:
    with lab_of("close", pair(underlay="v4")) as lab:
        a, b = lab.host("a"), lab.host("b")
        for _ in range(3):
            a.run(["ping", "-n", "-c", "1", "-W", "30", str(b.hit)])
            threads = [
                threading.Thread(target=host.ask, args=("close",), kwargs={"target": "all"})
                for host in (a, b)
            ]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join(10)
            until(
                lambda: all(
                    peer["state"] not in KEYED
                    for host in (a, b)
                    for peer in host.ask("peers")["peers"]
                ),
                "neither has an association",
            )
            assert all(host.ask("sas")["sas"] == [] for host in (a, b))
        a.run(["ping", "-n", "-c", "1", "-W", "30", str(b.hit)])


def test_an_uplink_with_keys_of_its_own_takes_over() -> None:
    """RFC 8047 section 5.1: a second pair of SAs, bound to the second address."""
    settings = {"hip": {"announce_locators": True, "heartbeat_s": 1}}
    with lab_of("keys", multihomed(underlay="v4"), settings=settings) as lab:
        a, b = lab.host("a"), lab.host("b")

        def spis(host: LabHost, direction: str) -> set[str]:
            return {sa["spi"] for sa in host.ask("sas")["sas"] if sa["direction"] == direction}

        with CountingStream(a, b) as stream:
            stream.wait_for_more()
            wires = [("10.77.0.1", "eth0"), ("10.78.0.1", "eth1")]
            (_, cut_off), (spare, _) = sorted(wires, key=lambda wire: wire[0] != path_of(a)[0])
            first_out = spis(a, "out")
            a.ask("open_sa_pair", target=str(b.hit), address=spare)
            until(lambda: len(spis(a, "in")) == len(spis(b, "in")) == 2, "two pairs")
            assert spis(a, "out") == first_out
            a.run(["ip", "link", "set", cut_off, "down"])
            until(lambda: path_of(a)[0] == path_of(b)[1] == spare, "both use the other wire")
            until(
                lambda: not spis(a, "out") & first_out and spis(b, "out") <= spis(a, "in"),
                "the second pair carries the data",
            )
            stream.wait_for_more()
        assert_never_closed(lab)
        assert a.ask("associations")["associations"][0]["rekeys"] == 0


def test_addresses_of_other_interfaces_are_not_used() -> None:
    settings = {"network": {"interfaces": ["eth1"]}}
    with lab_of("white", multihomed(underlay="v4"), settings=settings) as lab:
        a, b = lab.host("a"), lab.host("b")
        assert locators_of(a) == ["10.78.0.1"]
        a.run(["ping", "-n", "-c", "1", "-W", "30", str(b.hit)])
        assert path_of(a)[0] == "10.78.0.1"
        assert a.run(["hipgw", "hipconf", "locator", "get"]).stdout == "10.78.0.1\n"


def test_manual_update_announces_our_locators(tmp_path: Path) -> None:
    with lab_of("manual", pair(underlay="v4")) as lab:
        a, b = lab.host("a"), lab.host("b")
        a.run(["ping", "-n", "-c", "1", "-W", "30", str(b.hit)])
        file = tmp_path / "hip.pcap"
        with b.capture(file):
            done = a.run(["hipgw", "hipconf", "daemon", "manual-update", str(b.hit)])
            assert done.stdout == SENT
            until(lambda: len(said(file)) >= 3, "three packets")
        seen = said(file)
        assert [sighting.packet_type for sighting in seen] == [PacketType.UPDATE] * 3
        assert [str(sighting.source)[-1] for sighting in seen] == ["1", "2", "1"]


def test_a_new_address_is_verified_in_three_packets(tmp_path: Path) -> None:
    with lab_of("three", pair(underlay="v4")) as lab:
        a, b = lab.host("a"), lab.host("b")
        a.run(["ping", "-n", "-c", "1", "-W", "30", str(b.hit)])
        file = tmp_path / "hip.pcap"
        with b.capture(file):
            address(a, "delete", OLD[4])
            address(a, "add", NEW[4])
            until(lambda: len(said(file)) >= 3, "three packets")
        seen = said(file)
        assert [sighting.packet_type for sighting in seen] == [PacketType.UPDATE] * 3
        assert [str(sighting.source) for sighting in seen] == [
            "10.77.0.101",
            "10.77.0.2",
            "10.77.0.101",
        ]
