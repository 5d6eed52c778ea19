/* attempts.c - ways out of the sandbox, each of which must fail. Run inside by test_escapes.py.
 *
 * usage: attempts NAME [ARGUMENT]...   prints "held: why" and exits 0, or "ESCAPED: what" and exits 1.
 * What is given as ARGUMENT the test has prepared on the host: a pid, a path, a port, a socket's name.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <netinet/in.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>

static _Noreturn void escaped(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    fputs("ESCAPED: ", stdout);
    vprintf(format, arguments);
    putchar('\n');
    fflush(stdout);
    _exit(1);
}

static void held(const char *what) { printf("held: %s (%s)\n", what, strerrorname_np(errno) ? strerrorname_np(errno) : "-"); }

/* The call must fail; which errno is only shown. */
#define MUST_FAIL(call)                                                                                                \
    do {                                                                                                               \
        errno = 0;                                                                                                     \
        if ((long)(call) != -1)                                                                                        \
            escaped("%s succeeded", #call);                                                                            \
        held(#call);                                                                                                   \
    } while (0)

#include "attempts_tracing.h"

/* ---- ways into the kernel that the filter does not know */

static void i386_entry(char **arguments)
{
    long result = 20; /* getpid in the i386 table */
    (void)arguments;
    __asm__ volatile("int $0x80" : "+a"(result) : : "memory");
    escaped("int 0x80 returned %ld", result);
}

static void x32_entry(char **arguments)
{
    (void)arguments;
    escaped("an x32 call returned %ld", syscall(0x40000000 | SYS_getpid));
}

static void unknown_numbers(char **arguments)
{
    (void)arguments;
    for (long nr = 480; nr < 1100; nr++)
        if (syscall(nr, 0, 0, 0, 0, 0, 0) != -1 || errno != ENOSYS)
            escaped("call %ld is known: %s", nr, strerror(errno));
    held("calls 480 to 1100");
}

static void kernel_interfaces(char **arguments)
{
    char buffer[256] = {0};
    (void)arguments;
    MUST_FAIL(syscall(SYS_io_uring_setup, 8, buffer));
    MUST_FAIL(syscall(SYS_bpf, 0, buffer, 48));
    MUST_FAIL(syscall(SYS_perf_event_open, buffer, 0, -1, -1, 0));
    MUST_FAIL(syscall(SYS_userfaultfd, 0));
    MUST_FAIL(syscall(SYS_init_module, buffer, 8, ""));
    MUST_FAIL(syscall(SYS_finit_module, 0, "", 0));
    MUST_FAIL(syscall(SYS_kexec_load, 0, 0, NULL, 0));
    MUST_FAIL(syscall(SYS_iopl, 3));
    MUST_FAIL(syscall(SYS_ioperm, 0, 1, 1));
    MUST_FAIL(syscall(SYS_open_by_handle_at, AT_FDCWD, buffer, O_RDONLY));
    MUST_FAIL(syscall(SYS_reboot, 0xfee1dead, 672274793, 0, NULL));
    MUST_FAIL(syscall(SYS_swapon, "/etc/passwd", 0));
    MUST_FAIL(syscall(SYS_acct, "/etc/passwd"));
    if (syscall(SYS_syslog, 3, buffer, sizeof buffer) > 0) /* the sandbox has a log of its own, which is empty */
        escaped("the host's log can be read");
    MUST_FAIL(syscall(SYS_clock_settime, CLOCK_REALTIME, buffer));
    MUST_FAIL(syscall(SYS_fanotify_init, 0, 0));
    MUST_FAIL(syscall(SYS_quotactl, 0, NULL, 0, NULL));
    MUST_FAIL(syscall(SYS_memfd_secret, 0x40000000));
    MUST_FAIL(syscall(SYS_landlock_create_ruleset, NULL, 0, 2));
}

/* ---- processes */

/* The flag is ignored, as Linux ignores it where nobody traces: what the child executes must still be the sentry's business.
 * An untraced one could not execute anything: the filter asks for a tracer there. */
static void untraced_child(char **arguments)
{
    (void)arguments;
    pid_t child = (pid_t)syscall(SYS_clone, CLONE_UNTRACED | SIGCHLD, 0, 0, 0, 0);
    if (child == 0) {
        execl("/bin/sh", "sh", "-c", "test -d /proc/self && exit 7", NULL);
        _exit(1);
    }
    int status = -1;
    if (child > 0 && (waitpid(child, &status, 0) != child || !WIFEXITED(status) || WEXITSTATUS(status) != 7))
        escaped("clone(CLONE_UNTRACED) made a process that is not ours: status %#x", status);
    held("clone(CLONE_UNTRACED)");
}

static void new_namespaces(char **arguments)
{
    static const unsigned long flags[] = {CLONE_NEWUSER, CLONE_NEWNS, CLONE_NEWPID, CLONE_NEWNET, CLONE_NEWIPC, CLONE_NEWUTS, CLONE_NEWCGROUP, 0x80};
    (void)arguments;
    for (size_t i = 0; i < sizeof flags / sizeof *flags; i++) {
        pid_t child = (pid_t)syscall(SYS_clone, flags[i] | (flags[i] == 0x80 ? 0 : SIGCHLD), 0, 0, 0, 0);
        if (child == 0)
            _exit(0);
        if (child > 0 && flags[i] != 0x80) /* 0x80 is part of the signal number here */
            escaped("clone(%#lx) made process %d", flags[i], child);
        /* A namespace of mounts is the sentry's own: a copy of the sandbox's tree. */
        if (syscall(SYS_unshare, flags[i]) == 0 && flags[i] != CLONE_NEWNS)
            escaped("unshare(%#lx)", flags[i]);
    }
    held("clone and unshare of every namespace");
    uint64_t request[11] = {CLONE_NEWUSER, 0, 0, 0, SIGCHLD};
    MUST_FAIL(syscall(SYS_clone3, request, sizeof request));
}

/* argument: a host pid of the same user, outside */
static void host_pids(char **arguments)
{
    pid_t pid = atoi(arguments[0]);
    char byte;
    struct iovec to = {&byte, 1}, from = {(void *)environ, 1};
    MUST_FAIL(kill(pid, 0));
    MUST_FAIL(kill(pid, SIGKILL));
    MUST_FAIL(syscall(SYS_tkill, pid, SIGKILL));
    MUST_FAIL(syscall(SYS_tgkill, pid, pid, SIGKILL));
    siginfo_t info = {.si_code = SI_QUEUE};
    MUST_FAIL(syscall(SYS_rt_sigqueueinfo, pid, SIGKILL, &info));
    MUST_FAIL(syscall(SYS_pidfd_open, pid, 0));
    MUST_FAIL(ptrace(PTRACE_ATTACH, pid, 0, 0));
    MUST_FAIL(ptrace(PTRACE_SEIZE, pid, 0, 0));
    MUST_FAIL(process_vm_readv(pid, &to, 1, &from, 1, 0));
    MUST_FAIL(process_vm_writev(pid, &to, 1, &from, 1, 0));
    MUST_FAIL(syscall(SYS_kcmp, pid, pid, 0, 0, 0));
    MUST_FAIL(syscall(SYS_setpriority, 0, pid, 19));
    MUST_FAIL(syscall(SYS_migrate_pages, pid, 0, NULL, NULL));
    MUST_FAIL(syscall(SYS_prlimit64, pid, 7, NULL, &info));
    MUST_FAIL(getpgid(pid));
    MUST_FAIL(getsid(pid));
}

/* everybody we may signal: the sentry, the gofer and the test must not be among them */
static void signal_everybody(char **arguments)
{
    (void)arguments;
    signal(SIGTERM, SIG_IGN);
    errno = 0;
    kill(-1, SIGTERM);
    kill(-1, SIGUSR1);
    held("kill(-1)");
}

/* arguments: host pids of sentry and gofer */
static void proc_of_others(char **arguments)
{
    char path[64];
    for (; *arguments; arguments++) {
        static const char *const names[] = {"mem", "maps", "environ", "root", "cwd", "fd/0", "exe", "status", "ns/net"};
        for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
            snprintf(path, sizeof path, "/proc/%s/%s", *arguments, names[i]);
            if (open(path, O_RDONLY) >= 0)
                escaped("opened %s", path);
        }
    }
    held("/proc of sentry and gofer");
}

/* Where a page lies in the machine helps attacks on its memory. */
static void page_frames(char **arguments)
{
    uint64_t entry = 0;
    (void)arguments;
    int fd = open("/proc/self/pagemap", O_RDONLY);
    if (fd < 0 || pread(fd, &entry, sizeof entry, (off_t)((uintptr_t)&entry / 4096 * 8)) != sizeof entry)
        escaped("no pagemap to look at");
    if (!(entry >> 63))
        escaped("the stack is not there");
    if (entry & ((1ULL << 55) - 1))
        escaped("pagemap says %llx", (unsigned long long)entry);
    held("frame numbers");
}

static void own_namespace_links(char **arguments)
{
    (void)arguments;
    static const char *const names[] = {"user", "mnt", "pid", "net", "ipc", "uts"};
    char path[64];
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        snprintf(path, sizeof path, "/proc/self/ns/%s", names[i]);
        int fd = open(path, O_RDONLY);
        if (fd >= 0 && syscall(SYS_setns, fd, 0) == 0)
            escaped("setns(%s)", path);
    }
    held("setns");
}

