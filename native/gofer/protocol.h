/*
 * The gofer protocol: what the sentry may ask of the only process that opens host paths.
 *
 * Owns the shape of every message. Does not own how a request is answered (server.c, src/gofer/server.py)
 * nor how a caller waits (client.c). gofer/protocol.py holds the same layouts for Python; a test compares the two.
 *
 * One SOCK_SEQPACKET message is one request or one reply, so a message cannot run into the next. Integers are
 * little-endian, in the host's own layout (x86-64 only). Every message starts with a gofer_header; a reply repeats
 * the id and op of its request and carries a positive errno in `error` (0: the body follows; otherwise no body).
 *
 * Paths are stateless: (tree number, path below that tree's root). No leading or trailing '/', no empty, "." or ".."
 * component, no NUL; the empty path is the tree's root. Symbolic links are never followed: WALK answers with
 * their targets and the sentry goes on from there.
 *
 * cffi reads this file as it is, minus the lines that start with '#'. So: plain structs and enums, no expressions.
 */
#ifndef GOFER_PROTOCOL_H
#define GOFER_PROTOCOL_H

#include <stdint.h>

enum gofer_limits {
    GOFER_PROTOCOL_VERSION = 2,
    GOFER_MESSAGE_MAX = 65536, /* bytes, header included */
    GOFER_PATH_MAX = 4095,     /* bytes, without a NUL */
    GOFER_FDS_MAX = 16         /* descriptors in one reply */
};

enum gofer_op {
    GOFER_HELLO = 1,
    GOFER_WALK = 2,
    GOFER_READDIR = 3,
    GOFER_OPEN = 4,
    GOFER_STATFS = 5,
    GOFER_CREATE = 6,
    GOFER_MKDIR = 7,
    GOFER_SYMLINK = 8,
    GOFER_LINK = 9,
    GOFER_UNLINK = 10,
    GOFER_RMDIR = 11,
    GOFER_RENAME = 12,
    GOFER_MKNOD = 13,
    GOFER_SETATTR = 14,
    GOFER_GETXATTR = 15,
    GOFER_LISTXATTR = 16,
    GOFER_SETXATTR = 17,
    GOFER_REMOVEXATTR = 18,
    GOFER_OPEN_PTY = 19,
    GOFER_OPEN_MANY = 20,
    GOFER_LIST = 21
};

struct gofer_header {
    uint32_t length; /* of the whole message, this header included */
    uint32_t id;     /* chosen by the sentry, repeated in the reply */
    uint16_t op;     /* enum gofer_op */
    uint16_t cpu;    /* request: the sentry's CPU + 1 (0: unknown); a hint for spinning only. Reply: 0 */
    int32_t error;   /* request: 0. Reply: 0 or a positive errno */
};

/* What one inode is. Times are seconds and nanoseconds, as statx(2) has them. */
struct gofer_attr {
    uint64_t ino;
    uint64_t size;   /* bytes */
    uint64_t blocks; /* of 512 bytes */
    uint64_t mount_id;
    uint32_t mode; /* type and permissions, st_mode */
    uint32_t uid;
    uint32_t gid;
    uint32_t nlink;
    uint32_t dev_major;
    uint32_t dev_minor;
    uint32_t rdev_major;
    uint32_t rdev_minor;
    uint32_t blksize;
    uint32_t flags; /* enum gofer_attr_flags */
    int64_t atime_sec;
    int64_t mtime_sec;
    int64_t ctime_sec;
    int64_t btime_sec;
    uint32_t atime_nsec;
    uint32_t mtime_nsec;
    uint32_t ctime_nsec;
    uint32_t btime_nsec;
};

enum gofer_attr_flags {
    GOFER_ATTR_VALID = 1,     /* the other fields mean something (clear only in a directory entry) */
    GOFER_ATTR_BTIME = 2,     /* the filesystem keeps a birth time */
    GOFER_ATTR_MOUNT_ROOT = 4 /* something is mounted here */
};

