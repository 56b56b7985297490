// Moves, orders of destruction, handles that outlive their engine.

#include <optional>

#include "check.hpp"

/// One of each thing that an engine makes.
struct Things {
    explicit Things(const Engine &engine)
        : partition(OK(engine.partition("t", 0))),
          producer(OK(engine.producer())),
          transactional(OK(engine.transactional_producer("id"))),
          transaction(OK(transactional.begin_transaction())),
          consumer(OK(engine.consumer(ConsumerOptions().group("g")))),
          completions(OK(engine.completions())),
          ticket(OK(producer.send("t", Record("sent")))),
          records(OK(partition.read(0))) {
        OK(consumer.assign({{"t", 0}}));
        OK(transaction.send("t", Record("never seen")));
    }

    /// Asks each of them something that needs the log; all must give this answer.
    void all_answer(ErrorCode code) {
        auto answers = [&](const Error &error) { CHECK(error == code); };
        answers(partition.append(Record("x")).error());
        answers(partition.read(0).error());
        answers(producer.send("t", Record("x")).error());
        answers(producer.flush().error());
        answers(transactional.begin_transaction().error());
        answers(transaction.send("t", Record("x")).error());
        answers(transaction.commit().error());
        answers(consumer.poll(0ms).error());
        answers(consumer.commit().error());
        answers(consumer.position({"t", 0}).error());
    }

    Partition partition;
    Producer producer;
    TransactionalProducer transactional;
    Transaction transaction;
    Consumer consumer;
    Completions completions;
    Ticket<Appended> ticket;
    Records records;
};

TEST("what an engine made outlives it and answers Closed") {
    Directory directory;
    std::optional<Things> things;
    {
        Engine engine = OK(Engine::open(directory.path()));
        OK(engine.create_topic("t"));
        OK(OK(engine.partition("t", 0)).append(Record("kept")));
        things.emplace(engine);
    }
    things->all_answer(ErrorCode::Closed);
    CHECK(SOME(OK(things->records.next())).value() == "kept");
    CHECK(OK(things->ticket.wait()).first == 1);
    OK(things->completions.drain());
    things.reset();
    Engine engine = OK(Engine::open(directory.path()));
    CHECK(values(engine, "t") == "kept sent");
}

TEST("things that were moved from answer InvalidArgument, the new ones work") {
    Log log;
    Things from(log.engine);
    Things to = std::move(from);
    from.all_answer(ErrorCode::InvalidArgument);
    FAILS(from.records.next(), InvalidArgument);
    FAILS(from.records.count(), InvalidArgument);
    FAILS(from.ticket.wait(), InvalidArgument);
    FAILS(from.ticket.poll(), InvalidArgument);
    FAILS(from.completions.fd(), InvalidArgument);
    FAILS(from.completions.drain(), InvalidArgument);
    FAILS(from.completions.watch(OK(to.producer.send("t", Record("w"))), [](Result<Appended>) {}), InvalidArgument);
    FAILS(to.completions.watch(std::move(from.ticket), [](Result<Appended>) {}), InvalidArgument);
    FAILS(to.transactional.begin_transaction_for(from.consumer), InvalidArgument);
    OK(to.producer.flush());
    OK(to.ticket.wait());
    OK(to.transaction.commit());
    CHECK(OK(to.partition.bounds()).end == 3);
    from = std::move(to);
    OK(from.producer.flush());
    Engine moved = std::move(log.engine);
    FAILS(log.engine.create_topic("u"), InvalidArgument);
    OK(log.engine.close());
    OK(moved.create_topic("u"));
}

TEST("a thing that is moved onto itself is as it was") {
    Log log;
    Producer producer = OK(log.engine.producer());
    Producer &same = producer;
    producer = std::move(same);
    OK(OK(producer.send("t", Record("a"))).wait());
    Records records = OK(OK(log.engine.partition("t", 0)).read(0));
    Records &itself = records;
    records = std::move(itself);
    CHECK(SOME(OK(records.next())).value() == "a");
}

TEST("a transaction outlives its producer and its consumer") {
    Log log;
    OK(OK(log.engine.partition("t", 0)).append(Record("in")));
    std::optional<Consumer> consumer = OK(log.engine.consumer(ConsumerOptions().group("g")));
    OK(consumer->assign({{"t", 0}}));
    std::optional<TransactionalProducer> producer = OK(log.engine.transactional_producer("id"));
    Transaction transaction = OK(producer->begin_transaction_for(*consumer));
    OK(consumer->poll(1s));
    producer.reset();
    consumer.reset();
    OK(transaction.send("t", Record("out")));
    OK(transaction.commit());
    CHECK(values(log.engine, "t") == "in out");
    Consumer next = OK(log.engine.consumer(ConsumerOptions().group("g")));
    CHECK(OK(next.committed({"t", 0})) == std::optional<std::uint64_t>(1));
}

TEST("records outlive the consumer and the topic that they came from") {
    Log log;
    OK(OK(log.engine.partition("t", 0)).append(Record("kept").headers({{"h", "v"}})));
    std::optional<Consumer> consumer = OK(log.engine.consumer());
    OK(consumer->assign({{"t", 0}}));
    Records records = OK(consumer->poll(1s));
    consumer.reset();
    OK(log.engine.delete_topic("t"));
    OK(log.engine.close());
    RecordView record = SOME(OK(records.next()));
    CHECK(record.value() == "kept" && OK(record.headers())[0].value() == "v");
}

TEST("a ticket that goes away cancels nothing") {
    Log log;
    Producer producer = OK(log.engine.producer());
    { auto ticket = OK(producer.send("t", Record("sent"))); }
    OK(producer.flush());
    CHECK(values(log.engine, "t") == "sent");
}
