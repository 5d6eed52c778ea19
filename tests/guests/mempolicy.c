/* mempolicy: policies of a task and of its mappings, and where its pages are. */
#include "guest.h"

enum { POLICY_DEFAULT, POLICY_PREFERRED, POLICY_BIND, POLICY_INTERLEAVE, POLICY_LOCAL };
enum { OF_NODE = 1, OF_ADDRESS = 2, MEMS_ALLOWED = 4, STRICT = 1, MOVE = 2, MOVE_ALL = 4, NR_SET_HOME_NODE = 450 };
enum { PAGE = 4096 };

static unsigned long node_zero = 1;

static int policy_now(void)
{
    int mode = -1;
    CHECK_OK(syscall(SYS_get_mempolicy, &mode, NULL, 0, NULL, 0));
    return mode;
}

static void require_numa(void)
{
    if (syscall(SYS_get_mempolicy, NULL, NULL, 0, NULL, 0) == -1 && errno == ENOSYS)
        SKIP("a kernel without CONFIG_NUMA");
}

TEST(policy_of_a_task)
{
    require_numa();
    unsigned long nodes[16] = {0};
    CHECK_EQ(policy_now(), POLICY_DEFAULT);
    CHECK_OK(syscall(SYS_get_mempolicy, NULL, nodes, 8 * sizeof nodes, NULL, MEMS_ALLOWED));
    CHECK(nodes[0] & 1);
    CHECK_OK(syscall(SYS_set_mempolicy, POLICY_BIND, &node_zero, 64));
    CHECK_EQ(policy_now(), POLICY_BIND);
    pid_t pid = fork_child();
    if (pid == 0) {
        CHECK_EQ(policy_now(), POLICY_BIND);
        guest_finish();
    }
    CHECK_CHILD(pid);
    CHECK_OK(syscall(SYS_set_mempolicy, POLICY_DEFAULT, NULL, 0));
    CHECK_EQ(policy_now(), POLICY_DEFAULT);
    CHECK_ERRNO(syscall(SYS_set_mempolicy, 77, NULL, 0), EINVAL);
    CHECK_ERRNO(syscall(SYS_set_mempolicy, POLICY_BIND, NULL, 0), EINVAL);
    CHECK_ERRNO(syscall(SYS_set_mempolicy, POLICY_BIND, 1, 64), EFAULT);
    CHECK_ERRNO(syscall(SYS_get_mempolicy, NULL, NULL, 0, NULL, 0x100), EINVAL);
}

