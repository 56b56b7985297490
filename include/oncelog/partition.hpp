// One partition: the log itself, without producers and consumers. Part of oncelog.hpp.
// SPDX-License-Identifier: MIT OR Apache-2.0

#ifndef ONCELOG_PARTITION_HPP
#define ONCELOG_PARTITION_HPP

#include <cstdint>
#include <optional>
#include <vector>

#include "options.hpp"
#include "record.hpp"
#include "records.hpp"
#include "ticket.hpp"

namespace oncelog {

/// One partition. Any number of threads may use it.
class Partition {
public:
    /// Appends records as one batch and waits until it has met the topic's level. Records without a timestamp get the
    /// clock's; where the topic keeps the log's time, all get that. A batch with an identity that is here already is
    /// answered as a duplicate, not written again. A transactional one begins the transaction of its identity if none
    /// is open; see Engine::end_transaction().
    ///
    /// Errors: nothing was written: InvalidArgument, RecordTooLarge; InvalidRecord, also for a transactional batch
    /// without an identity; OutOfOrderSequence, UnknownProducer, StaleEpoch for a batch with an identity that does not
    /// follow; InvalidTransactionState for a transactional batch of an identity without a transactional id, or one that
    /// is not transactional where the identity's transaction has records; LimitExceeded if too many transactions are
    /// open or this one reaches too many partitions; UnsupportedVersion for a codec that this build lacks;
    /// UnknownTopicOrPartition once the topic is deleted; Full, ReadOnly, Poisoned, Closed, Forked. Indeterminate if
    /// the write or flush failed.
    Result<Appended> append(Span<Record> records, const AppendOptions &options = {}) const {
        return append(detail::c_records(records), records.size(), options);
    }
    Result<Appended> append(const Record &record, const AppendOptions &options = {}) const {
        return append(&record.c(), 1, options);
    }
    Result<Appended> append(const Batch &batch, const AppendOptions &options = {}) const {
        return append(batch.c(), batch.size(), options);
    }

    /// The same without waiting: the batch has its place in the log, and the ticket is done when it has met its level.
    ///
    /// Errors: as append(); Indeterminate comes from the ticket.
    Result<Ticket<Appended>> append_ticket(Span<Record> records, const AppendOptions &options = {}) const {
        return append_ticket(detail::c_records(records), records.size(), options);
    }
    Result<Ticket<Appended>> append_ticket(const Record &record, const AppendOptions &options = {}) const {
        return append_ticket(&record.c(), 1, options);
    }
    Result<Ticket<Appended>> append_ticket(const Batch &batch, const AppendOptions &options = {}) const {
        return append_ticket(batch.c(), batch.size(), options);
    }

    /// Appends one record batch of Kafka's format 2 as a client encoded it, byte for byte; the ticket is done when it
    /// has met its level. What it holds is checked, its offsets are set; its producer, its transaction and its codec
    /// are its own. Of the options the level counts alone.
    ///
    /// Errors: as append(); Corrupt, InvalidRecord if the bytes are no batch that may be appended: one that claims the
    /// log's time where the topic sets it, too.
    Result<Ticket<Appended>> append_batch(Bytes batch, const AppendOptions &options = {}) const {
        return detail::ticket<Appended>([&](oncelog_ticket_t **ticket) {
            return oncelog_partition_append_batch(c_.get(), batch.data(), batch.size(), &options.c(), ticket);
        });
    }

    /// Reads from an offset on: what is visible now, nothing if that is nothing yet. At ReadCommitted, the default, a
    /// read ends at the last stable offset and leaves out what was aborted. Go on with Records::next_offset(), which
    /// steps over that too, or, over lives of the log, with Records::next_place().
    ///
    /// Errors: OffsetOutOfRange below the start or above the end; with ReadOptions::from() Truncated if a crash took
    /// records that the place stands behind, others may have their offsets, and InvalidArgument if `offset` is not its
    /// own; UnknownTopicOrPartition once the topic is deleted; Io; Closed, Forked. Damaged records are reported where
    /// they lie, by the walk over the records.
    Result<Records> read(std::uint64_t offset, const ReadOptions &options = {}) const {
        oncelog_records_t *records = nullptr;
        auto given = options.c();
        auto *error = oncelog_partition_read(c_.get(), offset, &given, &records);
        return detail::answer(error, [&] { return Records(records); });
    }

