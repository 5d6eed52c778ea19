/* pagemap: /proc/self/pagemap, what a process may know of its pages. */
#include "guest.h"

/* The pages' bits of pagemap, without where they lie. */
static void pagemap_of(int fd, const void *from, int count, uint64_t *bits)
{
    CHECK_EQ(pread(fd, bits, (size_t)count * 8, (off_t)((uintptr_t)from / 4096 * 8)), count * 8);
    for (int i = 0; i < count; i++)
        bits[i] &= 0xff80000000000000;
}

TEST(pagemap_tells_which_pages_are_there)
{
    const uint64_t present = 1ULL << 63, of_file = 1ULL << 61;
    uint64_t bits[3];
    scratch();
    write_file("mapped-file", "x");
    int fd = open("/proc/self/pagemap", O_RDONLY);
    REQUIRE_OK(fd);
    char *memory = mmap(NULL, 3 * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    memory[4096] = 1;
    pagemap_of(fd, memory, 3, bits);
    CHECK_EQ(bits[0] & present, 0);
    CHECK_EQ(bits[1] & (present | of_file), present);
    CHECK_EQ(bits[2] & present, 0);
    const char *file = mmap(NULL, 4096, PROT_READ, MAP_SHARED | MAP_POPULATE, open("mapped-file", O_RDONLY), 0);
    REQUIRE(file != MAP_FAILED);
    pagemap_of(fd, file, 1, bits);
    CHECK_EQ(bits[0] & (present | of_file), present | of_file);
    CHECK_EQ(lseek(fd, (off_t)((uintptr_t)memory / 4096 * 8), SEEK_SET), (off_t)((uintptr_t)memory / 4096 * 8));
    CHECK_EQ(read(fd, bits, 8), 8); /* one by one */
    CHECK_EQ(read(fd, bits + 1, 8), 8);
    CHECK_EQ(bits[0] & present, 0);
    CHECK_EQ(bits[1] & present, present);
    CHECK_ERRNO(pread(fd, bits, 7, 0), EINVAL);
    CHECK_ERRNO(pread(fd, bits, 8, 4), EINVAL);
    CHECK_EQ(pread(fd, bits, 8, 1L << 50), 0);
    CHECK_ERRNO(lseek(fd, 0, SEEK_END), EINVAL);
    CHECK_ERRNO(write(fd, bits, 8), EBADF);
}
