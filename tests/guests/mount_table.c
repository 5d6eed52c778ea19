/* mount_table: statmount and listmount: each part of the answer, by number; orders, refusals. */
#include "mount.h"

#include <linux/stat.h>
#include <sys/sysmacros.h>

enum { NR_STATMOUNT = 457, NR_LISTMOUNT = 458, UNIQUE_ID = 0x4000, REVERSE = 1, HEAD = 512 };
enum { SB_BASIC = 1, MNT_BASIC = 2, PROPAGATE_FROM = 4, MNT_ROOT = 8, MNT_POINT = 0x10, FS_TYPE = 0x20, MNT_NS_ID = 0x40 };
enum { MNT_OPTS = 0x80, SB_SOURCE = 0x200, SUPPORTED_MASK = 0x1000, NOSUID_ATTRIBUTE = 2, RDONLY_ATTRIBUTE = 1 };
#define OF_ROOT UINT64_MAX

struct request {
    uint32_t size, namespace_fd;
    uint64_t id, param, namespace_id;
};

struct answer {
    uint32_t size, options;
    uint64_t mask;
    uint32_t device_major, device_minor;
    uint64_t magic;
    uint32_t sb_flags, type;
    uint64_t id, parent;
    uint32_t old_id, old_parent;
    uint64_t attributes, propagation, peer_group, master, propagate_from;
    uint32_t root, point;
    uint64_t namespace;
    uint32_t subtype, source, option_count, option_array, security_count, security_array;
    uint64_t supported;
    uint64_t spare[45];
    char text[512];
};
_Static_assert(offsetof(struct answer, text) == HEAD, "struct statmount");

static uint64_t id_of(const char *path)
{
    struct statx status;
    if (syscall(SYS_statx, AT_FDCWD, path, AT_SYMLINK_NOFOLLOW, UNIQUE_ID, &status) == -1 || !(status.stx_mask & UNIQUE_ID))
        SKIP("this kernel is older than 6.8");
    return status.stx_mnt_id;
}

static long stat_mount(uint64_t id, uint64_t mask, void *buffer, size_t size, unsigned flags)
{
    struct request *request = guarded(24);
    *(uint32_t *)request = 24;
    request->namespace_fd = 0;
    request->id = id;
    request->param = mask;
    return syscall(NR_STATMOUNT, request, buffer, size, flags);
}

static long list_mounts(uint64_t id, uint64_t after, uint64_t *ids, size_t count, unsigned flags)
{
    struct request request = {24, 0, id, after, 0};
    return syscall(NR_LISTMOUNT, &request, ids, count, flags);
}

TEST(each_part_of_the_answer)
{
    NAMESPACE();
    char *at = directory("at");
    struct answer *told = guarded(sizeof *told);
    struct stat status;
    REQUIRE_OK(mount("a source", at, "tmpfs", MS_NOSUID, "size=64k"));
    uint64_t id = id_of(at), parent = id_of(place);
    if (stat_mount(id, 0, told, sizeof *told, 0) == -1 && errno == ENOSYS)
        SKIP("this kernel is older than 6.8");
    CHECK_EQ(told->mask, 0);
    CHECK(told->size >= HEAD);

    CHECK_OK(stat(at, &status));
    CHECK_OK(stat_mount(id, SB_BASIC, told, sizeof *told, 0));
    CHECK_EQ(told->mask, SB_BASIC);
    CHECK_EQ(makedev(told->device_major, told->device_minor), status.st_dev);
    CHECK_EQ(told->magic, 0x01021994);
    CHECK_EQ(told->sb_flags & MS_RDONLY, 0);
    CHECK_EQ(told->id, 0); /* what was not asked for */

    CHECK_OK(stat_mount(id, MNT_BASIC, told, sizeof *told, 0));
    CHECK_EQ(told->mask, MNT_BASIC);
    CHECK_EQ(told->id, id);
    CHECK_EQ(told->parent, parent);
    CHECK_EQ(told->attributes & (NOSUID_ATTRIBUTE | RDONLY_ATTRIBUTE), NOSUID_ATTRIBUTE);
    CHECK_EQ(told->propagation, MS_PRIVATE);
    CHECK(told->peer_group == 0 && told->master == 0);

    CHECK_OK(stat_mount(id, MNT_ROOT | MNT_POINT | FS_TYPE, told, sizeof *told, 0));
    CHECK_EQ(told->mask, MNT_ROOT | MNT_POINT | FS_TYPE);
    CHECK_STR(told->text + told->root, "/");
    CHECK_STR(told->text + told->point, at);
    CHECK_STR(told->text + told->type, "tmpfs");
    size_t strings = 2 + strlen(at) + 1 + 6; /* newer kernels have an empty one before them */
    CHECK(told->size == HEAD + strings || told->size == HEAD + 1 + strings);

    CHECK_OK(stat_mount(id, MNT_NS_ID | SB_SOURCE | MNT_OPTS, told, sizeof *told, 0)); /* all newer than 6.8 */
    if (told->mask & MNT_NS_ID)
        CHECK(told->namespace != 0);
    if (told->mask & SB_SOURCE)
        CHECK_STR(told->text + told->source, "a source");
    if (told->mask & MNT_OPTS)
        CHECK(memchr(told->text + told->options, 0, 512 - told->options));

    CHECK_OK(stat_mount(id, SUPPORTED_MASK, told, sizeof *told, 0));
    if (told->mask & SUPPORTED_MASK)
        CHECK_EQ(told->supported & 0x3f, 0x3f);
    CHECK_OK(stat_mount(id, 1ULL << 60 | MNT_POINT, told, sizeof *told, 0)); /* unknown: not told */
    CHECK_EQ(told->mask, MNT_POINT);
    CHECK_OK(umount(at));
    CHECK_ERRNO(stat_mount(id, SB_BASIC, told, sizeof *told, 0), ENOENT);
}

