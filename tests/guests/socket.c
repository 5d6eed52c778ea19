/* socket: AF_UNIX and loopback AF_INET sockets. Passing descriptors and credentials: see ancillary.c. */
#include "guest.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>

static void make_pair(int type, int pair[2])
{
    REQUIRE_OK(socketpair(AF_UNIX, type, 0, pair));
}

static socklen_t unix_address(struct sockaddr_un *address, const char *path)
{
    memset(address, 0, sizeof *address);
    address->sun_family = AF_UNIX;
    snprintf(address->sun_path, sizeof address->sun_path, "%s", path);
    return sizeof *address;
}

/* A name in the abstract name space: no file, gone with the socket. */
static socklen_t abstract_address(struct sockaddr_un *address, const char *name)
{
    memset(address, 0, sizeof *address);
    address->sun_family = AF_UNIX;
    int length = snprintf(address->sun_path + 1, sizeof address->sun_path - 1, "%s-%d", name, getpid());
    return (socklen_t)(sizeof(sa_family_t) + 1 + (size_t)length);
}

/* A listening TCP socket on 127.0.0.1; the address it got goes to *address. */
static int listen_tcp(struct sockaddr_in *address)
{
    int fd = socket(AF_INET, SOCK_STREAM, 0), one = 1;
    REQUIRE_OK(fd);
    *address = (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    REQUIRE_OK(setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one));
    REQUIRE_OK(bind(fd, (struct sockaddr *)address, sizeof *address));
    REQUIRE_OK(listen(fd, 8));
    socklen_t length = sizeof *address;
    REQUIRE_OK(getsockname(fd, (struct sockaddr *)address, &length));
    return fd;
}

TEST(stream_pairs)
{
    int pair[2];
    make_pair(SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, pair);
    CHECK_EQ(fcntl(pair[0], F_GETFD), FD_CLOEXEC);
    CHECK_EQ(fcntl(pair[0], F_GETFL), O_RDWR | O_NONBLOCK);
    char *buffer = guarded(8);
    CHECK_ERRNO(recv(pair[0], buffer, 8, 0), EAGAIN);
    CHECK_EQ(write(pair[1], "hel", 3), 3);
    CHECK_EQ(send(pair[1], "lo", 2, 0), 2);
    CHECK_EQ(recv(pair[0], buffer, 2, MSG_PEEK), 2);
    CHECK_EQ(read(pair[0], buffer, 8), 5);
    CHECK(memcmp(buffer, "hello", 5) == 0);
    CHECK_EQ(write(pair[0], "back", 4), 4);
    CHECK_EQ(recv(pair[1], buffer, 8, MSG_DONTWAIT), 4);
    CHECK_ERRNO(lseek(pair[0], 0, SEEK_SET), ESPIPE);
}

TEST(datagram_pairs_keep_boundaries)
{
    int pair[2];
    make_pair(SOCK_DGRAM, pair);
    CHECK_EQ(send(pair[0], "one", 3, 0), 3);
    CHECK_EQ(send(pair[0], "second", 6, 0), 6);
    char *buffer = guarded(4);
    CHECK_EQ(recv(pair[1], buffer, 4, 0), 3);
    CHECK_EQ(recv(pair[1], buffer, 4, MSG_TRUNC), 6);
    CHECK(memcmp(buffer, "seco", 4) == 0);
    CHECK_ERRNO(recv(pair[1], buffer, 4, MSG_DONTWAIT), EAGAIN);
    CHECK_EQ(send(pair[0], "", 0, 0), 0);
    CHECK_EQ(recv(pair[1], buffer, 4, 0), 0);
}

TEST(seqpacket_pairs)
{
    int pair[2];
    make_pair(SOCK_SEQPACKET, pair);
    CHECK_EQ(send(pair[0], "abc", 3, 0), 3);
    CHECK_EQ(send(pair[0], "de", 2, 0), 2);
    char buffer[8];
    CHECK_EQ(recv(pair[1], buffer, 8, 0), 3);
    CHECK_EQ(recv(pair[1], buffer, 8, 0), 2);
    close(pair[0]);
    CHECK_EQ(recv(pair[1], buffer, 8, 0), 0);
}

