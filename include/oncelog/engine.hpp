// The engine: where everything begins. Part of oncelog.hpp.
// SPDX-License-Identifier: MIT OR Apache-2.0

#ifndef ONCELOG_ENGINE_HPP
#define ONCELOG_ENGINE_HPP

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "completions.hpp"
#include "consumer.hpp"
#include "options.hpp"
#include "partition.hpp"
#include "producer.hpp"

namespace oncelog {

namespace detail {

inline Damage given_damage(const oncelog_damage_t &from) {
    return {from.first_lsn, from.last_lsn, from.file, from.position, from.records_only};
}

/// The damage that a verification visits. An exception must not pass through the library that calls this: what comes up
/// here waits until that has returned. Compiled without exceptions, one of the standard library's ends the program.
struct Visited {
    std::vector<Damage> damage;
#if ONCELOG_EXCEPTIONS
    std::exception_ptr thrown;
#endif

    static void see(void *visited, const oncelog_damage_t *seen) noexcept {
        auto &to = *static_cast<Visited *>(visited);
#if ONCELOG_EXCEPTIONS
        try {
            to.damage.push_back(given_damage(*seen));
        } catch (...) {
            to.thrown = std::current_exception();
        }
#else
        to.damage.push_back(given_damage(*seen));
#endif
    }
};

}  // namespace detail

/// An open log. Any number of threads may use it. Its destructor closes it and forgets errors.
class Engine {
public:
    /// Opens the log in a directory; makes it if there is none.
    ///
    /// Errors: Locked if it is open for writing elsewhere; UnsupportedVersion if a newer version wrote it; Corrupt if
    /// its files do not fit together; InvalidArgument for options out of range or a path that is no directory; Io.
    static Result<Engine> open(Text directory, const EngineOptions &options = {}) {
        oncelog_engine_t *made = nullptr;
        return detail::answer(oncelog_open(directory.c(), &options.c(), &made), [&] { return Engine(made); });
    }

    /// Closes the log, whatever the answer. What was sent is flushed, a checkpoint is written, the lock is given back.
    /// This and everything made from it answer Closed from here on. Calls that other threads are in end soon.
    ///
    /// Errors: what a write or flush answers. The log is closed in any case, and what was acknowledged is kept. Closed
    /// if it was closed before.
    Result<void> close() const { return detail::answer(c_.free()); }

    /// Creates a topic. It survives a power cut when this returns.
    ///
    /// Errors: TopicExists; InvalidArgument for a name that Kafka would refuse or a number of partitions out of range;
    /// LimitExceeded; ReadOnly; what a write answers: Full, Poisoned, Indeterminate.
    Result<void> create_topic(Text name, const TopicOptions &options = {}) const {
        return detail::answer(oncelog_create_topic(c_.get(), name.c(), &options.c()));
    }
    /// Creates a topic; the ticket is done when it survives a power cut. Most errors come from the ticket.
    Result<Ticket<void>> create_topic_ticket(Text name, const TopicOptions &options = {}) const {
        return detail::ticket<void>([&](oncelog_ticket_t **ticket) {
            return oncelog_create_topic_ticket(c_.get(), name.c(), &options.c(), ticket);
        });
    }

    /// Deletes a topic with its records and with what groups have committed for it. Final when this returns. A topic
    /// created again under the name has another id and inherits nothing.
    ///
    /// Errors: UnknownTopicOrPartition; as create_topic().
    Result<void> delete_topic(Text name) const {
        return detail::answer(oncelog_delete_topic(c_.get(), name.c()));
    }
    /// Deletes a topic; the ticket is done when that is final. Most errors come from the ticket.
    Result<Ticket<void>> delete_topic_ticket(Text name) const {
        return detail::ticket<void>(
            [&](oncelog_ticket_t **ticket) { return oncelog_delete_topic_ticket(c_.get(), name.c(), ticket); });
    }

