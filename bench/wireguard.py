"""The rival of the first figures: Debian's `wireguard-go`, on the veth of a hipgw lab."""

from __future__ import annotations

import contextlib
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

from hipgw.errors import HostError
from hipgw.lab.hosts import LabHost
from hipgw.lab.network import Lab

ADDRESSES = {"a": "10.88.0.1", "b": "10.88.0.2"}
PORT = 51820
PATIENCE_S = 10.0


def _wg(*words: str, stdin: str = "") -> str:
    return subprocess.run(
        ["wg", *words], input=stdin, check=True, capture_output=True, text=True
    ).stdout.strip()


@contextlib.contextmanager
def tunnel(lab: Lab, directory: Path) -> Iterator[dict[str, str]]:
    """Two wireguard-go processes and their tunnel; yields the inner address of each host."""
    keys = {name: _wg("genkey") for name in ADDRESSES}
    processes: list[subprocess.Popen[str]] = []
    try:
        processes += [_start(lab.host(name)) for name in ADDRESSES]
        for name, other in (("a", "b"), ("b", "a")):
            file = directory / f"wireguard-{name}.key"
            file.touch(mode=0o600)
            file.write_text(keys[name])
            host = lab.host(name)
            peer = ["peer", _wg("pubkey", stdin=keys[other]), "allowed-ips", "10.88.0.0/24"]
            peer += ["endpoint", f"{lab.host(other).addresses[0]}:{PORT}"]
            listen = ["listen-port", str(PORT), "private-key", str(file)]
            host.run(["wg", "set", _interface(name), *listen, *peer])
            host.run(["ip", "address", "add", f"{ADDRESSES[name]}/24", "dev", _interface(name)])
            host.run(["ip", "link", "set", _interface(name), "up", "mtu", "1420"])
        lab.host("a").run(["ping", "-n", "-c", "1", "-W", "5", ADDRESSES["b"]])
        yield ADDRESSES
    finally:
        for process in processes:
            process.terminate()
            process.wait(timeout=5)


def _interface(name: str) -> str:
    """One name a host: the control sockets of all namespaces lie in one directory."""
    return f"bench-wg-{name}"


def _start(host: LabHost) -> subprocess.Popen[str]:
    interface = _interface(host.name)
    process = host.popen(["wireguard-go", "-f", interface], env={"WG_PROCESS_FOREGROUND": "1"})
    deadline = time.monotonic() + PATIENCE_S
    while host.run(["ip", "link", "show", interface], check=False).returncode != 0:
        if process.poll() is not None or time.monotonic() > deadline:
            raise HostError(f"wireguard-go on {host.name} did not come up")
        time.sleep(0.05)
    return process
