/* sentry.h - the state that the C engine, the C fast paths and Python share.
 *
 * cffi reads this file as it is: no #include, no macros but plain numbers. There is no second copy of
 * anything declared here: Python holds pointers to these structs and reads their fields.
 * One thread owns all of it (DESIGN.md section 3), so nothing is locked and counts are plain integers.
 */

/* ---- results of a trap -------------------------------------------------------------------------
 * A handler answers with a value >= 0, a negative errno, or one of these (no errno is below -4095). */
#define SENTRY_PUNT     -5000 /* fast path: not mine, nothing was changed; ask Python */
#define SENTRY_PARKED   -5001 /* answered later: the task waits in the engine */
#define SENTRY_CONTINUE -5002 /* let the host kernel run the call as it stands */

/* Restart codes of the host kernel: its signal code turns them into a restart or EINTR. */
#define ERESTARTSYS    512
#define ERESTARTNOHAND 514

/* ---- files --------------------------------------------------------------------------------------*/
enum fs_kind { FS_TREE, FS_GOFER, FS_PROC, FS_SYS, FS_PTS, FS_ANON, FS_BIND }; /* FS_BIND: Python's alone */

#define SB_RDONLY   1
#define SB_NOSUID   2
#define SB_NODEV    4
#define SB_NOEXEC   8
#define SB_CACHED  16 /* nobody else changes the host tree: attributes and misses stay true */
#define SB_OVERFLOW_ROOT 32 /* reserved */
#define SB_LIMITED 64 /* a tree with a size limit: Python makes its files */
#define SB_NOSYMFOLLOW 128
#define SB_NOATIME 256
#define SB_NODIRATIME 512
#define SB_STRICTATIME 1024
#define SB_UNBINDABLE 2048

/* One mounted file system. Every mount has its own superblock, so a path is just a dentry. */
struct superblock {
    uint32_t id;
    uint32_t kind;          /* enum fs_kind */
    uint32_t flags;         /* SB_* */
    int32_t  tree;          /* the gofer's tree number below this file system; -1: none */
    uint64_t dev;           /* st_dev */
    uint64_t next_ino;
    struct dentry *root;
    struct dentry *covered; /* the dentry it is mounted on; NULL for the first root */
    int32_t  store;         /* directory of a tmpfs of its own for content, with a size limit; -1: the common one */
    uint64_t store_dev;
    int64_t  lease_ns;      /* FS_GOFER: how long the gofer's answers are believed (vfs/lease.c); 0: not at all, unless SB_CACHED */
};

#define INODE_LIVE      1  /* size, blocks and mtime are the host descriptor's: ask fstat(host_fd) */
#define INODE_UPPER     2  /* lives in memory (memfd, directory or symlink made here); changes stay here */
#define INODE_PYTHON    4  /* Python generates content or attributes: fast paths punt */
#define INODE_COMPLETE  8  /* directory: every child has a dentry; a name without one does not exist */
#define INODE_HOSTDEV  16  /* character device served by duplicating host_fd (null, zero, full, random) */
#define INODE_LOCKS    32  /* Python keeps locks on it: tell Python when a descriptor is closed */
#define INODE_OVERLAID 64  /* directory with a lower host directory and changes on top (whiteouts, upper children) */

#define INODE_WATCHED 128  /* Python has an inotify watch on it or (for a directory) on what is in it: fast paths that change it punt */
#define INODE_STORED 512   /* content has a name in the store: ask inode_host_fd(), host_fd may be closed */
#define INODE_OWNED 1024 /* of a bind whose gofer cannot give files away: owner and group are kept here, the dentry is pinned */
#define INODE_NOATIME 16384 /* content was last opened where it keeps no time of access: opening is Python's */
#define INODE_LEASED 4096 /* Python keeps a lease on it: opening and truncating are Python's */
#define INODE_FILE_CAPS 8192 /* in memory: its security.capability holds; gone with the first change of content or owner */
#define INODE_SHARED 2048 /* of a bind: a file with several names (vfs/lease.c) */
#define INODE_ATTACHED 256 /* Python keeps something by its id (xattrs, a FIFO): tell it when the inode goes */

