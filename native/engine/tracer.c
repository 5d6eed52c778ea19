/* tracer.c - the calls of ptrace(2) that a program of the sandbox makes.
 *
 * Who may trace whom is judged by the virtual identities, in Python (kernel/tracing.py). What is read and written at a
 * held stop goes to the host as it is: it checks registers and memory as it does for any tracer, and the sentry has no
 * more rights over the task than a tracer of its own user would have.
 */
#define _GNU_SOURCE
#include <elf.h>
#include <errno.h>
#include <linux/audit.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include "tracing.h"
#include "../vfs/vfs.h"

#define OPTIONS_KNOWN (PTRACE_O_EXITKILL | 0x7f) /* SYSGOOD, and the events but SECCOMP's */
#define OPTIONS_OF_LINUX (OPTIONS_KNOWN | PTRACE_O_TRACESECCOMP | PTRACE_O_SUSPEND_SECCOMP)
#define WORD sizeof(uint64_t)
#define REGSET_MAX 16384
#define ARCH_PRCTL 30 /* PTRACE_ARCH_PRCTL, of <asm/ptrace-abi.h> */
#define PEEKED_MAX 64 /* of PTRACE_PEEKSIGINFO at a time */

static int64_t host(long request, struct task *t, uint64_t addr, void *data)
{
    return syscall(SYS_ptrace, request, t->tid, addr, data) < 0 ? -errno : 0;
}

/* ---- beginning */

static int64_t wish(struct task *t)
{
    struct thread_group *parent = t->group->parent;
    struct task *tracer = parent ? task_find(parent->tgid) : NULL;
    if (t->tracing || !tracer)
        return -EPERM;
    int64_t may = hooks.trace_check(tracer, t, 1);
    if (may < 0)
        return may;
    tracee_begin(t, parent, 0, false, may);
    tracer_begins(parent, NULL);
    return 0;
}

static int64_t attach(struct task *t, int32_t pid, bool is_seized, uint64_t addr, uint64_t options)
{
    struct task *target = task_find_ns(pid);
    if (is_seized && (addr || options & ~(uint64_t)OPTIONS_OF_LINUX))
        return -EIO;
    if (is_seized && options & ~(uint64_t)OPTIONS_KNOWN)
        return -EINVAL;
    if (!target || !target->cred)
        return -ESRCH;
    if (target->group == t->group || target->in_exec >= 4) /* being born from outside: not one of the sandbox's yet */
        return -EPERM;
    int64_t may = hooks.trace_check(t, target, 0);
    if (may < 0 || target->tracing)
        return -EPERM;
    tracee_begin(target, t->group, is_seized ? (uint32_t)options : 0, is_seized, may);
    tracer_begins(t->group, t);
    if (!is_seized && !target->group_stopped) {
        task_kill(target, SIGSTOP);
        return 0;
    }
    target->tracing->wants_stop = !is_seized;
    if (!is_seized || options) /* the host takes options at a stop */
        ptrace(PTRACE_INTERRUPT, target->tid, NULL, NULL);
    return 0;
}

/* ---- at a stop */

static int64_t peek(struct task *t, struct task *target, long request, uint64_t addr, uint64_t data)
{
    uint64_t word;
    int64_t error = host(request, target, addr, &word);
    return error ? error : um_write(t, data, &word, WORD) < 0 ? -EFAULT : 0;
}

/* A whole structure, to the tracer or from it. */
static int64_t get(struct task *t, struct task *target, long request, uint64_t addr, uint64_t data, size_t size)
{
    char room[1024];
    int64_t error = host(request, target, addr, room);
    return error ? error : um_write(t, data, room, size) < 0 ? -EFAULT : 0;
}

static int64_t set(struct task *t, struct task *target, long request, uint64_t addr, uint64_t data, size_t size)
{
    char room[1024];
    return um_read(t, data, room, size) < 0 ? -EFAULT : host(request, target, addr, room);
}

static int64_t regset(struct task *t, struct task *target, long request, uint64_t type, uint64_t data)
{
    static char room[REGSET_MAX];
    struct iovec theirs, ours = {room, 0};
    if (um_read(t, data, &theirs, sizeof theirs) < 0)
        return -EFAULT;
    ours.iov_len = theirs.iov_len < sizeof room ? theirs.iov_len : sizeof room;
    if (request == PTRACE_SETREGSET && um_read(t, (uint64_t)theirs.iov_base, room, ours.iov_len) < 0)
        return -EFAULT;
    int64_t error = host(request, target, type, &ours);
    if (error)
        return error;
    if (request == PTRACE_GETREGSET && um_write(t, (uint64_t)theirs.iov_base, room, ours.iov_len) < 0)
        return -EFAULT;
    theirs.iov_len = ours.iov_len;
    return um_write(t, data, &theirs, sizeof theirs) < 0 ? -EFAULT : 0;
}

