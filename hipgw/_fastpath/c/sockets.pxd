"""Batched datagrams with packet information (sys/socket.h, netinet/in.h)."""

from libc.stdint cimport uint8_t, uint16_t, uint32_t

cdef extern from "<sys/uio.h>" nogil:
    struct iovec:
        void *iov_base
        size_t iov_len
    ssize_t writev(int fd, const iovec *parts, int count)

cdef extern from "<sys/socket.h>" nogil:
    ctypedef uint16_t sa_family_t
    struct msghdr:
        void *msg_name
        uint32_t msg_namelen
        iovec *msg_iov
        size_t msg_iovlen
        void *msg_control
        size_t msg_controllen
        int msg_flags
    struct mmsghdr:
        msghdr msg_hdr
        unsigned int msg_len
    struct cmsghdr:
        size_t cmsg_len
        int cmsg_level
        int cmsg_type
    enum:
        AF_INET
        AF_INET6
        MSG_DONTWAIT
        MSG_NOSIGNAL
        MSG_TRUNC
    cmsghdr *CMSG_FIRSTHDR(msghdr *message)
    cmsghdr *CMSG_NXTHDR(msghdr *message, cmsghdr *header)
    uint8_t *CMSG_DATA(cmsghdr *header)
    size_t CMSG_SPACE(size_t octets)
    size_t CMSG_LEN(size_t octets)
    int recvmmsg(int fd, mmsghdr *messages, unsigned int count, int flags, void *timeout)
    ssize_t sendmsg(int fd, const msghdr *message, int flags)
    int sendmmsg(int fd, mmsghdr *messages, unsigned int count, int flags)

cdef extern from "<netinet/in.h>" nogil:
    struct in_addr:
        uint32_t s_addr
    struct in6_addr:
        uint8_t s6_addr[16]
    struct sockaddr_in:
        sa_family_t sin_family
        uint16_t sin_port
        in_addr sin_addr
    struct sockaddr_in6:
        sa_family_t sin6_family
        uint16_t sin6_port
        in6_addr sin6_addr
    struct in_pktinfo:
        int ipi_ifindex
        in_addr ipi_spec_dst
        in_addr ipi_addr
    struct in6_pktinfo:
        in6_addr ipi6_addr
        unsigned int ipi6_ifindex
    enum:
        IPPROTO_IP
        IPPROTO_IPV6
        IPPROTO_UDP             # also the level of a UDP socket's options
        IP_PKTINFO
        IP_TOS                  # ancillary data: one octet in, an int out
        IPV6_PKTINFO
        IPV6_TCLASS
        IP_TTL                  # ancillary data: an int, both ways
        IPV6_HOPLIMIT
    uint16_t htons(uint16_t value)
    uint16_t ntohs(uint16_t value)

cdef extern from "<linux/if_packet.h>" nogil:
    struct sockaddr_ll:
        uint16_t sll_family
        uint16_t sll_protocol
        int sll_ifindex
        uint16_t sll_hatype
        uint8_t sll_pkttype
        uint8_t sll_halen
        uint8_t sll_addr[8]
