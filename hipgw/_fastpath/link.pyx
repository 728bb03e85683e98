"""ESP of protocol 50 to a next hop that is known, past the kernel's IP output.

A raw socket looks up a route, builds a header and passes the packet filter for each packet, which
is half of what sending one costs.  A packet socket (packet(7)) takes an IP packet with its header
and the link address of the next hop, and hands it to the device's queue.

The header is written into the headroom, in front of the ESP header: 40 octets of it are left there
when ESP header and IV are in (24 at most, of 128).  Deliberately not checked: whether the next hop
is still right, which the control plane keeps up, and whether the device takes packets of this
length, which it says itself (EMSGSIZE).
"""

from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memcpy, memset

from hipgw._fastpath.c.sockets cimport htons, msghdr, sockaddr_ll
from hipgw._fastpath.checksum cimport ones_sum
from hipgw._fastpath.octets cimport store_be16, store_be32

cdef enum:
    AF_PACKET = 17
    ETH_P_IP = 0x0800
    ETH_P_IPV6 = 0x86dd
    ESP = 50
    DF = 0x4000


cdef uint32_t outer_header(
        uint8_t *arena, const PacketDesc *d, const SaOut *sa, uint8_t traffic_class,
        uint8_t hop_limit) noexcept nogil:
    cdef uint8_t *p
    if sa.outer_family == 6:
        p = arena + d.offset - 40
        store_be32(p, <uint32_t>0x60000000 | <uint32_t>traffic_class << 20)
        store_be16(p + 4, <uint16_t>d.length)
        p[6] = ESP
        p[7] = hop_limit
        memcpy(p + 8, sa.source, 16)
        memcpy(p + 24, sa.destination, 16)
        return 40
    p = arena + d.offset - 20
    p[0] = 0x45
    p[1] = traffic_class
    store_be16(p + 2, <uint16_t>(d.length + 20))
    store_be16(p + 4, 0)                 # RFC 6864 section 4.1: with DF it says nothing
    store_be16(p + 6, DF)
    p[8] = hop_limit
    p[9] = ESP
    store_be16(p + 10, 0)
    memcpy(p + 12, sa.source, 4)
    memcpy(p + 16, sa.destination, 4)
    store_be16(p + 10, <uint16_t>~<uint16_t>ones_sum(p, 20, 0))
    return 20


cdef void address_link(msghdr *head, void *name, uint64_t link, bint is_v6) noexcept nogil:
    cdef sockaddr_ll *to = <sockaddr_ll *>name
    cdef int i
    memset(to, 0, sizeof(sockaddr_ll))
    to.sll_family = AF_PACKET
    to.sll_protocol = htons(ETH_P_IPV6 if is_v6 else ETH_P_IP)
    to.sll_ifindex = <int>(link >> 48)
    to.sll_halen = 6
    for i in range(6):
        to.sll_addr[i] = <uint8_t>(link >> (40 - 8 * i))
    head.msg_namelen = sizeof(sockaddr_ll)
    head.msg_control = NULL
    head.msg_controllen = 0
