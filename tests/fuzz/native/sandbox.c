/* sandbox.c - see sandbox.h. */
#define _GNU_SOURCE
#include "sandbox.h"

#include <errno.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "engine/engine.h"
#include "place.h"

struct sentry_stats sentry_stats;
struct python_hooks hooks;
struct engine engine = {.listener = -1, .epoll = -1, .fast_path = true};
unsigned char arena[ARENA_SIZE];
struct task *tasks[N_TASKS];
int64_t sandbox_clock_ns;

/* ---- the engine ---------------------------------------------------------------------------------*/

int task_wait_retry(struct task *t, struct description *d, uint32_t events)
{
    (void)t;
    MUST(d->refs && events);
    return SENTRY_PARKED;
}

int task_wait_retry_many(struct task *t, struct description **descs, const uint32_t *events, uint32_t count)
{
    for (uint32_t n = 0; n < count; n++)
        task_wait_retry(t, descs[n], events[n]);
    return SENTRY_PARKED;
}

int task_install(struct task *t, struct description *d, int fd)
{
    MUST(fd_get(t, fd) == d);
    t->files->slots[fd].native = d->id;
    return 0;
}

int task_install_host(struct task *t, int host_fd, int fd)
{
    (void)t;
    MUST(fcntl(host_fd, F_GETFD) >= 0 && fd >= 0);
    return 0;
}

int task_kill(struct task *t, int sig)
{
    (void)t;
    MUST(sig == SIGPIPE);
    return 0;
}

struct task *task_first(void)
{
    return tasks[0];
}

int64_t sentry_now_ns(void)
{
    return sandbox_clock_ns;
}

/* ---- the workload's memory ----------------------------------------------------------------------*/

ssize_t __wrap_process_vm_readv(pid_t pid, const struct iovec *local, unsigned long locals, const struct iovec *remote,
                                unsigned long remotes, unsigned long flags);
ssize_t __wrap_process_vm_writev(pid_t pid, const struct iovec *local, unsigned long locals, const struct iovec *remote,
                                 unsigned long remotes, unsigned long flags);

/* How many of the bytes are there. */
static ssize_t reachable(const struct iovec *remote, uint64_t start)
{
    uint64_t at = (uint64_t)remote->iov_base;
    if (at < start || at >= ARENA_END) {
        errno = EFAULT;
        return -1;
    }
    return (ssize_t)(remote->iov_len < ARENA_END - at ? remote->iov_len : ARENA_END - at);
}

ssize_t __wrap_process_vm_readv(pid_t pid, const struct iovec *local, unsigned long locals, const struct iovec *remote,
                                unsigned long remotes, unsigned long flags)
{
    (void)pid, (void)flags;
    MUST(locals == 1 && remotes == 1 && local->iov_len == remote->iov_len);
    ssize_t size = reachable(remote, ARENA);
    if (size > 0)
        memcpy(local->iov_base, arena + ((uint64_t)remote->iov_base - ARENA), (size_t)size);
    return size;
}

ssize_t __wrap_process_vm_writev(pid_t pid, const struct iovec *local, unsigned long locals, const struct iovec *remote,
                                 unsigned long remotes, unsigned long flags)
{
    (void)pid, (void)flags;
    MUST(locals == 1 && remotes == 1 && local->iov_len == remote->iov_len);
    ssize_t size = reachable(remote, ARENA + READ_ONLY_SIZE);
    if (size > 0)
        memcpy(arena + ((uint64_t)remote->iov_base - ARENA), local->iov_base, (size_t)size);
    return size;
}

/* ---- making one, and its end --------------------------------------------------------------------*/

#define N_MOUNTS 5
static struct superblock *mounts[N_MOUNTS];
static uint64_t first_inode_id;

static struct superblock *new_mount(uint32_t kind, uint32_t flags, int32_t tree, const char *at)
{
    struct superblock *sb = sb_new(kind, flags, tree, 70);
    struct inode *i = inode_new(sb, S_IFDIR | 0777);
    struct vfs_path found;
    if (tree < 0) {
        i->flags = INODE_UPPER | INODE_COMPLETE;
        i->ino = 1;
    } else {
        struct stat st;
        MUST(stat(".", &st) == 0);
        i->ino = st.st_ino;
        i->dev = st.st_dev;
    }
    dentry_root(sb, i);
    if (at) {
        MUST(walk_at(tasks[0], AT_FDCWD, at, 0, &found) == 0);
        mount_attach(found.dentry, sb);
    }
    return sb;
}

/* From the innermost on. */
static void unmount(struct superblock *sb)
{
    struct dentry *root = sb->root;
    if (sb->covered) {
        sb->covered->mounted = NULL;
        dentry_unref(sb->covered);
    }
    while (root->first_child)
        dentry_drop(root->first_child);
    MUST(root->refs == 1);
    root->flags |= DENTRY_UNHASHED;
    dentry_unref(root);
    free(sb);
}

