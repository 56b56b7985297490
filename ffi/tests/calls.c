/* The calls of calls.h, object by object. */
#include "calls.h"

void call_engine(struct source *source, struct shared *shared)
{
    void *made = NULL;
    /* As large as any size that it may claim. */
    struct {
        oncelog_topic_options_t known;
        char later[64];
    } options = {.known = {.struct_size = sizeof options.known, .partitions = below(source, 4)}};
    const oncelog_topic_info_t *infos = NULL;
    const char *text = NULL;
    size_t count = 0;
    options.known.struct_size += below(source, 8) == 0 ? below(source, 64) - 16 : 0;
    switch (below(source, 20)) {
    case 0: seen(source, oncelog_create_topic(PICK(ENGINE), name(source), &options.known)); break;
    case 1: seen(source, oncelog_create_topic_ticket(PICK(ENGINE), name(source), NULL, MADE(ticket))); break;
    case 2:
        if (below(source, 64) == 0)
            seen(source, oncelog_delete_topic(PICK(ENGINE), name(source)));
        break;
    case 3: seen(source, oncelog_add_partitions(PICK(ENGINE), name(source), below(source, 6))); break;
    case 4: seen(source, oncelog_flush_ticket(PICK(ENGINE), MADE(ticket))); break;
    case 5: seen(source, oncelog_wait_durable_ticket(PICK(ENGINE), below(source, 99), MADE(ticket))); break;
    case 6: seen(source, oncelog_delete_producer(PICK(ENGINE), name(source))); break;
    case 7: seen(source, oncelog_drive(PICK(ENGINE))); break;
    case 8:
        seen(source, oncelog_topics(PICK(ENGINE), MADE(topics)));
        share(source, shared, TOPICS, made);
        return;
    case 9: seen(source, oncelog_topics_get(PICK(TOPICS), &infos, &count)); break;
    case 10: seen(source, oncelog_topics_free(PICK(TOPICS))); break;
    case 11: {
        const oncelog_opening_t *opening = NULL;
        seen(source, oncelog_opening(PICK(ENGINE), below(source, 8) ? &opening : NULL));
        break;
    }
    case 12: {
        oncelog_metrics_t metrics = {.struct_size = sizeof metrics};
        seen(source, oncelog_metrics(PICK(ENGINE), &metrics));
        break;
    }
    case 13:
        seen(source, oncelog_consumer_lags(PICK(ENGINE), (oncelog_consumer_lags_t **)&made));
        share(source, shared, LAGS, made);
        return;
    case 14:
        seen(source, oncelog_openmetrics(PICK(ENGINE), MADE(text)));
        share(source, shared, TEXT, made);
        return;
    case 15: seen(source, oncelog_text_get(PICK(TEXT), &text, below(source, 2) ? &count : NULL)); break;
    case 16: RARELY(oncelog_text_free(PICK(TEXT))); break;
    case 17:
        if (below(source, 64) == 0)
            seen(source, oncelog_engine_close(PICK(ENGINE)));
        break;
    case 18: {
        oncelog_verification_t found = {.struct_size = below(source, 8) ? sizeof found : 3};
        RARELY(oncelog_verify(PICK(ENGINE), NULL, NULL, below(source, 8) ? &found : NULL));
        break;
    }
    default: open_log(source, shared, below(source, 4)); break;
    }
    share(source, shared, TICKET, made);
}

