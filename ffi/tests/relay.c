/* C's part in the relay, where programs in every language take turns on one directory; see core/examples/relay.rs.
 *     relay <directory> turn <n>
 *     relay <directory> dump */
#include <inttypes.h>

#include "check.h"

static const uint32_t PARTITIONS = 3;

static oncelog_appended_t send(oncelog_producer_t *producer, const oncelog_record_t *record)
{
    oncelog_ticket_t *ticket = NULL;
    oncelog_appended_t appended;
    OK(oncelog_producer_send(producer, "baton", record, &ticket));
    OK(oncelog_ticket_wait(ticket));
    OK(oncelog_ticket_appended(ticket, &appended));
    OK(oncelog_ticket_free(ticket));
    return appended;
}

/* The named producer stands where the turn before left it; what that sent is a duplicate; one record is new. */
static void produce(oncelog_engine_t *engine, uint64_t n)
{
    oncelog_producer_options_t options = {.struct_size = sizeof options, .name = "relay"};
    oncelog_producer_t *producer = NULL;
    oncelog_header_t headers[] = {{"language", "c", 1}, {"none", NULL, 0}};
    char value[100], key[40];
    uint64_t position = 0;
    bool known = false;
    OK(oncelog_producer_open(engine, &options, &producer));
    OK(oncelog_producer_position(producer, &position, &known));
    CHECK(known == (n > 0) && (n == 0 || position == n - 1));
    oncelog_record_t again = text_record("again");
    again.fields = ONCELOG_RECORD_POSITION;
    again.position = n - 1;
    CHECK(n == 0 || send(producer, &again).duplicate);

    int size = snprintf(value, sizeof value - 3, "turn %" PRIu64 " by c, größer ", n);
    value[size++] = 0;
    value[size++] = (char)255;
    value[size++] = (char)(n % 256);
    snprintf(key, sizeof key, "key %" PRIu64, n % 7);
    oncelog_record_t record = keyed_record(key, "");
    record.value = n % 4 == 3 ? NULL : value;
    record.value_size = n % 4 == 3 ? 0 : (size_t)size;
    record.headers = headers;
    record.header_count = 2;
    record.fields = ONCELOG_RECORD_POSITION | ONCELOG_RECORD_TIMESTAMP;
    record.position = n;
    record.timestamp = 1700000000000 + (int64_t)n;
    CHECK(!send(producer, &record).duplicate);
    OK(oncelog_producer_free(producer));
}

static oncelog_consumer_t *consumer_of(oncelog_engine_t *engine)
{
    oncelog_consumer_options_t options = {.struct_size = sizeof options, .group = "relay"};
    oncelog_topic_partition_t names[3] = {{"baton", 0}, {"baton", 1}, {"baton", 2}};
    oncelog_consumer_t *consumer = NULL;
    OK(oncelog_consumer_open(engine, &options, &consumer));
    OK(oncelog_consumer_assign(consumer, names, PARTITIONS));
    return consumer;
}

/* The group reads exactly the record of this turn, and writes what it saw together with its offsets. */
static void consume(oncelog_engine_t *engine, uint64_t n)
{
    oncelog_transactional_producer_t *producer = NULL;
    oncelog_transaction_t *transaction = NULL;
    oncelog_records_t *records = NULL;
    const oncelog_record_view_t *views = NULL;
    size_t count = 0;
    oncelog_consumer_t *consumer = consumer_of(engine);
    OK(oncelog_transactional_producer_open(engine, "relay-transactions", NULL, &producer));
    OK(oncelog_begin_transaction_for(producer, consumer, &transaction));
    OK(oncelog_consumer_poll(consumer, 5000, &records));
    OK(oncelog_records_next(records, &views, &count));
    CHECK(count == 1);
    char saw[60];
    snprintf(saw, sizeof saw, "c saw %" PRIu32 "@%" PRIu64, views[0].partition, views[0].offset);
    oncelog_record_t record = text_record(saw);
    record.key = views[0].key != NULL ? views[0].key : "";
    record.key_size = views[0].key_size;
    record.fields = ONCELOG_RECORD_TIMESTAMP;
    record.timestamp = 1800000000000 + (int64_t)n;
    OK(oncelog_transaction_send(transaction, "seen", &record));
    OK(oncelog_records_next(records, &views, &count));
    CHECK(count == 0);
    OK(oncelog_transaction_commit(transaction, NULL));
    OK(oncelog_records_free(records));
    OK(oncelog_transactional_producer_free(producer));
    OK(oncelog_consumer_free(consumer));
}

