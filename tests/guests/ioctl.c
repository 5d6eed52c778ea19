/* ioctl: requests of terminals, files and sockets, each with what it does. Line discipline and job control are in tty.c. */
#include "guest.h"

#include <asm/termbits.h>
#include <linux/fs.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <netinet/in.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

/* <termios.h> and <asm/termbits.h> do not go together: openpty() by hand. */
static void open_pair(int *master, int *slave)
{
    int unlocked = 0, number;
    char name[32];
    REQUIRE_OK(*master = open("/dev/ptmx", O_RDWR | O_NOCTTY));
    REQUIRE_OK(ioctl(*master, TIOCSPTLCK, &unlocked));
    REQUIRE_OK(ioctl(*master, TIOCGPTN, &number));
    snprintf(name, sizeof name, "/dev/pts/%d", number);
    REQUIRE_OK(*slave = open(name, O_RDWR | O_NOCTTY));
}

static void send_a_byte(int master, int slave)
{
    struct pollfd item = {slave, POLLIN, 0};
    CHECK_EQ(write(master, "x", 1), 1);
    CHECK_EQ(poll(&item, 1, -1), 1); /* it comes a moment later */
}

static void read_bytes_not_lines(int slave)
{
    struct termios modes;
    REQUIRE_OK(ioctl(slave, TCGETS, &modes));
    modes.c_lflag &= ~(tcflag_t)ICANON;
    REQUIRE_OK(ioctl(slave, TCSETS, &modes));
}

static int readable(int fd)
{
    struct pollfd item = {fd, POLLIN, 0};
    return poll(&item, 1, 0);
}

/* ---- terminals --------------------------------------------------------------------------------------------------- */

TEST(modes_by_each_request)
{
    static const struct {
        unsigned long get, set;
        bool flushes;
    } requests[] = {
        {TCGETS, TCSETS, false},   {TCGETS, TCSETSW, false},   {TCGETS, TCSETSF, true},   {TCGETS2, TCSETS2, false},
        {TCGETS2, TCSETSW2, false}, {TCGETS2, TCSETSF2, true},
    };
    int master, slave;
    open_pair(&master, &slave);
    read_bytes_not_lines(slave);
    for (size_t i = 0; i < sizeof requests / sizeof *requests; i++) {
        size_t size = requests[i].get == TCGETS ? sizeof(struct termios) : sizeof(struct termios2);
        struct termios2 modes = {0}, again = {0};
        void *buffer = guarded(size);
        CHECK_OK(ioctl(slave, requests[i].get, buffer));
        memcpy(&modes, buffer, size);
        CHECK_EQ(modes.c_line, 0);
        modes.c_lflag = i % 2 ? ISIG : ISIG | ECHO; /* not by line */
        modes.c_cc[VINTR] = (cc_t)(10 + i);
        memcpy(buffer, &modes, size);
        send_a_byte(master, slave); /* for who takes it away */
        CHECK_OK(ioctl(slave, requests[i].set, buffer));
        CHECK_OK(ioctl(master, TCGETS2, &again)); /* the other end speaks of the same */
        CHECK_EQ(again.c_lflag, modes.c_lflag);
        CHECK_EQ(again.c_cc[VINTR], 10 + i);
        if (requests[i].flushes)
            CHECK_EQ(readable(slave), 0);
        CHECK_ERRNO(ioctl(slave, requests[i].get, bad_address), EFAULT);
        CHECK_ERRNO(ioctl(slave, requests[i].set, bad_address), EFAULT);
        CHECK_OK(ioctl(slave, TCFLSH, TCIOFLUSH));
    }
    struct termios2 modes;
    CHECK_OK(ioctl(slave, TCGETS2, &modes));
    modes.c_cflag = (modes.c_cflag & ~(tcflag_t)CBAUD) | BOTHER; /* a speed of one's own is what the newer ones are for */
    modes.c_ospeed = 12345;
    CHECK_OK(ioctl(slave, TCSETS2, &modes));
    modes.c_ospeed = 0;
    CHECK_OK(ioctl(slave, TCGETS2, &modes));
    CHECK_EQ(modes.c_ospeed, 12345);
}

