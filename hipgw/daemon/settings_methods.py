"""What can be asked of the daemon about its configuration while it runs.

    reload*: -> {"taken": [keys that hold now], "restart_needed": [keys that hold after a restart]}
    set*: any of heartbeat_s, shotgun, announce_locators, puzzle, puzzle_k -> {"set": {...}}
    puzzle: hit -> {"k": of the newest R1s, "mode", "least", "ceiling", "peers": [{"hit", "k"}]};
        with a hit {"hit", "k", "own": whether it has one of its own}
    set_peer_puzzle*: hit, k -> as puzzle with that hit; without k as everybody's
    new_puzzle*: hit -> as puzzle; begins a new generation of R1s

What `set` changes holds until the next reload or restart.  Those marked * change something: root
only.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from hipgw.daemon.control import Access, Method
from hipgw.daemon.control_protocol import RefusedError, take_params
from hipgw.daemon.gateway import Gateway
from hipgw.daemon.reloading import Reloader
from hipgw.errors import ConfigError
from hipgw.values import Hit

SETTABLE: Final[Mapping[str, type]] = {
    "heartbeat_s": float,
    "shotgun": bool,
    "announce_locators": bool,
    "puzzle": str,
    "puzzle_k": int,
}

Params = Mapping[str, Any]


class SettingsMethods:
    """The methods, bound to a running gateway."""

    def __init__(self, gateway: Gateway, reloader: Reloader) -> None:
        self._gateway = gateway
        self._reloader = reloader

    def table(self) -> dict[str, Method]:
        """Method name -> what answers it."""
        return {
            "reload": Method(self._reload, Access.CHANGE),
            "set": Method(self._set, Access.CHANGE),
            "puzzle": Method(self._puzzle),
            "set_peer_puzzle": Method(self._set_peer_puzzle, Access.CHANGE),
            "new_puzzle": Method(self._new_puzzle, Access.CHANGE),
        }

    async def _reload(self, params: Params) -> dict[str, Any]:
        take_params(params)
        try:
            reloaded = self._reloader.reload()
        except ConfigError as error:
            raise RefusedError(
                "failed", f"configuration not taken: {error}", "the earlier one goes on"
            ) from error
        return {"taken": list(reloaded.taken), "restart_needed": list(reloaded.restart_needed)}

    async def _set(self, params: Params) -> dict[str, Any]:
        given = take_params(params, **SETTABLE)
        if not given:
            raise RefusedError("bad_params", "nothing to set", f"known: {', '.join(SETTABLE)}")
        try:
            self._reloader.set_hip(**given)
        except ConfigError as error:
            raise RefusedError("bad_params", str(error), "see hipgw.toml(5)") from error
        hip = self._gateway.config.hip
        return {"set": {name: getattr(hip, name) for name in given}}

    async def _puzzle(self, params: Params) -> dict[str, Any]:
        given = take_params(params, hit=str)
        hip, puzzles = self._gateway.config.hip, self._gateway.puzzles.ks
        if "hit" in given:
            hit = _hit(given["hit"])
            k = puzzles.get(hit, self._gateway.engine.endpoint.puzzle_k)
            return {"hit": str(hit), "k": k, "own": hit in puzzles}
        return {
            "k": self._gateway.engine.endpoint.puzzle_k,
            "mode": hip.puzzle,
            "least": hip.puzzle_k,
            "ceiling": max(hip.puzzle_k, hip.puzzle_k_ceiling)
            if hip.puzzle == "auto"
            else hip.puzzle_k,
            "peers": [{"hit": str(hit), "k": k} for hit, k in puzzles.items()],
        }

    async def _set_peer_puzzle(self, params: Params) -> dict[str, Any]:
        given = take_params(params, hit=str, k=int)
        hit = _hit(given.get("hit", ""))
        try:
            self._reloader.set_puzzle_of(hit, given.get("k"))
        except ConfigError as error:
            raise RefusedError("bad_params", str(error), "see hipgw.toml(5)") from error
        return await self._puzzle({"hit": str(hit)})

    async def _new_puzzle(self, params: Params) -> dict[str, Any]:
        given = take_params(params, hit=str)
        answer = await self._puzzle(given)
        self._gateway.engine.step(self._gateway.engine.endpoint.new_puzzles)
        return answer


def _hit(text: str) -> Hit:
    """A HIT of a peer, or a RefusedError."""
    try:
        hit = Hit.parse(text)
    except ValueError:
        hit = None
    if hit is None or not hit.version:
        raise RefusedError("bad_params", f"{text!r} is no HIT", "name a peer by its HIT")
    return hit
