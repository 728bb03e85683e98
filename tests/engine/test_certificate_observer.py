"""A middlebox that looks at certificates in passing packets (F271)."""

from __future__ import annotations

import json
import struct
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from hipgw.cli.cert_capture import check_capture
from hipgw.crypto.certificates import HostCertificate
from hipgw.crypto.certificates_chain import TrustStore
from hipgw.proto import CertificateObserver, CertificatePolicy, EndpointConfig, Passing
from hipgw.proto.certificate_observer import HOSTS_MOST
from hipgw.values import Hit
from hipgw.wire import Cert, HipSignature, PacketType, Seq
from tests.engine import network as networks
from tests.engine.forge import LyingIdentity, changed, named, signed, without
from tests.engine.network import FAST_V1, Datagram, Network, Node, Speech, exchange
from tests.unit.crypto.certificate_forge import DAY_S, NOW_S, OLD, between, identity, leaf, root

ALICE, BOB = identity("alice"), identity("bob")
LIKE_HIPL = frozenset({PacketType.R2, PacketType.UPDATE})
EVERYWHERE = LIKE_HIPL | {PacketType.R1, PacketType.I2, PacketType.CLOSE}


@dataclass
class Middle:
    """Alice and Bob, with an observer on the wire between them."""

    network: Network = field(default_factory=Network)

    def __post_init__(self) -> None:
        self.observer = CertificateObserver(TrustStore((root(),)))
        self.seen: list[tuple[PacketType, Passing]] = []
        self.details: list[str] = []
        self.network.wire = self._pass

    def _pass(self, datagram: Datagram) -> list[Datagram]:
        judged = self.observer.on_packet(datagram.payload, self.network.now, NOW_S)
        assert judged is not None
        self.seen.append((judged.packet_type, judged.passing))
        if judged.detail:
            self.details.append(judged.detail)
        return [] if judged.passing is Passing.REFUSED else [datagram]

    def node(
        self,
        key: object,
        *chain: HostCertificate,
        send_in: frozenset[PacketType] = LIKE_HIPL,
    ) -> Node:
        chains = {} if not chain else {chain[0].hit: chain}
        policy = CertificatePolicy(chains, send_in)  # type: ignore[arg-type]
        return self.network.node(key, config=EndpointConfig(certificates=policy))  # type: ignore[arg-type]

    def of(self, kind: PacketType) -> list[Passing]:
        return [passing for one, passing in self.seen if one is kind]


def test_r2_and_the_address_check_pass() -> None:
    middle = Middle()
    alice, bob = middle.node(ALICE), middle.node(BOB, leaf("bob"))
    exchange(alice, bob)
    alice.move("192.0.2.77")
    middle.network.run(2.0)
    assert middle.of(PacketType.R2) == [Passing.ACCEPTED]
    assert Passing.ACCEPTED in middle.of(PacketType.UPDATE)
    assert Passing.REFUSED not in middle.of(PacketType.UPDATE)
    assert set(middle.of(PacketType.I2)) == {Passing.WITHOUT}


def test_every_packet_that_may_carry_them() -> None:
    middle = Middle()
    alice = middle.node(ALICE, leaf("alice"), send_in=EVERYWHERE)
    bob = middle.node(BOB, leaf("bob"), send_in=EVERYWHERE)
    exchange(alice, bob)
    alice.close(bob)
    middle.network.run(1.0)
    for kind in (PacketType.R1, PacketType.I2, PacketType.R2, PacketType.CLOSE):
        assert set(middle.of(kind)) == {Passing.ACCEPTED}


