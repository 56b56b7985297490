/* Transactions: all or nothing, together with offsets and a position. */
#include "check.h"

static oncelog_consumer_t *consumer_of(oncelog_engine_t *engine, const char *group)
{
    oncelog_consumer_options_t options = {.struct_size = sizeof options, .group = group};
    oncelog_topic_partition_t name = {"t", 0};
    oncelog_consumer_t *consumer = NULL;
    OK(oncelog_consumer_open(engine, &options, &consumer));
    OK(oncelog_consumer_assign(consumer, &name, 1));
    return consumer;
}

static void records_of_a_transaction_are_seen_together_or_not_at_all(void)
{
    char *directory = new_directory();
    oncelog_engine_t *engine = open_with_topic(directory, 1);
    oncelog_transactional_producer_t *producer = NULL;
    oncelog_transaction_t *transaction = NULL, *second = NULL;
    oncelog_committed_t committed = {0};
    oncelog_ticket_t *ticket = NULL;
    oncelog_record_t records[] = {text_record("a"), text_record("b")};
    uint64_t number = 0;
    OK(oncelog_create_topic(engine, "u", NULL));
    OK(oncelog_transactional_producer_open(engine, "id", NULL, &producer));
    OK(oncelog_begin_transaction(producer, &transaction));
    FAILS(INVALID_TRANSACTION_STATE, oncelog_begin_transaction(producer, &second));
    OK(oncelog_transaction_number(transaction, &number));
    OK(oncelog_transaction_send(transaction, "t", &records[0]));
    OK(oncelog_transaction_send_many(transaction, "u", records, 2));
    CHECK(end_of(engine, "t") == 0 && end_of(engine, "u") == 0);
    OK(oncelog_transaction_commit(transaction, &committed));
    CHECK(committed.number == number && committed.lsn > 0);
    CHECK(end_of(engine, "t") == 1 && end_of(engine, "u") == 2);
    FAILS(CLOSED, oncelog_transaction_send(transaction, "t", &records[0]));
    FAILS(CLOSED, oncelog_transaction_abort(transaction));

    OK(oncelog_begin_transaction(producer, &transaction));
    OK(oncelog_transaction_send(transaction, "t", &records[0]));
    OK(oncelog_transaction_abort(transaction));
    OK(oncelog_begin_transaction(producer, &transaction));
    OK(oncelog_transaction_send(transaction, "t", &records[0]));
    OK(oncelog_transaction_free(transaction));
    CHECK(end_of(engine, "t") == 1);

    OK(oncelog_begin_transaction(producer, &transaction));
    OK(oncelog_transaction_send(transaction, "t", &records[1]));
    OK(oncelog_transaction_commit_ticket(transaction, &ticket));
    OK(oncelog_ticket_wait(ticket));
    OK(oncelog_ticket_committed(ticket, &committed));
    OK(oncelog_wait_durable(engine, committed.lsn));
    OK(oncelog_ticket_free(ticket));
    CHECK(end_of(engine, "t") == 2 && committed.number > number);
    OK(oncelog_transactional_producer_free(producer));
    OK(oncelog_engine_close(engine));
    drop_directory(directory);
}

static void of_records_sent_at_once_those_before_the_refused_one_are_there_and_none_if_one_is_malformed(void)
{
    char *directory = new_directory();
    oncelog_engine_t *engine = open_with_topic(directory, 1);
    oncelog_transactional_producer_t *producer = NULL;
    oncelog_transaction_t *transaction = NULL;
    oncelog_record_t records[] = {text_record("a"), text_record("b"), text_record("c")};
    OK(oncelog_transactional_producer_open(engine, "id", NULL, &producer));
    OK(oncelog_begin_transaction(producer, &transaction));
    OK(oncelog_transaction_send_many(transaction, "nowhere", records, 0));
    FAILS(UNKNOWN_TOPIC_OR_PARTITION, oncelog_transaction_send_many(transaction, "nowhere", records, 3));
    records[2].value = NULL;
    FAILS(INVALID_ARGUMENT, oncelog_transaction_send_many(transaction, "t", records, 3));
    records[2] = text_record("c");
    records[2].fields = ONCELOG_RECORD_PARTITION;
    records[2].partition = 7;
    FAILS(UNKNOWN_TOPIC_OR_PARTITION, oncelog_transaction_send_many(transaction, "t", records, 3));
    OK(oncelog_transaction_commit(transaction, NULL));
    CHECK(end_of(engine, "t") == 2);
    OK(oncelog_transactional_producer_free(producer));
    OK(oncelog_engine_close(engine));
    drop_directory(directory);
}

