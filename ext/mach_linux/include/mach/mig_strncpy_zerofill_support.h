/* That this file exists tells a MIG stub that mig_strncpy_zerofill does. */
#ifndef __MACH_MIG_STRNCPY_ZEROFILL_SUPPORT__
#define __MACH_MIG_STRNCPY_ZEROFILL_SUPPORT__
#endif
