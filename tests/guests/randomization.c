/* Where a program and its parts are put: a tracer that stops at addresses asks for the same ones every time. */
#include "guest.h"

#include <sys/personality.h>

enum { RANDOM = 3, PLACES = 5 }; /* the first ones are random however the program was linked */

static int a_variable = 1;

HELPER(print_places)
{
    int on_the_stack;
    uint64_t places[PLACES] = {
        (uintptr_t)&on_the_stack,
        (uintptr_t)sbrk(0),
        (uintptr_t)mmap(NULL, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0),
        (uintptr_t)&a_variable,
        (uintptr_t)&environ, /* in the C library, or a copy in the program */
    };
    (void)argc, (void)argv;
    return write(STDOUT_FILENO, places, sizeof places) == sizeof places ? 0 : 1;
}

/* Of this program, started anew with these flags of personality(2). */
static void places_with(unsigned long persona, uint64_t places[PLACES])
{
    int ends[2];
    REQUIRE_OK(pipe(ends));
    pid_t pid = fork_child();
    if (pid == 0) {
        CHECK_OK(personality(persona));
        dup2(ends[1], STDOUT_FILENO);
        self_exec("print_places", NULL);
        guest_finish();
    }
    close(ends[1]);
    REQUIRE(read(ends[0], places, PLACES * sizeof *places) == (ssize_t)(PLACES * sizeof *places));
    close(ends[0]);
    CHECK_EXITED(wait_status(pid), 0);
}

TEST(without_randomization_every_start_is_alike)
{
    uint64_t once[PLACES], again[PLACES];
    places_with(ADDR_NO_RANDOMIZE, once);
    places_with(ADDR_NO_RANDOMIZE, again);
    for (int i = 0; i < PLACES; i++)
        CHECK_EQ(again[i], once[i]);
}

TEST(with_it_no_two_are)
{
    uint64_t once[PLACES], again[PLACES];
    char setting[16] = "";
    REQUIRE(read_file("/proc/sys/kernel/randomize_va_space", setting, sizeof setting) > 0);
    if (setting[0] != '2')
        SKIP("this machine does not randomize");
    places_with(0, once);
    places_with(0, again);
    for (int i = 0; i < RANDOM; i++)
        CHECK(again[i] != once[i]);
}
