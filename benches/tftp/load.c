/* Many TFTP clients that compare every byte with what they should get; shares no code with the server.

   load --port PORT --name NAME --file FILE [--host ADDRESS] [--sources FIRST/COUNT] [--clients 16]
        [--block 1456] [--window 1] [--msftwindow] [--patience 1000] [--seconds 120] [--hold] [--gro] [--each]
        [--one-socket | --again [--vanish PERCENT] [--seed NUMBER]]

   One process and one epoll, so that a client costs the machine as little as can be. Each client has its own port, asks for
   tsize, blksize and windowsize (at 1: not), takes what is granted, and behaves as RFC 7440 says: it ACKs a full window and
   the last block; a block out of turn is dropped, and the last one in turn is ACKed, once until there is progress, or
   with --each for each such block, as EDK2 does. After --patience milliseconds of silence it repeats what it said last,
   10 times at most; --seconds bounds the whole.

   Prints one JSON object; status 1 where a transfer failed or a byte was wrong. With --hold the last block of each file is
   ACKed only when standard input ends: whoever reads the object finds each child of a forking server still there. With --gro
   windows arrive uncut (UDP_GRO), as if the network card cut them: else the server's processor does it on loopback.

   With --sources each client has the next address of so many. With --one-socket they share a port, and are told apart by
   their addresses: a machine is charged for its own socket alone, but this processor for all, and four thousand cost it
   more, client by client, than sixteen. With --again whoever is done, or failed, asks anew from
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

enum { BATCH = 64, UNCUT = 65536, EVENTS = 256, TRIES = 10, RECEIVE_BUFFER = 8 << 20, RECEIVE_BUFFERS = 1 << 29 };
enum { RRQ = 1, DATA = 3, ACK = 4, ERROR = 5, OACK = 6 };
enum state { ASKING, RUNNING, DONE, FAILED, GONE };

struct client {
    int socket;               /* its own, unless --one-socket; then peer: the transfer's port, in the network's order */
    in_port_t peer;
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
    bool vary, hold, gro, each, one_socket, again;
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
static struct client *clients;
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

/* With --one-socket: it, and what is to leave it. */
static int shared;
static struct {
    uint8_t bytes[BATCH][512], control[BATCH][CMSG_SPACE(sizeof(struct in_pktinfo))];
    struct sockaddr_in to[BATCH];
    struct iovec slices[BATCH];
    struct mmsghdr messages[BATCH];
    unsigned count;
} leaving;

static struct in_addr address(uint32_t number) {
    return (struct in_addr){htonl(wanted.source + number % wanted.sources)};
}

static void leave(void) {
    for (unsigned left = 0; left < leaving.count;) {
        int some = sendmmsg(shared, leaving.messages + left, leaving.count - left, 0);
        left += some > 0 ? (unsigned)some : 1; /* what cannot leave is lost */
    }
    leaving.count = 0;
}

static void say(const struct client *c, const void *bytes, size_t length) {
    struct sockaddr_in to = wanted.server;
    if (!wanted.one_socket) {
        if (c->state == ASKING)
            (void)sendto(c->socket, bytes, length, 0, (struct sockaddr *)&to, sizeof to);
        else
            (void)send(c->socket, bytes, length, MSG_NOSIGNAL);
        return;
    }
    if (leaving.count == BATCH)
        leave();
    unsigned i = leaving.count++;
    if (c->peer)
        to.sin_port = c->peer;
    memcpy(leaving.bytes[i], bytes, length);
    leaving.to[i] = to;
    leaving.slices[i] = (struct iovec){leaving.bytes[i], length};
    struct msghdr *message = &leaving.messages[i].msg_hdr;
    *message = (struct msghdr){.msg_name = &leaving.to[i], .msg_namelen = sizeof to, .msg_iov = &leaving.slices[i],
                               .msg_iovlen = 1, .msg_control = leaving.control[i], .msg_controllen = sizeof leaving.control[i]};
    struct cmsghdr *header = CMSG_FIRSTHDR(message);
    struct in_pktinfo from = {.ipi_spec_dst = address((uint32_t)(c - clients))};
    header->cmsg_level = IPPROTO_IP;
    header->cmsg_type = IP_PKTINFO;
    header->cmsg_len = CMSG_LEN(sizeof from);
    memcpy(CMSG_DATA(header), &from, sizeof from);
}

