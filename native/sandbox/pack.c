/* pack.c - the module pack (cli/packed.py) as memory: pages of it that nobody imports from cost nothing. */
#include <stddef.h>
#include <stdint.h>
#include <sys/mman.h>
#include "sandbox.h"

const void *sandbox_map_file(int fd, uint64_t size_bytes)
{
    void *address = mmap(NULL, size_bytes, PROT_READ, MAP_PRIVATE, fd, 0);
    return address == MAP_FAILED ? NULL : address;
}
