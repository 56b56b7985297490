/* Consumers: assignment, positions, commits, start rules. */
#include <pthread.h>

#include "check.h"

static void fill(oncelog_engine_t *engine, uint32_t partition, int count)
{
    oncelog_partition_t *handle = NULL;
    oncelog_record_t record = text_record("v");
    OK(oncelog_partition_open(engine, "t", partition, &handle));
    for (int i = 0; i < count; i++)
        OK(oncelog_partition_append(handle, &record, 1, NULL, NULL));
    OK(oncelog_partition_free(handle));
}

static uint64_t polled(oncelog_consumer_t *consumer)
{
    oncelog_records_t *records = NULL;
    uint64_t count = 0;
    OK(oncelog_consumer_poll(consumer, 0, &records));
    OK(oncelog_records_count(records, &count));
    OK(oncelog_records_free(records));
    FAILS(CLOSED, oncelog_records_next_offsets(records, &(oncelog_offsets_t *){NULL}));
    return count;
}

static void a_group_goes_on_where_it_committed(void)
{
    char *directory = new_directory();
    oncelog_engine_t *engine = open_with_topic(directory, 2);
    oncelog_consumer_options_t options = {.struct_size = sizeof options, .group = "g", .max_records = 3};
    oncelog_topic_partition_t names[] = {{"t", 0}, {"t", 1}};
    oncelog_consumer_t *consumer = NULL;
    oncelog_offsets_t *positions = NULL;
    const oncelog_offset_t *offsets = NULL;
    oncelog_ticket_t *ticket = NULL;
    size_t count = 0;
    uint64_t offset = 0, all = 0;
    bool known = true;
    fill(engine, 0, 5);
    fill(engine, 1, 2);
    OK(oncelog_consumer_open(engine, &options, &consumer));
    OK(oncelog_consumer_assign(consumer, names, 2));
    OK(oncelog_consumer_committed(consumer, "t", 0, &offset, &known));
    CHECK(!known);
    CHECK(polled(consumer) == 3);
    OK(oncelog_consumer_commit_ticket(consumer, &ticket));
    OK(oncelog_ticket_wait(ticket));
    OK(oncelog_ticket_free(ticket));
    OK(oncelog_consumer_positions(consumer, &positions));
    OK(oncelog_offsets_get(positions, &offsets, &count));
    for (size_t i = 0; i < count; i++) {
        CHECK(strcmp(offsets[i].topic, "t") == 0 && offsets[i].fields == 0 && offsets[i].metadata[0] == '\0');
        all += offsets[i].offset;
    }
    CHECK(all == 3);
    OK(oncelog_offsets_free(positions));
    CHECK(polled(consumer) == 3);
    OK(oncelog_consumer_rewind(consumer));
    CHECK(polled(consumer) == 3);
    OK(oncelog_consumer_free(consumer));

    OK(oncelog_consumer_open(engine, &options, &consumer));
    OK(oncelog_consumer_assign(consumer, names, 2));
    CHECK(polled(consumer) + polled(consumer) == 4);
    OK(oncelog_consumer_commit(consumer));
    OK(oncelog_consumer_seek(consumer, "t", 0, 4));
    OK(oncelog_consumer_position(consumer, "t", 0, &offset));
    CHECK(offset == 4);
    OK(oncelog_consumer_lag(consumer, "t", 0, &offset));
    CHECK(offset == 1);
    FAILS(OFFSET_OUT_OF_RANGE, oncelog_consumer_seek(consumer, "t", 0, 6));
    FAILS(INVALID_STATE, oncelog_consumer_seek(consumer, "t", 2, 0));
    OK(oncelog_consumer_free(consumer));
    OK(oncelog_engine_close(engine));
    drop_directory(directory);
}

