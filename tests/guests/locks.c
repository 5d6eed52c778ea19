/* locks: flock, POSIX and open-file-description locks between processes. */
#include "guest.h"

#include <sys/file.h>

static int lock(int fd, int command, short type, off_t start, off_t length)
{
    struct flock region = {.l_type = type, .l_whence = SEEK_SET, .l_start = start, .l_len = length};
    return fcntl(fd, command, &region);
}

/* The kind of lock somebody else holds there, F_UNLCK for none; *owner gets its process. */
static int held(int fd, short type, off_t start, off_t length, pid_t *owner)
{
    struct flock region = {.l_type = type, .l_whence = SEEK_SET, .l_start = start, .l_len = length};
    REQUIRE_OK(fcntl(fd, F_GETLK, &region));
    if (owner)
        *owner = region.l_pid;
    return region.l_type;
}

static int open_file(void)
{
    scratch();
    write_file("f", "0123456789");
    int fd = open("f", O_RDWR);
    REQUIRE(fd >= 0);
    return fd;
}

TEST(flock_excludes_other_descriptions)
{
    int fd = open_file(), other = open("f", O_RDONLY), copy = dup(fd);
    CHECK_OK(flock(fd, LOCK_EX));
    CHECK_ERRNO(flock(other, LOCK_SH | LOCK_NB), EWOULDBLOCK);
    CHECK_OK(flock(copy, LOCK_EX | LOCK_NB));
    CHECK_OK(flock(copy, LOCK_SH));
    CHECK_OK(flock(other, LOCK_SH | LOCK_NB));
    CHECK_ERRNO(flock(fd, LOCK_EX | LOCK_NB), EWOULDBLOCK);
    CHECK_OK(flock(other, LOCK_UN));
    CHECK_OK(flock(fd, LOCK_EX | LOCK_NB));
    close(fd);
    CHECK_ERRNO(flock(other, LOCK_EX | LOCK_NB), EWOULDBLOCK); /* the copy still has it */
    close(copy);
    CHECK_OK(flock(other, LOCK_EX | LOCK_NB));
    CHECK_ERRNO(flock(other, 16), EINVAL);
    CHECK_ERRNO(flock(999, LOCK_SH), EBADF);
}

TEST(flock_waits_for_another_process)
{
    int fd = open_file(), ends[2];
    REQUIRE_OK(pipe(ends));
    CHECK_OK(flock(fd, LOCK_EX));
    pid_t pid = fork_child();
    if (pid == 0) {
        int own = open("f", O_RDWR);
        CHECK_EQ(write(ends[1], "w", 1), 1);
        CHECK_OK(flock(own, LOCK_EX));
        guest_finish();
    }
    char byte;
    CHECK_EQ(read(ends[0], &byte, 1), 1);
    wait_for_state(pid, 'S');
    CHECK_OK(flock(fd, LOCK_UN));
    CHECK_CHILD(pid);
}

TEST(posix_locks_of_one_process_never_conflict)
{
    int fd = open_file(), other = open("f", O_RDWR);
    CHECK_OK(lock(fd, F_SETLK, F_WRLCK, 0, 0));
    CHECK_OK(lock(other, F_SETLK, F_WRLCK, 0, 0));
    CHECK_EQ(held(other, F_WRLCK, 0, 0, NULL), F_UNLCK);
}

TEST(posix_locks_between_processes)
{
    int fd = open_file();
    CHECK_OK(lock(fd, F_SETLK, F_WRLCK, 2, 4));
    CHECK_OK(lock(fd, F_SETLK, F_RDLCK, 8, 1));
    pid_t parent = getpid(), pid = fork_child();
    if (pid == 0) {
        pid_t owner;
        CHECK_EQ(held(fd, F_RDLCK, 0, 0, &owner), F_WRLCK);
        CHECK_EQ(owner, parent);
        CHECK_ERRNO(lock(fd, F_SETLK, F_RDLCK, 5, 1), EAGAIN);
        CHECK_OK(lock(fd, F_SETLK, F_WRLCK, 0, 2));
        CHECK_OK(lock(fd, F_SETLK, F_WRLCK, 6, 2));
        CHECK_OK(lock(fd, F_SETLK, F_RDLCK, 8, 1));
        CHECK_ERRNO(lock(fd, F_SETLK, F_WRLCK, 8, 1), EAGAIN);
        guest_finish();
    }
    CHECK_CHILD(pid);
    CHECK_EQ(held(fd, F_WRLCK, 0, 0, NULL), F_UNLCK); /* the child's went with it */
}

TEST(unlocking_the_middle_splits)
{
    int fd = open_file();
    CHECK_OK(lock(fd, F_SETLK, F_WRLCK, 0, 10));
    CHECK_OK(lock(fd, F_SETLK, F_UNLCK, 4, 2));
    pid_t pid = fork_child();
    if (pid == 0) {
        CHECK_EQ(held(fd, F_WRLCK, 4, 2, NULL), F_UNLCK);
        CHECK_ERRNO(lock(fd, F_SETLK, F_WRLCK, 3, 1), EAGAIN);
        CHECK_ERRNO(lock(fd, F_SETLK, F_WRLCK, 6, 1), EAGAIN);
        CHECK_OK(lock(fd, F_SETLK, F_WRLCK, 4, 2));
        guest_finish();
    }
    CHECK_CHILD(pid);
}

TEST(closing_any_descriptor_drops_posix_locks)
{
    int fd = open_file(), other = open("f", O_RDONLY);
    CHECK_OK(lock(fd, F_SETLK, F_WRLCK, 0, 0));
    close(other);
    pid_t pid = fork_child();
    if (pid == 0) {
        CHECK_EQ(held(fd, F_WRLCK, 0, 0, NULL), F_UNLCK);
        guest_finish();
    }
    CHECK_CHILD(pid);
}

