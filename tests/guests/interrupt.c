/* interrupt: calls that wait when a signal, a stop or a child's end arrives: restart, EINTR, continue. */
#include "guest.h"

#include <pthread.h>
#include <sys/epoll.h>
#include <sys/file.h>
#include <sys/sem.h>
#include <sys/socket.h>
#include <sys/time.h>

enum { MS = 1000000 };

static volatile sig_atomic_t ticks;
static int tick_pipe[2];

static void tick(int signal_number)
{
    (void)signal_number;
    ticks++;
}

/* The third tick makes the read that was restarted twice return. */
static void tick_then_write(int signal_number)
{
    (void)signal_number;
    if (++ticks == 3) {
        ssize_t written = write(tick_pipe[1], "t", 1);
        (void)written;
    }
}

static void tick_every_20_ms(void (*handler)(int), int flags)
{
    handle_signal(SIGALRM, handler, flags);
    struct itimerval every = {{0, 20000}, {0, 20000}};
    REQUIRE_OK(setitimer(ITIMER_REAL, &every, NULL));
}

TEST(read_gives_eintr_without_sa_restart)
{
    REQUIRE_OK(pipe(tick_pipe));
    tick_every_20_ms(tick, 0);
    char byte;
    CHECK_ERRNO(read(tick_pipe[0], &byte, 1), EINTR);
    CHECK(ticks > 0);
}

TEST(read_goes_on_with_sa_restart)
{
    REQUIRE_OK(pipe(tick_pipe));
    tick_every_20_ms(tick_then_write, SA_RESTART);
    char byte = 0;
    CHECK_EQ(read(tick_pipe[0], &byte, 1), 1);
    CHECK_EQ(byte, 't');
    CHECK(ticks >= 3);
}

TEST(a_write_ended_by_a_signal_tells_what_it_wrote)
{
    int ends[2];
    REQUIRE_OK(pipe(ends));
    tick_every_20_ms(tick, 0);
    char *data = calloc(1, 200000);
    CHECK_EQ(write(ends[1], data, 200000), 65536);
    CHECK_ERRNO(write(ends[1], data, 1), EINTR);
    free(data);
}

TEST(sockets_and_accept)
{
    int pair[2];
    REQUIRE_OK(socketpair(AF_UNIX, SOCK_STREAM, 0, pair));
    tick_every_20_ms(tick, 0);
    char byte;
    CHECK_ERRNO(recv(pair[0], &byte, 1, 0), EINTR);
    int listener = socket(AF_UNIX, SOCK_STREAM, 0);
    REQUIRE_OK(bind(listener, (struct sockaddr *)&(struct sockaddr){.sa_family = AF_UNIX}, sizeof(sa_family_t)));
    REQUIRE_OK(listen(listener, 1));
    CHECK_ERRNO(accept(listener, NULL, NULL), EINTR);
}

TEST(wait4_restarts_or_not)
{
    pid_t pid = fork_child();
    if (pid == 0)
        for (;;)
            pause();
    tick_every_20_ms(tick, 0);
    int status;
    CHECK_ERRNO(waitpid(pid, &status, 0), EINTR);
    CHECK_OK(kill(pid, SIGKILL));
    CHECK_SIGNALED(wait_status(pid), SIGKILL);
}

TEST(sleeping_is_cut_short)
{
    tick_every_20_ms(tick, SA_RESTART);
    struct timespec request = {100, 0}, left = {0, 0};
    CHECK_ERRNO(nanosleep(&request, &left), EINTR);
    CHECK(left.tv_sec >= 90 && left.tv_sec < 100);
    CHECK_EQ(clock_nanosleep(CLOCK_MONOTONIC, 0, &request, &left), EINTR);
}

TEST(pause_and_sigsuspend)
{
    tick_every_20_ms(tick, SA_RESTART);
    CHECK_ERRNO(pause(), EINTR);
    sigset_t block, open_mask, now;
    sigemptyset(&block);
    sigemptyset(&open_mask);
    sigaddset(&block, SIGALRM);
    REQUIRE_OK(sigprocmask(SIG_BLOCK, &block, NULL));
    int before = ticks;
    CHECK_ERRNO(sigsuspend(&open_mask), EINTR);
    CHECK(ticks > before);
    CHECK_OK(sigprocmask(SIG_BLOCK, NULL, &now));
    CHECK(sigismember(&now, SIGALRM));
}

