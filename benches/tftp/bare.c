/* The yardstick: the least that serving a file by TFTP can cost.

   bare [--read] [--each] PORT FILE

   Whatever is asked for, FILE is sent. The same system calls as pxefast's pump: a socket a transfer on a random port, connected
   to its client; edge-triggered epoll; one recv an ACK; one sendmsg a window (UDP_SEGMENT), or one sendmmsg where a
   block is larger than the path's MTU; the bytes come from a mapping of the file. No names, limits, timers, counters,
   checks: a client that misses a block asks again by repeating its ACK. Not a server for anything but benches.

   --read     one pread a window in place of the mapping: what that saves
   --each     sendmmsg always: what segment offload saves

   Says the port that it listens on when it is ready (PORT 0: a free one). */

#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/udp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

enum { WINDOW = 64, BLOCK = 65464, EVENTS = 256, HEADERS = 32, PAYLOAD = 65507, REQUEST = 512 };
enum { RRQ = 1, DATA = 3, ACK = 4, OACK = 6 };

struct transfer {
    int socket;
    uint32_t block, window;
    uint64_t acknowledged; /* blocks */
    bool offload;
};

static int file, poll_fd;
static uint64_t size;
static const uint8_t *mapped;
static bool each;
static uint8_t buffer[WINDOW * BLOCK];

static void *must(const char *what, intptr_t result) {
    if (result == -1) {
        perror(what);
        exit(1);
    }
    return (void *)result;
}

static void set(int socket, int level, int name, int value) {
    must("setsockopt", setsockopt(socket, level, name, &value, sizeof value));
}

static uint64_t blocks(const struct transfer *t) {
    return size / t->block + 1;
}

/* The window that follows what is acknowledged. */
static void send_window(const struct transfer *t) {
    uint64_t left = blocks(t) - t->acknowledged;
    uint32_t count = left < t->window ? (uint32_t)left : t->window;
    uint64_t offset = t->acknowledged * t->block;
    uint64_t length = size - offset < (uint64_t)count * t->block ? size - offset : (uint64_t)count * t->block;
    uint8_t *data = (uint8_t *)mapped + offset;
    if (!mapped) {
        data = buffer;
        if (pread(file, data, length, (off_t)offset) != (ssize_t)length)
            exit(1);
    }
    uint8_t headers[WINDOW][4];
    struct iovec slices[WINDOW][2];
    for (uint32_t i = 0; i < count; i++) {
        uint16_t number = (uint16_t)(t->acknowledged + 1 + i);
        uint64_t piece = length < t->block ? length : t->block;
        memcpy(headers[i], (uint8_t[4]){0, DATA, (uint8_t)(number >> 8), (uint8_t)number}, 4);
        slices[i][0] = (struct iovec){headers[i], 4};
        slices[i][1] = (struct iovec){data, piece};
        data += piece;
        length -= piece;
    }
    if (count == 1) {
        struct msghdr message = {.msg_iov = slices[0], .msg_iovlen = 2};
        (void)sendmsg(t->socket, &message, MSG_NOSIGNAL);
    } else if (t->offload) {
        uint16_t segment = (uint16_t)(t->block + 4);
        uint32_t most = PAYLOAD / segment < WINDOW ? PAYLOAD / segment : WINDOW;
        for (uint32_t first = 0; first < count; first += most) {
            union {
                struct cmsghdr header;
                uint8_t room[CMSG_SPACE(sizeof segment)];
            } control = {0};
            uint32_t some = count - first < most ? count - first : most;
            control.header = (struct cmsghdr){CMSG_LEN(sizeof segment), SOL_UDP, UDP_SEGMENT};
            memcpy(CMSG_DATA(&control.header), &segment, sizeof segment);
            struct msghdr message = {.msg_iov = slices[first], .msg_iovlen = (size_t)some * 2,
                                     .msg_control = &control, .msg_controllen = sizeof control};
            if (sendmsg(t->socket, &message, MSG_NOSIGNAL) < 0)
                break;
        }
    } else {
        struct mmsghdr messages[WINDOW];
        memset(messages, 0, sizeof *messages * count);
        for (uint32_t i = 0; i < count; i++) {
            messages[i].msg_hdr.msg_iov = slices[i];
            messages[i].msg_hdr.msg_iovlen = 2;
        }
        (void)sendmmsg(t->socket, messages, count, MSG_NOSIGNAL);
    }
}

