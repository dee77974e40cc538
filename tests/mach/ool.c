/* Out-of-line memory and out-of-line ports (part F of the rest). */
#include "peers.h"

#include <stddef.h>
#include <string.h>
#include <unistd.h>

enum { SEND = MACH_PORT_RIGHT_SEND, PAGES = 64 };

struct memory_message {
    mach_msg_header_t header;
    mach_msg_body_t body;
    mach_msg_ool_descriptor_t memory;
    mach_msg_max_trailer_t trailer;
};

struct ports_message {
    mach_msg_header_t header;
    mach_msg_body_t body;
    mach_msg_ool_ports_descriptor_t array;
    mach_msg_max_trailer_t trailer;
};

static const mach_msg_size_t SIZE = 24 + 4 + 16;

static vm_size_t page_size(void)
{
    return (vm_size_t)sysconf(_SC_PAGESIZE);
}

static void memory_to(struct memory_message *message, mach_port_t to, void *address,
                      mach_msg_size_t size, mach_msg_copy_options_t copy, int deallocate)
{
    memset(message, 0, sizeof *message);
    message->header.msgh_bits = MACH_MSGH_BITS_COMPLEX | MACH_MSG_TYPE_COPY_SEND;
    message->header.msgh_remote_port = to;
    message->body.msgh_descriptor_count = 1;
    message->memory.address = address;
    message->memory.size = size;
    message->memory.copy = copy & 0xff;
    message->memory.deallocate = deallocate ? 1 : 0;
    message->memory.type = MACH_MSG_OOL_DESCRIPTOR;
}

static void ports_to(struct ports_message *message, mach_port_t to, mach_port_t *ports,
                     mach_msg_size_t count, mach_msg_type_name_t disposition)
{
    memset(message, 0, sizeof *message);
    message->header.msgh_bits = MACH_MSGH_BITS_COMPLEX | MACH_MSG_TYPE_COPY_SEND;
    message->header.msgh_remote_port = to;
    message->body.msgh_descriptor_count = 1;
    message->array.address = ports;
    message->array.count = count;
    message->array.disposition = disposition & 0xff;
    message->array.copy = MACH_MSG_VIRTUAL_COPY;
    message->array.type = MACH_MSG_OOL_PORTS_DESCRIPTOR;
}

static mach_msg_return_t send_it(void *message, mach_msg_timeout_t timeout)
{
    return mach_msg(message, MACH_SEND_MSG | MACH_SEND_TIMEOUT, SIZE, 0, MACH_PORT_NULL, timeout,
                    MACH_PORT_NULL);
}

static void take_it(void *message, mach_msg_size_t room, mach_port_t port)
{
    NEED_OK(
        mach_msg(message, MACH_RCV_MSG | MACH_RCV_TIMEOUT, 0, room, port, PROMPT, MACH_PORT_NULL));
    NEED(((mach_msg_header_t *)message)->msgh_size == SIZE);
}

static unsigned char *allocate(vm_size_t size, int fill)
{
    vm_address_t address = 0;
    NEED_OK(vm_allocate(TASK, &address, size, VM_FLAGS_ANYWHERE));
    unsigned char *memory = (unsigned char *)address;
    for (vm_size_t i = 0; i < size; i++)
        memory[i] = (unsigned char)((vm_size_t)fill + i * 7);
    return memory;
}

static int holds(const unsigned char *memory, vm_size_t size, int fill)
{
    for (vm_size_t i = 0; i < size; i++)
        if (memory[i] != (unsigned char)((vm_size_t)fill + i * 7))
            return 0;
    return 1;
}

/* Unmapped memory cannot be sent: that is how a case asks whether any of PAGES is mapped. It asks
 * once before it unmaps them, or what the port and the message need for themselves may be put
 * there. For the same reason it asks about the middle, which is filled last. */
