/* open_flags: what each flag of open does, in open, openat, openat2 and open_by_handle_at alike. */
#include "guest.h"

#include <linux/openat2.h>
#include <sys/sysmacros.h>

enum { LARGEFILE = 0100000, FLAG_DIRECTORY = 0200000, FLAG_ASYNC = 020000 };

static int by_open(const char *path, int flags)
{
    return (int)syscall(SYS_open, path, flags, 0600);
}

static int by_openat(const char *path, int flags)
{
    return (int)syscall(SYS_openat, AT_FDCWD, path, flags, 0600);
}

static int by_openat2(const char *path, int flags)
{
    bool makes = flags & O_CREAT || (flags & O_TMPFILE) == O_TMPFILE;
    struct open_how how = {.flags = (unsigned)flags, .mode = makes ? 0600 : 0};
    return (int)syscall(SYS_openat2, AT_FDCWD, path, &how, sizeof how);
}

/* Of what is there; a link's own handle. */
static int by_handle(const char *path, int flags)
{
    struct {
        struct file_handle head;
        char bytes[MAX_HANDLE_SZ];
    } handle = {.head.handle_bytes = MAX_HANDLE_SZ};
    int mount_id, here = open(".", O_RDONLY | O_DIRECTORY);
    if (name_to_handle_at(AT_FDCWD, path, &handle.head, &mount_id, 0) == -1)
        return -1;
    int fd = (int)syscall(SYS_open_by_handle_at, here, &handle, flags);
    int saved = errno;
    close(here);
    errno = saved;
    return fd;
}

static const struct form {
    const char *name;
    int (*open)(const char *path, int flags);
} forms[] = {
    {"open", by_open},
    {"openat", by_openat},
    {"openat2", by_openat2},
    {"open_by_handle_at", by_handle},
};
enum { FORMS = sizeof forms / sizeof *forms };

static int form_count(void)
{
    int fd = by_handle("file", O_RDONLY);
    if (fd == -1)
        return FORMS - 1; /* not without CAP_DAC_READ_SEARCH */
    close(fd);
    return FORMS;
}

static void make_file(void)
{
    scratch();
    write_file("file", "0123456789");
    CHECK_OK(mkdir("dir", 0755));
    CHECK_OK(symlink("file", "link"));
}

#define FOR_EACH_FORM(form)                                                                                        \
    for (int failures_ = guest_failures, number_ = 0, count_ = form_count(); number_ < count_; number_++)         \
        for (const struct form *form = &forms[number_]; form != NULL;                                              \
             form = (guest_failures > failures_ ? note("# ... by %s\n", form->name) : (void)0,                     \
                     failures_ = guest_failures, NULL))

TEST(access_modes)
{
    make_file();
    FOR_EACH_FORM (form) {
        char byte = 'x';
        int fd = form->open("file", O_RDONLY);
        CHECK_EQ(read(fd, &byte, 1), 1);
        CHECK_ERRNO(write(fd, "0", 1), EBADF);
        close(fd);
        fd = form->open("file", O_WRONLY);
        CHECK_ERRNO(read(fd, &byte, 1), EBADF);
        CHECK_EQ(write(fd, "0", 1), 1);
        close(fd);
        fd = form->open("file", O_RDWR);
        CHECK_EQ(read(fd, &byte, 1), 1);
        CHECK_EQ(write(fd, "1", 1), 1);
        close(fd);
        fd = form->open("file", O_ACCMODE); /* 3: for ioctls alone, but who may read and write */
        CHECK_ERRNO(read(fd, &byte, 1), EBADF);
        CHECK_ERRNO(write(fd, "0", 1), EBADF);
        CHECK_EQ(fcntl(fd, F_GETFL), O_ACCMODE | LARGEFILE);
        close(fd);
    }
}