TEST(closed_peers)
{
    int pair[2];
    make_pair(SOCK_STREAM, pair);
    CHECK_EQ(write(pair[0], "rest", 4), 4);
    close(pair[0]);
    char buffer[8];
    CHECK_EQ(read(pair[1], buffer, 8), 4);
    CHECK_EQ(read(pair[1], buffer, 8), 0);
    CHECK_ERRNO(send(pair[1], "x", 1, MSG_NOSIGNAL), EPIPE);
    signal(SIGPIPE, SIG_IGN);
    CHECK_ERRNO(write(pair[1], "x", 1), EPIPE);
    pid_t pid = fork_child();
    if (pid == 0) {
        signal(SIGPIPE, SIG_DFL);
        ssize_t sent = send(pair[1], "x", 1, 0);
        _exit((int)sent);
    }
    CHECK_SIGNALED(wait_status(pid), SIGPIPE);
}

TEST(shutdown_closes_one_direction)
{
    int pair[2];
    make_pair(SOCK_STREAM, pair);
    CHECK_OK(shutdown(pair[0], SHUT_WR));
    char byte;
    CHECK_EQ(read(pair[1], &byte, 1), 0);
    CHECK_EQ(write(pair[1], "x", 1), 1);
    CHECK_EQ(read(pair[0], &byte, 1), 1);
    CHECK_ERRNO(send(pair[0], "x", 1, MSG_NOSIGNAL), EPIPE);
    CHECK_ERRNO(shutdown(pair[0], 99), EINVAL);
    CHECK_ERRNO(shutdown(0x3ff, SHUT_RD), EBADF);
}

TEST(messages_with_vectors)
{
    int pair[2];
    make_pair(SOCK_STREAM, pair);
    struct iovec out[2] = {{"vec", 3}, {"tors", 4}};
    struct msghdr message = {.msg_iov = out, .msg_iovlen = 2};
    CHECK_EQ(sendmsg(pair[0], &message, 0), 7);
    char *first = guarded(2), *second = guarded(8);
    struct iovec in[2] = {{first, 2}, {second, 8}};
    message = (struct msghdr){.msg_iov = in, .msg_iovlen = 2};
    CHECK_EQ(recvmsg(pair[1], &message, 0), 7);
    CHECK(memcmp(first, "ve", 2) == 0 && memcmp(second, "ctors", 5) == 0);
    struct mmsghdr several[2] = {{.msg_hdr = {.msg_iov = out, .msg_iovlen = 1}},
                                 {.msg_hdr = {.msg_iov = out + 1, .msg_iovlen = 1}}};
    int datagrams[2];
    make_pair(SOCK_DGRAM, datagrams);
    CHECK_EQ(sendmmsg(datagrams[0], several, 2, 0), 2);
    CHECK_EQ(several[1].msg_len, 4);
    struct mmsghdr received[3] = {{.msg_hdr = {.msg_iov = in + 1, .msg_iovlen = 1}},
                                  {.msg_hdr = {.msg_iov = in + 1, .msg_iovlen = 1}},
                                  {.msg_hdr = {.msg_iov = in + 1, .msg_iovlen = 1}}};
    CHECK_EQ(recvmmsg(datagrams[1], received, 3, MSG_DONTWAIT, NULL), 2);
    CHECK_EQ(received[0].msg_len, 3);
    CHECK_EQ(received[1].msg_len, 4);
}

