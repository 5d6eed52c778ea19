/* memory: mappings of files and memory, sharing, protection, remapping, memfd and its seals. */
#include "guest.h"

#include <setjmp.h>

enum { PAGE = 4096 };

static sigjmp_buf escape;
static volatile sig_atomic_t fault_code;

static void jump_out(int signal_number, siginfo_t *info, void *context)
{
    (void)signal_number;
    (void)context;
    fault_code = info->si_code;
    siglongjmp(escape, 1);
}

static void catch_faults(int signal_number)
{
    struct sigaction action = {.sa_sigaction = jump_out, .sa_flags = SA_SIGINFO};
    REQUIRE_OK(sigaction(signal_number, &action, NULL));
}

static int make_file(const char *path, size_t pages)
{
    int fd = open(path, O_RDWR | O_CREAT | O_TRUNC, 0644);
    REQUIRE(fd >= 0);
    char page[PAGE];
    for (size_t i = 0; i < pages; i++) {
        memset(page, 'a' + (int)(i % 26), sizeof page);
        REQUIRE(write(fd, page, sizeof page) == PAGE);
    }
    return fd;
}

TEST(private_mapping_shows_the_file)
{
    scratch();
    int fd = make_file("f", 3);
    char *memory = mmap(NULL, 3 * PAGE, PROT_READ, MAP_PRIVATE, fd, 0);
    REQUIRE(memory != MAP_FAILED);
    CHECK(memory[0] == 'a' && memory[PAGE] == 'b' && memory[3 * PAGE - 1] == 'c');
    close(fd);
    CHECK_EQ(memory[2 * PAGE], 'c'); /* the mapping outlives the descriptor */
    CHECK_OK(unlink("f"));
    CHECK_EQ(memory[PAGE + 1], 'b');
    CHECK_OK(munmap(memory, 3 * PAGE));
}

TEST(private_writes_stay_private)
{
    scratch();
    int fd = make_file("f", 1);
    char *memory = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0), byte;
    REQUIRE(memory != MAP_FAILED);
    memory[0] = 'Z';
    CHECK_EQ(pread(fd, &byte, 1, 0), 1);
    CHECK_EQ(byte, 'a');
    int readonly = open("f", O_RDONLY);
    CHECK(mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE, readonly, 0) != MAP_FAILED);
}

TEST(shared_writes_reach_the_file_and_back)
{
    scratch();
    int fd = make_file("f", 2);
    char *memory = mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0), text[8] = "";
    REQUIRE(memory != MAP_FAILED);
    memcpy(memory + PAGE, "shared", 6);
    CHECK_EQ(pread(fd, text, 6, PAGE), 6);
    CHECK_STR(text, "shared");
    CHECK_EQ(pwrite(fd, "written", 7, 100), 7);
    CHECK(memcmp(memory + 100, "written", 7) == 0);
    CHECK_OK(msync(memory, 2 * PAGE, MS_SYNC));
    CHECK_OK(msync(memory, 2 * PAGE, MS_ASYNC));
    int other = open("f", O_RDONLY);
    char *view = mmap(NULL, PAGE, PROT_READ, MAP_SHARED, other, PAGE);
    REQUIRE(view != MAP_FAILED);
    CHECK(memcmp(view, "shared", 6) == 0);
    memory[PAGE] = 'S';
    CHECK_EQ(view[0], 'S');
}

TEST(shared_file_mappings_between_processes)
{
    scratch();
    int fd = make_file("f", 1);
    volatile char *memory = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    REQUIRE(memory != MAP_FAILED);
    pid_t pid = fork_child();
    if (pid == 0) {
        memory[5] = 'C';
        guest_finish();
    }
    CHECK_CHILD(pid);
    CHECK_EQ(memory[5], 'C');
    pid = fork_child();
    if (pid == 0) {
        int again = open("f", O_RDWR);
        volatile char *own = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, again, 0);
        CHECK_EQ(own[5], 'C');
        own[6] = 'D';
        guest_finish();
    }
    CHECK_CHILD(pid);
    CHECK_EQ(memory[6], 'D');
}

