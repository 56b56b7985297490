// Appending to a partition, and reading it back.

#include <algorithm>
#include <iterator>

#include "check.hpp"
#include "damage.hpp"

#if defined(__cpp_lib_ranges)
#include <ranges>
static_assert(std::input_iterator<Records::Iterator> && std::ranges::input_range<Records>);
static_assert(std::input_iterator<Headers::Iterator> && std::ranges::input_range<Headers>);
#endif

TEST("what is appended is read back, byte for byte") {
    Log log;
    Partition partition = OK(log.engine.partition("t", 0));
    CHECK(std::string(OK(partition.topic())) == "t" && OK(partition.number()) == 0);
    std::string value("a\0\xff", 3);
    Appended appended = OK(partition.append(Record(value).key("").timestamp(1234)));
    CHECK(appended.first == 0 && appended.last == 0 && appended.timestamp == 1234 && !appended.duplicate);
    OK(partition.append(Record::tombstone("gone")));
    OK(partition.append(Record("").timestamp(-1)));
    Records records = OK(partition.read(0));
    auto first = SOME(OK(records.next()));
    CHECK(first.value() == value && first.key() == "" && !first.key().is_null() && first.timestamp() == 1234);
    CHECK(std::string(first.topic()) == "t" && first.partition() == 0 && first.offset() == 0);
    auto second = SOME(OK(records.next()));
    CHECK(second.value().is_null() && second.key() == "gone" && second.timestamp() > 1'600'000'000'000);
    auto third = SOME(OK(records.next()));
    CHECK(third.value().empty() && !third.value().is_null() && third.key().is_null() && third.timestamp() == -1);
    CHECK(!OK(records.next()) && !OK(records.next()));
    Bounds bounds = OK(partition.bounds());
    CHECK(bounds.start == 0 && bounds.stable == 3 && bounds.end == 3);
}

TEST("records come in any shape: one, an array, a vector, a list, a batch") {
    Log log;
    Partition partition = OK(log.engine.partition("t", 0));
    Record array[] = {Record("b"), Record("c")};
    std::vector<Record> vector = {Record("d"), Record("e")};
    OK(partition.append(Record("a")));
    CHECK(OK(partition.append(array)).last == 2);
    CHECK(OK(partition.append(vector)).last == 4);
    CHECK(OK(partition.append({Record("f"), Record("g")})).last == 6);
    CHECK(OK(OK(partition.append_ticket(Batch().add(Record("h")).add(Record("i")))).wait()).first == 7);
    CHECK(OK(OK(partition.append_ticket(vector)).wait()).last == 10);
    CHECK(OK(OK(partition.append_ticket(Record("j"), AppendOptions().durability(Durability::Os))).wait()).last == 11);
    // Acknowledged at level os, seen at the level of the topic.
    OK(log.engine.flush());
    CHECK(values(log.engine, "t") == "a b c d e f g h i d e j");
}

TEST("a batch owns its bytes and may be used again") {
    Log log;
    Partition partition = OK(log.engine.partition("t", 0));
    Batch batch;
    batch.reserve(500);
    for (int round = 0; round < 3; ++round) {
        for (int i = 0; i < 500; ++i) {
            std::string value = std::to_string(i) + std::string(static_cast<std::size_t>(i), 'v');
            std::string name = "name " + std::to_string(i);
            Header headers[] = {Header(name, value), Header("null", nullptr)};
            batch.add(Record(value).key(name).headers(headers).timestamp(i));
        }
        Batch moved = std::move(batch);
        CHECK(moved.size() == 500);
        OK(partition.append(moved));
        moved.clear();
        CHECK(moved.empty());
        batch = std::move(moved);
    }
    int seen = 0;
    for (std::uint64_t from = 0; from < 1500;) {
        Records records = OK(partition.read(from));
        OK(records.each([&](RecordView record) {
            int i = seen++ % 500;
            std::string value = std::to_string(i) + std::string(static_cast<std::size_t>(i), 'v');
            auto headers = OK(record.headers());
            CHECK(record.value() == value && record.key() == headers[0].key() && record.timestamp() == i);
            CHECK(headers[0].value() == value && headers[1].value().is_null());
        }));
        from = SOME(OK(records.next_offset("t", 0)));
    }
    CHECK(seen == 1500);
}

