"""Which chains hold, and the failure of each that does not."""

from __future__ import annotations

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes

from hipgw.crypto import HostIdentity
from hipgw.crypto.certificates import CertificateError, CertificateFailure, HostCertificate
from hipgw.crypto.certificates_chain import (
    PRESENTED_MOST,
    SIGNATURES_MOST,
    RevocationList,
    TrustStore,
    revocation_lists_from,
    verify_chain,
)
from tests.unit.crypto.certificate_forge import (
    DAY_S,
    NOW_S,
    WEAK,
    Forged,
    between,
    identity,
    leaf,
    revocation_list,
    root,
    usage,
)

BAD, UNSUPPORTED = CertificateFailure.BAD, CertificateFailure.UNSUPPORTED
EXPIRED, OTHER = CertificateFailure.EXPIRED, CertificateFailure.OTHER
UNKNOWN_CA = CertificateFailure.UNKNOWN_CA


def host(name: str = "host") -> HostIdentity:
    return identity(name).public


def refusal(
    presented: list[HostCertificate],
    *authorities: HostCertificate,
    now_s: float = NOW_S,
    lists: tuple[bytes, ...] = (),
    lists_required: bool = False,
    of: HostIdentity | None = None,
) -> CertificateError:
    trust = TrustStore(
        authorities, tuple(RevocationList.from_der(der) for der in lists), lists_required
    )
    with pytest.raises(CertificateError) as refused:
        verify_chain(presented, trust, now_s, host=of)
    return refused.value


def test_failures_are_the_registration_failure_types_of_rfc_8003() -> None:
    assert [int(kind) for kind in (BAD, UNSUPPORTED, EXPIRED, OTHER, UNKNOWN_CA)] == [4, 5, 6, 7, 8]


def test_direct() -> None:
    chain = verify_chain([leaf()], TrustStore((root(),)), NOW_S, host=host())
    assert chain.identity == host()
    assert chain.hit == host().hit
    assert chain.until_s == NOW_S + DAY_S
    assert chain.path == (leaf_of(chain.path[0]), chain.path[1])


def leaf_of(certificate: HostCertificate) -> HostCertificate:
    assert certificate.public == host()
    return certificate


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 0, 2)])
def test_authorities_between_come_in_any_order(order: tuple[int, ...]) -> None:
    presented = [leaf(issuer="b"), between("b", "a"), between("a", "root")]
    chain = verify_chain([presented[at] for at in order], TrustStore((root(),)), NOW_S, host=host())
    assert [entry.subject for entry in chain.path] == ["CN=host", "CN=b", "CN=a", "CN=root"]


def test_an_authority_below_a_root_may_be_the_trusted_one() -> None:
    site = between("a", "root")
    chain = verify_chain([leaf(issuer="a")], TrustStore((site,)), NOW_S)
    assert chain.path[-1] == site


def test_a_host_may_be_trusted_by_itself() -> None:
    own = root("host", names=[str(host().hit)])
    assert verify_chain([own], TrustStore((own,)), NOW_S, host=host()).path == (own,)


def test_the_end_is_that_of_the_first_to_end() -> None:
    trust = TrustStore((root(not_after_s=NOW_S + 60),))
    assert verify_chain([leaf()], trust, NOW_S).until_s == NOW_S + 60


@pytest.mark.parametrize("version", [1, 2])
def test_hits_of_both_versions_are_right(version: int) -> None:
    made = leaf(
        names=[str(host().hit_of(version)), "192.0.2.1"],
        issuer_names=[str(host("root").hit_of(version))],
    )
    assert verify_chain([made], TrustStore((root(),)), NOW_S).path[0] == made


def test_hit_of_another_key_in_the_subject() -> None:
    error = refusal([leaf(names=[str(host().hit), str(host("root").hit)])], root())
    assert (error.failure, error.position) == (BAD, 0)
    assert "subjectAltName" in error.detail


def test_hit_of_another_key_in_the_issuer() -> None:
    error = refusal([leaf(issuer_names=[str(host().hit)])], root())
    assert (error.failure, error.position) == (BAD, 0)
    assert "issuerAltName" in error.detail


def test_another_hosts_certificate() -> None:
    error = refusal([leaf("other")], root(), of=host())
    assert (error.failure, error.position) == (OTHER, None)


def test_signature_of_another_key() -> None:
    error = refusal([leaf(signer="impostor")], root())
    assert (error.failure, error.position) == (BAD, 0)
    assert "signature" in error.detail


def test_signature_of_another_key_in_the_middle() -> None:
    error = refusal([leaf(issuer="a"), between("a", "root", signer="impostor")], root())
    assert (error.failure, error.position) == (BAD, 1)


