"""`hipgw bench bex`: base exchanges between two hosts of a lab, as the first ping sees them."""

from __future__ import annotations

import contextlib
import os
import re
import time
from collections.abc import Callable
from typing import Final

from hipgw.errors import HostError
from hipgw.lab.configs import EncapsulationName
from hipgw.lab.network import Lab
from hipgw.perf import machine
from hipgw.perf.contestants import LAB_PREFIX
from hipgw.perf.figures import series
from hipgw.perf.report import Report

CLOSE_S: Final = 0.2
"""How long CLOSE and CLOSE_ACK are given."""
TIME: Final = re.compile(r"time=([\d.]+) ms")
GROUP: Final = "base exchange, first packet to reply"


def first_ping_ms(lab: Lab) -> float:
    """Close the association of a and b, then ping: I1, R1, I2, R2, ESP both ways.

    Raises:
        HostError: no answer.
    """
    a, b = lab.host("a"), lab.host("b")
    a.run(["hipgw", "close", str(b.hit)], check=False)
    time.sleep(CLOSE_S)
    said = a.run(["ping", "-n", "-c", "1", "-W", "5", str(b.hit)]).stdout
    found = TIME.search(said)
    if found is None:
        raise HostError(f"no answer to the first ping: {said}")
    return float(found[1])


def run(
    rounds: int, encapsulations: tuple[EncapsulationName, ...], *, step: Callable[[str], None]
) -> Report:
    """One exchange of each encapsulation in a round.

    Raises:
        HostError: a lab did not come up, or an exchange failed.
    """
    described = machine.describe()
    labs: dict[EncapsulationName, Lab] = {}
    times: dict[EncapsulationName, list[float]] = {one: [] for one in encapsulations}
    with contextlib.ExitStack() as stack:
        for encapsulation in times:
            name = f"{LAB_PREFIX}{os.getpid()}-bex-{encapsulation}"
            lab = stack.enter_context(Lab.pair(name=name, encapsulation=encapsulation))
            lab.start_daemons()
            labs[encapsulation] = lab
        for _ in range(rounds):
            for encapsulation, lab in labs.items():
                times[encapsulation].append(first_ping_ms(lab))
                step(encapsulation)
    figures = tuple(series(f"hipgw {one}", "ms", values, GROUP) for one, values in times.items())
    options = {"rounds": rounds, "encapsulations": list(encapsulations)}
    return Report("bex", described, options, figures)
