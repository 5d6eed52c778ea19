/*
 * The requests that C answers: HELLO, WALK and STATFS here, READDIR, OPEN and CREATE in files of their own; all others
 * go to the fallback.
 *
 * Owns decoding and answering. Each function gets a body that is only known to be body_len bytes long, and returns
 * the length of the reply body or a negative errno: EPROTO for a body that can't be taken apart, EINVAL for values
 * that mean nothing.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <unistd.h>

#include "server.h"

#define TARGET_MAX 4096

/* Takes the path that fills the rest of the body after `fixed` bytes. 0 or a negative errno. */
int gofer_take_path(struct gofer_request_path *path, const unsigned char *body, uint32_t body_len, size_t fixed,
                    uint32_t path_len)
{
    if (body_len - fixed != path_len)
        return -EPROTO;
    if (path_len > GOFER_PATH_MAX)
        return -ENAMETOOLONG;
    memcpy(path->bytes, body + fixed, path_len);
    path->bytes[path_len] = '\0';
    path->len = path_len;
    return gofer_check_path(path->bytes, path_len);
}

/*
 * Attributes of `name` in `dir` and, of a symlink, the target; both from one inode even while the host replaces it.
 * Returns the target's length (0: no symlink) or a negative errno.
 */
static int attr_and_target(const struct gofer_server *server, int dir, const char *name, struct gofer_attr *attr,
                           char *target)
{
    int error = gofer_attr_at(server, dir, name, attr);

    if (error < 0 || !S_ISLNK(attr->mode))
        return error;
    int fd = gofer_openat2(dir, name, O_PATH, 0);
    if (fd < 0)
        return fd;
    error = gofer_attr_at(server, fd, "", attr);
    if (error == 0 && S_ISLNK(attr->mode)) {
        ssize_t size = readlinkat(fd, "", target, TARGET_MAX);
        error = size < 0 ? -errno : (int)size;
    }
    close(fd);
    return error;
}

/* --- WALK --- */

struct walk_state {
    struct gofer_server *server;
    uint32_t tree;
    struct gofer_attr *attrs;
    struct gofer_walk_reply *head;
    char *target;
    bool wants_open;
    int fd; /* of the last component, or -1 */
};

/* Answers the last component `name` in `dir`; a failure is the walk's stop, not the request's. */
static void walk_last(struct walk_state *walk, int dir, const char *name)
{
    if (walk->wants_open) {
        struct gofer_attr *attr = &walk->attrs[walk->head->count];
        int fd = gofer_open_name(walk->server, dir, name, O_RDONLY, attr);
        if (fd >= 0 && S_ISREG(attr->mode)) {
            walk->fd = fd;
            walk->head->count++;
            return;
        }
        if (fd >= 0)
            close(fd);
    }
    int size = attr_and_target(walk->server, dir, name, &walk->attrs[walk->head->count], walk->target);

    if (size < 0) {
        walk->head->stop = (uint32_t)-size;
        return;
    }
    walk->head->count++;
    walk->head->target_len = (uint32_t)size;
}

/* Answers path[at..] below *dir until something stops it; cuts the path into names in place. */
static void walk_components(struct walk_state *walk, struct gofer_dir *dir, struct gofer_request_path *path, uint32_t at,
                            uint32_t limit)
{
    struct gofer_walk_reply *head = walk->head;

    for (;;) {
        char *name = path->bytes + at;
        char *slash = memchr(name, '/', path->len - at);
        if (head->count == limit) {
            head->stop = E2BIG;
            return;
        }
        if (!slash) {
            walk_last(walk, dir->fd, name);
            return;
        }
        uint32_t end = (uint32_t)(slash - path->bytes);
        struct gofer_attr *attr = &walk->attrs[head->count];
        *slash = '\0';
        int error = gofer_enter_dir(walk->server, walk->tree, path->bytes, end, dir, name, attr);
        if (error == 0 && !S_ISDIR(attr->mode)) {
            /* The step above did not keep its descriptor: read again, with the target. */
            walk->wants_open = false;
            walk_last(walk, dir->fd, name);
            if (head->stop == 0)
                head->stop = S_ISLNK(attr->mode) ? ELOOP : S_ISDIR(attr->mode) ? E2BIG : ENOTDIR;
            return;
        }
        *slash = '/'; /* the cache knows directories by their whole path */
        if (error < 0) {
            head->stop = (uint32_t)-error;
            return;
        }
        head->count++;
        at = end + 1;
    }
}

