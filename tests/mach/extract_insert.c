/* mach_port_extract_right and mach_port_insert_right, table by table (part C of the rest). */
#include "ports.h"

enum { SEND = MACH_PORT_RIGHT_SEND, DEAD = MACH_PORT_RIGHT_DEAD_NAME };

/* What becomes of the resulting name. */
enum result { R, N, SAME, NEW, PORT_DEAD };

struct extraction {
    enum result result;
    mach_msg_type_name_t poly;
    mach_port_type_t type_after; /* of the name that was extracted from; 0: it is gone */
    long sends_after;            /* its send (or, if dead, dead-name) urefs */
};

#define SR MACH_PORT_TYPE_SEND_RECEIVE

/* Every name made by make_kind: two urefs of whatever has urefs. */
static const struct extraction extractions[KINDS][6] = {
    [A_RECEIVE] = {{NEW, 16, 0, 0},
                   {R, 0, 0x20000, 0},
                   {R, 0, 0x20000, 0},
                   {R, 0, 0x20000, 0},
                   {SAME, 17, SR, 1},
                   {NEW, 18, 0x20000, 0}},
    [A_SEND_RECEIVE] = {{SAME, 16, 0x10000, 2},
                        {SAME, 17, SR, 2},
                        {R, 0, SR, 2},
                        {SAME, 17, SR, 3},
                        {SAME, 17, SR, 3},
                        {NEW, 18, SR, 2}},
    [A_SEND] = {{R, 0, 0x10000, 2},
                {SAME, 17, 0x10000, 2},
                {R, 0, 0x10000, 2},
                {SAME, 17, 0x10000, 3},
                {R, 0, 0x10000, 2},
                {R, 0, 0x10000, 2}},
    [A_SEND_ONCE] = {{R, 0, 0x40000, 0},
                     {R, 0, 0x40000, 0},
                     {NEW, 18, 0, 0},
                     {R, 0, 0x40000, 0},
                     {R, 0, 0x40000, 0},
                     {R, 0, 0x40000, 0}},
    [A_SET] = {{R, 0, 0x80000, 0},
               {R, 0, 0x80000, 0},
               {R, 0, 0x80000, 0},
               {R, 0, 0x80000, 0},
               {R, 0, 0x80000, 0},
               {R, 0, 0x80000, 0}},
    [A_DEAD_NAME] = {{R, 0, 0x100000, 2},
                     {PORT_DEAD, 17, 0x100000, 1},
                     {PORT_DEAD, 18, 0x100000, 1},
                     {PORT_DEAD, 17, 0x100000, 2},
                     {R, 0, 0x100000, 2},
                     {R, 0, 0x100000, 2}},
};

static void try_extract(enum kind kind, mach_msg_type_name_t disposition)
{
    const struct extraction *wanted = &extractions[kind][disposition - 16];
    mach_port_t name = make_kind(kind), got = MACH_PORT_NULL;
    mach_msg_type_name_t poly = 0;
    tap_about("%s, disposition %u", kind_name(kind), disposition);
    kern_return_t code = mach_port_extract_right(TASK, name, disposition, &got, &poly);
    IS_CODE(code, wanted->result == R ? KERN_INVALID_RIGHT : KERN_SUCCESS);
    if (code == KERN_SUCCESS && wanted->result != R) {
        IS(poly, wanted->poly);
        if (wanted->result == NEW)
            IS_TRUE(got != name && type_of(got) == type_for(poly));
        else
            IS(got, wanted->result == SAME ? name : MACH_PORT_DEAD);
    }
    /* A receive right that came back under the name of its sends is there again. */
    mach_port_type_t type = wanted->type_after;
    if (wanted->result == SAME && wanted->poly == 16)
        type = SR;
    if (wanted->result == NEW && wanted->poly != 16 && kind != A_SEND_ONCE)
        IS_TRUE(type_of(name) & MACH_PORT_TYPE_RECEIVE);
    if (wanted->result != NEW) {
        IS(type_of(name), type);
        IS(refs(name, type == 0x100000 ? DEAD : SEND), wanted->sends_after);
    }
}

static void try_extract_all(enum kind kind)
{
    for (mach_msg_type_name_t disposition = 16; disposition <= 21; disposition++)
        try_extract(kind, disposition);
}

