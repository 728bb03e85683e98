"""Tables of security associations for tests and benchmarks, and one call per kernel on them.

Each method checks every descriptor against the arena (`check_batch`), opens one `with nogil:` and
calls one kernel, so Python is left once per batch. The arena and the descriptor array belong to
the caller and are written in place: uint8[octets] and uint8[n * 20]. The workers of the data path
do not come this way.
"""

from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free
from libc.string cimport memcpy, memset

from hipgw._fastpath.beet cimport beet_rebuild_batch, beet_strip_batch
from hipgw._fastpath.descriptor cimport PacketDesc
from hipgw._fastpath.esp cimport (
    esp_cipher_init,
    esp_cipher_wipe,
    esp_open_batch,
    esp_seal_batch,
    suite_shape,
)
from hipgw._fastpath.key_cache cimport KeyRoom, key_room_free, key_room_init
from hipgw._fastpath.replay cimport replay_mark
from hipgw._fastpath.sa cimport SaIn, SaOut, SuiteShape

from hipgw._fastpath.descriptor import check_batch

cdef enum:
    CONTEXT_MOST = 64
    SEAL_ROOM = 64                  # before and after a payload, see esp.pxd
    REBUILD_ROOM = 40               # before a payload, see beet.pxd


def shape_of_suite(int suite) -> tuple[int, int, int, int, int]:
    """Octets of (encryption key, authentication key, IV, ICV, alignment); zeros: not carried."""
    cdef SuiteShape shape = suite_shape(suite)
    return (
        shape.encryption_key_octets, shape.authentication_key_octets, shape.iv_octets,
        shape.icv_octets, shape.align_octets,
    )


cdef class SealContext:
    """A table of outbound SAs; a context belongs to one thread at a time."""

    cdef SaOut *sa[CONTEXT_MOST]
    cdef Py_ssize_t count
    cdef KeyRoom keys

    def __cinit__(self) -> None:
        self.count = 0
        if key_room_init(&self.keys, True) != 0:
            raise MemoryError

    def __dealloc__(self) -> None:
        cdef Py_ssize_t i
        for i in range(self.count):
            esp_cipher_wipe(&self.sa[i].esp)
            free(self.sa[i])
        key_room_free(&self.keys)

    def add(
        self, uint32_t spi, int suite, bytes encryption_key not None,
        bytes authentication_key not None, uint64_t sequence=0, *, bint extended=False,
    ) -> int:
        """Key an SA whose last number sent is `sequence`; returns its `sa_index`.

        `extended`: whether its ICVs cover 64 bits of sequence numbers.
        """
        cdef SaOut *s
        if self.count == CONTEXT_MOST:
            raise ValueError(f"a SealContext holds {CONTEXT_MOST} SAs")
        s = <SaOut *>calloc(1, sizeof(SaOut))
        if s == NULL:
            raise MemoryError
        if esp_cipher_init(
            &s.esp, suite, <const uint8_t *>encryption_key, len(encryption_key),
            <const uint8_t *>authentication_key, len(authentication_key), extended,
            &self.keys,
        ) != 0:
            free(s)
            raise ValueError(f"ESP suite {suite} with keys of {len(encryption_key)} and "
                             f"{len(authentication_key)} octets cannot be used")
        s.spi = spi
        s.sequence = sequence
        self.sa[self.count] = s
        self.count += 1
        return self.count - 1

    def seal_batch(
        self, uint8_t[::1] arena not None, uint8_t[::1] descriptors not None, uint64_t now_ns=0
    ) -> int:
        """`esp_seal_batch` over uint8[octets] and uint8[n * 20]; how many stay FORWARD."""
        cdef Py_ssize_t n = check_batch(
            arena.shape[0], descriptors, self.count, SEAL_ROOM, SEAL_ROOM)
        cdef Py_ssize_t stay
        if n == 0:
            return 0
        with nogil:
            stay = esp_seal_batch(
                &arena[0], <PacketDesc *>&descriptors[0], n, self.sa, now_ns)
        return stay

    def statistics(self, Py_ssize_t index) -> tuple[int, int, int, int]:
        """(sequence, packets, octets, last_used_ns) of one SA."""
        if not 0 <= index < self.count:
            raise IndexError(index)
        return (
            self.sa[index].sequence, self.sa[index].packets, self.sa[index].octets,
            self.sa[index].last_used_ns,
        )


