/* A forked child is told of a walk that a thread of its parent was in, also where no log was ever opened: then nothing
 * but the batch itself makes the library count forks. */
#include "busy.h"
#include "ready_batch.h"

/* The thread that walks waits in the middle of it, where the library asks for memory. */
static _Thread_local bool walks;
static int hangs = 1, hanging;

static void *allocate(void *context, size_t size, size_t alignment)
{
    void *memory = NULL;
    (void)context;
    while (walks && __atomic_load_n(&hangs, __ATOMIC_SEQ_CST)) {
        __atomic_store_n(&hanging, 1, __ATOMIC_SEQ_CST);
        usleep(1000);
    }
    if (alignment < sizeof(void *))
        alignment = sizeof(void *);
    CHECK(posix_memalign(&memory, alignment, size) == 0);
    return memory;
}

static void release(void *context, void *memory, size_t size, size_t alignment)
{
    (void)context, (void)size, (void)alignment;
    free(memory);
}

/* Of a record with a header, for which a walk needs memory. */
static oncelog_records_t *records_of_a_batch(void)
{
    static const unsigned char HEADERS[] = {2, 2, 'h', 1};
    oncelog_records_t *records = NULL;
    unsigned char batch[sizeof BATCH - 1 + sizeof HEADERS];
    with_headers(batch, HEADERS, sizeof HEADERS);
    OK(oncelog_batch_records(batch, sizeof batch, &records));
    return records;
}

static void *walk(void *records)
{
    const oncelog_record_view_t *views = NULL;
    size_t count = 0;
    walks = true;
    OK(oncelog_records_next(records, &views, &count));
    CHECK(count == 1 && views->header_count == 1);
    return NULL;
}

static void a_walk_of_the_parent_is_forked_where_no_log_was_opened(void)
{
    oncelog_records_t *records = records_of_a_batch();
    const oncelog_record_view_t *views = NULL;
    size_t count = 0;
    pthread_t thread;
    CHECK(pthread_create(&thread, NULL, walk, records) == 0);
    while (!__atomic_load_n(&hanging, __ATOMIC_SEQ_CST))
        usleep(1000);
    FAILS(BUSY, oncelog_records_next(records, &views, &count));
    pid_t pid = fork();
    CHECK(pid >= 0);
    if (pid == 0) {
        FAILS(FORKED, oncelog_records_next(records, &views, &count));
        FAILS(FORKED, oncelog_records_rewind(records));
        /* What it makes itself it may walk. */
        records = records_of_a_batch();
        OK(oncelog_records_next(records, &views, &count));
        CHECK(count == 1);
        OK(oncelog_records_free(records));
        _exit(0);
    }
    CHECK(wait_for(pid) == 0);
    __atomic_store_n(&hangs, 0, __ATOMIC_SEQ_CST);
    CHECK(pthread_join(thread, NULL) == 0);
    OK(oncelog_records_free(records));
}

int main(void)
{
    OK(oncelog_set_allocator(allocate, release, NULL));
    a_walk_of_the_parent_is_forked_where_no_log_was_opened();
    return 0;
}
