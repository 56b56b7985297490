/* Raw identities and their transactions, as a broker uses them; how transactions stand, whoever owns them. */
#include "check.h"

static oncelog_identity_t identity_of(const oncelog_engine_t *engine, const char *id)
{
    oncelog_identity_t identity = {0};
    OK(oncelog_init_producer(engine, id, 60000, NULL, &identity));
    return identity;
}

/* Appends a transactional batch of one record. */
static oncelog_error_t *append(const oncelog_engine_t *engine, const char *topic, oncelog_identity_t identity,
                               int32_t sequence)
{
    oncelog_partition_t *partition = NULL;
    oncelog_record_t record = text_record("v");
    oncelog_append_options_t options = {.struct_size = sizeof options,
                                        .identified = ONCELOG_YES,
                                        .producer = identity,
                                        .base_sequence = sequence,
                                        .transactional = ONCELOG_YES};
    OK(oncelog_partition_open(engine, topic, 0, &partition));
    oncelog_error_t *error = oncelog_partition_append(partition, &record, 1, &options, NULL);
    OK(oncelog_partition_free(partition));
    return error;
}

static uint64_t stable_of(const oncelog_engine_t *engine, const char *topic)
{
    oncelog_partition_t *partition = NULL;
    oncelog_bounds_t bounds;
    OK(oncelog_partition_open(engine, topic, 0, &partition));
    OK(oncelog_partition_bounds(partition, &bounds));
    OK(oncelog_partition_free(partition));
    return bounds.stable;
}

static uint32_t status_of(const oncelog_engine_t *engine, uint64_t number)
{
    uint32_t status = 0, again = 0;
    oncelog_ticket_t *ticket = NULL;
    OK(oncelog_transaction_status(engine, number, &status));
    OK(oncelog_transaction_status_ticket(engine, number, &ticket));
    OK(oncelog_ticket_wait(ticket));
    OK(oncelog_ticket_transaction_status(ticket, &again));
    OK(oncelog_ticket_free(ticket));
    CHECK(status == again);
    return status;
}

/* The number of the one transaction that is open. */
static uint64_t only_open(const oncelog_engine_t *engine)
{
    oncelog_open_transactions_t *list = NULL;
    const oncelog_open_transaction_t *all = NULL;
    size_t count = 0;
    OK(oncelog_describe_transactions(engine, &list));
    OK(oncelog_open_transactions_get(list, &all, &count));
    CHECK(count == 1);
    uint64_t number = all[0].number;
    OK(oncelog_open_transactions_free(list));
    FAILS(CLOSED, oncelog_open_transactions_free(list));
    return number;
}

static void a_transaction_of_a_raw_identity_is_seen_when_it_is_committed(void)
{
    char *directory = new_directory();
    oncelog_engine_t *engine = open_with_topic(directory, 1);
    oncelog_identity_t identity = identity_of(engine, "shop"), next = {0}, again = {0};
    oncelog_ticket_t *ticket = NULL;
    OK(append(engine, "t", identity, 0));
    OK(append(engine, "t", identity, 1));
    CHECK(stable_of(engine, "t") == 0 && end_of(engine, "t") == 2);
    uint64_t first = only_open(engine);
    CHECK(status_of(engine, first) == ONCELOG_TRANSACTION_OPEN);
    OK(oncelog_end_transaction(engine, &identity, ONCELOG_OUTCOME_COMMIT, &next));
    CHECK(next.producer_id == identity.producer_id && next.epoch == identity.epoch + 1);
    /* Asked again, because the answer was lost. */
    OK(oncelog_end_transaction(engine, &identity, ONCELOG_OUTCOME_COMMIT, &again));
    CHECK(again.producer_id == next.producer_id && again.epoch == next.epoch);
    CHECK(stable_of(engine, "t") == 2 && status_of(engine, first) == ONCELOG_TRANSACTION_COMMITTED);

    /* The next one, by tickets, is aborted. Its sequences begin anew. */
    OK(append(engine, "t", next, 0));
    uint64_t second = only_open(engine);
    OK(oncelog_end_transaction_ticket(engine, &next, ONCELOG_OUTCOME_ABORT, &ticket));
    OK(oncelog_ticket_wait(ticket));
    OK(oncelog_ticket_identity(ticket, &again));
    FAILS(INVALID_STATE, oncelog_ticket_transaction_status(ticket, &(uint32_t){0}));
    OK(oncelog_ticket_free(ticket));
    CHECK(again.epoch == next.epoch + 1 && second > first);
    CHECK(status_of(engine, second) == ONCELOG_TRANSACTION_ABORTED);
    CHECK(status_of(engine, second + 1000) == ONCELOG_TRANSACTION_FORGOTTEN);
    FAILS(PRODUCER_FENCED, oncelog_end_transaction(engine, &identity, ONCELOG_OUTCOME_ABORT, &next));
    FAILS(INVALID_TRANSACTION_STATE, oncelog_end_transaction(engine, &again, ONCELOG_OUTCOME_COMMIT, &next));
    OK(oncelog_engine_close(engine));
    drop_directory(directory);
}

