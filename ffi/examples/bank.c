/* The bank's loader and worker: programs that are killed at any moment, started again, and do each line exactly once.
 *
 *     bank <log> <exactly-once | at-least-once | at-most-once> <loader | worker> <csv>
 *
 * The loader sends every line of the file with its number as position; after a crash it asks the log where it stood.
 * The worker reads the lines, transforms them and writes the results: three times the same job, and the only difference
 * is when the offsets are committed. Both tell their parent, a line each, how far they are. */
#include <inttypes.h>

#include "bank_row.h"
#include "check.h"

/* Lines between two flushes of the loader, lines that it sends again after every restart, lines in one transaction. */
enum { GROUP = 100, RESENT = 100, ROWS = 50, PARTITIONS = 4 };

static void die(const char *reason)
{
    fprintf(stderr, "bank: %s\n", reason);
    exit(EXIT_FAILURE);
}

/* Tells the parent, at once. */
static void say(const char *word, uint64_t n)
{
    printf("%s %" PRIu64 "\n", word, n);
    fflush(stdout);
}

/* Half of a group is done: waits for leave to do the rest. The parent may kill here instead. */
static void half(uint64_t n)
{
    char answer[16];
    say("half", n);
    if (fgets(answer, sizeof answer, stdin) == NULL)
        die("the parent is gone");
}

/* ---- The loader ---- */

struct line {
    const char *start;
    size_t size;
};

/* The file's lines; line n is at n - 1. They live as long as the program. */
static size_t read_lines(const char *path, struct line **lines)
{
    FILE *file = fopen(path, "rb");
    if (file == NULL || fseek(file, 0, SEEK_END) != 0)
        die("the csv file cannot be opened");
    size_t size = (size_t)ftell(file), count = 0, start = 0;
    char *text = malloc(size + 1);
    rewind(file);
    if (text == NULL || fread(text, 1, size, file) != size)
        die("the csv file cannot be read");
    fclose(file);
    for (size_t at = 0; at < size; at++)
        count += text[at] == '\n';
    *lines = calloc(count + 1, sizeof **lines);
    if (*lines == NULL)
        die("no memory for the lines");
    for (size_t n = 0, at = 0; at < size; at++) {
        if (text[at] == '\n') {
            (*lines)[n++] = (struct line){text + start, at - start};
            start = at + 1;
        }
    }
    return count;
}

/* Sends some lines and waits until they are on the device. Answers how many the log already had. */
static uint64_t send_lines(oncelog_producer_t *producer, const struct line *lines, size_t from, size_t to, bool pause)
{
    oncelog_ticket_t *tickets[GROUP];
    uint64_t refused = 0;
    for (size_t i = from; i < to; i++) {
        oncelog_record_t record = {.value = lines[i].start, .value_size = lines[i].size};
        const char *key;
        if (key_of(lines[i].start, lines[i].size, &key, &record.key_size))
            record.key = key;
        else
            record.key_size = 0;
        record.fields = ONCELOG_RECORD_POSITION;
        record.position = i + 1;
        check(oncelog_producer_send(producer, "transactions", &record, &tickets[i - from]));
    }
    if (pause)
        half(to);
    check(oncelog_producer_flush(producer));
    for (size_t i = from; i < to; i++) {
        oncelog_appended_t appended;
        check(oncelog_ticket_wait(tickets[i - from]));
        check(oncelog_ticket_appended(tickets[i - from], &appended));
        check(oncelog_ticket_free(tickets[i - from]));
        refused += appended.duplicate;
    }
    return refused;
}

static void load(oncelog_engine_t *engine, const char *csv)
{
    oncelog_producer_options_t options = {.struct_size = sizeof options, .name = "loader"};
    oncelog_producer_t *producer;
    struct line *lines;
    uint64_t done;
    bool known;
    size_t count = read_lines(csv, &lines);
    check(oncelog_producer_open(engine, &options, &producer));
    check(oncelog_producer_position(producer, &done, &known));
    say("ready", done);
    if (done > 0) {
        size_t first = done > RESENT ? done - RESENT : 0;
        uint64_t refused = send_lines(producer, lines, first, done, false);
        printf("resent %" PRIu64 " %" PRIu64 "\n", refused, (uint64_t)(done - first));
    }
    while (done < count) {
        size_t end = count - done > GROUP ? done + GROUP : count;
        say("begin", end);
        if (send_lines(producer, lines, done, end, true) > 0)
            die("lines behind the position were refused as duplicates");
        say("committed", end);
        done = end;
    }
    check(oncelog_producer_free(producer));
}

/* ---- The worker ---- */

/* Where results go: into a transaction, or out at once. */
struct output {
    oncelog_transaction_t *transaction;
    oncelog_producer_t *producer;
};

static void send(const struct output *output, const char *topic, const oncelog_record_t *record)
{
    check(output->transaction != NULL ? oncelog_transaction_send(output->transaction, topic, record)
                                      : oncelog_producer_send(output->producer, topic, record, NULL));
}

