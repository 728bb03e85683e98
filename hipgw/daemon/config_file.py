"""The configuration file: read into `Config`, with what its tables may not say together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path as FilePath
from typing import Any, TypeVar

from hipgw.daemon.config import (
    TABLES,
    Config,
    GatewayOptions,
    HostIdentityOptions,
    IdentityOptions,
    NetworkOptions,
    PeerOptions,
)
from hipgw.daemon.config_subnets import check_subnets
from hipgw.daemon.strict_toml import Troubles, load_toml, read_table, unknown_message
from hipgw.proto.config import PUZZLE_PEERS_MOST

T = TypeVar("T")


def load_config(file: FilePath) -> Config:
    """Read a configuration file.

    Raises:
        ConfigError: names file, line, key and what was expected; when several things are wrong,
            its message has a line for each.
    """
    document, troubles = load_toml(file)
    tables: dict[str, Any] = {}
    peers: list[tuple[int, PeerOptions]] = []
    identities: list[tuple[int, HostIdentityOptions]] = []
    for name, content in document.items():
        if name in TABLES:
            tables[name] = read_table(TABLES[name], content, (name,), troubles)
        elif name == "peer":
            peers = _read_several(PeerOptions, name, content, troubles)
        elif name == "host_identity":
            identities = _read_several(HostIdentityOptions, name, content, troubles)
        else:
            troubles.add((name,), unknown_message(name, [*TABLES, "peer", "host_identity"]))
    network = tables.get("network") or NetworkOptions()
    _check_peers(peers, network.lsi_prefix, troubles)
    behind_us = (tables.get("gateway") or GatewayOptions()).local_subnets
    check_subnets(peers, behind_us, network.lsi_prefix, troubles)
    own = tables.get("identity") or IdentityOptions()
    _check_identities(identities, own.default, troubles)
    _check_combinations(tables, troubles)
    troubles.raise_if_any()
    return Config(
        **tables,
        host_identities=tuple(one for _, one in identities),
        peers=tuple(peer for _, peer in peers),
    )


def _read_several(
    kind: type[T], name: str, content: object, troubles: Troubles
) -> list[tuple[int, T]]:
    """The tables of an array that are right, each with its place in it."""
    if not isinstance(content, list):
        troubles.add((name,), f"expected an array of tables: write [[{name}]], not [{name}]")
        return []
    found = []
    for index, table in enumerate(content):
        one = read_table(kind, table, (name, index), troubles)
        if one is not None:
            found.append((index, one))
    return found


def _check_identities(
    identities: Sequence[tuple[int, HostIdentityOptions]], default: str, troubles: Troubles
) -> None:
    """No name twice, the default one public, and only keys in memory rotate."""
    seen: dict[str, int] = {}
    for index, one in identities:
        first = seen.setdefault(one.name, index)
        if first != index:
            troubles.add(
                ("host_identity", index, "name"),
                f"{one.name} is that of host_identity[{first}]: expected another one",
            )
        if one.anonymous and one.name == default:
            troubles.add(
                ("host_identity", index, "anonymous"),
                "expected another [identity] default: peers know this host by that one",
            )
        if one.rotate_s and (one.keep or not one.anonymous):
            troubles.add(
                ("host_identity", index, "rotate_s"),
                "expected anonymous = true and keep = false with it: a key on disk stays",
            )


def _check_peers(
    peers: Sequence[tuple[int, PeerOptions]], prefix: IPv4Network, troubles: Troubles
) -> None:
    """No HIT, LSI or name twice, and LSIs inside the prefix; a name may be that of two versions."""
    seen: dict[tuple[str, object], int] = {}
    puzzled = 0
    for index, peer in peers:
        name = (peer.hit.version, peer.name.lower()) if peer.name else None
        values = {"hit": peer.hit, "lsi": peer.lsi, "name": name}
        for key, value in values.items():
            if value is None:
                continue
            first = seen.setdefault((key, value), index)
            if first != index:
                shown = peer.name.lower() if key == "name" else value
                troubles.add(
                    ("peer", index, key), f"{shown} is that of peer[{first}]: expected another one"
                )
        if peer.puzzle_k is not None:
            puzzled += 1
            if puzzled == PUZZLE_PEERS_MOST + 1:
                troubles.add(
                    ("peer", index, "puzzle_k"),
                    f"expected at most {PUZZLE_PEERS_MOST} peers with a difficulty of their own",
                )
        if peer.lsi is not None:
            address = IPv4Address(peer.lsi.packed)
            edges = {prefix.network_address, prefix.broadcast_address}
            if address not in prefix or address in edges:
                troubles.add(
                    ("peer", index, "lsi"),
                    f"expected a host address of [network] lsi_prefix {prefix}, found {peer.lsi}",
                )


def _check_combinations(tables: Mapping[str, Any], troubles: Troubles) -> None:
    lab = tables.get("lab")
    if lab is not None and lab.export_keys is not None and not lab.enabled:
        troubles.add(
            ("lab", "export_keys"), "writes secret keys: expected [lab] enabled = true with it"
        )
    datapath = tables.get("datapath")
    if datapath is not None and datapath.queue_first + datapath.queue_count > 65536:
        troubles.add(
            ("datapath", "queue_count"), "expected queues up to 65535: lower it, or queue_first"
        )
    hip = tables.get("hip")
    if hip is not None and hip.puzzle_k > hip.puzzle_k_limit:
        troubles.add(
            ("hip", "puzzle_k"), f"expected at most puzzle_k_limit, which is {hip.puzzle_k_limit}"
        )
