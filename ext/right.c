/* The right objects' ownership rules; their Python types are in right_types.c.
 *
 * right.h says who owns what. The word of a right object holds the name in its low half, above it a
 * count of pins, and three flags. Every transition is one compare-and-exchange; whoever makes the
 * transition that leaves nobody responsible for the name releases it. */
#include "right.h"

#include "args.h"
#include "requests.h"

#define WORD_OPEN (UINT64_C(1) << 63)   /* the object owns the right and may be used */
#define WORD_MOVING (UINT64_C(1) << 62) /* a call may give the right away */
#define WORD_RELEASE                                                                               \
    (UINT64_C(1) << 61) /* closed during a use: its last user releases the name                    \
                         */
#define WORD_PIN (UINT64_C(1) << 32)
#define WORD_PINS (UINT64_C(0xffffff) << 32)

const char *const right_kind_names[RIGHT_KINDS] = {"SendRight", "SendOnceRight", "ReceiveRight",
                                                   "DeadName", "PortSet"};

static mach_port_name_t word_name(uint64_t word)
{
    return (mach_port_name_t)(word & UINT32_MAX);
}

/* --- ownership ------------------------------------------------------------------------------ */

void right_name_release(enum right_kind kind, mach_port_name_t name)
{
    if (!MACH_PORT_VALID(name))
        return;
    /* A failure here means that native code released a name that it had given away: there is
     * nobody left to tell. mach_port_deallocate also drops what a send right turned into when its
     * port died, a user reference of a dead name. */
    if (kind == RIGHT_RECEIVE)
        (void)mach_port_destruct(mach_task_self(), name, 0, 0);
    else if (kind == RIGHT_PORT_SET)
        (void)mach_port_mod_refs(mach_task_self(), name, MACH_PORT_RIGHT_PORT_SET, -1);
    else
        (void)mach_port_deallocate(mach_task_self(), name);
}

static bool right_is_stale(const struct right *right)
{
    return right->generation !=
           atomic_load_explicit(&right->state->generation, memory_order_relaxed);
}

static void right_release_now(struct right *right, mach_port_name_t name)
{
    if (right_is_stale(right))
        return;
    /* Before another port can have the name. */
    if (right->kind == RIGHT_RECEIVE)
        requests_receive_gone(right->state, name);
    right_name_release(right->kind, name);
}

mach_port_name_t right_peek(struct right *right)
{
    uint64_t word = atomic_load(&right->word);
    return (word & WORD_OPEN) && !right_is_stale(right) ? word_name(word) : MACH_PORT_NULL;
}

int right_fail_closed(const struct right *right)
{
    PyErr_Format(PyExc_ValueError, "operation on a closed %s%s", right_kind_names[right->kind],
                 right_is_stale(right) ? " (port rights do not survive a fork)" : "");
    return -1;
}

static int fail_in_use(const struct right *right)
{
    PyErr_Format(PyExc_ValueError, "the %s is in use by another call",
                 right_kind_names[right->kind]);
    return -1;
}

int right_pin(struct right *right, mach_port_name_t *name)
{
    uint64_t word = atomic_load(&right->word);
    do {
        if (!(word & WORD_OPEN) || right_is_stale(right))
            return right_fail_closed(right);
        if (word & WORD_MOVING)
            return fail_in_use(right);
    } while (!atomic_compare_exchange_weak(&right->word, &word, word + WORD_PIN));
    *name = word_name(word);
    return 0;
}

void right_unpin(struct right *right)
{
    uint64_t word = atomic_load(&right->word);
    uint64_t next;
    do {
        next = word - WORD_PIN;
        if (!(next & WORD_PINS) && (next & WORD_RELEASE))
            next = 0;
    } while (!atomic_compare_exchange_weak(&right->word, &word, next));
    if (next == 0 && (word & WORD_RELEASE))
        right_release_now(right, word_name(word));
}

int right_move_begin(struct right *right, mach_port_name_t *name)
{
    uint64_t word = atomic_load(&right->word);
    do {
        if (!(word & WORD_OPEN) || right_is_stale(right))
            return right_fail_closed(right);
        if (word & (WORD_MOVING | WORD_PINS))
            return fail_in_use(right);
    } while (!atomic_compare_exchange_weak(&right->word, &word, word | WORD_MOVING));
    *name = word_name(word);
    return 0;
}

