/* exec_credentials: what execve makes of ids and capabilities: file capabilities, securebits, the ambient set. */
#include "guest.h"

#include <grp.h>
#include <linux/capability.h>
#include <linux/securebits.h>
#include <sys/auxv.h>
#include <sys/xattr.h>

#define BIT(capability) (1ULL << (capability))
enum { USER = 1000, OWNER = 2000 };
static const uint64_t CHOWN = BIT(CAP_CHOWN), KILL = BIT(CAP_KILL), BIND = BIT(CAP_NET_BIND_SERVICE);

struct state {
    unsigned long long permitted, effective, inheritable, ambient, bounding;
    unsigned uid, euid, securebits, secure;
};

static unsigned long long set_of(const char *status, const char *name)
{
    const char *line = strstr(status, name);
    return line ? strtoull(line + strlen(name), NULL, 16) : ~0ULL;
}

static struct state now(void)
{
    char status[8192];
    REQUIRE(read_file("/proc/self/status", status, sizeof status) > 0);
    return (struct state){set_of(status, "CapPrm:"), set_of(status, "CapEff:"), set_of(status, "CapInh:"),
                          set_of(status, "CapAmb:"), set_of(status, "CapBnd:"), getuid(), geteuid(),
                          (unsigned)prctl(PR_GET_SECUREBITS), (unsigned)getauxval(AT_SECURE)};
}

HELPER(report)
{
    struct state state = now();
    return write(STDOUT_FILENO, &state, sizeof state) != sizeof state;
}

/* What a program finds after `prepare` and exec, all in a child. */
static struct state after_exec(const char *program, void (*prepare)(void))
{
    struct state state = {.permitted = ~0ULL};
    int ends[2];
    REQUIRE_OK(pipe(ends));
    pid_t pid = fork_child();
    if (pid == 0) {
        prepare();
        dup2(ends[1], STDOUT_FILENO);
        execl(program, program, "--helper", "report", NULL);
        GUEST_FAIL("exec: %s", strerrorname_np(errno));
        guest_finish();
    }
    close(ends[1]);
    CHECK_EQ(read(ends[0], &state, sizeof state), sizeof state);
    close(ends[0]);
    CHECK_CHILD(pid);
    return state;
}

#define CHECK_STATE(what, found_, permitted_, effective_, inheritable_, ambient_, secure_)                              \
    do {                                                                                                               \
        struct state s_ = (found_);                                                                                    \
        if (s_.permitted != (permitted_) || s_.effective != (effective_) || s_.inheritable != (inheritable_) ||        \
            s_.ambient != (ambient_) || s_.secure != (secure_))                                                        \
            GUEST_FAIL("%s: permitted %llx, effective %llx, inheritable %llx, ambient %llx, secure %u", what,           \
                       s_.permitted, s_.effective, s_.inheritable, s_.ambient, s_.secure);                             \
    } while (0)

static void set_capabilities(uint64_t permitted, uint64_t effective, uint64_t inheritable)
{
    struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
    struct __user_cap_data_struct data[2] = {
        {(uint32_t)effective, (uint32_t)permitted, (uint32_t)inheritable},
        {(uint32_t)(effective >> 32), (uint32_t)(permitted >> 32), (uint32_t)(inheritable >> 32)}};
    REQUIRE_OK(syscall(SYS_capset, &header, data));
}

/* Copies of this program: "plain", "suid" (of OWNER), "suid_root", "able" (NET_BIND_SERVICE, at once). */
static void make_programs(void)
{
    if (geteuid() != 0)
        SKIP("capabilities are root's to give");
    scratch();
    CHECK_OK(chmod(".", 0755));
    char command[2048];
    snprintf(command, sizeof command,
             "for i in plain suid suid_root able; do cp %s $i && chmod 755 $i || exit 1; done;"
             "chown 2000 suid && chmod 4755 suid suid_root", self_path());
    REQUIRE(system(command) == 0);
}

