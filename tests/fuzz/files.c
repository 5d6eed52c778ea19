/* files.c - random file calls from a seed; prints every call with its result.
 *
 * Usage: files SEED COUNT UID. Makes the current directory, which must be empty, its root, and works there as UID. The same
 * seed prints the same text on every correct kernel: inode numbers, times and sizes of directories are left out.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#define FDS 12

static uint64_t state;
static int fds[FDS];
static char data[70000];

static uint32_t pick(uint32_t below)
{
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return (uint32_t)(state >> 33) % below;
}

static const char *const names[] = {"a", "b", "c", "dir", "."};

/* A path of one to four components over few names, sometimes with oddities. Two may be in use at a time. */
static const char *path(void)
{
    static char buffers[2][6000];
    static int turn;
    char *p = buffers[turn ^= 1];
    *p = 0;
    switch (pick(60)) {
    case 0: return "";
    case 1: return "/";
    case 2: return "..";
    case 3: memset(p, 'x', 256); p[256] = 0; return p;
    case 4: memset(p, 'x', 255); p[255] = 0; return p;
    case 5: for (int n = 0; n < 5000; n += 2) memcpy(p + n, "./", 3); return p;
    case 6: return pick(3) ? names[pick(3)] : (const char *)8;
    case 7: return "a/";
    case 8: return "dir//b/./";
    case 9: return "dir/../dir/c";
    }
    uint32_t depth = 1 + (pick(3) == 0 ? pick(4) : 0);
    if (pick(3) == 0) {
        strcpy(p, "dir/");
    } else if (pick(12) == 0) {
        strcpy(p, "/");
    }
    for (uint32_t n = 0; n < depth; n++) {
        if (n)
            strcat(p, "/");
        strcat(p, pick(15) ? names[pick(4)] : pick(2) ? ".." : names[4]);
    }
    if (pick(12) == 0)
        strcat(p, "/");
    return p;
}

static const char *shown(const char *p)
{
    static char buffers[2][64];
    static int turn;
    char *into = buffers[turn ^= 1];
    if (p == (const char *)8)
        return "BAD";
    snprintf(into, 60, "%.59s", p);
    return into;
}

static long report(long result)
{
    if (result < 0)
        printf(" = -%s\n", strerrorname_np(errno));
    else
        printf(" = %ld\n", result);
    return result;
}

static void show_stat(const struct stat *st, int error)
{
    if (error)
        printf(" = -%s\n", strerrorname_np(errno));
    else
        printf(" = mode %o nlink %lu uid %u gid %u size %ld\n", st->st_mode, (unsigned long)st->st_nlink, st->st_uid, st->st_gid,
               S_ISDIR(st->st_mode) ? 0L : (long)st->st_size);
}

