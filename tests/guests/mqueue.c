/* mqueue: POSIX message queues: names, attributes, priorities, waiting, polling, notification. */
#include "guest.h"

#include <mqueue.h>
#include <pthread.h>
#include <semaphore.h>
#include <sys/resource.h>
#include <sys/statfs.h>

static const char *some_name(void)
{
    static char name[64];
    snprintf(name, sizeof name, "/guest-%d", getpid());
    return name;
}

static mqd_t new_queue(int flags, long most, long size)
{
    struct mq_attr attributes = {.mq_maxmsg = most, .mq_msgsize = size};
    mqd_t queue = mq_open(some_name(), O_CREAT | O_EXCL | flags, 0600, &attributes);
    REQUIRE(queue != (mqd_t)-1);
    REQUIRE_OK(mq_unlink(some_name()));
    return queue;
}

static short readiness(mqd_t queue)
{
    struct pollfd wanted = {.fd = queue, .events = POLLIN | POLLOUT};
    return poll(&wanted, 1, 0) < 0 ? -1 : wanted.revents;
}

TEST(names)
{
    const char *name = some_name();
    char long_name[300] = "/";
    memset(long_name + 1, 'n', 256);
    CHECK_ERRNO(mq_open(name, O_RDWR), ENOENT);
    CHECK_ERRNO(mq_unlink(name), ENOENT);
    CHECK_ERRNO(mq_open("/a/b", O_RDWR | O_CREAT, 0600, NULL), EACCES);
    CHECK_ERRNO(mq_open("/..", O_RDWR | O_CREAT, 0600, NULL), EACCES);
    CHECK_ERRNO(mq_open("/", O_RDWR | O_CREAT, 0600, NULL), ENOENT);
    CHECK_ERRNO(mq_open(long_name, O_RDWR | O_CREAT, 0600, NULL), ENAMETOOLONG);
    CHECK_ERRNO(syscall(SYS_mq_open, bad_address, O_RDWR, 0, NULL), EFAULT);
    mqd_t queue = mq_open(name, O_RDWR | O_CREAT | O_EXCL, 0600, NULL);
    REQUIRE(queue != (mqd_t)-1);
    CHECK_EQ(fcntl(queue, F_GETFD), FD_CLOEXEC);
    CHECK_EQ(fcntl(queue, F_GETFL) & O_ACCMODE, O_RDWR);
    CHECK_ERRNO(mq_open(name, O_RDWR | O_CREAT | O_EXCL, 0600, NULL), EEXIST);
    CHECK_OK(mq_send(queue, "kept", 4, 0));
    mqd_t again = mq_open(name, O_RDONLY | O_CREAT, 0, NULL);
    REQUIRE(again != (mqd_t)-1);
    CHECK_OK(mq_unlink(name));
    CHECK_ERRNO(mq_open(name, O_RDWR), ENOENT);
    struct mq_attr attributes;
    CHECK_OK(mq_getattr(again, &attributes));
    CHECK_EQ(attributes.mq_curmsgs, 1);
    CHECK_ERRNO(mq_send(again, "x", 1, 0), EBADF);
    CHECK_OK(mq_close(queue));
    char text[8192];
    CHECK_EQ(mq_receive(again, text, sizeof text, NULL), 4);
    CHECK_OK(mq_close(again));
}

TEST(attributes)
{
    struct mq_attr attributes = {.mq_maxmsg = 0, .mq_msgsize = 10};
    const char *name = some_name();
    CHECK_ERRNO(mq_open(name, O_RDWR | O_CREAT, 0600, &attributes), EINVAL);
    attributes = (struct mq_attr){.mq_maxmsg = 3, .mq_msgsize = -1};
    CHECK_ERRNO(mq_open(name, O_RDWR | O_CREAT, 0600, &attributes), EINVAL);
    attributes = (struct mq_attr){.mq_maxmsg = 1 << 20, .mq_msgsize = 8};
    CHECK_ERRNO(mq_open(name, O_RDWR | O_CREAT, 0600, &attributes), EINVAL);
    CHECK_ERRNO(mq_open(name, O_RDWR), ENOENT); /* nothing was made */
    mqd_t queue = new_queue(O_RDWR, 3, 16);
    CHECK_OK(mq_getattr(queue, &attributes));
    CHECK_EQ(attributes.mq_flags, 0);
    CHECK_EQ(attributes.mq_maxmsg, 3);
    CHECK_EQ(attributes.mq_msgsize, 16);
    CHECK_EQ(attributes.mq_curmsgs, 0);
    struct mq_attr changed = {.mq_flags = O_NONBLOCK, .mq_maxmsg = 99}, old;
    CHECK_OK(mq_setattr(queue, &changed, &old));
    CHECK_EQ(old.mq_flags, 0);
    CHECK_OK(mq_getattr(queue, &attributes));
    CHECK_EQ(attributes.mq_flags, O_NONBLOCK);
    CHECK_EQ(attributes.mq_maxmsg, 3);
    CHECK(fcntl(queue, F_GETFL) & O_NONBLOCK);
    changed.mq_flags = O_NONBLOCK | 1;
    CHECK_ERRNO(mq_setattr(queue, &changed, NULL), EINVAL);
    CHECK_ERRNO(mq_getattr(0, &attributes), EBADF);
    CHECK_ERRNO(mq_getattr(999, &attributes), EBADF);
    CHECK_ERRNO(syscall(SYS_mq_getsetattr, queue, NULL, bad_address), EFAULT);
}

