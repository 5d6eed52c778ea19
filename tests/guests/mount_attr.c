/* mount_attr: mount_setattr and open_tree_attr: each attribute, its effect, propagation, whole trees, refusals. */
#include "mount.h"

#include <sys/statvfs.h>
#include <sys/sysmacros.h>
#include <utime.h>

enum { NR_MOUNT_SETATTR = 442, NR_OPEN_TREE_ATTR = 467, EMPTY_PATH = 0x1000, RECURSIVE = 0x8000, NO_AUTOMOUNT = 0x800 };
enum { RDONLY = 1, NOSUID = 2, NODEV = 4, NOEXEC = 8, NOATIME = 0x10, STRICTATIME = 0x20, ATIME = 0x70 };
enum { NODIRATIME = 0x80, IDMAP = 0x100000, NOSYMFOLLOW = 0x200000, CLONE = 1, SEEN_NOSYMFOLLOW = 8192 };

struct attributes {
    uint64_t set, clear, propagation, user_namespace;
};

static long set_attributes(int dir, const char *path, unsigned flags, struct attributes wanted)
{
    struct attributes *given = guarded(sizeof *given);
    *given = wanted;
    return syscall(NR_MOUNT_SETATTR, dir, path, flags, given, sizeof *given);
}

static long change(const char *at, uint64_t set, uint64_t clear)
{
    return set_attributes(AT_FDCWD, at, 0, (struct attributes){.set = set, .clear = clear});
}

static char *new_tmpfs(const char *name)
{
    char *at = directory(name);
    REQUIRE_OK(mount("x", at, "tmpfs", 0, NULL));
    return at;
}

static bool has_option(const char *at, const char *option)
{
    char options[512], *rest = options;
    snprintf(options, sizeof options, "%s", told_of(at));
    options[strcspn(options, " ")] = '\0';
    for (char *word; (word = strsep(&rest, ","));)
        if (strcmp(word, option) == 0)
            return true;
    return false;
}

static unsigned long flags_of(const char *at)
{
    struct statvfs status;
    CHECK_OK(statvfs(at, &status));
    return status.f_flag;
}

TEST(each_attribute_is_set_and_cleared)
{
    static const struct {
        uint64_t attribute, cleared_with;
        unsigned long flag;
        const char *option;
    } all[] = {
        {RDONLY, RDONLY, ST_RDONLY, "ro"},           {NOSUID, NOSUID, ST_NOSUID, "nosuid"},
        {NODEV, NODEV, ST_NODEV, "nodev"},           {NOEXEC, NOEXEC, ST_NOEXEC, "noexec"},
        {NOATIME, ATIME, ST_NOATIME, "noatime"},     {NODIRATIME, NODIRATIME, ST_NODIRATIME, "nodiratime"},
        {NOSYMFOLLOW, NOSYMFOLLOW, SEEN_NOSYMFOLLOW, "nosymfollow"},
    };
    NAMESPACE();
    char *at = new_tmpfs("at");
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        unsigned long before = flags_of(at);
        CHECK(!has_option(at, all[i].option));
        uint64_t clear = all[i].cleared_with == ATIME ? ATIME : 0;
        CHECK_OK(change(at, all[i].attribute, clear));
        CHECK_OK(change(at, all[i].attribute, clear)); /* it is so already */
        if (!has_option(at, all[i].option) || (flags_of(at) ^ before) & ~(unsigned long)ST_RELATIME & ~all[i].flag)
            GUEST_FAIL("%s: not set, or with others: %s, %lx", all[i].option, told_of(at), flags_of(at));
        CHECK_EQ(flags_of(at) & all[i].flag, all[i].flag);
        CHECK_OK(change(at, 0, all[i].cleared_with));
        CHECK(!has_option(at, all[i].option));
        CHECK_EQ(flags_of(at), before);
    }
    CHECK_OK(change(at, NOSUID | NODEV, 0));
    CHECK_OK(change(at, NOEXEC | NOSUID, NOSUID)); /* what is cleared and set is set */
    CHECK_EQ(flags_of(at) & (ST_NOSUID | ST_NODEV | ST_NOEXEC), ST_NOSUID | ST_NODEV | ST_NOEXEC);
    CHECK_OK(change(at, 0, NODEV | NOEXEC | NOSUID));
    CHECK_EQ(flags_of(at) & (ST_NOSUID | ST_NODEV | ST_NOEXEC), 0);
    CHECK_OK(umount(at));
}

