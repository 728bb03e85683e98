"""The soak sees what it looks for."""

from __future__ import annotations

import socket
import threading
import time
from pathlib import Path

import pytest

from bench.soak import wait_for_all
from bench.soak_flows import CHUNK_OCTETS, PATTERN_TWICE, Datagrams
from bench.soak_samples import (
    GROWTH_OCTETS,
    Sample,
    error_lines,
    judge_descriptors,
    judge_memory,
    slope_octets_minute,
)

MIB = 1 << 20


def run_of(seconds: int, octets_per_s: float, *, descriptors: int = 20) -> list[Sample]:
    return [
        Sample(float(at), "a", 60 * MIB + int(octets_per_s * at), descriptors, 7)
        for at in range(seconds + 1)
    ]


def test_memory_that_grows_and_grows_is_a_leak() -> None:
    minute = MIB / 60
    assert judge_memory(run_of(600, 0), "a").is_good
    assert judge_memory(run_of(600, minute / 2), "a").is_good
    assert not judge_memory(run_of(600, minute * 2), "a").is_good
    assert not judge_memory(run_of(3600, minute / 2), "a").is_good, "the longer, the stricter"
    assert not judge_memory(run_of(20, GROWTH_OCTETS / 8), "a").is_good, "much at once"
    assert slope_octets_minute(run_of(600, minute)) == pytest.approx(MIB, rel=0.01)


def test_memory_may_grow_while_everything_is_new() -> None:
    samples = run_of(600, 0)
    for at in range(100):
        samples[at] = Sample(float(at), "a", 20 * MIB, 20, 7)
    assert judge_memory(samples, "a").is_good


def test_memory_is_judged_though_one_fault_took_half_of_the_run() -> None:
    samples = [one for one in run_of(100, 0) if not 20 < one.at_s < 60]
    assert judge_memory(samples, "a").is_good
    samples = [one for one in run_of(100, GROWTH_OCTETS / 10) if not 20 < one.at_s < 60]
    assert not judge_memory(samples, "a").is_good


def test_a_descriptor_that_stays_is_a_leak() -> None:
    samples = run_of(100, 0)
    samples[:10] = run_of(9, 0, descriptors=18)
    assert judge_descriptors(samples, "a").is_good
    samples[-1] = Sample(100.0, "a", 60 * MIB, 21, 7)
    assert not judge_descriptors(samples, "a").is_good


def test_flows_that_stand_still_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    moving, still = Datagrams.__new__(Datagrams), Datagrams.__new__(Datagrams)
    moving.name, still.name = "moving", "still"
    moving.units = still.units = 0

    def tick(_: float) -> None:
        moving.units += 1

    monkeypatch.setattr(time, "sleep", tick)
    assert wait_for_all([moving], 30.0)[1] == []
    assert wait_for_all([moving, still], 0.05)[1] == ["still"]


def test_errors_in_a_log(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text(
        "2026-01-01T00:00:00.000 info daemon.composition: ready\n"
        "2026-01-01T00:00:00.000 warning daemon.x: interface is down error=none\n"
        "2026-01-01T00:00:00.000 error daemon.x: loop callback failed\n"
        "Traceback (most recent call last):\n"
        "==7==ERROR: AddressSanitizer: heap-use-after-free\n"
    )
    assert len(error_lines(log)) == 3


def test_a_payload_is_the_number_and_what_follows_from_it() -> None:
    flow = Datagrams.__new__(Datagrams)
    flow._octets = 100
    assert flow._payload(7) == (7).to_bytes(8) + PATTERN_TWICE[7:99]
    assert flow._payload(1 << 40)[:8] == (1 << 40).to_bytes(8)
    assert len(PATTERN_TWICE) >= 2 * CHUNK_OCTETS


def test_a_datagram_that_is_cut_short_is_wrong() -> None:
    """It must not end the thread that says so."""
    flow = Datagrams.__new__(Datagrams)
    flow.name, flow.wrong, flow.arrived, flow.units, flow._octets = "short", [], 0, 0, 100
    flow._is_over = threading.Event()
    flow._server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    flow._server.settimeout(0.01)
    flow._server.bind(("127.0.0.1", 0))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        for octets in (b"abc", flow._payload(7)):
            client.sendto(octets, flow._server.getsockname())
    receiving = threading.Thread(target=flow._receive, daemon=True)
    receiving.start()
    end = time.monotonic() + 20
    while flow.units < 2 and receiving.is_alive() and time.monotonic() < end:
        time.sleep(0.001)
    flow._is_over.set()
    receiving.join()
    assert flow.units == 2
    assert flow.wrong == [f"short: datagram {int.from_bytes(b'abc')} is not what was sent"]
