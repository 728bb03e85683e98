"""A rate for each source and one for all, in bounded memory.

A source is an IPv4 address or an IPv6 /64, which is what one host can choose from freely. Each has
a bucket; a bucket is a time, as in the generic cell rate algorithm (ITU-T I.371): an answer is
earned every `step_ns`, and a burst may run `slack_ns` ahead.

The table has places of WAYS sources each. A keyed hash picks the place, so nobody chooses whom they
push out; the source of a place that was seen longest ago goes first, and starts afresh when it
comes again. What bounds a flood of more sources than the table holds is the total.

Newcomers come first: a source is new from its first I1 until its first answer, or for as long as it
takes a bucket to fill up, and again once it has kept silent for so long. Sources that are not new
may use the first half of the total's burst only. So a flood that spends the total, from as many
sources as the table holds, leaves the other half to hosts that have just begun to ask.

One worker owns the table; nothing here is shared.
"""

from __future__ import annotations

import os

from libc.stdint cimport uint8_t, uint64_t
from libc.stdlib cimport calloc, free
from libc.string cimport memcpy, memset

from hipgw._fastpath.keyed_hash cimport hash_words


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
    sources.quiet_ns = sources.each.slack_ns + sources.each.step_ns
    sources.table = <Source *>calloc(places * WAYS, sizeof(Source))
    return 0 if sources.table != NULL else -1


cdef void sources_free(Sources *sources) noexcept nogil:
    free(sources.table)
    sources.table = NULL


cdef Source *source_of(Sources *sources, uint64_t name, uint64_t now_ns) noexcept nogil:
    """The entry of a source, made in the place of the one seen longest ago if it has none."""
    cdef Source *place = sources.table + WAYS * (hash_words(&sources.key, &name, 1) & sources.mask)
    cdef Source *oldest = place
    cdef int way
    for way in range(WAYS):
        if place[way].name == name and place[way].seen_ns != 0:
            if now_ns - place[way].seen_ns > sources.quiet_ns:
                place[way].new_since_ns = now_ns
            place[way].seen_ns = now_ns
            return &place[way]
        if place[way].seen_ns < oldest.seen_ns:
            oldest = &place[way]
    oldest.name = name
    oldest.due_ns = 0
    oldest.seen_ns = oldest.new_since_ns = now_ns
    return oldest


cdef bint source_allows(
        Sources *sources, const uint8_t *address, int octets, uint64_t now_ns) noexcept nogil:
    cdef uint64_t name = 0
    cdef uint64_t slack_ns = sources.total.slack_ns
    cdef Source *source
    memcpy(&name, address, 4 if octets == 4 else 8)
    source = source_of(sources, name, now_ns)
    if sources.each.closed or source.due_ns > now_ns + sources.each.slack_ns:
        return False
    if source.new_since_ns == 0 or now_ns - source.new_since_ns > sources.quiet_ns:
        slack_ns //= 2
    if sources.total.closed or sources.total_due_ns > now_ns + slack_ns:
        return False
    source.due_ns = max(source.due_ns, now_ns) + sources.each.step_ns
    sources.total_due_ns = max(sources.total_due_ns, now_ns) + sources.total.step_ns
    source.new_since_ns = 0
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
        """Memory of the table; it does not grow."""
        return (self.sources.mask + 1) * WAYS * sizeof(Source)

    def allows(self, bytes address, uint64_t now_ns) -> bool:
        """Whether one more answer to an address of 4 or 16 octets is within both rates."""
        if len(address) not in (4, 16):
            raise ValueError(f"address of {len(address)} octets: expected 4 or 16")
        return source_allows(&self.sources, address, <int>len(address), now_ns)
