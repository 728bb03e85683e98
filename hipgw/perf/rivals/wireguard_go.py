"""`wireguard-go`: WireGuard in user space, ChaCha20-Poly1305 over UDP."""

from __future__ import annotations

import contextlib
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from hipgw.lab.hosts import LabHost
from hipgw.lab.network import Lab
from hipgw.perf.rivals.contract import (
    Started,
    Tunnel,
    answers,
    has_interface,
    started_processes,
    wait_until,
    write_secret,
)

ADDRESSES: Final = {"a": "10.88.0.1", "b": "10.88.0.2"}
PORT: Final = 51820
OVERHEAD_OCTETS: Final = 80


class WireguardGo:
    """Debian's wireguard-go, configured by `wg`."""

    name: Final = "wireguard-go"
    packages: Final = ("wireguard-go", "wireguard-tools")
    programs: Final = ("wireguard-go", "wg")

    @contextlib.contextmanager
    def tunnel(self, lab: Lab, directory: Path, mtu_octets: int) -> Iterator[Tunnel]:
        """Two processes and their tunnel."""
        keys = {name: _wg("genkey") for name in ADDRESSES}
        with started_processes() as started:
            for name in ADDRESSES:
                _start(started, lab, lab.host(name), directory)
            for name, other in (("a", "b"), ("b", "a")):
                host = lab.host(name)
                secret = write_secret(directory / f"wireguard-{name}.key", keys[name])
                peer = ["peer", _wg("pubkey", stdin=keys[other]), "allowed-ips", "10.88.0.0/24"]
                peer += ["endpoint", f"{lab.host(other).addresses[0]}:{PORT}"]
                listen = ["listen-port", str(PORT), "private-key", str(secret)]
                interface = _interface(lab, name)
                host.run(["wg", "set", interface, *listen, *peer])
                host.run(["ip", "address", "add", f"{ADDRESSES[name]}/24", "dev", interface])
                mtu = str(mtu_octets - OVERHEAD_OCTETS)
                host.run(["ip", "link", "set", interface, "up", "mtu", mtu])
            wait_until(lambda: answers(lab.host("a"), ADDRESSES["b"]), self.name)
            yield Tunnel(ADDRESSES["b"], started.ids)


def _wg(*words: str, stdin: str = "") -> str:
    return subprocess.run(
        ["wg", *words], input=stdin, check=True, capture_output=True, text=True
    ).stdout.strip()


def _interface(lab: Lab, host: str) -> str:
    """One name a host: the control sockets of all namespaces lie in one directory."""
    return f"wg{abs(hash(lab.name)) % 10**8}{host}"


def _start(started: Started, lab: Lab, host: LabHost, directory: Path) -> None:
    interface = _interface(lab, host.name)
    log = directory / f"wireguard-{host.name}.log"
    started.start(host, ["wireguard-go", "-f", interface], log, env={"WG_PROCESS_FOREGROUND": "1"})
    wait_until(lambda: has_interface(host, interface), f"wireguard-go on {host.name}", log)
