/* sem: System V semaphores: values, operations on several at once, waiting, undo, removal, permissions. */
#include "guest.h"

#include <grp.h>
#include <sys/ipc.h>
#include <sys/sem.h>

union semun {
    int val;
    struct semid_ds *buf;
    unsigned short *array;
    struct seminfo *info;
};

static int new_set(int count)
{
    int id = semget(IPC_PRIVATE, count, IPC_CREAT | 0600);
    REQUIRE(id >= 0);
    return id;
}

static void remove_set(int id)
{
    CHECK_OK(semctl(id, 0, IPC_RMID));
}

static int operate(int id, int number, int change, int flags)
{
    struct sembuf operation = {(unsigned short)number, (short)change, (short)flags};
    return semop(id, &operation, 1);
}

static int value_of(int id, int number)
{
    return semctl(id, number, GETVAL);
}

static key_t some_key(void)
{
    return (key_t)(0x60000000 | (getpid() & 0xffff) << 8);
}

TEST(values)
{
    int id = new_set(3);
    unsigned short values[3] = {1, 2, 3};
    CHECK_EQ(value_of(id, 2), 0);
    CHECK_OK(semctl(id, 0, SETALL, (union semun){.array = values}));
    CHECK_EQ(value_of(id, 1), 2);
    CHECK_OK(semctl(id, 1, SETVAL, (union semun){.val = 77}));
    memset(values, 0, sizeof values);
    CHECK_OK(semctl(id, 0, GETALL, (union semun){.array = values}));
    CHECK(values[0] == 1 && values[1] == 77 && values[2] == 3);
    CHECK_ERRNO(semctl(id, 3, GETVAL), EINVAL);
    CHECK_ERRNO(semctl(id, -1, SETVAL, (union semun){.val = 1}), EINVAL);
    CHECK_ERRNO(semctl(id, 0, SETVAL, (union semun){.val = 32768}), ERANGE);
    CHECK_ERRNO(semctl(id, 0, SETVAL, (union semun){.val = -1}), ERANGE);
    values[2] = 40000;
    CHECK_ERRNO(semctl(id, 0, SETALL, (union semun){.array = values}), ERANGE);
    CHECK_ERRNO(semctl(id, 0, GETALL, (union semun){.array = bad_address}), EFAULT);
    CHECK_ERRNO(semctl(id, 0, 99), EINVAL);
    remove_set(id);
    CHECK_ERRNO(semctl(id, 0, GETVAL), EINVAL);
}

TEST(keys_and_status)
{
    key_t key = some_key();
    time_t before = time(NULL);
    CHECK_ERRNO(semget(key, 2, 0600), ENOENT);
    CHECK_ERRNO(semget(key, 0, IPC_CREAT | 0600), EINVAL);
    CHECK_ERRNO(semget(key, -1, IPC_CREAT | 0600), EINVAL);
    int id = semget(key, 2, IPC_CREAT | IPC_EXCL | 0640);
    REQUIRE(id >= 0);
    CHECK_EQ(semget(key, 0, 0), id);
    CHECK_ERRNO(semget(key, 3, 0600), EINVAL);
    CHECK_ERRNO(semget(key, 2, IPC_CREAT | IPC_EXCL | 0600), EEXIST);
    struct semid_ds status;
    CHECK_OK(semctl(id, 0, IPC_STAT, (union semun){.buf = &status}));
    CHECK_EQ(status.sem_nsems, 2);
    CHECK_EQ(status.sem_otime, 0);
    CHECK(status.sem_ctime >= before);
    CHECK_EQ(status.sem_perm.mode, 0640);
    CHECK_EQ(status.sem_perm.__key, key);
    CHECK_OK(operate(id, 0, 1, 0));
    CHECK_EQ(semctl(id, 0, GETPID), getpid());
    CHECK_EQ(semctl(id, 1, GETPID), 0);
    status.sem_perm.mode = 0600;
    CHECK_OK(semctl(id, 0, IPC_SET, (union semun){.buf = &status}));
    CHECK_OK(semctl(id, 0, IPC_STAT, (union semun){.buf = &status}));
    CHECK_EQ(status.sem_perm.mode, 0600);
    CHECK(status.sem_otime >= before);
    char text[1 << 14], wanted[64];
    REQUIRE(read_file("/proc/sysvipc/sem", text, sizeof text) > 0);
    snprintf(wanted, sizeof wanted, "%10d %10d   600 %10d ", key, id, 2);
    CHECK(strstr(text, wanted) != NULL);
    struct seminfo info;
    int highest = semctl(0, 0, SEM_INFO, (union semun){.info = &info});
    CHECK(highest >= 0);
    CHECK(info.semusz >= 1 && info.semaem >= 2);
    bool is_found = false;
    for (int index = 0; index <= highest; index++)
        is_found |= semctl(index, 0, SEM_STAT, (union semun){.buf = &status}) == id;
    CHECK(is_found);
    CHECK(semctl(0, 0, IPC_INFO, (union semun){.info = &info}) >= 0);
    CHECK_EQ(info.semvmx, 32767);
    CHECK(info.semopm > 0);
    remove_set(id);
}

