"""`hipgw bench`: figures of this machine, in interleaved rounds, with what they are worth."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from hipgw.cli.asking import EXIT_CODES, CommandFailed, json_option, print_json
from hipgw.cli.bench_options import (
    FILE,
    list_option,
    numbers,
    output_options,
    rival_options,
    rounds_option,
    seconds_option,
    words_of,
)
from hipgw.cli.lab_ending import said_to_user
from hipgw.cli.rendering import duration

if TYPE_CHECKING:
    from hipgw.perf.report import Report
    from hipgw.perf.rivals.contract import Rival

ENCAPSULATIONS: Final = ("udp", "raw")
INTERCEPTS: Final = ("tun", "nfqueue")


@click.group(
    invoke_without_command=True,
    epilog=f"""\
\b
Examples:
  hipgw bench esp                                       kernels in memory
  hipgw bench tunnel --json new.json --plot new.svg
  hipgw bench --vs wireguard-go,openvpn --install       tunnels side by side
  hipgw bench compare old.json new.json
{EXIT_CODES}
""",
)
@rival_options
@click.pass_context
def bench(ctx: click.Context, *, vs: tuple[str, ...], install: bool) -> None:
    """Measure this machine.  Everything but `esp` and `compare` needs root.

    With `--vs` alone: `hipgw bench tunnel` against these rivals.

    All is taken in rounds, each contestant in turn; a difference that is inside the noise is not
    called one.
    """
    if ctx.invoked_subcommand is None:
        if not vs:
            raise click.UsageError("say what: esp, tunnel, bex, nfqueue, compare, or --vs LIST")
        ctx.invoke(tunnel, vs=vs, install=install)
    elif vs or install:
        raise click.UsageError(f"give --vs and --install after {ctx.invoked_subcommand}")


@bench.command(
    epilog=f"""\
\b
Examples:
  hipgw bench esp
  hipgw bench esp --suites AES_GCM_16 --sizes 64,1420,8900 --batches 1,256
{EXIT_CODES}
"""
)
@click.option("--suites", metavar="LIST", default="", help="ESP suites, as `hipgw sas` has them.")
@list_option("--sizes", "sizes", numbers(1, 65000), "64,256,1420,4096,8900", "Octets of payload.")
@list_option("--batches", "batches", numbers(1, 256), "32,256", "Packets in a batch.")
@click.option(
    "--backends",
    metavar="LIST",
    default="",
    help="libcrypto, variants of intel-ipsec-mb, auto.  [default: all here but auto]",
)
@rounds_option(7)
@output_options
def esp(
    *,
    suites: str,
    sizes: tuple[int, ...],
    batches: tuple[int, ...],
    backends: str,
    rounds: int,
    json_file: Path | None,
    plot: Path | None,
) -> None:
    """Seal and open in memory: Mpps, Gbit/s, cycles per octet, ratio to the bare cipher."""
    from hipgw.perf import esp as kernels
    from hipgw.values import EspSuite

    plan = kernels.EspPlan(
        rounds=rounds,
        sizes=sizes,
        batches=batches,
        backends=tuple(word.strip() for word in backends.split(",") if word.strip()),
    )
    if suites:
        plan = kernels.with_suites(plan, [_suite(word, EspSuite) for word in suites.split(",")])
    with said_to_user():
        _check_files(json_file, plot)
        cases = list(plan.cases())
        with click.progressbar(length=len(cases), label="kernels", file=sys.stderr) as bar:
            report = kernels.run(plan, step=lambda _: bar.update(1))
        _give_out(report, json_file, plot)


@bench.command(
    epilog=f"""\
