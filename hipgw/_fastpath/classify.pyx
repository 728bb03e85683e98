"""Which SA carries a packet, if any.

Outbound: source and destination, both HITs or both LSIs, name the SA; any other destination may be
that of a routed prefix (routed.pyx).  A pair without an SA is for the control plane, which may
start a base exchange; anything else is dropped by name.
Inbound: the SPI names the SA, whatever address it came to (RFC 7402 section 3.3.1).  Over UDP four
zero octets mark HIP control, and one octet 0xff is a keepalive (RFC 3948 section 2).

Neighbours with the same key share one table look-up and one sa_index, so the ESP kernels see runs.
Deliberately not checked here: inner addresses against the SA and the inner length (beet_strip),
ESP length against the suite (esp_open_batch), everything of HIP control but its least length.
"""

from libc.stdint cimport UINT32_MAX, uint8_t, uint16_t, uint32_t
from libc.string cimport memcmp

from hipgw._fastpath.descriptor cimport DROP, FORWARD, PUNT
from hipgw._fastpath.hits cimport is_hit
from hipgw._fastpath.octets cimport load_be32
from hipgw._fastpath.reasons cimport (
    R_INNER_MALFORMED,
    R_KEEPALIVE,
    R_MULTICAST,
    R_RUNT,
    R_SOURCE_NOT_OURS,
    R_SPI_RESERVED,
    R_SPI_UNKNOWN,
)
from hipgw._fastpath.rings cimport PUNT_CONTROL, PUNT_NO_SA
from hipgw._fastpath.routed cimport classify_routed
from hipgw._fastpath.sa cimport SaIn, SaOut
from hipgw._fastpath.tables cimport find_in, find_out, find_out_by_lsi
from hipgw._fastpath.warm cimport warm_inbound, warm_outbound

cdef enum:
    IPV4_HEADER = 20
    IPV6_HEADER = 40
    HIP_HEADER = 40             # RFC 7401 section 5.1
    ESP_LEAST = 8               # SPI and sequence number
    MARKER = 4                  # RFC 9028 section 5.1
    SPI_LEAST = 256


cdef inline void drop(PacketDesc *d, uint16_t reason) noexcept nogil:
    d.verdict = DROP
    d.reason = reason


cdef inline void punt(PacketDesc *d, uint16_t kind) noexcept nogil:
    d.verdict = PUNT
    d.reason = kind


cdef SaOut *classify_ipv6(const uint8_t *p, PacketDesc *d, SaIndex *index) noexcept nogil:
    """The SA of an inner IPv6 packet, or NULL with the verdict set."""
    cdef const uint8_t *source = p + 8
    cdef const uint8_t *destination = p + 24
    cdef SaOut *sa
    if d.length < IPV6_HEADER:
        drop(d, R_INNER_MALFORMED)
    elif destination[0] == 0xff:
        drop(d, R_MULTICAST)
    elif not is_hit(destination):
        return classify_routed(p, d, index, 6)
    elif not is_hit(source):
        drop(d, R_SOURCE_NOT_OURS)
    else:
        sa = find_out(index, source, destination)
        if sa != NULL:
            d.family = 6
            return sa
        punt(d, PUNT_NO_SA)
    return NULL


cdef SaOut *classify_ipv4(const uint8_t *p, PacketDesc *d, SaIndex *index) noexcept nogil:
    """The SA of an inner IPv4 packet, or NULL with the verdict set."""
    cdef const uint8_t *source = p + 12
    cdef const uint8_t *destination = p + 16
    cdef SaOut *sa
    cdef uint32_t address
    if d.length < IPV4_HEADER:
        drop(d, R_INNER_MALFORMED)
        return NULL
    address = load_be32(destination)
    if address >> 28 == 14 or address == UINT32_MAX or address == 0x01ffffff:
        drop(d, R_MULTICAST)
    elif destination[0] != 1:           # LSIs: 1.0.0.0/8
        return classify_routed(p, d, index, 4)
    elif source[0] != 1:
        drop(d, R_SOURCE_NOT_OURS)
    else:
        sa = find_out_by_lsi(index, source, destination)
        if sa != NULL:
            d.family = 4
            return sa
        punt(d, PUNT_NO_SA)
    return NULL


