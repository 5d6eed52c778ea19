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

/* What /proc/self/mountinfo tells of the mount that is seen there: its options, then " shared:1" and the like. */
__attribute__((unused)) static const char *told_of(const char *at)
{
    static char found[1024];
    char line[2048], wanted[GUEST_PATH_BYTES + 2];
    FILE *table = fopen("/proc/self/mountinfo", "r");
    found[0] = 0;
    snprintf(wanted, sizeof wanted, " %s ", at);
    while (table && fgets(line, sizeof line, table)) {
        char *end = strstr(line, " - ");
        if (!strstr(line, wanted) || !end)
            continue;
        *end = 0; /* the last one mounted there is the one that is seen */
        snprintf(found, sizeof found, "%s", strstr(line, wanted) + strlen(wanted));
    }
    if (table)
        fclose(table);
    return found;
}

__attribute__((unused)) static const char *fields_of(const char *at)
{
    const char *propagation = strchr(told_of(at), ' ');
    return propagation ? propagation : "";
}

#endif
