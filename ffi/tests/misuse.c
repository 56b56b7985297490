/* Bad input: NULL, forged, foreign and freed handles, wrong types, malformed texts and sizes. Each is an error. */
#include "check.h"

static oncelog_engine_t *engine;
static oncelog_partition_t *partition;
static oncelog_producer_t *producer;
static oncelog_consumer_t *consumer;

static void null_is_answered_with_an_error_and_freed_without_one(void)
{
    oncelog_record_t record = text_record("v");
    oncelog_engine_t *out = NULL;
    FAILS(INVALID_ARGUMENT, oncelog_open(NULL, NULL, &out));
    FAILS(INVALID_ARGUMENT, oncelog_open("x", NULL, NULL));
    FAILS(INVALID_ARGUMENT, oncelog_create_topic(NULL, "x", NULL));
    FAILS(INVALID_ARGUMENT, oncelog_create_topic(engine, NULL, NULL));
    FAILS(INVALID_ARGUMENT, oncelog_topics(engine, NULL));
    FAILS(INVALID_ARGUMENT, oncelog_partition_append(partition, NULL, 1, NULL, NULL));
    FAILS(INVALID_ARGUMENT, oncelog_partition_read(partition, 0, NULL, NULL));
    FAILS(INVALID_ARGUMENT, oncelog_producer_send(producer, NULL, &record, NULL));
    FAILS(INVALID_ARGUMENT, oncelog_producer_send(producer, "t", NULL, NULL));
    oncelog_error_t *error = oncelog_producer_send(producer, "t", NULL, NULL);
    CHECK(strcmp(oncelog_error_message(error), "record is NULL; it must be given") == 0);
    oncelog_error_free(error);
    FAILS(INVALID_ARGUMENT, oncelog_consumer_poll(consumer, 0, NULL));
    FAILS(INVALID_ARGUMENT, oncelog_ticket_wait(NULL));
    FAILS(INVALID_ARGUMENT, oncelog_transaction_commit(NULL, NULL));
    FAILS(INVALID_ARGUMENT, oncelog_completions_drain(NULL, NULL));
    FAILS(INVALID_ARGUMENT, oncelog_metrics(engine, NULL));
    FAILS(INVALID_ARGUMENT, oncelog_openmetrics(engine, NULL));
    OK(oncelog_text_free(NULL));
    OK(oncelog_topics_free(NULL));
    OK(oncelog_partition_free(NULL));
    OK(oncelog_records_free(NULL));
    OK(oncelog_producer_free(NULL));
    OK(oncelog_ticket_free(NULL));
    OK(oncelog_transactional_producer_free(NULL));
    OK(oncelog_transaction_free(NULL));
    OK(oncelog_consumer_free(NULL));
    OK(oncelog_offsets_free(NULL));
    OK(oncelog_completions_free(NULL));
    oncelog_error_free(NULL);
    CHECK(oncelog_error_code(NULL) == ONCELOG_OK && oncelog_error_name(NULL)[0] == '\0');
    CHECK(!oncelog_error_is_retriable(NULL) && !oncelog_error_is_fatal(NULL) && oncelog_error_message(NULL) != NULL);
}

static void what_was_never_a_handle_is_an_error(void)
{
    oncelog_records_t *records = NULL;
    char memory[64] = {0};
    for (int bit = 0; bit < 64; bit++) {
        oncelog_partition_t *forged = (oncelog_partition_t *)((uintptr_t)1 << bit);
        FAILS(INVALID_ARGUMENT, oncelog_partition_read(forged, 0, NULL, &records));
        FAILS(INVALID_ARGUMENT, oncelog_partition_free(forged));
        /* One bit of a real handle flipped: at most another generation, never another object. */
        forged = (oncelog_partition_t *)((uintptr_t)partition ^ (uintptr_t)1 << bit);
        oncelog_error_t *error = oncelog_partition_read(forged, 0, NULL, &records);
        CHECK(oncelog_error_code(error) == ONCELOG_ERROR_INVALID_ARGUMENT ||
              oncelog_error_code(error) == ONCELOG_ERROR_CLOSED);
        oncelog_error_free(error);
    }
    FAILS(INVALID_ARGUMENT, oncelog_partition_read((oncelog_partition_t *)memory, 0, NULL, &records));
    FAILS(INVALID_ARGUMENT, oncelog_partition_read((oncelog_partition_t *)"text", 0, NULL, &records));
    FAILS(INVALID_ARGUMENT, oncelog_partition_read((oncelog_partition_t *)UINTPTR_MAX, 0, NULL, &records));
    CHECK(records == NULL);
}

