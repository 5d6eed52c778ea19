/* message_flags: what each MSG_ flag does, in every call that sends or receives: a table of the calls, a loop over it; and
 * what is sent of a buffer that has a hole, or nothing in it. */
#include "message.h"

#include <linux/errqueue.h>
#include <sys/uio.h>

TEST(sending_ignores_flags_that_mean_nothing_to_it)
{
    /* MSG_DONTROUTE and MSG_CONFIRM speak of neighbours: loopback has none. MSG_ZEROCOPY wants SO_ZEROCOPY. */
    static const int ignored[] = {MSG_PEEK,     MSG_DONTROUTE, MSG_CTRUNC,     MSG_TRUNC,    MSG_DONTWAIT,     MSG_EOR,     MSG_WAITALL,
                                  MSG_CONFIRM,  MSG_ERRQUEUE,  MSG_NOSIGNAL, MSG_WAITFORONE, MSG_ZEROCOPY, MSG_CMSG_CLOEXEC};
    for (int kind = 0; kind < KINDS; kind++) {
        int pair[2];
        make_pair(kind, pair);
        for EACH (i, senders)
            for EACH (n, ignored) {
                char *buffer = guarded(8);
                expect(senders[i].name, kind, ignored[n], senders[i].send(pair[0], "message", 8, ignored[n]), 8);
                expect("recv", kind, 0, recv(pair[1], buffer, 8, 0), 8);
                CHECK_STR(buffer, "message");
            }
        close_pair(pair);
    }
}

TEST(receiving_ignores_flags_that_mean_nothing_to_it)
{
    static const int ignored[] = {MSG_DONTROUTE, MSG_CTRUNC, MSG_EOR,      MSG_CONFIRM,    MSG_NOSIGNAL,
                                  MSG_MORE,      MSG_ZEROCOPY, MSG_FASTOPEN, MSG_WAITFORONE, MSG_CMSG_CLOEXEC};
    for (int kind = 0; kind < KINDS; kind++) {
        int pair[2], told;
        make_pair(kind, pair);
        for EACH (i, receivers)
            for EACH (n, ignored) {
                char *buffer = guarded(8);
                CHECK_EQ(send(pair[0], "message", 8, 0), 8);
                expect(receivers[i].name, kind, ignored[n], receivers[i].receive(pair[1], buffer, 8, ignored[n], &told), 8);
                CHECK_STR(buffer, "message");
                if (receivers[i].receive != by_recvfrom) /* this one is given back */
                    expect("msg_flags", kind, ignored[n], told, ignored[n] & MSG_CMSG_CLOEXEC);
            }
        close_pair(pair);
    }
}

TEST(urgent_bytes)
{
    int pair[2], told;
    char byte;
    make_pair(TCP, pair);
    for EACH (i, receivers) {
        expect(receivers[i].name, TCP, MSG_OOB, receivers[i].receive(pair[1], &byte, 1, MSG_OOB, &told), -EINVAL);
        for EACH (n, senders) {
            expect(senders[n].name, TCP, MSG_OOB, senders[n].send(pair[0], "xu", 2, MSG_OOB), 2);
            struct pollfd item = {pair[1], POLLPRI, 0};
            CHECK_EQ(poll(&item, 1, -1), 1);
            CHECK_EQ(item.revents, POLLPRI);
            expect(receivers[i].name, TCP, MSG_OOB, receivers[i].receive(pair[1], &byte, 1, MSG_OOB, &told), 1);
            CHECK_EQ(byte, 'u');
            if (receivers[i].receive != by_recvfrom)
                CHECK_EQ(told, MSG_OOB);
            expect(receivers[i].name, TCP, MSG_OOB, receivers[i].receive(pair[1], &byte, 1, MSG_OOB, &told), -EINVAL);
            CHECK_EQ(recv(pair[1], &byte, 1, 0), 1); /* what was before it is read in line */
            CHECK_EQ(byte, 'x');
        }
    }
    close_pair(pair);
    static const int without[] = {DATAGRAM, PACKETS, UDP};
    for EACH (k, without) {
        make_pair(without[k], pair);
        for EACH (n, senders)
            expect(senders[n].name, without[k], MSG_OOB, senders[n].send(pair[0], "u", 1, MSG_OOB), -EOPNOTSUPP);
        for EACH (i, receivers)
            if (without[k] != UDP) /* which does not look at it */
                expect(receivers[i].name, without[k], MSG_OOB, receivers[i].receive(pair[1], &byte, 1, MSG_OOB, &told), -EOPNOTSUPP);
        close_pair(pair);
    }
}

