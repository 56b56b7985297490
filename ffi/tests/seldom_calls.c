/* Of the calls of calls.h those that are made seldom: batches as clients encode them, questions without a log, and the
 * other form of what calls.c calls with a ticket or without one. */
#include "calls.h"
#include "ready_batch.h"

/* A batch that is well made, wrong in a byte, or wrong and sealed again. */
static void call_with_a_batch(struct source *source, struct shared *shared)
{
    unsigned char batch[sizeof BATCH];
    oncelog_batch_header_t header;
    void *made = NULL;
    size_t size = sizeof batch - (below(source, 8) == 0 ? below(source, sizeof batch) : 0);
    memcpy(batch, BATCH, sizeof batch);
    seal(batch, sizeof batch);
    if (below(source, 4) == 0)
        batch[below(source, sizeof batch)] ^= 1 << below(source, 8);
    if (below(source, 4) == 0)
        seal(batch, sizeof batch);
    switch (below(source, 3)) {
    case 0: seen(source, oncelog_batch_header(batch, size, &header)); break;
    case 1: seen(source, oncelog_partition_append_batch(PICK(PARTITION), batch, size, NULL, NULL)); break;
    default:
        seen(source, oncelog_batch_records(batch, size, below(source, 16) ? MADE(records) : NULL));
        share(source, shared, RECORDS, made);
        break;
    }
}

/* Bounds that may come in any order, counts of any size, shares that are no number. */
static void ask_a_histogram(struct source *source)
{
    oncelog_histogram_t histogram;
    uint64_t value;
    bool known;
    for (size_t i = 0; i < sizeof histogram / sizeof(uint64_t); i++) {
        uint64_t number = next_number(source);
        memcpy((char *)&histogram + i * sizeof number, &number, sizeof number);
    }
    double share = below(source, 8) ? below(source, 1200) / 1000.0 : (double)next_number(source) * -1e300 * 1e300;
    seen(source, oncelog_histogram_quantile(below(source, 8) ? &histogram : NULL, share, &value, &known));
}

static void call_without_a_log(struct source *source, struct shared *shared)
{
    bool known;
    switch (below(source, 5)) {
    case 0: ask_a_histogram(source); break;
    case 1: {
        oncelog_error_code_t code = oncelog_error_code_from_kafka((int16_t)next_number(source));
        CHECK(code != ONCELOG_ERROR_PANIC);
        break;
    }
    case 2:
        CHECK(oncelog_version_number() == ONCELOG_VERSION_NUMBER && oncelog_version_string()[0] == '0');
        (void)oncelog_error_kafka_code(PICK(TICKET));
        break;
    case 3:
        seen(source, oncelog_compression_is_available(below(source, 7), below(source, 8) ? &known : NULL));
        break;
    default: call_with_a_batch(source, shared); break;
    }
}

/* What waits. */
static void call_and_wait(struct source *source, struct shared *shared)
{
    oncelog_identity_t identity = {below(source, 9), (int16_t)below(source, 3)};
    oncelog_group_metadata_t group = {.struct_size = sizeof group, .group = name(source)};
    oncelog_offset_t offset = {.topic = name(source), .offset = below(source, 10)};
    size_t bytes = (size_t)below(source, 9) << below(source, 32);
    bool room;
    switch (below(source, 8)) {
    case 0: seen(source, oncelog_flush(PICK(ENGINE))); break;
    case 1: seen(source, oncelog_wait_durable(PICK(ENGINE), below(source, 99))); break;
    case 2: seen(source, oncelog_producer_flush(PICK(PRODUCER))); break;
    case 3: seen(source, oncelog_consumer_commit(PICK(CONSUMER))); break;
    case 4: seen(source, oncelog_abort_transaction(PICK(ENGINE), below(source, 3000))); break;
    case 5: seen(source, oncelog_transaction_free(PICK(TRANSACTION))); break;
    case 6:
        seen(source, oncelog_send_offsets(PICK(ENGINE), &identity, &group, &offset, below(source, 2)));
        break;
    default:
        seen(source, oncelog_has_room(PICK(ENGINE), bytes, below(source, 8) ? &room : NULL));
        break;
    }
}

/* What a ticket answers. */
static void call_with_a_ticket(struct source *source, struct shared *shared)
{
    oncelog_producer_options_t options = {.struct_size = sizeof options, .linger_ms = ONCELOG_LINGER_NONE};
    oncelog_identity_t identity = {below(source, 9), (int16_t)below(source, 3)};
    oncelog_group_metadata_t group = {.struct_size = sizeof group, .group = name(source)};
    oncelog_offset_t offset = {.topic = name(source), .offset = below(source, 10)};
    oncelog_engine_t *engine = PICK(ENGINE);
    unsigned many = below(source, 2);
    void *made = NULL;
    switch (below(source, 7)) {
    case 0: seen(source, oncelog_add_partitions_ticket(engine, name(source), below(source, 6), MADE(ticket))); break;
    case 1:
        if (below(source, 64) == 0)
            seen(source, oncelog_delete_topic_ticket(engine, name(source), MADE(ticket)));
        break;
    case 2: seen(source, oncelog_delete_producer_ticket(engine, name(source), MADE(ticket))); break;
    case 3:
        seen(source, oncelog_send_offsets_ticket(engine, &identity, &group, &offset, many, MADE(ticket)));
        break;
    case 4:
        seen(source, oncelog_consumer_commit_offsets_ticket(PICK(CONSUMER), &offset, many, MADE(ticket)));
        break;
    case 5:
        seen(source, oncelog_transactional_producer_open_ticket(engine, name(source), &options, MADE(ticket)));
        break;
    default:
        seen(source, oncelog_ticket_transactional_producer(PICK(TICKET), MADE(transactional_producer)));
        share(source, shared, TRANSACTIONAL, made);
        return;
    }
    share(source, shared, TICKET, made);
}

/* What handles know of themselves. What is borrowed of them is not read: others may free them. */
static void ask_a_handle(struct source *source, struct shared *shared)
{
    oncelog_group_metadata_t group = {.struct_size = sizeof group};
    oncelog_bounds_t bounds;
    const char *text;
    uint64_t number;
    uint32_t partition;
    bool known;
    switch (below(source, 6)) {
    case 0: seen(source, oncelog_partition_topic(PICK(PARTITION), below(source, 8) ? &text : NULL)); break;
    case 1: seen(source, oncelog_partition_number(PICK(PARTITION), &partition)); break;
    case 2: seen(source, oncelog_consumer_bounds(PICK(CONSUMER), name(source), below(source, 2), &bounds)); break;
    case 3: seen(source, oncelog_consumer_group_metadata(PICK(CONSUMER), below(source, 8) ? &group : NULL)); break;
    case 4: seen(source, oncelog_transactional_producer_position(PICK(TRANSACTIONAL), &number, &known)); break;
    default: RARELY(oncelog_offsets_free(PICK(OFFSETS))); break;
    }
}

void call_seldom(struct source *source, struct shared *shared)
{
    switch (below(source, 4)) {
    case 0: call_without_a_log(source, shared); break;
    case 1: call_and_wait(source, shared); break;
    case 2: call_with_a_ticket(source, shared); break;
    default: ask_a_handle(source, shared); break;
    }
}
