/* Producers, with and without a name, their tickets. */
#include <pthread.h>

#include "check.h"

static void sends_are_answered_by_tickets(void)
{
    char *directory = new_directory();
    oncelog_engine_t *engine = open_with_topic(directory, 1);
    oncelog_producer_t *producer = NULL;
    oncelog_ticket_t *ticket = NULL;
    oncelog_appended_t appended;
    const oncelog_appended_t *all = NULL;
    oncelog_committed_t committed;
    size_t count = 0;
    bool done = true;
    /* A linger that never passes: nothing is written before somebody waits. */
    oncelog_producer_options_t options = {.struct_size = sizeof options, .linger_ms = 1000000};
    oncelog_record_t records[] = {text_record("a"), text_record("b"), text_record("c")};
    OK(oncelog_producer_open(engine, &options, &producer));
    OK(oncelog_producer_send(producer, "t", &records[0], &ticket));
    OK(oncelog_ticket_poll(ticket, &done));
    CHECK(!done);
    FAILS(INVALID_STATE, oncelog_ticket_appended(ticket, &appended));
    OK(oncelog_ticket_wait_for(ticket, 600000, &done));
    CHECK(done);
    OK(oncelog_ticket_wait(ticket));
    OK(oncelog_ticket_appended(ticket, &appended));
    CHECK(appended.first == 0 && appended.last == 0);
    FAILS(INVALID_STATE, oncelog_ticket_committed(ticket, &committed));
    OK(oncelog_ticket_free(ticket));
    FAILS(CLOSED, oncelog_ticket_wait(ticket));

    OK(oncelog_producer_send_many(producer, "t", records, 3, &ticket));
    OK(oncelog_ticket_wait(ticket));
    OK(oncelog_ticket_appended_many(ticket, &all, &count));
    CHECK(count == 3 && all[0].first == 1 && all[2].first == 3);
    OK(oncelog_ticket_appended(ticket, &appended));
    CHECK(appended.first == 3);
    OK(oncelog_ticket_free(ticket));

    OK(oncelog_producer_send(producer, "t", &records[0], NULL));
    OK(oncelog_producer_flush_ticket(producer, &ticket));
    OK(oncelog_ticket_wait(ticket));
    OK(oncelog_ticket_free(ticket));
    CHECK(end_of(engine, "t") == 5);
    OK(oncelog_producer_free(producer));
    OK(oncelog_engine_close(engine));
    drop_directory(directory);
}

static uint64_t lsn_of(oncelog_ticket_t *ticket)
{
    uint64_t lsn = 99;
    OK(oncelog_ticket_lsn(ticket, &lsn));
    return lsn;
}

