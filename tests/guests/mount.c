/* mount: the tree of mounts, in a namespace of the test's own. Needs root, natively and in the sandbox. */
#include "mount.h"

#include <poll.h>
#include <pthread.h>
#include <sys/epoll.h>
#include <sys/select.h>
#include <sys/statfs.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>

#define OPEN_TREE_CLONE_ 1
#define F_EMPTY_PATH 4
#define BENEATH 0x200
#define SET_STRING 1
#define CMD_CREATE 6

TEST(tmpfs_covers_and_uncovers)
{
    NAMESPACE();
    char *at = directory("at");
    struct statfs sizes;
    struct stat inside;
    touch(in(at, "below"));
    REQUIRE_OK(mount("some", at, "tmpfs", MS_NOSUID | MS_NODEV, "size=64k,mode=0711,uid=3,gid=4"));
    CHECK(!is_there(in(at, "below")));
    CHECK_OK(statfs(at, &sizes));
    CHECK_EQ(sizes.f_type, 0x01021994);
    CHECK_EQ(sizes.f_blocks * (unsigned long)sizes.f_bsize, 65536);
    CHECK_EQ(sizes.f_flags & (ST_NOSUID | ST_NODEV | ST_NOEXEC), ST_NOSUID | ST_NODEV);
    CHECK_OK(stat(at, &inside));
    CHECK_EQ(inside.st_mode, S_IFDIR | 0711);
    CHECK_EQ(inside.st_uid, 3);
    CHECK_EQ(inside.st_gid, 4);
    CHECK_ERRNO(rmdir(at), EBUSY);
    CHECK_OK(umount(at));
    CHECK(is_there(in(at, "below")));
}

static short news_of(int fd, short events)
{
    struct pollfd wanted = {fd, events, 0};
    CHECK(poll(&wanted, 1, 0) >= 0);
    return wanted.revents;
}

TEST(poll_tells_of_changes)
{
    NAMESPACE();
    char *at = directory("at"), byte;
    int info = open("/proc/self/mountinfo", O_RDONLY), mounts = open("/proc/self/mounts", O_RDONLY);
    CHECK_EQ(news_of(info, POLLPRI), 0);
    CHECK_EQ(news_of(info, POLLIN | POLLPRI), POLLIN);
    REQUIRE_OK(mount("some", at, "tmpfs", 0, NULL));
    CHECK_EQ(news_of(info, POLLPRI), POLLPRI | POLLERR); /* each open file is told, once */
    CHECK_EQ(news_of(info, POLLPRI), 0);
    CHECK_EQ(read(mounts, &byte, 1), 1);
    CHECK_EQ(news_of(mounts, POLLIN), POLLIN | POLLERR);
    CHECK_EQ(news_of(mounts, POLLIN | POLLPRI), POLLIN);
    REQUIRE_OK(mount("some", at, NULL, MS_REMOUNT | MS_BIND | MS_NOSUID, NULL));
    CHECK_EQ(news_of(info, POLLPRI), POLLPRI | POLLERR);
    REQUIRE_OK(umount(at));
    CHECK_EQ(news_of(info, POLLPRI), POLLPRI | POLLERR);
    fd_set urgent;
    FD_ZERO(&urgent);
    FD_SET(mounts, &urgent);
    CHECK_EQ(select(mounts + 1, NULL, NULL, &urgent, NULL), 1);
    CHECK(FD_ISSET(mounts, &urgent));
}

TEST(poll_of_another_namespace_is_not_told)
{
    NAMESPACE();
    char *at = directory("at");
    int info = open("/proc/self/mountinfo", O_RDONLY);
    pid_t pid = fork_child();
    if (pid == 0) {
        REQUIRE_OK(unshare(CLONE_NEWNS));
        REQUIRE_OK(mount("some", at, "tmpfs", 0, NULL));
        guest_finish();
    }
    CHECK_CHILD(pid);
    CHECK_EQ(news_of(info, POLLPRI), 0);
}

