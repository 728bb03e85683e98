"""Hosts that leave the RFCs: understood with their switch, refused with a reason without it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from hipgw.crypto import HostIdentity, hit_from_hi
from hipgw.proto import EndpointConfig, State
from hipgw.proto.dialect_v1 import DialectV1
from hipgw.values import FULL_ICV_OF, DhGroup, Direction, EspSuite, Hit, HitSuite, Quirk, Quirks
from hipgw.values.quirks import NO_QUIRKS, PRESETS, QUIRKS
from hipgw.wire import HostId, PacketType, ParameterType, Seq, find_tlv, parse_packet
from tests.engine.foreign import MAC, OTHER_PLACE, Foreign, K, contents_of, then
from tests.engine.forge import V2, checksummed
from tests.engine.network import FAST_V1, Network, Node, exchange, identity

CONFIG = EndpointConfig(
    dh_groups=(DhGroup.NIST_P256, DhGroup.NIST_P384),
    esp_suites=(EspSuite.AES_128_CBC_HMAC_SHA256,),
    puzzle_k=K,
)
CONFIG_V1 = replace(FAST_V1, puzzle_k=K)
KEY, KEY_V1 = "ecdsa-p256", "rsa-1024"


def switched(hit: Hit, quirks: Quirks, config: EndpointConfig = CONFIG) -> EndpointConfig:
    """Our configuration, with switches for one peer."""
    table = {hit: quirks}
    return replace(config, compatibility=lambda peer: table.get(peer, NO_QUIRKS))


def meet(
    deviations: Quirks,
    switches: Quirks,
    *,
    we_call: bool,
    short_secret: bool = False,
    version: int = 2,
) -> tuple[Network, Node, Foreign]:
    """One base exchange with a host of such habits."""
    network, node, host = prepared(version, switches)
    host.deviations, host.short_secret = frozenset(deviations), short_secret
    if Quirk.INITIATOR_DH_ORDER in deviations:
        host.config = replace(host.config, dh_groups=CONFIG.dh_groups[::-1])
    begin(network, node, host, we_call=we_call)
    return network, node, host


def prepared(version: int, switches: Quirks = NO_QUIRKS) -> tuple[Network, Node, Foreign]:
    """A host and a foreign one, about to meet."""
    network = Network()
    kind, dialect = (KEY, V2) if version == 2 else (KEY_V1, DialectV1())
    host = Foreign(identity(kind, 50), dialect=dialect)
    config = switched(host.hit, switches, CONFIG if version == 2 else CONFIG_V1)
    node = network.node(identity(kind, 51), config=config)
    host.attach(node)
    return network, node, host


def begin(network: Network, node: Node, host: Foreign, *, we_call: bool) -> None:
    """One base exchange."""
    if we_call:
        node.endpoint.want_association(host.hit, [host.path()], network.now)
        node.settle()
    else:
        host.call()
    network.run(0.3)


def state_of(node: Node) -> State:
    views = node.endpoint.associations()
    return views[0].state if views else State.UNASSOCIATED


def assert_understood(network: Network, node: Node, host: Foreign) -> None:
    """Both hosts are done, agree on ESP keys, and go on talking."""
    assert (host.complaint, node.dropped()) == ("", {})
    assert host.established
    assert state_of(node) in {State.R2_SENT, State.ESTABLISHED}
    assert host.esp is not None
    keys = {way: sa for (way, _, _), sa in node.sas.items()}
    assert keys[Direction.IN].encryption_key == host.esp.encryption_out
    assert keys[Direction.IN].authentication_key == host.esp.authentication_out
    assert keys[Direction.OUT].encryption_key == host.esp.encryption_in
    assert keys[Direction.OUT].authentication_key == host.esp.authentication_in
    before = len(host.received)
    host.heartbeat()
    network.run(0.1)
    assert len(host.received) == before + 1, "the UPDATE is acknowledged"
    assert (host.complaint, node.dropped()) == ("", {})


REFUSED_AS_RESPONDER = {
    Quirk.REVERSED_PUZZLE_HITS: "puzzle_wrong",
    Quirk.UNPADDED_DH_SECRET: "mac_wrong",
    Quirk.LEFT_ALIGNED_DH_SECRET: "mac_wrong",
    Quirk.SWAPPED_MAC_KEYS: "mac_wrong",
    Quirk.SWAPPED_EXCHANGE_MAC_KEYS: "mac_wrong",
    Quirk.UNORDERED_PARAMETERS: "hip_malformed",
    Quirk.WRONG_DH_LENGTH: "hip_malformed",
    Quirk.NO_R1_COUNTER_ECHO: "hip_missing",
    Quirk.SHORT_LOCATOR: "hip_malformed",
}
"""What our counter says of the I2 of such a host."""
COMPLAINTS_AS_RESPONDER = {
    Quirk.INITIATOR_DH_ORDER: "R1: group",
    Quirk.R2_SIGNATURE_2: "R2 without parameter 61633",
    Quirk.ONE_OCTET_SIGNATURE_ALGORITHM: "R1: algorithm",
}
"""What such a host says of what we send."""
REFUSED_AS_INITIATOR = {
    Quirk.R2_SIGNATURE_2: "hip_missing",
    Quirk.ONE_OCTET_SIGNATURE_ALGORITHM: "signature_wrong",
    Quirk.UNORDERED_PARAMETERS: "hip_malformed",
    Quirk.WRONG_DH_LENGTH: "hip_malformed",
    Quirk.SHORT_LOCATOR: "hip_malformed",
}
COMPLAINTS_AS_INITIATOR = {
    Quirk.REVERSED_PUZZLE_HITS: "I2: puzzle",
    Quirk.SWAPPED_MAC_KEYS: "I2: MAC",
    Quirk.SWAPPED_EXCHANGE_MAC_KEYS: "I2: MAC",
    Quirk.CLEAR_HOST_ID: "I2: no HOST_ID",
}
NEVER_REFUSED = {Quirk.FULL_LENGTH_ICV, Quirk.RESPONDER_SPI}
"""Exchanges go well without it, and ESP does not: tests of the same names."""
NOW_AND_THEN = {Quirk.EXTRA_PUZZLE_BIT}
"""Half of the exchanges go well without it: a test of the same name."""
REFUSED_AS_RESPONDER_V1 = {
    Quirk.LITTLE_ENDIAN_PUZZLE: "puzzle_wrong",
    Quirk.UNPADDED_DH_SECRET: "mac_wrong",
    Quirk.LEFT_ALIGNED_DH_SECRET: "mac_wrong",
    Quirk.UNORDERED_PARAMETERS: "hip_malformed",
    Quirk.SHORT_LOCATOR: "hip_malformed",
}
REFUSED_AS_INITIATOR_V1 = {
    Quirk.UNORDERED_PARAMETERS: "hip_malformed",
    Quirk.SHORT_LOCATOR: "hip_malformed",
}
COMPLAINTS_AS_INITIATOR_V1 = {
    Quirk.LITTLE_ENDIAN_PUZZLE: "I2: puzzle",
    Quirk.CLEAR_HOST_ID: "I2: no HOST_ID",
}
REKEYS = {Quirk.DH_IN_EVERY_REKEY}


SWAPS = {Quirk.SWAPPED_MAC_KEYS, Quirk.SWAPPED_EXCHANGE_MAC_KEYS}
"""With either the exchange goes well, and UPDATEs do not: `test_either_swap_is_not_the_other`."""


def all_but(quirk: Quirk) -> Quirks:
    return frozenset(Quirk) - (SWAPS if quirk in SWAPS else {quirk})


def test_every_switch_is_tested() -> None:
    as_responder = REFUSED_AS_RESPONDER.keys() | COMPLAINTS_AS_RESPONDER.keys()
    as_initiator = REFUSED_AS_INITIATOR.keys() | COMPLAINTS_AS_INITIATOR.keys()
    in_v2 = as_responder | as_initiator | NEVER_REFUSED | NOW_AND_THEN | REKEYS
    assert in_v2 == {quirk for quirk in Quirk if 2 in QUIRKS[quirk].versions}
    in_v1 = REFUSED_AS_RESPONDER_V1.keys() | REFUSED_AS_INITIATOR_V1.keys()
    in_v1 |= COMPLAINTS_AS_INITIATOR_V1.keys() | REKEYS
    assert in_v1 == {quirk for quirk in Quirk if 1 in QUIRKS[quirk].versions}


def test_the_operator_is_told_the_switch_of_every_reason() -> None:
    tables = [REFUSED_AS_RESPONDER, REFUSED_AS_INITIATOR]
    for table in [*tables, REFUSED_AS_RESPONDER_V1, REFUSED_AS_INITIATOR_V1]:
        for quirk, reason in table.items():
            assert reason in QUIRKS[quirk].seen_as, quirk


@pytest.mark.parametrize("version", [2, 1])
@pytest.mark.parametrize("we_call", [True, False])
def test_a_host_without_deviations_needs_no_switch(*, we_call: bool, version: int) -> None:
    assert_understood(*meet(NO_QUIRKS, NO_QUIRKS, we_call=we_call, version=version))


@pytest.mark.parametrize("version", [2, 1])
@pytest.mark.parametrize("we_call", [True, False])
def test_padding_that_is_not_zero_needs_no_switch(*, we_call: bool, version: int) -> None:
    """RFC 7401 section 5.2.1; HIP_MAC_2 covers the padding of HOST_ID as it came."""
    network, node, host = prepared(version)
    host.has_garbage = True
    begin(network, node, host, we_call=we_call)
    assert_understood(network, node, host)
    assert any(b"\xee\xee" in octets for octets in host.sent)


@pytest.mark.parametrize("we_call", [True, False])
def test_either_form_of_an_ecdsa_key_needs_no_switch(*, we_call: bool) -> None:
    """04, X, Y is what everybody sends; X, Y alone is another identity of the same key."""
    with_04 = identity(KEY, 50)
    assert with_04.public.hi[2] == 4
    bare = with_04.public.hi[:2] + with_04.public.hi[3:]
    public = HostIdentity.from_wire(int(with_04.public.algorithm), bare)
    network, node, host = prepared(2)
    host.key = replace(with_04, public=public)
    assert host.hit != with_04.hit
    begin(network, node, host, we_call=we_call)
    assert_understood(network, node, host)
    (view,) = node.endpoint.associations()
    assert view.peer == host.hit == hit_from_hi(bare, HitSuite.ECDSA_SHA384)


@pytest.mark.parametrize("quirk", [*REFUSED_AS_RESPONDER, *COMPLAINTS_AS_RESPONDER])
def test_responder(quirk: Quirk) -> None:
    only, others = frozenset({quirk}), all_but(quirk)
    assert_understood(*meet(only, only, we_call=False, short_secret=True))
    _, node, host = meet(only, NO_QUIRKS, we_call=False, short_secret=True)
    assert not host.established
    if quirk in REFUSED_AS_RESPONDER:
        assert set(node.dropped()) == {REFUSED_AS_RESPONDER[quirk]}
        assert state_of(node) is State.UNASSOCIATED
    else:
        assert host.complaint == COMPLAINTS_AS_RESPONDER[quirk]
    _, _, host = meet(only, others, we_call=False, short_secret=True)
    assert not host.established, "no other switch does it"


@pytest.mark.parametrize("quirk", [*REFUSED_AS_INITIATOR, *COMPLAINTS_AS_INITIATOR])
def test_initiator(quirk: Quirk) -> None:
    only = frozenset({quirk})
    assert_understood(*meet(only, only, we_call=True))
    _, node, host = meet(only, NO_QUIRKS, we_call=True)
    assert state_of(node) in {State.I1_SENT, State.I2_SENT}
    if quirk in REFUSED_AS_INITIATOR:
        assert set(node.dropped()) == {REFUSED_AS_INITIATOR[quirk]}
    else:
        assert host.complaint == COMPLAINTS_AS_INITIATOR[quirk]


@pytest.mark.parametrize("quirk", REFUSED_AS_RESPONDER_V1)
def test_responder_of_hipv1(quirk: Quirk) -> None:
    only, others = frozenset({quirk}), all_but(quirk)
    habits = {"we_call": False, "short_secret": "secret" in quirk, "version": 1}
    assert_understood(*meet(only, only, **habits))
    _, node, host = meet(only, NO_QUIRKS, **habits)
    assert not host.established
    assert set(node.dropped()) == {REFUSED_AS_RESPONDER_V1[quirk]}
    _, _, host = meet(only, others, **habits)
    assert not host.established, "no other switch does it"


@pytest.mark.parametrize("quirk", [*REFUSED_AS_INITIATOR_V1, *COMPLAINTS_AS_INITIATOR_V1])
def test_initiator_of_hipv1(quirk: Quirk) -> None:
    only = frozenset({quirk})
    assert_understood(*meet(only, only, we_call=True, version=1))
    _, node, host = meet(only, NO_QUIRKS, we_call=True, version=1)
    assert state_of(node) in {State.I1_SENT, State.I2_SENT}
    if quirk in REFUSED_AS_INITIATOR_V1:
        assert set(node.dropped()) == {REFUSED_AS_INITIATOR_V1[quirk]}
    else:
        assert host.complaint == COMPLAINTS_AS_INITIATOR_V1[quirk]


@pytest.mark.parametrize("we_call", [True, False])
@pytest.mark.parametrize("name", ["openhip", "hipl"])
def test_presets_of_hipv1(name: str, *, we_call: bool) -> None:
    """Only those switches show that mean something in the peer's version."""
    network, node, host = meet(PRESETS[name], PRESETS[name], we_call=we_call, version=1)
    assert_understood(network, node, host)
    (view,) = node.endpoint.associations()
    assert view.quirks == PRESETS[name]
    _, node, _ = meet(NO_QUIRKS, frozenset({Quirk.SWAPPED_MAC_KEYS}), we_call=we_call, version=1)
    assert node.endpoint.associations()[0].quirks == NO_QUIRKS


