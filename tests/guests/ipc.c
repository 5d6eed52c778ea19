/* ipc: what the calls of System V shared memory, semaphores and message queues refuse alike; semop(2) by its number. */
#include "guest.h"

#include <grp.h>
#include <sys/ipc.h>
#include <sys/mount.h>
#include <sys/msg.h>
#include <sys/sem.h>
#include <sys/shm.h>

enum { STRANGER = 4321, STAT_ANY_OF_MSG = 13, STAT_ANY_OF_SHM = 15, STAT_ANY_OF_SEM = 20, COPY = 040000 };
enum kind { SHM, SEM, MSG, KINDS };
static const char *const names[KINDS] = {"shm", "sem", "msg"};

static long get(enum kind kind, key_t key, int flags)
{
    if (kind == SHM)
        return syscall(SYS_shmget, key, 4096, flags);
    if (kind == SEM)
        return syscall(SYS_semget, key, 2, flags);
    return syscall(SYS_msgget, key, flags);
}

static long control(enum kind kind, int id, int command, void *buffer)
{
    if (kind == SHM)
        return syscall(SYS_shmctl, id, command, buffer);
    if (kind == SEM)
        return syscall(SYS_semctl, id, 0, command, buffer);
    return syscall(SYS_msgctl, id, command, buffer);
}

static const int stat_by_index[KINDS] = {SHM_STAT, SEM_STAT, MSG_STAT};
static const int stat_any[KINDS] = {STAT_ANY_OF_SHM, STAT_ANY_OF_SEM, STAT_ANY_OF_MSG};
static const int info_of[KINDS] = {SHM_INFO, SEM_INFO, MSG_INFO};

/* What a call answered, by name: "ok" or an errno. */
static const char *answer(long result)
{
    return result != -1 ? "ok" : strerrorname_np(errno);
}

#define CHECK_ANSWER(what, result, expected)                                      \
    do {                                                                          \
        const char *answer_ = answer(result);                                     \
        if (strcmp(answer_, expected))                                            \
            GUEST_FAIL("%s: expected %s, got %s", what, expected, answer_);       \
    } while (0)

static key_t some_key(enum kind kind)
{
    return (key_t)(0x40000000 | (getpid() & 0xffff) << 8 | kind);
}

static void become_stranger(void)
{
    REQUIRE_OK(setgroups(0, NULL));
    REQUIRE_OK(setresgid(STRANGER, STRANGER, STRANGER));
    REQUIRE_OK(setresuid(STRANGER, STRANGER, STRANGER));
}

