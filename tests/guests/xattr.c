/* xattr: extended attributes by path, by a link's path, by descriptor: the same rules for each. By directory: attr. */
#include "mount.h"

#include <sys/xattr.h>

enum { NAME_BYTES = 255, VALUE_BYTES = 65536 };

/* The calls of each form, about one subject: "file", which is also `opened`. */
static int opened;

static int fset(const char *path, const char *name, const void *value, size_t size, int flags)
{
    (void)path;
    return fsetxattr(opened, name, value, size, flags);
}

static ssize_t fget(const char *path, const char *name, void *value, size_t size)
{
    (void)path;
    return fgetxattr(opened, name, value, size);
}

static ssize_t flist(const char *path, char *names, size_t size)
{
    (void)path;
    return flistxattr(opened, names, size);
}

static int fremove(const char *path, const char *name)
{
    (void)path;
    return fremovexattr(opened, name);
}

static const struct form {
    const char *name;
    int (*set)(const char *path, const char *name, const void *value, size_t size, int flags);
    ssize_t (*get)(const char *path, const char *name, void *value, size_t size);
    ssize_t (*list)(const char *path, char *names, size_t size);
    int (*remove)(const char *path, const char *name);
} forms[] = {
    {"by path", setxattr, getxattr, listxattr, removexattr},
    {"by a link's path", lsetxattr, lgetxattr, llistxattr, lremovexattr},
    {"by descriptor", fset, fget, flist, fremove},
};

/* Which form a failed check is about is said once, behind it. */
#define FOR_EACH_FORM(form)                                                                              \
    for (int failures_ = guest_failures, number_ = 0; number_ < 3; number_++)                            \
        for (const struct form *form = &forms[number_]; form != NULL;                                    \
             form = (guest_failures > failures_ ? note("# ... %s\n", form->name), failures_ = guest_failures : 0, NULL))

static void make_subject(void)
{
    scratch();
    write_file("file", "x");
    opened = open("file", O_RDONLY);
    REQUIRE(opened >= 0);
    if (setxattr("file", "user.first", "1", 1, 0) == -1 && errno == EOPNOTSUPP)
        SKIP("the file system has no user attributes");
}

TEST(set_and_read_back)
{
    make_subject();
    FOR_EACH_FORM (form) {
        char *value = guarded(4), *names = guarded(22), zero[1];
        CHECK_OK(form->set("file", "user.other", "blue", 4, 0));
        CHECK_EQ(form->get("file", "user.other", value, 4), 4);
        CHECK(memcmp(value, "blue", 4) == 0);
        CHECK_EQ(form->get("file", "user.other", NULL, 0), 4);
        CHECK_EQ(form->list("file", NULL, 0), 22);
        CHECK_EQ(form->list("file", names, 22), 22);
        CHECK(memcmp(names, "user.first\0user.other", 22) == 0 || memcmp(names, "user.other\0user.first", 22) == 0);
        CHECK_OK(form->set("file", "user.other", "green", 5, XATTR_REPLACE));
        CHECK_EQ(form->get("file", "user.other", NULL, 0), 5);
        CHECK_OK(form->set("file", "user.other", NULL, 0, 0)); /* no value is one */
        CHECK_EQ(form->get("file", "user.other", zero, 1), 0);
        CHECK_OK(form->remove("file", "user.other"));
        CHECK_OK(form->set("file", "user.other", "new", 3, XATTR_CREATE));
        CHECK_OK(form->remove("file", "user.other"));
        CHECK_EQ(form->list("file", NULL, 0), 11);
    }
}

TEST(what_is_there_and_what_is_not)
{
    make_subject();
    FOR_EACH_FORM (form) {
        char value[8];
        CHECK_ERRNO(form->set("file", "user.first", "x", 1, XATTR_CREATE), EEXIST);
        CHECK_ERRNO(form->set("file", "user.absent", "x", 1, XATTR_REPLACE), ENODATA);
        CHECK_ERRNO(form->set("file", "user.first", "x", 1, XATTR_CREATE | XATTR_REPLACE), EEXIST);
        CHECK_ERRNO(form->set("file", "user.first", "x", 1, 4), EINVAL);
        CHECK_ERRNO(form->get("file", "user.absent", value, sizeof value), ENODATA);
        CHECK_ERRNO(form->remove("file", "user.absent"), ENODATA);
    }
}

