/* dir: mkdir, rmdir, rename, link, symlink, unlink, getdents64, chdir, getcwd. */
#include "guest.h"

#include <dirent.h>

static int count_entries(const char *path)
{
    DIR *dir = opendir(path);
    if (dir == NULL)
        return -1;
    int count = 0;
    for (struct dirent *entry; (entry = readdir(dir)) != NULL;)
        count += strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0;
    closedir(dir);
    return count;
}

TEST(mkdir_and_rmdir)
{
    scratch();
    CHECK_OK(mkdir("d", 0750));
    struct stat status;
    CHECK_OK(stat("d", &status));
    CHECK(S_ISDIR(status.st_mode));
    CHECK_EQ(status.st_mode & 07777, 0750);
    CHECK_ERRNO(mkdir("d", 0750), EEXIST);
    CHECK_ERRNO(mkdir("absent/d", 0750), ENOENT);
    CHECK_OK(mkdir("d/sub/", 0700));
    CHECK_ERRNO(rmdir("d"), ENOTEMPTY);
    CHECK_OK(rmdir("d/sub"));
    CHECK_ERRNO(rmdir("d/."), EINVAL);
    CHECK_ERRNO(rmdir("d/.."), ENOTEMPTY);
    CHECK_OK(rmdir("d/"));
    CHECK_ERRNO(rmdir("d"), ENOENT);
    write_file("f", "x");
    CHECK_ERRNO(rmdir("f"), ENOTDIR);
    CHECK_ERRNO(mkdir("f/d", 0700), ENOTDIR);
    CHECK_ERRNO(mkdir("f", 0700), EEXIST);
    CHECK_ERRNO(mkdir("", 0700), ENOENT);
    CHECK_OK(symlink("absent", "dangling"));
    CHECK_ERRNO(mkdir("dangling", 0700), EEXIST);
    CHECK_ERRNO(rmdir("dangling"), ENOTDIR);
    CHECK_ERRNO(mkdir("/", 0700), EEXIST);
}

TEST(link_counts_of_directories_files)
{
    scratch();
    write_file("f", "x");
    CHECK_OK(link("f", "g"));
    struct stat status;
    CHECK_OK(stat("g", &status));
    CHECK_EQ(status.st_nlink, 2);
    CHECK_ERRNO(link("f", "g"), EEXIST);
    CHECK_ERRNO(link("absent", "h"), ENOENT);
    CHECK_ERRNO(link("f", "absent/h"), ENOENT);
    CHECK_OK(mkdir("d", 0700));
    CHECK_ERRNO(link("d", "e"), EPERM);
    CHECK_OK(unlink("f"));
    CHECK_OK(stat("g", &status));
    CHECK_EQ(status.st_nlink, 1);
    CHECK_OK(symlink("g", "s"));
    CHECK_OK(link("s", "t")); /* the link itself, not what it names */
    CHECK_OK(lstat("t", &status));
    CHECK(S_ISLNK(status.st_mode));
    CHECK_OK(linkat(AT_FDCWD, "s", AT_FDCWD, "u", AT_SYMLINK_FOLLOW));
    CHECK_OK(lstat("u", &status));
    CHECK(S_ISREG(status.st_mode));
    CHECK_ERRNO(linkat(AT_FDCWD, "g", AT_FDCWD, "v", 0x40000000), EINVAL);
}

TEST(unlink_rules)
{
    scratch();
    write_file("f", "x");
    CHECK_OK(mkdir("d", 0700));
    CHECK_ERRNO(unlink("d"), EISDIR);
    CHECK_ERRNO(unlink("f/"), ENOTDIR);
    CHECK_OK(unlink("f"));
    CHECK_ERRNO(unlink("f"), ENOENT);
    CHECK_ERRNO(unlink(""), ENOENT);
    CHECK_OK(symlink("d", "s"));
    CHECK_OK(unlink("s"));
    CHECK_OK(access("d", F_OK));
    CHECK_ERRNO(unlinkat(AT_FDCWD, "d", 0x1000), EINVAL);
    CHECK_OK(unlinkat(AT_FDCWD, "d", AT_REMOVEDIR));
    CHECK_ERRNO(access("d", F_OK), ENOENT);
}

