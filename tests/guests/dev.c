/* dev: the device files every program expects. */
#include "guest.h"

#include <dirent.h>
#include <linux/fs.h>
#include <linux/loop.h>
#include <linux/random.h>
#include <sys/ioctl.h>
#include <sys/statvfs.h>
#include <sys/sysmacros.h>
#include <termios.h>

static void check_device(const char *path, unsigned major_number, unsigned minor_number)
{
    struct stat status;
    if (stat(path, &status) == -1) {
        GUEST_FAIL("stat %s: %s", path, strerrorname_np(errno));
        return;
    }
    if (!S_ISCHR(status.st_mode) || status.st_rdev != makedev(major_number, minor_number))
        GUEST_FAIL("%s: mode %o, device %u:%u", path, status.st_mode, major(status.st_rdev), minor(status.st_rdev));
}

TEST(numbers)
{
    check_device("/dev/null", 1, 3);
    check_device("/dev/zero", 1, 5);
    check_device("/dev/full", 1, 7);
    check_device("/dev/random", 1, 8);
    check_device("/dev/urandom", 1, 9);
    check_device("/dev/tty", 5, 0);
}

TEST(null_swallows_and_ends)
{
    int fd = open("/dev/null", O_RDWR);
    char byte;
    CHECK_EQ(write(fd, "nothing", 7), 7);
    CHECK_EQ(read(fd, &byte, 1), 0);
    CHECK_EQ(lseek(fd, 100, SEEK_SET), 0);
    CHECK_OK(open("/dev/null", O_WRONLY | O_CREAT | O_TRUNC, 0600));
    CHECK_OK(open("/dev/null", O_WRONLY | O_APPEND));
    CHECK_ERRNO(open("/dev/null", O_RDONLY | O_DIRECTORY), ENOTDIR);
}

TEST(zero_gives_zeros)
{
    int fd = open("/dev/zero", O_RDWR);
    char *bytes = guarded(5000);
    CHECK_EQ(read(fd, bytes, 5000), 5000);
    int others = 0;
    for (int i = 0; i < 5000; i++)
        others += bytes[i] != 0;
    CHECK_EQ(others, 0);
    CHECK_EQ(write(fd, "x", 1), 1);
    char *memory = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
    REQUIRE(memory != MAP_FAILED);
    CHECK_EQ(memory[5000], 0);
    memory[0] = 1;
}

TEST(full_is_full)
{
    int fd = open("/dev/full", O_RDWR);
    char byte = 1;
    CHECK_ERRNO(write(fd, "x", 1), ENOSPC);
    CHECK_EQ(read(fd, &byte, 1), 1);
    CHECK_EQ(byte, 0);
}

TEST(random_differs)
{
    char first[32] = {0}, second[32] = {0};
    int fd = open("/dev/urandom", O_RDONLY), other = open("/dev/random", O_RDONLY);
    CHECK_EQ(read(fd, first, sizeof first), sizeof first);
    CHECK_EQ(read(other, second, sizeof second), sizeof second);
    CHECK(memcmp(first, second, sizeof first) != 0);
    CHECK_EQ(read(fd, second, sizeof second), sizeof second);
    CHECK(memcmp(first, second, sizeof first) != 0);
}

TEST(standard_descriptors_have_names)
{
    char target[64] = "";
    CHECK_EQ(readlink("/dev/stdin", target, sizeof target - 1), 15);
    CHECK_STR(target, "/proc/self/fd/0");
    CHECK_OK(readlink("/dev/fd", target, sizeof target));
    int ends[2];
    REQUIRE_OK(pipe(ends));
    int saved = dup(1);
    CHECK_OK(dup2(ends[1], 1));
    int fd = open("/dev/stdout", O_WRONLY);
    CHECK_OK(dup2(saved, 1));
    CHECK_OK(fd);
    CHECK_EQ(write(fd, "out", 3), 3);
    char text[4] = "";
    CHECK_EQ(read(ends[0], text, 3), 3);
    CHECK_STR(text, "out");
    char path[32];
    snprintf(path, sizeof path, "/dev/fd/%d", ends[0]);
    CHECK_OK(open(path, O_RDONLY));
}

TEST(shm_is_a_writable_directory)
{
    struct stat status;
    CHECK_OK(stat("/dev/shm", &status));
    CHECK(S_ISDIR(status.st_mode));
    CHECK_EQ(status.st_mode & 07777, 01777);
    char path[] = "/dev/shm/guest-XXXXXX";
    int fd = mkstemp(path);
    CHECK_OK(fd);
    CHECK_EQ(write(fd, "x", 1), 1);
    CHECK_OK(unlink(path));
}