TEST(peeking_takes_nothing)
{
    for (int kind = 0; kind < KINDS; kind++)
        for EACH (i, receivers) {
            int pair[2], told;
            make_pair(kind, pair);
            CHECK_EQ(send(pair[0], "message", 8, 0), 8);
            for (int round = 0; round < 3; round++) {
                char *buffer = guarded(8);
                expect(receivers[i].name, kind, MSG_PEEK, receivers[i].receive(pair[1], buffer, 8, round < 2 ? MSG_PEEK : 0, &told), 8);
                CHECK_STR(buffer, "message");
            }
            expect(receivers[i].name, kind, MSG_DONTWAIT, receivers[i].receive(pair[1], &told, 1, MSG_DONTWAIT, &told), -EAGAIN);
            close_pair(pair);
        }
}

TEST(truncation)
{
    for (int kind = 0; kind < KINDS; kind++)
        for EACH (i, receivers)
            for (int flags = 0; flags <= MSG_TRUNC; flags += MSG_TRUNC) {
                bool is_stream = kind == STREAM || kind == TCP, is_discarded = kind == TCP && flags;
                int pair[2], told;
                make_pair(kind, pair);
                char *buffer = memcpy(guarded(4), "----", 4);
                CHECK_EQ(send(pair[0], "message", 7, 0), 7);
                long expected = flags && !is_stream ? 7 : 4; /* the real length, or what fits */
                expect(receivers[i].name, kind, flags, receivers[i].receive(pair[1], buffer, 4, flags, &told), expected);
                CHECK(memcmp(buffer, is_discarded ? "----" : "mess", 4) == 0);
                if (receivers[i].receive != by_recvfrom)
                    expect("msg_flags", kind, flags, told, is_stream ? 0 : MSG_TRUNC);
                expect("the rest", kind, flags, recv(pair[1], buffer, 4, MSG_DONTWAIT), is_stream ? 3 : -1);
                close_pair(pair);
            }
}

TEST(not_waiting)
{
    static char block[4096];
    for (int kind = 0; kind < KINDS; kind++) {
        int pair[2], told;
        make_pair(kind, pair);
        for EACH (i, receivers)
            expect(receivers[i].name, kind, MSG_DONTWAIT, receivers[i].receive(pair[1], block, 1, MSG_DONTWAIT, &told), -EAGAIN);
        if (kind == UDP) { /* drops what is too much */
            close_pair(pair);
            continue;
        }
        int one = 1;
        REQUIRE_OK(setsockopt(pair[0], SOL_SOCKET, SO_SNDBUF, &one, sizeof one)); /* the smallest that there is */
        while (send(pair[0], block, sizeof block, MSG_DONTWAIT) > 0)
            ;
        CHECK_EQ(errno, EAGAIN);
        for EACH (i, senders)
            expect(senders[i].name, kind, MSG_DONTWAIT, senders[i].send(pair[0], block, sizeof block, MSG_DONTWAIT), -EAGAIN);
        close_pair(pair);
    }
}

TEST(waiting_for_all)
{
    static const int kinds[] = {STREAM, TCP};
    for EACH (k, kinds)
        for EACH (i, receivers) {
            int pair[2], told;
            make_pair(kinds[k], pair);
            pid_t pid = fork_child();
            if (pid == 0) {
                char *buffer = guarded(10);
                expect(receivers[i].name, kinds[k], MSG_WAITALL, receivers[i].receive(pair[1], buffer, 10, MSG_WAITALL, &told), 10);
                CHECK(memcmp(buffer, "1234567890", 10) == 0);
                guest_finish();
            }
            CHECK_EQ(write(pair[0], "12345", 5), 5);
            wait_for_state(pid, 'S');
            CHECK_EQ(write(pair[0], "67890", 5), 5);
            CHECK_CHILD(pid);
            close_pair(pair);
        }
    for EACH (i, receivers) { /* a datagram is all that comes */
        int pair[2], told;
        make_pair(UDP, pair);
        char buffer[10];
        CHECK_EQ(send(pair[0], "12345", 5, 0), 5);
        expect(receivers[i].name, UDP, MSG_WAITALL, receivers[i].receive(pair[1], buffer, 10, MSG_WAITALL, &told), 5);
        close_pair(pair);
    }
}

