"""Padding of the plaintext of ENCRYPTED (RFC 7401 section 5.2.18).

The TLVs inside are multiples of 8 octets.  A block cipher wants multiples of its block, so n octets
of value n fill the last one; nothing is added when it is full already.  That is what deployed hosts
send; a literal PKCS #5 would add a whole block then, which is understood on receive.
"""

from __future__ import annotations

from struct import Struct
from typing import Final

from hipgw.errors import LocalProtocolError, WireError

_TLV_HEAD: Final = Struct("!HH")
_BLOCK_OCTETS_MAX: Final = 16


def pad_plaintext(tlvs: bytes, block_octets: int) -> bytes:
    """Fill TLVs up to the block of the cipher.

    Args:
        tlvs: complete TLVs.
        block_octets: 16 for AES; 1 when the cipher has no block.

    Raises:
        LocalProtocolError: TLVs that are no multiple of 8 octets, or an impossible block.
    """
    if len(tlvs) % 8 or not 1 <= block_octets <= _BLOCK_OCTETS_MAX:
        raise LocalProtocolError(f"cannot pad {len(tlvs)} octets to blocks of {block_octets}")
    fill = -len(tlvs) % block_octets
    return tlvs + bytes((fill,)) * fill


def strip_plaintext_padding(octets: bytes) -> bytes:
    """Drop what follows the last TLV: fewer than 4 octets, or n <= 16 octets of value n.

    Raises:
        WireError: hip_malformed, a TLV that claims more octets than there are.
    """
    offset, end = 0, len(octets)
    while end - offset >= _TLV_HEAD.size:
        left = end - offset
        if left <= _BLOCK_OCTETS_MAX and octets[offset:] == bytes((left,)) * left:
            break
        number, length = _TLV_HEAD.unpack_from(octets, offset)
        total = 11 + length - ((length + 3) & 7)
        if total > left:
            raise WireError(
                "hip_malformed", f"parameter of {total} octets in {left}", offset, number
            )
        offset += total
    return octets[:offset]
