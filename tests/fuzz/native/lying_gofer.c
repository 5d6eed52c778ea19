/* lying_gofer.c - see sandbox.h: the gofer of a sandbox in one process, and what is wrong with its answers. */
#define _GNU_SOURCE
#include "sandbox.h"

#include <sys/socket.h>
#include <unistd.h>

#include "gofer/client.h"
#include "gofer/server.h"

static struct gofer_client client;
static struct gofer_server *server;
static int devnull;

static struct {
    bool is_set;
    enum lie lie;
    uint32_t where, value;
} lies[8];
static uint32_t n_requests;
static _Alignas(8) unsigned char request[GOFER_MESSAGE_MAX];
static _Alignas(8) unsigned char reply[GOFER_MESSAGE_MAX];
static uint32_t request_len;

void lying_gofer_lie(enum lie lie, uint32_t skip, uint32_t where, uint32_t value)
{
    uint32_t n = (n_requests + skip) % 8;
    lies[n].is_set = true;
    lies[n].lie = lie;
    lies[n].where = where;
    lies[n].value = value;
}

bool lying_gofer_is_over(void)
{
    return client.dead;
}

/* Where the answer has attributes: the nth of them. NULL: it has none. */
static unsigned char *attributes(uint32_t op, uint32_t size, uint32_t nth)
{
    uint32_t at = op == GOFER_WALK ? sizeof(struct gofer_walk_reply)
                : op == GOFER_LIST ? sizeof(struct gofer_list_reply)
                : op == GOFER_READDIR ? (uint32_t)offsetof(struct gofer_readdir_reply, directory) : 0;
    uint32_t step = sizeof(struct gofer_attr);
    if (op == GOFER_READDIR && nth) { /* the entries' */
        at = sizeof(struct gofer_readdir_reply) + (uint32_t)offsetof(struct gofer_dirent, attr);
        struct gofer_dirent entry;
        for (nth--; nth && at + step <= size; nth--) {
            memcpy(&entry, reply + sizeof(struct gofer_header) + at - offsetof(struct gofer_dirent, attr), sizeof entry);
            at += entry.size;
        }
        step = 0;
    }
    at += nth * step;
    return at + sizeof(struct gofer_attr) <= size ? reply + sizeof(struct gofer_header) + at : NULL;
}

/* Entries of a directory once more, all or the last: each name comes twice, the second time perhaps as another file. */
static uint32_t repeat(uint32_t op, uint32_t size, bool is_other, bool is_last_only)
{
    unsigned char *body = reply + sizeof(struct gofer_header);
    struct gofer_readdir_reply page;
    struct gofer_list_reply list;
    struct gofer_dirent entry;
    if (op == GOFER_LIST && size >= sizeof list) {
        memcpy(&list, body, sizeof list);
        uint32_t head = (uint32_t)sizeof list + list.n_attrs * (uint32_t)sizeof(struct gofer_attr), more = size - head;
        if (size + more > sizeof reply - sizeof(struct gofer_header))
            return size;
        memcpy(body + size, body + head, more);
        return size + more;
    }
    if (op != GOFER_READDIR || size <= sizeof page || 2 * size > sizeof reply)
        return size;
    memcpy(&page, body, sizeof page);
    uint32_t end = size, last = sizeof page;
    for (uint32_t at = sizeof page; at < end; at += entry.size) {
        memcpy(&entry, body + at, sizeof entry);
        last = at;
    }
    for (uint32_t at = is_last_only ? last : sizeof page; at < end; at += entry.size) {
        memcpy(&entry, body + at, sizeof entry);
        memcpy(body + size, body + at, entry.size);
        entry.attr.ino += is_other ? 7 : 0;
        memcpy(body + size, &entry, sizeof entry);
        size += entry.size;
        page.count++;
    }
    memcpy(body, &page, sizeof page);
    return size;
}

