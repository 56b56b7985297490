// C++'s part in the relay, where programs in every language take turns on one directory; see core/examples/relay.rs.
//     relay <directory> turn <n>
//     relay <directory> dump

#include "check.hpp"

static const std::pair<const char *, std::uint32_t> TOPICS[] = {{"baton", 3}, {"seen", 1}};

/// The named producer stands where the turn before left it; what that sent is a duplicate; one record is new.
static void produce(const Engine &engine, std::uint64_t n) {
    Producer producer = OK(engine.producer(ProducerOptions().name("relay")));
    CHECK(OK(producer.position()) == (n > 0 ? std::optional(n - 1) : std::nullopt));
    if (n > 0) CHECK(OK(OK(producer.send("baton", Record("again").position(n - 1))).wait()).duplicate);
    std::string value = "turn " + std::to_string(n) + " by cpp, gr\xc3\xb6\xc3\x9f" "er ";
    value += {'\0', '\xff', static_cast<char>(n % 256)};
    std::string key = "key " + std::to_string(n % 7);
    Header headers[] = {{"language", "cpp"}, {"none", nullptr}};
    Record record = n % 4 == 3 ? Record::tombstone(key) : Record(value).key(key);
    record.headers(headers).timestamp(1'700'000'000'000 + static_cast<std::int64_t>(n)).position(n);
    CHECK(!OK(OK(producer.send("baton", record)).wait()).duplicate);
}

/// The group reads exactly this turn's record, and writes what it saw together with its offsets.
static void transform(const Engine &engine, std::uint64_t n) {
    Consumer consumer = OK(engine.consumer(ConsumerOptions().group("relay")));
    std::vector<TopicPartition> partitions;
    for (std::uint32_t number = 0; number < TOPICS[0].second; ++number) partitions.push_back({"baton", number});
    OK(consumer.assign(partitions));
    TransactionalProducer producer = OK(engine.transactional_producer("relay-transactions"));
    Transaction transaction = OK(producer.begin_transaction_for(consumer));
    int read = 0;
    for (RecordView record : OK(consumer.poll(5s))) {
        std::string saw = "cpp saw " + std::to_string(record.partition()) + "@" + std::to_string(record.offset());
        std::string key = record.key().str();
        auto time = 1'800'000'000'000 + static_cast<std::int64_t>(n);
        OK(transaction.send("seen", Record(saw).key(key).timestamp(time)));
        ++read;
    }
    OK(transaction.commit());
    CHECK(read == 1);
}

static std::string hex(Bytes bytes) {
    if (bytes.is_null()) return "-";
    std::string text = "x";
    for (char byte : bytes) {
        char two[3];
        std::snprintf(two, sizeof two, "%02x", static_cast<unsigned>(static_cast<unsigned char>(byte)));
        text += two;
    }
    return text;
}

static void dump_record(RecordView record) {
    std::printf("%s %u %llu %lld %s %s", record.topic(), record.partition(),
                static_cast<unsigned long long>(record.offset()), static_cast<long long>(record.timestamp()),
                hex(record.key()).c_str(), hex(record.value()).c_str());
    for (HeaderView header : OK(record.headers())) {
        std::printf(" %s=%s", std::string(header.key()).c_str(), hex(header.value()).c_str());
    }
    std::printf("\n");
}

/// The log as text; then where the group stands in each partition.
static void dump(const Engine &engine) {
    for (auto [topic, partitions] : TOPICS) {
        for (std::uint32_t number = 0; number < partitions; ++number) {
            Partition partition = OK(engine.partition(topic, number));
            for (std::uint64_t next = 0; next < OK(partition.bounds()).end;) {
                Records records = OK(partition.read(next));
                OK(records.each(dump_record));
                next = SOME(OK(records.next_offset(topic, number)));
            }
        }
    }
    Consumer consumer = OK(engine.consumer(ConsumerOptions().group("relay")));
    for (std::uint32_t number = 0; number < TOPICS[0].second; ++number) {
        auto committed = OK(consumer.committed({"baton", number}));
        std::printf("committed baton %u %s\n", number, committed ? std::to_string(*committed).c_str() : "-");
    }
}

int main(int count, char **words) {
    std::string what = count > 2 ? words[2] : "";
    if (count == 3 && what == "dump") {
        dump(OK(Engine::open(words[1], EngineOptions().read_only(true))));
    } else if (count == 4 && what == "turn") {
        std::uint64_t n = std::strtoull(words[3], nullptr, 10);
        Engine engine = OK(Engine::open(words[1]));
        produce(engine, n);
        transform(engine, n);
        OK(engine.close());
    } else {
        std::fprintf(stderr, "relay: give a directory and 'turn <n>' or 'dump'\n");
        return 1;
    }
}
