// A module as plugins are compiled: it watches, and another drains; it throws, and another catches.

#include "module.hpp"

void watch_in_module(const oncelog::Completions &queue, oncelog::Ticket<void> ticket,
                     const oncelog::Consumer &consumer, int &done) {
    queue.watch(std::move(ticket), [&](oncelog::Result<void> result) { done += result.ok(); }).or_throw();
    queue.watch_consumer(consumer, [&] { ++done; }).or_throw();
}

void throw_in_module() { (void)oncelog::Engine::open(nullptr).value(); }
