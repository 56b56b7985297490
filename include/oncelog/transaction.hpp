// Transactions. Part of oncelog.hpp.
// SPDX-License-Identifier: MIT OR Apache-2.0

#ifndef ONCELOG_TRANSACTION_HPP
#define ONCELOG_TRANSACTION_HPP

#include <cstdint>

#include "options.hpp"
#include "record.hpp"
#include "ticket.hpp"

namespace oncelog {

/// Records for any number of topics and offsets of any number of groups that become visible together or not at all.
/// Its destructor aborts it unless it was committed; commit() and abort() use it up: it answers Closed from then on.
/// One thread uses it at a time; which one may change.
///
/// Up to its buffer (ProducerOptions::transaction_buffer(), 1 MiB) it is memory: its records get their offsets at the
/// commit, so a plain send made meanwhile may come first, and an abort leaves nothing. Past it, it streams, as Kafka's
/// transactions do: its records go to the log as they come. Readers at ReadUncommitted see them at once; the last
/// stable offset of their partitions, where ReadCommitted ends, waits for the decision; an abort hides them.
/// Engine::describe_transactions() names the transactions that hold it back. One that streams for longer than
/// ProducerOptions::transaction_timeout() is aborted, and answers TransactionTimedOut from then on.
class [[nodiscard]] Transaction {
public:
    /// Adds a record. Nobody at ReadCommitted sees it before the commit. If the transaction is past its buffer, or
    /// there is no memory left for more, what it holds goes to the log now; that may wait for room.
    ///
    /// Errors: the transaction is as it was and can go on or be aborted: UnknownTopicOrPartition; RecordTooLarge;
    /// InvalidRecord; InvalidArgument for a record with a position; Full, if it streams; Busy. It can only be aborted,
    /// and run again: TransactionTimedOut; TransactionAborted, by Engine::abort_transaction(); LimitExceeded if it
    /// streams and reaches more than 1,000 partitions, or too many transactions stream. ProducerFenced; Poisoned,
    /// Closed, Forked.
    Result<void> send(Text topic, const Record &record) {
        return detail::answer(oncelog_transaction_send(c_.get(), topic.c(), &record.c()));
    }

    /// Adds a record if that takes nothing but memory; false if what the transaction holds would have to go to the log
    /// first, which may wait for room: nothing happened. For callers that hold what others wait for: they let go of it
    /// and call send().
    ///
    /// Errors: as send().
    Result<bool> try_send(Text topic, const Record &record) {
        bool sent = false;
        auto *error = oncelog_transaction_try_send(c_.get(), topic.c(), &record.c(), &sent);
        return detail::answer(error, [&] { return sent; });
    }

    /// Adds records in order, those without a time with that of the call. The topic is looked up once.
    ///
    /// Errors: as send(). The records before the refused one are in the transaction; a malformed argument is found
    /// before any is.
    Result<void> send_many(Text topic, Span<Record> records) {
        auto *first = detail::c_records(records);
        return detail::answer(oncelog_transaction_send_many(c_.get(), topic.c(), first, records.size()));
    }
    Result<void> send_many(Text topic, const Batch &batch) {
        return detail::answer(oncelog_transaction_send_many(c_.get(), topic.c(), batch.c(), batch.size()));
    }

    /// Commits offsets of a group together with the records: the offset to read next, per partition. Later calls
    /// replace what earlier ones said of the same partition.
    ///
    /// Errors: the transaction is as it was: UnknownTopicOrPartition; InvalidArgument for an offset out of range, or if
    /// the group is that of the bound consumer, whose positions the commit sends; LimitExceeded for metadata that is
    /// too long, or if the offsets alone would outgrow 1 MiB; Busy, also while other transactions have all of
    /// transaction_memory(), and for up to 64 KiB of them the 8 MiB besides.
    Result<void> send_offsets(const GroupMetadata &group, Span<Offset> offsets) {
        auto named = detail::c_group(group);
        auto all = detail::c_offsets(offsets);
        return detail::answer(oncelog_transaction_send_offsets(c_.get(), &named, all.data(), all.size()));
    }

    /// Moves the position of the transactional id with the commit: how far its source has been worked off. See
    /// TransactionalProducer::position().
    ///
    /// Errors: InvalidArgument if the position is not above the last one: that part of the source is done, skip it;
    /// Busy.
    Result<void> send_position(std::uint64_t position) {
        return detail::answer(oncelog_transaction_send_position(c_.get(), position));
    }

    /// The transaction's number: it names this transaction for ever.
    Result<std::uint64_t> number() {
        std::uint64_t number = 0;
        return detail::answer(oncelog_transaction_number(c_.get(), &number), [&] { return number; });
    }

    /// Commits, and waits until the transaction has met the strongest level of its topics and of the producer's
    /// options. A transaction with nothing in it writes nothing. This is used up, unless the answer is Busy.
    ///
    /// Errors: Indeterminate: a write or flush failed under the commit; opening the log again decides whether it is
    /// there, and Engine::transaction_status() and the positions that it carried tell. After every other error the
    /// transaction is aborted and the bound consumer back where it stood: run it again. ProducerFenced: a newer holder
    /// of the id exists. TransactionTimedOut, TransactionAborted; UnknownTopicOrPartition if a topic was deleted
    /// meanwhile for which it holds records in memory or offsets: records that streamed before are gone with their
    /// topic, and the rest commits; Full, Poisoned, Closed, Forked.
    Result<Committed> commit() {
        Committed committed = {};
        return detail::answer(oncelog_transaction_commit(c_.get(), &committed), [&] { return committed; });
    }

    /// Commits without waiting: the transaction has its place, and the ticket says when it has met its level; or it was
    /// aborted, and the ticket says why once a power cut cannot take that back. The next transaction may begin. This is
    /// used up as by commit().
    ///
    /// Errors: as commit(). From the ticket comes what waits for the disk: Indeterminate, and what the log refuses the
    /// transaction for, as ProducerFenced or TransactionTimedOut.
    Result<Ticket<Committed>> commit_ticket() {
        return detail::ticket<Committed>(
            [&](oncelog_ticket_t **ticket) { return oncelog_transaction_commit_ticket(c_.get(), ticket); });
    }

    /// Aborts: nobody at ReadCommitted will see anything of it, and a bound consumer goes back to where it stood at the
    /// begin. If it streamed, a decision goes to the log; nobody need wait for it, for opening the log again would
    /// abort it too. This is used up, unless the answer is Busy.
    ///
    /// Errors: Closed, Forked. It is aborted in any case.
    Result<void> abort() { return detail::answer(oncelog_transaction_abort(c_.get())); }

    /// Takes over a transaction of the C interface.
    explicit Transaction(oncelog_transaction_t *owned) noexcept : c_(owned) {}
    /// The C interface's handle; it stays this object's.
    oncelog_transaction_t *c() const noexcept { return c_.get(); }

private:
    detail::Handle<oncelog_transaction_t, oncelog_transaction_free> c_;
};

}  // namespace oncelog

#endif
