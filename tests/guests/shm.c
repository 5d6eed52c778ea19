/* shm: System V shared memory: segments, attaching, fork, exec and exit, removal, permissions, status. */
#include "guest.h"

#include <grp.h>
#include <pthread.h>
#include <sys/ipc.h>
#include <sys/shm.h>

#define PAGE 4096

static int new_segment(size_t size)
{
    int id = shmget(IPC_PRIVATE, size, IPC_CREAT | 0600);
    REQUIRE(id >= 0);
    return id;
}

static struct shmid_ds status_of(int id)
{
    struct shmid_ds status;
    memset(&status, 0xa5, sizeof status);
    REQUIRE_OK(shmctl(id, IPC_STAT, &status));
    return status;
}

static key_t some_key(void)
{
    return (key_t)(0x50000000 | (getpid() & 0xffff) << 8);
}

TEST(written_memory_is_shared)
{
    int id = new_segment(3 * PAGE);
    char *memory = shmat(id, NULL, 0), *again = shmat(id, NULL, 0);
    REQUIRE(memory != (void *)-1 && again != (void *)-1);
    CHECK(memory != again);
    CHECK_EQ(memory[2 * PAGE], 0);
    strcpy(memory + PAGE, "shared");
    CHECK_STR(again + PAGE, "shared");
    CHECK_EQ(status_of(id).shm_nattch, 2);
    pid_t pid = fork_child();
    if (pid == 0) {
        CHECK_STR(memory + PAGE, "shared");
        CHECK_EQ(status_of(id).shm_nattch, 4);
        strcpy(again, "by the child");
        CHECK_OK(shmdt(again));
        CHECK_EQ(status_of(id).shm_nattch, 3);
        CHECK_EQ(status_of(id).shm_lpid, getpid());
        guest_finish();
    }
    CHECK_CHILD(pid);
    CHECK_STR(memory, "by the child");
    CHECK_EQ(status_of(id).shm_nattch, 2);
    CHECK_OK(shmctl(id, IPC_RMID, NULL));
    CHECK_OK(shmdt(memory));
    CHECK_OK(shmdt(again));
    CHECK_ERRNO(shmdt(again), EINVAL);
}

TEST(status)
{
    time_t before = time(NULL);
    int id = new_segment(100);
    struct shmid_ds status = status_of(id);
    CHECK_EQ(status.shm_segsz, 100);
    CHECK_EQ(status.shm_nattch, 0);
    CHECK_EQ(status.shm_cpid, getpid());
    CHECK_EQ(status.shm_lpid, 0);
    CHECK_EQ(status.shm_atime, 0);
    CHECK_EQ(status.shm_dtime, 0);
    CHECK(status.shm_ctime >= before);
    CHECK_EQ(status.shm_perm.__key, IPC_PRIVATE);
    CHECK_EQ(status.shm_perm.uid, geteuid());
    CHECK_EQ(status.shm_perm.cgid, getegid());
    CHECK_EQ(status.shm_perm.mode, 0600);
    char *memory = shmat(id, NULL, 0);
    memory[PAGE - 1] = 1; /* whole pages */
    status = status_of(id);
    CHECK(status.shm_atime >= before);
    CHECK_EQ(status.shm_lpid, getpid());
    CHECK_OK(shmdt(memory));
    CHECK(status_of(id).shm_dtime >= before);
    status.shm_perm.mode = 0640;
    CHECK_OK(shmctl(id, IPC_SET, &status));
    CHECK_EQ(status_of(id).shm_perm.mode, 0640);
    CHECK_ERRNO(shmctl(id, IPC_STAT, bad_address), EFAULT);
    CHECK_ERRNO(shmctl(id, IPC_SET, bad_address), EFAULT);
    CHECK_ERRNO(shmctl(id, 77, &status), EINVAL);
    CHECK_OK(shmctl(id, IPC_RMID, NULL));
    CHECK_ERRNO(shmctl(id, IPC_STAT, &status), EINVAL);
    CHECK_ERRNO(shmctl(-1, IPC_STAT, &status), EINVAL);
}

