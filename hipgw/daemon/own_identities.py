"""The identities of this host: those of the start, those that come and go while it runs.

A change goes, in this order, to the LSIs, the engine, the data path and the interface.  An identity
that is taken away while it has associations is *retired*: it starts nothing new, and goes with the
last of them.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Final

from hipgw.crypto import PrivateHostIdentity
from hipgw.daemon.certificate_config import load_certificates
from hipgw.daemon.config import Config, HostIdentityOptions
from hipgw.daemon.engine_config import traits_for
from hipgw.daemon.gateway import Gateway, HostFacts
from hipgw.daemon.keys import NamedIdentity, create_identity, load_identities, load_identity
from hipgw.errors import ConfigError, HostError, LocalProtocolError
from hipgw.proto import Event, IdentityGone
from hipgw.values import Hit, Lsi

TICK_S: Final = 1.0
ANONYMOUS_NAME: Final = "anonymous"
"""Of an identity that is made because somebody asks for an anonymous one."""
IDENTITIES_MOST: Final = 256

log = logging.getLogger(__name__)


def start_identities(config: Config) -> list[NamedIdentity]:
    """Every key of the key directory, and those that `[[host_identity]]` asks for.

    Returns:
        The default identity first.

    Raises:
        ConfigError, HostError: see `load_identities`.
    """
    options = {one.name: one for one in config.host_identities}
    general = config.identity.domain_identifier
    directory = config.identity.directory
    entries = []
    for entry in load_identities(directory, config.identity.default):
        said = options.pop(entry.name, HostIdentityOptions(entry.name))
        traits = traits_for(said.domain_identifier, general, is_anonymous=said.anonymous)
        entries.append(replace(entry, traits=traits, domain_identifier=said.domain_identifier))
    for said in options.values():
        traits = traits_for(said.domain_identifier, general, is_anonymous=said.anonymous)
        is_on_disk = said.keep or not said.anonymous
        if is_on_disk:
            identity = create_identity(directory, said.name, said.kind)
        else:
            identity = PrivateHostIdentity.generate(said.kind)
        entries.append(
            NamedIdentity(
                said.name,
                identity,
                traits,
                is_on_disk,
                said.kind,
                said.rotate_s,
                said.domain_identifier,
            )
        )
    return entries


class OwnIdentities:
    """Adds, retires and rotates; a task of the loop."""

    def __init__(self, gateway: Gateway, readdress: Callable[[HostFacts], None]) -> None:
        """Know the identities of the start.

        Args:
            gateway: the running daemon.
            readdress: gives the interface exactly the HITs and LSIs of the facts, within some
                milliseconds; may raise HostError.
        """
        self._gateway = gateway
        self._readdress = readdress
        self._born: dict[Hit, float] = {}
        self._making_anonymous: Final = asyncio.Lock()
        gateway.listen(self._on_event)

    @property
    def entries(self) -> tuple[NamedIdentity, ...]:
        """All of them, the default one first."""
        return self._gateway.facts.identities

    def named(self, text: str) -> NamedIdentity | None:
        """The identity of a name, HIT or LSI; of one name, not the retired one."""
        facts = self._gateway.facts
        for entry, lsi in zip(facts.identities, facts.own_lsis, strict=True):
            if (
                text == str(lsi)
                or _is_hit(text, entry.hits)
                or (text == entry.name and not entry.is_retired)
            ):
                return entry
        return None

    def of_peer(self, peer: Hit) -> NamedIdentity | None:
        """Who of us talks to a peer, by `[[peer]] identity`; None: nobody in particular."""
        for options in self._gateway.config.peers:
            if options.hit == peer and options.identity:
                return self.named(options.identity)
        return None

    def for_peer(self, peer: Hit) -> NamedIdentity:
        """Who of us talks to a peer: by `[[peer]] identity`, else the first with a fit HIT."""
        chosen = self.of_peer(peer)
        if chosen is not None:
            return chosen
        fit = (
            one
            for one in self.entries
            if one.hit_for(peer).version == peer.version and not one.is_retired
        )
        return next(fit, self.entries[0])

    async def anonymous(self) -> NamedIdentity:
        """An anonymous identity, made now if there is none.

        Raises:
            LocalProtocolError: there is no room for one.
        """
        async with self._making_anonymous:
            for entry in reversed(self.entries):
                if entry.traits.is_anonymous and not entry.is_retired:
                    return entry
            name = ANONYMOUS_NAME
            number = 1
            while self.named(name) is not None:
                number += 1
                name = f"{ANONYMOUS_NAME}-{number}"
            return await self.make(HostIdentityOptions(name, anonymous=True))

    async def make(self, options: HostIdentityOptions) -> NamedIdentity:
        """Make a key and use it at once; on disk unless it is anonymous and not to be kept.

        Raises:
            LocalProtocolError: the name is taken, or there are too many.
            OSError, FileExistsError: the key file cannot be written.
            ConfigError: a domain identifier that cannot be sent.
        """
        self._check_new(options.name)
        identity_options = self._gateway.config.identity
        traits = traits_for(
            options.domain_identifier,
            identity_options.domain_identifier,
            is_anonymous=options.anonymous,
        )
        is_on_disk = options.keep or not options.anonymous
        if is_on_disk:
            identity = await asyncio.to_thread(
                create_identity, identity_options.directory, options.name, options.kind
            )
        else:
            identity = await asyncio.to_thread(PrivateHostIdentity.generate, options.kind)
        self._check_new(options.name)
        entry = NamedIdentity(
            options.name,
            identity,
            traits,
            is_on_disk,
            options.kind,
            options.rotate_s,
            options.domain_identifier,
        )
        self.add(entry)
        return entry

    async def load(self, name: str, *, is_anonymous: bool = False) -> NamedIdentity:
        """Use a key file of the key directory.

        Raises:
            LocalProtocolError: it is in use already, or there are too many.
            ConfigError: no such file, or no usable key.
        """
        self._check_new(name)
        options = self._gateway.config.identity
        identity = await asyncio.to_thread(load_identity, options.directory / f"{name}.pem")
        self._check_new(name, identity.hit)
        said = next(
            (one for one in self._gateway.config.host_identities if one.name == name),
            HostIdentityOptions(name, anonymous=is_anonymous),
        )
        traits = traits_for(
            said.domain_identifier,
            options.domain_identifier,
            is_anonymous=said.anonymous or is_anonymous,
        )
        entry = NamedIdentity(name, identity, traits, domain_identifier=said.domain_identifier)
        self.add(entry)
        return entry

    def unloaded(self) -> list[str]:
        """Names of key files that are not in use."""
        files = sorted(self._gateway.config.identity.directory.glob("*.pem"))
        used = {entry.name for entry in self.entries if entry.is_on_disk}
        return [one.stem for one in files if one.stem not in used and one.name[0] != "."]

    def _check_new(self, name: str, hit: Hit | None = None) -> None:
        if self.named(name) is not None:
            raise LocalProtocolError(f"there is an identity called {name!r} already")
        if hit is not None and hit in self._gateway.facts.hits:
            raise LocalProtocolError(f"{hit} is an identity of this host already")
        self._check_room()

    def _check_room(self) -> None:
        """Those count, too, that wait for their last association to end."""
        if len(self.entries) >= IDENTITIES_MOST:
            raise LocalProtocolError(f"there are {IDENTITIES_MOST} identities: remove some first")
        self._gateway.lsis.check_room()

    def add(self, entry: NamedIdentity) -> None:
        """Use an identity from now on."""
        gateway = self._gateway
        lsi = gateway.lsis.add_own(entry.hit, entry.hits[1:])
        facts = gateway.facts
        self._born[entry.hit] = gateway.engine.now()
        self._set(
            replace(facts, identities=(*facts.identities, entry), own_lsis=(*facts.own_lsis, lsi))
        )
        gateway.engine.step(
            lambda now: gateway.engine.endpoint.add_identity(entry.identity, now, entry.traits)
        )
        log.info("host identity added", extra={"key": entry.name, "hit": entry.hit})
        self.readdress()
        self._look_for_certificate()

    def _look_for_certificate(self) -> None:
        """A certificate that was of no identity of this host may be of the new one."""
        gateway = self._gateway
        if not gateway.certificates.unused:
            return
        config, ours = gateway.config, gateway.facts.public_identities
        try:
            loaded = load_certificates(config.certificates, config.certificate_requirements(), ours)
        except ConfigError as error:
            log.warning("certificates not read again", extra={"reason": error})
        else:
            gateway.take_certificates(loaded)

    def retire(self, entry: NamedIdentity, *, with_associations: bool = False) -> None:
        """Use an identity no more.

        Args:
            entry: which one.
            with_associations: close its associations now, instead of waiting for their end.

        Raises:
            LocalProtocolError: it is the default one, or retired already.
        """
        gateway = self._gateway
        if entry.hit == self.entries[0].hit:
            raise LocalProtocolError(
                f"{entry.name} is the default identity: it stays, unless [identity] default names"
                " another one"
            )
        views = gateway.engine.endpoint.associations()
        pairs = [(view.local, view.peer) for view in views if view.local in entry.hits]
        facts = gateway.facts
        retired = tuple(
            replace(one, is_retired=True) if one.hit == entry.hit else one
            for one in facts.identities
        )
        gateway.engine.step(lambda _: gateway.engine.endpoint.retire_identity(entry.hit))
        if entry.hit in self._gateway.facts.hits:  # it has associations
            self._set(replace(facts, identities=retired))
        if with_associations:
            for local, peer in pairs:
                gateway.close_one(local, peer)
        self.readdress()

    async def rotate(self, entry: NamedIdentity) -> NamedIdentity:
        """Give the name of an anonymous identity in memory to a new key; the old one is retired.

        Raises:
            LocalProtocolError: the key is public, on disk or gone, or there are too many.
        """
        if not entry.traits.is_anonymous or entry.is_on_disk:
            raise LocalProtocolError(
                f"{entry.name} is public or kept on disk: only anonymous identities rotate"
            )
        self._check_room()
        identity = await asyncio.to_thread(PrivateHostIdentity.generate, entry.kind)
        self._check_room()
        entry = self.named(str(entry.hit)) or entry  # a reload may have changed how it shows itself
        self.retire(entry)
        successor = replace(entry, identity=identity, is_retired=False)
        self.add(successor)
        return successor

    def follow(self) -> None:
        """The configuration may have another domain identifier: show it with those that follow it.

        Raises:
            ConfigError: one that cannot be sent.
        """
        gateway = self._gateway
        facts, general = gateway.facts, gateway.config.identity.domain_identifier
        entries = tuple(
            replace(
                one,
                traits=traits_for(
                    one.domain_identifier, general, is_anonymous=one.traits.is_anonymous
                ),
            )
            for one in facts.identities
        )
        if entries == facts.identities:
            return
        gateway.facts = replace(facts, identities=entries)
        traits = {one.hit: one.traits for one in entries}
        gateway.engine.step(lambda now: gateway.engine.endpoint.show_identities(traits, now))

    def own_of_peers(self) -> list[tuple[Hit, Lsi, NamedIdentity, Lsi]]:
        """Peers that a certain one of us talks to: their HIT and LSI, our identity and its LSI."""
        found = []
        for options in self._gateway.config.peers:
            entry = self.of_peer(options.hit)
            if entry is None or entry.hit == self.entries[0].hit:
                continue
            own = self._gateway.lsis.known_lsi(entry.hit)
            if own is not None:
                lsi = self._gateway.lsis.hit_to_lsi(options.hit)
                found.append((options.hit, lsi, entry, own))
        return found

    def _set(self, facts: HostFacts) -> None:
        gateway = self._gateway
        gateway.facts = facts
        gateway.traffic.set_own(facts.hits, facts.own_lsis, facts.names_v1)

    def readdress(self) -> None:
        """Bring the interface up to date; a refusal costs its addresses, not the daemon."""
        try:
            self._readdress(self._gateway.facts)
        except HostError as error:
            log.warning("addresses of the interface not changed", extra={"reason": error})

    def _on_event(self, event: Event) -> None:
        if isinstance(event, IdentityGone):
            self._forget(event.local)
            self.readdress()

    def _forget(self, hit: Hit) -> None:
        facts = self._gateway.facts
        pairs = zip(facts.identities, facts.own_lsis, strict=True)
        left = [(one, lsi) for one, lsi in pairs if one.hit != hit]
        self._set(
            replace(
                facts,
                identities=tuple(one for one, _ in left),
                own_lsis=tuple(lsi for _, lsi in left),
            )
        )
        self._gateway.lsis.release_own(hit)
        self._born.pop(hit, None)
        log.info("host identity gone", extra={"hit": hit})

    # --- rotation ---

    async def run(self) -> None:
        """Rotate what is due, until cancelled."""
        while True:
            await asyncio.sleep(TICK_S)
            for entry in self.due(self._gateway.engine.now()):
                try:
                    await self.rotate(entry)
                except LocalProtocolError as error:
                    if self.named(str(entry.hit)) is not None:
                        self._born[entry.hit] = self._gateway.engine.now()  # not again at once
                    log.warning(
                        "host identity not rotated", extra={"key": entry.name, "reason": error}
                    )

    def due(self, now: float) -> Sequence[NamedIdentity]:
        """Identities whose time is over."""
        started_s = self._gateway.facts.started_s
        return [
            one
            for one in self.entries
            if one.rotate_s
            and not one.is_retired
            and now - self._born.get(one.hit, started_s) >= one.rotate_s
        ]


def _is_hit(text: str, hits: Sequence[Hit]) -> bool:
    try:
        return Hit.parse(text) in hits
    except ValueError:
        return False
