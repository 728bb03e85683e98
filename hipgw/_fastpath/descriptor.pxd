"""The batch: one arena of equal slots, one array of descriptors."""

from libc.stdint cimport uint8_t, uint16_t, uint32_t

cdef enum:
    BATCH_MOST = 256            # packets in one batch
    HEADROOM_OCTETS = 128       # before the packet in its slot: room for ESP header and IV
    TAILROOM_OCTETS = 64        # after it: padding, trailer, ICV

cdef enum Verdict:
    FORWARD = 0
    DROP = 1
    PUNT = 2
    ANSWERED = 3                # came to its end here, and is no drop
    HANDED = 4                  # goes on in the worker that owns its SA

cdef packed struct PacketDesc:
    uint32_t offset             # octets from arena start to the first octet of the packet
    uint32_t length             # octets
    uint32_t sa_index           # index into the batch's array of SA pointers
    uint8_t verdict             # Verdict
    uint8_t hop_limit           # of the inner packet (out), of the outer one (in); 0: not known
    uint16_t reason             # Reason when verdict is DROP, punt kind when PUNT
    uint8_t network_octets      # inbound, routed: of its IP header, which ends at offset; 0: BEET
    uint8_t traffic_class       # DSCP and ECN: of the inner packet (out), of the outer one (in)
    uint8_t next_header         # ESP next header: protocol of the inner payload
    uint8_t family              # inner family: 6 (HITs) or 4 (LSIs)


cdef inline void drop(PacketDesc *d, int reason) noexcept nogil:
    d.verdict = DROP
    d.reason = <uint16_t>reason