/* Nothing to read, as it is where there are no records: a loop of polls would spin else. */
static void polls_wait_for_the_decision(const oncelog_consumer_t *consumer)
{
    oncelog_topic_partition_t all = {.topic = "t"};
    oncelog_records_t *records = NULL;
    oncelog_ticket_t *ticket = NULL;
    uint64_t count = 9, position;
    OK(oncelog_consumer_assign(consumer, &all, 1));
    OK(oncelog_consumer_poll(consumer, 0, &records));
    OK(oncelog_records_count(records, &count));
    CHECK(count == 0);
    OK(oncelog_records_free(records));
    FAILS(UNSTABLE_OFFSETS, oncelog_consumer_position(consumer, "t", 0, &position));
    FAILS(UNSTABLE_OFFSETS, oncelog_consumer_lag(consumer, "t", 0, &position));
    OK(oncelog_consumer_settle_ticket(consumer, &ticket));
    FAILS(UNSTABLE_OFFSETS, oncelog_ticket_wait(ticket));
    OK(oncelog_ticket_free(ticket));
}

static void offsets_are_committed_with_the_batches(void)
{
    char *directory = new_directory();
    oncelog_engine_t *engine = open_with_topic(directory, 1);
    oncelog_identity_t identity = identity_of(engine, "shop");
    oncelog_group_metadata_t group = {.struct_size = sizeof group, .group = "g"};
    oncelog_offset_t offset = {.topic = "t", .offset = 1};
    oncelog_consumer_options_t read = {.struct_size = sizeof read, .group = "g"}, dirty = read;
    oncelog_consumer_t *consumer = NULL, *careless = NULL;
    oncelog_ticket_t *ticket = NULL;
    uint64_t committed = 9;
    bool known = true;
    dirty.isolation = ONCELOG_ISOLATION_READ_UNCOMMITTED;
    OK(oncelog_consumer_open(engine, &read, &consumer));
    OK(oncelog_consumer_open(engine, &dirty, &careless));
    OK(oncelog_send_offsets(engine, &identity, &group, &offset, 1));
    offset.offset = 2;
    OK(oncelog_send_offsets_ticket(engine, &identity, &group, &offset, 1, &ticket));
    OK(oncelog_ticket_wait(ticket));
    OK(oncelog_ticket_free(ticket));
    FAILS(UNSTABLE_OFFSETS, oncelog_consumer_committed(consumer, "t", 0, &committed, &known));
    polls_wait_for_the_decision(consumer);
    OK(oncelog_consumer_committed(careless, "t", 0, &committed, &known));
    CHECK(!known);
    OK(append(engine, "t", identity, 0));
    OK(oncelog_end_transaction(engine, &identity, ONCELOG_OUTCOME_COMMIT, &identity));
    OK(oncelog_consumer_committed(consumer, "t", 0, &committed, &known));
    CHECK(known && committed == 2 && stable_of(engine, "t") == 1);

    offset.topic = "missing";
    FAILS(UNKNOWN_TOPIC_OR_PARTITION, oncelog_send_offsets(engine, &identity, &group, &offset, 1));
    offset = (oncelog_offset_t){.topic = "t", .offset = UINT64_MAX};
    FAILS(INVALID_ARGUMENT, oncelog_send_offsets(engine, &identity, &group, &offset, 1));
    offset.offset = 1;
    identity.epoch--;
    FAILS(STALE_EPOCH, oncelog_send_offsets(engine, &identity, &group, &offset, 1));
    OK(oncelog_consumer_free(consumer));
    OK(oncelog_consumer_free(careless));
    OK(oncelog_engine_close(engine));
    drop_directory(directory);
}

