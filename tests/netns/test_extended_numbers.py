"""Sequence numbers of 64 bits by configuration: both ends, one end alone, and the way there.

hipgw-NAME-a hip0 | eth0 ------ eth0 | hip0 hipgw-NAME-b
"""

from __future__ import annotations

import os

import pytest

from hipgw.lab.hosts import LabHost
from hipgw.lab.network import Lab
from tests.netns.streams import until

pytestmark = pytest.mark.netns


def configure(host: LabHost) -> None:
    text = host.files.config.read_text()
    said = "[[peer]]\nextended_sequence_numbers = true\n"
    host.files.config.write_text(text.replace("[[peer]]\n", said))
    assert "peer" in host.run(["hipgw", "reload"]).stdout


def numbers(host: LabHost) -> set[bool]:
    """Of the present SAs."""
    (view,) = host.ask("associations")["associations"]
    spis = {view["spi_in"], view["spi_out"]}
    rows = [row for row in host.ask("sas")["sas"] if row["spi"] in spis]
    assert len(rows) == 2
    assert view["extended_sequence_numbers"] in {row["extended_sequence_numbers"] for row in rows}
    return {row["extended_sequence_numbers"] for row in rows}


def health(host: LabHost) -> str:
    return " ".join(f"{one['problem']}: {one['remedy']}" for one in host.ask("status")["health"])


def ping(host: LabHost, peer: LabHost, *, is_heard: bool = True) -> None:
    command = ["ping", "-n", "-c", "6", "-i", "0.05", "-W", "5" if is_heard else "1", str(peer.hit)]
    done = host.run(command, check=False)
    assert ("6 received" in done.stdout) is is_heard, done.stdout


def test_both_ends_need_them_and_are_told_so() -> None:
    with Lab.pair(name=f"extended-{os.getpid()}") as lab:
        lab.start_daemons()
        a, b = lab.host("a"), lab.host("b")
        ping(a, b)
        configure(a)
        ping(a, b)
        assert (numbers(a), numbers(b)) == ({False}, {False}), "until there are new keys"
        assert f"when both ends have them configured: hipgw rekey {b.hit}" in health(a)
        a.run(["hipgw", "rekey", str(b.hit)])
        until(lambda: numbers(a) == {True}, "new keys")
        ping(a, b, is_heard=False)
        assert "no ESP of it has been authentic" not in health(a), "b had nothing to answer"
        ping(b, a, is_heard=False)
        until(lambda: "no ESP of it has been authentic" in health(a), lambda: health(a))
        for host in (a, b):
            drops = {row["reason"]: row for row in host.ask("drops")["drops"]}
            assert drops["icv_wrong"]["count"] >= 6
            assert "extended_sequence_numbers" in drops["icv_wrong"]["meaning"]
        configure(b)
        b.run(["hipgw", "rekey", str(a.hit)])
        for host, peer in ((a, b), (b, a)):
            until(lambda host=host: numbers(host) == {True}, "new keys")  # type: ignore[misc]
            ping(host, peer)
            assert "authentic" not in health(host)
            assert "sequence numbers of 64 bits" in host.run(["hipgw", "status"]).stdout
            assert "of 64 bits" in host.run(["hipgw", "sas"]).stdout
