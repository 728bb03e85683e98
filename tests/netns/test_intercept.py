"""`intercept = "nfqueue"` with two daemons and the real packet filter.

hipgw-NAME-a OUTPUT > queue 10500 > ESP | eth0 ------ eth0 | ESP > hip0 hipgw-NAME-b
"""

from __future__ import annotations

import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator

import pytest

from hipgw.errors import HostError
from hipgw.lab.hosts import LabHost
from hipgw.lab.network import Lab
from hipgw.lab.readiness import wait_for_words
from tests.netns.streams import make_roomy, until
from tests.netns.test_offload import (
    END,
    UDP_SEGMENT,
    carry_file,
    count_datagrams,
    drops,
    opened,
    say_the_end,
)

pytestmark = pytest.mark.netns

NFQUEUE = {"datapath": {"intercept": "nfqueue"}}
TABLES = ("filter", "mangle", "security")
RESIDENT_OCTETS = 80 * 1024 * 1024
NEVER = {"icv_wrong", "esp_replayed", "too_old", "length_wrong", "inner_malformed", "truncated"}
FOREIGN = (
    "-A OUTPUT -d 2001:20::/28 -j ACCEPT",
    "-N HIPGW-OUT-other",
    "-A HIPGW-OUT-other -d 2001:20::/28 -j NFQUEUE --queue-num 9 --queue-bypass",
    "-I OUTPUT 1 -o other -j HIPGW-OUT-other",
)
"""Somebody's, and those of a hipgw with another interface."""


@contextlib.contextmanager
def pair(name: str, **options: object) -> Iterator[tuple[LabHost, LabHost]]:
    options = {"settings": NFQUEUE, **options}
    with Lab.pair(name=f"intercept-{name}-{os.getpid()}", **options) as lab:  # type: ignore[arg-type]
        lab.start_daemons()
        yield lab.host("a"), lab.host("b")


def intercepted(host: LabHost) -> tuple[dict[str, str], dict[str, int]]:
    """The row of `hipgw doctor`, and its counters."""
    [row] = [check for check in host.ask("doctor")["checks"] if check["name"] == "intercept"]
    found = re.findall(r"(\w+) (\d+)(?:,|$)", row["detail"].rpartition(";")[2])
    return row, {name: int(count) for name, count in found}


def rules(host: LabHost) -> str:
    """All rules of a host, without ours being looked for."""
    return "".join(
        host.run([tool, "-w", "5", "-t", table, "-S"]).stdout
        for tool in ("iptables", "ip6tables")
        for table in TABLES
    )


def add_foreign_rules(host: LabHost) -> None:
    for table in ("filter", "security"):
        for rule in FOREIGN:
            host.run(["ip6tables", "-w", "5", "-t", table, *rule.split()])


def stop(host: LabHost, number: signal.Signals = signal.SIGTERM) -> int:
    daemon = host.daemon
    assert daemon is not None
    os.kill(daemon.pid, number)
    (process,) = [each for each in host._started if each.pid == daemon.pid]
    return process.wait(60)


def start(host: LabHost) -> None:
    host.start_daemon()

    def answers() -> bool:
        with contextlib.suppress(HostError):
            return bool(host.ask("ping", timeout_s=1.0)["pong"])
        return False

    until(answers, host.log_tail)


def ping(host: LabHost, target: object, *options: str) -> None:
    host.run(["ping", "-n", "-c", "1", "-W", "30", *options, str(target)])


@pytest.mark.parametrize("encapsulation", ["udp", "raw"])
def test_everything_crosses_over_hits_and_lsis(encapsulation: str) -> None:
    with pair(encapsulation, encapsulation=encapsulation) as (a, b):
        ping(a, b.hit)  # the very first packet is answered
        ping(b, a.lsi)
        carry_file(a, b, b.hit)
        carry_file(b, a, a.lsi)
        for host in (a, b):
            row, counted = intercepted(host)
            assert row["outcome"] == "ok"
            assert counted["queue_supers"] > 0
            assert counted["queue_left"] == 0
        for in_trains in (False, True):
            count_datagrams(a, b, b.lsi, in_trains=in_trains)
            count_datagrams(b, a, a.hit, in_trains=in_trains)
        # Only the kernel can cut a train of UDP; it goes through the interface, and arrives.
        assert intercepted(a)[1]["queue_left"] > 0
        ping(a, b.hit, "-s", "4000")
        for target in (b.hit, b.lsi):
            serving = b.popen(["iperf3", "-s", "-1", "--forceflush"])
            wait_for_words(serving, "listening", patience_s=60)
            said = a.run(["iperf3", "-c", str(target), "-n", "30M"]).stdout
            assert "receiver" in said
            serving.wait(60)
        for host in (a, b):
            assert not NEVER & drops(host).keys()
            assert host.ask("status")["host"]["rss_octets"] < RESIDENT_OCTETS


def test_jumbo_packets_and_several_queues() -> None:
    settings = {"datapath": {"intercept": "nfqueue", "queue_first": 7, "queue_count": 4}}
    with pair("jumbo", mtu=9000, encapsulation="udp", settings=settings) as (a, b):
        assert "--queue-balance 7:10" in rules(a)
        ping(a, b.hit, "-s", "8000", "-M", "do")
        ping(a, b.lsi, "-s", "8000", "-M", "do")
        carry_file(a, b, b.hit)
        carry_file(b, a, a.lsi)
        count_datagrams(a, b, b.hit, in_trains=False)
        counted = intercepted(a)[1]
        assert counted["queue_supers"] > 0
        assert not NEVER & drops(b).keys()


def queue_packets(host: LabHost) -> None:
    """Let the host's configuration say so."""
    text = host.files.config.read_text()
    host.files.config.write_text(text.replace("[lab]", '[datapath]\nintercept = "nfqueue"\n[lab]'))


