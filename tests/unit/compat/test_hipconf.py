"""hipconf says what HIPL says, in both of HIPL's forms."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from hipgw.compat import hipconf
from hipgw.compat.hipconf_commands import algorithm_word
from hipgw.compat.hipconf_words import ACTIONS, NOT_OFFERED, WORDS
from tests.unit.cli.answers import ASSOCIATIONS, HITS, LOCAL_HIT, PEER_HIT, QUIET_HIT, RSA_HIT
from tests.unit.cli.control_server import MemoryControlServer
from tests.unit.compat.conftest import Hipconf

SENT = "User message was sent successfully to the HIP daemon.\n"

DEFAULT = f"Default HIT: {LOCAL_HIT}\nDefault LSI: 1.0.0.1\n"

ALL = f"""\
Public    ECDSA {LOCAL_HIT}     LSI 1.0.0.1
Anonymous RSA {RSA_HIT}     LSI 1.0.0.3
Public    EdDSA {QUIET_HIT}     LSI 0.0.0.0
"""

GW2 = f"""\
HA is ESTABLISHED
 Shotgun mode is off.
 Broadcast mode is off.
 Local HIT: {LOCAL_HIT}
 Peer  HIT: {PEER_HIT}
 Local LSI: 1.0.0.1
 Peer  LSI: 1.0.0.2
 Local IP: 192.0.2.1
 Local NAT traversal UDP port: 10500
 Peer  IP: 192.0.2.2
 Peer  NAT traversal UDP port: 10500
 Peer  hostname: gw2.example.net
 ESP suite: AES-GCM-16
 SPI in: 0xc2690528
 SPI out: 0x0a7e11d3
 Received: 1200 packets, 1289749 bytes
 Sent: 4100 packets, 4781507 bytes
 Age: 3723 seconds
