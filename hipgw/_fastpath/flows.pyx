"""The flow table and the port table; see flows.pxd."""

from __future__ import annotations

import os

from libc.stdint cimport uint8_t, uint16_t, uint64_t
from libc.stdlib cimport calloc, free
from libc.string cimport memcpy, memset

from hipgw._fastpath.c.atomics cimport ATOMIC_RELAXED, load_u8, load_u64, store_u8, store_u64
from hipgw._fastpath.keyed_hash cimport hash_words
from hipgw._fastpath.octets cimport load_be16


cdef int flows_init(Flows *flows) noexcept:
    """0, or -1 without memory."""
    cdef bytes seed = os.urandom(16)
    memset(flows, 0, sizeof(Flows))
    memcpy(&flows.key, <const uint8_t *>seed, 16)
    flows.words = <uint64_t *>calloc(FLOW_SLOTS, sizeof(uint64_t))
    flows.ports = <uint8_t *>calloc(2, 65536)
    return 0 if flows.words != NULL and flows.ports != NULL else -1


cdef void flows_free(Flows *flows) noexcept:
    free(flows.words)
    free(flows.ports)
    flows.words = NULL
    flows.ports = NULL


cdef inline uint64_t flow_hash(
        const Flows *flows, const uint8_t *local_hit, const uint8_t *peer_hit, uint8_t protocol,
        uint16_t local_port, uint16_t peer_port) noexcept nogil:
    cdef uint64_t words[5]
    memcpy(&words[0], local_hit, 16)
    memcpy(&words[2], peer_hit, 16)
    words[4] = (<uint64_t>protocol << 32) | (<uint64_t>local_port << 16) | peer_port
    return hash_words(&flows.key, words, 5)


cdef void note_flow(
        Flows *flows, const uint8_t *local_hit, const uint8_t *peer_hit, uint8_t protocol,
        const uint8_t *payload, uint8_t family) noexcept nogil:
    """Remember the family of an outbound packet; writes only when it is news."""
    cdef uint64_t tag = flow_hash(
        flows, local_hit, peer_hit, protocol, load_be16(payload), load_be16(payload + 2))
    cdef uint64_t *place = &flows.words[tag & (FLOW_SLOTS - 1)]
    cdef uint64_t word = (tag & ~<uint64_t>0xff) | family
    if load_u64(place, ATOMIC_RELAXED) != word:
        store_u64(place, word, ATOMIC_RELAXED)


cdef uint8_t family_of_flow(
        Flows *flows, const uint8_t *local_hit, const uint8_t *peer_hit, uint8_t protocol,
        const uint8_t *payload) noexcept nogil:
    """Family of an inbound packet, or FAMILY_UNKNOWN."""
    cdef uint16_t local_port = load_be16(payload + 2)
    cdef uint64_t tag = flow_hash(
        flows, local_hit, peer_hit, protocol, local_port, load_be16(payload))
    cdef uint64_t word = load_u64(&flows.words[tag & (FLOW_SLOTS - 1)], ATOMIC_RELAXED)
    if word != 0 and (word ^ tag) >> 8 == 0:
        return <uint8_t>(word & 0xff)
    return load_u8(
        &flows.ports[(0 if protocol == PROTOCOL_TCP else 65536) + local_port], ATOMIC_RELAXED)


cdef void set_port(Flows *flows, uint8_t protocol, uint16_t port, uint8_t family) noexcept nogil:
    """Say who listens on a port: FAMILY_HIT, FAMILY_LSI, or FAMILY_UNKNOWN to ask again."""
    store_u8(
        &flows.ports[(0 if protocol == PROTOCOL_TCP else 65536) + port], family, ATOMIC_RELAXED)
