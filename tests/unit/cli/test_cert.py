"""`hipgw cert`: an authority in a directory, and certificates that OpenSSL reads as well."""

from __future__ import annotations

import base64
import json
import multiprocessing
import stat
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from hipgw.crypto import PrivateHostIdentity
from hipgw.crypto.certificates import certificates_from, identity_from_public_key
from hipgw.crypto.certificates_chain import revocation_lists_from
from hipgw.daemon.fleet_ca import AuthorityFiles
from hipgw.values import Hit
from tests.unit.cli.conftest import Invoke
from tests.unit.cli.control_server import MemoryControlServer, RefusedError

DAY_S = 86400


@pytest.fixture
def ca(invoke: Invoke, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An authority that HIPGW_CA names."""
    directory = tmp_path / "ca"
    monkeypatch.setenv("HIPGW_CA", str(directory))
    said = invoke("cert", "ca", "new", "--name", "Example fleet")
    assert said.exit_code == 0, said.stderr
    return directory


def public_file(tmp_path: Path, name: str = "host", kind: str = "ed25519") -> tuple[Path, Hit]:
    private = PrivateHostIdentity.generate(kind)
    path = tmp_path / f"{name}.pub"
    path.write_bytes(private.public_pem())
    return path, private.hit


def answer(invoke: Invoke, *arguments: str) -> dict[str, Any]:
    said = invoke(*arguments, "--json")
    assert said.exit_code == 0, said.stderr
    document: dict[str, Any] = json.loads(said.stdout)
    return document


def issue(invoke: Invoke, subject: Path | Hit, *more: str) -> dict[str, Any]:
    return answer(invoke, "cert", "issue", str(subject), *more)


def complaint(invoke: Invoke, *arguments: str) -> str:
    said = invoke(*arguments)
    assert said.exit_code == 1
    (line,) = said.stderr.splitlines()
    assert line.startswith("hipgw: ")
    return line.removeprefix("hipgw: ")


# --- the authority ---


def test_new_authority(ca: Path) -> None:
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in ca.iterdir()}
    assert modes == {
        ".lock": 0o600,
        "ca-key.pem": 0o600,
        "index.json": 0o600,
        "ca-cert.pem": 0o644,
        "ca-crl.pem": 0o644,
        "ca-crl.der": 0o644,
    }
    assert stat.S_IMODE(ca.stat().st_mode) == 0o700
    private = PrivateHostIdentity.from_pem((ca / "ca-key.pem").read_bytes())
    (certificate,) = certificates_from((ca / "ca-cert.pem").read_bytes())
    assert certificate.public == private.public
    assert certificate.subject_hits == certificate.issuer_hits == (private.hit,)
    assert certificate.subject == f"CN={private.hit},O=Example fleet"
    (listed,) = revocation_lists_from((ca / "ca-crl.pem").read_bytes())
    assert listed.is_of(certificate)
    assert not listed.serials


def test_an_authority_is_never_overwritten(invoke: Invoke, ca: Path) -> None:
    before = {path.name: path.read_bytes() for path in ca.iterdir()}
    assert complaint(invoke, "cert", "ca", "new") == (
        f"{ca}/ca-key.pem exists and is never overwritten: choose another --directory"
    )
    assert {path.name: path.read_bytes() for path in ca.iterdir()} == before


def test_authority_of_a_key_that_there_is(invoke: Invoke, tmp_path: Path) -> None:
    private = PrivateHostIdentity.generate("ecdsa-p384")
    (tmp_path / "key.pem").write_bytes(private.to_pem())
    (tmp_path / "key.pem").chmod(0o600)
    new = ("cert", "ca", "new", "--directory", str(tmp_path / "ca"), "--days", "7")
    made = answer(invoke, *new, "--key", str(tmp_path / "key.pem"))
    assert made["hit"] == str(private.hit)
    assert made["authority"]
    assert abs(made["not_after"] - time.time() - 7 * DAY_S) < 60


def test_private_key_is_never_shown(invoke: Invoke, ca: Path, tmp_path: Path) -> None:
    secret = (ca / "ca-key.pem").read_text().splitlines()[1]
    path, _ = public_file(tmp_path)
    outputs = [invoke("cert", "issue", str(path), "--json"), invoke("cert", "list", "--json")]
    outputs.append(invoke("cert", "show", str(ca / "ca-key.pem")))
    for said in outputs:
        assert secret not in said.output


def test_key_that_others_can_read_is_not_used(invoke: Invoke, ca: Path, tmp_path: Path) -> None:
    (ca / "ca-key.pem").chmod(0o640)
    path, _ = public_file(tmp_path)
    assert "chmod 600" in complaint(invoke, "cert", "issue", str(path))


@pytest.mark.parametrize(
    "command", [("issue", "2001:22::1"), ("list",), ("revoke", "01"), ("crl",)], ids=lambda c: c[0]
)
def test_no_authority(invoke: Invoke, tmp_path: Path, command: tuple[str, ...]) -> None:
    assert complaint(invoke, "cert", *command, "--directory", str(tmp_path)) == (
        f"no authority in {tmp_path}: make one with `hipgw cert ca new`"
    )


def test_damaged_index(invoke: Invoke, ca: Path) -> None:
    for content in ("", "[]", '{"crl_number": 1, "issued": [{"serial": "x"}]}'):
        (ca / "index.json").write_text(content)
        assert "restore it" in complaint(invoke, "cert", "list")


# --- issuing ---


def test_issue_by_public_key_file(invoke: Invoke, ca: Path, tmp_path: Path) -> None:
    path, hit = public_file(tmp_path)
    made = issue(invoke, path, "--days", "30")
    assert made["hit"] == str(hit)
    assert abs(made["not_after"] - time.time() - 30 * DAY_S) < 60
    file = ca / "issued" / f"{made['serial']}.pem"
    assert made["file"] == str(file)
    assert made["pem"] == file.read_text()
    (certificate,) = certificates_from(file.read_bytes())
    assert certificate.hit == hit
    assert certificate.subject_hits == (hit,)
    assert file.with_suffix(".der").read_bytes() == certificate.der
    verified = subprocess.run(
        ["openssl", "verify", "-x509_strict", "-CAfile", ca / "ca-cert.pem", file],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert verified.stdout == f"{file}: OK\n", verified.stderr


def test_issue_to_standard_output(invoke: Invoke, ca: Path, tmp_path: Path) -> None:
    path, hit = public_file(tmp_path)
    der = invoke("cert", "issue", str(path), "--der").stdout_bytes
    pem = invoke("cert", "issue", str(path), "--pem").stdout_bytes
    for octets in (der, pem):
        (certificate,) = certificates_from(octets)
        assert certificate.hit == hit
    assert pem.startswith(b"-----BEGIN CERTIFICATE-----\n")


def test_issue_text(invoke: Invoke, ca: Path, tmp_path: Path) -> None:
    path, hit = public_file(tmp_path)
    said = invoke("cert", "issue", str(path), "--until", "2000000000")
    lines = dict(line.split(": ", 1) for line in said.stdout.splitlines())
    assert lines["hit"] == str(hit)
    assert lines["valid until"] == "2033-05-18T03:33:20Z"
    assert lines["file"] == f"{ca}/issued/{lines['serial']}.pem"


def test_default_validity_ends_with_that_of_the_authority(invoke: Invoke, tmp_path: Path) -> None:
    directory = ("--directory", str(tmp_path / "ca"))
    authority = answer(invoke, "cert", "ca", "new", "--days", "9", *directory)
    path, _ = public_file(tmp_path)
    assert issue(invoke, path, *directory)["not_after"] == authority["not_after"]
    line = complaint(invoke, "cert", "issue", str(path), "--days", "10", *directory)
    assert "outlive" in line


def test_issue_again_by_hit(invoke: Invoke, ca: Path, tmp_path: Path) -> None:
    path, hit = public_file(tmp_path)
    first = issue(invoke, path)
    second = issue(invoke, hit)
    assert second["hit"] == first["hit"]
    assert second["serial"] != first["serial"]
    listed = answer(invoke, "cert", "list")["issued"]
    assert [row["serial"] for row in listed] == [first["serial"], second["serial"]]


def test_issue_by_hit_asks_the_daemon(
    invoke: Invoke, ca: Path, server: MemoryControlServer
) -> None:
    public = PrivateHostIdentity.generate("ecdsa-p256").public
    hi = base64.b64encode(public.hi).decode()
    server.answers["host_identity"] = {"algorithm": int(public.algorithm), "hi": hi}
    made = issue(invoke, public.hit, "--socket", str(server.path))
    assert made["hit"] == str(public.hit)
    assert server.requests[-1]["params"] == {"hit": str(public.hit)}


def test_the_daemons_key_must_be_of_the_hit(
    invoke: Invoke, ca: Path, server: MemoryControlServer
) -> None:
    public = PrivateHostIdentity.generate("ecdsa-p256").public
    hi = base64.b64encode(public.hi).decode()
    server.answers["host_identity"] = {"algorithm": int(public.algorithm), "hi": hi}
    line = complaint(invoke, "cert", "issue", "2001:22::7", "--socket", str(server.path))
    assert f"the daemon's key of 2001:22::7 has the HIT {public.hit}" in line
    assert answer(invoke, "cert", "list")["issued"] == []


@pytest.mark.parametrize(
    "reply", [{}, {"algorithm": 7, "hi": "*"}, {"algorithm": 7, "hi": "AAAA"}, {"hi": 7}]
)
def test_the_daemons_answer_is_no_key(
    invoke: Invoke, ca: Path, server: MemoryControlServer, reply: dict[str, Any]
) -> None:
    server.answers["host_identity"] = reply
    complaint(invoke, "cert", "issue", "2001:22::7", "--socket", str(server.path))


def test_nobody_knows_the_key(invoke: Invoke, ca: Path, server: MemoryControlServer) -> None:
    def refuse(params: dict[str, Any]) -> dict[str, Any]:
        raise RefusedError("not_found", "no association with it")

    server.answers["host_identity"] = refuse
    assert complaint(invoke, "cert", "issue", "2001:22::7", "--socket", str(server.path)) == (
        "no key of 2001:22::7 is known here, nor from the daemon (no association with it): "
        "give its public key file"
    )


def test_subjects_that_are_none(invoke: Invoke, ca: Path, tmp_path: Path) -> None:
    assert "neither a HIT nor a file" in complaint(invoke, "cert", "issue", "gw2")
    (tmp_path / "x").write_text("no key")
    assert f"{tmp_path}/x: not a public key" in complaint(
        invoke, "cert", "issue", str(tmp_path / "x")
    )


@pytest.mark.parametrize(
    "options",
    [
        ("--pem", "--der"),
        ("--pem", "--json"),
        ("--days", "1", "--until", "2000000000"),
        ("--days", "0"),
    ],
)
def test_wrong_usage(invoke: Invoke, ca: Path, tmp_path: Path, options: tuple[str, ...]) -> None:
    path, _ = public_file(tmp_path)
    assert invoke("cert", "issue", str(path), *options).exit_code == 2
    assert answer(invoke, "cert", "list")["issued"] == []


def _issue_many(directory: str, public: str, count: int) -> None:
    subject = identity_from_public_key(Path(public).read_bytes())
    for _ in range(count):
        files = AuthorityFiles(Path(directory))
        with files.locked():
            files.issue(subject, int(time.time()) + DAY_S, int(time.time()))


def test_two_that_issue_at_once_lose_nothing(invoke: Invoke, ca: Path, tmp_path: Path) -> None:
    path, _ = public_file(tmp_path)
    context = multiprocessing.get_context("spawn")
    workers = [context.Process(target=_issue_many, args=(str(ca), str(path), 10)) for _ in range(2)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
        assert worker.exitcode == 0
    rows = answer(invoke, "cert", "list")["issued"]
    assert len({row["serial"] for row in rows}) == 20


# --- below another authority ---


def test_authority_below_another(invoke: Invoke, ca: Path, tmp_path: Path) -> None:
    site = ("--directory", str(tmp_path / "site"))
    made = answer(invoke, "cert", "ca", "new", "--parent", str(ca), *site)
    path, hit = public_file(tmp_path)
    pem = issue(invoke, path, *site)["pem"]
    (tmp_path / "host.pem").write_text(pem)
    assert [entry.hit for entry in certificates_from(pem.encode())] == [hit, Hit.parse(made["hit"])]
    said = answer(
        invoke, "cert", "verify", str(tmp_path / "host.pem"), "--ca", str(ca / "ca-cert.pem")
    )
    assert [entry["authority"] for entry in said["files"][0]["chain"]] == [False, True, True]
    (row,) = answer(invoke, "cert", "list")["issued"]
    assert (row["hit"], row["authority"]) == (made["hit"], True)
    deeper = ("cert", "ca", "new", "--directory", str(tmp_path / "deep"))
    assert "below" in complaint(invoke, *deeper, "--parent", str(tmp_path / "site"))
    assert not (tmp_path / "deep" / "ca-key.pem").exists()


# --- list, show ---


def test_list(invoke: Invoke, ca: Path, tmp_path: Path) -> None:
    assert invoke("cert", "list").stdout == "nothing issued yet: `hipgw cert issue HIT|PUBFILE`\n"
    path, hit = public_file(tmp_path)
    made = issue(invoke, path, "--until", "2000000000")
    lines = [line.split() for line in invoke("cert", "list").stdout.splitlines()]
    assert lines == [
        ["HIT", "STATUS", "UNTIL", "SERIAL"],
        [str(hit), "valid", "2033-05-18T03:33:20Z", made["serial"]],
    ]


def test_show(invoke: Invoke, ca: Path, tmp_path: Path) -> None:
    path, hit = public_file(tmp_path)
    file = Path(issue(invoke, path, "--until", "2000000000")["file"])
    said = invoke("cert", "show", str(file.with_suffix(".der")))
    lines = dict(line.split(": ", 1) for line in said.stdout.splitlines())
    assert lines["hit"] == lines["subject hit"] == str(hit)
    assert lines["algorithm"] == "ed25519"
    assert lines["serial"] == file.stem
    assert lines["valid until"].startswith("2033-05-18T03:33:20Z (")
    assert lines["authority"] == "no"
    pem = invoke("cert", "show", str(file.with_suffix(".der")), "--pem")
    assert pem.stdout == file.read_text()
    der = invoke("cert", "show", str(file), "--der")
    assert der.stdout_bytes == file.with_suffix(".der").read_bytes()
    assert invoke("cert", "show", str(file), "--pem", "--der").exit_code == 2


def test_show_of_names_that_move_the_cursor(invoke: Invoke, tmp_path: Path) -> None:
    private = PrivateHostIdentity.generate("ed25519")
    (tmp_path / "key").write_bytes(private.to_pem())
    subprocess.run(
        ["openssl", "req", "-new", "-x509", "-key", tmp_path / "key", "-utf8",
         "-subj", "/CN=x\x1b[2J\nhit: 2001:22::1", "-out", tmp_path / "made"],
        capture_output=True, check=True,
    )  # fmt: skip
    said = invoke("cert", "show", str(tmp_path / "made"))
    assert "subject: CN=x?[2J?hit: 2001:22::1" in said.stdout.splitlines()


# --- verify, revoke ---


def test_verify(invoke: Invoke, ca: Path, tmp_path: Path) -> None:
    path, hit = public_file(tmp_path)
    file = issue(invoke, path, "--until", "2000000000")["file"]
    verify = ("cert", "verify", file, "--ca", str(ca / "ca-cert.pem"))
    said = invoke(*verify, "--hit", str(hit))
    assert said.stdout == f"{file}: verified, {hit}, until 2033-05-18T03:33:20Z\n"
    assert said.exit_code == 0
    late = invoke(*verify, "--at", "2000000001", "--json")
    assert late.exit_code == 1
    (document,) = json.loads(late.stdout)["files"]
    assert document == {
        "file": file,
        "verified": False,
        "failure": "expired",
        "failure_type": 6,
        "detail": f"serial {Path(file).stem}: ended 1 seconds ago",
    }
    other = invoke(*verify, "--hit", "2001:22::1")
    assert other.exit_code == 1
    assert other.stdout == (
        f"{file}: refused, certificate other: it is of {hit}, not of 2001:22::1\n"
    )


def test_verify_several(invoke: Invoke, ca: Path, tmp_path: Path) -> None:
    path, _ = public_file(tmp_path)
    file = issue(invoke, path)["file"]
    (tmp_path / "bad").write_text("nothing")
    said = invoke(
        "cert", "verify", str(tmp_path / "bad"), file, "--ca", str(ca / "ca-cert.pem"), "--json"
    )
    assert said.exit_code == 1
    documents = json.loads(said.stdout)["files"]
    assert [document["verified"] for document in documents] == [False, True]
    assert documents[0]["failure_type"] == 4


def test_verify_by_another_authority(invoke: Invoke, ca: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    answer(invoke, "cert", "ca", "new", "--directory", str(other))
    path, _ = public_file(tmp_path)
    file = issue(invoke, path)["file"]
    said = invoke("cert", "verify", file, "--ca", str(other / "ca-cert.pem"))
    assert said.exit_code == 1
    assert said.stdout == f"{file}: refused, certificate unknown ca: issuer is not trusted\n"


def test_verify_with_files_that_cannot_be_read(invoke: Invoke, ca: Path, tmp_path: Path) -> None:
    path, _ = public_file(tmp_path)
    file = issue(invoke, path)["file"]
    authority = str(ca / "ca-cert.pem")
    none = str(tmp_path / "none")
    assert f"cannot read {none}" in complaint(invoke, "cert", "verify", none, "--ca", authority)
    assert f"cannot read {none}" in complaint(invoke, "cert", "verify", file, "--ca", none)
    wrong = ("--ca", authority, "--crl", file)
    assert f"{file}: certificate bad" in complaint(invoke, "cert", "verify", file, *wrong)
    assert invoke("cert", "verify", file).exit_code == 2
    assert invoke("cert", "verify", "--ca", authority).exit_code == 2
    assert invoke("cert", "verify", file, "--ca", authority, "--hit", "x").exit_code == 2


def test_revoke_by_serial(invoke: Invoke, ca: Path, tmp_path: Path) -> None:
    path, hit = public_file(tmp_path)
    first, second = issue(invoke, path), issue(invoke, path)
    said = answer(invoke, "cert", "revoke", first["serial"].lower())
    assert said["revoked"] == [first["serial"]]
    assert said["listed"] == 1
    trust = ("--ca", str(ca / "ca-cert.pem"), "--crl", str(ca / "ca-crl.pem"))
    refused = invoke("cert", "verify", first["file"], *trust)
    assert refused.exit_code == 1
    assert "revoked" in refused.stdout
    assert invoke("cert", "verify", second["file"], *trust).exit_code == 0
    rows = answer(invoke, "cert", "list")["issued"]
    assert [row["status"] for row in rows] == ["revoked", "valid"]
    again = answer(invoke, "cert", "revoke", str(hit))
    assert again["revoked"] == [second["serial"]]
    assert again["listed"] == 2
    (listed,) = revocation_lists_from((ca / "ca-crl.der").read_bytes())
    assert listed.serials == {int(first["serial"], 16), int(second["serial"], 16)}


def test_a_revoked_hit_is_not_certified_again_by_its_hit(
    invoke: Invoke, ca: Path, tmp_path: Path
) -> None:
    path, hit = public_file(tmp_path)
    issue(invoke, path)
    invoke("cert", "revoke", str(hit))
    assert complaint(invoke, "cert", "issue", str(hit)) == (
        f"the certificate of {hit} was revoked: give its public key file"
    )
    assert issue(invoke, path)["hit"] == str(hit)


@pytest.mark.parametrize("target", ["2001:22::1", "0F"])
def test_revoke_what_was_not_issued(invoke: Invoke, ca: Path, target: str) -> None:
    assert complaint(invoke, "cert", "revoke", target) == (
        f"nothing issued to or as {target}: see `hipgw cert list`"
    )


def test_revoke_nonsense(invoke: Invoke, ca: Path) -> None:
    assert "neither a HIT nor a serial number" in complaint(invoke, "cert", "revoke", "gw2")


def test_every_list_has_a_larger_number(invoke: Invoke, ca: Path, tmp_path: Path) -> None:
    path, hit = public_file(tmp_path)
    issue(invoke, path)
    numbers = []
    for command in (("crl", "--days", "7"), ("revoke", str(hit)), ("crl",)):
        assert invoke("cert", *command).exit_code == 0
        shown = subprocess.run(
            ["openssl", "crl", "-in", ca / "ca-crl.pem", "-noout", "-crlnumber"],
            capture_output=True, text=True, check=True,
        )  # fmt: skip
        numbers.append(int(shown.stdout.removeprefix("crlNumber="), 16))
    assert numbers == [2, 3, 4]
    (listed,) = revocation_lists_from((ca / "ca-crl.pem").read_bytes())
    assert listed.next_update_s is not None
    assert listed.next_update_s - listed.this_update_s == 30 * DAY_S


def test_text_of_revoke(invoke: Invoke, ca: Path, tmp_path: Path) -> None:
    path, hit = public_file(tmp_path)
    serial = issue(invoke, path)["serial"]
    first, second = invoke("cert", "revoke", str(hit)).stdout.splitlines()
    assert first == f"revoked {serial}, {hit}"
    assert second.startswith(f"{ca}/ca-crl.pem: 1 certificate, next by 20")
