/* The runner and the checks behind tap.h. The runner owns the list of cases, the table of expected
 * differences and one child process at a time; nothing in it uses Mach but the names of return
 * codes, so a broken implementation cannot break the verdicts. */
#include "tap.h"

#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { MAX_CASES = 256, MAX_DIFFERENCES = 512, DEFAULT_DEADLINE_S = 90, SKIPPED = 77 };

struct test_case {
    const char *name;
    void (*body)(void);
};

struct difference {
    char name[128]; /* suite.case */
    char reason[512];
};

struct totals {
    int passed, failed, differ, unexpected, skipped;
};

static struct test_case cases[MAX_CASES];
static int case_count;
static struct difference differences[MAX_DIFFERENCES];
static int difference_count;
static atomic_int failures;
static char about[256];

void tap_register(const char *name, void (*body)(void))
{
    if (case_count == MAX_CASES) {
        fprintf(stderr, "MAX_CASES is too small\n");
        abort();
    }
    cases[case_count++] = (struct test_case){name, body};
}

/* ---- checks ---- */

static void report(const char *file, int line, const char *format, va_list arguments)
{
    char text[1024];
    const char *base = strrchr(file, '/');
    vsnprintf(text, sizeof text, format, arguments);
    /* One write per line, so that the lines of several processes do not mix. */
    char whole[1400];
    int length = snprintf(whole, sizeof whole, "# %s:%d: %s%s%s\n", base ? base + 1 : file, line,
                          about, about[0] ? ": " : "", text);
    fflush(stdout);
    if (write(STDOUT_FILENO, whole, (size_t)length) < 0)
        perror("write");
    atomic_fetch_add(&failures, 1);
}

void tap_fail(const char *file, int line, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    report(file, line, format, arguments);
    va_end(arguments);
}

void tap_die(const char *file, int line, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    report(file, line, format, arguments);
    va_end(arguments);
    tap_end();
}

void tap_skip(const char *reason)
{
    printf("# SKIP %s\n", reason);
    fflush(stdout);
    _exit(SKIPPED);
}

void tap_about(const char *format, ...)
{
    about[0] = 0;
    if (!format)
        return;
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(about, sizeof about, format, arguments);
    va_end(arguments);
}

void tap_end(void)
{
    fflush(stdout);
    _exit(atomic_load(&failures) ? 1 : 0);
}

int tap_is(const char *file, int line, const char *what, long long got, long long want)
{
    if (got == want)
        return 1;
    tap_fail(file, line, "%s is %lld (%#llx), not %lld (%#llx)", what, got, (unsigned long long)got,
             want, (unsigned long long)want);
    return 0;
}

int tap_is_code(const char *file, int line, const char *what, kern_return_t got, kern_return_t want)
{
    if (got == want)
        return 1;
    char wanted[64];
    snprintf(wanted, sizeof wanted, "%s", tap_code_name(want));
    tap_fail(file, line, "%s gives %s, not %s", what, tap_code_name(got), wanted);
    return 0;
}

void tap_need_code(const char *file, int line, const char *what, kern_return_t got,
                   kern_return_t want)
{
    if (!tap_is_code(file, line, what, got, want))
        tap_end();
}

