/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef LG_DESCRIPTOR_H
#define LG_DESCRIPTOR_H

#include "pure.h"

u64 lg_descriptor_filter(u32 low, u32 high);
bool lg_descriptor_settable(u32 index);
bool lg_data_selector_ok(const u64 *gdt, u32 selector);
bool lg_code_selector_ok(const u64 *gdt, u32 selector);
bool lg_stack_selector_ok(const u64 *gdt, u32 selector, u32 ring);
bool lg_descriptor_flat(u64 descriptor);

#endif
