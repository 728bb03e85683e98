/* Datagrams as fast as one core sends them, from a spread of source addresses, for a while.

   udp_flood ADDRESS PORT SOURCE SOURCES SECONDS RATE VARY HEX

   ADDRESS PORT   where to
   SOURCE         first of SOURCES consecutive source addresses, used in turn
   SECONDS        how long; at most 60
   RATE           datagrams a second at most; 0: as many as go
   VARY           offset of four octets that differ from datagram to datagram
   HEX            the datagram

   Prints how many went out.  What comes back is not read.  */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

enum { BATCH = 64, OCTETS = 2048, SECONDS_MOST = 60 };

static double now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec + time.tv_nsec / 1e9;
}

int main(int count, char **words)
{
    static unsigned char octets[BATCH][OCTETS];
    static struct mmsghdr messages[BATCH];
    static struct iovec parts[BATCH];
    static union { char room[CMSG_SPACE(sizeof(struct in_pktinfo))]; struct cmsghdr align; } controls[BATCH];
    struct sockaddr_in to = {.sin_family = AF_INET};
    int fd = socket(AF_INET, SOCK_DGRAM, 0), small = 1, force = 4 << 20;
    unsigned long long sent = 0, failed = 0;
    unsigned number = 0;
    if (count != 9) return 2;
    inet_pton(AF_INET, words[1], &to.sin_addr);
    to.sin_port = htons((unsigned short)atoi(words[2]));
    unsigned first = ntohl(inet_addr(words[3]));
    unsigned sources = strtoul(words[4], NULL, 10);
    double seconds = atof(words[5]), rate = atof(words[6]);
    size_t vary = strtoul(words[7], NULL, 10), length = strlen(words[8]) / 2;
    if (seconds > SECONDS_MOST || sources == 0 || length > OCTETS || vary + 4 > length) return 2;
    for (size_t i = 0; i < length; i++) {
        unsigned octet;
        sscanf(words[8] + 2 * i, "%2x", &octet);
        for (int k = 0; k < BATCH; k++) octets[k][i] = (unsigned char)octet;
    }
    setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof small);
    setsockopt(fd, SOL_SOCKET, 32, &force, sizeof force);
    for (int k = 0; k < BATCH; k++) {
        struct cmsghdr *item;
        parts[k] = (struct iovec){octets[k], length};
        messages[k].msg_hdr = (struct msghdr){.msg_name = &to, .msg_namelen = sizeof to,
            .msg_iov = &parts[k], .msg_iovlen = 1, .msg_control = controls[k].room,
            .msg_controllen = sizeof controls[k].room};
        item = CMSG_FIRSTHDR(&messages[k].msg_hdr);
        item->cmsg_level = IPPROTO_IP;
        item->cmsg_type = IP_PKTINFO;
        item->cmsg_len = CMSG_LEN(sizeof(struct in_pktinfo));
        memset(CMSG_DATA(item), 0, sizeof(struct in_pktinfo));
    }
    double begin = now(), end = begin + seconds;
    while (now() < end) {
        if (rate > 0 && sent > rate * (now() - begin)) {
            struct timespec nap = {0, 50000};
            nanosleep(&nap, NULL);
            continue;
        }
        for (int k = 0; k < BATCH; k++, number++) {
            struct in_pktinfo *info = (struct in_pktinfo *)CMSG_DATA(CMSG_FIRSTHDR(&messages[k].msg_hdr));
            unsigned different = htonl(number);
            info->ipi_spec_dst.s_addr = htonl(first + number % sources);
            memcpy(octets[k] + vary, &different, 4);
        }
        int went = sendmmsg(fd, messages, BATCH, 0);
        if (went > 0) sent += went; else failed++;
    }
    printf("%llu %llu %f\n", sent, failed, now() - begin);
    return 0;
}
