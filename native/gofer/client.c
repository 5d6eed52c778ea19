/* See client.h. The gofer is trusted more than the sentry, yet its answers are bounds-checked: a bug must not spread. */
#define _GNU_SOURCE
#include "client.h"

#include <errno.h>
#include <poll.h>
#include <sched.h>
#include <stdbool.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define BODY_OFFSET sizeof(struct gofer_header)
#define ERRNO_MAX 4095u /* beyond it are the engine's own words (sentry.h): never the gofer's to say */

union control {
    struct cmsghdr header;
    char bytes[CMSG_SPACE(sizeof(int) * GOFER_FDS_MAX)];
};

void gofer_client_init(struct gofer_client *client, int fd, uint32_t spin_ns)
{
    memset(client, 0, sizeof(*client));
    client->fd = fd;
    client->next_id = 1;
    client->spin_ns = spin_ns;
}

static uint64_t now_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static int is_dead(struct gofer_client *client)
{
    client->dead = 1;
    return -ECONNRESET;
}

/* Sends header, body and tail (each may be empty) as one message. 0 or -ECONNRESET. */
static int send_request(struct gofer_client *client, uint32_t op, const void *body, uint32_t body_len,
                        const void *tail, uint32_t tail_len)
{
    struct gofer_header head = {
        .length = (uint32_t)sizeof(head) + body_len + tail_len,
        .id = client->next_id,
        .op = (uint16_t)op,
        .cpu = (uint16_t)(sched_getcpu() + 1)};
    struct iovec parts[3] = {{.iov_base = &head, .iov_len = sizeof(head)},
                             {.iov_base = (void *)(uintptr_t)body, .iov_len = body_len},
                             {.iov_base = (void *)(uintptr_t)tail, .iov_len = tail_len}};
    struct msghdr message = {.msg_iov = parts, .msg_iovlen = 3};

    for (;;) {
        if (sendmsg(client->fd, &message, MSG_NOSIGNAL) >= 0)
            return 0;
        if (errno == EAGAIN) {
            struct pollfd wait = {.fd = client->fd, .events = POLLOUT};
            poll(&wait, 1, -1);
        } else if (errno != EINTR) {
            return is_dead(client);
        }
    }
}

/* Waits for one message in client->message. Returns its length (0: the gofer hung up, or sent descriptors alone) or -ECONNRESET;
 * `control` gets its descriptors. */
static ssize_t receive_reply(struct gofer_client *client, union control *control, struct msghdr *message)
{
    struct iovec part = {.iov_base = client->message, .iov_len = sizeof(client->message)};
    /* Without spinning, sleep in recvmsg itself: a call less than poll and then recvmsg. */
    const int flags = MSG_CMSG_CLOEXEC | (client->spin_ns ? MSG_DONTWAIT : 0);
    uint64_t deadline = 0;

    for (;;) {
        *message = (struct msghdr){.msg_iov = &part, .msg_iovlen = 1};
        message->msg_control = control->bytes;
        message->msg_controllen = sizeof(control->bytes);
        ssize_t got = recvmsg(client->fd, message, flags);
        if (got >= 0)
            return got;
        if (errno != EAGAIN && errno != EINTR)
            return is_dead(client);
        if (client->spin_ns) {
            uint64_t now = now_ns();
            if (!deadline)
                deadline = now + client->spin_ns;
            if (now < deadline) {
                __builtin_ia32_pause();
                continue;
            }
        }
        struct pollfd wait = {.fd = client->fd, .events = POLLIN};
        client->sleeps++;
        poll(&wait, 1, -1); /* a signal or a hang-up: the next round finds out */
    }
}

