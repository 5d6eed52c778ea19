/* mapping: how memory is mapped, moved, protected, locked, sealed: each flag with what it does, each refusal. */
#include "guest.h"

#include <setjmp.h>
#include <sys/resource.h>

enum { PAGE = 4096, NR_MSEAL = 462, ABOVE_4G = 0x80, STRANGER_ID = 4321 };
enum { GROWS_DOWN = PROT_GROWSDOWN, GROWS_UP = PROT_GROWSUP };

static sigjmp_buf escape;

static void on_fault(int signal_number)
{
    (void)signal_number;
    siglongjmp(escape, 1);
}

static bool is_fault(volatile char *at, bool is_write)
{
    handle_signal(SIGSEGV, on_fault, 0);
    if (sigsetjmp(escape, 1))
        return true;
    if (is_write)
        *at = 1;
    else
        (void)*at;
    return false;
}

static char *anonymous(int count, int flags)
{
    return mmap(NULL, (size_t)count * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | flags, -1, 0);
}

static int memory_file(void)
{
    int fd = (int)syscall(SYS_memfd_create, "mapping", 0);
    REQUIRE(fd >= 0);
    REQUIRE_OK(ftruncate(fd, 2 * PAGE));
    return fd;
}

/* Without the privilege to lock what it likes. */
static void become_unprivileged(void)
{
    if (geteuid() == 0)
        REQUIRE_OK(setresuid(STRANGER_ID, STRANGER_ID, STRANGER_ID));
}

static void limit_locked(rlim_t bytes)
{
    struct rlimit limit = {bytes, bytes};
    REQUIRE_OK(setrlimit(RLIMIT_MEMLOCK, &limit));
}

static int resident_pages(char *memory, size_t count)
{
    unsigned char vector[64];
    int found = 0;
    REQUIRE_OK(mincore(memory, count * PAGE, vector));
    for (size_t i = 0; i < count; i++)
        found += vector[i] & 1;
    return found;
}

TEST(flags_of_anonymous_memory)
{
    CHECK((uintptr_t)anonymous(1, MAP_32BIT) < 1ul << 31);
    CHECK((uintptr_t)anonymous(1, ABOVE_4G) >= 1ul << 32);
    CHECK_EQ(resident_pages(anonymous(4, 0), 4), 0);
    CHECK_EQ(resident_pages(anonymous(4, MAP_POPULATE), 4), 4);
    CHECK_EQ(resident_pages(anonymous(4, MAP_LOCKED), 4), 4);
    CHECK_EQ(resident_pages(anonymous(4, MAP_NONBLOCK), 4), 0);
    static const int without_effect[] = {MAP_EXECUTABLE, MAP_DENYWRITE, MAP_STACK, MAP_NORESERVE};
    for (int i = 0; i < 4; i++) {
        char *memory = anonymous(1, without_effect[i]);
        REQUIRE(memory != MAP_FAILED);
        memory[PAGE - 1] = 1;
    }
    char *taken = anonymous(1, 0);
    CHECK_ERRNO(mmap(taken, PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0), EEXIST);
    CHECK_ERRNO(mmap(taken + 1, PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0), EINVAL);
    CHECK_ERRNO(mmap(NULL, 0, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), EINVAL);
    CHECK_ERRNO(mmap(NULL, (size_t)-1, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), ENOMEM);
    CHECK_ERRNO(mmap(NULL, PAGE, PROT_READ, MAP_ANONYMOUS, -1, 0), EINVAL);
    CHECK_ERRNO(mmap(NULL, PAGE, PROT_READ, MAP_SHARED_VALIDATE | MAP_ANONYMOUS, -1, 0), EINVAL);
}

