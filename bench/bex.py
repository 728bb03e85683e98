"""Base exchanges per second and core as Responder, beside what libcrypto alone would allow.

    python -m bench.bex [--rounds N] [--exchanges N] [--profile]

One round: some Initiators ask, solve and send their I2s, which nobody times; then the Responder's
share of each exchange is timed in the CPU time of this thread: I1 to R1 in the data path's
node, I2 to R2 in the engine, the job included, without sockets. Right after it, in the same round,
the same number of libcrypto's own
operations that an exchange cannot do without: one ECDH, one verification, one signature, and the
generation of the Diffie-Hellman key and signature of the R1, spread over the exchanges that share
it. Identities ECDSA P-256, group P-256, K = 0.

The bound calls libcrypto as anybody does, through `cryptography`, which brings one of its own; a
few operations before are not timed, so that it begins as warm as we do. The same operations by
direct calls of the system's libcrypto, which is what we make, are shown beside it.
"""

from __future__ import annotations

import argparse
import cProfile
import gc
import os
import pstats
import time
from collections.abc import Callable, Sequence
from ipaddress import IPv4Address

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from bench import machine
from bench.figures import Figure, goal_line, ratio_line, series
from hipgw._fastpath.answer_i1 import I1Desk
from hipgw._fastpath.elliptic import EcKey, verify
from hipgw._fastpath.tables import SaTables
from hipgw.crypto import PrivateHostIdentity, identities
from hipgw.daemon.strangers import Strangers
from hipgw.proto import Compute, Endpoint, EndpointConfig, Event, PublishR1s, SendDatagram
from hipgw.values import DhGroup, Encapsulation, HipCipher, Path

ROUNDS = 15
EXCHANGES = 100
GOAL = 0.5
NOW_S = 1000.0
WARM_UP = 10
COORDINATE_OCTETS = 32
DIGEST_OCTETS = 48
PROFILE_LINES = 30
CONFIG = EndpointConfig(
    dh_groups=(DhGroup.NIST_P256,),
    hip_ciphers=(HipCipher.AES_128_CBC,),
    r1_source_rate=1e6,
    r1_source_burst=1e6,
    half_open_most=1 << 20,
    half_open_per_source=1 << 20,
)


def path(local: int, peer: int) -> Path:
    """UDP: the checksum of raw IP is the kernel's business elsewhere, too."""
    return Path(IPv4Address(local), IPv4Address(peer), Encapsulation.UDP, 10500, 10500)


def settle(
    endpoint: Endpoint, now: float, strangers: Strangers | None = None
) -> tuple[list[SendDatagram], list[Event]]:
    """Run jobs at once; what is to be sent, and what has happened."""
    sent: list[SendDatagram] = []
    while effects := endpoint.take_effects():
        for effect in effects:
            if isinstance(effect, Compute):
                endpoint.job_done(effect.job_id, effect.job.run(), now)
            elif isinstance(effect, SendDatagram):
                sent.append(effect)
            elif isinstance(effect, PublishR1s) and strangers is not None:
                strangers.publish(effect)
    return sent, endpoint.take_events()


class Party:
    """A Responder and the Initiators of one round."""

    def __init__(self, responder: PrivateHostIdentity, initiators: Sequence[PrivateHostIdentity]):
        self.here, self.there = 0x0A000001, 0x0A010000
        self.responder = Endpoint([responder], CONFIG, os.urandom, NOW_S)
        self.desk = I1Desk(SaTables())
        settle(self.responder, NOW_S, Strangers(self.desk))
        self.initiators = [Endpoint([key], CONFIG, os.urandom, NOW_S) for key in initiators]
        self.i1s = [self._want(number, responder) for number in range(len(initiators))]
        self.i2s: list[bytes] = []

    def _want(self, number: int, responder: PrivateHostIdentity) -> bytes:
        endpoint = self.initiators[number]
        settle(endpoint, NOW_S)
        way = path(self.there + number, self.here)
        endpoint.want_association(responder.hit, [way], NOW_S)
        return settle(endpoint, NOW_S)[0][0].payload

    def ask(self, i1s: Sequence[bytes]) -> list[bytes]:
        """Have the Responder's data path answer one I1 of each Initiator."""
        here, now_ns = IPv4Address(self.here).packed, int((NOW_S + 0.01) * 1e9)
        return [
            self.desk.answer(i1, IPv4Address(self.there + number).packed, here, False, now_ns)
            or b""
            for number, i1 in enumerate(i1s)
        ]

    def receive(self, packets: Sequence[bytes]) -> list[bytes]:
        """Have the Responder take one packet of each Initiator; returns its answers."""
        answers = []
        for number, packet in enumerate(packets):
            self.responder.receive_datagram(
                packet, path(self.here, self.there + number), NOW_S + 0.01
            )
            sent, _ = settle(self.responder, NOW_S + 0.01)
            answers += [one.payload for one in sent]
        return answers

    def answer(self, r1s: Sequence[bytes]) -> None:
        """Have each Initiator take its R1 and make its I2."""
        for number, r1 in enumerate(r1s):
            endpoint = self.initiators[number]
            endpoint.receive_datagram(r1, path(self.there + number, self.here), NOW_S + 0.02)
            self.i2s += [one.payload for one in settle(endpoint, NOW_S + 0.02)[0]]


