"""A host that runs no engine of ours, and leaves the RFCs where it is told to.

It speaks one base exchange in either role, and answers and sends UPDATEs.  Encoding is that of
`hipgw.wire`, but for what it does otherwise; that is written here a second time, so that a test
compares two readings of a deviation and not one with itself.  Where it refuses a packet it says why
in `complaint`, as a program would in its log.
"""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass, field, replace
from ipaddress import ip_address

from hipgw.crypto import (
    DhPrivateKey,
    EspKeys,
    HostIdentity,
    PrivateHostIdentity,
    draw_esp_keys,
    generate_dh,
)
from hipgw.proto import EndpointConfig
from hipgw.proto.dialect import Dialect
from hipgw.proto.dialect_v2 import DialectV2
from hipgw.proto.keying import Protection
from hipgw.values import NULL_HIT, DhGroup, EspSuite, Hit, Path, Quirk, Quirks, Spi
from hipgw.wire import (
    DiffieHellman,
    Encrypted,
    EspInfo,
    HipPacket,
    HostId,
    LocatorRecord,
    LocatorSet,
    PacketType,
    Parameter,
    ParameterType,
    Puzzle,
    R1Counter,
    Seq,
    Solution,
    SpiLocator,
    emit_packet,
    emit_parameter,
    find_tlv,
    mac2_octets,
    parse_parameters,
    patch_r1,
    peek_header,
    r1_signed_octets,
    with_checksum,
)
from tests.engine.forge import named
from tests.engine.network import Datagram, Node

SPI = Spi(0x0F0E_1234)
K = 6
"""Of the hosts under test, whose puzzles this host solves in Python."""
K_MORE = 16
"""Of this host: a solution of the RFC must not be one of its own by accident."""
OTHER_PLACE = ip_address("198.51.100.77")
MAC, MAC_2 = int(ParameterType.HIP_MAC), int(ParameterType.HIP_MAC_2)
SIGNATURE, SIGNATURE_2 = int(ParameterType.HIP_SIGNATURE), int(ParameterType.HIP_SIGNATURE_2)


def tlv(kind: int, contents: bytes) -> bytes:
    return kind.to_bytes(2) + len(contents).to_bytes(2) + contents + bytes(-(4 + len(contents)) & 7)


def contents_of(octets: bytes, kind: int) -> bytes | None:
    found = find_tlv(octets, kind)
    if found is None:
        return None
    offset, _ = found
    return octets[offset + 4 : offset + 4 + int.from_bytes(octets[offset + 2 : offset + 4])]


