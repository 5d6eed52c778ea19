/* calls.c - executes programs of system calls that come as bytes.
 *
 * Runs as pid 1 of a sandbox. On standard input, again and again: a number of programs, then each program (struct program).
 * They run at the same time, each in a child with a memory image and descriptors that the sender knows (call_programs.py). A
 * program that has not ended after a moment waits for something: it is killed, like all that it started. When nobody is left,
 * a line goes to standard output. Exit status: 0 at the end of the input; 3: a killed process did not end.
 *
 * Natively it would do to the host whatever it is told: it refuses to run as anything but pid 1.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <mqueue.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum {
    CALLS = 16,
    IMAGE_SIZE = 16384, /* at IMAGE, readable and writable; nothing is mapped behind it */
    FIRST_FD = 3,       /* of the descriptors made below, in their order */
    INPUT = 900, OUTPUT = 901, QUEUES = 902, /* of pid 1 only */
    PATIENCE_MS = 40,   /* for programs of which none gets on */
    DEATH_S = 60,       /* for what was killed */
};
#define IMAGE ((char *)0x10000000)
#define READ_ONLY ((char *)0x10100000) /* the image once more, not writable */

struct call {
    int64_t nr;
    uint64_t args[6];
    int8_t from[8]; /* of each argument: the call whose result it is; -1: it stands in args */
};
struct program {
    uint32_t count;
    uint32_t unused;
    struct call calls[CALLS];
    char image[IMAGE_SIZE];
};

static struct program programs[4];
static volatile uint32_t *progress; /* shared by all: how many calls were made */

static int get(void *into, size_t size)
{
    for (size_t done = 0; done < size;) {
        ssize_t got = read(INPUT, (char *)into + done, size - done);
        if (got <= 0)
            return 0;
        done += (size_t)got;
    }
    return 1;
}

static int connected(int listener)
{
    struct sockaddr_in address;
    socklen_t length = sizeof address;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    if (getsockname(listener, (struct sockaddr *)&address, &length) == 0)
        (void)!connect(fd, (struct sockaddr *)&address, length);
    return fd;
}

/* One of each kind. What cannot be had (an earlier program may have covered /dev) leaves its number free. */
static void open_descriptors(void)
{
    struct itimerspec soon = {{0, 1000000}, {0, 1000000}};
    struct sockaddr_in loopback = {AF_INET, 0, {htonl(INADDR_LOOPBACK)}, {0}};
    sigset_t usr1;
    int pair[2], listener, number = FIRST_FD, fd;
    sigemptyset(&usr1);
    sigaddset(&usr1, SIGUSR1);
#define PUT(made)                           \
    do {                                    \
        ++*progress;                        \
        if ((fd = (made)) >= 0 && fd != number) { \
            dup2(fd, number);               \
            close(fd);                      \
        }                                   \
        number++;                           \
    } while (0)
#define PUT_PAIR(call)                      \
    do {                                    \
        if ((call) == 0) {                  \
            if (pair[0] != number)          \
                dup2(pair[0], number);      \
            if (pair[1] != number + 1)      \
                dup2(pair[1], number + 1);  \
            if (pair[0] > number + 1)       \
                close(pair[0]);             \
            if (pair[1] > number + 1)       \
                close(pair[1]);             \
        }                                   \
        number += 2;                        \
    } while (0)
    PUT(open("file", O_RDWR | O_CREAT, 0644));
    PUT(open("/etc/passwd", O_RDONLY));
    PUT(open(".", O_RDONLY | O_DIRECTORY));
    PUT(open("/", O_PATH));
    PUT_PAIR(pipe2(pair, O_NONBLOCK));
    PUT_PAIR(pipe(pair));
    PUT_PAIR(socketpair(AF_UNIX, SOCK_STREAM, 0, pair));
    PUT_PAIR(socketpair(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0, pair));
    PUT_PAIR(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair));
    listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    bind(listener, (struct sockaddr *)&loopback, sizeof loopback);
    listen(listener, 4);
    PUT(listener);
    PUT(connected(number - 1));
    PUT(socket(AF_INET6, SOCK_DGRAM, 0));
    PUT(socket(AF_UNIX, SOCK_STREAM, 0));
    PUT(socket(AF_NETLINK, SOCK_RAW, 0));
    PUT(eventfd(1, 0));
    PUT(timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK));
    timerfd_settime(number - 1, 0, &soon, NULL);
    PUT(signalfd(-1, &usr1, SFD_NONBLOCK));
    PUT(epoll_create1(0));
    PUT(inotify_init1(IN_NONBLOCK));
    PUT(memfd_create("memory", MFD_ALLOW_SEALING));
    PUT((int)syscall(SYS_pidfd_open, getpid(), 0));
    PUT(open("/proc/self/maps", O_RDONLY));
    PUT(open("/proc/self/task", O_RDONLY | O_DIRECTORY));
    PUT(open("/dev/zero", O_RDWR));
    PUT(posix_openpt(O_RDWR | O_NOCTTY));
    if (grantpt(number - 1) == 0 && unlockpt(number - 1) == 0)
        PUT(open(ptsname(number - 1), O_RDWR | O_NOCTTY | O_NONBLOCK));
    else
        number++;
    PUT((int)mq_open("/queue", O_RDWR | O_CREAT | O_NONBLOCK, 0600, NULL));
    PUT(open("fifo", O_RDWR | O_NONBLOCK));
    PUT(open("/dev/shm", O_TMPFILE | O_RDWR, 0600));
    PUT(open("/proc/self/mem", O_RDWR));
}

