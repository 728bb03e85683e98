"""Neighbouring packets of one flow, gathered into super-packets; see coalesce.pyx."""

from libc.stdint cimport uint8_t, uint16_t, uint32_t

from hipgw._fastpath.c.sockets cimport iovec
from hipgw._fastpath.descriptor cimport BATCH_MOST, PacketDesc
from hipgw._fastpath.sa cimport SaIn

cdef enum:
    BUNDLE_PARTS_MOST = 128     # packets in one bundle
    BUNDLE_HEADER_MOST = 128    # octets: vnet 10, IPv6 40, TCP 60
    FLOWS_OPEN_MOST = 8         # bundles of a batch that may still grow

cdef struct Bundle:
    # Packets, in their order, that go to the device as one.
    uint16_t first              # descriptor
    uint16_t last
    uint16_t parts
    uint16_t network_octets     # of the IP header to be rebuilt, when there are several parts
    uint16_t header_octets      # of the transport header
    uint8_t flags               # TCP: FIN and PSH of any part
    bint is_right               # the first part's checksum was looked at: it is right
    uint32_t segment_octets     # transport payload of each part but the last
    uint32_t payload_octets     # of all parts
    uint32_t next_sequence      # TCP: what the next part must have

cdef struct Bundles:
    Bundle bundle[BATCH_MOST]
    Py_ssize_t count
    uint16_t next[BATCH_MOST]   # descriptor -> the next one of its bundle
    uint16_t open[FLOWS_OPEN_MOST]
    Py_ssize_t open_count
    # of the SA looked at last
    const SaIn *pseudo_sa
    uint32_t pseudo             # sum of both HITs

# desc[i] (FORWARD): opened payload with next_header, family and sa_index. Each becomes part of one
# bundle; only the kinds that the device takes as super-packets grow.
cdef void gather_batch(
    const uint8_t *arena, const PacketDesc *desc, Py_ssize_t n, SaIn **sa, Bundles *bundles,
    bint takes_tcp, bint takes_udp) noexcept nogil

# The parts of the super-packet of bundle b, which has several: parts[0] is `header`, with room for
# BUNDLE_HEADER_MOST, filled with vnet, IP and transport header; then one payload a packet.
cdef void compose_bundle(
    const Bundles *bundles, Py_ssize_t b, uint8_t *arena, const PacketDesc *desc,
    const SaIn *sa, uint8_t *header, iovec *parts) noexcept nogil