TEST(modes_by_the_oldest_requests)
{
    static const unsigned long sets[] = {TCSETA, TCSETAW, TCSETAF};
    int master, slave;
    open_pair(&master, &slave);
    read_bytes_not_lines(slave);
    for (size_t i = 0; i < sizeof sets / sizeof *sets; i++) {
        struct termio *old = guarded(sizeof *old);
        struct termios now;
        CHECK_OK(ioctl(slave, TCGETA, old));
        old->c_lflag = i % 2 ? ISIG : ISIG | ECHO;
        old->c_cc[VINTR] = (unsigned char)(20 + i);
        send_a_byte(master, slave);
        CHECK_OK(ioctl(slave, sets[i], old));
        CHECK_OK(ioctl(slave, TCGETS, &now));
        CHECK_EQ(now.c_lflag, i % 2 ? ISIG : ISIG | ECHO);
        CHECK_EQ(now.c_cc[VINTR], 20 + i);
        if (sets[i] == TCSETAF)
            CHECK_EQ(readable(slave), 0);
        CHECK_ERRNO(ioctl(slave, TCGETA, bad_address), EFAULT);
        CHECK_ERRNO(ioctl(slave, sets[i], bad_address), EFAULT);
        CHECK_OK(ioctl(slave, TCFLSH, TCIFLUSH));
    }
}

TEST(output_is_stopped_and_goes_on)
{
    int master, slave, count = -1;
    open_pair(&master, &slave);
    CHECK_OK(fcntl(slave, F_SETFL, O_NONBLOCK));
    CHECK_OK(ioctl(slave, TCXONC, TCOOFF));
    CHECK_ERRNO(write(slave, "held", 4), EAGAIN);
    CHECK_EQ(readable(master), 0);
    CHECK_OK(ioctl(slave, TCXONC, TCOON));
    CHECK_EQ(write(slave, "held", 4), 4);
    struct pollfd item = {master, POLLIN, 0};
    CHECK_EQ(poll(&item, 1, -1), 1);
    CHECK_OK(ioctl(master, FIONREAD, &count));
    CHECK_EQ(count, 4);
    CHECK_OK(ioctl(slave, TCXONC, TCION)); /* a START to the other side */
    CHECK_ERRNO(ioctl(slave, TCXONC, 99), EINVAL);
    CHECK_ERRNO(ioctl(slave, TCFLSH, 99), EINVAL);
    count = -1;
    CHECK_OK(ioctl(slave, TIOCOUTQ, &count)); /* a pty holds nothing back */
    CHECK_EQ(count, 0);
    CHECK_ERRNO(ioctl(slave, TIOCOUTQ, bad_address), EFAULT);
    CHECK_OK(ioctl(slave, TCSBRK, 1)); /* tcdrain() */
    CHECK_OK(ioctl(slave, TCSBRKP, 1)); /* a break; no line to send it on */
}

TEST(packet_mode)
{
    int master, slave, on = 1, off = 0, value = -1;
    open_pair(&master, &slave);
    CHECK_OK(ioctl(master, TIOCPKT, &on));
    CHECK_OK(ioctl(master, TIOCGPKT, &value));
    CHECK_EQ(value, 1);
    CHECK_EQ(write(slave, "data", 4), 4);
    struct pollfd item = {master, POLLIN, 0};
    CHECK_EQ(poll(&item, 1, -1), 1);
    char *buffer = guarded(5);
    CHECK_EQ(read(master, buffer, 5), 5); /* says first what follows */
    CHECK_EQ(buffer[0], TIOCPKT_DATA);
    CHECK(memcmp(buffer + 1, "data", 4) == 0);
    CHECK_OK(ioctl(slave, TCFLSH, TCOFLUSH));
    item.events = POLLPRI;
    CHECK_EQ(poll(&item, 1, -1), 1);
    CHECK_EQ(read(master, buffer, 5), 1);
    CHECK_EQ(buffer[0], TIOCPKT_FLUSHWRITE);
    CHECK_OK(ioctl(master, TIOCPKT, &off));
    CHECK_OK(ioctl(master, TIOCGPKT, &value));
    CHECK_EQ(value, 0);
    CHECK_ERRNO(ioctl(slave, TIOCPKT, &on), ENOTTY); /* the other end has no such mode */
    CHECK_ERRNO(ioctl(master, TIOCPKT, bad_address), EFAULT);
}

