"""Another configuration for the running daemon: from its file, or one key by hand.

Every key says whether a running daemon can follow it.  One that cannot keeps its old value until
the restart, and is named in the answer to every reload until then.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from pathlib import Path as FilePath
from typing import Any, Final

from hipgw.daemon.certificate_config import load_certificates
from hipgw.daemon.config import TABLES, Config, HipOptions, changed_keys, load_config
from hipgw.daemon.engine_config import endpoint_config
from hipgw.daemon.gateway import Gateway
from hipgw.daemon.logs import set_level
from hipgw.errors import ConfigError, LocalProtocolError
from hipgw.proto import EndpointConfig


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
        certificates = load_certificates(
            wanted.certificates,
            wanted.certificate_requirements(),
            self._gateway.facts.public_identities,
        )
        live, fixed = changed_keys(self._gateway.config, wanted)
        self._take(with_live_keys(self._gateway.config, wanted))
        self._gateway.take_certificates(certificates)
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
        self._take(replace(config, hip=replace(config.hip, **values)))
        self._gateway.changed_by_hand |= {f"hip.{name}" for name in keys}

    def _take(self, config: Config) -> None:
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
            )
        except LocalProtocolError as error:
            raise ConfigError(str(error), key="hip") from error
        set_level(config.log.level)
        are_peers_new = config.peers != gateway.config.peers
        are_subnets_new = are_peers_new or config.gateway != gateway.config.gateway
        if are_peers_new:
            gateway.resolver.set_peers(config.known_peers())
            gateway.lsis.apply_fixed()
        gateway.config = config
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

    def _reconfigure(self, wanted: EndpointConfig, now: float) -> None:
        self._gateway.engine.endpoint.reconfigure(wanted, now)
