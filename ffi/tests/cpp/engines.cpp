// The engine: open, topics, levels, close.

#include "check.hpp"

TEST("a log is made, opened again, and says so") {
    Directory directory;
    Engine engine = OK(Engine::open(directory.path()));
    Opening first = OK(engine.opening());
    CHECK(first.created && first.cut_bytes == 0 && first.damage.empty());
    OK(engine.close());
    engine = OK(Engine::open(directory.path()));
    Opening second = OK(engine.opening());
    CHECK(!second.created && second.incarnation > first.incarnation);
    CHECK(second.loading > 0ns && second.frames_folded < 10 && second.bytes_folded < 10000);
}

TEST("a log that was not closed says how much it read when it was opened again") {
    Directory directory;
    std::string open = directory.path() + "/open", copy = directory.path() + "/copy";
    Engine engine = OK(Engine::open(open, EngineOptions().threads(false)));
    OK(engine.create_topic("t"));
    // As a crash would leave it: without threads nothing changes meanwhile.
    std::filesystem::copy(open, copy);
    Engine crashed = OK(Engine::open(copy));
    Opening opening = OK(crashed.opening());
    CHECK(opening.folding > 0ns && opening.frames_folded > 0 && opening.bytes_folded > opening.frames_folded);
}

TEST("a log has one writer at a time") {
    Log log;
    FAILS(Engine::open(log.directory.path()), Locked);
    OK(log.engine.close());
    OK(Engine::open(log.directory.path()));
}

TEST("assigning an engine closes the one before it") {
    Directory directory;
    Engine engine = OK(Engine::open(directory.path()));
    engine = OK(Engine::open(directory.path() + "/other"));
    OK(Engine::open(directory.path()));
}

TEST("a log opened for reading writes nothing") {
    Log log;
    OK(OK(log.engine.partition("t", 0)).append(Record("seen")));
    OK(log.engine.close());
    Engine reader = OK(Engine::open(log.directory.path(), EngineOptions().read_only(true).mappings(false)));
    CHECK(values(reader, "t") == "seen");
    FAILS(reader.create_topic("u"), ReadOnly);
    FAILS(OK(reader.partition("t", 0)).append(Record("no")), ReadOnly);
}