TEST(alarm_ends_a_blocked_read_by_default)
{
    pid_t pid = fork_child();
    if (pid == 0) {
        int ends[2];
        char byte;
        REQUIRE_OK(pipe(ends));
        struct itimerval once = {{0, 0}, {0, 30000}};
        setitimer(ITIMER_REAL, &once, NULL);
        ssize_t got = read(ends[0], &byte, 1);
        _exit((int)got);
    }
    CHECK_SIGNALED(wait_status(pid), SIGALRM);
}

TEST(alarm_counts_seconds)
{
    handle_signal(SIGALRM, tick, 0);
    CHECK_EQ(alarm(100), 0);
    unsigned left = alarm(1);
    CHECK(left == 99 || left == 100);
    pause();
    CHECK_EQ(ticks, 1);
    CHECK_EQ(alarm(0), 0);
}

TEST(sigchld_while_blocked_in_read)
{
    int ends[2];
    REQUIRE_OK(pipe(ends));
    handle_signal(SIGCHLD, tick, 0);
    pid_t parent = getpid(), pid = fork_child();
    if (pid == 0) {
        close(ends[1]);
        wait_for_state(parent, 'S');
        _exit(0);
    }
    char byte;
    CHECK_ERRNO(read(ends[0], &byte, 1), EINTR);
    CHECK_EQ(ticks, 1);
    CHECK_CHILD(pid);
}

TEST(ignored_child_exits_do_not_disturb_a_read)
{
    int ends[2];
    REQUIRE_OK(pipe(ends));
    pid_t parent = getpid(), pid = fork_child(), second;
    if (pid == 0) {
        wait_for_state(parent, 'S');
        _exit(0);
    }
    if ((second = fork_child()) == 0) {
        while (process_state(pid) != 'Z')
            usleep(500);
        CHECK_EQ(write(ends[1], "x", 1), 1);
        guest_finish();
    }
    char byte;
    CHECK_EQ(read(ends[0], &byte, 1), 1);
    CHECK_CHILD(pid);
    CHECK_CHILD(second);
}

/* The child ends after an 'x' and then an 'e', so that it can be looked at in between. */
static pid_t start_blocked_reader(int fd)
{
    pid_t pid = fork_child();
    if (pid == 0) {
        char byte = 0;
        CHECK_EQ(read(fd, &byte, 1), 1);
        CHECK_EQ(byte, 'x');
        CHECK_EQ(read(fd, &byte, 1), 1);
        CHECK_EQ(byte, 'e');
        guest_finish();
    }
    wait_for_state(pid, 'S');
    return pid;
}

TEST(stop_and_continue_a_child_blocked_in_read)
{
    int ends[2], status;
    REQUIRE_OK(pipe(ends));
    pid_t pid = start_blocked_reader(ends[0]);
    CHECK_OK(kill(pid, SIGSTOP));
    CHECK_EQ(waitpid(pid, &status, WUNTRACED), pid);
    CHECK(WIFSTOPPED(status) && WSTOPSIG(status) == SIGSTOP);
    CHECK_EQ(process_state(pid), 'T');
    CHECK_EQ(write(ends[1], "x", 1), 1);
    CHECK_EQ(waitpid(pid, &status, WNOHANG), 0); /* stopped: it takes nothing */
    CHECK_OK(kill(pid, SIGCONT));
    CHECK_EQ(waitpid(pid, &status, WCONTINUED), pid);
    CHECK(WIFCONTINUED(status));
    CHECK_EQ(write(ends[1], "e", 1), 1);
    CHECK_CHILD(pid);
}

