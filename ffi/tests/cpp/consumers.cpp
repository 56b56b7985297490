// Consumers: assignment, positions, commits.

#include "check.hpp"

static const TopicPartition HERE = {"t", 0};

/// The values of one poll.
static std::string polled(const Consumer &consumer, std::chrono::milliseconds time = 0ms) {
    std::string all;
    Records records = OK(consumer.poll(time));
    OK(records.each([&](RecordView record) { all += record.value().text(); }));
    return all;
}

static void fill(const Engine &engine, const char *each, const char *topic = "t") {
    Partition partition = OK(engine.partition(topic, 0));
    for (; *each != 0; ++each) OK(partition.append(Record(Bytes(each, 1))));
}

TEST("a group goes on where it has committed") {
    Log log;
    fill(log.engine, "abcde");
    {
        Consumer consumer = OK(log.engine.consumer(ConsumerOptions().group("g").max_records(2)));
        OK(consumer.assign({HERE}));
        CHECK(polled(consumer) == "ab" && !OK(consumer.committed(HERE)));
        OK(consumer.commit());
        CHECK(polled(consumer) == "cd" && OK(consumer.lag(HERE)) == 1 && OK(consumer.position(HERE)) == 4);
    }
    Consumer consumer = OK(log.engine.consumer(ConsumerOptions().group("g")));
    OK(consumer.assign({HERE}));
    CHECK(OK(consumer.position(HERE)) == 2 && polled(consumer) == "cde" && polled(consumer).empty());
    OK(OK(consumer.commit_ticket()).wait());
    CHECK(OK(consumer.committed(HERE)) == std::optional<std::uint64_t>(5));
}

TEST("where a group stands is told without waiting, and once it is safe") {
    Log log({}, EngineOptions().threads(false));
    OK(log.engine.create_topic("t"));
    fill(log.engine, "abcde");
    Consumer first = OK(log.engine.consumer(ConsumerOptions().group("g").max_records(3)));
    FAILS(first.settle_ticket(), InvalidState);
    OK(first.assign({HERE}));
    CHECK(!OK(OK(first.committed_ticket(HERE)).wait()));
    CHECK(polled(first) == "abc");
    OK(first.commit_ticket()).detach();
    Consumer consumer = OK(log.engine.consumer(ConsumerOptions().group("g")));
    OK(consumer.assign({HERE}));
    Ticket<void> settled = OK(consumer.settle_ticket());
    Ticket<std::optional<std::uint64_t>> committed = OK(consumer.committed_ticket(HERE));
    Ticket<std::uint64_t> position = OK(consumer.position_ticket(HERE)), lag = OK(consumer.lag_ticket(HERE));
    CHECK(!OK(settled.poll()) && !OK(position.poll()));
    OK(settled.wait());
    CHECK(OK(position.poll()) && OK(position.wait()) == 3 && OK(lag.wait()) == 2);
    CHECK(OK(committed.wait()) == std::optional<std::uint64_t>(3) && polled(consumer) == "de");
}

TEST("what was polled says where each of its partitions is read on") {
    Log log({"t", "u", "v"});
    fill(log.engine, "abc");
    fill(log.engine, "de", "v");
    Consumer consumer = OK(log.engine.consumer(ConsumerOptions().group("g")));
    OK(consumer.assign({HERE, {"u", 0}, {"v", 0}}));
    Records records = OK(consumer.poll(1s));
    std::map<TopicPartition, std::uint64_t> next;
    for (const Offset &offset : OK(records.next_offsets())) next[offset.partition] = offset.offset;
    CHECK(next.size() == 2 && next.at(HERE) == 3 && (next.at({"v", 0}) == 2));
    OK(consumer.commit_offsets(OK(records.next_offsets())));
    CHECK(OK(consumer.committed(HERE)) == std::optional<std::uint64_t>(3));
    // Of a read that found nothing, where it was to begin.
    auto none = OK(OK(OK(log.engine.partition("v", 0)).read(2)).next_offsets());
    CHECK(none.size() == 1 && none[0].offset == 2 && !none[0].leader_epoch && none[0].metadata.empty());
    Records moved = std::move(records);
    FAILS(records.next_offsets(), InvalidArgument);
}

TEST("what is done of a poll can be committed without the rest") {
    Log log;
    fill(log.engine, "abcde");
    Consumer consumer = OK(log.engine.consumer(ConsumerOptions().group("g")));
    OK(consumer.assign({HERE}));
    for (RecordView record : OK(consumer.poll(1s))) {
        if (record.value() == "c") break;
        OK(consumer.commit_offsets({{HERE, record.offset() + 1}}));
    }
    CHECK(OK(consumer.committed(HERE)) == std::optional<std::uint64_t>(2) && OK(consumer.position(HERE)) == 5);
    OK(consumer.rewind());
    CHECK(polled(consumer) == "cde");
}

