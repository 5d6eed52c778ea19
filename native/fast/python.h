/* python.h - what native/fast offers to Python beyond sentry.h. cffi reads this file as it is. */

/* A host call that Python's os module has no function for: its result or -errno (fast/host_calls.c). */
int64_t host_syscall(int64_t nr, uint64_t a, uint64_t b, uint64_t c, uint64_t d, uint64_t e, uint64_t f);
