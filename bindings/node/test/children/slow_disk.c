/* No flush ends while a file called "slow" is there, and no write while one called "stuck" is. */
#define _GNU_SOURCE
#include <dlfcn.h>
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
