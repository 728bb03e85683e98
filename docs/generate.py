"""Writes the pages that are drawn from tables in the code: `make docs`.

docs/drops.md   every named drop counter, from the three reason tables
docs/states.md  the state machine, from the transition table
docs/conformance.md  RFC clause, module, test, from docs/conformance.toml
docs/interop.md the tables of compatibility switches in it, from their table in the code
"""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Final

from hipgw._fastpath.reasons import REASONS
from hipgw.daemon.drop_reasons import DAEMON_REASONS
from hipgw.proto.states import TRANSITIONS, State
from hipgw.values.quirks import PRESETS, QUIRKS, Quirk, in_order
from hipgw.values.reasons import CONTROL_REASONS
from hipgw.wire import ParameterType

HERE: Final = Path(__file__).parent
NOTE: Final = "<!-- Written by `make docs`; do not edit. -->\n"


def drops_page() -> str:
    """Reason, meaning; control plane, data path, and the daemon between them."""
    parts = [NOTE, "# Drop counters\n"]
    parts.append(
        "A packet that is not forwarded adds one to exactly one of these. `hipgw drops` shows\n"
        "those that are not zero.\n"
    )
    for title, table in (
        ("Control packets", CONTROL_REASONS),
        ("Data path", REASONS),
        ("Daemon", DAEMON_REASONS),
    ):
        parts.append(f"## {title}\n\n| reason | meaning |\n|---|---|")
        parts += [f"| `{name}` | {meaning} |" for name, meaning in table.items()]
        parts.append("")
    return "\n".join(parts)


def states_page() -> str:
    """A diagram without the rows that stay, and every row as a table."""
    parts = [NOTE, "# States of an association\n", "```mermaid", "stateDiagram-v2"]
    names = {state: state.name for state in State}
    parts += [
        f"    {names[before]} --> {names[after]}: {trigger.value}"
        for (before, trigger), after in TRANSITIONS.items()
        if before is not after
    ]
    parts += ["```", "", "| in state | on | next |", "|---|---|---|"]
    parts += [
        f"| {before} | {trigger.value} | {after} |"
        for (before, trigger), after in TRANSITIONS.items()
    ]
    return "\n".join(parts) + "\n"


def conformance_page() -> str:
    """Every clause with its modules and tests; every parameter type with what becomes of it."""
    table = tomllib.loads((HERE / "conformance.toml").read_text())
    parts = [NOTE, "# Conformance\n"]
    parts.append(
        "What the RFCs ask, where the code does it, and which tests would notice if it did not.\n"
        "The rows are in `conformance.toml`; a test checks that every module and test exists.\n"
    )
    parts.append("## Clauses\n\n| RFC | what it asks | module | tests |\n|---|---|---|---|")
    for clause, text, modules, tests in table["clauses"]:
        places = ", ".join(f"`{module}`" for module in modules)
        parts.append(f"| {clause} | {text} | {places} | {_tests(tests)} |")
    parts.append("\n## Parameters\n\n| type | the engine | tests |\n|---|---|---|")
    acted_on = {name: (text, tests) for name, text, tests in table["parameters"]}
    idle = ("does not act on it", ["engine/test_every_parameter.py"])
    for kind in ParameterType:
        text, tests = acted_on.get(kind.name, idle)
        parts.append(f"| {kind.name} ({int(kind)}) | {text} | {_tests(tests)} |")
    return "\n".join(parts) + "\n"


def _tests(names: list[str]) -> str:
    return "<br>".join(f"`{name}`" for name in names)


OTHERS: Final = {
    Quirk.ONE_OCTET_SIGNATURE_ALGORITHM: "HIPL 1.0.8 set to HIPv2, the HHIT fork of OpenHIP",
    Quirk.RESPONDER_SPI: "cutehip of 2025",
}
"""Who needs a switch that is in no preset."""


def switches_table() -> str:
    """What may be switched on for a peer, who needs it, and what it costs."""
    rows = ["| switch | with that peer | rule it leaves | HIP | who needs it | costs |"]
    rows += ["|---|---|---|---|---|---|"]
    for quirk, facts in QUIRKS.items():
        needed = ", ".join(name for name, quirks in PRESETS.items() if quirk in quirks)
        versions = " and ".join(f"v{version}" for version in sorted(facts.versions))
        cells = (f"`{quirk}`", facts.changes, facts.rule, versions, needed or OTHERS[quirk])
        rows.append(f"| {' | '.join(cells)} | {facts.cost} |")
    return "\n".join(rows)


def presets_table() -> str:
    """Which switches an implementation needs."""
    rows = ["| name | switches |", "|---|---|"]
    rows += [
        f"| `{name}` | {', '.join(f'`{quirk}`' for quirk in in_order(quirks))} |"
        for name, quirks in PRESETS.items()
    ]
    return "\n".join(rows)


def interop_page() -> str:
    """The page as it is, with its tables drawn anew between their marks."""
    text = (HERE / "interop.md").read_text()
    for mark, table in (("switches", switches_table), ("presets", presets_table)):
        start, end = f"<!-- {mark}: written by `make docs` -->\n", f"\n<!-- end of {mark} -->"
        before, _, rest = text.partition(start)
        text = before + start + table() + end + rest.partition(end)[2]
    return text


PAGES: Final = {
    "drops.md": drops_page,
    "states.md": states_page,
    "conformance.md": conformance_page,
    "interop.md": interop_page,
}


def main() -> None:
    """Write every page."""
    for name, page in PAGES.items():
        (HERE / name).write_text(page())


if __name__ == "__main__":
    main()
