/* Calls drawn from bytes, legal and illegal, on handles that all threads share. Used by random_calls.c, whose bytes are
 * random, and by fuzz_calls.c, whose bytes a fuzzer makes up. Little of what a call answers is checked: what must hold
 * is that nothing breaks, whatever comes. */
#ifndef CALLS_H
#define CALLS_H

#include <stdatomic.h>

#include "check.h"

/* Where the bytes come from: an array, or, when `data` is NULL, a generator without end. */
struct source {
    const unsigned char *data;
    size_t left;
    uint64_t state;
    unsigned long illegal, succeeded;
};

static inline uint64_t next_number(struct source *source)
{
    if (source->data != NULL) {
        uint64_t number = 0;
        for (int i = 0; i < 2 && source->left > 0; i++, source->left--)
            number = number << 8 | *source->data++;
        return number;
    }
    uint64_t z = source->state += 0x9e3779b97f4a7c15;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
    z = (z ^ z >> 27) * 0x94d049bb133111eb;
    return z ^ z >> 31;
}

static inline unsigned below(struct source *source, unsigned limit)
{
    return (unsigned)(next_number(source) % limit);
}

enum kind {
    ENGINE, TOPICS, PARTITION, RECORDS, PRODUCER, TICKET, TRANSACTIONAL, TRANSACTION, CONSUMER, OFFSETS, COMPLETIONS,
    TEXT, OPEN_TRANSACTIONS, LAGS, ACTIVE, KINDS
};

#define PLACES 16

struct shared {
    _Atomic(void *) places[KINDS][PLACES];
    /* The directories of four logs. */
    const char *directories[4];
    atomic_ulong callbacks;
};

/* An error, or none: looked at as a caller would, and freed; some are freed twice. */
static inline void seen(struct source *source, oncelog_error_t *error)
{
    if (error == NULL) {
        source->succeeded++;
        return;
    }
    CHECK(oncelog_error_code(error) != ONCELOG_OK && strlen(oncelog_error_name(error)) > 1);
    CHECK(strlen(oncelog_error_message(error)) > 10);
    CHECK(oncelog_error_code(error) != ONCELOG_ERROR_INTERNAL && oncelog_error_code(error) != ONCELOG_ERROR_PANIC);
    (void)oncelog_error_cause(error);
    (void)(oncelog_error_is_retriable(error) + oncelog_error_is_fatal(error) + oncelog_error_requires_abort(error));
    oncelog_error_free(error);
    if (below(source, 16) == 0)
        oncelog_error_free(error);
}

static inline oncelog_error_t *free_one(enum kind kind, void *handle)
{
    switch (kind) {
    case ENGINE: return oncelog_engine_close(handle);
    case TOPICS: return oncelog_topics_free(handle);
    case TEXT: return oncelog_text_free(handle);
    case OPEN_TRANSACTIONS: return oncelog_open_transactions_free(handle);
    case LAGS: return oncelog_consumer_lags_free(handle);
    case ACTIVE: return oncelog_active_producers_free(handle);
    case PARTITION: return oncelog_partition_free(handle);
    case RECORDS: return oncelog_records_free(handle);
    case PRODUCER: return oncelog_producer_free(handle);
    case TICKET: return oncelog_ticket_free(handle);
    case TRANSACTIONAL: return oncelog_transactional_producer_free(handle);
    case TRANSACTION: return oncelog_transaction_free(handle);
    case CONSUMER: return oncelog_consumer_free(handle);
    case OFFSETS: return oncelog_offsets_free(handle);
    case COMPLETIONS: return oncelog_completions_free(handle);
    default: return NULL;
    }
}

/* Shares a handle with all threads; frees the one whose place it takes, whoever may be using it. */
static inline void share(struct source *source, struct shared *shared, enum kind kind, void *handle)
{
    if (handle != NULL)
        seen(source, free_one(kind, atomic_exchange(&shared->places[kind][below(source, PLACES)], handle)));
}

/* A handle: in two of three calls one that was shared, which may be freed by now; else one that is illegal. */
static inline void *pick(struct source *source, struct shared *shared, enum kind kind)
{
    void *handle = NULL;
    for (unsigned i = 0, at = below(source, PLACES); i < PLACES && handle == NULL; i++)
        handle = atomic_load(&shared->places[kind][(at + i) % PLACES]);
    if (below(source, 3) > 0)
        return handle;
    source->illegal++;
    /* Some records and tickets are one thread's own, which nobody else may guess: high bits alone are flipped. */
    unsigned bit = below(source, 64) | (kind == RECORDS || kind == TICKET ? 48 : 0);
    switch (below(source, 5)) {
    case 0: return NULL;
    case 1: return (void *)(uintptr_t)next_number(source);
    case 2: return (void *)((uintptr_t)handle ^ (uintptr_t)1 << bit);
    case 3: return source;
    default: return atomic_load(&shared->places[below(source, KINDS)][below(source, PLACES)]);
    }
}

