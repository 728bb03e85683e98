"""Do the certificates of a peer vouch for it: the costly part, as pure values (RFC 8002).

`CertificateCheck` judges what one host has shown in the packets of a base exchange, once these are
authentic; `JudgeGroups` judges groups that came later.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from hipgw.crypto import HostIdentity
from hipgw.crypto.certificates import CertificateError, CertificateFailure, HostCertificate
from hipgw.crypto.certificates_carried import read_carried
from hipgw.crypto.certificates_chain import TrustStore, VerifiedChain
from hipgw.proto.certificate_groups import (
    GROUPS_VERIFIED_MOST,
    CertificateAssembler,
    CertificateGroup,
    CertificateGroupError,
    CertificatesRefused,
    VerifyCertificates,
)
from hipgw.proto.refusals import Refused
from hipgw.values import NotifyType
from hipgw.wire import Cert

MISSING: Final = "certificate_missing"
REFUSED: Final = "certificate_refused"


@dataclass(frozen=True, slots=True)
class Judgement:
    """What became of the certificates that a peer has shown.

    Attributes:
        outcome: a chain that holds, or why none does; None: not verified, since nobody is trusted
            here, or since the rest has yet to come.
        certificate: the peer's own, as far as it can be told; nothing of it is verified by itself.
        groups: what was looked at, for looking again when the trust changes.
    """

    outcome: VerifiedChain | CertificatesRefused | None
    certificate: HostCertificate | None
    groups: tuple[CertificateGroup, ...] = field(default=(), repr=False)

    @property
    def chain(self) -> VerifiedChain | None:
        """The chain, if it holds."""
        return self.outcome if isinstance(self.outcome, VerifiedChain) else None


@dataclass(frozen=True, slots=True)
class JudgeGroups:
    """A job: verify groups of a peer whose identity is known."""

    groups: tuple[CertificateGroup, ...]
    host: HostIdentity
    trust: TrustStore | None = field(repr=False)
    unix_now_s: float

    def run(self) -> Judgement:
        """The judgement; never raises."""
        shown = own_certificate(self.groups, self.host)
        if self.trust is None:
            return Judgement(None, shown, self.groups)
        outcome = VerifyCertificates(self.groups, self.host, self.trust, self.unix_now_s).run()
        if isinstance(outcome, VerifiedChain):
            shown = outcome.path[0]
        return Judgement(outcome, shown, self.groups)


@dataclass(frozen=True, slots=True)
class CertificateCheck:
    """What a peer has shown in a base exchange, and whether that is enough.

    Attributes:
        packets: CERT parameters of each packet, in the order of sending.
        trust: whom we believe, or None.
        unix_now_s: wall clock.
        is_required: whether an association depends on it.
    """

    packets: tuple[tuple[Cert, ...], ...]
    trust: TrustStore | None = field(repr=False)
    unix_now_s: float
    is_required: bool

    @property
    def is_needed(self) -> bool:
        """Whether there is anything to do."""
        return self.is_required or any(self.packets)

    def of(self, host: HostIdentity) -> Judgement | Refused:
        """Judge them; the packets' MACs and signatures have been verified.

        A group that is not whole yet counts only where certificates are optional, or when what has
        come is enough already, because an authority in between is trusted here.
        """
        assembler = CertificateAssembler()
        groups: list[CertificateGroup] = []
        try:
            for certificates in self.packets:
                groups += assembler.take(certificates, 0.0)
        except CertificateGroupError as error:
            broken = CertificatesRefused(CertificateFailure.BAD, str(error), error.certificate)
            return self._verdict(Judgement(broken, None))
        if not groups and self.is_required and assembler.is_waiting:
            part = CertificateGroup(tuple(one for packet in self.packets for one in packet))
            judged = JudgeGroups((part,), host, self.trust, self.unix_now_s).run()
            return judged if judged.chain else _missing("not all of a chain was shown")
        if not groups:
            return self._verdict(Judgement(None, None))
        return self._verdict(JudgeGroups(tuple(groups), host, self.trust, self.unix_now_s).run())

    def _verdict(self, judgement: Judgement) -> Judgement | Refused:
        if not self.is_required or judgement.chain is not None:
            return judgement
        if isinstance(judgement.outcome, CertificatesRefused):
            said = judgement.outcome.notification
            detail = judgement.outcome.detail
            return Refused(REFUSED, NotifyType.INVALID_CERTIFICATE, said.data, detail)
        return _missing("none shown")


def _missing(detail: str) -> Refused:
    return Refused(MISSING, NotifyType.CREDENTIALS_REQUIRED, detail=detail)


NO_CHECK: Final = CertificateCheck((), None, 0.0, is_required=False)


@dataclass(frozen=True, slots=True)
class CheckResponder:
    """A job: the certificates of a Responder whose R2 has turned out authentic."""

    check: CertificateCheck
    host: HostIdentity

    def run(self) -> Judgement | Refused:
        """See `CertificateCheck.of`."""
        return self.check.of(self.host)


def own_certificate(
    groups: Sequence[CertificateGroup], host: HostIdentity
) -> HostCertificate | None:
    """The certificate of the host's key among those shown, else the first that can be read."""
    first: HostCertificate | None = None
    for group in groups[:GROUPS_VERIFIED_MOST]:
        for parameter in group.certificates:
            try:
                carried = read_carried(parameter.type, parameter.certificate)
            except CertificateError:
                continue
            if isinstance(carried, HostCertificate):
                if carried.public == host:
                    return carried
                first = first or carried
    return first
