/* What it costs to take packets of protocol 50 from the kernel, by each way that there is.

   receivers WAY INTERFACE SECONDS

   WAY        raw: recvmmsg with packet information and traffic class, as hipgw has it;
              lean: recvmmsg without; packet: AF_PACKET, recvmmsg behind a filter;
              ring3: RX ring of TPACKET_V3; xdp: AF_XDP, copied, program in the driver;
              generic: the same with the program behind the driver
   SECONDS    at most 60

   AF_PACKET gets copies: the packets go up the stack as well, as they would in hipgw's place.
   Says "ready", then prints packets, the CPU seconds of this thread, and times that it slept. */
#define _GNU_SOURCE
#include "ways.h"
#include <linux/filter.h>
#include <poll.h>
#include <sys/resource.h>

enum { BATCH = 64, BLOCK = 1 << 18, BLOCKS = 16, HOLD_MS = 1 };

static int bpf(int command, union bpf_attr *attributes)
{
    return syscall(SYS_bpf, command, attributes, sizeof *attributes);
}

/* Redirects protocol 50 of IPv4 without VLAN to the socket of the queue; passes all other. */
static void attach_program(int xsk, const char *interface, int flags)
{
    union bpf_attr map = {.map_type = BPF_MAP_TYPE_XSKMAP, .key_size = 4, .value_size = 4,
                          .max_entries = 1};
    union bpf_attr entry = {0}, load = {0}, link = {0};
    int zero = 0, fd = bpf(BPF_MAP_CREATE, &map), program;
    struct bpf_insn code[] = {
        {BPF_LDX | BPF_W | BPF_MEM, 2, 1, 0, 0},          /* r2 = data */
        {BPF_LDX | BPF_W | BPF_MEM, 3, 1, 4, 0},          /* r3 = data_end */
        {BPF_ALU64 | BPF_MOV | BPF_X, 4, 2, 0, 0},
        {BPF_ALU64 | BPF_ADD | BPF_K, 4, 0, 0, 34},
        {BPF_JMP | BPF_JGT | BPF_X, 4, 3, 9, 0},          /* too short: pass */
        {BPF_LDX | BPF_H | BPF_MEM, 5, 2, 12, 0},
        {BPF_JMP | BPF_JNE | BPF_K, 5, 0, 7, 0x0008},     /* no IPv4 */
        {BPF_LDX | BPF_B | BPF_MEM, 5, 2, 23, 0},
        {BPF_JMP | BPF_JNE | BPF_K, 5, 0, 5, ESP},
        {BPF_LD | BPF_DW | BPF_IMM, 1, BPF_PSEUDO_MAP_FD, 0, fd},
        {0, 0, 0, 0, 0},
        {BPF_ALU64 | BPF_MOV | BPF_K, 2, 0, 0, 0},
        {BPF_ALU64 | BPF_MOV | BPF_K, 3, 0, 0, XDP_PASS},
        {BPF_JMP | BPF_JA, 0, 0, 2, 0},
        {BPF_ALU64 | BPF_MOV | BPF_K, 0, 0, 0, XDP_PASS},
        {BPF_JMP | BPF_EXIT, 0, 0, 0, 0},
        {BPF_JMP | BPF_CALL, 0, 0, 0, BPF_FUNC_redirect_map},
        {BPF_JMP | BPF_EXIT, 0, 0, 0, 0},
    };
    if (fd < 0)
        fail("XSKMAP");
    entry.map_fd = fd;
    entry.key = (uintptr_t)&zero;
    entry.value = (uintptr_t)&xsk;
    if (bpf(BPF_MAP_UPDATE_ELEM, &entry))
        fail("XSKMAP entry");
    load.prog_type = BPF_PROG_TYPE_XDP;
    load.insns = (uintptr_t)code;
    load.insn_cnt = sizeof code / sizeof *code;
    load.license = (uintptr_t)"MIT";
    program = bpf(BPF_PROG_LOAD, &load);
    if (program < 0)
        fail("XDP program");
    link.link_create.prog_fd = program;
    link.link_create.target_ifindex = if_nametoindex(interface);
    link.link_create.attach_type = BPF_XDP;
    link.link_create.flags = flags;
    if (bpf(BPF_LINK_CREATE, &link) < 0)
        fail("XDP link");
}

static int open_packet(const char *interface, int is_ring, uint8_t **ring)
{
    /* ip[9] == 50, from the network header on (SOCK_DGRAM) */
    static struct sock_filter code[] = {{BPF_LD | BPF_B | BPF_ABS, 0, 0, 9},
                                        {BPF_JMP | BPF_JEQ | BPF_K, 0, 1, ESP},
                                        {BPF_RET | BPF_K, 0, 0, 65535},
                                        {BPF_RET | BPF_K, 0, 0, 0}};
    struct sock_fprog filter = {4, code};
    struct tpacket_req3 asked = {.tp_block_size = BLOCK, .tp_block_nr = BLOCKS,
                                 .tp_frame_size = FRAME, .tp_frame_nr = BLOCK / FRAME * BLOCKS,
                                 .tp_retire_blk_tov = HOLD_MS};
    struct sockaddr_ll link = {.sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_IP)};
    int version = TPACKET_V3, fd = socket(AF_PACKET, SOCK_DGRAM, 0);
    if (setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &filter, sizeof filter))
        fail("filter");
    if (is_ring) {
        if (setsockopt(fd, SOL_PACKET, PACKET_VERSION, &version, sizeof version)
            || setsockopt(fd, SOL_PACKET, PACKET_RX_RING, &asked, sizeof asked))
            fail("RX ring");
        *ring = mmap(0, BLOCK * BLOCKS, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, fd, 0);
    }
    link.sll_ifindex = if_nametoindex(interface);
    if (bind(fd, (struct sockaddr *)&link, sizeof link))
        fail("bind of AF_PACKET");
    return fd;
}

