"""No room: in hip0, in a socket, in the peer's interface.  It is counted, and traffic goes on.

hipgw-NAME-a hip0 | eth0 10.77.0.1 ------ eth0 10.77.0.2 | hip0 hipgw-NAME-b
"""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Iterator

import pytest

from hipgw.lab.hosts import LabHost
from hipgw.lab.network import Lab
from tests.netns.streams import CountingStream, until
from tests.netns.test_daemon import ping
from tests.netns.test_interface_faults import counted

pytestmark = pytest.mark.netns

BLAST = 2000
SLOW = "tbf rate 200kbit burst 10000 limit 10000000"
"""A wire that keeps what waits, so that it fills the sender's socket."""


@contextlib.contextmanager
def pair(name: str, **options: object) -> Iterator[tuple[LabHost, LabHost]]:
    with Lab.pair(name=f"full-{name}-{os.getpid()}", **options) as lab:  # type: ignore[arg-type]
        lab.start_daemons()
        a, b = lab.host("a"), lab.host("b")
        ping(a, b.hit)
        yield a, b


def blast(a: LabHost, b: LabHost) -> None:
    """As many datagrams as a socket gives away at once."""
    with a.call(lambda: socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)) as udp:
        udp.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 8 << 20)
        udp.connect((str(b.hit), 9))
        for _ in range(BLAST):
            with contextlib.suppress(OSError):  # ICMP says that nobody listens
                udp.send(bytes(1000))


def test_a_full_interface() -> None:
    with pair("hip0") as (a, b):
        a.run(["ip", "link", "set", "hip0", "txqueuelen", "1"])

        def is_counted() -> bool:
            blast(a, b)
            return counted(a, "interface_full") > 0

        until(is_counted, "what finds no room in hip0 is counted")
        before = counted(a, "interface_full")
        assert "interface_full" in a.run(["hipgw", "drops"]).stdout
        assert counted(b, "interface_full") == 0
        a.run(["ip", "link", "set", "hip0", "txqueuelen", "1000"])
        ping(a, b.hit)
        assert counted(a, "interface_full") >= before
        with CountingStream(a, b) as stream:
            stream.wait_for_more()


@pytest.mark.parametrize("encapsulation", ["raw", "udp"])
def test_a_full_socket(encapsulation: str) -> None:
    with pair(encapsulation, encapsulation=encapsulation) as (a, b):
        a.run(["tc", "qdisc", "add", "dev", "eth0", "root", *SLOW.split()])

        def is_counted() -> bool:
            blast(a, b)
            return counted(a, "send_full") > 0

        until(is_counted, "what finds no room in the socket is counted")
        a.run(["tc", "qdisc", "delete", "dev", "eth0", "root"])
        until(lambda: answers(a, b), "traffic goes again")
        with CountingStream(a, b) as stream:
            stream.wait_for_more()
        assert counted(a, "send_error") == 0


def answers(a: LabHost, b: LabHost) -> bool:
    command = ["ping", "-n", "-c", "1", "-W", "2", str(b.hit)]
    return a.run(command, check=False).returncode == 0