struct inode {
    uint64_t id;            /* never reused; key of what Python keeps about it */
    struct superblock *sb;
    uint32_t refs;          /* dentries and descriptions that point here */
    uint32_t flags;         /* INODE_* */
    uint32_t mode, uid, gid, nlink;
    uint64_t ino, dev, rdev;
    int64_t  size, blocks;  /* bytes; 512-byte units */
    int64_t  blksize;
    int64_t  atime_ns, mtime_ns, ctime_ns, btime_ns;
    int32_t  host_fd;       /* content (read-write) or device; -1: none, the gofer opens it, or INODE_STORED */
    uint32_t held_at;       /* content.c: place among the open ones; 0: none */
    char    *symlink;       /* target, NUL-terminated; NULL unless a symlink */
    char    *lower_path;    /* path in the gofer's tree where it differs from the dentry's own place; NULL: derived */
    union {
        int64_t  checked_ns; /* lower: when the attributes came from the gofer (CLOCK_MONOTONIC); 0: they did not, or are not true any more */
        uint64_t host_ino;   /* INODE_STORED: the host's number of the content */
    };
    int64_t  names_since_ns, names_checked_ns, names_ctime_ns; /* directory of a bind: see vfs/lease.c */
    uint32_t writers;        /* of a bind: descriptions open for writing */
    struct inode *shared_next;
};

#define DENTRY_PINNED   1  /* must not be dropped: made here, or a whiteout over the lower tree */
#define DENTRY_UNHASHED 2  /* unlinked or replaced: reachable only through descriptions */
#define DENTRY_LISTED   8  /* met while a directory is read; set only meanwhile */
#define DENTRY_USED     4  /* found since the last trim: a second chance */

/* A name in a directory. inode == NULL: the name is known not to exist. */
struct dentry {
    struct dentry *parent;  /* itself for a root */
    struct inode  *inode;
    struct superblock *sb;
    struct dentry *mounted; /* root dentry of the file system mounted here, or NULL */
    struct dentry *hash_next;
    struct dentry *first_child, *next_sibling, *prev_sibling;
    uint32_t refs;          /* descriptions, cwd, root, exe, mounts; children keep their parent by being linked */
    uint32_t flags;         /* DENTRY_* */
    int64_t  checked_ns;    /* of a bind: when the gofer last said so */
    uint32_t hash;
    uint32_t name_len;
    char    *name;          /* NUL-terminated */
};

enum desc_kind {
    DESC_FILE, DESC_DIR, DESC_PATH, DESC_PIPE, DESC_CHR, DESC_TTY, DESC_SOCKET, DESC_EPOLL, DESC_EVENTFD,
    DESC_TIMERFD, DESC_SIGNALFD, DESC_INOTIFY, DESC_PIDFD, DESC_PYTHON
};

#define DESC_GIVEN    1   /* came from outside: shared with strangers, never O_NONBLOCK */
#define DESC_PY_READ  2   /* read family goes to Python */
#define DESC_PY_WRITE 4   /* write family goes to Python */
#define DESC_PY_CLOSE 8   /* Python wants to know of the last close (description_gone) */
#define DESC_NO_POLL 16   /* always ready: regular files and devices without poll */
#define DESC_IN_EPOLL 32  /* registered in the engine's epoll set (edge-triggered) */
#define DESC_INPLACE 64   /* read/write may run in the workload on the same host description */
#define DESC_DONTWAIT 128 /* host_fd itself may block: use MSG_DONTWAIT / poll before I/O */
#define DESC_OWN_POS 256 /* host_fd is a dup of the inode's memfd: the file position is pos, all I/O is pread/pwrite */