static void output_and_offsets_are_committed_as_one(void)
{
    char *directory = new_directory();
    oncelog_engine_t *engine = open_with_topic(directory, 1);
    oncelog_transactional_producer_t *producer = NULL;
    oncelog_transaction_t *transaction = NULL;
    oncelog_producer_t *source = NULL;
    oncelog_records_t *records = NULL;
    oncelog_record_t record = text_record("in");
    uint64_t offset = 9, lag = 9;
    bool known = true;
    OK(oncelog_create_topic(engine, "out", NULL));
    OK(oncelog_producer_open(engine, NULL, &source));
    OK(oncelog_producer_send(source, "t", &record, NULL));
    OK(oncelog_producer_flush(source));
    oncelog_consumer_t *consumer = consumer_of(engine, "g");
    OK(oncelog_transactional_producer_open(engine, "id", NULL, &producer));
    for (int attempt = 0; attempt < 2; attempt++) {
        OK(oncelog_begin_transaction_for(producer, consumer, &transaction));
        OK(oncelog_consumer_poll(consumer, 1000, &records));
        OK(oncelog_records_count(records, &offset));
        CHECK(offset == 1); /* again, after the abort put the consumer back */
        OK(oncelog_records_free(records));
        OK(oncelog_transaction_send(transaction, "out", &record));
        FAILS(INVALID_STATE, oncelog_consumer_commit(consumer));
        if (attempt == 0)
            OK(oncelog_transaction_free(transaction));
        else
            OK(oncelog_transaction_commit(transaction, NULL));
        OK(oncelog_consumer_committed(consumer, "t", 0, &offset, &known));
        CHECK(known == (attempt == 1) && offset == (attempt == 1 ? 1 : 0));
    }
    OK(oncelog_consumer_lag(consumer, "t", 0, &lag));
    CHECK(lag == 0 && end_of(engine, "out") == 1);
    OK(oncelog_consumer_free(consumer));
    OK(oncelog_producer_free(source));
    OK(oncelog_transactional_producer_free(producer));
    OK(oncelog_engine_close(engine));
    drop_directory(directory);
}

static void offsets_and_positions_of_any_kind_are_sent(void)
{
    char *directory = new_directory();
    oncelog_engine_t *engine = open_with_topic(directory, 2);
    oncelog_transactional_producer_t *producer = NULL;
    oncelog_transaction_t *transaction = NULL;
    oncelog_group_metadata_t group = {.struct_size = sizeof group};
    oncelog_offset_t offsets[] = {
        {.topic = "t", .partition = 0, .offset = 7, .metadata = "note"},
        {.topic = "t", .partition = 1, .offset = 8, .fields = ONCELOG_OFFSET_LEADER_EPOCH, .leader_epoch = 3}};
    uint64_t offset = 0, position = 0;
    bool known = false;
    oncelog_consumer_t *consumer = consumer_of(engine, "g");
    OK(oncelog_consumer_group_metadata(consumer, &group));
    CHECK(strcmp(group.group, "g") == 0);
    OK(oncelog_transactional_producer_open(engine, "id", NULL, &producer));
    OK(oncelog_transactional_producer_position(producer, &position, &known));
    CHECK(!known && position == 0);
    OK(oncelog_begin_transaction(producer, &transaction));
    OK(oncelog_transaction_send_offsets(transaction, &group, offsets, 2));
    OK(oncelog_transaction_send_position(transaction, 41));
    offsets[1].partition = 0;
    FAILS(INVALID_ARGUMENT, oncelog_transaction_send_offsets(transaction, &group, offsets, 2));
    offsets[1].partition = 2;
    FAILS(UNKNOWN_TOPIC_OR_PARTITION, oncelog_transaction_send_offsets(transaction, &group, offsets, 2));
    FAILS(INVALID_ARGUMENT, oncelog_transaction_send_position(transaction, 41));
    OK(oncelog_transaction_commit(transaction, NULL));
    OK(oncelog_consumer_committed(consumer, "t", 1, &offset, &known));
    CHECK(known && offset == 8);
    OK(oncelog_transactional_producer_position(producer, &position, &known));
    CHECK(known && position == 41);
    OK(oncelog_transactional_producer_free(producer));
    OK(oncelog_consumer_free(consumer));
    OK(oncelog_engine_close(engine));
    drop_directory(directory);
}