TEST(waiting_for_all)
{
    int pair[2];
    make_pair(SOCK_STREAM, pair);
    pid_t pid = fork_child();
    if (pid == 0) {
        char buffer[10];
        CHECK_EQ(recv(pair[1], buffer, 10, MSG_WAITALL), 10);
        guest_finish();
    }
    CHECK_EQ(write(pair[0], "12345", 5), 5);
    wait_for_state(pid, 'S');
    CHECK_EQ(write(pair[0], "67890", 5), 5);
    CHECK_CHILD(pid);
}

TEST(a_large_blocking_send_is_complete)
{
    int pair[2];
    make_pair(SOCK_STREAM, pair);
    size_t size = 2000000;
    pid_t pid = fork_child();
    if (pid == 0) {
        close(pair[0]);
        char buffer[50000];
        size_t total = 0;
        ssize_t got;
        while ((got = read(pair[1], buffer, sizeof buffer)) > 0)
            total += (size_t)got;
        CHECK_EQ(total, size);
        guest_finish();
    }
    char *data = calloc(1, size);
    CHECK_EQ(write(pair[0], data, size), (ssize_t)size);
    close(pair[0]);
    close(pair[1]);
    CHECK_CHILD(pid);
}

TEST(named_unix_sockets)
{
    scratch();
    struct sockaddr_un address, got;
    socklen_t length = unix_address(&address, "sock");
    int server = socket(AF_UNIX, SOCK_STREAM, 0), client = socket(AF_UNIX, SOCK_STREAM, 0);
    CHECK_ERRNO(connect(client, (struct sockaddr *)&address, length), ENOENT);
    CHECK_OK(bind(server, (struct sockaddr *)&address, length));
    CHECK_ERRNO(connect(client, (struct sockaddr *)&address, length), ECONNREFUSED);
    struct stat status;
    CHECK_OK(lstat("sock", &status));
    CHECK(S_ISSOCK(status.st_mode));
    CHECK_ERRNO(open("sock", O_RDWR), ENXIO);
    int second = socket(AF_UNIX, SOCK_STREAM, 0);
    CHECK_ERRNO(bind(second, (struct sockaddr *)&address, length), EADDRINUSE);
    CHECK_OK(listen(server, 4));
    CHECK_OK(connect(client, (struct sockaddr *)&address, length));
    length = sizeof got;
    int connection = accept4(server, (struct sockaddr *)&got, &length, SOCK_CLOEXEC);
    CHECK_OK(connection);
    CHECK_EQ(length, sizeof(sa_family_t));
    CHECK_EQ(fcntl(connection, F_GETFD), FD_CLOEXEC);
    length = sizeof got;
    CHECK_OK(getpeername(client, (struct sockaddr *)&got, &length));
    CHECK_STR(got.sun_path, "sock");
    CHECK_EQ(write(client, "hi", 2), 2);
    char buffer[4];
    CHECK_EQ(read(connection, buffer, 4), 2);
    CHECK_OK(unlink("sock"));
    CHECK_EQ(write(connection, "ok", 2), 2);
    CHECK_EQ(read(client, buffer, 4), 2);
    write_file("plain", "x");
    unix_address(&address, "plain");
    CHECK_ERRNO(connect(second, (struct sockaddr *)&address, sizeof address), ECONNREFUSED);
}

TEST(datagrams_to_a_name)
{
    scratch();
    struct sockaddr_un server_name, client_name, from;
    socklen_t length = unix_address(&server_name, "server");
    int server = socket(AF_UNIX, SOCK_DGRAM, 0), client = socket(AF_UNIX, SOCK_DGRAM, 0);
    CHECK_OK(bind(server, (struct sockaddr *)&server_name, length));
    CHECK_OK(bind(client, (struct sockaddr *)&client_name, unix_address(&client_name, "client")));
    CHECK_EQ(sendto(client, "to you", 6, 0, (struct sockaddr *)&server_name, length), 6);
    char buffer[16] = "";
    length = sizeof from;
    CHECK_EQ(recvfrom(server, buffer, sizeof buffer, 0, (struct sockaddr *)&from, &length), 6);
    CHECK_STR(from.sun_path, "client");
    CHECK_EQ(sendto(server, "back", 4, 0, (struct sockaddr *)&from, length), 4);
    CHECK_EQ(recv(client, buffer, sizeof buffer, 0), 4);
}

