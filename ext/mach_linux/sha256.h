/* SHA-256 (FIPS 180-4), for turning names of any length into file names. */
#ifndef ML_SHA256_H
#define ML_SHA256_H

#include <stddef.h>
#include <stdint.h>

void ml_sha256(const void *data, size_t size, uint8_t digest[32]);

#endif
