/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The state page: all that the Switcher needs, one page for each guest, mapped
 * at one address in the host's page tables and in the guest's.  Shared by
 * switcher.S, which knows offsets, and by C, which checks them.
 */
#ifndef LG_SWITCHER_H
#define LG_SWITCHER_H

/* Offsets into struct lg_state. */
#define LG_HOST_RSP		0x000
#define LG_HOST_CR3		0x008
#define LG_HOST_CR4		0x010
#define LG_HOST_GS_BASE		0x018
#define LG_GUEST_CR3		0x020
#define LG_GUEST_CR4		0x028
#define LG_HOST_GDTR		0x030
#define LG_HOST_IDTR		0x040
#define LG_GUEST_GDTR		0x050
#define LG_GUEST_IDTR		0x060
#define LG_TRANSITION_GDTR	0x070
#define LG_HOST_LDT		0x080
#define LG_VERW_SELECTOR	0x082
#define LG_FLAGS		0x084
#define LG_EXIT_VECTOR		0x088
#define LG_NOTED		0x08c
#define LG_CR2			0x090
#define LG_SYSCALL_ESP		0x098
#define LG_TRANSITION_GDT	0x0c0
#define LG_TSS			0x140
#define LG_GUEST_GDT		0x200
#define LG_DF_STACK_TOP		0x400
#define LG_SYSCALL_FRAME	0x580	/* below: a stack for a trap at iretq */
#define LG_REGS			0xf60
#define LG_REGS_END		0xff0

/* Offsets into struct lg_regs. */
#define LG_REG_DS		0x00
#define LG_REG_ES		0x08
#define LG_REG_FS		0x10
#define LG_REG_GS		0x18
#define LG_REG_EBX		0x20
#define LG_REG_ECX		0x28
#define LG_REG_EDX		0x30
#define LG_REG_ESI		0x38
#define LG_REG_EDI		0x40
#define LG_REG_EBP		0x48
#define LG_REG_EAX		0x50
#define LG_REG_VECTOR		0x58
#define LG_REG_ERROR		0x60
#define LG_REG_EIP		0x68
#define LG_REG_CS		0x70
#define LG_REG_EFLAGS		0x78
#define LG_REG_ESP		0x80
#define LG_REG_SS		0x88

/* LG_FLAGS: what this CPU needs at the border. */
#define LG_CLEAR_BUFFERS	1	/* VERW on the way in */
#define LG_STUFF_RSB		2	/* refill the return predictor on the way out */
#define LG_IBPB			4	/* a branch predictor barrier on the way out */

/* An exit for which the Switcher, not the guest, took this vector. */
#define LG_SWITCHER_FAULT	0x100

/* Where the guest's GDT holds what belongs to the Switcher. */
#define LG_GDT_ENTRIES		32
#define LG_GDT_TSS		16	/* and 17: sixteen bytes */

#define LG_STUB_SIZE		16

/* Flags of EFLAGS that a guest's own code decides. */
#define LG_EFLAGS_GUEST		0x00240dd5	/* CF PF AF ZF SF TF DF OF AC ID */
#define LG_EFLAGS_ALWAYS	0x00000202	/* IF, and bit 1 */
#define LG_EFLAGS_TF		0x00000100

#ifndef __ASSEMBLY__
#include <linux/types.h>
#include <asm/desc_defs.h>

/*
 * A guest's registers.  A trap fills the end of it by itself, from the stack
 * pointer in the guest's TSS downwards; each slot is eight bytes, of which the
 * upper half is whatever the CPU left there.
 */
struct lg_regs {
	u32 ds, : 32;
	u32 es, : 32;
	u32 fs, : 32;
	u32 gs, : 32;
	u32 ebx, : 32;
	u32 ecx, : 32;
	u32 edx, : 32;
	u32 esi, : 32;
	u32 edi, : 32;
	u32 ebp, : 32;
	u32 eax, : 32;
	u32 vector, : 32;
	u32 error, : 32;
	u32 eip, : 32;
	u32 cs, : 32;
	u32 eflags, : 32;
	u32 esp, : 32;
	u32 ss, : 32;
};

struct lg_table_pointer {
	struct desc_ptr ptr;
	u8 pad[6];
} __packed;

/* The part of a 64-bit TSS that the CPU reads. */
struct lg_tss {
	u32 reserved1;
	u64 sp[3];
	u64 reserved2;
	u64 ist[7];
	u64 reserved3;
	u16 reserved4;
	u16 io_bitmap_base;
} __packed;

struct lg_state {
	u64 host_rsp;
	u64 host_cr3;
	u64 host_cr4;
	u64 host_gs_base;
	u64 guest_cr3;
	u64 guest_cr4;
	struct lg_table_pointer host_gdtr;
	struct lg_table_pointer host_idtr;
	struct lg_table_pointer guest_gdtr;
	struct lg_table_pointer guest_idtr;
	struct lg_table_pointer transition_gdtr;
	u16 host_ldt;
	u16 verw_selector;
	u32 flags;
	u32 exit_vector;
	/* NMI and machine check that came while the Switcher was leaving. */
	u32 noted;
	u64 cr2;
	/* The stack for int 0x80 from user mode; 0 lets C see to it. */
	u32 syscall_esp, : 32;
	u8 pad1[LG_TRANSITION_GDT - 0xa0];
	/* The host's descriptors, with its TSS not busy. */
	u64 transition_gdt[16];
	struct lg_tss tss;
	u8 pad2[LG_GUEST_GDT - LG_TSS - sizeof(struct lg_tss)];
	u64 guest_gdt[LG_GDT_ENTRIES];
	/* Stacks: for double faults, for traps at the iretq of a reflection. */
	u8 low_stacks[LG_SYSCALL_FRAME - LG_GUEST_GDT - LG_GDT_ENTRIES * 8];
	/* What iretq takes: where the handler of int 0x80 is. */
	struct {
		u64 eip;
		u64 cs;
		u64 eflags;
		u64 esp;
		u64 ss;
	} syscall_frame;
	/* The stack for traps inside the Switcher. */
	u8 stack[LG_REGS - LG_SYSCALL_FRAME - 40];
	struct lg_regs regs;
	u8 pad3[16];
};

struct lguest;

/* switcher.S */
extern char lg_switcher_start[], lg_switcher_end[];
extern char lg_stubs[], lg_reflect_syscall[];
u32 lg_switch(struct lg_state *state);
/* replay.S */
typedef void lg_replay_slot(void);
extern char lg_replay_table[];

/* switcher.c */
int lg_switcher_init(void);
void lg_switcher_exit(void);
int lg_state_create(struct lguest *lg);
void lg_state_destroy(struct lguest *lg);
void lg_fpu_load(struct lguest *lg);
void lg_fpu_save(struct lguest *lg);
u32 lg_run_guest(struct lguest *lg, bool fpu_loaded);
int lg_switcher_pages(struct lguest *lg,
		      int (*map)(struct lguest *lg, unsigned long vaddr,
				 u64 entry));
#endif /* __ASSEMBLY__ */
#endif
