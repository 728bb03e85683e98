"""The kernel backend over tables in memory: what it asks for, in which order, and what it leaves.

What Linux makes of it is seen in tests/kernel.
"""

from __future__ import annotations

import errno
import socket
from dataclasses import replace
from ipaddress import IPv4Address

import pytest

from hipgw.dataplane.interface import Backend, Carrier
from hipgw.dataplane.kernel import KernelBackend
from hipgw.dataplane.kernel_pairs import OWNERSHIP, REQIDS, policies_of
from hipgw.drivers.classic_bpf import SO_ATTACH_FILTER
from hipgw.drivers.esp_filter import SPIS_MOST, EspFilter, program
from hipgw.errors import LocalProtocolError
from hipgw.netlink.xfrm import (
    Cipher,
    PolicyDirection,
    Selector,
    StateFlag,
    StateId,
    Template,
    XfrmError,
    XfrmPolicy,
    XfrmState,
)
from hipgw.values import Direction, Encapsulation, EspSuite, Path, SecurityAssociation, Spi
from tests.unit.dataplane.kernel_tables import KernelTables
from tests.unit.dataplane.test_user import LOCAL, OTHER, PEER, SECRET

US, THEM, ELSEWHERE = (IPv4Address(f"192.0.2.{n}") for n in (1, 2, 3))
OUT = SecurityAssociation(
    Direction.OUT, Spi(0x1234), EspSuite.AES_GCM_16, SECRET, b"", LOCAL, PEER, Path(US, THEM)
)
IN = replace(OUT, direction=Direction.IN, spi=Spi(0x4321))
FOREIGN = XfrmState(US, THEM, 0x9999, reqid=7, cipher=Cipher("ecb(cipher_null)", bytearray()))


@pytest.fixture
def kernel() -> KernelTables:
    return KernelTables()


@pytest.fixture
def backend(kernel: KernelTables) -> KernelBackend:
    return KernelBackend(kernel, clock=lambda: 5.0)


def test_a_pair_has_exact_selectors_a_window_and_one_request_id(
    kernel: KernelTables, backend: KernelBackend
) -> None:
    as_backend: Backend = backend
    as_backend.install(IN)
    as_backend.install(OUT)
    for state in kernel.held.values():
        assert state.selector is not None
        assert (state.selector.source_bits, state.selector.destination_bits) == (128, 128)
        assert state.replay_esn is not None
        assert state.replay_esn.window_packets == 1024
        assert StateFlag.ESN not in state.flags
        assert state.reqid in REQIDS
    out, into = kernel.policy(PolicyDirection.OUT), kernel.policy(PolicyDirection.IN)
    assert out is not None
    assert into is not None
    assert out.templates[0].spi == OUT.spi
    assert {one.reqid for one in (*out.templates, *into.templates, *kernel.held.values())} == {
        REQIDS[0]
    }
    assert kernel.log == ["add 0x4321", "policy in 0x0", "add 0x1234", "policy out 0x1234"]


def test_numbers_of_64_bits_where_they_are_wanted(
    kernel: KernelTables, backend: KernelBackend
) -> None:
    for sa in (IN, OUT):
        backend.install(replace(sa, is_extended=True))
    into, out = kernel.held.values()
    for state in (into, out):
        assert StateFlag.ESN in state.flags
        assert state.replay_esn is not None
    assert (into.lifetime.soft_packets, out.lifetime.soft_packets) == (1, 0xF << 60)


def test_new_outbound_keys_are_in_use_before_the_old_ones_go(
    kernel: KernelTables, backend: KernelBackend
) -> None:
    backend.install(OUT)
    kernel.log.clear()
    backend.install(replace(OUT, spi=Spi(0x5678)))
    assert kernel.log == ["add 0x5678", "policy out 0x5678", "remove 0x1234"]
    assert not backend.remove(Direction.OUT, OUT.spi, LOCAL, PEER)


