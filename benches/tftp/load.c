/* Many TFTP clients that compare every byte with what they should get; shares no code with the server.

   load --port PORT --name NAME --file FILE [--host ADDRESS] [--sources FIRST/COUNT] [--clients 16]
        [--block 1456] [--window 1] [--msftwindow] [--patience 1000] [--seconds 120] [--hold] [--gro] [--each]
        [--again [--vanish PERCENT] [--seed NUMBER]]

   One process and one epoll, so that a client costs the machine as little as can be. Each client has its own port, asks for
   tsize, blksize and windowsize (at 1: not), takes what is granted, and behaves as RFC 7440 says: it ACKs a full window and
   the last block; a block out of turn is dropped, and the last one in turn is ACKed, once until there is progress, or
   with --each for each such block, as EDK2 does. After --patience milliseconds of silence it repeats what it said last,
   10 times at most; --seconds bounds the whole.

   Prints one JSON object; status 1 where a transfer failed or a byte was wrong. With --hold the last block of each file is
   ACKed only when standard input ends: whoever reads the object finds each child of a forking server still there. With --gro
   windows arrive uncut (UDP_GRO), as if the network card cut them: else the server's processor does it on loopback.

   With --sources each client has the next address of so many. With --again whoever is done, or failed, asks anew from
   another port until the time is over, and PERCENT of the transfers end by their client's closing its port in their
   midst; then only wrong bytes are a failure. */

#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <netinet/in.h>
#include <netinet/udp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { BATCH = 64, UNCUT = 65536, EVENTS = 256, TRIES = 10, RECEIVE_BUFFER = 8 << 20 };
enum { RRQ = 1, DATA = 3, ACK = 4, ERROR = 5, OACK = 6 };
enum state { ASKING, RUNNING, DONE, FAILED, GONE };

struct client {
    int socket;
    enum state state;
    bool gap;                 /* told already that a block is missing */
    uint32_t block, window;   /* granted */
    uint32_t unacknowledged;  /* blocks in turn since the last ACK */
    uint64_t next;            /* the block expected, from 1 */
    uint64_t vanishes;        /* when this block is expected; 0: never */
    double deadline, began, ended;
    int tries;
};

static struct {
    const char *name;
    const uint8_t *bytes;
    uint64_t size;
    uint32_t block, window;
    bool vary, hold, gro, each, again;
    uint32_t vanish; /* percent */
    double patience;
    struct sockaddr_in server;
    uint32_t source, sources; /* the first address, in host's order, and how many */
} wanted;

static struct {
    uint64_t datagrams, blocks, early, repeated_asks, failed, vanished, verified, wrong;
} seen;
static char why[256];
static int poll_fd;
static uint32_t running, flowing, most_flowing;

static double now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

static void *must(const char *what, intptr_t result) {
    if (result == -1) {
        perror(what);
        exit(2);
    }
    return (void *)result;
}

static void finish(struct client *c, enum state state, const char *words, uint64_t number) {
    if (state == FAILED && !why[0])
        snprintf(why, sizeof why, "%s (%llu)", words, (unsigned long long)number);
    seen.verified += state == DONE;
    seen.failed += state == FAILED;
    flowing -= c->state == RUNNING;
    c->state = state;
    c->ended = now();
    running--;
}

/* What must not happen, whatever the server goes through: told rather than any other failure. */
static void wrong(struct client *c, const char *words, uint64_t number) {
    if (!seen.wrong++)
        why[0] = 0;
    finish(c, FAILED, words, number);
}

static void run(struct client *c) {
    c->state = RUNNING;
    if (++flowing > most_flowing)
        most_flowing = flowing;
}

static void ask(const struct client *c) {
    char request[512] = {0, RRQ};
    int length = 2 + snprintf(request + 2, 300, "%s%coctet%ctsize%c0%cblksize%c%u", wanted.name, 0, 0, 0, 0, 0, wanted.block) + 1;
    if (wanted.window > 1)
        length += snprintf(request + length, 100, "windowsize%c%u", 0, wanted.window) + 1;
    if (wanted.vary)
        length += snprintf(request + length, 100, "msftwindow%c31416", 0) + 1;
    (void)sendto(c->socket, request, (size_t)length, 0, (struct sockaddr *)&wanted.server, sizeof wanted.server);
}

static void acknowledge(struct client *c) {
    uint16_t number = (uint16_t)(c->next - 1);
    uint8_t ack[4] = {0, ACK, (uint8_t)(number >> 8), (uint8_t)number};
    c->unacknowledged = 0;
    (void)send(c->socket, ack, sizeof ack, MSG_NOSIGNAL);
}

