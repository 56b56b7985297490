/* What readers see: isolation, visibility, times, and places that outlive a crash. */
#include <sys/wait.h>

#include "damage.h"

/* How many records a read from the start finds. */
static uint64_t seen(const oncelog_partition_t *partition, uint32_t isolation)
{
    oncelog_read_options_t options = {.struct_size = sizeof options, .isolation = isolation};
    oncelog_records_t *records = NULL;
    const oncelog_record_view_t *views = NULL;
    uint64_t all = 0;
    size_t count = 0;
    OK(oncelog_partition_read(partition, 0, &options, &records));
    do {
        OK(oncelog_records_next(records, &views, &count));
        all += count;
    } while (count > 0);
    OK(oncelog_records_free(records));
    return all;
}

static uint64_t polled(const oncelog_engine_t *engine, uint32_t isolation)
{
    oncelog_consumer_options_t options = {.struct_size = sizeof options, .isolation = isolation};
    oncelog_topic_partition_t name = {"t", 0};
    oncelog_consumer_t *consumer = NULL;
    oncelog_records_t *records = NULL;
    uint64_t count = 0;
    OK(oncelog_consumer_open(engine, &options, &consumer));
    OK(oncelog_consumer_assign(consumer, &name, 1));
    OK(oncelog_consumer_poll(consumer, 0, &records));
    OK(oncelog_records_count(records, &count));
    OK(oncelog_records_free(records));
    OK(oncelog_consumer_free(consumer));
    return count;
}

/* The latest time is that of this offset; only the record behind the first has one above 0. */
static void found_in_time(const oncelog_partition_t *partition, uint32_t isolation, uint64_t latest)
{
    uint64_t offset = 9;
    int64_t timestamp = 9;
    bool known = false;
    OK(oncelog_partition_max_timestamp(partition, isolation, &offset, &timestamp, &known));
    CHECK(known && offset == latest);
    OK(oncelog_partition_offset_at(partition, 1, isolation, &offset, &known));
    CHECK(known == (latest > 0) && offset == latest);
}

static void a_transaction_that_streams_is_seen_at_read_uncommitted_alone(void)
{
    enum { DIRTY = ONCELOG_ISOLATION_READ_UNCOMMITTED, CLEAN = ONCELOG_ISOLATION_READ_COMMITTED };
    char *directory = new_directory();
    oncelog_engine_t *engine = open_with_topic(directory, 1);
    oncelog_producer_options_t options = {.struct_size = sizeof options, .transaction_buffer = 1};
    oncelog_transactional_producer_t *producer = NULL;
    oncelog_transaction_t *transaction = NULL;
    oncelog_partition_t *partition = NULL;
    oncelog_record_t record = text_record("v");
    OK(oncelog_partition_open(engine, "t", 0, &partition));
    record.fields |= ONCELOG_RECORD_TIMESTAMP;
    OK(oncelog_partition_append(partition, &record, 1, NULL, NULL));
    record.timestamp = 5;
    OK(oncelog_transactional_producer_open(engine, "id", &options, &producer));
    OK(oncelog_begin_transaction(producer, &transaction));
    OK(oncelog_transaction_send(transaction, "t", &record));
    OK(oncelog_flush(engine)); /* what streams is seen when it has met its topic's level, like all else */
    CHECK(seen(partition, DIRTY) == 2 && polled(engine, DIRTY) == 2);
    CHECK(seen(partition, CLEAN) == 1 && seen(partition, 0) == 1 && polled(engine, CLEAN) == 1);
    found_in_time(partition, DIRTY, 1);
    found_in_time(partition, CLEAN, 0);
    FAILS(INVALID_ARGUMENT, oncelog_partition_offset_at(partition, 0, 3, &(uint64_t){0}, &(bool){false}));
    OK(oncelog_transaction_abort(transaction));
    OK(oncelog_begin_transaction(producer, &transaction));
    OK(oncelog_transaction_send(transaction, "t", &record));
    OK(oncelog_transaction_commit(transaction, NULL));
    CHECK(seen(partition, DIRTY) == 3 && seen(partition, CLEAN) == 2 && polled(engine, CLEAN) == 2);
    OK(oncelog_partition_free(partition));
    OK(oncelog_transactional_producer_free(producer));
    OK(oncelog_engine_close(engine));
    drop_directory(directory);
}

