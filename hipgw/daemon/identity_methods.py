"""What can be asked of the daemon about identities and opportunistic mode.

    identities: -> {"identities": [...]}, as `hits`
    identity_new*: name, kind, anonymous, keep, domain_identifier -> {"identity": {...}}
    identity_add*: name (a key file; default: every one not in use), anonymous -> {"identities"}
    identity_remove*: target, or "all" (but the default one) -> {"removed": [HIT, ...]}
    identity_rotate*: target -> {"identity": {...}, "was": HIT}
    opportunistic: -> {"answer", "initiate", "pin"}
    opportunistic_set*: answer, initiate -> the same
    pins: -> {"pins": [{"address", "hit", "since", "names"}], "file"}
    pins_remove*: target (address, HIT or "all") -> {"removed": [...]}

Those marked * change something: root only.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

from hipgw.crypto import KEY_KINDS
from hipgw.daemon import views
from hipgw.daemon.config import HostIdentityOptions
from hipgw.daemon.config_readers import FILE_NAME
from hipgw.daemon.control import Access, Method
from hipgw.daemon.control_protocol import RefusedError, take_params
from hipgw.daemon.gateway import Gateway
from hipgw.daemon.keys import NamedIdentity
from hipgw.daemon.pins import Pin
from hipgw.errors import ConfigError, LocalProtocolError
from hipgw.values import Hit

EVERY: Final = "all"

Params = Mapping[str, Any]


class IdentityMethods:
    """The methods, bound to a running gateway."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway

    def table(self) -> dict[str, Method]:
        """Method name -> what answers it."""
        reads: dict[str, Callable[[Params], Awaitable[dict[str, Any]]]] = {
            "identities": self._identities,
            "opportunistic": self._opportunistic,
            "pins": self._pins,
        }
        changes = {
            "identity_new": self._new,
            "identity_add": self._add,
            "identity_remove": self._remove,
            "identity_rotate": self._rotate,
            "opportunistic_set": self._opportunistic_set,
            "pins_remove": self._pins_remove,
        }
        table = {name: Method(call) for name, call in reads.items()}
        return table | {name: Method(call, Access.CHANGE) for name, call in changes.items()}

    async def source(self, given: Params) -> NamedIdentity | None:
        """Who of us is to speak: by the parameters `local` and `anonymous`.

        Raises:
            RefusedError: nobody of that name, or he is on his way out.
        """
        text, is_anonymous = given.get("local"), given.get("anonymous", False)
        if text is None:
            return await self._anonymous() if is_anonymous else None
        entry = self._named(str(text))
        if is_anonymous and not entry.traits.is_anonymous:
            raise RefusedError("bad_params", f"{text} is not anonymous", "leave one of both out")
        if entry.is_retired:
            raise RefusedError("bad_params", f"{text} is on its way out", "choose another identity")
        return entry

    async def _anonymous(self) -> NamedIdentity:
        try:
            return await self._gateway.own.anonymous()
        except LocalProtocolError as error:
            raise RefusedError("conflict", str(error), "see `hipgw identity list`") from error

    def _named(self, text: str) -> NamedIdentity:
        entry = self._gateway.own.named(text)
        if entry is None:
            known = ", ".join(one.name for one in self._gateway.own.entries)
            raise RefusedError("not_found", f"no identity of this host is called {text!r}", known)
        return entry

    def _view(self, hit: Hit) -> dict[str, Any]:
        shown = views.hits_view(self._gateway)
        return next(one for one in shown if one["hit"] == str(hit))

    async def _identities(self, params: Params) -> dict[str, Any]:
        take_params(params)
        return {"identities": views.hits_view(self._gateway)}

    async def _new(self, params: Params) -> dict[str, Any]:
        given = take_params(
            params, name=str, kind=str, anonymous=bool, keep=bool, domain_identifier=str
        )
        name = _file_name(given)
        kind = given.get("kind", KEY_KINDS[0])
        if kind not in KEY_KINDS:
            raise RefusedError("bad_params", f"kind {kind!r}", f"use {', '.join(KEY_KINDS)}")
        options = HostIdentityOptions(
            name,
            kind,
            anonymous=given.get("anonymous", False),
            keep=given.get("keep", False),
            domain_identifier=given.get("domain_identifier"),
        )
        try:
            entry = await self._gateway.own.make(options)
        except FileExistsError as error:
            raise RefusedError(
                "conflict", f"there is a key file of the name {name}", "choose another name"
            ) from error
        except OSError as error:
            raise RefusedError(
                "failed", f"key not written: {error.strerror}", "see [identity] directory"
            ) from error
        except (LocalProtocolError, ConfigError) as error:
            raise RefusedError("conflict", str(error), "see `hipgw identity list`") from error
        return {"identity": self._view(entry.hit)}

    async def _add(self, params: Params) -> dict[str, Any]:
        given = take_params(params, name=str, anonymous=bool)
        own = self._gateway.own
        names = [_file_name(given)] if "name" in given else own.unloaded()
        added = []
        for name in names:
            try:
                entry = await own.load(name, is_anonymous=given.get("anonymous", False))
            except (LocalProtocolError, ConfigError) as error:
                raise RefusedError("failed", str(error), "see `hipgw key list`") from error
            added.append(self._view(entry.hit))
        return {"identities": added}

    async def _remove(self, params: Params) -> dict[str, Any]:
        given = take_params(params, target=str)
        own = self._gateway.own
        if given.get("target") == EVERY:
            entries = [one for one in own.entries[1:] if not one.is_retired]
        else:
            entries = [self._named(given.get("target", ""))]
        for entry in entries:
            try:
                own.retire(entry, with_associations=True)
            except LocalProtocolError as error:
                raise RefusedError("failed", str(error), "see `hipgw identity list`") from error
        return {"removed": [str(entry.hit) for entry in entries]}

    async def _rotate(self, params: Params) -> dict[str, Any]:
        given = take_params(params, target=str)
        entry = self._named(given.get("target", ""))
        try:
            successor = await self._gateway.own.rotate(entry)
        except LocalProtocolError as error:
            raise RefusedError("failed", str(error), "see `hipgw identity list`") from error
        return {"identity": self._view(successor.hit), "was": str(entry.hit)}

    # --- opportunistic mode ---

    async def _opportunistic(self, params: Params) -> dict[str, Any]:
        take_params(params)
        opportunity = self._gateway.opportunity
        return {
            "answer": opportunity.answers,
            "initiate": opportunity.initiates,
            "pin": self._gateway.config.opportunistic.pin,
        }

    async def _opportunistic_set(self, params: Params) -> dict[str, Any]:
        given = take_params(params, answer=bool, initiate=bool)
        self._gateway.opportunity.set(answer=given.get("answer"), initiate=given.get("initiate"))
        return await self._opportunistic({})

    async def _pins(self, params: Params) -> dict[str, Any]:
        take_params(params)
        pins = self._gateway.opportunity.pins
        return {"pins": [self._pin(pin) for pin in pins.all()], "file": str(pins.file)}

    async def _pins_remove(self, params: Params) -> dict[str, Any]:
        given = take_params(params, target=str)
        target = given.get("target", "")

        def is_meant(pin: Pin) -> bool:
            return target in {EVERY, str(pin.address), str(pin.hit)}

        gone = await self._gateway.opportunity.pins.remove(is_meant)
        if not gone and target != EVERY:
            raise RefusedError(
                "not_found",
                f"no pin for {target!r}",
                "name an address or a HIT of `hipgw pins list`",
            )
        return {"removed": [self._pin(pin) for pin in gone]}

    def _pin(self, pin: Pin) -> dict[str, Any]:
        return {
            "address": str(pin.address),
            "hit": str(pin.hit),
            "since": pin.since or None,
            "names": list(self._gateway.resolver.names_of(pin.hit)),
        }


def _file_name(given: Params) -> str:
    name = str(given.get("name", ""))
    if not FILE_NAME.fullmatch(name):
        raise RefusedError(
            "bad_params",
            f"{name!r} is no name of an identity",
            "use letters, digits, '.', '_', '-'",
        )
    return name
