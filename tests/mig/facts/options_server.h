#pragma once
#include <mach/mach.h>
typedef struct object *object_t;
typedef double kelvin_t;
#ifdef __cplusplus
extern "C" {
#endif
object_t object_from_port(mach_port_t port);
mach_port_t port_from_object(object_t object);
void object_release(object_t object);
kelvin_t kelvin_from_celsius(int celsius);
int celsius_from_kelvin(kelvin_t kelvin);
#ifdef __cplusplus
}
#endif
