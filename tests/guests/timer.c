/* timer: interval timers, POSIX timers, sleeping, clocks. */
#include "guest.h"

#include <sys/timex.h>

#include <pthread.h>
#include <sys/time.h>

enum { MS = 1000000 };

static volatile sig_atomic_t ticks;
static siginfo_t last;

static void tick(int signal_number, siginfo_t *info, void *context)
{
    (void)signal_number;
    (void)context;
    last = *info;
    ticks++;
}

static void handle_info(int signal_number)
{
    struct sigaction action = {.sa_sigaction = tick, .sa_flags = SA_SIGINFO};
    REQUIRE_OK(sigaction(signal_number, &action, NULL));
}

/* Not pause(): the last tick may come before it. */
static void wait_for_ticks(int count)
{
    while (ticks < count)
        poll(NULL, 0, 10);
}

TEST(real_timer_once)
{
    handle_info(SIGALRM);
    struct itimerval far = {{0, 0}, {1000, 0}}, once = {{0, 0}, {0, 30000}}, left;
    CHECK_OK(setitimer(ITIMER_REAL, &far, NULL));
    CHECK_OK(getitimer(ITIMER_REAL, &left));
    CHECK(left.it_value.tv_sec > 900 && left.it_value.tv_sec <= 1000);
    int64_t start = now_ns(CLOCK_MONOTONIC);
    CHECK_OK(setitimer(ITIMER_REAL, &once, NULL));
    wait_for_ticks(1);
    CHECK(now_ns(CLOCK_MONOTONIC) - start >= 30 * MS);
    CHECK_OK(getitimer(ITIMER_REAL, &left));
    CHECK_EQ(left.it_value.tv_usec, 0);
}

TEST(real_timer_repeats_until_stopped)
{
    handle_info(SIGALRM);
    struct itimerval every = {{0, 5000}, {0, 5000}}, off = {0}, old;
    CHECK_OK(setitimer(ITIMER_REAL, &every, NULL));
    while (ticks < 5)
        pause();
    CHECK_OK(setitimer(ITIMER_REAL, &off, &old));
    CHECK_EQ(old.it_interval.tv_usec, 5000);
    int seen = ticks;
    poll(NULL, 0, 30);
    CHECK_EQ(ticks, seen);
}

TEST(real_timer_interrupts_a_busy_loop)
{
    handle_info(SIGALRM);
    struct itimerval once = {{0, 0}, {0, 20000}};
    CHECK_OK(setitimer(ITIMER_REAL, &once, NULL));
    while (ticks == 0)
        ;
    CHECK_EQ(ticks, 1);
}

TEST(timers_are_not_inherited_by_fork)
{
    handle_info(SIGALRM);
    struct itimerval once = {{0, 0}, {1000, 0}}, left;
    CHECK_OK(setitimer(ITIMER_REAL, &once, NULL));
    pid_t pid = fork_child();
    if (pid == 0) {
        CHECK_OK(getitimer(ITIMER_REAL, &left));
        CHECK_EQ(left.it_value.tv_sec, 0);
        guest_finish();
    }
    CHECK_CHILD(pid);
    CHECK_OK(getitimer(ITIMER_REAL, &left));
    CHECK(left.it_value.tv_sec > 900);
}

HELPER(report_timer)
{
    struct itimerval left;
    getitimer(ITIMER_REAL, &left);
    return left.it_value.tv_sec > 900 ? 0 : 1;
}

TEST(exec_keeps_the_real_timer)
{
    pid_t pid = fork_child();
    if (pid == 0) {
        struct itimerval once = {{0, 0}, {1000, 0}};
        setitimer(ITIMER_REAL, &once, NULL);
        self_exec("report_timer", NULL);
        _exit(99);
    }
    CHECK_CHILD(pid);
}

static void burn(int signal_number)
{
    while (ticks == 0) {
        volatile unsigned long sum = 0;
        for (unsigned long i = 0; i < 100000; i++)
            sum += i;
    }
    CHECK_EQ(last.si_signo, signal_number);
}

TEST(virtual_and_profiling_timers)
{
    handle_info(SIGVTALRM);
    handle_info(SIGPROF);
    struct itimerval once = {{0, 0}, {0, 20000}};
    CHECK_OK(setitimer(ITIMER_VIRTUAL, &once, NULL));
    burn(SIGVTALRM);
    ticks = 0;
    CHECK_OK(setitimer(ITIMER_PROF, &once, NULL));
    burn(SIGPROF);
}

