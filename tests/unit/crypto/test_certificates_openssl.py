"""What hipgw issues, `openssl verify` accepts; what OpenSSL issues, hipgw accepts."""

from __future__ import annotations

import subprocess
import time
from pathlib import Path

import pytest

from hipgw.crypto import PrivateHostIdentity
from hipgw.crypto.certificates import CertificateError, CertificateFailure, certificates_from
from hipgw.crypto.certificates_chain import (
    RevocationList,
    TrustStore,
    revocation_lists_from,
    verify_chain,
)
from hipgw.crypto.certificates_issuing import (
    Authority,
    Validity,
    issue_authority,
    issue_certificate,
    issue_revocation_list,
    new_root,
)
from hipgw.errors import LocalProtocolError
from tests.unit.crypto.certificate_forge import identity

KINDS = ("ecdsa-p256", "ecdsa-p384", "ed25519", "ed448", "rsa-2048")
NOW_S = int(time.time())
DAY_S = 86400
VALIDITY = Validity(NOW_S - 60, NOW_S + DAY_S)


def openssl(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = ["openssl", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def private(role: str, kind: str) -> PrivateHostIdentity:
    return identity(f"{role} {kind}", kind)


def authority_of(kind: str) -> Authority:
    return new_root(private("authority", kind), VALIDITY, organization="Example fleet")


@pytest.mark.parametrize("kind", KINDS)
def test_openssl_accepts_what_we_issue(tmp_path: Path, kind: str) -> None:
    authority = authority_of(kind)
    site = issue_authority(authority, private("site", "ed25519"), VALIDITY)
    host = private("host", kind)
    direct = issue_certificate(authority, host.public, VALIDITY)
    below = issue_certificate(site, host.public, VALIDITY)
    files = {"root": authority.certificate, "site": site.certificate, "d": direct, "b": below}
    for name, certificate in files.items():
        (tmp_path / name).write_bytes(certificate.to_pem())
    strictly = ("verify", "-x509_strict", "-check_ss_sig", "-CAfile", tmp_path / "root")
    said = openssl(*strictly, tmp_path / "d")
    assert (said.returncode, said.stdout) == (0, f"{tmp_path}/d: OK\n"), said.stderr
    said = openssl(*strictly, "-untrusted", tmp_path / "site", tmp_path / "b")
    assert said.returncode == 0, said.stderr
    text = openssl("x509", "-in", tmp_path / "d", "-noout", "-ext", "subjectAltName,issuerAltName")
    shown = text.stdout.lower()
    assert f"ip address:{host.hit}" in shown
    assert f"ip address:{authority.identity.hit}" in shown
    key = openssl("x509", "-in", tmp_path / "d", "-noout", "-pubkey")
    assert key.stdout.encode() == host.public_pem()
    trust = TrustStore((authority.certificate,))
    assert verify_chain([direct], trust, NOW_S, host=host.public).path[0] == direct
    chain = verify_chain([below, site.certificate], trust, NOW_S, host=host.public)
    assert len(chain.path) == 3


@pytest.mark.parametrize("kind", KINDS)
def test_openssl_heeds_our_revocation_list(tmp_path: Path, kind: str) -> None:
    authority = authority_of(kind)
    host = private("host", kind).public
    revoked, kept = (issue_certificate(authority, host, VALIDITY) for _ in range(2))
    listed = issue_revocation_list(
        authority,
        {revoked.serial: NOW_S},
        number=3,
        this_update_s=NOW_S - 1,
        next_update_s=NOW_S + DAY_S,
    )
    assert listed.serials == {revoked.serial}
    assert listed.is_of(authority.certificate)
    for name, octets in (
        ("ca", authority.certificate.to_pem()),
        ("crl", listed.to_pem()),
        ("revoked", revoked.to_pem()),
        ("kept", kept.to_pem()),
    ):
        (tmp_path / name).write_bytes(octets)
    check = ("verify", "-crl_check", "-CAfile", tmp_path / "ca", "-CRLfile", tmp_path / "crl")
    assert openssl(*check, tmp_path / "kept").returncode == 0
    said = openssl(*check, tmp_path / "revoked")
    assert said.returncode != 0
    assert "certificate revoked" in said.stderr


def test_root_that_the_manual_of_hipl_makes(tmp_path: Path) -> None:
    host = private("host", "rsa-2048")
    (tmp_path / "key").write_bytes(host.to_pem())
    said = openssl(
        "req", "-new", "-x509", "-key", tmp_path / "key", "-subj", f"/CN={host.hit}",
        "-out", tmp_path / "ca-root-cert.pem",
    )  # fmt: skip
    assert said.returncode == 0, said.stderr
    (read,) = certificates_from((tmp_path / "ca-root-cert.pem").read_bytes())
    assert read.public == host.public
    authority = Authority(host, read)
    made = issue_certificate(authority, private("host", "ed25519").public, VALIDITY)
    assert (
        verify_chain([made], TrustStore((read,)), time.time() + 1).hit
        == private("host", "ed25519").hit
    )
    (tmp_path / "made").write_bytes(made.to_pem())
    said = openssl("verify", "-CAfile", tmp_path / "ca-root-cert.pem", tmp_path / "made")
    assert said.returncode == 0, said.stderr


@pytest.mark.parametrize(
    ("kind", "padding"), [*((kind, "default") for kind in KINDS), ("rsa-2048", "pss")]
)
def test_we_accept_what_openssl_issues(tmp_path: Path, kind: str, padding: str) -> None:
    authority, host = private("authority", kind), private("host", kind)
    (tmp_path / "ca.key").write_bytes(authority.to_pem())
    (tmp_path / "host.key").write_bytes(host.to_pem())
    (tmp_path / "ext").write_text(
        f"basicConstraints=critical,CA:FALSE\nsubjectAltName=IP:{host.hit}\n"
        f"issuerAltName=IP:{authority.hit}\nkeyUsage=critical,digitalSignature\n"
    )
    (tmp_path / "ca.cnf").write_text("[ca]\ndatabase=index\ncrlnumber=number\ndefault_md=sha256\n")
    (tmp_path / "index").write_text("")
    (tmp_path / "number").write_text("01\n")
    signing = ("-sigopt", "rsa_padding_mode:pss") if padding == "pss" else ()
    for command in (
        ("req", "-new", "-x509", "-key", "ca.key", "-subj", "/CN=Example CA", "-days", "30",
         *signing, "-out", "ca.pem"),
        ("req", "-new", "-key", "host.key", "-subj", "/CN=gw", "-out", "host.csr"),
        ("x509", "-req", "-in", "host.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-days", "9",
         "-set_serial", "0x1234", "-extfile", "ext", *signing, "-out", "host.pem"),
        ("ca", "-config", "ca.cnf", "-name", "ca", "-keyfile", "ca.key", "-cert", "ca.pem",
         *(("-md", "null") if kind.startswith("ed") else ()),
         "-revoke", "host.pem"),
        ("ca", "-config", "ca.cnf", "-name", "ca", "-keyfile", "ca.key", "-cert", "ca.pem",
         *(("-md", "null") if kind.startswith("ed") else ()),
         "-gencrl", "-crldays", "9", *signing, "-out", "crl.pem"),
    ):  # fmt: skip
        done = subprocess.run(
            ["openssl", *command], cwd=tmp_path, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, (command, done.stderr)
    (root,) = certificates_from((tmp_path / "ca.pem").read_bytes())
    (made,) = certificates_from((tmp_path / "host.pem").read_bytes())
    later_s = time.time() + 1
    chain = verify_chain([made], TrustStore((root,)), later_s, host=host.public)
    assert chain.path == (made, root)
    lists = revocation_lists_from((tmp_path / "crl.pem").read_bytes())
    assert lists[0].serials == {0x1234}
    assert lists[0].is_of(root)


def test_version_1_of_openssl_is_unsupported(tmp_path: Path) -> None:
    (tmp_path / "key").write_bytes(private("host", "ed25519").to_pem())
    openssl("req", "-new", "-key", tmp_path / "key", "-subj", "/CN=x", "-out", tmp_path / "csr")
    # OpenSSL before 3.2 writes version 1 where no extension is asked for; later ones version 3.
    openssl(
        "x509", "-req", "-in", tmp_path / "csr", "-signkey", tmp_path / "key",
        "-out", tmp_path / "made",
    )  # fmt: skip
    shown = openssl("x509", "-in", tmp_path / "made", "-noout", "-text").stdout
    if "Version: 1" in shown:
        with pytest.raises(CertificateError) as refused:
            certificates_from((tmp_path / "made").read_bytes())
        assert refused.value.failure is CertificateFailure.UNSUPPORTED
    else:
        assert certificates_from((tmp_path / "made").read_bytes())


@pytest.mark.parametrize(
    ("validity", "complaint"),
    [
        (Validity(NOW_S, NOW_S), "ends before"),
        (Validity(NOW_S, NOW_S + 2 * DAY_S), "outlive"),
        (Validity(NOW_S, 10**15), "outlive"),
        (Validity(-(10**15), NOW_S), "no such time"),
    ],
)
def test_validity_that_cannot_be(validity: Validity, complaint: str) -> None:
    host = private("host", "ecdsa-p256").public
    with pytest.raises(LocalProtocolError, match=complaint):
        issue_certificate(authority_of("ecdsa-p256"), host, validity)


def test_what_cannot_issue() -> None:
    authority = authority_of("ecdsa-p256")
    host = private("host", "ecdsa-p256")
    made = issue_certificate(authority, host.public, VALIDITY)
    with pytest.raises(LocalProtocolError, match="not one of an authority"):
        Authority(host, made)
    with pytest.raises(LocalProtocolError, match="not of its key"):
        Authority(host, authority.certificate)
    site = issue_authority(authority, private("site", "ed25519"), VALIDITY)
    with pytest.raises(LocalProtocolError, match="below itself"):
        issue_authority(site, host, VALIDITY)


@pytest.mark.parametrize("kind", ["dsa-1024", "ecdsa-secp160r1"])
def test_keys_that_are_not_certified(kind: str) -> None:
    weak = PrivateHostIdentity.generate(kind, allow_weak=True)
    with pytest.raises(LocalProtocolError, match="not certified"):
        issue_certificate(authority_of("ecdsa-p256"), weak.public, VALIDITY)
    with pytest.raises(LocalProtocolError, match="not certified"):
        new_root(weak, VALIDITY)


@pytest.mark.parametrize("organization", ["x" * 65, "two\nlines"])
def test_organization_that_cannot_be(organization: str) -> None:
    with pytest.raises(LocalProtocolError, match="organization"):
        new_root(private("authority", "ed25519"), VALIDITY, organization=organization)


def test_no_private_key_in_what_is_shown() -> None:
    authority = authority_of("ed25519")
    secret = authority.identity.to_pem().splitlines()[1].decode()
    assert secret not in repr(authority)


def test_list_that_ends_before_it_begins() -> None:
    with pytest.raises(LocalProtocolError):
        issue_revocation_list(
            authority_of("ed25519"), {}, number=1, this_update_s=NOW_S, next_update_s=NOW_S
        )


def test_empty_list() -> None:
    authority = authority_of("ed25519")
    made = issue_revocation_list(
        authority, {}, number=1, this_update_s=NOW_S, next_update_s=NOW_S + 9
    )
    assert made.serials == frozenset()
    assert RevocationList.from_der(made.der) == made
