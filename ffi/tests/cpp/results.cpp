// Errors, results, texts and bytes.

#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <memory>
#include <string_view>

#include "check.hpp"

static_assert(!std::is_copy_constructible_v<Engine> && std::is_nothrow_move_constructible_v<Engine>);
static_assert(!std::is_copy_constructible_v<Partition> && std::is_nothrow_move_assignable_v<Partition>);
static_assert(!std::is_copy_constructible_v<Producer> && std::is_nothrow_move_assignable_v<Producer>);
static_assert(!std::is_copy_constructible_v<Transaction> && std::is_nothrow_move_assignable_v<Transaction>);
static_assert(!std::is_copy_constructible_v<Records> && std::is_nothrow_move_assignable_v<Records>);
static_assert(!std::is_copy_constructible_v<Ticket<Appended>> && std::is_nothrow_move_assignable_v<Ticket<Appended>>);
static_assert(!std::is_copy_constructible_v<Completions> && std::is_nothrow_move_assignable_v<Completions>);
static_assert(sizeof(Engine) == sizeof(void *) && sizeof(Ticket<void>) == sizeof(void *));
static_assert(!std::is_constructible_v<Text, std::string_view>, "a view need not end with NUL");

TEST("an error has a code, a name, a message and the three questions") {
    Log log;
    auto again = log.engine.create_topic("t");
    const Error &error = again.error();
    CHECK(error && error.code() == ErrorCode::TopicExists && error == ErrorCode::TopicExists);
    CHECK(std::string(error.name()) == "TopicExists" && error.kafka_code() == 36 && error.cause() == nullptr);
    CHECK(error_code_from_kafka(36) == ErrorCode::TopicExists && error_code_from_kafka(0) == ErrorCode::Ok);
    CHECK(!error.is_retriable() && !error.is_fatal() && !error.requires_abort());
    CHECK(error.describe() == std::string("TopicExists: ") + error.message());
}

TEST("an error says what the operating system said") {
    Directory directory;
    auto result = Engine::open(directory.path() + "/missing", EngineOptions().create(false));
    CHECK(!result && result.error().cause() != nullptr);
    CHECK(result.error().describe().find(result.error().cause()) != std::string::npos);
}

TEST("copies of an error share its texts, and outlive it") {
    Error copy;
    CHECK(!copy && copy.code() == ErrorCode::Ok && copy.describe() == "no error" && *copy.message() == 0);
    {
        auto result = Engine::open("");
        copy = result.error();
        CHECK(copy.message() == result.error().message());
    }
    CHECK(copy.code() == ErrorCode::InvalidArgument || copy.code() == ErrorCode::Io);
}

static Result<std::string> handed_on() {
    auto result = Engine::open(std::string("a\0b", 3));
    if (!result) return result.error();
    return std::string("opened");
}

TEST("an error turns into a result of another type") { FAILS(handed_on(), InvalidArgument); }

TEST("a result holds what cannot be copied, and gives it away") {
    Result<std::unique_ptr<int>> result = std::make_unique<int>(7);
    CHECK(result.ok() && result && **result == 7 && *result->get() == 7);
    CHECK(result.error() == ErrorCode::Ok);
    result.or_throw();
    std::unique_ptr<int> taken = std::move(result).value();
    CHECK(*taken == 7);
}

TEST("a result may have another value instead of an error") {
    Result<int> bad = Engine::open(nullptr).error();
    CHECK(std::move(bad).value_or(5) == 5);
    CHECK(Result<int>(4).value_or(5) == 4);
}

