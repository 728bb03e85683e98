"""The packet that triggers a base exchange: what keeping it costs, and what losing it.

Three ways, one after the other, again and again (`--trials`); with `-s` the figures are printed:

- TUN: as hipgw does it; what is sent to a peer without an SA waits in hip0;
- hold: a policy catches it, ACQUIRE asks for an association, net.core.xfrm_larval_drop is 0;
- drop: the same, and xfrm_larval_drop is 1, the kernel's default.
"""

from __future__ import annotations

import socket
import statistics
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import pytest

from hipgw.dataplane.kernel_pairs import REQIDS, selector_of
from hipgw.lab.hosts import LabHost
from hipgw.lab.network import Lab
from hipgw.netlink.xfrm import PolicyDirection, Template, XfrmClient, XfrmPolicy
from hipgw.values import Direction
from tests.kernel.daemons import OPTIONS, PATIENCE_S, carried, our_policies, our_states, until

LARVAL_DROP: Final = Path("/proc/sys/net/core/xfrm_larval_drop")
LOST_S: Final = 5.0
"""After so long a packet that the kernel drops is given up."""
WAYS: Final = ("TUN", "hold", "drop")
KEPT: Final = ("TUN", "hold")


@pytest.fixture
def lab() -> Iterator[Lab]:
    with Lab.pair(name="trigger", settings=OPTIONS) as made:
        made.start_daemons(patience_s=PATIENCE_S)
        yield made


def prepare(a: LabHost, b: LabHost, way: str, reqid: int) -> None:
    """No association, and what stands in its place.

    The kernel asks once in 30 s for a state of the same request id, so each time has its own.
    """
    a.run(["hipgw", "close", "--all"])
    until(lambda: a.ask("associations")["associations"] == [], "closed")
    for host in (a, b):
        until(lambda host=host: our_states(host) == our_policies(host) == [], "nothing left")
    if way == "TUN":
        return
    source, destination = a.addresses[0], b.addresses[0]
    policy = XfrmPolicy(
        selector_of(Direction.OUT, a.hit, b.hit),
        PolicyDirection.OUT,
        (Template(source, destination, reqid=reqid),),
    )

    def trap() -> None:
        LARVAL_DROP.write_text("1" if way == "drop" else "0")
        with XfrmClient() as client:
            client.add_policy(policy)

    a.call(trap)


def first_datagram(a: LabHost, b: LabHost, way: str) -> float | None:
    """Seconds until the first datagram has arrived; None if it was lost."""
    kind = socket.AF_INET6, socket.SOCK_DGRAM
    with b.call(lambda: socket.socket(*kind)) as server, a.call(lambda: socket.socket(*kind)) as me:
        server.bind((str(b.hit), 0))
        server.settimeout(PATIENCE_S if way in KEPT else LOST_S)
        started_s = time.monotonic()
        me.sendto(b"first", server.getsockname()[:2])
        try:
            assert server.recv(100) == b"first"
        except TimeoutError:
            return None
        return time.monotonic() - started_s


def connection(a: LabHost, b: LabHost, _way: str) -> float | None:
    """Seconds until a TCP connection stands."""
    kind = socket.AF_INET6, socket.SOCK_STREAM
    with b.call(lambda: socket.socket(*kind)) as server, a.call(lambda: socket.socket(*kind)) as me:
        server.bind((str(b.hit), 0))
        server.listen()
        me.settimeout(PATIENCE_S)
        started_s = time.monotonic()
        me.connect(server.getsockname()[:2])
        return time.monotonic() - started_s


KINDS: Final[dict[str, Callable[[LabHost, LabHost, str], float | None]]] = {
    "UDP": first_datagram,
    "TCP": connection,
}


def test_the_first_packet_is_kept(lab: Lab, pytestconfig: pytest.Config) -> None:
    a, b = lab.host("a"), lab.host("b")
    before = a.call(LARVAL_DROP.read_text)
    reqids = reversed(REQIDS)
    taken: defaultdict[tuple[str, str], list[float | None]] = defaultdict(list)
    for _ in range(pytestconfig.getoption("--trials")):
        for kind, attempt in KINDS.items():
            for way in WAYS:
                reqid = next(reqids)
                prepare(a, b, way, reqid)
                taken[kind, way].append(attempt(a, b, way))
                carried("kernel", a)
                if way != "TUN":
                    assert reqid not in {one.templates[0].reqid for one in our_policies(a)}
    a.call(lambda: LARVAL_DROP.write_text(before))
    for (kind, way), seconds in taken.items():
        print(figures(kind, way, seconds))  # noqa: T201 - what it is run for
    for kind in KINDS:
        for way in KEPT:
            assert None not in taken[kind, way], (kind, way)


def figures(kind: str, way: str, seconds: list[float | None]) -> str:
    came = sorted(one for one in seconds if one is not None)
    said = f"{kind} {way}: {len(seconds) - len(came)} of {len(seconds)} lost"
    if came:
        said += f", median {1000 * statistics.median(came):.0f} ms"
        said += f" ({1000 * came[0]:.0f} to {1000 * came[-1]:.0f})"
    return said
