/* exec_errors: programs that ask for what is no interpreter; directories and descriptors of execveat. */
#include "guest.h"

#include <elf.h>

extern char **environ;

/* A copy of this program that asks for another interpreter, which is as long as the name allows. */
static void write_program(const char *path, const char *interpreter)
{
    int from = open(self_path(), O_RDONLY);
    struct stat status;
    REQUIRE_OK(fstat(from, &status));
    char *content = malloc((size_t)status.st_size);
    REQUIRE(read(from, content, (size_t)status.st_size) == status.st_size);
    close(from);
    Elf64_Ehdr *header = (Elf64_Ehdr *)content;
    Elf64_Phdr *segments = (Elf64_Phdr *)(content + header->e_phoff), *found = NULL;
    for (int i = 0; i < header->e_phnum; i++)
        if (segments[i].p_type == PT_INTERP)
            found = &segments[i];
    if (found == NULL)
        SKIP("linked statically");
    REQUIRE(strlen(interpreter) < found->p_filesz);
    strcpy(content + found->p_offset, interpreter);
    found->p_filesz = strlen(interpreter) + 1;
    int to = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0755);
    REQUIRE(write(to, content, (size_t)status.st_size) == status.st_size);
    close(to);
    free(content);
}

TEST(interpreters_of_programs)
{
    scratch();
    char *argv[] = {"program", NULL};
    write_file("text", "not a program, and longer than the header of one: .............................\n");
    CHECK_OK(chmod("text", 0755));
    CHECK_OK(mkdir("dir", 0755));
    write_file("plain", "x");
    write_program("program", "./text");
    CHECK_ERRNO(execve("program", argv, environ), ELIBBAD);
    CHECK_ERRNO(syscall(SYS_execveat, AT_FDCWD, "program", argv, environ, 0), ELIBBAD);
    write_program("program", "./absent");
    CHECK_ERRNO(execve("program", argv, environ), ENOENT);
    write_program("program", "./dir");
    CHECK_ERRNO(execve("program", argv, environ), EACCES);
    write_program("program", "./plain");
    CHECK_ERRNO(execve("program", argv, environ), EACCES);
    write_program("program", "plain/x");
    CHECK_ERRNO(execve("program", argv, environ), ENOTDIR);
}

TEST(directories_and_descriptors_of_execveat)
{
    scratch();
    char *argv[] = {"program", NULL};
    write_file("file", "#!/bin/sh\n");
    CHECK_OK(chmod("file", 0755));
    int file = open("file", O_RDONLY), dir = open(".", O_RDONLY | O_DIRECTORY);
    CHECK_ERRNO(syscall(SYS_execveat, file, "x", argv, environ, 0), ENOTDIR);
    CHECK_ERRNO(syscall(SYS_execveat, dir, "file/x", argv, environ, 0), ENOTDIR);
    CHECK_ERRNO(syscall(SYS_execveat, dir, "", argv, environ, AT_EMPTY_PATH), EACCES);
    CHECK_ERRNO(syscall(SYS_execveat, dir, "", argv, environ, 0), ENOENT);
    CHECK_ERRNO(syscall(SYS_execveat, dir, "file", argv, environ, AT_SYMLINK_FOLLOW), EINVAL);
}