static void limit(int resource, rlim_t value)
{
    struct rlimit both = {value, value};
    setrlimit(resource, &both);
}

/* Pid 1 is left alone: it conducts the experiment. */
static int names_pid_1(long nr, const uint64_t *args)
{
    switch (nr) {
    case SYS_kill: case SYS_tkill: case SYS_tgkill: case SYS_rt_sigqueueinfo: case SYS_rt_tgsigqueueinfo: case SYS_prlimit64:
    case SYS_process_vm_writev: case SYS_pidfd_open: case SYS_ptrace: case SYS_setpgid: case SYS_sched_setaffinity:
    case SYS_sched_setscheduler: case SYS_sched_setparam: case SYS_sched_setattr: case SYS_move_pages: case SYS_migrate_pages:
        return (int)args[0] == 1 || (int)args[0] == -1 || (int)args[1] == 1;
    case SYS_setpriority: case SYS_ioprio_set:
        return 1;
    }
    return 0;
}

static void execute(const struct program *program)
{
    close(INPUT);
    close(OUTPUT);
    close(QUEUES);
    setpgid(0, 0);
    limit(RLIMIT_AS, 256 << 20);
    limit(RLIMIT_FSIZE, 1 << 20);
    limit(RLIMIT_CORE, 0);
    signal(SIGXFSZ, SIG_IGN);
    signal(SIGPIPE, SIG_IGN);
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    open_descriptors();
    int fd = memfd_create("image", MFD_CLOEXEC);
    if (write(fd, program->image, IMAGE_SIZE) != IMAGE_SIZE)
        _exit(2);
    mmap(IMAGE, IMAGE_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_FIXED, fd, 0);
    mmap(READ_ONLY, IMAGE_SIZE, PROT_READ, MAP_PRIVATE | MAP_FIXED, fd, 0);
    close(fd);

    uint64_t results[CALLS] = {0};
    for (uint32_t i = 0; i < program->count && i < CALLS; i++) {
        const struct call *call = &program->calls[i];
        uint64_t args[6];
        for (int n = 0; n < 6; n++)
            args[n] = call->from[n] >= 0 ? results[call->from[n] % CALLS] : call->args[n];
        if (names_pid_1(call->nr, args))
            continue;
        ++*progress;
        long result = syscall(call->nr, args[0], args[1], args[2], args[3], args[4], args[5]);
        results[i] = result < 0 ? (uint64_t)-errno : (uint64_t)result;
    }
    _exit(0);
}

static int64_t now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* Until all children ended by themselves, or nothing happened for so long. */
static int left_after(int64_t limit_ms)
{
    sigset_t child;
    sigemptyset(&child);
    sigaddset(&child, SIGCHLD);
    uint32_t seen = *progress;
    int64_t end = now_ms() + limit_ms;
    for (;;) {
        if (seen != *progress) {
            seen = *progress;
            end = now_ms() + limit_ms;
        }
        pid_t ended;
        while ((ended = waitpid(-1, NULL, WNOHANG | __WALL)) > 0)
            ;
        if (ended < 0)
            return 0;
        if (seen == *progress && now_ms() >= end)
            return 1;
        struct timespec wait = {0, 10000000};
        sigtimedwait(&child, NULL, &wait);
    }
}

/* Message queues live until they are removed, and the sentry has a descriptor for each. */
static void remove_queues(DIR *queues)
{
    rewinddir(queues);
    for (struct dirent *entry; (entry = readdir(queues));)
        unlinkat(QUEUES, entry->d_name, 0);
}

int main(void)
{
    if (getpid() != 1)
        return 2;
    sigset_t child;
    sigemptyset(&child);
    sigaddset(&child, SIGCHLD);
    sigprocmask(SIG_BLOCK, &child, NULL);
    dup2(0, INPUT);
    dup2(1, OUTPUT);
    int opened = open("/dev/null", O_RDWR);
    for (int fd = 0; fd < 3; fd++)
        dup2(opened, fd);
    close(opened);
    progress = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (mkdir("place", 0777) || chdir("place") || mkdir("directory", 0777) || mkfifo("fifo", 0666) || symlink("file", "link"))
        return 2;
    if ((opened = open("/dev/mqueue", O_RDONLY | O_DIRECTORY)) < 0 || dup2(opened, QUEUES) < 0 || close(opened))
        return 2;
    DIR *queues = fdopendir(QUEUES);
    uint32_t count;
    while (get(&count, sizeof count) && count <= sizeof programs / sizeof *programs) {
        if (!get(programs, count * sizeof *programs))
            break;
        for (uint32_t i = 0; i < count; i++)
            if (fork() == 0)
                execute(&programs[i]);
        int64_t end = now_ms() + DEATH_S * 1000;
        for (int is_left = left_after(PATIENCE_MS); is_left; is_left = left_after(100)) {
            kill(-1, SIGKILL);
            if (now_ms() > end)
                return 3;
        }
        remove_queues(queues);
        if (write(OUTPUT, "ended\n", 6) != 6)
            break;
    }
    return 0;
}
