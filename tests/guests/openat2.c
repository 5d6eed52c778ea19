/* openat2: each RESOLVE_ flag with a path that it lets through and one that it refuses; struct open_how. */
#include "mount.h"

#include <linux/openat2.h>

static int how(int dir, const char *path, uint64_t flags, uint64_t resolve)
{
    struct open_how *given = guarded(sizeof *given);
    *given = (struct open_how){flags, 0, resolve};
    return (int)syscall(SYS_openat2, dir, path, given, sizeof *given);
}

static const char *answer(int fd)
{
    if (fd == -1)
        return strerrorname_np(errno);
    close(fd);
    return "ok";
}

/* A directory "root" with files and links, "outside" beside it, and a descriptor of the former. */
static int make_tree(void)
{
    scratch();
    REQUIRE_OK(mkdir("root", 0755));
    REQUIRE_OK(mkdir("root/d", 0755));
    write_file("outside", "o");
    write_file("root/f", "f");
    write_file("root/d/g", "g");
    char absolute[GUEST_PATH_BYTES + 32];
    snprintf(absolute, sizeof absolute, "%s/root/f", guest_scratch_path);
    static const char *const links[][2] = {
        {"f", "root/link"},           {"d", "root/to_d"},       {"../outside", "root/escape"},
        {"/f", "root/from_root"},     {"/proc/self/fd", "root/fds"}, {"loop", "root/loop"},
        {"../f", "root/d/up"},        {"../root/f", "root/around"}, {"/proc/self/root", "root/magic"},
    };
    for (size_t i = 0; i < sizeof links / sizeof *links; i++)
        REQUIRE_OK(symlink(links[i][0], links[i][1]));
    REQUIRE_OK(symlink(absolute, "root/absolute"));
    int dir = open("root", O_PATH | O_DIRECTORY);
    REQUIRE_OK(dir);
    return dir;
}

