/* Opening, closing, topics, what opening says, and what children answer when their engine is closed. */
#include "check.h"

static void a_log_is_made_closed_and_opened_again(void)
{
    char *directory = new_directory();
    oncelog_engine_t *engine = NULL;
    const oncelog_opening_t *opening = NULL;
    OK(oncelog_open(directory, NULL, &engine));
    OK(oncelog_opening(engine, &opening));
    CHECK(opening->created && opening->incarnation == 1 && opening->damage_count == 0 && opening->cut_bytes == 0);
    OK(oncelog_engine_close(engine));
    OK(oncelog_open(directory, NULL, &engine));
    OK(oncelog_opening(engine, &opening));
    CHECK(!opening->created && opening->incarnation == 2);
    CHECK(opening->loading_nanos > 0 && opening->frames_folded < 10 && opening->bytes_folded < 10000);
    OK(oncelog_engine_close(engine));
    FAILS(CLOSED, oncelog_engine_close(engine));
    OK(oncelog_engine_close(NULL));
    drop_directory(directory);
}

static void a_second_open_is_told_that_the_log_is_locked(void)
{
    char *directory = new_directory();
    oncelog_engine_t *engine = NULL, *second = NULL;
    OK(oncelog_open(directory, NULL, &engine));
    oncelog_error_t *error = oncelog_open(directory, NULL, &second);
    CHECK(oncelog_error_code(error) == ONCELOG_ERROR_LOCKED && second == NULL);
    CHECK(strcmp(oncelog_error_name(error), "Locked") == 0);
    CHECK(!oncelog_error_requires_abort(error) && oncelog_error_kafka_code(error) == 56);
    CHECK(oncelog_error_code_from_kafka(56) == ONCELOG_ERROR_IO && oncelog_error_code_from_kafka(0) == ONCELOG_OK);
    CHECK(oncelog_error_code_from_kafka(90) == ONCELOG_ERROR_PRODUCER_FENCED);
    CHECK(oncelog_error_code_from_kafka(INT16_MIN) == ONCELOG_ERROR_INTERNAL);
    oncelog_error_free(error);
    OK(oncelog_engine_close(engine));
    drop_directory(directory);
}

static void an_error_carries_its_cause(void)
{
    char *directory = new_directory();
    char path[4096];
    oncelog_engine_t *engine = NULL;
    oncelog_engine_options_t options = {.struct_size = sizeof options, .create = ONCELOG_NO};
    snprintf(path, sizeof path, "%s/missing/deeper", directory);
    oncelog_error_t *error = oncelog_open(path, &options, &engine);
    CHECK(error != NULL && engine == NULL);
    CHECK(strlen(oncelog_error_message(error)) > 10);
    CHECK(oncelog_error_cause(NULL) == NULL);
    oncelog_error_free(error);
    drop_directory(directory);
}

static void topics_are_made_listed_grown_and_deleted(void)
{
    char *directory = new_directory();
    oncelog_engine_t *engine = open_with_topic(directory, 3);
    oncelog_topic_options_t os = {.struct_size = sizeof os, .durability = ONCELOG_DURABILITY_OS};
    oncelog_topics_t *topics = NULL;
    const oncelog_topic_info_t *infos = NULL;
    size_t count = 0;
    OK(oncelog_create_topic(engine, "a", &os));
    FAILS(TOPIC_EXISTS, oncelog_create_topic(engine, "a", NULL));
    OK(oncelog_add_partitions(engine, "a", 2));
    OK(oncelog_topics(engine, &topics));
    OK(oncelog_delete_topic(engine, "a"));
    OK(oncelog_topics_get(topics, &infos, &count));
    CHECK(count == 2);
    CHECK(strcmp(infos[0].name, "a") == 0 && infos[0].partitions == 2);
    CHECK(infos[0].durability == ONCELOG_DURABILITY_OS && infos[1].durability == 0);
    CHECK(strcmp(infos[1].name, "t") == 0 && infos[1].partitions == 3);
    CHECK(memcmp(infos[0].id, infos[1].id, 16) != 0);
    OK(oncelog_topics_free(topics));
    FAILS(CLOSED, oncelog_topics_get(topics, &infos, &count));
    oncelog_text_t *text = NULL;
    const char *bytes = NULL;
    OK(oncelog_openmetrics(engine, &text));
    OK(oncelog_text_get(text, &bytes, &count));
    CHECK(strlen(bytes) == count && strncmp(bytes, "# TYPE oncelog_appends counter\n", 30) == 0);
    CHECK(strcmp(bytes + count - 6, "# EOF\n") == 0);
    OK(oncelog_text_free(text));
    FAILS(CLOSED, oncelog_text_get(text, &bytes, NULL));
    FAILS(UNKNOWN_TOPIC_OR_PARTITION, oncelog_delete_topic(engine, "a"));
    OK(oncelog_engine_close(engine));
    drop_directory(directory);
}