static int compare(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static void list(int fd)
{
    static char buffer[32768];
    char *found[2000];
    int count = 0;
    uint32_t room = 300 + pick(600); /* once: the number of calls depends on the order of entries */
    lseek(fd, 0, SEEK_SET);
    for (;;) {
        long got = syscall(SYS_getdents64, fd, buffer, room);
        if (got < 0) {
            printf(" = -%s\n", strerrorname_np(errno));
            return;
        }
        if (got == 0)
            break;
        for (long at = 0; at < got;) {
            struct dirent64 *e = (void *)(buffer + at);
            char line[300];
            snprintf(line, sizeof line, "%s:%d", e->d_name, e->d_type);
            if (count < 2000)
                found[count++] = strdup(line);
            at += e->d_reclen;
        }
    }
    qsort(found, (size_t)count, sizeof *found, compare);
    printf(" =");
    for (int n = 0; n < count; n++) {
        printf(" %s", found[n]);
        free(found[n]);
    }
    putchar('\n');
}

static void open_one(void)
{
    static const int choices[] = {O_RDONLY, O_WRONLY, O_RDWR, O_RDONLY | O_DIRECTORY, O_RDWR | O_CREAT, O_WRONLY | O_CREAT | O_TRUNC,
        O_RDWR | O_CREAT | O_EXCL, O_WRONLY | O_APPEND, O_RDWR | O_APPEND | O_CREAT, O_RDONLY | O_NOFOLLOW, O_RDONLY | O_TRUNC,
        O_RDONLY | O_CREAT, O_PATH, O_PATH | O_NOFOLLOW, O_RDONLY | O_CREAT | O_DIRECTORY, O_RDWR | O_NOATIME, O_CREAT | O_RDWR | O_NOFOLLOW};
    int slot = (int)pick(FDS), flags = choices[pick(sizeof choices / sizeof *choices)], mode = (int)(pick(2) ? 0644 : pick(010000));
    int dirfd = pick(4) ? AT_FDCWD : fds[pick(FDS)];
    const char *p = path();
    if (fds[slot] >= 0)
        close(fds[slot]);
    printf("openat(%d, %s, 0%o, 0%o) slot %d", dirfd, shown(p), flags, mode, slot);
    fds[slot] = openat(dirfd, p, flags, mode);
    report(fds[slot]);
}

static void with_descriptor(void)
{
    int fd = fds[pick(FDS)];
    if (fd < 0 && pick(5))
        fd = fds[pick(FDS)];
    struct stat st;
    long size = pick(3) ? (long)pick(100) : (long)pick(sizeof data), offset = (long)pick(300) - 10;
    switch (pick(17)) {
    case 0: printf("write(%d, %ld)", fd, size); report(write(fd, data, (size_t)size)); break;
    case 1: case 2: {
        static char into[sizeof data];
        uint32_t sum = 0;
        printf("read(%d, %ld)", fd, size);
        long got = report(read(fd, into, (size_t)size));
        for (long n = 0; n < got; n++)
            sum = sum * 31 + (unsigned char)into[n];
        printf("sum %x\n", sum);
        break;
    }
    case 3: printf("pwrite(%d, %ld, %ld)", fd, size, offset); report(pwrite(fd, data + 7, (size_t)size, offset)); break;
    case 4: {
        static char into[sizeof data];
        printf("pread(%d, %ld, %ld)", fd, size, offset);
        long got = report(pread(fd, into, (size_t)size, offset));
        printf("last %x\n", got > 0 ? into[got - 1] : 0);
        break;
    }
    case 5: {
        int whence = (int)pick(6);
        printf("lseek(%d, %ld, %d)", fd, offset, whence);
        if (fstat(fd, &st) == 0 && S_ISDIR(st.st_mode) && whence != SEEK_SET)
            printf(" skipped\n"); /* file systems differ */
        else
            report(lseek(fd, offset, whence));
        break;
    }
    case 6: printf("ftruncate(%d, %ld)", fd, offset); report(ftruncate(fd, offset)); break;
    case 7: printf("fstat(%d)", fd); show_stat(&st, fstat(fd, &st)); break;
    case 8: printf("list(%d)", fd); list(fd); break;
    case 9: printf("fcntl(%d, F_GETFL)", fd); report(fcntl(fd, F_GETFL)); break;
    case 10: {
        int flags = (pick(2) ? O_APPEND : 0) | (pick(2) ? O_NONBLOCK : 0);
        printf("fcntl(%d, F_SETFL, 0%o)", fd, flags);
        report(fcntl(fd, F_SETFL, flags));
        break;
    }
    case 11: printf("fchmod(%d)", fd); report(fchmod(fd, pick(2) ? 0700 : pick(010000))); break;
    case 12: printf("fchdir(%d)", fd); report(pick(3) ? 0 : fchdir(fd)); break;
    case 13: {
        struct iovec iov[3] = {{data, (size_t)size}, {NULL, 0}, {data + 99, pick(50)}};
        int count = (int)pick(4);
        printf("writev(%d, %ld, %d)", fd, size, count);
        report(writev(fd, iov, count));
        break;
    }
    case 14: {
        int slot = (int)pick(FDS);
        if (fds[slot] >= 0)
            close(fds[slot]);
        printf("dup(%d)", fd);
        fds[slot] = (int)report(dup(fd));
        break;
    }
    case 15: printf("fchown(%d)", fd); report(fchown(fd, pick(2) ? (uid_t)-1 : 1000, pick(2) ? (gid_t)-1 : 1000)); break;
    case 16: {
        char link[64];
        printf("fstatat(%d, empty)", fd);
        show_stat(&st, fstatat(fd, "", &st, AT_EMPTY_PATH));
        printf("readlinkat(%d, empty)", fd);
        report(readlinkat(fd, "", link, sizeof link));
        break;
    }
    }
}

static void with_path(void)
{
    const char *p = path(), *q = path();
    struct stat st;
    int mode = (int)(pick(3) ? 0755 : pick(010000));
    char text[5000];
    switch (pick(22)) {
    case 0: case 1: printf("mkdir(%s, 0%o)", shown(p), mode); report(mkdir(p, (mode_t)mode)); break;
    case 2: printf("rmdir(%s)", shown(p)); report(rmdir(p)); break;
    case 3: case 4: printf("unlink(%s)", shown(p)); report(unlink(p)); break;
    case 5: case 6: printf("rename(%s, %s)", shown(p), shown(q)); report(rename(p, q)); break;
    case 7: {
        unsigned flags = pick(5);
        printf("renameat2(%s, %s, %u)", shown(p), shown(q), flags);
        if (flags > 2)
            printf(" skipped\n"); /* RENAME_WHITEOUT makes a device */
        else
            report(syscall(SYS_renameat2, AT_FDCWD, p, AT_FDCWD, q, flags));
        break;
    }
    case 8: case 9: printf("link(%s, %s)", shown(p), shown(q)); report(link(p, q)); break;
    case 10: case 11: printf("symlink(%s, %s)", shown(p), shown(q)); report(symlink(p, q)); break;
    case 12: printf("stat(%s)", shown(p)); show_stat(&st, stat(p, &st)); break;
    case 13: printf("lstat(%s)", shown(p)); show_stat(&st, lstat(p, &st)); break;
    case 14: {
        printf("readlink(%s)", shown(p));
        long got = report(readlink(p, text, sizeof text - 1));
        if (got >= 0) {
            text[got] = 0;
            printf("-> %s\n", shown(text));
        }
        break;
    }
    case 15: printf("access(%s, %d)", shown(p), mode & 15); report(access(p, mode & 15)); break;
    case 16: printf("chmod(%s, 0%o)", shown(p), mode); report(chmod(p, (mode_t)mode)); break;
    case 17: {
        printf("chdir(%s)", shown(p));
        report(pick(4) ? 0 : chdir(p));
        break;
    }
    case 18: {
        printf("getcwd()");
        if (syscall(SYS_getcwd, text, sizeof text) < 0)
            printf(" = -%s\n", strerrorname_np(errno));
        else
            printf(" = %s\n", shown(text));
        break;
    }
    case 19: printf("truncate(%s, %d)", shown(p), mode); report(truncate(p, mode)); break;
    case 20: printf("linkat(%s, %s, follow)", shown(p), shown(q)); report(linkat(AT_FDCWD, p, AT_FDCWD, q, AT_SYMLINK_FOLLOW)); break;
    case 21: {
        struct timespec times[2] = {{.tv_sec = 77, .tv_nsec = pick(3) ? UTIME_NOW : 2000000000}, {.tv_nsec = pick(3) ? UTIME_OMIT : 5}};
        printf("utimensat(%s)", shown(p));
        report(utimensat(AT_FDCWD, p, times, pick(2) ? AT_SYMLINK_NOFOLLOW : 0));
        break;
    }
    }
}

int main(int argc, char **argv)
{
    if (argc < 4)
        return 2;
    state = strtoull(argv[1], NULL, 0) * 0x9E3779B97F4A7C15u + 1;
    uid_t uid = (uid_t)atoi(argv[3]);
    for (unsigned n = 0; n < sizeof data; n++)
        data[n] = (char)(n * 7 + n / 256);
    for (int n = 0; n < FDS; n++)
        fds[n] = -1;
    if (chroot(".")) {
        perror("chroot");
        return 2;
    }
    close_range(3, ~0u, 0);
    umask(022);
    if (uid && (setgid(uid) || setuid(uid)))
        return 2;
    for (int n = 0; n < 8; n++)
        pick(2);
    for (long left = atol(argv[2]); left; left--) {
        switch (pick(4)) {
        case 0: open_one(); break;
        case 1: case 2: with_path(); break;
        default: with_descriptor();
        }
        if (pick(40) == 0)
            (void)!chdir("/");
    }
    return 0;
}
