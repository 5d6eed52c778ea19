/* filter.c - the sentry's own system call list.
 *
 * What is not in the list gets EPERM and a line in the audit log; what only a taken-over sentry would try kills it.
 * Rows whose arguments matter jump to a check; the unconditional ones are answered from the kernel's per-filter bitmap
 * without running the program, so the length of the list costs nothing where it counts.
 *
 * The rows are argued in SECURITY.md, "What the sentry may still ask of the host".
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <asm/ioctls.h>
#include <linux/sockios.h>
#include "sandbox.h"

#ifndef SYS_process_madvise
#define SYS_process_madvise 440
#endif

enum check {
    ALWAYS,      /* any arguments */
    IOCTL,       /* the listener, terminals, sockets; never TIOCSTI, TIOCSETD, TIOCSCTTY */
    NO_EXEC,     /* memory that cannot be executed */
    OPEN,        /* below the sentry's /proc, read-only; or in its FIFO directory */
    PROC_LINK,   /* dirfd is the sentry's /proc */
    FIFO_MAKE,   /* mknod of a FIFO in the sentry's FIFO directory */
    FIFO_REMOVE,
    STAT,        /* a descriptor itself (AT_EMPTY_PATH) or below the sentry's /proc */
    FD_TIMES,    /* times of a descriptor, no path */
    SOCKET,      /* unix, inet, inet6, netlink (routes); no raw or packet sockets */
    KILL
};

struct rule {
    uint16_t nr;
    uint8_t check;
};

#define A(name) {SYS_##name, ALWAYS}
#define K(name) {SYS_##name, KILL}