static int is_mapped(unsigned char *memory)
{
    static mach_port_t port;
    if (port == MACH_PORT_NULL)
        port = make_port_with_sends(1);
    struct memory_message message;
    memory_to(&message, port, memory + PAGES / 2 * page_size(), 16, MACH_MSG_PHYSICAL_COPY, 0);
    return send_it(&message, NOW) == MACH_MSG_SUCCESS;
}

CASE(memory_arrives_as_a_private_copy_of_what_it_was_when_sent)
{
    for (mach_msg_copy_options_t copy = 0; copy <= 1; copy++) {
        mach_port_t port = make_port_with_sends(1);
        vm_size_t size = PAGES * page_size();
        unsigned char *memory = allocate(size, 3);
        struct memory_message message;
        tap_about("copy %u", copy);
        memory_to(&message, port, memory, (mach_msg_size_t)size, copy, 0);
        NEED_OK(send_it(&message, NOW));
        memory[0] ^= 0xff;
        take_it(&message, sizeof message, port);
        IS(message.memory.size, size);
        IS(message.memory.copy, copy);
        IS(message.memory.deallocate, copy == MACH_MSG_VIRTUAL_COPY);
        IS(message.memory.type, MACH_MSG_OOL_DESCRIPTOR);
        unsigned char *arrived = message.memory.address;
        NEED(arrived && arrived != memory);
        IS_TRUE(holds(arrived, size, 3));
        arrived[1] ^= 0xff;
        IS(memory[1], (unsigned char)(3 + 7));
        IS_OK(vm_deallocate(TASK, (vm_address_t)arrived, size));
    }
}

CASE(memory_that_starts_and_ends_within_a_page)
{
    mach_port_t port = make_port_with_sends(1);
    unsigned char *memory = allocate(2 * page_size(), 5);
    struct memory_message message;
    memory_to(&message, port, memory + 21, 1000, MACH_MSG_VIRTUAL_COPY, 0);
    NEED_OK(send_it(&message, NOW));
    take_it(&message, sizeof message, port);
    IS(message.memory.size, 1000);
    IS(memcmp(message.memory.address, memory + 21, 1000), 0);
}

CASE(copy_options_other_than_0_and_1_are_invalid_type)
{
    mach_port_t port = make_port_with_sends(1);
    for (mach_msg_copy_options_t copy = 2; copy <= 5; copy++) {
        struct memory_message message;
        tap_about("copy %u", copy);
        memory_to(&message, port, allocate(page_size(), 1), 100, copy, 0);
        IS_CODE(send_it(&message, NOW), MACH_SEND_INVALID_TYPE);
    }
    IS_TRUE(is_empty(port));
}

CASE(deallocate_unmaps_the_senders_pages)
{
    mach_port_t port = make_port_with_sends(1);
    vm_size_t size = PAGES * page_size();
    unsigned char *memory = allocate(size, 9);
    struct memory_message message;
    IS_TRUE(is_mapped(memory));
    memory_to(&message, port, memory, (mach_msg_size_t)size, MACH_MSG_VIRTUAL_COPY, 1);
    NEED_OK(send_it(&message, NOW));
    IS_TRUE(!is_mapped(memory));
    take_it(&message, sizeof message, port);
    IS_TRUE(holds(message.memory.address, size, 9));
}

CASE(size_0_arrives_as_null)
{
    mach_port_t port = make_port_with_sends(1);
    struct memory_message message;
    memory_to(&message, port, allocate(page_size(), 1), 0, MACH_MSG_VIRTUAL_COPY, 0);
    NEED_OK(send_it(&message, NOW));
    take_it(&message, sizeof message, port);
    IS(message.memory.size, 0);
    IS_TRUE(message.memory.address == NULL);
}

CASE(unreadable_memory_is_invalid_memory_and_nothing_is_queued)
{
    mach_port_t port = make_port_with_sends(1);
    vm_size_t size = PAGES * page_size();
    unsigned char *memory = allocate(size, 1);
    struct memory_message message;
    NEED(is_mapped(memory));
    IS_OK(vm_deallocate(TASK, (vm_address_t)memory, size));
    memory_to(&message, port, memory + size / 2, 100, MACH_MSG_VIRTUAL_COPY, 0);
    IS_CODE(send_it(&message, NOW), MACH_SEND_INVALID_MEMORY);
    IS_TRUE(is_empty(port));
}

