"""A packet's cost from one SA to a million: `python -m bench.sas [--counts 1,1000]`."""

from __future__ import annotations

import argparse
import json
import statistics
from contextlib import ExitStack
from pathlib import Path

from bench.machine import describe
from hipgw._fastpath import ipsec_mb
from hipgw.dataplane.ciphers import variants_of
from hipgw.perf.sa_worker import WorkerRun
from hipgw.perf.sas import COUNTS, ROUNDS, ScaleFigure, library_of, measure_sas, variant
from hipgw.values import EspSuite


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--counts", default=",".join(map(str, COUNTS)), help="of SA pairs")
    parser.add_argument("--octets", default="64,1420", help="of inner payload")
    parser.add_argument("--suite", default=EspSuite.AES_GCM_16.name, help="of the SAs in memory")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--no-worker", action="store_true", help="nodes alone")
    parser.add_argument("--json", type=Path, help="write every round there")
    options = parser.parse_args()
    suite = EspSuite[options.suite]
    machine = describe()
    print(machine)
    print(suite.name)
    print(
        f"{'library':<30} {'octets':>6} {'SA pairs':>9} {'seal ns':>8} {'open ns':>8}"
        f" {'octets/pair':>11} {'pairs/s':>8}  cost against the fewest"
    )
    firsts: dict[tuple[str, int], ScaleFigure] = {}

    def show(figure: ScaleFigure) -> None:
        first = firsts.setdefault((figure.library, figure.octets), figure)
        print(row(figure, figure.ratios_to(first)), flush=True)

    figures = measure_sas(
        counts=[int(count) for count in options.counts.split(",")],
        octets=[int(octets) for octets in options.octets.split(",")],
        variants=(*variants_of(suite)[:1], ""),
        suite=suite,
        rounds=options.rounds,
        on_figure=show,
    )
    if not options.no_worker:
        worker_table(options.rounds, [int(count) for count in options.counts.split(",")])
    if options.json:
        report = {"machine": machine, "figures": [figure.as_json() for figure in figures]}
        options.json.write_text(json.dumps(report, indent=2) + "\n")


def worker_table(rounds: int, counts: list[int]) -> None:
    """CPU time of the whole outbound worker, for each library and count."""
    print("\nwhole outbound worker, system calls included, 1300 octets, no trains")
    for name in (*ipsec_mb.variants()[:1], ""):
        with ExitStack() as stack:
            with variant(name):
                runs = [stack.enter_context(WorkerRun(count, 1300)) for count in counts]
            spent: list[list[float]] = [[] for _ in runs]
            for turn in range(rounds + 1):
                for run, into in zip(runs, spent, strict=True):
                    cost_ns = run.cpu_ns_per_packet(turn)
                    if turn:  # the first round warms up
                        into.append(cost_ns)
        for run, costs in zip(runs, spent, strict=True):
            ratios = [cost / first for cost, first in zip(costs, spent[0], strict=True)]
            print(
                f"{library_of(name)[:30]:<30} {run.pairs:>9} SA pairs"
                f" {statistics.median(costs):>7.0f} ns CPU a packet"
                f"  {statistics.median(ratios):.2f} [{min(ratios):.2f} .. {max(ratios):.2f}]"
            )


def row(figure: ScaleFigure, ratios: list[float]) -> str:
    """A line of the table: medians, and the ratio with its spread."""
    return (
        f"{figure.library[:30]:<30} {figure.octets:>6} {figure.pairs:>9}"
        f" {statistics.median(figure.seal_ns):>8.1f} {statistics.median(figure.open_ns):>8.1f}"
        f" {figure.octets_per_pair:>11.0f} {figure.installs_s:>8.0f}"
        f"  {statistics.median(ratios):.2f} [{min(ratios):.2f} .. {max(ratios):.2f}]"
    )


if __name__ == "__main__":
    main()