TEST(flags_of_a_file)
{
    int fd = memory_file();
    char *memory = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED_VALIDATE, fd, 0);
    REQUIRE(memory != MAP_FAILED);
    memory[0] = 'v';
    char byte = 0;
    CHECK_EQ(pread(fd, &byte, 1, 0), 1);
    CHECK_EQ(byte, 'v');
    CHECK_ERRNO(mmap(NULL, PAGE, PROT_READ, MAP_SHARED_VALIDATE | MAP_SYNC, fd, 0), EOPNOTSUPP); /* persistent memory only */
    CHECK_ERRNO(mmap(NULL, PAGE, PROT_READ, MAP_SHARED_VALIDATE | 0x800000, fd, 0), EOPNOTSUPP);
    CHECK(mmap(NULL, PAGE, PROT_READ, MAP_SHARED | MAP_SYNC, fd, 0) != MAP_FAILED); /* unknown flags: nobody looks */
    CHECK(mmap(NULL, PAGE, PROT_READ, MAP_PRIVATE | MAP_DENYWRITE | MAP_EXECUTABLE, fd, 0) != MAP_FAILED);
    CHECK_ERRNO(mmap(NULL, PAGE, PROT_READ, MAP_SHARED | MAP_HUGETLB, fd, 0), EINVAL);
    CHECK_ERRNO(mmap(NULL, 2 * PAGE, PROT_READ, MAP_SHARED, fd, (off_t)(~0ul << 12)), EOVERFLOW);
    CHECK_ERRNO(mmap(NULL, PAGE, PROT_READ, MAP_SHARED, fd, 1), EINVAL);
    char *huge = mmap(NULL, 2 << 20, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB, -1, 0);
    CHECK(huge != MAP_FAILED || errno == ENOMEM); /* as many as the machine keeps: mostly none */
}

TEST(a_stack_grows)
{
    /* Above a gap that nothing else is mapped into. */
    char *area = anonymous(1024, 0);
    REQUIRE_OK(munmap(area, 1024 * PAGE));
    char *top = mmap(area + 1023 * PAGE, PAGE, PROT_READ | PROT_WRITE,
                     MAP_PRIVATE | MAP_ANONYMOUS | MAP_GROWSDOWN | MAP_FIXED, -1, 0);
    REQUIRE(top != MAP_FAILED);
    top[-1] = 'g';
    CHECK_EQ(top[-1], 'g');
    CHECK_OK(mprotect(top, PAGE, PROT_READ | GROWS_DOWN)); /* down to its start */
    CHECK(is_fault(top - 1, true));
    CHECK(!is_fault(top - 1, false));
    CHECK_ERRNO(mprotect(anonymous(1, 0), PAGE, PROT_READ | GROWS_DOWN), EINVAL);
    CHECK_ERRNO(mprotect(top, PAGE, PROT_READ | GROWS_UP), EINVAL); /* no such mappings on x86 */
    CHECK_ERRNO(mprotect(top, PAGE, PROT_READ | GROWS_DOWN | GROWS_UP), EINVAL);
    /* mmap looks at neither. */
    CHECK(mmap(NULL, PAGE, PROT_READ | GROWS_DOWN | GROWS_UP, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) != MAP_FAILED);
}

TEST(protection)
{
    char *memory = anonymous(3, 0);
    CHECK_OK(mprotect(memory, PAGE, PROT_READ));
    CHECK(is_fault(memory, true));
    CHECK(!is_fault(memory, false));
    CHECK_OK(mprotect(memory, PAGE, PROT_NONE));
    CHECK(is_fault(memory, false));
    CHECK_OK(mprotect(memory, PAGE, PROT_READ | PROT_WRITE));
    memory[0] = 1;
    CHECK_OK(mprotect(memory, 0, PROT_NONE));
    CHECK_ERRNO(mprotect(memory + 1, PAGE, PROT_READ), EINVAL);
    CHECK_ERRNO(mprotect(memory, PAGE, 0x40), EINVAL);
    CHECK_ERRNO(mprotect(memory, (size_t)-PAGE, PROT_READ), ENOMEM);
    REQUIRE_OK(munmap(memory + PAGE, PAGE));
    CHECK_ERRNO(mprotect(memory, 3 * PAGE, PROT_READ), ENOMEM);
    CHECK(is_fault(memory, true)); /* up to the hole */
    CHECK(!is_fault(memory + 2 * PAGE, true));
}

TEST(unmapping)
{
    char *memory = anonymous(3, 0);
    CHECK_ERRNO(munmap(memory, 0), EINVAL);
    CHECK_ERRNO(munmap(memory + 1, PAGE), EINVAL);
    CHECK_ERRNO(munmap(memory, (size_t)-PAGE), EINVAL);
    CHECK_OK(munmap(memory + PAGE, 1));
    CHECK(is_fault(memory + PAGE, false));
    CHECK(!is_fault(memory + 2 * PAGE, false));
    CHECK_OK(munmap(memory, 3 * PAGE)); /* a hole is no error */
}