TEST(abstract_names)
{
    struct sockaddr_un address;
    socklen_t length = abstract_address(&address, "guest");
    int server = socket(AF_UNIX, SOCK_STREAM, 0), client = socket(AF_UNIX, SOCK_STREAM, 0);
    CHECK_ERRNO(connect(client, (struct sockaddr *)&address, length), ECONNREFUSED);
    CHECK_OK(bind(server, (struct sockaddr *)&address, length));
    CHECK_OK(listen(server, 1));
    CHECK_OK(connect(client, (struct sockaddr *)&address, length));
    struct sockaddr_un got;
    socklen_t got_length = sizeof got;
    CHECK_OK(getpeername(client, (struct sockaddr *)&got, &got_length));
    CHECK_EQ(got_length, length);
    CHECK(memcmp(&got, &address, length) == 0);
    close(server);
    int third = socket(AF_UNIX, SOCK_STREAM, 0);
    CHECK_ERRNO(connect(third, (struct sockaddr *)&address, length), ECONNREFUSED);
}

TEST(tcp_on_loopback)
{
    struct sockaddr_in address, peer;
    int server = listen_tcp(&address);
    CHECK(address.sin_port != 0);
    pid_t pid = fork_child();
    if (pid == 0) {
        int client = socket(AF_INET, SOCK_STREAM, IPPROTO_TCP), one = 1;
        CHECK_OK(connect(client, (struct sockaddr *)&address, sizeof address));
        CHECK_ERRNO(connect(client, (struct sockaddr *)&address, sizeof address), EISCONN);
        CHECK_OK(setsockopt(client, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one));
        CHECK_EQ(send(client, "request", 7, 0), 7);
        CHECK_OK(shutdown(client, SHUT_WR));
        char buffer[16] = "";
        CHECK_EQ(recv(client, buffer, sizeof buffer, MSG_WAITALL), 8);
        CHECK_STR(buffer, "response");
        guest_finish();
    }
    socklen_t length = sizeof peer;
    int connection = accept(server, (struct sockaddr *)&peer, &length);
    CHECK_OK(connection);
    CHECK_EQ(length, sizeof peer);
    CHECK_EQ(ntohl(peer.sin_addr.s_addr), INADDR_LOOPBACK);
    char buffer[16] = "";
    CHECK_EQ(recv(connection, buffer, sizeof buffer, MSG_WAITALL), 7);
    CHECK_STR(buffer, "request");
    CHECK_EQ(send(connection, "response", 8, 0), 8);
    close(connection);
    CHECK_CHILD(pid);
}

TEST(tcp_errors)
{
    struct sockaddr_in address;
    int server = listen_tcp(&address), second = socket(AF_INET, SOCK_STREAM, 0);
    CHECK_ERRNO(bind(second, (struct sockaddr *)&address, sizeof address), EADDRINUSE);
    CHECK_ERRNO(bind(second, (struct sockaddr *)&address, 4), EINVAL);
    close(server);
    CHECK_ERRNO(connect(second, (struct sockaddr *)&address, sizeof address), ECONNREFUSED);
    int third = socket(AF_INET, SOCK_STREAM, 0);
    CHECK_ERRNO(send(third, "x", 1, MSG_NOSIGNAL), EPIPE);
    char byte;
    CHECK_ERRNO(recv(third, &byte, 1, 0), ENOTCONN);
    CHECK_ERRNO(accept(third, NULL, NULL), EINVAL);
    CHECK_ERRNO(getpeername(third, (struct sockaddr *)&address, &(socklen_t){sizeof address}), ENOTCONN);
    CHECK_ERRNO(connect(open("/dev/null", O_RDWR), (struct sockaddr *)&address, sizeof address), ENOTSOCK);
}