TEST(continued_reader_blocks_again)
{
    int ends[2], status;
    REQUIRE_OK(pipe(ends));
    pid_t pid = start_blocked_reader(ends[0]);
    for (int i = 0; i < 3; i++) {
        CHECK_OK(kill(pid, SIGSTOP));
        CHECK_EQ(waitpid(pid, &status, WUNTRACED), pid);
        CHECK(WIFSTOPPED(status));
        CHECK_OK(kill(pid, SIGCONT));
        CHECK_EQ(waitpid(pid, &status, WCONTINUED), pid);
        wait_for_state(pid, 'S');
    }
    CHECK_EQ(write(ends[1], "xe", 2), 2);
    CHECK_CHILD(pid);
}

TEST(stopping_a_busy_child)
{
    int status;
    pid_t pid = fork_child();
    if (pid == 0)
        for (;;)
            ;
    CHECK_OK(kill(pid, SIGSTOP));
    CHECK_EQ(waitpid(pid, &status, WUNTRACED), pid);
    CHECK(WIFSTOPPED(status) && WSTOPSIG(status) == SIGSTOP);
    CHECK_OK(kill(pid, SIGTERM)); /* stays pending while stopped */
    CHECK_EQ(process_state(pid), 'T');
    CHECK_OK(kill(pid, SIGCONT));
    int end = wait_status(pid);
    CHECK_SIGNALED(end, SIGTERM);
}

TEST(sigtstp_stops_unless_the_group_is_orphaned)
{
    int status;
    pid_t leader = fork_child();
    if (leader == 0) {
        setsid();
        raise(SIGTSTP); /* nobody in this session could continue us: ignored */
        pid_t pid = fork_child();
        if (pid == 0) {
            setpgid(0, 0);
            raise(SIGTSTP);
            _exit(4);
        }
        CHECK_EQ(waitpid(pid, &status, WUNTRACED), pid);
        CHECK(WIFSTOPPED(status) && WSTOPSIG(status) == SIGTSTP);
        CHECK_OK(kill(pid, SIGCONT));
        CHECK_EXITED(wait_status(pid), 4);
        guest_finish();
    }
    CHECK_CHILD(leader);
}

TEST(sigkill_ends_a_stopped_child)
{
    int ends[2], status;
    REQUIRE_OK(pipe(ends));
    pid_t pid = start_blocked_reader(ends[0]);
    CHECK_OK(kill(pid, SIGSTOP));
    CHECK_EQ(waitpid(pid, &status, WUNTRACED), pid);
    CHECK_OK(kill(pid, SIGKILL));
    CHECK_SIGNALED(wait_status(pid), SIGKILL);
}

TEST(stops_are_told_by_sigchld_and_waitid)
{
    int ends[2];
    REQUIRE_OK(pipe(ends));
    handle_signal(SIGCHLD, tick, SA_RESTART);
    pid_t pid = fork_child();
    if (pid == 0) {
        char byte;
        raise(SIGSTOP);
        CHECK_EQ(read(ends[0], &byte, 1), 1);
        _exit(3);
    }
    siginfo_t info = {0};
    CHECK_OK(TEMP_FAILURE_RETRY(waitid(P_PID, (id_t)pid, &info, WSTOPPED)));
    CHECK_EQ(info.si_code, CLD_STOPPED);
    CHECK_EQ(info.si_status, SIGSTOP);
    CHECK(ticks >= 1);
    CHECK_OK(kill(pid, SIGCONT));
    CHECK_OK(TEMP_FAILURE_RETRY(waitid(P_PID, (id_t)pid, &info, WCONTINUED)));
    CHECK_EQ(info.si_code, CLD_CONTINUED);
    CHECK_EQ(write(ends[1], "x", 1), 1);
    CHECK_EXITED(wait_status(pid), 3);
}

static void *read_in_thread(void *argument)
{
    char byte;
    ssize_t got = read(*(int *)argument, &byte, 1);
    return (void *)(intptr_t)(got == -1 ? -errno : got);
}

