"""Strangers stay cheap: rates, ceilings, bounded tables; and the timers under everything."""

from __future__ import annotations

from ipaddress import ip_address

from hypothesis import given, settings
from hypothesis import strategies as st

from hipgw.proto import EndpointConfig, Failed, State
from hipgw.proto.core import Core
from hipgw.proto.limits import SourceLimiter
from hipgw.proto.timers import TimerHeap
from hipgw.values import DhGroup, Hit, Path, Spi
from hipgw.wire import DhGroupList, PacketType
from tests.engine.forge import bare, checksummed
from tests.engine.network import Network, Weather, assert_joined, exchange, identity

FAST = EndpointConfig(dh_groups=(DhGroup.NIST_P256,))


def stranger(number: int) -> Hit:
    return Hit(bytes.fromhex("20010022") + number.to_bytes(12, "big"))


def test_i1_flood_of_one_source_is_limited_and_keeps_no_state() -> None:
    network = Network()
    one, other = network.node(config=FAST), network.node(config=FAST)
    path = other.path_to(one)
    for number in range(1000):
        hit = stranger(number)
        other.receive(bare(PacketType.I1, hit, other.hit, path, DhGroupList((7,))), path)
    assert len(network.sent(PacketType.R1)) == 40
    assert other.dropped() == {"r1_rate": 960}
    assert not other.endpoint.associations()
    network.run(10.0)
    exchange(one, other)


def test_i1_flood_of_spread_sources_meets_the_total() -> None:
    network = Network()
    config = EndpointConfig(
        dh_groups=(DhGroup.NIST_P256,), r1_rate=10.0, r1_burst=100.0, sources_most=50
    )
    other = network.node(config=config)
    for number in range(500):
        path = Path(ip_address("192.0.2.1"), ip_address(0x0A000000 + number))
        i1 = bare(PacketType.I1, stranger(number), other.hit, path, DhGroupList((7,)))
        other.receive(i1, path)
    assert len(network.sent(PacketType.R1)) == 100
    assert other.dropped() == {"r1_rate": 400}


def test_r1s_are_made_ahead_and_never_for_an_i1() -> None:
    network = Network()
    other = network.node(config=FAST)
    before = len(other.log)
    for number in range(20):
        path = Path(ip_address("192.0.2.1"), ip_address(0x0A000000 + number))
        i1 = bare(PacketType.I1, stranger(number), other.hit, path, DhGroupList((7,)))
        other.receive(i1, path)
    kinds = {type(effect).__name__ for effect in other.log[before:]}
    assert kinds == {"SendDatagram"}


def test_no_two_puzzles_are_equal() -> None:
    network = Network()
    one, other = network.node(config=FAST), network.node(config=FAST)
    path = other.path_to(one)
    for _ in range(30):
        other.receive(bare(PacketType.I1, one.hit, other.hit, path, DhGroupList((7,))), path)
    r1s = [datagram.payload for datagram in network.sent(PacketType.R1)]
    assert len(r1s) == len(set(r1s)) == 30


def test_i1_before_the_first_r1_is_signed() -> None:
    network = Network(weather=Weather(job_s=1.0))
    one, other = network.node(config=FAST), network.node(config=FAST)
    one.want(other)
    network.run(0.011)
    assert other.dropped() in ({"busy": 1}, {})
    network.run(10.0)
    assert one.send_esp(other)
    assert_joined(one, other)


def test_half_open_ceiling_holds_and_lets_go() -> None:
    network = Network(weather=Weather(job_s=0.0))
    config = EndpointConfig(dh_groups=(DhGroup.NIST_P256,), half_open_most=3)
    other = network.node(config=config)
    many = [network.node(config=FAST) for _ in range(6)]
    network.weather = Weather(latency_s=0.01, job_s=5.0)
    real = network.work

    def slow_only_there(node: object, effect: object) -> None:
        network.weather.job_s = 5.0 if node is other else 0.0
        real(node, effect)  # type: ignore[arg-type]

    network.work = slow_only_there  # type: ignore[method-assign]
    for one in many:
        one.want(other)
    network.run(0.05)
    assert other.dropped() == {"busy": 3}
    assert not other.endpoint.associations(), "nothing is held for strangers but running jobs"
    network.run(60.0)
    assert all(one.send_esp(other) for one in many)


def test_half_open_ceiling_of_one_source() -> None:
    network = Network()
    config = EndpointConfig(dh_groups=(DhGroup.NIST_P256,), half_open_per_source=0)
    one, other = network.node(config=FAST), network.node(config=config)
    one.want(other)
    network.run(0.05)
    assert other.dropped() == {"busy": 1}


