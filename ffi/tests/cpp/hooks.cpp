// The version and the logger.

#include <atomic>
#include <memory>
#include <mutex>

#include "check.hpp"

TEST("the library is of the header's version") {
    CHECK(version_matches() && version_number() == ONCELOG_VERSION_NUMBER);
    CHECK(std::string(version_string()).rfind(std::to_string(ONCELOG_VERSION_MAJOR) + ".", 0) == 0);
}

TEST("a logger hears what the log has to say, until it is taken away") {
    std::mutex mutex;
    std::string heard;
    int infos = 0;
    set_logger([&, own = std::make_shared<int>(1)](LogLevel level, std::string_view message) {
        std::lock_guard<std::mutex> lock(mutex);
        heard += std::string(message) + "\n";
        infos += level == LogLevel::Info ? *own : 0;
    });
    { Log log; }
    set_logger([&](LogLevel, std::string_view) { heard += "second\n"; });
    { Log log; }
    set_logger(nullptr);
    std::string before = heard;
    { Log log; }
    CHECK(infos > 0 && heard.find("second\n") != std::string::npos && heard == before);
}
