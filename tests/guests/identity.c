/* identity: user and group ids, supplementary groups, and what giving them up takes away. */
#include "guest.h"

#include <grp.h>
#include <linux/capability.h>
#include <sys/auxv.h>
#include <sys/fsuid.h>
#include <sys/xattr.h>

static void need_root(void)
{
    if (geteuid() != 0)
        SKIP("changing ids needs root");
}

TEST(the_four_ids_agree_at_the_start)
{
    uid_t real, effective, saved;
    gid_t real_group, effective_group, saved_group;
    CHECK_OK(getresuid(&real, &effective, &saved));
    CHECK_EQ(real, getuid());
    CHECK_EQ(effective, geteuid());
    CHECK_EQ(saved, geteuid());
    CHECK_OK(getresgid(&real_group, &effective_group, &saved_group));
    CHECK_EQ(real_group, getgid());
    CHECK_EQ(effective_group, getegid());
    CHECK_EQ(saved_group, getegid());
}

TEST(setresuid_and_back)
{
    need_root();
    uid_t real, effective, saved;
    CHECK_OK(setresuid(1000, 1001, 0));
    CHECK_OK(getresuid(&real, &effective, &saved));
    CHECK(real == 1000 && effective == 1001 && saved == 0);
    CHECK_ERRNO(setresuid(2000, 2000, 2000), EPERM);
    CHECK_OK(seteuid(0));
    CHECK_EQ(geteuid(), 0);
    CHECK_OK(setresuid(-1, 1000, -1));
    CHECK_OK(getresuid(&real, &effective, &saved));
    CHECK(real == 1000 && effective == 1000 && saved == 0);
}

TEST(setuid_is_for_good)
{
    need_root();
    CHECK_OK(setgid(1000));
    CHECK_OK(setuid(1000));
    CHECK_EQ(getuid(), 1000);
    CHECK_EQ(getegid(), 1000);
    CHECK_ERRNO(setuid(0), EPERM);
    CHECK_ERRNO(seteuid(0), EPERM);
    CHECK_ERRNO(setgid(0), EPERM);
    CHECK_ERRNO(setgroups(0, NULL), EPERM);
}

TEST(setreuid_rules)
{
    need_root();
    uid_t real, effective, saved;
    CHECK_OK(setreuid(500, 600));
    CHECK_OK(getresuid(&real, &effective, &saved));
    CHECK(real == 500 && effective == 600 && saved == 600);
    CHECK_OK(setreuid(-1, 500));
    CHECK_EQ(geteuid(), 500);
    CHECK_ERRNO(setreuid(0, -1), EPERM);
}

TEST(supplementary_groups)
{
    need_root();
    gid_t groups[3] = {7, 8, 9}, got[8];
    CHECK_OK(setgroups(3, groups));
    CHECK_EQ(getgroups(0, NULL), 3);
    CHECK_ERRNO(getgroups(2, got), EINVAL);
    CHECK_EQ(getgroups(8, got), 3);
    CHECK(got[0] == 7 && got[1] == 8 && got[2] == 9);
    CHECK_OK(setgroups(0, NULL));
    CHECK_EQ(getgroups(0, NULL), 0);
}

