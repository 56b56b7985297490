/*
 * oncelog: an embedded log with Kafka's delivery semantics. One directory, one library, no server.
 * This header is its manual for C, from C99 on; oncelog.hpp wraps it for C++17.
 *
 *     oncelog_engine_t *engine;
 *     oncelog_partition_t *greetings;
 *     oncelog_record_t hello = {.value = "hello", .value_size = 5};
 *     check(oncelog_open("words.log", NULL, &engine));
 *     check(oncelog_create_topic(engine, "greetings", NULL));
 *     check(oncelog_partition_open(engine, "greetings", 0, &greetings));
 *     check(oncelog_partition_append(greetings, &hello, 1, NULL, NULL));   // survives a power cut from here on
 *
 * Know before you start
 *
 *   - One process writes a directory at a time, alone; or any number of processes read it (.read_only = ONCELOG_YES).
 *     A second open answers LOCKED, by whatever path it comes, in another process or in this one.
 *   - After fork() the child's handles answer FORKED and touch nothing on disk. Open the log again in the child once
 *     the parent has closed it; other logs at any time, whatever the parent's threads were doing at the fork. What was
 *     read before (oncelog_records_t) may still be read. Do not fork in a signal handler, nor by a raw clone().
 *   - A write that is acknowledged survives a power cut, unless the engine, its topic, the producer or the append asks
 *     for less: level os survives the death of the process, level memory does not. INDETERMINATE says that nobody
 *     knows: a write or flush failed under the call. Close the log, open it again, and look.
 *   - A transaction that is not committed is never seen at read_committed: abort it, free it, close the log, or die.
 *   - Sealed segments are read through memory mappings. Should a device fail under one, the system may send SIGBUS (on
 *     Windows raise EXCEPTION_IN_PAGE_ERROR): open with .mappings = ONCELOG_NO to have an error instead. The library
 *     installs no signal handler and changes no signal mask of the caller's threads, and leaves errno as it likes.
 *   - Do not leave a call to this library, or a callback inside one, by longjmp or by an exception.
 *   - There are two threads of the engine's own, which run no code of yours but an allocator's, and take no signals
 *     that are sent to the process; with .threads = ONCELOG_NO there is none.
 *   - Pointers have 64 bits: for other machines there is no library, and this header does not compile.
 *
 * Ownership
 *
 *   - What you are answered is yours: each handle is freed by its own function, once. Freeing NULL does nothing.
 *   - What you pass is borrowed until the call returns; records are copied once, into the batch.
 *   - Pointers into a handle (a message, views of records, a list) live until that handle is freed.
 *   - Handles are numbers in the shape of pointers, looked up at each call: one that was freed or used up answers
 *     CLOSED; NULL, one of another type, or what was never a handle, INVALID_ARGUMENT. Never undefined behaviour, also
 *     when another thread frees a handle in the middle of a call: that call goes on with it to its end. Other pointers
 *     are trusted: NULL is answered with an error, but what is not NULL must point to what the function says.
 *   - Closing an engine closes the log for everything made from it. Those handles stay to be freed; calls that need the
 *     log answer CLOSED, and in a forked child FORKED. What a handle knows by itself it still tells: names, positions,
 *     bounds as they were; a queue of the parent's is empty for a child.
 *
 * Threads
 *
 *   - Every function may be called from any thread at any time. Calls on a handle that is const in the signature run
 *     side by side; those on one that is not answer BUSY while another thread is in one, they never wait for it. So do
 *     a few on a const handle, which say so: what looks at a walk or asks a ticket for its answer, while a call is at
 *     it that is not const, and a second poll. Of a thread that is not there, in a forked child, the answer is FORKED.
 *     Either way the handle is as it was.
 *
 * Errors
 *
 *   - A call that may fail returns an oncelog_error_t *, NULL for success. It is yours: free it. Outputs are written
 *     last, and not at all if the call fails. The answer of a function that frees may be thrown away: the errors of
 *     wrong handles are fixed objects that need no freeing; that of oncelog_engine_close alone may be another.
 *   - Comments name errors without their prefix: CLOSED is ONCELOG_ERROR_CLOSED. Every call may also answer
 *     INVALID_ARGUMENT for NULL or what is malformed; CLOSED, FORKED; INTERNAL or PANIC, which are bugs of the library;
 *     one that makes a handle LIMIT_EXCEEDED, with nothing done, while 8 million of its kind are live: free them.
 *   - is_retriable: the same call may succeed later. is_fatal: this handle is finished. requires_abort: abort the
 *     transaction and run it again.
 *
 * Structs
 *
 *   - Structs that begin with struct_size may grow at their end. Zero them and set struct_size:
 *     oncelog_engine_options_t options = {.struct_size = sizeof options, .durability = ONCELOG_DURABILITY_OS};
 *     All-zero means default. A struct of another version's size is taken, unless it sets a field that this version
 *     does not know: that is refused, not ignored.
 *   - Texts are UTF-8 and end with NUL. Keys and values are bytes with a size; NULL is null, not empty.
 *
 * Versions
 *
 *   - While the major version is 0 a program runs with the minor version that it was compiled for: soname
 *     liboncelog.so.0.1. assert(oncelog_version_number() / 1000 == ONCELOG_VERSION_NUMBER / 1000).
 *   - Error codes are fixed for ever. Any later version opens the directories of this one.
 *
 * SPDX-License-Identifier: MIT OR Apache-2.0. Made by cbindgen from the crate in ffi/; change it there.
 */


#ifndef ONCELOG_H
#define ONCELOG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#if UINTPTR_MAX < 0xffffffffffffffff
#error "oncelog is made for machines with pointers of 64 bits alone"
#endif

/* The answer of these functions must be looked at and freed. */
#if defined(__GNUC__) || defined(__clang__)
#define ONCELOG_MUST_USE __attribute__((warn_unused_result))
#elif defined(_MSC_VER)
#include <sal.h>
#define ONCELOG_MUST_USE _Check_return_
#else
#define ONCELOG_MUST_USE
#endif

/* What an event loop watches: a file descriptor; on Windows a socket, the number in a SOCKET. */
#ifdef _WIN32
typedef uintptr_t oncelog_fd_t;
#else
typedef int oncelog_fd_t;
#endif

/* The version of this header. */
#define ONCELOG_VERSION_MAJOR 0

/* While the major version is 0, each minor version may change what programs must be compiled against. */
#define ONCELOG_VERSION_MINOR 1

/* Patches change neither the header nor the files. */
#define ONCELOG_VERSION_PATCH 0

/* Major * 1,000,000 + minor * 1,000 + patch. */
#define ONCELOG_VERSION_NUMBER 1000

/* The same as text. */
#define ONCELOG_VERSION_STRING "0.1.0"

/* A timeout without an end. */
#define ONCELOG_FOREVER UINT32_MAX

/* A switch of an option struct: what the library does unless told otherwise. */
#define ONCELOG_DEFAULT 0

/* A switch of an option struct: on. */
#define ONCELOG_YES 1

/* A switch of an option struct: off. */
#define ONCELOG_NO 2

/* Acknowledged when written to the operating system, flushed within a second: survives the death of the process. */
#define ONCELOG_DURABILITY_OS 1

/* Acknowledged when flushed to the device: survives a power cut. The default of the engine. */
#define ONCELOG_DURABILITY_DISK 2

/*
 * Acknowledged when placed in the engine's buffer, written to the operating system within 10 ms or as soon as somebody
 * reads it, flushed within a second: survives nothing, not even the death of the process. The weakest of the three.
 */
#define ONCELOG_DURABILITY_MEMORY 3

/* Readers see a record when it has met its topic's level. The default. */
#define ONCELOG_VISIBILITY_LEVEL 1

/* Readers see a record when it is durable, whatever its topic's level: nothing that a power cut could take back. */
#define ONCELOG_VISIBILITY_DURABLE 2

/* Records carry their senders' timestamps. The default. */
#define ONCELOG_TIMESTAMP_CREATE_TIME 1

/* Every record of a batch has the clock's time at its append, whatever it was sent with. */
#define ONCELOG_TIMESTAMP_LOG_APPEND_TIME 2

/* Batches are not compressed. The default. */
#define ONCELOG_COMPRESSION_NONE 0

/* Deflate at its usual level: small and slow. */
#define ONCELOG_COMPRESSION_GZIP 1

/* Blocks of 32 KiB in the framing of Kafka's clients: quick, not very small. */
#define ONCELOG_COMPRESSION_SNAPPY 2

/* One frame of independent blocks of 64 KiB: the quickest. */
#define ONCELOG_COMPRESSION_LZ4 3

/* Level 3: smaller than gzip and several times quicker. */
#define ONCELOG_COMPRESSION_ZSTD 4

/* `oncelog_end_transaction`: records and offsets become part of the log. */
#define ONCELOG_OUTCOME_COMMIT 1

/* `oncelog_end_transaction`: they do not. */
#define ONCELOG_OUTCOME_ABORT 2

/* The transaction is not decided. */
#define ONCELOG_TRANSACTION_OPEN 1

/* Its records and offsets are part of the log. */
#define ONCELOG_TRANSACTION_COMMITTED 2

/* They never will be. */
#define ONCELOG_TRANSACTION_ABORTED 3

/*
 * Nothing is known of it: it was never begun, was aborted before anything of it lay in the log, or was decided so long
 * ago that its transactional id has decided 64 others since.
 */
#define ONCELOG_TRANSACTION_FORGOTTEN 4

/* Everything visible, records of open and aborted transactions included. */
#define ONCELOG_ISOLATION_READ_UNCOMMITTED 1

/* Records outside transactions and of committed ones, up to the last stable offset. The default. */
#define ONCELOG_ISOLATION_READ_COMMITTED 2

/* Where nothing is committed a consumer begins with the first record there is. The default. */
#define ONCELOG_START_EARLIEST 1

/* Where nothing is committed a consumer begins behind the last record there is. */
#define ONCELOG_START_LATEST 2

/*
 * Where nothing is committed `oncelog_consumer_poll` answers `ONCELOG_ERROR_OFFSET_OUT_OF_RANGE` until
 * `oncelog_consumer_seek` is called.
 */
#define ONCELOG_START_NONE 3

/* `linger_ms` of a producer that closes each batch at once. */
#define ONCELOG_LINGER_NONE UINT32_MAX

/* `oncelog_record_t::fields`: the record has a `timestamp`. */
#define ONCELOG_RECORD_TIMESTAMP 1

/* `oncelog_record_t::fields`: the record has a `partition` to go to. */
#define ONCELOG_RECORD_PARTITION 2

/* `oncelog_record_t::fields`: the record has a `position`. */
#define ONCELOG_RECORD_POSITION 4

/* `oncelog_offset_t::fields`: the offset has a `leader_epoch`. */
#define ONCELOG_OFFSET_LEADER_EPOCH 1

/* Bounds of a histogram's buckets. */
#define ONCELOG_HISTOGRAM_BOUNDS 16

/* Its buckets: one for each bound, and one for what lies above all. */
#define ONCELOG_HISTOGRAM_BUCKETS 17

/* `oncelog_log_fn`: something failed or was lost. */
#define ONCELOG_LOG_ERROR 1

/* `oncelog_log_fn`: something that should be looked at. */
#define ONCELOG_LOG_WARN 2

/* `oncelog_log_fn`: something that happens once in the life of a log. */
#define ONCELOG_LOG_INFO 3

/* `oncelog_log_fn`: for those who look for a fault. */
#define ONCELOG_LOG_DEBUG 4

/* Limits: a value past one answers LIMIT_EXCEEDED, RECORD_TOO_LARGE or INVALID_ARGUMENT. */

/* Longest topic name, bytes (Kafka's own bound). */
#define ONCELOG_TOPIC_NAME_MAX 249

/* Longest group name, producer name or transactional id, bytes. */
#define ONCELOG_NAME_MAX 1024

/* Longest metadata stored with an offset, characters as UTF-16 counts them (Kafka's offset.metadata.max.bytes). */
#define ONCELOG_OFFSET_METADATA_MAX 4096

/* Most partitions one topic may have. */
#define ONCELOG_TOPIC_PARTITIONS_MAX 100000

/* Most partitions a log may have, deleted ones not counted. */
#define ONCELOG_PARTITIONS_MAX 1000000

/* Greatest offset. */
#define ONCELOG_OFFSET_MAX 9223372036854775807

/* Largest batch, bytes, header included (Kafka's max.message.bytes). */
#define ONCELOG_BATCH_MAX 1048588

/*
 * Most bytes that the records of one compressed batch may unpack to. A read or a poll holds as many beyond its
 * `max_bytes`, and a consumer keeps as many for its next polls, of batches that polls of a few records ended in.
 */
#define ONCELOG_UNPACKED_MAX 67108864

/* Largest frame, bytes; the same as the largest allocation, since recovery holds a frame whole. */
#define ONCELOG_FRAME_MAX 67108864

/*
 * Bytes that a producer without a name gathers before it closes its oldest batches (Kafka's buffer.memory, which waits
 * instead).
 */
#define ONCELOG_PRODUCER_MEMORY 33554432

/*
 * Memory of one transaction unless the options say otherwise; past it, it streams. Also what a named producer gathers.
 */
#define ONCELOG_TRANSACTION_BUFFER 1048576

/* Largest buffer that the options may give one transaction. */
#define ONCELOG_TRANSACTION_BUFFER_MAX 16777216

/* Memory of all open transactions' buffers together unless the options say otherwise. */
#define ONCELOG_TRANSACTION_MEMORY 67108864

/* Partitions that a transaction may reach with batches that lie in the log before its decision. */
#define ONCELOG_TRANSACTION_PARTITIONS 1000

/* Offsets that a raw transaction may have pending; those that take the place of others count once. */
#define ONCELOG_TRANSACTION_OFFSETS 1000

/* Transactions that may be open with something in the log. */
#define ONCELOG_OPEN_TRANSACTIONS 100000

/* Smallest segment, bytes. */
#define ONCELOG_SEGMENT_MIN 65536

/* Segment size unless the options say otherwise. */
#define ONCELOG_SEGMENT_DEFAULT 67108864

/* Largest size that segments may be told to grow to. */
#define ONCELOG_SEGMENT_OPTION_MAX 536870912

/* How long a transaction may be open in the log unless the options say otherwise (Kafka's transaction.timeout.ms). */
#define ONCELOG_TRANSACTION_TIMEOUT_MS 60000

/* The longest that may be asked for, unless the options say otherwise (Kafka's transaction.max.timeout.ms). */
#define ONCELOG_TRANSACTION_TIMEOUT_MAX_MS 900000

/* Producers that were active in a partition when they were asked for. */
typedef struct oncelog_active_producers_t oncelog_active_producers_t;

