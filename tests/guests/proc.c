/* proc: what programs read under /proc about themselves, others and the system. */
#include "guest.h"

#include <dirent.h>
#include <pthread.h>
#include <sys/ioctl.h>

static char text[65536];

static const char *read_proc(const char *path)
{
    if (read_file(path, text, sizeof text) < 0)
        GUEST_FAIL("cannot read %s: %s", path, strerrorname_np(errno));
    return text;
}

static void check_link(const char *path, const char *expected)
{
    char target[GUEST_PATH_BYTES];
    ssize_t length = readlink(path, target, sizeof target - 1);
    if (length < 0) {
        GUEST_FAIL("readlink %s: %s", path, strerrorname_np(errno));
        return;
    }
    target[length] = '\0';
    if (strcmp(target, expected) != 0)
        GUEST_FAIL("%s: expected %s, got %s", path, expected, target);
}

static bool directory_has(const char *path, const char *name)
{
    DIR *dir = opendir(path);
    REQUIRE(dir != NULL);
    bool found = false;
    for (struct dirent *entry; (entry = readdir(dir)) != NULL;)
        found = found || strcmp(entry->d_name, name) == 0;
    closedir(dir);
    return found;
}

TEST(self_is_this_process)
{
    char number[16], path[64];
    snprintf(number, sizeof number, "%d", getpid());
    check_link("/proc/self", number);
    snprintf(path, sizeof path, "%d/task/%d", getpid(), gettid());
    check_link("/proc/thread-self", path);
    CHECK(directory_has("/proc", number));
    CHECK(!directory_has("/proc", "999999999"));
    CHECK(directory_has("/proc/self/task", number));
}

TEST(exe_cwd_and_root)
{
    const char *path = scratch();
    check_link("/proc/self/exe", self_path());
    check_link("/proc/self/cwd", path);
    check_link("/proc/self/root", "/");
    CHECK_OK(access("/proc/self/root/etc/passwd", F_OK));
    write_file("here", "x");
    CHECK_OK(access("/proc/self/cwd/here", F_OK));
    int fd = open("/proc/self/exe", O_RDONLY);
    char magic[4];
    CHECK_EQ(read(fd, magic, 4), 4);
    CHECK(memcmp(magic, "\177ELF", 4) == 0);
}

TEST(descriptors)
{
    const char *path = scratch();
    char expected[GUEST_PATH_BYTES], link[64], number[16];
    write_file("f", "0123456789");
    int fd = open("f", O_RDONLY), ends[2];
    snprintf(number, sizeof number, "%d", fd);
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    snprintf(expected, sizeof expected, "%.400s/f", path);
    check_link(link, expected);
    CHECK(directory_has("/proc/self/fd", number));
    int again = open(link, O_RDWR);
    CHECK_OK(again);
    CHECK_EQ(lseek(fd, 5, SEEK_SET), 5);
    CHECK_EQ(lseek(again, 0, SEEK_CUR), 0);
    snprintf(link, sizeof link, "/proc/self/fdinfo/%d", fd);
    CHECK(strncmp(read_proc(link), "pos:\t5\nflags:\t0", 15) == 0);
    CHECK_OK(unlink("f"));
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    snprintf(expected, sizeof expected, "%.400s/f (deleted)", path);
    check_link(link, expected);
    CHECK_OK(open(link, O_RDONLY)); /* although it has no name */
    struct stat status;
    CHECK_OK(stat(link, &status));
    CHECK_EQ(status.st_size, 10);
    REQUIRE_OK(pipe(ends));
    snprintf(link, sizeof link, "/proc/self/fd/%d", ends[0]);
    CHECK_OK(fstat(ends[0], &status));
    snprintf(expected, sizeof expected, "pipe:[%lu]", (unsigned long)status.st_ino);
    check_link(link, expected);
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    close(fd);
    CHECK_ERRNO(readlink(link, expected, sizeof expected), ENOENT);
    CHECK_ERRNO(open("/proc/self/fd/999", O_RDONLY), ENOENT);
}

