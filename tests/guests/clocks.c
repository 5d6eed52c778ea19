/* clocks: each clock with each call that takes one; sleeping; what setting a clock answers; timers' refusals. */
#include "guest.h"

#include <sys/resource.h>
#include <sys/time.h>
#include <sys/timex.h>

enum { STRANGER_ID = 4321, FIRST_BAD = 12, NS = 1000000000 };

/* Answers as errnos. An alarm clock wants a real-time clock in the machine and, to wait by it, a privilege. */
#define EITHER 1000 /* 0, or what a machine without one answers: the number above EITHER */
static const struct {
    clockid_t id;
    int resolution, sleep, timer, adjust, set;
} clocks[] = {
    {CLOCK_REALTIME, 0, 0, 0, 0, EPERM},
    {CLOCK_MONOTONIC, 0, 0, 0, EOPNOTSUPP, EINVAL},
    {CLOCK_PROCESS_CPUTIME_ID, 0, 0, 0, EOPNOTSUPP, EINVAL},
    {CLOCK_THREAD_CPUTIME_ID, 0, EOPNOTSUPP, 0, EOPNOTSUPP, EINVAL},
    {CLOCK_MONOTONIC_RAW, 0, EOPNOTSUPP, EOPNOTSUPP, EOPNOTSUPP, EINVAL},
    {CLOCK_REALTIME_COARSE, 0, EOPNOTSUPP, EOPNOTSUPP, EOPNOTSUPP, EINVAL},
    {CLOCK_MONOTONIC_COARSE, 0, EOPNOTSUPP, EOPNOTSUPP, EOPNOTSUPP, EINVAL},
    {CLOCK_BOOTTIME, 0, 0, 0, EOPNOTSUPP, EINVAL},
    {CLOCK_REALTIME_ALARM, EITHER + EINVAL, EITHER + EOPNOTSUPP, EITHER + EOPNOTSUPP, EOPNOTSUPP, EINVAL},
    {CLOCK_BOOTTIME_ALARM, EITHER + EINVAL, EITHER + EOPNOTSUPP, EITHER + EOPNOTSUPP, EOPNOTSUPP, EINVAL},
    {10, EINVAL, EINVAL, EINVAL, EINVAL, EINVAL}, /* there was one */
    {CLOCK_TAI, 0, 0, 0, EOPNOTSUPP, EINVAL},
    {FIRST_BAD, EINVAL, EINVAL, EINVAL, EINVAL, EINVAL},
};
enum { COUNT = sizeof clocks / sizeof *clocks };

static void judge(const char *call, clockid_t id, long result, int expected)
{
    int got = result == -1 ? errno : 0;
    if (expected >= EITHER ? got != 0 && got != expected - EITHER && got != EPERM : got != expected)
        GUEST_FAIL("%s of clock %d: expected %d, got %s", call, id, expected, got ? strerrorname_np(got) : "success");
}

static void become_unprivileged(void)
{
    if (geteuid() == 0)
        REQUIRE_OK(setresuid(STRANGER_ID, STRANGER_ID, STRANGER_ID));
}

TEST(reading)
{
    struct timespec *value = guarded(sizeof *value), first;
    for (int i = 0; i < COUNT; i++) {
        int expected = clocks[i].resolution;
        judge("clock_gettime", clocks[i].id, syscall(SYS_clock_gettime, clocks[i].id, &first), expected);
        judge("clock_gettime", clocks[i].id, syscall(SYS_clock_gettime, clocks[i].id, value), expected);
        if (expected)
            continue;
        int64_t passed = (value->tv_sec - first.tv_sec) * NS + value->tv_nsec - first.tv_nsec;
        if (passed < 0 || first.tv_nsec < 0 || first.tv_nsec >= NS)
            GUEST_FAIL("clock %d went by %lld ns", clocks[i].id, (long long)passed);
        CHECK_ERRNO(syscall(SYS_clock_gettime, clocks[i].id, bad_address), EFAULT);
        CHECK_ERRNO(syscall(SYS_clock_gettime, clocks[i].id, (char *)value + 1), EFAULT);
    }
    CHECK_ERRNO(syscall(SYS_clock_gettime, -5, value), EINVAL); /* a device's, of no descriptor */
}