TEST(all_or_nothing)
{
    int id = new_set(2);
    struct sembuf both[2] = {{0, 1, 0}, {1, -1, IPC_NOWAIT}};
    CHECK_ERRNO(semop(id, both, 2), EAGAIN);
    CHECK_EQ(value_of(id, 0), 0);
    struct sembuf chain[3] = {{0, 2, 0}, {0, -1, 0}, {1, 0, 0}};
    CHECK_OK(semop(id, chain, 3));
    CHECK_EQ(value_of(id, 0), 1);
    CHECK_ERRNO(operate(id, 2, 1, 0), EFBIG);
    CHECK_ERRNO(operate(id, 0, 32767, 0), ERANGE);
    CHECK_ERRNO(operate(id, 0, 0, IPC_NOWAIT), EAGAIN); /* not zero */
    CHECK_ERRNO(semop(id, both, 0), EINVAL);
    CHECK_ERRNO(semop(id, both, 100000), E2BIG);
    CHECK_ERRNO(semop(id, bad_address, 1), EFAULT);
    CHECK_ERRNO(semop(-1, both, 1), EINVAL);
    remove_set(id);
}

static void wait_for_waiters(int id, int count, int zero)
{
    while (semctl(id, 0, zero ? GETZCNT : GETNCNT) != count)
        sched_yield();
}

TEST(waits_and_is_woken)
{
    int id = new_set(1);
    pid_t pids[3];
    for (int i = 0; i < 3; i++) {
        pids[i] = fork_child();
        if (pids[i] == 0) {
            CHECK_OK(operate(id, 0, -1, 0));
            guest_finish();
        }
    }
    wait_for_waiters(id, 3, 0);
    CHECK_OK(operate(id, 0, 2, 0));
    wait_for_waiters(id, 1, 0);
    CHECK_EQ(value_of(id, 0), 0);
    CHECK_OK(semctl(id, 0, SETVAL, (union semun){.val = 1}));
    for (int i = 0; i < 3; i++)
        CHECK_CHILD(pids[i]);
    CHECK_OK(operate(id, 0, 1, 0));
    pid_t pid = fork_child();
    if (pid == 0) {
        CHECK_OK(operate(id, 0, 0, 0));
        guest_finish();
    }
    wait_for_waiters(id, 1, 1);
    CHECK_EQ(semctl(id, 0, GETNCNT), 0);
    CHECK_OK(operate(id, 0, -1, 0));
    CHECK_CHILD(pid);
    remove_set(id);
}

TEST(a_waiter_goes_before_who_comes_later)
{
    int id = new_set(1);
    pid_t pid = fork_child();
    if (pid == 0) {
        CHECK_OK(operate(id, 0, -1, 0));
        guest_finish();
    }
    wait_for_waiters(id, 1, 0);
    CHECK_OK(operate(id, 0, 1, 0));
    CHECK_ERRNO(operate(id, 0, -1, IPC_NOWAIT), EAGAIN);
    CHECK_CHILD(pid);
    remove_set(id);
}

TEST(removal_ends_waits)
{
    int id = new_set(1);
    pid_t pid = fork_child();
    if (pid == 0) {
        CHECK_ERRNO(operate(id, 0, -1, 0), EIDRM);
        guest_finish();
    }
    wait_for_waiters(id, 1, 0);
    remove_set(id);
    CHECK_CHILD(pid);
}

static void ignore(int sig)
{
    (void)sig;
}

TEST(a_signal_ends_a_wait_always)
{
    int id = new_set(1);
    pid_t pid = fork_child();
    if (pid == 0) {
        handle_signal(SIGUSR1, ignore, SA_RESTART);
        CHECK_ERRNO(operate(id, 0, -1, 0), EINTR);
        guest_finish();
    }
    wait_for_waiters(id, 1, 0);
    CHECK_OK(kill(pid, SIGUSR1));
    CHECK_CHILD(pid);
    CHECK_EQ(semctl(id, 0, GETNCNT), 0);
    remove_set(id);
}

TEST(a_killed_waiter_is_forgotten)
{
    int id = new_set(1);
    pid_t pid = fork_child();
    if (pid == 0) {
        operate(id, 0, -1, 0);
        _exit(1);
    }
    wait_for_waiters(id, 1, 0);
    CHECK_OK(kill(pid, SIGKILL));
    CHECK_SIGNALED(wait_status(pid), SIGKILL);
    CHECK_EQ(semctl(id, 0, GETNCNT), 0);
    CHECK_OK(operate(id, 0, 1, 0));
    CHECK_EQ(value_of(id, 0), 1);
    remove_set(id);
}

