// Sends the same POST over N keep-alive connections for a fixed time and measures each answer. A closed loop: a
// connection sends the next request when it has the answer to the last, so latencies at a rate nobody chose are not
// those of an open system. One thread, epoll.
//
//     load PORT PATH CONNECTIONS SECONDS BODY-FILE [HEADER]      HEADER is a line such as "X-Amz-Invocation-Type: Event"
//
// Prints one JSON object. An answer that is neither 200 nor 202, or that has X-Amz-Function-Error, is an error, and so is a
// connection that closes. The first tenth of the time is a warm-up and not counted; "from" and "to" are the counted
// part in CLOCK_MONOTONIC nanoseconds.

#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

typedef struct {
    int socket;
    size_t sent;
    int64_t sent_at;
    size_t count;
    size_t capacity;
    char *bytes;
} connection;

static char *request;
static size_t request_count;
static int poller;

static void fail(const char *what) {
    fprintf(stderr, "load: %s: %s\n", what, strerror(errno));
    exit(1);
}

static int64_t now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec * INT64_C(1000000000) + time.tv_nsec;
}

static void watch(connection *c, int operation, uint32_t events) {
    struct epoll_event event = {.events = events, .data.ptr = c};
    if (epoll_ctl(poller, operation, c->socket, &event) != 0) fail("epoll_ctl");
}

// 0 when it is all out, 1 when the socket takes no more, -1 when it is broken.
static int send_rest(connection *c) {
    while (c->sent < request_count) {
        ssize_t put = send(c->socket, request + c->sent, request_count - c->sent, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (put < 0) return errno == EAGAIN ? 1 : -1;
        c->sent += put;
    }
    return 0;
}

static int begin(connection *c) {
    c->sent = 0;
    c->count = 0;
    c->sent_at = now();
    int status = send_rest(c);
    if (status == 1) watch(c, EPOLL_CTL_MOD, EPOLLIN | EPOLLOUT);
    return status;
}

// The value of a header in a head that ends with an empty line and a NUL; NULL when it is not there.
static const char *header(const char *head, const char *name) {
    size_t length = strlen(name);
    for (const char *line = strstr(head, "\r\n"); line && line[2] != '\r'; line = strstr(line + 2, "\r\n"))
        if (strncasecmp(line + 2, name, length) == 0 && line[2 + length] == ':') return line + 3 + length;
    return NULL;
}

// 0 when the answer is not whole yet, 1 when it is good, -1 when it is an error.
static int answer(connection *c) {
    char *end = memmem(c->bytes, c->count, "\r\n\r\n", 4);
    if (!end) return 0;
    size_t head_count = end + 4 - c->bytes;
    char kept = end[4];  // there is always room for one more
    end[4] = 0;
    const char *length = header(c->bytes, "Content-Length");
    size_t body_count = length ? strtoul(length, NULL, 10) : 0;
    int is_good = length && (strncmp(c->bytes, "HTTP/1.1 200", 12) == 0 || strncmp(c->bytes, "HTTP/1.1 202", 12) == 0) && !header(c->bytes, "X-Amz-Function-Error");
    end[4] = kept;
    if (c->count < head_count + body_count) return 0;
    return is_good && c->count == head_count + body_count ? 1 : -1;
}

static int compare(const void *a, const void *b) {
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

int main(int argc, char **argv) {
    if (argc != 6 && argc != 7) {
        fprintf(stderr, "usage: load PORT PATH CONNECTIONS SECONDS BODY-FILE [HEADER]\n");
        return 2;
    }
    int port = atoi(argv[1]), connection_count = atoi(argv[3]);
    double seconds = atof(argv[4]);
    static char body[1 << 20];
    FILE *file = fopen(argv[5], "rb");
    if (!file) fail(argv[5]);
    size_t body_count = fread(body, 1, sizeof body, file);
    fclose(file);
    request = malloc(body_count + strlen(argv[2]) + (argc == 7 ? strlen(argv[6]) : 0) + 256);
    request_count = sprintf(
        request, "POST %s HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nContent-Type: application/json\r\nContent-Length: %zu\r\n%s%s\r\n",
        argv[2], port, body_count, argc == 7 ? argv[6] : "", argc == 7 ? "\r\n" : "");
    memcpy(request + request_count, body, body_count);
    request_count += body_count;

    poller = epoll_create1(0);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    connection *connections = calloc(connection_count, sizeof *connections);
    for (int i = 0; i < connection_count; i++) {
        connection *c = &connections[i];
        c->socket = socket(AF_INET, SOCK_STREAM, 0);
        if (connect(c->socket, (struct sockaddr *)&address, sizeof address) != 0) fail("connect");
        int on = 1;
        setsockopt(c->socket, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        c->capacity = 16 << 10;
        c->bytes = malloc(c->capacity + 1);
        watch(c, EPOLL_CTL_ADD, EPOLLIN);
    }

    size_t samples_max = 1 << 20, sample_count = 0;
    uint32_t *samples = malloc(samples_max * sizeof *samples);
    int64_t begun = now(), end = begun + (int64_t)(seconds * 1e9), counted = begun + (int64_t)(seconds * 1e8);
    uint64_t errors = 0;
    int open = connection_count;
    for (int i = 0; i < connection_count; i++)
        if (begin(&connections[i]) < 0) fail("send");
    while (open > 0) {
        struct epoll_event events[256];
        int64_t left = end - now();
        if (left <= 0) break;
        int ready = epoll_wait(poller, events, 256, (int)(left / 1000000) + 1);
        for (int i = 0; i < ready; i++) {
            connection *c = events[i].data.ptr;
            int status = 0;
            if (events[i].events & EPOLLOUT) {
                status = send_rest(c);
                if (status == 0) watch(c, EPOLL_CTL_MOD, EPOLLIN);
                if (!(events[i].events & ~EPOLLOUT) && status >= 0) continue;
            }
            if (c->count == c->capacity) {
                c->capacity *= 2;
                c->bytes = realloc(c->bytes, c->capacity + 1);
            }
            ssize_t got = recv(c->socket, c->bytes + c->count, c->capacity - c->count, MSG_DONTWAIT);
            if (got < 0 && errno == EAGAIN) continue;
            int64_t time = now();
            if (got > 0) {
                c->count += got;
                status = answer(c);
                if (status == 0) continue;
                if (status < 0) errors++;
                if (time >= counted && status > 0) {
                    if (sample_count == samples_max)
                        samples = realloc(samples, (samples_max *= 2) * sizeof *samples);
                    int64_t taken = time - c->sent_at;
                    samples[sample_count++] = taken > UINT32_MAX ? UINT32_MAX : (uint32_t)taken;
                }
                if (begin(c) >= 0) continue;
            }
            errors++;
            open--;
            close(c->socket);
        }
    }
    int64_t stopped = now();
    qsort(samples, sample_count, sizeof *samples, compare);
#define AT(share) (sample_count ? samples[(size_t)((sample_count - 1) * (share))] / 1000.0 : 0.0)
    printf(
        "{\"requests\": %zu, \"errors\": %llu, \"seconds\": %.6f, \"from\": %lld, \"to\": %lld, "
        "\"p50\": %.1f, \"p90\": %.1f, \"p99\": %.1f, \"max\": %.1f}\n",
        sample_count, (unsigned long long)errors, (stopped - counted) / 1e9, (long long)counted, (long long)stopped, AT(.5),
        AT(.9), AT(.99), AT(1));
    return 0;
}
