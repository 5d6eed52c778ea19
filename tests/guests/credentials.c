/* credentials: what each call that sets ids or capabilities allows, changes and refuses. */
#include "guest.h"

#include <grp.h>
#include <linux/capability.h>
#include <sys/fsuid.h>

enum { NOBODYS = 54321 };
static const struct {
    const char *name;
    long number;
    int ids;
} id_calls[] = {
    {"setuid", SYS_setuid, 1},     {"setgid", SYS_setgid, 1},       {"setreuid", SYS_setreuid, 2},
    {"setregid", SYS_setregid, 2}, {"setresuid", SYS_setresuid, 3}, {"setresgid", SYS_setresgid, 3},
};
enum { ID_CALLS = sizeof id_calls / sizeof *id_calls };

struct ids {
    unsigned real, effective, saved, file_system;
};

static struct ids user_ids(void)
{
    struct ids now;
    CHECK_OK(getresuid(&now.real, &now.effective, &now.saved));
    now.file_system = (unsigned)setfsuid(-1);
    return now;
}

static struct ids group_ids(void)
{
    struct ids now;
    CHECK_OK(getresgid(&now.real, &now.effective, &now.saved));
    now.file_system = (unsigned)setfsgid(-1);
    return now;
}

#define CHECK_IDS(now, real_, effective_, saved_, file_system_) \
    do {                                                        \
        struct ids ids_ = (now);                                \
        CHECK_EQ(ids_.real, real_);                             \
        CHECK_EQ(ids_.effective, effective_);                   \
        CHECK_EQ(ids_.saved, saved_);                           \
        CHECK_EQ(ids_.file_system, file_system_);               \
    } while (0)

static void need_root(void)
{
    if (geteuid() != 0)
        SKIP("changing ids needs root");
}

/* Three different ids of each kind, and no capability. */
static void become_unprivileged(void)
{
    if (geteuid() != 0)
        return;
    REQUIRE_OK(setgroups(0, NULL));
    REQUIRE_OK(setresgid(2001, 2002, 2003));
    REQUIRE_OK(setresuid(1001, 1002, 1003));
}

TEST(ids_of_others_are_refused)
{
    become_unprivileged();
    struct ids users = user_ids(), groups = group_ids();
    for (int call = 0; call < ID_CALLS; call++)
        for (int at = 0; at < id_calls[call].ids; at++) {
            long ids[3] = {-1, -1, -1};
            ids[at] = NOBODYS;
            errno = 0;
            if (syscall(id_calls[call].number, ids[0], ids[1], ids[2]) != -1 || errno != EPERM)
                GUEST_FAIL("%s, id %d: expected EPERM, got %s", id_calls[call].name, at, strerrorname_np(errno));
        }
    CHECK_IDS(user_ids(), users.real, users.effective, users.saved, users.file_system);
    CHECK_IDS(group_ids(), groups.real, groups.effective, groups.saved, groups.file_system);
}

TEST(minus_one_is_no_id)
{
    become_unprivileged();
    struct ids users = user_ids(), groups = group_ids();
    for (int call = 0; call < ID_CALLS; call++) {
        errno = 0;
        long result = syscall(id_calls[call].number, -1, -1, -1);
        if (id_calls[call].ids == 1 ? result != -1 || errno != EINVAL : result != 0)
            GUEST_FAIL("%s(-1): got %ld, %s", id_calls[call].name, result, strerrorname_np(errno));
    }
    CHECK_IDS(user_ids(), users.real, users.effective, users.saved, users.file_system);
    CHECK_IDS(group_ids(), groups.real, groups.effective, groups.saved, groups.file_system);
}

TEST(an_id_is_32_bits)
{
    need_root();
    CHECK_OK(syscall(SYS_setresgid, 0x100000001L, 0xfffffffeL, 0x500000000L));
    CHECK_IDS(group_ids(), 1, 0xfffffffe, 0, 0xfffffffe);
    CHECK_ERRNO(syscall(SYS_setgid, 0xffffffffL), EINVAL);
}