def test_nothing_is_left_after_removal(kernel: KernelTables, backend: KernelBackend) -> None:
    backend.install(IN)
    backend.install(OUT)
    assert backend.carrier_of(Direction.IN, IN.spi, LOCAL, PEER) is Carrier.KERNEL
    assert backend.has_inbound(IN.spi)
    assert backend.remove(Direction.OUT, OUT.spi, LOCAL, PEER)
    assert backend.remove(Direction.IN, IN.spi, LOCAL, PEER)
    assert not backend.remove(Direction.IN, IN.spi, LOCAL, PEER)
    assert kernel.held == {}
    assert kernel.rules == {}
    assert not backend.has_inbound(IN.spi)
    backend.install(OUT)
    backend.close()
    assert kernel.held == {}
    assert kernel.rules == {}


def test_octets_are_those_of_inner_packets(kernel: KernelTables, backend: KernelBackend) -> None:
    backend.install(IN)
    assert backend.statistics(1.0) == []
    kernel.used[IN.spi] = (3, 192)
    (row,) = backend.statistics(1.0)
    assert (row.packets, row.octets, row.last_used_s) == (3, 192 + 3 * 40, 5.0)
    assert backend.statistics_of(Direction.IN, IN.spi, LOCAL, PEER) == row
    assert backend.statistics_of(Direction.IN, IN.spi, LOCAL, OTHER) is None


@pytest.mark.parametrize(
    ("number", "words"),
    [(errno.ENOSYS, "Requested type"), (errno.EPERM, "not permitted"), (errno.ENOBUFS, "buffer")],
)
def test_a_refusal_is_told_in_the_kernels_words_without_keys(
    kernel: KernelTables, backend: KernelBackend, number: int, words: str
) -> None:
    kernel.refuses = number
    with pytest.raises(LocalProtocolError, match=words) as caught:
        backend.install(OUT)
    assert SECRET.hex() not in str(caught.value)
    assert backend.pairs() == []


def test_a_state_of_somebody_else_stays(kernel: KernelTables, backend: KernelBackend) -> None:
    kernel.add_state(FOREIGN)
    with pytest.raises(LocalProtocolError, match="another program"):
        backend.install(replace(OUT, spi=Spi(FOREIGN.spi)))
    assert list(kernel.held.values()) == [FOREIGN]


def test_a_policy_of_somebody_else_stays_and_no_state_of_ours(
    kernel: KernelTables, backend: KernelBackend
) -> None:
    backend.install(OUT)
    (policy,) = kernel.policies()
    backend.close()
    foreign = replace(policy, templates=(replace(policy.templates[0], reqid=7),))
    kernel.add_policy(foreign)
    with pytest.raises(LocalProtocolError, match="exists"):
        backend.install(OUT)
    assert kernel.policies() == [foreign]
    assert kernel.held == {}


def test_leftovers_of_ours_go_and_those_of_others_stay(
    kernel: KernelTables, backend: KernelBackend
) -> None:
    backend.install(IN)
    backend.install(OUT)
    kernel.add_state(FOREIGN)
    nets = Selector(IPv4Address("10.0.0.0"), 8, IPv4Address("10.0.0.0"), 8)
    foreign = XfrmPolicy(nets, PolicyDirection.OUT, (Template(US, THEM, reqid=7),), index=77)
    kernel.rules = {
        key: replace(rule, index=n) for n, (key, rule) in enumerate(kernel.rules.items(), 1)
    }
    kernel.add_policy(foreign)
    removed = KernelBackend(kernel).clear_leftovers()
    assert (removed.states, removed.policies) == (2, 2)
    assert list(kernel.held.values()) == [FOREIGN]
    assert kernel.policies() == [foreign]