TEST(keys)
{
    key_t key = some_key();
    CHECK_ERRNO(shmget(key, PAGE, 0600), ENOENT);
    int id = shmget(key, PAGE, IPC_CREAT | IPC_EXCL | 0600);
    REQUIRE(id >= 0);
    CHECK_EQ(shmget(key, 0, 0), id);
    CHECK_EQ(shmget(key, PAGE, IPC_CREAT | 0600), id);
    CHECK_ERRNO(shmget(key, PAGE, IPC_CREAT | IPC_EXCL | 0600), EEXIST);
    CHECK_ERRNO(shmget(key, PAGE + 1, 0600), EINVAL);
    CHECK_EQ(status_of(id).shm_perm.__key, key);
    CHECK_OK(shmctl(id, IPC_RMID, NULL));
    CHECK_ERRNO(shmget(key, PAGE, 0600), ENOENT);
    CHECK_ERRNO(shmget(IPC_PRIVATE, 0, IPC_CREAT | 0600), EINVAL);
    int other = new_segment(PAGE);
    CHECK(other != id); /* numbers are not used again at once */
    CHECK_OK(shmctl(other, IPC_RMID, NULL));
}

/* The line of /proc/self/maps that begins at an address. */
static bool find_mapping(const void *at, char *line, int size)
{
    char begin[32];
    snprintf(begin, sizeof begin, "%lx-", (unsigned long)at);
    FILE *maps = fopen("/proc/self/maps", "r");
    REQUIRE(maps);
    bool is_found = false;
    while (!is_found && fgets(line, size, maps))
        is_found = strncmp(line, begin, strlen(begin)) == 0;
    fclose(maps);
    return is_found;
}

TEST(named_in_maps)
{
    key_t key = some_key() + 2;
    int id = shmget(key, PAGE, IPC_CREAT | 0600), inode = -1;
    char *memory = shmat(id, NULL, SHM_RDONLY), line[512], name[64] = "", protection[8], wanted[64];
    REQUIRE(memory != (void *)-1);
    CHECK_OK(shmctl(id, IPC_RMID, NULL));
    REQUIRE(find_mapping(memory, line, sizeof line));
    REQUIRE(sscanf(line, "%*s %7s %*s %*s %d %63s", protection, &inode, name) == 3);
    CHECK_STR(protection, "r--s");
    CHECK_EQ(inode, id);
    snprintf(wanted, sizeof wanted, "/SYSV%08x", (unsigned)key);
    CHECK_STR(name, wanted);
    CHECK(strstr(line, " (deleted)"));
    CHECK_ERRNO(mprotect(memory, PAGE, PROT_READ | PROT_WRITE), EACCES);
    CHECK_OK(shmdt(memory));
}

TEST(removed_with_the_last_attachment)
{
    key_t key = some_key() + 1;
    int id = shmget(key, PAGE, IPC_CREAT | 0600);
    char *memory = shmat(id, NULL, 0);
    CHECK_OK(shmctl(id, IPC_RMID, NULL));
    struct shmid_ds status = status_of(id);
    CHECK_EQ(status.shm_perm.mode & ~0777, SHM_DEST);
    CHECK_EQ(status.shm_perm.__key, IPC_PRIVATE);
    CHECK_ERRNO(shmget(key, PAGE, 0600), ENOENT);
    memory[0] = 'x';
    char *more = shmat(id, NULL, 0); /* by its number it can be had still */
    REQUIRE(more != (void *)-1);
    CHECK_EQ(more[0], 'x');
    CHECK_OK(shmdt(memory));
    CHECK_OK(shmdt(more));
    CHECK_ERRNO(shmctl(id, IPC_STAT, &status), EINVAL);
    CHECK_ERRNO((intptr_t)shmat(id, NULL, 0), EINVAL);
}

TEST(exit_detaches)
{
    int id = new_segment(PAGE), ends[2], attached[2];
    REQUIRE_OK(pipe(ends));
    REQUIRE_OK(pipe(attached));
    pid_t pid = fork_child();
    char byte = 0;
    if (pid == 0) {
        char *memory = shmat(id, NULL, 0);
        memory[0] = 1;
        close(ends[1]);
        CHECK_EQ(write(attached[1], &byte, 1), 1);
        CHECK_EQ(read(ends[0], &byte, 1), 0);
        _exit(0);
    }
    close(ends[0]);
    CHECK_EQ(read(attached[0], &byte, 1), 1); /* while shmat(2) runs, Linux counts two */
    CHECK_OK(shmctl(id, IPC_RMID, NULL));
    CHECK_EQ(status_of(id).shm_nattch, 1);
    close(ends[1]);
    CHECK_CHILD(pid);
    struct shmid_ds status;
    CHECK_ERRNO(shmctl(id, IPC_STAT, &status), EINVAL);
}