TEST(what_attributes_forbid)
{
    NAMESPACE();
    char *at = new_tmpfs("at");
    char command[1200];
    snprintf(command, sizeof command, "cp /bin/true %s/true && ln -s true %s/link", at, at);
    CHECK_EQ(system(command), 0);
    CHECK_OK(mknod(in(at, "null"), S_IFCHR | 0666, makedev(1, 3)));
    CHECK_OK(change(at, NODEV | NOEXEC | NOSYMFOLLOW, 0));
    CHECK_ERRNO(open(in(at, "null"), O_RDONLY), EACCES);
    CHECK_ERRNO(execl(in(at, "true"), "true", NULL), EACCES);
    int fd = open(in(at, "true"), O_RDONLY);
    CHECK_ERRNO((intptr_t)mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE, fd, 0), EPERM);
    close(fd);
    CHECK_ERRNO(open(in(at, "link"), O_RDONLY), ELOOP);
    CHECK_OK(change(at, 0, NODEV | NOEXEC | NOSYMFOLLOW));
    fd = open(in(at, "null"), O_RDONLY);
    CHECK_OK(fd);
    close(fd);
    fd = open(in(at, "link"), O_RDONLY);
    CHECK_OK(fd);
    close(fd);
    snprintf(command, sizeof command, "%s/true", at);
    CHECK_EQ(system(command), 0);
    CHECK_OK(change(at, RDONLY, 0));
    CHECK_ERRNO(open(in(at, "f"), O_WRONLY | O_CREAT, 0644), EROFS);
    CHECK_ERRNO(unlink(in(at, "true")), EROFS);
    CHECK_OK(change(at, 0, RDONLY));
    CHECK_OK(unlink(in(at, "true")));
    CHECK_OK(umount(at));
}

HELPER(exits_by_effective_id)
{
    return geteuid() == 2000 ? 20 : 10;
}

TEST(no_set_user_id_program)
{
    NAMESPACE();
    char *at = new_tmpfs("at");
    char command[1200];
    snprintf(command, sizeof command, "cp %s %s/suid && chown 2000 %s/suid && chmod 4755 %s/suid", self_path(), at, at, at);
    CHECK_EQ(system(command), 0);
    for (int turn = 0; turn < 2; turn++) {
        CHECK_OK(change(at, turn ? NOSUID : 0, turn ? 0 : NOSUID));
        pid_t pid = fork_child();
        if (pid == 0) {
            execl(in(at, "suid"), "suid", "--helper", "exits_by_effective_id", NULL);
            _exit(99);
        }
        CHECK_EXITED(wait_status(pid), turn ? 10 : 20);
    }
    CHECK_OK(umount(at));
}

static time_t read_once(const char *path)
{
    struct stat status;
    char byte;
    struct utimbuf old = {1000, 1000};
    CHECK_OK(utime(path, &old));
    int fd = open(path, O_RDONLY);
    CHECK_EQ(read(fd, &byte, 1), 1);
    close(fd);
    CHECK_OK(stat(path, &status));
    return status.st_atime;
}

TEST(times_of_access)
{
    NAMESPACE();
    char *at = new_tmpfs("at");
    write_file(in(at, "f"), "x");
    CHECK_OK(change(at, 0, ATIME)); /* MOUNT_ATTR_RELATIME is 0 */
    CHECK(read_once(in(at, "f")) > 1000);
    CHECK_OK(change(at, NOATIME, ATIME));
    CHECK_EQ(read_once(in(at, "f")), 1000);
    CHECK_OK(change(at, 0, ATIME));
    CHECK(read_once(in(at, "f")) > 1000);
    if (change(at, STRICTATIME, ATIME) == 0) {
        CHECK(!has_option(at, "relatime"));
        CHECK(!has_option(at, "noatime"));
    } else {
        CHECK_EQ(errno, EINVAL);
    }
    CHECK_ERRNO(change(at, NOATIME, 0), EINVAL); /* which time is to be kept changes as a whole */
    CHECK_ERRNO(change(at, 0, NOATIME), EINVAL);
    CHECK_ERRNO(change(at, STRICTATIME, NOATIME), EINVAL);
    CHECK_ERRNO(change(at, NOATIME | STRICTATIME, ATIME), EINVAL);
    CHECK_ERRNO(change(at, 0x40, ATIME), EINVAL);
    CHECK_OK(umount(at));
}

