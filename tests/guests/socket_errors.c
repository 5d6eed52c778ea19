/* socket_errors: what each socket call answers to descriptors, addresses and states that it cannot work with. */
#include "message.h"

#include <netinet/tcp.h>
#include <netinet/udp.h>
#include <sys/mount.h>
#include <sys/un.h>

/* ---- descriptors: one rule for all calls ------------------------------------------------------------------------- */

static struct sockaddr_in somewhere = {.sin_family = AF_INET};
static char bytes[16];
static int number;

static long bind_(int fd)
{
    return bind(fd, (struct sockaddr *)&somewhere, sizeof somewhere);
}

static long listen_(int fd)
{
    return listen(fd, 1);
}

static long accept_(int fd)
{
    return accept(fd, NULL, NULL);
}

static long accept4_(int fd)
{
    return accept4(fd, NULL, NULL, SOCK_CLOEXEC);
}

static long connect_(int fd)
{
    return connect(fd, (struct sockaddr *)&somewhere, sizeof somewhere);
}

static long getsockname_(int fd)
{
    return getsockname(fd, (struct sockaddr *)bytes, &(socklen_t){sizeof bytes});
}

static long getpeername_(int fd)
{
    return getpeername(fd, (struct sockaddr *)bytes, &(socklen_t){sizeof bytes});
}

static long getsockopt_(int fd)
{
    return getsockopt(fd, SOL_SOCKET, SO_TYPE, &number, &(socklen_t){sizeof number});
}

static long setsockopt_(int fd)
{
    return setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &number, sizeof number);
}

static long shutdown_(int fd)
{
    return shutdown(fd, SHUT_RDWR);
}

static long sendto_(int fd)
{
    return sendto(fd, bytes, 1, MSG_NOSIGNAL, NULL, 0);
}

static long recvfrom_(int fd)
{
    return recvfrom(fd, bytes, 1, 0, NULL, NULL);
}

static struct iovec one_vector = {bytes, 1};
static struct mmsghdr one_message = {.msg_hdr = {.msg_iov = &one_vector, .msg_iovlen = 1}};

static long sendmsg_(int fd)
{
    return sendmsg(fd, &one_message.msg_hdr, MSG_NOSIGNAL);
}

static long recvmsg_(int fd)
{
    return recvmsg(fd, &one_message.msg_hdr, 0);
}

static long sendmmsg_(int fd)
{
    return sendmmsg(fd, &one_message, 1, MSG_NOSIGNAL);
}

static long recvmmsg_(int fd)
{
    return recvmmsg(fd, &one_message, 1, 0, NULL);
}

static const struct {
    const char *name;
    long (*call)(int fd);
} calls[] = {
    {"bind", bind_},               {"listen", listen_},           {"accept", accept_},         {"accept4", accept4_},
    {"connect", connect_},         {"getsockname", getsockname_}, {"getpeername", getpeername_}, {"getsockopt", getsockopt_},
    {"setsockopt", setsockopt_},   {"shutdown", shutdown_},       {"sendto", sendto_},         {"recvfrom", recvfrom_},
    {"sendmsg", sendmsg_},         {"recvmsg", recvmsg_},         {"sendmmsg", sendmmsg_},     {"recvmmsg", recvmmsg_},
};

TEST(descriptors_that_are_no_sockets)
{
    int ends[2], closed = dup(STDOUT_FILENO);
    REQUIRE_OK(pipe(ends));
    REQUIRE_OK(close(closed));
    const struct {
        const char *name;
        int fd, error;
    } descriptors[] = {
        {"closed", closed, EBADF},
        {"negative", -1, EBADF},
        {"O_PATH", open("/", O_PATH), EBADF},
        {"directory", open("/", O_RDONLY), ENOTSOCK},
        {"device", open("/dev/null", O_RDWR), ENOTSOCK},
        {"pipe", ends[0], ENOTSOCK},
    };
    for EACH (i, calls)
        for EACH (n, descriptors) {
            errno = 0;
            long result = calls[i].call(descriptors[n].fd);
            if (result != -1 || errno != descriptors[n].error)
                GUEST_FAIL("%s of a %s descriptor: %ld, %s", calls[i].name, descriptors[n].name, result, strerrorname_np(errno));
        }
}

