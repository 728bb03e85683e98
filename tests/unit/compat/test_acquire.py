"""`hipconf acquire certificate`: DER on standard output, from the daemon or from the files."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
import time
from pathlib import Path

import pytest

from hipgw.crypto import PrivateHostIdentity
from hipgw.crypto.certificates import HostCertificate, certificates_from
from tests.unit.cli.control_server import MemoryControlServer, RefusedError
from tests.unit.compat.conftest import Hipconf

DER = bytes(range(256))


def program(*words: str) -> subprocess.CompletedProcess[bytes]:
    script = "from hipgw.compat.hipconf import main; main()"
    command = [sys.executable, "-c", script, *words]
    return subprocess.run(command, capture_output=True, check=False)


@pytest.fixture
def peer(server: MemoryControlServer) -> PrivateHostIdentity:
    """A peer whose key the daemon knows, and no authority in the daemon."""
    identity = PrivateHostIdentity.generate("ecdsa-p256")
    hi = base64.b64encode(identity.public.hi).decode()

    def certificate(params: dict[str, object]) -> dict[str, object]:
        raise RefusedError("unknown_method", "no such method")

    server.answers["certificate"] = certificate
    server.answers["host_identity"] = {"algorithm": int(identity.public.algorithm), "hi": hi}
    return identity


@pytest.fixture
def ca(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    directory = tmp_path / "ca"
    monkeypatch.setenv("HIPGW_CA", str(directory))
    subprocess.run(
        [sys.executable, "-m", "hipgw", "cert", "ca", "new"], check=True, capture_output=True
    )
    return directory


@pytest.mark.parametrize("form", [("daemon",), ()], ids=["2013", "2009"])
def test_from_the_daemon(run: Hipconf, server: MemoryControlServer, form: tuple[str, ...]) -> None:
    server.answers["certificate"] = {"der": base64.b64encode(DER).decode()}
    done = program(*form, "acquire", "certificate", "2001:22::7", "1900000000")
    assert (done.returncode, done.stdout, done.stderr) == (0, DER, b"")
    assert server.requests[-1]["params"] == {"hit": "2001:22::7", "valid_till": 1900000000}


def test_pem_and_json(run: Hipconf, server: MemoryControlServer) -> None:
    server.answers["certificate"] = {"der": base64.b64encode(DER).decode()}
    code, pem, _ = run("acquire certificate 2001:22::7 --pem")
    assert code == 0
    lines = pem.splitlines()
    assert (lines[0], lines[-1]) == ("-----BEGIN CERTIFICATE-----", "-----END CERTIFICATE-----")
    assert base64.b64decode("".join(lines[1:-1])) == DER
    code, text, _ = run("acquire certificate 2001:22::7 --json")
    assert json.loads(text) == {
        "hit": "2001:22::7",
        "der": base64.b64encode(DER).decode(),
        "pem": pem,
    }


def test_from_the_files_of_the_authority(
    run: Hipconf, ca: Path, peer: PrivateHostIdentity, tmp_path: Path
) -> None:
    end_s = int(time.time()) + 1000
    done = program("acquire", "certificate", str(peer.hit), "valid-till", str(end_s))
    assert (done.returncode, done.stderr) == (0, b"")
    made = HostCertificate.from_der(done.stdout)
    assert made.public == peer.public
    assert made.subject_hits == (peer.hit,)
    assert made.subject == f"CN={peer.hit}"
    assert made.not_after_s == end_s
    (tmp_path / "host-cert.der").write_bytes(done.stdout)
    verified = subprocess.run(
        ["openssl", "verify", "-CAfile", ca / "ca-cert.pem", tmp_path / "host-cert.der"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert verified.returncode == 0, verified.stderr


def test_pem_from_the_files(run: Hipconf, ca: Path, peer: PrivateHostIdentity) -> None:
    code, pem, err = run(f"acquire certificate {peer.hit} --pem")
    assert (code, err) == (0, "")
    assert certificates_from(pem.encode())[0].hit == peer.hit


def test_without_a_daemon_an_earlier_certificate_tells_the_key(
    run: Hipconf, ca: Path, peer: PrivateHostIdentity, tmp_path: Path
) -> None:
    assert run(f"acquire certificate {peer.hit} --pem")[0] == 0
    code, pem, _ = run(f"acquire certificate {peer.hit} --pem --socket {tmp_path}/none.sock")
    assert code == 0
    assert certificates_from(pem.encode())[0].hit == peer.hit


def test_no_authority_anywhere(
    run: Hipconf, peer: PrivateHostIdentity, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HIPGW_CA", str(tmp_path / "none"))
    assert run(f"acquire certificate {peer.hit}") == (
        1,
        "",
        f"no authority in {tmp_path}/none: make one with `hipgw cert ca new`\n",
    )


def test_the_daemon_refuses(run: Hipconf, server: MemoryControlServer, ca: Path) -> None:
    def certificate(params: dict[str, object]) -> dict[str, object]:
        raise RefusedError("not_found", "no association with it", "connect first")

    server.answers["certificate"] = certificate
    code, out, err = run("acquire certificate 2001:22::7")
    assert (code, out) == (1, "")
    assert err == "hipconf: no association with it: connect first\n"


@pytest.mark.parametrize("answer", [{}, {"der": "*"}, {"der": 7}])
def test_answer_of_another_version(
    run: Hipconf, server: MemoryControlServer, answer: dict[str, object]
) -> None:
    server.answers["certificate"] = answer
    code, out, err = run("acquire certificate 2001:22::7")
    assert (code, out) == (1, "")
    assert err.startswith("hipconf: the daemon's answer is not as expected")


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ("acquire certificate", "Not enough arguments given for the action 'acquire'"),
        ("acquire certificate --pem", "Not enough arguments given for the action 'acquire'"),
        ("acquire x 2001:22::7", "Invalid type argument 'x'"),
        ("acquire certificate gw2", "'gw2' is not a valid HIT."),
        (
            "acquire certificate 2001:22::7 soon",
            "'soon' is no time: valid-till is in seconds since 1970",
        ),
        (
            "acquire certificate 2001:22::7 1 2",
            "acquire certificate: say <hit> [valid-till]",
        ),
        (
            "acquire certificate 2001:22::7 valid-till",
            "acquire certificate: say <hit> [valid-till]",
        ),
    ],
)
def test_complaints(run: Hipconf, server: MemoryControlServer, line: str, complaint: str) -> None:
    assert run(line) == (1, "", f"{complaint}\n")
    assert server.requests == []


def test_a_hipgw_in_the_working_directory_is_not_run(
    run: Hipconf,
    peer: PrivateHostIdentity,
    ca: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (tmp_path / "hipgw").mkdir()
    (tmp_path / "hipgw" / "__init__.py").write_text("raise SystemExit('mine')\n")
    (tmp_path / "hipgw" / "__main__.py").write_text("")
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[3]))
    monkeypatch.chdir(tmp_path)
    code, pem, err = run(f"acquire certificate {peer.hit} --pem")
    assert (code, err) == (0, "")
    assert certificates_from(pem.encode())[0].hit == peer.hit