/* Records of so many partitions are read on behind all that was counted of each. */
static void leads_behind(oncelog_records_t *records, const int *counts, uint32_t partitions)
{
    oncelog_offsets_t *list = NULL;
    const oncelog_offset_t *next = NULL;
    size_t count = 0;
    FAILS(INVALID_ARGUMENT, oncelog_records_next_offsets(records, NULL));
    FAILS(INVALID_ARGUMENT, oncelog_records_next_offsets(NULL, &list));
    CHECK(list == NULL);
    OK(oncelog_records_next_offsets(records, &list));
    OK(oncelog_offsets_get(list, &next, &count));
    CHECK(count == partitions);
    for (uint32_t i = 0; i < partitions; i++) {
        CHECK(strcmp(next[i].topic, "t") == 0 && next[i].partition == i && next[i].offset == (uint64_t)counts[i]);
        CHECK(next[i].fields == 0 && next[i].metadata[0] == '\0');
    }
    OK(oncelog_offsets_free(list));
}

static void each_view_names_the_partition_it_is_of_wherever_an_array_ends(void)
{
    char *directory = new_directory();
    oncelog_engine_t *engine = open_with_topic(directory, 4);
    oncelog_topic_partition_t names[] = {{"t", 0}, {"t", 1}, {"t", 2}, {"t", 3}};
    const int counts[] = {45, 3, 70, 33};
    uint64_t next[4] = {0};
    oncelog_consumer_t *consumer = NULL;
    oncelog_records_t *records = NULL;
    const oncelog_record_view_t *views = NULL;
    size_t count = 0;
    for (uint32_t i = 0; i < 4; i++)
        fill(engine, i, counts[i]);
    OK(oncelog_consumer_open(engine, NULL, &consumer));
    OK(oncelog_consumer_assign(consumer, names, 4));
    OK(oncelog_consumer_poll(consumer, 0, &records));
    for (int walk = 0; walk < 2; walk++) {
        memset(next, 0, sizeof next);
        for (;;) {
            OK(oncelog_records_next(records, &views, &count));
            if (count == 0)
                break;
            for (size_t i = 0; i < count; i++)
                CHECK(strcmp(views[i].topic, "t") == 0 && views[i].offset == next[views[i].partition]++);
        }
        for (uint32_t i = 0; i < 4; i++)
            CHECK(next[i] == (uint64_t)counts[i]);
        OK(oncelog_records_rewind(records));
    }
    leads_behind(records, counts, 4);
    OK(oncelog_records_free(records));
    OK(oncelog_consumer_free(consumer));
    OK(oncelog_engine_close(engine));
    drop_directory(directory);
}

