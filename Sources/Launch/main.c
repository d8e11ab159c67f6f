// roost-launch: the last program before a worker.
//
// bubblewrap runs it as the sandbox's first process; with `--sandbox none` the host runs it directly. It sets limits,
// priority and the parent-death signal, leaves root behind, hands the host what only somebody inside can make (a pidfd
// of the worker, a listener in the worker's network namespace) and executes the worker. runtime/PROTOCOL.md, sections
// 9 and 10, is its specification.
//
// The order of `main` is the design. Each step says what must have happened before it:
//
//  1. Nothing of the worker's own environment is in ours while we are privileged (--environment FD, not `environ`):
//     LD_PRELOAD of a function would otherwise run inside this program, as root.
//  2. The listener, the priority and the OOM score need the rights of whoever started us: before the user changes.
//  3. The user changes, then the user namespace is made: the other way round, the map of a user that is not the
//     caller would need a helper process that stays behind.
//  4. RLIMIT_NPROC comes after the user namespace. A namespace remembers the creator's RLIMIT_NPROC as the limit on
//     what all its processes may add to the *parent's* count of that user, which all workers share.
//  5. The parent-death signal is set again after the user has changed, because the kernel clears it then.
//  6. The control message is the last thing before execve. The control descriptor is close-on-exec: after the
//     message the host sees either end of file (the worker runs) or a second message (execve failed).
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <linux/close_range.h>
#include <linux/mount.h>
#include <limits.h>
#include <netinet/in.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { EXIT_USAGE = 2, EXIT_SETUP = 126, EXIT_NOT_FOUND = 127 };
enum { NOBODY = 65534 };
enum { INHERIT_MAX = 1024, RLIMITS_MAX = 16, ENVIRONMENT_BYTES_MAX = 2 * 1024 * 1024 };

// What travels on the control socket, in host byte order. The size is fixed, so one read gets all of it.
struct message {
    char magic[4];         // "ROST"
    uint16_t version;      // 1
    uint16_t kind;         // 1: about to execute the worker; 2: failed
    uint16_t port;         // of the listener, 0 without one
    uint16_t descriptors;  // how many came with it: pidfd, then the listener
    int32_t error;         // kind 2: errno, 0 when there is none
    char text[112];        // kind 2: the line that is also on stderr, without its prefix; NUL-terminated
};
_Static_assert(sizeof(struct message) == 128, "the host reads 128 bytes");

struct limit {
    int resource;
    const char *name;
    struct rlimit value;
};

struct options {
    int control, environment, listen, user_namespace, pdeathsig, has_nice, nice, has_oom_score, oom_score;
    uint16_t port;
    pid_t parent;
    long uid, gid;
    const char *directory;
    int inherit[INHERIT_MAX], inherit_count;
    struct limit limits[RLIMITS_MAX];
    int limit_count;
    char **command;
};

static int control = -1;  // known to fail() as soon as it is parsed

// MARK: failing

/// Writes `roost-launch: WHAT: strerror`, tells the host the same over the control socket, and leaves.
static _Noreturn void fail_with(int status, int error, const char *what) {
    if (error)
        dprintf(STDERR_FILENO, "roost-launch: %s: %s\n", what, strerror(error));
    else
        dprintf(STDERR_FILENO, "roost-launch: %s\n", what);
    if (control >= 0) {
        struct message message = {{'R', 'O', 'S', 'T'}, 1, 2, 0, 0, error, {0}};
        if (error)
            snprintf(message.text, sizeof message.text, "%s: %s", what, strerror(error));
        else
            snprintf(message.text, sizeof message.text, "%s", what);
        (void)!send(control, &message, sizeof message, MSG_NOSIGNAL);
    }
    _exit(status);
}

static _Noreturn void fail(const char *what) { fail_with(EXIT_SETUP, errno, what); }

static _Noreturn void usage(const char *problem, const char *subject) {
    dprintf(STDERR_FILENO, "roost-launch: %s%s%s\n", problem, subject ? ": " : "", subject ? subject : "");
    _exit(EXIT_USAGE);
}

// MARK: arguments

static long long number(const char *text, const char *flag, long long low, long long high) {
    char *end;
    errno = 0;
    long long value = strtoll(text, &end, 10);
    if (errno || end == text || *end || value < low || value > high) usage("not a number in range", flag);
    return value;
}

static void parse_inherit(struct options *o, char *list) {
    for (char *save, *item = strtok_r(list, ",", &save); item; item = strtok_r(NULL, ",", &save)) {
        if (o->inherit_count == INHERIT_MAX) usage("too many descriptors", "--inherit");
        o->inherit[o->inherit_count++] = (int)number(item, "--inherit", 3, INT_MAX);
    }
}

