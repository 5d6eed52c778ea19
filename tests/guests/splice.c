/* splice: splice, tee, vmsplice and sendfile: their flags, and what they refuse. */
#include "guest.h"

#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/uio.h>

#define EACH(entry, table) (size_t entry = 0; entry < sizeof table / sizeof *table; entry++)

/* MOVE is a hint, MORE is for sockets, GIFT is for vmsplice: with each of them the bytes are the same. */
static const unsigned accepted[] = {0, SPLICE_F_MOVE, SPLICE_F_NONBLOCK, SPLICE_F_MORE, SPLICE_F_GIFT,
                                    SPLICE_F_MOVE | SPLICE_F_NONBLOCK | SPLICE_F_MORE | SPLICE_F_GIFT};
static int first[2], second[2], full[2], file;
static char text[] = "0123456789";
static struct iovec vector = {text, 10};

static void set_up(void)
{
    scratch();
    write_file("file", text);
    REQUIRE_OK(file = open("file", O_RDWR));
    REQUIRE_OK(pipe(first));
    REQUIRE_OK(pipe(second));
    REQUIRE_OK(pipe2(full, O_NONBLOCK));
    static char block[4096];
    while (write(full[1], block, sizeof block) > 0)
        ;
    REQUIRE_OK(fcntl(full[1], F_SETFL, 0));
    REQUIRE_OK(fcntl(full[0], F_SETFL, 0));
}

static void check_pipe(int fd, unsigned flags)
{
    char *buffer = guarded(10);
    CHECK_EQ(read(fd, buffer, 10), 10);
    if (memcmp(buffer, text, 10) != 0)
        GUEST_FAIL("flags 0x%x: %.10s", flags, buffer);
}

TEST(each_flag)
{
    set_up();
    for EACH (i, accepted) {
        CHECK_EQ(splice(file, &(off_t){0}, first[1], NULL, 10, accepted[i]), 10);
        CHECK_EQ(tee(first[0], second[1], 10, accepted[i]), 10);
        check_pipe(second[0], accepted[i]);
        CHECK_EQ(splice(first[0], NULL, second[1], NULL, 10, accepted[i]), 10);
        check_pipe(second[0], accepted[i]);
        CHECK_EQ(vmsplice(first[1], &vector, 1, accepted[i]), 10);
        CHECK_EQ(splice(first[0], NULL, file, &(off_t){0}, 10, accepted[i]), 10);
        CHECK_EQ(pread(file, guarded(10), 10, 0), 10);
        CHECK_EQ(write(first[1], text, 10), 10);
        char *buffer = guarded(10);
        CHECK_EQ(vmsplice(first[0], &(struct iovec){buffer, 10}, 1, accepted[i]), 10);
        CHECK(memcmp(buffer, text, 10) == 0);
    }
    CHECK_ERRNO(splice(file, &(off_t){0}, first[1], NULL, 10, 16), EINVAL);
    CHECK_ERRNO(tee(first[0], second[1], 10, 16), EINVAL);
    CHECK_ERRNO(vmsplice(first[1], &vector, 1, 16), EINVAL);
}

TEST(nothing_to_take_and_no_room)
{
    set_up();
    CHECK_ERRNO(splice(first[0], NULL, second[1], NULL, 1, SPLICE_F_NONBLOCK), EAGAIN);
    CHECK_ERRNO(splice(first[0], NULL, file, NULL, 1, SPLICE_F_NONBLOCK), EAGAIN);
    CHECK_ERRNO(tee(first[0], second[1], 1, SPLICE_F_NONBLOCK), EAGAIN);
    CHECK_ERRNO(vmsplice(first[0], &vector, 1, SPLICE_F_NONBLOCK), EAGAIN);
    CHECK_ERRNO(splice(file, &(off_t){0}, full[1], NULL, 1, SPLICE_F_NONBLOCK), EAGAIN);
    CHECK_ERRNO(vmsplice(full[1], &vector, 1, SPLICE_F_NONBLOCK), EAGAIN);
    CHECK_EQ(write(first[1], "x", 1), 1);
    CHECK_ERRNO(tee(first[0], full[1], 1, SPLICE_F_NONBLOCK), EAGAIN);
    CHECK_ERRNO(splice(first[0], NULL, full[1], NULL, 1, SPLICE_F_NONBLOCK), EAGAIN);
    CHECK_OK(fcntl(full[1], F_SETFL, O_NONBLOCK)); /* says the same */
    CHECK_ERRNO(splice(first[0], NULL, full[1], NULL, 1, 0), EAGAIN);
    CHECK_ERRNO(tee(first[0], full[1], 1, 0), EAGAIN);
}