@pytest.mark.parametrize("we_call", [True, False])
@pytest.mark.parametrize("name", ["cutehip", "hip-vpls"])
def test_presets(name: str, *, we_call: bool) -> None:
    """All habits of an implementation at once."""
    quirks = PRESETS[name]
    network, node, host = meet(quirks, quirks, we_call=we_call, short_secret=True)
    assert_understood(network, node, host)
    (view,) = node.endpoint.associations()
    assert view.quirks == quirks
    assert view.esp_suite is EspSuite.FULL_AES_128_CBC_HMAC_SHA256


@pytest.mark.parametrize("we_call", [True, False])
def test_full_length_icv(*, we_call: bool) -> None:
    """The data plane is told; what is agreed on the wire stays suite 8."""
    agreed = EspSuite.AES_128_CBC_HMAC_SHA256
    for switches, carried in (
        (frozenset({Quirk.FULL_LENGTH_ICV}), FULL_ICV_OF[agreed]),
        (NO_QUIRKS, agreed),
    ):
        network, node, host = meet(frozenset({Quirk.FULL_LENGTH_ICV}), switches, we_call=we_call)
        assert_understood(network, node, host)
        assert {sa.suite for sa in node.sas.values()} == {carried}
        i2 = [*host.sent, *host.received]
        (transform,) = {
            contents_of(octets, int(ParameterType.ESP_TRANSFORM))
            for octets in i2
            if octets[2] & 0x7F == PacketType.I2
        }
        assert transform == bytes.fromhex("0000 0008")