#define DESC_REINSTALL 512 /* host_fd was replaced since it was opened: what the workload holds natively is stale */
#define DESC_WRITER 2048   /* counted in inode.writers */
#define DESC_CREATED 8192 /* by the open that made its file: F_CREATED_QUERY */
#define DESC_INET 4096     /* an AF_INET or AF_INET6 socket: Python makes an object for it when it needs one */
#define DESC_PY_POLL 16384 /* poll(2) asks Python; there may be no host_fd before epoll or poll wants one */
#define DESC_LOWER 1024    /* opened on a lower file of a tree: must follow when the inode is copied up (desc_follow_copy_up) */

/* An open file description: one host descriptor, shared by dup and fork. */
struct description {
    uint64_t id;            /* never reused; key of the Python object, if there is one */
    uint32_t refs;          /* descriptor slots, messages in flight, Python holds */
    uint32_t kind;          /* enum desc_kind */
    uint32_t flags;         /* DESC_* */
    uint32_t small_transfers; /* short reads and writes of a file so far: many make it worth installing */
    uint32_t open_flags;    /* O_ACCMODE | O_APPEND | O_NONBLOCK | ... as F_GETFL shows */
    int32_t  host_fd;       /* non-blocking unless DESC_GIVEN or a regular file; -1: none */
    struct dentry *dentry;  /* where it was opened; NULL for anonymous ones */
    struct inode  *inode;
    struct waiter *waiters; /* parked tasks */
    union {
        int64_t dir_pos;    /* directory: index of the next entry */
        int64_t pos;        /* DESC_OWN_POS: the file position */
    };
    struct dir_listing *listing; /* directory: snapshot taken at the first getdents */
    struct epoll_member *memberships; /* in epoll instances (engine/epoll_members.c) */
    struct epoll_member *members; /* epoll instance: what is in it */
    uint32_t member_count;
};

struct fd_slot {
    struct description *desc; /* NULL: free */
    uint32_t cloexec;
    uint32_t reserved;        /* a number promised to a call that has not finished */
    uint64_t native;          /* id of the description that the workload itself holds at this number; 0: none */
};

struct fd_table {
    uint32_t refs;          /* tasks */
    uint32_t capacity;
    uint32_t first_free;    /* no free slot below it */
    struct fd_slot *slots;
};

struct fs_context { uint32_t refs; uint32_t umask; struct dentry *root, *cwd; };

/* Immutable; replaced whole, as in Linux. */
struct credentials {
    uint32_t refs;
    uint32_t uid, euid, suid, fsuid, gid, egid, sgid, fsgid;
    uint64_t cap_permitted, cap_effective, cap_inheritable, cap_bounding, cap_ambient;
    uint32_t securebits, no_new_privs;
    uint32_t ngroups;
    uint32_t session_keyring; /* serial number, kernel/keys.py; 0: none */
    uint32_t *groups;         /* its own: cred_set_groups() */
};

struct tracing;
struct tracee_end;

/* ---- tasks --------------------------------------------------------------------------------------*/
struct thread_group {
    uint32_t refs;          /* tasks */
    int32_t  tgid;          /* host pid */
    int32_t  ns_tgid;       /* pid as the sandbox sees it; 0: not asked for yet */
    struct thread_group *parent; /* who forked it; NULL: pid 1 or orphaned */
    struct dentry *exe;
    uint64_t rlimit_cur[16], rlimit_max[16];
    int64_t  start_ns;      /* CLOCK_BOOTTIME */
    uint64_t exec_count;
    uint32_t not_dumpable;  /* PR_SET_DUMPABLE 0; virtual */
    int32_t  oom_score_adj, oom_score_adj_min; /* the lowest that it may go to without CAP_SYS_RESOURCE */
    uint32_t python_id;     /* of its Python object; 0: none yet */
    uint32_t signals_sent;  /* counts signals_changed() about it */
    uint32_t tracees;       /* tasks that it traces, and ends of such that it has not waited for (engine/tracee.c) */
    struct tracee_end *tracee_ends;
};

enum task_state { TASK_NEW, TASK_RUNNING, TASK_TRAPPED, TASK_PARKED, TASK_STOPPED, TASK_DEAD };

