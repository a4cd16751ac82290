// refuse WHAT COMMAND...: run COMMAND where the system refuses WHAT (EPERM): seccomp, userns, mount, tun or fuse.
// It stands for containers and hardened machines, whose refusals look the same from inside.
#define _GNU_SOURCE
#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#define TUNSETIFF 0x400454ca // _IOW('T', 202, int), as a preprocessor constant
#define LOAD(field) BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, field))
#define IS(value, yes, no) BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, value, yes, no)
#define HAS(bits, yes, no) BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, bits, yes, no)
#define ALLOW BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)
#define REFUSE BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM)

int main(int argc, char **argv)
{
	struct sock_filter seccomp[] = { LOAD(nr), IS(SYS_seccomp, 0, 1), REFUSE, ALLOW };
	struct sock_filter userns[] = {
		LOAD(nr), IS(SYS_unshare, 1, 0), IS(SYS_clone, 0, 2),
		LOAD(args[0]), HAS(CLONE_NEWUSER, 1, 0), ALLOW, REFUSE,
	};
	struct sock_filter tun[] = {
		LOAD(nr), IS(SYS_ioctl, 0, 3), LOAD(args[1]), IS(TUNSETIFF, 0, 1), REFUSE, ALLOW,
	};
	struct sock_filter mount[] = { LOAD(nr), IS(SYS_mount, 0, 1), REFUSE, ALLOW };
	struct sock_filter fuse[] = { LOAD(nr), IS(SYS_fsopen, 0, 1), REFUSE, ALLOW };
	struct sock_fprog program = { 0 };

	if (argc < 3)
		return 2;
	if (!strcmp(argv[1], "seccomp"))
		program = (struct sock_fprog){ sizeof seccomp / sizeof *seccomp, seccomp };
	else if (!strcmp(argv[1], "userns"))
		program = (struct sock_fprog){ sizeof userns / sizeof *userns, userns };
	else if (!strcmp(argv[1], "tun"))
		program = (struct sock_fprog){ sizeof tun / sizeof *tun, tun };
	else if (!strcmp(argv[1], "mount"))
		program = (struct sock_fprog){ sizeof mount / sizeof *mount, mount };
	else if (!strcmp(argv[1], "fuse"))
		program = (struct sock_fprog){ sizeof fuse / sizeof *fuse, fuse };
	else
		return 2;
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) || prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program)) {
		perror("refuse");
		return 2;
	}
	execvp(argv[2], argv + 2);
	perror(argv[2]);
	return 127;
}