/* HELLO: must come first. The reply says what is served. */
struct gofer_hello {
    uint32_t version;
    uint32_t reserved;
};

enum gofer_tree_flags {
    GOFER_TREE_WRITABLE = 1,
    GOFER_TREE_IMMUTABLE = 2,
    GOFER_TREE_FILE = 4,
    GOFER_TREE_ONE_OWNER = 8 /* the gofer cannot give files away: all it makes belongs to its own user */
};

/* An owner or group: "whoever makes it", where a request may name one. Ids are the sandbox's; the gofer knows the host's. */
enum gofer_ids { GOFER_NO_ID = 4294967295 };

struct gofer_hello_reply {
    uint32_t version;
    uint32_t message_max;
    uint32_t n_trees; /* so many uint32_t follow: enum gofer_tree_flags of each */
    uint32_t reserved;
};

/* The body of every request that names one path and needs nothing else: RMDIR, UNLINK, STATFS, LISTXATTR. */
struct gofer_path {
    uint32_t tree;
    uint32_t path_len; /* bytes of path that follow the struct, no NUL */
};

/*
 * WALK: attributes of each component of path[base_len..], in one round trip. base_len must end a component: 0, or
 * the whole length (then the one entry answered is the path itself), or be followed by '/'. The base must be
 * a directory without symlinks on the way.
 */
struct gofer_walk {
    uint32_t tree;
    uint32_t path_len;
    uint32_t base_len;
    uint32_t flags; /* enum gofer_walk_flags */
};

/* BASE: the directory's own attributes come before those of the components, and count too. Not with base_len 0 or all.
 * OPEN: if the walk reaches the last component and that is a regular file, a descriptor to read it comes with the reply. Only in a
 * tree that nobody changes (EINVAL). */
enum gofer_walk_flags { GOFER_WALK_BASE = 1, GOFER_WALK_OPEN = 2 };

/*
 * stop: 0 all components answered; ENOENT, EACCES, ...: the component after the last one answered failed so;
 * ELOOP: the last one answered is a symlink, and more components follow it; ENOTDIR: likewise a non-directory;
 * E2BIG: the reply is full, ask again from there.
 * Whenever the last entry is a symlink its target follows the attributes.
 */
struct gofer_walk_reply {
    uint32_t count; /* so many gofer_attr follow */
    uint32_t stop;
    uint32_t target_len; /* then so many bytes */
    uint32_t reserved;
};

/* READDIR: cookie 0 starts; later the reply's next_cookie. "." and ".." are left out. */
struct gofer_readdir {
    uint32_t tree;
    uint32_t path_len;
    uint64_t cookie;
};

struct gofer_readdir_reply {
    uint64_t next_cookie;
    uint32_t count; /* so many gofer_dirent follow */
    uint32_t eof;   /* 1: nothing comes after these */
    struct gofer_attr directory;
};

/* LIST: names, and attributes of directories only: enough for who reads a tree without looking at its files. The request is
 * READDIR's. The reply goes on with a gofer_attr for each of the first entries that are directories ("." and ".." are none),
 * then with the kernel's own records (struct linux_dirent64, "." and ".." among them) to the end of the message. */
struct gofer_list_reply {
    uint64_t next_cookie;
    uint32_t eof;
    uint32_t n_attrs;
};

/* Followed by the name, then the symlink's target, then zeros up to a multiple of 8. */
struct gofer_dirent {
    uint64_t cookie;   /* where READDIR goes on after this entry */
    uint16_t size;     /* of this entry with all that follows it */
    uint16_t name_len; /* no NUL */
    uint16_t target_len;
    uint16_t type; /* DT_*, from the attributes when they are valid */
    struct gofer_attr attr;
};

/*
 * OPEN: O_ACCMODE, O_TRUNC, O_APPEND, O_DIRECTORY, O_NOATIME, O_SYNC, O_DSYNC, O_DIRECT of open(2); others are EINVAL.
 * The reply is a gofer_attr and one descriptor: a regular file or a directory. ELOOP: a symlink; ENXIO: a FIFO,
 * socket or device, which is never opened.
 */