static void a_ticket_names_the_frame_that_it_waits_for(void)
{
    char *directory = new_directory();
    oncelog_engine_t *engine = open_with_topic(directory, 1);
    oncelog_producer_t *producer = NULL;
    oncelog_ticket_t *ticket = NULL, *flushed = NULL;
    oncelog_appended_t appended;
    bool done = true;
    oncelog_producer_options_t options = {.struct_size = sizeof options, .linger_ms = 1000000};
    oncelog_record_t records[] = {text_record("a"), text_record("b")};
    OK(oncelog_producer_open(engine, &options, &producer));
    OK(oncelog_producer_send(producer, "t", &records[0], &ticket));
    OK(oncelog_ticket_poll(ticket, &done));
    CHECK(!done);
    FAILS(INVALID_ARGUMENT, oncelog_ticket_lsn(ticket, NULL));
    /* Closes the batch, which lingers for ever else. */
    uint64_t lsn = lsn_of(ticket);
    CHECK(lsn > 0);
    OK(oncelog_wait_durable(engine, lsn));
    OK(oncelog_ticket_poll(ticket, &done));
    OK(oncelog_ticket_appended(ticket, &appended));
    CHECK(done && appended.lsn == lsn && lsn_of(ticket) == lsn);
    OK(oncelog_ticket_free(ticket));
    FAILS(CLOSED, oncelog_ticket_lsn(ticket, &lsn));

    OK(oncelog_producer_send_many(producer, "t", records, 2, &ticket));
    OK(oncelog_producer_flush_ticket(producer, &flushed));
    CHECK(lsn_of(ticket) > lsn && lsn_of(flushed) == lsn_of(ticket));
    lsn = lsn_of(ticket);
    OK(oncelog_ticket_wait(flushed));
    OK(oncelog_ticket_wait_for(ticket, 600000, &done));
    CHECK(done && lsn_of(flushed) == lsn && lsn_of(ticket) == lsn);
    OK(oncelog_ticket_free(ticket));
    OK(oncelog_ticket_free(flushed));

    /* A call that writes nothing, and one that fails. */
    OK(oncelog_producer_send_many(producer, "t", NULL, 0, &ticket));
    CHECK(lsn_of(ticket) == 0);
    OK(oncelog_ticket_free(ticket));
    OK(oncelog_create_topic_ticket(engine, "t", NULL, &ticket));
    FAILS(TOPIC_EXISTS, oncelog_ticket_wait(ticket));
    CHECK(lsn_of(ticket) == 0);
    OK(oncelog_ticket_free(ticket));
    FAILS(INVALID_ARGUMENT, oncelog_ticket_lsn(NULL, &lsn));
    FAILS(INVALID_ARGUMENT, oncelog_ticket_lsn((oncelog_ticket_t *)producer, &lsn));
    OK(oncelog_producer_free(producer));
    OK(oncelog_engine_close(engine));
    drop_directory(directory);
}

/* The engine's own thread may be busy with the producer right then: asked again, as an event loop would. */
static size_t try_until_sent(const oncelog_producer_t *producer, const oncelog_record_t *records, size_t count,
                             oncelog_ticket_t **ticket, oncelog_error_t **refused)
{
    size_t sent = 0;
    for (;;) {
        OK(oncelog_producer_try_send_many(producer, "t", records, count, &sent, ticket, refused));
        if (sent > 0 || *refused != NULL)
            return sent;
        OK(oncelog_ticket_free(*ticket));
    }
}

