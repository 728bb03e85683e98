"""The user-space backend over a data path without a network."""

from __future__ import annotations

import dataclasses
import socket
import threading
from collections.abc import Iterator
from ipaddress import IPv4Address, IPv6Address

import pytest

from hipgw._fastpath.worker import DataPath
from hipgw.dataplane.interface import Backend
from hipgw.dataplane.user import UserBackend
from hipgw.errors import LocalProtocolError
from hipgw.values import (
    ESP_SHAPES,
    Direction,
    Encapsulation,
    EspSuite,
    Hit,
    Lsi,
    Path,
    SecurityAssociation,
    Spi,
)

LOCAL, PEER, OTHER = (Hit.parse(f"2001:21::{n}") for n in (1, 2, 3))
SECRET = bytes(range(100, 120))
OUT = SecurityAssociation(
    direction=Direction.OUT,
    spi=Spi(0x1234),
    suite=EspSuite.AES_GCM_16,
    encryption_key=SECRET,
    authentication_key=b"",
    local_hit=LOCAL,
    peer_hit=PEER,
    path=Path(IPv4Address("192.0.2.1"), IPv4Address("192.0.2.2"), Encapsulation.UDP, 10500, 10500),
    local_lsi=Lsi.parse("1.0.0.1"),
    peer_lsi=Lsi.parse("1.0.0.2"),
)
IN = dataclasses.replace(OUT, direction=Direction.IN, spi=Spi(0x4321), local_lsi=None)


@pytest.fixture
def backend() -> Iterator[UserBackend]:
    application, tun = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with application, tun:
        made = UserBackend(DataPath(tun_fd=tun.fileno()))
        yield made
        made.close()


def test_it_is_a_backend(backend: UserBackend) -> None:
    as_backend: Backend = backend
    assert as_backend.statistics() == []


def test_installed_sas_have_statistics_until_removed(backend: UserBackend) -> None:
    backend.install(IN)
    backend.install(OUT)
    rows = {row.direction: row for row in backend.statistics()}
    assert rows.keys() == {Direction.IN, Direction.OUT}
    assert rows[Direction.OUT].spi == OUT.spi
    assert (rows[Direction.OUT].local_hit, rows[Direction.OUT].peer_hit) == (LOCAL, PEER)
    assert rows[Direction.IN].last_used_s is None
    assert (
        backend.datapath.tables.out_spi_by_lsi(bytes([1, 0, 0, 1]), bytes([1, 0, 0, 2])) == OUT.spi
    )
    assert backend.remove(Direction.IN, IN.spi)
    assert backend.remove(Direction.OUT, OUT.spi)
    assert not backend.remove(Direction.OUT, OUT.spi)
    assert backend.statistics() == []


def test_one_row_is_the_same_as_among_all(backend: UserBackend) -> None:
    backend.install(IN)
    backend.install(OUT)
    rows = {row.direction: row for row in backend.statistics()}
    for sa in (IN, OUT):
        assert backend.statistics_of(sa.direction, sa.spi, LOCAL, PEER) == rows[sa.direction]
        assert backend.statistics_of(sa.direction, Spi(sa.spi + 1), LOCAL, PEER) is None
    assert backend.statistics_of(Direction.OUT, OUT.spi, LOCAL, OTHER) is None
    assert backend.statistics(1e-9) == [], "neither has carried anything"
    assert len(backend.statistics(-1.0)) == 2


def test_the_hits_tell_outbound_sas_of_equal_spi_apart(backend: UserBackend) -> None:
    backend.install(OUT)
    backend.install(dataclasses.replace(OUT, peer_hit=OTHER, peer_lsi=None))
    assert backend.remove(Direction.OUT, OUT.spi, LOCAL, PEER)
    assert [row.peer_hit for row in backend.statistics()] == [OTHER]
    assert not backend.remove(Direction.OUT, OUT.spi, LOCAL, PEER)


@pytest.mark.parametrize("suite", EspSuite)
def test_every_suite_of_the_registry_is_carried(backend: UserBackend, suite: EspSuite) -> None:
    shape = ESP_SHAPES[suite]
    keys = shape.encryption_key_octets, shape.authentication_key_octets
    sa = dataclasses.replace(
        IN, suite=suite, encryption_key=bytes(keys[0]), authentication_key=bytes(keys[1])
    )
    backend.install(sa)
    backend.install(dataclasses.replace(sa, direction=Direction.OUT))


def test_both_outer_families_and_encapsulations_install(backend: UserBackend) -> None:
    six = Path(IPv6Address("2001:db8::1"), IPv6Address("2001:db8::2"))
    backend.install(dataclasses.replace(OUT, path=six))
    assert [row.spi for row in backend.statistics()] == [OUT.spi]


def test_what_cannot_be_carried_is_refused_without_keys(backend: UserBackend) -> None:
    for wrong in (
        dataclasses.replace(IN, encryption_key=SECRET[:-1]),
        dataclasses.replace(OUT, encryption_key=SECRET[:-1]),
        dataclasses.replace(IN, spi=Spi(7)),
    ):
        with pytest.raises(LocalProtocolError, match="cannot install") as raised:
            backend.install(wrong)
        assert SECRET[:8].hex() not in str(raised.value)
        assert repr(SECRET[:4]) not in str(raised.value)
    assert backend.statistics() == []


def test_workers_start_once_and_end_with_close(backend: UserBackend) -> None:
    assert not backend.is_running
    backend.start()
    assert backend.is_running
    assert {"hipgw-out", "hipgw-in"} <= {thread.name for thread in threading.enumerate()}
    with pytest.raises(LocalProtocolError, match="one start"):
        backend.start()
    backend.install(IN)
    backend.close()
    assert not backend.is_running
    assert not {"hipgw-out", "hipgw-in"} & {thread.name for thread in threading.enumerate()}
    assert backend.statistics() == []
    backend.close()
    with pytest.raises(LocalProtocolError, match="one start"):
        backend.start()
