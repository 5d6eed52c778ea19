/* robust: what the kernel does in a task's own memory: robust lists, the word cleared at an exit, restartable sequences,
 * memory barriers. */
#include "guest.h"

#include <linux/futex.h>
#include <linux/membarrier.h>
#include <linux/rseq.h>
#include <pthread.h>
#include <stddef.h>
#include <sys/time.h>

enum { SIGNATURE = 0x53053053, RSEQ_BYTES = 32, GET_REGISTRATIONS = 512 };

extern const ptrdiff_t __rseq_offset __attribute__((weak));
extern const unsigned __rseq_size __attribute__((weak));

/* ---- locks whose holder dies --------------------------------------------------------------------------------------- */

struct lock {
    struct robust_list entry;
    uint32_t word;
};

static void *take_and_end(void *argument)
{
    struct lock *lock = argument;
    static struct robust_list_head head;
    head = (struct robust_list_head){{&lock->entry}, offsetof(struct lock, word), NULL};
    lock->entry.next = &head.list;
    lock->word = (uint32_t)gettid() | FUTEX_WAITERS;
    REQUIRE_OK(syscall(SYS_set_robust_list, &head, sizeof head));
    return NULL;
}

TEST(a_thread_ends_with_a_lock)
{
    struct lock lock = {.word = 0};
    pthread_t thread;
    REQUIRE(pthread_create(&thread, NULL, take_and_end, &lock) == 0);
    REQUIRE(pthread_join(thread, NULL) == 0);
    CHECK_EQ(lock.word, (uint32_t)(FUTEX_OWNER_DIED | FUTEX_WAITERS));
}

TEST(a_process_ends_with_a_lock_that_another_waits_for)
{
    struct lock *lock = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    int ends[2];
    REQUIRE_OK(pipe(ends));
    pid_t holder = fork_child();
    if (holder == 0) {
        char byte;
        close(ends[1]);
        take_and_end(lock);
        CHECK_EQ(read(ends[0], &byte, 1), 0);
        _exit(0);
    }
    close(ends[0]);
    wait_for_state(holder, 'S');
    uint32_t held = (uint32_t)holder | FUTEX_WAITERS;
    CHECK_EQ(lock->word, held);
    pid_t waiter = fork_child();
    if (waiter == 0) {
        close(ends[1]);
        CHECK_OK(syscall(SYS_futex, &lock->word, FUTEX_WAIT, held, NULL, NULL, 0));
        guest_finish();
    }
    wait_for_state(waiter, 'S');
    close(ends[1]);
    CHECK_CHILD(holder);
    CHECK_CHILD(waiter);
    CHECK_EQ(lock->word, (uint32_t)(FUTEX_OWNER_DIED | FUTEX_WAITERS));
}

TEST(a_robust_mutex_can_be_mended)
{
    pthread_mutex_t *mutex = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    pthread_mutexattr_t kind;
    pthread_mutexattr_init(&kind);
    pthread_mutexattr_setpshared(&kind, PTHREAD_PROCESS_SHARED);
    pthread_mutexattr_setrobust(&kind, PTHREAD_MUTEX_ROBUST);
    REQUIRE(pthread_mutex_init(mutex, &kind) == 0);
    pid_t pid = fork_child();
    if (pid == 0) {
        REQUIRE(pthread_mutex_lock(mutex) == 0);
        raise(SIGKILL);
    }
    CHECK_SIGNALED(wait_status(pid), SIGKILL);
    CHECK_EQ(pthread_mutex_lock(mutex), EOWNERDEAD);
    CHECK_EQ(pthread_mutex_consistent(mutex), 0);
    CHECK_EQ(pthread_mutex_unlock(mutex), 0);
}

TEST(lists_are_set_and_read)
{
    struct robust_list_head own = {{&own.list}, 0, NULL}, *found = NULL;
    size_t length = 0;
    CHECK_OK(syscall(SYS_set_robust_list, &own, sizeof own));
    pid_t who[] = {0, getpid()};
    for (int i = 0; i < 2; i++) {
        CHECK_OK(syscall(SYS_get_robust_list, who[i], &found, &length));
        CHECK(found == &own);
        CHECK_EQ(length, sizeof own);
        CHECK_ERRNO(syscall(SYS_get_robust_list, who[i], bad_address, &length), EFAULT);
        CHECK_ERRNO(syscall(SYS_get_robust_list, who[i], &found, bad_address), EFAULT);
    }
    CHECK_ERRNO(syscall(SYS_set_robust_list, &own, sizeof own - 1), EINVAL);
    CHECK_OK(syscall(SYS_set_robust_list, bad_address, sizeof own)); /* looked at when it ends */
    pid_t pid = fork_child();
    if (pid == 0) {
        CHECK_OK(syscall(SYS_get_robust_list, 0, &found, &length));
        CHECK(found == NULL || found != bad_address); /* not inherited: libc's own, or none */
        CHECK_OK(syscall(SYS_get_robust_list, getppid(), &found, &length));
        CHECK(found == bad_address);
        guest_finish();
    }
    CHECK_CHILD(pid);
}