TEST("headers keep their order, their nulls and their twins, however many there are") {
    Log log;
    Partition partition = OK(log.engine.partition("t", 0));
    std::vector<std::string> names;
    for (int i = 0; i < 40; ++i) names.push_back("h" + std::to_string(i % 30));
    for (std::size_t count : {0u, 1u, 4u, 5u, 40u}) {
        std::vector<Header> headers;
        for (std::size_t i = 0; i < count; ++i) headers.emplace_back(names[i], i % 2 == 0 ? Bytes(names[i]) : nullptr);
        std::uint64_t at = OK(partition.append(Record("v").headers(headers))).first;
        Records records = OK(partition.read(at));
        RecordView view = SOME(OK(records.next()));
        Records moved = std::move(records);
        Headers read = OK(view.headers());
        Headers copy = read;
        CHECK(view.header_count() == count && copy.size() == count && copy.empty() == (count == 0));
        std::size_t i = 0;
        for (HeaderView header : copy) {
            CHECK(header.key() == names[i] && header.value().is_null() == (i % 2 == 1));
            ++i;
        }
        CHECK(i == count && !copy.find("missing") && copy.find("h0").has_value() == (count > 0));
    }
    OK(partition.append(Record("v").headers({{"twice", "1"}, {"twice", "2"}})));
    CHECK(SOME(OK(SOME(OK(OK(partition.read(5)).next())).headers()).find("twice")).value() == "2");
}

