/* keys: add_key, request_key and keyctl on keyrings of our own. */
#include "guest.h"

enum { OF_THREAD = -1, OF_PROCESS = -2, OF_SESSION = -3, OF_USER = -4 };
enum {
    GET_ID, JOIN, UPDATE, REVOKE, CHOWN, SET_PERM, DESCRIBE, CLEAR, LINK, UNLINK, FIND, READ,
    DEFAULT_RING = 14, TIMEOUT, INVALIDATE = 21, RESTRICT = 29, MOVE
};

static long add(const char *type, const char *name, const void *payload, size_t size, long ring)
{
    return syscall(SYS_add_key, type, name, payload, size, ring);
}

static long request(const char *type, const char *name, const char *callout, long ring)
{
    return syscall(SYS_request_key, type, name, callout, ring);
}

static long control(int option, long one, long two, long three, long four)
{
    return syscall(SYS_keyctl, option, one, two, three, four);
}

static void require_keys(void)
{
    if (control(GET_ID, OF_PROCESS, 0, 0, 0) == -1 && errno == ENOSYS)
        SKIP("a kernel without CONFIG_KEYS");
}

TEST(keys_are_added_read_and_updated)
{
    require_keys();
    char *buffer = guarded(5), text[64];
    long key = add("user", "name", "hello", 5, OF_PROCESS);
    CHECK(key > 0);
    CHECK_EQ(control(READ, key, (long)buffer, 5, 0), 5);
    CHECK(memcmp(buffer, "hello", 5) == 0);
    memset(buffer, 0, 5);
    CHECK_EQ(control(READ, key, (long)buffer, 2, 0), 5); /* too small: nothing is copied */
    CHECK_EQ(buffer[0], 0);
    CHECK_EQ(add("user", "name", "new", 3, OF_PROCESS), key);
    CHECK_EQ(control(READ, key, 0, 0, 0), 3);
    CHECK_OK(control(UPDATE, key, (long)"again", 5, 0));
    CHECK_EQ(control(READ, key, (long)buffer, 5, 0), 5);
    CHECK(memcmp(buffer, "again", 5) == 0);
    snprintf(text, sizeof text, "user;%d;%d;3f010000;name", geteuid(), getegid());
    char *told = guarded(strlen(text) + 1);
    CHECK_EQ(control(DESCRIBE, key, (long)told, (long)strlen(text) + 1, 0), strlen(text) + 1);
    CHECK_STR(told, text);

    long secret = add("logon", "a:b", "x", 1, OF_PROCESS);
    CHECK(secret > 0);
    CHECK_ERRNO(control(READ, secret, (long)buffer, 5, 0), EOPNOTSUPP);
    CHECK_ERRNO(add("logon", "b", "x", 1, OF_PROCESS), EINVAL);
    CHECK_EQ(control(READ, OF_PROCESS, 0, 0, 0), 8);
}

TEST(errors_of_adding)
{
    require_keys();
    CHECK_ERRNO(add("user", "a", "x", 0, OF_PROCESS), EINVAL);
    CHECK_ERRNO(add("user", "a", NULL, 3, OF_PROCESS), EFAULT);
    CHECK_ERRNO(add("user", "", "x", 1, OF_PROCESS), EINVAL);
    CHECK_ERRNO(add("user", NULL, "x", 1, OF_PROCESS), EINVAL);
    CHECK_ERRNO(add("absent", "a", "x", 1, OF_PROCESS), ENODEV);
    CHECK_ERRNO(add(".own", "a", "x", 1, OF_PROCESS), EPERM);
    CHECK_ERRNO(add("keyring", ".own", NULL, 0, OF_PROCESS), EPERM);
    CHECK_ERRNO(add("keyring", "a", "x", 1, OF_PROCESS), EINVAL);
    CHECK_ERRNO(add("user", "a", "x", 1 << 20, OF_PROCESS), EINVAL);
    CHECK_ERRNO(add("user", "a", "x", 1, 0), EINVAL);
    CHECK_ERRNO(add("user", "a", "x", 1, -6), EINVAL);
    CHECK_ERRNO(add("user", "a", "x", 1, -7), ENOKEY);
    CHECK_ERRNO(add("user", "a", "x", 1, 0x7ffffff0), ENOKEY);
    long key = add("user", "a", "x", 1, OF_PROCESS);
    CHECK_ERRNO(add("user", "b", "x", 1, key), ENOTDIR);
    CHECK_ERRNO(control(UPDATE, OF_PROCESS, (long)"x", 1, 0), EOPNOTSUPP);
    CHECK_ERRNO(control(99, 0, 0, 0, 0), EOPNOTSUPP);
}

