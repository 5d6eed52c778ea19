/* process: fork, vfork, clone, threads, waiting, sessions, groups, orphans, exit. */
#include "guest.h"

#include <linux/futex.h>
#include <pthread.h>
#include <sys/resource.h>
#include <sys/time.h>
#include <sys/times.h>

TEST(fork_copies_memory_and_shares_files)
{
    int value = 1, ends[2];
    REQUIRE_OK(pipe(ends));
    pid_t parent = getpid(), pid = fork_child();
    if (pid == 0) {
        value = 2;
        CHECK_EQ(getppid(), parent);
        CHECK(getpid() != parent);
        CHECK_EQ(gettid(), getpid());
        pid_t own = getpid();
        CHECK_EQ(write(ends[1], &own, sizeof own), sizeof own);
        guest_finish();
    }
    CHECK_CHILD(pid);
    CHECK_EQ(value, 1);
    pid_t told = 0;
    CHECK_EQ(read(ends[0], &told, sizeof told), sizeof told);
    CHECK_EQ(told, pid);
}

TEST(descriptor_tables_part_at_fork)
{
    int fd = open("/dev/null", O_RDONLY);
    pid_t pid = fork_child();
    if (pid == 0) {
        CHECK_OK(close(fd));
        CHECK_EQ(open("/dev/zero", O_RDONLY), fd);
        CHECK_EQ(dup(fd), fd + 1);
        guest_finish();
    }
    CHECK_CHILD(pid);
    CHECK_OK(fcntl(fd, F_GETFD));
    CHECK_ERRNO(fcntl(fd + 1, F_GETFD), EBADF);
    char byte;
    CHECK_EQ(read(fd, &byte, 1), 0); /* still /dev/null */
}

TEST(exit_statuses)
{
    for (int code = 0; code < 256; code += 51) {
        pid_t pid = fork_child();
        if (pid == 0)
            _exit(code);
        CHECK_EXITED(wait_status(pid), code);
    }
    pid_t pid = fork_child();
    if (pid == 0)
        syscall(SYS_exit_group, 0x1234);
    CHECK_EXITED(wait_status(pid), 0x34);
}

TEST(many_children)
{
    pid_t children[50];
    for (int i = 0; i < 50; i++) {
        children[i] = fork_child();
        if (children[i] == 0)
            _exit(i);
    }
    for (int i = 0; i < 50; i++)
        CHECK_EXITED(wait_status(children[i]), i);
    CHECK_ERRNO(wait(NULL), ECHILD);
}

TEST(nested_forks)
{
    pid_t pid = fork_child();
    if (pid == 0) {
        pid_t inner = fork_child();
        if (inner == 0) {
            pid_t innermost = fork_child();
            if (innermost == 0)
                _exit(3);
            CHECK_EXITED(wait_status(innermost), 3);
            guest_finish();
        }
        CHECK_CHILD(inner);
        guest_finish();
    }
    CHECK_CHILD(pid);
}

TEST(wait_options)
{
    int ends[2], status = 7;
    REQUIRE_OK(pipe(ends));
    pid_t pid = fork_child();
    if (pid == 0) {
        char byte;
        close(ends[1]);
        CHECK_EQ(read(ends[0], &byte, 1), 0);
        _exit(5);
    }
    CHECK_EQ(waitpid(pid, &status, WNOHANG), 0);
    CHECK_EQ(status, 7);
    CHECK_ERRNO(waitpid(pid, &status, 0x1000), EINVAL);
    CHECK_ERRNO(waitpid(getpid(), &status, 0), ECHILD);
    close(ends[1]);
    siginfo_t *info = guarded(sizeof *info);
    CHECK_OK(waitid(P_PID, (id_t)pid, info, WEXITED | WNOWAIT));
    CHECK_EQ(info->si_pid, pid);
    CHECK_EQ(info->si_status, 5);
    CHECK_EQ(info->si_code, CLD_EXITED);
    CHECK_EQ(info->si_signo, SIGCHLD);
    struct rusage *usage = guarded(sizeof *usage);
    CHECK_EQ(wait4(-1, &status, 0, usage), pid);
    CHECK_EXITED(status, 5);
    CHECK_ERRNO(waitid(P_ALL, 0, info, WEXITED), ECHILD);
    CHECK_ERRNO(waitid(P_ALL, 0, info, 0), EINVAL);
}