CASE(a_timed_out_send_leaves_a_new_mapping)
{
    mach_port_t port = make_full_port(1);
    vm_size_t size = PAGES * page_size();
    unsigned char *memory = allocate(size, 2);
    struct memory_message message;
    memory_to(&message, port, memory, (mach_msg_size_t)size, MACH_MSG_VIRTUAL_COPY, 0);
    IS_CODE(send_it(&message, NOW), MACH_SEND_TIMED_OUT);
    IS(message.memory.copy, 1);
    IS(message.memory.deallocate, 1);
    IS(message.memory.size, size);
    IS_TRUE((unsigned char *)message.memory.address != memory);
    IS_TRUE(holds(message.memory.address, size, 2));
    IS_TRUE(holds(memory, size, 2));
    drain(port);
    NEED_OK(send_it(&message, NOW));
    take_it(&message, sizeof message, port);
    IS_TRUE(holds(message.memory.address, size, 2));
}

CASE(a_timed_out_send_with_deallocate_takes_the_old_mapping)
{
    mach_port_t port = make_full_port(1);
    vm_size_t size = PAGES * page_size();
    unsigned char *memory = allocate(size, 4);
    struct memory_message message;
    IS_TRUE(is_mapped(memory));
    memory_to(&message, port, memory, (mach_msg_size_t)size, MACH_MSG_VIRTUAL_COPY, 1);
    IS_CODE(send_it(&message, NOW), MACH_SEND_TIMED_OUT);
    IS(message.memory.deallocate, 1);
    IS_TRUE(holds(message.memory.address, size, 4));
    IS_TRUE((unsigned char *)message.memory.address == memory || !is_mapped(memory));
}

CASE(deallocate_unmaps_the_pages_that_cover_the_memory)
{
    mach_port_t port = make_port_with_sends(1);
    unsigned char *memory = allocate(PAGES * page_size(), 6);
    struct memory_message message;
    IS_TRUE(is_mapped(memory));
    /* From within the first page to within the last. */
    memory_to(&message, port, memory + 100, (mach_msg_size_t)((PAGES - 1) * page_size()),
              MACH_MSG_VIRTUAL_COPY, 1);
    NEED_OK(send_it(&message, NOW));
    IS_TRUE(!is_mapped(memory));
    struct memory_message probe;
    memory_to(&probe, port, memory, 16, MACH_MSG_PHYSICAL_COPY, 0);
    IS_CODE(send_it(&probe, NOW), MACH_SEND_INVALID_MEMORY);
    memory_to(&probe, port, memory + PAGES * page_size() - 16, 16, MACH_MSG_PHYSICAL_COPY, 0);
    IS_CODE(send_it(&probe, NOW), MACH_SEND_INVALID_MEMORY);
}

/* ---- ports ---- */

CASE(ports_arrive_as_inline_ones_in_an_array_to_be_deallocated)
{
    static const mach_msg_type_name_t sent[] = {16, 17, 19, 20, 21};
    static const mach_msg_type_name_t arrives[] = {16, 17, 17, 17, 18};
    for (int i = 0; i < 5; i++) {
        mach_port_t carrier = make_port_with_sends(1);
        mach_port_t ports[2] = {make_port_with_sends(1), make_port_with_sends(1)};
        struct ports_message message;
        tap_about("disposition %u", sent[i]);
        ports_to(&message, carrier, ports, 2, sent[i]);
        NEED_OK(send_it(&message, NOW));
        take_it(&message, sizeof message, carrier);
        IS(message.array.count, 2);
        IS(message.array.disposition, arrives[i]);
        IS(message.array.deallocate, 1);
        IS(message.array.type, MACH_MSG_OOL_PORTS_DESCRIPTOR);
        mach_port_t *arrived = message.array.address;
        NEED(arrived != NULL);
        for (int j = 0; j < 2; j++) {
            if (arrives[i] == 18)
                IS(type_of(arrived[j]), MACH_PORT_TYPE_SEND_ONCE);
            else
                IS(arrived[j], ports[j]);
        }
        IS_OK(vm_deallocate(TASK, (vm_address_t)arrived, 2 * sizeof *arrived));
    }
}