static void as_many_are_sent_as_take_no_waiting_and_are_not_refused(void)
{
    char *directory = new_directory();
    oncelog_engine_t *engine = open_with_topic(directory, 1);
    oncelog_producer_t *producer = NULL;
    oncelog_ticket_t *ticket = NULL;
    oncelog_error_t *refused = (oncelog_error_t *)(uintptr_t)1;
    const oncelog_appended_t *all = NULL;
    size_t sent = 9, count = 0;
    oncelog_record_t records[] = {text_record("a"), text_record("b"), text_record("c"), text_record("d")};
    OK(oncelog_producer_open(engine, NULL, &producer));
    CHECK(try_until_sent(producer, records, 4, &ticket, &refused) == 4 && refused == NULL);
    OK(oncelog_ticket_wait(ticket));
    OK(oncelog_ticket_appended_many(ticket, &all, &count));
    CHECK(count == 4 && all[0].first == 0 && all[3].first == 3);
    OK(oncelog_ticket_free(ticket));

    /* The third names a partition that is not there: two are sent, and it says why no more are. */
    records[2].fields = ONCELOG_RECORD_PARTITION;
    records[2].partition = 7;
    CHECK(try_until_sent(producer, records, 4, &ticket, &refused) == 2 && refused != NULL);
    CHECK(oncelog_error_code(refused) == ONCELOG_ERROR_UNKNOWN_TOPIC_OR_PARTITION);
    oncelog_error_free(refused);
    OK(oncelog_ticket_wait(ticket));
    OK(oncelog_ticket_appended_many(ticket, &all, &count));
    CHECK(count == 2 && all[1].first == 5);
    OK(oncelog_ticket_free(ticket));
    /* Nobody need hear of either. */
    OK(oncelog_producer_try_send_many(producer, "t", records + 2, 2, &sent, NULL, NULL));
    CHECK(sent == 0);
    OK(oncelog_producer_try_send_many(producer, "t", NULL, 0, &sent, &ticket, &refused));
    CHECK(sent == 0 && refused == NULL);
    OK(oncelog_ticket_wait(ticket));
    OK(oncelog_ticket_appended_many(ticket, &all, &count));
    CHECK(count == 0);
    OK(oncelog_ticket_free(ticket));

    /* What is malformed is found before any is sent, and outputs are left alone. */
    records[2].fields = 8;
    sent = 9;
    FAILS(INVALID_ARGUMENT, oncelog_producer_try_send_many(producer, "t", records, 4, &sent, &ticket, &refused));
    FAILS(INVALID_ARGUMENT, oncelog_producer_try_send_many(producer, "t", records, 2, NULL, &ticket, &refused));
    FAILS(INVALID_ARGUMENT, oncelog_producer_try_send_many(producer, NULL, records, 2, &sent, NULL, NULL));
    FAILS(INVALID_ARGUMENT, oncelog_producer_try_send_many(producer, "t", NULL, 2, &sent, NULL, NULL));
    FAILS(INVALID_ARGUMENT, oncelog_producer_try_send_many(NULL, "t", records, 2, &sent, NULL, NULL));
    OK(oncelog_flush(engine));
    CHECK(sent == 9 && end_of(engine, "t") == 6);
    OK(oncelog_engine_close(engine));
    FAILS(CLOSED, oncelog_producer_try_send_many(producer, "t", records, 2, &sent, NULL, NULL));
    OK(oncelog_producer_free(producer));
    FAILS(CLOSED, oncelog_producer_try_send_many(producer, "t", records, 2, &sent, NULL, NULL));
    drop_directory(directory);
}

static void a_record_goes_where_it_says(void)
{
    char *directory = new_directory();
    oncelog_engine_t *engine = open_with_topic(directory, 3);
    oncelog_producer_t *producer = NULL;
    oncelog_ticket_t *ticket = NULL;
    oncelog_appended_t appended;
    oncelog_record_t record = keyed_record("alice", "1");
    record.fields = ONCELOG_RECORD_PARTITION | ONCELOG_RECORD_TIMESTAMP;
    record.timestamp = 17;
    OK(oncelog_producer_open(engine, NULL, &producer));
    for (record.partition = 0; record.partition < 3; record.partition++) {
        OK(oncelog_producer_send(producer, "t", &record, &ticket));
        OK(oncelog_ticket_wait(ticket));
        OK(oncelog_ticket_appended(ticket, &appended));
        CHECK(appended.partition == record.partition && appended.timestamp == 17);
        OK(oncelog_ticket_free(ticket));
    }
    FAILS(UNKNOWN_TOPIC_OR_PARTITION, oncelog_producer_send(producer, "t", &record, NULL));
    record.fields = ONCELOG_RECORD_POSITION;
    FAILS(INVALID_ARGUMENT, oncelog_producer_send(producer, "t", &record, NULL));
    record.fields = 8;
    FAILS(INVALID_ARGUMENT, oncelog_producer_send(producer, "t", &record, NULL));
    OK(oncelog_producer_free(producer));
    OK(oncelog_engine_close(engine));
    drop_directory(directory);
}