TEST(vmsplice_looks_at_its_flag_alone)
{
    set_up();
    CHECK_OK(fcntl(full[1], F_SETFL, O_NONBLOCK));
    CHECK_OK(fcntl(first[0], F_SETFL, O_NONBLOCK));
    pid_t writer = fork_child();
    if (writer == 0) {
        CHECK_EQ(vmsplice(full[1], &vector, 1, 0), 10);
        guest_finish();
    }
    pid_t reader = fork_child();
    if (reader == 0) {
        char *buffer = guarded(1);
        CHECK_EQ(vmsplice(first[0], &(struct iovec){buffer, 1}, 1, 0), 1);
        guest_finish();
    }
    wait_for_state(writer, 'S');
    wait_for_state(reader, 'S');
    static char block[4096];
    CHECK_EQ(read(full[0], block, sizeof block), sizeof block);
    CHECK_EQ(write(first[1], "x", 1), 1);
    CHECK_CHILD(writer);
    CHECK_CHILD(reader);
}

TEST(ends)
{
    set_up();
    signal(SIGPIPE, SIG_IGN);
    close(first[1]);
    CHECK_EQ(splice(first[0], NULL, second[1], NULL, 1, 0), 0);
    CHECK_EQ(tee(first[0], second[1], 1, 0), 0);
    CHECK_EQ(vmsplice(first[0], &vector, 1, 0), 0);
    CHECK_EQ(splice(file, &(off_t){10}, second[1], NULL, 1, 0), 0);
    close(second[0]);
    CHECK_ERRNO(splice(file, &(off_t){0}, second[1], NULL, 1, 0), EPIPE);
    CHECK_ERRNO(vmsplice(second[1], &vector, 1, 0), EPIPE);
    CHECK_ERRNO(tee(full[0], second[1], 1, 0), EPIPE);
    CHECK_EQ(splice(full[0], NULL, file, NULL, 0, 0), 0);
    CHECK_EQ(tee(full[0], second[1], 0, 0), 0);
    CHECK_EQ(vmsplice(second[1], &vector, 0, 0), 0);
}

TEST(descriptors)
{
    set_up();
    int path = open("file", O_PATH), reader = open("file", O_RDONLY), writer = open("file", O_WRONLY);
    const int none[] = {-1, 999, path};
    for EACH (i, none) {
        CHECK_ERRNO(splice(none[i], NULL, first[1], NULL, 1, 0), EBADF);
        CHECK_ERRNO(splice(full[0], NULL, none[i], NULL, 1, 0), EBADF);
        CHECK_ERRNO(tee(none[i], first[1], 1, 0), EBADF);
        CHECK_ERRNO(tee(full[0], none[i], 1, 0), EBADF);
        CHECK_ERRNO(vmsplice(none[i], &vector, 1, 0), EBADF);
        CHECK_ERRNO(sendfile(none[i], file, NULL, 1), EBADF);
        CHECK_ERRNO(sendfile(file, none[i], NULL, 1), EBADF);
    }
    CHECK_ERRNO(splice(writer, NULL, first[1], NULL, 1, 0), EBADF);
    CHECK_ERRNO(splice(full[0], NULL, reader, NULL, 1, 0), EBADF);
    CHECK_ERRNO(splice(first[1], NULL, second[1], NULL, 1, 0), EBADF);
    CHECK_ERRNO(tee(first[1], second[1], 1, 0), EBADF);
    CHECK_ERRNO(tee(full[0], second[0], 1, 0), EBADF);
    CHECK_ERRNO(vmsplice(file, &vector, 1, 0), EBADF); /* no pipe */
    CHECK_ERRNO(sendfile(first[1], writer, NULL, 1), EBADF);
    CHECK_ERRNO(sendfile(reader, file, NULL, 1), EBADF);
}

