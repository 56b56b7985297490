/* A forked child is told, harms nothing, and may open the log once its parent has closed it. */
#include <sys/syscall.h>

#include "busy.h"

/* The library's flushes wait while this is set. */
static int flushes_hang;

int fdatasync(int file)
{
    while (__atomic_load_n(&flushes_hang, __ATOMIC_SEQ_CST))
        usleep(1000);
    return (int)syscall(SYS_fdatasync, file);
}

static void raw_calls_answer_forked(const oncelog_engine_t *engine, const oncelog_partition_t *partition)
{
    oncelog_identity_t identity = {0};
    oncelog_group_metadata_t group = {.struct_size = sizeof group, .group = "g"};
    oncelog_open_transactions_t *open = NULL;
    oncelog_active_producers_t *active = NULL;
    oncelog_ticket_t *ticket = NULL;
    uint64_t offset = 0;
    int64_t timestamp = 0;
    uint32_t status = 0;
    bool known = false;
    FAILS(FORKED, oncelog_partition_offset_at(partition, 0, ONCELOG_DEFAULT, &offset, &known));
    FAILS(FORKED, oncelog_partition_max_timestamp(partition, ONCELOG_DEFAULT, &offset, &timestamp, &known));
    FAILS(FORKED, oncelog_init_producer(engine, "raw", 1000, NULL, &identity));
    FAILS(FORKED, oncelog_init_producer_ticket(engine, "raw", 1000, NULL, &ticket));
    FAILS(FORKED, oncelog_send_offsets(engine, &identity, &group, NULL, 0));
    FAILS(FORKED, oncelog_end_transaction(engine, &identity, ONCELOG_OUTCOME_ABORT, &identity));
    FAILS(FORKED, oncelog_abort_transaction(engine, 1));
    FAILS(FORKED, oncelog_transaction_status(engine, 1, &status));
    FAILS(FORKED, oncelog_describe_transactions(engine, &open));
    FAILS(FORKED, oncelog_partition_producers(partition, &active));
}

static void child(oncelog_engine_t *engine, oncelog_partition_t *partition, oncelog_producer_t *producer,
                  oncelog_transaction_t *transaction, oncelog_consumer_t *consumer, oncelog_records_t *read,
                  oncelog_ticket_t *ticket)
{
    oncelog_record_t record = text_record("child");
    oncelog_records_t *records = NULL;
    const oncelog_record_view_t *views = NULL;
    size_t count = 0;
    FAILS(FORKED, oncelog_create_topic(engine, "u", NULL));
    FAILS(FORKED, oncelog_partition_append(partition, &record, 1, NULL, NULL));
    FAILS(FORKED, oncelog_partition_read(partition, 0, NULL, &records));
    FAILS(FORKED, oncelog_producer_send(producer, "t", &record, NULL));
    FAILS(FORKED, oncelog_producer_flush(producer));
    FAILS(FORKED, oncelog_transaction_send(transaction, "t", &record));
    FAILS(FORKED, oncelog_consumer_poll(consumer, ONCELOG_FOREVER, &records));
    FAILS(FORKED, oncelog_ticket_wait(ticket));
    raw_calls_answer_forked(engine, partition);
    OK(oncelog_records_next(read, &views, &count)); /* what was read before is the child's too */
    CHECK(count == 1 && holds(&views[0], "before"));
    FAILS(FORKED, oncelog_transaction_commit(transaction, NULL));
    OK(oncelog_producer_free(producer));
    OK(oncelog_partition_free(partition));
    OK(oncelog_consumer_free(consumer));
    OK(oncelog_ticket_free(ticket));
    OK(oncelog_records_free(read));
    oncelog_error_free(oncelog_engine_close(engine));
}

static void *hammer(void *partition)
{
    oncelog_bounds_t bounds;
    oncelog_error_t *error;
    while ((error = oncelog_partition_bounds(partition, &bounds)) == NULL) {
        error = oncelog_partition_bounds(NULL, &bounds);
        oncelog_error_free(error);
    }
    CHECK(oncelog_error_code(error) == ONCELOG_ERROR_CLOSED);
    oncelog_error_free(error);
    return NULL;
}