def test_unknown_authority() -> None:
    assert refusal([leaf()], root("elsewhere")).failure is UNKNOWN_CA
    assert refusal([leaf()]).failure is UNKNOWN_CA
    assert refusal([leaf(), root()]).failure is UNKNOWN_CA
    assert refusal([leaf(issuer="a"), between("a", "root")]).position == 1


def test_key_identifier_tells_authorities_of_one_name_apart() -> None:
    def key_identifier(name: str) -> x509.SubjectKeyIdentifier:
        return x509.SubjectKeyIdentifier(name.encode())

    def authority_identifier(name: str) -> x509.AuthorityKeyIdentifier:
        return x509.AuthorityKeyIdentifier(name.encode(), None, None)

    made = leaf(extra=[(authority_identifier("new"), False)], signer="newroot")
    old = root(extra=[(key_identifier("old"), False)])
    assert refusal([made], old).failure is UNKNOWN_CA
    assert refusal([leaf(signer="newroot")], old).failure is BAD


@pytest.mark.parametrize("late", [0, 1])
def test_the_last_second_still_counts(late: int) -> None:
    made, trust = leaf(not_after_s=NOW_S), TrustStore((root(),))
    assert verify_chain([made], trust, NOW_S + 0.9)
    error = refusal([made], root(), now_s=NOW_S + 1 + late)
    assert (error.failure, error.position) == (EXPIRED, 0)


def test_not_valid_yet_hints_at_the_clocks() -> None:
    made = leaf(not_before_s=NOW_S + 90, not_after_s=NOW_S + DAY_S)
    assert verify_chain([made], TrustStore((root(),)), NOW_S + 90)
    error = refusal([made], root())
    assert error.failure is OTHER
    assert error.detail == "serial 07: not valid for another 90 seconds: compare the clocks"


def test_expired_authority() -> None:
    assert refusal([leaf()], root(not_after_s=NOW_S - 1)).failure is EXPIRED
    middle = between("a", "root", not_after_s=NOW_S - 1)
    error = refusal([leaf(issuer="a"), middle], root())
    assert (error.failure, error.position) == (EXPIRED, 1)


def test_a_host_is_no_authority() -> None:
    error = refusal([leaf(issuer="a"), leaf("a", "root")], root())
    assert (error.failure, error.position) == (OTHER, 1)
    assert refusal([leaf()], root(extra=[(usage(), True)])).failure is OTHER


def test_key_usage_of_a_host() -> None:
    bare = usage(sign=False, certificates=True)
    assert refusal([leaf(extra=[(bare, True)])], root()).failure is OTHER


def test_path_length() -> None:
    presented = [leaf(issuer="b"), between("b", "a"), between("a", "root")]
    assert verify_chain(presented, TrustStore((root(path_length=2),)), NOW_S)
    assert refusal(presented, root(path_length=1)).failure is OTHER
    presented[2] = between("a", "root", path_length=0)
    error = refusal(presented, root())
    assert (error.failure, error.position) == (OTHER, 2)


@pytest.mark.parametrize(
    ("extension", "critical"),
    [
        (x509.UnrecognizedExtension(x509.ObjectIdentifier("1.3.6.1.4.1.1.2"), b"\5\0"), True),
        (x509.NameConstraints([x509.DNSName("example.net")], None), False),
        (x509.ExtendedKeyUsage([x509.ExtendedKeyUsageOID.CODE_SIGNING]), False),
    ],
)
def test_extensions_that_are_refused(extension: x509.ExtensionType, critical: bool) -> None:
    error = refusal([leaf(extra=[(extension, critical)])], root())
    assert (error.failure, error.position) == (OTHER, 0)
    error = refusal([leaf(issuer="a"), between("a", "root", extra=[(extension, critical)])], root())
    assert (error.failure, error.position) == (OTHER, 1)


@pytest.mark.parametrize(
    "extension",
    [
        x509.UnrecognizedExtension(x509.ObjectIdentifier("1.3.6.1.4.1.1.2"), b"\5\0"),
        x509.ExtendedKeyUsage([x509.ExtendedKeyUsageOID.CLIENT_AUTH]),
        x509.ExtendedKeyUsage([x509.ObjectIdentifier("1.3.6.1.5.5.7.3.17")]),
    ],
)
def test_extensions_that_do_no_harm(extension: x509.ExtensionType) -> None:
    assert verify_chain([leaf(extra=[(extension, False)])], TrustStore((root(),)), NOW_S)