TEST(keyrings_link_and_search)
{
    require_keys();
    long outer = add("keyring", "outer", NULL, 0, OF_PROCESS), inner = add("keyring", "inner", NULL, 0, outer);
    long key = add("user", "deep", "x", 1, inner);
    CHECK(outer > 0 && inner > 0 && key > 0);
    CHECK_EQ(control(FIND, outer, (long)"user", (long)"deep", 0), key);
    CHECK_EQ(request("user", "deep", NULL, 0), key);
    CHECK_ERRNO(control(FIND, outer, (long)"user", (long)"absent", 0), ENOKEY);
    CHECK_ERRNO(control(FIND, key, (long)"user", (long)"deep", 0), ENOTDIR);
    CHECK_ERRNO(control(LINK, outer, inner, 0, 0), EDEADLK);
    CHECK_ERRNO(control(LINK, outer, outer, 0, 0), EDEADLK);
    CHECK_ERRNO(control(LINK, inner, key, 0, 0), ENOTDIR);
    CHECK_OK(control(LINK, key, outer, 0, 0));
    CHECK_OK(control(UNLINK, key, inner, 0, 0));
    CHECK_ERRNO(control(UNLINK, key, inner, 0, 0), ENOENT);
    CHECK_OK(control(MOVE, key, outer, inner, 0));
    CHECK_ERRNO(control(MOVE, key, outer, inner, 0), ENOENT);
    CHECK_ERRNO(control(MOVE, key, outer, inner, 2), EINVAL);
    CHECK_EQ(control(READ, inner, 0, 0, 0), 4);
    CHECK_OK(control(CLEAR, inner, 0, 0, 0));
    CHECK_EQ(control(READ, inner, 0, 0, 0), 0);
    CHECK_ERRNO(control(RESTRICT, inner, (long)"user", 0, 0), EINVAL);
    CHECK_OK(control(RESTRICT, inner, 0, 0, 0));
    CHECK_ERRNO(control(RESTRICT, inner, 0, 0, 0), EEXIST);
    CHECK_ERRNO(add("user", "late", "x", 1, inner), EPERM);
}

TEST(keys_end)
{
    require_keys();
    long key = add("user", "a key that ends", "x", 1, OF_PROCESS);
    CHECK_OK(control(REVOKE, key, 0, 0, 0));
    CHECK_ERRNO(control(READ, key, 0, 0, 0), EKEYREVOKED);
    CHECK_ERRNO(control(REVOKE, key, 0, 0, 0), EKEYREVOKED);
    long other = add("user", "a key that ends", "x", 1, OF_PROCESS);
    CHECK(other > 0 && other != key);
    CHECK_OK(control(TIMEOUT, other, 1, 0, 0));
    CHECK_EQ(control(READ, other, 0, 0, 0), 1);
    CHECK_OK(control(TIMEOUT, other, 0, 0, 0));
    CHECK_OK(control(INVALIDATE, other, 0, 0, 0));
    CHECK_EQ(control(READ, other, 0, 0, 0), -1);
    CHECK(errno == ENOKEY || errno == EACCES); /* it is not possessed any more */
    CHECK_ERRNO(request("user", "a key that ends", NULL, 0), ENOKEY);
}

