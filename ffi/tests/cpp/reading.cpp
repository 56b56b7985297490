// What readers see: isolation, visibility, times, places, codecs.

#include "check.hpp"

/// How many records a read from the start finds.
static std::size_t seen(const Partition &partition, const ReadOptions &options = {}) {
    std::size_t count = 0;
    Records records = OK(partition.read(0, options));
    OK(records.each([&](RecordView) { ++count; }));
    return count;
}

TEST("a transaction that streams is seen at ReadUncommitted alone, by reads and by polls") {
    Log log;
    Partition partition = OK(log.engine.partition("t", 0));
    OK(partition.append(Record("before").timestamp(0)));
    auto producer = OK(log.engine.transactional_producer("id", ProducerOptions().transaction_buffer(1)));
    Transaction transaction = OK(producer.begin_transaction());
    OK(transaction.send("t", Record("open")));
    OK(log.engine.flush());
    for (Isolation isolation : {Isolation::ReadUncommitted, Isolation::ReadCommitted}) {
        std::size_t expected = isolation == Isolation::ReadUncommitted ? 2 : 1;
        CHECK(seen(partition, ReadOptions().isolation(isolation)) == expected);
        Consumer consumer = OK(log.engine.consumer(ConsumerOptions().isolation(isolation)));
        OK(consumer.assign({{"t", 0}}));
        CHECK(OK(OK(consumer.poll(0ms)).count()) == expected);
        CHECK(OK(consumer.lag({"t", 0})) == 0);
        CHECK(SOME(OK(partition.max_timestamp(isolation))).offset == expected - 1);
        CHECK(OK(partition.offset_at(1, isolation)).has_value() == (expected == 2));
    }
    FAILS(partition.offset_at(0, static_cast<Isolation>(3)), InvalidArgument);
    OK(transaction.abort());
    CHECK(seen(partition) == 1);
}

TEST("what is not durable can be kept from readers") {
    for (Visibility visibility : {Visibility::Level, Visibility::Durable}) {
        auto options = EngineOptions().durability(Durability::Os).threads(false).flush_interval(1h);
        Log log({"t"}, options.visibility(visibility));
        Partition partition = OK(log.engine.partition("t", 0));
        OK(partition.append(Record("a")));
        CHECK(seen(partition) == (visibility == Visibility::Level ? 1u : 0u));
        OK(log.engine.flush());
        CHECK(seen(partition) == 1);
    }
    Directory directory;
    FAILS(Engine::open(directory.path(), EngineOptions().visibility(static_cast<Visibility>(9))), InvalidArgument);
}

TEST("records are found by their time") {
    Log log;
    Partition partition = OK(log.engine.partition("t", 0));
    CHECK(!OK(partition.offset_at(0)) && !OK(partition.max_timestamp()));
    OK(partition.append({Record("a").timestamp(1000), Record("b").timestamp(3000), Record("c").timestamp(3000)}));
    CHECK(OK(partition.offset_at(1001)) == std::optional<std::uint64_t>(1));
    CHECK(!OK(partition.offset_at(3001)));
    TimestampedOffset greatest = SOME(OK(partition.max_timestamp()));
    CHECK(greatest.offset == 1 && greatest.timestamp == 3000);
    FAILS(partition.offset_at(-1), InvalidArgument);
    OK(log.engine.close());
    FAILS(partition.offset_at(0), Closed);
    FAILS(partition.max_timestamp(), Closed);
}

TEST("a topic may keep the time of the append") {
    Log log;
    OK(log.engine.create_topic("u", TopicOptions().timestamp_type(TimestampType::LogAppendTime)));
    auto topics = OK(log.engine.topics());
    CHECK(topics[0].timestamp_type == TimestampType::CreateTime);
    CHECK(topics[1].timestamp_type == TimestampType::LogAppendTime);
    Partition partition = OK(log.engine.partition("u", 0));
    Appended appended = OK(partition.append(Record("a").timestamp(1)));
    Records records = OK(partition.read(0));
    CHECK(SOME(OK(records.next())).timestamp() == appended.timestamp && appended.timestamp > 1'600'000'000'000);
    auto unknown = TopicOptions().timestamp_type(static_cast<TimestampType>(9));
    FAILS(log.engine.create_topic("w", unknown), InvalidArgument);
}

TEST("a place outlives a life of the log, and is refused where it cannot be trusted") {
    Log log;
    OK(OK(log.engine.partition("t", 0)).append({Record("a"), Record("b")}));
    Records records = OK(OK(log.engine.partition("t", 0)).read(0));
    Place place = SOME(OK(records.next_place("t", 0)));
    CHECK(place.offset == 2 && place.lsn > 0 && place.incarnation > 0 && !OK(records.next_place("t", 1)));
    ReadOptions options = ReadOptions().from(place);
    OK(log.engine.close());
    Engine again = OK(Engine::open(log.directory.path()));
    Partition partition = OK(again.partition("t", 0));
    OK(partition.append(Record("c")));
    // Options that are copied point to their own place.
    ReadOptions copied = options;
    options.from({});
    Records more = OK(partition.read(2, copied));
    CHECK(SOME(OK(more.next())).value() == "c");
    FAILS(partition.read(1, copied), InvalidArgument);
    place.incarnation += 100;
    FAILS(partition.read(2, ReadOptions().from(place)), Truncated);
}

TEST("records say how many bytes they hold") {
    Log log;
    Partition partition = OK(log.engine.partition("t", 0));
    OK(partition.append(Record(std::string(1000, 'x'))));
    Records records = OK(partition.read(0));
    std::size_t bytes = OK(records.bytes());
    CHECK(bytes > 1000 && bytes < 1300 && OK(OK(partition.read(1)).bytes()) == 0);
    OK(partition.append(Record(std::string(100'000, 'x')), AppendOptions().compression(Compression::Zstd)));
    std::size_t both = OK(OK(partition.read(0)).bytes());
    CHECK(both > bytes && both < 2 * bytes && OK(records.bytes()) == bytes);
    Records moved = std::move(records);
    FAILS(records.bytes(), InvalidArgument);
}

TEST("batches are compressed as asked") {
    Log log;
    Partition partition = OK(log.engine.partition("t", 0));
    Batch batch;
    for (int i = 0; i < 50; ++i) batch.add(Record("a value that says the same as all the other ones"));
    auto written = [&] { return OK(log.engine.metrics()).bytes; };
    std::uint64_t plain[2] = {};
    using C = Compression;
    for (C codec : {C::None, C::Gzip, C::Snappy, C::Lz4, C::Zstd}) {
        std::uint64_t before = written();
        OK(partition.append(batch, AppendOptions().compression(codec)));
        std::uint64_t between = written();
        Producer producer = OK(log.engine.producer(ProducerOptions().compression(codec)));
        OK(OK(producer.send_many("t", batch)).wait());
        std::uint64_t took[2] = {between - before, written() - between};
        for (int i = 0; i < 2; ++i) {
            if (codec == C::None) plain[i] = took[i];
            if (codec != C::None) CHECK(took[i] < plain[i] / 2);
        }
    }
    CHECK(seen(partition) == 500);
    for (C codec : {C::None, C::Gzip, C::Snappy, C::Lz4, C::Zstd}) CHECK(OK(compression_is_available(codec)));
    auto unknown = static_cast<Compression>(5);
    FAILS(compression_is_available(unknown), InvalidArgument);
    FAILS(partition.append(batch, AppendOptions().compression(unknown)), InvalidArgument);
    FAILS(log.engine.producer(ProducerOptions().compression(unknown)), InvalidArgument);
}
