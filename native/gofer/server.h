/*
 * The gofer's side: state shared by the files that answer requests (server.c, paths.c, requests.c).
 *
 * Everything that comes from the sentry is hostile: lengths, tree numbers, paths. Nothing here trusts a count before
 * it was compared with the bytes that arrived.
 */
#ifndef GOFER_SERVER_H
#define GOFER_SERVER_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "protocol.h"

#define GOFER_TREES_MAX 256
#define GOFER_DIR_SLOTS 128 /* cached directory descriptors, a power of two */

/* One tree that is served; fd is O_PATH on its root. */
struct gofer_tree {
    int fd;
    uint32_t flags; /* enum gofer_tree_flags */
};

/* A cached directory descriptor of an immutable tree. `path` is malloc'ed; NULL marks a free slot. */
struct gofer_dir_slot {
    char *path;
    uint32_t path_len;
    uint32_t tree;
    int fd;
};

/* The last READDIR that was not finished: its descriptor waits for the next page. fd is -1 when there is none. */
struct gofer_listing {
    char *path;
    uint32_t path_len;
    uint32_t tree;
    uint64_t cookie;
    int fd;
};

struct gofer_id_range {
    uint32_t inside; /* first number in the sandbox */
    uint32_t host;   /* first number on the host */
    uint32_t count;
};

#define GOFER_RANGES_MAX 340u /* as user_namespaces(7) */
#define GOFER_OVERFLOW_ID 65534u

/*
 * Two steps. The gofer's own user namespace: `overflow` (0: none) is what it shows for ids without a number, taken for 0,
 * and `inside` (0: none) is the host's `outside`. Then, if there are any, the sandbox's ranges.
 */
struct gofer_id_map {
    uint32_t overflow;
    uint32_t inside;
    uint32_t outside;
    uint32_t n_ranges;
    struct gofer_id_range *ranges;
};

struct gofer_server;

/*
 * Answers one request that C does not: writes at most `cap` bytes of body to `reply` and descriptors to fds[0..*n_fds)
 * (the server sends and closes them). Returns the body's length or a negative errno.
 */
typedef int (*gofer_fallback)(struct gofer_server *server, uint32_t op, const unsigned char *body, uint32_t body_len,
                              unsigned char *reply, uint32_t cap, int *fds, int *n_fds);

struct gofer_server {
    int sock;
    int proc_fd; /* /proc/self/fd: the way from an O_PATH descriptor to an open file */
    uint32_t n_trees;
    uint16_t cpu; /* + 1, where `follow` went; 0: anywhere */
    bool greeted; /* HELLO was answered */
    gofer_fallback fallback;
    struct gofer_id_map uid_map;
    struct gofer_id_map gid_map;
    struct gofer_tree trees[GOFER_TREES_MAX];
    struct gofer_dir_slot dirs[GOFER_DIR_SLOTS];
    struct gofer_listing listing;
    /* One spare byte tells a message of exactly the maximum from a longer one. */
    _Alignas(8) unsigned char request[GOFER_MESSAGE_MAX + 8];
    _Alignas(8) unsigned char reply[GOFER_MESSAGE_MAX];
};

/* The path of a request, copied so that it ends with a NUL. */
struct gofer_request_path {
    uint32_t len;
    char bytes[GOFER_PATH_MAX + 1];
};

/* Takes a request's fixed part and the path that fills the rest of its body, or returns from the caller. */
#define GOFER_TAKE(request, path, body, body_len) \
    do { \
        if ((body_len) < sizeof(request)) \
            return -EPROTO; \
        memcpy(&(request), (body), sizeof(request)); \
        int take_error = gofer_take_path(&(path), (body), (body_len), sizeof(request), (request).path_len); \
        if (take_error < 0) \
            return take_error; \
    } while (0)

/* A directory to work in: released, not closed, as it may belong to the cache. */
struct gofer_dir {
    int fd;
    bool owned;
};

/* server.c */
struct gofer_server *gofer_server_new(int sock, int proc_fd, gofer_fallback fallback);
void gofer_server_free(struct gofer_server *server);
int gofer_server_add_tree(struct gofer_server *server, int fd, uint32_t flags);
void gofer_server_map_ids(struct gofer_server *server, uint32_t overflow, uint32_t uid_inside, uint32_t uid,
                          uint32_t gid_inside, uint32_t gid);
int gofer_server_add_range(struct gofer_server *server, int is_group, uint32_t inside, uint32_t host, uint32_t count);
int gofer_server_run(struct gofer_server *server, uint32_t spin_ns, int is_following);
int gofer_refuse(int sock, int error, const char *step, uint32_t step_len);

/* ids.c */
uint32_t gofer_show_id(const struct gofer_id_map *map, uint32_t id);
int gofer_own_id(const struct gofer_id_map *map, uint32_t id, uint32_t *own);
int gofer_own_ids(const struct gofer_server *server, uint32_t uid, uint32_t gid, uint32_t *own_uid, uint32_t *own_gid);

/* paths.c */
int gofer_check_path(const char *path, uint32_t len);
const struct gofer_tree *gofer_find_tree(const struct gofer_server *server, uint32_t tree);
int gofer_openat2(int dir, const char *name, uint64_t flags, uint64_t mode);
int gofer_open_dir(struct gofer_server *server, uint32_t tree, const char *path, uint32_t len, struct gofer_dir *dir);
int gofer_enter_dir(struct gofer_server *server, uint32_t tree, const char *path, uint32_t len, struct gofer_dir *dir,
                    const char *name, struct gofer_attr *attr);
void gofer_release_dir(struct gofer_dir *dir);
int gofer_open_parent(struct gofer_server *server, uint32_t tree, const char *path, uint32_t len,
                      struct gofer_dir *parent, const char **name);
int gofer_open_parent_fd(struct gofer_server *server, uint32_t tree, const char *path, uint32_t len, uint32_t *name_at);
int gofer_open_path(struct gofer_server *server, uint32_t tree, const char *path, uint32_t len);
int gofer_reopen(const struct gofer_server *server, int path_fd, uint32_t flags);
int gofer_attr_at(const struct gofer_server *server, int dir, const char *name, struct gofer_attr *attr);

/* requests.c, readdir.c, open.c: each answer returns the reply body's length or a negative errno. */
int gofer_take_path(struct gofer_request_path *path, const unsigned char *body, uint32_t body_len, size_t fixed,
                    uint32_t path_len);
int gofer_answer_list(struct gofer_server *server, const unsigned char *body, uint32_t body_len, unsigned char *reply,
                      uint32_t cap);
int gofer_answer_readdir(struct gofer_server *server, const unsigned char *body, uint32_t body_len,
                         unsigned char *reply, uint32_t cap);
int gofer_answer_open_many(struct gofer_server *server, const unsigned char *body, uint32_t body_len,
                           unsigned char *reply, int *fds, int *n_fds);
bool gofer_is_fixed(const struct gofer_tree *tree); /* nobody changes it, nor do we */
int gofer_open_name(const struct gofer_server *server, int dir, const char *name, uint32_t flags, struct gofer_attr *attr);
int gofer_answer_open(struct gofer_server *server, const unsigned char *body, uint32_t body_len, unsigned char *reply,
                      int *fds, int *n_fds);
int gofer_answer_create(struct gofer_server *server, const unsigned char *body, uint32_t body_len,
                        unsigned char *reply, int *fds, int *n_fds);
int gofer_answer(struct gofer_server *server, uint32_t op, const unsigned char *body, uint32_t body_len,
                 unsigned char *reply, uint32_t cap, int *fds, int *n_fds);

#endif
