"""Files: path walk, mounts, permissions, and the file systems in filesystems/.

Read in this order: dentry.py (names and inodes), filesystem.py (what a file system does), filesystems/tree.py (the one
that matters), walk.py, permissions.py, namei.py (what changes names), open.py, mounts.py. The state is in C structs
(native/sentry.h): dentries, inodes, superblocks.
"""