void call_partition(struct source *source, struct shared *shared)
{
    oncelog_record_t records[RECORDS_MOST];
    oncelog_header_t headers[2];
    oncelog_bounds_t bounds;
    oncelog_append_options_t options = {.struct_size = sizeof options, .durability = below(source, 5)};
    oncelog_read_options_t read = {.struct_size = sizeof read, .max_bytes = below(source, 5000)};
    oncelog_place_t place = {below(source, 3), below(source, 99), below(source, 20)};
    void *made = NULL;
    size_t count = make_records(source, records, headers);
    uint64_t offset;
    int64_t timestamp;
    bool known;
    options.compression = below(source, 7);
    read.isolation = below(source, 4);
    read.from = below(source, 4) ? NULL : &place;
    switch (below(source, 10)) {
    case 0:
        seen(source, oncelog_partition_open(PICK(ENGINE), name(source), below(source, 4), MADE(partition)));
        share(source, shared, PARTITION, made);
        break;
    case 1: seen(source, oncelog_partition_append(PICK(PARTITION), records, count, NULL, NULL)); break;
    case 2:
        options.identified = below(source, 3);
        seen(source, oncelog_partition_append_ticket(PICK(PARTITION), records, count, &options, MADE(ticket)));
        share(source, shared, TICKET, made);
        break;
    case 3: {
        oncelog_batch_header_t header;
        seen(source, oncelog_batch_header(records, below(source, 200), below(source, 8) ? &header : NULL));
        seen(source, oncelog_partition_append_batch(PICK(PARTITION), records, below(source, 200), NULL, NULL));
        break;
    }
    case 4:
    case 5:
        seen(source, oncelog_partition_read(PICK(PARTITION), below(source, 20), &read, MADE(records)));
        share(source, shared, RECORDS, made);
        break;
    case 6: seen(source, oncelog_partition_bounds(PICK(PARTITION), below(source, 8) ? &bounds : NULL)); break;
    case 7:
        seen(source, oncelog_partition_offset_at(PICK(PARTITION), (int64_t)below(source, 1000) - 9,
                                                 (uint32_t)below(source, 4), &offset, &known));
        break;
    case 8:
        seen(source, oncelog_partition_max_timestamp(PICK(PARTITION), (uint32_t)below(source, 4), &offset, &timestamp,
                                                     &known));
        break;
    default: RARELY(oncelog_partition_free(PICK(PARTITION))); break;
    }
}

void call_producer(struct source *source, struct shared *shared)
{
    oncelog_record_t records[RECORDS_MOST];
    oncelog_header_t headers[2];
    oncelog_producer_options_t options = {.struct_size = sizeof options, .batch_bytes = below(source, 3000)};
    void *made = NULL;
    size_t count = make_records(source, records, headers);
    uint64_t position;
    bool known;
    options.name = below(source, 4) ? NULL : name(source);
    options.linger_ms = below(source, 2) ? ONCELOG_LINGER_NONE : below(source, 50);
    options.compression = below(source, 7);
    switch (below(source, 8)) {
    case 0:
        seen(source, oncelog_producer_open(PICK(ENGINE), &options, MADE(producer)));
        share(source, shared, PRODUCER, made);
        return;
    case 1: seen(source, oncelog_producer_open_ticket(PICK(ENGINE), &options, MADE(ticket))); break;
    case 2:
        records[0].position = below(source, 100);
        if (count > 0)
            records[0].fields |= ONCELOG_RECORD_POSITION;
        seen(source, oncelog_producer_send(PICK(PRODUCER), name(source), count ? records : NULL, NULL));
        break;
    case 3:
        if (count > 0)
            seen(source, oncelog_producer_try_send(PICK(PRODUCER), name(source), records, MADE(ticket),
                                                   &known));
        break;
    case 4:
        if (below(source, 2)) {
            oncelog_error_t *refused = NULL;
            seen(source, oncelog_producer_try_send_many(PICK(PRODUCER), name(source), records, count, &count,
                                                        MADE(ticket), &refused));
            seen(source, refused);
            break;
        }
        seen(source, oncelog_producer_send_many(PICK(PRODUCER), name(source), records, count, MADE(ticket)));
        break;
    case 5: seen(source, oncelog_producer_flush_ticket(PICK(PRODUCER), MADE(ticket))); break;
    case 6: seen(source, oncelog_producer_position(PICK(PRODUCER), &position, &known)); break;
    default: RARELY(oncelog_producer_free(PICK(PRODUCER))); break;
    }
    share(source, shared, TICKET, made);
}

