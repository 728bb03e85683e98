"""R1s made ahead, and the puzzles in them, so that answering an I1 costs one hash and no state.

A *generation* is one secret, one R1 counter value, and one signed R1 with its Diffie-Hellman key
per identity and group (RFC 7401 sections 4.1.1, 4.1.4, appendix A).  The newest complete one is
offered; solutions of the two latest are accepted.  The opaque field of a puzzle holds the
generation in its upper 4 bits and a running number in the others, so one Initiator does not get
the same I twice from the same Diffie-Hellman key (section 4.1.2), and we see which of two I2s is
the later one.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from typing import Final

from hipgw.proto.announcing import exchange_locators
from hipgw.proto.core import Core, TimerKind
from hipgw.proto.dialect import Dialect
from hipgw.proto.effects import StoreR1Counter
from hipgw.proto.refusals import RefusedError
from hipgw.proto.responder_jobs import MadeR1, MakeR1
from hipgw.values import DhGroup, Hit, Path
from hipgw.wire import Solution, patch_r1

SECRET_OCTETS: Final = 32
ACCEPTED: Final = 2
"""Generations whose solutions are accepted."""
NUMBER_BITS: Final = 12


@dataclass(slots=True, eq=False)
class Generation:
    """One secret and the R1s that go with it."""

    counter: int
    k: int
    secret: bytes = field(repr=False)
    wanted: int
    """R1s that were asked for; until as many came back, an older generation helps out."""
    is_bound_to_addresses: bool
    ended: int = 0
    retired_s: float | None = None
    """When the next generation took over."""
    r1s: dict[tuple[Hit, DhGroup], MadeR1] = field(default_factory=dict, repr=False)
    used: set[bytes] = field(default_factory=set, repr=False)
    """Solutions of proven I2s: a replayed I2 must not bring its old keys back to life."""

    @property
    def is_complete(self) -> bool:
        """Whether every R1 is there, or known not to come."""
        return self.ended >= self.wanted

    def puzzle_i(
        self, dialect: Dialect, hit_i: Hit, hit_r: Hit, path: Path, opaque: bytes
    ) -> bytes:
        """The nonce I for one Initiator: Ltrunc(RHASH(secret | HITs | addresses | opaque)).

        Where R1s hold locators, the I2 may come from and to other addresses than the I1, so these
        are left out then (RFC 8047 section 4.2.8).
        """
        octets = self.secret + hit_i.packed + hit_r.packed
        if self.is_bound_to_addresses:
            octets += path.peer.packed + path.local.packed
        return dialect.puzzle_i(hit_r, octets + opaque)

    def is_used(self, solution: Solution) -> bool:
        """Whether a proven I2 has used this solution up."""
        return solution.i[:12] + solution.j[:12] in self.used


class R1Pool:
    """Makes generations ahead of time and answers for the puzzles in them."""

    def __init__(self, core: Core, now: float) -> None:
        self._core = core
        self._generations: list[Generation] = []
        self._counter = core.config.r1_counter
        self.renew(now)

    def renew(self, now: float) -> None:
        """Begin a generation: new secret, counter + 1, R1s to be signed (section 5.2.3)."""
        core, config = self._core, self._core.config
        self._counter += 1
        core.effects.append(StoreR1Counter(self._counter))
        offers = [
            (dialect, identity, groups)
            for dialect in core.dialects.offered
            for identity in core.identities_of(dialect.VERSION)
            for groups in dialect.offers(config)
        ]
        generation = Generation(
            counter=self._counter,
            k=config.puzzle_k,
            secret=core.randomness(SECRET_OCTETS),
            wanted=len(offers),
            is_bound_to_addresses=not config.announce_locators,
        )
        self._generations.append(generation)
        core.note("r1_generations")
        core.timers.set((None, TimerKind.R1), now + config.r1_period_s)
        for dialect, identity, groups in offers:
            traits = core.traits_of(identity.hit)
            host_id = dialect.host_id_of(identity, traits.di_type, traits.di)
            parameters = (
                *dialect.r1_parameters(config, generation.counter, generation.k, identity.hit),
                *exchange_locators(core, None, None),
            )
            core.compute(
                MakeR1(dialect, identity, groups, host_id, parameters, traits.controls),
                partial(self._made, generation, identity.hit, groups),
            )

    def is_spent(self, generation: Generation) -> bool:
        """Whether so many solutions of it were used that it takes no more."""
        return len(generation.used) >= self._core.config.solutions_most

    def use(self, generation: Generation, solution: Solution, now: float) -> None:
        """Use up the solution of a proven I2; the last one of a generation begins the next."""
        generation.used.add(solution.i[:12] + solution.j[:12])
        if self.is_spent(generation) and generation is self._generations[-1]:
            self.renew(now)

    def on_addresses_changed(self, now: float) -> None:
        """Our locators stand in the R1s, if anywhere: make new ones."""
        if self._core.config.announce_locators:
            self.renew(now)

    def _made(
        self,
        generation: Generation,
        local: Hit,
        groups: tuple[DhGroup, ...],
        result: object,
        now: float,
    ) -> None:
        generation.ended += 1
        if isinstance(result, MadeR1):
            for group in groups:
                generation.r1s[local, group] = result
        else:
            self._core.note("r1_not_made")
        if not generation.is_complete:
            return
        for other in self._generations:
            if other.counter < generation.counter and other.retired_s is None:
                other.retired_s = now
        complete = [entry for entry in self._generations if entry.is_complete]
        for stale in complete[:-ACCEPTED]:
            self._generations.remove(stale)

    def r1_for(
        self, dialect: Dialect, sender: Hit, local: Hit, group: DhGroup, path: Path
    ) -> bytes:
        """The R1 that answers an I1, all but its checksum.

        Raises:
            RefusedError: no R1 is signed yet.
        """
        for generation in reversed(self._generations):
            made = generation.r1s.get((local, group))
            if made is not None:
                break
        else:
            raise RefusedError("busy")
        self._core.r1s_issued += 1
        number = self._core.r1s_issued % (1 << NUMBER_BITS)
        opaque = ((generation.counter % 16) << NUMBER_BITS | number).to_bytes(2, "big")
        i = generation.puzzle_i(dialect, sender, local, path, opaque)
        return dialect.r1_as_sent(patch_r1(made.octets, sender, opaque, i))

    def serial_of(self, solution: Solution) -> int:
        """How many R1s had been sent when the one that a solution of ours answers was.

        Only the lower bits are in the puzzle: after more than 4096 other R1s the answer is too
        large, never too small.
        """
        issued = self._core.r1s_issued
        number = int.from_bytes(solution.opaque, "big")
        return issued - (issued - number) % (1 << NUMBER_BITS)

    def generation_of(self, solution: Solution, now: float) -> Generation:
        """The generation whose puzzle a SOLUTION answers.

        Raises:
            RefusedError: of an older one, or past its lifetime (section 4.1.2).
        """
        number = int.from_bytes(solution.opaque, "big") >> NUMBER_BITS
        lifetime_s = self._core.config.puzzle_lifetime_s
        for generation in self._generations:
            if generation.counter % 16 != number:
                continue
            if generation.retired_s is not None and now > generation.retired_s + 2 * lifetime_s:
                break
            return generation
        raise RefusedError("puzzle_expired")
