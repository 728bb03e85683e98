"""What the asking commands print, to the letter."""

# ruff: noqa: E501 - lines as wide as they are printed

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.unit.cli import answers
from tests.unit.cli.conftest import Invoke
from tests.unit.cli.control_server import MemoryControlServer

STATUS = """\
interface: hip0
  hit: 2001:22:e0d3:30c4:f6a7:86e5:2dc9:39ad (ecdsa-p256)
  hit: 2001:21:1f4b:7730:9b3b:4a6f:53d1:e2c8 (rsa-3072, anonymous)
  lsi: 1.0.0.1
  lsi: 1.0.0.3
  listening: udp port 10500, protocols 139 (HIP) and 50 (ESP)
  mtu: 1400 octets
  strangers: 1207 I1s received, 1200 R1s sent
  associations: 1 ESTABLISHED
  settings: puzzle K 12 (auto), heartbeat 10 s, locators off, shotgun on, \
changed by hand: hip.shotgun

peer: gw2
  hit: 2001:22:4c12:9ae1:77b0:5d2f:8e61:3fa1
  lsi: 1.0.0.2
  endpoint: 192.0.2.2:10500 (udp)
  state: ESTABLISHED for 1 hour, 2 minutes
  suite: AES-GCM-16
  latest traffic: 12 seconds ago
  certificate: verified, issued by CN=2001:22:e0d3:30c4:f6a7:86e5:2dc9:39ad,O=Example fleet, until 2026-11-23T15:00:00Z
  transfer: 1.23 MiB received, 4.56 MiB sent

peer: 2001:25:a1b2:c3d4:e5f6:708:90a:b0c0
  state: UNASSOCIATED

# Health check:
#   - no address known for 1 peer: add it to /etc/hip/hosts
#   - clock jumped back by 3 seconds
"""

PEERS = """\
PEER                                   LSI      NAME  STATE         ENDPOINT             LAST  RECEIVED      SENT
2001:22:4c12:9ae1:77b0:5d2f:8e61:3fa1  1.0.0.2  gw2   ESTABLISHED   192.0.2.2:10500 udp  12s   1.23 MiB  4.56 MiB
2001:25:a1b2:c3d4:e5f6:708:90a:b0c0    -        -     UNASSOCIATED  -                    -          0 B       0 B
"""

SAS = """\
gw2: 2001:22:e0d3:30c4:f6a7:86e5:2dc9:39ad > 2001:22:4c12:9ae1:77b0:5d2f:8e61:3fa1
  lsi 1.0.0.1 > 1.0.0.2
  path 192.0.2.1:10500 > 192.0.2.2:10500 udp
  in  c2690528, AES-GCM-16, installed 1 minute, 1 second ago
      10 packets, 840 octets, sequence 12, used 3 seconds ago
  out 0a7e11d3, AES-GCM-16, installed 1 minute, 1 second ago
      1 packet, 84 octets, sequence 1, never used

2001:25:a1b2:c3d4:e5f6:708:90a:b0c0: 2001:22:e0d3:30c4:f6a7:86e5:2dc9:39ad > \
2001:25:a1b2:c3d4:e5f6:708:90a:b0c0
  path 2001:db8::1 > 2001:db8::2 esp
  in  00000100, AES-128-CBC-HMAC-SHA256, installed 2 hours, 1 minute ago, old
      0 packets, 0 octets, sequence 0, never used
"""

DROPS = f"""\
COUNT  WHERE    REASON         MEANING
  117  data     replayed       sequence number seen
    7  data     icv_wrong      ESP integrity check failed
    2  control  hip_checksum   wrong HIP checksum
    1  control  hip_malformed  parameter with a bad order

# If the peer is no hipgw, a compatibility switch may be missing, or one too many:
#   - icv_wrong: full-length-icv
#   - hip_malformed: unordered-parameters, short-locator
#     latest from {answers.QUIET_HIT} at 192.0.2.9
#     hip_malformed at octet 56: parameter 65 after 129
"""

CONNECT = "gw2: ESTABLISHED in 21.3 ms, AES-GCM-16, 192.0.2.2:10500 over udp\n"

REKEY = "gw2: new keys in 2.1 ms, SPI in c2690528, out 0a7e11d3\n"