TEST(waitid_says_whose_child_it_was)
{
    enum { UP_TO_STATUS = 28 };
    static const idtype_t ways[] = {P_PID, P_ALL, P_PGID, P_PIDFD};
    uid_t user = geteuid() ? getuid() : 1000;
    siginfo_t *info = guarded(UP_TO_STATUS); /* nothing behind si_status is touched */
    for (size_t i = 0; i < sizeof ways / sizeof *ways; i++) {
        pid_t pid = fork_child();
        if (pid == 0) {
            CHECK_OK(setuid(user));
            _exit(3);
        }
        int pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
        CHECK(pidfd >= 0);
        id_t whom = ways[i] == P_PID ? (id_t)pid : ways[i] == P_PIDFD ? (id_t)pidfd : 0;
        CHECK_OK(syscall(SYS_waitid, ways[i], whom, info, WEXITED, NULL));
        CHECK_EQ(info->si_pid, pid);
        CHECK_EQ(info->si_uid, user);
        CHECK_EQ(info->si_status, 3);
        close(pidfd);
    }
    memset(info, 0x55, UP_TO_STATUS);
    pid_t pid = fork_child();
    if (pid == 0)
        for (;;)
            pause();
    CHECK_OK(syscall(SYS_waitid, P_PID, pid, info, WEXITED | WNOHANG, NULL)); /* nothing to tell */
    CHECK_EQ(info->si_pid, 0);
    CHECK_EQ(info->si_uid, 0);
    CHECK_ERRNO(syscall(SYS_waitid, 77, pid, info, WEXITED, NULL), EINVAL);
    CHECK_ERRNO(syscall(SYS_waitid, P_PID, -1, info, WEXITED, NULL), EINVAL);
    CHECK_OK(kill(pid, SIGKILL));
    CHECK_OK(syscall(SYS_waitid, P_PID, pid, NULL, WEXITED, NULL));
}

TEST(waiting_for_a_process_group)
{
    pid_t first = fork_child();
    if (first == 0) {
        setpgid(0, 0);
        _exit(1);
    }
    setpgid(first, first);
    pid_t second = fork_child();
    if (second == 0)
        _exit(2);
    int status;
    CHECK_EQ(waitpid(-first, &status, 0), first);
    CHECK_EXITED(status, 1);
    CHECK_EQ(waitpid(0, &status, 0), second);
    CHECK_EXITED(status, 2);
}

TEST(ignored_sigchld_reaps_by_itself)
{
    signal(SIGCHLD, SIG_IGN);
    pid_t pid = fork_child();
    if (pid == 0)
        _exit(0);
    CHECK_ERRNO(waitpid(pid, NULL, 0), ECHILD);
}

TEST(orphans_get_a_new_parent)
{
    int ends[2];
    REQUIRE_OK(pipe(ends));
    pid_t pid = fork();
    if (pid == 0) {
        pid_t parent = getpid();
        if (fork() == 0) {
            while (getppid() == parent)
                usleep(500);
            pid_t adopter = getppid();
            _exit(write(ends[1], &adopter, sizeof adopter) != sizeof adopter);
        }
        _exit(0);
    }
    CHECK_CHILD(pid);
    close(ends[1]);
    pid_t adopter = 0;
    CHECK_EQ(read(ends[0], &adopter, sizeof adopter), sizeof adopter);
    CHECK(adopter != pid);
    char byte;
    CHECK_EQ(read(ends[0], &byte, 1), 0);
}

TEST(subreaper_adopts_grandchildren)
{
    CHECK_OK(prctl(PR_SET_CHILD_SUBREAPER, 1));
    int flag = 0;
    CHECK_OK(prctl(PR_GET_CHILD_SUBREAPER, &flag));
    CHECK_EQ(flag, 1);
    int ends[2];
    REQUIRE_OK(pipe(ends));
    pid_t pid = fork();
    if (pid == 0) {
        pid_t grandchild = fork();
        if (grandchild == 0) {
            char byte;
            close(ends[1]);
            ssize_t got = read(ends[0], &byte, 1);
            _exit(got == 0 ? 6 : 7);
        }
        _exit(0);
    }
    CHECK_CHILD(pid);
    close(ends[1]);
    int status;
    CHECK(wait(&status) > 0);
    CHECK_EXITED(status, 6);
}

TEST(parent_death_signal)
{
    int ends[2];
    REQUIRE_OK(pipe(ends));
    pid_t pid = fork();
    if (pid == 0) {
        pid_t parent = getpid();
        int ready[2];
        REQUIRE_OK(pipe(ready));
        if (fork() == 0) {
            CHECK_OK(prctl(PR_SET_PDEATHSIG, SIGKILL));
            CHECK_EQ(getppid(), parent);
            ssize_t written = write(ready[1], "r", 1);
            (void)written;
            for (;;)
                pause();
        }
        char byte;
        CHECK_EQ(read(ready[0], &byte, 1), 1);
        _exit(0);
    }
    CHECK_CHILD(pid);
    close(ends[1]);
    char byte;
    CHECK_EQ(read(ends[0], &byte, 1), 0); /* the grandchild held the other copy until it died */
}

