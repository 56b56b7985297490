// Errors, and results that hold a value or one of them. Part of oncelog.hpp.
// SPDX-License-Identifier: MIT OR Apache-2.0

#ifndef ONCELOG_ERROR_HPP
#define ONCELOG_ERROR_HPP

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <optional>
#include <string>
#include <type_traits>
#include <utility>

#include "../oncelog.h"

// 1 if value() and or_throw() throw, 0 if they abort.
#ifndef ONCELOG_EXCEPTIONS
#if defined(__cpp_exceptions) || defined(__EXCEPTIONS) || defined(_CPPUNWIND)
#define ONCELOG_EXCEPTIONS 1
#else
#define ONCELOG_EXCEPTIONS 0
#endif
#endif

// A type that is one and the same in all modules of a process, also in those whose symbols are hidden: so that one may
// catch what another throws.
#if defined(__GNUC__) && !defined(_WIN32) && !defined(__CYGWIN__)
#define ONCELOG_ONE_TYPE __attribute__((visibility("default")))
#else
#define ONCELOG_ONE_TYPE
#endif

#if ONCELOG_EXCEPTIONS
#include <exception>
#endif

namespace oncelog {

/// What kind of error. Numbers are fixed for ever; later versions may add some, so switches need a default.
enum class ErrorCode : std::uint32_t {
    Ok = ONCELOG_OK,
    InvalidArgument = ONCELOG_ERROR_INVALID_ARGUMENT,
    InvalidState = ONCELOG_ERROR_INVALID_STATE,
    Closed = ONCELOG_ERROR_CLOSED,
    Forked = ONCELOG_ERROR_FORKED,
    Locked = ONCELOG_ERROR_LOCKED,
    ReadOnly = ONCELOG_ERROR_READ_ONLY,
    Io = ONCELOG_ERROR_IO,
    Full = ONCELOG_ERROR_FULL,
    Poisoned = ONCELOG_ERROR_POISONED,
    Corrupt = ONCELOG_ERROR_CORRUPT,
    Truncated = ONCELOG_ERROR_TRUNCATED,
    UnsupportedVersion = ONCELOG_ERROR_UNSUPPORTED_VERSION,
    TimedOut = ONCELOG_ERROR_TIMED_OUT,
    Busy = ONCELOG_ERROR_BUSY,
    LimitExceeded = ONCELOG_ERROR_LIMIT_EXCEEDED,
    RecordTooLarge = ONCELOG_ERROR_RECORD_TOO_LARGE,
    TopicExists = ONCELOG_ERROR_TOPIC_EXISTS,
    UnknownTopicOrPartition = ONCELOG_ERROR_UNKNOWN_TOPIC_OR_PARTITION,
    UnknownGroup = ONCELOG_ERROR_UNKNOWN_GROUP,
    OffsetOutOfRange = ONCELOG_ERROR_OFFSET_OUT_OF_RANGE,
    OutOfOrderSequence = ONCELOG_ERROR_OUT_OF_ORDER_SEQUENCE,
    UnknownProducer = ONCELOG_ERROR_UNKNOWN_PRODUCER,
    ProducerFenced = ONCELOG_ERROR_PRODUCER_FENCED,
    StaleEpoch = ONCELOG_ERROR_STALE_EPOCH,
    InvalidRecord = ONCELOG_ERROR_INVALID_RECORD,
    UnstableOffsets = ONCELOG_ERROR_UNSTABLE_OFFSETS,
    UnknownTransactionalId = ONCELOG_ERROR_UNKNOWN_TRANSACTIONAL_ID,
    GroupNotEmpty = ONCELOG_ERROR_GROUP_NOT_EMPTY,
    Rebalancing = ONCELOG_ERROR_REBALANCING,
    InvalidTransactionState = ONCELOG_ERROR_INVALID_TRANSACTION_STATE,
    TransactionAborted = ONCELOG_ERROR_TRANSACTION_ABORTED,
    TransactionTimedOut = ONCELOG_ERROR_TRANSACTION_TIMED_OUT,
    Indeterminate = ONCELOG_ERROR_INDETERMINATE,
    StaleGroupMember = ONCELOG_ERROR_STALE_GROUP_MEMBER,
    Internal = ONCELOG_ERROR_INTERNAL,
    Panic = ONCELOG_ERROR_PANIC,
};

/// The code that says what a code of Kafka's protocol says, for programs that were written against a broker's answers;
/// Ok for 0, which is no error. Codes that speak of what only a cluster has are Busy where Kafka's clients try again,
/// else Internal; so are codes that came after this version.
inline ErrorCode error_code_from_kafka(std::int16_t kafka_code) noexcept {
    return static_cast<ErrorCode>(oncelog_error_code_from_kafka(kafka_code));
}

/// What went wrong: a code to act on, a message that says what to do, and Kafka's three questions. Copies share one
/// error and its texts. Any number of threads may ask it.
class Error {
public:
    /// No error: code Ok, empty texts.
    Error() noexcept = default;
    /// Takes over an error of the C interface; null is no error.
    explicit Error(oncelog_error_t *owned) {
        if (owned != nullptr) c_ = std::shared_ptr<oncelog_error_t>(owned, &oncelog_error_free);
    }

