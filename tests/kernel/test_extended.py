"""Sequence numbers of 64 bits: Linux on one side, user space on the other, and daemons on both."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from hipgw.lab.network import Lab
from hipgw.netlink.xfrm import ReplayEsn, StateFlag
from hipgw.values import Direction, EspSuite
from tests.kernel.daemons import PATIENCE_S, carried, current, our_states, ping, rekey
from tests.kernel.hosts import HITS, SPIS, Keys, clear, install
from tests.kernel.test_interop import Mixed, cross, mixed

__all__ = ["mixed"]
SUITES = [
    EspSuite.AES_GCM_16, EspSuite.AES_128_CBC_HMAC_SHA256, EspSuite.AES_CCM_16,
    EspSuite.AES_CMAC_96, EspSuite.AES_GMAC,
]  # fmt: skip
NEAR_END = 2**32 - 6
NO_LSI = bytes(4)


def install_user(mixed: Mixed, keys: Keys) -> None:
    """B's halves, with numbers that have been used up to NEAR_END."""
    a, b, backend = mixed
    for row in backend.statistics():
        backend.remove(row.direction, row.spi, row.local_hit, row.peer_hit)
    names = HITS[1].packed, HITS[0].packed, NO_LSI, NO_LSI
    path = backend.datapath
    path.install_in(SPIS[0], keys.suite, *keys.pairs[0], *names, sequence=NEAR_END, extended=True)
    path.install_out(
        SPIS[1], keys.suite, *keys.pairs[1], *names,
        family=4, source=b.outer(4).packed, destination=a.outer(4).packed,
        udp=False, source_port=0, destination_port=0, sequence=NEAR_END, extended=True,
    )  # fmt: skip


@pytest.mark.parametrize("suite", SUITES, ids=lambda suite: suite.name)
def test_both_ways_past_the_32nd_bit(mixed: Mixed, suite: EspSuite) -> None:
    a, b, backend = mixed
    keys = Keys.fresh(suite)
    clear((a, b))
    esn = ReplayEsn(1024, outbound=NEAR_END, inbound=NEAR_END)
    install(a, b, keys, flags=StateFlag.ESN, replay_esn=esn)
    install_user(mixed, keys)
    cross(mixed)
    out = a.state(b.outer(4), SPIS[0]).state.replay_esn
    back = a.state(a.outer(4), SPIS[1]).state.replay_esn
    assert out is not None
    assert back is not None
    rows = {row.direction: row for row in backend.statistics()}
    assert rows[Direction.IN].sequence == out.outbound > 2**32
    assert rows[Direction.OUT].sequence == back.inbound > 2**32


@pytest.fixture(name="lab")
def fixture_lab() -> Iterator[Lab]:
    settings = {"datapath": {"backend": "kernel"}}
    with Lab.pair(name="extended", settings=settings) as made:
        for host in made.hosts:
            text = host.files.config.read_text()
            assert text.count("[[peer]]\n") == 1
            said = "[[peer]]\nextended_sequence_numbers = true\n"
            host.files.config.write_text(text.replace("[[peer]]\n", said))
        made.start_daemons(patience_s=PATIENCE_S)
        yield made


def test_daemons_have_them_on_either_side_of_a_change(lab: Lab) -> None:
    a, b = lab.host("a"), lab.host("b")
    ping(a, b)
    carried("kernel", a, b)
    for host, peer in ((a, b), (b, a)):
        states = our_states(host)
        assert len(states) == 2
        assert all(StateFlag.ESN in one.state.flags for one in states)
        ping(host, peer, 3)
    rekey(b, a, "--to", "user")
    carried("user", b)
    carried("kernel", a)
    for host, peer in ((a, b), (b, a)):
        ping(host, peer, 3)
        entries = current(host).values()
        assert [entry["extended_sequence_numbers"] for entry in entries] == [True, True]
        assert all(int(str(entry["sequence"])) >= 3 for entry in entries)
