"""Another configuration for a running endpoint: all that was derived from the old one follows.

Associations that stand keep standing, with the keys, suites and locators that they have agreed on;
those that the new policy refuses are closed.  Ceilings below what is there let nothing new in.
"""

from __future__ import annotations

from dataclasses import fields
from typing import Final

from hipgw.proto.association import Association
from hipgw.proto.closing import Closer
from hipgw.proto.config import EndpointConfig
from hipgw.proto.core import Core, TimerKind
from hipgw.proto.icmp_replies import IcmpReplier
from hipgw.proto.initiator import Initiator
from hipgw.proto.r1_pool import R1Pool
from hipgw.proto.responder import Responder
from hipgw.proto.states import State, Trigger
from hipgw.proto.upkeep import Upkeep

IN_R1: Final = frozenset(
    {
        "dh_groups",
        "hip_ciphers",
        "esp_suites",
        "hit_suites",
        "v1_dh_groups",
        "v1_transforms",
        "v1_esp_suites",
        "domain_identifier_type",
        "domain_identifier",
        "puzzle_ks",
        "puzzle_lifetime",
        "r1_period_s",
        "announce_locators",
        "locators_most",
        "locator_lifetime_s",
        "r1_rate",
        "r1_burst",
        "r1_source_rate",
        "r1_source_burst",
        "sources_most",
    }
)
"""Keys that R1s are made of, or that go with them to whoever sends them."""
FIXED: Final = frozenset({"r1_counter", "certificates"})
"""Where the counter begins, from where it goes on; and what `certificates_changed` replaces."""


class Reconfigurer:
    """Takes a new configuration into use."""

    def __init__(
        self,
        core: Core,
        pool: R1Pool,
        *,
        initiator: Initiator,
        responder: Responder,
        replier: IcmpReplier,
        closer: Closer,
        upkeep: Upkeep,
    ) -> None:
        self._core: Final = core
        self._pool: Final = pool
        self._initiator: Final = initiator
        self._responder: Final = responder
        self._replier: Final = replier
        self._closer: Final = closer
        self._upkeep: Final = upkeep

    def take(self, config: EndpointConfig, now: float) -> frozenset[str]:
        """Replace the configuration; returns the names of the keys that differ."""
        core, old = self._core, self._core.config
        changed = frozenset(
            field.name
            for field in fields(config)
            if field.name not in FIXED and getattr(old, field.name) != getattr(config, field.name)
        )
        if not changed:
            return changed
        core.take_config(config)
        self._set_rates()
        generations = core.activity.get("r1_generations", 0)
        self._responder.load.reconfigure(now)
        if changed & IN_R1 and core.activity.get("r1_generations", 0) == generations:
            self._pool.renew(now)
        for association in tuple(core.associations.values()):
            self._follow(association, changed, now)
        return changed

    def legacy_changed(self, now: float) -> None:
        """`config.is_legacy` says something else than before."""
        self._pool.renew(now)
        for association in tuple(self._core.associations.values()):
            if association.is_legacy and not self._core.config.is_legacy(association.peer):
                self._refuse(association, now)

    def _set_rates(self) -> None:
        config = self._core.config
        self._core.failures.reconfigure(config.sources_most)
        for limiter, name in (
            (self._responder.r1_limit, "r1"),
            (self._core.reply_limit, "reply"),
            (self._replier.limit, "icmp"),
        ):
            limiter.reconfigure(
                rate=getattr(config, f"{name}_rate"),
                burst=getattr(config, f"{name}_burst"),
                source_rate=getattr(config, f"{name}_source_rate"),
                source_burst=getattr(config, f"{name}_source_burst"),
                sources_most=config.sources_most,
            )

    def _follow(self, association: Association, changed: frozenset[str], now: float) -> None:
        """One association: closed if it is refused now, else its timers and locators follow."""
        core, state = self._core, association.state
        if "permits" in changed and not core.config.permits(association.peer):
            self._refuse(association, now)
            return
        if state is State.I1_SENT and changed & {"dh_groups"}:
            self._initiator.renew_i1(association)
        if {"update_rate", "update_burst"} & changed:
            association.updates.bucket = None
        if state is not State.ESTABLISHED:
            return
        if "ual_s" in changed:
            self._arm_life(association, now)
        if "heartbeat_s" in changed:
            core.cancel_timers(association, (TimerKind.HEARTBEAT,))
            self._upkeep.reachability.arm(association, now)
        if "rekey_s" in changed and association.esp.rekey is None:
            self._upkeep.switching.arm_from(association, now)
        if {"announce_locators", "locator_lifetime_s", "locators_most"} & changed:
            self._upkeep.mobility.tell(association, now)

    def _arm_life(self, association: Association, now: float) -> None:
        """When an association counts as idle; it is looked at again then, not closed blindly."""
        core = self._core
        if core.config.ual_s:
            used_s = max(association.last_heard_s, association.esp.last_sent_s or 0.0)
            core.timers.set((association, TimerKind.LIFE), max(used_s + core.config.ual_s, now))
        else:
            core.cancel_timers(association, (TimerKind.LIFE,))

    def _refuse(self, association: Association, now: float) -> None:
        """The policy does not permit this peer any more."""
        core = self._core
        if association.state in {State.R2_SENT, State.ESTABLISHED}:
            self._closer.close(association, Trigger.CLOSE_REQUESTED, "policy", now)
        elif association.state is State.I2_SENT:
            core.unwanted.add(association)
        elif association.allows(Trigger.CLOSE_REQUESTED) and association.initiation is not None:
            core.fail(association, Trigger.CLOSE_REQUESTED, "policy", now)
