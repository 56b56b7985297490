// A program of its own, because it closes its log where it ends: static objects, and those of a thread, outlive much.

#include <thread>

#include "check.hpp"

/// A log with a record that nobody waited for, which the close has to write. It goes with its thread, or with all.
struct Ending {
    explicit Ending(const Directory &in) : directory(&in), engine(OK(Engine::open(in.path()))) {
        OK(engine.create_topic("t"));
        producer = OK(engine.producer(ProducerOptions().linger(1h)));
        OK(producer->send_detached("t", Record("sent")));
    }
    ~Ending() {
        OK(engine.close());
        FAILS(producer->send_detached("t", Record("late")), Closed);
        Engine again = OK(Engine::open(directory->path()));
        CHECK(OK(again.opening()).cut_bytes == 0 && values(again, "t") == "sent");
        std::puts("a log was closed at an end");
    }
    const Directory *directory;
    Engine engine;
    std::optional<Producer> producer;
};

static Directory for_a_thread, for_all;
static std::optional<Ending> ending;

int main() {
    Test::now() = "a log is closed by what ends last";
    std::thread([] { thread_local Ending of_a_thread(for_a_thread); }).join();
    ending.emplace(for_all);
}