TEST(moving)
{
    char *memory = anonymous(4, 0), *target = anonymous(4, 0), *again;
    memset(memory, 'm', 2 * PAGE);
    CHECK(mremap(memory, 2 * PAGE, 2 * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, target) == target);
    CHECK_EQ(target[2 * PAGE - 1], 'm');
    CHECK(is_fault(memory, false));
    /* libc 2.36 passes no fifth argument, which says where it would be liked. */
    again = (char *)syscall(SYS_mremap, target, (long)PAGE, (long)PAGE, MREMAP_MAYMOVE | MREMAP_DONTUNMAP, NULL);
    REQUIRE(again != MAP_FAILED);
    CHECK_EQ(again[0], 'm');
    CHECK_EQ(target[0], 0); /* still mapped, and empty */
    CHECK_EQ(target[PAGE], 'm');
    CHECK_ERRNO(mremap(target, PAGE, 2 * PAGE, MREMAP_MAYMOVE | MREMAP_DONTUNMAP), EINVAL);
    CHECK_ERRNO(mremap(target, PAGE, PAGE, MREMAP_DONTUNMAP), EINVAL);
    CHECK_ERRNO(mremap(target, PAGE, PAGE, MREMAP_FIXED, memory), EINVAL);
    CHECK_ERRNO(mremap(target, PAGE, PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, memory + 1), EINVAL);
    CHECK_ERRNO(mremap(target, 2 * PAGE, 2 * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, target + PAGE), EINVAL); /* overlap */
    CHECK_ERRNO(mremap(target, PAGE, 0, 0), EINVAL);
    CHECK_ERRNO(mremap(target, PAGE, PAGE, 0x40), EINVAL);
    CHECK_ERRNO(mremap(target, PAGE, 2 * PAGE, 0), ENOMEM); /* no room, and it may not move */
    CHECK_ERRNO(mremap(target, PAGE, ((size_t)1 << 47) - ((size_t)1 << 30), MREMAP_MAYMOVE), ENOMEM); /* all there is */
    CHECK_ERRNO(mremap(memory, PAGE, 2 * PAGE, MREMAP_MAYMOVE), EFAULT); /* nothing is there */
    char *old = anonymous(1, 0);
    CHECK_ERRNO(mremap(old, 0, PAGE, MREMAP_MAYMOVE), EINVAL); /* a second view, of shared memory only */
    char *shared = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    again = mremap(shared, 0, PAGE, MREMAP_MAYMOVE);
    REQUIRE(again != MAP_FAILED);
    shared[5] = 's';
    CHECK_EQ(again[5], 's');
}

TEST(writing_back)
{
    int fd = memory_file();
    char *memory = mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    static const int flags[] = {0, MS_ASYNC, MS_SYNC, MS_INVALIDATE, MS_SYNC | MS_INVALIDATE, MS_ASYNC | MS_INVALIDATE};
    for (int i = 0; i < 6; i++)
        CHECK_OK(msync(memory, 2 * PAGE, flags[i]));
    CHECK_ERRNO(msync(memory, PAGE, MS_ASYNC | MS_SYNC), EINVAL);
    CHECK_ERRNO(msync(memory, PAGE, 8), EINVAL);
    CHECK_ERRNO(msync(memory + 1, PAGE, MS_SYNC), EINVAL);
    CHECK_OK(msync(memory, 0, MS_SYNC));
    CHECK_OK(mlock(memory, PAGE));
    CHECK_ERRNO(msync(memory, PAGE, MS_SYNC | MS_INVALIDATE), EBUSY);
    CHECK_OK(msync(memory, PAGE, MS_SYNC));
    REQUIRE_OK(munmap(memory + PAGE, PAGE));
    CHECK_ERRNO(msync(memory, 2 * PAGE, MS_SYNC), ENOMEM);
    CHECK_ERRNO(msync(memory, (size_t)-PAGE, MS_SYNC), ENOMEM);
}

TEST(residency)
{
    char *memory = anonymous(2, 0);
    unsigned char *vector = guarded(2);
    memory[PAGE] = 1;
    CHECK_OK(mincore(memory, 2 * PAGE, vector));
    CHECK_EQ(vector[0] & 1, 0);
    CHECK_EQ(vector[1] & 1, 1);
    CHECK_OK(mincore(memory, PAGE + 1, vector));
    CHECK_ERRNO(mincore(memory, 2 * PAGE, vector + 1), EFAULT);
    CHECK_ERRNO(mincore(memory + 1, PAGE, vector), EINVAL);
    CHECK_ERRNO(mincore(memory, (size_t)-PAGE, vector), ENOMEM);
    CHECK_OK(mincore(memory, 0, vector));
    REQUIRE_OK(munmap(memory, 2 * PAGE));
    CHECK_ERRNO(mincore(memory, PAGE, vector), ENOMEM);
}

/* ---- locked ------------------------------------------------------------------------------------------------------ */

