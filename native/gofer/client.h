/*
 * The sentry's side of the gofer protocol, in C: one request, one reply, on a blocking call.
 *
 * Owns framing, the receive buffer, and noticing that the gofer died. Does not own what answers mean. It depends on
 * nothing else in native/, and is linked into both pysentry._native and gofer._native.
 * cffi reads this file as it is, minus the lines that start with '#'.
 */
#ifndef GOFER_CLIENT_H
#define GOFER_CLIENT_H

#include <stdint.h>

#include "protocol.h"

struct gofer_client {
    int fd;
    uint32_t next_id;
    uint32_t spin_ns; /* how long to look for the reply before sleeping in poll(2) */
    int dead;         /* set once the gofer hung up or broke the protocol; every later call is -ECONNRESET */
    uint64_t calls;
    uint64_t sleeps; /* replies that spinning did not catch */
    uint64_t message[8192];
};

/* Pointers into the client's buffer: good until its next call. */
struct gofer_walk_answer {
    const struct gofer_attr *base;  /* GOFER_WALK_BASE: of the directory */
    const struct gofer_attr *attrs; /* one for each component answered */
    const char *target;             /* of the last one if it is a symlink; no NUL */
    uint32_t count;
    uint32_t target_len;
    uint32_t stop; /* see struct gofer_walk_reply */
    int fd;        /* GOFER_WALK_OPEN: of the last component, the caller's to close; -1: none */
};

struct gofer_readdir_answer {
    const unsigned char *entries; /* struct gofer_dirent; each was checked to lie within entries_len */
    uint32_t entries_len;
    uint32_t count;
    uint64_t next_cookie;
    int eof;
    struct gofer_attr directory;
};

/* All return a negative errno on failure; -ECONNRESET: there is no gofer any more (or client->dead was set before). */

void gofer_client_init(struct gofer_client *client, int fd, uint32_t spin_ns);

/* Says HELLO, once, before anything else. Returns the number of trees; `flags` gets enum gofer_tree_flags of the
 * first `cap`. If the gofer's set-up failed: its errno, negative, and the name of the step in `step` (NUL-ended). */
int gofer_hello(struct gofer_client *client, uint32_t *flags, uint32_t cap, char *step, uint32_t step_cap);

/* Attributes of the components of path[base_len..path_len). Returns 0. */
int gofer_walk(struct gofer_client *client, uint32_t tree, const char *path, uint32_t path_len, uint32_t base_len,
               uint32_t flags, struct gofer_walk_answer *answer);

/* One page of a directory; start with cookie 0, go on with answer->next_cookie until answer->eof. Returns 0. */
int gofer_readdir(struct gofer_client *client, uint32_t tree, const char *path, uint32_t path_len, uint64_t cookie,
                  struct gofer_readdir_answer *answer);

struct gofer_list_answer {
    const struct gofer_attr *attrs; /* of the first n_attrs directories among the entries */
    uint32_t n_attrs;
    const unsigned char *entries; /* struct linux_dirent64; each was checked to lie within entries_len and to end its name */
    uint32_t entries_len;
    int eof;
    uint64_t next_cookie;
};

/* The same with names, and attributes of directories only. */
int gofer_list(struct gofer_client *client, uint32_t tree, const char *path, uint32_t path_len, uint64_t cookie,
               struct gofer_list_answer *answer);

/* Returns a close-on-exec, non-blocking descriptor, and its attributes at the time. */
int gofer_open(struct gofer_client *client, uint32_t tree, const char *path, uint32_t path_len, uint32_t flags,
               struct gofer_attr *attr);

/* Regular files of one directory of an immutable tree, for reading. `names`: `count` (at most GOFER_FDS_MAX) of them, each
 * ended by NUL, names_len bytes in all. fds[i] is a descriptor as gofer_open's or a negative errno. Returns 0. */
int gofer_open_many(struct gofer_client *client, uint32_t tree, const char *path, uint32_t path_len, const char *names,
                    uint32_t names_len, uint32_t count, int *fds);

/*
 * Any request: `body` is what follows the header. Copies the reply's body to `reply` and up to *n_fds descriptors to
 * fds (the rest are closed; fds and n_fds may be NULL). Returns the body's length; -EMSGSIZE if it exceeds `cap`.
 */
int gofer_call(struct gofer_client *client, uint32_t op, const void *body, uint32_t body_len, void *reply,
               uint32_t cap, int *fds, int *n_fds);

#endif