TEST(policy_of_a_mapping)
{
    require_numa();
    char *memory = mmap(NULL, 4 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    int mode = -1;
    CHECK_OK(syscall(SYS_mbind, memory, PAGE, POLICY_PREFERRED, &node_zero, 64, 0));
    CHECK_OK(syscall(SYS_get_mempolicy, &mode, NULL, 0, memory, OF_ADDRESS));
    CHECK_EQ(mode, POLICY_PREFERRED);
    CHECK_OK(syscall(SYS_get_mempolicy, &mode, NULL, 0, memory + PAGE, OF_ADDRESS));
    CHECK_EQ(mode, POLICY_DEFAULT);
    memory[0] = 1;
    CHECK_OK(syscall(SYS_get_mempolicy, &mode, NULL, 0, memory, OF_ADDRESS | OF_NODE));
    CHECK(mode >= 0);
    CHECK_OK(syscall(SYS_mbind, memory, PAGE, POLICY_BIND, &node_zero, 64, STRICT | MOVE));
    CHECK_OK(syscall(NR_SET_HOME_NODE, memory, (long)PAGE, 0L, 0L));
    CHECK_ERRNO(syscall(NR_SET_HOME_NODE, memory, (long)PAGE, 0L, 1L), EINVAL);
    CHECK_ERRNO(syscall(NR_SET_HOME_NODE, memory, (long)PAGE, 100000L, 0L), EINVAL);
    CHECK_ERRNO(syscall(SYS_mbind, memory, PAGE, POLICY_BIND, &node_zero, 64, 0x100), EINVAL);
    CHECK_ERRNO(syscall(SYS_mbind, memory, PAGE, POLICY_BIND, &node_zero, 64, -1), EINVAL);
    CHECK_ERRNO(syscall(SYS_mbind, memory + 1, PAGE, POLICY_BIND, &node_zero, 64, 0), EINVAL);
    CHECK_OK(munmap(memory, 4 * PAGE));
    CHECK_ERRNO(syscall(SYS_mbind, memory, PAGE, POLICY_BIND, &node_zero, 64, 0), EFAULT);
}

TEST(pages_are_somewhere)
{
    require_numa();
    char *memory = mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    void *pages[2] = {memory, memory + PAGE};
    int status[2] = {-1, -1}, nodes[2] = {0, 0};
    memory[0] = 1;
    for (int i = 0; i < 2; i++) {
        pid_t who = i ? getpid() : 0;
        CHECK_OK(syscall(SYS_move_pages, who, 2L, pages, NULL, status, 0));
        CHECK(status[0] >= 0);
        CHECK(status[1] == -ENOENT || status[1] == -EFAULT); /* 6.18, 6.1: nothing is there yet */
        CHECK_OK(syscall(SYS_migrate_pages, who, 64L, &node_zero, &node_zero));
    }
    CHECK_OK(syscall(SYS_move_pages, 0, 1L, pages, nodes, status, MOVE));
    CHECK_EQ(status[0], 0);
    CHECK_ERRNO(syscall(SYS_move_pages, 0, 1L, pages, NULL, status, 0x100), EINVAL);
    CHECK_ERRNO(syscall(SYS_move_pages, getpid(), 1L, pages, NULL, status, 0x100), EINVAL);
    CHECK_ERRNO(syscall(SYS_move_pages, 0x3ffff0, 1L, pages, NULL, status, 0), ESRCH);
    CHECK_ERRNO(syscall(SYS_migrate_pages, 0x3ffff0, 64L, &node_zero, &node_zero), ESRCH);
}

TEST(pages_of_strangers_stay)
{
    require_numa();
    if (geteuid() == 0 || getpid() == 1)
        SKIP("root may move the pages of others; process 1 is this one");
    int status = 0;
    void *page = &status;
    CHECK_ERRNO(syscall(SYS_move_pages, 1, 1L, &page, NULL, &status, 0), EPERM);
    CHECK_ERRNO(syscall(SYS_migrate_pages, 1, 64L, &node_zero, &node_zero), EPERM);
    CHECK_ERRNO(syscall(SYS_move_pages, 0, 1L, &page, NULL, &status, MOVE_ALL), EPERM);
}

/* For oneself as 0 and by number, which differ in who answers. */
TEST(policies_that_are_refused)
{
    require_numa();
    int mode, status = 0, node = 1 << 20, far[1] = {-1};
    void *page = &status;
    unsigned long none = 0, many[16] = {1};
    CHECK_ERRNO(syscall(SYS_get_mempolicy, bad_address, NULL, 0, NULL, 0), EFAULT);
    CHECK_ERRNO(syscall(SYS_get_mempolicy, &mode, bad_address, 1024, NULL, 0), EFAULT);
    CHECK_ERRNO(syscall(SYS_get_mempolicy, &mode, NULL, 0, bad_address, OF_ADDRESS), EFAULT);
    CHECK_ERRNO(syscall(SYS_get_mempolicy, &mode, NULL, 0, &mode, 0), EINVAL); /* an address that is not asked of */
    CHECK_ERRNO(syscall(SYS_get_mempolicy, &mode, NULL, 0, NULL, OF_NODE), EINVAL); /* of interleaving only */
    for (int i = 0; i < 2; i++) {
        pid_t who = i ? getpid() : 0;
        CHECK_ERRNO(syscall(SYS_migrate_pages, who, 64L, bad_address, &node_zero), EFAULT);
        CHECK_ERRNO(syscall(SYS_migrate_pages, who, 64L, &node_zero, bad_address), EFAULT);
        CHECK_ERRNO(syscall(SYS_migrate_pages, who, 1L << 20, &node_zero, &node_zero), EINVAL);
        CHECK_ERRNO(syscall(SYS_migrate_pages, who, 64L, &node_zero, &none), EINVAL);
        CHECK_ERRNO(syscall(SYS_move_pages, who, 1L, bad_address, NULL, &status, 0), EFAULT);
        CHECK_ERRNO(syscall(SYS_move_pages, who, 1L, &page, bad_address, &status, MOVE), EFAULT);
        CHECK_ERRNO(syscall(SYS_move_pages, who, 1L, &page, NULL, bad_address, 0), EFAULT);
        CHECK_ERRNO(syscall(SYS_move_pages, who, 1L, &page, &node, &status, MOVE), ENODEV);
        CHECK_ERRNO(syscall(SYS_move_pages, who, 1L, &page, far, &status, MOVE), ENODEV);
        CHECK_EQ(syscall(SYS_move_pages, who, 0L, &page, NULL, &status, 0), 0);
    }
    char *memory = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK_ERRNO(syscall(SYS_mbind, memory, (long)PAGE, POLICY_BIND, bad_address, 64L, 0), EFAULT);
    CHECK_ERRNO(syscall(SYS_mbind, memory, (long)PAGE, POLICY_BIND, &none, 64L, 0), EINVAL);
    CHECK_ERRNO(syscall(SYS_mbind, memory, (long)PAGE, POLICY_DEFAULT, many, 64L, 0), EINVAL);
    CHECK_ERRNO(syscall(SYS_mbind, memory, (long)PAGE, 77, many, 64L, 0), EINVAL);
    CHECK_ERRNO(syscall(SYS_mbind, memory, -1L * PAGE, POLICY_BIND, many, 64L, 0), EINVAL);
    CHECK_OK(syscall(SYS_mbind, memory, 0L, POLICY_BIND, many, 64L, 0));
    CHECK_ERRNO(syscall(SYS_set_mempolicy, POLICY_BIND, many, 1L << 20), EINVAL);
}

TEST(moving_for_all_wants_privilege)
{
    require_numa();
    pid_t pid = fork_child();
    if (pid == 0) {
        if (geteuid() == 0)
            REQUIRE_OK(setresuid(4321, 4321, 4321));
        int status = 0;
        void *page = &status;
        char *memory = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        CHECK_ERRNO(syscall(SYS_mbind, memory, (long)PAGE, POLICY_BIND, &node_zero, 64L, MOVE_ALL), EPERM);
        CHECK_ERRNO(syscall(SYS_mbind, memory, (long)PAGE, POLICY_BIND, &node_zero, 64L, MOVE_ALL | 0x100), EINVAL);
        CHECK_ERRNO(syscall(SYS_move_pages, 0, 1L, &page, NULL, &status, MOVE_ALL), EPERM);
        CHECK_ERRNO(syscall(SYS_move_pages, 0, 1L, &page, NULL, &status, MOVE_ALL | 0x100), EINVAL);
        guest_finish();
    }
    CHECK_CHILD(pid);
}