/* arguments: description and number of a key that the host has in its user's keyring. The sandbox has keyrings of its own. */
static void host_keys(char **arguments)
{
    enum { SEARCH = 10, READ = 11, DESCRIBE = 6, USER_KEYRING = -4 };
    char buffer[64];
    long number = atol(arguments[1]);
    MUST_FAIL(syscall(SYS_request_key, "user", arguments[0], NULL, 0));
    MUST_FAIL(syscall(SYS_keyctl, SEARCH, USER_KEYRING, "user", arguments[0], 0));
    MUST_FAIL(syscall(SYS_keyctl, READ, number, buffer, sizeof buffer));
    MUST_FAIL(syscall(SYS_keyctl, DESCRIBE, number, buffer, sizeof buffer));
}

/* a filter of the program's own must not widen ours */
static void own_seccomp_filter(char **arguments)
{
    struct sock_filter code[] = {BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)};
    struct sock_fprog program = {1, code};
    (void)arguments;
    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program);
    kernel_interfaces(NULL);
    int listener = (int)syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_NEW_LISTENER, &program);
    if (listener >= 0 && syscall(SYS_io_uring_setup, 8, code) >= 0)
        escaped("a listener of the program's own opened io_uring");
    held("a filter of its own");
}

/* ---- privileges */

