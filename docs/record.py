"""Runs the commands of the documentation in a lab and puts their real output beside them.

    make record        (root; half a minute)

A console block after `<!-- recorded -->` is run line by line on host a of a pair of gateways; its
`$` lines stay, what they printed follows.  `{hit}`, `{lsi}` and `{ip}` in such a line, and in the
recorded text, stand for host b; README.md gets the output of `hipgw lab demo` in place of the
console block after `<!-- recorded: demo -->`.
"""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Final

from hipgw.lab.hosts import LabHost
from hipgw.lab.network import Lab

ROOT: Final = Path(__file__).parents[1]
BLOCK: Final = re.compile(r"(<!-- recorded -->\n```console\n)(.*?)(```\n)", re.S)
DEMO: Final = re.compile(r"(<!-- recorded: demo -->\n```console\n).*?(```\n)", re.S)
PROGRAMS: Final = {"hipgw": ["hipgw"], "hipconf": ["hipgw", "hipconf"], "ping": ["ping"]}


def run_line(host: LabHost, line: str, folder: str) -> str:
    """What a `$` line prints on a host of the lab; files go to a temporary folder."""
    words = shlex.split(
        line.replace("./keys", f"{folder}/keys").replace(" keys/", f" {folder}/keys/")
    )
    done = host.run([*PROGRAMS[words[0]], *words[1:]], check=False)
    said = (done.stdout + done.stderr).replace(f"{folder}/", "")
    return re.sub(r"(?m)[ \t]+$", "", said)


def record_commands(page: Path) -> None:
    """Fill every recorded block of a page, in order, in one lab."""
    with Lab.pair(name="docs", encapsulation="udp") as lab, tempfile.TemporaryDirectory() as folder:
        lab.start_daemons()
        a, b = lab.host("a"), lab.host("b")
        names = {"{hit}": str(b.hit), "{lsi}": str(b.lsi), "{ip}": str(b.addresses[0])}
        a.run(["ping", "-n", "-c", "3", "-i", "0.2", str(b.hit)])
        a.run(["ping", "-n", "-c", "3", "-i", "0.2", str(b.lsi)])

        def fill(match: re.Match[str]) -> str:
            lines = []
            for line in match[2].splitlines():
                if line.startswith("$ "):
                    asked = re.sub(r"2001:2[0-9a-f:]+", "{hit}", line[2:])
                    asked = re.sub(r"10\.77\.0\.2", "{ip}", asked)
                    for name, value in names.items():
                        asked = asked.replace(name, value)
                    lines += [f"$ {asked}", *run_line(a, asked, folder).splitlines()]
            return match[1] + "\n".join(lines) + "\n" + match[3]

        page.write_text(BLOCK.sub(fill, page.read_text()))


def record_demo(page: Path) -> None:
    """Run the demo and keep what it printed."""
    said = subprocess.run(
        [sys.executable, "-m", "hipgw", "lab", "demo"], check=True, capture_output=True, text=True
    ).stdout
    clean = re.sub(r"(?m)[ \t]+$", "", said)
    page.write_text(DEMO.sub(lambda match: match[1] + clean + match[2], page.read_text()))


def main() -> None:
    """Record both pages."""
    record_commands(ROOT / "docs" / "commands.md")
    record_demo(ROOT / "README.md")


if __name__ == "__main__":
    main()
