"""`[certificates]`: files into the engine's policy, mistakes with their place (F101, F102)."""

from __future__ import annotations

import shutil
import time
from pathlib import Path

import pytest

from hipgw.crypto import PrivateHostIdentity
from hipgw.crypto.certificates import certificates_from
from hipgw.crypto.certificates_chain import VerifiedChain, verify_chain
from hipgw.daemon.certificate_config import (
    CertificateOptions,
    LoadedCertificates,
    load_certificates,
    load_trust,
)
from hipgw.daemon.fleet_ca import DAY_S, AuthorityFiles, Issued
from hipgw.daemon.hip_cert_cnf import IssuingOptions, load_issuing_options
from hipgw.errors import ConfigError
from hipgw.wire import PacketType

CA = PrivateHostIdentity.generate("ecdsa-p256")
HOST = PrivateHostIdentity.generate("ecdsa-p256")
PEER = PrivateHostIdentity.generate("ecdsa-p256").hit


@pytest.fixture
def authority(tmp_path: Path) -> AuthorityFiles:
    files = AuthorityFiles(tmp_path / "ca")
    files.create(CA, 100, int(time.time()))
    return files


def issued(files: AuthorityFiles, days: int = 50) -> Issued:
    now_s = int(time.time())
    with files.locked():
        return files.issue(HOST.public, now_s + days * DAY_S, now_s)


def options(tmp_path: Path, **changes: object) -> CertificateOptions:
    given = {"chains": (), "anchors": (tmp_path / "anchors",), "authority": tmp_path / "ca"}
    return CertificateOptions(**(given | changes))  # type: ignore[arg-type]


def load(
    made: CertificateOptions, requirements: dict[object, bool] | None = None
) -> LoadedCertificates:
    return load_certificates(made, requirements or {}, [HOST.public])  # type: ignore[arg-type]


def test_without_files_nothing_is_sent_or_verified(tmp_path: Path) -> None:
    loaded = load(options(tmp_path, chains=(tmp_path / "nothere.der",)))
    assert loaded.policy.chains == {}
    assert loaded.policy.trust is None
    assert loaded.policy.send_in == {PacketType.R2, PacketType.UPDATE}
    assert not loaded.policy.requires(PEER)
    assert loaded.problems() == []


@pytest.mark.parametrize("suffix", [".pem", ".der"])
def test_own_chain_and_anchors(tmp_path: Path, authority: AuthorityFiles, suffix: str) -> None:
    row = issued(authority)
    anchors = tmp_path / "anchors"
    anchors.mkdir()
    for name in ("ca-cert.pem", "ca-crl.pem", "ca-crl.der"):
        shutil.copy(authority.directory / name, anchors)
    (anchors / "README").write_text("not a certificate")
    loaded = load(options(tmp_path, chains=(authority.file_of(row, suffix),)))
    (chain,) = loaded.policy.chains.values()
    assert chain[0].hit == HOST.hit
    trust = loaded.policy.trust
    assert trust is not None
    assert (len(trust.authorities), len(trust.revocation_lists)) == (1, 2)
    verified = verify_chain(chain, trust, loaded.policy.wall_s(), host=HOST.public)
    assert isinstance(verified, VerifiedChain)


def test_a_certificate_of_somebody_else_is_not_sent_and_said(
    tmp_path: Path, authority: AuthorityFiles
) -> None:
    file = authority.directory / "ca-cert.pem"
    loaded = load(options(tmp_path, chains=(file,)))
    assert loaded.policy.chains == {}
    (problem,) = loaded.problems()
    assert str(file) in problem["problem"]


def test_a_certificate_that_ends_soon_is_a_problem(
    tmp_path: Path, authority: AuthorityFiles
) -> None:
    loaded = load(options(tmp_path, chains=(authority.file_of(issued(authority, days=3)),)))
    (problem,) = loaded.problems()
    assert "ends in 3.0 days" in problem["problem"]


def test_what_is_no_certificate_is_a_mistake(tmp_path: Path) -> None:
    broken = tmp_path / "broken.pem"
    broken.write_text("nonsense")
    for given in ({"chains": (broken,)}, {"anchors": (broken,)}):
        with pytest.raises(ConfigError, match=r"broken\.pem"):
            load(options(tmp_path, **given))