TEST(what_strangers_may_not)
{
    if (getuid() != 0)
        SKIP("two users are needed");
    key_t keys[KINDS];
    int ids[KINDS];
    for (int kind = 0; kind < KINDS; kind++) {
        keys[kind] = some_key(kind);
        ids[kind] = (int)get(kind, keys[kind], IPC_CREAT | IPC_EXCL | 0600);
        REQUIRE(ids[kind] >= 0);
    }
    pid_t pid = fork_child();
    if (pid == 0) {
        become_stranger();
        char status[256];
        struct sembuf down = {0, -1, IPC_NOWAIT}, zero = {0, 0, IPC_NOWAIT};
        struct {
            long type;
            char text[8];
        } message = {1, "x"};
        for (int kind = 0; kind < KINDS; kind++) {
            CHECK_ANSWER(names[kind], get(kind, keys[kind], 0400), "EACCES");
            CHECK_ANSWER(names[kind], get(kind, keys[kind], 0200), "EACCES");
            CHECK_ANSWER(names[kind], get(kind, keys[kind], IPC_CREAT | 0600), "EACCES");
            CHECK_ANSWER(names[kind], get(kind, keys[kind], IPC_CREAT | IPC_EXCL | 0600), "EEXIST");
            CHECK_ANSWER(names[kind], get(kind, keys[kind], 0), "ok"); /* it asks for nothing */
            CHECK_ANSWER(names[kind], control(kind, ids[kind], IPC_STAT, status), "EACCES");
            CHECK_ANSWER(names[kind], control(kind, ids[kind], IPC_RMID, NULL), "EPERM");
            CHECK_ANSWER(names[kind], control(kind, ids[kind], IPC_SET, memset(status, 0, sizeof status)), "EPERM");
        }
        CHECK_ANSWER("shmat", syscall(SYS_shmat, ids[SHM], NULL, 0), "EACCES");
        CHECK_ANSWER("shmat", syscall(SYS_shmat, ids[SHM], NULL, SHM_RDONLY), "EACCES");
        CHECK_ANSWER("SHM_UNLOCK", control(SHM, ids[SHM], SHM_UNLOCK, NULL), "EPERM");
        CHECK_ANSWER("semop", syscall(SYS_semop, ids[SEM], &down, 1), "EACCES");
        CHECK_ANSWER("semop of zero", syscall(SYS_semop, ids[SEM], &zero, 1), "EACCES");
        for (int command = GETPID; command <= SETALL; command++)
            CHECK_ANSWER("semctl", syscall(SYS_semctl, ids[SEM], 0, command, 0), "EACCES");
        CHECK_ANSWER("msgsnd", syscall(SYS_msgsnd, ids[MSG], &message, 1, IPC_NOWAIT), "EACCES");
        CHECK_ANSWER("msgrcv", syscall(SYS_msgrcv, ids[MSG], &message, 1, 0, IPC_NOWAIT), "EACCES");
        guest_finish();
    }
    CHECK_CHILD(pid);
    for (int kind = 0; kind < KINDS; kind++)
        CHECK_ANSWER(names[kind], control(kind, ids[kind], IPC_RMID, NULL), "ok");
}

TEST(a_status_by_index)
{
    if (getuid() != 0)
        SKIP("two users are needed");
    for (int kind = 0; kind < KINDS; kind++) {
        int id = (int)get(kind, IPC_PRIVATE, IPC_CREAT | 0600);
        REQUIRE(id >= 0);
        pid_t pid = fork_child();
        if (pid == 0) {
            become_stranger();
            char info[256];
            struct ipc_perm *status = guarded(kind == SHM ? sizeof(struct shmid_ds)
                                              : kind == SEM ? sizeof(struct semid_ds)
                                                            : sizeof(struct msqid_ds));
            int highest = (int)control(kind, 0, info_of[kind], info), found = -1;
            for (int index = 0; index <= highest; index++)
                if (control(kind, index, stat_any[kind], status) == id)
                    found = index;
            REQUIRE(found >= 0);
            CHECK_EQ(control(kind, found, stat_any[kind], status), id);
            CHECK_EQ(status->uid, 0);
            CHECK_EQ(status->mode, 0600);
            CHECK_ANSWER(names[kind], control(kind, found, stat_by_index[kind], status), "EACCES");
            CHECK_ANSWER(names[kind], control(kind, found, stat_any[kind], bad_address), "EFAULT");
            CHECK_ANSWER(names[kind], control(kind, highest + 1, stat_any[kind], status), "EINVAL");
            CHECK_ANSWER(names[kind], control(kind, -1, stat_any[kind], status), "EINVAL");
            guest_finish();
        }
        CHECK_CHILD(pid);
        CHECK_ANSWER(names[kind], control(kind, id, IPC_RMID, NULL), "ok");
    }
}

