/* A cable between two hosts that delays, loses, doubles and reorders packets, in both directions alike.

   link NETWORK NAME MICROSECONDS

   Makes an interface NAME here and one in NETWORK (such as /proc/PID/ns/net), and carries packets between them: each arrives
   so many microseconds after it left. Each line of standard input, "LOST DOUBLED LATE SEED", tells how many millionths of the
   packets are lost, doubled, and late, by half a delay, so that they arrive behind what left meanwhile. Prints "ready" at
   the beginning and after each line, ends when standard input does. For kernels without netem; the kernel cuts windows
   into datagrams before they come here. */

#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <poll.h>
#include <sched.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { LONGEST = 2048, ROOM = 1 << 14, QUEUE = 10000, TURN = 64 };

struct packet {
    int64_t due; /* nanoseconds */
    uint32_t length;
    uint8_t bytes[LONGEST];
};

/* Packets on their way: none is due before the one that is ahead of it. */
struct line {
    struct packet *packets;
    uint32_t first, count;
};

struct direction {
    int from, to;
    struct line punctual, late;
};

static int64_t delay; /* nanoseconds */
static uint32_t lost, doubled, late;
static uint64_t state = 1;

static int must(const char *what, int result) {
    if (result < 0) {
        perror(what);
        exit(1);
    }
    return result;
}

static int64_t now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec * 1000000000LL + time.tv_nsec;
}

/* xorshift64* (Vigna 2016). */
static bool chance(uint32_t millionths) {
    state ^= state >> 12;
    state ^= state << 25;
    state ^= state >> 27;
    return (state * 2685821657736338717u >> 32) % 1000000 < millionths;
}

static int interface(const char *name) {
    int device = must("/dev/net/tun", open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC));
    struct ifreq about = {.ifr_flags = IFF_TUN | IFF_NO_PI};
    strncpy(about.ifr_name, name, IFNAMSIZ - 1);
    must("TUNSETIFF", ioctl(device, TUNSETIFF, &about));
    int any = must("socket", socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
    about.ifr_qlen = QUEUE;
    must("SIOCSIFTXQLEN", ioctl(any, SIOCSIFTXQLEN, &about));
    close(any);
    return device;
}

/* A line that is full loses what comes, as any does. */
static void put(struct line *line, const uint8_t *bytes, uint32_t length, int64_t due) {
    if (line->count == ROOM)
        return;
    struct packet *packet = &line->packets[(line->first + line->count++) % ROOM];
    packet->due = due;
    packet->length = length;
    memcpy(packet->bytes, bytes, length);
}

static void take(struct direction *d) {
    uint8_t bytes[LONGEST];
    for (int turn = 0; turn < TURN; turn++) {
        ssize_t got = read(d->from, bytes, sizeof bytes);
        if (got <= 0)
            return;
        int64_t due = now() + delay;
        if (chance(lost))
            continue;
        for (int copies = chance(doubled) ? 2 : 1; copies; copies--) {
            if (chance(late))
                put(&d->late, bytes, (uint32_t)got, due + delay / 2);
            else
                put(&d->punctual, bytes, (uint32_t)got, due);
        }
    }
}

/* Delivers what is due; the time of what is next, or `next` where that is earlier. */
static int64_t give(struct line *line, int to, int64_t next) {
    for (; line->count; line->count--, line->first = (line->first + 1) % ROOM) {
        const struct packet *packet = &line->packets[line->first];
        if (packet->due > now())
            return packet->due < next ? packet->due : next;
        if (write(to, packet->bytes, packet->length) < 0 && errno == EAGAIN)
            return 0;
    }
    return next;
}

static void ready(void) {
    puts("ready");
    fflush(stdout);
}

/* False at the end of input. */
static bool told(void) {
    char line[100];
    ssize_t length = read(STDIN_FILENO, line, sizeof line - 1);
    if (length <= 0)
        return false;
    line[length] = 0;
    if (sscanf(line, "%u %u %u %lu", &lost, &doubled, &late, &state) != 4)
        return false;
    state = state * 2 + 1;
    ready();
    return true;
}

int main(int words, char **word) {
    if (words != 4) {
        fprintf(stderr, "link NETWORK NAME MICROSECONDS\n");
        return 2;
    }
    delay = 1000 * atoll(word[3]);
    int here = interface(word[2]);
    must(word[1], setns(must(word[1], open(word[1], O_RDONLY | O_CLOEXEC)), CLONE_NEWNET));
    int there = interface(word[2]);
    struct direction ways[2] = {{.from = here, .to = there}, {.from = there, .to = here}};
    for (int i = 0; i < 2; i++) {
        ways[i].punctual.packets = calloc(ROOM, sizeof(struct packet));
        ways[i].late.packets = calloc(ROOM, sizeof(struct packet));
        if (!ways[i].punctual.packets || !ways[i].late.packets)
            must("calloc", -1);
    }
    prctl(PR_SET_TIMERSLACK, 1);
    ready();
    struct pollfd polled[3] = {{here, POLLIN, 0}, {there, POLLIN, 0}, {STDIN_FILENO, POLLIN, 0}};
    while (!polled[2].revents || told()) {
        int64_t next = INT64_MAX;
        for (int i = 0; i < 2; i++) {
            take(&ways[i]);
            next = give(&ways[i].punctual, ways[i].to, next);
            next = give(&ways[i].late, ways[i].to, next);
        }
        int64_t wait = next - now();
        struct timespec pause = {wait < 0 ? 0 : wait / 1000000000, wait < 0 ? 0 : wait % 1000000000};
        must("ppoll", ppoll(polled, 3, next == INT64_MAX ? NULL : &pause, NULL));
    }
    return 0;
}
