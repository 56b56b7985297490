// A named producer: after a crash it knows where it stood, and what it sends again is refused. Give the directory of a
// new log.

#include <iostream>

#include <oncelog.hpp>

using namespace oncelog;

static const char *const LINES[] = {"one", "two", "three", "four", "five"};

/// Sends the first lines; the number of a line is its position. Answers how many the log already had.
static int load(const Engine &engine, std::uint64_t count) {
    Producer producer = engine.producer(ProducerOptions().name("loader")).value();
    std::cout << "the log has everything up to position " << producer.position().value().value_or(0) << "\n";
    int duplicates = 0;
    for (std::uint64_t position = 1; position <= count; ++position) {
        Record record = Record(LINES[position - 1]).position(position);
        Ticket<Appended> ticket = producer.send("lines", record).value();
        if (ticket.wait()->duplicate) ++duplicates;
    }
    return duplicates;
}

int main(int count, char **arguments) try {
    const char *directory = count > 1 ? arguments[1] : "resume_without_duplicates.log";
    Engine engine = Engine::open(directory).value();
    engine.create_topic("lines").or_throw();
    load(engine, 3);
    engine.close().or_throw();

    // Another life, which does not trust the first one and sends everything.
    engine = Engine::open(directory).value();
    int duplicates = load(engine, 5);
    std::uint64_t end = engine.partition("lines", 0)->bounds()->end;
    std::cout << duplicates << " lines were refused as duplicates; " << end << " are in the log\n";
    engine.close().or_throw();
} catch (const Exception &exception) {
    std::cerr << exception.what() << "\n";
    return 1;
}