TEST(identifiers_of_nothing)
{
    char buffer[256] = {0};
    for (int kind = 0; kind < KINDS; kind++) {
        int id = (int)get(kind, IPC_PRIVATE, IPC_CREAT | 0600);
        REQUIRE(id >= 0);
        CHECK_ANSWER(names[kind], control(kind, id, IPC_STAT, bad_address), "EFAULT");
        CHECK_ANSWER(names[kind], control(kind, id, IPC_SET, bad_address), "EFAULT");
        CHECK_ANSWER(names[kind], control(kind, 0, info_of[kind], bad_address), "EFAULT");
        CHECK_ANSWER(names[kind], control(kind, 0, IPC_INFO, bad_address), "EFAULT");
        CHECK_ANSWER(names[kind], control(kind, id, -1, buffer), "EINVAL");
        CHECK_ANSWER(names[kind], control(kind, id, 1000, buffer), "EINVAL");
        CHECK_ANSWER(names[kind], control(kind, id, IPC_RMID, NULL), "ok");
        static const int commands[] = {IPC_RMID, IPC_SET, IPC_STAT};
        for (int i = 0; i < 3; i++) {
            CHECK_ANSWER(names[kind], control(kind, id, commands[i], buffer), "EINVAL");
            CHECK_ANSWER(names[kind], control(kind, -1, commands[i], buffer), "EINVAL");
            CHECK_ANSWER(names[kind], control(kind, INT32_MAX, commands[i], buffer), "EINVAL");
        }
    }
}

/* ---- limits: in an ipc namespace of the test's own; a sandbox has one of its own ---- */

static int set_limit(const char *name, const char *value)
{
    char path[64];
    snprintf(path, sizeof path, "/proc/sys/kernel/%s", name);
    int fd = open(path, O_WRONLY), error = 0;
    if (fd < 0 || write(fd, value, strlen(value)) < 0)
        error = errno;
    if (fd >= 0)
        close(fd);
    return error;
}

TEST(limits_that_are_reached)
{
    static const struct {
        enum kind kind;
        const char *file, *least;
    } limits[] = {
        {SHM, "shmmni", "0"}, {SHM, "shmall", "0"}, {MSG, "msgmni", "0"}, {SEM, "sem", "32000 1024000000 500 0"},
        {SEM, "sem", "32000 1 500 32000"},
    };
    char path[64], before[64];
    if (unshare(CLONE_NEWIPC) == 0 && unshare(CLONE_NEWNS) == 0)
        mount(NULL, "/proc/sys", NULL, MS_REMOUNT | MS_BIND, NULL); /* where it is one's own, but read-only */
    for (size_t i = 0; i < sizeof limits / sizeof *limits; i++) {
        snprintf(path, sizeof path, "/proc/sys/kernel/%s", limits[i].file);
        REQUIRE(read_file(path, before, sizeof before) > 0);
        if (set_limit(limits[i].file, before))
            SKIP("an ordinary user's");
        CHECK_EQ(set_limit(limits[i].file, limits[i].least), 0);
        CHECK_ANSWER(limits[i].file, get(limits[i].kind, IPC_PRIVATE, IPC_CREAT | 0600), "ENOSPC");
        CHECK_ANSWER(limits[i].file, get(limits[i].kind, some_key(limits[i].kind), 0600), "ENOENT");
        CHECK_EQ(set_limit(limits[i].file, before), 0);
        long id = get(limits[i].kind, IPC_PRIVATE, IPC_CREAT | 0600);
        CHECK_ANSWER(limits[i].file, id, "ok");
        CHECK_ANSWER(limits[i].file, control(limits[i].kind, (int)id, IPC_RMID, NULL), "ok");
    }
}

/* ---- semop ---- */

static int new_set(void)
{
    int id = (int)get(SEM, IPC_PRIVATE, IPC_CREAT | 0600);
    REQUIRE(id >= 0);
    return id;
}

static int value_of(int id, int number)
{
    return semctl(id, number, GETVAL);
}

static long operate(int id, int number, int change, int flags)
{
    struct sembuf *operation = guarded(sizeof *operation);
    *operation = (struct sembuf){(unsigned short)number, (short)change, (short)flags};
    return syscall(SYS_semop, id, operation, 1);
}

