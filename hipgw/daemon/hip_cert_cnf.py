"""HIPL's `hip_cert.cnf`: days, issuer and extensions of the certificates that a host issues (F102).

The form is OpenSSL's: sections in brackets, `key = value`, comments after `#`.  Read are
`[hip_x509v3]` (issuerhit, days), `[hip_x509v3_name]` (issuerhit) and `[hip_x509v3_extensions]`;
`[hip_spki]` is passed over, since SPKI certificates are obsolete (RFC 8002 section 1).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from hipgw.crypto.certificates import HostCertificate
from hipgw.crypto.certificates_issuing import NO_EXTRAS, PURPOSES, Extras
from hipgw.daemon.fleet_ca import read_file
from hipgw.errors import ConfigError
from hipgw.values import Hit

X509: Final = "hip_x509v3"
NAME: Final = "hip_x509v3_name"
EXTENSIONS: Final = "hip_x509v3_extensions"
SECTIONS: Final = (X509, NAME, EXTENSIONS, "hip_spki")
DAYS_MOST: Final = 36500


@dataclass(frozen=True, slots=True)
class IssuingOptions:
    """How certificates are issued.

    Attributes:
        issuer: HIT that the authority must have, or None.
        days: validity, or None.
        extras: names and purposes beside the HIT.
    """

    issuer: Hit | None = None
    days: int | None = None
    extras: Extras = NO_EXTRAS

    def check_issuer(self, authority: HostCertificate) -> None:
        """Raise ConfigError when the file names another issuer than this authority."""
        if self.issuer is not None and self.issuer != authority.hit:
            raise ConfigError(
                f"issuerhit is {self.issuer}: expected {authority.hit}, the HIT of the authority"
            )


@dataclass(frozen=True, slots=True)
class _Line:
    file: Path
    number: int
    section: str
    key: str
    value: str

    def refused(self, wanted: str) -> ConfigError:
        name = f"{self.section}.{self.key}" if self.section else self.key
        return ConfigError(f"expected {wanted}", file=str(self.file), line=self.number, key=name)


def load_issuing_options(file: Path) -> IssuingOptions:
    """Read the file; everything is optional, the file too.

    Raises:
        ConfigError: says file, line and what was expected.
        HostError: the file cannot be read.
    """
    if not file.exists():
        return IssuingOptions()
    issuer: Hit | None = None
    days: int | None = None
    names: list[str] = []
    mails: list[str] = []
    purposes: list[str] = []
    for line in _lines(file):
        if line.section in {X509, NAME} and line.key == "issuerhit":
            found = _hit(line)
            if issuer not in {None, found}:
                raise line.refused(f"the same issuer in both sections, which is {issuer}")
            issuer = found
        elif line.section == X509 and line.key == "days":
            days = _days(line)
        elif line.section == EXTENSIONS:
            _take_extension(line, names, mails, purposes)
        elif line.section != "hip_spki":
            raise line.refused("issuerhit, or days in [hip_x509v3]")
    return IssuingOptions(issuer, days, Extras(tuple(names), tuple(mails), tuple(purposes)))


def _lines(file: Path) -> list[_Line]:
    try:
        text = read_file(file).decode("utf-8")
    except UnicodeDecodeError as error:
        raise ConfigError("expected text in UTF-8", file=str(file)) from error
    section, found = "", []
    for number, raw in enumerate(text.splitlines(), 1):
        content = raw.partition("#")[0].strip()
        if not content:
            continue
        if content.startswith("[") and content.endswith("]"):
            section = content[1:-1].strip()
            if section not in SECTIONS:
                known = ", ".join(SECTIONS)
                raise ConfigError(f"expected one of {known}", file=str(file), line=number)
            continue
        key, equals, value = (part.strip() for part in content.partition("="))
        line = _Line(file, number, section, key, value)
        if not equals or not key or not section:
            raise line.refused("key = value inside a section")
        found.append(line)
    return found


def _hit(line: _Line) -> Hit:
    try:
        hit = Hit.parse(line.value)
    except ValueError as error:
        raise line.refused("a HIT") from error
    if not hit.version:
        raise line.refused("a HIT")
    return hit


def _days(line: _Line) -> int:
    if not (line.value.isascii() and line.value.isdigit() and 1 <= int(line.value) <= DAYS_MOST):
        raise line.refused(f"1 to {DAYS_MOST} days")
    return int(line.value)


def _take_extension(line: _Line, names: list[str], mails: list[str], purposes: list[str]) -> None:
    """One line in the words of OpenSSL's x509v3_config(5)."""
    words = [word.strip() for word in line.value.split(",")]
    is_critical = words[0] == "critical"
    words = words[is_critical:]
    if line.key == "basicConstraints":
        if words not in (["CA:FALSE"], ["CA:false"]):
            raise line.refused("CA:FALSE: authorities are made by `hipgw cert ca new --parent`")
    elif line.key == "keyUsage":
        if words != ["digitalSignature"]:
            raise line.refused("digitalSignature, which every certificate has")
    elif line.key == "extendedKeyUsage":
        if not words or not set(words) <= set(PURPOSES):
            raise line.refused(f"some of {', '.join(PURPOSES)}")
        purposes += words
    elif line.key == "subjectAltName":
        for word in words:
            kind, _, value = word.partition(":")
            if kind == "DNS" and value:
                names.append(value)
            elif kind == "email" and value:
                mails.append(value)
            elif kind != "IP":  # the subject's HIT is there without being asked for
                raise line.refused("DNS:name, email:address or IP:HIT")
    else:
        raise line.refused("basicConstraints, keyUsage, extendedKeyUsage or subjectAltName")
