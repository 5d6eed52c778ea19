/*
 * The gofer's loop: receive, answer, and spin a little before sleeping.
 *
 * Owns framing (length, id, truncation) and the life of descriptors that travel. Does not own what a request means
 * (requests.c, and the fallback for the rest).
 */
#define _GNU_SOURCE
#include <errno.h>
#include <poll.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "server.h"

/* Returns a server that owns `sock` and `proc_fd`, or NULL without memory. */
struct gofer_server *gofer_server_new(int sock, int proc_fd, gofer_fallback fallback)
{
    struct gofer_server *server = calloc(1, sizeof(*server));

    if (!server)
        return NULL;
    server->sock = sock;
    server->proc_fd = proc_fd;
    server->fallback = fallback;
    server->listing.fd = -1;
    return server;
}

/* Closes every descriptor the server owns, trees included. */
void gofer_server_free(struct gofer_server *server)
{
    for (uint32_t i = 0; i < GOFER_DIR_SLOTS; i++) {
        if (server->dirs[i].path) {
            close(server->dirs[i].fd);
            free(server->dirs[i].path);
        }
    }
    for (uint32_t i = 0; i < server->n_trees; i++)
        close(server->trees[i].fd);
    if (server->listing.fd >= 0)
        close(server->listing.fd);
    free(server->listing.path);
    free(server->uid_map.ranges);
    free(server->gid_map.ranges);
    close(server->proc_fd);
    close(server->sock);
    free(server);
}

/* Serves what the O_PATH descriptor `fd` names. Returns the tree's number or -ENOSPC. */
int gofer_server_add_tree(struct gofer_server *server, int fd, uint32_t flags)
{
    if (server->n_trees == GOFER_TREES_MAX)
        return -ENOSPC;
    server->trees[server->n_trees] = (struct gofer_tree){.fd = fd, .flags = flags};
    return (int)server->n_trees++;
}

static uint64_t now_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/*
 * Receives one message; returns its true length, which may exceed what was stored; 0 at the end; or -1.
 * recv, not recvmsg: descriptors sent to us are thrown away by the kernel.
 */
static ssize_t receive(struct gofer_server *server, uint32_t spin_ns, uint16_t sentry_cpu)
{
    /* On one CPU spinning would only keep the sentry from asking. */
    if (spin_ns && sentry_cpu && sched_getcpu() + 1 != sentry_cpu) {
        uint64_t deadline = now_ns() + spin_ns;
        do {
            ssize_t got = recv(server->sock, server->request, GOFER_MESSAGE_MAX, MSG_DONTWAIT | MSG_TRUNC);
            if (got >= 0 || (errno != EAGAIN && errno != EINTR))
                return got;
            __builtin_ia32_pause();
        } while (now_ns() < deadline);
    }
    for (;;) {
        ssize_t got = recv(server->sock, server->request, GOFER_MESSAGE_MAX, MSG_TRUNC);
        if (got >= 0 || (errno != EAGAIN && errno != EINTR))
            return got;
        if (errno == EAGAIN) { /* somebody made the socket non-blocking */
            struct pollfd wait = {.fd = server->sock, .events = POLLIN};
            poll(&wait, 1, -1);
        }
    }
}

/*
 * Moves to the sentry's CPU: there, its waiting hands the CPU straight to us, which costs a tenth of waking an idle one
 * (README.md has the numbers). A CPU that we may not use leaves us where we are.
 */
static void follow(struct gofer_server *server, uint16_t sentry_cpu)
{
    cpu_set_t only;

    if (sentry_cpu == 0 || sentry_cpu == server->cpu || sentry_cpu > CPU_SETSIZE)
        return;
    CPU_ZERO(&only);
    CPU_SET((size_t)sentry_cpu - 1, &only);
    sched_setaffinity(0, sizeof(only), &only);
    server->cpu = sentry_cpu;
}