def test_short_locator_is_learned_and_not_trusted() -> None:
    only = frozenset({Quirk.SHORT_LOCATOR})
    network, node, host = meet(only, only, we_call=True)
    assert_understood(network, node, host)
    (view,) = node.endpoint.associations()
    (found,) = [one for one in view.locators if one.address == OTHER_PLACE]
    assert str(found.state) != "ACTIVE"


def test_a_switch_is_for_one_peer_alone() -> None:
    """A stranger with the same habits is refused, and so is who writes the peer's HIT."""
    favourite = Foreign(identity(KEY, 52))
    quirks = frozenset(Quirk) - {Quirk.LEFT_ALIGNED_DH_SECRET}
    for deviation, reason in REFUSED_AS_RESPONDER.items():
        network = Network()
        stranger = Foreign(identity(KEY, 53), frozenset({deviation}), short_secret=True)
        node = network.node(identity(KEY, 51), config=switched(favourite.hit, quirks))
        stranger.attach(node)
        stranger.call()
        network.run(0.3)
        assert set(node.dropped()) == {reason}
        assert not stranger.established


def test_who_writes_the_hit_of_a_peer_with_switches_gains_nothing() -> None:
    quirks = PRESETS["cutehip"]
    favourite = identity(KEY, 52)

    class Impostor(Foreign):
        @property
        def hit(self) -> Hit:
            return favourite.hit

    network = Network()
    impostor = Impostor(identity(KEY, 54), quirks)
    node = network.node(identity(KEY, 51), config=switched(favourite.hit, quirks))
    impostor.attach(node)
    impostor.call()
    network.run(0.3)
    assert node.dropped() == {"hit_mismatch": 1}
    assert not node.sas
    assert not impostor.established