static void any_offsets_of_a_group_can_be_committed(void)
{
    char *directory = new_directory();
    oncelog_engine_t *engine = open_with_topic(directory, 2);
    oncelog_consumer_options_t options = {.struct_size = sizeof options, .group = "g"};
    oncelog_offset_t offset = {.topic = "t", .partition = 1, .offset = 12, .metadata = "m"};
    oncelog_consumer_t *consumer = NULL, *nobody = NULL;
    oncelog_group_metadata_t group = {.struct_size = sizeof group};
    oncelog_bounds_t bounds;
    oncelog_ticket_t *ticket = NULL;
    uint64_t found = 0;
    bool known = false;
    OK(oncelog_consumer_open(engine, &options, &consumer));
    OK(oncelog_consumer_commit_offsets(consumer, &offset, 1));
    OK(oncelog_consumer_committed(consumer, "t", 1, &found, &known));
    CHECK(known && found == 12);
    offset.offset = 13;
    OK(oncelog_consumer_commit_offsets_ticket(consumer, &offset, 1, &ticket));
    OK(oncelog_ticket_wait(ticket));
    OK(oncelog_ticket_free(ticket));
    OK(oncelog_consumer_committed(consumer, "t", 1, &found, &known));
    CHECK(found == 13);
    OK(oncelog_consumer_bounds(consumer, "t", 1, &bounds));
    CHECK(bounds.end == 0);

    /* What was stored beside the offset comes back; what nothing is committed for is left out. */
    oncelog_topic_partition_t names[] = {{.topic = "t"}, {.topic = "t", .partition = 1}};
    oncelog_offsets_t *committed = NULL;
    const oncelog_offset_t *offsets = NULL;
    size_t count = 0;
    offset.fields = ONCELOG_OFFSET_LEADER_EPOCH;
    offset.leader_epoch = 7;
    OK(oncelog_consumer_commit_offsets(consumer, &offset, 1));
    OK(oncelog_consumer_committed_offsets(consumer, names, 2, &committed));
    OK(oncelog_offsets_get(committed, &offsets, &count));
    CHECK(count == 1 && strcmp(offsets->topic, "t") == 0 && offsets->partition == 1 && offsets->offset == 13);
    CHECK(strcmp(offsets->metadata, "m") == 0 && offsets->leader_epoch == 7);
    CHECK(offsets->fields == ONCELOG_OFFSET_LEADER_EPOCH);
    OK(oncelog_offsets_free(committed));
    OK(oncelog_consumer_committed_offsets_ticket(consumer, names, 2, &ticket));
    OK(oncelog_ticket_wait(ticket));
    OK(oncelog_ticket_offsets(ticket, &committed));
    OK(oncelog_offsets_get(committed, &offsets, &count));
    CHECK(count == 1 && offsets->offset == 13 && strcmp(offsets->metadata, "m") == 0);
    FAILS(INVALID_STATE, oncelog_ticket_offset(ticket, &found, &known));
    OK(oncelog_offsets_free(committed));
    OK(oncelog_ticket_free(ticket));
    OK(oncelog_consumer_committed_offsets(consumer, NULL, 0, &committed));
    OK(oncelog_offsets_get(committed, &offsets, &count));
    CHECK(count == 0);
    OK(oncelog_offsets_free(committed));
    names[0].partition = 2;
    FAILS(UNKNOWN_TOPIC_OR_PARTITION, oncelog_consumer_committed_offsets(consumer, names, 2, &committed));

    offset.partition = 2;
    FAILS(UNKNOWN_TOPIC_OR_PARTITION, oncelog_consumer_commit_offsets(consumer, &offset, 1));

    OK(oncelog_consumer_open(engine, NULL, &nobody));
    FAILS(INVALID_ARGUMENT, oncelog_consumer_commit(nobody));
    FAILS(INVALID_ARGUMENT, oncelog_consumer_committed_offsets(nobody, names, 1, &committed));
    FAILS(INVALID_ARGUMENT, oncelog_consumer_group_metadata(nobody, &group));
    oncelog_records_t *records = NULL;
    FAILS(INVALID_STATE, oncelog_consumer_poll(nobody, 0, &records));
    FAILS(INVALID_ARGUMENT, oncelog_consumer_assign(nobody, NULL, 0));
    oncelog_topic_partition_t twice[] = {{"t", 0}, {"t", 0}};
    FAILS(INVALID_ARGUMENT, oncelog_consumer_assign(nobody, twice, 2));
    OK(oncelog_consumer_free(nobody));
    OK(oncelog_consumer_free(consumer));
    OK(oncelog_engine_close(engine));
    drop_directory(directory);
}

/* What a ticket answers, once it has its answer. */
static uint64_t asked(oncelog_ticket_t *ticket, bool *known)
{
    uint64_t offset = 9;
    OK(oncelog_ticket_wait(ticket));
    OK(oncelog_ticket_offset(ticket, &offset, known));
    OK(oncelog_ticket_free(ticket));
    return offset;
}