TEST(more_to_come)
{
    int pair[2];
    make_pair(UDP, pair);
    for EACH (i, senders) { /* the pieces are one datagram */
        char *buffer = guarded(9);
        expect(senders[i].name, UDP, MSG_MORE, senders[i].send(pair[0], "one", 3, MSG_MORE), 3);
        expect(senders[i].name, UDP, MSG_MORE, senders[i].send(pair[0], "two", 3, MSG_MORE), 3);
        CHECK_ERRNO(recv(pair[1], buffer, 9, MSG_DONTWAIT), EAGAIN);
        expect(senders[i].name, UDP, 0, senders[i].send(pair[0], "end", 3, 0), 3);
        CHECK_EQ(recv(pair[1], buffer, 9, 0), 9);
        CHECK(memcmp(buffer, "onetwoend", 9) == 0);
    }
    close_pair(pair);
    make_pair(TCP, pair);
    for EACH (i, senders) { /* the pieces come in order */
        char *buffer = guarded(6);
        expect(senders[i].name, TCP, MSG_MORE, senders[i].send(pair[0], "one", 3, MSG_MORE), 3);
        expect(senders[i].name, TCP, 0, senders[i].send(pair[0], "end", 3, 0), 3);
        CHECK_EQ(recv(pair[1], buffer, 6, MSG_WAITALL), 6);
        CHECK(memcmp(buffer, "oneend", 6) == 0);
    }
    close_pair(pair);
}

static volatile sig_atomic_t broken_pipes;

static void on_sigpipe(int signal_number)
{
    (void)signal_number;
    broken_pipes++;
}

TEST(no_signal)
{
    handle_signal(SIGPIPE, on_sigpipe, 0);
    for EACH (i, senders) {
        int pair[2];
        make_pair(STREAM, pair);
        close(pair[1]);
        broken_pipes = 0;
        expect(senders[i].name, STREAM, MSG_NOSIGNAL, senders[i].send(pair[0], "x", 1, MSG_NOSIGNAL), -EPIPE);
        CHECK_EQ(broken_pipes, 0);
        expect(senders[i].name, STREAM, 0, senders[i].send(pair[0], "x", 1, 0), -EPIPE);
        CHECK_EQ(broken_pipes, 1);
        close(pair[0]);
    }
}

TEST(the_error_queue)
{
    static const int on = 1;
    for (int kind = TCP; kind < KINDS; kind++)
        for EACH (i, receivers) {
            int pair[2], told;
            char byte;
            make_pair(kind, pair);
            CHECK_EQ(send(pair[0], "x", 1, 0), 1); /* what arrived is elsewhere; and nothing waits for an error */
            expect(receivers[i].name, kind, MSG_ERRQUEUE, receivers[i].receive(pair[1], &byte, 1, MSG_ERRQUEUE, &told), -EAGAIN);
            close_pair(pair);
        }
    for EACH (i, receivers) { /* AF_UNIX has no such queue, and does not look at the flag */
        int pair[2], told;
        char byte;
        make_pair(DATAGRAM, pair);
        CHECK_EQ(send(pair[0], "x", 1, 0), 1);
        expect(receivers[i].name, DATAGRAM, MSG_ERRQUEUE, receivers[i].receive(pair[1], &byte, 1, MSG_ERRQUEUE, &told), 1);
        close_pair(pair);
    }
    for EACH (i, receivers) {
        int pair[2], told;
        make_pair(UDP, pair);
        close(pair[1]); /* nobody is there any more: what is sent comes back */
        REQUIRE_OK(setsockopt(pair[0], SOL_IP, IP_RECVERR, &on, sizeof on));
        CHECK_EQ(send(pair[0], "lost", 4, 0), 4);
        struct pollfd item = {pair[0], 0, 0};
        CHECK_EQ(poll(&item, 1, -1), 1);
        CHECK_EQ(item.revents, POLLERR);
        char *buffer = guarded(4);
        expect(receivers[i].name, UDP, MSG_ERRQUEUE, receivers[i].receive(pair[0], buffer, 4, MSG_ERRQUEUE, &told), 4);
        CHECK(memcmp(buffer, "lost", 4) == 0);
        if (receivers[i].receive != by_recvfrom)
            CHECK_EQ(told, MSG_ERRQUEUE | MSG_CTRUNC); /* there was no room to say what happened */
        expect(receivers[i].name, UDP, MSG_ERRQUEUE, receivers[i].receive(pair[0], buffer, 4, MSG_ERRQUEUE, &told), -EAGAIN);
        close(pair[0]);
    }
}

