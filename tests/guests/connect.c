/* connect: connections that are on their way, never answered, or lead nowhere; names and ports that others have. */
#include "message.h"

#include <netinet/tcp.h>
#include <sys/un.h>

/* A server whose queue is full, so that handshakes with it do not end. */
static struct sockaddr_in full_server(void)
{
    int server = socket(AF_INET, SOCK_STREAM, 0), first = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in address = bind_to_loopback(server);
    REQUIRE_OK(listen(server, 0));
    REQUIRE_OK(connect(first, (struct sockaddr *)&address, sizeof address));
    return address;
}

TEST(connections_that_are_on_their_way)
{
    struct sockaddr_in address = full_server();
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    CHECK_ERRNO(connect(fd, (struct sockaddr *)&address, sizeof address), EINPROGRESS);
    CHECK_ERRNO(connect(fd, (struct sockaddr *)&address, sizeof address), EALREADY);
    CHECK_ERRNO(send(fd, "x", 1, 0), EAGAIN);
    CHECK_ERRNO(sendto(fd, "x", 1, MSG_FASTOPEN, (struct sockaddr *)&address, sizeof address), EALREADY);
    struct msghdr header = {.msg_name = &address, .msg_namelen = sizeof address, .msg_iov = &(struct iovec){"x", 1}, .msg_iovlen = 1};
    CHECK_ERRNO(sendmsg(fd, &header, MSG_FASTOPEN), EALREADY);
    CHECK_ERRNO(getpeername(fd, (struct sockaddr *)&address, &(socklen_t){sizeof address}), ENOTCONN);
    int second = socket(AF_INET, SOCK_STREAM, 0);
    CHECK_ERRNO(sendto(second, "x", 1, MSG_FASTOPEN | MSG_DONTWAIT, (struct sockaddr *)&address, sizeof address), EINPROGRESS);
}

TEST(a_connection_that_is_never_answered)
{
    struct sockaddr_in address = full_server();
    int fd = socket(AF_INET, SOCK_STREAM, 0), limit_ms = 1;
    REQUIRE_OK(setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &limit_ms, sizeof limit_ms));
    CHECK_ERRNO(connect(fd, (struct sockaddr *)&address, sizeof address), ETIMEDOUT); /* at the first retry, after 1 s */
    int other = socket(AF_INET, SOCK_STREAM, 0);
    struct timeval patience = {0, 20000};
    REQUIRE_OK(setsockopt(other, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience));
    CHECK_ERRNO(connect(other, (struct sockaddr *)&address, sizeof address), EINPROGRESS);
}

TEST(addresses_that_lead_nowhere)
{
    int udp = socket(AF_INET, SOCK_DGRAM, 0), tcp = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in broadcast = {.sin_family = AF_INET, .sin_port = htons(9), .sin_addr.s_addr = htonl(0x7fffffff)};
    CHECK_ERRNO(connect(udp, (struct sockaddr *)&broadcast, sizeof broadcast), EACCES); /* without SO_BROADCAST */
    CHECK_ERRNO(connect(tcp, (struct sockaddr *)&broadcast, sizeof broadcast), ENETUNREACH);
    struct msghdr header = {.msg_name = &broadcast, .msg_namelen = sizeof broadcast, .msg_iov = &(struct iovec){"x", 1}, .msg_iovlen = 1};
    struct mmsghdr several = {.msg_hdr = header};
    CHECK_ERRNO(sendto(udp, "x", 1, 0, (struct sockaddr *)&broadcast, sizeof broadcast), EACCES);
    CHECK_ERRNO(sendmsg(udp, &header, 0), EACCES);
    CHECK_ERRNO(sendmmsg(udp, &several, 1, 0), EACCES);
    int on = 1;
    REQUIRE_OK(setsockopt(udp, SOL_SOCKET, SO_BROADCAST, &on, sizeof on));
    CHECK_EQ(sendto(udp, "x", 1, 0, (struct sockaddr *)&broadcast, sizeof broadcast), 1);
    broadcast.sin_family = AF_UNIX;
    CHECK_ERRNO(connect(tcp, (struct sockaddr *)&broadcast, sizeof broadcast), EAFNOSUPPORT);
    CHECK_ERRNO(connect(udp, (struct sockaddr *)&broadcast, sizeof broadcast), EAFNOSUPPORT);
    CHECK_ERRNO(sendto(udp, "x", 1, 0, (struct sockaddr *)&broadcast, sizeof broadcast), EAFNOSUPPORT);
}

TEST(one_connection_from_one_port)
{
    int server = socket(AF_INET, SOCK_STREAM, 0), first = socket(AF_INET, SOCK_STREAM, 0), second = socket(AF_INET, SOCK_STREAM, 0), on = 1;
    struct sockaddr_in address = bind_to_loopback(server);
    REQUIRE_OK(listen(server, 4));
    REQUIRE_OK(setsockopt(first, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on));
    REQUIRE_OK(setsockopt(second, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on));
    struct sockaddr_in own = bind_to_loopback(first);
    CHECK_OK(bind(second, (struct sockaddr *)&own, sizeof own));
    CHECK_OK(connect(first, (struct sockaddr *)&address, sizeof address));
    CHECK_ERRNO(connect(second, (struct sockaddr *)&address, sizeof address), EADDRNOTAVAIL);
}

TEST(one_listener_on_one_port)
{
    int first = socket(AF_INET, SOCK_STREAM, 0), second = socket(AF_INET, SOCK_STREAM, 0), on = 1;
    REQUIRE_OK(setsockopt(first, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on));
    REQUIRE_OK(setsockopt(second, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on));
    struct sockaddr_in own = bind_to_loopback(first);
    CHECK_OK(bind(second, (struct sockaddr *)&own, sizeof own));
    CHECK_OK(listen(first, 1));
    CHECK_ERRNO(listen(second, 1), EADDRINUSE);
    CHECK_OK(listen(first, 4)); /* may change how many wait */
}

TEST(unix_names_of_others)
{
    scratch();
    struct sockaddr_un name = {.sun_family = AF_UNIX, .sun_path = "s"};
    int server = socket(AF_UNIX, SOCK_STREAM, 0), datagram = socket(AF_UNIX, SOCK_DGRAM, 0), packets = socket(AF_UNIX, SOCK_SEQPACKET, 0);
    REQUIRE_OK(bind(server, (struct sockaddr *)&name, sizeof name));
    REQUIRE_OK(listen(server, 0));
    CHECK_ERRNO(connect(datagram, (struct sockaddr *)&name, sizeof name), EPROTOTYPE);
    CHECK_ERRNO(connect(packets, (struct sockaddr *)&name, sizeof name), EPROTOTYPE);
    CHECK_ERRNO(sendto(datagram, "x", 1, 0, (struct sockaddr *)&name, sizeof name), EPROTOTYPE);
    int first = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0), second = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);
    CHECK_OK(connect(first, (struct sockaddr *)&name, sizeof name));
    CHECK_ERRNO(connect(second, (struct sockaddr *)&name, sizeof name), EAGAIN); /* the queue is full */
    REQUIRE_OK(accept(server, NULL, NULL));
    CHECK_OK(connect(second, (struct sockaddr *)&name, sizeof name));
    if (geteuid() == 0) {
        REQUIRE_OK(chmod("s", 0600));
        REQUIRE_OK(chmod(".", 0755));
        REQUIRE_OK(setresuid(1000, 1000, 0));
        CHECK_ERRNO(connect(socket(AF_UNIX, SOCK_STREAM, 0), (struct sockaddr *)&name, sizeof name), EACCES);
        REQUIRE_OK(setresuid(0, 0, 0));
    }
}