TEST(nonblocking_connect_and_accept)
{
    struct sockaddr_in address;
    int server = listen_tcp(&address), client = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    CHECK_OK(fcntl(server, F_SETFL, O_NONBLOCK));
    CHECK_ERRNO(accept(server, NULL, NULL), EAGAIN);
    int result = connect(client, (struct sockaddr *)&address, sizeof address);
    CHECK(result == 0 || errno == EINPROGRESS);
    struct pollfd item = {client, POLLOUT, 0};
    CHECK_EQ(poll(&item, 1, -1), 1);
    int error = 1;
    socklen_t length = sizeof error;
    CHECK_OK(getsockopt(client, SOL_SOCKET, SO_ERROR, &error, &length));
    CHECK_EQ(error, 0);
    item = (struct pollfd){server, POLLIN, 0};
    CHECK_EQ(poll(&item, 1, -1), 1);
    int connection = accept(server, NULL, NULL);
    CHECK_OK(connection);
    CHECK_EQ(fcntl(connection, F_GETFL) & O_NONBLOCK, 0); /* not inherited */
}

TEST(udp_on_loopback)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)}, from;
    int receiver = socket(AF_INET, SOCK_DGRAM, 0), sender = socket(AF_INET, SOCK_DGRAM, 0);
    CHECK_OK(bind(receiver, (struct sockaddr *)&address, sizeof address));
    socklen_t length = sizeof address;
    CHECK_OK(getsockname(receiver, (struct sockaddr *)&address, &length));
    CHECK_EQ(sendto(sender, "datagram", 8, 0, (struct sockaddr *)&address, sizeof address), 8);
    char *buffer = guarded(8);
    length = sizeof from;
    CHECK_EQ(recvfrom(receiver, buffer, 8, 0, (struct sockaddr *)&from, &length), 8);
    CHECK_EQ(length, sizeof from);
    CHECK(from.sin_port != 0);
    CHECK_OK(connect(sender, (struct sockaddr *)&address, sizeof address));
    CHECK_EQ(write(sender, "connected", 9), 9);
    CHECK_EQ(recv(receiver, buffer, 8, MSG_TRUNC), 9);
}

TEST(ipv6_on_loopback)
{
    int server = socket(AF_INET6, SOCK_STREAM, 0), client = socket(AF_INET6, SOCK_STREAM, 0);
    if (server == -1 && errno == EAFNOSUPPORT)
        SKIP("the host has no IPv6");
    struct sockaddr_in6 address = {.sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT};
    if (bind(server, (struct sockaddr *)&address, sizeof address) == -1 && errno == EADDRNOTAVAIL)
        SKIP("the host has no ::1");
    CHECK_OK(listen(server, 1));
    socklen_t length = sizeof address;
    CHECK_OK(getsockname(server, (struct sockaddr *)&address, &length));
    CHECK_OK(connect(client, (struct sockaddr *)&address, sizeof address));
    CHECK_OK(accept(server, NULL, NULL));
}

