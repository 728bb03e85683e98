"""Several identities on one host, anonymous ones, and peers found by address alone.

hipgw-NAME-a hip0 | eth0 ------ eth0 | hip0 hipgw-NAME-b
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from hipgw.errors import HostError
from hipgw.lab.capture import read_pcap
from hipgw.lab.hosts import LabHost
from hipgw.lab.network import Lab
from hipgw.wire import PacketType, R1Counter, parse_packet
from tests.netns.seen import said

pytestmark = pytest.mark.netns

PATIENCE_S = 60.0
ETHERNET_AND_IPV4_OCTETS = 14 + 20


def until(question: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not question():
        assert time.monotonic() < deadline, f"not within {PATIENCE_S} s: {what}"
        time.sleep(0.02)


@contextlib.contextmanager
def pair(name: str, **texts: str) -> Iterator[tuple[LabHost, LabHost]]:
    """Two hosts; `a` and `b` are more text for their configuration files."""
    with Lab.pair(name=f"identities-{name}-{os.getpid()}") as lab:
        for host, text in texts.items():
            config = lab.host(host).files.config
            config.write_text(f"{config.read_text()}\n{text}")
        lab.start_daemons()
        yield lab.host("a"), lab.host("b")


def ping(host: LabHost, target: object, *options: str) -> None:
    host.run(["ping", "-n", "-c", "1", "-W", "30", *options, str(target)])


def hipgw(host: LabHost, *words: str) -> dict[str, Any]:
    said = host.run(["hipgw", *words, "--json"]).stdout
    answer: dict[str, Any] = json.loads(said)
    return answer


def refused(host: LabHost, *words: str) -> str:
    """The complaint of a command that fails."""
    with pytest.raises(HostError) as caught:
        host.run(["hipgw", *words])
    return str(caught.value)


def identities(host: LabHost) -> dict[str, dict[str, Any]]:
    return {entry["name"]: entry for entry in host.ask("identities")["identities"]}


def addresses(host: LabHost) -> set[str]:
    text = host.run(["ip", "-brief", "address", "show", "dev", "hip0"]).stdout
    return {word.partition("/")[0] for word in text.split()[2:]}


def locals_of(host: LabHost) -> set[str]:
    """HITs of this host with an ESTABLISHED association."""
    return {
        entry["local_hit"]
        for entry in host.ask("associations")["associations"]
        if entry["state"] == "ESTABLISHED"
    }


def restart(host: LabHost) -> None:
    daemon = host.daemon
    assert daemon is not None
    os.kill(daemon.pid, signal.SIGTERM)
    (process,) = [each for each in host._started if each.pid == daemon.pid]
    process.wait(PATIENCE_S)
    host.start_daemon()

    def answers() -> bool:
        with contextlib.suppress(HostError):
            return bool(host.ask("ping", timeout_s=1.0)["pong"])
        return False

    until(answers, f"daemon of {host.name} ready: {host.log_tail()}")


TWO = """
[[host_identity]]
name = "work"
kind = "ed25519"
domain_identifier = "work.example.org"