TEST(locked_pages_are_there)
{
    char *memory = anonymous(4, 0);
    CHECK_OK(mlock(memory + 1, PAGE)); /* two pages, by rounding */
    CHECK_EQ(resident_pages(memory, 4), 2);
    CHECK_OK(munlock(memory, 2 * PAGE));
    memory = anonymous(4, 0);
    CHECK_OK(mlock2(memory, 4 * PAGE, MLOCK_ONFAULT));
    CHECK_EQ(resident_pages(memory, 4), 0); /* those only that are touched */
    memory[PAGE] = 1;
    CHECK_EQ(resident_pages(memory, 4), 1);
    CHECK_OK(syscall(SYS_mlock2, memory, 2L * PAGE, 0));
    CHECK_EQ(resident_pages(memory, 4), 2);
    CHECK_ERRNO(mlock2(memory, PAGE, 2), EINVAL);
    CHECK_OK(mlock(memory, 0));
    char *last = (char *)-(intptr_t)PAGE; /* its end is past the last address */
    CHECK_ERRNO(mlock(last, 2 * PAGE), EINVAL);
    CHECK_ERRNO(munlock(last, 2 * PAGE), EINVAL);
    CHECK_ERRNO(mlock2(last, 2 * PAGE, 0), EINVAL);
    REQUIRE_OK(munmap(memory + PAGE, PAGE));
    CHECK_ERRNO(mlock(memory, 4 * PAGE), ENOMEM);
    CHECK_ERRNO(munlock(memory, 4 * PAGE), ENOMEM);
}

TEST(everything_is_locked)
{
    pid_t pid = fork_child();
    if (pid == 0) {
        CHECK_ERRNO(mlockall(0), EINVAL);
        CHECK_ERRNO(mlockall(8), EINVAL);
        CHECK_ERRNO(mlockall(MCL_ONFAULT), EINVAL);
        CHECK_OK(mlockall(MCL_CURRENT | MCL_ONFAULT));
        CHECK_EQ(resident_pages(anonymous(4, 0), 4), 0);
        CHECK_OK(mlockall(MCL_FUTURE));
        CHECK_EQ(resident_pages(anonymous(4, 0), 4), 4);
        CHECK_OK(mlockall(MCL_FUTURE | MCL_ONFAULT));
        CHECK_EQ(resident_pages(anonymous(4, 0), 4), 0);
        CHECK_OK(munlockall());
        CHECK_EQ(resident_pages(anonymous(4, 0), 4), 0);
        guest_finish();
    }
    CHECK_CHILD(pid);
}

TEST(no_more_than_the_limit_is_locked)
{
    pid_t pid = fork_child();
    if (pid == 0) {
        become_unprivileged();
        limit_locked(2 * PAGE);
        char *memory = anonymous(4, 0);
        CHECK_OK(mlock(memory, 2 * PAGE));
        CHECK_ERRNO(mlock(memory, 3 * PAGE), ENOMEM);
        CHECK_ERRNO(mlock2(memory, 3 * PAGE, MLOCK_ONFAULT), ENOMEM);
        CHECK_ERRNO(anonymous(1, MAP_LOCKED), EAGAIN);
        CHECK_ERRNO(mlockall(MCL_CURRENT), ENOMEM);
        CHECK_ERRNO(mremap(memory, 2 * PAGE, 4 * PAGE, MREMAP_MAYMOVE), EAGAIN);
        CHECK_OK(munlockall());
        limit_locked(0);
        CHECK_ERRNO(mlock(memory, PAGE), EPERM);
        CHECK_ERRNO(mlock2(memory, PAGE, MLOCK_ONFAULT), EPERM);
        CHECK_ERRNO(mlockall(MCL_FUTURE), EPERM);
        CHECK_ERRNO(anonymous(1, MAP_LOCKED), EPERM);
        CHECK_OK(munlock(memory, PAGE));
        guest_finish();
    }
    CHECK_CHILD(pid);
}

/* ---- sealed, and with keys --------------------------------------------------------------------------------------- */

