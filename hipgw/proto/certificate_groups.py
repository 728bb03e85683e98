"""Certificates in packets: groups of CERT parameters, out and in (RFC 8002 sections 2, 5, 7).

Out: `group_of` numbers the certificates of a group, `pack_groups` spreads groups over packets.  In:
a `CertificateAssembler` for each peer completes groups that span packets, within bounds, and the
job `VerifyCertificates` says whether they vouch for the peer.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from hipgw.crypto import HostIdentity
from hipgw.crypto.certificates import (
    CertificateError,
    CertificateFailure,
    CertificateType,
    HostCertificate,
)
from hipgw.crypto.certificates_carried import read_carried
from hipgw.crypto.certificates_chain import TrustStore, VerifiedChain, verify_chain
from hipgw.errors import LocalProtocolError, PeerProtocolError
from hipgw.values import NotifyType
from hipgw.wire import Cert, Notification, emit_parameter

COUNT_MOST: Final = 255
"""CERT count is an octet."""
GROUP_CERTIFICATES_MOST: Final = 8
GROUP_OCTETS_MOST: Final = 16384
"""Of a group that a peer sends: a chain of RSA-4096 certificates is half of it."""
WAIT_S: Final = 20.0
"""How long the rest of a group may take: longer than the retransmissions of one packet."""
GROUPS_VERIFIED_MOST: Final = 4
SPKI_TYPES: Final = frozenset({2, 4, 6, 8})
"""Obsolete since RFC 8002: such groups are passed over."""


class CertificateGroupError(PeerProtocolError):
    """CERT parameters that break the rules of groups.

    Attributes:
        certificate: the parameter at fault.
    """

    def __init__(self, certificate: Cert, detail: str) -> None:
        super().__init__(f"CERT group {certificate.group}, ID {certificate.id}: {detail}")
        self.certificate: Final = certificate


@dataclass(frozen=True, slots=True)
class CertificateGroup:
    """A whole group: its parameters with IDs 1, 2, ... in this order."""

    certificates: tuple[Cert, ...]

    @property
    def number(self) -> int:
        """The CERT group field."""
        return self.certificates[0].group


def group_of(number: int, certificates: Sequence[tuple[int, bytes]]) -> CertificateGroup:
    """Number the certificates of a group; one alone is an ungrouped one.

    Args:
        number: CERT group, 0..255, unique in what this host sends at a time.
        certificates: (CERT type, certificate) in the order to be read in.

    Raises:
        LocalProtocolError: no certificate, more than 255, or another number.
    """
    count = len(certificates)
    if not 1 <= count <= COUNT_MOST or not 0 <= number <= 255:
        raise LocalProtocolError(f"CERT group {number} of {count} certificates")
    return CertificateGroup(
        tuple(
            Cert(number, count, place, kind, octets)
            for place, (kind, octets) in enumerate(certificates, 1)
        )
    )


def chain_group(number: int, chain: Sequence[HostCertificate]) -> CertificateGroup:
    """A chain as X.509 (type 1), the host's own certificate first; see `group_of`."""
    return group_of(number, [(CertificateType.X509, entry.der) for entry in chain])


def pack_groups(groups: Sequence[CertificateGroup], rooms: Sequence[int]) -> list[tuple[Cert, ...]]:
    """Spread groups over consecutive packets.

    A group spans packets only when no packet that is left has room for the whole of it, so at most
    one group of a packet goes on in the next.

    Args:
        groups: with different numbers, in any order.
        rooms: octets that each packet has for CERT parameters, in the order of sending.

    Returns:
        The CERT parameters of each packet, ascending by group; as many as `rooms`.

    Raises:
        LocalProtocolError: two groups of one number, or not enough room.
    """
    ordered = sorted(groups, key=lambda group: group.number)
    if len({group.number for group in ordered}) != len(ordered):
        raise LocalProtocolError("two CERT groups have one number")
    packets: list[list[Cert]] = [[] for _ in rooms]
    left = list(rooms)
    at = 0
    for group in ordered:
        sizes = [len(emit_parameter(certificate)) for certificate in group.certificates]
        whole = next((place for place in range(at, len(left)) if sum(sizes) <= left[place]), None)
        if whole is None:
            at = _spread(group, sizes, packets, left, at)
        else:
            at = whole
            packets[at].extend(group.certificates)
            left[at] -= sum(sizes)
    return [tuple(packet) for packet in packets]


