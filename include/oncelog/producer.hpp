// Producers, with and without transactions. Part of oncelog.hpp.
// SPDX-License-Identifier: MIT OR Apache-2.0

#ifndef ONCELOG_PRODUCER_HPP
#define ONCELOG_PRODUCER_HPP

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <utility>
#include <vector>

#include "consumer.hpp"
#include "transaction.hpp"

namespace oncelog {

/// How far Producer::try_send_many() came.
struct SentMany {
    /// How many of the records were sent: the first ones. What a named producer is refused counts among them as long as
    /// that may not be told yet: the ticket tells it.
    std::size_t sent;
    /// The answers of those.
    Ticket<std::vector<Appended>> ticket;
    /// Why the next one was refused; none if all are sent, or it would have had to wait.
    std::optional<Error> refused;
};

/// Sends records to topics. Any number of threads may use it; each partition's records keep the order of the sends.
///
/// Records are gathered into a batch per partition. A batch goes into the log when it is full, when its linger has
/// passed, or when somebody waits for one of its tickets. The partition is the record's own, or follows from its key as
/// in Kafka, or else changes from batch to batch.
///
/// A producer with a name never writes a record twice, across crashes and restarts: each record carries a position, a
/// number that only grows, such as a line number or an offset in its source. What was gathered goes down whole, with
/// its last position. After a restart position() says how far the log got; a send at or below it is answered as a
/// duplicate, so one may go on before it and needs not be exact. The name's former holder is fenced, durably, when the
/// producer is opened.
///
/// Its destructor lets what is gathered go into the log and tells nobody of errors: flush() first.
class Producer {
public:
    /// Sends a record. Its ticket is done when the record has met the level of the options, else of the topic; waiting
    /// for it closes the batch at once. If the engine's buffers are full this waits for room; behind a batch that was
    /// refused it waits until the disk has confirmed why.
    ///
    /// Errors: nothing was sent, and the position is still free: UnknownTopicOrPartition; RecordTooLarge; InvalidRecord
    /// for a timestamp out of range; InvalidArgument for a position without a name or a name without a position;
    /// ProducerFenced once a newer holder of the name is known; Closed if an earlier send of this named producer was
    /// refused; ReadOnly, Poisoned, Forked. From the ticket: Full, and what a write answers; and ProducerFenced, Closed
    /// and UnknownTopicOrPartition if the batch was refused, or an earlier one was and a power cut could still take
    /// what it was refused for: no refusal is told before that is safe.
    Result<Ticket<Appended>> send(Text topic, const Record &record) const {
        return detail::ticket<Appended>([&](oncelog_ticket_t **ticket) {
            return oncelog_producer_send(c_.get(), topic.c(), &record.c(), ticket);
        });
    }

    /// Sends a record if that takes no waiting. None: the engine's buffers are full, a batch was refused and the disk
    /// must confirm why, or another thread, be it the engine's own, is busy with this producer right then; nothing was
    /// sent. For event loops, which come again later.
    ///
    /// Errors: as send().
    Result<std::optional<Ticket<Appended>>> try_send(Text topic, const Record &record) const {
        oncelog_ticket_t *ticket = nullptr;
        bool sent = false;
        auto *error = oncelog_producer_try_send(c_.get(), topic.c(), &record.c(), &ticket, &sent);
        return detail::answer(error, [&] { return sent ? std::optional(Ticket<Appended>(ticket)) : std::nullopt; });
    }

    /// Sends a record without making a ticket: flush() waits for it and tells what became of it.
    ///
    /// Errors: as send().
    Result<void> send_detached(Text topic, const Record &record) const {
        return detail::answer(oncelog_producer_send(c_.get(), topic.c(), &record.c(), nullptr));
    }

    /// Sends records in order; one ticket for all, with an answer for each. Records of other threads do not come
    /// between them.
    ///
    /// Errors: as send(). The records before the refused one are sent; a malformed argument is found before any is.
    Result<Ticket<std::vector<Appended>>> send_many(Text topic, Span<Record> records) const {
        return send_many(topic, detail::c_records(records), records.size());
    }
    Result<Ticket<std::vector<Appended>>> send_many(Text topic, const Batch &batch) const {
        return send_many(topic, batch.c(), batch.size());
    }

    /// Sends records in order without making a ticket: flush() waits for them and tells what became of them.
    ///
    /// Errors: as send_many().
    Result<void> send_many_detached(Text topic, Span<Record> records) const {
        auto *first = detail::c_records(records);
        return detail::answer(oncelog_producer_send_many(c_.get(), topic.c(), first, records.size(), nullptr));
    }
    Result<void> send_many_detached(Text topic, const Batch &batch) const {
        return detail::answer(oncelog_producer_send_many(c_.get(), topic.c(), batch.c(), batch.size(), nullptr));
    }

    /// Sends records in order until one would have to wait, or is refused; says how far it came. As try_send(), nothing
    /// is sent if a batch was refused and the disk must confirm why, or another thread, be it the engine's own, is busy
    /// with this producer right then. Of a batch it may begin behind the first ones: those that went before.
    ///
    /// Errors: nothing was sent: Closed, Forked, ReadOnly, Poisoned, or a malformed argument. The others of send() come
    /// as SentMany::refused.
    Result<SentMany> try_send_many(Text topic, Span<Record> records) const {
        return try_send_many(topic, detail::c_records(records), records.size());
    }
    Result<SentMany> try_send_many(Text topic, const Batch &batch, std::size_t from = 0) const {
        from = (std::min)(from, batch.size());
        return try_send_many(topic, batch.empty() ? nullptr : batch.c() + from, batch.size() - from);
    }

