/* stat: stat, lstat, fstat, fstatat, statx, access, faccessat2, readlink, statfs. */
#include "guest.h"

#include <linux/magic.h>
#include <sys/statfs.h>
#include <sys/statvfs.h>
#include <sys/sysmacros.h>
#include <utime.h>

TEST(stat_of_a_regular_file)
{
    scratch();
    write_file("f", "12345");
    struct stat *status = guarded(sizeof *status);
    CHECK_OK(stat("f", status));
    CHECK(S_ISREG(status->st_mode));
    CHECK_EQ(status->st_mode & 07777, 0644);
    CHECK_EQ(status->st_size, 5);
    CHECK_EQ(status->st_nlink, 1);
    CHECK_EQ(status->st_uid, geteuid());
    CHECK_EQ(status->st_gid, getegid());
    CHECK(status->st_ino != 0);
    CHECK(status->st_blksize > 0);
    CHECK_EQ(status->st_blocks > 0, 1);
    time_t now = time(NULL);
    CHECK(status->st_mtime <= now + 1 && status->st_mtime > now - 600);
}

TEST(all_forms_agree)
{
    scratch();
    write_file("f", "12345");
    int fd = open("f", O_RDONLY);
    struct stat by_path, by_fd, by_at, by_empty;
    CHECK_OK(stat("f", &by_path));
    CHECK_OK(fstat(fd, &by_fd));
    CHECK_OK(fstatat(AT_FDCWD, "f", &by_at, AT_SYMLINK_NOFOLLOW));
    CHECK_OK(fstatat(fd, "", &by_empty, AT_EMPTY_PATH));
    CHECK(memcmp(&by_path, &by_fd, sizeof by_path) == 0);
    CHECK(memcmp(&by_path, &by_at, sizeof by_path) == 0);
    CHECK(memcmp(&by_path, &by_empty, sizeof by_path) == 0);
    struct statx extended;
    CHECK_OK(statx(AT_FDCWD, "f", 0, STATX_BASIC_STATS, &extended));
    CHECK_EQ(extended.stx_ino, by_path.st_ino);
    CHECK_EQ(extended.stx_size, by_path.st_size);
    CHECK_EQ(extended.stx_mode, by_path.st_mode);
    CHECK_EQ(extended.stx_nlink, by_path.st_nlink);
    CHECK_EQ(extended.stx_uid, by_path.st_uid);
    CHECK_EQ(extended.stx_mtime.tv_sec, by_path.st_mtim.tv_sec);
    CHECK_EQ(extended.stx_mtime.tv_nsec, by_path.st_mtim.tv_nsec);
    CHECK_EQ(makedev(extended.stx_dev_major, extended.stx_dev_minor), by_path.st_dev);
}

TEST(statx_masks_and_flags)
{
    scratch();
    write_file("f", "12345");
    CHECK_OK(symlink("f", "link"));
    struct statx *extended = guarded(sizeof *extended);
    CHECK_OK(statx(AT_FDCWD, "link", AT_SYMLINK_NOFOLLOW, STATX_TYPE | STATX_SIZE, extended));
    CHECK(S_ISLNK(extended->stx_mode));
    CHECK((extended->stx_mask & (STATX_TYPE | STATX_SIZE)) == (STATX_TYPE | STATX_SIZE));
    int fd = open("f", O_RDONLY);
    CHECK_OK(statx(fd, "", AT_EMPTY_PATH, STATX_ALL, extended));
    CHECK_EQ(extended->stx_size, 5);
    CHECK_OK(statx(fd, "", AT_EMPTY_PATH | AT_STATX_DONT_SYNC, STATX_ALL, extended));
    CHECK_ERRNO(statx(fd, "", 0, STATX_ALL, extended), ENOENT);
    CHECK_ERRNO(statx(AT_FDCWD, "f", 0x40000000, STATX_ALL, extended), EINVAL);
    CHECK_ERRNO(statx(AT_FDCWD, "f", 0, 0x80000000U, extended), EINVAL);
    CHECK_ERRNO(statx(AT_FDCWD, "absent", 0, STATX_ALL, extended), ENOENT);
}

TEST(links_are_followed_or_not)
{
    scratch();
    write_file("f", "12345");
    CHECK_OK(symlink("f", "link"));
    CHECK_OK(symlink("absent", "dangling"));
    struct stat file, through, link;
    CHECK_OK(stat("f", &file));
    CHECK_OK(stat("link", &through));
    CHECK_OK(lstat("link", &link));
    CHECK_EQ(file.st_ino, through.st_ino);
    CHECK(S_ISLNK(link.st_mode));
    CHECK_EQ(link.st_mode & 07777, 0777);
    CHECK_EQ(link.st_size, 1);
    CHECK_ERRNO(stat("dangling", &file), ENOENT);
    CHECK_OK(lstat("dangling", &link));
    CHECK_EQ(link.st_size, 6);
}

