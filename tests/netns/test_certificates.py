"""Daemons with certificates of a fleet, and a middle host that looks at them (RFC 8002; F270-F277).

hipgw-NAME-a hip0 | eth0 ------ eth0 | hip0 hipgw-NAME-b
hipgw-NAME-a hip0 | eth0 ------ eth0 | hipgw-NAME-m | eth1 ------ eth0 | hip0 hipgw-NAME-b
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import time
from collections.abc import Callable
from ipaddress import ip_interface
from pathlib import Path
from typing import Any

import pytest

from hipgw.crypto import HostIdentity, PrivateHostIdentity
from hipgw.crypto.certificates import certificates_from
from hipgw.daemon.fleet_ca import DAY_S, AuthorityFiles
from hipgw.daemon.keys import load_identity
from hipgw.errors import HostError
from hipgw.lab.capture import sightings
from hipgw.lab.hosts import LabHost
from hipgw.lab.network import Lab
from hipgw.lab.topology import Host, Link, Port, Topology
from hipgw.wire import PacketType

pytestmark = pytest.mark.netns

PATIENCE_S = 60.0


class Fleet:
    """An authority, and the files that it gives to hosts."""

    def __init__(self, directory: Path, name: str = "fleet") -> None:
        self.files = AuthorityFiles(directory / name)
        self.files.create(PrivateHostIdentity.generate("ecdsa-p256"), 100, int(time.time()))

    @property
    def hit(self) -> str:
        return str(self.files.certificate().hit)

    def certify(self, host: LabHost, days: int = 30) -> str:
        """Issue a certificate for a host and put it there; returns its serial number."""
        now_s = int(time.time())
        with self.files.locked():
            row = self.files.issue(identity_of(host), now_s + days * DAY_S, now_s)
        shutil.copy(self.files.file_of(row, ".der"), host.files.directory / "host-cert.der")
        return row.name

    def trusted_by(self, host: LabHost) -> Path:
        """Copy certificate and revocation list into the anchors of a host."""
        anchors = host.files.directory / "anchors"
        anchors.mkdir(exist_ok=True)
        for name in ("ca-cert.pem", "ca-crl.pem"):
            shutil.copy(self.files.directory / name, anchors)
        return anchors


def identity_of(host: LabHost) -> HostIdentity:
    (key,) = host.files.keys.glob("*.pem")
    return load_identity(key).public


def configure(host: LabHost, **changes: object) -> None:
    """Write `[certificates]` at the end of a host's configuration, which ends with peers."""
    directory = host.files.directory
    keys = {
        "chains": [str(directory / "host-cert.der")],
        "anchors": [str(directory / "anchors")],
        "issuing": str(directory / "hip_cert.cnf"),
        "authority": str(directory / "ca"),
    }
    base = host.files.config.read_text().partition("\n[certificates]\n")[0]
    lines = [f"{key} = {json.dumps(value)}" for key, value in (keys | changes).items()]
    host.files.config.write_text("\n".join([base, "[certificates]", *lines, ""]))