def test_required_without_anybody_to_trust_is_a_mistake(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"certificates\.anchors"):
        load(options(tmp_path, policy=True))
    with pytest.raises(ConfigError, match=r"certificates\.anchors"):
        load(options(tmp_path), {PEER: True})


def test_a_peer_has_the_last_word(tmp_path: Path, authority: AuthorityFiles) -> None:
    anchors = (authority.directory / "ca-cert.pem",)
    strict = load(options(tmp_path, anchors=anchors, policy=True), {PEER: False})
    assert strict.policy.requires(HOST.hit)
    assert not strict.policy.requires(PEER)
    lenient = load(options(tmp_path, anchors=anchors), {PEER: True})
    assert (lenient.policy.requires(PEER), lenient.policy.requires(HOST.hit)) == (True, False)


def test_a_list_alone_makes_no_trust(tmp_path: Path, authority: AuthorityFiles) -> None:
    assert load_trust([authority.directory / "ca-crl.pem"]) is None


# --- hip_cert.cnf ---

HIPL = """\
# Section containing SPKI related information
[ hip_spki ]
issuerhit = 2001:1a:b2c3::1
days = 30

[ hip_x509v3 ]
issuerhit = {hit}   # who signs
days = 12

[ hip_x509v3_name ]
issuerhit = {hit}

[ hip_x509v3_extensions ]
basicConstraints = CA:FALSE
keyUsage = critical, digitalSignature
extendedKeyUsage = clientAuth, ipsecIKE
subjectAltName = IP:2001:22::7, DNS:gw2.example.org, email:ops@example.org
"""


def cnf(tmp_path: Path, text: str) -> Path:
    file = tmp_path / "hip_cert.cnf"
    file.write_text(text)
    return file


def test_days_and_extensions_are_obeyed(tmp_path: Path, authority: AuthorityFiles) -> None:
    how = load_issuing_options(cnf(tmp_path, HIPL.format(hit=CA.hit)))
    assert (how.issuer, how.days) == (CA.hit, 12)
    now_s = int(time.time())
    with authority.locked():
        how.check_issuer(authority.certificate())
        row = authority.issue(HOST.public, now_s + 12 * DAY_S, now_s, how.extras)
        (made,) = certificates_from(authority.file_of(row, ".der").read_bytes())
    text = str(made.parsed.extensions)
    for word in ("gw2.example.org", "ops@example.org", "clientAuth", "1.3.6.1.5.5.7.3.17"):
        assert word in text
    assert made.subject_hits == (HOST.hit,)
    trust = load_trust([authority.directory / "ca-cert.pem"])
    assert trust is not None
    assert verify_chain([made], trust, now_s).hit == HOST.hit


def test_no_file_is_fine(tmp_path: Path) -> None:
    assert load_issuing_options(tmp_path / "nothere.cnf") == IssuingOptions()


def test_another_issuer_is_refused(tmp_path: Path, authority: AuthorityFiles) -> None:
    how = load_issuing_options(cnf(tmp_path, f"[hip_x509v3]\nissuerhit = {HOST.hit}\n"))
    with pytest.raises(ConfigError, match=str(CA.hit)):
        how.check_issuer(authority.certificate())


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("[hip_x509v3]\ndays = soon\n", 2),
        ("[hip_x509v3]\ndays = 0\n", 2),
        ("[hip_x509v3]\nissuerhit = 192.0.2.1\n", 2),
        ("[hip_x509v4]\n", 1),
        ("days = 1\n", 1),
        ("\n[hip_x509v3]\nnonsense\n", 3),
        ("[hip_x509v3_extensions]\nbasicConstraints = CA:TRUE\n", 2),
        ("[hip_x509v3_extensions]\nnameConstraints = permitted;DNS:x\n", 2),
        ("[hip_x509v3_extensions]\nextendedKeyUsage = codeSigning\n", 2),
        ("[hip_x509v3_extensions]\nsubjectAltName = URI:http://example.org\n", 2),
    ],
)
def test_mistakes_have_their_place(tmp_path: Path, text: str, line: int) -> None:
    with pytest.raises(ConfigError, match=rf"hip_cert\.cnf:{line}: "):
        load_issuing_options(cnf(tmp_path, text))