TEST(permissions_after_dropping)
{
    need_root();
    scratch();
    CHECK_OK(chmod(".", 0755));
    write_file("private", "x");
    CHECK_OK(chmod("private", 0600));
    write_file("group", "x");
    CHECK_OK(chown("group", 0, 4000));
    CHECK_OK(chmod("group", 0640));
    write_file("own", "x");
    CHECK_OK(chown("own", 1000, 1000));
    CHECK_OK(chmod("own", 0600));
    pid_t pid = fork_child();
    if (pid == 0) {
        gid_t groups[1] = {4000};
        CHECK_OK(setgroups(1, groups));
        CHECK_OK(setresgid(1000, 1000, 1000));
        CHECK_OK(setresuid(1000, 1000, 1000));
        CHECK_ERRNO(open("private", O_RDONLY), EACCES);
        CHECK_ERRNO(access("private", R_OK), EACCES);
        CHECK_OK(open("group", O_RDONLY));
        CHECK_ERRNO(open("group", O_RDWR), EACCES);
        CHECK_OK(open("own", O_RDWR));
        CHECK_ERRNO(open("new", O_RDWR | O_CREAT, 0600), EACCES);
        CHECK_ERRNO(unlink("own"), EACCES);
        CHECK_ERRNO(chmod("private", 0777), EPERM);
        CHECK_ERRNO(chown("own", 0, 0), EPERM);
        CHECK_ERRNO(kill(getppid(), 0), EPERM);
        CHECK_ERRNO(open("/etc/shadow", O_RDONLY), EACCES);
        CHECK_ERRNO(mkdir("/guest-dir", 0700), EACCES);
        CHECK_ERRNO(chroot("."), EPERM);
        CHECK_ERRNO(sethostname("x", 1), EPERM);
        guest_finish();
    }
    CHECK_CHILD(pid);
}

TEST(sticky_directories)
{
    need_root();
    scratch();
    CHECK_OK(chmod(".", 0755));
    CHECK_OK(mkdir("shared", 0700));
    CHECK_OK(chmod("shared", 01777));
    write_file("shared/roots", "x");
    pid_t pid = fork_child();
    if (pid == 0) {
        CHECK_OK(setresuid(1000, 1000, 1000));
        write_file("shared/mine", "x");
        CHECK_ERRNO(unlink("shared/roots"), EPERM);
        CHECK_ERRNO(rename("shared/roots", "shared/taken"), EPERM);
        struct stat status;
        CHECK_OK(stat("shared/mine", &status));
        CHECK_EQ(status.st_uid, 1000);
        CHECK_OK(unlink("shared/mine"));
        guest_finish();
    }
    CHECK_CHILD(pid);
}

TEST(file_system_ids)
{
    need_root();
    scratch();
    CHECK_OK(chmod(".", 0777));
    CHECK_EQ(setfsuid(1000), 0);
    CHECK_EQ(setfsuid(-1), 1000);
    write_file("f", "x");
    struct stat status;
    CHECK_OK(stat("f", &status));
    CHECK_EQ(status.st_uid, 1000);
    CHECK_ERRNO(open("/etc/shadow", O_RDONLY), EACCES);
    CHECK_EQ(setfsuid(0), 1000);
}

TEST(ids_are_inherited_and_threads_follow)
{
    need_root();
    CHECK_OK(setresuid(1000, 1000, 0));
    pid_t pid = fork_child();
    if (pid == 0) {
        CHECK_EQ(getuid(), 1000);
        CHECK_OK(seteuid(0));
        guest_finish();
    }
    CHECK_CHILD(pid);
    CHECK_EQ(geteuid(), 1000);
}

