/* propagation: what is mounted in one mount and seen in its peers and slaves. Needs root, natively and in the sandbox. */
#include "mount.h"

#include <sys/syscall.h>

static int mounts_at(const char *at)
{
    char line[2048], wanted[GUEST_PATH_BYTES + 2];
    int count = 0;
    FILE *table = fopen("/proc/self/mountinfo", "r");
    snprintf(wanted, sizeof wanted, " %s ", at);
    while (table && fgets(line, sizeof line, table))
        count += strstr(line, wanted) != NULL;
    if (table)
        fclose(table);
    return count;
}

static int number_of(const char *at, const char *field)
{
    const char *found = strstr(fields_of(at), field);
    return found ? atoi(found + strlen(field)) : 0;
}

/* A tmpfs with directories "d" and "e", of this propagation, and a bind of it. */
static void shared_pair(const char *one, const char *other, unsigned long kind)
{
    CHECK_OK(mount("x", one, "tmpfs", 0, NULL));
    mkdir(in(one, "d"), 0755);
    mkdir(in(one, "d/inner"), 0755);
    mkdir(in(one, "e"), 0755);
    CHECK_OK(mount(NULL, one, NULL, kind, NULL));
    CHECK_OK(mount(one, other, NULL, MS_BIND, NULL));
}

TEST(kinds_of_propagation)
{
    NAMESPACE();
    char *at = directory("at"), *copy = directory("copy");
    REQUIRE_OK(mount("x", at, "tmpfs", 0, NULL));
    mkdir(in(at, "d"), 0755);
    CHECK_STR(fields_of(at), "");
    CHECK_ERRNO(mount(NULL, in(at, "d"), NULL, MS_SHARED, NULL), EINVAL);
    CHECK_ERRNO(mount(NULL, at, NULL, MS_SHARED | MS_SLAVE, NULL), EINVAL);
    CHECK_ERRNO(mount(NULL, at, NULL, MS_SHARED | MS_NOSUID, NULL), EINVAL);
    CHECK_OK(mount(NULL, at, NULL, MS_SHARED, NULL));
    int group = number_of(at, "shared:");
    CHECK(group > 0);
    CHECK_OK(mount(NULL, at, NULL, MS_SHARED, NULL));
    CHECK_EQ(number_of(at, "shared:"), group);
    CHECK_OK(mount(at, copy, NULL, MS_BIND, NULL));
    CHECK_EQ(number_of(copy, "shared:"), group);
    CHECK_OK(mount(NULL, copy, NULL, MS_SLAVE, NULL));
    CHECK_EQ(number_of(copy, "shared:"), 0);
    CHECK_EQ(number_of(copy, "master:"), group);
    CHECK_OK(mount(NULL, copy, NULL, MS_SHARED, NULL));
    CHECK(number_of(copy, "shared:") != group);
    CHECK_EQ(number_of(copy, "master:"), group);
    CHECK_OK(mount(NULL, at, NULL, MS_SLAVE, NULL)); /* the last peer: private, and so is its slave */
    CHECK_STR(fields_of(at), "");
    CHECK_EQ(number_of(copy, "master:"), 0);
    CHECK_OK(mount(NULL, copy, NULL, MS_PRIVATE, NULL));
    CHECK_STR(fields_of(copy), "");
    CHECK_OK(mount(NULL, at, NULL, MS_UNBINDABLE, NULL));
    CHECK_STR(fields_of(at), " unbindable");
    CHECK_OK(mount(NULL, at, NULL, MS_SLAVE, NULL)); /* of nobody */
    CHECK_STR(fields_of(at), " unbindable");
    CHECK_ERRNO(mount(in(at, "d"), copy, NULL, MS_BIND, NULL), EINVAL);
    CHECK_OK(mount(NULL, at, NULL, MS_SHARED, NULL));
    CHECK_OK(mount(in(at, "d"), copy, NULL, MS_BIND, NULL));
    CHECK_OK(umount(copy));
    CHECK_OK(umount(copy));
    CHECK_OK(umount(at));
}