TEST(clocks_agree)
{
    int64_t before = now_ns(CLOCK_REALTIME);
    struct timeval *now = guarded(sizeof *now);
    struct timezone *zone = guarded(sizeof *zone);
    CHECK_OK(syscall(SYS_gettimeofday, now, zone));
    int64_t middle = (int64_t)now->tv_sec * NS + (int64_t)now->tv_usec * 1000;
    CHECK(middle >= before - 1000 && middle <= now_ns(CLOCK_REALTIME));
    CHECK_OK(syscall(SYS_gettimeofday, NULL, NULL));
    CHECK_ERRNO(syscall(SYS_gettimeofday, bad_address, NULL), EFAULT);
    CHECK_ERRNO(syscall(SYS_gettimeofday, NULL, bad_address), EFAULT);
    time_t *seconds = guarded(sizeof *seconds);
    time_t result = syscall(SYS_time, seconds);
    CHECK_EQ(result, *seconds);
    CHECK_ERRNO(syscall(SYS_time, bad_address), EFAULT);
    struct timespec coarse, raw;
    REQUIRE_OK(syscall(SYS_clock_gettime, CLOCK_REALTIME_COARSE, &coarse));
    CHECK(llabs(coarse.tv_sec - now->tv_sec) <= 1);
    REQUIRE_OK(syscall(SYS_clock_gettime, CLOCK_MONOTONIC_RAW, &raw));
    CHECK(raw.tv_sec > 0);
    int64_t since_boot = now_ns(CLOCK_BOOTTIME), awake = now_ns(CLOCK_MONOTONIC);
    CHECK(since_boot <= now_ns(CLOCK_BOOTTIME) && since_boot + NS >= awake);
}

TEST(resolutions)
{
    struct timespec *value = guarded(sizeof *value);
    for (int i = 0; i < COUNT; i++) {
        *value = (struct timespec){-1, -1};
        long result = syscall(SYS_clock_getres, clocks[i].id, value);
        judge("clock_getres", clocks[i].id, result, clocks[i].resolution);
        if (result == 0)
            CHECK(value->tv_sec == 0 && value->tv_nsec >= 1);
        judge("clock_getres", clocks[i].id, syscall(SYS_clock_getres, clocks[i].id, NULL), clocks[i].resolution);
        if (clocks[i].resolution == 0)
            CHECK_ERRNO(syscall(SYS_clock_getres, clocks[i].id, bad_address), EFAULT);
    }
    CHECK_ERRNO(syscall(SYS_clock_getres, -5, value), EINVAL);
    CHECK_OK(syscall(SYS_clock_getres, -6, value)); /* the own CPU time */
}

TEST(sleeping_by_each_clock)
{
    struct timespec long_ago = {0, 1}, bad = {0, NS}, negative = {-1, 0};
    for (int i = 0; i < COUNT; i++) {
        long result = syscall(SYS_clock_nanosleep, clocks[i].id, TIMER_ABSTIME, &long_ago, NULL);
        judge("clock_nanosleep", clocks[i].id, result, clocks[i].sleep);
        if (clocks[i].sleep)
            continue;
        CHECK_ERRNO(syscall(SYS_clock_nanosleep, clocks[i].id, 0, &bad, NULL), EINVAL);
        CHECK_ERRNO(syscall(SYS_clock_nanosleep, clocks[i].id, 0, &negative, NULL), EINVAL);
        CHECK_ERRNO(syscall(SYS_clock_nanosleep, clocks[i].id, 0, bad_address, NULL), EFAULT);
    }
    CHECK_ERRNO(syscall(SYS_nanosleep, &bad, NULL), EINVAL);
    CHECK_ERRNO(syscall(SYS_nanosleep, &negative, NULL), EINVAL);
    CHECK_ERRNO(syscall(SYS_nanosleep, bad_address, NULL), EFAULT);
    struct timespec moment = {0, 1};
    CHECK_OK(syscall(SYS_nanosleep, &moment, bad_address)); /* written when a signal cuts it short only */
}

static void do_nothing(int signal_number)
{
    (void)signal_number;
}

/* Of 1000 s; the kernel's slack (50 us) may be in it. */
static bool is_nearly_all(const struct timespec *left)
{
    return left->tv_sec == 999 || (left->tv_sec == 1000 && left->tv_nsec < 1000000);
}