TEST(an_error_of_the_queue_is_described)
{
    int pair[2], on = 1;
    make_pair(UDP, pair);
    struct sockaddr_in peer, from;
    socklen_t length = sizeof peer;
    REQUIRE_OK(getpeername(pair[0], (struct sockaddr *)&peer, &length));
    REQUIRE_OK(setsockopt(pair[0], SOL_IP, IP_RECVERR, &on, sizeof on));
    close(pair[1]);
    CHECK_EQ(send(pair[0], "lost", 4, 0), 4);
    struct pollfd item = {pair[0], 0, 0};
    CHECK_EQ(poll(&item, 1, -1), 1);
    char data[8], control[256];
    struct iovec vector = {data, sizeof data};
    struct msghdr header = {.msg_name = &from, .msg_namelen = sizeof from, .msg_iov = &vector, .msg_iovlen = 1,
                            .msg_control = control, .msg_controllen = sizeof control};
    CHECK_EQ(recvmsg(pair[0], &header, MSG_ERRQUEUE), 4);
    CHECK_EQ(header.msg_flags, MSG_ERRQUEUE);
    CHECK_EQ(from.sin_port, peer.sin_port); /* whom it was sent to */
    struct cmsghdr *message = CMSG_FIRSTHDR(&header);
    REQUIRE(message != NULL);
    CHECK_EQ(message->cmsg_level, SOL_IP);
    CHECK_EQ(message->cmsg_type, IP_RECVERR);
    struct sock_extended_err error;
    memcpy(&error, CMSG_DATA(message), sizeof error);
    CHECK_EQ(error.ee_errno, ECONNREFUSED);
    CHECK_EQ(error.ee_origin, SO_EE_ORIGIN_ICMP);
    CHECK_EQ(error.ee_type, 3); /* ICMP: unreachable, */
    CHECK_EQ(error.ee_code, 3); /* port */
}

/* A socket for each sender that it connects by sending. */
static long send_to(const struct sender *sender, int fd, struct sockaddr_in *to, int flags)
{
    struct iovec vector = {"first", 5};
    struct mmsghdr message = {.msg_hdr = {.msg_iov = &vector, .msg_iovlen = 1, .msg_name = to, .msg_namelen = sizeof *to}};
    long count;
    if (sender->send == by_sendto)
        count = sendto(fd, "first", 5, flags, (struct sockaddr *)to, sizeof *to);
    else if (sender->send == by_sendmsg)
        count = sendmsg(fd, &message.msg_hdr, flags);
    else
        count = sendmmsg(fd, &message, 1, flags) == 1 ? (long)message.msg_len : -1;
    return count < 0 ? -errno : count;
}

TEST(connecting_by_sending)
{
    char setting[16] = "";
    read_file("/proc/sys/net/ipv4/tcp_fastopen", setting, sizeof setting);
    if (setting[0] && !(atoi(setting) & 1))
        SKIP("tcp_fastopen is off");
    for EACH (i, senders) {
        int server = socket(AF_INET, SOCK_STREAM, 0), client = socket(AF_INET, SOCK_STREAM, 0);
        struct sockaddr_in address = bind_to_loopback(server);
        expect(senders[i].name, TCP, MSG_FASTOPEN, senders[i].send(client, "x", 1, MSG_FASTOPEN), -EINVAL); /* to whom? */
        expect(senders[i].name, TCP, MSG_FASTOPEN, send_to(&senders[i], client, &address, MSG_FASTOPEN), -ECONNREFUSED);
        CHECK_OK(listen(server, 4));
        expect(senders[i].name, TCP, MSG_FASTOPEN, send_to(&senders[i], client, &address, MSG_FASTOPEN), 5);
        expect(senders[i].name, TCP, 0, senders[i].send(client, "then", 4, 0), 4);
        int connection = accept(server, NULL, NULL);
        char *buffer = guarded(9);
        CHECK_EQ(recv(connection, buffer, 9, MSG_WAITALL), 9);
        CHECK(memcmp(buffer, "firstthen", 9) == 0);
        expect(senders[i].name, TCP, MSG_FASTOPEN, send_to(&senders[i], client, &address, MSG_FASTOPEN), -EISCONN);
        expect(senders[i].name, TCP, MSG_FASTOPEN, senders[i].send(client, "x", 1, MSG_FASTOPEN), -EISCONN);
        close(client);
        close(connection);
        close(server);
    }
    static const int others[] = {STREAM, DATAGRAM, PACKETS, UDP}; /* do not look at it */
    for EACH (k, others) {
        int pair[2];
        make_pair(others[k], pair);
        for EACH (i, senders) {
            char *buffer = guarded(4);
            expect(senders[i].name, others[k], MSG_FASTOPEN, senders[i].send(pair[0], "data", 4, MSG_FASTOPEN), 4);
            CHECK_EQ(recv(pair[1], buffer, 4, 0), 4);
        }
        close_pair(pair);
    }
}