/* The host's siginfo is that of our stop; only at a delivery that is the program's. */
static int64_t get_siginfo(struct task *t, struct task *target, uint64_t data)
{
    const struct tracing *tr = target->tracing;
    siginfo_t info;
    if (tr->kind == STOP_DELIVERY)
        return get(t, target, PTRACE_GETSIGINFO, 0, data, sizeof info);
    if (tr->kind == STOP_GROUP && !tr->is_seized)
        return -EINVAL;
    memset(&info, 0, sizeof info);
    info.si_signo = tr->status >> 8 & 0x7f;
    info.si_pid = task_ns_tid(target);
    info.si_uid = target->cred->uid;
    if (tr->kind != STOP_MADE_UP)
        info.si_code = tr->status >> 8; /* of events, too: the number is above the signal's */
    return um_write(t, data, &info, sizeof info) < 0 ? -EFAULT : 0;
}

static int64_t peek_siginfo(struct task *t, struct task *target, uint64_t addr, uint64_t data)
{
    static siginfo_t found[PEEKED_MAX];
    struct __ptrace_peeksiginfo_args args;
    if (um_read(t, addr, &args, sizeof args) < 0)
        return -EFAULT;
    if (args.nr < 0)
        return -EINVAL;
    args.nr = args.nr < PEEKED_MAX ? args.nr : PEEKED_MAX;
    long count = syscall(SYS_ptrace, PTRACE_PEEKSIGINFO, target->tid, &args, found);
    if (count < 0)
        return -errno;
    return um_write(t, data, found, (uint64_t)count * sizeof *found) < 0 ? -EFAULT : count;
}

static int64_t get_syscall_info(struct task *t, struct task *target, uint64_t size, uint64_t data)
{
    const struct tracing *tr = target->tracing;
    struct user_regs_struct regs;
    struct __ptrace_syscall_info info;
    size_t filled = offsetof(struct __ptrace_syscall_info, entry);
    int64_t error = task_regs(target, &regs);
    if (error)
        return error;
    memset(&info, 0, sizeof info);
    info.arch = AUDIT_ARCH_X86_64;
    info.instruction_pointer = regs.rip;
    info.stack_pointer = regs.rsp;
    if (tr->kind == STOP_ENTRY) {
        uint64_t args[6] = {regs.rdi, regs.rsi, regs.rdx, regs.r10, regs.r8, regs.r9};
        info.op = PTRACE_SYSCALL_INFO_ENTRY;
        info.entry.nr = regs.orig_rax;
        memcpy(info.entry.args, args, sizeof args);
        filled = offsetof(struct __ptrace_syscall_info, entry.args[6]);
    } else if (tr->kind == STOP_EXIT) {
        int64_t result = (int64_t)regs.rax;
        info.op = PTRACE_SYSCALL_INFO_EXIT;
        info.exit.rval = result;
        info.exit.is_error = result < 0 && result >= -4095;
        filled = offsetof(struct __ptrace_syscall_info, exit.is_error) + 1;
    }
    return um_write(t, data, &info, size < filled ? size : filled) < 0 ? -EFAULT : (int64_t)filled;
}

/* As Linux has it for memory with a program in it that its own user may not read. */
static bool is_memory_shown(const struct task *target)
{
    const struct dentry *exe = target->group->exe;
    return target->tracing->is_privileged || !exe || inode_permission(target->cred, exe->inode, 4) == 0;
}

/* Of a process, by any of its threads that is held. */
static struct task *held_thread(const struct thread_group *g, const struct thread_group *tracer)
{
    for (struct task *t = task_first(); t; t = t->all_next)
        if (t->group == g && t->tracing && t->tracing->tracer == tracer && t->tracing->is_held && is_memory_shown(t))
            return t;
    return NULL;
}

int64_t tracer_poke(struct task *tracer, struct task *t, uint64_t addr, const void *from, uint64_t size)
{
    struct task *held = held_thread(t->group, tracer->group);
    uint64_t done = 0, word;
    if (!held)
        return -EPERM;
    while (done < size) {
        uint64_t at = (addr + done) & ~(WORD - 1), skip = (addr + done) % WORD, part = WORD - skip;
        if (part > size - done)
            part = size - done;
        if (host(PTRACE_PEEKDATA, held, at, &word))
            break;
        memcpy((char *)&word + skip, (const char *)from + done, part);
        if (host(PTRACE_POKEDATA, held, at, (void *)word))
            break;
        done += part;
    }
    return done ? (int64_t)done : -EFAULT;
}

