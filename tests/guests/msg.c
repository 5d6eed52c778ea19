/* msg: System V message queues: order and types, waiting, limits, removal, permissions, status. */
#include "guest.h"

#include <grp.h>
#include <sys/ipc.h>
#include <sys/msg.h>

#ifndef MSG_COPY
#define MSG_COPY 040000
#endif

struct message {
    long type;
    char text[8192];
};

static int new_queue(void)
{
    int id = msgget(IPC_PRIVATE, IPC_CREAT | 0600);
    REQUIRE(id >= 0);
    return id;
}

static int put(int id, long type, const char *text, int flags)
{
    struct message message = {.type = type};
    strcpy(message.text, text);
    return msgsnd(id, &message, strlen(text), flags);
}

/* The text of the message, or the name of the errno. */
static const char *get(int id, long type, int flags)
{
    static struct message message;
    memset(&message, 0, sizeof message);
    ssize_t size = msgrcv(id, &message, sizeof message.text, type, flags);
    return size < 0 ? strerrorname_np(errno) : message.text;
}

static struct msqid_ds status_of(int id)
{
    struct msqid_ds status;
    memset(&status, 0xa5, sizeof status);
    REQUIRE_OK(msgctl(id, IPC_STAT, &status));
    return status;
}

TEST(order_and_types)
{
    int id = new_queue();
    CHECK_OK(put(id, 5, "five", 0));
    CHECK_OK(put(id, 3, "three", 0));
    CHECK_OK(put(id, 4, "four", 0));
    CHECK_OK(put(id, 3, "three again", 0));
    CHECK_STR(get(id, 3, 0), "three");
    CHECK_STR(get(id, 9, IPC_NOWAIT), "ENOMSG");
    CHECK_STR(get(id, -4, 0), "three again"); /* the least of those up to 4 */
    CHECK_STR(get(id, -2, IPC_NOWAIT), "ENOMSG");
    CHECK_STR(get(id, 5, MSG_EXCEPT), "four");
    CHECK_STR(get(id, 5, MSG_EXCEPT | IPC_NOWAIT), "ENOMSG");
    CHECK_STR(get(id, 0, 0), "five");
    CHECK_STR(get(id, 0, IPC_NOWAIT), "ENOMSG");
    CHECK_OK(msgctl(id, IPC_RMID, NULL));
    CHECK_ERRNO(put(id, 1, "x", 0), EINVAL);
}

TEST(sizes)
{
    int id = new_queue();
    struct message message = {.type = 1};
    CHECK_OK(put(id, 1, "0123456789", 0));
    CHECK_ERRNO(msgrcv(id, &message, 5, 0, 0), E2BIG);
    CHECK_EQ(status_of(id).msg_qnum, 1);
    CHECK_EQ(msgrcv(id, &message, 5, 0, MSG_NOERROR), 5);
    CHECK_EQ(memcmp(message.text, "01234", 5), 0);
    CHECK_EQ(status_of(id).msg_qnum, 0);
    CHECK_OK(put(id, 1, "", 0));
    CHECK_EQ(msgrcv(id, &message, 0, 0, 0), 0);
    CHECK_ERRNO(put(id, 0, "x", 0), EINVAL);
    CHECK_ERRNO(put(id, -1, "x", 0), EINVAL);
    CHECK_ERRNO(msgsnd(id, &message, 1 << 30, 0), EINVAL);
    CHECK_ERRNO(msgsnd(id, &message, (size_t)-1, 0), EINVAL);
    CHECK_ERRNO(msgrcv(id, &message, (size_t)-1, 0, IPC_NOWAIT), EINVAL);
    CHECK_ERRNO(msgsnd(id, bad_address, 1, 0), EFAULT);
    CHECK_ERRNO(msgrcv(-1, &message, 1, 0, IPC_NOWAIT), EINVAL);
    CHECK_OK(msgctl(id, IPC_RMID, NULL));
}

TEST(a_copy_by_index)
{
    int id = new_queue();
    if (get(id, 0, MSG_COPY | IPC_NOWAIT)[0] != 'E' || errno == ENOSYS)
        SKIP("a kernel without CONFIG_CHECKPOINT_RESTORE");
    CHECK_OK(put(id, 7, "first", 0));
    CHECK_OK(put(id, 8, "second", 0));
    CHECK_STR(get(id, 1, MSG_COPY | IPC_NOWAIT), "second");
    CHECK_STR(get(id, 2, MSG_COPY | IPC_NOWAIT), "ENOMSG");
    CHECK_STR(get(id, 0, MSG_COPY), "EINVAL");
    CHECK_STR(get(id, 0, MSG_COPY | MSG_EXCEPT | IPC_NOWAIT), "EINVAL");
    CHECK_EQ(status_of(id).msg_qnum, 2);
    CHECK_OK(msgctl(id, IPC_RMID, NULL));
}

TEST(a_full_queue)
{
    int id = new_queue();
    struct msqid_ds status = status_of(id);
    CHECK(status.msg_qbytes >= 8192);
    status.msg_qbytes = 10;
    CHECK_OK(msgctl(id, IPC_SET, &status));
    CHECK_OK(put(id, 1, "12345", 0));
    CHECK_OK(put(id, 1, "6789", 0));
    CHECK_ERRNO(put(id, 1, "ab", IPC_NOWAIT), EAGAIN);
    CHECK_OK(put(id, 1, "c", IPC_NOWAIT));
    CHECK_EQ(status_of(id).__msg_cbytes, 10);
    pid_t pid = fork_child();
    if (pid == 0) {
        CHECK_OK(put(id, 2, "late", 0));
        guest_finish();
    }
    wait_for_state(pid, 'S');
    CHECK_EQ(status_of(id).msg_qnum, 3);
    CHECK_STR(get(id, 0, 0), "12345");
    CHECK_CHILD(pid);
    CHECK_STR(get(id, 2, IPC_NOWAIT), "late");
    CHECK_EQ(status_of(id).msg_lspid, pid);
    CHECK_OK(msgctl(id, IPC_RMID, NULL));
}

