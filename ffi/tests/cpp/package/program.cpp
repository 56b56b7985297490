// A program of somebody who has installed oncelog: program <new directory>.

#include <oncelog.hpp>

int main(int, char **arguments) {
    auto engine = oncelog::Engine::open(arguments[1]).value();
    engine.create_topic("t").or_throw();
    auto partition = engine.partition("t", 0).value();
    partition.append(oncelog::Record("installed")).or_throw();
    bool found = false;
    for (auto record : partition.read(0).value()) found = record.value() == "installed";
    return found && oncelog::version_matches() ? 0 : 1;
}
