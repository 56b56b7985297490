// The consumer: reads partitions from where a group stands. Part of oncelog.hpp.
// SPDX-License-Identifier: MIT OR Apache-2.0

#ifndef ONCELOG_CONSUMER_HPP
#define ONCELOG_CONSUMER_HPP

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

#include "options.hpp"
#include "records.hpp"
#include "ticket.hpp"

namespace oncelog {

/// Reads assigned partitions, each from its position. One thread polls at a time; the other calls may come from any.
///
/// A partition is read from what the group has committed, else by the start rule of the options. Positions move with
/// poll(), by all that it answered, seen or not; they are committed by commit(), or by the transaction that is bound to
/// the consumer. So walk the records of a poll to their end before a commit; to stop in between, commit_offsets() what
/// is done and seek() back to it.
///
///     Consumer consumer = engine.consumer(ConsumerOptions().group("billing")).value();
///     consumer.assign({{"orders", 0}}).or_throw();
///     while (working) {
///         for (RecordView record : consumer.poll(1s).value()) work(record);
///         consumer.commit().or_throw();
///     }
class Consumer {
public:
    /// Takes over these partitions, in place of those before. Positions of partitions that stay are kept.
    ///
    /// Errors: the old assignment stays: InvalidArgument for none, or one named twice; UnknownTopicOrPartition;
    /// InvalidState while an open transaction is bound to the consumer.
    Result<void> assign(Span<TopicPartition> partitions) const {
        auto all = detail::c_partitions(partitions);
        return detail::answer(oncelog_consumer_assign(c_.get(), all.data(), all.size()));
    }

    /// Reads the next records, up to the bounds of the options, from the assigned partitions in turn. With nothing
    /// there it waits at most `timeout`, woken by the first record, and answers with no records when the time is up.
    /// Records count as read when they are answered; they are seen when they have met their topic's level. What was
    /// aborted is stepped over, and Records::next_offsets() lies behind it, of an answer without a record too.
    ///
    /// What the group has committed is settled first, and if that is news, a flush waited for, however short `timeout`
    /// is; see settle_ticket(). Where a raw transaction is open that will commit an offset of the group, the partition
    /// has nothing to read before the decision, which wakes a waiting poll as a record does (KIP-447); not at
    /// ReadUncommitted, nor where a position is sought.
    ///
    /// Errors: Busy while another thread polls; InvalidState without an assignment; OffsetOutOfRange if the start rule
    /// is none and there is no position; UnknownTopicOrPartition once a topic is deleted; Poisoned once the disk has
    /// failed and nothing is left to read, for nothing will come; Io; Closed, Forked.
    Result<Records> poll(std::chrono::milliseconds timeout) const {
        oncelog_records_t *records = nullptr;
        auto *error = oncelog_consumer_poll(c_.get(), detail::c_milliseconds(timeout), &records);
        return detail::answer(error, [&] { return Records(records); });
    }

    /// Moves a partition's position: the next poll reads from there.
    ///
    /// Errors: OffsetOutOfRange below the start or above the end; InvalidState if the partition is not assigned.
    Result<void> seek(const TopicPartition &of, std::uint64_t offset) const {
        return detail::answer(oncelog_consumer_seek(c_.get(), detail::c_text(of.topic), of.partition, offset));
    }

    /// The offset that the next poll reads from.
    ///
    /// Errors: InvalidState if the partition is not assigned; OffsetOutOfRange if nothing is committed and there is no
    /// start rule; UnstableOffsets, which passes, if there is no position yet and a raw transaction is open that will
    /// commit one, see poll().
    Result<std::uint64_t> position(const TopicPartition &of) const {
        std::uint64_t offset = 0;
        auto *error = oncelog_consumer_position(c_.get(), detail::c_text(of.topic), of.partition, &offset);
        return detail::answer(error, [&] { return offset; });
    }

