/*
 * guest.h - the frame of a guest program: named tests that check Linux behaviour from inside.
 *
 * Owns: test registration, checks, scratch directories, guard-page buffers, children and waiting. Owns no
 * assertion about any syscall; those live in <family>.c, and each of them holds on native Linux too.
 *
 *   TEST(name) { CHECK(...); }          a test; it runs in a process of its own when all are run
 *   HELPER(name) { return status; }     a second program in the same file, for tests that exec: self_exec()
 *
 *   ./family            runs every test, each in a fork     ./family --list     prints the names
 *   ./family NAME       runs one, in this process           ./family --helper NAME ARGS...
 *
 * Output is TAP. Exit status: 0 all passed, 1 a check failed, 77 the one test asked for was skipped.
 */
#ifndef GUEST_H
#define GUEST_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { GUEST_MAX_TESTS = 128, GUEST_SKIPPED = 77, GUEST_PATH_BYTES = 512 };

struct guest_test {
    const char *name;
    void (*body)(void);
};
struct guest_helper {
    const char *name;
    int (*body)(int argc, char **argv);
};

static struct guest_test guest_tests[GUEST_MAX_TESTS];
static int guest_test_count;
static struct guest_helper guest_helpers[GUEST_MAX_TESTS];
static int guest_helper_count;
static volatile int guest_failures;
static char guest_scratch_path[GUEST_PATH_BYTES];
static pid_t guest_scratch_owner;
static char guest_self_path[GUEST_PATH_BYTES];

