/* micro OPERATION BUDGET_MS DATA_FILE: prints {"operation": ..., "iterations": N, "ns_per_op": X} on one line. */
#include "micro.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

_Noreturn void fail(const char *what)
{
    fprintf(stderr, "micro: %s: %s\n", what, strerror(errno));
    exit(1);
}

static uint64_t now_ns(void)
{
    struct timespec now;
    if (clock_gettime(CLOCK_MONOTONIC, &now) != 0)
        fail("clock_gettime");
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static uint64_t timed_ns(const struct operation *operation, uint64_t count)
{
    uint64_t start = now_ns();
    operation->loop(count);
    uint64_t elapsed = now_ns() - start;
    return elapsed ? elapsed : 1;
}

static const struct operation *find_operation(const char *name)
{
    const struct operation *tables[] = {file_operations, process_operations};
    for (size_t table = 0; table < sizeof tables / sizeof tables[0]; table++)
        for (const struct operation *candidate = tables[table]; candidate->name; candidate++)
            if (strcmp(candidate->name, name) == 0)
                return candidate;
    return NULL;
}

int main(int argc, char **argv)
{
    if (argc != 4) {
        fprintf(stderr, "usage: micro OPERATION BUDGET_MS DATA_FILE\n");
        return 2;
    }
    const struct operation *operation = find_operation(argv[1]);
    if (!operation) {
        fprintf(stderr, "micro: unknown operation %s\n", argv[1]);
        return 2;
    }
    uint64_t budget_ns = strtoull(argv[2], NULL, 10) * 1000000u;
    if (operation->prepare)
        operation->prepare(argv[3]);

    /* Small rounds first: they warm caches (ours and the runtime's) and tell how many iterations fill the budget.
     * Only the last round is reported; runtimes differ by a factor of a thousand, so the count can't be a constant. */
    uint64_t count = 4;
    uint64_t elapsed_ns = timed_ns(operation, count);
    while (elapsed_ns < budget_ns / 2) {
        uint64_t wanted = (uint64_t)((double)count * (double)budget_ns / (double)elapsed_ns) + 1;
        count = wanted > count * 8 ? count * 8 : wanted;
        elapsed_ns = timed_ns(operation, count);
    }
    printf("{\"operation\": \"%s\", \"iterations\": %llu, \"ns_per_op\": %.1f}\n", operation->name,
           (unsigned long long)count, (double)elapsed_ns / (double)count);
    return 0;
}
