/* SPDX-License-Identifier: Apache-2.0 */
/*
 * libfuse's low-level interface as it is installed. What newer versions have made inline functions and
 * macros stands here as functions, so that Swift sees the same with every version from 3.10 on.
 */
#ifndef LGDEV_CLIBFUSE_SHIM_H
#define LGDEV_CLIBFUSE_SHIM_H
#define FUSE_USE_VERSION 312
#include <features.h>
#include <fuse_lowlevel.h>

/* An inline function with a version argument since 3.17. */
static inline struct fuse_session *clibfuse_session_new(struct fuse_args *args,
							const struct fuse_lowlevel_ops *operations,
							void *userdata)
{
	return fuse_session_new(args, operations, sizeof(*operations), userdata);
}

/* Whether this version negotiates passthrough (3.17) and FUSE-over-io_uring (3.18) by itself. */
static inline int clibfuse_has_passthrough(void)
{
#ifdef FUSE_CAP_PASSTHROUGH
	return 1;
#else
	return 0;
#endif
}

static inline int clibfuse_has_io_uring(void)
{
#ifdef FUSE_CAP_OVER_IO_URING
	return 1;
#else
	return 0;
#endif
}

/* Asks for passthrough; 0 where the kernel does not offer it, or this version does not know it. */
static inline int clibfuse_want_passthrough(struct fuse_conn_info *connection)
{
#if defined(FUSE_CAP_PASSTHROUGH) && FUSE_VERSION >= FUSE_MAKE_VERSION(3, 17)
	connection->max_backing_stack_depth = 1;
	return fuse_set_feature_flag(connection, FUSE_CAP_PASSTHROUGH);
#else
	(void)connection;
	return 0;
#endif
}

/* Asks for shared mappings of direct files; as above. */
static inline int clibfuse_want_direct_mapping(struct fuse_conn_info *connection)
{
#if defined(FUSE_CAP_DIRECT_IO_ALLOW_MMAP) && FUSE_VERSION >= FUSE_MAKE_VERSION(3, 17)
	return fuse_set_feature_flag(connection, FUSE_CAP_DIRECT_IO_ALLOW_MMAP);
#else
	(void)connection;
	return 0;
#endif
}
#endif
