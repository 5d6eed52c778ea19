/* prctl: names, who may trace, memory rules, dumpable. */
#include "guest.h"

TEST(names)
{
    char name[16];
    CHECK_OK(prctl(PR_SET_NAME, "a-rather-long-thread-name"));
    CHECK_OK(prctl(PR_GET_NAME, name));
    CHECK_STR(name, "a-rather-long-t");
    char comm[32];
    read_file("/proc/self/comm", comm, sizeof comm);
    CHECK_STR(comm, "a-rather-long-t\n");
    CHECK_ERRNO(prctl(9999, 0, 0, 0, 0), EINVAL);
}

TEST(who_may_trace)
{
    if (access("/proc/sys/kernel/yama", F_OK)) {
        CHECK_ERRNO(prctl(PR_SET_PTRACER, 0), EINVAL);
        SKIP("this kernel has no Yama");
    }
    CHECK_OK(prctl(PR_SET_PTRACER, PR_SET_PTRACER_ANY));
    CHECK_OK(prctl(PR_SET_PTRACER, getppid() ? getppid() : getpid()));
    CHECK_OK(prctl(PR_SET_PTRACER, 0));
    CHECK_ERRNO(prctl(PR_SET_PTRACER, 4194303), EINVAL);
    CHECK_ERRNO(prctl(PR_SET_PTRACER, 0xffffffffUL), EINVAL);
}

TEST(never_written_and_executed)
{
    enum { SET_MDWE = 65, GET_MDWE = 66, REFUSE_EXEC_GAIN = 1 };
    if (prctl(GET_MDWE, 0, 0, 0, 0) < 0)
        SKIP("this kernel is older than 6.3");
    pid_t pid = fork_child();
    if (pid == 0) {
        REQUIRE_OK(prctl(SET_MDWE, REFUSE_EXEC_GAIN, 0, 0, 0));
        CHECK_EQ(prctl(GET_MDWE, 0, 0, 0, 0), REFUSE_EXEC_GAIN);
        void *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        CHECK_ERRNO(mprotect(page, 4096, PROT_READ | PROT_EXEC), EACCES);
        self_exec("starts", NULL);
        _exit(99);
    }
    CHECK_CHILD(pid);
}

HELPER(starts)
{
    return 0;
}

TEST(mappings_have_names)
{
    char *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    static const char name[] = "my heap";
    if (prctl(PR_SET_VMA, PR_SET_VMA_ANON_NAME, page, 4096, name))
        SKIP("this kernel keeps no names of mappings");
    *page = 1;
    static char maps[65536];
    CHECK(read_file("/proc/self/maps", maps, sizeof maps) > 0);
    CHECK(strstr(maps, "[anon:my heap]") != NULL);
}

TEST(dumpable_can_be_set_and_read)
{
    CHECK_OK(prctl(PR_SET_DUMPABLE, 0));
    CHECK_EQ(prctl(PR_GET_DUMPABLE), 0);
    int ends[2];
    REQUIRE_OK(pipe(ends));
    CHECK_EQ(write(ends[1], "x", 1), 1); /* and calls still work */
    CHECK_OK(prctl(PR_SET_DUMPABLE, 1));
    CHECK_EQ(prctl(PR_GET_DUMPABLE), 1);
    CHECK_ERRNO(prctl(PR_SET_DUMPABLE, 77), EINVAL);
}
