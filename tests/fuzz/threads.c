/* threads.c - threads that open, map, read and close a few large files, so that descriptor numbers change owners all the time.
 *
 * Usage: threads DIRECTORY. Every byte read must be the file's own, and no call may fail: a sandbox that lends its workload
 * descriptors must not take back what another thread was lent meanwhile.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

enum { FILES = 3, THREADS = 8, ROUNDS = 600, SIZE = 200000 };

static char names[FILES][4096];
static int failures;

static void check(int is_right, const char *what)
{
    if (!is_right) {
        printf("%s: %s\n", what, strerror(errno));
        __atomic_add_fetch(&failures, 1, __ATOMIC_RELAXED);
    }
    errno = 0;
}

static void *run(void *seed)
{
    unsigned state = (unsigned)(long)seed;
    char *buffer = malloc(SIZE);
    for (int round = 0; round < ROUNDS; round++) {
        int which = rand_r(&state) % FILES;
        char wanted = (char)('0' + which);
        struct stat st;
        int fd = open(names[which], O_RDONLY);
        check(fd >= 0 && fstat(fd, &st) == 0 && st.st_size == SIZE, "open");
        if (rand_r(&state) % 2) {
            char *map = mmap(NULL, SIZE, PROT_READ, MAP_PRIVATE, fd, 0);
            check(map != MAP_FAILED && map[1000] == wanted, "mmap");
            if (map != MAP_FAILED)
                munmap(map, SIZE);
        }
        check(read(fd, buffer, 100000) == 100000 && buffer[99999] == wanted, "read");
        check(pread(fd, buffer, 65536, 1000) == 65536 && buffer[5] == wanted, "pread");
        check(close(fd) == 0, "close");
    }
    free(buffer);
    return NULL;
}

int main(int argc, char **argv)
{
    pthread_t threads[THREADS];
    static char content[SIZE];
    if (argc != 2)
        return 2;
    for (int n = 0; n < FILES; n++) {
        snprintf(names[n], sizeof names[n], "%s/file%d", argv[1], n);
        memset(content, '0' + n, SIZE);
        int fd = open(names[n], O_RDWR | O_CREAT | O_TRUNC, 0644);
        check(fd >= 0 && write(fd, content, SIZE) == SIZE && close(fd) == 0, "write");
    }
    for (long n = 0; n < THREADS; n++)
        pthread_create(&threads[n], NULL, run, (void *)(n + 1));
    for (int n = 0; n < THREADS; n++)
        pthread_join(threads[n], NULL);
    return failures ? 1 : 0;
}
