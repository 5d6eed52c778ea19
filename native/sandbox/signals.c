/* signals.c - what is sent to pysentry itself arrives by a descriptor that the loop watches. */
#define _GNU_SOURCE
#include <errno.h>
#include <signal.h>
#include <stdint.h>
#include <sys/signalfd.h>
#include <sys/timerfd.h>
#include <unistd.h>
#include "sandbox.h"

sigset_t sandbox_listened; /* what signalfds were made for; the loop must wake for it (engine/hot.c) */

int sandbox_signalfd(const int *signals, uint32_t count)
{
    sigset_t set;
    sigemptyset(&set);
    for (uint32_t i = 0; i < count; i++) {
        sigaddset(&set, signals[i]);
        sigaddset(&sandbox_listened, signals[i]);
    }
    if (sigprocmask(SIG_BLOCK, &set, NULL) < 0)
        return -errno;
    int fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    return fd < 0 ? -errno : fd;
}

int sandbox_signalfd_read(int fd, struct sandbox_signal *into)
{
    struct signalfd_siginfo info;
    ssize_t size = read(fd, &info, sizeof info);
    if (size < 0)
        return errno == EAGAIN ? 0 : -errno;
    into->signo = info.ssi_signo;
    into->code = info.ssi_code;
    into->pid = info.ssi_pid;
    return 1;
}

int sandbox_die_of(int sig)
{
    sigset_t set;
    signal(sig, SIG_DFL);
    sigemptyset(&set);
    sigaddset(&set, sig);
    if (kill(getpid(), sig) < 0 || sigprocmask(SIG_UNBLOCK, &set, NULL) < 0)
        return -errno;
    return -EINVAL; /* a signal that ends nobody */
}

int sandbox_stop_self(void)
{
    return kill(getpid(), SIGSTOP) < 0 ? -errno : 0;
}

int sandbox_timerfd(void)
{
    int fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
    return fd < 0 ? -errno : fd;
}

int sandbox_timerfd_set(int fd, int64_t after_ns)
{
    struct itimerspec when = {{0, 0}, {after_ns / 1000000000, after_ns % 1000000000}};
    return timerfd_settime(fd, 0, &when, NULL) < 0 ? -errno : 0;
}