static void granted(struct client *c, char *options, size_t length) {
    options[length] = 0;
    for (char *word = options, *end = options + length; word < end;) {
        char *value = word + strlen(word) + 1;
        if (value >= end)
            break;
        unsigned long long number = strtoull(value, NULL, 10);
        if (!strcasecmp(word, "blksize"))
            c->block = (uint32_t)number;
        else if (!strcasecmp(word, "windowsize"))
            c->window = (uint32_t)number;
        else if (!strcasecmp(word, "tsize") && number != wanted.size)
            return wrong(c, "a wrong tsize", number);
        word = value + strlen(value) + 1;
    }
    if (c->block < 8 || c->block > wanted.block || c->window < 1 || c->window > wanted.window)
        wrong(c, "more was granted than asked for", c->block);
}

static void data(struct client *c, const uint8_t *datagram, size_t length, double time) {
    uint16_t ahead = (uint16_t)((uint16_t)(datagram[2] << 8 | datagram[3]) - (uint16_t)c->next);
    if (c->state == DONE)
        return wanted.hold ? (void)0 : acknowledge(c);
    seen.datagrams++;
    if (ahead) {
        bool late = ahead >= 0x8000; /* before what is expected: a repeat */
        seen.early += !late;
        if (wanted.each || (!c->gap && (!late || ahead == 0xffff))) {
            c->gap = true;
            acknowledge(c);
        }
        return;
    }
    uint64_t offset = (c->next - 1) * c->block, left = wanted.size - offset;
    size_t should = left < c->block ? (size_t)left : c->block;
    if (length - 4 != should || memcmp(datagram + 4, wanted.bytes + offset, should))
        return wrong(c, "wrong bytes in block", c->next);
    seen.blocks++;
    if (++c->next == c->vanishes) {
        seen.vanished++;
        return finish(c, GONE, "", 0);
    }
    c->gap = false;
    c->tries = 0;
    c->deadline = time + wanted.patience;
    if (should < c->block) {
        if (!wanted.hold)
            acknowledge(c);
        finish(c, DONE, "", 0);
    } else if (++c->unacknowledged == c->window) {
        acknowledge(c);
    }
}

static void take(struct client *c, uint8_t *datagram, size_t length, double time) {
    if (c->state == FAILED || c->state == GONE || length < 4)
        return;
    switch (datagram[1]) {
    case OACK:
        if (c->state == ASKING) {
            granted(c, (char *)datagram + 2, length - 2);
            if (c->state == FAILED)
                return;
            run(c);
            c->deadline = time + wanted.patience;
        }
        if (c->next == 1)
            acknowledge(c);
        return;
    case DATA:
        if (c->state == ASKING)
            run(c);
        return data(c, datagram, length, time);
    case ERROR:
        if (c->state != DONE)
            finish(c, FAILED, "the server refused", (uint64_t)(datagram[2] << 8 | datagram[3]));
    }
}

/* One message, or what the kernel left in one piece. */
static void cut(struct client *c, struct mmsghdr *message, double time) {
    uint8_t *bytes = message->msg_hdr.msg_iov->iov_base;
    size_t length = message->msg_len, piece = length;
    for (struct cmsghdr *h = CMSG_FIRSTHDR(&message->msg_hdr); h; h = CMSG_NXTHDR(&message->msg_hdr, h)) {
        int segment;
        if (h->cmsg_level == IPPROTO_UDP && h->cmsg_type == UDP_GRO) {
            memcpy(&segment, CMSG_DATA(h), sizeof segment);
            piece = (size_t)segment;
        }
    }
    for (size_t at = 0; at < length || !at; at += piece) {
        take(c, bytes + at, length - at < piece ? length - at : piece, time);
        if (!piece)
            break;
    }
}

/* Whether it can be the answer to a request. What this port's last owner left behind sends blocks as he had agreed. */
static bool answers(const uint8_t *datagram, size_t length) {
    return length >= 4 && (datagram[1] != DATA || (length <= 4 + 512 && datagram[2] == 0 && datagram[3] == 1));
}