@pytest.mark.parametrize(
    ("certificate", "words"),
    [
        (leaf("bob", "stranger"), "unknown ca: issuer is not trusted"),
        (leaf("bob", not_after_s=NOW_S - DAY_S, not_before_s=NOW_S - 2 * DAY_S), "expired"),
        (leaf("bob", signer="stranger"), "bad: serial 07: signature does not verify"),
    ],
)
def test_a_bad_chain_does_not_pass(certificate: HostCertificate, words: str) -> None:
    middle = Middle()
    alice, bob = middle.node(ALICE), middle.node(BOB, certificate)
    alice.want(bob)
    middle.network.run(1.0)
    assert set(middle.of(PacketType.R2)) == {Passing.REFUSED}
    assert words in middle.details[0]
    assert alice.view(bob).established_s is None  # type: ignore[union-attr]


@pytest.fixture
def _v1(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Speech, "version", 1)


def speaker_v1(middle: Middle, key: object, *chain: HostCertificate) -> Node:
    chains = {} if not chain else {chain[0].hit: chain}
    policy = CertificatePolicy(chains, EVERYWHERE)  # type: ignore[arg-type]
    config = replace(FAST_V1, certificates=policy)
    return middle.network.node(key, config=config)  # type: ignore[arg-type]


@pytest.mark.usefixtures("_v1")
def test_hipv1_passes_by_its_own_hits_and_signatures() -> None:
    middle, old = Middle(), identity(OLD)
    alice = speaker_v1(middle, networks.identity())
    bob = speaker_v1(middle, old, leaf(OLD))
    assert bob.hit == old.public.hit_v1
    exchange(alice, bob)
    alice.move("192.0.2.77")
    middle.network.run(2.0)
    bob.close(alice)
    middle.network.run(1.0)
    for kind in (PacketType.R1, PacketType.R2, PacketType.CLOSE):
        assert set(middle.of(kind)) == {Passing.ACCEPTED}, kind
    assert set(middle.of(PacketType.I2)) == {Passing.WITHOUT}
    assert not middle.details


@pytest.mark.usefixtures("_v1")
def test_a_chain_of_a_stranger_does_not_pass_in_hipv1() -> None:
    middle = Middle()
    alice = speaker_v1(middle, networks.identity())
    bob = speaker_v1(middle, identity(OLD), leaf(OLD, "stranger"))
    alice.want(bob)
    middle.network.run(1.0)
    assert set(middle.of(PacketType.R1)) == {Passing.REFUSED}
    assert middle.details[0] == "unknown ca: issuer is not trusted"


@pytest.mark.parametrize("version", [1, 2])
def test_a_hit_of_the_other_version_is_nobodys(
    version: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Speech, "version", 1)
    middle = Middle()
    alice, bob = speaker_v1(middle, networks.identity()), speaker_v1(middle, identity(OLD))
    hit = identity(OLD).hit_of(version)
    octets = bob.dialect.build(
        PacketType.UPDATE, hit, alice.hit, (Seq(0), Cert(1, 1, 1, 1, leaf(OLD).der))
    )
    octets = bob.dialect.with_signature(octets, named(bob.identities[0], bob.dialect))
    judged = middle.observer.on_packet(octets, 0.0, NOW_S)
    assert judged is not None
    assert judged.passing is (Passing.ACCEPTED if version == 1 else Passing.REFUSED)


@pytest.mark.usefixtures("_v1")
def test_a_capture_of_hipv1(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    middle = Middle()
    alice = speaker_v1(middle, networks.identity())
    bob = speaker_v1(middle, identity(OLD), leaf(OLD))
    exchange(alice, bob)
    capture, anchors = tmp_path / "v1.pcap", tmp_path / "root.pem"
    capture.write_bytes(pcap_of(middle.network.carried))
    anchors.write_bytes(root().to_pem())
    words = [str(capture), "--anchors", str(anchors), "--at", str(NOW_S), "--json"]
    assert check_capture.main(words, standalone_mode=False) is None
    judged = json.loads(capsys.readouterr().out)["packets"]
    assert [(one["type"], one["certificate"]) for one in judged] == [
        ("I1", "without certificate"),
        ("R1", "accepted"),
        ("I2", "without certificate"),
        ("R2", "accepted"),
    ]
    assert judged[1]["sender"] == str(bob.hit)


def pcap_of(datagrams: list[Datagram]) -> bytes:
    """The octets of a capture of Ethernet frames, one for each packet."""
    head = struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, 1)
    records = []
    for one in datagrams:
        whole = 20 + len(one.payload)
        ip = struct.pack(">BBHHHBBH", 0x45, 0, whole, 0, 0, 64, 139, 0)
        frame = bytes(12) + b"\x08\0" + ip + one.path.peer.packed + one.path.local.packed
        frame += one.payload
        records.append(struct.pack("<IIII", NOW_S, 0, len(frame), len(frame)) + frame)
    return head + b"".join(records)