def cpu_s(work: Callable[[], object]) -> float:
    begin = time.thread_time()
    work()
    return time.thread_time() - begin


def exchanges_s(party: Party, profile: cProfile.Profile | None) -> float:
    """The Responder's share of all exchanges of a party."""
    r1s: list[bytes] = []
    r2s: list[bytes] = []

    def run(work: Callable[[], object]) -> float:
        return cpu_s(work) if profile is None else cpu_s(lambda: profile.runcall(work))

    taken = run(lambda: r1s.extend(party.ask(party.i1s)))
    party.answer(r1s)
    taken += run(lambda: r2s.extend(party.receive(party.i2s)))
    if not len(r1s) == len(party.i2s) == len(r2s) == len(party.i1s):
        raise RuntimeError(f"{len(party.i1s)} I1s, {len(r1s)} R1s, {len(r2s)} R2s")
    return taken


class Libcrypto:
    """The operations alone, as anybody calls them through `cryptography`.

    Public keys come as octets, another one in each exchange, and signatures as DER.
    """

    def __init__(self, exchanges: int) -> None:
        self.curve = ec.SECP256R1()
        self.algorithm = ec.ECDSA(hashes.SHA384())
        self.key = ec.generate_private_key(self.curve)
        self.message = bytes(400)
        peers = [ec.generate_private_key(self.curve) for _ in range(exchanges)]
        self.points = [
            peer.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
            for peer in peers
        ]
        self.signatures = [peer.sign(self.message, self.algorithm) for peer in peers]

    def generation(self) -> None:
        """What one generation of R1s costs, whoever answers it."""
        ec.generate_private_key(self.curve)
        self.key.sign(self.message, self.algorithm)

    def exchanges(self) -> None:
        """ECDH, verification, signature, in turns, as in a Responder."""
        load = ec.EllipticCurvePublicKey.from_encoded_point
        for point, signature in zip(self.points, self.signatures, strict=True):
            self.key.exchange(ec.ECDH(), load(self.curve, point))
            load(self.curve, point).verify(signature, self.message, self.algorithm)
            self.key.sign(self.message, self.algorithm)


class Direct:
    """The same by `hipgw._fastpath.elliptic`: points as X | Y, signatures as r | s."""

    def __init__(self, exchanges: int) -> None:
        self.key = EcKey(COORDINATE_OCTETS)
        self.message = bytes(400)
        peers = [EcKey(COORDINATE_OCTETS) for _ in range(exchanges)]
        self.points = [peer.public() for peer in peers]
        self.signatures = [peer.sign(DIGEST_OCTETS, self.message) for peer in peers]

    def generation(self) -> None:
        """As above."""
        EcKey(COORDINATE_OCTETS)
        self.key.sign(DIGEST_OCTETS, self.message)

    def exchanges(self) -> None:
        """As above."""
        for point, signature in zip(self.points, self.signatures, strict=True):
            self.key.exchange(point)
            verify(COORDINATE_OCTETS, point, DIGEST_OCTETS, self.message, signature)
            self.key.sign(DIGEST_OCTETS, self.message)


def rounds_of(
    count: int, exchanges: int, profile: cProfile.Profile | None
) -> tuple[Figure, Figure, Figure]:
    """Exchanges a second and core, what libcrypto's operations allow, and by direct calls."""
    responder = PrivateHostIdentity.generate("ecdsa-p256")
    crypto, direct = Libcrypto(exchanges), Direct(exchanges)
    warming = Libcrypto(WARM_UP)
    ours: list[float] = []
    bound: list[float] = []
    bare: list[float] = []
    for _ in range(count):
        # Strangers in each round, whose keys nobody has parsed before.
        strangers = [PrivateHostIdentity.generate("ecdsa-p256") for _ in range(exchanges)]
        party = Party(responder, strangers)
        identities._parsed.cache_clear()  # noqa: SLF001 - it has seen them as Initiators
        gc.collect()
        gc.freeze()  # as the daemon does
        ours.append(exchanges / exchanges_s(party, profile))
        warming.exchanges()
        bound.append(exchanges / (cpu_s(crypto.generation) + cpu_s(crypto.exchanges)))
        bare.append(exchanges / (cpu_s(direct.generation) + cpu_s(direct.exchanges)))
    return (
        series("base exchanges per second and core", "/s", ours),
        series("what libcrypto's operations allow", "/s", bound),
        series("the same by direct calls", "/s", bare),
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--exchanges", type=int, default=EXCHANGES, help="in each round")
    parser.add_argument("--profile", action="store_true", help="where the Responder's time goes")
    options = parser.parse_args()
    print(machine.describe())
    profile = cProfile.Profile() if options.profile else None
    ours, bound, bare = rounds_of(options.rounds, options.exchanges, profile)
    print()
    for figure in (ours, bound, bare):
        print(figure)
    print(ratio_line(ours, bound))
    print(ratio_line(ours, bare))
    print(goal_line("of libcrypto's bound", ours.median / bound.median, GOAL, "", at_most=False))
    if profile is not None:
        pstats.Stats(profile).sort_stats("tottime").print_stats(PROFILE_LINES)


if __name__ == "__main__":
    main()