TEST(operations_by_semop)
{
    int id = new_set();
    struct sembuf two[2] = {{0, 3, 0}, {1, 4, 0}};
    CHECK_OK(syscall(SYS_semop, id, two, 2));
    CHECK(value_of(id, 0) == 3 && value_of(id, 1) == 4);
    CHECK_OK(operate(id, 0, -3, 0));
    CHECK_OK(operate(id, 0, 0, 0));
    CHECK_ERRNO(operate(id, 0, -1, IPC_NOWAIT), EAGAIN);
    CHECK_ERRNO(operate(id, 1, 0, IPC_NOWAIT), EAGAIN);
    CHECK_ERRNO(operate(id, 2, 1, 0), EFBIG);
    CHECK_ERRNO(operate(id, 65535, 1, 0), EFBIG);
    CHECK_ERRNO(operate(id, 1, 32764, 0), ERANGE);
    CHECK_EQ(value_of(id, 1), 4);
    CHECK_ERRNO(operate(-1, 0, 1, 0), EINVAL);
    CHECK_ERRNO(operate(INT32_MAX, 0, 1, 0), EINVAL);
    CHECK_ERRNO(syscall(SYS_semop, id, two, 0), EINVAL);
    CHECK_ERRNO(syscall(SYS_semop, id, two, 100000), E2BIG);
    CHECK_ERRNO(syscall(SYS_semop, id, two, -1), E2BIG);
    CHECK_ERRNO(syscall(SYS_semop, id, bad_address, 1), EFAULT);
    struct sembuf *last = guarded(sizeof *last);
    CHECK_ERRNO(syscall(SYS_semop, id, last, 2), EFAULT);
    struct timespec wrong = {0, -1};
    CHECK_ERRNO(syscall(SYS_semtimedop, id, two, 100000, &wrong), E2BIG);
    CHECK_ERRNO(syscall(SYS_semtimedop, id, bad_address, 1, &wrong), EFAULT);
    CHECK_ERRNO(syscall(SYS_semtimedop, INT32_MAX, two, 2, &wrong), EINVAL);
    CHECK_OK(semctl(id, 0, IPC_RMID));
    CHECK_ERRNO(operate(id, 0, 1, 0), EINVAL);
}

TEST(undo_by_semop)
{
    int id = new_set();
    pid_t pid = fork_child();
    if (pid == 0) {
        CHECK_OK(operate(id, 0, 7, SEM_UNDO));
        CHECK_OK(operate(id, 0, -2, SEM_UNDO | IPC_NOWAIT));
        CHECK_OK(operate(id, 0, 1, 0));
        CHECK_ERRNO(operate(id, 0, -9, SEM_UNDO | IPC_NOWAIT), EAGAIN); /* undoes nothing: it did nothing */
        CHECK_OK(operate(id, 1, 32767, SEM_UNDO));
        CHECK_OK(operate(id, 1, -32767, 0));
        CHECK_ERRNO(operate(id, 1, 2, SEM_UNDO), ERANGE); /* the adjustment has a limit, too */
        CHECK_EQ(value_of(id, 1), 0);
        CHECK_OK(operate(id, 1, 1, SEM_UNDO));
        guest_finish();
    }
    CHECK_CHILD(pid);
    CHECK_EQ(value_of(id, 0), 1);
    CHECK_EQ(value_of(id, 1), 0); /* never below */
    CHECK_OK(semctl(id, 0, IPC_RMID));
}

static void ignore(int sig)
{
    (void)sig;
}

TEST(waits_of_semop_end)
{
    static const char *const ends[] = {"ok", "EINTR", "EIDRM"};
    for (int way = 0; way < 3; way++) {
        int id = new_set();
        pid_t pid = fork_child();
        if (pid == 0) {
            handle_signal(SIGUSR1, ignore, SA_RESTART);
            CHECK_ANSWER("semop", operate(id, 0, -1, SEM_UNDO), ends[way]);
            guest_finish();
        }
        while (semctl(id, 0, GETNCNT) != 1)
            sched_yield();
        if (way == 0)
            CHECK_OK(operate(id, 0, 1, 0));
        if (way == 1)
            CHECK_OK(kill(pid, SIGUSR1));
        if (way == 2)
            CHECK_OK(semctl(id, 0, IPC_RMID));
        CHECK_CHILD(pid);
        if (way == 2)
            continue;
        CHECK_EQ(value_of(id, 0), way == 0); /* what was taken has been given back */
        CHECK_EQ(semctl(id, 0, GETNCNT), 0);
        CHECK_OK(semctl(id, 0, IPC_RMID));
    }
}

