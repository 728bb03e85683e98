"""Many associations in one endpoint, without as many base exchanges.

One base exchange is real.  Every further association takes the same way into the engine, from the
verdict on its I2 onwards, with a HIT, a Host Identity, keys and an R2 of its own; only the work of
the job, whose result it is, is left out.  What stands afterwards is what a responder holds.
"""

# ruff: noqa: SLF001 - associations enter behind the jobs, where nothing public leads
from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from ipaddress import IPv4Address

from hipgw.crypto import HostIdentity, PrivateHostIdentity, draw_esp_keys
from hipgw.proto import Compute, Endpoint, EndpointConfig, SendDatagram
from hipgw.proto.effects import Effect, JobId
from hipgw.proto.limits import source_of
from hipgw.proto.responder import Responder
from hipgw.proto.responder_jobs import AcceptedI2, AcceptI2
from hipgw.values import DhGroup, Path

LOCAL = IPv4Address("10.77.0.1")
FIRST_PEER = int(IPv4Address("10.128.0.1"))
ONE_GROUP = EndpointConfig(dh_groups=(DhGroup.NIST_P256,))


@dataclass(frozen=True, slots=True)
class Accepted:
    """The job of a real I2, what came of it, and how to begin the next one."""

    job: AcceptI2
    result: AcceptedI2
    then: Callable[[object, float], None]


def join(endpoint: Endpoint, now: float, number: int) -> Accepted:
    """A real base exchange of a new peer with `endpoint`, up to the verdict on its I2."""
    peer = PrivateHostIdentity.generate("ecdsa-p256")
    other = Endpoint([peer], ONE_GROUP, os.urandom, now)
    place = IPv4Address(FIRST_PEER + number)
    other.want_association(endpoint.identities[0], [Path(place, LOCAL)], now)
    here = Path(LOCAL, place)
    while True:
        for payload in packets_of(other, now):
            endpoint.receive_datagram(payload, here, now)
        for effect in endpoint.take_effects():
            if isinstance(effect, SendDatagram):
                other.receive_datagram(effect.payload, Path(place, LOCAL), now)
            elif isinstance(effect, Compute) and isinstance(effect.job, AcceptI2):
                return accepted(endpoint, effect.job_id, effect.job)


def accepted(endpoint: Endpoint, job_id: JobId, job: AcceptI2) -> Accepted:
    result = job.run()
    if not isinstance(result, AcceptedI2):
        raise TypeError(f"the I2 was refused: {result}")
    return Accepted(job, result, lambda verdict, now: endpoint.job_done(job_id, verdict, now))


def packets_of(endpoint: Endpoint, now: float) -> Iterator[bytes]:
    """Run the jobs of a peer; its packets."""
    while effects := endpoint.take_effects():
        for effect in effects:
            if isinstance(effect, SendDatagram):
                yield effect.payload
            elif isinstance(effect, Compute):
                endpoint.job_done(effect.job_id, effect.job.run(), now)


class Crowd:
    """Makes associations of `endpoint`, each with a peer of its own."""

    def __init__(
        self, endpoint: Endpoint, now: float, apply: Callable[[list[Effect]], None]
    ) -> None:
        """Begin with one real exchange.

        Args:
            endpoint: its first R1s are made.
            now: monotonic seconds.
            apply: does what the effects say.
        """
        self._endpoint = endpoint
        self._apply = apply
        self._count = 0
        self._first = join(endpoint, now, 0)
        _, (self._open, _) = next(iter(self._responder._slots._slots.items()))
        self._first.then(self._first.result, now)
        self._settle(now)

    @property
    def _responder(self) -> Responder:
        return self._endpoint._parts.reception._responder

    def _settle(self, now: float) -> None:
        self._count += 1
        self._apply(self._endpoint.take_effects())
        newest = next(reversed(self._endpoint._core.associations.values()))
        if newest.spi_in is not None:
            self._endpoint.esp_received(newest.spi_in, now)
        self._endpoint.take_events()

    def grow(self, count: int, now: float) -> None:
        """Add so many ESTABLISHED associations."""
        for _ in range(count):
            self._add(now)

    def _add(self, now: float) -> None:
        core = self._endpoint._core
        local = core.identities[self._endpoint.identities[0]]
        public = PrivateHostIdentity.generate("ecdsa-p256").public
        result, job, peer = self._first.result, self._first.job, public.hit
        dialect, proposal = job.dialect, job.proposal
        protection = proposal.protection
        i, j = os.urandom(32), os.urandom(32)
        keymat = dialect.keymat(protection, os.urandom(32), (local.hit, peer), (i, j))
        hip = dialect.hip_keys(keymat, protection, local.hit, peer)
        esp = draw_esp_keys(keymat, hip.keymat_index, proposal.esp_suite, local.hit, peer)
        keying = replace(
            result.keying, keymat=keymat, hip=hip, esp=esp, i=i, j=j, dh_peer=os.urandom(65)
        )
        host_id = replace(result.host_id, hi=bytes(bytearray(public.hi)))
        identity = dialect.identity_from_host_id(host_id, peer)
        if not isinstance(identity, HostIdentity):
            raise TypeError(f"the identity was refused: {identity}")
        verdict = AcceptedI2(bytes(bytearray(result.r2)), keying, identity, host_id)
        address = IPv4Address(FIRST_PEER + self._count)
        half_open = replace(
            self._open,
            peer=peer,
            path=Path(LOCAL, address),
            source=source_of(address),
            solution=replace(self._open.solution, i=i, j=j),
            spi_in=core.sas.reserve_spi(),
        )
        self._responder._accept(half_open, None, verdict, now)
        self._settle(now)
