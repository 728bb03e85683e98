"""The writer's side of the SA tables; see tables.pxd for who may do what.

Steps of a change: make the SA and key its cipher; make room in every table it enters (a full table
is copied into a larger one, and the pointer to it swapped); publish; take out what it replaces;
retire that; free what the workers have let go of.
"""

from __future__ import annotations

import os

from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free
from libc.string cimport memcmp, memcpy

from hipgw._fastpath.c.atomics cimport (
    ATOMIC_RELAXED,
    ATOMIC_RELEASE,
    load_u64,
    store_pointer,
    store_u64,
)
from hipgw._fastpath.esp_cipher cimport esp_cipher_init, esp_cipher_wipe
from hipgw._fastpath.esp_suites cimport suite_shape
from hipgw._fastpath.key_cache cimport key_room_free, key_room_init
from hipgw._fastpath.quiet cimport (
    INBOUND,
    OUTBOUND,
    PAIRS_MOST,
    WORKERS_MOST,
    Release,
    Retired,
    marks_init,
    reclaim,
    retire,
)
from hipgw._fastpath.replay cimport replay_mark
from hipgw._fastpath.sa cimport SaIn, SaOut, SuiteShape
from hipgw._fastpath.slab cimport Slab, slab_free, slab_give, slab_init, slab_take
from hipgw._fastpath.subnets cimport Subnets, free_subnets, make_subnets
from hipgw._fastpath.hash_table cimport (
    LEAST_BUCKETS,
    table_copy,
    table_free,
    table_init,
    table_put,
    table_take_out,
    buckets_wanted,
)

cdef enum:
    SPI_LEAST = 256                 # RFC 4303 section 2.1
    SPI_MOST = 0xffffffff
    # An SA installed again under its own SPI (new addresses, same keys) goes on from here, so that
    # no sequence number, and with it no GCM nonce, is used by the old copy and the new one.
    HANDOVER_GAP = 1 << 22

cdef struct InRecord:
    SaIn sa                         # first: the tables point at it
    Retired end
    Slab *home

cdef struct OutRecord:
    SaOut sa
    Retired end
    Slab *home

cdef struct TableRecord:
    Table table
    Retired end


cdef Table *new_table(uint64_t buckets) noexcept:
    """A table of `buckets` (a power of two) empty buckets, or NULL."""
    cdef TableRecord *record = <TableRecord *>calloc(1, sizeof(TableRecord))
    if record == NULL:
        return NULL
    if table_init(&record.table, buckets) != 0:
        free(record)
        return NULL
    return &record.table


cdef void free_table(void *thing) noexcept nogil:
    table_free(<Table *>thing)
    free(thing)


cdef void free_in(void *thing) noexcept nogil:
    esp_cipher_wipe(&(<SaIn *>thing).esp)
    slab_give((<InRecord *>thing).home, thing)


cdef void free_out(void *thing) noexcept nogil:
    esp_cipher_wipe(&(<SaOut *>thing).esp)
    slab_give((<OutRecord *>thing).home, thing)


cdef void free_all(Table *table, Release release) noexcept:
    """Free a table and, if `release` says how, what it names."""
    cdef uint64_t i
    if table == NULL:
        return
    if release != NULL:
        for i in range(table.mask + 1):
            if <size_t>table.buckets[i].sa > TOMBSTONE:
                release(table.buckets[i].sa)
    free_table(table)


cdef bint is_set(const uint8_t *lsi) noexcept:
    return (lsi[0] | lsi[1] | lsi[2] | lsi[3]) != 0


cdef int check_spi(object spi) except -1:
    """ValueError for an SPI that never names an SA (RFC 4303 section 2.1)."""
    if not SPI_LEAST <= spi <= <unsigned long>SPI_MOST:
        raise ValueError(f"SPI {spi:#x} is reserved or too large: expected 256 to 0xffffffff")
    return 0


cdef int check_octets(str what, bytes value, Py_ssize_t octets) except -1:
    """ValueError for an address that does not have its octets."""
    if len(value) != octets:
        raise ValueError(f"{what} has {octets} octets, not {len(value)}")
    return 0