"""

QUIET = (
    "HA is FAILED\n"
    " Shotgun mode is off.\n"
    " Broadcast mode is off.\n"
    f" Local HIT: {LOCAL_HIT}\n"
    f" Peer  HIT: {QUIET_HIT}\n"
    " Local LSI: 1.0.0.1\n"
    " Peer  LSI: 0.0.0.0\n"
    " Local IP: ::\n"
    " Local NAT traversal UDP port: 0\n"
    " Peer  IP: ::\n"
    " Peer  NAT traversal UDP port: 0\n"
    " Peer  hostname: \n"
)


@pytest.mark.parametrize("form", ["daemon ", ""], ids=["2013", "2009"])
@pytest.mark.parametrize(
    ("line", "text"),
    [
        ("get hi default", DEFAULT),
        ("get hi all", ALL),
        ("get ha all", GW2 + QUIET),
        (f"get ha {PEER_HIT}", GW2),
        (f"get ha {PEER_HIT.upper()}", GW2),
        (f"get ha {LOCAL_HIT}", GW2 + QUIET),
        (f"get ha {RSA_HIT}", ""),
        (f"get map {PEER_HIT}", "Resolved to IP: 192.0.2.2\n"),
        ("get map 1.0.0.2", "Resolved to IP: 192.0.2.2\n"),
        ("id-to-addr 1.0.0.2", "Resolved to IP: 192.0.2.2\n"),
        ("hit-to-ip 1.0.0.2", "Found IP: 192.0.2.2\n"),
        (f"hit-to-lsi {PEER_HIT}", f"HIT {PEER_HIT} maps to LSI 1.0.0.2\n"),
        ("lsi-to-hit 1.0.0.2", f"Found HIT: {PEER_HIT}\n"),
        (f"add map {PEER_HIT} 192.0.2.2", SENT),
        (f"add map {PEER_HIT} gw2.example.net 1.0.0.9", SENT),
        ("rst all", SENT),
        (f"rst peer_hit {PEER_HIT}", SENT),
        (f"rst {PEER_HIT}", SENT),
        ("get puzzle all", "Puzzle difficulty is: 10\n"),
        (f"get puzzle {PEER_HIT}", "Puzzle difficulty is: 5\n"),
        (f"new puzzle {PEER_HIT}", "New puzzle difficulty effective immediately\n"),
        ("new puzzle all", "New puzzle difficulty effective immediately\n"),
        ("heartbeat 10", SENT),
        ("shotgun on", SENT),
        ("locator off", SENT),
        ("locator get", "192.0.2.1\n2001:db8::1\n"),
        ("manual-update", SENT),
        ("default-hip-version", "Default hip version: 2\n"),
        ("default-hip-version 1", "Default hip version: 1\n"),
        (f"manual-update {PEER_HIT}", SENT),
        ("add hi default", SENT),
        ("add hi pub rsa work", SENT),
        ("new hi anon ecdsa work 384", SENT),
        (f"del hi {RSA_HIT}", SENT),
        ("del hi all", "All HIs deleted.\n"),
        ("set opp normal", SENT),
        ("opportunistic accept", SENT),
    ],
)
def test_words_of_hipl(run: Hipconf, form: str, line: str, text: str) -> None:
    assert run(form + line) == (0, text, "")


@pytest.mark.parametrize(
    ("line", "method", "params"),
    [
        (
            f"daemon add map {PEER_HIT} 192.0.2.2 1.0.0.9",
            "map_add",
            {"hit": PEER_HIT, "ip": "192.0.2.2", "lsi": "1.0.0.9"},
        ),
        (
            f"daemon add map {PEER_HIT.upper()} 2001:db8::2",
            "map_add",
            {"hit": PEER_HIT, "ip": "2001:db8::2", "lsi": None},
        ),
        ("daemon rst all", "close", {"target": "all"}),
        (f"daemon rst peer_hit {PEER_HIT}", "close", {"target": PEER_HIT}),
        (f"rst {PEER_HIT}", "close", {"target": PEER_HIT}),
        (f"hit-to-lsi {PEER_HIT}", "hit_to_lsi", {"hit": PEER_HIT}),
        ("lsi-to-hit 1.0.0.2", "lsi_to_hit", {"lsi": "1.0.0.2"}),
        ("daemon manual-update", "manual_update", {}),
        ("manual-update rekey", "manual_update", {"rekey": True}),
        (
            f"manual-update {PEER_HIT} rekey",
            "manual_update",
            {"target": PEER_HIT, "rekey": True},
        ),
        (f"manual-update {PEER_HIT.upper()}", "manual_update", {"target": PEER_HIT}),
        ("locator get", "locators", {}),
        ("default-hip-version 1", "set_default_hip_version", {"version": 1}),
        ("daemon default-hip-version", "default_hip_version", {}),
        ("add hi default", "identity_add", {}),
        ("add hi anon rsa work.pem", "identity_add", {"name": "work", "anonymous": True}),
        (
            "new hi pub rsa work",
            "identity_new",
            {"name": "work", "kind": "rsa-3072", "anonymous": False, "keep": True},
        ),
        (
            "new hi anon ecdsa work 384",
            "identity_new",
            {"name": "work", "kind": "ecdsa-p384", "anonymous": True, "keep": True},
        ),
        (f"del hi {RSA_HIT.upper()}", "identity_remove", {"target": RSA_HIT}),
        ("del hi all", "identity_remove", {"target": "all"}),
        ("set opp advanced", "opportunistic_set", {"answer": True, "initiate": True}),
        ("set opp none", "opportunistic_set", {"answer": False, "initiate": False}),
        ("opportunistic initiate", "opportunistic_set", {"answer": False, "initiate": True}),
        ("daemon locator on", "set", {"announce_locators": True}),
        ("daemon shotgun off", "set", {"shotgun": False}),
        ("daemon heartbeat 0", "set", {"heartbeat_s": 0}),
    ],
)
def test_requests(
    run: Hipconf, server: MemoryControlServer, line: str, method: str, params: dict[str, object]
) -> None:
    run(line)
    assert server.requests == [{"id": 1, "method": method, "params": params}]


@pytest.mark.parametrize(
    ("line", "params"),
    [
        ("daemon inc puzzle all", {"puzzle": "fixed", "puzzle_k": 11}),
        ("dec puzzle all", {"puzzle": "fixed", "puzzle_k": 9}),
        ("set puzzle all 14", {"puzzle": "fixed", "puzzle_k": 14}),
        ("set puzzle all auto", {"puzzle": "auto"}),
    ],
)
def test_puzzle_words(
    run: Hipconf, server: MemoryControlServer, line: str, params: dict[str, object]
) -> None:
    code, said, complaint = run(line)
    assert {"id": 1, "method": "set", "params": params} in server.requests
    said_by_hipl = "Puzzle difficulty is: 10\nNew puzzle difficulty effective immediately\n"
    assert (code, said, complaint) == (0, said_by_hipl, "")


@pytest.mark.parametrize(
    ("line", "params"),
    [
        (f"daemon inc puzzle {PEER_HIT}", {"k": 6}),
        (f"dec puzzle {PEER_HIT}", {"k": 4}),
        (f"set puzzle {PEER_HIT} 14", {"k": 14}),
        (f"set puzzle {PEER_HIT} auto", {}),
    ],
)
def test_puzzle_words_for_one_peer(
    run: Hipconf, server: MemoryControlServer, line: str, params: dict[str, object]
) -> None:
    code, said, complaint = run(line)
    assert {
        "id": 1,
        "method": "set_peer_puzzle",
        "params": {"hit": PEER_HIT, **params},
    } in server.requests
    said_by_hipl = "Puzzle difficulty is: 5\nNew puzzle difficulty effective immediately\n"
    assert (code, said, complaint) == (0, said_by_hipl, "")


def test_the_puzzle_of_one_peer_as_json(run: Hipconf) -> None:
    code, said, _ = run(f"--json daemon get puzzle {PEER_HIT}")
    assert (code, json.loads(said)) == (0, {"hit": PEER_HIT, "k": 5, "own": True})


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        (
            "nonsense x",
            "Invalid target process argument 'nonsense'. Expected 'daemon' or 'firewall'.",
        ),
        ("daemon frobnicate all", "Invalid action argument 'frobnicate'"),
        ("default-hip-version 3", "Invalid argument '3': the HIP version is 1 or 2."),
        ("daemon get nonsense all", "Invalid type argument 'nonsense'"),
        ("daemon get", "Not enough arguments given for the action 'get'"),
        ("get hi", "Not enough arguments given for the action 'get'"),
        ("get", "Not enough arguments given for the action 'get'"),
        (f"add map {PEER_HIT}", "Not enough arguments given for the action 'add'"),
        ("rst peer_hit", "Not enough arguments given for the action 'rst'"),
        ("get ha all all", "Too many arguments given for the action 'get': get ha <hit> | all"),
        ("rst all all", "Too many arguments given for the action 'rst': 'all'"),
        ("get puzzle some", "'some' is not a valid HIT."),
        (f"set puzzle {PEER_HIT} 29", "Puzzle difficulty 29 is out of range: 0 to 28"),
        (f"set puzzle {PEER_HIT} hard", "Invalid argument 'hard': a number of bits or auto"),
        ("set puzzle all 29", "Puzzle difficulty 29 is out of range: 0 to 28"),
        ("set puzzle all hard", "Invalid argument 'hard': a number of bits or auto"),
        ("locator maybe", "Invalid argument 'maybe'. Use on or off."),
        ("shotgun 1", "Invalid argument '1'. Use on or off."),
        ("heartbeat often", "Invalid argument 'often': seconds are a whole number"),
        ("get hi first", 'Invalid argument "first". Use "default" or "all".'),
        ("get ha gw2", "'gw2' is not a valid HIT."),
        (
            "rst 2001:db8::1",
            "'2001:db8::1' is not a valid HIT: expected 2001:20::/28 or 2001:10::/28.",
        ),
        (f"add map {PEER_HIT} 192.0.2.2 9.9.9.9", "Wrong LSI value: choose one in 1.0.0.0/8"),
        (
            f"add map {PEER_HIT} 192.0.2.2 nine",
            "Wrong LSI value: 'nine' is not a dotted quad",
        ),
        ("lsi-to-hit gw2", "'gw2' is not an LSI: a dotted quad is expected"),
        (f"get map {QUIET_HIT}", "hipconf: nothing is known of it: add it"),
        (
            "get map 1.0.0.8",
            "no address is known for 1.0.0.8: add one with `hipconf daemon add map`",
        ),
        (
            "daemon nat plain-udp",
            "not offered yet in hipgw: nat (NAT traversal modes at run time)",
        ),
        (
            "add server rvs 192.0.2.9 3600",
            "not offered yet in hipgw: add server (registration with a rendezvous or relay server)",
        ),
        (
            "hit-to-ip on",
            "not offered yet in hipgw: hit-to-ip on (look-up in the hit-to-ip zone)",
        ),
        ("firewall get ha all", "not offered yet in hipgw: hipconf firewall (host firewall)"),
        ("get hi default --socket", "--socket needs a path"),
    ],
)
def test_complaints(run: Hipconf, line: str, complaint: str) -> None:
    assert run(line) == (1, "", f"{complaint}\n")


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ("new hi default", "not offered in hipgw: new hi default would replace"),
        ("new hi pub dsa work", "not offered in hipgw: dsa keys"),
        ("new hi pub rsa work 1024", "a key of 1024 bits is not offered"),
        ("new hi pub ed25519 work 256", "a key of 256 bits is not offered"),
        ("new hi both rsa work", "expected anon|pub"),
        ("add hi pub rsa", "expected anon|pub"),
        ("set opp maybe", "Invalid argument"),
    ],
)
def test_complaints_about_keys_and_opportunistic_mode(
    run: Hipconf, server: MemoryControlServer, line: str, complaint: str
) -> None:
    code, out, err = run(line)
    assert (code, out) == (1, "")
    assert err.startswith(complaint)
    assert server.requests == []


@pytest.mark.parametrize("line", ["", "daemon", "nonsense"])
def test_too_few_words_print_the_usage(run: Hipconf, line: str) -> None:
    code, out, err = run(line)
    assert (code, out) == (1, "")
    assert err.startswith("Invalid arguments.\nUsage to communicate with HIP daemon:\n")
    assert "Usage to communicate with HIP firewall:\n" in err
    for word in WORDS:
        assert f"\n{word.usage}\n" in err


def test_help_is_the_usage_without_complaint(run: Hipconf) -> None:
    code, out, err = run("--help")
    assert (code, out, err) == (0, hipconf.usage("hipconf"), "")


@pytest.mark.parametrize("action_and_kind", NOT_OFFERED, ids=" ".join)
def test_every_word_that_is_not_offered_gets_one_line(
    run: Hipconf, server: MemoryControlServer, action_and_kind: tuple[str, str]
) -> None:
    action, kind = action_and_kind
    code, out, err = run(f"daemon {action} {kind or 'x'} y")
    assert (code, out) == (1, "")
    said = f"{action} {kind}".strip()
    assert err == f"not offered yet in hipgw: {said} ({NOT_OFFERED[action_and_kind]})\n"
    assert server.requests == []


def test_no_word_is_both_offered_and_not() -> None:
    offered = {(word.action, word.kind) for word in WORDS}
    assert not offered & set(NOT_OFFERED)
    for action, kind in NOT_OFFERED:
        if not kind:
            assert action not in {word.action for word in WORDS}
    assert {word.action for word in WORDS} <= ACTIONS


@pytest.mark.parametrize(
    ("line", "document"),
    [
        ("daemon get hi default --json", HITS["hits"][0]),
        ("get hi all --json", HITS),
        ("--json get ha all", ASSOCIATIONS),
        (f"get ha {RSA_HIT} --json", {"associations": []}),
        (
            "get map 1.0.0.2 --json",
            {"hit": PEER_HIT, "lsi": "1.0.0.2", "ips": ["192.0.2.2", "2001:db8::2"]},
        ),
    ],
)
def test_json(run: Hipconf, line: str, document: dict[str, object]) -> None:
    code, out, err = run(line)
    assert (code, json.loads(out), err) == (0, document, "")


def test_daemon_without_identity(run: Hipconf, server: MemoryControlServer) -> None:
    server.answers["hits"] = {"hits": []}
    code, out, err = run("get hi default")
    assert (code, out) == (1, "")
    assert "no host identity" in err


@pytest.mark.parametrize("answer", [{}, {"hits": 7}, {"hits": ["x"]}])
def test_answer_of_another_version(
    run: Hipconf, server: MemoryControlServer, answer: dict[str, object]
) -> None:
    server.answers["hits"] = answer
    code, out, err = run("get hi all")
    assert (code, out) == (1, "")
    assert err.startswith("hipconf: the daemon's answer is not as expected")


def test_heartbeats_are_shown_where_they_are_on(run: Hipconf, server: MemoryControlServer) -> None:
    beat = {"interval_s": 1.0, "sent": 9, "received": 7, "lost": 2, "mean_rtt_s": 0.00125}
    server.answers["associations"] = {
        "associations": [{**ASSOCIATIONS["associations"][0], "heartbeat": beat, "shotgun": True}]
    }
    said = run("get ha all")[1].splitlines()
    assert said[1] == " Shotgun mode is on."
    assert said[-3:] == [
        " Heartbeat 1.250000 ms mean RTT,",
        " 9 packets sent, 7 packets received, 2 packets lost",
        " Age: 3723 seconds",
    ]


def test_hostname_of_a_peer_cannot_forge_a_line(run: Hipconf, server: MemoryControlServer) -> None:
    entry = {**ASSOCIATIONS["associations"][0], "hostname": "x\nHA is FORGED\x1b[2J"}
    server.answers["associations"] = {"associations": [entry]}
    _, out, _ = run("get ha all")
    assert " Peer  hostname: x?HA is FORGED?[2J\n" in out


def test_no_daemon(run: Hipconf, tmp_path: Path) -> None:
    code, out, err = run(f"daemon get hi default --socket={tmp_path}/none.sock")
    assert (code, out) == (1, "")
    assert err == (
        f"hipconf: no daemon answers on {tmp_path}/none.sock: start one with `hipgw run`, "
        "or name its socket with --socket or HIPGW_SOCKET\n"
    )


@pytest.mark.parametrize(
    ("algorithm", "word"),
    [
        ("rsa-2048", "RSA"),
        ("dsa", "DSA"),
        ("ecdsa-p384", "ECDSA"),
        ("ed448", "EdDSA"),
        ("gost", "Unknown algorithm (gost)"),
    ],
)
def test_algorithm_words(algorithm: str, word: str) -> None:
    assert algorithm_word(algorithm) == word


@pytest.mark.parametrize(
    "program",
    [
        ["from hipgw.compat.hipconf import main; main()"],
        ["from hipgw.cli.main import main; main()", "hipconf"],
    ],
    ids=["hipconf", "hipgw hipconf"],
)
def test_as_a_program(server: MemoryControlServer, program: list[str]) -> None:
    environment = {**os.environ, "HIPGW_SOCKET": str(server.path)}

    def call(*words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-c", *program, *words],
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )

    done = call("daemon", "get", "hi", "default")
    assert (done.returncode, done.stdout, done.stderr) == (0, DEFAULT, "")
    assert json.loads(call("get", "hi", "all", "--json").stdout) == HITS
    assert call("daemon", "nat", "plain-udp").returncode == 1
    assert call().stderr.startswith("Invalid arguments.\n")
