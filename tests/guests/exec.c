/* exec: arguments, environment, auxiliary vector, scripts, errors, execveat, vfork and posix_spawn. */
#include "guest.h"

#include <elf.h>
#include <spawn.h>
#include <sys/auxv.h>

extern char **environ;

static int run(const char *path, char *const argv[], char *const envp[])
{
    pid_t pid = fork_child();
    if (pid == 0) {
        execve(path, argv, envp);
        _exit(200 + (errno == ENOENT ? 1 : 0));
    }
    return wait_status(pid);
}

/* Runs a command line's output into text (terminated). */
static void output_of(const char *path, char *const argv[], char *text, size_t size)
{
    int ends[2];
    REQUIRE_OK(pipe(ends));
    pid_t pid = fork_child();
    if (pid == 0) {
        dup2(ends[1], STDOUT_FILENO);
        close(ends[0]);
        close(ends[1]);
        execve(path, argv, environ);
        _exit(99);
    }
    close(ends[1]);
    size_t total = 0;
    ssize_t got;
    while ((got = read(ends[0], text + total, size - 1 - total)) > 0)
        total += (size_t)got;
    text[total] = '\0';
    close(ends[0]);
    CHECK_CHILD(pid);
}

static void write_script(const char *path, const char *content)
{
    write_file(path, content);
    REQUIRE_OK(chmod(path, 0755));
}

HELPER(print_arguments)
{
    for (int i = 0; i < argc; i++)
        note("[%s]", argv[i]);
    for (char **variable = environ; *variable; variable++)
        if (strncmp(*variable, "GUEST_TMP=", 10) != 0 && strncmp(*variable, "SHOWN_", 6) == 0)
            note("{%s}", *variable);
    return 0;
}

TEST(arguments_and_environment)
{
    char *argv[] = {(char *)self_path(), "--helper", "print_arguments", "", "two words", "ü\n", NULL};
    char *envp[] = {"SHOWN_A=1", "SHOWN_B=", "HIDDEN=x", NULL}, text[256];
    char **saved = environ;
    environ = envp;
    output_of(self_path(), argv, text, sizeof text);
    environ = saved;
    CHECK_STR(text, "[][two words][ü\n]{SHOWN_A=1}{SHOWN_B=}");
}

TEST(exec_replaces_but_keeps_the_process)
{
    int ends[2];
    REQUIRE_OK(pipe(ends));
    pid_t pid = fork_child();
    if (pid == 0) {
        char text[16];
        snprintf(text, sizeof text, "%d", getpid());
        execl(self_path(), self_path(), "--helper", "is_pid", text, NULL);
        _exit(99);
    }
    CHECK_EXITED(wait_status(pid), 0);
}

HELPER(is_pid)
{
    return atoi(argv[0]) != getpid();
}

TEST(auxiliary_vector_is_sane)
{
    CHECK_EQ(getauxval(AT_PAGESZ), 4096);
    CHECK_EQ(getauxval(AT_UID), getuid());
    CHECK_EQ(getauxval(AT_EUID), geteuid());
    CHECK_EQ(getauxval(AT_GID), getgid());
    CHECK_EQ(getauxval(AT_SECURE), 0);
    CHECK_EQ(getauxval(AT_CLKTCK), 100);
    CHECK(getauxval(AT_PHDR) != 0);
    CHECK(getauxval(AT_PHNUM) > 0);
    CHECK_EQ(getauxval(AT_PHENT), sizeof(Elf64_Phdr));
    CHECK(getauxval(AT_ENTRY) != 0);
    CHECK(getauxval(AT_RANDOM) != 0);
    CHECK(getauxval(AT_SYSINFO_EHDR) != 0);
    CHECK_STR((const char *)getauxval(AT_PLATFORM), "x86_64");
    const char *name = (const char *)getauxval(AT_EXECFN);
    char resolved[GUEST_PATH_BYTES];
    CHECK(realpath(name, resolved) != NULL);
    CHECK_STR(resolved, self_path());
    const Elf64_Ehdr *vdso = (const Elf64_Ehdr *)getauxval(AT_SYSINFO_EHDR);
    CHECK(memcmp(vdso->e_ident, ELFMAG, SELFMAG) == 0);
}