TEST(symlink_rules)
{
    scratch();
    CHECK_OK(symlink("nowhere/at/all", "s"));
    char target[32] = "";
    CHECK_EQ(readlink("s", target, sizeof target), 14);
    CHECK_STR(target, "nowhere/at/all");
    CHECK_ERRNO(symlink("x", "s"), EEXIST);
    CHECK_ERRNO(symlink("", "t"), ENOENT);
    CHECK_ERRNO(symlink("x", ""), ENOENT);
    CHECK_ERRNO(symlink("x", "absent/t"), ENOENT);
    int dir = open(".", O_RDONLY);
    CHECK_OK(symlinkat("x", dir, "t"));
    CHECK_EQ(readlinkat(dir, "t", target, sizeof target), 1);
}

TEST(rename_files)
{
    scratch();
    write_file("a", "AA");
    write_file("b", "BB");
    char text[8];
    CHECK_OK(rename("a", "b"));
    CHECK_ERRNO(access("a", F_OK), ENOENT);
    read_file("b", text, sizeof text);
    CHECK_STR(text, "AA");
    CHECK_ERRNO(rename("absent", "b"), ENOENT);
    CHECK_ERRNO(rename("b", "absent/b"), ENOENT);
    CHECK_OK(rename("b", "b"));
    CHECK_OK(link("b", "c"));
    CHECK_OK(rename("b", "c")); /* the same file: nothing happens */
    CHECK_OK(access("b", F_OK));
    CHECK_OK(mkdir("d", 0700));
    CHECK_ERRNO(rename("b", "d"), EISDIR);
    CHECK_ERRNO(rename("d", "b"), ENOTDIR);
    CHECK_OK(rename("b", "d/b"));
    CHECK_OK(access("d/b", F_OK));
    CHECK_OK(symlink("absent", "s"));
    CHECK_OK(rename("s", "d/s"));
    CHECK_ERRNO(rename("d/b/", "d/e"), ENOTDIR);
}

/* No walk has begun then: what the stack had from an earlier one is nobody's business. */
TEST(paths_beyond_path_max)
{
    static char beyond[2 * PATH_MAX];
    scratch();
    write_file("f", "x");
    memset(beyond, 'x', sizeof beyond - 1);
    for (size_t i = 0; i < sizeof beyond - 1; i += 100)
        beyond[i] = '/';
    for (int i = 0; i < 3; i++) {
        CHECK_ERRNO(rename("f", "no/such"), ENOENT);
        CHECK_ERRNO(rename(beyond, "f"), ENAMETOOLONG);
        CHECK_ERRNO(rename("f", beyond), ENAMETOOLONG);
        CHECK_ERRNO(link("f", "no/such"), ENOENT);
        CHECK_ERRNO(link(beyond, "g"), ENAMETOOLONG);
        CHECK_ERRNO(link("f", beyond), ENAMETOOLONG);
    }
}

TEST(rename_replaces_an_open_file)
{
    scratch();
    write_file("old", "old");
    write_file("new", "new");
    int fd = open("old", O_RDONLY);
    CHECK_OK(rename("new", "old"));
    char text[8] = "";
    CHECK_EQ(read(fd, text, 3), 3);
    CHECK_STR(text, "old");
    read_file("old", text, sizeof text);
    CHECK_STR(text, "new");
}

TEST(rename_directories)
{
    scratch();
    CHECK_OK(mkdir("a", 0700));
    CHECK_OK(mkdir("a/sub", 0700));
    write_file("a/sub/f", "x");
    CHECK_ERRNO(rename("a", "a/sub/a"), EINVAL);
    CHECK_ERRNO(rename("a/sub", "a"), ENOTEMPTY);
    CHECK_OK(mkdir("empty", 0700));
    CHECK_OK(rename("a", "empty"));
    CHECK_OK(access("empty/sub/f", F_OK));
    CHECK_OK(mkdir("full", 0700));
    write_file("full/f", "x");
    CHECK_ERRNO(rename("empty", "full"), ENOTEMPTY);
    CHECK_OK(rename("empty/", "moved/"));
    CHECK_OK(access("moved/sub/f", F_OK));
    CHECK_OK(rename("moved/sub", "sub"));
    CHECK_EQ(count_entries("moved"), 0);
    CHECK_OK(chdir("sub"));
    CHECK_OK(rename("../sub", "../sub2"));
    CHECK_OK(access("f", F_OK));
    char cwd[GUEST_PATH_BYTES];
    CHECK(getcwd(cwd, sizeof cwd) != NULL);
    CHECK_STR(strrchr(cwd, '/'), "/sub2");
}

