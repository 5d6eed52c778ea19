/* python.c - the engine's side of python.h: set-up and small questions. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include "engine.h"
#include "../gofer/client.h"
#include "../vfs/vfs.h"
#include "stub_image.h" /* made by build.py: the linked stub as bytes */

static struct gofer_client gofer;

int engine_gofer_init(int gofer_fd, uint32_t spin_ns)
{
    gofer_client_init(&gofer, gofer_fd, spin_ns);
    the_gofer = &gofer;
    return 0;
}

int engine_gofer_hello(uint32_t *flags, uint32_t cap, char *step, uint32_t step_cap)
{
    return gofer_hello(&gofer, flags, cap, step, step_cap);
}

int engine_gofer_call(uint32_t op, const void *body, uint32_t body_len, void *reply, uint32_t cap, int *fds, int *n_fds)
{
    return gofer_call(&gofer, op, body, body_len, reply, cap, fds, n_fds);
}

uint64_t engine_gofer_calls(void)
{
    return gofer.calls;
}

int engine_stub_fd(void)
{
    int fd = memfd_create("pysentry-stub", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (fd < 0)
        return -errno;
    if (write(fd, stub_image, sizeof stub_image) != (ssize_t)sizeof stub_image || fchmod(fd, 0555) ||
        fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL)) {
        close(fd);
        return -EIO;
    }
    /* A descriptor that could write would make the exec fail with ETXTBSY. */
    char path[32];
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    int readable = open(path, O_RDONLY | O_CLOEXEC);
    int error = readable < 0 ? -errno : 0;
    close(fd);
    return error ? error : readable;
}

int engine_exit_status(void)
{
    return engine.exit_status;
}

void engine_end_init(int sig)
{
    if (!engine.init)
        return;
    engine.init_signal = sig;
    group_kill(engine.init->group, SIGKILL);
}

int engine_init_signal(void)
{
    return engine.init_signal;
}

void engine_set_fast_path(int is_on)
{
    engine.fast_path = is_on;
}

void engine_set_keep_init(int is_kept)
{
    engine.keep_init = is_kept;
}

uint32_t engine_parked(void)
{
    return engine.parked;
}

int engine_listener(void)
{
    return engine.listener;
}

int proc_read(int32_t tid, const char *name, char *buffer, size_t size)
{
    char path[64];
    snprintf(path, sizeof path, "%d/%s", tid, name);
    return proc_read_path(path, buffer, size);
}

int proc_read_path_at(const char *path, uint64_t offset, char *buffer, size_t size)
{
    int fd = openat(engine.proc, path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    size_t have = 0;
    ssize_t got;
    while (have < size && (got = pread(fd, buffer + have, size - have, (off_t)(offset + have))) > 0)
        have += (size_t)got;
    close(fd);
    return (int)have;
}

int proc_read_path(const char *path, char *buffer, size_t size)
{
    return proc_read_path_at(path, 0, buffer, size);
}

void engine_watch_signals(int is_on)
{
    engine.watches_signals = is_on;
}

void engine_set_trace(int is_on)
{
    engine.trace = is_on;
}