TEST(calls_that_a_type_does_not_have)
{
    int pair[2], udp = socket(AF_INET, SOCK_DGRAM, 0), tcp = socket(AF_INET, SOCK_STREAM, 0);
    make_pair(DATAGRAM, pair);
    const int connectionless[] = {udp, pair[0]};
    for EACH (i, connectionless) {
        CHECK_ERRNO(listen(connectionless[i], 1), EOPNOTSUPP);
        CHECK_ERRNO(accept(connectionless[i], NULL, NULL), EOPNOTSUPP);
        CHECK_ERRNO(accept4(connectionless[i], NULL, NULL, 0), EOPNOTSUPP);
    }
    int own = socket(AF_UNIX, SOCK_STREAM, 0);
    CHECK_ERRNO(accept4(tcp, NULL, NULL, 0), EINVAL); /* does not listen */
    CHECK_ERRNO(accept4(own, NULL, NULL, 0), EINVAL);
    CHECK_ERRNO(listen(own, 1), EINVAL); /* has no name */
    CHECK_ERRNO(getpeername(tcp, (struct sockaddr *)bytes, &(socklen_t){sizeof bytes}), ENOTCONN);
    CHECK_ERRNO(getpeername(own, (struct sockaddr *)bytes, &(socklen_t){sizeof bytes}), ENOTCONN);
    for EACH (i, receivers) {
        int told;
        expect(receivers[i].name, TCP, 0, receivers[i].receive(tcp, bytes, 1, 0, &told), -ENOTCONN);
        expect(receivers[i].name, STREAM, 0, receivers[i].receive(own, bytes, 1, 0, &told), -EINVAL);
    }
}

/* ---- addresses ----------------------------------------------------------------------------------------------------- */

TEST(addresses_that_cannot_be_read)
{
    int udp = socket(AF_INET, SOCK_DGRAM, 0);
    struct sockaddr_in address = bind_to_loopback(socket(AF_INET, SOCK_DGRAM, 0));
    struct msghdr header = {.msg_name = bad_address, .msg_namelen = sizeof address, .msg_iov = &one_vector, .msg_iovlen = 1};
    CHECK_ERRNO(bind(udp, bad_address, sizeof address), EFAULT);
    CHECK_ERRNO(connect(udp, bad_address, sizeof address), EFAULT);
    CHECK_ERRNO(sendto(udp, bytes, 1, 0, bad_address, sizeof address), EFAULT);
    CHECK_ERRNO(sendmsg(udp, &header, 0), EFAULT);
    static const socklen_t sizes[] = {(socklen_t)-1, 129, 15};
    for EACH (i, sizes) {
        CHECK_ERRNO(bind(udp, (struct sockaddr *)&address, sizes[i]), EINVAL);
        CHECK_ERRNO(connect(udp, (struct sockaddr *)&address, sizes[i]), EINVAL);
        CHECK_ERRNO(sendto(udp, bytes, 1, 0, (struct sockaddr *)&address, sizes[i]), EINVAL);
    }
    header.msg_name = &address;
    header.msg_namelen = (socklen_t)-1;
    CHECK_ERRNO(sendmsg(udp, &header, 0), EINVAL);
    CHECK_ERRNO(recvmsg(udp, &header, MSG_DONTWAIT), EINVAL);
    header.msg_namelen = 15;
    CHECK_ERRNO(sendmsg(udp, &header, 0), EINVAL);
    header.msg_namelen = sizeof address;
    header.msg_iovlen = 1025;
    CHECK_ERRNO(sendmsg(udp, &header, 0), EMSGSIZE);
    CHECK_ERRNO(recvmsg(udp, &header, MSG_DONTWAIT), EMSGSIZE);
    CHECK_ERRNO(sendmsg(udp, bad_address, 0), EFAULT);
    CHECK_ERRNO(recvmsg(udp, bad_address, 0), EFAULT);
    CHECK_ERRNO(sendmmsg(udp, bad_address, 1, 0), EFAULT);
    CHECK_ERRNO(recvmmsg(udp, bad_address, 1, 0, NULL), EFAULT);
}