TEST(timeouts)
{
    int id = new_set(1);
    struct sembuf down = {0, -1, 0};
    struct timespec soon = {0, 20000000}, wrong = {0, 1000000000}, negative = {-1, 0};
    int64_t before = now_ns(CLOCK_MONOTONIC);
    CHECK_ERRNO(semtimedop(id, &down, 1, &soon), EAGAIN);
    CHECK(now_ns(CLOCK_MONOTONIC) - before >= 20000000);
    CHECK_ERRNO(semtimedop(id, &down, 1, &wrong), EINVAL);
    CHECK_ERRNO(semtimedop(id, &down, 1, &negative), EINVAL);
    CHECK_ERRNO(semtimedop(id, &down, 1, bad_address), EFAULT);
    CHECK_OK(operate(id, 0, 1, 0));
    CHECK_OK(semtimedop(id, &down, 1, &soon));
    remove_set(id);
}

TEST(exit_undoes)
{
    int id = new_set(2);
    CHECK_OK(operate(id, 0, 5, 0));
    pid_t pid = fork_child();
    if (pid == 0) {
        struct sembuf both[2] = {{0, -3, SEM_UNDO}, {1, 4, SEM_UNDO}};
        CHECK_OK(semop(id, both, 2));
        CHECK_OK(operate(id, 0, -1, 0)); /* this one stays */
        CHECK_EQ(value_of(id, 0), 1);
        pid_t grandchild = fork_child();
        if (grandchild == 0)
            guest_finish(); /* undoes nothing */
        CHECK_CHILD(grandchild);
        CHECK_EQ(value_of(id, 0), 1);
        guest_finish();
    }
    CHECK_CHILD(pid);
    CHECK_EQ(value_of(id, 0), 4);
    CHECK_EQ(value_of(id, 1), 0);
    CHECK_EQ(semctl(id, 0, GETPID), pid);
    remove_set(id);
}

TEST(undo_wakes_who_waits)
{
    int id = new_set(1), ends[2];
    REQUIRE_OK(pipe(ends));
    CHECK_OK(operate(id, 0, 1, 0));
    pid_t pid = fork_child();
    if (pid == 0) {
        char byte;
        CHECK_OK(operate(id, 0, -1, SEM_UNDO));
        CHECK_EQ(write(ends[1], "x", 1), 1);
        CHECK_EQ(read(ends[0], &byte, 0), 0);
        wait_for_waiters(id, 1, 0);
        _exit(0);
    }
    char byte;
    CHECK_EQ(read(ends[0], &byte, 1), 1);
    CHECK_OK(operate(id, 0, -1, 0));
    CHECK_CHILD(pid);
    remove_set(id);
}

TEST(setting_a_value_forgets_undoes)
{
    int id = new_set(1), ends[2];
    REQUIRE_OK(pipe(ends));
    pid_t pid = fork_child();
    if (pid == 0) {
        char byte;
        close(ends[1]);
        CHECK_OK(operate(id, 0, 2, SEM_UNDO));
        CHECK_EQ(read(ends[0], &byte, 1), 0);
        guest_finish();
    }
    close(ends[0]);
    while (value_of(id, 0) != 2)
        sched_yield();
    CHECK_OK(semctl(id, 0, SETVAL, (union semun){.val = 9}));
    close(ends[1]);
    CHECK_CHILD(pid);
    CHECK_EQ(value_of(id, 0), 9);
    remove_set(id);
}

TEST(permissions)
{
    if (getuid() != 0)
        SKIP("two users are needed");
    int id = semget(IPC_PRIVATE, 1, IPC_CREAT | 0604);
    pid_t pid = fork_child();
    if (pid == 0) {
        REQUIRE_OK(setgroups(0, NULL)); /* a login's root is in group 0 by these, too */
        REQUIRE_OK(setresgid(4321, 4321, 4321));
        REQUIRE_OK(setresuid(4321, 4321, 4321));
        CHECK_EQ(value_of(id, 0), 0);
        CHECK_OK(operate(id, 0, 0, IPC_NOWAIT));
        CHECK_ERRNO(operate(id, 0, 1, 0), EACCES);
        CHECK_ERRNO(semctl(id, 0, SETVAL, (union semun){.val = 1}), EACCES);
        CHECK_ERRNO(semctl(id, 0, IPC_RMID), EPERM);
        guest_finish();
    }
    CHECK_CHILD(pid);
    remove_set(id);
}

TEST(unsharing_undoes)
{
    int id = new_set(1);
    CHECK_OK(operate(id, 0, 3, SEM_UNDO));
    CHECK_OK(unshare(CLONE_SYSVSEM));
    CHECK_EQ(value_of(id, 0), 0);
    remove_set(id);
}
