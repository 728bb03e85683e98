/* How fast one core hands packets of 1500 octets to the kernel, by each way that there is.

   senders WAY ADDRESS INTERFACE MAC SOURCE SECONDS

   WAY        raw: protocol 50, sendmmsg; header: the same with IP_HDRINCL;
              packet: behind a link header, AF_PACKET; bypass: the same with PACKET_QDISC_BYPASS;
              dgram: the same, the kernel writes the link header;
              ring2, ring3: TX ring of TPACKET_V2 and V3, bypass; xdp: AF_XDP, copied;
              udp: sendmmsg; train: UDP_SEGMENT, 44 at once
   ADDRESS    where to, IPv4; MAC its link address; SOURCE ours
   SECONDS    at most 60

   Prints packets and the CPU seconds of this thread.  Nobody needs to listen. */
#define _GNU_SOURCE
#include "ways.h"

enum { BATCH = 64, TRAIN = 44, SEGMENT = 103, PORT = 9 };

static struct mmsghdr messages[BATCH];
static struct iovec parts[BATCH];
static unsigned char octets[BATCH][LINK + PACKET], train[TRAIN * PACKET];

static void write_headers(unsigned char *frame, char **words)
{
    struct iphdr ip = {.version = 4, .ihl = 5, .ttl = 64, .protocol = ESP};
    unsigned short word[10];
    unsigned mac[6], sum = 0;
    sscanf(words[4], "%x:%x:%x:%x:%x:%x", mac, mac + 1, mac + 2, mac + 3, mac + 4, mac + 5);
    for (int i = 0; i < 6; i++)
        frame[i] = mac[i];
    frame[12] = ETH_P_IP >> 8;
    frame[13] = ETH_P_IP & 255;
    ip.tot_len = htons(PACKET);
    ip.saddr = inet_addr(words[5]);
    ip.daddr = inet_addr(words[2]);
    memcpy(word, &ip, 20);
    for (int i = 0; i < 10; i++)
        sum += word[i];
    sum = (sum & 65535) + (sum >> 16);
    ip.check = ~(sum + (sum >> 16));
    memcpy(frame + LINK, &ip, 20);
}

static int open_internet(char **words, int size)
{
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(PORT)};
    int is_header = !strcmp(words[1], "header"), is_raw = is_header || !strcmp(words[1], "raw");
    int fd = is_raw ? socket(AF_INET, SOCK_RAW, ESP) : socket(AF_INET, SOCK_DGRAM, 0);
    inet_aton(words[2], &to.sin_addr);
    if (connect(fd, (struct sockaddr *)&to, sizeof to)
        || (is_header && setsockopt(fd, IPPROTO_IP, IP_HDRINCL, &is_header, sizeof is_header))
        || (!strcmp(words[1], "train")
            && setsockopt(fd, IPPROTO_UDP, SEGMENT, &size, sizeof size)))
        fail(words[1]);
    return fd;
}

static int open_packet(char **words, const struct sockaddr_ll *link)
{
    int is_dgram = !strcmp(words[1], "dgram"), yes = 1;
    int fd = socket(AF_PACKET, is_dgram ? SOCK_DGRAM : SOCK_RAW, 0);
    if (bind(fd, (struct sockaddr *)link, sizeof *link)
        || (strcmp(words[1], "packet")
            && setsockopt(fd, SOL_PACKET, PACKET_QDISC_BYPASS, &yes, sizeof yes)))
        fail(words[1]);
    return fd;
}

/* Both versions of the ring: fill the free slots, then one send for all. */
static int send_ring(int fd, int version)
{
    static uint8_t *ring;
    static unsigned at;
    int start = TPACKET_ALIGN(version == TPACKET_V3 ? sizeof(struct tpacket3_hdr)
                                                    : sizeof(struct tpacket2_hdr));
    int filled = 0;
    if (!ring) {
        struct tpacket_req3 asked = {.tp_block_size = FRAME * 128, .tp_block_nr = SLOTS / 128,
                                     .tp_frame_size = FRAME, .tp_frame_nr = SLOTS};
        socklen_t length = version == TPACKET_V3 ? sizeof asked : sizeof(struct tpacket_req);
        if (setsockopt(fd, SOL_PACKET, PACKET_VERSION, &version, sizeof version)
            || setsockopt(fd, SOL_PACKET, PACKET_TX_RING, &asked, length))
            fail("TX ring");
        ring = mmap(0, FRAME * SLOTS, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, fd, 0);
        if (ring == MAP_FAILED)
            fail("mmap of the TX ring");
    }
    for (; filled < BATCH; filled++, at = (at + 1) % SLOTS) {
        uint8_t *slot = ring + at * FRAME;
        struct tpacket2_hdr *two = (void *)slot;
        struct tpacket3_hdr *three = (void *)slot;
        volatile uint32_t *status = version == TPACKET_V3 ? &three->tp_status : &two->tp_status;
        if (*status != TP_STATUS_AVAILABLE)
            break;
        memcpy(slot + start, octets[filled], LINK + PACKET);
        if (version == TPACKET_V3)
            three->tp_len = three->tp_snaplen = LINK + PACKET;
        else
            two->tp_len = two->tp_snaplen = LINK + PACKET;
        __atomic_store_n(status, TP_STATUS_SEND_REQUEST, __ATOMIC_RELEASE);
    }
    send(fd, 0, 0, MSG_DONTWAIT);
    return filled;
}