TEST(attributes_of_a_whole_tree)
{
    NAMESPACE();
    char *base = new_tmpfs("base"), *inner = directory("base/inner"), *last = directory("base/inner/last");
    REQUIRE_OK(mount("y", inner, "tmpfs", 0, NULL));
    mkdir(last, 0755);
    REQUIRE_OK(mount("z", last, "tmpfs", MS_NODEV, NULL));
    CHECK_OK(change(base, NOSUID, 0));
    CHECK(has_option(base, "nosuid"));
    CHECK(!has_option(inner, "nosuid"));
    CHECK_OK(set_attributes(AT_FDCWD, base, RECURSIVE, (struct attributes){.set = NOEXEC, .clear = NOSUID | NODEV}));
    const char *const all[] = {base, inner, last};
    for (int i = 0; i < 3; i++)
        if (!has_option(all[i], "noexec") || has_option(all[i], "nosuid") || has_option(all[i], "nodev"))
            GUEST_FAIL("%s: %s", all[i], told_of(all[i]));

    int fd = open(in(last, "f"), O_CREAT | O_WRONLY, 0644);
    CHECK_OK(fd);
    CHECK_ERRNO(set_attributes(AT_FDCWD, last, 0, (struct attributes){.set = RDONLY}), EBUSY);
    CHECK_ERRNO(set_attributes(AT_FDCWD, base, RECURSIVE, (struct attributes){.set = RDONLY | NOSUID}), EBUSY);
    for (int i = 0; i < 3; i++)
        if (has_option(all[i], "ro") || has_option(all[i], "nosuid"))
            GUEST_FAIL("all or nothing: %s: %s", all[i], told_of(all[i]));
    close(fd);
    CHECK_OK(set_attributes(AT_FDCWD, base, RECURSIVE, (struct attributes){.set = RDONLY, .propagation = MS_SHARED}));
    for (int i = 0; i < 3; i++)
        if (!has_option(all[i], "ro") || !strstr(fields_of(all[i]), "shared:"))
            GUEST_FAIL("%s: %s", all[i], told_of(all[i]));
    CHECK_OK(set_attributes(AT_FDCWD, base, RECURSIVE, (struct attributes){.clear = RDONLY, .propagation = MS_PRIVATE}));
    CHECK_OK(umount2(base, MNT_DETACH));
}

TEST(propagation_by_attribute)
{
    NAMESPACE();
    char *at = new_tmpfs("at"), *copy = directory("copy");
    static const uint64_t refused[] = {MS_SHARED | MS_PRIVATE, MS_SLAVE | MS_UNBINDABLE, MS_REC, 1, MS_PRIVATE | MS_SILENT, 1ULL << 40};
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++)
        CHECK_ERRNO(set_attributes(AT_FDCWD, at, 0, (struct attributes){.propagation = refused[i]}), EINVAL);
    CHECK_STR(fields_of(at), "");
    CHECK_OK(set_attributes(AT_FDCWD, at, 0, (struct attributes){.propagation = MS_SHARED}));
    CHECK(strncmp(fields_of(at), " shared:", 8) == 0);
    CHECK_OK(mount(at, copy, NULL, MS_BIND, NULL));
    CHECK_OK(set_attributes(AT_FDCWD, copy, 0, (struct attributes){.propagation = MS_SLAVE}));
    CHECK(strncmp(fields_of(copy), " master:", 8) == 0);
    CHECK_OK(set_attributes(AT_FDCWD, copy, 0, (struct attributes){.propagation = MS_PRIVATE}));
    CHECK_STR(fields_of(copy), "");
    CHECK_OK(set_attributes(AT_FDCWD, copy, 0, (struct attributes){.propagation = MS_UNBINDABLE, .set = NOSUID}));
    CHECK_STR(fields_of(copy), " unbindable");
    CHECK(has_option(copy, "nosuid"));
    CHECK_OK(umount(copy));
    CHECK_OK(umount(at));
}

TEST(which_mount_is_meant)
{
    NAMESPACE();
    char *at = new_tmpfs("at");
    struct attributes wanted = {.set = NOSUID}, back = {.clear = NOSUID};
    CHECK_OK(mkdir(in(at, "d"), 0755));
    CHECK_OK(symlink(at, in(place, "link")));
    int fd = open(at, O_RDONLY | O_DIRECTORY), base = open(place, O_RDONLY | O_DIRECTORY), file = open("/dev/null", O_RDONLY);
    CHECK_OK(set_attributes(fd, "", EMPTY_PATH, wanted));
    CHECK(has_option(at, "nosuid"));
    CHECK_OK(set_attributes(base, "at", NO_AUTOMOUNT, back));
    CHECK(!has_option(at, "nosuid"));
    CHECK_OK(set_attributes(base, "link", 0, wanted));
    CHECK(has_option(at, "nosuid"));
    CHECK_ERRNO(set_attributes(base, "link", AT_SYMLINK_NOFOLLOW, wanted), EINVAL); /* no root of a mount */
    CHECK_ERRNO(set_attributes(fd, "d", 0, wanted), EINVAL);
    CHECK_ERRNO(set_attributes(fd, "", 0, wanted), ENOENT);
    CHECK_ERRNO(set_attributes(fd, "missing", 0, wanted), ENOENT);
    CHECK_ERRNO(set_attributes(999, "at", 0, wanted), EBADF);
    CHECK_ERRNO(set_attributes(file, "at", 0, wanted), ENOTDIR);
    CHECK_ERRNO(set_attributes(fd, bad_address, 0, wanted), EFAULT);
    CHECK_ERRNO(set_attributes(fd, "", EMPTY_PATH | 0x100000, wanted), EINVAL);
    CHECK_ERRNO(set_attributes(fd, "", EMPTY_PATH | 1, wanted), EINVAL);
    close(fd);
    close(base);
    CHECK_OK(umount(at));
}