TEST(mapping_permissions_follow_the_descriptor)
{
    scratch();
    close(make_file("f", 1));
    int readonly = open("f", O_RDONLY), writeonly = open("f", O_WRONLY), path = open("f", O_PATH);
    CHECK_ERRNO(mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, readonly, 0), EACCES);
    CHECK_ERRNO(mmap(NULL, PAGE, PROT_READ, MAP_SHARED, writeonly, 0), EACCES);
    CHECK_ERRNO(mmap(NULL, PAGE, PROT_READ, MAP_PRIVATE, writeonly, 0), EACCES);
    CHECK_ERRNO(mmap(NULL, PAGE, PROT_READ, MAP_PRIVATE, path, 0), EBADF);
    char *memory = mmap(NULL, PAGE, PROT_READ, MAP_SHARED, readonly, 0);
    CHECK(memory != MAP_FAILED);
    CHECK_ERRNO(mprotect(memory, PAGE, PROT_READ | PROT_WRITE), EACCES);
}

TEST(mapping_errors)
{
    scratch();
    int fd = make_file("f", 1), ends[2];
    REQUIRE_OK(pipe(ends));
    CHECK_ERRNO(mmap(NULL, PAGE, PROT_READ, MAP_PRIVATE, 999, 0), EBADF);
    CHECK_ERRNO(mmap(NULL, PAGE, PROT_READ, MAP_PRIVATE, ends[0], 0), ENODEV);
    CHECK_ERRNO(mmap(NULL, PAGE, PROT_READ, MAP_PRIVATE, open(".", O_RDONLY), 0), ENODEV);
    CHECK_ERRNO(mmap(NULL, 0, PROT_READ, MAP_PRIVATE, fd, 0), EINVAL);
    CHECK_ERRNO(syscall(SYS_mmap, NULL, PAGE, PROT_READ, MAP_PRIVATE, fd, 100), EINVAL);
    CHECK_ERRNO(mmap(NULL, PAGE, PROT_READ, 0, fd, 0), EINVAL);
    CHECK_ERRNO(munmap((void *)1, PAGE), EINVAL);
}

