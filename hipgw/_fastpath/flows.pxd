"""Which family the local host uses for a flow: HITs (6) or LSIs (4).

BEET carries no inner header, so an inbound TCP or UDP payload does not say whether the local
socket is bound to a HIT or an LSI.  The outbound workers note the family of each flow they send;
for flows that the peer begins, the control plane says who listens on a port.

Both tables are lossy hints, words written and read with relaxed atomics: a lost or stale entry
costs a question to the control plane, nothing else.
"""

from libc.stdint cimport uint8_t, uint16_t, uint64_t

from hipgw._fastpath.keyed_hash cimport HashKey

cdef enum:
    FLOW_SLOTS = 1 << 16
    FAMILY_UNKNOWN = 0
    FAMILY_LSI = 4
    FAMILY_HIT = 6
    PROTOCOL_TCP = 6
    PROTOCOL_UDP = 17

cdef struct Flows:
    HashKey key
    uint64_t *words             # FLOW_SLOTS of: 56 bits of hash, 8 bits of family
    uint8_t *ports              # 65536 for TCP, 65536 for UDP

cdef int flows_init(Flows *flows) noexcept
cdef void flows_free(Flows *flows) noexcept

# `payload`: at least four octets of TCP or UDP, ports first.
cdef void note_flow(
    Flows *flows, const uint8_t *local_hit, const uint8_t *peer_hit, uint8_t protocol,
    const uint8_t *payload, uint8_t family) noexcept nogil
cdef uint8_t family_of_flow(
    Flows *flows, const uint8_t *local_hit, const uint8_t *peer_hit, uint8_t protocol,
    const uint8_t *payload) noexcept nogil
cdef void set_port(Flows *flows, uint8_t protocol, uint16_t port, uint8_t family) noexcept nogil
