/* What the cases say over and over: make a port or another kind of name, look at it, fill a letter,
 * post it, receive one. All of it is Apple's API; whatever goes wrong in here ends the case. Names
 * made here belong to the case, which ends with its process and so need not give anything back. */
#ifndef TESTS_MACH_PORTS_H
#define TESTS_MACH_PORTS_H

#include "tap.h"

#include <mach/notify.h>
#include <stdint.h>

#define TASK mach_task_self()
#define MAKE_SEND MACH_MSG_TYPE_MAKE_SEND
#define COPY_SEND MACH_MSG_TYPE_COPY_SEND
#define MOVE_SEND MACH_MSG_TYPE_MOVE_SEND
#define MAKE_SEND_ONCE MACH_MSG_TYPE_MAKE_SEND_ONCE
#define MOVE_SEND_ONCE MACH_MSG_TYPE_MOVE_SEND_ONCE
#define MOVE_RECEIVE MACH_MSG_TYPE_MOVE_RECEIVE

enum {
    PROMPT = 30000,     /* ms: long enough for what should come at once on the busiest machine */
    NOW = 0,            /* ms: it is there already, or not */
    BOGUS = 0x00abcd03, /* a name nobody was given */
    FILLER = -77,
    LETTER_PORTS = 64,   /* port descriptors that fit into a letter */
    LETTER_BYTES = 4096, /* its whole room */
};

/* The kinds of name that the tables of the reference distinguish. */
enum kind {
    A_RECEIVE,
    A_SEND_RECEIVE,
    A_SEND,
    A_SEND_ONCE,
    A_SET,
    A_DEAD_NAME,
    NAME_NULL,
    NAME_DEAD,
    NAME_BOGUS,
    KINDS
};

/* A message with room: inline port descriptors follow the body, data follows them. */
struct letter {
    union {
        mach_msg_header_t header;
        struct {
            mach_msg_header_t unused;
            mach_msg_body_t body;
            mach_msg_port_descriptor_t ports[LETTER_PORTS];
        };
        unsigned char bytes[LETTER_BYTES];
    };
};

/* ---- names ---- */
mach_port_t make_port(void);
mach_port_t make_port_with_sends(mach_port_urefs_t urefs);
mach_port_t make_set(void);
mach_port_t make_dead_name(mach_port_urefs_t urefs);
mach_port_t make_send_once(mach_port_t port);
void add_sends(mach_port_t port, mach_port_urefs_t urefs);
/* A send right alone with its receive right out of reach: queued at *parked_at. */
mach_port_t make_send_only(mach_port_urefs_t urefs, mach_port_t *parked_at);
mach_port_t make_kind(enum kind kind);
const char *kind_name(enum kind kind);

/* User references of one right; -1 for a name that is no name at all. */
long refs(mach_port_t name, mach_port_right_t right);
/* The type bits; 0 when there is no such name. */
mach_port_type_t type_of(mach_port_t name);
/* The type of a name that holds what arrived (16, 17 or 18). */
mach_port_type_t type_for(mach_msg_type_name_t arrived);
mach_port_status_t status_of(mach_port_t port);
int is_gone(mach_port_t name);
/* Waits for a name to become a dead name, as it does when another process ends. */
int becomes_dead(mach_port_t name);
void set_qlimit(mach_port_t port, mach_port_msgcount_t limit);
void destroy_receive(mach_port_t port);
/* A port whose queue takes nothing more, filled up with messages of id FILLER: however the
 * implementation counts its queue. */
mach_port_t make_full_port(mach_port_urefs_t urefs);

/* ---- letters ---- */
void letter_to(struct letter *letter, mach_port_t destination, mach_msg_type_name_t disposition,
               mach_msg_id_t id);
void letter_reply(struct letter *letter, mach_port_t reply, mach_msg_type_name_t disposition);
void letter_right(struct letter *letter, mach_port_t name, mach_msg_type_name_t disposition);
void letter_data(struct letter *letter, const void *data, mach_msg_size_t size);
mach_msg_return_t letter_send(struct letter *letter, mach_msg_timeout_t timeout);
mach_msg_return_t letter_receive(struct letter *letter, mach_port_t port, mach_msg_option_t options,
                                 mach_msg_timeout_t timeout);
/* Where the trailer of a received letter lies. */
mach_msg_max_trailer_t *letter_trailer(struct letter *letter);

/* An empty message, with no wait. */
mach_msg_return_t post(mach_port_t destination, mach_msg_type_name_t disposition, mach_msg_id_t id);
/* A message with one right, to a port whose receive right is held here, with no wait. */
mach_msg_return_t post_right(mach_port_t to, mach_port_t name, mach_msg_type_name_t disposition);
/* Receives a letter or ends the case. */
void take(struct letter *letter, mach_port_t port);
/* Receives a letter that carries one right and gives that right's name. */
mach_port_t take_right(mach_port_t port, mach_msg_type_name_t arrives_as);
mach_msg_id_t take_id(mach_port_t port);
/* The same, passing over the FILLERs of a full port. */
void take_after_fillers(struct letter *letter, mach_port_t port);
/* Empties a full port. */
void drain(mach_port_t port);
/* Receives what must be a notification of this kind and gives the name or count in its body. */
unsigned take_notification(mach_port_t port, mach_msg_id_t id);
int is_empty(mach_port_t port);
mach_port_t request(mach_port_t name, mach_msg_id_t id, mach_port_mscount_t sync,
                    mach_port_t notify);

#endif
