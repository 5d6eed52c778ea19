/* sandbox.h - the sentry's C in one process, for calls.c: the vfs and the fast paths as they are, around them what they need.
 *
 * The workload's memory is an arena at small addresses (the same in each run, and nothing of ours can be hit); the gofer
 * is the real server, called in place of its socket, and its answers can be made lies of; the clock is a number.
 */
#ifndef FUZZ_SANDBOX_H
#define FUZZ_SANDBOX_H

#include "fast/fast.h"
#include "input.h"

/* The arena. Its first page holds strings and cannot be written; behind its end nothing can be read. */
enum { ARENA = 0x10000, ARENA_SIZE = 0x8000, READ_ONLY_SIZE = 0x1000, ARENA_END = ARENA + ARENA_SIZE };
extern unsigned char arena[ARENA_SIZE];

#define N_TASKS 2
extern struct task *tasks[N_TASKS]; /* threads of one process */

/* Sockets, pipes and such: the descriptions that Python would make, at the numbers from 0 on. */
void sandbox_make(void);
void sandbox_end(void); /* everything is let go of; what is left is a leak */
void sandbox_become(uint32_t uid);

/* lying_gofer.c: a new client, which greets the server; the tree is the working directory. */
void lying_gofer_start(void);
bool lying_gofer_is_over(void); /* the client has given it up: the sentry would end the run */

/* What is wrong with its next answer but `skip`. */
enum lie { LIE_PATCH, LIE_REPLACED, LIE_TYPE, LIE_ERROR, LIE_SHORT, LIE_DESCRIPTORS, LIE_TWICE, LIE_HEADER, N_LIES };
void lying_gofer_lie(enum lie lie, uint32_t skip, uint32_t where, uint32_t value);

extern int64_t sandbox_clock_ns;
#define SANDBOX_LEASE_NS 1000000000

#endif
