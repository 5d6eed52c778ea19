/* fcntl: what descriptors are asked beside their flags: locks of descriptions, owners, sameness; flags of files. */
#include "guest.h"

#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/time.h>

enum { DUPFD_QUERY = 1027, CREATED_QUERY = 1028 }; /* Linux 6.10 and 6.12; the build's headers may be older */

static int lock(int fd, int command, int kind, off_t start, off_t length)
{
    struct flock range = {.l_type = (short)kind, .l_whence = SEEK_SET, .l_start = start, .l_len = length};
    return fcntl(fd, command, &range);
}

static void on_signal(int number)
{
    (void)number;
}

TEST(locks_of_descriptions)
{
    scratch();
    write_file("file", "0123456789");
    int one = open("file", O_RDWR), other = open("file", O_RDWR), same = dup(one);
    CHECK_OK(lock(one, F_OFD_SETLK, F_WRLCK, 2, 4));
    CHECK_OK(lock(same, F_OFD_SETLK, F_WRLCK, 2, 4)); /* its own */
    CHECK_ERRNO(lock(other, F_OFD_SETLK, F_WRLCK, 0, 0), EAGAIN);
    CHECK_ERRNO(lock(other, F_SETLK, F_RDLCK, 0, 0), EAGAIN); /* a process's is in the way as well */
    struct flock found = {.l_type = F_RDLCK, .l_whence = SEEK_SET};
    CHECK_OK(fcntl(other, F_OFD_GETLK, &found));
    CHECK_EQ(found.l_type, F_WRLCK);
    CHECK_EQ(found.l_start, 2);
    CHECK_EQ(found.l_len, 4);
    CHECK_EQ(found.l_pid, -1); /* nobody's */
    found = (struct flock){.l_type = F_RDLCK, .l_whence = SEEK_SET, .l_start = 6};
    CHECK_OK(fcntl(other, F_OFD_GETLK, &found));
    CHECK_EQ(found.l_type, F_UNLCK);
    found.l_type = F_RDLCK;
    found.l_pid = 1;
    CHECK_ERRNO(fcntl(other, F_OFD_GETLK, &found), EINVAL);
    CHECK_ERRNO(fcntl(other, F_OFD_SETLK, &found), EINVAL);
    CHECK_ERRNO(fcntl(other, F_OFD_GETLK, bad_address), EFAULT);
    CHECK_ERRNO(lock(open("file", O_RDONLY), F_OFD_SETLK, F_WRLCK, 0, 0), EBADF);
    CHECK_ERRNO(lock(open("file", O_WRONLY), F_OFD_SETLK, F_RDLCK, 0, 0), EBADF);
    CHECK_ERRNO(lock(one, F_OFD_SETLK, 9, 0, 0), EINVAL);
    CHECK_OK(lock(same, F_OFD_SETLK, F_UNLCK, 0, 0));
    CHECK_OK(lock(other, F_OFD_SETLKW, F_WRLCK, 0, 0)); /* free: no wait */
}

TEST(waiting_for_a_lock_of_a_description)
{
    scratch();
    write_file("file", "x");
    int holder = open("file", O_RDWR);
    CHECK_OK(lock(holder, F_OFD_SETLK, F_WRLCK, 0, 0));
    pid_t pid = fork_child();
    if (pid == 0) {
        int waiter = open("file", O_RDWR);
        CHECK_OK(lock(waiter, F_OFD_SETLKW, F_WRLCK, 0, 0));
        CHECK_ERRNO(lock(holder, F_OFD_SETLK, F_RDLCK, 0, 0), EAGAIN);
        guest_finish();
    }
    wait_for_state(pid, 'S');
    CHECK_OK(lock(holder, F_OFD_SETLK, F_UNLCK, 0, 0));
    CHECK_CHILD(pid);
}

TEST(a_signal_ends_the_wait_for_a_lock)
{
    struct itimerval often = {{0, 10000}, {0, 10000}}, never = {{0, 0}, {0, 0}};
    scratch();
    write_file("file", "x");
    int holder = open("file", O_RDWR), waiter = open("file", O_RDWR);
    CHECK_OK(lock(holder, F_OFD_SETLK, F_WRLCK, 0, 0));
    handle_signal(SIGALRM, on_signal, 0);
    REQUIRE_OK(setitimer(ITIMER_REAL, &often, NULL));
    CHECK_ERRNO(lock(waiter, F_OFD_SETLKW, F_WRLCK, 0, 0), EINTR);
    CHECK_ERRNO(lock(waiter, F_SETLKW, F_RDLCK, 0, 0), EINTR);
    REQUIRE_OK(setitimer(ITIMER_REAL, &never, NULL));
}

