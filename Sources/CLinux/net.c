// SPDX-License-Identifier: Apache-2.0
#include "clinux.h"

#include <linux/ethtool.h>
#include <linux/if_tun.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <netinet/in.h>
#include <sched.h>
#include <string.h>
#include <sys/ioctl.h>

/* A request about the interface of that name, which has at most 15 bytes. */
static struct ifreq about(const char *name)
{
	struct ifreq request = {0};

	strncpy(request.ifr_name, name, IFNAMSIZ - 1);
	return request;
}

int clinux_tunsetiff(int fd, void *name, short flags)
{
	struct ifreq request = about(name);

	request.ifr_flags = flags;
	if (ioctl(fd, TUNSETIFF, &request) < 0)
		return -1;
	memcpy(name, request.ifr_name, IFNAMSIZ);
	return 0;
}

int clinux_tungetiff(int fd, void *name, short *flags)
{
	struct ifreq request = {0};

	if (ioctl(fd, TUNGETIFF, &request) < 0)
		return -1;
	memcpy(name, request.ifr_name, IFNAMSIZ);
	*flags = request.ifr_flags;
	return 0;
}

int clinux_tunsetoffload(int fd, unsigned int offloads)
{
	return ioctl(fd, TUNSETOFFLOAD, (unsigned long)offloads);
}

int clinux_tunsetvnethdrsz(int fd, int size) { return ioctl(fd, TUNSETVNETHDRSZ, &size); }

int clinux_tungetvnethdrsz(int fd, int *size) { return ioctl(fd, TUNGETVNETHDRSZ, size); }

int clinux_tungetsndbuf(int fd, int *bytes) { return ioctl(fd, TUNGETSNDBUF, bytes); }

int clinux_tunsetpersist(int fd, int on) { return ioctl(fd, TUNSETPERSIST, (unsigned long)on); }

int clinux_if_index(int fd, const void *name, int *index)
{
	struct ifreq request = about(name);
	int result = ioctl(fd, SIOCGIFINDEX, &request);

	*index = request.ifr_ifindex;
	return result;
}

int clinux_if_flags(int fd, const void *name, short *flags)
{
	struct ifreq request = about(name);
	int result = ioctl(fd, SIOCGIFFLAGS, &request);

	*flags = request.ifr_flags;
	return result;
}

int clinux_if_set_flags(int fd, const void *name, short flags)
{
	struct ifreq request = about(name);

	request.ifr_flags = flags;
	return ioctl(fd, SIOCSIFFLAGS, &request);
}

int clinux_if_mtu(int fd, const void *name, int *mtu)
{
	struct ifreq request = about(name);
	int result = ioctl(fd, SIOCGIFMTU, &request);

	*mtu = request.ifr_mtu;
	return result;
}

int clinux_if_set_mtu(int fd, const void *name, int mtu)
{
	struct ifreq request = about(name);

	request.ifr_mtu = mtu;
	return ioctl(fd, SIOCSIFMTU, &request);
}

int clinux_if_hwaddr(int fd, const void *name, void *six_bytes)
{
	struct ifreq request = about(name);
	int result = ioctl(fd, SIOCGIFHWADDR, &request);

	memcpy(six_bytes, request.ifr_hwaddr.sa_data, 6);
	return result;
}

int clinux_if_set_hwaddr(int fd, const void *name, const void *six_bytes)
{
	struct ifreq request = about(name);

	request.ifr_hwaddr.sa_family = ARPHRD_ETHER;
	memcpy(request.ifr_hwaddr.sa_data, six_bytes, 6);
	return ioctl(fd, SIOCSIFHWADDR, &request);
}

/* The four ioctls on IPv4 addresses differ in their number only. */
static int get_inet(int fd, unsigned long number, const char *name, uint32_t *address)
{
	struct ifreq request = about(name);
	int result = ioctl(fd, number, &request);

	*address = ((struct sockaddr_in *)&request.ifr_addr)->sin_addr.s_addr;
	return result;
}

static int set_inet(int fd, unsigned long number, const char *name, uint32_t address)
{
	struct ifreq request = about(name);
	struct sockaddr_in inet = {.sin_family = AF_INET, .sin_addr.s_addr = address};

	memcpy(&request.ifr_addr, &inet, sizeof(inet));
	return ioctl(fd, number, &request);
}

int clinux_if_addr(int fd, const void *name, uint32_t *address)
{
	return get_inet(fd, SIOCGIFADDR, name, address);
}

int clinux_if_set_addr(int fd, const void *name, uint32_t address)
{
	return set_inet(fd, SIOCSIFADDR, name, address);
}

int clinux_if_netmask(int fd, const void *name, uint32_t *mask)
{
	return get_inet(fd, SIOCGIFNETMASK, name, mask);
}

int clinux_if_set_netmask(int fd, const void *name, uint32_t mask)
{
	return set_inet(fd, SIOCSIFNETMASK, name, mask);
}

int clinux_ethtool_glink(int fd, const void *name, uint32_t *link)
{
	struct ethtool_value value = {.cmd = ETHTOOL_GLINK};
	struct ifreq request = about(name);
	int result;

	request.ifr_data = (char *)&value;
	result = ioctl(fd, SIOCETHTOOL, &request);
	*link = value.data;
	return result;
}

int clinux_br_addif(int fd, const void *bridge, int index)
{
	struct ifreq request = about(bridge);

	request.ifr_ifindex = index;
	return ioctl(fd, SIOCBRADDIF, &request);
}

int clinux_br_delif(int fd, const void *bridge, int index)
{
	struct ifreq request = about(bridge);

	request.ifr_ifindex = index;
	return ioctl(fd, SIOCBRDELIF, &request);
}

int clinux_br_addbr(int fd, const void *name) { return ioctl(fd, SIOCBRADDBR, name); }

int clinux_br_delbr(int fd, const void *name) { return ioctl(fd, SIOCBRDELBR, name); }

int clinux_unshare_network(void) { return unshare(CLONE_NEWNET); }
