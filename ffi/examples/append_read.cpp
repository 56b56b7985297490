// The log itself: append a batch to a partition, read it back. Give the directory of a new log.

#include <iostream>

#include <oncelog.hpp>

int main(int count, char **arguments) try {
    using namespace oncelog;
    Engine engine = Engine::open(count > 1 ? arguments[1] : "append_read.log").value();
    engine.create_topic("greetings").or_throw();
    Partition partition = engine.partition("greetings", 0).value();

    // When the call returns, the batch survives a power cut.
    Record batch[] = {Record("good morning").key("en"), Record("guten Morgen").key("de")};
    Appended appended = partition.append(batch).value();
    std::cout << "offsets " << appended.first << " to " << appended.last << "\n";

    for (RecordView record : partition.read(appended.first).value()) {
        std::cout << record.offset() << ": " << record.value().text() << "\n";
    }
    engine.close().or_throw();
} catch (const oncelog::Exception &exception) {
    std::cerr << exception.what() << "\n";
    return 1;
}
