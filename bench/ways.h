/* What the two ends of bench.senders have in common: clocks, frames, an AF_XDP socket. */
#pragma once
#include <arpa/inet.h>
#include <errno.h>
#include <linux/bpf.h>
#include <linux/if_packet.h>
#include <linux/if_xdp.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <netinet/in.h>
#include <netinet/ip.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

enum { PACKET = 1500, ESP = 50, LINK = 14, FRAME = 2048, SLOTS = 1024 };

static double now(clockid_t clock)
{
    struct timespec time;
    clock_gettime(clock, &time);
    return time.tv_sec + time.tv_nsec / 1e9;
}

static void fail(const char *what)
{
    perror(what);
    exit(1);
}

/* One of the four rings of an AF_XDP socket, SLOTS entries. */
struct ring {
    uint32_t *producer, *consumer;
    void *entries;
};

struct xdp {
    int fd;
    uint8_t *frames; /* FRAME octets each, SLOTS of them */
    struct ring fill, completion, rx, tx;
};

static struct ring map_ring(int fd, struct xdp_ring_offset at, size_t entry, uint64_t offset)
{
    size_t octets = at.desc + SLOTS * entry;
    uint8_t *base = mmap(0, octets, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, fd, offset);
    if (base == MAP_FAILED)
        fail("mmap of an AF_XDP ring");
    return (struct ring){(uint32_t *)(base + at.producer), (uint32_t *)(base + at.consumer),
                         base + at.desc};
}

static struct xdp open_xdp(const char *interface)
{
    struct xdp x = {.fd = socket(AF_XDP, SOCK_RAW, 0)};
    struct xdp_umem_reg memory = {.len = (uint64_t)FRAME * SLOTS, .chunk_size = FRAME};
    struct xdp_mmap_offsets at;
    struct sockaddr_xdp to = {.sxdp_family = AF_XDP, .sxdp_flags = XDP_COPY};
    socklen_t length = sizeof at;
    int slots = SLOTS;
    if (x.fd < 0)
        fail("AF_XDP");
    x.frames = mmap(0, memory.len, PROT_READ | PROT_WRITE,
                    MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
    memory.addr = (uintptr_t)x.frames;
    if (setsockopt(x.fd, SOL_XDP, XDP_UMEM_REG, &memory, sizeof memory)
        || setsockopt(x.fd, SOL_XDP, XDP_UMEM_FILL_RING, &slots, sizeof slots)
        || setsockopt(x.fd, SOL_XDP, XDP_UMEM_COMPLETION_RING, &slots, sizeof slots)
        || setsockopt(x.fd, SOL_XDP, XDP_RX_RING, &slots, sizeof slots)
        || setsockopt(x.fd, SOL_XDP, XDP_TX_RING, &slots, sizeof slots)
        || getsockopt(x.fd, SOL_XDP, XDP_MMAP_OFFSETS, &at, &length))
        fail("AF_XDP rings");
    x.fill = map_ring(x.fd, at.fr, 8, XDP_UMEM_PGOFF_FILL_RING);
    x.completion = map_ring(x.fd, at.cr, 8, XDP_UMEM_PGOFF_COMPLETION_RING);
    x.rx = map_ring(x.fd, at.rx, sizeof(struct xdp_desc), XDP_PGOFF_RX_RING);
    x.tx = map_ring(x.fd, at.tx, sizeof(struct xdp_desc), XDP_PGOFF_TX_RING);
    to.sxdp_ifindex = if_nametoindex(interface);
    /* A socket that was closed just now holds the queue for a moment. */
    for (int tries = 0; bind(x.fd, (struct sockaddr *)&to, sizeof to); tries++) {
        if (errno != EBUSY || tries == 100)
            fail("bind of AF_XDP");
        usleep(10000);
    }
    return x;
}
