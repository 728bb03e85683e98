"""Messages of netfilter queues (linux/netfilter/nfnetlink_queue.h)."""

cdef extern from "<linux/netlink.h>" nogil:
    enum:
        NLM_F_REQUEST

cdef extern from "<linux/netfilter.h>" nogil:
    enum:
        NF_DROP
        NF_ACCEPT

cdef extern from "<linux/netfilter/nfnetlink.h>" nogil:
    enum:
        NFNL_SUBSYS_QUEUE

cdef extern from "<linux/netfilter/nfnetlink_queue.h>" nogil:
    enum:
        NFQNL_MSG_PACKET
        NFQNL_MSG_VERDICT
        NFQNL_MSG_VERDICT_BATCH
        NFQA_PACKET_HDR
        NFQA_VERDICT_HDR
        NFQA_MARK
        NFQA_PAYLOAD
        NFQA_CAP_LEN
        NFQA_SKB_INFO
        NFQA_SKB_CSUMNOTREADY
        NFQA_SKB_GSO
