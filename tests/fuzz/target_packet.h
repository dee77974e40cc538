/*
 * The first byte of an input of target_packet.c: what is done with the packet.
 */
#ifndef FUZZ_TARGET_PACKET_H
#define FUZZ_TARGET_PACKET_H

#define OPTION_ONCE 0x01u    /* through a send-once right */
#define OPTION_LARGE 0x02u   /* received with MACH_RCV_LARGE */
#define OPTION_SMALL 0x04u   /* into a buffer that holds a header and 40 bytes */
#define OPTION_FILE 0x08u    /* the packet is in a memory file */
#define OPTION_NO_SEAL 0x10u /* which one can still write to */
#define OPTION_LIMIT 0x20u   /* the receiver has few descriptors left */
#define OPTION_AUDIT 0x40u   /* with an audit trailer */
#define OPTION_CHAIN 0x80u   /* the descriptors are in a chain */

#endif
