"""`hipgw`: the command and the table of its subcommands.

A subcommand's module is imported when that subcommand runs, and no earlier: the help of the whole
command and shell completion read the table below instead.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from typing import Final

import click
from click.shell_completion import CompletionItem

from hipgw import __version__


@dataclass(frozen=True, slots=True)
class Subcommand:
    """Where a subcommand lives, and its line in `hipgw --help`."""

    module: str
    attribute: str
    summary: str


SUBCOMMANDS: Final = {
    "run": Subcommand("hipgw.cli.run", "run", "Run the daemon in the foreground."),
    "status": Subcommand("hipgw.cli.status", "status", "Show this host and its peers."),
    "peers": Subcommand("hipgw.cli.peers", "peers", "List peers, one line each."),
    "sas": Subcommand("hipgw.cli.sas", "sas", "List security associations."),
    "connect": Subcommand(
        "hipgw.cli.associations", "connect", "Make an association with a peer now."
    ),
    "close": Subcommand("hipgw.cli.associations", "close", "Close associations."),
    "rekey": Subcommand("hipgw.cli.associations", "rekey", "Replace the keys with a peer now."),
    "identity": Subcommand(
        "hipgw.cli.identity", "identity", "Identities of the running daemon: list, make, change."
    ),
    "pins": Subcommand(
        "hipgw.cli.pins", "pins", "Hosts found in opportunistic mode, and forget them."
    ),
    "reload": Subcommand("hipgw.cli.reload", "reload", "Read the configuration file again."),
    "drops": Subcommand("hipgw.cli.drops", "drops", "Say which packets were dropped, and why."),
    "doctor": Subcommand("hipgw.cli.doctor", "doctor", "Check this host and its daemon."),
    "key": Subcommand("hipgw.cli.key", "key", "Make and show host identities."),
    "cert": Subcommand("hipgw.cli.cert", "cert", "Issue, show and verify certificates of hosts."),
    "lab": Subcommand("hipgw.cli.lab", "lab", "Build networks of namespaces for trying hipgw."),
    "bench": Subcommand("hipgw.cli.bench", "bench", "Measure this machine, and compare."),
    "hipconf": Subcommand("hipgw.cli.hipconf", "hipconf", "Configure in the words of HIPL."),
}

EPILOG: Final = """\
\b
Examples:
  hipgw run -c /etc/hipgw/hipgw.toml
  hipgw status
  hipgw connect gw2 && ping gw2

\b
Exit codes: 0 done, 1 failed, 2 wrong usage or configuration.
Completion: eval "$(_HIPGW_COMPLETE=bash_source hipgw)"   (or zsh_source, fish_source)
"""


class LazyGroup(click.Group):
    """A group whose subcommands come from `SUBCOMMANDS`, each imported when it is asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        """Names in the order of the table."""
        return list(SUBCOMMANDS)

    def get_command(
        self,
        ctx: click.Context,  # noqa: ARG002
        cmd_name: str,
    ) -> click.Command | None:
        """Import the module of `cmd_name` and return its command, or None for an unknown name."""
        entry = SUBCOMMANDS.get(cmd_name)
        if entry is None:
            return None
        command = getattr(import_module(entry.module), entry.attribute)
        if not isinstance(command, click.Command):
            raise TypeError(f"{entry.module}.{entry.attribute} is not a click command")
        return command

    def format_commands(
        self,
        ctx: click.Context,  # noqa: ARG002
        formatter: click.HelpFormatter,
    ) -> None:
        """Write the table's summaries: no subcommand is imported for `hipgw --help`."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, entry.summary) for name, entry in SUBCOMMANDS.items()])

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Complete from the table: no subcommand is imported for a TAB."""
        return [
            *(
                CompletionItem(name, help=entry.summary)
                for name, entry in SUBCOMMANDS.items()
                if name.startswith(incomplete)
            ),
            *click.Command.shell_complete(self, ctx, incomplete),
        ]


@click.group(
    cls=LazyGroup,
    epilog=EPILOG,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(__version__, "--version", prog_name="hipgw", message="%(prog)s %(version)s")
def hipgw() -> None:
    """Host Identity Protocol gateway (RFC 7401): run it, look at it, tell it what to do."""


def main() -> None:
    """Entry point of the `hipgw` script."""
    hipgw(prog_name="hipgw")
