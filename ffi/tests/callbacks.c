/* An engine is closed inside each kind of callback: the call that the callback is inside goes on to its end. */
#include "damage.h"

/* What callbacks close, and how many have run. */
struct closing {
    oncelog_engine_t *engine;
    int calls;
};

static void close_once(struct closing *closing)
{
    oncelog_topics_t *topics = NULL;
    if (closing->calls++ == 0)
        OK(oncelog_engine_close(closing->engine));
    else
        FAILS(CLOSED, oncelog_engine_close(closing->engine));
    FAILS(CLOSED, oncelog_topics(closing->engine, &topics));
}

static void on_done(void *closing, oncelog_ticket_t *ticket, const oncelog_error_t *error)
{
    oncelog_appended_t appended;
    CHECK(error == NULL); /* the close flushed what was on its way */
    close_once(closing);
    OK(oncelog_ticket_appended(ticket, &appended));
}

static void on_ready(void *closing)
{
    close_once(closing);
}

static oncelog_engine_t *open_with(const char *directory, uint32_t threads)
{
    oncelog_engine_options_t options = {.struct_size = sizeof options, .threads = threads};
    oncelog_engine_t *engine = NULL;
    OK(oncelog_open(directory, &options, &engine));
    OK(oncelog_create_topic(engine, "t", NULL));
    return engine;
}

/* Drains until so many callbacks have run. */
static void drain_until(oncelog_completions_t *completions, const struct closing *closing, int calls)
{
    while (closing->calls < calls) {
        OK(oncelog_completions_drain(completions, NULL));
        usleep(1000);
    }
    CHECK(closing->calls == calls);
}

static void look_again(const char *directory, uint64_t records)
{
    oncelog_engine_t *engine = NULL;
    OK(oncelog_open(directory, NULL, &engine));
    CHECK(end_of(engine, "t") == records);
    OK(oncelog_engine_close(engine));
}

static void an_engine_is_closed_where_a_ticket_is_answered(uint32_t threads)
{
    char *directory = new_directory();
    struct closing closing = {.engine = open_with(directory, threads)};
    oncelog_producer_t *producer = NULL;
    oncelog_completions_t *completions = NULL;
    oncelog_record_t record = text_record("v");
    OK(oncelog_producer_open(closing.engine, NULL, &producer));
    OK(oncelog_completions_open(closing.engine, &completions));
    for (int i = 0; i < 3; i++) {
        oncelog_ticket_t *ticket = NULL;
        OK(oncelog_producer_send(producer, "t", &record, &ticket));
        /* The first has its answer when it is watched, the others as the close finds them. */
        if (i == 0)
            OK(oncelog_ticket_wait(ticket));
        OK(oncelog_completions_watch(completions, ticket, on_done, &closing));
    }
    drain_until(completions, &closing, 3);
    FAILS(CLOSED, oncelog_producer_send(producer, "t", &record, NULL));
    OK(oncelog_producer_free(producer));
    OK(oncelog_completions_free(completions));
    look_again(directory, 3);
    drop_directory(directory);
}

static void an_engine_is_closed_where_a_consumer_is_ready(uint32_t threads)
{
    char *directory = new_directory();
    struct closing closing = {.engine = open_with(directory, threads)};
    oncelog_consumer_t *consumer = NULL;
    oncelog_partition_t *partition = NULL;
    oncelog_completions_t *completions = NULL;
    oncelog_records_t *records = NULL;
    oncelog_topic_partition_t name = {"t", 0};
    oncelog_record_t record = text_record("v");
    OK(oncelog_consumer_open(closing.engine, NULL, &consumer));
    OK(oncelog_consumer_assign(consumer, &name, 1));
    OK(oncelog_completions_open(closing.engine, &completions));
    OK(oncelog_completions_watch_consumer(completions, consumer, on_ready, &closing));
    OK(oncelog_partition_open(closing.engine, "t", 0, &partition));
    OK(oncelog_partition_append(partition, &record, 1, NULL, NULL));
    drain_until(completions, &closing, 1);
    /* Of a closed log a consumer is ready at once: a poll would say so. */
    OK(oncelog_completions_watch_consumer(completions, consumer, on_ready, &closing));
    drain_until(completions, &closing, 2);
    FAILS(CLOSED, oncelog_consumer_poll(consumer, 0, &records));
    OK(oncelog_partition_free(partition));
    OK(oncelog_consumer_free(consumer));
    OK(oncelog_completions_free(completions));
    look_again(directory, 1);
    drop_directory(directory);
}

static void on_message(void *context, uint32_t level, const char *message)
{
    struct closing *closing = context;
    CHECK(level >= ONCELOG_LOG_ERROR && strlen(message) > 5);
    if (closing->calls == 0)
        CHECK(closing->engine != NULL); /* the open has answered before it tells */
    close_once(closing);
}

static void an_engine_is_closed_where_its_opening_is_told(void)
{
    char *directory = new_directory();
    struct closing closing = {NULL, 0};
    oncelog_topics_t *topics = NULL;
    oncelog_engine_close(open_with(directory, 0));
    oncelog_set_logger(on_message, &closing);
    OK(oncelog_open(directory, NULL, &closing.engine));
    CHECK(closing.calls > 0);
    /* What the close has to say comes with the next call. */
    FAILS(CLOSED, oncelog_topics(closing.engine, &topics));
    CHECK(closing.calls > 1);
    oncelog_set_logger(NULL, NULL);
    look_again(directory, 0);
    drop_directory(directory);
}

static void on_damage(void *closing, const oncelog_damage_t *damage)
{
    CHECK(damage->records_only && strstr(damage->file, ".seg") != NULL);
    close_once(closing);
    CHECK(damage->records_only && strstr(damage->file, ".seg") != NULL);
}

static void an_engine_is_closed_where_damage_is_told(void)
{
    char *directory = new_directory();
    struct closing closing = {.engine = open_with(directory, 0)};
    oncelog_partition_t *partition = NULL;
    oncelog_verification_t found = {.struct_size = sizeof found};
    const char *values[] = {"first rotten", "second rotten", "sound"};
    OK(oncelog_partition_open(closing.engine, "t", 0, &partition));
    for (int i = 0; i < 3; i++) {
        oncelog_record_t record = text_record(values[i]);
        OK(oncelog_partition_append(partition, &record, 1, NULL, NULL));
    }
    OK(oncelog_flush(closing.engine));
    damage(directory, values[0]);
    damage(directory, values[1]);
    OK(oncelog_verify(closing.engine, on_damage, &closing, &found));
    CHECK(found.damage_count == 2 && closing.calls == 2);
    FAILS(CLOSED, oncelog_verify(closing.engine, on_damage, &closing, &found));
    OK(oncelog_partition_free(partition));
    drop_directory(directory);
}

int main(void)
{
    const uint32_t threads[] = {ONCELOG_YES, ONCELOG_NO};
    for (int i = 0; i < 2; i++) {
        an_engine_is_closed_where_a_ticket_is_answered(threads[i]);
        an_engine_is_closed_where_a_consumer_is_ready(threads[i]);
    }
    an_engine_is_closed_where_its_opening_is_told();
    an_engine_is_closed_where_damage_is_told();
    return 0;
}
