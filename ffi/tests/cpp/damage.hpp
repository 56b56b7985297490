// What a disk may do to a log.

#ifndef DAMAGE_HPP
#define DAMAGE_HPP

#include <fstream>
#include <iterator>

#include "check.hpp"

/// Turns over the bits of the first byte of a word in any file of a directory, or of one that lies so far before it.
inline void damage(const std::string &directory, const std::string &word, std::size_t before = 0) {
    for (const auto &entry : std::filesystem::recursive_directory_iterator(directory)) {
        if (!entry.is_regular_file()) continue;
        std::fstream file(entry.path(), std::ios::in | std::ios::out | std::ios::binary);
        std::string text((std::istreambuf_iterator<char>(file)), {});
        auto at = text.find(word);
        if (at == std::string::npos) continue;
        at -= before;
        file.clear();
        file.seekp(static_cast<std::streamoff>(at));
        file.put(static_cast<char>(~text[at]));
        return;
    }
    CHECK(false);
}

#endif