TEST(what_is_no_pipe_or_the_same_one)
{
    set_up();
    int append = open("file", O_WRONLY | O_APPEND);
    CHECK_ERRNO(tee(file, first[1], 1, 0), EINVAL);
    CHECK_ERRNO(tee(full[0], file, 1, 0), EINVAL);
    CHECK_ERRNO(tee(first[0], first[1], 1, 0), EINVAL);
    CHECK_EQ(write(first[1], "x", 1), 1);
    CHECK_ERRNO(splice(first[0], NULL, first[1], NULL, 1, 0), EINVAL);
    CHECK_ERRNO(splice(first[0], NULL, append, NULL, 1, 0), EINVAL);
    CHECK_ERRNO(splice(file, NULL, append, NULL, 1, 0), EINVAL);
    CHECK_ERRNO(splice(first[0], &(off_t){0}, file, NULL, 1, 0), ESPIPE);
    CHECK_ERRNO(splice(file, NULL, first[1], &(off_t){0}, 1, 0), ESPIPE);
    CHECK_ERRNO(splice(file, &(off_t){-1}, first[1], NULL, 1, 0), EINVAL);
    CHECK_ERRNO(splice(file, &(off_t){0}, first[1], NULL, SIZE_MAX, 0), EINVAL);
    CHECK_ERRNO(sendfile(file, first[0], &(off_t){0}, 1), ESPIPE);
    CHECK_ERRNO(sendfile(first[1], file, &(off_t){-1}, 1), EINVAL);
    CHECK_ERRNO(sendfile(append, file, &(off_t){0}, 1), EINVAL);
}

TEST(memory)
{
    set_up();
    CHECK_ERRNO(splice(file, bad_address, first[1], NULL, 1, 0), EFAULT);
    CHECK_ERRNO(splice(full[0], NULL, file, bad_address, 1, 0), EFAULT);
    CHECK_ERRNO(vmsplice(first[1], bad_address, 1, 0), EFAULT);
    CHECK_ERRNO(vmsplice(first[1], &(struct iovec){bad_address, 1}, 1, 0), EFAULT);
    CHECK_ERRNO(vmsplice(first[1], &vector, 1025, 0), EINVAL);
    CHECK_ERRNO(vmsplice(first[1], &(struct iovec){text, (size_t)-1}, 1, 0), EINVAL);
    struct pollfd item = {first[0], POLLIN, 0};
    CHECK_EQ(poll(&item, 1, 0), 0); /* nothing came */
    CHECK_EQ(write(first[1], "x", 1), 1);
    CHECK_ERRNO(vmsplice(first[0], &(struct iovec){bad_address, 1}, 1, 0), EFAULT);
}

TEST(more_is_told_to_a_socket)
{
    int pair[2];
    set_up();
    REQUIRE_OK(socketpair(AF_UNIX, SOCK_STREAM, 0, pair));
    CHECK_EQ(write(first[1], text, 10), 10);
    CHECK_EQ(splice(first[0], NULL, pair[0], NULL, 10, SPLICE_F_MORE), 10);
    check_pipe(pair[1], SPLICE_F_MORE);
    CHECK_EQ(write(pair[0], text, 10), 10);
    CHECK_EQ(splice(pair[1], NULL, first[1], NULL, 10, SPLICE_F_MOVE), 10);
    check_pipe(first[0], SPLICE_F_MOVE);
}
