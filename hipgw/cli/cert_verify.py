"""`hipgw cert show` and `hipgw cert verify`: a look at certificates of anybody."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click

from hipgw.cli.asking import EXIT_CODES, json_option, print_json
from hipgw.cli.cert_text import (
    certificate_document,
    certificate_text,
    plainly,
    verdict_document,
    verdict_text,
)
from hipgw.crypto.certificates import (
    CertificateError,
    CertificateFailure,
    HostCertificate,
    certificates_from,
)
from hipgw.crypto.certificates_chain import (
    RevocationList,
    TrustStore,
    VerifiedChain,
    revocation_lists_from,
    verify_chain,
)
from hipgw.daemon.fleet_ca import read_file
from hipgw.errors import CryptoError
from hipgw.values import Hit

file_type = click.Path(dir_okay=False, path_type=Path)


@click.command(
    epilog=f"""\
\b
Examples:
  hipgw cert show /etc/hip/host-cert.der
  hipgw cert show host-cert.der --pem > host-cert.pem
{EXIT_CODES}
""",
)
@click.argument("file", type=file_type)
@click.option("--pem", is_flag=True, help="Print it as PEM, and nothing else.")
@click.option("--der", is_flag=True, help="Write the first one in DER to standard output.")
@json_option
@plainly
def show(file: Path, *, pem: bool, der: bool, as_json: bool) -> None:
    """Show certificates, PEM or DER, without verifying them."""
    if pem + der + as_json > 1:
        raise click.UsageError("say one of --pem, --der and --json")
    found = _certificates(file)
    if der:
        click.echo(found[0].der, nl=False)
    elif pem:
        click.echo(b"".join(entry.to_pem() for entry in found), nl=False)
    elif as_json:
        print_json({"certificates": [certificate_document(entry) for entry in found]})
    else:
        now_s = int(time.time())
        click.echo("\n\n".join(certificate_text(entry, now_s) for entry in found))


@click.command(
    epilog=f"""\
\b
Examples:
  hipgw cert verify host-cert.der --ca ca-cert.pem
  hipgw cert verify *.pem --ca ca-cert.pem --crl ca-crl.pem --json
{EXIT_CODES}
""",
)
@click.argument("files", metavar="FILE...", nargs=-1, required=True, type=file_type)
@click.option(
    "--ca",
    "authority_files",
    metavar="FILE",
    multiple=True,
    required=True,
    type=file_type,
    help="Trusted authorities; may be given several times.",
)
@click.option(
    "--chain",
    "chain_files",
    metavar="FILE",
    multiple=True,
    type=file_type,
    help="Authorities between, not trusted by themselves.",
)
@click.option(
    "--crl", "list_files", metavar="FILE", multiple=True, type=file_type, help="Revocation lists."
)
@click.option("--hit", metavar="HIT", help="Whose certificate it must be.")
@click.option("--at", "at_s", type=click.IntRange(0), help="As if it were this Unix second.")
@json_option
@plainly
def verify(
    files: tuple[Path, ...],
    *,
    authority_files: tuple[Path, ...],
    chain_files: tuple[Path, ...],
    list_files: tuple[Path, ...],
    hit: str | None,
    at_s: int | None,
    as_json: bool,
) -> None:
    """Verify certificates; exit code 1 if one is refused.

    As hipgw does with those of its peers.  Each FILE is by itself: a certificate, and in PEM after
    it those of authorities between.
    """
    wanted = None if hit is None else _hit_option(hit)
    trust = TrustStore(
        tuple(entry for path in authority_files for entry in _certificates(path)),
        tuple(entry for path in list_files for entry in _lists(path)),
    )
    between = [entry for path in chain_files for entry in _certificates(path)]
    now_s = int(time.time()) if at_s is None else at_s
    verdicts = [(str(path), _verdict(path, between, trust, now_s, wanted)) for path in files]
    if as_json:
        print_json({"files": [verdict_document(*verdict) for verdict in verdicts]})
    else:
        for verdict in verdicts:
            click.echo(verdict_text(*verdict))
    if not all(isinstance(verdict, VerifiedChain) for _, verdict in verdicts):
        sys.exit(1)


def _verdict(
    path: Path,
    between: list[HostCertificate],
    trust: TrustStore,
    now_s: int,
    wanted: Hit | None,
) -> VerifiedChain | CertificateError:
    """The outcome for one file; HostError when it cannot be read at all."""
    try:
        presented = (*certificates_from(read_file(path)), *between)
        chain = verify_chain(presented, trust, now_s)
    except CertificateError as error:
        return error
    if wanted not in (None, chain.identity.hit, chain.identity.hit_v1):
        return CertificateError(CertificateFailure.OTHER, f"it is of {chain.hit}, not of {wanted}")
    return chain


def _hit_option(text: str) -> Hit:
    try:
        return Hit.parse(text)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--hit") from error


def _certificates(path: Path) -> tuple[HostCertificate, ...]:
    with _naming(path):
        return certificates_from(read_file(path))


def _lists(path: Path) -> tuple[RevocationList, ...]:
    with _naming(path):
        return revocation_lists_from(read_file(path))


@contextmanager
def _naming(path: Path) -> Iterator[None]:
    """Put the file's name before what is wrong with it."""
    try:
        yield
    except CertificateError as error:
        raise CryptoError(f"{path}: {error}") from error
