"""Another configuration for the running daemon: from its file, or one key by hand.

Every key says whether a running daemon can follow it.  One that cannot keeps its old value until
the restart, and is named in the answer to every reload until then.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from ipaddress import IPv4Network
from pathlib import Path as FilePath
from typing import Any, Final

from hipgw.daemon.certificate_config import load_certificates
from hipgw.daemon.config import (
    PUZZLE_K,
    TABLES,
    Config,
    HipOptions,
    changed_keys,
)
from hipgw.daemon.config_file import load_config
from hipgw.daemon.engine_config import endpoint_config
from hipgw.daemon.gateway import Gateway
from hipgw.daemon.logs import set_level
from hipgw.daemon.peer_puzzles import PeerPuzzles
from hipgw.errors import ConfigError, LocalProtocolError
from hipgw.proto import EndpointConfig
from hipgw.values import Hit


@dataclass(frozen=True, slots=True)
class Reloaded:
    """What a reload has led to; keys as "table.key", all of `[[peer]]` as "peer"."""

    taken: tuple[str, ...]
    """Keys that hold from now on."""
    restart_needed: tuple[str, ...]
    """Keys of the file that hold after a restart."""


def with_live_keys(old: Config, new: Config) -> Config:
    """`old` with the keys of `new` that a running daemon can follow."""
    tables: dict[str, Any] = {}
    for table, kind in TABLES.items():
        present, wanted = getattr(old, table), getattr(new, table)
        live = {
            key.name: getattr(wanted, key.name)
            for key in fields(kind)
            if key.metadata["reloadable"]
        }
        tables[table] = replace(present, **live)
    return replace(old, peers=new.peers, **tables)


class Reloader:
    """Brings a configuration into every part that follows it."""

    def __init__(self, gateway: Gateway, file: FilePath | None) -> None:
        """Bind it.

        Args:
            gateway: the running daemon.
            file: where its configuration came from; None without one.
        """
        self._gateway: Final = gateway
        self._file: Final = file

    def reload(self) -> Reloaded:
        """Read the file again; what was changed by hand is what the file says again.

        Raises:
            ConfigError: the file cannot be used; nothing has changed.
        """
        if self._file is None:
            raise ConfigError("the daemon runs without a configuration file: nothing to read again")
        wanted = load_config(self._file)
        _check_until_restart(self._gateway.config, wanted)
        certificates = load_certificates(
            wanted.certificates,
            wanted.certificate_requirements(),
            self._gateway.facts.public_identities,
        )
        live, fixed = changed_keys(self._gateway.config, wanted)
        if self._gateway.puzzles.by_hand and "peer" not in live:
            live.insert(0, "peer")
        live += sorted(self._gateway.opportunity.changed_by_hand - set(live))
        live_config = with_live_keys(self._gateway.config, wanted)
        self._take(live_config, PeerPuzzles.of(live_config))
        self._gateway.opportunity.follow()
        self._gateway.take_certificates(certificates)
        if self._gateway.subnets is not None and self._gateway.subnets.tunnels is not None:
            self._gateway.subnets.tunnels.ask_again()
        self._gateway.changed_by_hand = frozenset()
        return Reloaded(tuple(live), tuple(fixed))

    def set_hip(self, **keys: object) -> None:
        """Give keys of `[hip]` other values until the next reload or restart.

        Raises:
            ConfigError: no such key, a value that it cannot have, or one that needs a restart.
        """
        config = self._gateway.config
        readers = {key.name: key.metadata for key in fields(HipOptions)}
        values: dict[str, Any] = {}
        for name, value in keys.items():
            about = readers.get(name)
            if about is None or not about["reloadable"]:
                raise ConfigError("cannot be changed while the daemon runs", key=f"hip.{name}")
            read: Callable[[object], Any] = about["reader"]
            try:
                values[name] = read(value)
            except ValueError as error:
                raise ConfigError(str(error), key=f"hip.{name}") from error
        self._take(replace(config, hip=replace(config.hip, **values)), self._gateway.puzzles)
        self._gateway.changed_by_hand |= {f"hip.{name}" for name in keys}

    def set_puzzle_of(self, peer: Hit, k: int | None) -> None:
        """Give one peer puzzles of K bits, or the same as everybody; until the next reload.

        Raises:
            ConfigError: no such K, or too many peers with one of their own.
        """
        gateway = self._gateway
        if k is not None:
            try:
                PUZZLE_K(k)
            except ValueError as error:
                raise ConfigError(str(error), key="peer.puzzle_k") from error
        self._take(gateway.config, gateway.puzzles.with_one(peer, k))

    def _take(self, config: Config, puzzles: PeerPuzzles) -> None:
        """Everything that can refuse comes first."""
        gateway = self._gateway
        try:
            wanted = endpoint_config(
                config,
                0,
                gateway.certificates.policy,
                gateway.resolver.rendezvous_of,
                legacy_peers=gateway.legacy,
                compatible_peers=gateway.compatible,
                puzzle_ks=puzzles.ks,
            )
        except LocalProtocolError as error:
            raise ConfigError(str(error), key="hip") from error
        set_level(config.log.level)
        are_peers_new = config.peers != gateway.config.peers
        are_subnets_new = are_peers_new or config.gateway != gateway.config.gateway
        if are_peers_new:
            gateway.resolver.set_peers(config.known_peers())
            gateway.lsis.apply_fixed()
        gateway.config, gateway.puzzles = config, puzzles
        if are_subnets_new and gateway.subnets is not None:
            gateway.subnets.apply()
            gateway.interception.take_subnets(config)
        if are_peers_new:
            gateway.own.readdress()
        gateway.paths.all_pairs = config.hip.shotgun
        gateway.engine.step(lambda now: self._reconfigure(wanted, now))
        gateway.take_compatibility(config)
        if gateway.legacy.update(config):
            gateway.engine.step(gateway.engine.endpoint.legacy_changed)
        gateway.own.follow()

    def _reconfigure(self, wanted: EndpointConfig, now: float) -> None:
        self._gateway.engine.endpoint.reconfigure(wanted, now)


def _check_until_restart(running: Config, wanted: Config) -> None:
    """Subnets were checked against the new prefix of LSIs, but the present one holds till then."""
    prefix = running.network.lsi_prefix
    for network in [network for peer in wanted.peers for network in peer.subnets]:
        if isinstance(network, IPv4Network) and network.overlaps(prefix):
            raise ConfigError(
                f"{network} overlaps {prefix}, where LSIs are until a restart",
                key="network.lsi_prefix",
            )
