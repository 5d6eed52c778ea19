/* timerfd: timers to read and poll. */
#include "guest.h"

#include <sys/timerfd.h>

enum { MS = 1000000 };

static struct itimerspec after_ms(long first, long interval)
{
    return (struct itimerspec){{interval / 1000, interval % 1000 * MS}, {first / 1000, first % 1000 * MS}};
}

TEST(one_expiration)
{
    int fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC);
    CHECK_EQ(fcntl(fd, F_GETFD), FD_CLOEXEC);
    struct itimerspec spec = after_ms(40, 0);
    int64_t start = now_ns(CLOCK_MONOTONIC);
    CHECK_OK(timerfd_settime(fd, 0, &spec, NULL));
    uint64_t *count = guarded(8);
    CHECK_EQ(read(fd, count, 8), 8);
    CHECK_EQ(*count, 1);
    CHECK(now_ns(CLOCK_MONOTONIC) - start >= 40 * MS);
}

TEST(intervals_are_counted)
{
    int fd = timerfd_create(CLOCK_REALTIME, 0);
    struct itimerspec spec = after_ms(5, 5);
    CHECK_OK(timerfd_settime(fd, 0, &spec, NULL));
    CHECK_EQ(poll(NULL, 0, 60), 0);
    uint64_t count = 0;
    CHECK_EQ(read(fd, &count, 8), 8);
    CHECK(count >= 10);
    CHECK_EQ(read(fd, &count, 8), 8);
    CHECK(count >= 1);
}

TEST(absolute_time)
{
    int fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK);
    struct itimerspec spec = {{0, 0}, {1, 0}}; /* long past */
    CHECK_OK(timerfd_settime(fd, TFD_TIMER_ABSTIME, &spec, NULL));
    struct pollfd item = {fd, POLLIN, 0};
    CHECK_EQ(poll(&item, 1, -1), 1);
    CHECK_EQ(item.revents, POLLIN);
    uint64_t count = 0;
    CHECK_EQ(read(fd, &count, 8), 8);
    CHECK_EQ(count, 1);
    CHECK_ERRNO(read(fd, &count, 8), EAGAIN);
}

TEST(get_and_disarm)
{
    int fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK);
    struct itimerspec spec = after_ms(50000, 7000), got, old;
    CHECK_OK(timerfd_gettime(fd, &got));
    CHECK_EQ(got.it_value.tv_sec, 0);
    CHECK_OK(timerfd_settime(fd, 0, &spec, NULL));
    CHECK_OK(timerfd_gettime(fd, &got));
    CHECK(got.it_value.tv_sec >= 48 && got.it_value.tv_sec <= 50);
    CHECK_EQ(got.it_interval.tv_sec, 7);
    spec = after_ms(0, 0);
    CHECK_OK(timerfd_settime(fd, 0, &spec, &old));
    CHECK_EQ(old.it_interval.tv_sec, 7);
    CHECK_OK(timerfd_gettime(fd, &got));
    CHECK_EQ(got.it_value.tv_sec, 0);
    uint64_t count;
    CHECK_ERRNO(read(fd, &count, 8), EAGAIN);
}

TEST(errors)
{
    CHECK_ERRNO(timerfd_create(1234, 0), EINVAL);
    CHECK_ERRNO(timerfd_create(CLOCK_MONOTONIC, 0x100), EINVAL);
    int fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK);
    struct itimerspec spec = {{0, 0}, {0, 1000000000}};
    CHECK_ERRNO(timerfd_settime(fd, 0, &spec, NULL), EINVAL);
    spec = after_ms(1000, 0);
    CHECK_ERRNO(timerfd_settime(fd, 0x100, &spec, NULL), EINVAL);
    CHECK_ERRNO(timerfd_settime(0x7ff, 0, &spec, NULL), EBADF);
    int null = open("/dev/null", O_RDONLY);
    CHECK_ERRNO(timerfd_settime(null, 0, &spec, NULL), EINVAL);
    char small[4];
    CHECK_ERRNO(read(fd, small, 4), EINVAL);
}

TEST(poll_waits_for_the_timer)
{
    int fd = timerfd_create(CLOCK_BOOTTIME, 0);
    struct itimerspec far = after_ms(1000000, 0), soon = after_ms(30, 0);
    CHECK_OK(timerfd_settime(fd, 0, &far, NULL));
    struct pollfd item = {fd, POLLIN, 0};
    CHECK_EQ(poll(&item, 1, 0), 0);
    CHECK_OK(timerfd_settime(fd, 0, &soon, NULL));
    CHECK_EQ(poll(&item, 1, -1), 1);
}

