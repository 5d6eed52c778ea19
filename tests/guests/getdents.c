/* getdents: directories by the calls themselves, the old form (the type in a record's last byte) as the new one. */
#include "guest.h"

#include <dirent.h>

struct old_dirent {
    unsigned long d_ino, d_off;
    unsigned short d_reclen;
    char d_name[];
};

static const struct form {
    const char *name;
    long nr;
} forms[] = {{"getdents", SYS_getdents}, {"getdents64", SYS_getdents64}};
enum { SMALL = 128, FILES = 40 };

static void check_record(const char *name, int type, ino_t inode, int *files, int *others)
{
    struct stat status;
    CHECK_OK(lstat(name, &status));
    if (strcmp(name, "..") != 0) /* of a mount point it may be the covered directory's */
        CHECK_EQ(inode, status.st_ino);
    CHECK_EQ(type, IFTODT(status.st_mode));
    *(strncmp(name, "file", 4) == 0 ? files : others) += 1;
}

TEST(all_entries_in_small_pieces)
{
    scratch();
    char name[32];
    for (int i = 0; i < FILES; i++) {
        snprintf(name, sizeof name, "file%.*s%d", i % 9, "xxxxxxxxx", i); /* records of several lengths */
        write_file(name, "");
    }
    CHECK_OK(mkdir("dir", 0700));
    CHECK_OK(symlink("dir", "link"));
    CHECK_OK(mkfifo("fifo", 0600));
    for (int i = 0; i < 2; i++) {
        int fd = open(".", O_RDONLY | O_DIRECTORY), files = 0, others = 0;
        char *buffer = guarded(SMALL);
        long got;
        while ((got = syscall(forms[i].nr, fd, buffer, SMALL)) > 0) {
            for (char *at = buffer; at < buffer + got;) {
                if (i == 0) {
                    struct old_dirent *entry = (struct old_dirent *)at;
                    check_record(entry->d_name, at[entry->d_reclen - 1], entry->d_ino, &files, &others);
                    at += entry->d_reclen;
                } else {
                    struct dirent64 *entry = (struct dirent64 *)at;
                    check_record(entry->d_name, entry->d_type, entry->d_ino, &files, &others);
                    at += entry->d_reclen;
                }
            }
        }
        CHECK_EQ(got, 0);
        CHECK_EQ(files, FILES);
        CHECK_EQ(others, 5);
        CHECK_EQ(syscall(forms[i].nr, fd, buffer, SMALL), 0);
        CHECK_EQ(lseek(fd, 0, SEEK_SET), 0);
        CHECK(syscall(forms[i].nr, fd, buffer, SMALL) > 0);
        close(fd);
    }
}

TEST(errors_of_both_forms)
{
    scratch();
    write_file("file", "x");
    CHECK_OK(mkdir("gone", 0700));
    char buffer[1024];
    int ends[2], dir = open(".", O_RDONLY | O_DIRECTORY), file = open("file", O_RDONLY), place = open(".", O_PATH);
    int gone = open("gone", O_RDONLY | O_DIRECTORY);
    REQUIRE_OK(pipe(ends));
    CHECK_OK(rmdir("gone"));
    for (int i = 0; i < 2; i++) {
        long nr = forms[i].nr;
        CHECK_ERRNO(syscall(nr, -1, buffer, sizeof buffer), EBADF);
        CHECK_ERRNO(syscall(nr, 999, buffer, sizeof buffer), EBADF);
        CHECK_ERRNO(syscall(nr, place, buffer, sizeof buffer), EBADF);
        CHECK_ERRNO(syscall(nr, file, buffer, sizeof buffer), ENOTDIR);
        CHECK_ERRNO(syscall(nr, ends[0], buffer, sizeof buffer), ENOTDIR);
        CHECK_ERRNO(syscall(nr, gone, buffer, sizeof buffer), ENOENT);
        CHECK_ERRNO(syscall(nr, dir, buffer, 0), EINVAL);
        CHECK_ERRNO(syscall(nr, dir, buffer, 23), EINVAL);
        CHECK_ERRNO(syscall(nr, dir, bad_address, sizeof buffer), EFAULT);
        CHECK_ERRNO(syscall(nr, dir, (char *)guarded(8) + 8, sizeof buffer), EFAULT);
        CHECK_EQ(lseek(dir, 0, SEEK_SET), 0);
        CHECK(syscall(nr, dir, buffer, INT32_MAX) > 0);
        CHECK_EQ(lseek(dir, 0, SEEK_SET), 0);
    }
}