CASE(send_once_rights_are_moved_in_an_array)
{
    mach_port_t carrier = make_port_with_sends(1), port = make_port();
    mach_port_t ports[2] = {make_send_once(port), make_send_once(port)};
    struct ports_message message;
    ports_to(&message, carrier, ports, 2, MOVE_SEND_ONCE);
    NEED_OK(send_it(&message, NOW));
    IS_TRUE(is_gone(ports[0]) && is_gone(ports[1]));
    take_it(&message, sizeof message, carrier);
    IS(message.array.disposition, 18);
    const mach_port_t *arrived = message.array.address;
    for (int i = 0; i < 2; i++) {
        IS_OK(post(arrived[i], MOVE_SEND_ONCE, i));
        IS(take_id(port), i);
    }
}

CASE(copy_options_other_than_0_and_1_of_an_array_are_invalid_type)
{
    mach_port_t carrier = make_port_with_sends(1), ports[1] = {make_port_with_sends(2)};
    for (mach_msg_copy_options_t copy = 2; copy <= 5; copy++) {
        struct ports_message message;
        tap_about("copy %u", copy);
        ports_to(&message, carrier, ports, 1, MOVE_SEND);
        message.array.copy = copy & 0xff;
        IS_CODE(send_it(&message, NOW), MACH_SEND_INVALID_TYPE);
    }
    IS(refs(ports[0], SEND), 2);
    IS_TRUE(is_empty(carrier));
}

CASE(null_and_dead_pass_in_an_array)
{
    mach_port_t carrier = make_port_with_sends(1), port = make_port_with_sends(1);
    mach_port_t ports[3] = {MACH_PORT_NULL, port, MACH_PORT_DEAD};
    struct ports_message message;
    ports_to(&message, carrier, ports, 3, COPY_SEND);
    NEED_OK(send_it(&message, NOW));
    take_it(&message, sizeof message, carrier);
    IS(memcmp(message.array.address, ports, sizeof ports), 0);
}

CASE(an_array_failing_halfway_consumes_the_earlier_and_leaves_the_later)
{
    mach_port_t carrier = make_port_with_sends(1);
    mach_port_t ports[3] = {make_port_with_sends(2), BOGUS, make_port_with_sends(2)};
    struct ports_message message;
    ports_to(&message, carrier, ports, 3, MOVE_SEND);
    IS_CODE(send_it(&message, NOW), MACH_SEND_INVALID_RIGHT);
    IS(refs(ports[0], SEND), 1);
    IS(refs(ports[2], SEND), 2);
    IS_TRUE(is_empty(carrier));
}

CASE(an_array_of_0_is_fine)
{
    mach_port_t carrier = make_port_with_sends(1);
    struct ports_message message;
    ports_to(&message, carrier, NULL, 0, COPY_SEND);
    NEED_OK(send_it(&message, NOW));
    take_it(&message, sizeof message, carrier);
    IS(message.array.count, 0);
}

CASE(an_array_of_100)
{
    enum { COUNT = 100 };
    mach_port_t carrier = make_port_with_sends(1), ports[COUNT];
    struct ports_message message;
    for (int i = 0; i < COUNT; i++)
        ports[i] = make_port_with_sends(1);
    ports_to(&message, carrier, ports, COUNT, COPY_SEND);
    NEED_OK(send_it(&message, NOW));
    take_it(&message, sizeof message, carrier);
    NEED(message.array.count == COUNT);
    IS(memcmp(message.array.address, ports, sizeof ports), 0);
}