TEST(unprivileged_ids_move_among_their_own)
{
    need_root();
    become_unprivileged();
    CHECK_OK(setuid(1001));
    CHECK_IDS(user_ids(), 1001, 1001, 1003, 1001);
    CHECK_OK(setuid(1003));
    CHECK_IDS(user_ids(), 1001, 1003, 1003, 1003);
    CHECK_OK(setresuid(1003, 1001, 1001));
    CHECK_IDS(user_ids(), 1003, 1001, 1001, 1001);
    CHECK_ERRNO(setresuid(-1, 1002, -1), EPERM); /* that one is gone */
    CHECK_OK(setgid(2001));
    CHECK_IDS(group_ids(), 2001, 2001, 2003, 2001);
    CHECK_OK(setgid(2003));
    CHECK_IDS(group_ids(), 2001, 2003, 2003, 2003);
    CHECK_OK(setresgid(2003, 2001, 2001));
    CHECK_IDS(group_ids(), 2003, 2001, 2001, 2001);
    CHECK_ERRNO(setresgid(-1, 2002, -1), EPERM);
}

TEST(setregid_rules)
{
    need_root();
    CHECK_OK(setregid(500, 600));
    CHECK_IDS(group_ids(), 500, 600, 600, 600);
    CHECK_OK(setuid(1000));
    CHECK_ERRNO(setregid(0, -1), EPERM);
    CHECK_ERRNO(setregid(-1, 0), EPERM);
    CHECK_OK(setregid(-1, 500));
    CHECK_IDS(group_ids(), 500, 500, 600, 500);
    CHECK_ERRNO(setregid(600, -1), EPERM); /* the saved one is for the effective one alone */
    CHECK_OK(setregid(-1, 600));
    CHECK_OK(setregid(600, 500));
    CHECK_IDS(group_ids(), 600, 500, 500, 500);
}

TEST(a_file_system_group)
{
    need_root();
    scratch();
    CHECK_OK(chmod(".", 0777));
    struct stat status;
    CHECK_EQ(setfsgid(1000), 0);
    CHECK_IDS(group_ids(), 0, 0, 0, 1000);
    write_file("f", "x");
    CHECK_OK(stat("f", &status));
    CHECK_EQ(status.st_gid, 1000);
    CHECK_EQ(setfsgid(0), 1000);
    CHECK_OK(setresgid(2001, 2002, 2003));
    CHECK_IDS(group_ids(), 2001, 2002, 2003, 2002); /* it follows the effective one */
    CHECK_OK(setuid(1000));
    CHECK_EQ(setfsgid(NOBODYS), 2002); /* no error: what was is always the answer */
    CHECK_EQ(setfsgid(2003), 2002);
    CHECK_EQ(setfsgid(2001), 2003);
    CHECK_EQ(setfsgid(-1), 2001);
}

TEST(a_file_system_user)
{
    need_root();
    CHECK_EQ(setfsuid(1000), 0);
    CHECK_OK(setresuid(1001, 1002, 1003));
    CHECK_EQ(setfsuid(NOBODYS), 1002);
    CHECK_EQ(setfsuid(1003), 1002);
    CHECK_EQ(setfsuid(-1), 1003);
}

TEST(ids_out_of_reach)
{
    unsigned *id = guarded(sizeof *id);
    for (int bad = 0; bad < 3; bad++) {
        void *to[3] = {id, id, id};
        to[bad] = bad_address;
        CHECK_ERRNO(syscall(SYS_getresuid, to[0], to[1], to[2]), EFAULT);
        CHECK_ERRNO(syscall(SYS_getresgid, to[0], to[1], to[2]), EFAULT);
    }
}