/* getcwd(2) counts the ending NUL; where it says ENAMETOOLONG, the C library goes on by reading directories. */
TEST(getcwd_boundaries)
{
    enum { NAME_BYTES = 255, LEVELS = 17 };
    const char *path = scratch();
    char name[NAME_BYTES + 1], *room = malloc(2 * PATH_MAX), *exact = guarded(strlen(path) + 1);
    memset(name, 'd', NAME_BYTES);
    name[NAME_BYTES] = '\0';
    CHECK_EQ(syscall(SYS_getcwd, exact, strlen(path) + 1), strlen(path) + 1);
    CHECK_STR(exact, path);
    CHECK_ERRNO(syscall(SYS_getcwd, exact, strlen(path)), ERANGE);
    CHECK_ERRNO(syscall(SYS_getcwd, exact, 0), ERANGE);
    CHECK_ERRNO(syscall(SYS_getcwd, NULL, PATH_MAX), EFAULT);
    for (int i = 0; i < LEVELS; i++) {
        if (mkdir(name, 0700) == -1 && errno == ENAMETOOLONG)
            SKIP("a bind's paths end at PATH_MAX: the row's note");
        REQUIRE_OK(chdir(name));
    }
    CHECK_ERRNO(syscall(SYS_getcwd, room, 2 * PATH_MAX), ENAMETOOLONG);
    for (int i = 0; i < LEVELS; i++) {
        REQUIRE_OK(chdir(".."));
        REQUIRE_OK(rmdir(name));
    }
}

TEST(links_to_descriptors)
{
    scratch();
    write_file("file", "x");
    struct stat first, second;
    int fd = open("file", O_RDONLY), place = open("file", O_PATH), dir = open(".", O_RDONLY | O_DIRECTORY);
    CHECK_ERRNO(linkat(fd, "", AT_FDCWD, "new", 0), ENOENT);
    CHECK_ERRNO(linkat(fd, "", AT_FDCWD, "new", AT_EMPTY_PATH | AT_REMOVEDIR), EINVAL);
    if (geteuid() == 0) { /* CAP_DAC_READ_SEARCH; others since Linux 6.10, who opened it themselves */
        CHECK_ERRNO(linkat(999, "", AT_FDCWD, "new", AT_EMPTY_PATH), EBADF);
        CHECK_ERRNO(linkat(fd, "", AT_FDCWD, "file", AT_EMPTY_PATH), EEXIST);
        CHECK_ERRNO(linkat(dir, "", AT_FDCWD, "new", AT_EMPTY_PATH), EPERM);
        CHECK_OK(linkat(fd, "", AT_FDCWD, "new", AT_EMPTY_PATH));
        CHECK_OK(linkat(place, "", dir, "third", AT_EMPTY_PATH));
        CHECK_OK(linkat(dir, "file", dir, "fourth", AT_EMPTY_PATH)); /* a path that is not empty */
        CHECK_OK(stat("file", &first));
        CHECK_OK(stat("new", &second));
        CHECK_EQ(first.st_ino, second.st_ino);
        CHECK_EQ(first.st_nlink, 4);
        CHECK_OK(unlink("file"));
        CHECK_OK(unlink("new"));
        CHECK_OK(unlink("third"));
        CHECK_OK(unlink("fourth"));
        CHECK_ERRNO(linkat(fd, "", AT_FDCWD, "new", AT_EMPTY_PATH), ENOENT); /* it has no name left */
    }
}