TEST(random_bytes_differ_between_runs)
{
    char *argv[] = {(char *)self_path(), "--helper", "print_random", NULL}, first[64], second[64];
    output_of(self_path(), argv, first, sizeof first);
    output_of(self_path(), argv, second, sizeof second);
    CHECK_EQ(strlen(first), 16);
    CHECK(strcmp(first, second) != 0);
}

HELPER(print_random)
{
    note("%016lx", *(unsigned long *)getauxval(AT_RANDOM));
    return 0;
}

TEST(scripts_get_one_argument_and_their_path)
{
    scratch();
    char content[1024], text[256];
    snprintf(content, sizeof content, "#!%s --helper\n", self_path());
    write_script("one", content);
    /* The rest of the line is one argument: "--helper", then the script's path is the helper's name. */
    char *argv[] = {"ignored", "x", NULL};
    pid_t pid = fork_child();
    if (pid == 0) {
        dup2(open("/dev/null", O_WRONLY), 1);
        execve("./one", argv, environ);
        _exit(99);
    }
    CHECK_EXITED(wait_status(pid), 2); /* "no helper ./one" */
    write_script("show", "#! /bin/sh -e \necho \"$0\" \"$@\"\n");
    char *arguments[] = {"zero", "a b", "c", NULL};
    output_of("./show", arguments, text, sizeof text);
    CHECK_STR(text, "./show a b c\n");
}

TEST(nested_scripts)
{
    const char *path = scratch();
    char content[1024], text[1024], expected[1024];
    write_script("inner", "#!/bin/sh\necho \"$@\"\n");
    snprintf(content, sizeof content, "#!%s/inner first second\n", path);
    write_script("outer", content);
    char *argv[] = {"outer", "last", NULL};
    output_of("./outer", argv, text, sizeof text);
    snprintf(expected, sizeof expected, "first second ./outer last\n");
    CHECK_STR(text, expected);
}

TEST(script_loops_end)
{
    const char *path = scratch();
    char content[1024];
    snprintf(content, sizeof content, "#!%s/loop\n", path);
    write_script("loop", content);
    char *argv[] = {"loop", NULL};
    CHECK_ERRNO(execve("./loop", argv, environ), ELOOP);
}

TEST(script_errors)
{
    scratch();
    char *argv[] = {"x", NULL};
    write_script("no-interpreter", "#!/does/not/exist\n");
    CHECK_ERRNO(execve("./no-interpreter", argv, environ), ENOENT);
    write_script("directory", "#!/tmp\n");
    CHECK_ERRNO(execve("./directory", argv, environ), EACCES);
    write_script("empty-line", "#!\n");
    CHECK_ERRNO(execve("./empty-line", argv, environ), ENOEXEC);
    write_script("text", "echo hello\n");
    CHECK_ERRNO(execve("./text", argv, environ), ENOEXEC);
    write_script("empty", "");
    CHECK_ERRNO(execve("./empty", argv, environ), ENOEXEC);
}

TEST(path_errors)
{
    scratch();
    char *argv[] = {"x", NULL};
    CHECK_ERRNO(execve("absent", argv, environ), ENOENT);
    CHECK_ERRNO(execve("", argv, environ), ENOENT);
    CHECK_ERRNO(execve("/", argv, environ), EACCES);
    write_file("plain", "#!/bin/sh\n");
    CHECK_ERRNO(execve("plain", argv, environ), EACCES); /* root needs an x bit as well */
    CHECK_ERRNO(execve("plain/x", argv, environ), ENOTDIR);
    CHECK_OK(symlink("loop", "loop"));
    CHECK_ERRNO(execve("loop", argv, environ), ELOOP);
    CHECK_ERRNO(execve(bad_address, argv, environ), EFAULT);
    CHECK_ERRNO(execve("/bin/true", bad_address, environ), EFAULT);
    CHECK_ERRNO(execve("/bin/true", argv, bad_address), EFAULT);
    char *broken[] = {"x", bad_address, NULL};
    CHECK_ERRNO(execve("/bin/true", broken, environ), EFAULT);
}

