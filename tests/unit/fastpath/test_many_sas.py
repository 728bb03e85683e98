"""More SAs than keys fit the workers' room for them: nothing is lost, nothing is left behind."""

from __future__ import annotations

import threading
import time
from typing import Final

import numpy as np
import pytest

from hipgw._fastpath import ipsec_mb
from hipgw._fastpath.contexts import SealContext
from hipgw._fastpath.nodes import Nodes
from hipgw._fastpath.tables import SaTables
from hipgw.perf.sas import (
    LEAST_SPI,
    Packets,
    Population,
    install_pair,
    one_batch,
    peer_hit,
    remove_pair,
    variant,
)
from hipgw.values import EspSuite
from tests.twin.batches import Batch

BATCH: Final = 256
MANY: Final = 3000
"""Well over the slots of either cache."""
VARIANTS: Final = (*ipsec_mb.variants(), "")


@pytest.fixture(params=VARIANTS, ids=lambda name: name or "libcrypto")
def crowd(request: pytest.FixtureRequest) -> Population:
    with variant(request.param):
        return Population(MANY)


def test_keys_that_gave_way_come_back(crowd: Population) -> None:
    """Every SA in turn, three times over: each time its own key and the next number."""
    packets = Packets(64, BATCH)
    for _ in range(3):
        for start in range(0, MANY, BATCH):
            chosen = np.arange(start, start + BATCH) % MANY
            one_batch(crowd.nodes, packets, crowd.peers[chosen])
    assert min(crowd.nodes.keys_made()) > 2 * MANY
    assert max(crowd.nodes.keys_kept()) < MANY // 2
    expected = dict.fromkeys(range(MANY), 3)
    for number in range(BATCH - MANY % BATCH):
        expected[number] += 3  # the last batch of a turn starts from the front again
    rows = crowd.tables.statistics()
    assert len(rows) == 2 * MANY
    assert all(row[4] == row[2] == expected[row[1] - LEAST_SPI] for row in rows)


def test_what_another_kernel_seals_is_the_same(crowd: Population) -> None:
    """A crowded cache against a context that has the key to itself."""
    packets = Packets(100, BATCH)
    packets.lay_out(crowd.peers[1000 : 1000 + BATCH])
    assert crowd.nodes.seal_batch(packets.arena, packets.descriptors) == BATCH
    for at in (0, 1, BATCH - 1):
        alone = SealContext()
        number = 1000 + at
        alone.add(LEAST_SPI + number, EspSuite.AES_GCM_16, number.to_bytes(20, "little"), b"")
        batch = Batch.of([bytes(100)], next_header=17, family=6)
        assert alone.seal_batch(batch.arena, batch.raw) == 1
        assert packets.packet(at) == batch.packet(0)


def test_a_removed_sa_leaves_no_key(crowd: Population) -> None:
    packets = Packets(64, BATCH)
    one_batch(crowd.nodes, packets, crowd.peers[:BATCH])
    assert crowd.nodes.keys_kept() == (BATCH, BATCH)
    for number in range(0, BATCH, 2):
        remove_pair(crowd.tables, number)
    crowd.tables.reclaim()
    assert crowd.nodes.keys_kept() == (BATCH // 2, BATCH // 2)
    for number in range(1, BATCH, 2):
        remove_pair(crowd.tables, number)
    crowd.tables.reclaim()
    assert crowd.nodes.keys_kept() == (0, 0)


def test_a_new_sa_of_an_old_spi_has_its_own_key() -> None:
    tables = SaTables()
    nodes = Nodes(tables)
    packets = Packets(64, 1)
    peers = np.frombuffer(peer_hit(0), np.uint8).reshape(1, 16)
    for _ in range(4):
        install_pair(tables, 0)
        one_batch(nodes, packets, peers)
        remove_pair(tables, 0)
    assert nodes.keys_made() == (4, 4)


def test_a_neighbour_in_the_batch_cannot_open_it(crowd: Population) -> None:
    """The ICV of one SA's packet under another's SPI is wrong, cached or not."""
    packets = Packets(64, BATCH)
    packets.lay_out(crowd.peers[:BATCH])
    assert crowd.nodes.seal_batch(packets.arena, packets.descriptors) == BATCH
    first, second = packets.start(0), packets.start(1)
    packets.arena[first : first + 4] = packets.arena[second : second + 4]
    assert crowd.nodes.open_batch(packets.arena, packets.descriptors) == BATCH - 1
    assert crowd.nodes.open_batch(packets.arena, packets.descriptors) == 0


def test_tables_grow_and_shrink_under_traffic() -> None:
    """Batches go through while 20 000 pairs come and go: those that stay lose nothing."""
    tables = SaTables()
    nodes = Nodes(tables)
    staying = 64
    for number in range(staying):
        install_pair(tables, number)
    peers = np.stack([np.frombuffer(peer_hit(number), np.uint8) for number in range(staying)])
    packets = Packets(64, BATCH)
    ended = threading.Event()
    troubles: list[str] = []
    batches = 0

    def carry() -> None:
        nonlocal batches
        random = np.random.default_rng(2)
        while not ended.is_set():
            try:
                one_batch(nodes, packets, peers[random.integers(0, staying, BATCH)])
            except AssertionError as lost:
                troubles.append(str(lost))
            batches += 1

    def let_traffic_by(number: int) -> None:
        """Now and then a batch goes through before the next change, however busy the machine."""
        before = batches
        while number % 1000 == 0 and batches == before and worker.is_alive():
            time.sleep(0.001)

    worker = threading.Thread(target=carry)
    worker.start()
    for number in range(staying, 20_000):
        install_pair(tables, number)
        let_traffic_by(number)
    for number in range(staying, 20_000):
        remove_pair(tables, number)
        let_traffic_by(number)
    ended.set()
    worker.join()
    assert troubles == []
    assert batches > 10
    rows = tables.statistics()
    assert len(rows) == 2 * staying
    assert sum(row[2] for row in rows) == 2 * batches * BATCH
    assert tables.reclaim() == 0
