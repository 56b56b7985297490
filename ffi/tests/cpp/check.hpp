// Tests as sentences: TEST("what holds") { ... }. A failed check says where, and ends its test.

#ifndef CHECK_HPP
#define CHECK_HPP

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <oncelog.hpp>

using namespace oncelog;
using namespace std::chrono_literals;

struct Test {
    const char *sentence;
    void (*run)();

    /// The one that runs.
    static const char *&now() {
        static const char *now = "";
        return now;
    }
    static std::vector<Test> &all() {
        static std::vector<Test> all;
        return all;
    }
    Test(const char *what, void (*f)()) : sentence(what), run(f) { all().push_back(*this); }
};

#define JOIN2(a, b) a##b
#define JOIN(a, b) JOIN2(a, b)
#define TEST(sentence) TEST_NAMED(sentence, JOIN(test_, __COUNTER__))
#define TEST_NAMED(sentence, name)                           \
    static void name();                                      \
    static const Test JOIN(name, _entry){sentence, &name};   \
    static void name()

/// Without exceptions there is no way out of a test but this one.
[[noreturn]] inline void failed(const char *file, int line, const std::string &what) {
    std::fprintf(stderr, "%s:%d: %s\n  in: %s\n", file, line, what.c_str(), Test::now());
    std::fflush(stderr);
    std::_Exit(1);
}

#define CHECK(condition) \
    ((condition) ? void() : failed(__FILE__, __LINE__, "this does not hold: " #condition))

/// Takes the value of a result that must have one.
#define OK(result) check_ok((result), __FILE__, __LINE__)
template <class T>
T check_ok(Result<T> result, const char *file, int line) {
    if (!result.ok()) failed(file, line, result.error().describe());
    return std::move(result).value();
}
inline void check_ok(Result<void> result, const char *file, int line) {
    if (!result.ok()) failed(file, line, result.error().describe());
}

/// Takes what an optional holds; it must hold something.
#define SOME(optional) check_some((optional), __FILE__, __LINE__)
template <class T>
T check_some(std::optional<T> optional, const char *file, int line) {
    if (!optional.has_value()) failed(file, line, "there should be something");
    return *std::move(optional);
}

/// A result that must be an error, and this one, with a message that says something.
#define FAILS(result, kind) check_fails((result), ErrorCode::kind, __FILE__, __LINE__)
template <class T>
void check_fails(const Result<T> &result, ErrorCode code, const char *file, int line) {
    if (result.ok()) failed(file, line, "this should have failed");
    if (result.error() != code) failed(file, line, "another error was expected than " + result.error().describe());
    if (std::string(result.error().message()).size() < 10) failed(file, line, "the error has no message");
}

/// A directory that is there as long as this.
class Directory {
public:
    Directory() {
        std::string pattern = (std::filesystem::temp_directory_path() / "oncelog-cpp-XXXXXX").string();
        CHECK(mkdtemp(pattern.data()) != nullptr);
        path_ = pattern;
    }
    Directory(const Directory &) = delete;
    Directory &operator=(const Directory &) = delete;
    ~Directory() {
        std::error_code ignored;
        std::filesystem::remove_all(path_, ignored);
    }
    const std::string &path() const { return path_; }

private:
    std::string path_;
};

using Topics = std::vector<const char *>;
inline const Topics NO_TOPICS;

/// A log in a directory of its own, with some topics of one partition each. Its segments are small.
struct Log {
    explicit Log(const Topics &topics = {"t"}, EngineOptions options = {})
        : engine(OK(Engine::open(directory.path(), options.segment_bytes(1 << 20)))) {
        for (const char *topic : topics) OK(engine.create_topic(topic));
    }
    Directory directory;
    Engine engine;
};

/// The values of a partition from an offset on, one after the other with blanks between.
inline std::string values(const Engine &engine, Text topic, std::uint32_t number = 0, std::uint64_t from = 0) {
    Partition partition = OK(engine.partition(topic, number));
    std::string all;
    while (from < OK(partition.bounds()).stable) {
        Records records = OK(partition.read(from));
        OK(records.each([&](RecordView record) { all += (all.empty() ? "" : " ") + record.value().str(); }));
        from = SOME(OK(records.next_offset(topic, number)));
    }
    return all;
}

#endif