TEST(blocking_posix_lock_is_handed_over)
{
    int fd = open_file(), ends[2];
    REQUIRE_OK(pipe(ends));
    CHECK_OK(lock(fd, F_SETLK, F_WRLCK, 0, 0));
    pid_t pid = fork_child();
    if (pid == 0) {
        CHECK_EQ(write(ends[1], "w", 1), 1);
        CHECK_OK(lock(fd, F_SETLKW, F_WRLCK, 0, 0));
        char text[4] = "";
        CHECK_EQ(pread(fd, text, 3, 0), 3);
        CHECK_STR(text, "new");
        guest_finish();
    }
    char byte;
    CHECK_EQ(read(ends[0], &byte, 1), 1);
    wait_for_state(pid, 'S');
    CHECK_EQ(pwrite(fd, "new", 3, 0), 3);
    CHECK_OK(lock(fd, F_SETLK, F_UNLCK, 0, 0));
    CHECK_CHILD(pid);
}

TEST(a_holder_that_dies_releases)
{
    int fd = open_file(), ends[2];
    REQUIRE_OK(pipe(ends));
    pid_t pid = fork_child();
    if (pid == 0) {
        CHECK_OK(lock(fd, F_SETLK, F_WRLCK, 0, 0));
        CHECK_EQ(write(ends[1], "l", 1), 1);
        for (;;)
            pause();
    }
    char byte;
    CHECK_EQ(read(ends[0], &byte, 1), 1);
    CHECK_ERRNO(lock(fd, F_SETLK, F_RDLCK, 0, 0), EAGAIN);
    CHECK_OK(kill(pid, SIGKILL));
    CHECK_OK(lock(fd, F_SETLKW, F_WRLCK, 0, 0));
    CHECK_SIGNALED(wait_status(pid), SIGKILL);
}

TEST(deadlocks_are_refused)
{
    int fd = open_file(), ends[2];
    REQUIRE_OK(pipe(ends));
    CHECK_OK(lock(fd, F_SETLK, F_WRLCK, 0, 1));
    pid_t pid = fork_child();
    if (pid == 0) {
        CHECK_OK(lock(fd, F_SETLK, F_WRLCK, 1, 1));
        CHECK_EQ(write(ends[1], "l", 1), 1);
        CHECK_OK(lock(fd, F_SETLKW, F_WRLCK, 0, 1));
        guest_finish();
    }
    char byte;
    CHECK_EQ(read(ends[0], &byte, 1), 1);
    wait_for_state(pid, 'S');
    CHECK_ERRNO(lock(fd, F_SETLKW, F_WRLCK, 1, 1), EDEADLK);
    CHECK_OK(lock(fd, F_SETLK, F_UNLCK, 0, 1));
    CHECK_CHILD(pid);
}

TEST(lock_errors)
{
    open_file();
    int readonly = open("f", O_RDONLY), writeonly = open("f", O_WRONLY);
    CHECK_ERRNO(lock(readonly, F_SETLK, F_WRLCK, 0, 0), EBADF);
    CHECK_ERRNO(lock(writeonly, F_SETLK, F_RDLCK, 0, 0), EBADF);
    CHECK_ERRNO(lock(readonly, F_SETLK, 99, 0, 0), EINVAL);
    CHECK_ERRNO(lock(readonly, F_SETLK, F_RDLCK, -1, 0), EINVAL);
    CHECK_ERRNO(lock(999, F_SETLK, F_RDLCK, 0, 0), EBADF);
    CHECK_ERRNO(fcntl(readonly, F_SETLK, bad_address), EFAULT);
}

TEST(open_file_description_locks)
{
    int fd = open_file(), other = open("f", O_RDWR), copy = dup(fd);
    CHECK_OK(lock(fd, F_OFD_SETLK, F_WRLCK, 0, 0));
    CHECK_ERRNO(lock(other, F_OFD_SETLK, F_WRLCK, 0, 0), EAGAIN);
    CHECK_ERRNO(lock(other, F_SETLK, F_WRLCK, 0, 0), EAGAIN);
    CHECK_OK(lock(copy, F_OFD_SETLK, F_WRLCK, 0, 0));
    close(fd);
    CHECK_ERRNO(lock(other, F_OFD_SETLK, F_WRLCK, 0, 0), EAGAIN);
    close(copy);
    CHECK_OK(lock(other, F_OFD_SETLK, F_WRLCK, 0, 0));
}

TEST(the_list_in_proc)
{
    int fd = open_file(), other = open("f", O_RDWR);
    char text[1 << 14], wanted[128];
    struct stat status;
    REQUIRE_OK(fstat(fd, &status));
    CHECK_OK(flock(fd, LOCK_EX));
    CHECK_OK(lock(fd, F_SETLK, F_RDLCK, 10, 20));
    CHECK_OK(lock(other, F_OFD_SETLK, F_RDLCK, 100, 0));
    REQUIRE(read_file("/proc/locks", text, sizeof text) > 0);
    snprintf(wanted, sizeof wanted, ": FLOCK  ADVISORY  WRITE %d ", getpid());
    CHECK(strstr(text, wanted) != NULL);
    snprintf(wanted, sizeof wanted, ": POSIX  ADVISORY  READ %d ", getpid());
    CHECK(strstr(text, wanted) != NULL);
    snprintf(wanted, sizeof wanted, ":%lu 10 29\n", (unsigned long)status.st_ino);
    CHECK(strstr(text, wanted) != NULL);
    CHECK(strstr(text, ": OFDLCK ADVISORY  READ -1 ") != NULL);
    snprintf(wanted, sizeof wanted, ":%lu 100 EOF\n", (unsigned long)status.st_ino);
    CHECK(strstr(text, wanted) != NULL);
}
