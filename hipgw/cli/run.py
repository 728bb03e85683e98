"""`hipgw run`: the daemon, or only a look at its configuration."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import click

from hipgw.cli.asking import EXIT_CODES, CommandFailed, ConfigurationRefused
from hipgw.errors import ConfigError, HostError

DEFAULT_CONFIG: Final = "/etc/hipgw/hipgw.toml"


@click.command(
    epilog=f"""\
\b
Examples:
  hipgw run
  hipgw run -c gateway.toml
  hipgw run -c gateway.toml --check
{EXIT_CODES}
"""
)
@click.option(
    "-c",
    "--config",
    "config_path",
    metavar="FILE",
    default=DEFAULT_CONFIG,
    show_default=True,
    help="Configuration, TOML; see hipgw.toml(5).",
)
@click.option("--check", is_flag=True, help="Read the configuration, say whether it is valid, end.")
@click.pass_context
def run(ctx: click.Context, config_path: str, *, check: bool) -> None:
    """Run the daemon in the foreground until SIGINT or SIGTERM.

    Needs root (CAP_NET_ADMIN and CAP_NET_RAW) and /dev/net/tun.  Makes a host identity on the first
    start, and undoes on its end whatever it changed on the host.
    """
    try:
        if check:
            from hipgw.daemon.certificate_config import load_certificates
            from hipgw.daemon.config_file import load_config

            config = load_config(Path(config_path))
            load_certificates(config.certificates, config.certificate_requirements(), ())
            click.echo(f"{config_path}: valid")
            return
        from hipgw.daemon.main import run as run_daemon

        ctx.exit(run_daemon(config_path))
    except ConfigError as error:
        raise ConfigurationRefused(str(error)) from error
    except HostError as error:
        raise CommandFailed(str(error)) from error