static void a_newer_holder_of_an_id_fences_the_older(void)
{
    char *directory = new_directory();
    oncelog_engine_t *engine = open_with_topic(directory, 1);
    oncelog_transactional_producer_t *old = NULL, *new = NULL;
    oncelog_transaction_t *transaction = NULL;
    oncelog_ticket_t *ticket = NULL;
    oncelog_record_t record = text_record("v");
    OK(oncelog_transactional_producer_open(engine, "id", NULL, &old));
    OK(oncelog_begin_transaction(old, &transaction));
    OK(oncelog_transaction_send(transaction, "t", &record));
    OK(oncelog_transactional_producer_open_ticket(engine, "id", NULL, &ticket));
    OK(oncelog_ticket_wait(ticket));
    OK(oncelog_ticket_transactional_producer(ticket, &new));
    OK(oncelog_ticket_free(ticket));
    FAILS(PRODUCER_FENCED, oncelog_transaction_commit(transaction, NULL));
    FAILS(PRODUCER_FENCED, oncelog_begin_transaction(old, &transaction));
    CHECK(end_of(engine, "t") == 0);
    OK(oncelog_transactional_producer_free(old));
    OK(oncelog_transactional_producer_free(new));
    OK(oncelog_engine_close(engine));
    drop_directory(directory);
}

/* How many transactions have something in the log and are not decided. */
static size_t streaming(const oncelog_engine_t *engine)
{
    oncelog_open_transactions_t *list = NULL;
    const oncelog_open_transaction_t *all = NULL;
    size_t count = 0;
    OK(oncelog_describe_transactions(engine, &list));
    OK(oncelog_open_transactions_get(list, &all, &count));
    OK(oncelog_open_transactions_free(list));
    return count;
}

static void a_transaction_that_outgrows_its_buffer_goes_on(void)
{
    char *directory = new_directory();
    oncelog_engine_t *engine = open_with_topic(directory, 2);
    oncelog_producer_options_t options = {.struct_size = sizeof options};
    oncelog_transactional_producer_t *producer = NULL;
    oncelog_transaction_t *transaction = NULL;
    char *large = calloc(1, 600000);
    oncelog_record_t record = {.value = large, .value_size = 600000, .fields = ONCELOG_RECORD_PARTITION};
    CHECK(large != NULL);
    for (int buffer = 1; buffer <= 2; buffer++) {
        options.transaction_buffer = buffer == 1 ? 0 : 2 << 20; /* the default, and one that holds both records */
        OK(oncelog_transactional_producer_open(engine, "id", &options, &producer));
        OK(oncelog_begin_transaction(producer, &transaction));
        record.partition = 0;
        OK(oncelog_transaction_send(transaction, "t", &record));
        CHECK(streaming(engine) == 0);
        record.partition = 1; /* no batch is larger than 1 MiB */
        OK(oncelog_transaction_send(transaction, "t", &record));
        CHECK(streaming(engine) == (buffer == 1 ? 1 : 0));
        OK(oncelog_transaction_commit(transaction, NULL));
        OK(oncelog_transactional_producer_free(producer));
    }
    options.transaction_buffer = (16 << 20) + 1;
    FAILS(INVALID_ARGUMENT, oncelog_transactional_producer_open(engine, "id", &options, &producer));
    options = (oncelog_producer_options_t){.struct_size = sizeof options, .name = "name"};
    FAILS(INVALID_ARGUMENT, oncelog_transactional_producer_open(engine, "id", &options, &producer));
    OK(oncelog_engine_close(engine));
    free(large);
    drop_directory(directory);
}

