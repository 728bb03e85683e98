"""Invariant: an Endpoint never raises; a packet is a move of its table or adds to one counter.

The input is a script (`script`) for a world (`world`): packets of a live exchange in every state,
changed (`editing`), made right again by the peer's keys if so asked, late, early, twice, reflected,
many; jobs that end late; time; the operator's wishes.  Also held: no packet of one peer moves the
association of another, what the engine sends is well formed, and its tables stay bounded.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cache
from ipaddress import IPv4Address, IPv6Address, ip_address

from hipgw.proto import TRANSITIONS, State, Trigger
from hipgw.values import Address, Encapsulation, Hit, Path, Spi
from hipgw.wire import (
    Ack,
    AddressLocator,
    DhGroupList,
    DiffieHellman,
    EchoRequestSigned,
    EchoRequestUnsigned,
    EchoResponseSigned,
    EspInfo,
    EspTransform,
    HipCipherList,
    HitSuiteList,
    LocatorRecord,
    LocatorSet,
    Notification,
    PacketType,
    Puzzle,
    R1Counter,
    RegRequest,
    Seq,
    SpiLocator,
    TransportFormatList,
    TransportLocator,
    UnknownParameter,
    emit_parameter,
    parse_packet,
)
from tests.fuzz.editing import VERBS, Sealing, checksummed, edited, edits_of
from tests.fuzz.script import (
    Do,
    Flag,
    Script,
    Step,
    emit_script,
    mutate_script,
    parse_script,
)
from tests.fuzz.target import Target
from tests.fuzz.tlvs import RawPacket, Tlv, join, split
from tests.fuzz.world import (
    Flavour,
    Parcel,
    Sizes,
    Snapshot,
    World,
    build,
    peer_host_id,
    sizes_of,
)

PACKETS_MOST = 150
"""Deliveries in one script."""
ENTRIES_MOST = 100
"""By how many entries the tables of a node may grow, whatever comes."""
FEW_PACKETS = 20
FLOOD_MOST = 32
"""More than any rate of `world` lets through at once."""
REST_S = 290.0
"""Longer than any association lives on its own with the lifetimes of `world`."""
WAITS_S = (0.01, 0.3, 0.6, 2.0, 9.0, 31.0, 61.0, 130.0, 700.0, 1501.0)
FORGEABLE = (
    PacketType.I1,
    PacketType.UPDATE,
    PacketType.NOTIFY,
    PacketType.CLOSE,
    PacketType.CLOSE_ACK,
    PacketType.I1,
    PacketType.R1,
    PacketType.I2,
    PacketType.R2,
    PacketType.HDRR,
    PacketType.HIP_DATA,
)
MAC, SIGNATURE = 61505, 61697
INSERT, REKEY = 9, 18
"""Numbers of the verbs of `editing` that add a parameter, and an ESP_INFO that fits."""
LOCATORS = tuple(
    ip_address(text)
    for text in (
        "198.51.100.9",
        "2001:db8::9",
        "224.0.0.1",
        "127.0.0.1",
        "fe80::9",
        "::",
        "192.0.2.1",
        *(f"203.0.113.{number}" for number in range(16)),
    )
)
EXTRA = (
    Seq(0),
    Seq(1),
    Ack((0,)),
    Ack((1,)),
    EchoRequestSigned(b"echo"),
    EchoRequestUnsigned(b"echo"),
    EchoResponseSigned(b"echo"),
    EspInfo(0, 0x1000, 0x2000),
    EspInfo(80, 0, 0x2000),
    DiffieHellman(7, bytes(64)),
    DiffieHellman(8, b"\1" * 96),
    LocatorSet(()),
    LocatorSet(tuple(LocatorRecord(AddressLocator(one), 60, 0, True) for one in LOCATORS[:1])),
    LocatorSet(tuple(LocatorRecord(AddressLocator(one), 1) for one in LOCATORS)),
    LocatorSet(tuple(LocatorRecord(SpiLocator(0x1000, one), 60) for one in LOCATORS)),
    LocatorSet((LocatorRecord(TransportLocator(9, 17, 0, 1, 0x1000, LOCATORS[0]), 60),)),
    LocatorSet((LocatorRecord(TransportLocator(0, 6, 0, 1, 0x1000, LOCATORS[1]), 60),)),
    Notification(1),
    Notification(24, b"why"),
    RegRequest(120, (1,)),
    DhGroupList((8, 7)),
    DhGroupList((4,)),
    DhGroupList((3, 4, 7)),
    HitSuiteList((5,)),
    HitSuiteList((1,)),
    HipCipherList((1,)),
    HipCipherList((9, 4)),
    EspTransform((7,)),
    EspTransform((99, 8)),
    TransportFormatList((1,)),
    Puzzle(5, 37, b"op", bytes(48)),
    Puzzle(4, 32, b"op", bytes(48)),
    R1Counter(0),
    R1Counter((1 << 64) - 1),
    EchoRequestSigned(bytes(1000)),
    EchoRequestUnsigned(bytes(1000)),
    UnknownParameter(1000, b"?"),
    UnknownParameter(1001, b"!"),
    UnknownParameter(65001, b"!"),
)
OPENINGS = {
    PacketType.I1: (emit_parameter(DhGroupList((7, 8))),),
    PacketType.UPDATE: (emit_parameter(Seq(0)),),
    PacketType.NOTIFY: (emit_parameter(Notification(24, b"why")),),
    PacketType.CLOSE: (emit_parameter(EchoRequestSigned(b"bye")),),
    PacketType.CLOSE_ACK: (emit_parameter(EchoResponseSigned(b"bye")),),
}


@cache
def snapshots() -> tuple[Snapshot, ...]:
    """A world for each state and flavour."""
    return tuple(Snapshot(build(state, flavour)) for flavour in Flavour for state in State)


@cache
def library() -> tuple[tuple[Tlv, ...], tuple[Parcel, ...]]:
    """Parameters and packets of all worlds."""
    worlds = [snapshot.copy() for snapshot in snapshots()]
    for flavour in Flavour:
        world = build(State.ESTABLISHED, flavour)
        for host in (world.peer, world.node):
            world.rekey(host)
            world.pump()
            world.readdress(host, 1)
            world.pump()
            world.wait(2.0)
        worlds.append(world)
    parcels = [one for world in worlds for one in world.node.history]
    tlvs = [tlv for payload, _ in parcels for tlv in split(payload).tlvs]
    tlvs += [(one.wire_type, one.contents()) for one in EXTRA]
    return tuple(tlvs), tuple(parcels)


@cache
def sizes(number: int) -> tuple[Sizes, Sizes]:
    """Tables of a world's node at the start, and when nothing happened but time."""
    world = snapshots()[number].copy()
    before = sizes_of(world.node.endpoint)
    world.rest(world.node, REST_S)
    return before, sizes_of(world.node.endpoint)


