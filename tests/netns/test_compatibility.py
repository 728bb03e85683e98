"""Two daemons that take each other for a cutehip, and so understand each other.

That shows that configuration, engine and data plane do as the switches say.

a eth0 10.77.0.1 ------ 10.77.0.2 eth0 b
"""

from __future__ import annotations

import os
import re
import socket
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from hipgw.errors import HostError
from hipgw.lab.hosts import LabHost
from hipgw.lab.network import Lab
from hipgw.values.quirks import PRESETS, in_order
from tests.netns import seen
from tests.netns.streams import until

pytestmark = pytest.mark.netns

SUITE = {"hip": {"esp_suites": ["aes-256-cbc-hmac-sha256"], "puzzle_k": 16}}


def switch_on(host: LabHost, compatibility: str) -> None:
    text = host.files.config.read_text()
    text = re.sub(r"(?m)^(hit = .*)$", rf'\1\ncompatibility = "{compatibility}"', text)
    host.files.config.write_text(text)


@contextmanager
def pair(name: str, *switched: str) -> Iterator[Lab]:
    """Those hosts take their peer for a cutehip."""
    with Lab.pair(name=f"{name}-{os.getpid()}", settings=SUITE) as lab:
        for host in lab.hosts:
            if host.name in switched:
                switch_on(host, "cutehip")
        lab.start_daemons()
        yield lab


def listening() -> socket.socket:
    server = socket.socket(socket.AF_INET6, socket.SOCK_STREAM)
    server.settimeout(60)
    server.bind(("::", 0))
    server.listen()
    return server


def carry(a: LabHost, b: LabHost, octets: int = 200_000) -> None:
    """That many octets over TCP from `a` to `b`, in packets as large as they get."""
    with b.call(listening) as server:
        port = server.getsockname()[1]
        with a.call(lambda: socket.create_connection((str(b.hit), port), timeout=60)) as client:
            accepted, _ = server.accept()
            with accepted:
                client.sendall(b"x" * octets)
                client.shutdown(socket.SHUT_WR)
                with accepted.makefile("rb") as stream:
                    assert len(stream.read()) == octets


def hipgw(host: LabHost, *words: str) -> str:
    return host.run(["hipgw", *words, "--socket", str(host.files.socket)]).stdout


def drops(host: LabHost) -> set[str]:
    return {row["reason"] for row in host.ask("drops")["drops"] if row["count"]}


def test_all_habits_of_cutehip_at_once() -> None:
    with pair("habits", "a", "b") as lab:
        a, b = lab.host("a"), lab.host("b")
        a.run(["ping", "-n", "-c", "2", "-i", "0.2", "-W", "30", str(b.hit)])
        carry(a, b)
        for host in (a, b):
            (peer,) = host.ask("status")["peers"]
            assert peer["state"] == "ESTABLISHED"
            assert peer["esp_suite"] == "FULL_AES_256_CBC_HMAC_SHA256"
            assert peer["compatibility"] == [str(quirk) for quirk in in_order(PRESETS["cutehip"])]
        assert seen.drops(a, b) == set()
        hipgw(a, "rekey", str(b.hit))
        carry(b, a)
        said = hipgw(b, "status")
        assert "compatibility: reversed-puzzle-hits, unpadded-dh-secret" in said
        assert "suite: FULL-AES-256-CBC-HMAC-SHA256" in said


def test_one_side_alone_is_refused_by_name() -> None:
    with pair("one-side", "a") as lab:
        a, b = lab.host("a"), lab.host("b")
        with pytest.raises(HostError):
            hipgw(a, "connect", str(b.hit), "--wait", "1")
        until(lambda: drops(b) == {"puzzle_wrong"}, lambda: f"only that: {drops(b)}")
        assert b.ask("associations")["associations"] == []
