/* stat_flags: what the flags and masks of statx, newfstatat and faccessat2 ask for; readlinkat's sizes. */
#include "guest.h"

#include <sys/sysmacros.h>
#include <sys/vfs.h>

/* Linux 6.1 to 6.14; the build's headers may be older. */
enum {
    DIOALIGN = 0x2000,
    MOUNT_ID_UNIQUE = 0x4000,
    SUBVOLUME = 0x8000,
    WRITE_ATOMIC = 0x10000,
    DIO_READ_ALIGN = 0x20000,
};

static int statx_of(const char *path, int flags, unsigned mask, struct statx *about)
{
    memset(about, 0xff, sizeof *about);
    return (int)syscall(SYS_statx, AT_FDCWD, path, flags, mask, about);
}

/* What is asked for is answered, and what was not may be. */
TEST(each_bit_of_the_mask)
{
    static const unsigned basic[] = {STATX_TYPE, STATX_MODE, STATX_NLINK, STATX_UID, STATX_GID, STATX_ATIME,
                                     STATX_MTIME, STATX_CTIME, STATX_INO, STATX_SIZE, STATX_BLOCKS};
    struct statx *about = guarded(sizeof *about);
    struct stat same;
    scratch();
    write_file("file", "12345");
    CHECK_OK(chmod("file", 0640));
    CHECK_OK(stat("file", &same));
    for (unsigned i = 0; i < sizeof basic / sizeof *basic; i++) {
        CHECK_OK(statx_of("file", 0, basic[i], about));
        CHECK_EQ(about->stx_mask & basic[i], basic[i]);
        CHECK_EQ(about->stx_blksize, same.st_blksize);
        CHECK_EQ(makedev(about->stx_dev_major, about->stx_dev_minor), same.st_dev);
        CHECK_EQ(about->__spare0[0], 0); /* what means nothing is zero */
    }
    CHECK_OK(statx_of("file", 0, STATX_BASIC_STATS, about));
    CHECK_EQ(about->stx_mode, S_IFREG | 0640);
    CHECK_EQ(about->stx_nlink, 1);
    CHECK_EQ(about->stx_uid, geteuid());
    CHECK_EQ(about->stx_size, 5);
    CHECK_EQ(about->stx_blocks, same.st_blocks);
    CHECK_EQ(about->stx_ctime.tv_sec, same.st_ctim.tv_sec);
    CHECK_EQ(about->stx_ctime.tv_nsec, same.st_ctim.tv_nsec);
    CHECK_OK(statx_of("file", 0, 0, about));
    CHECK_OK(statx_of("file", 0, STATX_BTIME, about));
    int64_t now = now_ns(CLOCK_REALTIME) / 1000000000; /* time(2) may be a tick behind the file */
    if (about->stx_mask & STATX_BTIME)
        CHECK(about->stx_btime.tv_sec <= now && about->stx_btime.tv_sec > now - 600);
    CHECK_OK(statx_of("/dev/null", 0, STATX_BASIC_STATS, about));
    CHECK_EQ(about->stx_rdev_major, 1);
    CHECK_EQ(about->stx_rdev_minor, 3);
}

TEST(mount_ids)
{
    struct statx *about = guarded(sizeof *about);
    char line[GUEST_PATH_BYTES], wanted[64];
    scratch();
    write_file("file", "x");
    CHECK_OK(statx_of(".", 0, STATX_MNT_ID, about));
    REQUIRE(about->stx_mask & STATX_MNT_ID); /* Linux 5.8 */
    uint64_t id = about->stx_mnt_id;
    CHECK_OK(statx_of("file", 0, STATX_MNT_ID, about));
    CHECK_EQ(about->stx_mnt_id, id);
    CHECK_OK(statx_of("/proc", 0, STATX_MNT_ID, about));
    CHECK(about->stx_mnt_id != id);
    bool is_found = false; /* it is the number in mountinfo */
    snprintf(wanted, sizeof wanted, "%llu ", (unsigned long long)about->stx_mnt_id);
    FILE *mounts = fopen("/proc/self/mountinfo", "r");
    REQUIRE(mounts != NULL);
    while (fgets(line, sizeof line, mounts) != NULL)
        is_found = is_found || (strncmp(line, wanted, strlen(wanted)) == 0 && strstr(line, " /proc ") != NULL);
    CHECK(is_found);
    CHECK_OK(statx_of(".", 0, STATX_MNT_ID | MOUNT_ID_UNIQUE, about));
    if (about->stx_mask & MOUNT_ID_UNIQUE) { /* Linux 6.8: the same field, another number */
        id = about->stx_mnt_id;
        CHECK_OK(statx_of("file", 0, MOUNT_ID_UNIQUE, about));
        CHECK_EQ(about->stx_mnt_id, id);
        CHECK_OK(statx_of("/proc", 0, MOUNT_ID_UNIQUE, about));
        CHECK(about->stx_mnt_id != id);
    }
}

