"""AES-128-GCM of intel-ipsec-mb, where the library is installed; see ipsec_mb.pyx."""

from hipgw._fastpath.c.ipsec_mb cimport GcmCrypt, GcmPre

cdef struct GcmKernel:
    # One instruction set's functions; key data of one kernel means nothing to another.
    GcmPre pre
    GcmCrypt seal
    GcmCrypt open
    size_t key_octets               # its key data, a little more than `pre` fills in

# The number of the kernel for SAs that are keyed from now on, from 1, or 0: libcrypto.
cdef int current_gcm() noexcept nogil

# The kernel of a number from 1; it stays for the life of the process.
cdef const GcmKernel *gcm_kernel(int number) noexcept nogil

# The library, or NULL where it is not installed; never closed.
cdef void *opened_library() noexcept

# The largest key data of any kernel; 0 where the library is not installed.
cdef size_t key_octets_most() noexcept nogil
