/* What keeps this task's registered ports for the programs that it starts, where that is not the
 * kernel. */
#ifndef CHILD_PORT_REGISTERED_H
#define CHILD_PORT_REGISTERED_H

/* The most descriptors there are on any platform. */
#define REGISTERED_DESCRIPTORS_MAX 16

/* The descriptors that must stay open over exec for the ports to be inherited; how many. They are
 * not the caller's. */
int registered_descriptors_list(int descriptors[REGISTERED_DESCRIPTORS_MAX]);

#endif
