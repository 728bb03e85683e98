"""The first packet: kept, sent once the association is there, or counted."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from ipaddress import IPv4Address
from pathlib import Path

import pytest

from hipgw._fastpath import punts
from hipgw.daemon.housekeeping import Housekeeping
from hipgw.daemon.ports import KNOWN_S
from hipgw.errors import LocalProtocolError
from hipgw.proto import Compute, JobId, LimitPath, MoveSa, State
from hipgw.values import Direction, Hit, Lsi, SecurityAssociation, Spi
from hipgw.values import Path as IPath
from tests.unit.daemon.gateways import (
    MemoryGateway,
    ipv4_packet,
    ipv6_packet,
    settled,
    tell,
)


def states(gateway: MemoryGateway) -> list[State]:
    return [view.state for view in gateway.engine.endpoint.associations()]


def test_the_first_packets_go_out_in_order_once_there_is_an_association(tmp_path: Path) -> None:
    async def story(a: MemoryGateway, b: MemoryGateway) -> None:
        packets = [ipv6_packet(a.hit, b.hit, bytes([n])) for n in range(3)]
        for packet in packets:
            a.traffic.on_no_sa(packet, ())
        assert a.data_path.injected == []
        assert len(a.queue) == 3
        await settled(a, b)
        assert states(a) == [State.ESTABLISHED]
        assert states(b) == [State.R2_SENT]
        assert a.data_path.injected == packets
        assert len(a.queue) == 0
        assert {sa.peer_lsi for sa in a.backend.sas.values()} == {Lsi.parse("1.0.0.5")}
        assert {sa.local_lsi for sa in a.backend.sas.values()} == {a.lsi}

    tell(tmp_path, story)


def test_a_packet_to_an_lsi_finds_its_hit(tmp_path: Path) -> None:
    async def story(a: MemoryGateway, b: MemoryGateway) -> None:
        lsi = a.lsis.hit_to_lsi(b.hit)
        packet = ipv4_packet(a.lsi, lsi, b"x")
        a.traffic.on_no_sa(packet, ())
        await settled(a, b)
        assert a.data_path.injected == [packet]

    tell(tmp_path, story)


def test_a_packet_punted_just_before_the_sa_came_is_not_lost(tmp_path: Path) -> None:
    async def story(a: MemoryGateway, b: MemoryGateway) -> None:
        a.traffic.on_no_sa(ipv6_packet(a.hit, b.hit, b"1"), ())
        await settled(a, b)
        late = ipv6_packet(a.hit, b.hit, b"2")
        a.traffic.on_no_sa(late, ())
        assert a.data_path.injected[-1] == late
        other_lsi = ipv4_packet(a.lsi, Lsi.parse("1.0.0.77"), b"3")
        a.resolver.add_mapping(b.hit, None, Lsi.parse("1.0.0.77"))
        a.lsis.apply_fixed()
        a.traffic.on_no_sa(other_lsi, ())
        assert a.traffic.counters["lsi_changed"] == 1
        assert other_lsi not in a.data_path.injected

    tell(tmp_path, story)


def test_packets_nobody_can_send_are_counted_by_reason(tmp_path: Path) -> None:
    async def story(a: MemoryGateway, b: MemoryGateway) -> None:
        stranger = Hit.parse("2001:22::77")
        for packet, reason in [
            (b"", "punt_malformed"),
            (b"\x45" + bytes(10), "punt_malformed"),
            (ipv6_packet(a.hit, stranger, b""), "no_locator"),
            (ipv6_packet(stranger, b.hit, b""), "foreign_source"),
            (ipv4_packet(a.lsi, Lsi.parse("1.2.3.4"), b""), "lsi_unknown"),
            (ipv4_packet(Lsi.parse("1.2.3.4"), a.lsi, b""), "foreign_source"),
        ]:
            before = a.traffic.counters[reason]
            a.traffic.on_no_sa(packet, ())
            assert a.traffic.counters[reason] == before + 1, reason
        assert len(a.queue) == 0
        assert states(a) == []

    tell(tmp_path, story)


def test_why_a_peer_cannot_be_reached_is_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def story(a: MemoryGateway, b: MemoryGateway) -> None:
        stranger = Hit.parse("2001:22::77")
        a.traffic.on_no_sa(ipv6_packet(a.hit, stranger, b""), ())
        a.resolver.add_mapping(stranger, IPv4Address("255.255.255.255"))
        a.traffic.on_no_sa(ipv6_packet(a.hit, stranger, b""), ())
        assert a.traffic.counters["no_locator"] == 2

    tell(tmp_path, story)
    assert [record.getMessage() for record in caplog.records] == [
        "no way to reach peer: give it an address in the configuration or a hosts file",
        "no way to reach peer: this host has no route to it",
    ]
    assert caplog.records[1].__dict__["addresses"] == "255.255.255.255"


def test_a_hit_that_the_engine_refuses_is_counted(tmp_path: Path) -> None:
    async def story(a: MemoryGateway, b: MemoryGateway) -> None:
        unknown_suite = Hit.parse("2001:2f::1")
        a.resolver.add_mapping(unknown_suite, a.resolver.locators_of(b.hit)[0])
        a.traffic.on_no_sa(ipv6_packet(a.hit, unknown_suite, b""), ())
        assert a.traffic.counters["refused_at_once"] == 1
        assert len(a.queue) == 0

    tell(tmp_path, story)


def test_packets_of_a_failed_exchange_are_dropped_and_counted(tmp_path: Path) -> None:
    async def story(a: MemoryGateway, b: MemoryGateway) -> None:
        a.sockets.is_cut = True
        for n in range(4):
            a.traffic.on_no_sa(ipv6_packet(a.hit, b.hit, bytes([n])), ())
        a.gateway.close_one(a.hit, b.hit)
        assert len(a.queue) == 0
        assert a.queue.counters["queue_failed"] == 4
        assert a.data_path.injected == []

    tell(tmp_path, story)


def test_packets_do_not_wait_for_ever(tmp_path: Path) -> None:
    async def story(a: MemoryGateway, b: MemoryGateway) -> None:
        a.sockets.is_cut = True
        a.traffic.on_no_sa(ipv6_packet(a.hit, b.hit, b""), ())
        now = a.engine.now()
        a.traffic.forget_old(now + 29)
        assert len(a.queue) == 1
        a.traffic.forget_old(now + 31)
        assert len(a.queue) == 0

    tell(tmp_path, story)


def test_no_room_towards_the_data_path_is_counted(tmp_path: Path) -> None:
    async def story(a: MemoryGateway, b: MemoryGateway) -> None:
        a.data_path.has_room = False
        a.traffic.on_no_sa(ipv6_packet(a.hit, b.hit, b""), ())
        await settled(a, b)
        assert a.traffic.counters["inject_full"] == 1

    tell(tmp_path, story)


def test_a_hosts_file_that_appears_makes_a_peer_reachable(tmp_path: Path) -> None:
    async def story(a: MemoryGateway, b: MemoryGateway) -> None:
        newcomer = Hit.parse("2001:22::77")
        packet = ipv4_packet(a.lsi, Lsi.parse("1.0.0.42"), b"")
        a.traffic.on_no_sa(packet, ())
        assert a.traffic.counters["lsi_unknown"] == 1
        (tmp_path / "b" / "hosts").write_text(f"{newcomer} new\n1.0.0.42 new\n198.51.100.1 new\n")
        a.traffic.on_no_sa(packet, ())
        assert a.traffic.counters["lsi_unknown"] == 1
        assert a.lsis.lsi_to_hit(Lsi.parse("1.0.0.42")) == newcomer

    tell(tmp_path, story)


def test_the_first_esp_ends_r2_sent(tmp_path: Path) -> None:
    async def story(a: MemoryGateway, b: MemoryGateway) -> None:
        a.traffic.on_no_sa(ipv6_packet(a.hit, b.hit, b""), ())
        await settled(a, b)
        (spi,) = [spi for direction, spi in b.backend.sas if direction is Direction.IN]
        b.traffic.on_first_esp(b"", (spi,))
        assert states(b) == [State.ESTABLISHED]

    tell(tmp_path, story)


def test_traffic_keeps_an_association_from_being_idle(tmp_path: Path) -> None:
    async def story(a: MemoryGateway, b: MemoryGateway) -> None:
        a.traffic.on_no_sa(ipv6_packet(a.hit, b.hit, b""), ())
        await settled(a, b)

        class Keeper:
            def look(self) -> None:
                pass

        house = Housekeeping(a.gateway, Keeper())  # type: ignore[arg-type]
        (before,) = a.engine.endpoint.associations()
        house.look_for_traffic()
        assert a.engine.endpoint.associations()[0].last_heard_s == before.last_heard_s
        a.backend.packets = 5
        await asyncio.sleep(0.01)
        house.look_for_traffic()
        assert a.engine.endpoint.associations()[0].last_heard_s > before.last_heard_s

    tell(tmp_path, story)


def test_a_close_removes_the_sas_on_both_sides(tmp_path: Path) -> None:
    async def story(a: MemoryGateway, b: MemoryGateway) -> None:
        a.traffic.on_no_sa(ipv6_packet(a.hit, b.hit, b""), ())
        await settled(a, b)
        assert len(a.backend.sas) == len(b.backend.sas) == 2
        assert a.sas.has_peer(b.hit)
        a.gateway.close_all()
        await settled(a, b)
        assert a.backend.sas == b.backend.sas == {}
        assert not a.sas.has_peer(b.hit)
        assert a.sas.outbound_of(a.hit, b.hit) is None

    tell(tmp_path, story)


def test_esp_that_nobody_can_open_calls_the_peer_at_that_address(tmp_path: Path) -> None:
    async def story(a: MemoryGateway, b: MemoryGateway) -> None:
        stranger = (bytes([192, 0, 2, 77]), 0, 50, 0x1234)
        a.data_path.punts = [(punts.PUNT_STRANGE, b"", stranger)]
        a.traffic.take_punts()
        await settled(a, b)
        assert states(a) == []
        known = (bytes([127, 0, 0, 1]), 0, 50, 0x1234)
        a.data_path.punts = [(punts.PUNT_STRANGE, b"", known)] * 3
        a.traffic.take_punts()
        await settled(a, b)
        assert states(a) == [State.ESTABLISHED]
        assert a.traffic.counters["called_back"] == 1

    tell(tmp_path, story)


def test_both_hosts_begin_at_once(tmp_path: Path) -> None:
    async def story(a: MemoryGateway, b: MemoryGateway) -> None:
        packets = ipv6_packet(a.hit, b.hit, b"1"), ipv6_packet(b.hit, a.hit, b"2")
        a.traffic.on_no_sa(packets[0], ())
        b.traffic.on_no_sa(packets[1], ())
        for _ in range(6000):
            await asyncio.sleep(0.01)
            if a.data_path.injected and b.data_path.injected:
                break
        assert a.data_path.injected == [packets[0]]
        assert b.data_path.injected == [packets[1]]

    tell(tmp_path, story)


def test_a_job_that_fails_is_counted(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async def story(a: MemoryGateway, b: MemoryGateway) -> None:
        class Broken:
            def run(self) -> object:
                raise ZeroDivisionError

        a.engine._apply_one(Compute(JobId(999_999), Broken()))
        await settled(a)
        assert a.engine.counters["job_failed"] == 1

    tell(tmp_path, story)


def test_punts_go_to_their_handlers(tmp_path: Path) -> None:
    async def story(a: MemoryGateway, b: MemoryGateway) -> None:
        packet = ipv6_packet(b.hit, a.hit, b"tcp")
        (tmp_path / "b" / "tcp").write_text("head\n 0: 00000000:0050 0:0 0A\n")
        control = (bytes([127, 0, 0, 1]), 10500, bytes(4))
        a.data_path.punts = [
            (punts.PUNT_FAMILY, packet, (7, 6, 80)),
            (punts.PUNT_FAMILY, packet, (7, 6, 81)),
            (punts.PUNT_CONTROL, b"x" * 40, control),
            (punts.PUNT_CONTROL, b"x" * 40, (*control[:2], bytes([127, 0, 0, 1]))),
            (99, b"", ()),
        ]
        a.traffic.take_punts()
        assert a.data_path.delivered == [(packet, 4, 7), (packet, 6, 7)]
        assert a.data_path.families == [(6, 80, 4)]
        assert a.traffic.counters == {"control_unreadable": 1, "punt_unknown": 1}
        assert sum(a.engine.endpoint.counters.values()) == 1
        a.traffic.forget_old(a.engine.now() + 3)
        assert a.data_path.families[1:] == [(6, 80, 4)]  # never unknown in between
        (tmp_path / "b" / "tcp").write_text("head\n")
        await asyncio.sleep(KNOWN_S)
        a.traffic.forget_old(a.engine.now() + 6)
        assert a.data_path.families[2:] == [(6, 80, 0)]
        a.traffic.forget_old(a.engine.now() + 9)
        assert len(a.data_path.families) == 3

    tell(tmp_path, story)


def test_an_sa_at_its_last_numbers_is_replaced_while_the_old_inbound_one_stays(
    tmp_path: Path,
) -> None:
    async def story(a: MemoryGateway, b: MemoryGateway) -> None:
        a.traffic.on_no_sa(ipv6_packet(a.hit, b.hit, b"1"), ())
        await settled(a, b)
        for gateway in (a, b):
            (spi_in,) = (spi for way, spi in gateway.backend.sas if way is Direction.IN)
            gateway.traffic.on_first_esp(b"", (spi_in,))
        old = a.sas.outbound_of(a.hit, b.hit)
        assert old is not None
        inbound = {key for key in a.backend.sas if key[0] is Direction.IN}
        a.traffic.on_expire(a.hit.packed + b.hit.packed, (int(old.spi),))
        await settled(a, b)
        new = a.sas.outbound_of(a.hit, b.hit)
        assert new is not None
        assert new.spi != old.spi
        assert inbound < {key for key in a.backend.sas if key[0] is Direction.IN}
        (view,) = a.engine.endpoint.associations()
        assert (view.state, view.rekeys) == (State.ESTABLISHED, 1)
        assert a.gateway.counters["rekeyed"] == 1


def test_a_moved_sa_keeps_its_keys_and_spi(tmp_path: Path) -> None:
    async def story(a: MemoryGateway, b: MemoryGateway) -> None:
        a.traffic.on_no_sa(ipv6_packet(a.hit, b.hit, b""), ())
        await settled(a, b)
        before = dict(a.backend.sas)
        elsewhere = IPath(IPv4Address("127.0.0.9"), IPv4Address("127.0.0.1"))
        for (direction, spi), sa in before.items():
            move = MoveSa(direction, spi, sa.local_hit, sa.peer_hit, elsewhere)
            assert a.sas.move(move)
            unknown = Spi(spi ^ 1)
            assert not a.sas.move(MoveSa(direction, unknown, sa.local_hit, sa.peer_hit, elsewhere))
            wanted = replace(sa, path=elsewhere) if direction is Direction.OUT else sa
            assert a.backend.sas[direction, spi] == wanted
        assert {record.path for record in a.sas.records()} == {elsewhere}
        assert all(a.sas.is_current(record) for record in a.sas.records())
        assert set(a.backend.sas) == set(before)

    tell(tmp_path, story)


def test_a_limit_reaches_the_data_plane_and_its_end_too(tmp_path: Path) -> None:
    async def story(a: MemoryGateway, b: MemoryGateway) -> None:
        a.traffic.on_no_sa(ipv6_packet(a.hit, b.hit, b""), ())
        await settled(a, b)
        (spi,) = [spi for direction, spi in a.backend.sas if direction is Direction.OUT]
        a.backend.limits.clear()
        for credit in (1200, 0, None):
            a.sas.limit(LimitPath(spi, a.hit, b.hit, credit))
        assert a.backend.limits == [(spi, 1200), (spi, 0), (spi, None)]

    tell(tmp_path, story)


def test_one_effect_that_fails_does_not_cost_the_others_their_turn(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def story(a: MemoryGateway, b: MemoryGateway) -> None:
        install = a.backend.install

        def install_or_fail(sa: SecurityAssociation) -> None:
            install(sa)
            if sa.direction is Direction.IN:
                raise ZeroDivisionError

        monkeypatch.setattr(a.backend, "install", install_or_fail)
        packet = ipv6_packet(a.hit, b.hit, b"1")
        a.traffic.on_no_sa(packet, ())
        await settled(a, b)
        assert a.engine.counters["effect_failed"] == 1
        assert a.data_path.injected == [packet]

    tell(tmp_path, story)


def test_an_sa_that_the_backend_refuses_is_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def story(a: MemoryGateway, b: MemoryGateway) -> None:
        def refuse(sa: SecurityAssociation) -> None:
            raise LocalProtocolError("no room")

        monkeypatch.setattr(a.backend, "install", refuse)
        a.traffic.on_no_sa(ipv6_packet(a.hit, b.hit, b"1"), ())
        await settled(a, b)
        assert a.sas.counters["sa_refused"] == 2
        assert a.data_path.injected == []
        assert a.sas.records() == []

    tell(tmp_path, story)
