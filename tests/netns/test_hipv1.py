"""HIPv1 between two daemons, where both say that the other is a legacy peer, and only there.

a eth0 10.77.0.1 ------ 10.77.0.2 eth0 b, captured on a
"""

from __future__ import annotations

import contextlib
import os
import re
import signal
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from hipgw.crypto import PrivateHostIdentity
from hipgw.errors import HostError
from hipgw.lab.hosts import LabHost
from hipgw.lab.network import Lab
from hipgw.values import Hit
from tests.netns import seen
from tests.netns.streams import until

pytestmark = pytest.mark.netns


def hit_v1(host: LabHost) -> Hit:
    (file,) = host.files.keys.glob("*.pem")
    return PrivateHostIdentity.from_pem(file.read_bytes(), allow_weak=True).hit_v1


def speak_v1(lab: Lab, *legacy: str) -> None:
    """Name each peer by its HIT of HIPv1; hosts of `legacy` allow it that."""
    hosts = lab.hosts
    for host in hosts:
        text = host.files.config.read_text()
        for other in hosts:
            text = text.replace(f'hit = "{other.hit}"', f'hit = "{hit_v1(other)}"')
        if host.name in legacy:
            text = re.sub(r"(?m)^(hit = .*)$", r"\1\nlegacy = true", text)
        host.files.config.write_text(text)


@contextlib.contextmanager
def pair(name: str, *legacy: str, **options: object) -> Iterator[Lab]:
    with Lab.pair(
        name=f"v1-{name}-{os.getpid()}",
        key_kind="rsa-2048",
        **options,  # type: ignore[arg-type]
    ) as lab:
        speak_v1(lab, *legacy)
        lab.start_daemons()
        yield lab


def ping(host: LabHost, target: object) -> None:
    host.run(["ping", "-n", "-c", "1", "-W", "30", str(target)])


def drops(host: LabHost) -> dict[str, int]:
    return {drop["reason"]: drop["count"] for drop in host.ask("drops")["drops"] if drop["count"]}


def listening(address: str) -> socket.socket:
    server = socket.socket(socket.AF_INET6, socket.SOCK_STREAM)
    server.settimeout(60)
    server.bind((address, 0))
    server.listen()
    return server


def carry(a: LabHost, b: LabHost, target: Hit, octets: int) -> None:
    """That many octets over TCP from `a` to `b`."""
    with b.call(lambda: listening("::")) as server:
        port = server.getsockname()[1]
        with a.call(lambda: socket.create_connection((str(target), port), timeout=60)) as client:
            accepted, _ = server.accept()
            with accepted:
                client.sendall(b"x" * octets)
                client.shutdown(socket.SHUT_WR)
                with accepted.makefile("rb") as stream:
                    assert len(stream.read()) == octets


def dissected(file: Path, shown: str, *fields: str) -> list[list[str]]:
    command = ["tshark", "-r", str(file), "-Y", shown, "-T", "fields"]
    for name in fields:
        command += ["-e", name]
    said = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return [line.split("\t") for line in said.splitlines()]


@pytest.mark.parametrize("encapsulation", ["raw", "udp"])
def test_two_daemons_speak_hipv1(encapsulation: str, tmp_path: Path) -> None:
    file = tmp_path / "wire.pcap"
    with pair(encapsulation, "a", "b", encapsulation=encapsulation) as lab:
        a, b = lab.host("a"), lab.host("b")
        with a.capture(file):
            ping(a, hit_v1(b))
            ping(a, b.lsi)
            ping(b, hit_v1(a))
            carry(a, b, hit_v1(b), 200_000)
            a.run(["hipgw", "rekey", str(hit_v1(b)), "--socket", str(a.files.socket)])
            ping(a, hit_v1(b))
        (entry,) = a.ask("associations")["associations"]
        assert (entry["version"], entry["legacy"], entry["state"]) == (1, True, "ESTABLISHED")
        assert entry["local_hit"] == str(hit_v1(a))
        assert entry["esp_suite"] == "V1_AES_128_CBC_HMAC_SHA1"
        assert entry["hip_cipher"] == "AES_128_CBC_HMAC_SHA1"
        assert a.ask("status")["identity"]["hit"] == str(a.hit)
        assert a.ask("set_default_hip_version", version=1) == {"version": 1}
        assert a.ask("status")["identity"]["hit"] == str(hit_v1(a))
        assert [one["version"] for one in a.ask("hits")["hits"]] == [1, 2]
        shown = a.run(["hipgw", "status", "--socket", str(a.files.socket)])
        assert "legacy: HIPv1" in shown.stdout
        assert "legacy" in a.run(["hipgw", "peers", "--socket", str(a.files.socket)]).stdout
        assert "legacy: HIPv1" in a.run(["hipgw", "sas", "--socket", str(a.files.socket)]).stdout
        assert seen.drops(a, b) == set()
        a.run(["hipgw", "close", str(hit_v1(b)), "--socket", str(a.files.socket)])
    packets = dissected(file, "hip", "hip.version", "hip.packet_type")
    assert {version for version, _ in packets} == {"1"}
    assert {"1", "2", "3", "4", "16"} <= {kind for _, kind in packets}
    assert not dissected(file, "_ws.malformed", "frame.number")


def test_without_legacy_it_is_refused_by_name_until_a_reload_allows_it() -> None:
    with pair("refused", "a") as lab:
        a, b = lab.host("a"), lab.host("b")
        with pytest.raises(HostError):
            a.run(
                ["hipgw", "connect", str(hit_v1(b)), "--wait", "1", "--socket", str(a.files.socket)]
            )
        until(lambda: drops(b).keys() == {"legacy_refused"}, lambda: f"only that: {drops(b)}")
        said = b.run(["hipgw", "drops", "--socket", str(b.files.socket)])
        assert "legacy_refused" in said.stdout
        with pytest.raises(HostError):
            b.run(
                ["hipgw", "connect", str(hit_v1(a)), "--wait", "1", "--socket", str(b.files.socket)]
            )
        speak_v1(lab, "b")
        assert b.daemon is not None
        os.kill(b.daemon.pid, signal.SIGHUP)
        until(lambda: b.ask("peers")["peers"][0]["legacy"], "the reload")
        a.run(["hipgw", "connect", str(hit_v1(b)), "--socket", str(a.files.socket)])
        ping(a, hit_v1(b))