static const char *const NAMES[] = {"a", "b", "c", "", "missing", "\xff", "a/b", NULL};

static inline const char *name(struct source *source)
{
    return below(source, 4) > 0 ? NAMES[below(source, 3)] : NAMES[below(source, 8)];
}

#define RECORDS_MOST 8

/* Records that are mostly well made. `headers` has room for two. */
static inline size_t make_records(struct source *source, oncelog_record_t *records, oncelog_header_t *headers)
{
    static const char BYTES[300];
    size_t count = below(source, RECORDS_MOST + 1);
    memset(records, 0, RECORDS_MOST * sizeof *records);
    headers[0] = (oncelog_header_t){"h", "v", 1};
    headers[1] = (oncelog_header_t){below(source, 16) ? "i" : NULL, NULL, 0};
    for (size_t i = 0; i < count; i++) {
        unsigned odd = below(source, 64);
        records[i].value = odd == 0 ? NULL : BYTES;
        records[i].value_size = odd == 1 ? SIZE_MAX : below(source, sizeof BYTES);
        records[i].key = odd < 40 ? NULL : BYTES;
        records[i].key_size = odd < 40 ? 0 : below(source, 9);
        records[i].headers = odd == 50 ? headers : NULL;
        records[i].header_count = odd == 50 ? 2 : 0;
        records[i].fields = odd == 2 ? 64 : odd < 32 ? below(source, 4) : 0;
        records[i].partition = below(source, 3);
        records[i].timestamp = odd == 3 ? -5 : (int64_t)below(source, 1000);
    }
    return count;
}

/* For the functions below, whose names these are. */
#define PICK(kind) pick(source, shared, kind)

/* Freeing is rarer than the rest, so that there is something to call. */
#define RARELY(call)                                                                                        \
    do {                                                                                                    \
        if (below(source, 4) == 0)                                                                          \
            seen(source, call);                                                                             \
    } while (0)

/* A ticket, or another handle, that a call makes. */
#define MADE(type) ((oncelog_##type##_t **)&made)

void call_engine(struct source *source, struct shared *shared);
void call_partition(struct source *source, struct shared *shared);
void call_producer(struct source *source, struct shared *shared);
void call_transaction(struct source *source, struct shared *shared);
void call_raw(struct source *source, struct shared *shared);
void call_consumer(struct source *source, struct shared *shared);
void call_ticket(struct source *source, struct shared *shared);
void call_records(struct source *source, struct shared *shared);
void call_seldom(struct source *source, struct shared *shared);

/* Makes one call or few. */
static inline void call_any(struct source *source, struct shared *shared)
{
    switch (below(source, 14)) {
    case 0: call_engine(source, shared); break;
    case 1: case 2: call_partition(source, shared); break;
    case 3: case 4: call_producer(source, shared); break;
    case 5: case 6: call_transaction(source, shared); break;
    case 7: case 8: call_consumer(source, shared); break;
    case 9: case 10: call_ticket(source, shared); break;
    case 11: call_raw(source, shared); break;
    case 12: call_seldom(source, shared); break;
    default: call_records(source, shared); break;
    }
}

static inline void open_log(struct source *source, struct shared *shared, unsigned which)
{
    oncelog_engine_options_t options = {.struct_size = sizeof options, .durability = ONCELOG_DURABILITY_OS};
    oncelog_engine_t *engine = NULL;
    options.threads = which % 2 ? ONCELOG_NO : ONCELOG_YES;
    options.segment_bytes = 1 << 20;
    options.visibility = which / 2 ? ONCELOG_VISIBILITY_DURABLE : ONCELOG_VISIBILITY_LEVEL;
    options.keep_raw_transactions = which / 2 ? ONCELOG_YES : ONCELOG_NO;
    seen(source, oncelog_open(shared->directories[which], &options, &engine));
    if (engine != NULL)
        atomic_store(&shared->places[ENGINE][which], engine);
}

static inline void open_shared(struct source *source, struct shared *shared)
{
    for (unsigned which = 0; which < 4; which++) {
        shared->directories[which] = new_directory();
        open_log(source, shared, which);
    }
}

static inline void close_shared(struct source *source, struct shared *shared)
{
    for (int kind = KINDS - 1; kind >= 0; kind--)
        for (int place = 0; place < PLACES; place++)
            seen(source, free_one((enum kind)kind, atomic_exchange(&shared->places[kind][place], NULL)));
    for (int i = 0; i < 4; i++)
        drop_directory((char *)shared->directories[i]);
}

#endif
