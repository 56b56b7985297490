/* What a broker does for its clients: identities, batches with sequences, and transactions that it keeps itself. */
#include "check.h"

/* Appends what a client sent; says whether it was there already. */
static bool append(const oncelog_partition_t *orders, oncelog_identity_t client, int32_t sequence)
{
    oncelog_append_options_t options = {.struct_size = sizeof options,
                                        .identified = ONCELOG_YES,
                                        .producer = client,
                                        .base_sequence = sequence,
                                        .transactional = ONCELOG_YES,
                                        .compression = ONCELOG_COMPRESSION_LZ4};
    oncelog_record_t batch[] = {record_of("3 apples"), record_of("1 pear")};
    oncelog_appended_t appended;
    check(oncelog_partition_append(orders, batch, 2, &options, &appended));
    return appended.duplicate;
}

int main(int count, char **arguments)
{
    /* Its clients outlive it: what they have open stays open when the log is opened again. */
    oncelog_engine_options_t keep = {.struct_size = sizeof keep, .keep_raw_transactions = ONCELOG_YES};
    oncelog_engine_t *engine;
    oncelog_partition_t *orders;
    check(oncelog_open(directory(count, arguments), &keep, &engine));
    check(oncelog_create_topic(engine, "orders", NULL));
    check(oncelog_partition_open(engine, "orders", 0, &orders));

    oncelog_identity_t client, next;
    check(oncelog_init_producer(engine, "shop", 60000, NULL, &client));
    append(orders, client, 0); /* begins the transaction; sequences begin at 0 in each */
    /* The client did not hear of it and sends the batch again. */
    printf("sent again: %s\n", append(orders, client, 0) ? "a duplicate" : "written");
    oncelog_group_metadata_t group = {.struct_size = sizeof group, .group = "billing"};
    oncelog_offset_t read = {.topic = "orders", .partition = 0, .offset = 2};
    check(oncelog_send_offsets(engine, &client, &group, &read, 1));

    /* Who holds readers back, and since when. */
    oncelog_open_transactions_t *list;
    const oncelog_open_transaction_t *open;
    size_t n;
    check(oncelog_describe_transactions(engine, &list));
    check(oncelog_open_transactions_get(list, &open, &n));
    uint64_t number = open[0].number;
    printf("%d open: %s, in %d partition\n", (int)n, open[0].transactional_id, (int)open[0].partition_count);
    check(oncelog_open_transactions_free(list));
    /* The same from the partition's side, with what the client sent last. */
    oncelog_active_producers_t *producers;
    const oncelog_active_producer_t *active;
    check(oncelog_partition_producers(orders, &producers));
    check(oncelog_active_producers_get(producers, &active, &n));
    printf("%d active: up to sequence %d, since offset %d\n", (int)n, (int)active[0].last_sequence,
           (int)active[0].transaction_start_offset);
    check(oncelog_active_producers_free(producers));

    check(oncelog_end_transaction(engine, &client, ONCELOG_OUTCOME_COMMIT, &next));
    uint32_t status;
    oncelog_bounds_t bounds;
    check(oncelog_transaction_status(engine, number, &status));
    check(oncelog_partition_bounds(orders, &bounds));
    printf("%s: %d orders, epoch %d, then %d\n", status == ONCELOG_TRANSACTION_COMMITTED ? "committed" : "lost",
           (int)bounds.stable, client.epoch, next.epoch);

    check(oncelog_partition_free(orders));
    check(oncelog_engine_close(engine));
    return 0;
}