static void privileges(char **arguments)
{
    char text[4096];
    (void)arguments;
    setresuid(0, 0, 0);
    prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
    prctl(PR_SET_PTRACER, -1, 0, 0, 0);
    /* Nodes in memory may be made of any number; there is no such device behind them. */
    mknod("/tmp/device", S_IFBLK | 0600, 0xfe00);
    mknod("/tmp/mem", S_IFCHR | 0600, 0x0101);
    MUST_FAIL(open("/tmp/device", O_RDWR));
    MUST_FAIL(open("/tmp/mem", O_RDWR));
    MUST_FAIL(open("/dev/mem", O_RDWR));
    MUST_FAIL(open("/dev/kmsg", O_RDWR));
    MUST_FAIL(open("/dev/sda", O_RDWR));
    MUST_FAIL(open("/dev/vda", O_RDWR));
    MUST_FAIL(open("/dev/fuse", O_RDWR));
    MUST_FAIL(open("/dev/net/tun", O_RDWR));
    MUST_FAIL(open("/proc/kcore", O_RDONLY));
    MUST_FAIL(open("/proc/kmsg", O_RDONLY));
    MUST_FAIL(open("/proc/sysrq-trigger", O_WRONLY));
    MUST_FAIL(open("/sys/kernel/uevent_helper", O_WRONLY));
    MUST_FAIL(socket(AF_PACKET, SOCK_RAW, 0));
    MUST_FAIL(socket(AF_INET, SOCK_RAW, 1));
    MUST_FAIL(socket(16 /* AF_NETLINK */, SOCK_RAW, 9 /* audit */));
    MUST_FAIL(socket(40 /* AF_VSOCK */, SOCK_STREAM, 0));
    MUST_FAIL(socket(38 /* AF_ALG */, SOCK_SEQPACKET, 0));
    int fd = open("/proc/sys/kernel/core_pattern", O_WRONLY);
    if (fd >= 0 && write(fd, "|/tmp/x", 7) == 7)
        escaped("wrote core_pattern");
    held("core_pattern");
    memset(text, 0, sizeof text);
}

