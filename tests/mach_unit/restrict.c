/* restrict NUMBER ARGUMENT VALUE ERROR PROGRAM...: runs a program whose system call NUMBER fails
 * with ERROR; see refuse.h. */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "refuse.h"

int main(int argc, char **argv)
{
    if (argc < 6) {
        fprintf(stderr, "usage: restrict NUMBER ARGUMENT VALUE ERROR PROGRAM...\n");
        return 2;
    }
    refuse(atol(argv[1]), atoi(argv[2]), (unsigned)atol(argv[3]), atoi(argv[4]));
    execvp(argv[5], argv + 5);
    perror(argv[5]);
    return 127;
}