static void parse_limit(struct options *o, const char *text) {
    static const struct { const char *name; int resource; } known[] = {
        {"nofile", RLIMIT_NOFILE}, {"nproc", RLIMIT_NPROC}, {"core", RLIMIT_CORE},
        {"as", RLIMIT_AS},         {"data", RLIMIT_DATA},   {"fsize", RLIMIT_FSIZE},
    };
    const char *equals = strchr(text, '=');
    if (!equals) usage("expected NAME=VALUE", "--rlimit");
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        if (strlen(known[i].name) != (size_t)(equals - text) || strncmp(known[i].name, text, (size_t)(equals - text)))
            continue;
        if (o->limit_count == RLIMITS_MAX) usage("too many limits", "--rlimit");
        rlim_t value = strcmp(equals + 1, "unlimited") == 0
            ? RLIM_INFINITY
            : (rlim_t)number(equals + 1, "--rlimit", 0, LLONG_MAX);
        o->limits[o->limit_count++] = (struct limit){known[i].resource, known[i].name, {value, value}};
        return;
    }
    usage("unknown limit", text);
}

static struct options parse(int count, char **arguments) {
    struct options o = {.control = -1, .environment = -1, .uid = -1, .gid = -1, .parent = getppid()};
    for (int i = 1; i < count; i++) {
        char *flag = arguments[i];
        if (strcmp(flag, "--") == 0) {
            o.command = arguments + i + 1;
            break;
        }
        if (strcmp(flag, "--userns") == 0) { o.user_namespace = 1; continue; }
        if (strcmp(flag, "--pdeathsig") == 0) { o.pdeathsig = 1; continue; }
        if (strncmp(flag, "--pdeathsig=", 12) == 0) {
            o.pdeathsig = 1;
            o.parent = (pid_t)number(flag + 12, "--pdeathsig", 1, INT_MAX);
            continue;
        }
        if (strcmp(flag, "--listen") == 0) { o.listen = 1; continue; }
        if (strncmp(flag, "--listen=", 9) == 0) {
            o.listen = 1;
            o.port = (uint16_t)number(flag + 9, "--listen", 0, 65535);
            continue;
        }
        static const char *const valued[] = {"--control", "--environment", "--uid",  "--gid",    "--nice",
                                             "--rlimit",  "--oom-score",   "--chdir", "--inherit"};
        size_t kind = 0, kinds = sizeof valued / sizeof *valued;
        while (kind < kinds && strcmp(flag, valued[kind])) kind++;
        if (kind == kinds) usage("unknown flag", flag);
        if (++i == count) usage("needs a value", flag);
        char *value = arguments[i];
        switch (kind) {
        case 0: o.control = control = (int)number(value, flag, 3, INT_MAX); break;
        case 1: o.environment = (int)number(value, flag, 3, INT_MAX); break;
        case 2: o.uid = (long)number(value, flag, 1, UINT_MAX - 1LL); break;  // 1: never root
        case 3: o.gid = (long)number(value, flag, 1, UINT_MAX - 1LL); break;
        case 4: o.has_nice = 1; o.nice = (int)number(value, flag, -20, 19); break;
        case 5: parse_limit(&o, value); break;
        case 6: o.has_oom_score = 1; o.oom_score = (int)number(value, flag, -1000, 1000); break;
        case 7: o.directory = value; break;
        case 8: parse_inherit(&o, value); break;
        }
    }
    if (!o.command || !o.command[0]) usage("no command after --", NULL);
    if (!strchr(o.command[0], '/')) usage("the command must be a path", o.command[0]);
    if ((o.uid < 0) != (o.gid < 0)) usage("--uid and --gid go together", NULL);
    if (o.listen && o.control < 0) usage("--listen needs --control", NULL);
    return o;
}

// MARK: steps

static void write_file(int directory, const char *path, const char *text, const char *what) {
    int file = openat(directory, path, O_WRONLY | O_CLOEXEC);
    if (file < 0 || write(file, text, strlen(text)) != (ssize_t)strlen(text)) fail(what);
    close(file);
}