/* A line becomes a posting, and a message if it is a transfer to another bank; or a dead letter that says why not. */
static void transform(const oncelog_record_view_t *view, const struct output *output)
{
    struct row row;
    char key[24], text[400];
    const char *reason = parse_row(view->value, view->value_size, &row);
    if (reason != NULL) {
        oncelog_header_t header = {"reason", reason, strlen(reason)};
        oncelog_record_t letter = {.value = view->value, .value_size = view->value_size};
        letter.headers = &header;
        letter.header_count = 1;
        send(output, "transactions.dlt", &letter);
        return;
    }
    snprintf(key, sizeof key, "%" PRIu64, row.account);
    snprintf(text, sizeof text, "%" PRIu64 ";%" PRIu64 ";%" PRId64, row.trans_id, row.account, row.amount);
    oncelog_record_t posting = record_of(text);
    posting.key = key;
    posting.key_size = strlen(key);
    send(output, "ledger", &posting);
    if (row.transfer) {
        snprintf(text, sizeof text, "%" PRIu64 ";%" PRIu64 ";%" PRId64 ";%.*s;%.*s", row.trans_id, row.account,
                 -row.amount, row.bank_size, row.bank, row.other_size, row.other);
        posting.value_size = strlen(text);
        send(output, "transfers", &posting);
    }
}

static void transform_all(oncelog_records_t *records, const struct output *output)
{
    const oncelog_record_view_t *views;
    size_t n;
    for (check(oncelog_records_next(records, &views, &n)); n > 0; check(oncelog_records_next(records, &views, &n)))
        for (size_t i = 0; i < n; i++)
            transform(&views[i], output);
    check(oncelog_records_free(records));
    if (output->producer != NULL)
        check(oncelog_producer_flush(output->producer)); /* until all of it is on the device */
}

/* Lines read so far: offsets have no holes, so the positions count them. And lines still to read. */
static uint64_t done_of(oncelog_consumer_t *consumer)
{
    uint64_t all = 0, position;
    for (uint32_t partition = 0; partition < PARTITIONS; partition++, all += position)
        check(oncelog_consumer_position(consumer, "transactions", partition, &position));
    return all;
}

static uint64_t lag_of(oncelog_consumer_t *consumer)
{
    uint64_t all = 0, lag;
    for (uint32_t partition = 0; partition < PARTITIONS; partition++, all += lag)
        check(oncelog_consumer_lag(consumer, "transactions", partition, &lag));
    return all;
}

/* One transaction holds the results and the offsets: a crash leaves both or neither. Begun for the consumer, it also
 * puts the consumer back to where it stood when it aborts. */
static void exactly_once(oncelog_engine_t *engine, oncelog_consumer_t *consumer)
{
    oncelog_transactional_producer_t *producer;
    oncelog_records_t *records;
    check(oncelog_transactional_producer_open(engine, "bank-worker", NULL, &producer));
    while (lag_of(consumer) > 0) {
        struct output output = {NULL, NULL};
        check(oncelog_begin_transaction_for(producer, consumer, &output.transaction));
        check(oncelog_consumer_poll(consumer, 1000, &records));
        uint64_t group = done_of(consumer);
        say("begin", group);
        transform_all(records, &output);
        half(group);
        check(oncelog_transaction_commit(output.transaction, NULL));
        say("committed", group);
    }
    check(oncelog_transactional_producer_free(producer));
}

/* Offsets after the results: killed between the two, the next life does the same lines again. Offsets before them: the
 * next life never sees these lines. */
static void not_exactly_once(oncelog_engine_t *engine, oncelog_consumer_t *consumer, bool offsets_first)
{
    struct output output = {NULL, NULL};
    oncelog_records_t *records;
    check(oncelog_producer_open(engine, NULL, &output.producer));
    while (lag_of(consumer) > 0) {
        check(oncelog_consumer_poll(consumer, 1000, &records));
        uint64_t group = done_of(consumer);
        say("begin", group);
        if (offsets_first)
            check(oncelog_consumer_commit(consumer));
        else
            transform_all(records, &output);
        half(group);
        if (offsets_first)
            transform_all(records, &output);
        else
            check(oncelog_consumer_commit(consumer));
        say("committed", group);
    }
    check(oncelog_producer_free(output.producer));
}

static void work(oncelog_engine_t *engine, const char *delivery)
{
    oncelog_consumer_options_t options = {.struct_size = sizeof options, .group = "bank", .max_records = ROWS};
    oncelog_topic_partition_t input[PARTITIONS];
    oncelog_consumer_t *consumer;
    for (uint32_t partition = 0; partition < PARTITIONS; partition++)
        input[partition] = (oncelog_topic_partition_t){"transactions", partition};
    check(oncelog_consumer_open(engine, &options, &consumer));
    check(oncelog_consumer_assign(consumer, input, PARTITIONS));
    say("ready", done_of(consumer));
    if (strcmp(delivery, "exactly-once") == 0)
        exactly_once(engine, consumer);
    else
        not_exactly_once(engine, consumer, strcmp(delivery, "at-most-once") == 0);
    check(oncelog_consumer_free(consumer));
}

int main(int count, char **arguments)
{
    oncelog_engine_t *engine;
    if (count != 5)
        die("give the log, the delivery, loader or worker, and the csv file");
    printf("opening\n");
    fflush(stdout);
    check(oncelog_open(arguments[1], NULL, &engine));
    if (strcmp(arguments[3], "loader") == 0)
        load(engine, arguments[4]);
    else
        work(engine, arguments[2]);
    check(oncelog_engine_close(engine));
    printf("done\n");
    return 0;
}