#define TEST(test_name)                                                                     \
    static void test_##test_name(void);                                                     \
    __attribute__((constructor)) static void register_test_##test_name(void)                \
    {                                                                                       \
        guest_tests[guest_test_count++] = (struct guest_test){#test_name, test_##test_name}; \
    }                                                                                       \
    static void test_##test_name(void)

#define HELPER(helper_name)                                                                         \
    static int helper_##helper_name(int argc, char **argv);                                         \
    __attribute__((constructor)) static void register_helper_##helper_name(void)                    \
    {                                                                                               \
        guest_helpers[guest_helper_count++] = (struct guest_helper){#helper_name, helper_##helper_name}; \
    }                                                                                               \
    static int helper_##helper_name(__attribute__((unused)) int argc, __attribute__((unused)) char **argv)

/* --- saying what went wrong: one write per line, so that lines of several processes do not mix ---------- */

__attribute__((format(printf, 1, 2), unused)) static void note(const char *format, ...)
{
    char line[1024];
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf(line, sizeof line, format, arguments);
    va_end(arguments);
    if (length > (int)sizeof line - 1)
        length = (int)sizeof line - 1;
    ssize_t written = write(STDOUT_FILENO, line, (size_t)length);
    (void)written;
}

#define GUEST_FAIL(...)                                     \
    do {                                                    \
        int saved_errno_ = errno;                           \
        guest_failures++;                                   \
        note("# %s:%d: ", __FILE_NAME__, __LINE__);         \
        note(__VA_ARGS__);                                  \
        note("\n");                                         \
        errno = saved_errno_;                               \
    } while (0)

#define CHECK(condition)                          \
    do {                                          \
        if (!(condition))                         \
            GUEST_FAIL("not true: %s", #condition); \
    } while (0)

#define CHECK_EQ(actual, expected)                                                                        \
    do {                                                                                                  \
        long long actual_ = (long long)(actual), expected_ = (long long)(expected);                        \
        if (actual_ != expected_)                                                                         \
            GUEST_FAIL("%s: expected %s = %lld, got %lld", #actual, #expected, expected_, actual_);         \
    } while (0)

#define CHECK_STR(actual, expected)                                                                 \
    do {                                                                                            \
        const char *string_ = (actual);                                                             \
        if (string_ == NULL || strcmp(string_, (expected)) != 0)                                      \
            GUEST_FAIL("%s: expected \"%s\", got \"%s\"", #actual, (expected), string_ ? string_ : "NULL"); \
    } while (0)

/* The call succeeds (does not return -1). */
#define CHECK_OK(call)                                                                        \
    do {                                                                                      \
        errno = 0;                                                                            \
        if ((long long)(call) == -1)                                                          \
            GUEST_FAIL("%s: expected success, got %s", #call, strerrorname_np(errno));          \
    } while (0)

/* The call returns -1 with this errno. */
#define CHECK_ERRNO(call, expected_errno)                                                             \
    do {                                                                                              \
        errno = 0;                                                                                    \
        long long result_ = (long long)(call);                                                        \
        int errno_ = errno;                                                                           \
        if (result_ != -1)                                                                            \
            GUEST_FAIL("%s: expected %s, got %lld", #call, #expected_errno, result_);                   \
        else if (errno_ != (expected_errno))                                                          \
            GUEST_FAIL("%s: expected %s, got %s", #call, #expected_errno,                                \
                       strerrorname_np(errno_) ? strerrorname_np(errno_) : "an unnamed errno");         \
    } while (0)

/* As CHECK and CHECK_OK, but the rest of the test makes no sense without it. */
#define REQUIRE(condition)                             \
    do {                                               \
        if (!(condition)) {                            \
            GUEST_FAIL("needed: %s (errno %s)", #condition, strerrorname_np(errno)); \
            guest_finish();                            \
        }                                              \
    } while (0)
#define REQUIRE_OK(call)                                                                    \
    do {                                                                                    \
        if ((long long)(call) == -1) {                                                      \
            GUEST_FAIL("%s: needed success, got %s", #call, strerrorname_np(errno));          \
            guest_finish();                                                                 \
        }                                                                                   \
    } while (0)

#define SKIP(reason)                      \
    do {                                  \
        note("# SKIP %s\n", reason);      \
        guest_remove_scratch();           \
        _exit(GUEST_SKIPPED);             \
    } while (0)

/* --- scratch directory ------------------------------------------------------------------------------------ */

static int guest_remove_entry(const char *path, const struct stat *status, int kind, struct FTW *where)
{
    (void)status;
    (void)kind;
    (void)where;
    remove(path);
    return 0;
}

__attribute__((unused)) static void guest_remove_scratch(void)
{
    if (guest_scratch_path[0] == '\0' || guest_scratch_owner != getpid())
        return;
    if (chdir("/") == 0)
        nftw(guest_scratch_path, guest_remove_entry, 16, FTW_DEPTH | FTW_PHYS);
    guest_scratch_path[0] = '\0';
}

/* Ends this process with what its checks found; a child's status carries its failures to the parent. */
__attribute__((noreturn, unused)) static void guest_finish(void)
{
    guest_remove_scratch();
    _exit(guest_failures ? 1 : 0);
}

/* Makes an empty directory, makes it the working directory, and removes it at the end. Returns its path. */
__attribute__((unused)) static const char *scratch(void)
{
    const char *base = getenv("GUEST_TMP");
    snprintf(guest_scratch_path, sizeof guest_scratch_path, "%s/guest-XXXXXX", base ? base : "/tmp");
    REQUIRE(mkdtemp(guest_scratch_path) != NULL);
    guest_scratch_owner = getpid();
    REQUIRE_OK(chdir(guest_scratch_path));
    return guest_scratch_path;
}

/* Writes a whole file (created or truncated, mode 0644). */
__attribute__((unused)) static void write_file(const char *path, const char *content)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0644);
    REQUIRE(fd >= 0);
    REQUIRE(write(fd, content, strlen(content)) == (ssize_t)strlen(content));
    REQUIRE_OK(close(fd));
}

/* Reads a file into buffer, always terminated; returns the bytes read or -1. */
__attribute__((unused)) static ssize_t read_file(const char *path, char *buffer, size_t size)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        buffer[0] = '\0';
        return -1;
    }
    size_t total = 0;
    ssize_t got = 0;
    while (total < size - 1 && (got = read(fd, buffer + total, size - 1 - total)) > 0)
        total += (size_t)got;
    buffer[total] = '\0';
    close(fd);
    return got < 0 ? -1 : (ssize_t)total;
}

/* --- memory ---------------------------------------------------------------------------------------------------- */

/* Returns size bytes whose end is a PROT_NONE page: one byte written too many is a SIGSEGV. Never freed. */
__attribute__((unused)) static void *guarded(size_t size)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    size_t usable = (size + page - 1) / page * page;
    char *base = mmap(NULL, usable + page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    REQUIRE(base != MAP_FAILED);
    REQUIRE_OK(mprotect(base + usable, page, PROT_NONE));
    memset(base, 0xa5, usable);
    return base + usable - size;
}

/* An address nothing is mapped at, for EFAULT. Volatile, so that the compiler has no opinion on it. */
static void *volatile bad_address __attribute__((unused)) = (void *)0x10;

/* syscall(2) with the stack pointer 64 bytes above the lowest address that the stack has so far. Returns -errno. */
static inline long call_at_stack_end(long nr, long a, long b, long c, long d, long e, long f)
{
    static char maps[65536];
    REQUIRE(read_file("/proc/self/maps", maps, sizeof maps) > 0);
    char *line = strstr(maps, "[stack]");
    REQUIRE(line != NULL);
    while (line > maps && line[-1] != '\n')
        line--;
    unsigned long low = strtoul(line, NULL, 16) + 64;
    register long r10 __asm__("r10") = d, r8 __asm__("r8") = e, r9 __asm__("r9") = f;
    __asm__ volatile("mov %%rsp, %%rbx\n\tmov %[low], %%rsp\n\tsyscall\n\tmov %%rbx, %%rsp"
                     : "+a"(nr)
                     : [low] "r"(low), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
                     : "rcx", "r11", "rbx", "memory");
    return nr;
}

/* --- processes ---------------------------------------------------------------------------------------------- */

/* Forks; the child does not inherit the failures counted so far, dies with its parent, and ends with
 * guest_finish(). */
__attribute__((unused)) static pid_t fork_child(void)
{
    pid_t pid = fork();
    if (pid < 0) {
        GUEST_FAIL("fork: %s", strerrorname_np(errno));
        guest_finish();
    }
    if (pid == 0) {
        guest_failures = 0;
        prctl(PR_SET_PDEATHSIG, SIGKILL);
    }
    return pid;
}

__attribute__((unused)) static int wait_status(pid_t pid)
{
    int status = -1;
    pid_t got;
    do
        got = waitpid(pid, &status, 0);
    while (got == -1 && errno == EINTR);
    if (got != pid) {
        GUEST_FAIL("waitpid(%d) gave %d, %s", pid, got, strerrorname_np(errno));
        return -1;
    }
    return status;
}

/* The child ended by itself with status 0 (its own checks passed). */
#define CHECK_CHILD(pid)                                                                       \
    do {                                                                                       \
        int status_ = wait_status(pid);                                                        \
        if (status_ != 0)                                                                      \
            GUEST_FAIL("child: expected exit 0, got wait status 0x%x", (unsigned)status_);       \
    } while (0)
#define CHECK_EXITED(status, code)                                                                  \
    do {                                                                                            \
        int value_ = (status);                                                                      \
        if (!WIFEXITED(value_) || WEXITSTATUS(value_) != (code))                                    \
            GUEST_FAIL("expected exit %d, got wait status 0x%x", (int)(code), (unsigned)value_);      \
    } while (0)
#define CHECK_SIGNALED(status, signal_)                                                              \
    do {                                                                                             \
        int value_ = (status);                                                                       \
        if (!WIFSIGNALED(value_) || WTERMSIG(value_) != (signal_))                                   \
            GUEST_FAIL("expected death by %s, got wait status 0x%x", #signal_, (unsigned)value_);      \
    } while (0)

/* State letter of a process as /proc tells it, or '?' when there is none. */
__attribute__((unused)) static char process_state(pid_t pid)
{
    char path[64], text[512];
    snprintf(path, sizeof path, "/proc/%d/stat", pid);
    if (read_file(path, text, sizeof text) <= 0)
        return '?';
    const char *after = strrchr(text, ')');
    return after && after[1] == ' ' ? after[2] : '?';
}

/* Waits until the process is asleep in a call (or stopped, for 'T'), seen several times in a row. */
__attribute__((unused)) static void wait_for_state(pid_t pid, char state)
{
    int seen = 0;
    for (int i = 0; i < 20000 && seen < 8; i++) {
        seen = process_state(pid) == state ? seen + 1 : 0;
        usleep(500);
    }
    if (seen < 8)
        GUEST_FAIL("process %d never came to state %c, is in %c", pid, state, process_state(pid));
}

/* Number of open descriptors, by asking for each: needs no /proc. */
__attribute__((unused)) static int open_fd_count(void)
{
    int count = 0;
    for (int fd = 0; fd < 1024; fd++)
        count += fcntl(fd, F_GETFD) != -1;
    return count;
}

__attribute__((unused)) static int64_t now_ns(clockid_t clock)
{
    struct timespec time;
    clock_gettime(clock, &time);
    return (int64_t)time.tv_sec * 1000000000 + time.tv_nsec;
}

/* Full path of this program, for tests that exec it. */
__attribute__((unused)) static const char *self_path(void)
{
    return guest_self_path;
}

/* Replaces this process by a HELPER of this file with one argument (NULL for none). */
__attribute__((unused)) static int self_exec(const char *helper, const char *argument)
{
    return execl(guest_self_path, guest_self_path, "--helper", helper, argument, (char *)NULL);
}

/* Installs a handler without SA_RESTART unless flags say so. */
__attribute__((unused)) static void handle_signal(int signal_number, void (*handler)(int), int flags)
{
    struct sigaction action = {.sa_handler = handler, .sa_flags = flags};
    REQUIRE_OK(sigaction(signal_number, &action, NULL));
}

/* --- running ---------------------------------------------------------------------------------------------------- */

static int guest_run_forked(int index)
{
    pid_t pid = fork();
    if (pid == 0) {
        guest_tests[index].body();
        guest_finish();
    }
    int status = wait_status(pid);
    if (WIFEXITED(status))
        return WEXITSTATUS(status);
    note("# ended by signal %d\n", WTERMSIG(status));
    return 128 + WTERMSIG(status);
}

static int guest_run_all(void)
{
    int failed = 0;
    note("1..%d\n", guest_test_count);
    for (int i = 0; i < guest_test_count; i++) {
        int status = guest_run_forked(i);
        bool ok = status == 0 || status == GUEST_SKIPPED;
        failed += !ok;
        note("%s %d - %s%s\n", ok ? "ok" : "not ok", i + 1, guest_tests[i].name,
             status == GUEST_SKIPPED ? " # SKIP" : "");
    }
    return failed != 0;
}

int main(int argc, char **argv)
{
    if (realpath(argv[0], guest_self_path) == NULL)
        snprintf(guest_self_path, sizeof guest_self_path, "%s", argv[0]);
    if (argc == 1)
        return guest_run_all();
    if (argc >= 3 && strcmp(argv[1], "--helper") == 0) {
        for (int i = 0; i < guest_helper_count; i++)
            if (strcmp(guest_helpers[i].name, argv[2]) == 0)
                return guest_helpers[i].body(argc - 3, argv + 3);
        note("# no helper %s\n", argv[2]);
        return 2;
    }
    for (int i = 0; i < guest_test_count; i++) {
        if (strcmp(argv[1], "--list") == 0) {
            note("%s\n", guest_tests[i].name);
        } else if (strcmp(guest_tests[i].name, argv[1]) == 0) {
            guest_tests[i].body();
            note("%s 1 - %s\n", guest_failures ? "not ok" : "ok", argv[1]);
            guest_finish();
        }
    }
    if (strcmp(argv[1], "--list") == 0)
        return 0;
    note("# no test %s\n", argv[1]);
    return 2;
}

#endif
