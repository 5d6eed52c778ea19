/* harness.c - see harness.h. Usage: native_tests NAME | --list */
#define _GNU_SOURCE
#include "harness.h"

#include <ftw.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "engine/engine.h"
#include "gofer/client.h"
#include "gofer/server.h"

struct sentry_stats sentry_stats;
struct python_hooks hooks;
struct engine engine = {.listener = -1, .epoll = -1};
struct seen seen;
struct task *task;
char *guard;
char host_dir[64];
static struct gofer_client client;

/* ---- the fake engine ----------------------------------------------------------------------------*/

int task_wait_retry(struct task *t, struct description *d, uint32_t events)
{
    (void)t;
    (void)d;
    seen.parked_events = events;
    return SENTRY_PARKED;
}

int task_install(struct task *t, struct description *d, int fd)
{
    t->files->slots[fd].native = d->id;
    seen.installed_fd = fd;
    seen.installs++;
    return 0;
}

int task_install_host(struct task *t, int host_fd, int fd)
{
    (void)t;
    (void)host_fd;
    seen.installed_fd = fd;
    return 0;
}

int task_kill(struct task *t, int sig)
{
    (void)t;
    seen.killed_by = sig;
    return 0;
}

struct task *task_first(void)
{
    return task;
}

int64_t call(fast_fn fast, const uint64_t args[6])
{
    memset(&task->trap, 0, sizeof task->trap);
    memcpy(task->trap.args, args, sizeof task->trap.args);
    seen = (struct seen){.installed_fd = -1};
    return fast(task, &task->trap);
}

static void make_task(void)
{
    engine.proc = open("/proc", O_PATH | O_DIRECTORY);
    task = vfs_must_alloc(sizeof *task);
    task->tid = getpid();
    task->group = vfs_must_alloc(sizeof *task->group);
    for (int n = 0; n < 16; n++)
        task->group->rlimit_cur[n] = task->group->rlimit_max[n] = ~0ull;
    task->group->rlimit_cur[7] = 64;
    task->files = fd_table_copy(NULL);
    task->fs = fs_copy(NULL);
    task->cred = cred_copy(NULL);
    task->cred->cap_permitted = task->cred->cap_effective = ~0ull;
    guard = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    mprotect(guard + 4096, 4096, PROT_NONE);
    guard += 4096;
}

void become(uint32_t uid)
{
    struct credentials *c = cred_copy(task->cred);
    c->uid = c->euid = c->suid = c->fsuid = uid;
    c->gid = c->egid = c->sgid = c->fsgid = uid;
    c->cap_permitted = c->cap_effective = 0;
    task_set_cred(task, c);
}

/* ---- the real gofer -----------------------------------------------------------------------------*/

static int serve(int sock, int tree)
{
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    int proc = open("/proc/self/fd", O_PATH | O_DIRECTORY);
    struct gofer_server *server = gofer_server_new(sock, proc, NULL);
    gofer_server_add_tree(server, tree, GOFER_TREE_WRITABLE);
    gofer_server_add_tree(server, fcntl(tree, F_DUPFD_CLOEXEC, 3), GOFER_TREE_IMMUTABLE);
    int result = gofer_server_run(server, 0, 0);
    gofer_server_free(server);
    return result;
}

static void start_gofer(void)
{
    int pair[2];
    uint32_t flags;
    char step[64];
    CHECK(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) == 0);
    strcpy(host_dir, "/tmp/pysentry-native-XXXXXX");
    CHECK(mkdtemp(host_dir));
    int tree = open(host_dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (fork() == 0) {
        close(pair[0]);
        _exit(serve(pair[1], tree) < 0);
    }
    close(pair[1]);
    close(tree);
    gofer_client_init(&client, pair[0], 0);
    CHECK_IS(gofer_hello(&client, &flags, 1, step, sizeof step), 2);
    the_gofer = &client;
}

static int remove_entry(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st;
    (void)type;
    (void)ftw;
    return remove(path);
}

static void stop_gofer(void)
{
    int status;
    close(client.fd);
    wait(&status);
    nftw(host_dir, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
}

uint64_t gofer_calls(void)
{
    return client.calls;
}

void host_file(const char *path, const char *content)
{
    char full[512];
    snprintf(full, sizeof full, "%s/%s", host_dir, path);
    for (char *slash = full + strlen(host_dir) + 1; (slash = strchr(slash, '/')); slash++) {
        *slash = 0;
        mkdir(full, 0755);
        *slash = '/';
    }
    if (full[strlen(full) - 1] == '/')
        return;
    int fd = open(full, O_CREAT | O_TRUNC | O_WRONLY, 0644);
    CHECK(fd >= 0);
    CHECK(write(fd, content, strlen(content)) == (ssize_t)strlen(content));
    close(fd);
}

void host_symlink(const char *path, const char *target)
{
    char full[512];
    snprintf(full, sizeof full, "%s/%s", host_dir, path);
    CHECK(symlink(target, full) == 0);
}

/* ---- file systems -------------------------------------------------------------------------------*/

static struct dentry *use(struct dentry *root)
{
    fs_set_root(task->fs, root);
    fs_set_cwd(task->fs, root);
    return root;
}

struct dentry *use_tmpfs(void)
{
    struct superblock *sb = sb_new(FS_TREE, 0, -1, 77);
    struct inode *i = inode_new(sb, S_IFDIR | 0755);
    i->flags = INODE_UPPER | INODE_COMPLETE;
    i->ino = 1;
    return use(dentry_root(sb, i));
}

static struct dentry *use_host(uint32_t kind, uint32_t flags, int32_t tree)
{
    struct superblock *sb = sb_new(kind, flags, tree, 78);
    struct inode *i = inode_new(sb, S_IFDIR | 0755);
    struct stat st;
    CHECK(stat(host_dir, &st) == 0);
    i->ino = st.st_ino;
    i->dev = st.st_dev;
    return use(dentry_root(sb, i));
}

struct dentry *use_overlay(void)
{
    return use_host(FS_TREE, SB_CACHED, 1);
}

struct dentry *use_bind(bool is_cached)
{
    return use_host(FS_GOFER, is_cached ? SB_CACHED : 0, 0);
}

int open_path(const char *path, int flags)
{
    return (int)CALL(openat, (uint64_t)AT_FDCWD, ADDRESS(path), (uint64_t)flags, 0644);
}

void make_file(const char *path, const char *content)
{
    int fd = open_path(path, O_CREAT | O_WRONLY | O_TRUNC);
    CHECK(fd >= 0);
    CHECK_IS(CALL(write, (uint64_t)fd, ADDRESS(content), strlen(content)), strlen(content));
    CHECK_IS(CALL(close, (uint64_t)fd), 0);
}

struct dentry *lookup(const char *path)
{
    struct vfs_path found;
    return walk_at(task, AT_FDCWD, path, 0, &found) ? NULL : found.dentry;
}

int main(int argc, char **argv)
{
    const struct test *const suites[] = {dcache_tests, walk_tests, file_tests, io_tests};
    for (unsigned s = 0; s < sizeof suites / sizeof *suites; s++) {
        for (const struct test *test = suites[s]; test->name; test++) {
            if (argc > 1 && strcmp(argv[1], "--list") == 0) {
                puts(test->name);
            } else if (argc > 1 && strcmp(argv[1], test->name) == 0) {
                start_gofer();
                make_task();
                test->run();
                stop_gofer();
                files_bury();
                return 0;
            }
        }
    }
    return argc > 1 && strcmp(argv[1], "--list") == 0 ? 0 : 2;
}
