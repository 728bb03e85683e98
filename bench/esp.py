"""ESP kernels alone: `python -m bench.esp [--json FILE] [--octets 64,1420,8900]`."""

from __future__ import annotations

import argparse
import json
import statistics
from pathlib import Path

from bench.machine import describe
from hipgw.perf.esp import SIZES, KernelFigure, measure_esp

HEADER = (
    f"{'suite':<24} {'library':<28} {'octets':>6} {'seal ns':>8} {'open ns':>8} {'bare ns':>8}"
    f" {'Gbit/s':>7} {'Mpps':>6}  bare/seal"
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--octets", default=",".join(map(str, SIZES)), help="of inner payload")
    parser.add_argument("--json", type=Path, help="write every round there")
    options = parser.parse_args()
    machine = describe()
    print(machine)
    print(HEADER)
    figures = measure_esp(
        sizes=[int(octets) for octets in options.octets.split(",")],
        on_figure=lambda figure: print(row(figure), flush=True),
    )
    if options.json:
        report = {"machine": machine, "figures": [figure.as_json() for figure in figures]}
        options.json.write_text(json.dumps(report, indent=2) + "\n")


def row(figure: KernelFigure) -> str:
    """A line of the table: medians, and the ratio with its spread."""
    ratio = ""
    if figure.ratio is not None:
        ratios = [b / s for b, s in zip(figure.bare_ns, figure.seal_ns, strict=True)]
        ratio = f"{figure.ratio:.2f} [{min(ratios):.2f} .. {max(ratios):.2f}]"
    bare = f"{statistics.median(figure.bare_ns):>8.1f}" if figure.bare_ns else " " * 8
    return (
        f"{figure.suite:<24} {figure.library[:28]:<28} {figure.octets:>6}"
        f" {statistics.median(figure.seal_ns):>8.1f} {statistics.median(figure.open_ns):>8.1f}"
        f" {bare} {figure.seal_gbit_s:>7.1f} {figure.seal_mpps:>6.2f}  {ratio}"
    )


if __name__ == "__main__":
    main()
