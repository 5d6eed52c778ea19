/* sched: policies, priorities and processors of tasks: set, read, inherited, refused. */
#include "guest.h"

#include <pthread.h>
#include <sys/resource.h>

enum { STRANGER_ID = 4321, SCHED_EXTENSIBLE = 7, FIRST_ATTR = 48, NOBODY = 0x3ffff0 };
enum { KEEP_POLICY = 8, KEEP_PARAMS = 16, CLAMP_MIN = 32, RESET_ON_FORK = 1 };

/* The kernel's struct sched_attr: its header and libc's <sched.h> do not go together. */
struct sched_attr {
    uint32_t size, sched_policy;
    uint64_t sched_flags;
    int32_t sched_nice;
    uint32_t sched_priority;
    uint64_t sched_runtime, sched_deadline, sched_period;
    uint32_t clamp_min, clamp_max;
};

static int set_policy(pid_t pid, int policy, int priority)
{
    struct sched_param wanted = {priority};
    return (int)syscall(SYS_sched_setscheduler, pid, policy, &wanted);
}

static int set_attributes(pid_t pid, struct sched_attr attributes)
{
    attributes.size = attributes.size ? attributes.size : sizeof attributes;
    return (int)syscall(SYS_sched_setattr, pid, &attributes, 0);
}

static struct sched_attr attributes_of(pid_t pid)
{
    struct sched_attr found = {.size = 0};
    REQUIRE_OK(syscall(SYS_sched_getattr, pid, &found, sizeof found, 0));
    return found;
}

static void become_unprivileged(void)
{
    if (geteuid() == 0)
        REQUIRE_OK(setresuid(STRANGER_ID, STRANGER_ID, STRANGER_ID));
}

TEST(ranges_of_priorities)
{
    static const struct {
        int policy, low, high;
    } ranges[] = {{SCHED_OTHER, 0, 0}, {SCHED_FIFO, 1, 99}, {SCHED_RR, 1, 99}, {SCHED_BATCH, 0, 0},
                  {SCHED_IDLE, 0, 0},  {SCHED_DEADLINE, 0, 0}};
    for (size_t i = 0; i < sizeof ranges / sizeof *ranges; i++) {
        CHECK_EQ(syscall(SYS_sched_get_priority_min, ranges[i].policy), ranges[i].low);
        CHECK_EQ(syscall(SYS_sched_get_priority_max, ranges[i].policy), ranges[i].high);
    }
    static const int unknown[] = {4, 8, 99, -1};
    for (int i = 0; i < 4; i++) {
        CHECK_ERRNO(syscall(SYS_sched_get_priority_min, unknown[i]), EINVAL);
        CHECK_ERRNO(syscall(SYS_sched_get_priority_max, unknown[i]), EINVAL);
    }
    long low = syscall(SYS_sched_get_priority_min, SCHED_EXTENSIBLE), high = syscall(SYS_sched_get_priority_max, SCHED_EXTENSIBLE);
    CHECK(low == high && (low == 0 || errno == EINVAL)); /* since 6.12 */
}

TEST(policies_without_privilege)
{
    static const int policies[] = {SCHED_BATCH, SCHED_OTHER, SCHED_BATCH, SCHED_IDLE};
    for (int i = 0; i < 4; i++) {
        CHECK_OK(set_policy(0, policies[i], 0));
        CHECK_EQ(syscall(SYS_sched_getscheduler, 0), policies[i]);
        CHECK_EQ(syscall(SYS_sched_getscheduler, getpid()), policies[i]);
        CHECK_EQ(attributes_of(0).sched_policy, policies[i]);
        pid_t pid = fork_child();
        if (pid == 0) {
            CHECK_EQ(syscall(SYS_sched_getscheduler, 0), policies[i]);
            guest_finish();
        }
        CHECK_CHILD(pid);
    }
}

TEST(children_start_anew_if_asked)
{
    CHECK_OK(setpriority(PRIO_PROCESS, 0, 5));
    CHECK_OK(set_policy(0, SCHED_BATCH | SCHED_RESET_ON_FORK, 0));
    CHECK_EQ(syscall(SYS_sched_getscheduler, 0), SCHED_BATCH | SCHED_RESET_ON_FORK);
    CHECK_EQ(attributes_of(0).sched_flags, RESET_ON_FORK);
    pid_t pid = fork_child();
    if (pid == 0) {
        CHECK_EQ(syscall(SYS_sched_getscheduler, 0), SCHED_BATCH); /* of these, only a negative niceness is lost */
        CHECK_EQ(attributes_of(0).sched_flags, 0);
        CHECK_EQ(attributes_of(0).sched_nice, 5);
        guest_finish();
    }
    CHECK_CHILD(pid);
}