TEST(locks_and_exclusive_use)
{
    int master, slave, value = -1, locked = 1, number;
    char name[32];
    open_pair(&master, &slave);
    CHECK_OK(ioctl(master, TIOCGPTN, &number));
    snprintf(name, sizeof name, "/dev/pts/%d", number);
    CHECK_OK(ioctl(master, TIOCGPTLCK, &value));
    CHECK_EQ(value, 0);
    CHECK_OK(ioctl(master, TIOCSPTLCK, &locked));
    CHECK_OK(ioctl(master, TIOCGPTLCK, &value));
    CHECK_EQ(value, 1);
    CHECK_ERRNO(open(name, O_RDWR | O_NOCTTY), EIO);
    locked = 0;
    CHECK_OK(ioctl(master, TIOCSPTLCK, &locked));
    CHECK_ERRNO(ioctl(slave, TIOCGPTLCK, &value), ENOTTY);

    CHECK_OK(ioctl(slave, TIOCGEXCL, &value));
    CHECK_EQ(value, 0);
    CHECK_OK(ioctl(slave, TIOCEXCL));
    CHECK_OK(ioctl(slave, TIOCGEXCL, &value));
    CHECK_EQ(value, 1);
    pid_t pid = fork_child();
    if (pid == 0) { /* CAP_SYS_ADMIN opens it all the same */
        if (geteuid() == 0)
            REQUIRE_OK(setresuid(1000, 1000, 1000));
        int fd = open(name, O_RDWR | O_NOCTTY);
        CHECK(fd == -1 && (errno == EBUSY || errno == EACCES)); /* EACCES: root's terminal */
        guest_finish();
    }
    CHECK_CHILD(pid);
    CHECK_OK(ioctl(slave, TIOCNXCL));
    CHECK_OK(ioctl(slave, TIOCGEXCL, &value));
    CHECK_EQ(value, 0);
    CHECK_OK(open(name, O_RDWR | O_NOCTTY));
}

TEST(disciplines_and_injected_input)
{
    int master, slave, value = -1;
    open_pair(&master, &slave);
    CHECK_OK(ioctl(slave, TIOCGETD, &value));
    CHECK_EQ(value, 0); /* N_TTY */
    CHECK_ERRNO(ioctl(slave, TIOCGETD, bad_address), EFAULT);
    CHECK_OK(ioctl(slave, TIOCSETD, &value));
    value = 77;
    CHECK_ERRNO(ioctl(slave, TIOCSETD, &value), EINVAL);
    CHECK_ERRNO(ioctl(slave, TIOCLINUX, "\2"), ENOTTY); /* a virtual console's */
    if (geteuid() == 0)
        REQUIRE_OK(setresuid(1000, 1000, 1000));
    errno = 0; /* not one's controlling terminal; and nobody's where legacy_tiocsti is 0 */
    CHECK(ioctl(slave, TIOCSTI, "x") == -1 && (errno == EPERM || errno == EIO));
    CHECK_EQ(readable(slave), 0);
}

/* ---- every descriptor, files ----------------------------------------------------------------------------------------- */

TEST(requests_of_every_descriptor)
{
    int ends[2], pair[2], on = 1, off = 0, master, slave;
    scratch();
    write_file("file", "0123456789");
    REQUIRE_OK(pipe(ends));
    REQUIRE_OK(socketpair(AF_UNIX, SOCK_STREAM, 0, pair));
    open_pair(&master, &slave);
    const int fds[] = {open("file", O_RDWR), open(".", O_RDONLY), ends[0], pair[0], slave, open("/dev/null", O_RDWR)};
    for (size_t i = 0; i < sizeof fds / sizeof *fds; i++) {
        CHECK_OK(ioctl(fds[i], FIOCLEX));
        CHECK_EQ(fcntl(fds[i], F_GETFD), FD_CLOEXEC);
        CHECK_OK(ioctl(fds[i], FIONCLEX));
        CHECK_EQ(fcntl(fds[i], F_GETFD), 0);
        CHECK_OK(ioctl(fds[i], FIONBIO, &on));
        CHECK_EQ(fcntl(fds[i], F_GETFL) & O_NONBLOCK, O_NONBLOCK);
        CHECK_OK(ioctl(fds[i], FIONBIO, &off));
        CHECK_EQ(fcntl(fds[i], F_GETFL) & O_NONBLOCK, 0);
        CHECK_ERRNO(ioctl(fds[i], FIONBIO, bad_address), EFAULT);
        CHECK_ERRNO(ioctl(fds[i], 0xabcdef, &on), ENOTTY);
    }
    static const unsigned long requests[] = {FIOCLEX, FIONCLEX, FIONBIO, FIOQSIZE, TCGETS, SIOCATMARK, FS_IOC_GETFLAGS, 0xabcdef};
    for (size_t i = 0; i < sizeof requests / sizeof *requests; i++) {
        CHECK_ERRNO(ioctl(999, requests[i], &on), EBADF);
        CHECK_ERRNO(ioctl(open("file", O_PATH), requests[i], &on), EBADF);
    }
}

