// SPDX-License-Identifier: Apache-2.0
#include "clinux.h"

#include <sys/socket.h>

const int clinux_SOCK_CLOEXEC = SOCK_CLOEXEC;
const int clinux_SOCK_NONBLOCK = SOCK_NONBLOCK;
const int clinux_MSG_CMSG_CLOEXEC = MSG_CMSG_CLOEXEC;

int clinux_accept4(int fd, int flags) { return accept4(fd, NULL, NULL, flags); }

int clinux_bind(int fd, const void *address, unsigned int size) { return bind(fd, address, size); }

int clinux_connect(int fd, const void *address, unsigned int size)
{
	return connect(fd, address, size);
}

int clinux_socketpair(int domain, int type, void *two_ints)
{
	return socketpair(domain, type, 0, two_ints);
}

size_t clinux_cmsg_space(size_t length) { return CMSG_SPACE(length); }

size_t clinux_cmsg_len(size_t length) { return CMSG_LEN(length); }

void *clinux_cmsg_firsthdr(void *message) { return CMSG_FIRSTHDR((struct msghdr *)message); }

void *clinux_cmsg_nxthdr(void *message, void *header)
{
	return CMSG_NXTHDR(message, header);
}

void *clinux_cmsg_data(void *header) { return CMSG_DATA((struct cmsghdr *)header); }