static const struct rule RULES[] = {
    /* with conditions: they run the program, so the hottest is first */
    {SYS_ioctl, IOCTL},
    {SYS_mmap, NO_EXEC},
    {SYS_mprotect, NO_EXEC},
    {SYS_openat, OPEN},
    {SYS_readlinkat, PROC_LINK},
    {SYS_newfstatat, STAT},
    {SYS_statx, STAT},
    {SYS_utimensat, FD_TIMES},
    {SYS_mknodat, FIFO_MAKE},
    {SYS_unlinkat, FIFO_REMOVE},
    {SYS_socket, SOCKET},
    {SYS_socketpair, SOCKET},

    /* the interpreter itself */
    A(brk), A(munmap), A(mremap), A(madvise), A(futex), A(getrandom), A(clock_gettime), A(clock_getres), A(gettimeofday),
    A(time), A(nanosleep), A(clock_nanosleep), A(rt_sigaction), A(rt_sigprocmask), A(rt_sigreturn), A(sigaltstack),
    A(getpid), A(gettid), A(getppid), A(getuid), A(geteuid), A(getgid), A(getegid), A(sched_yield), A(exit), A(exit_group),
    A(restart_syscall), A(rseq), A(set_robust_list), A(membarrier), A(uname), A(sysinfo), A(getrusage), A(times), A(getcpu),
    A(msync), A(mincore), A(get_robust_list),

    /* the workload: its calls, memory, state, limits, signals */
    A(process_vm_readv), A(process_vm_writev), A(process_mrelease), A(kcmp), A(ptrace), A(wait4), A(waitid), A(kill), A(tgkill), A(tkill), A(rt_sigqueueinfo),
    A(rt_tgsigqueueinfo), A(pidfd_send_signal), A(pidfd_open), A(prlimit64), A(getrlimit), A(getpgid), A(getpgrp), A(getsid), A(getpriority),
    A(setpriority), A(sched_getaffinity), A(sched_setaffinity), A(sched_getscheduler), A(sched_setscheduler),
    A(sched_getparam), A(sched_setparam), A(sched_getattr), A(sched_setattr), A(sched_get_priority_max),
    A(sched_get_priority_min), A(sched_rr_get_interval), A(ioprio_get), A(ioprio_set),

    /* descriptors it has */
    A(read), A(write), A(readv), A(writev), A(pread64), A(pwrite64), A(preadv), A(pwritev), A(preadv2), A(pwritev2), A(lseek),
    A(fstat), A(fstatfs), A(ftruncate), A(fallocate), A(fsync), A(fdatasync), A(sync_file_range), A(fadvise64), A(readahead),
    A(close), A(close_range), A(dup), A(dup2), A(dup3), A(fcntl), A(flock), A(getdents64), A(sendfile), A(splice), A(tee),
    A(vmsplice), A(copy_file_range), A(poll), A(ppoll), A(select), A(pselect6), A(epoll_wait), A(epoll_pwait), A(epoll_pwait2),
    A(epoll_ctl),

    /* new ones without a name on the host */
    A(pipe), A(pipe2), A(memfd_create), A(eventfd), A(eventfd2), A(epoll_create), A(epoll_create1), A(timerfd_create),
    A(timerfd_settime), A(timerfd_gettime), A(signalfd4),

    /* sockets of its network namespace */
    A(bind), A(listen), A(accept), A(accept4), A(connect), A(getsockname), A(getpeername), A(sendto), A(recvfrom), A(sendmsg),
    A(recvmsg), A(sendmmsg), A(recvmmsg), A(shutdown), A(setsockopt), A(getsockopt),

    /* nobody but an intruder asks for these */
    K(execve), K(execveat), K(open), K(creat), K(openat2), K(open_by_handle_at), K(name_to_handle_at), K(mount), K(umount2),
    K(pivot_root), K(chroot), K(move_mount), K(open_tree), K(fsopen), K(fsconfig), K(fsmount), K(fspick), K(mount_setattr),
    K(setns), K(unshare), K(clone), K(clone3), K(fork), K(vfork), K(bpf), K(perf_event_open), K(userfaultfd), K(io_uring_setup),
    K(io_uring_enter), K(io_uring_register), K(init_module), K(finit_module), K(delete_module), K(kexec_load),
    K(kexec_file_load), K(reboot), K(swapon), K(swapoff), K(add_key), K(request_key), K(keyctl), K(iopl), K(ioperm),
    K(setuid), K(setgid), K(setreuid), K(setregid), K(setresuid), K(setresgid), K(setgroups), K(capset), K(modify_ldt),
    K(pidfd_getfd), K(acct), K(quotactl), K(syslog), K(sethostname), K(setdomainname), K(settimeofday), K(clock_settime),
    K(adjtimex), K(clock_adjtime), K(personality), K(fanotify_init), K(mknod), K(link), K(linkat), K(symlink),
    K(symlinkat),
};
#define RULE_COUNT (sizeof RULES / sizeof *RULES)

/* Terminal and socket requests; with the notification ones, all that the sentry asks for on behalf of a workload. */
static const uint32_t IOCTLS[] = {
    SECCOMP_IOCTL_NOTIF_RECV, SECCOMP_IOCTL_NOTIF_SEND, SECCOMP_IOCTL_NOTIF_ADDFD, SECCOMP_IOCTL_NOTIF_ID_VALID,
    0x40082104 /* SECCOMP_IOCTL_NOTIF_SET_FLAGS */,
    FIONREAD, FIONBIO, FIOCLEX, FIONCLEX, TIOCOUTQ, SIOCATMARK, SIOCINQ,
    TCGETS, TCSETS, TCSETSW, TCSETSF, TCGETA, TCSETA, TCSETAW, TCSETAF, 0x802c542a /* TCGETS2 */, 0x402c542b, 0x402c542c, 0x402c542d,
    TCSBRK, TCSBRKP, TCXONC, TCFLSH, TIOCGWINSZ, TIOCSWINSZ, TIOCGPGRP, TIOCSPGRP, TIOCGSID, TIOCGPTN, TIOCSPTLCK, TIOCGPTLCK,
    TIOCGPTPEER, TIOCPKT, TIOCGPKT, TIOCSIG, TIOCEXCL, TIOCNXCL, TIOCGEXCL, TIOCGETD, TIOCMGET,
    SIOCGIFCONF, SIOCGIFNAME, SIOCGIFINDEX, SIOCGIFFLAGS, SIOCGIFADDR, SIOCGIFNETMASK, SIOCGIFBRDADDR, SIOCGIFMTU, SIOCGIFHWADDR,
    SIOCGIFTXQLEN, SIOCGIFMETRIC,
};
#define IOCTL_COUNT (sizeof IOCTLS / sizeof *IOCTLS)