/// The worker's environment: NUL-terminated `KEY=VALUE` entries up to the end of file of `descriptor`. A memfd and a
/// file are read from their start, so that the host need not rewind.
static char **read_environment(int descriptor) {
    char *bytes = malloc(ENVIRONMENT_BYTES_MAX + 1);
    if (!bytes) fail("environment");
    size_t size = 0;
    (void)lseek(descriptor, 0, SEEK_SET);
    for (;;) {
        ssize_t n = read(descriptor, bytes + size, ENVIRONMENT_BYTES_MAX + 1 - size);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) fail("read environment");
        if (n == 0) break;
        size += (size_t)n;
        if (size > ENVIRONMENT_BYTES_MAX) fail_with(EXIT_SETUP, E2BIG, "read environment");
    }
    close(descriptor);
    if (size && bytes[size - 1]) fail_with(EXIT_SETUP, 0, "read environment: the last entry has no NUL");
    size_t count = 0;
    for (size_t i = 0; i < size; i++) count += !bytes[i];
    char **entries = calloc(count + 1, sizeof *entries);
    if (!entries) fail("environment");
    char *at = bytes;
    for (size_t i = 0; i < count; i++, at += strlen(at) + 1) entries[i] = at;
    return entries;
}

/// `environment` with AWS_LAMBDA_RUNTIME_API set to the listener, whatever it was before.
static char **with_runtime_api(char **environment, uint16_t port) {
    static char entry[64];
    static const char key[] = "AWS_LAMBDA_RUNTIME_API=";
    snprintf(entry, sizeof entry, "%s127.0.0.1:%u", key, port);
    size_t count = 0, kept = 0;
    while (environment[count]) count++;
    char **result = calloc(count + 2, sizeof *result);
    if (!result) fail("environment");
    for (size_t i = 0; i < count; i++)
        if (strncmp(environment[i], key, sizeof key - 1)) result[kept++] = environment[i];
    result[kept] = entry;
    return result;
}

static int make_listener(uint16_t *port) {
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (listener < 0) fail("socket");
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(*port)};
    socklen_t size = sizeof address;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int yes = 1;
    (void)setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
    if (bind(listener, (struct sockaddr *)&address, sizeof address)) fail("bind 127.0.0.1");
    if (listen(listener, 128)) fail("listen");
    if (getsockname(listener, (struct sockaddr *)&address, &size)) fail("getsockname");
    *port = ntohs(address.sin_port);
    return listener;
}

/// A private mount of procfs, because /proc/sys of the sandbox is read-only. Needs CAP_SYS_ADMIN over the pid
/// namespace, so it is made before the user changes and used after.
static int open_procfs(void) {
    int context = (int)syscall(SYS_fsopen, "proc", FSOPEN_CLOEXEC);
    if (context < 0) fail("fsopen proc");
    if (syscall(SYS_fsconfig, context, FSCONFIG_CMD_CREATE, NULL, NULL, 0)) fail("fsconfig proc");
    int mount = (int)syscall(SYS_fsmount, context, FSMOUNT_CLOEXEC, 0);
    if (mount < 0) fail("fsmount proc");
    close(context);
    return mount;
}

static void become(uid_t uid, gid_t gid) {
    if (setgroups(0, NULL)) fail("setgroups");
    if (setresgid(gid, gid, gid)) fail("setresgid");
    if (setresuid(uid, uid, uid)) fail("setresuid");
    // A change of user makes /proc/self root's; the maps below could not be written.
    if (prctl(PR_SET_DUMPABLE, 1, 0, 0, 0)) fail("PR_SET_DUMPABLE");
}

/// A user namespace of the worker's own, which knows one user and one group, and in which no other can be made.
static void make_user_namespace(int procfs) {
    char map[64];
    unsigned uid = geteuid(), gid = getegid();
    if (unshare(CLONE_NEWUSER)) fail("unshare(CLONE_NEWUSER)");
    write_file(procfs, "self/setgroups", "deny", "setgroups deny");
    snprintf(map, sizeof map, "%u %u 1\n", gid, gid);
    write_file(procfs, "self/gid_map", map, "gid_map");
    snprintf(map, sizeof map, "%u %u 1\n", uid, uid);
    write_file(procfs, "self/uid_map", map, "uid_map");
    write_file(procfs, "sys/user/max_user_namespaces", "0\n", "max_user_namespaces");
}

/// Leaves no capability in any set. The bounding set is emptied as far as we may: no_new_privs makes it moot.
static void drop_capabilities(void) {
    for (int capability = 0; capability <= 63; capability++)
        if (prctl(PR_CAPBSET_DROP, capability, 0, 0, 0)) break;
    (void)prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
    struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
    struct __user_cap_data_struct none[2] = {{0}, {0}};
    if (syscall(SYS_capset, &header, none)) fail("capset");
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)) fail("no_new_privs");
}