static pid_t sibling_thread(void)
{
    /* The other thread's number: the one directory of /proc/self/task that is not ours. */
    char path[64];
    for (pid_t tid = getpid() + 1; tid < getpid() + 5000; tid++) {
        snprintf(path, sizeof path, "/proc/self/task/%d", tid);
        if (access(path, F_OK) == 0)
            return tid;
    }
    return -1;
}

TEST(a_signal_to_one_thread_interrupts_that_thread)
{
    int ends[2];
    REQUIRE_OK(pipe(ends));
    handle_signal(SIGUSR1, tick, 0);
    pthread_t thread;
    CHECK_EQ(pthread_create(&thread, NULL, read_in_thread, &ends[0]), 0);
    pid_t tid = sibling_thread();
    REQUIRE(tid > 0);
    wait_for_state(tid, 'S');
    CHECK_EQ(pthread_kill(thread, SIGUSR1), 0);
    void *result;
    CHECK_EQ(pthread_join(thread, &result), 0);
    CHECK_EQ((intptr_t)result, -EINTR);
    CHECK_EQ(ticks, 1);
}

TEST(a_process_signal_finds_the_thread_that_takes_it)
{
    int ends[2];
    REQUIRE_OK(pipe(ends));
    handle_signal(SIGUSR1, tick, 0);
    pthread_t thread;
    CHECK_EQ(pthread_create(&thread, NULL, read_in_thread, &ends[0]), 0);
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    REQUIRE_OK(pthread_sigmask(SIG_BLOCK, &set, NULL));
    pid_t tid = sibling_thread();
    REQUIRE(tid > 0);
    wait_for_state(tid, 'S');
    CHECK_OK(kill(getpid(), SIGUSR1));
    void *result;
    CHECK_EQ(pthread_join(thread, &result), 0);
    CHECK_EQ((intptr_t)result, -EINTR);
}

TEST(calls_that_do_not_wait_never_give_eintr)
{
    scratch();
    write_file("f", "x");
    handle_signal(SIGALRM, tick, 0);
    struct itimerval every = {{0, 300}, {0, 300}};
    REQUIRE_OK(setitimer(ITIMER_REAL, &every, NULL));
    int failed = 0;
    for (int round = 0; round < 3000 && !failed; round++) {
        struct stat status;
        int fd = open("f", O_RDONLY), copy;
        char byte;
        failed |= fd < 0;
        failed |= (copy = dup(fd)) < 0;
        failed |= fstat(fd, &status) < 0;
        failed |= stat("f", &status) < 0;
        failed |= pread(fd, &byte, 1, 0) != 1;
        failed |= close(copy) < 0;
        failed |= close(fd) < 0;
        if (failed)
            GUEST_FAIL("round %d: %s", round, strerrorname_np(errno));
    }
    CHECK(ticks > 0);
}

TEST(many_signals_arrive_while_calls_run)
{
    /* Every tick sent is a tick seen or merged with one: the last one sent is never lost. */
    handle_signal(SIGUSR1, tick, SA_RESTART);
    pid_t parent = getpid(), pid = fork_child();
    if (pid == 0) {
        for (int i = 0; i < 500; i++)
            CHECK_OK(kill(parent, SIGUSR1));
        guest_finish();
    }
    int status, calls = 0;
    do { /* at least once: the child may be done before we run again */
        CHECK(getuid() != (uid_t)-1);
        CHECK_OK(access("/", F_OK));
        calls++;
    } while (waitpid(pid, &status, WNOHANG) == 0);
    CHECK_EQ(status, 0);
    CHECK(ticks > 0 && calls > 0);
    int before = ticks;
    CHECK_OK(kill(getpid(), SIGUSR1));
    CHECK_EQ(ticks, before + 1);
}

static int self_pipe[2];

static void write_byte(int signal_number)
{
    (void)signal_number;
    if (write(self_pipe[1], "s", 1) != 1)
        _exit(98);
}

