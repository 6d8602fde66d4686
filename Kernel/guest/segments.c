// SPDX-License-Identifier: GPL-2.0-only
/* The guest's GDT: flat segments at the usual selectors, TLS entries left empty. */
#include "guest.h"

#define FLAT_LOW 0x0000ffff
#define CODE 0x00cf9b00 /* 4 GiB, 32-bit, present, accessed */
#define DATA 0x00cf9300
#define RING(n) ((n) << 13)

void descriptor_load(uint32_t index, uint32_t low, uint32_t high)
{
	hypercall(HCALL_LOAD_GDT_ENTRY, index, low, high, 0);
}

void segments_init(void)
{
	for (uint32_t i = 0; i < GDT_ENTRIES; i++) {
		if (i == KERNEL_CS >> 3)
			descriptor_load(i, FLAT_LOW, CODE | RING(1));
		else if (i == KERNEL_DS >> 3)
			descriptor_load(i, FLAT_LOW, DATA | RING(1));
		else if (i == USER_CS >> 3)
			descriptor_load(i, FLAT_LOW, CODE | RING(3));
		else if (i == USER_DS >> 3)
			descriptor_load(i, FLAT_LOW, DATA | RING(3));
		else
			descriptor_load(i, 0, 0);
	}
}
