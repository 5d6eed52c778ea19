/*
 * OPEN, OPEN_MANY and CREATE: the requests whose answer carries descriptors.
 *
 * Owns what may be opened, and how: regular files and directories, never anything that blocks or acts by being opened.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "server.h"

#define ACCEPTED_OPEN_FLAGS \
    (O_ACCMODE | O_TRUNC | O_APPEND | O_DIRECTORY | O_NOATIME | O_SYNC | O_DSYNC | O_DIRECT | O_LARGEFILE)
#define ACCEPTED_CREATE_FLAGS (O_ACCMODE | O_APPEND | O_NOATIME | O_SYNC | O_DSYNC | O_DIRECT | O_LARGEFILE)

static bool changes_file(uint32_t flags)
{
    return (flags & O_ACCMODE) != O_RDONLY || (flags & O_TRUNC);
}

/* 0 for what may be opened: a FIFO would wait for its other end, a device would act, a socket can't be. */
static int check_type(uint32_t mode)
{
    if (S_ISREG(mode) || S_ISDIR(mode))
        return 0;
    return S_ISLNK(mode) ? -ELOOP : -ENXIO;
}

/* Looks at the inode first and then opens that very inode. Takes path_fd, which may be an error. A descriptor or -errno. */
static int open_exactly(const struct gofer_server *server, int path_fd, uint32_t flags, struct gofer_attr *attr)
{
    if (path_fd < 0)
        return path_fd;
    int result = gofer_attr_at(server, path_fd, "", attr);
    if (result == 0)
        result = check_type(attr->mode);
    if (result == 0)
        result = gofer_reopen(server, path_fd, flags);
    close(path_fd);
    return result;
}

/* An immutable tree that is served read-only: nobody swaps what a name names between looking at it and opening it. */
bool gofer_is_fixed(const struct gofer_tree *tree)
{
    return (tree->flags & GOFER_TREE_IMMUTABLE) && !(tree->flags & GOFER_TREE_WRITABLE);
}

/*
 * The same in three host calls instead of five, for a fixed tree: looks at the name, opens the name, looks at what was
 * opened. If somebody does change it in between, a FIFO may be opened, but without waiting, and only to be closed again.
 */
int gofer_open_name(const struct gofer_server *server, int dir, const char *name, uint32_t flags, struct gofer_attr *attr)
{
    int error = gofer_attr_at(server, dir, name, attr);
    if (error == 0)
        error = check_type(attr->mode);
    if (error < 0)
        return error;
    int fd = gofer_openat2(dir, name, flags | O_NONBLOCK | O_NOCTTY, 0);
    if (fd < 0)
        return fd;
    error = gofer_attr_at(server, fd, "", attr);
    if (error == 0)
        error = check_type(attr->mode);
    if (error == 0)
        return fd;
    close(fd);
    return error;
}

static int open_by_name(struct gofer_server *server, uint32_t tree, const struct gofer_request_path *path, uint32_t flags,
                        struct gofer_attr *attr)
{
    struct gofer_dir parent;
    const char *name;
    int result = gofer_open_parent(server, tree, path->bytes, path->len, &parent, &name);

    if (result < 0)
        return result;
    result = gofer_open_name(server, parent.fd, name, flags, attr);
    gofer_release_dir(&parent);
    return result;
}

int gofer_answer_open(struct gofer_server *server, const unsigned char *body, uint32_t body_len, unsigned char *reply,
                       int *fds, int *n_fds)
{
    struct gofer_open request;
    struct gofer_attr attr;
    struct gofer_request_path path;

    GOFER_TAKE(request, path, body, body_len);
    const struct gofer_tree *tree = gofer_find_tree(server, request.tree);
    if (!tree || (request.flags & ~(uint32_t)ACCEPTED_OPEN_FLAGS) || (request.flags & O_ACCMODE) == O_ACCMODE)
        return -EINVAL;
    /* The mount says so too; this one also holds for a file that could be changed through another mount. */
    if (changes_file(request.flags) && !(tree->flags & GOFER_TREE_WRITABLE))
        return -EROFS;
    bool by_name = gofer_is_fixed(tree) && path.len;
    int fd = by_name ? open_by_name(server, request.tree, &path, request.flags, &attr)
                     : open_exactly(server, gofer_open_path(server, request.tree, path.bytes, path.len), request.flags, &attr);
    if (fd < 0)
        return fd;
    if (request.flags & O_TRUNC) {
        int error = gofer_attr_at(server, fd, "", &attr);
        if (error < 0) {
            close(fd);
            return error;
        }
    }
    fds[0] = fd;
    *n_fds = 1;
    memcpy(reply, &attr, sizeof(attr));
    return sizeof(attr);
}

