// The README's lines of C++, as they stand there: ffi/test.sh takes them out of it.

#include <iostream>

#include <oncelog.hpp>

int main() {
#include "readme_lines.hpp"
}