#define LOW(n)  (offsetof(struct seccomp_data, args) + 8 * (n))
#define HIGH(n) (LOW(n) + 4)
#define CAPACITY 1024

/* The two directories the sentry keeps. Neither has a parent (".." ends there); an absolute path ends in our empty root. */
struct directories {
    int proc, fifo_dir; /* -1: none; no call gets past the kernel with that */
};

struct program {
    struct sock_filter code[CAPACITY];
    uint32_t length;
};

static void put(struct program *p, uint16_t code, uint32_t k, uint8_t if_true, uint8_t if_false)
{
    if (p->length < CAPACITY)
        p->code[p->length] = (struct sock_filter){code, if_true, if_false, k};
    p->length++;
}

static void load(struct program *p, uint32_t offset) { put(p, BPF_LD | BPF_W | BPF_ABS, offset, 0, 0); }
static void verdict(struct program *p, uint32_t action) { put(p, BPF_RET | BPF_K, action, 0, 0); }

#define DENY (SECCOMP_RET_ERRNO | EPERM)

/* Answers unless the loaded word equals value. */
static void require(struct program *p, uint32_t value)
{
    put(p, BPF_JMP | BPF_JEQ | BPF_K, value, 1, 0);
    verdict(p, DENY);
}

/* Answers if one of the bits is set in the loaded word. */
static void forbid_bits(struct program *p, uint32_t bits)
{
    put(p, BPF_JMP | BPF_JSET | BPF_K, bits, 0, 1);
    verdict(p, DENY);
}

static void allow_if_equal(struct program *p, uint32_t value)
{
    put(p, BPF_JMP | BPF_JEQ | BPF_K, value, 0, 1);
    verdict(p, SECCOMP_RET_ALLOW);
}

/* Content of a file system with a size limit lives in a directory of its own (vfs/content.c). */
int content_store_at(uint32_t index);

static void allow_stores(struct program *p)
{
    for (uint32_t n = 0; content_store_at(n) >= 0; n++)
        allow_if_equal(p, (uint32_t)content_store_at(n));
}

static void check_arguments(struct program *p, enum check check, uint32_t nr, const struct directories *fd)
{
    switch (check) {
    case IOCTL:
        load(p, LOW(1)); /* the kernel takes an unsigned int: the high half means nothing */
        for (size_t i = 0; i < IOCTL_COUNT; i++)
            allow_if_equal(p, IOCTLS[i]);
        verdict(p, DENY);
        return;
    case NO_EXEC:
        load(p, LOW(2));
        forbid_bits(p, PROT_EXEC);
        break;
    case OPEN:
        load(p, LOW(0));
        allow_if_equal(p, (uint32_t)fd->fifo_dir);
        allow_stores(p);
        require(p, (uint32_t)fd->proc);
        load(p, LOW(2));
        forbid_bits(p, ~(uint32_t)(O_CLOEXEC | O_NOFOLLOW | O_DIRECTORY | O_NONBLOCK | O_NOCTTY | 0100000 /* O_LARGEFILE */));
        break;
    case PROC_LINK:
        load(p, LOW(0));
        require(p, (uint32_t)fd->proc);
        break;
    case FIFO_MAKE:
        load(p, LOW(0));
        require(p, (uint32_t)fd->fifo_dir);
        load(p, LOW(2));
        put(p, BPF_ALU | BPF_AND | BPF_K, S_IFMT, 0, 0);
        require(p, S_IFIFO);
        break;
    case FIFO_REMOVE:
        load(p, LOW(0));
        allow_stores(p);
        require(p, (uint32_t)fd->fifo_dir);
        break;
    case STAT:
        load(p, LOW(0));
        allow_if_equal(p, (uint32_t)fd->proc);
        load(p, LOW(nr == SYS_statx ? 2 : 3));
        put(p, BPF_ALU | BPF_AND | BPF_K, AT_EMPTY_PATH, 0, 0);
        require(p, AT_EMPTY_PATH); /* with a path all the same: our root directory is empty */
        break;
    case FD_TIMES:
        load(p, LOW(1));
        require(p, 0);
        load(p, HIGH(1));
        require(p, 0);
        break;
    case SOCKET:
        load(p, LOW(0));
        put(p, BPF_JMP | BPF_JEQ | BPF_K, AF_NETLINK, 0, 10);
        load(p, LOW(2)); /* NETLINK_ROUTE, which without capabilities only reads */
        require(p, 0);
        load(p, LOW(1));
        put(p, BPF_ALU | BPF_AND | BPF_K, 0xf, 0, 0);
        allow_if_equal(p, SOCK_RAW);
        allow_if_equal(p, SOCK_DGRAM);
        verdict(p, DENY);
        put(p, BPF_JMP | BPF_JEQ | BPF_K, AF_UNIX, 3, 0);
        put(p, BPF_JMP | BPF_JEQ | BPF_K, AF_INET, 2, 0);
        put(p, BPF_JMP | BPF_JEQ | BPF_K, AF_INET6, 1, 0);
        verdict(p, DENY);
        load(p, LOW(1));
        put(p, BPF_ALU | BPF_AND | BPF_K, 0xf, 0, 0);
        allow_if_equal(p, SOCK_STREAM);
        allow_if_equal(p, SOCK_DGRAM);
        allow_if_equal(p, SOCK_SEQPACKET);
        verdict(p, DENY);
        return;
    default:
        verdict(p, DENY);
        return;
    }
    verdict(p, SECCOMP_RET_ALLOW);
}

