/* The log itself: append a batch to a partition, read it back. */
#include "check.h"

int main(int count, char **arguments)
{
    oncelog_engine_t *engine;
    oncelog_partition_t *partition;
    check(oncelog_open(directory(count, arguments), NULL, &engine));
    check(oncelog_create_topic(engine, "greetings", NULL));
    check(oncelog_partition_open(engine, "greetings", 0, &partition));

    /* When the call returns, the batch survives a power cut. */
    oncelog_record_t batch[] = {record_of("good morning"), record_of("guten Morgen")};
    oncelog_appended_t appended;
    check(oncelog_partition_append(partition, batch, 2, NULL, &appended));
    printf("offsets %d to %d\n", (int)appended.first, (int)appended.last);

    oncelog_records_t *records;
    const oncelog_record_view_t *views;
    size_t n;
    check(oncelog_partition_read(partition, appended.first, NULL, &records));
    for (check(oncelog_records_next(records, &views, &n)); n > 0; check(oncelog_records_next(records, &views, &n)))
        for (size_t i = 0; i < n; i++)
            printf("%d: %.*s\n", (int)views[i].offset, (int)views[i].value_size, (const char *)views[i].value);

    check(oncelog_records_free(records));
    check(oncelog_partition_free(partition));
    check(oncelog_engine_close(engine));
    return 0;
}