static void a_quantile_is_the_bound_that_holds_its_share(void)
{
    oncelog_histogram_t histogram = {0};
    const double shares[] = {0, 0.5, 0.51, 0.9, 0.91, 1, -1, 2};
    const uint64_t bounds[] = {1, 1, 8, 8, 0, 0, 1, 0};
    uint64_t value = 9;
    bool known = true;
    OK(oncelog_histogram_quantile(&histogram, 0.5, &value, &known));
    CHECK(!known && value == 0);
    for (int i = 0; i < ONCELOG_HISTOGRAM_BOUNDS; i++)
        histogram.bounds[i] = (uint64_t)1 << i;
    histogram.counts[0] = 5;
    histogram.counts[3] = 4;
    histogram.counts[ONCELOG_HISTOGRAM_BUCKETS - 1] = 1;
    for (size_t i = 0; i < sizeof shares / sizeof *shares; i++) {
        OK(oncelog_histogram_quantile(&histogram, shares[i], &value, &known));
        CHECK(known == (bounds[i] > 0) && value == bounds[i]);
    }
    /* Numbers that no engine counts. */
    memset(&histogram, 0xff, sizeof histogram);
    OK(oncelog_histogram_quantile(&histogram, 0.5, &value, &known));
    value = 9;
    FAILS(INVALID_ARGUMENT, oncelog_histogram_quantile(NULL, 0.5, &value, &known));
    FAILS(INVALID_ARGUMENT, oncelog_histogram_quantile(&histogram, 0.5, NULL, &known));
    FAILS(INVALID_ARGUMENT, oncelog_histogram_quantile(&histogram, 0.5, &value, NULL));
    CHECK(value == 9);
}

static void children_of_a_closed_engine_say_so_and_are_freed(void)
{
    char *directory = new_directory();
    oncelog_engine_t *engine = open_with_topic(directory, 1);
    oncelog_partition_t *partition = NULL;
    oncelog_producer_t *producer = NULL;
    oncelog_transactional_producer_t *transactional = NULL;
    oncelog_transaction_t *transaction = NULL;
    oncelog_consumer_t *consumer = NULL;
    oncelog_records_t *records = NULL;
    oncelog_ticket_t *ticket = NULL;
    oncelog_consumer_options_t options = {.struct_size = sizeof options, .group = "g"};
    oncelog_topic_partition_t name = {"t", 0};
    oncelog_record_t record = text_record("v");
    OK(oncelog_partition_open(engine, "t", 0, &partition));
    OK(oncelog_producer_open(engine, NULL, &producer));
    OK(oncelog_transactional_producer_open(engine, "id", NULL, &transactional));
    OK(oncelog_begin_transaction(transactional, &transaction));
    OK(oncelog_consumer_open(engine, &options, &consumer));
    OK(oncelog_consumer_assign(consumer, &name, 1));
    OK(oncelog_producer_send(producer, "t", &record, &ticket));
    OK(oncelog_engine_close(engine));

    oncelog_appended_t appended;
    OK(oncelog_ticket_wait(ticket)); /* the close flushed it */
    OK(oncelog_ticket_appended(ticket, &appended));
    CHECK(appended.first == 0 && !appended.duplicate);
    FAILS(CLOSED, oncelog_create_topic(engine, "u", NULL));
    FAILS(CLOSED, oncelog_partition_append(partition, &record, 1, NULL, NULL));
    FAILS(CLOSED, oncelog_partition_read(partition, 0, NULL, &records));
    FAILS(CLOSED, oncelog_producer_send(producer, "t", &record, NULL));
    FAILS(CLOSED, oncelog_transaction_send(transaction, "t", &record));
    FAILS(CLOSED, oncelog_consumer_poll(consumer, ONCELOG_FOREVER, &records));
    FAILS(CLOSED, oncelog_transaction_commit(transaction, NULL));
    FAILS(CLOSED, oncelog_transaction_commit(transaction, NULL));
    OK(oncelog_partition_free(partition));
    OK(oncelog_producer_free(producer));
    OK(oncelog_transactional_producer_free(transactional));
    OK(oncelog_consumer_free(consumer));
    OK(oncelog_ticket_free(ticket));
    FAILS(CLOSED, oncelog_transaction_free(transaction));
    drop_directory(directory);
}

static void an_engine_opened_for_reading_writes_nothing(void)
{
    char *directory = new_directory();
    oncelog_engine_t *engine = open_with_topic(directory, 1);
    oncelog_engine_options_t options = {.struct_size = sizeof options, .read_only = ONCELOG_YES};
    oncelog_partition_t *partition = NULL;
    oncelog_producer_t *producer = NULL;
    oncelog_records_t *records = NULL;
    oncelog_record_t record = text_record("v");
    uint64_t count = 0;
    OK(oncelog_partition_open(engine, "t", 0, &partition));
    OK(oncelog_partition_append(partition, &record, 1, NULL, NULL));
    OK(oncelog_partition_free(partition));
    OK(oncelog_engine_close(engine));

    OK(oncelog_open(directory, &options, &engine));
    FAILS(READ_ONLY, oncelog_create_topic(engine, "u", NULL));
    FAILS(READ_ONLY, oncelog_producer_open(engine, NULL, &producer));
    OK(oncelog_partition_open(engine, "t", 0, &partition));
    FAILS(READ_ONLY, oncelog_partition_append(partition, &record, 1, NULL, NULL));
    OK(oncelog_partition_read(partition, 0, NULL, &records));
    OK(oncelog_records_count(records, &count));
    CHECK(count == 1);
    OK(oncelog_records_free(records));
    OK(oncelog_partition_free(partition));
    OK(oncelog_engine_close(engine));
    drop_directory(directory);
}

int main(void)
{
    CHECK(oncelog_version_number() == ONCELOG_VERSION_NUMBER);
    CHECK(strcmp(oncelog_version_string(), ONCELOG_VERSION_STRING) == 0);
    a_log_is_made_closed_and_opened_again();
    a_second_open_is_told_that_the_log_is_locked();
    an_error_carries_its_cause();
    topics_are_made_listed_grown_and_deleted();
    a_quantile_is_the_bound_that_holds_its_share();
    children_of_a_closed_engine_say_so_and_are_freed();
    an_engine_opened_for_reading_writes_nothing();
    return 0;
}
