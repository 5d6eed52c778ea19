/* netlink: reading interfaces, addresses and routes over NETLINK_ROUTE, as getifaddrs, `ip` and Go do. */
#include "guest.h"

#include <arpa/inet.h>
#include <ifaddrs.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

static int route_socket(void)
{
    int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
    REQUIRE(fd >= 0);
    return fd;
}

struct request {
    struct nlmsghdr header;
    union {
        struct rtgenmsg any;
        struct ifinfomsg link;
        struct ifaddrmsg address;
    };
};

static struct request request_of(uint16_t type, uint16_t flags, uint32_t sequence, size_t body)
{
    struct request request;
    memset(&request, 0, sizeof request);
    request.header.nlmsg_len = (uint32_t)NLMSG_LENGTH(body);
    request.header.nlmsg_type = type;
    request.header.nlmsg_flags = NLM_F_REQUEST | flags;
    request.header.nlmsg_seq = sequence;
    return request;
}

static char buffer[1 << 16];

/* Reads a dump to its end: how many messages of the type. */
static int read_dump(int fd, uint16_t type, uint32_t sequence, uint32_t port)
{
    int found = 0;
    for (;;) {
        ssize_t got = recv(fd, buffer, sizeof buffer, 0);
        REQUIRE(got > 0);
        for (struct nlmsghdr *at = (void *)buffer; NLMSG_OK(at, (size_t)got); at = NLMSG_NEXT(at, got)) {
            CHECK_EQ(at->nlmsg_seq, sequence);
            CHECK_EQ(at->nlmsg_pid, port);
            if (at->nlmsg_type == NLMSG_DONE)
                return found;
            REQUIRE(at->nlmsg_type != NLMSG_ERROR);
            CHECK(at->nlmsg_flags & NLM_F_MULTI);
            found += at->nlmsg_type == type;
        }
    }
}

TEST(names_of_sockets)
{
    struct sockaddr_nl name;
    socklen_t size = sizeof name;
    int first = route_socket(), second = route_socket();
    memset(&name, 0xff, sizeof name);
    CHECK_OK(getsockname(first, (void *)&name, &size));
    CHECK_EQ(size, sizeof name);
    CHECK_EQ(name.nl_family, AF_NETLINK);
    CHECK_EQ(name.nl_pid, 0);
    struct sockaddr_nl any = {.nl_family = AF_NETLINK};
    CHECK_OK(bind(first, (void *)&any, sizeof any));
    CHECK_OK(getsockname(first, (void *)&name, &size));
    CHECK_EQ(name.nl_pid, getpid());
    CHECK_OK(bind(second, (void *)&any, sizeof any));
    CHECK_OK(getsockname(second, (void *)&name, &size));
    CHECK(name.nl_pid != 0 && name.nl_pid != (uint32_t)getpid());
    any.nl_pid = (uint32_t)getpid();
    int third = route_socket();
    CHECK_ERRNO(bind(third, (void *)&any, sizeof any), EADDRINUSE);
    CHECK_ERRNO(bind(second, (void *)&any, sizeof any), EINVAL);
    CHECK_ERRNO(bind(third, (void *)&any, 4), EINVAL);
    any.nl_pid = 0x12345678;
    CHECK_OK(bind(third, (void *)&any, sizeof any));
    CHECK_OK(getsockname(third, (void *)&name, &size));
    CHECK_EQ(name.nl_pid, 0x12345678);
    int value = 0;
    size = sizeof value;
    CHECK_OK(getsockopt(third, SOL_SOCKET, SO_DOMAIN, &value, &size));
    CHECK_EQ(value, AF_NETLINK);
}

TEST(protocols_and_types)
{
    CHECK_ERRNO(socket(AF_NETLINK, SOCK_STREAM, NETLINK_ROUTE), ESOCKTNOSUPPORT);
    CHECK_ERRNO(socket(AF_NETLINK, SOCK_RAW, 31), EPROTONOSUPPORT);
    CHECK_ERRNO(socket(AF_NETLINK, SOCK_RAW, 99), EPROTONOSUPPORT);
    int fd = socket(AF_NETLINK, SOCK_DGRAM | SOCK_NONBLOCK, NETLINK_ROUTE);
    REQUIRE(fd >= 0);
    CHECK_ERRNO(recv(fd, buffer, sizeof buffer, 0), EAGAIN);
    CHECK_ERRNO(listen(fd, 1), EOPNOTSUPP);
    int pair[2];
    CHECK_ERRNO(socketpair(AF_NETLINK, SOCK_RAW, NETLINK_ROUTE, pair), EOPNOTSUPP);
}

TEST(links_are_listed)
{
    int fd = route_socket();
    struct request request = request_of(RTM_GETLINK, NLM_F_DUMP, 17, sizeof request.link);
    CHECK_EQ(send(fd, &request, request.header.nlmsg_len, 0), request.header.nlmsg_len);
    CHECK(read_dump(fd, RTM_NEWLINK, 17, (uint32_t)getpid()) >= 1);
}