static void write_program(struct program *p, const struct directories *fd)
{
    load(p, offsetof(struct seccomp_data, arch));
    put(p, BPF_JMP | BPF_JEQ | BPF_K, AUDIT_ARCH_X86_64, 1, 0);
    verdict(p, SECCOMP_RET_KILL_PROCESS);
    load(p, offsetof(struct seccomp_data, nr));
    put(p, BPF_JMP | BPF_JGE | BPF_K, 0x40000000 /* x32 */, 0, 1);
    verdict(p, SECCOMP_RET_KILL_PROCESS);
    for (size_t i = 0; i < RULE_COUNT; i++) {
        const struct rule *rule = &RULES[i];
        uint32_t test = p->length;
        put(p, BPF_JMP | BPF_JEQ | BPF_K, rule->nr, 0, 0);
        if (rule->check == ALWAYS || rule->check == KILL)
            verdict(p, rule->check == ALWAYS ? SECCOMP_RET_ALLOW : SECCOMP_RET_KILL_PROCESS);
        else
            check_arguments(p, rule->check, rule->nr, fd);
        if (test < CAPACITY)
            p->code[test].jf = (uint8_t)(p->length - test - 1); /* every block is shorter than 255; a check replaces A, but then it answers */
    }
    verdict(p, DENY);
}

int sandbox_install_filter(int proc_fd, int fifo_dir_fd)
{
    const struct directories fd = {proc_fd, fifo_dir_fd};
    static struct program program;
    program.length = 0;
    write_program(&program, &fd);
    if (program.length > CAPACITY)
        return -E2BIG;
    struct sock_fprog filter = {(unsigned short)program.length, program.code};
    unsigned flags = SECCOMP_FILTER_FLAG_TSYNC | SECCOMP_FILTER_FLAG_LOG;
    long result = syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, &filter);
    if (result > 0)
        return -EBUSY; /* a thread we know nothing of could not follow */
    return result < 0 ? -errno : 0;
}

int sandbox_filter_rule(uint32_t index, uint32_t *nr, uint32_t *verdict_of)
{
    if (index >= RULE_COUNT)
        return -ENOENT;
    *nr = RULES[index].nr;
    *verdict_of = RULES[index].check == ALWAYS ? SANDBOX_ALLOW : RULES[index].check == KILL ? SANDBOX_KILL : SANDBOX_ARGS;
    return 0;
}
