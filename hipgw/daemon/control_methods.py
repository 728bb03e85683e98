"""What can be asked of the daemon; `hipgw` and `hipconf` are two ways of asking.

Method: parameters -> result.  Those marked * change something: root only.

    ping: -> {"pong": true}
    version: -> {"version"}
    status: most (default 50) -> host, interface, identity, listening, associations (how many), hip,
        peers (so many), peers_total, health
    peers, associations, sas: first, most (default: all) -> {"<method>": [...], "total"}
    drops, hits: -> {"<method>": [...]}
    doctor: -> {"checks": [{"name", "outcome", "detail", "remedy"}]}
    connect*: target, wait_s (default 15), local (identity), anonymous
        -> {"peer": {...}, "took_s"}; with opportunistic the target is an address, and the answer
        has "address", "pinned", "new_pin", too
    close*: target, or "all" -> {"closed": [HIT, ...]}
    map_add*: hit, ip (address or host name), lsi (or null) -> {"hit", "ips", "lsi"}
    map_get: target -> {"hit", "ips", "lsi", "names"}
    hit_to_lsi: hit -> {"hit", "lsi"};  lsi_to_hit: lsi -> {"hit", "lsi"}

    default_hip_version: -> {"version"};  set_default_hip_version*: version -> {"version"}

`upkeep_methods` has more: rekey*, manual_update*, locators; `settings_methods` has reload*, set*,
puzzle, set_peer_puzzle*, new_puzzle*; `identity_methods`, too.

A target is a HIT, an LSI, or a name of the configuration or a hosts file.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path as FilePath
from typing import Any, Final

import hipgw
from hipgw.daemon import views
from hipgw.daemon.certificate_methods import CertificateMethods
from hipgw.daemon.cipher_views import cipher_rows
from hipgw.daemon.control import Access, Method
from hipgw.daemon.control_protocol import RefusedError, take_params
from hipgw.daemon.gateway import Gateway
from hipgw.daemon.health_views import doctor_view
from hipgw.daemon.identity_methods import IdentityMethods
from hipgw.daemon.legacy import VERSIONS
from hipgw.daemon.reloading import Reloader
from hipgw.daemon.settings_methods import SettingsMethods
from hipgw.daemon.upkeep_methods import UpkeepMethods
from hipgw.policy import LsiConflictError
from hipgw.proto import Established, Event, Failed, State
from hipgw.resolve import parse_locator
from hipgw.values import Address, Hit, Lsi

WAIT_S: Final = 15.0
WAIT_LIMIT_S: Final = 600.0
LOOK_UP_S: Final = 5.0

HIT_PREFIXES: Final = "HITs are of 2001:20::/28, in HIPv1 of 2001:10::/28"
KEYED_STATES: Final = frozenset({str(State.R2_SENT), str(State.ESTABLISHED)})
"""In R2-SENT the Responder has both SAs, and waits for the peer's first packet."""

Params = Mapping[str, Any]
Share = Callable[[Gateway, float, int, int | None], list[dict[str, Any]]]
"""Gateway, monotonic seconds, how many to skip, how many to show (None: all that are left)."""


