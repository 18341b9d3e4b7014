/* A model server that costs next to nothing: it answers every chat completion alike, as JSON or as a stream.
 *
 *   model_server PORT [CHUNKS [MILLISECONDS]]
 *
 * A stream has CHUNKS events of one token each (50 unless told otherwise), MILLISECONDS apart (0: all at once), then its
 * usage if the request asked for it, then [DONE]. One thread, epoll, keep-alive; requests need a Content-Length.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
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

#define MOST_FILES 65536
#define USAGE "\"usage\":{\"prompt_tokens\":10,\"completion_tokens\":%d,\"total_tokens\":%d}"

struct connection {
    char *in, *out;
    size_t in_length, in_size, out_start, out_length, out_size;
    int chunks_left, wants_usage;
    long long due;
    int next_waiting;
};

static struct connection *connections[MOST_FILES];
static int poller, chunks = 50, first_waiting = -1, last_waiting = -1;
static long long delay_us;
static char whole[1024], event_text[512], usage_text[512];
static int whole_length, event_length, usage_length;
static const char stream_head[] = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n";
static const char done_text[] = "e\r\ndata: [DONE]\n\n\r\n0\r\n\r\n";

static long long now_us(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000000LL + t.tv_nsec / 1000;
}

static void *grown(void *memory, size_t size) {
    memory = realloc(memory, size);
    if (!memory) abort();
    return memory;
}

static void write_out(struct connection *c, const char *text, size_t length) {
    if (c->out_start + c->out_length + length > c->out_size) {
        memmove(c->out, c->out + c->out_start, c->out_length);
        c->out_start = 0;
        if (c->out_length + length > c->out_size) c->out = grown(c->out, c->out_size = 2 * (c->out_length + length));
    }
    memcpy(c->out + c->out_start + c->out_length, text, length);
    c->out_length += length;
}

static void leave(int fd) {
    struct connection *c = connections[fd];
    int *link = &first_waiting, previous = -1;
    while (*link >= 0 && *link != fd) link = &connections[previous = *link]->next_waiting;
    if (*link == fd) {
        *link = c->next_waiting;
        if (last_waiting == fd) last_waiting = previous;
    }
    connections[fd] = NULL;
    free(c->in);
    free(c->out);
    free(c);
    close(fd);
}

static void wait_turn(int fd, long long due) {
    struct connection *c = connections[fd];
    c->due = due;
    c->next_waiting = -1;
    if (last_waiting >= 0) connections[last_waiting]->next_waiting = fd;
    else first_waiting = fd;
    last_waiting = fd;
}

static int flush_out(int fd) {
    struct connection *c = connections[fd];
    while (c->out_length) {
        ssize_t sent = send(fd, c->out + c->out_start, c->out_length, MSG_NOSIGNAL);
        if (sent < 0 && errno == EAGAIN) {
            struct epoll_event e = {.events = EPOLLIN | EPOLLOUT, .data.fd = fd};
            epoll_ctl(poller, EPOLL_CTL_MOD, fd, &e);
            return 1;
        }
        if (sent < 0) return 0;
        c->out_start += sent;
        c->out_length -= sent;
    }
    c->out_start = 0;
    return 1;
}

static void next_event(struct connection *c) {
    write_out(c, event_text, event_length);
    if (--c->chunks_left) return;
    if (c->wants_usage) write_out(c, usage_text, usage_length);
    write_out(c, done_text, sizeof done_text - 1);
}

/* Answers the requests that are complete. 0 when the connection is of no more use. */
static int answer(int fd) {
    struct connection *c = connections[fd];
    for (;;) {
        char *end = c->in_length ? memmem(c->in, c->in_length, "\r\n\r\n", 4) : NULL;
        if (!end || c->chunks_left) return 1;
        *end = 0;
        char *field = strcasestr(c->in, "\r\ncontent-length:");
        size_t body = field ? strtoul(field + 17, NULL, 10) : 0, head = end + 4 - c->in;
        *end = '\r';
        if (c->in_length < head + body) return 1;
        char *text = c->in + head;
        int streamed = memmem(text, body, "\"stream\":true", 13) || memmem(text, body, "\"stream\": true", 14);
        if (streamed) {
            c->chunks_left = chunks;
            c->wants_usage = memmem(text, body, "include_usage", 13) != NULL;
            write_out(c, stream_head, sizeof stream_head - 1);
            if (delay_us) wait_turn(fd, now_us() + delay_us);
            else
                while (c->chunks_left) {
                    next_event(c);
                    if (!flush_out(fd)) return 0;
                }
        } else
            write_out(c, whole, whole_length);
        c->in_length -= head + body;
        memmove(c->in, c->in + head + body, c->in_length);
        if (!flush_out(fd)) return 0;
    }
}

