// Completions: answers in an event loop.

#include <poll.h>

#include <memory>
#include <optional>

#include "check.hpp"

/// True when the queue's descriptor can be read; waits for it at most so long.
static bool readable(const Completions &completions, int milliseconds) {
    pollfd watched = {OK(completions.fd()), POLLIN, 0};
    return ::poll(&watched, 1, milliseconds) == 1;
}

/// Drains until this holds.
template <class F>
static void drain_until(const Completions &completions, F done) {
    while (!done()) {
        CHECK(readable(completions, 600'000));
        OK(completions.drain());
    }
}

TEST("answers of every kind come through the descriptor") {
    Log log;
    Completions queue = OK(log.engine.completions());
    CHECK(!readable(queue, 0) && OK(queue.drain()) == 0);
    int done = 0;
    std::optional<Producer> producer;
    std::optional<TransactionalProducer> transactional;
    auto count = [&](Result<void> result) { OK(result), ++done; };
    OK(queue.watch(OK(log.engine.create_topic_ticket("u")), count));
    OK(queue.watch(OK(log.engine.producer_ticket()), [&](Result<Producer> made) { producer = OK(std::move(made)); }));
    OK(queue.watch(OK(log.engine.transactional_producer_ticket("id")),
                   [&](Result<TransactionalProducer> made) { transactional = OK(std::move(made)); }));
    drain_until(queue, [&] { return done == 1 && producer && transactional; });
    OK(queue.watch(OK(producer->send("u", Record("a"))), [&](Result<Appended> at) { done += OK(at).first < 4; }));
    OK(queue.watch(OK(producer->send_many("u", {Record("b"), Record("c")})),
                   [&](Result<std::vector<Appended>> all) { done += static_cast<int>(OK(all).size()); }));
    Transaction transaction = OK(transactional->begin_transaction());
    OK(transaction.send("u", Record("d")));
    OK(queue.watch(OK(transaction.commit_ticket()), [&](Result<Committed> made) { done += OK(made).lsn > 0; }));
    OK(queue.watch(OK(log.engine.flush_ticket()), count));
    drain_until(queue, [&] { return done == 6; });
    CHECK(OK(OK(log.engine.partition("u", 0)).bounds()).end == 4);
}

TEST("an error comes the same way") {
    Log log;
    Completions queue = OK(log.engine.completions());
    Ticket<Appended> ticket = OK(OK(log.engine.partition("t", 0)).append_ticket(Record("x")));
    OK(ticket.wait());
    int answers = 0;
    OK(queue.watch(std::move(ticket), [&](Result<Appended> result) { OK(result), ++answers; }));
    FAILS(ticket.wait(), Closed);
    FAILS(queue.watch(std::move(ticket), [&](Result<Appended>) { ++answers; }), Closed);
    Producer old = OK(log.engine.producer(ProducerOptions().name("n").linger(1h)));
    Producer now = OK(log.engine.producer(ProducerOptions().name("n")));
    auto late = old.send("t", Record("late").position(1));
    if (late) {
        OK(queue.watch(std::move(*late), [&](Result<Appended> result) {
            FAILS(result, ProducerFenced);
            ++answers;
        }));
    }
    (void)old.flush();
    drain_until(queue, [&] { return answers == (late ? 2 : 1); });
}

TEST("a callback may watch more, and hold what cannot be copied") {
    Log log;
    Completions queue = OK(log.engine.completions());
    Producer producer = OK(log.engine.producer());
    int sent = 0;
    struct Again {
        Completions *queue;
        Producer *producer;
        int *sent;
        std::unique_ptr<int> left;
        void operator()(Result<Appended> result) {
            OK(std::move(result));
            ++*sent;
            if (--*left > 0) OK(queue->watch(OK(producer->send("t", Record("x"))), std::move(*this)));
        }
    };
    OK(queue.watch(OK(producer.send("t", Record("x"))), Again{&queue, &producer, &sent, std::make_unique<int>(5)}));
    drain_until(queue, [&] { return sent == 5; });
}

TEST("a consumer tells when there is something to poll") {
    Log log;
    Completions queue = OK(log.engine.completions());
    Consumer consumer = OK(log.engine.consumer());
    OK(consumer.assign({{"t", 0}}));
    bool ready = false;
    OK(queue.watch_consumer(consumer, [&] { ready = true; }));
    CHECK(!readable(queue, 0));
    OK(OK(log.engine.partition("t", 0)).append(Record("x")));
    drain_until(queue, [&] { return ready; });
    CHECK(OK(OK(consumer.poll(0ms)).count()) == 1);
    FAILS(queue.watch_consumer(Consumer(nullptr), [] {}), InvalidArgument);
}

TEST("a consumer that goes away calls those who watched it, and what they hold is freed") {
    Log log;
    Completions queue = OK(log.engine.completions());
    auto held = std::make_shared<int>(0);
    {
        Consumer consumer = OK(log.engine.consumer());
        OK(consumer.assign({{"t", 0}}));
        OK(queue.watch_consumer(consumer, [held] { ++*held; }));
    }
    drain_until(queue, [&] { return *held == 1; });
    CHECK(held.use_count() == 1);
}

TEST("callbacks that have not run go with the queue, and are freed") {
    Log log;
    auto held = std::make_shared<int>(1);
    Producer producer = OK(log.engine.producer(ProducerOptions().linger(1h)));
    Consumer consumer = OK(log.engine.consumer());
    OK(consumer.assign({{"t", 0}}));
    {
        Completions queue = OK(log.engine.completions());
        OK(queue.watch(OK(producer.send("t", Record("x"))), [held](Result<Appended>) { CHECK(false); }));
        OK(queue.watch_consumer(consumer, [held] { CHECK(false); }));
        FAILS(queue.watch(Ticket<void>(nullptr), [held](Result<void>) { CHECK(false); }), InvalidArgument);
        CHECK(held.use_count() == 3);
        Completions moved = std::move(queue);
        queue = OK(log.engine.completions());
        moved = std::move(queue);
        CHECK(held.use_count() == 1);
    }
    OK(producer.flush());
}

TEST("a callback may destroy the queue that calls it") {
    Log log;
    auto held = std::make_shared<int>(1);
    std::optional<Completions> queue = OK(log.engine.completions());
    Partition partition = OK(log.engine.partition("t", 0));
    int calls = 0;
    for (int i = 0; i < 3; ++i) {
        Ticket<Appended> ticket = OK(partition.append_ticket(Record("x")));
        OK(ticket.wait());
        OK(queue->watch(std::move(ticket), [&, held](Result<Appended>) {
            ++calls;
            queue.reset();
        }));
    }
    (void)queue->drain();
    CHECK(calls == 1 && !queue && held.use_count() == 1);
}

TEST("closing the engine answers what is watched") {
    Log log;
    Completions queue = OK(log.engine.completions());
    Consumer consumer = OK(log.engine.consumer());
    OK(consumer.assign({{"t", 0}}));
    Producer producer = OK(log.engine.producer(ProducerOptions().linger(1h)));
    int answers = 0;
    OK(queue.watch_consumer(consumer, [&] { ++answers; }));
    OK(queue.watch(OK(producer.send("t", Record("x"))), [&](Result<Appended>) { ++answers; }));
    OK(log.engine.close());
    drain_until(queue, [&] { return answers == 2; });
}

TEST("a queue of an engine without threads works when it is drained") {
    Log log({"t"}, EngineOptions().threads(false));
    Completions queue = OK(log.engine.completions());
    Producer producer = OK(log.engine.producer());
    bool done = false;
    OK(queue.watch(OK(producer.send("t", Record("x"))), [&](Result<Appended> result) { OK(result), done = true; }));
    while (!done) OK(queue.drain());
}