    /// The same, as it is now, without waiting; the ticket is done when it may be told.
    ///
    /// Errors: as position(); what a flush answers comes from the ticket.
    Result<Ticket<std::uint64_t>> position_ticket(const TopicPartition &of) const {
        return detail::ticket<std::uint64_t>([&](oncelog_ticket_t **ticket) {
            return oncelog_consumer_position_ticket(c_.get(), detail::c_text(of.topic), of.partition, ticket);
        });
    }

    /// Finds out where all assigned partitions are read from; the ticket is done when that is safe. From then on poll()
    /// waits for records only, and position() and lag() for nothing, until assign() or rewind(): for event loops, which
    /// poll with no timeout. What a group has committed may be news that no flush has met yet. If offsets are pending,
    /// the ticket answers UnstableOffsets once all other positions are safe: poll, and wait with
    /// Completions::watch_consumer().
    ///
    /// Errors: InvalidState without an assignment; as position(). What a flush answers comes from the ticket, and so
    /// does UnstableOffsets.
    Result<Ticket<void>> settle_ticket() const {
        return detail::ticket<void>(
            [&](oncelog_ticket_t **ticket) { return oncelog_consumer_settle_ticket(c_.get(), ticket); });
    }

    /// The positions of all assigned partitions that have one: what was polled, sought or asked for.
    Result<std::vector<Offset>> positions() const {
        oncelog_offsets_t *made = nullptr;
        if (auto *error = oncelog_consumer_positions(c_.get(), &made)) return Error(error);
        return detail::given_offsets(made);
    }

    /// What the group has committed for a partition, assigned or not; none for nothing. What is answered survives a
    /// power cut, or, where all is at level os, the death of the process.
    ///
    /// Errors: UnknownTopicOrPartition; InvalidArgument without a group; UnstableOffsets, which passes, while a raw
    /// transaction is open that will commit an offset for the partition, unless the isolation is ReadUncommitted
    /// (KIP-447).
    Result<std::optional<std::uint64_t>> committed(const TopicPartition &of) const {
        std::uint64_t offset = 0;
        bool known = false;
        auto *error = oncelog_consumer_committed(c_.get(), detail::c_text(of.topic), of.partition, &offset, &known);
        return detail::answer(error, [&] { return known ? std::optional(offset) : std::nullopt; });
    }

    /// The same, as it is now, without waiting; the ticket is done when it is safe.
    ///
    /// Errors: as committed(); what a flush answers comes from the ticket.
    Result<Ticket<std::optional<std::uint64_t>>> committed_ticket(const TopicPartition &of) const {
        return detail::ticket<std::optional<std::uint64_t>>([&](oncelog_ticket_t **ticket) {
            return oncelog_consumer_committed_ticket(c_.get(), detail::c_text(of.topic), of.partition, ticket);
        });
    }

    /// What the group has committed for these partitions, assigned or not, with what was stored beside the offsets: the
    /// counterpart of commit_offsets(). All of one moment; partitions for which nothing is committed are left out.
    ///
    /// Errors: as committed(), of any of them.
    Result<std::vector<Offset>> committed_offsets(Span<TopicPartition> partitions) const {
        auto all = detail::c_partitions(partitions);
        oncelog_offsets_t *made = nullptr;
        if (auto *error = oncelog_consumer_committed_offsets(c_.get(), all.data(), all.size(), &made)) {
            return Error(error);
        }
        return detail::given_offsets(made);
    }

    /// The same, as it is now, without waiting; the ticket is done when it is safe.
    ///
    /// Errors: as committed_offsets(); what a flush answers comes from the ticket.
    Result<Ticket<std::vector<Offset>>> committed_offsets_ticket(Span<TopicPartition> partitions) const {
        auto all = detail::c_partitions(partitions);
        return detail::ticket<std::vector<Offset>>([&](oncelog_ticket_t **ticket) {
            return oncelog_consumer_committed_offsets_ticket(c_.get(), all.data(), all.size(), ticket);
        });
    }

    /// Commits the positions of all assigned partitions, together, and waits until they have met the strongest level
    /// of the engine and of their topics. Writes nothing if nothing has moved.
    ///
    /// Errors: InvalidArgument without a group; InvalidState while an open transaction is bound to the consumer;
    /// UnknownTopicOrPartition if a topic was deleted; what a write answers.
    Result<void> commit() const { return detail::answer(oncelog_consumer_commit(c_.get())); }

