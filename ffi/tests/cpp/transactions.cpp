// Transactions: all or nothing, with records, offsets and positions.

#include "check.hpp"

TEST("a transaction is seen whole after its commit, and by nobody before") {
    Log log({"t", "u"});
    TransactionalProducer producer = OK(log.engine.transactional_producer("id"));
    Transaction transaction = OK(producer.begin_transaction());
    OK(transaction.send("t", Record("a")));
    OK(transaction.send_many("u", {Record("b"), Record("c")}));
    OK(transaction.send_many("u", Batch().add(Record("d"))));
    CHECK(values(log.engine, "t").empty() && values(log.engine, "u").empty());
    std::uint64_t number = OK(transaction.number());
    Committed committed = OK(transaction.commit());
    CHECK(committed.number == number && committed.lsn > 0 && committed.incarnation > 0);
    CHECK(values(log.engine, "t") == "a" && values(log.engine, "u") == "b c d");
    OK(log.engine.wait_durable(committed.lsn));
}

TEST("a transaction that is aborted, dropped or assigned over leaves nothing") {
    Log log;
    TransactionalProducer producer = OK(log.engine.transactional_producer("id"));
    Transaction transaction = OK(producer.begin_transaction());
    OK(transaction.send("t", Record("aborted")));
    OK(transaction.abort());
    {
        Transaction dropped = OK(producer.begin_transaction());
        OK(dropped.send("t", Record("dropped")));
    }
    Transaction over = OK(producer.begin_transaction());
    OK(over.send("t", Record("assigned over")));
    TransactionalProducer other = OK(log.engine.transactional_producer("other"));
    over = OK(other.begin_transaction());
    OK(OK(producer.begin_transaction()).commit());
    CHECK(values(log.engine, "t").empty());
}

TEST("a transaction that was used up answers Closed") {
    Log log;
    TransactionalProducer producer = OK(log.engine.transactional_producer("id"));
    for (bool commit : {true, false}) {
        Transaction transaction = OK(producer.begin_transaction());
        if (commit) OK(transaction.commit());
        if (!commit) OK(transaction.abort());
        FAILS(transaction.send("t", Record("late")), Closed);
        FAILS(transaction.number(), Closed);
        FAILS(transaction.commit(), Closed);
        FAILS(transaction.commit_ticket(), Closed);
        FAILS(transaction.abort(), Closed);
    }
}

TEST("one transaction of a producer is open at a time") {
    Log log;
    TransactionalProducer producer = OK(log.engine.transactional_producer("id"));
    Transaction first = OK(producer.begin_transaction());
    FAILS(producer.begin_transaction(), InvalidTransactionState);
    Ticket<Committed> ticket = OK(first.commit_ticket());
    Transaction second = OK(producer.begin_transaction());
    OK(second.send("t", Record("x")));
    OK(ticket.wait());
    OK(OK(second.commit_ticket()).wait());
    CHECK(values(log.engine, "t") == "x");
}

TEST("a newer holder of an id fences the one before, and its transaction") {
    Log log;
    TransactionalProducer old = OK(log.engine.transactional_producer("id"));
    Transaction transaction = OK(old.begin_transaction());
    OK(transaction.send("t", Record("late")));
    auto options = ProducerOptions().durability(Durability::Os);
    TransactionalProducer now = OK(log.engine.transactional_producer("id", options));
    auto late = transaction.commit();
    FAILS(late, ProducerFenced);
    CHECK(late.error().is_fatal());
    FAILS(old.begin_transaction(), ProducerFenced);
    OK(OK(now.begin_transaction()).abort());
    CHECK(values(log.engine, "t").empty());
}

TEST("a position moves with the commit alone, and only forward") {
    Log log;
    TransactionalProducer producer = OK(log.engine.transactional_producer("id"));
    CHECK(!OK(producer.position()));
    {
        Transaction dropped = OK(producer.begin_transaction());
        OK(dropped.send_position(5));
    }
    CHECK(!OK(producer.position()));
    Transaction transaction = OK(producer.begin_transaction());
    OK(transaction.send_position(7));
    OK(transaction.commit());
    CHECK(OK(producer.position()) == std::optional<std::uint64_t>(7));
    Transaction back = OK(producer.begin_transaction());
    FAILS(back.send_position(7), InvalidArgument);
}

