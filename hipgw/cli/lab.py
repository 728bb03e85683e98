"""`hipgw lab`: networks of namespaces in which hipgw can be tried without a second machine."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, TypeVar

import click

from hipgw.cli.asking import EXIT_CODES, json_option, print_json
from hipgw.cli.lab_ending import said_to_user
from hipgw.cli.lab_text import lab_document, lab_table, labs_table, ping_hint, staying_text
from hipgw.errors import HipgwError, LocalProtocolError

if TYPE_CHECKING:
    from hipgw.lab.network import Lab

TOPOLOGY_NAMES: Final = ("pair", "multihomed", "datacenter")
WATCH_S: Final = 0.5

Command = TypeVar("Command", bound=Callable[..., Any])


def _network_options(command: Command) -> Command:
    for option in (
        click.option(
            "--family",
            type=click.Choice(["4", "6"]),
            help="Addresses that the hosts are told of each other.  [default: 4, or 6 with v6]",
        ),
        click.option(
            "--underlay",
            type=click.Choice(["v4", "v6", "both"]),
            default="both",
            show_default=True,
            help="Addresses of the hosts on the wire.",
        ),
        click.option(
            "--encapsulation",
            type=click.Choice(["raw", "udp"]),
            default="raw",
            show_default=True,
            help="How the daemons send HIP and ESP.",
        ),
        click.option(
            "--mtu",
            type=click.IntRange(1280, 65535),
            metavar="OCTETS",
            help="MTU of the wires.  [default: 1500; 9000 in a datacenter]",
        ),
        click.option("--name", metavar="NAME", help="Name of the lab.  [default: the topology's]"),
        click.argument("topology", type=click.Choice(TOPOLOGY_NAMES)),
    ):
        command = option(command)
    return command


@click.group(
    epilog=f"""\
\b
Examples:
  hipgw lab demo                                    show everything, leave nothing
  hipgw lab run pair                                two daemons until Ctrl-C
  hipgw lab exec pair a -- hipgw status             in another terminal
  hipgw lab exec pair a -- ping 1.0.1.2
  hipgw lab down pair
{EXIT_CODES}
"""
)
def lab() -> None:
    """Build networks of namespaces for trying hipgw.  Needs root."""


@lab.command(
    epilog=f"""\
\b
Examples:
  hipgw lab up pair
  hipgw lab up pair --mtu 9000 --name jumbo --encapsulation udp
  hipgw lab run datacenter --detach && hipgw lab exec datacenter web1 -- ping 192.168.8.2
{EXIT_CODES}
"""
)
@_network_options
@json_option
def up(topology: str, *, as_json: bool, **options: Any) -> None:
    """Make the namespaces, wires, keys and configurations of TOPOLOGY; start nothing.

    It stays until `hipgw lab down`.
    """
    with said_to_user():
        made = _described_lab(topology, is_owned=False, **options)
        made.up()
        if as_json:
            print_json(lab_document(made))
            return
        click.echo(lab_table(made))
        host = made.hosts[0]
        click.echo(f"start a daemon:  hipgw lab exec {made.name} {host.name} -- "
                   f"hipgw run -c {host.files.config}")  # fmt: skip
        click.echo(f"take it down:    hipgw lab down {made.name}")


@lab.command(
    epilog=f"""\
\b
Examples:
  hipgw lab run pair
  hipgw lab run pair --detach && hipgw lab exec pair a -- hipgw status
{EXIT_CODES}
"""
)
@_network_options
@click.option("--detach", is_flag=True, help="Return when the daemons are ready; all stays up.")
@json_option
def run(topology: str, *, detach: bool, as_json: bool, **options: Any) -> None:
    """Make TOPOLOGY and start the daemon of every host; take all down on Ctrl-C."""
    with said_to_user():
        made = _described_lab(topology, is_owned=not detach, **options)
        made.up()
        is_to_stay = False
        try:
            click.echo("starting the daemons ...", err=True)
            made.start_daemons()
            if as_json:
                print_json(lab_document(made))
            else:
                click.echo(lab_table(made))
                click.echo(ping_hint(made))
            is_to_stay = detach
            if not detach:
                click.echo("Ctrl-C takes it down.", err=True)
                _watch(made)
        except KeyboardInterrupt:
            click.echo("", err=True)
        finally:
            if not is_to_stay:
                click.echo("taking it down ...", err=True)
                _say_staying(made.down())


@lab.command(
    name="exec",
    context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False},
    epilog="""\
\b
Examples:
  hipgw lab exec pair a -- hipgw status
  hipgw lab exec pair b -- tcpdump -ni eth0
  hipgw lab exec pair a -- bash
Exit code: that of the command; 1 when there is no such lab or host.
""",
)
@click.argument("name")
@click.argument("host")
@click.argument("command", nargs=-1, required=True, type=click.UNPROCESSED)
def exec_(name: str, host: str, command: tuple[str, ...]) -> None:
    """Run COMMAND on HOST of the lab NAME.

    `hipgw` in it asks that host's daemon (HIPGW_SOCKET is set).
    """
    from hipgw.lab.commands import become

    argv = command[1:] if command[0] == "--" else command
    if not argv:
        raise click.UsageError("give a command after --")
    with said_to_user():
        become(name, host, argv)


@lab.command(
    epilog=f"""\