def test_ordinary_peers_are_as_before_beside_one_with_switches() -> None:
    """R1s are made once for all; those for ordinary peers are in order and in the RFC's layout."""
    network = Network()
    one = network.node(config=switched(identity(KEY, 52).hit, frozenset(Quirk)))
    other = network.node(config=CONFIG)
    exchange(other, one)
    (r1,) = network.sent(PacketType.R1)
    assert parse_packet(r1.payload)
    (r2,) = network.sent(PacketType.R2)
    assert find_tlv(r2.payload, int(ParameterType.HIP_SIGNATURE)) is not None
    assert one.endpoint.associations()[0].quirks == NO_QUIRKS


def test_host_id_is_in_the_clear_only_where_it_must() -> None:
    for switches, is_clear in ((NO_QUIRKS, False), ({Quirk.CLEAR_HOST_ID}, True)):
        _, _, host = meet(NO_QUIRKS, frozenset(switches), we_call=True)
        (i2,) = [octets for octets in host.received if octets[2] & 0x7F == PacketType.I2]
        assert (find_tlv(i2, int(HostId.TYPE)) is not None) is is_clear
        assert (find_tlv(i2, int(ParameterType.ENCRYPTED)) is not None) is not is_clear


def rekeyed(config: Callable[[Hit], EndpointConfig]) -> tuple[Network, Node, Node]:
    network = Network()
    other_key = identity(KEY, 55)
    one = network.node(identity(KEY, 56), config=config(other_key.hit))
    other = network.node(other_key, config=CONFIG)
    exchange(one, other)
    assert one.endpoint.rekey_association(other.hit, network.now)
    one.settle()
    network.run(1.0)
    return network, one, other