void call_transaction(struct source *source, struct shared *shared)
{
    oncelog_record_t records[RECORDS_MOST];
    oncelog_header_t headers[2];
    oncelog_group_metadata_t group = {.struct_size = sizeof group, .group = name(source)};
    oncelog_offset_t offset = {.topic = name(source), .offset = below(source, 10)};
    oncelog_producer_options_t options = {.struct_size = sizeof options, .transaction_buffer = below(source, 3000)};
    void *made = NULL;
    size_t count = make_records(source, records, headers);
    uint64_t number;
    bool known;
    options.transaction_timeout_ms = below(source, 60);
    switch (below(source, 12)) {
    case 0:
        seen(source, oncelog_transactional_producer_open(PICK(ENGINE), name(source), &options,
                                                         MADE(transactional_producer)));
        share(source, shared, TRANSACTIONAL, made);
        return;
    case 1:
    case 2:
        seen(source, oncelog_begin_transaction(PICK(TRANSACTIONAL), MADE(transaction)));
        share(source, shared, TRANSACTION, made);
        return;
    case 3:
        seen(source, oncelog_begin_transaction_for(PICK(TRANSACTIONAL), PICK(CONSUMER), MADE(transaction)));
        share(source, shared, TRANSACTION, made);
        return;
    case 4:
        if (count > 0 && below(source, 2))
            seen(source, oncelog_transaction_send(PICK(TRANSACTION), name(source), records));
        else if (count > 0)
            seen(source, oncelog_transaction_try_send(PICK(TRANSACTION), name(source), records, &known));
        break;
    case 5: seen(source, oncelog_transaction_send_many(PICK(TRANSACTION), name(source), records, count)); break;
    case 6: seen(source, oncelog_transaction_send_offsets(PICK(TRANSACTION), &group, &offset, below(source, 2))); break;
    case 7: seen(source, oncelog_transaction_send_position(PICK(TRANSACTION), below(source, 1000))); break;
    case 8: seen(source, oncelog_transaction_number(PICK(TRANSACTION), &number)); break;
    case 9: seen(source, oncelog_transaction_commit_ticket(PICK(TRANSACTION), MADE(ticket))); break;
    case 10: seen(source, oncelog_transaction_commit(PICK(TRANSACTION), NULL)); break;
    default:
        RARELY(below(source, 2) ? oncelog_transaction_abort(PICK(TRANSACTION))
                                : oncelog_transactional_producer_free(PICK(TRANSACTIONAL)));
        break;
    }
    share(source, shared, TICKET, made);
}

/* A raw identity and what it may do, in an order that often makes sense; other threads raise its epoch meanwhile. */
static void use_an_identity(struct source *source, struct shared *shared)
{
    oncelog_record_t records[RECORDS_MOST];
    oncelog_header_t headers[2];
    oncelog_group_metadata_t group = {.struct_size = sizeof group, .group = "g"};
    oncelog_offset_t offset = {.topic = name(source), .offset = below(source, 10)};
    oncelog_append_options_t options = {.struct_size = sizeof options, .identified = ONCELOG_YES};
    oncelog_engine_t *engine = PICK(ENGINE);
    void *made = NULL;
    size_t count = make_records(source, records, headers);
    seen(source, oncelog_init_producer(engine, name(source), 1000, NULL, &options.producer));
    options.transactional = below(source, 3);
    seen(source, oncelog_partition_append_ticket(PICK(PARTITION), records, count, &options, MADE(ticket)));
    share(source, shared, TICKET, made);
    if (below(source, 2))
        seen(source, oncelog_send_offsets(engine, &options.producer, &group, &offset, below(source, 2)));
    if (below(source, 4))
        seen(source, oncelog_end_transaction(engine, &options.producer, below(source, 4), &options.producer));
}