static void give(const char *path, uint32_t revision, uint32_t permitted, uint32_t inheritable, bool is_effective)
{
    uint32_t value[6] = {revision << 24 | is_effective, permitted, inheritable, 0, 0, 0};
    REQUIRE_OK(setxattr(path, "security.capability", value, revision == 2 ? 20 : 24, 0));
}

static void nothing(void)
{
}

static void few(void)
{
    set_capabilities(CHOWN, CHOWN, KILL | CHOWN);
}

static void real_root_alone(void)
{
    REQUIRE_OK(setresuid(0, USER, USER));
}

static void without_root(void)
{
    REQUIRE_OK(prctl(PR_SET_SECUREBITS, SECBIT_NOROOT, 0, 0, 0));
}

static void smaller_bounding_set(void)
{
    REQUIRE_OK(prctl(PR_CAPBSET_DROP, CAP_KILL, 0, 0, 0));
}

/* USER with CHOWN and KILL, both inheritable. */
static void user_who_keeps(void)
{
    REQUIRE_OK(prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0));
    REQUIRE_OK(setresuid(USER, USER, USER));
    struct state state = now();
    CHECK_EQ(state.effective, 0);
    CHECK((state.permitted & (CHOWN | KILL)) == (CHOWN | KILL));
    set_capabilities(CHOWN | KILL, CHOWN | KILL, CHOWN | KILL);
}

static void user_with_ambient(void)
{
    user_who_keeps();
    REQUIRE_OK(prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, CAP_KILL, 0, 0));
}

static void user(void)
{
    REQUIRE_OK(setresuid(USER, USER, USER));
}

static void user_without_root(void)
{
    without_root();
    user();
}