TEST(sessions_and_groups)
{
    CHECK_EQ(getpgid(0), getpgrp());
    CHECK_EQ(getsid(0), getsid(getpid()));
    pid_t group = getpgrp(), pid = fork_child();
    if (pid == 0) {
        CHECK_EQ(getpgrp(), group);
        CHECK_EQ(setsid(), getpid());
        CHECK_EQ(getsid(0), getpid());
        CHECK_EQ(getpgrp(), getpid());
        CHECK_ERRNO(setsid(), EPERM);
        CHECK_ERRNO(setpgid(0, 0), EPERM);
        guest_finish();
    }
    CHECK_CHILD(pid);
    pid = fork_child();
    if (pid == 0) {
        CHECK_OK(setpgid(0, 0));
        CHECK_EQ(getpgrp(), getpid());
        CHECK_OK(setpgid(0, group));
        CHECK_EQ(getpgrp(), group);
        CHECK_ERRNO(setpgid(0, 0x3ffff0), EPERM);
        guest_finish();
    }
    CHECK_CHILD(pid);
    CHECK_ERRNO(setpgid(0x3ffff0, 0), ESRCH);
    CHECK_ERRNO(setpgid(0, -1), EINVAL);
    CHECK_ERRNO(getsid(0x3ffff0), ESRCH);
}

TEST(vfork_child_runs_first)
{
    static volatile int order;
    pid_t pid = vfork();
    if (pid == 0) {
        order = 1;
        _exit(4);
    }
    CHECK_EQ(order, 1); /* memory was shared and the parent waited */
    CHECK_EXITED(wait_status(pid), 4);
}

static void *add_numbers(void *argument)
{
    long sum = 0;
    for (long i = 0; i <= (long)(intptr_t)argument; i++)
        sum += i;
    return (void *)sum;
}

TEST(threads_start_and_join)
{
    pthread_t threads[16];
    for (long i = 0; i < 16; i++)
        CHECK_EQ(pthread_create(&threads[i], NULL, add_numbers, (void *)(i * 100)), 0);
    for (long i = 0; i < 16; i++) {
        void *sum;
        CHECK_EQ(pthread_join(threads[i], &sum), 0);
        CHECK_EQ((long)sum, i * 100 * (i * 100 + 1) / 2);
    }
}

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static int turn;

static void *take_turns(void *argument)
{
    int parity = (int)(intptr_t)argument;
    for (int i = 0; i < 200; i++) {
        pthread_mutex_lock(&mutex);
        while (turn % 2 != parity)
            pthread_cond_wait(&changed, &mutex);
        turn++;
        pthread_cond_broadcast(&changed);
        pthread_mutex_unlock(&mutex);
    }
    return NULL;
}

TEST(threads_wait_for_each_other)
{
    pthread_t other;
    CHECK_EQ(pthread_create(&other, NULL, take_turns, (void *)1), 0);
    take_turns((void *)0);
    CHECK_EQ(pthread_join(other, NULL), 0);
    CHECK_EQ(turn, 400);
}

static void *open_in_thread(void *argument)
{
    (void)argument;
    prctl(PR_SET_NAME, "opener");
    if (chdir("/proc") == -1)
        return (void *)-1;
    return (void *)(intptr_t)open("/dev/null", O_RDONLY);
}

TEST(threads_share_descriptors_and_the_working_directory)
{
    pthread_t thread;
    void *fd;
    scratch();
    CHECK_EQ(pthread_create(&thread, NULL, open_in_thread, NULL), 0);
    CHECK_EQ(pthread_join(thread, &fd), 0);
    CHECK_OK(fcntl((int)(intptr_t)fd, F_GETFD));
    char cwd[64];
    CHECK(getcwd(cwd, sizeof cwd) != NULL);
    CHECK_STR(cwd, "/proc");
}

static void *own_files(void *argument)
{
    if (unshare(CLONE_FILES | CLONE_FS) == -1)
        return (void *)(intptr_t)errno;
    close(*(int *)argument);
    return (void *)(intptr_t)chdir("/proc");
}

TEST(unshare_parts_a_thread)
{
    int fd = open("/dev/null", O_RDONLY);
    const char *path = scratch();
    pthread_t thread;
    void *result;
    CHECK_EQ(pthread_create(&thread, NULL, own_files, &fd), 0);
    CHECK_EQ(pthread_join(thread, &result), 0);
    CHECK_EQ((intptr_t)result, 0);
    CHECK_OK(fcntl(fd, F_GETFD));
    char cwd[GUEST_PATH_BYTES];
    CHECK_STR(getcwd(cwd, sizeof cwd), path);
}