def run(octets: bytes) -> None:
    """Play a script, then let all of it time out."""
    script = parse_script(octets)
    number = script.world % len(snapshots())
    start, rested = sizes(number)
    play = Play(snapshots()[number].copy())
    world, node = play.world, play.world.node
    for step in script.steps:
        play.step(step)
    if play.delivered > FEW_PACKETS:
        grown = sizes_of(node.endpoint).entries - start.entries
        assert grown <= ENTRIES_MOST, f"tables grew by {grown} entries"
    world.rest(node, REST_S)
    assert not node.endpoint.associations(), "an association without end"
    assert not node.sas, "a security association without end"
    left = sizes_of(node.endpoint).lasting - rested.lasting
    assert left <= 0, f"{left} entries left over"


@dataclass
class Play:
    """A world that a script is played in."""

    world: World
    last: Parcel | None = None
    delivered: int = 0
    has_closed: bool = False
    """Whether the operator has asked for a close, which I2-SENT puts off."""

    def step(self, step: Step) -> None:
        world, node = self.world, self.world.node
        node.is_holding = step.has(Flag.HOLD_JOBS)
        match Do(step.verb % len(Do)):
            case Do.WAIT:
                world.wait(WAITS_S[step.amount % len(WAITS_S)])
            case Do.ASK:
                self._ask(step.amount)
            case Do.PEER:
                world.pump(to_node=False)
            case Do.JOB:
                if node.jobs:
                    self._finish_job(step.amount)
            case Do.FLOOD:
                self._flood(step)
            case _:
                parcel = self._parcel(step)
                if parcel is not None:
                    self._deliver(parcel)
        if not step.has(Flag.LEAVE_PEER):
            world.pump(to_node=False)

    # --- packets ---

    def _parcel(self, step: Step) -> Parcel | None:
        """The packet of a step, changed as it says; None if there is none."""
        found = self._original(step)
        if found is None:
            return None
        octets, path = found
        if Do(step.verb % len(Do)) is Do.RAW:
            return step.edits, replace(path, encapsulation=Encapsulation.UDP)
        if step.edits:
            octets = self._edited(octets, step)
        if step.has(Flag.OTHER_ENCAPSULATION):
            is_raw = path.encapsulation is Encapsulation.RAW
            path = self.world.path(self.world.node, udp=is_raw)
        if step.has(Flag.OTHER_SOURCE):
            path = replace(path, peer=_stranger(path, step.amount))
        if not step.has(Flag.KEEP_CHECKSUM):
            octets = checksummed(octets, path)
        return octets, path

    def _original(self, step: Step) -> Parcel | None:
        """The packet of a step before any change."""
        world, node = self.world, self.world.node
        path = world.path(node)
        sent = world.peer.history
        match Do(step.verb % len(Do)):
            case Do.RAW:
                return b"", path
            case Do.FORGE:
                return self._forged(FORGEABLE[step.which % len(FORGEABLE)]), path
            case Do.REFLECT:
                return (sent[step.which % len(sent)][0], path) if sent else None
            case Do.LIBRARY:
                parcels = library()[1]
                return parcels[step.which % len(parcels)][0], path
            case Do.DELIVER if node.inbox:
                at = step.which % len(node.inbox)
                return node.inbox[at] if step.has(Flag.KEEP_IN_INBOX) else node.inbox.pop(at)
        return node.history[-1 - step.which % len(node.history)] if node.history else None

    def _forged(self, kind: PacketType) -> bytes:
        """A packet of the peer with the least that its type needs, sealed."""
        hits = self.world.peer.hit.packed + self.world.node.hit.packed
        header = bytes([59, 4, kind, self.world.peer.version << 4 | 1]) + bytes(4) + hits
        tlvs = [tlv for one in OPENINGS.get(kind, ()) for tlv in split(bytes(40) + one).tlvs]
        if kind is PacketType.CLOSE_ACK:
            tlvs = self._answered_echo() or tlvs
        if kind not in {PacketType.I1, PacketType.NOTIFY}:
            tlvs.append((MAC, b""))
        if kind is not PacketType.I1:
            tlvs.append((SIGNATURE, b"\0\7" + bytes(64)))
        packet = join(RawPacket(header, tuple(tlvs)))
        return edited(packet, (), library()[0], self._sealing())

    def _answered_echo(self) -> list[Tlv]:
        for payload, _ in reversed(self.world.peer.history):
            for number, contents in split(payload).tlvs:
                if payload[2] == PacketType.CLOSE and number == EchoRequestSigned.TYPE:
                    return [(EchoResponseSigned.TYPE, contents)]
        return []

    def _sealing(self, step: Step | None = None) -> Sealing:
        return Sealing(
            self.world.peer,
            peer_host_id(self.world),
            mac=step is None or not step.has(Flag.KEEP_MAC),
            signature=step is None or not step.has(Flag.KEEP_SIGNATURE),
        )

    def _edited(self, octets: bytes, step: Step) -> bytes:
        return edited(octets, edits_of(step.edits), library()[0], self._sealing(step))

    def _deliver(self, parcel: Parcel) -> None:
        """Deliver, and hold what happened against the table and the counters."""
        self.delivered += 1
        if self.delivered > PACKETS_MOST:
            return
        self.last = parcel
        node = self.world.node
        before, counted = node.states(), _drops(self.world)
        self.world.receive(node, parcel)
        rises = _drops(self.world) - counted
        assert 0 <= rises <= 1, f"{rises} counters for one packet"
        self._check_moves(parcel[0], before, is_refused=bool(rises))

    def _check_moves(
        self, octets: bytes, before: dict[tuple[Hit, Hit], State], *, is_refused: bool
    ) -> None:
        sender = octets[8:24]
        after = self.world.node.states()
        for peer, local in before.keys() | after.keys():
            was = before.get((peer, local), State.UNASSOCIATED)
            now = after.get((peer, local), State.UNASSOCIATED)
            if peer.packed != sender:
                assert was is now, f"a packet of another host moved {was} to {now}"
                continue
            if was is now and is_refused:
                continue
            if was is State.E_FAILED and now is State.R2_SENT:
                was = State.UNASSOCIATED  # the hold ends early
            moves = {TRANSITIONS.get((was, trigger)) for trigger in _triggers(octets[2] & 0x7F)}
            if self.has_closed:
                moves |= {TRANSITIONS.get((m, Trigger.CLOSE_REQUESTED)) for m in moves if m}
            is_other_local = (peer, local) not in after or (peer, local) not in before
            assert now in moves or is_other_local or was is now, (was, now, octets[2])
        if is_refused or self.world.node.is_holding:
            return
        _check_accepted(octets, self.world.node.states(), before)

    def _finish_job(self, number: int) -> None:
        counted = _drops(self.world)
        self.world.finish_job(self.world.node, number)
        rises = _drops(self.world) - counted
        assert 0 <= rises <= 1, f"{rises} counters for one job"

    def _flood(self, step: Step) -> None:
        """The last packet once more and again: other senders, nonces or sources."""
        if self.last is None:
            return
        octets, path = self.last
        changed = bytearray(octets)
        for number in range(1, 1 + step.amount % FLOOD_MOST):
            place = step.which % 3
            if place == 0 and len(changed) > 23:
                changed[22:24] = number.to_bytes(2, "big")
            elif place == 1 and len(changed) > 48:
                changed[-1 - number % 8] = number & 255
            other = step.has(Flag.OTHER_SOURCE)
            way = replace(path, peer=_stranger(path, number)) if other else path
            self._deliver((checksummed(bytes(changed), way), way))

    # --- everybody else ---

    def _ask(self, amount: int) -> None:
        world = self.world
        host = world.node if amount & 1 else world.peer
        wish = amount >> 1 & 15
        match wish:
            case 0:
                world.want(host)
            case 1:
                self.has_closed = True
                world.close(host)
            case 2:
                world.esp(host, is_known=not amount & 32)
            case 3:
                stranger = Hit(world.peer.hit.packed[:14] + amount.to_bytes(2, "big"))
                path = world.path(world.node)
                world.node.endpoint.want_association(stranger, [path], world.now)
            case 4:
                world.rekey(host, is_pair=bool(amount & 32))
            case 5 | 6:
                host.endpoint.manual_update(None, world.now, with_rekey=wish == 6)
            case 7 | 8 | 9 | 10:
                world.readdress(host, wish)
            case 11 | 12:
                world.use(host, 1000 if wish == 11 else 200_000)
            case 13:
                for _, spi, _ in tuple(host.sas):
                    host.endpoint.sa_expiring(Spi(spi), world.now)
            case _:
                for view in host.endpoint.associations():
                    host.endpoint.path_failed(view.path, world.now, is_certain=wish == 14)
        world.settle(host)
        world.settle(world.node)