/* ---- paths */

/* argument: a path with many ".." to a host file that the sandbox's root does not have */
static void dot_dot(char **arguments)
{
    char path[4096] = "";
    for (int i = 0; i < 64; i++)
        strcat(path, "../");
    strcat(path, arguments[0] + 1);
    MUST_FAIL(open(path, O_RDONLY));
    MUST_FAIL(open(arguments[0], O_RDONLY));
    int root = open("/", O_RDONLY | O_DIRECTORY);
    MUST_FAIL(openat(root, path, O_RDONLY));
    MUST_FAIL(open("/proc/self/root/../../../../../../../../etc/../pysentry-no-such", O_RDONLY));
    char link[4200];
    snprintf(link, sizeof link, "/proc/self/root%s", arguments[0]);
    MUST_FAIL(open(link, O_RDONLY));
    snprintf(link, sizeof link, "/proc/self/cwd/%s", path);
    MUST_FAIL(open(link, O_RDONLY));
    snprintf(link, sizeof link, "/proc/self/fd/%d/%s", root, path);
    MUST_FAIL(open(link, O_RDONLY));
    snprintf(link, sizeof link, "/proc/1/root%s", arguments[0]);
    MUST_FAIL(open(link, O_RDONLY));
}

/* the classical way out of a chroot: a directory descriptor from before, then ".." */
static void chroot_escape(char **arguments)
{
    int before = open(".", O_RDONLY | O_DIRECTORY);
    mkdir("/tmp/jail", 0700);
    if (chroot("/tmp/jail") == 0) {
        fchdir(before);
        for (int i = 0; i < 64; i++)
            if (chdir("..") != 0)
                break;
        chroot(".");
    }
    MUST_FAIL(open(arguments[0], O_RDONLY));
}

/* argument: a symlink in a bind to a host file outside of it */
static void bind_symlink(char **arguments)
{
    MUST_FAIL(open(arguments[0], O_RDONLY));
    char target[4096];
    if (readlink(arguments[0], target, sizeof target) < 0)
        escaped("the symlink is not there: the attempt is void");
}

