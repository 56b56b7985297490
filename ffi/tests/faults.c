/* A disk that fails: what each failure answers, and what it leaves. The calls that the library makes are this program's
 * own, which pass them on to the system unless the test says that they fail. */
#include <errno.h>
#include <sys/syscall.h>

#include "check.h"

/* What the calls answer instead, as an errno; 0 while the disk works. Set and asked by several threads. */
static int reads_fail, flushes_fail, space_is_gone;

static int failing(int *what)
{
    int number = __atomic_load_n(what, __ATOMIC_SEQ_CST);
    if (number != 0)
        errno = number;
    return number;
}

static void set(int *what, int number)
{
    __atomic_store_n(what, number, __ATOMIC_SEQ_CST);
}

ssize_t pread64(int file, void *bytes, size_t size, off64_t at)
{
    return failing(&reads_fail) ? -1 : (ssize_t)syscall(SYS_pread64, file, bytes, size, at);
}

int fdatasync(int file)
{
    return failing(&flushes_fail) ? -1 : (int)syscall(SYS_fdatasync, file);
}

int fallocate(int file, int mode, off_t at, off_t size)
{
    return failing(&space_is_gone) ? -1 : (int)syscall(SYS_fallocate, file, mode, at, size);
}

/* An error with the answers to the three questions; frees it. */
static void check_error(oncelog_error_t *error, oncelog_error_code_t code, bool retriable, bool fatal)
{
    if (oncelog_error_code(error) != code)
        FAIL("%s, not %d: %s", oncelog_error_name(error), (int)code, oncelog_error_message(error));
    CHECK(oncelog_error_is_retriable(error) == retriable && oncelog_error_is_fatal(error) == fatal);
    oncelog_error_free(error);
}

static void a_failed_read_is_told_and_may_be_tried_again(void)
{
    char *directory = new_directory();
    oncelog_engine_t *engine = open_with_topic(directory, 1);
    oncelog_partition_t *partition = NULL;
    oncelog_records_t *records = NULL;
    oncelog_record_t record = text_record("v");
    uint64_t count = 0;
    OK(oncelog_partition_open(engine, "t", 0, &partition));
    OK(oncelog_partition_append(partition, &record, 1, NULL, NULL));
    OK(oncelog_partition_free(partition));
    OK(oncelog_engine_close(engine));
    /* Opened again, the record lies in the file alone. */
    OK(oncelog_open(directory, NULL, &engine));
    OK(oncelog_partition_open(engine, "t", 0, &partition));
    set(&reads_fail, EIO);
    check_error(oncelog_partition_read(partition, 0, NULL, &records), ONCELOG_ERROR_IO, true, false);
    CHECK(records == NULL);
    set(&reads_fail, 0);
    OK(oncelog_partition_read(partition, 0, NULL, &records));
    OK(oncelog_records_count(records, &count));
    CHECK(count == 1);
    OK(oncelog_records_free(records));
    OK(oncelog_partition_free(partition));
    OK(oncelog_engine_close(engine));
    drop_directory(directory);
}

static void without_space_nothing_is_written_and_the_same_handle_goes_on_when_there_is_some(void)
{
    static char value[8000];
    char *directory = new_directory();
    oncelog_engine_options_t small = {.struct_size = sizeof small, .segment_bytes = 64 << 10};
    oncelog_engine_t *engine = NULL;
    oncelog_partition_t *partition = NULL;
    oncelog_record_t record = {.value = value, .value_size = sizeof value};
    oncelog_error_t *error = NULL;
    uint64_t end = 0;
    OK(oncelog_open(directory, &small, &engine));
    OK(oncelog_create_topic(engine, "t", NULL));
    OK(oncelog_partition_open(engine, "t", 0, &partition));
    set(&space_is_gone, ENOSPC);
    for (int i = 0; i < 1000 && error == NULL; i++)
        error = oncelog_partition_append(partition, &record, 1, NULL, NULL);
    CHECK(error != NULL);
    check_error(error, ONCELOG_ERROR_FULL, true, false);
    end = end_of(engine, "t");
    check_error(oncelog_partition_append(partition, &record, 1, NULL, NULL), ONCELOG_ERROR_FULL, true, false);
    CHECK(end_of(engine, "t") == end);
    set(&space_is_gone, 0);
    OK(oncelog_partition_append(partition, &record, 1, NULL, NULL));
    CHECK(end_of(engine, "t") == end + 1);
    OK(oncelog_partition_free(partition));
    OK(oncelog_engine_close(engine));
    drop_directory(directory);
}

static void a_failed_flush_leaves_what_it_held_unknown_and_refuses_all_that_follows(void)
{
    char *directory = new_directory();
    oncelog_engine_t *engine = open_with_topic(directory, 1);
    oncelog_partition_t *partition = NULL;
    oncelog_producer_t *producer = NULL;
    oncelog_ticket_t *ticket = NULL;
    oncelog_record_t record = text_record("v");
    uint64_t end = 0;
    OK(oncelog_partition_open(engine, "t", 0, &partition));
    OK(oncelog_producer_open(engine, NULL, &producer));
    OK(oncelog_partition_append(partition, &record, 1, NULL, NULL));
    set(&flushes_fail, EIO);
    OK(oncelog_producer_send(producer, "t", &record, &ticket));
    check_error(oncelog_ticket_wait(ticket), ONCELOG_ERROR_INDETERMINATE, false, true);
    check_error(oncelog_ticket_wait(ticket), ONCELOG_ERROR_INDETERMINATE, false, true);
    OK(oncelog_ticket_free(ticket));
    /* Flushes work again, and nothing is tried again: what the device has nobody knows. */
    set(&flushes_fail, 0);
    check_error(oncelog_partition_append(partition, &record, 1, NULL, NULL), ONCELOG_ERROR_POISONED, false, true);
    OK(oncelog_producer_send(producer, "t", &record, &ticket));
    check_error(oncelog_ticket_wait(ticket), ONCELOG_ERROR_POISONED, false, true);
    OK(oncelog_ticket_free(ticket));
    OK(oncelog_producer_free(producer));
    OK(oncelog_partition_free(partition));
    oncelog_error_free(oncelog_engine_close(engine));
    OK(oncelog_open(directory, NULL, &engine));
    end = end_of(engine, "t");
    CHECK(end == 1 || end == 2);
    OK(oncelog_engine_close(engine));
    drop_directory(directory);
}

int main(void)
{
    a_failed_read_is_told_and_may_be_tried_again();
    without_space_nothing_is_written_and_the_same_handle_goes_on_when_there_is_some();
    a_failed_flush_leaves_what_it_held_unknown_and_refuses_all_that_follows();
    return 0;
}
