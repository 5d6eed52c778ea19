/* path.c - from a dentry back to its path: in the sandbox, and in the gofer's tree. */
#define _GNU_SOURCE
#include "vfs.h"

#include <errno.h>
#include <string.h>

/* Writes "/name" in front of the text that ends at *end and starts at *start. */
static bool prepend(char *into, uint32_t *start, const char *name, uint32_t len)
{
    if (*start < len + 1)
        return false;
    *start -= len;
    memcpy(into + *start, name, len);
    into[--*start] = '/';
    return true;
}

int dentry_path(struct dentry *root, struct dentry *d, char *into, uint32_t cap)
{
    static const char unreachable[] = "(unreachable)";
    if (cap < 2)
        return -ENAMETOOLONG;
    uint32_t start = cap - 1;
    bool reached = true;
    into[start] = 0;
    while (d != root) {
        if (d->parent == d) {
            if (!d->sb->covered) {
                reached = false;
                break;
            }
            d = d->sb->covered;
            continue;
        }
        if (!prepend(into, &start, d->name, d->name_len))
            return -ENAMETOOLONG;
        d = d->parent;
    }
    if (start == cap - 1)
        into[--start] = '/';
    uint32_t len = cap - 1 - start;
    uint32_t lead = reached ? 0 : sizeof unreachable - 1;
    if (lead + len + 1 > cap)
        return -ENAMETOOLONG;
    memmove(into + lead, into + start, len + 1);
    memcpy(into, unreachable, lead);
    return (int)(lead + len);
}

int dentry_lower_path(struct dentry *d, char *into, uint32_t cap)
{
    if (cap < 1)
        return -ENAMETOOLONG;
    uint32_t start = cap - 1;
    const char *base = "";
    into[start] = 0;
    for (; d->parent != d; d = d->parent) {
        if (d->inode && d->inode->lower_path) {
            base = d->inode->lower_path;
            break;
        }
        if (!prepend(into, &start, d->name, d->name_len))
            return -ENAMETOOLONG;
    }
    if (d->parent == d && d->inode && d->inode->lower_path)
        base = d->inode->lower_path;
    uint32_t base_len = (uint32_t)strlen(base);
    if (!base_len && into[start] == '/')
        start++;
    uint32_t len = cap - 1 - start;
    if (base_len + len + 1 > cap)
        return -ENAMETOOLONG;
    memmove(into + base_len, into + start, len + 1);
    memcpy(into, base, base_len);
    return (int)(base_len + len);
}
