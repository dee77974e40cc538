/* How messages are laid out (part F of the rest): descriptors, what follows them, and large bodies.
 */
#include "peers.h"

#include <stddef.h>
#include <string.h>

CASE(the_descriptors_are_laid_out_as_apples)
{
    IS(sizeof(mach_msg_port_descriptor_t), 12);
    IS(sizeof(mach_msg_ool_descriptor_t), 16);
    IS(sizeof(mach_msg_ool_ports_descriptor_t), 16);
    IS(offsetof(mach_msg_ool_descriptor_t, address), 0);
    IS(offsetof(mach_msg_ool_descriptor_t, size), 12);
    IS(offsetof(mach_msg_ool_ports_descriptor_t, count), 12);
    mach_msg_ool_ports_descriptor_t ool;
    memset(&ool, 0, sizeof ool);
    ool.deallocate = 1;
    ool.copy = 1;
    ool.disposition = 20;
    ool.type = 2;
    const unsigned char *bytes = (const unsigned char *)&ool;
    IS(bytes[8], 1);
    IS(bytes[9], 1);
    IS(bytes[10], 20);
    IS(bytes[11], 2);
    mach_msg_port_descriptor_t port;
    memset(&port, 0, sizeof port);
    port.disposition = 17;
    port.type = 3;
    bytes = (const unsigned char *)&port;
    IS(bytes[10], 17);
    IS(bytes[11], 3);
}

CASE(the_pads_of_a_port_descriptor_arrive_as_0)
{
    mach_port_t carrier = make_port();
    struct letter letter;
    letter_to(&letter, carrier, MAKE_SEND, 1);
    letter_right(&letter, make_port(), MAKE_SEND);
    memset((unsigned char *)&letter.ports[0] + 4, 0xff, 6);
    NEED_OK(letter_send(&letter, NOW));
    take(&letter, carrier);
    for (int i = 4; i < 10; i++)
        IS(((unsigned char *)&letter.ports[0])[i], 0);
}

CASE(inline_data_follows_the_descriptors_directly)
{
    mach_port_t carrier = make_port();
    struct letter letter;
    letter_to(&letter, carrier, MAKE_SEND, 1);
    letter_right(&letter, make_port(), MAKE_SEND);
    letter_data(&letter, "following", 8);
    NEED_OK(letter_send(&letter, NOW));
    take(&letter, carrier);
    IS(letter.header.msgh_size, 48);
    IS(memcmp(letter.bytes + 40, "followin", 8), 0);
}

struct large_message {
    mach_msg_header_t header;
    unsigned char data[4 << 20];
    mach_msg_max_trailer_t trailer;
};

static struct large_message large;

static void send_4_mib(mach_port_t home)
{
    mach_msg_size_t size = (mach_msg_size_t)offsetof(struct large_message, trailer);
    for (size_t i = 0; i < sizeof large.data; i++)
        large.data[i] = (unsigned char)(i * 13);
    large.header.msgh_bits = MACH_MSG_TYPE_COPY_SEND;
    large.header.msgh_remote_port = home;
    NEED_OK(mach_msg(&large.header, MACH_SEND_MSG | MACH_SEND_TIMEOUT, size, 0, MACH_PORT_NULL,
                     PROMPT, MACH_PORT_NULL));
}

static void take_4_mib(mach_port_t port)
{
    memset(&large, 0, sizeof large);
    NEED_OK(mach_msg(&large.header, MACH_RCV_MSG | MACH_RCV_TIMEOUT, 0, sizeof large, port, PROMPT,
                     MACH_PORT_NULL));
    IS(large.header.msgh_size, offsetof(struct large_message, trailer));
    for (size_t i = 0; i < sizeof large.data; i++)
        NEED(large.data[i] == (unsigned char)(i * 13));
}

CASE(an_inline_body_of_4_mib)
{
    mach_port_t port = make_port_with_sends(1);
    send_4_mib(port);
    take_4_mib(port);
}

CASE(two_process_an_inline_body_of_4_mib)
{
    mach_port_t home = make_port();
    pid_t peer = peer_start(home, send_4_mib);
    take_4_mib(home);
    peer_join(peer);
}

CASE(complex_with_count_0_and_size_28_arrives_complex_with_count_0)
{
    mach_port_t port = make_port();
    struct letter letter;
    letter_to(&letter, port, MAKE_SEND, 1);
    letter.header.msgh_bits |= MACH_MSGH_BITS_COMPLEX;
    letter.header.msgh_size = 28;
    NEED_OK(letter_send(&letter, NOW));
    take(&letter, port);
    IS(letter.header.msgh_bits, 0x80001100);
    IS(letter.header.msgh_size, 28);
    IS(letter.body.msgh_descriptor_count, 0);
}