const char *tap_code_name(kern_return_t code)
{
#define CODE(symbol)                                                                               \
    {                                                                                              \
        symbol, #symbol                                                                            \
    }
    static const struct {
        kern_return_t code;
        const char *symbol;
    } codes[] = {
        CODE(KERN_SUCCESS),
        CODE(KERN_INVALID_ADDRESS),
        CODE(KERN_NO_SPACE),
        CODE(KERN_INVALID_ARGUMENT),
        CODE(KERN_FAILURE),
        CODE(KERN_RESOURCE_SHORTAGE),
        CODE(KERN_NAME_EXISTS),
        CODE(KERN_ALREADY_IN_SET),
        CODE(KERN_NOT_IN_SET),
        CODE(KERN_INVALID_NAME),
        CODE(KERN_INVALID_RIGHT),
        CODE(KERN_INVALID_VALUE),
        CODE(KERN_INVALID_CAPABILITY),
        CODE(KERN_RIGHT_EXISTS),
        CODE(KERN_UREFS_OVERFLOW),
        CODE(KERN_NOT_SUPPORTED),
        CODE(MACH_SEND_INVALID_DATA),
        CODE(MACH_SEND_INVALID_DEST),
        CODE(MACH_SEND_TIMED_OUT),
        CODE(MACH_SEND_INTERRUPTED),
        CODE(MACH_SEND_MSG_TOO_SMALL),
        CODE(MACH_SEND_INVALID_REPLY),
        CODE(MACH_SEND_INVALID_RIGHT),
        CODE(MACH_SEND_INVALID_MEMORY),
        CODE(MACH_SEND_NO_BUFFER),
        CODE(MACH_SEND_TOO_LARGE),
        CODE(MACH_SEND_INVALID_TYPE),
        CODE(MACH_SEND_INVALID_HEADER),
        CODE(MACH_RCV_INVALID_NAME),
        CODE(MACH_RCV_TIMED_OUT),
        CODE(MACH_RCV_TOO_LARGE),
        CODE(MACH_RCV_INTERRUPTED),
        CODE(MACH_RCV_PORT_CHANGED),
        CODE(MACH_RCV_INVALID_DATA),
        CODE(MACH_RCV_PORT_DIED),
        CODE(MACH_RCV_HEADER_ERROR),
        CODE(MACH_RCV_BODY_ERROR),
        CODE(MIG_TYPE_ERROR),
        CODE(MIG_BAD_ID),
        CODE(MIG_BAD_ARGUMENTS),
        CODE(MIG_NO_REPLY),
    };
#undef CODE
    static _Thread_local char number[24];
    for (size_t i = 0; i < sizeof codes / sizeof codes[0]; i++)
        if (codes[i].code == code)
            return codes[i].symbol;
    snprintf(number, sizeof number, "%#x", (unsigned)code);
    return number;
}

/* ---- the table of expected differences: "suite.case | reason" a line, # opens a comment ---- */

static char *trimmed(char *text)
{
    text += strspn(text, " \t");
    for (size_t n = strlen(text); n && strchr(" \t\r\n", text[n - 1]); n--)
        text[n - 1] = 0;
    return text;
}

static void read_differences(void)
{
    const char *path = getenv("MACH_DIFFERENCES");
    if (!path || !path[0])
        return;
    FILE *file = fopen(path, "r");
    if (!file) {
        fprintf(stderr, "%s: %s\n", path, strerror(errno));
        exit(2);
    }
    char line[sizeof(struct difference)];
    while (fgets(line, sizeof line, file)) {
        char *bar = strchr(line, '|');
        if (line[0] == '#' || !bar)
            continue;
        *bar = 0;
        if (difference_count == MAX_DIFFERENCES) {
            fprintf(stderr, "MAX_DIFFERENCES is too small\n");
            exit(2);
        }
        struct difference *entry = &differences[difference_count++];
        snprintf(entry->name, sizeof entry->name, "%s", trimmed(line));
        snprintf(entry->reason, sizeof entry->reason, "%s", trimmed(bar + 1));
    }
    fclose(file);
}

/* Names that begin with _ are parts of other cases: run by name alone. */
static int is_part(const char *name)
{
    return name[0] == '_';
}

static const char *expected_difference(const char *suite, const char *name)
{
    char full[256];
    snprintf(full, sizeof full, "%s.%s", suite, name);
    for (int i = 0; i < difference_count; i++)
        if (!strcmp(differences[i].name, full))
            return differences[i].reason;
    return NULL;
}

/* ---- running ---- */

static void run_here(const char *name)
{
    for (int i = 0; i < case_count; i++) {
        if (!strcmp(cases[i].name, name)) {
            cases[i].body();
            tap_end();
        }
    }
    fprintf(stderr, "no such case: %s\n", name);
    exit(2);
}

