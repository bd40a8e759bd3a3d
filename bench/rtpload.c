/* RTP load for bench/relay.py: G.711 at 20 ms from many sockets, each leg at its own phase.
 *
 * usage: rtpload SECONDS < legs
 * A line of legs: "HOST PORT TO_HOST TO_PORT", IPv4. One thread sends 172 octets from the first to the second every 20 ms,
 * one receives whatever comes to any of the first. Prints every second "sent received p50 p99": running totals, and of the
 * packets of that second the time from send to receive in us.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { MAX_LEGS = 4096, STEP_NS = 20000000, SIZE = 172, STAMP = 12, SLOTS = 100000 };

static struct leg { int fd; int64_t due; uint16_t sequence; } legs[MAX_LEGS];
static int count, epoll;
static volatile long sent, received;
static volatile uint32_t delays[SLOTS];   /* packets by us of delay; the last slot holds all that took longer */

static int64_t clock_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000000000LL + t.tv_nsec;
}

static int earlier(const void *a, const void *b)
{
    int64_t d = ((const struct leg *)a)->due - ((const struct leg *)b)->due;
    return d < 0 ? -1 : d > 0;
}

static void *send_all(void *none)
{
    uint8_t packet[SIZE] = { 0x80 };
    for (int i = 0;; i = (i + 1) % count) {
        struct leg *leg = &legs[i];
        struct timespec due = { leg->due / 1000000000LL, leg->due % 1000000000LL };
        if (leg->due > clock_ns())
            clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &due, NULL);
        uint16_t sequence = htons(leg->sequence++);
        memcpy(packet + 2, &sequence, 2);
        memcpy(packet + 8, &i, 4);
        int64_t now = clock_ns();
        memcpy(packet + STAMP, &now, sizeof now);
        if (send(leg->fd, packet, SIZE, 0) == SIZE)
            sent++;
        leg->due += STEP_NS;
    }
    return none;
}

static void *receive_all(void *none)
{
    struct epoll_event ready[64];
    uint8_t packet[2048];
    for (;;) {
        int n = epoll_wait(epoll, ready, 64, -1);
        for (int i = 0; i < n; i++)
            if (recv(ready[i].data.fd, packet, sizeof packet, MSG_DONTWAIT) == SIZE) {
                int64_t then, us;
                memcpy(&then, packet + STAMP, sizeof then);
                us = (clock_ns() - then) / 1000;
                delays[us < 0 ? 0 : us < SLOTS ? us : SLOTS - 1]++;
                received++;
            }
    }
    return none;
}

/* The delay that a share of the packets since the last call did not exceed; empties the slots when asked to. */
static long percentile(double share, int empty)
{
    uint64_t all = 0, seen = 0;
    long found = 0;
    for (long i = 0; i < SLOTS; i++)
        all += delays[i];
    for (long i = 0; i < SLOTS; i++) {
        if (seen < share * all)
            found = i;
        seen += delays[i];
        if (empty)
            delays[i] = 0;
    }
    return found;
}

int main(int argc, char **argv)
{
    int seconds = argc == 2 ? atoi(argv[1]) : 0, local, relay;
    char from[16], to[16];
    if (seconds < 1) {
        fprintf(stderr, "usage: rtpload SECONDS < legs\n");
        return 2;
    }
    epoll = epoll_create1(0);
    srandom(7);                 /* the same phases in every run */
    int64_t start = clock_ns() + 50000000;
    while (count < MAX_LEGS && scanf("%15s %d %15s %d", from, &local, to, &relay) == 4) {
        struct sockaddr_in at = { .sin_family = AF_INET, .sin_addr.s_addr = inet_addr(from) };
        struct leg *leg = &legs[count++];
        leg->fd = socket(AF_INET, SOCK_DGRAM, 0);
        leg->due = start + random() % STEP_NS;
        at.sin_port = htons(local);
        int failed = bind(leg->fd, (void *)&at, sizeof at);
        at.sin_port = htons(relay);
        at.sin_addr.s_addr = inet_addr(to);
        if (failed || connect(leg->fd, (void *)&at, sizeof at)) {
            perror("rtpload");
            return 1;
        }
        struct epoll_event event = { .events = EPOLLIN, .data.fd = leg->fd };
        epoll_ctl(epoll, EPOLL_CTL_ADD, leg->fd, &event);
    }
    qsort(legs, count, sizeof *legs, earlier);
    pthread_t a, b;
    pthread_create(&a, NULL, receive_all, NULL);
    pthread_create(&b, NULL, send_all, NULL);
    for (int i = 0; i < seconds; i++) {
        sleep(1);
        long median = percentile(0.5, 0);
        printf("%ld %ld %ld %ld\n", sent, received, median, percentile(0.99, 1));
        fflush(stdout);
    }
    return 0;
}
