/* aio: io_setup and its kin, by their numbers. */
#include "guest.h"

#include <linux/aio_abi.h>
#include <sys/eventfd.h>

static long setup(unsigned count, aio_context_t *context)
{
    return syscall(SYS_io_setup, count, context);
}

static struct iocb request(int opcode, int fd, void *buffer, size_t size, long offset)
{
    return (struct iocb){.aio_lio_opcode = (unsigned short)opcode, .aio_fildes = (unsigned)fd,
                         .aio_buf = (uintptr_t)buffer, .aio_nbytes = size, .aio_offset = offset, .aio_data = 7};
}

TEST(write_and_read_back)
{
    aio_context_t context = 0;
    struct io_event events[4];
    char out[] = "asynchronous", in[sizeof out] = {0};
    uint64_t count = 0;
    scratch();
    REQUIRE_OK(setup(8, &context));
    int fd = open("f", O_CREAT | O_RDWR, 0644), wake = eventfd(0, EFD_NONBLOCK);
    struct iocb put = request(IOCB_CMD_PWRITE, fd, out, sizeof out, 100), get = request(IOCB_CMD_PREAD, fd, in, sizeof in, 100);
    struct iocb *list[] = {&put};
    put.aio_flags = IOCB_FLAG_RESFD;
    put.aio_resfd = (unsigned)wake;
    CHECK_EQ(syscall(SYS_io_submit, context, 1, list), 1);
    CHECK_EQ(syscall(SYS_io_getevents, context, 1, 4, events, NULL), 1);
    CHECK_EQ(events[0].res, (long)sizeof out);
    CHECK_EQ(events[0].data, 7);
    CHECK_EQ(events[0].obj, (uintptr_t)&put);
    CHECK_EQ(read(wake, &count, sizeof count), 8);
    CHECK_EQ(count, 1);
    list[0] = &get;
    CHECK_EQ(syscall(SYS_io_submit, context, 1, list), 1);
    CHECK_EQ(syscall(SYS_io_getevents, context, 1, 4, events, NULL), 1);
    CHECK_STR(in, "asynchronous");
    struct timespec none = {0};
    CHECK_EQ(syscall(SYS_io_getevents, context, 1, 4, events, &none), 0);
    CHECK_OK(syscall(SYS_io_destroy, context));
    CHECK_ERRNO(syscall(SYS_io_destroy, context), EINVAL);
}

TEST(errors)
{
    aio_context_t context = 0, none = 0;
    struct io_event event;
    char byte = 0;
    CHECK_ERRNO(setup(1, bad_address), EFAULT);
    context = 1;
    CHECK_ERRNO(setup(1, &context), EINVAL);
    context = 0;
    CHECK_ERRNO(setup(0, &context), EINVAL);
    REQUIRE_OK(setup(1, &context));
    struct iocb bad = request(IOCB_CMD_PREAD, -1, &byte, 1, 0), unknown = request(99, 0, &byte, 1, 0);
    struct iocb *list[] = {&bad}, *nothing[] = {NULL};
    CHECK_ERRNO(syscall(SYS_io_submit, context, 1, list), EBADF);
    list[0] = &unknown;
    unknown.aio_fildes = (unsigned)open("/dev/null", O_RDWR);
    CHECK_ERRNO(syscall(SYS_io_submit, context, 1, list), EINVAL);
    CHECK_ERRNO(syscall(SYS_io_submit, context, 1, nothing), EFAULT);
    CHECK_ERRNO(syscall(SYS_io_submit, context, -1, list), EINVAL);
    CHECK_EQ(syscall(SYS_io_submit, context, 0, list), 0);
    CHECK_ERRNO(syscall(SYS_io_submit, none, 1, list), EINVAL);
    CHECK_ERRNO(syscall(SYS_io_getevents, none, 0, 1, &event, NULL), EINVAL);
    CHECK_ERRNO(syscall(SYS_io_getevents, context, 2, 1, &event, NULL), EINVAL);
    CHECK_OK(syscall(SYS_io_destroy, context));
}