TEST(options)
{
    int fd = socket(AF_INET, SOCK_STREAM, 0), value = 0, pair[2];
    socklen_t length = sizeof value;
    CHECK_OK(getsockopt(fd, SOL_SOCKET, SO_TYPE, &value, &length));
    CHECK_EQ(value, SOCK_STREAM);
    CHECK_OK(getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &value, &length));
    CHECK_EQ(value, AF_INET);
    CHECK_OK(getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &value, &length));
    CHECK_EQ(value, 0);
    value = 1;
    CHECK_OK(setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &value, sizeof value));
    value = 0;
    CHECK_OK(getsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &value, &length));
    CHECK_EQ(value, 1);
    CHECK_OK(getsockopt(fd, SOL_SOCKET, SO_SNDBUF, &value, &length));
    CHECK(value > 0);
    CHECK_ERRNO(getsockopt(fd, SOL_SOCKET, 9999, &value, &length), ENOPROTOOPT);
    make_pair(SOCK_DGRAM, pair);
    CHECK_OK(getsockopt(pair[0], SOL_SOCKET, SO_TYPE, &value, &length));
    CHECK_EQ(value, SOCK_DGRAM);
    CHECK_OK(getsockopt(pair[0], SOL_SOCKET, SO_DOMAIN, &value, &length));
    CHECK_EQ(value, AF_UNIX);
    struct timeval limit = {0, 30000};
    CHECK_OK(setsockopt(pair[0], SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit));
    int64_t start = now_ns(CLOCK_MONOTONIC);
    char byte;
    CHECK_ERRNO(recv(pair[0], &byte, 1, 0), EAGAIN);
    CHECK(now_ns(CLOCK_MONOTONIC) - start >= 25 * 1000000);
    CHECK_ERRNO(getsockopt(open("/dev/null", O_RDONLY), SOL_SOCKET, SO_TYPE, &value, &length), ENOTSOCK);
}

TEST(what_servers_do_to_each_connection)
{
    struct sockaddr_in address, own, *peer = guarded(sizeof *peer);
    int server = listen_tcp(&address), client = socket(AF_INET, SOCK_STREAM, 0), value = 7;
    socklen_t length = sizeof *peer, size = sizeof value;
    CHECK_OK(connect(client, (struct sockaddr *)&address, sizeof address));
    int connection = accept4(server, (struct sockaddr *)peer, &length, SOCK_NONBLOCK | SOCK_CLOEXEC);
    REQUIRE_OK(connection);
    CHECK_EQ(fcntl(connection, F_GETFL), O_RDWR | O_NONBLOCK);
    CHECK_EQ(fcntl(connection, F_GETFD), FD_CLOEXEC);
    CHECK_EQ(length, sizeof *peer);
    CHECK_OK(getsockname(client, (struct sockaddr *)&own, &length));
    CHECK_EQ(peer->sin_port, own.sin_port);
    CHECK_OK(getpeername(connection, (struct sockaddr *)&own, &length));
    CHECK_EQ(peer->sin_port, own.sin_port);
    length = 4; /* cut, and told how long it is */
    CHECK_OK(getsockname(connection, (struct sockaddr *)((char *)peer + sizeof *peer - 4), &length));
    CHECK_EQ(length, sizeof *peer);
    CHECK_ERRNO(getpeername(server, (struct sockaddr *)&own, &length), ENOTCONN);
    length = (socklen_t)-1;
    CHECK_ERRNO(getsockname(connection, (struct sockaddr *)&own, &length), EINVAL);
    CHECK_ERRNO(getsockname(connection, (struct sockaddr *)&own, NULL), EFAULT);
    CHECK_ERRNO(getsockname(999, (struct sockaddr *)&own, &length), EBADF);

    CHECK_OK(getsockopt(connection, SOL_SOCKET, SO_ERROR, &value, &size));
    CHECK_EQ(value, 0);
    value = 1;
    CHECK_OK(setsockopt(connection, IPPROTO_TCP, TCP_NODELAY, &value, sizeof value));
    CHECK_OK(setsockopt(connection, IPPROTO_TCP, TCP_CORK, &value, sizeof value));
    value = 0;
    CHECK_OK(getsockopt(connection, IPPROTO_TCP, TCP_CORK, &value, &size));
    CHECK_EQ(value, 1);
    value = 0;
    CHECK_OK(setsockopt(connection, IPPROTO_TCP, TCP_CORK, &value, sizeof value));
    CHECK_ERRNO(setsockopt(connection, IPPROTO_TCP, TCP_NODELAY, &value, 3), EINVAL);
    CHECK_ERRNO(setsockopt(connection, IPPROTO_TCP, TCP_NODELAY, NULL, sizeof value), EFAULT);
    CHECK_ERRNO(setsockopt(connection, IPPROTO_TCP, TCP_NODELAY, &value, -1), EINVAL);
    char *byte = guarded(2);
    size = 2;
    CHECK_OK(getsockopt(connection, IPPROTO_TCP, TCP_NODELAY, byte, &size));
    CHECK_EQ(size, 2);
    size = sizeof value;
    CHECK_ERRNO(getsockopt(connection, SOL_SOCKET, SO_ERROR, byte, &size), EFAULT);
    size = (socklen_t)-1;
    CHECK_ERRNO(getsockopt(connection, SOL_SOCKET, SO_ERROR, &value, &size), EINVAL);
    struct linger linger = {1, 5}, kept = {0};
    CHECK_OK(setsockopt(connection, SOL_SOCKET, SO_LINGER, &linger, sizeof linger));
    size = sizeof kept;
    CHECK_OK(getsockopt(connection, SOL_SOCKET, SO_LINGER, &kept, &size));
    CHECK_EQ(kept.l_linger, 5);

    CHECK_EQ(send(client, "12345", 5, 0), 5);
    struct pollfd readable = {connection, POLLIN, 0};
    CHECK_EQ(poll(&readable, 1, -1), 1);
    CHECK_OK(ioctl(connection, FIONREAD, &value));
    CHECK_EQ(value, 5);
    CHECK_ERRNO(ioctl(connection, FIONREAD, NULL), EFAULT);
    CHECK_ERRNO(shutdown(connection, 9), EINVAL);
    CHECK_ERRNO(shutdown(server + 100, SHUT_WR), EBADF);
    CHECK_OK(shutdown(connection, SHUT_WR));
    CHECK_EQ(recv(client, byte, 1, 0), 0);
    CHECK_ERRNO(shutdown(socket(AF_INET, SOCK_STREAM, 0), SHUT_WR), ENOTCONN);
}