CASE(extract_from_a_receive_right)
{
    try_extract_all(A_RECEIVE);
}

CASE(extract_from_send_and_receive)
{
    try_extract_all(A_SEND_RECEIVE);
}

CASE(extract_from_a_send_right)
{
    try_extract_all(A_SEND);
}

CASE(extract_from_a_send_once_right)
{
    try_extract_all(A_SEND_ONCE);
}

CASE(extract_from_a_set)
{
    try_extract_all(A_SET);
}

CASE(extract_from_a_dead_name)
{
    try_extract_all(A_DEAD_NAME);
}

CASE(extract_from_null_dead_and_bogus)
{
    static const enum kind kinds[] = {NAME_NULL, NAME_DEAD, NAME_BOGUS};
    for (int i = 0; i < 3; i++) {
        for (mach_msg_type_name_t disposition = 16; disposition <= 21; disposition++) {
            mach_port_t got = MACH_PORT_NULL;
            mach_msg_type_name_t poly = 0;
            tap_about("%s, disposition %u", kind_name(kinds[i]), disposition);
            IS_CODE(mach_port_extract_right(TASK, make_kind(kinds[i]), disposition, &got, &poly),
                    kinds[i] == NAME_BOGUS ? KERN_INVALID_NAME : KERN_INVALID_RIGHT);
        }
    }
}

CASE(extract_of_the_last_send_uref_gives_a_new_name)
{
    mach_port_t port = make_send_only(1, NULL), got = MACH_PORT_NULL;
    mach_msg_type_name_t poly = 0;
    NEED_OK(mach_port_extract_right(TASK, port, MOVE_SEND, &got, &poly));
    IS(poly, 17);
    IS(type_of(got), MACH_PORT_TYPE_SEND);
    IS(refs(got, SEND), 1);
    if (got != port)
        IS_TRUE(is_gone(port));
}

CASE(extract_with_another_disposition_is_invalid_value_whatever_the_name)
{
    static const mach_msg_type_name_t dispositions[] = {0, 1, 15, 22, 99};
    for (enum kind kind = 0; kind < KINDS; kind++) {
        for (int i = 0; i < 5; i++) {
            mach_port_t got = MACH_PORT_NULL;
            mach_msg_type_name_t poly = 0;
            tap_about("%s, disposition %u", kind_name(kind), dispositions[i]);
            IS_CODE(mach_port_extract_right(TASK, make_kind(kind), dispositions[i], &got, &poly),
                    KERN_INVALID_VALUE);
        }
    }
}

CASE(extract_16_keeps_the_queue_and_resets_seqno_and_mscount)
{
    mach_port_t port = make_port_with_sends(1), got = MACH_PORT_NULL;
    mach_msg_type_name_t poly = 0;
    for (mach_msg_id_t id = 1; id <= 3; id++)
        IS_OK(post(port, COPY_SEND, id));
    IS(take_id(port), 1);
    NEED_OK(mach_port_extract_right(TASK, port, MOVE_RECEIVE, &got, &poly));
    IS(got, port);
    IS(status_of(got).mps_seqno, 0);
    IS(status_of(got).mps_mscount, 0);
    IS(take_id(got), 2);
    IS(take_id(got), 3);
}

/* ---- insert at the name itself ---- */

enum insertion { OK, PLUS_1, INVALID_RIGHT, INVALID_CAPABILITY, CAPABILITY_MINUS_1, NAME_EXISTS };

static const enum insertion insertions[KINDS][6] = {
    [A_RECEIVE] = {OK, INVALID_RIGHT, INVALID_RIGHT, INVALID_RIGHT, PLUS_1, NAME_EXISTS},
    [A_SEND_RECEIVE] = {OK, OK, INVALID_RIGHT, PLUS_1, PLUS_1, NAME_EXISTS},
    [A_SEND] = {INVALID_RIGHT, OK, INVALID_RIGHT, PLUS_1, INVALID_RIGHT, INVALID_RIGHT},
    [A_SEND_ONCE] = {INVALID_RIGHT, INVALID_RIGHT, OK, INVALID_RIGHT, INVALID_RIGHT, INVALID_RIGHT},
    [A_SET] = {INVALID_RIGHT, INVALID_RIGHT, INVALID_RIGHT, INVALID_RIGHT, INVALID_RIGHT,
               INVALID_RIGHT},
    [A_DEAD_NAME] = {INVALID_RIGHT, CAPABILITY_MINUS_1, CAPABILITY_MINUS_1, INVALID_CAPABILITY,
                     INVALID_CAPABILITY, INVALID_RIGHT},
};

