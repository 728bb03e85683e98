"""What the kernel does not take is carried by user space, and said; what others have stays theirs.

hipgw-NAME-a hip0 | eth0 10.77.0.1 ------ eth0 10.77.0.2 | hip0 hipgw-NAME-b
"""

from __future__ import annotations

import contextlib
import signal
import socket
import sys
from collections.abc import Iterator
from ipaddress import IPv6Address
from pathlib import Path

import pytest

from hipgw.dataplane.kernel_pairs import OWNERSHIP
from hipgw.lab.hosts import LabHost
from hipgw.lab.network import Lab
from hipgw.netlink.xfrm import XfrmClient
from hipgw.values import HIP_PROTOCOL
from hipgw.wire import EspInfo, parse_packet
from tests.kernel.daemons import (
    OPTIONS,
    PATIENCE_S,
    carried,
    carriers,
    current,
    doctor,
    is_up,
    kill,
    our_policies,
    our_states,
    ping,
    rekey,
    settled,
    spi_of,
    unload,
    until,
)

MODPROBE = Path("/proc/sys/kernel/modprobe")
KEYS = f"enc cbc(aes) 0x{'22' * 16} auth-trunc hmac(sha256) 0x{'11' * 32} 128"
STRANGERS = (
    f"state add src 10.9.0.1 dst 10.9.0.2 proto esp spi 0x9999 reqid 7 mode tunnel {KEYS}",
    f"state add src 10.77.0.1 dst 10.77.0.2 proto esp spi 0xc1234567 reqid 1 mode transport {KEYS}",
    f"state add src 10.77.0.2 dst 10.77.0.1 proto esp spi 0xc7654321 reqid 1 mode transport {KEYS}",
    (
        "policy add src 10.9.1.0/24 dst 10.9.2.0/24 dir out "
        "tmpl src 10.9.0.1 dst 10.9.0.2 proto esp reqid 7 mode tunnel"
    ),
    (
        "policy add src 10.9.2.0/24 dst 10.9.1.0/24 dir fwd "
        "tmpl src 10.9.0.2 dst 10.9.0.1 proto esp reqid 7 mode tunnel"
    ),
    (
        "policy add src 10.77.0.1 dst 10.77.0.2 proto tcp dport 9 dir out "
        "tmpl proto esp reqid 1 mode transport"
    ),
    "policy add src 2001:db8::/32 dst ::/0 dir in action block",
)
"""Tunnels and transport as strongSwan makes them, one between the same hosts."""


def strangers(host: LabHost) -> list[object]:
    """Everything in the kernel of a host that is not ours, with its keys and numbers."""

    def read() -> list[object]:
        with XfrmClient() as client:
            reports = [one for one in client.states() if not OWNERSHIP.has_state(one.state)]
            policies = [one for one in client.policies() if not OWNERSHIP.has_policy(one)]
        return [*(one.state for one in reports if one.state.spi), *policies]

    return host.call(read)


@contextlib.contextmanager
def no_modules() -> Iterator[None]:
    """The kernel loads none any more."""
    loader = MODPROBE.read_text()
    MODPROBE.write_text("/bin/false\n")
    try:
        yield
    finally:
        MODPROBE.write_text(loader)


def restart(host: LabHost, number: signal.Signals) -> None:
    kill(host, number)
    until(lambda: host.daemon is None, "it has ended")
    host.reap()
    host.start_daemon()
    until(lambda: is_up(host), host.log_tail)


def test_strangers_are_left_alone_from_start_to_stop() -> None:
    with Lab.pair(name="strange", settings=OPTIONS) as lab:
        a, b = lab.host("a"), lab.host("b")
        for host in (a, b):
            for line in STRANGERS:
                host.run(["ip", "xfrm", *line.split()])
        before = strangers(a), strangers(b)
        assert list(map(len, before)) == [len(STRANGERS)] * 2

        def check() -> None:
            assert (strangers(a), strangers(b)) == before

        lab.start_daemons(patience_s=PATIENCE_S)
        ping(a, b, 3)
        carried("kernel", a, b)
        check()
        for carrier in ("user", "kernel"):
            rekey(a, b, "--to", carrier)
        check()
        a.run(["ip", "address", "add", "10.77.0.101/25", "dev", "eth0"])
        a.run(["ip", "address", "delete", "10.77.0.1/24", "dev", "eth0"])
        until(lambda: current(b)["out"]["peer_address"] == "10.77.0.101", "a has moved")
        check()
        left = {one.state.spi for one in our_states(a)}
        restart(a, signal.SIGKILL)
        assert left
        assert not left & {one.state.spi for one in our_states(a)}
        check()
        ping(a, b, 3)
        check()
        for host in (a, b):
            kill(host, signal.SIGTERM)
            until(lambda host=host: host.daemon is None, "it has ended")
            assert our_states(host) == []
            assert our_policies(host) == []
        check()


