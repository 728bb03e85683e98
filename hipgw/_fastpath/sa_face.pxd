"""The part of a data path that is about its tables; see sa_face.pyx."""

from hipgw._fastpath.tables cimport SaTables


cdef class SaFace:
    cdef readonly SaTables tables
