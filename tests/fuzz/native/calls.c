/* calls.c - random system calls, as a program could make them, to the fast paths and the vfs behind them, with a gofer that may
 * lie.
 *
 * Memory is freed once, used while it lives, and all of it is let go of at the end; so are descriptors and names. What a call
 * answers is a number of bytes, a descriptor, an errno, or one of the engine's words.
 *
 * Input: steps, a number (16 bits) each: the call of that number, or the next that has a fast path, with its arguments; with the
 * highest bit, what else happens in the life of a sandbox.
 */
#define _GNU_SOURCE
#include "sandbox.h"

#include "engine/engine.h"

#include <limits.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#define STEPS_MAX 96

/* ---- what is in memory --------------------------------------------------------------------------*/

static const char *const strings[] = {
    "a", "b", "dir", "dir/c", "dir/sub", "dir/sub/d", "new", "dir/new", "new/x", "link/c", "dir/root", "dir/e", "loop", "up", "fifo",
    "empty", ".", "..", "/", "", "dir/..", "dir/", "a/", "none/x", "dir/sub/deep", "dir/sub/deep/7", "dir/a2",
    "tmp", "tmp/f", "tmp/d", "tmp/d/f", "tmp/l", "tmp/d/../f", "/tmp/d/d",
    "bind", "bind/a", "bind/dir", "bind/dir/c", "bind/dir/a2", "bind/link/c", "bind/dir/sub/d", "bind/none", "bind/dir/sub", "bind/up",
    "live", "live/a", "live/dir", "live/dir/c", "live/dir/sub/d", "live/dir/sub", "live/dir/sub/deep", "live/dir/sub/deep/f",
    "live/dir/sub/deep/../d", "live/none/x", "live/dir/e", "./live//dir/./sub", "\xff\n",
    "live/dir/new", "live/empty", "live/empty/f", "live/empty/../dir", "live/b", "bind/b",
};
enum { N_STRINGS = sizeof strings / sizeof *strings };
static uint64_t string_at[N_STRINGS];

/* What arguments point to, from READ_ONLY_SIZE on. */
struct scratch {
    struct iovec vectors[8];
    struct msghdr messages[2];
    struct pollfd polled[16];
    uint64_t sets[3][2];
    struct timespec times[4];
    struct epoll_event events[4];
    uint64_t mask, mask_argument[2];
    int64_t offset;
    int32_t length;
    unsigned char buffer[16384];
};
enum {
    AT_SCRATCH = ARENA + READ_ONLY_SIZE,
#define AT(name, member) AT_##name = AT_SCRATCH + (int)offsetof(struct scratch, member)
    AT(VECTORS, vectors), AT(MESSAGES, messages), AT(POLLED, polled), AT(SETS, sets), AT(TIMES, times), AT(EVENTS, events),
    AT(MASK, mask), AT(MASK_ARGUMENT, mask_argument), AT(OFFSET, offset), AT(LENGTH, length), AT(BUFFER, buffer),
};
static unsigned char first_arena[ARENA_SIZE];

static void *address(uint64_t at)
{
    return (void *)at; /* NOLINT: of the workload */
}