TEST(peers_see_what_is_mounted)
{
    NAMESPACE();
    char *one = directory("one"), *other = directory("other"), *part = directory("part");
    shared_pair(one, other, MS_SHARED);
    CHECK_OK(mount(in(one, "d"), part, NULL, MS_BIND, NULL)); /* a peer that shows less */
    CHECK_OK(mount("x", in(one, "d"), "tmpfs", 0, NULL));
    touch(in(one, "d/f"));
    CHECK(is_there(in(other, "d/f")));
    CHECK(is_there(in(part, "f")));
    CHECK_EQ(mounts_at(in(other, "d")), 1);
    CHECK_EQ(mounts_at(in(one, "d")), 1);
    CHECK_EQ(mounts_at(part), 2);
    CHECK(number_of(in(one, "d"), "shared:") > 0);
    CHECK_EQ(number_of(in(one, "d"), "shared:"), number_of(in(other, "d"), "shared:"));
    CHECK_OK(mount("y", in(other, "e"), "tmpfs", 0, NULL));
    touch(in(other, "e/g"));
    CHECK(is_there(in(one, "e/g")));
    CHECK_OK(umount(in(one, "e")));
    CHECK(!is_there(in(other, "e/g")));
    CHECK_ERRNO(umount(in(other, "e")), EINVAL);
    int fd = open(in(other, "d/f"), O_RDONLY);
    CHECK_ERRNO(umount(in(one, "d")), EBUSY);
    close(fd);
    CHECK_OK(umount(in(one, "d")));
    CHECK(!is_there(in(other, "d/f")));
    CHECK_OK(umount(part));
    CHECK_OK(umount(other));
    CHECK_OK(umount(one));
}

TEST(masters_tell_their_slaves)
{
    NAMESPACE();
    char *one = directory("one"), *slave = directory("slave"), *peer = directory("peer"), *last = directory("last");
    shared_pair(one, slave, MS_SHARED);
    CHECK_OK(mount(NULL, slave, NULL, MS_SLAVE, NULL));
    CHECK_OK(mount(NULL, slave, NULL, MS_SHARED, NULL));
    CHECK_OK(mount(slave, peer, NULL, MS_BIND, NULL));
    CHECK_OK(mount(slave, last, NULL, MS_BIND, NULL));
    CHECK_OK(mount(NULL, last, NULL, MS_SLAVE, NULL));
    CHECK_OK(mount("x", in(one, "d"), "tmpfs", 0, NULL));
    touch(in(one, "d/f"));
    CHECK(is_there(in(slave, "d/f")));
    CHECK(is_there(in(peer, "d/f")));
    CHECK(is_there(in(last, "d/f")));
    CHECK_EQ(number_of(in(slave, "d"), "master:"), number_of(in(one, "d"), "shared:"));
    CHECK_EQ(number_of(in(slave, "d"), "shared:"), number_of(in(peer, "d"), "shared:"));
    CHECK_EQ(number_of(in(last, "d"), "master:"), number_of(in(peer, "d"), "shared:"));
    CHECK_EQ(number_of(in(last, "d"), "shared:"), 0);
    CHECK_OK(mount("y", in(peer, "e"), "tmpfs", 0, NULL));
    touch(in(peer, "e/g"));
    CHECK(!is_there(in(one, "e/g")));
    CHECK(is_there(in(slave, "e/g")));
    CHECK(is_there(in(last, "e/g")));
    CHECK_OK(umount(in(last, "e"))); /* its own matter */
    CHECK(is_there(in(slave, "e/g")));
    CHECK_OK(umount2(in(one, "d"), MNT_DETACH));
    CHECK(!is_there(in(last, "d/f")));
    CHECK(!is_there(in(peer, "d/f")));
    CHECK_OK(umount(in(slave, "e")));
    CHECK_OK(umount(peer));
    CHECK_OK(umount(slave)); /* what is left of the group's slaves are slaves of its master */
    CHECK_EQ(number_of(last, "master:"), number_of(one, "shared:"));
    CHECK_OK(umount(last));
    CHECK_OK(umount(one));
}

TEST(a_tree_is_repeated_as_a_whole)
{
    NAMESPACE();
    char *one = directory("one"), *other = directory("other"), *tree = directory("tree"), *kept = directory("kept");
    shared_pair(one, other, MS_SHARED);
    REQUIRE_OK(mount("t", tree, "tmpfs", 0, NULL));
    mkdir(in(tree, "a"), 0755);
    mkdir(in(tree, "b"), 0755);
    CHECK_OK(mount("a", in(tree, "a"), "tmpfs", 0, NULL));
    CHECK_OK(mount("b", in(tree, "b"), "tmpfs", 0, NULL));
    touch(in(tree, "a/f"));
    touch(in(tree, "b/f"));
    CHECK_OK(mount(NULL, in(tree, "b"), NULL, MS_UNBINDABLE, NULL));
    CHECK_OK(mount(tree, in(one, "d"), NULL, MS_BIND | MS_REC, NULL));
    CHECK(is_there(in(other, "d/a/f")));
    CHECK(!is_there(in(other, "d/b/f")));
    CHECK_ERRNO(mount(tree, in(one, "e"), NULL, MS_MOVE, NULL), EINVAL); /* with an unbindable one */
    CHECK_ERRNO(mount(in(one, "d"), kept, NULL, MS_MOVE, NULL), EINVAL); /* out of a shared one */
    CHECK_OK(umount2(in(other, "d"), MNT_DETACH));
    CHECK(!is_there(in(one, "d/a")));
    CHECK_OK(mount(NULL, in(tree, "b"), NULL, MS_PRIVATE, NULL));
    CHECK_OK(mount(tree, in(one, "e"), NULL, MS_MOVE, NULL));
    CHECK(is_there(in(other, "e/a/f")));
    CHECK(is_there(in(other, "e/b/f")));
    CHECK(!is_there(in(tree, "a")));
    CHECK_OK(umount2(in(one, "e"), MNT_DETACH));
    CHECK_OK(umount(other));
    CHECK_OK(umount(one));
}