TEST(addresses_that_cannot_be_written)
{
    static long (*const names[])(int, struct sockaddr *, socklen_t *) = {(void *)getsockname, (void *)getpeername};
    for (int kind = 0; kind < KINDS; kind++) {
        int pair[2];
        make_pair(kind, pair);
        struct sockaddr *address = guarded(4);
        for EACH (i, names) {
            socklen_t length = sizeof(struct sockaddr_in);
            CHECK_ERRNO((int)names[i](pair[0], bad_address, &length), EFAULT);
            CHECK_ERRNO((int)names[i](pair[0], address, bad_address), EFAULT);
            length = (socklen_t)-1;
            CHECK_ERRNO((int)names[i](pair[0], address, &length), EINVAL);
            length = 2; /* cut, and told how long it is */
            CHECK_OK((int)names[i](pair[0], address, &length));
            CHECK_EQ(address->sa_family, kind <= PACKETS ? AF_UNIX : AF_INET);
            CHECK_EQ(length, kind <= PACKETS ? sizeof(sa_family_t) : sizeof(struct sockaddr_in));
            length = 0; /* nothing is written */
            CHECK_OK((int)names[i](pair[0], bad_address, &length));
        }
        close_pair(pair);
    }
    int pair[2];
    make_pair(UDP, pair);
    static const struct {
        int size, error;
    } rooms[] = {{-1, EINVAL}, {16, EFAULT}};
    for EACH (i, rooms) {
        socklen_t length = (socklen_t)rooms[i].size;
        CHECK_EQ(send(pair[0], "x", 1, 0), 1);
        CHECK_ERRNO(recvfrom(pair[1], bytes, 1, 0, bad_address, &length), rooms[i].error);
        CHECK_ERRNO(recv(pair[1], bytes, 1, MSG_DONTWAIT), EAGAIN); /* it is gone all the same */
    }
}

TEST(an_accepted_peer_that_cannot_be_told)
{
    int server = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    struct sockaddr_in address = bind_to_loopback(server);
    REQUIRE_OK(listen(server, 4));
    static const struct {
        int size, error;
    } rooms[] = {{-1, EINVAL}, {16, EFAULT}};
    for EACH (i, rooms) {
        int client = socket(AF_INET, SOCK_STREAM, 0), fds = open_fd_count();
        socklen_t length = (socklen_t)rooms[i].size;
        REQUIRE_OK(connect(client, (struct sockaddr *)&address, sizeof address));
        CHECK_ERRNO(accept4(server, bad_address, &length, SOCK_CLOEXEC), rooms[i].error);
        CHECK_EQ(open_fd_count(), fds);
        CHECK_ERRNO(accept4(server, NULL, NULL, 0), EAGAIN); /* the connection is lost */
        CHECK_EQ(recv(client, bytes, 1, 0) <= 0, 1);
        close(client);
    }
}

TEST(names_that_cannot_be_bound)
{
    scratch();
    write_file("file", "");
    REQUIRE_OK(symlink("loop", "loop"));
    static const struct {
        const char *path;
        int error;
    } paths[] = {{"absent/s", ENOENT}, {"file/s", ENOTDIR}, {"loop/s", ELOOP}, {"file", EADDRINUSE}, {"loop", EADDRINUSE}};
    for EACH (i, paths) {
        int fd = socket(AF_UNIX, SOCK_DGRAM, 0);
        struct sockaddr_un name = {.sun_family = AF_UNIX};
        snprintf(name.sun_path, sizeof name.sun_path, "%s", paths[i].path);
        errno = 0;
        if (bind(fd, (struct sockaddr *)&name, sizeof name) != -1 || errno != paths[i].error)
            GUEST_FAIL("bind to %s: %s", paths[i].path, strerrorname_np(errno));
        CHECK_OK(bind(fd, (struct sockaddr *)&(struct sockaddr){.sa_family = AF_UNIX}, sizeof(sa_family_t))); /* still nameless */
        CHECK_ERRNO(bind(fd, (struct sockaddr *)&name, sizeof name), paths[i].error); /* which wins */
        CHECK_ERRNO(bind(fd, (struct sockaddr *)&(struct sockaddr_un){AF_UNIX, "free"}, sizeof name), EINVAL); /* a second name */
        CHECK_ERRNO(access("free", F_OK), ENOENT);
        CHECK_OK(bind(fd, (struct sockaddr *)&(struct sockaddr){.sa_family = AF_UNIX}, sizeof(sa_family_t))); /* any name will do */
        close(fd);
    }
    int inet = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in elsewhere = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(0xc0000201)}; /* 192.0.2.1: nobody's */
    CHECK_ERRNO(bind(inet, (struct sockaddr *)&elsewhere, sizeof elsewhere), EADDRNOTAVAIL);
    elsewhere.sin_family = AF_INET6;
    CHECK_ERRNO(bind(inet, (struct sockaddr *)&elsewhere, sizeof elsewhere), EAFNOSUPPORT);
}