TEST(permissions_of_keys)
{
    require_keys();
    long key = add("user", "a", "x", 1, OF_PROCESS);
    CHECK_ERRNO(control(SET_PERM, key, 0xffffffffL, 0, 0), EINVAL);
    CHECK_OK(control(CHOWN, key, -1, -1, 0));
    CHECK_OK(control(SET_PERM, key, 0x20010000, 0, 0)); /* possessor: setattr; user: view */
    CHECK_ERRNO(control(READ, key, 0, 0, 0), EACCES);
    CHECK_ERRNO(control(UPDATE, key, (long)"y", 1, 0), EACCES);
    CHECK_ERRNO(control(LINK, key, OF_PROCESS, 0, 0), EACCES);
    long ring = add("keyring", "ring", NULL, 0, OF_PROCESS);
    CHECK_OK(control(SET_PERM, ring, 0x21000000, 0, 0));
    CHECK_ERRNO(add("user", "b", "x", 1, ring), EACCES);
    CHECK_ERRNO(control(FIND, ring, (long)"user", (long)"b", 0), EACCES);
    if (geteuid() != 0)
        CHECK_ERRNO(control(CHOWN, ring, 0, -1, 0), EACCES);
}

TEST(whose_keyrings_they_are)
{
    require_keys();
    long session = control(JOIN, 0, 0, 0, 0), own = control(GET_ID, OF_PROCESS, 1, 0, 0);
    CHECK(session > 0 && own > 0);
    CHECK_EQ(control(GET_ID, OF_SESSION, 0, 0, 0), session);
    CHECK_ERRNO(control(GET_ID, OF_THREAD, 0, 0, 0), ENOKEY);
    long key = add("user", "inherited", "x", 1, OF_SESSION);
    long of_user = control(GET_ID, OF_USER, 0, 0, 0);
    pid_t pid = fork_child();
    if (pid == 0) {
        CHECK_EQ(control(GET_ID, OF_SESSION, 0, 0, 0), session);
        CHECK_EQ(control(GET_ID, OF_USER, 0, 0, 0), of_user);
        CHECK_ERRNO(control(GET_ID, OF_PROCESS, 0, 0, 0), ENOKEY);
        CHECK_EQ(request("user", "inherited", NULL, 0), key);
        CHECK(control(JOIN, 0, 0, 0, 0) != session);
        CHECK_ERRNO(request("user", "inherited", NULL, 0), ENOKEY);
        guest_finish();
    }
    CHECK_CHILD(pid);
    CHECK_EQ(control(GET_ID, OF_SESSION, 0, 0, 0), session);
    CHECK_ERRNO(control(JOIN, (long)"", 0, 0, 0), EINVAL);
    CHECK_ERRNO(control(JOIN, 1, 0, 0, 0), EFAULT);
    CHECK_EQ(control(DEFAULT_RING, 2, 0, 0, 0), 0);
    CHECK_EQ(control(DEFAULT_RING, -1, 0, 0, 0), 2);
    CHECK_ERRNO(control(DEFAULT_RING, 99, 0, 0, 0), EINVAL);
}

/* ---- keys that have ended, as each call meets them ---- */