static void a_named_producer_goes_on_where_it_stood(void)
{
    char *directory = new_directory();
    oncelog_producer_options_t options = {.struct_size = sizeof options, .name = "loader"};
    for (int life = 0; life < 3; life++) {
        oncelog_engine_t *engine = NULL;
        oncelog_producer_t *producer = NULL;
        uint64_t position = 77;
        bool known = true;
        OK(oncelog_open(directory, NULL, &engine));
        if (life == 0)
            OK(oncelog_create_topic(engine, "t", NULL));
        OK(oncelog_producer_open(engine, &options, &producer));
        OK(oncelog_producer_position(producer, &position, &known));
        CHECK(known == (life > 0) && position == (life > 0 ? 9u + (unsigned)life : 0));
        int duplicates = 0;
        for (uint64_t i = 0; i <= 10 + (uint64_t)life; i++) {
            oncelog_record_t record = text_record("line");
            oncelog_ticket_t *ticket = NULL;
            oncelog_appended_t appended;
            record.fields = ONCELOG_RECORD_POSITION;
            record.position = i;
            OK(oncelog_producer_send(producer, "t", &record, &ticket));
            OK(oncelog_ticket_wait(ticket));
            OK(oncelog_ticket_appended(ticket, &appended));
            duplicates += appended.duplicate;
            OK(oncelog_ticket_free(ticket));
        }
        CHECK(duplicates == (life > 0 ? 10 + life : 0) && end_of(engine, "t") == 11 + (uint64_t)life);
        OK(oncelog_producer_free(producer));
        OK(oncelog_engine_close(engine));
    }
    drop_directory(directory);
}

static void a_newer_holder_of_a_name_fences_the_older(void)
{
    char *directory = new_directory();
    oncelog_engine_t *engine = open_with_topic(directory, 1);
    oncelog_producer_options_t options = {.struct_size = sizeof options, .name = "loader"};
    oncelog_producer_t *old = NULL, *new = NULL;
    oncelog_ticket_t *ticket = NULL;
    oncelog_record_t record = text_record("v");
    record.fields = ONCELOG_RECORD_POSITION;
    OK(oncelog_producer_open(engine, &options, &old));
    OK(oncelog_producer_open_ticket(engine, &options, &ticket));
    OK(oncelog_ticket_wait(ticket));
    OK(oncelog_ticket_producer(ticket, &new));
    FAILS(INVALID_STATE, oncelog_ticket_producer(ticket, &new));
    OK(oncelog_ticket_free(ticket));
    oncelog_error_t *error = oncelog_producer_send(old, "t", &record, &ticket);
    if (error == NULL) {
        error = oncelog_ticket_wait(ticket);
        OK(oncelog_ticket_free(ticket));
    }
    CHECK(oncelog_error_code(error) == ONCELOG_ERROR_PRODUCER_FENCED && oncelog_error_is_fatal(error));
    oncelog_error_free(error);
    OK(oncelog_producer_send(new, "t", &record, NULL));
    OK(oncelog_producer_flush(new));
    OK(oncelog_producer_free(old));
    OK(oncelog_producer_free(new));
    OK(oncelog_engine_close(engine));
    drop_directory(directory);
}

static void *send_many_times(void *producer)
{
    for (int i = 0; i < 500; i++) {
        oncelog_record_t record = text_record("v");
        OK(oncelog_producer_send(producer, "t", &record, NULL));
    }
    return NULL;
}

static void threads_share_a_producer(void)
{
    char *directory = new_directory();
    oncelog_engine_t *engine = open_with_topic(directory, 1);
    oncelog_producer_t *producer = NULL;
    pthread_t threads[4];
    OK(oncelog_producer_open(engine, NULL, &producer));
    for (int i = 0; i < 4; i++)
        CHECK(pthread_create(&threads[i], NULL, send_many_times, producer) == 0);
    for (int i = 0; i < 4; i++)
        CHECK(pthread_join(threads[i], NULL) == 0);
    OK(oncelog_flush(engine));
    CHECK(end_of(engine, "t") == 2000);
    OK(oncelog_producer_free(producer));
    OK(oncelog_engine_close(engine));
    drop_directory(directory);
}

int main(void)
{
    sends_are_answered_by_tickets();
    a_ticket_names_the_frame_that_it_waits_for();
    as_many_are_sent_as_take_no_waiting_and_are_not_refused();
    a_record_goes_where_it_says();
    a_named_producer_goes_on_where_it_stood();
    a_newer_holder_of_a_name_fences_the_older();
    threads_share_a_producer();
    return 0;
}
