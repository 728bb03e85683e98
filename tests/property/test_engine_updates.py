"""UPDATEs in any order: rekeys, moves and probes of two engines, with whatever a network does.

At any time each host can open what the other would send; data to an address that is not verified
never exceeds what came from the peer; and fair weather always brings the two together.
"""

from __future__ import annotations

from collections import Counter

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hipgw.proto import EndpointConfig, LimitPath, LocatorState, State
from hipgw.proto.credit import Credit
from hipgw.proto.locators import LOCATOR_MOVES, Happening
from hipgw.proto.update_state import WINDOW, Answer, ReceiveWindow, Standing
from hipgw.values import DhGroup, Direction, Spi
from tests.engine.network import Datagram, Network, Node, assert_can_open, exchange, low_and_high

MODERATE = settings(
    max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow], database=None
)
PLACES = (
    ("192.0.2.1", "192.0.2.2"),
    ("198.51.100.1", "198.51.100.2"),
    ("203.0.113.1", "203.0.113.2"),
    ("2001:db8::1", "2001:db8::2"),
    ("2001:db8:1::1", "2001:db8:1::2"),
)
STEPS = st.lists(
    st.tuples(
        st.sampled_from(
            ["deliver"] * 6
            + ["copy", "lose", "time", "rekey", "move", "data", "manual", "failed", "sure", "usage"]
        ),
        st.integers(0, 31),
    ),
    max_size=60,
)


class Pair:
    """Two engines whose packets wait until somebody delivers them."""

    def __init__(self, *, with_dh: bool, on_move: bool, shotgun: bool) -> None:
        config = EndpointConfig(
            dh_groups=(DhGroup.NIST_P256,),
            rekey_s=20.0,
            rekey_with_dh=with_dh,
            rekey_on_move=on_move,
            announce_locators=True,
            heartbeat_s=5.0,
            shotgun=shotgun,
            failed_hold_s=5.0,
            ual_s=100.0,
            msl_s=10.0,
        )
        self.network = Network(seed=5)
        keys = low_and_high()
        self.one, self.other = (
            self.network.node(key, config=config, addresses=(place,))
            for key, place in zip(keys, PLACES[0], strict=True)
        )
        self.nodes = (self.one, self.other)
        for node in self.nodes:
            node.tell_addresses()
        self.network.run(0.1)
        exchange(self.one, self.other)
        self.network.run(1.0)
        self.under_way: list[Datagram] = []
        self.network.wire = self._hold
        self.received: dict[Node, Counter[Spi]] = {node: Counter() for node in self.nodes}
        """Octets by inbound SPI."""

    def _hold(self, datagram: Datagram) -> list[Datagram]:
        self.under_way.append(datagram)
        return []

    def arrive(self, datagram: Datagram) -> None:
        node = self.network.node_at(datagram.path.local)
        if node is not None:
            node.receive(datagram.payload, datagram.path)

    def step(self, what: str, number: int) -> None:
        network, under_way = self.network, self.under_way
        node, peer = self.nodes if number % 2 else self.nodes[::-1]
        match what:
            case "deliver" if under_way:
                self.arrive(under_way.pop(number % len(under_way)))
            case "copy" if under_way:
                self.arrive(under_way[number % len(under_way)])
            case "lose" if under_way:
                under_way.pop(number % len(under_way))
            case "time":
                network.run(0.05 * 1.3**number)
            case "rekey":
                node.endpoint.rekey_association(peer.hit, network.now)
                node.settle()
            case "move":
                side = self.nodes.index(node)
                chosen = [place[side] for bit, place in enumerate(PLACES) if number + 1 >> bit & 1]
                node.move(*chosen, preferences=[number % 3, number % 5])
            case _:
                self.tell(what, node, peer)

    def tell(self, what: str, node: Node, peer: Node) -> None:
        """Something that a daemon or operator says."""
        now, view = self.network.now, node.view(peer)
        match what:
            case "data":
                spi = node.current_out.get((node.hit, peer.hit))
                if node.send_esp(peer) and spi is not None:
                    self.received[peer][spi] += 1000
            case "usage":
                for direction, spi, _ in tuple(node.sas):
                    if direction is Direction.IN:
                        node.endpoint.sa_usage(spi, self.received[node][spi], 1, now)
            case "manual":
                node.endpoint.manual_update(None, now)
            case "failed" | "sure" if view is not None:
                node.endpoint.path_failed(view.path, now, is_certain=what == "sure")
        node.settle()

    def check(self) -> None:
        states = {self.one.state(self.other), self.other.state(self.one)}
        for node, peer in (self.nodes, self.nodes[::-1]):
            if states == {State.ESTABLISHED}:
                assert_can_open(node, peer)
            if node.state(peer) in {State.CLOSING, State.CLOSED, State.E_FAILED}:
                assert not node.sas
            assert len(node.sas) <= 11
            view = node.view(peer)
            if view is not None and view.state is State.ESTABLISHED:
                assert len(view.locators) <= 16
                ends = [one for one in view.locators if one.address == view.path.peer]
                if ends and not view.is_limited:
                    assert LocatorState.ACTIVE in {one.state for one in ends}
            granted = [e.credit_octets or 0 for e in node.log if isinstance(e, LimitPath)]
            assert sum(granted) <= self.received[node].total()


