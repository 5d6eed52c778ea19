/* System calls for lockdown.py and server.py; see setup.c. cffi reads this file, minus the lines that start with '#'. */
#ifndef GOFER_SETUP_H
#define GOFER_SETUP_H

#include <stdint.h>

int gofer_unshare(int flags);
int gofer_mount_private(void);
/* A detached copy of the mount at `path` (below `dir` unless absolute; empty: `dir` itself), with its submounts or not. */
int gofer_open_tree(int dir, const char *path, int is_recursive);
/* attributes: MOUNT_ATTR_* to set on a detached or attached mount, which becomes private: what is mounted below it, or below its
 * original, stays there. */
int gofer_mount_setattr(int fd, uint64_t attributes, int is_recursive);
/* Attaches a detached mount on what the descriptor `target` names. */
int gofer_move_mount(int fd, int target);
/* A detached new file system; options: key, value, key, value, ... (empty value: a flag). */
int gofer_new_mount(const char *type, const char *const *options, unsigned n_options, uint64_t attributes);
/* Makes an attached mount the root and drops the old one with everything below it. */
int gofer_pivot_root(int new_root);
/* Drops every capability that is not a bit of `keep` from all sets. */
int gofer_keep_capabilities(uint64_t keep);
int gofer_capabilities(uint64_t *effective);
int gofer_no_new_privileges(void);
/* No core dumps, and /proc/<pid> belongs to root. */
int gofer_not_dumpable(void);
/* Back to normal, for a process that changed its uid: its own /proc/self would be closed to it. */
int gofer_dumpable(void);
int gofer_set_name(const char *name);
int gofer_parent_death_signal(int sig);
int gofer_close_range(unsigned first, unsigned last);
/* Default disposition for every signal but the ignored ones, and an empty mask. */
int gofer_reset_signals(const int *ignored, unsigned n_ignored);
/* program: struct sock_filter[n_instructions], classic BPF. */
int gofer_install_filter(const void *program, unsigned n_instructions);

int gofer_renameat2(int old_dir, const char *old_name, int new_dir, const char *new_name, unsigned flags);
/* times: atime seconds, nanoseconds, mtime seconds, nanoseconds; nanoseconds may be UTIME_NOW, UTIME_OMIT. */
int gofer_set_times(int dir, const char *name, const int64_t *times);

#endif
