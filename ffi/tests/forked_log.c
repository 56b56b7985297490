/* A forked child makes logs of its own, whatever its parent's threads were doing. */
#include "busy.h"

/* Threads that wait in the parent. */
#define STARVING 40

/* Waits for records until the log is closed. */
static void *starve(void *consumer)
{
    oncelog_records_t *records = NULL;
    FAILS(CLOSED, oncelog_consumer_poll(consumer, ONCELOG_FOREVER, &records));
    OK(oncelog_consumer_free(consumer));
    return NULL;
}

/* A log with threads that get into each other's way, from its making to its end. */
static void use_a_log_of_its_own(void)
{
    char *directory = new_directory();
    oncelog_engine_t *engine = open_with_topic(directory, 1);
    pthread_t threads[3];
    stopped = 0;
    for (int i = 0; i < 3; i++)
        CHECK(pthread_create(&threads[i], NULL, work, engine) == 0);
    while (end_of(engine, "t") < 20)
        OK(oncelog_flush(engine));
    __atomic_store_n(&stopped, 1, __ATOMIC_SEQ_CST);
    for (int i = 0; i < 3; i++)
        CHECK(pthread_join(threads[i], NULL) == 0);
    OK(oncelog_engine_close(engine));
    drop_directory(directory);
}

/* What the threads of the parent were waiting for, and with what in hand, is nothing to a child that makes a log of its
 * own: once its waiters stood in one table with those of its parent, whose stacks its own threads had been given, and
 * it died or waited for ever. */
static void a_child_of_a_busy_parent_has_logs_of_its_own(void)
{
    char *directory = new_directory();
    oncelog_engine_t *engine = open_with_topic(directory, 1);
    oncelog_topic_partition_t name = {"empty", 0};
    pthread_t starving[STARVING], threads[3];
    OK(oncelog_create_topic(engine, "empty", NULL));
    for (int i = 0; i < STARVING; i++) {
        oncelog_consumer_t *consumer = NULL;
        OK(oncelog_consumer_open(engine, NULL, &consumer));
        OK(oncelog_consumer_assign(consumer, &name, 1));
        CHECK(pthread_create(&starving[i], NULL, starve, consumer) == 0);
    }
    stopped = 0;
    for (int i = 0; i < 3; i++)
        CHECK(pthread_create(&threads[i], NULL, work, engine) == 0);
    for (int i = 0; i < forks(); i++) {
        pid_t pid = fork();
        CHECK(pid >= 0);
        if (pid == 0) {
            alarm(600); /* a busy machine takes its time: once one minute was too short */
            for (int logs = 0; logs < 2; logs++)
                use_a_log_of_its_own();
            _exit(0);
        }
        CHECK(wait_for(pid) == 0);
    }
    __atomic_store_n(&stopped, 1, __ATOMIC_SEQ_CST);
    for (int i = 0; i < 3; i++)
        CHECK(pthread_join(threads[i], NULL) == 0);
    OK(oncelog_engine_close(engine));
    for (int i = 0; i < STARVING; i++)
        CHECK(pthread_join(starving[i], NULL) == 0);
    drop_directory(directory);
}

int main(void)
{
    a_child_of_a_busy_parent_has_logs_of_its_own();
    return 0;
}