TEST(names_on_a_read_only_mount)
{
    if (geteuid() != 0 || unshare(CLONE_NEWNS) == -1)
        SKIP("mounting needs root's privileges");
    REQUIRE_OK(mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL));
    scratch();
    REQUIRE_OK(mkdir("ro", 0755));
    REQUIRE_OK(mount("none", "ro", "tmpfs", MS_RDONLY, NULL));
    struct sockaddr_un name = {.sun_family = AF_UNIX, .sun_path = "ro/s"};
    CHECK_ERRNO(bind(socket(AF_UNIX, SOCK_STREAM, 0), (struct sockaddr *)&name, sizeof name), EROFS);
    REQUIRE_OK(umount("ro"));
}

/* ---- sending and receiving ------------------------------------------------------------------------------------------ */

TEST(states_that_cannot_send)
{
    static char large[70000];
    int udp = socket(AF_INET, SOCK_DGRAM, 0), datagram = socket(AF_UNIX, SOCK_DGRAM, 0), packets = socket(AF_UNIX, SOCK_SEQPACKET, 0),
        stream = socket(AF_UNIX, SOCK_STREAM, 0), pair[2];
    struct sockaddr_in address = bind_to_loopback(socket(AF_INET, SOCK_DGRAM, 0));
    for EACH (i, senders) {
        expect(senders[i].name, UDP, 0, senders[i].send(udp, bytes, 1, 0), -EDESTADDRREQ);
        expect(senders[i].name, DATAGRAM, 0, senders[i].send(datagram, bytes, 1, 0), -ENOTCONN);
        expect(senders[i].name, PACKETS, 0, senders[i].send(packets, bytes, 1, 0), -ENOTCONN);
        expect(senders[i].name, STREAM, 0, senders[i].send(stream, bytes, 1, 0), -ENOTCONN);
    }
    REQUIRE_OK(connect(udp, (struct sockaddr *)&address, sizeof address));
    for EACH (i, senders)
        expect(senders[i].name, UDP, 0, senders[i].send(udp, large, sizeof large, 0), -EMSGSIZE);
    make_pair(STREAM, pair);
    struct sockaddr_un name = {.sun_family = AF_UNIX, .sun_path = "/absent"};
    struct mmsghdr message = {.msg_hdr = {.msg_name = &name, .msg_namelen = sizeof name, .msg_iov = &one_vector, .msg_iovlen = 1}};
    CHECK_ERRNO(sendto(pair[0], bytes, 1, 0, (struct sockaddr *)&name, sizeof name), EISCONN);
    CHECK_ERRNO(sendmsg(pair[0], &message.msg_hdr, 0), EISCONN);
    CHECK_ERRNO(sendmmsg(pair[0], &message, 1, 0), EISCONN);
    CHECK_ERRNO(sendto(stream, bytes, 1, 0, (struct sockaddr *)&name, sizeof name), EOPNOTSUPP); /* sendto connects none */
    CHECK_ERRNO(sendto(datagram, bytes, 1, 0, (struct sockaddr *)&name, sizeof name), ENOENT);
}

