"""More SAs than keys fit the workers' room for them: nothing is lost, nothing is left behind."""

from __future__ import annotations

import threading
import time
from collections import Counter
from typing import Final

import numpy as np
import pytest

from hipgw._fastpath import bursts, ipsec_mb
from hipgw._fastpath.contexts import OpenContext
from hipgw._fastpath.nodes import Nodes
from hipgw._fastpath.reasons import REASON_NAMES
from hipgw._fastpath.tables import SaTables
from hipgw.dataplane.ciphers import variants_of
from hipgw.perf.sas import (
    LEAST_SPI,
    Packets,
    Population,
    install_pair,
    keys_of_pair,
    one_batch,
    peer_hit,
    remove_pair,
    variant,
)
from hipgw.values import EspSuite
from tests.twin.batches import DESCRIPTOR, DROP, FORWARD, Batch

BATCH: Final = 256
MANY: Final = 3000
"""Well over the slots of any cache."""
COMING: Final = 15_000
CBC: Final = EspSuite.AES_128_CBC_HMAC_SHA256
CROWDS: Final = (
    *((EspSuite.AES_GCM_16, name) for name in (*ipsec_mb.variants(), "")),
    *((CBC, name) for name in (*bursts.variants()[:1], "")),
    (EspSuite.AES_CCM_16, ""),
    (EspSuite.V1_TRIPLE_DES_CBC_HMAC_SHA1, ""),
    (EspSuite.AES_CMAC_96, ""),
)


@pytest.fixture(params=CROWDS, ids=lambda crowd: f"{crowd[0].name}-{crowd[1] or 'libcrypto'}")
def crowd(request: pytest.FixtureRequest) -> Population:
    suite, name = request.param
    with variant(name, suite):
        return Population(MANY, suite)


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


def test_what_another_kernel_opens_is_the_same(crowd: Population) -> None:
    """A crowded cache against a context that has the key to itself."""
    packets = Packets(100, BATCH)
    packets.lay_out(crowd.peers[1000 : 1000 + BATCH])
    assert crowd.nodes.seal_batch(packets.arena, packets.descriptors) == BATCH
    for at in (0, 1, BATCH - 1):
        alone = opener_of(crowd, 1000 + at)
        batch = Batch.of([packets.packet(at)])
        assert alone.open_batch(batch.arena, batch.raw) == 1
        assert batch.packet(0) == bytes(100)


@pytest.mark.parametrize("stride", [64, 256])
def test_more_keys_of_one_set_than_it_has_slots(crowd: Population, stride: int) -> None:
    """In one batch: what a packet behind needs must not take away what one before still uses.

    Each packet is opened by itself, because the same mistake on both ways would not show.
    """
    chosen = np.resize(np.arange(7, MANY, stride), BATCH)
    for batch in (chosen, np.sort(chosen)):
        packets = Packets(64, BATCH)
        packets.lay_out(crowd.peers[batch])
        assert crowd.nodes.seal_batch(packets.arena, packets.descriptors) == BATCH
        alone = {number: opener_of(crowd, number) for number in set(map(int, batch))}
        for at, number in enumerate(map(int, batch)):
            copy = Batch.of([packets.packet(at)])
            assert alone[number].open_batch(copy.arena, copy.raw) == 1
        assert crowd.nodes.open_batch(packets.arena, packets.descriptors) == BATCH


def opener_of(crowd: Population, number: int) -> OpenContext:
    context = OpenContext()
    context.add(LEAST_SPI + number, crowd.suite, *keys_of_pair(number, crowd.suite))
    return context


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


@pytest.mark.parametrize("suite", [EspSuite.AES_GCM_16, CBC], ids=lambda suite: suite.name)
def test_tables_grow_and_shrink_under_traffic(suite: EspSuite) -> None:
    """Batches go through while many pairs come and go: those that stay lose nothing."""
    with variant(next(iter(variants_of(suite)), ""), suite):
        grow_and_shrink(suite)


def grow_and_shrink(suite: EspSuite) -> None:
    tables = SaTables()
    nodes = Nodes(tables)
    staying = 64
    for number in range(staying):
        install_pair(tables, number, suite=suite)
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
    for number in range(staying, COMING):
        install_pair(tables, number, suite=suite)
        let_traffic_by(number)
    for number in range(staying, COMING):
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


@pytest.mark.parametrize("suite", [EspSuite.AES_GCM_16, CBC], ids=lambda suite: suite.name)
def test_sas_go_and_come_back_in_the_middle_of_batches(suite: EspSuite) -> None:
    """A packet is sealed under the keys of its SA, or goes nowhere."""
    pairs = 60
    tables = SaTables()
    nodes = Nodes(tables)
    context = OpenContext()
    peers = np.stack([np.frombuffer(peer_hit(number), np.uint8) for number in range(pairs)])
    ended = threading.Event()
    reasons: Counter[str] = Counter()
    batches = 0

    def carry() -> None:
        nonlocal batches
        random = np.random.default_rng(3)
        packets = Packets(64, BATCH)
        desc = packets.descriptors.view(DESCRIPTOR)
        while not ended.is_set():
            packets.lay_out(peers[random.integers(0, pairs, BATCH)])
            nodes.seal_batch(packets.arena, packets.descriptors)
            desc["verdict"][desc["verdict"] != FORWARD] = DROP
            spis = packets.arena[desc["offset"][:, None] + np.arange(4)].view(">u4")[:, 0]
            desc["sa_index"] = np.where(desc["verdict"] == FORWARD, spis - LEAST_SPI, 0)
            context.open_batch(packets.arena, packets.descriptors)
            reasons.update(
                "none" if row["verdict"] == FORWARD else REASON_NAMES[row["reason"]] for row in desc
            )
            batches += 1

    with variant(next(iter(variants_of(suite)), ""), suite):
        for number in range(pairs):
            install_pair(tables, number, suite=suite)
            context.add(LEAST_SPI + number, suite, *keys_of_pair(number, suite))
        worker = threading.Thread(target=carry)
        worker.start()
        for turn in range(4000):
            before = batches
            while turn % 200 == 0 and batches == before and worker.is_alive():
                time.sleep(0.001)
            remove_pair(tables, turn % pairs)
            install_pair(tables, turn % pairs, suite=suite)
        ended.set()
        worker.join()
    assert batches >= 20
    assert reasons["none"] > BATCH
    assert reasons["icv_wrong"] == reasons["cipher_failed"] == reasons["length_wrong"] == 0
