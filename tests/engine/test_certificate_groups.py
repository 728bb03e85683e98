"""CERT groups over packets, and what they say of a peer (RFC 8002 sections 2, 5, 7)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hipgw.crypto.certificates import CertificateFailure
from hipgw.crypto.certificates_chain import TrustStore, VerifiedChain
from hipgw.errors import LocalProtocolError
from hipgw.proto.certificate_groups import (
    GROUP_CERTIFICATES_MOST,
    GROUP_OCTETS_MOST,
    WAIT_S,
    CertificateAssembler,
    CertificateGroup,
    CertificateGroupError,
    CertificatesRefused,
    VerifyCertificates,
    chain_group,
    credentials_required,
    group_of,
    invalid_certificate,
    pack_groups,
)
from hipgw.values import Hit
from hipgw.wire import (
    PARAMETER_OCTETS_MAX,
    Cert,
    HipPacket,
    Notification,
    PacketType,
    emit_packet,
    emit_parameter,
    parse_packet,
)
from tests.unit.crypto.certificate_forge import NOW_S, between, identity, leaf, root

X509 = 1
HOST = identity("host")


def group(number: int, *sizes: int) -> CertificateGroup:
    return group_of(number, [(X509, bytes([number]) * size) for size in sizes])


def places(packets: list[tuple[Cert, ...]]) -> list[list[tuple[int, int]]]:
    """(group, ID) by packet."""
    return [[(certificate.group, certificate.id) for certificate in packet] for packet in packets]


# --- out ---


def test_one_alone_is_ungrouped() -> None:
    assert group_of(9, [(X509, b"x")]).certificates == (Cert(9, 1, 1, X509, b"x"),)


def test_chain() -> None:
    chain = [leaf(issuer="a"), between("a", "root")]
    made = chain_group(3, chain)
    assert [(c.group, c.count, c.id, c.type) for c in made.certificates] == [
        (3, 2, 1, 1),
        (3, 2, 2, 1),
    ]
    assert [c.certificate for c in made.certificates] == [entry.der for entry in chain]


@pytest.mark.parametrize(("number", "count"), [(0, 0), (0, 256), (-1, 1), (256, 1)])
def test_groups_that_cannot_be(number: int, count: int) -> None:
    with pytest.raises(LocalProtocolError):
        group_of(number, [(X509, b"x")] * count)


def test_groups_ascend_whatever_their_order() -> None:
    packets = pack_groups([group(7, 8), group(2, 8, 8)], [400])
    assert places(packets) == [[(2, 1), (2, 2), (7, 1)]]


def test_a_group_that_fits_a_later_packet_is_not_split() -> None:
    packets = pack_groups([group(1, 100), group(2, 200, 200)], [400, 500])
    assert places(packets) == [[(1, 1)], [(2, 1), (2, 2)]]


def test_a_group_that_fits_no_packet_is_split_over_consecutive_ones() -> None:
    packets = pack_groups([group(1, 200, 200, 200), group(2, 100)], [300, 300, 400])
    assert places(packets) == [[(1, 1)], [(1, 2)], [(1, 3), (2, 1)]]


@pytest.mark.parametrize(
    ("sizes", "rooms"),
    [
        ((500,), [400]),
        ((200, 200), [300]),
        ((200, 200), []),
        ((200, 200), [300, 0, 300]),  # the second must be in the very next packet
    ],
)
def test_no_room(sizes: tuple[int, ...], rooms: list[int]) -> None:
    with pytest.raises(LocalProtocolError, match="no room"):
        pack_groups([group(1, *sizes)], rooms)


def test_two_groups_of_one_number() -> None:
    with pytest.raises(LocalProtocolError, match="one number"):
        pack_groups([group(1, 8), group(1, 8)], [400])


@given(
    groups=st.dictionaries(
        st.integers(0, 255), st.lists(st.integers(0, 700), min_size=1, max_size=6), max_size=4
    ),
    rooms=st.lists(st.integers(0, PARAMETER_OCTETS_MAX), max_size=8),
)
def test_what_is_packed_keeps_the_rules_and_arrives(
    groups: dict[int, list[int]], rooms: list[int]
) -> None:
    made = [group(number, *sizes) for number, sizes in groups.items()]
    try:
        packets = pack_groups(made, rooms)
    except LocalProtocolError:
        return
    assembler = CertificateAssembler()
    arrived: list[CertificateGroup] = []
    for room, packet in zip(rooms, packets, strict=True):
        assert sum(len(emit_parameter(certificate)) for certificate in packet) <= room
        numbers = [certificate.group for certificate in packet]
        assert numbers == sorted(numbers)
        hip = HipPacket(PacketType.UPDATE, Hit(bytes(16)), Hit(bytes(16)), packet)
        arrived += assembler.take(parse_packet(emit_packet(hip)).all(Cert), 0.0)
    assert arrived == sorted(made, key=lambda one: one.number)
    assert not assembler.is_waiting


# --- in ---


def take(
    assembler: CertificateAssembler, *certificates: tuple[int, int, int], now: float = 0.0
) -> list[list[int]]:
    """Take (group, count, ID)s; the IDs of the groups that are whole."""
    certs = [Cert(number, count, place, X509, b"x") for number, count, place in certificates]
    return [
        [certificate.id for certificate in whole.certificates]
        for whole in assembler.take(certs, now)
    ]


def test_no_certificate_changes_nothing() -> None:
    assembler = CertificateAssembler()
    assert take(assembler) == []
    take(assembler, (1, 2, 1))
    assert take(assembler) == []
    assert assembler.is_waiting


def test_whole_groups_of_one_packet() -> None:
    assembler = CertificateAssembler()
    assert take(assembler, (1, 2, 1), (1, 2, 2), (5, 1, 1)) == [[1, 2], [1]]
    assert not assembler.is_waiting
    assert assembler.next_deadline() is None


def test_ids_decide_the_order() -> None:
    assert take(CertificateAssembler(), (1, 3, 3), (1, 3, 1), (1, 3, 2)) == [[1, 2, 3]]


def test_a_group_over_three_packets() -> None:
    assembler = CertificateAssembler()
    assert take(assembler, (1, 3, 1)) == []
    assert take(assembler, (1, 3, 2)) == []
    assert take(assembler, (1, 3, 3), (2, 2, 1)) == [[1, 2, 3]]
    assert take(assembler, (2, 2, 2)) == [[1, 2]]


def test_a_retransmission_changes_nothing() -> None:
    assembler = CertificateAssembler()
    take(assembler, (1, 2, 1))
    take(assembler, (1, 2, 1), now=5.0)
    assert assembler.next_deadline() == WAIT_S
    assert take(assembler, (1, 2, 2)) == [[1, 2]]


@pytest.mark.parametrize(
    "certificates",
    [
        [(2, 1, 1), (1, 1, 1)],
        [(1, 2, 1), (1, 3, 2)],
        [(1, 2, 1), (2, 2, 1)],
        [(1, GROUP_CERTIFICATES_MOST + 1, 1)],
    ],
    ids=["descending", "counts differ", "two go on", "too many"],
)
def test_rules_that_are_broken(certificates: list[tuple[int, int, int]]) -> None:
    assembler = CertificateAssembler()
    take(assembler, (9, 2, 1))
    with pytest.raises(CertificateGroupError) as broken:
        take(assembler, *certificates)
    fault = broken.value.certificate
    assert (fault.group, fault.count, fault.id) == certificates[-1]
    assert not assembler.is_waiting


def test_one_id_twice() -> None:
    certs = [Cert(1, 2, 1, X509, b"x"), Cert(1, 2, 1, X509, b"y")]
    with pytest.raises(CertificateGroupError):
        CertificateAssembler().take(certs, 0.0)


def test_octets_are_bounded_over_packets() -> None:
    assembler = CertificateAssembler()
    large = bytes(GROUP_OCTETS_MOST // 2)
    assembler.take([Cert(1, 4, 1, X509, large)], 0.0)
    assembler.take([Cert(1, 4, 2, X509, large)], 0.0)
    with pytest.raises(CertificateGroupError):
        assembler.take([Cert(1, 4, 3, X509, b"x")], 0.0)
    assert not assembler.is_waiting


def test_a_new_group_that_goes_on_replaces_the_one_held() -> None:
    assembler = CertificateAssembler()
    take(assembler, (1, 2, 1))
    take(assembler, (2, 2, 1), now=5.0)
    assert assembler.next_deadline() == 5.0 + WAIT_S
    assert take(assembler, (1, 2, 2), now=5.0) == []
    assert take(assembler, (2, 2, 2), now=5.0) == []


def test_a_group_whose_count_changes_begins_anew() -> None:
    assembler = CertificateAssembler()
    take(assembler, (1, 2, 1))
    assert take(assembler, (1, 1, 1)) == [[1]]
    assert not assembler.is_waiting


def test_the_rest_does_not_come() -> None:
    assembler = CertificateAssembler()
    take(assembler, (1, 2, 1), now=100.0)
    assert assembler.next_deadline() == 100.0 + WAIT_S
    assert not assembler.expire(100.0 + WAIT_S - 1)
    assert take(assembler, (1, 2, 2), now=100.0 + WAIT_S) == []
    assert assembler.is_waiting
    assert assembler.expire(100.0 + 2 * WAIT_S)
    assert not assembler.is_waiting
    assert assembler.next_deadline() is None


@given(
    st.lists(
        st.lists(
            st.tuples(
                st.integers(0, 3), st.integers(1, 10), st.integers(1, 10), st.binary(max_size=2)
            ),
            max_size=4,
        ),
        max_size=6,
    )
)
def test_whatever_a_peer_sends(packets: list[list[tuple[int, int, int, bytes]]]) -> None:
    assembler = CertificateAssembler()
    for now, packet in enumerate(packets):
        certs = [
            Cert(number, count, place, X509, octets)
            for number, count, place, octets in packet
            if place <= count
        ]
        try:
            whole = assembler.take(certs, float(now))
        except CertificateGroupError:
            assert not assembler.is_waiting
            continue
        for one in whole:
            ids = [certificate.id for certificate in one.certificates]
            assert ids == list(range(1, one.certificates[0].count + 1))
        assert assembler.is_waiting == (assembler.next_deadline() is not None)


# --- what they say ---


def verify(*groups: CertificateGroup) -> VerifiedChain | CertificatesRefused:
    return VerifyCertificates(groups, HOST.public, TrustStore((root(),)), NOW_S).run()


def refused(*groups: CertificateGroup) -> CertificatesRefused:
    outcome = verify(*groups)
    assert isinstance(outcome, CertificatesRefused)
    return outcome


def test_a_chain_that_holds() -> None:
    outcome = verify(chain_group(1, [leaf(issuer="a"), between("a", "root")]))
    assert isinstance(outcome, VerifiedChain)
    assert outcome.identity == HOST.public


def test_one_group_that_holds_is_enough() -> None:
    outcome = verify(chain_group(1, [leaf("other")]), chain_group(2, [leaf()]))
    assert isinstance(outcome, VerifiedChain)


def test_the_certificate_at_fault_is_named() -> None:
    outcome = refused(chain_group(5, [leaf(issuer="a"), between("a", "root", signer="impostor")]))
    assert outcome.failure is CertificateFailure.BAD
    assert outcome.notification == Notification(50, bytes((5, 2)))


def test_no_certificate_at_fault() -> None:
    outcome = refused(chain_group(5, [leaf("other")]))
    assert outcome.failure is CertificateFailure.OTHER
    assert outcome.notification == Notification(50, b"")


def test_octets_that_are_no_certificate() -> None:
    outcome = refused(group_of(4, [(X509, leaf().der), (X509, b"\x30\x00")]))
    assert outcome.failure is CertificateFailure.BAD
    assert outcome.notification.data == bytes((4, 2))


@pytest.mark.parametrize(
    ("kind", "octets"),
    [(3, bytes(20) + b"http://ca.example.net/"), (5, b"ldap://ca.example.net/"), (7, b"CN=gw")],
)
def test_what_would_have_to_be_fetched(kind: int, octets: bytes) -> None:
    outcome = refused(group_of(1, [(kind, octets)]))
    assert outcome.failure is CertificateFailure.UNSUPPORTED
    assert outcome.certificate == Cert(1, 1, 1, kind, octets)


def test_spki_is_passed_over() -> None:
    spki = group_of(1, [(2, b"(cert)")])
    assert isinstance(verify(spki, chain_group(2, [leaf()])), VerifiedChain)
    assert refused(spki).failure is CertificateFailure.UNSUPPORTED
    assert refused().certificate is None


def test_only_some_groups_are_looked_at() -> None:
    others = [chain_group(number, [leaf("other")]) for number in range(4)]
    assert refused(*others, chain_group(9, [leaf()])).failure is CertificateFailure.OTHER


def test_notifications() -> None:
    assert credentials_required() == Notification(48, b"")
    assert invalid_certificate(Cert(7, 2, 1, X509, b"")) == Notification(50, b"\7\1")
