/* Calls as fast as they are answered, on a number of connections at once; what they took, as one line of JSON.
 *
 *   load PORT CONNECTIONS WARM_SECONDS SECONDS BODY_FILE KEY_FILE [SPREAD_SECONDS [PATH [HEAD_FILE]]]
 *
 * Each call takes the next line of KEY_FILE as its bearer token. Latencies are microseconds: of the whole answer, and
 * until the first byte behind its head. Calls that begin while it warms up are not counted. The connections begin one
 * after the other, over SPREAD_SECONDS: callers do not move in step. HEAD_FILE has more lines for the head of each call.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define MOST_CALLS 8000000
#define HEAD 8192

struct connection {
    int fd, status, in_body, chunked, is_counted, head_length;
    long long begun, left; /* of the body, or of the chunk with its line end */
    int chunk_state, size_length;
    char head[HEAD], size[32];
    int first_byte;
};

static struct connection *connections;
static int poller, port, key_count, next_key;
static char **keys, *body, *path = "/v1/chat/completions", *head = "";
static size_t body_length, head_length;
static unsigned *latencies, *first_bytes;
static int counted, total, failures, statuses[600];
static long long start, begin, end, passed;

static long long now_us(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000000LL + t.tv_nsec / 1000;
}

static char *contents(const char *name, size_t *length) {
    FILE *file = fopen(name, "rb");
    if (!file) perror(name), exit(2);
    fseek(file, 0, SEEK_END);
    *length = ftell(file);
    rewind(file);
    char *text = malloc(*length + 1);
    if (fread(text, 1, *length, file) != *length) exit(2);
    text[*length] = 0;
    fclose(file);
    return text;
}

static void ask(struct connection *c) {
    static char *request;
    if (!request) request = malloc(body_length + head_length + 4096);
    int length = sprintf(request,
                         "POST %s HTTP/1.1\r\nhost: 127.0.0.1:%d\r\nauthorization: Bearer %s\r\n"
                         "content-type: application/json\r\ncontent-length: %zu\r\n%s\r\n",
                         path, port, keys[next_key], body_length, head);
    next_key = (next_key + 1) % key_count;
    memcpy(request + length, body, body_length);
    length += body_length;
    c->begun = now_us();
    c->is_counted = c->begun >= begin;
    c->in_body = c->head_length = c->chunk_state = c->size_length = c->first_byte = 0;
    if (send(c->fd, request, length, MSG_NOSIGNAL) != length) failures++;
}

static void join(struct connection *c) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int on = 1;
    c->fd = socket(AF_INET, SOCK_STREAM, 0);
    if (connect(c->fd, (struct sockaddr *)&address, sizeof address)) perror("connect"), exit(1);
    setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    struct epoll_event e = {.events = EPOLLIN, .data.ptr = c};
    epoll_ctl(poller, EPOLL_CTL_ADD, c->fd, &e);
    ask(c);
}

static void finish(struct connection *c) {
    long long now = now_us();
    total++;
    if (c->is_counted && now <= end && counted < MOST_CALLS) {
        latencies[counted] = now - c->begun;
        first_bytes[counted++] = c->first_byte;
        statuses[c->status % 600]++;
    }
}

