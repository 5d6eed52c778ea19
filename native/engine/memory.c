/* memory.c - reads and writes the workload's memory.
 *
 * A pointer argument is copied once and judged from the copy: another thread of the program may change
 * what it points to at any moment. process_vm_* obeys the protection of the program's own mappings.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <string.h>
#include <sys/uio.h>
#include "engine.h"

#define PAGE 4096u

static int64_t move(struct task *t, uint64_t addr, void *local, uint64_t size, bool is_write)
{
    struct iovec here = {local, size}, there = {(void *)addr, size};
    ssize_t moved = is_write ? process_vm_writev(t->tid, &here, 1, &there, 1, 0)
                             : process_vm_readv(t->tid, &here, 1, &there, 1, 0);
    if (moved < 0)
        return errno == ESRCH ? -ESRCH : -EFAULT;
    return moved;
}

int64_t um_read_some(struct task *t, uint64_t addr, void *into, uint64_t size)
{
    return size == 0 ? 0 : move(t, addr, into, size, false);
}

int64_t um_write_some(struct task *t, uint64_t addr, const void *from, uint64_t size)
{
    return size == 0 ? 0 : move(t, addr, (void *)from, size, true);
}

int64_t um_read(struct task *t, uint64_t addr, void *into, uint64_t size)
{
    int64_t moved = um_read_some(t, addr, into, size);
    return moved == (int64_t)size || moved < 0 ? moved : -EFAULT;
}

int64_t um_write(struct task *t, uint64_t addr, const void *from, uint64_t size)
{
    int64_t moved = um_write_some(t, addr, from, size);
    return moved == (int64_t)size || moved < 0 ? moved : -EFAULT;
}

int64_t um_read_cstr(struct task *t, uint64_t addr, char *into, uint64_t cap)
{
    uint64_t have = 0;
    while (have < cap) {
        /* Never ask beyond a page that the string may end in: the next one need not exist. */
        uint64_t chunk = PAGE - (addr + have) % PAGE;
        if (have == 0 && chunk > 256)
            chunk = 256;
        if (chunk > cap - have)
            chunk = cap - have;
        int64_t moved = um_read_some(t, addr + have, into + have, chunk);
        if (moved <= 0)
            return -EFAULT;
        char *end = memchr(into + have, 0, (size_t)moved);
        if (end)
            return end - into;
        have += (uint64_t)moved;
    }
    return -ENAMETOOLONG;
}