TEST(a_sealed_mapping_stays)
{
    char *memory = anonymous(3, 0);
    if (syscall(NR_MSEAL, memory + PAGE, (long)PAGE, 0L) == -1 && errno == ENOSYS)
        SKIP("this kernel is older than 6.10");
    char *sealed = memory + PAGE;
    CHECK_ERRNO(munmap(sealed, PAGE), EPERM);
    CHECK_ERRNO(munmap(memory, 3 * PAGE), EPERM);
    CHECK_ERRNO(mprotect(sealed, PAGE, PROT_READ), EPERM);
    CHECK_ERRNO(mremap(sealed, PAGE, 2 * PAGE, MREMAP_MAYMOVE), EPERM);
    CHECK_ERRNO(mmap(sealed, PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0), EPERM);
    sealed[0] = 'w';
    CHECK_OK(madvise(sealed, PAGE, MADV_DONTNEED)); /* what it may write, it may forget */
    REQUIRE_OK(mprotect(memory + 2 * PAGE, PAGE, PROT_READ));
    REQUIRE_OK(syscall(NR_MSEAL, memory + 2 * PAGE, (long)PAGE, 0L));
    CHECK_ERRNO(madvise(memory + 2 * PAGE, PAGE, MADV_DONTNEED), EPERM);
    CHECK_OK(munmap(memory, PAGE));
    CHECK_ERRNO(syscall(NR_MSEAL, sealed, (long)PAGE, 1L), EINVAL);
    CHECK_ERRNO(syscall(NR_MSEAL, sealed + 1, (long)PAGE, 0L), EINVAL);
    CHECK_ERRNO(syscall(NR_MSEAL, sealed, -1L * PAGE, 0L), EINVAL);
    CHECK_ERRNO(syscall(NR_MSEAL, memory, 2L * PAGE, 0L), ENOMEM);
    CHECK_OK(syscall(NR_MSEAL, sealed, 0L, 0L));
}

TEST(protection_keys)
{
    char *memory = anonymous(2, 0);
    CHECK_ERRNO(syscall(SYS_pkey_alloc, 1L, 0L), EINVAL);
    CHECK_ERRNO(syscall(SYS_pkey_alloc, 0L, 4L), EINVAL);
    CHECK_ERRNO(syscall(SYS_pkey_free, -1), EINVAL);
    CHECK_ERRNO(syscall(SYS_pkey_free, 15), EINVAL);
    CHECK_ERRNO(syscall(SYS_pkey_mprotect, memory, (long)PAGE, PROT_READ, 15), EINVAL);
    CHECK_OK(syscall(SYS_pkey_mprotect, memory, (long)PAGE, PROT_READ, -1)); /* as mprotect */
    CHECK(is_fault(memory, true));
    CHECK_ERRNO(syscall(SYS_pkey_mprotect, memory + 1, (long)PAGE, PROT_READ, -1), EINVAL);
    CHECK_ERRNO(syscall(SYS_pkey_mprotect, bad_address, (long)PAGE, PROT_READ, -1), EINVAL);
    CHECK_ERRNO(syscall(SYS_pkey_mprotect, memory, (long)PAGE, PROT_READ | GROWS_DOWN | GROWS_UP, -1), EINVAL);
    CHECK_ERRNO(syscall(SYS_pkey_mprotect, memory, (long)PAGE, PROT_READ | GROWS_DOWN, -1), EINVAL);
    CHECK_ERRNO(syscall(SYS_pkey_mprotect, memory, (long)PAGE, PROT_READ | GROWS_UP, -1), EINVAL);
    char *program = mmap(NULL, PAGE, PROT_READ, MAP_SHARED, open("/proc/self/exe", O_RDONLY), 0);
    REQUIRE(program != MAP_FAILED);
    CHECK_ERRNO(syscall(SYS_pkey_mprotect, program, (long)PAGE, PROT_READ | PROT_WRITE, -1), EACCES);
    CHECK_ERRNO(mprotect(program, PAGE, PROT_READ | PROT_WRITE), EACCES);
    CHECK_OK(syscall(SYS_pkey_mprotect, memory, (long)PAGE, PROT_READ | PROT_WRITE | PROT_EXEC, -1));
    CHECK_OK(syscall(SYS_pkey_mprotect, memory, (long)PAGE, PROT_NONE, -1));
    int key = (int)syscall(SYS_pkey_alloc, 0L, (long)PKEY_DISABLE_WRITE);
    if (key < 0) {
        CHECK(errno == EINVAL || errno == ENOSPC); /* Linux 6.18, as the manual has it */
        SKIP("this processor has no protection keys");
    }
    CHECK_OK(syscall(SYS_pkey_mprotect, memory + PAGE, (long)PAGE, PROT_READ | PROT_WRITE, key));
    CHECK(is_fault(memory + PAGE, true));
    CHECK(!is_fault(memory + PAGE, false));
    CHECK_OK(pkey_set(key, 0));
    CHECK(!is_fault(memory + PAGE, true));
    CHECK_OK(syscall(SYS_pkey_free, key));
}
