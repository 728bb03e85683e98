"""I2s that are old, repeated, unsolved, faulty or dishonest: one counter, no state."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from ipaddress import ip_address

import pytest

from hipgw.crypto import PrivateHostIdentity, hit_from_hi
from hipgw.proto import Compute, EndpointConfig, NotifyReceived, State
from hipgw.values import (
    DhGroup,
    HitSuite,
    NotifyType,
    Path,
)
from hipgw.wire import (
    DiffieHellman,
    Encrypted,
    EspInfo,
    EspTransform,
    HipCipherList,
    HipMac,
    HipSignature,
    HitSuiteList,
    HostId,
    PacketType,
    Parameter,
    R1Counter,
    Solution,
    TransportFormatList,
    UnknownParameter,
)
from tests.engine.forge import (
    LyingIdentity,
    changed,
    checksummed,
    resigned_r1,
    sealed,
    swap,
    without,
)
from tests.engine.hostile import FAST, capture_i2, notified, only, pair, rebuilt_i2
from tests.engine.network import (
    Datagram,
    Network,
    Node,
    assert_joined,
    exchange,
    identity,
    parse_packet,
)


def test_replayed_i2_does_not_bring_old_keys_back() -> None:
    network, one, other = pair(
        EndpointConfig(dh_groups=(DhGroup.NIST_P256,), ual_s=60.0, msl_s=10.0)
    )
    exchange(one, other)
    i2 = network.sent(PacketType.I2)[0]
    sas = dict(other.sas)
    network.deliver(i2)
    network.run(0.1)
    assert other.dropped() == {"replayed": 1}
    assert other.sas == sas
    one.close(other)
    network.run(1.0)
    network.run(100.0, until=lambda: other.state(one) is State.UNASSOCIATED)
    jobs = sum(isinstance(effect, Compute) for effect in other.log)
    network.deliver(i2)  # also after the association is gone
    network.run(0.1)
    assert other.dropped() == {"replayed": 2}
    assert other.state(one) is State.UNASSOCIATED
    assert not other.sas
    assert sum(isinstance(effect, Compute) for effect in other.log) == jobs, "it costs no DH"


def test_i2_of_an_older_base_exchange_is_refused_after_a_new_one() -> None:
    network, one, other = pair()
    exchange(one, other)
    old = network.sent(PacketType.I2)[0]
    network.restart(one, FAST)
    exchange(one, other)
    network.deliver(old)
    network.run(0.1)
    assert other.dropped() == {"replayed": 1}
    assert_joined(one, other)


def wrong_solution(datagram: Datagram) -> Datagram:
    solution = parse_packet(datagram.payload).require(Solution)
    return changed(datagram, swap(replace(solution, j=bytes(len(solution.j)))))


def test_unsolved_puzzle() -> None:
    network, one, other = pair(FAST, EndpointConfig(dh_groups=(DhGroup.NIST_P256,), puzzle_k=16))
    i2 = capture_i2(network, one, other)
    network.deliver(wrong_solution(i2))
    network.run(0.1)
    assert other.dropped() == {"puzzle_wrong": 1}
    assert not network.sent(PacketType.NOTIFY), "who has solved no puzzle is told nothing"


@pytest.mark.parametrize("field", ["k", "i", "opaque"])
def test_puzzle_that_we_did_not_set(field: str) -> None:
    network, one, other = pair()
    i2 = capture_i2(network, one, other)
    solution = parse_packet(i2.payload).require(Solution)
    other_values = {
        "k": replace(solution, k=5),
        "i": replace(solution, i=bytes(48)),
        "opaque": replace(solution, opaque=solution.opaque[:1] + b"\xff"),
    }
    network.deliver(changed(i2, swap(other_values[field])))
    network.run(0.1)
    reason = "puzzle_expired" if field == "opaque" else "puzzle_wrong"  # it names the generation
    assert other.dropped() == {reason: 1}


def test_puzzle_is_bound_to_the_address_it_was_sent_to() -> None:
    network, one, other = pair()
    i2 = capture_i2(network, one, other)
    elsewhere = Path(i2.path.local, ip_address("192.0.2.77"))
    network.deliver(replace(i2, payload=checksummed(i2.payload, elsewhere), path=elsewhere))
    network.run(0.1)
    assert other.dropped() == {"puzzle_wrong": 1}
    assert not other.endpoint.associations()


def test_puzzles_of_the_two_latest_generations_count_and_older_ones_do_not() -> None:
    for renewals, accepted in ((0, True), (1, True), (2, False), (15, False)):
        network, one, other = pair()
        i2 = capture_i2(network, one, other)
        for _ in range(renewals):
            deadline = other.endpoint.next_deadline()
            assert deadline is not None
            other.endpoint.handle_deadline(deadline)
            other.settle()
        network.deliver(i2)
        network.run(0.1)
        assert other.dropped() == ({} if accepted else {"puzzle_expired": 1})
        assert (other.state(one) is State.R2_SENT) is accepted


def test_puzzle_past_its_lifetime() -> None:
    config = EndpointConfig(
        dh_groups=(DhGroup.NIST_P256,), r1_period_s=10.0, puzzle_lifetime=33, tries=1
    )
    network, one, other = pair(config)
    i2 = capture_i2(network, one, other)
    network.run(10.0 + 2 * 2.0 + 0.1)  # retired, then twice the lifetime
    network.deliver(i2)
    network.run(0.1)
    assert other.dropped() == {"puzzle_expired": 1}


I2_FAULTS: dict[str, tuple[str, Callable[[tuple[Parameter, ...]], object], NotifyType | None]] = {
    "counter": ("r1_counter_old", swap(R1Counter(99)), None),
    "no counter": ("hip_missing", without(R1Counter), None),
    "group": ("dh_group", swap(DiffieHellman(9, bytes(132))), NotifyType.INVALID_DH_CHOSEN),
    "public value": ("dh_invalid", swap(DiffieHellman(7, b"\1" * 64)), None),
    "two ciphers": (
        "hip_cipher",
        swap(HipCipherList((2, 4))),
        NotifyType.INVALID_HIP_CIPHER_CHOSEN,
    ),
    "NULL cipher": (
        "hip_cipher",
        swap(HipCipherList((1,))),
        NotifyType.INVALID_HIP_CIPHER_CHOSEN,
    ),
    "transform": ("esp_suite", swap(EspTransform((7,))), NotifyType.INVALID_ESP_TRANSFORM_CHOSEN),
    "two transforms": (
        "esp_suite",
        swap(EspTransform((13, 8))),
        NotifyType.INVALID_ESP_TRANSFORM_CHOSEN,
    ),
    "format": (
        "transport_format",
        swap(TransportFormatList((4094,))),
        NotifyType.INVALID_ESP_TRANSFORM_CHOSEN,
    ),
    "reserved SPI": ("hip_malformed", swap(EspInfo(128, 0, 255)), None),
    "old SPI": ("hip_malformed", swap(EspInfo(128, 1000, 2000)), None),
    "keymat index": ("hip_malformed", swap(EspInfo(96, 0, 2000)), None),
    "MAC": ("mac_wrong", swap(HipMac(bytes(48))), NotifyType.HIP_MAC_FAILED),
    "changed SPI": ("mac_wrong", swap(EspInfo(128, 0, 2000)), NotifyType.HIP_MAC_FAILED),
    "signature": (
        "signature_wrong",
        swap(HipSignature(7, bytes(64))),
        NotifyType.AUTHENTICATION_FAILED,
    ),
    "signature algorithm": (
        "signature_wrong",
        swap(HipSignature(5, bytes(64))),
        NotifyType.AUTHENTICATION_FAILED,
    ),
    "no MAC": ("hip_missing", without(HipMac), None),
    "no signature": ("hip_missing", without(HipSignature), None),
    "no identity": ("hip_missing", without(Encrypted), None),
    "no solution": ("hip_missing", without(Solution), None),
    "no ESP_INFO": ("hip_missing", without(EspInfo), None),
}


@pytest.mark.parametrize("fault", I2_FAULTS)
def test_faulty_i2(fault: str) -> None:
    reason, change, notify_type = I2_FAULTS[fault]
    network, one, other = pair()
    i2 = capture_i2(network, one, other)
    network.deliver(changed(i2, change))  # type: ignore[arg-type]
    network.run(0.1)
    assert other.dropped() == {reason: 1}
    assert not other.endpoint.associations()
    assert not other.sas
    assert notified(one) == ([] if notify_type is None else [notify_type])
    assert one.state(other) is State.I2_SENT, "a NOTIFY changes no state"


def lying_pair(
    liar: LyingIdentity, *, initiates: bool, config: EndpointConfig = FAST
) -> tuple[Network, Node, Node]:
    network = Network()
    keys: PrivateHostIdentity = liar  # type: ignore[assignment]
    one, other = network.node(keys, config=config), network.node(config=config)
    (one if initiates else other).want(other if initiates else one)
    network.run(0.1)
    return network, one, other


def test_initiator_that_signs_i2_wrongly() -> None:
    liar = LyingIdentity(identity(number=70), frozenset({PacketType.I2}))
    _, one, other = lying_pair(liar, initiates=True)
    assert other.dropped() == {"signature_wrong": 1}
    assert notified(one) == [NotifyType.AUTHENTICATION_FAILED]
    assert not other.sas


def test_initiator_with_the_hit_of_another() -> None:
    liar = LyingIdentity(identity(number=70), hit=identity(number=71).hit)
    _, one, other = lying_pair(liar, initiates=True)
    assert other.dropped() == {"hit_mismatch": 1}
    assert notified(one) == [NotifyType.INVALID_HIT]
    assert not other.endpoint.associations()


def test_responder_that_signs_r1_wrongly() -> None:
    liar = LyingIdentity(identity(number=70), frozenset({PacketType.R1}))
    network, one, other = lying_pair(liar, initiates=False)
    assert other.dropped() == {"signature_wrong": 1}
    assert not network.sent(PacketType.I2)
    assert other.state(one) is State.I1_SENT


def test_responder_that_signs_r2_wrongly() -> None:
    liar = LyingIdentity(identity(number=70), frozenset({PacketType.R2}))
    _, one, other = lying_pair(liar, initiates=False)
    assert other.dropped() == {"signature_wrong": 1}
    assert other.state(one) is State.I2_SENT
    assert all(direction == 0 for direction, _, _ in other.sas)


def test_responder_with_the_hit_of_another() -> None:
    liar = LyingIdentity(identity(number=70), hit=identity(number=71).hit)
    network, _, other = lying_pair(liar, initiates=False)
    assert other.dropped() == {"hit_mismatch": 1}
    assert not network.sent(PacketType.I2)


def test_host_id_may_come_in_the_clear() -> None:
    network, one, other = pair()
    i2 = capture_i2(network, one, other)
    public = one.identities[0].public
    network.deliver(rebuilt_i2(one, i2, HostId(int(public.algorithm), public.hi)))
    network.run(0.1)
    assert not other.dropped()
    assert one.send_esp(other)
    assert_joined(one, other)


@pytest.mark.parametrize("ciphertext", [b"", bytes(15), bytes(16), bytes(range(160)), bytes(160)])
def test_encrypted_parameter_without_a_host_id(ciphertext: bytes) -> None:
    network, one, other = pair()
    i2 = capture_i2(network, one, other)
    network.deliver(rebuilt_i2(one, i2, Encrypted(ciphertext)))
    network.run(0.1)
    assert other.dropped() == {"decrypt_failed": 1}
    assert not network.sent(PacketType.NOTIFY), "silent (section 6.9 step 11)"
    assert not other.endpoint.associations()


@pytest.mark.parametrize(
    ("algorithm", "hi"),
    [
        (7, b""),
        (7, b"\0\1\4" + bytes(64)),
        (5, b"\x03\1\0\1" + b"\xff" * 64),
        (3, b"\1"),
        (99, b"x"),
    ],
)
def test_host_id_that_is_no_key(algorithm: int, hi: bytes) -> None:
    network, one, other = pair()
    i2 = capture_i2(network, one, other)
    network.deliver(rebuilt_i2(one, i2, HostId(algorithm, hi)))
    network.run(0.1)
    assert other.dropped() == {"hit_mismatch": 1}


def test_host_id_that_hashes_right_and_is_no_key() -> None:
    hi = b"\0\1\4" + bytes(64)  # a curve, and no point on it
    network = Network()
    other = network.node(config=FAST)
    real = identity(number=70)
    liar = LyingIdentity(real, hit=hit_from_hi(hi, HitSuite.ECDSA_SHA384))
    one = network.node(liar, config=FAST)  # type: ignore[arg-type]
    i2 = capture_i2(network, one, other)
    network.deliver(rebuilt_i2(one, i2, HostId(7, hi)))
    network.run(0.1)
    assert other.dropped() == {"signature_wrong": 1}


def test_i2_from_a_host_that_policy_forbids() -> None:
    forbidding = EndpointConfig(dh_groups=(DhGroup.NIST_P256,), permits=lambda _: False)
    network, one, other = pair(FAST, forbidding)
    one.want(other)
    network.run(0.1)
    assert other.dropped() == {"policy": 1}
    assert notified(one) == [NotifyType.BLOCKED_BY_POLICY]


def test_i2_of_a_suite_that_we_do_not_support() -> None:
    network = Network()
    one = network.node(config=FAST)
    config = EndpointConfig(dh_groups=(DhGroup.NIST_P256,), hit_suites=(HitSuite.EDDSA_CSHAKE128,))
    other = network.node(config=config)

    def lie(datagram: Datagram) -> Datagram:
        return resigned_r1(datagram, other.identities[0], swap(HitSuiteList((2,))))

    network.wire = only(PacketType.R1, lie)
    one.want(other)
    network.run(0.1)
    assert other.dropped() == {"hit_suite": 1}
    assert not network.sent(PacketType.NOTIFY)


def test_i2_with_an_unknown_critical_parameter_is_told_which() -> None:
    network, one, other = pair()
    i2 = capture_i2(network, one, other)
    network.deliver(changed(i2, lambda old: (*old, UnknownParameter(2051, b"?"))))
    network.run(0.1)
    assert other.dropped() == {"hip_critical": 1}
    (event,) = one.saw(NotifyReceived)
    assert event == NotifyReceived(one.hit, other.hit, 1, (2051).to_bytes(2, "big"))


def test_i2_with_an_unknown_critical_parameter_and_no_solution_is_told_nothing() -> None:
    network, one, other = pair()
    i2 = capture_i2(network, one, other)
    bad = changed(i2, lambda old: (*without(Solution)(old), UnknownParameter(2051, b"?")))
    network.deliver(bad)
    network.run(0.1)
    assert other.dropped() == {"hip_critical": 1}
    assert not network.sent(PacketType.NOTIFY)


def test_update_with_an_unknown_critical_parameter_is_told_which() -> None:
    network, one, other = pair()
    exchange(one, other)
    payload, path = sealed(one, other, PacketType.UPDATE, UnknownParameter(1001, b"x"))
    other.receive(payload, path)
    network.run(0.1)
    assert other.dropped() == {"hip_critical": 1}
    assert notified(one) == [NotifyType.UNSUPPORTED_CRITICAL_PARAMETER_TYPE]
    assert_joined(one, other)


def test_unknown_parameters_that_are_not_critical_are_skipped() -> None:
    network, one, other = pair()

    def add(datagram: Datagram) -> Datagram:
        return resigned_r1(
            datagram, other.identities[0], lambda old: (*old, UnknownParameter(4120, b"new"))
        )

    network.wire = only(PacketType.R1, add)
    exchange(one, other)