TEST(itimer_errors)
{
    struct itimerval bad = {{0, 0}, {0, 1000000}};
    CHECK_ERRNO(setitimer(ITIMER_REAL, &bad, NULL), EINVAL);
    CHECK_ERRNO(syscall(SYS_setitimer, 99, &bad, NULL), EINVAL);
    CHECK_ERRNO(syscall(SYS_getitimer, 99, &bad), EINVAL);
}

TEST(posix_timer_with_a_signal)
{
    handle_info(SIGRTMIN + 3);
    struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGRTMIN + 3};
    event.sigev_value.sival_int = 77;
    timer_t timer;
    CHECK_OK(timer_create(CLOCK_MONOTONIC, &event, &timer));
    struct itimerspec spec = {{0, 10 * MS}, {0, 10 * MS}}, left;
    CHECK_OK(timer_settime(timer, 0, &spec, NULL));
    CHECK_OK(timer_gettime(timer, &left));
    CHECK_EQ(left.it_interval.tv_nsec, 10 * MS);
    while (ticks < 3)
        pause();
    CHECK_EQ(last.si_value.sival_int, 77);
    CHECK_EQ(last.si_code, SI_TIMER);
    CHECK_OK(timer_delete(timer));
    CHECK_ERRNO(syscall(SYS_timer_delete, 12345), EINVAL);
}

TEST(posix_timer_overruns)
{
    sigset_t block;
    sigemptyset(&block);
    sigaddset(&block, SIGRTMIN);
    REQUIRE_OK(sigprocmask(SIG_BLOCK, &block, NULL));
    struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGRTMIN};
    timer_t timer;
    CHECK_OK(timer_create(CLOCK_MONOTONIC, &event, &timer));
    struct itimerspec spec = {{0, 2 * MS}, {0, 2 * MS}};
    CHECK_OK(timer_settime(timer, 0, &spec, NULL));
    poll(NULL, 0, 40);
    siginfo_t info;
    CHECK_EQ(sigwaitinfo(&block, &info), SIGRTMIN);
    CHECK(info.si_overrun >= 5);
    CHECK(timer_getoverrun(timer) >= 5);
}

TEST(posix_timer_without_notification)
{
    struct sigevent event = {.sigev_notify = SIGEV_NONE};
    timer_t timer;
    CHECK_OK(timer_create(CLOCK_REALTIME, &event, &timer));
    struct itimerspec spec = {{0, 0}, {500, 0}}, left;
    CHECK_OK(timer_settime(timer, 0, &spec, NULL));
    CHECK_OK(timer_gettime(timer, &left));
    CHECK(left.it_value.tv_sec >= 490 && left.it_value.tv_sec <= 500);
}

static int thread_pipe[2];

static void on_thread_timer(union sigval value)
{
    ssize_t written = write(thread_pipe[1], &value.sival_int, sizeof(int));
    (void)written;
}

TEST(posix_timer_with_a_thread)
{
    REQUIRE_OK(pipe(thread_pipe));
    struct sigevent event = {.sigev_notify = SIGEV_THREAD, .sigev_notify_function = on_thread_timer};
    event.sigev_value.sival_int = 31;
    timer_t timer;
    CHECK_OK(timer_create(CLOCK_MONOTONIC, &event, &timer));
    struct itimerspec spec = {{0, 0}, {0, 10 * MS}};
    CHECK_OK(timer_settime(timer, 0, &spec, NULL));
    int value = 0;
    CHECK_EQ(read(thread_pipe[0], &value, sizeof value), sizeof value);
    CHECK_EQ(value, 31);
}

TEST(absolute_posix_timer)
{
    handle_info(SIGALRM);
    timer_t timer;
    CHECK_OK(timer_create(CLOCK_REALTIME, NULL, &timer)); /* NULL: SIGALRM */
    int64_t when = now_ns(CLOCK_REALTIME) + 30 * MS;
    struct itimerspec spec = {{0, 0}, {when / 1000000000, when % 1000000000}};
    CHECK_OK(timer_settime(timer, TIMER_ABSTIME, &spec, NULL));
    wait_for_ticks(1);
    CHECK(now_ns(CLOCK_REALTIME) >= when);
}

