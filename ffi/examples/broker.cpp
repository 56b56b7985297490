// What a broker does for its clients: identities, batches with sequences, and transactions that it keeps itself. Give
// the directory of a new log.

#include <iostream>

#include <oncelog.hpp>

int main(int count, char **arguments) try {
    using namespace oncelog;
    using namespace std::chrono_literals;
    // Its clients outlive it: what they have open stays open when the log is opened again.
    auto keep = EngineOptions().keep_raw_transactions(true);
    Engine engine = Engine::open(count > 1 ? arguments[1] : "broker.log", keep).value();
    engine.create_topic("orders").or_throw();
    Partition orders = engine.partition("orders", 0).value();

    Identity client = engine.init_producer("shop", 1min).value();
    // Begins the transaction; sequences begin at 0 in each.
    auto options = AppendOptions().producer(client, 0).transactional(true).compression(Compression::Lz4);
    orders.append({Record("3 apples"), Record("1 pear")}, options).or_throw();
    // The client did not hear of it and sends the batch again.
    Appended again = orders.append({Record("3 apples"), Record("1 pear")}, options).value();
    std::cout << "sent again: " << (again.duplicate ? "a duplicate" : "written") << "\n";
    engine.send_offsets(client, {"billing"}, {{{"orders", 0}, 2}}).or_throw();

    // Who holds readers back, and since when.
    OpenTransaction open = engine.describe_transactions().value().at(0);
    std::cout << "open: " << open.transactional_id << ", in " << open.partitions.size() << " partition\n";
    // The same from the partition's side, with what the client sent last.
    ActiveProducer active = orders.producers().value().at(0);
    std::cout << "active: up to sequence " << *active.last_sequence << ", since offset "
              << *active.transaction_start_offset << "\n";

    Identity next = engine.end_transaction(client, Outcome::Commit).value();
    bool committed = engine.transaction_status(open.number).value() == TransactionStatus::Committed;
    std::cout << (committed ? "committed: " : "lost: ") << orders.bounds()->stable << " orders, epoch "
              << client.epoch << ", then " << next.epoch << "\n";
    engine.close().or_throw();
} catch (const oncelog::Exception &exception) {
    std::cerr << exception.what() << "\n";
    return 1;
}
