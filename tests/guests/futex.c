/* futex: words that threads and processes wait on: every operation, its errnos, and the newer calls. */
#include "guest.h"

#include <linux/futex.h>
#include <sys/time.h>

enum { NR_WAITV = 449, NR_WAKE = 454, NR_WAIT = 455, NR_REQUEUE = 456 };
enum { U32 = 2, NUMA = 4, PRIVATE = 128, LAST_CLOCK = 11 };

struct waiter {
    uint64_t value, address;
    uint32_t flags, reserved;
};

static uint32_t *words; /* shared with the children */

static void share_words(void)
{
    words = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    REQUIRE(words != MAP_FAILED);
}

static long futex(uint32_t *word, int operation, uint32_t value, const void *timeout, uint32_t *other, uint32_t third)
{
    return syscall(SYS_futex, word, operation, value, timeout, other, third);
}

/* A child that waits on a word for these bits, seen asleep; it ends with 0 once woken. */
static pid_t sleeper(uint32_t *word, uint32_t bits)
{
    pid_t pid = fork_child();
    if (pid == 0) {
        CHECK_OK(futex(word, FUTEX_WAIT_BITSET, 0, NULL, NULL, bits));
        guest_finish();
    }
    wait_for_state(pid, 'S');
    return pid;
}

static void woken(const pid_t *pids, int count)
{
    for (int i = 0; i < count; i++)
        CHECK_CHILD(pids[i]);
}

TEST(as_many_wake_as_are_asked_for)
{
    share_words();
    pid_t pids[3] = {sleeper(words, 1), sleeper(words, 1), sleeper(words, 2)};
    CHECK_EQ(futex(words, FUTEX_WAKE_BITSET, 9, NULL, NULL, 4), 0);
    CHECK_EQ(futex(words, FUTEX_WAKE_BITSET, 9, NULL, NULL, 2), 1);
    CHECK_EQ(futex(words, FUTEX_WAKE, 1, NULL, NULL, 0), 1);
    CHECK_EQ(futex(words, FUTEX_WAKE, INT32_MAX, NULL, NULL, 0), 1);
    CHECK_EQ(futex(words, FUTEX_WAKE, 1, NULL, NULL, 0), 0);
    woken(pids, 3);
}

TEST(waiters_move_to_another_word)
{
    share_words();
    pid_t pids[4];
    for (int i = 0; i < 4; i++)
        pids[i] = sleeper(words, 1);
    CHECK_ERRNO(futex(words, FUTEX_CMP_REQUEUE, 1, (void *)1, words + 1, 7), EAGAIN);
    CHECK_EQ(futex(words, FUTEX_CMP_REQUEUE, 1, (void *)1, words + 1, 0), 2); /* one wakes, one moves */
    CHECK_EQ(futex(words, FUTEX_REQUEUE, 0, (void *)9, words + 1, 0), 2);     /* it counts both kinds */
    CHECK_EQ(futex(words, FUTEX_WAKE, 9, NULL, NULL, 0), 0);
    CHECK_EQ(futex(words + 1, FUTEX_WAKE, 9, NULL, NULL, 0), 3);
    woken(pids, 4);
    CHECK_ERRNO(futex(words, FUTEX_REQUEUE, (uint32_t)-1, NULL, words + 1, 0), EINVAL);
    CHECK_ERRNO(futex(words, FUTEX_CMP_REQUEUE, 1, (void *)-1, words + 1, 0), EINVAL);
}

TEST(an_operation_on_a_second_word_wakes)
{
    share_words();
    pid_t pids[2] = {sleeper(words, 1), sleeper(words + 1, 1)};
    words[1] = 5;
    /* words[1] += 2; wakes there if it was 5 */
    uint32_t add = FUTEX_OP(FUTEX_OP_ADD, 2, FUTEX_OP_CMP_EQ, 5);
    CHECK_EQ(futex(words, FUTEX_WAKE_OP, 1, (void *)1, words + 1, add), 2);
    CHECK_EQ(words[1], 7);
    CHECK_EQ(futex(words, FUTEX_WAKE_OP, 1, (void *)1, words + 1, add), 0);
    CHECK_EQ(words[1], 9);
    CHECK_ERRNO(futex(words, FUTEX_WAKE_OP, 1, (void *)1, words + 1, 15u << 28 | 15u << 24), ENOSYS);
    woken(pids, 2);
}