static void open_transactions_are_described(void)
{
    char *directory = new_directory();
    oncelog_engine_t *engine = open_with_topic(directory, 1);
    oncelog_producer_options_t streams = {.struct_size = sizeof streams, .transaction_buffer = 1};
    oncelog_transactional_producer_t *producer = NULL;
    oncelog_transaction_t *transaction = NULL;
    oncelog_open_transactions_t *list = NULL;
    const oncelog_open_transaction_t *all = NULL;
    oncelog_record_t record = text_record("v");
    size_t count = 9;
    uint64_t number = 0;
    OK(oncelog_create_topic(engine, "u", NULL));
    OK(oncelog_describe_transactions(engine, &list));
    OK(oncelog_open_transactions_get(list, &all, &count));
    CHECK(count == 0);
    OK(oncelog_open_transactions_free(list));

    oncelog_identity_t identity = identity_of(engine, "shop");
    OK(append(engine, "u", identity, 0));
    OK(append(engine, "t", identity, 0));
    streams.transaction_timeout_ms = 500000;
    OK(oncelog_transactional_producer_open(engine, "bulk", &streams, &producer));
    OK(oncelog_begin_transaction(producer, &transaction));
    OK(oncelog_transaction_number(transaction, &number));
    OK(oncelog_transaction_send(transaction, "t", &record));
    OK(oncelog_describe_transactions(engine, &list));
    OK(oncelog_transaction_commit(transaction, NULL));
    OK(oncelog_open_transactions_get(list, &all, &count));
    CHECK(count == 2 && all[0].raw && strcmp(all[0].transactional_id, "shop") == 0 && all[0].timeout_ms == 60000);
    CHECK(all[0].identity.producer_id == identity.producer_id && all[0].identity.epoch == identity.epoch);
    CHECK(all[0].since > 1600000000000 && all[0].partition_count == 2);
    CHECK(strcmp(all[0].partitions[0].topic, "t") == 0 && strcmp(all[0].partitions[1].topic, "u") == 0);
    CHECK(all[0].partitions[0].offset == 0 && all[0].partitions[0].partition == 0);
    CHECK(!all[1].raw && all[1].number == number && strcmp(all[1].transactional_id, "bulk") == 0);
    CHECK(all[1].partition_count == 1 && all[1].partitions[0].offset == 1 && all[1].timeout_ms == 500000);
    OK(oncelog_open_transactions_free(list));
    OK(oncelog_transactional_producer_free(producer));
    OK(oncelog_engine_close(engine));
    drop_directory(directory);
}

