/* Completions for event loops: poll(2) on the queue's descriptor, callbacks on this thread only. */
#include <fcntl.h>
#ifdef _WIN32
#include <winsock2.h>
#define poll WSAPoll
#else
#include <poll.h>
#endif
#include <pthread.h>

#include "check.h"

struct heard {
    oncelog_completions_t *completions;
    pthread_t thread;
    int calls;
    int errors;
    uint64_t last;
};

static void on_done(void *context, oncelog_ticket_t *ticket, const oncelog_error_t *error)
{
    struct heard *heard = context;
    oncelog_appended_t appended;
    uint64_t lsn = 0;
    CHECK(pthread_equal(heard->thread, pthread_self()));
    heard->calls++;
    if (error != NULL) {
        CHECK(oncelog_error_code(error) != ONCELOG_OK && strlen(oncelog_error_message(error)) > 10);
        heard->errors++;
        OK(oncelog_ticket_lsn(ticket, &lsn));
        CHECK(lsn == 0);
        return;
    }
    OK(oncelog_ticket_wait(ticket));
    OK(oncelog_ticket_appended(ticket, &appended));
    OK(oncelog_ticket_lsn(ticket, &lsn));
    CHECK(lsn == appended.lsn && lsn > 0);
    heard->last = appended.last;
}

static void on_nothing(void *context, oncelog_ticket_t *ticket, const oncelog_error_t *error)
{
    oncelog_appended_t appended;
    uint64_t lsn = 0;
    CHECK(error == NULL);
    FAILS(INVALID_STATE, oncelog_ticket_appended(ticket, &appended));
    OK(oncelog_ticket_lsn(ticket, &lsn));
    CHECK(lsn > 0);
    ++*(int *)context;
}

static void on_ready(void *context)
{
    ++*(int *)context;
}

/* Waits for the descriptor and drains until so many callbacks have run. */
static void drain_until(oncelog_completions_t *completions, const int *calls, int count)
{
    struct pollfd descriptor = {.events = POLLIN};
    OK(oncelog_completions_fd(completions, &descriptor.fd));
    while (*calls < count) {
        CHECK(poll(&descriptor, 1, 600000) == 1 && (descriptor.revents & POLLIN) && !(descriptor.revents & ~POLLIN));
        OK(oncelog_completions_drain(completions, NULL));
    }
#ifndef _WIN32 /* where it may be readable for nothing */
    CHECK(poll(&descriptor, 1, 0) == 0); /* drained: not readable any more */
#endif
}

static void callbacks_run_where_the_queue_is_drained(void)
{
    char *directory = new_directory();
    oncelog_engine_t *engine = open_with_topic(directory, 1);
    oncelog_producer_t *producer = NULL;
    oncelog_completions_t *completions = NULL;
    oncelog_ticket_t *ticket = NULL;
    struct heard heard = {.thread = pthread_self()};
    int nothing = 0;
    size_t count = 9;
    OK(oncelog_producer_open(engine, NULL, &producer));
    OK(oncelog_completions_open(engine, &completions));
    OK(oncelog_completions_drain(completions, &count));
    CHECK(count == 0);
    for (int i = 0; i < 100; i++) {
        oncelog_record_t record = text_record("v");
        OK(oncelog_producer_send(producer, "t", &record, &ticket));
        OK(oncelog_completions_watch(completions, ticket, on_done, &heard));
        FAILS(CLOSED, oncelog_ticket_wait(ticket));
        FAILS(CLOSED, oncelog_ticket_lsn(ticket, &(uint64_t){0}));
        FAILS(CLOSED, oncelog_completions_watch(completions, ticket, on_done, &heard));
    }
    drain_until(completions, &heard.calls, 100);
    CHECK(heard.calls == 100 && heard.errors == 0 && heard.last == 99);

    /* Calls of other types, one that fails, and a ticket that has its answer already. */
    OK(oncelog_create_topic_ticket(engine, "u", NULL, &ticket));
    OK(oncelog_completions_watch(completions, ticket, on_nothing, &nothing));
    OK(oncelog_flush_ticket(engine, &ticket));
    OK(oncelog_ticket_wait(ticket));
    OK(oncelog_completions_watch(completions, ticket, on_nothing, &nothing));
    drain_until(completions, &nothing, 2);
    oncelog_error_t *error = oncelog_create_topic_ticket(engine, "u", NULL, &ticket);
    CHECK(error == NULL);
    FAILS(INVALID_ARGUMENT, oncelog_completions_watch(completions, ticket, NULL, NULL));
    OK(oncelog_completions_watch(completions, ticket, on_done, &heard));
    drain_until(completions, &heard.calls, 101);
    CHECK(heard.errors == 1);
    OK(oncelog_completions_free(completions));
    FAILS(CLOSED, oncelog_completions_drain(completions, NULL));
    OK(oncelog_producer_free(producer));
    OK(oncelog_engine_close(engine));
    drop_directory(directory);
}