/* ---- messages ---- */

struct message {
    long type;
    char text[16];
};

static int new_queue(void)
{
    int id = (int)get(MSG, IPC_PRIVATE, IPC_CREAT | 0600);
    REQUIRE(id >= 0);
    return id;
}

static long put(int id, long type, const char *text, int flags)
{
    struct message message = {.type = type};
    strcpy(message.text, text);
    return syscall(SYS_msgsnd, id, &message, strlen(text), flags);
}

static unsigned long count(int id)
{
    struct msqid_ds status = {0};
    CHECK_OK(msgctl(id, IPC_STAT, &status));
    return status.msg_qnum;
}

TEST(waits_for_room_end)
{
    static const char *const ends[] = {"ok", "EINTR", "EIDRM"};
    for (int way = 0; way < 3; way++) {
        int id = new_queue();
        struct msqid_ds status;
        struct message message;
        CHECK_OK(msgctl(id, IPC_STAT, &status));
        status.msg_qbytes = 2;
        CHECK_OK(msgctl(id, IPC_SET, &status));
        CHECK_OK(put(id, 1, "ab", 0));
        CHECK_ERRNO(put(id, 1, "c", IPC_NOWAIT), EAGAIN);
        pid_t pid = fork_child();
        if (pid == 0) {
            handle_signal(SIGUSR1, ignore, SA_RESTART);
            CHECK_ANSWER("msgsnd", put(id, 2, "c", 0), ends[way]);
            guest_finish();
        }
        wait_for_state(pid, 'S');
        if (way == 0)
            CHECK_EQ(syscall(SYS_msgrcv, id, &message, 2, 1, 0), 2);
        if (way == 1)
            CHECK_OK(kill(pid, SIGUSR1));
        if (way == 2)
            CHECK_OK(msgctl(id, IPC_RMID, NULL));
        CHECK_CHILD(pid);
        if (way == 2)
            continue;
        CHECK_EQ(count(id), 1);
        CHECK_OK(msgctl(id, IPC_RMID, NULL));
    }
}

TEST(what_msgrcv_gives)
{
    int id = new_queue();
    struct message *message = guarded(sizeof(long) + 4);
    CHECK_OK(put(id, 3, "12345", 0));
    CHECK_ERRNO(syscall(SYS_msgrcv, id, message, 4, 0, 0), E2BIG);
    CHECK_EQ(syscall(SYS_msgrcv, id, message, 4, 0, MSG_NOERROR), 4);
    CHECK_EQ(message->type, 3);
    CHECK(memcmp(message->text, "1234", 4) == 0);
    CHECK_OK(put(id, 3, "12345", 0));
    CHECK_ERRNO(syscall(SYS_msgrcv, id, message, 5, 0, 0), EFAULT);
    CHECK_EQ(count(id), 0); /* it is lost */
    CHECK_OK(put(id, 3, "1234", 0));
    CHECK_ERRNO(syscall(SYS_msgrcv, id, bad_address, 4, 0, 0), EFAULT);
    CHECK_EQ(count(id), 0);
    CHECK_OK(put(id, INT64_MAX, "last", 0));
    CHECK_ERRNO(syscall(SYS_msgrcv, id, message, 4, -2L, IPC_NOWAIT), ENOMSG);
    CHECK_EQ(syscall(SYS_msgrcv, id, message, 4, INT64_MIN, IPC_NOWAIT), 4);
    CHECK_EQ(message->type, INT64_MAX);
    CHECK_OK(put(id, 2, "two", 0));
    CHECK_ERRNO(syscall(SYS_msgrcv, id, message, 4, 2L, MSG_EXCEPT | IPC_NOWAIT), ENOMSG);
    CHECK_EQ(syscall(SYS_msgrcv, id, message, 4, 0L, MSG_EXCEPT | IPC_NOWAIT), 3); /* of type 0 is none: any */
    CHECK_ERRNO(syscall(SYS_msgrcv, id, message, (size_t)INT64_MAX + 1, 0, IPC_NOWAIT), EINVAL);
    CHECK_ERRNO(syscall(SYS_msgrcv, INT32_MAX, message, 4, 0, IPC_NOWAIT), EINVAL);
    CHECK_OK(msgctl(id, IPC_RMID, NULL));
}