TEST("what was stored beside an offset comes back") {
    Log log({"t", "u"});
    Consumer consumer = OK(log.engine.consumer(ConsumerOptions().group("g")));
    CHECK(OK(consumer.committed_offsets({HERE})).empty());
    OK(consumer.commit_offsets({{HERE, 1, "page 3", 7}, {{"u", 0}, 4}}));
    auto offsets = OK(consumer.committed_offsets({{"u", 0}, HERE}));
    CHECK(offsets.size() == 2 && offsets[0].partition == HERE && offsets[1].offset == 4);
    CHECK(offsets[0].offset == 1 && offsets[0].metadata == "page 3" && offsets[0].leader_epoch == 7);
    CHECK(offsets[1].metadata.empty() && !offsets[1].leader_epoch);
    auto ticket = OK(consumer.committed_offsets_ticket({HERE}));
    CHECK(OK(ticket.wait()).size() == 1);
    FAILS(consumer.committed_offsets({HERE, {"t", 1}}), UnknownTopicOrPartition);
}

TEST("positions are sought, told and taken back") {
    Log log({"t", "u"});
    fill(log.engine, "abc");
    fill(log.engine, "xyz", "u");
    Consumer consumer = OK(log.engine.consumer(ConsumerOptions().group("g")));
    OK(consumer.assign({HERE, {"u", 0}}));
    OK(consumer.seek(HERE, 2));
    OK(consumer.seek({"u", 0}, 3));
    CHECK(polled(consumer) == "c");
    auto positions = OK(consumer.positions());
    CHECK(positions.size() == 2 && positions[0].partition == HERE && positions[0].offset == 3);
    CHECK(positions[1].partition != HERE && HERE < positions[1].partition && positions[1].offset == 3);
    FAILS(consumer.seek(HERE, 4), OffsetOutOfRange);
    OK(OK(consumer.commit_offsets_ticket(positions)).wait());
    CHECK(OK(consumer.committed({"u", 0})) == std::optional<std::uint64_t>(3));
    Bounds bounds = OK(consumer.bounds({"u", 0}));
    CHECK(bounds.start == 0 && bounds.end == 3);
}

TEST("a consumer begins where its start rule says") {
    Log log;
    fill(log.engine, "ab");
    Consumer latest = OK(log.engine.consumer(ConsumerOptions().start(Start::Latest)));
    OK(latest.assign({HERE}));
    CHECK(polled(latest).empty());
    fill(log.engine, "c");
    CHECK(polled(latest, 1s) == "c");
    Consumer none = OK(log.engine.consumer(ConsumerOptions().start(Start::None)));
    OK(none.assign({HERE}));
    FAILS(none.poll(0ms), OffsetOutOfRange);
    OK(none.seek(HERE, 1));
    CHECK(polled(none) == "bc");
}

TEST("offsets keep their text and their epoch") {
    Log log;
    fill(log.engine, "ab");
    Consumer consumer = OK(log.engine.consumer(ConsumerOptions().group("g")));
    std::vector<Offset> offsets = {{HERE, 1, "a note", 4}};
    OK(consumer.commit_offsets(offsets));
    CHECK(OK(consumer.committed(HERE)) == std::optional<std::uint64_t>(1));
    offsets[0].metadata = std::string(5000, 'x');
    FAILS(consumer.commit_offsets(offsets), LimitExceeded);
    offsets[0].metadata = std::string("a\0b", 3);
    FAILS(consumer.commit_offsets(offsets), InvalidArgument);
    FAILS(consumer.commit_offsets({{{"missing", 0}, 1}}), UnknownTopicOrPartition);
    CHECK(OK(consumer.committed(HERE)) == std::optional<std::uint64_t>(1));
}

TEST("calls that do not fit are refused") {
    Log log;
    Consumer consumer = OK(log.engine.consumer());
    FAILS(consumer.poll(0ms), InvalidState);
    FAILS(consumer.assign({}), InvalidArgument);
    FAILS(consumer.assign({HERE, HERE}), InvalidArgument);
    FAILS(consumer.assign({{"missing", 0}}), UnknownTopicOrPartition);
    FAILS(consumer.assign({{std::string("t\0", 2), 0}}), InvalidArgument);
    FAILS(consumer.position(HERE), InvalidState);
    FAILS(consumer.lag(HERE), InvalidState);
    FAILS(consumer.seek(HERE, 0), InvalidState);
    OK(consumer.assign({HERE}));
    FAILS(consumer.commit(), InvalidArgument);
    FAILS(consumer.commit_ticket(), InvalidArgument);
    FAILS(consumer.committed(HERE), InvalidArgument);
    FAILS(consumer.group_metadata(), InvalidArgument);
    FAILS(consumer.bounds({"missing", 0}), UnknownTopicOrPartition);
    TransactionalProducer producer = OK(log.engine.transactional_producer("id"));
    FAILS(producer.begin_transaction_for(consumer), InvalidArgument);
    OK(log.engine.delete_topic("t"));
    FAILS(consumer.poll(0ms), UnknownTopicOrPartition);
}
