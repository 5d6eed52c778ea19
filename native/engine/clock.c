/* clock.c - the sentry's own time. */
#include <time.h>
#include "engine.h"

int64_t sentry_now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000000000LL + now.tv_nsec;
}
