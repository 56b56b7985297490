/* The log itself: batches in, views out, headers, bounds, ready batches, raw identities. */
#include <pthread.h>

#include "check.h"

static void what_is_appended_is_read_back_field_by_field(void)
{
    char *directory = new_directory();
    oncelog_engine_t *engine = open_with_topic(directory, 1);
    oncelog_partition_t *partition = NULL;
    oncelog_records_t *records = NULL;
    const oncelog_record_view_t *views = NULL;
    size_t count = 0;
    oncelog_appended_t appended;
    oncelog_header_t headers[] = {{"trace", "7f", 2}, {"empty", "", 0}, {"null", NULL, 0}};
    oncelog_record_t given[] = {keyed_record("k", "v"), text_record(""), {0}};
    given[0].headers = headers;
    given[0].header_count = 3;
    given[0].fields = ONCELOG_RECORD_TIMESTAMP;
    given[0].timestamp = 1700000000000;
    OK(oncelog_partition_open(engine, "t", 0, &partition));
    OK(oncelog_partition_append(partition, given, 3, NULL, &appended));
    CHECK(appended.first == 0 && appended.last == 2 && appended.lsn > 0 && !appended.duplicate);

    OK(oncelog_partition_read(partition, 0, NULL, &records));
    OK(oncelog_records_next(records, &views, &count));
    CHECK(count == 3 && holds(&views[0], "v") && views[0].key_size == 1 && views[0].timestamp == 1700000000000);
    CHECK(strcmp(views[0].topic, "t") == 0 && views[0].partition == 0 && views[0].header_count == 3);
    CHECK(views[1].key == NULL && views[1].value != NULL && views[1].value_size == 0 && views[1].offset == 1);
    CHECK(views[1].timestamp > 1700000000000); /* the clock's */
    CHECK(views[2].value == NULL && views[2].value_size == 0 && views[2].offset == 2);

    oncelog_header_view_t found[3];
    FAILS(INVALID_ARGUMENT, oncelog_records_headers(records, &views[0], found, 2));
    OK(oncelog_records_headers(records, &views[0], found, 3));
    CHECK(found[0].key_size == 5 && memcmp(found[0].key, "trace", 5) == 0 && memcmp(found[0].value, "7f", 2) == 0);
    CHECK(found[1].value != NULL && found[1].value_size == 0 && found[2].value == NULL);
    OK(oncelog_records_headers(records, &views[1], NULL, 0));
    oncelog_record_view_t forged = views[0];
    forged.headers = 77;
    FAILS(INVALID_ARGUMENT, oncelog_records_headers(records, &forged, found, 3));

    OK(oncelog_records_next(records, &views, &count));
    CHECK(count == 0);
    uint64_t next = 9;
    bool known = false;
    OK(oncelog_records_next_offset(records, "t", 0, &next, &known));
    CHECK(known && next == 3);
    OK(oncelog_records_next_offset(records, "t", 1, &next, &known));
    CHECK(!known && next == 0);
    OK(oncelog_records_free(records));
    OK(oncelog_partition_free(partition));
    OK(oncelog_engine_close(engine));
    drop_directory(directory);
}

static void many_records_come_in_arrays_and_outlive_the_engine(void)
{
    enum { BATCHES = 20, EACH = 100 };
    char *directory = new_directory();
    char text[EACH][8];
    oncelog_engine_t *engine = open_with_topic(directory, 1);
    oncelog_partition_t *partition = NULL;
    oncelog_records_t *records = NULL;
    const oncelog_record_view_t *views = NULL;
    const char *first = NULL;
    size_t count = 0, calls = 0;
    uint64_t seen = 0;
    oncelog_record_t given[EACH];
    OK(oncelog_partition_open(engine, "t", 0, &partition));
    for (int batch = 0; batch < BATCHES; batch++) {
        for (int i = 0; i < EACH; i++) {
            snprintf(text[i], sizeof text[i], "%d", batch * EACH + i);
            given[i] = text_record(text[i]);
        }
        OK(oncelog_partition_append(partition, given, EACH, NULL, NULL));
    }
    OK(oncelog_partition_read(partition, 0, NULL, &records));
    OK(oncelog_engine_close(engine));
    OK(oncelog_partition_free(partition));
    for (;; calls++) {
        OK(oncelog_records_next(records, &views, &count));
        if (count == 0)
            break;
        first = first ? first : views[0].value;
        for (size_t i = 0; i < count; i++, seen++) {
            char expected[8];
            snprintf(expected, sizeof expected, "%d", (int)seen);
            CHECK(views[i].offset == seen && holds(&views[i], expected));
        }
    }
    CHECK(seen == BATCHES * EACH && calls < 2 * BATCHES * EACH / 32 && *first == '0');
    OK(oncelog_records_free(records));
    drop_directory(directory);
}

