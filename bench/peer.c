/* The frame that the C streams run in; it owns nothing. */
#include "peer.h"

#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>

void fail(const char *what)
{
    fprintf(stderr, "%s: %s\n", what, strerror(errno));
    exit(1);
}

struct stream stream_arguments(int argc, char **argv)
{
    if (argc != 6) {
        fprintf(stderr, "usage: %s VARIANT COUNT WARM_UP RECEIVER_CPU SENDER_CPU\n", argv[0]);
        exit(2);
    }
    return (struct stream){.variant = atoi(argv[1]),
                           .count = atol(argv[2]),
                           .warm_up = atol(argv[3]),
                           .receiver_cpu = atoi(argv[4]),
                           .sender_cpu = atoi(argv[5])};
}

void run_on_cpu(int cpu)
{
    cpu_set_t set;
    if (cpu < 0)
        return;
    CPU_ZERO(&set);
    CPU_SET((size_t)cpu, &set);
    if (sched_setaffinity(0, sizeof set, &set) != 0)
        fail("sched_setaffinity");
}

uint64_t nanoseconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

int stream_finish(const struct stream *stream, uint64_t elapsed, int sender_pid)
{
    int status = 0;
    if (waitpid(sender_pid, &status, 0) != sender_pid)
        fail("waitpid");
    printf("%.1f\n", (double)elapsed / (double)stream->count);
    return WIFEXITED(status) && WEXITSTATUS(status) == 0 ? 0 : 1;
}
