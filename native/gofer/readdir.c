/*
 * READDIR: a page of names with all that stat and readlink would ask next, so that a listing is one round trip.
 * LIST: names and directories' attributes, since most of the time of READDIR goes to those of files.
 *
 * Owns paging. A listing goes on at a cookie (the kernel's d_off); the descriptor of the last unfinished one is kept,
 * as some file systems number their entries anew for each open.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "server.h"

#define TARGET_MAX 4096

static void forget_listing(struct gofer_listing *listing)
{
    if (listing->fd >= 0)
        close(listing->fd);
    free(listing->path);
    *listing = (struct gofer_listing){.fd = -1};
}

/* Keeps the descriptor of an unfinished listing for its next page; closes it if that can't be. */
static void keep_listing(struct gofer_server *server, uint32_t tree, const struct gofer_request_path *path, uint64_t cookie, int fd)
{
    struct gofer_listing *listing = &server->listing;
    char *copy = malloc((size_t)path->len + 1);

    forget_listing(listing);
    if (!copy) {
        close(fd);
        return;
    }
    memcpy(copy, path->bytes, (size_t)path->len + 1);
    *listing = (struct gofer_listing){.path = copy, .path_len = path->len, .tree = tree, .cookie = cookie, .fd = fd};
}

/* Opens the directory for a listing that starts or goes on at `cookie`. Returns a descriptor or a negative errno. */
static int open_listing(struct gofer_server *server, uint32_t tree, const struct gofer_request_path *path, uint64_t cookie)
{
    struct gofer_listing *kept = &server->listing;
    struct gofer_dir dir;

    if (cookie && kept->fd >= 0 && kept->tree == tree && kept->cookie == cookie && kept->path_len == path->len &&
        memcmp(kept->path, path->bytes, path->len) == 0) {
        int kept_fd = kept->fd;
        kept->fd = -1;
        return kept_fd; /* stands at the cookie already */
    }
    int error = gofer_open_dir(server, tree, path->bytes, path->len, &dir);
    if (error < 0)
        return error;
    int fd = gofer_openat2(dir.fd, ".", O_RDONLY | O_DIRECTORY | O_NONBLOCK, 0);
    gofer_release_dir(&dir);
    if (fd >= 0 && cookie && lseek(fd, (off_t)cookie, SEEK_SET) < 0) {
        error = -errno;
        close(fd);
        return error;
    }
    return fd;
}

struct kernel_dirent {
    uint64_t d_ino;
    int64_t d_off;
    unsigned short d_reclen;
    unsigned char d_type;
    char d_name[];
};

/* Writes one entry, with attributes and target, at `out`. Returns its size, 0 if it is gone or does not fit. */
static uint32_t pack_entry(const struct gofer_server *server, int fd, const struct kernel_dirent *entry, uint8_t *out,
                           uint32_t room, bool *is_full)
{
    struct gofer_dirent packed = {.cookie = (uint64_t)entry->d_off, .type = entry->d_type};
    char target[TARGET_MAX];
    size_t name_len = strlen(entry->d_name);
    ssize_t target_len = 0;
    size_t size = (sizeof(packed) + name_len + 7) & ~(size_t)7;

    /* Before asking for attributes: what does not fit is asked for again in the next page. */
    if (size > room) {
        *is_full = true;
        return 0;
    }
    int error = gofer_attr_at(server, fd, entry->d_name, &packed.attr);
    if (error == -ENOENT)
        return 0;
    if (error < 0)
        packed.attr = (struct gofer_attr){0};
    else
        packed.type = (uint16_t)((packed.attr.mode & S_IFMT) >> 12);
    if (packed.type == DT_LNK && error == 0) {
        target_len = readlinkat(fd, entry->d_name, target, sizeof(target));
        if (target_len < 0) {
            /* Replaced meanwhile, so nothing is known of it but the name: the sentry will walk to it. */
            packed.attr = (struct gofer_attr){0};
            target_len = 0;
        }
    }
    size = (sizeof(packed) + name_len + (size_t)target_len + 7) & ~(size_t)7;
    if (size > room) {
        *is_full = true;
        return 0;
    }
    packed.size = (uint16_t)size;
    packed.name_len = (uint16_t)name_len;
    packed.target_len = (uint16_t)target_len;
    memset(out + size - 8, 0, 8); /* the padding: what the caller's buffer held before stays here */
    memcpy(out, &packed, sizeof(packed));
    memcpy(out + sizeof(packed), entry->d_name, name_len);
    memcpy(out + sizeof(packed) + name_len, target, (size_t)target_len);
    return (uint32_t)size;
}

