/* The allocator, set before anything else, and the logger. */
#include <pthread.h>
#include <stdatomic.h>

#include "check.h"

static atomic_size_t held, largest;
static pthread_t main_thread;
static int messages, opened;

static void *allocate(void *context, size_t size, size_t alignment)
{
    void *memory = NULL;
    CHECK(context == &held && alignment > 0 && (alignment & (alignment - 1)) == 0 && size > 0);
    size_t now = atomic_fetch_add(&held, size) + size;
    if (now > largest)
        largest = now;
    if (alignment < sizeof(void *))
        alignment = sizeof(void *);
    CHECK(posix_memalign(&memory, alignment, size) == 0);
    memset(memory, 0xa5, size);
    return memory;
}

static void release(void *context, void *memory, size_t size, size_t alignment)
{
    CHECK(context == &held && alignment > 0 && atomic_fetch_sub(&held, size) >= size);
    memset(memory, 0x5a, size);
    free(memory);
}

static void hear(void *context, uint32_t level, const char *message)
{
    oncelog_engine_t *none = NULL;
    CHECK(pthread_equal(main_thread, pthread_self()) && *(int *)context == 7);
    CHECK(level >= ONCELOG_LOG_ERROR && level <= ONCELOG_LOG_DEBUG && strlen(message) > 5);
    messages++;
    opened += level == ONCELOG_LOG_INFO && strstr(message, "opened") != NULL;
    FAILS(INVALID_ARGUMENT, oncelog_open(NULL, NULL, &none)); /* it may call the library */
}

static void some_work(const char *directory)
{
    oncelog_engine_t *engine = open_with_topic(directory, 1);
    oncelog_producer_t *producer = NULL;
    oncelog_record_t record = keyed_record("k", "v");
    OK(oncelog_producer_open(engine, NULL, &producer));
    for (int i = 0; i < 1000; i++)
        OK(oncelog_producer_send(producer, "t", &record, NULL));
    OK(oncelog_producer_flush(producer));
    FAILS(TOPIC_EXISTS, oncelog_create_topic(engine, "t", NULL));
    OK(oncelog_producer_free(producer));
    OK(oncelog_engine_close(engine));
}

int main(void)
{
    int context = 7;
    main_thread = pthread_self();
    FAILS(INVALID_ARGUMENT, oncelog_set_allocator(NULL, release, &held));
    OK(oncelog_set_allocator(allocate, release, &held));
    FAILS(INVALID_STATE, oncelog_set_allocator(allocate, release, &held));

    char *directory = new_directory();
    some_work(directory);
    drop_directory(directory);
    CHECK(held > 0 && largest > held);
    /* Tables of handles stay; what an engine held is given back, all but what its thread may still be giving back. */
    size_t after_first = held;
    for (int life = 0; life < 20; life++) {
        directory = new_directory();
        some_work(directory);
        drop_directory(directory);
    }
    if (held >= after_first + 20000)
        FAIL("%zu bytes are held, %zu were after the first life", (size_t)held, after_first);

    CHECK(messages == 0);
    oncelog_set_logger(hear, &context);
    directory = new_directory();
    some_work(directory);
    CHECK(messages > 0 && opened == 1);
    oncelog_set_logger(NULL, NULL);
    int before = messages;
    drop_directory(directory);
    directory = new_directory();
    some_work(directory);
    CHECK(messages == before);
    drop_directory(directory);
    return 0;
}
