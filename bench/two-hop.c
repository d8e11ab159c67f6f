// A plain C server that makes the same two hops as a warm invocation: HTTP client -> this process -> worker process
// over a socketpair, and back. It is what bench/run holds Roost against: libuv and llhttp as in the host, and nothing
// else. No routing, no check of the body, no timeouts, no logs, no metrics, no queue limit; frames instead of a protocol
// on the second hop; the worker answers with the bytes that it got.
//
//     two-hop           listens on a free port of 127.0.0.1; prints "PORT FRONT-PID WORKER-PID"; ends with its standard input
//     two-hop worker    the other process: frames on descriptor 3
//
// A frame is a 32-bit length in host byte order and so many bytes. The worker has one frame at a time, as a Roost worker
// has one invocation; requests that find it busy wait in order.

#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

#include <uv.h>

#include "llhttp.h"

enum { BODY_MAX = 6 << 20 };

static void fail(const char *what, int status) {
    fprintf(stderr, "two-hop: %s: %s\n", what, status ? uv_strerror(status) : strerror(errno));
    exit(1);
}

static void check(int status, const char *what) {
    if (status < 0) fail(what, status);
}

// A byte buffer that grows.
typedef struct {
    char *bytes;
    size_t count, capacity;
} buffer;

static void append(buffer *b, const char *bytes, size_t count) {
    if (b->count + count > b->capacity) {
        b->capacity = (b->count + count) * 2;
        b->bytes = realloc(b->bytes, b->capacity);
        if (!b->bytes) fail("realloc", 0);
    }
    memcpy(b->bytes + b->count, bytes, count);
    b->count += count;
}

// One connection of a client. It has at most one request under way.
typedef struct connection {
    uv_tcp_t tcp;  // first, so that the handle's address is this one's
    llhttp_t parser;
    buffer body;
    int is_waiting;  // its request is queued or with the worker
    int is_closed;
    struct connection *next;
} connection;

static uv_loop_t *loop;
static llhttp_settings_t settings;
static uv_pipe_t worker;
static buffer answer;
static connection *first_waiting, *last_waiting, *served;

// Every read of every stream uses this one buffer: its bytes are done with when the callback returns.
static char read_buffer[64 << 10];

static void lend_buffer(uv_handle_t *handle, size_t size, uv_buf_t *out) {
    (void)handle, (void)size;
    *out = uv_buf_init(read_buffer, sizeof read_buffer);
}

typedef struct {
    uv_write_t request;
    char bytes[];
} pending_write;

static void wrote(uv_write_t *request, int status) {
    (void)status;  // a client that has gone is noticed by its read
    free(request);
}

// Both parts in one system call; what the socket does not take is copied and written later.
static void write_both(uv_stream_t *stream, const char *head, size_t head_count, const char *body, size_t body_count) {
    uv_buf_t parts[2] = {uv_buf_init((char *)head, head_count), uv_buf_init((char *)body, body_count)};
    int taken = uv_try_write(stream, parts, body_count ? 2 : 1);
    if (taken == UV_EAGAIN) taken = 0;
    if (taken < 0) return;
    size_t all = head_count + body_count, done = (size_t)taken;
    if (done == all) return;
    pending_write *rest = malloc(sizeof *rest + all - done);
    if (!rest) fail("malloc", 0);
    size_t count = 0;
    if (done < head_count) memcpy(rest->bytes, head + done, count = head_count - done);
    size_t skipped = done > head_count ? done - head_count : 0;
    memcpy(rest->bytes + count, body + skipped, body_count - skipped);
    uv_buf_t buf = uv_buf_init(rest->bytes, all - done);
    if (uv_write(&rest->request, stream, &buf, 1, wrote) < 0) free(rest);
}

static void serve_next(void) {
    while (!served && first_waiting) {
        connection *c = first_waiting;
        first_waiting = c->next;
        if (!first_waiting) last_waiting = NULL;
        served = c;
        uint32_t count = (uint32_t)c->body.count;
        write_both((uv_stream_t *)&worker, (char *)&count, sizeof count, c->body.bytes, c->body.count);
    }
}

static void release(uv_handle_t *handle) {
    connection *c = (connection *)handle;
    free(c->body.bytes);
    free(c);
}

static void close_connection(connection *c) {
    if (c->is_closed) return;
    c->is_closed = 1;
    // While its request is under way, the answer's arrival closes it.
    if (!c->is_waiting) uv_close((uv_handle_t *)&c->tcp, release);
}

static void worker_answered(const char *bytes, size_t count) {
    connection *c = served;
    served = NULL;
    c->is_waiting = 0;
    if (c->is_closed) {
        uv_close((uv_handle_t *)&c->tcp, release);
    } else {
        char head[128];
        int head_count = snprintf(
            head, sizeof head, "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %zu\r\n\r\n", count);
        write_both((uv_stream_t *)&c->tcp, head, head_count, bytes, count);
        c->body.count = 0;
    }
    serve_next();
}

static void read_worker(uv_stream_t *stream, ssize_t count, const uv_buf_t *buf) {
    (void)stream;
    if (count < 0) fail("the worker", (int)count);
    append(&answer, buf->base, count);
    uint32_t length;
    if (answer.count < sizeof length) return;
    memcpy(&length, answer.bytes, sizeof length);
    if (answer.count < sizeof length + length) return;
    worker_answered(answer.bytes + sizeof length, length);
    answer.count = 0;
}

