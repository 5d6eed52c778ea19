/* Operations between processes and threads. */
#include "micro.h"

#include <errno.h>
#include <pthread.h>
#include <sys/wait.h>
#include <unistd.h>

static int to_child[2], to_parent[2]; /* read end, write end */

static void await_child(pid_t child)
{
    int status;
    pid_t waited;
    do
        waited = waitpid(child, &status, 0);
    while (waited < 0 && errno == EINTR);
    if (waited != child || !WIFEXITED(status) || WEXITSTATUS(status) != 0)
        fail("waitpid");
}

static void echo_until_end_of_file(void)
{
    char byte;
    close(to_child[1]);
    close(to_parent[0]);
    while (read(to_child[0], &byte, 1) == 1)
        if (write(to_parent[1], &byte, 1) != 1)
            _exit(1);
    _exit(0);
}

/* One operation is a round trip: two writes, two reads, two switches between processes. */
static void loop_pipe_ping_pong(uint64_t count)
{
    char byte = 'p';
    if (pipe(to_child) != 0 || pipe(to_parent) != 0)
        fail("pipe");
    pid_t child = fork();
    if (child < 0)
        fail("fork");
    if (child == 0)
        echo_until_end_of_file();
    close(to_child[0]);
    close(to_parent[1]);
    for (uint64_t i = 0; i < count; i++)
        if (write(to_child[1], &byte, 1) != 1 || read(to_parent[0], &byte, 1) != 1 || byte != 'p')
            fail("ping-pong");
    close(to_child[1]);
    close(to_parent[0]);
    await_child(child);
}

static void loop_fork_wait(uint64_t count)
{
    for (uint64_t i = 0; i < count; i++) {
        pid_t child = fork();
        if (child < 0)
            fail("fork");
        if (child == 0)
            _exit(0);
        await_child(child);
    }
}

static void *return_argument(void *argument)
{
    return argument;
}

static void loop_thread_create_join(uint64_t count)
{
    for (uint64_t i = 0; i < count; i++) {
        pthread_t thread;
        void *result = NULL;
        errno = pthread_create(&thread, NULL, return_argument, to_child);
        if (errno != 0)
            fail("pthread_create");
        errno = pthread_join(thread, &result);
        if (errno != 0 || result != to_child)
            fail("pthread_join");
    }
}

const struct operation process_operations[] = {
    {"pipe_ping_pong", NULL, loop_pipe_ping_pong},
    {"fork_wait", NULL, loop_fork_wait},
    {"thread_create_join", NULL, loop_thread_create_join},
    {NULL, NULL, NULL},
};