static void a_consumer_says_when_there_is_something_to_poll(void)
{
    char *directory = new_directory();
    oncelog_engine_t *engine = open_with_topic(directory, 1);
    oncelog_consumer_t *consumer = NULL;
    oncelog_partition_t *partition = NULL;
    oncelog_completions_t *completions = NULL;
    oncelog_topic_partition_t name = {"t", 0};
    oncelog_record_t record = text_record("v");
    oncelog_records_t *records = NULL;
    uint64_t count = 0;
    int ready = 0;
    OK(oncelog_consumer_open(engine, NULL, &consumer));
    OK(oncelog_consumer_assign(consumer, &name, 1));
    OK(oncelog_completions_open(engine, &completions));
    OK(oncelog_completions_watch_consumer(completions, consumer, on_ready, &ready));
    OK(oncelog_completions_drain(completions, NULL));
    CHECK(ready == 0);
    OK(oncelog_partition_open(engine, "t", 0, &partition));
    OK(oncelog_partition_append(partition, &record, 1, NULL, NULL));
    drain_until(completions, &ready, 1);
    OK(oncelog_consumer_poll(consumer, 0, &records));
    OK(oncelog_records_count(records, &count));
    CHECK(count == 1);
    OK(oncelog_records_free(records));
    OK(oncelog_completions_watch_consumer(completions, consumer, on_ready, &ready));
    OK(oncelog_engine_close(engine));
    drain_until(completions, &ready, 2); /* the close is an answer too */
    OK(oncelog_partition_free(partition));
    OK(oncelog_consumer_free(consumer));
    OK(oncelog_completions_free(completions));
    drop_directory(directory);
}

/* What the callback's context owns would be lost with a callback that never comes. */
static void a_consumer_that_is_freed_calls_those_who_watched_it(void)
{
    char *directory = new_directory();
    oncelog_engine_t *engine = open_with_topic(directory, 1);
    oncelog_consumer_t *consumer = NULL;
    oncelog_completions_t *completions = NULL;
    oncelog_topic_partition_t name = {"t", 0};
    oncelog_records_t *records = NULL;
    int ready = 0;
    OK(oncelog_consumer_open(engine, NULL, &consumer));
    OK(oncelog_consumer_assign(consumer, &name, 1));
    OK(oncelog_completions_open(engine, &completions));
    OK(oncelog_completions_watch_consumer(completions, consumer, on_ready, &ready));
    OK(oncelog_completions_watch_consumer(completions, consumer, on_ready, &ready));
    OK(oncelog_completions_drain(completions, NULL));
    CHECK(ready == 0);
    OK(oncelog_consumer_free(consumer));
    drain_until(completions, &ready, 2);
    FAILS(CLOSED, oncelog_consumer_poll(consumer, 0, &records));
    OK(oncelog_engine_close(engine));
    OK(oncelog_completions_drain(completions, NULL));
    CHECK(ready == 2); /* once each */
    OK(oncelog_completions_free(completions));
    drop_directory(directory);
}

