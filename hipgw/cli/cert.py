"""`hipgw cert`: a small certification authority for a fleet, and a look at certificates."""

from __future__ import annotations

import base64
import time
from pathlib import Path
from typing import Final

import click

from hipgw.cli.asking import EXIT_CODES, CommandFailed, ask, json_option, print_json
from hipgw.cli.cert_capture import check_capture
from hipgw.cli.cert_text import certificate_document, fields, issued_table, plainly
from hipgw.cli.cert_verify import show, verify
from hipgw.cli.key import ALGORITHMS
from hipgw.cli.rendering import plural, utc
from hipgw.compat.control_client import DEFAULT_SOCKET, SOCKET_VARIABLE
from hipgw.crypto import HostIdentity, PrivateHostIdentity
from hipgw.crypto.certificates import certificates_from, identity_from_public_key
from hipgw.daemon.fleet_ca import (
    DAY_S,
    LIST_DAYS,
    LIST_FILE,
    AuthorityFiles,
    Issued,
    read_file,
    rows_named,
)
from hipgw.daemon.hip_cert_cnf import IssuingOptions, load_issuing_options
from hipgw.errors import CryptoError, HostError
from hipgw.values import Hit

DEFAULT_DIRECTORY: Final = "/etc/hip/ca"
DIRECTORY_VARIABLE: Final = "HIPGW_CA"
HOST_DAYS: Final = 365
AUTHORITY_DAYS: Final = 3650
DAYS_MOST: Final = 36500

directory_option = click.option(
    "--directory",
    metavar="DIR",
    type=click.Path(file_okay=False, path_type=Path),
    envvar=DIRECTORY_VARIABLE,
    default=DEFAULT_DIRECTORY,
    show_default=True,
    show_envvar=True,
    help="Where the authority's files are.",
)
days_type = click.IntRange(1, DAYS_MOST)
file_type = click.Path(dir_okay=False, path_type=Path)


def _now_s() -> int:
    return int(time.time())


@click.group(
    epilog=f"""\
\b
Examples:
  hipgw cert ca new
  hipgw cert issue gw2.pub --pem > gw2-cert.pem
  hipgw cert verify gw2-cert.pem --ca /etc/hip/ca/ca-cert.pem
{EXIT_CODES}
"""
)
def cert() -> None:
    """Issue, look at and verify certificates of hosts (RFC 8002).

    A certificate says that an authority vouches for a HIT.  The authority is a directory of files
    with a host identity of its own; whoever verifies needs its certificate and revocation list.
    """


@cert.group()
def ca() -> None:
    """Make the authority."""


@ca.command(
    "new",
    epilog=f"""\
\b
Examples:
  hipgw cert ca new --name "Example fleet"
  hipgw cert ca new --directory ./site-a --parent ./ca --days 730
  hipgw cert ca new --key /etc/hip/keys/ecdsa-p256.pem
{EXIT_CODES}
""",
)
@directory_option
@click.option("--name", metavar="TEXT", default="", help="Organization in its certificate.")
@click.option(
    "--algorithm",
    type=click.Choice(ALGORITHMS),
    default=ALGORITHMS[0],
    show_default=True,
    help="Kind of key to make.",
)
@click.option(
    "--key", "key_file", metavar="FILE", type=file_type, help="Take a copy of this key instead."
)
@click.option(
    "--parent",
    metavar="DIR",
    type=click.Path(file_okay=False, path_type=Path),
    help="Put it below the authority of this directory.",
)
@click.option("--days", type=days_type, default=AUTHORITY_DAYS, show_default=True, help="Validity.")
@json_option
@plainly
def ca_new(
    directory: Path,
    *,
    name: str,
    algorithm: str,
    key_file: Path | None,
    parent: Path | None,
    days: int,
    as_json: bool,
) -> None:
    """Make an authority: DIR/ca-key.pem (0600), DIR/ca-cert.pem and an empty DIR/ca-crl.pem.

    An authority that exists is never overwritten.
    """
    from hipgw.daemon.keys import load_identity

    identity = (
        PrivateHostIdentity.generate(algorithm) if key_file is None else load_identity(key_file)
    )
    files, now_s = AuthorityFiles(directory), _now_s()
    if parent is None:
        made = files.create(identity, days, now_s, organization=name)
    else:
        above = AuthorityFiles(parent)
        with above.locked():
            made = files.create(identity, days, now_s, organization=name, parent=above)
    if as_json:
        print_json({"directory": str(directory), **certificate_document(made)})
        return
    click.echo(
        fields(
            (
                ("hit", str(made.hit)),
                ("algorithm", identity.public.kind),
                ("directory", str(directory)),
                ("valid until", utc(made.not_after_s)),
            )
        )
    )