def until(question: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not question():
        assert time.monotonic() < deadline, f"not within {PATIENCE_S} s: {what}"
        time.sleep(0.02)


def shown(host: LabHost) -> dict[str, Any]:
    """The certificate of the one peer, by the command line."""
    (peer,) = json.loads(host.run(["hipgw", "peers", "--json"]).stdout)["peers"]
    return peer["certificate"] or {}


def reload(host: LabHost) -> None:
    daemon = host.daemon
    assert daemon is not None
    taken = host.files.log.read_text().count("configuration taken")
    os.kill(daemon.pid, signal.SIGHUP)
    until(
        lambda: host.files.log.read_text().count("configuration taken") > taken,
        f"reload of {host.name}",
    )


def test_both_sides_verify_and_a_revocation_ends_it(tmp_path: Path) -> None:
    with Lab.pair(name=f"cert-pair-{os.getpid()}") as lab:
        a, b = lab.host("a"), lab.host("b")
        fleet = Fleet(tmp_path)
        for host in (a, b):
            fleet.trusted_by(host)
            serial = fleet.certify(host)
            configure(host, policy="required", send_in=["i2", "r2", "update"])
        lab.start_daemons()
        a.run(["hipgw", "connect", str(b.hit)])
        for host, peer in ((a, b), (b, a)):
            entry = shown(host)
            assert (entry["verified"], entry["standing"]) == (True, "verified")
            assert entry["subject"] == f"CN={peer.hit}"
            assert entry["issuer"] == f"CN={fleet.hit}"
            assert entry["required"]
        assert shown(a)["serial"] == serial
        text = a.run(["hipgw", "status"]).stdout
        assert f"certificate: verified, issued by CN={fleet.hit}, until " in text
        a.run(["ping", "-n", "-c", "1", "-W", "30", str(b.hit)])

        with fleet.files.locked():
            fleet.files.revoke({int(serial, 16)}, int(time.time()), 30)
        fleet.trusted_by(a)
        reload(a)
        until(lambda: a.ask("sas")["sas"] == b.ask("sas")["sas"] == [], "closed on both sides")
        assert "certificate refused" in a.files.log.read_text()
        refused = a.run(["hipgw", "connect", str(b.hit), "--wait", "60"], check=False)
        assert refused.returncode == 1
        assert "certificate_refused" in refused.stderr


def test_required_and_absent_is_refused_with_the_reason_on_both_sides(tmp_path: Path) -> None:
    with Lab.pair(name=f"cert-none-{os.getpid()}") as lab:
        a, b = lab.host("a"), lab.host("b")
        Fleet(tmp_path).trusted_by(b)
        configure(b, policy="required")
        lab.start_daemons()
        file = tmp_path / "hip.pcap"
        with b.capture(file, filters="proto 139"):
            refused = a.run(["hipgw", "connect", str(b.hit), "--wait", "60"], check=False)
        assert refused.returncode == 1
        assert "certificate_missing" in refused.stderr
        drops = {drop["reason"]: drop["count"] for drop in b.ask("drops")["drops"]}
        i2s = sum(seen.packet_type is PacketType.I2 for seen in sightings(file))
        assert 1 <= drops["certificate_missing"] <= i2s, "once for each"
        assert b.ask("sas")["sas"] == []
        with pytest.raises(HostError):
            a.run(["ping", "-n", "-c", "1", "-W", "1", str(b.hit)])


def test_hipconf_acquires_what_the_other_host_then_shows(tmp_path: Path) -> None:
    with Lab.pair(name=f"cert-acquire-{os.getpid()}") as lab:
        a, b = lab.host("a"), lab.host("b")
        files = AuthorityFiles(a.files.directory / "ca")
        files.create(PrivateHostIdentity.generate("ecdsa-p256"), 100, int(time.time()))
        (a.files.directory / "hip_cert.cnf").write_text(
            "[ hip_x509v3 ]\ndays = 3\n[ hip_x509v3_extensions ]\nsubjectAltName = DNS:b.lab\n"
        )
        for host in (a, b):
            configure(host)
        lab.start_daemons()
        a.run(["hipgw", "connect", str(b.hit)])
        answer = a.run(["hipconf", "daemon", "acquire", "certificate", str(b.hit), "--json"])
        document = json.loads(answer.stdout)
        (made,) = certificates_from(document["pem"].encode())
        assert made.hit == b.hit
        assert abs(made.not_after_s - time.time() - 3 * DAY_S) < 600
        assert "b.lab" in str(made.parsed.extensions)

        (b.files.directory / "host-cert.der").write_bytes(made.der)
        anchors = a.files.directory / "anchors"
        anchors.mkdir()
        shutil.copy(files.directory / "ca-cert.pem", anchors)
        for host in (a, b):
            reload(host)
        assert b.ask("status")["certificates"]["own"][0]["hit"] == str(b.hit)
        a.run(["hipgw", "close", str(b.hit)])
        until(lambda: not a.ask("associations")["associations"], "closed")
        a.run(["hipgw", "connect", str(b.hit)])
        assert shown(a)["verified"] is True


# --- a middle host ---


def behind_a_router() -> Topology:
    def port(host: str, interface: str, address: str) -> Port:
        return Port(host, interface, (ip_interface(address),))

    return Topology(
        "middle",
        (Host("a"), Host("m", speaks_hip=False), Host("b")),
        (
            Link((port("a", "eth0", "10.81.0.1/24"), port("m", "eth0", "10.81.0.254/24"))),
            Link((port("m", "eth1", "10.82.0.254/24"), port("b", "eth0", "10.82.0.1/24"))),
        ),
    )


def test_a_middle_host_accepts_good_chains_and_refuses_bad_ones(tmp_path: Path) -> None:
    with Lab(behind_a_router(), name=f"cert-mid-{os.getpid()}") as lab:
        a, m, b = lab.host("a"), lab.host("m"), lab.host("b")
        m.call(lambda: Path("/proc/sys/net/ipv4/ip_forward").write_text("1"))
        for host, gateway in ((a, "10.81.0.254"), (b, "10.82.0.254")):
            host.run(["ip", "route", "add", "default", "via", gateway])
        good, stranger = Fleet(tmp_path, "good"), Fleet(tmp_path, "stranger")
        good.certify(b)
        for host in (a, b):
            configure(host)
        lab.start_daemons()
        anchors = good.trusted_by(m)

        def exchange_seen(name: str) -> tuple[int, list[dict[str, Any]]]:
            file = tmp_path / f"{name}.pcap"
            with m.capture(file, filters="proto 139"):
                a.run(["hipgw", "connect", str(b.hit)])
                a.run(["hipgw", "close", str(b.hit)])
                until(lambda: not a.ask("associations")["associations"], "closed")
            command = ["hipgw", "cert", "check-capture", str(file), "--anchors", str(anchors)]
            done = m.run([*command, "--json"], check=False)
            r2s = [one for one in json.loads(done.stdout)["packets"] if one["type"] == "R2"]
            # An R2 answers every I2 that was sent again.
            distinct = {json.dumps([one["certificate"], one["sender"]]): one for one in r2s}
            return done.returncode, list(distinct.values())

        code, (r2,) = exchange_seen("good")
        assert (code, r2["certificate"], r2["sender"]) == (0, "accepted", str(b.hit))
        assert r2["issuer"] == f"CN={good.hit}"

        stranger.certify(b)
        reload(b)
        code, (r2,) = exchange_seen("bad")
        assert (code, r2["certificate"]) == (1, "refused")
        assert r2["detail"] == "unknown ca: issuer is not trusted"
        file = tmp_path / "bad.pcap"
        text = m.run(
            ["hipgw", "cert", "check-capture", str(file), "--anchors", str(anchors)], check=False
        )
        assert f"R2 {b.hit} > {a.hit}: refused, unknown ca" in text.stdout
        assert text.stdout.endswith("certificates: 1 refused\n")