static void tell_lie(enum lie lie, uint32_t where, uint32_t value, struct gofer_header *head, int *fds, int *n_fds)
{
    uint32_t size = head->length - (uint32_t)sizeof *head;
    unsigned char *body = reply + sizeof *head, *attr;
    uint64_t ino = value + 1;
    uint32_t mode;
    static const uint32_t types[] = {S_IFREG, S_IFDIR, S_IFLNK, S_IFIFO, 0, S_IFCHR, S_IFSOCK, S_IFMT};
    switch (lie) {
    case LIE_PATCH:
        if (size)
            body[where % size] = (unsigned char)value;
        break;
    case LIE_REPLACED:
        if ((attr = attributes(head->op, size, where % 8)))
            memcpy(attr + offsetof(struct gofer_attr, ino), &ino, sizeof ino);
        break;
    case LIE_TYPE:
        if (!(attr = attributes(head->op, size, where % 8)))
            break;
        mode = types[value % 8] | 0755;
        memcpy(attr + offsetof(struct gofer_attr, mode), &mode, sizeof mode);
        break;
    case LIE_ERROR:
        head->error = (int32_t)(value % 133) + 1;
        head->length = (uint32_t)sizeof *head;
        while (*n_fds > 0)
            close(fds[--*n_fds]);
        break;
    case LIE_SHORT:
        head->length = (uint32_t)sizeof *head + where % (size + 1);
        break;
    case LIE_DESCRIPTORS:
        while (*n_fds > (int)(value % 4))
            close(fds[--*n_fds]);
        while (*n_fds < (int)(value % 4))
            fds[(*n_fds)++] = fcntl(devnull, F_DUPFD_CLOEXEC, 3);
        break;
    case LIE_TWICE:
        head->length = (uint32_t)sizeof *head + repeat(head->op, size, value & 1, value & 2);
        break;
    default:
        head->op ^= 1;
    }
}

ssize_t __wrap_sendmsg(int fd, const struct msghdr *message, int flags);
ssize_t __wrap_recvmsg(int fd, struct msghdr *message, int flags);
ssize_t __real_sendmsg(int fd, const struct msghdr *message, int flags);
ssize_t __real_recvmsg(int fd, struct msghdr *message, int flags);

ssize_t __wrap_sendmsg(int fd, const struct msghdr *message, int flags)
{
    if (fd != client.fd)
        return __real_sendmsg(fd, message, flags);
    request_len = 0;
    for (size_t n = 0; n < message->msg_iovlen; n++) {
        if (message->msg_iov[n].iov_len)
            memcpy(request + request_len, message->msg_iov[n].iov_base, message->msg_iov[n].iov_len);
        request_len += (uint32_t)message->msg_iov[n].iov_len;
    }
    return request_len;
}

ssize_t __wrap_recvmsg(int fd, struct msghdr *message, int flags)
{
    struct gofer_header head;
    int fds[GOFER_FDS_MAX], n_fds = 0;
    if (fd != client.fd)
        return __real_recvmsg(fd, message, flags);
    memcpy(&head, request, sizeof head);
    MUST(head.length == request_len);
    int size = gofer_answer(server, head.op, request + sizeof head, request_len - (uint32_t)sizeof head, reply + sizeof head,
                            GOFER_MESSAGE_MAX - (uint32_t)sizeof head, fds, &n_fds);
    MUST(size != -EPROTO && size != -ENOSYS); /* whatever a program asks for, what the sentry sends is a request */
    head.error = size < 0 ? -size : 0;
    head.length = (uint32_t)sizeof head + (size < 0 ? 0 : (uint32_t)size);
    uint32_t turn = n_requests++ % 8;
    if (lies[turn].is_set)
        tell_lie(lies[turn].lie, lies[turn].where, lies[turn].value, &head, fds, &n_fds);
    lies[turn].is_set = false;
    memcpy(reply, &head, sizeof head);
    memcpy(message->msg_iov->iov_base, reply, head.length);
    message->msg_flags = 0;
    message->msg_controllen = n_fds ? CMSG_SPACE((size_t)n_fds * sizeof *fds) : 0;
    if (n_fds) {
        struct cmsghdr *part = CMSG_FIRSTHDR(message);
        *part = (struct cmsghdr){.cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS};
        part->cmsg_len = CMSG_LEN((size_t)n_fds * sizeof *fds);
        memcpy(CMSG_DATA(part), fds, (size_t)n_fds * sizeof *fds);
    }
    return head.length;
}

void lying_gofer_start(void)
{
    uint32_t flags[2];
    char step[8];
    if (!server) {
        devnull = open("/dev/null", O_RDWR | O_CLOEXEC);
        int tree = open(".", O_PATH | O_DIRECTORY | O_CLOEXEC);
        server = gofer_server_new(-1, open("/proc/self/fd", O_PATH | O_DIRECTORY | O_CLOEXEC), NULL);
        MUST(gofer_server_add_tree(server, tree, GOFER_TREE_WRITABLE) == 0);
        MUST(gofer_server_add_tree(server, tree, GOFER_TREE_IMMUTABLE) == 1);
    }
    n_requests = 0;
    memset(lies, 0, sizeof lies);
    gofer_client_init(&client, devnull, 0);
    MUST(gofer_hello(&client, flags, 2, step, sizeof step) == 2);
    the_gofer = &client;
}
