// What has finished, in one queue with one descriptor: for event loops. Part of oncelog.hpp.
// SPDX-License-Identifier: MIT OR Apache-2.0

#ifndef ONCELOG_COMPLETIONS_HPP
#define ONCELOG_COMPLETIONS_HPP

#include <atomic>
#include <cstddef>
#include <memory>
#include <mutex>
#include <unordered_map>
#include <utility>

#include "consumer.hpp"
#include "ticket.hpp"

namespace oncelog {

namespace detail {

/// The callbacks of a queue that have not run. A queue that goes away takes them with it, unless a drain is under way:
/// that holds this to its end, may still be told of them, and lets none run. What C calls finds its callback by its
/// context alone, not by anything of whoever drains: that may be another module, with statics of its own.
class Waiting {
public:
    /// A callback, whatever it takes.
    struct Callback {
        virtual ~Callback() = default;
        /// `ticket` is null for a consumer that is ready.
        virtual void run(oncelog_ticket_t *ticket) noexcept = 0;
        /// Those among whom it waits.
        Waiting *among = nullptr;
    };

    /// Keeps a callback; answers what C is to call its function with.
    void *keep(std::unique_ptr<Callback> callback) {
        callback->among = this;
        void *key = callback.get();
        {
            std::lock_guard<std::mutex> lock(mutex_);
            all_.emplace(key, std::move(callback));
        }
        kept().fetch_add(1, std::memory_order_release);
        return key;
    }
    /// Takes a callback out; null if it is gone.
    std::unique_ptr<Callback> take(void *key) {
        std::lock_guard<std::mutex> lock(mutex_);
        auto found = all_.find(key);
        if (found == all_.end() || ended_) return nullptr;
        auto callback = std::move(found->second);
        all_.erase(found);
        return callback;
    }
    /// Lets no callback run any more.
    void end() {
        std::lock_guard<std::mutex> lock(mutex_);
        ended_ = true;
    }

    /// What C calls, once for each key that was watched.
    static void done(void *key, oncelog_ticket_t *ticket, const oncelog_error_t *) noexcept {
        (void)kept().load(std::memory_order_acquire);
        auto *among = static_cast<Callback *>(key)->among;
        if (auto callback = among->take(key)) callback->run(ticket);
    }
    static void ready(void *key) noexcept { done(key, nullptr, nullptr); }

private:
    /// How many this module has kept. A call looks at it first, so that it sees what was written when its callback was
    /// kept: the library's locks see to that too, but a thread sanitizer does not see them.
    static std::atomic<unsigned> &kept() noexcept {
        static std::atomic<unsigned> kept{0};
        return kept;
    }

    std::mutex mutex_;
    std::unordered_map<void *, std::unique_ptr<Callback>> all_;
    bool ended_ = false;
};

/// A callback for the answer of a ticket.
template <class T, class F>
struct OnDone : Waiting::Callback {
    explicit OnDone(F given) : f(std::move(given)) {}
    void run(oncelog_ticket_t *ticket) noexcept override {
        if (auto *error = oncelog_ticket_wait(ticket)) {
            f(Result<T>(Error(error)));
        } else {
            f(Taken<T>::from(ticket));
        }
    }
    F f;
};

/// A callback for a consumer.
template <class F>
struct OnReady : Waiting::Callback {
    explicit OnReady(F given) : f(std::move(given)) {}
    void run(oncelog_ticket_t *) noexcept override { f(); }
    F f;
};

}  // namespace detail

/// A queue of what has finished, with a descriptor for poll, select, epoll and their like. Any number of threads may
/// use it. Callbacks run inside drain() alone, on its thread; one that throws ends the program. They may call anything,
/// watch more, and destroy the queue. Those that have not run when the queue goes away never will. One module of a
/// process may watch, and another drain.
class Completions {
public:
    /// The queue's descriptor: readable while something is queued. Only watch it: drain() clears it, the destructor
    /// closes it. An engine without threads makes nothing readable by itself: drain its queue at least as often as
    /// batches may linger. On Windows it is a socket, for select, WSAPoll, WSAEventSelect and the loops built on them;
    /// now and then it is readable for nothing, so drain whenever it is.
    Result<oncelog_fd_t> fd() const {
        oncelog_fd_t fd = 0;
        return detail::answer(oncelog_completions_fd(c_.get(), &fd), [&] { return fd; });
    }

    /// Has `f(Result<T>)` called with the ticket's answer, once, by a later drain(). The ticket is used up; after an
    /// error it is as it was. Closing the engine answers all tickets.
    ///
    /// Errors: Busy while a thread waits for the ticket; Closed if it was used up before, or the queue was freed.
    template <class T, class F>
    Result<void> watch(Ticket<T> &&ticket, F f) const {
        return keep<detail::OnDone<T, F>>(std::move(f), [&](void *key) {
            return oncelog_completions_watch(c_.get(), ticket.c(), &detail::Waiting::done, key);
        });
    }

    /// Has `f()` called once, by a later drain(), when a poll of the consumer would answer records or an error; at once
    /// if it would now. A consumer that goes away calls it too, with the end of the transaction that is bound to it, if
    /// one is: `f` must not rely on a reference to it. A queue that goes away calls nobody, and destroys `f`.
    template <class F>
    Result<void> watch_consumer(const Consumer &consumer, F f) const {
        return keep<detail::OnReady<F>>(std::move(f), [&](void *key) {
            return oncelog_completions_watch_consumer(c_.get(), consumer.c(), &detail::Waiting::ready, key);
        });
    }

    /// Runs the callbacks of everything queued, in the order in which it finished, on this thread; answers how many.
    /// Never waits, but does the background work that is due where the engine was opened with `.threads(false)`, as
    /// Engine::drive() does.
    ///
    /// Errors: of that background work; the callbacks have run all the same.
    Result<std::size_t> drain() const {
        std::size_t count = 0;
        // A callback may destroy this.
        auto alive = waiting_;
        return detail::answer(oncelog_completions_drain(c_.get(), &count), [&] { return count; });
    }

    /// Takes over a queue of the C interface.
    explicit Completions(oncelog_completions_t *owned) : c_(owned), waiting_(std::make_shared<detail::Waiting>()) {}
    Completions(Completions &&) noexcept = default;
    Completions &operator=(Completions &&other) noexcept {
        if (this != &other) {
            end();
            c_ = std::move(other.c_);
            waiting_ = std::move(other.waiting_);
        }
        return *this;
    }
    ~Completions() { end(); }
    /// The C interface's handle; it stays this object's. Drain it by drain() alone, which outlives this object if a
    /// callback, or another thread, destroys that meanwhile.
    oncelog_completions_t *c() const noexcept { return c_.get(); }

private:
    template <class C, class F, class Watch>
    Result<void> keep(F f, Watch watch) const {
        // One that was moved from: C says what is wrong with it.
        if (waiting_ == nullptr) return detail::answer(watch(nullptr));
        void *key = waiting_->keep(std::make_unique<C>(std::move(f)));
        auto *error = watch(key);
        if (error != nullptr) waiting_->take(key);
        return detail::answer(error);
    }
    void end() noexcept {
        if (waiting_ != nullptr) waiting_->end();
    }

    detail::Handle<oncelog_completions_t, oncelog_completions_free> c_;
    std::shared_ptr<detail::Waiting> waiting_;
};

}  // namespace oncelog

#endif
