"""The nodes between sockets and TUN device over tables of SAs, for tests and figures.

What the workers do with a batch, in the order they do it, without descriptors to read and write.
The arena and the descriptor array belong to the caller and are written in place: uint8[octets] and
uint8[n * 20].
"""

from libc.stdint cimport uint8_t, uint64_t

from hipgw._fastpath.beet cimport beet_strip_batch
from hipgw._fastpath.bursts cimport manager_octets
from hipgw._fastpath.classify cimport (
    CARRIER_UDP,
    classify_inbound_batch,
    classify_outbound_batch,
)
from hipgw._fastpath.descriptor cimport BATCH_MOST, PacketDesc
from hipgw._fastpath.esp cimport esp_open_batch, esp_seal_batch
from hipgw._fastpath.key_cache cimport (
    KEY_WAYS,
    MANAGERS,
    KeyCache,
    KeyRoom,
    keys_made,
    slots_in_use,
)
from hipgw._fastpath.quiet cimport INBOUND, OUTBOUND, enter_batch, leave_batch
from hipgw._fastpath.sa cimport SaIn, SaOut
from hipgw._fastpath.tables cimport SaIndex, SaTables

from hipgw._fastpath.descriptor import check_batch

cdef enum:
    SEAL_ROOM = 64                  # before and after an inner packet, see esp.pxd


cdef Py_ssize_t batch_of(
        const uint8_t[::1] arena, const uint8_t[::1] descriptors, Py_ssize_t room) except -1:
    cdef Py_ssize_t n = check_batch(arena.shape[0], descriptors, BATCH_MOST, room, room)
    if n > BATCH_MOST:
        raise ValueError(f"a batch has at most {BATCH_MOST} packets, not {n}")
    return n


cdef uint64_t found(const uint8_t *place, uint64_t length, bytes octets):
    return (<char *>place)[:length].count(octets)


cdef uint64_t cache_traces(const KeyCache *cache, bytes octets):
    if cache.owner == NULL:
        return 0
    return found(cache.data, (cache.set_mask + 1) * KEY_WAYS * cache.stride, octets)


cdef class Nodes:
    """Both ways through one set of tables, whose workers it stands for: no data path runs on them.

    One thread at a time for each way; the tables may change meanwhile.
    """

    cdef SaTables tables

    def __cinit__(self, SaTables tables not None) -> None:
        self.tables = tables

    def seal_batch(
        self, uint8_t[::1] arena not None, uint8_t[::1] descriptors not None, uint64_t now_ns=0
    ) -> int:
        """Inner IP packets to ESP; how many stay FORWARD."""
        cdef Py_ssize_t n = batch_of(arena, descriptors, SEAL_ROOM)
        cdef SaIndex *index = self.tables.index
        cdef PacketDesc *desc
        cdef void *sa[BATCH_MOST]
        cdef Py_ssize_t stay = 0
        if n == 0:
            return 0
        desc = <PacketDesc *>&descriptors[0]
        with nogil:
            enter_batch(&index.marks, OUTBOUND)
            if classify_outbound_batch(&arena[0], desc, n, index, sa):
                beet_strip_batch(&arena[0], desc, n, <SaOut **>sa, False)
                stay = esp_seal_batch(&arena[0], desc, n, <SaOut **>sa, now_ns)
            leave_batch(&index.marks, OUTBOUND)
        return stay

    def open_batch(
        self, uint8_t[::1] arena not None, uint8_t[::1] descriptors not None, uint64_t now_ns=0
    ) -> int:
        """ESP as UDP delivered it to inner payloads; how many stay FORWARD."""
        cdef Py_ssize_t n = batch_of(arena, descriptors, 0)
        cdef SaIndex *index = self.tables.index
        cdef PacketDesc *desc
        cdef void *sa[BATCH_MOST]
        cdef Py_ssize_t stay = 0
        if n == 0:
            return 0
        desc = <PacketDesc *>&descriptors[0]
        with nogil:
            enter_batch(&index.marks, INBOUND)
            if classify_inbound_batch(&arena[0], desc, n, CARRIER_UDP, index, sa):
                stay = esp_open_batch(&arena[0], desc, n, <SaIn **>sa, now_ns)
            leave_batch(&index.marks, INBOUND)
        return stay

    def keys_made(self) -> tuple[int, int]:
        """How often a worker has set a key up: (outbound, inbound)."""
        cdef SaIndex *index = self.tables.index
        return keys_made(&index.keys[OUTBOUND]), keys_made(&index.keys[INBOUND])

    def keys_kept(self) -> tuple[int, int]:
        """How many keys are set up now: (outbound, inbound)."""
        cdef SaIndex *index = self.tables.index
        return slots_in_use(&index.keys[OUTBOUND]), slots_in_use(&index.keys[INBOUND])

    def traces(self, bytes octets not None) -> tuple[int, int]:
        """How often octets stand in what workers have keyed, and in managers of bursts.

        The longer lived half of what a key leaves behind, for tests that it is wiped.
        """
        cdef uint64_t keyed = 0
        cdef uint64_t managed = 0
        cdef KeyRoom *room
        cdef int i, k
        for i in (OUTBOUND, INBOUND):
            room = &self.tables.index.keys[i]
            keyed += cache_traces(&room.direct, octets)
            keyed += cache_traces(&room.library, octets)
            keyed += cache_traces(&room.bursts, octets)
            for k in range(MANAGERS):
                if room.managers[k] != NULL:
                    managed += found(<uint8_t *>room.managers[k], manager_octets(), octets)
        return keyed, managed