struct gofer_open {
    uint32_t tree;
    uint32_t path_len;
    uint32_t flags;
    uint32_t reserved;
};

/*
 * OPEN_MANY: several regular files of one directory at once, for reading. The
 * path is the directory's; `count` names follow it, each ended by a NUL. The reply: for each name an int32_t, 0 or a positive
 * errno, and a descriptor for each 0, in order.
 */
struct gofer_open_many {
    uint32_t tree;
    uint32_t path_len;
    uint32_t names_len; /* bytes, NULs included */
    uint32_t count;     /* at most GOFER_FDS_MAX */
};

struct gofer_open_many_reply {
    uint32_t count; /* so many int32_t follow */
    uint32_t reserved;
};

struct gofer_statfs_reply {
    uint64_t type; /* f_type, the filesystem's magic number */
    uint64_t block_size;
    uint64_t fragment_size;
    uint64_t blocks;
    uint64_t blocks_free;
    uint64_t blocks_available;
    uint64_t files;
    uint64_t files_free;
    uint64_t fsid;
    uint64_t name_max;
    uint64_t flags; /* ST_* of statvfs(3) */
};

/*
 * CREATE: open(O_CREAT | O_EXCL | flags): EEXIST if there is anything, and then the sentry asks for OPEN.
 * MKDIR and MKNOD (S_IFIFO, S_IFSOCK, S_IFREG, and S_IFCHR for the device 0:0, an overlay's whiteout) leave flags 0. What is
 * made belongs to (uid, gid) if the gofer can give it away. The reply is a gofer_attr (CREATE: and a descriptor).
 */
struct gofer_create {
    uint32_t tree;
    uint32_t path_len;
    uint32_t flags;
    uint32_t mode; /* exactly: the gofer's umask is 0 */
    uint32_t uid;
    uint32_t gid;
};

/* SYMLINK (path, then target), LINK and RENAME (old path, then new path; flags: RENAME_* of renameat2(2)).
 * SYMLINK and LINK reply with a gofer_attr, RENAME with nothing. uid, gid: of a SYMLINK, as CREATE's; else GOFER_NO_ID. */
struct gofer_pair {
    uint32_t tree;
    uint32_t path_len;
    uint32_t second_len;
    uint32_t flags;
    uint32_t uid;
    uint32_t gid;
};

enum gofer_setattr_fields {
    GOFER_SET_MODE = 1,
    GOFER_SET_UID = 2,
    GOFER_SET_GID = 4,
    GOFER_SET_SIZE = 8,
    GOFER_SET_ATIME = 16,
    GOFER_SET_MTIME = 32,
    GOFER_SET_ATIME_NOW = 64,
    GOFER_SET_MTIME_NOW = 128
};

/* SETATTR never follows a symlink. Applied in the order size, owner, mode, times; the first failure ends it.
 * The reply is a gofer_attr. */
struct gofer_setattr {
    uint32_t tree;
    uint32_t path_len;
    uint32_t fields; /* enum gofer_setattr_fields */
    uint32_t mode;
    uint32_t uid;
    uint32_t gid;
    uint64_t size;
    int64_t atime_sec;
    int64_t mtime_sec;
    uint32_t atime_nsec;
    uint32_t mtime_nsec;
};

/* GETXATTR, SETXATTR, REMOVEXATTR: path, then name, then value. Only "user." names may be set or removed,
 * and "security.capability" where root's programs serve root (lockdown.py).
 * GETXATTR replies with the value, LISTXATTR with the names, each ended by NUL. */
struct gofer_xattr {
    uint32_t tree;
    uint32_t path_len;
    uint32_t name_len;
    uint32_t value_len;
    uint32_t flags; /* XATTR_CREATE, XATTR_REPLACE */
    uint32_t reserved;
};

/* OPEN_PTY has no body. The reply is the number below /pts, and two descriptors: master, slave. */
struct gofer_pty_reply {
    uint32_t index;
    uint32_t reserved;
};

#endif
