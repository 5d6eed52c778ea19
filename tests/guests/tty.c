/* tty: pseudo-terminals: modes, line discipline, window size, sessions, job control. */
#include "guest.h"

#include <pty.h>
#include <sys/ioctl.h>
#include <termios.h>

static volatile sig_atomic_t signals_seen;

static void on_signal(int signal_number)
{
    signals_seen = signal_number;
}

static void open_pair(int *master, int *slave)
{
    struct winsize size = {.ws_row = 24, .ws_col = 80};
    REQUIRE_OK(openpty(master, slave, NULL, NULL, &size));
}

static void make_raw(int fd)
{
    struct termios modes;
    REQUIRE_OK(tcgetattr(fd, &modes));
    cfmakeraw(&modes);
    REQUIRE_OK(tcsetattr(fd, TCSANOW, &modes));
}

/* A child that leads a session with the slave as its controlling terminal and standard descriptors. */
static pid_t fork_session(int *master)
{
    int slave;
    open_pair(master, &slave);
    pid_t pid = fork_child();
    if (pid == 0) {
        close(*master);
        CHECK_OK(setsid());
        CHECK_OK(ioctl(slave, TIOCSCTTY, 0));
        dup2(slave, 0);
        guest_failures = 0;
        return 0;
    }
    close(slave);
    return pid;
}

static void expect(int master, const char *text)
{
    char got[256] = "";
    size_t have = 0;
    while (have < strlen(text)) {
        ssize_t count = read(master, got + have, sizeof got - 1 - have);
        if (count <= 0)
            break;
        have += (size_t)count;
        got[have] = '\0';
    }
    CHECK_STR(got, text);
}

TEST(both_ends_are_terminals)
{
    int master, slave;
    open_pair(&master, &slave);
    CHECK_EQ(isatty(slave), 1);
    CHECK_EQ(isatty(master), 1);
    char name[64];
    CHECK_EQ(ttyname_r(slave, name, sizeof name), 0);
    CHECK(strncmp(name, "/dev/pts/", 9) == 0);
    CHECK_EQ(ptsname_r(master, name, sizeof name), 0);
    struct stat status;
    CHECK_OK(stat(name, &status));
    CHECK(S_ISCHR(status.st_mode));
    int again = open(name, O_RDWR | O_NOCTTY);
    CHECK_OK(again);
    CHECK_EQ(write(again, "z", 1), 1);
    char byte;
    CHECK_EQ(read(master, &byte, 1), 1);
    int null = open("/dev/null", O_RDWR);
    CHECK_EQ(isatty(null), 0);
    CHECK_EQ(errno, ENOTTY);
}

TEST(modes_are_kept)
{
    int master, slave;
    open_pair(&master, &slave);
    struct termios *modes = guarded(sizeof *modes), again;
    CHECK_OK(tcgetattr(slave, modes));
    CHECK((modes->c_lflag & (ICANON | ECHO | ISIG)) == (ICANON | ECHO | ISIG));
    CHECK(modes->c_oflag & OPOST);
    CHECK_EQ(modes->c_cc[VINTR], 3);
    modes->c_lflag &= ~(tcflag_t)ECHO;
    modes->c_cc[VINTR] = 7;
    CHECK_OK(tcsetattr(slave, TCSADRAIN, modes));
    CHECK_OK(tcgetattr(master, &again));
    CHECK(!(again.c_lflag & ECHO));
    CHECK_EQ(again.c_cc[VINTR], 7);
}

TEST(cooked_input_comes_by_line)
{
    int master, slave;
    open_pair(&master, &slave);
    CHECK_EQ(write(master, "abx\177c", 5), 5); /* DEL erases the x */
    struct pollfd item = {slave, POLLIN, 0};
    CHECK_EQ(poll(&item, 1, 0), 0);
    CHECK_EQ(write(master, "\nnext\n", 6), 6);
    char line[32] = "";
    CHECK_EQ(poll(&item, 1, -1), 1);
    CHECK_EQ(read(slave, line, sizeof line), 4);
    CHECK_STR(line, "abc\n");
    memset(line, 0, sizeof line);
    CHECK_EQ(read(slave, line, 2), 2);
    CHECK_STR(line, "ne");
    CHECK_EQ(read(slave, line, sizeof line), 3);
    expect(master, "abx\b \bc\r\nnext\r\n"); /* the echo */
}