void call_raw(struct source *source, struct shared *shared)
{
    oncelog_identity_t identity = {below(source, 9), (int16_t)below(source, 3)};
    const oncelog_open_transaction_t *open = NULL;
    const oncelog_consumer_lag_t *lags = NULL;
    const oncelog_active_producer_t *active = NULL;
    void *made = NULL;
    size_t count = 0;
    uint32_t status;
    switch (below(source, 15)) {
    case 0:
    case 1: use_an_identity(source, shared); return;
    case 2:
        seen(source, oncelog_init_producer_ticket(PICK(ENGINE), name(source), below(source, 2000), &identity,
                                                  MADE(ticket)));
        break;
    case 3:
        seen(source, oncelog_end_transaction_ticket(PICK(ENGINE), &identity, below(source, 4), MADE(ticket)));
        break;
    case 4: seen(source, oncelog_abort_transaction_ticket(PICK(ENGINE), below(source, 3000), MADE(ticket))); break;
    case 5: seen(source, oncelog_transaction_status(PICK(ENGINE), below(source, 3000), &status)); break;
    case 6: seen(source, oncelog_transaction_status_ticket(PICK(ENGINE), below(source, 3000), MADE(ticket))); break;
    case 7:
        seen(source, oncelog_describe_transactions(PICK(ENGINE), (oncelog_open_transactions_t **)&made));
        share(source, shared, OPEN_TRANSACTIONS, made);
        return;
    case 8: seen(source, oncelog_open_transactions_get(PICK(OPEN_TRANSACTIONS), &open, &count)); break;
    case 9: RARELY(oncelog_open_transactions_free(PICK(OPEN_TRANSACTIONS))); break;
    case 10: seen(source, oncelog_consumer_lags_get(PICK(LAGS), &lags, &count)); break;
    case 11:
        seen(source, oncelog_partition_producers(PICK(PARTITION), (oncelog_active_producers_t **)&made));
        share(source, shared, ACTIVE, made);
        return;
    case 12: seen(source, oncelog_active_producers_get(PICK(ACTIVE), &active, &count)); break;
    case 13: RARELY(oncelog_active_producers_free(PICK(ACTIVE))); break;
    default: RARELY(oncelog_consumer_lags_free(PICK(LAGS))); break;
    }
    share(source, shared, TICKET, made);
}

/* The tickets of a consumer that answer a number, or only end. */
static void call_for_a_number(struct source *source, struct shared *shared)
{
    void *made = NULL;
    switch (below(source, 4)) {
    case 0: seen(source, oncelog_consumer_settle_ticket(PICK(CONSUMER), MADE(ticket))); break;
    case 1: seen(source, oncelog_consumer_committed_ticket(PICK(CONSUMER), name(source), 0, MADE(ticket))); break;
    case 2: seen(source, oncelog_consumer_position_ticket(PICK(CONSUMER), name(source), 0, MADE(ticket))); break;
    default: seen(source, oncelog_consumer_lag_ticket(PICK(CONSUMER), name(source), 0, MADE(ticket))); break;
    }
    share(source, shared, TICKET, made);
}

