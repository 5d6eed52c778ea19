/*
 * From (tree, path) to a descriptor, without ever leaving the tree or following a symlink.
 *
 * Owns path checks, openat2, attributes, and the directory cache of immutable trees. Each path is checked here
 * (no "..", no NUL) and then again by the kernel (RESOLVE_BENEATH): either alone would do.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "server.h"

/* Returns 0 if `path` (len bytes, then a NUL) is a plain relative path, else -EINVAL or -ENAMETOOLONG. */
int gofer_check_path(const char *path, uint32_t len)
{
    uint32_t start = 0;

    if (len > GOFER_PATH_MAX)
        return -ENAMETOOLONG;
    if (len == 0)
        return 0;
    if (memchr(path, '\0', len))
        return -EINVAL;
    for (uint32_t i = 0; i <= len; i++) {
        if (i < len && path[i] != '/')
            continue;
        uint32_t size = i - start;
        if (size == 0 || (size == 1 && path[start] == '.') ||
            (size == 2 && path[start] == '.' && path[start + 1] == '.'))
            return -EINVAL;
        start = i + 1;
    }
    return 0;
}

const struct gofer_tree *gofer_find_tree(const struct gofer_server *server, uint32_t tree)
{
    return tree < server->n_trees ? &server->trees[tree] : NULL;
}

/* openat2(2) that stays below `dir` and follows nothing. Returns a descriptor or a negative errno. */
int gofer_openat2(int dir, const char *name, uint64_t flags, uint64_t mode)
{
    struct open_how how = {
        .flags = flags | O_CLOEXEC | O_NOFOLLOW,
        .mode = mode,
        .resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS,
    };

    /* EAGAIN: a rename somewhere on the host raced with the walk; the kernel asks for another try. */
    for (int attempt = 0; attempt < 64; attempt++) {
        long fd = syscall(SYS_openat2, dir, name, &how, sizeof(how));
        if (fd >= 0)
            return (int)fd;
        if (errno != EAGAIN && errno != EINTR)
            return -errno;
    }
    return -EAGAIN;
}

/* Attributes of `name` in `dir`, itself if a symlink; the empty name means `dir` itself. 0 or a negative errno. */
int gofer_attr_at(const struct gofer_server *server, int dir, const char *name, struct gofer_attr *attr)
{
    struct statx stx;

    if (statx(dir, name, AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT,
              STATX_BASIC_STATS | STATX_BTIME | STATX_MNT_ID, &stx) < 0)
        return -errno;
    *attr = (struct gofer_attr){
        .ino = stx.stx_ino,
        .size = stx.stx_size,
        .blocks = stx.stx_blocks,
        .mount_id = stx.stx_mnt_id,
        .mode = stx.stx_mode,
        .uid = gofer_show_id(&server->uid_map, stx.stx_uid),
        .gid = gofer_show_id(&server->gid_map, stx.stx_gid),
        .nlink = stx.stx_nlink,
        .dev_major = stx.stx_dev_major,
        .dev_minor = stx.stx_dev_minor,
        .rdev_major = stx.stx_rdev_major,
        .rdev_minor = stx.stx_rdev_minor,
        .blksize = stx.stx_blksize,
        .flags = GOFER_ATTR_VALID | ((stx.stx_mask & STATX_BTIME) ? GOFER_ATTR_BTIME : 0) |
                 ((stx.stx_attributes & STATX_ATTR_MOUNT_ROOT) ? GOFER_ATTR_MOUNT_ROOT : 0),
        .atime_sec = stx.stx_atime.tv_sec,
        .mtime_sec = stx.stx_mtime.tv_sec,
        .ctime_sec = stx.stx_ctime.tv_sec,
        .btime_sec = stx.stx_btime.tv_sec,
        .atime_nsec = stx.stx_atime.tv_nsec,
        .mtime_nsec = stx.stx_mtime.tv_nsec,
        .ctime_nsec = stx.stx_ctime.tv_nsec,
        .btime_nsec = stx.stx_btime.tv_nsec,
    };
    return 0;
}

/* --- the cache: only for trees that neither the host nor a request changes, so an entry never goes stale --- */

static bool is_cached(const struct gofer_tree *tree)
{
    return (tree->flags & GOFER_TREE_IMMUTABLE) && !(tree->flags & GOFER_TREE_WRITABLE);
}

static struct gofer_dir_slot *find_slot(struct gofer_server *server, uint32_t tree, const char *path, uint32_t len)
{
    uint32_t hash = 2166136261u ^ tree;

    for (uint32_t i = 0; i < len; i++)
        hash = (hash ^ (unsigned char)path[i]) * 16777619u;
    return &server->dirs[(hash ^ (hash >> 15)) & (GOFER_DIR_SLOTS - 1)];
}

/* Gives fd to the cache, which closes what it pushes out. False: no memory, fd is still the caller's. */
static bool cache_dir(struct gofer_dir_slot *slot, uint32_t tree, const char *path, uint32_t len, int fd)
{
    char *copy = malloc((size_t)len + 1);

    if (!copy)
        return false;
    memcpy(copy, path, len);
    copy[len] = '\0';
    if (slot->path) {
        free(slot->path);
        close(slot->fd);
    }
    *slot = (struct gofer_dir_slot){.path = copy, .path_len = len, .tree = tree, .fd = fd};
    return true;
}

static bool slot_holds(const struct gofer_dir_slot *slot, uint32_t tree, const char *path, uint32_t len)
{
    return slot->path && slot->tree == tree && slot->path_len == len && memcmp(slot->path, path, len) == 0;
}

/* --- directories --- */

