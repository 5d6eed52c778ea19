/* python.h - the engine as Python sees it, beyond sentry.h. cffi reads this file as it is. */

/* ---- boot, in this order. 0 or -errno ----------------------------------------------------------*/
void engine_save_mask(void);                               /* signals blocked by our caller, for pid 1 */
int  engine_gofer_init(int gofer_fd, uint32_t spin_ns);
int  engine_gofer_hello(uint32_t *flags, uint32_t cap, char *step, uint32_t step_cap);
uint64_t engine_gofer_calls(void);
int  engine_gofer_call(uint32_t op, const void *body, uint32_t body_len, void *reply, uint32_t cap, int *fds, int *n_fds);
int  engine_open(int proc_fd, int gofer_fd);               /* epoll set, SIGCHLD */
struct task *engine_spawn(char *path, char **argv, char **envp, int stub_fd, int tty_fd, uint64_t max_tasks, int is_ptrace, int *error);
const char *engine_failed_step(void);
int  engine_stub_fd(void);                                 /* sealed memfd with the exec stub */
int  engine_spawn_seed(int stub_fd, uint64_t max_tasks, int is_ptrace); /* instead of engine_spawn: programs are born of it; its host pid */
int  engine_bear(void);                                    /* one more birth is wanted: sentry_birth(BIRTH_FORKED) will come. -ESRCH: the seed is gone */
void engine_birth_go_on(struct task *t);                   /* one that answered SENTRY_PARKED */
#define BIRTH_FORKED 0 /* give it identity, descriptors, places */
#define BIRTH_BORN   1 /* write struct birth into its list (trap.args[0]) */
#define BIRTH_FILL   2 /* write its strings into the buffer (trap.args[0]) */
#define BIRTH_OVER   3 /* the task is the seed, and gone: births that were not forked never will be */
void engine_start(void);                                   /* lets pid 1 execute */
int  engine_run(void);                                     /* 0: pid 1 ended; -ECONNRESET: the gofer did; 1: engine_stop() */
void engine_stop(void);
void engine_end(void);                                     /* kills and reaps everything */
int  engine_exit_status(void);                             /* wait status of pid 1 */
void engine_end_init(int sig);                             /* pid 1 is to end as if by sig, where the host would spare it */
int  engine_init_signal(void);                             /* the signal that ended pid 1 by our hand; 0: none */
void engine_set_fast_path(int is_on);
void engine_set_keep_init(int is_kept);
uint32_t engine_parked(void);
int  engine_listener(void);

void engine_watch_signals(int is_on);                       /* sentry_signals_changed() whenever one may be pending */

/* ---- signals ------------------------------------------------------------------------------------*/
struct signal_sets { uint64_t pending, blocked, ignored, caught; };
int  signal_sets_read(struct task *t, struct signal_sets *sets);
int  status_read(int32_t tid, char *buffer, size_t size);
int  proc_read(int32_t tid, const char *name, char *buffer, size_t size); /* /proc/TID/name through the kept descriptor: length or -errno */
int  proc_read_path(const char *path, char *buffer, size_t size);           /* the same for /proc/path */
int  proc_read_path_at(const char *path, uint64_t offset, char *buffer, size_t size);
int  task_queue_signal(struct task *t, int sig, int code, uint64_t value, int to_group); /* with siginfo for the delivery stop */

/* ---- trace: sentry_trace(task, phase, result, who) -----------------------------------------------*/
#define SENTRY_TRACE_ENTER  0 /* once per call */
#define SENTRY_TRACE_LEAVE  1 /* result may be SENTRY_PARKED: then it comes again. who: 0 fast, 1 python, 2 punted to python, 3 control, 4 host or filter */
#define SENTRY_TRACE_SIGNAL 2 /* result: the signal being delivered */
void engine_set_trace(int is_on);