TEST(sizes_of_buffers)
{
    make_subject();
    CHECK_OK(setxattr("file", "user.first", "12345678", 8, 0));
    FOR_EACH_FORM (form) {
        char *value = guarded(7), *names = guarded(10);
        CHECK_ERRNO(form->get("file", "user.first", value, 7), ERANGE);
        CHECK_ERRNO(form->get("file", "user.first", value, 1), ERANGE);
        CHECK_ERRNO(form->list("file", names, 10), ERANGE);
        CHECK_ERRNO(form->list("file", names, 1), ERANGE);
        char *larger = guarded(100);
        CHECK_EQ(form->get("file", "user.first", larger, 100), 8);
        CHECK_EQ(form->list("file", larger, 100), 11);
        CHECK_EQ(form->get("file", "user.first", larger, SIZE_MAX), 8); /* no more is written than there is */
        CHECK_EQ(form->list("file", larger, SIZE_MAX), 11);
    }
}

TEST(bad_pointers)
{
    make_subject();
    FOR_EACH_FORM (form) {
        char value[8];
        CHECK_ERRNO(form->set("file", bad_address, "x", 1, 0), EFAULT);
        CHECK_ERRNO(form->set("file", NULL, "x", 1, 0), EFAULT);
        CHECK_ERRNO(form->set("file", "user.a", bad_address, 1, 0), EFAULT);
        CHECK_ERRNO(form->get("file", bad_address, value, sizeof value), EFAULT);
        CHECK_ERRNO(form->get("file", "user.first", bad_address, 1), EFAULT);
        CHECK_ERRNO(form->list("file", bad_address, 100), EFAULT);
        CHECK_ERRNO(form->remove("file", bad_address), EFAULT);
        CHECK_EQ(form->list("file", NULL, 0), 11); /* none was made */
    }
}

TEST(names_have_a_kind_and_a_length)
{
    make_subject();
    static char name[NAME_BYTES + 2] = "user.";
    memset(name + 5, 'n', NAME_BYTES - 4);
    FOR_EACH_FORM (form) {
        char value[8];
        CHECK_ERRNO(form->set("file", name, "x", 1, 0), ERANGE);
        CHECK_ERRNO(form->get("file", name, value, sizeof value), ERANGE);
        CHECK_ERRNO(form->remove("file", name), ERANGE);
        CHECK_ERRNO(form->set("file", "", "x", 1, 0), ERANGE);
        CHECK_ERRNO(form->get("file", "", value, sizeof value), ERANGE);
        CHECK_ERRNO(form->remove("file", ""), ERANGE);
        CHECK_ERRNO(form->set("file", "colour", "x", 1, 0), EOPNOTSUPP);
        CHECK_ERRNO(form->get("file", "colour", value, sizeof value), EOPNOTSUPP);
        CHECK_ERRNO(form->remove("file", "colour"), EOPNOTSUPP);
        CHECK_ERRNO(form->set("file", "user.", "x", 1, 0), EINVAL);
        CHECK_ERRNO(form->get("file", "user.", value, sizeof value), EINVAL);
        CHECK_ERRNO(form->remove("file", "user."), EINVAL);
    }
    name[NAME_BYTES] = '\0';
    FOR_EACH_FORM (form) {
        CHECK_OK(form->set("file", name, "x", 1, 0));
        CHECK_EQ(form->get("file", name, NULL, 0), 1);
        CHECK_EQ(form->list("file", NULL, 0), NAME_BYTES + 1 + 11);
        CHECK_OK(form->remove("file", name));
    }
}

TEST(values_too_large)
{
    make_subject();
    char *value = calloc(1, VALUE_BYTES + 1);
    FOR_EACH_FORM (form) {
        CHECK_ERRNO(form->set("file", "user.a", value, VALUE_BYTES + 1, 0), E2BIG);
        CHECK_ERRNO(form->set("file", "user.a", value, SIZE_MAX, 0), E2BIG);
    }
    free(value);
}

TEST(descriptors_that_have_no_attributes)
{
    char value[8];
    int ends[2];
    make_subject();
    REQUIRE_OK(pipe(ends));
    const struct form *form = &forms[2];
    int none[] = {-1, 999, open("file", O_PATH), INT32_MIN};
    for (unsigned i = 0; i < sizeof none / sizeof *none; i++) {
        opened = none[i];
        CHECK_ERRNO(form->set("", "user.a", "x", 1, 0), EBADF);
        CHECK_ERRNO(form->get("", "user.a", value, sizeof value), EBADF);
        CHECK_ERRNO(form->list("", value, sizeof value), EBADF);
        CHECK_ERRNO(form->remove("", "user.a"), EBADF);
    }
    opened = ends[0];
    CHECK_ERRNO(form->set("", "user.a", "x", 1, 0), EPERM);
    CHECK_ERRNO(form->get("", "user.a", value, sizeof value), ENODATA);
    CHECK_ERRNO(form->remove("", "user.a"), EPERM);
    CHECK_ERRNO(form->set("", "colour", "x", 1, 0), EOPNOTSUPP);
    CHECK_EQ(form->list("", value, sizeof value), 0);
}

