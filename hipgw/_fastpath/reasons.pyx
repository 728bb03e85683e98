"""Names and meanings of the data path's drop reasons.

The numbers are those of `Reason` in reasons.pxd; the counter, metric and documentation row of a
reason carry the name given here.
"""

_TABLE = {
    R_RUNT: ("runt", "too short for the headers it must have"),
    R_INNER_MALFORMED: (
        "inner_malformed",
        "inner packet with a wrong version or length, or an IPv4 fragment, which BEET cannot carry",
    ),
    R_NOT_HIP_DESTINATION: (
        "not_hip_destination", "inner destination neither HIT nor LSI of a peer"
    ),
    R_SOURCE_NOT_OURS: (
        "source_not_ours", "inner source is not the local HIT or LSI of the association"
    ),
    R_PUNT_FULL: ("punt_full", "no room in the queue to the control plane"),
    R_SEQUENCE_SPENT: (
        "sequence_spent", "outbound SA has used its last sequence number and waits for a rekey"
    ),
    R_CIPHER_FAILED: ("cipher_failed", "the crypto library refused to seal"),
    R_SPI_RESERVED: ("spi_reserved", "SPI 1 to 255 (RFC 4303 section 2.1)"),
    R_SPI_UNKNOWN: ("spi_unknown", "no inbound SA with that SPI"),
    # "replayed" alone is the control plane's (hipgw.values.reasons).
    R_REPLAYED: ("esp_replayed", "ESP sequence number already seen, or 0"),
    R_TOO_OLD: ("too_old", "ESP sequence number left of the replay window"),
    R_ICV_WRONG: (
        "icv_wrong",
        "ESP integrity check failed; if always: the ends differ in extended_sequence_numbers"),
    R_LENGTH_WRONG: ("length_wrong", "ESP length impossible for the suite"),
    R_PADDING_WRONG: ("padding_wrong", "ESP pad length longer than the packet"),
    R_DUMMY: ("dummy", "authentic dummy packet, next header 59 (RFC 4303 section 2.6)"),
    R_NEXT_HEADER: ("next_header", "inner protocol that BEET cannot rebuild"),
    R_NO_LSI: ("no_lsi", "IPv4 payload for an association without LSIs"),
    R_KEEPALIVE: ("keepalive", "NAT keepalive, one octet 0xFF (RFC 3948 section 2.3)"),
    R_TRUNCATED: ("truncated", "datagram larger than a slot"),
    R_TUN_FULL: ("tun_full", "the TUN device did not take the packet"),
    R_SEND_FULL: ("send_full", "the socket had no room for the packet"),
    R_SEND_ERROR: ("send_error", "the socket refused the packet"),
    R_MULTICAST: ("multicast", "multicast or broadcast on the TUN device, never carried"),
    R_CREDIT_SPENT: ("credit_spent", "data to an address of the peer that is not verified yet"),
    # "r1_rate" is the control plane's, for the I1s that reach it.
    R_I1_RATE: ("i1_rate", "I1 above the rate at which one source, or all, get R1s"),
    R_SUBNET_SOURCE: ("subnet_source", "routed packet whose source is in no subnet of its peer"),
    R_SUBNET_DESTINATION: (
        "subnet_destination", "routed packet to an address that is not behind this gateway"
    ),
    R_LOOP: ("loop", "routed packet to the address that its own ESP packet would go to"),
    R_ECN_ILLEGAL: (
        "ecn_illegal", "congestion mark on a packet that cannot show it (RFC 6040 section 4.2)"
    ),
    R_TOO_BIG: ("too_big", "longer than the path carries, answered by an ICMP Packet Too Big"),
    R_HANDOVER_FULL: ("handover_full", "the worker that owns the SA had no room for the packet"),
}

if sorted(_TABLE) != list(range(1, R_COUNT)):
    raise ImportError("reasons.pyx and reasons.pxd differ: give every Reason one row of _TABLE")

REASON_NAMES = ("none", *(_TABLE[number][0] for number in range(1, R_COUNT)))
REASONS = dict(_TABLE[number] for number in range(1, R_COUNT))
