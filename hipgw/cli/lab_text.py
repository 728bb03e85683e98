"""What `hipgw lab` prints: a lab that was made, and the list of labs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hipgw.cli.rendering import short_age, table

if TYPE_CHECKING:
    from hipgw.lab.network import Lab


def lab_document(made: Lab) -> dict[str, object]:
    """A lab for `--json`."""
    return {
        "name": made.name,
        "topology": made.topology.name,
        "hosts": [
            {
                "name": host.name,
                "namespace": host.namespace,
                "addresses": [str(address) for address in host.addresses],
                "hit": str(host.hit) if host.speaks_hip else None,
                "lsi": str(host.lsi) if host.speaks_hip else None,
                "config": str(host.files.config) if host.speaks_hip else None,
                "socket": str(host.files.socket) if host.speaks_hip else None,
                "daemon_pid": host.daemon.pid if host.daemon else None,
                "ready_ms": made.ready_s[host.name] * 1000 if host.name in made.ready_s else None,
            }
            for host in made.hosts
        ],
    }


def lab_table(made: Lab) -> str:
    """The hosts of a lab, one line each."""
    rows = []
    for host in made.hosts:
        ready = f"{made.ready_s[host.name] * 1000:.0f} ms" if host.name in made.ready_s else "-"
        addresses = " ".join(map(str, host.addresses))
        ids = (str(host.hit), str(host.lsi)) if host.speaks_hip else ("-", "-")
        rows.append((host.name, host.namespace, addresses, *ids, ready))
    header = ("host", "namespace", "addresses", "hit", "lsi", "ready")
    return f"lab {made.name} is up\n" + table(header, rows)


def ping_hint(made: Lab) -> str:
    """What to try first."""
    first, last = made.hosts[0], made.hosts[-1]
    if last.speaks_hip:
        return f"try:  hipgw lab exec {made.name} {first.name} -- ping {last.hit}"
    first = next(host for host in made.hosts if not host.speaks_hip)
    return f"try:  hipgw lab exec {made.name} {first.name} -- ping {last.addresses[0]}"


def staying_text(staying: dict[int, str]) -> str:
    """A line about processes that were inside a lab when it went, by id."""
    several = "processes" if len(staying) > 1 else "process"
    ids = ", ".join(map(str, staying))
    return f"{len(staying)} {several} that this lab did not start lost the network: {ids}"


def labs_table(documents: list[dict[str, Any]]) -> str:
    """The list of labs, one line each."""
    header = ("lab", "topology", "hosts", "mtu", "encapsulation", "age", "daemons", "note")
    return table(header, [_row(document) for document in documents], right="mtu daemons")


def _row(document: dict[str, Any]) -> tuple[str, ...]:
    if not document["is_complete"]:
        return (document["name"], "-", "-", "-", "-", "-", "-", "not complete: take it down")
    note = f"held by process {document['owner_pid']}" if document["owner_pid"] else ""
    return (
        document["name"],
        document["topology"],
        " ".join(document["hosts"]),
        str(document["mtu_octets"]),
        document["encapsulation"],
        short_age(document["age_s"]),
        str(document["daemons"]),
        "its maker was killed: take it down" if document["is_abandoned"] else note,
    )