TEST(real_time_wants_privilege)
{
    pid_t pid = fork_child();
    if (pid == 0) {
        become_unprivileged();
        CHECK_ERRNO(set_policy(0, SCHED_FIFO, 1), EPERM);
        CHECK_ERRNO(set_policy(0, SCHED_RR, 99), EPERM);
        CHECK_ERRNO(set_attributes(0, (struct sched_attr){.sched_policy = SCHED_FIFO, .sched_priority = 1}), EPERM);
        struct sched_attr deadline = {
            .sched_policy = SCHED_DEADLINE, .sched_runtime = 1000000, .sched_deadline = 10000000, .sched_period = 10000000};
        CHECK_ERRNO(set_attributes(0, deadline), EPERM);
        static const struct sched_attr senseless[] = {
            {.sched_runtime = 1000, .sched_deadline = 10000000},
            {.sched_runtime = 1000000},
            {.sched_runtime = 1000000, .sched_deadline = 10000},
            {.sched_runtime = 1000000, .sched_deadline = 10000000, .sched_period = 1000000},
            {.sched_runtime = 1000000, .sched_deadline = 1ul << 63},
            {.sched_runtime = 1000000, .sched_deadline = 10000000, .sched_priority = 1}};
        for (size_t i = 0; i < sizeof senseless / sizeof *senseless; i++) {
            deadline = senseless[i];
            deadline.sched_policy = SCHED_DEADLINE;
            CHECK_ERRNO(set_attributes(0, deadline), EINVAL);
        }
        CHECK_OK(set_attributes(0, (struct sched_attr){.sched_nice = 5}));
        CHECK_ERRNO(set_attributes(0, (struct sched_attr){.sched_nice = 4}), EPERM);
        CHECK_ERRNO(setpriority(PRIO_PROCESS, 0, 4), EACCES); /* not the same errno */
        pid_t child = fork_child();
        if (child == 0) {
            CHECK_OK(set_policy(0, SCHED_IDLE, 0));
            CHECK_OK(set_policy(0, SCHED_IDLE, 0));
            CHECK_ERRNO(set_policy(0, SCHED_OTHER, 0), EPERM); /* no way back */
            guest_finish();
        }
        CHECK_CHILD(child);
        CHECK_EQ(syscall(SYS_sched_getscheduler, 0), SCHED_OTHER);
        guest_finish();
    }
    CHECK_CHILD(pid);
}

TEST(policies_that_are_refused)
{
    CHECK_ERRNO(set_policy(0, SCHED_OTHER, 1), EINVAL);
    CHECK_ERRNO(set_policy(0, SCHED_FIFO, 0), EINVAL);
    CHECK_ERRNO(set_policy(0, SCHED_RR, 100), EINVAL);
    CHECK_ERRNO(set_policy(0, SCHED_DEADLINE, 0), EINVAL); /* without runtime and deadline */
    CHECK_ERRNO(set_policy(0, 4, 0), EINVAL);
    CHECK_ERRNO(set_policy(0, -1, 0), EINVAL);
    CHECK_ERRNO(set_policy(-1, SCHED_OTHER, 0), EINVAL);
    CHECK_ERRNO(syscall(SYS_sched_setscheduler, 0, SCHED_OTHER, NULL), EINVAL);
    CHECK_ERRNO(syscall(SYS_sched_setscheduler, 0, SCHED_OTHER, bad_address), EFAULT);
    CHECK(set_policy(0, SCHED_EXTENSIBLE, 0) == 0 || errno == EINVAL); /* since 6.12: as SCHED_OTHER while nobody extends */
}

TEST(parameters)
{
    struct sched_param *found = guarded(sizeof *found), wanted = {0};
    CHECK_OK(syscall(SYS_sched_getparam, 0, found));
    CHECK_EQ(found->sched_priority, 0);
    CHECK_OK(syscall(SYS_sched_setparam, 0, &wanted));
    CHECK_OK(syscall(SYS_sched_setparam, getpid(), &wanted));
    wanted.sched_priority = 1;
    CHECK_ERRNO(syscall(SYS_sched_setparam, 0, &wanted), EINVAL);
    static const long calls[] = {SYS_sched_getparam, SYS_sched_setparam};
    for (int i = 0; i < 2; i++) {
        CHECK_ERRNO(syscall(calls[i], 0, NULL), EINVAL);
        CHECK_ERRNO(syscall(calls[i], -1, found), EINVAL);
        CHECK_ERRNO(syscall(calls[i], 0, bad_address), EFAULT);
        found->sched_priority = 0;
        CHECK_ERRNO(syscall(calls[i], NOBODY, found), ESRCH);
    }
    CHECK_ERRNO(syscall(SYS_sched_getscheduler, -1), EINVAL);
    CHECK_ERRNO(syscall(SYS_sched_getscheduler, NOBODY), ESRCH);
}

