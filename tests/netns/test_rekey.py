"""New keys under traffic: RFC 7402 section 6.8 to 6.10 on the real kernel.

hipgw-NAME-a hip0 | eth0 10.77.0.1 ------ eth0 10.77.0.2 | hip0 hipgw-NAME-b
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator

import pytest

from hipgw.lab.hosts import LabHost
from hipgw.lab.network import Lab
from hipgw.lab.readiness import wait_for_words
from tests.netns.streams import CountingDatagrams, until

pytestmark = pytest.mark.netns


@contextlib.contextmanager
def lab_of(name: str, **options: object) -> Iterator[Lab]:
    with Lab.pair(name=f"rekey-{name}-{os.getpid()}", **options) as lab:  # type: ignore[arg-type]
        lab.start_daemons()
        yield lab


def association(host: LabHost) -> dict[str, object]:
    (entry,) = host.ask("associations")["associations"]
    return dict(entry)


def rekeys(host: LabHost) -> int:
    count = association(host)["rekeys"]
    assert isinstance(count, int)
    return count


def spis(host: LabHost) -> tuple[object, object]:
    entry = association(host)
    return entry["spi_in"], entry["spi_out"]


def assert_nothing_was_lost(traffic: CountingDatagrams) -> None:
    traffic.stop()
    assert traffic.numbers == list(range(traffic.sent))


@pytest.mark.parametrize("encapsulation", ["raw", "udp"])
def test_a_rekey_by_command_loses_nothing(encapsulation: str) -> None:
    with lab_of(f"cmd-{encapsulation}", encapsulation=encapsulation) as lab:
        a, b = lab.host("a"), lab.host("b")
        a.run(["ping", "-n", "-c", "1", "-W", "30", str(b.hit)])
        with CountingDatagrams(a, b) as traffic:
            for asker in (a, b, a):
                traffic.wait_for_more()
                before, peer = spis(asker), lab.host("b" if asker is a else "a")
                done = asker.run(["hipgw", "rekey", str(peer.hit), "--json"])
                shown = json.loads(done.stdout)["peer"]
                assert (shown["spi_in"], shown["spi_out"]) == spis(asker)
                assert not set(spis(asker)) & set(before)
            traffic.wait_for_more()
            assert_nothing_was_lost(traffic)
        until(lambda: rekeys(a) == rekeys(b) == 3, lambda: f"3: {rekeys(a)} {rekeys(b)}")
        assert spis(a) == spis(b)[::-1]


def test_both_sides_rekey_at_once() -> None:
    with lab_of("both") as lab:
        a, b = lab.host("a"), lab.host("b")
        a.run(["ping", "-n", "-c", "1", "-W", "30", str(b.hit)])
        with CountingDatagrams(a, b) as traffic:
            traffic.wait_for_more()
            asking = [
                host.popen(["hipgw", "rekey", str(peer.hit)]) for host, peer in ((a, b), (b, a))
            ]
            assert [process.wait(30) for process in asking] == [0, 0]
            traffic.wait_for_more()
            assert_nothing_was_lost(traffic)
        until(lambda: spis(a) == spis(b)[::-1], lambda: f"same SPIs: {spis(a)} {spis(b)}")


def test_keys_are_replaced_by_age_and_nothing_is_lost() -> None:
    with lab_of("age", settings={"hip": {"rekey_s": 1}}) as lab:
        a, b = lab.host("a"), lab.host("b")
        a.run(["ping", "-n", "-c", "1", "-W", "30", str(b.hit)])
        with CountingDatagrams(a, b) as traffic:
            until(lambda: min(rekeys(a), rekeys(b)) >= 2, "two rekeys")
            traffic.wait_for_more()
            assert_nothing_was_lost(traffic)


def test_keys_are_replaced_after_octets() -> None:
    with lab_of("octets", settings={"hip": {"rekey_octets": 50_000}}) as lab:
        a, b = lab.host("a"), lab.host("b")
        a.run(["ping", "-n", "-c", "1", "-W", "30", str(b.hit)])
        with CountingDatagrams(a, b) as traffic:
            until(lambda: rekeys(a) >= 1, "a rekey")
            traffic.wait_for_more()
            assert_nothing_was_lost(traffic)
        assert "reason=octets" in a.files.log.read_text() + b.files.log.read_text()


def test_a_stream_at_full_speed_survives_rekeys() -> None:
    with lab_of("iperf", settings={"hip": {"rekey_s": 1}}) as lab:
        a, b = lab.host("a"), lab.host("b")
        a.run(["ping", "-n", "-c", "1", "-W", "30", str(b.hit)])
        server = b.popen(["iperf3", "-s", "-1", "-B", str(b.hit), "--forceflush"])
        wait_for_words(server, "listening", patience_s=60)
        done = a.run(["iperf3", "-6", "-c", str(b.hit), "-t", "4", "-J"])
        server.wait(60)
        report = json.loads(done.stdout)
        assert "error" not in report
        until(lambda: rekeys(a) >= 2, lambda: f"two rekeys: {rekeys(a)}")
        dropped = {
            entry["reason"]: entry["count"]
            for host in (a, b)
            for entry in host.ask("drops")["drops"]
            if entry["count"]
        }
        assert "spi_unknown" not in dropped
        assert "icv_wrong" not in dropped


def test_nobody_to_rekey_with_is_said() -> None:
    with lab_of("nobody") as lab:
        a, b = lab.host("a"), lab.host("b")
        done = a.run(["hipgw", "rekey", str(b.hit)], check=False)
        assert done.returncode == 1
        assert "no ESTABLISHED association" in done.stderr