/* argument: a file in a read-only bind */
static void read_only_bind(char **arguments)
{
    const char *path = arguments[0];
    char reopened[64], other[4096];
    int fd = open(path, O_RDONLY);
    if (fd < 0)
        escaped("%s is not there: the attempt is void", path);
    MUST_FAIL(open(path, O_RDWR));
    MUST_FAIL(open(path, O_WRONLY | O_TRUNC));
    MUST_FAIL(open(path, O_RDONLY | O_TRUNC));
    snprintf(reopened, sizeof reopened, "/proc/self/fd/%d", fd);
    MUST_FAIL(open(reopened, O_RDWR));
    MUST_FAIL(truncate(path, 0));
    MUST_FAIL(ftruncate(fd, 0));
    MUST_FAIL(write(fd, "x", 1));
    MUST_FAIL(fallocate(fd, 0, 0, 10));
    if (mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0) != MAP_FAILED)
        escaped("a shared writable mapping of a read-only file");
    void *map = mmap(NULL, 4096, PROT_READ, MAP_SHARED, fd, 0);
    if (map != MAP_FAILED && mprotect(map, 4096, PROT_READ | PROT_WRITE) == 0)
        escaped("mprotect made a read-only file's mapping writable");
    MUST_FAIL(unlink(path));
    MUST_FAIL(chmod(path, 0777));
    MUST_FAIL(chown(path, 0, 0));
    MUST_FAIL(utimensat(AT_FDCWD, path, NULL, 0));
    snprintf(other, sizeof other, "%s.renamed", path);
    MUST_FAIL(rename(path, other));
    MUST_FAIL(link(path, other));
    MUST_FAIL(setxattr(path, "user.x", "y", 1, 0));
    MUST_FAIL(open(other, O_CREAT | O_WRONLY, 0600));
}

/* ---- descriptors that are not ours */

static void stray_descriptors(char **arguments)
{
    struct stat status;
    char byte;
    (void)arguments;
    for (int fd = 3; fd < 4096; fd++) {
        if (fstat(fd, &status) == 0)
            escaped("descriptor %d is open", fd);
        if (read(fd, &byte, 1) >= 0 || lseek(fd, 0, SEEK_SET) >= 0)
            escaped("descriptor %d can be read", fd);
        if (mmap(NULL, 4096, PROT_READ, MAP_PRIVATE, fd, 0) != MAP_FAILED)
            escaped("descriptor %d can be mapped", fd);
        if (dup(fd) >= 0)
            escaped("descriptor %d can be copied", fd);
    }
    held("descriptors 3 to 4095");
    MUST_FAIL(syscall(SYS_execveat, 1023, "", NULL, NULL, 0x1000));
    MUST_FAIL(syscall(SYS_execveat, 1021, "", NULL, NULL, 0x1000));
    MUST_FAIL(ioctl(1023, SECCOMP_IOCTL_NOTIF_RECV, &status));
}

/* ---- memory that changes during the call */

static volatile int is_over;
static char *volatile shared_path;
static const char *paths[2];

static void *flip(void *unused)
{
    (void)unused;
    size_t length = strlen(paths[0]); /* both have the same length: only the differing bytes matter */
    for (unsigned turn = 0; !is_over; turn++)
        memcpy(shared_path, paths[turn & 1], length);
    return NULL;
}

/* arguments: a file in a writable bind, one of the same length in a read-only bind */
static void changing_path(char **arguments)
{
    pthread_t thread;
    paths[0] = arguments[0];
    paths[1] = arguments[1];
    if (strlen(paths[0]) != strlen(paths[1]))
        escaped("the paths differ in length: the attempt is void");
    shared_path = strdup(paths[0]);
    pthread_create(&thread, NULL, flip, NULL);
    int opened = 0;
    for (int i = 0; i < 20000; i++) {
        int fd = open(shared_path, O_RDWR);
        if (fd < 0)
            continue;
        opened++;
        if (pwrite(fd, "W", 1, 0) != 1)
            escaped("a writable file cannot be written: the attempt is void");
        close(fd);
    }
    is_over = 1;
    pthread_join(thread, NULL);
    printf("held: %d of 20000 opens succeeded; the host's read-only file is compared outside\n", opened);
}