TEST(only_files_and_directories_have_users_attributes)
{
    char value[8];
    make_subject();
    CHECK_OK(symlink("file", "link"));
    CHECK_OK(mkfifo("fifo", 0600));
    CHECK_OK(mkdir("dir", 0700));
    for (int i = 0; i < 2; i++) {
        const char *path = i ? "fifo" : "link";
        CHECK_ERRNO(lsetxattr(path, "user.a", "x", 1, 0), EPERM);
        CHECK_ERRNO(lgetxattr(path, "user.a", value, sizeof value), ENODATA);
        CHECK_ERRNO(lremovexattr(path, "user.a"), EPERM);
        CHECK_EQ(llistxattr(path, value, sizeof value), 0);
    }
    CHECK_OK(setxattr("link", "user.a", "x", 1, 0)); /* the file's */
    CHECK_EQ(lgetxattr("file", "user.a", value, sizeof value), 1);
    CHECK_EQ(listxattr("link", NULL, 0), 18);
    CHECK_OK(removexattr("link", "user.a"));
    CHECK_OK(lsetxattr("dir", "user.a", "x", 1, 0));
    CHECK_EQ(getxattr("dir", "user.a", value, sizeof value), 1);
}

TEST(attributes_go_with_the_file)
{
    char value[8];
    make_subject();
    CHECK_OK(link("file", "second"));
    CHECK_OK(rename("file", "first"));
    CHECK_EQ(getxattr("first", "user.first", value, sizeof value), 1);
    CHECK_EQ(getxattr("second", "user.first", value, sizeof value), 1);
    CHECK_OK(unlink("first"));
    CHECK_OK(unlink("second"));
    if (fgetxattr(opened, "user.first", value, sizeof value) == -1 && errno == ESTALE)
        SKIP("a bind knows files by their names: the rows' notes");
    CHECK_EQ(fgetxattr(opened, "user.first", value, sizeof value), 1);
    CHECK_OK(fsetxattr(opened, "user.last", "x", 1, 0));
    CHECK_EQ(flistxattr(opened, NULL, 0), 21);
}

/* The list of all names has a limit that a file may be beyond: then it can be measured, but not be had. */
TEST(lists_too_large)
{
    enum { NAMES = 300, LIST_BYTES = 65536 };
    NAMESPACE();
    char *at = directory("at"), name[NAME_BYTES + 1], *names = malloc(2 * LIST_BYTES);
    REQUIRE_OK(mount("some", at, "tmpfs", 0, NULL));
    REQUIRE_OK(chdir(at));
    write_file("file", "x");
    opened = open("file", O_RDONLY);
    memset(name, 'n', NAME_BYTES);
    name[NAME_BYTES] = '\0';
    for (int i = 0; i < NAMES; i++) {
        memcpy(name, "user.", 5);
        snprintf(name + 5, 5, "%04d", i);
        name[9] = 'n';
        if (setxattr("file", name, "", 0, 0) == -1 && errno == EOPNOTSUPP)
            SKIP("a tmpfs without user attributes (before Linux 6.6)");
    }
    FOR_EACH_FORM (form) {
        CHECK_EQ(form->list("file", NULL, 0), NAMES * (NAME_BYTES + 1));
        CHECK_ERRNO(form->list("file", names, 2 * LIST_BYTES), E2BIG);
        CHECK_ERRNO(form->list("file", names, LIST_BYTES), E2BIG);
        CHECK_ERRNO(form->list("file", names, LIST_BYTES - 1), ERANGE);
    }
    close(opened);
    CHECK_OK(chdir("/"));
    CHECK_OK(umount(at));
}

TEST(file_systems_without_room_for_attributes)
{
    NAMESPACE();
    char *at = directory("at"), *value = calloc(1, VALUE_BYTES);
    REQUIRE_OK(mount("some", at, "tmpfs", 0, "nr_inodes=20"));
    REQUIRE_OK(chdir(at));
    write_file("file", "x");
    opened = open("file", O_RDONLY);
    if (setxattr("file", "user.a", "", 0, 0) == -1 && errno == EOPNOTSUPP)
        SKIP("a tmpfs without user attributes (before Linux 6.6)");
    FOR_EACH_FORM (form)
        CHECK_ERRNO(form->set("file", "user.b", value, VALUE_BYTES, 0), ENOSPC);
    close(opened);
    CHECK_OK(chdir("/"));
    CHECK_OK(umount(at));
}