TEST(mapping_at_an_offset_and_a_fixed_address)
{
    scratch();
    int fd = make_file("f", 4);
    char *area = mmap(NULL, 4 * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    char *memory = mmap(area + PAGE, 2 * PAGE, PROT_READ, MAP_PRIVATE | MAP_FIXED, fd, 2 * PAGE);
    CHECK(memory == area + PAGE);
    CHECK(memory[0] == 'c' && memory[PAGE] == 'd');
    CHECK_ERRNO(mmap(area + PAGE, PAGE, PROT_READ, MAP_PRIVATE | MAP_FIXED_NOREPLACE, fd, 0), EEXIST);
}

TEST(bytes_after_the_end_are_zero_and_pages_after_it_fault)
{
    scratch();
    int fd = open("f", O_RDWR | O_CREAT, 0600);
    CHECK_EQ(write(fd, "end", 3), 3);
    char *memory = mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    REQUIRE(memory != MAP_FAILED);
    CHECK(memory[2] == 'd' && memory[3] == 0 && memory[PAGE - 1] == 0);
    catch_faults(SIGBUS);
    if (sigsetjmp(escape, 1) == 0) {
        CHECK_EQ(*(volatile char *)(memory + PAGE), 'x');
        CHECK(false);
    }
    CHECK_EQ(fault_code, BUS_ADRERR);
    CHECK_OK(ftruncate(fd, 2 * PAGE));
    CHECK_EQ(*(volatile char *)(memory + PAGE), 0);
}

TEST(code_can_be_mapped_and_run)
{
    scratch();
    static const unsigned char code[] = {0xb8, 0x2a, 0, 0, 0, 0xc3}; /* mov eax, 42; ret */
    int fd = open("code", O_RDWR | O_CREAT, 0700);
    CHECK_EQ(write(fd, code, sizeof code), sizeof code);
    void *memory = mmap(NULL, PAGE, PROT_READ | PROT_EXEC, MAP_PRIVATE, fd, 0);
    REQUIRE(memory != MAP_FAILED);
    CHECK_EQ(((int (*)(void))memory)(), 42);
    void *anonymous = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    memcpy(anonymous, code, sizeof code);
    CHECK_OK(mprotect(anonymous, PAGE, PROT_READ | PROT_EXEC));
    CHECK_EQ(((int (*)(void))anonymous)(), 42);
}

TEST(anonymous_memory)
{
    volatile char *shared = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    char *own = mmap(NULL, 8 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    pid_t pid = fork_child();
    if (pid == 0) {
        shared[0] = 's';
        own[0] = 'p';
        guest_finish();
    }
    CHECK_CHILD(pid);
    CHECK_EQ(shared[0], 's');
    CHECK_EQ(own[0], 0);
    CHECK_OK(munmap(own + PAGE, PAGE));
    catch_faults(SIGSEGV);
    if (sigsetjmp(escape, 1) == 0) {
        *(volatile char *)(own + PAGE) = 1;
        CHECK(false);
    }
    CHECK_EQ(fault_code, SEGV_MAPERR);
    own[2 * PAGE] = 'k';
    CHECK_OK(madvise(own + 2 * PAGE, PAGE, MADV_DONTNEED));
    CHECK_EQ(own[2 * PAGE], 0);
}

TEST(mremap_grows_moves_and_shrinks)
{
    scratch();
    char *memory = mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    strcpy(memory, "moved");
    char *larger = mremap(memory, 2 * PAGE, 64 * PAGE, MREMAP_MAYMOVE);
    REQUIRE(larger != MAP_FAILED);
    CHECK_STR(larger, "moved");
    larger[63 * PAGE] = 1;
    CHECK(mremap(larger, 64 * PAGE, PAGE, 0) == larger);
    int fd = make_file("f", 4);
    char *file = mmap(NULL, PAGE, PROT_READ, MAP_SHARED, fd, 0);
    file = mremap(file, PAGE, 4 * PAGE, MREMAP_MAYMOVE);
    REQUIRE(file != MAP_FAILED);
    CHECK_EQ(file[3 * PAGE], 'd');
    CHECK_ERRNO(mremap(larger + 1, PAGE, PAGE, 0), EINVAL);
}

TEST(memfd_is_a_file_without_a_name)
{
    int fd = memfd_create("guest", MFD_CLOEXEC);
    CHECK_OK(fd);
    CHECK_EQ(fcntl(fd, F_GETFD), FD_CLOEXEC);
    CHECK_EQ(write(fd, "in memory", 9), 9);
    CHECK_OK(ftruncate(fd, 3 * PAGE));
    char *memory = mmap(NULL, 3 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0), text[16] = "";
    REQUIRE(memory != MAP_FAILED);
    CHECK(memcmp(memory, "in memory", 9) == 0);
    memcpy(memory + PAGE, "mapped", 6);
    CHECK_EQ(pread(fd, text, 6, PAGE), 6);
    CHECK_STR(text, "mapped");
    struct stat status;
    CHECK_OK(fstat(fd, &status));
    CHECK(S_ISREG(status.st_mode));
    CHECK_EQ(status.st_size, 3 * PAGE);
    char path[64], target[64] = "";
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    CHECK_OK(readlink(path, target, sizeof target - 1));
    CHECK_STR(target, "/memfd:guest (deleted)");
    CHECK_ERRNO(memfd_create("x", 0x8000), EINVAL);
    CHECK_ERRNO(memfd_create("x", MFD_HUGETLB | 0x8000), EINVAL);
    CHECK_ERRNO(memfd_create("x", ~0u), EINVAL);
}

TEST(memfd_seals)
{
    int fd = memfd_create("sealed", MFD_ALLOW_SEALING), plain = memfd_create("plain", 0);
    CHECK_EQ(fcntl(fd, F_GET_SEALS), 0);
    CHECK_EQ(fcntl(plain, F_GET_SEALS), F_SEAL_SEAL);
    CHECK_ERRNO(fcntl(plain, F_ADD_SEALS, F_SEAL_WRITE), EPERM);
    CHECK_OK(ftruncate(fd, PAGE));
    CHECK_OK(fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK));
    CHECK_ERRNO(ftruncate(fd, 1), EPERM);
    CHECK_OK(ftruncate(fd, 2 * PAGE));
    CHECK_OK(fcntl(fd, F_ADD_SEALS, F_SEAL_GROW | F_SEAL_WRITE));
    CHECK_ERRNO(ftruncate(fd, 3 * PAGE), EPERM);
    CHECK_ERRNO(write(fd, "x", 1), EPERM);
    CHECK_ERRNO(mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0), EPERM);
    CHECK(mmap(NULL, PAGE, PROT_READ, MAP_SHARED, fd, 0) != MAP_FAILED);
    CHECK_EQ(fcntl(fd, F_GET_SEALS), F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE);
    CHECK_OK(fcntl(fd, F_ADD_SEALS, F_SEAL_SEAL));
    CHECK_ERRNO(fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE), EPERM);
    scratch();
    CHECK_ERRNO(fcntl(open(".", O_RDONLY), F_GET_SEALS), EINVAL);
}