/*
 * A queue of what has finished, with a descriptor for poll, select, epoll and their like. Any number of threads may
 * use it.
 */
typedef struct oncelog_completions_t oncelog_completions_t;

/* How far groups were behind when they were asked for. */
typedef struct oncelog_consumer_lags_t oncelog_consumer_lags_t;

/* Reads assigned partitions, each from its position. One thread polls at a time; the other calls may come from any. */
typedef struct oncelog_consumer_t oncelog_consumer_t;

/* An open log. Any number of threads may use it. */
typedef struct oncelog_engine_t oncelog_engine_t;

/*
 * What went wrong: a code to act on, a message that says what to do, and Kafka's three questions.
 *
 * Whoever is answered with one frees it. Any number of threads may ask it.
 */
typedef struct oncelog_error_t oncelog_error_t;

/* Offsets of several partitions as they stood when they were asked for. */
typedef struct oncelog_offsets_t oncelog_offsets_t;

/* Open transactions as they stood when they were asked for. */
typedef struct oncelog_open_transactions_t oncelog_open_transactions_t;

/* One partition: the log itself, without producers and consumers. Any number of threads may use it. */
typedef struct oncelog_partition_t oncelog_partition_t;

/* Sends records to topics. Any number of threads may use it; each partition's records keep the order of the sends. */
typedef struct oncelog_producer_t oncelog_producer_t;

/*
 * Records as a read or a poll answered them, of one partition or of several, or as `oncelog_batch_records` found them
 * in a batch. They own their bytes, so they may be kept after the engine is closed. One thread walks them at a time.
 */
typedef struct oncelog_records_t oncelog_records_t;

/* A text that the library made. */
typedef struct oncelog_text_t oncelog_text_t;

/*
 * The answer to a call, on its way. Freeing a ticket cancels nothing: what was sent is sent. One thread waits at a
 * time.
 */
typedef struct oncelog_ticket_t oncelog_ticket_t;

/* Topics as they stood when they were asked for. */
typedef struct oncelog_topics_t oncelog_topics_t;

/*
 * Records for any number of topics and offsets of any number of groups that become visible together or not at all.
 * Commit, abort and free use it up. One thread uses it at a time; which one may change.
 *
 * Up to its buffer (`transaction_buffer` of the producer, 1 MiB) it is memory: its records get their offsets at the
 * commit, so a plain send made meanwhile may come first, and an abort leaves nothing. Past it, it streams, as Kafka's
 * transactions do: its records go to the log as they come. Readers at read_uncommitted see them at once; the last
 * stable offset of their partitions, where read_committed ends, waits for the decision; an abort hides them.
 * `oncelog_describe_transactions` names the transactions that hold it back. One that streams for longer than
 * `transaction_timeout_ms` is aborted, and answers TRANSACTION_TIMED_OUT from then on.
 */
typedef struct oncelog_transaction_t oncelog_transaction_t;

/*
 * A producer whose records become visible in transactions. Any number of threads may use it; one transaction is open
 * at a time.
 */
typedef struct oncelog_transactional_producer_t oncelog_transactional_producer_t;

/* What kind of error. Numbers are fixed for ever and never used again; later versions may add some. */
typedef uint32_t oncelog_error_code_t;

/* How to open a log. NULL, or zeros, are the defaults. */
typedef struct {
    /* sizeof(oncelog_engine_options_t). */
    uint32_t struct_size;
    /* The level of topics that have none of their own, `ONCELOG_DURABILITY_*`. Default: disk. */
    uint32_t durability;
    /* Size of a segment in bytes, 64 KiB to 512 MiB. Default: 64 MiB. */
    uint64_t segment_bytes;
    /*
     * `ONCELOG_YES`: opens for reading. Nothing is written, and every call that would write answers
     * `ONCELOG_ERROR_READ_ONLY`. Default: no.
     */
    uint32_t read_only;
    /* `ONCELOG_NO`: fails if the directory is missing instead of making it. Default: yes. */
    uint32_t create;
    /*
     * `ONCELOG_NO`: the engine starts no thread; `oncelog_drive`, `oncelog_completions_drain`, or whoever waits, does
     * the background work. Default: yes.
     */
    uint32_t threads;
    /*
     * `ONCELOG_NO`: sealed segments are read by read calls, not through memory mappings: for files that other programs
     * may change, and for those who want an error instead of a signal where a device fails. Default: yes.
     */
    uint32_t mappings;
    /*
     * `ONCELOG_YES`: opens for writing although frames behind the newest checkpoint are damaged, giving up what they
     * held: perhaps a decision or a fence. Default: no, which opens such a log for reading.
     */
    uint32_t accept_loss;
    /*
     * How long what was acknowledged at level memory or os may wait for its flush, and readers for it where they see
     * only what is durable, in milliseconds. Default: 1000.
     */
    uint32_t flush_interval_ms;
    /*
     * What readers see, `ONCELOG_VISIBILITY_*`: records that have met their topic's level, or only what is durable: at
     * the levels memory and os after the next flush, within `flush_interval_ms`, which no reader hastens. Default:
     * level.
     */
    uint32_t visibility;
    /*
     * `ONCELOG_YES`: transactions of raw identities that begin in this life stay open when the log is opened again,
     * until they are decided or their timeout, which begins anew, has passed: for brokers, whose clients outlive them.
     * Default: no, which aborts them then, as those of transactional producers always are.
     */
    uint32_t keep_raw_transactions;
    /*
     * Memory of the buffers of all open transactions together, in bytes. A transaction that finds none left streams:
     * its records go to the log before it is decided. 1: every one does. Offsets count past 64 KiB of a transaction;
     * below that they have 8 MiB of their own, all together. Default: 64 MiB.
     */
    size_t transaction_memory;
    /*
     * The longest timeout that a transaction may ask for (Kafka's transaction.max.timeout.ms), in milliseconds. From
     * 2^31 - 1 on a timeout is none: such a transaction stays open for ever (KIP-939). Default: 900000.
     */
    uint32_t transaction_timeout_max_ms;
    /* Zero. */
    uint32_t reserved;
} oncelog_engine_options_t;

/* How to make a topic. NULL, or zeros, are the defaults. */
typedef struct {
    /* sizeof(oncelog_topic_options_t). */
    uint32_t struct_size;
    /* Number of partitions; can be raised later, never lowered. Default: 1. */
    uint32_t partitions;
    /*
     * When the topic's appends are acknowledged and its records become visible, `ONCELOG_DURABILITY_*`. Default: the
     * engine's.
     */
    uint32_t durability;
    /* Whose time its records carry, `ONCELOG_TIMESTAMP_*` (Kafka's message.timestamp.type). Default: the senders'. */
    uint32_t timestamp_type;
} oncelog_topic_options_t;

/* A topic as it stands. It borrows from its `oncelog_topics_t`. */
typedef struct {
    /* The name. */
    const char *name;
    /* The id; a topic created again under the same name gets another. */
    uint8_t id[16];
    /* Number of partitions. */
    uint32_t partitions;
    /* The topic's own level, one of `ONCELOG_DURABILITY_*`; 0 if it has none. */
    uint32_t durability;
    /* Whose time its records carry, one of `ONCELOG_TIMESTAMP_*`. */
    uint32_t timestamp_type;
} oncelog_topic_info_t;

/* Durable frames that are damaged on disk. */
typedef struct {
    /* First frame lost. */
    uint64_t first_lsn;
    /* Last frame lost. */
    uint64_t last_lsn;
    /* The file. */
    const char *file;
    /* The byte where the damage was met. */
    uint64_t position;
    /* Only records are lost, no decision: appends go on. */
    bool records_only;
} oncelog_damage_t;

/* What opening a log found and did. Nothing is cut or lost without a word here. It belongs to the engine's handle. */
typedef struct {
    /* The life that this open began; 0 if it was opened for reading. */
    uint64_t incarnation;
    /* Frames that were not known durable and were copied, so that they are now. */
    uint64_t frames_copied;
    /*
     * Bytes cut off the end: a tail that was never finished, or never known durable and damaged. Nothing in it had
     * been acknowledged at level disk. 0 if nothing was cut.
     */
    uint64_t cut_bytes;
    /* The last frame that was kept, if something was cut. */
    uint64_t cut_last_kept;
    /* The last frame that could still be made out behind it; equal if none could. */
    uint64_t cut_last_seen;
    /* Durable frames that are damaged. */
    const oncelog_damage_t *damage;
    /* How many of them. */
    size_t damage_count;
    /* The log was made by this open. */
    bool created;
    /* Time it took to read the newest checkpoint and build the state from it, nanoseconds. */
    uint64_t loading_nanos;
    /* Time it took to read and fold the frames behind that checkpoint, nanoseconds. */
    uint64_t folding_nanos;
    /* Those frames; a handful of its own after a clean close. */
    uint64_t frames_folded;
    /* Their bytes. */
    uint64_t bytes_folded;
} oncelog_opening_t;

/* How often values fell into each of a few ranges. */
typedef struct {
    /* How many values there were. */
    uint64_t count;
    /* Their sum. */
    uint64_t sum;
    /* The greatest value of each bucket, growing. */
    uint64_t bounds[ONCELOG_HISTOGRAM_BOUNDS];
    /* How many values fell into each bucket. The last one takes what lies above all bounds. */
    uint64_t counts[ONCELOG_HISTOGRAM_BUCKETS];
} oncelog_histogram_t;

/* How an open log stands and what it has done. Counts begin with 0 at each open and only grow. */
typedef struct {
    /* sizeof(oncelog_metrics_t), set by the caller. */
    uint32_t struct_size;
    /* 1 once a write or flush has failed: nothing is written until the log is opened again. */
    uint32_t poisoned;
    /* Batches written, those of transactions included. */
    uint64_t appends;
    /* Records written. */
    uint64_t records;
    /* Bytes of all frames written: batches and what the log keeps about them. */
    uint64_t bytes;
    /* Appends and sends that were there already, so that nothing was written. */
    uint64_t duplicates;
    /* Calls refused because a newer holder of their name or producer id had taken over. */
    uint64_t fenced;
    /* Transactions committed. */
    uint64_t transactions_committed;
    /* Transactions aborted, by their owner or by what befell them. */
    uint64_t transactions_aborted;
    /* Transactions open now. */
    uint64_t transactions_open;
    /* Rolls to the next segment that had to wait for it. */
    uint64_t late_rolls;
    /* Checkpoints completed. */
    uint64_t checkpoints;
    /* Segment files now. */
    uint64_t segments;
    /* Bytes that the segment files hold on the disk, with the room ahead of the frames. */
    uint64_t disk_used;
    /* Bytes of it that are frames. Nothing is cleaned away in this version, so frames of deleted topics count too. */
    uint64_t disk_live;
    /* Frames of each group that was written: how many appends share a write. `count` is the number of groups. */
    oncelog_histogram_t group_frames;
    /* How long each flush to the device took, nanoseconds. `count` is the number of flushes. */
    oncelog_histogram_t flush_nanos;
} oncelog_metrics_t;

/*
 * How far a group is behind in a partition, by the position of its consumer. It borrows from its
 * `oncelog_consumer_lags_t`.
 */
typedef struct {
    /* The group. */
    const char *group;
    /* The topic's name. */
    const char *topic;
    /* The partition's number in its topic. */
    uint32_t partition;
    /* The offset to read next. Of several consumers in one group, the least. */
    uint64_t position;
    /* Records between the position and the end that the consumer sees. */
    uint64_t lag;
} oncelog_consumer_lag_t;

/* Is told of damage; what it points to lives until it returns. */
typedef void (*oncelog_damage_fn)(void *context, const oncelog_damage_t *damage);

/* What reading a log through found. */
typedef struct {
    /* sizeof(oncelog_verification_t), set by the caller. */
    uint32_t struct_size;
    /* 0. */
    uint32_t reserved;
    /* Segments read. */
    uint64_t segments;
    /* Frames in them that are whole. */
    uint64_t frames;
    /* Their bytes. */
    uint64_t bytes;
    /* Places where durable frames are damaged: so often `visit` was called. */
    uint64_t damage_count;
} oncelog_verification_t;

/* A header of a record to send. */
typedef struct {
    /* The name: UTF-8 that ends with NUL; it may come more than once. */
    const char *key;
    /* The value; NULL is null, which is not the same as empty. */
    const void *value;
    /* Bytes of the value. */
    size_t value_size;
} oncelog_header_t;

/*
 * A record to send. Zero everything that is not used. It is borrowed for the call only: the bytes are copied once,
 * into the batch.
 */
typedef struct {
    /* Chooses the partition unless `partition` does; NULL is null, which is not the same as empty. */
    const void *key;
    /* Bytes of the key. */
    size_t key_size;
    /* The content; NULL is null and marks the key as deleted. */
    const void *value;
    /* Bytes of the value. */
    size_t value_size;
    /* Headers, kept in this order; NULL if there are none. */
    const oncelog_header_t *headers;
    /* Number of headers. */
    size_t header_count;
    /* Which of the next three count: `ONCELOG_RECORD_TIMESTAMP` and its like. */
    uint32_t fields;
    /* The partition to go to; else the key or the producer chooses. */
    uint32_t partition;
    /* Milliseconds since 1970, or -1 for none; else the clock's time. */
    int64_t timestamp;
    /* A named producer's position: strictly increasing, gaps allowed. */
    uint64_t position;
} oncelog_record_t;

/* A raw producer's identity, for callers that keep sequences themselves. */
typedef struct {
    /* The producer id, issued by the engine. */
    int64_t producer_id;
    /* The producer epoch; an older one is fenced. */
    int16_t epoch;
} oncelog_identity_t;

/* How to append a batch. NULL, or zeros, are the defaults. */
typedef struct {
    /* sizeof(oncelog_append_options_t). */
    uint32_t struct_size;
    /*
     * When the append is acknowledged, `ONCELOG_DURABILITY_*`. What readers see follows the topic's level. Default:
     * the level of the topic.
     */
    uint32_t durability;
    /* `ONCELOG_YES`: the batch carries `producer` and `base_sequence`. Default: no. */
    uint32_t identified;
    /* Sequence number of the batch's first record. */
    int32_t base_sequence;
    /* Who sends it; see `oncelog_init_producer`. */
    oncelog_identity_t producer;
    /*
     * `ONCELOG_YES`: the batch belongs to the transaction of its producer, which must have a transactional id, and
     * begins it if none is open; see `oncelog_end_transaction`. Sequences begin at 0 in each transaction. Default: no.
     */
    uint32_t transactional;
    /*
     * How the batch is compressed, `ONCELOG_COMPRESSION_*`; it is not where that would not make it smaller. Default:
     * none.
     */
    uint32_t compression;
} oncelog_append_options_t;