TEST(priorities)
{
    mqd_t queue = new_queue(O_RDWR | O_NONBLOCK, 5, 8);
    unsigned priority = 99;
    char text[8];
    CHECK_ERRNO(mq_receive(queue, text, 8, &priority), EAGAIN);
    CHECK_OK(mq_send(queue, "a", 1, 1));
    CHECK_OK(mq_send(queue, "b", 1, 7));
    CHECK_OK(mq_send(queue, "c", 1, 1));
    CHECK_OK(mq_send(queue, "d", 1, 32767));
    CHECK_ERRNO(mq_send(queue, "x", 1, 32768), EINVAL);
    CHECK_ERRNO(mq_send(queue, "123456789", 9, 0), EMSGSIZE);
    CHECK_ERRNO(mq_receive(queue, text, 7, NULL), EMSGSIZE);
    CHECK_ERRNO(mq_send(queue, bad_address, 8, 0), EFAULT);
    CHECK_OK(mq_send(queue, "", 0, 0));
    CHECK_ERRNO(mq_send(queue, "f", 1, 0), EAGAIN);
    static const char expected[] = "dbac";
    for (int i = 0; i < 4; i++) {
        CHECK_EQ(mq_receive(queue, text, 8, &priority), 1);
        CHECK_EQ(text[0], expected[i]);
    }
    CHECK_EQ(priority, 1);
    CHECK_EQ(mq_receive(queue, text, 8, &priority), 0);
    CHECK_EQ(priority, 0);
}

TEST(polling)
{
    mqd_t queue = new_queue(O_RDWR, 2, 8);
    char text[8];
    CHECK_EQ(readiness(queue), POLLOUT);
    CHECK_OK(mq_send(queue, "1", 1, 0));
    CHECK_EQ(readiness(queue), POLLIN | POLLOUT);
    CHECK_OK(mq_send(queue, "2", 1, 0));
    CHECK_EQ(readiness(queue), POLLIN);
    CHECK_EQ(mq_receive(queue, text, 8, NULL), 1);
    CHECK_EQ(readiness(queue), POLLIN | POLLOUT);
    CHECK_EQ(mq_receive(queue, text, 8, NULL), 1);
    CHECK_EQ(readiness(queue), POLLOUT);
    pid_t pid = fork_child();
    if (pid == 0) {
        struct pollfd wanted = {.fd = queue, .events = POLLIN};
        CHECK_EQ(poll(&wanted, 1, -1), 1);
        CHECK_EQ(mq_receive(queue, text, 8, NULL), 1);
        guest_finish();
    }
    wait_for_state(pid, 'S');
    CHECK_OK(mq_send(queue, "3", 1, 0));
    CHECK_CHILD(pid);
}

TEST(waiting)
{
    mqd_t queue = new_queue(O_RDWR, 1, 8);
    char text[8];
    pid_t pid = fork_child();
    if (pid == 0) {
        CHECK_EQ(mq_receive(queue, text, 8, NULL), 5);
        CHECK_OK(mq_send(queue, "one", 3, 0));
        CHECK_OK(mq_send(queue, "two", 3, 0));
        guest_finish();
    }
    wait_for_state(pid, 'S');
    CHECK_OK(mq_send(queue, "first", 5, 0));
    while (readiness(queue) != POLLIN)
        sched_yield();
    wait_for_state(pid, 'S');
    CHECK_EQ(mq_receive(queue, text, 8, NULL), 3);
    CHECK_EQ(mq_receive(queue, text, 8, NULL), 3);
    CHECK_EQ(memcmp(text, "two", 3), 0);
    CHECK_CHILD(pid);
}

