"""`hipconf acquire certificate`: the fleet's authority certifies a host, DER to standard output.

The daemon is asked first, since it knows the keys of its peers.  Where it has no authority, or none
runs, the authority's files on this host serve: `hipgw cert issue` does that, in a process of its
own, because this tool holds no keys.
"""

from __future__ import annotations

import base64
import binascii
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from hipgw.compat.control_client import ControlClient, ControlError
from hipgw.compat.hipconf_commands import Reply, WordError, valid_hit

VALID_TILL: Final = "valid-till"
PEM: Final = "--pem"
NO_AUTHORITY: Final = frozenset({"not_running", "unknown_method", "no_authority"})
"""Codes of the daemon's answer that send us to the files."""
HIPL_FILE: Final = Path("/etc/hip/hip_cert.cnf")
"""Days and extensions, as HIPL has them."""
ISSUE_S: Final = 60.0
BASE64_COLUMNS: Final = 64


def acquire_certificate(client: ControlClient, arguments: Sequence[str]) -> Reply:
    """`acquire certificate HIT [[valid-till] EPOCH] [--pem]`."""
    words = [word for word in arguments if word != PEM]
    as_pem = len(words) < len(arguments)
    if not words:
        raise WordError("Not enough arguments given for the action 'acquire'")
    hit, end = valid_hit(words[0]), words[1:]
    if end[:1] == [VALID_TILL]:
        end = end[1:]
    if len(end) > 1 or (VALID_TILL in words and not end):
        raise WordError("acquire certificate: say <hit> [valid-till]")
    until_s = None if not end else _epoch(end[0])
    der = _from_daemon(client, hit, until_s) or _from_files(hit, until_s, client.path)
    pem = _pem(der)
    document: dict[str, Any] = {"hit": hit, "der": base64.b64encode(der).decode(), "pem": pem}
    return Reply(pem, document) if as_pem else Reply("", document, octets=der)


def _epoch(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 12):
        raise WordError(f"'{text}' is no time: valid-till is in seconds since 1970")
    return int(text)


def _from_daemon(client: ControlClient, hit: str, until_s: int | None) -> bytes | None:
    """The certificate, or None when the daemon has no authority; ControlError when it refuses."""
    try:
        answer = client.call("certificate", hit=hit, valid_till=until_s)
    except ControlError as error:
        if error.code in NO_AUTHORITY:
            return None
        raise
    try:
        return base64.b64decode(answer["der"], validate=True)
    except binascii.Error as error:
        raise TypeError("der is not in base64") from error


def _from_files(hit: str, until_s: int | None, socket_path: str) -> bytes:
    """The certificate by `hipgw cert issue`; WordError with its complaint."""
    import subprocess

    # -P: not the hipgw of the working directory, which may be anybody's.
    command = [sys.executable, "-P", "-m", "hipgw", "cert", "issue", hit, "--der"]
    command += ["--socket", socket_path]
    if HIPL_FILE.exists():
        command += ["--config", str(HIPL_FILE)]
    if until_s is not None:
        command += ["--until", str(until_s)]
    try:
        done = subprocess.run(command, capture_output=True, check=False, timeout=ISSUE_S)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise WordError(f"hipgw cert issue did not end well: {error}") from error
    if done.returncode != 0:
        said = done.stderr.decode(errors="replace").strip().removeprefix("hipgw: ")
        raise WordError(said or f"hipgw cert issue ended with {done.returncode}")
    return done.stdout


def _pem(der: bytes) -> str:
    text = base64.b64encode(der).decode()
    lines = [text[at : at + BASE64_COLUMNS] for at in range(0, len(text), BASE64_COLUMNS)]
    return "\n".join(["-----BEGIN CERTIFICATE-----", *lines, "-----END CERTIFICATE-----", ""])