TEST(control_d_is_the_end)
{
    int master, slave;
    open_pair(&master, &slave);
    CHECK_EQ(write(master, "part\4\4", 6), 6);
    char line[32] = "";
    CHECK_EQ(read(slave, line, sizeof line), 4);
    CHECK_EQ(read(slave, line, sizeof line), 0);
}

TEST(raw_mode_passes_everything)
{
    int master, slave;
    open_pair(&master, &slave);
    make_raw(slave);
    CHECK_EQ(write(master, "\3\4\r", 3), 3);
    char bytes[8];
    CHECK_EQ(read(slave, bytes, sizeof bytes), 3);
    CHECK(memcmp(bytes, "\3\4\r", 3) == 0);
    CHECK_EQ(write(slave, "a\n", 2), 2);
    expect(master, "a\n");
}

TEST(output_gets_carriage_returns)
{
    int master, slave;
    open_pair(&master, &slave);
    CHECK_EQ(write(slave, "one\ntwo\n", 8), 8);
    expect(master, "one\r\ntwo\r\n");
}

TEST(window_size_is_shared_and_signalled)
{
    int master;
    pid_t pid = fork_session(&master);
    if (pid == 0) {
        struct winsize size;
        handle_signal(SIGWINCH, on_signal, 0);
        CHECK_OK(ioctl(0, TIOCGWINSZ, &size));
        CHECK(size.ws_row == 24 && size.ws_col == 80);
        CHECK_EQ(write(0, "r", 1), 1);
        while (signals_seen == 0)
            poll(NULL, 0, 100);
        CHECK_EQ(signals_seen, SIGWINCH);
        CHECK_OK(ioctl(0, TIOCGWINSZ, &size));
        CHECK(size.ws_row == 50 && size.ws_col == 132);
        guest_finish();
    }
    expect(master, "r");
    struct winsize size = {.ws_row = 50, .ws_col = 132};
    CHECK_OK(ioctl(master, TIOCSWINSZ, &size));
    CHECK_CHILD(pid);
}

TEST(controlling_terminal)
{
    int master;
    pid_t pid = fork_session(&master);
    if (pid == 0) {
        CHECK_EQ(tcgetsid(0), getpid());
        CHECK_EQ(tcgetpgrp(0), getpid());
        int tty = open("/dev/tty", O_RDWR);
        CHECK_OK(tty);
        CHECK_EQ(write(tty, "via tty", 7), 7);
        signal(SIGHUP, SIG_IGN); /* what a leader that lets go gets */
        CHECK_OK(ioctl(tty, TIOCNOTTY));
        CHECK_ERRNO(open("/dev/tty", O_RDWR), ENXIO);
        guest_finish();
    }
    expect(master, "via tty");
    CHECK_CHILD(pid);
}

TEST(no_terminal_no_dev_tty)
{
    pid_t pid = fork_child();
    if (pid == 0) {
        CHECK_OK(setsid());
        CHECK_ERRNO(open("/dev/tty", O_RDWR), ENXIO);
        CHECK_ERRNO(tcgetpgrp(open("/dev/null", O_RDWR)), ENOTTY);
        guest_finish();
    }
    CHECK_CHILD(pid);
}

TEST(control_c_reaches_the_foreground_group)
{
    int master;
    pid_t pid = fork_session(&master);
    if (pid == 0) {
        signal(SIGINT, SIG_IGN);
        signal(SIGTTOU, SIG_IGN);
        pid_t front = fork_child();
        if (front == 0) {
            setpgid(0, 0);
            tcsetpgrp(0, getpid());
            signal(SIGINT, SIG_DFL);
            CHECK_EQ(write(0, "r", 1), 1);
            for (;;)
                pause();
        }
        CHECK_SIGNALED(wait_status(front), SIGINT);
        CHECK_OK(tcsetpgrp(0, getpid()));
        CHECK_EQ(tcgetpgrp(0), getpid());
        guest_finish();
    }
    expect(master, "r");
    CHECK_EQ(write(master, "\3", 1), 1);
    CHECK_CHILD(pid);
}

