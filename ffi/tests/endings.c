/* A log is closed where a process or a thread ends, when much of what belongs to the thread is gone already. */
#include <pthread.h>
#include <sys/wait.h>

#include "check.h"

static oncelog_engine_t *engine;
static oncelog_producer_t *producer;

/* Opens the log and sends what nobody waits for: the close has something to do. */
static void open_and_send(const char *directory)
{
    oncelog_producer_options_t options = {.struct_size = sizeof options, .linger_ms = 1000000};
    oncelog_record_t record = text_record("sent");
    engine = open_with_topic(directory, 1);
    OK(oncelog_producer_open(engine, &options, &producer));
    for (int i = 0; i < 10; i++)
        OK(oncelog_producer_send(producer, "t", &record, NULL));
}

/* No exit here, where the process may be in one: what fails ends it by a signal. */
static void close_all(void)
{
    oncelog_record_t record = text_record("late");
    oncelog_error_t *error = oncelog_engine_close(engine);
    if (error != NULL) {
        fprintf(stderr, "the close answers %s: %s\n", oncelog_error_name(error), oncelog_error_message(error));
        abort();
    }
    error = oncelog_producer_send(producer, "t", &record, NULL);
    if (oncelog_error_code(error) != ONCELOG_ERROR_CLOSED)
        abort();
    oncelog_error_free(error);
    if (oncelog_producer_free(producer) != NULL)
        abort();
}

static void when_the_thread_ends(void *unused)
{
    (void)unused;
    close_all();
}

/* Ends with the log of the process, which it opens itself or finds open. */
static void *a_thread(void *directory)
{
    static pthread_key_t key;
    CHECK(pthread_key_create(&key, when_the_thread_ends) == 0);
    CHECK(pthread_setspecific(key, &key) == 0);
    if (engine == NULL)
        open_and_send(directory);
    return NULL;
}

static void at_exit(const char *directory)
{
    CHECK(atexit(close_all) == 0);
    open_and_send(directory);
}

static void at_the_end_of_a_thread(const char *directory)
{
    pthread_t thread;
    CHECK(pthread_create(&thread, NULL, a_thread, (void *)directory) == 0);
    CHECK(pthread_join(thread, NULL) == 0);
}

static void at_the_end_of_a_thread_that_called_nothing_before(const char *directory)
{
    open_and_send(directory);
    at_the_end_of_a_thread(directory);
}

/* Runs it in a process of its own, and looks at what that left. */
static void a_log_is_closed_well(void (*there)(const char *directory))
{
    char *directory = new_directory();
    const oncelog_opening_t *opening = NULL;
    int status = 0;
    pid_t pid = fork();
    CHECK(pid >= 0);
    if (pid == 0) {
        alarm(600);
        engine = NULL;
        there(directory);
        free(directory);
        exit(0);
    }
    CHECK(waitpid(pid, &status, 0) == pid && status == 0);
    OK(oncelog_open(directory, NULL, &engine));
    OK(oncelog_opening(engine, &opening));
    CHECK(opening->cut_bytes == 0 && opening->frames_copied == 0 && opening->frames_folded < 10);
    CHECK(end_of(engine, "t") == 10);
    OK(oncelog_engine_close(engine));
    drop_directory(directory);
}

int main(void)
{
    a_log_is_closed_well(at_exit);
    a_log_is_closed_well(at_the_end_of_a_thread);
    a_log_is_closed_well(at_the_end_of_a_thread_that_called_nothing_before);
    return 0;
}
