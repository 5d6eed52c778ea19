/* host_calls.c - host calls for Python that its os module has no function for.
 *
 * Owns nothing but the bare call: which call may be made is decided by who asks (kernel/host.py wraps each one
 * with its types and errors) and, after the lock-up, by the sentry's own seccomp filter.
 */
#include <errno.h>
#include <stdint.h>
#include <unistd.h>

#include "fast.h"
#include "python.h"

/* The result, or -errno. Every descriptor passed here is non-blocking: the sentry never waits in a host call. */
int64_t host_syscall(int64_t nr, uint64_t a, uint64_t b, uint64_t c, uint64_t d, uint64_t e, uint64_t f)
{
    long result;
    do /* the sentry's own signals (engine/hot.c) are nothing to tell the workload of */
        result = syscall(nr, a, b, c, d, e, f);
    while (result == -1 && errno == EINTR);
    return result == -1 ? -errno : result;
}
