/* gofer_answers.c - a gofer that answers anything, to the sentry's client (native/gofer/client.c).
 *
 * sendmsg() takes the request, recvmsg() hands out the input's bytes and descriptors. What the client lets through is read to
 * its last byte; behind it the buffer is poisoned. A descriptor is the caller's or closed.
 *
 * Input: calls, a byte each, and for each answer a byte (number of descriptors, RAW), a number (length), the body.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <sanitizer/asan_interface.h>
#include <sys/socket.h>
#include <unistd.h>

#include "gofer/client.h"
#include "input.h"

enum { RAW = 0x80, NO_CONTROL = 0x40, ERROR = 0x20, N_FDS = 0x1f };

static struct input in;
static struct gofer_client client;
static struct gofer_header asked;
static int devnull;
static volatile uint64_t sum;

ssize_t __wrap_sendmsg(int fd, const struct msghdr *message, int flags);
ssize_t __wrap_recvmsg(int fd, struct msghdr *message, int flags);

ssize_t __wrap_sendmsg(int fd, const struct msghdr *message, int flags)
{
    size_t size = 0;
    (void)flags;
    MUST(fd == devnull);
    for (size_t n = 0; n < message->msg_iovlen; n++)
        size += message->msg_iov[n].iov_len;
    memcpy(&asked, message->msg_iov[0].iov_base, sizeof asked);
    MUST(asked.length == size && size <= GOFER_MESSAGE_MAX);
    ASAN_UNPOISON_MEMORY_REGION(client.message, sizeof client.message);
    return (ssize_t)size;
}

ssize_t __wrap_recvmsg(int fd, struct msghdr *message, int flags)
{
    static unsigned char bytes[GOFER_MESSAGE_MAX];
    struct gofer_header head = {.id = asked.id, .op = asked.op};
    (void)flags;
    MUST(fd == devnull && message->msg_iovlen == 1);
    message->msg_flags = 0;
    message->msg_controllen = 0;
    if (in.at == in.end)
        return 0;
    uint32_t kind = take_byte(&in);
    size_t size = take_number(&in);
    if (size > sizeof bytes - sizeof head)
        size = sizeof bytes - sizeof head;
    if (kind & ERROR)
        head.error = (int32_t)take_byte(&in);
    size = take_bytes(&in, bytes + sizeof head, size) + sizeof head;
    head.length = (uint32_t)size;
    memcpy(bytes, &head, sizeof head);
    if (kind & RAW) {
        size -= sizeof head;
        memmove(bytes, bytes + sizeof head, size);
    }
    if (size > message->msg_iov->iov_len)
        size = message->msg_iov->iov_len;
    memcpy(message->msg_iov->iov_base, bytes, size);
    uint32_t count = kind & N_FDS;
    if (count > GOFER_FDS_MAX)
        count = GOFER_FDS_MAX;
    if (count && !(kind & NO_CONTROL)) {
        message->msg_controllen = CMSG_SPACE(count * sizeof(int));
        struct cmsghdr *part = CMSG_FIRSTHDR(message);
        *part = (struct cmsghdr){.cmsg_len = CMSG_LEN(count * sizeof(int)), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS};
        for (uint32_t n = 0; n < count; n++) {
            int copy = fcntl(devnull, F_DUPFD_CLOEXEC, 3);
            memcpy(CMSG_DATA(part) + n * sizeof copy, &copy, sizeof copy);
        }
    }
    size_t readable = size > sizeof head ? size : sizeof head; /* a header is copied before it is judged */
    if (readable < sizeof client.message)
        ASAN_POISON_MEMORY_REGION((char *)client.message + readable, sizeof client.message - readable);
    return (ssize_t)size;
}

/* ---- what the sentry does with an answer --------------------------------------------------------*/

static void look(const void *bytes, size_t size)
{
    for (size_t n = 0; n < size; n++)
        sum += ((const unsigned char *)bytes)[n];
}

static void walk(uint32_t flags)
{
    struct gofer_walk_answer answer;
    bool has_base = flags & GOFER_WALK_BASE;
    if (gofer_walk(&client, 0, "a/b", 3, has_base ? 1 : 0, flags, &answer))
        return;
    MUST(answer.stop < 4096); /* an errno: it becomes a call's result */
    if (has_base)
        look(answer.base, sizeof *answer.base);
    look(answer.attrs, answer.count * sizeof *answer.attrs);
    look(answer.target, answer.target_len);
    if (answer.fd >= 0)
        MUST(close(answer.fd) == 0);
}

static void readdir_page(void)
{
    struct gofer_readdir_answer answer;
    if (gofer_readdir(&client, 0, "", 0, 0, &answer))
        return;
    const unsigned char *at = answer.entries, *end = at + answer.entries_len;
    uint32_t count = 0;
    for (; at < end; count++) {
        const struct gofer_dirent *entry = (const void *)at;
        look(entry, sizeof *entry + entry->name_len + entry->target_len);
        at += entry->size;
    }
    MUST(at == end && count == answer.count);
}

static void list_page(void)
{
    struct gofer_list_answer answer;
    if (gofer_list(&client, 0, "", 0, 0, &answer))
        return;
    look(answer.attrs, answer.n_attrs * sizeof *answer.attrs);
    const unsigned char *at = answer.entries, *end = at + answer.entries_len;
    while (at < end) {
        uint16_t size;
        memcpy(&size, at + 16, sizeof size);
        MUST(strlen((const char *)at + 19) + 20 <= size);
        at += size;
    }
    MUST(at == end);
}

static void hello(void)
{
    uint32_t flags[4];
    char step[16];
    int count = gofer_hello(&client, flags, 4, step, sizeof step);
    look(flags, count < 0 ? 0 : (size_t)(count < 4 ? count : 4) * sizeof *flags);
    MUST(strlen(step) < sizeof step);
}

static void open_one(void)
{
    struct gofer_attr attr;
    int fd = gofer_open(&client, 0, "a", 1, 0, &attr);
    if (fd >= 0) {
        look(&attr, sizeof attr);
        MUST(close(fd) == 0);
    }
}

static void open_many(void)
{
    int fds[3];
    if (gofer_open_many(&client, 0, "d", 1, "a\0b\0c", 6, 3, fds) == 0)
        for (int n = 0; n < 3; n++)
            MUST(fds[n] < 0 || close(fds[n]) == 0);
}

static void call(uint32_t room)
{
    unsigned char reply[256];
    int fds[2], n_fds = 2;
    uint32_t cap = room % (uint32_t)sizeof reply;
    int size = gofer_call(&client, GOFER_STATFS, "", 0, reply, cap, fds, &n_fds);
    MUST(size <= (int)cap && (size >= 0 || n_fds == 0));
    look(reply, size < 0 ? 0 : (size_t)size);
    while (n_fds > 0)
        MUST(close(fds[--n_fds]) == 0);
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void)argc, (void)argv;
    devnull = open("/dev/null", O_RDWR | O_CLOEXEC);
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    in = (struct input){data, data + size};
    int before = open_descriptors();
    ASAN_UNPOISON_MEMORY_REGION(client.message, sizeof client.message);
    gofer_client_init(&client, devnull, 0);
    while (in.at < in.end && !client.dead) {
        uint32_t what = take_byte(&in);
        switch (what & 7) {
        case 0: walk(what >> 3 & 3); break;
        case 1: readdir_page(); break;
        case 2: list_page(); break;
        case 3: hello(); break;
        case 4: open_one(); break;
        case 5: open_many(); break;
        case 6: call(what); break;
        default: call(take_byte(&in)); break;
        }
    }
    MUST(open_descriptors() == before);
    return 0;
}
