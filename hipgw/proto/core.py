"""What every part of the engine shares: tables, timers, and the way out for effects and events."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from enum import Enum
from typing import Final

from hipgw.crypto import PrivateHostIdentity
from hipgw.errors import LocalProtocolError
from hipgw.proto.association import Association
from hipgw.proto.config import EndpointConfig
from hipgw.proto.effects import Compute, Effect, InstallSa, JobId, RemoveSa, SendDatagram
from hipgw.proto.events import Closed, Established, Event, Failed
from hipgw.proto.jobs import Job, Keying
from hipgw.proto.limits import SourceLimiter
from hipgw.proto.states import State, Trigger
from hipgw.proto.timers import TimerHeap
from hipgw.values import Direction, Encapsulation, EspSuite, Hit, Path, SecurityAssociation, Spi
from hipgw.values.identifiers import SPI_LEAST
from hipgw.values.reasons import CONTROL_REASONS
from hipgw.wire import PacketType, with_checksum

JobEnd = Callable[[object, float], None]
"""Takes the result of a job and the time it came back."""


class TimerKind(Enum):
    """What a deadline is for."""

    RETRY = "send again"
    LIFE = "end of the present state: Exchange-Complete, UAL, CLOSED, E-FAILED"
    R1 = "new R1s"


TimerKey = tuple[Association | None, TimerKind]


class Core:
    """Tables and outlets of one endpoint; knows no packet layout and no protocol step."""

    def __init__(
        self,
        identities: Sequence[PrivateHostIdentity],
        config: EndpointConfig,
        randomness: Callable[[int], bytes],
        now: float,
    ) -> None:
        if not identities:
            raise LocalProtocolError("an endpoint needs at least one host identity")
        self.identities: Final = {identity.hit: identity for identity in identities}
        self.config: Final = config
        self.randomness: Final = randomness
        self.associations: Final[dict[tuple[Hit, Hit], Association]] = {}
        self.timers: Final[TimerHeap[TimerKey]] = TimerHeap()
        self.counters: Final = dict.fromkeys(CONTROL_REASONS, 0)
        self.activity: Final[dict[str, int]] = {}
        self.effects: list[Effect] = []
        self.events: list[Event] = []
        self.unwanted: Final[set[Association]] = set()
        """Associations in I2-SENT that the operator wants closed once their keys are agreed on."""
        self.r1s_issued = 0
        """R1s sent so far: tells which of two I2s answers the later R1."""
        self.reply_limit: Final = SourceLimiter(
            rate=config.reply_rate,
            burst=config.reply_burst,
            source_rate=config.reply_source_rate,
            source_burst=config.reply_source_burst,
            sources_most=config.sources_most,
            now=now,
        )
        self._by_spi: Final[dict[Spi, Association | None]] = {}
        self._jobs: Final[dict[JobId, JobEnd]] = {}
        self._job_serial = 0
        self._serial = 0

    # --- accounting ---

    def drop(self, reason: str) -> None:
        """Count one packet that goes no further."""
        self.counters[reason] += 1

    def note(self, what: str) -> None:
        """Count something that is not a drop."""
        self.activity[what] = self.activity.get(what, 0) + 1

    def next_serial(self) -> int:
        """A number larger than any before."""
        self._serial += 1
        return self._serial

    # --- randomness ---

    def jitter(self, delay_s: float) -> float:
        """`delay_s`, late by a random share, so that two hosts do not stay in step."""
        share = int.from_bytes(self.randomness(2), "big") / 65535
        return delay_s * (1.0 + self.config.retry_jitter * share)

    def reserve_spi(self) -> Spi:
        """A random inbound SPI that is neither reserved nor ours already (RFC 7402 3.3.4)."""
        while True:
            spi = Spi(int.from_bytes(self.randomness(4), "big"))
            if spi >= SPI_LEAST and spi not in self._by_spi:
                self._by_spi[spi] = None
                return spi

    def release_spi(self, spi: Spi) -> None:
        """Give back an SPI that was reserved and never installed."""
        self._by_spi.pop(spi, None)

    # --- outlets ---

    def transmit(self, octets: bytes, path: Path) -> None:
        """Send a finished packet; the checksum needs the addresses, so it is made here (5.1.1)."""
        if path.encapsulation is Encapsulation.RAW:
            octets = with_checksum(octets, path.local, path.peer)
        self.note(f"{PacketType(octets[2] & 0x7F).name.lower()}_sent")
        self.effects.append(SendDatagram(octets, path))

    def compute(self, job: Job, then: JobEnd) -> None:
        """Have `job` run elsewhere; `then` gets its result."""
        self._job_serial += 1
        job_id = JobId(self._job_serial)
        self._jobs[job_id] = then
        self.effects.append(Compute(job_id, job))

    def end_of_job(self, job_id: JobId) -> JobEnd | None:
        """Take what was to happen after a job; None when nobody waits for it."""
        return self._jobs.pop(job_id, None)

    # --- associations ---

    def find(self, local: Hit, peer: Hit) -> Association | None:
        """The association of a pair, or None."""
        return self.associations.get((local, peer))

    def pair(self, peer: Hit, local: Hit | None) -> tuple[PrivateHostIdentity, Association | None]:
        """Which of us speaks to `peer`: the one named, else the one that does, else the first.

        Raises:
            KeyError: `local` is not ours.
        """
        if local is not None:
            return self.identities[local], self.find(local, peer)
        best: Association | None = None
        for hit in self.identities:
            association = self.find(hit, peer)
            if association is not None and (best is None or association.state is State.ESTABLISHED):
                best = association
        if best is not None:
            return best.local, best
        return next(iter(self.identities.values())), None

    def by_spi(self, spi: Spi) -> Association | None:
        """Whose inbound SPI this is."""
        return self._by_spi.get(spi)

    def has_room(self) -> bool:
        """Whether one more association is below the ceiling."""
        return len(self.associations) < self.config.associations_most

    def add(self, association: Association) -> None:
        """Put a new association into the table."""
        self.associations[association.local.hit, association.peer] = association

    def change_local(self, association: Association, local: PrivateHostIdentity) -> None:
        """Go on under another identity of ours."""
        del self.associations[association.local.hit, association.peer]
        association.local = local
        self.add(association)

    def discard(self, association: Association) -> None:
        """Forget an association that has become UNASSOCIATED, SAs and timers included."""
        self.remove_sas(association)
        self.cancel_timers(association)
        self.unwanted.discard(association)
        association.keying = association.initiation = association.acceptance = None
        association.closing = None
        pair = association.local.hit, association.peer
        if self.associations.get(pair) is association:
            del self.associations[pair]

    # --- security associations ---

    def install_in(self, association: Association, spi: Spi, keying: Keying) -> None:
        """Install an inbound SA; it works before the peer learns its SPI."""
        self._by_spi[spi] = association
        association.spi_in = spi
        esp = keying.esp
        keys = keying.esp_suite, esp.encryption_in, esp.authentication_in
        self._install(association, Direction.IN, spi, keys)

    def install_out(self, association: Association, spi: Spi, keying: Keying) -> None:
        """Install an outbound SA, which replaces the present one of the pair."""
        association.spi_out = spi
        esp = keying.esp
        keys = keying.esp_suite, esp.encryption_out, esp.authentication_out
        self._install(association, Direction.OUT, spi, keys)

    def _install(
        self,
        association: Association,
        direction: Direction,
        spi: Spi,
        keys: tuple[EspSuite, bytes, bytes],
    ) -> None:
        suite, encryption_key, authentication_key = keys
        self.effects.append(
            InstallSa(
                SecurityAssociation(
                    direction,
                    spi,
                    suite,
                    encryption_key,
                    authentication_key,
                    association.local.hit,
                    association.peer,
                    association.path,
                )
            )
        )

    def remove_sa(self, association: Association, direction: Direction, spi: Spi) -> None:
        """Remove one SA, by value: it need not be the present one."""
        if direction is Direction.IN:
            self._by_spi.pop(spi, None)
        self.effects.append(RemoveSa(direction, spi, association.local.hit, association.peer))

    def remove_sas(self, association: Association) -> None:
        """Remove both present SAs, outbound first: no data in CLOSING and CLOSED (4.4.3)."""
        if association.spi_out is not None:
            self.remove_sa(association, Direction.OUT, association.spi_out)
        if association.spi_in is not None:
            self.remove_sa(association, Direction.IN, association.spi_in)
        association.spi_in = association.spi_out = None

    # --- timers and moves that several parts share ---

    def arm(self, association: Association, kind: TimerKind, now: float, delay_s: float) -> None:
        """Set or move one of the association's timers."""
        self.timers.set((association, kind), now + delay_s)

    def cancel_timers(
        self, association: Association, kinds: Iterable[TimerKind] = tuple(TimerKind)
    ) -> None:
        """Stop timers of an association."""
        for kind in kinds:
            self.timers.cancel((association, kind))

    def establish(self, association: Association, trigger: Trigger, now: float) -> None:
        """Move to ESTABLISHED; its SAs are installed already."""
        started_s = now
        if association.initiation is not None:
            started_s = association.initiation.started_s
        elif association.acceptance is not None:
            started_s = association.acceptance.started_s
        association.move(trigger, now)
        association.initiation = association.closing = None
        association.established_s = association.last_heard_s = now
        self.cancel_timers(association)
        if self.config.ual_s:
            self.arm(association, TimerKind.LIFE, now, self.config.ual_s)
        keying, spi_in, spi_out = association.keying, association.spi_in, association.spi_out
        if keying is None or spi_in is None or spi_out is None:
            return
        self.events.append(
            Established(
                association.local.hit,
                association.peer,
                association.path,
                association.role,
                spi_in,
                spi_out,
                keying.esp_suite,
                keying.cipher,
                keying.dh_group,
                now - started_s,
            )
        )

    def fail(self, association: Association, trigger: Trigger, reason: str, now: float) -> None:
        """Give up a base exchange of ours: E-FAILED, or away at once if the table says so."""
        notify_type = None
        if association.initiation is not None:
            notify_type = association.initiation.notify_type
        self.events.append(Failed(association.local.hit, association.peer, reason, notify_type))
        association.move(trigger, now)
        if association.state is State.UNASSOCIATED:
            self.discard(association)
            return
        self.remove_sas(association)
        self.cancel_timers(association)
        self.unwanted.discard(association)
        association.initiation = association.keying = None
        self.arm(association, TimerKind.LIFE, now, self.config.failed_hold_s)

    def end(self, association: Association, trigger: Trigger, now: float) -> None:
        """Move to UNASSOCIATED and forget."""
        association.move(trigger, now)
        self.discard(association)

    def closed(self, association: Association, reason: str) -> None:
        """Tell the operator that an association has ended."""
        self.events.append(Closed(association.local.hit, association.peer, reason))