@cert.command(
    epilog=f"""\
\b
Examples:
  hipgw cert issue gw2.pub
  hipgw cert issue 2001:22:4c12:9ae1:77b0:5d2f:8e61:3fa1 --days 30
  hipgw cert issue gw2.pub --der > host-cert.der
{EXIT_CODES}
""",
)
@click.argument("subject", metavar="HIT|PUBFILE")
@directory_option
@click.option("--days", type=days_type, help=f"Validity; {HOST_DAYS}, or as long as the authority.")
@click.option(
    "--config",
    "issuing_file",
    metavar="FILE",
    type=file_type,
    help="Days, issuer and extensions as in HIPL's hip_cert.cnf.",
)
@click.option("--until", "until_s", type=click.IntRange(1), help="Its end, in Unix seconds.")
@click.option("--pem", is_flag=True, help="Print certificate and chain as PEM, and nothing else.")
@click.option("--der", is_flag=True, help="Write the certificate in DER to standard output.")
@click.option(
    "--socket",
    "socket_path",
    metavar="PATH",
    envvar=SOCKET_VARIABLE,
    default=DEFAULT_SOCKET,
    show_default=True,
    show_envvar=True,
    help="Daemon that may know the key of a HIT.",
)
@json_option
@plainly
def issue(
    subject: str,
    directory: Path,
    *,
    days: int | None,
    until_s: int | None,
    issuing_file: Path | None,
    socket_path: str,
    pem: bool,
    der: bool,
    as_json: bool,
) -> None:
    """Certify a host by its public key file, or by its HIT.

    The key of a HIT is that of its earlier certificate, unless that was revoked, or comes from the
    daemon after a base exchange with that host.  Public key files come from `hipgw key`.
    """
    if pem + der + as_json > 1:
        raise click.UsageError("say one of --pem, --der and --json")
    if days is not None and until_s is not None:
        raise click.UsageError("say --days or --until, not both")
    files, now_s = AuthorityFiles(directory), _now_s()
    how = IssuingOptions() if issuing_file is None else load_issuing_options(issuing_file)
    with files.locked():
        identity = _subject(subject, files, socket_path)
        how.check_issuer(files.certificate())
        ends_s = until_s or now_s + (days or how.days or HOST_DAYS) * DAY_S
        if days is None and until_s is None:
            ends_s = min(ends_s, files.certificate().not_after_s)
        row = files.issue(identity, ends_s, now_s, how.extras)
    if der:
        click.echo(read_file(files.file_of(row, ".der")), nl=False)
    elif pem:
        click.echo(read_file(files.file_of(row)), nl=False)
    else:
        _show_issued(files, row, as_json=as_json)


def _show_issued(files: AuthorityFiles, row: Issued, *, as_json: bool) -> None:
    file = files.file_of(row)
    if as_json:
        print_json({**row.as_json(), "file": str(file), "pem": read_file(file).decode()})
        return
    click.echo(
        fields(
            (
                ("hit", str(row.hit)),
                ("serial", row.name),
                ("valid until", utc(row.not_after_s)),
                ("file", str(file)),
            )
        )
    )


def _subject(text: str, files: AuthorityFiles, socket_path: str) -> HostIdentity:
    """Whose certificate it shall be; HipgwError or CommandFailed when that cannot be found out."""
    try:
        hit = Hit.parse(text)
    except ValueError:
        path = Path(text)
        if not path.exists():
            raise HostError(
                f"{text} is neither a HIT nor a file: write one with `hipgw key show FILE --pem`"
            ) from None
        try:
            return identity_from_public_key(read_file(path))
        except CryptoError as error:
            raise CryptoError(f"{path}: {error}") from error
    known = rows_named(files.rows, str(hit))
    if known and known[-1].revoked_s is not None:
        raise HostError(f"the certificate of {hit} was revoked: give its public key file")
    if known:
        certificate = certificates_from(read_file(files.file_of(known[-1])))[0]
        if certificate.public is not None and certificate.hit == hit:
            return certificate.public
    return _identity_from_daemon(hit, socket_path)