TEST(sleeping)
{
    int64_t start = now_ns(CLOCK_MONOTONIC);
    struct timespec request = {0, 30 * MS};
    CHECK_OK(nanosleep(&request, NULL));
    CHECK(now_ns(CLOCK_MONOTONIC) - start >= 30 * MS);
    int64_t when = now_ns(CLOCK_MONOTONIC) + 20 * MS;
    struct timespec until = {when / 1000000000, when % 1000000000};
    CHECK_EQ(clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL), 0);
    CHECK(now_ns(CLOCK_MONOTONIC) >= when);
    request.tv_nsec = 1000000000;
    CHECK_ERRNO(nanosleep(&request, NULL), EINVAL);
    CHECK_EQ(clock_nanosleep(9999, 0, &request, NULL), EINVAL);
}

TEST(clocks)
{
    int64_t first = now_ns(CLOCK_MONOTONIC);
    CHECK(now_ns(CLOCK_MONOTONIC) >= first);
    struct timeval now;
    CHECK_OK(gettimeofday(&now, NULL));
    CHECK(llabs((long long)now.tv_sec - (long long)time(NULL)) <= 1);
    CHECK(llabs((long long)syscall(SYS_time, NULL) - (long long)now.tv_sec) <= 1);
    struct timespec value;
    CHECK_OK(clock_getres(CLOCK_REALTIME, &value));
    CHECK(value.tv_sec == 0 && value.tv_nsec > 0);
    CHECK_OK(clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &value));
    CHECK_OK(clock_gettime(CLOCK_THREAD_CPUTIME_ID, &value));
    CHECK_OK(syscall(SYS_clock_gettime, CLOCK_BOOTTIME, &value));
    CHECK_ERRNO(clock_gettime(12345, &value), EINVAL);
    struct timespec set = {0, 0};
    if (geteuid() != 0)
        CHECK_ERRNO(clock_settime(CLOCK_REALTIME, &set), EPERM);
}

static void burn_until(volatile sig_atomic_t *count, int wanted)
{
    while (*count < wanted)
        ;
}

TEST(cpu_time_timers)
{
    struct sigaction action = {.sa_sigaction = tick, .sa_flags = SA_SIGINFO | SA_RESTART};
    REQUIRE_OK(sigaction(SIGUSR1, &action, NULL));
    static const clockid_t clocks[] = {CLOCK_PROCESS_CPUTIME_ID, CLOCK_THREAD_CPUTIME_ID};
    for (int i = 0; i < 2; i++) {
        struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR1};
        event.sigev_value.sival_int = 42 + i;
        timer_t timer;
        REQUIRE_OK(timer_create(clocks[i], &event, &timer));
        struct itimerspec spec = {.it_value = {0, 20 * MS}}, now;
        int64_t before = now_ns(clocks[i]);
        ticks = 0;
        CHECK_OK(timer_settime(timer, 0, &spec, NULL));
        CHECK_OK(timer_gettime(timer, &now));
        CHECK(now.it_value.tv_sec == 0 && now.it_value.tv_nsec > 0 && now.it_value.tv_nsec <= 20 * MS);
        burn_until(&ticks, 1);
        CHECK(now_ns(clocks[i]) - before >= 20 * MS);
        CHECK_EQ(last.si_code, SI_TIMER);
        CHECK_EQ(last.si_value.sival_int, 42 + i);
        CHECK_OK(timer_gettime(timer, &now));
        CHECK_EQ(now.it_value.tv_nsec, 0);
        CHECK(timer_getoverrun(timer) >= 0);
        spec.it_interval = (struct timespec){0, 5 * MS};
        ticks = 0;
        CHECK_OK(timer_settime(timer, 0, &spec, NULL));
        burn_until(&ticks, 3);
        spec.it_value = spec.it_interval = (struct timespec){0, 0};
        CHECK_OK(timer_settime(timer, 0, &spec, &now));
        CHECK_EQ(now.it_interval.tv_nsec, 5 * MS);
        spec.it_value.tv_nsec = 1000000000;
        CHECK_ERRNO(timer_settime(timer, 0, &spec, NULL), EINVAL);
        CHECK_OK(timer_delete(timer));
        CHECK_ERRNO(timer_settime(timer, 0, &now, NULL), EINVAL);
        CHECK_ERRNO(timer_gettime(timer, &now), EINVAL);
    }
    timer_t timer;
    clockid_t own;
    REQUIRE_OK(clock_getcpuclockid(getpid(), &own));
    CHECK_OK(timer_create(own, NULL, &timer));
    struct itimerspec spec = {.it_value = {0, 1}};
    struct sigaction on_alarm = {.sa_sigaction = tick, .sa_flags = SA_SIGINFO};
    REQUIRE_OK(sigaction(SIGALRM, &on_alarm, NULL));
    ticks = 0;
    CHECK_OK(timer_settime(timer, TIMER_ABSTIME, &spec, NULL)); /* long ago */
    burn_until(&ticks, 1);
    CHECK_EQ(last.si_signo, SIGALRM);
    CHECK_ERRNO(timer_create((clockid_t)0xe000000a, NULL, &timer), EINVAL);
    CHECK_ERRNO(syscall(SYS_timer_create, CLOCK_PROCESS_CPUTIME_ID, NULL, bad_address), EFAULT);
}

