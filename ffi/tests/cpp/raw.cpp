// Raw identities and their transactions, as a broker uses them; how transactions stand, whoever owns them.

#include "check.hpp"

static AppendOptions of(Identity identity, std::int32_t sequence) {
    return AppendOptions().producer(identity, sequence).transactional(true);
}

TEST("a transaction of a raw identity is seen when it is committed") {
    Log log;
    Partition partition = OK(log.engine.partition("t", 0));
    Identity identity = OK(log.engine.init_producer("shop", 1min));
    OK(partition.append(Record("a"), of(identity, 0)));
    OK(partition.append(Record("b"), of(identity, 1)));
    CHECK(OK(partition.bounds()).stable == 0 && OK(partition.bounds()).end == 2 && values(log.engine, "t").empty());
    auto open = OK(log.engine.describe_transactions());
    CHECK(open.size() == 1 && open[0].raw && open[0].transactional_id == "shop" && open[0].timeout == 1min);
    CHECK(open[0].identity.producer_id == identity.producer_id && open[0].since > 1'600'000'000'000);
    CHECK((open[0].partitions == std::map<TopicPartition, std::uint64_t>{{{"t", 0}, 0}}));
    std::uint64_t number = open[0].number;
    CHECK(OK(log.engine.transaction_status(number)) == TransactionStatus::Open);
    Identity next = OK(log.engine.end_transaction(identity, Outcome::Commit));
    CHECK(next.producer_id == identity.producer_id && next.epoch == identity.epoch + 1);
    CHECK(OK(OK(log.engine.transaction_status_ticket(number)).wait()) == TransactionStatus::Committed);
    CHECK(values(log.engine, "t") == "a b" && OK(log.engine.describe_transactions()).empty());

    OK(partition.append(Record("c"), of(next, 0)));
    number = OK(log.engine.describe_transactions())[0].number;
    Identity third = OK(OK(log.engine.end_transaction_ticket(next, Outcome::Abort)).wait());
    CHECK(third.epoch == next.epoch + 1 && values(log.engine, "t") == "a b");
    CHECK(OK(log.engine.transaction_status(number)) == TransactionStatus::Aborted);
    CHECK(OK(log.engine.transaction_status(number + 1000)) == TransactionStatus::Forgotten);
    FAILS(log.engine.end_transaction(identity, Outcome::Abort), ProducerFenced);
    FAILS(log.engine.end_transaction(third, Outcome::Commit), InvalidTransactionState);
    FAILS(log.engine.end_transaction(third, static_cast<Outcome>(0)), InvalidArgument);
    FAILS(log.engine.end_transaction_ticket(third, static_cast<Outcome>(3)), InvalidArgument);
}

TEST("producers are told by their last batch and their open transaction") {
    Log log;
    Partition partition = OK(log.engine.partition("t", 0));
    CHECK(OK(partition.producers()).empty());
    Identity shop = OK(log.engine.init_producer("shop", 1min)), other = OK(log.engine.init_producer());
    std::vector<Record> records = {Record("a").timestamp(2000), Record("b").timestamp(1000)};
    OK(partition.append(records, AppendOptions().producer(other, 0)));
    OK(partition.append(Record("c").timestamp(-1), of(shop, 0)));
    auto producer = OK(log.engine.transactional_producer("id", ProducerOptions().transaction_buffer(1)));
    Transaction transaction = OK(producer.begin_transaction());
    OK(transaction.send("t", Record("d")));
    auto all = OK(partition.producers());
    CHECK(all.size() == 3 && all[0].identity.producer_id == shop.producer_id && all[0].identity.epoch == shop.epoch);
    CHECK(all[0].last_sequence == 0 && all[0].last_timestamp == std::nullopt && all[0].transaction_start_offset == 2u);
    CHECK(all[1].identity.producer_id == other.producer_id && all[1].transaction_start_offset == std::nullopt);
    CHECK(all[1].last_sequence == 1 && all[1].last_timestamp == 2000);
    CHECK(all[2].last_sequence == std::nullopt && all[2].transaction_start_offset == 3u);
    OK(transaction.commit());
    CHECK(OK(partition.producers()).size() == 2);
    OK(log.engine.delete_topic("t"));
    FAILS(partition.producers(), UnknownTopicOrPartition);
    OK(log.engine.close());
    FAILS(partition.producers(), Closed);
}