static void try_insert_all(enum kind kind)
{
    static const kern_return_t codes[] = {
        [OK] = KERN_SUCCESS,
        [PLUS_1] = KERN_SUCCESS,
        [INVALID_RIGHT] = KERN_INVALID_RIGHT,
        [INVALID_CAPABILITY] = KERN_INVALID_CAPABILITY,
        [CAPABILITY_MINUS_1] = KERN_INVALID_CAPABILITY,
        [NAME_EXISTS] = KERN_NAME_EXISTS,
    };
    mach_port_right_t counted = kind == A_DEAD_NAME ? DEAD : SEND;
    for (mach_msg_type_name_t disposition = 16; disposition <= 21; disposition++) {
        enum insertion wanted = insertions[kind][disposition - 16];
        mach_port_t name = make_kind(kind);
        mach_port_type_t type = type_of(name);
        long before = refs(name, counted);
        tap_about("%s, disposition %u", kind_name(kind), disposition);
        IS_CODE(mach_port_insert_right(TASK, name, name, disposition), codes[wanted]);
        IS(type_of(name), wanted == PLUS_1 ? type | MACH_PORT_TYPE_SEND : type);
        IS(refs(name, counted), before + (wanted == PLUS_1) - (wanted == CAPABILITY_MINUS_1));
    }
}

CASE(insert_into_a_receive_right)
{
    try_insert_all(A_RECEIVE);
}

CASE(insert_into_send_and_receive)
{
    try_insert_all(A_SEND_RECEIVE);
}

CASE(insert_into_a_send_right)
{
    try_insert_all(A_SEND);
}

CASE(insert_into_a_send_once_right)
{
    try_insert_all(A_SEND_ONCE);
}

CASE(insert_into_a_set)
{
    try_insert_all(A_SET);
}

CASE(insert_into_a_dead_name)
{
    try_insert_all(A_DEAD_NAME);
}

CASE(insert_of_a_bogus_name_at_itself_is_invalid_name)
{
    for (mach_msg_type_name_t disposition = 16; disposition <= 21; disposition++)
        IS_CODE(mach_port_insert_right(TASK, BOGUS, BOGUS, disposition), KERN_INVALID_NAME);
}

CASE(insert_of_null_or_dead_at_itself_is_invalid_name)
{
    for (mach_msg_type_name_t disposition = 16; disposition <= 21; disposition++) {
        IS_CODE(mach_port_insert_right(TASK, MACH_PORT_NULL, MACH_PORT_NULL, disposition),
                KERN_INVALID_NAME);
        IS_CODE(mach_port_insert_right(TASK, MACH_PORT_DEAD, MACH_PORT_DEAD, disposition),
                KERN_INVALID_NAME);
    }
}

CASE(insert_at_null_or_dead)
{
    mach_port_t port = make_port();
    IS_CODE(mach_port_insert_right(TASK, MACH_PORT_NULL, port, MAKE_SEND), KERN_INVALID_VALUE);
    IS_CODE(mach_port_insert_right(TASK, MACH_PORT_DEAD, port, MAKE_SEND), KERN_INVALID_VALUE);
}

CASE(insert_with_a_bad_disposition_is_invalid_right)
{
    static const mach_msg_type_name_t dispositions[] = {0, 1, 15, 22};
    for (int i = 0; i < 4; i++) {
        mach_port_t port = make_port_with_sends(1);
        tap_about("disposition %u", dispositions[i]);
        IS_CODE(mach_port_insert_right(TASK, port, port, dispositions[i]), KERN_INVALID_RIGHT);
    }
}

/* ---- insert at another name ---- */

/* A free name. Nothing may be made between taking it and using it, lest it be taken again. */
static mach_port_t fresh_name(void)
{
    mach_port_t name = make_port();
    destroy_receive(name);
    return name;
}