@pytest.mark.parametrize("is_on", [True, False])
def test_dh_in_every_rekey(*, is_on: bool) -> None:
    quirks = frozenset({Quirk.DH_IN_EVERY_REKEY} if is_on else ())
    network, one, _ = rekeyed(lambda hit: switched(hit, quirks))
    assert one.endpoint.associations()[0].rekeys == 1
    mine = [each for each in network.sent(PacketType.UPDATE) if each.source == one.name]
    requests = [
        each for each in mine if find_tlv(each.payload, int(ParameterType.ESP_INFO)) is not None
    ]
    assert requests
    for each in requests:
        found = find_tlv(each.payload, int(ParameterType.DIFFIE_HELLMAN))
        assert (found is not None) is is_on


def test_an_association_keeps_the_switches_it_was_made_with() -> None:
    """Also when the configuration is read again, until the next base exchange."""
    only = frozenset({Quirk.ONE_OCTET_SIGNATURE_ALGORITHM, Quirk.SWAPPED_MAC_KEYS})
    table = {identity(KEY, 50).hit: only}
    config = replace(CONFIG, compatibility=lambda peer: table.get(peer, NO_QUIRKS))
    network = Network()
    host = Foreign(identity(KEY, 50), only)
    node = network.node(identity(KEY, 51), config=config)
    host.attach(node)
    host.call()
    network.run(0.3)
    assert_understood(network, node, host)
    table.clear()
    host.heartbeat(1)
    network.run(0.1)
    assert (host.complaint, node.dropped()) == ("", {})
    assert contents_of(host.received[-1], int(ParameterType.ACK)) == bytes.fromhex("00000001")
    assert node.endpoint.associations()[0].quirks == only
    host.call()
    network.run(0.3)
    assert host.complaint == "R1: algorithm"


@pytest.mark.parametrize("we_call", [True, False])
def test_a_new_exchange_takes_the_switches_of_now(*, we_call: bool) -> None:
    """Although the old association is not gone yet."""
    only = frozenset({Quirk.SWAPPED_MAC_KEYS})
    table: dict[Hit, Quirks] = {}
    config = replace(CONFIG, compatibility=lambda peer: table.get(peer, NO_QUIRKS))
    network = Network()
    host = Foreign(identity(KEY, 50))
    node = network.node(identity(KEY, 51), config=config)
    host.attach(node)
    host.call()
    network.run(0.3)
    assert_understood(network, node, host)
    assert node.endpoint.associations()[0].quirks == NO_QUIRKS
    table[host.hit], host.deviations = only, only
    if we_call:
        node.endpoint.close_association(host.hit, network.now)
        assert state_of(node) is State.CLOSING
        node.endpoint.want_association(host.hit, [host.path()], network.now)
        node.settle()
    else:
        host.call()
    network.run(0.3)
    assert_understood(network, node, host)
    assert node.endpoint.associations()[0].quirks == only


def test_an_update_of_a_stranger_with_a_known_hit_is_no_cheaper_to_forge() -> None:
    """The MAC decides, whatever order or layout the packet has."""
    only = frozenset({Quirk.UNORDERED_PARAMETERS})
    network, node, host = meet(only, only, we_call=False)
    assert_understood(network, node, host)
    octets = then(host.packet(PacketType.UPDATE, (Seq(7),)), MAC, bytes(48))
    node.receive(checksummed(host.signed(octets), host.path()), host.path())
    assert node.dropped() == {"mac_wrong": 1}