static void give(uint32_t kind, int host_fd, uint32_t open_flags)
{
    MUST((host_fd >= 0 || kind == DESC_PYTHON) && fd_alloc(tasks[0], desc_new(kind, host_fd, open_flags), 0, 0) >= 0);
}

static void give_descriptors(void)
{
    int ends[2];
    MUST(pipe2(ends, O_CLOEXEC | O_NONBLOCK) == 0);
    give(DESC_PIPE, ends[0], O_RDONLY);
    give(DESC_PIPE, ends[1], O_WRONLY);
    for (int type = SOCK_STREAM; type <= SOCK_DGRAM; type++) {
        MUST(socketpair(AF_UNIX, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends) == 0);
        give(DESC_SOCKET, ends[0], O_RDWR);
        give(DESC_SOCKET, ends[1], O_RDWR);
    }
    give(DESC_EPOLL, epoll_create1(EPOLL_CLOEXEC), O_RDWR);
    give(DESC_EVENTFD, eventfd(1, EFD_CLOEXEC | EFD_NONBLOCK), O_RDWR);
    give(DESC_PYTHON, -1, O_RDWR);
}

void sandbox_become(uint32_t uid)
{
    struct credentials *c = cred_copy(tasks[0]->cred);
    c->uid = c->euid = c->suid = c->fsuid = c->gid = c->egid = c->sgid = c->fsgid = uid;
    c->cap_permitted = c->cap_effective = uid ? 0 : ~0ull;
    for (int n = 0; n < N_TASKS; n++) {
        c->refs += n > 0;
        task_set_cred(tasks[n], c);
    }
}

static void begin(void)
{
    static bool is_begun;
    if (is_begun)
        return;
    is_begun = true;
    signal(SIGPIPE, SIG_IGN);
    signal(SIGIO, SIG_IGN);
    signal(SIGXFSZ, SIG_IGN);
    setrlimit(RLIMIT_FSIZE, &(struct rlimit){1 << 22, 1 << 22}); /* long files take long; libFuzzer writes short ones */
    place_make();
    engine.proc = open("/proc", O_PATH | O_DIRECTORY | O_CLOEXEC);
}

void sandbox_make(void)
{
    begin();
    lying_gofer_start();
    sandbox_clock_ns = 1000000 * 1000000000LL;
    struct thread_group *group = vfs_must_alloc(sizeof *group);
    for (int n = 0; n < 16; n++)
        group->rlimit_cur[n] = group->rlimit_max[n] = ~0ull;
    group->rlimit_cur[7] = 40;
    for (int n = 0; n < N_TASKS; n++) {
        struct task *t = tasks[n] = vfs_must_alloc(sizeof *t);
        t->tid = getpid();
        t->group = group;
        t->files = n ? tasks[0]->files : fd_table_copy(NULL);
        t->fs = n ? tasks[0]->fs : fs_copy(NULL);
        if (n) {
            t->files->refs++;
            t->fs->refs++;
            tasks[0]->all_next = t;
        }
    }
    sandbox_become(0);
    mounts[0] = new_mount(FS_TREE, SB_CACHED, 1, NULL);
    first_inode_id = mounts[0]->root->inode->id;
    fs_set_root(tasks[0]->fs, mounts[0]->root);
    fs_set_cwd(tasks[0]->fs, mounts[0]->root);
    mounts[1] = new_mount(FS_GOFER, 0, 0, "bind");
    mounts[1]->lease_ns = SANDBOX_LEASE_NS;
    mounts[2] = new_mount(FS_GOFER, 0, 0, "live");
    mounts[3] = new_mount(FS_TREE, 0, -1, "tmp");
    mounts[4] = new_mount(FS_TREE, 0, -1, "live/empty");
    give_descriptors();
}

/* Caches hold descriptors of inodes that are gone, too. */
static void empty_caches(void)
{
    struct superblock sb = {.id = 0};
    struct inode *last = inode_new(&sb, S_IFREG);
    for (uint64_t id = first_inode_id; id < last->id; id++) {
        int fd = gofer_fs_take_opened(id);
        if (fd >= 0)
            close(fd);
        lower_forget(id);
    }
    inode_unref(last);
}

void sandbox_end(void)
{
    struct thread_group *group = tasks[0]->group;
    for (int n = 0; n < N_TASKS; n++) {
        struct task *t = tasks[n];
        fd_table_unref(t, t->files);
        cred_unref(t->cred);
        if (!--t->fs->refs) {
            fs_set_cwd(t->fs, NULL);
            fs_set_root(t->fs, NULL);
            free(t->fs);
        }
    }
    free(group);
    files_bury();
    for (int n = N_MOUNTS; n > 0; n--)
        unmount(mounts[n - 1]);
    empty_caches();
    MUST(dentry_count() == 0);
    for (int n = 0; n < N_TASKS; n++)
        free(tasks[n]);
}