\b
Examples:
  hipgw bench tunnel --mtu 1500 --streams 1 --udp-rate 400
  hipgw bench tunnel --offloads on,off --encapsulation udp
  hipgw bench tunnel --vs wireguard-go,nebula --install --rounds 7 --json all.json
{EXIT_CODES}
"""
)
@rounds_option(5)
@seconds_option
@list_option("--mtu", "mtus", numbers(1280, 65535), "1500", "MTUs of the wire.")
@list_option("--streams", "streams", numbers(1, 128), "1,4,16", "TCP streams at once.")
@list_option(
    "--udp-rate",
    "udp_rates",
    numbers(1, 1_000_000),
    "100,200,400",
    "Offered Mbit/s of UDP in 1300 octets.",
)
@list_option(
    "--udp-blast", "blasts", numbers(16, 65000), "120,1300", "Octets of UDP sent as fast as goes."
)
@list_option(
    "--encapsulation",
    "encapsulations",
    words_of(*ENCAPSULATIONS),
    "udp,raw",
    "How the daemons send ESP: udp, raw.",
)
@list_option(
    "--offloads",
    "offloads",
    words_of("on", "off"),
    "on",
    "Segmentation offloads of hipgw: on, off.",
)
@list_option(
    "--intercept",
    "intercepts",
    words_of(*INTERCEPTS),
    "tun",
    "How the daemons take packets: tun, nfqueue.",
)
@list_option(
    "--workers", "workers", numbers(0, 16), "0", "Pairs of workers; 0: as the daemons choose."
)
@rival_options
@output_options
def tunnel(
    *,
    rounds: int,
    seconds: int,
    mtus: tuple[int, ...],
    streams: tuple[int, ...],
    udp_rates: tuple[int, ...],
    blasts: tuple[int, ...],
    encapsulations: tuple[Any, ...],
    offloads: tuple[str, ...],
    intercepts: tuple[str, ...],
    workers: tuple[int, ...],
    vs: tuple[str, ...],
    install: bool,
    json_file: Path | None,
    plot: Path | None,
) -> None:
    """Tunnels between two hosts of a lab: TCP, UDP loss, latency, CPU time.

    The bare wire is always among them.  Give an empty LIST ("") to leave a measurement out.
    """
    from hipgw.perf.contestants import Way
    from hipgw.perf.tunnel import TunnelPlan

    plan = TunnelPlan(
        rounds=rounds,
        seconds=seconds,
        mtus=mtus,
        streams=streams,
        udp_mbit_per_s=udp_rates,
        blast_octets=blasts,
        ways=tuple(
            Way(encapsulation, offload == "on", intercept, pairs)
            for encapsulation in encapsulations
            for intercept in intercepts
            for offload in offloads
            for pairs in workers
        ),
    )
    _measure_tunnels(plan, vs, install=install, json_file=json_file, plot=plot)


@bench.command(
    epilog=f"""\
\b
Examples:
  hipgw bench nfqueue
  hipgw bench nfqueue --rounds 7 --json queue.json
{EXIT_CODES}
"""
)
@rounds_option(5)
@seconds_option
@output_options
def nfqueue(*, rounds: int, seconds: int, json_file: Path | None, plot: Path | None) -> None:
    """Interception by netfilter queues beside the TUN device: TCP, one stream, MTU 1500."""
    from hipgw.perf.contestants import Way
    from hipgw.perf.tunnel import TunnelPlan

    plan = TunnelPlan(
        rounds=rounds,
        seconds=seconds,
        mtus=(1500,),
        streams=(1,),
        udp_mbit_per_s=(),
        blast_octets=(),
        ways=tuple(
            Way(encapsulation, intercept=intercept)
            for encapsulation in ("udp", "raw")
            for intercept in INTERCEPTS
        ),
    )
    _measure_tunnels(plan, (), install=False, json_file=json_file, plot=plot)


@bench.command(
    epilog=f"""\
\b
Examples:
  hipgw bench bex
  hipgw bench bex --rounds 51 --encapsulation udp
{EXIT_CODES}
"""
)
@rounds_option(21)
@list_option(
    "--encapsulation",
    "encapsulations",
    words_of(*ENCAPSULATIONS),
    "udp,raw",
    "How the daemons send HIP and ESP: udp, raw.",
)
@output_options
def bex(
    *, rounds: int, encapsulations: tuple[Any, ...], json_file: Path | None, plot: Path | None
) -> None:
    """Base exchanges: from the first packet of a fresh association to its reply."""
    from hipgw.lab.network import require_root
    from hipgw.perf import bex as exchanges

    with said_to_user():
        require_root()
        _check_files(json_file, plot)
        _clear_abandoned()
        length = rounds * len(encapsulations)
        with click.progressbar(length=length, label="base exchanges", file=sys.stderr) as bar:
            report = exchanges.run(rounds, encapsulations, step=lambda _: bar.update(1))
        _give_out(report, json_file, plot)


@bench.command(
    epilog="""\