/* Everything that waits for one client. */
static void receive(struct client *c, double time) {
    static uint8_t *room;
    static struct iovec slices[BATCH];
    static struct mmsghdr messages[BATCH];
    static uint8_t controls[BATCH][64];
    size_t stride = wanted.gro ? UNCUT + 64 : (wanted.block < 512 ? 512 : wanted.block) + 64;
    int batch = wanted.gro ? BATCH / 16 : BATCH;
    if (!room) {
        room = malloc(stride * (size_t)batch);
        for (int i = 0; i < batch; i++) {
            slices[i] = (struct iovec){room + stride * (size_t)i, stride - 1};
            messages[i].msg_hdr = (struct msghdr){.msg_iov = &slices[i], .msg_iovlen = 1, .msg_control = controls[i]};
        }
    }
    if (c->state == ASKING) { /* who answers first is the transfer's port: from now on nobody else is heard */
        struct sockaddr_in peer;
        socklen_t length = sizeof peer;
        ssize_t got;
        do {
            got = recvfrom(c->socket, room, stride - 1, MSG_DONTWAIT, (struct sockaddr *)&peer, &length);
            if (got < 0)
                return;
        } while (!answers(room, (size_t)got));
        must("connect", connect(c->socket, (struct sockaddr *)&peer, sizeof peer));
        take(c, room, (size_t)got, time);
    }
    for (int got = batch; got == batch;) {
        for (int i = 0; i < batch; i++)
            messages[i].msg_hdr.msg_controllen = wanted.gro ? sizeof controls[i] : 0;
        got = recvmmsg(c->socket, messages, (unsigned)batch, MSG_DONTWAIT, NULL);
        if (got < 0 && errno == ECONNREFUSED && c->state == RUNNING)
            finish(c, FAILED, "the server closed its port at block", c->next);
        for (int i = 0; i < got; i++)
            cut(c, &messages[i], time);
    }
}

static void silence(struct client *c, double time) {
    if ((c->state != ASKING && c->state != RUNNING) || time < c->deadline)
        return;
    if (++c->tries > TRIES)
        return finish(c, FAILED, "the server is silent at block", c->next);
    c->deadline = time + wanted.patience;
    c->gap = false;
    seen.repeated_asks++;
    if (c->state == ASKING)
        ask(c);
    else
        acknowledge(c);
}

/* A port, and the request that leaves it. */
static void begin(struct client *c, uint32_t number) {
    *c = (struct client){.block = 512, .window = 1, .next = 1};
    uint64_t blocks = wanted.size / wanted.block + 1;
    if (wanted.vanish > (uint32_t)(rand() % 100))
        c->vanishes = 2 + (uint64_t)rand() % blocks;
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = c};
    struct sockaddr_in here = {.sin_family = AF_INET};
    if (wanted.sources)
        here.sin_addr.s_addr = htonl(wanted.source + number % wanted.sources);
    must("socket", c->socket = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0));
    if (setsockopt(c->socket, SOL_SOCKET, SO_RCVBUFFORCE, &(int){RECEIVE_BUFFER}, sizeof(int)))
        (void)setsockopt(c->socket, SOL_SOCKET, SO_RCVBUF, &(int){RECEIVE_BUFFER}, sizeof(int));
    if (wanted.gro)
        must("UDP_GRO", setsockopt(c->socket, IPPROTO_UDP, UDP_GRO, &(int){1}, sizeof(int)));
    must("bind", bind(c->socket, (struct sockaddr *)&here, sizeof here));
    must("epoll_ctl", epoll_ctl(poll_fd, EPOLL_CTL_ADD, c->socket, &event));
    running++;
}

static void start(struct client *c) {
    c->began = now();
    c->deadline = c->began + wanted.patience;
    ask(c);
}

/* Who has ended begins anew: at once, or where that went wrong after a while. */
static void again(struct client *c, uint32_t number, double time) {
    if (c->state == ASKING || c->state == RUNNING || (c->state == FAILED && time < c->ended + wanted.patience))
        return;
    close(c->socket);
    begin(c, number);
    start(c);
}

