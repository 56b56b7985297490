// oncelog for C++17: header-only, over the C interface of oncelog.h.
//
//     #include <oncelog.hpp>
//     using namespace oncelog;
//
//     Engine engine = Engine::open("words.log").value();
//     engine.create_topic("greetings").or_throw();
//     Partition greetings = engine.partition("greetings", 0).value();
//     greetings.append(Record("hello")).or_throw();   // survives a power cut from here on
//
//     Records records = greetings.read(0).value();
//     for (RecordView record : records) std::cout << record.offset() << ": " << record.value().text() << "\n";
//
// Know before you start
//
//   - What oncelog.h says of processes, forks, levels of durability, transactions and signals holds here too: read its
//     first page.
//   - A class is a handle: move-only, a pointer in size. Its destructor frees it and forgets errors: that of an Engine
//     closes the log, that of a Transaction aborts. Call close() or commit() to learn how it went.
//   - Closing the engine closes the log for everything made from it. Those objects may outlive it: they answer Closed.
//     So does an object that was closed, committed or aborted. One that was moved from answers InvalidArgument.
//   - Every call that may fail answers a Result that must be looked at. value() and or_throw() throw an
//     oncelog::Exception for an error; compiled without exceptions they print it and abort. Nothing else throws, but
//     for what the standard library throws when memory runs out. Neither exceptions nor RTTI are needed.
//   - Text (names of topics, groups, producers, directories) is a literal or a std::string, UTF-8 without a NUL.
//     Bytes (keys and values) are anything with data() and size() over bytes, or a literal; they may be null, which is
//     not the same as empty.
//   - A Record borrows its bytes, as a std::string_view does, until the call that it is given to returns. A Batch owns
//     copies. A RecordView borrows from the Records that it was read from.
//   - What a poll answered counts as read, seen or not: a commit in the middle of a batch covers all of it. Look at
//     every record before commit(), or name the offsets that are done with commit_offsets().
//   - Options are set by name: ProducerOptions().name("loader").linger(0ms). What is not set is the default, and so is
//     a size, a count or a time of 0, but for linger(0ms): each batch is closed at once.
//
// Threads: const members may be called by any threads at the same time, others by one thread at a time. If the library
// notices two it answers Busy. As with any C++ object, nobody may use one while it is moved or destroyed.
//
// Compile all files of a program with the same choice about exceptions: inline functions differ between the two.
//
// SPDX-License-Identifier: MIT OR Apache-2.0

#ifndef ONCELOG_HPP
#define ONCELOG_HPP

#include "oncelog/completions.hpp"
#include "oncelog/consumer.hpp"
#include "oncelog/engine.hpp"
#include "oncelog/error.hpp"
#include "oncelog/hooks.hpp"
#include "oncelog/limits.hpp"
#include "oncelog/options.hpp"
#include "oncelog/partition.hpp"
#include "oncelog/producer.hpp"
#include "oncelog/record.hpp"
#include "oncelog/records.hpp"
#include "oncelog/ticket.hpp"
#include "oncelog/transaction.hpp"
#include "oncelog/types.hpp"

#endif