TEST(ptmx_makes_terminals)
{
    int master = open("/dev/ptmx", O_RDWR | O_NOCTTY);
    CHECK_OK(master);
    CHECK_OK(grantpt(master));
    CHECK_OK(unlockpt(master));
    char *name = ptsname(master);
    REQUIRE(name != NULL);
    int slave = open(name, O_RDWR | O_NOCTTY);
    CHECK_OK(slave);
    CHECK_EQ(write(slave, "via ptmx", 8), 8);
    char text[16] = "";
    CHECK_EQ(read(master, text, sizeof text), 8);
    CHECK_STR(text, "via ptmx");
    DIR *dir = opendir("/dev/pts");
    REQUIRE(dir != NULL);
    bool found = false;
    for (struct dirent *entry; (entry = readdir(dir)) != NULL;)
        found = found || strcmp(entry->d_name, name + strlen("/dev/pts/")) == 0;
    closedir(dir);
    CHECK(found);
    close(slave);
    close(master);
    CHECK_ERRNO(access(name, F_OK), ENOENT);
}

TEST(listing)
{
    static const char *const names[] = {"null", "zero", "full", "random", "urandom", "tty", "ptmx", "pts", "shm",
                                        "fd", "stdin", "stdout", "stderr"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        char path[32];
        struct stat status;
        snprintf(path, sizeof path, "/dev/%s", names[i]);
        if (lstat(path, &status) == -1)
            GUEST_FAIL("no %s", path);
    }
}

TEST(a_file_is_a_block_device)
{
    char name[32], page[4096] = "through the device", back[4096];
    uint64_t size = 0;
    struct loop_info64 info = {0};
    int control = open("/dev/loop-control", O_RDWR), device = -1;
    if (control == -1)
        SKIP("loop devices need root's privileges");
    scratch();
    int file = open("image", O_CREAT | O_RDWR, 0600);
    REQUIRE_OK(ftruncate(file, 1 << 20));
    for (int tries = 0; tries < 20; tries++) { /* somebody else may take the free one meanwhile */
        int number = ioctl(control, LOOP_CTL_GET_FREE);
        snprintf(name, sizeof name, "/dev/loop%d", number);
        device = open(name, O_RDWR);
        if (device >= 0 && ioctl(device, LOOP_SET_FD, file) == 0)
            break;
        close(device);
        device = -1;
    }
    if (device == -1)
        SKIP("no free loop device");
    CHECK_OK(ioctl(device, BLKGETSIZE64, &size));
    CHECK_EQ(size, 1 << 20);
    CHECK_ERRNO(ioctl(device, LOOP_SET_FD, file), EBUSY);
    CHECK_EQ(pwrite(device, page, sizeof page, 8192), 4096);
    CHECK_OK(fsync(device));
    CHECK_EQ(pread(file, back, sizeof back, 8192), 4096);
    CHECK_EQ(memcmp(page, back, sizeof page), 0);
    CHECK_EQ(lseek(device, 0, SEEK_END), 1 << 20);
    CHECK_ERRNO(write(device, page, sizeof page), ENOSPC);
    CHECK_EQ(pread(device, back, sizeof back, 1 << 20), 0);
    CHECK_ERRNO(ftruncate(device, 0), EINVAL);
    CHECK_OK(ioctl(device, LOOP_GET_STATUS64, &info));
    CHECK_EQ(info.lo_offset, 0);
    CHECK_OK(ioctl(device, LOOP_CLR_FD, 0));
    close(device);
}

TEST(nodes_of_devices_that_are_not_there)
{
    scratch();
    if (mknod("node", S_IFBLK | 0600, makedev(240, 99)) == -1)
        SKIP("device nodes need CAP_MKNOD");
    struct stat status;
    struct statvfs place;
    CHECK_OK(statvfs(".", &place));
    CHECK_OK(stat("node", &status));
    CHECK(S_ISBLK(status.st_mode));
    CHECK_EQ(status.st_rdev, makedev(240, 99));
    CHECK_ERRNO(open("node", O_RDONLY), place.f_flag & ST_NODEV ? EACCES : ENXIO);
}

TEST(given_device)
{
    struct stat status;
    struct termios modes;
    int bits;
    CHECK_OK(fstat(0, &status));
    if (!S_ISCHR(status.st_mode) || isatty(0))
        SKIP("standard input is no such device");
    CHECK_ERRNO(ioctl(0, TCGETS, &modes), ENOTTY);
    CHECK_ERRNO(ioctl(0, RNDGETENTCNT, &bits), ENOTTY);
}
