/* LD_PRELOAD: system calls on files below one folder fail as a page of shared memory says (faults.py). */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* The Nth sync, counted from 1, fails with EIO: that one, or it and all after it. 0: none. Writes fail with `write_error`. */
struct orders { int sync_at, sync_always, syncs, write_error, failed; };

static struct orders *orders(void) {
    static struct orders *found;
    const char *file = getenv("PXEFAST_TEST_FAULTS");
    if (!found && file) {
        int fd = open(file, O_RDWR);
        void *page = mmap(NULL, sizeof *found, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
        close(fd);
        if (page != MAP_FAILED) found = page;
    }
    return found;
}

static int ours(int fd) {
    const char *folder = getenv("PXEFAST_TEST_FAULTS_BELOW");
    char link[64], path[4096];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (!folder || length < 0) return 0;
    path[length] = 0;
    return strncmp(path, folder, strlen(folder)) == 0;
}

static int sync_fails(int fd) {
    struct orders *said = orders();
    if (!said || !said->sync_at || !ours(fd)) return 0;
    int number = __sync_add_and_fetch(&said->syncs, 1);
    if (number != said->sync_at && !(said->sync_always && number > said->sync_at)) return 0;
    __sync_add_and_fetch(&said->failed, 1);
    errno = EIO;
    return 1;
}

static int write_fails(int fd) {
    struct orders *said = orders();
    if (!said || !said->write_error || !ours(fd)) return 0;
    __sync_add_and_fetch(&said->failed, 1);
    errno = said->write_error;
    return 1;
}

#define NEXT(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

int fsync(int fd) { return sync_fails(fd) ? -1 : NEXT(fsync)(fd); }
int fdatasync(int fd) { return sync_fails(fd) ? -1 : NEXT(fdatasync)(fd); }
ssize_t write(int fd, const void *data, size_t size) { return write_fails(fd) ? -1 : NEXT(write)(fd, data, size); }
ssize_t pwrite(int fd, const void *data, size_t size, off_t at) { return write_fails(fd) ? -1 : NEXT(pwrite)(fd, data, size, at); }
ssize_t pwrite64(int fd, const void *data, size_t size, off64_t at) { return write_fails(fd) ? -1 : NEXT(pwrite64)(fd, data, size, at); }