/* Without threads nothing is flushed but what somebody waits for. */
static void where_a_group_stands_is_told_without_waiting_and_once_it_is_safe(void)
{
    char *directory = new_directory();
    oncelog_engine_options_t engine_options = {.struct_size = sizeof engine_options, .threads = ONCELOG_NO};
    oncelog_consumer_options_t options = {.struct_size = sizeof options, .group = "g", .max_records = 3};
    oncelog_topic_partition_t name = {"t", 0};
    oncelog_engine_t *engine = NULL;
    oncelog_consumer_t *first = NULL, *consumer = NULL;
    oncelog_ticket_t *settled = NULL, *committed = NULL, *position = NULL, *lag = NULL;
    bool known = true, done = true;
    OK(oncelog_open(directory, &engine_options, &engine));
    OK(oncelog_create_topic(engine, "t", NULL));
    fill(engine, 0, 5);
    OK(oncelog_consumer_open(engine, &options, &first));
    FAILS(INVALID_STATE, oncelog_consumer_settle_ticket(first, &settled));
    FAILS(INVALID_STATE, oncelog_consumer_position_ticket(first, "t", 0, &position));
    FAILS(INVALID_STATE, oncelog_consumer_lag_ticket(first, "t", 0, &lag));
    FAILS(UNKNOWN_TOPIC_OR_PARTITION, oncelog_consumer_committed_ticket(first, "t", 7, &committed));
    FAILS(INVALID_ARGUMENT, oncelog_consumer_committed_ticket(first, "t", 0, NULL));
    OK(oncelog_consumer_assign(first, &name, 1));
    OK(oncelog_consumer_committed_ticket(first, "t", 0, &committed));
    CHECK(asked(committed, &known) == 0 && !known);
    CHECK(polled(first) == 3);
    OK(oncelog_consumer_commit_ticket(first, NULL));

    OK(oncelog_consumer_open(engine, &options, &consumer));
    OK(oncelog_consumer_assign(consumer, &name, 1));
    OK(oncelog_consumer_settle_ticket(consumer, &settled));
    OK(oncelog_consumer_committed_ticket(consumer, "t", 0, &committed));
    OK(oncelog_consumer_position_ticket(consumer, "t", 0, &position));
    OK(oncelog_consumer_lag_ticket(consumer, "t", 0, &lag));
    FAILS(INVALID_STATE, oncelog_ticket_offset(committed, &(uint64_t){0}, &known));
    OK(oncelog_ticket_poll(settled, &done));
    CHECK(!done);
    OK(oncelog_ticket_wait(settled));
    FAILS(INVALID_STATE, oncelog_ticket_offset(settled, &(uint64_t){0}, &known));
    OK(oncelog_ticket_free(settled));
    OK(oncelog_ticket_poll(lag, &done));
    CHECK(done);
    CHECK(asked(committed, &known) == 3 && known);
    CHECK(asked(position, &known) == 3 && known && asked(lag, &known) == 2 && known);
    CHECK(polled(consumer) == 2);
    OK(oncelog_consumer_free(consumer));
    OK(oncelog_consumer_free(first));
    OK(oncelog_engine_close(engine));
    drop_directory(directory);
}

static void the_start_rule_says_where_to_begin(void)
{
    char *directory = new_directory();
    oncelog_engine_t *engine = open_with_topic(directory, 1);
    oncelog_topic_partition_t name = {"t", 0};
    oncelog_consumer_options_t options = {.struct_size = sizeof options};
    oncelog_records_t *records = NULL;
    fill(engine, 0, 4);
    for (options.start = 0; options.start <= ONCELOG_START_NONE; options.start++) {
        oncelog_consumer_t *consumer = NULL;
        OK(oncelog_consumer_open(engine, &options, &consumer));
        OK(oncelog_consumer_assign(consumer, &name, 1));
        if (options.start == ONCELOG_START_NONE)
            FAILS(OFFSET_OUT_OF_RANGE, oncelog_consumer_poll(consumer, 0, &records));
        else
            CHECK(polled(consumer) == (options.start == ONCELOG_START_LATEST ? 0 : 4));
        OK(oncelog_consumer_free(consumer));
    }
    OK(oncelog_engine_close(engine));
    drop_directory(directory);
}

/* Two threads that only try again may meet each other's turns for ever where one runs at a time (valgrind). */
static void let_the_other_run(void)
{
    struct timespec moment = {.tv_nsec = 1000000};
    nanosleep(&moment, NULL);
}

static void *poll_to_the_end(void *consumer)
{
    oncelog_error_code_t code = ONCELOG_ERROR_BUSY;
    while (code == ONCELOG_ERROR_BUSY) {
        oncelog_records_t *records = NULL;
        let_the_other_run();
        oncelog_error_t *error = oncelog_consumer_poll(consumer, ONCELOG_FOREVER, &records);
        code = oncelog_error_code(error);
        oncelog_error_free(error);
    }
    CHECK(code == ONCELOG_ERROR_CLOSED);
    return NULL;
}