TEST(the_structure_of_attributes)
{
    NAMESPACE();
    char *at = new_tmpfs("at");
    unsigned char *given = guarded(4096);
    memset(given, 0, 4096);
    struct attributes *attributes = (struct attributes *)(void *)given;
    long nr = NR_MOUNT_SETATTR;
    CHECK_ERRNO(syscall(nr, AT_FDCWD, at, 0, given, 0), EINVAL);
    CHECK_ERRNO(syscall(nr, AT_FDCWD, at, 0, given, 31), EINVAL);
    CHECK_ERRNO(syscall(nr, AT_FDCWD, at, 0, given, 4097), E2BIG);
    CHECK_ERRNO(syscall(nr, AT_FDCWD, at, 0, bad_address, 32), EFAULT);
    CHECK_ERRNO(syscall(nr, AT_FDCWD, at, 0, given + 4096 - 31, 32), EFAULT);
    CHECK_OK(syscall(nr, AT_FDCWD, "/missing", 0, given, 4096)); /* nothing to do: nothing is looked up */
    attributes->set = NODEV;
    CHECK_OK(syscall(nr, AT_FDCWD, at, 0, given, 4096));
    CHECK(has_option(at, "nodev"));
    given[4095] = 1;
    CHECK_ERRNO(syscall(nr, AT_FDCWD, at, 0, given, 4096), E2BIG);
    given[4095] = 0;
    static const uint64_t unknown[] = {0x100, 0x80000, 0x400000, 1ULL << 40, 1ULL << 63};
    for (size_t i = 0; i < sizeof unknown / sizeof *unknown; i++) {
        CHECK_ERRNO(change(at, unknown[i], 0), EINVAL);
        CHECK_ERRNO(change(at, 0, unknown[i]), EINVAL);
    }
    CHECK_ERRNO(change(at, 0, IDMAP), EINVAL); /* an identity map stays */
    CHECK_ERRNO(set_attributes(AT_FDCWD, at, 0, (struct attributes){.set = IDMAP, .user_namespace = 1ULL << 32}), EINVAL);
    CHECK_ERRNO(set_attributes(AT_FDCWD, at, 0, (struct attributes){.set = IDMAP, .user_namespace = 999}), EBADF);
    int file = open("/dev/null", O_RDONLY);
    CHECK_ERRNO(set_attributes(AT_FDCWD, at, 0, (struct attributes){.set = IDMAP, .user_namespace = (uint64_t)file}), EINVAL);
    CHECK_OK(set_attributes(AT_FDCWD, at, 0, (struct attributes){.set = NODEV, .user_namespace = 999})); /* not asked for */
    pid_t pid = fork_child();
    if (pid == 0) {
        CHECK_OK(setresuid(1000, 1000, 1000));
        CHECK_ERRNO(change(at, NOSUID, 0), EPERM);
        CHECK_ERRNO(syscall(nr, AT_FDCWD, at, 0, bad_address, 32), EPERM);
        CHECK_ERRNO(syscall(nr, AT_FDCWD, at, 0, bad_address, 31), EINVAL);
        guest_finish();
    }
    CHECK_CHILD(pid);
    CHECK_OK(umount(at));
}

/* ---- open_tree_attr ---- */

static long clone_tree(int dir, const char *path, unsigned flags, const struct attributes *attributes, size_t size)
{
    return syscall(NR_OPEN_TREE_ATTR, dir, path, flags, attributes, size);
}

