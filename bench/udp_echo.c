/* The rival of the I1 flood: batches of datagrams in, the same octets out, nothing else.

   udp_echo PORT   until a signal; then prints datagrams echoed and CPU seconds.  */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>

enum { BATCH = 256, OCTETS = 2304, BUFFER = 4 << 20, FORCE_RECEIVE = 33, FORCE_SEND = 32 };

static volatile sig_atomic_t stopping;

static void on_signal(int number) { (void)number; stopping = 1; }

int main(int count, char **words)
{
    static char octets[BATCH][OCTETS];
    static struct mmsghdr messages[BATCH];
    static struct iovec parts[BATCH];
    static struct sockaddr_in names[BATCH];
    struct sockaddr_in here = {.sin_family = AF_INET};
    struct sigaction action = {.sa_handler = on_signal};
    struct rusage use;
    unsigned long long echoed = 0;
    int size = BUFFER;
    int fd = socket(AF_INET, SOCK_DGRAM, 0);
    if (count != 2) return 2;
    here.sin_port = htons((unsigned short)atoi(words[1]));
    setsockopt(fd, SOL_SOCKET, FORCE_RECEIVE, &size, sizeof size);
    setsockopt(fd, SOL_SOCKET, FORCE_SEND, &size, sizeof size);
    if (bind(fd, (struct sockaddr *)&here, sizeof here)) { perror("bind"); return 1; }
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGINT, &action, NULL);
    puts("ready");
    fflush(stdout);
    while (!stopping) {
        int got, sent;
        for (int i = 0; i < BATCH; i++) {
            parts[i] = (struct iovec){octets[i], OCTETS};
            messages[i].msg_hdr = (struct msghdr){.msg_name = &names[i],
                .msg_namelen = sizeof names[i], .msg_iov = &parts[i], .msg_iovlen = 1};
        }
        got = recvmmsg(fd, messages, BATCH, MSG_WAITFORONE, NULL);
        if (got <= 0) continue;
        for (int i = 0; i < got; i++) parts[i].iov_len = messages[i].msg_len;
        for (int i = 0; i < got;) {
            sent = sendmmsg(fd, messages + i, got - i, MSG_DONTWAIT);
            if (sent > 0) { echoed += sent; i += sent; } else i++;
        }
    }
    getrusage(RUSAGE_SELF, &use);
    printf("%llu %f\n", echoed, use.ru_utime.tv_sec + use.ru_utime.tv_usec / 1e6
           + use.ru_stime.tv_sec + use.ru_stime.tv_usec / 1e6);
    return 0;
}
