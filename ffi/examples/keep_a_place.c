/* A reader that keeps its place elsewhere, here as text: after a crash it never takes other records for those it has
 * read. */
#include <inttypes.h>

#include "check.h"

/* Reads from an offset on, prints what is there, and answers the place behind it. */
static oncelog_place_t print(const oncelog_partition_t *events, uint64_t offset, const oncelog_place_t *from)
{
    oncelog_read_options_t options = {.struct_size = sizeof options, .from = from};
    oncelog_records_t *records;
    const oncelog_record_view_t *views;
    oncelog_place_t place;
    size_t n;
    bool known;
    /* With a place it answers TRUNCATED if a crash has taken what was read, for others may have those offsets. */
    check(oncelog_partition_read(events, offset, &options, &records));
    for (check(oncelog_records_next(records, &views, &n)); n > 0; check(oncelog_records_next(records, &views, &n)))
        for (size_t i = 0; i < n; i++)
            printf("%d: %.*s\n", (int)views[i].offset, (int)views[i].value_size, (const char *)views[i].value);
    check(oncelog_records_next_place(records, "events", 0, &place, &known));
    check(oncelog_records_free(records));
    return place;
}

int main(int count, char **arguments)
{
    oncelog_engine_options_t os = {.struct_size = sizeof os, .durability = ONCELOG_DURABILITY_OS};
    oncelog_engine_t *engine;
    oncelog_partition_t *events;
    check(oncelog_open(directory(count, arguments), &os, &engine));
    check(oncelog_create_topic(engine, "events", NULL));
    check(oncelog_partition_open(engine, "events", 0, &events));
    oncelog_record_t batch[] = {record_of("one"), record_of("two"), record_of("three")};
    for (int i = 0; i < 2; i++) {
        batch[i].fields = ONCELOG_RECORD_TIMESTAMP;
        batch[i].timestamp = 1000 * (i + 1);
    }
    check(oncelog_partition_append(events, batch, 2, NULL, NULL));

    /* Not from the beginning: from the first event of a time. */
    uint64_t first;
    bool known;
    check(oncelog_partition_offset_at(events, 1500, ONCELOG_DEFAULT, &first, &known));
    oncelog_place_t place = print(events, first, NULL);
    char kept[80];
    snprintf(kept, sizeof kept, "%" PRIu64 " %" PRIu64 " %" PRIu64, place.incarnation, place.lsn, place.offset);
    check(oncelog_partition_append(events, &batch[2], 1, NULL, NULL));
    check(oncelog_partition_free(events));
    check(oncelog_engine_close(engine));

    check(oncelog_open(directory(count, arguments), NULL, &engine));
    check(oncelog_partition_open(engine, "events", 0, &events));
    sscanf(kept, "%" SCNu64 " %" SCNu64 " %" SCNu64, &place.incarnation, &place.lsn, &place.offset);
    print(events, place.offset, &place);
    check(oncelog_partition_free(events));
    check(oncelog_engine_close(engine));
    return 0;
}
