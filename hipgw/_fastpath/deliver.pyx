"""Inner packets that the control plane gives back, once it knows whose they are."""

from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.string cimport memcpy, memset

from hipgw._fastpath.batch_io cimport PATIENCE
from hipgw._fastpath.descriptor cimport FORWARD, HEADROOM_OCTETS, PacketDesc
from hipgw._fastpath.octets cimport load_be16
from hipgw._fastpath.reasons cimport R_INNER_MALFORMED, R_SPI_UNKNOWN
from hipgw._fastpath.tun_io cimport write_packet

cdef enum:
    IPV6_HEADER = 40


cdef int deliver_payload(
        const TunWriter *writer, uint8_t *slot, uint32_t room, const uint8_t *packet,
        uint32_t length, uint8_t family, const SaIn *sa) noexcept nogil:
    cdef PacketDesc d
    cdef uint64_t octets_before = 0     # counted by the worker when it punted the packet
    cdef int patience = PATIENCE
    if sa == NULL:
        return R_SPI_UNKNOWN
    if length < IPV6_HEADER or packet[0] >> 4 != 6 or length > room:
        return R_INNER_MALFORMED
    memset(&d, 0, sizeof(PacketDesc))
    d.verdict = FORWARD
    memcpy(slot + HEADROOM_OCTETS, packet, length)
    d.offset = HEADROOM_OCTETS + IPV6_HEADER
    d.length = length - IPV6_HEADER
    d.next_header = packet[6]
    d.hop_limit = packet[7]
    d.traffic_class = <uint8_t>(load_be16(packet) >> 4)
    d.family = family
    return write_packet(writer, slot, &d, sa, &octets_before, &patience)