static int64_t go_on(struct task *target, int mode, uint64_t sig)
{
    if (sig > (uint64_t)SIGRTMAX)
        return -EIO;
    tracee_resume(target, mode, (int)sig);
    return 0;
}

static int64_t at_stop(struct task *t, struct task *target, long request, uint64_t addr, uint64_t data)
{
    struct tracing *tr = target->tracing;
    switch (request) {
    case PTRACE_PEEKTEXT:
    case PTRACE_PEEKDATA:
        return is_memory_shown(target) ? peek(t, target, request, addr, data) : -EIO;
    case PTRACE_POKETEXT:
    case PTRACE_POKEDATA:
        return is_memory_shown(target) ? host(request, target, addr, (void *)data) : -EIO;
    case PTRACE_PEEKUSER:
        return peek(t, target, request, addr, data);
    case PTRACE_POKEUSER:
        return host(request, target, addr, (void *)data);
    case PTRACE_GETREGS:
        return get(t, target, request, 0, data, sizeof(struct user_regs_struct));
    case PTRACE_SETREGS:
        return set(t, target, request, 0, data, sizeof(struct user_regs_struct));
    case PTRACE_GETFPREGS:
        return get(t, target, request, 0, data, sizeof(struct user_fpregs_struct));
    case PTRACE_SETFPREGS:
        return set(t, target, request, 0, data, sizeof(struct user_fpregs_struct));
    case PTRACE_GETREGSET:
    case PTRACE_SETREGSET:
        return regset(t, target, request, addr, data);
    case ARCH_PRCTL: /* PTRACE_ARCH_PRCTL: data is the operation; setting takes the value itself */
        return data == 0x1003 || data == 0x1004 ? peek(t, target, ARCH_PRCTL, data, addr) : host(request, target, addr, (void *)data);
    case PTRACE_GETSIGMASK:
    case PTRACE_SETSIGMASK:
        if (addr != WORD)
            return -EINVAL;
        return request == PTRACE_GETSIGMASK ? get(t, target, request, addr, data, WORD) : set(t, target, request, addr, data, WORD);
    case PTRACE_GETSIGINFO:
        return get_siginfo(t, target, data);
    case PTRACE_SETSIGINFO:
        return tr->kind == STOP_DELIVERY ? set(t, target, request, 0, data, sizeof(siginfo_t)) : -EINVAL;
    case PTRACE_PEEKSIGINFO:
        return peek_siginfo(t, target, addr, data);
    case PTRACE_GETEVENTMSG:
        return um_write(t, data, &tr->message, WORD) < 0 ? -EFAULT : 0;
    case PTRACE_GET_SYSCALL_INFO:
        return get_syscall_info(t, target, addr, data);
    case PTRACE_SETOPTIONS:
        if (data & ~(uint64_t)OPTIONS_KNOWN)
            return -EINVAL;
        tr->options = (uint32_t)data;
        tracee_tell_options(target);
        return 0;
    case PTRACE_CONT:
    case PTRACE_SYSCALL:
    case PTRACE_SINGLESTEP:
        return go_on(target, (int)request, data);
    case PTRACE_DETACH:
        if (data > (uint64_t)SIGRTMAX)
            return -EIO;
        tracee_detach(target, (int)data);
        return 0;
    case PTRACE_LISTEN:
        if (!tr->is_seized || tr->status >> 16 != PTRACE_EVENT_STOP)
            return -EIO;
        tracee_listen(target);
        return 0;
    }
    return -EIO;
}

static int64_t serve(struct task *t, long request, int32_t pid, uint64_t addr, uint64_t data)
{
    switch (request) {
    case PTRACE_TRACEME:
        return wish(t);
    case PTRACE_ATTACH:
        return attach(t, pid, false, 0, 0);
    case PTRACE_SEIZE:
        return attach(t, pid, true, addr, data);
    }
    struct task *target = task_find_ns(pid);
    if (!target || !target->tracing || target->tracing->tracer != t->group)
        return -ESRCH;
    if (request == PTRACE_KILL) {
        kill(target->group->tgid, SIGKILL);
        return 0;
    }
    if (request == PTRACE_INTERRUPT)
        return target->tracing->is_seized ? tracee_interrupt(target) : -EIO;
    return target->tracing->is_held ? at_stop(t, target, request, addr, data) : -ESRCH;
}

void tracer_call(struct task *t, struct user_regs_struct *regs)
{
    int64_t result = -EPERM;
    if (platform == &seccomp_platform) /* the other one's traps are stops, in which the sentry is at work itself */
        result = serve(t, (long)regs->rdi, (int32_t)regs->rsi, regs->rdx, regs->r10);
    regs->orig_rax = (unsigned long long)-1;
    regs->rax = (unsigned long long)result;
    task_set_regs(t, regs);
    task_resume(t, PTRACE_CONT, 0);
}
