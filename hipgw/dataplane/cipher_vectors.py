"""A sealed packet for each suite that has a choice of libraries, to test these at start.

Made by a slow encoder that shares no code with hipgw; tshark decrypts and authenticates those of
HIPv2's suites.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from hipgw.values import EspSuite

PAYLOAD: Final = bytes.fromhex(
    "0fa0138800238ccd303132333435363738392065737020737569746520766563746f72"
)
"""A UDP datagram."""


@dataclass(frozen=True, slots=True)
class KnownPacket:
    """What PAYLOAD becomes."""

    encryption_key: bytes
    """Salt included."""
    authentication_key: bytes
    packet: bytes
    """SPI..ICV, the fifth of its SA."""


def _known(encryption_key: str, authentication_key: str, packet: str) -> KnownPacket:
    return KnownPacket(
        bytes.fromhex(encryption_key), bytes.fromhex(authentication_key), bytes.fromhex(packet)
    )


KNOWN_PACKETS: Final = {
    EspSuite.AES_GCM_16: _known(
        "113cfb62c751eff37cd41f7a689bea119d1d891a",
        "",
        "0001000d00000005000000010000000535828ba8dd19b13dcbd53dc4bd215dee71d8d8bd41e160de7164600ea797b6"
        "4ba7b2a29b9184ba4612e2cf0cafc61acfe472a80d7926f914",
    ),
    EspSuite.AES_128_CBC_HMAC_SHA256: _known(
        "ef170f0f577330b7e485d596f8791c62",
        "c9330847619f7e94211961d0b410e91f257db41b11320bb4bd788461017cb910",
        "0001000800000005976b295dbe5ae3a8af3c86cc2ad8953b9887137026da0dac368b1d8bd65209c72c281d50721088"
        "33b7464659db47bfa6b36103ffe05ee9fe67add87af69d29867ab355ea21735f92a19149762d6bb640",
    ),
    EspSuite.AES_256_CBC_HMAC_SHA256: _known(
        "9812edc1f02a62b8383738ecb6a2ae9e0681118f84232b8c4fcae274a2e6be2b",
        "adc0b3d4294c446d829501dd895deb193315bae90e57df4ebab0fccd3c906c62",
        "0001000900000005c968dc98fa350451f06265d1c730620481875b0acedcbd523c16121e262edd1389b70b99782a80"
        "aab535d7dddb0a79a3d433155728b47321cc1bbef4d18790e50d87c703edcb0885bef34bcfd731af81",
    ),
    EspSuite.AES_128_CBC_HMAC_SHA1: _known(
        "8bd44cbbd14eed948462938ee1288a60",
        "918b74f00df1a216ceb33d01aef2aeb0a7169061",
        "000100010000000586581b860c317e17bcea86a22359f03271fb14f06aee56aff84989826a5442d1f944db686832b9"
        "232f4ae6d03fdac26d13998c8fd4bede96f53514a04e864ec2899e16d7a04622fc66fc2cd0",
    ),
    EspSuite.NULL_HMAC_SHA256: _known(
        "",
        "ddfcfd02cc888c8f879e2f7ffeb061283bc00ecf634089f40e218d655fe8faeb",
        "00010007000000050fa0138800238ccd303132333435363738392065737020737569746520766563746f7201020303"
        "11d66d6ce4d48c81114741209a5851b227",
    ),
    EspSuite.V1_NULL_HMAC_SHA1: _known(
        "",
        "918b74f00df1a216ceb33d01aef2aeb0a7169061",
        "00010105000000050fa0138800238ccd303132333435363738392065737020737569746520766563746f7201020303"
        "113b49d22ef0084283eb2abcae",
    ),
}
