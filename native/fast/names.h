/* names.h - what names.c and rename.c share. */
#ifndef PYSENTRY_NAMES_H
#define PYSENTRY_NAMES_H

#include "fast.h"

/* The root of a mount, or one is mounted on it. */
bool is_busy(const struct dentry *d);

/* filename_create(): the walk to a name that must not exist. 0: may be made, permission apart. */
int find_new(struct task *t, int dirfd, const char *name, bool is_dir, struct vfs_path *path);

/* An inode has one name less. */
void lost_a_name(struct inode *i);

/* 0: no name in it; -ENOTEMPTY. A lower directory is listed first. */
int is_empty(struct dentry *dir);

#endif