static void a_read_outside_the_log_names_its_bounds(void)
{
    char *directory = new_directory();
    oncelog_engine_t *engine = open_with_topic(directory, 1);
    oncelog_partition_t *partition = NULL;
    oncelog_records_t *records = NULL;
    oncelog_bounds_t bounds;
    const char *topic = NULL;
    uint32_t number = 9;
    uint64_t next = 0;
    bool known = false;
    FAILS(UNKNOWN_TOPIC_OR_PARTITION, oncelog_partition_open(engine, "t", 1, &partition));
    FAILS(UNKNOWN_TOPIC_OR_PARTITION, oncelog_partition_open(engine, "u", 0, &partition));
    CHECK(partition == NULL);
    OK(oncelog_partition_open(engine, "t", 0, &partition));
    OK(oncelog_partition_topic(partition, &topic));
    OK(oncelog_partition_number(partition, &number));
    OK(oncelog_partition_bounds(partition, &bounds));
    CHECK(strcmp(topic, "t") == 0 && number == 0 && bounds.start == 0 && bounds.stable == 0 && bounds.end == 0);
    FAILS(OFFSET_OUT_OF_RANGE, oncelog_partition_read(partition, 1, NULL, &records));
    FAILS(OFFSET_OUT_OF_RANGE, oncelog_partition_read(partition, UINT64_MAX, NULL, &records));
    OK(oncelog_partition_read(partition, 0, NULL, &records));
    OK(oncelog_records_next_offset(records, "t", 0, &next, &known));
    CHECK(known && next == 0);
    OK(oncelog_records_free(records));
    OK(oncelog_partition_free(partition));
    OK(oncelog_engine_close(engine));
    drop_directory(directory);
}

static void a_batch_with_an_identity_is_written_once(void)
{
    char *directory = new_directory();
    oncelog_engine_t *engine = open_with_topic(directory, 1);
    oncelog_partition_t *partition = NULL;
    oncelog_append_options_t options = {.struct_size = sizeof options, .identified = ONCELOG_YES};
    oncelog_identity_t again;
    oncelog_appended_t appended;
    oncelog_record_t record = text_record("v");
    OK(oncelog_init_producer(engine, NULL, 0, NULL, &options.producer));
    OK(oncelog_partition_open(engine, "t", 0, &partition));
    OK(oncelog_partition_append(partition, &record, 1, &options, &appended));
    CHECK(!appended.duplicate);
    OK(oncelog_partition_append(partition, &record, 1, &options, &appended));
    CHECK(appended.duplicate && appended.first == 0);
    options.base_sequence = 5;
    FAILS(OUT_OF_ORDER_SEQUENCE, oncelog_partition_append(partition, &record, 1, &options, &appended));
    options.producer.producer_id += 1000;
    FAILS(UNKNOWN_PRODUCER, oncelog_partition_append(partition, &record, 1, &options, &appended));
    OK(oncelog_init_producer(engine, "id", 1000, NULL, &options.producer));
    OK(oncelog_init_producer(engine, "id", 1000, &options.producer, &again));
    CHECK(again.epoch > options.producer.epoch);
    OK(oncelog_init_producer(engine, "id", 1000, NULL, &again));
    FAILS(PRODUCER_FENCED, oncelog_init_producer(engine, "id", 1000, &options.producer, &again));
    OK(oncelog_delete_producer(engine, "id"));
    FAILS(UNKNOWN_TRANSACTIONAL_ID, oncelog_delete_producer(engine, "id"));
    OK(oncelog_partition_free(partition));
    OK(oncelog_engine_close(engine));
    drop_directory(directory);
}