/* Of these a file system says what it can; their fields are zero where it does not. */
TEST(what_some_file_systems_tell)
{
    enum { DIRECT_IO = 152, SUBVOLUME_ID = 160, ATOMIC_WRITES = 168 };
    struct statx *about = guarded(sizeof *about);
    uint32_t direct[2], atomic[3];
    uint64_t subvolume;
    scratch();
    write_file("file", "x");
    CHECK_OK(statx_of("file", 0, DIOALIGN | SUBVOLUME | WRITE_ATOMIC | DIO_READ_ALIGN, about));
    memcpy(direct, (char *)about + DIRECT_IO, sizeof direct);
    memcpy(&subvolume, (char *)about + SUBVOLUME_ID, sizeof subvolume);
    memcpy(atomic, (char *)about + ATOMIC_WRITES, sizeof atomic);
    if (!(about->stx_mask & DIOALIGN))
        CHECK(direct[0] == 0 && direct[1] == 0);
    if (!(about->stx_mask & SUBVOLUME))
        CHECK_EQ(subvolume, 0);
    if (!(about->stx_mask & WRITE_ATOMIC))
        CHECK(atomic[0] == 0 && atomic[1] == 0 && atomic[2] == 0);
    CHECK_EQ(about->stx_mode, S_IFREG | 0644);
}

TEST(flags_of_how_to_ask)
{
    struct statx *about = guarded(sizeof *about);
    struct stat status;
    scratch();
    write_file("file", "12345");
    CHECK_OK(symlink("file", "link"));
    static const int asked[] = {AT_NO_AUTOMOUNT, AT_STATX_SYNC_AS_STAT, AT_STATX_FORCE_SYNC, AT_STATX_DONT_SYNC};
    for (unsigned i = 0; i < sizeof asked / sizeof *asked; i++) {
        CHECK_OK(statx_of("link", asked[i], STATX_SIZE, about));
        CHECK_EQ(about->stx_size, 5);
        CHECK_OK(statx_of("link", asked[i] | AT_SYMLINK_NOFOLLOW, STATX_SIZE, about));
        CHECK_EQ(about->stx_size, 4);
    }
    CHECK_ERRNO(statx_of("link", AT_STATX_FORCE_SYNC | AT_STATX_DONT_SYNC, STATX_SIZE, about), EINVAL);
    CHECK_OK(syscall(SYS_newfstatat, AT_FDCWD, "link", &status, AT_NO_AUTOMOUNT));
    CHECK_EQ(status.st_size, 5);
    CHECK_OK(syscall(SYS_newfstatat, AT_FDCWD, "link", &status, AT_NO_AUTOMOUNT | AT_SYMLINK_NOFOLLOW));
    CHECK_EQ(status.st_size, 4);
    CHECK_OK(syscall(SYS_newfstatat, AT_FDCWD, "link", &status, AT_STATX_FORCE_SYNC)); /* not documented, but so */
    CHECK_ERRNO(syscall(SYS_newfstatat, AT_FDCWD, "link", &status, AT_SYMLINK_FOLLOW), EINVAL);
    CHECK_ERRNO(syscall(SYS_fstat, 999, &status), EBADF);
    CHECK_ERRNO(syscall(SYS_fstat, open("file", O_RDONLY), bad_address), EFAULT);
    CHECK_ERRNO(syscall(SYS_fstatfs, open("file", O_RDONLY), bad_address), EFAULT);
}

