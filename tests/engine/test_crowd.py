"""Many associations: the crowd of the benchmark is real, and each of it stays small."""

from __future__ import annotations

import gc
import os
import tracemalloc

from bench.crowd import ONE_GROUP, Crowd, packets_of
from hipgw.crypto import PrivateHostIdentity
from hipgw.proto import Endpoint, InstallSa
from hipgw.proto.effects import Effect

OCTETS_MOST = 4096
"""Of the engine alone, in Python's own memory; 8192 is the bound for a whole daemon."""


def crowd(count: int) -> tuple[Endpoint, Crowd, list[Effect]]:
    endpoint = Endpoint([PrivateHostIdentity.generate("ecdsa-p256")], ONE_GROUP, os.urandom, 0.0)
    for _ in packets_of(endpoint, 0.0):
        raise AssertionError("R1s are made, nothing is sent")
    applied: list[Effect] = []
    made = Crowd(endpoint, 0.0, applied.extend)
    made.grow(count, 0.0)
    return endpoint, made, applied


def test_each_of_the_crowd_is_established_with_keys_of_its_own() -> None:
    endpoint, _, applied = crowd(20)
    assert endpoint.table.by_state() == {"ESTABLISHED": 21}
    installed = [effect.sa for effect in applied if isinstance(effect, InstallSa)]
    assert len(installed) == 42
    assert len({sa.encryption_key for sa in installed}) == 42
    assert len({sa.peer_hit for sa in installed}) == 21
    assert endpoint.next_deadline() is not None


def test_views_come_in_shares() -> None:
    endpoint, _, _ = crowd(10)
    table = endpoint.table
    everyone = [view.peer for view in table.views()]
    assert len(everyone) == len(table) == 11
    assert [view.peer for view in table.views(3, 4)] == everyone[3:7]
    assert table.views(11, 5) == []
    local = endpoint.identities[0]
    view = table.view(local, everyone[5])
    assert view is not None
    assert table.views_of(everyone[5]) == [view]
    assert table.has_peer(everyone[5])
    assert not table.has_peer(local)


def test_an_idle_association_is_small() -> None:
    _, made, applied = crowd(50)
    gc.collect()
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        for _ in range(4):
            made.grow(50, 0.0)
            applied.clear()
        gc.collect()
        after, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert (after - before) / 200 < OCTETS_MOST
