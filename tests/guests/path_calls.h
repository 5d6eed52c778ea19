/*
 * path_calls.h - a table of the calls that take a path, for the guests path_errors and path_permissions.
 *
 * A call with two paths has a row for each; the other path is then of a file that is there, or new. Every call is made
 * by number, so that the C library neither hides an old form nor answers in its place.
 */
#ifndef GUEST_PATH_CALLS_H
#define GUEST_PATH_CALLS_H

#include "guest.h"

#include <linux/openat2.h>
#include <sys/quota.h>
#include <sys/time.h>
#include <sys/xattr.h>
#include <utime.h>

enum { NR_FCHMODAT2 = 452, NR_SETXATTRAT = 463, NR_GETXATTRAT, NR_LISTXATTRAT, NR_REMOVEXATTRAT, NR_QUOTACTL = 179 };

/* What stands in a row's arguments for the path and the directory descriptor under test. */
enum { PATH = 0x7a700001, DIR = 0x7a700002 };

enum trait {
    NOFOLLOW = 1, /* does to the last link what it would do to a file */
    CREATES = 2,  /* the last name need not be there */
    MAKES = 4,    /* the last name must not be there */
    MOVES = 8,    /* makes or takes away a name: wants write permission in the directory */
    CHANGES = 16, /* what cannot be done on a read-only file system */
    OWNERS = 32,  /* for who owns the file */
    CONTENT = 64, /* wants permission to read, write or execute the file */
    COUNTED = 128, /* takes one of a file system's inodes; on a tmpfs a hard link does, too */
    NO_GOOD = 256, /* does not succeed, or only with a look at more than the path */
};

struct path_call {
    const char *name;
    long nr;
    const char *good; /* "file", "dir", "link" or "new": what the call succeeds with */
    unsigned traits;
    long args[6];
};

struct xattr_arguments { /* Linux 6.13; the build's headers may be older */
    uint64_t value;
    uint32_t size, flags;
};

static char out[4096];
static struct open_how read_only = {.flags = O_RDONLY};
static struct utimbuf seconds = {1, 2};
static struct timeval micros[2] = {{1, 2}, {3, 4}};
static struct timespec nanos[2] = {{1, 2}, {3, 4}};
static struct xattr_arguments to_set = {(uintptr_t) "v", 1, 0}, to_get = {(uintptr_t)out, sizeof out, 0};
static struct {
    struct file_handle head;
    char bytes[MAX_HANDLE_SZ];
} handle = {.head.handle_bytes = MAX_HANDLE_SZ};
static char *no_words[] = {NULL};

#define AT (long)AT_FDCWD
#define A(word) ((long)(word))

