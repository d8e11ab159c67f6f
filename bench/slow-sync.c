// Loaded into a host with LD_PRELOAD, makes each flush to the disk take SLOW_SYNC_US microseconds longer.

#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdlib.h>
#include <unistd.h>

static void delay(void) {
    const char *microseconds = getenv("SLOW_SYNC_US");
    if (microseconds) usleep(atoi(microseconds));
}

int fsync(int descriptor) {
    static int (*real)(int);
    if (!real) real = dlsym(RTLD_NEXT, "fsync");
    delay();
    return real(descriptor);
}

int fdatasync(int descriptor) {
    static int (*real)(int);
    if (!real) real = dlsym(RTLD_NEXT, "fdatasync");
    delay();
    return real(descriptor);
}
