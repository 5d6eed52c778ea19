/* gofer_requests.c - a sentry that was taken over: any messages, to the gofer's loop (native/gofer/server.c and what it calls).
 *
 * The loop's socket is ours: recv() hands out the input's messages, send() and sendmsg() look at what would be answered. So
 * besides the sanitizers: an answer belongs to its request; a descriptor is of a file of the tree asked for, and writable only
 * where the tree is; none is left open.
 *
 * Input: a byte of settings, then messages: a byte (request, RAW_HEADER, RAW_LENGTHS), a number (length of the body), the body.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

#include "gofer/server.h"
#include "input.h"
#include "place.h"

enum { RAW_HEADER = 0x80, RAW_LENGTHS = 0x40, REQUEST = 0x1f };
enum { WITHOUT_HELLO = 1, WITH_RANGES = 2, ONE_OWNER = 4 };
enum { TREES = 3 };

static struct input in;
static struct gofer_server *server;
static struct gofer_header asked;
static uint32_t asked_tree;
static bool is_greeting;
static int sock, trees[TREES];
static const uint32_t tree_flags[TREES] = {GOFER_TREE_WRITABLE, GOFER_TREE_IMMUTABLE, GOFER_TREE_FILE};
static char made[64][512]; /* files that CREATE made: gone with the input */
static uint32_t n_made;

ssize_t __wrap_recv(int fd, void *buffer, size_t size, int flags);
ssize_t __wrap_send(int fd, const void *buffer, size_t size, int flags);
ssize_t __wrap_sendmsg(int fd, const struct msghdr *message, int flags);

/* ---- asking -------------------------------------------------------------------------------------*/

/* What comes before the path in the body; 0: not known here. */
static uint32_t fixed_size(uint32_t op)
{
    switch (op) {
    case GOFER_WALK: return sizeof(struct gofer_walk);
    case GOFER_READDIR: case GOFER_LIST: return sizeof(struct gofer_readdir);
    case GOFER_OPEN: return sizeof(struct gofer_open);
    case GOFER_OPEN_MANY: return sizeof(struct gofer_open_many);
    case GOFER_CREATE: return sizeof(struct gofer_create);
    case GOFER_HELLO: case GOFER_OPEN_PTY: return 0;
    default: return sizeof(struct gofer_path);
    }
}

/* Says how long the path is, as the sentry would: few changes of an input keep the lengths right. */
static void mend_lengths(uint32_t op, unsigned char *body, uint32_t size)
{
    uint32_t fixed = fixed_size(op), names = 0;
    if (!fixed || size < fixed)
        return;
    uint32_t rest = size - fixed;
    if (op == GOFER_OPEN_MANY) {
        memcpy(&names, body + 8, sizeof names);
        names %= rest + 1;
        memcpy(body + 8, &names, sizeof names);
        body[15] = body[14] = body[13] = 0;
    }
    rest -= names;
    memcpy(body + 4, &rest, sizeof rest);
    body[1] = body[2] = body[3] = 0; /* the tree's number */
}

ssize_t __wrap_recv(int fd, void *buffer, size_t size, int flags)
{
    static unsigned char message[GOFER_MESSAGE_MAX + 64];
    static const struct gofer_hello hello = {.version = GOFER_PROTOCOL_VERSION};
    struct gofer_header head = {.id = 7};
    uint32_t body_len, kind;
    (void)flags;
    MUST(fd == sock);
    if (is_greeting) {
        is_greeting = false;
        head.op = GOFER_HELLO;
        kind = 0;
        body_len = sizeof hello;
        memcpy(message + sizeof head, &hello, sizeof hello);
    } else {
        if (in.at == in.end)
            return 0;
        kind = take_byte(&in);
        body_len = take_number(&in);
        head.op = kind & REQUEST;
        if (kind & RAW_HEADER)
            take_bytes(&in, &head, sizeof head);
        body_len = (uint32_t)take_bytes(&in, message + sizeof head, body_len);
        if (!(kind & RAW_LENGTHS))
            mend_lengths(head.op, message + sizeof head, body_len);
    }
    if (!(kind & RAW_HEADER))
        head.length = (uint32_t)sizeof head + body_len;
    asked = head;
    memcpy(&asked_tree, message + sizeof head, sizeof asked_tree);
    memcpy(message, &head, sizeof head);
    size_t length = sizeof head + body_len;
    if ((kind & RAW_HEADER) && head.cpu % 64 == 63) /* one that is no message */
        length = head.cpu % sizeof head;
    memcpy(buffer, message, length < size ? length : size);
    return (ssize_t)length;
}

/* ---- being answered -----------------------------------------------------------------------------*/