def _spread(
    group: CertificateGroup,
    sizes: Sequence[int],
    packets: list[list[Cert]],
    left: list[int],
    at: int,
) -> int:
    """Put a group into packets that follow one another, from `at` on; returns the last one's index.

    Raises:
        LocalProtocolError: they have no room for it.
    """
    for certificate, size in zip(group.certificates, sizes, strict=True):
        fitting = (place for place in range(at, len(left)) if size <= left[place])
        place = next(fitting, None)
        if place is None or (certificate.id > 1 and place > at + 1):
            raise LocalProtocolError(
                f"CERT group {group.number}: no room for certificate {certificate.id} of"
                f" {certificate.count}, {size} octets"
            )
        at = place
        packets[at].append(certificate)
        left[at] -= size
    return at


class CertificateAssembler:
    """Completes the groups of one peer; holds at most one that is not whole (section 7)."""

    def __init__(self) -> None:
        self._parts: dict[int, Cert] = {}
        self._deadline: float | None = None

    @property
    def is_waiting(self) -> bool:
        """Whether a group has begun and is not whole."""
        return bool(self._parts)

    def next_deadline(self) -> float | None:
        """When `expire` has something to do."""
        return self._deadline

    def expire(self, now: float) -> bool:
        """Forget a group whose rest did not come in time; True when there was one."""
        if self._deadline is None or now < self._deadline:
            return False
        self.forget()
        return True

    def forget(self) -> None:
        """Drop what is held, for instance when state is scarce."""
        self._parts.clear()
        self._deadline = None

    def take(self, certificates: Sequence[Cert], now: float) -> list[CertificateGroup]:
        """Read the CERT parameters of one packet that is authentic.

        Args:
            certificates: in the order of the packet; none is fine.
            now: monotonic seconds.

        Returns:
            The groups that are whole now, in ascending order.

        Raises:
            CertificateGroupError: a rule of section 2 or a bound is broken; nothing is held then.
        """
        self.expire(now)
        try:
            return self._take(certificates, now)
        except CertificateGroupError:
            self.forget()
            raise

    def _take(self, certificates: Sequence[Cert], now: float) -> list[CertificateGroup]:
        groups: dict[int, dict[int, Cert]] = {}
        last = -1
        for certificate in certificates:
            if certificate.group < last:
                raise CertificateGroupError(certificate, f"comes after group {last}")
            last = certificate.group
            parts = groups.setdefault(last, self._held_of(certificate))
            _add_part(parts, certificate)
        whole: list[CertificateGroup] = []
        begun: dict[int, Cert] = {}
        for parts in groups.values():
            first = next(iter(parts.values()))
            if len(parts) == first.count:
                whole.append(CertificateGroup(tuple(parts[place] for place in sorted(parts))))
            elif begun:
                raise CertificateGroupError(first, "is the second that goes on in the next packet")
            else:
                begun = parts
        self._keep(groups, begun, now)
        return whole

    def _held_of(self, certificate: Cert) -> dict[int, Cert]:
        """A copy of what is held of the group of `certificate`, if that is what it goes on with."""
        held = next(iter(self._parts.values()), None)
        fits = held is not None and (held.group, held.count) == (
            certificate.group,
            certificate.count,
        )
        return dict(self._parts) if fits else {}

    def _keep(self, groups: dict[int, dict[int, Cert]], begun: dict[int, Cert], now: float) -> None:
        """Hold the group that goes on; what was held stays until it is whole or replaced."""
        held = next(iter(self._parts.values()), None)
        if begun:
            goes_on = held is not None and held.group == next(iter(begun.values())).group
            if not goes_on or self._deadline is None:
                self._deadline = now + WAIT_S
            self._parts = begun
        elif held is not None and held.group in groups:
            self.forget()