static void user_without_new_privileges(void)
{
    user();
    REQUIRE_OK(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
}

static void ambient_without_new_privileges(void)
{
    user_with_ambient();
    REQUIRE_OK(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
}

TEST(root_gets_what_the_bounding_set_has)
{
    make_programs();
    uint64_t all = now().bounding;
    CHECK_STATE("root", after_exec("./plain", nothing), all, all, 0, 0, 0);
    CHECK_STATE("root with few", after_exec("./plain", few), all, all, KILL | CHOWN, 0, 0);
    CHECK_STATE("real root alone", after_exec("./plain", real_root_alone), all, 0, 0, 0, 1);
    CHECK_STATE("less in the bounding set", after_exec("./plain", smaller_bounding_set), all & ~KILL, all & ~KILL, 0, 0, 0);
    CHECK_STATE("SECBIT_NOROOT", after_exec("./plain", without_root), 0, 0, 0, 0, 0);
    CHECK_EQ(after_exec("./plain", without_root).securebits, SECBIT_NOROOT);
}

TEST(users_get_what_files_give)
{
    make_programs();
    uint64_t all = now().bounding;
    CHECK_STATE("a user", after_exec("./plain", user), 0, 0, 0, 0, 0);
    CHECK_STATE("keep caps ends", after_exec("./plain", user_who_keeps), 0, 0, CHOWN | KILL, 0, 0);
    CHECK_EQ(after_exec("./plain", user_who_keeps).securebits, 0);
    struct state state = after_exec("./suid_root", user);
    CHECK_STATE("set-user-ID root", state, all, all, 0, 0, 1);
    CHECK(state.uid == USER && state.euid == 0);
    state = after_exec("./suid_root", user_without_root);
    CHECK_STATE("set-user-ID root, SECBIT_NOROOT", state, 0, 0, 0, 0, 1);
    CHECK(state.uid == USER && state.euid == 0);
    state = after_exec("./suid_root", user_without_new_privileges);
    CHECK_STATE("no new privileges", state, 0, 0, 0, 0, 0);
    CHECK(state.uid == USER && state.euid == USER);
    CHECK_STATE("set-user-ID another", after_exec("./suid", nothing), all, 0, 0, 0, 1);
}

TEST(forms_of_file_capabilities)
{
    make_programs();
    for (uint32_t revision = 2; revision <= 3; revision++) {
        give("able", revision, (uint32_t)BIND, 0, true);
        CHECK_STATE("effective at once", after_exec("./able", user), BIND, BIND, 0, 0, 1);
        give("able", revision, (uint32_t)BIND, 0, false);
        CHECK_STATE("permitted only", after_exec("./able", user), BIND, 0, 0, 0, 1);
        give("able", revision, 0, (uint32_t)(KILL | BIND), true);
        CHECK_STATE("inheritable by none", after_exec("./able", user), 0, 0, 0, 0, 1);
        CHECK_STATE("inheritable by both", after_exec("./able", user_who_keeps), KILL, KILL, CHOWN | KILL, 0, 1);
        give("able", revision, (uint32_t)BIND, (uint32_t)KILL, false);
        CHECK_STATE("both", after_exec("./able", user_who_keeps), KILL | BIND, 0, CHOWN | KILL, 0, 1);
    }
    give("able", 2, (uint32_t)BIND, 0, true);
    CHECK_STATE("SECBIT_NOROOT", after_exec("./able", without_root), BIND, BIND, 0, 0, 0);
    uint64_t all = now().bounding;
    CHECK_STATE("root", after_exec("./able", nothing), all, all, 0, 0, 0);
    uint32_t odd[6] = {0x04000001, (uint32_t)BIND};
    CHECK_ERRNO(setxattr("able", "security.capability", odd, 20, 0), EINVAL);
    CHECK_ERRNO(setxattr("able", "security.capability", odd, 3, 0), EINVAL);
    odd[0] = 0x01000001; /* revision 1 is only read */
    CHECK_ERRNO(setxattr("able", "security.capability", odd, 12, 0), EINVAL);
    odd[0] = 0x02000001;
    CHECK_ERRNO(setxattr("able", "security.capability", odd, 24, 0), EINVAL);
}

TEST(the_ambient_set_is_kept_by_plain_programs)
{
    make_programs();
    give("able", 2, (uint32_t)BIND, 0, true);
    uint64_t both = CHOWN | KILL;
    CHECK_STATE("plain", after_exec("./plain", user_with_ambient), KILL, KILL, both, KILL, 0);
    CHECK_STATE("no new privileges", after_exec("./plain", ambient_without_new_privileges), KILL, KILL, both, KILL, 0);
    struct state state = after_exec("./suid", user_with_ambient);
    CHECK_STATE("set-user-ID", state, 0, 0, both, 0, 1);
    CHECK_EQ(state.euid, OWNER);
    CHECK_STATE("file capabilities", after_exec("./able", user_with_ambient), BIND, BIND, both, 0, 1);
}

TEST(rules_of_the_ambient_set)
{
    make_programs();
    user_who_keeps();
    CHECK_EQ(prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_IS_SET, CAP_KILL, 0, 0), 0);
    CHECK_ERRNO(prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, CAP_MKNOD, 0, 0), EPERM); /* not permitted */
    set_capabilities(CHOWN | KILL, 0, KILL);
    CHECK_ERRNO(prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, CAP_CHOWN, 0, 0), EPERM); /* not inheritable */
    CHECK_OK(prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, CAP_KILL, 0, 0));
    CHECK_EQ(prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_IS_SET, CAP_KILL, 0, 0), 1);
    set_capabilities(CHOWN | KILL, 0, 0); /* what is not inheritable any more is not ambient */
    CHECK_EQ(now().ambient, 0);
    set_capabilities(CHOWN | KILL, 0, KILL);
    CHECK_EQ(now().ambient, 0);
    CHECK_OK(prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, CAP_KILL, 0, 0));
    CHECK_OK(prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_LOWER, CAP_KILL, 0, 0));
    CHECK_EQ(now().ambient, 0);
    CHECK_OK(prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, CAP_KILL, 0, 0));
    CHECK_OK(prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0));
    CHECK_EQ(now().ambient, 0);
    CHECK_OK(prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, CAP_KILL, 0, 0));
    set_capabilities(CHOWN, 0, KILL); /* nor what is not permitted */
    CHECK_EQ(now().ambient, 0);
    CHECK_ERRNO(prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, 64, 0, 0), EINVAL);
    CHECK_ERRNO(prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 1, 0, 0), EINVAL);
    CHECK_ERRNO(prctl(PR_CAP_AMBIENT, 9, CAP_KILL, 0, 0), EINVAL);
}

