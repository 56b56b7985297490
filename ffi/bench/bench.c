/* Appends and a scan through the C library, for compare.sh: prints nanoseconds per record of each round.
 *     bench <new directory> <rounds> <records a round> */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "oncelog.h"

enum { EACH = 100, VALUE = 100 };
static const int64_t TIME = 1795000000000;

static void check(oncelog_error_t *error)
{
    if (error == NULL)
        return;
    fprintf(stderr, "%s: %s\n", oncelog_error_name(error), oncelog_error_message(error));
    exit(EXIT_FAILURE);
}

/* This thread's own time: what other programs take of the machine does not count. */
static double now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
    return (double)time.tv_sec * 1e9 + (double)time.tv_nsec;
}

static double append(oncelog_partition_t *partition, const oncelog_record_t *records, uint64_t count)
{
    oncelog_append_options_t options = {.struct_size = sizeof options, .durability = ONCELOG_DURABILITY_OS};
    double start = now();
    for (uint64_t i = 0; i < count; i += EACH)
        check(oncelog_partition_append(partition, records, EACH, &options, NULL));
    return (now() - start) / (double)count;
}

/* Looks at all that a record has: what nobody looks at a compiler leaves out of Rust's walk. */
static double scan(oncelog_partition_t *partition, uint64_t from, uint64_t count)
{
    uint64_t at = from, bytes = 0, firsts = 0;
    double start = now();
    while (at < from + count) {
        oncelog_records_t *records;
        const oncelog_record_view_t *views;
        size_t n;
        check(oncelog_partition_read(partition, at, NULL, &records));
        for (;;) {
            check(oncelog_records_next(records, &views, &n));
            if (n == 0)
                break;
            for (size_t i = 0; i < n; i++) {
                const oncelog_record_view_t *view = &views[i];
                if (view->offset != at || view->timestamp != TIME || view->key != NULL)
                    abort();
                bytes += view->value_size;
                firsts += ((const unsigned char *)view->value)[0];
                at = view->offset + 1;
            }
        }
        check(oncelog_records_free(records));
    }
    if (bytes != count * VALUE || firsts == 0)
        abort();
    return (now() - start) / (double)count;
}

int main(int count, char **arguments)
{
    static char values[EACH][VALUE];
    oncelog_engine_options_t os = {.struct_size = sizeof os, .durability = ONCELOG_DURABILITY_OS};
    oncelog_record_t records[EACH];
    oncelog_engine_t *engine;
    oncelog_partition_t *partition;
    if (count != 4)
        return EXIT_FAILURE;
    uint64_t each = strtoull(arguments[3], NULL, 10);
    memset(records, 0, sizeof records);
    for (int i = 0; i < EACH; i++) {
        for (int j = 0; j < VALUE; j++)
            values[i][j] = (char)((i * 31 + j * 7) % 251);
        records[i].value = values[i];
        records[i].value_size = VALUE;
        records[i].fields = ONCELOG_RECORD_TIMESTAMP;
        records[i].timestamp = TIME;
    }
    check(oncelog_open(arguments[1], &os, &engine));
    check(oncelog_create_topic(engine, "t", NULL));
    check(oncelog_partition_open(engine, "t", 0, &partition));
    for (int round = 0; round < atoi(arguments[2]); round++) {
        double appended = append(partition, records, each);
        printf("append %.2f\nscan %.2f\n", appended, scan(partition, (uint64_t)round * each, each));
        fflush(stdout);
    }
    check(oncelog_partition_free(partition));
    check(oncelog_engine_close(engine));
    return 0;
}