static void *mounts_apart(void *fd)
{
    if (unshare(CLONE_NEWNS | CLONE_FILES | CLONE_SYSVSEM))
        return (void *)(intptr_t)errno;
    close(*(int *)fd);
    return (void *)(intptr_t)(mount("some", ".", "tmpfs", 0, NULL) ? errno : 0);
}

TEST(a_namespace_and_what_else_a_thread_parts_with)
{
    NAMESPACE();
    char *at = directory("at");
    int file = open("at/file", O_RDWR | O_CREAT, 0644), fd = open("/dev/null", O_RDONLY);
    REQUIRE(file >= 0);
    REQUIRE_OK(chdir(at));
    pthread_t thread;
    void *result;
    REQUIRE(pthread_create(&thread, NULL, mounts_apart, &fd) == 0);
    CHECK_EQ(pthread_join(thread, &result), 0);
    CHECK_EQ((intptr_t)result, 0);
    CHECK_OK(fcntl(fd, F_GETFD));
    CHECK_OK(access("file", F_OK));
    CHECK_OK(access("../at/file", F_OK));
    CHECK_ERRNO(unshare(CLONE_NEWNS | 1), EINVAL);
    CHECK_ERRNO(unshare(CLONE_NEWUTS | CLONE_PARENT), EINVAL);
}

TEST(epoll_waits_for_changes)
{
    NAMESPACE();
    char *at = directory("at"), all[16384];
    int info = open("/proc/self/mountinfo", O_RDONLY), mounts = open("/proc/self/mounts", O_RDONLY);
    int urgent = epoll_create1(0), edges = epoll_create1(0), ready[2];
    struct epoll_event wanted = {.events = EPOLLPRI, .data.u32 = 7}, event = {0};
    CHECK_OK(epoll_ctl(urgent, EPOLL_CTL_ADD, info, &wanted));
    wanted.events = EPOLLIN | EPOLLET; /* as libmount's monitor */
    CHECK_OK(epoll_ctl(edges, EPOLL_CTL_ADD, mounts, &wanted));
    CHECK_EQ(epoll_wait(edges, &event, 1, 0), 1);
    CHECK_EQ(epoll_wait(edges, &event, 1, 0), 0);
    CHECK_EQ(epoll_wait(urgent, &event, 1, 0), 0);
    REQUIRE_OK(pipe(ready));
    pid_t parent = getpid(), pid = fork_child();
    if (pid == 0) {
        wait_for_state(parent, 'S'); /* it waits in epoll_wait */
        CHECK_OK(mount("some", at, "tmpfs", 0, NULL));
        guest_finish();
    }
    CHECK_EQ(epoll_wait(urgent, &event, 1, -1), 1);
    CHECK(event.events & EPOLLPRI);
    CHECK_EQ(event.data.u32, 7);
    CHECK_CHILD(pid);
    CHECK_EQ(epoll_wait(edges, &event, 1, -1), 1);
    CHECK(event.events & EPOLLIN);
    CHECK_EQ(epoll_wait(edges, &event, 1, 0), 0);
    CHECK_OK(lseek(info, 0, SEEK_SET));
    while (read(info, all, sizeof all) > 0)
        ;
    CHECK_EQ(epoll_wait(urgent, &event, 1, 0), 0);
    REQUIRE_OK(umount(at));
    CHECK_EQ(epoll_wait(urgent, &event, 1, 0), 1);
    CHECK_EQ(epoll_wait(edges, &event, 1, 0), 1);
}

