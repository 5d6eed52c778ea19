/* What the guests mount and propagation share: a mount namespace of the test's own, and names in it. */
#ifndef GUEST_MOUNT_H
#define GUEST_MOUNT_H

#include "guest.h"

#include <sys/mount.h>

static const char *place;

static bool own_namespace(void)
{
    if (geteuid() != 0)
        return false;
    if (unshare(CLONE_NEWNS) == -1)
        return false;
    return mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0;
}

#define NAMESPACE()                                   \
    do {                                              \
        if (!own_namespace())                         \
            SKIP("mounting needs root's privileges"); \
        place = scratch();                            \
    } while (0)

static char *directory(const char *name)
{
    static char paths[8][GUEST_PATH_BYTES];
    static int next;
    char *path = paths[next++ % 8];
    snprintf(path, GUEST_PATH_BYTES, "%s/%s", place, name);
    mkdir(path, 0755);
    return path;
}

__attribute__((unused)) static char *in(const char *dir, const char *name)
{
    static char paths[16][GUEST_PATH_BYTES];
    static int next;
    char *path = paths[next++ % 16];
    snprintf(path, GUEST_PATH_BYTES, "%s/%s", dir, name);
    return path;
}

__attribute__((unused)) static void touch(const char *path)
{
    int fd = open(path, O_CREAT | O_WRONLY, 0644);
    CHECK_OK(fd);
    close(fd);
}

__attribute__((unused)) static bool is_there(const char *path)
{
    return access(path, F_OK) == 0;
}

#endif
