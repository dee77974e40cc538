/* What the stubs need from the Mach library beside the functions of the harness. */
#include <mach/mach.h>
NDR_record_t NDR_record = {0, 0, 0, 0, 1, 0, 0, 0};
