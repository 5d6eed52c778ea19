/* stub.h - what the exec stub and the loader agree on. cffi reads this file as it is. */

/* The stub's one call: an ordinary number with impossible arguments, since an outer container's filter would answer
 * unknown numbers before ours. dup3(address of its list, stack pointer, STUB_MAGIC). */
#define STUB_CALL  292
#define STUB_MAGIC 0x707953747562

/* The seed: a process that runs the stub for ever. New programs of a running sandbox are forked from it, since the sentry
 * is locked up by then and its children would be, too (native/engine/seed.c). Its calls, with the address of the list:
 * the first answers STUB_IS_SEED instead of a stack pointer; SEED_MAGIC waits until there is something to fork; the child
 * finds its struct birth in the list after BORN_MAGIC, and its strings in the buffer it made after FILL_MAGIC. */
#define STUB_IS_SEED 1
#define SEED_MAGIC 0x707973736565
#define BORN_MAGIC 0x7079736f726e
#define FILL_MAGIC 0x70797366696c
#define BIRTH_WORDS 6 /* bytes of the buffer; offsets in it of path, argv, envp, and of a struct sock_fprog (0: none); takes a terminal */

/* Between PIE (0x55...), mmap (0x7f...) and fixed programs (0x400000); outside the sanitizers' shadows. */
#define STUB_ADDRESS 0x480000000000

/* Descriptors that every workload process holds. They sit just below 1024, the usual soft limit: low enough that a
 * fork copies a small host descriptor table, high enough that programs do not name them by chance. */
#define STUB_FD    1023 /* the stub's executable */
#define EXE_FD     1022 /* during an exec: the program */
#define INTERP_FD  1021 /* during an exec: its interpreter */

/* The list: STUB_OPS times {kind, a[7]}, all uint64_t, then the program's name. */
#define STUB_OPS      121
#define STUB_OP_BYTES 64
#define STUB_END     0 /* jump to a[0] (+ base if a[1]) */
#define STUB_MMAP    1 /* mmap(a[0] (+ base if a[6]), a[1], a[2], a[3], a[4], a[5]) */
#define STUB_BASE    2 /* base = mmap(a[0], a[1], a[2], a[3], a[4], a[5]) - a[6] */
#define STUB_ZERO    3 /* memset(a[0] (+ base if a[2]), 0, a[1]) */
#define STUB_STORE   4 /* *a[0] = base + a[1] */
#define STUB_TELL    6 /* STUB_CALL with a[0] (+ base if a[1]) for the list's address: the program is about to begin there */
#define STUB_PROTECT 5 /* mprotect(a[0] (+ base if a[3]), a[1], a[2]) */