static struct timespec after_ms(long ms)
{
    struct timespec at;
    clock_gettime(CLOCK_REALTIME, &at);
    at.tv_nsec += ms * 1000000;
    at.tv_sec += at.tv_nsec / 1000000000;
    at.tv_nsec %= 1000000000;
    return at;
}

TEST(timeouts)
{
    mqd_t queue = new_queue(O_RDWR, 1, 8);
    char text[8];
    struct timespec soon = after_ms(20), past = {0, 1}, wrong = {0, 1000000000};
    CHECK_ERRNO(mq_timedreceive(queue, text, 8, NULL, &soon), ETIMEDOUT);
    CHECK_ERRNO(mq_timedreceive(queue, text, 8, NULL, &past), ETIMEDOUT);
    CHECK_ERRNO(mq_timedreceive(queue, text, 8, NULL, &wrong), EINVAL);
    CHECK_OK(mq_timedsend(queue, "x", 1, 0, &past)); /* there is room */
    CHECK_ERRNO(mq_timedsend(queue, "x", 1, 0, &past), ETIMEDOUT);
    soon = after_ms(20);
    CHECK_ERRNO(mq_timedsend(queue, "x", 1, 0, &soon), ETIMEDOUT);
    CHECK_EQ(mq_timedreceive(queue, text, 8, NULL, &past), 1);
    CHECK_ERRNO(mq_timedreceive(queue, text, 8, NULL, bad_address), EFAULT);
}

static volatile int handled;
static siginfo_t told;

static void on_signal(int sig, siginfo_t *info, void *context)
{
    (void)sig;
    (void)context;
    handled++;
    told = *info;
}

TEST(interrupted)
{
    mqd_t queue = new_queue(O_RDWR, 1, 8);
    char text[8];
    struct sigaction action = {.sa_sigaction = on_signal, .sa_flags = SA_SIGINFO};
    REQUIRE_OK(sigaction(SIGUSR1, &action, NULL));
    pid_t me = getpid(), pid = fork_child();
    if (pid == 0) {
        wait_for_state(me, 'S');
        CHECK_OK(kill(me, SIGUSR1));
        guest_finish();
    }
    CHECK_ERRNO(mq_receive(queue, text, 8, NULL), EINTR);
    CHECK_EQ(handled, 1);
    CHECK_CHILD(pid);
}

TEST(notification_by_signal)
{
    mqd_t queue = new_queue(O_RDWR | O_NONBLOCK, 3, 8);
    char text[8];
    struct sigaction action = {.sa_sigaction = on_signal, .sa_flags = SA_SIGINFO};
    REQUIRE_OK(sigaction(SIGRTMIN, &action, NULL));
    struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGRTMIN};
    event.sigev_value.sival_int = 4711;
    CHECK_OK(mq_notify(queue, &event));
    CHECK_ERRNO(mq_notify(queue, &event), EBUSY);
    CHECK_OK(mq_send(queue, "1", 1, 0));
    while (!handled)
        sched_yield();
    CHECK_EQ(told.si_code, SI_MESGQ);
    CHECK_EQ(told.si_value.sival_int, 4711);
    CHECK_EQ(told.si_pid, getpid());
    CHECK_EQ(told.si_uid, getuid());
    CHECK_OK(mq_send(queue, "2", 1, 0)); /* only once, and only when it was empty */
    CHECK_OK(mq_notify(queue, &event));
    CHECK_OK(mq_send(queue, "3", 1, 0));
    CHECK_EQ(handled, 1);
    for (int i = 0; i < 3; i++)
        CHECK_EQ(mq_receive(queue, text, 8, NULL), 1);
    pid_t pid = fork_child();
    if (pid == 0) {
        CHECK_ERRNO(mq_notify(queue, &event), EBUSY);
        CHECK_OK(mq_notify(queue, NULL)); /* not its own: nothing happens */
        CHECK_OK(mq_send(queue, "4", 1, 0));
        guest_finish();
    }
    while (handled < 2)
        sched_yield();
    CHECK_EQ(told.si_pid, pid);
    CHECK_CHILD(pid);
    CHECK_OK(mq_notify(queue, &event));
    CHECK_OK(mq_notify(queue, NULL));
    CHECK_OK(mq_notify(queue, &event));
    mqd_t copy = dup(queue);
    CHECK_OK(mq_close(copy)); /* any close of the process ends it */
    CHECK_OK(mq_notify(queue, &event));
    event.sigev_notify = 77;
    CHECK_ERRNO(mq_notify(queue, &event), EINVAL);
    event = (struct sigevent){.sigev_notify = SIGEV_SIGNAL, .sigev_signo = 65};
    CHECK_ERRNO(mq_notify(queue, &event), EINVAL);
    CHECK_ERRNO(mq_notify(0, NULL), EBADF);
}