TEST(inode_numbers_tell_files_apart)
{
    scratch();
    write_file("a", "1");
    write_file("b", "1");
    CHECK_OK(link("a", "c"));
    struct stat a, b, c;
    CHECK_OK(stat("a", &a));
    CHECK_OK(stat("b", &b));
    CHECK_OK(stat("c", &c));
    CHECK(a.st_ino != b.st_ino);
    CHECK_EQ(a.st_ino, c.st_ino);
    CHECK_EQ(a.st_dev, c.st_dev);
    CHECK_EQ(c.st_nlink, 2);
    CHECK_OK(rename("a", "d"));
    CHECK_OK(stat("d", &a));
    CHECK_EQ(a.st_ino, c.st_ino);
}

TEST(error_paths)
{
    scratch();
    write_file("f", "x");
    struct stat status;
    CHECK_ERRNO(stat("absent", &status), ENOENT);
    CHECK_ERRNO(stat("", &status), ENOENT);
    CHECK_ERRNO(stat("f/x", &status), ENOTDIR);
    CHECK_ERRNO(stat("f/", &status), ENOTDIR);
    CHECK_ERRNO(fstat(999, &status), EBADF);
    CHECK_ERRNO(fstatat(999, "f", &status, 0), EBADF);
    CHECK_ERRNO(fstatat(AT_FDCWD, "f", &status, 0x40000000), EINVAL);
    CHECK_OK(symlink("loop", "loop"));
    CHECK_ERRNO(stat("loop", &status), ELOOP);
    CHECK_OK(lstat("loop", &status));
}

TEST(kinds_of_descriptors)
{
    struct stat status;
    int ends[2];
    REQUIRE_OK(pipe(ends));
    CHECK_OK(fstat(ends[0], &status));
    CHECK(S_ISFIFO(status.st_mode));
    CHECK_OK(stat("/dev/null", &status));
    CHECK(S_ISCHR(status.st_mode));
    CHECK_EQ(status.st_rdev, makedev(1, 3));
    CHECK_OK(stat("/", &status));
    CHECK(S_ISDIR(status.st_mode));
    CHECK(status.st_nlink >= 1);
}

TEST(access_for_the_owner)
{
    scratch();
    write_file("f", "x");
    CHECK_OK(access("f", F_OK));
    CHECK_OK(access("f", R_OK | W_OK));
    CHECK_ERRNO(access("f", X_OK), EACCES);
    CHECK_OK(chmod("f", 0755));
    CHECK_OK(access("f", R_OK | W_OK | X_OK));
    CHECK_ERRNO(access("absent", F_OK), ENOENT);
    CHECK_ERRNO(access("f/x", F_OK), ENOTDIR);
    CHECK_ERRNO(access("f", 0x10), EINVAL);
    CHECK_OK(faccessat(AT_FDCWD, "f", R_OK, AT_EACCESS));
    CHECK_OK(symlink("absent", "dangling"));
    CHECK_ERRNO(access("dangling", F_OK), ENOENT);
    CHECK_OK(syscall(SYS_faccessat2, AT_FDCWD, "dangling", F_OK, AT_SYMLINK_NOFOLLOW));
    CHECK_ERRNO(syscall(SYS_faccessat2, AT_FDCWD, "f", F_OK, 0x40000000), EINVAL);
    int fd = open("f", O_RDONLY);
    CHECK_OK(syscall(SYS_faccessat2, fd, "", R_OK, AT_EMPTY_PATH));
    CHECK_ERRNO(faccessat(999, "f", R_OK, 0), EBADF);
}

TEST(access_of_unprivileged_processes)
{
    if (geteuid() == 0)
        SKIP("root may read and write anything");
    scratch();
    write_file("f", "x");
    CHECK_OK(chmod("f", 0));
    CHECK_ERRNO(access("f", R_OK), EACCES);
    CHECK_ERRNO(access("f", W_OK), EACCES);
    CHECK_ERRNO(open("f", O_RDONLY), EACCES);
    CHECK_OK(mkdir("d", 0700));
    write_file("d/f", "x");
    CHECK_OK(chmod("d", 0600));
    CHECK_ERRNO(access("d/f", F_OK), EACCES);
    CHECK_OK(chmod("d", 0700));
    CHECK_ERRNO(open("/etc/shadow", O_RDONLY), EACCES);
    CHECK_ERRNO(mkdir("/etc/new", 0700), EACCES);
    CHECK_ERRNO(unlink("/etc/passwd"), EACCES);
}