/* Where an append went. */
typedef struct {
    /* Offset of the first record. */
    uint64_t first;
    /* Offset of the last record. */
    uint64_t last;
    /* The greatest timestamp of the batch, in milliseconds. */
    int64_t timestamp;
    /* The frame that holds the records; see `oncelog_wait_durable`. */
    uint64_t lsn;
    /* The life of the log that answered. */
    uint64_t incarnation;
    /* The partition's number in its topic. */
    uint32_t partition;
    /* The records were here already and nothing was written: no error. A named producer's duplicate has no offsets. */
    bool duplicate;
} oncelog_appended_t;

/*
 * Where a reader stands: behind the records below an offset, as one life of the log showed them. It may be kept as
 * numbers; see `oncelog_records_next_place`.
 */
typedef struct {
    /* The life of the log that showed them. */
    uint64_t incarnation;
    /* The frame that holds the last of them, or one that was no less safe; 0 for none. */
    uint64_t lsn;
    /* The offset to read next. */
    uint64_t offset;
} oncelog_place_t;

/* How to read a partition. NULL, or zeros, are the defaults. */
typedef struct {
    /* sizeof(oncelog_read_options_t). */
    uint32_t struct_size;
    /* Which records are seen, `ONCELOG_ISOLATION_*`. Default: read_committed. */
    uint32_t isolation;
    /*
     * Most bytes of one read as they lie in the log, and most that its compressed batches unpack to, but for the last
     * of them; the first batch is given whole even if it is larger. Default: 1 MiB.
     */
    size_t max_bytes;
    /*
     * Where the reader stands, as `oncelog_records_next_place` answered it in this life of the log or an earlier one:
     * the read answers TRUNCATED if a crash took records that the place stands behind. Its offset is the one to read.
     * Default: NULL, which asks for nothing.
     */
    const oncelog_place_t *from;
} oncelog_read_options_t;

/*
 * A producer that is active in a partition: what Kafka's DescribeProducers (KIP-664) tells of one. There are no
 * markers here, so a coordinator epoch has no meaning and is left out, and the end of a transaction changes nothing of
 * what its last batch left.
 */
typedef struct {
    /* The producer id, and the epoch of its last batch in this partition. */
    oncelog_identity_t identity;
    /* Sequence of the last record of that batch; -1 for a transactional producer, whose batches have no sequence. */
    int32_t last_sequence;
    /*
     * The greatest timestamp of that batch, milliseconds since 1970, as its sender gave it, or the time of the append
     * where the topic has that; -1 if it has none, and for a transactional producer.
     */
    int64_t last_timestamp;
    /* Offset of the first record here of the transaction that it has open; -1 if it has none open here. */
    int64_t transaction_start_offset;
} oncelog_active_producer_t;

/* The ends of a partition. */
typedef struct {
    /* The first offset that can be read. */
    uint64_t start;
    /* The last stable offset: read_committed sees what lies below. */
    uint64_t stable;
    /* The end: the offset that the next visible record will have. */
    uint64_t end;
} oncelog_bounds_t;

/* A record that was read. It borrows from its `oncelog_records_t`. */
typedef struct {
    /* The topic's name; ends with NUL. */
    const char *topic;
    /* The partition's number in its topic. */
    uint32_t partition;
    /* Number of headers; `oncelog_records_headers` answers them. */
    uint32_t header_count;
    /* The record's offset in its partition. */
    uint64_t offset;
    /* Milliseconds since 1970, -1 for none. */
    int64_t timestamp;
    /* The key; NULL for null. Does not end with NUL. */
    const void *key;
    /* Bytes of the key. */
    size_t key_size;
    /* The value; NULL for null: the key is marked as deleted. Does not end with NUL. */
    const void *value;
    /* Bytes of the value. */
    size_t value_size;
    /* For `oncelog_records_headers`. */
    size_t headers;
} oncelog_record_view_t;

/* A header that was read. It borrows from its `oncelog_records_t`. */
typedef struct {
    /* The name. Does not end with NUL. */
    const char *key;
    /* Bytes of the name. */
    size_t key_size;
    /* The value; NULL for null. Does not end with NUL. */
    const void *value;
    /* Bytes of the value. */
    size_t value_size;
} oncelog_header_view_t;

/* What stands in front of the records of a batch of Kafka's format 2. */
typedef struct {
    /* Offset of the first record as the batch was made; the log gives it another. */
    int64_t base_offset;
    /* Offset of the last record, counted from the same. */
    int64_t last_offset;
    /* What the records' timestamps are relative to, milliseconds since 1970. */
    int64_t base_timestamp;
    /* The greatest timestamp of the records, milliseconds since 1970; -1 if none has one. */
    int64_t max_timestamp;
    /* Who made it: producer id and epoch; -1 for none. */
    oncelog_identity_t producer;
    /* Sequence number of the first record; -1 for none. */
    int32_t base_sequence;
    /* That of the last one: after 2^31 - 1 comes 0. -1 for none. */
    int32_t last_sequence;
    /* Number of records. */
    int32_t count;
    /* The partition's leader epoch as the sender gave it; -1 for unknown. */
    int32_t leader_epoch;
    /* The checksum, crc32c of the bytes from 21 on. */
    uint32_t crc;
    /* Bytes of the whole batch. */
    uint32_t size;
    /* The codec, one of `ONCELOG_COMPRESSION_*`. */
    uint32_t compression;
    /*
     * Whose time the records carry, one of `ONCELOG_TIMESTAMP_*`: the senders', for the log gives its own only at an
     * append.
     */
    uint32_t timestamp_type;
    /* The attributes as they are written. */
    int16_t attributes;
    /* 2. */
    int8_t magic;
    /* It belongs to a transaction. */
    bool transactional;
    /* The records are not data but markers: never so in a batch that may be appended. */
    bool control;
    /* The base timestamp says when tombstones may go. */
    bool delete_horizon;
} oncelog_batch_header_t;

/* How a producer works. NULL, or zeros, are the defaults. */
typedef struct {
    /* sizeof(oncelog_producer_options_t). */
    uint32_t struct_size;
    /*
     * When sends are acknowledged, `ONCELOG_DURABILITY_*`. Default: the level of their topic. What a name or a
     * transaction writes together takes the strongest of this and of its topics.
     */
    uint32_t durability;
    /* The name whose position the producer carries; see `oncelog_producer_open`. Default: NULL, none. */
    const char *name;
    /*
     * A partition's batch is closed when it has reached this many bytes; 1: a batch for each record. Past
     * 32 MiB of all partitions together the oldest batches are closed, however small; those of a name, which go into
     * the log as one, past 1 MiB. Default: 16384.
     */
    size_t batch_bytes;
    /*
     * A batch is closed this long after its first record, unless somebody waits for it earlier; `ONCELOG_LINGER_NONE`:
     * at once. Default: 5.
     */
    uint32_t linger_ms;
    /*
     * How batches are compressed, `ONCELOG_COMPRESSION_*`, those of transactions too. Worth it where the disk is
     * dearer than the processor, and for batches of many records. Bounds such as `batch_bytes` count what is not
     * compressed yet. Default: none.
     */
    uint32_t compression;
    /*
     * Of a transactional producer: the bytes past which a transaction streams, at most 16 MiB; 1: with its first
     * record. Up to it a transaction is memory, and its commit one write; past it its records go to the log as they
     * come and hold the last stable offset of their partitions back until it is decided. Default: 1 MiB.
     */
    size_t transaction_buffer;
    /*
     * Of a transactional producer: how long a transaction that streams may be open, in milliseconds, at most
     * `transaction_timeout_max_ms` of the engine; then it is aborted. From 2^31 - 1 on: for ever. One that is memory
     * only has no timeout. Default: 60000.
     */
    uint32_t transaction_timeout_ms;
    /* Zero. */
    uint32_t reserved;
} oncelog_producer_options_t;

/* What a committed transaction left. */
typedef struct {
    /* The transaction's number: it names this transaction for ever. */
    uint64_t number;
    /* The frame that holds the transaction; 0 for one that was empty and wrote nothing. */
    uint64_t lsn;
    /* The life of the log that answered. */
    uint64_t incarnation;
} oncelog_committed_t;

/* Names the group whose offsets a transaction commits. */
typedef struct {
    /* sizeof(oncelog_group_metadata_t), set by the caller. */
    uint32_t struct_size;
    /* The group's name. */
    const char *group;
} oncelog_group_metadata_t;

/* A position in a partition, as it is committed. Zero everything that is not used. */
typedef struct {
    /* The topic's name. */
    const char *topic;
    /* The partition's number in the topic. */
    uint32_t partition;
    /* `ONCELOG_OFFSET_LEADER_EPOCH` if `leader_epoch` counts. */
    uint32_t fields;
    /* The offset to read next. */
    uint64_t offset;
    /*
     * Free text, at most 4,096 characters, counted in UTF-16 as Kafka counts them; NULL is the same as "". What another
     * language stored with a NUL in it is told up to there.
     */
    const char *metadata;
    /* The leader epoch of the last record read, for callers that keep one. */
    int32_t leader_epoch;
} oncelog_offset_t;

/* A partition and an offset in it. It borrows from its list. */
typedef struct {
    /* The topic's name. */
    const char *topic;
    /* The partition's number in its topic. */
    uint32_t partition;
    /* The offset. */
    uint64_t offset;
} oncelog_partition_offset_t;

/*
 * A transaction that is open and has something in the log: it holds the last stable offset of its partitions back. It
 * borrows from its `oncelog_open_transactions_t`.
 */
typedef struct {
    /* Its number. */
    uint64_t number;
    /* Whose it is. */
    const char *transactional_id;
    /* The producer id and epoch of its batches. */
    oncelog_identity_t identity;
    /* When its first batch or offset came to the log, wall clock, milliseconds since 1970. */
    int64_t since;
    /*
     * The partitions that hold records of it, each with the offset of the first: the last stable offset there is no
     * greater.
     */
    const oncelog_partition_offset_t *partitions;
    /* How many of them. */
    size_t partition_count;
    /* How long it may stay open, counted anew from each opening; `ONCELOG_FOREVER` if there is no end. */
    uint32_t timeout_ms;
    /* True if its owner sends raw batches; false if it belongs to a transactional producer. */
    bool raw;
} oncelog_open_transaction_t;

/* How a consumer works. NULL, or zeros, are the defaults. */
typedef struct {
    /* sizeof(oncelog_consumer_options_t). */
    uint32_t struct_size;
    /* Which records are seen, `ONCELOG_ISOLATION_*`. Default: read_committed. */
    uint32_t isolation;
    /* The group in whose name offsets are committed. Default: NULL, none. */
    const char *group;
    /* Where to begin if nothing is committed, or outside the partition, `ONCELOG_START_*`. Default: earliest. */
    uint32_t start;
    /*
     * Most bytes of one poll as they lie in the log, and most that its compressed batches unpack to, but for the last
     * of them; the first batch is given whole even if it is larger. Default: 1 MiB.
     */
    size_t max_bytes;
    /* Most records of one poll. Default: no limit. */
    uint64_t max_records;
} oncelog_consumer_options_t;

/* A partition by its name. */
typedef struct {
    /* The topic's name. */
    const char *topic;
    /* The partition's number in the topic, from 0. */
    uint32_t partition;
} oncelog_topic_partition_t;

/*
 * Takes the answer of a ticket that was watched. `error` is NULL, or what the call failed with. Ask the ticket with
 * `oncelog_ticket_appended` and its like. Both live during the call only and must not be freed in it. It may call the
 * library, and watch other tickets; it must return: no exception, no longjmp.
 */
typedef void (*oncelog_done_fn)(void *context, oncelog_ticket_t *ticket, const oncelog_error_t *error);

/* Is told that a consumer is ready, or gone. The same holds as for `oncelog_done_fn`. */
typedef void (*oncelog_ready_fn)(void *context);

/*
 * Takes a message: one line that ends with its variables as key=value. `level` is one of `ONCELOG_LOG_*`; the message
 * lives during the call only. It may call the library; messages that this gives rise to come with a later call.
 */
typedef void (*oncelog_log_fn)(void *context, uint32_t level, const char *message);

/*
 * Answers `size` bytes that begin at a multiple of `alignment`, a power of two; NULL if there are none. Must not call
 * this library. The library cannot go on without memory: NULL ends the process, as running out of memory does anyway.
 */
typedef void *(*oncelog_allocate_fn)(void *context, size_t size, size_t alignment);

/* Takes back what `oncelog_allocate_fn` answered for the same size and alignment. */
typedef void (*oncelog_release_fn)(void *context, void *memory, size_t size, size_t alignment);

/* No error. */
#define ONCELOG_OK 0

/* An argument is out of range or malformed; nothing happened. */
#define ONCELOG_ERROR_INVALID_ARGUMENT 1

/* The call does not fit what the handle is doing. */
#define ONCELOG_ERROR_INVALID_STATE 2

/* The engine or the handle was closed. */
#define ONCELOG_ERROR_CLOSED 3

/* The process forked after the open; the child must open the log itself. */
#define ONCELOG_ERROR_FORKED 4

/* Another process, or this one, has the directory open for writing. */
#define ONCELOG_ERROR_LOCKED 5

/* The log was opened for reading. */
#define ONCELOG_ERROR_READ_ONLY 6

/* The operating system failed a read or an open; the call may be repeated. */
#define ONCELOG_ERROR_IO 7

/* The disk is full; nothing was written. */
#define ONCELOG_ERROR_FULL 8

/* A write or flush failed earlier: nothing more is written until the log is opened again. */
#define ONCELOG_ERROR_POISONED 9

/* Bytes on disk are not what was written. */
#define ONCELOG_ERROR_CORRUPT 10

/* The position was cut away by a recovery. */
#define ONCELOG_ERROR_TRUNCATED 11

/* The directory was written by a newer version, or a codec is asked for that this build leaves out. */
#define ONCELOG_ERROR_UNSUPPORTED_VERSION 12

/* The time given ran out; the outcome is not known yet, ask again. */
#define ONCELOG_ERROR_TIMED_OUT 13

/* Somebody else is using this handle right now. */
#define ONCELOG_ERROR_BUSY 14

/* A bound of the limits was reached. */
#define ONCELOG_ERROR_LIMIT_EXCEEDED 15

/* A record or batch is larger than the topic takes. */
#define ONCELOG_ERROR_RECORD_TOO_LARGE 16

/* A topic of that name exists. */
#define ONCELOG_ERROR_TOPIC_EXISTS 17

/* No such topic or partition. */
#define ONCELOG_ERROR_UNKNOWN_TOPIC_OR_PARTITION 18

