// Many threads on one engine.

#include <atomic>
#include <map>
#include <mutex>
#include <set>
#include <thread>

#include "check.hpp"

/// Runs `f(0)` to `f(n - 1)` at the same time, to their ends.
template <class F>
static void at_once(int n, F f) {
    std::vector<std::thread> threads;
    for (int i = 0; i < n; ++i) threads.emplace_back(f, i);
    for (auto &thread : threads) thread.join();
}

TEST("threads share a producer, and each one's records keep their order") {
    Log log;
    Producer producer = OK(log.engine.producer());
    at_once(4, [&](int thread) {
        for (int i = 0; i < 200; ++i) {
            std::string value = std::to_string(thread) + " " + std::to_string(i);
            auto ticket = OK(producer.send("t", Record(value)));
            if (i % 50 == 49) OK(ticket.wait());
        }
    });
    OK(producer.flush());
    std::map<int, int> next;
    Partition partition = OK(log.engine.partition("t", 0));
    for (std::uint64_t from = 0; from < 800;) {
        Records records = OK(partition.read(from));
        OK(records.each([&](RecordView record) {
            std::string value = record.value().str();
            CHECK(std::stoi(value.substr(2)) == next[value[0] - '0']++);
        }));
        from = SOME(OK(records.next_offset("t", 0)));
    }
    for (int thread = 0; thread < 4; ++thread) CHECK(next[thread] == 200);
}

TEST("a consumer wakes while another thread appends") {
    Log log;
    Consumer consumer = OK(log.engine.consumer());
    OK(consumer.assign({{"t", 0}}));
    at_once(2, [&](int thread) {
        if (thread == 0) {
            Partition partition = OK(log.engine.partition("t", 0));
            for (int i = 0; i < 100; ++i) OK(partition.append(Record(std::to_string(i))));
            return;
        }
        for (int next = 0; next < 100;) {
            for (RecordView record : OK(consumer.poll(60s))) CHECK(record.value() == std::to_string(next++));
        }
    });
}

TEST("transactions of many threads are each seen whole") {
    Log log;
    at_once(3, [&](int thread) {
        TransactionalProducer producer = OK(log.engine.transactional_producer("id " + std::to_string(thread)));
        for (int i = 0; i < 30; ++i) {
            Transaction transaction = OK(producer.begin_transaction());
            for (int k = 0; k < 3; ++k) OK(transaction.send("t", Record(std::to_string(thread))));
            if (i % 3 != 0) OK(transaction.commit());
        }
    });
    std::string all = values(log.engine, "t");
    CHECK(all.size() == 2 * 3 * 20 * 3 - 1);
    for (std::size_t at = 0; at < all.size(); at += 6) CHECK(all[at] == all[at + 2] && all[at] == all[at + 4]);
}

TEST("a queue may be watched by some threads and drained by others") {
    Log log;
    Completions queue = OK(log.engine.completions());
    Producer producer = OK(log.engine.producer());
    std::atomic<int> done{0};
    at_once(4, [&](int thread) {
        if (thread >= 2) {
            while (done < 400) OK(queue.drain()), std::this_thread::yield();
            return;
        }
        for (int i = 0; i < 200; ++i) {
            auto text = std::make_unique<std::string>("answer " + std::to_string(i));
            Ticket<Appended> ticket = OK(producer.send("t", Record(*text)));
            OK(queue.watch(std::move(ticket), [&, text = std::move(text)](Result<Appended> result) {
                OK(result), done += text->size() > 7;
            }));
        }
    });
    CHECK(done == 400);
}

TEST("the engine closes under the calls of other threads, which then answer Closed") {
    Log log;
    Consumer consumer = OK(log.engine.consumer());
    OK(consumer.assign({{"t", 0}}));
    Producer producer = OK(log.engine.producer());
    std::atomic<int> running{0};
    at_once(3, [&](int thread) {
        if (thread == 0) {
            while (running < 2) std::this_thread::yield();
            OK(log.engine.close());
            return;
        }
        ++running;
        Error error;
        while (!error) {
            error = thread == 1 ? producer.send("t", Record("x")).error() : consumer.poll(60s).error();
        }
        CHECK(error == ErrorCode::Closed);
    });
}

TEST("a handle that one thread makes may be used and freed by another") {
    Log log;
    std::mutex mutex;
    std::vector<Ticket<Appended>> tickets;
    std::atomic<int> left{100};
    at_once(2, [&](int thread) {
        Producer producer = OK(log.engine.producer());
        while (left > 0) {
            std::vector<Ticket<Appended>> mine;
            if (thread == 0) mine.push_back(OK(producer.send("t", Record("x"))));
            std::lock_guard<std::mutex> lock(mutex);
            if (thread == 1) mine.swap(tickets);
            for (auto &ticket : mine) {
                if (thread == 0) tickets.push_back(std::move(ticket));
                if (thread == 1) OK(ticket.wait()), --left;
            }
        }
    });
}
