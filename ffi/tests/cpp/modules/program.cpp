// Drains what the module watches, and catches what it throws.

#include <poll.h>

#include <cstdio>

#include "module.hpp"

using namespace oncelog;

int main(int, char **arguments) {
    Engine engine = Engine::open(arguments[1]).value();
    engine.create_topic("t").or_throw();
    Completions queue = engine.completions().value();
    // Both are answered soon: the ticket is done, and there is something to poll.
    Consumer consumer = engine.consumer().value();
    consumer.assign({{"t", 0}}).or_throw();
    engine.partition("t", 0).value().append(Record("x")).value();
    Ticket<void> ticket = engine.flush_ticket().value();
    ticket.wait().or_throw();
    int done = 0;
    watch_in_module(queue, std::move(ticket), consumer, done);
    pollfd watched = {queue.fd().value(), POLLIN, 0};
    for (std::size_t drained = 0; drained < 2; drained += queue.drain().value()) ::poll(&watched, 1, 600'000);
    if (done != 2) {
        std::printf("of 2 callbacks that the module had watched, %d came\n", done);
        return 1;
    }
    try {
        throw_in_module();
    } catch (const Exception &exception) {
        return exception.code() == ErrorCode::InvalidArgument ? 0 : 1;
    }
    return 1;
}
