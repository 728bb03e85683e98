"""`hipgw doctor`: every finding names what, why and the remedy; only a failure makes 1."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from hipgw.cli import doctor, host_checks, install_checks
from hipgw.cli.checks import Check, HostFiles
from hipgw.errors import HostError
from hipgw.values import EspSuite
from tests.unit.cli import answers
from tests.unit.cli.conftest import Invoke
from tests.unit.cli.control_server import MemoryControlServer, RefusedError

ALL_CAPABILITIES = "000001ffffffffff"
NO_NET_RAW = "0000000000001000"


@pytest.fixture
def files(tmp_path: Path) -> HostFiles:
    """A host on which everything is well, in files."""
    proc = tmp_path / "proc"
    contents = {
        "self/status": f"Name:\tx\nCapEff:\t{ALL_CAPABILITIES}\n",
        "net/if_inet6": "",
        "sys/net/ipv6/conf/all/disable_ipv6": "0\n",
        "sys/net/ipv6/conf/default/disable_ipv6": "0\n",
        "sys/net/core/rmem_max": "212992\n",
        "sys/kernel/osrelease": "6.1.0-test\n",
    }
    for name, text in contents.items():
        (proc / name).parent.mkdir(parents=True, exist_ok=True)
        (proc / name).write_text(text)
    return HostFiles(proc=proc, tun=Path("/dev/null"), modules=tmp_path / "modules")


def test_privileges(files: HostFiles) -> None:
    assert host_checks.check_privileges(files).outcome == "ok"
    (files.proc / "self/status").write_text(f"CapEff:\t{NO_NET_RAW}\n")
    assert host_checks.check_privileges(files) == Check(
        "privileges",
        "fail",
        "this user lacks CAP_NET_RAW",
        "run as root, or with CAP_NET_ADMIN and CAP_NET_RAW",
    )
    (files.proc / "self/status").unlink()
    assert host_checks.check_privileges(files).outcome == "warn"


def test_tun(files: HostFiles, tmp_path: Path) -> None:
    assert host_checks.check_tun(files).outcome == "ok"
    missing = host_checks.check_tun(replace(files, tun=tmp_path / "none"))
    assert (missing.outcome, missing.detail) == ("fail", "does not exist")
    assert "modprobe tun" in missing.remedy
    (tmp_path / "plain").touch()
    assert (
        "not a character device"
        in host_checks.check_tun(replace(files, tun=tmp_path / "plain")).detail
    )


def test_raw_sockets_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> socket.socket:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(socket, "socket", refuse)
    found = host_checks.check_raw_sockets()
    assert (found.outcome, found.detail) == ("fail", "not allowed for this user")


@pytest.fixture
def taken_port() -> Iterator[int]:
    """A UDP port that this process holds, for IPv4 only."""
    holder = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    holder.bind(("0.0.0.0", 0))  # noqa: S104
    yield holder.getsockname()[1]
    holder.close()


def test_udp_port(taken_port: int) -> None:
    stranger = host_checks.check_udp_port(None, taken_port)
    assert (stranger.outcome, stranger.detail) == ("fail", "another program holds it")
    assert f"sport = :{taken_port}" in stranger.remedy
    ours = {**answers.STATUS, "listening": {"udp_port": taken_port, "raw": True}}
    assert host_checks.check_udp_port(ours, taken_port) == Check(
        f"udp port {taken_port}", "ok", "held by hipgw, pid 4321"
    )
    elsewhere = {**answers.STATUS, "listening": {"udp_port": taken_port + 1, "raw": True}}
    assert host_checks.check_udp_port(elsewhere, taken_port).outcome == "fail"


def test_udp_port_free(taken_port: int) -> None:
    with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as probe:
        probe.bind(("::", 0))
        free = probe.getsockname()[1]
    assert host_checks.check_udp_port(None, free).detail == "free"


def test_ipv6(files: HostFiles) -> None:
    assert host_checks.check_ipv6(files).outcome == "ok"
    (files.proc / "sys/net/ipv6/conf/default/disable_ipv6").write_text("1\n")
    off = host_checks.check_ipv6(files)
    assert off.outcome == "fail"
    assert off.remedy == "sysctl -w net.ipv6.conf.default.disable_ipv6=0"
    (files.proc / "net/if_inet6").unlink()
    assert "without IPv6" in host_checks.check_ipv6(files).detail


def test_kernel_esp_is_for_information() -> None:
    assert host_checks.check_kernel_esp("BEET with 15 of 15 suites") == Check(
        "kernel esp", "ok", "BEET with 15 of 15 suites; see [datapath] backend"
    )


def test_config_missing(tmp_path: Path) -> None:
    check, config = install_checks.check_config(tmp_path / "none.toml", is_default=True)
    assert check.outcome == "ok"
    assert config is not None
    check, config = install_checks.check_config(tmp_path / "none.toml", is_default=False)
    assert (check.outcome, config) == ("fail", None)


def test_config_wrong(tmp_path: Path) -> None:
    (tmp_path / "bad.toml").write_text("[nonsense]\n")
    check, config = install_checks.check_config(tmp_path / "bad.toml", is_default=False)
    assert (check.outcome, config) == ("fail", None)
    assert "nonsense" in check.detail


def test_keys(tmp_path: Path) -> None:
    assert install_checks.check_keys(tmp_path / "none").outcome == "ok"
    key = tmp_path / "host.pem"
    key.touch(mode=0o600)
    assert install_checks.check_keys(tmp_path).detail.startswith("1 in ")
    key.chmod(0o640)
    assert install_checks.check_keys(tmp_path) == Check(
        "host identities", "fail", f"{key}: mode 0640 lets others use it", f"chmod 600 {key}"
    )
    (tmp_path / "dangling.pem").symlink_to(tmp_path / "nowhere")
    assert "No such file" in install_checks.check_keys(tmp_path).detail


def test_key_of_another_user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    key = tmp_path / "host.pem"
    key.touch(mode=0o600)
    owner = key.stat().st_uid or 4242
    os.chown(key, owner, -1)
    monkeypatch.setattr(os, "geteuid", lambda: owner + 1)
    found = install_checks.check_keys(tmp_path)
    assert found.remedy == f"chown {owner + 1} {key}"


def test_extension_that_does_not_import(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(install_checks, "EXTENSION", "hipgw._fastpath.never_written")
    found = install_checks.check_extension()
    assert found.outcome == "fail"
    assert "never_written" in found.detail
    assert "pip install" in found.remedy


def test_libcrypto(monkeypatch: pytest.MonkeyPatch) -> None:
    assert install_checks.check_libcrypto().detail.startswith("OpenSSL 3.")
    monkeypatch.setattr(install_checks, "LIBCRYPTO", "libnever.so.9")
    assert install_checks.check_libcrypto().outcome == "fail"


def test_python(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "cryptography" in install_checks.check_python().detail
    monkeypatch.setattr(install_checks, "PACKAGES", ("click", "never-written"))
    assert install_checks.check_python() == Check(
        "python", "fail", "not installed: never-written", "pip install never-written"
    )


def test_daemon_down_is_a_warning(tmp_path: Path) -> None:
    check, status, found = doctor.check_daemon(str(tmp_path / "none.sock"))
    assert (check.outcome, status, found) == ("warn", None, [])


def test_findings_of_the_daemon_are_added(server: MemoryControlServer) -> None:
    server.answers["doctor"] = {
        "checks": [
            {"name": "hip0", "outcome": "ok", "detail": "up", "remedy": ""},
            {"name": "offload", "outcome": "new word", "detail": "?", "remedy": "none"},
        ]
    }
    check, status, found = doctor.check_daemon(str(server.path))
    assert check == Check("daemon", "ok", "version 0.1.0, pid 4321, up for 2 hours, 2 minutes")
    assert status == answers.STATUS
    assert found == [Check("hip0", "ok", "up"), Check("offload", "fail", "?", "none")]


def test_ciphers_are_those_of_the_daemon(server: MemoryControlServer) -> None:
    server.answers["doctor"] = {"checks": [], "ciphers": [{"suite": "AES_GCM_16"}]}
    report = doctor.CipherReport()
    doctor.check_daemon(str(server.path), report)
    assert report.rows == [{"suite": "AES_GCM_16"}]


def test_ciphers_are_tried_without_a_daemon(tmp_path: Path, files: HostFiles) -> None:
    report = doctor.CipherReport()
    checks = doctor.run_checks(
        Path("/nonexistent/hipgw.toml"),
        str(tmp_path / "none.sock"),
        "none",
        config_is_default=True,
        files=files,
        ciphers=report,
    )
    suites = [row["suite"] for row in report.rows]
    assert suites[:2] == ["AES_GCM_16", "AES_128_CBC_HMAC_SHA256"]
    assert [check.name for check in checks if check.name.startswith("crypto ")] == [
        f"crypto {suite}" for suite in suites
    ]


def test_a_library_that_is_asked_for_and_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: str) -> None:
        raise HostError("intel-ipsec-mb is not installed: install it")

    monkeypatch.setattr(doctor, "look_at_ciphers", refuse)
    [check] = doctor.try_ciphers(None, doctor.CipherReport())
    assert (check.name, check.outcome) == ("crypto", "fail")
    assert "install it" in check.detail


def test_daemon_that_refuses(server: MemoryControlServer) -> None:
    def refuse(_: dict[str, object]) -> dict[str, object]:
        raise RefusedError("internal", "it broke", "see the log")

    server.answers["status"] = refuse
    check, _, _ = doctor.check_daemon(str(server.path))
    assert check == Check("daemon", "fail", "it broke", "see the log")


def test_daemon_of_another_version(server: MemoryControlServer) -> None:
    server.answers["status"] = {"host": {}}
    check, status, found = doctor.check_daemon(str(server.path))
    assert (check.outcome, status, found) == ("fail", None, [])
    assert "KeyError: 'version'" in check.detail


def test_missing_privileges_are_a_warning_while_a_daemon_runs() -> None:
    failing = Check("privileges", "fail", "this user lacks CAP_NET_RAW", "run as root")
    assert doctor.as_bystander(failing) == Check(
        "privileges", "warn", "this user lacks CAP_NET_RAW, but a daemon is running", "run as root"
    )
    well = Check("privileges", "ok", "root")
    assert doctor.as_bystander(well) is well


def test_text() -> None:
    checks = [
        Check("ipv6", "ok", "on", "never shown"),
        Check("daemon", "warn", "none", "start one"),
        Check("/dev/net/tun", "fail", "does not exist", "modprobe tun"),
    ]
    assert doctor.render_checks(checks) == (
        "ok    ipv6: on\n"
        "warn  daemon: none\n"
        "      remedy: start one\n"
        "fail  /dev/net/tun: does not exist\n"
        "      remedy: modprobe tun\n"
        "\n"
        "1 ok, 1 warn, 1 fail"
    )


@pytest.mark.parametrize(("outcome", "code"), [("ok", 0), ("warn", 0), ("fail", 1)])
def test_exit_code(ask: Invoke, monkeypatch: pytest.MonkeyPatch, outcome: str, code: int) -> None:
    monkeypatch.setattr(doctor, "run_checks", lambda *_, **__: [Check("x", outcome, "y", "z")])
    said = ask("doctor", "--json")
    assert said.exit_code == code
    answer = json.loads(said.stdout)
    assert answer["checks"] == [{"name": "x", "outcome": outcome, "detail": "y", "remedy": "z"}]
    assert answer["ciphers"] == []
    rows = answer["kernel_esp"]
    assert len(rows) == len(EspSuite) * 2 * 2
    assert {row["possible"] == (not row["reason"]) for row in rows} == {True}


def test_every_check_runs_on_this_host(server: MemoryControlServer, files: HostFiles) -> None:
    checks = doctor.run_checks(
        Path("/nonexistent/hipgw.toml"),
        str(server.path),
        "none",
        config_is_default=True,
        files=files,
    )
    names = [check.name for check in checks]
    assert len(names) == len(set(names))
    assert {"python", "data plane", "libcrypto", "privileges", "configuration", "daemon"} <= set(
        names
    )
    for check in checks:
        assert check.outcome in {"ok", "warn", "fail"}
        assert check.detail
        assert check.remedy or check.outcome == "ok"