static void one_thread_polls_at_a_time_and_a_close_wakes_it(void)
{
    char *directory = new_directory();
    oncelog_engine_t *engine = open_with_topic(directory, 1);
    oncelog_topic_partition_t name = {"t", 0};
    oncelog_consumer_t *consumer = NULL;
    oncelog_records_t *records = NULL;
    oncelog_error_t *error = NULL;
    pthread_t other;
    OK(oncelog_consumer_open(engine, NULL, &consumer));
    OK(oncelog_consumer_assign(consumer, &name, 1));
    CHECK(pthread_create(&other, NULL, poll_to_the_end, consumer) == 0);
    while ((error = oncelog_consumer_poll(consumer, 0, &records)) == NULL) {
        OK(oncelog_records_free(records));
        let_the_other_run();
    }
    CHECK(oncelog_error_code(error) == ONCELOG_ERROR_BUSY && oncelog_error_is_retriable(error));
    oncelog_error_free(error);
    OK(oncelog_engine_close(engine));
    CHECK(pthread_join(other, NULL) == 0);
    OK(oncelog_consumer_free(consumer));
    drop_directory(directory);
}

/* Of one consumer, and of all that have a group, as numbers. */
static void how_far_groups_are_behind_is_told_in_numbers(void)
{
    char *directory = new_directory();
    oncelog_engine_t *engine = open_with_topic(directory, 2);
    oncelog_consumer_options_t options = {.struct_size = sizeof options, .group = "g", .max_records = 3};
    oncelog_topic_partition_t names[] = {{"t", 0}, {"t", 1}};
    oncelog_consumer_t *consumer = NULL, *nobody = NULL;
    oncelog_consumer_lags_t *lags = NULL;
    const oncelog_consumer_lag_t *all = NULL;
    uint64_t lag = 0;
    size_t count = 9;
    fill(engine, 0, 5);
    OK(oncelog_consumer_lags(engine, &lags));
    OK(oncelog_consumer_lags_get(lags, &all, &count));
    CHECK(count == 0);
    OK(oncelog_consumer_lags_free(lags));
    OK(oncelog_consumer_open(engine, &options, &consumer));
    OK(oncelog_consumer_assign(consumer, names, 2));
    OK(oncelog_consumer_open(engine, NULL, &nobody));
    OK(oncelog_consumer_assign(nobody, names, 2));
    CHECK(polled(consumer) == 3 && polled(nobody) == 5);
    OK(oncelog_consumer_lags(engine, &lags));
    OK(oncelog_consumer_free(consumer));
    OK(oncelog_consumer_lags_get(lags, &all, &count));
    CHECK(count >= 1 && strcmp(all[0].group, "g") == 0 && strcmp(all[0].topic, "t") == 0 && all[0].partition == 0);
    CHECK(all[0].position == 3 && all[0].lag == 2);
    CHECK(count == 1 || (all[1].partition == 1 && all[1].position == 0 && all[1].lag == 0));
    OK(oncelog_consumer_lags_free(lags));
    FAILS(CLOSED, oncelog_consumer_lags_get(lags, &all, &count));
    FAILS(INVALID_ARGUMENT, oncelog_consumer_lags(engine, NULL));
    OK(oncelog_consumer_lags_free(NULL));
    OK(oncelog_consumer_lag(nobody, "t", 0, &lag));
    CHECK(lag == 0);
    OK(oncelog_consumer_free(nobody));
    OK(oncelog_engine_close(engine));
    FAILS(CLOSED, oncelog_consumer_lags(engine, &lags));
    drop_directory(directory);
}

int main(void)
{
    how_far_groups_are_behind_is_told_in_numbers();
    a_group_goes_on_where_it_committed();
    each_view_names_the_partition_it_is_of_wherever_an_array_ends();
    any_offsets_of_a_group_can_be_committed();
    where_a_group_stands_is_told_without_waiting_and_once_it_is_safe();
    the_start_rule_says_where_to_begin();
    one_thread_polls_at_a_time_and_a_close_wakes_it();
    return 0;
}