static int by_size(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static int report(const struct client *clients, uint32_t count, double began, double ended) {
    double *took = calloc(count, sizeof *took);
    uint32_t done = 0;
    double together = 0;
    for (uint32_t i = 0; i < count; i++) {
        together += clients[i].ended - clients[i].began;
        if (clients[i].state == DONE)
            took[done++] = clients[i].ended - clients[i].began;
    }
    qsort(took, done, sizeof *took, by_size);
    printf("{\"clients\": %u, \"verified\": %llu, \"failed\": %llu, \"vanished\": %llu, \"wrong\": %llu, \"bytes\": %llu, "
           "\"seconds\": %.6f, \"block\": %u, \"window\": %u, \"at_once\": %u, "
           "\"blocks\": %llu, \"resent\": %llu, \"early\": %llu, \"asked_again\": %llu, \"fastest\": %.6f, \"middle\": %.6f, "
           "\"slow\": %.6f, \"slowest\": %.6f, \"together\": %.6f, \"why\": \"%s\"}\n",
           count, (unsigned long long)seen.verified, (unsigned long long)seen.failed, (unsigned long long)seen.vanished,
           (unsigned long long)seen.wrong, (unsigned long long)(seen.verified * wanted.size), ended - began, clients->block,
           clients->window, most_flowing, (unsigned long long)seen.blocks,
           (unsigned long long)(seen.datagrams - seen.blocks), (unsigned long long)seen.early,
           (unsigned long long)seen.repeated_asks, done ? took[0] : 0, done ? took[done / 2] : 0,
           done ? took[done - 1 - done / 100] : 0, done ? took[done - 1] : 0, together, why);
    if (wanted.again)
        return seen.wrong ? 1 : 0;
    return done == count ? 0 : 1;
}

static void sources(const char *words) {
    char first[16] = "";
    struct in_addr address;
    if (sscanf(words, "%15[0-9.]/%u", first, &wanted.sources) != 2 || !inet_aton(first, &address) || !wanted.sources) {
        fprintf(stderr, "--sources FIRST/COUNT, such as 10.0.0.1/4000\n");
        exit(2);
    }
    wanted.source = ntohl(address.s_addr);
}

int main(int words, char **word) {
    static const struct option options[] = {{"port", 1, 0, 'p'},   {"name", 1, 0, 'n'},     {"file", 1, 0, 'f'},
                                            {"clients", 1, 0, 'c'}, {"block", 1, 0, 'b'},    {"window", 1, 0, 'w'},
                                            {"patience", 1, 0, 't'}, {"seconds", 1, 0, 's'}, {"host", 1, 0, 'h'},
                                            {"msftwindow", 0, 0, 'm'}, {"hold", 0, 0, 'o'}, {"gro", 0, 0, 'g'},
                                            {"each", 0, 0, 'e'},
                                            {"sources", 1, 0, 'S'}, {"again", 0, 0, 'a'}, {"vanish", 1, 0, 'v'},
                                            {"seed", 1, 0, 'r'}, {0}};
    const char *file = NULL;
    uint32_t count = 16;
    double seconds = 120;
    wanted.block = 1456, wanted.window = 1, wanted.patience = 1;
    wanted.server = (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    for (int option; (option = getopt_long(words, word, "", options, NULL)) != -1;) {
        switch (option) {
        case 'p': wanted.server.sin_port = htons((uint16_t)atoi(optarg)); break;
        case 'h': inet_pton(AF_INET, optarg, &wanted.server.sin_addr); break;
        case 'g': wanted.gro = true; break;
        case 'e': wanted.each = true; break;
        case 'o': wanted.hold = true; break;
        case 'm': wanted.vary = true; break;
        case 'n': wanted.name = optarg; break;
        case 'f': file = optarg; break;
        case 'c': count = (uint32_t)atoi(optarg); break;
        case 'b': wanted.block = (uint32_t)atoi(optarg); break;
        case 'w': wanted.window = (uint32_t)atoi(optarg); break;
        case 't': wanted.patience = atof(optarg) / 1000; break;
        case 's': seconds = atof(optarg); break;
        case 'S': sources(optarg); break;
        case 'a': wanted.again = true; break;
        case 'v': wanted.vanish = (uint32_t)atoi(optarg); break;
        case 'r': srand((unsigned)atoi(optarg)); break;
        default: return 2;
        }
    }
    if (!file || !wanted.name || !wanted.server.sin_port || !count || wanted.block < 8 || wanted.block > 65464 || !wanted.window) {
        fprintf(stderr, "load --port PORT --name NAME --file FILE [--clients N] [--block BYTES] [--window BLOCKS]\n");
        return 2;
    }
    int source = open(file, O_RDONLY);
    must(file, source);
    struct stat about;
    must("fstat", fstat(source, &about));
    wanted.size = (uint64_t)about.st_size;
    wanted.bytes = wanted.size ? must("mmap", (intptr_t)mmap(NULL, wanted.size, PROT_READ, MAP_SHARED | MAP_POPULATE, source, 0)) : NULL;
    struct rlimit limit;
    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
    must("epoll_create1", poll_fd = epoll_create1(0));
    struct client *clients = calloc(count, sizeof *clients);
    for (uint32_t i = 0; i < count; i++)
        begin(&clients[i], i);
    double began = now(), looked = began, time = began;
    for (uint32_t i = 0; i < count; i++)
        start(&clients[i]);
    while ((running || wanted.again) && time < began + seconds) {
        struct epoll_event ready[EVENTS];
        int some = epoll_wait(poll_fd, ready, EVENTS, 20);
        time = now();
        for (int i = 0; i < some; i++)
            receive(ready[i].data.ptr, time);
        if (time > looked + 0.02) {
            looked = time;
            for (uint32_t i = 0; i < count; i++)
                silence(&clients[i], time);
            for (uint32_t i = 0; wanted.again && i < count; i++)
                again(&clients[i], i, time);
        }
    }
    for (uint32_t i = 0; !wanted.again && running && i < count; i++)
        if (clients[i].state == ASKING || clients[i].state == RUNNING)
            finish(&clients[i], FAILED, "out of time at block", clients[i].next);
    int status = report(clients, count, began, now());
    if (wanted.hold) {
        fflush(stdout);
        while (getchar() != EOF)
            ;
        for (uint32_t i = 0; i < count; i++)
            if (clients[i].state == DONE)
                acknowledge(&clients[i]);
    }
    return status;
}
