"""What the control socket shows, as JSON values: units in the names, ages in seconds, never a key.

Identifiers and addresses are strings; SPIs and ports are numbers; what is not known is null.
"""

from __future__ import annotations

import os
import resource
from pathlib import Path as FilePath
from typing import Any, Final

import hipgw
from hipgw._fastpath.reasons import REASONS
from hipgw.daemon.certificate_views import certificate_view, own_certificates_view
from hipgw.daemon.drop_reasons import DAEMON_REASONS
from hipgw.daemon.gateway import Gateway
from hipgw.daemon.health_views import health_view
from hipgw.daemon.interception import queue_numbers
from hipgw.daemon.sa_home import SaRecord
from hipgw.daemon.subnet_views import mtu_by, subnets_of
from hipgw.daemon.underlay import packets_lost_at
from hipgw.daemon.upkeep_views import no_upkeep, upkeep_view
from hipgw.daemon.worker_plan import workers_view
from hipgw.proto import AssociationView, DroppedPacket, State
from hipgw.values import Direction, Encapsulation, Hit, Lsi, Path
from hipgw.values.quirks import in_order, seen_as
from hipgw.values.reasons import CONTROL_REASONS

STATUS_PEERS: Final = 50
"""Peers that `status` shows unless it is asked for more or fewer."""
STATUS_FILE: Final = FilePath("/proc/self/statm")
DI_FQDN: Final = 1
DI_NAI: Final = 2

NOT_YET_KNOWN: Final = (
    "role",
    "hostname",
    "local_address",
    "peer_address",
    "encapsulation",
    "endpoint",
    "esp_suite",
    "hip_cipher",
    "dh_group",
    "hit_suite",
    "since_s",
    "last_used_s",
    "spi_in",
    "spi_out",
)
NOT_YET_COUNTED: Final = (
    "local_port",
    "peer_port",
    "retransmissions",
    "rx_packets",
    "rx_octets",
    "tx_packets",
    "tx_octets",
    "waiting_packets",
)
"""Fields of an association that a peer without one shows as null, or as 0."""


def status_view(gateway: Gateway, now: float, most: int = STATUS_PEERS) -> dict[str, Any]:
    """`status`: this host, its first peers, and what is not well."""
    facts, config = gateway.facts, gateway.config
    default = facts.identities[0]
    return {
        "host": {
            "name": facts.name,
            "version": hipgw.__version__,
            "uptime_s": round(now - facts.started_s, 3),
            "pid": os.getpid(),
            "rss_octets": _resident_octets(),
        },
        "interface": {
            "name": config.network.interface,
            "mtu": facts.mtu_octets,
            "mtu_by": mtu_by(gateway),
            "lsi_mtu": facts.lsi_mtu_octets,
            "hits": [str(hit) for hit in facts.hits],
            "lsis": [str(lsi) for lsi in facts.own_lsis],
        },
        "identity": {
            "hit": str(facts.default_hit(gateway.default_version)),
            "algorithm": default.identity.public.kind,
            "lsi": str(facts.own_lsis[0]),
        },
        "identities": hits_view(gateway),
        "listening": {
            "udp_port": config.network.udp_port,
            "raw": bool(gateway.sockets.families),
        },
        "workers": workers_view(facts.workers, facts.steering, queue_numbers(config)),
        "local_subnets": [str(one) for one in config.gateway.local_subnets],
        "certificates": own_certificates_view(gateway.certificates),
        "strangers": _strangers(gateway),
        "associations": {
            "total": len(gateway.engine.endpoint.table),
            "by_state": gateway.engine.endpoint.table.by_state(),
        },
        "hip": settings_view(gateway),
        "peers": peers_view(gateway, now, most=most),
        "peers_total": peers_total(gateway),
        "health": health_view(gateway),
    }