def test_a_handover_keeps_states_and_keys(kernel: KernelTables, backend: KernelBackend) -> None:
    backend.install(IN)
    backend.install(OUT)
    kernel.log.clear()
    path = Path(ELSEWHERE, THEM)
    backend.install(replace(OUT, path=path))
    assert backend.move_in(IN.spi, LOCAL, PEER, path)
    assert kernel.log == ["migrate 0x1234", "add 0x4321", "remove 0x4321"]
    moved = kernel.held[StateId(ELSEWHERE, IN.spi)]
    assert moved.aead is not None
    assert moved.aead.key == SECRET
    assert backend.has_inbound(IN.spi)
    assert backend.statistics_of(Direction.OUT, OUT.spi, LOCAL, PEER) is not None
    backend.close()
    assert kernel.held == {}


def test_another_encapsulation_needs_new_keys(backend: KernelBackend) -> None:
    backend.install(OUT)
    path = Path(US, THEM, Encapsulation.UDP, 10500, 10500)
    with pytest.raises(LocalProtocolError, match="encapsulation"):
        backend.install(replace(OUT, path=path))


def test_a_port_moves_alone_or_with_the_address(
    kernel: KernelTables, backend: KernelBackend
) -> None:
    behind_nat = Path(US, THEM, Encapsulation.UDP, 10500, 20001)
    backend.install(replace(IN, path=behind_nat))
    backend.install(replace(OUT, path=behind_nat))
    kernel.log.clear()
    for path, out, into in (
        (replace(behind_nat, peer_port=20002), "update 0x1234", ["update 0x4321"]),
        (replace(behind_nat, peer=ELSEWHERE, peer_port=20003), "migrate 0x1234", []),
    ):
        backend.install(replace(OUT, path=path))
        assert backend.move_in(IN.spi, LOCAL, PEER, path)
        assert kernel.log == [out, *into]
        kernel.log.clear()
        sent = kernel.held[StateId(path.peer, OUT.spi)].encapsulation
        assert sent is not None
        assert (sent.source_port, sent.destination_port) == (10500, path.peer_port)
    assert kernel.held[StateId(US, IN.spi)].mapping_interval_s == 1


def test_counters_go_on_when_a_state_has_taken_over(
    kernel: KernelTables, backend: KernelBackend
) -> None:
    backend.install(IN)
    kernel.used[IN.spi] = (3, 192)
    assert backend.move_in(IN.spi, LOCAL, PEER, Path(ELSEWHERE, THEM))
    kernel.used[IN.spi] = (1, 64)
    (row,) = backend.statistics(1.0)
    assert (row.packets, row.octets, row.last_used_s) == (4, 256 + 4 * 40, 5.0)


def test_the_kernel_says_when_so_many_octets_were_sent(
    kernel: KernelTables, backend: KernelBackend
) -> None:
    backend.soft_octets = lambda: 5000
    backend.install(IN)
    backend.install(OUT)
    limits = {state.spi: state.lifetime.soft_octets for state in kernel.held.values()}
    assert limits[OUT.spi] == 5000
    assert limits[IN.spi] > 1 << 60


def test_a_policy_of_ours_that_nobody_knows_gives_way(
    kernel: KernelTables, backend: KernelBackend
) -> None:
    backend.install(OUT)
    (left,) = kernel.policies()
    other = KernelBackend(kernel, clock=lambda: 5.0)
    other.install(replace(OUT, spi=Spi(0x5678)))
    (policy,) = kernel.policies()
    assert policy.templates[0].spi == 0x5678
    assert left.templates[0].spi == OUT.spi


def test_a_policy_of_somebody_else_is_not_replaced_when_ours_is_gone(
    kernel: KernelTables, backend: KernelBackend
) -> None:
    backend.install(OUT)
    (policy,) = kernel.policies()
    foreign = replace(policy, templates=(replace(policy.templates[0], reqid=7),))
    kernel.replace_policy(foreign)
    (pair,) = backend.pairs()
    with pytest.raises(XfrmError, match="another program"):
        backend.restore_policies(pair)
    backend.close()
    assert kernel.policies() == [foreign]