[[host_identity]]
name = "ghost"
anonymous = true
"""


def test_the_source_that_an_application_binds_to_decides_who_speaks() -> None:
    """Row F110: `ping -I HIT2 HIT_B`; the same by LSI, and by `hipgw connect --from`."""
    with pair("source", a=TWO) as (a, b):
        mine = identities(a)
        assert list(mine) == ["ecdsa-p256", "work", "ghost"]
        hits = {name: entry["hit"] for name, entry in mine.items()}
        assert addresses(a) == {*hits.values(), *(entry["lsi"] for entry in mine.values())}
        ping(a, b.hit)
        assert locals_of(a) == {hits["ecdsa-p256"]}
        ping(a, b.hit, "-I", hits["work"])
        assert locals_of(a) == {hits["ecdsa-p256"], hits["work"]}
        ping(a, b.lsi, "-I", mine["ghost"]["lsi"])
        assert locals_of(a) == set(hits.values())
        theirs = {entry["hit"]: entry for entry in b.ask("associations")["associations"]}
        assert theirs[hits["work"]]["hostname"] == "work.example.org"
        assert theirs[hits["ghost"]]["hostname"] is None
        assert {hit for hit, entry in theirs.items() if entry["anonymous"]} == {hits["ghost"]}
        # And back: each HIT of a is a peer of b of its own.
        for hit in hits.values():
            ping(b, hit)
        a.run(["hipgw", "close", "--all"])
        until(lambda: not locals_of(a), "all closed")
        answer = hipgw(a, "connect", "b", "--from", "work")
        assert answer["peer"]["local_hit"] == hits["work"]
        assert "no identity of this host is called 'wrok'" in refused(
            a, "connect", "b", "--from", "wrok"
        )
        status = a.run(["hipgw", "status"]).stdout
        assert f"hit: {hits['ghost']} (ghost, ecdsa-p256, anonymous)" in status
        assert "calls itself: work.example.org" in b.run(["hipgw", "status"]).stdout


def test_a_peer_may_have_an_identity_of_ours_for_itself() -> None:
    with pair("peer", a=TWO) as (a, b):
        config = a.files.config
        text = config.read_text()
        config.write_text(re.sub(r'(\[\[peer\]\]\nname = "b"\n)', r'\1identity = "work"\n', text))
        daemon = a.daemon
        assert daemon is not None
        os.kill(daemon.pid, signal.SIGHUP)
        mine = identities(a)

        def source() -> str:
            said = a.run(["ip", "-json", "-6", "route", "get", str(b.hit)]).stdout
            return str(json.loads(said)[0]["prefsrc"])

        until(lambda: source() == mine["work"]["hit"], "the route to b")
        ping(a, b.hit)
        ping(a, b.lsi)
        assert locals_of(a) == {mine["work"]["hit"]}
        assert hipgw(a, "connect", "b")["peer"]["local_hit"] == mine["work"]["hit"]
        config.write_text(text)
        os.kill(daemon.pid, signal.SIGHUP)
        until(lambda: source() == mine["ecdsa-p256"]["hit"], "the route to b is as before")


def test_identities_come_and_go_while_the_daemon_runs() -> None:
    with pair("runtime") as (a, b):
        made = hipgw(a, "identity", "new", "second", "--algorithm", "ecdsa-p384")["identity"]
        assert made["file"] == str(a.files.keys / "second.pem")
        assert made["hit"] in addresses(a)
        ping(a, b.hit, "-I", made["hit"])
        hipgw(b, "close", "--all")
        b.run(["hipgw", "hipconf", "add", "map", made["hit"], str(a.addresses[0])])
        ping(b, made["hit"])  # and as Responder
        assert hipgw(a, "identity", "remove", "second") == {"removed": [made["hit"]]}
        until(lambda: made["hit"] not in addresses(a), "its address is gone")
        assert set(identities(a)) == {"ecdsa-p256"}
        assert a.run(["hipgw", "hipconf", "daemon", "add", "hi", "default"]).returncode == 0
        assert identities(a)["second"]["hit"] == made["hit"]
        assert "it stays" in refused(a, "identity", "remove", "ecdsa-p256")
        said = a.run(["hipgw", "hipconf", "new", "hi", "anon", "ecdsa", "third", "384"])
        assert said.returncode == 0
        assert "Anonymous ECDSA" in a.run(["hipgw", "hipconf", "get", "hi", "all"]).stdout
        assert a.run(["hipgw", "hipconf", "del", "hi", "all"]).stdout == "All HIs deleted.\n"
        until(lambda: len(addresses(a)) == 2, "one HIT, one LSI")


def test_anonymous_identities_are_made_rotated_and_never_written() -> None:
    with pair("anonymous") as (a, b):
        answer = hipgw(a, "connect", "b", "--anonymous")
        ghost = identities(a)["anonymous"]
        assert answer["peer"]["local_hit"] == ghost["hit"]
        assert (ghost["kind"], ghost["file"]) == ("anonymous", None)
        assert [path.name for path in a.files.keys.iterdir()] == ["ecdsa-p256.pem"]
        ping(a, b.hit, "-I", ghost["hit"])
        rotated = hipgw(a, "identity", "rotate", "anonymous")
        assert rotated["was"] == ghost["hit"]
        assert rotated["identity"]["hit"] != ghost["hit"]
        ping(a, b.hit, "-I", ghost["hit"])  # its association goes on
        again = hipgw(a, "connect", "b", "--anonymous")
        assert again["peer"]["local_hit"] == rotated["identity"]["hit"]
        for entry in a.ask("associations")["associations"]:
            assert entry["state"] == "ESTABLISHED"
        a.run(["hipgw", "close", "--all"])
        until(lambda: ghost["hit"] not in addresses(a), "the old one is gone")
        # What b keeps on disk names none of them.
        restart(b)
        kept = "".join(path.read_text() for path in b.files.state.iterdir())
        assert ghost["hit"] not in kept
        assert rotated["identity"]["hit"] not in kept


def test_a_host_may_refuse_anonymous_peers() -> None:
    with pair("refuse", b="[hip]\naccept_anonymous = false") as (a, b):
        complaint = refused(a, "connect", "b", "--anonymous", "--wait", "1")
        assert "after 1 seconds" in complaint

        def refusals() -> int:
            drops = {drop["reason"]: int(drop["count"]) for drop in b.ask("drops")["drops"]}
            return drops["anonymous"]

        until(lambda: refusals() >= 1, "b counts it")
        assert hipgw(a, "connect", "b")["peer"]["state"] == "ESTABLISHED"


ASK = "[opportunistic]\ninitiate = true\n"
ANSWER = "[opportunistic]\nanswer = true\n"


def nobody_known(host: LabHost) -> None:
    """Take the peers out of a configuration."""
    text = host.files.config.read_text()
    host.files.config.write_text(text[: text.index("[[peer]]")] + ASK)


def test_a_peer_is_found_by_its_address_and_pinned(tmp_path: Path) -> None:
    with Lab.pair(name=f"identities-opp-{os.getpid()}") as lab:
        a, b = lab.host("a"), lab.host("b")
        nobody_known(a)
        b.files.config.write_text(f"{b.files.config.read_text()}\n{ANSWER}")
        lab.start_daemons()
        address = str(b.addresses[0])
        file = tmp_path / "hip.pcap"
        with b.capture(file):
            answer = hipgw(a, "connect", "--opportunistic", address)
            until(lambda: len(said(file)) >= 4, "four packets")
        assert [one.packet_type for one in said(file)][:4] == [
            PacketType.I1,
            PacketType.R1,
            PacketType.I2,
            PacketType.R2,
        ]
        assert answer["peer"]["hit"] == str(b.hit)
        assert (answer["address"], answer["pinned"], answer["new_pin"]) == (address, True, True)
        ping(a, b.hit)
        (pin,) = hipgw(a, "pins", "list")["pins"]
        assert (pin["address"], pin["hit"]) == (address, str(b.hit))
        # Over a restart: the same host is welcome, and its HIT is known to be there.
        restart(a)
        ping(a, b.hit)
        assert hipgw(a, "connect", "--opportunistic", address)["new_pin"] is False
        # Somebody else at that address is not.
        hipgw(a, "close", "--all")
        (b.files.keys / "ecdsa-p256.pem").unlink()
        restart(b)
        (new,) = identities(b).values()
        assert new["hit"] != str(b.hit)
        complaint = refused(a, "connect", "--opportunistic", address)
        assert f"{address} now answers as {new['hit']}, and not as {b.hit}" in complaint
        assert f"hipgw pins remove {address}" in complaint
        assert a.ask("associations")["associations"] == []
        assert hipgw(a, "pins", "remove", address)["removed"][0]["hit"] == str(b.hit)
        answer = hipgw(a, "connect", "--opportunistic", address)
        assert (answer["peer"]["hit"], answer["new_pin"]) == (new["hit"], True)


def test_opportunistic_mode_is_off_until_it_is_turned_on() -> None:
    with pair("off") as (a, b):
        address = str(b.addresses[0])
        complaint = refused(a, "connect", "--opportunistic", address)
        assert "set [opportunistic] initiate = true" in complaint
        a.run(["hipgw", "hipconf", "daemon", "set", "opp", "normal"])
        complaint = refused(a, "connect", "--opportunistic", address, "--wait", "1")
        assert "the peer needs [opportunistic] answer = true" in complaint
        b.run(["hipgw", "hipconf", "daemon", "opportunistic", "accept"])
        assert hipgw(a, "connect", "--opportunistic", address)["peer"]["hit"] == str(b.hit)
        b.run(["hipgw", "hipconf", "daemon", "set", "opp", "none"])
        assert b.ask("opportunistic") == {"answer": False, "initiate": False, "pin": True}


def counters(file: Path) -> list[int]:
    """R1 counters of a capture over IPv4, protocol 139; that of an R1 sent again counts once."""
    found = []
    for _, frame in read_pcap(file.read_bytes()):
        octets = frame[ETHERNET_AND_IPV4_OCTETS:]
        if frame[12:14] == b"\x08\x00" and frame[23] == 139 and octets[2] == PacketType.R1:
            found.append(parse_packet(octets).require(R1Counter).counter)
    return [one for one, before in zip(found, [None, *found], strict=False) if one != before]


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
def test_the_r1_counter_never_goes_back(tmp_path: Path, how: signal.Signals) -> None:
    """RFC 7401 section 5.2.3: it is kept over restarts, and rises with each."""
    with pair(f"counter{how}") as (a, b):
        file = tmp_path / "hip.pcap"
        state = b.files.state / "r1_counter.json"
        with b.capture(file, filters="ip proto 139"):
            for round_number in range(2):
                a.ask("connect", target="b")
                a.ask("close", target="all")
                until(lambda n=round_number: len(counters(file)) > n, "an R1")  # type: ignore[misc]
                until(
                    lambda: (
                        state.exists()
                        and json.loads(state.read_text())["r1_counter"] >= counters(file)[-1]
                    ),
                    "the counter is on disk",
                )
                daemon = b.daemon
                assert daemon is not None
                os.kill(daemon.pid, how)
                (process,) = [each for each in b._started if each.pid == daemon.pid]
                process.wait(PATIENCE_S)
                b.start_daemon()
                until(lambda: answers(b), "b is ready")
        seen = counters(file)
        assert len(seen) == 2
        assert seen == sorted(set(seen))


def answers(host: LabHost) -> bool:
    with contextlib.suppress(HostError, subprocess.SubprocessError):
        return bool(host.ask("ping", timeout_s=1.0)["pong"])
    return False