TEST(connections_that_were_reset)
{
    static const struct linger at_once = {1, 0};
    for EACH (i, senders) {
        int pair[2];
        make_pair(TCP, pair);
        REQUIRE_OK(setsockopt(pair[1], SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once));
        close(pair[1]);
        struct pollfd item = {pair[0], POLLIN, 0};
        CHECK_EQ(poll(&item, 1, -1), 1);
        CHECK_EQ(item.revents, POLLIN | POLLERR | POLLHUP);
        expect(senders[i].name, TCP, MSG_NOSIGNAL, senders[i].send(pair[0], bytes, 1, MSG_NOSIGNAL), -ECONNRESET); /* told once */
        expect(senders[i].name, TCP, MSG_NOSIGNAL, senders[i].send(pair[0], bytes, 1, MSG_NOSIGNAL), -EPIPE);
        CHECK_EQ(recv(pair[0], bytes, 1, 0), 0);
        close(pair[0]);
    }
    for EACH (i, receivers) {
        int pair[2], told;
        make_pair(TCP, pair);
        REQUIRE_OK(setsockopt(pair[1], SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once));
        close(pair[1]);
        expect(receivers[i].name, TCP, 0, receivers[i].receive(pair[0], bytes, 1, 0, &told), -ECONNRESET);
        expect(receivers[i].name, TCP, 0, receivers[i].receive(pair[0], bytes, 1, 0, &told), 0);
        close(pair[0]);
        make_pair(STREAM, pair); /* AF_UNIX: closed with something unread */
        CHECK_EQ(send(pair[0], bytes, 1, 0), 1);
        close(pair[1]);
        expect(receivers[i].name, STREAM, 0, receivers[i].receive(pair[0], bytes, 1, 0, &told), -ECONNRESET);
        close(pair[0]);
    }
}

TEST(datagrams_that_nobody_takes)
{
    for EACH (i, receivers) {
        int pair[2], told;
        make_pair(UDP, pair);
        close(pair[1]);
        CHECK_EQ(send(pair[0], "x", 1, 0), 1);
        expect(receivers[i].name, UDP, 0, receivers[i].receive(pair[0], bytes, 1, 0, &told), -ECONNREFUSED);
        expect(receivers[i].name, UDP, MSG_DONTWAIT, receivers[i].receive(pair[0], bytes, 1, MSG_DONTWAIT, &told), -EAGAIN);
        close(pair[0]);
    }
    for EACH (i, senders) {
        int pair[2];
        make_pair(DATAGRAM, pair);
        close(pair[1]);
        expect(senders[i].name, DATAGRAM, 0, senders[i].send(pair[0], bytes, 1, 0), -ECONNREFUSED);
        close(pair[0]);
    }
}

/* ---- ends, options, families ---------------------------------------------------------------------------------------- */

TEST(shutdown_of_both_directions)
{
    int pair[2];
    make_pair(STREAM, pair);
    CHECK_EQ(send(pair[1], "x", 1, 0), 1);
    CHECK_OK(shutdown(pair[0], SHUT_RD));
    CHECK_EQ(recv(pair[0], bytes, 1, 0), 1); /* what was there */
    CHECK_EQ(recv(pair[0], bytes, 1, 0), 0);
    CHECK_ERRNO(send(pair[1], "x", 1, MSG_NOSIGNAL), EPIPE);
    CHECK_EQ(send(pair[0], "x", 1, 0), 1);
    CHECK_OK(shutdown(pair[0], SHUT_RDWR));
    CHECK_ERRNO(send(pair[0], "x", 1, MSG_NOSIGNAL), EPIPE);
    CHECK_EQ(recv(pair[1], bytes, 1, 0), 1);
    CHECK_EQ(recv(pair[1], bytes, 1, 0), 0);
    make_pair(TCP, pair);
    CHECK_OK(shutdown(pair[0], SHUT_RDWR));
    CHECK_EQ(recv(pair[0], bytes, 1, 0), 0);
    CHECK_ERRNO(send(pair[0], "x", 1, MSG_NOSIGNAL), EPIPE);
    CHECK_EQ(recv(pair[1], bytes, 1, 0), 0);
    int server = socket(AF_INET, SOCK_STREAM, 0); /* ends a wait for connections */
    bind_to_loopback(server);
    REQUIRE_OK(listen(server, 1));
    pid_t pid = fork_child();
    if (pid == 0) {
        CHECK_ERRNO(accept(server, NULL, NULL), EINVAL);
        guest_finish();
    }
    wait_for_state(pid, 'S');
    CHECK_OK(shutdown(server, SHUT_RD));
    CHECK_CHILD(pid);
}