cdef int check_names(
        bytes local_hit, bytes peer_hit, bytes local_lsi, bytes peer_lsi) except -1:
    """ValueError for a HIT or LSI of the wrong length."""
    check_octets("local HIT", local_hit, 16)
    check_octets("peer HIT", peer_hit, 16)
    check_octets("local LSI", local_lsi, 4)
    check_octets("peer LSI", peer_lsi, 4)
    return 0


cdef str cipher_trouble(int suite, bytes encryption_key, bytes authentication_key):
    """Why a cipher could not be keyed, without a word about the keys but their lengths."""
    cdef SuiteShape shape = suite_shape(suite)
    if shape.icv_octets == 0:
        return f"ESP suite {suite} is not carried"
    return (
        f"ESP suite {suite} takes keys of {shape.encryption_key_octets} and "
        f"{shape.authentication_key_octets} octets; {len(encryption_key)} and "
        f"{len(authentication_key)} were given (or the crypto library refused)")


cdef tuple row_in(SaIn *sa):
    return (
        0, sa.spi, load_u64(&sa.packets, ATOMIC_RELAXED), load_u64(&sa.octets, ATOMIC_RELAXED),
        load_u64(&sa.replay.top, ATOMIC_RELAXED), load_u64(&sa.last_used_ns, ATOMIC_RELAXED),
        sa.local_hit[:16], sa.peer_hit[:16])


cdef tuple row_out(SaOut *sa):
    return (
        1, sa.spi, load_u64(&sa.packets, ATOMIC_RELAXED), load_u64(&sa.octets, ATOMIC_RELAXED),
        load_u64(&sa.sequence, ATOMIC_RELAXED), load_u64(&sa.last_used_ns, ATOMIC_RELAXED),
        sa.local_hit[:16], sa.peer_hit[:16])