static void an_engine_without_threads_is_driven_by_its_drains(void)
{
    char *directory = new_directory();
    oncelog_engine_options_t options = {.struct_size = sizeof options, .threads = ONCELOG_NO};
    oncelog_engine_t *engine = NULL;
    oncelog_producer_t *producer = NULL;
    oncelog_completions_t *completions = NULL;
    oncelog_ticket_t *ticket = NULL;
    oncelog_record_t record = text_record("v");
    struct heard heard = {.thread = pthread_self()};
    OK(oncelog_open(directory, &options, &engine));
    OK(oncelog_create_topic(engine, "t", NULL));
    OK(oncelog_producer_open(engine, NULL, &producer));
    OK(oncelog_completions_open(engine, &completions));
    OK(oncelog_producer_send(producer, "t", &record, &ticket));
    OK(oncelog_completions_watch(completions, ticket, on_done, &heard));
    while (heard.calls == 0)
        OK(oncelog_completions_drain(completions, NULL)); /* until the linger has passed and the flush is done */
    CHECK(heard.errors == 0 && end_of(engine, "t") == 1);
    OK(oncelog_drive(engine));
    OK(oncelog_producer_send(producer, "t", &record, &ticket));
    OK(oncelog_completions_watch(completions, ticket, on_done, &heard));
    OK(oncelog_engine_close(engine));
    while (heard.calls == 1)
        OK(oncelog_completions_drain(completions, NULL));
    CHECK(heard.errors == 0 && heard.last == 1);
    OK(oncelog_producer_free(producer));
    OK(oncelog_completions_free(completions));
    drop_directory(directory);
}

static void again(void *context, oncelog_ticket_t *ticket, const oncelog_error_t *error)
{
    struct heard *heard = context;
    size_t count = 9;
    CHECK(error == NULL);
    if (++heard->calls == 1) {
        OK(oncelog_completions_drain(heard->completions, &count));
        CHECK(count == 0);
        OK(oncelog_completions_free(heard->completions)); /* in the middle of its own drain */
    }
    OK(oncelog_ticket_free(ticket)); /* not to be done, and harmless */
}

static void a_queue_freed_in_a_callback_calls_nobody_any_more(void)
{
    char *directory = new_directory();
    oncelog_engine_t *engine = open_with_topic(directory, 1);
    struct heard heard = {.thread = pthread_self()};
    OK(oncelog_completions_open(engine, &heard.completions));
    for (int i = 0; i < 3; i++) {
        oncelog_ticket_t *ticket = NULL;
        OK(oncelog_flush_ticket(engine, &ticket));
        OK(oncelog_ticket_wait(ticket));
        OK(oncelog_completions_watch(heard.completions, ticket, again, &heard));
    }
    size_t count = 0;
    /* Tickets that are done before they are watched are queued at once: one drain takes all. */
    OK(oncelog_completions_drain(heard.completions, &count));
    CHECK(count == 1 && heard.calls == 1);
    FAILS(CLOSED, oncelog_completions_drain(heard.completions, &count));
    OK(oncelog_engine_close(engine));
    drop_directory(directory);
}

static bool is_open(oncelog_fd_t descriptor)
{
#ifdef _WIN32
    int type = 0, size = sizeof type;
    return getsockopt(descriptor, SOL_SOCKET, SO_TYPE, (char *)&type, &size) == 0;
#else
    return fcntl(descriptor, F_GETFD) >= 0;
#endif
}

static void a_queue_that_is_freed_closes_its_descriptor(void)
{
    char *directory = new_directory();
    oncelog_engine_t *engine = open_with_topic(directory, 1);
    oncelog_completions_t *completions = NULL;
    oncelog_consumer_t *consumer = NULL;
    oncelog_topic_partition_t name = {"t", 0};
    oncelog_fd_t descriptor = 0;
    int ready = 0;
    OK(oncelog_consumer_open(engine, NULL, &consumer));
    OK(oncelog_consumer_assign(consumer, &name, 1));
    OK(oncelog_completions_open(engine, &completions));
    OK(oncelog_completions_watch_consumer(completions, consumer, on_ready, &ready));
    OK(oncelog_completions_fd(completions, &descriptor));
    CHECK(is_open(descriptor));
    OK(oncelog_completions_free(completions)); /* with a consumer that is still watched */
    CHECK(!is_open(descriptor));
    OK(oncelog_engine_close(engine));
    OK(oncelog_consumer_free(consumer));
    CHECK(ready == 0);
    drop_directory(directory);
}

int main(void)
{
    callbacks_run_where_the_queue_is_drained();
    a_consumer_says_when_there_is_something_to_poll();
    a_consumer_that_is_freed_calls_those_who_watched_it();
    an_engine_without_threads_is_driven_by_its_drains();
    a_queue_freed_in_a_callback_calls_nobody_any_more();
    a_queue_that_is_freed_closes_its_descriptor();
    return 0;
}