/* Moves the descriptors of a message to fds (room for *n_fds, or NULL) and closes those that don't fit. */
static void take_fds(struct msghdr *message, int *fds, int *n_fds)
{
    int room = fds && n_fds ? *n_fds : 0;
    int taken = 0;

    for (struct cmsghdr *part = CMSG_FIRSTHDR(message); part; part = CMSG_NXTHDR(message, part)) {
        if (part->cmsg_level != SOL_SOCKET || part->cmsg_type != SCM_RIGHTS)
            continue;
        size_t count = (part->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        for (size_t i = 0; i < count; i++) {
            int fd;
            memcpy(&fd, CMSG_DATA(part) + i * sizeof(int), sizeof(int));
            if (taken < room)
                fds[taken++] = fd;
            else
                close(fd);
        }
    }
    if (n_fds)
        *n_fds = taken;
}

static void close_fds(const int *fds, const int *n_fds)
{
    for (int i = 0; fds && n_fds && i < *n_fds; i++)
        close(fds[i]);
}

/* One round trip. Returns the length of the reply's body, which is at client->message + header, or a negative errno. */
static int round_trip(struct gofer_client *client, uint32_t op, const void *body, uint32_t body_len, const void *tail,
                      uint32_t tail_len, int *fds, int *n_fds)
{
    struct gofer_header head;
    struct msghdr message;
    union control control;

    if (client->dead)
        return -ECONNRESET;
    /* Each length alone first: their sum must not wrap. */
    if (body_len > GOFER_MESSAGE_MAX || tail_len > GOFER_MESSAGE_MAX ||
        sizeof(head) + body_len + tail_len > GOFER_MESSAGE_MAX)
        return -EMSGSIZE;
    client->calls++;
    int error = send_request(client, op, body, body_len, tail, tail_len);
    if (error < 0)
        return error;
    ssize_t got = receive_reply(client, &control, &message);
    if (got < 0)
        return (int)got;
    take_fds(&message, fds, n_fds);
    memcpy(&head, client->message, sizeof(head));
    bool is_reply = (size_t)got >= sizeof(head) && head.length == (size_t)got && !(message.msg_flags & MSG_TRUNC) &&
                    head.op == op && head.id == client->next_id && (uint32_t)head.error <= ERRNO_MAX;
    if (!is_reply || (head.error && n_fds && *n_fds)) {
        close_fds(fds, n_fds);
        return is_dead(client);
    }
    client->next_id = client->next_id == UINT32_MAX ? 1 : client->next_id + 1;
    return head.error ? -head.error : (int)(got - (ssize_t)sizeof(head));
}

static unsigned char *reply_body(struct gofer_client *client)
{
    return (unsigned char *)client->message + BODY_OFFSET;
}

int gofer_call(struct gofer_client *client, uint32_t op, const void *body, uint32_t body_len, void *reply,
               uint32_t cap, int *fds, int *n_fds)
{
    int size = round_trip(client, op, body, body_len, NULL, 0, fds, n_fds);

    if (size < 0) {
        if (n_fds)
            *n_fds = 0;
        return size;
    }
    if ((uint32_t)size > cap) {
        close_fds(fds, n_fds);
        if (n_fds)
            *n_fds = 0;
        return -EMSGSIZE;
    }
    memcpy(reply, reply_body(client), (size_t)size);
    return size;
}

int gofer_hello(struct gofer_client *client, uint32_t *flags, uint32_t cap, char *step, uint32_t step_cap)
{
    struct gofer_hello request = {.version = GOFER_PROTOCOL_VERSION};
    struct gofer_hello_reply reply;
    struct gofer_header head;
    int size = round_trip(client, GOFER_HELLO, &request, sizeof(request), NULL, 0, NULL, NULL);

    if (step_cap)
        step[0] = '\0';
    if (size == -ECONNRESET)
        return size;
    if (size < 0) {
        memcpy(&head, client->message, sizeof(head));
        uint32_t length = head.length - (uint32_t)sizeof(head);
        if (step_cap) {
            length = length < step_cap ? length : step_cap - 1;
            memcpy(step, reply_body(client), length);
            step[length] = '\0';
        }
        client->dead = 1;
        return size;
    }
    memset(&reply, 0, sizeof(reply));
    if ((size_t)size >= sizeof(reply))
        memcpy(&reply, reply_body(client), sizeof(reply));
    if (reply.version != GOFER_PROTOCOL_VERSION || reply.n_trees > GOFER_MESSAGE_MAX ||
        (size_t)size != sizeof(reply) + reply.n_trees * sizeof(uint32_t))
        return is_dead(client);
    uint32_t count = reply.n_trees < cap ? reply.n_trees : cap;
    if (count)
        memcpy(flags, reply_body(client) + sizeof(reply), count * sizeof(uint32_t));
    return (int)reply.n_trees;
}

int gofer_walk(struct gofer_client *client, uint32_t tree, const char *path, uint32_t path_len, uint32_t base_len,
               uint32_t flags, struct gofer_walk_answer *answer)
{
    const uint32_t n_base = flags & GOFER_WALK_BASE ? 1 : 0;
    struct gofer_walk request = {.tree = tree, .path_len = path_len, .base_len = base_len, .flags = flags};
    struct gofer_walk_reply reply = {0};
    int n_fds = flags & GOFER_WALK_OPEN ? 1 : 0;

    answer->fd = -1;
    int size = round_trip(client, GOFER_WALK, &request, sizeof(request), path, path_len, &answer->fd, &n_fds);
    if (size < 0)
        return size;
    if ((size_t)size >= sizeof(reply))
        memcpy(&reply, reply_body(client), sizeof(reply));
    if ((size_t)size < sizeof(reply) || reply.count > GOFER_MESSAGE_MAX || reply.count < n_base ||
        reply.target_len > GOFER_MESSAGE_MAX || reply.stop > ERRNO_MAX ||
        (size_t)size != sizeof(reply) + reply.count * sizeof(struct gofer_attr) + reply.target_len) {
        close_fds(&answer->fd, &n_fds);
        return is_dead(client);
    }
    answer->base = (const struct gofer_attr *)(const void *)(reply_body(client) + sizeof(reply));
    answer->attrs = answer->base + n_base;
    answer->target = (const char *)(answer->base + reply.count);
    answer->count = reply.count - n_base;
    answer->target_len = reply.target_len;
    answer->stop = reply.stop;
    return 0;
}

/* Whether `count` entries fill `len` bytes exactly, each with its name and target inside. */
static bool are_entries_sound(const unsigned char *at, uint32_t len, uint32_t count)
{
    struct gofer_dirent entry;

    for (; count; count--) {
        if (len < sizeof(entry))
            return false;
        memcpy(&entry, at, sizeof(entry));
        if (entry.size > len || entry.size % 8 || entry.size < sizeof(entry) + entry.name_len + entry.target_len)
            return false;
        at += entry.size;
        len -= entry.size;
    }
    return len == 0;
}

int gofer_readdir(struct gofer_client *client, uint32_t tree, const char *path, uint32_t path_len, uint64_t cookie,
                  struct gofer_readdir_answer *answer)
{
    struct gofer_readdir request = {.tree = tree, .path_len = path_len, .cookie = cookie};
    struct gofer_readdir_reply reply;
    int size = round_trip(client, GOFER_READDIR, &request, sizeof(request), path, path_len, NULL, NULL);

    if (size < 0)
        return size;
    if ((size_t)size < sizeof(reply))
        return is_dead(client);
    memcpy(&reply, reply_body(client), sizeof(reply));
    answer->entries = reply_body(client) + sizeof(reply);
    answer->entries_len = (uint32_t)size - (uint32_t)sizeof(reply);
    answer->count = reply.count;
    answer->next_cookie = reply.next_cookie;
    answer->eof = reply.eof != 0;
    answer->directory = reply.directory;
    return are_entries_sound(answer->entries, answer->entries_len, reply.count) ? 0 : is_dead(client);
}

/* Whether records of the kernel fill `len` bytes exactly, each with a name that ends inside. */
static bool are_records_sound(const unsigned char *at, uint32_t len)
{
    enum { NAME_AT = 19, LENGTH_AT = 16 };

    while (len) {
        uint16_t size;
        if (len < NAME_AT + 1)
            return false;
        memcpy(&size, at + LENGTH_AT, sizeof(size));
        if (size > len || size % 8 || size <= NAME_AT || !memchr(at + NAME_AT, '\0', size - NAME_AT))
            return false;
        at += size;
        len -= size;
    }
    return true;
}

int gofer_list(struct gofer_client *client, uint32_t tree, const char *path, uint32_t path_len, uint64_t cookie,
               struct gofer_list_answer *answer)
{
    struct gofer_readdir request = {.tree = tree, .path_len = path_len, .cookie = cookie};
    struct gofer_list_reply reply;
    int size = round_trip(client, GOFER_LIST, &request, sizeof(request), path, path_len, NULL, NULL);

    if (size < 0)
        return size;
    if ((size_t)size < sizeof(reply))
        return is_dead(client);
    memcpy(&reply, reply_body(client), sizeof(reply));
    uint32_t left = (uint32_t)size - (uint32_t)sizeof(reply);
    if (reply.n_attrs > left / sizeof(struct gofer_attr))
        return is_dead(client);
    answer->attrs = (const void *)(reply_body(client) + sizeof(reply));
    answer->n_attrs = reply.n_attrs;
    answer->entries = (const unsigned char *)(answer->attrs + reply.n_attrs);
    answer->entries_len = left - reply.n_attrs * (uint32_t)sizeof(struct gofer_attr);
    answer->next_cookie = reply.next_cookie;
    answer->eof = reply.eof != 0;
    return are_records_sound(answer->entries, answer->entries_len) ? 0 : is_dead(client);
}

int gofer_open(struct gofer_client *client, uint32_t tree, const char *path, uint32_t path_len, uint32_t flags,
               struct gofer_attr *attr)
{
    struct gofer_open request = {.tree = tree, .path_len = path_len, .flags = flags};
    int fd = -1;
    int n_fds = 1;
    int size = round_trip(client, GOFER_OPEN, &request, sizeof(request), path, path_len, &fd, &n_fds);

    if (size < 0)
        return size;
    /* Without a descriptor: the gofer is fine, but our own table is full and the kernel dropped it. */
    if (n_fds == 0)
        return -EMFILE;
    if ((size_t)size != sizeof(*attr)) {
        close(fd);
        return is_dead(client);
    }
    memcpy(attr, reply_body(client), sizeof(*attr));
    return fd;
}

int gofer_open_many(struct gofer_client *client, uint32_t tree, const char *path, uint32_t path_len, const char *names,
                    uint32_t names_len, uint32_t count, int *fds)
{
    struct gofer_open_many request = {.tree = tree, .path_len = path_len, .names_len = names_len, .count = count};
    struct gofer_open_many_reply reply;
    unsigned char tail[GOFER_PATH_MAX + GOFER_FDS_MAX * 256];
    int got[GOFER_FDS_MAX];
    int n_fds = GOFER_FDS_MAX, used = 0;

    if (path_len > GOFER_PATH_MAX || names_len > sizeof(tail) - path_len || count > GOFER_FDS_MAX)
        return -EMSGSIZE;
    memcpy(tail, path, path_len);
    memcpy(tail + path_len, names, names_len);
    int size = round_trip(client, GOFER_OPEN_MANY, &request, sizeof(request), tail, path_len + names_len, got, &n_fds);
    if (size < 0)
        return size;
    bool is_sound = (size_t)size == sizeof(reply) + count * sizeof(int32_t);
    memset(&reply, 0, sizeof(reply));
    if (is_sound)
        memcpy(&reply, reply_body(client), sizeof(reply));
    if (!is_sound || reply.count != count) {
        close_fds(got, &n_fds);
        return is_dead(client);
    }
    for (uint32_t i = 0; i < count; i++) {
        uint32_t error;
        memcpy(&error, reply_body(client) + sizeof(reply) + i * sizeof(error), sizeof(error));
        if (error > ERRNO_MAX) { /* a negative one would be a descriptor */
            close_fds(got, &n_fds);
            return is_dead(client);
        }
        /* Fewer than announced: our own table is full and the kernel dropped them. */
        fds[i] = error ? -(int)error : used < n_fds ? got[used++] : -EMFILE;
    }
    while (used < n_fds)
        close(got[used++]);
    return 0;
}