static void set_limits(const struct options *o, int nproc) {
    for (int i = 0; i < o->limit_count; i++) {
        const struct limit *limit = &o->limits[i];
        if ((limit->resource == RLIMIT_NPROC) != nproc) continue;
        char what[32];
        snprintf(what, sizeof what, "rlimit %s", limit->name);
        if (setrlimit((__rlimit_resource_t)limit->resource, &limit->value)) fail(what);
    }
}

/// Dies with the thread that started us. When `parent` is no longer our parent, it died before the signal was armed;
/// without a pid on the command line `parent` is what getppid() said first thing, which leaves a small gap.
static void die_with_parent(pid_t parent) {
    if (prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0)) fail("PR_SET_PDEATHSIG");
    if (getppid() != parent) fail_with(EXIT_SETUP, 0, "the host is gone");
}

/// Every descriptor above stderr is closed by execve, but for the ones the worker was promised.
static void close_descriptors(const struct options *o) {
    if (syscall(SYS_close_range, 3U, ~0U, CLOSE_RANGE_CLOEXEC)) fail("close_range");
    for (int i = 0; i < o->inherit_count; i++) {
        char what[32];
        snprintf(what, sizeof what, "inherit %d", o->inherit[i]);
        int flags = fcntl(o->inherit[i], F_GETFD);
        if (flags < 0 || fcntl(o->inherit[i], F_SETFD, flags & ~FD_CLOEXEC)) fail(what);
    }
}

static void report(uint16_t port, int listener) {
    int descriptors[2] = {(int)syscall(SYS_pidfd_open, getpid(), 0), listener};
    if (descriptors[0] < 0) fail("pidfd_open");
    struct message message = {{'R', 'O', 'S', 'T'}, 1, 1, port, (uint16_t)(listener < 0 ? 1 : 2), 0, {0}};
    size_t size = message.descriptors * sizeof(int);
    union {
        struct cmsghdr align;
        char bytes[CMSG_SPACE(2 * sizeof(int))];
    } ancillary = {0};
    struct iovec part = {&message, sizeof message};
    struct msghdr head = {
        .msg_iov = &part, .msg_iovlen = 1, .msg_control = ancillary.bytes, .msg_controllen = CMSG_SPACE(size)};
    struct cmsghdr *rights = CMSG_FIRSTHDR(&head);
    rights->cmsg_level = SOL_SOCKET;
    rights->cmsg_type = SCM_RIGHTS;
    rights->cmsg_len = CMSG_LEN(size);
    memcpy(CMSG_DATA(rights), descriptors, size);
    ssize_t sent;
    do sent = sendmsg(control, &head, MSG_NOSIGNAL);
    while (sent < 0 && errno == EINTR);
    if (sent != (ssize_t)sizeof message) fail("control message");
    close(descriptors[0]);
    if (listener >= 0) close(listener);
}

int main(int count, char **arguments) {
    struct options o = parse(count, arguments);
    extern char **environ;
    char **environment = o.environment >= 0 ? read_environment(o.environment) : environ;

    int null = open("/dev/null", O_RDWR);
    if (null < 0 || dup2(null, STDIN_FILENO) < 0) fail("/dev/null");
    if (o.pdeathsig) die_with_parent(o.parent);
    if (o.has_oom_score) {
        char text[16];
        snprintf(text, sizeof text, "%d", o.oom_score);
        write_file(AT_FDCWD, "/proc/self/oom_score_adj", text, "oom_score_adj");
    }
    if (o.has_nice && setpriority(PRIO_PROCESS, 0, o.nice)) fail("setpriority");
    int listener = -1;
    if (o.listen) {
        listener = make_listener(&o.port);
        environment = with_runtime_api(environment, o.port);
    }
    set_limits(&o, 0);

    int procfs = o.user_namespace ? open_procfs() : -1;
    if (o.uid < 0 && (getuid() == 0 || geteuid() == 0)) o.uid = o.gid = NOBODY;  // a worker never runs as root
    if (o.uid >= 0) become((uid_t)o.uid, (gid_t)o.gid);
    if (o.user_namespace) make_user_namespace(procfs);
    drop_capabilities();
    set_limits(&o, 1);
    if (o.pdeathsig) die_with_parent(o.parent);

    if (o.directory && chdir(o.directory)) fail(o.directory);
    close_descriptors(&o);
    if (o.control >= 0) report(o.port, listener);
    execve(o.command[0], o.command, environment);
    fail_with(errno == ENOENT || errno == ENOTDIR ? EXIT_NOT_FOUND : EXIT_SETUP, errno, o.command[0]);
}