static void producers_are_told_by_their_last_batch_and_their_open_transaction(void)
{
    char *directory = new_directory();
    oncelog_engine_t *engine = open_with_topic(directory, 1);
    oncelog_partition_t *partition = NULL;
    oncelog_active_producers_t *list = NULL;
    const oncelog_active_producer_t *all = NULL;
    oncelog_record_t records[] = {text_record("a"), text_record("b")};
    oncelog_append_options_t options = {.struct_size = sizeof options, .identified = ONCELOG_YES};
    size_t count = 9;
    OK(oncelog_partition_open(engine, "t", 0, &partition));
    OK(oncelog_partition_producers(partition, &list));
    OK(oncelog_active_producers_get(list, &all, &count));
    CHECK(count == 0);
    OK(oncelog_active_producers_free(list));

    oncelog_identity_t shop = identity_of(engine, "shop");
    OK(oncelog_init_producer(engine, NULL, 0, NULL, &options.producer));
    for (int i = 0; i < 2; i++) {
        records[i].fields = ONCELOG_RECORD_TIMESTAMP;
        records[i].timestamp = 2000 - i;
    }
    OK(oncelog_partition_append(partition, records, 2, &options, NULL));
    OK(append(engine, "t", shop, 0));
    OK(oncelog_partition_producers(partition, &list));
    OK(oncelog_end_transaction(engine, &shop, ONCELOG_OUTCOME_ABORT, &shop));
    OK(oncelog_active_producers_get(list, &all, &count));
    CHECK(count == 2 && shop.producer_id < options.producer.producer_id);
    CHECK(all[0].identity.producer_id == shop.producer_id && all[0].identity.epoch == shop.epoch - 1);
    CHECK(all[0].last_sequence == 0 && all[0].last_timestamp > 1600000000000 && all[0].transaction_start_offset == 2);
    CHECK(all[1].identity.producer_id == options.producer.producer_id && all[1].identity.epoch == 0);
    CHECK(all[1].last_sequence == 1 && all[1].last_timestamp == 2000 && all[1].transaction_start_offset == -1);
    OK(oncelog_active_producers_free(list));
    FAILS(CLOSED, oncelog_active_producers_free(list));
    FAILS(CLOSED, oncelog_active_producers_get(list, &all, &count));
    FAILS(INVALID_ARGUMENT, oncelog_active_producers_get(NULL, &all, &count));
    FAILS(INVALID_ARGUMENT, oncelog_partition_producers(partition, NULL));
    FAILS(INVALID_ARGUMENT, oncelog_partition_producers((oncelog_partition_t *)engine, &list));
    OK(oncelog_active_producers_free(NULL));

    OK(oncelog_delete_topic(engine, "t"));
    FAILS(UNKNOWN_TOPIC_OR_PARTITION, oncelog_partition_producers(partition, &list));
    OK(oncelog_engine_close(engine));
    FAILS(CLOSED, oncelog_partition_producers(partition, &list));
    OK(oncelog_partition_free(partition));
    drop_directory(directory);
}

static void a_transaction_is_aborted_by_its_number_whoever_owns_it(void)
{
    char *directory = new_directory();
    oncelog_engine_t *engine = open_with_topic(directory, 1);
    oncelog_identity_t identity = identity_of(engine, "shop"), next;
    oncelog_transactional_producer_t *producer = NULL;
    oncelog_transaction_t *transaction = NULL;
    oncelog_record_t record = text_record("v");
    oncelog_ticket_t *ticket = NULL;
    uint64_t number = 0;
    OK(append(engine, "t", identity, 0));
    number = only_open(engine);
    OK(oncelog_abort_transaction(engine, number));
    OK(oncelog_abort_transaction(engine, number));
    CHECK(status_of(engine, number) == ONCELOG_TRANSACTION_ABORTED && stable_of(engine, "t") == end_of(engine, "t"));
    FAILS(INVALID_TRANSACTION_STATE, oncelog_end_transaction(engine, &identity, ONCELOG_OUTCOME_COMMIT, &next));
    FAILS(INVALID_TRANSACTION_STATE, oncelog_abort_transaction(engine, number + 1000));

    OK(oncelog_transactional_producer_open(engine, "bulk", NULL, &producer));
    OK(oncelog_begin_transaction(producer, &transaction));
    OK(oncelog_transaction_number(transaction, &number));
    OK(oncelog_abort_transaction_ticket(engine, number, &ticket));
    OK(oncelog_ticket_wait(ticket));
    OK(oncelog_ticket_free(ticket));
    FAILS(TRANSACTION_ABORTED, oncelog_transaction_send(transaction, "t", &record));
    OK(oncelog_transaction_abort(transaction));
    OK(oncelog_transactional_producer_free(producer));
    OK(oncelog_engine_close(engine));
    drop_directory(directory);
}

