/* ancillary: descriptors and credentials sent along with messages on AF_UNIX sockets. */
#include "guest.h"

#include <netinet/in.h>
#include <sys/socket.h>

enum { MAX_FDS = 8 };
union control {
    struct cmsghdr header;
    char bytes[CMSG_SPACE(MAX_FDS * sizeof(int)) + CMSG_SPACE(sizeof(struct ucred))];
};

static ssize_t send_fds(int socket, const char *text, const int *fds, size_t count)
{
    union control control;
    struct iovec vector = {(void *)text, strlen(text)};
    struct msghdr message = {.msg_iov = &vector, .msg_iovlen = 1, .msg_control = control.bytes,
                             .msg_controllen = CMSG_SPACE(count * sizeof(int))};
    memset(&control, 0, sizeof control);
    struct cmsghdr *header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(count * sizeof(int));
    memcpy(CMSG_DATA(header), fds, count * sizeof(int));
    return sendmsg(socket, &message, 0);
}

/* Receives a message and up to `room` descriptors; returns how many came, *flags gets msg_flags. */
static int receive_fds(int socket, int *fds, size_t room, int receive_flags, int *flags)
{
    union control control;
    char text[16];
    struct iovec vector = {text, sizeof text};
    struct msghdr message = {.msg_iov = &vector, .msg_iovlen = 1, .msg_control = control.bytes,
                             .msg_controllen = room ? CMSG_LEN(room * sizeof(int)) : 0};
    if (recvmsg(socket, &message, receive_flags) == -1)
        return -1;
    if (flags)
        *flags = message.msg_flags;
    struct cmsghdr *header = CMSG_FIRSTHDR(&message);
    if (header == NULL)
        return 0;
    CHECK_EQ(header->cmsg_level, SOL_SOCKET);
    CHECK_EQ(header->cmsg_type, SCM_RIGHTS);
    size_t count = (header->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    memcpy(fds, CMSG_DATA(header), count * sizeof(int));
    return (int)count;
}

TEST(a_descriptor_travels)
{
    int pair[2], ends[2], fds[MAX_FDS];
    REQUIRE_OK(socketpair(AF_UNIX, SOCK_STREAM, 0, pair));
    REQUIRE_OK(pipe(ends));
    CHECK_EQ(send_fds(pair[0], "x", &ends[1], 1), 1);
    close(ends[1]);
    CHECK_EQ(receive_fds(pair[1], fds, 4, 0, NULL), 1);
    CHECK_EQ(fcntl(fds[0], F_GETFD), 0);
    CHECK_EQ(write(fds[0], "passed", 6), 6);
    char text[8] = "";
    CHECK_EQ(read(ends[0], text, 6), 6);
    CHECK_STR(text, "passed");
    close(fds[0]);
    CHECK_EQ(read(ends[0], text, 6), 0);
}

TEST(over_the_network_descriptors_mean_nothing)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof address;
    int server = socket(AF_INET, SOCK_STREAM, 0), client = socket(AF_INET, SOCK_STREAM, 0), fds[MAX_FDS];
    REQUIRE_OK(bind(server, (struct sockaddr *)&address, sizeof address));
    REQUIRE_OK(listen(server, 1));
    REQUIRE_OK(getsockname(server, (struct sockaddr *)&address, &length));
    REQUIRE_OK(connect(client, (struct sockaddr *)&address, sizeof address));
    int connection = accept(server, NULL, NULL);
    CHECK_EQ(send_fds(connection, "x", &server, 1), 1);
    CHECK_EQ(receive_fds(client, fds, 4, 0, NULL), 0);
}

TEST(the_description_is_shared)
{
    scratch();
    write_file("f", "0123456789");
    int pair[2], fd = open("f", O_RDWR), got;
    REQUIRE_OK(socketpair(AF_UNIX, SOCK_DGRAM, 0, pair));
    CHECK_EQ(send_fds(pair[0], "x", &fd, 1), 1);
    CHECK_EQ(receive_fds(pair[1], &got, 1, MSG_CMSG_CLOEXEC, NULL), 1);
    CHECK_EQ(fcntl(got, F_GETFD), FD_CLOEXEC);
    CHECK_EQ(lseek(got, 4, SEEK_SET), 4);
    CHECK_EQ(lseek(fd, 0, SEEK_CUR), 4);
    char text[4] = "";
    CHECK_EQ(read(fd, text, 2), 2);
    CHECK_STR(text, "45");
}