/* Takes a request that waits; false where none does. */
static bool begin(int door) {
    char request[REQUEST + 1], answer[128];
    struct sockaddr_in peer, here = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_ANY)};
    socklen_t length = sizeof peer;
    ssize_t got = recvfrom(door, request, REQUEST, 0, (struct sockaddr *)&peer, &length);
    if (got < 4 || request[1] != RRQ)
        return got >= 0;
    request[got] = 0;
    struct transfer *t = calloc(1, sizeof *t);
    *t = (struct transfer){.block = 512, .window = 1};
    char *end = request + got, *word = request + 2, *out = answer + 2;
    word += strlen(word) + 1; /* the name */
    word += word < end ? strlen(word) + 1 : 0; /* the mode */
    while (word < end) {
        char *value = word + strlen(word) + 1;
        if (value >= end)
            break;
        long long number = atoll(value);
        if (!strcmp(word, "blksize") && number >= 8 && number <= BLOCK)
            t->block = (uint32_t)number;
        else if (!strcmp(word, "windowsize") && number >= 1)
            t->window = number < WINDOW ? (uint32_t)number : WINDOW, number = t->window;
        else if (!strcmp(word, "tsize"))
            number = (long long)size;
        else
            number = -1;
        if (number >= 0 && out < answer + 96)
            out += sprintf(out, "%s%c%lld", word, 0, number) + 1;
        word = value + strlen(value) + 1;
    }
    t->socket = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0);
    must("socket", t->socket);
    set(t->socket, IPPROTO_IP, IP_MTU_DISCOVER, IP_PMTUDISC_DONT);
    must("bind", bind(t->socket, (struct sockaddr *)&here, sizeof here));
    must("connect", connect(t->socket, (struct sockaddr *)&peer, sizeof peer));
    int mtu = 0;
    socklen_t wide = sizeof mtu;
    must("IP_MTU", getsockopt(t->socket, IPPROTO_IP, IP_MTU, &mtu, &wide));
    t->offload = !each && t->block + HEADERS <= (uint32_t)mtu;
    int room = (int)(2 * t->window * (t->block + 256));
    if (setsockopt(t->socket, SOL_SOCKET, SO_SNDBUFFORCE, &room, sizeof room))
        set(t->socket, SOL_SOCKET, SO_SNDBUF, room);
    struct epoll_event event = {.events = EPOLLIN | EPOLLET, .data.ptr = t};
    must("epoll_ctl", epoll_ctl(poll_fd, EPOLL_CTL_ADD, t->socket, &event));
    if (out == answer + 2) {
        send_window(t);
    } else {
        answer[0] = 0, answer[1] = OACK;
        (void)send(t->socket, answer, (size_t)(out - answer), MSG_NOSIGNAL);
    }
    return true;
}

static void end(struct transfer *t) {
    close(t->socket);
    free(t);
}

/* Reads on until something is sent: what that brings back is told of again. */
static void go_on(struct transfer *t) {
    uint16_t ahead;
    do {
        uint8_t ack[REQUEST];
        ssize_t got = recv(t->socket, ack, sizeof ack, MSG_DONTWAIT);
        if (got < 0 && errno == EAGAIN)
            return;
        if (got < 4 || ack[1] != ACK)
            return end(t);
        ahead = (uint16_t)((ack[2] << 8 | ack[3]) - (uint16_t)t->acknowledged);
    } while (ahead > t->window);
    t->acknowledged += ahead;
    if (t->acknowledged >= blocks(t))
        return end(t);
    send_window(t);
}

int main(int count, char **words) {
    bool reads = false;
    int at = 1;
    for (; at < count && words[at][0] == '-'; at++) {
        reads |= !strcmp(words[at], "--read");
        each |= !strcmp(words[at], "--each");
    }
    if (count - at != 2) {
        fprintf(stderr, "bare [--read] [--each] PORT FILE\n");
        return 2;
    }
    must(words[at + 1], file = open(words[at + 1], O_RDONLY | O_CLOEXEC));
    struct stat about;
    must("fstat", fstat(file, &about));
    size = (uint64_t)about.st_size;
    if (!reads && size)
        mapped = must("mmap", (intptr_t)mmap(NULL, size, PROT_READ, MAP_SHARED | MAP_POPULATE, file, 0));
    struct sockaddr_in here = {.sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(words[at])),
                               .sin_addr.s_addr = htonl(INADDR_ANY)};
    socklen_t length = sizeof here;
    int door = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0);
    must("bind", bind(door, (struct sockaddr *)&here, sizeof here));
    must("getsockname", getsockname(door, (struct sockaddr *)&here, &length));
    (void)setsockopt(door, SOL_SOCKET, SO_RCVBUFFORCE, &(int){4 << 20}, sizeof(int));
    must("epoll_create1", poll_fd = epoll_create1(0));
    struct epoll_event event = {.events = EPOLLIN}, ready[EVENTS];
    must("epoll_ctl", epoll_ctl(poll_fd, EPOLL_CTL_ADD, door, &event));
    printf("%u\n", ntohs(here.sin_port));
    fflush(stdout);
    for (;;) {
        int some = epoll_wait(poll_fd, ready, EVENTS, -1);
        for (int i = 0; i < some; i++) {
            if (ready[i].data.ptr)
                go_on(ready[i].data.ptr);
            else
                for (int requests = 0; requests < EVENTS && begin(door); requests++)
                    ;
        }
    }
}