static int take(int fd) {
    struct connection *c = connections[fd];
    for (;;) {
        if (c->in_length + 65536 > c->in_size) c->in = grown(c->in, c->in_size = 2 * (c->in_length + 65536));
        ssize_t got = recv(fd, c->in + c->in_length, c->in_size - c->in_length - 1, 0);
        if (got < 0 && errno == EAGAIN) break;
        if (got <= 0) return 0;
        c->in_length += got;
    }
    return answer(fd);
}

static void send_what_is_due(void) {
    long long now = now_us();
    while (first_waiting >= 0 && connections[first_waiting]->due <= now) {
        int fd = first_waiting;
        struct connection *c = connections[fd];
        first_waiting = c->next_waiting;
        if (first_waiting < 0) last_waiting = -1;
        next_event(c);
        if (!flush_out(fd)) leave(fd);
        else if (c->chunks_left) wait_turn(fd, c->due + delay_us);
        else if (!answer(fd)) leave(fd);
    }
}

int main(int argc, char **argv) {
    if (argc < 2) return fprintf(stderr, "model_server PORT [CHUNKS [MILLISECONDS]]\n"), 2;
    if (argc > 2) chunks = atoi(argv[2]);
    if (argc > 3) delay_us = atoi(argv[3]) * 1000LL;
    char body[512], one[400];
    int length = sprintf(body,
                         "{\"id\":\"chatcmpl-1\",\"object\":\"chat.completion\",\"created\":1700000000,\"model\":\"bench\","
                         "\"choices\":[{\"index\":0,\"message\":{\"role\":\"assistant\",\"content\":\"The answer is forty-two.\"},"
                         "\"finish_reason\":\"stop\"}]," USAGE "}",
                         chunks, chunks + 10);
    whole_length = sprintf(whole, "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%s", length, body);
    length = sprintf(one, "data: {\"id\":\"chatcmpl-1\",\"object\":\"chat.completion.chunk\",\"created\":1700000000,\"model\":\"bench\","
                          "\"choices\":[{\"index\":0,\"delta\":{\"content\":\"word \"},\"finish_reason\":null}]}\n\n");
    event_length = sprintf(event_text, "%x\r\n%s\r\n", length, one);
    length = sprintf(one, "data: {\"id\":\"chatcmpl-1\",\"object\":\"chat.completion.chunk\",\"created\":1700000000,\"model\":\"bench\","
                          "\"choices\":[]," USAGE "}\n\n", chunks, chunks + 10);
    usage_length = sprintf(usage_text, "%x\r\n%s\r\n", length, one);

    signal(SIGPIPE, SIG_IGN);
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), on = 1;
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(atoi(argv[1])), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (bind(listener, (struct sockaddr *)&address, sizeof address) || listen(listener, 4096)) return perror("listen"), 1;
    poller = epoll_create1(0);
    struct epoll_event e = {.events = EPOLLIN, .data.fd = listener}, ready[256];
    epoll_ctl(poller, EPOLL_CTL_ADD, listener, &e);
    printf("ready\n");
    fflush(stdout);
    for (;;) {
        int wait = -1;
        if (first_waiting >= 0) {
            long long left = connections[first_waiting]->due - now_us();
            wait = left <= 0 ? 0 : (int)((left + 999) / 1000);
        }
        int count = epoll_wait(poller, ready, 256, wait);
        for (int i = 0; i < count; i++) {
            int fd = ready[i].data.fd;
            if (fd == listener) {
                int peer;
                while ((peer = accept4(listener, NULL, NULL, SOCK_NONBLOCK)) >= 0) {
                    if (peer >= MOST_FILES) {
                        close(peer);
                        continue;
                    }
                    setsockopt(peer, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
                    connections[peer] = calloc(1, sizeof(struct connection));
                    e.events = EPOLLIN;
                    e.data.fd = peer;
                    epoll_ctl(poller, EPOLL_CTL_ADD, peer, &e);
                }
                continue;
            }
            if (!connections[fd]) continue;
            if (ready[i].events & EPOLLOUT) {
                if (!flush_out(fd)) {
                    leave(fd);
                    continue;
                }
                if (!connections[fd]->out_length) {
                    e.events = EPOLLIN;
                    e.data.fd = fd;
                    epoll_ctl(poller, EPOLL_CTL_MOD, fd, &e);
                }
            }
            if (ready[i].events & (EPOLLIN | EPOLLHUP | EPOLLERR) && !take(fd)) leave(fd);
        }
        send_what_is_due();
    }
}