TEST(ids_and_the_capabilities_that_follow)
{
    make_programs();
    uint64_t all = now().permitted;
    CHECK_OK(setresuid(0, USER, 0));
    CHECK(now().permitted == all && now().effective == 0);
    CHECK_OK(setresuid(-1, 0, -1));
    CHECK_EQ(now().effective, all);
    pid_t pid = fork_child();
    if (pid == 0) {
        CHECK_OK(prctl(PR_SET_SECUREBITS, SECBIT_NO_SETUID_FIXUP, 0, 0, 0));
        CHECK_OK(setresuid(USER, USER, USER));
        CHECK(now().permitted == all && now().effective == all);
        guest_finish();
    }
    CHECK_CHILD(pid);
    pid = fork_child();
    if (pid == 0) { /* the ambient set goes with the last id of root's, kept capabilities or not */
        set_capabilities(all, all, KILL);
        CHECK_OK(prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, CAP_KILL, 0, 0));
        CHECK_OK(prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0));
        CHECK_OK(setresuid(USER, USER, 0));
        CHECK_EQ(now().ambient, KILL);
        CHECK_OK(setresuid(USER, USER, USER));
        CHECK(now().permitted == all && now().ambient == 0);
        guest_finish();
    }
    CHECK_CHILD(pid);
    CHECK_OK(setresuid(USER, USER, USER));
    CHECK(now().permitted == 0 && now().effective == 0);
}

TEST(securebits_that_are_locked)
{
    make_programs();
    CHECK_ERRNO(prctl(PR_SET_SECUREBITS, 1 << 12, 0, 0, 0), EPERM); /* unknown to every kernel */
    CHECK_OK(prctl(PR_SET_SECUREBITS, SECBIT_KEEP_CAPS | SECBIT_KEEP_CAPS_LOCKED, 0, 0, 0));
    CHECK_EQ(prctl(PR_GET_KEEPCAPS, 0, 0, 0, 0), 1);
    CHECK_ERRNO(prctl(PR_SET_KEEPCAPS, 0, 0, 0, 0), EPERM);
    CHECK_ERRNO(prctl(PR_SET_SECUREBITS, SECBIT_KEEP_CAPS, 0, 0, 0), EPERM);
    CHECK_ERRNO(prctl(PR_SET_SECUREBITS, SECBIT_KEEP_CAPS_LOCKED, 0, 0, 0), EPERM);
    unsigned bits = SECBIT_KEEP_CAPS | SECBIT_KEEP_CAPS_LOCKED | SECBIT_NO_CAP_AMBIENT_RAISE;
    CHECK_OK(prctl(PR_SET_SECUREBITS, bits, 0, 0, 0));
    set_capabilities(now().permitted, now().effective, KILL);
    CHECK_ERRNO(prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, CAP_KILL, 0, 0), EPERM);
    uint64_t without = now().permitted & ~BIT(CAP_SETPCAP);
    set_capabilities(without, without, 0);
    CHECK_ERRNO(prctl(PR_SET_SECUREBITS, bits | SECBIT_NOROOT, 0, 0, 0), EPERM);
    CHECK_ERRNO(prctl(PR_CAPBSET_DROP, CAP_KILL, 0, 0, 0), EPERM);
    CHECK_EQ(prctl(PR_CAPBSET_READ, CAP_KILL, 0, 0, 0), 1);
}
