// The version that runs, and hooks for messages and memory. Part of oncelog.hpp.
// SPDX-License-Identifier: MIT OR Apache-2.0

#ifndef ONCELOG_HOOKS_HPP
#define ONCELOG_HOOKS_HPP

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string_view>
#include <utility>

#include "types.hpp"

#if defined(__has_include)
#if __has_include(<memory_resource>)
#include <memory_resource>
#endif
#endif

namespace oncelog {

/// The version of the library that runs: major * 1,000,000 + minor * 1,000 + patch.
inline std::uint32_t version_number() noexcept { return oncelog_version_number(); }
/// The same as text, such as "0.1.0".
inline const char *version_string() noexcept { return oncelog_version_string(); }
/// True if the library that runs is one that this header may be used with. While the major version is 0 that is one of
/// the same minor version.
inline bool version_matches() noexcept {
    constexpr std::uint32_t part = ONCELOG_VERSION_MAJOR == 0 ? 1000 : 1000000;
    return version_number() / part == ONCELOG_VERSION_NUMBER / part;
}

/// How grave a message is.
enum class LogLevel : std::uint32_t {
    /// Something failed or was lost.
    Error = ONCELOG_LOG_ERROR,
    /// Something that should be looked at.
    Warn = ONCELOG_LOG_WARN,
    /// Something that happens once in the life of a log.
    Info = ONCELOG_LOG_INFO,
    /// For those who look for a fault.
    Debug = ONCELOG_LOG_DEBUG,
};

/// Takes a message: one line that ends with its variables as key=value, and lives during the call only.
using LogFunction = std::function<void(LogLevel level, std::string_view message)>;

namespace detail {

/// A logger that was set, and those before it: another thread may be in one, so they are kept.
struct Logger {
    LogFunction log;
    Logger *before;

    static std::atomic<Logger *> &last() noexcept {
        static std::atomic<Logger *> last{nullptr};
        return last;
    }
    static void run(void *context, std::uint32_t level, const char *message) noexcept {
        static_cast<Logger *>(context)->log(static_cast<LogLevel>(level), message);
    }
};

}  // namespace detail

/// Sets where the messages of all engines of this process go: that a log was opened, what was cut or is damaged, that
/// the disk failed, that a producer was fenced, that a log was closed. An empty function: nowhere, as in the beginning.
///
/// It runs at the end of calls to this library, on the thread that made the call and on no other; threads that call at
/// the same time may run it at the same time. It may call the library. One that throws ends the program. It is kept to
/// the end of the process.
inline void set_logger(LogFunction log) {
    if (!log) return oncelog_set_logger(nullptr, nullptr);
    auto made = std::make_unique<detail::Logger>(detail::Logger{std::move(log), detail::Logger::last().load()});
    while (!detail::Logger::last().compare_exchange_weak(made->before, made.get())) {
    }
    oncelog_set_logger(&detail::Logger::run, made.release());
}

#if defined(__cpp_lib_memory_resource)
namespace detail {

inline void *allocate(void *resource, std::size_t size, std::size_t alignment) noexcept {
    return static_cast<std::pmr::memory_resource *>(resource)->allocate(size, alignment);
}
inline void release(void *resource, void *memory, std::size_t size, std::size_t alignment) noexcept {
    static_cast<std::pmr::memory_resource *>(resource)->deallocate(memory, size, alignment);
}

}  // namespace detail

/// Sets where the library takes its memory from; by default the system's malloc. Before every other call, and once:
/// memory goes back where it came from. The resource must live to the end of the process, is called from any thread,
/// and must not call this library. One that has no more memory ends the program. Two things come from elsewhere: the
/// working memory of zstd, from the system's malloc, and what the system maps.
///
/// Errors: InvalidState if anything was allocated before.
inline Result<void> set_allocator(std::pmr::memory_resource &resource) {
    return detail::answer(oncelog_set_allocator(&detail::allocate, &detail::release, &resource));
}
#endif

}  // namespace oncelog

#endif