static void records_are_walked_again_after_a_rewind(void)
{
    enum { COUNT = 150 };
    char *directory = new_directory();
    oncelog_engine_t *engine = open_with_topic(directory, 1);
    oncelog_partition_t *partition = NULL;
    oncelog_records_t *records = NULL;
    const oncelog_record_view_t *views = NULL;
    oncelog_record_view_t kept = {0};
    oncelog_header_t header = {"h", "last", 4};
    oncelog_header_view_t found;
    oncelog_record_t given[COUNT];
    size_t count = 0;
    for (int i = 0; i < COUNT; i++)
        given[i] = text_record("v");
    given[0].headers = given[COUNT - 1].headers = &header;
    given[0].header_count = given[COUNT - 1].header_count = 1;
    OK(oncelog_partition_open(engine, "t", 0, &partition));
    OK(oncelog_partition_append(partition, given, COUNT, NULL, NULL));
    OK(oncelog_partition_read(partition, 0, NULL, &records));
    for (int walk = 0; walk < 3; walk++) {
        uint64_t seen = 0;
        do {
            OK(oncelog_records_next(records, &views, &count));
            for (size_t i = 0; i < count; i++) {
                CHECK(views[i].offset == seen++);
                kept = views[i];
            }
        } while (count > 0 && !(walk == 1 && seen > 64)); /* the second walk ends in the middle */
        OK(oncelog_records_rewind(records));
        if (walk == 1)
            continue;
        /* The last view of the walk before is as good as it was. */
        CHECK(seen == COUNT && kept.offset == COUNT - 1);
        OK(oncelog_records_headers(records, &kept, &found, 1));
        CHECK(found.value_size == 4 && memcmp(found.value, "last", 4) == 0);
    }
    FAILS(INVALID_ARGUMENT, oncelog_records_rewind(NULL));
    OK(oncelog_records_free(records));
    FAILS(CLOSED, oncelog_records_rewind(records));
    OK(oncelog_partition_free(partition));
    OK(oncelog_engine_close(engine));
    drop_directory(directory);
}

struct asked {
    oncelog_records_t *records;
    oncelog_ticket_t *ticket;
    oncelog_record_view_t view;
};

static void *ask(void *context)
{
    struct asked *asked = context;
    oncelog_header_view_t header;
    oncelog_appended_t appended;
    for (int i = 0; i < 20000; i++) {
        OK(oncelog_records_headers(asked->records, &asked->view, &header, 1));
        OK(oncelog_ticket_appended(asked->ticket, &appended));
        CHECK(header.key_size == 1 && appended.first == 0);
    }
    return NULL;
}

static void what_is_const_may_be_asked_by_many_threads_at_once(void)
{
    char *directory = new_directory();
    oncelog_engine_t *engine = open_with_topic(directory, 1);
    oncelog_partition_t *partition = NULL;
    oncelog_header_t header = {"h", "v", 1};
    oncelog_record_t record = text_record("v");
    const oncelog_record_view_t *views = NULL;
    struct asked asked = {0};
    size_t count = 0;
    pthread_t threads[3];
    record.headers = &header;
    record.header_count = 1;
    OK(oncelog_partition_open(engine, "t", 0, &partition));
    OK(oncelog_partition_append_ticket(partition, &record, 1, NULL, &asked.ticket));
    OK(oncelog_ticket_wait(asked.ticket));
    OK(oncelog_partition_read(partition, 0, NULL, &asked.records));
    OK(oncelog_records_next(asked.records, &views, &count));
    CHECK(count == 1);
    asked.view = views[0];
    for (int i = 0; i < 3; i++)
        CHECK(pthread_create(&threads[i], NULL, ask, &asked) == 0);
    for (int i = 0; i < 3; i++)
        CHECK(pthread_join(threads[i], NULL) == 0);
    OK(oncelog_records_free(asked.records));
    OK(oncelog_ticket_free(asked.ticket));
    OK(oncelog_partition_free(partition));
    OK(oncelog_engine_close(engine));
    drop_directory(directory);
}

/* Written by nobody yet, and read all the same: the read has it written first. */
static void what_is_acknowledged_in_memory_is_seen_at_once(void)
{
    char *directory = new_directory();
    oncelog_engine_t *engine = NULL;
    oncelog_topic_options_t memory = {.struct_size = sizeof memory, .durability = ONCELOG_DURABILITY_MEMORY};
    oncelog_append_options_t disk = {.struct_size = sizeof disk, .durability = ONCELOG_DURABILITY_DISK};
    oncelog_partition_t *partition = NULL;
    oncelog_records_t *records = NULL;
    oncelog_record_t record = text_record("v");
    uint64_t count = 0;
    OK(oncelog_open(directory, NULL, &engine));
    OK(oncelog_create_topic(engine, "t", &memory));
    OK(oncelog_partition_open(engine, "t", 0, &partition));
    OK(oncelog_partition_append(partition, &record, 1, NULL, NULL));
    OK(oncelog_partition_read(partition, 0, NULL, &records));
    OK(oncelog_records_count(records, &count));
    CHECK(count == 1);
    OK(oncelog_records_free(records));
    /* An append's own level beats its topic's. */
    OK(oncelog_partition_append(partition, &record, 1, &disk, NULL));
    CHECK(end_of(engine, "t") == 2);
    OK(oncelog_partition_free(partition));
    OK(oncelog_engine_close(engine));
    drop_directory(directory);
}

