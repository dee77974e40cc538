/*
 * Attributes of a receive right, listing the space, and port sets: the calls of Apple's API that
 * read or set state without moving a right.
 */
#include <stdlib.h>
#include <string.h>

#include <mach/mach.h>

#include "queue.h"
#include "sets.h"
#include "space.h"
#include "vm.h"

/* The receiver that `name` stands for; *kr says why there is none. The lock is held. */
static struct ml_receiver *find_receiver(mach_port_name_t name, kern_return_t *kr)
{
    struct ml_entry *e = ml_entry_lookup(name);
    *kr = e == NULL && name != MACH_PORT_NULL && name != MACH_PORT_DEAD ? KERN_INVALID_NAME
                                                                        : KERN_INVALID_RIGHT;
    if (e == NULL || e->kind != ML_SEND_RECEIVE || e->port->receiver == NULL)
        return NULL;
    *kr = KERN_SUCCESS;
    return e->port->receiver;
}

/* --- attributes ------------------------------------------------------------------------------ */

static void fill_status(struct ml_receiver *r, mach_port_status_t *status)
{
    struct ml_entry *e = ml_port_entry(r->port);
    memset(status, 0, sizeof *status);
    pthread_mutex_lock(&r->lock);
    status->mps_seqno = r->seqno;
    status->mps_sorights = r->n_sources;
    status->mps_msgcount = ml_receiver_count(r);
    pthread_mutex_unlock(&r->lock);
    status->mps_pset = ml_receiver_in_set(r);
    status->mps_mscount = r->mscount;
    status->mps_qlimit = r->limits.mpl_qlimit;
    status->mps_srights = (e != NULL && e->urefs != 0) || ml_receiver_has_remote_senders(r);
    status->mps_pdrequest = r->port_destroyed != NULL;
    status->mps_nsrequest = r->no_senders != NULL;
    status->mps_flags =
        r->guarded ? (r->strict ? MACH_PORT_STATUS_FLAG_GUARDED | MACH_PORT_STATUS_FLAG_STRICT_GUARD
                                : MACH_PORT_STATUS_FLAG_GUARDED)
                   : 0;
}

kern_return_t mach_port_get_attributes(ipc_space_read_t task, mach_port_name_t name, int flavor,
                                       mach_port_info_t info, mach_msg_type_number_t *count)
{
    kern_return_t kr;
    mach_port_status_t status;

    if (!ml_is_task_self(task))
        return MACH_SEND_INVALID_DEST;
    if (flavor != MACH_PORT_LIMITS_INFO && flavor != MACH_PORT_RECEIVE_STATUS)
        return KERN_INVALID_ARGUMENT;
    mach_msg_type_number_t needed = flavor == MACH_PORT_LIMITS_INFO
                                        ? MACH_PORT_LIMITS_INFO_COUNT
                                        : MACH_PORT_RECEIVE_STATUS_COUNT;
    if (*count < needed)
        return KERN_FAILURE;
    ml_lock();
    struct ml_receiver *r = find_receiver(name, &kr);
    if (r != NULL) {
        if (flavor == MACH_PORT_LIMITS_INFO) {
            memcpy(info, &r->limits, sizeof r->limits);
        } else {
            fill_status(r, &status);
            memcpy(info, &status, sizeof status);
        }
        *count = needed;
    }
    ml_unlock();
    return kr;
}

kern_return_t mach_port_set_attributes(ipc_space_t task, mach_port_name_t name, int flavor,
                                       mach_port_info_t info, mach_msg_type_number_t count)
{
    mach_port_limits_t limits;
    kern_return_t kr;

    if (!ml_is_task_self(task))
        return MACH_SEND_INVALID_DEST;
    if (flavor != MACH_PORT_LIMITS_INFO)
        return KERN_INVALID_ARGUMENT;
    if (count < MACH_PORT_LIMITS_INFO_COUNT)
        return KERN_FAILURE;
    memcpy(&limits, info, sizeof limits);
    if (limits.mpl_qlimit > MACH_PORT_QLIMIT_MAX)
        return KERN_INVALID_VALUE;
    ml_lock();
    struct ml_receiver *r = find_receiver(name, &kr);
    if (r != NULL)
        r->limits = limits;
    ml_unlock();
    return kr;
}