static void write_header(const char *path, void (*change)(Elf64_Ehdr *))
{
    Elf64_Ehdr header;
    int from = open(self_path(), O_RDONLY), to = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0755);
    REQUIRE(read(from, &header, sizeof header) == sizeof header);
    if (change)
        change(&header);
    REQUIRE(write(to, &header, sizeof header) == sizeof header);
    close(from);
    close(to);
}

static void other_machine(Elf64_Ehdr *header)
{
    header->e_machine = EM_AARCH64;
}

static void object_file(Elf64_Ehdr *header)
{
    header->e_type = ET_REL;
}

TEST(elf_errors)
{
    scratch();
    char *argv[] = {"x", NULL};
    write_header("arm", other_machine);
    CHECK_ERRNO(execve("./arm", argv, environ), ENOEXEC);
    write_header("object", object_file);
    CHECK_ERRNO(execve("./object", argv, environ), ENOEXEC);
    write_header("truncated", NULL);
    CHECK_EQ(execve("./truncated", argv, environ), -1);
    CHECK(errno == ENOEXEC || errno == EIO);
    write_script("magic", "\177ELF");
    CHECK_ERRNO(execve("./magic", argv, environ), ENOEXEC);
}

TEST(too_much)
{
    size_t size = 140000;
    char *argument = malloc(size + 1);
    memset(argument, 'a', size);
    argument[size] = '\0';
    char *one_too_long[] = {"x", argument, NULL};
    CHECK_ERRNO(execve("/bin/true", one_too_long, environ), E2BIG);
    argument[100000] = '\0';
    char **many = calloc(101, sizeof *many);
    for (int i = 0; i < 100; i++)
        many[i] = argument;
    CHECK_ERRNO(execve("/bin/true", many, environ), E2BIG);
    many[15] = NULL;
    CHECK_EXITED(run("/bin/true", many, environ), 0);
}

TEST(fexecve_and_execveat)
{
    char *argv[] = {"x", "--helper", "print_arguments", "by-fd", NULL};
    int fd = open(self_path(), O_RDONLY | O_CLOEXEC);
    pid_t pid = fork_child();
    if (pid == 0) {
        dup2(open("/dev/null", O_WRONLY), 1);
        fexecve(fd, argv, environ);
        _exit(99);
    }
    CHECK_CHILD(pid);
    pid = fork_child();
    if (pid == 0) {
        dup2(open("/dev/null", O_WRONLY), 1);
        syscall(SYS_execveat, fd, "", argv, environ, AT_EMPTY_PATH);
        _exit(99);
    }
    CHECK_CHILD(pid);
    int dir = open("/bin", O_PATH);
    char *nothing[] = {"true", NULL};
    pid = fork_child();
    if (pid == 0) {
        syscall(SYS_execveat, dir, "true", nothing, environ, 0);
        _exit(99);
    }
    CHECK_CHILD(pid);
    scratch();
    CHECK_OK(symlink("/bin/true", "link"));
    CHECK_ERRNO(syscall(SYS_execveat, AT_FDCWD, "link", nothing, environ, AT_SYMLINK_NOFOLLOW), ELOOP);
    CHECK_ERRNO(syscall(SYS_execveat, 999, "true", nothing, environ, 0), EBADF);
    CHECK_ERRNO(syscall(SYS_execveat, dir, "true", nothing, environ, 1), EINVAL);
}

TEST(a_script_by_closing_descriptor_has_no_path)
{
    scratch();
    write_script("s", "#!/bin/sh\n");
    char *argv[] = {"s", NULL};
    int fd = open("s", O_RDONLY | O_CLOEXEC);
    CHECK_ERRNO(syscall(SYS_execveat, fd, "", argv, environ, AT_EMPTY_PATH), ENOENT);
}

TEST(vfork_then_failing_exec)
{
    volatile int error = 0;
    char *argv[] = {"x", NULL};
    pid_t pid = vfork();
    if (pid == 0) {
        execve("/does/not/exist", argv, environ);
        error = errno;
        _exit(127);
    }
    CHECK_EQ(error, ENOENT);
    CHECK_EXITED(wait_status(pid), 127);
}