IDENTITIES = f"""\
NAME        HIT                                    LSI      ALGORITHM   KIND       CALLED           FILE
ecdsa-p256  {answers.LOCAL_HIT}  1.0.0.1  ecdsa-p256  default    gw1.example.net  /etc/hip/keys/ecdsa-p256.pem
rsa-3072    {answers.RSA_HIT}  1.0.0.3  rsa-3072    anonymous  -                /etc/hip/keys/rsa-3072.pem
"""

ONE_IDENTITY = f"""\
NAME      HIT                                    LSI      ALGORITHM  KIND       CALLED  FILE
rsa-3072  {answers.RSA_HIT}  1.0.0.3  rsa-3072   anonymous  -       /etc/hip/keys/rsa-3072.pem
"""

PINS = f"""\
ADDRESS      HIT                                    SINCE                 NAME
192.0.2.2    {answers.PEER_HIT}  2026-11-22T19:30:00Z  gw2
2001:db8::7  {answers.QUIET_HIT}    -                     -
"""

CLOSE_ALL = f"closed 2 associations\n{answers.PEER_HIT}\n{answers.QUIET_HIT}\n"


@pytest.mark.parametrize(
    ("command", "text"),
    [
        (["status"], STATUS),
        (["peers"], PEERS),
        (["sas"], SAS),
        (["drops"], DROPS),
        (["connect", "gw2"], CONNECT),
        (["rekey", "gw2"], REKEY),
        (["identity", "list"], IDENTITIES),
        (["identity", "new", "x", "--anonymous"], ONE_IDENTITY),
        (["identity", "rotate", "x"], ONE_IDENTITY),
        (["identity", "add"], "no more identities\n"),
        (["identity", "remove", "x"], f"removed 1 identity\n{answers.RSA_HIT}\n"),
        (["pins", "list"], PINS),
        (["pins", "remove", "all"], f"removed 1 pin\n192.0.2.2 {answers.PEER_HIT}\n"),
        (["close", "--all"], CLOSE_ALL),
        (["reload"], "reloaded: hip.heartbeat_s, peer\nneeds a restart: network.udp_port\n"),
        (["close", "gw2"], f"closed 1 association\n{answers.PEER_HIT}\n"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_text(ask: Invoke, command: list[str], text: str) -> None:
    said = ask(*command)
    assert said.output == text
    assert said.exit_code == 0


@pytest.mark.parametrize(
    ("command", "document"),
    [
        (["status"], answers.STATUS),
        (["peers"], {"peers": answers.STATUS["peers"]}),
        (["sas"], answers.SAS),
        (["drops", "--all"], answers.DROPS),
        (["connect", "gw2"], {"peer": answers.PEER, "took_s": 0.0213}),
        (["close", "gw2"], {"closed": [answers.PEER_HIT]}),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_json_is_the_answer_of_the_daemon(
    ask: Invoke, command: list[str], document: dict[str, object]
) -> None:
    assert json.loads(ask(*command, "--json").stdout) == document


def test_what_status_leaves_out_is_said(ask: Invoke, server: MemoryControlServer) -> None:
    server.answers["status"] = {**answers.STATUS, "peers_total": 99_952}
    last = "99950 more peers: see `hipgw status --all` or `hipgw peers`\n"
    assert last in ask("status").stdout


def test_status_of_all_asks_for_one_share_after_the_other(
    ask: Invoke, server: MemoryControlServer
) -> None:
    everyone = [{**answers.PEER, "name": f"gw{number}"} for number in range(2500)]

    def peers(params: dict[str, Any]) -> dict[str, Any]:
        first = params["first"]
        return {"peers": everyone[first : first + params["most"]], "total": len(everyone)}

    server.answers["peers"] = peers
    server.answers["status"] = {**answers.STATUS, "peers": [], "peers_total": 2500}
    said = ask("status", "--all").stdout
    assert said.count("peer: gw") == 2500
    assert "more peer" not in said
    asked = [each["params"] for each in server.requests if each["method"] == "peers"]
    assert [each["first"] for each in asked] == [0, 1000, 2000]


def test_drops_hides_zeros_unless_told(ask: Invoke) -> None:
    assert "hip_short" not in ask("drops", "--json").stdout
    assert "hip_short" in ask("drops", "--all").stdout


@pytest.mark.parametrize(
    ("method", "answer", "text"),
    [
        ("peers", {"peers": []}, "no peers"),
        ("sas", {"sas": []}, "no security associations"),
        ("drops", {"drops": []}, "no drops"),
    ],
)
def test_nothing_to_show_is_said(
    ask: Invoke, server: MemoryControlServer, method: str, answer: dict[str, object], text: str
) -> None:
    server.answers[method] = answer
    assert ask(method).output.startswith(text)


def test_status_names_the_compatibility_switches_of_a_peer(
    ask: Invoke, server: MemoryControlServer
) -> None:
    peer = {**answers.PEER, "compatibility": ["swapped-mac-keys", "short-locator"]}
    server.answers["status"] = {**answers.STATUS, "peers": [peer]}
    assert "  compatibility: swapped-mac-keys, short-locator\n" in ask("status").output


@pytest.mark.parametrize(
    ("version", "use", "said"),
    [
        (2, ["our key rsa-1024", "group MODP-1536"], "our key rsa-1024, group MODP-1536"),
        (1, ["HIPv1"], "HIPv1"),
        (1, [], "HIPv1"),
    ],
)
def test_what_is_of_old_is_named(
    ask: Invoke, server: MemoryControlServer, version: int, use: list[str], said: str
) -> None:
    old = {"version": version, "legacy": True, "legacy_use": use}
    first = answers.STATUS["peers"][0] | old
    server.answers["status"] = answers.STATUS | {"peers": [first]}
    server.answers["sas"] = {"sas": [sa | old for sa in answers.SAS["sas"]], "total": 2}
    assert f"  legacy: {said}\n" in ask("status").stdout
    assert f" (legacy: {said})\n" in ask("sas").stdout


def test_status_of_a_lonely_host(ask: Invoke, server: MemoryControlServer) -> None:
    server.answers["status"] = {
        **answers.STATUS,
        "peers": [],
        "peers_total": 0,
        "associations": {"total": 0, "by_state": {}},
        "hip": None,
        "health": [],
        "listening": {"udp_port": None, "raw": False},
        "strangers": {"i1_received": 0, "r1_sent": 0},
        "interface": {"name": "hip0", "mtu": None, "hits": [answers.LOCAL_HIT], "lsis": []},
        "identity": {"hit": answers.LOCAL_HIT, "algorithm": "ed25519", "lsi": None},
    }
    assert ask("status").output == (
        f"interface: hip0\n  hit: {answers.LOCAL_HIT} (ed25519)\n  listening: nothing\n"
    )


@pytest.mark.parametrize(
    ("command", "request_sent"),
    [
        (["status"], {"id": 1, "method": "status", "params": {}}),
        (
            ["connect", "1.0.0.2", "--wait", "3"],
            {"id": 1, "method": "connect", "params": {"target": "1.0.0.2", "wait_s": 3.0}},
        ),
        (["close", "--all"], {"id": 1, "method": "close", "params": {"target": "all"}}),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else "",
)
def test_request_on_the_wire(
    ask: Invoke, server: MemoryControlServer, command: list[str], request_sent: dict[str, object]
) -> None:
    ask(*command)
    assert server.requests == [request_sent]


@pytest.mark.parametrize(
    ("pinned", "new_pin", "said"),
    [(True, True, "pinned now"), (True, False, "as pinned"), (False, False, "not pinned")],
)
def test_who_was_found_at_an_address(
    ask: Invoke, server: MemoryControlServer, *, pinned: bool, new_pin: bool, said: str
) -> None:
    server.answers["connect"] = {
        "peer": answers.PEER,
        "took_s": 0.0213,
        "address": "192.0.2.2",
        "pinned": pinned,
        "new_pin": new_pin,
    }
    text = ask("connect", "--opportunistic", "192.0.2.2").output
    assert text == f"{CONNECT}192.0.2.2 is {answers.PEER_HIT}, LSI 1.0.0.2 ({said})\n"
    assert server.requests[-1]["params"] == {
        "target": "192.0.2.2",
        "wait_s": 15.0,
        "opportunistic": True,
    }


def test_connect_passes_on_who_is_to_speak(ask: Invoke, server: MemoryControlServer) -> None:
    ask("connect", "gw2", "--from", "work", "--anonymous")
    assert server.requests[-1]["params"] == {
        "target": "gw2",
        "wait_s": 15.0,
        "local": "work",
        "anonymous": True,
    }


def test_status_says_who_the_peer_says_he_is(ask: Invoke, server: MemoryControlServer) -> None:
    peer = answers.PEER | {"hostname": "gw2.example.net", "anonymous": True}
    server.answers["status"] = answers.STATUS | {"peers": [peer]}
    text = ask("status").output
    assert "  calls itself: gw2.example.net\n  identity: anonymous\n" in text
