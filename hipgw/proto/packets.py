"""The packets that we send, before addresses are known: checksum 0, MACs and signatures in place.

Where a MAC or signature comes next, the octets built so far are exactly what it covers: checksum 0
and a Header Length that ends before it (RFC 7401 sections 6.4.1, 6.4.2).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from hipgw.crypto import PrivateHostIdentity, compute_mac
from hipgw.errors import LocalProtocolError
from hipgw.values import RHASH_OCTETS, EspSuite, HipCipher, Hit, HitSuite, Spi
from hipgw.values.identifiers import SPI_LEAST
from hipgw.wire import (
    DhGroupList,
    EchoResponseUnsigned,
    EspInfo,
    EspTransform,
    HipMac,
    HipMac2,
    HipPacket,
    HipSignature,
    HipSignature2,
    HostId,
    PacketType,
    Parameter,
    ParameterType,
    TransportFormatList,
    append_parameter,
    emit_packet,
    mac2_octets,
)

ESP_FORMAT = int(ParameterType.ESP_TRANSFORM)
"""The transport format number of ESP is its parameter type (RFC 7402 section 5.1.2)."""


def build_packet(
    packet_type: PacketType,
    sender: Hit,
    receiver: Hit,
    parameters: Iterable[Parameter],
    *,
    controls: int = 0,
) -> bytes:
    """Emit a packet with `parameters` sorted by type, as the wire wants them (section 5.2.1)."""
    in_order = tuple(sorted(parameters, key=lambda parameter: parameter.wire_type))
    return emit_packet(HipPacket(packet_type, sender, receiver, in_order, controls=controls))


def build_i1(sender: Hit, receiver: Hit, groups: Sequence[int]) -> bytes:
    """I1: the Diffie-Hellman groups we offer (section 5.3.1)."""
    return build_packet(PacketType.I1, sender, receiver, (DhGroupList(tuple(groups)),))


def host_id_of(identity: PrivateHostIdentity, di_type: int, di: bytes) -> HostId:
    """HOST_ID of one of our identities with its domain identifier (section 5.2.9)."""
    public = identity.public
    return HostId(int(public.algorithm), public.hi, di_type, di)


def esp_offer(suites: Sequence[EspSuite]) -> tuple[Parameter, Parameter]:
    """TRANSPORT_FORMAT_LIST and ESP_TRANSFORM (section 5.2.11; RFC 7402 section 5.1.2)."""
    return (
        TransportFormatList((ESP_FORMAT,)),
        EspTransform(tuple(int(suite) for suite in suites)),
    )


def esp_info_is_fit(esp_info: EspInfo, keymat_index: int) -> bool:
    """Whether an ESP_INFO may stand in an I2 or R2 (RFC 7402 section 5.1.1)."""
    return (
        esp_info.new_spi >= SPI_LEAST
        and esp_info.old_spi == 0
        and esp_info.keymat_index == keymat_index
    )


def hip_keymat_octets(cipher: HipCipher, suite: HitSuite) -> int:
    """KEYMAT index of the first ESP key: what the four HIP keys take before (section 6.5)."""
    return 2 * (cipher.key_octets + RHASH_OCTETS[suite])


def with_mac(octets: bytes, suite: HitSuite, key: bytes) -> bytes:
    """Append HIP_MAC (section 5.2.12)."""
    return append_parameter(octets, HipMac(compute_mac(suite, key, octets)))


def with_signature(octets: bytes, identity: PrivateHostIdentity) -> bytes:
    """Append HIP_SIGNATURE (section 5.2.14)."""
    signature = identity.sign(octets)
    return append_parameter(octets, HipSignature(int(identity.public.algorithm), signature))


def with_signature_2(octets: bytes, identity: PrivateHostIdentity) -> bytes:
    """Append HIP_SIGNATURE_2 to an R1 whose receiver, opaque and I are still zero (5.2.15)."""
    signature = identity.sign(octets)
    return append_parameter(octets, HipSignature2(int(identity.public.algorithm), signature))


def build_r2(
    identity: PrivateHostIdentity,
    peer: Hit,
    *,
    keymat_index: int,
    spi_in: Spi,
    suite: HitSuite,
    mac_key: bytes,
    host_id_tlv: bytes,
    others: Sequence[Parameter] = (),
) -> bytes:
    """R2: our SPI, HIP_MAC_2 over it and the HOST_ID of our R1, signature (section 5.3.4)."""
    esp_info = EspInfo(keymat_index, 0, int(spi_in))
    octets = build_packet(PacketType.R2, identity.hit, peer, (esp_info, *others))
    mac = compute_mac(suite, mac_key, mac2_octets(octets, host_id_tlv))
    return with_signature(append_parameter(octets, HipMac2(mac)), identity)


def with_unsigned_echoes(octets: bytes, echoes: Iterable[bytes]) -> bytes:
    """Append an ECHO_RESPONSE_UNSIGNED for each request, as far as the packet has room (5.2.23).

    Middleboxes add the requests, so their number is nobody's promise.
    """
    for data in echoes:
        try:
            octets = append_parameter(octets, EchoResponseUnsigned(data))
        except LocalProtocolError:
            return octets
    return octets