TEST(notification_waited_for)
{
    mqd_t queue = new_queue(O_RDWR | O_NONBLOCK, 3, 8);
    sigset_t set;
    siginfo_t info;
    sigemptyset(&set);
    sigaddset(&set, SIGUSR2);
    REQUIRE_OK(sigprocmask(SIG_BLOCK, &set, NULL));
    struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR2};
    event.sigev_value.sival_int = 5;
    CHECK_OK(mq_notify(queue, &event));
    pid_t pid = fork_child();
    if (pid == 0) {
        CHECK_OK(mq_send(queue, "1", 1, 0));
        guest_finish();
    }
    CHECK_EQ(sigwaitinfo(&set, &info), SIGUSR2);
    CHECK_EQ(info.si_code, SI_MESGQ);
    CHECK_EQ(info.si_pid, pid);
    CHECK_EQ(info.si_value.sival_int, 5);
    CHECK_CHILD(pid);
}

TEST(a_waiting_receiver_is_not_notified)
{
    mqd_t queue = new_queue(O_RDWR, 3, 8);
    struct sigaction action = {.sa_sigaction = on_signal, .sa_flags = SA_SIGINFO};
    REQUIRE_OK(sigaction(SIGUSR1, &action, NULL));
    pid_t pid = fork_child();
    if (pid == 0) {
        char text[8];
        CHECK_EQ(mq_receive(queue, text, 8, NULL), 1);
        guest_finish();
    }
    wait_for_state(pid, 'S');
    struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR1};
    CHECK_OK(mq_notify(queue, &event));
    CHECK_OK(mq_send(queue, "1", 1, 0));
    CHECK_CHILD(pid);
    CHECK_EQ(handled, 0);
    CHECK_ERRNO(mq_notify(queue, &event), EBUSY); /* it waits still */
}

static sem_t thread_ran;
static int thread_value;

static void in_a_thread(union sigval value)
{
    thread_value = value.sival_int;
    sem_post(&thread_ran);
}

TEST(notification_by_thread)
{
    mqd_t queue = new_queue(O_RDWR | O_NONBLOCK, 3, 8);
    char text[8];
    REQUIRE_OK(sem_init(&thread_ran, 0, 0));
    for (int i = 1; i <= 2; i++) {
        struct sigevent event = {.sigev_notify = SIGEV_THREAD, .sigev_notify_function = in_a_thread};
        event.sigev_value.sival_int = 100 + i;
        CHECK_OK(mq_notify(queue, &event));
        CHECK_OK(mq_send(queue, "1", 1, 0));
        while (sem_wait(&thread_ran) == -1 && errno == EINTR)
            ;
        CHECK_EQ(thread_value, 100 + i);
        CHECK_EQ(mq_receive(queue, text, 8, NULL), 1);
        CHECK_OK(mq_notify(queue, &event));
        CHECK_OK(mq_notify(queue, NULL));
    }
}

TEST(permissions)
{
    if (getuid() != 0)
        SKIP("two users are needed");
    const char *name = some_name();
    umask(022);
    mqd_t queue = mq_open(name, O_RDWR | O_CREAT, 0664, NULL);
    REQUIRE(queue != (mqd_t)-1);
    struct stat status;
    CHECK_OK(fstat(queue, &status));
    CHECK_EQ(status.st_mode, S_IFREG | 0644);
    CHECK_EQ(status.st_size, 80);
    pid_t pid = fork_child();
    if (pid == 0) {
        REQUIRE_OK(setresgid(4321, 4321, 4321));
        REQUIRE_OK(setresuid(4321, 4321, 4321));
        CHECK_ERRNO(mq_open(name, O_RDWR), EACCES);
        CHECK_OK(mq_open(name, O_RDONLY));
        CHECK_ERRNO(mq_unlink(name), EACCES);
        struct mq_attr big = {.mq_maxmsg = 11, .mq_msgsize = 16};
        CHECK_ERRNO(mq_open("/more", O_RDWR | O_CREAT, 0600, &big), EINVAL); /* msg_max */
        struct rlimit none = {0, 0};
        CHECK_OK(setrlimit(RLIMIT_MSGQUEUE, &none));
        CHECK_ERRNO(mq_open("/more", O_RDWR | O_CREAT, 0600, NULL), EMFILE);
        guest_finish();
    }
    CHECK_CHILD(pid);
    CHECK_OK(mq_unlink(name));
}

