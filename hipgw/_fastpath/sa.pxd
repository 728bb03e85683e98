"""Run-time copies of security associations; `tables` alone writes them.

A worker owns the fields below "worker": no other thread writes them, and the control plane
reads them without locks (aligned 64-bit loads).
"""

from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t

from hipgw._fastpath.key_cache cimport KeyRoom

cdef enum:
    REPLAY_WORDS = 32           # 64-bit words; protects (32 - 1) * 64 = 1984 sequence numbers

# ESP suites as `EspSuite` of hipgw.values numbers them: HIPv2's are the wire's (RFC 7402 section
# 5.1.2); HIPv1's (RFC 5202 section 5.1.2), which count from 1 again, carry V1_FLAG on top.
# HIPv1's 4, Blowfish, is not carried: OpenSSL 3 keeps it in the legacy provider.
# FULL_FLAG is on top of HIPv2's suites with HMAC-SHA-256 when all 32 octets of it are the ICV, as
# some peers send it instead of the 16 of RFC 4868.
cdef enum:
    V1_FLAG = 0x100
    FULL_FLAG = 0x200
    SUITE_AES128_CBC_SHA1 = 1
    SUITE_NULL_SHA256 = 7
    SUITE_AES128_CBC_SHA256 = 8
    SUITE_AES256_CBC_SHA256 = 9
    SUITE_AES_CCM_8 = 10
    SUITE_AES_CCM_16 = 11
    SUITE_AES_GCM_8 = 12
    SUITE_AES_GCM_16 = 13
    SUITE_AES_CMAC_96 = 14
    SUITE_AES_GMAC = 15
    SUITE_V1_AES128_CBC_SHA1 = V1_FLAG | 1
    SUITE_V1_3DES_CBC_SHA1 = V1_FLAG | 2
    SUITE_V1_3DES_CBC_MD5 = V1_FLAG | 3
    SUITE_V1_NULL_SHA1 = V1_FLAG | 5
    SUITE_V1_NULL_MD5 = V1_FLAG | 6
    SUITE_FULL_NULL_SHA256 = FULL_FLAG | 7
    SUITE_FULL_AES128_CBC_SHA256 = FULL_FLAG | 8
    SUITE_FULL_AES256_CBC_SHA256 = FULL_FLAG | 9

cdef enum:
    BY_LIBCRYPTO = 0                    # EspCipher.backend; else the number of a kernel, from 1

cdef struct SuiteShape:
    uint8_t iv_octets
    uint8_t icv_octets
    uint8_t align_octets
    uint8_t encryption_key_octets       # salt included
    uint8_t authentication_key_octets

cdef struct WireShape:
    uint8_t iv_octets
    uint8_t icv_octets
    uint8_t align_octets

cdef struct EspCipher:
    # Keys of one SA; made and wiped by esp_cipher.pyx only. First in SaOut and SaIn, so that a
    # pointer to one of them is a pointer to this.
    KeyRoom *room                       # its worker's keyed state
    uint64_t key_number                 # of these keys in `room`
    uint8_t key[32]                     # of the cipher, or of GMAC
    uint8_t mac_key[32]                 # of HMAC or CMAC, or the salt of GCM, CCM and GMAC
    uint16_t suite                      # SUITE_*
    uint8_t backend                     # GCM: number in ipsec_mb; with HMAC: in bursts
    uint8_t extended                    # 1: the ICV covers 64 bits of the sequence number
    WireShape shape

cdef struct Replay:
    uint64_t top                        # highest number accepted; 0 = none yet
    uint64_t words[REPLAY_WORDS]

cdef struct SaOut:
    EspCipher esp
    uint32_t spi
    uint8_t local_hit[16]
    uint8_t peer_hit[16]
    uint8_t local_lsi[4]                # all zero = none
    uint8_t peer_lsi[4]
    uint8_t outer_family                # 4 or 6
    uint8_t udp                         # 1 = ESP in UDP, 0 = protocol 50
    uint16_t source_port                # host order
    uint16_t destination_port
    uint16_t pair                       # of workers, the one whose outbound worker owns this
    uint8_t source[16]                  # first 4 octets when outer_family is 4
    uint8_t destination[16]
    # worker
    uint64_t sequence                   # last number sent
    uint64_t packets
    uint64_t octets                     # inner, IP header included
    uint64_t last_used_ns               # CLOCK_MONOTONIC
    uint64_t expire_told                # 1 after the soft limit was punted
    uint64_t spent                      # inner octets sent while limited
    uint64_t socket_ns                  # CLOCK_MONOTONIC: last packet by the raw socket
    # control plane
    uint64_t limited                    # 1: no more than `allowance` may be spent (RFC 8046 5.6)
    uint64_t allowance
    uint64_t payload_most               # octets of payload that the path carries; 0: not known
    uint64_t link                       # next hop: interface << 48 | link address; 0: not known

cdef struct SaIn:
    EspCipher esp
    uint32_t spi
    uint8_t local_hit[16]
    uint8_t peer_hit[16]
    uint8_t local_lsi[4]
    uint8_t peer_lsi[4]
    uint16_t pair
    # worker
    uint64_t packets
    uint64_t octets
    uint64_t last_used_ns
    uint64_t first_told                 # 1 after PUNT_FIRST_ESP
    Replay replay                       # last: one word of it matters to a packet (warm.pyx)
