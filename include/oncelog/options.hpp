// Options, set by name: `EngineOptions().durability(Durability::Os).threads(false)`. Part of oncelog.hpp.
//
// They own what they are given, so they may be kept and used again. What is not set is the default, and so is a size, a
// count or a time of 0, but for ProducerOptions::linger(); what is out of range is refused with InvalidArgument by the
// call that the options are given to.
// SPDX-License-Identifier: MIT OR Apache-2.0

#ifndef ONCELOG_OPTIONS_HPP
#define ONCELOG_OPTIONS_HPP

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>

#include "types.hpp"

namespace oncelog {

namespace detail {

inline std::uint32_t c_switch(bool on) noexcept { return on ? ONCELOG_YES : ONCELOG_NO; }

/// A zeroed struct of C that begins with its size.
template <class C>
C sized() noexcept {
    C made = {};
    made.struct_size = sizeof made;
    return made;
}

}  // namespace detail

/// How to open a log.
class EngineOptions {
public:
    /// The level of topics that have none of their own. Default: disk.
    EngineOptions &durability(Durability level) noexcept {
        return c_.durability = static_cast<std::uint32_t>(level), *this;
    }
    /// Size of a segment, 64 KiB to 512 MiB. Default: 64 MiB.
    EngineOptions &segment_bytes(std::uint64_t bytes) noexcept { return c_.segment_bytes = bytes, *this; }
    /// Opens for reading: nothing is written, and every call that would write answers ReadOnly. Default: no.
    EngineOptions &read_only(bool yes) noexcept { return c_.read_only = detail::c_switch(yes), *this; }
    /// Makes the directory if it is missing. Default: yes.
    EngineOptions &create(bool yes) noexcept { return c_.create = detail::c_switch(yes), *this; }
    /// Has two threads of its own for background work, one that writes and calls back and one that flushes; without,
    /// drive(), Completions::drain() or whoever waits does it. Default: yes.
    EngineOptions &threads(bool yes) noexcept { return c_.threads = detail::c_switch(yes), *this; }
    /// Reads sealed segments through memory mappings. Default: yes. No: for files that other programs may change, and
    /// for those who want an error instead of a signal where a device fails.
    EngineOptions &mappings(bool yes) noexcept { return c_.mappings = detail::c_switch(yes), *this; }
    /// Opens for writing although frames behind the newest checkpoint are damaged, giving up what they held. Default:
    /// no, which opens such a log for reading.
    EngineOptions &accept_loss(bool yes) noexcept { return c_.accept_loss = detail::c_switch(yes), *this; }
    /// How long what was acknowledged at level memory or os may wait for its flush, and readers for it where they see
    /// only what is durable. Default: 1 s.
    EngineOptions &flush_interval(std::chrono::milliseconds time) noexcept {
        return c_.flush_interval_ms = detail::c_milliseconds(time), *this;
    }
    /// What readers see: records that have met their topic's level, or only what is durable: at the levels memory and
    /// os after the next flush, within flush_interval(), which no reader hastens. Default: level.
    EngineOptions &visibility(Visibility visibility) noexcept {
        return c_.visibility = static_cast<std::uint32_t>(visibility), *this;
    }
    /// Transactions of raw identities that begin in this life stay open when the log is opened again, until they are
    /// decided or their timeout, which begins anew, has passed: for brokers, whose clients outlive them. Default: no,
    /// which aborts them then, as those of transactional producers always are.
    EngineOptions &keep_raw_transactions(bool yes) noexcept {
        return c_.keep_raw_transactions = detail::c_switch(yes), *this;
    }
    /// Memory of the buffers of all open transactions together. A transaction that finds none left streams: its records
    /// go to the log before it is decided. 1: every one does. Offsets count past 64 KiB of a transaction;
    /// below that they have 8 MiB of their own, all together. Default: 64 MiB.
    EngineOptions &transaction_memory(std::size_t bytes) noexcept { return c_.transaction_memory = bytes, *this; }
    /// The longest timeout that a transaction may ask for (Kafka's transaction.max.timeout.ms). From 2^31 - 1 ms on a
    /// timeout is none: such a transaction stays open for ever (KIP-939). Default: 15 min.
    EngineOptions &transaction_timeout_max(std::chrono::milliseconds time) noexcept {
        return c_.transaction_timeout_max_ms = detail::c_milliseconds(time), *this;
    }
    /// As C takes them.
    const oncelog_engine_options_t &c() const noexcept { return c_; }

private:
    oncelog_engine_options_t c_ = detail::sized<oncelog_engine_options_t>();
};

/// How to make a topic.
class TopicOptions {
public:
    /// Number of partitions; can be raised later, never lowered. Default: 1.
    TopicOptions &partitions(std::uint32_t number) noexcept { return c_.partitions = number, *this; }
    /// When appends are acknowledged and records become visible. Default: the engine's level.
    TopicOptions &durability(Durability level) noexcept {
        return c_.durability = static_cast<std::uint32_t>(level), *this;
    }
    /// Whose time its records carry. Default: the senders'.
    TopicOptions &timestamp_type(TimestampType type) noexcept {
        return c_.timestamp_type = static_cast<std::uint32_t>(type), *this;
    }
    /// As C takes them.
    const oncelog_topic_options_t &c() const noexcept { return c_; }

private:
    oncelog_topic_options_t c_ = detail::sized<oncelog_topic_options_t>();
};

/// How to append a batch.
class AppendOptions {
public:
    /// When the append is acknowledged; what readers see follows the topic's level. Default: the topic's level.
    AppendOptions &durability(Durability level) noexcept {
        return c_.durability = static_cast<std::uint32_t>(level), *this;
    }
    /// Who sends the batch, and the sequence number of its first record: for callers that keep sequences themselves.
    /// A batch that is here already is answered as a duplicate, not written again.
    AppendOptions &producer(Identity identity, std::int32_t base_sequence) noexcept {
        c_.identified = ONCELOG_YES;
        c_.producer = identity;
        c_.base_sequence = base_sequence;
        return *this;
    }
    /// The batch belongs to the transaction of its producer, which must have a transactional id, and begins it if none
    /// is open; see Engine::end_transaction(). Sequences begin at 0 in each transaction. Default: no.
    AppendOptions &transactional(bool yes) noexcept { return c_.transactional = detail::c_switch(yes), *this; }
    /// How the batch is compressed; it is not where that would not make it smaller. Default: not at all.
    AppendOptions &compression(Compression codec) noexcept {
        return c_.compression = static_cast<std::uint32_t>(codec), *this;
    }
    /// As C takes them.
    const oncelog_append_options_t &c() const noexcept { return c_; }

private:
    oncelog_append_options_t c_ = detail::sized<oncelog_append_options_t>();
};

/// How to read a partition.
class ReadOptions {
public:
    /// Which records are seen. Default: read_committed.
    ReadOptions &isolation(Isolation isolation) noexcept {
        return c_.isolation = static_cast<std::uint32_t>(isolation), *this;
    }
    /// Most bytes of one read as they lie in the log, and most that its compressed batches unpack to, but for the last
    /// of them; the first batch is given whole even if it is larger. Default: 1 MiB.
    ReadOptions &max_bytes(std::size_t bytes) noexcept { return c_.max_bytes = bytes, *this; }
    /// Where the reader stands, as Records::next_place() answered it in this life of the log or an earlier one: the
    /// read answers Truncated if a crash took records that the place stands behind. Its offset is the one to read.
    ReadOptions &from(const Place &place) noexcept { return from_ = place, *this; }
    /// As C takes them; it borrows from this.
    oncelog_read_options_t c() const noexcept {
        auto made = c_;
        made.from = from_ ? &*from_ : nullptr;
        return made;
    }

private:
    oncelog_read_options_t c_ = detail::sized<oncelog_read_options_t>();
    std::optional<Place> from_;
};

/// How a producer works.
class ProducerOptions {
public:
    /// The name whose position the producer carries: it never writes a record twice, across crashes and restarts.
    /// Default: none.
    ProducerOptions &name(std::string name) { return name_ = std::move(name), *this; }
    /// When sends are acknowledged. Default: the level of their topic. What a name or a transaction writes together
    /// takes the strongest of this and of its topics.
    ProducerOptions &durability(Durability level) noexcept {
        return c_.durability = static_cast<std::uint32_t>(level), *this;
    }
    /// A partition's batch is closed when it has reached this many bytes; 1: a batch for each record. Past
    /// 32 MiB of all partitions together the oldest batches are closed, however small; those of a name, which go into
    /// the log as one, past 1 MiB. Default: 16384.
    ProducerOptions &batch_bytes(std::size_t bytes) noexcept { return c_.batch_bytes = bytes, *this; }
    /// A batch is closed this long after its first record, unless somebody waits for it earlier; 0: at once. Default:
    /// 5 ms.
    ProducerOptions &linger(std::chrono::milliseconds time) noexcept {
        // The largest number says "at once" to C, not "for ever".
        auto number = (std::min)(detail::c_milliseconds(time), ONCELOG_LINGER_NONE - 1);
        return c_.linger_ms = number == 0 ? ONCELOG_LINGER_NONE : number, *this;
    }
    /// How batches are compressed, those of transactions too. Worth it where the disk is dearer than the processor, and
    /// for batches of many records. Bounds such as batch_bytes() count what is not compressed yet. Default: not at all.
    ProducerOptions &compression(Compression codec) noexcept {
        return c_.compression = static_cast<std::uint32_t>(codec), *this;
    }
    /// Of a transactional producer: the bytes past which a transaction streams, at most 16 MiB; 1: with its first
    /// record. Up to it a transaction is memory, and its commit one write; past it its records go to the log as they
    /// come and hold the last stable offset of their partitions back until it is decided. Default: 1 MiB.
    ProducerOptions &transaction_buffer(std::size_t bytes) noexcept { return c_.transaction_buffer = bytes, *this; }
    /// Of a transactional producer: how long a transaction that streams may be open, at most
    /// EngineOptions::transaction_timeout_max(); then it is aborted. From 2^31 - 1 ms on: for ever. One that is memory
    /// only has no timeout. Default: 1 min.
    ProducerOptions &transaction_timeout(std::chrono::milliseconds time) noexcept {
        return c_.transaction_timeout_ms = detail::c_milliseconds(time), *this;
    }
    /// As C takes them; it borrows from this.
    oncelog_producer_options_t c() const noexcept {
        auto made = c_;
        made.name = name_ ? detail::c_text(*name_) : nullptr;
        return made;
    }

private:
    oncelog_producer_options_t c_ = detail::sized<oncelog_producer_options_t>();
    std::optional<std::string> name_;
};

/// How a consumer works.
class ConsumerOptions {
public:
    /// The group in whose name offsets are committed. Default: none.
    ConsumerOptions &group(std::string group) { return group_ = std::move(group), *this; }
    /// Which records are seen. Default: read_committed.
    ConsumerOptions &isolation(Isolation isolation) noexcept {
        return c_.isolation = static_cast<std::uint32_t>(isolation), *this;
    }
    /// Where to begin if nothing is committed. Default: earliest.
    ConsumerOptions &start(Start start) noexcept { return c_.start = static_cast<std::uint32_t>(start), *this; }
    /// Most bytes of one poll as they lie in the log, and most that its compressed batches unpack to, but for the last
    /// of them; the first batch is given whole even if it is larger. Default: 1 MiB.
    ConsumerOptions &max_bytes(std::size_t bytes) noexcept { return c_.max_bytes = bytes, *this; }
    /// Most records of one poll. Default: no limit.
    ConsumerOptions &max_records(std::uint64_t records) noexcept { return c_.max_records = records, *this; }
    /// As C takes them; it borrows from this.
    oncelog_consumer_options_t c() const noexcept {
        auto made = c_;
        made.group = group_ ? detail::c_text(*group_) : nullptr;
        return made;
    }

private:
    oncelog_consumer_options_t c_ = detail::sized<oncelog_consumer_options_t>();
    std::optional<std::string> group_;
};

}  // namespace oncelog

#endif
