/* The case framework: every suite is one program whose cases register themselves with CASE() and
 * are run one process each, by exec of the same program, so that each has a fresh name space (a
 * mere fork would hand a case an emptied one, and would let one hung or killed case take the others
 * along).
 *
 *   ./suite                runs all cases and writes TAP
 *   ./suite CASE...        runs these
 *   ./suite --list         names them
 *   ./suite --run CASE     runs one in this very process: for a debugger; the exit status tells
 *
 * A case whose name begins with _ is a part of another, which starts it itself.
 * A failed IS* check is reported and the case goes on; a failed NEED* check ends the case, in
 * whatever process or thread it stands. A case process owns its process group: what it leaves
 * behind is killed when it ends. */
#ifndef TESTS_MACH_TAP_H
#define TESTS_MACH_TAP_H

#include <mach/mach.h>

void tap_register(const char *name, void (*body)(void));

#define CASE(name)                                                                                 \
    static void case_##name(void);                                                                 \
    __attribute__((constructor)) static void register_##name(void)                                 \
    {                                                                                              \
        tap_register(#name, case_##name);                                                          \
    }                                                                                              \
    static void case_##name(void)

/* Report a failure; the case goes on (tap_fail) or ends (tap_die). */
void tap_fail(const char *file, int line, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
void tap_die(const char *file, int line, const char *format, ...)
    __attribute__((format(printf, 3, 4), noreturn));
/* Ends the case as skipped: this platform cannot be asked the question. */
void tap_skip(const char *reason) __attribute__((noreturn));
/* What the checks that follow are about (a row of a table); NULL for nothing special. */
void tap_about(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* Ends this process the way a case ends: 0 if no check failed. */
void tap_end(void) __attribute__((noreturn));

int tap_is(const char *file, int line, const char *what, long long got, long long want);
int tap_is_code(const char *file, int line, const char *what, kern_return_t got,
                kern_return_t want);
void tap_need_code(const char *file, int line, const char *what, kern_return_t got,
                   kern_return_t want);
/* The symbol of a return code, or its number. */
const char *tap_code_name(kern_return_t code);

/* Checks that report and go on; they give 1 if all is well. */
#define IS(got, want) tap_is(__FILE__, __LINE__, #got, (long long)(got), (long long)(want))
#define IS_CODE(call, want)                                                                        \
    tap_is_code(__FILE__, __LINE__, #call, (kern_return_t)(call), (kern_return_t)(want))
#define IS_OK(call) IS_CODE(call, KERN_SUCCESS)
#define IS_TRUE(condition)                                                                         \
    ((condition) ? 1 : (tap_fail(__FILE__, __LINE__, "not so: %s", #condition), 0))

/* Checks without which the rest of the case makes no sense. */
#define NEED_CODE(call, want)                                                                      \
    tap_need_code(__FILE__, __LINE__, #call, (kern_return_t)(call), (kern_return_t)(want))
#define NEED_OK(call) NEED_CODE(call, KERN_SUCCESS)
#define NEED(condition)                                                                            \
    do {                                                                                           \
        if (!(condition))                                                                          \
            tap_die(__FILE__, __LINE__, "not so: %s", #condition);                                 \
    } while (0)

#endif
