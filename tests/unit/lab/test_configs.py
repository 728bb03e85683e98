from __future__ import annotations

import tomllib
from ipaddress import ip_address
from pathlib import Path

import pytest

from hipgw.crypto import PrivateHostIdentity
from hipgw.daemon.config_file import load_config
from hipgw.lab.configs import PeerEntry, host_config, make_identity
from hipgw.lab.files import HostFiles
from hipgw.values import Encapsulation, EspSuite, Hit, Lsi

PEER = PeerEntry(
    "b",
    Hit.parse("2001:22::2"),
    Lsi.parse("1.0.1.2"),
    (ip_address("10.77.0.2"), ip_address("fd00:77::2")),
)


def test_the_identity_is_a_private_pem_file_of_that_hit(tmp_path: Path) -> None:
    files = HostFiles(tmp_path / "a")
    hit = make_identity(files, "ecdsa-p256")
    key = files.keys / "ecdsa-p256.pem"
    assert PrivateHostIdentity.from_pem(key.read_bytes()).hit == hit
    assert key.stat().st_mode & 0o777 == 0o600
    assert files.keys.stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize("encapsulation", ["raw", "udp"])
def test_the_daemon_reads_what_the_lab_writes(tmp_path: Path, encapsulation: str) -> None:
    files = HostFiles(tmp_path)
    settings = {"hip": {"esp_suites": ["aes-128-cbc-hmac-sha256"]}, "network": {"mtu": 1400}}
    files.config.write_text(
        host_config(files, "a", [PEER], encapsulation=encapsulation, settings=settings)
    )
    config = load_config(files.config)
    assert config.host.name == "a"
    assert config.identity.directory == files.keys
    assert config.identity.default == "ecdsa-p256"
    assert config.network.encapsulation is Encapsulation[encapsulation.upper()]
    assert config.network.mtu == 1400
    assert config.hip.esp_suites == (EspSuite.AES_128_CBC_HMAC_SHA256,)
    assert config.control.socket == files.socket
    assert config.hosts.files == ()
    assert config.state.directory == files.state
    assert (config.lab.enabled, config.lab.export_keys) == (True, files.esp_keys)
    (peer,) = config.peers
    assert (peer.name, peer.hit, peer.lsi) == (PEER.name, PEER.hit, PEER.lsi)
    assert peer.addresses == PEER.addresses


def test_a_host_without_peers_has_no_peer_table(tmp_path: Path) -> None:
    document = tomllib.loads(host_config(HostFiles(tmp_path), "a", [], encapsulation="raw"))
    assert "peer" not in document


def test_control_sockets_fit_into_a_unix_address() -> None:
    longest = HostFiles(Path("/run/hipgw-lab") / ("n" * 30) / ("h" * 12))
    assert len(str(longest.socket)) < 108