static int clone_body(void *argument)
{
    int *shared = argument;
    shared[0] = getpid();
    shared[1] = getppid();
    close(shared[2]);
    return 8;
}

TEST(clone_with_shared_memory_and_files)
{
    int shared[3] = {0, 0, open("/dev/null", O_RDONLY)};
    char *stack = malloc(65536);
    pid_t pid = clone(clone_body, stack + 65536, CLONE_VM | CLONE_FILES | CLONE_FS | SIGCHLD, shared);
    CHECK(pid > 0);
    CHECK_EXITED(wait_status(pid), 8);
    CHECK_EQ(shared[0], pid);
    CHECK_EQ(shared[1], getpid());
    CHECK_ERRNO(fcntl(shared[2], F_GETFD), EBADF);
}

TEST(clone_without_a_signal_needs_wclone)
{
    int shared[3] = {0, 0, -1};
    char *stack = malloc(65536);
    pid_t pid = clone(clone_body, stack + 65536, 0, shared);
    CHECK(pid > 0);
    CHECK_ERRNO(waitpid(pid, NULL, 0), ECHILD);
    int status;
    CHECK_EQ(waitpid(pid, &status, __WCLONE), pid);
    CHECK_EXITED(status, 8);
}

TEST(clone_flag_rules)
{
    char *stack = malloc(65536);
    CHECK_ERRNO(syscall(SYS_clone, CLONE_THREAD, stack, 0, 0, 0), EINVAL);
    CHECK_ERRNO(syscall(SYS_clone, CLONE_SIGHAND | SIGCHLD, stack, 0, 0, 0), EINVAL);
}

static void *exit_all(void *argument)
{
    (void)argument;
    _exit(12);
}

static void *sleep_forever(void *argument)
{
    while (argument == NULL)
        pause();
    return NULL;
}

TEST(exit_group_from_a_thread)
{
    pid_t pid = fork_child();
    if (pid == 0) {
        pthread_t threads[3];
        for (int i = 0; i < 2; i++)
            pthread_create(&threads[i], NULL, sleep_forever, NULL);
        pthread_create(&threads[2], NULL, exit_all, NULL);
        sleep_forever(NULL);
    }
    CHECK_EXITED(wait_status(pid), 12);
}

static void *late_exit(void *argument)
{
    pthread_join(*(pthread_t *)argument, NULL);
    _exit(13);
}

TEST(the_main_thread_may_end_first)
{
    pid_t pid = fork_child();
    if (pid == 0) {
        static pthread_t self;
        pthread_t thread;
        self = pthread_self();
        pthread_create(&thread, NULL, late_exit, &self);
        pthread_exit(NULL);
    }
    CHECK_EXITED(wait_status(pid), 13);
}

HELPER(report_single_thread)
{
    char status[2048];
    read_file("/proc/self/status", status, sizeof status);
    return getpid() == gettid() && strstr(status, "\nThreads:\t1\n") != NULL ? 21 : 22;
}

static void *exec_in_thread(void *argument)
{
    (void)argument;
    self_exec("report_single_thread", NULL);
    _exit(99);
}

TEST(exec_from_a_thread_ends_the_others)
{
    pid_t pid = fork_child();
    if (pid == 0) {
        pthread_t threads[2];
        pthread_create(&threads[0], NULL, sleep_forever, NULL);
        pthread_create(&threads[1], NULL, exec_in_thread, NULL);
        sleep_forever(NULL);
    }
    CHECK_EXITED(wait_status(pid), 21);
}

TEST(usage_and_times)
{
    struct rusage usage;
    CHECK_OK(getrusage(RUSAGE_SELF, &usage));
    CHECK_OK(getrusage(RUSAGE_CHILDREN, &usage));
    CHECK_ERRNO(getrusage(99, &usage), EINVAL);
    struct tms spent;
    CHECK(times(&spent) != (clock_t)-1);
    CHECK_OK(setpriority(PRIO_PROCESS, 0, 19));
    CHECK_EQ(getpriority(PRIO_PROCESS, 0), 19);
}

TEST(scheduling_queries)
{
    cpu_set_t cpus;
    CHECK_OK(sched_getaffinity(0, sizeof cpus, &cpus));
    CHECK(CPU_COUNT(&cpus) >= 1);
    CHECK_OK(sched_setaffinity(0, sizeof cpus, &cpus));
    CHECK_EQ(sched_getscheduler(0), SCHED_OTHER);
    CHECK_OK(sched_yield());
    unsigned cpu, node;
    CHECK_OK(syscall(SYS_getcpu, &cpu, &node, NULL));
}