    /// Raises the number of a topic's partitions to `total`. They survive a power cut when this returns. Keys may go to
    /// other partitions from here on.
    ///
    /// Errors: UnknownTopicOrPartition; InvalidArgument if the topic has as many already; as create_topic().
    Result<void> add_partitions(Text topic, std::uint32_t total) const {
        return detail::answer(oncelog_add_partitions(c_.get(), topic.c(), total));
    }
    /// The same; the ticket is done when the partitions survive a power cut. Most errors come from the ticket.
    Result<Ticket<void>> add_partitions_ticket(Text topic, std::uint32_t total) const {
        return detail::ticket<void>([&](oncelog_ticket_t **ticket) {
            return oncelog_add_partitions_ticket(c_.get(), topic.c(), total, ticket);
        });
    }

    /// All topics, by name.
    Result<std::vector<TopicInfo>> topics() const {
        oncelog_topics_t *made = nullptr;
        if (auto *error = oncelog_topics(c_.get(), &made)) return Error(error);
        detail::Handle<oncelog_topics_t, oncelog_topics_free> list(made);
        const oncelog_topic_info_t *first = nullptr;
        std::size_t count = 0;
        if (auto *error = oncelog_topics_get(list.get(), &first, &count)) return Error(error);
        std::vector<TopicInfo> all;
        all.reserve(count);
        for (const oncelog_topic_info_t &from : Span<oncelog_topic_info_t>(first, count)) {
            TopicInfo to = {from.name, {}, from.partitions, static_cast<Durability>(from.durability),
                            static_cast<TimestampType>(from.timestamp_type)};
            std::copy_n(from.id, to.id.size(), to.id.begin());
            all.push_back(std::move(to));
        }
        return all;
    }

    /// One partition of a topic, counted from 0.
    ///
    /// Errors: UnknownTopicOrPartition.
    Result<Partition> partition(Text topic, std::uint32_t number) const {
        oncelog_partition_t *made = nullptr;
        auto *error = oncelog_partition_open(c_.get(), topic.c(), number, &made);
        return detail::answer(error, [&] { return Partition(made); });
    }

    /// A producer; with a name, once the name's former holder is fenced, durably.
    ///
    /// Errors: InvalidArgument for options out of range; ReadOnly; with a name also what a write answers.
    Result<Producer> producer(const ProducerOptions &options = {}) const {
        oncelog_producer_t *made = nullptr;
        auto given = options.c();
        return detail::answer(oncelog_producer_open(c_.get(), &given, &made), [&] { return Producer(made); });
    }
    /// The same; the ticket is done when the former holder is fenced. Most errors come from the ticket.
    Result<Ticket<Producer>> producer_ticket(const ProducerOptions &options = {}) const {
        auto given = options.c();
        return detail::ticket<Producer>(
            [&](oncelog_ticket_t **ticket) { return oncelog_producer_open_ticket(c_.get(), &given, ticket); });
    }

    /// A transactional producer, once the former holder of the id is fenced, durably. Names of producers and
    /// transactional ids are one namespace. Of the options the level, the compression, transaction_buffer() and
    /// transaction_timeout() count.
    ///
    /// Errors: as producer(); InvalidArgument for a name beside the id.
    Result<TransactionalProducer> transactional_producer(Text id, const ProducerOptions &options = {}) const {
        oncelog_transactional_producer_t *made = nullptr;
        auto given = options.c();
        auto *error = oncelog_transactional_producer_open(c_.get(), id.c(), &given, &made);
        return detail::answer(error, [&] { return TransactionalProducer(made); });
    }
    /// The same; the ticket is done when the former holder is fenced. Most errors come from the ticket.
    Result<Ticket<TransactionalProducer>> transactional_producer_ticket(Text id,
                                                                        const ProducerOptions &options = {}) const {
        auto given = options.c();
        return detail::ticket<TransactionalProducer>([&](oncelog_ticket_t **ticket) {
            return oncelog_transactional_producer_open_ticket(c_.get(), id.c(), &given, ticket);
        });
    }