TEST("sends that are refused leave the transaction as it was") {
    Log log;
    TransactionalProducer producer = OK(log.engine.transactional_producer("id"));
    Transaction transaction = OK(producer.begin_transaction());
    OK(transaction.send("t", Record("good")));
    FAILS(transaction.send("missing", Record("x")), UnknownTopicOrPartition);
    FAILS(transaction.send("t", Record("x").position(1)), InvalidArgument);
    FAILS(transaction.send("t", Record(std::string(3 << 20, 'x'))), RecordTooLarge);
    FAILS(transaction.send_offsets({"g"}, {{{"missing", 0}, 1}}), UnknownTopicOrPartition);
    FAILS(transaction.send_offsets({std::string("g\0h", 3)}, {{{"t", 0}, 1}}), InvalidArgument);
    // Past its buffer it goes on in the log, and is aborted there.
    for (int i = 0; i < 40; ++i) OK(transaction.send("t", Record(std::string(100'000, 'x'))));
    OK(transaction.abort());
    Transaction next = OK(producer.begin_transaction());
    OK(next.send("t", Record("good")));
    OK(next.commit());
    CHECK(values(log.engine, "t") == "good");
}

TEST("a record is added if that takes nothing but memory") {
    Log log;
    TransactionalProducer producer = OK(log.engine.transactional_producer("id"));
    Transaction transaction = OK(producer.begin_transaction());
    std::string large(600'000, 'x');
    CHECK(OK(transaction.try_send("t", Record(large))));
    CHECK(!OK(transaction.try_send("t", Record(large))) && OK(log.engine.describe_transactions()).empty());
    FAILS(transaction.try_send("missing", Record("x")), UnknownTopicOrPartition);
    OK(transaction.send("t", Record(large)));
    OK(transaction.commit());
    CHECK(OK(OK(log.engine.partition("t", 0)).bounds()).end == 2);
}

TEST("offsets are committed with the records, or not at all") {
    Log log;
    OK(OK(log.engine.partition("t", 0)).append({Record("a"), Record("b")}));
    Consumer consumer = OK(log.engine.consumer(ConsumerOptions().group("g")));
    GroupMetadata group = OK(consumer.group_metadata());
    CHECK(group.group == "g");
    TransactionalProducer producer = OK(log.engine.transactional_producer("id"));
    for (bool commit : {false, true}) {
        Transaction transaction = OK(producer.begin_transaction());
        OK(transaction.send_offsets(group, {{{"t", 0}, 2, "half way", 3}}));
        if (commit) OK(transaction.commit());
        if (!commit) OK(transaction.abort());
        CHECK(OK(consumer.committed({"t", 0})).has_value() == commit);
    }
    CHECK(OK(consumer.committed({"t", 0})) == std::optional<std::uint64_t>(2));
}

TEST("read, transform, write happens exactly once, whatever attempts are given up") {
    Log log({"in", "out"});
    Producer source = OK(log.engine.producer());
    for (int i = 0; i < 200; ++i) OK(source.send_detached("in", Record(std::to_string(i))));
    OK(source.flush());
    std::string expected;
    for (int i = 0; i < 200; ++i) expected += (i == 0 ? "" : " ") + std::to_string(i * 2);
    TopicPartition input = {"in", 0};
    int attempt = 0;
    for (bool done = false; !done;) {
        // Another life of the worker; the one before may have left a transaction open.
        Consumer consumer = OK(log.engine.consumer(ConsumerOptions().group("g").max_records(30)));
        OK(consumer.assign({input}));
        TransactionalProducer producer = OK(log.engine.transactional_producer("worker"));
        for (int round = 0; round < 2 && !done; ++round) {
            std::uint64_t before = OK(consumer.position(input));
            Transaction transaction = OK(producer.begin_transaction_for(consumer));
            Records records = OK(consumer.poll(1s));
            OK(records.each([&](RecordView record) {
                return transaction.send("out", Record(std::to_string(2 * std::stoi(record.value().str()))));
            }));
            FAILS(consumer.commit(), InvalidState);
            switch (attempt++ % 3) {
                case 0: OK(transaction.abort()); break;
                case 1: OK(transaction.commit()); break;
                default: { Transaction dropped = std::move(transaction); }
            }
            CHECK(OK(consumer.position(input)) == before + (attempt % 3 == 2 ? OK(records.count()) : 0));
            done = OK(consumer.lag(input)) == 0;
        }
    }
    CHECK(values(log.engine, "out") == expected);
}