class ControlMethods:
    """The methods, bound to a running gateway."""

    def __init__(self, gateway: Gateway, config_file: FilePath | None = None) -> None:
        """Bind them.

        Args:
            gateway: the running daemon.
            config_file: what `reload` reads; None without one.
        """
        self._gateway = gateway
        self._identities = IdentityMethods(gateway)
        self._reloader: Final = Reloader(gateway, config_file)

    def table(self) -> dict[str, Method]:
        """Method name -> what answers it."""
        gateway = self._gateway
        shares: dict[str, tuple[Share, Callable[[], int]]] = {
            "peers": (views.peers_view, lambda: views.peers_total(gateway)),
            "associations": (views.associations_view, lambda: len(gateway.engine.endpoint.table)),
            "sas": (views.sas_view, lambda: len(gateway.sas)),
        }
        lists: dict[str, Callable[[], Any]] = {
            "drops": lambda: views.drops_view(self._gateway),
            "hits": lambda: views.hits_view(self._gateway),
            "packets": self._gateway.data_counters,
        }
        reads: dict[str, Callable[[Params], Awaitable[dict[str, Any]]]] = {
            "ping": self._ping,
            "version": self._version,
            "status": self._status,
            "doctor": self._doctor,
            "map_get": self._map_get,
            "hit_to_lsi": self._hit_to_lsi,
            "lsi_to_hit": self._lsi_to_hit,
            "default_hip_version": self._default_hip_version,
        }
        changes: dict[str, Callable[[Params], Awaitable[dict[str, Any]]]] = {
            "connect": self._connect,
            "close": self._close,
            "map_add": self._map_add,
            "set_default_hip_version": self._set_default_hip_version,
        }
        table = {name: Method(_lister(name, view)) for name, view in lists.items()}
        table |= {name: Method(self._sharer(name, *how)) for name, how in shares.items()}
        table |= {name: Method(call) for name, call in reads.items()}
        table |= {name: Method(call, Access.CHANGE) for name, call in changes.items()}
        table |= self._identities.table()
        table |= SettingsMethods(self._gateway, self._reloader).table()
        table |= UpkeepMethods(self._gateway, self._target).table()
        return table | CertificateMethods(self._gateway).table()

    def _now(self) -> float:
        return self._gateway.engine.now()

    async def _ping(self, params: Params) -> dict[str, Any]:
        take_params(params)
        return {"pong": True}

    async def _version(self, params: Params) -> dict[str, Any]:
        take_params(params)
        return {"version": hipgw.__version__}

    async def _status(self, params: Params) -> dict[str, Any]:
        given = take_params(params, most=int)
        most = _share(given)[1]
        return views.status_view(
            self._gateway, self._now(), views.STATUS_PEERS if most is None else most
        )

    def _sharer(
        self, name: str, view: Share, total: Callable[[], int]
    ) -> Callable[[Params], Awaitable[dict[str, Any]]]:
        """Answers with a list, or a share of it, and how long the whole is."""

        async def answer(params: Params) -> dict[str, Any]:
            first, most = _share(take_params(params, first=int, most=int))
            return {name: view(self._gateway, self._now(), first, most), "total": total()}

        return answer

    async def _doctor(self, params: Params) -> dict[str, Any]:
        take_params(params)
        return {
            "checks": doctor_view(self._gateway),
            "ciphers": cipher_rows(self._gateway.facts.ciphers),
        }

    # --- associations ---

    async def _connect(self, params: Params) -> dict[str, Any]:
        given = take_params(
            params, target=str, wait_s=float, local=str, anonymous=bool, opportunistic=bool
        )
        wait_s = float(given.get("wait_s", WAIT_S))
        if not 0 <= wait_s <= WAIT_LIMIT_S:
            raise RefusedError("bad_params", f"wait_s is {wait_s:g}", f"use 0 to {WAIT_LIMIT_S:g}")
        if given.get("opportunistic"):
            return await self._connect_to_address(given, wait_s)
        peer = self._target(given)
        gateway = self._gateway
        source = await self._identities.source(given)
        started_s = self._now()
        known = self._view_of(peer, None if source is None else source.hit_for(peer))
        if known is None or known["state"] not in KEYED_STATES:
            local = (source or gateway.own.for_peer(peer)).hit_for(peer)
            known = self._view_of(peer, local)
            if known is not None and known["state"] == str(State.E_FAILED):
                # The operator asks for another try now, not when the hold is over.
                gateway.close_one(Hit.parse(known["local_hit"]), peer)
            await self._exchange(peer, local, wait_s)
            known = self._view_of(peer, local if source else None)
        if known is None:
            raise RefusedError("failed", f"the association with {peer} is gone again", "try again")
        return {"peer": known, "took_s": round(self._now() - started_s, 6)}

    async def _connect_to_address(self, given: Params, wait_s: float) -> dict[str, Any]:
        """`connect` with `opportunistic`: the target is an address, and who is there is learnt."""
        gateway = self._gateway
        address = await self._locator(given.get("target", ""))
        source = await self._identities.source(given) or gateway.own.entries[0]
        started_s = self._now()
        found = await gateway.opportunity.connect(address, source.hit, wait_s)
        known = self._view_of(found.peer, found.local)
        if known is None:
            raise RefusedError(
                "failed", f"the association with {found.peer} is gone again", "retry"
            )
        return {
            "peer": known,
            "took_s": round(self._now() - started_s, 6),
            "address": str(address),
            "pinned": found.is_pinned,
            "new_pin": found.is_new,
        }

    async def _exchange(self, peer: Hit, local: Hit, wait_s: float) -> None:
        """Begin a base exchange and wait for its end; RefusedError when it is not a good one.

        It may end as another identity of ours, whose HIT suite the peer accepts.
        """
        gateway = self._gateway

        def is_end(event: Event) -> bool:
            if isinstance(event, Failed):
                return event.local == local
            return isinstance(event, Established)

        waiter = asyncio.ensure_future(gateway.event_for([peer], is_end, wait_s))
        await asyncio.sleep(0)
        if not gateway.traffic.want(local, peer):
            waiter.cancel()
            raise RefusedError(
                "failed",
                f"no way to {peer}: no address known, or no route to it",
                "give its address: `hipconf daemon add map HIT IP`, [[peer]] or a hosts file",
            )
        event = await waiter
        if event is None:
            state = (self._view_of(peer, local) or {}).get("state", "UNASSOCIATED")
            raise RefusedError(
                "timeout",
                f"no association with {peer} after {wait_s:g} seconds (state {state})",
                "see whether the peer runs, its address is right, and no packet filter is between",
            )
        if isinstance(event, Failed):
            raise RefusedError(
                "failed",
                f"base exchange with {peer} failed: {event.reason}",
                "see `hipgw drops` here and at the peer",
            )

    async def _close(self, params: Params) -> dict[str, Any]:
        given = take_params(params, target=str)
        gateway = self._gateway
        if given.get("target") == "all":
            return {"closed": [str(hit) for hit in gateway.close_all()]}
        peer = self._target(given)
        pairs = [(view.local, view.peer) for view in gateway.engine.endpoint.table.views_of(peer)]
        if not pairs:
            raise RefusedError("not_found", f"no association with {peer}", "see `hipgw peers`")
        for local, _ in pairs:
            gateway.close_one(local, peer)
        return {"closed": [str(peer)]}

    def _view_of(self, peer: Hit, local: Hit | None) -> dict[str, Any] | None:
        """The best association with a peer, of `local` if given: an ESTABLISHED one if any."""
        table = self._gateway.engine.endpoint.table
        found = [view for view in table.views_of(peer) if local in {None, view.local}]
        found.sort(key=lambda view: view.state is not State.ESTABLISHED)
        if not found:
            return None
        return views.association_view(self._gateway, found[0].local, peer, self._now())

    # --- names, addresses, LSIs ---

    def _target(self, given: Mapping[str, Any]) -> Hit:
        """The peer that `target` names."""
        text = given.get("target")
        if not isinstance(text, str) or not text:
            raise RefusedError("bad_params", "no target", "name a HIT, an LSI or a host name")
        hit = self._hit_named(text)
        if hit is None:
            raise RefusedError(
                "not_found",
                f"nobody here is called {text!r}",
                "use a HIT, an LSI, or a name of the configuration or a hosts file",
            )
        if hit in self._gateway.facts.hits:
            raise RefusedError("bad_params", f"{text} is this host", "name a peer")
        return hit

    def _hit_named(self, text: str) -> Hit | None:
        self._refresh()
        try:
            hit = Hit.parse(text)
        except ValueError:
            hit = None
        if hit is not None:
            if not hit.version:
                raise RefusedError("bad_params", f"{text} is no HIT", HIT_PREFIXES)
            return hit
        try:
            return self._gateway.lsis.lsi_to_hit(Lsi.parse(text))
        except ValueError:
            return self._gateway.resolver.hit_of_name(text, self._gateway.default_version)

    def _refresh(self) -> None:
        if self._gateway.resolver.refresh():
            self._gateway.lsis.apply_fixed()

    async def _map_add(self, params: Params) -> dict[str, Any]:
        given = take_params(
            {name: value for name, value in params.items() if value is not None},
            hit=str,
            ip=str,
            lsi=str,
        )
        hit = _parsed(Hit.parse, given, "hit")
        if not hit.version or hit in self._gateway.facts.hits:
            raise RefusedError("bad_params", f"{hit} is no HIT of a peer", HIT_PREFIXES)
        address = await self._locator(given.get("ip", ""))
        lsi = _parsed(Lsi.parse, given, "lsi") if "lsi" in given else None
        if lsi is not None:
            if self._gateway.sas.has_peer(hit) and self._gateway.lsis.known_lsi(hit) != lsi:
                raise RefusedError(
                    "wrong_lsi", f"{hit} has another LSI in use", "close its association first"
                )
            try:
                self._gateway.lsis.fix(hit, lsi)
            except LsiConflictError as error:
                raise RefusedError("wrong_lsi", str(error), f"{error}: choose another") from error
        self._gateway.resolver.add_mapping(hit, address, lsi)
        return self._mapping(hit)

    async def _default_hip_version(self, params: Params) -> dict[str, Any]:
        take_params(params)
        return {"version": self._gateway.default_version}

    async def _set_default_hip_version(self, params: Params) -> dict[str, Any]:
        given = take_params(params, version=int)
        version = given.get("version")
        if version not in VERSIONS:
            raise RefusedError("bad_params", f"there is no HIP version {version}", "use 1 or 2")
        self._gateway.default_version = version
        return {"version": version}

    async def _locator(self, text: str) -> Address:
        """An address, or the first usable one of a host name."""
        try:
            return parse_locator(text)
        except ValueError as error:
            refusal = RefusedError("bad_params", str(error), "give an IP address or a host name")
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(LOOK_UP_S):
                found = await loop.getaddrinfo(text, None, type=socket.SOCK_DGRAM)
        except (OSError, UnicodeError, TimeoutError) as error:
            raise refusal from error
        for *_, address in found:
            try:
                return parse_locator(str(address[0]))
            except ValueError:
                continue
        raise refusal

    async def _map_get(self, params: Params) -> dict[str, Any]:
        given = take_params(params, target=str)
        return self._mapping(self._target(given))

    def _mapping(self, hit: Hit) -> dict[str, Any]:
        resolver, lsi = self._gateway.resolver, self._gateway.lsis.known_lsi(hit)
        return {
            "hit": str(hit),
            "ips": [str(address) for address in resolver.locators_of(hit)],
            "lsi": None if lsi is None else str(lsi),
            "names": list(resolver.names_of(hit)),
        }

    async def _hit_to_lsi(self, params: Params) -> dict[str, Any]:
        given = take_params(params, hit=str)
        self._refresh()
        hit = _parsed(Hit.parse, given, "hit")
        if not hit.version:
            raise RefusedError("bad_params", f"{hit} is no HIT", HIT_PREFIXES)
        try:
            return {"hit": str(hit), "lsi": str(self._gateway.lsis.hit_to_lsi(hit))}
        except LsiConflictError as error:
            raise RefusedError("failed", str(error), "see [network] lsi_prefix") from error

    async def _lsi_to_hit(self, params: Params) -> dict[str, Any]:
        given = take_params(params, lsi=str)
        self._refresh()
        lsi = _parsed(Lsi.parse, given, "lsi")
        hit = self._gateway.lsis.lsi_to_hit(lsi)
        if hit is None:
            raise RefusedError("not_found", f"no HIT has the LSI {lsi}", "see `hipgw peers`")
        return {"hit": str(hit), "lsi": str(lsi)}


def _share(given: Params) -> tuple[int, int | None]:
    """Which share of a list is wanted: how many to skip, how many to show."""
    first, most = given.get("first", 0), given.get("most")
    if first < 0 or (most is not None and most < 0):
        raise RefusedError("bad_params", "first and most count from 0", "use 0 or more")
    return first, most


def _lister(name: str, view: Callable[[], Any]) -> Callable[[Params], Awaitable[dict[str, Any]]]:
    async def answer(params: Params) -> dict[str, Any]:
        take_params(params)
        return {name: view()}

    return answer


def _parsed(parse: Callable[[str], Any], given: Params, name: str) -> Any:
    """A HIT or LSI parameter; RefusedError when it is missing or none."""
    try:
        return parse(given.get(name, ""))
    except ValueError as error:
        raise RefusedError("bad_params", str(error), f"give a {name}") from error
