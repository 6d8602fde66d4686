/* SPDX-License-Identifier: GPL-2.0-only */
/* What paging.c does to the shadow tables of shadow.c. */
#ifndef LG_SHADOW_H
#define LG_SHADOW_H

#include "lg.h"

static inline u32 lg_shadow_slot(u32 vaddr)
{
	return vaddr >> 30;
}

static inline bool lg_shadow_is_shared(struct lguest *lg, u32 slot)
{
	return slot >= lg->shadow.shared_slot;
}

u64 *lg_shadow_entry(struct lguest *lg, struct lg_root *root, u32 vaddr,
		     bool make);
u32 *lg_shadow_directory(struct lguest *lg, struct lg_root *root, u32 slot);
void lg_shadow_make_room(struct lguest *lg);
void lg_shadow_drop_entry(struct lguest *lg, struct lg_root *root, u32 vaddr);
void lg_shadow_drop_slot(struct lguest *lg, struct lg_root *root, u32 slot);
void lg_shadow_drop_user(struct lguest *lg, struct lg_root *root);
struct lg_root *lg_shadow_find_root(struct lguest *lg, u32 pgdir);
bool lg_shadow_use_root(struct lguest *lg, u32 pgdir);

#endif
