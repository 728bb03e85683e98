"""Whose I1s the data path leaves to the engine: associations, and peers set apart."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_address
from random import Random

from hipgw._fastpath.answer_i1 import I1Desk
from hipgw._fastpath.tables import SaTables
from hipgw.crypto import PrivateHostIdentity
from hipgw.daemon.strangers import Strangers
from hipgw.proto import ClaimI1s, Compute, Endpoint, EndpointConfig, PublishR1s
from hipgw.values import DhGroup, Hit, Path
from hipgw.wire import DhGroupList, HipPacket, PacketType, emit_packet, with_checksum

KEY = PrivateHostIdentity.generate("ecdsa-p256")
PEER = Hit(bytes.fromhex("20010022") + bytes(11) + b"1")
OTHER = Hit(bytes.fromhex("20010022") + bytes(11) + b"2")
PATH = Path(ip_address("192.0.2.1"), ip_address("198.51.100.7"))


class Desk:
    """A desk that offers what a real engine has published."""

    def __init__(self, *apart: Hit) -> None:
        config = EndpointConfig(dh_groups=(DhGroup.NIST_P256,))
        self.engine = Endpoint([KEY], config, Random(1).randbytes, 1000.0)
        self.desk = I1Desk(SaTables())
        self.strangers = Strangers(self.desk)
        self.associated: set[Hit] = set()
        self.set_apart(*apart)
        self._settle()

    def reconfigure(self, puzzle_ks: dict[Hit, int]) -> None:
        """Other peers have puzzles of their own."""
        self.engine.reconfigure(replace(self.engine.config, puzzle_ks=puzzle_ks), 1000.5)
        self._settle()

    def _settle(self) -> None:
        while effects := self.engine.take_effects():
            for effect in effects:
                if isinstance(effect, Compute):
                    self.engine.job_done(effect.job_id, effect.job.run(), 1000.0)
                elif isinstance(effect, PublishR1s):
                    self.strangers.publish(effect)

    def set_apart(self, *peers: Hit) -> None:
        self.strangers.set_apart(frozenset(peers), lambda _, peer: peer in self.associated)

    def answers(self, peer: Hit) -> bool:
        i1 = HipPacket(PacketType.I1, peer, KEY.hit, (DhGroupList((7,)),))
        packet = with_checksum(emit_packet(i1), PATH.peer, PATH.local)
        source, place = PATH.peer.packed, PATH.local.packed
        return self.desk.answer(packet, source, place, True, 1001 * 10**9) is not None

    def claim(self, peer: Hit, *, is_claimed: bool) -> None:
        (self.associated.add if is_claimed else self.associated.discard)(peer)
        self.strangers.claim(ClaimI1s(KEY.hit, peer, is_claimed))


def test_a_peer_set_apart_is_the_engines_and_others_are_not() -> None:
    desk = Desk(PEER)
    assert not desk.answers(PEER)
    assert desk.answers(OTHER)


def test_a_peer_with_a_puzzle_of_its_own_is_the_engines() -> None:
    desk = Desk()
    assert desk.answers(PEER)
    desk.reconfigure({PEER: 7})
    assert not desk.answers(PEER)
    assert desk.answers(OTHER)
    desk.set_apart(OTHER)
    assert not desk.answers(PEER)
    assert not desk.answers(OTHER)
    desk.reconfigure({})
    assert desk.answers(PEER)
    assert not desk.answers(OTHER)


def test_it_stays_so_after_its_association_has_come_and_gone() -> None:
    desk = Desk(PEER)
    desk.claim(PEER, is_claimed=True)
    desk.claim(PEER, is_claimed=False)
    assert not desk.answers(PEER)
    desk.set_apart()
    assert desk.answers(PEER)


def test_an_association_stays_the_engines_when_its_peer_is_apart_no_more() -> None:
    desk = Desk(PEER)
    desk.claim(PEER, is_claimed=True)
    desk.set_apart(OTHER)
    assert not desk.answers(PEER)
    assert not desk.answers(OTHER)
    desk.claim(PEER, is_claimed=False)
    assert desk.answers(PEER)
