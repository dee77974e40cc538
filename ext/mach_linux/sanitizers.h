/*
 * What this is built with, for the few places that behave differently under a sanitizer.
 *
 * ML_SANITIZED: with any that looks at calls of libc. ML_MEMORY_WATCHED: with one that knows which
 * memory was freed.
 */
#ifndef ML_SANITIZERS_H
#define ML_SANITIZERS_H

#if defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(memory_sanitizer)
#define ML_MEMORY_WATCHED
#endif
#if __has_feature(thread_sanitizer)
#define ML_SANITIZED
#endif
#endif
#if defined(__SANITIZE_ADDRESS__)
#define ML_MEMORY_WATCHED
#endif
#if defined(ML_MEMORY_WATCHED) || defined(__SANITIZE_THREAD__)
#define ML_SANITIZED
#endif

#endif