TEST(renameat2_flags)
{
    scratch();
    write_file("a", "AA");
    write_file("b", "BB");
    char text[8];
    CHECK_ERRNO(renameat2(AT_FDCWD, "a", AT_FDCWD, "b", RENAME_NOREPLACE), EEXIST);
    CHECK_OK(renameat2(AT_FDCWD, "a", AT_FDCWD, "c", RENAME_NOREPLACE));
    CHECK_OK(renameat2(AT_FDCWD, "b", AT_FDCWD, "c", RENAME_EXCHANGE));
    read_file("b", text, sizeof text);
    CHECK_STR(text, "AA");
    read_file("c", text, sizeof text);
    CHECK_STR(text, "BB");
    CHECK_ERRNO(renameat2(AT_FDCWD, "b", AT_FDCWD, "absent", RENAME_EXCHANGE), ENOENT);
    CHECK_ERRNO(renameat2(AT_FDCWD, "b", AT_FDCWD, "c", RENAME_EXCHANGE | RENAME_NOREPLACE), EINVAL);
    CHECK_ERRNO(renameat2(AT_FDCWD, "b", AT_FDCWD, "c", 0x100), EINVAL);
}

TEST(getdents_lists_everything_once)
{
    scratch();
    char name[32];
    for (int i = 0; i < 500; i++) {
        snprintf(name, sizeof name, "file-number-%d", i);
        int fd = open(name, O_WRONLY | O_CREAT, 0600);
        CHECK_OK(fd);
        close(fd);
    }
    CHECK_OK(mkdir("sub", 0700));
    CHECK_OK(symlink("x", "link"));
    int seen[500] = {0}, dots = 0, others = 0;
    int fd = open(".", O_RDONLY | O_DIRECTORY);
    char *buffer = guarded(1024);
    long got;
    while ((got = syscall(SYS_getdents64, fd, buffer, 1024)) > 0) {
        for (long at = 0; at < got;) {
            struct dirent64 *entry = (struct dirent64 *)(buffer + at);
            int number;
            CHECK(entry->d_ino != 0);
            if (sscanf(entry->d_name, "file-number-%d", &number) == 1) {
                seen[number]++;
                CHECK_EQ(entry->d_type, DT_REG);
            } else if (entry->d_name[0] == '.') {
                dots++;
                CHECK_EQ(entry->d_type, DT_DIR);
            } else {
                others++;
                CHECK_EQ(entry->d_type, strcmp(entry->d_name, "sub") == 0 ? DT_DIR : DT_LNK);
            }
            at += entry->d_reclen;
        }
    }
    CHECK_EQ(got, 0);
    CHECK_EQ(dots, 2);
    CHECK_EQ(others, 2);
    int missing = 0;
    for (int i = 0; i < 500; i++)
        missing += seen[i] != 1;
    CHECK_EQ(missing, 0);
}

TEST(getdents_errors_and_rewind)
{
    scratch();
    write_file("f", "x");
    char buffer[1024];
    int fd = open(".", O_RDONLY | O_DIRECTORY), file = open("f", O_RDONLY);
    CHECK_ERRNO(syscall(SYS_getdents64, file, buffer, sizeof buffer), ENOTDIR);
    CHECK_ERRNO(syscall(SYS_getdents64, 999, buffer, sizeof buffer), EBADF);
    CHECK_ERRNO(syscall(SYS_getdents64, fd, buffer, 1), EINVAL);
    CHECK(syscall(SYS_getdents64, fd, buffer, sizeof buffer) > 0);
    CHECK_EQ(syscall(SYS_getdents64, fd, buffer, sizeof buffer), 0);
    CHECK_EQ(lseek(fd, 0, SEEK_SET), 0);
    CHECK(syscall(SYS_getdents64, fd, buffer, sizeof buffer) > 0);
    write_file("g", "x");
    CHECK_EQ(count_entries("."), 2);
    CHECK_OK(unlink("f"));
    CHECK_EQ(count_entries("."), 1);
}

TEST(removing_while_reading)
{
    scratch();
    char name[32];
    for (int i = 0; i < 300; i++) {
        snprintf(name, sizeof name, "%d", i);
        write_file(name, "");
    }
    DIR *dir = opendir(".");
    REQUIRE(dir != NULL);
    int removed = 0;
    for (struct dirent *entry; (entry = readdir(dir)) != NULL;)
        if (entry->d_name[0] != '.')
            removed += unlink(entry->d_name) == 0;
    closedir(dir);
    CHECK_EQ(removed, 300);
    CHECK_EQ(count_entries("."), 0);
}