static bool is_dot(const char *name)
{
    return name[0] == '.' && (name[1] == '\0' || (name[1] == '.' && name[2] == '\0'));
}

int gofer_answer_readdir(struct gofer_server *server, const unsigned char *body, uint32_t body_len,
                          unsigned char *reply, uint32_t cap)
{
    struct gofer_readdir request;
    struct gofer_request_path path;
    _Alignas(8) char raw[16384];
    struct gofer_readdir_reply head = {0};
    uint32_t used = sizeof(head);
    bool is_full = false;

    GOFER_TAKE(request, path, body, body_len);
    int fd = open_listing(server, request.tree, &path, request.cookie);
    if (fd < 0)
        return fd;
    int error = gofer_attr_at(server, fd, "", &head.directory);
    head.next_cookie = request.cookie;
    while (error == 0 && !is_full && !head.eof) {
        long got = syscall(SYS_getdents64, fd, raw, sizeof(raw));
        if (got < 0)
            error = -errno;
        head.eof = got == 0;
        for (long at = 0; at < got;) {
            const struct kernel_dirent *entry = (const void *)(raw + at);
            if (!is_dot(entry->d_name)) {
                uint32_t size = pack_entry(server, fd, entry, reply + used, cap - used, &is_full);
                if (is_full)
                    break;
                used += size;
                head.count += size > 0;
            }
            head.next_cookie = (uint64_t)entry->d_off;
            at += entry->d_reclen;
        }
    }
    /* The kernel is ahead of what was packed. */
    if (error == 0 && is_full && lseek(fd, (off_t)head.next_cookie, SEEK_SET) < 0)
        error = -errno;
    if (error == 0 && is_full)
        keep_listing(server, request.tree, &path, head.next_cookie, fd);
    else
        close(fd);
    if (error < 0)
        return error;
    memcpy(reply, &head, sizeof(head));
    return (int)used;
}

#define RECORDS_MAX 24576 /* bytes of records in one LIST: leaves room for the attributes of 340 directories */

/* Where the listing goes on after these records. */
static uint64_t last_cookie(const unsigned char *at, const unsigned char *end)
{
    const struct kernel_dirent *entry = NULL;

    for (; at < end; at += entry->d_reclen)
        entry = (const void *)at;
    return (uint64_t)entry->d_off;
}

/* Attributes of the directories among the records, as many as fit. What cannot be looked at is not GOFER_ATTR_VALID. */
static uint32_t directory_attrs(const struct gofer_server *server, int fd, const unsigned char *at,
                                const unsigned char *end, unsigned char *out, uint32_t room)
{
    const struct kernel_dirent *entry;
    struct gofer_attr attr;
    uint32_t count = 0;

    for (; at < end && (count + 1) * sizeof(attr) <= room; at += entry->d_reclen) {
        entry = (const void *)at;
        if (entry->d_type != DT_DIR || is_dot(entry->d_name))
            continue;
        if (gofer_attr_at(server, fd, entry->d_name, &attr) < 0 || !S_ISDIR(attr.mode))
            attr = (struct gofer_attr){0};
        memcpy(out + count++ * sizeof(attr), &attr, sizeof(attr));
    }
    return count;
}

int gofer_answer_list(struct gofer_server *server, const unsigned char *body, uint32_t body_len, unsigned char *reply,
                      uint32_t cap)
{
    struct gofer_readdir request;
    struct gofer_request_path path;
    struct gofer_list_reply head = {0};
    _Alignas(8) unsigned char records[RECORDS_MAX];
    uint32_t used = 0;
    int error = 0;

    GOFER_TAKE(request, path, body, body_len);
    int fd = open_listing(server, request.tree, &path, request.cookie);
    if (fd < 0)
        return fd;
    for (;;) {
        long got = syscall(SYS_getdents64, fd, records + used, sizeof(records) - used);
        if (got <= 0) {
            /* EINVAL: the next one does not fit. It waits for the next page. */
            error = got < 0 && (errno != EINVAL || !used) ? -errno : 0;
            head.eof = got == 0;
            break;
        }
        head.next_cookie = last_cookie(records + used, records + used + got);
        used += (uint32_t)got;
    }
    uint32_t size = sizeof(head);
    if (error == 0) {
        head.n_attrs = directory_attrs(server, fd, records, records + used, reply + size, cap - size - used);
        size += head.n_attrs * (uint32_t)sizeof(struct gofer_attr);
    }
    if (error == 0 && !head.eof)
        keep_listing(server, request.tree, &path, head.next_cookie, fd);
    else
        close(fd);
    memcpy(reply, &head, sizeof(head));
    memcpy(reply + size, records, used);
    return error < 0 ? error : (int)(size + used);
}
