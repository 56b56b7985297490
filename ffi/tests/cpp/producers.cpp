// Producers, named producers and tickets.

#include "check.hpp"

TEST("what is sent is there when its ticket is done") {
    Log log;
    Producer producer = OK(log.engine.producer());
    Ticket<Appended> ticket = OK(producer.send("t", Record("a").key("k").headers({{"h", "1"}})));
    Appended appended = OK(ticket.wait());
    CHECK(appended.first == 0 && appended.partition == 0 && appended.incarnation > 0);
    CHECK(OK(ticket.wait()).lsn == appended.lsn && OK(ticket.poll()) && OK(ticket.wait_for(0ms)));
    CHECK(values(log.engine, "t") == "a" && !OK(producer.position()));
}

TEST("a ticket that is asked writes nothing, one that is waited for closes its batch") {
    Log log;
    Producer producer = OK(log.engine.producer(ProducerOptions().linger(1h)));
    Ticket<Appended> ticket = OK(producer.send("t", Record("a")));
    CHECK(!OK(ticket.poll()) && OK(OK(log.engine.partition("t", 0)).bounds()).end == 0);
    CHECK(OK(ticket.wait_for(1h)));
    CHECK(OK(ticket.wait()).first == 0);
}

TEST("a ticket names the frame that it waits for, and closes its batch to know it") {
    Log log;
    Producer producer = OK(log.engine.producer(ProducerOptions().linger(1h)));
    Ticket<Appended> ticket = OK(producer.send("t", Record("a")));
    std::uint64_t lsn = SOME(OK(ticket.lsn()));
    OK(log.engine.wait_durable(lsn));
    CHECK(OK(ticket.poll()) && OK(ticket.wait()).lsn == lsn && OK(ticket.lsn()) == std::optional(lsn));
    Ticket<void> flushed = OK(log.engine.flush_ticket());
    OK(flushed.wait());
    CHECK(SOME(OK(flushed.lsn())) >= lsn);
    auto none = OK(producer.send_many("t", Batch()));
    CHECK(!OK(none.lsn()));
    Ticket<Appended> moved = std::move(ticket);
    FAILS(ticket.lsn(), InvalidArgument);
}

TEST("a linger longer than C can say is the longest, not none") {
    Log log({}, EngineOptions().threads(false).durability(Durability::Os));
    OK(log.engine.create_topic("t"));
    for (auto linger : {std::chrono::milliseconds(0), std::chrono::milliseconds::max()}) {
        Producer producer = OK(log.engine.producer(ProducerOptions().linger(linger)));
        Ticket<Appended> ticket = OK(producer.send("t", Record("a")));
        OK(log.engine.drive());
        CHECK(OK(ticket.poll()) == (linger == 0ms));
    }
}

TEST("records sent in threes get three answers") {
    Log log;
    Producer producer = OK(log.engine.producer());
    auto ticket = OK(producer.send_many("t", {Record("a"), Record("b"), Record("c")}));
    auto all = OK(ticket.wait());
    CHECK(all.size() == 3 && all[0].first == 0 && all[2].last == 2);
    std::vector<Record> vector = {Record("d")};
    CHECK(OK(OK(producer.send_many("t", vector)).wait()).size() == 1);
    CHECK(OK(OK(producer.send_many("t", Batch().add(Record("e")))).wait()).at(0).first == 4);
    auto none = producer.send_many("t", Batch());
    CHECK(!none || OK(none->wait()).empty());
}

TEST("sends without a ticket are waited for by a flush") {
    Log log;
    Producer producer = OK(log.engine.producer(ProducerOptions().linger(1h)));
    OK(producer.send_detached("t", Record("a")));
    OK(producer.send_many_detached("t", {Record("b"), Record("c")}));
    OK(producer.send_many_detached("t", Batch().add(Record("d"))));
    OK(producer.send("t", Record("e"))).detach();
    OK(producer.flush());
    CHECK(values(log.engine, "t") == "a b c d e");
    OK(producer.send_detached("t", Record("f")));
    OK(OK(producer.flush_ticket()).wait());
    CHECK(values(log.engine, "t") == "a b c d e f");
}