static void raw_transactions_outlive_a_life_of_the_log_if_it_is_told_so(void)
{
    for (int keep = 0; keep < 2; keep++) {
        char *directory = new_directory();
        oncelog_engine_options_t options = {.struct_size = sizeof options};
        oncelog_engine_t *engine = NULL;
        options.keep_raw_transactions = keep ? ONCELOG_YES : ONCELOG_NO;
        OK(oncelog_open(directory, &options, &engine));
        OK(oncelog_create_topic(engine, "t", NULL));
        oncelog_identity_t identity = identity_of(engine, "shop"), next;
        OK(append(engine, "t", identity, 0));
        uint64_t number = only_open(engine);
        OK(oncelog_engine_close(engine));
        OK(oncelog_open(directory, &options, &engine));
        CHECK(status_of(engine, number) == (keep ? ONCELOG_TRANSACTION_OPEN : ONCELOG_TRANSACTION_ABORTED));
        if (keep)
            OK(oncelog_end_transaction(engine, &identity, ONCELOG_OUTCOME_COMMIT, &next));
        CHECK(status_of(engine, number) == (keep ? ONCELOG_TRANSACTION_COMMITTED : ONCELOG_TRANSACTION_ABORTED));
        OK(oncelog_engine_close(engine));
        drop_directory(directory);
    }
}

static void identities_come_by_tickets_too_and_their_timeouts_have_a_bound(void)
{
    char *directory = new_directory();
    oncelog_engine_options_t options = {.struct_size = sizeof options, .transaction_timeout_max_ms = 1000};
    oncelog_engine_t *engine = NULL;
    oncelog_identity_t first, second;
    oncelog_producer_options_t producer = {.struct_size = sizeof producer};
    oncelog_transactional_producer_t *made = NULL;
    oncelog_ticket_t *ticket = NULL;
    OK(oncelog_open(directory, &options, &engine));
    OK(oncelog_init_producer_ticket(engine, "shop", 1000, NULL, &ticket));
    OK(oncelog_ticket_wait(ticket));
    OK(oncelog_ticket_identity(ticket, &first));
    OK(oncelog_ticket_free(ticket));
    OK(oncelog_init_producer_ticket(engine, "shop", 1000, &first, &ticket));
    OK(oncelog_ticket_wait(ticket));
    OK(oncelog_ticket_identity(ticket, &second));
    OK(oncelog_ticket_free(ticket));
    CHECK(second.producer_id == first.producer_id && second.epoch == first.epoch + 1);
    OK(oncelog_init_producer(engine, "shop", 1000, NULL, &second));
    OK(oncelog_init_producer_ticket(engine, "shop", 1000, &first, &ticket));
    FAILS(PRODUCER_FENCED, oncelog_ticket_wait(ticket));
    OK(oncelog_ticket_free(ticket));

    FAILS(INVALID_ARGUMENT, oncelog_init_producer(engine, "shop", 1001, NULL, &second));
    FAILS(INVALID_ARGUMENT, oncelog_init_producer(engine, "shop", 0, NULL, &second));
    FAILS(INVALID_ARGUMENT, oncelog_init_producer(engine, "", 1000, NULL, &second));
    FAILS(INVALID_ARGUMENT, oncelog_init_producer_ticket(engine, "shop", 1001, NULL, &ticket));
    OK(oncelog_init_producer(engine, NULL, 0, NULL, &second));
    /* A transactional producer's default is longer than this engine's bound. */
    FAILS(INVALID_ARGUMENT, oncelog_transactional_producer_open(engine, "bulk", &producer, &made));
    producer.transaction_timeout_ms = 1000;
    OK(oncelog_transactional_producer_open(engine, "bulk", &producer, &made));
    OK(oncelog_transactional_producer_free(made));
    OK(oncelog_engine_close(engine));
    drop_directory(directory);
}