def _stranger(path: Path, number: int) -> Address:
    """An address that nobody has, of the family of a path."""
    if path.local.version == 4:
        return IPv4Address(0xC6336400 + number)
    return IPv6Address((0x20010DB8 << 96) + (number << 64))


def _check_accepted(
    octets: bytes, after: dict[tuple[Hit, Hit], State], before: dict[tuple[Hit, Hit], State]
) -> None:
    """A packet without a counter is well formed and has a place in the state table."""
    packet = parse_packet(octets, versions=frozenset({1, 2}))
    triggers = _triggers(packet.packet_type)
    states = {before.get((packet.sender, local)) for local in _locals(packet.receiver, before)}
    states |= {None} if packet.receiver.is_null else set()
    moves = {
        TRANSITIONS.get((state or State.UNASSOCIATED, trigger))
        for state in states
        for trigger in triggers
    }
    assert State.E_FAILED in states or moves - {None}, (packet.packet_type, states)


def _locals(receiver: Hit, before: dict[tuple[Hit, Hit], State]) -> set[Hit]:
    return {local for _, local in before} if receiver.is_null else {receiver}


def _drops(world: World) -> int:
    return sum(world.node.endpoint.counters.values())


@cache
def _triggers(number: int) -> frozenset[Trigger]:
    """Triggers that a packet type may be: those whose name begins with its name."""
    if number not in set(PacketType):
        return frozenset()
    name = PacketType(number).name
    return frozenset(
        trigger
        for trigger in Trigger
        if trigger.name.rpartition(name + "_")[0] == "" and trigger.name.startswith(name + "_")
    )