static void a_handle_of_another_type_is_an_error(void)
{
    oncelog_record_t record = text_record("v");
    FAILS(INVALID_ARGUMENT, oncelog_partition_append((oncelog_partition_t *)producer, &record, 1, NULL, NULL));
    FAILS(INVALID_ARGUMENT, oncelog_producer_send((oncelog_producer_t *)partition, "t", &record, NULL));
    FAILS(INVALID_ARGUMENT, oncelog_engine_close((oncelog_engine_t *)consumer));
    FAILS(INVALID_ARGUMENT, oncelog_producer_free((oncelog_producer_t *)consumer));
    FAILS(INVALID_ARGUMENT, oncelog_consumer_free((oncelog_consumer_t *)engine));
    CHECK(oncelog_error_code((oncelog_error_t *)engine) == ONCELOG_ERROR_INVALID_ARGUMENT);
    oncelog_error_free((oncelog_error_t *)engine);
    OK(oncelog_producer_send(producer, "t", &record, NULL));
}

static void a_freed_handle_is_an_error_also_when_its_place_is_taken(void)
{
    oncelog_partition_t *first = NULL, *second = NULL;
    oncelog_bounds_t bounds;
    OK(oncelog_partition_open(engine, "t", 0, &first));
    OK(oncelog_partition_free(first));
    FAILS(CLOSED, oncelog_partition_bounds(first, &bounds));
    FAILS(CLOSED, oncelog_partition_free(first));
    OK(oncelog_partition_open(engine, "t", 0, &second));
    CHECK(first != second);
    FAILS(CLOSED, oncelog_partition_bounds(first, &bounds));
    OK(oncelog_partition_bounds(second, &bounds));
    OK(oncelog_partition_free(second));

    oncelog_error_t *error = oncelog_create_topic(engine, "t", NULL);
    CHECK(oncelog_error_code(error) == ONCELOG_ERROR_TOPIC_EXISTS);
    oncelog_error_free(error);
    oncelog_error_free(error);
    CHECK(oncelog_error_code(error) == ONCELOG_ERROR_CLOSED && strlen(oncelog_error_message(error)) > 10);
    /* Errors of handles need no freeing, and freeing them does no harm. */
    error = oncelog_partition_free(first);
    CHECK(error == oncelog_partition_free(first));
    oncelog_error_free(error);
    oncelog_error_free(error);
    CHECK(oncelog_error_code(error) == ONCELOG_ERROR_CLOSED);
}

static void sizes_of_structs_are_checked(void)
{
    struct {
        oncelog_topic_options_t known;
        uint32_t later[4];
    } options = {.known = {.struct_size = sizeof options, .partitions = 2}};
    oncelog_topic_options_t none = {0};
    oncelog_metrics_t metrics = {0};
    OK(oncelog_create_topic(engine, "later", &options.known));
    oncelog_producer_options_t reserved = {.struct_size = sizeof reserved, .reserved = 1};
    oncelog_producer_t *none_made = NULL;
    FAILS(INVALID_ARGUMENT, oncelog_producer_open(engine, &reserved, &none_made));
    options.later[3] = 1;
    FAILS(INVALID_ARGUMENT, oncelog_create_topic(engine, "later2", &options.known));
    FAILS(INVALID_ARGUMENT, oncelog_create_topic(engine, "later2", &none));
    none.struct_size = sizeof none - 1; /* no size cuts a field in two */
    FAILS(INVALID_ARGUMENT, oncelog_create_topic(engine, "later2", &none));
    none.struct_size = 8;
    FAILS(INVALID_ARGUMENT, oncelog_create_topic(engine, "later2", &none));
    none.struct_size = UINT32_MAX;
    FAILS(INVALID_ARGUMENT, oncelog_create_topic(engine, "later2", &none));
    none.struct_size = sizeof none;
    none.durability = 99;
    FAILS(INVALID_ARGUMENT, oncelog_create_topic(engine, "later2", &none));
    FAILS(INVALID_ARGUMENT, oncelog_metrics(engine, &metrics));
    metrics.struct_size = sizeof metrics;
    OK(oncelog_metrics(engine, &metrics));
    CHECK(metrics.struct_size == sizeof metrics && metrics.group_frames.count > 0);
}