TEST(propagation_is_told)
{
    NAMESPACE();
    char *at = directory("at"), *copy = directory("copy");
    struct answer *told = guarded(sizeof *told);
    REQUIRE_OK(mount("x", at, "tmpfs", 0, NULL));
    if (stat_mount(id_of(at), 0, told, sizeof *told, 0) == -1 && errno == ENOSYS)
        SKIP("this kernel is older than 6.8");
    CHECK_OK(mkdir(in(at, "d"), 0755));
    CHECK_OK(mount(NULL, at, NULL, MS_SHARED, NULL));
    CHECK_OK(stat_mount(id_of(at), MNT_BASIC, told, sizeof *told, 0));
    CHECK_EQ(told->propagation, MS_SHARED);
    uint64_t group = told->peer_group;
    CHECK(group != 0);
    CHECK_OK(mount(in(at, "d"), copy, NULL, MS_BIND, NULL));
    CHECK_OK(mount(NULL, copy, NULL, MS_SLAVE, NULL));
    CHECK_OK(stat_mount(id_of(copy), MNT_BASIC | PROPAGATE_FROM | MNT_ROOT, told, sizeof *told, 0));
    CHECK_EQ(told->mask, MNT_BASIC | PROPAGATE_FROM | MNT_ROOT);
    CHECK_EQ(told->propagation, MS_SLAVE);
    CHECK_EQ(told->master, group);
    CHECK_EQ(told->propagate_from, group);
    CHECK_EQ(told->peer_group, 0);
    CHECK_STR(told->text + told->root, "/d");
    CHECK_OK(mount(NULL, copy, NULL, MS_UNBINDABLE, NULL));
    CHECK_OK(stat_mount(id_of(copy), MNT_BASIC, told, sizeof *told, 0));
    CHECK_EQ(told->propagation, MS_UNBINDABLE);
    CHECK_OK(umount(copy));
    CHECK_OK(umount(at));
}

TEST(what_statmount_refuses)
{
    NAMESPACE();
    uint64_t id = id_of("/");
    struct answer *told = guarded(sizeof *told);
    struct request *request = guarded(sizeof *request);
    char *larger = guarded(4096);
    if (stat_mount(id, 0, told, sizeof *told, 0) == -1 && errno == ENOSYS)
        SKIP("this kernel is older than 6.8");
    CHECK_ERRNO(stat_mount(id, MNT_BASIC, told, sizeof *told, 8), EINVAL);
    CHECK_ERRNO(stat_mount(0, MNT_BASIC, told, sizeof *told, 0), EINVAL);
    CHECK_ERRNO(stat_mount(1, MNT_BASIC, told, sizeof *told, 0), EINVAL); /* an old number */
    CHECK_ERRNO(stat_mount(1ULL << 62, MNT_BASIC, told, sizeof *told, 0), ENOENT);
    CHECK_ERRNO(stat_mount(id, MNT_POINT, told, HEAD, 0), EOVERFLOW);
    CHECK_ERRNO(stat_mount(id, MNT_POINT, told, HEAD + 1, 0), EOVERFLOW); /* "/" and its end */
    CHECK_OK(stat_mount(id, MNT_POINT, told, HEAD + 3, 0));
    CHECK_ERRNO(stat_mount(id, MNT_BASIC, bad_address, sizeof *told, 0), EFAULT);
    memset(told, 0xa5, sizeof *told);
    CHECK_OK(stat_mount(id, MNT_BASIC, told, 16, 0)); /* as much as there is room for */
    CHECK_EQ(told->mask, MNT_BASIC);
    CHECK_EQ(told->id, 0xa5a5a5a5a5a5a5a5);
    long nr = NR_STATMOUNT;
    CHECK_ERRNO(syscall(nr, bad_address, told, sizeof *told, 0), EFAULT);
    *request = (struct request){23, 0, id, MNT_BASIC, 0};
    CHECK_ERRNO(syscall(nr, request, told, sizeof *told, 0), EINVAL);
    request->size = 4097;
    CHECK_ERRNO(syscall(nr, request, told, sizeof *told, 0), E2BIG);
    request->size = 40;
    CHECK_ERRNO(syscall(nr, request, told, sizeof *told, 0), EFAULT);
    memset(larger, 0, 4096);
    memcpy(larger, request, sizeof *request);
    ((struct request *)(void *)larger)->size = 4096;
    CHECK_OK(syscall(nr, larger, told, sizeof *told, 0));
    larger[4095] = 1;
    CHECK_ERRNO(syscall(nr, larger, told, sizeof *told, 0), E2BIG);
}