    /// The offset of the first record, by offsets, whose timestamp is `timestamp` or later, in milliseconds since 1970;
    /// none if there is none yet. As Kafka's ListOffsets (KIP-79), with an isolation: at ReadCommitted only what lies
    /// below the last stable offset counts, at ReadUncommitted what is undecided too; what was aborted counts at both.
    /// Little is decoded. Where timestamps do not follow the offsets, records behind the one found may be older.
    ///
    /// Errors: InvalidArgument for a negative timestamp; Corrupt if records are damaged that come into question; as
    /// read().
    Result<std::optional<std::uint64_t>> offset_at(
        std::int64_t timestamp, Isolation isolation = Isolation::ReadCommitted) const {
        std::uint64_t offset = 0;
        bool known = false;
        auto *error = oncelog_partition_offset_at(
            c_.get(), timestamp, static_cast<std::uint32_t>(isolation), &offset, &known);
        return detail::answer(error, [&] { return known ? std::optional(offset) : std::nullopt; });
    }

    /// The greatest timestamp there is, and the offset of the first record that has it; none while no record has one.
    /// As Kafka's ListOffsets for the greatest timestamp (KIP-734), bounded as offset_at().
    ///
    /// Errors: as offset_at().
    Result<std::optional<TimestampedOffset>> max_timestamp(Isolation isolation = Isolation::ReadCommitted) const {
        TimestampedOffset found = {};
        bool known = false;
        auto *error = oncelog_partition_max_timestamp(
            c_.get(), static_cast<std::uint32_t>(isolation), &found.offset, &found.timestamp, &known);
        return detail::answer(error, [&] { return known ? std::optional(found) : std::nullopt; });
    }

    /// The producers that are active here, in the order of their ids: whoever's last batches are remembered,
    /// and whoever has a transaction open here. What Kafka's DescribeProducers (KIP-664) answers, to
    /// find who holds the last stable offset back.
    ///
    /// A raw identity without a transactional id is forgotten after a day without a batch, counted anew from each
    /// opening; one with a transactional id when that is deleted or gets another producer id. A Producer is never among
    /// them, and a TransactionalProducer only while a transaction of its streams: nobody repeats their batches. The
    /// answer is of this moment, whether or not what it speaks of is durable or visible yet; each producer is as it was
    /// at one moment of the call.
    ///
    /// Errors: UnknownTopicOrPartition once the topic is deleted; Closed, Forked.
    Result<std::vector<ActiveProducer>> producers() const {
        oncelog_active_producers_t *made = nullptr;
        if (auto *error = oncelog_partition_producers(c_.get(), &made)) return Error(error);
        detail::Handle<oncelog_active_producers_t, oncelog_active_producers_free> list(made);
        const oncelog_active_producer_t *first = nullptr;
        std::size_t count = 0;
        if (auto *error = oncelog_active_producers_get(list.get(), &first, &count)) return Error(error);
        std::vector<ActiveProducer> all;
        all.reserve(count);
        for (const oncelog_active_producer_t &from : Span<oncelog_active_producer_t>(first, count)) {
            ActiveProducer to = {from.identity, {}, {}, {}};
            if (from.last_sequence >= 0) to.last_sequence = from.last_sequence;
            if (from.last_timestamp >= 0) to.last_timestamp = from.last_timestamp;
            if (from.transaction_start_offset >= 0) {
                to.transaction_start_offset = static_cast<std::uint64_t>(from.transaction_start_offset);
            }
            all.push_back(to);
        }
        return all;
    }

    /// The first offset, the last stable one and the end, as readers see them now.
    Result<Bounds> bounds() const {
        Bounds bounds = {};
        return detail::answer(oncelog_partition_bounds(c_.get(), &bounds), [&] { return bounds; });
    }

    /// The topic's name; it lives as long as this.
    Result<const char *> topic() const {
        const char *topic = nullptr;
        return detail::answer(oncelog_partition_topic(c_.get(), &topic), [&] { return topic; });
    }

    /// The partition's number in its topic.
    Result<std::uint32_t> number() const {
        std::uint32_t number = 0;
        return detail::answer(oncelog_partition_number(c_.get(), &number), [&] { return number; });
    }

    /// Takes over a partition of the C interface.
    explicit Partition(oncelog_partition_t *owned) noexcept : c_(owned) {}
    /// The C interface's handle; it stays this object's.
    oncelog_partition_t *c() const noexcept { return c_.get(); }

private:
    Result<Appended> append(const oncelog_record_t *records, std::size_t count, const AppendOptions &options) const {
        Appended appended = {};
        auto *error = oncelog_partition_append(c_.get(), records, count, &options.c(), &appended);
        return detail::answer(error, [&] { return appended; });
    }
    Result<Ticket<Appended>> append_ticket(const oncelog_record_t *records, std::size_t count,
                                           const AppendOptions &options) const {
        return detail::ticket<Appended>([&](oncelog_ticket_t **ticket) {
            return oncelog_partition_append_ticket(c_.get(), records, count, &options.c(), ticket);
        });
    }

    detail::Handle<oncelog_partition_t, oncelog_partition_free> c_;
};

}  // namespace oncelog

#endif