def test_a_limited_sa_is_held_back(kernel: KernelTables, backend: KernelBackend) -> None:
    backend.install(OUT)
    assert backend.can_send(LOCAL, PEER)
    assert backend.limit(OUT.spi, LOCAL, PEER, 1000)
    assert not backend.can_send(LOCAL, PEER)
    assert kernel.rules == {}
    assert backend.limit(OUT.spi, LOCAL, PEER, None)
    assert backend.can_send(LOCAL, PEER)
    assert kernel.policy(PolicyDirection.OUT) is not None


def test_flushed_policies_are_put_back(kernel: KernelTables, backend: KernelBackend) -> None:
    backend.install(IN)
    backend.install(OUT)
    wanted, kernel.rules = dict(kernel.rules), {}
    (pair,) = backend.pairs()
    backend.restore_policies(pair)
    assert kernel.rules == wanted


def test_what_a_tunnel_takes_apart_must_have_come_in_esp(
    kernel: KernelTables, backend: KernelBackend
) -> None:
    assert not backend.open_tunnel(LOCAL, PEER)
    backend.install(IN)
    backend.install(OUT)
    assert backend.open_tunnel(LOCAL, PEER)
    [whole] = [one for one in kernel.policies() if one.direction == 0 and not one.selector.protocol]
    guards = [one for one in kernel.policies() if one.selector.protocol]
    assert {one.selector.protocol for one in guards} == {4, 41}
    for guard in guards:
        assert guard.priority < whole.priority  # looked at first
        assert not guard.templates[0].optional
        assert guard.templates[0].reqid == whole.templates[0].reqid
        assert OWNERSHIP.has_policy(guard)
    backend.demand(LOCAL, PEER, is_shared=True)
    assert backend.open_tunnel(LOCAL, PEER)
    assert not any(one.templates[0].optional for one in kernel.policies() if one.selector.protocol)
    backend.remove(Direction.IN, IN.spi, LOCAL, PEER)
    backend.remove(Direction.OUT, OUT.spi, LOCAL, PEER)
    assert len(kernel.policies()) == 2  # as long as the device is up
    backend.close_tunnel(LOCAL, PEER)
    assert kernel.policies() == []
    assert backend.pairs() == []


def test_flushed_policies_of_a_tunnel_are_put_back(
    kernel: KernelTables, backend: KernelBackend
) -> None:
    backend.install(IN)
    backend.open_tunnel(LOCAL, PEER)
    kernel.rules.clear()
    pair = backend.pair(LOCAL, PEER)
    assert pair is not None
    backend.restore_policies(pair)
    assert sorted(one.selector.protocol for one in kernel.policies()) == [0, 4, 41]
    named = {(one.selector, one.direction) for one in kernel.policies()}
    assert set(policies_of(pair)) == named  # what an audit looks for


def test_a_missing_state_is_noticed_by_a_look(kernel: KernelTables, backend: KernelBackend) -> None:
    backend.install(OUT)
    assert backend.take_gone() == []
    kernel.held.clear()
    assert backend.statistics() == []
    ((pair, sa),) = backend.take_gone()
    assert backend.is_gone(sa)
    backend.lose(pair, sa)
    assert kernel.rules == {}
    assert backend.pairs() == []


@pytest.mark.parametrize(("family", "header"), [(4, b"\x46" + bytes(23)), (6, b"")])
def test_copies_of_the_kernels_packets_do_not_reach_the_socket(family: int, header: bytes) -> None:
    left, right = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    with left, right:
        right.setblocking(False)
        sieve = EspFilter({family: [right]})
        for refused, expected in (((0x1234, 0x80000001), [0x1233]), ((), [0x1234, 0x1233])):
            sieve.refuse(refused)
            for spi in (0x1234, 0x1233):
                left.send(header + spi.to_bytes(4, "big") + bytes(8))
            seen = [right.recv(64)[len(header) :][:4] for _ in expected]
            assert [int.from_bytes(octets, "big") for octets in seen] == expected
            with pytest.raises(BlockingIOError):
                right.recv(64)


def test_a_filter_is_as_long_as_the_kernel_takes() -> None:
    assert len(program(4, range(SPIS_MOST))) <= 8 * 4096
    assert SO_ATTACH_FILTER == 26