cdef class SaTables:
    """All security associations of a data path, keyed and ready to use.

    Not safe for two Python threads inside one call without the GIL; each call holds it throughout.

    Args:
        pairs: of workers, 1 to 16. Each SA is one pair's from its installation on: an inbound one
            by the last octet of its SPI, an outbound one by the peer's HIT.
        steering: an odd number that spreads HITs over the pairs; see drivers/steering.py.
    """

    def __cinit__(self, int pairs=1, uint32_t steering=1):
        cdef bytes seed = os.urandom(16)
        cdef int worker
        if not 1 <= pairs <= PAIRS_MOST:
            raise ValueError(f"{pairs} pairs of workers: expected 1 to {PAIRS_MOST}")
        self.index = <SaIndex *>calloc(1, sizeof(SaIndex))
        if self.index == NULL:
            raise MemoryError
        memcpy(&self.index.key, <const uint8_t *>seed, 16)
        self.index.pairs = pairs
        self.index.steering = steering
        marks_init(&self.index.marks, 2 * pairs)
        slab_init(&self.index.ins, sizeof(InRecord))
        slab_init(&self.index.outs, sizeof(OutRecord))
        self.index.in_by_spi = new_table(LEAST_BUCKETS)
        self.index.out_by_pair = new_table(LEAST_BUCKETS)
        self.index.out_by_lsi = new_table(LEAST_BUCKETS)
        self.index.out_by_spi = new_table(LEAST_BUCKETS)
        if (self.index.in_by_spi == NULL or self.index.out_by_pair == NULL
                or self.index.out_by_lsi == NULL or self.index.out_by_spi == NULL):
            raise MemoryError
        for worker in range(2 * pairs):
            if key_room_init(&self.index.keys[worker], worker % 2 == OUTBOUND) != 0:
                raise MemoryError

    def __dealloc__(self):
        """Only when no worker runs: a running worker holds a reference to its data path."""
        if self.index == NULL:
            return
        reclaim(&self.retired, &self.index.marks)
        free_all(self.index.in_by_spi, free_in)
        free_all(self.index.out_by_pair, free_out)
        free_all(self.index.out_by_lsi, NULL)
        free_all(self.index.out_by_spi, NULL)
        for worker in range(WORKERS_MOST):
            key_room_free(&self.index.keys[worker])
        slab_free(&self.index.ins)
        slab_free(&self.index.outs)
        if self.index.subnets != NULL:
            free_subnets(self.index.subnets)
        free(self.index)

    # ---- what the control plane calls

    def install_in(
            self, spi, int suite, bytes encryption_key, bytes authentication_key, bytes local_hit,
            bytes peer_hit, bytes local_lsi, bytes peer_lsi, *, bint extended=False,
            uint64_t sequence=0) -> None:
        """Add an inbound SA. LSIs of four zero octets: none.

        Args:
            extended: whether ICVs cover 64 bits of sequence numbers (RFC 4303 section 2.2.1).
            sequence: highest number that counts as accepted.

        Raises:
            ValueError: reserved SPI or one in use, unknown suite, a length that does not fit it.
        """
        check_spi(spi)
        check_names(local_hit, peer_hit, local_lsi, peer_lsi)
        if find_in(self.index, spi) != NULL:
            raise ValueError(f"inbound SPI {spi:#010x} is in use: choose another one")
        cdef InRecord *record
        self.make_room(&self.index.in_by_spi)
        record = <InRecord *>slab_take(&self.index.ins)
        if record == NULL:
            raise MemoryError
        record.home = &self.index.ins
        record.sa.pair = pair_of_spi(self.index, spi)
        if esp_cipher_init(
                &record.sa.esp, suite, encryption_key, len(encryption_key), authentication_key,
                len(authentication_key), extended,
                &self.index.keys[2 * record.sa.pair + INBOUND]) != 0:
            slab_give(record.home, record)
            raise ValueError(cipher_trouble(suite, encryption_key, authentication_key))
        record.sa.spi = spi
        if sequence:
            replay_mark(&record.sa.replay, sequence)
        memcpy(record.sa.local_hit, <const uint8_t *>local_hit, 16)
        memcpy(record.sa.peer_hit, <const uint8_t *>peer_hit, 16)
        memcpy(record.sa.local_lsi, <const uint8_t *>local_lsi, 4)
        memcpy(record.sa.peer_lsi, <const uint8_t *>peer_lsi, 4)
        table_put(self.index.in_by_spi, tag_of_spi(self.index, spi), NULL, &record.sa)
        reclaim(&self.retired, &self.index.marks)

    def install_out(
            self, spi, int suite, bytes encryption_key, bytes authentication_key, bytes local_hit,
            bytes peer_hit, bytes local_lsi, bytes peer_lsi, *, int family, bytes source,
            bytes destination, bint udp, uint16_t source_port, uint16_t destination_port,
            uint64_t sequence=0, bint extended=False) -> None:
        """Make this the current outbound SA of (local_hit, peer_hit), in place of the one before.

        Args:
            family: 4 or 6, of the outer header; `source` and `destination` have its length, and a
                source of zeros leaves the choice to the kernel.
            sequence: last sequence number already used with these keys. An SA that replaces one
                of the same SPI starts beyond that one's, so new addresses need no new keys.
            extended: as in `install_in`.

        Raises:
            ValueError: as `install_in`, or an address that does not fit the family.
        """
        check_spi(spi)
        check_names(local_hit, peer_hit, local_lsi, peer_lsi)
        if family not in (4, 6):
            raise ValueError(f"outer family is 4 or 6, not {family}")
        check_octets("outer source", source, 4 if family == 4 else 16)
        check_octets("outer destination", destination, 4 if family == 4 else 16)
        self.make_room(&self.index.out_by_pair)
        self.make_room(&self.index.out_by_lsi)
        self.make_room(&self.index.out_by_spi)
        cdef OutRecord *record = <OutRecord *>slab_take(&self.index.outs)
        if record == NULL:
            raise MemoryError
        record.home = &self.index.outs
        cdef SaOut *sa = &record.sa
        sa.pair = pair_of_hit(self.index, peer_hit)
        if esp_cipher_init(
                &sa.esp, suite, encryption_key, len(encryption_key), authentication_key,
                len(authentication_key), extended,
                &self.index.keys[2 * sa.pair + OUTBOUND]) != 0:
            slab_give(record.home, record)
            raise ValueError(cipher_trouble(suite, encryption_key, authentication_key))
        sa.spi = spi
        memcpy(sa.local_hit, <const uint8_t *>local_hit, 16)
        memcpy(sa.peer_hit, <const uint8_t *>peer_hit, 16)
        memcpy(sa.local_lsi, <const uint8_t *>local_lsi, 4)
        memcpy(sa.peer_lsi, <const uint8_t *>peer_lsi, 4)
        sa.outer_family = family
        sa.udp = udp
        sa.source_port = source_port
        sa.destination_port = destination_port
        memcpy(sa.source, <const uint8_t *>source, len(source))
        memcpy(sa.destination, <const uint8_t *>destination, len(destination))
        sa.sequence = sequence
        self.switch_out(sa)

    cdef void switch_out(self, SaOut *sa) noexcept:
        """Publish a new outbound SA where room was made, and retire the one it replaces."""
        cdef SaIndex *index = self.index
        cdef SaOut *old = find_out(index, sa.local_hit, sa.peer_hit)
        cdef uint64_t beyond
        if old != NULL and old.spi == sa.spi:
            beyond = load_u64(&old.sequence, ATOMIC_RELAXED)
            beyond += min(<uint64_t>HANDOVER_GAP, ~beyond)      # never past the last one
            sa.sequence = max(sa.sequence, beyond)
            sa.packets = load_u64(&old.packets, ATOMIC_RELAXED)
            sa.octets = load_u64(&old.octets, ATOMIC_RELAXED)
            sa.spent = load_u64(&old.spent, ATOMIC_RELAXED)
            sa.allowance = old.allowance
            sa.limited = old.limited
            sa.payload_most = old.payload_most
            sa.last_used_ns = load_u64(&old.last_used_ns, ATOMIC_RELAXED)
        table_put(index.out_by_spi, tag_of_spi(index, sa.spi), NULL, sa)
        if is_set(sa.peer_lsi):
            table_put(
                index.out_by_lsi, tag_of_lsis(index, sa.local_lsi, sa.peer_lsi),
                find_out_by_lsi(index, sa.local_lsi, sa.peer_lsi), sa)
        table_put(index.out_by_pair, tag_of_pair(index, sa.local_hit, sa.peer_hit), old, sa)
        if old != NULL:
            self.release_out(old)
        reclaim(&self.retired, &self.index.marks)

    cdef void release_out(self, SaOut *sa) noexcept:
        """Take an SA out of every table, and retire it."""
        cdef SaIndex *index = self.index
        table_take_out(index.out_by_pair, tag_of_pair(index, sa.local_hit, sa.peer_hit), sa)
        if is_set(sa.peer_lsi):
            table_take_out(index.out_by_lsi, tag_of_lsis(index, sa.local_lsi, sa.peer_lsi), sa)
        table_take_out(index.out_by_spi, tag_of_spi(index, sa.spi), sa)
        retire(&self.retired, &index.marks, &(<OutRecord *>sa).end, sa, free_out)

    def remove_in(self, spi) -> bool:
        """Take an inbound SA away; False when there is none."""
        cdef SaIn *sa = find_in(self.index, spi)
        if sa != NULL:
            table_take_out(self.index.in_by_spi, tag_of_spi(self.index, spi), sa)
            retire(&self.retired, &self.index.marks, &(<InRecord *>sa).end, sa, free_in)
        reclaim(&self.retired, &self.index.marks)
        return sa != NULL

    def remove_out(self, spi, bytes local_hit=b"", bytes peer_hit=b"") -> bool:
        """Take an outbound SA away; False when there is none.

        Peers choose these SPIs, so two peers can choose the same one: without the HITs any SA of
        that SPI may be the one that goes.
        """
        if local_hit or peer_hit:
            check_octets("local HIT", local_hit, 16)
            check_octets("peer HIT", peer_hit, 16)
        cdef SaOut *sa = self.out_of_spi(
            spi, <const uint8_t *>local_hit if local_hit else NULL,
            <const uint8_t *>peer_hit if peer_hit else NULL)
        if sa != NULL:
            self.release_out(sa)
        reclaim(&self.retired, &self.index.marks)
        return sa != NULL

    def limit_out(self, spi, bytes local_hit, bytes peer_hit, octets) -> bool:
        """Let an outbound SA send so many inner octets and no more; False when there is none.

        Args:
            octets: on top of what is left of earlier numbers; None lifts the limit, and the next
                number starts from 0 again (RFC 8046 section 5.6).
        """
        check_octets("local HIT", local_hit, 16)
        check_octets("peer HIT", peer_hit, 16)
        cdef SaOut *sa = self.out_of_spi(spi, local_hit, peer_hit)
        cdef uint64_t base
        if sa == NULL:
            return False
        if octets is None:
            store_u64(&sa.limited, 0, ATOMIC_RELEASE)
            return True
        base = load_u64(&sa.allowance if sa.limited else &sa.spent, ATOMIC_RELAXED)
        store_u64(&sa.allowance, base + <uint64_t>octets, ATOMIC_RELAXED)
        store_u64(&sa.limited, 1, ATOMIC_RELEASE)
        return True

    def set_payload_most(self, spi, bytes local_hit, bytes peer_hit, uint64_t octets) -> bool:
        """Say what the path of an outbound SA carries at most; False when there is none.

        Args:
            octets: of ESP payload, 0 when nobody knows.
        """
        check_octets("local HIT", local_hit, 16)
        check_octets("peer HIT", peer_hit, 16)
        cdef SaOut *sa = self.out_of_spi(spi, local_hit, peer_hit)
        if sa == NULL:
            return False
        store_u64(&sa.payload_most, octets, ATOMIC_RELAXED)
        return True

    def set_link(self, spi, bytes local_hit, bytes peer_hit, int interface, bytes address) -> bool:
        """Say who is the next hop of an outbound SA of protocol 50; False when there is none.

        Args:
            interface: its number, 1 to 65535; 0: not known, the raw socket sends.
            address: of the next hop on that link, 6 octets; empty with 0.

        Raises:
            ValueError: neither.
        """
        check_octets("local HIT", local_hit, 16)
        check_octets("peer HIT", peer_hit, 16)
        if not 0 <= interface <= 0xffff or len(address) != (6 if interface else 0):
            raise ValueError(
                f"interface {interface} with a link address of {len(address)} octets: expected "
                "1 to 65535 with 6, or 0 with none")
        cdef SaOut *sa = self.out_of_spi(spi, local_hit, peer_hit)
        if sa == NULL:
            return False
        store_u64(
            &sa.link, <uint64_t>interface << 48 | <uint64_t>int.from_bytes(address, "big"),
            ATOMIC_RELAXED)
        return True

    def set_subnets(
            self, list owners, *, list peers4, list peers6, list here4, list here6,
            bint clamp_mss) -> None:
        """Route prefixes to peers from now on, and none but these.

        Args:
            owners: (local HIT, peer HIT), sorted by the peer's.
            peers4, peers6: ranges (first address as a number, owner: 0 nobody, else a place in
                owners counted from 1), which begin at 0 and ascend.
            here4, here6: ranges behind this host, owner 1; empty: whatever is no peer's.
            clamp_mss: whether the MSS of a routed TCP connection is lowered to what paths carry.

        Raises:
            ValueError: not sorted, or an owner that is not there.
        """
        cdef Subnets *old = self.index.subnets
        cdef Subnets *new = NULL
        if owners:
            new = make_subnets(owners, peers4, peers6, here4, here6, clamp_mss)
        store_pointer(<void **>&self.index.subnets, new, ATOMIC_RELEASE)
        if old != NULL:
            retire(&self.retired, &self.index.marks, &old.end, old, free_subnets)
        reclaim(&self.retired, &self.index.marks)

    def statistics(
            self, uint64_t used_since_ns=0
    ) -> list[tuple[int, int, int, int, int, int, bytes, bytes]]:
        """(direction, spi, packets, octets, sequence, last_used_ns, local HIT, peer HIT) of each.

        Direction: 0 in, 1 out. Outbound `sequence` is the last sent, inbound the highest accepted.

        Args:
            used_since_ns: leave out what has carried nothing since then (CLOCK_MONOTONIC); 0: all.
        """
        cdef list rows = []
        cdef Table *table = self.index.in_by_spi
        cdef SaIn *came
        cdef SaOut *went
        cdef uint64_t i
        reclaim(&self.retired, &self.index.marks)
        for i in range(table.mask + 1):
            came = <SaIn *>table.buckets[i].sa
            if (<size_t>came > TOMBSTONE
                    and load_u64(&came.last_used_ns, ATOMIC_RELAXED) >= used_since_ns):
                rows.append(row_in(came))
        table = self.index.out_by_pair
        for i in range(table.mask + 1):
            went = <SaOut *>table.buckets[i].sa
            if (<size_t>went > TOMBSTONE
                    and load_u64(&went.last_used_ns, ATOMIC_RELAXED) >= used_since_ns):
                rows.append(row_out(went))
        return rows

    def statistics_of(
            self, int direction, spi, bytes local_hit, bytes peer_hit
    ) -> tuple[int, int, int, int, int, int, bytes, bytes] | None:
        """The row of one SA, as in `statistics`; None when there is none."""
        check_octets("local HIT", local_hit, 16)
        check_octets("peer HIT", peer_hit, 16)
        cdef SaIn *came
        cdef SaOut *went
        if direction == 0:
            came = find_in(self.index, spi)
            return None if came == NULL else row_in(came)
        went = self.out_of_spi(spi, local_hit, peer_hit)
        return None if went == NULL else row_out(went)

    def reclaim(self) -> int:
        """Free what no worker can hold any more; returns how many things still wait."""
        reclaim(&self.retired, &self.index.marks)
        return self.retired.waiting

    # ---- what tests and benchmarks ask; workers use the inline functions of tables.pxd

    def has_in(self, spi) -> bool:
        """Whether an inbound SA of this SPI is installed."""
        return find_in(self.index, spi) != NULL

    def out_spi(self, bytes local_hit, bytes peer_hit) -> int | None:
        """SPI of the current outbound SA between two HITs."""
        check_octets("local HIT", local_hit, 16)
        check_octets("peer HIT", peer_hit, 16)
        cdef SaOut *sa = find_out(self.index, local_hit, peer_hit)
        return None if sa == NULL else sa.spi

    def out_spi_by_lsi(self, bytes local_lsi, bytes peer_lsi) -> int | None:
        """SPI of the outbound SA between two LSIs."""
        check_octets("local LSI", local_lsi, 4)
        check_octets("peer LSI", peer_lsi, 4)
        cdef SaOut *sa = find_out_by_lsi(self.index, local_lsi, peer_lsi)
        return None if sa == NULL else sa.spi

    # ---- the inside

    cdef SaOut *out_of_spi(
            self, uint32_t spi, const uint8_t *local, const uint8_t *peer) noexcept:
        """The SA of an outbound SPI, between these HITs unless they are NULL."""
        cdef uint64_t tag = tag_of_spi(self.index, spi)
        cdef Table *table = self.index.out_by_spi
        cdef uint64_t i = tag & table.mask
        cdef SaOut *sa
        while table.buckets[i].sa != NULL:
            sa = <SaOut *>table.buckets[i].sa
            if (<size_t>sa > TOMBSTONE and sa.spi == spi
                    and (peer == NULL or memcmp(sa.peer_hit, peer, 16) == 0)
                    and (local == NULL or memcmp(sa.local_hit, local, 16) == 0)):
                return sa
            i = (i + 1) & table.mask
        return NULL

    cdef int make_room(self, Table **place) except -1:
        """See that one more SA fits with half of the buckets empty; readers go on meanwhile."""
        cdef Table *old = place[0]
        cdef uint64_t buckets = buckets_wanted(old)
        if buckets == 0:
            return 0
        cdef Table *new = new_table(buckets)
        if new == NULL:
            raise MemoryError
        table_copy(new, old)
        store_pointer(<void **>place, new, ATOMIC_RELEASE)
        retire(&self.retired, &self.index.marks, &(<TableRecord *>old).end, old, free_table)
        return 0