/* What a helper in a copy of this program says when a user without privileges runs it. */
static void run_as_user(const char *program, const char *helper, bool no_new_privs, const char *expected)
{
    char text[64] = "";
    int ends[2];
    REQUIRE_OK(pipe(ends));
    pid_t pid = fork_child();
    if (pid == 0) {
        if (no_new_privs)
            CHECK_OK(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
        CHECK_OK(setresgid(1000, 1000, 1000));
        CHECK_OK(setresuid(1000, 1000, 1000));
        dup2(ends[1], 1);
        execl(program, program, "--helper", helper, NULL);
        _exit(99);
    }
    CHECK_CHILD(pid);
    CHECK(read(ends[0], text, sizeof text - 1) > 0);
    CHECK_STR(text, expected);
    close(ends[0]);
    close(ends[1]);
}

HELPER(report_ids)
{
    note("%d %d %d\n", getuid(), geteuid(), getegid());
    return 0;
}

TEST(set_user_id_programs)
{
    need_root();
    scratch();
    CHECK_OK(chmod(".", 0755));
    char command[1200];
    snprintf(command, sizeof command, "cp %s suid && chown 2000:3000 suid && chmod 6755 suid", self_path());
    CHECK_EQ(system(command), 0);
    run_as_user("suid", "report_ids", false, "1000 2000 3000\n");
}

HELPER(report_capabilities)
{
    struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
    struct __user_cap_data_struct data[2];
    REQUIRE_OK(syscall(SYS_capget, &header, data));
    note("%x %x %lu\n", data[0].permitted, data[0].effective, getauxval(AT_SECURE));
    return 0;
}

static void give_capability(const char *path)
{
    uint32_t value[5] = {0x02000001, 1u << CAP_NET_BIND_SERVICE, 0, 0, 0}; /* revision 2, effective */
    REQUIRE_OK(setxattr(path, "security.capability", value, sizeof value, 0));
}

TEST(programs_with_capabilities)
{
    need_root();
    scratch();
    CHECK_OK(chmod(".", 0755));
    char command[1200], value[32];
    snprintf(command, sizeof command, "cp %s able && chmod 755 able", self_path());
    CHECK_EQ(system(command), 0);
    run_as_user("able", "report_capabilities", false, "0 0 0\n");
    give_capability("able");
    run_as_user("able", "report_capabilities", false, "400 400 1\n");
    run_as_user("able", "report_capabilities", true, "0 0 1\n"); /* nothing gained, but it was meant to be */
    pid_t pid = fork_child();
    if (pid == 0) {
        CHECK_OK(prctl(PR_CAPBSET_DROP, CAP_NET_BIND_SERVICE, 0, 0, 0));
        CHECK_OK(setresuid(1000, 1000, 1000));
        CHECK_ERRNO(execl("./able", "able", NULL), EPERM); /* it relies on them */
        guest_finish();
    }
    CHECK_CHILD(pid);

    int fd = open("able", O_WRONLY | O_APPEND);
    CHECK_EQ(getxattr("able", "security.capability", value, sizeof value), 20);
    CHECK_EQ(write(fd, "x", 1), 1); /* another content is not to be trusted */
    close(fd);
    CHECK_ERRNO(getxattr("able", "security.capability", value, sizeof value), ENODATA);
    run_as_user("able", "report_capabilities", false, "0 0 0\n");
    give_capability("able");
    CHECK_OK(chown("able", 0, 0));
    CHECK_ERRNO(getxattr("able", "security.capability", value, sizeof value), ENODATA);
    give_capability("able");
    struct stat status;
    CHECK_OK(stat("able", &status));
    CHECK_OK(truncate("able", status.st_size + 1));
    CHECK_ERRNO(getxattr("able", "security.capability", value, sizeof value), ENODATA);
    give_capability("able");
    CHECK_OK(chmod("able", 0711)); /* the same content, the same owner */
    CHECK_OK(rename("able", "other"));
    CHECK_EQ(getxattr("other", "security.capability", value, sizeof value), 20);
}

TEST(no_new_privs_gives_root_no_capability_back)
{
    need_root();
    int ends[2];
    char text[64] = "";
    REQUIRE_OK(pipe(ends));
    pid_t pid = fork_child();
    if (pid == 0) {
        struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
        struct __user_cap_data_struct data[2] = {{1 << CAP_CHOWN, 1 << CAP_CHOWN, 1 << CAP_KILL}, {0}};
        CHECK_OK(syscall(SYS_capset, &header, data));
        CHECK_OK(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
        dup2(ends[1], 1);
        execl(self_path(), self_path(), "--helper", "report_capabilities", NULL);
        _exit(99);
    }
    CHECK_CHILD(pid);
    CHECK(read(ends[0], text, sizeof text - 1) > 0);
    CHECK_STR(text, "1 1 0\n");
}

TEST(no_new_privs_is_sticky)
{
    CHECK_OK(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
    CHECK_EQ(prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0), 1);
    CHECK_ERRNO(prctl(PR_SET_NO_NEW_PRIVS, 0, 0, 0, 0), EINVAL);
    pid_t pid = fork_child();
    if (pid == 0) {
        CHECK_EQ(prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0), 1);
        guest_finish();
    }
    CHECK_CHILD(pid);
}