static uint64_t written(const oncelog_engine_t *engine)
{
    oncelog_metrics_t metrics = {.struct_size = sizeof metrics};
    OK(oncelog_metrics(engine, &metrics));
    return metrics.bytes;
}

/* Appended, sent, and committed: smaller with every codec than without one, and read back the same. */
static void batches_are_compressed_as_asked(void)
{
    char *directory = new_directory();
    oncelog_engine_t *engine = open_with_topic(directory, 1);
    oncelog_partition_t *partition = NULL;
    oncelog_record_t records[50];
    uint64_t plain[3] = {0};
    for (int i = 0; i < 50; i++)
        records[i] = text_record("a value that says the same as all the other ones");
    OK(oncelog_partition_open(engine, "t", 0, &partition));
    for (uint32_t codec = ONCELOG_COMPRESSION_NONE; codec <= ONCELOG_COMPRESSION_ZSTD; codec++) {
        oncelog_append_options_t append = {.struct_size = sizeof append, .compression = codec};
        oncelog_producer_options_t send = {.struct_size = sizeof send, .compression = codec};
        oncelog_producer_t *producer = NULL;
        oncelog_transactional_producer_t *transactional = NULL;
        oncelog_transaction_t *transaction = NULL;
        uint64_t took[4] = {written(engine)};
        OK(oncelog_partition_append(partition, records, 50, &append, NULL));
        took[1] = written(engine);
        OK(oncelog_producer_open(engine, &send, &producer));
        OK(oncelog_producer_send_many(producer, "t", records, 50, NULL));
        OK(oncelog_producer_flush(producer));
        OK(oncelog_producer_free(producer));
        took[2] = written(engine);
        OK(oncelog_transactional_producer_open(engine, "id", &send, &transactional));
        OK(oncelog_begin_transaction(transactional, &transaction));
        OK(oncelog_transaction_send_many(transaction, "t", records, 50));
        OK(oncelog_transaction_commit(transaction, NULL));
        OK(oncelog_transactional_producer_free(transactional));
        took[3] = written(engine);
        for (int i = 0; i < 3; i++) {
            if (codec == ONCELOG_COMPRESSION_NONE)
                plain[i] = took[i + 1] - took[i];
            else
                CHECK(took[i + 1] - took[i] < plain[i] / 2);
        }
    }
    oncelog_records_t *read = NULL;
    const oncelog_record_view_t *views = NULL;
    size_t count = 0, all = 0;
    OK(oncelog_partition_read(partition, 0, NULL, &read));
    do {
        OK(oncelog_records_next(read, &views, &count));
        for (size_t i = 0; i < count; i++, all++)
            CHECK(holds(&views[i], records[0].value));
    } while (count > 0);
    CHECK(all == 5 * 3 * 50);
    OK(oncelog_records_free(read));

    oncelog_append_options_t unknown = {.struct_size = sizeof unknown, .compression = ONCELOG_COMPRESSION_ZSTD + 1};
    oncelog_producer_options_t never = {.struct_size = sizeof never, .compression = 256};
    oncelog_producer_t *none = NULL;
    FAILS(INVALID_ARGUMENT, oncelog_partition_append(partition, records, 1, &unknown, NULL));
    FAILS(INVALID_ARGUMENT, oncelog_producer_open(engine, &never, &none));
    OK(oncelog_partition_free(partition));
    OK(oncelog_engine_close(engine));
    drop_directory(directory);
}

int main(void)
{
    batches_are_compressed_as_asked();
    what_is_acknowledged_in_memory_is_seen_at_once();
    what_is_appended_is_read_back_field_by_field();
    many_records_come_in_arrays_and_outlive_the_engine();
    a_read_outside_the_log_names_its_bounds();
    a_batch_with_an_identity_is_written_once();
    records_are_walked_again_after_a_rewind();
    what_is_const_may_be_asked_by_many_threads_at_once();
    return 0;
}