TEST(addresses_routes_and_neighbours_are_listed)
{
    int fd = route_socket();
    struct sockaddr_nl kernel = {.nl_family = AF_NETLINK};
    static const uint16_t kinds[] = {RTM_GETADDR, RTM_GETROUTE, RTM_GETNEIGH, RTM_GETRULE};
    for (unsigned i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        struct request request = request_of(kinds[i], NLM_F_DUMP, 100 + i, sizeof request.any);
        request.any.rtgen_family = kinds[i] == RTM_GETRULE ? AF_INET : AF_UNSPEC;
        struct iovec bytes = {&request, request.header.nlmsg_len};
        struct msghdr message = {.msg_name = &kernel, .msg_namelen = sizeof kernel, .msg_iov = &bytes, .msg_iovlen = 1};
        CHECK_EQ(sendmsg(fd, &message, 0), request.header.nlmsg_len);
        CHECK(read_dump(fd, (uint16_t)(kinds[i] - 2), 100 + i, (uint32_t)getpid()) >= 0);
    }
}

TEST(one_link_by_index)
{
    int fd = route_socket();
    struct request request = request_of(RTM_GETLINK, 0, 3, sizeof request.link);
    request.link.ifi_index = (int)if_nametoindex("lo");
    REQUIRE(request.link.ifi_index > 0);
    CHECK_EQ(write(fd, &request, request.header.nlmsg_len), request.header.nlmsg_len);
    ssize_t whole = recv(fd, NULL, 0, MSG_PEEK | MSG_TRUNC), got = read(fd, buffer, sizeof buffer);
    CHECK_EQ(got, whole);
    struct nlmsghdr *answer = (void *)buffer;
    REQUIRE(NLMSG_OK(answer, (size_t)got));
    CHECK_EQ(answer->nlmsg_type, RTM_NEWLINK);
    CHECK_EQ(answer->nlmsg_seq, 3);
    CHECK_EQ(answer->nlmsg_pid, getpid());
    struct ifinfomsg *link = NLMSG_DATA(answer);
    CHECK_EQ(link->ifi_index, request.link.ifi_index);
    CHECK(link->ifi_flags & IFF_LOOPBACK);
    request.link.ifi_index = 1 << 24;
    CHECK_EQ(write(fd, &request, request.header.nlmsg_len), request.header.nlmsg_len);
    REQUIRE(read(fd, buffer, sizeof buffer) > 0);
    CHECK_EQ(answer->nlmsg_type, NLMSG_ERROR);
    struct nlmsgerr *error = NLMSG_DATA(answer);
    CHECK_EQ(error->error, -ENODEV);
}

TEST(waits_and_peeks)
{
    int fd = route_socket();
    struct pollfd wanted = {.fd = fd, .events = POLLIN | POLLOUT};
    CHECK_EQ(poll(&wanted, 1, 0), 1);
    CHECK_EQ(wanted.revents, POLLOUT);
    struct request request = request_of(RTM_GETLINK, NLM_F_DUMP, 5, sizeof request.any);
    CHECK_EQ(send(fd, &request, request.header.nlmsg_len, 0), request.header.nlmsg_len);
    CHECK_EQ(poll(&wanted, 1, -1), 1);
    CHECK_EQ(wanted.revents, POLLIN | POLLOUT);
    struct sockaddr_nl from;
    memset(&from, 0xff, sizeof from);
    struct iovec bytes = {buffer, 20};
    struct msghdr message = {.msg_name = &from, .msg_namelen = sizeof from, .msg_iov = &bytes, .msg_iovlen = 1};
    CHECK_EQ(recvmsg(fd, &message, MSG_PEEK), 20);
    CHECK(message.msg_flags & MSG_TRUNC);
    CHECK_EQ(message.msg_namelen, sizeof from);
    CHECK_EQ(from.nl_family, AF_NETLINK);
    CHECK_EQ(from.nl_pid, 0);
    CHECK_EQ(((struct nlmsghdr *)buffer)->nlmsg_pid, getpid());
    CHECK(read_dump(fd, RTM_NEWLINK, 5, (uint32_t)getpid()) >= 1);
}

TEST(changes_are_refused_without_privilege)
{
    if (getuid() == 0) {
        REQUIRE_OK(setresgid(65534, 65534, 65534));
        REQUIRE_OK(setresuid(65534, 65534, 65534));
    }
    int fd = route_socket();
    static const uint16_t kinds[] = {RTM_NEWLINK, RTM_DELLINK, RTM_SETLINK, RTM_NEWADDR, RTM_DELADDR, RTM_NEWROUTE};
    for (unsigned i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        struct request request = request_of(kinds[i], NLM_F_ACK, i, sizeof request.link);
        CHECK_EQ(send(fd, &request, request.header.nlmsg_len, 0), request.header.nlmsg_len);
        REQUIRE(recv(fd, buffer, sizeof buffer, 0) > 0);
        struct nlmsghdr *answer = (void *)buffer;
        CHECK_EQ(answer->nlmsg_type, NLMSG_ERROR);
        CHECK_EQ(answer->nlmsg_seq, i);
        struct nlmsgerr *error = NLMSG_DATA(answer);
        CHECK_EQ(error->error, -EPERM);
    }
    struct sockaddr_nl peer = {.nl_family = AF_NETLINK, .nl_pid = 1};
    struct request request = request_of(RTM_GETLINK, NLM_F_DUMP, 5, sizeof request.any);
    CHECK_ERRNO(sendto(fd, &request, request.header.nlmsg_len, 0, (void *)&peer, sizeof peer), EPERM);
    CHECK_ERRNO(connect(fd, (void *)&peer, sizeof peer), EPERM);
}