TEST(waiting_for_one)
{
    int pair[2];
    make_pair(DATAGRAM, pair);
    char buffers[3][4];
    struct iovec vectors[3] = {{buffers[0], 4}, {buffers[1], 4}, {buffers[2], 4}};
    struct mmsghdr messages[3] = {{.msg_hdr = {.msg_iov = vectors, .msg_iovlen = 1}},
                                  {.msg_hdr = {.msg_iov = vectors + 1, .msg_iovlen = 1}},
                                  {.msg_hdr = {.msg_iov = vectors + 2, .msg_iovlen = 1}}};
    pid_t pid = fork_child();
    if (pid == 0) { /* waits for the first, and not for the third */
        CHECK_EQ(recvmmsg(pair[1], messages, 3, MSG_WAITFORONE, NULL), 1);
        CHECK_EQ(messages[0].msg_len, 3);
        guest_finish();
    }
    wait_for_state(pid, 'S');
    CHECK_EQ(send(pair[0], "one", 3, 0), 3);
    CHECK_CHILD(pid);
    CHECK_EQ(send(pair[0], "one", 3, 0), 3);
    CHECK_EQ(send(pair[0], "2", 1, 0), 1);
    CHECK_EQ(recvmmsg(pair[1], messages, 3, MSG_WAITFORONE, NULL), 2);
    CHECK_EQ(messages[0].msg_len, 3);
    CHECK_EQ(messages[1].msg_len, 1);
}

TEST(several_messages_end_at_the_first_that_fails)
{
    int pair[2];
    make_pair(UDP, pair);
    static char large[70000];
    struct iovec vectors[3] = {{"one", 3}, {large, sizeof large}, {"three", 5}};
    struct mmsghdr messages[3] = {{.msg_hdr = {.msg_iov = vectors, .msg_iovlen = 1}},
                                  {.msg_hdr = {.msg_iov = vectors + 1, .msg_iovlen = 1}, .msg_len = 77},
                                  {.msg_hdr = {.msg_iov = vectors + 2, .msg_iovlen = 1}, .msg_len = 77}};
    CHECK_EQ(sendmmsg(pair[0], messages, 3, 0), 1);
    CHECK_EQ(messages[0].msg_len, 3);
    CHECK_EQ(messages[1].msg_len, 77);
    CHECK_EQ(messages[2].msg_len, 77);
    CHECK_ERRNO(sendmmsg(pair[0], messages + 1, 2, 0), EMSGSIZE);
    CHECK_EQ(sendmmsg(pair[0], messages, 0, 0), 0);
    CHECK_ERRNO(recvmmsg(pair[1], messages, 1, 0, &(struct timespec){0, 1000000000}), EINVAL);
    CHECK_ERRNO(recvmmsg(pair[1], messages, 1, 0, &(struct timespec){-1, 0}), EINVAL);
    CHECK_ERRNO(recvmmsg(pair[1], messages, 1, 0, bad_address), EFAULT);
    CHECK_EQ(recvmmsg(pair[1], messages, 0, 0, NULL), 0);
}