static void fill_arena(void)
{
    struct scratch s = {.mask = 1, .mask_argument = {AT_MASK, 8}, .length = 16};
    char *at = (char *)first_arena;
    for (int n = 0; n < N_STRINGS; n++) {
        string_at[n] = ARENA + (uint64_t)(at - (char *)first_arena);
        at = stpcpy(at, strings[n]) + 1;
    }
    MUST(at < (char *)first_arena + READ_ONLY_SIZE && sizeof s <= ARENA_SIZE - READ_ONLY_SIZE);
    static const uint32_t lengths[] = {16, 0, 5000, 1, 4096, 70000, 3, UINT_MAX};
    for (unsigned n = 0; n < 8; n++)
        s.vectors[n] = (struct iovec){address(n == 3 ? ARENA_END - 1 : AT_BUFFER + n * 512), lengths[n]};
    s.messages[0] = (struct msghdr){.msg_iov = address(AT_VECTORS), .msg_iovlen = 2};
    s.messages[1] = (struct msghdr){.msg_iov = address(AT_VECTORS + 32), .msg_iovlen = 64};
    for (int n = 0; n < 16; n++)
        s.polled[n] = (struct pollfd){.fd = n - 1, .events = (short)(n % 3 ? POLLIN | POLLOUT : POLLPRI)};
    for (int n = 0; n < 3; n++)
        s.sets[n][0] = 0x7full << n;
    s.times[1].tv_nsec = 1;
    s.times[2].tv_nsec = UTIME_NOW;
    s.times[3].tv_sec = -1;
    for (unsigned n = 0; n < 4; n++)
        s.events[n] = (struct epoll_event){.events = n ? EPOLLIN | EPOLLET : EPOLLIN | EPOLLOUT, .data.u64 = n};
    memset(s.buffer, 'x', 64);
    memcpy(first_arena + READ_ONLY_SIZE, &s, sizeof s);
}

/* ---- calls, as the rows of syscall_tables/ describe them ----------------------------------------*/

enum kind { NUMBER, FD, DIRFD, PATH, FLAGS, MEMORY };

struct argument {
    enum kind kind;
    uint32_t n_choices, n_bits; /* FLAGS: one of the first values, any of those behind them */
    const uint64_t *values;
    uint64_t at, step; /* MEMORY */
};

struct call {
    const char *name;
    int64_t (*function)(struct task *, struct trap *);
    int32_t nr;
    uint32_t n_args;
    struct argument args[6];
};

#define PYSENTRY_FAST(nr, name) int64_t fast_##name(struct task *, struct trap *);
#include "generated/syscall_table.h"
#include "call_table.h" /* calls[]: written by tests/fuzz/native_targets.py */
enum { N_CALLS = sizeof calls / sizeof *calls };

static uint64_t raw(struct input *in)
{
    uint64_t value = 0;
    take_bytes(in, &value, sizeof value);
    return value;
}

static uint64_t number(struct input *in)
{
    static const uint64_t some[] = {0, 1, 2, 3, 7, 8, 16, 64, 511, 0644, 01777, 4096, 4097, 65536, 1 << 20, 1000, ~0ull, INT_MAX, INT64_MAX,
                                    1ull << 63, 1ull << 32, 0x7ffff000, 02755, 06755};
    enum { N_SOME = sizeof some / sizeof *some };
    uint32_t byte = take_byte(in);
    return byte < N_SOME ? some[byte] : byte == 0xff ? raw(in) : byte - N_SOME;
}

static uint64_t memory(struct input *in, const struct argument *argument)
{
    uint32_t byte = take_byte(in);
    if (byte < 0xc0)
        return argument->at + byte % 8 * argument->step;
    if (byte < 0xe0)
        return AT_SCRATCH + (byte - 0xc0) * 64;
    if (byte < 0xf0)
        return ARENA_END - (byte - 0xe0);
    return byte == 0xff ? raw(in) : byte == 0xfe ? ARENA : 0;
}

static uint64_t flags(struct input *in, const struct argument *argument)
{
    uint32_t byte = take_byte(in);
    uint64_t value = 0;
    if (byte == 0xff)
        return raw(in);
    if (argument->n_choices)
        value = argument->values[(byte >> 2) % argument->n_choices];
    for (uint32_t n = byte & 3; n && argument->n_bits; n--)
        value |= argument->values[argument->n_choices + take_byte(in) % argument->n_bits];
    return value;
}

static uint64_t choose(struct input *in, const struct argument *argument)
{
    uint32_t byte;
    switch (argument->kind) {
    case DIRFD:
        byte = take_byte(in);
        return byte & 1 ? (byte >> 1) % 24 : (uint64_t)AT_FDCWD;
    case FD:
        byte = take_byte(in);
        return byte == 0xff ? raw(in) : byte % 24;
    case PATH:
        byte = take_byte(in);
        return byte < 0xf0 ? string_at[byte % 80 % N_STRINGS] : byte < 0xf8 ? ARENA_END - 16 : AT_BUFFER;
    case FLAGS:
        return flags(in, argument);
    case MEMORY:
        return memory(in, argument);
    default:
        return number(in);
    }
}