TEST("a range-for goes over all records, and another one goes on where it was left") {
    Log log;
    Partition partition = OK(log.engine.partition("t", 0));
    Batch batch;
    for (int i = 0; i < 10'000; ++i) batch.add(Record(std::to_string(i)));
    OK(partition.append(batch));
    Records records = OK(partition.read(0));
    CHECK(OK(records.count()) == 10'000);
    int next = 0;
    for (RecordView record : records) {
        CHECK(record.offset() == static_cast<std::uint64_t>(next) && record.value() == std::to_string(next));
        if (++next == 3000) break;
    }
    Records moved = std::move(records);
    CHECK(SOME(OK(moved.next())).value() == "3000");
    next = 3001;
    for (const RecordView &record : moved) CHECK(record.value() == std::to_string(next++));
    CHECK(next == 10'000 && moved.begin() == moved.end() && OK(moved.count()) == 10'000);
    for (RecordView record : OK(partition.read(9'999))) CHECK(record.value() == "9999");
}

TEST("records are an input range of the standard library") {
    Log log;
    Partition partition = OK(log.engine.partition("t", 0));
    OK(partition.append({Record("a"), Record("bb"), Record("a")}));
    Records records = OK(partition.read(0));
    CHECK(std::count_if(records.begin(), records.end(), [](RecordView record) { return record.value() == "a"; }) == 2);
    Records again = OK(partition.read(0));
    auto at = again.begin();
    CHECK((*at++).value() == "a" && (*at).value() == "bb");
}

TEST("records are walked again after a rewind") {
    Log log;
    Partition partition = OK(log.engine.partition("t", 0));
    Record many[100];
    OK(partition.append(many));
    OK(partition.append(Record("last").headers({{"h", "v"}})));
    Records records = OK(partition.read(0));
    std::optional<RecordView> last;
    for (int walk = 0; walk < 3; ++walk) {
        std::uint64_t seen = 0;
        OK(records.each([&](RecordView record) {
            CHECK(record.offset() == seen++);
            last = record;
        }));
        CHECK(seen == 101 && !OK(records.next()));
        OK(records.rewind());
        CHECK(OK(last->headers())[0].value() == "v");
        CHECK(SOME(OK(records.next())).offset() == 0); // in the middle of an array
        OK(records.rewind());
    }
    Records other = std::move(records);
    FAILS(records.rewind(), InvalidArgument);
    OK(other.rewind());
    CHECK(SOME(OK(other.next())).offset() == 0);
}

TEST("headers that were moved from are empty or as they were") {
    Log log;
    Partition partition = OK(log.engine.partition("t", 0));
    std::vector<Header> many(7, Header("h", "v"));
    OK(partition.append(Record().headers(many)));
    Records records = OK(partition.read(0));
    Headers from = OK(SOME(OK(records.next())).headers());
    CHECK(from.size() == 7);
    Headers to = std::move(from);
    for (HeaderView header : from) CHECK(header.key() == "h");
    CHECK(to.size() == 7 && to[6].value() == "v" && !from.find("other"));
}

TEST("a walk ends with the error of the function that is called") {
    Log log;
    Partition partition = OK(log.engine.partition("t", 0));
    OK(partition.append({Record("a"), Record("b"), Record("c")}));
    Records records = OK(partition.read(0));
    std::string seen;
    auto ended = records.each([&](RecordView record) -> Result<void> {
        seen += record.value().text();
        return seen == "ab" ? log.engine.create_topic("t") : Result<void>();
    });
    FAILS(ended, TopicExists);
    OK(records.each([&](RecordView record) { seen += record.value().text(); }));
    CHECK(seen == "abc");
}

TEST("a read outside the partition is refused, one at its end is empty") {
    Log log;
    Partition partition = OK(log.engine.partition("t", 0));
    OK(partition.append(Record("a")));
    FAILS(partition.read(2), OffsetOutOfRange);
    Records none = OK(partition.read(1));
    CHECK(!OK(none.next()) && OK(none.next_offset("t", 0)) == std::optional<std::uint64_t>(1));
    CHECK(!OK(none.next_offset("other", 0)));
    FAILS(partition.read(0, ReadOptions().isolation(static_cast<Isolation>(7))), InvalidArgument);
    OK(partition.read(0, ReadOptions().isolation(Isolation::ReadUncommitted).max_bytes(1)));
}

TEST("a batch with an identity is written once") {
    Log log;
    Partition partition = OK(log.engine.partition("t", 0));
    AppendOptions options = AppendOptions().producer(OK(log.engine.init_producer()), 0);
    CHECK(!OK(partition.append(Record("once"), options)).duplicate);
    CHECK(OK(partition.append(Record("once"), options)).duplicate);
    auto gap = AppendOptions().producer({options.c().producer.producer_id, 0}, 5);
    FAILS(partition.append(Record("gap"), gap), OutOfOrderSequence);
    CHECK(values(log.engine, "t") == "once");
}

TEST("appends that are malformed are refused and write nothing") {
    Log log;
    Partition partition = OK(log.engine.partition("t", 0));
    FAILS(partition.append(Batch()), InvalidRecord);
    FAILS(partition.append(Span<Record>()), InvalidRecord);
    FAILS(partition.append(Record("x").headers({{"\xff", "v"}})), InvalidArgument);
    FAILS(partition.append(Record(std::string(3 << 20, 'x'))), RecordTooLarge);
    auto bad = partition.append_batch("this is no batch");
    CHECK(!bad && (bad.error() == ErrorCode::Corrupt || bad.error() == ErrorCode::InvalidRecord));
    CHECK(OK(partition.bounds()).end == 0);
}

TEST("a log that may have lost a decision takes no appends until the loss is accepted") {
    Directory directory;
    std::string open = directory.path() + "/open", copy = directory.path() + "/copy";
    Engine engine = OK(Engine::open(open, EngineOptions().threads(false)));
    OK(engine.create_topic("t"));
    for (const char *value : {"first", "hidden", "last"}) OK(OK(engine.partition("t", 0)).append(Record(value)));
    // As a crash would leave it. 90 bytes before its value lies the number of the frame, which may be anything then,
    // and the frame behind it says that it was durable.
    std::filesystem::copy(open, copy);
    damage(copy, "hidden", 90);
    engine = OK(Engine::open(copy));
    std::vector<Damage> found = OK(engine.opening()).damage;
    CHECK(found.size() == 1 && found[0].first_lsn == found[0].last_lsn && !found[0].records_only);
    FAILS(OK(engine.partition("t", 0)).append(Record("refused")), Corrupt);
    FAILS(engine.create_topic("u"), Corrupt);
    CHECK(values(engine, "t") == "first");
    OK(engine.close());
    engine = OK(Engine::open(copy, EngineOptions().accept_loss(true)));
    OK(OK(engine.partition("t", 0)).append(Record("again")));
    OK(engine.close());
    // Accepted once, it is accepted for good; what is lost is told where it lay.
    engine = OK(Engine::open(copy));
    OK(OK(engine.partition("t", 0)).append(Record("later")));
    FAILS(OK(OK(engine.partition("t", 0)).read(1)).next(), Corrupt);
    CHECK(values(engine, "t", 0, 2) == "last again later");
}

TEST("damaged records are reported where they lie, and the walk goes on behind them") {
    Log log;
    Partition partition = OK(log.engine.partition("t", 0));
    for (const char *value : {"first value", "second value", "third value"}) OK(partition.append(Record(value)));
    Verification whole = OK(log.engine.verify());
    CHECK(whole.segments == 1 && whole.frames > 4 && whole.bytes > 600 && whole.damage.empty());
    OK(log.engine.close());
    FAILS(log.engine.verify(), Closed);
    damage(log.directory.path(), "second value");
    Engine reader = OK(Engine::open(log.directory.path(), EngineOptions().read_only(true)));
    Verification found = OK(reader.verify());
    CHECK(found.damage.size() == 1 && found.damage[0].records_only && found.damage[0].file.find(".seg") != std::string::npos);
    CHECK(found.damage[0].first_lsn == found.damage[0].last_lsn && found.damage[0].position > 0);
    Records records = OK(OK(reader.partition("t", 0)).read(0));
    std::string seen;
    auto see = [&](RecordView record) { seen += record.value().text(); };
    FAILS(records.each(see), Corrupt);
    CHECK(seen == "first value");
    OK(records.each(see));
    CHECK(seen == "first valuethird value");
#if ONCELOG_EXCEPTIONS
    Records again = OK(OK(reader.partition("t", 0)).read(0));
    bool thrown = false;
    try {
        for (RecordView record : again) CHECK(record.value() == "first value");
    } catch (const Exception &exception) {
        thrown = exception.code() == ErrorCode::Corrupt;
    }
    CHECK(thrown && SOME(OK(again.next())).value() == "third value");
#endif
}