/* Programs that were compiled with an older header give less, and are told less. */
static void structs_of_the_first_version_are_taken(void)
{
    char *directory = new_directory();
    oncelog_engine_options_t options = {.struct_size = 40, .create = ONCELOG_YES};
    oncelog_topic_options_t topic = {.struct_size = 12, .partitions = 1, .timestamp_type = 99};
    oncelog_producer_options_t send = {.struct_size = 32, .transaction_buffer = SIZE_MAX, .reserved = 99};
    oncelog_read_options_t read = {.struct_size = 16, .from = (oncelog_place_t *)(uintptr_t)1};
    oncelog_append_options_t append = {.struct_size = 32, .transactional = 99, .compression = 99};
    oncelog_record_t record = text_record("v");
    oncelog_engine_t *other = NULL;
    oncelog_partition_t *first = NULL;
    oncelog_records_t *records = NULL;
    oncelog_transactional_producer_t *transactional = NULL;
    options.visibility = options.keep_raw_transactions = options.reserved = 99;
    OK(oncelog_open(directory, &options, &other));
    OK(oncelog_create_topic(other, "t", &topic));
    OK(oncelog_transactional_producer_open(other, "id", &send, &transactional));
    OK(oncelog_partition_open(other, "t", 0, &first));
    OK(oncelog_partition_append(first, &record, 1, &append, NULL));
    OK(oncelog_partition_read(first, 0, &read, &records));
    OK(oncelog_records_free(records));
    OK(oncelog_partition_free(first));
    OK(oncelog_transactional_producer_free(transactional));
    OK(oncelog_engine_close(other));
    drop_directory(directory);
}

/* What is out of range in any field is refused, with nothing done. */
static void choices_are_checked(void)
{
    char *directory = new_directory();
    oncelog_engine_t *other = NULL;
    oncelog_engine_options_t options = {.struct_size = sizeof options};
    for (int field = 0; field < 3; field++) {
        options.visibility = field == 0 ? ONCELOG_VISIBILITY_DURABLE + 1 : 0;
        options.keep_raw_transactions = field == 1 ? ONCELOG_NO + 1 : 0;
        options.reserved = field == 2 ? 1 : 0;
        FAILS(INVALID_ARGUMENT, oncelog_open(directory, &options, &other));
    }
    CHECK(other == NULL);
    oncelog_read_options_t read = {.struct_size = sizeof read, .isolation = ONCELOG_ISOLATION_READ_COMMITTED + 1};
    oncelog_consumer_options_t group = {.struct_size = sizeof group, .isolation = read.isolation};
    oncelog_records_t *records = NULL;
    oncelog_consumer_t *none = NULL;
    FAILS(INVALID_ARGUMENT, oncelog_partition_read(partition, 0, &read, &records));
    FAILS(INVALID_ARGUMENT, oncelog_consumer_open(engine, &group, &none));
    read.isolation = 0;
    read.from = (oncelog_place_t *)(uintptr_t)1;
    FAILS(INVALID_ARGUMENT, oncelog_partition_read(partition, 0, &read, &records));
    drop_directory(directory);
}

static void texts_and_bytes_are_checked(void)
{
    oncelog_record_t record = {.value = NULL, .value_size = 3};
    oncelog_header_t header = {NULL, "v", 1};
    unsigned char *large = calloc(1, 2 << 20);
    CHECK(large != NULL);
    FAILS(INVALID_ARGUMENT, oncelog_create_topic(engine, "\xff\xfe", NULL));
    FAILS(INVALID_ARGUMENT, oncelog_create_topic(engine, "", NULL));
    FAILS(INVALID_ARGUMENT, oncelog_create_topic(engine, "a/b", NULL));
    FAILS(INVALID_ARGUMENT, oncelog_producer_send(producer, "t", &record, NULL));
    record.value = "v";
    record.value_size = SIZE_MAX;
    FAILS(INVALID_ARGUMENT, oncelog_producer_send(producer, "t", &record, NULL));
    FAILS(INVALID_ARGUMENT, oncelog_producer_send_many(producer, "t", &record, SIZE_MAX, NULL));
    record.value = large;
    record.value_size = 2 << 20;
    FAILS(RECORD_TOO_LARGE, oncelog_producer_send(producer, "t", &record, NULL));
    record = text_record("v");
    record.headers = &header;
    record.header_count = 1;
    FAILS(INVALID_ARGUMENT, oncelog_producer_send(producer, "t", &record, NULL));
    header.key = "\xff";
    FAILS(INVALID_ARGUMENT, oncelog_producer_send(producer, "t", &record, NULL));
    record.headers = (oncelog_header_t *)(uintptr_t)1;
    FAILS(INVALID_ARGUMENT, oncelog_producer_send(producer, "t", &record, NULL));
    record = text_record("v");
    record.fields = ONCELOG_RECORD_TIMESTAMP;
    record.timestamp = -2;
    FAILS(INVALID_RECORD, oncelog_producer_send(producer, "t", &record, NULL));
    record.fields = ONCELOG_RECORD_PARTITION;
    FAILS(INVALID_ARGUMENT, oncelog_partition_append(partition, &record, 1, NULL, NULL));
    FAILS(INVALID_RECORD, oncelog_partition_append(partition, NULL, 0, NULL, NULL));
    free(large);
}