static const struct call *made; /* for the reader of a crash */

static void check_result(int64_t result)
{
    if (getenv("FUZZ_TELL"))
        fprintf(stderr, "%s: %ld\n", made->name, (long)result);
    MUST(result >= -4095 || result == SENTRY_PUNT || result == SENTRY_PARKED || result == SENTRY_CONTINUE);
}

static void make_call(struct task *t, struct input *in, const struct call *call)
{
    t->trap = (struct trap){.nr = call->nr};
    made = call;
    for (uint32_t n = 0; n < call->n_args; n++)
        t->trap.args[n] = choose(in, &call->args[n]);
    int64_t result = call->function(t, &t->trap);
    check_result(result);
    t->state = result == SENTRY_PARKED ? TASK_PARKED : TASK_RUNNING;
    t->has_wait_mask = 0;
}

static const struct call *call_of(int32_t nr)
{
    unsigned n = 0;
    while (n < N_CALLS && calls[n].nr < nr)
        n++;
    return &calls[n % N_CALLS];
}

static void retry(struct task *t)
{
    made = call_of(t->trap.nr);
    t->trap.retried++;
    int64_t result = made->function(t, &t->trap);
    check_result(result);
    t->state = result == SENTRY_PARKED ? TASK_PARKED : TASK_RUNNING;
}

/* ---- one input ----------------------------------------------------------------------------------*/

static void step(struct input *in)
{
    uint32_t what = take_number(in), which, where;
    struct task *t = tasks[0]->state == TASK_PARKED ? tasks[1] : tasks[0];
    if (!(what & 0x8000)) {
        if (t->state != TASK_PARKED)
            make_call(t, in, call_of(what & 0x1ff));
        return;
    }
    switch (what % 8) {
    case 0: case 1: case 2: /* the gofer lies, later */
        which = take_byte(in);
        where = take_number(in);
        lying_gofer_lie(which % N_LIES, which / N_LIES % 4, where, take_byte(in));
        break;
    case 3: /* the program writes */
        where = take_number(in) % (ARENA_SIZE - READ_ONLY_SIZE - 16);
        which = take_byte(in) % 16;
        take_bytes(in, arena + READ_ONLY_SIZE + where, which);
        break;
    case 4: /* time passes */
        sandbox_clock_ns += SANDBOX_LEASE_NS / 4 * (1 + take_byte(in));
        break;
    case 5:
        sandbox_become(take_byte(in) % 2 * 1000);
        break;
    case 6: /* something may have happened to what it waits for, or a signal ends the wait */
        for (int n = 0; n < N_TASKS; n++)
            if (tasks[n]->state == TASK_PARKED) {
                if (take_byte(in) % 2)
                    retry(tasks[n]);
                else
                    tasks[n]->state = TASK_RUNNING;
            }
        break;
    default: /* the cache is full */
        where = dcache_limit;
        dcache_limit = take_byte(in) % 16;
        dcache_trim();
        dcache_limit = where;
    }
}

static void run(const uint8_t *data, size_t size)
{
    struct input in = {data, data + size};
    sandbox_make();
    memcpy(arena, first_arena, sizeof arena);
    for (int n = 0; n < STEPS_MAX && in.at < in.end && !lying_gofer_is_over(); n++) {
        step(&in);
        files_bury();
    }
    sandbox_end();
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void)argc, (void)argv;
    fill_arena();
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    int before = open_descriptors();
    run(data, size);
    int after = open_descriptors();
    if (after > before) { /* what is opened once and kept is opened by now */
        run(data, size);
        MUST(open_descriptors() == after);
    }
    return 0;
}