def up_to(octets: bytes, kind: int) -> bytes:
    """The packet before its TLV of a type, with the length of that and checksum 0."""
    offset, _ = find_tlv(octets, kind) or (len(octets), 0)
    return octets[:1] + bytes([offset // 8 - 1]) + octets[2:4] + b"\0\0" + octets[6:offset]


def then(octets: bytes, kind: int, contents: bytes) -> bytes:
    more = octets + tlv(kind, contents)
    return more[:1] + bytes([len(more) // 8 - 1]) + more[2:]


@dataclass(eq=False)
class Foreign:
    """One host with one peer; `deviations` are what it does, whatever the peer makes of it."""

    key: PrivateHostIdentity
    deviations: frozenset[Quirk] = frozenset()
    dialect: Dialect = field(default_factory=DialectV2)
    has_garbage: bool = False
    """Pad parameters with whatever is there."""
    short_secret: bool = False
    """As Initiator, choose a key with which the secret begins with a zero."""
    address: str = "198.51.100.9"
    complaint: str = ""
    established: bool = False
    sent: list[bytes] = field(default_factory=list)
    received: list[bytes] = field(default_factory=list)
    esp: EspKeys | None = None
    suite: EspSuite | None = None
    k: int = K_MORE
    """Of its puzzles."""
    nonce: int = 0
    """First octet of the I of its puzzles."""
    mac_keys: tuple[bytes, bytes] = (b"", b"")
    """What it sends with, and what it expects."""
    protection: Protection | None = None
    dh: DhPrivateKey | None = None
    host_id_tlv: bytes = b""
    """The one that HIP_MAC_2 covers."""
    peer: Node | None = None
    config: EndpointConfig = field(
        default_factory=lambda: EndpointConfig(
            dh_groups=(DhGroup.NIST_P256,),
            esp_suites=(EspSuite.AES_128_CBC_HMAC_SHA256,),
            v1_dh_groups=(DhGroup.MODP_384,),
        )
    )

    # --- in the network ---

    @property
    def hit(self) -> Hit:
        return named(self.key, self.dialect).hit

    def attach(self, peer: Node) -> None:
        """Answer what `peer` sends to our address."""
        self.peer = peer

        def wire(datagram: Datagram) -> list[Datagram]:
            if datagram.path.local == ip_address(self.address):
                self.received.append(datagram.payload)
                reply = self.receive(datagram.payload)
                if reply:
                    self.send(reply)
            return []

        peer.network.wire = wire

    def path(self) -> Path:
        """As the peer sees it."""
        assert self.peer is not None
        return Path(self.peer.address, ip_address(self.address))

    def send(self, octets: bytes) -> None:
        assert self.peer is not None
        self.sent.append(octets)
        path = self.path()
        octets = with_checksum(octets, path.peer, path.local)
        self.peer.network.deliver(Datagram("foreign", octets, path))

    def call(self) -> None:
        """Begin an exchange."""
        parameters = self.dialect.i1_parameters(self.config)
        self.send(self.packet(PacketType.I1, parameters))

    def receive(self, octets: bytes) -> bytes:
        """What it answers, or nothing and a complaint."""
        kind, *_ = peek_header(octets)
        handlers = {
            PacketType.I1: self.on_i1,
            PacketType.R1: self.on_r1,
            PacketType.I2: self.on_i2,
            PacketType.R2: self.on_r2,
            PacketType.UPDATE: self.on_update,
        }
        try:
            return handlers[PacketType(kind)](octets) if kind in set(handlers) else b""
        except AssertionError as refusal:
            self.complaint = str(refusal).splitlines()[0]
            return b""

    # --- packets ---

    def packet(
        self, kind: PacketType, parameters: tuple[Parameter, ...], receiver: Hit | None = None
    ) -> bytes:
        assert self.peer is not None
        receiver = self.peer_hit if receiver is None else receiver
        in_order = sorted(parameters, key=lambda one: one.wire_type)
        if Quirk.UNORDERED_PARAMETERS in self.deviations:
            in_order.reverse()
        empty = HipPacket(kind, self.hit, receiver, version=self.dialect.VERSION)
        octets = emit_packet(empty) + b"".join(self.emitted(one) for one in in_order)
        return octets[:1] + bytes([len(octets) // 8 - 1]) + octets[2:]

    @property
    def peer_hit(self) -> Hit:
        assert self.peer is not None
        key = self.peer.identities[0]
        return named(key, self.dialect).hit

    def emitted(self, parameter: Parameter) -> bytes:
        octets = bytearray(emit_parameter(parameter))
        if self.has_garbage:
            end = 4 + int.from_bytes(octets[2:4])
            octets[end:] = b"\xee" * (len(octets) - end)
        if isinstance(parameter, DiffieHellman) and Quirk.WRONG_DH_LENGTH in self.deviations:
            octets[5:7] = (8).to_bytes(2)
        if isinstance(parameter, LocatorSet) and Quirk.SHORT_LOCATOR in self.deviations:
            octets[6], octets[8:12] = 4, bytes(4)
        return bytes(octets)

    def locators(self) -> tuple[Parameter, ...]:
        if Quirk.SHORT_LOCATOR not in self.deviations:
            return ()
        return (LocatorSet((LocatorRecord(SpiLocator(int(SPI), OTHER_PLACE), 60),)),)

    def signed(self, octets: bytes, kind: int = SIGNATURE) -> bytes:
        is_short = (
            self.dialect.VERSION == 1 or Quirk.ONE_OCTET_SIGNATURE_ALGORITHM in self.deviations
        )
        algorithm = int(self.key.public.algorithm).to_bytes(1 if is_short else 2)
        signature = self.key.sign(octets, version=self.dialect.VERSION)
        return then(octets, kind, algorithm + signature)

    def check_signature(
        self, octets: bytes, kind: int, identity: HostIdentity, what: str, message: bytes
    ) -> None:
        contents = contents_of(octets, kind)
        assert contents is not None, f"{what} without parameter {kind}"
        is_short = (
            self.dialect.VERSION == 1 or Quirk.ONE_OCTET_SIGNATURE_ALGORITHM in self.deviations
        )
        size = 1 if is_short else 2
        assert int.from_bytes(contents[:size]) == identity.algorithm, f"{what}: algorithm"
        assert identity.verify(contents[size:], message, version=self.dialect.VERSION), (
            f"{what}: signature"
        )

    def peer_identity(self, host_id: HostId) -> HostIdentity:
        return HostIdentity.from_wire(host_id.algorithm, host_id.hi, allow_weak=True)

    def own_host_id(self) -> HostId:
        return self.dialect.host_id_of(named(self.key, self.dialect), 0, b"")

    # --- puzzle and keys ---

    def is_solved(self, i: bytes, j: bytes, hits: tuple[Hit, Hit], k: int) -> bool:
        """RFC 7401 section 6.3 for suite 2, RFC 5201 section 6.3; or how this host has it."""
        if Quirk.EXTRA_PUZZLE_BIT in self.deviations:
            k += k % 8 > 0
        return self.has_zeros(i, j, hits, k, self.deviations)

    def has_zeros(
        self, i: bytes, j: bytes, hits: tuple[Hit, Hit], k: int, deviations: Quirks
    ) -> bool:
        initiator, responder = hits[0].packed, hits[1].packed
        if Quirk.REVERSED_PUZZLE_HITS in deviations:
            initiator, responder = responder, initiator
        name = "sha384" if self.dialect.VERSION == 2 else "sha1"
        digest = hashlib.new(name, i + initiator + responder + j).digest()
        number = int.from_bytes(digest)
        if Quirk.LITTLE_ENDIAN_PUZZLE in deviations:
            number = int.from_bytes(digest[12:20], "little")
        return number & ((1 << k) - 1) == 0

    def solve(self, i: bytes, hits: tuple[Hit, Hit], k: int) -> bytes:
        """A solution by this host's rule, and by no other."""
        rules = {Quirk.REVERSED_PUZZLE_HITS, Quirk.LITTLE_ENDIAN_PUZZLE}
        own = self.deviations & rules
        others = [frozenset(), *(frozenset({rule}) for rule in rules)]
        others.remove(own)
        for number in range(1 << 20):
            j = number.to_bytes(len(i))
            if self.is_solved(i, j, hits, k) and not any(
                self.has_zeros(i, j, hits, k, rule) for rule in others
            ):
                return j
        raise AssertionError("puzzle")

    def own_dh(self, peer_public: bytes | None) -> DhPrivateKey:
        group, *_ = self.dialect.dh_groups(self.config)
        dh = generate_dh(group)
        while self.short_secret and peer_public is not None and dh.exchange(peer_public)[0]:
            dh = generate_dh(group)
        return dh

    def agree(
        self, protection: Protection, peer_public: bytes, nonces: tuple[bytes, bytes]
    ) -> tuple[bytes, bytes, int]:
        """Draw all keys; returns encryption keys out and in, and the KEYMAT index of ESP."""
        assert self.dh is not None
        kij = self.dh.exchange(peer_public)
        size, number = len(kij), int.from_bytes(kij)
        if Quirk.UNPADDED_DH_SECRET in self.deviations:
            kij = number.to_bytes((number.bit_length() + 7) // 8)
        if Quirk.LEFT_ALIGNED_DH_SECRET in self.deviations:
            short = number.to_bytes((number.bit_length() + 7) // 8)
            kij = short + bytes(size - len(short))
        hits = self.hit, self.peer_hit
        keymat = protection.keymat(kij, hits, nonces)
        keys = protection.hip_keys(keymat, *hits)
        self.mac_keys = keys.mac_out, keys.mac_in
        if self.deviations & {Quirk.SWAPPED_MAC_KEYS, Quirk.SWAPPED_EXCHANGE_MAC_KEYS}:
            self.mac_keys = keys.mac_in, keys.mac_out
        self.protection = protection
        assert self.suite is not None
        self.esp = draw_esp_keys(keymat, keys.keymat_index, self.suite, *hits)
        return keys.encryption_out, keys.encryption_in, keys.keymat_index

    def mac(self, key: bytes, octets: bytes) -> bytes:
        assert self.protection is not None
        return self.protection.mac(key, octets)

    def check_mac(self, octets: bytes, kind: int, covered: bytes, what: str) -> None:
        contents = contents_of(octets, kind)
        assert contents is not None, f"{what} without MAC"
        assert hmac.compare_digest(contents, self.mac(self.mac_keys[1], covered)), f"{what}: MAC"

    def end_exchange(self) -> None:
        self.established = True
        if Quirk.SWAPPED_EXCHANGE_MAC_KEYS in self.deviations:
            self.mac_keys = self.mac_keys[::-1]

    def esp_info(self, index: int) -> EspInfo:
        return EspInfo(index, 0, int(SPI))

    # --- as Responder ---

    def on_i1(self, _octets: bytes) -> bytes:
        self.dh = self.own_dh(None)
        host_id = self.own_host_id()
        self.host_id_tlv = self.emitted(host_id)
        parameters = [
            one
            for one in self.dialect.r1_parameters(self.config, 1, self.k, self.hit)
            if not isinstance(one, R1Counter)
        ]
        parameters += [self.dialect.dh_parameter((self.dh,)), host_id]
        octets = self.packet(PacketType.R1, tuple(parameters), NULL_HIT)
        octets = self.signed(octets, SIGNATURE_2)
        i = bytes(range(self.nonce, self.nonce + self.dialect.nonce_octets(self.hit)))
        return patch_r1(octets, self.peer_hit, b"op", i)

    def on_i2(self, octets: bytes) -> bytes:
        packet = self.dialect.parse(self.readable(octets))
        solution = packet.require(Solution)
        hits = self.peer_hit, self.hit
        assert self.is_solved(solution.i, solution.j, hits, self.k), "I2: puzzle"
        clear = packet.get(HostId)
        assert clear or Quirk.CLEAR_HOST_ID not in self.deviations, "I2: no HOST_ID"
        proposal = self.dialect.proposal_from_i2(packet, self.config)
        self.suite = proposal.esp_suite
        nonces = solution.i, solution.j
        _, decrypt, index = self.agree(proposal.protection, proposal.dh_peer, nonces)
        self.check_mac(octets, MAC, up_to(octets, MAC), "I2")
        if clear is None:
            plain = proposal.protection.decrypt(
                decrypt, packet.require(Encrypted).iv_and_ciphertext
            )
            inner = parse_parameters(plain, lenient_tail=True, version=self.dialect.VERSION)
            clear = next(one for one in inner if isinstance(one, HostId))
        identity = self.peer_identity(clear)
        self.check_signature(octets, SIGNATURE, identity, "I2", up_to(octets, SIGNATURE))
        r2 = self.packet(PacketType.R2, (self.esp_info(index), *self.locators()))
        r2 = then(r2, MAC_2, self.mac(self.mac_keys[0], mac2_octets(r2, self.host_id_tlv)))
        self.end_exchange()
        second = Quirk.R2_SIGNATURE_2 in self.deviations
        return self.signed(r2, SIGNATURE_2 if second else SIGNATURE)

    # --- as Initiator ---

    def on_r1(self, octets: bytes) -> bytes:
        packet = self.dialect.parse(self.readable(octets))
        host_id = packet.require(HostId)
        identity = self.peer_identity(host_id)
        self.check_signature(octets, SIGNATURE_2, identity, "R1", r1_signed_octets(octets))
        offset, length = find_tlv(octets, int(ParameterType.HOST_ID)) or (0, 0)
        self.host_id_tlv = octets[offset : offset + length]
        puzzle = packet.require(Puzzle)
        j = self.solve(puzzle.i, (self.hit, self.peer_hit), puzzle.k)
        proposal = self.dialect.proposal_from_r1(packet, self.config_for(packet))
        self.suite = proposal.esp_suite
        self.dh = self.own_dh(proposal.dh_peer)
        encrypt, _, index = self.agree(proposal.protection, proposal.dh_peer, (puzzle.i, j))
        host_id_tlv = emit_parameter(self.own_host_id())
        sealed = proposal.protection.encrypt(encrypt, bytes(16), host_id_tlv)
        is_clear = Quirk.CLEAR_HOST_ID in self.deviations
        parameters: list[Parameter] = [
            self.esp_info(index),
            self.dialect.solution(puzzle.k, puzzle.opaque, (puzzle.i, j)),
            self.dialect.dh_parameter((self.dh,)),
            self.dialect.cipher_parameter(proposal.protection),
            self.own_host_id() if is_clear else Encrypted(sealed),
            *self.dialect.esp_offer((proposal.esp_suite,)),
            *self.locators(),
        ]
        counter = packet.get(R1Counter)
        if counter is not None and Quirk.NO_R1_COUNTER_ECHO not in self.deviations:
            parameters.append(counter)
        i2 = self.packet(PacketType.I2, tuple(parameters))
        i2 = then(i2, MAC, self.mac(self.mac_keys[0], i2))
        return self.signed(i2)

    def config_for(self, r1: HipPacket) -> EndpointConfig:
        """Perhaps it looks at nothing but its own order of groups."""
        if Quirk.INITIATOR_DH_ORDER not in self.deviations:
            return self.config
        first = self.config.dh_groups[:1]
        assert r1.require(DiffieHellman).group == first[0], "R1: group"
        return replace(self.config, dh_groups=first)

    def on_r2(self, octets: bytes) -> bytes:
        assert self.peer is not None
        self.check_mac(octets, MAC_2, mac2_octets(octets, self.host_id_tlv), "R2")
        kind = SIGNATURE_2 if Quirk.R2_SIGNATURE_2 in self.deviations else SIGNATURE
        identity = self.peer.identities[0].public
        self.check_signature(octets, kind, identity, "R2", up_to(octets, kind))
        self.end_exchange()
        return b""

    # --- afterwards ---

    def heartbeat(self, update_id: int = 0) -> None:
        """An UPDATE that wants to be acknowledged."""
        octets = self.packet(PacketType.UPDATE, (Seq(update_id),))
        octets = then(octets, MAC, self.mac(self.mac_keys[0], octets))
        self.send(self.signed(octets))

    def on_update(self, octets: bytes) -> bytes:
        assert self.peer is not None
        self.check_mac(octets, MAC, up_to(octets, MAC), "UPDATE")
        identity = self.peer.identities[0].public
        self.check_signature(octets, SIGNATURE, identity, "UPDATE", up_to(octets, SIGNATURE))
        return b""

    def readable(self, octets: bytes) -> bytes:
        """The packet up to its first MAC or signature: the rest this host reads by itself."""
        for kind in (MAC, MAC_2, SIGNATURE_2, SIGNATURE):
            if find_tlv(octets, kind) is not None:
                return up_to(octets, kind)
        return octets