    /// Closes what is gathered and waits until everything sent before has met its level.
    ///
    /// Errors: what a write answers; what a batch was refused for since the last flush, after all others are safe.
    Result<void> flush() const { return detail::answer(oncelog_producer_flush(c_.get())); }

    /// Closes what is gathered; the ticket is done when everything sent before has met its level.
    ///
    /// Errors: as flush(); most come from the ticket.
    Result<Ticket<void>> flush_ticket() const {
        return detail::ticket<void>(
            [&](oncelog_ticket_t **ticket) { return oncelog_producer_flush_ticket(c_.get(), ticket); });
    }

    /// The position of a named producer: everything sent up to it has met its level, and nothing beyond it is promised.
    /// None before the first, and without a name.
    Result<std::optional<std::uint64_t>> position() const {
        std::uint64_t position = 0;
        bool known = false;
        auto *error = oncelog_producer_position(c_.get(), &position, &known);
        return detail::answer(error, [&] { return known ? std::optional(position) : std::nullopt; });
    }

    /// Takes over a producer of the C interface.
    explicit Producer(oncelog_producer_t *owned) noexcept : c_(owned) {}
    /// The C interface's handle; it stays this object's.
    oncelog_producer_t *c() const noexcept { return c_.get(); }

private:
    Result<Ticket<std::vector<Appended>>> send_many(Text topic, const oncelog_record_t *records,
                                                    std::size_t count) const {
        return detail::ticket<std::vector<Appended>>([&](oncelog_ticket_t **ticket) {
            return oncelog_producer_send_many(c_.get(), topic.c(), records, count, ticket);
        });
    }

    Result<SentMany> try_send_many(Text topic, const oncelog_record_t *records, std::size_t count) const {
        std::size_t sent = 0;
        oncelog_ticket_t *ticket = nullptr;
        oncelog_error_t *refused = nullptr;
        auto *error = oncelog_producer_try_send_many(c_.get(), topic.c(), records, count, &sent, &ticket, &refused);
        return detail::answer(error, [&] {
            auto why = refused == nullptr ? std::nullopt : std::optional(Error(refused));
            return SentMany{sent, Ticket<std::vector<Appended>>(ticket), std::move(why)};
        });
    }

    detail::Handle<oncelog_producer_t, oncelog_producer_free> c_;
};

/// A producer whose records become visible in transactions. Any number of threads may use it; one transaction is open
/// at a time. Opening it fences the former holder of the id, durably. A transaction of it that is open when this goes
/// away goes on.
class TransactionalProducer {
public:
    /// Begins a transaction. Nobody at ReadCommitted sees anything of it before its commit.
    ///
    /// Errors: InvalidTransactionState while another transaction of this producer is open; ProducerFenced once a newer
    /// holder of the id exists; ReadOnly, Poisoned, Closed, Forked.
    Result<Transaction> begin_transaction() const {
        oncelog_transaction_t *made = nullptr;
        return detail::answer(oncelog_begin_transaction(c_.get(), &made), [&] { return Transaction(made); });
    }

    /// Begins a transaction bound to a consumer: begin it before you poll. Commit sends the consumer's positions with
    /// it, which cover all that was polled; abort, destruction or a failed commit puts the consumer back to where it
    /// stands now, so that no input is lost.
    ///
    /// Errors: as begin_transaction(); InvalidArgument if the consumer has no group or belongs to another engine;
    /// InvalidState if nothing is assigned to it or it is bound to another open transaction; UnstableOffsets, which
    /// passes, while a raw transaction is open that will commit offsets of its group where it has no position yet.
    Result<Transaction> begin_transaction_for(const Consumer &consumer) const {
        oncelog_transaction_t *made = nullptr;
        auto *error = oncelog_begin_transaction_for(c_.get(), consumer.c(), &made);
        return detail::answer(error, [&] { return Transaction(made); });
    }

    /// The position last sent with Transaction::send_position() in a transaction that has met its level; none if there
    /// is none.
    Result<std::optional<std::uint64_t>> position() const {
        std::uint64_t position = 0;
        bool known = false;
        auto *error = oncelog_transactional_producer_position(c_.get(), &position, &known);
        return detail::answer(error, [&] { return known ? std::optional(position) : std::nullopt; });
    }

    /// Takes over a transactional producer of the C interface.
    explicit TransactionalProducer(oncelog_transactional_producer_t *owned) noexcept : c_(owned) {}
    /// The C interface's handle; it stays this object's.
    oncelog_transactional_producer_t *c() const noexcept { return c_.get(); }

private:
    detail::Handle<oncelog_transactional_producer_t, oncelog_transactional_producer_free> c_;
};

namespace detail {

template <>
struct Taken<Producer> {
    static Result<Producer> from(oncelog_ticket_t *ticket) {
        oncelog_producer_t *made = nullptr;
        return answer(oncelog_ticket_producer(ticket, &made), [&] { return Producer(made); });
    }
};

template <>
struct Taken<TransactionalProducer> {
    static Result<TransactionalProducer> from(oncelog_ticket_t *ticket) {
        oncelog_transactional_producer_t *made = nullptr;
        auto *error = oncelog_ticket_transactional_producer(ticket, &made);
        return answer(error, [&] { return TransactionalProducer(made); });
    }
};

}  // namespace detail

}  // namespace oncelog

#endif