TEST(status_and_stat)
{
    char line[64];
    prctl(PR_SET_NAME, "na me) x");
    read_proc("/proc/self/status");
    CHECK(strncmp(text, "Name:\tna me) x\n", 15) == 0);
    snprintf(line, sizeof line, "\nPid:\t%d\n", getpid());
    CHECK(strstr(text, line) != NULL);
    snprintf(line, sizeof line, "\nPPid:\t%d\n", getppid());
    CHECK(strstr(text, line) != NULL);
    snprintf(line, sizeof line, "\nUid:\t%d\t%d\t%d\t%d\n", getuid(), geteuid(), geteuid(), geteuid());
    CHECK(strstr(text, line) != NULL);
    CHECK(strstr(text, "\nThreads:\t1\n") != NULL);
    CHECK(strstr(text, "\nVmRSS:\t") != NULL);
    CHECK(strstr(text, "\nState:\tR") != NULL);
    CHECK(strstr(text, "\nSigBlk:\t") != NULL);
    read_proc("/proc/self/stat");
    snprintf(line, sizeof line, "%d (na me) x) R %d %d %d ", getpid(), getppid(), getpgrp(), getsid(0));
    CHECK(strncmp(text, line, strlen(line)) == 0);
    int fields = 0;
    for (char *field = strtok(strrchr(text, ')') + 2, " "); field; field = strtok(NULL, " "))
        fields++;
    CHECK(fields >= 50 - 2);
    long pages[7];
    CHECK_EQ(sscanf(read_proc("/proc/self/statm"), "%ld %ld %ld %ld %ld %ld %ld", pages, pages + 1, pages + 2,
                    pages + 3, pages + 4, pages + 5, pages + 6),
             7);
    CHECK(pages[0] > pages[1] && pages[1] > 0);
}

HELPER(print_command_line)
{
    char line[256];
    ssize_t length = read_file("/proc/self/cmdline", line, sizeof line);
    for (ssize_t i = 0; i < length; i++)
        line[i] = line[i] ? line[i] : '|';
    note("%s\n", strchr(line, '|'));
    length = read_file("/proc/self/environ", line, sizeof line);
    for (ssize_t i = 0; i < length; i++)
        line[i] = line[i] ? line[i] : '|';
    note("%s\n", line);
    return 0;
}

TEST(command_line_and_environment)
{
    int ends[2];
    REQUIRE_OK(pipe(ends));
    pid_t pid = fork_child();
    if (pid == 0) {
        char *argv[] = {(char *)self_path(), "--helper", "print_command_line", "a b", "", NULL};
        char *envp[] = {"ONE=1", "TWO=2 2", NULL};
        dup2(ends[1], 1);
        execve(self_path(), argv, envp);
        _exit(99);
    }
    CHECK_CHILD(pid);
    close(ends[1]);
    char output[256] = "";
    size_t have = 0;
    ssize_t got;
    while ((got = read(ends[0], output + have, sizeof output - 1 - have)) > 0)
        have += (size_t)got;
    CHECK_STR(output, "|--helper|print_command_line|a b||\nONE=1|TWO=2 2|\n");
}

TEST(names_can_be_written)
{
    write_file("/proc/self/comm", "renamed");
    CHECK_STR(read_proc("/proc/self/comm"), "renamed\n");
    char name[16];
    CHECK_OK(prctl(PR_GET_NAME, name));
    CHECK_STR(name, "renamed");
}

TEST(maps_show_memory)
{
    scratch();
    write_file("mapped-file", "x");
    void *file = mmap(NULL, 4096, PROT_READ, MAP_PRIVATE, open("mapped-file", O_RDONLY), 0);
    read_proc("/proc/self/maps");
    char line[64];
    snprintf(line, sizeof line, "%lx-%lx r--p 00000000 ", (unsigned long)file, (unsigned long)file + 4096);
    const char *found = strstr(text, line);
    CHECK(found != NULL);
    if (found) {
        char name[GUEST_PATH_BYTES];
        snprintf(name, sizeof name, "%.400s/mapped-file\n", guest_scratch_path);
        const char *end = strchr(found, '\n') + 1;
        CHECK((size_t)(end - found) > strlen(name) && strncmp(end - strlen(name), name, strlen(name)) == 0);
    }
    CHECK(strstr(text, "[stack]") != NULL);
    CHECK(strstr(text, "[vdso]") != NULL);
    CHECK(strstr(text, self_path()) != NULL);
}

