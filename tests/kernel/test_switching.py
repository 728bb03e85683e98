"""Keys, sides and addresses change under iperf3: nothing lost, no key and no number used twice.

hipgw-NAME-a hip0 | eth0 10.77.0.1 ------ eth0 10.77.0.2 | hip0 hipgw-NAME-b
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from hipgw.lab.hosts import LabHost
from hipgw.lab.network import Lab
from tests.kernel.daemons import OPTIONS, PATIENCE_S, carried, current, ping, until
from tests.kernel.streams import Iperf, ledger, roomy_sockets, tapped

SECONDS = 4
STEPS = ["user", "kernel", "", "user", "kernel"]
"""Where the next keys belong; empty is where they are."""


@pytest.fixture(autouse=True)
def room() -> Iterator[None]:
    with roomy_sockets():
        yield


def change_keys(host: LabHost, peer: LabHost, carrier: str) -> None:
    wish = {"to": carrier} if carrier else {}
    host.ask("rekey", target=str(peer.hit), wait_s=60.0, timeout_s=90.0, **wish)


def all_arrived(udp: Iperf, tcp: Iperf) -> None:
    end = udp.end()["sum"]
    assert (end["lost_packets"], end["packets"] > 100) == (0, True), end
    end = tcp.end()
    assert end["sum_received"]["bytes"] > 0
    # The receiver has stopped before what was still under way came in.
    assert end["sum_sent"]["bytes"] - end["sum_received"]["bytes"] < 1 << 20


def test_sides_change_under_iperf3(tmp_path: Path) -> None:
    with Lab.pair(name="switch", settings=OPTIONS) as lab:
        lab.start_daemons(patience_s=PATIENCE_S)
        a, b = lab.host("a"), lab.host("b")
        with ledger(a) as book, ledger(b) as other_book, tapped(b, tmp_path / "esp") as tap:
            ping(a, b)
            plan = [(*pair, step) for pair in ((a, b), (b, a)) for step in STEPS]
            left = list(plan)
            while left:  # a busy machine takes more than one pair of streams for them
                udp, tcp = Iperf(a, b, "udp", SECONDS), Iperf(a, b, "tcp", SECONDS)
                while left and udp.is_running and tcp.is_running:
                    change_keys(*left.pop(0))
                all_arrived(udp, tcp)
        for one in (book, other_book):
            one.check()
        assert len(book.keys()) > len(plan)
        for seen in (tap.numbers(), tap.vectors()):
            assert len({key[:2] for key in seen}) >= len(STEPS)
            assert set(seen.values()) == {1}


def move(host: LabHost, old: str, new: str) -> None:
    host.run(["ip", "address", "add", new, "dev", "eth0", *(["nodad"] if ":" in new else [])])
    host.run(["ip", "address", "delete", old, "dev", "eth0"])


def test_a_host_moves_under_iperf3(tmp_path: Path) -> None:
    settings: dict[str, Any] = {**OPTIONS, "hip": {"announce_locators": True}}
    with Lab.pair(name="moves", settings=settings) as lab:
        lab.start_daemons(patience_s=PATIENCE_S)
        a, b = lab.host("a"), lab.host("b")
        for host in (a, b):
            until(lambda host=host: host.ask("locators")["locators"] != [], "addresses known")
        a.run(["ip", "address", "delete", "fd00:77::1/64", "dev", "eth0"])
        ping(a, b)
        with tapped(b, tmp_path / "esp") as tap:
            places = ["10.77.0.1/24", "10.77.0.101/25", "fd00:77::101/64", "10.77.0.1/24"]
            for old, new in itertools.pairwise(places):
                tcp = Iperf(a, b, "tcp", SECONDS)
                before = {way: entry["packets"] for way, entry in current(b).items()}
                move(a, old, new)
                here = new.partition("/")[0]
                until(lambda h=here: current(b)["out"]["peer_address"] == h, f"b follows to {new}")
                until(
                    lambda was=before: all(
                        entry["packets"] >= was[way] for way, entry in current(b).items()
                    ),
                    "counters go on",
                )
                change_keys(b, a, "")
                assert tcp.end()["sum_received"]["bytes"] > 0
            carried("kernel", a, b)
        assert set(tap.numbers().values()) == set(tap.vectors().values()) == {1}
        assert "state is gone" not in a.files.log.read_text() + b.files.log.read_text()
