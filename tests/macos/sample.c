/* A library for macOS with one of each thing that a loader has to put right. */
#include <stddef.h>
#include <string.h>

/* Pointers into the library itself. */
static const char *const names[] = {"one", "two", "three"};
static const char *const *table = names;

/* A pointer to a function elsewhere, in data. */
static size_t (*const measure)(const char *) = strlen;

static int zeros[2000];

static _Thread_local int counter = 5;
static _Thread_local long untouched[4];

const char *name_of(int which)
{
    return table[which];
}

size_t length_of(int which)
{
    return measure(table[which]);
}

int next_count(void)
{
    untouched[3] = ++counter;
    return (int)untouched[3];
}

/* All these are in registers when the variable's address is asked for. */
double sum_and_count(long a, long b, long c, long d, long e, long f, double x, double y)
{
    counter++;
    return (double)(a + 2 * b + 3 * c + 4 * d + 5 * e + 6 * f) + x + y;
}

int zeros_are_zero(void)
{
    for (size_t i = 0; i < sizeof zeros / sizeof zeros[0]; i++) {
        if (zeros[i])
            return 0;
    }
    zeros[7] = 0;
    return 1;
}

/* The compiler calls memset_pattern16 and __bzero of libSystem here. */
void fill(long *longs, size_t count, char *bytes, size_t size)
{
    for (size_t i = 0; i < count; i++)
        longs[i] = 0x0102030405060708;
    memset(bytes, 0, size);
}

#ifdef WITH_UNKNOWN_IMPORT
int getlogin_r(char *, size_t);
int unknown(char *buffer)
{
    return getlogin_r(buffer, 1);
}
#endif

#ifdef WITH_INITIALIZER
static volatile int initialized; /* or the compiler would run it */
__attribute__((constructor)) static void initialize(void)
{
    initialized = 1;
}
#endif

#ifdef WITH_WEAK_IMPORT
__attribute__((weak_import)) int maybe(void);
int call_maybe(void)
{
    return maybe ? maybe() : 0;
}
#endif