\b
Examples:
  hipgw lab down pair
  hipgw lab down --all
{EXIT_CODES}
"""
)
@click.argument("name", required=False)
@click.option("--all", "is_all", is_flag=True, help="All labs that no running process holds.")
def down(name: str | None, *, is_all: bool) -> None:
    """Stop what was started in the lab NAME and remove it, also after a kill -9 of its maker."""
    if is_all == (name is not None):
        raise click.UsageError("give either the name of a lab or --all")
    from hipgw.lab.network import require_root, take_down
    from hipgw.lab.state import lab_names, load_state

    with said_to_user():
        require_root()
        if name is not None:
            if name not in lab_names():
                load_state(name)  # says that there is none
            _say_staying(take_down(name))
            click.echo(f"lab {name} is down")
            return
        for each in lab_names():
            holder = _holder(each)
            if holder is not None:
                click.echo(f"lab {each} is held by process {holder}: left as it is", err=True)
                continue
            _say_staying(take_down(each))
            click.echo(f"lab {each} is down")


@lab.command(
    name="list",
    epilog=f"""\
\b
Examples:
  hipgw lab list
  hipgw lab list --json
{EXIT_CODES}
""",
)
@json_option
def list_(*, as_json: bool) -> None:
    """List the labs that are up."""
    from hipgw.lab.hosts import process_directory
    from hipgw.lab.network import require_root
    from hipgw.lab.processes import recorded_processes
    from hipgw.lab.state import lab_names, load_state

    documents: list[dict[str, Any]] = []
    with said_to_user():
        require_root()
        for name in lab_names():
            try:
                state = load_state(name)
            except HipgwError:
                documents.append({"name": name, "is_complete": False})
                continue
            running = recorded_processes(process_directory(name))
            documents.append(
                {
                    "name": name,
                    "is_complete": True,
                    "topology": state.topology,
                    "hosts": [host.name for host in state.hosts],
                    "mtu_octets": state.mtu_octets,
                    "encapsulation": state.encapsulation,
                    "age_s": max(0.0, time.time() - state.created_s),
                    "daemons": sum(record.role == "daemon" for record in running),
                    "owner_pid": state.owner_pid,
                    "is_abandoned": state.is_abandoned,
                }
            )
    if as_json:
        print_json({"labs": documents})
    elif not documents:
        click.echo("no lab is up; make one with `hipgw lab run pair`")
    else:
        click.echo(labs_table(documents))


@lab.command(
    epilog=f"""\
\b
Examples:
  hipgw lab demo
  hipgw lab demo --seconds 10 --json
{EXIT_CODES}
"""
)
@click.option(
    "--seconds",
    type=click.IntRange(1, 600),
    default=3,
    show_default=True,
    help="Length of each iperf3 run.",
)
@json_option
def demo(*, seconds: int, as_json: bool) -> None:
    """Show real traffic between two daemons, over raw ESP and over UDP, and leave nothing behind.

    For each: the four packets of the base exchange with their times, pings between HITs and
    between LSIs, an iperf3 TCP run over each, and `hipgw status`.
    """
    from hipgw.lab.demo import as_document, run_demo

    with said_to_user():
        started = time.monotonic()
        results = run_demo(lambda line: click.echo(line, err=as_json), throughput_s=seconds)
        if as_json:
            print_json(as_document(results))
        else:
            click.echo(f"\nall steps passed in {time.monotonic() - started:.0f} s; nothing is left")


def _described_lab(
    topology: str,
    *,
    is_owned: bool,
    name: str | None,
    mtu: int | None,
    encapsulation: Any,
    underlay: Any,
    family: str | None,
) -> Lab:
    from hipgw.lab.network import Lab
    from hipgw.lab.topology import TOPOLOGIES

    default_family = "6" if underlay == "v6" else "4"
    if underlay == "v4" and family == "6":
        raise LocalProtocolError("--family 6 needs IPv6 on the wire: --underlay v6 or both")
    if underlay == "v6" and family == "4":
        raise LocalProtocolError("--family 4 needs IPv4 on the wire: --underlay v4 or both")
    sizes = {} if mtu is None else {"mtu_octets": mtu}
    return Lab(
        TOPOLOGIES[topology](underlay=underlay, **sizes),
        name=name or topology,
        encapsulation=encapsulation,
        family=6 if (family or default_family) == "6" else 4,
        is_owned=is_owned,
    )


def _watch(made: Lab) -> None:
    """Return when a daemon has ended or somebody else has taken the lab down."""
    while all(host.daemon is not None for host in made.hosts if host.speaks_hip):
        time.sleep(WATCH_S)
    for host in made.hosts:
        if host.speaks_hip and host.daemon is None and host.files.directory.exists():
            click.echo(f"the daemon of host {host.name} has ended:", err=True)
            click.echo(host.log_tail(), err=True)


def _say_staying(staying: dict[int, str]) -> None:
    if staying:
        click.echo(staying_text(staying), err=True)


def _holder(name: str) -> int | None:
    """The other, running process that will take this lab down itself."""
    from hipgw.lab.state import load_state

    with contextlib.suppress(HipgwError):
        state = load_state(name)
        if state.is_owner_running and state.owner_pid != os.getpid():
            return state.owner_pid
    return None
