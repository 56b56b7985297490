/* A fuzz target: its bytes choose the calls. With clang:
 *     clang -fsanitize=fuzzer,address -DFUZZER fuzz_calls.c calls.c seldom_calls.c ... -loncelog
 * Without -DFUZZER this is a program that replays files, or else INPUTS=n (200) random inputs of SEED=n. */
#include <time.h>

#include "calls.h"

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size);

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size)
{
    static struct shared shared;
    static const unsigned char NOTHING;
    struct source source = {.data = size > 0 ? data : &NOTHING, .left = size};
    open_shared(&source, &shared);
    while (source.left > 0)
        call_any(&source, &shared);
    close_shared(&source, &shared);
    return 0;
}

#ifndef FUZZER

static void replay(const char *path)
{
    static unsigned char bytes[1 << 16];
    FILE *file = fopen(path, "rb");
    CHECK(file != NULL);
    size_t size = fread(bytes, 1, sizeof bytes, file);
    fclose(file);
    LLVMFuzzerTestOneInput(bytes, size);
}

int main(int count, char **arguments)
{
    static unsigned char bytes[2048];
    const char *inputs = getenv("INPUTS"), *given = getenv("SEED");
    unsigned long long seed = given && *given ? strtoull(given, NULL, 10) : (unsigned long long)time(NULL);
    struct source random = {.state = seed};
    for (int i = 1; i < count; i++)
        replay(arguments[i]);
    if (count > 1)
        return 0;
    fprintf(stderr, "fuzz_calls: SEED=%llu\n", seed);
    for (int left = inputs && *inputs ? atoi(inputs) : 200; left > 0; left--) {
        size_t size = below(&random, sizeof bytes);
        for (size_t i = 0; i < size; i++)
            bytes[i] = (unsigned char)next_number(&random);
        LLVMFuzzerTestOneInput(bytes, size);
    }
    return 0;
}

#endif