def _strangers(gateway: Gateway) -> dict[str, int]:
    """I1s that came and R1s that went out, in the data path and in the engine together."""
    data, engine = gateway.data_counters(), gateway.engine.endpoint.activity
    return {name: data.get(name, 0) + engine.get(name, 0) for name in ("i1_received", "r1_sent")}


def settings_view(gateway: Gateway) -> dict[str, Any]:
    """What holds now of the keys that can be changed while the daemon runs."""
    config = gateway.config.hip
    return {
        "puzzle": config.puzzle,
        "puzzle_k": gateway.engine.endpoint.puzzle_k,
        "heartbeat_s": config.heartbeat_s,
        "announce_locators": config.announce_locators,
        "shotgun": config.shotgun,
        "changed_by_hand": sorted(
            gateway.changed_by_hand
            | gateway.puzzles.changed_by_hand
            | gateway.opportunity.changed_by_hand
        ),
    }


def _resident_octets() -> int:
    pages = int(STATUS_FILE.read_text().split()[1])
    return pages * resource.getpagesize()


def hits_view(gateway: Gateway) -> list[dict[str, Any]]:
    """`hits`: the identities of this host, the default one first."""
    facts, directory = gateway.facts, gateway.config.identity.directory
    default = facts.default_hit(gateway.default_version)
    shown = [
        {
            "hit": str(hit),
            "version": hit.version,
            "legacy": hit.version == 1 or entry.identity.public.is_weak,
            "lsi": str(lsi),
            "algorithm": entry.identity.public.kind,
            "kind": "anonymous" if entry.traits.is_anonymous else "public",
            "default": hit == default,
            "name": entry.name,
            "domain_identifier": spell_domain_identifier(entry.traits.di_type, entry.traits.di),
            "retired": entry.is_retired,
            "rotate_s": entry.rotate_s,
            "file": str(directory / f"{entry.name}.pem") if entry.is_on_disk else None,
        }
        for entry, lsi in zip(facts.identities, facts.own_lsis, strict=True)
        for hit in entry.hits
    ]
    return sorted(shown, key=lambda one: one["version"] != gateway.default_version)


def peers_view(
    gateway: Gateway, now: float, first: int = 0, most: int | None = None
) -> list[dict[str, Any]]:
    """`peers`: every association, then every peer that is only known by name or address.

    Args:
        gateway: the running daemon.
        now: monotonic seconds.
        first: how many to skip.
        most: how many to show; None for all that are left.
    """
    shown = associations_view(gateway, now, first, most)
    left = None if most is None else most - len(shown)
    if left is None or left > 0:
        skip = max(first - len(gateway.engine.endpoint.table), 0)
        end = None if left is None else skip + left
        shown += [_known_peer(gateway, hit) for hit in _only_known(gateway)[skip:end]]
    return shown


def peers_total(gateway: Gateway) -> int:
    """How many `peers` has."""
    return len(gateway.engine.endpoint.table) + len(_only_known(gateway))


def _only_known(gateway: Gateway) -> list[Hit]:
    own, table = set(gateway.facts.hits), gateway.engine.endpoint.table
    known = gateway.resolver.known_hits()
    return [hit for hit in known if hit not in own and not table.has_peer(hit)]


def associations_view(
    gateway: Gateway, now: float, first: int = 0, most: int | None = None
) -> list[dict[str, Any]]:
    """`associations`: everything about each association; `first` and `most` as in `peers_view`."""
    views = gateway.engine.endpoint.table.views(first, most)
    return [_association(gateway, view, now) for view in views]


def association_view(gateway: Gateway, local: Hit, peer: Hit, now: float) -> dict[str, Any] | None:
    """One association, or None."""
    view = gateway.engine.endpoint.table.view(local, peer)
    return None if view is None else _association(gateway, view, now)