static void *set_address(void *word)
{
    CHECK_EQ(syscall(SYS_set_tid_address, word), gettid());
    pthread_detach(pthread_self()); /* pthread_join waits for a word that is not cleared now */
    return NULL;
}

TEST(a_word_is_cleared_when_a_thread_ends)
{
    uint32_t word = 7;
    pthread_t thread;
    REQUIRE(pthread_create(&thread, NULL, set_address, &word) == 0);
    while (__atomic_load_n(&word, __ATOMIC_SEQ_CST))
        syscall(SYS_futex, &word, FUTEX_WAIT, 7, NULL, NULL, 0); /* which the end wakes, too */
    int *address = NULL;
    CHECK_EQ(syscall(SYS_set_tid_address, &word), getpid());
    if (prctl(PR_GET_TID_ADDRESS, &address) == 0)
        CHECK(address == (int *)&word);
    else
        CHECK_EQ(errno, EINVAL); /* without CONFIG_CHECKPOINT_RESTORE */
    CHECK_EQ(syscall(SYS_set_tid_address, bad_address), getpid()); /* nobody looks before the end */
}

/* ---- restartable sequences ----------------------------------------------------------------------------------------- */

/* Of this thread, libc's taken away. */
static struct rseq *own_area(void)
{
    static struct rseq area __attribute__((aligned(32)));
    area = (struct rseq){.cpu_id = (uint32_t)RSEQ_CPU_ID_UNINITIALIZED};
    if (&__rseq_size && __rseq_size) {
        void *libcs = (char *)__builtin_thread_pointer() + __rseq_offset;
        REQUIRE_OK(syscall(SYS_rseq, libcs, RSEQ_BYTES, RSEQ_FLAG_UNREGISTER, SIGNATURE));
    }
    if (syscall(SYS_rseq, &area, RSEQ_BYTES, 0, SIGNATURE) == -1 && errno == ENOSYS)
        SKIP("a kernel without CONFIG_RSEQ");
    return &area;
}

TEST(the_kernel_writes_the_cpu)
{
    struct rseq *area = own_area();
    cpu_set_t one;
    REQUIRE_OK(sched_getaffinity(0, sizeof one, &one));
    for (int cpu = 0; cpu < CPU_SETSIZE; cpu++) {
        if (!CPU_ISSET(cpu, &one))
            continue;
        cpu_set_t only;
        CPU_ZERO(&only);
        CPU_SET(cpu, &only);
        REQUIRE_OK(sched_setaffinity(0, sizeof only, &only));
        CHECK_EQ(*(volatile uint32_t *)&area->cpu_id, cpu);
        CHECK_EQ(*(volatile uint32_t *)&area->cpu_id_start, cpu);
    }
    static struct rseq other __attribute__((aligned(32)));
    CHECK_ERRNO(syscall(SYS_rseq, area, RSEQ_BYTES, 0, SIGNATURE), EBUSY);
    CHECK_ERRNO(syscall(SYS_rseq, area, RSEQ_BYTES, 0, SIGNATURE + 1), EPERM);
    CHECK_ERRNO(syscall(SYS_rseq, &other, RSEQ_BYTES, 0, SIGNATURE), EINVAL);
    CHECK_ERRNO(syscall(SYS_rseq, area, RSEQ_BYTES, RSEQ_FLAG_UNREGISTER, SIGNATURE + 1), EPERM);
    CHECK_ERRNO(syscall(SYS_rseq, area, RSEQ_BYTES - 1, RSEQ_FLAG_UNREGISTER, SIGNATURE), EINVAL);
    CHECK_ERRNO(syscall(SYS_rseq, area, RSEQ_BYTES, 2, SIGNATURE), EINVAL);
    CHECK_OK(syscall(SYS_rseq, area, RSEQ_BYTES, RSEQ_FLAG_UNREGISTER, SIGNATURE));
    CHECK_EQ((int)area->cpu_id, RSEQ_CPU_ID_UNINITIALIZED);
    CHECK_ERRNO(syscall(SYS_rseq, area, RSEQ_BYTES, RSEQ_FLAG_UNREGISTER, SIGNATURE), EINVAL);
    CHECK_ERRNO(syscall(SYS_rseq, (char *)&other + 4, RSEQ_BYTES, 0, SIGNATURE), EINVAL);
    CHECK_ERRNO(syscall(SYS_rseq, &other, RSEQ_BYTES - 1, 0, SIGNATURE), EINVAL);
    CHECK_ERRNO(syscall(SYS_rseq, -32L, RSEQ_BYTES, 0, SIGNATURE), EFAULT);
}

