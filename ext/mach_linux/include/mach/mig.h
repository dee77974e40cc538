/* What stubs made by the MIG compiler rest on, and the shape of a server's table of routines. */
#ifndef _MACH_MIG_H_
#define _MACH_MIG_H_

#include <stdint.h>
#include <mach/message.h>
#include <mach/port.h>
#include <mach/vm_types.h>

/* Stubs check what they receive, and pack their messages to four bytes. */
#ifndef __MigTypeCheck
#define __MigTypeCheck 1
#endif
#define __MigPackStructs 1

/* A server stub: takes a request apart, calls the routine, puts the reply together. */
typedef void (*mig_stub_routine_t)(mach_msg_header_t *InHeadP, mach_msg_header_t *OutHeadP);
typedef mig_stub_routine_t mig_routine_t;

/* Finds the stub for a request, or null. */
typedef mig_routine_t (*mig_server_routine_t)(mach_msg_header_t *InHeadP);

/* The routine itself, whatever its type. */
typedef kern_return_t (*mig_impl_routine_t)(void);

typedef mach_msg_type_descriptor_t routine_arg_descriptor;
typedef mach_msg_type_descriptor_t *routine_arg_descriptor_t;
typedef mach_msg_type_descriptor_t *mig_routine_arg_descriptor_t;

#define MIG_ROUTINE_ARG_DESCRIPTOR_NULL ((mig_routine_arg_descriptor_t)0)

struct routine_descriptor {
    mig_impl_routine_t impl_routine;
    mig_stub_routine_t stub_routine;
    unsigned int argc;        /* argument words of the routine */
    unsigned int descr_count; /* entries at arg_descr */
    routine_arg_descriptor_t arg_descr;
    unsigned int max_reply_msg; /* the longest reply */
};
typedef struct routine_descriptor *routine_descriptor_t;
typedef struct routine_descriptor mig_routine_descriptor;
typedef mig_routine_descriptor *mig_routine_descriptor_t;

#define MIG_ROUTINE_DESCRIPTOR_NULL ((mig_routine_descriptor_t)0)

/* A subsystem; its array of routines is as long as end - start says. */
typedef struct mig_subsystem {
    mig_server_routine_t server;
    mach_msg_id_t start;
    mach_msg_id_t end;
    mach_msg_size_t maxsize; /* the longest reply of all */
    vm_address_t reserved;
    mig_routine_descriptor routine[1];
} *mig_subsystem_t;

#define MIG_SUBSYSTEM_NULL ((mig_subsystem_t)0)

typedef struct mig_symtab {
    char *ms_routine_name;
    int ms_routine_number;
    void (*ms_routine)(void);
} mig_symtab_t;

/* Marks a routine whose arguments MIG's ownership rule governs, for analyzers that know it. */
#if defined(__has_attribute)
#if __has_attribute(mig_server_routine)
#define MIG_SERVER_ROUTINE __attribute__((mig_server_routine))
#endif
#endif
#ifndef MIG_SERVER_ROUTINE
#define MIG_SERVER_ROUTINE
#endif

#ifdef __cplusplus
extern "C" {
#endif

/*
 * The calling thread's reply port, made at first use and kept. The thread owns it, not the caller;
 * MACH_PORT_NULL if it cannot be made.
 */
extern mach_port_t mig_get_reply_port(void);

/* Destroys the calling thread's reply port whatever the argument; for a port in an unknown state.
 */
extern void mig_dealloc_reply_port(mach_port_t reply_port);

/* Says that a reply port is done with. It stays cached, so there is nothing to do. */
extern void mig_put_reply_port(mach_port_t reply_port);

/*
 * Copy at most len - 1 characters and terminate; the second also clears the rest of the len bytes.
 * Both return how many bytes of dest the string takes, terminator included; 0 if len is not
 * positive.
 */
extern int mig_strncpy(char *dest, const char *src, int len);
extern int mig_strncpy_zerofill(char *dest, const char *src, int len);

/* Memory for out-of-line arguments: zeroed, or a null address. The caller owns it. */
extern void mig_allocate(vm_address_t *addr_p, vm_size_t size);
extern void mig_deallocate(vm_address_t addr, vm_size_t size);

#ifdef __cplusplus
}
#endif

#endif
