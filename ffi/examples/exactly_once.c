/* Read, transform, write: results and offsets are committed together, or not at all. */
#include "check.h"

static void send_invoices(oncelog_transaction_t *transaction, oncelog_records_t *orders)
{
    const oncelog_record_view_t *views;
    size_t n;
    for (check(oncelog_records_next(orders, &views, &n)); n > 0; check(oncelog_records_next(orders, &views, &n))) {
        for (size_t i = 0; i < n; i++) {
            char invoice[100];
            snprintf(invoice, sizeof invoice, "invoice for %.*s", (int)views[i].value_size,
                     (const char *)views[i].value);
            oncelog_record_t record = record_of(invoice);
            check(oncelog_transaction_send(transaction, "invoices", &record));
        }
    }
}

int main(int count, char **arguments)
{
    oncelog_engine_t *engine;
    oncelog_producer_t *shop;
    oncelog_consumer_t *consumer;
    oncelog_transactional_producer_t *producer;
    oncelog_record_t order = record_of("3 apples");
    check(oncelog_open(directory(count, arguments), NULL, &engine));
    check(oncelog_create_topic(engine, "orders", NULL));
    check(oncelog_create_topic(engine, "invoices", NULL));
    check(oncelog_producer_open(engine, NULL, &shop));
    check(oncelog_producer_send(shop, "orders", &order, NULL));
    check(oncelog_producer_flush(shop));

    oncelog_consumer_options_t options = {.struct_size = sizeof options, .group = "billing"};
    oncelog_topic_partition_t orders = {.topic = "orders", .partition = 0};
    check(oncelog_consumer_open(engine, &options, &consumer));
    check(oncelog_consumer_assign(consumer, &orders, 1));
    check(oncelog_transactional_producer_open(engine, "billing-1", NULL, &producer));

    /* The first attempt is given up: freeing the transaction aborts it and puts the consumer back. */
    for (int attempt = 0; attempt < 2; attempt++) {
        oncelog_transaction_t *transaction;
        oncelog_records_t *records;
        oncelog_bounds_t invoices;
        uint64_t committed;
        bool known;
        check(oncelog_begin_transaction_for(producer, consumer, &transaction));
        check(oncelog_consumer_poll(consumer, 1000, &records));
        send_invoices(transaction, records);
        check(oncelog_records_free(records));
        check(attempt == 0 ? oncelog_transaction_free(transaction) : oncelog_transaction_commit(transaction, NULL));
        check(oncelog_consumer_bounds(consumer, "invoices", 0, &invoices));
        check(oncelog_consumer_committed(consumer, "orders", 0, &committed, &known));
        printf("%s: %d invoices, offset committed: %d\n", attempt == 0 ? "given up" : "committed", (int)invoices.end,
               (int)committed);
    }
    check(oncelog_engine_close(engine));
    check(oncelog_producer_free(shop));
    check(oncelog_consumer_free(consumer));
    check(oncelog_transactional_producer_free(producer));
    return 0;
}
