"""What routers say of paths: believed about a packet of ours, and cheap about any other."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from ipaddress import IPv4Address
from pathlib import Path

import pytest

from hipgw.daemon.path_mtu import PathMtus
from hipgw.daemon.sa_home import SaRecord
from hipgw.drivers.icmp import TooBig
from hipgw.values import Encapsulation, Spi
from tests.unit.daemon.gateways import MemoryGateway, ipv6_packet, settled, tell

LOOPBACK = IPv4Address("127.0.0.1")


class RememberedMtus:
    """The data path's end."""

    def __init__(self) -> None:
        self.payload_most: dict[tuple[int, bytes, bytes], int] = {}
        self.queue_mtus: list[tuple[int, int]] = []
        self.written: list[bytes] = []

    def set_payload_most(self, spi: int, local_hit: bytes, peer_hit: bytes, octets: int) -> bool:
        self.payload_most[spi, local_hit, peer_hit] = octets
        return True

    def set_queue_mtus(self, hit_octets: int, lsi_octets: int) -> None:
        self.queue_mtus.append((hit_octets, lsi_octets))

    def write_inner(self, packet: bytes) -> bool:
        self.written.append(packet)
        return True


async def joined(a: MemoryGateway, b: MemoryGateway) -> SaRecord:
    """The outbound SA of a to b."""
    a.traffic.on_no_sa(ipv6_packet(a.hit, b.hit, b"first"), ())
    await settled(a, b)
    record = a.sas.outbound_of(a.hit, b.hit)
    assert record is not None
    return record


def about(spi: int) -> TooBig:
    return TooBig(LOOPBACK, LOOPBACK, Encapsulation.RAW, 0, 0, spi, 1400)


def refuse(*_: object) -> list[SaRecord]:
    raise AssertionError("all SAs were looked through")


@pytest.mark.parametrize(
    "forge",
    [
        lambda spi: about(spi + 1),
        lambda spi: replace(about(spi), local=IPv4Address("127.0.0.9")),
        lambda spi: replace(about(spi), encapsulation=Encapsulation.UDP),
    ],
)
def test_a_forged_word_is_not_compared_with_every_sa(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, forge: Callable[[int], TooBig]
) -> None:
    async def story(a: MemoryGateway, b: MemoryGateway) -> None:
        record = await joined(a, b)
        data_path = RememberedMtus()
        mtus = PathMtus(a.gateway, data_path, 9000)
        monkeypatch.setattr(a.sas, "records", refuse)
        assert not mtus.learn(forge(record.spi))
        assert data_path.payload_most == {}

    tell(tmp_path, story)


def test_a_router_that_quotes_a_packet_of_ours_is_believed(tmp_path: Path) -> None:
    async def story(a: MemoryGateway, b: MemoryGateway) -> None:
        record = await joined(a, b)
        data_path = RememberedMtus()
        mtus = PathMtus(a.gateway, data_path, 9000)
        mtus.is_operators = True  # no interface is there to follow
        assert mtus.learn(about(record.spi))
        assert mtus.mtu_to(LOOPBACK) == 1400
        assert set(data_path.payload_most) == {(record.spi, a.hit.packed, b.hit.packed)}

    tell(tmp_path, story)


def test_outbound_sas_are_found_by_their_spi_as_long_as_they_are_there(tmp_path: Path) -> None:
    async def story(a: MemoryGateway, b: MemoryGateway) -> None:
        record = await joined(a, b)
        assert a.sas.outbound_with(record.spi) == [record]
        assert a.sas.outbound_with(Spi(record.spi + 1)) == []
        a.engine.step(lambda now: a.engine.endpoint.rekey_association(b.hit, now))
        await settled(a, b)
        later = a.sas.outbound_of(a.hit, b.hit)
        assert later is not None
        assert later.spi != record.spi
        assert a.sas.outbound_with(later.spi) == [later]
        assert a.sas.outbound_with(record.spi) == []
        a.engine.step(lambda now: a.engine.endpoint.close_association(b.hit, now))
        await settled(a, b)
        assert a.sas.outbound_with(later.spi) == []
        assert len(a.sas) == 0

    tell(tmp_path, story)