TEST(attributes_of_a_task)
{
    CHECK_OK(set_attributes(0, (struct sched_attr){.sched_policy = SCHED_BATCH, .sched_nice = 7}));
    struct sched_attr found = attributes_of(0);
    CHECK_EQ(found.sched_policy, SCHED_BATCH);
    CHECK_EQ(found.sched_nice, 7);
    CHECK_EQ(getpriority(PRIO_PROCESS, 0), 7);
    CHECK_OK(set_attributes(0, (struct sched_attr){.sched_flags = KEEP_POLICY, .sched_nice = 8}));
    CHECK_EQ(attributes_of(0).sched_policy, SCHED_BATCH);
    CHECK_EQ(attributes_of(0).sched_nice, 8);
    CHECK_OK(set_attributes(0, (struct sched_attr){.size = FIRST_ATTR, .sched_policy = SCHED_BATCH, .sched_nice = 9}));
    CHECK_EQ(attributes_of(0).sched_nice, 9);
    CHECK_OK(set_attributes(getpid(), (struct sched_attr){.sched_flags = KEEP_POLICY | KEEP_PARAMS}));
    CHECK_EQ(attributes_of(0).sched_nice, 9);
    CHECK_OK(set_attributes(0, (struct sched_attr){.sched_policy = SCHED_OTHER, .sched_nice = 99})); /* clamped */
    CHECK_EQ(attributes_of(0).sched_nice, 19);
}

TEST(attributes_that_are_refused)
{
    struct sched_attr plain = {.size = sizeof plain};
    CHECK_ERRNO(syscall(SYS_sched_setattr, 0, &plain, 1), EINVAL);
    CHECK_ERRNO(syscall(SYS_sched_setattr, -1, &plain, 0), EINVAL);
    CHECK_ERRNO(syscall(SYS_sched_setattr, 0, NULL, 0), EINVAL);
    CHECK_ERRNO(syscall(SYS_sched_setattr, 0, bad_address, 0), EFAULT);
    CHECK_ERRNO(syscall(SYS_sched_setattr, NOBODY, &plain, 0), ESRCH);
    CHECK_ERRNO(set_attributes(0, (struct sched_attr){.sched_policy = 4}), EINVAL);
    CHECK_ERRNO(set_attributes(0, (struct sched_attr){.sched_flags = 0x400}), EINVAL);
    CHECK_ERRNO(set_attributes(0, (struct sched_attr){.sched_priority = 1}), EINVAL);
    CHECK_ERRNO(set_attributes(0, (struct sched_attr){.size = FIRST_ATTR - 1}), E2BIG);
    struct {
        struct sched_attr known;
        char unknown[64];
    } larger = {{.size = sizeof larger}, {0}};
    CHECK_OK(syscall(SYS_sched_setattr, 0, &larger, 0)); /* zeros are what is not known yet */
    larger.unknown[63] = 1;
    CHECK_ERRNO(syscall(SYS_sched_setattr, 0, &larger, 0), E2BIG);
    CHECK_EQ(larger.known.size, sizeof larger.known); /* what is known */
    int clamped = set_attributes(0, (struct sched_attr){.sched_flags = CLAMP_MIN | KEEP_POLICY | KEEP_PARAMS});
    CHECK(clamped == 0 || errno == EOPNOTSUPP); /* without CONFIG_UCLAMP_TASK */
    struct sched_attr *found = guarded(sizeof *found);
    CHECK_OK(syscall(SYS_sched_getattr, 0, found, sizeof *found, 0));
    CHECK_OK(syscall(SYS_sched_getattr, 0, found, FIRST_ATTR, 0));
    CHECK_EQ(found->size, FIRST_ATTR);
    CHECK_ERRNO(syscall(SYS_sched_getattr, 0, found, FIRST_ATTR - 1, 0), EINVAL);
    CHECK_ERRNO(syscall(SYS_sched_getattr, 0, found, 4097, 0), EINVAL);
    CHECK_ERRNO(syscall(SYS_sched_getattr, 0, found, FIRST_ATTR, 1), EINVAL);
    CHECK_ERRNO(syscall(SYS_sched_getattr, 0, NULL, FIRST_ATTR, 0), EINVAL);
    CHECK_ERRNO(syscall(SYS_sched_getattr, -1, found, FIRST_ATTR, 0), EINVAL);
    CHECK_ERRNO(syscall(SYS_sched_getattr, NOBODY, found, FIRST_ATTR, 0), ESRCH);
    CHECK_ERRNO(syscall(SYS_sched_getattr, 0, bad_address, FIRST_ATTR, 0), EFAULT);
}