TEST(read_tells_the_status)
{
    mqd_t queue = new_queue(O_RDWR, 3, 8);
    char text[128] = "";
    CHECK_OK(mq_send(queue, "four", 4, 0));
    CHECK(read(queue, text, sizeof text - 1) > 0);
    CHECK_STR(text, "QSIZE:4          NOTIFY:0     SIGNO:0     NOTIFY_PID:0     \n");
    CHECK_EQ(read(queue, text, sizeof text), 0);
    CHECK_ERRNO(write(queue, "x", 1), EINVAL);
    char limit[32];
    CHECK(read_file("/proc/sys/fs/mqueue/msg_max", limit, sizeof limit) > 0);
    CHECK(atoi(limit) >= 1);
}

TEST(files_where_it_is_mounted)
{
    struct statfs status;
    if (statfs("/dev/mqueue", &status) || status.f_type != 0x19800202)
        SKIP("no mqueue file system is mounted");
    const char *name = some_name();
    char path[128], text[128];
    snprintf(path, sizeof path, "/dev/mqueue%s", name);
    mqd_t queue = mq_open(name, O_RDWR | O_CREAT | O_EXCL, 0600, NULL);
    REQUIRE(queue != (mqd_t)-1);
    CHECK_OK(mq_send(queue, "123", 3, 0));
    CHECK(read_file(path, text, sizeof text) > 0);
    CHECK(strncmp(text, "QSIZE:3 ", 8) == 0);
    CHECK_OK(unlink(path));
    CHECK_ERRNO(mq_open(name, O_RDWR), ENOENT);
    int made = open(path, O_RDWR | O_CREAT | O_EXCL, 0600);
    REQUIRE(made >= 0);
    CHECK_OK(mq_send(made, "1", 1, 0));
    CHECK_OK(mq_unlink(name));
    CHECK_ERRNO(access(path, F_OK), ENOENT);
}

TEST(one_way_only)
{
    const char *name = some_name();
    struct mq_attr small = {.mq_maxmsg = 1, .mq_msgsize = 8};
    mqd_t writer = mq_open(name, O_WRONLY | O_CREAT | O_EXCL, 0600, &small), reader = mq_open(name, O_RDONLY);
    REQUIRE(writer != (mqd_t)-1);
    CHECK_OK(mq_unlink(name));
    char *buffer = guarded(8);
    CHECK_OK(mq_send(writer, "x", 1, 0));
    CHECK_ERRNO(mq_receive(writer, buffer, 8, NULL), EBADF);
    CHECK_ERRNO(mq_send(reader, "x", 1, 0), EBADF);
    CHECK_EQ(mq_receive(reader, buffer, 8, NULL), 1);
    int others[] = {999, open("/dev/null", O_RDWR), open("/", O_PATH)};
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        CHECK_ERRNO(mq_send(others[i], "x", 1, 0), EBADF);
        CHECK_ERRNO(mq_receive(others[i], buffer, 8, NULL), EBADF);
        CHECK_ERRNO(mq_getattr(others[i], &small), EBADF);
    }
}

TEST(as_many_queues_as_there_may_be)
{
    char text[32];
    if (read_file("/proc/sys/fs/mqueue/queues_max", text, sizeof text) <= 0)
        SKIP("no limit is told");
    int limit = atoi(text), made = 0, error = 0;
    if (geteuid() == 0)
        REQUIRE_OK(setresuid(4321, 4321, 4321)); /* CAP_SYS_RESOURCE may have more */
    struct mq_attr small = {.mq_maxmsg = 1, .mq_msgsize = 1};
    for (; made <= limit && !error; made++) {
        snprintf(text, sizeof text, "/guest-%d-%d", getpid(), made);
        mqd_t queue = mq_open(text, O_RDWR | O_CREAT | O_EXCL, 0600, &small);
        error = queue == (mqd_t)-1 ? errno : 0;
        close(queue);
    }
    CHECK_EQ(error, ENOSPC);
    for (int i = 0; i < made - 1; i++) {
        snprintf(text, sizeof text, "/guest-%d-%d", getpid(), i);
        CHECK_OK(mq_unlink(text));
    }
}