TEST(alarm_clocks)
{
    int fd = timerfd_create(CLOCK_BOOTTIME_ALARM, 0);
    if (fd < 0) {
        CHECK_EQ(errno, EPERM); /* without CAP_WAKE_ALARM */
        CHECK_ERRNO(timerfd_create(CLOCK_REALTIME_ALARM, 0), EPERM);
        return;
    }
    struct itimerspec soon = {{0, 0}, {0, 1000000}};
    uint64_t times = 0;
    CHECK_OK(timerfd_settime(fd, 0, &soon, NULL));
    CHECK_EQ(read(fd, &times, sizeof times), 8);
    CHECK_EQ(times, 1);
    CHECK_OK(timerfd_create(CLOCK_REALTIME_ALARM, TFD_NONBLOCK));
    CHECK_ERRNO(timerfd_create(10, 0), EINVAL);
}

TEST(clocks_that_have_no_timers)
{
    static const int clocks[] = {CLOCK_PROCESS_CPUTIME_ID, CLOCK_THREAD_CPUTIME_ID, CLOCK_MONOTONIC_RAW, CLOCK_REALTIME_COARSE,
                                 CLOCK_MONOTONIC_COARSE,   CLOCK_TAI,               10,                  -1};
    for (size_t i = 0; i < sizeof clocks / sizeof *clocks; i++)
        CHECK_ERRNO(timerfd_create(clocks[i], 0), EINVAL);
}

TEST(a_timer_that_ends_when_the_clock_is_set)
{
    /* Nobody sets it here; so it counts as any other, and may be given again. */
    int fd = timerfd_create(CLOCK_REALTIME, 0), monotonic = timerfd_create(CLOCK_MONOTONIC, 0);
    struct itimerspec spec = {{0, 0}, {1, 0}}, left; /* 1970: over */
    uint64_t count = 0;
    CHECK_OK(timerfd_settime(fd, TFD_TIMER_ABSTIME | TFD_TIMER_CANCEL_ON_SET, &spec, NULL));
    CHECK_EQ(read(fd, &count, 8), 8);
    CHECK_EQ(count, 1);
    spec.it_value.tv_sec = (time_t)4000000000; /* 2096 */
    CHECK_OK(timerfd_settime(fd, TFD_TIMER_ABSTIME | TFD_TIMER_CANCEL_ON_SET, &spec, NULL));
    CHECK_OK(timerfd_gettime(fd, &left));
    CHECK(left.it_value.tv_sec > 1000000);
    CHECK_OK(timerfd_settime(monotonic, TFD_TIMER_CANCEL_ON_SET, &spec, NULL)); /* means nothing to it */
    CHECK_OK(timerfd_settime(fd, TFD_TIMER_CANCEL_ON_SET, &spec, NULL));        /* nor without an absolute time */
}

TEST(what_each_call_refuses)
{
    int fd = timerfd_create(CLOCK_MONOTONIC, 0), null = open("/dev/null", O_RDONLY);
    struct itimerspec *spec = guarded(sizeof *spec);
    *spec = after_ms(1000, 0);
    CHECK_ERRNO(timerfd_gettime(999, spec), EBADF);
    CHECK_ERRNO(timerfd_gettime(null, spec), EINVAL);
    CHECK_ERRNO(timerfd_gettime(fd, bad_address), EFAULT);
    CHECK_ERRNO(timerfd_settime(fd, 0, bad_address, NULL), EFAULT);
    CHECK_OK(timerfd_gettime(fd, spec));
    CHECK_EQ(spec->it_value.tv_nsec, 0);
    *spec = after_ms(1000000, 0);
    CHECK_ERRNO(timerfd_settime(fd, 0, spec, bad_address), EFAULT); /* and it is set all the same */
    CHECK_OK(timerfd_gettime(fd, spec));
    CHECK(spec->it_value.tv_sec > 0);
    *spec = (struct itimerspec){{0, -1}, {1, 0}};
    CHECK_ERRNO(timerfd_settime(fd, 0, spec, NULL), EINVAL);
    *spec = (struct itimerspec){{0, 0}, {-1, 0}};
    CHECK_ERRNO(timerfd_settime(fd, 0, spec, NULL), EINVAL);
}
