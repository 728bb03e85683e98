"""Two daemons on the real kernel.

hipgw-NAME-a hip0 | eth0 ------ eth0 | hip0 hipgw-NAME-b
"""

from __future__ import annotations

import contextlib
import os
import re
import signal
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from hipgw.errors import HostError
from hipgw.lab.hosts import LabHost
from hipgw.lab.network import Lab
from hipgw.netlink.namespaces import run_inside
from tests.netns.seen import drops

pytestmark = pytest.mark.netns

PATIENCE_S = 60.0


@contextlib.contextmanager
def pair(name: str, **options: object) -> Iterator[Lab]:
    with Lab.pair(name=f"daemon-{name}-{os.getpid()}", **options) as lab:  # type: ignore[arg-type]
        lab.start_daemons()
        yield lab


def until(question: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not question():
        assert time.monotonic() < deadline, f"not within {PATIENCE_S} s: {what}"
        time.sleep(0.02)


def ping(host: LabHost, target: object, *options: str) -> None:
    """One packet, and no second chance: raises unless that very packet is answered."""
    host.run(["ping", "-n", "-c", "1", "-W", "30", *options, str(target)])


def stop(host: LabHost, number: signal.Signals = signal.SIGTERM) -> int:
    """End a host's daemon; returns its exit code."""
    daemon = host.daemon
    assert daemon is not None
    os.kill(daemon.pid, number)
    (process,) = [each for each in host._started if each.pid == daemon.pid]
    return process.wait(PATIENCE_S)


def interfaces_of(host: LabHost) -> set[str]:
    return {name for _, name in run_inside(host.namespace, socket.if_nameindex)}


def wait_ready(host: LabHost) -> None:
    def answers() -> bool:
        with contextlib.suppress(HostError):
            return bool(host.ask("ping", timeout_s=1.0)["pong"])
        return False

    until(answers, f"daemon of {host.name} ready: {host.log_tail()}")


@pytest.mark.parametrize(
    ("encapsulation", "family", "first"),
    [("raw", 4, "hit"), ("raw", 6, "lsi"), ("udp", 4, "lsi"), ("udp", 6, "hit")],
)
def test_the_first_packet_is_not_lost(encapsulation: str, family: int, first: str) -> None:
    with pair(f"{encapsulation}{family}", encapsulation=encapsulation, family=family) as lab:
        a, b = lab.host("a"), lab.host("b")
        ping(a, b.hit if first == "hit" else b.lsi)
        (entry,) = a.ask("associations")["associations"]
        assert entry["state"] == "ESTABLISHED"
        assert entry["encapsulation"] == encapsulation
        assert (entry["rx_packets"], entry["tx_packets"]) == (1, 1)
        assert b.ask("associations")["associations"][0]["state"] == "ESTABLISHED"
        for host, target in ((b, a.hit), (b, a.lsi), (a, b.hit), (a, b.lsi)):
            ping(host, target)
        assert drops(a, b) == set()


def test_the_largest_packet_that_hip0_takes_is_not_fragmented() -> None:
    with pair("mtu", encapsulation="udp", family=6) as lab:
        a, b = lab.host("a"), lab.host("b")
        assert a.ask("status")["interface"]["mtu"] == 1446
        ping(a, b.hit, "-M", "do", "-s", str(1446 - 48))
        ping(a, b.lsi, "-M", "do", "-s", str(1426 - 28))
        for target, size in ((b.hit, 1446 - 47), (b.lsi, 1426 - 27)):
            with pytest.raises(HostError):
                ping(a, target, "-M", "do", "-s", str(size))


def test_tcp_to_a_server_on_every_address_works_by_hit_and_by_lsi() -> None:
    with pair("tcp") as lab:
        a, b = lab.host("a"), lab.host("b")
        for family, wildcard, target in (
            (socket.AF_INET6, "::", b.hit),
            (socket.AF_INET, "0.0.0.0", b.lsi),  # noqa: S104
        ):
            server = b.call(lambda f=family, w=wildcard: listening(f, w))
            with server:
                port = server.getsockname()[1]
                client = a.call(
                    lambda t=target, p=port: socket.create_connection((str(t), p), timeout=60)
                )
                with client:
                    accepted, _ = server.accept()
                    with accepted:
                        client.sendall(b"x" * 100_000)
                        client.shutdown(socket.SHUT_WR)
                        with accepted.makefile("rb") as stream:
                            assert len(stream.read()) == 100_000


def listening(family: int, address: str) -> socket.socket:
    server = socket.socket(family, socket.SOCK_STREAM)
    server.settimeout(60)
    if family == socket.AF_INET6:
        server.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    server.bind((address, 0))
    server.listen()
    return server


def test_a_stop_closes_associations_and_leaves_nothing() -> None:
    with pair("stop") as lab:
        a, b = lab.host("a"), lab.host("b")
        ping(a, b.hit)
        assert "hip0" in interfaces_of(a)
        assert stop(a) == 0
        assert interfaces_of(a) == {"lo", "eth0"}
        assert not a.files.socket.exists()
        assert not Path(f"{a.files.socket}.lock").exists()
        assert a.daemon is None
        until(lambda: b.ask("sas")["sas"] == [], "b heard the CLOSE")
        routes = a.run(["ip", "-6", "route"]).stdout + a.run(["ip", "route"]).stdout
        assert "hip0" not in routes
        assert "2001:20" not in routes


def test_a_killed_daemon_starts_again_with_the_same_names() -> None:
    with pair("kill") as lab:
        a, b = lab.host("a"), lab.host("b")
        ping(a, b.hit)
        before = a.ask("hits")["hits"]
        assert stop(a, signal.SIGKILL) == -signal.SIGKILL
        assert a.files.socket.exists()
        assert "hip0" not in interfaces_of(a)
        a.start_daemon()
        wait_ready(a)
        assert a.ask("hits")["hits"] == before
        assert "leftovers of a killed daemon cleared" in a.files.log.read_text()
        ping(a, b.hit)
        ping(b, a.lsi)


def test_a_second_daemon_is_refused_in_one_sentence() -> None:
    with pair("second") as lab:
        a = lab.host("a")
        daemon = a.daemon
        assert daemon is not None
        other_port = {"[network]": "[network]\nudp_port = 10501"}
        for change, words in (
            ({}, [f"pid {daemon.pid}", f"kill {daemon.pid}"]),
            ({"hipgw.sock": "second.sock"}, ["10500", "in use"]),
            ({"hipgw.sock": "third.sock", **other_port}, ["hip0", "busy"]),
        ):
            text = a.files.config.read_text()
            for old, new in change.items():
                assert old in text
                text = text.replace(old, new)
            config = a.files.directory / "second.toml"
            config.write_text(text)
            done = a.run(["hipgw", "run", "-c", str(config)], check=False)
            assert done.returncode == 1
            (line,) = done.stderr.strip().splitlines()
            assert all(word in line for word in words), line
        wait_ready(a)
        assert a.daemon == daemon


def test_a_bad_configuration_is_refused_with_file_and_line() -> None:
    with Lab.pair(name=f"daemon-bad-{os.getpid()}") as lab:
        a = lab.host("a")
        config = a.files.config
        config.write_text("[network]\nmut = 9000\n")
        done = a.run(["hipgw", "run", "-c", str(config)], check=False)
        assert done.returncode == 2
        assert f"{config}:2: network.mut" in done.stderr
        assert "'mtu'" in done.stderr


def test_a_readable_key_is_refused() -> None:
    with Lab.pair(name=f"daemon-key-{os.getpid()}") as lab:
        a = lab.host("a")
        (key,) = a.files.keys.glob("*.pem")
        key.chmod(0o644)
        done = a.run(["hipgw", "run", "-c", str(a.files.config)], check=False)
        assert done.returncode == 2
        assert f"chmod 600 {key}" in done.stderr
        assert interfaces_of(a) == {"lo", "eth0"}


def test_a_second_signal_ends_at_once() -> None:
    with pair("twice") as lab:
        a, b = lab.host("a"), lab.host("b")
        ping(a, b.hit)
        assert stop(b, signal.SIGKILL) == -signal.SIGKILL
        daemon = a.daemon
        assert daemon is not None
        (process,) = [each for each in a._started if each.pid == daemon.pid]
        os.kill(daemon.pid, signal.SIGTERM)
        until(lambda: "stopping" in a.files.log.read_text(), "first signal seen")
        os.kill(daemon.pid, signal.SIGINT)
        assert process.wait(PATIENCE_S) in (0, 1)
        assert interfaces_of(a) == {"lo", "eth0"}


def test_keys_for_tshark_are_exported_in_the_lab_only() -> None:
    with pair("keys") as lab:
        a, b = lab.host("a"), lab.host("b")
        ping(a, b.hit)
        lines = a.files.esp_keys.read_text().splitlines()
        assert len(lines) == 2
        for line in lines:
            assert re.fullmatch(
                r'"IPv4","10\.77\.0\.[12]","10\.77\.0\.[12]","0x[0-9a-f]{8}",'
                r'"AES-GCM with 16 octet ICV \[RFC4106\]","0x[0-9a-f]{40}","NULL",""',
                line,
            )
        assert a.files.esp_keys.stat().st_mode & 0o777 == 0o600
        key = lines[0].split('"0x')[2][:40]
        assert key not in a.files.log.read_text()


def test_an_unprivileged_user_is_told_what_is_missing() -> None:
    with Lab.pair(name=f"daemon-user-{os.getpid()}") as lab:
        a = lab.host("a")
        done = a.run(
            ["capsh", "--drop=cap_net_admin,cap_net_raw", "--", "-c",
             f"exec hipgw run -c {a.files.config}"],
            check=False,
        )  # fmt: skip
        assert done.returncode == 1
        assert "CAP_NET_ADMIN" in done.stderr


def test_a_daemon_that_gave_up_root_works_and_cleans_up() -> None:
    settings = {"host": {"user": "nobody"}}
    with Lab.pair(name=f"daemon-drop-{os.getpid()}", settings=settings) as lab:
        for host in lab.hosts:
            # The lab's directories are closed to other users.
            for directory in (host.files.directory, *host.files.directory.parents[:2]):
                directory.chmod(0o755)
        lab.start_daemons()
        a, b = lab.host("a"), lab.host("b")
        daemon = a.daemon
        assert daemon is not None
        status = Path(f"/proc/{daemon.pid}/status").read_text()
        assert re.search(r"^Uid:\s+65534\s+65534", status, re.M)
        assert re.search(r"^CapEff:\s+0000000000003000$", status, re.M)
        ping(a, b.hit)
        ping(a, b.lsi)
        assert stop(a) == 0
        assert interfaces_of(a) == {"lo", "eth0"}
        assert not a.files.socket.exists()


def test_a_reload_takes_new_peers_over() -> None:
    with pair("reload") as lab:
        a = lab.host("a")
        newcomer = "2001:22::77"
        with a.files.config.open("a") as config:
            config.write(
                f'\n[[peer]]\nname = "new"\nhit = "{newcomer}"\naddresses = ["10.77.0.9"]\n'
            )
        daemon = a.daemon
        assert daemon is not None
        os.kill(daemon.pid, signal.SIGHUP)

        def is_known() -> bool:
            return newcomer in {peer["hit"] for peer in a.ask("peers")["peers"]}

        until(is_known, "the new peer is known")


def test_garbage_costs_counters_only() -> None:
    with pair("garbage") as lab:
        a, b = lab.host("a"), lab.host("b")
        shots = [os.urandom(size) for size in range(0, 1400, 7)]
        head = bytes([59, 4, 1, 0x21, 0, 0, 0, 0]) + a.hit.packed + b.hit.packed
        target = str(b.addresses[0])

        def shoot() -> None:
            with (
                socket.socket(socket.AF_INET, socket.SOCK_RAW, 139) as raw,
                socket.socket(socket.AF_INET, socket.SOCK_RAW, 50) as esp,
                socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp,
            ):
                for shot in shots:
                    for payload in (shot, head + shot):
                        raw.sendto(payload, (target, 0))
                        esp.sendto(payload, (target, 0))
                        udp.sendto(payload, (target, 10500))
                        udp.sendto(bytes(4) + payload, (target, 10500))

        a.call(shoot)
        ping(a, b.hit)
        ping(a, b.lsi)

        def counted(reason: str) -> int:
            return {drop["reason"]: int(drop["count"]) for drop in b.ask("drops")["drops"]}[reason]

        until(lambda: counted("hip_checksum") > 20, "I1s that the rates let through to the engine")
        until(lambda: counted("i1_rate") > 100, "and those that they did not")
        until(lambda: counted("spi_unknown") > 100, "ESP of nobody")
        assert len(b.ask("associations")["associations"]) == 1
        assert len(b.files.log.read_text().splitlines()) < 30


def test_the_daemon_is_small_and_says_when_it_is_ready() -> None:
    with pair("size") as lab:
        a, b = lab.host("a"), lab.host("b")
        ping(a, b.hit)
        assert a.ask("status")["host"]["rss_octets"] < 80 * 1024 * 1024
        assert " ready hit=" in a.files.log.read_text()