    /// Forgets a named producer or transactional id: its position, its epoch, its decisions. Final when this returns.
    ///
    /// Errors: UnknownTransactionalId; what a write answers.
    Result<void> delete_producer(Text name) const {
        return detail::answer(oncelog_delete_producer(c_.get(), name.c()));
    }
    /// The same; the ticket is done when it is final. Most errors come from the ticket.
    Result<Ticket<void>> delete_producer_ticket(Text name) const {
        return detail::ticket<void>(
            [&](oncelog_ticket_t **ticket) { return oncelog_delete_producer_ticket(c_.get(), name.c(), ticket); });
    }

    /// A consumer; assign it partitions, then poll.
    ///
    /// Errors: InvalidArgument for options out of range.
    Result<Consumer> consumer(const ConsumerOptions &options = {}) const {
        oncelog_consumer_t *made = nullptr;
        auto given = options.c();
        return detail::answer(oncelog_consumer_open(c_.get(), &given, &made), [&] { return Consumer(made); });
    }

    /// A queue of what has finished, for event loops.
    ///
    /// Errors: Io if the process may open no more descriptors; Closed.
    Result<Completions> completions() const {
        oncelog_completions_t *made = nullptr;
        return detail::answer(oncelog_completions_open(c_.get(), &made), [&] { return Completions(made); });
    }

    /// An identity for batches that carry producer id, epoch and sequences of their own, as a broker's do; see
    /// AppendOptions::producer(). With a transactional id the epoch is raised, older holders are fenced, and a
    /// transaction that one of them left open is aborted, durably, before this returns; `timeout` is how long a
    /// transaction may be open: from 2^31 - 1 ms on, for ever (KIP-939). With `current` it is given only if nobody else
    /// raised the epoch since (KIP-360); a call that is repeated because its answer was lost gets the same answer. When
    /// the epochs of an id are used up, at 32,766, the answer has a new producer id.
    ///
    /// Errors: ProducerFenced if `current` is not the newest holder; InvalidArgument for an empty id or a timeout of 0
    /// or past EngineOptions::transaction_timeout_max(); what a write answers.
    Result<Identity> init_producer() const { return init_producer(nullptr, {}, nullptr); }
    Result<Identity> init_producer(Text transactional_id, std::chrono::milliseconds timeout) const {
        return init_producer(transactional_id.c(), timeout, nullptr);
    }
    Result<Identity> init_producer(Text transactional_id, std::chrono::milliseconds timeout, Identity current) const {
        return init_producer(transactional_id.c(), timeout, &current);
    }
    /// The same; the ticket is done when the identity may be used. Most errors come from the ticket.
    Result<Ticket<Identity>> init_producer_ticket() const { return init_producer_ticket(nullptr, {}, nullptr); }
    Result<Ticket<Identity>> init_producer_ticket(Text transactional_id, std::chrono::milliseconds timeout) const {
        return init_producer_ticket(transactional_id.c(), timeout, nullptr);
    }
    Result<Ticket<Identity>> init_producer_ticket(Text transactional_id, std::chrono::milliseconds timeout,
                                                  Identity current) const {
        return init_producer_ticket(transactional_id.c(), timeout, &current);
    }

