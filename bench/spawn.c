// Starts a worker's program as a plain process, without host, sandbox and launcher, and measures the time from the call
// that spawns it to its first `next`. What is left is the program's own start.
//
//     spawn COUNT DIRECTORY NAME=VALUE... -- COMMAND [ARGUMENT...]
//
// The environment is PATH, ROOST_RUNTIME_FDS=3 and what is given. Prints the times in milliseconds, one on a line.

#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static void fail(const char *what) {
    fprintf(stderr, "spawn: %s: %s\n", what, strerror(errno));
    exit(1);
}

static int64_t now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec * INT64_C(1000000000) + time.tv_nsec;
}

int main(int argc, char **argv) {
    char *environment[32] = {"PATH=/usr/local/bin:/usr/bin:/bin", "ROOST_RUNTIME_FDS=3"};
    int count = argc > 1 ? atoi(argv[1]) : 0, next = 3, variables = 2;
    while (next < argc && strcmp(argv[next], "--") != 0 && variables < 31) environment[variables++] = argv[next++];
    if (count < 1 || next + 1 >= argc) {
        fprintf(stderr, "usage: spawn COUNT DIRECTORY NAME=VALUE... -- COMMAND [ARGUMENT...]\n");
        return 2;
    }
    char **command = argv + next + 1;
    if (chdir(argv[2]) != 0) fail(argv[2]);
    for (int i = 0; i < count; i++) {
        int pair[2];
        if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) != 0) fail("socketpair");
        posix_spawn_file_actions_t actions;
        posix_spawn_file_actions_init(&actions);
        // Never the same number, so that close-on-exec is off in the child.
        int child = fcntl(pair[1], F_DUPFD_CLOEXEC, 10);
        posix_spawn_file_actions_adddup2(&actions, child, 3);
        pid_t process;
        int64_t begun = now();
        if ((errno = posix_spawn(&process, command[0], &actions, NULL, command, environment)) != 0) fail(command[0]);
        close(pair[1]);
        close(child);
        char bytes[4096];
        size_t got = 0;
        while (!memmem(bytes, got, "\r\n\r\n", 4)) {
            struct pollfd ready = {.fd = pair[0], .events = POLLIN};
            if (poll(&ready, 1, 10000) != 1) fail("the program sent no 'next' in 10 s");
            ssize_t piece = read(pair[0], bytes + got, sizeof bytes - got);
            if (piece <= 0) fail("the program ended before its first 'next'");
            got += piece;
        }
        int64_t taken = now() - begun;
        if (got < 4 || memcmp(bytes, "GET ", 4) != 0) {
            fprintf(stderr, "spawn: the first request is no 'next': %.*s\n", (int)got, bytes);
            return 1;
        }
        printf("%.3f\n", taken / 1e6);
        close(pair[0]);  // the worker ends by itself
        waitpid(process, NULL, 0);
        posix_spawn_file_actions_destroy(&actions);
    }
    return 0;
}