\b
Examples:
  hipgw bench compare old.json new.json
Exit codes: 0 compared, 1 the two cannot be compared, 2 wrong usage.
"""
)
@click.argument("before", type=FILE)
@click.argument("after", type=FILE)
@json_option
def compare(before: Path, after: Path, *, as_json: bool) -> None:
    """Say what changed from report BEFORE to report AFTER, and what only seems to have.

    Where both have a reference (the bare wire, the bare cipher), figures are divided by it first.
    """
    from hipgw.cli.bench_text import changes_document, changes_table
    from hipgw.perf.compare import changes, other_machine
    from hipgw.perf.report import read

    with said_to_user():
        old, new = read(before), read(after)
        made = changes(old, new)
        for line in other_machine(old, new):
            click.echo(f"another machine: {line}", err=True)
        if as_json:
            print_json(changes_document(made))
        else:
            click.echo(changes_table(made))


def _measure_tunnels(
    plan: Any,
    vs: Sequence[str],
    *,
    install: bool,
    json_file: Path | None,
    plot: Path | None,
) -> None:
    from hipgw.lab.network import require_root
    from hipgw.perf import tunnel as tunnels

    with said_to_user():
        require_root()
        _check_files(json_file, plot)
        if not plan.ways or not plan.mtus or not plan.measurements:
            raise click.UsageError("nothing to measure: give at least one of each kind")
        rivals = _rivals(vs, install=install)
        _clear_abandoned()
        lasting = duration(plan.lasting_s(len(rivals)))
        click.echo(f"takes about {lasting}; Ctrl-C takes everything down", err=True)
        length = tunnels.steps(plan, len(rivals))
        with click.progressbar(
            length=length, label="tunnels", file=sys.stderr, item_show_func=lambda name: name or ""
        ) as bar:
            report = tunnels.run(
                plan,
                rivals,
                say=lambda line: click.echo(line, err=True),
                step=lambda name: bar.update(1, name),
            )
        _give_out(report, json_file, plot)


def _rivals(names: Sequence[str], *, install: bool) -> list[Rival]:
    from hipgw.perf.rivals import table

    rivals = table.rivals_of(names)
    missing = table.missing_packages(rivals)
    if missing and not install:
        raise CommandFailed(
            f"not installed: {' '.join(missing)}", "install these packages, or say --install"
        )
    if missing:
        click.echo(f"installing {' '.join(missing)}", err=True)
        table.install_missing(rivals)
    return rivals


def _clear_abandoned() -> None:
    """What a bench that was killed has left."""
    from hipgw.lab.network import clear_abandoned
    from hipgw.perf.contestants import LAB_PREFIX

    clear_abandoned(LAB_PREFIX, lambda name: click.echo(f"cleared lab {name}", err=True))


def _suite(word: str, suites: Any) -> Any:
    names = {suite.name.replace("-", "_"): suite for suite in suites}
    wanted = word.strip().upper().replace("-", "_")
    if wanted not in names:
        raise click.UsageError(f"no ESP suite {word.strip()!r}: choose from {', '.join(names)}")
    return names[wanted]


def _check_files(json_file: Path | None, plot: Path | None) -> None:
    """Refuse files that could not be written before anything is measured."""
    for file in (json_file, plot):
        if file is not None and not file.absolute().parent.is_dir():
            raise CommandFailed(f"{file}: no such directory", "make it, or choose another")
    if plot is not None:
        from hipgw.perf.plots import check_plot

        check_plot(plot)


def _give_out(report: Report, json_file: Path | None, plot: Path | None) -> None:
    """Markdown on standard output; files where they were asked for."""
    import json

    from hipgw.perf.report import markdown

    click.echo(markdown(report))
    if json_file is not None:
        try:
            json_file.write_text(json.dumps(report.as_json(), indent=1) + "\n")
        except OSError as error:
            raise CommandFailed(f"{json_file}: {error.strerror}") from error
    if plot is not None:
        from hipgw.perf.plots import draw

        draw(report, plot)