/* A text of so many letters, to be freed. */
static char *letters(size_t count)
{
    char *text = malloc(count + 1);
    CHECK(text != NULL);
    memset(text, 'x', count);
    text[count] = '\0';
    return text;
}

/* What the header says of limits is what the library keeps: the last good value and the first bad one. */
static void limits_are_where_the_header_says(void)
{
    char *topic = letters(ONCELOG_TOPIC_NAME_MAX), *longer = letters(ONCELOG_TOPIC_NAME_MAX + 1);
    char *group = letters(ONCELOG_NAME_MAX + 1), *metadata = letters(ONCELOG_OFFSET_METADATA_MAX + 1);
    oncelog_topic_options_t wide = {.struct_size = sizeof wide, .partitions = ONCELOG_TOPIC_PARTITIONS_MAX + 1};
    oncelog_consumer_options_t options = {.struct_size = sizeof options, .group = group};
    oncelog_offset_t offset = {.topic = "t", .offset = ONCELOG_OFFSET_MAX, .metadata = metadata};
    oncelog_identity_t identity;
    oncelog_consumer_t *member = NULL;
    OK(oncelog_create_topic(engine, topic, NULL));
    oncelog_error_t *error = oncelog_create_topic(engine, longer, NULL);
    CHECK(error != NULL);
    oncelog_error_free(error);
    error = oncelog_create_topic(engine, "wide", &wide);
    CHECK(error != NULL);
    oncelog_error_free(error);
    error = oncelog_consumer_open(engine, &options, &member);
    CHECK(error != NULL);
    oncelog_error_free(error);
    group[ONCELOG_NAME_MAX] = '\0';
    OK(oncelog_consumer_open(engine, &options, &member));
    FAILS(LIMIT_EXCEEDED, oncelog_consumer_commit_offsets(member, &offset, 1));
    metadata[ONCELOG_OFFSET_METADATA_MAX] = '\0';
    OK(oncelog_consumer_commit_offsets(member, &offset, 1));
    offset.offset++;
    FAILS(INVALID_ARGUMENT, oncelog_consumer_commit_offsets(member, &offset, 1));
    OK(oncelog_init_producer(engine, "id", ONCELOG_TRANSACTION_TIMEOUT_MAX_MS, NULL, &identity));
    uint32_t too_long = ONCELOG_TRANSACTION_TIMEOUT_MAX_MS + 1;
    FAILS(INVALID_ARGUMENT, oncelog_init_producer(engine, "id", too_long, NULL, &identity));
    OK(oncelog_consumer_free(member));
    free(topic);
    free(longer);
    free(group);
    free(metadata);
}

static void outputs_of_a_failed_call_are_left_alone(void)
{
    oncelog_records_t *records = (oncelog_records_t *)(uintptr_t)0x1234;
    oncelog_appended_t appended;
    memset(&appended, 0x5a, sizeof appended);
    oncelog_appended_t before = appended;
    oncelog_record_t record = {.value = NULL, .value_size = 1};
    FAILS(OFFSET_OUT_OF_RANGE, oncelog_partition_read(partition, 1u << 30, NULL, &records));
    CHECK(records == (oncelog_records_t *)(uintptr_t)0x1234);
    FAILS(INVALID_ARGUMENT, oncelog_partition_append(partition, &record, 1, NULL, &appended));
    CHECK(memcmp(&appended, &before, sizeof before) == 0);
}

int main(void)
{
    char *directory = new_directory();
    oncelog_topic_partition_t name = {"t", 0};
    engine = open_with_topic(directory, 1);
    OK(oncelog_partition_open(engine, "t", 0, &partition));
    OK(oncelog_producer_open(engine, NULL, &producer));
    OK(oncelog_consumer_open(engine, NULL, &consumer));
    OK(oncelog_consumer_assign(consumer, &name, 1));
    null_is_answered_with_an_error_and_freed_without_one();
    what_was_never_a_handle_is_an_error();
    a_handle_of_another_type_is_an_error();
    a_freed_handle_is_an_error_also_when_its_place_is_taken();
    sizes_of_structs_are_checked();
    structs_of_the_first_version_are_taken();
    choices_are_checked();
    texts_and_bytes_are_checked();
    limits_are_where_the_header_says();
    outputs_of_a_failed_call_are_left_alone();
    OK(oncelog_partition_free(partition));
    OK(oncelog_producer_free(producer));
    OK(oncelog_consumer_free(consumer));
    OK(oncelog_engine_close(engine));
    drop_directory(directory);
    return 0;
}