def test_an_algorithm_that_the_kernel_has_lost() -> None:
    settings = {**OPTIONS, "hip": {"esp_suites": ["aes-128-ccm-8"]}}
    with Lab.pair(name="lost", settings=settings) as lab:
        a, b = lab.host("a"), lab.host("b")
        unload(b, "ccm")
        with no_modules():
            lab.start_daemons(patience_s=PATIENCE_S)
            ping(a, b)
            carried("user", a, b)
            assert "ccm" in str(current(a)["out"]["carrier_reason"])
            assert "ccm" in doctor(a, "kernel BEET")["detail"]


def test_no_permission() -> None:
    with Lab.pair(name="forbidden", settings=OPTIONS) as lab:
        a, b = lab.host("a"), lab.host("b")
        b.start_daemon()
        command = [sys.executable, "-m", "tests.kernel.without_xfrm", "run", "-c"]
        with a.files.log.open("ab") as log:
            a.popen([*command, str(a.files.config)], stdout=log, role="daemon")
        for host in (a, b):
            until(lambda host=host: is_up(host), a.log_tail)
        ping(a, b)
        carried("user", a)
        carried("kernel", b)
        said = doctor(a, "kernel BEET")
        assert said["outcome"] == "warn"
        assert "permi" in said["detail"]
        assert "permi" in str(current(a)["out"]["carrier_reason"])


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    with Lab.pair(name="refused", settings=OPTIONS) as made:
        made.start_daemons(patience_s=PATIENCE_S)
        yield made


@pytest.fixture
def hosts(lab: Lab) -> tuple[LabHost, LabHost]:
    """Both with an association in the kernel."""
    a, b = lab.host("a"), lab.host("b")
    ping(a, b)
    for host, peer in ((a, b), (b, a)):
        if carriers(host) != {"kernel"}:
            rekey(host, peer, "--to", "kernel")
    carried("kernel", a, b)
    settled(a, b)
    return a, b


def between(a: LabHost, b: LabHost, direction: str) -> list[str]:
    """Words that name the policy for a's packets to b, or for those that come from there."""
    ends = [str(IPv6Address(host.hit.packed)) for host in (a, b)]
    source, destination = ends if direction == "out" else ends[::-1]
    return ["src", f"{source}/128", "dst", f"{destination}/128", "dir", direction]


def new_spi(ear: socket.socket) -> int:
    """What the next UPDATE with an ESP_INFO offers."""
    while True:
        octets = ear.recv(65535)
        offered = parse_packet(octets[(octets[0] & 15) * 4 :]).get(EspInfo)
        if offered is not None:
            return int(offered.new_spi)


def test_an_spi_that_somebody_else_has(hosts: tuple[LabHost, LabHost]) -> None:
    """It has read the UPDATE of b while a stands still."""
    a, b = hosts
    settled(a, b)
    kill(a, signal.SIGSTOP)
    try:
        with a.call(lambda: socket.socket(socket.AF_INET, socket.SOCK_RAW, HIP_PROTOCOL)) as ear:
            ear.settimeout(PATIENCE_S)
            asking = b.popen(["hipgw", "rekey", str(a.hit), "--wait", "60"])
            spi = new_spi(ear)
        words = f"src 10.77.0.1 dst 10.77.0.2 proto esp spi {spi:#x} reqid 7 mode tunnel {KEYS}"
        a.run(["ip", "xfrm", "state", "add", *words.split()])
    finally:
        kill(a, signal.SIGCONT)
    asking.communicate()
    until(lambda: spi_of(a, "out") == spi, a.log_tail)
    assert current(a)["out"]["carrier"] == "user"
    assert "another program has one with this SPI" in str(current(a)["out"]["carrier_reason"])
    said = doctor(a, "kernel BEET")
    assert said["outcome"] == "warn"
    assert "another program" in said["detail"]
    ping(a, b, 3)
    ping(b, a, 3)
    rekey(b, a)
    carried("kernel", a)
    assert doctor(a, "kernel BEET")["outcome"] == "ok"
    a.run(["ip", "xfrm", "state", "delete", *words.split()[:6], "spi", f"{spi:#x}"])


@pytest.mark.parametrize("direction", ["out", "in"])
def test_a_policy_that_somebody_else_puts_in_the_place_of_ours(
    hosts: tuple[LabHost, LabHost], direction: str
) -> None:
    a, b = hosts
    name = between(a, b, direction)
    lines = f"policy delete {' '.join(name)}\npolicy add {' '.join(name)} action allow\n"
    kill(a, signal.SIGSTOP)  # or it would put its own back in time
    try:
        a.run(["ip", "-batch", "-"], stdin=lines.replace("policy", "xfrm policy"))
    finally:
        kill(a, signal.SIGCONT)
    theirs = strangers(a)
    try:
        until(
            lambda: is_refused(current(a).get(direction, {})),
            lambda: a.log_tail(20),
        )
        ping(a, b, 3)
        ping(b, a, 3)
        rekey(a, b)
        ping(a, b, 3)
        assert strangers(a) == theirs
        assert "another program" in doctor(a, "kernel BEET")["detail"]
    finally:
        a.run(["ip", "xfrm", "policy", "delete", *name])
    rekey(a, b)
    carried("kernel", a)


def is_refused(sa: dict[str, object]) -> bool:
    """Whether user space carries it, and says why."""
    reason = str(sa.get("carrier_reason"))
    return sa.get("carrier") == "user" and "another program has one" in reason
