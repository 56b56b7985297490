// All tests in one file, because it is compiled many times.

#include "consumers.cpp"
#include "engines.cpp"
#include "hooks.cpp"
#include "lifetimes.cpp"
#include "loops.cpp"
#include "partitions.cpp"
#include "producers.cpp"
#include "raw.cpp"
#include "reading.cpp"
#include "results.cpp"
#include "threads.cpp"
#include "transactions.cpp"

#include "main.cpp"