TEST(accepting_without_room)
{
    struct sockaddr_in address;
    int server = listen_tcp(&address), client = socket(AF_INET, SOCK_STREAM, 0);
    CHECK_OK(fcntl(server, F_SETFL, O_NONBLOCK));
    CHECK_ERRNO(accept4(server, NULL, NULL, 0), EAGAIN);
    CHECK_ERRNO(accept4(server, NULL, NULL, 1), EINVAL);
    CHECK_ERRNO(accept4(999, NULL, NULL, 1), EBADF);
    CHECK_ERRNO(accept4(STDIN_FILENO, NULL, NULL, 1), EINVAL);
    CHECK_ERRNO(accept(client, NULL, NULL), EINVAL);
    CHECK_OK(connect(client, (struct sockaddr *)&address, sizeof address));
    struct rlimit limit, none;
    REQUIRE_OK(getrlimit(RLIMIT_NOFILE, &limit));
    none = limit;
    none.rlim_cur = (rlim_t)client + 1;
    REQUIRE_OK(setrlimit(RLIMIT_NOFILE, &none));
    CHECK_ERRNO(accept(server, NULL, NULL), EMFILE);
    REQUIRE_OK(setrlimit(RLIMIT_NOFILE, &limit));
    CHECK_OK(accept(server, NULL, NULL)); /* it was not lost */
    int second = socket(AF_INET, SOCK_STREAM, 0);
    CHECK_OK(connect(second, (struct sockaddr *)&address, sizeof address));
    socklen_t length = sizeof address;
    CHECK_ERRNO(accept(server, (struct sockaddr *)8, &length), EFAULT); /* this one is */
    CHECK_ERRNO(accept(server, NULL, NULL), EAGAIN);
}