def _association(gateway: Gateway, view: AssociationView, now: float) -> dict[str, Any]:
    received = gateway.sas.carried(Direction.IN, view.local, view.peer)
    sent = gateway.sas.carried(Direction.OUT, view.local, view.peer)
    used = [entry.last_used_s for entry in (received, sent) if entry.last_used_s is not None]
    names = gateway.resolver.names_of(view.peer)
    return {
        "hit": str(view.peer),
        "lsi": _text(gateway.lsis.known_lsi(view.peer)),
        "name": names[0] if names else None,
        "local_hit": str(view.local),
        "local_lsi": _text(gateway.lsis.known_lsi(view.local)),
        "version": view.version,
        "legacy": bool(view.legacy),
        "legacy_use": list(view.legacy),
        "state": str(view.state),
        "role": str(view.role).lower(),
        "hostname": spell_domain_identifier(view.peer_di_type, view.peer_di),
        "anonymous": view.peer_is_anonymous,
        **_path(view.path),
        "endpoint": _endpoint(view.path),
        "esp_suite": view.esp_suite.name if view.esp_suite is not None else None,
        "hip_cipher": view.hip_cipher.name if view.hip_cipher is not None else None,
        "dh_group": view.dh_group.name if view.dh_group is not None else None,
        "hit_suite": view.hit_suite.name if view.hit_suite is not None else None,
        "since_s": round(max(now - view.since_s, 0.0), 3),
        "last_used_s": round(max(now - max(used), 0.0), 3) if used else None,
        "retransmissions": view.retransmissions,
        "rx_packets": received.packets,
        "rx_octets": received.octets,
        "tx_packets": sent.packets,
        "tx_octets": sent.octets,
        "spi_in": view.spi_in,
        "spi_out": view.spi_out,
        "waiting_packets": gateway.queue.waiting_for((view.local, view.peer)),
        "subnets": subnets_of(gateway, view.peer),
        "shotgun": gateway.config.hip.shotgun,
        "compatibility": [str(quirk) for quirk in in_order(view.quirks)],
        "extended_sequence_numbers": gateway.sas.has_extended_numbers(view.local, view.peer),
        **upkeep_view(view, now, heartbeat_s=gateway.config.hip.heartbeat_s),
        "certificate": certificate_view(view.certificate),
    }


def _known_peer(gateway: Gateway, hit: Hit) -> dict[str, Any]:
    """A peer without an association, in the shape of one that has one."""
    names = gateway.resolver.names_of(hit)
    return {
        "hit": str(hit),
        "lsi": _text(gateway.lsis.known_lsi(hit)),
        "name": names[0] if names else None,
        **_usual_local(gateway, hit),
        "version": hit.version,
        "legacy": gateway.legacy.is_legacy(hit),
        "legacy_use": [],
        "state": str(State.UNASSOCIATED),
        **dict.fromkeys(NOT_YET_KNOWN),
        **dict.fromkeys(NOT_YET_COUNTED, 0),
        "anonymous": False,
        "subnets": subnets_of(gateway, hit),
        "shotgun": gateway.config.hip.shotgun,
        "compatibility": [str(quirk) for quirk in in_order(gateway.compatible.quirks_of(hit))],
        "extended_sequence_numbers": hit in gateway.engine.endpoint.config.extended_peers,
        **no_upkeep(),
        "certificate": None,
    }


def _usual_local(gateway: Gateway, peer: Hit) -> dict[str, Any]:
    """Who of us would talk to a peer."""
    entry = gateway.own.for_peer(peer)
    return {
        "local_hit": str(entry.hit_for(peer)),
        "local_lsi": _text(gateway.lsis.known_lsi(entry.hit)),
    }


def sas_view(
    gateway: Gateway, now: float, first: int = 0, most: int | None = None
) -> list[dict[str, Any]]:
    """`sas`: every security association with its counters; `first`, `most` as in `peers_view`."""
    return [_sa(gateway, record, now) for record in gateway.sas.records(first, most)]