TEST("options out of range are refused") {
    Directory directory;
    FAILS(Engine::open(directory.path(), EngineOptions().segment_bytes(1)), InvalidArgument);
    FAILS(Engine::open(directory.path(), EngineOptions().durability(static_cast<Durability>(9))), InvalidArgument);
    Engine engine = OK(Engine::open(directory.path(), EngineOptions().durability(Durability::Os).flush_interval(5ms)));
    FAILS(engine.create_topic("t", TopicOptions().partitions(4'000'000'000u)), LimitExceeded);
    FAILS(engine.consumer(ConsumerOptions().start(static_cast<Start>(9))), InvalidArgument);
    FAILS(engine.consumer(ConsumerOptions().isolation(static_cast<Isolation>(9))), InvalidArgument);
}

TEST("topics are created, listed, widened and deleted") {
    Log log(NO_TOPICS);
    OK(log.engine.create_topic("b", TopicOptions().partitions(3).durability(Durability::Os)));
    OK(OK(log.engine.create_topic_ticket("a")).wait());
    auto topics = OK(log.engine.topics());
    CHECK(topics.size() == 2 && topics[0].name == "a" && topics[1].name == "b");
    CHECK(topics[0].partitions == 1 && topics[0].durability == Durability::Default);
    CHECK(topics[1].partitions == 3 && topics[1].durability == Durability::Os && topics[0].id != topics[1].id);
    OK(log.engine.create_topic("m", TopicOptions().durability(Durability::Memory)));
    CHECK(OK(log.engine.topics())[2].durability == Durability::Memory);
    OK(log.engine.delete_topic("m"));
    OK(log.engine.add_partitions("a", 2));
    OK(OK(log.engine.add_partitions_ticket("a", 4)).wait());
    OK(log.engine.partition("a", 3));
    FAILS(log.engine.partition("a", 4), UnknownTopicOrPartition);
    FAILS(log.engine.add_partitions("a", 4), InvalidArgument);
    OK(log.engine.delete_topic("b"));
    OK(OK(log.engine.delete_topic_ticket("a")).wait());
    FAILS(log.engine.delete_topic("a"), UnknownTopicOrPartition);
    CHECK(OK(log.engine.topics()).empty());
}

TEST("names that Kafka would refuse are refused") {
    Log log(NO_TOPICS);
    for (const char *name : {"", ".", "..", "a b", "\xc3\xa4", "\xff"}) {
        FAILS(log.engine.create_topic(name), InvalidArgument);
    }
    FAILS(log.engine.create_topic(std::string(250, 'x')), InvalidArgument);
}

TEST("durability is waited for by frame, and counted") {
    Log log({"t"}, EngineOptions().durability(Durability::Os));
    Appended appended = OK(OK(log.engine.partition("t", 0)).append(Record("x")));
    Metrics before = OK(log.engine.metrics());
    OK(log.engine.wait_durable(appended.lsn));
    OK(OK(log.engine.wait_durable_ticket(appended.lsn)).wait());
    OK(log.engine.flush());
    OK(OK(log.engine.flush_ticket()).wait());
    OK(log.engine.drive());
    Metrics after = OK(log.engine.metrics());
    CHECK(after.flush_nanos.count > 0 && after.flush_nanos.count >= before.flush_nanos.count);
    CHECK(after.group_frames.count > 0 && after.group_frames.sum >= after.group_frames.count);
    FAILS(log.engine.wait_durable(appended.lsn + 1000), InvalidArgument);
}

TEST("what is counted is told as numbers and as text") {
    Log log({"t"});
    Consumer consumer = OK(log.engine.consumer(ConsumerOptions().group("a \"group\"")));
    OK(consumer.assign({{"t", 0}}));
    OK(OK(OK(log.engine.producer()).send("t", Record("x"))).wait());
    OK(log.engine.flush());
    CHECK(OK(consumer.position({"t", 0})) == 0);
    Metrics metrics = OK(log.engine.metrics());
    CHECK(metrics.appends == 1 && metrics.records == 1 && metrics.bytes > 100 && metrics.poisoned == 0);
    CHECK(metrics.segments == 1 && metrics.disk_live > 0 && metrics.disk_used >= metrics.disk_live);
    auto lags = OK(log.engine.consumer_lags());
    CHECK((lags.size() == 1 && lags[0].group == "a \"group\"" && lags[0].partition == TopicPartition{"t", 0}));
    CHECK(lags[0].position == 0 && lags[0].lag == 1);
    CHECK(metrics.flush_nanos.bounds[0] == 50000 && metrics.flush_nanos.bounds[15] == 5000000000);
    std::uint64_t median = SOME(OK(quantile(metrics.group_frames, 0.5)));
    CHECK(median >= 1 && median <= SOME(OK(quantile(metrics.group_frames, 1))) && !OK(quantile(Histogram(), 0.5)));
    std::string text = OK(log.engine.openmetrics());
    CHECK(text.find("\noncelog_records_total 1\n") != text.npos);
    CHECK(text.find("{group=\"a \\\"group\\\"\",topic=\"t\",partition=\"0\"} 1\n") != text.npos);
    CHECK(text.size() > 6 && text.substr(text.size() - 6) == "# EOF\n");
}

TEST("an identity is issued, raised, and fenced") {
    Log log;
    Identity plain = OK(log.engine.init_producer());
    Identity first = OK(log.engine.init_producer("id", 1min));
    Identity second = OK(log.engine.init_producer("id", 1min, first));
    CHECK(plain.producer_id != first.producer_id && second.producer_id == first.producer_id);
    CHECK(second.epoch == first.epoch + 1);
    OK(log.engine.init_producer("id", 1min));
    FAILS(log.engine.init_producer("id", 1min, first), ProducerFenced);
}

TEST("a closed engine answers Closed, and closes once") {
    Log log;
    OK(log.engine.close());
    FAILS(log.engine.close(), Closed);
    FAILS(log.engine.create_topic("u"), Closed);
    FAILS(log.engine.topics(), Closed);
    FAILS(log.engine.opening(), Closed);
    FAILS(log.engine.metrics(), Closed);
    FAILS(log.engine.openmetrics(), Closed);
    FAILS(log.engine.completions(), Closed);
}

TEST("a path that is no directory is refused") {
    Directory directory;
    std::string file = directory.path() + "/file";
    std::fclose(std::fopen(file.c_str(), "w"));
    auto result = Engine::open(file);
    CHECK(!result && result.error() != ErrorCode::Internal && result.error() != ErrorCode::Panic);
}
