"""Associations with whoever is at an address, for the control socket (RFC 7401 section 4.1.8)."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from hipgw.daemon.control_protocol import RefusedError
from hipgw.daemon.pins import Pins
from hipgw.errors import LocalProtocolError
from hipgw.proto import Established, Event, Failed, PeerFound, PeerNotFound, State
from hipgw.values import Address, Hit

if TYPE_CHECKING:
    from hipgw.daemon.gateway import Gateway

KEYED: Final = frozenset({State.R2_SENT, State.ESTABLISHED})


@dataclass(frozen=True, slots=True)
class Found:
    """Who was at the address, and what is remembered of it."""

    local: Hit
    peer: Hit
    is_pinned: bool
    is_new: bool
    """Whether the pin was made now."""


class Opportunity:
    """Opportunistic mode of this host: whether it is on, and the pins."""

    def __init__(self, gateway: Gateway, pins: Pins) -> None:
        """Take the switches from the configuration, and the addresses from the pins."""
        options = gateway.config.opportunistic
        self._gateway = gateway
        self.pins: Final = pins
        self.answers = options.answer
        self.initiates = options.initiate
        self._use_pins()

    def _use_pins(self) -> None:
        """Whoever is pinned to an address can be reached there."""
        if self._gateway.config.opportunistic.pin:
            for pin in self.pins.all():
                self._gateway.resolver.add_mapping(pin.hit, pin.address)

    @property
    def changed_by_hand(self) -> frozenset[str]:
        """Keys that differ from the configuration since somebody said so."""
        options = self._gateway.config.opportunistic
        shown = {"answer": self.answers, "initiate": self.initiates}
        differ = (key for key, is_on in shown.items() if getattr(options, key) != is_on)
        return frozenset(f"opportunistic.{key}" for key in differ)

    def follow(self) -> None:
        """Be as the configuration says, which was read again; what is known stays known."""
        options = self._gateway.config.opportunistic
        self.set(answer=options.answer, initiate=options.initiate)
        self._use_pins()

    def set(self, *, answer: bool | None, initiate: bool | None) -> None:
        """Turn the sides of it on and off, until the next reload or restart."""
        gateway = self._gateway
        if initiate is not None:
            self.initiates = initiate
        if answer is not None:
            self.answers = is_on = answer
            gateway.engine.step(lambda _: gateway.engine.endpoint.answer_opportunistic(is_on=is_on))

    async def connect(self, address: Address, local: Hit, wait_s: float) -> Found:
        """Ask who is at an address and wait for the association with him.

        Raises:
            RefusedError: this mode is off, nobody is there, somebody else than the pin says, or
                the exchange came to nothing.
        """
        if not self.initiates:
            raise RefusedError(
                "failed",
                "opportunistic mode is off: an address alone does not say who is there",
                "name the peer's HIT, or set [opportunistic] initiate = true",
            )
        end = asyncio.get_running_loop().time() + wait_s
        peer, is_anonymous = await self._seek(address, local, end)
        await self._exchange(local, peer, end)
        is_pinned = is_new = False
        if self._gateway.config.opportunistic.pin and not is_anonymous:
            is_new = self.pins.hit_at(address) is None
            is_pinned = await self.pins.keep(address, peer)
        self._gateway.resolver.add_mapping(peer, address)
        return Found(local, peer, is_pinned, is_new and is_pinned)

    async def _seek(self, address: Address, local: Hit, end: float) -> tuple[Hit, bool]:
        """The peer's HIT, and whether it is anonymous."""
        gateway = self._gateway
        expected = self.pins.hit_at(address) if gateway.config.opportunistic.pin else None
        paths = gateway.paths.to_address(address)[:1]
        if not paths:
            raise RefusedError("failed", f"no route to {address}", "see `ip route get`")

        def is_answer(event: Event) -> bool:
            if not isinstance(event, PeerFound | PeerNotFound):
                return False
            return (event.local, event.path.peer) == (local, address)

        waiter = asyncio.ensure_future(gateway.event(is_answer, _left(end)))
        await asyncio.sleep(0)
        try:
            gateway.engine.step(
                lambda now: gateway.engine.endpoint.want_peer_at(
                    paths, now, local=local, expected=expected
                )
            )
        except LocalProtocolError as error:
            waiter.cancel()
            raise RefusedError("failed", str(error), "see `hipgw identity list`") from error
        event = await waiter
        if isinstance(event, PeerFound):
            return event.peer, event.is_anonymous
        if isinstance(event, PeerNotFound):
            raise self._refusal(event, address, expected)
        gateway.engine.step(lambda _: gateway.engine.endpoint.forget_peer_at(address, local=local))
        raise RefusedError(
            "timeout",
            f"nobody at {address} has answered an I1 without a HIT",
            "the peer needs [opportunistic] answer = true, and its address must be right",
        )

    def _refusal(self, event: PeerNotFound, address: Address, expected: Hit | None) -> RefusedError:
        if event.reason == "peer_changed":
            return RefusedError(
                "peer_changed",
                f"WARNING: {address} now answers as {event.peer}, and not as {expected}, which is"
                " pinned: somebody may be in between, or the peer has a new key",
                f"if the new key is right, `hipgw pins remove {address}` and connect again",
            )
        if event.reason == "anonymous":
            return RefusedError(
                "failed",
                f"{event.peer} at {address} is anonymous, and [hip] accept_anonymous is false",
                "name its HIT if you trust it",
            )
        if event.reason == "no_answer":
            return RefusedError(
                "failed",
                f"nobody at {address} has answered an I1 without a HIT",
                "the peer needs [opportunistic] answer = true, and its address must be right",
            )
        return RefusedError("failed", f"no peer at {address}: {event.reason}", "see `hipgw drops`")

    async def _exchange(self, local: Hit, peer: Hit, end: float) -> None:
        """Wait for the base exchange that the R1 has begun."""
        gateway = self._gateway

        def is_end(event: Event) -> bool:
            return isinstance(event, Established | Failed) and event.local == local

        views = gateway.engine.endpoint.associations()
        if any((one.local, one.peer) == (local, peer) and one.state in KEYED for one in views):
            return
        event = await gateway.event_for([peer], is_end, _left(end))
        if isinstance(event, Established):
            return
        reason = "not done in time" if event is None else "failed"
        if isinstance(event, Failed):
            reason = f"failed: {event.reason}"
        raise RefusedError(
            "timeout" if event is None else "failed",
            f"base exchange with {peer} {reason}",
            "see `hipgw drops` here and at the peer",
        )


def _left(end: float) -> float:
    return max(end - asyncio.get_running_loop().time(), 0.0)