static void a_record_can_be_added_if_that_takes_nothing_but_memory(void)
{
    char *directory = new_directory();
    oncelog_engine_t *engine = open_with_topic(directory, 1);
    oncelog_transactional_producer_t *producer = NULL;
    oncelog_transaction_t *transaction = NULL;
    char *large = calloc(1, 600000);
    oncelog_record_t record = {.value = large, .value_size = 600000};
    bool sent = false;
    CHECK(large != NULL);
    OK(oncelog_transactional_producer_open(engine, "id", NULL, &producer));
    OK(oncelog_begin_transaction(producer, &transaction));
    OK(oncelog_transaction_try_send(transaction, "t", &record, &sent));
    CHECK(sent);
    OK(oncelog_transaction_try_send(transaction, "t", &record, &sent)); /* past the buffer of 1 MiB */
    CHECK(!sent && streaming(engine) == 0);
    sent = true;
    FAILS(UNKNOWN_TOPIC_OR_PARTITION, oncelog_transaction_try_send(transaction, "missing", &record, &sent));
    FAILS(INVALID_ARGUMENT, oncelog_transaction_try_send(transaction, "t", &record, NULL));
    CHECK(sent); /* as it was */
    OK(oncelog_transaction_send(transaction, "t", &record));
    CHECK(streaming(engine) == 1);
    OK(oncelog_transaction_commit(transaction, NULL));
    CHECK(end_of(engine, "t") == 2);
    FAILS(CLOSED, oncelog_transaction_try_send(transaction, "t", &record, &sent));
    OK(oncelog_transactional_producer_free(producer));
    OK(oncelog_engine_close(engine));
    free(large);
    drop_directory(directory);
}

static void a_transaction_that_finds_no_memory_streams(void)
{
    char *directory = new_directory();
    oncelog_engine_options_t options = {.struct_size = sizeof options, .transaction_memory = 1};
    oncelog_engine_t *engine = NULL;
    oncelog_transactional_producer_t *producer = NULL;
    oncelog_transaction_t *transaction = NULL;
    oncelog_record_t record = text_record("v");
    OK(oncelog_open(directory, &options, &engine));
    OK(oncelog_create_topic(engine, "t", NULL));
    OK(oncelog_transactional_producer_open(engine, "id", NULL, &producer));
    OK(oncelog_begin_transaction(producer, &transaction));
    OK(oncelog_transaction_send(transaction, "t", &record));
    CHECK(streaming(engine) == 1);
    OK(oncelog_transaction_commit(transaction, NULL));
    CHECK(streaming(engine) == 0 && end_of(engine, "t") == 1);
    OK(oncelog_transactional_producer_free(producer));
    OK(oncelog_engine_close(engine));
    drop_directory(directory);
}

static void a_transaction_that_streams_too_long_is_aborted(void)
{
    char *directory = new_directory();
    oncelog_engine_t *engine = open_with_topic(directory, 1);
    oncelog_producer_options_t options = {.struct_size = sizeof options};
    oncelog_transactional_producer_t *producer = NULL;
    oncelog_transaction_t *transaction = NULL;
    oncelog_record_t record = text_record("v");
    oncelog_error_t *error = NULL;
    uint64_t number = 0;
    uint32_t status = 0;
    options.transaction_buffer = 1;
    options.transaction_timeout_ms = 1;
    OK(oncelog_transactional_producer_open(engine, "id", &options, &producer));
    OK(oncelog_begin_transaction(producer, &transaction));
    OK(oncelog_transaction_number(transaction, &number));
    while ((error = oncelog_transaction_send(transaction, "t", &record)) == NULL)
        ;
    CHECK(oncelog_error_code(error) == ONCELOG_ERROR_TRANSACTION_TIMED_OUT && oncelog_error_requires_abort(error));
    oncelog_error_free(error);
    FAILS(TRANSACTION_TIMED_OUT, oncelog_transaction_commit(transaction, NULL));
    OK(oncelog_transaction_status(engine, number, &status));
    CHECK(status == ONCELOG_TRANSACTION_ABORTED && streaming(engine) == 0);
    OK(oncelog_transactional_producer_free(producer));
    OK(oncelog_engine_close(engine));
    drop_directory(directory);
}

int main(void)
{
    records_of_a_transaction_are_seen_together_or_not_at_all();
    of_records_sent_at_once_those_before_the_refused_one_are_there_and_none_if_one_is_malformed();
    output_and_offsets_are_committed_as_one();
    offsets_and_positions_of_any_kind_are_sent();
    a_newer_holder_of_an_id_fences_the_older();
    a_transaction_that_outgrows_its_buffer_goes_on();
    a_record_can_be_added_if_that_takes_nothing_but_memory();
    a_transaction_that_finds_no_memory_streams();
    a_transaction_that_streams_too_long_is_aborted();
    return 0;
}