CASE(an_array_of_1000)
{
    enum { COUNT = 1000 };
    static mach_port_t ports[COUNT];
    mach_port_t carrier = make_port_with_sends(1), port = make_port_with_sends(1);
    struct ports_message message;
    for (int i = 0; i < COUNT; i++)
        ports[i] = port;
    ports_to(&message, carrier, ports, COUNT, COPY_SEND);
    NEED_OK(send_it(&message, NOW));
    take_it(&message, sizeof message, carrier);
    NEED(message.array.count == COUNT);
    IS(memcmp(message.array.address, ports, sizeof ports), 0);
    IS(refs(port, SEND), 1 + COUNT);
}

CASE(an_array_of_16383_is_too_large)
{
    enum { COUNT = 16383 };
    static mach_port_t ports[COUNT];
    mach_port_t carrier = make_port_with_sends(1);
    struct ports_message message;
    ports_to(&message, carrier, ports, COUNT, COPY_SEND);
    IS_CODE(send_it(&message, NOW), MACH_SEND_TOO_LARGE);
}

struct arrays_message {
    mach_msg_header_t header;
    mach_msg_body_t body;
    mach_msg_ool_ports_descriptor_t arrays[2];
    mach_msg_max_trailer_t trailer;
};

/* NULL for a name, which costs nothing but its place in the message. */
CASE(arrays_of_16382_in_all_are_the_most)
{
    static mach_port_t ports[16382];
    mach_port_t carrier = make_port_with_sends(1);
    for (unsigned more = 0; more < 2; more++) {
        struct arrays_message message;
        memset(&message, 0, sizeof message);
        tap_about("%u", 16382 + more);
        message.header.msgh_bits = MACH_MSGH_BITS_COMPLEX | COPY_SEND;
        message.header.msgh_remote_port = carrier;
        message.body.msgh_descriptor_count = 2;
        for (int i = 0; i < 2; i++) {
            message.arrays[i].address = ports;
            message.arrays[i].count = i ? 8000 + more : 8382;
            message.arrays[i].copy = MACH_MSG_PHYSICAL_COPY;
            message.arrays[i].disposition = COPY_SEND;
            message.arrays[i].type = MACH_MSG_OOL_PORTS_DESCRIPTOR;
        }
        IS_CODE(mach_msg(&message.header, MACH_SEND_MSG | MACH_SEND_TIMEOUT,
                         offsetof(struct arrays_message, trailer), 0, MACH_PORT_NULL, NOW,
                         MACH_PORT_NULL),
                more ? MACH_SEND_TOO_LARGE : MACH_MSG_SUCCESS);
    }
}

struct mixed_message {
    mach_msg_header_t header;
    mach_msg_body_t body;
    mach_msg_port_descriptor_t port;
    mach_msg_ool_descriptor_t memory;
    mach_msg_ool_ports_descriptor_t array;
    uint32_t data;
    mach_msg_max_trailer_t trailer;
};

CASE(descriptors_of_all_types_in_one_message)
{
    mach_port_t carrier = make_port(), port = make_port(), ports[2] = {make_port(), make_port()};
    const mach_msg_size_t size = offsetof(struct mixed_message, trailer);
    struct mixed_message message;
    memset(&message, 0, sizeof message);
    message.header.msgh_bits = MACH_MSGH_BITS_COMPLEX | MACH_MSG_TYPE_MAKE_SEND;
    message.header.msgh_remote_port = carrier;
    message.body.msgh_descriptor_count = 3;
    message.port.name = port;
    message.port.disposition = MACH_MSG_TYPE_MAKE_SEND_ONCE;
    message.memory.address = allocate(page_size(), 6);
    message.memory.size = 100;
    message.memory.type = MACH_MSG_OOL_DESCRIPTOR;
    message.array.address = ports;
    message.array.count = 2;
    message.array.disposition = MACH_MSG_TYPE_MAKE_SEND;
    message.array.type = MACH_MSG_OOL_PORTS_DESCRIPTOR;
    message.data = 0x12345678;
    NEED_OK(mach_msg(&message.header, MACH_SEND_MSG | MACH_SEND_TIMEOUT, size, 0, MACH_PORT_NULL,
                     NOW, MACH_PORT_NULL));
    memset(&message, 0, sizeof message);
    NEED_OK(mach_msg(&message.header, MACH_RCV_MSG | MACH_RCV_TIMEOUT, 0, sizeof message, carrier,
                     PROMPT, MACH_PORT_NULL));
    IS(message.header.msgh_size, size);
    IS(message.data, 0x12345678);
    IS(type_of(message.port.name), MACH_PORT_TYPE_SEND_ONCE);
    IS_TRUE(holds(message.memory.address, 100, 6));
    NEED(message.array.count == 2);
    IS(memcmp(message.array.address, ports, sizeof ports), 0);
}

