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

static long pgetevents(aio_context_t context, long least, long most, void *events, void *timeout, void *mask)
{
    return syscall(SYS_io_pgetevents, context, least, most, events, timeout, mask);
}

static volatile sig_atomic_t alarms;

static void on_alarm(int signal_number)
{
    (void)signal_number;
    alarms++;
}

TEST(a_signal_mask_for_the_wait)
{
    aio_context_t context = 0;
    struct io_event *events = guarded(2 * sizeof *events);
    struct timespec none = {0, 0}, far = {1000, 0};
    sigset_t block, open_mask;
    sigemptyset(&block);
    sigaddset(&block, SIGALRM);
    sigemptyset(&open_mask);
    struct {
        const void *set;
        size_t size;
    } mask = {&open_mask, 8}, small = {&open_mask, 4}, elsewhere = {bad_address, 8};
    REQUIRE_OK(setup(2, &context));
    REQUIRE_OK(sigprocmask(SIG_BLOCK, &block, NULL));
    handle_signal(SIGALRM, on_alarm, SA_RESTART);
    raise(SIGALRM);
    CHECK_EQ(pgetevents(context, 1, 2, events, &none, NULL), 0);
    CHECK_EQ(alarms, 0);
    CHECK_ERRNO(pgetevents(context, 1, 2, events, &far, &mask), EINTR);
    CHECK_EQ(alarms, 1);
    char byte = 'x';
    struct iocb put = request(IOCB_CMD_PWRITE, memfd_create("m", 0), &byte, 1, 0);
    struct iocb *list[] = {&put, &put};
    CHECK_EQ(syscall(SYS_io_submit, context, 2, list), 2);
    CHECK_EQ(pgetevents(context, 1, 2, events, NULL, &mask), 2);
    CHECK_EQ(events[1].res, 1);
    CHECK_ERRNO(pgetevents(context, 0, 2, events, &none, &small), EINVAL);
    CHECK_ERRNO(pgetevents(context, 0, 2, events, &none, &elsewhere), EFAULT);
    CHECK_ERRNO(pgetevents(context, 0, 2, events, &none, bad_address), EFAULT);
    CHECK_ERRNO(pgetevents(context, 0, 2, events, bad_address, NULL), EFAULT);
    CHECK_ERRNO(pgetevents(context, 2, 1, events, &none, NULL), EINVAL);
    CHECK_ERRNO(pgetevents(context, -1, 1, events, &none, NULL), EINVAL);
    CHECK_ERRNO(pgetevents(0, 0, 1, events, &none, NULL), EINVAL);
    CHECK_ERRNO(syscall(SYS_io_getevents, context, 0, 2, events, bad_address), EFAULT);
    CHECK_EQ(syscall(SYS_io_submit, context, 1, list), 1);
    CHECK_ERRNO(syscall(SYS_io_getevents, context, 1, 1, bad_address, NULL), EFAULT);
    CHECK_OK(syscall(SYS_io_destroy, context));
}

TEST(as_much_as_there_is_room_for)
{
    aio_context_t context = 0;
    char byte = 'x', limit[32];
    CHECK(read_file("/proc/sys/fs/aio-max-nr", limit, sizeof limit) > 0);
    CHECK_ERRNO(setup((unsigned)atoi(limit) + 1, &context), EAGAIN);
    CHECK_ERRNO(setup(0x10000000, &context), EINVAL);
    REQUIRE_OK(setup(1, &context));
    struct iocb put = request(IOCB_CMD_PWRITE, memfd_create("m", 0), &byte, 1, 0);
    struct iocb *list[] = {&put};
    int taken = 0;
    while (taken < 100000 && syscall(SYS_io_submit, context, 1, list) == 1)
        taken++;
    CHECK(taken >= 1 && taken < 100000); /* a whole page of events */
    CHECK_ERRNO(syscall(SYS_io_submit, context, 1, list), EAGAIN);
    struct io_event events[2];
    CHECK_EQ(syscall(SYS_io_getevents, context, 2, 2, events, NULL), 2);
    CHECK_EQ(syscall(SYS_io_submit, context, 1, list), 1);
    CHECK_ERRNO(syscall(SYS_io_cancel, context, &put, events), EINVAL); /* is done already */
    CHECK_ERRNO(syscall(SYS_io_cancel, context, bad_address, events), EFAULT);
    CHECK_ERRNO(syscall(SYS_io_cancel, 0, &put, events), EINVAL);
    CHECK_OK(syscall(SYS_io_destroy, context));
}

TEST(priorities_of_requests)
{
    aio_context_t context = 0;
    char byte = 'x';
    REQUIRE_OK(setup(8, &context));
    struct iocb put = request(IOCB_CMD_PWRITE, memfd_create("m", 0), &byte, 1, 0);
    struct iocb *list[] = {&put};
    put.aio_flags = IOCB_FLAG_IOPRIO;
    put.aio_reqprio = 2 << 13 | 4; /* best effort */
    CHECK_EQ(syscall(SYS_io_submit, context, 1, list), 1);
    put.aio_reqprio = 7 << 13; /* no class */
    CHECK_ERRNO(syscall(SYS_io_submit, context, 1, list), EINVAL);
    if (geteuid() == 0)
        REQUIRE_OK(setresuid(1000, 1000, 1000));
    put.aio_reqprio = 1 << 13; /* real time */
    CHECK_ERRNO(syscall(SYS_io_submit, context, 1, list), EPERM);
}