static int send_message(int sock, const unsigned char *message, uint32_t length, const int *fds, int n_fds)
{
    union {
        struct cmsghdr header;
        char bytes[CMSG_SPACE(sizeof(int) * GOFER_FDS_MAX)];
    } control;
    struct iovec part = {.iov_base = (void *)(uintptr_t)message, .iov_len = length};
    struct msghdr head = {.msg_iov = &part, .msg_iovlen = 1};
    ssize_t sent;

    if (n_fds) {
        size_t size = sizeof(int) * (size_t)n_fds;
        memset(&control, 0, sizeof(control));
        head.msg_control = control.bytes;
        head.msg_controllen = CMSG_SPACE(size);
        control.header =
            (struct cmsghdr){.cmsg_len = CMSG_LEN(size), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS};
        memcpy(CMSG_DATA(&control.header), fds, size);
    }
    for (;;) {
        sent = n_fds ? sendmsg(sock, &head, MSG_NOSIGNAL) : send(sock, message, length, MSG_NOSIGNAL);
        if (sent >= 0)
            return 0;
        if (errno == EAGAIN) {
            struct pollfd wait = {.fd = sock, .events = POLLOUT};
            poll(&wait, 1, -1);
        } else if (errno != EINTR) {
            return -errno;
        }
    }
}

/* Answers the request in server->request (length bytes stored, maybe truncated). 0, or a negative errno: give up. */
static int handle(struct gofer_server *server, const struct gofer_header *request, uint32_t length, bool is_whole)
{
    struct gofer_header head = {.length = sizeof(head), .id = request->id, .op = request->op};
    int fds[GOFER_FDS_MAX];
    int n_fds = 0;
    int result = -EPROTO;

    if (is_whole && request->length == length)
        result = gofer_answer(server, request->op, server->request + sizeof(head), length - (uint32_t)sizeof(head),
                              server->reply + sizeof(head), GOFER_MESSAGE_MAX - (uint32_t)sizeof(head), fds, &n_fds);
    if (result < 0)
        head.error = -result;
    else
        head.length += (uint32_t)result;
    memcpy(server->reply, &head, sizeof(head));
    int error = send_message(server->sock, server->reply, head.length, fds, n_fds);
    /* The descriptors could not be sent (too many under way): say so instead. The sentry is still there. */
    if (error < 0 && n_fds && error != -EPIPE && error != -ECONNRESET) {
        head.error = -error;
        head.length = sizeof(head);
        memcpy(server->reply, &head, sizeof(head));
        error = send_message(server->sock, server->reply, head.length, NULL, 0);
    }
    while (n_fds > 0)
        close(fds[--n_fds]);
    return error;
}

/*
 * Serves until the sentry hangs up. spin_ns: how long to look for the next request before sleeping; is_following: stay
 * on the sentry's CPU (spinning is then never done, as it would keep the sentry from running).
 * Returns 0 at the end, or a negative errno: the sentry sent what is not even a message.
 */
int gofer_server_run(struct gofer_server *server, uint32_t spin_ns, int is_following)
{
    struct gofer_header request;
    uint16_t sentry_cpu = 0;

    for (;;) {
        ssize_t got = receive(server, spin_ns, sentry_cpu);
        if (got == 0)
            return 0;
        if (got < 0)
            return errno == ECONNRESET || errno == EPIPE ? 0 : -errno;
        if ((size_t)got < sizeof(request))
            return -EPROTO; /* no id to answer to */
        memcpy(&request, server->request, sizeof(request));
        sentry_cpu = request.cpu;
        bool is_whole = got <= GOFER_MESSAGE_MAX;
        int error = handle(server, &request, is_whole ? (uint32_t)got : GOFER_MESSAGE_MAX, is_whole);
        if (error == -EPIPE || error == -ECONNRESET)
            return 0;
        if (error < 0)
            return error;
        if (is_following)
            follow(server, sentry_cpu);
    }
}

/*
 * Instead of gofer_server_run: answers the first message, a HELLO, with the set-up step that failed and its errno.
 * It waits for that message, as one that is never read would take the answer with it (unix(7): ECONNRESET).
 * Returns 0 or a negative errno.
 */
int gofer_refuse(int sock, int error, const char *step, uint32_t step_len)
{
    unsigned char message[sizeof(struct gofer_header) + 256];
    struct gofer_header head;
    ssize_t got;

    do {
        got = recv(sock, message, sizeof(message), 0);
    } while (got < 0 && errno == EINTR);
    if (got < (ssize_t)sizeof(head))
        return got < 0 ? -errno : -EPROTO;
    if (step_len > 256)
        step_len = 256;
    memcpy(&head, message, sizeof(head));
    head.length = (uint32_t)sizeof(head) + step_len;
    head.error = error;
    memcpy(message, &head, sizeof(head));
    memcpy(message + sizeof(head), step, step_len);
    return send_message(sock, message, head.length, NULL, 0);
}