static volatile sig_atomic_t alarms;

static void on_alarm(int signal_number)
{
    (void)signal_number;
    alarms++;
}

TEST(a_signal_aborts_a_sequence)
{
    struct rseq *area = own_area();
    handle_signal(SIGALRM, on_alarm, 0);
    struct itimerval soon = {{0, 1000}, {0, 1000}};
    REQUIRE_OK(setitimer(ITIMER_REAL, &soon, NULL));
    /* An endless loop that only its abort leaves. */
    __asm__ volatile(".pushsection .data.rel, \"aw\"\n"
                     ".balign 32\n"
                     "3: .long 0, 0\n"
                     ".quad 1f, 2f - 1f, 4f\n"
                     ".popsection\n"
                     "lea 3b(%%rip), %%rax\n"
                     "mov %%rax, %[sequence]\n"
                     "1: jmp 1b\n"
                     "2: ud2\n"
                     ".byte 0x0f, 0xb9, 0x3d\n" /* ud1 with the signature, as libc's */
                     ".long 0x53053053\n"
                     "4:\n"
                     : [sequence] "=m"(area->rseq_cs)
                     :
                     : "rax", "memory", "cc");
    CHECK_EQ(area->rseq_cs, 0);
}

/* ---- memory barriers ----------------------------------------------------------------------------------------------- */

static long barrier(int command, unsigned flags, int cpu)
{
    return syscall(SYS_membarrier, command, flags, cpu);
}

TEST(barriers_among_those_who_registered)
{
    long known = barrier(MEMBARRIER_CMD_QUERY, 0, 0);
    if (known == -1 && errno == ENOSYS)
        SKIP("a kernel without CONFIG_MEMBARRIER");
    static const struct {
        int command, registers;
    } pairs[] = {{MEMBARRIER_CMD_PRIVATE_EXPEDITED, MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED},
                 {MEMBARRIER_CMD_PRIVATE_EXPEDITED_SYNC_CORE, MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED_SYNC_CORE},
                 {MEMBARRIER_CMD_PRIVATE_EXPEDITED_RSEQ, MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED_RSEQ}};
    long registered = 0;
    for (int i = 0; i < 3; i++) {
        if (!(known & pairs[i].command)) {
            CHECK_ERRNO(barrier(pairs[i].command, 0, 0), EINVAL);
            CHECK_ERRNO(barrier(pairs[i].registers, 0, 0), EINVAL);
            continue;
        }
        CHECK_ERRNO(barrier(pairs[i].command, 0, 0), EPERM);
        CHECK_OK(barrier(pairs[i].registers, 0, 0));
        CHECK_OK(barrier(pairs[i].command, 0, 0));
        registered |= pairs[i].registers;
    }
    if (known & MEMBARRIER_CMD_PRIVATE_EXPEDITED_RSEQ) {
        CHECK_OK(barrier(MEMBARRIER_CMD_PRIVATE_EXPEDITED_RSEQ, MEMBARRIER_CMD_FLAG_CPU, 0));
        CHECK_ERRNO(barrier(MEMBARRIER_CMD_PRIVATE_EXPEDITED_RSEQ, 2, 0), EINVAL);
    }
    CHECK_OK(barrier(MEMBARRIER_CMD_GLOBAL_EXPEDITED, 0, 0)); /* of others: nothing is wanted of who asks */
    CHECK_OK(barrier(MEMBARRIER_CMD_REGISTER_GLOBAL_EXPEDITED, 0, 0));
    CHECK_OK(barrier(MEMBARRIER_CMD_GLOBAL_EXPEDITED, 0, 0));
    registered |= MEMBARRIER_CMD_REGISTER_GLOBAL_EXPEDITED;
    if (known & MEMBARRIER_CMD_GLOBAL) /* not on nohz_full machines */
        CHECK_OK(barrier(MEMBARRIER_CMD_GLOBAL, 0, 0));
    if (barrier(GET_REGISTRATIONS, 0, 0) == -1)
        CHECK_EQ(errno, EINVAL); /* before 6.3 */
    else
        CHECK_EQ(barrier(GET_REGISTRATIONS, 0, 0), registered);
    CHECK_ERRNO(barrier(MEMBARRIER_CMD_PRIVATE_EXPEDITED, MEMBARRIER_CMD_FLAG_CPU, 0), EINVAL);
    CHECK_ERRNO(barrier(MEMBARRIER_CMD_QUERY, 1, 0), EINVAL);
    CHECK_ERRNO(barrier(1 << 20, 0, 0), EINVAL);
}