static void check_useless(const char *what, long key, long ring, long other, int error)
{
    static const struct {
        const char *name;
        int option;
        bool is_of_a_ring; /* else of a key; its number comes first */
        long two, three;
    } calls[] = {
        {"GET_KEYRING_ID", GET_ID, true, 0, 0},       {"UPDATE", UPDATE, false, (long)"y", 1},
        {"REVOKE", REVOKE, false, 0, 0},              {"CHOWN", CHOWN, false, -1, 0},
        {"SETPERM", SET_PERM, false, 0x3f3f0000, 0},  {"DESCRIBE", DESCRIBE, false, 0, 0},
        {"CLEAR", CLEAR, true, 0, 0},                 {"SEARCH", FIND, true, (long)"user", (long)"a"},
        {"READ", READ, false, 0, 0},                  {"SET_TIMEOUT", TIMEOUT, false, 9, 0},
        {"GET_SECURITY", 17, false, 0, 0},            {"INVALIDATE", INVALIDATE, false, 0, 0},
        {"RESTRICT_KEYRING", RESTRICT, true, 0, 0},
    };
    for (size_t i = 0; i < sizeof calls / sizeof *calls; i++) {
        errno = 0;
        long first = calls[i].is_of_a_ring ? ring : key;
        long gid = calls[i].option == CHOWN ? getegid() : calls[i].three;
        if (control(calls[i].option, first, calls[i].two, gid, 0) != -1 || errno != error)
            GUEST_FAIL("%s of %s: got %s", calls[i].name, what, strerrorname_np(errno));
    }
    CHECK_ERRNO(control(LINK, key, other, 0, 0), error);
    CHECK_ERRNO(control(LINK, other, ring, 0, 0), error);
    CHECK_ERRNO(control(UNLINK, other, ring, 0, 0), error);
    CHECK_ERRNO(control(MOVE, key, OF_SESSION, other, 0), error);
    CHECK_ERRNO(control(MOVE, other, ring, OF_SESSION, 0), error);
    CHECK_ERRNO(control(MOVE, other, OF_SESSION, ring, 0), error);
    CHECK_ERRNO(add("user", "b", "x", 1, ring), error);
    CHECK_ERRNO(control(FIND, OF_SESSION, (long)"user", (long)"ended", 0), error);
    CHECK_ERRNO(request("user", "living", NULL, ring), error);
    if (error == EKEYEXPIRED) { /* as if it were not there: one is made in its place, which says that there is none */
        CHECK_ERRNO(request("user", "ended", NULL, 0), ENOKEY);
        CHECK_ERRNO(request("user", "ended", "info", 0), ENOENT);
        CHECK_ERRNO(control(FIND, OF_SESSION, (long)"user", (long)"ended", 0), ENOKEY);
    } else {
        CHECK_ERRNO(request("user", "ended", NULL, 0), error);
        CHECK_ERRNO(request("user", "ended", "info", 0), error);
    }
}

static void make_three(long *key, long *ring, long *other)
{
    REQUIRE(control(JOIN, 0, 0, 0, 0) > 0); /* searched alone: no keyring of the process, which would have no such key */
    *key = add("user", "ended", "x", 1, OF_SESSION);
    *ring = add("keyring", "ended ring", NULL, 0, OF_SESSION);
    *other = add("keyring", "other", NULL, 0, OF_SESSION);
    REQUIRE(*key > 0 && *ring > 0 && *other > 0 && add("user", "living", "x", 1, OF_SESSION) > 0);
}

TEST(revoked_keys)
{
    require_keys();
    long key, ring, other;
    make_three(&key, &ring, &other);
    CHECK_OK(control(REVOKE, key, 0, 0, 0));
    CHECK_OK(control(REVOKE, ring, 0, 0, 0));
    check_useless("a revoked one", key, ring, other, EKEYREVOKED);
    CHECK_OK(control(UNLINK, key, OF_SESSION, 0, 0)); /* out of a keyring it may go */
    CHECK_ERRNO(request("user", "ended", NULL, 0), ENOKEY);
    long again = add("keyring", "ended ring", NULL, 0, OF_SESSION);
    CHECK(again > 0 && again != ring);
}

TEST(expired_keys)
{
    require_keys();
    long key, ring, other, waiting = 0;
    make_three(&key, &ring, &other);
    CHECK_OK(control(TIMEOUT, key, 1, 0, 0));
    CHECK_OK(control(TIMEOUT, ring, 1, 0, 0));
    while ((control(READ, key, 0, 0, 0) != -1 || control(READ, ring, 0, 0, 0) != -1) && waiting++ < 2000)
        usleep(1000);
    check_useless("an expired one", key, ring, other, EKEYEXPIRED);
    CHECK_OK(control(UNLINK, ring, OF_SESSION, 0, 0));
}

TEST(an_update_gives_an_expired_key_life)
{
    require_keys();
    REQUIRE(control(JOIN, 0, 0, 0, 0) > 0);
    long key = add("user", "ended", "x", 1, OF_SESSION), waiting = 0;
    CHECK_OK(control(TIMEOUT, key, 1, 0, 0));
    while (control(READ, key, 0, 0, 0) != -1 && waiting++ < 2000)
        usleep(1000);
    CHECK_ERRNO(control(READ, key, 0, 0, 0), EKEYEXPIRED);
    CHECK_EQ(add("user", "ended", "yz", 2, OF_SESSION), key);
    CHECK_EQ(control(READ, key, 0, 0, 0), 2);
    CHECK_EQ(request("user", "ended", NULL, 0), key);
}