def test_signature_algorithms() -> None:
    made = leaf(algorithm=hashes.SHA512())
    assert verify_chain([made], TrustStore((root(),)), NOW_S)
    weak = leaf(algorithm=hashes.SHA224())
    error = refusal([weak], root())
    assert (error.failure, error.position) == (UNSUPPORTED, 0)


def test_weak_keys() -> None:
    error = refusal([leaf(issuer=WEAK)], root(WEAK))
    assert (error.failure, error.position) == (UNSUPPORTED, 0)
    error = refusal([leaf(WEAK)], root())
    assert (error.failure, error.position) == (UNSUPPORTED, 0)


def test_signatures_looked_at_are_bounded() -> None:
    def authorities(count: int) -> list[HostCertificate]:
        return [Forged(f"{place}", "root", ca=True, named="root").make() for place in range(count)]

    few, many = authorities(SIGNATURES_MOST - 1), authorities(SIGNATURES_MOST)
    assert verify_chain([leaf()], TrustStore((*few, root())), NOW_S)
    assert refusal([leaf()], *many, root()).failure is BAD


@pytest.mark.parametrize("count", [0, PRESENTED_MOST + 1])
def test_number_presented(count: int) -> None:
    assert refusal([leaf()] * count, root()).failure is OTHER


def test_authorities_that_issue_one_another_end() -> None:
    presented = [leaf(issuer="a"), between("a", "b"), between("b", "a")]
    presented += [between("a", "b", serial=serial) for serial in range(20, 25)]
    assert refusal(presented, root()).failure in (UNKNOWN_CA, OTHER)


# --- revocation (RFC 8002 section 4) ---


@pytest.mark.parametrize(
    "reason",
    [
        None,
        x509.ReasonFlags.key_compromise,
        x509.ReasonFlags.certificate_hold,
        x509.ReasonFlags.remove_from_crl,
    ],
)
def test_whatever_is_listed_is_invalid(reason: x509.ReasonFlags | None) -> None:
    error = refusal([leaf()], root(), lists=(revocation_list("root", (7, reason)),))
    assert (error.failure, error.position) == (EXPIRED, 0)
    assert "revoked" in error.detail


def test_another_serial_is_not_revoked() -> None:
    listed = RevocationList.from_der(revocation_list("root", (8, None)))
    assert verify_chain([leaf()], TrustStore((root(),), (listed,), True), NOW_S)


def test_an_authority_between_is_revoked() -> None:
    presented = [leaf(issuer="a"), between("a", "root", serial=99)]
    error = refusal(presented, root(), lists=(revocation_list("root", (99, None)),))
    assert (error.failure, error.position) == (EXPIRED, 1)


@pytest.mark.parametrize(
    "listed",
    [
        revocation_list("root", (7, None), signer="impostor"),
        revocation_list("elsewhere", (7, None)),
    ],
)
def test_lists_of_others_do_not_count(listed: bytes) -> None:
    lists = (RevocationList.from_der(listed),)
    assert verify_chain([leaf()], TrustStore((root(),), lists), NOW_S)
    error = refusal([leaf()], root(), lists=(listed,), lists_required=True)
    assert error.failure is OTHER


def test_an_authority_that_may_not_sign_lists() -> None:
    authority = root(extra=[(usage(certificates=True), True)])
    lists = (RevocationList.from_der(revocation_list("root", (7, None))),)
    assert verify_chain([leaf()], TrustStore((authority,), lists), NOW_S)


def test_an_outdated_list_counts_for_what_it_names() -> None:
    old = revocation_list("root", (7, None), next_update_s=NOW_S - 1)
    assert refusal([leaf()], root(), lists=(old,)).failure is EXPIRED
    other = leaf(serial=8)
    lists = (RevocationList.from_der(old),)
    assert verify_chain([other], TrustStore((root(),), lists), NOW_S)
    assert refusal([other], root(), lists=(old,), lists_required=True).failure is OTHER


def test_lists_of_a_kind_that_is_not_handled() -> None:
    with pytest.raises(CertificateError) as refused:
        RevocationList.from_der(revocation_list("root", extra=(x509.DeltaCRLIndicator(1), True)))
    assert refused.value.failure is UNSUPPORTED


def test_list_files() -> None:
    der = revocation_list("root", (7, None), (8, None))
    (read,) = revocation_lists_from(der)
    assert read.serials == {7, 8}
    assert (read.this_update_s, read.next_update_s) == (NOW_S - DAY_S, NOW_S + DAY_S)
    assert revocation_lists_from(read.to_pem() * 2) == (read, read)
    with pytest.raises(CertificateError):
        revocation_lists_from(leaf().to_pem())
    with pytest.raises(CertificateError):
        revocation_lists_from(leaf().der)
