// A program of its own, because it takes the memory from C++, not from the library: what a callback of the header's own
// throws reaches its caller around the library, which no exception may pass through.

#include <new>

#include "damage.hpp"

static bool none_left = false;

void *operator new(std::size_t size) {
    void *memory = none_left ? nullptr : std::malloc(size);
    if (memory == nullptr) throw std::bad_alloc();
    return memory;
}
void operator delete(void *memory) noexcept { std::free(memory); }
void operator delete(void *memory, std::size_t) noexcept { std::free(memory); }

int main() {
    Log log;
    OK(OK(log.engine.partition("t", 0)).append(Record("rotten")));
    OK(log.engine.flush());
    damage(log.directory.path(), "rotten");
    bool thrown = false;
    none_left = true;
    try {
        (void)log.engine.verify();
    } catch (const std::bad_alloc &) {
        thrown = true;
    }
    none_left = false;
    CHECK(thrown && OK(log.engine.verify()).damage.size() == 1);
    std::printf("a verification without memory says so\n");
}