/* One system call that waits for its answer. */
struct trap {
    uint64_t cookie;        /* the engine's: notification id */
    uint64_t args[6];
    uint64_t ip;
    int32_t  nr;
    uint32_t retried;       /* how often it was taken up again after parking */
    int64_t  progress;      /* bytes already moved by earlier tries of a blocking call */
    int64_t  deadline_ns;   /* CLOCK_MONOTONIC; 0: none */
};

struct waiter {
    struct task *task;
    struct description *desc;
    struct waiter *next;    /* of the same description */
    uint32_t events;        /* POLL* asked for */
};

struct task {
    int32_t  tid;           /* host tid */
    int32_t  ns_tid;        /* as the sandbox sees it; 0: not asked for yet */
    uint32_t state;         /* enum task_state */
    uint32_t is_python_parked; /* parked: resume in Python (else: try the trap again) */
    struct thread_group *group;
    struct fd_table *files;
    struct fs_context *fs;
    struct credentials *cred;
    struct trap trap;       /* the call under way */
    struct waiter *waits;   /* array, while parked */
    uint32_t wait_count, wait_capacity;
    uint32_t is_waiting;    /* in the wait lists of the engine */
    uint32_t is_ready;      /* in line to be resumed */
    uint32_t is_interrupted; /* ... with its wait ended by a signal */
    struct task *ready_next;
    uint32_t python_known;  /* Python may keep state about it */
    uint32_t python_id;     /* of its Python object; 0: none yet */
    uint32_t signals_seen;  /* signals_sent, of its group and of all, when its pending ones were last looked at */
    uint32_t has_wait_mask; /* ppoll and its like: the wait has a signal mask of its own, wait_mask */
    uint64_t wait_mask;
    uint64_t wait_mask_addr; /* where the program keeps that mask; 0: nowhere */
    uint32_t restart;       /* ERESTARTSYS or ERESTARTNOHAND when a signal ends the wait */
    uint64_t heap_index;    /* in the deadline heap + 1; 0: not in it */
    struct task *hash_next;
    struct task *all_next, *all_prev;
    /* ptrace */
    uint32_t is_attached;   /* first stop seen */
    uint32_t is_announced;  /* its parent's fork event was handled */
    uint32_t in_exec;       /* 1: execveat of the stub under way, 2: stub runs, waits for its list, 3: it maps, 4: the seed, 5: its child */
    uint32_t exit_stop;     /* 1: a control call runs to its exit stop */
    uint32_t group_stopped;
    uint32_t exit_deferred; /* it died while a call of ours ran in it (control_wait_stop) */
    int32_t  exit_status;
    uint64_t held_signals;  /* came while a call of ours ran in it: sent again afterwards; bit N-1: signal N */
    uint32_t was_interrupted; /* the engine ended its last trap with a restart code */
    uint32_t by_regs;       /* see inject.c */
    uint32_t host_call;     /* see host_call.c */
    int64_t  host_result;
    uint32_t mask_swap;     /* see mask_swap.c */
    uint32_t trap_exit;     /* ptrace platform: an interrupted trap runs to its exit stop */
    uint32_t pdeath_signal;
    uint32_t is_strict;     /* seccomp's strict mode: kernel/strict_mode.py */
    uint64_t saved_regs[27];/* registers of the control call, as user_regs_struct */
    char     comm[16];
    /* ptrace(2) inside the sandbox */
    struct tracing *tracing; /* engine/tracing.h; NULL: nobody of the sandbox traces it */
    uint32_t exec_tells;    /* its stub says when the program begins: the tracer wants to see that */
    uint64_t exec_mask;     /* the program's signal mask; the stub's is full meanwhile */
    uint32_t is_replaced;   /* the call under way is no more than a place to return from: engine/tracee.c */
    int64_t  replaced_nr, replaced_result;
    uint32_t tracer_waits;  /* engine/tracer_wait.c */
};

