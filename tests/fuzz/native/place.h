/* place.h - a small tree of files below $TMPDIR, for the gofer to serve, and beside it what must never be served. */
#ifndef FUZZ_PLACE_H
#define FUZZ_PLACE_H

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "input.h"

static char place[256]; /* its path; the tree is "tree" in it */

static inline void place_file(const char *name, const char *content)
{
    int fd = open(name, O_CREAT | O_TRUNC | O_WRONLY, 0644);
    MUST(fd >= 0 && write(fd, content, strlen(content)) == (ssize_t)strlen(content));
    close(fd);
}

/* Makes it, and leaves the process inside of the tree. The test removes $TMPDIR. */
static inline void place_make(void)
{
    static const char *const directories[] = {"dir", "dir/sub", "dir/sub/deep", "bind", "live", "tmp", "empty"};
    const char *parent = getenv("TMPDIR");
    char name[64];

    snprintf(place, sizeof place, "%s/pysentry-fuzz-XXXXXX", parent ? parent : "/tmp");
    MUST(mkdtemp(place) && chdir(place) == 0 && realpath(".", place));
    place_file("secret", "not to be had");
    MUST(mkdir("tree", 0755) == 0 && chdir("tree") == 0);
    for (size_t n = 0; n < sizeof directories / sizeof *directories; n++)
        MUST(mkdir(directories[n], 0755) == 0);
    place_file("a", "1234");
    place_file("b", "");
    place_file("dir/c", "12345678");
    place_file("dir/sub/d", "x");
    for (int n = 0; n < 40; n++) { /* READDIR of it needs more pages than one */
        snprintf(name, sizeof name, "dir/sub/deep/%d", n);
        place_file(name, "y");
    }
    MUST(link("a", "dir/a2") == 0 && mkfifo("fifo", 0644) == 0);
    MUST(symlink("dir", "link") == 0 && symlink("../secret", "up") == 0 && symlink("/a", "dir/root") == 0);
    MUST(symlink("loop", "loop") == 0 && symlink("sub/d", "dir/e") == 0);
}

#endif
