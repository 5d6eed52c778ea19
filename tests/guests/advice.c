/* advice: madvise(2) and process_madvise(2): each advice with what can be seen of it, and what is refused. */
#include "guest.h"

#include <setjmp.h>
#include <sys/uio.h>

enum { PAGE = 4096, NR_PROCESS_MADVISE = 440, GUARD_INSTALL = 102, GUARD_REMOVE = 103, SOFT_OFFLINE = 101, HW_POISON = 100 };
#ifndef MADV_DONTNEED_LOCKED
#define MADV_DONTNEED_LOCKED 24
#endif
#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE 25
#endif

static sigjmp_buf escape;

static void on_fault(int signal_number)
{
    (void)signal_number;
    siglongjmp(escape, 1);
}

/* Whether reading there gives SIGSEGV. */
static bool is_fault(const volatile char *at)
{
    struct sigaction action = {.sa_handler = on_fault};
    REQUIRE_OK(sigaction(SIGSEGV, &action, NULL));
    if (sigsetjmp(escape, 1))
        return true;
    (void)*at;
    return false;
}

static char *pages(int count)
{
    char *memory = mmap(NULL, (size_t)count * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    REQUIRE(memory != MAP_FAILED);
    return memory;
}

static char *filled_pages(int count)
{
    char *memory = pages(count);
    for (int i = 0; i < count * PAGE; i++)
        memory[i] = 'x';
    return memory;
}

static char *shared_file(int *fd)
{
    *fd = (int)syscall(SYS_memfd_create, "advice", 0);
    REQUIRE(*fd >= 0);
    REQUIRE_OK(ftruncate(*fd, 2 * PAGE));
    char *memory = mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, *fd, 0);
    REQUIRE(memory != MAP_FAILED);
    memset(memory, 'x', 2 * PAGE);
    return memory;
}

static int resident(char *page)
{
    unsigned char vector = 0;
    CHECK_OK(mincore(page, PAGE, &vector));
    return vector & 1;
}

/* The two letters of a mapping's VmFlags (as "dc"): what the kernel keeps of an advice. */
static bool has_vm_flag(const char *memory, const char *flag)
{
    static char text[1 << 18];
    char start[32];
    REQUIRE(read_file("/proc/self/smaps", text, sizeof text) > 0);
    snprintf(start, sizeof start, "%lx-", (unsigned long)memory);
    char *entry = strstr(text, start);
    REQUIRE(entry != NULL);
    char *flags = strstr(entry, "VmFlags:"), *end = flags ? strchr(flags, '\n') : NULL;
    REQUIRE(end != NULL);
    *end = '\0';
    return strstr(flags, flag) != NULL;
}

TEST(forgotten_at_once)
{
    char *memory = filled_pages(2);
    CHECK_OK(madvise(memory, PAGE, MADV_DONTNEED));
    CHECK_EQ(resident(memory), 0);
    CHECK_EQ(memory[0], 0);
    CHECK_EQ(memory[PAGE], 'x');
    CHECK_OK(madvise(memory + PAGE, 1, MADV_DONTNEED)); /* the length is rounded up */
    CHECK_EQ(memory[2 * PAGE - 1], 0);
}

TEST(forgotten_although_locked)
{
    char *memory = filled_pages(1);
    REQUIRE_OK(mlock(memory, PAGE));
    CHECK_ERRNO(madvise(memory, PAGE, MADV_DONTNEED), EINVAL);
    if (madvise(memory, PAGE, MADV_DONTNEED_LOCKED)) {
        CHECK_EQ(errno, EINVAL);
        SKIP("this kernel is older than 5.18");
    }
    CHECK_EQ(memory[0], 0);
}

TEST(freed_when_memory_is_short)
{
    char *memory = filled_pages(1);
    CHECK_OK(madvise(memory, PAGE, MADV_FREE));
    CHECK(memory[0] == 'x' || memory[0] == 0);
    memory[0] = 'y'; /* written to: not free any more */
    CHECK_EQ(memory[0], 'y');
    int fd;
    CHECK_ERRNO(madvise(shared_file(&fd), PAGE, MADV_FREE), EINVAL); /* private anonymous memory only */
}