#if ONCELOG_EXCEPTIONS
TEST("value and or_throw throw the error") {
    Log log;
    try {
        (void)log.engine.partition("missing", 0).value();
        CHECK(false);
    } catch (const Exception &exception) {
        Exception copy = exception;
        CHECK(copy.code() == ErrorCode::UnknownTopicOrPartition && copy.error() == copy.code());
        CHECK(std::string(copy.what()).rfind("UnknownTopicOrPartition: ", 0) == 0);
    }
    const Result<int> bad = Engine::open(nullptr).error();
    for (int way = 0; way < 4; ++way) {
        bool thrown = false;
        try {
            if (way == 0) log.engine.create_topic("t").or_throw();
            if (way == 1) (void)bad.value();
            if (way == 2) (void)*bad;
            if (way == 3) bad.or_throw();
        } catch (const std::exception &) {
            thrown = true;
        }
        CHECK(thrown);
    }
}
#else
TEST("without exceptions value and or_throw print the error and abort") {
    int ends[2];
    CHECK(pipe(ends) == 0);
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        dup2(ends[1], 2);
        std::signal(SIGABRT, SIG_DFL);
        (void)Engine::open(nullptr).value();
        _exit(0);
    }
    close(ends[1]);
    std::string said;
    char byte = 0;
    while (read(ends[0], &byte, 1) == 1) said += byte;
    close(ends[0]);
    int status = 0;
    CHECK(waitpid(child, &status, 0) == child);
    CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
    CHECK(said.rfind("oncelog: InvalidArgument: ", 0) == 0);
}
#endif

TEST("a text with a NUL in it is refused, not cut") {
    Log log;
    FAILS(log.engine.create_topic(std::string("t2\0x", 4)), InvalidArgument);
    FAILS(log.engine.producer(ProducerOptions().name(std::string("a\0b", 3))), InvalidArgument);
    FAILS(log.engine.consumer(ConsumerOptions().group(std::string("a\0b", 3))), InvalidArgument);
    FAILS(log.engine.partition(nullptr, 0), InvalidArgument);
    CHECK(OK(log.engine.topics()).size() == 1);
}

TEST("bytes are made from what holds bytes, and null is not empty") {
    std::vector<std::uint8_t> numbers = {104, 105};
    std::array<std::byte, 2> raw = {std::byte(104), std::byte(105)};
    for (Bytes bytes : {Bytes("hi"), Bytes(std::string_view("hi")), Bytes(numbers), Bytes(raw), Bytes("high", 2)}) {
        CHECK(bytes == "hi" && bytes.size() == 2 && !bytes.is_null() && bytes.str() == "hi");
        CHECK(std::string(bytes.begin(), bytes.end()) == "hi");
    }
    Bytes null, empty(""), none = std::vector<char>(), view = std::string_view();
    CHECK(null.is_null() && null.empty() && null.text().empty() && null == nullptr);
    for (Bytes bytes : {empty, none, view}) CHECK(!bytes.is_null() && bytes.empty() && bytes != null);
    CHECK(Bytes(static_cast<const char *>(nullptr)).is_null() && Bytes(nullptr, 5).size() == 0);
}

TEST("times are rounded up and held in range") {
    using detail::c_milliseconds;
    CHECK(c_milliseconds(1500us) == 2 && c_milliseconds(1ns) == 1 && c_milliseconds(0s) == 0);
    CHECK(c_milliseconds(-1h) == 0 && c_milliseconds(2s) == 2000);
    CHECK(c_milliseconds(std::chrono::hours::max()) == ONCELOG_FOREVER);
    CHECK(c_milliseconds(std::chrono::duration<double>(0.0015)) == 2);
}

TEST("limits are constants of their own units, and those that the library keeps") {
    static_assert(limits::batch_max == 1'048'588 && limits::offset_max == INT64_MAX && limits::topic_name_max == 249);
    static_assert(limits::transaction_timeout == 1min && limits::transaction_timeout_max == 15min);
    Log log;
    OK(log.engine.create_topic(std::string(limits::topic_name_max, 'x')));
    CHECK(!log.engine.create_topic(std::string(limits::topic_name_max + 1, 'x')));
    Partition partition = OK(log.engine.partition("t", 0));
    FAILS(partition.append(Record(std::string(limits::batch_max, 'x'))), RecordTooLarge);
    OK(partition.append(Record(std::string(limits::batch_max - 100, 'x'))));
    CHECK(!Engine::open(log.directory.path() + "x", EngineOptions().segment_bytes(limits::segment_min - 1)));
}
