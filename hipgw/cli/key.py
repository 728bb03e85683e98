"""`hipgw key`: host identities in their files; only public data is ever printed."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Final

import click

from hipgw.cli.asking import EXIT_CODES, CommandFailed, json_option, print_json
from hipgw.cli.key_facts import KeyFacts, inspect_key, key_files
from hipgw.cli.rendering import bold, table
from hipgw.errors import HipgwError

DEFAULT_DIRECTORY: Final = "/etc/hip/keys"
ALGORITHMS: Final = (
    "ecdsa-p256",
    "ecdsa-p384",
    "ed25519",
    "ed448",
    "rsa-2048",
    "rsa-3072",
    "rsa-4096",
)
WEAK_ALGORITHMS: Final = ("rsa-1024", "dsa-1024")
FILE_NAME: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,63}")

directory_option = click.option(
    "--directory",
    metavar="DIR",
    type=click.Path(file_okay=False, path_type=Path),
    default=DEFAULT_DIRECTORY,
    show_default=True,
    help="Where the key files are.",
)


@click.group()
def key() -> None:
    """Make and show host identities.

    A host identity is a private key in a PEM file of mode 0600 that OpenSSL can read; its hash is
    the host's HIT.
    """


@key.command(
    "new",
    epilog=f"""\
\b
Examples:
  hipgw key new
  hipgw key new --algorithm ed25519 --name laptop --directory ./keys
  hipgw key new --algorithm rsa-1024 --allow-weak
{EXIT_CODES}
""",
)
@click.option(
    "--algorithm",
    type=click.Choice(ALGORITHMS + WEAK_ALGORITHMS),
    default=ALGORITHMS[0],
    show_default=True,
    help="Kind of key; the default is also what the daemon makes on its first start.",
)
@click.option(
    "--allow-weak",
    is_flag=True,
    help="Make an rsa-1024 or dsa-1024 key, which is used with legacy peers only.",
)
@directory_option
@click.option("--name", metavar="NAME", help="File name without .pem; by default the algorithm's.")
@json_option
def new(
    algorithm: str, directory: Path, name: str | None, *, allow_weak: bool, as_json: bool
) -> None:
    """Make a host identity: DIR/NAME.pem (0600) and DIR/NAME.pub.

    A file that exists is never overwritten.
    """
    if name is not None and not FILE_NAME.fullmatch(name):
        raise click.BadParameter(
            f"{name!r} is not a file name of letters, digits, '.', '_' and '-'",
            param_hint="--name",
        )
    if algorithm in WEAK_ALGORITHMS and not allow_weak:
        raise click.UsageError(
            f"{algorithm} is weak, and used with legacy peers only: say --allow-weak if you mean it"
        )
    from hipgw.daemon.keys import DIRECTORY_MODE, create_identity
    from hipgw.daemon.state_files import make_directory

    stem = name or algorithm
    try:
        make_directory(directory, DIRECTORY_MODE, "--directory")
        create_identity(directory, stem, algorithm, allow_weak=allow_weak)
        facts = inspect_key(directory / f"{stem}.pem")
    except HipgwError as error:
        raise CommandFailed(str(error)) from error
    except FileExistsError as error:
        raise CommandFailed(
            f"{directory / stem}.pem exists and is never overwritten", "choose another --name"
        ) from error
    except OSError as error:
        raise CommandFailed(
            f"cannot write a key in {directory} ({error.strerror or error})",
            "run as root, or name another --directory",
        ) from error
    if as_json:
        print_json(facts.as_json())
    else:
        click.echo(render_key(facts))


@key.command(
    "list",
    epilog=f"""\
\b
Examples:
  hipgw key list
  hipgw key list --directory ./keys --json
{EXIT_CODES}
""",
)
@directory_option
@json_option
def list_keys(directory: Path, *, as_json: bool) -> None:
    """List the host identities of a directory, one line each; exit code 1 if one is unusable."""
    found, unusable = _inspect_all(directory)
    if as_json:
        print_json({"keys": [facts.as_json() for facts in found]})
    elif not found and not unusable:
        click.echo(f"no keys in {directory}: make one with `hipgw key new`")
    elif found:
        rows = [(str(f.hit), f.algorithm, f"{f.mode:04o}", str(f.path)) for f in found]
        click.echo(table(("HIT", "ALGORITHM", "MODE", "FILE"), rows))
    _warn(found)
    for complaint in unusable:
        click.echo(f"hipgw: {complaint}", err=True)
    if unusable:
        raise click.exceptions.Exit(1)


@key.command(
    "show",
    epilog=f"""\
\b
Examples:
  hipgw key show
  hipgw key show /etc/hip/keys/ecdsa-p256.pem --pem > host.pub
{EXIT_CODES}
""",
)
@click.argument("file", required=False, type=click.Path(dir_okay=False, path_type=Path))
@directory_option
@click.option("--pem", is_flag=True, help="Print the public key as PEM, and nothing else.")
@json_option
def show(file: Path | None, directory: Path, *, pem: bool, as_json: bool) -> None:
    """Show FILE, or every host identity of the directory: HIT, algorithm, file, mode.

    The private key is never printed.
    """
    if pem and as_json:
        raise click.UsageError("say --pem or --json, not both")
    if file is not None:
        try:
            found = [inspect_key(file)]
        except HipgwError as error:
            raise CommandFailed(str(error)) from error
        unusable: list[str] = []
    else:
        found, unusable = _inspect_all(directory)
        if unusable:
            raise CommandFailed(unusable[0])
        if not found:
            raise CommandFailed(f"no keys in {directory}", "make one with `hipgw key new`")
    if as_json:
        print_json({"keys": [facts.as_json() for facts in found]})
    elif pem:
        click.echo("".join(facts.public_pem for facts in found), nl=False)
    else:
        click.echo("\n\n".join(render_key(facts) for facts in found))
    _warn(found)


def render_key(facts: KeyFacts) -> str:
    """The block of `hipgw key show` for one key."""
    weak = " (weak: for legacy peers only)" if facts.is_weak else ""
    fields = (
        ("hit", str(facts.hit)),
        *([("hit of HIPv1", str(facts.hit_v1))] if facts.hit_v1 is not None else []),
        ("algorithm", f"{facts.algorithm}{weak}"),
        ("file", str(facts.path)),
        ("mode", f"{facts.mode:04o}"),
    )
    return "\n".join(f"{bold(name)}: {value}" for name, value in fields)


def _inspect_all(directory: Path) -> tuple[list[KeyFacts], list[str]]:
    found: list[KeyFacts] = []
    unusable: list[str] = []
    try:
        files = key_files(directory)
    except HipgwError as error:
        raise CommandFailed(str(error)) from error
    for path in files:
        try:
            found.append(inspect_key(path))
        except HipgwError as error:
            unusable.append(str(error))
    return found, unusable


def _warn(found: list[KeyFacts]) -> None:
    for facts in found:
        if facts.problem:
            click.echo(f"hipgw: {os.fspath(facts.path)}: {facts.problem}: {facts.remedy}", err=True)