TEST(mounts_are_listed)
{
    NAMESPACE();
    char *base = directory("base"), *inner = directory("base/inner");
    uint64_t *ids = guarded(3 * sizeof *ids), root = id_of("/"), made[3], all[512];
    REQUIRE_OK(mount("x", base, "tmpfs", 0, NULL));
    static const char *const names[3] = {"a", "b", "a/c"};
    if (list_mounts(id_of(base), 0, ids, 3, 0) == -1 && errno == ENOSYS)
        SKIP("this kernel is older than 6.8");
    for (int i = 0; i < 3; i++) {
        mkdir(in(base, names[i]), 0755);
        REQUIRE_OK(mount("y", in(base, names[i]), "tmpfs", 0, NULL));
        made[i] = id_of(in(base, names[i]));
    }
    uint64_t top = id_of(base);
    CHECK_EQ(list_mounts(top, 0, ids, 3, 0), 3); /* by number, those below others, too */
    CHECK(ids[0] == made[0] && ids[1] == made[1] && ids[2] == made[2]);
    CHECK_EQ(list_mounts(top, 0, ids, 2, 0), 2);
    CHECK_EQ(list_mounts(top, ids[1], ids, 3, 0), 1); /* what comes after */
    CHECK_EQ(ids[0], made[2]);
    CHECK_EQ(list_mounts(top, made[2], ids, 3, 0), 0);
    CHECK_EQ(list_mounts(top, 0, ids, 0, 0), 0);
    CHECK_EQ(list_mounts(made[0], 0, ids, 3, 0), 1);
    CHECK_EQ(ids[0], made[2]);
    CHECK_EQ(list_mounts(made[1], 0, ids, 3, 0), 0);
    if (list_mounts(top, 0, ids, 3, REVERSE) == 3) { /* Linux 6.11 */
        CHECK(ids[0] == made[2] && ids[1] == made[1] && ids[2] == made[0]);
        CHECK_EQ(list_mounts(top, made[1], ids, 3, REVERSE), 1);
        CHECK_EQ(ids[0], made[0]);
    }
    long count = list_mounts(OF_ROOT, 0, all, 512, 0), found = 0;
    CHECK(count > 4);
    for (long i = 0; i < count; i++) {
        CHECK(i == 0 || all[i] > all[i - 1]);
        found += all[i] == top || all[i] == made[0] || all[i] == made[1] || all[i] == made[2];
    }
    CHECK_EQ(found, 4);
    CHECK(root != top);

    CHECK_ERRNO(list_mounts(top, 0, ids, 3, 2), EINVAL);
    CHECK_ERRNO(list_mounts(top, 0, ids + 2, 3, 0), EFAULT);
    CHECK_ERRNO(list_mounts(top, 0, bad_address, 3, 0), EFAULT);
    CHECK_ERRNO(list_mounts(top, 0, ids, 1000001, 0), EOVERFLOW);
    CHECK_ERRNO(list_mounts(top, 0, (uint64_t *)INT64_MAX, 3, 0), EFAULT);
    CHECK_ERRNO(list_mounts(1, 0, ids, 3, 0), EINVAL);
    CHECK_ERRNO(list_mounts(top, 1, ids, 3, 0), EINVAL);
    CHECK_ERRNO(list_mounts(1ULL << 62, 0, ids, 3, 0), ENOENT);
    struct request request = {23, 0, top, 0, 0};
    CHECK_ERRNO(syscall(NR_LISTMOUNT, &request, ids, 3, 0), EINVAL);
    request.size = 4097;
    CHECK_ERRNO(syscall(NR_LISTMOUNT, &request, ids, 3, 0), E2BIG);
    CHECK_ERRNO(syscall(NR_LISTMOUNT, bad_address, ids, 3, 0), EFAULT);
    (void)inner;
    CHECK_OK(umount2(base, MNT_DETACH));
}