/* Forks come at any moment of what the parent's threads and its keeper do: each child is told and ends; the
 * parent loses nothing. */
static void children_of_a_busy_parent_end(void)
{
    char *directory = new_directory();
    oncelog_engine_t *engine = open_with_topic(directory, 1);
    oncelog_completions_t *completions = NULL;
    pthread_t threads[3];
    uint64_t before = 0;
    OK(oncelog_completions_open(engine, &completions));
    for (int i = 0; i < 3; i++)
        CHECK(pthread_create(&threads[i], NULL, work, engine) == 0);
    for (int i = 0; i < forks(); i++) {
        pid_t pid = fork();
        CHECK(pid >= 0);
        if (pid == 0) {
            oncelog_topics_t *topics = NULL;
            alarm(600);
            FAILS(FORKED, oncelog_topics(engine, &topics));
            FAILS(FORKED, oncelog_completions_drain(completions, NULL));
            OK(oncelog_completions_free(completions));
            oncelog_error_free(oncelog_engine_close(engine));
            _exit(0);
        }
        CHECK(wait_for(pid) == 0);
    }
    /* On a busy machine all forks may come before the first record; without any this says so and ends. */
    alarm(600);
    while (end_of(engine, "t") == 0)
        OK(oncelog_flush(engine));
    alarm(0);
    __atomic_store_n(&stopped, 1, __ATOMIC_SEQ_CST);
    for (int i = 0; i < 3; i++)
        CHECK(pthread_join(threads[i], NULL) == 0);
    before = end_of(engine, "t");
    CHECK(before > 0);
    OK(oncelog_completions_free(completions));
    OK(oncelog_engine_close(engine));
    OK(oncelog_open(directory, NULL, &engine));
    CHECK(end_of(engine, "t") == before);
    OK(oncelog_engine_close(engine));
    drop_directory(directory);
}

/* Whether the call says BUSY: then somebody is at it. Gives him a moment without whoever asks. */
static bool is_busy(oncelog_error_t *error)
{
    bool busy = oncelog_error_code(error) == ONCELOG_ERROR_BUSY;
    CHECK(error == NULL || busy);
    oncelog_error_free(error);
    usleep(1000);
    return busy;
}

/* The one who looks whether these have begun may be at it for a moment. */
static void *poll_and_wait(void *consumer)
{
    oncelog_records_t *records = NULL;
    while (is_busy(oncelog_consumer_poll(consumer, 600000, &records)))
        ;
    OK(oncelog_records_free(records));
    return NULL;
}

static void *wait_for_ticket(void *ticket)
{
    while (is_busy(oncelog_ticket_wait(ticket)))
        ;
    return NULL;
}

/* BUSY would have the child try again for ever: the thread that is at it is not there. */
static void what_a_thread_of_the_parent_is_busy_with_is_forked(void)
{
    char *directory = new_directory();
    oncelog_engine_t *engine = open_with_topic(directory, 1);
    oncelog_consumer_t *consumer = NULL;
    oncelog_records_t *records = NULL;
    oncelog_ticket_t *ticket = NULL;
    oncelog_topic_partition_t name = {"t", 0};
    oncelog_partition_t *partition = NULL;
    oncelog_record_t record = text_record("wakes");
    pthread_t threads[2];
    oncelog_appended_t appended;
    bool done = false;
    OK(oncelog_consumer_open(engine, NULL, &consumer));
    OK(oncelog_consumer_assign(consumer, &name, 1));
    CHECK(pthread_create(&threads[0], NULL, poll_and_wait, consumer) == 0);
    while (!is_busy(oncelog_consumer_poll(consumer, 0, &records))) {
        OK(oncelog_records_free(records));
        records = NULL;
    }
    __atomic_store_n(&flushes_hang, 1, __ATOMIC_SEQ_CST);
    OK(oncelog_add_partitions_ticket(engine, "t", 2, &ticket));
    CHECK(pthread_create(&threads[1], NULL, wait_for_ticket, ticket) == 0);
    while (!is_busy(oncelog_ticket_poll(ticket, &done)))
        CHECK(!done);
    FAILS(BUSY, oncelog_ticket_appended(ticket, &appended)); /* const as the ticket is there */
    pid_t pid = fork();
    CHECK(pid >= 0);
    if (pid == 0) {
        FAILS(FORKED, oncelog_consumer_poll(consumer, 0, &records));
        FAILS(FORKED, oncelog_ticket_poll(ticket, &done));
        FAILS(FORKED, oncelog_ticket_appended(ticket, &appended));
        _exit(0);
    }
    CHECK(wait_for(pid) == 0);
    __atomic_store_n(&flushes_hang, 0, __ATOMIC_SEQ_CST);
    CHECK(pthread_join(threads[1], NULL) == 0);
    OK(oncelog_partition_open(engine, "t", 0, &partition));
    OK(oncelog_partition_append(partition, &record, 1, NULL, NULL));
    OK(oncelog_partition_free(partition));
    CHECK(pthread_join(threads[0], NULL) == 0);
    OK(oncelog_ticket_free(ticket));
    OK(oncelog_consumer_free(consumer));
    OK(oncelog_engine_close(engine));
    drop_directory(directory);
}