TEST(copies_of_messages)
{
    int id = new_queue();
    struct message *message = guarded(sizeof(long) + 4);
    if (syscall(SYS_msgrcv, id, message, 4, 0, COPY | IPC_NOWAIT) == -1 && errno == ENOSYS)
        SKIP("a kernel without CONFIG_CHECKPOINT_RESTORE");
    CHECK_OK(put(id, 3, "12345", 0));
    CHECK_OK(put(id, 2, "1234", 0));
    CHECK_EQ(syscall(SYS_msgrcv, id, message, 4, 1L, COPY | IPC_NOWAIT), 4);
    CHECK_EQ(message->type, 2);
    CHECK_ERRNO(syscall(SYS_msgrcv, id, message, 4, 0L, COPY | IPC_NOWAIT), E2BIG);
    CHECK_ERRNO(syscall(SYS_msgrcv, id, message, 4, 0L, COPY | IPC_NOWAIT | MSG_NOERROR), EINVAL);
    CHECK_ERRNO(syscall(SYS_msgrcv, id, message, 4, 2L, COPY | IPC_NOWAIT), ENOMSG);
    CHECK_ERRNO(syscall(SYS_msgrcv, id, message, 4, -1L, COPY | IPC_NOWAIT), ENOMSG);
    CHECK_ERRNO(syscall(SYS_msgrcv, id, message, 4, 0L, COPY), EINVAL);
    CHECK_ERRNO(syscall(SYS_msgrcv, id, message, 4, 0L, COPY | IPC_NOWAIT | MSG_EXCEPT), EINVAL);
    CHECK_EQ(count(id), 2);
    CHECK_OK(msgctl(id, IPC_RMID, NULL));
}

/* ---- attaching ---- */

TEST(code_in_a_segment)
{
    static const unsigned char give_42[] = {0xb8, 42, 0, 0, 0, 0xc3}; /* mov $42, %eax; ret */
    int id = shmget(IPC_PRIVATE, 4096, IPC_CREAT | 0700);
    REQUIRE(id >= 0);
    char *writable = shmat(id, NULL, 0);
    memcpy(writable, give_42, sizeof give_42);
    int (*code)(void) = (int (*)(void))shmat(id, NULL, SHM_RDONLY | SHM_EXEC);
    REQUIRE((intptr_t)code != -1);
    CHECK_EQ(code(), 42);
    pid_t pid = fork_child();
    if (pid == 0) {
        ((int (*)(void))writable)();
        _exit(0);
    }
    CHECK_SIGNALED(wait_status(pid), SIGSEGV);
    struct shmid_ds status;
    CHECK_OK(shmctl(id, IPC_STAT, &status));
    status.shm_perm.mode = 0600;
    CHECK_OK(shmctl(id, IPC_SET, &status));
    pid = fork_child();
    if (pid == 0) {
        if (getuid() == 0) { /* an ordinary user owns it already */
            status.shm_perm.uid = STRANGER;
            CHECK_OK(shmctl(id, IPC_SET, &status));
            become_stranger();
        }
        CHECK_ERRNO((intptr_t)shmat(id, NULL, SHM_RDONLY | SHM_EXEC), EACCES);
        CHECK(shmat(id, NULL, SHM_RDONLY) != (void *)-1);
        guest_finish();
    }
    CHECK_CHILD(pid);
    CHECK_OK(shmctl(id, IPC_RMID, NULL));
}