def test_association_ceiling_for_strangers_and_for_ourselves() -> None:
    network = Network()
    config = EndpointConfig(dh_groups=(DhGroup.NIST_P256,), associations_most=1)
    one, other, third = (network.node(config=config) for _ in range(3))
    exchange(one, other)
    third.want(other)
    network.run(0.1)
    assert other.dropped()["busy"] == 1
    one.want(third)
    assert one.saw(Failed) == [Failed(one.hit, third.hit, "busy")]
    network.restart(one, config)
    exchange(one, other)  # the pair that is there may always begin again


def test_spis_are_neither_reserved_nor_used_twice() -> None:
    drawn = iter([0, 1, 255, 256, 256, 256, 257])

    def randomness(octets: int) -> bytes:
        return next(drawn).to_bytes(octets, "big")

    core = Core([identity()], FAST, randomness, 0.0)
    assert [core.sas.reserve_spi(), core.sas.reserve_spi()] == [256, 257]


def test_an_spi_beside_another_keeps_its_last_octet() -> None:
    """Data paths spread SAs over cores by it."""
    drawn = iter([0x0000_00FF, 0x1234_56FF, 0x1234_5600])

    def randomness(octets: int) -> bytes:
        return next(drawn).to_bytes(octets, "big")

    core = Core([identity()], FAST, randomness, 0.0)
    assert core.sas.reserve_spi(Spi(0x7777_7742)) == 0x1234_5642  # 0x42 would be reserved
    assert core.sas.reserve_spi() == 0x1234_5600


def test_r1s_of_one_peer_wait_for_few_signature_checks() -> None:
    network = Network(weather=Weather(job_s=0.0))
    one, other = network.node(config=FAST), network.node(config=FAST)
    one.want(other)
    network.run(0.011)
    network.weather = Weather(job_s=1.0)
    r1 = network.sent(PacketType.R1)[0]
    for _ in range(10):
        one.receive(checksummed(r1.payload, r1.path), r1.path)
    assert one.dropped() == {"busy": 8}
    network.run(30.0)
    assert one.state(other) is State.ESTABLISHED


def test_limiter_remembers_a_bounded_number_of_sources() -> None:
    limiter = SourceLimiter(
        rate=1e6, burst=1e6, source_rate=1.0, source_burst=1.0, sources_most=10, now=0.0
    )
    for number in range(1000):
        assert limiter.allows(ip_address(number), 0.0)
    assert len(limiter) == 10
    assert not limiter.allows(ip_address(999), 0.5)
    assert limiter.allows(ip_address(999), 1.5)


def test_ipv6_sources_are_counted_by_their_64_bit_prefix() -> None:
    limiter = SourceLimiter(
        rate=1e6, burst=1e6, source_rate=0.0, source_burst=2.0, sources_most=10, now=0.0
    )
    answers = [limiter.allows(ip_address(f"2001:db8::{host}"), 0.0) for host in range(4)]
    assert answers == [True, True, False, False]
    assert limiter.allows(ip_address("2001:db8:0:1::1"), 0.0)


@settings(max_examples=200, deadline=None)
@given(
    st.lists(
        st.tuples(st.integers(0, 5), st.one_of(st.none(), st.floats(0, 100))),
        max_size=200,
    ),
    st.floats(0, 100),
)
def test_timer_heap_is_a_sorted_dictionary(
    steps: list[tuple[int, float | None]], now: float
) -> None:
    timers: TimerHeap[int] = TimerHeap()
    model: dict[int, float] = {}
    for key, deadline in steps:
        if deadline is None:
            timers.cancel(key)
            model.pop(key, None)
        else:
            timers.set(key, deadline)
            model[key] = deadline
        assert timers.next_deadline() == min(model.values(), default=None)
    taken = []
    while (due := timers.take_due(now)) is not None:
        taken.append(due)
    assert sorted(taken) == sorted(key for key, deadline in model.items() if deadline <= now)
    assert [model[key] for key in taken] == sorted(model[key] for key in taken)
    assert len(timers) == len(model) - len(taken)


def test_used_solutions_are_bounded_by_new_generations() -> None:
    """One authentic peer that begins again and again makes new R1s, not an endless memory."""
    network = Network()
    config = EndpointConfig(dh_groups=(DhGroup.NIST_P256,), solutions_most=3)
    one, other = network.node(config=FAST), network.node(config=config)
    for _ in range(10):
        exchange(one, other)
        one.endpoint.close_association(other.hit, network.now)
        network.run(3.0)
    pool = other.endpoint._parts.pool
    assert all(len(generation.used) <= 3 for generation in pool._generations)
    assert len(pool._generations) <= 3
    assert other.endpoint.activity["r1_generations"] >= 4


def test_a_spent_generation_takes_no_more_solutions() -> None:
    network = Network()
    config = EndpointConfig(dh_groups=(DhGroup.NIST_P256,), solutions_most=1)
    one, other = network.node(config=FAST), network.node(config=config)
    generation = other.endpoint._parts.pool._generations[-1]
    generation.used.add(b"another's")
    one.want(other)
    network.run(0.2)
    assert other.dropped().get("busy", 0) >= 1
    assert len(generation.used) == 1