TEST(telldir_and_seekdir_return_to_the_same_entry)
{
    scratch();
    char name[32];
    for (int i = 0; i < 40; i++) {
        snprintf(name, sizeof name, "%d", i);
        write_file(name, "");
    }
    DIR *dir = opendir(".");
    REQUIRE(dir != NULL);
    for (int i = 0; i < 10; i++)
        CHECK(readdir(dir) != NULL);
    long place = telldir(dir);
    struct dirent *entry = readdir(dir);
    REQUIRE(entry != NULL);
    snprintf(name, sizeof name, "%.30s", entry->d_name);
    while (readdir(dir) != NULL)
        ;
    seekdir(dir, place);
    entry = readdir(dir);
    REQUIRE(entry != NULL);
    CHECK_STR(entry->d_name, name);
    closedir(dir);
}

TEST(working_directory)
{
    const char *path = scratch();
    char cwd[GUEST_PATH_BYTES];
    CHECK_OK(mkdir("d", 0700));
    CHECK_OK(symlink("d", "link"));
    CHECK_OK(chdir("link"));
    snprintf(cwd, sizeof cwd, "%.400s/d", path);
    char got[GUEST_PATH_BYTES];
    CHECK_STR(getcwd(got, sizeof got), cwd);
    CHECK_EQ(syscall(SYS_getcwd, got, sizeof got), strlen(cwd) + 1);
    char *exact = guarded(strlen(cwd) + 1);
    CHECK_OK(syscall(SYS_getcwd, exact, strlen(cwd) + 1));
    CHECK_ERRNO(syscall(SYS_getcwd, exact, strlen(cwd)), ERANGE);
    CHECK_OK(chdir(".."));
    CHECK_STR(getcwd(got, sizeof got), path);
    CHECK_ERRNO(chdir("absent"), ENOENT);
    write_file("f", "x");
    CHECK_ERRNO(chdir("f"), ENOTDIR);
    int dir = open("d", O_RDONLY), file = open("f", O_RDONLY);
    CHECK_OK(fchdir(dir));
    CHECK_STR(getcwd(got, sizeof got), cwd);
    CHECK_ERRNO(fchdir(file), ENOTDIR);
    CHECK_ERRNO(fchdir(999), EBADF);
    CHECK_OK(rmdir(cwd));
    CHECK_ERRNO(syscall(SYS_getcwd, got, sizeof got), ENOENT);
    CHECK_ERRNO(open("f", O_WRONLY | O_CREAT, 0600), ENOENT);
    CHECK_OK(chdir("/"));
    CHECK_STR(getcwd(got, sizeof got), "/");
    CHECK_OK(chdir(".."));
    CHECK_STR(getcwd(got, sizeof got), "/");
    CHECK_OK(chdir(path));
}

TEST(a_child_has_its_own_working_directory)
{
    const char *path = scratch();
    pid_t pid = fork_child();
    if (pid == 0) {
        CHECK_OK(chdir("/"));
        guest_finish();
    }
    CHECK_CHILD(pid);
    char cwd[GUEST_PATH_BYTES];
    CHECK_STR(getcwd(cwd, sizeof cwd), path);
}

TEST(deep_trees)
{
    scratch();
    for (int i = 0; i < 60; i++) {
        CHECK_OK(mkdir("level-with-a-longer-name", 0700));
        CHECK_OK(chdir("level-with-a-longer-name"));
    }
    write_file("bottom", "x");
    char cwd[4096];
    CHECK(getcwd(cwd, sizeof cwd) != NULL);
    CHECK_OK(chdir(guest_scratch_path));
    CHECK_OK(chdir(cwd));
    CHECK_OK(access("bottom", F_OK));
    CHECK_OK(chdir("../../.."));
    CHECK_ERRNO(access("bottom", F_OK), ENOENT);
}

TEST(chroot_changes_the_root)
{
    if (geteuid() != 0)
        SKIP("chroot needs root");
    scratch();
    CHECK_OK(mkdir("d", 0755));
    write_file("d/f", "x");
    pid_t pid = fork_child();
    if (pid == 0) {
        CHECK_OK(chroot("d"));
        CHECK_OK(access("/f", F_OK));
        CHECK_OK(chdir("/"));
        CHECK_OK(access("../f", F_OK));
        CHECK_ERRNO(access("/etc/passwd", F_OK), ENOENT);
        char cwd[64];
        CHECK_STR(getcwd(cwd, sizeof cwd), "/");
        guest_finish();
    }
    CHECK_CHILD(pid);
    CHECK_OK(access("d/f", F_OK));
}