    /// What kind.
    ErrorCode code() const noexcept { return static_cast<ErrorCode>(oncelog_error_code(c_.get())); }
    /// The name of the code, the same in every language, such as "OffsetOutOfRange". Lives as long as this.
    const char *name() const noexcept { return oncelog_error_name(c_.get()); }
    /// What happened and what to do, in lower case, its variables at the end. Lives as long as this.
    const char *message() const noexcept { return oncelog_error_message(c_.get()); }
    /// What the operating system, or a lower layer, said; null if nothing did. Lives as long as this.
    const char *cause() const noexcept { return oncelog_error_cause(c_.get()); }
    /// The code by which a Kafka broker would tell its clients the same.
    std::int16_t kafka_code() const noexcept { return oncelog_error_kafka_code(c_.get()); }
    /// The same call may succeed later without any change.
    bool is_retriable() const noexcept { return oncelog_error_is_retriable(c_.get()); }
    /// The object that was called is finished: make a new one.
    bool is_fatal() const noexcept { return oncelog_error_is_fatal(c_.get()); }
    /// The transaction that this came from can only be aborted and run again.
    bool requires_abort() const noexcept { return oncelog_error_requires_abort(c_.get()); }
    /// True if this is an error.
    explicit operator bool() const noexcept { return c_ != nullptr; }
    /// Name, message and cause in one line.
    std::string describe() const {
        if (c_ == nullptr) return "no error";
        std::string text = std::string(name()) + ": " + message();
        return cause() == nullptr ? text : text + ": " + cause();
    }

private:
    std::shared_ptr<oncelog_error_t> c_;
};

inline bool operator==(const Error &error, ErrorCode code) noexcept { return error.code() == code; }
inline bool operator!=(const Error &error, ErrorCode code) noexcept { return error.code() != code; }

#if ONCELOG_EXCEPTIONS
/// What value() and or_throw() throw. Copies share one error and its texts.
class ONCELOG_ONE_TYPE Exception : public std::exception {
public:
    explicit Exception(Error error)
        : error_(std::move(error)), text_(std::make_shared<const std::string>(error_.describe())) {}

    /// Name, message and cause in one line.
    const char *what() const noexcept override { return text_->c_str(); }
    /// The error.
    const Error &error() const noexcept { return error_; }
    /// What kind.
    ErrorCode code() const noexcept { return error_.code(); }

private:
    Error error_;
    std::shared_ptr<const std::string> text_;
};
#endif

namespace detail {

/// Throws the error, or prints it and ends the program.
[[noreturn]] inline void fail(const Error &error) {
#if ONCELOG_EXCEPTIONS
    throw Exception(error);
#else
    std::fprintf(stderr, "oncelog: %s\n", error.describe().c_str());
    std::abort();
#endif
}

/// A value that answers a condition by itself.
template <class T>
inline constexpr bool may_be_no = std::is_same_v<T, bool>;
template <class T>
inline constexpr bool may_be_no<std::optional<T>> = true;

}  // namespace detail

/// A value, or the error that there is instead. `if (!result) return result.error();` hands an error on: it turns into
/// a Result of any type. A result whose value may itself be no has ok() alone, a bool's and an optional's: neither
/// `if (ticket.poll())` nor `if (producer.try_send(...))` would ask what it seems to ask.
template <class T>
class [[nodiscard]] Result {
public:
    /// The value.
    Result(T value) : value_(std::move(value)) {}
    /// The error that there is instead.
    Result(Error error) noexcept : error_(std::move(error)) {}

    /// True if there is a value.
    bool ok() const noexcept { return value_.has_value(); }
    template <class V = T, class = std::enable_if_t<!detail::may_be_no<V>>>
    explicit operator bool() const noexcept {
        return ok();
    }
    /// The error; code Ok if there is a value.
    const Error &error() const noexcept { return error_; }

    /// The value. Throws the error if there is none; compiled without exceptions, prints it and aborts.
    T &value() & { return check(), *value_; }
    const T &value() const & { return check(), *value_; }
    T value() && { return check(), std::move(*value_); }
    /// The value, or another one.
    T value_or(T other) && { return ok() ? std::move(*value_) : std::move(other); }
    /// The same as value(), for calls whose value nobody needs.
    void or_throw() const { check(); }

    /// As value().
    T &operator*() & { return value(); }
    const T &operator*() const & { return value(); }
    T operator*() && { return std::move(*this).value(); }
    T *operator->() { return &value(); }
    const T *operator->() const { return &value(); }

private:
    void check() const {
        if (!ok()) detail::fail(error_);
    }

    Error error_;
    std::optional<T> value_;
};

/// Success, or the error that there is instead.
template <>
class [[nodiscard]] Result<void> {
public:
    /// Success.
    Result() noexcept = default;
    /// An error; success if there is none in it.
    Result(Error error) noexcept : error_(std::move(error)) {}

    bool ok() const noexcept { return !error_; }
    explicit operator bool() const noexcept { return ok(); }
    /// The error; code Ok for success.
    const Error &error() const noexcept { return error_; }
    /// Throws the error if there is one; compiled without exceptions, prints it and aborts.
    void or_throw() const {
        if (!ok()) detail::fail(error_);
    }
    /// The same.
    void value() const { or_throw(); }

private:
    Error error_;
};

namespace detail {

/// A result of what the C interface answered; `take` makes the value once it is known that there is one.
template <class F>
auto answer(oncelog_error_t *error, F take) -> Result<decltype(take())> {
    if (error != nullptr) return Error(error);
    return take();
}

/// The same for calls that answer nothing.
inline Result<void> answer(oncelog_error_t *error) { return Error(error); }

}  // namespace detail

}  // namespace oncelog

#endif