void gofer_release_dir(struct gofer_dir *dir)
{
    if (dir->owned)
        close(dir->fd);
    *dir = (struct gofer_dir){.fd = -1, .owned = false};
}

/*
 * Opens the directory path[0..len) of a checked path; `path` need not end there. 0 or a negative errno: ENOTDIR, ELOOP
 * (a symlink on the way), ENOENT, EACCES, ...
 */
int gofer_open_dir(struct gofer_server *server, uint32_t tree, const char *path, uint32_t len, struct gofer_dir *dir)
{
    const struct gofer_tree *root = gofer_find_tree(server, tree);
    struct gofer_dir_slot *slot = NULL;
    char name[GOFER_PATH_MAX + 1];

    if (!root)
        return -EINVAL;
    *dir = (struct gofer_dir){.fd = root->fd, .owned = false};
    if (root->flags & GOFER_TREE_FILE)
        return -ENOTDIR;
    if (len == 0)
        return 0;
    if (is_cached(root)) {
        slot = find_slot(server, tree, path, len);
        if (slot_holds(slot, tree, path, len)) {
            dir->fd = slot->fd;
            return 0;
        }
    }
    memcpy(name, path, len);
    name[len] = '\0';
    int fd = gofer_openat2(root->fd, name, O_PATH | O_DIRECTORY, 0);
    if (fd < 0)
        return fd;
    *dir = (struct gofer_dir){.fd = fd, .owned = !(slot && cache_dir(slot, tree, path, len, fd))};
    return 0;
}

/*
 * One step of a walk: reads the attributes of `name` in *dir and, if it is a directory, makes it the new *dir.
 * path[0..len) is the way from the root to `name`, for the cache. 0 or a negative errno; *dir is valid either way.
 * Attributes and the new *dir come from one descriptor, so a host that renames meanwhile can't split them.
 */
int gofer_enter_dir(struct gofer_server *server, uint32_t tree, const char *path, uint32_t len, struct gofer_dir *dir,
                    const char *name, struct gofer_attr *attr)
{
    struct gofer_dir_slot *slot = NULL;

    if (is_cached(&server->trees[tree])) {
        slot = find_slot(server, tree, path, len);
        if (slot_holds(slot, tree, path, len)) {
            int error = gofer_attr_at(server, slot->fd, "", attr);
            if (error == 0) {
                gofer_release_dir(dir);
                dir->fd = slot->fd;
            }
            return error;
        }
    }
    int fd = gofer_openat2(dir->fd, name, O_PATH, 0);
    if (fd < 0)
        return fd;
    int error = gofer_attr_at(server, fd, "", attr);
    if (error < 0 || !S_ISDIR(attr->mode)) {
        close(fd);
        return error;
    }
    gofer_release_dir(dir); /* before the cache may push its descriptor out */
    *dir = (struct gofer_dir){.fd = fd, .owned = !(slot && cache_dir(slot, tree, path, len, fd))};
    return 0;
}

/*
 * Splits a path (len bytes, then a NUL) into an open parent and a last name. -EBUSY for the tree's root, which has no
 * parent here; what would remove or replace it is refused so.
 */
int gofer_open_parent(struct gofer_server *server, uint32_t tree, const char *path, uint32_t len,
                      struct gofer_dir *parent, const char **name)
{
    int error = gofer_check_path(path, len);

    if (error < 0)
        return error;
    if (len == 0)
        return gofer_find_tree(server, tree) ? -EBUSY : -EINVAL;
    const char *slash = strrchr(path, '/');
    *name = slash ? slash + 1 : path;
    return gofer_open_dir(server, tree, path, slash ? (uint32_t)(slash - path) : 0, parent);
}

/* gofer_open_parent for a caller that wants to own the descriptor and to know where in `path` the name starts. */
int gofer_open_parent_fd(struct gofer_server *server, uint32_t tree, const char *path, uint32_t len, uint32_t *name_at)
{
    struct gofer_dir parent;
    const char *name;
    int error = gofer_open_parent(server, tree, path, len, &parent, &name);

    if (error < 0)
        return error;
    *name_at = (uint32_t)(name - path);
    if (parent.owned)
        return parent.fd;
    int fd = fcntl(parent.fd, F_DUPFD_CLOEXEC, 3);
    return fd < 0 ? -errno : fd;
}

/* Opens what path names, itself if a symlink, with O_PATH. Returns a descriptor that the caller closes. */
int gofer_open_path(struct gofer_server *server, uint32_t tree, const char *path, uint32_t len)
{
    const struct gofer_tree *root = gofer_find_tree(server, tree);
    struct gofer_dir parent;
    const char *name;

    if (root && len == 0) {
        int fd = fcntl(root->fd, F_DUPFD_CLOEXEC, 3);
        return fd < 0 ? -errno : fd;
    }
    int error = gofer_open_parent(server, tree, path, len, &parent, &name);
    if (error < 0)
        return error;
    int fd = gofer_openat2(parent.fd, name, O_PATH, 0);
    gofer_release_dir(&parent);
    return fd;
}

/*
 * Opens the very inode that an O_PATH descriptor names, so what was checked is what is opened. Never blocks:
 * O_NONBLOCK turns a lease that has to be broken into EAGAIN. Returns a descriptor or a negative errno.
 */
int gofer_reopen(const struct gofer_server *server, int path_fd, uint32_t flags)
{
    char name[16];
    char *digit = name + sizeof(name) - 1;

    *digit = '\0';
    do {
        *--digit = (char)('0' + path_fd % 10);
        path_fd /= 10;
    } while (path_fd);
    int fd = openat(server->proc_fd, digit, (int)flags | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    return fd < 0 ? -errno : fd;
}