    /// Adds offsets to the transaction of a raw identity: they are committed if it commits, and until it is decided
    /// Consumer::committed() answers UnstableOffsets. The transaction begins with them if none is open. Later offsets
    /// take the place of earlier ones. Waits until they have met the strongest level of the engine and of their topics.
    ///
    /// Errors: StaleEpoch if a newer identity took over; UnknownTransactionalId for an identity without a transactional
    /// id; InvalidTransactionState while a TransactionalProducer has a transaction open under the id;
    /// UnknownTopicOrPartition; InvalidArgument for an offset out of range; LimitExceeded for metadata that is too
    /// long, or past 1,000 offsets in one transaction; what a write answers.
    Result<void> send_offsets(Identity identity, const GroupMetadata &group, Span<Offset> offsets) const {
        auto named = detail::c_group(group);
        auto all = detail::c_offsets(offsets);
        return detail::answer(oncelog_send_offsets(c_.get(), &identity, &named, all.data(), all.size()));
    }
    /// The same; the ticket is done when they have met the strongest level of the engine and of their topics. Most
    /// errors come from the ticket.
    Result<Ticket<void>> send_offsets_ticket(Identity identity, const GroupMetadata &group,
                                             Span<Offset> offsets) const {
        auto named = detail::c_group(group);
        auto all = detail::c_offsets(offsets);
        return detail::ticket<void>([&](oncelog_ticket_t **ticket) {
            return oncelog_send_offsets_ticket(c_.get(), &identity, &named, all.data(), all.size(), ticket);
        });
    }

    /// Ends the transaction of a raw identity and raises its epoch (KIP-890): the answer is the identity of its next
    /// transaction, whose sequences begin at 0 again. Waits until the decision has met the strongest level of the
    /// engine and of the topics that it reached. A call that is repeated because its answer was lost gets the same
    /// answer. An abort without a transaction only raises the epoch.
    ///
    /// Errors: ProducerFenced if a newer identity took over; InvalidTransactionState for a commit without a
    /// transaction, and for one whose transaction was aborted meanwhile, by its timeout or by abort_transaction();
    /// UnknownTransactionalId for an identity without a transactional id; what a write answers.
    Result<Identity> end_transaction(Identity identity, Outcome outcome) const {
        Identity next = {};
        auto number = static_cast<std::uint32_t>(outcome);
        auto *error = oncelog_end_transaction(c_.get(), &identity, number, &next);
        return detail::answer(error, [&] { return next; });
    }
    /// The same; the ticket is done when the decision has met its level. Most errors come from the ticket.
    Result<Ticket<Identity>> end_transaction_ticket(Identity identity, Outcome outcome) const {
        auto number = static_cast<std::uint32_t>(outcome);
        return detail::ticket<Identity>([&](oncelog_ticket_t **ticket) {
            return oncelog_end_transaction_ticket(c_.get(), &identity, number, ticket);
        });
    }

    /// Aborts a transaction by its number, whoever owns it: one that holds the last stable offset back and whose owner
    /// does not answer. Its owner hears of it with the next call: TransactionAborted, or, for a raw identity, that the
    /// epoch was raised. One that was aborted before is as good.
    ///
    /// Errors: InvalidTransactionState if it is not open: it was committed, is committing, or was never begun; what a
    /// write answers.
    Result<void> abort_transaction(std::uint64_t number) const {
        return detail::answer(oncelog_abort_transaction(c_.get(), number));
    }
    /// The same; the ticket is done when that has met its level. Most errors come from the ticket.
    Result<Ticket<void>> abort_transaction_ticket(std::uint64_t number) const {
        return detail::ticket<void>(
            [&](oncelog_ticket_t **ticket) { return oncelog_abort_transaction_ticket(c_.get(), number, ticket); });
    }

    /// How a transaction stands, by its number: what an Indeterminate commit left open is known once the log is opened
    /// again. The last 64 decisions of each transactional id are kept. What is answered survives a power cut.
    ///
    /// Errors: Closed, Forked; what a flush answers.
    Result<TransactionStatus> transaction_status(std::uint64_t number) const {
        std::uint32_t status = 0;
        auto *error = oncelog_transaction_status(c_.get(), number, &status);
        return detail::answer(error, [&] { return static_cast<TransactionStatus>(status); });
    }
    /// The same; the ticket is done when the answer survives a power cut.
    Result<Ticket<TransactionStatus>> transaction_status_ticket(std::uint64_t number) const {
        return detail::ticket<TransactionStatus>(
            [&](oncelog_ticket_t **ticket) { return oncelog_transaction_status_ticket(c_.get(), number, ticket); });
    }