static void what_is_not_durable_can_be_kept_from_readers(void)
{
    for (uint32_t visibility = 0; visibility <= ONCELOG_VISIBILITY_DURABLE; visibility++) {
        char *directory = new_directory();
        oncelog_engine_options_t options = {.struct_size = sizeof options,
                                            .durability = ONCELOG_DURABILITY_OS,
                                            .threads = ONCELOG_NO,
                                            .flush_interval_ms = 1000000,
                                            .visibility = visibility};
        oncelog_engine_t *engine = NULL;
        oncelog_partition_t *partition = NULL;
        oncelog_record_t record = text_record("v");
        OK(oncelog_open(directory, &options, &engine));
        OK(oncelog_create_topic(engine, "t", NULL));
        OK(oncelog_partition_open(engine, "t", 0, &partition));
        OK(oncelog_partition_append(partition, &record, 1, NULL, NULL));
        CHECK(seen(partition, 0) == (visibility == ONCELOG_VISIBILITY_DURABLE ? 0 : 1));
        OK(oncelog_flush(engine));
        CHECK(seen(partition, 0) == 1);
        OK(oncelog_partition_free(partition));
        OK(oncelog_engine_close(engine));
        drop_directory(directory);
    }
}

static void records_are_found_by_their_time(void)
{
    char *directory = new_directory();
    oncelog_engine_t *engine = open_with_topic(directory, 1);
    oncelog_partition_t *partition = NULL;
    oncelog_record_t records[3] = {text_record("a"), text_record("b"), text_record("c")};
    uint64_t offset = 9;
    int64_t timestamp = 9;
    bool known = true;
    OK(oncelog_partition_open(engine, "t", 0, &partition));
    OK(oncelog_partition_offset_at(partition, 0, ONCELOG_DEFAULT, &offset, &known));
    CHECK(!known && offset == 0);
    OK(oncelog_partition_max_timestamp(partition, ONCELOG_DEFAULT, &offset, &timestamp, &known));
    CHECK(!known && offset == 0 && timestamp == 0);
    for (int i = 0; i < 3; i++) {
        records[i].fields = ONCELOG_RECORD_TIMESTAMP;
        records[i].timestamp = i == 1 ? 3000 : 1000 * (i + 1);
    }
    OK(oncelog_partition_append(partition, records, 3, NULL, NULL));
    OK(oncelog_partition_offset_at(partition, 1001, ONCELOG_DEFAULT, &offset, &known));
    CHECK(known && offset == 1);
    OK(oncelog_partition_offset_at(partition, 3001, ONCELOG_DEFAULT, &offset, &known));
    CHECK(!known && offset == 0);
    OK(oncelog_partition_max_timestamp(partition, ONCELOG_DEFAULT, &offset, &timestamp, &known));
    CHECK(known && offset == 1 && timestamp == 3000);
    FAILS(INVALID_ARGUMENT, oncelog_partition_offset_at(partition, -1, ONCELOG_DEFAULT, &offset, &known));
    FAILS(INVALID_ARGUMENT, oncelog_partition_offset_at(partition, 0, ONCELOG_DEFAULT, &offset, NULL));
    FAILS(INVALID_ARGUMENT, oncelog_partition_max_timestamp(partition, ONCELOG_DEFAULT, &offset, NULL, &known));
    OK(oncelog_engine_close(engine));
    FAILS(CLOSED, oncelog_partition_offset_at(partition, 0, ONCELOG_DEFAULT, &offset, &known));
    FAILS(CLOSED, oncelog_partition_max_timestamp(partition, ONCELOG_DEFAULT, &offset, &timestamp, &known));
    OK(oncelog_partition_free(partition));
    drop_directory(directory);
}

