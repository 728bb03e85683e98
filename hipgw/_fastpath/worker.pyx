"""The data path as the control plane sees it: two workers, their tables and their rings.

Each worker is one OS thread whose whole life is `run_outbound` or `run_inbound`, one call without
the GIL.  Everything else here runs in the control plane's thread, holds the GIL, and is done in
microseconds: it changes tables, drains punt rings, fills the inject ring, reads counters.

Descriptors are the caller's: they stay open until both threads have ended, and the TUN device is
set non-blocking.  Memory is taken here and given back with the object.
"""

from __future__ import annotations

import os

from cpython.bytes cimport PyBytes_FromStringAndSize
from libc.errno cimport errno
from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free
from libc.string cimport memcpy, memset

from hipgw._fastpath.answer_i1 cimport I1Desk
from hipgw._fastpath.batch_io cimport LINK, PATIENCE, RAW4, RAW6, SOCKETS, UDP4, UDP6, slot_room
from hipgw._fastpath.c.atomics cimport ATOMIC_RELAXED, ATOMIC_RELEASE, load_u64, store_u64
from hipgw._fastpath.c.events cimport EFD_CLOEXEC, EFD_NONBLOCK, close, eventfd
from hipgw._fastpath.descriptor cimport (
    BATCH_MOST,
    FORWARD,
    HEADROOM_OCTETS,
    PacketDesc,
)
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
from hipgw._fastpath.octets cimport load_be16
from hipgw._fastpath.outbound cimport outbound_loop
from hipgw._fastpath.queue_io cimport QUEUES_MOST
from hipgw._fastpath.quiet cimport INBOUND, OUTBOUND, WORKERS
from hipgw._fastpath.reasons cimport R_COUNT, R_INNER_MALFORMED, R_SPI_UNKNOWN
from hipgw._fastpath cimport rings
from hipgw._fastpath.rings cimport ByteRing, Record, octets_of, ring_peek, ring_pop, ring_push
from hipgw._fastpath.sa cimport SaIn
from hipgw._fastpath.tables cimport SaTables, find_in
from hipgw._fastpath.tun_io cimport write_packet, write_whole
from hipgw._fastpath.worker_state cimport (
    P_COUNT,
    P_TUN_TX,
    WorkerState,
    free_worker,
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

PUNT_CONTROL = rings.PUNT_CONTROL
PUNT_NO_SA = rings.PUNT_NO_SA
PUNT_FIRST_ESP = rings.PUNT_FIRST_ESP
PUNT_FAMILY = rings.PUNT_FAMILY
PUNT_EXPIRE = rings.PUNT_EXPIRE
PUNT_STRANGE = rings.PUNT_STRANGE
PUNT_CONTROL_RAW = rings.PUNT_CONTROL_RAW
PUNT_TOO_BIG = rings.PUNT_TOO_BIG

cdef enum:
    LEAST_SLOT = 512
    MOST_SLOT = 1 << 17
    IPV6_HEADER = 40
    LEAST_MTU = 1260            # IPv6's 1280, less what an LSI's packet grows by


cdef tuple meta_of(const Record *record):
    """What goes with a punted packet, by kind."""
    cdef Py_ssize_t octets
    if record.kind == rings.PUNT_CONTROL or record.kind == rings.PUNT_CONTROL_RAW:
        octets = 4 if record.family == 4 else 16
        return (
            PyBytes_FromStringAndSize(<const char *>record.source, octets), record.port,
            PyBytes_FromStringAndSize(<const char *>record.destination, octets))
    if record.kind == rings.PUNT_STRANGE:
        octets = 4 if record.family == 4 else 16
        return (
            PyBytes_FromStringAndSize(<const char *>record.source, octets), record.port,
            record.protocol, record.spi)
    if record.kind == rings.PUNT_FAMILY:
        return (record.spi, record.protocol, record.port)
    if record.kind == rings.PUNT_NO_SA:
        return ()
    if record.kind == rings.PUNT_TOO_BIG:
        return (record.port,)
    return (record.spi,)


cdef class DataPath:
    """Two workers over one TUN device and up to four sockets.

    Args:
        tun_fd: TUN device without packet information, or anything with one packet a read.
        udp4_fd, udp6_fd: datagram sockets of HIP's port with packet information on; -1: none.
        raw4_fd, raw6_fd: raw sockets of protocol 50; -1: none.
        hip4_fd, hip6_fd: raw sockets of protocol 139, with packet information on; -1: none.
        link_fd: packet socket that receives nothing; -1: none. See `SaTables.set_link`.
        slot_octets: room for one packet, headroom and tailroom included.
        batch: packets a round, 1 to 256.
        punt_octets: both punt rings and the inject ring together hold about this much.
        vnet_hdr: the TUN device was opened with vnet headers: what is read may be a super-packet,
            and TCP super-packets are written.
        uso: super-packets of UDP are written, too; only with vnet_hdr.
        udp_gso: runs of datagrams are sent as trains, as long as the kernel takes them.
        udp_gro: the UDP sockets were opened with UDP_GRO: what is received may be a train.
        queue_fds: sockets of netfilter queues, at most 17, with super-packets: their packets are
            taken as if they were read from the TUN device; see `set_queue_mtus`.
        class_mask: bits of the traffic class (DSCP, ECN) that pass between inner and outer header.

    Raises:
        ValueError: slot or batch out of range.
        OSError: a descriptor that cannot be waited on.
    """

    cdef WorkerState *worker[WORKERS]
    cdef Flows flows
    cdef readonly SaTables tables
    cdef readonly I1Desk desk
    cdef readonly int punt_fd
    cdef uint8_t *delivery              # one slot of the control plane's own
    cdef uint64_t delivered
    cdef uint64_t refused[R_COUNT]      # drops of `deliver_inbound`
    cdef bint running[WORKERS]

    def __cinit__(
            self, *, int tun_fd, int udp4_fd=-1, int udp6_fd=-1, int raw4_fd=-1, int raw6_fd=-1,
            int hip4_fd=-1, int hip6_fd=-1, int link_fd=-1, long slot_octets=2304, int batch=256,
            uint64_t punt_octets=4 << 20,
            bint vnet_hdr=False, bint uso=False, bint udp_gso=False, bint udp_gro=False,
            queue_fds=(), uint8_t class_mask=0xff):
        cdef int sockets[SOCKETS]
        self.punt_fd = -1
        if not LEAST_SLOT <= slot_octets <= MOST_SLOT:
            raise ValueError(f"slot of {slot_octets} octets: expected {LEAST_SLOT} to {MOST_SLOT}")
        if not 1 <= batch <= BATCH_MOST:
            raise ValueError(f"batch of {batch} packets: expected 1 to {BATCH_MOST}")
        os.set_blocking(tun_fd, False)
        sockets[UDP4] = udp4_fd
        sockets[UDP6] = udp6_fd
        sockets[RAW4] = raw4_fd
        sockets[RAW6] = raw6_fd
        sockets[LINK] = link_fd
        self.tables = SaTables()
        self.desk = I1Desk(self.tables)
        self.delivery = <uint8_t *>calloc(1, slot_octets)
        self.punt_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)
        if self.delivery == NULL or self.punt_fd < 0 or flows_init(&self.flows) != 0:
            raise MemoryError
        for i in range(WORKERS):
            self.worker[i] = new_worker(
                self.tables.index, &self.flows, <uint32_t>slot_octets, batch, punt_octets // 4)
            if self.worker[i] == NULL:
                raise MemoryError
            self.worker[i].tun_fd = tun_fd
            self.worker[i].bag.class_mask = class_mask
            self.worker[i].punt_fd = self.punt_fd
            memcpy(self.worker[i].sockets, sockets, sizeof(sockets))
        if (make_outbound(self.worker[OUTBOUND], punt_octets // 4, vnet_hdr) != 0
                or make_inbound(self.worker[INBOUND], udp_gro) != 0):
            raise MemoryError
        self.worker[OUTBOUND].bag.has_gso = udp_gso
        self.worker[OUTBOUND].bag.has_link = link_fd >= 0
        self.worker[INBOUND].answerer = self.desk.answerer
        self.worker[INBOUND].hip[0] = hip4_fd
        self.worker[INBOUND].hip[1] = hip6_fd
        self.worker[INBOUND].writer.fd = tun_fd
        self.worker[INBOUND].writer.has_vnet = vnet_hdr
        self.worker[INBOUND].writer.takes_tcp = vnet_hdr
        self.worker[INBOUND].writer.takes_udp = vnet_hdr and uso
        self.wait_on(OUTBOUND, tun_fd)
        for fd in (udp4_fd, udp6_fd, raw4_fd, raw6_fd, hip4_fd, hip6_fd):
            if fd >= 0:
                self.wait_on(INBOUND, fd)
        if queue_fds:
            self.add_queues(tuple(queue_fds))

    cdef int add_queues(self, tuple fds) except -1:
        cdef WorkerState *w = self.worker[OUTBOUND]
        if len(fds) > QUEUES_MOST:
            raise ValueError(f"{len(fds)} queues: expected at most {QUEUES_MOST}")
        if make_queues(w) != 0:
            raise MemoryError
        w.queues.mtu_hit = w.queues.mtu_lsi = LEAST_MTU
        for fd in fds:
            self.wait_on(OUTBOUND, fd)
        return 0

    cdef int wait_on(self, int worker, int fd) except -1:
        if watch(self.worker[worker], fd) != 0:
            raise OSError(errno, f"descriptor {fd} cannot be waited on: {os.strerror(errno)}")
        return 0

    def __dealloc__(self):
        for i in range(WORKERS):
            free_worker(self.worker[i])
        flows_free(&self.flows)
        free(self.delivery)
        if self.punt_fd >= 0:
            close(self.punt_fd)

    # ---- security associations: see SaTables

    def install_in(
            self, spi, int suite, bytes encryption_key, bytes authentication_key, bytes local_hit,
            bytes peer_hit, bytes local_lsi, bytes peer_lsi) -> None:
        """Add an inbound SA; see `SaTables.install_in`."""
        self.tables.install_in(
            spi, suite, encryption_key, authentication_key, local_hit, peer_hit, local_lsi,
            peer_lsi)

    def install_out(
            self, spi, int suite, bytes encryption_key, bytes authentication_key, bytes local_hit,
            bytes peer_hit, bytes local_lsi, bytes peer_lsi, *, int family, bytes source,
            bytes destination, bint udp, uint16_t source_port, uint16_t destination_port,
            uint64_t sequence=0) -> None:
        """Make this the current outbound SA of a pair of HITs; see `SaTables.install_out`."""
        self.tables.install_out(
            spi, suite, encryption_key, authentication_key, local_hit, peer_hit, local_lsi,
            peer_lsi, family=family, source=source, destination=destination, udp=udp,
            source_port=source_port, destination_port=destination_port, sequence=sequence)

    def remove_in(self, spi) -> bool:
        """Take an inbound SA away; False when there is none."""
        return self.tables.remove_in(spi)

    def remove_out(self, spi, bytes local_hit=b"", bytes peer_hit=b"") -> bool:
        """Take an outbound SA away; name the HITs, because peers may choose equal SPIs."""
        return self.tables.remove_out(spi, local_hit, peer_hit)

    def limit_out(self, spi, bytes local_hit, bytes peer_hit, octets) -> bool:
        """Bound what an outbound SA may send; see `SaTables.limit_out`."""
        return self.tables.limit_out(spi, local_hit, peer_hit, octets)

    def set_payload_most(self, spi, bytes local_hit, bytes peer_hit, octets) -> bool:
        """Say what the path of an outbound SA carries; see `SaTables.set_payload_most`."""
        return self.tables.set_payload_most(spi, local_hit, peer_hit, octets)

    def set_link(self, spi, bytes local_hit, bytes peer_hit, int interface, bytes address) -> bool:
        """Say who is the next hop of an outbound SA; see `SaTables.set_link`."""
        return self.tables.set_link(spi, local_hit, peer_hit, interface, address)

    def set_subnets(
            self, list owners, *, list peers4, list peers6, list here4, list here6,
            bint clamp_mss) -> None:
        """Route prefixes to peers; see `SaTables.set_subnets`."""
        self.tables.set_subnets(
            owners, peers4=peers4, peers6=peers6, here4=here4, here6=here6, clamp_mss=clamp_mss)

    def sa_statistics(
            self, uint64_t used_since_ns=0
    ) -> list[tuple[int, int, int, int, int, int, bytes, bytes]]:
        """See `SaTables.statistics`."""
        return self.tables.statistics(used_since_ns)

    def sa_statistics_of(
            self, int direction, spi, bytes local_hit, bytes peer_hit
    ) -> tuple[int, int, int, int, int, int, bytes, bytes] | None:
        """See `SaTables.statistics_of`."""
        return self.tables.statistics_of(direction, spi, local_hit, peer_hit)

    def set_queue_mtus(self, int hit_octets, int lsi_octets) -> None:
        """Say how long packets from netfilter queues may be, by family; 1260 until then.

        TCP super-packets are cut to it; what else is longer passes on to the TUN device.
        """
        if not LEAST_MTU <= min(hit_octets, lsi_octets) <= max(hit_octets, lsi_octets) <= 65535:
            raise ValueError(
                f"MTU of {hit_octets} and {lsi_octets} octets: expected {LEAST_MTU} to 65535")
        if self.worker[OUTBOUND].queues != NULL:
            store_u64(&self.worker[OUTBOUND].queues.mtu_hit, hit_octets, ATOMIC_RELEASE)
            store_u64(&self.worker[OUTBOUND].queues.mtu_lsi, lsi_octets, ATOMIC_RELEASE)

    # ---- the workers

    def run_outbound(self) -> None:
        """Carry packets from the TUN device to the sockets until `stop`; for a thread of its own.

        Raises:
            RuntimeError: called while another thread is in it.
        """
        self.begin(OUTBOUND)
        with nogil:
            outbound_loop(self.worker[OUTBOUND])
        self.running[OUTBOUND] = False

    def run_inbound(self) -> None:
        """Carry packets from the sockets to the TUN device until `stop`; as `run_outbound`."""
        self.begin(INBOUND)
        with nogil:
            inbound_loop(self.worker[INBOUND])
        self.running[INBOUND] = False

    cdef int begin(self, int worker) except -1:
        if self.running[worker]:
            raise RuntimeError("this worker already runs: one thread each")
        self.running[worker] = True
        return 0

    def stop(self) -> None:
        """Ask both workers to return; they do not run again. Join their threads afterwards."""
        for i in range(WORKERS):
            store_u64(&self.worker[i].stop, 1, ATOMIC_RELEASE)
            signal_event(self.worker[i].wake_fd)

    # ---- to and from the control plane

    def take_punts(self, int limit=64) -> list[tuple[int, bytes, tuple]]:
        """Take up to `limit` punts, from both workers by turns: (kind, octets, meta).

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
        cdef const Record *record
        cdef ByteRing *ring
        cdef int turn = INBOUND
        cdef int empty = 0              # rings in a row that had nothing
        quench(self.punt_fd)            # first: what comes from here on writes it again
        while empty < WORKERS and len(taken) < limit:
            ring = &self.worker[turn].punts
            turn = WORKERS - 1 - turn
            record = ring_peek(ring)
            if record == NULL:
                empty += 1
                continue
            empty = 0
            taken.append((
                record.kind, PyBytes_FromStringAndSize(octets_of(record), record.length),
                meta_of(record)))
            ring_pop(ring)
        if empty < WORKERS:
            signal_event(self.punt_fd)
        self.tables.reclaim()
        self.desk.free_retired()
        return taken

    def inject_outbound(self, bytes packet) -> bool:
        """Send an inner IP packet through the outbound nodes, before what the TUN device holds.

        False when the ring is full. Raises ValueError when the packet does not fit a slot.
        """
        cdef Record head
        cdef WorkerState *w = self.worker[OUTBOUND]
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
        cdef const uint8_t *octets = packet
        cdef uint32_t length = <uint32_t>len(packet)
        cdef SaIn *sa = find_in(self.tables.index, spi)
        cdef PacketDesc d
        cdef uint64_t octets_before = 0     # counted by the worker when it punted the packet
        cdef int patience = PATIENCE
        cdef int reason = 0
        if family not in (FAMILY_HIT, FAMILY_LSI):
            raise ValueError(f"family is 6 (HIT) or 4 (LSI), not {family}")
        memset(&d, 0, sizeof(PacketDesc))
        d.verdict = FORWARD
        if sa == NULL:
            reason = R_SPI_UNKNOWN
        elif (length < IPV6_HEADER or octets[0] >> 4 != 6
                or length > slot_room(&self.worker[INBOUND].arena)):
            reason = R_INNER_MALFORMED
        else:
            memcpy(self.delivery + HEADROOM_OCTETS, octets, length)
            d.offset = HEADROOM_OCTETS + IPV6_HEADER
            d.length = length - IPV6_HEADER
            d.next_header = octets[6]
            d.hop_limit = octets[7]
            d.traffic_class = <uint8_t>(load_be16(octets) >> 4)
            d.family = <uint8_t>family
            reason = write_packet(
                &self.worker[INBOUND].writer, self.delivery, &d, sa, &octets_before, &patience)
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
        """Packets by reason name and by where they passed, both workers together.

        Read without locks: each number is right, their sum may be a batch apart.
        """
        cdef dict totals = {}
        cdef uint64_t total
        for i in range(P_COUNT):
            total = 0
            for k in range(WORKERS):
                total += load_u64(&self.worker[k].path[i], ATOMIC_RELAXED)
            totals[_PATH_NAMES[i]] = total + (self.delivered if i == P_TUN_TX else 0)
        for i in range(1, R_COUNT):
            total = self.refused[i]
            for k in range(WORKERS):
                total += load_u64(&self.worker[k].reasons[i], ATOMIC_RELAXED)
            totals[_REASON_NAMES[i]] = total
        return totals
