/* What the tests of forks share: threads that are busy with a log, and children that end well. */
#ifndef BUSY_H
#define BUSY_H

#include <pthread.h>
#include <sys/wait.h>

#include "check.h"

static inline int wait_for(pid_t pid)
{
    int status = 0;
    CHECK(waitpid(pid, &status, 0) == pid);
    return status;
}

/* How many children a test has; FORKS says another number. */
static inline int forks(void)
{
    return getenv("FORKS") ? atoi(getenv("FORKS")) : 20;
}

/* A thread that sends, waits, polls, and takes and gives back handles, until it is told to stop. */
static int stopped;

static inline void *work(void *given)
{
    oncelog_engine_t *engine = given;
    oncelog_producer_t *producer = NULL;
    oncelog_consumer_t *consumer = NULL;
    oncelog_topic_partition_t name = {"t", 0};
    oncelog_record_t record = text_record("busy");
    OK(oncelog_producer_open(engine, NULL, &producer));
    OK(oncelog_consumer_open(engine, NULL, &consumer));
    OK(oncelog_consumer_assign(consumer, &name, 1));
    while (!__atomic_load_n(&stopped, __ATOMIC_SEQ_CST)) {
        oncelog_partition_t *partition = NULL;
        oncelog_records_t *records = NULL;
        oncelog_ticket_t *ticket = NULL;
        OK(oncelog_producer_send(producer, "t", &record, &ticket));
        OK(oncelog_ticket_wait(ticket));
        OK(oncelog_ticket_free(ticket));
        OK(oncelog_consumer_poll(consumer, 0, &records));
        OK(oncelog_records_free(records));
        OK(oncelog_partition_open(engine, "t", 0, &partition));
        OK(oncelog_partition_free(partition));
    }
    OK(oncelog_consumer_free(consumer));
    OK(oncelog_producer_free(producer));
    return NULL;
}

#endif