TEST(a_copy_with_attributes)
{
    NAMESPACE();
    char *at = new_tmpfs("at"), *copy = directory("copy"), *inner = directory("at/inner");
    REQUIRE_OK(mount("y", inner, "tmpfs", 0, NULL));
    struct attributes *wanted = guarded(sizeof *wanted);
    *wanted = (struct attributes){.set = NOSUID | RDONLY};
    int tree = (int)clone_tree(AT_FDCWD, at, CLONE | O_CLOEXEC, wanted, sizeof *wanted);
    if (tree == -1 && errno == ENOSYS)
        SKIP("this kernel is older than 6.15");
    REQUIRE_OK(tree);
    CHECK_EQ(fcntl(tree, F_GETFD), FD_CLOEXEC);
    CHECK_ERRNO(openat(tree, "f", O_CREAT | O_WRONLY, 0644), EROFS);
    CHECK_OK(syscall(SYS_move_mount, tree, "", AT_FDCWD, copy, 4));
    CHECK(has_option(copy, "ro") && has_option(copy, "nosuid"));
    CHECK(!has_option(at, "ro") && !has_option(at, "nosuid"));
    CHECK_EQ(fcntl(tree, F_GETFL) & O_PATH, O_PATH);
    close(tree);
    CHECK_OK(umount(copy));

    tree = (int)clone_tree(AT_FDCWD, at, CLONE | RECURSIVE, wanted, sizeof *wanted);
    CHECK_OK(tree);
    CHECK_OK(syscall(SYS_move_mount, tree, "", AT_FDCWD, copy, 4));
    CHECK(has_option(in(copy, "inner"), "ro"));
    CHECK(!has_option(inner, "ro"));
    close(tree);
    CHECK_OK(umount2(copy, MNT_DETACH));

    tree = (int)clone_tree(AT_FDCWD, at, 0, NULL, 0); /* as open_tree */
    CHECK_OK(tree);
    CHECK_EQ(fcntl(tree, F_GETFD), 0);
    CHECK_ERRNO(clone_tree(AT_FDCWD, at, CLONE, NULL, sizeof *wanted), EINVAL);
    CHECK_ERRNO(clone_tree(AT_FDCWD, at, CLONE, wanted, 0), EINVAL);
    CHECK_ERRNO(clone_tree(AT_FDCWD, at, CLONE, wanted, 31), EINVAL);
    CHECK_ERRNO(clone_tree(AT_FDCWD, at, CLONE, wanted, 4097), E2BIG);
    CHECK_ERRNO(clone_tree(AT_FDCWD, at, CLONE, wanted, 40), EFAULT);
    CHECK_ERRNO(clone_tree(AT_FDCWD, at, CLONE, bad_address, 32), EFAULT);
    CHECK_ERRNO(clone_tree(AT_FDCWD, at, RECURSIVE, wanted, 32), EINVAL); /* of a copy alone */
    CHECK_ERRNO(clone_tree(AT_FDCWD, at, CLONE | 2, wanted, 32), EINVAL);
    CHECK_ERRNO(clone_tree(AT_FDCWD, "missing", CLONE, wanted, 32), ENOENT);
    CHECK_ERRNO(clone_tree(AT_FDCWD, "missing", CLONE, wanted, 31), ENOENT); /* the path comes first */
    CHECK_ERRNO(clone_tree(tree, "", CLONE, wanted, 32), ENOENT);
    CHECK_ERRNO(clone_tree(999, "x", CLONE, wanted, 32), EBADF);
    int by_fd = (int)clone_tree(tree, "", CLONE | EMPTY_PATH | AT_SYMLINK_NOFOLLOW | NO_AUTOMOUNT, wanted, 32);
    CHECK_OK(by_fd);
    close(by_fd);
    wanted->set = 0x100;
    CHECK_ERRNO(clone_tree(AT_FDCWD, at, CLONE, wanted, 32), EINVAL);
    wanted->set = 0;
    by_fd = (int)clone_tree(AT_FDCWD, at, CLONE, wanted, 32);
    CHECK_OK(by_fd);
    close(by_fd);
    close(tree);
    CHECK_OK(umount2(at, MNT_DETACH));
}

TEST(open_tree_attr_of_the_tree_itself)
{
    NAMESPACE();
    char *at = new_tmpfs("at");
    struct attributes wanted = {.set = NOSUID};
    int tree = (int)clone_tree(AT_FDCWD, at, 0, &wanted, sizeof wanted);
    if (tree == -1 && errno == ENOSYS)
        SKIP("this kernel is older than 6.15");
    CHECK_OK(tree);
    CHECK(has_option(at, "nosuid"));
    CHECK_OK(mkdir(in(at, "d"), 0755));
    CHECK_ERRNO(clone_tree(AT_FDCWD, in(at, "d"), 0, &wanted, sizeof wanted), EINVAL); /* no root of a mount */
    close(tree);
    CHECK_OK(umount(at));
}