TEST(owners)
{
    int ends[2];
    REQUIRE_OK(socketpair(AF_UNIX, SOCK_STREAM, 0, ends));
    CHECK_EQ(fcntl(ends[0], F_GETOWN), 0);
    CHECK_OK(fcntl(ends[0], F_SETOWN, getpid()));
    CHECK_EQ(fcntl(ends[0], F_GETOWN), getpid());
    CHECK_EQ(syscall(SYS_fcntl, ends[0], F_GETOWN), getpid()); /* the C library asks by F_GETOWN_EX */
    CHECK_EQ(fcntl(dup(ends[0]), F_GETOWN), getpid()); /* the description's */
    CHECK_EQ(fcntl(ends[1], F_GETOWN), 0);
    CHECK_ERRNO(fcntl(ends[0], F_SETOWN, INT32_MIN), EINVAL);
    CHECK_ERRNO(fcntl(ends[0], F_SETOWN, 0x3fffffff), ESRCH);
    CHECK_EQ(fcntl(ends[0], F_GETOWN), getpid());
    CHECK_OK(fcntl(ends[0], F_SETOWN, 0));
    CHECK_EQ(fcntl(ends[0], F_GETOWN), 0);
}

TEST(the_same_description_or_another)
{
    scratch();
    write_file("file", "x");
    int fd = open("file", O_RDONLY), same = dup(fd), other = open("file", O_RDONLY);
    int made = open("new", O_RDWR | O_CREAT, 0600), again = open("new", O_RDWR | O_CREAT, 0600);
    if (fcntl(fd, DUPFD_QUERY, fd) == -1 && errno == EINVAL)
        SKIP("a kernel before 6.10");
    CHECK_EQ(fcntl(fd, DUPFD_QUERY, fd), 1);
    CHECK_EQ(fcntl(fd, DUPFD_QUERY, same), 1);
    CHECK_EQ(fcntl(fd, DUPFD_QUERY, other), 0);
    CHECK_ERRNO(fcntl(fd, DUPFD_QUERY, 999), EBADF);
    CHECK_ERRNO(fcntl(999, DUPFD_QUERY, fd), EBADF);
    if (fcntl(fd, CREATED_QUERY, 0) == -1 && errno == EINVAL)
        SKIP("a kernel before 6.12");
    CHECK_EQ(fcntl(fd, CREATED_QUERY, 0), 0);
    CHECK_EQ(fcntl(made, CREATED_QUERY, 0), 1);
    CHECK_EQ(fcntl(dup(made), CREATED_QUERY, 0), 1);
    CHECK_EQ(fcntl(again, CREATED_QUERY, 0), 0);
}

TEST(a_pipe_is_not_made_smaller_than_what_it_holds)
{
    static char pages[5 * 4096];
    int ends[2];
    REQUIRE_OK(pipe(ends));
    CHECK_EQ(write(ends[1], pages, sizeof pages), sizeof pages);
    CHECK_ERRNO(fcntl(ends[1], F_SETPIPE_SZ, 4096), EBUSY);
    CHECK_EQ(read(ends[0], pages, sizeof pages), sizeof pages);
    CHECK_EQ(fcntl(ends[1], F_SETPIPE_SZ, 4096), 4096);
    CHECK_ERRNO(fcntl(open("/dev/null", O_RDONLY), F_SETPIPE_SZ, 4096), EBADF);
}

TEST(flags_of_files)
{
    scratch();
    write_file("file", "x");
    CHECK_OK(mkdir("dir", 0755));
    int fd = open("file", O_RDONLY), dir = open("dir", O_RDONLY | O_DIRECTORY), ends[2], flags = -1, of_directory = -1;
    REQUIRE_OK(pipe(ends));
    if (ioctl(fd, FS_IOC_GETFLAGS, &flags) == -1 && errno == ENOTTY)
        SKIP("a file system without flags");
    CHECK_EQ(flags & (FS_IMMUTABLE_FL | FS_APPEND_FL | FS_NODUMP_FL), 0);
    CHECK_OK(ioctl(dir, FS_IOC_GETFLAGS, &of_directory));
    CHECK_EQ(of_directory & (FS_IMMUTABLE_FL | FS_APPEND_FL | FS_NODUMP_FL), 0);
    CHECK_OK(ioctl(fd, FS_IOC_SETFLAGS, &flags)); /* as they are */
    CHECK_OK(ioctl(dir, FS_IOC_SETFLAGS, &of_directory));
    flags = INT32_MIN;
    CHECK_ERRNO(ioctl(fd, FS_IOC_SETFLAGS, &flags), EOPNOTSUPP);
    CHECK_ERRNO(ioctl(fd, FS_IOC_GETFLAGS, bad_address), EFAULT);
    CHECK_ERRNO(ioctl(fd, FS_IOC_SETFLAGS, bad_address), EFAULT);
    CHECK_ERRNO(ioctl(ends[0], FS_IOC_GETFLAGS, &flags), ENOTTY);
    CHECK_ERRNO(ioctl(ends[0], FS_IOC_SETFLAGS, &flags), ENOTTY);
    CHECK_ERRNO(ioctl(open("file", O_PATH), FS_IOC_GETFLAGS, &flags), EBADF);
}
