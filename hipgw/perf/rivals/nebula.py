"""Nebula: certificates of a CA of its own, AES-256-GCM over UDP."""

from __future__ import annotations

import contextlib
import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from hipgw.errors import HostError
from hipgw.lab.network import Lab
from hipgw.perf.rivals.contract import Tunnel, answers, started_processes, wait_until

ADDRESSES: Final = {"a": "10.89.0.1", "b": "10.89.0.2"}
PORT: Final = 4242
OVERHEAD_OCTETS: Final = 100


class Nebula:
    """Debian's nebula; each host knows where the other is, there is no lighthouse."""

    name: Final = "nebula"
    packages: Final = ("nebula",)
    programs: Final = ("nebula", "nebula-cert")

    @contextlib.contextmanager
    def tunnel(self, lab: Lab, directory: Path, mtu_octets: int) -> Iterator[Tunnel]:
        """Two processes and their tunnel."""
        _cert(directory, "ca", "-name", "hipgw bench", "-duration", "24h")
        with started_processes() as started:
            for name, other in (("a", "b"), ("b", "a")):
                _cert(directory, "sign", "-name", name, "-ip", f"{ADDRESSES[name]}/24")
                config = directory / f"nebula-{name}.yml"  # YAML takes JSON as it is
                endpoint = f"{lab.host(other).addresses[0]}:{PORT}"
                mtu = mtu_octets - OVERHEAD_OCTETS
                config.write_text(
                    json.dumps(_config(directory, name, {ADDRESSES[other]: [endpoint]}, mtu))
                )
                log = directory / f"nebula-{name}.log"
                started.start(lab.host(name), ["nebula", "-config", str(config)], log)
            wait_until(lambda: answers(lab.host("a"), ADDRESSES["b"]), self.name, log)
            yield Tunnel(ADDRESSES["b"], started.ids)


def _config(
    directory: Path, name: str, endpoints: dict[str, list[str]], mtu_octets: int
) -> dict[str, object]:
    files = {"ca": "ca.crt", "cert": f"{name}.crt", "key": f"{name}.key"}
    everything = [{"port": "any", "proto": "any", "host": "any"}]
    return {
        "pki": {key: str(directory / file) for key, file in files.items()},
        "static_host_map": endpoints,
        "lighthouse": {"am_lighthouse": False},
        "listen": {"host": "0.0.0.0", "port": PORT},  # noqa: S104 - of a namespace
        "tun": {"dev": "nebula1", "mtu": mtu_octets},
        "logging": {"level": "error"},
        "firewall": {"inbound": everything, "outbound": everything},
    }


def _cert(directory: Path, *words: str) -> None:
    done = subprocess.run(
        ["nebula-cert", *words], cwd=directory, capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        raise HostError(f"nebula-cert {words[0]}: {(done.stderr or done.stdout).strip()}")