TEST(lists_of_groups)
{
    gid_t *many = calloc(65537, sizeof *many), *two = guarded(2 * sizeof *two);
    REQUIRE(many != NULL);
    if (geteuid() != 0) {
        CHECK_ERRNO(setgroups(0, NULL), EPERM);
        CHECK_ERRNO(setgroups(1, bad_address), EPERM);
        CHECK_ERRNO(setgroups(65537, many), EPERM);
        CHECK_ERRNO(getgroups(-1, many), EINVAL);
        SKIP("the rest needs root");
    }
    two[0] = 9;
    two[1] = 8;
    CHECK_OK(setgroups(2, two));
    two[0] = two[1] = 0;
    CHECK_EQ(getgroups(2, two), 2);
    CHECK(two[0] == 8 && two[1] == 9);
    CHECK_EQ(getgroups(0, bad_address), 2);
    CHECK_ERRNO(getgroups(2, bad_address), EFAULT);
    CHECK_ERRNO(getgroups(3, two + 1), EFAULT);
    CHECK_ERRNO(getgroups(1, two), EINVAL);
    CHECK_ERRNO(getgroups(-1, two), EINVAL);
    CHECK_ERRNO(setgroups(1, bad_address), EFAULT);
    CHECK_ERRNO(setgroups(3, two), EFAULT);
    CHECK_ERRNO(setgroups(65537, many), EINVAL);
    CHECK_ERRNO(setgroups(-1, many), EINVAL);
    two[1] = (gid_t)-1;
    CHECK_ERRNO(setgroups(2, two), EINVAL);
    CHECK_EQ(getgroups(0, NULL), 2); /* nothing of that has changed any */
    gid_t twice[3] = {5, 5, 4};
    CHECK_OK(setgroups(3, twice));
    CHECK_EQ(getgroups(3, twice), 3);
    CHECK(twice[0] == 4 && twice[1] == 5 && twice[2] == 5);
    for (gid_t i = 0; i < 65536; i++)
        many[i] = 70000 - i;
    CHECK_OK(setgroups(65536, many));
    CHECK_EQ(getgroups(0, NULL), 65536);
    CHECK_ERRNO(getgroups(65535, many), EINVAL);
    CHECK_EQ(getgroups(65537, many), 65536);
    CHECK(many[0] == 4465 && many[65535] == 70000);
}

TEST(the_last_of_many_groups_counts)
{
    need_root();
    scratch();
    CHECK_OK(chmod(".", 0755));
    write_file("f", "x");
    CHECK_OK(chown("f", 0, 4000));
    CHECK_OK(chmod("f", 0640));
    gid_t groups[300];
    for (gid_t i = 0; i < 300; i++)
        groups[i] = 3701 + i;
    CHECK_OK(setgroups(300, groups));
    pid_t pid = fork_child();
    if (pid == 0) {
        CHECK_EQ(getgroups(0, NULL), 300);
        CHECK_OK(setresgid(1000, 1000, 1000));
        CHECK_OK(setresuid(1000, 1000, 1000));
        CHECK_OK(open("f", O_RDONLY));
        guest_finish();
    }
    CHECK_CHILD(pid);
    CHECK_OK(setgroups(299, groups));
    CHECK_OK(setresgid(1000, 1000, 1000));
    CHECK_OK(setresuid(1000, 1000, 1000));
    CHECK_ERRNO(open("f", O_RDONLY), EACCES);
}

/* ---- capget, capset ---- */

typedef struct __user_cap_header_struct header_t;
typedef struct __user_cap_data_struct data_t;

static long get_caps(header_t *header, data_t *data)
{
    return syscall(SYS_capget, header, data);
}

static long set_caps(header_t *header, const data_t *data)
{
    return syscall(SYS_capset, header, data);
}

TEST(capabilities_are_told_by_version)
{
    static const struct {
        unsigned version;
        int halves;
    } versions[] = {
        {_LINUX_CAPABILITY_VERSION_1, 1}, {_LINUX_CAPABILITY_VERSION_2, 2}, {_LINUX_CAPABILITY_VERSION_3, 2}};
    for (int i = 0; i < 3; i++) {
        header_t *header = guarded(sizeof *header);
        *header = (header_t){versions[i].version, 0};
        data_t *data = guarded((size_t)versions[i].halves * sizeof *data);
        CHECK_OK(get_caps(header, data));
        CHECK_EQ(header->version, versions[i].version);
        CHECK_EQ(data->effective & ~data->permitted, 0);
        CHECK_OK(set_caps(header, data));
        CHECK_ERRNO(get_caps(header, data + 1), EFAULT);
        CHECK_ERRNO(set_caps(header, data + 1), EFAULT);
        CHECK_OK(get_caps(header, NULL));
    }
}

TEST(the_version_is_asked_for)
{
    unsigned *version = guarded(sizeof *version); /* the pid is not looked at */
    data_t data[2];
    *version = 0;
    CHECK_OK(get_caps((header_t *)(void *)version, NULL));
    CHECK_EQ(*version, _LINUX_CAPABILITY_VERSION_3);
    *version = 1;
    CHECK_ERRNO(get_caps((header_t *)(void *)version, data), EINVAL);
    CHECK_EQ(*version, _LINUX_CAPABILITY_VERSION_3);
    *version = 2;
    CHECK_ERRNO(set_caps((header_t *)(void *)version, data), EINVAL);
    CHECK_EQ(*version, _LINUX_CAPABILITY_VERSION_3);
    CHECK_ERRNO(get_caps((header_t *)(void *)version, data), EFAULT);
    CHECK_ERRNO(set_caps((header_t *)(void *)version, data), EFAULT);
    CHECK_ERRNO(get_caps(bad_address, data), EFAULT);
    CHECK_ERRNO(get_caps(bad_address, NULL), EFAULT);
    CHECK_ERRNO(set_caps(bad_address, data), EFAULT);
}

