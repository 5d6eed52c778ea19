/* What the guests of messages share: each call that sends or receives, by one shape; a pair of sockets of each kind. */
#ifndef GUEST_MESSAGE_H
#define GUEST_MESSAGE_H

#include "guest.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>

enum { STREAM, DATAGRAM, PACKETS, TCP, UDP, KINDS };
static const char *const kind_names[KINDS] = {"AF_UNIX stream", "AF_UNIX datagram", "AF_UNIX seqpacket", "TCP", "UDP"};

/* Each call with one buffer. Returns the bytes or -errno; *told is msg_flags where the call has one. */
static long by_sendto(int fd, void *data, size_t size, int flags)
{
    long count = sendto(fd, data, size, flags, NULL, 0);
    return count < 0 ? -errno : count;
}

static long by_sendmsg(int fd, void *data, size_t size, int flags)
{
    struct iovec vector = {data, size};
    struct msghdr header = {.msg_iov = &vector, .msg_iovlen = 1};
    long count = sendmsg(fd, &header, flags);
    return count < 0 ? -errno : count;
}

static long by_sendmmsg(int fd, void *data, size_t size, int flags)
{
    struct iovec vector = {data, size};
    struct mmsghdr message = {.msg_hdr = {.msg_iov = &vector, .msg_iovlen = 1}};
    int count = sendmmsg(fd, &message, 1, flags);
    return count < 0 ? -errno : count == 1 ? (long)message.msg_len : -EPROTO;
}

static long by_recvfrom(int fd, void *data, size_t size, int flags, int *told)
{
    long count = recvfrom(fd, data, size, flags, NULL, NULL);
    *told = 0;
    return count < 0 ? -errno : count;
}

static long by_recvmsg(int fd, void *data, size_t size, int flags, int *told)
{
    struct iovec vector = {data, size};
    struct msghdr header = {.msg_iov = &vector, .msg_iovlen = 1, .msg_flags = -1};
    long count = recvmsg(fd, &header, flags);
    *told = header.msg_flags;
    return count < 0 ? -errno : count;
}

static long by_recvmmsg(int fd, void *data, size_t size, int flags, int *told)
{
    struct iovec vector = {data, size};
    struct mmsghdr message = {.msg_hdr = {.msg_iov = &vector, .msg_iovlen = 1, .msg_flags = -1}};
    int count = recvmmsg(fd, &message, 1, flags, NULL);
    *told = message.msg_hdr.msg_flags;
    return count < 0 ? -errno : count == 1 ? (long)message.msg_len : -EPROTO;
}

static const struct sender {
    const char *name;
    long (*send)(int fd, void *data, size_t size, int flags);
} senders[] = {{"sendto", by_sendto}, {"sendmsg", by_sendmsg}, {"sendmmsg", by_sendmmsg}};

static const struct receiver {
    const char *name;
    long (*receive)(int fd, void *data, size_t size, int flags, int *told);
} receivers[] = {{"recvfrom", by_recvfrom}, {"recvmsg", by_recvmsg}, {"recvmmsg", by_recvmmsg}};

#define EACH(entry, table) (size_t entry = 0; entry < sizeof table / sizeof *table; entry++)

/* One line for a call that answered otherwise. */
__attribute__((unused)) static void expect(const char *call, int kind, int flags, long got, long expected)
{
    if (got != expected)
        GUEST_FAIL("%s, %s, flags 0x%x: expected %ld, got %ld", call, kind_names[kind], (unsigned)flags, expected, got);
}

__attribute__((unused)) static struct sockaddr_in bind_to_loopback(int fd)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof address;
    REQUIRE_OK(bind(fd, (struct sockaddr *)&address, length));
    REQUIRE_OK(getsockname(fd, (struct sockaddr *)&address, &length));
    return address;
}

/* Two connected sockets; what is sent at [0] arrives at [1]. */
__attribute__((unused)) static void make_pair(int kind, int pair[2])
{
    static const int types[] = {SOCK_STREAM, SOCK_DGRAM, SOCK_SEQPACKET, SOCK_STREAM, SOCK_DGRAM};
    if (kind <= PACKETS) {
        REQUIRE_OK(socketpair(AF_UNIX, types[kind], 0, pair));
        return;
    }
    int first = socket(AF_INET, types[kind], 0);
    struct sockaddr_in address = bind_to_loopback(first);
    REQUIRE_OK(pair[0] = socket(AF_INET, types[kind], 0));
    if (kind == TCP)
        REQUIRE_OK(listen(first, 1));
    REQUIRE_OK(connect(pair[0], (struct sockaddr *)&address, sizeof address));
    pair[1] = first;
    if (kind == TCP) {
        REQUIRE_OK(pair[1] = accept(first, NULL, NULL));
        close(first);
    }
}

__attribute__((unused)) static void close_pair(int pair[2])
{
    close(pair[0]);
    close(pair[1]);
}

#endif