TEST(removed_from_the_file)
{
    int fd;
    char *memory = shared_file(&fd), byte;
    CHECK_OK(madvise(memory, PAGE, MADV_REMOVE));
    CHECK_EQ(memory[0], 0);
    CHECK_EQ(pread(fd, &byte, 1, 0), 1);
    CHECK_EQ(byte, 0);
    CHECK_EQ(memory[PAGE], 'x');
    CHECK_ERRNO(madvise(pages(1), PAGE, MADV_REMOVE), EINVAL);
    char *read_only = mmap(NULL, PAGE, PROT_READ, MAP_PRIVATE, fd, 0);
    CHECK_ERRNO(madvise(read_only, PAGE, MADV_REMOVE), EACCES);
}

TEST(not_for_children)
{
    char *memory = filled_pages(3);
    CHECK_OK(madvise(memory, PAGE, MADV_DONTFORK));
    CHECK_OK(madvise(memory + PAGE, PAGE, MADV_DONTFORK));
    CHECK_OK(madvise(memory + PAGE, PAGE, MADV_DOFORK));
    CHECK_OK(madvise(memory + 2 * PAGE, PAGE, MADV_WIPEONFORK));
    pid_t pid = fork_child();
    if (pid == 0) {
        CHECK(is_fault(memory));
        CHECK_EQ(memory[PAGE], 'x');
        CHECK_EQ(memory[2 * PAGE], 0);
        guest_finish();
    }
    CHECK_CHILD(pid);
    CHECK_EQ(memory[2 * PAGE], 'x');
    CHECK_OK(madvise(memory + 2 * PAGE, PAGE, MADV_KEEPONFORK));
    pid = fork_child();
    if (pid == 0) {
        CHECK_EQ(memory[2 * PAGE], 'x');
        guest_finish();
    }
    CHECK_CHILD(pid);
    int fd;
    CHECK_ERRNO(madvise(shared_file(&fd), PAGE, MADV_WIPEONFORK), EINVAL);
}

TEST(kept_by_the_mapping)
{
    static const struct {
        int on, off;
        const char *flag;
    } pairs[] = {{MADV_RANDOM, MADV_NORMAL, " rr"},
                 {MADV_SEQUENTIAL, MADV_NORMAL, " sr"},
                 {MADV_DONTDUMP, MADV_DODUMP, " dd"},
                 {MADV_HUGEPAGE, MADV_NOHUGEPAGE, " hg"}};
    for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++) {
        char *memory = filled_pages(1);
        if (madvise(memory, PAGE, pairs[i].on)) {
            CHECK(pairs[i].on == MADV_HUGEPAGE && errno == EINVAL); /* without transparent huge pages */
            continue;
        }
        if (!has_vm_flag(memory, pairs[i].flag))
            GUEST_FAIL("advice %d leaves no flag%s", pairs[i].on, pairs[i].flag);
        CHECK_OK(madvise(memory, PAGE, pairs[i].off));
        if (has_vm_flag(memory, pairs[i].flag))
            GUEST_FAIL("advice %d leaves the flag%s", pairs[i].off, pairs[i].flag);
        CHECK_EQ(memory[0], 'x');
    }
}

TEST(populated_beforehand)
{
    char *memory = pages(2);
    CHECK_EQ(resident(memory), 0);
    CHECK_OK(madvise(memory, PAGE, MADV_POPULATE_READ));
    CHECK_OK(madvise(memory + PAGE, PAGE, MADV_POPULATE_WRITE));
    CHECK_EQ(resident(memory), 1);
    CHECK_EQ(resident(memory + PAGE), 1);
    REQUIRE_OK(mprotect(memory, PAGE, PROT_READ));
    CHECK_ERRNO(madvise(memory, PAGE, MADV_POPULATE_WRITE), EINVAL);
    CHECK_OK(madvise(memory, PAGE, MADV_POPULATE_READ));
    REQUIRE_OK(mprotect(memory, PAGE, PROT_NONE));
    CHECK_ERRNO(madvise(memory, PAGE, MADV_POPULATE_READ), EINVAL);
    int fd;
    char *file = shared_file(&fd);
    REQUIRE_OK(ftruncate(fd, 0));
    CHECK_ERRNO(madvise(file, PAGE, MADV_POPULATE_READ), EFAULT); /* where access gives SIGBUS */
}

