"""User space and the kernel side by side: who gets which keys."""

from __future__ import annotations

import errno
from dataclasses import replace
from ipaddress import IPv4Address

import pytest

from hipgw.dataplane.composite import CompositeBackend, WayOut
from hipgw.dataplane.interface import Backend, Carrier
from hipgw.dataplane.kernel import KernelBackend
from hipgw.dataplane.kernel_suites import KernelEsp
from hipgw.dataplane.memory import RecordingBackend
from hipgw.errors import LocalProtocolError
from hipgw.netlink.xfrm import PolicyDirection
from hipgw.netlink.xfrm.probe import Verdict
from hipgw.values import Direction, Encapsulation, EspSuite, Path, SecurityAssociation, Spi
from tests.unit.dataplane.kernel_tables import KernelTables
from tests.unit.dataplane.test_kernel import IN, OUT
from tests.unit.dataplane.test_user import LOCAL, PEER

ABLE = KernelEsp(
    tuple(
        Verdict(suite.name, 4, is_udp, "" if suite is EspSuite.AES_GCM_16 else "no such cipher")
        for suite in EspSuite
        for is_udp in (False, True)
    )
)
UDP = Path(IPv4Address("192.0.2.1"), IPv4Address("192.0.2.2"), Encapsulation.UDP, 10500, 10500)
PAIR = LOCAL, PEER


class Split:
    def __init__(self, **options: frozenset[int]) -> None:
        self.tables = KernelTables()
        self.user = RecordingBackend()
        self.backend = CompositeBackend(self.user, KernelBackend(self.tables), ABLE, **options)

    def keys_in_kernel(self) -> set[int]:
        return {name.spi for name in self.tables.held}

    def keys_in_user_space(self) -> set[int]:
        return {sa.spi for sa in self.user.installed}


@pytest.fixture
def split() -> Split:
    return Split()


def next_keys(sa: SecurityAssociation) -> SecurityAssociation:
    return replace(sa, spi=Spi(sa.spi + 1))


def test_the_kernel_carries_what_it_can(split: Split) -> None:
    as_backend: Backend = split.backend
    as_backend.install(IN)
    as_backend.install(OUT)
    assert split.keys_in_kernel() == {IN.spi, OUT.spi}
    assert split.keys_in_user_space() == set()
    assert split.backend.way_out(*PAIR) is WayOut.KERNEL
    assert len(split.backend.statistics()) == 2


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"suite": EspSuite.AES_GMAC}, "no such cipher"),
        ({"path": UDP}, "shares a socket"),
    ],
)
def test_user_space_carries_the_rest_and_says_why(
    split: Split, change: dict[str, object], words: str
) -> None:
    sa = replace(OUT, **change)  # type: ignore[arg-type]
    split.backend.install(sa)
    assert split.keys_in_user_space() == {sa.spi}
    assert split.backend.carrier_of(Direction.OUT, sa.spi, *PAIR) is Carrier.USER
    assert split.backend.way_out(*PAIR) is WayOut.USER
    assert words in split.backend.reason_for_user(*PAIR, sa.suite, sa.path)


def test_an_association_in_the_kernel_takes_four_requests(split: Split) -> None:
    split.backend.install(IN)
    split.backend.install(OUT)
    assert split.tables.log == [
        f"add {IN.spi:#x}",
        "policy in 0x0",
        f"add {OUT.spi:#x}",
        f"policy out {OUT.spi:#x}",
    ]


def test_before_the_kernel_has_answered_user_space_carries(split: Split) -> None:
    split.backend.esp = KernelEsp()
    split.backend.install(OUT)
    assert split.keys_in_user_space() == {OUT.spi}
    assert "not answered yet" in split.backend.reason_for_user(*PAIR, OUT.suite, OUT.path)
    split.backend.esp = ABLE
    assert split.backend.reason_for_user(*PAIR, OUT.suite, OUT.path) == ""
    split.backend.install(next_keys(OUT))
    assert split.keys_in_kernel() == {next_keys(OUT).spi}


def test_whoever_wants_hears_of_each_change(split: Split) -> None:
    heard = []
    split.backend.on_changed = lambda local, peer: heard.append((local, peer))
    split.backend.install(IN)
    split.backend.install(OUT)
    assert split.backend.has_kernel_out(*PAIR)
    split.backend.remove(Direction.OUT, OUT.spi, *PAIR)
    assert not split.backend.has_kernel_out(*PAIR)
    assert heard == [PAIR] * 3


