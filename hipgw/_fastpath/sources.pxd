"""How often strangers are answered: per source and in total, in bounded memory; see sources.pyx."""

from libc.stdint cimport uint8_t, uint64_t

from hipgw._fastpath.keyed_hash cimport HashKey

cdef enum:
    WAYS = 8                    # sources that share a place of the table
    BLOCK = 64                  # cells of the memory that share a cache line
    CELLS = 3                   # of each source, all in one block
    UNIT_BITS = 30              # the memory counts time in units of 2^30 ns, 1.07 s
    STAMPS = 63                 # units until a stamp comes again
    RECENT = 2                  # units: who comes back within so many has asked again
    HORIZON = 30                # units for which the memory keeps a source
    SLICES = 16                 # a part of the memory is looked through in each unit

cdef enum:
    KNOWN                       # seen before, long ago or often, or answered already
    NEW                         # never seen within the memory
    AGAIN                       # new a moment ago, not answered, asks once more

cdef struct Source:
    uint64_t name               # IPv4 address, or upper half of an IPv6 address
    uint64_t due_ns             # when what it was given so far is earned
    uint64_t seen_ns            # 0: never, the place is free
    uint64_t new_since_ns       # 0: not new any more

cdef struct Rate:
    uint64_t step_ns            # one answer is earned in this time
    uint64_t slack_ns           # how far ahead of that a burst may be
    bint closed                 # a burst of less than one answer: nothing is allowed

cdef struct Sources:
    HashKey key
    uint64_t mask               # places - 1; each holds WAYS sources
    Source *table
    Rate each
    Rate total
    uint64_t quiet_ns           # who has kept silent for longer is new again
    uint64_t total_due_ns
    uint64_t *memory            # cells of 8 bits: stamp of six, how often of two; 0 is never
    uint64_t blocks             # of the memory, a power of two
    uint64_t swept              # unit up to which the memory has been looked through
    uint64_t used               # a bit for each slice that may hold anything

# 0, or -1 without memory. Rates are answers a second, bursts answers.
cdef int sources_init(
    Sources *sources, double rate, double burst, double source_rate, double source_burst,
    uint64_t most) noexcept
cdef void sources_free(Sources *sources) noexcept nogil

# Whether one more answer to the address (4 or 16 octets) is within both rates; charges it if so.
cdef bint source_allows(
    Sources *sources, const uint8_t *address, int octets, uint64_t now_ns) noexcept nogil