    /// The transactions that have something in the log and are not decided, in the order in which they began: who holds
    /// the last stable offset of which partitions back, and since when. One that is memory only holds nothing back and
    /// is not among them.
    ///
    /// Errors: Closed, Forked.
    Result<std::vector<OpenTransaction>> describe_transactions() const {
        oncelog_open_transactions_t *made = nullptr;
        if (auto *error = oncelog_describe_transactions(c_.get(), &made)) return Error(error);
        detail::Handle<oncelog_open_transactions_t, oncelog_open_transactions_free> list(made);
        const oncelog_open_transaction_t *first = nullptr;
        std::size_t count = 0;
        if (auto *error = oncelog_open_transactions_get(list.get(), &first, &count)) return Error(error);
        std::vector<OpenTransaction> all;
        all.reserve(count);
        for (const oncelog_open_transaction_t &from : Span<oncelog_open_transaction_t>(first, count)) {
            OpenTransaction to = {from.number, from.transactional_id, from.identity, from.since, {}, from.raw, {}};
            if (from.timeout_ms != ONCELOG_FOREVER) to.timeout = std::chrono::milliseconds(from.timeout_ms);
            for (auto &at : Span<oncelog_partition_offset_t>(from.partitions, from.partition_count)) {
                to.partitions.emplace(TopicPartition{at.topic, at.partition}, at.offset);
            }
            all.push_back(std::move(to));
        }
        return all;
    }

    /// Waits until everything up to a frame survives a power cut. Appended::lsn and Committed::lsn name frames.
    ///
    /// Errors: InvalidArgument for a frame that does not exist yet; what a flush answers.
    Result<void> wait_durable(std::uint64_t lsn) const {
        return detail::answer(oncelog_wait_durable(c_.get(), lsn));
    }
    /// The same; the ticket is done when they survive it. Most errors come from the ticket.
    Result<Ticket<void>> wait_durable_ticket(std::uint64_t lsn) const {
        return detail::ticket<void>(
            [&](oncelog_ticket_t **ticket) { return oncelog_wait_durable_ticket(c_.get(), lsn, ticket); });
    }

    /// Closes all batches that producers are gathering and flushes: everything sent before the call survives a power
    /// cut when it returns.
    ///
    /// Errors: what a write or flush answers.
    Result<void> flush() const { return detail::answer(oncelog_flush(c_.get())); }
    /// The same; the ticket is done when it all survives a power cut. Most errors come from the ticket.
    Result<Ticket<void>> flush_ticket() const {
        return detail::ticket<void>(
            [&](oncelog_ticket_t **ticket) { return oncelog_flush_ticket(c_.get(), ticket); });
    }

    /// Tells whether an append or commit of so many bytes would not wait for room right now: for event loops, which
    /// come again later if it would.
    Result<bool> has_room(std::size_t bytes) const {
        bool room = false;
        return detail::answer(oncelog_has_room(c_.get(), bytes, &room), [&] { return room; });
    }

    /// Does the background work that is due, for engines opened with `.threads(false)`: batches whose linger has
    /// passed, flushes, tickets that are watched. Harmless otherwise.
    ///
    /// Errors: what a write or flush answers; Closed, Forked.
    Result<void> drive() const { return detail::answer(oncelog_drive(c_.get())); }

    /// What opening found and did: a tail cut, frames copied, damage. Ask it before another thread may close this.
    Result<Opening> opening() const {
        const oncelog_opening_t *from = nullptr;
        if (auto *error = oncelog_opening(c_.get(), &from)) return Error(error);
        Opening to = {from->incarnation, from->frames_copied, from->cut_bytes, from->cut_last_kept,
                      from->cut_last_seen, {}, from->created, std::chrono::nanoseconds(from->loading_nanos),
                      std::chrono::nanoseconds(from->folding_nanos), from->frames_folded, from->bytes_folded};
        for (const oncelog_damage_t &damage : Span<oncelog_damage_t>(from->damage, from->damage_count)) {
            to.damage.push_back(detail::given_damage(damage));
        }
        return to;
    }