TEST(whose_capabilities_they_are)
{
    data_t own[2], others[2];
    header_t header = {_LINUX_CAPABILITY_VERSION_3, 0};
    REQUIRE_OK(get_caps(&header, own));
    header.pid = getpid();
    CHECK_OK(get_caps(&header, others));
    CHECK_EQ(memcmp(own, others, sizeof own), 0);
    CHECK_OK(set_caps(&header, own));
    pid_t child = fork_child();
    if (child == 0) {
        header.pid = getppid();
        CHECK_OK(get_caps(&header, others));
        CHECK_EQ(memcmp(own, others, sizeof own), 0);
        CHECK_ERRNO(set_caps(&header, own), EPERM);
        CHECK_ERRNO(set_caps(&header, bad_address), EPERM);
        guest_finish();
    }
    CHECK_CHILD(child);
    header.pid = child;
    CHECK_ERRNO(get_caps(&header, others), ESRCH);
    CHECK_ERRNO(set_caps(&header, own), EPERM);
    header.pid = -1;
    CHECK_ERRNO(get_caps(&header, others), EINVAL);
    CHECK_ERRNO(set_caps(&header, own), EPERM);
    header.pid = INT32_MAX;
    CHECK_ERRNO(get_caps(&header, others), ESRCH);
}

TEST(capabilities_only_fall)
{
    need_root();
    header_t header = {_LINUX_CAPABILITY_VERSION_3, 0};
    data_t all[2], some[2], now[2];
    REQUIRE_OK(get_caps(&header, all));
    memcpy(some, all, sizeof some);
    some[1].permitted |= 0x80000000; /* no such capability: not looked at */
    some[1].effective |= 0x40000000;
    CHECK_OK(set_caps(&header, some));
    CHECK_OK(get_caps(&header, now));
    CHECK_EQ(now[1].permitted, all[1].permitted);

    some[0] = (data_t){1 << CAP_CHOWN, 1 << CAP_KILL, 0};
    some[1] = (data_t){0, 0, 0};
    CHECK_ERRNO(set_caps(&header, some), EPERM); /* effective beyond permitted */
    some[0] = (data_t){1 << CAP_SETPCAP, 1 << CAP_SETPCAP | 1 << CAP_CHOWN, 0};
    CHECK_OK(set_caps(&header, some));
    CHECK_OK(get_caps(&header, now));
    CHECK_EQ(memcmp(now, some, sizeof now), 0);
    some[0].permitted |= 1 << CAP_KILL;
    CHECK_ERRNO(set_caps(&header, some), EPERM);
    some[0] = (data_t){1 << CAP_SETPCAP, 1 << CAP_SETPCAP | 1 << CAP_CHOWN, 1 << CAP_KILL};
    CHECK_OK(set_caps(&header, some)); /* with CAP_SETPCAP, what the bounding set has */
    CHECK_OK(prctl(PR_CAPBSET_DROP, CAP_MKNOD, 0, 0, 0));
    some[0].inheritable |= 1 << CAP_MKNOD;
    CHECK_ERRNO(set_caps(&header, some), EPERM);
    some[0] = (data_t){0, 1 << CAP_CHOWN, 1 << CAP_KILL | 1 << CAP_CHOWN};
    CHECK_OK(set_caps(&header, some));
    some[0].inheritable |= 1 << CAP_FOWNER;
    CHECK_ERRNO(set_caps(&header, some), EPERM); /* without it, what is permitted or there already */
    CHECK_OK(get_caps(&header, now));
    CHECK_EQ(now[0].inheritable, 1 << CAP_KILL | 1 << CAP_CHOWN);
    some[0] = (data_t){0, 0, 0};
    CHECK_OK(set_caps(&header, some));
    some[0].permitted = 1 << CAP_CHOWN;
    CHECK_ERRNO(set_caps(&header, some), EPERM);
}
