"""Keys and configuration files of the hosts of a lab, as `hipgw run -c` reads them."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network
from typing import Final, Literal

from hipgw.crypto import PrivateHostIdentity
from hipgw.lab.files import HostFiles
from hipgw.values import Address, Hit, Lsi

EncapsulationName = Literal["raw", "udp"]

DEFAULT_KEY_KIND: Final = "ecdsa-p256"


@dataclass(frozen=True, slots=True)
class PeerEntry:
    """What one host is told of another."""

    name: str
    hit: Hit
    lsi: Lsi
    addresses: tuple[Address, ...]
    subnets: tuple[IPv4Network | IPv6Network, ...] = ()
    """What is behind it."""


def make_identity(files: HostFiles, kind: str) -> Hit:
    """Make the key directory of a host with one private key in it; returns its HIT."""
    identity = PrivateHostIdentity.generate(kind)
    files.keys.mkdir(mode=0o700, parents=True)
    descriptor = os.open(files.keys / f"{kind}.pem", os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with open(descriptor, "wb") as file:  # noqa: PTH123 - the mode is set when it is made
        file.write(identity.to_pem())
    return identity.hit


def host_config(
    files: HostFiles,
    name: str,
    peers: Sequence[PeerEntry],
    *,
    encapsulation: EncapsulationName,
    key_kind: str = DEFAULT_KEY_KIND,
    settings: Mapping[str, Mapping[str, object]] | None = None,
) -> str:
    """The text of a configuration file.

    Args:
        files: where the host keeps its files.
        name: of the host.
        peers: the hosts it may talk to.
        encapsulation: of the I1s it sends.
        key_kind: of its default identity.
        settings: more keys, by section, over those of the lab.
    """
    sections: dict[str, dict[str, object]] = {
        "host": {"name": name},
        "identity": {"directory": str(files.keys), "default": key_kind},
        "network": {"interface": "hip0", "encapsulation": encapsulation},
        "control": {"socket": str(files.socket)},
        "hosts": {"files": []},
        "state": {"directory": str(files.state)},
        "lab": {"enabled": True, "export_keys": str(files.esp_keys)},
    }
    for section, keys in (settings or {}).items():
        sections.setdefault(section, {}).update(keys)
    lines = ["# Written by `hipgw lab`; goes away with it."]
    for section, keys in sections.items():
        lines += ["", f"[{section}]", *(f"{key} = {_toml(value)}" for key, value in keys.items())]
    for peer in peers:
        lines += [
            "",
            "[[peer]]",
            f"name = {_toml(peer.name)}",
            f"hit = {_toml(str(peer.hit))}",
            f"lsi = {_toml(str(peer.lsi))}",
            f"addresses = {_toml([str(address) for address in peer.addresses])}",
        ]
        if peer.subnets:
            lines.append(f"subnets = {_toml([str(subnet) for subnet in peer.subnets])}")
    return "\n".join(lines) + "\n"


def _toml(value: object) -> str:
    """A string, number, boolean or array of them: JSON writes these as TOML does."""
    return json.dumps(value, ensure_ascii=False)