static void a_topic_may_keep_the_time_of_the_append(void)
{
    char *directory = new_directory();
    oncelog_engine_t *engine = open_with_topic(directory, 1);
    oncelog_topic_options_t options = {.struct_size = sizeof options};
    oncelog_topics_t *topics = NULL;
    const oncelog_topic_info_t *infos = NULL;
    oncelog_partition_t *partition = NULL;
    oncelog_records_t *records = NULL;
    const oncelog_record_view_t *views = NULL;
    oncelog_record_t record = text_record("v");
    oncelog_appended_t appended;
    size_t count = 0;
    options.timestamp_type = ONCELOG_TIMESTAMP_LOG_APPEND_TIME;
    OK(oncelog_create_topic(engine, "u", &options));
    OK(oncelog_topics(engine, &topics));
    OK(oncelog_topics_get(topics, &infos, &count));
    CHECK(count == 2 && infos[0].timestamp_type == ONCELOG_TIMESTAMP_CREATE_TIME);
    CHECK(infos[1].timestamp_type == ONCELOG_TIMESTAMP_LOG_APPEND_TIME && infos[1].partitions == 1);
    OK(oncelog_topics_free(topics));
    record.fields = ONCELOG_RECORD_TIMESTAMP;
    record.timestamp = 1;
    OK(oncelog_partition_open(engine, "u", 0, &partition));
    OK(oncelog_partition_append(partition, &record, 1, NULL, &appended));
    OK(oncelog_partition_read(partition, 0, NULL, &records));
    OK(oncelog_records_next(records, &views, &count));
    CHECK(count == 1 && views[0].timestamp == appended.timestamp && appended.timestamp > 1600000000000);
    OK(oncelog_records_free(records));
    OK(oncelog_partition_free(partition));
    options.timestamp_type = 3;
    FAILS(INVALID_ARGUMENT, oncelog_create_topic(engine, "w", &options));
    OK(oncelog_engine_close(engine));
    drop_directory(directory);
}

static oncelog_place_t place_behind(const oncelog_partition_t *partition, uint64_t offset)
{
    oncelog_records_t *records = NULL;
    oncelog_place_t place;
    bool known = false;
    OK(oncelog_partition_read(partition, offset, NULL, &records));
    OK(oncelog_records_next_place(records, "t", 0, &place, &known));
    CHECK(known && place.offset == offset + 1);
    OK(oncelog_records_next_place(records, "t", 1, &place, &known));
    CHECK(!known && place.offset == 0 && place.lsn == 0 && place.incarnation == 0);
    OK(oncelog_records_next_place(records, "t", 0, &place, &known));
    FAILS(INVALID_ARGUMENT, oncelog_records_next_place(records, NULL, 0, &place, &known));
    OK(oncelog_records_free(records));
    return place;
}

/* Dies with one record on the device, and one that the system has not flushed; tells the places behind both. */
static void die_young(char *directory, int out)
{
    oncelog_engine_options_t options = {.struct_size = sizeof options,
                                        .threads = ONCELOG_NO,
                                        .flush_interval_ms = 1000000};
    oncelog_append_options_t os = {.struct_size = sizeof os, .durability = ONCELOG_DURABILITY_OS};
    oncelog_topic_options_t topic = {.struct_size = sizeof topic, .durability = ONCELOG_DURABILITY_OS};
    oncelog_engine_t *engine = NULL;
    oncelog_partition_t *partition = NULL;
    oncelog_record_t kept = text_record("kept record"), lost = text_record("lost record");
    oncelog_place_t places[2];
    OK(oncelog_open(directory, &options, &engine));
    OK(oncelog_create_topic(engine, "t", &topic));
    OK(oncelog_partition_open(engine, "t", 0, &partition));
    OK(oncelog_partition_append(partition, &kept, 1, NULL, NULL));
    OK(oncelog_flush(engine));
    places[0] = place_behind(partition, 0);
    OK(oncelog_partition_append(partition, &lost, 1, &os, NULL));
    places[1] = place_behind(partition, 1);
    CHECK(write(out, places, sizeof places) == (ssize_t)sizeof places);
    free(directory);
    _exit(0);
}