static void bad_pointers(char **arguments)
{
    static const uintptr_t bad[] = {1, 0x1000, 0xffff800000000000, 0xffffffffff600000, ~0ul, 0x7ffffffff000};
    (void)arguments;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        void *p = (void *)bad[i];
        MUST_FAIL(syscall(SYS_openat, AT_FDCWD, p, O_RDONLY));
        MUST_FAIL(syscall(SYS_newfstatat, AT_FDCWD, p, p, 0));
        MUST_FAIL(syscall(SYS_pipe2, p, 0));
        MUST_FAIL(syscall(SYS_execve, p, p, p));
        MUST_FAIL(syscall(SYS_writev, 1, p, 1));
        MUST_FAIL(syscall(SYS_getcwd, p, 4096));
        MUST_FAIL(syscall(SYS_uname, p));
        MUST_FAIL(syscall(SYS_ppoll, p, 1, NULL, NULL, 8));
        MUST_FAIL(syscall(SYS_statx, AT_FDCWD, "/", 0, 0xfff, p));
        MUST_FAIL(syscall(SYS_sendmsg, 0, p, 0));
    }
}

/* ---- network */

/* argument: an abstract name that a host process listens at */
static void abstract_socket(char **arguments)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    size_t length = strlen(arguments[0]);
    memcpy(address.sun_path + 1, arguments[0], length);
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    MUST_FAIL(connect(fd, (struct sockaddr *)&address, (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + length)));
}

/* argument: the path inside of a socket that a host process listens at */
static void path_socket(char **arguments)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    strncpy(address.sun_path, arguments[0], sizeof address.sun_path - 1);
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    MUST_FAIL(connect(fd, (struct sockaddr *)&address, sizeof address));
    fd = socket(AF_UNIX, SOCK_DGRAM, 0);
    MUST_FAIL(connect(fd, (struct sockaddr *)&address, sizeof address));
    MUST_FAIL(open(arguments[0], O_RDWR));
}

/* argument: a port of the host's loopback that somebody listens at */
static void host_loopback(char **arguments)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(arguments[0]))};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    MUST_FAIL(connect(fd, (struct sockaddr *)&address, sizeof address));
    address.sin_addr.s_addr = htonl(0x08080808);
    MUST_FAIL(connect(fd, (struct sockaddr *)&address, sizeof address));
}

/* ---- the caller's terminal */

static void terminal_injection(char **arguments)
{
    (void)arguments;
    for (int fd = 0; fd < 3; fd++) {
        char key = 'x';
        MUST_FAIL(ioctl(fd, TIOCSTI, &key));
    }
    MUST_FAIL(open("/dev/tty", O_RDWR));
    MUST_FAIL(open("/dev/console", O_RDWR));
    MUST_FAIL(open("/dev/tty1", O_RDWR));
}

static const struct {
    const char *name;
    void (*attempt)(char **arguments);
} ATTEMPTS[] = {
#define ATTEMPT(name) {#name, name}
    ATTEMPT(i386_entry), ATTEMPT(x32_entry), ATTEMPT(unknown_numbers), ATTEMPT(kernel_interfaces), ATTEMPT(untraced_child),
    ATTEMPT(new_namespaces), ATTEMPT(host_pids), ATTEMPT(signal_everybody), ATTEMPT(proc_of_others), ATTEMPT(own_namespace_links),
    ATTEMPT(page_frames),
    ATTEMPT(own_seccomp_filter), ATTEMPT(host_keys), ATTEMPT(privileges), ATTEMPT(dot_dot), ATTEMPT(chroot_escape), ATTEMPT(bind_symlink),
    ATTEMPT(read_only_bind), ATTEMPT(stray_descriptors), ATTEMPT(changing_path), ATTEMPT(bad_pointers), ATTEMPT(abstract_socket),
    ATTEMPT(path_socket), ATTEMPT(host_loopback), ATTEMPT(terminal_injection),
    ATTEMPT(calls_of_a_tracee), ATTEMPT(steps_through_an_exec),
};

int main(int argc, char **argv)
{
    setvbuf(stdout, NULL, _IOLBF, 0);
    for (size_t i = 0; argc > 1 && i < sizeof ATTEMPTS / sizeof *ATTEMPTS; i++)
        if (strcmp(argv[1], ATTEMPTS[i].name) == 0) {
            ATTEMPTS[i].attempt(argv + 2);
            return 0;
        }
    fprintf(stderr, "no such attempt\n");
    return 2;
}