HELPER(attached_count)
{
    struct shmid_ds status;
    return shmctl(atoi(argv[0]), IPC_STAT, &status) ? 99 : (int)status.shm_nattch;
}

TEST(exec_detaches)
{
    int id = new_segment(PAGE);
    char number[16];
    snprintf(number, sizeof number, "%d", id);
    pid_t pid = fork_child();
    if (pid == 0) {
        if (shmat(id, NULL, 0) != (void *)-1)
            self_exec("attached_count", number);
        _exit(98);
    }
    CHECK_EXITED(wait_status(pid), 0);
    CHECK_OK(shmctl(id, IPC_RMID, NULL));
}

TEST(where_it_is_attached)
{
    int id = new_segment(2 * PAGE);
    char *room = mmap(NULL, 16 * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    REQUIRE(room != MAP_FAILED);
    CHECK_ERRNO((intptr_t)shmat(id, room, 0), EINVAL); /* taken */
    CHECK_ERRNO((intptr_t)shmat(id, room + 1, 0), EINVAL);
    CHECK_ERRNO((intptr_t)shmat(id, NULL, SHM_REMAP), EINVAL);
    CHECK_EQ((intptr_t)shmat(id, room + PAGE, SHM_REMAP), (intptr_t)(room + PAGE));
    room[PAGE] = 'a';
    REQUIRE_OK(munmap(room + 4 * PAGE, 4 * PAGE));
    CHECK_EQ((intptr_t)shmat(id, room + 4 * PAGE, 0), (intptr_t)(room + 4 * PAGE));
    CHECK_EQ(room[4 * PAGE], 'a');
    CHECK_EQ((intptr_t)shmat(id, room + 6 * PAGE + 77, SHM_RND), (intptr_t)(room + 6 * PAGE));
    CHECK_EQ(room[6 * PAGE], 'a');
    CHECK_EQ(status_of(id).shm_nattch, 3);
    CHECK_ERRNO(shmdt(room + 2 * PAGE), EINVAL); /* in the middle */
    CHECK_ERRNO(shmdt(room + 1), EINVAL);
    CHECK_OK(shmdt(room + 6 * PAGE));
    CHECK_OK(munmap(room + 4 * PAGE, 2 * PAGE)); /* as good as shmdt */
    CHECK_EQ(status_of(id).shm_nattch, 1);
    CHECK_OK(shmdt(room + PAGE));
    CHECK_OK(shmctl(id, IPC_RMID, NULL));
}

TEST(half_an_attachment)
{
    int id = new_segment(4 * PAGE);
    char *memory = shmat(id, NULL, 0);
    CHECK_OK(munmap(memory + PAGE, PAGE));
    CHECK_OK(shmctl(id, IPC_RMID, NULL));
    CHECK_OK(shmdt(memory)); /* both parts */
    unsigned char resident[4];
    CHECK_ERRNO(mincore(memory, PAGE, resident), ENOMEM);
    CHECK_ERRNO(mincore(memory + 2 * PAGE, PAGE, resident), ENOMEM);
    struct shmid_ds status;
    CHECK_ERRNO(shmctl(id, IPC_STAT, &status), EINVAL);
}

TEST(read_only)
{
    int id = new_segment(PAGE);
    char *writable = shmat(id, NULL, 0), *readable = shmat(id, NULL, SHM_RDONLY);
    REQUIRE(readable != (void *)-1);
    writable[0] = 'r';
    CHECK_EQ(readable[0], 'r');
    CHECK_ERRNO(mprotect(readable, PAGE, PROT_READ | PROT_WRITE), EACCES);
    pid_t pid = fork_child();
    if (pid == 0) {
        *(volatile char *)readable = 1;
        _exit(0);
    }
    CHECK_SIGNALED(wait_status(pid), SIGSEGV);
    CHECK_OK(shmctl(id, IPC_RMID, NULL));
}

TEST(permissions)
{
    if (getuid() != 0)
        SKIP("two users are needed");
    int id = shmget(some_key() + 2, PAGE, IPC_CREAT | 0640);
    pid_t pid = fork_child();
    if (pid == 0) {
        REQUIRE_OK(setgroups(0, NULL)); /* a login's root is in group 0 by these, too */
        REQUIRE_OK(setresgid(4321, 4321, 4321));
        REQUIRE_OK(setresuid(4321, 4321, 4321));
        struct shmid_ds status;
        CHECK_ERRNO(shmget(some_key() + 2, PAGE, 0400), ENOENT); /* another key: the pid is another's */
        CHECK_ERRNO((intptr_t)shmat(id, NULL, SHM_RDONLY), EACCES);
        CHECK_ERRNO(shmctl(id, IPC_STAT, &status), EACCES);
        CHECK_ERRNO(shmctl(id, IPC_RMID, NULL), EPERM);
        CHECK_ERRNO(shmctl(id, SHM_LOCK, NULL), EPERM);
        guest_finish();
    }
    CHECK_CHILD(pid);
    struct shmid_ds status = status_of(id);
    status.shm_perm.uid = 4321;
    status.shm_perm.mode = 0444;
    CHECK_OK(shmctl(id, IPC_SET, &status));
    pid = fork_child();
    if (pid == 0) {
        REQUIRE_OK(setresuid(4321, 4321, 4321));
        CHECK_ERRNO((intptr_t)shmat(id, NULL, 0), EACCES);
        CHECK(shmat(id, NULL, SHM_RDONLY) != (void *)-1);
        CHECK_OK(shmctl(id, IPC_RMID, NULL));
        guest_finish();
    }
    CHECK_CHILD(pid);
}

TEST(locked_flag)
{
    int id = new_segment(PAGE);
    if (shmctl(id, SHM_LOCK, NULL) == -1)
        SKIP("no memory may be locked");
    CHECK_EQ(status_of(id).shm_perm.mode, 0600 | SHM_LOCKED);
    CHECK_OK(shmctl(id, SHM_UNLOCK, NULL));
    CHECK_EQ(status_of(id).shm_perm.mode, 0600);
    CHECK_OK(shmctl(id, IPC_RMID, NULL));
}

TEST(limits_and_lists)
{
    struct shminfo info;
    CHECK(shmctl(0, IPC_INFO, (struct shmid_ds *)&info) >= 0);
    CHECK_EQ(info.shmmin, 1);
    CHECK(info.shmmni >= 1 && info.shmall > 0);
    int id = new_segment(PAGE);
    struct shm_info used;
    int highest = shmctl(0, SHM_INFO, (struct shmid_ds *)&used);
    CHECK(highest >= 0);
    CHECK(used.used_ids >= 1);
    CHECK(used.shm_tot >= 1);
    bool is_found = false;
    for (int index = 0; index <= highest; index++) {
        struct shmid_ds status;
        is_found |= shmctl(index, SHM_STAT, &status) == id;
    }
    CHECK(is_found);
    char text[1 << 14], wanted[96];
    REQUIRE(read_file("/proc/sysvipc/shm", text, sizeof text) > 0);
    CHECK(strncmp(text, "       key      shmid perms                  size  cpid  lpid nattch ", 68) == 0);
    snprintf(wanted, sizeof wanted, "%10d   600 %21d %5d", id, PAGE, getpid());
    CHECK(strstr(text, wanted) != NULL);
    CHECK_OK(shmctl(id, IPC_RMID, NULL));
    CHECK(read_file("/proc/sys/kernel/shmmax", text, sizeof text) > 0);
    CHECK_EQ(strtoull(text, NULL, 10), info.shmmax);
}

static const char FORCED[] = "/proc/sys/kernel/shm_rmid_forced";

static int force_removal(const char *value)
{
    int fd = open(FORCED, O_WRONLY), error = 0;
    if (fd < 0 || write(fd, value, strlen(value)) < 0)
        error = errno;
    if (fd >= 0)
        close(fd);
    return error;
}

/* A segment that a child makes, which then ends. */
static int orphan(bool is_attached_by_child, int made)
{
    int *told = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    REQUIRE(told != MAP_FAILED);
    pid_t pid = fork_child();
    if (pid == 0) {
        *told = made < 0 ? new_segment(PAGE) : made;
        if (is_attached_by_child)
            CHECK(shmat(*told, NULL, 0) != (void *)-1);
        guest_finish();
    }
    CHECK_CHILD(pid);
    return *told;
}

TEST(kernel_shm_rmid_forced)
{
    unshare(CLONE_NEWIPC); /* on a host, not the host's own setting; a sandbox has one of its own */
    struct shmid_ds status;
    char text[16];
    REQUIRE(read_file(FORCED, text, sizeof text) > 0);
    CHECK_STR(text, "0\n");
    if (force_removal("0"))
        SKIP("an ordinary user's");
    int without_maker = orphan(false, -1), mine = new_segment(PAGE), kept = new_segment(PAGE);
    CHECK_OK(shmdt(shmat(kept, NULL, 0)));
    CHECK_OK(shmctl(without_maker, IPC_STAT, &status));
    CHECK_EQ(force_removal("2"), EINVAL);
    CHECK_EQ(force_removal("1"), 0);
    CHECK_ERRNO(shmctl(without_maker, IPC_STAT, &status), EINVAL); /* attached by nobody, made by nobody who lives */
    CHECK_OK(shmctl(mine, IPC_STAT, &status));
    CHECK_OK(shmctl(kept, IPC_STAT, &status)); /* its last attachment went before */
    CHECK_OK(shmdt(shmat(mine, NULL, 0)));
    CHECK_ERRNO(shmctl(mine, IPC_STAT, &status), EINVAL);
    orphan(true, kept);
    CHECK_ERRNO(shmctl(kept, IPC_STAT, &status), EINVAL);
    CHECK_ERRNO(shmctl(orphan(false, -1), IPC_STAT, &status), EINVAL);
    CHECK_EQ(force_removal("0"), 0);
    int left = orphan(true, -1);
    CHECK_OK(shmctl(left, IPC_STAT, &status));
    CHECK_OK(shmctl(left, IPC_RMID, NULL));
}

static void *attach_and_detach(void *argument)
{
    int id = *(int *)argument;
    for (int i = 0; i < 20; i++) {
        int *memory = shmat(id, NULL, i & 1 ? SHM_RDONLY : 0);
        if (memory == (void *)-1 || *memory != id || shmdt(memory))
            return argument;
    }
    return NULL;
}

TEST(many_threads_attach_at_once)
{
    enum { THREADS = 4 };
    pthread_t threads[THREADS];
    int ids[THREADS];
    for (int i = 0; i < THREADS; i++) {
        ids[i] = new_segment(PAGE);
        int *memory = shmat(ids[i], NULL, 0);
        *memory = ids[i];
        CHECK_OK(shmdt(memory));
        CHECK_EQ(pthread_create(&threads[i], NULL, attach_and_detach, &ids[i]), 0);
    }
    for (int i = 0; i < THREADS; i++) {
        void *failed = NULL;
        pthread_join(threads[i], &failed);
        CHECK(failed == NULL);
        CHECK_EQ(status_of(ids[i]).shm_nattch, 0);
        CHECK_OK(shmctl(ids[i], IPC_RMID, NULL));
    }
}

TEST(registers_and_descriptors_are_left_alone)
{
    int before = open_fd_count(), id = new_segment(PAGE);
    register long r12 __asm__("r12") = 0x1234;
    long number = SYS_shmat, first = id, second = 0, third = 0, result;
    __asm__ volatile("syscall" : "=a"(result), "+D"(first), "+S"(second), "+d"(third), "+r"(r12) : "a"(number) : "rcx", "r11", "memory");
    CHECK(result > 0);
    CHECK_EQ(first, id);
    CHECK_EQ(second, 0);
    CHECK_EQ(third, 0);
    CHECK_EQ(r12, 0x1234);
    CHECK_OK(shmdt((void *)result));
    CHECK_EQ(open_fd_count(), before);
    CHECK_OK(shmctl(id, IPC_RMID, NULL));
}