TEST(guarded_without_a_mapping)
{
    char *memory = filled_pages(3);
    if (madvise(memory + PAGE, PAGE, GUARD_INSTALL)) {
        CHECK_EQ(errno, EINVAL);
        SKIP("this kernel is older than 6.13");
    }
    CHECK(is_fault(memory + PAGE));
    CHECK_EQ(memory[0], 'x');
    CHECK_EQ(memory[2 * PAGE], 'x');
    int ends[2];
    REQUIRE_OK(pipe(ends));
    CHECK_ERRNO(write(ends[1], memory + PAGE, 1), EFAULT);
    CHECK_EQ(write(ends[1], memory, PAGE + 1), PAGE); /* up to the guard */
    CHECK_OK(madvise(memory + PAGE, PAGE, MADV_DONTNEED));
    CHECK(is_fault(memory + PAGE)); /* it lasts */
    CHECK_OK(madvise(memory + PAGE, PAGE, GUARD_REMOVE));
    CHECK_EQ(memory[PAGE], 0);
}

TEST(contents_stay)
{
    static const int advices[] = {MADV_NORMAL, MADV_WILLNEED, MADV_COLD, MADV_PAGEOUT};
    int fd;
    char *memory[2] = {filled_pages(2), shared_file(&fd)};
    for (int i = 0; i < 8; i++) {
        int result = madvise(memory[i % 2], PAGE, advices[i / 2]);
        if (result && !(advices[i / 2] == MADV_WILLNEED && i % 2 == 0 && errno == EBADF)) /* no file; none to swap to */
            GUEST_FAIL("advice %d, memory %d: %s", advices[i / 2], i % 2, strerrorname_np(errno));
        CHECK_EQ(memory[i % 2][PAGE - 1], 'x');
    }
}