static const struct path_call calls[] = {
    {"open", SYS_open, "file", CONTENT, {PATH, O_RDONLY}},
    {"open to write", SYS_open, "file", CONTENT | CHANGES, {PATH, O_WRONLY}},
    {"open to create", SYS_open, "new", CREATES | MOVES | CHANGES | COUNTED, {PATH, O_RDONLY | O_CREAT, 0600}},
    {"openat", SYS_openat, "file", CONTENT, {DIR, PATH, O_RDONLY}},
    {"openat to write", SYS_openat, "file", CONTENT | CHANGES, {DIR, PATH, O_WRONLY | O_TRUNC}},
    {"openat exclusive", SYS_openat, "new", MAKES | MOVES | CHANGES | COUNTED, {DIR, PATH, O_CREAT | O_EXCL, 0600}},
    {"openat2", SYS_openat2, "file", CONTENT, {DIR, PATH, A(&read_only), sizeof read_only}},
    {"creat", SYS_creat, "new", CREATES | MOVES | CHANGES | COUNTED, {PATH, 0600}},
    {"truncate", SYS_truncate, "file", CONTENT | CHANGES, {PATH, 3}},
    {"stat", SYS_stat, "file", 0, {PATH, A(out)}},
    {"lstat", SYS_lstat, "link", NOFOLLOW, {PATH, A(out)}},
    {"newfstatat", SYS_newfstatat, "file", 0, {DIR, PATH, A(out), 0}},
    {"statx", SYS_statx, "file", 0, {DIR, PATH, 0, STATX_BASIC_STATS, A(out)}},
    {"statfs", SYS_statfs, "file", 0, {PATH, A(out)}},
    {"access", SYS_access, "file", CONTENT | CHANGES, {PATH, W_OK}},
    {"faccessat", SYS_faccessat, "file", CONTENT | CHANGES, {DIR, PATH, W_OK}},
    {"faccessat2", SYS_faccessat2, "file", CONTENT | CHANGES, {DIR, PATH, W_OK, AT_EACCESS}},
    {"readlink", SYS_readlink, "link", NOFOLLOW, {PATH, A(out), sizeof out}},
    {"readlinkat", SYS_readlinkat, "link", NOFOLLOW, {DIR, PATH, A(out), sizeof out}},
    {"chdir", SYS_chdir, "dir", 0, {PATH}},
    {"chroot", SYS_chroot, "dir", NO_GOOD, {PATH}}, /* wants a capability */
    {"mkdir", SYS_mkdir, "new", MAKES | MOVES | CHANGES | COUNTED, {PATH, 0700}},
    {"mkdirat", SYS_mkdirat, "new", MAKES | MOVES | CHANGES | COUNTED, {DIR, PATH, 0700}},
    {"rmdir", SYS_rmdir, "dir", NOFOLLOW | MOVES | CHANGES, {PATH}},
    {"unlink", SYS_unlink, "file", NOFOLLOW | MOVES | CHANGES, {PATH}},
    {"unlinkat", SYS_unlinkat, "link", NOFOLLOW | MOVES | CHANGES, {DIR, PATH, 0}},
    {"unlinkat of a directory", SYS_unlinkat, "dir", NOFOLLOW | MOVES | CHANGES, {DIR, PATH, AT_REMOVEDIR}},
    {"rename", SYS_rename, "file", NOFOLLOW | MOVES | CHANGES, {PATH, A("new")}},
    {"rename to", SYS_rename, "new", NOFOLLOW | CREATES | MOVES | CHANGES, {A("link"), PATH}},
    {"renameat", SYS_renameat, "dir", NOFOLLOW | MOVES | CHANGES, {DIR, PATH, AT, A("new")}},
    {"renameat to", SYS_renameat, "new", NOFOLLOW | CREATES | MOVES | CHANGES, {AT, A("link"), DIR, PATH}},
    {"renameat2", SYS_renameat2, "link", NOFOLLOW | MOVES | CHANGES, {DIR, PATH, AT, A("new"), 0}},
    {"renameat2 to", SYS_renameat2, "new", MAKES | MOVES | CHANGES, {AT, A("link"), DIR, PATH, RENAME_NOREPLACE}},
    {"link", SYS_link, "file", NOFOLLOW | MOVES | CHANGES | COUNTED, {PATH, A("new")}},
    {"link to", SYS_link, "new", MAKES | MOVES | CHANGES | COUNTED, {A("file"), PATH}},
    {"linkat", SYS_linkat, "link", MOVES | CHANGES | COUNTED, {DIR, PATH, AT, A("new"), AT_SYMLINK_FOLLOW}},
    {"linkat to", SYS_linkat, "new", MAKES | MOVES | CHANGES | COUNTED, {AT, A("file"), DIR, PATH, 0}},
    {"symlink", SYS_symlink, "new", MAKES | MOVES | CHANGES | COUNTED, {A("target"), PATH}},
    {"symlinkat", SYS_symlinkat, "new", MAKES | MOVES | CHANGES | COUNTED, {A("target"), DIR, PATH}},
    {"mknod", SYS_mknod, "new", MAKES | MOVES | CHANGES | COUNTED, {PATH, S_IFIFO | 0600, 0}},
    {"mknodat", SYS_mknodat, "new", MAKES | MOVES | CHANGES | COUNTED, {DIR, PATH, S_IFREG | 0600, 0}},
    {"chmod", SYS_chmod, "file", OWNERS | CHANGES, {PATH, 0700}},
    {"fchmodat", SYS_fchmodat, "file", OWNERS | CHANGES, {DIR, PATH, 0700}},
    {"fchmodat2", NR_FCHMODAT2, "file", OWNERS | CHANGES, {DIR, PATH, 0700, 0}},
    {"chown", SYS_chown, "file", OWNERS | CHANGES, {PATH, 0, -1}},
    {"lchown", SYS_lchown, "link", NOFOLLOW | OWNERS | CHANGES, {PATH, 0, -1}},
    {"fchownat", SYS_fchownat, "file", OWNERS | CHANGES, {DIR, PATH, 0, -1, 0}},
    {"fchownat of links", SYS_fchownat, "link", NOFOLLOW | OWNERS | CHANGES, {DIR, PATH, 0, -1, AT_SYMLINK_NOFOLLOW}},
    {"utime", SYS_utime, "file", OWNERS | CHANGES, {PATH, A(&seconds)}},
    {"utimes", SYS_utimes, "file", OWNERS | CHANGES, {PATH, A(micros)}},
    {"futimesat", SYS_futimesat, "file", OWNERS | CHANGES, {DIR, PATH, A(micros)}},
    {"utimensat", SYS_utimensat, "file", OWNERS | CHANGES, {DIR, PATH, A(nanos), 0}},
    {"lutimes", SYS_utimensat, "link", NOFOLLOW | OWNERS | CHANGES, {DIR, PATH, A(nanos), AT_SYMLINK_NOFOLLOW}},
    {"setxattr", SYS_setxattr, "file", CONTENT | CHANGES, {PATH, A("user.b"), A("v"), 1, 0}},
    {"lsetxattr", SYS_lsetxattr, "file", NOFOLLOW | CONTENT | CHANGES, {PATH, A("user.b"), A("v"), 1, 0}},
    {"setxattrat", NR_SETXATTRAT, "file", CONTENT | CHANGES, {DIR, PATH, 0, A("user.b"), A(&to_set), sizeof to_set}},
    {"getxattr", SYS_getxattr, "file", CONTENT, {PATH, A("user.a"), A(out), sizeof out}},
    {"lgetxattr", SYS_lgetxattr, "file", NOFOLLOW | CONTENT, {PATH, A("user.a"), A(out), sizeof out}},
    {"getxattrat", NR_GETXATTRAT, "file", CONTENT, {DIR, PATH, 0, A("user.a"), A(&to_get), sizeof to_get}},
    {"listxattr", SYS_listxattr, "file", 0, {PATH, A(out), sizeof out}},
    {"llistxattr", SYS_llistxattr, "link", NOFOLLOW, {PATH, A(out), sizeof out}},
    {"listxattrat", NR_LISTXATTRAT, "file", 0, {DIR, PATH, 0, A(out), sizeof out}},
    {"removexattr", SYS_removexattr, "file", CONTENT | CHANGES, {PATH, A("user.a")}},
    {"lremovexattr", SYS_lremovexattr, "file", NOFOLLOW | CONTENT | CHANGES, {PATH, A("user.a")}},
    {"removexattrat", NR_REMOVEXATTRAT, "file", CONTENT | CHANGES, {DIR, PATH, 0, A("user.a")}},
    {"name_to_handle_at", SYS_name_to_handle_at, "file", NOFOLLOW, {DIR, PATH, A(&handle), A(out), 0}},
    {"execve", SYS_execve, "file", CONTENT | NO_GOOD, {PATH, A(no_words), A(no_words)}},
    {"execveat", SYS_execveat, "file", CONTENT | NO_GOOD, {DIR, PATH, A(no_words), A(no_words), 0}},
    {"quotactl", NR_QUOTACTL, "file", NO_GOOD, {QCMD(Q_GETFMT, USRQUOTA), PATH, 0, A(out)}},
};
#undef A
#undef AT