TEST(intervals)
{
    struct timespec *slice = guarded(sizeof *slice);
    CHECK_OK(syscall(SYS_sched_rr_get_interval, 0, slice));
    CHECK(slice->tv_sec == 0 && slice->tv_nsec >= 0);
    CHECK_ERRNO(syscall(SYS_sched_rr_get_interval, -1, slice), EINVAL);
    CHECK_ERRNO(syscall(SYS_sched_rr_get_interval, NOBODY, slice), ESRCH);
    CHECK_ERRNO(syscall(SYS_sched_rr_get_interval, 0, bad_address), EFAULT);
}

/* ---- processors ---------------------------------------------------------------------------------------------------- */

struct other_thread {
    pid_t tid;
    int started[2], ends[2];
};

static void *wait_for_close(void *argument)
{
    struct other_thread *own = argument;
    char byte;
    own->tid = gettid();
    CHECK_EQ(write(own->started[1], "s", 1), 1);
    CHECK_EQ(read(own->ends[0], &byte, 1), 0);
    return NULL;
}

TEST(another_thread_is_pinned)
{
    struct other_thread other = {0};
    pthread_t thread;
    char byte;
    REQUIRE_OK(pipe(other.started));
    REQUIRE_OK(pipe(other.ends));
    REQUIRE(pthread_create(&thread, NULL, wait_for_close, &other) == 0);
    REQUIRE(read(other.started[0], &byte, 1) == 1);
    cpu_set_t all, one, found;
    REQUIRE_OK(sched_getaffinity(other.tid, sizeof all, &all));
    CPU_ZERO(&one);
    for (int cpu = 0; cpu < CPU_SETSIZE && !CPU_COUNT(&one); cpu++)
        if (CPU_ISSET(cpu, &all))
            CPU_SET(cpu, &one);
    CHECK_OK(sched_setaffinity(other.tid, sizeof one, &one));
    CHECK_OK(sched_getaffinity(other.tid, sizeof found, &found));
    CHECK(CPU_EQUAL(&one, &found));
    CHECK_OK(sched_getaffinity(0, sizeof found, &found));
    CHECK(CPU_EQUAL(&all, &found)); /* its alone */
    CHECK_OK(set_policy(other.tid, SCHED_BATCH, 0));
    CHECK_EQ(syscall(SYS_sched_getscheduler, other.tid), SCHED_BATCH);
    CHECK_EQ(syscall(SYS_sched_getscheduler, 0), SCHED_OTHER);
    close(other.ends[1]);
    REQUIRE(pthread_join(thread, NULL) == 0);
}

TEST(pinned_to_one_processor)
{
    cpu_set_t all, one, found;
    REQUIRE_OK(sched_getaffinity(0, sizeof all, &all));
    for (int cpu = 0; cpu < CPU_SETSIZE; cpu++) {
        if (!CPU_ISSET(cpu, &all))
            continue;
        CPU_ZERO(&one);
        CPU_SET(cpu, &one);
        CHECK_OK(sched_setaffinity(cpu % 2 ? 0 : getpid(), sizeof one, &one));
        CHECK_EQ(sched_getcpu(), cpu);
        CHECK_OK(sched_getaffinity(0, sizeof found, &found));
        CHECK(CPU_EQUAL(&one, &found));
        pid_t pid = fork_child();
        if (pid == 0) {
            CHECK_EQ(sched_getcpu(), cpu);
            guest_finish();
        }
        CHECK_CHILD(pid);
    }
}

TEST(masks_that_are_refused)
{
    unsigned long mask[128] = {0};
    CHECK_ERRNO(syscall(SYS_sched_setaffinity, 0, sizeof mask, mask), EINVAL);
    CHECK_ERRNO(syscall(SYS_sched_setaffinity, 0, 0, mask), EINVAL);
    mask[127] = 1ul << 63; /* no such processor */
    CHECK_ERRNO(syscall(SYS_sched_setaffinity, 0, sizeof mask, mask), EINVAL);
    CHECK_ERRNO(syscall(SYS_sched_setaffinity, 0, sizeof mask, bad_address), EFAULT);
    CHECK_ERRNO(syscall(SYS_sched_setaffinity, NOBODY, sizeof mask, mask), ESRCH);
    CHECK_ERRNO(syscall(SYS_sched_getaffinity, 0, 7, mask), EINVAL); /* whole words */
    CHECK_ERRNO(syscall(SYS_sched_getaffinity, 0, 0, mask), EINVAL);
    CHECK_ERRNO(syscall(SYS_sched_getaffinity, 0, sizeof mask, bad_address), EFAULT);
    CHECK_ERRNO(syscall(SYS_sched_getaffinity, NOBODY, sizeof mask, mask), ESRCH);
    long bytes = syscall(SYS_sched_getaffinity, 0, sizeof mask, mask);
    CHECK(bytes >= 8 && bytes % 8 == 0);
    CHECK_EQ(syscall(SYS_sched_yield), 0);
}