/* --- sets ------------------------------------------------------------------------------------ */

/* Finds both ends of a membership call. A set of MACH_PORT_NULL is allowed where `nullable`. */
static kern_return_t find_both(mach_port_name_t member, mach_port_name_t set_name, bool nullable,
                               struct ml_receiver **r, struct ml_pset **set)
{
    kern_return_t kr;
    struct ml_entry *e = ml_entry_lookup(set_name);
    *set = NULL;
    *r = find_receiver(member, &kr);
    if (member == MACH_PORT_NULL || member == MACH_PORT_DEAD)
        return KERN_INVALID_RIGHT;
    if (e == NULL && set_name != MACH_PORT_NULL && set_name != MACH_PORT_DEAD)
        return KERN_INVALID_NAME;
    if (*r == NULL || set_name == MACH_PORT_NULL)
        return *r != NULL && nullable ? KERN_SUCCESS : kr != KERN_SUCCESS ? kr : KERN_INVALID_RIGHT;
    if (e == NULL || e->kind != ML_SET)
        return KERN_INVALID_RIGHT;
    *set = e->set;
    return KERN_SUCCESS;
}

kern_return_t mach_port_move_member(ipc_space_t task, mach_port_name_t member,
                                    mach_port_name_t after)
{
    struct ml_receiver *r;
    struct ml_pset *set;

    if (!ml_is_task_self(task))
        return MACH_SEND_INVALID_DEST;
    ml_lock();
    kern_return_t kr = find_both(member, after, true, &r, &set);
    if (kr == KERN_SUCCESS) {
        ml_sets_leave(r);
        if (set != NULL)
            kr = ml_set_insert(set, r);
    }
    ml_unlock();
    return kr;
}

kern_return_t mach_port_insert_member(ipc_space_t task, mach_port_name_t name,
                                      mach_port_name_t pset)
{
    struct ml_receiver *r;
    struct ml_pset *set;

    if (!ml_is_task_self(task))
        return MACH_SEND_INVALID_DEST;
    ml_lock();
    kern_return_t kr = find_both(name, pset, false, &r, &set);
    if (kr == KERN_SUCCESS)
        kr = ml_set_insert(set, r);
    ml_unlock();
    return kr;
}

kern_return_t mach_port_extract_member(ipc_space_t task, mach_port_name_t name,
                                       mach_port_name_t pset)
{
    struct ml_receiver *r;
    struct ml_pset *set;

    if (!ml_is_task_self(task))
        return MACH_SEND_INVALID_DEST;
    ml_lock();
    kern_return_t kr = find_both(name, pset, false, &r, &set);
    if (kr == KERN_SUCCESS)
        kr = ml_set_extract(set, r);
    ml_unlock();
    return kr;
}

kern_return_t mach_port_get_set_status(ipc_space_read_t task, mach_port_name_t name,
                                       mach_port_name_array_t *members,
                                       mach_msg_type_number_t *membersCnt)
{
    kern_return_t kr = KERN_SUCCESS;
    mach_port_name_t *copy = NULL;

    if (!ml_is_task_self(task))
        return MACH_SEND_INVALID_DEST;
    ml_lock();
    struct ml_entry *e = ml_entry_lookup(name);
    if (e == NULL || e->kind != ML_SET) {
        kr = e == NULL && name != MACH_PORT_NULL && name != MACH_PORT_DEAD ? KERN_INVALID_NAME
                                                                           : KERN_INVALID_RIGHT;
    } else {
        uint32_t n = ml_set_members(e->set, NULL, 0);
        copy = ml_vm_allocate(n * sizeof *copy);
        if (copy == NULL && n != 0)
            kr = KERN_RESOURCE_SHORTAGE;
        else
            *membersCnt = ml_set_members(e->set, copy, n);
        *members = copy;
    }
    ml_unlock();
    return kr;
}