TEST(each_resolve_flag_on_each_path)
{
    int dir = make_tree();
    char link_to_dir[64];
    snprintf(link_to_dir, sizeof link_to_dir, "/proc/self/fd/%d", dir);
    enum { NO_SYMLINKS = RESOLVE_NO_SYMLINKS, NO_MAGIC = RESOLVE_NO_MAGICLINKS, BENEATH = RESOLVE_BENEATH };
    enum { IN_ROOT = RESOLVE_IN_ROOT, NONE = 0 };
    const struct {
        uint64_t resolve;
        const char *path, *answer;
    } cases[] = {
        {NONE, "f", "ok"}, {NONE, "link", "ok"}, {NONE, "escape", "ok"}, {NONE, "from_root", "ENOENT"},
        {NONE, "absolute", "ok"}, {NONE, "magic", "ok"}, {NONE, "loop", "ELOOP"}, {NONE, "/proc/self/exe", "ok"},

        {NO_SYMLINKS, "f", "ok"}, {NO_SYMLINKS, "d/g", "ok"}, {NO_SYMLINKS, "../outside", "ok"},
        {NO_SYMLINKS, "link", "ELOOP"}, {NO_SYMLINKS, "to_d/g", "ELOOP"}, {NO_SYMLINKS, "magic", "ELOOP"},
        {NO_SYMLINKS, "/proc/self/exe", "ELOOP"}, {NO_SYMLINKS, "missing", "ENOENT"}, {NO_SYMLINKS, "f/", "ENOTDIR"},

        {NO_MAGIC, "link", "ok"}, {NO_MAGIC, "to_d/g", "ok"}, {NO_MAGIC, "absolute", "ok"}, {NO_MAGIC, "fds", "ok"},
        {NO_MAGIC, "magic", "ELOOP"}, {NO_MAGIC, "/proc/self/exe", "ELOOP"}, {NO_MAGIC, link_to_dir, "ELOOP"},
        {NO_MAGIC, "/proc/self/root/", "ELOOP"}, {NO_MAGIC, "/proc/self/cwd/root", "ELOOP"},

        {BENEATH, "f", "ok"}, {BENEATH, "d/../f", "ok"}, {BENEATH, "to_d/g", "ok"}, {BENEATH, "d/up", "ok"},
        {BENEATH, "./././f", "ok"}, {BENEATH, ".", "ok"}, {BENEATH, "..", "EXDEV"}, {BENEATH, "../root/f", "EXDEV"},
        {BENEATH, "d/../../root/f", "EXDEV"}, {BENEATH, "escape", "EXDEV"}, {BENEATH, "around", "EXDEV"},
        {BENEATH, "/f", "EXDEV"}, {BENEATH, "/", "EXDEV"}, {BENEATH, "from_root", "EXDEV"},
        {BENEATH, "absolute", "EXDEV"}, {BENEATH, "magic", "EXDEV"}, {BENEATH, "missing", "ENOENT"},
        {BENEATH, "loop", "ELOOP"},

        {IN_ROOT, "f", "ok"}, {IN_ROOT, "/f", "ok"}, {IN_ROOT, "../f", "ok"}, {IN_ROOT, "../../../d/g", "ok"},
        {IN_ROOT, "from_root", "ok"}, {IN_ROOT, "/to_d/up", "ok"}, {IN_ROOT, "escape", "ENOENT"},
        {IN_ROOT, "around", "ENOENT"}, {IN_ROOT, "absolute", "ENOENT"}, {IN_ROOT, "/", "ok"},
        {IN_ROOT, "/proc/self/exe", "ENOENT"}, {IN_ROOT, "magic", "ENOENT"}, {IN_ROOT, "fds", "ENOENT"},

        {BENEATH | NO_SYMLINKS, "d/g", "ok"}, {BENEATH | NO_SYMLINKS, "link", "ELOOP"},
        {BENEATH | NO_SYMLINKS, "../outside", "EXDEV"}, {IN_ROOT | NO_SYMLINKS, "/d/../../f", "ok"},
        {IN_ROOT | NO_SYMLINKS, "from_root", "ELOOP"}, {BENEATH | IN_ROOT, "f", "EINVAL"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const char *got = answer(how(dir, cases[i].path, O_RDONLY, cases[i].resolve));
        if (strcmp(got, cases[i].answer))
            GUEST_FAIL("%s, resolve %#lx: expected %s, got %s", cases[i].path, (unsigned long)cases[i].resolve,
                       cases[i].answer, got);
    }
    close(dir);
}

TEST(no_magic_below_and_in_a_root)
{
    int proc = open("/proc/self", O_PATH | O_DIRECTORY);
    REQUIRE_OK(proc);
    CHECK_STR(answer(how(proc, "exe", O_RDONLY, 0)), "ok");
    CHECK_STR(answer(how(proc, "exe", O_RDONLY, RESOLVE_BENEATH)), "EXDEV");
    CHECK_STR(answer(how(proc, "exe", O_RDONLY, RESOLVE_IN_ROOT)), "EXDEV");
    CHECK_STR(answer(how(proc, "exe", O_PATH | O_NOFOLLOW, RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS)), "ok"); /* itself */
    CHECK_STR(answer(how(proc, "exe", O_PATH | O_NOFOLLOW, RESOLVE_NO_SYMLINKS)), "ok");
    CHECK_STR(answer(how(proc, "exe", O_RDONLY | O_NOFOLLOW, RESOLVE_NO_SYMLINKS)), "ELOOP");
    CHECK_STR(answer(how(proc, "status", O_RDONLY, RESOLVE_BENEATH)), "ok");
    CHECK_STR(answer(how(proc, "fd/../status", O_RDONLY, RESOLVE_BENEATH)), "ok");
    close(proc);
}

TEST(creating_with_resolve_flags)
{
    int dir = make_tree();
    struct open_how new_file = {O_WRONLY | O_CREAT, 0600, RESOLVE_BENEATH};
    CHECK_STR(answer((int)syscall(SYS_openat2, dir, "d/new", &new_file, sizeof new_file)), "ok");
    CHECK_OK(faccessat(dir, "d/new", W_OK, 0));
    CHECK_STR(answer((int)syscall(SYS_openat2, dir, "../new", &new_file, sizeof new_file)), "EXDEV");
    CHECK_ERRNO(access("new", F_OK), ENOENT);
    new_file.resolve = RESOLVE_IN_ROOT;
    CHECK_STR(answer((int)syscall(SYS_openat2, dir, "/../new", &new_file, sizeof new_file)), "ok");
    CHECK_OK(faccessat(dir, "new", W_OK, 0));
    CHECK_OK(symlinkat("made_by_link", dir, "dangling"));
    new_file.resolve = RESOLVE_NO_SYMLINKS;
    CHECK_STR(answer((int)syscall(SYS_openat2, dir, "dangling", &new_file, sizeof new_file)), "ELOOP");
    CHECK_ERRNO(faccessat(dir, "made_by_link", F_OK, 0), ENOENT);
    new_file.resolve = RESOLVE_BENEATH;
    CHECK_STR(answer((int)syscall(SYS_openat2, dir, "dangling", &new_file, sizeof new_file)), "ok");
    CHECK_OK(faccessat(dir, "made_by_link", F_OK, 0));
    close(dir);
}

TEST(what_is_cached)
{
    int dir = make_tree();
    /* An answer out of the cache, or EAGAIN: never another errno, never a wait. */
    const char *got = answer(how(dir, "f", O_RDONLY, RESOLVE_CACHED));
    CHECK(strcmp(got, "ok") == 0 || strcmp(got, "EAGAIN") == 0);
    CHECK_STR(answer(how(dir, "f", O_RDWR | O_TRUNC, RESOLVE_CACHED)), "EAGAIN");
    struct open_how new_file = {O_WRONLY | O_CREAT, 0600, RESOLVE_CACHED};
    CHECK_STR(answer((int)syscall(SYS_openat2, dir, "new", &new_file, sizeof new_file)), "EAGAIN");
    CHECK_ERRNO(faccessat(dir, "new", F_OK, 0), ENOENT);
    close(dir);
}

TEST(no_other_mount)
{
    NAMESPACE();
    char *root = directory("root"), *at = directory("root/at");
    REQUIRE_OK(mount("x", at, "tmpfs", 0, NULL));
    write_file(in(root, "f"), "f");
    write_file(in(at, "g"), "g");
    REQUIRE_OK(symlink("at/g", in(root, "link")));
    REQUIRE_OK(symlink("../f", in(at, "up")));
    int dir = open(root, O_PATH), inner = open(at, O_PATH);
    const struct {
        int dir;
        const char *path, *answer;
    } cases[] = {
        {dir, "f", "ok"},        {dir, "at/../f", "EXDEV"}, {dir, "at", "EXDEV"},   {dir, "at/g", "EXDEV"},
        {dir, "link", "EXDEV"},  {dir, "/", "EXDEV"},       {inner, "g", "ok"},     {inner, "..", "EXDEV"},
        {inner, "../f", "EXDEV"}, {inner, "up", "EXDEV"},   {inner, ".", "ok"},     {inner, "./g", "ok"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        CHECK_STR(answer(how(cases[i].dir, cases[i].path, O_RDONLY, 0)), "ok");
        const char *got = answer(how(cases[i].dir, cases[i].path, O_RDONLY, RESOLVE_NO_XDEV));
        if (cases[i].path[0] != '/' && strcmp(got, cases[i].answer)) /* whether "/" is another mount depends */
            GUEST_FAIL("%s: expected %s, got %s", cases[i].path, cases[i].answer, got);
    }
    /* Binds are other mounts, too, though of the same file system. */
    char *bound = directory("root/bound");
    REQUIRE_OK(mount(root, bound, NULL, MS_BIND, NULL));
    CHECK_STR(answer(how(dir, "bound/f", O_RDONLY, 0)), "ok");
    CHECK_STR(answer(how(dir, "bound/f", O_RDONLY, RESOLVE_NO_XDEV)), "EXDEV");
    CHECK_STR(answer(how(dir, "bound/f", O_RDONLY, RESOLVE_BENEATH)), "ok");
    close(dir);
    close(inner);
    CHECK_OK(umount(bound));
    CHECK_OK(umount(at));
}

TEST(the_structure)
{
    scratch();
    write_file("f", "f");
    char *given = guarded(4096);
    memset(given, 0, 4096);
    struct open_how *fields = (struct open_how *)(void *)given;
    CHECK_STR(answer((int)syscall(SYS_openat2, AT_FDCWD, "f", given, 4096)), "ok");
    CHECK_STR(answer((int)syscall(SYS_openat2, AT_FDCWD, "f", given, 4097)), "E2BIG");
    CHECK_STR(answer((int)syscall(SYS_openat2, AT_FDCWD, "f", given, 23)), "EINVAL");
    CHECK_STR(answer((int)syscall(SYS_openat2, AT_FDCWD, "f", given, 0)), "EINVAL");
    CHECK_STR(answer((int)syscall(SYS_openat2, AT_FDCWD, "f", bad_address, 24)), "EFAULT");
    CHECK_STR(answer((int)syscall(SYS_openat2, AT_FDCWD, "f", given + 4096 - 23, 24)), "EFAULT");
    given[24] = 1;
    CHECK_STR(answer((int)syscall(SYS_openat2, AT_FDCWD, "f", given, 32)), "E2BIG");
    CHECK_STR(answer((int)syscall(SYS_openat2, AT_FDCWD, "f", given, 24)), "ok");
    static const struct open_how refused[] = {
        {O_RDONLY, 0600, 0},           {O_CREAT, 0200000, 0},            {O_CREAT, 1ULL << 40, 0},
        {1ULL << 32, 0, 0},            {1ULL << 63, 0, 0},               {O_RDONLY, 0, 0x40},
        {O_RDONLY, 0, 1ULL << 63},     {O_TMPFILE | O_RDONLY, 0600, 0},
        {O_PATH | O_RDWR, 0, 0},       {O_PATH | O_CREAT, 0600, 0},      {O_PATH | O_TRUNC, 0, 0},
        {O_TMPFILE & ~O_DIRECTORY, 0600, 0},
    };
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++) {
        *fields = refused[i];
        const char *got = answer((int)syscall(SYS_openat2, AT_FDCWD, "f", given, 24));
        if (strcmp(got, "EINVAL"))
            GUEST_FAIL("flags %#llx, mode %#llo, resolve %#llx: expected EINVAL, got %s", fields->flags, fields->mode,
                       fields->resolve, got);
    }
    *fields = (struct open_how){O_PATH | O_NOFOLLOW | O_CLOEXEC | O_DIRECTORY, 0, 0};
    CHECK_STR(answer((int)syscall(SYS_openat2, AT_FDCWD, ".", given, 24)), "ok");
}
