"""A rate for each source and one for all, in bounded memory.

A source is an IPv4 address or an IPv6 /64, which is what one host can choose from freely. Each has
a bucket; a bucket is a time, as in the generic cell rate algorithm (ITU-T I.371): an answer is
earned every `step_ns`, and a burst may run `slack_ns` ahead.

The table has places of WAYS sources each. A keyed hash picks the place, so nobody chooses whom they
push out; the source of a place that was seen longest ago goes first, and starts afresh when it
comes again. What bounds a flood of more sources than the table holds is the total.

Newcomers come first: a source is new from its first I1 until its first answer, or for as long as it
takes a bucket to fill up, and again once it has kept silent for so long. Sources that are not new
may use the first half of the total's burst only, and new ones three quarters; the rest is for those
that ask a second time: a flood of ever other sources does not, and a host that was left out does
(RFC 7401 section 6.6.1). So a flood that spends the total, from few sources or many, leaves a part
to hosts that have just begun to ask.

A source that the table has let go is looked up in the *memory*, which takes less for each and may
err: CELLS cells of an octet, each the time when somebody came last, and how often. All of them must
agree, so a stranger is taken for somebody else once in 30 with a million sources about. It keeps a
source for half a minute at least, and is looked through in parts, so that no time comes round
again; after a quarter of a minute in which the table knew everybody, all are new. It is asked only
when the table does not know, so a small flood does not touch it.

One worker owns the table; nothing here is shared.
"""

from __future__ import annotations

import os

from libc.stdint cimport uint8_t, uint64_t
from libc.stdlib cimport calloc, free
from libc.string cimport memcpy, memset

from hipgw._fastpath.keyed_hash cimport hash_words

cdef uint64_t NEVER = <uint64_t>-1
cdef enum:
    CELLS_A_PLACE = 512         # of the memory, for each source that the table holds
    CELLS_LEAST = 1 << 20


cdef Rate rate_of(double rate, double burst) noexcept:
    cdef Rate made
    cdef double longest_ns = 1e18           # 31 years: longer than anything here lasts
    cdef double step_ns = min(1e9 / rate, longest_ns) if rate > 0 else longest_ns
    made.step_ns = <uint64_t>step_ns
    made.closed = burst < 1
    made.slack_ns = 0 if made.closed else <uint64_t>min((burst - 1) * step_ns, longest_ns)
    return made


cdef int sources_init(
        Sources *sources, double rate, double burst, double source_rate, double source_burst,
        uint64_t most) noexcept:
    cdef uint64_t places = 1
    cdef bytes seed = os.urandom(sizeof(HashKey))
    memset(sources, 0, sizeof(Sources))
    memcpy(&sources.key, <const uint8_t *>seed, sizeof(HashKey))
    while places * WAYS < most:
        places *= 2
    sources.mask = places - 1
    sources.each = rate_of(source_rate, source_burst)
    sources.total = rate_of(rate, burst)
    sources.swept = NEVER
    sources.quiet_ns = sources.each.slack_ns + sources.each.step_ns
    sources.blocks = max(places * WAYS * CELLS_A_PLACE, <uint64_t>CELLS_LEAST) // BLOCK
    sources.table = <Source *>calloc(places * WAYS, sizeof(Source))
    sources.memory = <uint64_t *>calloc(sources.blocks, BLOCK)  # pages come when they are used
    if sources.table == NULL or sources.memory == NULL:
        sources_free(sources)
        return -1
    return 0


cdef void sources_free(Sources *sources) noexcept nogil:
    free(sources.table)
    free(sources.memory)
    sources.table = NULL
    sources.memory = NULL


cdef inline int age_of(uint8_t cell, uint64_t unit) noexcept nogil:
    """Units since a cell was written, 0 to STAMPS - 1; it must not be empty."""
    return (<int>(unit % STAMPS) + 1 - (cell >> 2) + STAMPS) % STAMPS


cdef void sweep_slice(
        Sources *sources, uint64_t number, uint64_t unit, bint all_of_it) noexcept nogil:
    """Look through one slice, if anything is in it."""
    cdef uint64_t words = sources.blocks * BLOCK // 8 // SLICES
    cdef uint64_t *word = sources.memory + number * words
    cdef uint64_t *end = word + words
    cdef uint8_t *cell
    cdef bint is_used = False
    cdef int i
    if not sources.used >> number & 1:
        return
    while word != end:
        if word[0] != 0:        # reading costs no page where nothing was written
            cell = <uint8_t *>word
            for i in range(8):
                if cell[i] != 0 and (all_of_it or age_of(cell[i], unit) > HORIZON):
                    cell[i] = 0
            is_used = is_used or word[0] != 0
        word += 1
    if not is_used:
        sources.used &= ~(<uint64_t>1 << number)


cdef void sweep(Sources *sources, uint64_t unit) noexcept nogil:
    """Forget what is older than the horizon, a slice for each unit that has begun.

    Nothing becomes older than HORIZON + 2 * SLICES, less than STAMPS, before its slice is looked
    through; after a longer pause all of it goes, for no stamp means anything any more.
    """
    cdef bint all_of_it = unit - sources.swept > SLICES
    cdef uint64_t each
    if sources.swept != NEVER:
        for each in range(unit - SLICES + 1 if all_of_it else sources.swept + 1, unit + 1):
            sweep_slice(sources, each % SLICES, unit, all_of_it)
    sources.swept = unit


