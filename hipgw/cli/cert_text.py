"""Certificates as people and programs read them; text of a peer is made printable."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any, ParamSpec, TypeVar

from hipgw.cli.asking import CommandFailed
from hipgw.cli.rendering import bold, duration, table, utc
from hipgw.compat.control_client import printable
from hipgw.crypto.certificates import CertificateError, HostCertificate
from hipgw.crypto.certificates_chain import VerifiedChain
from hipgw.daemon.fleet_ca import Issued
from hipgw.errors import HipgwError

P = ParamSpec("P")
R = TypeVar("R")
HEADER = ("HIT", "STATUS", "UNTIL", "SERIAL")


def plainly(command: Callable[P, R]) -> Callable[P, R]:
    """Say in one line what hipgw raises on purpose."""

    @wraps(command)
    def run(*arguments: P.args, **options: P.kwargs) -> R:
        try:
            return command(*arguments, **options)
        except HipgwError as error:
            raise CommandFailed(str(error)) from error

    return run


def fields(pairs: tuple[tuple[str, str], ...]) -> str:
    """A block of names and values."""
    return "\n".join(f"{bold(name)}: {value}" for name, value in pairs)


def certificate_document(certificate: HostCertificate) -> dict[str, Any]:
    """What is in a certificate, as JSON values; nothing of it is verified."""
    public = certificate.public
    return {
        "hit": None if public is None else str(public.hit),
        "hit_v1": None if public is None else str(public.hit_v1),
        "algorithm": None if public is None else public.kind,
        "serial": certificate.serial_text,
        "subject": certificate.subject,
        "subject_hits": [str(hit) for hit in certificate.subject_hits],
        "issuer": certificate.issuer,
        "issuer_hits": [str(hit) for hit in certificate.issuer_hits],
        "not_before": certificate.not_before_s,
        "not_after": certificate.not_after_s,
        "authority": certificate.rights.is_authority,
    }


def certificate_text(certificate: HostCertificate, now_s: int) -> str:
    """The block of `hipgw cert show` for one certificate."""
    document = printable(certificate_document(certificate))
    left_s = certificate.not_after_s - now_s
    until = f"{duration(left_s)} left" if left_s >= 0 else f"ended {duration(-left_s)} ago"
    return fields(
        (
            ("hit", document["hit"] or "none: the key cannot be a Host Identity"),
            ("algorithm", document["algorithm"] or "-"),
            ("subject", document["subject"] or "-"),
            ("subject hit", ", ".join(document["subject_hits"]) or "-"),
            ("issuer", document["issuer"] or "-"),
            ("issuer hit", ", ".join(document["issuer_hits"]) or "-"),
            ("serial", document["serial"]),
            ("valid from", utc(certificate.not_before_s)),
            ("valid until", f"{utc(certificate.not_after_s)} ({until})"),
            ("authority", "yes" if document["authority"] else "no"),
        )
    )


def issued_table(rows: tuple[Issued, ...], now_s: int) -> str:
    """The table of `hipgw cert list`."""
    cells = [
        (
            str(row.hit),
            row.status(now_s) + (", authority" if row.is_authority else ""),
            utc(row.not_after_s),
            row.name,
        )
        for row in rows
    ]
    return table(HEADER, cells)


def verdict_document(file: str, verdict: VerifiedChain | CertificateError) -> dict[str, Any]:
    """The outcome of `hipgw cert verify` for one file, as JSON values."""
    if isinstance(verdict, VerifiedChain):
        return {
            "file": file,
            "verified": True,
            "hit": str(verdict.hit),
            "until": verdict.until_s,
            "chain": [certificate_document(entry) for entry in verdict.path],
        }
    return {
        "file": file,
        "verified": False,
        "failure": verdict.failure.name.lower(),
        "failure_type": int(verdict.failure),
        "detail": verdict.detail,
    }


def verdict_text(file: str, verdict: VerifiedChain | CertificateError) -> str:
    """One line for one file."""
    if isinstance(verdict, VerifiedChain):
        return f"{file}: verified, {verdict.hit}, until {utc(verdict.until_s)}"
    return f"{file}: refused, {verdict}"