def _identity_from_daemon(hit: Hit, socket_path: str) -> HostIdentity:
    """The Host Identity that the daemon has of a peer; the HIT says whether it is the one."""
    try:
        answer = ask(socket_path, "host_identity", hit=str(hit))
        identity = HostIdentity.from_wire(
            int(answer["algorithm"]), base64.b64decode(answer["hi"], validate=True)
        )
    except CommandFailed as error:
        raise CommandFailed(
            f"no key of {hit} is known here, nor from the daemon ({error.message})",
            "give its public key file",
        ) from error
    except (KeyError, TypeError, ValueError) as error:
        raise CommandFailed(
            "the daemon's answer is not as expected", "give the public key file"
        ) from error
    if identity.hit != hit:
        raise CommandFailed(
            f"the daemon's key of {hit} has the HIT {identity.hit}", "give the public key file"
        )
    return identity


@cert.command(
    "list",
    epilog=f"""\
\b
Examples:
  hipgw cert list
  hipgw cert list --json | jq -r '.issued[] | select(.revoked == null) | .hit'
{EXIT_CODES}
""",
)
@directory_option
@json_option
@plainly
def list_issued(directory: Path, *, as_json: bool) -> None:
    """List what was issued, one line each, oldest first."""
    files, now_s = AuthorityFiles(directory), _now_s()
    with files.locked():
        rows = files.rows
    if as_json:
        issued = [{**row.as_json(), "status": row.status(now_s)} for row in rows]
        print_json({"directory": str(directory), "issued": issued})
    elif rows:
        click.echo(issued_table(rows, now_s))
    else:
        click.echo("nothing issued yet: `hipgw cert issue HIT|PUBFILE`")


list_days_option = click.option(
    "--days",
    type=days_type,
    default=LIST_DAYS,
    show_default=True,
    help="When the next list comes at the latest.",
)


@cert.command(
    epilog=f"""\
\b
Examples:
  hipgw cert revoke 2001:22:4c12:9ae1:77b0:5d2f:8e61:3fa1
  hipgw cert revoke 5F02B1C3
{EXIT_CODES}
""",
)
@click.argument("target", metavar="HIT|SERIAL")
@directory_option
@list_days_option
@json_option
@plainly
def revoke(target: str, directory: Path, days: int, *, as_json: bool) -> None:
    """Take certificates back, by HIT or serial number.

    Writes DIR/ca-crl.pem; verifiers need the new list, so copy it to them.
    """
    files, now_s = AuthorityFiles(directory), _now_s()
    with files.locked():
        rows = rows_named(files.rows, target)
        if not rows:
            raise CommandFailed(f"nothing issued to or as {target}", "see `hipgw cert list`")
        changed = files.revoke({row.serial for row in rows}, now_s, days)
    _show_list(files, changed, now_s + days * DAY_S, as_json=as_json)


@cert.command(
    epilog=f"""\
\b
Examples:
  hipgw cert crl
  hipgw cert crl --days 7
{EXIT_CODES}
""",
)
@directory_option
@list_days_option
@json_option
@plainly
def crl(directory: Path, days: int, *, as_json: bool) -> None:
    """Write a new revocation list.

    Do so before the one that verifiers have ends; see --days.
    """
    files, now_s = AuthorityFiles(directory), _now_s()
    with files.locked():
        files.write_list(now_s, days)
    _show_list(files, [], now_s + days * DAY_S, as_json=as_json)


def _show_list(
    files: AuthorityFiles, changed: list[Issued], next_update_s: int, *, as_json: bool
) -> None:
    listed = sum(1 for row in files.rows if row.revoked_s is not None)
    file = files.directory / LIST_FILE
    if as_json:
        print_json(
            {
                "revoked": [row.name for row in changed],
                "listed": listed,
                "next_update": next_update_s,
                "file": str(file),
            }
        )
        return
    for row in changed:
        click.echo(f"revoked {row.name}, {row.hit}")
    click.echo(f"{file}: {plural(listed, 'certificate')}, next by {utc(next_update_s)}")


cert.add_command(show)
cert.add_command(verify)
cert.add_command(check_capture)