/* No such group. */
#define ONCELOG_ERROR_UNKNOWN_GROUP 19

/* The offset lies outside the partition. */
#define ONCELOG_ERROR_OFFSET_OUT_OF_RANGE 20

/* A sequence number does not follow the last one. */
#define ONCELOG_ERROR_OUT_OF_ORDER_SEQUENCE 21

/* The engine never issued this producer id, or has forgotten it. */
#define ONCELOG_ERROR_UNKNOWN_PRODUCER 22

/* A newer holder of this name took over. */
#define ONCELOG_ERROR_PRODUCER_FENCED 23

/* The producer epoch of a raw batch is older than the partition's. */
#define ONCELOG_ERROR_STALE_EPOCH 24

/* A record or batch is malformed. */
#define ONCELOG_ERROR_INVALID_RECORD 25

/* Offsets of an open transaction are pending. */
#define ONCELOG_ERROR_UNSTABLE_OFFSETS 26

/* No such transactional id or named producer. */
#define ONCELOG_ERROR_UNKNOWN_TRANSACTIONAL_ID 27

/* The group has members. */
#define ONCELOG_ERROR_GROUP_NOT_EMPTY 28

/* The group is rebalancing. */
#define ONCELOG_ERROR_REBALANCING 29

/* The transaction cannot do this in its state. */
#define ONCELOG_ERROR_INVALID_TRANSACTION_STATE 30

/* The transaction was aborted; run it again. */
#define ONCELOG_ERROR_TRANSACTION_ABORTED 31

/* The transaction was open too long and was aborted. */
#define ONCELOG_ERROR_TRANSACTION_TIMED_OUT 32

/* A write or flush failed under this call: it may be there or not; opening again decides. */
#define ONCELOG_ERROR_INDETERMINATE 33

/* The group member was replaced. */
#define ONCELOG_ERROR_STALE_GROUP_MEMBER 34

/* A bug in oncelog. */
#define ONCELOG_ERROR_INTERNAL 35

/* A panic was caught. */
#define ONCELOG_ERROR_PANIC 36