TEST(sizes_of_what_is_open)
{
    int64_t *size = guarded(sizeof *size);
    int ends[2];
    scratch();
    write_file("file", "0123456789");
    REQUIRE_OK(pipe(ends));
    const int fds[] = {open("file", O_RDWR), open(".", O_RDONLY)};
    for (size_t i = 0; i < sizeof fds / sizeof *fds; i++) {
        struct stat status;
        REQUIRE_OK(fsync(fds[i])); /* ext4 chooses the blocks late */
        REQUIRE_OK(fstat(fds[i], &status));
        CHECK_OK(ioctl(fds[i], FIOQSIZE, size)); /* what it occupies, despite the name */
        CHECK_EQ(*size, status.st_blocks * 512);
    }
    CHECK_ERRNO(ioctl(ends[0], FIOQSIZE, size), ENOTTY);
    CHECK_ERRNO(ioctl(open("/dev/null", O_RDONLY), FIOQSIZE, size), ENOTTY);
    CHECK_ERRNO(ioctl(open("file", O_RDONLY), FIOQSIZE, bad_address), EFAULT);
}

TEST(clones)
{
    /* No extents are shared where scratch files are, on ext4 or in memory. */
    scratch();
    write_file("from", "0123456789");
    int from = open("from", O_RDONLY), to = open("to", O_RDWR | O_CREAT, 0600), ends[2];
    struct file_clone_range range = {.src_fd = from, .src_length = 10};
    REQUIRE_OK(pipe(ends));
    if (ioctl(to, FICLONE, from) == 0)
        SKIP("this file system has reflinks");
    CHECK_EQ(errno, EOPNOTSUPP);
    CHECK_ERRNO(ioctl(to, FICLONERANGE, &range), EOPNOTSUPP);
    CHECK_ERRNO(ioctl(to, FICLONERANGE, bad_address), EFAULT);
    range.src_fd = 1L << 40 | 999; /* no more than 32 bits of it count */
    CHECK_ERRNO(ioctl(to, FICLONERANGE, &range), EBADF);
    CHECK_ERRNO(ioctl(to, FICLONE, 999), EBADF);
    CHECK_ERRNO(ioctl(to, FICLONE, -1), EBADF);
    range.src_fd = -1;
    CHECK_ERRNO(ioctl(to, FICLONERANGE, &range), EBADF);
    struct stat status;
    CHECK_OK(fstat(to, &status));
    CHECK_EQ(status.st_size, 0);
}

TEST(flags_of_files)
{
    int ends[2], flags = -1;
    scratch();
    write_file("file", "");
    int fd = open("file", O_RDWR);
    REQUIRE_OK(pipe(ends));
    CHECK_ERRNO(ioctl(ends[0], FS_IOC_GETFLAGS, &flags), ENOTTY);
    CHECK_ERRNO(ioctl(ends[0], FS_IOC_SETFLAGS, &flags), ENOTTY);
    if (ioctl(fd, FS_IOC_GETFLAGS, &flags) == -1) {
        CHECK_EQ(errno, ENOTTY); /* a file system without them */
        CHECK_ERRNO(ioctl(fd, FS_IOC_SETFLAGS, &flags), ENOTTY);
        return;
    }
    CHECK_EQ(flags & (FS_IMMUTABLE_FL | FS_APPEND_FL), 0);
    CHECK_ERRNO(ioctl(fd, FS_IOC_GETFLAGS, bad_address), EFAULT);
    errno = 0; /* what they are already; where they cannot be set at all, it says so */
    CHECK(ioctl(fd, FS_IOC_SETFLAGS, &flags) == 0 || errno == ENOTTY || errno == EOPNOTSUPP);
}

/* ---- sockets ---------------------------------------------------------------------------------------------------------- */

