// The children of the bank demo in C++: bank <log> <delivery> <loader|worker> <csv>. They are killed and started again
// by their parent, core/examples/bank/parent.rs, which tells what it wants to hear from them.

#include <fstream>
#include <iostream>
#include <iterator>
#include <stdexcept>
#include <string>
#include <vector>

#include <oncelog.hpp>

#include "bank_rows.hpp"

using namespace oncelog;
using namespace std::chrono_literals;

/// Partitions of the topic that the worker reads.
static constexpr std::uint32_t PARTITIONS = 4;
/// Records in one of the worker's groups.
static constexpr std::uint64_t ROWS = 50;
/// Lines between two of the loader's flushes, and lines that it sends again after a restart.
static constexpr std::size_t GROUP = 100;

/// Tells the parent, at once.
static void say(const char *word) { std::cout << word << std::endl; }
static void say(const char *word, std::uint64_t n) { std::cout << word << " " << n << std::endl; }

/// Says that the first half of a group is done and waits for leave to do the second.
static void half(std::uint64_t n) {
    say("half", n);
    std::string go;
    if (!std::getline(std::cin, go)) throw std::runtime_error("the parent is gone");
}

/// Sends lines, numbered from `first` on, and waits until they are on the device. Answers how many the log already had.
template <class F>
static std::uint64_t send(const Producer &producer, Span<std::string_view> lines, std::uint64_t first, F halfway) {
    std::vector<Ticket<Appended>> tickets;
    for (std::string_view line : lines) {
        Record record = Record(line).position(first + tickets.size());
        if (auto account = bank::key(line)) record.key(*account);
        tickets.push_back(producer.send("transactions", record).value());
    }
    halfway();
    producer.flush().or_throw();
    std::uint64_t refused = 0;
    for (auto &ticket : tickets) refused += ticket.wait()->duplicate ? 1 : 0;
    return refused;
}

/// Sends every line once, whatever happens to the process: the producer has a name, and each record carries its line
/// number as position.
static void load(const char *log, const char *csv) {
    Engine engine = Engine::open(log).value();
    Producer producer = engine.producer(ProducerOptions().name("loader")).value();
    std::ifstream input(csv, std::ios::binary);
    std::string file((std::istreambuf_iterator<char>(input)), {});
    std::vector<std::string_view> lines = bank::lines(file);

    std::size_t done = producer.position().value().value_or(0);
    say("ready", done);
    if (done > 0) {
        std::size_t first = done - std::min(done, GROUP);
        std::uint64_t refused = send(producer, {&lines[first], done - first}, first + 1, [] {});
        std::cout << "resent " << refused << " " << done - first << std::endl;
    }
    while (done < lines.size()) {
        std::size_t end = std::min(lines.size(), done + GROUP);
        say("begin", end);
        std::uint64_t refused = send(producer, {&lines[done], end - done}, done + 1, [&] { half(end); });
        if (refused > 0) throw std::runtime_error("new lines were refused as duplicates");
        say("committed", end);
        done = end;
    }
    engine.close().or_throw();
}

/// A line becomes a posting, and a message if it is a transfer to another bank; or a dead letter that says why not.
/// `send(topic, record)` sends it.
template <class F>
static void transform(RecordView record, F send) {
    std::string_view line = record.value().text();
    try {
        bank::Row row = bank::Row::parse(line);
        std::string start = std::to_string(row.trans_id) + ";" + std::to_string(row.account) + ";";
        std::string key = std::to_string(row.account);
        send("ledger", Record(start + std::to_string(row.amount)).key(key));
        if (row.transfer) {
            std::string rest = std::string(row.transfer->bank) + ";" + std::string(row.transfer->account);
            send("transfers", Record(start + std::to_string(-row.amount) + ";" + rest).key(key));
        }
    } catch (const bank::Malformed &reason) {
        send("transactions.dlt", Record(line).headers({{"reason", reason.what()}}));
    }
}

/// The sum of what a member of the consumer says of each partition: its positions, or its lags.
static std::uint64_t sum(const Consumer &consumer,
                         Result<std::uint64_t> (Consumer::*of)(const TopicPartition &) const) {
    std::uint64_t all = 0;
    for (std::uint32_t partition = 0; partition < PARTITIONS; ++partition) {
        all += (consumer.*of)({"transactions", partition}).value();
    }
    return all;
}

/// Writes what the lines mean, outside any transaction, and waits until all of it is on the device.
static void write(const Producer &producer, Records records) {
    std::vector<Ticket<Appended>> tickets;
    for (RecordView record : records) {
        transform(record, [&](const char *topic, const Record &result) {
            tickets.push_back(producer.send(topic, result).value());
        });
    }
    producer.flush().or_throw();
    for (auto &ticket : tickets) ticket.wait().or_throw();
}

/// One transaction holds the results and the offsets: a crash leaves both or neither. Begun for the consumer, it also
/// puts the consumer back to where it stood when it aborts.
static void exactly_once(const Engine &engine, const Consumer &consumer) {
    TransactionalProducer producer = engine.transactional_producer("bank-worker").value();
    while (sum(consumer, &Consumer::lag) > 0) {
        Transaction transaction = producer.begin_transaction_for(consumer).value();
        Records records = consumer.poll(1s).value();
        std::uint64_t group = sum(consumer, &Consumer::position);
        say("begin", group);
        for (RecordView record : records) {
            transform(record, [&](const char *topic, const Record &result) {
                transaction.send(topic, result).or_throw();
            });
        }
        half(group);
        transaction.commit().or_throw();
        say("committed", group);
    }
}

/// Results first and offsets after, or the other way round: killed between the two, the next life does the same lines
/// again, or never sees them.
static void without_transactions(const Engine &engine, const Consumer &consumer, bool offsets_first) {
    Producer producer = engine.producer().value();
    while (sum(consumer, &Consumer::lag) > 0) {
        Records records = consumer.poll(1s).value();
        std::uint64_t group = sum(consumer, &Consumer::position);
        say("begin", group);
        if (offsets_first) consumer.commit().or_throw();
        if (!offsets_first) write(producer, std::move(records));
        half(group);
        if (offsets_first) write(producer, std::move(records));
        if (!offsets_first) consumer.commit().or_throw();
        say("committed", group);
    }
}

static void work(const char *log, const std::string &delivery) {
    Engine engine = Engine::open(log).value();
    Consumer consumer = engine.consumer(ConsumerOptions().group("bank").max_records(ROWS)).value();
    std::vector<TopicPartition> input;
    for (std::uint32_t partition = 0; partition < PARTITIONS; ++partition) input.push_back({"transactions", partition});
    consumer.assign(input).or_throw();
    say("ready", sum(consumer, &Consumer::position));
    if (delivery == "exactly-once") {
        exactly_once(engine, consumer);
    } else {
        without_transactions(engine, consumer, delivery == "at-most-once");
    }
    engine.close().or_throw();
}

int main(int count, char **words) try {
    if (count != 5) throw std::runtime_error("give the log, the delivery, loader or worker, and the input");
    say("opening");
    if (words[3] == std::string("loader")) {
        load(words[1], words[4]);
    } else {
        work(words[1], words[2]);
    }
    say("done");
} catch (const std::exception &error) {
    std::cerr << "bank: " << error.what() << "\n";
    return 1;
}
