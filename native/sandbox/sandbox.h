/* sandbox.h - how the sentry gives up what it does not need: namespaces, root directory, capabilities, system calls.
 *
 * cffi reads this file as it is (as ../sentry.h). Python (pysentry.sandbox) decides the order and words the errors;
 * these functions are the host calls Python has no binding for. Unless said otherwise: 0 or a descriptor, or -errno.
 */

/* ---- namespaces.c ------------------------------------------------------------------------------*/
#define SANDBOX_NS_USER   1
#define SANDBOX_NS_MOUNT  2
#define SANDBOX_NS_IPC    4
#define SANDBOX_NS_NET    8
#define SANDBOX_NS_UTS   16
#define SANDBOX_NS_CGROUP 32
#define SANDBOX_NS_PID   64 /* of the next child; only doctor asks for it */

int sandbox_unshare(uint32_t namespaces);           /* SANDBOX_NS_* */
int sandbox_join(int fd, uint32_t namespace);       /* the namespace of that kind behind a descriptor, while we may */
int sandbox_fresh_proc(void);                       /* descriptor of a procfs that hides what we may not trace (root only) */
int sandbox_detached_proc(void);                    /* descriptor of a copy of /proc that has no parent: ".." ends there */
int sandbox_loopback_up(void);                      /* in the current network namespace */
int sandbox_empty_root(void);                       /* pivots into an empty read-only tmpfs */
int sandbox_leave_view(void);                       /* goes where nothing of its mount namespace is to be found */
int sandbox_tmpfs_on(const char *path);             /* private tmpfs over a directory (gofer and tests) */

/* ---- lockdown.c --------------------------------------------------------------------------------*/
int sandbox_set_dumpable(int dumpable);
int sandbox_is_dumpable(void);
int sandbox_no_new_privs(void);
int sandbox_drop_capabilities(void);                /* all five sets, and no way back */
int sandbox_no_core(void);                          /* RLIMIT_CORE 0, soft and hard */
int sandbox_raise_nofile(void);                     /* RLIMIT_NOFILE: soft to hard; the new limit */
int sandbox_limit_processes(int32_t pid, uint32_t count); /* RLIMIT_NPROC of pid: processes of its user in its user namespace */
int sandbox_close_all_but(const int *keep, uint32_t count); /* descriptors above 2 that are not listed (ascending) */
int sandbox_die_with_parent(void);                  /* PR_SET_PDEATHSIG SIGKILL; -ESRCH if the parent is gone already */
int sandbox_child_lockdown(void);                   /* a fresh clone that will run the workload: async-signal-safe */

/* ---- filter.c ----------------------------------------------------------------------------------*/
int sandbox_install_filter(int proc_fd, int fifo_dir_fd); /* the sentry's own system call list; for ever */
int sandbox_filter_rule(uint32_t index, uint32_t *nr, uint32_t *verdict); /* row of the list, -ENOENT past the end */
#define SANDBOX_ALLOW  0
#define SANDBOX_ARGS   1 /* allowed for some arguments, else EPERM */
#define SANDBOX_KILL   2
#define SANDBOX_EPERM  3 /* what everything else gets */

/* ---- pack.c ------------------------------------------------------------------------------------*/
const void *sandbox_map_file(int fd, uint64_t size_bytes); /* for reading, for ever; NULL: it cannot be had */

/* ---- signals.c ---------------------------------------------------------------------------------*/
int sandbox_signalfd(const int *signals, uint32_t count); /* blocks them and gives a non-blocking signalfd */
struct sandbox_signal { uint32_t signo; int32_t code; uint32_t pid; };
int sandbox_signalfd_read(int fd, struct sandbox_signal *into); /* 1, 0 when none is left, or -errno */
int sandbox_die_of(int sig);                        /* ends us by the signal, so that our parent sees it; returns if it does not */
int sandbox_stop_self(void);                        /* SIGSTOP to ourselves: the outer shell's job control */
int sandbox_timerfd(void);                          /* CLOCK_MONOTONIC, non-blocking, off */
int sandbox_timerfd_set(int fd, int64_t after_ns);  /* expires once, that much later; 0: off */

/* ---- probe.c: what doctor asks; each leaves no trace --------------------------------------------*/
int probe_user_notification(void);                  /* 0: flags WAIT_KILLABLE_RECV work too; 1: only the plain listener; -errno */
int probe_user_namespace(uint32_t namespaces);      /* in a child: 0 or -errno of unshare(NEWUSER, then the rest) */
int probe_ptrace_seize(void);                       /* of a child of ours, with all options the engine uses */
int probe_process_vm(void);                         /* read a child's memory */
int probe_pidfd_getfd(void);
int probe_openat2(void);
int probe_memfd(void);
int probe_sync_wake_up(void);                       /* SECCOMP_USER_NOTIF_FD_SYNC_WAKE_UP */