TEST(a_size_is_a_limit)
{
    NAMESPACE();
    char *at = directory("small"), page[4096] = {1};
    REQUIRE_OK(mount("some", at, "tmpfs", 0, "size=16k"));
    int fd = open(in(at, "f"), O_CREAT | O_RDWR, 0644), pages = 0;
    while (write(fd, page, sizeof page) == sizeof page && pages < 100)
        pages++;
    CHECK_EQ(errno, ENOSPC);
    CHECK_EQ(pages, 4);
    CHECK_EQ(pwrite(fd, page, sizeof page, 0), 4096); /* what is there may be written again */
    CHECK_OK(ftruncate(fd, 4096));
    CHECK_EQ(pwrite(fd, page, sizeof page, 4096), 4096);
    CHECK_ERRNO(fallocate(fd, 0, 0, 65536), ENOSPC);
    close(fd);
    CHECK_OK(umount(at));
}

TEST(errors_of_mount)
{
    NAMESPACE();
    char *at = directory("at");
    touch(in(at, "file"));
    CHECK_ERRNO(mount("x", at, "no-such-type", 0, NULL), ENODEV);
    CHECK_ERRNO(mount("x", at, NULL, 0, NULL), EINVAL);
    CHECK_ERRNO(mount("x", in(at, "missing"), "tmpfs", 0, NULL), ENOENT);
    CHECK_ERRNO(mount("x", in(at, "file"), "tmpfs", 0, NULL), ENOTDIR);
    CHECK_ERRNO(mount(bad_address, at, "tmpfs", 0, NULL), EFAULT);
    CHECK_ERRNO(mount("x", at, "tmpfs", 0, "size=nonsense"), EINVAL);
    CHECK_ERRNO(mount(NULL, at, NULL, MS_BIND, NULL), EINVAL);
    CHECK_ERRNO(mount(in(at, "file"), at, NULL, MS_BIND, NULL), ENOTDIR);
    CHECK_ERRNO(mount("x", at, NULL, MS_REMOUNT, NULL), EINVAL);
    CHECK_ERRNO(mount("x", at, NULL, MS_PRIVATE, NULL), EINVAL);
    CHECK_ERRNO(umount(at), EINVAL);
    CHECK_ERRNO(umount2(at, 0x100), EINVAL);
    CHECK_ERRNO(umount(in(at, "missing")), ENOENT);
}

TEST(only_the_privileged_mount)
{
    NAMESPACE();
    char *at = directory("at");
    pid_t child = fork();
    if (child == 0) {
        CHECK_OK(setresuid(1000, 1000, 1000));
        CHECK_ERRNO(mount("x", "/", "tmpfs", 0, NULL), EPERM);
        CHECK_ERRNO(umount("/proc"), EPERM);
        CHECK_ERRNO(unshare(CLONE_NEWNS), EPERM);
        _exit(guest_failures != 0);
    }
    CHECK_CHILD(child);
    (void)at;
}

TEST(a_bind_shows_the_same_files)
{
    NAMESPACE();
    char *one = directory("one"), *other = directory("other");
    struct stat first, second;
    mkdir(in(one, "d"), 0755);
    touch(in(one, "d/f"));
    REQUIRE_OK(mount(in(one, "d"), other, NULL, MS_BIND, NULL));
    CHECK_OK(stat(in(one, "d/f"), &first));
    CHECK_OK(stat(in(other, "f"), &second));
    CHECK_EQ(first.st_ino, second.st_ino);
    CHECK_EQ(first.st_dev, second.st_dev);
    touch(in(other, "new"));
    CHECK(is_there(in(one, "d/new")));
    CHECK_OK(rename(in(other, "new"), in(other, "newer")));
    CHECK(is_there(in(one, "d/newer")));
    CHECK(!is_there(in(one, "d/new")));
    CHECK_OK(unlink(in(one, "d/f")));
    CHECK(!is_there(in(other, "f")));
    CHECK_ERRNO(link(in(other, "newer"), in(one, "link")), EXDEV);
    CHECK_ERRNO(rename(in(other, "newer"), in(one, "moved")), EXDEV);
    CHECK_OK(mkdir(in(other, "sub"), 0700));
    CHECK_OK(chmod(in(other, "sub"), 0750));
    CHECK_OK(stat(in(one, "d/sub"), &first));
    CHECK_EQ(first.st_mode, S_IFDIR | 0750);
    CHECK_OK(umount(other));
    CHECK(!is_there(in(other, "newer")));
}