def _sa(gateway: Gateway, record: SaRecord, now: float) -> dict[str, Any]:
    counters = gateway.sas.statistics_of(record)
    last_used_s = counters.last_used_s if counters else None
    names = gateway.resolver.names_of(record.peer_hit)
    legacy = gateway.engine.endpoint.table.legacy_of(record.local_hit, record.peer_hit)
    return {
        "direction": record.direction.name.lower(),
        "spi": record.spi,
        "suite": record.suite.name,
        "version": record.local_hit.version,
        "legacy": bool(legacy) or record.local_hit.version == 1,
        "legacy_use": list(legacy),
        "local_hit": str(record.local_hit),
        "peer_hit": str(record.peer_hit),
        "local_lsi": _text(record.local_lsi),
        "peer_lsi": _text(record.peer_lsi),
        "name": names[0] if names else None,
        **_path(record.path),
        "packets": counters.packets if counters else 0,
        "octets": counters.octets if counters else 0,
        "sequence": counters.sequence if counters else 0,
        "extended_sequence_numbers": record.is_extended,
        "age_s": round(max(now - record.installed_s, 0.0), 3),
        "last_used_s": None if last_used_s is None else round(max(now - last_used_s, 0.0), 3),
        "current": gateway.sas.is_current(record),
        "carrier": str(gateway.sas.carrier_of(record)),
        "carrier_reason": gateway.sas.reason_for_user(record),
    }


def drops_view(gateway: Gateway) -> list[dict[str, Any]]:
    """`drops`: every reason of the three tables, also those that count zero."""
    own = gateway.traffic.counters + gateway.queue.counters
    own += gateway.sas.counters + gateway.sockets.counters + gateway.icmp.counters
    own["interface_full"] = packets_lost_at(gateway.config.network.interface)
    halves = (
        ("control", CONTROL_REASONS, gateway.engine.endpoint.counters),
        ("data", REASONS, gateway.data_counters()),
        ("daemon", DAEMON_REASONS, own),
    )
    latest = gateway.engine.endpoint.latest_drops
    return [
        {
            "reason": reason,
            "count": counts.get(reason, 0),
            "meaning": meaning,
            "where": where,
            "latest": _latest_view(latest.get(reason)),
            "switches": [str(quirk) for quirk in seen_as(reason)],
        }
        for where, meanings, counts in halves
        for reason, meaning in meanings.items()
    ]


def _latest_view(dropped: DroppedPacket | None) -> dict[str, Any] | None:
    """Who says to have sent the latest packet that was dropped for a reason."""
    if dropped is None:
        return None
    return {
        "peer_hit": str(dropped.sender),
        "peer_address": str(dropped.path.peer),
        "detail": dropped.detail,
    }


def spell_domain_identifier(kind: int, octets: bytes) -> str | None:
    """A Domain Identifier as text (RFC 7401 section 5.2.9): FQDN labels with dots, or NAI.

    It is what the peer says of himself, so anything odd in it is spelled as an escape.
    """
    if kind == DI_NAI:
        return _printable(octets)
    if kind != DI_FQDN or not octets:
        return None
    labels = []
    position = 0
    while position < len(octets) and octets[position]:
        end = position + 1 + octets[position]
        if octets[position] > 63 or end > len(octets):
            return None
        labels.append(_printable(octets[position + 1 : end]))
        position = end
    return ".".join(labels) or None


def _printable(octets: bytes) -> str:
    return "".join(chr(o) if 32 < o < 127 and o != 92 else f"\\{o:03d}" for o in octets)


def _path(path: Path) -> dict[str, Any]:
    return {
        "local_address": str(path.local),
        "peer_address": str(path.peer),
        "local_port": path.local_port,
        "peer_port": path.peer_port,
        "encapsulation": path.encapsulation.name.lower(),
    }


def _endpoint(path: Path) -> str:
    if path.encapsulation is Encapsulation.RAW:
        return str(path.peer)
    address = f"[{path.peer}]" if path.peer.version == 6 else str(path.peer)
    return f"{address}:{path.peer_port}"


def _text(lsi: Lsi | None) -> str | None:
    return None if lsi is None else str(lsi)
