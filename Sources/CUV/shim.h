#ifndef CUV_SHIM_H
#define CUV_SHIM_H

#include <errno.h>
#include <malloc.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <uv.h>

// What Swift cannot import: variadic system calls and the CMSG macros.

/// glibc raises its threshold for mmapped blocks with the largest block that was freed, up to 32 MB, and keeps what is below
/// it. A fixed threshold keeps that from happening. Returns 1 on success.
static inline int cuv_fix_mmap_threshold(int bytes) {
    return mallopt(M_MMAP_THRESHOLD, bytes) && mallopt(M_TRIM_THRESHOLD, 2 * bytes);
}

/// The name of the calling thread, of which the kernel keeps 15 bytes.
static inline void cuv_name_thread(const char *name) { prctl(PR_SET_NAME, name); }

/// Sends a signal through a pidfd. Returns 0, or the negative error number.
static inline int cuv_pidfd_send_signal(int pidfd, int signal) {
    return syscall(SYS_pidfd_send_signal, pidfd, signal, NULL, 0) == 0 ? 0 : -errno;
}

/// An anonymous file that a child can read. Returns its close-on-exec descriptor, or the negative error number.
static inline int cuv_memory_file(const char *name) {
    int descriptor = (int)syscall(SYS_memfd_create, name, 1 /* MFD_CLOEXEC */);
    return descriptor < 0 ? -errno : descriptor;
}

/// Receives one message and up to `descriptors_max` (at most 8) passed descriptors, which get close-on-exec.
/// Returns the length of the message, 0 at the end, or the negative error number.
static inline ssize_t cuv_receive(
    int socket, void *bytes, size_t bytes_max, int *descriptors, int descriptors_max, int *descriptor_count
) {
    union { char space[CMSG_SPACE(sizeof(int) * 8)]; struct cmsghdr align; } control;
    struct iovec vector = { bytes, bytes_max };
    struct msghdr message;
    memset(&message, 0, sizeof message);
    message.msg_iov = &vector;
    message.msg_iovlen = 1;
    message.msg_control = control.space;
    message.msg_controllen = sizeof control.space;
    ssize_t length;
    do {
        length = recvmsg(socket, &message, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
    } while (length < 0 && errno == EINTR);
    *descriptor_count = 0;
    if (length < 0) return -errno;
    for (struct cmsghdr *head = CMSG_FIRSTHDR(&message); head != NULL; head = CMSG_NXTHDR(&message, head)) {
        if (head->cmsg_level != SOL_SOCKET || head->cmsg_type != SCM_RIGHTS) continue;
        int count = (int)((head->cmsg_len - CMSG_LEN(0)) / sizeof(int));
        for (int index = 0; index < count; index++) {
            int descriptor;
            memcpy(&descriptor, CMSG_DATA(head) + index * sizeof(int), sizeof(int));
            if (*descriptor_count < descriptors_max) descriptors[(*descriptor_count)++] = descriptor;
            else close(descriptor);
        }
    }
    return length;
}

#endif
