// storm N: N requests (GETFAMILY nlctrl answered by the kernel through whatever stands between, then DEV_GET) under a 2 kHz
// SIGALRM, first with SA_RESTART, then without. Each answer must come once, in order, with the request's sequence number.
#include <errno.h>
#include <linux/genetlink.h>
#include <linux/netlink.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

static volatile sig_atomic_t alarms;
static unsigned interrupted;
static int fd;
static unsigned seq = 1;
static char buffer[65536];

static void on_alarm(int number) { (void)number; alarms++; }

static void fail(const char *what)
{
	perror(what);
	exit(1);
}

static size_t put(char *at, int type, const char *text)
{
	struct nlattr *attr = (struct nlattr *)at;
	size_t length = strlen(text) + 1;

	attr->nla_type = type;
	attr->nla_len = NLA_HDRLEN + length;
	memcpy(at + NLA_HDRLEN, text, length);
	memset(at + attr->nla_len, 0, NLA_ALIGN(attr->nla_len) - attr->nla_len);
	return NLA_ALIGN(attr->nla_len);
}

static void request(int family, int command, const char *one, const char *two)
{
	char message[256] = { 0 };
	struct nlmsghdr *header = (struct nlmsghdr *)message;
	struct genlmsghdr *genl = NLMSG_DATA(header);
	size_t length = NLMSG_LENGTH(GENL_HDRLEN);

	length += put(message + length, family == GENL_ID_CTRL ? CTRL_ATTR_FAMILY_NAME : 1, one);
	if (two)
		length += put(message + length, 2, two);
	*header = (struct nlmsghdr){ .nlmsg_len = length, .nlmsg_type = family, .nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK, .nlmsg_seq = ++seq };
	*genl = (struct genlmsghdr){ .cmd = command, .version = 1 };
	for (;;) {
		ssize_t sent = send(fd, message, length, 0);
		if (sent == (ssize_t)length)
			return;
		if (sent >= 0 || errno != EINTR)
			fail("send");
		interrupted++;
	}
}

// Reads the reply and the ACK; returns the family id of a NEWFAMILY reply, else 0.
static int answer(void)
{
	int family = 0, replies = 0;

	for (;;) {
		struct sockaddr_nl from;
		struct iovec iov = { buffer, sizeof buffer };
		struct msghdr message = { .msg_name = &from, .msg_namelen = sizeof from, .msg_iov = &iov, .msg_iovlen = 1 };
		ssize_t got = recvmsg(fd, &message, 0);
		if (got < 0) {
			if (errno != EINTR)
				fail("recvmsg");
			interrupted++;
			continue;
		}
		if (message.msg_namelen != sizeof from || from.nl_family != AF_NETLINK || from.nl_pid) {
			fprintf(stderr, "a sender that is not the kernel\n");
			exit(1);
		}
		for (struct nlmsghdr *header = (void *)buffer; NLMSG_OK(header, got); header = NLMSG_NEXT(header, got)) {
			if (header->nlmsg_seq != seq) {
				fprintf(stderr, "sequence %u, not %u\n", header->nlmsg_seq, seq);
				exit(1);
			}
			if (header->nlmsg_type == NLMSG_ERROR) {
				int error = ((struct nlmsgerr *)NLMSG_DATA(header))->error;
				if (error || replies != 1) {
					fprintf(stderr, "error %d after %d replies\n", error, replies);
					exit(1);
				}
				return family;
			}
			replies++;
			if (header->nlmsg_type == GENL_ID_CTRL) {
				char *at = (char *)NLMSG_DATA(header) + GENL_HDRLEN, *end = (char *)header + header->nlmsg_len;
				while (at < end) {
					struct nlattr *attr = (struct nlattr *)at;
					if (attr->nla_type == CTRL_ATTR_FAMILY_ID)
						family = *(uint16_t *)(at + NLA_HDRLEN);
					at += NLA_ALIGN(attr->nla_len);
				}
			}
		}
	}
}

int main(int argc, char **argv)
{
	struct sockaddr_nl own = { .nl_family = AF_NETLINK };
	struct itimerval timer = { { 0, 500 }, { 0, 500 } };
	const char *device = getenv("DEVICE");
	char bus[64];
	int count = argc > 1 ? atoi(argv[1]) : 1000, family;

	if (!device || !strchr(device, '/'))
		return 2;
	snprintf(bus, sizeof bus, "%.*s", (int)(strchr(device, '/') - device), device);
	device = strchr(device, '/') + 1;
	fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_GENERIC);
	if (fd < 0 || bind(fd, (void *)&own, sizeof own))
		fail("socket");
	request(GENL_ID_CTRL, CTRL_CMD_GETFAMILY, "devlink", NULL);
	family = answer();
	for (int restart = 1; restart >= 0; restart--) {
		struct sigaction action = { .sa_handler = on_alarm, .sa_flags = restart ? SA_RESTART : 0 };
		sigaction(SIGALRM, &action, NULL);
		setitimer(ITIMER_REAL, &timer, NULL);
		for (int i = 0; i < count; i++) {
			if (i % 8 == 0)
				request(GENL_ID_CTRL, CTRL_CMD_GETFAMILY, "nlctrl", NULL);
			else
				request(family, 1, bus, device);
			answer();
		}
	}
	setitimer(ITIMER_REAL, &(struct itimerval){ 0 }, NULL);
	printf("requests %d alarms %d interrupted %u\n", 2 * count, (int)alarms, interrupted);
	return 0;
}
