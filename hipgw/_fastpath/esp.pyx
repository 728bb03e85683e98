"""ESP in place, a batch at a time (RFC 4303 as profiled by RFC 7402).

Packet: SPI 4 | sequence 4 | IV 0, 8 or 16 | payload | padding | pad length 1 | next header 1 |
ICV 8, 12, 16 or 32.

Seal, for each batch:
  1. number and frame: next sequence number, header and IV into the headroom, padding, trailer and
     room for the ICV into the tailroom;
  2. cipher and ICV over runs of packets (esp_cipher.pyx, which also explains the IVs).
Open, for each batch:
  1. parse: every length that pass 2 or 3 relies on, then *check* the replay window;
  2. ICV and cipher over runs of packets;
  3. *mark* the replay window, checking it again, because a duplicate may have come in the same
     batch; trailer, pad length, next header.

Sequence numbers are 64 bits wide inside and 32 on the wire; without ESN the SA ends at 2^32 - 1.
With ESN, pass 1 says what the upper half is, which the ICV covers, and hands it on behind the nonce
of the packet; what pass 3 marks is the number that was authentic.

Ownership: arena and descriptors belong to the caller's batch and are borrowed for one call.

Deliberately not checked: the SPI (whoever set sa_index looked it up, and the ICV covers it); the
padding octets, which RFC 4303 section 2.4 asks to inspect only when nothing authenticates them,
and every suite here authenticates them; the sizes of headroom and tailroom (descriptor.pxd).
"""

from libc.stdint cimport uint32_t, uint64_t
from libc.string cimport memcpy

from hipgw._fastpath.c.atomics cimport ATOMIC_ACQUIRE, ATOMIC_RELAXED, load_u64
from hipgw._fastpath.descriptor cimport BATCH_MOST, FORWARD, drop
from hipgw._fastpath.esp_cipher cimport open_runs, seal_runs
from hipgw._fastpath.esp_library cimport (
    COUNTER_IV,
    ESP_HEADER,
    HIGH_AT,
    NONCE_STRIDE,
    is_chained,
)
from hipgw._fastpath.octets cimport load_be32, store_be32, store_be64
from hipgw._fastpath.reasons cimport (
    R_DUMMY,
    R_LENGTH_WRONG,
    R_NONE,
    R_PADDING_WRONG,
    R_RUNT,
    R_CREDIT_SPENT,
    R_SEQUENCE_SPENT,
    R_TOO_OLD,
)
from hipgw._fastpath.replay cimport full_number, is_beyond, replay_check, replay_mark
from hipgw._fastpath.sa cimport WireShape

cdef enum:
    DUMMY = 59                      # next header of a dummy packet (RFC 4303 section 2.6)
    SALT = 4                        # of GCM, before it

cdef const uint8_t *PADDING = b"\1\2\3\4"


cdef void number_and_frame(
        uint8_t *arena, PacketDesc *d, SaOut *s, uint64_t now_ns, uint8_t *nonce) noexcept nogil:
    """Seal pass 1 for one packet: everything but cipher and ICV. The CBC IV comes in pass 2.

    The other IV is the 64-bit sequence number; with the salt before it, it is GCM's nonce.
    """
    cdef const WireShape *shape = &s.esp.shape
    cdef uint8_t *tail = arena + d.offset + d.length
    cdef uint8_t *p
    cdef uint32_t padding, i
    cdef uint32_t inner = d.length + (20 if d.family == 4 else 40)
    # RFC 4303 section 3.3.3: the counter must not cycle
    if s.sequence >= <uint64_t>0xffffffff and (not s.esp.extended or s.sequence + 1 == 0):
        drop(d, R_SEQUENCE_SPENT)
        return
    if load_u64(&s.limited, ATOMIC_ACQUIRE):
        if s.spent + inner > load_u64(&s.allowance, ATOMIC_RELAXED):
            drop(d, R_CREDIT_SPENT)
            return
        s.spent += inner
    s.sequence += 1
    s.packets += 1
    s.octets += inner
    s.last_used_ns = now_ns
    padding = (0 - (d.length + 2)) & (<uint32_t>shape.align_octets - 1)
    if shape.align_octets == 4:         # at most three, then two of trailer: four octets fit
        memcpy(tail, PADDING, 4)
    else:
        for i in range(padding):
            tail[i] = <uint8_t>(i + 1)
    tail[padding] = <uint8_t>padding
    tail[padding + 1] = d.next_header
    d.offset -= ESP_HEADER + shape.iv_octets
    d.length += ESP_HEADER + shape.iv_octets + padding + 2 + shape.icv_octets
    p = arena + d.offset
    store_be32(p, s.spi)
    store_be32(p + 4, <uint32_t>s.sequence)
    if s.esp.extended:
        store_be32(nonce + HIGH_AT, <uint32_t>(s.sequence >> 32))
    if shape.iv_octets == COUNTER_IV and not is_chained(&s.esp):
        store_be64(p + ESP_HEADER, s.sequence)
        memcpy(nonce, s.esp.mac_key, SALT)
        store_be64(nonce + SALT, s.sequence)