/* A name that a request brings along: the next of the NUL-ended ones, or NULL if it is none. */
static const char *next_name(const char **at, const char *end)
{
    const char *name = *at;
    const char *nul = memchr(name, '\0', (size_t)(end - name));

    if (!nul || gofer_check_path(name, (uint32_t)(nul - name)) < 0 || nul == name || memchr(name, '/', (size_t)(nul - name)))
        return NULL;
    *at = nul + 1;
    return name;
}

int gofer_answer_open_many(struct gofer_server *server, const unsigned char *body, uint32_t body_len,
                           unsigned char *reply, int *fds, int *n_fds)
{
    struct gofer_open_many request;
    struct gofer_open_many_reply head = {0};
    struct gofer_request_path path;
    struct gofer_dir dir;
    struct gofer_attr attr;
    int32_t errors[GOFER_FDS_MAX];

    if (body_len < sizeof(request))
        return -EPROTO;
    memcpy(&request, body, sizeof(request));
    if (request.names_len > body_len - sizeof(request) || request.count > GOFER_FDS_MAX)
        return -EPROTO;
    uint32_t names_at = body_len - request.names_len;
    int error = gofer_take_path(&path, body, names_at, sizeof(request), request.path_len);
    if (error < 0)
        return error;
    const struct gofer_tree *tree = gofer_find_tree(server, request.tree);
    if (!tree)
        return -EINVAL;
    error = gofer_open_dir(server, request.tree, path.bytes, path.len, &dir);
    if (error < 0)
        return error;
    const char *at = (const char *)body + names_at;
    for (; head.count < request.count; head.count++) {
        const char *name = next_name(&at, (const char *)body + body_len);
        int fd = -EINVAL;
        if (name)
            fd = gofer_is_fixed(tree) ? gofer_open_name(server, dir.fd, name, O_RDONLY, &attr)
                                      : open_exactly(server, gofer_openat2(dir.fd, name, O_PATH, 0), O_RDONLY, &attr);
        if (fd >= 0 && !S_ISREG(attr.mode)) {
            close(fd);
            fd = -EISDIR;
        }
        errors[head.count] = fd < 0 ? -fd : 0;
        if (fd >= 0)
            fds[(*n_fds)++] = fd;
        if (!name) {
            head.count++;
            break;
        }
    }
    gofer_release_dir(&dir);
    memcpy(reply, &head, sizeof(head));
    memcpy(reply + sizeof(head), errors, head.count * sizeof(*errors));
    return (int)(sizeof(head) + head.count * sizeof(*errors));
}

/* Gives a new file to its owner, then sets the bits that the change of owner took away. 0 or a negative errno. EPERM of
 * a gofer that cannot give away is none: its trees say so. */
static int give(const struct gofer_server *server, const struct gofer_tree *tree, int fd, const struct gofer_create *request)
{
    uint32_t uid, gid;

    if ((request->uid == GOFER_NO_ID && request->gid == GOFER_NO_ID) || (tree->flags & GOFER_TREE_ONE_OWNER))
        return 0;
    int error = gofer_own_ids(server, request->uid, request->gid, &uid, &gid);
    if (error < 0)
        return error;
    if (fchown(fd, uid, gid) < 0 && errno != EPERM) /* EPERM: a file system without owners; the attributes tell */
        return -errno;
    return (request->mode & 07000) && fchmod(fd, request->mode) < 0 ? -errno : 0;
}

int gofer_answer_create(struct gofer_server *server, const unsigned char *body, uint32_t body_len,
                         unsigned char *reply, int *fds, int *n_fds)
{
    struct gofer_create request;
    struct gofer_attr attr;
    struct gofer_dir parent;
    struct gofer_request_path path;
    const char *name;

    GOFER_TAKE(request, path, body, body_len);
    const struct gofer_tree *tree = gofer_find_tree(server, request.tree);
    if (!tree || (request.flags & ~(uint32_t)ACCEPTED_CREATE_FLAGS) || (request.flags & O_ACCMODE) == O_ACCMODE ||
        (request.mode & ~07777u))
        return -EINVAL;
    if (!(tree->flags & GOFER_TREE_WRITABLE))
        return -EROFS;
    int error = gofer_open_parent(server, request.tree, path.bytes, path.len, &parent, &name);
    if (error < 0)
        return error == -EBUSY ? -EEXIST : error;
    /* O_EXCL: what is there already, a FIFO perhaps, is not opened. */
    int fd = gofer_openat2(parent.fd, name, request.flags | O_CREAT | O_EXCL | O_NOCTTY | O_NONBLOCK, request.mode);
    error = fd < 0 ? fd : give(server, tree, fd, &request);
    if (error < 0 && fd >= 0)
        unlinkat(parent.fd, name, 0);
    gofer_release_dir(&parent);
    if (error == 0)
        error = gofer_attr_at(server, fd, "", &attr);
    if (error < 0) {
        if (fd >= 0)
            close(fd);
        return error;
    }
    fds[0] = fd;
    *n_fds = 1;
    memcpy(reply, &attr, sizeof(attr));
    return sizeof(attr);
}