static int send_xdp(struct xdp *x)
{
    static uint32_t at, done;
    struct xdp_desc *descriptors = x->tx.entries;
    uint32_t finished = __atomic_load_n(x->completion.producer, __ATOMIC_ACQUIRE);
    int filled = 0;
    __atomic_store_n(x->completion.consumer, finished, __ATOMIC_RELEASE);
    done = finished;
    for (; filled < BATCH && at - done < SLOTS; filled++, at++) {
        uint64_t address = (uint64_t)(at % SLOTS) * FRAME;
        memcpy(x->frames + address, octets[filled], LINK + PACKET);
        descriptors[at % SLOTS] = (struct xdp_desc){.addr = address, .len = LINK + PACKET};
    }
    __atomic_store_n(x->tx.producer, at, __ATOMIC_RELEASE);
    while (sendto(x->fd, 0, 0, MSG_DONTWAIT, 0, 0) < 0
           && *x->tx.consumer != at) /* 32 at once, it says EAGAIN for the rest */
        ;
    return filled;
}

int main(int count, char **words)
{
    struct sockaddr_ll link = {.sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_IP),
                               .sll_halen = 6};
    int fd = -1, room = 4 << 20, size = PACKET - 28, length = PACKET - 28, start = LINK, version;
    unsigned long long sent = 0;
    struct xdp x;
    double end, cpu;

    if (count != 7 || atof(words[6]) > 60)
        return 2;
    for (int i = 0; i < BATCH; i++)
        write_headers(octets[i], words);
    link.sll_ifindex = if_nametoindex(words[3]);
    memcpy(link.sll_addr, octets[0], 6);
    version = !strcmp(words[1], "ring2") ? TPACKET_V2 : TPACKET_V3;
    if (!strcmp(words[1], "xdp"))
        x = open_xdp(words[3]);
    else if (strstr("raw header udp train", words[1]))
        fd = open_internet(words, size);
    else
        fd = open_packet(words, &link);
    if (!strcmp(words[1], "raw"))
        length = PACKET - 20;
    else if (!strcmp(words[1], "header") || !strcmp(words[1], "dgram"))
        length = PACKET;
    else if (strstr("packet bypass", words[1]))
        length = PACKET + LINK, start = 0;
    if (fd >= 0)
        setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &room, sizeof room);
    for (int i = 0; i < BATCH; i++) {
        parts[i] = (struct iovec){octets[i] + start, length};
        messages[i].msg_hdr.msg_iov = &parts[i];
        messages[i].msg_hdr.msg_iovlen = 1;
        if (!strcmp(words[1], "dgram")) {
            messages[i].msg_hdr.msg_name = &link;
            messages[i].msg_hdr.msg_namelen = sizeof link;
        }
    }
    end = now(CLOCK_MONOTONIC) + atof(words[6]);
    cpu = now(CLOCK_THREAD_CPUTIME_ID);
    while (now(CLOCK_MONOTONIC) < end) {
        int got;
        if (fd < 0)
            got = send_xdp(&x);
        else if (!strncmp(words[1], "ring", 4))
            got = send_ring(fd, version);
        else if (!strcmp(words[1], "train"))
            got = send(fd, train, TRAIN * size, 0) > 0 ? TRAIN : 0;
        else
            got = sendmmsg(fd, messages, BATCH, 0);
        if (got > 0)
            sent += got;
    }
    printf("%llu %f\n", sent, now(CLOCK_THREAD_CPUTIME_ID) - cpu);
    return 0;
}