def test_a_good_certificate_in_a_packet_that_its_key_did_not_sign() -> None:
    middle = Middle()
    liar = LyingIdentity(BOB, frozenset({PacketType.R2}))
    alice, bob = middle.node(ALICE), middle.node(liar, leaf("bob"))
    alice.want(bob)
    middle.network.run(1.0)
    assert set(middle.of(PacketType.R2)) == {Passing.REFUSED}
    assert middle.details[0] == "not signed by the sender's key"


def test_a_certificate_of_somebody_else() -> None:
    middle = Middle()
    alice, mallory = middle.node(ALICE), middle.node(identity("mallory"))
    stolen = Cert(1, 1, 1, 1, leaf("bob").der)
    fresh = CertificateObserver(TrustStore((root(),)))
    payload, _ = signed(mallory, alice, PacketType.UPDATE, Seq(0), stolen)
    judged = fresh.on_packet(payload, 0.0, NOW_S)
    assert judged is not None
    assert (judged.passing, judged.detail) == (
        Passing.REFUSED,
        "no certificate of the sender's key",
    )


def test_an_unsigned_packet_with_a_certificate() -> None:
    middle = Middle()
    alice, bob = middle.node(ALICE), middle.node(BOB, leaf("bob"))
    exchange(alice, bob)
    (r2,) = middle.network.sent(PacketType.R2)
    judged = middle.observer.on_packet(changed(r2, without(HipSignature)).payload, 0.0, NOW_S)
    assert judged is not None
    assert judged.passing is Passing.REFUSED


def test_a_group_over_two_packets() -> None:
    middle = Middle()
    alice, bob = middle.node(ALICE), middle.node(BOB)
    chain = [leaf("bob", "m1"), between("m1", "root")]
    parts = [Cert(5, 2, place, 1, entry.der) for place, entry in enumerate(chain, 1)]
    judged = []
    for number, part in enumerate(parts):
        payload, _ = signed(bob, alice, PacketType.UPDATE, Seq(number), part)
        judged.append(middle.observer.on_packet(payload, float(number), NOW_S))
    assert [one.passing for one in judged if one] == [Passing.INCOMPLETE, Passing.ACCEPTED]


def test_what_it_remembers_is_bounded() -> None:
    middle = Middle()
    alice, bob = middle.node(ALICE), middle.node(BOB)
    part = Cert(5, 2, 1, 1, leaf("bob").der)
    payload, _ = signed(bob, alice, PacketType.UPDATE, Seq(0), part)
    for number in range(20):
        observer = middle.observer
        observer._assemblers.update(
            {(Hit(bytes(16)), Hit(n.to_bytes(16, "big"))): None for n in range(HOSTS_MOST)}  # type: ignore[misc]
        )
        observer.on_packet(payload, float(number), NOW_S)
        assert len(observer._assemblers) <= HOSTS_MOST


@pytest.mark.parametrize("octets", [b"", b"\0" * 40, bytes(range(200)), b"\xff" * 2048])
def test_what_is_no_packet_is_nobodys(octets: bytes) -> None:
    assert CertificateObserver(TrustStore(())).on_packet(octets, 0.0, NOW_S) is None