/* The object has nothing any more; the name that it had. Nobody else changes a word that is MOVING
 * but to ask for a release, which is now moot. */
static mach_port_name_t move_out(struct right *right)
{
    mach_port_name_t name = word_name(atomic_exchange(&right->word, 0));
    port_descriptor_drop(&right->descriptor, right->state);
    return name;
}

void right_move_end(struct right *right)
{
    mach_port_name_t name = move_out(right);
    if (right->kind == RIGHT_RECEIVE)
        requests_receive_moved(right->state, name);
}

void right_move_give_back(struct right *right, mach_port_name_t name)
{
    uint64_t word = atomic_load(&right->word);
    uint64_t next;
    if (right->kind == RIGHT_RECEIVE)
        requests_receive_renamed(right->state, word_name(word), name);
    do {
        next = word & WORD_RELEASE ? 0 : WORD_OPEN | name;
    } while (!atomic_compare_exchange_weak(&right->word, &word, next));
    if (next == 0)
        right_release_now(right, name);
}

bool right_is_moving(struct right *right)
{
    return (atomic_load(&right->word) & WORD_MOVING) != 0;
}

mach_port_name_t right_moving_name(struct right *right)
{
    return word_name(atomic_load(&right->word));
}

void right_close(struct right *right)
{
    uint64_t word = atomic_load(&right->word);
    uint64_t next;
    do {
        if (!(word & WORD_OPEN))
            return;
        next = word & (WORD_PINS | WORD_MOVING) ? (word & ~WORD_OPEN) | WORD_RELEASE : 0;
    } while (!atomic_compare_exchange_weak(&right->word, &word, next));
    port_descriptor_drop(&right->descriptor, right->state);
    if (next == 0)
        right_release_now(right, word_name(word));
}

int right_detach(struct right *right, mach_port_name_t *name)
{
    uint64_t word = atomic_load(&right->word);
    do {
        if (!(word & WORD_OPEN) || right_is_stale(right))
            return right_fail_closed(right);
        if (word & (WORD_MOVING | WORD_PINS))
            return fail_in_use(right);
    } while (!atomic_compare_exchange_weak(&right->word, &word, 0));
    *name = word_name(word);
    port_descriptor_drop(&right->descriptor, right->state);
    return 0;
}

void right_end(struct right *right)
{
    /* Nobody has the object any more: what has not ended by now never will. */
    uint64_t word = atomic_exchange(&right->word, 0);
    port_descriptor_drop(&right->descriptor, right->state);
    if (word & (WORD_OPEN | WORD_MOVING | WORD_RELEASE))
        right_release_now(right, word_name(word));
}

/* --- making and finding objects -------------------------------------------------------------- */

static struct right *right_new(struct module_state *state, PyTypeObject *type, enum right_kind kind,
                               mach_port_name_t name)
{
    PyObject *members = kind == RIGHT_PORT_SET ? PyDict_New() : NULL;
    if (kind == RIGHT_PORT_SET && !members)
        return NULL;
    struct right *right = PyObject_New(struct right, type);
    if (!right) {
        Py_XDECREF(members);
        return NULL;
    }
    right->weak_references = NULL;
    right->state = state;
    right->generation = atomic_load_explicit(&state->generation, memory_order_relaxed);
    right->kind = kind;
    right->from_bootstrap = false;
    atomic_init(&right->is_to_queue, false);
    right->members = members;
    lock_init(&right->members_lock);
    atomic_init(&right->members_most, MEMBERS_TIDIED_AT);
    port_descriptor_init(&right->descriptor);
    atomic_init(&right->word, WORD_OPEN | name);
    atomic_init(&right->dropped, 0);
    ledger_enter(right);
    return right;
}

struct right *right_adopt(struct module_state *state, enum right_kind kind, mach_port_name_t name)
{
    return right_new(state, state->right_types[kind], kind, name);
}

struct right *right_steal(struct module_state *state, enum right_kind kind, mach_port_name_t name)
{
    /* What was asked for at an earlier port of that name, or of it, does not concern this one. */
    if (kind == RIGHT_RECEIVE)
        requests_receive_gone(state, name);
    struct right *right = right_adopt(state, kind, name);
    if (!right)
        right_name_release(kind, name);
    return right;
}

