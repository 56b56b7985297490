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