TEST(a_sleep_cut_short_tells_what_is_left)
{
    handle_signal(SIGALRM, do_nothing, 0);
    struct itimerval often = {{0, 1000}, {0, 1000}}; /* as often as it takes: one may come before the sleep */
    REQUIRE_OK(setitimer(ITIMER_REAL, &often, NULL));
    struct timespec request = {1000, 0}, *left = guarded(sizeof *left);
    CHECK_ERRNO(syscall(SYS_nanosleep, &request, left), EINTR);
    CHECK(is_nearly_all(left));
    CHECK_ERRNO(syscall(SYS_clock_nanosleep, CLOCK_BOOTTIME, 0, &request, left), EINTR);
    CHECK(is_nearly_all(left));
    CHECK_ERRNO(syscall(SYS_nanosleep, &request, bad_address), EFAULT);
    CHECK_ERRNO(syscall(SYS_clock_nanosleep, CLOCK_TAI, 0, &request, bad_address), EFAULT);
    struct timespec far = {now_ns(CLOCK_MONOTONIC) / NS + 1000, 0};
    left->tv_sec = 7;
    CHECK_ERRNO(syscall(SYS_clock_nanosleep, CLOCK_MONOTONIC, TIMER_ABSTIME, &far, left), EINTR);
    CHECK_EQ(left->tv_sec, 7); /* a point in time needs no rest */
}

/* As nobody in particular: root would set the machine's clock. */
TEST(clocks_are_not_set)
{
    pid_t pid = fork_child();
    if (pid == 0) {
        become_unprivileged();
        struct timespec value = {1800000000, 0};
        struct timeval seconds = {1800000000, 0};
        struct timezone zone = {0, 0};
        for (int i = 0; i < COUNT; i++) {
            judge("clock_settime", clocks[i].id, syscall(SYS_clock_settime, clocks[i].id, &value), clocks[i].set);
            struct timex state = {.modes = 0};
            long result = syscall(SYS_clock_adjtime, clocks[i].id, &state);
            judge("clock_adjtime", clocks[i].id, result >= 0 ? 0 : result, clocks[i].adjust);
        }
        struct timex change = {.modes = ADJ_FREQUENCY};
        CHECK_ERRNO(syscall(SYS_clock_adjtime, CLOCK_REALTIME, &change), EPERM);
        CHECK_ERRNO(syscall(SYS_adjtimex, &change), EPERM);
        CHECK_ERRNO(syscall(SYS_settimeofday, &seconds, NULL), EPERM);
        CHECK_ERRNO(syscall(SYS_settimeofday, NULL, &zone), EPERM);
        CHECK_ERRNO(syscall(SYS_clock_settime, -6, &value), EPERM); /* CPU time is nobody's to set */
        guest_finish();
    }
    CHECK_CHILD(pid);
}

/* ---- timers -------------------------------------------------------------------------------------------------------- */

TEST(timers_by_each_clock)
{
    for (int i = 0; i < COUNT; i++) {
        int timer = -1;
        struct sigevent silent = {.sigev_notify = SIGEV_NONE};
        long result = syscall(SYS_timer_create, clocks[i].id, &silent, &timer);
        judge("timer_create", clocks[i].id, result, clocks[i].timer);
        if (result)
            continue;
        struct itimerspec wanted = {{0, 0}, {1000, 0}}, *now = guarded(sizeof *now);
        CHECK_OK(syscall(SYS_timer_settime, timer, 0, &wanted, NULL));
        CHECK_OK(syscall(SYS_timer_gettime, timer, now));
        CHECK(now->it_value.tv_sec == 999 || (now->it_value.tv_sec == 1000 && now->it_value.tv_nsec == 0));
        CHECK_EQ(now->it_interval.tv_sec, 0);
        CHECK_EQ(syscall(SYS_timer_getoverrun, timer), 0);
        CHECK_ERRNO(syscall(SYS_timer_settime, timer, 0, bad_address, NULL), EFAULT);
        CHECK_ERRNO(syscall(SYS_timer_settime, timer, 0, &wanted, bad_address), EFAULT);
        CHECK_ERRNO(syscall(SYS_timer_settime, timer, 0, NULL, NULL), EINVAL);
        CHECK_ERRNO(syscall(SYS_timer_gettime, timer, bad_address), EFAULT);
        wanted.it_value.tv_nsec = NS;
        CHECK_ERRNO(syscall(SYS_timer_settime, timer, 0, &wanted, NULL), EINVAL);
        CHECK_OK(syscall(SYS_timer_delete, timer));
        CHECK_ERRNO(syscall(SYS_timer_delete, timer), EINVAL);
        CHECK_ERRNO(syscall(SYS_timer_getoverrun, timer), EINVAL);
        CHECK_ERRNO(syscall(SYS_timer_gettime, timer, now), EINVAL);
        CHECK_ERRNO(syscall(SYS_timer_settime, timer, 0, now, NULL), EINVAL);
    }
}

