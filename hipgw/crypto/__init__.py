"""Host Identities, HITs, Diffie-Hellman, KEYMAT, puzzle, MACs: pure functions over octets.

Of HIPv2, except where a name says `v1`.  The only room that imports `cryptography`.  Functions that
take what a peer sent raise nothing but `CryptoError`; secrets never appear in reprs or messages.
"""

from hipgw.crypto.dh import (
    DhPrivateKey,
    generate_dh,
    left_aligned_secret,
    unpadded_secret,
    usable_dh_groups,
)
from hipgw.crypto.dh_groups import PUBLIC_OCTETS, SHARED_OCTETS
from hipgw.crypto.encrypted import decrypt_parameter, encrypt_parameter
from hipgw.crypto.hits import EddsaHitReading, hit_from_hi, hit_v1_from_hi
from hipgw.crypto.identities import KEY_KINDS, WEAK_KEY_KINDS, HostIdentity, PrivateHostIdentity
from hipgw.crypto.keccak import cshake128, kmac128
from hipgw.crypto.keymat import (
    EspKeys,
    HipKeys,
    Keymat,
    KeymatV1,
    draw_esp_keys,
    draw_hip_keys,
    draw_hip_keys_v1,
)
from hipgw.crypto.puzzle import puzzle_is_solved, solve_puzzle
from hipgw.crypto.puzzle_v1 import (
    NONCE_V1_OCTETS,
    PUZZLE_V1_K_MOST,
    PuzzleRule,
    puzzle_v1_is_solved,
    solve_puzzle_v1,
)
from hipgw.crypto.rhash import compute_mac, mac_is_right, rhash
from hipgw.crypto.transforms_v1 import (
    USABLE_TRANSFORMS,
    compute_mac_v1,
    decrypt_parameter_v1,
    encrypt_parameter_v1,
    mac_v1_is_right,
)

__all__ = [
    "KEY_KINDS",
    "NONCE_V1_OCTETS",
    "PUBLIC_OCTETS",
    "PUZZLE_V1_K_MOST",
    "SHARED_OCTETS",
    "USABLE_TRANSFORMS",
    "WEAK_KEY_KINDS",
    "DhPrivateKey",
    "EddsaHitReading",
    "EspKeys",
    "HipKeys",
    "HostIdentity",
    "Keymat",
    "KeymatV1",
    "PrivateHostIdentity",
    "PuzzleRule",
    "compute_mac",
    "compute_mac_v1",
    "cshake128",
    "decrypt_parameter",
    "decrypt_parameter_v1",
    "draw_esp_keys",
    "draw_hip_keys",
    "draw_hip_keys_v1",
    "encrypt_parameter",
    "encrypt_parameter_v1",
    "generate_dh",
    "hit_from_hi",
    "hit_v1_from_hi",
    "kmac128",
    "left_aligned_secret",
    "mac_is_right",
    "mac_v1_is_right",
    "puzzle_is_solved",
    "puzzle_v1_is_solved",
    "rhash",
    "solve_puzzle",
    "solve_puzzle_v1",
    "unpadded_secret",
    "usable_dh_groups",
]
