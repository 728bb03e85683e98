"""Why the data path dropped a packet: every reason is one counter.

Keep in step with `REASONS` in reasons.pyx, which carries the meanings.
"""

cdef enum Reason:
    R_NONE = 0
    R_RUNT                      # too short for the headers it must have
    R_INNER_MALFORMED           # inner IP header with wrong version, length or extension chain
    R_NOT_HIP_DESTINATION       # inner destination neither HIT nor LSI
    R_SOURCE_NOT_OURS           # inner source is not the local HIT or LSI of the association
    R_PUNT_FULL                 # punt ring had no room
    R_SEQUENCE_SPENT            # outbound SA has used its last sequence number
    R_CIPHER_FAILED             # the crypto library refused to seal
    R_SPI_RESERVED              # SPI 1..255
    R_SPI_UNKNOWN               # no inbound SA with that SPI
    R_REPLAYED                  # sequence number already seen
    R_TOO_OLD                   # sequence number left of the window
    R_ICV_WRONG                 # integrity check failed
    R_LENGTH_WRONG              # ESP length impossible for the suite
    R_PADDING_WRONG             # pad length longer than the packet, or wrong padding octets
    R_DUMMY                     # next header 59: dummy packet (RFC 4303 2.6), ICV was right
    R_NEXT_HEADER               # inner protocol that BEET cannot rebuild
    R_NO_LSI                    # IPv4 payload for an association without LSIs
    R_KEEPALIVE                 # one octet 0xFF (RFC 3948 2.3)
    R_TRUNCATED                 # datagram larger than the slot
    R_TUN_FULL                  # TUN did not take the packet
    R_SEND_FULL                 # socket did not take the packet
    R_SEND_ERROR                # socket refused the packet
    R_MULTICAST                 # multicast or broadcast on hip0, never carried
    R_CREDIT_SPENT              # peer address not verified yet, and its credit is spent
    R_I1_RATE                   # I1 above the rates at which strangers are answered
    R_SUBNET_SOURCE             # routed packet whose source is in no prefix of its peer
    R_SUBNET_DESTINATION        # routed packet to an address that is not behind this host
    R_LOOP                      # routed packet to the outer address that it would go to
    R_ECN_ILLEGAL               # congestion seen on the way of a packet that knows no ECN
    R_TOO_BIG                   # longer than the path carries, and not to be fragmented
    R_HANDOVER_FULL             # the worker that owns the SA did not keep up
    R_COUNT