TEST(timers_that_are_refused)
{
    static const clockid_t kinds[] = {CLOCK_MONOTONIC, CLOCK_PROCESS_CPUTIME_ID};
    for (int i = 0; i < 2; i++) {
        int timer;
        struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = 65};
        CHECK_ERRNO(syscall(SYS_timer_create, kinds[i], &event, &timer), EINVAL);
        event.sigev_signo = -1;
        CHECK_ERRNO(syscall(SYS_timer_create, kinds[i], &event, &timer), EINVAL);
        event = (struct sigevent){.sigev_notify = 99, .sigev_signo = SIGUSR1};
        CHECK_ERRNO(syscall(SYS_timer_create, kinds[i], &event, &timer), EINVAL);
        event = (struct sigevent){.sigev_notify = SIGEV_THREAD_ID, .sigev_signo = SIGUSR1};
        event._sigev_un._tid = 1 << 22;
        CHECK_ERRNO(syscall(SYS_timer_create, kinds[i], &event, &timer), EINVAL);
        CHECK_ERRNO(syscall(SYS_timer_create, kinds[i], bad_address, &timer), EFAULT);
        CHECK_ERRNO(syscall(SYS_timer_create, kinds[i], NULL, bad_address), EFAULT);
    }
    int timer;
    CHECK_ERRNO(syscall(SYS_timer_create, -5, NULL, &timer), EOPNOTSUPP); /* a device's */
}

/* Each timer keeps room for its signal. */
TEST(no_more_timers_than_signals)
{
    struct rlimit none = {0, 0};
    REQUIRE_OK(setrlimit(RLIMIT_SIGPENDING, &none));
    int timer;
    CHECK_ERRNO(syscall(SYS_timer_create, CLOCK_MONOTONIC, NULL, &timer), EAGAIN);
    CHECK_ERRNO(syscall(SYS_timer_create, CLOCK_PROCESS_CPUTIME_ID, NULL, &timer), EAGAIN);
}

TEST(interval_timers_are_set_and_read)
{
    static const int kinds[] = {ITIMER_REAL, ITIMER_VIRTUAL, ITIMER_PROF};
    for (int i = 0; i < 3; i++) {
        struct itimerval wanted = {{500, 0}, {1000, 0}}, *now = guarded(sizeof *now);
        CHECK_OK(setitimer(kinds[i], &wanted, NULL));
        CHECK_OK(getitimer(kinds[i], now));
        CHECK_EQ(now->it_interval.tv_sec, 500);
        CHECK(now->it_value.tv_sec == 999 || now->it_value.tv_sec == 1000);
        wanted.it_value.tv_usec = 1000000;
        CHECK_ERRNO(setitimer(kinds[i], &wanted, NULL), EINVAL);
        CHECK_ERRNO(syscall(SYS_getitimer, kinds[i], bad_address), EFAULT);
        CHECK_ERRNO(syscall(SYS_setitimer, kinds[i], bad_address, NULL), EFAULT);
        CHECK_OK(syscall(SYS_setitimer, kinds[i], NULL, now)); /* NULL disarms */
        CHECK_EQ(now->it_interval.tv_sec, 500);
        CHECK_OK(getitimer(kinds[i], now));
        CHECK_EQ(now->it_value.tv_sec, 0);
    }
    struct itimerval now;
    CHECK_ERRNO(syscall(SYS_getitimer, 3, &now), EINVAL);
    CHECK_ERRNO(syscall(SYS_setitimer, 3, &now, NULL), EINVAL);
}
