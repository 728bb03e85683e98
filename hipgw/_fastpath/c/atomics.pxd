"""GCC's atomic built-ins, one name per type that the fast path shares between threads."""

from libc.stdint cimport uint8_t, uint64_t

cdef extern from * nogil:
    int ATOMIC_RELAXED "__ATOMIC_RELAXED"
    int ATOMIC_ACQUIRE "__ATOMIC_ACQUIRE"
    int ATOMIC_RELEASE "__ATOMIC_RELEASE"
    int ATOMIC_SEQ_CST "__ATOMIC_SEQ_CST"

    uint8_t load_u8 "__atomic_load_n"(uint8_t *place, int order)
    void store_u8 "__atomic_store_n"(uint8_t *place, uint8_t value, int order)
    uint64_t load_u64 "__atomic_load_n"(uint64_t *place, int order)
    void store_u64 "__atomic_store_n"(uint64_t *place, uint64_t value, int order)
    void *load_pointer "__atomic_load_n"(void **place, int order)
    void store_pointer "__atomic_store_n"(void **place, void *value, int order)
    int hipgw_exchange_if "__atomic_compare_exchange_n"(
        uint64_t *place, uint64_t *expected, uint64_t value, int weak, int then, int otherwise)
    void fence "__atomic_thread_fence"(int order)


cdef inline int exchange_u64_if(uint64_t *place, uint64_t expected, uint64_t value) noexcept nogil:
    """Put `value` where `expected` is; 0 when something else is there."""
    return hipgw_exchange_if(place, &expected, value, 0, ATOMIC_ACQUIRE, ATOMIC_RELAXED)