cdef Py_ssize_t classify_outbound_batch(
        const uint8_t *arena, PacketDesc *desc, Py_ssize_t n, SaIndex *index,
        void **sa) noexcept nogil:
    cdef const uint8_t *before = NULL       # neighbour whose SA is the last of sa[]
    cdef uint8_t version_before = 0
    cdef uint8_t next_before = 0            # next header of a routed packet, or 0
    cdef uint32_t sas = 0
    cdef Py_ssize_t stay = 0
    cdef const uint8_t *p
    cdef SaOut *found
    cdef uint8_t version
    cdef Py_ssize_t i
    warm_outbound(arena, desc, n, index)
    for i in range(n):
        if desc[i].verdict != FORWARD:
            continue
        p = arena + desc[i].offset
        version = p[0] >> 4 if desc[i].length else 0
        if version == 6:
            if (version_before == 6 and desc[i].length >= IPV6_HEADER
                    and memcmp(before + 8, p + 8, 32) == 0):
                desc[i].family = 6
                desc[i].next_header = next_before
                desc[i].sa_index = sas - 1
                stay += 1
                continue
            found = classify_ipv6(p, &desc[i], index)
        elif version == 4:
            if (version_before == 4 and desc[i].length >= IPV4_HEADER
                    and memcmp(before + 12, p + 12, 8) == 0):
                desc[i].family = 4
                desc[i].next_header = next_before
                desc[i].sa_index = sas - 1
                stay += 1
                continue
            found = classify_ipv4(p, &desc[i], index)
        else:
            drop(&desc[i], R_INNER_MALFORMED)
            continue
        if found != NULL:
            if sas == 0 or sa[sas - 1] != found:
                sa[sas] = found
                sas += 1
            desc[i].sa_index = sas - 1
            before = p
            version_before = version
            next_before = desc[i].next_header
            stay += 1
    return stay


cdef inline uint32_t ipv4_header(const uint8_t *p, uint32_t length) noexcept nogil:
    """Octets of the IPv4 header that a raw socket delivers, or 0 when it makes no sense."""
    cdef uint32_t header = (p[0] & 15) * 4 if length >= IPV4_HEADER else 0
    return header if IPV4_HEADER <= header <= length else 0


cdef void strip_to_control(
        const uint8_t *arena, PacketDesc *desc, Py_ssize_t n, Carrier carrier) noexcept nogil:
    cdef uint32_t header
    cdef Py_ssize_t i
    for i in range(n):
        if desc[i].verdict != FORWARD:
            continue
        if carrier == CARRIER_RAW4:
            header = ipv4_header(arena + desc[i].offset, desc[i].length)
            desc[i].offset += header
            desc[i].length -= header
            if header == 0:
                desc[i].length = 0
        if desc[i].length < HIP_HEADER:
            drop(&desc[i], R_RUNT)
        else:
            punt(&desc[i], PUNT_CONTROL)


cdef uint32_t esp_of_carrier(
        const uint8_t *arena, PacketDesc *d, Carrier carrier) noexcept nogil:
    """The SPI with offset/length on the ESP packet, or 0 with the verdict set."""
    cdef const uint8_t *p = arena + d.offset
    cdef uint32_t header
    cdef uint32_t spi
    if carrier == CARRIER_RAW4:
        header = ipv4_header(p, d.length)
        if header == 0:
            drop(d, R_RUNT)
            return 0
        d.offset += header
        d.length -= header
        d.traffic_class = p[1]
        d.hop_limit = p[8]
        p += header
    elif carrier == CARRIER_UDP:
        if d.length == 1 and p[0] == 0xff:
            drop(d, R_KEEPALIVE)
            return 0
        if d.length >= MARKER + HIP_HEADER and load_be32(p) == 0:
            d.offset += MARKER
            d.length -= MARKER
            punt(d, PUNT_CONTROL)
            return 0
    if d.length < ESP_LEAST or (
            carrier == CARRIER_UDP and load_be32(p) == 0):
        drop(d, R_RUNT)
        return 0
    spi = load_be32(p)
    if spi < SPI_LEAST:
        drop(d, R_SPI_RESERVED)
        return 0
    return spi


cdef Py_ssize_t classify_inbound_batch(
        const uint8_t *arena, PacketDesc *desc, Py_ssize_t n, Carrier carrier, SaIndex *index,
        void **sa) noexcept nogil:
    cdef uint32_t spi_before = 0
    cdef uint32_t sas = 0
    cdef Py_ssize_t stay = 0
    cdef SaIn *found
    cdef uint32_t spi
    cdef Py_ssize_t i
    warm_inbound(arena, desc, n, IPV4_HEADER if carrier == CARRIER_RAW4 else 0, index)
    for i in range(n):
        if desc[i].verdict != FORWARD:
            continue
        spi = esp_of_carrier(arena, &desc[i], carrier)
        if spi == 0:
            continue
        if spi != spi_before:
            found = find_in(index, spi)
            if found == NULL:
                drop(&desc[i], R_SPI_UNKNOWN)
                continue
            sa[sas] = found
            sas += 1
            spi_before = spi
        desc[i].sa_index = sas - 1
        stay += 1
    return stay
