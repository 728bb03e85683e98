"""AES-128-GCM of intel-ipsec-mb, where the library is installed; see ipsec_mb.pyx."""

from hipgw._fastpath.c.ipsec_mb cimport GcmCrypt, GcmPre

cdef struct GcmKernel:
    # One instruction set's functions; key data of one kernel means nothing to another.
    GcmPre pre
    GcmCrypt seal
    GcmCrypt open
    size_t key_octets               # its key data, a little more than `pre` fills in

# The kernel for SAs that are keyed from now on, or NULL: libcrypto. What it points to stays for the
# life of the process.
cdef const GcmKernel *current_gcm() noexcept nogil

# The largest key data of any kernel; 0 where the library is not installed.
cdef size_t key_octets_most() noexcept nogil