void call_consumer(struct source *source, struct shared *shared)
{
    oncelog_consumer_options_t options = {.struct_size = sizeof options, .start = below(source, 5)};
    oncelog_topic_partition_t names[2] = {{name(source), below(source, 2)}, {name(source), below(source, 2)}};
    oncelog_offset_t offset = {.topic = name(source), .offset = below(source, 10)};
    const oncelog_offset_t *offsets = NULL;
    void *made = NULL;
    size_t count = 0;
    uint64_t number;
    bool known;
    options.group = below(source, 3) ? "g" : name(source);
    options.max_records = below(source, 20);
    switch (below(source, 18)) {
    case 0:
        seen(source, oncelog_consumer_open(PICK(ENGINE), &options, MADE(consumer)));
        if (made != NULL)
            seen(source, oncelog_consumer_assign(made, names, 1));
        share(source, shared, CONSUMER, made);
        break;
    case 1: seen(source, oncelog_consumer_assign(PICK(CONSUMER), names, below(source, 3))); break;
    case 2:
    case 3:
        seen(source, oncelog_consumer_poll(PICK(CONSUMER), below(source, 2), MADE(records)));
        share(source, shared, RECORDS, made);
        break;
    case 4:
        seen(source, oncelog_consumer_seek(PICK(CONSUMER), name(source), below(source, 2), below(source, 9)));
        break;
    case 5: seen(source, oncelog_consumer_position(PICK(CONSUMER), name(source), 0, &number)); break;
    case 6:
        seen(source, oncelog_consumer_positions(PICK(CONSUMER), MADE(offsets)));
        share(source, shared, OFFSETS, made);
        break;
    case 7: seen(source, oncelog_offsets_get(PICK(OFFSETS), &offsets, &count)); break;
    case 8: seen(source, oncelog_consumer_committed(PICK(CONSUMER), name(source), 0, &number, &known)); break;
    case 9:
        seen(source, oncelog_consumer_commit_ticket(PICK(CONSUMER), MADE(ticket)));
        share(source, shared, TICKET, made);
        break;
    case 10: seen(source, oncelog_consumer_commit_offsets(PICK(CONSUMER), &offset, below(source, 2))); break;
    case 11: seen(source, oncelog_consumer_rewind(PICK(CONSUMER))); break;
    case 12: seen(source, oncelog_consumer_lag(PICK(CONSUMER), name(source), 0, &number)); break;
    case 13: call_for_a_number(source, shared); break;
    case 14:
        seen(source, oncelog_consumer_committed_offsets(PICK(CONSUMER), names, below(source, 3), MADE(offsets)));
        share(source, shared, OFFSETS, made);
        break;
    case 15:
        seen(source, oncelog_consumer_committed_offsets_ticket(PICK(CONSUMER), names, below(source, 3), MADE(ticket)));
        share(source, shared, TICKET, made);
        break;
    case 16:
        seen(source, oncelog_ticket_offsets(PICK(TICKET), MADE(offsets)));
        share(source, shared, OFFSETS, made);
        break;
    default: RARELY(oncelog_consumer_free(PICK(CONSUMER))); break;
    }
}

static void on_done(void *context, oncelog_ticket_t *ticket, const oncelog_error_t *error)
{
    oncelog_appended_t appended;
    bool done = false;
    CHECK((oncelog_error_code(error) == ONCELOG_OK) == (error == NULL));
    oncelog_error_free(oncelog_ticket_poll(ticket, &done));
    CHECK(done == (error == NULL));
    oncelog_error_free(oncelog_ticket_appended(ticket, &appended));
    atomic_fetch_add((atomic_ulong *)context, 1);
}

static void on_ready(void *context)
{
    atomic_fetch_add((atomic_ulong *)context, 1);
}