TEST(below_another_root)
{
    NAMESPACE();
    char *base = directory("base");
    REQUIRE_OK(mount("x", base, "tmpfs", 0, NULL));
    mkdir(in(base, "d"), 0755);
    mkdir(in(base, "root"), 0755);
    REQUIRE_OK(mount("y", in(base, "d"), "tmpfs", 0, NULL));
    uint64_t outside = id_of(in(base, "d")), ids[8];
    struct answer told;
    if (stat_mount(outside, 0, &told, sizeof told, 0) == -1 && errno == ENOSYS)
        SKIP("this kernel is older than 6.8");
    REQUIRE_OK(mount("z", in(base, "root"), "tmpfs", 0, NULL));
    mkdir(in(base, "root/in"), 0755);
    REQUIRE_OK(mount("z", in(base, "root/in"), "tmpfs", 0, NULL));
    uint64_t root = id_of(in(base, "root")), inside = id_of(in(base, "root/in"));
    pid_t pid = fork_child();
    if (pid == 0) {
        CHECK_OK(chroot(in(base, "root")));
        CHECK_OK(chdir("/"));
        CHECK_OK(stat_mount(outside, MNT_BASIC, &told, sizeof told, 0)); /* with CAP_SYS_ADMIN */
        CHECK_OK(setresuid(1000, 1000, 1000));
        CHECK_OK(stat_mount(inside, MNT_POINT, &told, sizeof told, 0));
        CHECK_STR(told.text + told.point, "/in");
        CHECK_ERRNO(stat_mount(outside, MNT_BASIC, &told, sizeof told, 0), EPERM);
        CHECK_ERRNO(list_mounts(outside, 0, ids, 8, 0), EPERM);
        CHECK_EQ(list_mounts(OF_ROOT, 0, ids, 8, 0), 2);
        CHECK_EQ(ids[0], root);
        CHECK_EQ(ids[1], inside);
        guest_finish();
    }
    CHECK_CHILD(pid);
    CHECK_OK(umount2(base, MNT_DETACH));
}

TEST(the_table_of_another_root)
{
    NAMESPACE();
    char *base = directory("base"), table[2048];
    REQUIRE_OK(mount("outer", base, "tmpfs", 0, NULL));
    mkdir(in(base, "root"), 0755);
    mkdir(in(base, "root/in"), 0755);
    REQUIRE_OK(mount("inner", in(base, "root/in"), "tmpfs", MS_NOSUID, NULL));
    static const char *const before[] = {"", "outer / tmpfs rw,relatime 0 0\n"};
    for (int is_root_of_a_mount = 0; is_root_of_a_mount < 2; is_root_of_a_mount++) {
        pid_t pid = fork_child();
        if (pid == 0) {
            char path[64], wanted[256];
            snprintf(path, sizeof path, "/proc/%d", getpid());
            int self = open(path, O_PATH);
            CHECK_OK(chroot(is_root_of_a_mount ? base : in(base, "root")));
            int fd = openat(self, "mounts", O_RDONLY);
            ssize_t size = read(fd, table, sizeof table - 1);
            table[size < 0 ? 0 : size] = '\0';
            snprintf(wanted, sizeof wanted, "%sinner %s tmpfs rw,nosuid,relatime 0 0\n", before[is_root_of_a_mount],
                     is_root_of_a_mount ? "/root/in" : "/in");
            CHECK_STR(table, wanted);
            fd = openat(self, "mountinfo", O_RDONLY);
            size = read(fd, table, sizeof table - 1);
            table[size < 0 ? 0 : size] = '\0';
            snprintf(wanted, sizeof wanted, " / %s rw,nosuid,relatime - tmpfs inner rw\n", is_root_of_a_mount ? "/root/in" : "/in");
            CHECK(strstr(table, wanted) != NULL);
            CHECK_EQ(strstr(table, "tmpfs outer") != NULL, is_root_of_a_mount);
            CHECK(strchr(strchr(table, '\n') + 1, '\n') == NULL || is_root_of_a_mount);
            guest_finish();
        }
        CHECK_CHILD(pid);
    }
    CHECK_OK(umount2(base, MNT_DETACH));
}
