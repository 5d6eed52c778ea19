/* quota: quotactl on file systems that keep none. */
#include "guest.h"

#include <sys/quota.h>

enum { NR_QUOTACTL_FD = 443 };

static long by_descriptor(int fd, int command)
{
    return syscall(NR_QUOTACTL_FD, fd, command, 0, NULL);
}

TEST(quotas_of_devices)
{
    scratch();
    write_file("f", "x");
    CHECK_OK(syscall(SYS_quotactl, QCMD(Q_SYNC, USRQUOTA), NULL, 0, NULL));
    CHECK_ERRNO(syscall(SYS_quotactl, QCMD(Q_SYNC, 3), NULL, 0, NULL), EINVAL);
    CHECK_ERRNO(syscall(SYS_quotactl, QCMD(Q_GETFMT, USRQUOTA), NULL, 0, NULL), ENODEV);
    CHECK_ERRNO(syscall(SYS_quotactl, QCMD(Q_GETFMT, USRQUOTA), "f", 0, NULL), ENOTBLK);
    CHECK_ERRNO(syscall(SYS_quotactl, QCMD(Q_GETFMT, USRQUOTA), "/dev/null", 0, NULL), ENOTBLK);
    CHECK_ERRNO(syscall(SYS_quotactl, QCMD(Q_GETFMT, USRQUOTA), "absent", 0, NULL), ENOENT);
    CHECK_ERRNO(syscall(SYS_quotactl, QCMD(Q_GETFMT, USRQUOTA), (char *)1, 0, NULL), EFAULT);
    CHECK_ERRNO(syscall(SYS_quotactl, QCMD(Q_GETFMT, 99), "f", 0, NULL), EINVAL);
}

TEST(quotas_by_descriptor)
{
    int file = open("/dev/shm", O_RDONLY | O_DIRECTORY), ends[2];
    if (file < 0)
        SKIP("no /dev/shm");
    CHECK_ERRNO(by_descriptor(file, QCMD(Q_GETFMT, USRQUOTA)), ENOSYS);
    CHECK_ERRNO(by_descriptor(file, QCMD(Q_SETINFO, GRPQUOTA)), ENOSYS);
    CHECK_ERRNO(by_descriptor(file, QCMD(0x1234, USRQUOTA)), ENOSYS);
    CHECK_ERRNO(by_descriptor(file, QCMD(Q_GETFMT, 3)), EINVAL);
    CHECK_ERRNO(by_descriptor(999, QCMD(Q_GETFMT, 3)), EBADF);
    CHECK_OK(pipe(ends));
    CHECK_ERRNO(by_descriptor(ends[0], QCMD(Q_GETFMT, USRQUOTA)), ENOSYS);
}