TEST(waits_for_its_type)
{
    int id = new_queue();
    pid_t pid = fork_child();
    if (pid == 0) {
        CHECK_STR(get(id, 3, 0), "three");
        guest_finish();
    }
    wait_for_state(pid, 'S');
    CHECK_OK(put(id, 2, "two", 0));
    CHECK_OK(put(id, 3, "three", 0));
    CHECK_CHILD(pid);
    struct msqid_ds status = status_of(id);
    CHECK_EQ(status.msg_qnum, 1);
    CHECK_EQ(status.msg_lrpid, pid);
    CHECK_EQ(status.msg_lspid, getpid());
    CHECK(status.msg_stime != 0 && status.msg_rtime != 0);
    CHECK_OK(msgctl(id, IPC_RMID, NULL));
}

TEST(removal_ends_waits)
{
    int id = new_queue();
    pid_t pid = fork_child();
    if (pid == 0) {
        CHECK_STR(get(id, 0, 0), "EIDRM");
        guest_finish();
    }
    wait_for_state(pid, 'S');
    CHECK_OK(msgctl(id, IPC_RMID, NULL));
    CHECK_CHILD(pid);
}

static void ignore(int sig)
{
    (void)sig;
}

TEST(a_signal_ends_a_wait)
{
    int id = new_queue();
    pid_t pid = fork_child();
    if (pid == 0) {
        handle_signal(SIGUSR1, ignore, SA_RESTART);
        CHECK_STR(get(id, 0, 0), "EINTR");
        guest_finish();
    }
    wait_for_state(pid, 'S');
    CHECK_OK(kill(pid, SIGUSR1));
    CHECK_CHILD(pid);
    pid = fork_child();
    if (pid == 0) {
        CHECK_STR(get(id, 0, 0), "after the stop");
        guest_finish();
    }
    wait_for_state(pid, 'S');
    CHECK_OK(kill(pid, SIGSTOP));
    wait_for_state(pid, 'T');
    CHECK_OK(kill(pid, SIGCONT));
    CHECK_OK(put(id, 1, "after the stop", 0));
    CHECK_CHILD(pid);
    CHECK_OK(msgctl(id, IPC_RMID, NULL));
}

TEST(keys_status_and_lists)
{
    key_t key = (key_t)(0x70000000 | (getpid() & 0xffff) << 8);
    CHECK_ERRNO(msgget(key, 0600), ENOENT);
    int id = msgget(key, IPC_CREAT | IPC_EXCL | 0640);
    REQUIRE(id >= 0);
    CHECK_EQ(msgget(key, 0), id);
    CHECK_ERRNO(msgget(key, IPC_CREAT | IPC_EXCL | 0600), EEXIST);
    struct msqid_ds status = status_of(id);
    CHECK_EQ(status.msg_perm.mode, 0640);
    CHECK_EQ(status.msg_perm.__key, key);
    CHECK_EQ(status.msg_qnum, 0);
    CHECK_EQ(status.msg_stime, 0);
    CHECK_OK(put(id, 1, "abc", 0));
    char text[1 << 14], wanted[96];
    REQUIRE(read_file("/proc/sysvipc/msg", text, sizeof text) > 0);
    snprintf(wanted, sizeof wanted, "%10d %10d   640  %10d %10d %5d ", key, id, 3, 1, getpid());
    CHECK(strstr(text, wanted) != NULL);
    struct msginfo info;
    int highest = msgctl(0, MSG_INFO, (struct msqid_ds *)&info);
    CHECK(highest >= 0);
    CHECK(info.msgpool >= 1 && info.msgmap >= 1 && info.msgtql >= 3);
    bool is_found = false;
    for (int index = 0; index <= highest; index++)
        is_found |= msgctl(index, MSG_STAT, &status) == id;
    CHECK(is_found);
    CHECK(msgctl(0, IPC_INFO, (struct msqid_ds *)&info) >= 0);
    CHECK(read_file("/proc/sys/kernel/msgmax", text, sizeof text) > 0);
    CHECK_EQ(atoi(text), info.msgmax);
    CHECK_ERRNO(msgctl(id, 99, &status), EINVAL);
    CHECK_ERRNO(msgctl(id, IPC_STAT, bad_address), EFAULT);
    CHECK_OK(msgctl(id, IPC_RMID, NULL));
    CHECK_ERRNO(msgctl(id, IPC_STAT, &status), EINVAL);
}

TEST(permissions)
{
    if (getuid() != 0)
        SKIP("two users are needed");
    int id = msgget(IPC_PRIVATE, IPC_CREAT | 0602);
    pid_t pid = fork_child();
    if (pid == 0) {
        REQUIRE_OK(setgroups(0, NULL)); /* a login's root is in group 0 by these, too */
        REQUIRE_OK(setresgid(4321, 4321, 4321));
        REQUIRE_OK(setresuid(4321, 4321, 4321));
        struct msqid_ds status;
        CHECK_OK(put(id, 1, "may", 0));
        CHECK_STR(get(id, 0, IPC_NOWAIT), "EACCES");
        CHECK_ERRNO(msgctl(id, IPC_STAT, &status), EACCES);
        CHECK_ERRNO(msgctl(id, IPC_RMID, NULL), EPERM);
        guest_finish();
    }
    CHECK_CHILD(pid);
    CHECK_STR(get(id, 0, IPC_NOWAIT), "may");
    CHECK_OK(msgctl(id, IPC_RMID, NULL));
}