CASE(insert_16_of_a_receive_right_at_a_fresh_name_moves_it_there)
{
    mach_port_t port = make_port_with_sends(0), fresh = fresh_name();
    IS_OK(post(port, MAKE_SEND, 31));
    IS_OK(mach_port_insert_right(TASK, fresh, port, MOVE_RECEIVE));
    IS(type_of(fresh), MACH_PORT_TYPE_RECEIVE);
    IS_TRUE(is_gone(port));
    IS(take_id(fresh), 31);
}

CASE(insert_21_at_a_fresh_name_makes_a_send_once_right_there)
{
    mach_port_t port = make_port(), fresh = fresh_name();
    IS_OK(mach_port_insert_right(TASK, fresh, port, MAKE_SEND_ONCE));
    IS(type_of(fresh), MACH_PORT_TYPE_SEND_ONCE);
    IS_OK(post(fresh, MOVE_SEND_ONCE, 32));
    IS(take_id(port), 32);
}

CASE(insert_18_of_a_send_once_right_at_a_fresh_name_moves_it)
{
    mach_port_t port = make_port(), once = make_send_once(port), fresh = fresh_name();
    IS_OK(mach_port_insert_right(TASK, fresh, once, MOVE_SEND_ONCE));
    IS(type_of(fresh), MACH_PORT_TYPE_SEND_ONCE);
    IS_TRUE(is_gone(once));
    IS_TRUE(is_empty(port));
}

CASE(insert_17_of_the_last_send_uref_at_a_fresh_name_moves_it)
{
    mach_port_t send = make_send_only(1, NULL), fresh = fresh_name();
    IS_OK(mach_port_insert_right(TASK, fresh, send, MOVE_SEND));
    IS(type_of(fresh), MACH_PORT_TYPE_SEND);
    IS_TRUE(is_gone(send));
}

CASE(insert_17_of_the_last_send_uref_at_its_own_name_changes_nothing)
{
    mach_port_t send = make_send_only(1, NULL);
    IS_OK(mach_port_insert_right(TASK, send, send, MOVE_SEND));
    IS(type_of(send), MACH_PORT_TYPE_SEND);
    IS(refs(send, SEND), 1);
}

CASE(insert_at_a_fresh_name_of_a_port_that_keeps_its_name_is_right_exists)
{
    static const mach_msg_type_name_t dispositions[] = {17, 19, 20};
    static const long left[] = {1, 2, 2};
    for (int i = 0; i < 3; i++) {
        mach_port_t port = make_port_with_sends(2), fresh = fresh_name();
        tap_about("send+receive, disposition %u", dispositions[i]);
        IS_CODE(mach_port_insert_right(TASK, fresh, port, dispositions[i]), KERN_RIGHT_EXISTS);
        IS(refs(port, SEND), left[i]);
        IS_TRUE(is_gone(fresh));
    }
    for (int i = 0; i < 2; i++) {
        mach_port_t send = make_send_only(2, NULL), fresh = fresh_name();
        tap_about("send-only, disposition %u", dispositions[i]);
        IS_CODE(mach_port_insert_right(TASK, fresh, send, dispositions[i]), KERN_RIGHT_EXISTS);
        IS(refs(send, SEND), left[i]);
    }
}

CASE(insert_16_of_send_and_receive_at_a_fresh_name_is_right_exists_and_destroys_the_port)
{
    mach_port_t port = make_port_with_sends(2), fresh = fresh_name();
    IS_CODE(mach_port_insert_right(TASK, fresh, port, MOVE_RECEIVE), KERN_RIGHT_EXISTS);
    IS(type_of(port), MACH_PORT_TYPE_DEAD_NAME);
    IS(refs(port, DEAD), 2);
}

CASE(insert_at_a_name_taken_by_something_else)
{
    mach_port_t taken = make_port(), port = make_port();
    IS_CODE(mach_port_insert_right(TASK, taken, port, MAKE_SEND), KERN_RIGHT_EXISTS);
    IS_CODE(mach_port_insert_right(TASK, taken, port, MAKE_SEND_ONCE), KERN_NAME_EXISTS);
    IS(type_of(taken), MACH_PORT_TYPE_RECEIVE);
    IS(type_of(port), MACH_PORT_TYPE_RECEIVE);
}