static void exec_case(const char *self, const char *name)
{
    const char *run = getenv("MACH_RUN");
    setpgid(0, 0);
    if (run && run[0]) {
        char command[4096];
        snprintf(command, sizeof command, "exec %s \"$0\" --run \"$1\"", run);
        execl("/bin/sh", "sh", "-c", command, self, name, (char *)NULL);
    } else {
        execl(self, self, "--run", name, (char *)NULL);
    }
    perror(self);
    _exit(126);
}

static double now_s(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

/* Runs one case in its own process and gives the wait status; -1 if it had to be killed. */
static int supervise(const char *self, const char *name)
{
    const char *given = getenv("MACH_CASE_DEADLINE");
    double deadline = now_s() + (given ? atof(given) : (double)DEFAULT_DEADLINE_S);
    fflush(stdout);
    pid_t pid = fork();
    if (pid < 0) {
        perror("fork");
        exit(2);
    }
    if (pid == 0)
        exec_case(self, name);
    setpgid(pid, pid); /* both sides, so that neither can come too late */
    int status, hung = 0;
    while (waitpid(pid, &status, hung ? 0 : WNOHANG) != pid) {
        if (now_s() > deadline) {
            hung = 1;
            kill(-pid, SIGKILL);
        } else {
            nanosleep(&(struct timespec){.tv_nsec = 2000000}, NULL);
        }
    }
    kill(-pid, SIGKILL); /* what the case left behind */
    return hung ? -1 : status;
}

static void judge(struct totals *totals, int number, const char *suite, const char *name,
                  int status)
{
    const char *reason = expected_difference(suite, name);
    int passed = status != -1 && WIFEXITED(status) && WEXITSTATUS(status) == 0;
    if (status == -1)
        printf("# %s hung: killed at its deadline\n", name);
    else if (WIFSIGNALED(status))
        printf("# %s was ended by signal %d\n", name, WTERMSIG(status));
    if (status != -1 && WIFEXITED(status) && WEXITSTATUS(status) == SKIPPED) {
        printf("ok %d - %s # SKIP\n", number, name);
        totals->skipped++;
    } else if (!reason) {
        printf("%s %d - %s\n", passed ? "ok" : "not ok", number, name);
        *(passed ? &totals->passed : &totals->failed) += 1;
    } else {
        printf("%s %d - %s # TODO %s\n", passed ? "ok" : "not ok", number, name, reason);
        int may_pass = !strncmp(reason, "sometimes:", 10);
        *(!passed ? &totals->differ : may_pass ? &totals->passed : &totals->unexpected) += 1;
    }
    fflush(stdout);
}

static int run_all(const char *self, int chosen_count, char **chosen)
{
    const char *base = strrchr(self, '/');
    const char *suite = base ? base + 1 : self;
    struct totals totals = {0};
    const char *names[MAX_CASES];
    int count = 0;
    for (int i = 0; i < chosen_count && count < MAX_CASES; i++)
        names[count++] = chosen[i];
    for (int i = 0; !chosen_count && i < case_count; i++)
        if (!is_part(cases[i].name))
            names[count++] = cases[i].name;
    printf("1..%d\n", count);
    for (int i = 0; i < count; i++)
        judge(&totals, i + 1, suite, names[i], supervise(self, names[i]));
    printf("# %s: %d passed, %d failed, %d differ as listed, %d listed but passing, %d skipped\n",
           suite, totals.passed, totals.failed, totals.differ, totals.unexpected, totals.skipped);
    return totals.failed || totals.unexpected ? 1 : 0;
}

int main(int argc, char **argv)
{
    setvbuf(stdout, NULL, _IOLBF, 0);
    setenv("MACH_SELF", argv[0], 1); /* for cases that start this program again */
    if (argc == 2 && !strcmp(argv[1], "--list")) {
        for (int i = 0; i < case_count; i++)
            if (!is_part(cases[i].name))
                puts(cases[i].name);
        return 0;
    }
    if (argc == 3 && !strcmp(argv[1], "--run"))
        run_here(argv[2]);
    read_differences();
    return run_all(argv[0], argc - 1, argv + 1);
}
