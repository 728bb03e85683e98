"""OpenVPN in user space: TLS between two self-signed certificates, AES-128-GCM over UDP."""

from __future__ import annotations

import contextlib
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from hipgw.errors import HostError
from hipgw.lab.network import Lab
from hipgw.perf.rivals.contract import Tunnel, answers, started_processes, wait_until

ADDRESSES: Final = {"a": "10.90.0.1", "b": "10.90.0.2"}
PORT: Final = 1194
INTERFACE: Final = "ovpn0"
OVERHEAD_OCTETS: Final = 80
"""IPv4, UDP, and what its data channel adds for AES-GCM, rounded up."""
CIPHER: Final = "AES-128-GCM"


class Openvpn:
    """Debian's OpenVPN from point to point; the kernel's offload of it stays off."""

    name: Final = "openvpn"
    packages: Final = ("openvpn", "openssl")
    programs: Final = ("openvpn", "openssl")

    @contextlib.contextmanager
    def tunnel(self, lab: Lab, directory: Path, mtu_octets: int) -> Iterator[Tunnel]:
        """Two processes and their tunnel."""
        prints = {name: _certificate(directory, name) for name in ADDRESSES}
        with started_processes() as started:
            for name, other, role in (("b", "a", "--tls-server"), ("a", "b", "--tls-client")):
                host = lab.host(name)
                argv = ["openvpn", "--dev", INTERFACE, "--dev-type", "tun", "--proto", "udp4"]
                argv += ["--local", str(host.addresses[0]), "--port", str(PORT)]
                argv += ["--remote", str(lab.host(other).addresses[0]), str(PORT)]
                argv += ["--ifconfig", ADDRESSES[name], ADDRESSES[other]]
                argv += ["--tun-mtu", str(mtu_octets - OVERHEAD_OCTETS), "--mssfix", "0"]
                argv += [role, *(("--dh", "none") if role == "--tls-server" else ())]
                argv += ["--cert", str(_file(directory, name, "crt"))]
                argv += ["--key", str(_file(directory, name, "key"))]
                argv += ["--peer-fingerprint", prints[other]]
                argv += ["--data-ciphers", CIPHER, "--cipher", CIPHER, "--disable-dco"]
                log = directory / f"openvpn-{name}.log"
                started.start(host, argv, log)
            wait_until(lambda: answers(lab.host("a"), ADDRESSES["b"]), self.name, log)
            yield Tunnel(ADDRESSES["b"], started.ids)


def _file(directory: Path, name: str, kind: str) -> Path:
    return directory / f"openvpn-{name}.{kind}"


def _certificate(directory: Path, name: str) -> str:
    """Make a key and a self-signed certificate; returns its SHA-256 fingerprint."""
    certificate, key = _file(directory, name, "crt"), _file(directory, name, "key")
    key.touch(mode=0o600)
    request = ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"]
    request += ["-nodes", "-keyout", str(key), "-out", str(certificate), "-days", "1"]
    _openssl(*request, "-subj", f"/CN={name}")
    said = _openssl("x509", "-in", str(certificate), "-noout", "-fingerprint", "-sha256")
    return said.split("=", 1)[1].strip()


def _openssl(*words: str) -> str:
    done = subprocess.run(["openssl", *words], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise HostError(f"openssl {words[0]}: {done.stderr.strip()}")
    return done.stdout