TEST(posix_spawn_reports)
{
    pid_t pid = 0;
    char *argv[] = {"true", NULL};
    CHECK_EQ(posix_spawn(&pid, "/bin/true", NULL, NULL, argv, environ), 0);
    CHECK_EXITED(wait_status(pid), 0);
    CHECK_EQ(posix_spawn(&pid, "/does/not/exist", NULL, NULL, argv, environ), ENOENT);
    CHECK_ERRNO(wait(NULL), ECHILD);
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addopen(&actions, 7, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_addchdir_np(&actions, "/");
    char *shell[] = {"sh", "-c", "test -e /proc/self/fd/7 && test \"$(pwd)\" = /", NULL};
    CHECK_EQ(posix_spawn(&pid, "/bin/sh", &actions, NULL, shell, environ), 0);
    CHECK_EXITED(wait_status(pid), 0);
}

TEST(a_failed_exec_changes_nothing)
{
    char *argv[] = {"x", NULL};
    int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    signal(SIGUSR1, SIG_IGN);
    CHECK_ERRNO(execve("/does/not/exist", argv, environ), ENOENT);
    CHECK_OK(fcntl(fd, F_GETFD));
    CHECK(signal(SIGUSR1, SIG_DFL) == SIG_IGN);
}

TEST(the_binary_may_be_replaced_while_running)
{
    scratch();
    char command[1200];
    snprintf(command, sizeof command, "cp %s copy", self_path());
    CHECK_EQ(system(command), 0);
    int ends[2];
    REQUIRE_OK(pipe(ends));
    pid_t pid = fork_child();
    if (pid == 0) {
        dup2(ends[0], 0);
        close(ends[1]);
        execl("./copy", "copy", "--helper", "wait_for_end", NULL);
        _exit(99);
    }
    close(ends[0]);
    wait_for_state(pid, 'S');
    CHECK_OK(unlink("copy"));
    write_script("copy", "#!/bin/sh\nexit 3\n");
    CHECK_EXITED(system("./copy"), 3);
    close(ends[1]);
    CHECK_CHILD(pid);
}

HELPER(wait_for_end)
{
    char byte;
    return read(0, &byte, 1) != 0;
}

static pid_t start_short_program(void)
{
    pid_t pid = fork_child();
    if (pid == 0) {
        self_exec("print_nothing", NULL);
        _exit(99);
    }
    return pid;
}

/* With the ptrace engine a descriptor may be on its way to a program that is killed: it came to the next one then. */
TEST(killed_while_it_executes)
{
    enum { ROUNDS = 300 };
    int64_t start, life = INT64_MAX;
    for (int i = 0; i < 10; i++) {
        start = now_ns(CLOCK_MONOTONIC);
        CHECK_CHILD(start_short_program());
        int64_t whole = now_ns(CLOCK_MONOTONIC) - start;
        life = whole < life ? whole : life;
    }
    for (int round = 0; round < ROUNDS; round++) {
        int status;
        start = now_ns(CLOCK_MONOTONIC);
        pid_t pid = start_short_program();
        while (now_ns(CLOCK_MONOTONIC) - start < life * round / ROUNDS)
            ;
        CHECK_OK(kill(pid, SIGKILL));
        CHECK_EQ(waitpid(pid, &status, 0), pid);
        CHECK((WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL) || status == 0);
    }
    CHECK_EXITED(system("exit 3"), 3);
}

HELPER(print_nothing)
{
    return 0;
}

TEST(name_after_exec)
{
    scratch();
    char command[1200], text[64];
    snprintf(command, sizeof command, "cp %s a-copy-with-a-long-name", self_path());
    CHECK_EQ(system(command), 0);
    char *argv[] = {"zero", "--helper", "print_name", NULL};
    output_of("./a-copy-with-a-long-name", argv, text, sizeof text);
    CHECK_STR(text, "a-copy-with-a-l");
}

HELPER(print_name)
{
    char name[16];
    prctl(PR_GET_NAME, name);
    note("%s", name);
    return 0;
}