def _add_part(parts: dict[int, Cert], certificate: Cert) -> None:
    """Put one certificate into its group; the same once more is a retransmission."""
    if certificate.count > GROUP_CERTIFICATES_MOST:
        raise CertificateGroupError(
            certificate, f"{certificate.count} certificates, at most {GROUP_CERTIFICATES_MOST}"
        )
    other = next(iter(parts.values()), None)
    if other is not None and other.count != certificate.count:
        raise CertificateGroupError(
            certificate, f"count {certificate.count}, but {other.count} before"
        )
    if parts.setdefault(certificate.id, certificate) != certificate:
        raise CertificateGroupError(certificate, "two different certificates with one ID")
    octets = sum(len(part.certificate) for part in parts.values())
    if octets > GROUP_OCTETS_MOST:
        raise CertificateGroupError(
            certificate, f"{octets} octets of certificates, at most {GROUP_OCTETS_MOST}"
        )


@dataclass(frozen=True, slots=True)
class CertificatesRefused:
    """Why the certificates of a peer do not vouch for it.

    Attributes:
        failure: also the Failure Type for REG_FAILED (RFC 8003 section 3.3).
        detail: one line for the log, with no text of the peer.
        certificate: the CERT parameter at fault, or None.
    """

    failure: CertificateFailure
    detail: str
    certificate: Cert | None

    @property
    def notification(self) -> Notification:
        """What the sender may be told (section 5)."""
        return invalid_certificate(self.certificate)


@dataclass(frozen=True, slots=True)
class VerifyCertificates:
    """A job: do the groups of a packet vouch for the host that sent it?

    Attributes:
        groups: whole ones.
        host: the authenticated Host Identity of the sender.
        trust: whom this host believes.
        unix_now_s: wall clock, since validity is told by it.
    """

    groups: tuple[CertificateGroup, ...]
    host: HostIdentity
    trust: TrustStore = field(repr=False)
    unix_now_s: float

    def run(self) -> VerifiedChain | CertificatesRefused:
        """The first chain that holds, else why the first that could have does not."""
        refusal: CertificatesRefused | None = None
        for group in self.groups[:GROUPS_VERIFIED_MOST]:
            if group.certificates[0].type in SPKI_TYPES:
                continue
            outcome = self._verify(group)
            if isinstance(outcome, VerifiedChain):
                return outcome
            refusal = refusal or outcome
        return refusal or CertificatesRefused(
            CertificateFailure.UNSUPPORTED, "no certificate of a supported type", None
        )

    def _verify(self, group: CertificateGroup) -> VerifiedChain | CertificatesRefused:
        presented: list[HostCertificate] = []
        for certificate in group.certificates:
            try:
                carried = read_carried(certificate.type, certificate.certificate)
            except CertificateError as error:
                return CertificatesRefused(error.failure, error.detail, certificate)
            if not isinstance(carried, HostCertificate):
                return CertificatesRefused(
                    CertificateFailure.UNSUPPORTED,
                    f"CERT type {certificate.type} is not looked up",
                    certificate,
                )
            presented.append(carried)
        try:
            return verify_chain(presented, self.trust, self.unix_now_s, host=self.host)
        except CertificateError as error:
            at_fault = None if error.position is None else group.certificates[error.position]
            return CertificatesRefused(error.failure, error.detail, at_fault)


def invalid_certificate(certificate: Cert | None) -> Notification:
    """INVALID_CERTIFICATE, with CERT group and CERT ID of the one at fault (section 5)."""
    data = b"" if certificate is None else bytes((certificate.group, certificate.id))
    return Notification(int(NotifyType.INVALID_CERTIFICATE), data)


def credentials_required() -> Notification:
    """CREDENTIALS_REQUIRED: no association without a certificate (section 5)."""
    return Notification(int(NotifyType.CREDENTIALS_REQUIRED), b"")
