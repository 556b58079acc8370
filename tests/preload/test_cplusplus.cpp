// SPDX-License-Identifier: MIT
// Copyright (c) The aomalloc developers

// C++ operators and exceptions above the preloaded heap. They need no functions of their own there.

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <dlfcn.h>
#include <limits>
#include <memory>
#include <new>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

namespace {

using usable_size_function = std::size_t(const void *);
usable_size_function *usable_size;
int failures;

void check(bool condition, const char *what)
{
    if (!condition) {
        std::printf("not ok: %s\n", what);
        failures++;
    }
}

struct alignas(256) aligned {
    char bytes[300];
};

void throw_and_catch()
{
    try {
        throw std::runtime_error(std::string(1000, 'x'));
    } catch (const std::exception &error) {
        check(std::string(error.what()).size() == 1000, "an exception's text");
    }
}

void allocate_too_much()
{
    volatile std::size_t much = std::numeric_limits<std::ptrdiff_t>::max();
    bool caught = false;

    try {
        ::operator delete(::operator new(much));
    } catch (const std::bad_alloc &) {
        caught = true;
    }
    check(caught, "bad_alloc");
}

} // namespace

int main()
{
    usable_size = reinterpret_cast<usable_size_function *>(dlsym(RTLD_DEFAULT, "AO_malloc_usable_size"));
    if (!usable_size) {
        std::puts("not ok: nothing is preloaded");
        return EXIT_FAILURE;
    }
    std::unique_ptr<int> number(new int(5));
    check(usable_size(number.get()) >= sizeof(int), "operator new"); // aborts if it is of another heap
    std::unique_ptr<int[]> numbers(new int[1000000]());
    check(usable_size(numbers.get()) >= 4000000 && numbers[999999] == 0, "operator new[]");
    std::unique_ptr<aligned> object(new aligned);
    check(usable_size(object.get()) >= sizeof(aligned), "operator new with an alignment");
    check(reinterpret_cast<std::uintptr_t>(object.get()) % alignof(aligned) == 0, "the alignment");
    throw_and_catch();
    allocate_too_much();
    std::vector<std::thread> threads;
    for (int i = 0; i < 4; i++)
        threads.emplace_back([] {
            for (int round = 0; round < 1000; round++)
                std::vector<std::string>(50, std::string(50, 'y'));
        });
    for (auto &thread : threads)
        thread.join();
    return failures ? EXIT_FAILURE : EXIT_SUCCESS;
}
