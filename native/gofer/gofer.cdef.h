/* What gofer/server.py uses of server.h, for cffi. The structs come from protocol.h, client.h and setup.h. */
struct gofer_server;
typedef int (*gofer_fallback)(struct gofer_server *server, uint32_t op, const unsigned char *body, uint32_t body_len,
                              unsigned char *reply, uint32_t cap, int *fds, int *n_fds);

struct gofer_server *gofer_server_new(int sock, int proc_fd, gofer_fallback fallback);
void gofer_server_free(struct gofer_server *server);
int gofer_server_add_tree(struct gofer_server *server, int fd, uint32_t flags);
void gofer_server_map_ids(struct gofer_server *server, uint32_t overflow, uint32_t uid_inside, uint32_t uid,
                          uint32_t gid_inside, uint32_t gid);
int gofer_server_add_range(struct gofer_server *server, int is_group, uint32_t inside, uint32_t host, uint32_t count);
int gofer_own_ids(const struct gofer_server *server, uint32_t uid, uint32_t gid, uint32_t *own_uid, uint32_t *own_gid);
int gofer_server_run(struct gofer_server *server, uint32_t spin_ns, int is_following);
int gofer_refuse(int sock, int error, const char *step, uint32_t step_len);

int gofer_openat2(int dir, const char *name, uint64_t flags, uint64_t mode);
int gofer_open_parent_fd(struct gofer_server *server, uint32_t tree, const char *path, uint32_t len, uint32_t *name_at);
int gofer_open_path(struct gofer_server *server, uint32_t tree, const char *path, uint32_t len);
int gofer_reopen(const struct gofer_server *server, int path_fd, uint32_t flags);
int gofer_attr_at(const struct gofer_server *server, int dir, const char *name, struct gofer_attr *attr);

extern "Python" int gofer_python_request(struct gofer_server *server, uint32_t op, const unsigned char *body,
                                         uint32_t body_len, unsigned char *reply, uint32_t cap, int *fds, int *n_fds);