static void check_reply(const void *bytes, size_t size)
{
    struct gofer_header head;
    MUST(size >= sizeof head && size <= GOFER_MESSAGE_MAX);
    memcpy(&head, bytes, sizeof head);
    MUST(head.length == size && head.id == asked.id && head.op == asked.op && head.cpu == 0);
    MUST(head.error >= 0 && head.error < 4096);
    MUST(!head.error || size == sizeof head);
}

/* A file of the tree that was asked for, opened as that tree allows. */
static void check_descriptor(int fd)
{
    char link[64], path[512], wanted[512];
    struct stat st;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t size = readlink(link, path, sizeof path - 1);
    MUST(size > 0 && asked_tree < TREES);
    path[size] = 0;
    int wanted_len = snprintf(wanted, sizeof wanted, "%s/tree%s", place, tree_flags[asked_tree] & GOFER_TREE_FILE ? "/a" : "");
    MUST(strncmp(path, wanted, (size_t)wanted_len) == 0 && (path[wanted_len] == '/' || !path[wanted_len]));
    MUST(fstat(fd, &st) == 0 && (S_ISREG(st.st_mode) || S_ISDIR(st.st_mode)));
    MUST((tree_flags[asked_tree] & GOFER_TREE_WRITABLE) || (fcntl(fd, F_GETFL) & O_ACCMODE) == O_RDONLY);
    if (asked.op == GOFER_CREATE && n_made < sizeof made / sizeof *made)
        strcpy(made[n_made++], path);
}

ssize_t __wrap_send(int fd, const void *buffer, size_t size, int flags)
{
    (void)flags;
    MUST(fd == sock);
    check_reply(buffer, size);
    return (ssize_t)size;
}

ssize_t __wrap_sendmsg(int fd, const struct msghdr *message, int flags)
{
    (void)flags;
    MUST(fd == sock && message->msg_iovlen == 1);
    check_reply(message->msg_iov->iov_base, message->msg_iov->iov_len);
    struct cmsghdr *part = CMSG_FIRSTHDR(message);
    MUST(!((const struct gofer_header *)message->msg_iov->iov_base)->error);
    MUST(part && part->cmsg_level == SOL_SOCKET && part->cmsg_type == SCM_RIGHTS);
    int count = (int)((part->cmsg_len - CMSG_LEN(0)) / sizeof(int));
    MUST(count >= 1 && count <= GOFER_FDS_MAX);
    for (int n = 0; n < count; n++) {
        int sent;
        memcpy(&sent, CMSG_DATA(part) + (size_t)n * sizeof sent, sizeof sent);
        check_descriptor(sent);
    }
    return (ssize_t)message->msg_iov->iov_len;
}

/* What Python answers comes to a path by these functions (src/gofer/server.py). */
static int answer_rest(struct gofer_server *s, uint32_t op, const unsigned char *body, uint32_t body_len, unsigned char *reply,
                       uint32_t cap, int *fds, int *n_fds)
{
    struct gofer_path request;
    struct gofer_request_path path;
    uint32_t name_at;
    (void)op, (void)reply, (void)cap, (void)fds, (void)n_fds;
    GOFER_TAKE(request, path, body, body_len);
    int parent = gofer_open_parent_fd(s, request.tree, path.bytes, path.len, &name_at);
    if (parent >= 0) {
        MUST(name_at < path.len && !strchr(path.bytes + name_at, '/'));
        close(parent);
    }
    int fd = gofer_open_path(s, request.tree, path.bytes, path.len);
    if (fd < 0)
        return fd;
    close(fd);
    return -EPERM;
}

/* ---- one input ----------------------------------------------------------------------------------*/

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void)argc, (void)argv;
    place_make();
    trees[0] = trees[1] = open(".", O_PATH | O_DIRECTORY | O_CLOEXEC);
    trees[2] = open("a", O_PATH | O_CLOEXEC);
    umask(0);
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    in = (struct input){data, data + size};
    int before = open_descriptors();
    uint32_t settings = take_byte(&in);
    sock = open("/dev/null", O_RDWR | O_CLOEXEC);
    server = gofer_server_new(sock, open("/proc/self/fd", O_PATH | O_DIRECTORY | O_CLOEXEC), answer_rest);
    if (settings & WITH_RANGES)
        for (int is_group = 0; is_group < 2; is_group++)
            for (uint32_t first = 0; first < 2000; first += 1000)
                MUST(gofer_server_add_range(server, is_group, first, 100000 + first, 500) == 0);
    for (int n = 0; n < TREES; n++)
        MUST(gofer_server_add_tree(server, fcntl(trees[n], F_DUPFD_CLOEXEC, 3),
                                   tree_flags[n] | (settings & ONE_OWNER ? GOFER_TREE_ONE_OWNER : 0)) == n);
    is_greeting = !(settings & WITHOUT_HELLO);
    gofer_server_run(server, 0, 0);
    gofer_server_free(server);
    while (n_made)
        unlink(made[--n_made]);
    MUST(open_descriptors() == before);
    return 0;
}
