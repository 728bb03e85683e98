"""What the workers hand to the control plane, as Python sees it; see punts.pyx."""

from hipgw._fastpath.rings cimport ByteRing, Record

# The oldest punt of a ring: (kind, octets, meta), see DataPath.take_punts; None: there is none.
cdef tuple take_punt(ByteRing *ring)