TEST(a_bind_is_read_only_by_itself)
{
    NAMESPACE();
    char *one = directory("one"), *other = directory("other");
    REQUIRE_OK(mount(one, other, NULL, MS_BIND, NULL));
    CHECK_OK(mount(NULL, other, NULL, MS_REMOUNT | MS_BIND | MS_RDONLY, NULL));
    CHECK_ERRNO(open(in(other, "f"), O_CREAT | O_WRONLY, 0644), EROFS);
    CHECK_ERRNO(mkdir(in(other, "d"), 0755), EROFS);
    touch(in(one, "f"));
    CHECK(is_there(in(other, "f")));
    CHECK_ERRNO(open(in(other, "f"), O_WRONLY), EROFS);
    CHECK_ERRNO(chmod(in(other, "f"), 0600), EROFS);
    CHECK_OK(mount(NULL, other, NULL, MS_REMOUNT | MS_BIND, NULL));
    CHECK_OK(mkdir(in(other, "d"), 0755));
    CHECK_OK(umount(other));
}

TEST(a_bind_of_a_file)
{
    NAMESPACE();
    char *dir = directory("dir");
    char text[8] = {0};
    int fd = open(in(dir, "from"), O_CREAT | O_WRONLY, 0644);
    CHECK_EQ(write(fd, "shown", 5), 5);
    close(fd);
    touch(in(dir, "at"));
    REQUIRE_OK(mount(in(dir, "from"), in(dir, "at"), NULL, MS_BIND, NULL));
    fd = open(in(dir, "at"), O_RDONLY);
    CHECK_EQ(read(fd, text, sizeof text), 5);
    CHECK_ERRNO(unlink(in(dir, "at")), EBUSY);
    CHECK_ERRNO(umount(in(dir, "at")), EBUSY);
    close(fd);
    CHECK_OK(umount(in(dir, "at")));
}

TEST(what_is_in_use_stays)
{
    NAMESPACE();
    char *at = directory("at");
    REQUIRE_OK(mount("x", at, "tmpfs", 0, NULL));
    int fd = open(in(at, "f"), O_CREAT | O_RDWR, 0644);
    CHECK_ERRNO(umount(at), EBUSY);
    CHECK_ERRNO(mount(NULL, at, NULL, MS_REMOUNT | MS_RDONLY, NULL), EBUSY);
    CHECK_ERRNO(umount2(at, MNT_EXPIRE), EBUSY);
    CHECK_OK(umount2(at, MNT_DETACH));
    CHECK(!is_there(in(at, "f")));
    CHECK_EQ(write(fd, "still", 5), 5);
    close(fd);
    REQUIRE_OK(mount("x", at, "tmpfs", 0, NULL));
    CHECK_ERRNO(umount2(at, MNT_EXPIRE | MNT_FORCE), EINVAL);
    CHECK_ERRNO(umount2(at, MNT_EXPIRE), EAGAIN);
    CHECK_OK(umount2(at, MNT_EXPIRE));
    CHECK_ERRNO(umount(at), EINVAL);
}

TEST(a_detached_place_cannot_be_mounted)
{
    NAMESPACE();
    char *at = directory("at"), *other = directory("other");
    REQUIRE_OK(mount("x", at, "tmpfs", 0, NULL));
    mkdir(in(at, "d"), 0755);
    REQUIRE_OK(chdir(at));
    REQUIRE_OK(umount2(at, MNT_DETACH));
    CHECK_ERRNO(mount(".", other, NULL, MS_BIND, NULL), EINVAL);
    CHECK_ERRNO(mount(NULL, ".", NULL, MS_REMOUNT | MS_RDONLY, NULL), EINVAL);
    CHECK_ERRNO(mount(".", other, NULL, MS_MOVE, NULL), EINVAL);
    CHECK_ERRNO(umount2(".", 0), EINVAL);
    CHECK_ERRNO(syscall(SYS_open_tree, AT_FDCWD, ".", OPEN_TREE_CLONE_), EINVAL);
    CHECK_OK(chdir("/"));
}