TEST(what_f_getfl_shows)
{
    static const struct {
        const char *path;
        int given, shown;
    } cases[] = {
        {"file", O_RDONLY, O_RDONLY},
        {"file", O_WRONLY, O_WRONLY},
        {"file", O_RDWR, O_RDWR},
        {"file", O_WRONLY | O_APPEND, O_WRONLY | O_APPEND},
        {"file", O_RDONLY | O_NONBLOCK, O_RDONLY | O_NONBLOCK},
        {"file", O_RDWR | O_DSYNC, O_RDWR | O_DSYNC},
        {"file", O_RDWR | O_SYNC, O_RDWR | O_SYNC},
        {"file", O_RDWR | FLAG_ASYNC, O_RDWR | FLAG_ASYNC},
        {"file", O_RDWR | LARGEFILE, O_RDWR | LARGEFILE},
        {"file", O_RDONLY | O_NOATIME, O_RDONLY | O_NOATIME},
        {"file", O_RDONLY | O_NOFOLLOW, O_RDONLY | O_NOFOLLOW},
        {"file", O_RDWR | O_NOCTTY, O_RDWR},
        {"file", O_RDONLY | O_EXCL, O_RDONLY},
        {"file", O_RDWR | O_TRUNC, O_RDWR},
        {"file", O_RDONLY | O_CLOEXEC, O_RDONLY},
        {"dir", O_RDONLY | FLAG_DIRECTORY, O_RDONLY | FLAG_DIRECTORY},
        {"file", O_PATH, O_PATH},
        {"dir", O_PATH | FLAG_DIRECTORY | O_NOFOLLOW, O_PATH | FLAG_DIRECTORY | O_NOFOLLOW},
    };
    make_file();
    FOR_EACH_FORM (form) {
        for (unsigned i = 0; i < sizeof cases / sizeof *cases; i++) {
            int fd = form->open(cases[i].path, cases[i].given);
            int always = cases[i].given & O_PATH ? 0 : LARGEFILE;
            int shown = fcntl(fd, F_GETFL);
            if (shown != (cases[i].shown | always))
                GUEST_FAIL("%s(0%o): F_GETFL shows 0%o, expected 0%o", form->name, cases[i].given, shown,
                           cases[i].shown | always);
            CHECK_EQ(fcntl(fd, F_GETFD), cases[i].given & O_CLOEXEC ? FD_CLOEXEC : 0);
            close(fd);
        }
    }
}

TEST(creating)
{
    make_file();
    for (int i = 0; i < FORMS - 1; i++) {
        struct stat status;
        int fd = forms[i].open("new", O_CREAT | O_EXCL | O_WRONLY);
        CHECK_OK(fd);
        CHECK_EQ(fcntl(fd, F_GETFL), O_WRONLY | LARGEFILE);
        CHECK_OK(fstat(fd, &status));
        CHECK_EQ(status.st_mode, S_IFREG | 0600);
        close(fd);
        CHECK_ERRNO(forms[i].open("new", O_CREAT | O_EXCL | O_WRONLY), EEXIST);
        CHECK_ERRNO(forms[i].open("link", O_CREAT | O_EXCL | O_WRONLY), EEXIST);
        fd = forms[i].open("new", O_CREAT | O_RDWR);
        CHECK_OK(fd);
        close(fd);
        CHECK_OK(unlink("new"));
    }
}

TEST(truncating_and_appending)
{
    make_file();
    FOR_EACH_FORM (form) {
        struct stat status;
        int fd = form->open("file", O_WRONLY | O_TRUNC);
        CHECK_OK(fstat(fd, &status));
        CHECK_EQ(status.st_size, 0);
        CHECK_EQ(write(fd, "0123456789", 10), 10);
        close(fd);
        fd = form->open("file", O_RDWR | O_APPEND);
        CHECK_EQ(lseek(fd, 0, SEEK_CUR), 0);
        CHECK_EQ(write(fd, "x", 1), 1);
        CHECK_EQ(lseek(fd, 0, SEEK_CUR), 11);
        CHECK_EQ(pwrite(fd, "y", 1, 0), 1);
        CHECK_OK(fstat(fd, &status));
        CHECK_EQ(status.st_size, 12);
        close(fd);
    }
}

TEST(links_and_directories)
{
    make_file();
    FOR_EACH_FORM (form) {
        CHECK_ERRNO(form->open("link", O_RDONLY | O_NOFOLLOW), ELOOP);
        CHECK_ERRNO(form->open("file", O_RDONLY | FLAG_DIRECTORY), ENOTDIR);
        CHECK_ERRNO(form->open("file", O_PATH | FLAG_DIRECTORY), ENOTDIR);
        CHECK_ERRNO(form->open("dir", O_WRONLY), EISDIR);
        CHECK_ERRNO(form->open("dir", O_RDWR | FLAG_DIRECTORY), EISDIR);
    }
}

