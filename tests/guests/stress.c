/* stress: many threads and processes at the same calls at the same time; what they share stays whole. */
#include "guest.h"

#include <pthread.h>
#include <sys/socket.h>
#include <sys/time.h>

enum { THREADS = 8 };

static void run_threads(void *(*body)(void *))
{
    pthread_t threads[THREADS];
    for (intptr_t i = 0; i < THREADS; i++)
        REQUIRE(pthread_create(&threads[i], NULL, body, (void *)i) == 0);
    for (int i = 0; i < THREADS; i++) {
        void *failed;
        CHECK_EQ(pthread_join(threads[i], &failed), 0);
        CHECK(failed == NULL);
    }
}

static void *own_files(void *argument)
{
    char name[32], text[32], got[32];
    intptr_t failed = 0;
    for (int round = 0; round < 60; round++) {
        snprintf(name, sizeof name, "file-%d", (int)(intptr_t)argument);
        snprintf(text, sizeof text, "%d of %d", round, (int)(intptr_t)argument);
        int fd = open(name, O_RDWR | O_CREAT | O_TRUNC, 0600);
        ssize_t length = (ssize_t)strlen(text);
        failed |= write(fd, text, strlen(text)) != length;
        failed |= pread(fd, got, sizeof got, 0) != length || memcmp(got, text, (size_t)length) != 0;
        failed |= close(fd) != 0;
        failed |= unlink(name) != 0;
    }
    return (void *)failed;
}

TEST(threads_with_files_of_their_own)
{
    scratch();
    int before = open_fd_count();
    run_threads(own_files);
    CHECK_EQ(open_fd_count(), before);
}

static void *append_lines(void *argument)
{
    int fd = open("log", O_WRONLY | O_APPEND | O_CREAT, 0600);
    char line[16];
    intptr_t failed = fd < 0;
    for (int i = 0; i < 100; i++) {
        snprintf(line, sizeof line, "%d:%04d-------\n", (int)(intptr_t)argument, i);
        failed |= write(fd, line, 14) != 14;
    }
    close(fd);
    return (void *)failed;
}

TEST(appended_lines_do_not_mix)
{
    scratch();
    run_threads(append_lines);
    FILE *log = fopen("log", "r");
    REQUIRE(log != NULL);
    int next[THREADS] = {0}, who, number, lines = 0;
    while (fscanf(log, "%d:%d-------\n", &who, &number) == 2) {
        CHECK_EQ(number, next[who]);
        next[who]++;
        lines++;
    }
    fclose(log);
    CHECK_EQ(lines, THREADS * 100);
}

static int chain[THREADS + 1][2];

static void *pass_on(void *argument)
{
    intptr_t me = (intptr_t)argument, failed = 0;
    for (int i = 0; i < 100; i++) {
        int value = -1;
        failed |= read(chain[me][0], &value, sizeof value) != sizeof value;
        value++;
        failed |= write(chain[me + 1][1], &value, sizeof value) != sizeof value;
    }
    return (void *)failed;
}

static void *feed_the_chain(void *argument)
{
    intptr_t failed = 0;
    (void)argument;
    for (int i = 0; i < 100; i++)
        failed |= write(chain[0][1], &i, sizeof i) != sizeof i;
    return (void *)failed;
}

TEST(a_chain_of_threads_over_pipes)
{
    for (int i = 0; i <= THREADS; i++)
        REQUIRE_OK(pipe(chain[i]));
    pthread_t feeder;
    REQUIRE(pthread_create(&feeder, NULL, feed_the_chain, NULL) == 0);
    run_threads(pass_on);
    CHECK_EQ(pthread_join(feeder, NULL), 0);
    int wrong = 0;
    for (int i = 0; i < 100; i++) {
        int value = -1;
        CHECK_EQ(read(chain[THREADS][0], &value, sizeof value), sizeof value);
        wrong += value != i + THREADS;
    }
    CHECK_EQ(wrong, 0);
}