static int link_change(int fd, int index, unsigned flags, unsigned change)
{
    struct request request = request_of(RTM_NEWLINK, NLM_F_ACK, 9, sizeof request.link);
    request.link.ifi_index = index;
    request.link.ifi_flags = flags;
    request.link.ifi_change = change;
    CHECK_EQ(send(fd, &request, request.header.nlmsg_len, 0), request.header.nlmsg_len);
    REQUIRE(recv(fd, buffer, sizeof buffer, 0) > 0);
    struct nlmsghdr *answer = (void *)buffer;
    CHECK_EQ(answer->nlmsg_type, NLMSG_ERROR);
    CHECK_EQ(answer->nlmsg_seq, 9);
    return ((struct nlmsgerr *)NLMSG_DATA(answer))->error;
}

TEST(a_loopback_that_is_up_may_be_set_up)
{
    struct ifreq request = {.ifr_name = "lo"}, other = {.ifr_name = "no-such-one"};
    int fd = route_socket(), udp = socket(AF_INET, SOCK_DGRAM, 0), index = (int)if_nametoindex("lo");
    REQUIRE_OK(ioctl(udp, SIOCGIFFLAGS, &request));
    if (geteuid() != 0 || !(request.ifr_flags & IFF_UP))
        SKIP("needs root's privileges, and a loopback that is up");
    request.ifr_flags |= IFF_UP | IFF_RUNNING;
    CHECK_OK(ioctl(udp, SIOCSIFFLAGS, &request));
    CHECK_ERRNO(ioctl(udp, SIOCSIFFLAGS, &other), ENODEV);
    CHECK_ERRNO(ioctl(udp, SIOCSIFFLAGS, bad_address), EFAULT);
    CHECK_EQ(link_change(fd, index, IFF_UP, IFF_UP), 0);
    CHECK_EQ(link_change(fd, 1 << 24, IFF_UP, IFF_UP) < 0, true);
    REQUIRE_OK(ioctl(udp, SIOCGIFMTU, &request));
    CHECK_OK(ioctl(udp, SIOCSIFMTU, &request));
    REQUIRE_OK(setresuid(65534, 65534, 65534));
    CHECK_ERRNO(ioctl(udp, SIOCSIFMTU, &request), EPERM);
    CHECK_EQ(link_change(fd, index, IFF_UP, IFF_UP), -EPERM);
}

TEST(options)
{
    int fd = route_socket(), on = 1;
    CHECK_OK(setsockopt(fd, SOL_NETLINK, NETLINK_EXT_ACK, &on, sizeof on));
    CHECK_OK(setsockopt(fd, SOL_NETLINK, NETLINK_GET_STRICT_CHK, &on, sizeof on));
    int group = RTNLGRP_LINK, value = 0;
    CHECK_OK(setsockopt(fd, SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, &group, sizeof group));
    struct sockaddr_nl name;
    socklen_t size = sizeof name;
    CHECK_OK(getsockname(fd, (void *)&name, &size));
    CHECK_EQ(name.nl_groups, RTMGRP_LINK);
    size = sizeof value;
    CHECK_OK(getsockopt(fd, SOL_NETLINK, NETLINK_EXT_ACK, &value, &size));
    CHECK_EQ(value, 1);
    CHECK_ERRNO(setsockopt(fd, SOL_NETLINK, 999, &on, sizeof on), ENOPROTOOPT);
}

TEST(getifaddrs_finds_the_loopback)
{
    struct ifaddrs *all = NULL;
    REQUIRE_OK(getifaddrs(&all));
    bool has_address = false, has_link = false;
    for (struct ifaddrs *each = all; each; each = each->ifa_next) {
        if (strcmp(each->ifa_name, "lo") || !each->ifa_addr)
            continue;
        if (each->ifa_addr->sa_family == AF_PACKET)
            has_link = true;
        if (each->ifa_addr->sa_family == AF_INET)
            has_address |= ((struct sockaddr_in *)each->ifa_addr)->sin_addr.s_addr == htonl(INADDR_LOOPBACK);
    }
    CHECK(has_link);
    CHECK(has_address);
    freeifaddrs(all);
    struct if_nameindex *names = if_nameindex();
    REQUIRE(names != NULL);
    CHECK(names[0].if_index != 0);
    if_freenameindex(names);
}
