"""R1s made ahead, and the puzzles in them, so that answering an I1 costs one hash and no state.

A *generation* is one secret, one R1 counter value, and one signed R1 with its Diffie-Hellman key
per identity, group and difficulty (RFC 7401 sections 4.1.1, 4.1.4, appendix A): K is signed, so
peers with a difficulty of their own get other R1s.  The newest complete one is
offered, by us and, once published, by the data path; solutions of the two latest are accepted, and
with K that follows the load also those of earlier ones whose puzzles have not expired.  The opaque
field of a puzzle names the generation; its nonce holds the time (`puzzle_nonce`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Final

from hipgw.proto.announcing import exchange_locators
from hipgw.proto.certificate_offers import offer_for
from hipgw.proto.core import Core, TimerKind
from hipgw.proto.dialect import Dialect
from hipgw.proto.effects import PublishR1s, R1Limits, R1Template, StoreR1Counter
from hipgw.proto.puzzle_nonce import puzzle_nonce, stamp_of
from hipgw.proto.refusals import RefusedError
from hipgw.proto.responder_jobs import MadeR1, MakeR1
from hipgw.values import DhGroup, Hit, Path
from hipgw.wire import PacketType, Solution, patch_r1, puzzle_opaque_at

SECRET_OCTETS: Final = 32
ACCEPTED: Final = 2
"""Generations whose solutions are accepted in any case."""
KEPT: Final = 8
"""Generations that are kept where they follow each other faster than their puzzles expire."""
OPAQUE_VALUES: Final = 1 << 16


@dataclass(slots=True, eq=False)
class Generation:
    """One secret and the R1s that go with it."""

    counter: int
    k: int
    """Of every peer but those in `ks`."""
    secret: bytes = field(repr=False)
    wanted: int
    """R1s that were asked for; until as many came back, an older generation helps out."""
    is_bound_to_addresses: bool
    began: int
    """Tick of the R1 clock from which its stamps count."""
    lifetime_s: float
    """Of its puzzles."""
    ks: Mapping[Hit, int] = field(default_factory=dict)
    """Peers with a difficulty of their own."""
    ended: int = 0
    retired_s: float | None = None
    """When the next generation took over."""
    r1s: dict[tuple[Hit, DhGroup, int], MadeR1] = field(default_factory=dict, repr=False)
    used: set[bytes] = field(default_factory=set, repr=False)
    """Solutions of proven I2s: a replayed I2 must not bring its old keys back to life."""
    opaque: bytes = field(init=False)
    """What comes back with a solution and names the generation."""

    def __post_init__(self) -> None:
        self.opaque = (self.counter % OPAQUE_VALUES).to_bytes(2, "big")

    @property
    def is_complete(self) -> bool:
        """Whether every R1 is there, or known not to come."""
        return self.ended >= self.wanted

    def puzzle_i(self, octets: int, hit_i: Hit, hit_r: Hit, path: Path, stamp: int) -> bytes:
        """The nonce I, of `octets` octets, for one Initiator and one R1 (`puzzle_nonce`).

        Where R1s hold locators, the I2 may come from and to other addresses than the I1, so these
        are left out then (RFC 8047 section 4.2.8).
        """
        addresses = path.peer.packed + path.local.packed if self.is_bound_to_addresses else b""
        return puzzle_nonce(self.secret, hit_i, hit_r, addresses, self.opaque, stamp, octets)

    def k_for(self, peer: Hit) -> int:
        """Difficulty of the puzzles in the R1s for a peer."""
        return self.ks.get(peer, self.k)

    def r1_for(self, peer: Hit, local: Hit, group: DhGroup) -> MadeR1 | None:
        """The R1 of an identity of ours and a group, for a peer; None: not made, or not yet."""
        return self.r1s.get((local, group, self.k_for(peer)))

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
            (dialect, identity, groups, k)
            for dialect in core.dialects.offered
            for identity in core.offered(dialect.VERSION)
            for groups in dialect.offers(config)
            for k in self._ks(dialect.VERSION)
        ]
        generation = Generation(
            counter=self._counter,
            k=core.puzzle_k,
            ks=config.puzzle_ks,
            lifetime_s=config.puzzle_lifetime_s,
            secret=core.randomness(SECRET_OCTETS),
            wanted=len(offers),
            is_bound_to_addresses=not config.announce_locators,
            began=core.r1_clock.tick(now),
        )
        self._generations.append(generation)
        core.note("r1_generations")
        core.timers.set((None, TimerKind.R1), now + config.r1_period_s)
        for dialect, identity, groups, k in offers:
            traits = core.traits_of(identity.hit)
            host_id = dialect.host_id_of(identity, traits.di_type, traits.di)
            parameters = (
                *dialect.r1_parameters(config, generation.counter, k, identity.hit),
                *exchange_locators(core, None, None),
            )
            offer = offer_for(core, PacketType.R1, identity.hit)
            core.compute(
                MakeR1(dialect, identity, groups, host_id, parameters, traits.controls, offer),
                partial(self._made, generation, (identity.hit, k), groups),
            )

    def _ks(self, version: int) -> list[int]:
        """The difficulties that R1s of a HIP version are needed in, that of strangers first."""
        core = self._core
        own = {k for hit, k in core.config.puzzle_ks.items() if hit.version == version}
        return [core.puzzle_k, *sorted(own - {core.puzzle_k})]

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
        whose: tuple[Hit, int],
        groups: tuple[DhGroup, ...],
        result: object,
        now: float,
    ) -> None:
        generation.ended += 1
        if isinstance(result, MadeR1):
            for group in groups:
                generation.r1s[whose[0], group, whose[1]] = result
        else:
            self._core.note("r1_not_made")
        if not generation.is_complete:
            return
        for other in self._generations:
            if other.counter < generation.counter and other.retired_s is None:
                other.retired_s = now
        complete = [entry for entry in self._generations if entry.is_complete]
        if generation is complete[-1]:
            self._publish(generation)
        for number, stale in enumerate(reversed(complete)):
            if number >= ACCEPTED and (number >= KEPT or not self._is_needed(stale, now)):
                self._generations.remove(stale)

    def _is_needed(self, stale: Generation, now: float) -> bool:
        """Whether its puzzles count although two later generations are there.

        Where K follows the load, generations follow each other faster than puzzles expire.
        """
        if not self._core.config.puzzle_auto or stale.retired_s is None or self.is_spent(stale):
            return False
        return now <= stale.retired_s + 2 * stale.lifetime_s

    def publish_again(self) -> None:
        """An identity of ours was retired, or a limit has changed: the data path must know."""
        complete = [entry for entry in self._generations if entry.is_complete]
        if complete:
            self._publish(complete[-1])

    def _publish(self, generation: Generation) -> None:
        """Have the data path offer a generation, if it can."""
        config = self._core.config
        dialect = self._core.dialects.of_strangers
        nonces = {
            one.hit: dialect.nonce_octets(one.hit)
            for one in self._core.offered(dialect.VERSION)
            if dialect.may_use(one)
        }
        groups = dialect.dh_groups(config)
        self._core.effects.append(
            PublishR1s(
                opaque=generation.opaque,
                secret=generation.secret,
                began_us=generation.began,
                is_bound_to_addresses=generation.is_bound_to_addresses,
                dh_groups=groups,
                r1s=tuple(
                    R1Template(
                        hit,
                        group,
                        made.octets,
                        puzzle_opaque_at(made.octets),
                        nonces[hit],
                    )
                    for (hit, group, k), made in generation.r1s.items()
                    if hit in nonces and group in groups and k == generation.k
                ),
                limits=R1Limits(
                    config.r1_rate,
                    config.r1_burst,
                    config.r1_source_rate,
                    config.r1_source_burst,
                    config.sources_most,
                ),
                apart=frozenset(generation.ks),
            )
        )

    def r1_for(  # noqa: PLR0917 - what an R1 depends on
        self,
        dialect: Dialect,
        sender: Hit,
        local: Hit,
        group: DhGroup,
        path: Path,
        now: float,
    ) -> bytes:
        """The R1 that answers an I1, all but its checksum.

        Raises:
            RefusedError: no R1 is signed yet.
        """
        for generation in reversed(self._generations):
            made = generation.r1_for(sender, local, group)
            if made is not None:
                break
        else:
            raise RefusedError("busy")
        stamp = self._core.r1_clock.tick(now) - generation.began
        i = generation.puzzle_i(dialect.nonce_octets(local), sender, local, path, stamp)
        return dialect.r1_as_sent(patch_r1(made.octets, sender, generation.opaque, i))

    @staticmethod
    def tick_of(generation: Generation, solution: Solution) -> int:
        """When the R1 was sent that a solution of ours answers, as a tick of the R1 clock."""
        return generation.began + stamp_of(solution.i)

    def generation_of(self, solution: Solution, now: float) -> Generation:
        """The generation whose puzzle a SOLUTION answers.

        Raises:
            RefusedError: of an older one, or past its lifetime (section 4.1.2).
        """
        for generation in self._generations:
            if generation.opaque != solution.opaque:
                continue
            if (
                generation.retired_s is not None
                and now > generation.retired_s + 2 * generation.lifetime_s
            ):
                break
            return generation
        raise RefusedError("puzzle_expired")