@settings(MODERATE, max_examples=150)
@given(steps=STEPS, with_dh=st.booleans(), on_move=st.booleans(), shotgun=st.booleans())
def test_any_interleaving_of_rekeys_and_moves(
    steps: list[tuple[str, int]], with_dh: bool, on_move: bool, shotgun: bool
) -> None:
    pair = Pair(with_dh=with_dh, on_move=on_move, shotgun=shotgun)
    one, other, network = pair.one, pair.other, pair.network
    for what, number in steps:
        pair.step(what, number)
        pair.check()
    # Fair weather, addresses of one family at least, and data to send: the two come together.
    network.wire = lambda datagram: [datagram]
    one.move("192.0.2.1", "2001:db8::1")
    other.move("192.0.2.2", "2001:db8::2")

    def joined() -> bool:
        pair.check()
        for node, peer in (pair.nodes, pair.nodes[::-1]):
            if node.state(peer) in {State.UNASSOCIATED, State.CLOSED, State.CLOSING}:
                node.want(peer)
        both = one.send_esp(other) and other.send_esp(one)
        paths = [node.view(peer) for node, peer in (pair.nodes, pair.nodes[::-1])]
        return both and all(
            view is not None and not view.is_limited and view.path.peer in peer.addresses
            for view, peer in zip(paths, (other, one), strict=True)
        )

    assert network.run(400.0, until=joined), (
        one.state(other),
        other.state(one),
        one.view(other),
        other.view(one),
    )


@settings(MODERATE, max_examples=300)
@given(
    start=st.sampled_from([0, 0, 0, 2**31 - 20, 2**32 - 20]),
    offsets=st.lists(st.integers(-40, 40), max_size=60),
)
def test_window_is_a_set_of_what_was_seen(start: int, offsets: list[int]) -> None:
    window = ReceiveWindow()
    seen: set[int] = set()
    last = -1
    if start:  # get there in steps, as a long-lived association does
        window = ReceiveWindow()
        window._last, window._span, window._seen = start, WINDOW, (1 << WINDOW) - 1
        seen = set(range(start - WINDOW + 1, start + 1))
        last = start
    at = start
    for offset in offsets:
        at = max(at + offset, 0)
        standing = window.standing(at % 2**32)
        if at > last + WINDOW or at <= last - WINDOW:
            assert standing is Standing.OUTSIDE
        elif at in seen:
            assert standing is Standing.KNOWN
        else:
            assert standing is Standing.NEW
            window.record(at % 2**32)
            seen.add(at)
            last = max(last, at)
            assert window.is_pending(at % 2**32)
            window.answered(at % 2**32, Answer(b"x"))
            assert not window.is_pending(at % 2**32)
            assert window.answer_to(at % 2**32) == Answer(b"x")


@given(
    steps=st.lists(
        st.tuples(st.sampled_from(["earn", "take"]), st.integers(0, 10**6), st.floats(0, 100)),
        max_size=50,
    )
)
def test_credit_is_never_more_than_was_earned_and_ages(
    steps: list[tuple[str, int, float]],
) -> None:
    credit, now, earned, taken = Credit(), 0.0, 0, 0
    for what, octets, wait_s in steps:
        now += wait_s
        if what == "earn":
            credit.earn(octets, now)
            earned += octets
        else:
            taken += credit.take(now)
        assert credit.look(now) >= 0
        assert taken + credit.look(now) <= earned
    before = credit.look(now)
    assert credit.look(now + 5.01) <= before * 7 / 8 + 1
    assert credit.look(now + 5.01 * 200) == 0 or before > 10**9


def test_locators_never_become_active_without_an_answer() -> None:
    for (state, happening), after in LOCATOR_MOVES.items():
        if after is LocatorState.ACTIVE:
            assert (state, happening) == (LocatorState.UNVERIFIED, Happening.REACHED)
        assert after is not state
