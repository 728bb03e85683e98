"""What the daemon shows of certificates, and issues itself (F069, F102, F273)."""

from __future__ import annotations

import base64
import time
from dataclasses import replace
from pathlib import Path

import pytest

from hipgw.crypto import HostIdentity, PrivateHostIdentity
from hipgw.crypto.certificates import certificates_from
from hipgw.daemon.certificate_config import LoadedCertificates, load_trust
from hipgw.daemon.control_protocol import RefusedError
from hipgw.daemon.fleet_ca import DAY_S, AuthorityFiles
from hipgw.proto import CertificatePolicy
from hipgw.values import Hit
from tests.unit.daemon.gateways import IDENTITIES, MemoryGateway, settled
from tests.unit.daemon.test_control_methods import Ask, tell

CA = PrivateHostIdentity.generate("ecdsa-p256")


def authority(directory: Path) -> AuthorityFiles:
    files = AuthorityFiles(directory / "ca")
    files.create(CA, 100, int(time.time()))
    return files


def use_authority(gateway: MemoryGateway, directory: Path) -> None:
    config = gateway.gateway.config
    options = replace(
        config.certificates, authority=directory / "ca", issuing=directory / "hip_cert.cnf"
    )
    gateway.gateway.config = replace(config, certificates=options)


def test_the_key_of_a_peer_after_a_base_exchange(tmp_path: Path) -> None:
    async def story(ask: Ask, a: MemoryGateway, b: MemoryGateway) -> None:
        with pytest.raises(RefusedError, match="no key") as caught:
            await ask("host_identity", hit=str(b.hit))
        assert caught.value.code == "not_found"
        await ask("connect", target="b")
        for hit in (a.hit, b.hit):
            answer = await ask("host_identity", hit=str(hit))
            key = HostIdentity.from_wire(answer["algorithm"], base64.b64decode(answer["hi"]))
            assert key.hit == hit

    tell(tmp_path, story)


def test_the_daemon_certifies_a_peer(tmp_path: Path) -> None:
    async def story(ask: Ask, a: MemoryGateway, b: MemoryGateway) -> None:
        use_authority(a, tmp_path)
        with pytest.raises(RefusedError) as caught:
            await ask("certificate", hit=str(b.hit))
        assert caught.value.code == "no_authority"
        authority(tmp_path)
        (tmp_path / "hip_cert.cnf").write_text("[hip_x509v3]\ndays = 3\n")
        await ask("connect", target="b")
        answer = await ask("certificate", hit=str(b.hit), valid_till=None)
        (made,) = certificates_from(base64.b64decode(answer["der"]))
        assert made.hit == b.hit
        assert abs(made.not_after_s - time.time() - 3 * DAY_S) < 60
        until_s = int(time.time()) + 5000
        answer = await ask("certificate", hit=str(b.hit), valid_till=until_s)
        assert answer["valid_until"] == until_s
        for bad in (-1, 10**15, int(time.time()) + 4000 * DAY_S):
            with pytest.raises(RefusedError):
                await ask("certificate", hit=str(b.hit), valid_till=bad)
        with pytest.raises(RefusedError):
            await ask("certificate", hit="2001:22::77")

    tell(tmp_path, story)


def test_peers_and_status_show_what_was_verified(tmp_path: Path) -> None:
    async def story(ask: Ask, a: MemoryGateway, b: MemoryGateway) -> None:
        files = authority(tmp_path)
        now_s = int(time.time())
        with files.locked():
            row = files.issue(IDENTITIES[1].public, now_s + DAY_S, now_s)
        chain = certificates_from(files.file_of(row).read_bytes())
        b.gateway.take_certificates(
            LoadedCertificates(CertificatePolicy({b.hit: chain}, unix_now=time.time))
        )
        trust = load_trust([files.directory / "ca-cert.pem"])
        a.gateway.take_certificates(
            LoadedCertificates(CertificatePolicy(trust=trust, unix_now=time.time))
        )
        await ask("connect", target="b")
        await settled(a, b)
        (peer,) = (await ask("peers"))["peers"]
        assert peer["certificate"] == {
            "standing": "verified",
            "verified": True,
            "detail": None,
            "subject": f"CN={Hit(b.hit.packed)}",
            "issuer": f"CN={CA.hit}",
            "serial": row.name,
            "valid_until": now_s + DAY_S,
            "required": False,
        }
        assert a.gateway.counters["certificate_verified"] == 1
        assert (await ask("status"))["certificates"] == {
            "own": [],
            "send_in": ["r2", "update"],
            "anchors": 1,
            "lists": 0,
        }

    tell(tmp_path, story)