TEST("offsets of a raw identity are committed with its batches, and unstable until then") {
    Log log;
    Identity identity = OK(OK(log.engine.init_producer_ticket("shop", 1min)).wait());
    Consumer consumer = OK(log.engine.consumer(ConsumerOptions().group("g")));
    OK(log.engine.send_offsets(identity, {"g"}, {{{"t", 0}, 1}}));
    OK(OK(log.engine.send_offsets_ticket(identity, {"g"}, {{{"t", 0}, 2, "note"}})).wait());
    auto pending = consumer.committed({"t", 0});
    FAILS(pending, UnstableOffsets);
    CHECK(pending.error().is_retriable());
    OK(consumer.assign({{"t", 0}}));
    CHECK(OK(OK(consumer.poll(0ms)).count()) == 0);
    FAILS(consumer.position({"t", 0}), UnstableOffsets);
    FAILS(OK(consumer.settle_ticket()).wait(), UnstableOffsets);
    OK(OK(log.engine.partition("t", 0)).append(Record("a"), of(identity, 0)));
    identity = OK(log.engine.end_transaction(identity, Outcome::Commit));
    CHECK(OK(consumer.committed({"t", 0})) == std::optional<std::uint64_t>(2) && values(log.engine, "t") == "a");
    FAILS(log.engine.send_offsets(identity, {"g"}, {{{"missing", 0}, 1}}), UnknownTopicOrPartition);
    FAILS(log.engine.send_offsets(identity, {std::string("g\0h", 3)}, {{{"t", 0}, 1}}), InvalidArgument);
    FAILS(log.engine.send_offsets(OK(log.engine.init_producer()), {"g"}, {{{"t", 0}, 1}}), UnknownTransactionalId);
    identity.epoch = 0;
    FAILS(log.engine.send_offsets(identity, {"g"}, {{{"t", 0}, 1}}), StaleEpoch);
}