TEST(sealable_memfd_with_holes)
{
    int fd = memfd_create("holes", MFD_ALLOW_SEALING);
    const off_t far = 1l << 40;
    struct stat status;
    CHECK_OK(ftruncate(fd, far)); /* takes no memory */
    CHECK_EQ(pwrite(fd, "end", 3, far - 1), 3);
    REQUIRE_OK(fstat(fd, &status));
    CHECK_EQ(status.st_size, far + 2);
    CHECK(status.st_blocks > 0 && status.st_blocks <= 64);
    CHECK_OK(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, far - PAGE, 2 * PAGE));
    CHECK_OK(ftruncate(fd, 2 * PAGE));
    char *memory = mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    REQUIRE(memory != MAP_FAILED);
    memory[PAGE] = 'm';
    char byte = 0;
    CHECK_EQ(pread(fd, &byte, 1, PAGE), 1);
    CHECK_EQ(byte, 'm');
    CHECK_OK(ftruncate(fd, 8 * PAGE)); /* grows while it is mapped */
    CHECK_OK(fallocate(fd, 0, 0, 16 * PAGE));
    CHECK_EQ(pwrite(fd, "x", 1, 16 * PAGE), 1);
    CHECK_EQ(lseek(fd, 0, SEEK_END), 16 * PAGE + 1);
}

TEST(shm_open_is_shared_by_name)
{
    char name[64];
    snprintf(name, sizeof name, "/guest-%d", getpid());
    int fd = shm_open(name, O_RDWR | O_CREAT | O_EXCL, 0600);
    REQUIRE_OK(fd);
    CHECK_OK(ftruncate(fd, PAGE));
    pid_t pid = fork_child();
    if (pid == 0) {
        int again = shm_open(name, O_RDWR, 0);
        CHECK_OK(again);
        char *memory = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, again, 0);
        REQUIRE(memory != MAP_FAILED);
        strcpy(memory, "named");
        guest_finish();
    }
    CHECK_CHILD(pid);
    char *memory = mmap(NULL, PAGE, PROT_READ, MAP_SHARED, fd, 0);
    CHECK_STR(memory, "named");
    CHECK_OK(shm_unlink(name));
    CHECK_ERRNO(shm_open(name, O_RDWR, 0), ENOENT);
}

TEST(program_break)
{
    char *start = sbrk(0);
    CHECK(sbrk(100000) == start);
    start[99999] = 1;
    CHECK(sbrk(0) == start + 100000);
    CHECK_OK(brk(start));
}

TEST(mincore_and_mlock)
{
    char *memory = mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    memory[0] = 1;
    unsigned char resident[2] = {9, 9};
    CHECK_OK(mincore(memory, 2 * PAGE, resident));
    CHECK_EQ(resident[0] & 1, 1);
    CHECK_OK(mlock(memory, PAGE));
    CHECK_OK(munlock(memory, PAGE));
}

TEST(many_mappings_of_one_descriptor)
{
    scratch();
    int fd = make_file("f", 26);
    for (int i = 0; i < 200; i++) {
        char *memory = mmap(NULL, PAGE, PROT_READ, MAP_PRIVATE, fd, i % 26 * PAGE);
        REQUIRE(memory != MAP_FAILED);
        CHECK_EQ(memory[0], 'a' + i % 26);
        CHECK_OK(munmap(memory, PAGE));
    }
    CHECK_OK(close(fd));
    CHECK_ERRNO(mmap(NULL, PAGE, PROT_READ, MAP_PRIVATE, fd, 0), EBADF);
}

TEST(mapping_at_the_end_of_the_stack)
{
    scratch();
    int fd = make_file("f", 1);
    long at = call_at_stack_end(SYS_mmap, 0, PAGE, PROT_READ, MAP_PRIVATE, fd, 0);
    REQUIRE(at > 0);
    CHECK_EQ(*(char *)at, 'a');
    CHECK_OK(close(fd));
}

TEST(a_number_reused_maps_the_new_file)
{
    scratch();
    int fd = make_file("f", 1);
    char *first = mmap(NULL, PAGE, PROT_READ, MAP_PRIVATE, fd, 0);
    CHECK_OK(close(fd));
    write_file("g", "other");
    CHECK_EQ(open("g", O_RDONLY), fd);
    char *second = mmap(NULL, PAGE, PROT_READ, MAP_PRIVATE, fd, 0);
    CHECK_STR(second, "other");
    CHECK_EQ(first[0], 'a');
    int null = open("/dev/zero", O_RDWR);
    CHECK_EQ(dup2(null, fd), fd);
    char *zeros = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
    REQUIRE(zeros != MAP_FAILED);
    CHECK_EQ(zeros[0], 0);
}
