/* inotify: events of files and directories that the program itself and its children change. */
#include "guest.h"

#include <sys/inotify.h>
#include <sys/ioctl.h>

static char events[4096];
static ssize_t have, at;

/* The next event as "mask name"; "none" when there is none left. */
static const char *next_event(int fd)
{
    static char text[320];
    if (at >= have) {
        at = 0;
        have = read(fd, events, sizeof events);
        if (have <= 0) {
            have = 0;
            return "none";
        }
    }
    const struct inotify_event *event = (const struct inotify_event *)(events + at);
    at += (ssize_t)(sizeof *event + event->len);
    snprintf(text, sizeof text, "%x %s", event->mask, event->len ? event->name : "-");
    return text;
}

static int make(void)
{
    int fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
    if (fd == -1 && errno == ENOSYS)
        SKIP("inotify is not built in");
    REQUIRE(fd >= 0);
    return fd;
}

TEST(changes_in_a_directory)
{
    int fd = make();
    scratch();
    CHECK_STR(next_event(fd), "none");
    int watch = inotify_add_watch(fd, ".", IN_CREATE | IN_DELETE | IN_MOVED_FROM | IN_MOVED_TO | IN_CLOSE_WRITE);
    CHECK(watch > 0);
    write_file("f", "x");
    CHECK_STR(next_event(fd), "100 f");
    CHECK_STR(next_event(fd), "8 f");
    CHECK_OK(rename("f", "g"));
    CHECK_STR(next_event(fd), "40 f");
    CHECK_STR(next_event(fd), "80 g");
    CHECK_OK(unlink("g"));
    CHECK_STR(next_event(fd), "200 g");
    CHECK_OK(mkdir("d", 0700));
    CHECK_STR(next_event(fd), "40000100 d");
    CHECK_STR(next_event(fd), "none");
    CHECK_OK(inotify_rm_watch(fd, watch));
    CHECK_STR(next_event(fd), "8000 -");
    CHECK_ERRNO(inotify_rm_watch(fd, watch), EINVAL);
}

TEST(changes_of_a_file)
{
    int fd = make();
    scratch();
    write_file("f", "x");
    CHECK(inotify_add_watch(fd, "f", IN_MODIFY | IN_ATTRIB | IN_OPEN | IN_DELETE_SELF) > 0);
    int file = open("f", O_WRONLY);
    CHECK_STR(next_event(fd), "20 -");
    CHECK_EQ(write(file, "y", 1), 1);
    CHECK_STR(next_event(fd), "2 -");
    CHECK_OK(fchmod(file, 0600));
    CHECK_STR(next_event(fd), "4 -");
    close(file);
    CHECK_OK(unlink("f"));
    CHECK_STR(next_event(fd), "4 -");
    CHECK_STR(next_event(fd), "400 -");
    CHECK_STR(next_event(fd), "8000 -");
}

TEST(waiting_for_another_process)
{
    int fd = make();
    scratch();
    CHECK_OK(fcntl(fd, F_SETFL, 0));
    CHECK(inotify_add_watch(fd, ".", IN_CREATE) > 0);
    pid_t parent = getpid(), pid = fork_child();
    if (pid == 0) {
        wait_for_state(parent, 'S');
        write_file("from-child", "x");
        guest_finish();
    }
    struct pollfd item = {fd, POLLIN, 0};
    CHECK_EQ(poll(&item, 1, -1), 1);
    CHECK_STR(next_event(fd), "100 from-child");
    CHECK_CHILD(pid);
}