cdef class OpenContext:
    """A table of inbound SAs; a context belongs to one thread at a time."""

    cdef SaIn *sa[CONTEXT_MOST]
    cdef Py_ssize_t count
    cdef KeyRoom keys

    def __cinit__(self) -> None:
        self.count = 0
        if key_room_init(&self.keys, False) != 0:
            raise MemoryError

    def __dealloc__(self) -> None:
        cdef Py_ssize_t i
        for i in range(self.count):
            esp_cipher_wipe(&self.sa[i].esp)
            free(self.sa[i])
        key_room_free(&self.keys)

    def add(
        self, uint32_t spi, int suite, bytes encryption_key not None,
        bytes authentication_key not None, uint64_t sequence=0, *, bint extended=False,
    ) -> int:
        """Key an SA with a replay window that is empty but for its top; returns its `sa_index`.

        `extended`: whether its ICVs cover 64 bits of sequence numbers.
        """
        cdef SaIn *s
        if self.count == CONTEXT_MOST:
            raise ValueError(f"an OpenContext holds {CONTEXT_MOST} SAs")
        s = <SaIn *>calloc(1, sizeof(SaIn))
        if s == NULL:
            raise MemoryError
        if esp_cipher_init(
            &s.esp, suite, <const uint8_t *>encryption_key, len(encryption_key),
            <const uint8_t *>authentication_key, len(authentication_key), extended,
            &self.keys,
        ) != 0:
            free(s)
            raise ValueError(f"ESP suite {suite} with keys of {len(encryption_key)} and "
                             f"{len(authentication_key)} octets cannot be used")
        s.spi = spi
        if sequence:
            replay_mark(&s.replay, sequence)
        self.sa[self.count] = s
        self.count += 1
        return self.count - 1

    def open_batch(
        self, uint8_t[::1] arena not None, uint8_t[::1] descriptors not None, uint64_t now_ns=0
    ) -> int:
        """`esp_open_batch` over uint8[octets] and uint8[n * 20]; how many stay FORWARD."""
        cdef Py_ssize_t n = check_batch(arena.shape[0], descriptors, self.count, 0, 0)
        cdef Py_ssize_t stay
        if n == 0:
            return 0
        with nogil:
            stay = esp_open_batch(
                &arena[0], <PacketDesc *>&descriptors[0], n, self.sa, now_ns)
        return stay

    def statistics(self, Py_ssize_t index) -> tuple[int, int, int]:
        """(highest sequence number accepted, packets, last_used_ns) of one SA."""
        if not 0 <= index < self.count:
            raise IndexError(index)
        return (
            self.sa[index].replay.top, self.sa[index].packets, self.sa[index].last_used_ns,
        )


cdef class BeetContext:
    """A table of SA addresses; keys play no part here."""

    cdef SaOut out[CONTEXT_MOST]
    cdef SaIn into[CONTEXT_MOST]
    cdef SaOut *out_table[CONTEXT_MOST]
    cdef SaIn *into_table[CONTEXT_MOST]
    cdef Py_ssize_t count

    def __cinit__(self) -> None:
        self.count = 0

    def add(
        self, bytes local_hit not None, bytes peer_hit not None,
        bytes local_lsi not None, bytes peer_lsi not None,
    ) -> int:
        """Add an SA of either direction; returns its `sa_index`. LSIs of 0.0.0.0 mean none."""
        cdef Py_ssize_t index = self.count
        if index == CONTEXT_MOST:
            raise ValueError(f"a BeetContext holds {CONTEXT_MOST} SAs")
        if not len(local_hit) == len(peer_hit) == 16 or not len(local_lsi) == len(peer_lsi) == 4:
            raise ValueError("expected two HITs of 16 octets and two LSIs of 4")
        memset(&self.out[index], 0, sizeof(SaOut))
        memset(&self.into[index], 0, sizeof(SaIn))
        memcpy(self.out[index].local_hit, <const uint8_t *>local_hit, 16)
        memcpy(self.out[index].peer_hit, <const uint8_t *>peer_hit, 16)
        memcpy(self.out[index].local_lsi, <const uint8_t *>local_lsi, 4)
        memcpy(self.out[index].peer_lsi, <const uint8_t *>peer_lsi, 4)
        memcpy(self.into[index].local_hit, <const uint8_t *>local_hit, 16)
        memcpy(self.into[index].peer_hit, <const uint8_t *>peer_hit, 16)
        memcpy(self.into[index].local_lsi, <const uint8_t *>local_lsi, 4)
        memcpy(self.into[index].peer_lsi, <const uint8_t *>peer_lsi, 4)
        self.out_table[index] = &self.out[index]
        self.into_table[index] = &self.into[index]
        self.count += 1
        return index

    def strip_batch(
        self, uint8_t[::1] arena not None, uint8_t[::1] descriptors not None
    ) -> int:
        """`beet_strip_batch` over uint8[octets] and uint8[n * 20]; how many stay FORWARD."""
        cdef Py_ssize_t n = check_batch(arena.shape[0], descriptors, self.count, 0, 0)
        cdef Py_ssize_t stay
        if n == 0:
            return 0
        with nogil:
            stay = beet_strip_batch(
                &arena[0], <PacketDesc *>&descriptors[0], n, self.out_table, True)
        return stay

    def rebuild_batch(
        self, uint8_t[::1] arena not None, uint8_t[::1] descriptors not None,
        uint8_t hop_limit, uint8_t traffic_class,
    ) -> int:
        """`beet_rebuild_batch` over uint8[octets] and uint8[n * 20]; how many stay FORWARD."""
        cdef Py_ssize_t n = check_batch(
            arena.shape[0], descriptors, self.count, REBUILD_ROOM, 0)
        cdef Py_ssize_t stay
        if n == 0:
            return 0
        with nogil:
            stay = beet_rebuild_batch(
                &arena[0], <PacketDesc *>&descriptors[0], n, self.into_table, hop_limit,
                traffic_class)
        return stay

    def octets_in(self, Py_ssize_t index) -> int:
        """Octets of inner packets rebuilt for one SA."""
        if not 0 <= index < self.count:
            raise IndexError(index)
        return self.into[index].octets