TEST(readlink_does_not_terminate)
{
    scratch();
    CHECK_OK(symlink("target", "link"));
    char *buffer = guarded(6);
    CHECK_EQ(readlink("link", buffer, 6), 6);
    CHECK(memcmp(buffer, "target", 6) == 0);
    char *shorter = guarded(3);
    CHECK_EQ(readlink("link", shorter, 3), 3);
    CHECK(memcmp(shorter, "tar", 3) == 0);
    CHECK_ERRNO(readlink("link", buffer, 0), EINVAL);
    write_file("f", "x");
    CHECK_ERRNO(readlink("f", buffer, 6), EINVAL);
    CHECK_ERRNO(readlink("absent", buffer, 6), ENOENT);
    CHECK_ERRNO(readlinkat(999, "link", buffer, 6), EBADF);
}

TEST(times_follow_what_happens)
{
    scratch();
    write_file("f", "x");
    struct timespec old[2] = {{1000000, 5}, {2000000, 7}};
    CHECK_OK(utimensat(AT_FDCWD, "f", old, 0));
    struct stat status;
    CHECK_OK(stat("f", &status));
    CHECK_EQ(status.st_atim.tv_sec, 1000000);
    CHECK_EQ(status.st_mtim.tv_sec, 2000000);
    CHECK_EQ(status.st_mtim.tv_nsec, 7);
    int fd = open("f", O_WRONLY);
    CHECK_EQ(write(fd, "y", 1), 1);
    CHECK_OK(stat("f", &status));
    CHECK(status.st_mtim.tv_sec > 2000000);
    CHECK(status.st_ctim.tv_sec > 2000000);
    CHECK_OK(utimensat(AT_FDCWD, ".", old, 0));
    write_file("g", "x");
    CHECK_OK(stat(".", &status));
    CHECK(status.st_mtim.tv_sec > 2000000);
}

TEST(filesystem_statistics)
{
    struct statfs *status = guarded(sizeof *status);
    scratch();
    CHECK_OK(statfs(".", status));
    CHECK(status->f_bsize > 0);
    CHECK(status->f_blocks > 0);
    CHECK_EQ(status->f_namelen, 255);
    int fd = open(".", O_RDONLY);
    CHECK_OK(fstatfs(fd, status));
    CHECK_OK(statfs("/proc", status));
    CHECK_EQ(status->f_type, PROC_SUPER_MAGIC);
    CHECK_ERRNO(statfs("absent", status), ENOENT);
    CHECK_ERRNO(fstatfs(999, status), EBADF);
    struct statvfs portable;
    CHECK_OK(statvfs("/", &portable));
    CHECK(portable.f_bfree < portable.f_blocks); /* programs lie there */
    int ends[2];
    REQUIRE_OK(pipe(ends));
    CHECK_OK(fstatfs(ends[0], status));
    CHECK_EQ(status->f_type, PIPEFS_MAGIC);
}

TEST(ustat_by_device_number)
{
    struct stat status;
    struct {
        int free_blocks;
        unsigned long free_inodes;
        char names[12];
    } *about = guarded(sizeof *about);
    memset(about, 0xff, sizeof *about);
    scratch();
    REQUIRE_OK(stat("/dev/shm", &status));
    CHECK_OK(syscall(SYS_ustat, (unsigned)status.st_dev, about));
    CHECK(about->free_blocks > 0);
    CHECK_EQ(about->names[0], 0);
    CHECK_ERRNO(syscall(SYS_ustat, (unsigned)status.st_dev, NULL), EFAULT);
    CHECK_ERRNO(syscall(SYS_ustat, 0x0ffffff0, about), EINVAL);
    CHECK_ERRNO(syscall(SYS_ustat, 0, NULL), EINVAL);
}

/* What the file system cannot keep is the end of what it can: which that is, differs. */
TEST(times_beyond_all_range)
{
    const time_t year_2262 = INT64_MAX / 1000000000;
    struct stat st;
    struct utimbuf old_form = {.actime = INT64_MIN, .modtime = INT64_MAX};
    struct timespec ends[2] = {{.tv_sec = INT64_MAX, .tv_nsec = 999999999}, {.tv_sec = INT64_MIN}};
    scratch();
    int fd = open("file", O_RDWR | O_CREAT, 0644);
    REQUIRE(fd >= 0);
    for (int i = 0; i < 2; i++) {
        CHECK_OK(utimensat(AT_FDCWD, "file", ends, 0));
        CHECK_OK(fstat(fd, &st));
        CHECK(st.st_atime >= year_2262);
        CHECK(st.st_mtime < 0);
        CHECK_OK(syscall(SYS_utime, "file", &old_form));
        CHECK_OK(stat("file", &st));
        CHECK(st.st_atime < 0);
        CHECK(st.st_mtime >= year_2262);
        CHECK_EQ(write(fd, "x", 1), 1); /* its attributes are asked for anew */
        CHECK_OK(futimens(fd, ends));
        CHECK_OK(utimensat(AT_FDCWD, "file", NULL, 0));
        CHECK_OK(fstat(fd, &st));
        CHECK(st.st_atime > 0 && st.st_atime < year_2262);
        CHECK_EQ(st.st_mtime, st.st_atime);
    }
}