TEST(words_that_cannot_be_waited_on)
{
    share_words();
    char *none = mmap(NULL, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    uint32_t *odd = (uint32_t *)((char *)words + 1), *nowhere = (uint32_t *)((uintptr_t)bad_address & ~3ul);
    struct timespec bad = {0, 1000000000}, negative = {-1, 0}, moment = {0, 1};
    static const int operations[] = {FUTEX_WAIT, FUTEX_WAKE, FUTEX_WAIT_BITSET, FUTEX_WAKE_BITSET};
    for (int i = 0; i < 4; i++) {
        CHECK_ERRNO(futex(odd, operations[i], 0, NULL, NULL, 1), EINVAL);
        CHECK_ERRNO(futex(odd, operations[i] | FUTEX_PRIVATE_FLAG, 0, NULL, NULL, 1), EINVAL);
        CHECK_ERRNO(futex((uint32_t *)none, operations[i], 0, NULL, NULL, 1), EFAULT);
        CHECK_ERRNO(futex(nowhere, operations[i], 0, NULL, NULL, 1), EFAULT);
    }
    static const int waits[] = {FUTEX_WAIT, FUTEX_WAIT_BITSET};
    for (int i = 0; i < 2; i++) {
        CHECK_ERRNO(futex(words, waits[i], 1, NULL, NULL, 1), EAGAIN);
        CHECK_ERRNO(futex(words, waits[i], 0, &moment, NULL, 1), ETIMEDOUT);
        CHECK_ERRNO(futex(words, waits[i], 0, &bad, NULL, 1), EINVAL);
        CHECK_ERRNO(futex(words, waits[i], 0, &negative, NULL, 1), EINVAL);
        CHECK_ERRNO(futex(words, waits[i], 0, bad_address, NULL, 1), EFAULT);
    }
    CHECK_ERRNO(futex(words, FUTEX_WAIT_BITSET | FUTEX_CLOCK_REALTIME, 0, &moment, NULL, 1), ETIMEDOUT);
    CHECK_ERRNO(futex(words, FUTEX_WAIT_BITSET, 0, NULL, NULL, 0), EINVAL);
    CHECK_ERRNO(futex(words, FUTEX_WAKE_BITSET, 0, NULL, NULL, 0), EINVAL);
    CHECK_ERRNO(futex(words, FUTEX_WAKE | FUTEX_CLOCK_REALTIME, 1, NULL, NULL, 0), ENOSYS);
    CHECK_ERRNO(futex(words, FUTEX_FD, 0, NULL, NULL, 0), ENOSYS);
    CHECK_ERRNO(futex(words, 99, 0, NULL, NULL, 0), ENOSYS);
}

TEST(locks_that_lend_priority_or_none_of_them)
{
    share_words();
    uint32_t *lock = words + 2;
    struct timespec moment = {0, 1};
    if (futex(lock, FUTEX_TRYLOCK_PI, 0, NULL, NULL, 0) == -1) {
        CHECK_EQ(errno, ENOSYS); /* as without CONFIG_FUTEX_PI */
        static const int operations[] = {FUTEX_LOCK_PI,        FUTEX_UNLOCK_PI,       FUTEX_TRYLOCK_PI,
                                         FUTEX_WAIT_REQUEUE_PI, FUTEX_CMP_REQUEUE_PI, FUTEX_LOCK_PI2};
        for (int i = 0; i < 6; i++)
            CHECK_ERRNO(futex(lock, operations[i], 1, &moment, words + 3, 0), ENOSYS);
        CHECK_EQ(*lock, 0);
        return;
    }
    CHECK_EQ(*lock, gettid());
    CHECK_ERRNO(futex(lock, FUTEX_LOCK_PI, 0, NULL, NULL, 0), EDEADLK);
    CHECK_ERRNO(futex(lock, FUTEX_TRYLOCK_PI, 0, NULL, NULL, 0), EDEADLK);
    CHECK_ERRNO(futex(lock, FUTEX_LOCK_PI2, 0, NULL, NULL, 0), EDEADLK);
    CHECK_OK(futex(lock, FUTEX_UNLOCK_PI, 0, NULL, NULL, 0));
    CHECK_EQ(*lock, 0);
    CHECK_ERRNO(futex(lock, FUTEX_UNLOCK_PI, 0, NULL, NULL, 0), EPERM);
    *lock = 0x3ffff0;
    CHECK_ERRNO(futex(lock, FUTEX_LOCK_PI, 0, NULL, NULL, 0), ESRCH);
    *lock = 0;
    CHECK_ERRNO(futex(words, FUTEX_WAIT_REQUEUE_PI, 0, &moment, lock, 0), ETIMEDOUT);
    CHECK_ERRNO(futex(words, FUTEX_WAIT_REQUEUE_PI, 0, &moment, words, 0), EINVAL);
    CHECK_EQ(futex(words, FUTEX_CMP_REQUEUE_PI, 1, NULL, lock, 0), 0);
    CHECK_ERRNO(futex(words, FUTEX_CMP_REQUEUE_PI, 2, NULL, lock, 0), EINVAL);
}

/* ---- several words at once (5.16), and the calls of 6.7 -------------------------------------------------------- */

static void check_clocks(long nr, struct waiter *one)
{
    static const struct timespec long_ago = {0, 1}, bad = {0, 1000000000};
    for (long clock = 0; clock <= LAST_CLOCK; clock++) {
        long answer = nr == NR_WAITV ? syscall(nr, one, 1, 0, &long_ago, clock)
                                     : syscall(nr, words, 0L, 1L, U32, &long_ago, clock);
        bool is_known = clock == CLOCK_REALTIME || clock == CLOCK_MONOTONIC;
        if (answer != -1 || errno != (is_known ? ETIMEDOUT : EINVAL))
            GUEST_FAIL("call %ld, clock %ld: %s", nr, clock, strerrorname_np(errno));
    }
    long answer = nr == NR_WAITV ? syscall(nr, one, 1, 0, &bad, CLOCK_MONOTONIC)
                                 : syscall(nr, words, 0L, 1L, U32, &bad, CLOCK_MONOTONIC);
    CHECK(answer == -1 && errno == EINVAL);
}

TEST(one_of_several_words)
{
    share_words();
    struct waiter list[3] = {{0, (uintptr_t)words, U32, 0}, {0, (uintptr_t)(words + 1), U32, 0}, {0, 0, U32, 0}};
    if (syscall(NR_WAITV, list, 0, 0, NULL, 0) == -1 && errno == ENOSYS)
        SKIP("this kernel is older than 5.16");
    pid_t pid = fork_child();
    if (pid == 0) {
        CHECK_EQ(syscall(NR_WAITV, list, 2, 0, NULL, 0), 1); /* which one it was */
        guest_finish();
    }
    wait_for_state(pid, 'S');
    CHECK_EQ(futex(words + 1, FUTEX_WAKE, 1, NULL, NULL, 0), 1);
    CHECK_CHILD(pid);
    check_clocks(NR_WAITV, list);
    CHECK_ERRNO(syscall(NR_WAITV, list, 0, 0, NULL, 0), EINVAL);
    CHECK_ERRNO(syscall(NR_WAITV, list, 129, 0, NULL, 0), EINVAL);
    CHECK_ERRNO(syscall(NR_WAITV, list, 2, 1, NULL, 0), EINVAL);
    CHECK_ERRNO(syscall(NR_WAITV, NULL, 1, 0, NULL, 0), EINVAL);
    CHECK_ERRNO(syscall(NR_WAITV, bad_address, 1, 0, NULL, 0), EFAULT);
    CHECK_ERRNO(syscall(NR_WAITV, list, 3, 0, NULL, 0), EFAULT);
    list[1].value = 1;
    CHECK_ERRNO(syscall(NR_WAITV, list, 2, 0, NULL, 0), EAGAIN);
    list[1].flags = 0x40;
    CHECK_ERRNO(syscall(NR_WAITV, list, 2, 0, NULL, 0), EINVAL);
    list[1] = (struct waiter){0, (uintptr_t)words, U32, 1};
    CHECK_ERRNO(syscall(NR_WAITV, list, 2, 0, NULL, 0), EINVAL);
}

static void require_futex2(void)
{
    if (syscall(NR_WAKE, words, 1L, 0, U32) == -1 && errno == ENOSYS)
        SKIP("this kernel is older than 6.7");
}

TEST(wait_and_wake_by_their_own_calls)
{
    share_words();
    require_futex2();
    pid_t pid = fork_child();
    if (pid == 0) {
        CHECK_OK(syscall(NR_WAIT, words, 0L, 2L, U32, NULL, 0));
        guest_finish();
    }
    wait_for_state(pid, 'S');
    CHECK_EQ(syscall(NR_WAKE, words, 1L, 9, U32), 0);
    CHECK_EQ(syscall(NR_WAKE, words, 3L, 9, U32), 1);
    CHECK_CHILD(pid);
    check_clocks(NR_WAIT, NULL);
    CHECK_ERRNO(syscall(NR_WAIT, words, 1L, 1L, U32 | PRIVATE, NULL, 0), EAGAIN);
    CHECK_ERRNO(syscall(NR_WAIT, words, 0L, 0L, U32, NULL, 0), EINVAL);
    CHECK_ERRNO(syscall(NR_WAIT, words, 0L, 1L, 0x40, NULL, 0), EINVAL);
    CHECK_ERRNO(syscall(NR_WAIT, words, 1L << 32, 1L, U32, NULL, 0), EINVAL);
    CHECK_ERRNO(syscall(NR_WAIT, (uintptr_t)bad_address & ~3ul, 0L, 1L, U32, NULL, 0), EFAULT);
    CHECK_EQ(syscall(NR_WAKE, words, 1L, 1, U32 | PRIVATE), 0);
    CHECK_ERRNO(syscall(NR_WAKE, words, 0L, 1, U32), EINVAL);
    CHECK_ERRNO(syscall(NR_WAKE, words, 1L, 1, 0x40), EINVAL);
    CHECK_ERRNO(syscall(NR_WAKE, words, 1L << 32, 1, U32), EINVAL);
    CHECK_ERRNO(syscall(NR_WAKE, (char *)words + 1, 1L, 1, U32), EINVAL);
}

TEST(words_that_name_their_node)
{
    share_words();
    require_futex2();
    words[0] = 0;
    words[1] = (uint32_t)-1; /* none yet */
    if (syscall(NR_WAKE, words, 1L, 1, U32 | NUMA) == -1) {
        CHECK_EQ(errno, EINVAL); /* before 6.16 */
        SKIP("this kernel knows no words with nodes");
    }
    CHECK_ERRNO(syscall(NR_WAIT, words, 1L, 1L, U32 | NUMA, NULL, 0), EAGAIN);
    CHECK((int32_t)words[1] >= 0); /* the node that it was looked for on */
    words[1] = 100000;
    CHECK_ERRNO(syscall(NR_WAIT, words, 0L, 1L, U32 | NUMA, NULL, 0), EINVAL);
}

TEST(requeue_by_its_own_call)
{
    share_words();
    require_futex2();
    struct waiter pair[2] = {{0, (uintptr_t)words, U32, 0}, {0, (uintptr_t)(words + 1), U32, 0}};
    pid_t pids[3] = {sleeper(words, 1), sleeper(words, 1), sleeper(words, 1)};
    CHECK_EQ(syscall(NR_REQUEUE, pair, 0, 1, 1), 2);
    CHECK_EQ(futex(words, FUTEX_WAKE, 9, NULL, NULL, 0), 1);
    CHECK_EQ(futex(words + 1, FUTEX_WAKE, 9, NULL, NULL, 0), 1);
    woken(pids, 3);
    pair[0].value = 1;
    CHECK_ERRNO(syscall(NR_REQUEUE, pair, 0, 1, 1), EAGAIN);
    CHECK_ERRNO(syscall(NR_REQUEUE, pair, 1, 1, 1), EINVAL);
    CHECK_ERRNO(syscall(NR_REQUEUE, pair, 0, -1, 1), EINVAL);
    CHECK_ERRNO(syscall(NR_REQUEUE, NULL, 0, 1, 1), EINVAL);
    CHECK_ERRNO(syscall(NR_REQUEUE, bad_address, 0, 1, 1), EFAULT);
}
