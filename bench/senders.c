/* How fast one core hands packets of 1500 octets to the kernel, by each way that there is.

   senders WAY ADDRESS INTERFACE MAC SOURCE SECONDS

   WAY        raw: protocol 50, sendmmsg; packet: the same behind a link header, AF_PACKET;
              udp: sendmmsg; train: UDP_SEGMENT, 44 at once
   ADDRESS    where to, IPv4; MAC its link address; SOURCE ours
   SECONDS    at most 60

   Prints packets and the CPU seconds of this thread.  Nobody needs to listen. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <netinet/in.h>
#include <netinet/ip.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

enum { BATCH = 64, PACKET = 1500, TRAIN = 44, ESP = 50, SEGMENT = 103, LINK = 14, PORT = 9 };

static double now(clockid_t clock)
{
    struct timespec time;
    clock_gettime(clock, &time);
    return time.tv_sec + time.tv_nsec / 1e9;
}

static void write_headers(unsigned char *frame, char **words)
{
    struct iphdr *ip = (struct iphdr *)(frame + LINK);
    const unsigned short *word = (const unsigned short *)ip;
    unsigned mac[6], sum = 0;
    sscanf(words[4], "%x:%x:%x:%x:%x:%x", mac, mac + 1, mac + 2, mac + 3, mac + 4, mac + 5);
    for (int i = 0; i < 6; i++)
        frame[i] = mac[i];
    frame[12] = ETH_P_IP >> 8;
    frame[13] = ETH_P_IP & 255;
    *ip = (struct iphdr){.version = 4, .ihl = 5, .ttl = 64, .protocol = ESP};
    ip->tot_len = htons(PACKET);
    ip->saddr = inet_addr(words[5]);
    ip->daddr = inet_addr(words[2]);
    for (int i = 0; i < 10; i++)
        sum += word[i];
    sum = (sum & 65535) + (sum >> 16);
    ip->check = ~(sum + (sum >> 16));
}

int main(int count, char **words)
{
    static unsigned char octets[BATCH][LINK + PACKET], train[TRAIN * PACKET];
    static struct mmsghdr messages[BATCH];
    static struct iovec parts[BATCH];
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(PORT)};
    int is_train, is_packet, is_raw, fd, room = 4 << 20, size = PACKET - 28, length = PACKET - 28;
    unsigned long long sent = 0;
    double end, cpu;

    if (count != 7 || atof(words[6]) > 60 || !inet_aton(words[2], &to.sin_addr))
        return 2;
    is_train = !strcmp(words[1], "train");
    is_packet = !strcmp(words[1], "packet");
    is_raw = !strcmp(words[1], "raw");
    if (is_packet) {
        struct sockaddr_ll link = {.sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_IP)};
        link.sll_ifindex = if_nametoindex(words[3]);
        fd = socket(AF_PACKET, SOCK_RAW, 0);
        if (bind(fd, (struct sockaddr *)&link, sizeof link))
            return 1;
        length = LINK + PACKET;
        for (int i = 0; i < BATCH; i++)
            write_headers(octets[i], words);
    } else {
        fd = is_raw ? socket(AF_INET, SOCK_RAW, ESP) : socket(AF_INET, SOCK_DGRAM, 0);
        if (connect(fd, (struct sockaddr *)&to, sizeof to))
            return 1;
        length = is_raw ? PACKET - 20 : size;
    }
    if (is_train && setsockopt(fd, IPPROTO_UDP, SEGMENT, &size, sizeof size))
        return 1;
    setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &room, sizeof room);
    for (int i = 0; i < BATCH; i++) {
        parts[i] = (struct iovec){octets[i], length};
        messages[i].msg_hdr.msg_iov = &parts[i];
        messages[i].msg_hdr.msg_iovlen = 1;
    }
    end = now(CLOCK_MONOTONIC) + atof(words[6]);
    cpu = now(CLOCK_THREAD_CPUTIME_ID);
    while (now(CLOCK_MONOTONIC) < end) {
        int got = is_train ? send(fd, train, TRAIN * size, 0) : sendmmsg(fd, messages, BATCH, 0);
        if (got > 0)
            sent += is_train ? TRAIN : got;
    }
    printf("%llu %f\n", sent, now(CLOCK_THREAD_CPUTIME_ID) - cpu);
    return 0;
}