TEST(a_signal_between_call_and_wait_is_not_lost)
{
    /* Whether it comes before the read or during it: afterwards there is a byte. */
    enum { ROUNDS = 400 };
    int ready[2];
    REQUIRE_OK(pipe(ready));
    REQUIRE_OK(pipe(self_pipe));
    handle_signal(SIGUSR1, write_byte, 0);
    pid_t pid = fork_child();
    if (pid == 0) {
        char byte;
        for (int round = 0; round < ROUNDS; round++) {
            REQUIRE(write(ready[1], "r", 1) == 1);
            while (read(self_pipe[0], &byte, 1) < 0)
                REQUIRE(errno == EINTR);
        }
        guest_finish();
    }
    char byte;
    for (int round = 0; round < ROUNDS; round++) {
        REQUIRE(read(ready[0], &byte, 1) == 1);
        CHECK_OK(kill(pid, SIGUSR1));
    }
    CHECK_CHILD(pid);
}

/* ---- signals that the process ignores: Linux does not even wake it */

static const struct timespec a_while = {0, 70 * MS};

static long wait_in_sigtimedwait(void)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    return sigtimedwait(&set, NULL, &a_while) < 0 && errno == EAGAIN;
}

static long wait_in_nanosleep(void)
{
    return nanosleep(&a_while, NULL) == 0;
}

static long wait_until_a_time(void)
{
    struct timespec end;
    clock_gettime(CLOCK_MONOTONIC, &end);
    end.tv_nsec += a_while.tv_nsec;
    end.tv_sec += end.tv_nsec / 1000000000;
    end.tv_nsec %= 1000000000;
    return clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &end, NULL) == 0;
}

static long wait_in_futex(void)
{
    static uint32_t word;
    return syscall(SYS_futex, &word, 0 /* FUTEX_WAIT */, 0, &a_while) < 0 && errno == ETIMEDOUT;
}

static long wait_in_poll(void)
{
    return poll(NULL, 0, a_while.tv_nsec / MS) == 0;
}

static long wait_in_ppoll(void)
{
    sigset_t none;
    sigemptyset(&none);
    return ppoll(NULL, 0, &a_while, &none) == 0;
}

static long wait_in_epoll(void)
{
    struct epoll_event event;
    int fd = epoll_create1(0);
    long is_over = epoll_wait(fd, &event, 1, a_while.tv_nsec / MS) == 0;
    close(fd);
    return is_over;
}

static long wait_in_semtimedop(void)
{
    struct sembuf down = {0, -1, 0};
    int id = semget(IPC_PRIVATE, 1, 0600);
    long is_over = semtimedop(id, &down, 1, &a_while) < 0 && errno == EAGAIN;
    semctl(id, 0, IPC_RMID);
    return is_over;
}

TEST(ignored_signals_end_no_wait)
{
    static const struct {
        const char *name;
        long (*wait)(void);
    } waits[] = {
        {"sigtimedwait", wait_in_sigtimedwait}, {"nanosleep", wait_in_nanosleep}, {"clock_nanosleep", wait_until_a_time},
        {"futex", wait_in_futex},               {"poll", wait_in_poll},           {"ppoll", wait_in_ppoll},
        {"epoll_wait", wait_in_epoll},          {"semtimedop", wait_in_semtimedop},
    };
    sigset_t wanted;
    sigemptyset(&wanted);
    sigaddset(&wanted, SIGUSR1);
    REQUIRE_OK(sigprocmask(SIG_BLOCK, &wanted, NULL));
    tick_every_20_ms(SIG_IGN, 0);
    for (size_t i = 0; i < sizeof waits / sizeof *waits; i++) {
        int64_t before = now_ns(CLOCK_MONOTONIC);
        if (!waits[i].wait())
            GUEST_FAIL("%s: ended with errno %d", waits[i].name, errno);
        if (now_ns(CLOCK_MONOTONIC) - before < a_while.tv_nsec)
            GUEST_FAIL("%s: too short", waits[i].name);
    }
}

TEST(blocking_locks_are_interrupted)
{
    scratch();
    write_file("f", "x");
    int fd = open("f", O_RDWR), other = open("f", O_RDWR);
    CHECK_OK(flock(fd, LOCK_EX));
    tick_every_20_ms(tick, 0);
    CHECK_ERRNO(flock(other, LOCK_EX), EINTR);
}