int main(void)
{
    children_of_a_busy_parent_end();
    what_a_thread_of_the_parent_is_busy_with_is_forked();
    char *directory = new_directory();
    oncelog_engine_t *engine = open_with_topic(directory, 1);
    oncelog_partition_t *partition = NULL;
    oncelog_producer_t *producer = NULL;
    oncelog_transactional_producer_t *transactional = NULL;
    oncelog_transaction_t *transaction = NULL;
    oncelog_consumer_t *consumer = NULL;
    oncelog_records_t *records = NULL;
    oncelog_ticket_t *ticket = NULL;
    oncelog_producer_options_t linger = {.struct_size = sizeof linger, .linger_ms = 1000000};
    oncelog_topic_partition_t name = {"t", 0};
    oncelog_record_t record = text_record("before");
    pthread_t threads[2];
    OK(oncelog_partition_open(engine, "t", 0, &partition));
    OK(oncelog_partition_append(partition, &record, 1, NULL, NULL));
    OK(oncelog_producer_open(engine, &linger, &producer));
    OK(oncelog_producer_send(producer, "t", &record, &ticket));
    OK(oncelog_transactional_producer_open(engine, "id", NULL, &transactional));
    OK(oncelog_begin_transaction(transactional, &transaction));
    OK(oncelog_consumer_open(engine, NULL, &consumer));
    OK(oncelog_consumer_assign(consumer, &name, 1));
    OK(oncelog_partition_read(partition, 0, NULL, &records));

    /* Threads that are inside a call whenever the fork comes: nothing they hold may hinder the child. */
    for (int i = 0; i < 2; i++)
        CHECK(pthread_create(&threads[i], NULL, hammer, partition) == 0);
    for (int i = 0; i < 20; i++) {
        pid_t pid = fork();
        CHECK(pid >= 0);
        if (pid == 0) {
            alarm(600);
            child(engine, partition, producer, transaction, consumer, records, ticket);
            _exit(0);
        }
        CHECK(wait_for(pid) == 0);
    }
    CHECK(end_of(engine, "t") == 1); /* no child wrote what its parent was gathering */
    OK(oncelog_partition_free(partition));
    for (int i = 0; i < 2; i++)
        CHECK(pthread_join(threads[i], NULL) == 0);

    OK(oncelog_transaction_send(transaction, "t", &record));
    OK(oncelog_transaction_commit(transaction, NULL));
    OK(oncelog_ticket_wait(ticket));
    OK(oncelog_ticket_free(ticket));
    OK(oncelog_producer_free(producer));
    OK(oncelog_transactional_producer_free(transactional));
    OK(oncelog_consumer_free(consumer));
    OK(oncelog_records_free(records));
    OK(oncelog_engine_close(engine));
    pid_t pid = fork();
    CHECK(pid >= 0);
    if (pid == 0) {
        OK(oncelog_open(directory, NULL, &engine));
        CHECK(end_of(engine, "t") == 3);
        OK(oncelog_engine_close(engine));
        _exit(0);
    }
    CHECK(wait_for(pid) == 0);
    drop_directory(directory);
    return 0;
}