def hold_queue(host: LabHost) -> None:
    code = (
        "from hipgw.drivers.nfqueue import open_queue\n"
        "held = open_queue(10500); print('held', flush=True); input()\n"
    )
    holder = host.popen([sys.executable, "-c", code], stdin=subprocess.PIPE)
    wait_for_words(holder, "held", patience_s=60)


def test_rules_go_with_the_daemon_and_no_other() -> None:
    """The other end reads the interface all the time."""
    with pair("stop", encapsulation="udp", settings=None) as (a, b):
        stop(a)
        add_foreign_rules(a)
        before = rules(a)
        queue_packets(a)
        start(a)
        ours = [line for line in rules(a).splitlines() if line not in before.splitlines()]
        assert len(ours) == 4 + 4 + 2 + 4  # chains, jumps; a rule for LSIs, two for HITs, twice
        assert all("HIPGW-" in line and "hip0" in line for line in ours)
        carry_file(a, b, b.hit)
        carry_file(b, a, a.lsi)
        counted = intercepted(a)[1]
        assert counted["queue_rx"] > 0
        assert "tun" in intercepted(b)[0]["detail"]
        # What the operator forbids stays forbidden.
        a.run(["ip6tables", "-I", "OUTPUT", "-o", "hip0", "-j", "DROP"])
        assert a.run(["ping", "-n", "-c", "1", "-W", "1", str(b.hit)], check=False).returncode == 1
        a.run(["ip6tables", "-D", "OUTPUT", "-o", "hip0", "-j", "DROP"])
        # Rules that somebody flushed cost nothing but speed.
        for chain in ("HIPGW-OUT-hip0", "HIPGW-FWD-hip0"):
            a.run(["ip6tables", "-t", "security", "-F", chain])
        counted = intercepted(a)[1]
        ping(a, b.hit)
        assert intercepted(a)[1] == counted
        assert stop(a) == 0
        assert rules(a) == before
        # A queue of another program stops the start, and leaves nothing.
        hold_queue(a)
        said = a.run(["hipgw", "run", "-c", str(a.files.config)], check=False)
        assert said.returncode == 1
        assert "netfilter queue 10500" in said.stderr
        assert "give [datapath] queue_first another number" in said.stderr
        assert rules(a) == before


def test_what_a_killed_daemon_left_goes_with_the_next_start() -> None:
    with pair("kill") as (a, b):
        with_rules = rules(a)
        assert with_rules.count("-j NFQUEUE") == 2 + 4
        add_foreign_rules(a)
        both = rules(a)
        ours = {line for line in with_rules.splitlines() if "HIPGW-" in line}
        ping(a, b.hit)
        stop(a, signal.SIGKILL)
        assert rules(a) == both
        start(a)
        assert "rules of a killed daemon cleared" in a.files.log.read_text()
        assert sorted(rules(a).splitlines()) == sorted(both.splitlines())
        ping(a, b.hit)
        ping(a, b.lsi)
        # The next one has no queues itself.
        stop(a, signal.SIGKILL)
        text = a.files.config.read_text().replace('"nfqueue"', '"tun"')
        a.files.config.write_text(text)
        start(a)
        left = [line for line in both.splitlines() if line not in ours]
        assert sorted(rules(a).splitlines()) == sorted(left)
        ping(a, b.hit)


def test_rules_go_when_privileges_are_gone() -> None:
    settings = {"datapath": {"intercept": "nfqueue"}}
    with pair("user", settings=settings) as (a, b):
        stop(a)
        text = a.files.config.read_text()
        a.files.config.write_text(text.replace("[host]", '[host]\nuser = "nobody"'))
        for path in (a.files.state, *a.files.state.parents):
            if path.is_relative_to("/run/hipgw-lab"):
                path.chmod(0o755)
        start(a)
        ping(a, b.hit)
        assert intercepted(a)[1]["queue_rx"] > 0
        assert stop(a) == 0
        assert "HIPGW" not in rules(a)


def test_trains_and_single_datagrams_of_a_flow_keep_their_order() -> None:
    """Only the kernel can cut a train: it passes on, and nothing behind it may overtake it."""
    with pair("order", encapsulation="udp") as (a, b):
        ping(a, b.hit)
        before = intercepted(a)[1]
        count_mixed(a, b)
        after = intercepted(a)[1]
        assert after["queue_left"] > before["queue_left"]


def count_mixed(a: LabHost, b: LabHost) -> None:
    """Numbered datagrams, alone and in trains by turns."""
    with (
        opened(b, b.hit, socket.SOCK_DGRAM) as server,
        opened(a, b.hit, socket.SOCK_DGRAM) as client,
    ):
        make_roomy(server)
        server.bind(("", 0))
        client.connect((str(b.hit), server.getsockname()[1]))
        client.send(b"hello")
        server.sendto(b"hello", server.recvfrom(16)[1])
        assert client.recv(16) == b"hello"
        payloads = [number.to_bytes(4) * 100 for number in range(20_000)]
        seen: list[int] = []

        def collect() -> None:
            while (got := server.recv(4096)) != END:
                seen.append(int.from_bytes(got[:4]))

        thread = threading.Thread(target=collect)
        thread.start()
        size = [(socket.IPPROTO_UDP, UDP_SEGMENT, (400).to_bytes(2, "little"))]
        for at in range(0, len(payloads), 10):
            client.sendmsg(payloads[at : at + 6], size)
            for payload in payloads[at + 6 : at + 10]:
                client.send(payload)
        say_the_end(client, thread)
    assert len(seen) > len(payloads) // 10
    late = sum(one < other for one, other in zip(seen[1:], seen, strict=False))
    assert late == 0, f"{late} of {len(seen)} came after a later one"
