/* harness.h - a fake engine around the real vfs and fast paths: the "workload" is this process itself.
 *
 * process_vm_readv works on one's own pid, so user memory, guard pages and EFAULT are real. Parking, installing
 * and signals are only recorded. The gofer is a real one, in a forked child.
 */
#ifndef NATIVE_TEST_HARNESS_H
#define NATIVE_TEST_HARNESS_H

#include "fast/fast.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct test {
    const char *name;
    void (*run)(void);
};
extern const struct test dcache_tests[], walk_tests[], file_tests[], io_tests[];

/* What the fake engine saw. */
extern struct seen {
    uint32_t parked_events; /* 0: nothing is parked */
    int installed_fd;       /* -1: none */
    int installs;
    int killed_by;
} seen;

extern struct task *task;    /* root, cwd "/", umask 022 */
extern char *guard;          /* the byte after this page cannot be touched; the page itself: guard - 4096 */

#define CHECK(condition)                                                                                              \
    do {                                                                                                              \
        if (!(condition)) {                                                                                           \
            fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition);                                           \
            exit(1);                                                                                                  \
        }                                                                                                             \
    } while (0)

#define CHECK_IS(got, wanted)                                                                                         \
    do {                                                                                                              \
        int64_t got_ = (int64_t)(got), wanted_ = (int64_t)(wanted);                                                   \
        if (got_ != wanted_) {                                                                                        \
            fprintf(stderr, "%s:%d: %s is %ld, not %ld\n", __FILE__, __LINE__, #got, (long)got_, (long)wanted_);      \
            exit(1);                                                                                                  \
        }                                                                                                             \
    } while (0)

/* Calls a fast path with up to six arguments. */
#define CALL(name, ...) call(fast_##name, (uint64_t[6]){__VA_ARGS__})
#define ADDRESS(p) ((uint64_t)(uintptr_t)(p))
typedef int64_t (*fast_fn)(struct task *, struct trap *);
int64_t call(fast_fn fast, const uint64_t args[6]);

#define DECLARE(name) int64_t fast_##name(struct task *, struct trap *);
#define PYSENTRY_FAST(nr, name) DECLARE(name)
#include "generated/syscall_table.h"

/* File systems to test on. Each call makes a new root and working directory. */
struct dentry *use_tmpfs(void);
struct dentry *use_overlay(void);            /* over host_dir, cached */
struct dentry *use_bind(bool is_cached);     /* of host_dir */
extern char host_dir[];                      /* made anew for each test */
void host_file(const char *path, const char *content); /* below host_dir, with directories on the way */
void host_symlink(const char *path, const char *target);
uint64_t gofer_calls(void);
void become(uint32_t uid);                   /* virtual credentials without capabilities */

int open_path(const char *path, int flags);
void make_file(const char *path, const char *content);
struct dentry *lookup(const char *path);     /* NULL: not there */

#endif
