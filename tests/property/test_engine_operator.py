"""Whatever an operator does, in any order, while packets are lost: nothing breaks, nothing is left.

Reloads, rights given and taken, identities that come and go, certificates, NULL HITs, UPDATEs by
hand, in both HIP versions.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from ipaddress import ip_address

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hipgw.crypto import PrivateHostIdentity
from hipgw.crypto.certificates_chain import TrustStore
from hipgw.errors import LocalProtocolError
from hipgw.proto import CertificatePolicy, EndpointConfig, IcmpReplies, IdentityTraits, State
from hipgw.values import DhGroup
from hipgw.wire import PacketType
from tests.engine.network import FAST_V1, Network, Node, Speech, Weather
from tests.unit.crypto.certificate_forge import NOW_S, OLD, leaf, root
from tests.unit.crypto.certificate_forge import identity as certified

ANYWHERE = frozenset({PacketType.R1, PacketType.I2, PacketType.R2, PacketType.UPDATE})
SPARE = PrivateHostIdentity.generate("rsa-1024", allow_weak=True)
CHAIN, ANCHOR = (leaf(OLD),), root()


@dataclass
class Operator:
    """One host and what its operator may do to it."""

    node: Node
    other: Node
    is_legacy: bool = True
    is_permitted: bool = True
    requires: bool = False
    is_opportunistic: bool = True

    def config(self, number: int = 0) -> EndpointConfig:
        base = EndpointConfig(
            dh_groups=(DhGroup.NIST_P256, DhGroup.MODP_1536)[number % 2 :],
            v1_dh_groups=FAST_V1.v1_dh_groups,
            is_legacy=lambda _: self.is_legacy,
            speaks_v1=lambda: self.is_legacy,
            permits=lambda _: self.is_permitted,
            puzzle_k=number % 3,
            puzzle_k_ceiling=3,
            heartbeat_s=(0.0, 5.0)[number % 2],
            announce_locators=bool(number & 2),
            answer_opportunistic=True,
            accept_anonymous=not number & 4,
            icmp_replies=(IcmpReplies.MAY, IcmpReplies.OFF)[number % 2],
            ual_s=(60.0, 0.0, 90.0)[number % 3],
            r1_burst=200.0 + number,
        )
        return replace(base, certificates=self.certificates())

    def certificates(self) -> CertificatePolicy:
        owned = {certified(OLD).hit: CHAIN}
        return CertificatePolicy(
            owned, ANYWHERE, TrustStore((ANCHOR,)), lambda _: self.requires, lambda: float(NOW_S)
        )

    def act(self, what: str, number: int) -> None:
        """Do it; only what a caller may not ask is refused, and by name."""
        with contextlib.suppress(LocalProtocolError):
            ACTS[what](self, number, self.node.network.now)
        self.node.settle()

    def reload(self, number: int, now: float) -> None:
        self.is_permitted = number != 7
        permits = (lambda _: True) if self.is_permitted else (lambda _: False)
        self.node.endpoint.reconfigure(replace(self.config(number), permits=permits), now)

    def give_or_take(self, number: int, now: float) -> None:
        self.is_legacy = bool(number % 3)
        self.node.endpoint.legacy_changed(now)

    def judge(self, number: int, now: float) -> None:
        self.requires = number == 5
        self.node.endpoint.certificates_changed(self.certificates(), now)

    def seek(self, number: int, now: float) -> None:
        local = (None, *self.node.endpoint.identities)[number % 3]
        expected = self.other.hit if number & 1 else None
        path = self.node.path_to(self.other)
        self.node.endpoint.want_peer_at([path], now, local=local, expected=expected)

    def show(self, number: int, now: float) -> None:
        self.node.endpoint.add_identity(SPARE, now, IdentityTraits(is_anonymous=bool(number & 1)))

    def hide(self, number: int, _now: float) -> None:
        self.node.endpoint.retire_identity(SPARE.hit_of(1 + number % 2))

    def update(self, number: int, now: float) -> None:
        self.node.endpoint.manual_update(None, now, with_rekey=bool(number & 1))

    def split(self, _number: int, now: float) -> None:
        self.node.endpoint.open_sa_pair(self.other.hit, self.node.addresses[0], now)

    def move(self, number: int, _now: float) -> None:
        last = self.node.addresses[0].packed[-1] % 100
        self.node.move(f"192.0.2.{last + 100 * (number % 2)}", f"2001:db8::{last}")

    def flood(self, number: int, now: float) -> None:
        self.node.endpoint.i1s_answered(10_000 * number, now)
        self.node.endpoint.unknown_spi(self.other.hit, [self.node.path_to(self.other)], now)
        self.node.endpoint.new_puzzles(now)

    def forget(self, number: int, _now: float) -> None:
        self.node.endpoint.forget_peer_at(self.other.address)
        self.node.endpoint.answer_opportunistic(is_on=bool(number & 1))

    def want(self, _number: int, now: float) -> None:
        path = self.node.path_to(self.other)
        self.node.endpoint.want_association(self.other.hit, [path], now)

    def close(self, _number: int, now: float) -> None:
        self.node.endpoint.close_association(self.other.hit, now)


ACTS: Mapping[str, Callable[[Operator, int, float], None]] = {
    "reload": Operator.reload,
    "legacy": Operator.give_or_take,
    "certificates": Operator.judge,
    "seek": Operator.seek,
    "show": Operator.show,
    "hide": Operator.hide,
    "update": Operator.update,
    "split": Operator.split,
    "move": Operator.move,
    "flood": Operator.flood,
    "forget": Operator.forget,
    "want": Operator.want,
    "close": Operator.close,
}
STEPS = st.lists(
    st.tuples(st.booleans(), st.sampled_from([*ACTS, "want", "time", "time"]), st.integers(0, 7)),
    max_size=40,
)


@contextmanager
def speaking(version: int) -> Iterator[None]:
    Speech.version = version
    try:
        yield
    finally:
        Speech.version = 2


def two(network: Network) -> tuple[Operator, Operator]:
    operators = []
    for key in (certified(OLD), certified("old friend", "rsa-2048")):
        node = network.node(key, config=EndpointConfig())
        operators.append(Operator(node, node))
    one, other = operators
    one.other, other.other = other.node, one.node
    for operator in operators:
        operator.reload(0, network.now)
        operator.node.settle()
    return one, other


@pytest.mark.parametrize("version", [2, 1], ids=["hipv2", "hipv1"])
def test_any_wishes_in_any_order(version: int) -> None:
    @settings(
        max_examples=20, deadline=None, suppress_health_check=[HealthCheck.too_slow], database=None
    )
    @given(steps=STEPS, loss=st.sampled_from([0.0, 0.3]))
    def check(steps: list[tuple[bool, str, int]], loss: float) -> None:
        with speaking(version):
            run(steps, loss)

    check()


def run(steps: list[tuple[bool, str, int]], loss: float) -> None:
    network = Network(seed=5, weather=Weather(loss=loss))
    operators = two(network)
    for who, what, number in steps:
        if what == "time":
            network.run(0.4 * (number + 1))
        else:
            operators[who].act(what, number)
    # Fair weather, everything allowed, everybody where he was; all closed, then wanted once more.
    network.weather = Weather()
    for number, operator in enumerate(operators, 1):
        operator.is_legacy, operator.requires, operator.is_permitted = True, False, True
        operator.node.move(f"192.0.2.{number}", f"2001:db8::{number}")
        operator.reload(0, network.now)
        operator.judge(0, network.now)
        operator.give_or_take(1, network.now)
        operator.forget(1, network.now)
        with contextlib.suppress(LocalProtocolError):
            operator.hide(0, network.now)
        operator.node.settle()
    for _ in range(2):
        for operator in operators:
            for view in operator.node.endpoint.associations():
                operator.node.endpoint.close_association(view.peer, network.now, local=view.local)
            operator.node.settle()
        network.run(400.0)
    for operator in operators:
        assert [one.state for one in operator.node.endpoint.associations()] == []
        assert not operator.node.sas
        assert not operator.node.claimed
        assert set(operator.node.endpoint.identities) <= operator.node.hits
    one, other = operators
    one.want(0, network.now)
    one.node.settle()
    network.run(5.0)
    assert one.node.state(other.node) is State.ESTABLISHED
    assert ip_address(str(one.node.view(other.node).path.peer)) == other.node.address  # type: ignore[union-attr]