/* Takes in what came. 1 when the answer is complete. */
static int take(struct connection *c, char *text, ssize_t length) {
    while (length > 0) {
        if (!c->in_body) {
            int room = HEAD - 1 - c->head_length, part = length < room ? length : room;
            memcpy(c->head + c->head_length, text, part);
            int before = c->head_length;
            c->head_length += part;
            c->head[c->head_length] = 0;
            char *stop = strstr(c->head, "\r\n\r\n");
            if (!stop) return 0;
            *stop = 0;
            int used = stop + 4 - c->head - before;
            text += used;
            length -= used;
            c->in_body = 1;
            c->status = atoi(c->head + 9);
            char *field = strcasestr(c->head, "\r\ncontent-length:");
            c->chunked = !field;
            c->left = field ? atoll(field + 17) : 0;
            if (field && !c->left) return 1;
            continue;
        }
        if (!c->first_byte) c->first_byte = now_us() - c->begun;
        if (!c->chunked) {
            c->left -= length;
            return c->left <= 0;
        }
        if (c->chunk_state == 0) { /* the line with its size */
            char one = *text++;
            length--;
            if (one != '\n') {
                if (c->size_length < 30) c->size[c->size_length++] = one;
                continue;
            }
            c->size[c->size_length] = 0;
            c->size_length = 0;
            c->left = strtoll(c->size, NULL, 16) + 2;
            c->chunk_state = c->left == 2 ? 2 : 1;
            if (c->chunk_state == 1) passed++;
        } else {
            ssize_t part = length < c->left ? length : c->left;
            text += part;
            length -= part;
            if (!(c->left -= part)) {
                if (c->chunk_state == 2) return 1;
                c->chunk_state = 0;
            }
        }
    }
    return 0;
}

static int ascending(const void *one, const void *other) {
    unsigned a = *(const unsigned *)one, b = *(const unsigned *)other;
    return (a > b) - (a < b);
}

static unsigned at(unsigned *values, double share) { return counted ? values[(int)(share * (counted - 1))] : 0; }

int main(int argc, char **argv) {
    if (argc < 7) return fprintf(stderr, "load PORT CONNECTIONS WARM_SECONDS SECONDS BODY_FILE KEY_FILE [SPREAD_SECONDS [PATH [HEAD_FILE]]]\n"), 2;
    port = atoi(argv[1]);
    int count = atoi(argv[2]);
    body = contents(argv[5], &body_length);
    size_t length;
    char *text = contents(argv[6], &length);
    keys = malloc((length / 2 + 2) * sizeof *keys);
    for (char *key = strtok(text, "\n"); key; key = strtok(NULL, "\n")) keys[key_count++] = key;
    double spread = argc > 7 ? atof(argv[7]) * 1e6 : 0;
    if (argc > 8) path = argv[8];
    if (argc > 9) head = contents(argv[9], &head_length);
    latencies = malloc(MOST_CALLS * sizeof *latencies);
    first_bytes = malloc(MOST_CALLS * sizeof *first_bytes);
    connections = calloc(count, sizeof *connections);
    poller = epoll_create1(0);
    signal(SIGPIPE, SIG_IGN);
    start = now_us();
    begin = start + (long long)(atof(argv[3]) * 1e6);
    end = begin + (long long)(atof(argv[4]) * 1e6);
    int joined = 0;
    static char buffer[262144];
    struct epoll_event ready[256];
    for (long long now = start; now < end; now = now_us()) {
        while (joined < count && now - start >= spread * joined / count) join(&connections[joined++]);
        int found = epoll_wait(poller, ready, 256, joined < count ? 1 : 50);
        for (int i = 0; i < found; i++) {
            struct connection *c = ready[i].data.ptr;
            ssize_t got = recv(c->fd, buffer, sizeof buffer, 0);
            if (got <= 0) {
                failures++;
                close(c->fd);
                join(c);
            } else if (take(c, buffer, got)) {
                finish(c);
                ask(c);
            }
        }
    }
    qsort(latencies, counted, sizeof *latencies, ascending);
    qsort(first_bytes, counted, sizeof *first_bytes, ascending);
    printf("{\"calls\": %d, \"total\": %d, \"seconds\": %s, \"failures\": %d, \"ok\": %d, \"chunks\": %lld, \"p50\": %u, \"p99\": %u, \"most\": %u, "
           "\"first_byte_p50\": %u, \"first_byte_p99\": %u}\n",
           counted, total, argv[4], failures, statuses[200], passed, at(latencies, .5), at(latencies, .99), at(latencies, 1),
           at(first_bytes, .5), at(first_bytes, .99));
    return 0;
}