    /// The same without waiting; the ticket is done when the positions have met the strongest level of the
    /// engine and of their topics.
    ///
    /// Errors: as commit(); what a write answers comes from the ticket.
    Result<Ticket<void>> commit_ticket() const {
        return detail::ticket<void>(
            [&](oncelog_ticket_t **ticket) { return oncelog_consumer_commit_ticket(c_.get(), ticket); });
    }

    /// Commits any offsets of the group, together, and waits until they have met the strongest level of the engine
    /// and of their topics. Positions stay.
    ///
    /// Errors: as commit(); InvalidArgument for an offset out of range; LimitExceeded for metadata that is too long.
    Result<void> commit_offsets(Span<Offset> offsets) const {
        auto all = detail::c_offsets(offsets);
        return detail::answer(oncelog_consumer_commit_offsets(c_.get(), all.data(), all.size()));
    }

    /// The same without waiting; the ticket is done when they have met the strongest level of the engine and
    /// of their topics.
    ///
    /// Errors: as commit_offsets(); what depends on the log comes from the ticket.
    Result<Ticket<void>> commit_offsets_ticket(Span<Offset> offsets) const {
        auto all = detail::c_offsets(offsets);
        return detail::ticket<void>([&](oncelog_ticket_t **ticket) {
            return oncelog_consumer_commit_offsets_ticket(c_.get(), all.data(), all.size(), ticket);
        });
    }

    /// Goes back to what is committed, in all assigned partitions; where nothing is, to the start rule.
    ///
    /// Errors: Closed, Forked.
    Result<void> rewind() const { return detail::answer(oncelog_consumer_rewind(c_.get())); }

    /// How many records lie between the position and the end that this consumer's isolation sees: the last stable
    /// offset, or the end. Zero when all is read: commits leave no holes. Aborted records that lie between count too.
    /// Of all consumers with a group: Engine::consumer_lags().
    ///
    /// Errors: as position().
    Result<std::uint64_t> lag(const TopicPartition &of) const {
        std::uint64_t lag = 0;
        auto *error = oncelog_consumer_lag(c_.get(), detail::c_text(of.topic), of.partition, &lag);
        return detail::answer(error, [&] { return lag; });
    }

    /// The same, as it is now, without waiting; the ticket is done when it may be told.
    ///
    /// Errors: as position(); what a flush answers comes from the ticket.
    Result<Ticket<std::uint64_t>> lag_ticket(const TopicPartition &of) const {
        return detail::ticket<std::uint64_t>([&](oncelog_ticket_t **ticket) {
            return oncelog_consumer_lag_ticket(c_.get(), detail::c_text(of.topic), of.partition, ticket);
        });
    }

    /// Start, last stable offset and end of a partition, assigned or not.
    ///
    /// Errors: UnknownTopicOrPartition.
    Result<Bounds> bounds(const TopicPartition &of) const {
        Bounds bounds = {};
        auto *error = oncelog_consumer_bounds(c_.get(), detail::c_text(of.topic), of.partition, &bounds);
        return detail::answer(error, [&] { return bounds; });
    }

    /// Names the group, for Transaction::send_offsets().
    ///
    /// Errors: InvalidArgument without a group.
    Result<GroupMetadata> group_metadata() const {
        auto named = detail::sized<oncelog_group_metadata_t>();
        auto *error = oncelog_consumer_group_metadata(c_.get(), &named);
        return detail::answer(error, [&] { return GroupMetadata{named.group}; });
    }

    /// Takes over a consumer of the C interface.
    explicit Consumer(oncelog_consumer_t *owned) noexcept : c_(owned) {}
    /// The C interface's handle; it stays this object's.
    oncelog_consumer_t *c() const noexcept { return c_.get(); }

private:
    detail::Handle<oncelog_consumer_t, oncelog_consumer_free> c_;
};

}  // namespace oncelog

#endif