static void ask(const struct client *c) {
    char request[512] = {0, RRQ};
    int length = 2 + snprintf(request + 2, 300, "%s%coctet%ctsize%c0%cblksize%c%u", wanted.name, 0, 0, 0, 0, 0, wanted.block) + 1;
    if (wanted.window > 1)
        length += snprintf(request + length, 100, "windowsize%c%u", 0, wanted.window) + 1;
    if (wanted.vary)
        length += snprintf(request + length, 100, "msftwindow%c31416", 0) + 1;
    say(c, request, (size_t)length);
}

static void acknowledge(struct client *c) {
    uint16_t number = (uint16_t)(c->next - 1);
    uint8_t ack[4] = {0, ACK, (uint8_t)(number >> 8), (uint8_t)number};
    c->unacknowledged = 0;
    say(c, ack, sizeof ack);
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

/* Whether it can be the answer to a request. What this port's last owner left behind sends blocks as he had agreed. */
static bool answers(const uint8_t *datagram, size_t length) {
    return length >= 4 && (datagram[1] != DATA || (length <= 4 + 512 && datagram[2] == 0 && datagram[3] == 1));
}

/* With --one-socket: whose it is; nobody's where it comes from another port than the transfer's. */
static struct client *owner(struct in_addr to, const struct mmsghdr *message) {
    const struct sockaddr_in *from = message->msg_hdr.msg_name;
    uint32_t number = ntohl(to.s_addr) - wanted.source;
    if (number >= wanted.sources)
        return NULL;
    struct client *c = &clients[number];
    if (!c->peer && answers(message->msg_hdr.msg_iov->iov_base, message->msg_len))
        c->peer = from->sin_port;
    return c->peer == from->sin_port ? c : NULL;
}

/* One message, or what the kernel left in one piece; of this client, unless they are told apart by their addresses. */
static void cut(struct client *c, struct mmsghdr *message, double time) {
    uint8_t *bytes = message->msg_hdr.msg_iov->iov_base;
    size_t length = message->msg_len, piece = length;
    for (struct cmsghdr *h = CMSG_FIRSTHDR(&message->msg_hdr); h; h = CMSG_NXTHDR(&message->msg_hdr, h)) {
        int segment;
        struct in_pktinfo about;
        if (h->cmsg_level == IPPROTO_UDP && h->cmsg_type == UDP_GRO) {
            memcpy(&segment, CMSG_DATA(h), sizeof segment);
            piece = (size_t)segment;
        } else if (h->cmsg_level == IPPROTO_IP && h->cmsg_type == IP_PKTINFO) {
            memcpy(&about, CMSG_DATA(h), sizeof about);
            c = owner(about.ipi_addr, message);
        }
    }
    for (size_t at = 0; c && (at < length || !at); at += piece) {
        take(c, bytes + at, length - at < piece ? length - at : piece, time);
        if (!piece)
            break;
    }
}

/* What waits in a socket: where messages go, and how many there are room for in one call. */
static struct {
    struct mmsghdr messages[BATCH];
    struct iovec slices[BATCH];
    uint8_t controls[BATCH][64];
    struct sockaddr_in from[BATCH];
    size_t stride;
    int batch;
} room;

static void prepare(void) {
    room.stride = wanted.gro ? UNCUT + 64 : (wanted.block < 512 ? 512 : wanted.block) + 64;
    room.batch = wanted.gro && !wanted.one_socket ? BATCH / 16 : BATCH;
    uint8_t *bytes = malloc(room.stride * (size_t)room.batch);
    for (int i = 0; i < room.batch; i++) {
        room.slices[i] = (struct iovec){bytes + room.stride * (size_t)i, room.stride - 1};
        room.messages[i].msg_hdr = (struct msghdr){.msg_iov = &room.slices[i], .msg_iovlen = 1, .msg_control = room.controls[i]};
    }
}

static int gather(int socket, struct client *c, double time) {
    for (int i = 0; i < room.batch; i++) {
        room.messages[i].msg_hdr.msg_controllen = wanted.gro || wanted.one_socket ? sizeof room.controls[i] : 0;
        room.messages[i].msg_hdr.msg_name = wanted.one_socket ? &room.from[i] : NULL;
        room.messages[i].msg_hdr.msg_namelen = wanted.one_socket ? sizeof room.from[i] : 0;
    }
    int got = recvmmsg(socket, room.messages, (unsigned)room.batch, MSG_DONTWAIT, NULL);
    for (int i = 0; i < got; i++)
        cut(c, &room.messages[i], time);
    return got;
}

/* Everything that waits for one client; with --one-socket (NULL) what came for any of them, as much as one call gets. */
static void receive(struct client *c, double time) {
    if (!c) {
        gather(shared, NULL, time);
        leave();
        return;
    }
    if (c->state == ASKING) { /* who answers first is the transfer's port: from now on nobody else is heard */
        uint8_t *bytes = room.slices->iov_base;
        struct sockaddr_in peer;
        socklen_t length = sizeof peer;
        ssize_t got;
        do {
            got = recvfrom(c->socket, bytes, room.stride - 1, MSG_DONTWAIT, (struct sockaddr *)&peer, &length);
            if (got < 0)
                return;
        } while (!answers(bytes, (size_t)got));
        must("connect", connect(c->socket, (struct sockaddr *)&peer, sizeof peer));
        take(c, bytes, (size_t)got, time);
    }
    int got;
    while ((got = gather(c->socket, c, time)) == room.batch)
        ;
    if (got < 0 && errno == ECONNREFUSED && c->state == RUNNING)
        finish(c, FAILED, "the server closed its port at block", c->next);
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

static int port(struct client *c, struct in_addr at) {
    int new;
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = c};
    struct sockaddr_in here = {.sin_family = AF_INET, .sin_addr = at};
    must("socket", new = socket(AF_INET, SOCK_DGRAM | (c ? SOCK_NONBLOCK : 0), 0));
    if (setsockopt(new, SOL_SOCKET, SO_RCVBUFFORCE, c ? &(int){RECEIVE_BUFFER} : &(int){RECEIVE_BUFFERS}, sizeof(int)))
        (void)setsockopt(new, SOL_SOCKET, SO_RCVBUF, &(int){RECEIVE_BUFFER}, sizeof(int));
    if (wanted.gro)
        must("UDP_GRO", setsockopt(new, IPPROTO_UDP, UDP_GRO, &(int){1}, sizeof(int)));
    if (!c) { /* that its packets are never cut saves it the search for each one's number */
        must("IP_PKTINFO", setsockopt(new, IPPROTO_IP, IP_PKTINFO, &(int){1}, sizeof(int)));
        must("IP_MTU_DISCOVER", setsockopt(new, IPPROTO_IP, IP_MTU_DISCOVER, &(int){IP_PMTUDISC_DO}, sizeof(int)));
    }
    must("bind", bind(new, (struct sockaddr *)&here, sizeof here));
    must("epoll_ctl", epoll_ctl(poll_fd, EPOLL_CTL_ADD, new, &event));
    return new;
}

/* A port, and the request that leaves it. */
static void begin(struct client *c, uint32_t number) {
    *c = (struct client){.block = 512, .window = 1, .next = 1};
    uint64_t blocks = wanted.size / wanted.block + 1;
    if (wanted.vanish > (uint32_t)(rand() % 100))
        c->vanishes = 2 + (uint64_t)rand() % blocks;
    if (!wanted.one_socket)
        c->socket = port(c, wanted.sources ? address(number) : (struct in_addr){INADDR_ANY});
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

static int report(uint32_t count, double began, double ended) {
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
                                            {"each", 0, 0, 'e'},      {"one-socket", 0, 0, 'O'},
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
        case 'O': wanted.one_socket = true; break;
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
    if (wanted.one_socket && (wanted.sources != count || wanted.again)) {
        fprintf(stderr, "--one-socket wants --sources with an address for each client, and no --again\n");
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
    clients = calloc(count, sizeof *clients);
    prepare();
    if (wanted.one_socket)
        shared = port(NULL, (struct in_addr){INADDR_ANY});
    for (uint32_t i = 0; i < count; i++)
        begin(&clients[i], i);
    double began = now(), looked = began, time = began;
    for (uint32_t i = 0; i < count; i++)
        start(&clients[i]);
    leave();
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
            leave();
            for (uint32_t i = 0; wanted.again && i < count; i++)
                again(&clients[i], i, time);
        }
    }
    for (uint32_t i = 0; !wanted.again && running && i < count; i++)
        if (clients[i].state == ASKING || clients[i].state == RUNNING)
            finish(&clients[i], FAILED, "out of time at block", clients[i].next);
    int status = report(count, began, now());
    if (wanted.hold) {
        fflush(stdout);
        while (getchar() != EOF)
            ;
        for (uint32_t i = 0; i < count; i++)
            if (clients[i].state == DONE)
                acknowledge(&clients[i]);
        leave();
    }
    return status;
}