/* Counted for the run report. */
struct sentry_stats {
    uint64_t calls;         /* traps received */
    uint64_t fast;          /* answered in C */
    uint64_t punts;         /* fast rows that Python had to answer */
    uint64_t python;        /* python rows */
    uint64_t control;       /* control rows */
    uint64_t native;        /* answered with continue */
    uint64_t parked, interrupted, unknown, forks, execs, signals;
    uint64_t gofer_calls;
    uint64_t internal_errors;
};
extern struct sentry_stats sentry_stats;

/* ---- user memory (native/engine/memory.c): bytes moved or -EFAULT (nothing moved at all) ---------*/
int64_t um_read(struct task *t, uint64_t addr, void *into, uint64_t size);
int64_t um_write(struct task *t, uint64_t addr, const void *from, uint64_t size);
int64_t um_read_some(struct task *t, uint64_t addr, void *into, uint64_t size);        /* short at a fault */
int64_t um_write_some(struct task *t, uint64_t addr, const void *from, uint64_t size);
int64_t um_read_cstr(struct task *t, uint64_t addr, char *into, uint64_t cap);         /* length; -ENAMETOOLONG */

/* ---- descriptors (native/engine/files.c) --------------------------------------------------------*/
struct description *desc_new(uint32_t kind, int host_fd, uint32_t open_flags);  /* refs = 1, owns host_fd */
void desc_ref(struct description *d);
void desc_unref(struct description *d);     /* last: closes host_fd, lets go of dentry and inode */
void desc_counts_writer(struct description *d); /* it was tied to its inode */
struct description *fd_get(struct task *t, int fd);                /* borrowed; NULL: EBADF */
int  fd_reserve(struct task *t, int lowest);                       /* number or -EMFILE; fd_install or fd_release it */
void fd_release(struct task *t, int fd);
void fd_install(struct task *t, int fd, struct description *d, uint32_t cloexec); /* takes over the caller's ref */
int  fd_alloc(struct task *t, struct description *d, uint32_t cloexec, int lowest); /* takes over the ref; on error drops it */
int  fd_close(struct task *t, int fd);                             /* 0, -EBADF, or SENTRY_CONTINUE: the task's own close goes on natively */
struct fd_table *fd_table_copy(struct fd_table *from);
int file_is_written(const struct inode *i); /* some task has it open for writing: deny_write_access() */
void fd_table_unref(struct task *t, struct fd_table *table);
void fd_close_on_exec(struct task *t);
void cred_unref(struct credentials *c);
struct credentials *cred_copy(const struct credentials *c);        /* refs = 1 */
void cred_set_groups(struct credentials *c, const uint32_t *gids, uint32_t count); /* before any task has it */
void task_set_cred(struct task *t, struct credentials *c);         /* takes over the ref */
struct fs_context *fs_copy(const struct fs_context *from);
void fs_set_cwd(struct fs_context *fs, struct dentry *cwd);
void fs_set_root(struct fs_context *fs, struct dentry *root);

int  epoll_member_add(struct description *instance, struct description *target, int fd, uint32_t events, uint64_t data); /* 0, -EEXIST, or as epoll_ctl(2) */
int  epoll_member_change(struct description *instance, struct description *target, int fd, uint32_t events, uint64_t data); /* 0, -ENOENT, ... */
int  epoll_member_drop(struct description *instance, struct description *target, int fd); /* 0 or -ENOENT */
struct description *epoll_member_target(struct description *instance, int fd, uint32_t nth); /* borrowed; NULL: none */
int  desc_unshare(struct description *d);          /* a read-only one with DESC_OWN_POS gets a host description of its own: 0 or -errno (native/fast/reopen.c) */
void desc_follow_copy_up(struct description *d); /* DESC_LOWER and the inode is INODE_UPPER by now: read the new content (native/fast/reopen.c) */

