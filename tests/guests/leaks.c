/* leaks: calls that fail, so often that the sandbox's descriptors would be used up if each left one behind.
 *
 * test_leaks.py gives the sentry few.
 */
#include "guest.h"

#include <sys/eventfd.h>

enum { TIMES = 2000, SPARE = 100 };

static void spare_descriptors(void)
{
    int fds[SPARE];
    for (int i = 0; i < SPARE; i++)
        CHECK_OK(fds[i] = eventfd(0, 0));
    for (int i = 0; i < SPARE; i++)
        close(fds[i]);
}

TEST(pipes_that_cannot_be_told)
{
    for (int i = 0; i < TIMES; i++)
        CHECK_ERRNO(syscall(SYS_pipe2, bad_address, i % 2 ? O_CLOEXEC : O_DIRECT), EFAULT);
    spare_descriptors();
}
