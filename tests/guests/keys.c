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
    if (control(GET_ID, OF_PROCESS, 1, 0, 0) == -1 && errno == ENOSYS)
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
