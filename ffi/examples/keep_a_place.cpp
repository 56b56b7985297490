// A reader that keeps its place elsewhere, here as text: after a crash it never takes other records for those it has
// read. Give the directory of a new log.

#include <iostream>
#include <sstream>

#include <oncelog.hpp>

int main(int count, char **arguments) try {
    using namespace oncelog;
    const char *directory = count > 1 ? arguments[1] : "keep_a_place.log";
    std::stringstream kept;
    {
        Engine engine = Engine::open(directory, EngineOptions().durability(Durability::Os)).value();
        engine.create_topic("events").or_throw();
        Partition events = engine.partition("events", 0).value();
        events.append({Record("one").timestamp(1000), Record("two").timestamp(2000)}).or_throw();

        // Not from the beginning: from the first event of a time.
        std::uint64_t first = events.offset_at(1500).value().value();
        Place place = events.read(first)->next_place("events", 0).value().value();
        kept << place.incarnation << " " << place.lsn << " " << place.offset;
        events.append(Record("three")).or_throw();
        engine.close().or_throw();
    }
    Engine engine = Engine::open(directory).value();
    Place place = {};
    kept >> place.incarnation >> place.lsn >> place.offset;
    // It would answer Truncated if a crash had taken what was read, for others may have those offsets.
    Records records = engine.partition("events", 0)->read(place.offset, ReadOptions().from(place)).value();
    for (RecordView record : records) std::cout << record.offset() << ": " << record.value().text() << "\n";
    engine.close().or_throw();
} catch (const oncelog::Exception &exception) {
    std::cerr << exception.what() << "\n";
    return 1;
}