static void *spawn(void *argument)
{
    intptr_t failed = 0;
    for (int i = 0; i < 8; i++) {
        pid_t pid = fork();
        if (pid == 0) {
            execl("/bin/true", "true", (char *)NULL);
            _exit(99);
        }
        int status = -1;
        failed |= waitpid(pid, &status, 0) != pid || status != 0;
    }
    (void)argument;
    return (void *)failed;
}

TEST(threads_that_fork_and_exec)
{
    run_threads(spawn);
    CHECK_ERRNO(wait(NULL), ECHILD);
}

static void *open_and_close(void *argument)
{
    (void)argument;
    for (int i = 0; i < 150; i++) {
        int fd = open("/dev/null", O_RDWR), copy = dup(fd);
        if (fd < 0 || copy < 0 || fd == copy || write(fd, "x", 1) != 1)
            return (void *)1;
        close(copy);
        close(fd);
    }
    return NULL;
}

TEST(descriptor_numbers_are_never_given_twice)
{
    int before = open_fd_count();
    run_threads(open_and_close);
    CHECK_EQ(open_fd_count(), before);
}

static volatile bool stop_closing;
static int victim[2];

static void *close_and_reopen(void *argument)
{
    (void)argument;
    while (!stop_closing) {
        close(victim[0]);
        if (dup2(victim[1], victim[0]) != victim[0])
            return (void *)1;
    }
    return NULL;
}

TEST(a_descriptor_closed_during_its_use)
{
    victim[0] = open("/dev/zero", O_RDONLY);
    victim[1] = open("/dev/null", O_RDONLY);
    pthread_t closer;
    REQUIRE(pthread_create(&closer, NULL, close_and_reopen, NULL) == 0);
    int other = 0;
    for (int i = 0; i < 1500; i++) {
        char buffer[64];
        ssize_t got = read(victim[0], buffer, sizeof buffer);
        other += !(got == 64 || got == 0 || (got == -1 && errno == EBADF));
    }
    stop_closing = true;
    CHECK_EQ(pthread_join(closer, NULL), 0);
    CHECK_EQ(other, 0);
}

static volatile sig_atomic_t alarms;

static void on_alarm(int signal_number)
{
    (void)signal_number;
    alarms++;
}

TEST(forks_under_a_rain_of_signals)
{
    handle_signal(SIGALRM, on_alarm, SA_RESTART);
    struct itimerval every = {{0, 1000}, {0, 1000}};
    REQUIRE_OK(setitimer(ITIMER_REAL, &every, NULL));
    for (int i = 0; i < 60; i++) {
        int pair[2];
        REQUIRE_OK(socketpair(AF_UNIX, SOCK_STREAM, 0, pair));
        pid_t pid = fork_child();
        if (pid == 0) {
            int value = 0;
            CHECK_EQ(read(pair[1], &value, sizeof value), sizeof value);
            CHECK_EQ(value, i);
            CHECK_EQ(write(pair[1], &value, sizeof value), sizeof value);
            guest_finish();
        }
        int value = i;
        CHECK_EQ(write(pair[0], &value, sizeof value), sizeof value);
        CHECK_EQ(read(pair[0], &value, sizeof value), sizeof value);
        CHECK_CHILD(pid);
        close(pair[0]);
        close(pair[1]);
    }
}

/* Who is killed in the middle of a fork leaves a child or none, and a child that ends. */
TEST(forkers_that_are_killed)
{
    CHECK_OK(prctl(PR_SET_CHILD_SUBREAPER, 1));
    unsigned moment = 0;
    for (int round = 0; round < 200; round++) {
        pid_t forker = fork();
        REQUIRE(forker >= 0);
        if (!forker)
            for (;;) {
                pid_t child = fork();
                if (!child)
                    _exit(0);
                waitpid(child, NULL, 0);
            }
        moment = moment * 1103515245 + 12345;
        usleep(moment / 65536 % 2000);
        CHECK_OK(kill(forker, SIGKILL));
        while (waitpid(-1, NULL, 0) > 0)
            ;
        CHECK_EQ(errno, ECHILD);
    }
}
