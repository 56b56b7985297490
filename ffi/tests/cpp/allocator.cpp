// A program of its own, because the allocator is set before everything else.

#include <atomic>

#include "check.hpp"

#if defined(__cpp_lib_memory_resource)
/// Counts what the library takes and gives back.
struct Counting : std::pmr::memory_resource {
    std::atomic<long> taken{0}, bytes{0};

    void *do_allocate(std::size_t size, std::size_t alignment) override {
        ++taken;
        bytes += static_cast<long>(size);
        return std::pmr::new_delete_resource()->allocate(size, alignment);
    }
    void do_deallocate(void *memory, std::size_t size, std::size_t alignment) override {
        bytes -= static_cast<long>(size);
        std::pmr::new_delete_resource()->deallocate(memory, size, alignment);
    }
    bool do_is_equal(const memory_resource &other) const noexcept override { return this == &other; }
};

int main() {
    static Counting counting;
    OK(set_allocator(counting));
    for (int round = 0; round < 2; ++round) {
        Log log;
        OK(OK(log.engine.partition("t", 0)).append(Record("x")));
        CHECK(values(log.engine, "t") == "x" && counting.taken > 0 && counting.bytes > 0);
    }
    FAILS(set_allocator(counting), InvalidState);
    std::printf("%ld allocations, %ld bytes left\n", counting.taken.load(), counting.bytes.load());
}
#else
int main() { std::printf("this library has no memory_resource\n"); }
#endif
