"""The header in front of each packet of a TUN device with IFF_VNET_HDR.

`struct virtio_net_hdr` of linux/virtio_net.h (virtio 1.2 section 5.1.6): ten octets, integers in
the host's order.
"""

from libc.stdint cimport uint8_t, uint16_t

cdef enum:
    VNET_OCTETS = 10
    VNET_NEEDS_CSUM = 1         # flags: the checksum at start + offset is not finished
    VNET_GSO_NONE = 0           # gso_type
    VNET_GSO_TCPV4 = 1
    VNET_GSO_TCPV6 = 4
    VNET_GSO_UDP_L4 = 5
    VNET_GSO_ECN = 0x80         # beside a TCP type: CWR is set, on the first segment only

cdef struct VnetHeader:
    uint8_t flags
    uint8_t gso_type
    uint16_t header_octets      # hdr_len
    uint16_t segment_octets     # gso_size: payload of each segment but the last
    uint16_t checksum_start     # csum_start: where the checksum begins to cover
    uint16_t checksum_offset    # csum_offset: from there, where it is written