TEST(errors_of_requesting)
{
    require_keys();
    static char endless[8192];
    memset(endless, 'n', sizeof endless - 1);
    const char *long_type = endless + sizeof endless - 33, *longest_type = endless + sizeof endless - 32;
    const char *too_long = endless + sizeof endless - 4097, *longest = endless + sizeof endless - 4096;
    REQUIRE(control(JOIN, 0, 0, 0, 0) > 0);
    CHECK_ERRNO(request(bad_address, "a", NULL, 0), EFAULT);
    CHECK_ERRNO(request("user", bad_address, NULL, 0), EFAULT);
    CHECK_ERRNO(request("user", NULL, NULL, 0), EFAULT);
    CHECK_ERRNO(request("user", "a", bad_address, 0), EFAULT);
    CHECK_ERRNO(request("", "a", NULL, 0), EINVAL);
    CHECK_ERRNO(request(long_type, "a", NULL, 0), EINVAL);
    CHECK_ERRNO(request(longest_type, "a", NULL, 0), ENOKEY); /* no such type */
    CHECK_ERRNO(request("user", too_long, NULL, 0), EINVAL);
    CHECK_ERRNO(request("user", longest, NULL, 0), ENOKEY);
    CHECK_ERRNO(request("user", "a", too_long, 0), EINVAL);
    CHECK_ERRNO(request(".user", "a", NULL, 0), EPERM);
    CHECK_ERRNO(request("absent", "a", NULL, 0), ENOKEY);
    CHECK_ERRNO(request("user", "a", NULL, -99), EINVAL);
    CHECK_ERRNO(request("user", "a", NULL, 0x7ffffff0), ENOKEY);
    long key = add("user", "a", "x", 1, OF_SESSION), ring = add("keyring", "ring", NULL, 0, OF_SESSION);
    CHECK_ERRNO(request("user", "a", NULL, key), ENOTDIR);
    CHECK_EQ(request("user", "a", NULL, ring), key);
    CHECK_EQ(control(READ, ring, 0, 0, 0), 4); /* and there it is linked to */
    CHECK_OK(control(SET_PERM, ring, 0x21000000, 0, 0));
    CHECK_ERRNO(request("user", "a", NULL, ring), EACCES);
    CHECK_OK(control(SET_PERM, key, 0x21000000, 0, 0)); /* not to be found */
    CHECK_ERRNO(request("user", "a", NULL, 0), EACCES);

    CHECK_ERRNO(add(long_type, "a", "x", 1, OF_PROCESS), EINVAL);
    CHECK_ERRNO(add("user", too_long, "x", 1, OF_PROCESS), EINVAL);
    CHECK_OK(add("user", longest, "x", 1, OF_PROCESS));
    CHECK_ERRNO(add(bad_address, "a", "x", 1, OF_PROCESS), EFAULT);
    CHECK_ERRNO(add("user", bad_address, "x", 1, OF_PROCESS), EFAULT);
    CHECK_ERRNO(add("user", "c", bad_address, 1, OF_PROCESS), EFAULT);
    CHECK_OK(add("user", "c", endless, 4096, OF_PROCESS));
    CHECK_ERRNO(add("user", "c", guarded(100), 101, OF_PROCESS), EFAULT); /* beyond its end */
}

TEST(depth_of_keyrings)
{
    require_keys();
    enum { RINGS = 10 };
    long ring[RINGS], outer = add("keyring", "outer", NULL, 0, OF_PROCESS);
    char name[16];
    for (int i = 0; i < RINGS; i++) {
        snprintf(name, sizeof name, "%d", i);
        ring[i] = add("keyring", name, NULL, 0, OF_PROCESS);
        CHECK(ring[i] > 0);
        if (i)
            CHECK_OK(control(LINK, ring[i], ring[i - 1], 0, 0));
    }
    long deep = add("user", "at the end", "x", 1, ring[RINGS - 1]);
    for (int i = 0; i < RINGS; i++) {
        bool is_too_deep = RINGS - 1 - i > 6; /* keyrings below it */
        const char *linked = control(LINK, ring[i], outer, 0, 0) == 0 ? "ok" : strerrorname_np(errno);
        CHECK_STR(linked, is_too_deep ? "ELOOP" : "ok");
        long found = control(FIND, ring[i], (long)"user", (long)"at the end", 0);
        CHECK_EQ(found, is_too_deep ? -1 : deep);
        CHECK(found != -1 || errno == ENOKEY);
    }
}

