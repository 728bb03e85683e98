"""What is left of the keys of an SA that is gone: nothing, in any library's state."""

from __future__ import annotations

import ctypes
import os
from typing import Final

import numpy as np
import pytest

from hipgw._fastpath import bursts
from hipgw._fastpath.nodes import Nodes
from hipgw._fastpath.tables import SaTables
from hipgw.dataplane.ciphers import variants_of
from hipgw.perf.sas import (
    LEAST_SPI,
    Packets,
    install_pair,
    one_batch,
    peer_hit,
    remove_pair,
    variant,
)
from hipgw.values import ESP_SHAPES, EspSuite

PAIRS: Final = 40
CASES: Final = [(suite, name) for suite in EspSuite for name in (*variants_of(suite), "")]


def new_keys(suite: EspSuite) -> tuple[bytes, bytes]:
    """Drawn anew: memory that the allocator gives out again may hold keys of tests before."""
    shape = ESP_SHAPES[suite]
    return os.urandom(shape.encryption_key_octets), os.urandom(shape.authentication_key_octets)


def hash_after_pad(key: bytes, mask: int, name: str, words: int) -> list[bytes]:
    """The hash after the block `key ^ mask`, in words of this machine's order: both libraries'."""
    library = ctypes.CDLL("libcrypto.so.3")
    context = ctypes.create_string_buffer(256)
    block = bytes(octet ^ mask for octet in key.ljust(64, b"\0"))
    assert getattr(library, f"{name}_Init")(context) == 1
    assert getattr(library, f"{name}_Update")(context, block, len(block)) == 1
    return [context.raw[4 * i : 4 * i + 4] for i in range(words)]


def secrets_of(suite: EspSuite, keys: tuple[bytes, bytes]) -> list[bytes]:
    """Keys as they stand in round keys, and each word of the hashed pads."""
    encryption, authentication = keys
    found = [key[:16] for key in (encryption, authentication) if key]
    if "HMAC_SHA256" in suite.name:
        for mask in (0x36, 0x5C):
            found += hash_after_pad(authentication, mask, "SHA256", 8)
    elif "HMAC_SHA1" in suite.name:
        for mask in (0x36, 0x5C):
            found += hash_after_pad(authentication, mask, "SHA1", 5)
    return found


def install(tables: SaTables, number: int, suite: EspSuite, keys: tuple[bytes, bytes]) -> None:
    """A pair as `install_pair` makes it, under these keys."""
    local, lsi = bytes.fromhex("20010022") + bytes(12), bytes([1, 0, 0, 1])
    names = (local, peer_hit(number), lsi, (0x01000002 + number).to_bytes(4))
    spi = LEAST_SPI + number
    tables.install_out(
        spi, suite, *keys, *names, family=4, source=bytes(4),
        destination=b"\x7f\0\0\1", udp=True, source_port=10500, destination_port=10500,
    )  # fmt: skip
    tables.install_in(spi, suite, *keys, *names)


@pytest.mark.parametrize(
    ("suite", "name"), CASES, ids=lambda value: getattr(value, "name", value) or "libcrypto"
)
def test_keys_are_gone_with_their_sas(suite: EspSuite, name: str) -> None:
    tables = SaTables()
    nodes = Nodes(tables)
    peers = np.stack([np.frombuffer(peer_hit(n), np.uint8) for n in range(PAIRS)])
    keys = new_keys(suite)
    with variant(name, suite):
        for number in range(PAIRS):
            install(tables, number, suite, keys)
        for size in (1, 7, PAIRS):
            one_batch(nodes, Packets(90 + size, size), peers[:size])
    assert nodes.keys_kept() == (PAIRS, PAIRS)
    secrets = secrets_of(suite, keys)
    if name and suite in bursts.suites():
        kept = [secret for secret in secrets if secret != keys[1][:16]]
        assert all(nodes.traces(secret)[0] for secret in kept), "they are looked for rightly"
    assert [secret.hex() for secret in secrets if nodes.traces(secret)[1]] == []
    for number in range(PAIRS):
        remove_pair(tables, number)
    tables.reclaim()
    assert nodes.keys_kept() == (0, 0)
    assert [secret.hex() for secret in secrets if nodes.traces(secret) != (0, 0)] == []


@pytest.mark.parametrize(
    ("suite", "name"),
    [(suite, name) for suite, name in CASES if "CBC" in suite.name],
    ids=lambda value: getattr(value, "name", value) or "libcrypto",
)
def test_the_keys_of_the_others_stay(suite: EspSuite, name: str) -> None:
    """SAs go between batches; those that stay are carried on, with the keys they had."""
    tables = SaTables()
    nodes = Nodes(tables)
    peers = np.stack([np.frombuffer(peer_hit(n), np.uint8) for n in range(PAIRS)])
    with variant(name, suite):
        for number in range(PAIRS):
            install_pair(tables, number, suite=suite)
        packets = Packets(64, PAIRS)
        one_batch(nodes, packets, peers)
        made = nodes.keys_made()
        for gone in range(PAIRS - 1):
            remove_pair(tables, gone)
            left = peers[gone + 1 :]
            one_batch(nodes, Packets(64, len(left)), left)
    assert nodes.keys_kept() == (1, 1)
    assert nodes.keys_made() == made
