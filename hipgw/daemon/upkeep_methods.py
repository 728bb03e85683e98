"""What can be asked of the daemon about keys and addresses of associations that are there.

    rekey*: target, wait_s (default 15), to (user, kernel) -> {"peer": {...}, "took_s"}
    manual_update*: target (default: all peers), rekey (default: false) -> {"peers": how many}
    open_sa_pair*: target, address (one of ours) -> {} (RFC 8047 section 5.1)
    locators: -> {"locators": [own addresses, best first], "announce_locators"}

Those marked * change something: root only.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any, Final

from hipgw.daemon import views
from hipgw.daemon.control import Access, Method
from hipgw.daemon.control_protocol import RefusedError, take_params
from hipgw.daemon.gateway import Gateway
from hipgw.daemon.sa_home import NO_KERNEL
from hipgw.dataplane.interface import Carrier
from hipgw.proto import Closed, Event, Rekeyed, State
from hipgw.resolve import parse_locator
from hipgw.values import Hit

WAIT_S: Final = 15.0
WAIT_LIMIT_S: Final = 600.0

Params = Mapping[str, Any]


class UpkeepMethods:
    """The methods, bound to a running gateway."""

    def __init__(self, gateway: Gateway, target: Callable[[dict[str, Any]], Hit]) -> None:
        """Bind them.

        Args:
            gateway: the running daemon.
            target: the peer that the parameter `target` names, or a RefusedError.
        """
        self._gateway = gateway
        self._target = target

    def table(self) -> dict[str, Method]:
        """Method name -> what answers it."""
        return {
            "locators": Method(self._locators),
            "rekey": Method(self._rekey, Access.CHANGE),
            "manual_update": Method(self._manual_update, Access.CHANGE),
            "open_sa_pair": Method(self._open_sa_pair, Access.CHANGE),
        }

    async def _locators(self, params: Params) -> dict[str, Any]:
        take_params(params)
        known = self._gateway.paths.local_addresses or ()
        return {
            "locators": [str(address) for address in known],
            "announce_locators": self._gateway.config.hip.announce_locators,
        }

    async def _manual_update(self, params: Params) -> dict[str, Any]:
        given = take_params(params, target=str, rekey=bool)
        peer = self._target(given) if "target" in given else None
        with_rekey = bool(given.get("rekey"))
        engine = self._gateway.engine
        told = 0

        def update(now: float) -> None:
            nonlocal told
            told = engine.endpoint.manual_update(peer, now, with_rekey=with_rekey)

        engine.step(update)
        if peer is not None and not told:
            raise RefusedError(
                "not_found", f"no ESTABLISHED association with {peer}", "see `hipgw peers`"
            )
        return {"peers": told}

    async def _open_sa_pair(self, params: Params) -> dict[str, Any]:
        given = take_params(params, target=str, address=str)
        peer, engine = self._target(given), self._gateway.engine
        try:
            address = parse_locator(given.get("address", ""))
        except ValueError as error:
            raise RefusedError("bad_params", str(error), "name an address of this host") from error
        is_asked = False

        def ask(now: float) -> None:
            nonlocal is_asked
            is_asked = engine.endpoint.open_sa_pair(peer, address, now)

        engine.step(ask)
        if not is_asked:
            raise RefusedError(
                "not_found",
                f"no ESTABLISHED association with {peer} that could have keys for {address} now",
                "see `hipgw peers`, and wait until a rekey under way is done",
            )
        return {}

    async def _rekey(self, params: Params) -> dict[str, Any]:
        given = take_params(params, target=str, wait_s=float, to=str)
        wait_s = float(given.get("wait_s", WAIT_S))
        if not 0 <= wait_s <= WAIT_LIMIT_S:
            raise RefusedError("bad_params", f"wait_s is {wait_s:g}", f"use 0 to {WAIT_LIMIT_S:g}")
        peer = self._target(given)
        if "to" in given:
            self._choose_carrier(peer, given["to"])
        gateway = self._gateway
        started_s = gateway.engine.now()

        def is_end(event: Event) -> bool:
            return isinstance(event, Rekeyed | Closed)

        waiter = asyncio.ensure_future(gateway.event_for([peer], is_end, wait_s))
        await asyncio.sleep(0)
        self._begin(peer, waiter)
        event = await waiter
        if event is None:
            raise RefusedError(
                "timeout",
                f"the rekey with {peer} is not done after {wait_s:g} seconds",
                "the old keys stay in use; see whether the peer can be reached",
            )
        if not isinstance(event, Rekeyed):
            raise RefusedError("failed", f"the association with {peer} was closed", "try again")
        shown = views.association_view(gateway, event.local, peer, gateway.engine.now())
        if shown is None:
            raise RefusedError("failed", f"the association with {peer} is gone again", "try again")
        return {"peer": shown, "took_s": round(gateway.engine.now() - started_s, 6)}

    def _choose_carrier(self, peer: Hit, word: str) -> None:
        """New keys are to live there; RefusedError when they cannot."""
        if word not in set(Carrier):
            raise RefusedError("bad_params", f"nothing is called {word!r}", "use user or kernel")
        sas = self._gateway.sas
        if sas.split is None and sas.no_kernel == NO_KERNEL:
            raise RefusedError(
                "failed", f"this daemon runs with {NO_KERNEL}", 'set it to "auto" and restart'
            )
        if sas.split is None:
            raise RefusedError("failed", f"not here: {sas.no_kernel}", "see `hipgw doctor`")
        for view in self._gateway.engine.endpoint.table.views_of(peer):
            record = sas.outbound_of(view.local, peer)
            reason = "" if record is None else sas.split.reason_against(record.suite, record.path)
            if word == Carrier.KERNEL and reason:
                raise RefusedError("failed", f"the kernel cannot: {reason}", "see `hipgw doctor`")
            sas.split.wish(view.local, peer, Carrier(word), "hipgw rekey --to user")

    def _begin(self, peer: Hit, waiter: asyncio.Future[Event | None]) -> None:
        """Start the rekey, unless one is under way: the end of that one is as good."""
        engine = self._gateway.engine
        is_begun = False

        def rekey(now: float) -> None:
            nonlocal is_begun
            is_begun = engine.endpoint.rekey_association(peer, now)

        engine.step(rekey)
        if is_begun or any(
            view.is_rekeying and view.state is State.ESTABLISHED
            for view in engine.endpoint.table.views_of(peer)
        ):
            return
        waiter.cancel()
        raise RefusedError(
            "not_found",
            f"no ESTABLISHED association with {peer} whose keys could be replaced",
            "see `hipgw peers`, and make one with `hipgw connect`",
        )
