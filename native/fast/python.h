/* python.h - what native/fast offers to Python beyond sentry.h. cffi reads this file as it is. */

/* A host call that Python's os module has no function for: its result or -errno (fast/host_calls.c). */
int64_t host_syscall(int64_t nr, uint64_t a, uint64_t b, uint64_t c, uint64_t d, uint64_t e, uint64_t f);

/* What a path of the task names, symlinks followed. NULL: Python is to walk, who also knows the error. The dentry is
 * borrowed: take a reference before anything else is asked of the engine. (fast/path.c) */
struct dentry *task_walk(struct task *t, int dirfd, const char *path);
