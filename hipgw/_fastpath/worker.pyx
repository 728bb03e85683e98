"""The data path as the control plane sees it: pairs of workers, their tables and their rings.

A pair is an outbound and an inbound worker.  Each worker is one OS thread whose whole life is
`run_outbound` or `run_inbound`, one call without the GIL.  Everything else here runs in the control
plane's thread, holds the GIL, and is done in microseconds: it changes tables, drains punt rings,
fills the inject ring, reads counters.

Descriptors are the caller's: they stay open until all threads have ended, and those of the TUN
device are set non-blocking.  Memory is taken here and given back with the object.
"""

from __future__ import annotations

import os

from libc.errno cimport errno
from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free
from libc.string cimport memset

from hipgw._fastpath.answer_i1 cimport I1Desk
from hipgw._fastpath.batch_io cimport LINK, slot_room
from hipgw._fastpath.c.atomics cimport ATOMIC_RELAXED, ATOMIC_RELEASE, load_u64, store_u64
from hipgw._fastpath.c.events cimport EFD_CLOEXEC, EFD_NONBLOCK, close, eventfd
from hipgw._fastpath.classify cimport classify_outbound_batch
from hipgw._fastpath.deliver cimport deliver_payload
from hipgw._fastpath.descriptor cimport BATCH_MOST, PacketDesc
from hipgw._fastpath.flows cimport (
    FAMILY_HIT,
    FAMILY_LSI,
    FAMILY_UNKNOWN,
    PROTOCOL_TCP,
    PROTOCOL_UDP,
    Flows,
    flows_free,
    flows_init,
    set_port,
)
from hipgw._fastpath.inbound cimport inbound_loop
from hipgw._fastpath.outbound cimport outbound_loop
from hipgw._fastpath.punts cimport take_punt
from hipgw._fastpath.queue_io cimport QUEUES_MOST
from hipgw._fastpath.quiet cimport INBOUND, OUTBOUND, PAIRS_MOST, WORKERS_MOST
from hipgw._fastpath.reasons cimport R_COUNT
from hipgw._fastpath cimport rings
from hipgw._fastpath.rings cimport Record, ring_push
from hipgw._fastpath.sa cimport SaOut
from hipgw._fastpath.sa_face cimport SaFace
from hipgw._fastpath.tables cimport SaTables, find_in
from hipgw._fastpath.tun_io cimport write_whole
from hipgw._fastpath.worker_state cimport (
    P_COUNT,
    P_TUN_TX,
    WorkerState,
    free_worker,
    make_equal,
    make_inbound,
    make_outbound,
    make_queues,
    new_worker,
    quench,
    signal_event,
    watch,
)

from hipgw._fastpath.reasons import REASON_NAMES as _REASON_NAMES
from hipgw._fastpath.worker_state import PATH_NAMES as _PATH_NAMES

cdef enum:
    LEAST_SLOT = 512
    MOST_SLOT = 1 << 17
    LEAST_MTU = 1260            # IPv6's 1280, less what an LSI's packet grows by
    # What may wait between workers: all rings to one of them together, and each at least.
    HANDED_OCTETS = 4 << 20
    HANDED_OCTETS_LEAST = 1 << 19