#define FOR_EACH_CALL(call) \
    for (const struct path_call *call = calls; call < calls + sizeof calls / sizeof *calls; call++)

__attribute__((unused)) static bool takes_directory(const struct path_call *call)
{
    return call->args[0] == DIR || call->args[2] == DIR || call->args[1] == DIR;
}

/* Makes a row's call. Returns -1 with errno, as libc would. */
static long perform(const struct path_call *call, int dir, const char *path)
{
    long given[6];
    for (int i = 0; i < 6; i++)
        given[i] = call->args[i] == PATH ? (long)path : call->args[i] == DIR ? dir : call->args[i];
    return syscall(call->nr, given[0], given[1], given[2], given[3], given[4], given[5]);
}

/* Whether the kernel has the call: some are newer than others, and tell so for whatever arguments. */
static bool is_known(const struct path_call *call)
{
    return call->nr < NR_FCHMODAT2 || perform(call, -1, "") != -1 || errno != ENOSYS;
}

/* The call fails so; the line names it, which a CHECK in a loop does not. */
static void fails(const struct path_call *call, int dir, const char *path, int expected)
{
    if (!is_known(call))
        return;
    errno = 0;
    long result = perform(call, dir, path);
    if (result != -1)
        GUEST_FAIL("%s(\"%.40s\"): expected %s, got %ld", call->name, path, strerrorname_np(expected), result);
    else if (errno != expected)
        GUEST_FAIL("%s(\"%.40s\"): expected %s, got %s", call->name, path, strerrorname_np(expected),
                   strerrorname_np(errno));
}

/* In the working directory: what rows mean by their good paths. */
static void populate(void)
{
    write_file("file", "some text");
    REQUIRE_OK(mkdir("dir", 0755));
    REQUIRE_OK(symlink("file", "link"));
    setxattr("file", "user.a", "value", 5, 0);
}

/* A child without privileges. Its ids own what it makes; the directory at hand is given to it. */
__attribute__((unused)) static pid_t fork_unprivileged(void)
{
    enum { SOMEBODY = 4321 };
    if (geteuid() == 0)
        REQUIRE_OK(chown(".", SOMEBODY, SOMEBODY));
    pid_t pid = fork_child();
    if (pid == 0 && geteuid() == 0) {
        REQUIRE_OK(setresgid(SOMEBODY, SOMEBODY, SOMEBODY));
        REQUIRE_OK(setresuid(SOMEBODY, SOMEBODY, SOMEBODY));
    }
    return pid;
}

#endif