static int take_messages(int fd)
{
    static uint8_t octets[BATCH][FRAME], control[BATCH][96];
    static struct sockaddr_in6 names[BATCH];
    static struct mmsghdr messages[BATCH];
    static struct iovec parts[BATCH];
    for (int i = 0; i < BATCH; i++) {
        parts[i] = (struct iovec){octets[i], FRAME};
        messages[i].msg_hdr = (struct msghdr){names + i, sizeof *names, parts + i, 1, control[i],
                                              sizeof *control, 0};
    }
    return recvmmsg(fd, messages, BATCH, MSG_DONTWAIT, 0);
}

/* A block of the ring, or none; each packet is copied out, as decryption in place would need. */
static int take_block(uint8_t *ring)
{
    static uint8_t slot[FRAME];
    static unsigned at;
    struct tpacket_block_desc *block = (void *)(ring + at * BLOCK);
    struct tpacket3_hdr *packet;
    uint32_t count;
    if (!(__atomic_load_n(&block->hdr.bh1.block_status, __ATOMIC_ACQUIRE) & TP_STATUS_USER))
        return 0;
    count = block->hdr.bh1.num_pkts;
    packet = (void *)((uint8_t *)block + block->hdr.bh1.offset_to_first_pkt);
    for (uint32_t i = 0; i < count; i++) {
        memcpy(slot, (uint8_t *)packet + packet->tp_net, packet->tp_snaplen);
        packet = (void *)((uint8_t *)packet + packet->tp_next_offset);
    }
    __atomic_store_n(&block->hdr.bh1.block_status, TP_STATUS_KERNEL, __ATOMIC_RELEASE);
    at = (at + 1) % BLOCKS;
    return count;
}

/* Gives what came back to the fill ring: decryption would happen in the frames. */
static int take_xdp(struct xdp *x)
{
    uint32_t at = *x->rx.consumer, end = __atomic_load_n(x->rx.producer, __ATOMIC_ACQUIRE);
    uint32_t filled = *x->fill.producer;
    const struct xdp_desc *descriptors = x->rx.entries;
    uint64_t *free_ones = x->fill.entries;
    int count = end - at;
    for (; at != end; at++)
        free_ones[filled++ % SLOTS] = descriptors[at % SLOTS].addr & ~(uint64_t)(FRAME - 1);
    __atomic_store_n(x->rx.consumer, end, __ATOMIC_RELEASE);
    __atomic_store_n(x->fill.producer, filled, __ATOMIC_RELEASE);
    return count;
}

int main(int count, char **words)
{
    int is_ring, is_xdp, fd, yes = 1, room = 4 << 20, flags;
    unsigned long long taken = 0, slept = 0;
    uint8_t *ring = 0;
    struct xdp x;
    struct rusage used;
    double end, cpu;

    if (count != 4 || atof(words[3]) > 60)
        return 2;
    is_ring = !strcmp(words[1], "ring3");
    is_xdp = !strcmp(words[1], "xdp") || !strcmp(words[1], "generic");
    if (is_xdp) {
        x = open_xdp(words[2]);
        fd = x.fd;
        for (uint32_t i = 0; i < SLOTS; i++)
            ((uint64_t *)x.fill.entries)[i] = (uint64_t)i * FRAME;
        *x.fill.producer = SLOTS;
        flags = !strcmp(words[1], "xdp") ? 1 << 2 : 1 << 1;     /* in the driver, or behind it */
        attach_program(fd, words[2], flags);
    } else if (is_ring || !strcmp(words[1], "packet")) {
        fd = open_packet(words[2], is_ring, &ring);
    } else {
        fd = socket(AF_INET, SOCK_RAW, ESP);
        if (!strcmp(words[1], "raw")) {
            setsockopt(fd, IPPROTO_IP, IP_PKTINFO, &yes, sizeof yes);
            setsockopt(fd, IPPROTO_IP, IP_RECVTOS, &yes, sizeof yes);
        }
    }
    setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &room, sizeof room);
    puts("ready");
    fflush(stdout);
    end = now(CLOCK_MONOTONIC) + atof(words[3]);
    cpu = now(CLOCK_THREAD_CPUTIME_ID);
    while (now(CLOCK_MONOTONIC) < end) {
        struct pollfd asked = {fd, POLLIN, 0};
        int got = is_xdp ? take_xdp(&x) : is_ring ? take_block(ring) : take_messages(fd);
        if (got > 0) {
            taken += got;
            continue;
        }
        slept++;
        poll(&asked, 1, 20);
    }
    getrusage(RUSAGE_SELF, &used);
    printf("%llu %f %llu\n", taken, now(CLOCK_THREAD_CPUTIME_ID) - cpu, slept);
    return 0;
}
