"""ESP of the user-space data path on one side, of Linux on the other: the same on the wire.

application - kernel BEET [a] v0 --- v1 [b] sockets - DataPath - TUN hip0 - application
"""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator
from typing import Any

import pytest

from hipgw._fastpath.worker import DataPath
from hipgw.dataplane.user import UserBackend
from hipgw.drivers.rawip import open_raw
from hipgw.drivers.tun import open_tun
from hipgw.drivers.udp import open_hip_udp
from hipgw.netlink.xfrm import Encapsulation as PortPair
from hipgw.netlink.xfrm.uapi import UDP_ENCAP, UDP_ENCAP_ESPINUDP
from hipgw.values import (
    Direction,
    Encapsulation,
    EspSuite,
    Path,
    SecurityAssociation,
    Spi,
)
from tests.kernel.hosts import (
    ADD_DUMMY,
    HITS,
    LSIS,
    PORT,
    SPIS,
    Host,
    Keys,
    clear,
    hip0_lines,
    install,
    transfer,
    until,
)
from tests.kernel.wire import Wire

Hosts = tuple[Host, Host]
Mixed = tuple[Host, Host, UserBackend]
MTU = 1400


@pytest.fixture(scope="module")
def mixed(wired: Hosts) -> Iterator[Mixed]:
    """Host b gets a TUN in place of its dummy, and a data path behind it."""
    a, b = wired
    b.ip("link", "delete", "hip0")
    with contextlib.ExitStack() as stack:
        stack.callback(b.ip_batch, ADD_DUMMY, *hip0_lines(1))
        tun = b.call(lambda: open_tun("hip0", mtu=MTU))
        stack.callback(tun.close)
        four, six = b.call(lambda: open_hip_udp(PORT))
        assert six is not None
        raws = [b.call(lambda family=family: open_raw(50, family)) for family in (4, 6)]
        for opened in (four, six, *raws):
            stack.callback(opened.close)
        path = DataPath(
            tun_fd=tun.fd,
            udp4_fd=four.fileno(),
            udp6_fd=six.fileno(),
            raw4_fd=raws[0].fileno(),
            raw6_fd=raws[1].fileno(),
        )
        b.ip_batch(*hip0_lines(1, MTU))
        a.ip_batch(*hip0_lines(0, MTU)[-2:])  # segments must fit the TUN of b
        stack.callback(a.ip_batch, *hip0_lines(0)[-2:])
        stack.callback(clear, wired)
        backend = UserBackend(path)
        stack.callback(backend.close)
        backend.start()
        yield a, b, backend


def install_user(mixed: Mixed, keys: Keys, *, outer: int = 4, ports: int = 0) -> None:
    """B's halves of what `install` gives to a."""
    a, b, backend = mixed
    for row in backend.statistics():
        backend.remove(row.direction, row.spi, row.local_hit, row.peer_hit)
    kind = Encapsulation.UDP if ports else Encapsulation.RAW
    path = Path(b.outer(outer), a.outer(outer), kind, ports, ports)
    common: dict[str, Any] = {
        "suite": keys.suite, "local_hit": HITS[1], "peer_hit": HITS[0], "path": path,
        "local_lsi": LSIS[1], "peer_lsi": LSIS[0],
    }  # fmt: skip
    for direction, number in ((Direction.IN, 0), (Direction.OUT, 1)):
        encryption, authentication = keys.pairs[number]
        backend.install(
            SecurityAssociation(
                direction=direction, spi=Spi(SPIS[number]), encryption_key=encryption,
                authentication_key=authentication, **common,
            )
        )  # fmt: skip


def refused(backend: UserBackend) -> list[int]:
    names = "icv_wrong", "esp_replayed", "length_wrong", "inner_malformed"
    return [backend.datapath.counters()[name] for name in names]


def cross(mixed: Mixed, *, outer: int = 4, inner: int = 6, what: str = "esp") -> None:
    a, b, backend = mixed
    before = refused(backend)
    with Wire(a, b) as wire:
        assert a.ping(b.inner(inner), 3) == 3
        assert b.ping(a.inner(inner), 3, 1100) == 3
        transfer(a, b, inner, lambda port: backend.datapath.set_port_family(6, port, inner))
        transfer(b, a, inner)
        assert wire.kinds() == {(outer, what)}

    def counted() -> list[int]:
        """Out of a, into b, out of b, into a; the last answers of TCP may still be under way."""
        out, back = a.state(b.outer(outer), SPIS[0]), a.state(a.outer(outer), SPIS[1])
        rows = {row.direction: row.packets for row in backend.statistics()}
        return [out.usage.packets, rows[Direction.IN], rows[Direction.OUT], back.usage.packets]

    until(lambda: (seen := counted())[0] == seen[1] and seen[2] == seen[3], "all has arrived")
    assert min(counted()) > 10
    back = a.state(a.outer(outer), SPIS[1])
    assert (back.failures.integrity, back.failures.replay) == (0, 0)
    assert refused(backend) == before


@pytest.mark.parametrize("suite", EspSuite, ids=lambda suite: suite.name)
def test_every_suite_both_ways(mixed: Mixed, suite: EspSuite) -> None:
    a, b, _ = mixed
    keys = Keys.fresh(suite)
    clear((a, b))
    install(a, b, keys)
    install_user(mixed, keys)
    cross(mixed)


@pytest.mark.parametrize("outer", [4, 6])
@pytest.mark.parametrize("ports", [0, PORT], ids=["raw", "udp"])
def test_both_families_raw_and_in_udp(mixed: Mixed, outer: int, ports: int) -> None:
    a, b, _ = mixed
    keys = Keys.fresh(EspSuite.AES_GCM_16)
    clear((a, b))
    with a.socket(outer, socket.SOCK_DGRAM) as port:
        port.bind(("", PORT))
        port.setsockopt(socket.IPPROTO_UDP, UDP_ENCAP, UDP_ENCAP_ESPINUDP)
        pair = PortPair(ports, ports) if ports else None
        install(a, b, keys, outer=outer, encapsulation=pair)
        install_user(mixed, keys, outer=outer, ports=ports)
        cross(mixed, outer=outer, what="udp" if ports else "esp")


def test_lsis_are_translated_in_user_space_only(mixed: Mixed) -> None:
    """Between LSIs Linux leaves the checksums of TCP and UDP as they are, over the LSIs.

    HIP has them over the HITs, since LSIs are each host's own; so the kernel's SAs are for HITs.
    ICMP has no pseudo header in IPv4 and crosses, which shows that the rest is right.
    """
    a, b, _ = mixed
    keys = Keys.fresh(EspSuite.AES_GCM_16)
    clear((a, b))
    install(a, b, keys, inner=4)
    install_user(mixed, keys)
    with b.socket(4, socket.SOCK_DGRAM) as server, a.socket(4, socket.SOCK_DGRAM) as client:
        server.bind((str(b.inner(4)), 0))
        server.settimeout(1.0)
        mixed[2].datapath.set_port_family(17, server.getsockname()[1], 4)
        client.sendto(b"over LSIs", server.getsockname()[:2])
        assert a.ping(b.inner(4), 2) == 2
        with pytest.raises(TimeoutError):
            server.recv(100)