/* ---- dentry cache (native/vfs/dcache.c) ---------------------------------------------------------*/
struct superblock *sb_new(uint32_t kind, uint32_t flags, int32_t tree, uint64_t dev);
struct inode  *inode_new(struct superblock *sb, uint32_t mode);    /* refs = 0, times now, nlink 1 (2 for a directory) */
struct dentry *dentry_root(struct superblock *sb, struct inode *inode);
struct dentry *dentry_find(struct dentry *dir, const char *name, uint32_t len);       /* cached one or NULL */
struct dentry *dentry_add(struct dentry *dir, const char *name, uint32_t len, struct inode *inode); /* inode NULL: negative */
void dentry_set_inode(struct dentry *d, struct inode *inode);      /* negative <-> positive, counts refs */
void dentry_drop(struct dentry *d);     /* out of the tree: unlinked; freed when no description holds it */
void dentry_move(struct dentry *d, struct dentry *dir, const char *name, uint32_t len); /* replaces what was there */
void dentry_place_after(struct dentry *d, struct dentry *sibling); /* right behind a sibling (NULL: first): a listed directory keeps the host's order */
void dentry_ref(struct dentry *d);
void dentry_unref(struct dentry *d);
void inode_ref(struct inode *i);
void inode_unref(struct inode *i);      /* last: closes host_fd */
void content_use_directory(int directory); /* boot: the detached tmpfs that content of files in memory lives in */
void content_use_store(struct superblock *sb, int directory); /* boot: a store of its own for this file system */
int  content_store_of(const struct superblock *sb); /* where content of its files lives; -1: in memfds */
int  content_store_at(uint32_t index);     /* all such directories: -1 behind the last */
int  inode_make_content(struct inode *i);  /* empty, in memory; returns inode_host_fd() or -errno */
int  inode_host_fd(struct inode *i);       /* read-write descriptor of the content, borrowed: another inode's may close it; or -errno */
void inode_drop_content(struct inode *i);
_Bool inode_content_is(const struct inode *i, uint64_t dev, uint64_t ino); /* is it what the host calls (dev, ino)? */
void inode_set_symlink(struct inode *i, const char *target);
void inode_set_lower_path(struct inode *i, const char *path);
void mount_attach(struct dentry *at, struct superblock *sb);
void attributes_unknown(struct inode *i);  /* of a bind: changed on the host, ask before they are shown */
int  gofer_fs_find(struct dentry *dir, const char *name, uint32_t len, struct dentry **found); /* one name of a bind, maybe negative: 0 or -errno; the name ends with a NUL */
int  gofer_fs_refresh(struct dentry *d);   /* of a bind: attributes that may be shown: 0 or -errno (-ESTALE: something else has its place) */
int  gofer_fs_open(struct dentry *d, uint32_t flags); /* host descriptor of a lower regular file or directory, with a file position of its own, or -errno; -ESTALE: the name leads to another file by now */
void gofer_fs_distrust(struct dentry *d);  /* of a bind: the host said otherwise about this name */
void leases_end(void);                     /* what the host may have changed is looked up again (vfs/lease.c) */
void inode_share(struct inode *i);         /* of a bind: it has several names, which are to lead here */
void lower_forget(uint64_t inode_id);      /* no descriptor is kept for it any more (fast/lower.c) */
int  dentry_path(struct dentry *root, struct dentry *d, char *into, uint32_t cap);    /* length or -ENAMETOOLONG; "(unreachable)" prefix as the kernel */
int  dentry_lower_path(struct dentry *d, char *into, uint32_t cap); /* path in the gofer's tree, no leading slash */
int  inode_permission(const struct credentials *c, const struct inode *i, uint32_t mask); /* 4 r, 2 w, 1 x: 0 or -EACCES */
uint32_t dentry_count(void);
struct dentry *dentry_of_host_file(uint64_t dev, uint64_t ino); /* a name of the file that the host knows so (maps); borrowed, or NULL */