static void what_does_not_fit_is_refused(void)
{
    char *directory = new_directory();
    oncelog_engine_t *engine = open_with_topic(directory, 1);
    oncelog_identity_t identity = identity_of(engine, "shop"), plain = identity_of(engine, NULL), next;
    oncelog_group_metadata_t group = {.struct_size = sizeof group};
    oncelog_append_options_t options = {.struct_size = sizeof options, .transactional = ONCELOG_YES};
    oncelog_record_t record = text_record("v");
    oncelog_partition_t *partition = NULL;
    oncelog_open_transactions_t *list = NULL;
    const oncelog_open_transaction_t *all = NULL;
    oncelog_ticket_t *ticket = NULL;
    size_t count = 0;
    uint32_t status = 0;
    FAILS(INVALID_ARGUMENT, oncelog_end_transaction(engine, &identity, 0, &next));
    FAILS(INVALID_ARGUMENT, oncelog_end_transaction(engine, &identity, 3, &next));
    FAILS(INVALID_ARGUMENT, oncelog_end_transaction(engine, NULL, ONCELOG_OUTCOME_ABORT, &next));
    FAILS(INVALID_ARGUMENT, oncelog_end_transaction(engine, &identity, ONCELOG_OUTCOME_ABORT, NULL));
    FAILS(INVALID_ARGUMENT, oncelog_end_transaction_ticket(engine, &identity, ONCELOG_OUTCOME_ABORT, NULL));
    FAILS(INVALID_ARGUMENT, oncelog_send_offsets(engine, &identity, NULL, NULL, 0));
    FAILS(INVALID_ARGUMENT, oncelog_send_offsets(engine, &identity, &group, NULL, 0));
    FAILS(INVALID_ARGUMENT, oncelog_send_offsets(engine, NULL, &group, NULL, 0));
    FAILS(INVALID_ARGUMENT, oncelog_transaction_status(engine, 1, NULL));
    FAILS(INVALID_ARGUMENT, oncelog_describe_transactions(engine, NULL));
    FAILS(INVALID_ARGUMENT, oncelog_open_transactions_get(NULL, &all, &count));
    OK(oncelog_open_transactions_free(NULL));
    FAILS(UNKNOWN_TRANSACTIONAL_ID, oncelog_end_transaction(engine, &plain, ONCELOG_OUTCOME_ABORT, &next));

    OK(oncelog_partition_open(engine, "t", 0, &partition));
    FAILS(INVALID_RECORD, oncelog_partition_append(partition, &record, 1, &options, NULL));
    FAILS(INVALID_TRANSACTION_STATE, append(engine, "t", plain, 0));
    OK(append(engine, "t", identity, 0));
    options = (oncelog_append_options_t){.struct_size = sizeof options,
                                         .identified = ONCELOG_YES,
                                         .producer = identity,
                                         .base_sequence = 1};
    FAILS(INVALID_TRANSACTION_STATE, oncelog_partition_append(partition, &record, 1, &options, NULL));
    options.transactional = 7;
    FAILS(INVALID_ARGUMENT, oncelog_partition_append(partition, &record, 1, &options, NULL));
    OK(oncelog_partition_free(partition));

    OK(oncelog_engine_close(engine));
    FAILS(CLOSED, oncelog_init_producer_ticket(engine, "shop", 1000, NULL, &ticket));
    FAILS(CLOSED, oncelog_send_offsets(engine, &identity, &group, NULL, 0));
    FAILS(CLOSED, oncelog_end_transaction(engine, &identity, ONCELOG_OUTCOME_ABORT, &next));
    FAILS(CLOSED, oncelog_abort_transaction(engine, 1));
    FAILS(CLOSED, oncelog_transaction_status(engine, 1, &status));
    FAILS(CLOSED, oncelog_describe_transactions(engine, &list));
    CHECK(list == NULL && ticket == NULL);
    drop_directory(directory);
}

int main(void)
{
    a_transaction_of_a_raw_identity_is_seen_when_it_is_committed();
    offsets_are_committed_with_the_batches();
    open_transactions_are_described();
    producers_are_told_by_their_last_batch_and_their_open_transaction();
    a_transaction_is_aborted_by_its_number_whoever_owns_it();
    raw_transactions_outlive_a_life_of_the_log_if_it_is_told_so();
    identities_come_by_tickets_too_and_their_timeouts_have_a_bound();
    what_does_not_fit_is_refused();
    return 0;
}