cdef Py_ssize_t seal_some(
        uint8_t *arena, PacketDesc *desc, Py_ssize_t n, SaOut **sa,
        uint64_t now_ns) noexcept nogil:
    """At most BATCH_MOST of them."""
    cdef uint8_t nonces[BATCH_MOST * NONCE_STRIDE]
    cdef Py_ssize_t i
    for i in range(n):
        if desc[i].verdict == FORWARD:
            number_and_frame(
                arena, &desc[i], sa[desc[i].sa_index], now_ns, nonces + i * NONCE_STRIDE)
    return seal_runs(arena, desc, n, <void **>sa, nonces)


cdef Py_ssize_t esp_seal_batch(
        uint8_t *arena, PacketDesc *desc, Py_ssize_t n, SaOut **sa,
        uint64_t now_ns) noexcept nogil:
    """Seal every FORWARD payload in place. Returns how many stay FORWARD."""
    cdef Py_ssize_t stay = 0
    while n > BATCH_MOST:
        stay += seal_some(arena, desc, BATCH_MOST, sa, now_ns)
        desc += BATCH_MOST
        n -= BATCH_MOST
    return stay + seal_some(arena, desc, n, sa, now_ns)


cdef int parse_sealed(
        const uint8_t *arena, const PacketDesc *d, const SaIn *s, uint8_t *nonce) noexcept nogil:
    """Open pass 1 for one packet: 0 or a Reason; changes nothing but the nonce."""
    cdef const uint8_t *p = arena + d.offset
    cdef const WireShape *shape = &s.esp.shape
    cdef uint64_t sequence
    cdef uint32_t fixed = ESP_HEADER + shape.iv_octets + shape.icv_octets
    if d.length < ESP_HEADER:
        return R_RUNT
    if d.length < fixed + 2 or (d.length - fixed) & (<uint32_t>shape.align_octets - 1):
        return R_LENGTH_WRONG       # RFC 4303 section 2.4: aligned, with room for the trailer
    if shape.iv_octets == COUNTER_IV and not is_chained(&s.esp):
        memcpy(nonce, s.esp.mac_key, SALT)
    memcpy(nonce + SALT, p + ESP_HEADER, COUNTER_IV)    # or whatever stands there without an IV
    sequence = load_be32(p + 4)
    if s.esp.extended:
        sequence = full_number(&s.replay, <uint32_t>sequence)
        if is_beyond(&s.replay, sequence):
            return R_TOO_OLD
        store_be32(nonce + HIGH_AT, <uint32_t>(sequence >> 32))
    return replay_check(&s.replay, sequence)


cdef int accept_opened(
        const uint8_t *arena, PacketDesc *d, SaIn *s, uint64_t now_ns,
        const uint8_t *nonce) noexcept nogil:
    """Open pass 3 for one authentic packet: 0 or a Reason."""
    cdef const uint8_t *p = arena + d.offset
    cdef uint32_t body = ESP_HEADER + s.esp.shape.iv_octets
    cdef uint32_t room = d.length - body - s.esp.shape.icv_octets - 2   # payload and padding
    cdef uint32_t padding = p[body + room]
    cdef uint64_t sequence = load_be32(p + 4)
    cdef int reason
    if s.esp.extended:
        sequence |= <uint64_t>load_be32(nonce + HIGH_AT) << 32
    reason = replay_check(&s.replay, sequence)
    if reason != R_NONE:
        return reason
    replay_mark(&s.replay, sequence)
    s.last_used_ns = now_ns
    if padding > room:
        return R_PADDING_WRONG
    d.next_header = p[body + room + 1]
    if d.next_header == DUMMY:
        return R_DUMMY
    d.offset += body
    d.length = room - padding
    s.packets += 1
    return R_NONE


cdef Py_ssize_t open_some(
        uint8_t *arena, PacketDesc *desc, Py_ssize_t n, SaIn **sa,
        uint64_t now_ns) noexcept nogil:
    """At most BATCH_MOST of them."""
    cdef uint8_t nonces[BATCH_MOST * NONCE_STRIDE]
    cdef Py_ssize_t i, stay = 0
    cdef int reason
    nonces[0] = 0                   # gcc cannot see that those of forwarded packets are written
    for i in range(n):
        if desc[i].verdict == FORWARD:
            reason = parse_sealed(
                arena, &desc[i], sa[desc[i].sa_index], nonces + i * NONCE_STRIDE)
            if reason != R_NONE:
                drop(&desc[i], reason)
    open_runs(arena, desc, n, <void **>sa, nonces)
    for i in range(n):
        if desc[i].verdict == FORWARD:
            reason = accept_opened(
                arena, &desc[i], sa[desc[i].sa_index], now_ns, nonces + i * NONCE_STRIDE)
            if reason == R_NONE:
                stay += 1
            else:
                drop(&desc[i], reason)
    return stay


cdef Py_ssize_t esp_open_batch(
        uint8_t *arena, PacketDesc *desc, Py_ssize_t n, SaIn **sa,
        uint64_t now_ns) noexcept nogil:
    """Open every FORWARD packet in place. Returns how many stay FORWARD."""
    cdef Py_ssize_t stay = 0
    while n > BATCH_MOST:
        stay += open_some(arena, desc, BATCH_MOST, sa, now_ns)
        desc += BATCH_MOST
        n -= BATCH_MOST
    return stay + open_some(arena, desc, n, sa, now_ns)