TEST("a transaction is aborted by its number, whoever owns it") {
    Log log;
    TransactionalProducer producer = OK(log.engine.transactional_producer("id"));
    for (bool ticket : {false, true}) {
        Transaction transaction = OK(producer.begin_transaction());
        std::uint64_t number = OK(transaction.number());
        if (!ticket) OK(log.engine.abort_transaction(number));
        if (ticket) OK(OK(log.engine.abort_transaction_ticket(number)).wait());
        auto late = transaction.send("t", Record("late"));
        FAILS(late, TransactionAborted);
        CHECK(late.error().requires_abort());
    }
    FAILS(log.engine.abort_transaction(1'000'000'000), InvalidTransactionState);
    CHECK(values(log.engine, "t").empty());
}

TEST("raw transactions outlive a life of the log if it is told so") {
    for (bool keep : {false, true}) {
        Log log({"t"}, EngineOptions().keep_raw_transactions(keep));
        Identity identity = OK(log.engine.init_producer("shop", 1min));
        OK(OK(log.engine.partition("t", 0)).append(Record("a"), of(identity, 0)));
        OK(log.engine.close());
        Engine again = OK(Engine::open(log.directory.path(), EngineOptions().keep_raw_transactions(keep)));
        CHECK(OK(again.describe_transactions()).size() == (keep ? 1u : 0u));
        if (keep) OK(again.end_transaction(identity, Outcome::Commit));
        CHECK(values(again, "t") == (keep ? "a" : ""));
    }
}

TEST("a transactional batch needs an identity with a transactional id") {
    Log log;
    Partition partition = OK(log.engine.partition("t", 0));
    FAILS(partition.append(Record("a"), AppendOptions().transactional(true)), InvalidRecord);
    FAILS(partition.append(Record("a"), of(OK(log.engine.init_producer()), 0)), InvalidTransactionState);
    CHECK(OK(partition.bounds()).end == 0);
}

TEST("timeouts of transactions have a bound") {
    Log log({"t"}, EngineOptions().transaction_timeout_max(1s));
    FAILS(log.engine.init_producer("shop", 2s), InvalidArgument);
    FAILS(log.engine.init_producer("shop", 0s), InvalidArgument);
    OK(log.engine.init_producer("shop", 1s));
    OK(OK(log.engine.init_producer_ticket()).wait());
    FAILS(log.engine.transactional_producer("id"), InvalidArgument);
    OK(log.engine.transactional_producer("id", ProducerOptions().transaction_timeout(1s)));
}

TEST("a transaction streams past its buffer, or where there is no memory left") {
    ProducerOptions small = ProducerOptions().transaction_buffer(1);
    for (bool memory : {false, true}) {
        Log log({"t"}, memory ? EngineOptions().transaction_memory(1) : EngineOptions());
        auto producer = OK(log.engine.transactional_producer("id", memory ? ProducerOptions() : small));
        Transaction transaction = OK(producer.begin_transaction());
        OK(transaction.send("t", Record("a")));
        auto open = OK(log.engine.describe_transactions());
        CHECK(open.size() == 1 && !open[0].raw && open[0].number == OK(transaction.number()));
        OK(transaction.commit());
        CHECK(values(log.engine, "t") == "a");
    }
    Log log;
    FAILS(log.engine.transactional_producer("id", ProducerOptions().transaction_buffer(17 << 20)), InvalidArgument);
}

TEST("a transaction that streams too long is aborted") {
    Log log;
    auto options = ProducerOptions().transaction_buffer(1).transaction_timeout(1ms);
    TransactionalProducer producer = OK(log.engine.transactional_producer("id", options));
    Transaction transaction = OK(producer.begin_transaction());
    std::uint64_t number = OK(transaction.number());
    Result<void> sent;
    while (sent.ok()) sent = transaction.send("t", Record("a"));
    FAILS(sent, TransactionTimedOut);
    FAILS(transaction.commit(), TransactionTimedOut);
    CHECK(OK(log.engine.transaction_status(number)) == TransactionStatus::Aborted && values(log.engine, "t").empty());
}

TEST("a closed engine answers Closed to a broker too") {
    Log log;
    OK(log.engine.close());
    FAILS(log.engine.init_producer(), Closed);
    FAILS(log.engine.init_producer_ticket("shop", 1s), Closed);
    FAILS(log.engine.send_offsets({}, {"g"}, {}), Closed);
    FAILS(log.engine.end_transaction({}, Outcome::Abort), Closed);
    FAILS(log.engine.abort_transaction(1), Closed);
    FAILS(log.engine.transaction_status(1), Closed);
    FAILS(log.engine.describe_transactions(), Closed);
    FAILS(log.engine.consumer_lags(), Closed);
}

/// As a Kafka client encodes a batch of one record with the key "k" and the value "v" at time 1000.
static std::string kafka_batch() {
    const std::string hex =
        "0000000000000000" "0000003a" "ffffffff" "02" "716a6189" "0000" "00000000" "00000000000003e8"
        "00000000000003e8" "ffffffffffffffff" "ffff" "ffffffff" "00000001" "10000000026b027600";
    std::string batch;
    for (std::size_t at = 0; at < hex.size(); at += 2) {
        batch += static_cast<char>(std::stoi(hex.substr(at, 2), nullptr, 16));
    }
    return batch;
}

TEST("a batch of a client is looked into before it is appended") {
    Log log;
    std::string batch = kafka_batch();
    BatchHeader header = OK(batch_header(batch));
    CHECK(header.count == 1 && header.size == batch.size() && header.max_timestamp == 1000 && !header.transactional);
    CHECK(header.producer.producer_id == -1 && header.base_sequence == -1);
    CHECK(static_cast<Compression>(header.compression) == Compression::None);
    CHECK(static_cast<TimestampType>(header.timestamp_type) == TimestampType::CreateTime && !header.control);
    Records records = OK(batch_records(batch));
    batch.clear();
    int seen = 0;
    OK(records.each([&](RecordView record) {
        CHECK(record.key() == "k" && record.value() == "v" && record.offset() == 0 && record.timestamp() == 1000);
        CHECK(*record.topic() == 0 && OK(record.headers()).empty());
        ++seen;
    }));
    CHECK(seen == 1 && OK(records.count()) == 1 && OK(records.next_offsets()).empty());
    CHECK(!OK(records.next_offset("", 0)) && !OK(records.next_place("", 0)));
    batch = kafka_batch();
    Partition partition = OK(log.engine.partition("t", 0));
    OK(OK(partition.append_batch(batch)).wait());
    CHECK(values(log.engine, "t") == "v");
    batch.back() = 1;
    FAILS(batch_header(batch), Corrupt);
    FAILS(batch_records(batch), Corrupt);
    CHECK(!batch_header(Bytes()) && !batch_records(""));
}