TEST("a producer that goes away lets what it has gathered into the log") {
    Log log;
    {
        Producer producer = OK(log.engine.producer(ProducerOptions().linger(1h)));
        (void)OK(producer.send("t", Record("kept")));
    }
    OK(log.engine.flush());
    CHECK(values(log.engine, "t") == "kept");
}

TEST("a send that takes no waiting is made, or nothing is sent") {
    Log log;
    Producer producer = OK(log.engine.producer());
    CHECK(OK(log.engine.has_room(1000)));
    // None where the engine's own thread looks at the producer right then: asked again, as an event loop would.
    std::optional<Ticket<Appended>> ticket;
    while (!ticket) ticket = OK(producer.try_send("t", Record("a")));
    CHECK(OK(ticket->wait()).first == 0);
    auto missing = producer.try_send("missing", Record("a"));
    while (missing.ok() && !*missing) missing = producer.try_send("missing", Record("a"));
    FAILS(missing, UnknownTopicOrPartition);
    // Faster than the disk: sooner or later there may be no room. What was said to be sent is there, and nothing else.
    std::string large(200'000, 'x');
    std::uint64_t sent = 1;
    while (sent < 200 && OK(producer.try_send("t", Record(large)))) ++sent;
    OK(producer.flush());
    CHECK(OK(OK(log.engine.partition("t", 0)).bounds()).end == sent);
}

TEST("of many as many are sent as take no waiting, and it is said why no more are") {
    Log log;
    Producer producer = OK(log.engine.producer());
    Batch batch;
    for (const char *value : {"a", "b", "c", "d"}) batch.add(Record(value));
    batch.add(Record("e").partition(9)).add(Record("f"));
    std::vector<Appended> all;
    std::optional<Error> refused;
    while (!refused) {
        SentMany sent = OK(producer.try_send_many("t", batch, all.size()));
        for (const Appended &appended : OK(sent.ticket.wait())) all.push_back(appended);
        refused = sent.refused;
    }
    CHECK(all.size() == 4 && all[3].first == 3 && *refused == ErrorCode::UnknownTopicOrPartition);
    SentMany none = OK(producer.try_send_many("t", batch, 99));
    CHECK(none.sent == 0 && !none.refused && OK(none.ticket.wait()).empty());
    std::size_t sent = 0;
    while (sent == 0) sent = OK(producer.try_send_many("t", {Record("g"), Record("h")})).sent;
    OK(producer.flush());
    CHECK(sent == 2 && values(log.engine, "t") == "a b c d g h");
    FAILS(producer.try_send_many("t", {Record("x"), Record("y").headers({{"\xff", "v"}})}), InvalidArgument);
    OK(log.engine.close());
    FAILS(producer.try_send_many("t", batch), Closed);
}

TEST("options say to C what was asked for") {
    CHECK(ProducerOptions().linger(0ms).c().linger_ms == ONCELOG_LINGER_NONE);
    CHECK(ProducerOptions().linger(7ms).c().linger_ms == 7 && ProducerOptions().c().linger_ms == 0);
    CHECK(ProducerOptions().c().name == nullptr && *ProducerOptions().name("").c().name == 0);
    CHECK(EngineOptions().threads(false).c().threads == ONCELOG_NO && EngineOptions().c().threads == ONCELOG_DEFAULT);
    CHECK(EngineOptions().read_only(true).accept_loss(true).c().accept_loss == ONCELOG_YES);
    CHECK(ConsumerOptions().max_bytes(5).max_records(6).c().max_records == 6);
}

TEST("a key keeps its partition, and a record may name one") {
    Log log(NO_TOPICS);
    OK(log.engine.create_topic("wide", TopicOptions().partitions(8)));
    Producer producer = OK(log.engine.producer(ProducerOptions().linger(0ms).batch_bytes(1)));
    auto first = OK(OK(producer.send("wide", Record("a").key("k"))).wait()).partition;
    CHECK(OK(OK(producer.send("wide", Record("b").key("k"))).wait()).partition == first);
    CHECK(OK(OK(producer.send("wide", Record("c").key("k").partition(5))).wait()).partition == 5);
    CHECK(OK(OK(producer.send("wide", Record::tombstone("k"))).wait()).partition == first);
    FAILS(producer.send("wide", Record("d").partition(8)), UnknownTopicOrPartition);
}

TEST("a named producer resumes where the log stands, and writes nothing twice") {
    Log log;
    auto load = [&](std::uint64_t to) {
        Producer producer = OK(log.engine.producer(ProducerOptions().name("loader")));
        std::uint64_t before = OK(producer.position()).value_or(0);
        int duplicates = 0;
        for (std::uint64_t line = 1; line <= to; ++line) {
            std::string value = std::to_string(line);
            duplicates += OK(OK(producer.send("t", Record(value).position(line))).wait()).duplicate ? 1 : 0;
        }
        CHECK(static_cast<std::uint64_t>(duplicates) == before && OK(producer.position()) == std::optional(to));
    };
    load(3);
    OK(log.engine.close());
    log.engine = OK(Engine::open(log.directory.path()));
    load(5);
    CHECK(values(log.engine, "t") == "1 2 3 4 5");
}

TEST("a newer holder of a name fences the one before") {
    Log log;
    Producer old = OK(log.engine.producer(ProducerOptions().name("n")));
    Producer now = OK(OK(log.engine.producer_ticket(ProducerOptions().name("n"))).wait());
    auto late = old.send("t", Record("late").position(1));
    if (late) FAILS(late->wait(), ProducerFenced);
    if (!late) CHECK(late.error() == ErrorCode::ProducerFenced && late.error().is_fatal());
    OK(OK(now.send("t", Record("x").position(1))).wait());
    CHECK(values(log.engine, "t") == "x");
    OK(log.engine.delete_producer("n"));
    FAILS(log.engine.delete_producer("n"), UnknownTransactionalId);
    auto gone = log.engine.delete_producer_ticket("n");
    CHECK(!gone || !gone->wait());
}

TEST("a producer is answered once by its ticket") {
    Log log;
    auto ticket = OK(log.engine.producer_ticket());
    Producer producer = OK(ticket.wait());
    FAILS(ticket.wait(), InvalidState);
    OK(OK(producer.send("t", Record("a"))).wait());
    auto other = OK(log.engine.transactional_producer_ticket("id"));
    TransactionalProducer transactional = OK(other.wait());
    FAILS(other.wait(), InvalidState);
    OK(OK(transactional.begin_transaction()).commit());
}

TEST("sends that are malformed are refused and send nothing") {
    Log log;
    Producer producer = OK(log.engine.producer());
    FAILS(producer.send("missing", Record("x")), UnknownTopicOrPartition);
    FAILS(producer.send(nullptr, Record("x")), InvalidArgument);
    FAILS(producer.send("t", Record("x").position(1)), InvalidArgument);
    FAILS(producer.send("t", Record("x").timestamp(-7)), InvalidRecord);
    FAILS(producer.send("t", Record(std::string(3 << 20, 'x'))), RecordTooLarge);
    FAILS(producer.send("t", Record("x").headers({{"\xff", "v"}})), InvalidArgument);
    FAILS(producer.send("t", Record("x").headers({{nullptr, "v"}})), InvalidArgument);
    Producer named = OK(log.engine.producer(ProducerOptions().name("n")));
    FAILS(named.send("t", Record("x")), InvalidArgument);
    OK(producer.flush());
    CHECK(values(log.engine, "t").empty());
}

TEST("an engine without threads does its work when it is driven or waited for") {
    Log log({"t"}, EngineOptions().threads(false));
    Producer producer = OK(log.engine.producer());
    Ticket<Appended> first = OK(producer.send("t", Record("a")));
    while (!OK(first.poll())) OK(log.engine.drive());
    OK(OK(producer.send("t", Record("b"))).wait());
    CHECK(values(log.engine, "t") == "a b");
}