static int answer_walk(struct gofer_server *server, const unsigned char *body, uint32_t body_len, unsigned char *reply,
                       uint32_t cap, int *fds, int *n_fds)
{
    struct gofer_walk request;
    struct gofer_walk_reply head = {0};
    struct gofer_request_path path;
    struct gofer_dir dir;
    char target[TARGET_MAX];
    const uint32_t limit = (uint32_t)((cap - sizeof(head) - TARGET_MAX) / sizeof(struct gofer_attr));
    struct walk_state walk = {.server = server,
                              .attrs = (struct gofer_attr *)(void *)(reply + sizeof(head)),
                              .head = &head,
                              .target = target,
                              .fd = -1};

    GOFER_TAKE(request, path, body, body_len);
    walk.tree = request.tree;
    const struct gofer_tree *tree = gofer_find_tree(server, request.tree);
    bool has_base = request.flags & GOFER_WALK_BASE;
    walk.wants_open = request.flags & GOFER_WALK_OPEN;
    if (!tree || (request.flags & ~(uint32_t)(GOFER_WALK_BASE | GOFER_WALK_OPEN)) ||
        (has_base && (!request.base_len || request.base_len == path.len)) ||
        (walk.wants_open && (!gofer_is_fixed(tree) || !path.len)))
        return -EINVAL;
    if (request.base_len > path.len || (request.base_len && request.base_len < path.len &&
                                        path.bytes[request.base_len] != '/'))
        return -EINVAL;
    if (path.len == 0) {
        walk_last(&walk, tree->fd, "");
    } else if (request.base_len == path.len) {
        const char *name;
        int error = gofer_open_parent(server, request.tree, path.bytes, path.len, &dir, &name);
        if (error < 0)
            return error;
        walk_last(&walk, dir.fd, name);
        gofer_release_dir(&dir);
    } else {
        int error = gofer_open_dir(server, request.tree, path.bytes, request.base_len, &dir);
        if (error < 0)
            return error;
        if (has_base) {
            error = gofer_attr_at(server, dir.fd, "", &walk.attrs[head.count++]);
            if (error < 0) {
                gofer_release_dir(&dir);
                return error;
            }
        }
        walk_components(&walk, &dir, &path, request.base_len ? request.base_len + 1 : 0, limit);
        gofer_release_dir(&dir);
    }
    if (walk.fd >= 0)
        fds[(*n_fds)++] = walk.fd;
    memcpy(reply, &head, sizeof(head));
    uint32_t size = (uint32_t)(sizeof(head) + head.count * sizeof(struct gofer_attr));
    memcpy(reply + size, target, head.target_len);
    return (int)(size + head.target_len);
}

/* --- STATFS, HELLO --- */

static int answer_statfs(struct gofer_server *server, const unsigned char *body, uint32_t body_len,
                         unsigned char *reply)
{
    struct gofer_path request;
    struct gofer_request_path path;
    struct statfs fs;
    struct gofer_statfs_reply answer;

    GOFER_TAKE(request, path, body, body_len);
    int fd = gofer_open_path(server, request.tree, path.bytes, path.len);
    if (fd < 0)
        return fd;
    int error = fstatfs(fd, &fs) < 0 ? -errno : 0;
    close(fd);
    if (error < 0)
        return error;
    answer = (struct gofer_statfs_reply){
        .type = (uint64_t)fs.f_type,
        .block_size = (uint64_t)fs.f_bsize,
        .fragment_size = (uint64_t)fs.f_frsize,
        .blocks = fs.f_blocks,
        .blocks_free = fs.f_bfree,
        .blocks_available = fs.f_bavail,
        .files = fs.f_files,
        .files_free = fs.f_ffree,
        .fsid = (uint64_t)(uint32_t)fs.f_fsid.__val[0] | (uint64_t)(uint32_t)fs.f_fsid.__val[1] << 32,
        .name_max = (uint64_t)fs.f_namelen,
        .flags = (uint64_t)fs.f_flags,
    };
    memcpy(reply, &answer, sizeof(answer));
    return sizeof(answer);
}

static int answer_hello(struct gofer_server *server, const unsigned char *body, uint32_t body_len,
                        unsigned char *reply)
{
    struct gofer_hello request;
    struct gofer_hello_reply answer = {
        .version = GOFER_PROTOCOL_VERSION, .message_max = GOFER_MESSAGE_MAX, .n_trees = server->n_trees};

    if (body_len != sizeof(request))
        return -EPROTO;
    memcpy(&request, body, sizeof(request));
    if (request.version != GOFER_PROTOCOL_VERSION)
        return -EPROTONOSUPPORT;
    server->greeted = true;
    memcpy(reply, &answer, sizeof(answer));
    for (uint32_t i = 0; i < server->n_trees; i++)
        memcpy(reply + sizeof(answer) + i * sizeof(uint32_t), &server->trees[i].flags, sizeof(uint32_t));
    return (int)(sizeof(answer) + server->n_trees * sizeof(uint32_t));
}

int gofer_answer(struct gofer_server *server, uint32_t op, const unsigned char *body, uint32_t body_len,
                 unsigned char *reply, uint32_t cap, int *fds, int *n_fds)
{
    if (op == GOFER_HELLO)
        return answer_hello(server, body, body_len, reply);
    if (!server->greeted)
        return -EPROTO;
    switch (op) {
    case GOFER_WALK:
        return answer_walk(server, body, body_len, reply, cap, fds, n_fds);
    case GOFER_READDIR:
        return gofer_answer_readdir(server, body, body_len, reply, cap);
    case GOFER_LIST:
        return gofer_answer_list(server, body, body_len, reply, cap);
    case GOFER_OPEN:
        return gofer_answer_open(server, body, body_len, reply, fds, n_fds);
    case GOFER_OPEN_MANY:
        return gofer_answer_open_many(server, body, body_len, reply, fds, n_fds);
    case GOFER_STATFS:
        return answer_statfs(server, body, body_len, reply);
    case GOFER_CREATE:
        return gofer_answer_create(server, body, body_len, reply, fds, n_fds);
    default:
        if (op > GOFER_OPEN_PTY || op == 0)
            return -ENOSYS;
        return server->fallback(server, op, body, body_len, reply, cap, fds, n_fds);
    }
}