/* ---- mach_msg_destroy ---- */

CASE(mach_msg_destroy_frees_memory_only_with_deallocate)
{
    for (int deallocate = 0; deallocate <= 1; deallocate++) {
        vm_size_t size = PAGES * page_size();
        unsigned char *memory = allocate(size, 1);
        struct memory_message message;
        tap_about("deallocate %d", deallocate);
        NEED(is_mapped(memory));
        memory_to(&message, MACH_PORT_NULL, memory, (mach_msg_size_t)size, MACH_MSG_VIRTUAL_COPY,
                  deallocate);
        mach_msg_destroy(&message.header);
        IS(is_mapped(memory), !deallocate);
    }
}

CASE(mach_msg_destroy_drops_the_rights_of_an_array)
{
    mach_port_t carrier = make_port_with_sends(1), port = make_port_with_sends(1);
    mach_port_t ports[2] = {port, port};
    struct ports_message message;
    ports_to(&message, carrier, ports, 2, COPY_SEND);
    NEED_OK(send_it(&message, NOW));
    take_it(&message, sizeof message, carrier);
    IS(refs(port, SEND), 3);
    mach_msg_destroy(&message.header);
    IS(refs(port, SEND), 1);
}

CASE(vm_allocate_gives_zeroed_pages_that_vm_deallocate_unmaps)
{
    vm_address_t address = 0;
    NEED_OK(vm_allocate(TASK, &address, PAGES * page_size(), VM_FLAGS_ANYWHERE));
    IS(address % page_size(), 0);
    for (vm_size_t i = 0; i < PAGES * page_size(); i++)
        NEED(((unsigned char *)address)[i] == 0);
    NEED(is_mapped((unsigned char *)address));
    IS_OK(vm_deallocate(TASK, address, PAGES * page_size()));
    IS_TRUE(!is_mapped((unsigned char *)address));
}

/* ---- two processes ---- */

static void send_memory_and_ports(mach_port_t home)
{
    vm_size_t size = 100 * page_size();
    unsigned char *memory = allocate(size, 4);
    struct memory_message message;
    memory_to(&message, home, memory, (mach_msg_size_t)size, MACH_MSG_VIRTUAL_COPY, 1);
    NEED_OK(send_it(&message, PROMPT));
    mach_port_t ports[2] = {make_port(), make_port()};
    struct ports_message array;
    ports_to(&array, home, ports, 2, MAKE_SEND);
    NEED_OK(send_it(&array, PROMPT));
    IS(take_id(ports[0]), 1);
    IS(take_id(ports[1]), 2);
}

CASE(two_process_memory_and_ports)
{
    mach_port_t home = make_port();
    pid_t peer = peer_start(home, send_memory_and_ports);
    struct memory_message message;
    take_it(&message, sizeof message, home);
    IS(message.memory.size, 100 * page_size());
    IS_TRUE(holds(message.memory.address, 100 * page_size(), 4));
    struct ports_message array;
    take_it(&array, sizeof array, home);
    NEED(array.array.count == 2);
    mach_port_t *ports = array.array.address;
    IS_OK(post(ports[0], COPY_SEND, 1));
    IS_OK(post(ports[1], COPY_SEND, 2));
    peer_join(peer);
}
