"""What one peer has shown of certificates, and what it has yet to be shown of ours."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import Final

from hipgw.crypto.certificates_chain import VerifiedChain
from hipgw.proto.certificate_check import Judgement
from hipgw.proto.certificate_groups import (
    CertificateAssembler,
    CertificateGroup,
    CertificatesRefused,
)
from hipgw.proto.limits import TokenBucket
from hipgw.wire import Cert

JUDGEMENTS_RATE: Final = 0.5
JUDGEMENTS_BURST: Final = 4.0
"""Verifications per second for one peer beyond those of the base exchange."""


class Standing(Enum):
    """What the certificates of a peer are worth."""

    NONE = "none"
    INCOMPLETE = "incomplete"
    UNVERIFIED = "unverified"
    """Shown, but no authority is trusted here."""
    VERIFIED = "verified"
    REFUSED = "refused"
    EXPIRED = "expired"

    def __str__(self) -> str:
        return self.value


@dataclass(frozen=True, slots=True)
class CertificateView:
    """What an operator may see of a peer's certificate; the names are text of the peer.

    Attributes:
        standing: what it is worth.
        detail: why it is not verified, or "".
        subject: distinguished name, "" when none could be read.
        issuer: likewise.
        serial: in hexadecimal digits.
        until_s: Unix time: when the first certificate of a verified chain ends, else the end of the
            peer's own one; None without one.
        is_required: whether the association depends on it.
    """

    standing: Standing
    detail: str
    subject: str
    issuer: str
    serial: str
    until_s: int | None
    is_required: bool


@dataclass(slots=True, eq=False)
class Credentials:
    """State of one association; there is none where neither side shows certificates."""

    bucket: TokenBucket
    is_required: bool
    assembler: CertificateAssembler = field(default_factory=CertificateAssembler)
    standing: Standing = Standing.NONE
    judgement: Judgement | None = None
    """The last one that counts."""
    detail: str = ""
    chain: VerifiedChain | None = None
    """One that holds; a later group that does not hold leaves it in place."""
    judging: tuple[CertificateGroup, ...] | None = None
    """Groups that a job is looking at."""
    waiting: tuple[CertificateGroup, ...] = ()
    """Groups that came meanwhile; the latest."""
    asides: TokenBucket | None = None
    """Verifications of what comes in NOTIFY and CLOSE; None until the first."""
    left_to_send: tuple[Cert, ...] = ()
    """Of our own chain, what did not fit into the base exchange."""
    sent_on_request_s: float | None = None
    asked_s: float | None = None
    """When the peer was asked for a certificate that lasts longer."""

    def take(self, judgement: Judgement) -> None:
        """Let a judgement count."""
        if judgement.chain is not None:
            self.chain, self.judgement = judgement.chain, judgement
            self.standing, self.detail = Standing.VERIFIED, ""
            self.asked_s = None
            return
        if self.chain is not None:
            return
        self.judgement = judgement
        if isinstance(judgement.outcome, CertificatesRefused):
            self.standing, self.detail = Standing.REFUSED, judgement.outcome.detail
        elif judgement.groups:
            self.standing, self.detail = Standing.UNVERIFIED, "no authority is trusted here"
        elif self.assembler.is_waiting:
            self.standing, self.detail = Standing.INCOMPLETE, "the rest has not come yet"

    def lose(self, standing: Standing, detail: str) -> None:
        """What was shown counts no more."""
        self.chain, self.standing, self.detail = None, standing, detail

    def view(self) -> CertificateView:
        """A snapshot."""
        shown = None if self.judgement is None else self.judgement.certificate
        until_s = None if shown is None else shown.not_after_s
        return CertificateView(
            self.standing,
            self.detail,
            "" if shown is None else shown.subject,
            "" if shown is None else shown.issuer,
            "" if shown is None else shown.serial_text,
            until_s if self.chain is None else self.chain.until_s,
            self.is_required,
        )