void call_ticket(struct source *source, struct shared *shared)
{
    oncelog_appended_t appended;
    const oncelog_appended_t *all = NULL;
    oncelog_committed_t committed;
    oncelog_identity_t identity;
    void *made = NULL;
    size_t count = 0;
    uint64_t number;
    uint32_t status;
    bool done;
    oncelog_fd_t fd;
    oncelog_done_fn callback = below(source, 16) ? on_done : NULL;
    switch (below(source, 17)) {
    case 0: seen(source, oncelog_ticket_wait(PICK(TICKET))); break;
    case 1: seen(source, oncelog_ticket_wait_for(PICK(TICKET), below(source, 3), &done)); break;
    case 2:
        seen(source, below(source, 2) ? oncelog_ticket_poll(PICK(TICKET), &done)
                                      : oncelog_ticket_lsn(PICK(TICKET), &number));
        break;
    case 3: seen(source, oncelog_ticket_appended(PICK(TICKET), &appended)); break;
    case 4: seen(source, oncelog_ticket_appended_many(PICK(TICKET), &all, &count)); break;
    case 5: seen(source, oncelog_ticket_committed(PICK(TICKET), &committed)); break;
    case 6:
        seen(source, oncelog_ticket_producer(PICK(TICKET), MADE(producer)));
        share(source, shared, PRODUCER, made);
        break;
    case 7: RARELY(oncelog_ticket_free(PICK(TICKET))); break;
    case 8:
        seen(source, oncelog_completions_open(PICK(ENGINE), MADE(completions)));
        share(source, shared, COMPLETIONS, made);
        break;
    case 9:
    case 10:
        seen(source, oncelog_completions_watch(PICK(COMPLETIONS), PICK(TICKET), callback, &shared->callbacks));
        break;
    case 11:
        seen(source, oncelog_completions_watch_consumer(PICK(COMPLETIONS), PICK(CONSUMER), on_ready,
                                                        &shared->callbacks));
        break;
    case 12: seen(source, oncelog_completions_drain(PICK(COMPLETIONS), &count)); break;
    case 13: seen(source, oncelog_ticket_identity(PICK(TICKET), &identity)); break;
    case 14: seen(source, oncelog_ticket_transaction_status(PICK(TICKET), &status)); break;
    case 15: seen(source, oncelog_ticket_offset(PICK(TICKET), &number, &done)); break;
    default:
        RARELY(below(source, 2) ? oncelog_completions_fd(PICK(COMPLETIONS), &fd)
                                : oncelog_completions_free(PICK(COMPLETIONS)));
        break;
    }
}

void call_records(struct source *source, struct shared *shared)
{
    const oncelog_record_view_t *views = NULL;
    oncelog_records_t *own = NULL;
    size_t count = 0;
    uint64_t number, sum = 0;
    oncelog_place_t place;
    void *made = NULL;
    bool known;
    switch (below(source, 7)) {
    case 0: /* the views are not read: others may free them */
        seen(source, below(source, 8) ? oncelog_records_next(PICK(RECORDS), &views, &count)
                                      : oncelog_records_rewind(PICK(RECORDS)));
        return;
    case 1:
        seen(source, below(source, 2) ? oncelog_records_count(PICK(RECORDS), &number)
                                      : oncelog_records_bytes(PICK(RECORDS), &count));
        return;
    case 2: seen(source, oncelog_records_next_offset(PICK(RECORDS), name(source), 0, &number, &known)); return;
    case 3: seen(source, oncelog_records_next_place(PICK(RECORDS), name(source), 0, &place, &known)); return;
    case 4: RARELY(oncelog_records_free(PICK(RECORDS))); return;
    case 5:
        seen(source, oncelog_records_next_offsets(PICK(RECORDS), MADE(offsets)));
        share(source, shared, OFFSETS, made);
        return;
    default: break;
    }
    /* One that is nobody else's: read to the end, every byte. */
    seen(source, oncelog_partition_read(PICK(PARTITION), 0, NULL, &own));
    if (own == NULL)
        return;
    for (int most = 0; most < 20; most++) {
        oncelog_header_view_t headers[2];
        seen(source, oncelog_records_next(own, &views, &count));
        for (size_t i = 0; i < count; i++) {
            for (size_t at = 0; at < views[i].value_size; at++)
                sum += ((const unsigned char *)views[i].value)[at];
            CHECK(views[i].header_count <= 2);
            OK(oncelog_records_headers(own, &views[i], headers, 2));
            sum += strlen(views[i].topic) + (views[i].header_count ? headers[0].key_size : 0);
        }
        if (count == 0)
            break;
    }
    CHECK(sum < UINT64_MAX);
    OK(oncelog_records_free(own));
}
