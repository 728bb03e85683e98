"""`hipgw doctor`: what could keep hipgw from working on this host, with the remedy for each."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import click

from hipgw.cli import host_checks, install_checks
from hipgw.cli.asking import EXIT_CODES, control_options, print_json
from hipgw.cli.checks import FAIL, OK, WARN, Check, HostFiles
from hipgw.cli.rendering import bold, duration
from hipgw.cli.run import DEFAULT_CONFIG
from hipgw.compat.control_client import ControlClient, ControlError, printable
from hipgw.daemon.cipher_views import cipher_checks, cipher_rows, look_at_ciphers
from hipgw.daemon.config import Config
from hipgw.daemon.kernel_esp import look_at_kernel_esp
from hipgw.errors import HostError


@click.command(
    epilog=f"""\
\b
Examples:
  hipgw doctor
  hipgw doctor -c gateway.toml --json
{EXIT_CODES}
A check that fails makes 1; a warning does not.
"""
)
@click.option(
    "-c",
    "--config",
    "config_path",
    metavar="FILE",
    default=DEFAULT_CONFIG,
    show_default=True,
    help="Configuration to look at.",
)
@control_options
@click.pass_context
def doctor(ctx: click.Context, config_path: str, socket_path: str, *, as_json: bool) -> None:
    """Check this host, this installation and the daemon.

    Works without a daemon; with one, its own findings are added.
    """
    source = ctx.get_parameter_source("config_path")
    is_default = source is click.core.ParameterSource.DEFAULT
    kernel_esp = look_at_kernel_esp()
    ciphers = CipherReport()
    checks = run_checks(
        Path(config_path),
        socket_path,
        kernel_esp.detail,
        config_is_default=is_default,
        ciphers=ciphers,
    )
    if as_json:
        print_json(
            {
                "checks": [asdict(check) for check in checks],
                "kernel_esp": list(kernel_esp.rows),
                "ciphers": ciphers.rows,
            }
        )
    else:
        click.echo(render_checks(checks))
    if any(check.outcome == FAIL for check in checks):
        ctx.exit(1)


@dataclass(slots=True)
class CipherReport:
    """Which library carries which suite, as rows for `--json`: the daemon's, or as tried now."""

    rows: list[dict[str, Any]] = field(default_factory=list)


def run_checks(
    config_path: Path,
    socket_path: str,
    kernel_esp: str,
    *,
    config_is_default: bool,
    files: HostFiles | None = None,
    ciphers: CipherReport | None = None,
) -> list[Check]:
    """Every check in the order in which a user would mend things.

    Args:
        config_path: configuration to look at.
        socket_path: where a daemon would answer.
        kernel_esp: what the kernel's own ESP can carry, in words.
        config_is_default: nobody asked for this configuration.
        files: of the host.
        ciphers: written, its rows.
    """
    files = files or HostFiles()
    ciphers = ciphers if ciphers is not None else CipherReport()
    daemon_check, daemon, daemon_findings = check_daemon(socket_path, ciphers)
    config_check, config = install_checks.check_config(config_path, is_default=config_is_default)
    port = config.network.udp_port if config else host_checks.HIP_UDP_PORT
    privileged = [
        host_checks.check_privileges(files),
        host_checks.check_tun(files),
        host_checks.check_raw_sockets(),
    ]
    return [
        install_checks.check_python(),
        install_checks.check_extension(),
        install_checks.check_libcrypto(),
        *(as_bystander(check) if daemon else check for check in privileged),
        host_checks.check_udp_port(daemon, port),
        host_checks.check_ipv6(files),
        config_check,
        *([install_checks.check_keys(config.identity.directory)] if config else []),
        host_checks.check_kernel_esp(kernel_esp),
        host_checks.check_receive_buffer(files),
        host_checks.check_packet_filter(files),
        daemon_check,
        *(daemon_findings if daemon else try_ciphers(config, ciphers)),
    ]


def try_ciphers(config: Config | None, report: CipherReport) -> list[Check]:
    """What a daemon would choose for each suite, by trying it now."""
    try:
        choices = look_at_ciphers(config.offload.crypto if config else "auto")
    except HostError as error:
        return [Check("crypto", FAIL, str(error), "see [offload] crypto")]
    report.rows = cipher_rows(choices)
    return [_check_of(found) for found in cipher_checks(choices)]


def as_bystander(check: Check) -> Check:
    """A running daemon has its privileges already: this user's lack of them is only a warning."""
    if check.outcome != FAIL:
        return check
    return Check(check.name, WARN, f"{check.detail}, but a daemon is running", check.remedy)


def check_daemon(
    socket_path: str, ciphers: CipherReport | None = None
) -> tuple[Check, dict[str, Any] | None, list[Check]]:
    """Whether a daemon answers; its `status`, and its own findings; `ciphers` gets its rows."""
    client = ControlClient(socket_path, timeout_s=5.0)
    try:
        status = printable(client.call("status"))
        answer = printable(client.call("doctor"))
    except ControlError as error:
        outcome = WARN if error.code in {"not_running", "permission_denied"} else FAIL
        return Check("daemon", outcome, error.message, error.remedy), None, []
    try:
        host = status["host"]
        detail = (
            f"version {host['version']}, pid {host['pid']}, up for {duration(host['uptime_s'])}"
        )
        if ciphers is not None:
            ciphers.rows = list(answer.get("ciphers", []))
        findings = [_check_of(found) for found in answer.get("checks", [])]
        return Check("daemon", OK, detail), status, findings
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        detail = f"its answer is not as expected ({type(error).__name__}: {error})"
        return Check("daemon", FAIL, detail, "restart the daemon: versions differ"), None, []


def _check_of(found: dict[str, Any]) -> Check:
    """A finding of the daemon; an outcome that we do not know counts as a failure."""
    return Check(
        str(found["name"]),
        found["outcome"] if found["outcome"] in {OK, WARN} else FAIL,
        str(found["detail"]),
        str(found.get("remedy") or ""),
    )


def render_checks(checks: list[Check]) -> str:
    """One line for each check, a second one with the remedy, and a count at the end."""
    lines = []
    for check in checks:
        shown = check.outcome.ljust(4)
        mark = shown if check.outcome == OK else bold(shown)
        lines.append(f"{mark}  {check.name}: {check.detail}")
        if check.remedy and check.outcome != OK:
            lines.append(f"      remedy: {check.remedy}")
    counts = Counter(check.outcome for check in checks)
    lines.append("")
    lines.append(f"{counts[OK]} ok, {counts[WARN]} warn, {counts[FAIL]} fail")
    return "\n".join(lines)
