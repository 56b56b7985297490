// Answers on their way. Part of oncelog.hpp.
// SPDX-License-Identifier: MIT OR Apache-2.0

#ifndef ONCELOG_TICKET_HPP
#define ONCELOG_TICKET_HPP

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <utility>
#include <vector>

#include "types.hpp"

namespace oncelog {

class Producer;
class TransactionalProducer;

namespace detail {

/// Asks a ticket that has its answer for a T.
template <class T>
struct Taken;

template <>
struct Taken<void> {
    static Result<void> from(oncelog_ticket_t *) { return {}; }
};

template <>
struct Taken<Appended> {
    static Result<Appended> from(oncelog_ticket_t *ticket) {
        Appended appended = {};
        return answer(oncelog_ticket_appended(ticket, &appended), [&] { return appended; });
    }
};

template <>
struct Taken<std::vector<Appended>> {
    static Result<std::vector<Appended>> from(oncelog_ticket_t *ticket) {
        const Appended *all = nullptr;
        std::size_t count = 0;
        auto *error = oncelog_ticket_appended_many(ticket, &all, &count);
        return answer(error, [&] { return std::vector<Appended>(all, all + count); });
    }
};

template <>
struct Taken<Committed> {
    static Result<Committed> from(oncelog_ticket_t *ticket) {
        Committed committed = {};
        return answer(oncelog_ticket_committed(ticket, &committed), [&] { return committed; });
    }
};

template <>
struct Taken<Identity> {
    static Result<Identity> from(oncelog_ticket_t *ticket) {
        Identity identity = {};
        return answer(oncelog_ticket_identity(ticket, &identity), [&] { return identity; });
    }
};

template <>
struct Taken<TransactionStatus> {
    static Result<TransactionStatus> from(oncelog_ticket_t *ticket) {
        std::uint32_t status = 0;
        auto *error = oncelog_ticket_transaction_status(ticket, &status);
        return answer(error, [&] { return static_cast<TransactionStatus>(status); });
    }
};

template <>
struct Taken<std::optional<std::uint64_t>> {
    static Result<std::optional<std::uint64_t>> from(oncelog_ticket_t *ticket) {
        std::uint64_t offset = 0;
        bool known = false;
        auto *error = oncelog_ticket_offset(ticket, &offset, &known);
        return answer(error, [&] { return known ? std::optional(offset) : std::nullopt; });
    }
};

template <>
struct Taken<std::vector<Offset>> {
    static Result<std::vector<Offset>> from(oncelog_ticket_t *ticket) {
        oncelog_offsets_t *made = nullptr;
        if (auto *error = oncelog_ticket_offsets(ticket, &made)) return Error(error);
        return given_offsets(made);
    }
};

template <>
struct Taken<std::uint64_t> {
    static Result<std::uint64_t> from(oncelog_ticket_t *ticket) {
        std::uint64_t offset = 0;
        bool known = false;
        return answer(oncelog_ticket_offset(ticket, &offset, &known), [&] { return offset; });
    }
};

}  // namespace detail

/// The answer to a call, on its way: a T, or void for a call that only ends. A ticket that goes away cancels nothing:
/// what was sent is sent. One thread waits at a time.
template <class T>
class [[nodiscard]] Ticket {
public:
    /// Waits until the call has its answer: until a write has met its level. Closes a batch that is being gathered, and
    /// leads the write or flush if nobody does. Asked again it answers the same, but a producer is answered once.
    ///
    /// Errors: what the call answers. Busy while another thread waits for this ticket.
    Result<T> wait() {
        if (auto *error = oncelog_ticket_wait(c_.get())) return Error(error);
        return detail::Taken<T>::from(c_.get());
    }

    /// Waits at most so long, but for a write, a flush or a new segment that it makes itself since nobody else does.
    /// Answers whether there is an answer, which wait() then gives at once.
    ///
    /// Errors: as wait().
    Result<bool> wait_for(std::chrono::milliseconds time) {
        bool done = false;
        auto *error = oncelog_ticket_wait_for(c_.get(), detail::c_milliseconds(time), &done);
        return detail::answer(error, [&] { return done; });
    }

    /// Answers whether there is an answer. Waits for nothing, writes nothing, closes nothing that is being gathered.
    ///
    /// Errors: as wait().
    Result<bool> poll() {
        bool done = false;
        return detail::answer(oncelog_ticket_poll(c_.get(), &done), [&] { return done; });
    }

    /// The frame that the answer waits for, or waited for: what Engine::wait_durable() takes. Closes a batch that is
    /// being gathered to learn it, waiting for room if there is none. None where nothing is waited for: an answer that
    /// needs no frame, one that is an error, and in a forked child what was still gathered at the fork.
    ///
    /// Errors: Busy while another thread waits for this ticket; Closed if it was given to Completions::watch().
    Result<std::optional<std::uint64_t>> lsn() {
        std::uint64_t lsn = 0;
        auto *error = oncelog_ticket_lsn(c_.get(), &lsn);
        return detail::answer(error, [&] { return lsn > 0 ? std::optional(lsn) : std::nullopt; });
    }

    /// Lets the answer go unheard, for those who would have to name a ticket that they do not want.
    void detach() && noexcept { c_ = {}; }

    /// Takes over a ticket of the C interface that answers a T.
    explicit Ticket(oncelog_ticket_t *owned) noexcept : c_(owned) {}
    /// The C interface's handle; it stays this object's.
    oncelog_ticket_t *c() const noexcept { return c_.get(); }

private:
    detail::Handle<oncelog_ticket_t, oncelog_ticket_free> c_;
};

namespace detail {

/// The ticket that a call of the C interface gave, `call(&ticket)`.
template <class T, class F>
Result<Ticket<T>> ticket(F call) {
    oncelog_ticket_t *made = nullptr;
    return answer(call(&made), [&] { return Ticket<T>(made); });
}

}  // namespace detail

}  // namespace oncelog

#endif
