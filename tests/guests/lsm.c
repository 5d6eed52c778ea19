/* lsm: security modules, listed; none that keeps attributes of tasks in the sandbox. */
#include "guest.h"

enum { NR_LSM_GET_SELF_ATTR = 459, NR_LSM_SET_SELF_ATTR, NR_LSM_LIST_MODULES, LSM_ATTR_CURRENT = 100 };
struct context {
    uint64_t id, flags, len, ctx_len;
};

static long list(uint64_t *ids, uint32_t *size, unsigned flags)
{
    return syscall(NR_LSM_LIST_MODULES, ids, size, flags);
}

static long get(unsigned attribute, void *context, uint32_t *size, unsigned flags)
{
    return syscall(NR_LSM_GET_SELF_ATTR, attribute, context, size, flags);
}

static long set(unsigned attribute, const void *context, size_t size, unsigned flags)
{
    return syscall(NR_LSM_SET_SELF_ATTR, attribute, context, size, flags);
}

static void require_calls(void)
{
    uint32_t size = 0;
    if (list(NULL, &size, 1) == -1 && errno == ENOSYS)
        SKIP("a kernel before 6.8, or without security modules");
}

TEST(modules_are_listed)
{
    require_calls();
    uint64_t ids[32];
    uint32_t size = sizeof ids;
    long count = list(ids, &size, 0);
    CHECK(count >= 1);
    CHECK_EQ(size, count * 8);
    bool has_capabilities = false;
    for (long i = 0; i < count; i++)
        has_capabilities |= ids[i] == 100;
    CHECK(has_capabilities);

    uint32_t needed = size;
    size--;
    CHECK_ERRNO(list(ids, &size, 0), E2BIG);
    CHECK_EQ(size, needed);
    CHECK_ERRNO(list(ids, &size, 1), EINVAL);
    CHECK_ERRNO(list(ids, NULL, 0), EFAULT);
    CHECK_ERRNO(list(NULL, &size, 0), EFAULT);
}

TEST(attributes_asked_for)
{
    require_calls();
    char *context = guarded(4096);
    memset(context, 0, 4096);
    uint32_t size = 4096;
    CHECK_ERRNO(get(0, context, &size, 0), EINVAL);
    CHECK_ERRNO(get(LSM_ATTR_CURRENT, context, NULL, 0), EINVAL);
    CHECK_ERRNO(get(LSM_ATTR_CURRENT, context, (uint32_t *)1, 0), EFAULT);
    CHECK_ERRNO(get(LSM_ATTR_CURRENT, context, &size, 2), EINVAL);
    CHECK_ERRNO(get(LSM_ATTR_CURRENT, NULL, &size, 1), EINVAL);
    CHECK_ERRNO(get(LSM_ATTR_CURRENT, context, &size, 1), EINVAL); /* which one? */
    CHECK_ERRNO(get(LSM_ATTR_CURRENT, context + 4096, &size, 1), EFAULT);
    ((struct context *)(void *)context)->id = 100;
    CHECK_ERRNO(get(LSM_ATTR_CURRENT, context, &size, 1), EOPNOTSUPP); /* capabilities have none */
    CHECK_EQ(size, 0);
}

TEST(attributes_set)
{
    require_calls();
    struct context *context = guarded(sizeof *context);
    *context = (struct context){100, 0, sizeof *context, 0};
    CHECK_ERRNO(set(LSM_ATTR_CURRENT, context, sizeof *context, 0), EOPNOTSUPP);
    CHECK_ERRNO(set(LSM_ATTR_CURRENT, context, sizeof *context, 1), EINVAL);
    CHECK_ERRNO(set(LSM_ATTR_CURRENT, context, sizeof *context - 1, 0), EINVAL);
    CHECK_ERRNO(set(LSM_ATTR_CURRENT, context, 4097, 0), E2BIG);
    CHECK_ERRNO(set(LSM_ATTR_CURRENT, context, sizeof *context + 1, 0), EFAULT);
    context->len++;
    CHECK_ERRNO(set(LSM_ATTR_CURRENT, context, sizeof *context, 0), EINVAL);
    *context = (struct context){100, 0, sizeof *context, 1};
    CHECK_ERRNO(set(LSM_ATTR_CURRENT, context, sizeof *context, 0), EINVAL);
    context->ctx_len = UINT64_MAX;
    CHECK_ERRNO(set(LSM_ATTR_CURRENT, context, sizeof *context, 0), EINVAL);
}
