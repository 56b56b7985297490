// What the module does for the program. Its own symbols are hidden, but for these.

#ifndef MODULE_HPP
#define MODULE_HPP

#include <oncelog.hpp>

#define SHOWN __attribute__((visibility("default")))

/// Has a ticket and a consumer watched: each adds 1 to `done`.
SHOWN void watch_in_module(const oncelog::Completions &queue, oncelog::Ticket<void> ticket,
                           const oncelog::Consumer &consumer, int &done);

/// Throws what an error throws.
SHOWN void throw_in_module();

#endif