TEST(unknown_options)
{
    int value = 0, pair[2], tcp = socket(AF_INET, SOCK_STREAM, 0);
    socklen_t length = sizeof value;
    CHECK_ERRNO(getsockopt(tcp, 500, 1, &value, &length), EOPNOTSUPP);
    CHECK_ERRNO(getsockopt(tcp, IPPROTO_UDP, 999, &value, &length), EOPNOTSUPP);
    CHECK_ERRNO(getsockopt(tcp, IPPROTO_TCP, 999, &value, &length), ENOPROTOOPT);
    CHECK_ERRNO(setsockopt(tcp, 500, 1, &value, sizeof value), ENOPROTOOPT);
    CHECK_ERRNO(getsockopt(socket(AF_INET6, SOCK_DGRAM, 0), 500, 1, &value, &length), ENOPROTOOPT);
    make_pair(SOCK_STREAM, pair);
    CHECK_ERRNO(getsockopt(pair[0], IPPROTO_TCP, TCP_NODELAY, &value, &length), EOPNOTSUPP);
    CHECK_ERRNO(setsockopt(pair[0], IPPROTO_TCP, TCP_NODELAY, &value, sizeof value), EOPNOTSUPP);
}

TEST(low_ports_need_a_capability)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK), .sin_port = htons(463)};
    int start = 0;
    FILE *setting = fopen("/proc/sys/net/ipv4/ip_unprivileged_port_start", "r");
    REQUIRE(setting && fscanf(setting, "%d", &start) == 1);
    if (geteuid() != 0 || start <= 463)
        SKIP("needs root and a bound for low ports");
    REQUIRE_OK(setresuid(1000, 1000, 1000));
    CHECK_ERRNO(bind(socket(AF_INET, SOCK_STREAM, 0), (struct sockaddr *)&address, sizeof address), EACCES);
    CHECK_ERRNO(bind(socket(AF_INET, SOCK_STREAM, 0), (struct sockaddr *)&address, 4), EINVAL);
    address.sin_port = 0;
    CHECK_OK(bind(socket(AF_INET, SOCK_STREAM, 0), (struct sockaddr *)&address, sizeof address));
}

TEST(unsupported_families)
{
    CHECK_ERRNO(socket(12345, SOCK_STREAM, 0), EAFNOSUPPORT);
    CHECK_ERRNO(socket(AF_UNIX, 99, 0), EINVAL);
    CHECK_ERRNO(socket(AF_UNIX, SOCK_STREAM, 77), EPROTONOSUPPORT);
    CHECK_EQ(socket(AF_INET, SOCK_STREAM, IPPROTO_UDP), -1);
    int pair[2];
    CHECK_ERRNO(socketpair(AF_INET, SOCK_STREAM, 0, pair), EOPNOTSUPP);
    CHECK_ERRNO(socketpair(AF_INET, SOCK_DGRAM, IPPROTO_TCP, pair), EPROTONOSUPPORT);
    CHECK_ERRNO(socket(AF_INET, SOCK_RAW, 0), EPROTONOSUPPORT);
    CHECK_ERRNO(socket(AF_INET, SOCK_RAW, 300), EINVAL);
    CHECK_ERRNO(socket(AF_INET6, SOCK_RDM, 300), EINVAL);
    CHECK_ERRNO(socket(AF_INET, SOCK_RDM, 0), ESOCKTNOSUPPORT);
    CHECK_ERRNO(socket(AF_INET6, SOCK_RDM, IPPROTO_UDP), ESOCKTNOSUPPORT);
    CHECK_ERRNO(socket(AF_INET, 0, 0), ESOCKTNOSUPPORT);
}

TEST(bytes_waiting)
{
    int pair[2], count = 0;
    make_pair(SOCK_STREAM, pair);
    CHECK_EQ(write(pair[0], "12345", 5), 5);
    CHECK_OK(ioctl(pair[1], FIONREAD, &count));
    CHECK_EQ(count, 5);
    int on = 1;
    CHECK_OK(ioctl(pair[1], FIONBIO, &on));
    CHECK_EQ(fcntl(pair[1], F_GETFL) & O_NONBLOCK, O_NONBLOCK);
}