def prepare() -> None:
    """Build the worlds."""
    library()
    for number in range(len(snapshots())):
        sizes(number)


def seeds() -> Iterator[bytes]:
    """Each thing once, each change to an expected packet, and floods, in a third of worlds."""
    for world in range(len(snapshots())):
        for number, steps in enumerate(_openings()):
            if (world + number) % 3 == 0:
                yield emit_script(Script(world, steps))


def _openings() -> Iterator[tuple[Step, ...]]:
    deliver, replay = Step(int(Do.DELIVER), 0, 0, 0), Step(int(Do.REPLAY), 0, 0, 0)
    held = Step(int(Do.DELIVER), 0, int(Flag.HOLD_JOBS), 0)
    job, ask = Step(int(Do.JOB), 0, 0, 0), Step(int(Do.ASK), 0, 0, 0)
    for verb in Do:
        for which in range(len(FORGEABLE) if verb is Do.FORGE else 3):
            yield (Step(int(verb), which, 0, which),)
    for amount in range(32):
        yield replace(ask, amount=amount), deliver, deliver, deliver
    for way in range(3):
        yield replay, Step(int(Do.FLOOD), way, int(Flag.OTHER_SOURCE), 20)
    first = Step(int(Do.FORGE), 0, 0, 0)
    yield first, Step(int(Do.FLOOD), 0, int(Flag.OTHER_SOURCE), 31)
    yield held, job, deliver, replay, deliver
    yield from _rekeys()
    rekey, move = replace(ask, amount=8), replace(ask, amount=16)
    for change in (rekey, move, replace(rekey, amount=9), replace(move, amount=17)):
        for verb in range(len(VERBS)):
            edit = bytes([verb, verb % 3, 0, verb, 1])
            yield change, replace(deliver, edits=edit), deliver
    yield ask, held, held, replay, job, job, deliver
    for verb in range(len(VERBS)):
        edit = bytes([verb, 1 + verb % 5, 0, 3 * verb, 255])
        yield (replace(deliver, edits=edit),)
        yield ask, deliver, replace(deliver, edits=edit)
        yield Step(int(Do.FORGE), 1 + verb % 4, 0, 0, edit), deliver
    for at in range(12):
        for verb, place, value in ((0, 0, 9), (3, 1, 0), (6, 0, 0), (11, 0, 0), (11, 1, 0)):
            edit = bytes([verb, at, 0, place, value])
            yield (replace(deliver, edits=edit),)
            yield ask, deliver, replace(deliver, edits=edit)
    for place in range(len(EXTRA)):
        edit = bytes([INSERT, 0, 0, place, 0])
        yield replace(deliver, edits=edit), deliver, deliver
        for which in (1, 3):
            yield (Step(int(Do.FORGE), which, 0, 0, edit),)


def _rekeys() -> Iterator[tuple[Step, ...]]:
    """UPDATEs of the peer with an ESP_INFO that fits, alone and with something else."""
    deliver = Step(int(Do.DELIVER), 0, 0, 0)
    for place in range(8):
        edit = bytes([REKEY, 0, 0, place, 7])
        yield Step(int(Do.FORGE), 1, 0, 0, edit), deliver, deliver
        for extra in range(len(EXTRA)):
            both = edit + bytes([INSERT, 0, 0, extra, 0])
            if extra % 8 == place:
                yield Step(int(Do.FORGE), 1, 0, 0, both), deliver, deliver


TARGET = Target("engine", run, seeds, mutate_script, prepare, octets_most=1500)