TEST(the_urgent_mark)
{
    int server = socket(AF_INET, SOCK_STREAM, 0), client = socket(AF_INET, SOCK_STREAM, 0), at_mark = -1;
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof address;
    REQUIRE_OK(bind(server, (struct sockaddr *)&address, length));
    REQUIRE_OK(listen(server, 1));
    REQUIRE_OK(getsockname(server, (struct sockaddr *)&address, &length));
    REQUIRE_OK(connect(client, (struct sockaddr *)&address, length));
    int connection = accept(server, NULL, NULL);
    CHECK_OK(ioctl(connection, SIOCATMARK, &at_mark));
    CHECK_EQ(at_mark, 0);
    CHECK_EQ(send(client, "xu", 2, MSG_OOB), 2);
    struct pollfd item = {connection, POLLPRI, 0};
    CHECK_EQ(poll(&item, 1, -1), 1);
    CHECK_OK(ioctl(connection, SIOCATMARK, &at_mark));
    CHECK_EQ(at_mark, 0); /* the x comes first */
    char byte;
    CHECK_EQ(recv(connection, &byte, 1, 0), 1);
    CHECK_OK(ioctl(connection, SIOCATMARK, &at_mark));
    CHECK_EQ(at_mark, 1);
    CHECK_ERRNO(ioctl(connection, SIOCATMARK, bad_address), EFAULT);
    CHECK_ERRNO(ioctl(open("/dev/null", O_RDONLY), SIOCATMARK, &at_mark), ENOTTY);
}

TEST(the_loopback_interface)
{
    int fd = socket(AF_INET, SOCK_DGRAM, 0);
    struct ifreq *request = guarded(sizeof *request);
    const struct sockaddr_in *address = (const struct sockaddr_in *)&request->ifr_addr;
    *request = (struct ifreq){.ifr_name = "lo"};
    CHECK_OK(ioctl(fd, SIOCGIFINDEX, request));
    CHECK_EQ(request->ifr_ifindex, 1);
    memset(request->ifr_name, 0, sizeof request->ifr_name);
    CHECK_OK(ioctl(fd, SIOCGIFNAME, request));
    CHECK_STR(request->ifr_name, "lo");
    CHECK_OK(ioctl(fd, SIOCGIFADDR, request));
    CHECK_EQ(ntohl(address->sin_addr.s_addr), INADDR_LOOPBACK);
    CHECK_OK(ioctl(fd, SIOCGIFNETMASK, request));
    CHECK_EQ(ntohl(address->sin_addr.s_addr), 0xff000000);
    CHECK_OK(ioctl(fd, SIOCGIFHWADDR, request));
    CHECK_EQ(request->ifr_hwaddr.sa_family, ARPHRD_LOOPBACK);
    CHECK_OK(ioctl(fd, SIOCGIFFLAGS, request));
    CHECK_EQ(request->ifr_flags & (IFF_UP | IFF_LOOPBACK), IFF_UP | IFF_LOOPBACK);
    CHECK_OK(ioctl(fd, SIOCGIFMTU, request));
    CHECK_EQ(request->ifr_mtu, 65536);
    static const unsigned long requests[] = {SIOCGIFNAME, SIOCGIFADDR, SIOCGIFNETMASK, SIOCGIFHWADDR, SIOCGIFFLAGS, SIOCGIFMTU, SIOCGIFINDEX};
    for (size_t i = 0; i < sizeof requests / sizeof *requests; i++) {
        *request = (struct ifreq){.ifr_name = "absent"};
        request->ifr_ifindex = 54321;
        CHECK_ERRNO(ioctl(fd, requests[i], request), ENODEV);
        CHECK_ERRNO(ioctl(fd, requests[i], bad_address), EFAULT);
    }
}

TEST(the_list_of_interfaces)
{
    int fd = socket(AF_INET, SOCK_DGRAM, 0);
    static struct ifreq entries[64];
    struct ifconf list = {.ifc_len = 0};
    CHECK_OK(ioctl(fd, SIOCGIFCONF, &list)); /* how long it would be */
    CHECK(list.ifc_len >= (int)sizeof *entries);
    int size = list.ifc_len;
    list.ifc_len = sizeof entries;
    list.ifc_req = entries;
    CHECK_OK(ioctl(fd, SIOCGIFCONF, &list));
    CHECK_EQ(list.ifc_len, size);
    bool found = false;
    for (int i = 0; i < list.ifc_len / (int)sizeof *entries; i++)
        found |= strcmp(entries[i].ifr_name, "lo") == 0;
    CHECK(found);
    list.ifc_len = sizeof *entries - 1; /* no room for one */
    CHECK_OK(ioctl(fd, SIOCGIFCONF, &list));
    CHECK_EQ(list.ifc_len, 0);
    CHECK_ERRNO(ioctl(fd, SIOCGIFCONF, bad_address), EFAULT);
    list = (struct ifconf){.ifc_len = sizeof entries, .ifc_buf = bad_address};
    CHECK_ERRNO(ioctl(fd, SIOCGIFCONF, &list), EFAULT);
}
