/* input.h - what every target shares: an input read from its front, as zeros behind its end, and the descriptors that are open. */
#ifndef FUZZ_INPUT_H
#define FUZZ_INPUT_H

#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The fuzzer keeps the input that gets here. */
#define MUST(condition)                                                                                               \
    do {                                                                                                              \
        if (!(condition)) {                                                                                           \
            fprintf(stderr, "%s:%d: does not hold: %s\n", __FILE__, __LINE__, #condition);                            \
            abort();                                                                                                  \
        }                                                                                                             \
    } while (0)

struct input {
    const uint8_t *at, *end;
};

static inline uint32_t take_byte(struct input *in)
{
    return in->at < in->end ? *in->at++ : 0;
}

static inline uint32_t take_number(struct input *in)
{
    uint32_t low = take_byte(in);
    return low | take_byte(in) << 8;
}

static inline size_t take_bytes(struct input *in, void *into, size_t size)
{
    size_t left = (size_t)(in->end - in->at);
    size = size < left ? size : left;
    if (size)
        memcpy(into, in->at, size);
    in->at += size;
    return size;
}

/* One call for all of them: an open descriptor is not POLLNVAL. */
static inline int open_descriptors(void)
{
    enum { MOST = 512 };
    struct pollfd all[MOST];
    int count = 0;
    for (int fd = 0; fd < MOST; fd++)
        all[fd] = (struct pollfd){.fd = fd};
    MUST(poll(all, MOST, 0) >= 0);
    for (int fd = 0; fd < MOST; fd++)
        count += !(all[fd].revents & POLLNVAL);
    return count;
}

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#endif
