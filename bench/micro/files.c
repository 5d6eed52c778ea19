/* Operations on names and descriptors: what every program does all the time, one call each where possible. */
#include "micro.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { SMALL_READ_BYTES = 4096, LARGE_READ_BYTES = 65536, DATA_BYTES = 1 << 20 };

static const char *path;
static int data_fd = -1;
static char buffer[LARGE_READ_BYTES];

static void remember_path(const char *data_path)
{
    path = data_path;
}

static void open_data(const char *data_path)
{
    struct stat status;
    path = data_path;
    data_fd = open(path, O_RDONLY | O_CLOEXEC);
    if (data_fd < 0 || fstat(data_fd, &status) != 0)
        fail("open data file");
    if (status.st_size < DATA_BYTES) {
        errno = EINVAL;
        fail("data file is smaller than 1 MiB");
    }
}

/* The trapped call that does nothing else. Not getppid: that one runs natively in pysentry. */
static void loop_getuid(uint64_t count)
{
    long first = syscall(SYS_getuid);
    for (uint64_t i = 1; i < count; i++)
        if (syscall(SYS_getuid) != first)
            fail("getuid changed");
}

static void loop_open_close(uint64_t count)
{
    for (uint64_t i = 0; i < count; i++) {
        int fd = open(path, O_RDONLY | O_CLOEXEC);
        if (fd < 0 || close(fd) != 0)
            fail("open+close");
    }
}

static void loop_stat(uint64_t count)
{
    struct stat status;
    for (uint64_t i = 0; i < count; i++)
        if (stat(path, &status) != 0 || status.st_size < DATA_BYTES)
            fail("stat");
}

static void loop_fstat(uint64_t count)
{
    struct stat status;
    for (uint64_t i = 0; i < count; i++)
        if (fstat(data_fd, &status) != 0 || status.st_size < DATA_BYTES)
            fail("fstat");
}

static void read_around(uint64_t count, size_t size_bytes)
{
    off_t offset = 0;
    for (uint64_t i = 0; i < count; i++) {
        if (pread(data_fd, buffer, size_bytes, offset) != (ssize_t)size_bytes)
            fail("pread");
        offset = (offset + (off_t)size_bytes) % DATA_BYTES;
    }
}

static void loop_read_4k(uint64_t count)
{
    read_around(count, SMALL_READ_BYTES);
}

static void loop_read_64k(uint64_t count)
{
    read_around(count, LARGE_READ_BYTES);
}

const struct operation file_operations[] = {
    {"getuid", NULL, loop_getuid},
    {"open_close", remember_path, loop_open_close},
    {"stat", remember_path, loop_stat},
    {"fstat", open_data, loop_fstat},
    {"read_4k", open_data, loop_read_4k},
    {"read_64k", open_data, loop_read_64k},
    {NULL, NULL, NULL},
};