TEST(what_a_peer_mounted_itself)
{
    NAMESPACE();
    char *one = directory("one"), *slave = directory("slave");
    shared_pair(one, slave, MS_SHARED);
    CHECK_OK(mount(NULL, slave, NULL, MS_SLAVE, NULL));
    CHECK_OK(mount("own", in(slave, "d"), "tmpfs", 0, NULL));
    touch(in(slave, "d/own"));
    CHECK_OK(mount("x", in(one, "d"), "tmpfs", 0, NULL)); /* comes to lie below it */
    touch(in(one, "d/f"));
    CHECK(is_there(in(slave, "d/own")));
    CHECK_OK(umount(in(one, "d")));
    CHECK(is_there(in(slave, "d/own")));
    CHECK_OK(umount(in(slave, "d")));
    CHECK(!is_there(in(slave, "d/f")));
    CHECK_OK(mount("x", in(one, "d"), "tmpfs", 0, NULL));
    mkdir(in(one, "d/sub"), 0755);
    touch(in(one, "d/f"));
    CHECK_OK(mount("own", in(slave, "d/sub"), "tmpfs", 0, NULL));
    CHECK_OK(umount(in(one, "d"))); /* the slave's stays, as something else is mounted in it */
    CHECK(is_there(in(slave, "d/f")));
    CHECK_OK(umount(in(slave, "d/sub")));
    CHECK_OK(umount(in(slave, "d")));
    CHECK_OK(umount(slave));
    CHECK_OK(umount(one));
}

TEST(namespaces_are_peers)
{
    NAMESPACE();
    char *at = directory("at"), *mine = directory("mine");
    int go[2], done[2];
    char byte;
    REQUIRE_OK(mount("x", at, "tmpfs", 0, NULL));
    mkdir(in(at, "in"), 0755);
    mkdir(in(at, "out"), 0755);
    CHECK_OK(mount(NULL, at, NULL, MS_SHARED, NULL));
    CHECK_OK(mount("m", mine, "tmpfs", 0, NULL));
    touch(in(mine, "f"));
    CHECK_OK(mount(NULL, mine, NULL, MS_UNBINDABLE, NULL));
    REQUIRE(pipe(go) == 0 && pipe(done) == 0);
    pid_t child = fork();
    if (child == 0) {
        CHECK_OK(unshare(CLONE_NEWNS));
        CHECK(is_there(in(mine, "f"))); /* whether it is still unbindable depends on the kernel's version */
        CHECK_OK(mount("x", in(at, "in"), "tmpfs", 0, NULL));
        touch(in(at, "in/f"));
        CHECK_EQ(write(done[1], "x", 1), 1);
        CHECK_EQ(read(go[0], &byte, 1), 1);
        CHECK(is_there(in(at, "out/g")));
        int master = number_of(at, "shared:");
        CHECK_OK(mount(NULL, at, NULL, MS_SLAVE, NULL));
        CHECK_EQ(number_of(at, "master:"), master);
        CHECK_OK(umount(in(at, "out")));
        _exit(guest_failures != 0);
    }
    CHECK_EQ(read(done[0], &byte, 1), 1);
    CHECK(is_there(in(at, "in/f")));
    CHECK_OK(mount("x", in(at, "out"), "tmpfs", 0, NULL));
    touch(in(at, "out/g"));
    CHECK_EQ(write(go[1], "x", 1), 1);
    CHECK_CHILD(child);
    CHECK(is_there(in(at, "out/g"))); /* a slave's unmounting is its own */
    CHECK_OK(umount(in(at, "out")));
    CHECK_OK(umount(in(at, "in")));
    CHECK_OK(umount(at));
    CHECK_OK(umount(mine));
}

TEST(no_new_root_in_a_shared_mount)
{
    NAMESPACE();
    char *outer = directory("outer"), *inner = in(outer, "root");
    REQUIRE_OK(mount("x", outer, "tmpfs", 0, NULL));
    CHECK_OK(mount(NULL, outer, NULL, MS_SHARED, NULL));
    mkdir(inner, 0755);
    CHECK_OK(mount("x", inner, "tmpfs", 0, NULL));
    mkdir(in(inner, "old"), 0755);
    CHECK_ERRNO(syscall(SYS_pivot_root, inner, in(inner, "old")), EINVAL);
    CHECK_OK(umount(inner));
    CHECK_OK(umount(outer));
}