struct right *right_move_take(struct right *right)
{
    mach_port_name_t name = right_moving_name(right);
    if (right_is_stale(right)) {
        right_fail_closed(right);
        return NULL;
    }
    struct right *taken = right_adopt(right->state, right->kind, name);
    if (!taken)
        return NULL;
    taken->from_bootstrap = right->from_bootstrap;
    (void)move_out(right); /* the port stays, and what was asked for at it */
    return taken;
}

struct right *right_from_object(struct module_state *state, PyObject *object)
{
    PyTypeObject *type = Py_TYPE(object);
    for (int kind = 0; kind < RIGHT_KINDS; kind++) {
        if (type == state->right_types[kind])
            return (struct right *)object;
    }
    return NULL;
}

struct right *right_expect(struct module_state *state, PyObject *object, enum right_kind kind,
                           const char *what)
{
    if (Py_TYPE(object) == state->right_types[kind])
        return (struct right *)object;
    PyErr_Format(PyExc_TypeError, "%s must be a %s, not %R", what, right_kind_names[kind],
                 (PyObject *)Py_TYPE(object));
    return NULL;
}

PyObject *right_arrived(struct module_state *state, mach_port_name_t name,
                        mach_msg_type_name_t disposition)
{
    if (name == MACH_PORT_NULL)
        return Py_NewRef(Py_None);
    enum right_kind kind = RIGHT_SEND;
    if (name == MACH_PORT_DEAD)
        kind = RIGHT_DEAD_NAME;
    else if (disposition == MACH_MSG_TYPE_PORT_RECEIVE)
        kind = RIGHT_RECEIVE;
    else if (disposition == MACH_MSG_TYPE_PORT_SEND_ONCE)
        kind = RIGHT_SEND_ONCE;
    return (PyObject *)right_steal(state, kind, name);
}

/* --- how a right travels --------------------------------------------------------------------- */

#define BIT(disposition) (1u << (disposition))

/* What each kind of right can be sent as. A dead name arrives as MACH_PORT_DEAD. */
static const unsigned fitting[RIGHT_KINDS] = {
    [RIGHT_SEND] = BIT(MACH_MSG_TYPE_MOVE_SEND) | BIT(MACH_MSG_TYPE_COPY_SEND),
    [RIGHT_SEND_ONCE] = BIT(MACH_MSG_TYPE_MOVE_SEND_ONCE),
    [RIGHT_RECEIVE] = BIT(MACH_MSG_TYPE_MOVE_RECEIVE) | BIT(MACH_MSG_TYPE_MAKE_SEND) |
                      BIT(MACH_MSG_TYPE_MAKE_SEND_ONCE),
    [RIGHT_DEAD_NAME] = BIT(MACH_MSG_TYPE_MOVE_SEND) | BIT(MACH_MSG_TYPE_MOVE_SEND_ONCE) |
                        BIT(MACH_MSG_TYPE_COPY_SEND),
};

int right_disposition(const struct right *right, PyObject *argument,
                      mach_msg_type_name_t *disposition)
{
    int value;
    if (fitting[right->kind] == 0) {
        PyErr_Format(PyExc_TypeError, "a %s cannot be sent", right_kind_names[right->kind]);
        return -1;
    }
    if (arg_is_none(argument) && right->kind == RIGHT_RECEIVE) {
        PyErr_SetString(PyExc_TypeError, "a disposition must be given for a ReceiveRight");
        return -1;
    }
    if (arg_is_none(argument)) {
        *disposition =
            right->kind == RIGHT_SEND_ONCE ? MACH_MSG_TYPE_MOVE_SEND_ONCE : MACH_MSG_TYPE_COPY_SEND;
        return 0;
    }
    if (arg_int(argument, "disposition", &value) < 0)
        return -1;
    if (value < 0 || value > 31 || !(fitting[right->kind] & BIT(value))) {
        PyErr_Format(PyExc_ValueError, "disposition %d does not fit %R", value, (PyObject *)right);
        return -1;
    }
    *disposition = (mach_msg_type_name_t)value;
    return 0;
}