TEST(errors)
{
    int fd = make();
    scratch();
    CHECK_ERRNO(inotify_add_watch(fd, "absent", IN_CREATE), ENOENT);
    CHECK_ERRNO(inotify_add_watch(fd, ".", 0), EINVAL);
    CHECK_ERRNO(inotify_add_watch(999, ".", IN_CREATE), EBADF);
    CHECK_ERRNO(inotify_add_watch(open("/dev/null", O_RDONLY), ".", IN_CREATE), EINVAL);
    CHECK_ERRNO(inotify_init1(0x100), EINVAL);
    write_file("f", "x");
    CHECK_ERRNO(inotify_add_watch(fd, "f", IN_CREATE | IN_ONLYDIR), ENOTDIR);
    CHECK(inotify_add_watch(fd, ".", IN_CREATE) > 0);
    CHECK_OK(mkdir("d", 0700));
    char small[8];
    CHECK_ERRNO(read(fd, small, sizeof small), EINVAL);
}

TEST(paths_that_cannot_be_watched)
{
    int fd = make(), mask = IN_CREATE;
    scratch();
    char name[300];
    memset(name, 'n', sizeof name - 1);
    name[sizeof name - 1] = '\0';
    write_file("f", "x");
    REQUIRE_OK(symlink("loop", "loop"));
    CHECK_ERRNO(inotify_add_watch(fd, bad_address, mask), EFAULT);
    CHECK_ERRNO(inotify_add_watch(fd, name, mask), ENAMETOOLONG);
    CHECK_ERRNO(inotify_add_watch(fd, "loop", mask), ELOOP);
    CHECK_ERRNO(inotify_add_watch(fd, "f/x", mask), ENOTDIR);
    int watch = inotify_add_watch(fd, ".", mask);
    CHECK_OK(watch);
    CHECK_ERRNO(inotify_add_watch(fd, ".", mask | IN_MASK_CREATE), EEXIST); /* only a new one */
    CHECK_EQ(inotify_add_watch(fd, ".", IN_DELETE | IN_MASK_ADD), watch);
    CHECK_ERRNO(inotify_add_watch(fd, ".", mask | IN_MASK_ADD | IN_MASK_CREATE), EINVAL);
    CHECK(inotify_add_watch(fd, "loop", mask | IN_DONT_FOLLOW) > 0);
    CHECK_ERRNO(inotify_rm_watch(999, watch), EBADF);
    CHECK_ERRNO(inotify_rm_watch(open("/dev/null", O_RDONLY), watch), EINVAL);
    CHECK_ERRNO(inotify_rm_watch(fd, watch + 77), EINVAL);
    CHECK_OK(inotify_rm_watch(fd, watch));
    CHECK_ERRNO(inotify_rm_watch(fd, watch), EINVAL);
    if (geteuid() != 0)
        SKIP("the rest wants another user");
    REQUIRE_OK(chmod(".", 0755));
    REQUIRE_OK(chmod("f", 0200));
    REQUIRE_OK(setresuid(1000, 1000, 0));
    CHECK_ERRNO(inotify_add_watch(fd, "f", IN_MODIFY), EACCES); /* is not readable */
    REQUIRE_OK(setresuid(0, 0, 0));
}

TEST(the_call_without_flags)
{
    int fd = (int)syscall(SYS_inotify_init);
    CHECK_OK(fd);
    CHECK_EQ(fcntl(fd, F_GETFD), 0);
    CHECK_EQ(fcntl(fd, F_GETFL), O_RDONLY);
}

TEST(a_bad_buffer_loses_one_event)
{
    int fd = make(), count = 0;
    scratch();
    CHECK_OK(inotify_add_watch(fd, ".", IN_CREATE));
    for (char name[2] = "a"; name[0] <= 'd'; name[0]++)
        CHECK_OK(mkdir(name, 0700));
    CHECK_ERRNO(read(fd, bad_address, sizeof events), EFAULT);
    CHECK_OK(ioctl(fd, FIONREAD, &count));
    CHECK_EQ(count, 3 * 32);
    CHECK_ERRNO(read(fd, guarded(40), 3 * 32), EFAULT); /* the first of these is placed, and lost as well */
    CHECK_STR(next_event(fd), "40000100 d");
    CHECK_STR(next_event(fd), "none");
}