#ifdef __cplusplus
extern "C" {
#endif // __cplusplus

/* ---- Version --------------------------------------------------------------------------------------------- */

/* The version of the library that runs; compare it with `ONCELOG_VERSION_NUMBER`, that of the header. */
uint32_t oncelog_version_number(void);

/* The same as text, such as "0.1.0". Lives for ever. */
const char *oncelog_version_string(void);

/* ---- Errors ---------------------------------------------------------------------------------------------- */

/*
 * The error's code, one of `ONCELOG_ERROR_*`; `ONCELOG_OK` for NULL. A pointer that is no error is answered as
 * `ONCELOG_ERROR_INVALID_ARGUMENT`, one that was freed as `ONCELOG_ERROR_CLOSED`.
 */
oncelog_error_code_t oncelog_error_code(const oncelog_error_t *error);

/*
 * The name of the code, the same in every language, such as "OffsetOutOfRange"; "" for NULL. Lives until the error
 * is freed.
 */
const char *oncelog_error_name(const oncelog_error_t *error);

/* What happened and what to do, its variables at the end; "" for NULL. Lives until the error is freed. */
const char *oncelog_error_message(const oncelog_error_t *error);

/* What the operating system, or a lower layer, said; NULL if nothing did. Lives until the error is freed. */
const char *oncelog_error_cause(const oncelog_error_t *error);

/* The code by which a Kafka broker would tell its clients the same; 0 for NULL. */
int16_t oncelog_error_kafka_code(const oncelog_error_t *error);

/*
 * The error's code that says what a code of Kafka's protocol says, for programs that were written against a broker's
 * answers; `ONCELOG_OK` for 0, which is no error. Codes that speak of what only a cluster has are
 * `ONCELOG_ERROR_BUSY` where Kafka's clients try again, else `ONCELOG_ERROR_INTERNAL`; so are codes that came after
 * this version.
 */
oncelog_error_code_t oncelog_error_code_from_kafka(int16_t kafka_code);

/* True if the same call may succeed later without any change. */
bool oncelog_error_is_retriable(const oncelog_error_t *error);

/* True if the handle that was called is finished: free it and open a new one. */
bool oncelog_error_is_fatal(const oncelog_error_t *error);

/* True if the transaction that this came from can only be aborted and run again. */
bool oncelog_error_requires_abort(const oncelog_error_t *error);

/* Frees an error with its texts. NULL, and what is no error or was freed before, is left alone. */
void oncelog_error_free(oncelog_error_t *error);

/* ---- The engine: where everything begins ----------------------------------------------------------------- */

/*
 * Opens the log in a directory; makes it if there is none. `options` may be NULL. Close the engine with
 * `oncelog_engine_close`.
 *
 * Errors: LOCKED if it is open for writing elsewhere; UNSUPPORTED_VERSION if a newer version wrote it; CORRUPT if its
 * files do not fit together; INVALID_ARGUMENT for options out of range or a path that is no directory; IO.
 */
ONCELOG_MUST_USE
oncelog_error_t *oncelog_open(const char *directory,
                              const oncelog_engine_options_t *options,
                              oncelog_engine_t **out);

/*
 * Closes the log and frees the handle, whatever the answer. What was sent is flushed, a checkpoint is written, the
 * lock is given back. Producers, consumers and all else made from it stay handles to be freed; their calls answer
 * CLOSED. Calls that other threads are in end soon. NULL is no error.
 *
 * Errors: what a write or flush answers. The log is closed in any case, and what was acknowledged is kept.
 */
oncelog_error_t *oncelog_engine_close(oncelog_engine_t *engine);

/*
 * Creates a topic. It survives a power cut when this returns. `options` may be NULL.
 *
 * Errors: TOPIC_EXISTS; INVALID_ARGUMENT for a name that Kafka would refuse or a number of partitions out of range;
 * LIMIT_EXCEEDED; READ_ONLY; what a write answers: FULL, POISONED, INDETERMINATE.
 */
ONCELOG_MUST_USE
oncelog_error_t *oncelog_create_topic(const oncelog_engine_t *engine,
                                      const char *name,
                                      const oncelog_topic_options_t *options);

/*
 * Creates a topic; the ticket is done when it survives a power cut. `ticket` may be NULL: nobody is told.
 *
 * Errors: as `oncelog_create_topic`; most come from the ticket.
 */
ONCELOG_MUST_USE
oncelog_error_t *oncelog_create_topic_ticket(const oncelog_engine_t *engine,
                                             const char *name,
                                             const oncelog_topic_options_t *options,
                                             oncelog_ticket_t **ticket);

/*
 * Deletes a topic with its records and with what groups have committed for it. Final when this returns. A topic
 * created again under the name has another id and inherits nothing.
 *
 * Errors: UNKNOWN_TOPIC_OR_PARTITION; as `oncelog_create_topic`.
 */
ONCELOG_MUST_USE oncelog_error_t *oncelog_delete_topic(const oncelog_engine_t *engine, const char *name);

/*
 * Deletes a topic; the ticket is done when that is final. `ticket` may be NULL.
 *
 * Errors: as `oncelog_delete_topic`; most come from the ticket.
 */
ONCELOG_MUST_USE
oncelog_error_t *oncelog_delete_topic_ticket(const oncelog_engine_t *engine,
                                             const char *name,
                                             oncelog_ticket_t **ticket);

/*
 * Raises the number of a topic's partitions to `total`. They survive a power cut when this returns. Keys may go to
 * other partitions from here on.
 *
 * Errors: UNKNOWN_TOPIC_OR_PARTITION; INVALID_ARGUMENT if the topic has as many already; as `oncelog_create_topic`.
 */
ONCELOG_MUST_USE
oncelog_error_t *oncelog_add_partitions(const oncelog_engine_t *engine,
                                        const char *topic,
                                        uint32_t total);

/*
 * The same; the ticket is done when the partitions survive a power cut. `ticket` may be NULL.
 *
 * Errors: as `oncelog_add_partitions`; most come from the ticket.
 */
ONCELOG_MUST_USE
oncelog_error_t *oncelog_add_partitions_ticket(const oncelog_engine_t *engine,
                                               const char *topic,
                                               uint32_t total,
                                               oncelog_ticket_t **ticket);

/*
 * All topics, by name. Read them with `oncelog_topics_get`, free the list with `oncelog_topics_free`.
 *
 * Errors: CLOSED, FORKED.
 */
ONCELOG_MUST_USE oncelog_error_t *oncelog_topics(const oncelog_engine_t *engine, oncelog_topics_t **out);

/* The topics of a list; they live until it is freed. */
ONCELOG_MUST_USE
oncelog_error_t *oncelog_topics_get(const oncelog_topics_t *topics,
                                    const oncelog_topic_info_t **out,
                                    size_t *count);

/* Frees a list of topics. NULL is no error. */
oncelog_error_t *oncelog_topics_free(oncelog_topics_t *topics);

/*
 * Forgets a named producer or transactional id: its position, its epoch, its decisions. Final when this returns.
 *
 * Errors: UNKNOWN_TRANSACTIONAL_ID; what a write answers.
 */
ONCELOG_MUST_USE
oncelog_error_t *oncelog_delete_producer(const oncelog_engine_t *engine,
                                         const char *name);

/*
 * The same; the ticket is done when it is final. `ticket` may be NULL.
 *
 * Errors: as `oncelog_delete_producer`; most come from the ticket.
 */
ONCELOG_MUST_USE
oncelog_error_t *oncelog_delete_producer_ticket(const oncelog_engine_t *engine,
                                                const char *name,
                                                oncelog_ticket_t **ticket);

/*
 * Waits until everything up to a frame survives a power cut. `oncelog_appended_t::lsn` and `oncelog_committed_t::lsn`
 * name frames.
 *
 * Errors: INVALID_ARGUMENT for a frame that does not exist yet; what a flush answers.
 */
ONCELOG_MUST_USE
oncelog_error_t *oncelog_wait_durable(const oncelog_engine_t *engine,
                                      uint64_t lsn);

/*
 * The same; the ticket is done when they survive it. `ticket` may be NULL.
 *
 * Errors: as `oncelog_wait_durable`; most come from the ticket.
 */
ONCELOG_MUST_USE
oncelog_error_t *oncelog_wait_durable_ticket(const oncelog_engine_t *engine,
                                             uint64_t lsn,
                                             oncelog_ticket_t **ticket);

/*
 * Closes all batches that producers are gathering and flushes: everything sent before the call survives a power cut
 * when it returns.
 *
 * Errors: what a write or flush answers.
 */
ONCELOG_MUST_USE
oncelog_error_t *oncelog_flush(const oncelog_engine_t *engine);

/*
 * The same; the ticket is done when it all survives a power cut. `ticket` may be NULL.
 *
 * Errors: as `oncelog_flush`; most come from the ticket.
 */
ONCELOG_MUST_USE
oncelog_error_t *oncelog_flush_ticket(const oncelog_engine_t *engine,
                                      oncelog_ticket_t **ticket);

/*
 * Tells whether an append or commit of so many bytes would not wait for room right now: for event loops, which come
 * again later if it would.
 *
 * Errors: none of its own.
 */
ONCELOG_MUST_USE
oncelog_error_t *oncelog_has_room(const oncelog_engine_t *engine,
                                  size_t bytes,
                                  bool *out);

/*
 * Does the background work that is due, for engines opened with `.threads = ONCELOG_NO`: batches whose linger has
 * passed, flushes, tickets that are watched. Harmless otherwise.
 *
 * Errors: what a write or flush answers; CLOSED, FORKED.
 */
ONCELOG_MUST_USE
oncelog_error_t *oncelog_drive(const oncelog_engine_t *engine);

/*
 * What opening found and did: a tail cut, frames copied, damage. It belongs to the engine's handle: read it before
 * that is closed.
 */
ONCELOG_MUST_USE
oncelog_error_t *oncelog_opening(const oncelog_engine_t *engine,
                                 const oncelog_opening_t **out);

/* ---- Metrics: what is counted ---------------------------------------------------------------------------- */

/*
 * How the log stands and what it has done since it was opened: a snapshot that takes microseconds, and about two more
 * for each partition in which an open consumer of a group has a position, waits for nobody and reads nothing from the
 * disk. Set `out->struct_size` first. How far consumers are behind is told by
 * `oncelog_consumer_lags`, by `oncelog_openmetrics` and, of one consumer, by `oncelog_consumer_lag`.
 */
ONCELOG_MUST_USE
oncelog_error_t *oncelog_metrics(const oncelog_engine_t *engine,
                                 oncelog_metrics_t *out);

/*
 * The bound of the bucket in which the share `q` of the values, from 0 to 1, is reached: no more than this share of
 * them was greater. `known` is false, and `value` 0, if there were none, or if it lies above all bounds. A share beyond
 * 0 or 1 is taken as that one, and what is no number as 0.
 */
ONCELOG_MUST_USE
oncelog_error_t *oncelog_histogram_quantile(const oncelog_histogram_t *histogram,
                                            double q,
                                            uint64_t *value,
                                            bool *known);

/*
 * How far the groups of open consumers are behind, by group, topic and partition: one entry for each partition that is
 * assigned to a consumer with a group and has a position there. As cheap as `oncelog_metrics`. Read them with
 * `oncelog_consumer_lags_get`, free the list with `oncelog_consumer_lags_free`.
 */
ONCELOG_MUST_USE
oncelog_error_t *oncelog_consumer_lags(const oncelog_engine_t *engine,
                                       oncelog_consumer_lags_t **out);

/* The lags of a list; they live until it is freed. */
ONCELOG_MUST_USE
oncelog_error_t *oncelog_consumer_lags_get(const oncelog_consumer_lags_t *lags,
                                           const oncelog_consumer_lag_t **out,
                                           size_t *count);

/* Frees a list of lags. NULL is no error. */
oncelog_error_t *oncelog_consumer_lags_free(oncelog_consumer_lags_t *lags);

/*
 * What `oncelog_metrics` and `oncelog_consumer_lags` say, in the OpenMetrics text format 1.0, which Prometheus reads:
 * answer it with the media type `application/openmetrics-text; version=1.0.0; charset=utf-8`. Read the text with
 * `oncelog_text_get`, free it with `oncelog_text_free`.
 */
ONCELOG_MUST_USE
oncelog_error_t *oncelog_openmetrics(const oncelog_engine_t *engine,
                                     oncelog_text_t **out);

/*
 * The bytes of a text, UTF-8 and with a NUL behind them, which `size` does not count; `size` may be NULL. They live
 * until the text is freed.
 */
ONCELOG_MUST_USE
oncelog_error_t *oncelog_text_get(const oncelog_text_t *text,
                                  const char **out,
                                  size_t *size);

/* Frees a text. NULL is no error. */
oncelog_error_t *oncelog_text_free(oncelog_text_t *text);

/*
 * Reads all that is durable, segment after segment, and verifies each frame: whether the disk still holds what it was
 * given, as often as you like. Damage is no error here but the answer: `visit`, which may be NULL, is called with each
 * by this call and this thread, when all is read, and may call anything. Appends and reads of other threads go on
 * meanwhile. What is not flushed yet is left out: call `oncelog_flush` before, if it matters. It reads some gigabytes
 * a second from the page cache, else as fast as the device does. Set `out->struct_size` first.
 *
 * Errors: IO if a file cannot be read; CLOSED, FORKED.
 */
ONCELOG_MUST_USE
oncelog_error_t *oncelog_verify(const oncelog_engine_t *engine,
                                oncelog_damage_fn visit,
                                void *context,
                                oncelog_verification_t *out);

/* ---- Partitions: the log itself -------------------------------------------------------------------------- */

/*
 * Opens a handle to one partition of a topic, counted from 0. Free it with `oncelog_partition_free`.
 *
 * Errors: UNKNOWN_TOPIC_OR_PARTITION.
 */
ONCELOG_MUST_USE
oncelog_error_t *oncelog_partition_open(const oncelog_engine_t *engine,
                                        const char *topic,
                                        uint32_t partition,
                                        oncelog_partition_t **out);

/* Frees a handle to a partition. NULL is no error. */
oncelog_error_t *oncelog_partition_free(oncelog_partition_t *partition);

/*
 * Appends records as one batch and waits until it has met the topic's level. Records without a timestamp get the
 * clock's; where the topic keeps the log's time, all get that. A batch with an identity that is here already is
 * answered as a duplicate, not written again. A transactional one begins the transaction of its identity if none is
 * open; see `oncelog_end_transaction`. `options` and `out` may be NULL.
 *
 * Errors: nothing was written: INVALID_ARGUMENT, RECORD_TOO_LARGE; INVALID_RECORD, also for a transactional batch
 * without an identity; OUT_OF_ORDER_SEQUENCE, UNKNOWN_PRODUCER, STALE_EPOCH for a batch with an identity that does not
 * follow; INVALID_TRANSACTION_STATE for a transactional batch of an identity without a transactional id, or one that
 * is not transactional where the identity's transaction has records; LIMIT_EXCEEDED if too many transactions are open
 * or this one reaches too many partitions; UNSUPPORTED_VERSION for a codec that this build lacks;
 * UNKNOWN_TOPIC_OR_PARTITION once the topic is deleted; FULL, READ_ONLY, POISONED, CLOSED, FORKED. INDETERMINATE if
 * the write or flush failed.
 */
ONCELOG_MUST_USE
oncelog_error_t *oncelog_partition_append(const oncelog_partition_t *partition,
                                          const oncelog_record_t *records,
                                          size_t count,
                                          const oncelog_append_options_t *options,
                                          oncelog_appended_t *out);

/*
 * The same without waiting: the batch has its place in the log, and the ticket is done when it has met its level.
 * `ticket` may be NULL.
 *
 * Errors: as `oncelog_partition_append`; INDETERMINATE comes from the ticket.
 */
ONCELOG_MUST_USE
oncelog_error_t *oncelog_partition_append_ticket(const oncelog_partition_t *partition,
                                                 const oncelog_record_t *records,
                                                 size_t count,
                                                 const oncelog_append_options_t *options,
                                                 oncelog_ticket_t **ticket);

/*
 * Appends one record batch of Kafka's format 2 as a client encoded it, byte for byte, and waits for its level. What it
 * holds is checked, its offsets are set; its producer, its transaction and its codec are its own. Of `options` the
 * level counts alone. `options` and `ticket` may be NULL; with a ticket this does not wait.
 *
 * Errors: as `oncelog_partition_append`; CORRUPT, INVALID_RECORD if the bytes are no batch that may be appended: one
 * that claims the log's time where the topic sets it, too.
 */
ONCELOG_MUST_USE
oncelog_error_t *oncelog_partition_append_batch(const oncelog_partition_t *partition,
                                                const void *batch,
                                                size_t size,
                                                const oncelog_append_options_t *options,
                                                oncelog_ticket_t **ticket);

/*
 * Reads from an offset on: what is visible now, nothing if that is nothing yet. At read_committed, the default, a read
 * ends at the last stable offset and leaves out what was aborted. Go on with `oncelog_records_next_offset`, which
 * steps over that too, or, over lives of the log, with `oncelog_records_next_place`. `options` may be NULL. Free the
 * records with `oncelog_records_free`.
 *
 * Errors: OFFSET_OUT_OF_RANGE below the start or above the end; with `options->from` TRUNCATED if a crash took records
 * that the place stands behind, others may have their offsets, and INVALID_ARGUMENT if `offset` is not its own;
 * UNKNOWN_TOPIC_OR_PARTITION once the topic is deleted; IO; CLOSED, FORKED. Damaged records are reported by
 * `oncelog_records_next`, where they lie.
 */
ONCELOG_MUST_USE
oncelog_error_t *oncelog_partition_read(const oncelog_partition_t *partition,
                                        uint64_t offset,
                                        const oncelog_read_options_t *options,
                                        oncelog_records_t **out);

/*
 * The offset of the first record, by offsets, whose timestamp is `timestamp` or later, in milliseconds since 1970;
 * `known` is false, and `out` 0, if there is none yet. As Kafka's ListOffsets (KIP-79), with an isolation,
 * `ONCELOG_ISOLATION_*`: at read_committed, the default, only what lies below the last stable offset counts, at
 * read_uncommitted what is undecided too; what was aborted counts at both. Little is decoded. Where timestamps do not
 * follow the offsets, records behind the one found may be older.
 *
 * Errors: INVALID_ARGUMENT for a negative timestamp or an unknown isolation; CORRUPT if records are damaged that come
 * into question; as `oncelog_partition_read`.
 */
ONCELOG_MUST_USE
oncelog_error_t *oncelog_partition_offset_at(const oncelog_partition_t *partition,
                                             int64_t timestamp,
                                             uint32_t isolation,
                                             uint64_t *out,
                                             bool *known);

/*
 * The greatest timestamp there is, in milliseconds since 1970, and the offset of the first record that has it. `known`
 * is false, and both are 0, while no record has one. As Kafka's ListOffsets for the greatest timestamp (KIP-734),
 * bounded as `oncelog_partition_offset_at`.
 *
 * Errors: as `oncelog_partition_offset_at`.
 */
ONCELOG_MUST_USE
oncelog_error_t *oncelog_partition_max_timestamp(const oncelog_partition_t *partition,
                                                 uint32_t isolation,
                                                 uint64_t *offset,
                                                 int64_t *timestamp,
                                                 bool *known);

/*
 * The producers that are active in a partition, in the order of their ids: whoever's last batches are remembered,
 * and whoever has a transaction open there. What Kafka's DescribeProducers (KIP-664) answers, to
 * find who holds the last stable offset back. Read them with `oncelog_active_producers_get`, free the list with
 * `oncelog_active_producers_free`.
 *
 * A raw identity without a transactional id is forgotten after a day without a batch, counted anew from each opening;
 * one with a transactional id when that is deleted or gets another producer id. A producer of this library is never
 * among them, and a transactional one only while a transaction of its streams: nobody repeats their batches. The
 * answer is of this moment, whether or not what it speaks of is durable or visible yet; each producer is as it was at
 * one moment of the call.
 *
 * Errors: UNKNOWN_TOPIC_OR_PARTITION once the topic is deleted; CLOSED, FORKED.
 */
ONCELOG_MUST_USE
oncelog_error_t *oncelog_partition_producers(const oncelog_partition_t *partition,
                                             oncelog_active_producers_t **out);

/* The producers of a list; they live until it is freed. */
ONCELOG_MUST_USE
oncelog_error_t *oncelog_active_producers_get(const oncelog_active_producers_t *producers,
                                              const oncelog_active_producer_t **out,
                                              size_t *count);

/* Frees a list of active producers. NULL is no error. */
oncelog_error_t *oncelog_active_producers_free(oncelog_active_producers_t *producers);

/*
 * The first offset, the last stable one and the end, as readers see them now; in a forked child as they were at the
 * fork.
 */
ONCELOG_MUST_USE
oncelog_error_t *oncelog_partition_bounds(const oncelog_partition_t *partition,
                                          oncelog_bounds_t *out);

/* The topic's name; it lives until the handle is freed. */
ONCELOG_MUST_USE
oncelog_error_t *oncelog_partition_topic(const oncelog_partition_t *partition,
                                         const char **out);

/* The partition's number in its topic. */
ONCELOG_MUST_USE
oncelog_error_t *oncelog_partition_number(const oncelog_partition_t *partition,
                                          uint32_t *out);

/* ---- Records that were read ------------------------------------------------------------------------------ */

/*
 * The next records in the order of their offsets, one partition after the other: a borrowed array, `count` 0 behind
 * the last. The array is used again by the next call; what it points to lives until `oncelog_records_free`. Nothing is
 * allocated and nothing called per record. Each batch is verified by its checksum before a record of it is given out.
 *
 * Errors: CORRUPT where bytes are damaged: it names the offsets, and the next call goes on behind them. BUSY while
 * another thread walks.
 */
ONCELOG_MUST_USE
oncelog_error_t *oncelog_records_next(oncelog_records_t *records,
                                      const oncelog_record_view_t **out,
                                      size_t *count);

/*
 * Goes back to the first record: `oncelog_records_next` begins again. What was answered before stays good.
 *
 * Errors: BUSY while another thread walks.
 */
ONCELOG_MUST_USE oncelog_error_t *oncelog_records_rewind(oncelog_records_t *records);

/*
 * The headers of a record, in the order they were sent: fills the caller's array, which must have room for
 * `view->header_count`. They live until `oncelog_records_free`. Names are UTF-8, but for those of batches that a Kafka
 * client made, which may have any bytes and are answered as they are.
 *
 * Errors: INVALID_ARGUMENT if `capacity` is too small, or the view is none of these records; BUSY while another thread
 * is in `oncelog_records_next` or `oncelog_records_rewind`.
 */
ONCELOG_MUST_USE
oncelog_error_t *oncelog_records_headers(const oncelog_records_t *records,
                                         const oncelog_record_view_t *view,
                                         oncelog_header_view_t *out,
                                         size_t capacity);

/* Number of records, damaged ones included. Nothing is decoded for it. */
ONCELOG_MUST_USE oncelog_error_t *oncelog_records_count(const oncelog_records_t *records, uint64_t *out);

/*
 * Bytes held as they lie in the log, those of hidden records included. What compressed batches unpacked to comes on
 * top.
 */
ONCELOG_MUST_USE
oncelog_error_t *oncelog_records_bytes(const oncelog_records_t *records,
                                       size_t *out);

/*
 * The offset to read next of a partition. `known` is false, and `out` 0, if these records hold nothing of it. An
 * answer to a read that has no record names the offset that was asked for, or the one behind what was aborted there.
 */
ONCELOG_MUST_USE
oncelog_error_t *oncelog_records_next_offset(const oncelog_records_t *records,
                                             const char *topic,
                                             uint32_t partition,
                                             uint64_t *out,
                                             bool *known);

/*
 * The offset to read next of every partition that these records hold something of, if only something damaged. Read
 * them with `oncelog_offsets_get`, free the list with `oncelog_offsets_free`.
 */
ONCELOG_MUST_USE
oncelog_error_t *oncelog_records_next_offsets(const oncelog_records_t *records,
                                              oncelog_offsets_t **out);

/*
 * Where a reader of a partition stands behind these records: what `oncelog_records_next_offset` says and how it can be
 * told, in a later life of the log too, whether the records before are still there. Give it to a read as
 * `oncelog_read_options_t::from`. `known` is false, and `out` zero, if these records hold nothing of the partition.
 */
ONCELOG_MUST_USE
oncelog_error_t *oncelog_records_next_place(const oncelog_records_t *records,
                                            const char *topic,
                                            uint32_t partition,
                                            oncelog_place_t *out,
                                            bool *known);

/* Frees records with everything borrowed from them. NULL is no error. */
oncelog_error_t *oncelog_records_free(oncelog_records_t *records);

/* ---- Batches as Kafka's clients encode them -------------------------------------------------------------- */

/*
 * The header of a batch of Kafka's format 2 as a client encoded it, after the checks that
 * `oncelog_partition_append_batch` makes. It is told as an append would write it: a wrong greatest timestamp is set
 * right, and the bit is cleared that claims the log's time.
 *
 * Errors: CORRUPT, INVALID_RECORD, RECORD_TOO_LARGE, UNSUPPORTED_VERSION as `oncelog_partition_append_batch`.
 */
ONCELOG_MUST_USE
oncelog_error_t *oncelog_batch_header(const void *batch,
                                      size_t size,
                                      oncelog_batch_header_t *out);

/*
 * The records of such a batch, unpacked if they are compressed, with offsets from 0; their topic is "", their
 * partition 0, and no next offset or place of any partition is known of them. They own a copy of the bytes. Free them
 * with `oncelog_records_free`.
 *
 * Errors: as `oncelog_batch_header`.
 */
ONCELOG_MUST_USE
oncelog_error_t *oncelog_batch_records(const void *batch,
                                       size_t size,
                                       oncelog_records_t **out);

/*
 * Tells whether this build of the library has a codec, one of `ONCELOG_COMPRESSION_*`: what it leaves out can be
 * neither written nor unpacked, and answers UNSUPPORTED_VERSION. Any thread may ask, without a log.
 *
 * Errors: INVALID_ARGUMENT if there is no such codec.
 */
ONCELOG_MUST_USE
oncelog_error_t *oncelog_compression_is_available(uint32_t compression,
                                                  bool *out);

/* ---- Producers ------------------------------------------------------------------------------------------- */

/*
 * Opens a producer. `options` may be NULL. Free it with `oncelog_producer_free`.
 *
 * Records are gathered into a batch per partition. A batch goes into the log when it is full, when its linger has
 * passed, or when somebody waits for one of its tickets. The partition is the record's own, or follows from its key
 * as in Kafka, or else changes from batch to batch.
 *
 * A producer with a name never writes a record twice, across crashes and restarts: each record carries a position, a
 * number that only grows, such as a line number or an offset in its source. What was gathered goes down whole, with
 * its last position. After a restart `oncelog_producer_position` says how far the log got; a send at or below it is
 * answered as a duplicate, so one may go on before it and needs not be exact. The name's former holder is fenced,
 * durably, before this returns.
 *
 * Errors: INVALID_ARGUMENT for options out of range; READ_ONLY; with a name also what a write answers.
 */
ONCELOG_MUST_USE
oncelog_error_t *oncelog_producer_open(const oncelog_engine_t *engine,
                                       const oncelog_producer_options_t *options,
                                       oncelog_producer_t **out);

/*
 * The same; the ticket is done when the former holder is fenced, and then `oncelog_ticket_producer` answers the
 * producer.
 *
 * Errors: as `oncelog_producer_open`; most come from the ticket.
 */
ONCELOG_MUST_USE
oncelog_error_t *oncelog_producer_open_ticket(const oncelog_engine_t *engine,
                                              const oncelog_producer_options_t *options,
                                              oncelog_ticket_t **ticket);

/*
 * Sends a record. Its ticket is done when the record has met the level of the options, else of the topic; waiting for
 * it closes the batch at once. `ticket` may be NULL: nobody is told, `oncelog_producer_flush` waits for all. If the
 * engine's buffers are full this waits for room; behind a batch that was refused it waits until the disk has confirmed
 * why.
 *
 * Errors: nothing was sent, and the position is still free: UNKNOWN_TOPIC_OR_PARTITION; RECORD_TOO_LARGE;
 * INVALID_RECORD for a timestamp out of range; INVALID_ARGUMENT for a position without a name or a name without a
 * position; PRODUCER_FENCED once a newer holder of the name is known; CLOSED if an earlier send of this named producer
 * was refused; READ_ONLY, POISONED, FORKED. From the ticket: FULL, and what a write answers; and PRODUCER_FENCED,
 * CLOSED and UNKNOWN_TOPIC_OR_PARTITION if the batch was refused, or an earlier one was and a power cut could still
 * take what it was refused for: no refusal is told before that is safe.
 */
ONCELOG_MUST_USE
oncelog_error_t *oncelog_producer_send(const oncelog_producer_t *producer,
                                       const char *topic,
                                       const oncelog_record_t *record,
                                       oncelog_ticket_t **ticket);

/*
 * Sends a record if that takes no waiting; `sent` tells. False: the engine's buffers are full, a batch was refused and
 * the disk must confirm why, or another thread, be it the engine's own, is busy with this producer right then; nothing
 * was sent. For event loops, which come again later. `ticket` may be NULL.
 *
 * Errors: as `oncelog_producer_send`.
 */
ONCELOG_MUST_USE
oncelog_error_t *oncelog_producer_try_send(const oncelog_producer_t *producer,
                                           const char *topic,
                                           const oncelog_record_t *record,
                                           oncelog_ticket_t **ticket,
                                           bool *sent);

/*
 * Sends records in order; one ticket for all, with an answer for each (`oncelog_ticket_appended_many`). Records of
 * other threads do not come between them. `ticket` may be NULL.
 *
 * Errors: as `oncelog_producer_send`. The records before the refused one are sent; a malformed argument is found
 * before any is.
 */
ONCELOG_MUST_USE
oncelog_error_t *oncelog_producer_send_many(const oncelog_producer_t *producer,
                                            const char *topic,
                                            const oncelog_record_t *records,
                                            size_t count,
                                            oncelog_ticket_t **ticket);

/*
 * Sends records in order until one would have to wait, or is refused; `sent` tells how many were, the first ones, and
 * `ticket` has their answers, none where none was sent. `refused` is why the next one was refused, yours to free; NULL
 * if all are sent, or if it would have had to wait: go on with it later. As `oncelog_producer_try_send`, nothing is
 * sent if a batch was refused and the disk must confirm why, or another thread, be it the engine's own, is busy with
 * this producer right then. What a named producer is refused counts as sent as long as that may not be told yet: the
 * ticket tells it. `ticket` and `refused` may be NULL.
 *
 * Errors: nothing was sent: CLOSED, FORKED, READ_ONLY, POISONED, or a malformed argument. The others of
 * `oncelog_producer_send` come as `refused`.
 */
ONCELOG_MUST_USE
oncelog_error_t *oncelog_producer_try_send_many(const oncelog_producer_t *producer,
                                                const char *topic,
                                                const oncelog_record_t *records,
                                                size_t count,
                                                size_t *sent,
                                                oncelog_ticket_t **ticket,
                                                oncelog_error_t **refused);

/*
 * Closes what is gathered and waits until everything sent before has met its level.
 *
 * Errors: what a write answers; what a batch was refused for since the last flush, after all others are safe.
 */
ONCELOG_MUST_USE oncelog_error_t *oncelog_producer_flush(const oncelog_producer_t *producer);

/*
 * Closes what is gathered; the ticket is done when everything sent before has met its level. `ticket` may be NULL.
 *
 * Errors: as `oncelog_producer_flush`; most come from the ticket.
 */
ONCELOG_MUST_USE
oncelog_error_t *oncelog_producer_flush_ticket(const oncelog_producer_t *producer,
                                               oncelog_ticket_t **ticket);

/*
 * The position of a named producer: everything sent up to it has met its level, and nothing beyond it is promised.
 * `known` is false, and `out` 0, before the first, without a name, and in a forked child, which may not send either.
 */
ONCELOG_MUST_USE
oncelog_error_t *oncelog_producer_position(const oncelog_producer_t *producer,
                                           uint64_t *out,
                                           bool *known);

/* Frees a producer. What is gathered goes into the log; nobody is told of errors. NULL is no error. */
oncelog_error_t *oncelog_producer_free(oncelog_producer_t *producer);

/* ---- Tickets: answers on their way ----------------------------------------------------------------------- */

/*
 * Waits until the call has its answer: until a write has met its level, `os` when it is written to the operating
 * system, `disk` when it is flushed. Closes a batch that is being gathered, and leads the write or flush if nobody
 * does. Then ask `oncelog_ticket_appended` or its like. Asked again, a ticket answers the same.
 *
 * Errors: what the call answers. BUSY while another thread waits for this ticket.
 */
ONCELOG_MUST_USE
oncelog_error_t *oncelog_ticket_wait(oncelog_ticket_t *ticket);

/*
 * Waits at most `timeout_ms`, but for a write, a flush or a new segment that it makes itself since nobody else does.
 * `done` tells whether there is an answer; the ticket stays good if there is none.
 *
 * Errors: as `oncelog_ticket_wait`.
 */
ONCELOG_MUST_USE
oncelog_error_t *oncelog_ticket_wait_for(oncelog_ticket_t *ticket,
                                         uint32_t timeout_ms,
                                         bool *done);

/*
 * Tells whether there is an answer. Waits for nothing, writes nothing, and closes nothing that is being gathered.
 *
 * Errors: as `oncelog_ticket_wait`.
 */
ONCELOG_MUST_USE
oncelog_error_t *oncelog_ticket_poll(oncelog_ticket_t *ticket,
                                     bool *done);

/*
 * The frame that the answer waits for, or waited for: what `oncelog_wait_durable` takes. Closes a batch that is being
 * gathered to learn it, waiting for room if there is none. `lsn` is 0 where nothing is waited for: an answer that
 * needs no frame, one that is an error, and in a forked child what was still gathered at the fork.
 *
 * Errors: BUSY while another thread waits for this ticket; CLOSED if it was given to a completion queue.
 */
ONCELOG_MUST_USE
oncelog_error_t *oncelog_ticket_lsn(oncelog_ticket_t *ticket,
                                    uint64_t *lsn);

/*
 * Where the record went, or the batch; of many records, the last.
 *
 * Errors: INVALID_STATE if there is no answer yet, or one of another type; BUSY while another thread waits for the
 * ticket; what the call answers.
 */
ONCELOG_MUST_USE
oncelog_error_t *oncelog_ticket_appended(const oncelog_ticket_t *ticket,
                                         oncelog_appended_t *out);

/*
 * Where each of many records went, in their order: a borrowed array that lives until the ticket is freed.
 *
 * Errors: as `oncelog_ticket_appended`.
 */
ONCELOG_MUST_USE
oncelog_error_t *oncelog_ticket_appended_many(const oncelog_ticket_t *ticket,
                                              const oncelog_appended_t **out,
                                              size_t *count);

/*
 * What the transaction left.
 *
 * Errors: as `oncelog_ticket_appended`.
 */
ONCELOG_MUST_USE
oncelog_error_t *oncelog_ticket_committed(const oncelog_ticket_t *ticket,
                                          oncelog_committed_t *out);

/*
 * The producer that `oncelog_producer_open_ticket` opened; asked once. Free it with `oncelog_producer_free`.
 *
 * Errors: as `oncelog_ticket_appended`.
 */
ONCELOG_MUST_USE
oncelog_error_t *oncelog_ticket_producer(const oncelog_ticket_t *ticket,
                                         oncelog_producer_t **out);

/*
 * The producer that `oncelog_transactional_producer_open_ticket` opened; asked once. Free it with
 * `oncelog_transactional_producer_free`.
 *
 * Errors: as `oncelog_ticket_appended`.
 */
ONCELOG_MUST_USE
oncelog_error_t *oncelog_ticket_transactional_producer(const oncelog_ticket_t *ticket,
                                                       oncelog_transactional_producer_t **out);

/*
 * The identity that `oncelog_init_producer_ticket` or `oncelog_end_transaction_ticket` answers.
 *
 * Errors: as `oncelog_ticket_appended`.
 */
ONCELOG_MUST_USE
oncelog_error_t *oncelog_ticket_identity(const oncelog_ticket_t *ticket,
                                         oncelog_identity_t *out);

/*
 * How the transaction stands that `oncelog_transaction_status_ticket` asked for, one of `ONCELOG_TRANSACTION_*`.
 *
 * Errors: as `oncelog_ticket_appended`.
 */
ONCELOG_MUST_USE
oncelog_error_t *oncelog_ticket_transaction_status(const oncelog_ticket_t *ticket,
                                                   uint32_t *out);

/*
 * The number that `oncelog_consumer_committed_ticket`, `oncelog_consumer_position_ticket` or
 * `oncelog_consumer_lag_ticket` asked for; `known` is false, and `out` 0, where nothing is committed.
 *
 * Errors: as `oncelog_ticket_appended`.
 */
ONCELOG_MUST_USE
oncelog_error_t *oncelog_ticket_offset(const oncelog_ticket_t *ticket,
                                       uint64_t *out,
                                       bool *known);

/*
 * The offsets that `oncelog_consumer_committed_offsets_ticket` asked for. Read them with `oncelog_offsets_get`, free
 * the list with `oncelog_offsets_free`.
 *
 * Errors: as `oncelog_ticket_appended`.
 */
ONCELOG_MUST_USE
oncelog_error_t *oncelog_ticket_offsets(const oncelog_ticket_t *ticket,
                                        oncelog_offsets_t **out);

/* Frees a ticket with what is borrowed from it; nobody is told any more. NULL is no error. */
oncelog_error_t *oncelog_ticket_free(oncelog_ticket_t *ticket);

/* ---- Transactional producers ----------------------------------------------------------------------------- */

/*
 * Opens a producer whose records become visible in transactions. It fences the former holder of the id, durably,
 * before this returns. Names of producers and transactional ids are one namespace. Of `options`, which may be NULL,
 * the level, the compression, `transaction_buffer` and `transaction_timeout_ms` count. Free it with
 * `oncelog_transactional_producer_free`.
 *
 * Errors: as `oncelog_producer_open`; INVALID_ARGUMENT for a name beside the id.
 */
ONCELOG_MUST_USE
oncelog_error_t *oncelog_transactional_producer_open(const oncelog_engine_t *engine,
                                                     const char *transactional_id,
                                                     const oncelog_producer_options_t *options,
                                                     oncelog_transactional_producer_t **out);

/*
 * The same; the ticket is done when the former holder is fenced, and then `oncelog_ticket_transactional_producer`
 * answers the producer.
 *
 * Errors: as `oncelog_producer_open`; most come from the ticket.
 */
ONCELOG_MUST_USE
oncelog_error_t *oncelog_transactional_producer_open_ticket(const oncelog_engine_t *engine,
                                                            const char *transactional_id,
                                                            const oncelog_producer_options_t *options,
                                                            oncelog_ticket_t **ticket);

/*
 * Begins a transaction. Nobody at read_committed sees anything of it before its commit. End it with
 * `oncelog_transaction_commit`, `oncelog_transaction_abort` or `oncelog_transaction_free`.
 *
 * Errors: INVALID_TRANSACTION_STATE while another transaction of this producer is open; PRODUCER_FENCED once a newer
 * holder of the id exists; READ_ONLY, POISONED, CLOSED, FORKED.
 */
ONCELOG_MUST_USE
oncelog_error_t *oncelog_begin_transaction(const oncelog_transactional_producer_t *producer,
                                           oncelog_transaction_t **out);

/*
 * Begins a transaction bound to a consumer: begin it before you poll. Commit sends the consumer's positions with it;
 * abort, free or a failed commit puts the consumer back to where it stands now, so that no input is lost.
 *
 * Errors: as `oncelog_begin_transaction`; INVALID_ARGUMENT if the consumer has no group or
 * belongs to another engine; INVALID_STATE if nothing is assigned to it or it is bound to another open transaction;
 * UNSTABLE_OFFSETS, which passes, while a raw transaction is open that will commit offsets of its group where it has
 * no position yet.
 */
ONCELOG_MUST_USE
oncelog_error_t *oncelog_begin_transaction_for(const oncelog_transactional_producer_t *producer,
                                               const oncelog_consumer_t *consumer,
                                               oncelog_transaction_t **out);

/*
 * The position last sent with `oncelog_transaction_send_position` in a transaction that has met its level. `known` is
 * false, and `out` 0, if there is none.
 */
ONCELOG_MUST_USE
oncelog_error_t *oncelog_transactional_producer_position(const oncelog_transactional_producer_t *producer,
                                                         uint64_t *out,
                                                         bool *known);

/* Frees a transactional producer. A transaction of it that is open goes on. NULL is no error. */
oncelog_error_t *oncelog_transactional_producer_free(oncelog_transactional_producer_t *producer);

/* ---- Transactions ---------------------------------------------------------------------------------------- */

/*
 * Adds a record. Nobody at read_committed sees it before the commit. If the transaction is past its buffer, or there
 * is no memory left for more, what it holds goes to the log now; that may wait for room.
 *
 * Errors: the transaction is as it was and can go on or be aborted: UNKNOWN_TOPIC_OR_PARTITION; RECORD_TOO_LARGE;
 * INVALID_RECORD; INVALID_ARGUMENT for a record with a position; FULL, if it streams; BUSY. It can only be aborted,
 * and run again: TRANSACTION_TIMED_OUT; TRANSACTION_ABORTED, by `oncelog_abort_transaction`; LIMIT_EXCEEDED if it
 * streams and reaches more than 1,000 partitions, or too many transactions stream. PRODUCER_FENCED; POISONED, CLOSED,
 * FORKED.
 */
ONCELOG_MUST_USE
oncelog_error_t *oncelog_transaction_send(oncelog_transaction_t *transaction,
                                          const char *topic,
                                          const oncelog_record_t *record);

/*
 * Adds a record if that takes nothing but memory; `sent` tells. False: what the transaction holds would have to go to
 * the log first, which may wait for room; nothing happened. For callers that hold what others wait for: they let go of
 * it and call `oncelog_transaction_send`.
 *
 * Errors: as `oncelog_transaction_send`.
 */
ONCELOG_MUST_USE
oncelog_error_t *oncelog_transaction_try_send(oncelog_transaction_t *transaction,
                                              const char *topic,
                                              const oncelog_record_t *record,
                                              bool *sent);

/*
 * Adds records in order, those without a time with that of the call. The topic is looked up once.
 *
 * Errors: as `oncelog_transaction_send`. The records before the refused one are in the transaction; a malformed
 * argument is found before any is.
 */
ONCELOG_MUST_USE
oncelog_error_t *oncelog_transaction_send_many(oncelog_transaction_t *transaction,
                                               const char *topic,
                                               const oncelog_record_t *records,
                                               size_t count);

/*
 * Commits offsets of a group together with the records: the offset to read next, per partition. Later calls replace
 * what earlier ones said of the same partition. `group` is what `oncelog_consumer_group_metadata` answers.
 *
 * Errors: the transaction is as it was: UNKNOWN_TOPIC_OR_PARTITION; INVALID_ARGUMENT for an offset out of range, or if
 * the group is that of the bound consumer, whose positions the commit sends; LIMIT_EXCEEDED for metadata that is too
 * long, or if the offsets alone would outgrow 1 MiB; BUSY, also while other transactions have all of
 * `transaction_memory`, and for up to 64 KiB of them the 8 MiB besides.
 */
ONCELOG_MUST_USE
oncelog_error_t *oncelog_transaction_send_offsets(oncelog_transaction_t *transaction,
                                                  const oncelog_group_metadata_t *group,
                                                  const oncelog_offset_t *offsets,
                                                  size_t count);

/*
 * Moves the position of the transactional id with the commit: how far its source has been worked off. See
 * `oncelog_transactional_producer_position`.
 *
 * Errors: INVALID_ARGUMENT if the position is not above the last one: that part of the source is done, skip it; BUSY.
 */
ONCELOG_MUST_USE
oncelog_error_t *oncelog_transaction_send_position(oncelog_transaction_t *transaction,
                                                   uint64_t position);

/* The transaction's number: it names this transaction for ever. */
ONCELOG_MUST_USE
oncelog_error_t *oncelog_transaction_number(oncelog_transaction_t *transaction,
                                            uint64_t *out);

/*
 * Commits, and waits until the transaction has met the strongest level of its topics and of the producer's options. A
 * transaction with nothing in it writes nothing. The handle is used up, unless the answer is BUSY or names an
 * argument. `out` may be NULL.
 *
 * Errors: INDETERMINATE: a write or flush failed under the commit; opening the log again decides whether it is there,
 * and `oncelog_transaction_status` and the positions that it carried tell. After every other error the transaction is
 * aborted and the bound consumer back where it stood: run it again. PRODUCER_FENCED: a newer holder of the id exists.
 * TRANSACTION_TIMED_OUT, TRANSACTION_ABORTED; UNKNOWN_TOPIC_OR_PARTITION if a topic was deleted meanwhile for which it
 * holds records in memory or offsets: records that streamed before are gone with their topic, and the rest commits;
 * FULL, POISONED, CLOSED, FORKED.
 */
ONCELOG_MUST_USE
oncelog_error_t *oncelog_transaction_commit(oncelog_transaction_t *transaction,
                                            oncelog_committed_t *out);

/*
 * Commits without waiting: the transaction has its place, and the ticket says when it has met its level; or it was
 * aborted, and the ticket says why once a power cut cannot take that back. The next transaction may begin. The handle
 * is used up as by `oncelog_transaction_commit`. `ticket` may be NULL.
 *
 * Errors: as `oncelog_transaction_commit`. From the ticket comes what waits for the disk: INDETERMINATE, and what the
 * log refuses the transaction for, as PRODUCER_FENCED or TRANSACTION_TIMED_OUT.
 */
ONCELOG_MUST_USE
oncelog_error_t *oncelog_transaction_commit_ticket(oncelog_transaction_t *transaction,
                                                   oncelog_ticket_t **ticket);

/*
 * Aborts: nobody at read_committed will see anything of it, and a bound consumer goes back to where it stood at the
 * begin. If it streamed, a decision goes to the log; nobody need wait for it, for opening the log again would abort it
 * too. The handle is used up, unless the answer is BUSY.
 *
 * Errors: CLOSED, FORKED. It is aborted in any case.
 */
ONCELOG_MUST_USE
oncelog_error_t *oncelog_transaction_abort(oncelog_transaction_t *transaction);

/*
 * Aborts a transaction that is open, and does nothing to NULL. For cleaning up: a handle that was used up is answered
 * with CLOSED, which needs no freeing.
 */
oncelog_error_t *oncelog_transaction_free(oncelog_transaction_t *transaction);

/* ---- Raw identities and transactions: for brokers -------------------------------------------------------- */

/*
 * An identity for batches that carry producer id, epoch and sequences of their own, as a broker's do; see
 * `oncelog_append_options_t`. With a transactional id the epoch is raised, older holders are fenced, and a transaction
 * that one of them left open is aborted, durably, before this returns; `timeout_ms` is how long a transaction may be
 * open: from 2^31 - 1 on, for ever (KIP-939). With `current` it is given only if nobody else raised the epoch since
 * (KIP-360); a call that is repeated because its answer was lost gets the same answer. `transactional_id` and
 * `current` may be NULL; without an id `timeout_ms` says nothing. When the epochs of an id are used up, at 32,766, the
 * answer has a new producer id.
 *
 * Errors: PRODUCER_FENCED if `current` is not the newest holder; INVALID_ARGUMENT for an empty id or, with an id, a
 * timeout of 0 or past `transaction_timeout_max_ms` of the engine; what a write answers.
 */
ONCELOG_MUST_USE
oncelog_error_t *oncelog_init_producer(const oncelog_engine_t *engine,
                                       const char *transactional_id,
                                       uint32_t timeout_ms,
                                       const oncelog_identity_t *current,
                                       oncelog_identity_t *out);

/*
 * The same; the ticket is done when the identity may be used, and then `oncelog_ticket_identity` answers it.
 *
 * Errors: as `oncelog_init_producer`; most come from the ticket.
 */
ONCELOG_MUST_USE
oncelog_error_t *oncelog_init_producer_ticket(const oncelog_engine_t *engine,
                                              const char *transactional_id,
                                              uint32_t timeout_ms,
                                              const oncelog_identity_t *current,
                                              oncelog_ticket_t **ticket);

/*
 * Adds offsets to the transaction of a raw identity: they are committed if it commits, and until it is decided
 * `oncelog_consumer_committed` answers UNSTABLE_OFFSETS. The transaction begins with them if none is open. Later
 * offsets take the place of earlier ones. Waits until they have met the strongest level of the engine and of their
 * topics.
 *
 * Errors: STALE_EPOCH if a newer identity took over; UNKNOWN_TRANSACTIONAL_ID for an identity without a transactional
 * id; INVALID_TRANSACTION_STATE while a transactional producer has a transaction open under the id;
 * UNKNOWN_TOPIC_OR_PARTITION; INVALID_ARGUMENT for an offset out of range; LIMIT_EXCEEDED for metadata that is too
 * long, or past 1,000 offsets in one transaction; what a write answers.
 */
ONCELOG_MUST_USE
oncelog_error_t *oncelog_send_offsets(const oncelog_engine_t *engine,
                                      const oncelog_identity_t *identity,
                                      const oncelog_group_metadata_t *group,
                                      const oncelog_offset_t *offsets,
                                      size_t count);

/*
 * The same; the ticket is done when they have met the strongest level of the engine and of their topics. `ticket` may
 * be NULL.
 *
 * Errors: as `oncelog_send_offsets`; most come from the ticket.
 */
ONCELOG_MUST_USE
oncelog_error_t *oncelog_send_offsets_ticket(const oncelog_engine_t *engine,
                                             const oncelog_identity_t *identity,
                                             const oncelog_group_metadata_t *group,
                                             const oncelog_offset_t *offsets,
                                             size_t count,
                                             oncelog_ticket_t **ticket);

/*
 * Ends the transaction of a raw identity, `ONCELOG_OUTCOME_*`, and raises its epoch (KIP-890): `out` is the identity
 * of its next transaction, whose sequences begin at 0 again. Waits until the decision has met the strongest level of
 * the engine and of the topics that it reached. A call that is repeated because its answer was lost gets the same
 * answer. An abort without a transaction only raises the epoch.
 *
 * Errors: PRODUCER_FENCED if a newer identity took over; INVALID_TRANSACTION_STATE for a commit without a transaction,
 * and for one whose transaction was aborted meanwhile, by its timeout or by `oncelog_abort_transaction`;
 * UNKNOWN_TRANSACTIONAL_ID for an identity without a transactional id; what a write answers.
 */
ONCELOG_MUST_USE
oncelog_error_t *oncelog_end_transaction(const oncelog_engine_t *engine,
                                         const oncelog_identity_t *identity,
                                         uint32_t outcome,
                                         oncelog_identity_t *out);

/*
 * The same; the ticket is done when the decision has met its level, and then `oncelog_ticket_identity` answers the
 * identity of the next transaction.
 *
 * Errors: as `oncelog_end_transaction`; most come from the ticket.
 */
ONCELOG_MUST_USE
oncelog_error_t *oncelog_end_transaction_ticket(const oncelog_engine_t *engine,
                                                const oncelog_identity_t *identity,
                                                uint32_t outcome,
                                                oncelog_ticket_t **ticket);

/*
 * Aborts a transaction by its number, whoever owns it: one that holds the last stable offset back and whose owner does
 * not answer. Its owner hears of it with the next call: TRANSACTION_ABORTED, or, for a raw identity, that the epoch
 * was raised. One that was aborted before is as good.
 *
 * Errors: INVALID_TRANSACTION_STATE if it is not open: it was committed, is committing, or was never begun; what a
 * write answers.
 */
ONCELOG_MUST_USE
oncelog_error_t *oncelog_abort_transaction(const oncelog_engine_t *engine,
                                           uint64_t number);

/*
 * The same; the ticket is done when that has met its level. `ticket` may be NULL.
 *
 * Errors: as `oncelog_abort_transaction`; most come from the ticket.
 */
ONCELOG_MUST_USE
oncelog_error_t *oncelog_abort_transaction_ticket(const oncelog_engine_t *engine,
                                                  uint64_t number,
                                                  oncelog_ticket_t **ticket);

/*
 * How a transaction stands, `ONCELOG_TRANSACTION_*`, by its number: what an INDETERMINATE commit left open is known
 * once the log is opened again. The last 64 decisions of each transactional id are kept. What is answered survives a
 * power cut.
 *
 * Errors: CLOSED, FORKED; what a flush answers.
 */
ONCELOG_MUST_USE
oncelog_error_t *oncelog_transaction_status(const oncelog_engine_t *engine,
                                            uint64_t number,
                                            uint32_t *out);

/*
 * The same; the ticket is done when the answer survives a power cut, and then `oncelog_ticket_transaction_status`
 * gives it.
 *
 * Errors: as `oncelog_transaction_status`; what a flush answers comes from the ticket.
 */
ONCELOG_MUST_USE
oncelog_error_t *oncelog_transaction_status_ticket(const oncelog_engine_t *engine,
                                                   uint64_t number,
                                                   oncelog_ticket_t **ticket);

/*
 * The transactions that have something in the log and are not decided, in the order in which they began: who holds the
 * last stable offset of which partitions back, and since when. One that is memory only holds nothing back and is not
 * among them. Read them with `oncelog_open_transactions_get`, free the list with `oncelog_open_transactions_free`.
 *
 * Errors: CLOSED, FORKED.
 */
ONCELOG_MUST_USE
oncelog_error_t *oncelog_describe_transactions(const oncelog_engine_t *engine,
                                               oncelog_open_transactions_t **out);

/* The transactions of a list; they live until it is freed. */
ONCELOG_MUST_USE
oncelog_error_t *oncelog_open_transactions_get(const oncelog_open_transactions_t *transactions,
                                               const oncelog_open_transaction_t **out,
                                               size_t *count);

/* Frees a list of open transactions. NULL is no error. */
oncelog_error_t *oncelog_open_transactions_free(oncelog_open_transactions_t *transactions);

/* ---- Consumers ------------------------------------------------------------------------------------------- */

/*
 * Opens a consumer; assign it partitions, then poll. `options` may be NULL. Free it with `oncelog_consumer_free`.
 *
 * A partition is read from what the group has committed, else by the start rule of the options. Positions move with
 * `oncelog_consumer_poll`; they are committed by `oncelog_consumer_commit`, or by the transaction that is bound to the
 * consumer.
 *
 * Errors: INVALID_ARGUMENT for options out of range.
 */
ONCELOG_MUST_USE
oncelog_error_t *oncelog_consumer_open(const oncelog_engine_t *engine,
                                       const oncelog_consumer_options_t *options,
                                       oncelog_consumer_t **out);

/*
 * Takes over these partitions, in place of those before. Positions of partitions that stay are kept.
 *
 * Errors: the old assignment stays: INVALID_ARGUMENT for none, or one named twice; UNKNOWN_TOPIC_OR_PARTITION;
 * INVALID_STATE while an open transaction is bound to the consumer.
 */
ONCELOG_MUST_USE
oncelog_error_t *oncelog_consumer_assign(const oncelog_consumer_t *consumer,
                                         const oncelog_topic_partition_t *partitions,
                                         size_t count);

/*
 * Reads the next records, up to the bounds of the options, from the assigned partitions in turn. With nothing there it
 * waits at most `timeout_ms`, woken by the first record, and answers with no records when the time is up. Records
 * count as read when they are answered; they are seen when they have met their topic's level. What was aborted is
 * stepped over, and `oncelog_records_next_offsets` lie behind it, of an answer without a record too.
 *
 * What the group has committed is settled first, and if that is news, a flush waited for, however short the timeout
 * is; see `oncelog_consumer_settle_ticket`. Where a raw transaction is open that will commit an offset of the group, the
 * partition has nothing to read before the decision, which wakes a waiting poll as a record does (KIP-447); not at
 * read_uncommitted, nor where a position is sought. Free the records with `oncelog_records_free`.
 *
 * Errors: BUSY while another thread polls; INVALID_STATE without an assignment; OFFSET_OUT_OF_RANGE if the start rule
 * is none and there is no position; UNKNOWN_TOPIC_OR_PARTITION once a topic is deleted; POISONED once the disk has
 * failed and nothing is left to read, for nothing will come; IO; CLOSED, FORKED.
 */
ONCELOG_MUST_USE
oncelog_error_t *oncelog_consumer_poll(const oncelog_consumer_t *consumer,
                                       uint32_t timeout_ms,
                                       oncelog_records_t **out);

/*
 * Moves a partition's position: the next poll reads from there.
 *
 * Errors: OFFSET_OUT_OF_RANGE below the start or above the end; INVALID_STATE if the partition is not assigned.
 */
ONCELOG_MUST_USE
oncelog_error_t *oncelog_consumer_seek(const oncelog_consumer_t *consumer,
                                       const char *topic,
                                       uint32_t partition,
                                       uint64_t offset);

/*
 * The offset that the next poll reads from.
 *
 * Errors: INVALID_STATE if the partition is not assigned; OFFSET_OUT_OF_RANGE if nothing is committed and there is no
 * start rule; UNSTABLE_OFFSETS, which passes, if there is no position yet and a raw transaction is open that will
 * commit one, see `oncelog_consumer_poll`.
 */
ONCELOG_MUST_USE
oncelog_error_t *oncelog_consumer_position(const oncelog_consumer_t *consumer,
                                           const char *topic,
                                           uint32_t partition,
                                           uint64_t *out);

/*
 * The same, as it is now, without waiting; `oncelog_ticket_offset` answers it when it may be told.
 *
 * Errors: as `oncelog_consumer_position`; what a flush answers comes from the ticket.
 */
ONCELOG_MUST_USE
oncelog_error_t *oncelog_consumer_position_ticket(const oncelog_consumer_t *consumer,
                                                  const char *topic,
                                                  uint32_t partition,
                                                  oncelog_ticket_t **ticket);

/*
 * Finds out where all assigned partitions are read from; the ticket is done when that is safe. From then on
 * `oncelog_consumer_poll` waits for records only, and `oncelog_consumer_position` and `oncelog_consumer_lag` for
 * nothing, until `oncelog_consumer_assign` or `oncelog_consumer_rewind`: for event loops, which poll with a timeout of
 * 0. What a group has committed may be news that no flush has met yet. If offsets are pending, the ticket answers
 * UNSTABLE_OFFSETS once all other positions are safe: poll, and wait with
 * `oncelog_completions_watch_consumer`.
 *
 * Errors: INVALID_STATE without an assignment; as `oncelog_consumer_position`. What a flush answers comes from the
 * ticket, and so does UNSTABLE_OFFSETS.
 */
ONCELOG_MUST_USE
oncelog_error_t *oncelog_consumer_settle_ticket(const oncelog_consumer_t *consumer,
                                                oncelog_ticket_t **ticket);

/*
 * The positions of all assigned partitions that have one: what was polled, sought or asked for; none in a forked
 * child. Read them with `oncelog_offsets_get`, free the list with `oncelog_offsets_free`.
 */
ONCELOG_MUST_USE
oncelog_error_t *oncelog_consumer_positions(const oncelog_consumer_t *consumer,
                                            oncelog_offsets_t **out);

/* The offsets of a list, by partition; they live until it is freed. */
ONCELOG_MUST_USE
oncelog_error_t *oncelog_offsets_get(const oncelog_offsets_t *offsets,
                                     const oncelog_offset_t **out,
                                     size_t *count);

/* Frees a list of offsets. NULL is no error. */
oncelog_error_t *oncelog_offsets_free(oncelog_offsets_t *offsets);

/*
 * What the group has committed for a partition, assigned or not; `known` is false, and `out` 0, for nothing. What is
 * answered survives a power cut, or, where all is at level os, the death of the process.
 *
 * Errors: UNKNOWN_TOPIC_OR_PARTITION; INVALID_ARGUMENT without a group; UNSTABLE_OFFSETS, which passes, while a raw
 * transaction is open that will commit an offset for the partition, unless the isolation is read_uncommitted
 * (KIP-447).
 */
ONCELOG_MUST_USE
oncelog_error_t *oncelog_consumer_committed(const oncelog_consumer_t *consumer,
                                            const char *topic,
                                            uint32_t partition,
                                            uint64_t *out,
                                            bool *known);

/*
 * The same, as it is now, without waiting; `oncelog_ticket_offset` answers it when it is safe.
 *
 * Errors: as `oncelog_consumer_committed`; what a flush answers comes from the ticket.
 */
ONCELOG_MUST_USE
oncelog_error_t *oncelog_consumer_committed_ticket(const oncelog_consumer_t *consumer,
                                                   const char *topic,
                                                   uint32_t partition,
                                                   oncelog_ticket_t **ticket);

/*
 * What the group has committed for these partitions, assigned or not, with what was stored beside the offsets: the
 * counterpart of `oncelog_consumer_commit_offsets`. All of one moment; partitions for which nothing is committed are
 * left out. Read them with `oncelog_offsets_get`, free the list with `oncelog_offsets_free`.
 *
 * Errors: as `oncelog_consumer_committed`, of any of them.
 */
ONCELOG_MUST_USE
oncelog_error_t *oncelog_consumer_committed_offsets(const oncelog_consumer_t *consumer,
                                                    const oncelog_topic_partition_t *partitions,
                                                    size_t count,
                                                    oncelog_offsets_t **out);

/*
 * The same, as it is now, without waiting; `oncelog_ticket_offsets` answers it when it is safe.
 *
 * Errors: as `oncelog_consumer_committed_offsets`; what a flush answers comes from the ticket.
 */
ONCELOG_MUST_USE
oncelog_error_t *oncelog_consumer_committed_offsets_ticket(const oncelog_consumer_t *consumer,
                                                           const oncelog_topic_partition_t *partitions,
                                                           size_t count,
                                                           oncelog_ticket_t **ticket);

/*
 * Commits the positions of all assigned partitions, together, and waits until they have met the strongest level of the
 * engine and of their topics. Writes nothing if nothing has moved.
 *
 * Errors: INVALID_ARGUMENT without a group; INVALID_STATE while an open transaction is bound to the consumer;
 * UNKNOWN_TOPIC_OR_PARTITION if a topic was deleted; what a write answers.
 */
ONCELOG_MUST_USE
oncelog_error_t *oncelog_consumer_commit(const oncelog_consumer_t *consumer);

/*
 * The same without waiting; the ticket is done when the positions have met the strongest level of the engine and of
 * their topics. `ticket` may be NULL.
 *
 * Errors: as `oncelog_consumer_commit`; what a write answers comes from the ticket.
 */
ONCELOG_MUST_USE
oncelog_error_t *oncelog_consumer_commit_ticket(const oncelog_consumer_t *consumer,
                                                oncelog_ticket_t **ticket);

/*
 * Commits any offsets of the group, together, and waits until they have met the strongest level of the engine and of
 * their topics.
 *
 * Errors: as `oncelog_consumer_commit`; INVALID_ARGUMENT for an offset out of range; LIMIT_EXCEEDED for metadata that
 * is too long.
 */
ONCELOG_MUST_USE
oncelog_error_t *oncelog_consumer_commit_offsets(const oncelog_consumer_t *consumer,
                                                 const oncelog_offset_t *offsets,
                                                 size_t count);

/*
 * The same without waiting; the ticket is done when they have met the strongest level of the engine and of their
 * topics. `ticket` may be NULL.
 *
 * Errors: as `oncelog_consumer_commit_offsets`; what depends on the log comes from the ticket.
 */
ONCELOG_MUST_USE
oncelog_error_t *oncelog_consumer_commit_offsets_ticket(const oncelog_consumer_t *consumer,
                                                        const oncelog_offset_t *offsets,
                                                        size_t count,
                                                        oncelog_ticket_t **ticket);

/*
 * Goes back to what is committed, in all assigned partitions; where nothing is, to the start rule.
 *
 * Errors: CLOSED, FORKED.
 */
ONCELOG_MUST_USE oncelog_error_t *oncelog_consumer_rewind(const oncelog_consumer_t *consumer);

/*
 * How many records lie between the position and the end that this consumer's isolation sees: the last stable offset,
 * or the end. Zero when all is read: commits leave no holes. Aborted records that lie between count too. Of all
 * consumers with a group: `oncelog_consumer_lags`.
 *
 * Errors: as `oncelog_consumer_position`.
 */
ONCELOG_MUST_USE
oncelog_error_t *oncelog_consumer_lag(const oncelog_consumer_t *consumer,
                                      const char *topic,
                                      uint32_t partition,
                                      uint64_t *out);

/*
 * The same, as it is now, without waiting; `oncelog_ticket_offset` answers it when it may be told.
 *
 * Errors: as `oncelog_consumer_position`; what a flush answers comes from the ticket.
 */
ONCELOG_MUST_USE
oncelog_error_t *oncelog_consumer_lag_ticket(const oncelog_consumer_t *consumer,
                                             const char *topic,
                                             uint32_t partition,
                                             oncelog_ticket_t **ticket);

/*
 * Start, last stable offset and end of a partition, assigned or not.
 *
 * Errors: UNKNOWN_TOPIC_OR_PARTITION.
 */
ONCELOG_MUST_USE
oncelog_error_t *oncelog_consumer_bounds(const oncelog_consumer_t *consumer,
                                         const char *topic,
                                         uint32_t partition,
                                         oncelog_bounds_t *out);

/*
 * Names the group, for `oncelog_transaction_send_offsets`. Set `out->struct_size` first; the name lives until the
 * consumer is freed.
 *
 * Errors: INVALID_ARGUMENT without a group.
 */
ONCELOG_MUST_USE
oncelog_error_t *oncelog_consumer_group_metadata(const oncelog_consumer_t *consumer,
                                                 oncelog_group_metadata_t *out);

/* Frees a consumer. Positions that were not committed are forgotten. NULL is no error. */
oncelog_error_t *oncelog_consumer_free(oncelog_consumer_t *consumer);

/* ---- Completions: for event loops ------------------------------------------------------------------------ */

/*
 * Opens a queue for what an engine does. Free it with `oncelog_completions_free`.
 *
 * Errors: IO if the process may open no more descriptors; CLOSED.
 */
ONCELOG_MUST_USE
oncelog_error_t *oncelog_completions_open(const oncelog_engine_t *engine,
                                          oncelog_completions_t **out);

/*
 * The queue's descriptor: readable while something is queued. Only watch it: `oncelog_completions_drain` clears it,
 * `oncelog_completions_free` closes it. An engine without threads makes nothing readable by itself: drain its queue at
 * least as often as batches may linger. On Windows it is a socket, for select, WSAPoll, WSAEventSelect and the loops
 * built on them; now and then it is readable for nothing, so drain whenever it is.
 */
ONCELOG_MUST_USE
oncelog_error_t *oncelog_completions_fd(const oncelog_completions_t *completions,
                                        oncelog_fd_t *out);

/*
 * Has `callback` called with the ticket's answer, once, by a later `oncelog_completions_drain`. The ticket is used up;
 * after an error it is as it was. What one thread sends to a partition and watches is answered in the order of the
 * sends, but for refusals and for tickets that were waited for before. Closing the engine answers all tickets. A queue
 * that is freed calls nobody any more.
 *
 * Errors: BUSY while a thread waits for the ticket; CLOSED if it was used up before, or the queue was freed.
 */
ONCELOG_MUST_USE
oncelog_error_t *oncelog_completions_watch(const oncelog_completions_t *completions,
                                           oncelog_ticket_t *ticket,
                                           oncelog_done_fn callback,
                                           void *context);

/*
 * Has `callback` called once, by a later `oncelog_completions_drain`, when a poll of the consumer would answer records
 * or an error; at once if it would now. Freeing the consumer calls it too, with the end of the transaction that holds
 * the consumer, if one does: a poll would answer CLOSED. A queue that is freed calls nobody any more.
 */
ONCELOG_MUST_USE
oncelog_error_t *oncelog_completions_watch_consumer(const oncelog_completions_t *completions,
                                                    const oncelog_consumer_t *consumer,
                                                    oncelog_ready_fn callback,
                                                    void *context);

/*
 * Runs the callbacks of everything queued, in the order in which it finished, on this thread; `count` tells how many,
 * and may be NULL. Never waits, but does the background work that is due where the engine was opened with
 * `.threads = ONCELOG_NO`, as `oncelog_drive` does.
 *
 * Errors: FORKED in a forked child, whose parent owns the queue; else those of that background work: the callbacks
 * have run all the same.
 */
ONCELOG_MUST_USE
oncelog_error_t *oncelog_completions_drain(const oncelog_completions_t *completions,
                                           size_t *count);

/*
 * Frees a queue and closes its descriptor; inside a callback, when the drain that called it returns. Callbacks that
 * have not run never will, but one that another thread's drain has come to may still run: have that thread stop first
 * if what `context` points to is to go. NULL is no error.
 */
oncelog_error_t *oncelog_completions_free(oncelog_completions_t *completions);

/* ---- Hooks ----------------------------------------------------------------------------------------------- */

/*
 * Sets where the messages of all engines of this process go: that a log was opened, what was cut or is damaged, that
 * the disk failed, that a producer was fenced, that a log was closed. NULL: nowhere, as in the beginning.
 *
 * The function runs at the end of calls to this library, on the thread that made the call and on no other; threads
 * that call at the same time may run it at the same time. `context` must stay good until no call is under way that
 * began before another logger was set.
 */
void oncelog_set_logger(oncelog_log_fn log,
                        void *context);

/*
 * Sets where this library takes its memory from; by default the system's malloc. Before every other call, and once:
 * memory goes back where it came from. The functions are called from any thread, the engine's own included; they and
 * what `context` points to must stay good to the end of the process. Two things come from elsewhere: the working
 * memory of zstd, from the system's malloc, about a megabyte for each thread that packs or unpacks with it; and what
 * the system maps, the stacks of the engine's threads and sealed segments.
 *
 * Errors: INVALID_ARGUMENT if a function is NULL; INVALID_STATE if anything was allocated before.
 */
ONCELOG_MUST_USE
oncelog_error_t *oncelog_set_allocator(oncelog_allocate_fn allocate,
                                       oncelog_release_fn release,
                                       void *context);

#ifdef __cplusplus
}  // extern "C"
#endif  // __cplusplus

#endif  /* ONCELOG_H */