static void who_stands_behind_records_that_a_crash_took_is_told_so(void)
{
    char *directory = new_directory();
    oncelog_engine_t *engine = NULL;
    const oncelog_opening_t *opening = NULL;
    oncelog_partition_t *partition = NULL;
    oncelog_records_t *records = NULL;
    oncelog_record_t other = text_record("other");
    oncelog_read_options_t options = {.struct_size = sizeof options};
    oncelog_place_t places[2];
    int ends[2], status = 0;
    CHECK(pipe(ends) == 0);
    pid_t pid = fork();
    CHECK(pid >= 0);
    if (pid == 0)
        die_young(directory, ends[1]);
    CHECK(waitpid(pid, &status, 0) == pid && status == 0);
    CHECK(read(ends[0], places, sizeof places) == (ssize_t)sizeof places);
    close(ends[0]);
    close(ends[1]);
    damage(directory, "lost record");

    OK(oncelog_open(directory, NULL, &engine));
    OK(oncelog_opening(engine, &opening));
    CHECK(opening->cut_bytes > 0 && opening->cut_last_seen >= opening->cut_last_kept);
    CHECK(opening->frames_folded > 0 && opening->bytes_folded > opening->frames_folded && opening->folding_nanos > 0);
    OK(oncelog_partition_open(engine, "t", 0, &partition));
    OK(oncelog_partition_append(partition, &other, 1, NULL, NULL));
    CHECK(end_of(engine, "t") == 2);
    options.from = &places[0];
    OK(oncelog_partition_read(partition, 1, &options, &records));
    OK(oncelog_records_free(records));
    FAILS(INVALID_ARGUMENT, oncelog_partition_read(partition, 0, &options, &records));
    options.from = &places[1];
    FAILS(TRUNCATED, oncelog_partition_read(partition, 2, &options, &records));
    options.from = NULL;
    OK(oncelog_partition_read(partition, 2, &options, &records));
    OK(oncelog_records_free(records));
    OK(oncelog_partition_free(partition));
    OK(oncelog_engine_close(engine));
    drop_directory(directory);
}

static void see_damage(void *context, const oncelog_damage_t *damage)
{
    CHECK(damage->first_lsn == damage->last_lsn && damage->records_only && strstr(damage->file, ".seg") != NULL);
    CHECK(damage->position > 0);
    ++*(int *)context;
}

static void what_rots_on_the_disk_is_found_before_somebody_reads_it(void)
{
    char *directory = new_directory();
    oncelog_engine_t *engine = NULL;
    oncelog_record_t value = text_record("rotten"), other = text_record("sound");
    oncelog_partition_t *partition = NULL;
    oncelog_verification_t found = {.struct_size = sizeof found}, again = found;
    int seen = 0;
    OK(oncelog_open(directory, NULL, &engine));
    OK(oncelog_create_topic(engine, "t", NULL));
    OK(oncelog_partition_open(engine, "t", 0, &partition));
    OK(oncelog_partition_append(partition, &value, 1, NULL, NULL));
    OK(oncelog_partition_append(partition, &other, 1, NULL, NULL));
    OK(oncelog_flush(engine));
    OK(oncelog_verify(engine, see_damage, &seen, &found));
    CHECK(seen == 0 && found.damage_count == 0 && found.segments == 1 && found.frames > 3 && found.bytes > 400);
    damage(directory, "rotten");
    OK(oncelog_verify(engine, see_damage, &seen, &again));
    CHECK(seen == 1 && again.damage_count == 1 && again.frames + 1 == found.frames && again.bytes < found.bytes);
    OK(oncelog_verify(engine, NULL, NULL, &again));
    FAILS(INVALID_ARGUMENT, oncelog_verify(engine, see_damage, &seen, NULL));
    FAILS(INVALID_ARGUMENT, oncelog_verify(NULL, see_damage, &seen, &again));
    again.struct_size = 4;
    FAILS(INVALID_ARGUMENT, oncelog_verify(engine, see_damage, &seen, &again));
    again.struct_size = sizeof again;
    OK(oncelog_partition_free(partition));
    OK(oncelog_engine_close(engine));
    FAILS(CLOSED, oncelog_verify(engine, see_damage, &seen, &again));
    CHECK(seen == 1);
    drop_directory(directory);
}

int main(void)
{
    what_rots_on_the_disk_is_found_before_somebody_reads_it();
    who_stands_behind_records_that_a_crash_took_is_told_so();
    a_transaction_that_streams_is_seen_at_read_uncommitted_alone();
    what_is_not_durable_can_be_kept_from_readers();
    records_are_found_by_their_time();
    a_topic_may_keep_the_time_of_the_append();
    return 0;
}