/* ---- the clock, set and adjusted: nobody here may, so only what comes before EPERM and what is told ------------ */

TEST(the_state_of_the_clock)
{
    struct timex *state = guarded(sizeof *state);
    memset(state, 0, sizeof *state);
    CHECK(adjtimex(state) >= 0);
    CHECK(state->tick >= 9000 && state->tick <= 11000);
    CHECK(llabs((long long)state->time.tv_sec - time(NULL)) <= 1);
    memset(state, 0, sizeof *state);
    CHECK(clock_adjtime(CLOCK_REALTIME, state) >= 0);
    state->modes = 0xa001; /* ADJ_OFFSET_SS_READ */
    CHECK(adjtimex(state) >= 0);
    state->modes = 0x8000;
    CHECK_ERRNO(adjtimex(state), EINVAL);
    CHECK_ERRNO(syscall(SYS_adjtimex, state), EINVAL);
    CHECK_ERRNO(syscall(SYS_adjtimex, NULL), EFAULT);
    CHECK_ERRNO(clock_adjtime(CLOCK_MONOTONIC, state), EOPNOTSUPP);
    CHECK_ERRNO(clock_adjtime(CLOCK_PROCESS_CPUTIME_ID, state), EOPNOTSUPP);
    CHECK_ERRNO(clock_adjtime(-6, state), EOPNOTSUPP);
    CHECK_ERRNO(clock_adjtime(10, state), EINVAL);
    CHECK_ERRNO(clock_adjtime(99, state), EINVAL);
    CHECK_ERRNO(clock_adjtime(-5, state), EINVAL);
    CHECK_ERRNO(syscall(SYS_clock_adjtime, 99, NULL), EFAULT);
    if (geteuid() == 0)
        return;
    state->modes = ADJ_TICK;
    CHECK_ERRNO(adjtimex(state), EPERM);
    CHECK_ERRNO(clock_adjtime(CLOCK_REALTIME, state), EPERM);
    state->modes = 0x8001;
    CHECK_ERRNO(adjtimex(state), EPERM);
}

TEST(setting_the_clock)
{
    struct timespec time = {1, -1};
    struct timeval micros = {1, 2000000};
    CHECK_ERRNO(clock_settime(CLOCK_REALTIME, &time), EINVAL);
    CHECK_ERRNO(syscall(SYS_clock_settime, CLOCK_REALTIME, NULL), EFAULT);
    CHECK_ERRNO(clock_settime(99, &time), EINVAL);
    CHECK_ERRNO(clock_settime(CLOCK_MONOTONIC, &time), EINVAL);
    CHECK_ERRNO(syscall(SYS_clock_settime, CLOCK_BOOTTIME, NULL), EINVAL);
    CHECK_ERRNO(syscall(SYS_settimeofday, &micros, NULL), EINVAL);
    micros = (struct timeval){-1, 0};
    CHECK_ERRNO(syscall(SYS_settimeofday, &micros, NULL), EINVAL);
    CHECK_ERRNO(syscall(SYS_settimeofday, 1, NULL), EFAULT);
    CHECK_ERRNO(syscall(SYS_settimeofday, NULL, 1), EFAULT);
    if (geteuid() == 0)
        return;
    time = (struct timespec){1, 1};
    CHECK_ERRNO(clock_settime(CLOCK_REALTIME, &time), EPERM);
    CHECK_ERRNO(clock_settime(-6, &time), EPERM); /* one's own CPU time */
    micros = (struct timeval){1, 1};
    CHECK_ERRNO(syscall(SYS_settimeofday, &micros, NULL), EPERM);
    CHECK_ERRNO(syscall(SYS_settimeofday, NULL, NULL), EPERM);
}
