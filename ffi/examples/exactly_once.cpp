// Read, transform, write: results and offsets are committed together, or not at all. Give the directory of a new log.

#include <iostream>
#include <optional>
#include <string>

#include <oncelog.hpp>

int main(int count, char **arguments) try {
    using namespace oncelog;
    using namespace std::chrono_literals;
    Engine engine = Engine::open(count > 1 ? arguments[1] : "exactly_once.log").value();
    engine.create_topic("orders").or_throw();
    engine.create_topic("invoices").or_throw();
    engine.producer()->send("orders", Record("3 apples"))->wait().or_throw();

    const TopicPartition orders = {"orders", 0};
    Consumer consumer = engine.consumer(ConsumerOptions().group("billing")).value();
    consumer.assign({orders}).or_throw();
    TransactionalProducer producer = engine.transactional_producer("billing-1").value();

    // The first attempt is given up: a transaction that goes out of scope is aborted and puts the consumer back.
    for (bool commit : {false, true}) {
        {
            Transaction transaction = producer.begin_transaction_for(consumer).value();
            for (RecordView record : consumer.poll(1s).value()) {
                std::string invoice = "invoice for " + record.value().str();
                transaction.send("invoices", Record(invoice)).or_throw();
            }
            if (commit) transaction.commit().or_throw();
        }
        std::uint64_t invoices = engine.partition("invoices", 0)->bounds()->end;
        std::optional<std::uint64_t> committed = consumer.committed(orders).value();
        std::cout << (commit ? "committed: " : "given up: ") << invoices << " invoices, offset committed: "
                  << (committed ? std::to_string(*committed) : "none") << "\n";
    }
    engine.close().or_throw();
} catch (const oncelog::Exception &exception) {
    std::cerr << exception.what() << "\n";
    return 1;
}