cdef inline uint8_t *cell_of(Sources *sources, uint64_t hashed, int which) noexcept nogil:
    """One of the cells of a source; the low bits of the hash have picked its place already."""
    cdef uint64_t block = (hashed >> 20) & (sources.blocks - 1)
    return (<uint8_t *>sources.memory) + block * BLOCK + (
        (hashed >> (46 + 6 * which)) & (BLOCK - 1))


cdef inline void note_used(Sources *sources, uint64_t hashed) noexcept nogil:
    cdef uint64_t block = (hashed >> 20) & (sources.blocks - 1)
    sources.used |= <uint64_t>1 << (block // (sources.blocks // SLICES))


cdef int knock(Sources *sources, uint64_t hashed, uint64_t now_ns) noexcept nogil:
    """What the memory says of a source that the table does not know, which it notes."""
    cdef uint64_t unit = now_ns >> UNIT_BITS
    cdef uint8_t stamp = <uint8_t>((unit % STAMPS + 1) << 2)
    cdef int oldest = 0
    cdef int times = 3
    cdef int which
    cdef int age
    cdef uint8_t *cell
    cdef bint was_here = True
    if unit != sources.swept:
        sweep(sources, unit)
    for which in range(CELLS):
        cell = cell_of(sources, hashed, which)
        age = STAMPS if cell[0] == 0 else age_of(cell[0], unit)
        if age > HORIZON:
            was_here = False
        oldest = max(oldest, age)
        times = min(times, cell[0] & 3)
    note_used(sources, hashed)
    for which in range(CELLS):
        cell = cell_of(sources, hashed, which)
        age = STAMPS if cell[0] == 0 else age_of(cell[0], unit)
        cell[0] = stamp | (<uint8_t>min((cell[0] & 3) + 1, 3) if age <= HORIZON else 1)
    if not was_here:
        return NEW
    return AGAIN if oldest <= RECENT and times == 1 else KNOWN


cdef void settle(Sources *sources, uint64_t name, uint64_t now_ns) noexcept nogil:
    """Remember that a source was answered: it is not new any more."""
    cdef uint64_t hashed = hash_words(&sources.key, &name, 1)
    cdef int which
    note_used(sources, hashed)
    for which in range(CELLS):
        cell_of(sources, hashed, which)[0] = <uint8_t>(
            ((now_ns >> UNIT_BITS) % STAMPS + 1) << 2 | 3)


cdef Source *source_of(
        Sources *sources, uint64_t name, uint64_t now_ns, int *standing) noexcept nogil:
    """The entry of a source, made in the place of the one seen longest ago if it has none."""
    cdef uint64_t hashed = hash_words(&sources.key, &name, 1)
    cdef Source *place = sources.table + WAYS * (hashed & sources.mask)
    cdef Source *oldest = place
    cdef Source *known
    cdef int way
    for way in range(WAYS):
        known = &place[way]
        if known.name == name and known.seen_ns != 0:
            standing[0] = NEW
            if now_ns - known.seen_ns > sources.quiet_ns:
                known.new_since_ns = now_ns
            elif known.new_since_ns == 0 or now_ns - known.new_since_ns > sources.quiet_ns:
                standing[0] = KNOWN
            elif known.seen_ns == known.new_since_ns and now_ns != known.seen_ns:
                standing[0] = AGAIN
            known.seen_ns = now_ns
            return known
        if known.seen_ns < oldest.seen_ns:
            oldest = known
    standing[0] = knock(sources, hashed, now_ns)
    oldest.name = name
    oldest.due_ns = 0
    oldest.seen_ns = now_ns
    oldest.new_since_ns = 0 if standing[0] == KNOWN else now_ns
    return oldest


cdef bint source_allows(
        Sources *sources, const uint8_t *address, int octets, uint64_t now_ns) noexcept nogil:
    cdef uint64_t name = 0
    cdef uint64_t slack_ns = sources.total.slack_ns
    cdef Source *source
    cdef int standing
    memcpy(&name, address, 4 if octets == 4 else 8)
    source = source_of(sources, name, now_ns, &standing)
    if sources.each.closed or source.due_ns > now_ns + sources.each.slack_ns:
        return False
    if standing == KNOWN:
        slack_ns //= 2
    elif standing == NEW:
        slack_ns -= slack_ns // 4
    if sources.total.closed or sources.total_due_ns > now_ns + slack_ns:
        return False
    source.due_ns = max(source.due_ns, now_ns) + sources.each.step_ns
    sources.total_due_ns = max(sources.total_due_ns, now_ns) + sources.total.step_ns
    source.new_since_ns = 0
    settle(sources, name, now_ns)
    return True


cdef class SourceLimits:
    """The table, for tests."""

    cdef Sources sources

    def __cinit__(
            self, *, double rate, double burst, double source_rate, double source_burst,
            uint64_t sources_most):
        if sources_init(
                &self.sources, rate, burst, source_rate, source_burst, sources_most) != 0:
            raise MemoryError

    def __dealloc__(self):
        sources_free(&self.sources)

    @property
    def octets(self) -> int:
        """Memory of both; it does not grow."""
        cdef uint64_t sources = (self.sources.mask + 1) * WAYS
        return sources * sizeof(Source) + self.sources.blocks * BLOCK

    def allows(self, bytes address, uint64_t now_ns) -> bool:
        """Whether one more answer to an address of 4 or 16 octets is within both rates."""
        if len(address) not in (4, 16):
            raise ValueError(f"address of {len(address)} octets: expected 4 or 16")
        return source_allows(&self.sources, address, <int>len(address), now_ns)