/* ---- engine (native/engine/) --------------------------------------------------------------------*/
struct task *task_find(int32_t tid);
struct task *task_first(void);          /* all tasks: follow all_next */
struct zombie { int32_t tid, ns_tid; uint32_t uid, gid, real_uid; char comm[16]; }; /* a process that ended but was not waited for: host pid, effective ids */
const struct zombie *zombie_find(int32_t ns_tid); /* NULL: none */
void group_learn_children(const struct thread_group *g); /* makes sure of the numbers of its children, ended ones too: who was reaped cannot be asked */
uint32_t zombie_list(int32_t *ns_tids, uint32_t cap); /* their pids as the sandbox sees them */
int32_t task_ns_tid(struct task *t);    /* pid as the sandbox sees it */
struct task *task_find_ns(int32_t ns_tid);
int  task_wait(struct task *t, struct description **descs, const uint32_t *events, uint32_t count, int64_t deadline_ns); /* parks for Python: 0 or -errno */
int  task_wait_retry(struct task *t, struct description *d, uint32_t events); /* parks; the trap is tried again: SENTRY_PARKED */
int  task_wait_retry_many(struct task *t, struct description **descs, const uint32_t *events, uint32_t count);
void task_wake(struct task *t);         /* Python: resume a parked task now (a lock was released, ...) */
int  task_install(struct task *t, struct description *d, int fd);  /* host descriptor at the workload's own number fd */
int  task_kill(struct task *t, int sig);     /* to the thread; then looks for calls to interrupt */
int  group_kill(struct thread_group *g, int sig);
int  task_queue_siginfo(struct task *t, int sig, const void *info, int to_group); /* a whole siginfo_t with a negative si_code */
int  group_kill_from(struct thread_group *g, int sig, int32_t ns_pid, uint32_t uid); /* kill(2) as from that sender */
int  task_queue_sent_signal(struct task *t, int sig, int code, uint64_t value, int32_t ns_pid, uint32_t uid); /* to its process, as from that sender */
int  siginfo_correct(struct task *t, void *info); /* siginfo_t as the sandbox's kernel would have made it: senders, their users. 1: it was changed */
void signals_changed(struct thread_group *g); /* somebody may have sent it a signal: interrupt its parked calls; NULL: everybody's */
int  task_is_held(struct task *t);       /* in a stop that its tracer in the sandbox sees */
int  task_tracer_pid(struct task *t);    /* of the sandbox, as it numbers them; 0: none */
int  task_tracer_is_privileged(struct task *t); /* CAP_SYS_PTRACE when it began; 1 also without a tracer */
int64_t tracer_poke(struct task *tracer, struct task *t, uint64_t addr, const void *from, uint64_t size); /* also what is write-protected: bytes written, -EFAULT, or -EPERM: it does not hold t at a stop */
int  task_is_stopped(struct task *t);    /* by job control, also where its stop has not been handled yet */
int  task_dequeue_signal(struct task *t, uint64_t mask, void *info); /* takes one pending signal of the mask (bit N-1: signal N): its number and siginfo_t (128 bytes), -EAGAIN: none */
void sentry_set_timer(int64_t deadline_ns);  /* calls sentry_on_timer at CLOCK_MONOTONIC deadline; 0: off */
int  sentry_watch_quietly(int host_fd, uint32_t events); /* the same, for a socket that seldom speaks and says so by SIGIO: traps stay fast meanwhile */
int  sentry_watch(int host_fd, uint32_t events); /* sentry_on_ready(fd, revents) for a host descriptor; events 0: stop */
int  task_install_host(struct task *t, int host_fd, int fd); /* any host descriptor at any number (exec, ttys) */
uint64_t task_stack_room(struct task *t, uint64_t size); /* before such a call: memory that its arguments may lie in, below the stack pointer; at most 256 bytes; 0: none */
int  task_host_call(struct task *t, int32_t nr, const uint64_t *args); /* runs a call of ours in place of the trapped one, then resumes Python: 0 or -errno (host_call.c): it died, or must start over */
int64_t sentry_now_ns(void);            /* CLOCK_MONOTONIC */
