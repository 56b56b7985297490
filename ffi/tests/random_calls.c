/* Sixteen threads make random calls on handles they share, a third of them illegal.
 * CALLS=n all together (20000), SEED=n to do the same again as far as threads do. */
#include <pthread.h>
#include <time.h>

#include "calls.h"

#define THREADS 16

static struct shared shared;
static unsigned long calls_each;

static void *caller(void *argument)
{
    struct source *source = argument;
    for (unsigned long i = 0; i < calls_each; i++)
        call_any(source, &shared);
    return NULL;
}

static uint64_t number_of(const char *variable, uint64_t otherwise)
{
    const char *text = getenv(variable);
    return text != NULL && *text != '\0' ? strtoull(text, NULL, 10) : otherwise;
}

int main(void)
{
    static struct source sources[THREADS];
    pthread_t threads[THREADS];
    unsigned long illegal = 0, succeeded = 0;
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    uint64_t seed = number_of("SEED", (uint64_t)now.tv_nsec ^ (uint64_t)now.tv_sec << 20);
    calls_each = number_of("CALLS", 20000) / THREADS;
    fprintf(stderr, "random_calls: SEED=%llu CALLS=%lu\n", (unsigned long long)seed, calls_each * THREADS);

    for (int i = 0; i < THREADS; i++)
        sources[i] = (struct source){.state = seed + (uint64_t)i * 0x1234567};
    open_shared(&sources[0], &shared);
    for (int i = 0; i < THREADS; i++)
        CHECK(pthread_create(&threads[i], NULL, caller, &sources[i]) == 0);
    for (int i = 0; i < THREADS; i++) {
        CHECK(pthread_join(threads[i], NULL) == 0);
        illegal += sources[i].illegal;
        succeeded += sources[i].succeeded;
    }
    close_shared(&sources[0], &shared);
    fprintf(stderr, "random_calls: %lu illegal handles, %lu calls succeeded, %lu callbacks\n", illegal, succeeded,
            (unsigned long)shared.callbacks);
    return 0;
}