TEST(options_of_each_level)
{
    int tcp = socket(AF_INET, SOCK_STREAM, 0), udp = socket(AF_INET, SOCK_DGRAM, 0), six = socket(AF_INET6, SOCK_DGRAM, 0);
    const struct {
        int fd, level, option, value;
    } options[] = {
        {tcp, SOL_SOCKET, SO_KEEPALIVE, 1},      {tcp, SOL_IP, IP_TTL, 33},      {tcp, SOL_IP, IP_TOS, 8},
        {tcp, SOL_TCP, TCP_KEEPIDLE, 77},        {udp, SOL_UDP, UDP_CORK, 1},    {udp, SOL_IP, IP_RECVERR, 1},
        {six, SOL_IPV6, IPV6_UNICAST_HOPS, 33},  {six, SOL_IPV6, IPV6_V6ONLY, 1},
    };
    for EACH (i, options) {
        int value = -7;
        socklen_t size = sizeof value;
        if (options[i].fd == -1)
            continue; /* no IPv6 */
        CHECK_OK(setsockopt(options[i].fd, options[i].level, options[i].option, &options[i].value, sizeof value));
        CHECK_OK(getsockopt(options[i].fd, options[i].level, options[i].option, &value, &size));
        if (value != options[i].value || size != sizeof value)
            GUEST_FAIL("option %d of level %d: %d", options[i].option, options[i].level, value);
        CHECK_ERRNO(setsockopt(options[i].fd, options[i].level, options[i].option, bad_address, sizeof value), EFAULT);
        CHECK_ERRNO(getsockopt(options[i].fd, options[i].level, options[i].option, bad_address, &size), EFAULT);
        CHECK_ERRNO(getsockopt(options[i].fd, options[i].level, options[i].option, &value, bad_address), EFAULT);
        CHECK_ERRNO(setsockopt(options[i].fd, options[i].level, 9999, &value, sizeof value), ENOPROTOOPT);
    }
}

TEST(families_and_types)
{
    int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0), pair[2], value = 0;
    CHECK_OK(fd);
    CHECK_OK(getsockopt(fd, SOL_SOCKET, SO_TYPE, &value, &(socklen_t){sizeof value}));
    CHECK_EQ(value, SOCK_SEQPACKET);
    CHECK_ERRNO(socket(AF_INET, SOCK_SEQPACKET, 0), ESOCKTNOSUPPORT);
    CHECK_ERRNO(socketpair(AF_MAX + 1, SOCK_STREAM, 0, pair), EAFNOSUPPORT);
    CHECK_ERRNO(socketpair(AF_UNIX, SOCK_STREAM | 0x10000, 0, pair), EINVAL);
    CHECK_ERRNO(socketpair(AF_UNIX, SOCK_STREAM, 77, pair), EPROTONOSUPPORT);
    CHECK_ERRNO(socketpair(AF_UNIX, SOCK_STREAM, 0, bad_address), EFAULT);
    CHECK_ERRNO(socketpair(AF_UNIX, 7, 0, pair), ESOCKTNOSUPPORT);
}

TEST(echo_sockets_want_a_group)
{
    unsigned first = 1, last = 0;
    FILE *setting = fopen("/proc/sys/net/ipv4/ping_group_range", "r");
    if (setting == NULL || fscanf(setting, "%u %u", &first, &last) != 2 || first <= last)
        SKIP("wants a ping_group_range of nobody");
    CHECK_ERRNO(socket(AF_INET, SOCK_DGRAM, IPPROTO_ICMP), EACCES);
}