    /// Reads all that is durable and verifies each frame: whether the disk still holds what it was given. Damage is no
    /// error here but the answer. Appends and reads of other threads go on meanwhile. What is not flushed yet is left
    /// out.
    ///
    /// Errors: Io if a file cannot be read; Closed, Forked.
    Result<Verification> verify() const {
        auto found = detail::sized<oncelog_verification_t>();
        detail::Visited visited;
        auto *error = oncelog_verify(c_.get(), &detail::Visited::see, &visited, &found);
        if (error != nullptr) return Error(error);
#if ONCELOG_EXCEPTIONS
        if (visited.thrown != nullptr) std::rethrow_exception(visited.thrown);
#endif
        return Verification{found.segments, found.frames, found.bytes, std::move(visited.damage)};
    }

    /// How the log stands and what it has done since it was opened: a snapshot that takes microseconds, and about two
    /// more for each partition in which an open consumer of a group has a position.
    Result<Metrics> metrics() const {
        auto metrics = detail::sized<Metrics>();
        return detail::answer(oncelog_metrics(c_.get(), &metrics), [&] { return metrics; });
    }

    /// How far the groups of open consumers are behind, by group, topic and partition: one entry for each partition
    /// that is assigned to a consumer with a group and has a position there. As cheap as metrics().
    Result<std::vector<ConsumerLag>> consumer_lags() const {
        oncelog_consumer_lags_t *made = nullptr;
        if (auto *error = oncelog_consumer_lags(c_.get(), &made)) return Error(error);
        detail::Handle<oncelog_consumer_lags_t, oncelog_consumer_lags_free> list(made);
        const oncelog_consumer_lag_t *first = nullptr;
        std::size_t count = 0;
        if (auto *error = oncelog_consumer_lags_get(list.get(), &first, &count)) return Error(error);
        std::vector<ConsumerLag> all;
        all.reserve(count);
        for (const oncelog_consumer_lag_t &from : Span<oncelog_consumer_lag_t>(first, count)) {
            all.push_back({from.group, {from.topic, from.partition}, from.position, from.lag});
        }
        return all;
    }

    /// What both say, in the OpenMetrics text format 1.0.
    Result<std::string> openmetrics() const {
        oncelog_text_t *made = nullptr;
        if (auto *error = oncelog_openmetrics(c_.get(), &made)) return Error(error);
        detail::Handle<oncelog_text_t, oncelog_text_free> text(made);
        const char *bytes = nullptr;
        std::size_t size = 0;
        auto *error = oncelog_text_get(text.get(), &bytes, &size);
        return detail::answer(error, [&] { return std::string(bytes, size); });
    }

    /// Takes over an engine of the C interface.
    explicit Engine(oncelog_engine_t *owned) noexcept : c_(owned) {}
    /// The C interface's handle; it stays this object's.
    oncelog_engine_t *c() const noexcept { return c_.get(); }

private:
    Result<Identity> init_producer(const char *id, std::chrono::milliseconds timeout, const Identity *current) const {
        Identity identity = {};
        auto *error = oncelog_init_producer(c_.get(), id, detail::c_milliseconds(timeout), current, &identity);
        return detail::answer(error, [&] { return identity; });
    }
    Result<Ticket<Identity>> init_producer_ticket(const char *id, std::chrono::milliseconds timeout,
                                                  const Identity *current) const {
        return detail::ticket<Identity>([&](oncelog_ticket_t **ticket) {
            auto time = detail::c_milliseconds(timeout);
            return oncelog_init_producer_ticket(c_.get(), id, time, current, ticket);
        });
    }

    detail::Handle<oncelog_engine_t, oncelog_engine_close> c_;
};

}  // namespace oncelog

#endif
