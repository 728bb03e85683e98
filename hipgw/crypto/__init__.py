"""Host Identities, HITs, Diffie-Hellman, KEYMAT, puzzle, MACs: pure functions over octets.

The only room that imports `cryptography`.  Functions that take what a peer sent raise nothing but
`CryptoError`; secrets never appear in reprs or messages.
"""

from hipgw.crypto.dh import DhPrivateKey, generate_dh, usable_dh_groups
from hipgw.crypto.dh_groups import PUBLIC_OCTETS, SHARED_OCTETS
from hipgw.crypto.encrypted import decrypt_parameter, encrypt_parameter
from hipgw.crypto.hits import EddsaHitReading, hit_from_hi
from hipgw.crypto.identities import KEY_KINDS, HostIdentity, PrivateHostIdentity
from hipgw.crypto.keccak import cshake128, kmac128
from hipgw.crypto.keymat import EspKeys, HipKeys, Keymat, draw_esp_keys, draw_hip_keys
from hipgw.crypto.puzzle import puzzle_is_solved, solve_puzzle
from hipgw.crypto.rhash import compute_mac, mac_is_right, rhash

__all__ = [
    "KEY_KINDS",
    "PUBLIC_OCTETS",
    "SHARED_OCTETS",
    "DhPrivateKey",
    "EddsaHitReading",
    "EspKeys",
    "HipKeys",
    "HostIdentity",
    "Keymat",
    "PrivateHostIdentity",
    "compute_mac",
    "cshake128",
    "decrypt_parameter",
    "draw_esp_keys",
    "draw_hip_keys",
    "encrypt_parameter",
    "generate_dh",
    "hit_from_hi",
    "kmac128",
    "mac_is_right",
    "puzzle_is_solved",
    "rhash",
    "solve_puzzle",
    "usable_dh_groups",
]