TEST(places_alone)
{
    make_file();
    FOR_EACH_FORM (form) {
        char byte, target[8] = "";
        int fd = form->open("file", O_PATH);
        CHECK_ERRNO(read(fd, &byte, 1), EBADF);
        CHECK_ERRNO(write(fd, "x", 1), EBADF);
        CHECK_ERRNO(lseek(fd, 0, SEEK_SET), EBADF);
        CHECK_ERRNO(ftruncate(fd, 0), EBADF);
        CHECK_ERRNO(fchmod(fd, 0600), EBADF);
        CHECK_ERRNO(fcntl(fd, F_SETFL, O_NONBLOCK), EBADF);
        CHECK_ERRNO(mmap(NULL, 1, PROT_READ, MAP_PRIVATE, fd, 0) == MAP_FAILED ? -1 : 0, EBADF);
        close(fd);
        fd = form->open("link", O_PATH | O_NOFOLLOW);
        CHECK_EQ(readlinkat(fd, "", target, sizeof target), 4);
        CHECK_STR(target, "file");
        close(fd);
    }
}

TEST(files_without_names)
{
    make_file();
    FOR_EACH_FORM (form) {
        struct stat status;
        int fd = form->open("dir", O_TMPFILE | O_RDWR);
        if (fd == -1 && errno == EOPNOTSUPP)
            SKIP("no O_TMPFILE here");
        CHECK_OK(fstat(fd, &status));
        CHECK_EQ(status.st_nlink, 0);
        CHECK_EQ(status.st_mode & S_IFMT, S_IFREG);
        CHECK_EQ(fcntl(fd, F_GETFL), O_TMPFILE | O_RDWR | LARGEFILE);
        CHECK_EQ(write(fd, "text", 4), 4);
        close(fd);
        CHECK_OK(rmdir("dir")); /* it holds nothing */
        CHECK_OK(mkdir("dir", 0755));
        CHECK_ERRNO(form->open("dir", O_TMPFILE | O_RDONLY), EINVAL);
        CHECK_ERRNO(form->open("file", O_TMPFILE | O_RDWR), ENOTDIR);
    }
    int fd = by_openat("dir", O_TMPFILE | O_WRONLY | O_EXCL);
    char path[64];
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    CHECK_ERRNO(linkat(AT_FDCWD, path, AT_FDCWD, "named", AT_SYMLINK_FOLLOW), ENOENT); /* never to be named */
    if (geteuid() == 0) { /* to others, its directory may not be written */
        CHECK_ERRNO(by_openat("/proc", O_TMPFILE | O_RDWR), EOPNOTSUPP);
        CHECK_ERRNO(by_open("/proc", O_TMPFILE | O_RDWR), EOPNOTSUPP);
    }
}

TEST(direct_io)
{
    make_file();
    FOR_EACH_FORM (form) {
        int fd = form->open("file", O_RDWR | O_DIRECT);
        if (fd == -1 && errno == EINVAL)
            SKIP("no O_DIRECT here: a tmpfs before Linux 6.6");
        CHECK_EQ(fcntl(fd, F_GETFL), O_RDWR | O_DIRECT | LARGEFILE);
        char *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        memset(page, 'd', 4096);
        CHECK_EQ(pwrite(fd, page, 4096, 0), 4096);
        CHECK_EQ(pread(fd, page, 4096, 4096), 0);
        CHECK_OK(ftruncate(fd, 10));
        close(fd);
    }
}

/* What a flag that nobody knows does, and what one is told that contradicts another. */
TEST(handles_do_not_create)
{
    make_file();
    if (form_count() < FORMS)
        SKIP("CAP_DAC_READ_SEARCH is needed");
    int fd = by_handle("file", O_RDWR | O_CREAT); /* it is there */
    CHECK_EQ(fcntl(fd, F_GETFL), O_RDWR | LARGEFILE);
    CHECK_ERRNO(by_handle("file", O_RDWR | O_CREAT | O_EXCL), EEXIST);
    CHECK_ERRNO(by_handle("dir", O_RDONLY | O_CREAT), EISDIR);
    CHECK_ERRNO(by_handle("link", O_RDONLY), ELOOP);
}

TEST(flags_that_are_no_flags)
{
    make_file();
    int unknown = 0x40000000, fd;
    for (int i = 0; i < 2; i++) {
        fd = forms[i].open("file", O_RDONLY | unknown); /* ignored, as ever */
        CHECK_EQ(fcntl(fd, F_GETFL), LARGEFILE);
        fd = forms[i].open("file", O_PATH | O_TRUNC | O_APPEND | O_CREAT | O_NONBLOCK);
        CHECK_EQ(fcntl(fd, F_GETFL), O_PATH);
    }
    CHECK_ERRNO(by_openat2("file", O_RDONLY | unknown), EINVAL);
    CHECK_ERRNO(by_openat2("file", O_PATH | O_TRUNC), EINVAL);
    struct stat status;
    CHECK_OK(stat("file", &status));
    CHECK_EQ(status.st_size, 10);
}
