"""Parameter type numbers of the RFCs; an odd number is critical (RFC 7401 section 5.2.1)."""

from __future__ import annotations

from enum import IntEnum


class ParameterType(IntEnum):
    """Type field of a TLV; the comment names the RFC when it is not RFC 7401."""

    ESP_INFO = 65  # RFC 7402
    R1_COUNTER_V1 = 128  # RFC 5201: HIPv1 only
    R1_COUNTER = 129
    LOCATOR_SET = 193  # RFC 8046
    PUZZLE = 257
    SOLUTION = 321
    SEQ = 385
    ACK = 449
    DH_GROUP_LIST = 511
    DIFFIE_HELLMAN = 513
    HIP_TRANSFORM = 577  # RFC 5201: HIPv1 only
    HIP_CIPHER = 579
    NAT_TRAVERSAL_MODE = 608  # RFC 9028
    TRANSACTION_PACING = 610  # RFC 9028
    ENCRYPTED = 641
    HOST_ID = 705
    HIT_SUITE_LIST = 715
    CERT = 768  # RFC 8002
    NOTIFICATION = 832
    ECHO_REQUEST_SIGNED = 897
    REG_INFO = 930  # RFC 8003
    REG_REQUEST = 932  # RFC 8003
    REG_RESPONSE = 934  # RFC 8003
    REG_FAILED = 936  # RFC 8003
    REG_FROM = 950  # RFC 9028
    ECHO_RESPONSE_SIGNED = 961
    TRANSPORT_FORMAT_LIST = 2049
    ESP_TRANSFORM = 4095  # RFC 7402
    SEQ_DATA = 4481  # RFC 6078
    ACK_DATA = 4545  # RFC 6078
    PAYLOAD_MIC = 4577  # RFC 6078
    TRANSACTION_ID = 4580  # RFC 6078
    OVERLAY_ID = 4592  # RFC 6079
    ROUTE_DST = 4601  # RFC 6028
    RELAYED_ADDRESS = 4650  # RFC 9028
    MAPPED_ADDRESS = 4660  # RFC 9028
    PEER_PERMISSION = 4680  # RFC 9028
    CANDIDATE_PRIORITY = 4700  # RFC 9028
    NOMINATE = 4710  # RFC 9028
    HIP_TRANSPORT_MODE = 7680  # RFC 6261
    HIP_MAC = 61505
    HIP_MAC_2 = 61569
    HIP_SIGNATURE_2 = 61633
    HIP_SIGNATURE = 61697
    ECHO_RESPONSE_UNSIGNED = 63425
    ECHO_REQUEST_UNSIGNED = 63661
    RELAY_FROM = 63998  # RFC 9028
    RELAY_TO = 64002  # RFC 9028
    OVERLAY_TTL = 64011  # RFC 6079
    ROUTE_VIA = 64017  # RFC 6028
    FROM = 65498  # RFC 8004
    RVS_HMAC = 65500  # RFC 8004
    VIA_RVS = 65502  # RFC 8004
    RELAY_HMAC = 65520  # RFC 9028


def is_critical(parameter_type: int) -> bool:
    """Whether a receiver that does not know the type must drop the packet (section 5.2.1)."""
    return bool(parameter_type & 1)
