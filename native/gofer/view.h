/* The host view; see view.c. cffi reads this file, minus the lines that start with '#'. */
#ifndef GOFER_VIEW_H
#define GOFER_VIEW_H

enum gofer_view_kind {
    VIEW_TREE = 0,    /* `fd`: a detached mount */
    VIEW_PROC = 1,    /* the processes of the container */
    VIEW_EMPTY = 2,   /* what is no file of the host: an empty read-only directory stands for it */
    VIEW_DEVICES = 3, /* /dev: the same, with an empty pts in it */
};

struct gofer_view_mount {
    int kind;
    int fd;
    const char *target; /* a path of the container; the first mount is its root, whatever this says */
};

/* Mounts them in their order in the sentry's mount namespace. A target that is not there is left out. 0 or a negative
 * errno; then nothing is mounted. Needs CAP_SYS_ADMIN over both namespaces. */
int gofer_show_view(int mount_namespace, int pid_namespace, const struct gofer_view_mount *mounts, unsigned count);

#endif