cdef class DataPath(SaFace):
    """Pairs of workers over one TUN device and its sockets.

    The descriptors of the first pair, which alone reads HIP's raw sockets and answers I1s:
        tun_fd: TUN device without packet information, or anything with one packet a read.
        udp4_fd, udp6_fd: datagram sockets of HIP's port with packet information on; -1: none.
        raw4_fd, raw6_fd: raw sockets of protocol 50; -1: none.
        hip4_fd, hip6_fd: raw sockets of protocol 139, with packet information on; -1: none.

    Args:
        more_fds: TUN queue, UDP sockets and raw sockets of protocol 50 (IPv4, IPv6 each) of every
            further pair, at most 15. They are best steered (hipgw.drivers.steering), but packets
            find the owner of their SA in any case.
        link_fd: packet socket that receives nothing, for all pairs; -1: none. See
            `SaTables.set_link`.
        writer_fd: where inner packets are written; -1: to tun_fd.
        steering: how HITs are spread over the pairs; see `SaTables`.
        spin_us: how long a worker looks for packets before it sleeps.
        gives_way: inbound workers offer the processor to the readers of UDP datagrams now and then.
        slot_octets: room for one packet, headroom and tailroom included.
        batch: packets a round, 1 to 256.
        punt_octets: the punt rings and the inject ring of a pair together hold about this much.
        vnet_hdr: the TUN device was opened with vnet headers: what is read may be a super-packet,
            and TCP super-packets are written.
        uso: super-packets of UDP are written, too; only with vnet_hdr.
        udp_gso: runs of datagrams are sent as trains, as long as the kernel takes them.
        udp_gro: the UDP sockets were opened with UDP_GRO: what is received may be a train.
        queue_fds: sockets of netfilter queues, at most 17, with super-packets: their packets are
            taken as if they were read from the TUN device, by the pairs in turn; see
            `set_queue_mtus`.
        class_mask: bits of the traffic class (DSCP, ECN) that pass between inner and outer header.

    Raises:
        ValueError: slot or batch out of range, or too many of something.
        OSError: a descriptor that cannot be waited on.
    """

    cdef WorkerState *worker[WORKERS_MOST]
    cdef WorkerState *equals[2][PAIRS_MOST]     # the same by direction
    cdef int workers
    cdef Flows flows
    cdef readonly I1Desk desk
    cdef readonly int punt_fd
    cdef uint8_t *delivery              # one slot of the control plane's own
    cdef uint64_t delivered
    cdef uint64_t refused[R_COUNT]      # drops of `deliver_inbound`
    cdef bint running[WORKERS_MOST]

    def __cinit__(
            self, *, int tun_fd, int udp4_fd=-1, int udp6_fd=-1, int raw4_fd=-1, int raw6_fd=-1,
            int hip4_fd=-1, int hip6_fd=-1, int link_fd=-1, more_fds=(), int writer_fd=-1,
            uint32_t steering=1, uint32_t spin_us=0, bint gives_way=False, long slot_octets=2304,
            int batch=256, uint64_t punt_octets=4 << 20,
            bint vnet_hdr=False, bint uso=False, bint udp_gso=False, bint udp_gro=False,
            queue_fds=(), uint8_t class_mask=0xff):
        cdef int pairs = 1 + len(more_fds)
        cdef int pair
        self.punt_fd = -1
        if not LEAST_SLOT <= slot_octets <= MOST_SLOT:
            raise ValueError(f"slot of {slot_octets} octets: expected {LEAST_SLOT} to {MOST_SLOT}")
        if not 1 <= batch <= BATCH_MOST:
            raise ValueError(f"batch of {batch} packets: expected 1 to {BATCH_MOST}")
        self.tables = SaTables(pairs, steering)
        self.desk = I1Desk(self.tables)
        self.delivery = <uint8_t *>calloc(1, slot_octets)
        self.punt_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)
        if self.delivery == NULL or self.punt_fd < 0 or flows_init(&self.flows) != 0:
            raise MemoryError
        for i in range(2 * pairs):
            self.worker[i] = new_worker(
                i, self.tables.index, &self.flows, <uint32_t>slot_octets, batch, punt_octets // 4)
            if self.worker[i] == NULL:
                raise MemoryError
            self.workers += 1
            self.equals[i % 2][i // 2] = self.worker[i]
            self.worker[i].bag.class_mask = class_mask
            self.worker[i].punt_fd = self.punt_fd
            self.worker[i].spin_ns = <uint64_t>spin_us * 1000
            self.worker[i].sockets[LINK] = link_fd
            self.worker[i].bag.has_link = link_fd >= 0
        first = (tun_fd, udp4_fd, udp6_fd, raw4_fd, raw6_fd)
        for pair, fds in enumerate((first, *more_fds)):
            self.make_pair(pair, fds, punt_octets // 4, vnet_hdr, udp_gso, udp_gro)
            self.set_writer(pair, tun_fd if writer_fd < 0 else writer_fd, vnet_hdr, uso)
            self.worker[2 * pair + INBOUND].writer.gives_way = gives_way
        self.worker[INBOUND].answerer = self.desk.answerer
        self.worker[INBOUND].hip[0] = hip4_fd
        self.worker[INBOUND].hip[1] = hip6_fd
        for fd in (hip4_fd, hip6_fd):
            if fd >= 0:
                self.wait_on(INBOUND, fd)
        if queue_fds:
            self.add_queues(tuple(queue_fds))

    cdef int make_pair(
            self, int pair, tuple fds, uint64_t ring_octets, bint vnet_hdr, bint udp_gso,
            bint udp_gro) except -1:
        """Give a pair its descriptors, its rings, and its part in what is handed over."""
        cdef WorkerState *out = self.worker[2 * pair + OUTBOUND]
        cdef WorkerState *into = self.worker[2 * pair + INBOUND]
        cdef uint64_t handed = HANDED_OCTETS
        cdef int k
        tun_fd, udp4_fd, udp6_fd, raw4_fd, raw6_fd = fds
        sockets = (udp4_fd, udp6_fd, raw4_fd, raw6_fd)
        os.set_blocking(tun_fd, False)
        for k in range(LINK):
            out.sockets[k] = into.sockets[k] = sockets[k]
            if sockets[k] >= 0:
                self.wait_on(into.number, sockets[k])
        out.tun_fd = tun_fd
        self.wait_on(out.number, tun_fd)
        out.bag.has_gso = udp_gso
        if make_outbound(out, ring_octets, vnet_hdr) != 0 or make_inbound(into, udp_gro) != 0:
            raise MemoryError
        if self.workers > 2:
            handed = max(handed // (self.workers // 2 - 1), <uint64_t>HANDED_OCTETS_LEAST)
            if (make_equal(out, self.equals[OUTBOUND], handed) != 0
                    or make_equal(into, self.equals[INBOUND], handed) != 0):
                raise MemoryError
        return 0

    cdef void set_writer(self, int pair, int fd, bint vnet_hdr, bint uso) noexcept:
        cdef WorkerState *w = self.worker[2 * pair + INBOUND]
        w.writer.fd = fd
        w.writer.has_vnet = vnet_hdr
        w.writer.takes_tcp = vnet_hdr
        w.writer.takes_udp = vnet_hdr and uso

    cdef int add_queues(self, tuple fds) except -1:
        cdef WorkerState *w
        cdef int k
        if len(fds) > QUEUES_MOST:
            raise ValueError(f"{len(fds)} queues: expected at most {QUEUES_MOST}")
        for k, fd in enumerate(fds):
            w = self.equals[OUTBOUND][k % (self.workers // 2)]
            if w.queues == NULL:
                if make_queues(w) != 0:
                    raise MemoryError
                w.queues.mtu_hit = w.queues.mtu_lsi = LEAST_MTU
            self.wait_on(w.number, fd)
        return 0

    cdef int wait_on(self, int worker, int fd) except -1:
        if watch(self.worker[worker], fd) != 0:
            raise OSError(errno, f"descriptor {fd} cannot be waited on: {os.strerror(errno)}")
        return 0

    def __dealloc__(self):
        for i in range(self.workers):
            free_worker(self.worker[i])
        flows_free(&self.flows)
        free(self.delivery)
        if self.punt_fd >= 0:
            close(self.punt_fd)

    @property
    def pairs(self) -> int:
        """How many there are; workers are told apart by the number of their pair, from 0."""
        return self.workers // 2

    def set_queue_mtus(self, int hit_octets, int lsi_octets) -> None:
        """Say how long packets from netfilter queues may be, by family; 1260 until then.

        TCP super-packets are cut to it; what else is longer passes on to the TUN device.
        """
        if not LEAST_MTU <= min(hit_octets, lsi_octets) <= max(hit_octets, lsi_octets) <= 65535:
            raise ValueError(
                f"MTU of {hit_octets} and {lsi_octets} octets: expected {LEAST_MTU} to 65535")
        for i in range(self.workers):
            if self.worker[i].queues != NULL:
                store_u64(&self.worker[i].queues.mtu_hit, hit_octets, ATOMIC_RELEASE)
                store_u64(&self.worker[i].queues.mtu_lsi, lsi_octets, ATOMIC_RELEASE)

    # ---- the workers

    def run_outbound(self, int pair=0) -> None:
        """Carry packets from the TUN device to the sockets until `stop`; for a thread of its own.

        Raises:
            RuntimeError: called while another thread is in it.
            ValueError: there is no such pair.
        """
        cdef int worker = self.begin(pair, OUTBOUND)
        with nogil:
            outbound_loop(self.worker[worker])
        self.running[worker] = False

    def run_inbound(self, int pair=0) -> None:
        """Carry packets from the sockets to the TUN device until `stop`; as `run_outbound`."""
        cdef int worker = self.begin(pair, INBOUND)
        with nogil:
            inbound_loop(self.worker[worker])
        self.running[worker] = False

    cdef int begin(self, int pair, int direction) except -1:
        if not 0 <= pair < self.workers // 2:
            raise ValueError(f"no pair of workers {pair}: expected 0 to {self.workers // 2 - 1}")
        if self.running[2 * pair + direction]:
            raise RuntimeError("this worker already runs: one thread each")
        self.running[2 * pair + direction] = True
        return 2 * pair + direction

    def stop(self) -> None:
        """Ask all workers to return; they do not run again. Join their threads afterwards."""
        for i in range(self.workers):
            store_u64(&self.worker[i].stop, 1, ATOMIC_RELEASE)
            signal_event(self.worker[i].wake_fd)

    # ---- to and from the control plane

    def take_punts(self, int limit=64) -> list[tuple[int, bytes, tuple]]:
        """Take up to `limit` punts, from all workers by turns: (kind, octets, meta).

        PUNT_CONTROL: HIP packet over UDP, marker stripped; (source address, source port,
            destination address), addresses of 4 or 16 octets, zeros when the kernel did not say.
        PUNT_CONTROL_RAW: the same over IP protocol 139, IP header off; port 0.
        PUNT_NO_SA: inner IP packet as read from the TUN device; ().
        PUNT_FIRST_ESP: empty; (SPI,).
        PUNT_FAMILY: inner packet rebuilt over HITs, for `deliver_inbound` after a look at who
            listens; (SPI, protocol, local port).
        PUNT_EXPIRE: local HIT and peer HIT; (SPI,).
        PUNT_STRANGE: empty; (source address, source port, outer protocol, SPI) of ESP that names
            no inbound SA, at most once a second for one source. The packet is dropped and counted.
        PUNT_TOO_BIG: the first octets of an inner packet; (octets that it may have,).
        """
        cdef list taken = []
        cdef tuple punt
        cdef int turn = INBOUND
        cdef int empty = 0              # rings in a row that had nothing
        quench(self.punt_fd)            # first: what comes from here on writes it again
        while empty < self.workers and len(taken) < limit:
            punt = take_punt(&self.worker[turn].punts)
            turn = (turn + 1) % self.workers
            if punt is None:
                empty += 1
            else:
                empty = 0
                taken.append(punt)
        if empty < self.workers:
            signal_event(self.punt_fd)
        self.tables.reclaim()
        self.desk.free_retired()
        return taken

    cdef WorkerState *sender_of(self, bytes packet):
        """The outbound worker that owns the SA of an inner packet, or the first."""
        cdef PacketDesc d
        cdef void *sa[1]
        memset(&d, 0, sizeof(PacketDesc))
        d.length = <uint32_t>len(packet)
        if self.workers > 2 and classify_outbound_batch(packet, &d, 1, self.tables.index, sa):
            return self.equals[OUTBOUND][(<SaOut *>sa[0]).pair]
        return self.worker[OUTBOUND]

    def inject_outbound(self, bytes packet) -> bool:
        """Send an inner IP packet through the outbound nodes, before what the TUN device holds.

        False when the ring is full. Raises ValueError when the packet does not fit a slot.
        """
        cdef Record head
        cdef WorkerState *w = self.sender_of(packet)
        if not 0 < len(packet) <= slot_room(&w.arena):
            raise ValueError(
                f"packet of {len(packet)} octets: expected 1 to {slot_room(&w.arena)}")
        memset(&head, 0, sizeof(Record))
        head.kind = rings.KIND_INJECT
        if not ring_push(&w.inject, &head, packet, <uint32_t>len(packet)):
            return False
        signal_event(w.wake_fd)
        return True

    def deliver_inbound(self, bytes packet, int family, spi) -> bool:
        """Write an inner packet that PUNT_FAMILY brought to the TUN device, as HITs or LSIs.

        Args:
            packet: as punted: IPv6 over the HITs of the inbound SA.
            family: 6 HIT, 4 LSI.
            spi: that SA; its LSIs are used.

        Returns:
            False when it was dropped, and counted: the SA is gone, the packet is not one that
            was punted, the device did not take it.
        """
        cdef int reason
        if family not in (FAMILY_HIT, FAMILY_LSI):
            raise ValueError(f"family is 6 (HIT) or 4 (LSI), not {family}")
        reason = deliver_payload(
            &self.worker[INBOUND].writer, self.delivery, slot_room(&self.worker[INBOUND].arena),
            packet, <uint32_t>len(packet), <uint8_t>family, find_in(self.tables.index, spi))
        if reason == 0:
            self.delivered += 1
            return True
        self.refused[reason] += 1
        return False

    def write_inner(self, bytes packet) -> bool:
        """Write an IP packet of our own to the TUN device; False, and a count, when it is full."""
        cdef int reason
        if not packet:
            raise ValueError("expected a packet of at least one octet")
        reason = write_whole(
            &self.worker[INBOUND].writer, <const uint8_t *>packet, <uint32_t>len(packet))
        self.refused[reason] += reason != 0
        return reason == 0

    def set_port_family(self, int protocol, int port, int family) -> None:
        """Say whose packets a local TCP (6) or UDP (17) port takes: 6 HIT, 4 LSI, 0 ask again."""
        if protocol not in (PROTOCOL_TCP, PROTOCOL_UDP):
            raise ValueError(f"protocol {protocol} has no ports here: expected 6 or 17")
        if not 0 <= port <= 65535:
            raise ValueError(f"port {port} is not one: expected 0 to 65535")
        if family not in (FAMILY_UNKNOWN, FAMILY_LSI, FAMILY_HIT):
            raise ValueError(f"family is 6 (HIT), 4 (LSI) or 0, not {family}")
        set_port(&self.flows, <uint8_t>protocol, <uint16_t>port, <uint8_t>family)

    def counters(self) -> dict[str, int]:
        """Packets by reason name and by where they passed, all workers together.

        Read without locks: each number is right, their sum may be a batch apart.
        """
        cdef dict totals = {}
        cdef uint64_t total
        for i in range(P_COUNT):
            total = 0
            for k in range(self.workers):
                total += load_u64(&self.worker[k].path[i], ATOMIC_RELAXED)
            totals[_PATH_NAMES[i]] = total + (self.delivered if i == P_TUN_TX else 0)
        for i in range(1, R_COUNT):
            total = self.refused[i]
            for k in range(self.workers):
                total += load_u64(&self.worker[k].reasons[i], ATOMIC_RELAXED)
            totals[_REASON_NAMES[i]] = total
        return totals
