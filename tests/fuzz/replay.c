/*
 * Runs a fuzz target over the files of the folders given as arguments: a compiler is all it needs.
 * It ends with an error for a folder without files, so that a lost corpus is noticed.
 */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int run_file(const char *path)
{
    static uint8_t input[1u << 20];
    FILE *file = fopen(path, "rb");
    if (file == NULL) {
        perror(path);
        return 1;
    }
    size_t size = fread(input, 1, sizeof input, file);
    fclose(file);
    if (getenv("FUZZ_VERBOSE") != NULL)
        fprintf(stderr, "%s\n", path);
    /* A copy of just that size: reading beyond it is then seen by a sanitizer. */
    uint8_t *exact = malloc(size ? size : 1);
    if (exact == NULL)
        return 1;
    for (size_t i = 0; i < size; i++)
        exact[i] = input[i];
    (void)LLVMFuzzerTestOneInput(exact, size);
    free(exact);
    return 0;
}

static int run_folder(const char *folder)
{
    char path[4096];
    struct dirent **entries;
    int n = scandir(folder, &entries, NULL, alphasort), ran = 0, failed = 0;
    if (n < 0)
        perror(folder);
    for (int i = 0; i < n; i++) {
        if (entries[i]->d_name[0] != '.') {
            snprintf(path, sizeof path, "%s/%s", folder, entries[i]->d_name);
            failed |= run_file(path);
            ran++;
        }
        free(entries[i]);
    }
    if (n >= 0)
        free(entries);
    printf("%s: %d inputs\n", folder, ran);
    return failed != 0 || ran == 0;
}

int main(int argc, char **argv)
{
    int failed = argc < 2;
    for (int i = 1; i < argc; i++)
        failed |= run_folder(argv[i]);
    return failed;
}