TEST(operations_that_are_not_for_us)
{
    require_keys();
    long key = add("user", "a", "x", 1, OF_PROCESS), ring = add("keyring", "ring", NULL, 0, OF_PROCESS);
    struct {
        void *base;
        size_t size;
    } part = {"x", 1};
    CHECK_ERRNO(control(12, key, (long)"x", 1, ring), EPERM);     /* INSTANTIATE */
    CHECK_ERRNO(control(13, key, 1, ring, 0), EPERM);             /* NEGATE */
    CHECK_ERRNO(control(19, key, 1, ENOKEY, ring), EPERM);        /* REJECT */
    CHECK_ERRNO(control(20, key, (long)&part, 1, ring), EPERM);   /* INSTANTIATE_IOV */
    CHECK_ERRNO(control(16, -1, 0, 0, 0), EINVAL);                /* ASSUME_AUTHORITY */
    CHECK_ERRNO(control(16, key, 0, 0, 0), ENOKEY);
    CHECK_EQ(control(16, 0, 0, 0, 0), 0);
    CHECK_ERRNO(control(JOIN, (long)".own", 0, 0, 0), EPERM);
    char *label = guarded(1);
    CHECK(control(17, key, 0, 0, 0) >= 1); /* GET_SECURITY */
    if (control(17, key, (long)label, 1, 0) == 1)
        CHECK_EQ(*label, 0);
    unsigned char *known = guarded(2);
    CHECK(control(31, (long)known, 1, 0, 0) >= 1); /* CAPABILITIES */
    CHECK_EQ(known[0] & 1, 1);
    CHECK_ERRNO(control(31, (long)bad_address, 1, 0, 0), EFAULT);
    CHECK_ERRNO(control(READ, key, (long)bad_address, 8, 0), EFAULT);
    CHECK_ERRNO(control(DESCRIBE, key, (long)bad_address, 4096, 0), EFAULT);
    CHECK_ERRNO(control(UPDATE, key, (long)bad_address, 1, 0), EFAULT);
    CHECK_ERRNO(control(UPDATE, key, (long)"x", 4097, 0), EINVAL);
    CHECK_ERRNO(control(UPDATE, key, 0, 0, 0), EINVAL);
    CHECK_ERRNO(control(FIND, ring, (long)bad_address, (long)"a", 0), EFAULT);
    CHECK_ERRNO(control(FIND, ring, (long)"user", (long)bad_address, 0), EFAULT);
    CHECK_ERRNO(control(READ, 0, 0, 0, 0), ENOKEY); /* whatever is wrong with a number */
    CHECK_ERRNO(control(READ, -99, 0, 0, 0), ENOKEY);
    CHECK_ERRNO(control(DESCRIBE, 0, 0, 0, 0), EINVAL);
    CHECK_ERRNO(control(DESCRIBE, -99, 0, 0, 0), EINVAL);
    CHECK_EQ(control(FIND, OF_PROCESS, (long)"user", (long)"a", ring), key); /* and links it there */
    CHECK_EQ(control(READ, ring, 0, 0, 0), 4);
    long second = add("user", "a", "y", 1, ring);
    CHECK_EQ(second, key); /* one of that name is there: it is updated */
    long elsewhere = add("keyring", "elsewhere", NULL, 0, OF_PROCESS), twin = add("user", "a", "z", 1, elsewhere);
    CHECK_ERRNO(control(MOVE, key, ring, elsewhere, 1), EEXIST); /* KEYCTL_MOVE_EXCL */
    CHECK_OK(control(MOVE, key, ring, elsewhere, 0));
    CHECK_EQ(control(FIND, elsewhere, (long)"user", (long)"a", 0), key);
    CHECK(twin != key);
}