TEST(control_z_stops_and_sigcont_goes_on)
{
    int master;
    pid_t pid = fork_session(&master);
    if (pid == 0) {
        signal(SIGTTOU, SIG_IGN);
        pid_t front = fork_child();
        if (front == 0) {
            setpgid(0, 0);
            tcsetpgrp(0, getpid());
            CHECK_EQ(write(0, "r", 1), 1);
            char line[16] = "";
            CHECK_EQ(read(0, line, sizeof line), 3); /* restarts after the stop */
            CHECK_STR(line, "go\n");
            guest_finish();
        }
        int status;
        CHECK_EQ(waitpid(front, &status, WUNTRACED), front);
        CHECK(WIFSTOPPED(status) && WSTOPSIG(status) == SIGTSTP);
        CHECK_OK(kill(-front, SIGCONT));
        CHECK_EQ(write(0, "c", 1), 1);
        CHECK_CHILD(front);
        guest_finish();
    }
    expect(master, "r");
    CHECK_EQ(write(master, "\32", 1), 1);
    expect(master, "^Zc");
    CHECK_EQ(write(master, "go\n", 3), 3);
    CHECK_CHILD(pid);
}

TEST(background_readers_are_stopped)
{
    int master;
    pid_t pid = fork_session(&master);
    if (pid == 0) {
        pid_t back = fork_child();
        if (back == 0) {
            setpgid(0, 0);
            char byte;
            ssize_t got = read(0, &byte, 1);
            _exit((int)got);
        }
        setpgid(back, back);
        int status;
        CHECK_EQ(waitpid(back, &status, WUNTRACED), back);
        CHECK(WIFSTOPPED(status) && WSTOPSIG(status) == SIGTTIN);
        CHECK_OK(kill(back, SIGKILL));
        CHECK_SIGNALED(wait_status(back), SIGKILL);
        guest_finish();
    }
    CHECK_CHILD(pid);
}

TEST(hang_up_when_the_master_closes)
{
    int master;
    pid_t pid = fork_session(&master);
    if (pid == 0) {
        handle_signal(SIGHUP, on_signal, 0);
        CHECK_EQ(write(0, "r", 1), 1);
        while (signals_seen == 0)
            poll(NULL, 0, 100);
        CHECK_EQ(signals_seen, SIGHUP);
        char byte;
        CHECK_EQ(read(0, &byte, 1), 0);
        CHECK_ERRNO(write(0, "x", 1), EIO);
        guest_finish();
    }
    expect(master, "r");
    close(master);
    CHECK_CHILD(pid);
}

TEST(master_reads_eio_when_the_slave_is_closed)
{
    int master, slave;
    open_pair(&master, &slave);
    CHECK_EQ(write(slave, "last", 4), 4);
    close(slave);
    char text[8];
    CHECK_EQ(read(master, text, sizeof text), 4);
    CHECK_ERRNO(read(master, text, sizeof text), EIO);
    struct pollfd item = {master, POLLIN, 0};
    CHECK_EQ(poll(&item, 1, 0), 1);
    CHECK(item.revents & POLLHUP);
}

TEST(queues)
{
    int master, slave, count = 0;
    open_pair(&master, &slave);
    make_raw(slave);
    CHECK_EQ(write(master, "12345", 5), 5);
    struct pollfd item = {slave, POLLIN, 0};
    CHECK_EQ(poll(&item, 1, -1), 1);
    CHECK_OK(ioctl(slave, FIONREAD, &count));
    CHECK_EQ(count, 5);
    CHECK_OK(tcflush(slave, TCIFLUSH));
    CHECK_OK(ioctl(slave, FIONREAD, &count));
    CHECK_EQ(count, 0);
    CHECK_OK(tcdrain(slave));
}

TEST(a_leader_that_opens_a_terminal_gets_it)
{
    int master, slave;
    char name[64];
    open_pair(&master, &slave);
    REQUIRE_OK(ttyname_r(slave, name, sizeof name));
    pid_t pid = fork_child();
    if (pid == 0) {
        CHECK_OK(open(name, O_RDWR)); /* not a leader yet, or one that has a terminal */
        CHECK_OK(setsid());
        CHECK_OK(open(name, O_RDWR | O_NOCTTY));
        CHECK_ERRNO(open("/dev/tty", O_RDWR), ENXIO);
        int count = open_fd_count(), fd = open(name, O_RDWR);
        CHECK_EQ(open_fd_count(), count + 1);
        CHECK_EQ(tcgetsid(fd), getpid());
        CHECK_EQ(tcgetpgrp(fd), getpid());
        CHECK_OK(open("/dev/tty", O_RDWR));
        int other_master, other_slave;
        open_pair(&other_master, &other_slave);
        char other[64];
        REQUIRE_OK(ttyname_r(other_slave, other, sizeof other));
        CHECK_OK(open(other, O_RDWR)); /* one is enough */
        CHECK_EQ(tcgetsid(fd), getpid());
        guest_finish();
    }
    CHECK_CHILD(pid);
}