static int body_came(llhttp_t *parser, const char *at, size_t count) {
    connection *c = parser->data;
    if (c->body.count + count > BODY_MAX) return -1;
    append(&c->body, at, count);
    return 0;
}

static int message_ended(llhttp_t *parser) {
    connection *c = parser->data;
    if (c->is_waiting) return -1;  // pipelining is not needed here
    c->is_waiting = 1;
    c->next = NULL;
    if (last_waiting) last_waiting->next = c;
    else first_waiting = c;
    last_waiting = c;
    serve_next();
    return 0;
}

static void read_client(uv_stream_t *stream, ssize_t count, const uv_buf_t *buf) {
    connection *c = (connection *)stream;
    if (count == 0) return;
    if (count < 0 || llhttp_execute(&c->parser, buf->base, count) != HPE_OK) {
        uv_read_stop(stream);
        close_connection(c);
    }
}

static void accept_client(uv_stream_t *listener, int status) {
    check(status, "listen");
    connection *c = calloc(1, sizeof *c);
    if (!c) fail("calloc", 0);
    check(uv_tcp_init(loop, &c->tcp), "uv_tcp_init");
    check(uv_accept(listener, (uv_stream_t *)&c->tcp), "uv_accept");
    check(uv_tcp_nodelay(&c->tcp, 1), "uv_tcp_nodelay");
    llhttp_init(&c->parser, HTTP_REQUEST, &settings);
    c->parser.data = c;
    check(uv_read_start((uv_stream_t *)&c->tcp, lend_buffer, read_client), "uv_read_start");
}

static void input_ended(uv_stream_t *stream, ssize_t count, const uv_buf_t *buf) {
    (void)stream, (void)buf;
    if (count < 0) exit(0);  // the worker's socket ends with this process
}

static int run_front(const char *program) {
    loop = uv_default_loop();
    uv_os_sock_t pair[2];
    check(uv_socketpair(SOCK_STREAM, 0, pair, UV_NONBLOCK_PIPE, 0), "uv_socketpair");
    uv_process_t process;
    uv_stdio_container_t descriptors[4] = {
        {.flags = UV_IGNORE}, {.flags = UV_IGNORE}, {.flags = UV_INHERIT_FD, .data.fd = 2},
        {.flags = UV_INHERIT_FD, .data.fd = pair[1]}};
    char *arguments[] = {(char *)program, "worker", NULL};
    uv_process_options_t options = {.file = program, .args = arguments, .stdio_count = 4, .stdio = descriptors};
    check(uv_spawn(loop, &process, &options), "uv_spawn");
    close(pair[1]);
    check(uv_pipe_init(loop, &worker, 0), "uv_pipe_init");
    check(uv_pipe_open(&worker, pair[0]), "uv_pipe_open");
    check(uv_read_start((uv_stream_t *)&worker, lend_buffer, read_worker), "uv_read_start");

    llhttp_settings_init(&settings);
    settings.on_body = body_came;
    settings.on_message_complete = message_ended;
    uv_tcp_t listener;
    struct sockaddr_in address;
    check(uv_tcp_init(loop, &listener), "uv_tcp_init");
    check(uv_ip4_addr("127.0.0.1", 0, &address), "uv_ip4_addr");
    check(uv_tcp_bind(&listener, (struct sockaddr *)&address, 0), "uv_tcp_bind");
    check(uv_listen((uv_stream_t *)&listener, 1024, accept_client), "uv_listen");
    int size = sizeof address;
    check(uv_tcp_getsockname(&listener, (struct sockaddr *)&address, &size), "uv_tcp_getsockname");

    uv_pipe_t input;
    check(uv_pipe_init(loop, &input, 0), "uv_pipe_init");
    check(uv_pipe_open(&input, 0), "uv_pipe_open");
    check(uv_read_start((uv_stream_t *)&input, lend_buffer, input_ended), "uv_read_start");
    printf("%d %d %d\n", ntohs(address.sin_port), (int)getpid(), (int)process.pid);
    fflush(stdout);
    return uv_run(loop, UV_RUN_DEFAULT);
}

// Blocking, one read and one write a frame, as our runtimes do.
static int run_worker(void) {
    size_t capacity = sizeof(uint32_t) + BODY_MAX, count = 0;
    char *bytes = malloc(capacity);
    if (!bytes) return 1;
    for (;;) {
        ssize_t got = read(3, bytes + count, capacity - count);
        if (got <= 0) return 0;
        count += got;
        uint32_t length;
        if (count < sizeof length) continue;
        memcpy(&length, bytes, sizeof length);
        if (length > BODY_MAX) return 1;
        if (count < sizeof length + length) continue;
        for (size_t done = 0; done < count;) {
            ssize_t put = write(3, bytes + done, count - done);
            if (put <= 0) return 0;
            done += put;
        }
        count = 0;
    }
}

int main(int argc, char **argv) {
    if (argc == 2 && strcmp(argv[1], "worker") == 0) return run_worker();
    if (argc != 1) {
        fprintf(stderr, "usage: two-hop [worker]\n");
        return 2;
    }
    static char program[4096];
    size_t size = sizeof program;
    check(uv_exepath(program, &size), "uv_exepath");
    return run_front(program);
}
