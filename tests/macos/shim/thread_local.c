/* Thread-local variables of an image.
 *
 * Mac code reaches one through a descriptor of three words: it calls the first, with the
 * descriptor's address in %rdi, and finds the variable's address in %rax. The second word is the
 * image's key, the third the variable's offset in the image's block; every thread that asks gets a
 * block of its own, a copy of the image's template. The compiler counts on every register but
 * those two to be as it was, so the call enters through assembly that saves them. */
#include "darwin.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

struct descriptor {
    void *get_address;
    uintptr_t key; /* the image's template */
    uintptr_t offset;
};

/* One for each image, for ever. */
struct template {
    pthread_key_t key;
    const void *content; /* in the image */
    size_t size;
};

EXPORTED uintptr_t machorun_thread_template(const void *content, size_t size)
{
    struct template *made = malloc(sizeof *made);
    if (!made || pthread_key_create(&made->key, free) != 0)
        abort();
    made->content = content;
    made->size = size;
    return (uintptr_t)made;
}

__attribute__((used)) void *thread_local_find(const struct descriptor *descriptor)
{
    const struct template *template = (const struct template *)descriptor->key;
    char *block = pthread_getspecific(template->key);
    if (!block) {
        block = malloc(template->size);
        if (!block || pthread_setspecific(template->key, block) != 0)
            abort();
        memcpy(block, template->content, template->size);
    }
    return block + descriptor->offset;
}

/* Takes over from _tlv_bootstrap, to which the linker binds every descriptor. */
__asm__(".text\n"
        ".globl machorun_thread_local\n"
        ".type machorun_thread_local, @function\n"
        "machorun_thread_local:\n"
        "    push %rbp\n"
        "    mov %rsp, %rbp\n"
        "    push %rdi\n"
        "    push %rsi\n"
        "    push %rdx\n"
        "    push %rcx\n"
        "    push %r8\n"
        "    push %r9\n"
        "    push %r10\n"
        "    push %r11\n"
        "    sub $512, %rsp\n"
        "    and $-16, %rsp\n"
        "    fxsave (%rsp)\n"
        "    call thread_local_find\n"
        "    fxrstor (%rsp)\n"
        "    lea -64(%rbp), %rsp\n"
        "    pop %r11\n"
        "    pop %r10\n"
        "    pop %r9\n"
        "    pop %r8\n"
        "    pop %rcx\n"
        "    pop %rdx\n"
        "    pop %rsi\n"
        "    pop %rdi\n"
        "    pop %rbp\n"
        "    ret\n"
        ".size machorun_thread_local, . - machorun_thread_local\n");

/* What the linker binds lazily is bound when the image is loaded, and every descriptor's first word
 * is replaced: neither of these may ever be called. */
EXPORTED void darwin_dyld_stub_binder(void)
{
    unsupported("lazy binding", 0);
}

EXPORTED void darwin__tlv_bootstrap(void)
{
    unsupported("thread-local variable without its image's key", 0);
}