def test_a_peer_whose_subnets_the_kernel_cannot_carry_stays_in_user_space(split: Split) -> None:
    split.backend.reason_of_routes = lambda peer: "no tunnel for its subnets" * (peer == PEER)
    split.backend.install(OUT)
    assert split.keys_in_user_space() == {OUT.spi}
    assert split.keys_in_kernel() == set()
    assert "subnets" in split.backend.reason_for_user(*PAIR, OUT.suite, OUT.path)


def test_a_refusal_of_the_kernel_is_no_loss(split: Split) -> None:
    split.tables.refuses = 105
    split.backend.install(OUT)
    assert split.keys_in_user_space() == {OUT.spi}
    assert split.backend.counters["kernel_refused"] == 1
    assert "Requested type" in split.backend.reason_for_user(*PAIR, OUT.suite, OUT.path)


def test_a_refusal_of_one_direction_is_told_until_its_next_keys(split: Split) -> None:
    split.tables.refuses = errno.ENOBUFS
    split.backend.install(IN)
    split.tables.refuses = 0
    split.backend.install(OUT)
    assert split.backend.carrier_of(Direction.OUT, OUT.spi, *PAIR) is Carrier.KERNEL
    assert "buffer" in split.backend.reason_for_user(*PAIR, IN.suite, IN.path)
    assert len(split.backend.refusals()) == 1
    split.backend.install(next_keys(IN))
    assert split.backend.reason_for_user(*PAIR, IN.suite, IN.path) == ""
    assert split.backend.refusals() == []


def test_a_rekey_changes_sides_and_no_key_is_on_both(split: Split) -> None:
    split.backend.install(IN)
    split.backend.install(OUT)
    split.backend.wish(*PAIR, Carrier.USER, "by hand")
    new_in, new_out = next_keys(IN), next_keys(OUT)
    split.backend.install(new_in)
    into = split.tables.policy(PolicyDirection.IN)
    assert into is not None
    assert into.templates[0].optional
    split.backend.install(new_out)
    assert split.keys_in_kernel() == {IN.spi}
    assert split.keys_in_user_space() == {new_in.spi, new_out.spi}
    assert split.tables.policy(PolicyDirection.OUT) is None
    assert split.backend.remove(Direction.IN, IN.spi, *PAIR)
    assert split.tables.policies() == []
    assert split.backend.reason_for_user(*PAIR, OUT.suite, OUT.path) == "by hand"

    split.backend.wish(*PAIR, Carrier.KERNEL, "")
    newest_in, newest_out = next_keys(new_in), next_keys(new_out)
    split.backend.install(newest_in)
    split.backend.install(newest_out)
    assert split.keys_in_kernel() == {newest_in.spi, newest_out.spi}
    assert split.keys_in_user_space() == {new_in.spi}
    split.backend.remove(Direction.IN, new_in.spi, *PAIR)
    into = split.tables.policy(PolicyDirection.IN)
    assert into is not None
    assert not into.templates[0].optional


def test_nothing_in_clear_is_welcome_while_the_kernel_alone_carries(split: Split) -> None:
    split.backend.install(IN)
    into = split.tables.policy(PolicyDirection.IN)
    assert into is not None
    assert not into.templates[0].optional


def test_a_held_pair_has_no_way_out(split: Split) -> None:
    split.backend.install(OUT)
    split.backend.limit(OUT.spi, *PAIR, 0)
    assert split.backend.way_out(*PAIR) is WayOut.NOWHERE
    split.backend.limit(OUT.spi, *PAIR, None)
    assert split.backend.way_out(*PAIR) is WayOut.KERNEL


def test_esp_in_udp_is_the_kernels_alone_where_the_socket_is() -> None:
    split = Split(kernel_udp=frozenset({4}))
    split.backend.install(replace(OUT, path=UDP))
    assert split.keys_in_kernel() == {OUT.spi}
    with pytest.raises(LocalProtocolError, match="no such cipher"):
        split.backend.install(replace(next_keys(OUT), path=UDP, suite=EspSuite.AES_GMAC))
    assert split.keys_in_user_space() == set()


def test_close_leaves_nothing_on_either_side(split: Split) -> None:
    split.backend.install(IN)
    split.backend.install(replace(OUT, suite=EspSuite.AES_GMAC))
    split.backend.close()
    assert split.tables.held == {}
    assert split.tables.rules == {}
    assert split.user.is_closed
