/* No flush ends while a file called "slow" is there, no write while one called "stuck" is, and nothing grows while one
   called "full" is. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <sys/types.h>
#include <time.h>
#include <unistd.h>

static void wait_while(const char *there)
{
    while (access(there, F_OK) == 0)
        nanosleep(&(struct timespec){0, 1000000}, 0);
}

int fdatasync(int fd) { return (void)fd, wait_while("slow"), 0; }
int fsync(int fd) { return (void)fd, wait_while("slow"), 0; }

ssize_t pwrite64(int fd, const void *from, size_t bytes, off64_t at)
{
    wait_while("stuck");
    return ((ssize_t (*)(int, const void *, size_t, off64_t))dlsym(RTLD_NEXT, "pwrite64"))(fd, from, bytes, at);
}

static int grow(const char *name, int fd, int mode, off64_t at, off64_t bytes)
{
    if (access("full", F_OK) == 0)
        return errno = ENOSPC, -1;
    return ((int (*)(int, int, off64_t, off64_t))dlsym(RTLD_NEXT, name))(fd, mode, at, bytes);
}

int fallocate(int fd, int mode, off_t at, off_t bytes) { return grow("fallocate", fd, mode, at, bytes); }
int fallocate64(int fd, int mode, off64_t at, off64_t bytes) { return grow("fallocate64", fd, mode, at, bytes); }
