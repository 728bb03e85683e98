"""What the workers hand to the control plane, as Python sees it."""

from cpython.bytes cimport PyBytes_FromStringAndSize

from hipgw._fastpath cimport rings
from hipgw._fastpath.rings cimport ByteRing, octets_of, ring_peek, ring_pop

PUNT_CONTROL = rings.PUNT_CONTROL
PUNT_NO_SA = rings.PUNT_NO_SA
PUNT_FIRST_ESP = rings.PUNT_FIRST_ESP
PUNT_FAMILY = rings.PUNT_FAMILY
PUNT_EXPIRE = rings.PUNT_EXPIRE
PUNT_STRANGE = rings.PUNT_STRANGE
PUNT_CONTROL_RAW = rings.PUNT_CONTROL_RAW
PUNT_TOO_BIG = rings.PUNT_TOO_BIG


cdef tuple meta_of(const Record *record):
    """What goes with a punted packet, by kind."""
    cdef Py_ssize_t octets
    if record.kind == rings.PUNT_CONTROL or record.kind == rings.PUNT_CONTROL_RAW:
        octets = 4 if record.family == 4 else 16
        return (
            PyBytes_FromStringAndSize(<const char *>record.source, octets), record.port,
            PyBytes_FromStringAndSize(<const char *>record.destination, octets))
    if record.kind == rings.PUNT_STRANGE:
        octets = 4 if record.family == 4 else 16
        return (
            PyBytes_FromStringAndSize(<const char *>record.source, octets), record.port,
            record.protocol, record.spi)
    if record.kind == rings.PUNT_FAMILY:
        return (record.spi, record.protocol, record.port)
    if record.kind == rings.PUNT_NO_SA:
        return ()
    if record.kind == rings.PUNT_TOO_BIG:
        return (record.port,)
    return (record.spi,)


cdef tuple take_punt(ByteRing *ring):
    cdef const Record *record = ring_peek(ring)
    cdef tuple punt             # left to inference, Cython 3.3.1 does not come back
    if record == NULL:
        return None
    punt = (
        record.kind, PyBytes_FromStringAndSize(octets_of(record), record.length), meta_of(record))
    ring_pop(ring)
    return punt