/* Every mode of a file against every question of its owner, who has no privileges. */
TEST(modes_of_access)
{
    enum { SOMEBODY = 4321 };
    scratch();
    write_file("file", "x");
    CHECK_OK(symlink("file", "link"));
    CHECK_OK(chmod(".", 0755));
    if (geteuid() == 0)
        REQUIRE_OK(chown("file", SOMEBODY, SOMEBODY));
    int fd = open("file", O_RDONLY);
    pid_t pid = fork_child();
    if (pid == 0) {
        if (geteuid() == 0) {
            REQUIRE_OK(setresgid(SOMEBODY, SOMEBODY, SOMEBODY));
            REQUIRE_OK(setresuid(SOMEBODY, SOMEBODY, SOMEBODY));
        }
        for (unsigned mode = 0; mode < 8; mode++) {
            REQUIRE_OK(fchmod(fd, mode << 6));
            for (unsigned asked = 0; asked < 8; asked++) {
                long answers[] = {
                    syscall(SYS_access, "link", asked),
                    syscall(SYS_faccessat, AT_FDCWD, "link", asked),
                    syscall(SYS_faccessat2, AT_FDCWD, "link", asked, AT_EACCESS),
                    syscall(SYS_faccessat2, fd, "", asked, AT_EMPTY_PATH),
                };
                for (int i = 0; i < 4; i++)
                    if (answers[i] != ((mode & asked) == asked ? 0 : -1))
                        GUEST_FAIL("form %d of access(%o) to a file of mode %o00: %ld", i, asked, mode, answers[i]);
                CHECK_OK(syscall(SYS_faccessat2, AT_FDCWD, "link", asked, AT_SYMLINK_NOFOLLOW)); /* links let all */
            }
        }
        guest_finish();
    }
    CHECK_CHILD(pid);
    CHECK_ERRNO(syscall(SYS_faccessat, AT_FDCWD, "file", 8), EINVAL);
    CHECK_ERRNO(syscall(SYS_faccessat, AT_FDCWD, "file", -1), EINVAL);
    CHECK_ERRNO(syscall(SYS_faccessat2, AT_FDCWD, "file", 8, 0), EINVAL);
    CHECK_ERRNO(syscall(SYS_access, "absent", 8), EINVAL); /* before the path */
}

/* access asks for the real ids, AT_EACCESS for those that count. */
TEST(real_and_effective_ids)
{
    if (geteuid() != 0)
        SKIP("a second identity is needed");
    scratch();
    write_file("file", "x");
    CHECK_OK(chmod("file", 0600));
    CHECK_OK(chmod(".", 0755));
    pid_t pid = fork_child();
    if (pid == 0) {
        REQUIRE_OK(setresuid(4321, 0, 0));
        CHECK_ERRNO(syscall(SYS_access, "file", R_OK), EACCES);
        CHECK_ERRNO(syscall(SYS_faccessat, AT_FDCWD, "file", W_OK), EACCES);
        CHECK_ERRNO(syscall(SYS_faccessat2, AT_FDCWD, "file", R_OK, 0), EACCES);
        CHECK_OK(syscall(SYS_faccessat2, AT_FDCWD, "file", R_OK | W_OK, AT_EACCESS));
        CHECK_OK(syscall(SYS_access, "file", F_OK));
        guest_finish();
    }
    CHECK_CHILD(pid);
}

TEST(sizes_of_readlinkat)
{
    scratch();
    write_file("file", "x");
    CHECK_OK(symlink("file", "link"));
    char *exact = guarded(4), text[8];
    CHECK_EQ(readlinkat(AT_FDCWD, "link", exact, 4), 4);
    CHECK_EQ(memcmp(exact, "file", 4), 0);
    CHECK_EQ(readlinkat(AT_FDCWD, "link", guarded(1), 1), 1);
    CHECK_ERRNO(syscall(SYS_readlinkat, AT_FDCWD, "link", text, 0), EINVAL);
    CHECK_ERRNO(syscall(SYS_readlinkat, AT_FDCWD, "link", text, -1), EINVAL);
    CHECK_ERRNO(syscall(SYS_readlinkat, AT_FDCWD, "file", text, 8), EINVAL);
    CHECK_ERRNO(syscall(SYS_readlinkat, AT_FDCWD, ".", text, 8), EINVAL);
    CHECK_ERRNO(syscall(SYS_readlinkat, open("file", O_PATH), "", text, 8), ENOENT);
    CHECK_ERRNO(readlinkat(AT_FDCWD, "link", bad_address, 4), EFAULT);
    CHECK_ERRNO(readlinkat(AT_FDCWD, "link", guarded(3), 4), EFAULT);
}