TEST(between_processes)
{
    int pair[2], got;
    REQUIRE_OK(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair));
    scratch();
    pid_t pid = fork_child();
    if (pid == 0) {
        int fd = open("from-child", O_RDWR | O_CREAT, 0600);
        CHECK_EQ(write(fd, "child wrote", 11), 11);
        CHECK_EQ(send_fds(pair[1], "x", &fd, 1), 1);
        guest_finish();
    }
    CHECK_EQ(receive_fds(pair[0], &got, 1, 0, NULL), 1);
    CHECK_CHILD(pid);
    char text[16] = "";
    CHECK_EQ(pread(got, text, 15, 0), 11);
    CHECK_STR(text, "child wrote");
}

TEST(several_and_too_many)
{
    int pair[2], fds[3], got[MAX_FDS], flags = 0, before;
    REQUIRE_OK(socketpair(AF_UNIX, SOCK_DGRAM, 0, pair));
    for (int i = 0; i < 3; i++)
        fds[i] = open("/dev/null", O_RDWR);
    CHECK_EQ(send_fds(pair[0], "x", fds, 3), 1);
    CHECK_EQ(receive_fds(pair[1], got, 3, 0, &flags), 3);
    CHECK_EQ(flags & MSG_CTRUNC, 0);
    before = open_fd_count();
    CHECK_EQ(send_fds(pair[0], "x", fds, 3), 1);
    CHECK_EQ(receive_fds(pair[1], got, 1, 0, &flags), 1);
    CHECK_EQ(flags & MSG_CTRUNC, MSG_CTRUNC);
    CHECK_EQ(open_fd_count(), before + 1);
    CHECK_EQ(send_fds(pair[0], "x", fds, 3), 1);
    CHECK_EQ(receive_fds(pair[1], got, 0, 0, &flags), 0);
    CHECK_EQ(open_fd_count(), before + 1);
    int bad = 999;
    CHECK_ERRNO(send_fds(pair[0], "x", &bad, 1), EBADF);
}

TEST(unreceived_descriptors_are_closed_with_the_socket)
{
    int pair[2], ends[2];
    REQUIRE_OK(socketpair(AF_UNIX, SOCK_STREAM, 0, pair));
    REQUIRE_OK(pipe(ends));
    CHECK_EQ(send_fds(pair[0], "x", &ends[1], 1), 1);
    close(ends[1]);
    struct pollfd item = {ends[0], POLLIN, 0};
    CHECK_EQ(poll(&item, 1, 0), 0);
    close(pair[0]);
    close(pair[1]);
    char byte;
    CHECK_EQ(read(ends[0], &byte, 1), 0);
}

TEST(a_socket_travels_over_a_socket)
{
    int pair[2], other[2], got;
    REQUIRE_OK(socketpair(AF_UNIX, SOCK_STREAM, 0, pair));
    REQUIRE_OK(socketpair(AF_UNIX, SOCK_STREAM, 0, other));
    CHECK_EQ(send_fds(pair[0], "x", &other[1], 1), 1);
    CHECK_EQ(receive_fds(pair[1], &got, 1, 0, NULL), 1);
    CHECK_EQ(write(got, "through", 7), 7);
    char text[8] = "";
    CHECK_EQ(read(other[0], text, 7), 7);
    CHECK_STR(text, "through");
}

TEST(credentials_of_the_sender)
{
    int pair[2], on = 1;
    REQUIRE_OK(socketpair(AF_UNIX, SOCK_STREAM, 0, pair));
    CHECK_OK(setsockopt(pair[0], SOL_SOCKET, SO_PASSCRED, &on, sizeof on));
    pid_t pid = fork_child();
    if (pid == 0) {
        CHECK_EQ(write(pair[1], "c", 1), 1);
        guest_finish();
    }
    CHECK_CHILD(pid);
    union control control;
    char byte;
    struct iovec vector = {&byte, 1};
    struct msghdr message = {.msg_iov = &vector, .msg_iovlen = 1, .msg_control = control.bytes,
                             .msg_controllen = sizeof control.bytes};
    CHECK_EQ(recvmsg(pair[0], &message, 0), 1);
    struct cmsghdr *header = CMSG_FIRSTHDR(&message);
    REQUIRE(header != NULL);
    CHECK_EQ(header->cmsg_type, SCM_CREDENTIALS);
    struct ucred sender;
    memcpy(&sender, CMSG_DATA(header), sizeof sender);
    CHECK_EQ(sender.pid, pid);
    CHECK_EQ(sender.uid, getuid());
    CHECK_EQ(sender.gid, getgid());
}

TEST(credentials_of_the_peer)
{
    int pair[2];
    REQUIRE_OK(socketpair(AF_UNIX, SOCK_STREAM, 0, pair));
    struct ucred *peer = guarded(sizeof *peer);
    socklen_t length = sizeof *peer;
    CHECK_OK(getsockopt(pair[0], SOL_SOCKET, SO_PEERCRED, peer, &length));
    CHECK_EQ(peer->pid, getpid());
    CHECK_EQ(peer->uid, geteuid());
    CHECK_EQ(peer->gid, getegid());
}
