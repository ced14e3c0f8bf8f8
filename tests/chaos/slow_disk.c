/* A disk that takes its time: loaded before libc, it delays what is written and synced to files whose path holds SLOW_DISK_PATH
   by SLOW_DISK_MS, and for as long as there is a file SLOW_DISK_HANGS; who waits for that makes the file SLOW_DISK_SEEN. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static void wait_for_disk(int fd) {
    const char *part = getenv("SLOW_DISK_PATH"), *ms = getenv("SLOW_DISK_MS"), *seen = getenv("SLOW_DISK_SEEN");
    const char *hangs = getenv("SLOW_DISK_HANGS");
    char link[64], path[4096];
    if (!part || !ms || !seen || !hangs) return;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t size = readlink(link, path, sizeof path - 1);
    if (size < 0) return;
    path[size] = 0;
    if (!strstr(path, part)) return;
    long left = atol(ms);
    struct timespec pause = {left / 1000, left % 1000 * 1000000}, moment = {0, 10000000};
    nanosleep(&pause, NULL);
    if (access(hangs, F_OK)) return;
    int made = open(seen, O_CREAT | O_WRONLY, 0600);
    if (made >= 0) close(made);
    while (!access(hangs, F_OK)) nanosleep(&moment, NULL);
}

#define REAL(name, type) ((type)dlsym(RTLD_NEXT, name))

ssize_t pwrite(int fd, const void *from, size_t size, off_t at) {
    wait_for_disk(fd);
    return REAL("pwrite", ssize_t (*)(int, const void *, size_t, off_t))(fd, from, size, at);
}

ssize_t pwrite64(int fd, const void *from, size_t size, off64_t at) {
    wait_for_disk(fd);
    return REAL("pwrite64", ssize_t (*)(int, const void *, size_t, off64_t))(fd, from, size, at);
}

int fsync(int fd) {
    wait_for_disk(fd);
    return REAL("fsync", int (*)(int))(fd);
}

int fdatasync(int fd) {
    wait_for_disk(fd);
    return REAL("fdatasync", int (*)(int))(fd);
}