TEST(close_on_exec_of_descriptors_that_arrive)
{
    for (int several = 0; several < 2; several++)
        for (int flags = 0;; flags = MSG_CMSG_CLOEXEC) {
            int pair[2], sent = STDIN_FILENO, got;
            make_pair(DATAGRAM, pair);
            char byte, control[CMSG_SPACE(sizeof sent)] __attribute__((aligned(8))) = {0};
            struct iovec vector = {&byte, 1};
            struct mmsghdr message = {.msg_hdr = {.msg_iov = &vector, .msg_iovlen = 1, .msg_control = control,
                                                  .msg_controllen = sizeof control}};
            struct cmsghdr *header = CMSG_FIRSTHDR(&message.msg_hdr);
            *header = (struct cmsghdr){.cmsg_len = CMSG_LEN(sizeof sent), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS};
            memcpy(CMSG_DATA(header), &sent, sizeof sent);
            CHECK_EQ(several ? sendmmsg(pair[0], &message, 1, 0) : sendmsg(pair[0], &message.msg_hdr, 0), 1);
            memset(control, 0, sizeof control);
            CHECK_EQ(several ? recvmmsg(pair[1], &message, 1, flags, NULL) : recvmsg(pair[1], &message.msg_hdr, flags), 1);
            memcpy(&got, CMSG_DATA(header), sizeof got);
            CHECK_EQ(fcntl(got, F_GETFD), flags ? FD_CLOEXEC : 0);
            CHECK_EQ(message.msg_hdr.msg_flags, flags);
            close(got);
            close_pair(pair);
            if (flags)
                break;
        }
}

static long by_write(int fd, void *data, size_t size, int flags)
{
    (void)flags;
    long count = write(fd, data, size);
    return count < 0 ? -errno : count;
}

static long by_writev(int fd, void *data, size_t size, int flags)
{
    (void)flags;
    struct iovec vectors[2] = {{data, 3}, {(char *)data + 3, size - 3}};
    long count = writev(fd, vectors, size ? 2 : 0);
    return count < 0 ? -errno : count;
}

static const struct sender writers[] = {
    {"sendto", by_sendto}, {"sendmsg", by_sendmsg}, {"sendmmsg", by_sendmmsg}, {"write", by_write}, {"writev", by_writev},
};

TEST(of_a_buffer_with_a_hole_nothing_is_sent)
{
    char *three = guarded(3), byte;
    for (int kind = 0; kind < KINDS; kind++) {
        int pair[2];
        make_pair(kind, pair);
        for EACH (i, writers) {
            expect(writers[i].name, kind, 0, writers[i].send(pair[0], three, 10, 0), -EFAULT);
            CHECK_ERRNO(recv(pair[1], &byte, 1, MSG_DONTWAIT), EAGAIN);
        }
        close_pair(pair);
    }
    int ends[2];
    REQUIRE_OK(pipe2(ends, O_NONBLOCK));
    expect("write to a pipe", STREAM, 0, by_write(ends[1], three, 10, 0), -EFAULT);
    expect("writev to a pipe", STREAM, 0, by_writev(ends[1], three, 10, 0), -EFAULT);
    CHECK_ERRNO(read(ends[0], &byte, 1), EAGAIN);
}

TEST(empty_messages)
{
    static const int kinds[] = {DATAGRAM, UDP};
    for EACH (k, kinds) {
        int pair[2];
        char byte;
        make_pair(kinds[k], pair);
        for EACH (i, writers) {
            expect(writers[i].name, kinds[k], 0, writers[i].send(pair[0], bad_address, 0, 0), 0);
            long expected = writers[i].send == by_writev ? -1 : 0; /* which sends nothing then */
            expect(writers[i].name, kinds[k], 0, recv(pair[1], &byte, 1, MSG_DONTWAIT), expected);
        }
        close_pair(pair);
    }
}

TEST(of_packets_a_broken_pipe_is_no_signal)
{
    handle_signal(SIGPIPE, on_sigpipe, 0);
    for EACH (i, writers) {
        int pair[2];
        make_pair(PACKETS, pair);
        close(pair[1]);
        expect(writers[i].name, PACKETS, 0, writers[i].send(pair[0], "12345", 5, 0), -EPIPE);
        CHECK_EQ(broken_pipes, 0);
        close(pair[0]);
    }
}

TEST(lengths_without_end)
{
    static char room[16];
    static const size_t lengths[] = {0x7ffff000, 0x7fffffff, 0x80000000, SIZE_MAX / 2, SIZE_MAX}; /* as far as 0x7ffff000 counts */
    for (int kind = 0; kind < KINDS; kind++) {
        int pair[2];
        make_pair(kind, pair);
        for EACH (i, lengths) {
            CHECK_EQ(send(pair[0], "abc", 3, 0), 3);
            CHECK_EQ(recv(pair[1], room, lengths[i], 0), 3);
            if (kind != STREAM && kind != TCP)
                CHECK_ERRNO(send(pair[0], room, lengths[i], 0), EMSGSIZE);
        }
        close_pair(pair);
    }
}
