"""The recording backend behaves as the real one, without carrying anything."""

from __future__ import annotations

import dataclasses

from hipgw.dataplane.interface import Backend
from hipgw.dataplane.memory import RecordingBackend
from hipgw.values import Direction, Spi
from tests.unit.dataplane.test_user import IN, LOCAL, OTHER, OUT, PEER


def test_calls_are_recorded_in_order() -> None:
    backend = RecordingBackend()
    as_backend: Backend = backend
    as_backend.install(IN)
    assert as_backend.remove(Direction.IN, IN.spi)
    assert not as_backend.remove(Direction.IN, IN.spi)
    as_backend.close()
    assert backend.calls == [
        ("install", IN),
        ("remove", Direction.IN, IN.spi),
        ("remove", Direction.IN, IN.spi),
        ("close",),
    ]
    assert backend.is_closed


def test_an_outbound_sa_replaces_the_one_of_its_pair() -> None:
    backend = RecordingBackend()
    newer = dataclasses.replace(OUT, spi=Spi(0x9999))
    elsewhere = dataclasses.replace(OUT, peer_hit=OTHER)
    for sa in (IN, OUT, elsewhere, newer):
        backend.install(sa)
    assert backend.installed == [IN, elsewhere, newer]
    assert not backend.remove(Direction.OUT, OUT.spi, LOCAL, PEER)
    assert backend.remove(Direction.OUT, OUT.spi, LOCAL, OTHER)
    assert [row.spi for row in backend.statistics()] == [IN.spi, newer.spi]
    assert all(row.packets == 0 for row in backend.statistics())
