"""A running daemon follows its configuration and its operator.

hipgw-NAME-a hip0 | eth0 ------ eth0 | hip0 hipgw-NAME-b
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import socket
import struct
import time
from collections.abc import Callable, Iterator
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest

from hipgw.lab.hosts import LabHost
from hipgw.lab.network import Lab
from hipgw.wire import DhGroupList, HipPacket, PacketType, emit_packet, with_checksum

pytestmark = pytest.mark.netns

PATIENCE_S = 60.0


@contextlib.contextmanager
def pair(name: str, **options: Any) -> Iterator[tuple[LabHost, LabHost]]:
    with Lab.pair(name=f"reload-{name}-{os.getpid()}", **options) as lab:
        lab.start_daemons()
        yield lab.host("a"), lab.host("b")


def until(question: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not question():
        assert time.monotonic() < deadline, f"not within {PATIENCE_S} s: {what}"
        time.sleep(0.02)


def edit(host: LabHost, section: str, line: str) -> None:
    text = host.files.config.read_text()
    if f"[{section}]" not in text:
        text = text.replace("[control]", f"[{section}]\n\n[control]", 1)
    host.files.config.write_text(text.replace(f"[{section}]", f"[{section}]\n{line}", 1))


def hipconf(host: LabHost, line: str) -> str:
    return host.run(["hipgw", "hipconf", "daemon", *line.split()]).stdout


def settings(host: LabHost) -> dict[str, Any]:
    found: dict[str, Any] = host.ask("status")["hip"]
    return found


def test_reload_and_sighup_act_at_once_and_lose_nothing() -> None:
    with pair("file") as (a, b):
        a.run(["ping", "-n", "-c", "1", "-W", "30", str(b.hit)])
        edit(a, "hip", "heartbeat_s = 3")
        edit(a, "network", "queue_packets = 32")
        said = a.run(["hipgw", "reload"]).stdout
        assert said == "reloaded: hip.heartbeat_s\nneeds a restart: network.queue_packets\n"
        assert "heartbeat 3 s" in a.run(["hipgw", "status"]).stdout
        edit(a, "hip", "shotgun = true")
        assert a.daemon is not None
        os.kill(a.daemon.pid, signal.SIGHUP)
        until(lambda: settings(a)["shotgun"], "SIGHUP taken")
        said = a.run(["hipgw", "reload", "--json"]).stdout
        assert json.loads(said) == {"taken": [], "restart_needed": ["network.queue_packets"]}
        edit(a, "hip", "nonsense = true")
        refused = a.run(["hipgw", "reload"], check=False)
        assert refused.returncode == 1
        assert "nonsense" in refused.stderr
        (association,) = a.ask("associations")["associations"]
        assert (association["state"], association["shotgun"]) == ("ESTABLISHED", True)
        a.run(["ping", "-n", "-c", "1", "-W", "30", str(b.hit)])


def test_the_words_of_hipconf_act_at_once(tmp_path: Path) -> None:
    with pair("words") as (a, b):
        a.run(["ping", "-n", "-c", "1", "-W", "30", str(b.hit)])
        assert hipconf(b, "set puzzle all 7").startswith("Puzzle difficulty is: 7\n")
        hipconf(b, "inc puzzle all")
        assert hipconf(b, "get puzzle all") == "Puzzle difficulty is: 8\n"
        hipconf(a, "heartbeat 1")
        hipconf(a, "shotgun on")
        hipconf(a, "locator on")
        said = a.run(["hipgw", "status"]).stdout
        assert "heartbeat 1 s, locators on, shotgun on" in said
        assert "changed by hand: hip.announce_locators, hip.heartbeat_s, hip.shotgun" in said
        assert "puzzle K 8 (fixed), heartbeat off" in b.run(["hipgw", "status"]).stdout
        with a.capture(tmp_path / "puzzle.pcap", filters="proto 139") as capture:
            a.run(["hipgw", "close", "--all"])
            until(lambda: not a.ask("associations")["associations"], "closed")
            a.run(["ping", "-n", "-c", "1", "-W", "30", str(b.hit)])
        assert puzzle_bits(capture.path.read_bytes()) == 8
        b_gone = b.daemon
        assert b_gone is not None
        os.kill(b_gone.pid, signal.SIGSTOP)
        with contextlib.suppress(Exception):
            a.run(["ping", "-n", "-c", "3", "-i", "0.3", "-W", "1", str(b.hit)], check=False)
        until(
            lambda: a.ask("associations")["associations"][0]["retransmissions"] > 0,
            "the heartbeat asks a peer that is silent",
        )
        os.kill(b_gone.pid, signal.SIGCONT)
        a.run(["hipgw", "reload"])
        assert settings(a)["changed_by_hand"] == []


def test_one_peer_has_puzzles_of_its_own(tmp_path: Path) -> None:
    with pair("puzzle") as (a, b):
        seen = {}
        for value in ("6", "auto"):
            said = hipconf(b, f"set puzzle {a.hit} {value}")
            assert said.endswith("New puzzle difficulty effective immediately\n")
            (shown,) = [json.loads(hipconf(b, f"--json get puzzle {a.hit}"))]
            with a.capture(tmp_path / f"{value}.pcap", filters="proto 139") as capture:
                a.run(["ping", "-n", "-c", "1", "-W", "30", str(b.hit)])
                a.run(["hipgw", "close", "--all"])
                until(lambda: not a.ask("associations")["associations"], "closed")
            seen[value] = puzzle_bits(capture.path.read_bytes()), shown
        assert seen == {
            "6": (6, {"hit": str(a.hit), "k": 6, "own": True}),
            "auto": (0, {"hit": str(a.hit), "k": 0, "own": False}),
        }
        assert hipconf(b, "get puzzle all") == "Puzzle difficulty is: 0\n"


def puzzle_bits(pcap: bytes) -> int:
    """K of the R1 in a capture: PUZZLE is TLV 257."""
    found = re.search(rb"\x01\x01\x00[\x14\x24\x34](.)", pcap, re.S)
    assert found is not None
    return found[1][0]


@pytest.mark.parametrize("family", [4, 6])
def test_an_unknown_version_gets_an_icmp_error(family: int) -> None:
    with pair(f"icmp{family}", family=family) as (a, b):
        here = next(one for one in a.addresses if one.version == family)
        there = next(one for one in b.addresses if one.version == family)
        i1 = bytearray(emit_packet(HipPacket(PacketType.I1, a.hit, b.hit, (DhGroupList((7,)),))))
        i1[3] = 0x31
        packet = with_checksum(bytes(i1), here, there)
        message = a.call(lambda: icmp_answer_to(packet, str(there), family))
        kind, start, header = (12, 20, 20) if family == 4 else (4, 0, 40)
        octets = message[start:]
        assert octets[0] == kind
        pointer = octets[4] if family == 4 else struct.unpack("!I", octets[4:8])[0]
        assert pointer == header + 3
        assert octets[8 + header :][: len(packet)] == packet
        assert ip_address(octets[8 + header - len(here.packed) :][: len(here.packed)]) == there


def icmp_answer_to(packet: bytes, there: str, family: int) -> bytes:
    """Send a HIP packet, wait for the ICMP Parameter Problem about it."""
    if family == 4:
        kinds = socket.AF_INET, socket.IPPROTO_ICMP, 20, 12
    else:
        kinds = socket.AF_INET6, socket.IPPROTO_ICMPV6, 0, 4
    version, protocol, start, wanted = kinds
    with (
        socket.socket(version, socket.SOCK_RAW, protocol) as listener,
        socket.socket(version, socket.SOCK_RAW, 139) as sender,
    ):
        listener.settimeout(PATIENCE_S)
        sender.sendto(packet, (there, 0))
        while True:
            message = listener.recv(4096)
            if message[start] == wanted:
                return message
