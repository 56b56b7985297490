// Runs all tests, or those whose sentences hold a word that is given.

#include <cstring>
#include <exception>

#include "check.hpp"

int main(int count, char **words) {
    std::set_terminate([] { failed(__FILE__, __LINE__, "an exception that nobody caught"); });
    CHECK(version_matches());
    int run = 0;
    for (const Test &test : Test::all()) {
        if (count > 1 && std::strstr(test.sentence, words[1]) == nullptr) continue;
        Test::now() = test.sentence;
        test.run();
        ++run;
    }
    std::printf("%d tests passed\n", run);
    return run > 0 ? 0 : 1;
}
