/* hooks.h - what C calls in Python, one registration for all (cffi: extern "Python"). */
extern "Python" {
    int64_t sentry_syscall(struct task *t);
    int64_t sentry_resume(struct task *t, int reason);
    int64_t sentry_exec_begin(struct task *t);
    int64_t sentry_exec_load(struct task *t);
    void sentry_exec_done(struct task *t, int result);
    int64_t sentry_kill_check(struct task *t);
    int64_t sentry_trace_check(struct task *tracer, struct task *t, int is_wish);
    int64_t sentry_birth(struct task *t, int moment);
    void sentry_task_exit(struct task *t);
    void sentry_fd_closed(struct task *t, struct description *d);
    void sentry_description_gone(uint64_t id);
    void sentry_inode_gone(uint64_t id);
    void sentry_signals_changed(void);
    void sentry_trace(struct task *t, int phase, int64_t result, int who);
    void sentry_on_timer(void);
    void sentry_on_ready(int fd, uint32_t events);
}