TEST(moving)
{
    NAMESPACE();
    char *from = directory("from"), *to = directory("to");
    REQUIRE_OK(mount("x", from, "tmpfs", 0, NULL));
    touch(in(from, "f"));
    mkdir(in(from, "d"), 0755);
    CHECK_ERRNO(mount(from, in(from, "d"), NULL, MS_MOVE, NULL), ELOOP);
    CHECK_ERRNO(mount(in(from, "d"), to, NULL, MS_MOVE, NULL), EINVAL);
    CHECK_OK(mount(from, to, NULL, MS_MOVE, NULL));
    CHECK(!is_there(in(from, "f")));
    CHECK(is_there(in(to, "f")));
    CHECK_OK(mount(NULL, to, NULL, MS_UNBINDABLE, NULL));
    CHECK_ERRNO(mount(to, from, NULL, MS_BIND, NULL), EINVAL);
    CHECK_OK(umount(to));
}

TEST(what_was_moved_is_bound_as_a_whole)
{
    NAMESPACE();
    char *base = directory("base"), *copy = directory("copy");
    REQUIRE_OK(mount("x", base, "tmpfs", 0, NULL));
    mkdir(in(base, "from"), 0755);
    mkdir(in(base, "to"), 0755);
    CHECK_OK(mount("y", in(base, "from"), "tmpfs", 0, NULL));
    mkdir(in(base, "from/d"), 0755);
    CHECK_OK(mount("z", in(base, "from/d"), "tmpfs", 0, NULL));
    touch(in(base, "from/d/f"));
    CHECK_OK(mount(in(base, "from"), in(base, "to"), NULL, MS_MOVE, NULL));
    CHECK_OK(mount(base, copy, NULL, MS_BIND | MS_REC, NULL));
    CHECK(is_there(in(copy, "to/d/f")));
    CHECK_OK(umount2(copy, MNT_DETACH));
    CHECK_OK(umount2(base, MNT_DETACH));
}

TEST(no_symlinks_are_followed)
{
    NAMESPACE();
    char *at = directory("at");
    char target[8] = {0};
    REQUIRE_OK(mount("x", at, "tmpfs", 256 /* MS_NOSYMFOLLOW */, NULL));
    touch(in(at, "file"));
    CHECK_OK(symlink("file", in(at, "link")));
    CHECK_ERRNO(open(in(at, "link"), O_RDONLY), ELOOP);
    CHECK_EQ(readlink(in(at, "link"), target, sizeof target), 4);
    CHECK_OK(umount(at));
}

TEST(a_namespace_is_its_own)
{
    NAMESPACE();
    char *at = directory("at");
    int go[2], done[2];
    char byte;
    REQUIRE(pipe(go) == 0 && pipe(done) == 0);
    pid_t child = fork();
    if (child == 0) {
        CHECK_OK(unshare(CLONE_NEWNS));
        CHECK_OK(mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL));
        CHECK_OK(mount("x", at, "tmpfs", 0, NULL));
        touch(in(at, "inner"));
        CHECK(is_there(in(at, "inner")));
        CHECK_EQ(write(done[1], "x", 1), 1);
        CHECK_EQ(read(go[0], &byte, 1), 1);
        CHECK(!is_there(in(at, "late")));
        _exit(guest_failures != 0);
    }
    CHECK_EQ(read(done[0], &byte, 1), 1);
    CHECK(!is_there(in(at, "inner")));
    touch(in(at, "late"));
    CHECK_EQ(write(go[1], "x", 1), 1);
    CHECK_CHILD(child);
}

