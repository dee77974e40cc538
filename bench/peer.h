/* What the two halves of a C stream share: the command line, the processor each runs on, the clock.
 *
 * A stream program is started as PROGRAM VARIANT COUNT WARM_UP RECEIVER_CPU SENDER_CPU. The parent
 * receives and times; the child sends, and lives until the parent has all, so that what it handed
 * over does not die on the way. The parent prints the nanoseconds a message took. */
#ifndef CHILD_PORT_BENCH_PEER_H
#define CHILD_PORT_BENCH_PEER_H

#include <stdint.h>

struct stream {
    int variant;
    long count;
    long warm_up;
    int receiver_cpu; /* −1: wherever the scheduler likes */
    int sender_cpu;
};

struct stream stream_arguments(int argc, char **argv);

/* Runs the calling process on that processor alone. */
void run_on_cpu(int cpu);

uint64_t nanoseconds(void);

/* Says what failed and exits. */
_Noreturn void fail(const char *what);

/* The parent's last words: prints the result and reaps the sender. */
int stream_finish(const struct stream *stream, uint64_t elapsed, int sender_pid);

#endif
