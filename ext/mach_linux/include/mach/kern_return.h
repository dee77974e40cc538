/*
 * Result codes of the Mach calls. KERN_SUCCESS is the only success. Unless a call says otherwise, a
 * failed call has changed nothing and the caller owns what it owned. The codes that concern objects
 * this platform has no notion of (processor sets, ledgers, memory managers) are here because
 * mach_error_string and a server's reply may name them.
 */
#ifndef _MACH_KERN_RETURN_H_
#define _MACH_KERN_RETURN_H_

#include <mach/machine/kern_return.h>

#define KERN_SUCCESS 0

/* Memory. */
#define KERN_INVALID_ADDRESS 1    /* no memory there */
#define KERN_PROTECTION_FAILURE 2 /* memory there, but not for this use */
#define KERN_NO_SPACE 3           /* the address range or the name table is full */

/* Any call. */
#define KERN_INVALID_ARGUMENT 4  /* an argument that can never be right here */
#define KERN_FAILURE 5           /* none of the other codes fits */
#define KERN_RESOURCE_SHORTAGE 6 /* descriptors, memory or another limit of the system */
#define KERN_NOT_RECEIVER 7
#define KERN_NO_ACCESS 8
#define KERN_MEMORY_FAILURE 9
#define KERN_MEMORY_ERROR 10

/* Ports, names and rights. */
#define KERN_ALREADY_IN_SET 11     /* the receive right is a member of the set already */
#define KERN_NOT_IN_SET 12         /* the receive right is no member of the set */
#define KERN_NAME_EXISTS 13        /* the name denotes a right already */
#define KERN_ABORTED 14            /* interrupted; internal to the calls */
#define KERN_INVALID_NAME 15       /* the name denotes nothing */
#define KERN_INVALID_TASK 16       /* no such task */
#define KERN_INVALID_RIGHT 17      /* the name denotes a right, but not the kind asked for */
#define KERN_INVALID_VALUE 18      /* a number out of range */
#define KERN_UREFS_OVERFLOW 19     /* more user references than a name can count */
#define KERN_INVALID_CAPABILITY 20 /* the right handed over is unusable, dead for example */
#define KERN_RIGHT_EXISTS 21       /* the task holds this port under another name already */

/* Objects of other parts of Mach. */
#define KERN_INVALID_HOST 22
#define KERN_MEMORY_PRESENT 23
#define KERN_MEMORY_DATA_MOVED 24
#define KERN_MEMORY_RESTART_COPY 25
#define KERN_INVALID_PROCESSOR_SET 26
#define KERN_POLICY_LIMIT 27
#define KERN_INVALID_POLICY 28
#define KERN_INVALID_OBJECT 29
#define KERN_ALREADY_WAITING 30
#define KERN_DEFAULT_SET 31
#define KERN_EXCEPTION_PROTECTED 32
#define KERN_INVALID_LEDGER 33
#define KERN_INVALID_MEMORY_CONTROL 34
#define KERN_INVALID_SECURITY 35
#define KERN_NOT_DEPRESSED 36
#define KERN_TERMINATED 37
#define KERN_LOCK_SET_DESTROYED 38
#define KERN_LOCK_UNSTABLE 39
#define KERN_LOCK_OWNED 40
#define KERN_LOCK_OWNED_SELF 41
#define KERN_SEMAPHORE_DESTROYED 42
#define KERN_RPC_SERVER_TERMINATED 43
#define KERN_RPC_TERMINATE_ORPHAN 44
#define KERN_RPC_CONTINUE_ORPHAN 45
#define KERN_NOT_SUPPORTED 46 /* a call this system knows but does not offer */
#define KERN_NODE_DOWN 47
#define KERN_NOT_WAITING 48
#define KERN_OPERATION_TIMED_OUT 49
#define KERN_CODESIGN_ERROR 50
#define KERN_POLICY_STATIC 51
#define KERN_INSUFFICIENT_BUFFER_SIZE 52
#define KERN_DENIED 53
#define KERN_MISSING_KC 54
#define KERN_INVALID_KC 55
#define KERN_NOT_FOUND 56

#define KERN_RETURN_MAX 0x100

#endif