/* struct procmap_query of linux/fs.h, which Debian's headers do not have yet. */
struct map_query {
    uint64_t size, flags, address, start, end, is, page_size, offset, inode;
    uint32_t major, minor, name_size, build_id_size;
    uint64_t name, build_id;
};
#define MAP_QUERY _IOWR('f', 17, struct map_query)
enum { MAP_READABLE = 1, MAP_WRITABLE = 2, MAP_SHARED_ONE = 8, MAP_OR_NEXT = 16, MAP_OF_FILE = 32 };

static int open_maps(void)
{
    struct map_query query = {.size = sizeof query, .flags = MAP_OR_NEXT};
    int maps = open("/proc/self/maps", O_RDONLY);
    REQUIRE_OK(maps);
    if (ioctl(maps, MAP_QUERY, &query) != 0 && errno == ENOTTY)
        SKIP("a kernel before 6.11");
    return maps;
}

TEST(maps_can_be_asked_for_one_mapping)
{
    int maps = open_maps();
    scratch();
    write_file("mapped-file", "x");
    char *pages = mmap(NULL, 4 * 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    int file = open("mapped-file", O_RDWR);
    REQUIRE(pages != MAP_FAILED && mmap(pages + 4096, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, file, 4096) != MAP_FAILED);
    struct stat st;
    REQUIRE_OK(fstat(file, &st));

    char name[GUEST_PATH_BYTES] = "", expected[GUEST_PATH_BYTES];
    struct map_query query = {.size = sizeof query, .address = (uintptr_t)pages + 5000, .name = (uintptr_t)name, .name_size = sizeof name};
    REQUIRE_OK(ioctl(maps, MAP_QUERY, &query));
    CHECK_EQ(query.start, (uintptr_t)pages + 4096);
    CHECK_EQ(query.end, (uintptr_t)pages + 2 * 4096);
    CHECK_EQ(query.is, MAP_READABLE | MAP_WRITABLE | MAP_SHARED_ONE);
    CHECK_EQ(query.page_size, 4096);
    CHECK_EQ(query.offset, 4096);
    CHECK_EQ(query.inode, st.st_ino);
    snprintf(expected, sizeof expected, "%.400s/mapped-file", guest_scratch_path);
    CHECK_STR(name, expected);
    CHECK_EQ(query.name_size, strlen(expected) + 1);

    /* The next one of a file; none without permissions around this address. */
    struct map_query next = {.size = sizeof next, .flags = MAP_OR_NEXT | MAP_OF_FILE, .address = (uintptr_t)pages};
    REQUIRE_OK(ioctl(maps, MAP_QUERY, &next));
    CHECK_EQ(next.start, (uintptr_t)pages + 4096);
    struct map_query readable = {.size = sizeof readable, .flags = MAP_READABLE, .address = (uintptr_t)pages};
    CHECK_ERRNO(ioctl(maps, MAP_QUERY, &readable), ENOENT);
    struct map_query beyond = {.size = sizeof beyond, .flags = MAP_OR_NEXT, .address = ~0ul << 12};
    CHECK_ERRNO(ioctl(maps, MAP_QUERY, &beyond), ENOENT);

    /* One that has no name and is of no file. */
    struct map_query plain = {.size = sizeof plain, .address = (uintptr_t)pages, .name = (uintptr_t)name, .name_size = sizeof name};
    REQUIRE_OK(ioctl(maps, MAP_QUERY, &plain));
    CHECK_EQ(plain.is, 0);
    CHECK_EQ(plain.inode, 0);
    CHECK_EQ(plain.name_size, 0);
}

TEST(a_program_finds_its_build_id_by_its_map)
{
    int maps = open_maps();
    unsigned char build_id[20];
    struct map_query query = {.size = sizeof query, .address = (uintptr_t)&open_maps, .build_id = (uintptr_t)build_id, .build_id_size = sizeof build_id};
    REQUIRE_OK(ioctl(maps, MAP_QUERY, &query));
    char shown[64] = "", command[GUEST_PATH_BYTES + 64], expected[64] = "";
    for (uint32_t i = 0; i < query.build_id_size && i < sizeof build_id; i++)
        snprintf(shown + 2 * i, 3, "%02x", build_id[i]);
    snprintf(command, sizeof command, "readelf -n %s | sed -n 's/.*Build ID: //p'", self_path());
    FILE *notes = popen(command, "r");
    REQUIRE(notes != NULL);
    if (fgets(expected, sizeof expected, notes))
        expected[strcspn(expected, "\n")] = '\0';
    pclose(notes);
    CHECK_STR(shown, expected);
    query.build_id_size = 1;
    if (*expected)
        CHECK_ERRNO(ioctl(maps, MAP_QUERY, &query), ENAMETOOLONG);
}

TEST(questions_about_maps_are_checked)
{
    int maps = open_maps();
    char name[2];
    struct map_query good = {.size = sizeof good, .flags = MAP_OR_NEXT | MAP_OF_FILE}, query = good;
    struct {
        struct map_query query;
        uint8_t more[8];
    } newer = {.query = good};
    CHECK_ERRNO(ioctl(maps, MAP_QUERY, NULL), EFAULT);
    query.size = 4097;
    CHECK_ERRNO(ioctl(maps, MAP_QUERY, &query), E2BIG);
    query.size = 23;
    CHECK_ERRNO(ioctl(maps, MAP_QUERY, &query), EINVAL);
    query.size = 24; /* what is asked; nothing of the answer is wanted */
    CHECK_OK(ioctl(maps, MAP_QUERY, &query));
    CHECK_EQ(query.start, 0);
    newer.query.size = sizeof newer;
    CHECK_OK(ioctl(maps, MAP_QUERY, &newer));
    newer.query = good;
    newer.query.size = sizeof newer;
    newer.more[7] = 1;
    CHECK_ERRNO(ioctl(maps, MAP_QUERY, &newer), E2BIG);
    query = good;
    query.flags = 64;
    CHECK_ERRNO(ioctl(maps, MAP_QUERY, &query), EINVAL);
    query = good;
    query.name_size = sizeof name;
    CHECK_ERRNO(ioctl(maps, MAP_QUERY, &query), EINVAL);
    query = good;
    query.build_id = (uintptr_t)name;
    CHECK_ERRNO(ioctl(maps, MAP_QUERY, &query), EINVAL);
    query = good;
    query.name = (uintptr_t)name;
    query.name_size = sizeof name;
    CHECK_ERRNO(ioctl(maps, MAP_QUERY, &query), ENAMETOOLONG);
    CHECK_ERRNO(ioctl(open("/proc/self/status", O_RDONLY), MAP_QUERY, &good), ENOTTY);
}

TEST(mounts_agree)
{
    read_proc("/proc/self/mounts");
    CHECK(strstr(text, " / ") != NULL);
    CHECK(strstr(text, " /proc proc ") != NULL);
    check_link("/proc/mounts", "self/mounts");
    read_proc("/proc/self/mountinfo");
    CHECK(strstr(text, " / / ") != NULL);
    CHECK(strstr(text, " - proc ") != NULL);
}

TEST(other_processes)
{
    char path[64], expected[64];
    int ends[2];
    REQUIRE_OK(pipe(ends));
    pid_t pid = fork_child();
    if (pid == 0) {
        char byte;
        close(ends[1]);
        CHECK_EQ(read(ends[0], &byte, 1), 0);
        guest_finish();
    }
    wait_for_state(pid, 'S');
    snprintf(path, sizeof path, "/proc/%d/status", pid);
    snprintf(expected, sizeof expected, "\nPPid:\t%d\n", getpid());
    CHECK(strstr(read_proc(path), expected) != NULL);
    snprintf(path, sizeof path, "/proc/%d/exe", pid);
    check_link(path, self_path());
    snprintf(path, sizeof path, "/proc/%d/fd/%d", pid, ends[0]);
    CHECK_OK(access(path, F_OK));
    int dir;
    snprintf(path, sizeof path, "/proc/%d", pid);
    CHECK_OK(dir = open(path, O_RDONLY | O_DIRECTORY));
    close(ends[1]);
    CHECK_CHILD(pid);
    CHECK_ERRNO(access(path, F_OK), ENOENT);
    CHECK(openat(dir, "status", O_RDONLY) == -1 && (errno == ENOENT || errno == ESRCH));
}

TEST(system_files)
{
    long value = 0, free_memory = 0;
    read_proc("/proc/meminfo");
    CHECK_EQ(sscanf(text, "MemTotal: %ld kB\nMemFree: %ld kB", &value, &free_memory), 2);
    CHECK(value > free_memory && free_memory > 0);
    CHECK(strstr(text, "\nMemAvailable:") && strstr(text, "\nCached:") && strstr(text, "\nSwapTotal:"));
    CHECK(strncmp(read_proc("/proc/cpuinfo"), "processor\t: 0\n", 14) == 0);
    CHECK(strstr(text, "\nmodel name\t: ") != NULL);
    CHECK(strncmp(read_proc("/proc/stat"), "cpu  ", 5) == 0);
    CHECK(strstr(text, "\nbtime ") != NULL);
    CHECK(strstr(text, "\ncpu0 ") != NULL);
    double uptime = 0, idle = 0;
    CHECK_EQ(sscanf(read_proc("/proc/uptime"), "%lf %lf", &uptime, &idle), 2);
    CHECK(uptime > 0);
    CHECK(strncmp(read_proc("/proc/version"), "Linux version ", 14) == 0);
    double load[3];
    CHECK_EQ(sscanf(read_proc("/proc/loadavg"), "%lf %lf %lf", load, load + 1, load + 2), 3);
    CHECK(strstr(read_proc("/proc/filesystems"), "nodev\tproc") != NULL);
    CHECK(sscanf(read_proc("/proc/sys/kernel/pid_max"), "%ld", &value) == 1 && value > 100);
    CHECK_STR(read_proc("/proc/sys/kernel/ostype"), "Linux\n");
    CHECK(read_file("/proc/sys/vm/overcommit_memory", text, sizeof text) > 0);
    CHECK(read_file("/proc/sys/kernel/random/uuid", text, sizeof text) == 37);
    CHECK(read_file("/proc/self/oom_score_adj", text, sizeof text) > 0);
    CHECK(read_file("/proc/self/limits", text, sizeof text) > 0);
    CHECK(strstr(text, "Max open files") != NULL);
    CHECK(read_file("/proc/self/cgroup", text, sizeof text) > 0);
    CHECK(read_file("/proc/self/auxv", text, sizeof text) > 0);
    CHECK(read_file("/proc/net/unix", text, sizeof text) > 0);
}

static int oom_score_adj(void)
{
    return atoi(read_proc("/proc/self/oom_score_adj"));
}

static int set_oom_score_adj(int value)
{
    int fd = open("/proc/self/oom_score_adj", O_WRONLY);
    int result = dprintf(fd, "%d", value) < 0 ? -1 : 0;
    close(fd);
    return result;
}

TEST(oom_score_adj_is_inherited_and_may_be_lowered_again)
{
    int before = oom_score_adj();
    if (before > 900)
        SKIP("too high already");
    CHECK_OK(set_oom_score_adj(before + 100));
    CHECK_EQ(oom_score_adj(), before + 100);
    pid_t pid = fork();
    if (pid == 0)
        _exit(oom_score_adj() == before + 100 ? 0 : 1);
    CHECK_CHILD(pid);
    CHECK_ERRNO(set_oom_score_adj(1001), EINVAL);
    CHECK_ERRNO(set_oom_score_adj(-1001), EINVAL);
    if (geteuid() != 0) { /* root may set the mark that others cannot go below */
        CHECK_OK(set_oom_score_adj(before));
        CHECK_EQ(oom_score_adj(), before);
    }
}

TEST(reading_in_pieces_is_consistent)
{
    char whole[8192], pieces[8192];
    ssize_t size = read_file("/proc/self/status", whole, sizeof whole);
    int fd = open("/proc/self/status", O_RDONLY);
    ssize_t total = 0, got;
    while ((got = read(fd, pieces + total, 7)) > 0)
        total += got;
    CHECK(llabs(total - size) < 64);
    CHECK_EQ(lseek(fd, 0, SEEK_SET), 0);
    CHECK_EQ(read(fd, pieces, 5), 5);
    CHECK(memcmp(pieces, "Name:", 5) == 0);
    CHECK_EQ(pread(fd, pieces, 3, 1), 3);
    CHECK(memcmp(pieces, "ame", 3) == 0);
}

static void *wait_for_end(void *end)
{
    char byte;
    CHECK_EQ(read(*(int *)end, &byte, 1), 0);
    return NULL;
}

TEST(task_directory_counts_threads_as_links)
{
    struct stat st;
    int ends[2], fd = open("/proc/self/task", O_RDONLY | O_DIRECTORY);
    REQUIRE_OK(fd);
    CHECK_OK(fstat(fd, &st));
    CHECK_EQ(st.st_nlink, 2 + 1);
    REQUIRE_OK(pipe(ends));
    pthread_t threads[3];
    for (int i = 0; i < 3; i++)
        REQUIRE(pthread_create(&threads[i], NULL, wait_for_end, &ends[0]) == 0);
    CHECK_OK(fstat(fd, &st));
    CHECK_EQ(st.st_nlink, 2 + 4);
    CHECK_OK(stat("/proc/self/task/", &st));
    CHECK_EQ(st.st_nlink, 2 + 4);
    close(ends[1]);
    for (int i = 0; i < 3; i++)
        pthread_join(threads[i], NULL);
}

TEST(proc_is_not_writable)
{
    CHECK_EQ(open("/proc/new", O_WRONLY | O_CREAT, 0600), -1);
    CHECK(errno == ENOENT || errno == EACCES);
    CHECK_EQ(mkdir("/proc/dir", 0700), -1);
    CHECK_EQ(unlink("/proc/self/status"), -1);
    CHECK_ERRNO(open("/proc/version/x", O_RDONLY), ENOTDIR);
    CHECK_ERRNO(open("/proc/absent", O_RDONLY), ENOENT);
    static const struct { const char *path; int answer; } files[] = {
        {"/proc/version", EIO}, {"/proc/meminfo", EIO}, {"/proc/filesystems", EIO},
        {"/proc/self/status", EINVAL}, {"/proc/self/maps", EINVAL}, {"/proc/self/limits", EINVAL},
    };
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        int fd = open(files[i].path, O_WRONLY); /* root may */
        if (fd < 0)
            CHECK_EQ(errno, EACCES);
        else
            CHECK_ERRNO(write(fd, "x", 1), files[i].answer);
        close(fd);
    }
    CHECK_ERRNO(open("/proc/net/dev", O_WRONLY), EACCES);
    CHECK_ERRNO(open("/proc/net/unix", O_RDWR), EACCES);
}

TEST(own_memory_can_be_read)
{
    static const char secret[] = "in this process";
    char got[sizeof secret] = "";
    int fd = open("/proc/self/mem", O_RDONLY);
    CHECK_OK(fd);
    CHECK_EQ(pread(fd, got, sizeof secret, (off_t)(uintptr_t)secret), sizeof secret);
    CHECK_STR(got, "in this process");
}

TEST(opened_without_access_times)
{
    static const char *const paths[] = {"/proc/self/status", "/proc/self/fd", "/proc/self/maps", "/proc/meminfo", "/dev/null"};
    for (size_t i = 0; i < sizeof paths / sizeof *paths; i++) {
        char byte;
        int fd = open(paths[i], O_RDONLY | O_NOATIME);
        if (fd < 0 && errno == EPERM && geteuid())
            continue; /* another's */
        CHECK_OK(fd);
        CHECK(fcntl(fd, F_GETFL) & O_NOATIME);
        CHECK(read(fd, &byte, 1) >= 0 || errno == EISDIR);
        close(fd);
    }
}