TEST(one_huge_page)
{
    enum { HUGE = 2 << 20 };
    char *memory = mmap(NULL, 2 * HUGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    REQUIRE(memory != MAP_FAILED);
    memory = (char *)(((uintptr_t)memory + HUGE - 1) & -(uintptr_t)HUGE);
    memset(memory, 'x', HUGE);
    CHECK_ERRNO(madvise(pages(1), PAGE, 999), EINVAL);
    /* EINVAL: older than 6.1, or no huge pages; the others: there is none to be had now */
    if (madvise(memory, HUGE, MADV_COLLAPSE))
        CHECK(errno == EINVAL || errno == ENOMEM || errno == EAGAIN || errno == EBUSY);
    CHECK_EQ(memory[0], 'x');
    CHECK_EQ(memory[HUGE - 1], 'x');
}

/* Merging with strangers' pages, and broken memory: not in every kernel, and then EINVAL for all of a kind. */
TEST(not_every_kernel_merges_or_poisons)
{
    char *memory = filled_pages(1);
    int merge = madvise(memory, PAGE, MADV_MERGEABLE) ? errno : 0;
    int part = madvise(memory, PAGE, MADV_UNMERGEABLE) ? errno : 0;
    CHECK(merge == part && (merge == 0 || merge == EINVAL));
    pid_t pid = fork_child();
    if (pid == 0) { /* with privilege, pages would be lost to the machine */
        if (geteuid() == 0)
            REQUIRE_OK(setresuid(4321, 4321, 4321));
        for (int advice = HW_POISON; advice <= SOFT_OFFLINE; advice++)
            CHECK(madvise(memory, PAGE, advice) == -1 && (errno == EPERM || errno == EINVAL));
        guest_finish();
    }
    CHECK_CHILD(pid);
    CHECK_EQ(memory[0], 'x');
}

TEST(advice_that_is_refused)
{
    char *memory = filled_pages(3);
    CHECK_ERRNO(madvise(memory + 1, PAGE, MADV_NORMAL), EINVAL);
    CHECK_ERRNO(madvise(memory, (size_t)-PAGE, MADV_NORMAL), EINVAL);
    CHECK_ERRNO(madvise(memory, (size_t)-1, MADV_NORMAL), EINVAL);
    CHECK_ERRNO(madvise(memory, PAGE, 999), EINVAL);
    CHECK_OK(madvise(memory, 0, MADV_DONTNEED));
    CHECK_ERRNO(madvise(memory, 0, 999), EINVAL);
    CHECK_EQ(memory[0], 'x');
    REQUIRE_OK(munmap(memory + PAGE, PAGE));
    CHECK_ERRNO(madvise(memory, 3 * PAGE, MADV_DONTNEED), ENOMEM);
    CHECK_EQ(memory[0], 0); /* both sides of the hole */
    CHECK_EQ(memory[2 * PAGE], 0);
}

/* ---- through a pidfd ------------------------------------------------------------------------------------------- */

TEST(the_same_through_a_pidfd)
{
    static const int advices[] = {MADV_NORMAL,   MADV_RANDOM,      MADV_SEQUENTIAL,   MADV_WILLNEED,       MADV_DONTNEED,
                                  MADV_FREE,     MADV_REMOVE,      MADV_DONTFORK,     MADV_DOFORK,         MADV_MERGEABLE,
                                  MADV_DODUMP,   MADV_UNMERGEABLE, MADV_HUGEPAGE,     MADV_NOHUGEPAGE,     MADV_DONTDUMP,
                                  MADV_COLD,     MADV_WIPEONFORK,  MADV_KEEPONFORK,   MADV_POPULATE_READ,  MADV_POPULATE_WRITE,
                                  MADV_PAGEOUT,  GUARD_INSTALL,    GUARD_REMOVE,      MADV_DONTNEED_LOCKED, 999};
    int pidfd = (int)syscall(SYS_pidfd_open, getpid(), 0);
    char *memory = filled_pages(1);
    struct iovec vector = {memory, PAGE};
    long done = syscall(NR_PROCESS_MADVISE, pidfd, &vector, 1L, MADV_DONTFORK, 0);
    if (done == -1 && (errno == EPERM || errno == EINVAL))
        SKIP("a kernel before 6.13"); /* which knows COLD, PAGEOUT and WILLNEED here, with privilege */
    for (size_t i = 0; i < sizeof advices / sizeof *advices; i++) {
        char *twin = filled_pages(1); /* what madvise says is the measure */
        vector.iov_base = filled_pages(1);
        int expected = madvise(twin, PAGE, advices[i]) ? -errno : PAGE;
        long got = syscall(NR_PROCESS_MADVISE, pidfd, &vector, 1L, advices[i], 0);
        if (got == -1)
            got = -errno;
        if (got != expected)
            GUEST_FAIL("advice %d: madvise %d, process_madvise %ld", advices[i], expected, got);
    }
    for (int advice = HW_POISON; advice <= SOFT_OFFLINE; advice++) {
        struct iovec empty = {memory, 0}; /* nothing to poison */
        long got = syscall(NR_PROCESS_MADVISE, pidfd, &empty, 1L, advice, 0);
        CHECK(got == 0 || (got == -1 && (errno == EINVAL || errno == EPERM)));
    }
}

TEST(a_collapse_through_a_pidfd)
{
    int pidfd = (int)syscall(SYS_pidfd_open, getpid(), 0);
    char *memory = filled_pages(1);
    struct iovec vector = {memory, PAGE};
    long done = syscall(NR_PROCESS_MADVISE, pidfd, &vector, 1L, MADV_COLLAPSE, 0); /* less than a huge page: nothing to do */
    CHECK(done == PAGE || (done == -1 && (errno == EINVAL || errno == EPERM)));
    CHECK_EQ(memory[0], 'x');
}
