/* stub.c - what the host kernel executes in place of every program.
 *
 * A static binary without a library. It asks the sentry for a list of mappings, makes them, and jumps. Only
 * calls that the filter lets run on the host are in the list.
 */
#include <stdint.h>
#include "stub.h"

struct op { uint64_t kind, a[7]; };

/* The sentry writes here: the list, then the program's name for AT_EXECFN. */
static struct { struct op ops[STUB_OPS]; char name[4352]; } list __attribute__((aligned(4096)));

static int64_t call6(int64_t nr, uint64_t a, uint64_t b, uint64_t c, uint64_t d, uint64_t e, uint64_t f)
{
    register uint64_t r10 __asm__("r10") = d;
    register uint64_t r8 __asm__("r8") = e;
    register uint64_t r9 __asm__("r9") = f;
    int64_t result;
    __asm__ volatile("syscall" : "=a"(result) : "a"(nr), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
                     : "rcx", "r11", "memory");
    return result;
}

static _Noreturn void enter(uint64_t stack, uint64_t entry)
{
    __asm__ volatile("mov %0, %%rsp\n\txor %%edx, %%edx\n\txor %%ebp, %%ebp\n\tjmp *%1"
                     : : "r"(stack), "r"(entry) : "memory");
    __builtin_unreachable();
}

static void check(int64_t result)
{
    if (result < 0 && result > -4096)
        __builtin_trap(); /* past the point of no return: the program dies, as on Linux */
}

enum { NR_MMAP = 9, NR_RT_SIGACTION = 13, NR_IOCTL = 16, NR_CLONE = 56, NR_EXECVE = 59, NR_SETSID = 112,
       NR_EXIT_GROUP = 231, NR_SECCOMP = 317 };
#define SIGCHLD 17
#define TIOCSCTTY 0x540E

/* A child of the seed on its way to its program. Its descriptors and identity are the sentry's, and there already. */
static _Noreturn void born(void)
{
    static const uint64_t default_action[4];
    const uint64_t *birth = (const uint64_t *)&list;
    check(call6(STUB_CALL, (uint64_t)&list, 0, BORN_MAGIC, 0, 0, 0));
    call6(NR_RT_SIGACTION, SIGCHLD, (uint64_t)default_action, 0, 8, 0, 0); /* the seed ignores it */
    call6(NR_SETSID, 0, 0, 0, 0, 0, 0);
    uint64_t buffer = (uint64_t)call6(NR_MMAP, 0, birth[0], 3, 0x22 /* private, anonymous */, ~0ULL, 0);
    check((int64_t)buffer);
    check(call6(STUB_CALL, buffer, birth[0], FILL_MAGIC, 0, 0, 0));
    if (birth[5])
        check(call6(NR_IOCTL, 0, TIOCSCTTY, 0, 0, 0, 0));
    if (birth[4])
        check(call6(NR_SECCOMP, 1 /* SECCOMP_SET_MODE_FILTER */, 0, buffer + birth[4], 0, 0, 0));
    call6(NR_EXECVE, buffer + birth[1], buffer + birth[2], buffer + birth[3], 0, 0, 0);
    call6(NR_EXIT_GROUP, 127, 0, 0, 0, 0, 0); /* the sentry knows why */
    __builtin_unreachable();
}

static _Noreturn void seed(void)
{
    for (;;) {
        check(call6(STUB_CALL, (uint64_t)&list, 0, SEED_MAGIC, 0, 0, 0));
        if (call6(NR_CLONE, SIGCHLD, 0, 0, 0, 0, 0) == 0)
            born();
    }
}

_Noreturn void stub_main(uint64_t stack);
_Noreturn void stub_main(uint64_t stack)
{
    uint64_t base = 0;
    stack = (uint64_t)call6(STUB_CALL, (uint64_t)&list, stack, STUB_MAGIC, 0, 0, 0);
    check((int64_t)stack);
    if (stack == STUB_IS_SEED)
        seed();
    for (struct op *op = list.ops;; op++) {
        uint64_t *a = op->a;
        int64_t result = 0;
        switch (op->kind) {
        case STUB_MMAP:
            result = call6(NR_MMAP, a[0] + (a[6] ? base : 0), a[1], a[2], a[3], a[4], a[5]);
            break;
        case STUB_BASE:
            result = call6(NR_MMAP, a[0], a[1], a[2], a[3], a[4], a[5]);
            base = (uint64_t)result - a[6];
            break;
        case STUB_ZERO:
            for (volatile char *p = (volatile char *)(a[0] + (a[2] ? base : 0)), *end = p + a[1]; p < end; p++)
                *p = 0;
            break;
        case STUB_STORE:
            *(uint64_t *)a[0] = base + a[1];
            break;
        case STUB_PROTECT:
            result = call6(10, a[0] + (a[3] ? base : 0), a[1], a[2], 0, 0, 0);
            break;
        case STUB_TELL:
            call6(STUB_CALL, a[0] + (a[1] ? base : 0), stack, STUB_MAGIC, 0, 0, 0);
            break;
        default:
            enter(stack, a[0] + (a[1] ? base : 0));
        }
        check(result);
    }
}

__asm__(".globl _start\n_start:\n\tmov %rsp, %rdi\n\tand $-16, %rsp\n\tcall stub_main\n");