TEST(a_new_root)
{
    NAMESPACE();
    char *new_root = directory("root");
    char path[GUEST_PATH_BYTES];
    pid_t child = fork(); /* who has another root could not remove the directory at the end */
    if (child == 0) {
        CHECK_OK(unshare(CLONE_NEWNS));
        CHECK_OK(mount("x", new_root, "tmpfs", 0, NULL));
        mkdir(in(new_root, "old"), 0755);
        touch(in(new_root, "marker"));
        CHECK_ERRNO(syscall(SYS_pivot_root, new_root, "/"), EBUSY);
        CHECK_OK(syscall(SYS_pivot_root, new_root, in(new_root, "old")));
        CHECK_OK(chdir("/"));
        CHECK(is_there("/marker"));
        snprintf(path, sizeof path, "/old%s", new_root);
        CHECK(is_there(path));
        CHECK_OK(umount2("/old", MNT_DETACH));
        CHECK(!is_there(path));
        CHECK_STR(getcwd(path, sizeof path), "/");
        _exit(guest_failures != 0);
    }
    CHECK_CHILD(child);
}

TEST(mounts_as_descriptors)
{
    NAMESPACE();
    char *at = directory("at"), *copy = directory("copy");
    int context = (int)syscall(SYS_fsopen, "tmpfs", 0);
    if (context == -1 && errno == ENOSYS)
        SKIP("no fsopen");
    CHECK_ERRNO(syscall(SYS_fsmount, context, 0, 0), EINVAL);
    CHECK_ERRNO(syscall(SYS_fsconfig, context, SET_STRING, "no-such-option", "x", 0), EINVAL);
    CHECK_ERRNO(syscall(SYS_fsconfig, context, SET_STRING, NULL, "x", 0), EINVAL);
    CHECK_OK(syscall(SYS_fsconfig, context, SET_STRING, "mode", "0700", 0));
    CHECK_OK(syscall(SYS_fsconfig, context, CMD_CREATE, NULL, NULL, 0));
    CHECK_ERRNO(syscall(SYS_fsconfig, context, CMD_CREATE, NULL, NULL, 0), EBUSY);
    int made = (int)syscall(SYS_fsmount, context, 0, 2 /* MOUNT_ATTR_NOSUID */);
    CHECK_OK(made);
    int inside = openat(made, "f", O_CREAT | O_WRONLY, 0644);
    CHECK_OK(inside);
    close(inside);
    CHECK_ERRNO(syscall(SYS_move_mount, made, "", AT_FDCWD, at, 0), ENOENT);
    CHECK_OK(syscall(SYS_move_mount, made, "", AT_FDCWD, at, F_EMPTY_PATH));
    CHECK(is_there(in(at, "f")));
    int tree = (int)syscall(SYS_open_tree, AT_FDCWD, at, OPEN_TREE_CLONE_);
    CHECK_OK(tree);
    CHECK_OK(syscall(SYS_move_mount, tree, "", AT_FDCWD, copy, F_EMPTY_PATH));
    CHECK(is_there(in(copy, "f")));
    close(tree);
    close(made);
    close(context);
    CHECK_OK(umount(copy));
    CHECK_OK(umount(at));
    CHECK_ERRNO(syscall(SYS_fsopen, "no-such-type", 0), ENODEV);
}

TEST(the_table_is_read)
{
    NAMESPACE();
    char *at = directory("at with space"), line[1024];
    bool is_listed = false;
    REQUIRE_OK(mount("a source", at, "tmpfs", MS_NOEXEC, NULL));
    FILE *table = fopen("/proc/self/mountinfo", "r");
    REQUIRE(table != NULL);
    while (fgets(line, sizeof line, table))
        is_listed |= strstr(line, "at\\040with\\040space rw,noexec") && strstr(line, " - tmpfs a\\040source ");
    fclose(table);
    CHECK(is_listed);
    CHECK_OK(umount(at));
}
