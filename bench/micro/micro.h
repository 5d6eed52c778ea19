/* One operation of the hot-loop program: repeat it `count` times inside the guest, nothing else.
 *
 * The loops are timed inside the guest (CLOCK_MONOTONIC, answered by the vDSO in every runtime that we compare), so the
 * start-up of the sandbox is not in the number. main.c owns the clock, the iteration count and the JSON line.
 */
#ifndef BENCH_MICRO_H
#define BENCH_MICRO_H

#include <stdint.h>

struct operation {
    const char *name;
    /* Called once before the loops with the path of a readable file of at least 1 MiB; may be NULL. */
    void (*prepare)(const char *data_path);
    /* Does the operation `count` times; stops the program by fail() on any wrong result. */
    void (*loop)(uint64_t count);
};

/* Arrays end with a NULL name. */
extern const struct operation file_operations[];
extern const struct operation process_operations[];

/* Prints "what: strerror(errno)" to stderr and exits 1. A hot loop whose calls fail would otherwise look fast. */
_Noreturn void fail(const char *what);

#endif
