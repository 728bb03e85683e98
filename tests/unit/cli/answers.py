"""Answers of a daemon with two peers: one ESTABLISHED over UDP, one never talked to."""

from __future__ import annotations

from typing import Any

LOCAL_HIT = "2001:22:e0d3:30c4:f6a7:86e5:2dc9:39ad"
RSA_HIT = "2001:21:1f4b:7730:9b3b:4a6f:53d1:e2c8"
PEER_HIT = "2001:22:4c12:9ae1:77b0:5d2f:8e61:3fa1"
QUIET_HIT = "2001:25:a1b2:c3d4:e5f6:708:90a:b0c0"

PEER: dict[str, Any] = {
    "hit": PEER_HIT,
    "lsi": "1.0.0.2",
    "name": "gw2",
    "local_hit": LOCAL_HIT,
    "local_lsi": "1.0.0.1",
    "version": 2,
    "legacy": False,
    "state": "ESTABLISHED",
    "role": "initiator",
    "local_address": "192.0.2.1",
    "peer_address": "192.0.2.2",
    "local_port": 10500,
    "peer_port": 10500,
    "endpoint": "192.0.2.2:10500",
    "encapsulation": "udp",
    "esp_suite": "AES_GCM_16",
    "hip_cipher": "AES_128_CBC",
    "dh_group": "NIST_P256",
    "since_s": 3723.4,
    "last_used_s": 12.7,
    "rx_octets": 1289749,
    "tx_octets": 4781507,
    "rx_packets": 1200,
    "tx_packets": 4100,
    "spi_in": 0xC2690528,
    "spi_out": 0x0A7E11D3,
    "compatibility": [],
}
QUIET_PEER: dict[str, Any] = {
    "hit": QUIET_HIT,
    "lsi": None,
    "name": None,
    "local_hit": LOCAL_HIT,
    "local_lsi": "1.0.0.1",
    "version": 2,
    "legacy": False,
    "state": "UNASSOCIATED",
    "role": None,
    "local_address": None,
    "peer_address": None,
    "local_port": 0,
    "peer_port": 0,
    "endpoint": None,
    "encapsulation": None,
    "esp_suite": None,
    "hip_cipher": None,
    "dh_group": None,
    "since_s": None,
    "last_used_s": None,
    "rx_octets": 0,
    "tx_octets": 0,
    "rx_packets": 0,
    "tx_packets": 0,
    "spi_in": None,
    "spi_out": None,
}
HITS: dict[str, Any] = {
    "hits": [
        {
            "hit": LOCAL_HIT,
            "version": 2,
            "legacy": False,
            "lsi": "1.0.0.1",
            "algorithm": "ecdsa-p256",
            "kind": "public",
            "default": True,
            "name": "ecdsa-p256",
            "domain_identifier": "gw1.example.net",
            "retired": False,
            "rotate_s": 0.0,
            "file": "/etc/hip/keys/ecdsa-p256.pem",
        },
        {
            "hit": RSA_HIT,
            "version": 2,
            "legacy": False,
            "lsi": "1.0.0.3",
            "algorithm": "rsa-3072",
            "kind": "anonymous",
            "default": False,
            "name": "rsa-3072",
            "domain_identifier": None,
            "retired": False,
            "rotate_s": 0.0,
            "file": "/etc/hip/keys/rsa-3072.pem",
        },
        {
            "hit": QUIET_HIT,
            "version": 2,
            "legacy": False,
            "lsi": None,
            "algorithm": "ed25519",
            "kind": "public",
            "default": False,
            "name": "lost",
            "domain_identifier": None,
            "retired": True,
            "rotate_s": 0.0,
            "file": None,
        },
    ]
}
STATUS: dict[str, Any] = {
    "host": {
        "name": "gw1",
        "version": "0.1.0",
        "uptime_s": 7325.0,
        "pid": 4321,
        "rss_octets": 41_000_000,
    },
    "interface": {
        "name": "hip0",
        "mtu": 1400,
        "hits": [LOCAL_HIT, RSA_HIT],
        "lsis": ["1.0.0.1", "1.0.0.3"],
    },
    "identity": {"hit": LOCAL_HIT, "algorithm": "ecdsa-p256", "lsi": "1.0.0.1"},
    "identities": HITS["hits"][:2],
    "listening": {"udp_port": 10500, "raw": True},
    "peers": [PEER, QUIET_PEER],
    "health": [
        {"problem": "no address known for 1 peer", "remedy": "add it to /etc/hip/hosts"},
        {"problem": "clock jumped back by 3 seconds", "remedy": ""},
    ],
}
SAS: dict[str, Any] = {
    "sas": [
        {
            "direction": "out",
            "spi": 0x0A7E11D3,
            "suite": "AES_GCM_16",
            "version": 2,
            "legacy": False,
            "local_hit": LOCAL_HIT,
            "peer_hit": PEER_HIT,
            "local_lsi": "1.0.0.1",
            "peer_lsi": "1.0.0.2",
            "name": "gw2",
            "local_address": "192.0.2.1",
            "peer_address": "192.0.2.2",
            "local_port": 10500,
            "peer_port": 10500,
            "encapsulation": "udp",
            "packets": 1,
            "octets": 84,
            "sequence": 1,
            "age_s": 61.0,
            "last_used_s": None,
        },
        {
            "direction": "in",
            "spi": 0xC2690528,
            "suite": "AES_GCM_16",
            "version": 2,
            "legacy": False,
            "local_hit": LOCAL_HIT,
            "peer_hit": PEER_HIT,
            "local_lsi": "1.0.0.1",
            "peer_lsi": "1.0.0.2",
            "name": "gw2",
            "local_address": "192.0.2.1",
            "peer_address": "192.0.2.2",
            "local_port": 10500,
            "peer_port": 10500,
            "encapsulation": "udp",
            "packets": 10,
            "octets": 840,
            "sequence": 12,
            "age_s": 61.0,
            "last_used_s": 3.2,
        },
        {
            "direction": "in",
            "spi": 0x100,
            "suite": "AES_128_CBC_HMAC_SHA256",
            "local_hit": LOCAL_HIT,
            "peer_hit": QUIET_HIT,
            "local_lsi": None,
            "peer_lsi": None,
            "name": None,
            "local_address": "2001:db8::1",
            "peer_address": "2001:db8::2",
            "local_port": 0,
            "peer_port": 0,
            "encapsulation": "raw",
            "packets": 0,
            "octets": 0,
            "sequence": 0,
            "age_s": 7300.0,
            "last_used_s": None,
            "current": False,
        },
    ]
}
DROPS: dict[str, Any] = {
    "drops": [
        {"reason": "hip_checksum", "count": 2, "meaning": "wrong HIP checksum", "where": "control"},
        {
            "reason": "hip_short",
            "count": 0,
            "meaning": "shorter than its header",
            "where": "control",
        },
        {"reason": "replayed", "count": 117, "meaning": "sequence number seen", "where": "data"},
    ]
}
ASSOCIATIONS: dict[str, Any] = {
    "associations": [
        {**PEER, "hostname": "gw2.example.net"},
        {**QUIET_PEER, "hostname": None, "state": "E-FAILED"},
    ]
}
PINS: dict[str, Any] = {
    "pins": [
        {
            "address": "192.0.2.2",
            "hit": PEER_HIT,
            "since": "2026-11-22T19:30:00Z",
            "names": ["gw2"],
        },
        {"address": "2001:db8::7", "hit": QUIET_HIT, "since": None, "names": []},
    ],
    "file": "/var/lib/hipgw/pins",
}