static void print_hex(const void *bytes, size_t size)
{
    fputs(bytes != NULL ? "x" : "-", stdout);
    for (size_t i = 0; i < size; i++)
        printf("%02x", ((const unsigned char *)bytes)[i]);
}

static void print_record(oncelog_records_t *records, const oncelog_record_view_t *view)
{
    oncelog_header_view_t headers[16];
    printf("%s %" PRIu32 " %" PRIu64 " %" PRId64 " ", view->topic, view->partition, view->offset, view->timestamp);
    print_hex(view->key, view->key_size);
    fputs(" ", stdout);
    print_hex(view->value, view->value_size);
    OK(oncelog_records_headers(records, view, headers, 16));
    for (uint32_t i = 0; i < view->header_count; i++) {
        printf(" %.*s=", (int)headers[i].key_size, headers[i].key);
        print_hex(headers[i].value, headers[i].value_size);
    }
    fputs("\n", stdout);
}

static void print_partition(oncelog_engine_t *engine, const char *topic, uint32_t number)
{
    oncelog_partition_t *partition = NULL;
    oncelog_bounds_t bounds;
    uint64_t next = 0;
    bool known = false;
    OK(oncelog_partition_open(engine, topic, number, &partition));
    OK(oncelog_partition_bounds(partition, &bounds));
    while (next < bounds.end) {
        oncelog_records_t *records = NULL;
        const oncelog_record_view_t *views = NULL;
        size_t count = 1;
        OK(oncelog_partition_read(partition, next, NULL, &records));
        while (count > 0) {
            OK(oncelog_records_next(records, &views, &count));
            for (size_t i = 0; i < count; i++)
                print_record(records, &views[i]);
        }
        OK(oncelog_records_next_offset(records, topic, number, &next, &known));
        CHECK(known);
        OK(oncelog_records_free(records));
    }
    OK(oncelog_partition_free(partition));
}

static void dump(const char *directory)
{
    oncelog_engine_options_t options = {.struct_size = sizeof options, .read_only = ONCELOG_YES};
    oncelog_engine_t *engine = NULL;
    OK(oncelog_open(directory, &options, &engine));
    for (uint32_t number = 0; number < PARTITIONS; number++)
        print_partition(engine, "baton", number);
    print_partition(engine, "seen", 0);
    oncelog_consumer_t *consumer = consumer_of(engine);
    for (uint32_t number = 0; number < PARTITIONS; number++) {
        uint64_t offset = 0;
        bool known = false;
        OK(oncelog_consumer_committed(consumer, "baton", number, &offset, &known));
        printf("committed baton %" PRIu32 " ", number);
        if (known)
            printf("%" PRIu64 "\n", offset);
        else
            printf("-\n");
    }
    OK(oncelog_consumer_free(consumer));
    OK(oncelog_engine_close(engine));
}

int main(int count, char **arguments)
{
    if (count == 3 && strcmp(arguments[2], "dump") == 0) {
        dump(arguments[1]);
        return 0;
    }
    CHECK(count == 4 && strcmp(arguments[2], "turn") == 0);
    uint64_t n = strtoull(arguments[3], NULL, 10);
    oncelog_engine_t *engine = NULL;
    OK(oncelog_open(arguments[1], NULL, &engine));
    produce(engine, n);
    consume(engine, n);
    OK(oncelog_engine_close(engine));
    return 0;
}
