//! The seccomp program: which system calls of the tree are trapped.
//!
//! The program first decides by the number of the call alone, so the kernel's action cache answers every call that is
//! not named here without running it (`kernel/seccomp.c: seccomp_cache_prepare`): `read`, `getppid` and all others cost
//! nothing. Named calls are trapped only when their arguments can concern a generic netlink socket. Programs of another
//! architecture than ours (i386, x32) are let through and talk to the real kernel.
//!
//! `io_uring` runs system calls without seccomp. Such a client talks natively over the pair and sees the 12-byte
//! abstract name as sender, as with native receiving.

use std::os::fd::{FromRawFd, OwnedFd};

use rustix::io::Errno;

use crate::error::Error;
use crate::options::Receive;
use crate::sys;

#[cfg(target_arch = "x86_64")]
const AUDIT_ARCH: u32 = 0xc000_003e;
#[cfg(target_arch = "aarch64")]
const AUDIT_ARCH: u32 = 0xc000_00b7;
#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
compile_error!("the sandbox knows the system calls of x86_64 and aarch64 only");

/// Offsets in `struct seccomp_data`; both architectures are little-endian.
const OFFSET_NR: u32 = 0;
const OFFSET_ARCH: u32 = 4;
const fn low(argument: u32) -> u32 {
    16 + 8 * argument
}
const fn high(argument: u32) -> u32 {
    low(argument) + 4
}

const LOAD: u16 = 0x20; // BPF_LD | BPF_W | BPF_ABS
const JUMP_EQUAL: u16 = 0x15; // BPF_JMP | BPF_JEQ | BPF_K
const JUMP_AT_LEAST: u16 = 0x35; // BPF_JMP | BPF_JGE | BPF_K
const RETURN: u16 = 0x06; // BPF_RET | BPF_K

const SO_RCVBUF: u32 = 8;
const SO_TYPE: u32 = 3;
const SO_PEERCRED: u32 = 17;
const SO_RCVBUFFORCE: u32 = 33;
const SO_PROTOCOL: u32 = 38;
const SO_DOMAIN: u32 = 39;
const SO_NETNS_COOKIE: u32 = 71;

type Instruction = libc::sock_filter;

const fn load(offset: u32) -> Instruction {
    Instruction {
        code: LOAD,
        jt: 0,
        jf: 0,
        k: offset,
    }
}

const fn ret(action: u32) -> Instruction {
    Instruction {
        code: RETURN,
        jt: 0,
        jf: 0,
        k: action,
    }
}

/// Goes on with the next instruction when equal, else skips `otherwise` instructions.
const fn equal_or_skip(value: u32, otherwise: u8) -> Instruction {
    Instruction {
        code: JUMP_EQUAL,
        jt: 0,
        jf: otherwise,
        k: value,
    }
}

/// Goes on with the next instruction when at least, else skips `otherwise` instructions.
const fn at_least_or_skip(value: u32, otherwise: u8) -> Instruction {
    Instruction {
        code: JUMP_AT_LEAST,
        jt: 0,
        jf: otherwise,
        k: value,
    }
}

/// Bytes of the shortest request that may be slow. It names an object and says what to do with it, in three attributes.
const SHORTEST_SLOW_REQUEST: u32 = 56;

const ALLOW: Instruction = ret(libc::SECCOMP_RET_ALLOW);
const TRAP: Instruction = ret(libc::SECCOMP_RET_USER_NOTIF);

/// Trap when the loaded word equals `value`, else go on.
const fn trap_if(value: u32) -> [Instruction; 2] {
    [equal_or_skip(value, 1), TRAP]
}

/// The body for a socket-option call: `SOL_NETLINK` always, of `SOL_SOCKET` only `names`.
fn options(names: &[u32]) -> Vec<Instruction> {
    let mut body = vec![load(low(1))];
    body.extend(trap_if(sys::SOL_NETLINK as u32));
    body.extend([equal_or_skip(libc::SOL_SOCKET as u32, 0), load(low(2))]);
    let jump = body.len() - 2;
    for &name in names {
        body.extend(trap_if(name));
    }
    // A level that is neither goes to the ALLOW at the end.
    body[jump].jf = (body.len() - jump - 1) as u8;
    body.push(ALLOW);
    body
}

/// What is to be trapped besides what always is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wanted {
    /// The calls that receive. If any is, those that send what may be slow are, too.
    pub(crate) receive: Receive,
    /// The calls that may ask for a network device of type `dummy`.
    pub(crate) dummies: bool,
}

/// The whole program.
fn program(wanted: Wanted) -> Vec<Instruction> {
    let receive = wanted.receive != Receive::Native;
    let address_length = [load(low(2)), equal_or_skip(12, 1), TRAP, ALLOW].to_vec();
    let mut calls = vec![
        (
            libc::SYS_socket,
            vec![
                load(low(0)),
                equal_or_skip(libc::AF_NETLINK as u32, 7),
                load(low(2)),
                equal_or_skip(libc::NETLINK_GENERIC as u32, 1),
                TRAP,
                equal_or_skip(libc::NETLINK_ROUTE as u32, 1),
                TRAP,
                equal_or_skip(libc::NETLINK_RDMA as u32, 1),
                TRAP,
                ALLOW,
            ],
        ),
        (libc::SYS_bind, address_length.clone()),
        (libc::SYS_connect, address_length),
        (libc::SYS_getsockname, vec![TRAP]),
        (libc::SYS_getpeername, vec![TRAP]),
        (libc::SYS_setsockopt, options(&[SO_RCVBUF, SO_RCVBUFFORCE])),
        (
            libc::SYS_getsockopt,
            options(&[
                SO_TYPE,
                SO_PROTOCOL,
                SO_DOMAIN,
                SO_NETNS_COOKIE,
                SO_PEERCRED,
            ]),
        ),
    ];
    // Rare, and what is mounted stands in the caller's memory, or is behind a descriptor.
    calls.push((libc::SYS_mount, vec![TRAP]));
    calls.push((libc::SYS_move_mount, vec![TRAP]));
    if wanted.dummies {
        // Without flags, as all send who may mean a netlink socket: others have at least the one that spares them a signal.
        calls.push((
            libc::SYS_sendmsg,
            vec![load(low(2)), equal_or_skip(0, 1), TRAP, ALLOW],
        ));
    }
    if receive || wanted.dummies {
        // To a netlink address, and not so short that the request can only be for the real kernel or for many objects.
        calls.push((
            libc::SYS_sendto,
            vec![
                load(low(5)),
                equal_or_skip(12, 3),
                load(low(2)),
                at_least_or_skip(SHORTEST_SLOW_REQUEST, 1),
                TRAP,
                ALLOW,
            ],
        ));
    }
    if receive {
        calls.push((libc::SYS_recvmsg, vec![TRAP]));
        calls.push((libc::SYS_recvmmsg, vec![TRAP]));
        // Without a place for the sender's address there is hardly anything of ours to show.
        let unaddressed = match wanted.receive {
            Receive::All => TRAP,
            _ => ALLOW,
        };
        calls.push((
            libc::SYS_recvfrom,
            vec![
                load(low(4)),
                equal_or_skip(0, 3),
                load(high(4)),
                equal_or_skip(0, 1),
                unaddressed,
                TRAP,
            ],
        ));
    }

    let ours = Instruction {
        code: JUMP_EQUAL,
        jt: 1,
        jf: 0,
        k: AUDIT_ARCH,
    };
    let mut program = vec![load(OFFSET_ARCH), ours, ALLOW, load(OFFSET_NR)];
    for (number, body) in calls {
        program.push(equal_or_skip(number as u32, body.len() as u8));
        program.extend(body);
    }
    program.push(ALLOW);
    program
}

/// Installs the filter on the calling thread and returns the listener.
///
/// Without `CAP_SYS_ADMIN` the kernel demands `NO_NEW_PRIVS`, which is then set: programs with set-user-id bits lose
/// their privilege in the tree. With it they keep working.
///
/// A caller whose call the supervisor has begun to serve is only to be interrupted by what kills it
/// (`SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV`, kernel 5.19). Otherwise a signal can interrupt it in the very moment of the
/// answer, which the kernel then reports as given, and a received datagram would be lost.
pub(crate) fn install(wanted: Wanted) -> Result<OwnedFd, Error> {
    let result = match seccomp(wanted, true) {
        Err(Errno::ACCESS) => {
            sys::prctl(libc::PR_SET_NO_NEW_PRIVS, 1).map_err(Error::Seccomp)?;
            seccomp(wanted, true)
        }
        result => result,
    };
    match result {
        Err(Errno::INVAL) => seccomp(wanted, false),
        result => result,
    }
    .map_err(|errno| match errno {
        Errno::BUSY => Error::Nested,
        Errno::NOSYS | Errno::INVAL | Errno::OPNOTSUPP => Error::NoSeccomp,
        errno => Error::Seccomp(errno),
    })
}

fn seccomp(wanted: Wanted, wait_killable: bool) -> sys::Result<OwnedFd> {
    let mut flags = libc::SECCOMP_FILTER_FLAG_NEW_LISTENER;
    if wait_killable {
        flags |= libc::SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV;
    }
    let mut instructions = program(wanted);
    let program = libc::sock_fprog {
        len: instructions.len() as u16,
        filter: instructions.as_mut_ptr(),
    };
    // SAFETY: `program` describes `instructions`, which live across the call; the kernel copies and verifies them.
    let fd = unsafe {
        libc::syscall(
            libc::SYS_seccomp,
            libc::SECCOMP_SET_MODE_FILTER,
            flags,
            &raw const program,
        )
    };
    if fd < 0 {
        return Err(sys::last());
    }
    // SAFETY: the kernel has just made this descriptor for us.
    Ok(unsafe { OwnedFd::from_raw_fd(fd as i32) })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Runs the program as the kernel would, on one call.
    fn run(program: &[Instruction], arch: u32, nr: i64, args: [u64; 6]) -> u32 {
        let mut data = Vec::new();
        data.extend((nr as u32).to_le_bytes());
        data.extend(arch.to_le_bytes());
        data.extend([0; 8]);
        data.extend(args.iter().flat_map(|argument| argument.to_le_bytes()));
        let (mut word, mut at) = (0, 0);
        loop {
            let Instruction { code, jt, jf, k } = program[at];
            at += 1;
            match code {
                LOAD => {
                    let at = k as usize;
                    word = u32::from_le_bytes(data[at..at + 4].try_into().unwrap());
                }
                JUMP_EQUAL => at += usize::from(if word == k { jt } else { jf }),
                JUMP_AT_LEAST => at += usize::from(if word >= k { jt } else { jf }),
                RETURN => return k,
                _ => panic!("unknown instruction {code:#x}"),
            }
        }
    }

    /// By a program that has nothing to do with dummies.
    const fn wanted(native: bool) -> Wanted {
        Wanted {
            receive: if native {
                Receive::Native
            } else {
                Receive::Trapped
            },
            dummies: false,
        }
    }

    fn trapped(native: bool, nr: i64, args: [u64; 6]) -> bool {
        is_trapped(wanted(native), nr, args)
    }

    fn is_trapped(wanted: Wanted, nr: i64, args: [u64; 6]) -> bool {
        match run(&program(wanted), AUDIT_ARCH, nr, args) {
            libc::SECCOMP_RET_USER_NOTIF => true,
            libc::SECCOMP_RET_ALLOW => false,
            other => panic!("unexpected action {other:#x}"),
        }
    }

    #[test]
    fn traps_sockets_of_generic_netlink_of_routes_and_of_rdma_only() {
        assert!(trapped(false, libc::SYS_socket, [16, 3, 16, 0, 0, 0]));
        assert!(trapped(false, libc::SYS_socket, [16, 3, 20, 0, 0, 0]));
        assert!(trapped(false, libc::SYS_socket, [16, 3, 0, 0, 0, 0]));
        assert!(!trapped(false, libc::SYS_socket, [16, 3, 9, 0, 0, 0]));
        assert!(!trapped(false, libc::SYS_socket, [2, 2, 0, 0, 0, 0]));
        assert!(!trapped(false, libc::SYS_socket, [1, 3, 16, 0, 0, 0]));
        assert!(trapped(false, libc::SYS_bind, [3, 4096, 12, 0, 0, 0]));
        assert!(!trapped(false, libc::SYS_connect, [3, 4096, 16, 0, 0, 0]));
    }

    #[test]
    fn traps_the_options_a_netlink_client_asks_for() {
        for nr in [libc::SYS_setsockopt, libc::SYS_getsockopt] {
            assert!(trapped(false, nr, [3, 270, 11, 0, 0, 0]));
            assert!(!trapped(false, nr, [3, 6, 3, 0, 0, 0]));
        }
        assert!(trapped(false, libc::SYS_getsockopt, [3, 1, 3, 0, 0, 0]));
        assert!(trapped(false, libc::SYS_getsockopt, [3, 1, 71, 0, 0, 0]));
        assert!(!trapped(false, libc::SYS_getsockopt, [3, 1, 4, 0, 0, 0]));
        assert!(trapped(false, libc::SYS_setsockopt, [3, 1, 33, 0, 0, 0]));
        assert!(!trapped(false, libc::SYS_setsockopt, [3, 1, 3, 0, 0, 0]));
    }

    #[test]
    fn native_receive_leaves_receiving_alone() {
        let high_pointer = 0x7fff_0000_0000;
        assert!(trapped(false, libc::SYS_recvmsg, [3, 1, 0, 0, 0, 0]));
        assert!(trapped(false, libc::SYS_recvmmsg, [3, 1, 1, 0, 0, 0]));
        assert!(trapped(
            false,
            libc::SYS_recvfrom,
            [3, 1, 1, 0, high_pointer, 0]
        ));
        assert!(trapped(false, libc::SYS_recvfrom, [3, 1, 1, 0, 8, 0]));
        assert!(!trapped(false, libc::SYS_recvfrom, [3, 1, 1, 0, 0, 0]));
        for nr in [libc::SYS_recvmsg, libc::SYS_recvmmsg, libc::SYS_recvfrom] {
            assert!(!trapped(true, nr, [3, 1, 1, 0, high_pointer, 0]));
        }
        assert!(is_trapped(
            Wanted {
                receive: Receive::All,
                dummies: false
            },
            libc::SYS_recvfrom,
            [3, 1, 1, 0, 0, 0]
        ));
        assert!(trapped(true, libc::SYS_getsockname, [3, 1, 1, 0, 0, 0]));
        assert!(!trapped(true, libc::SYS_sendto, [3, 1, 68, 0, 1, 12]));
    }

    #[test]
    fn traps_sends_of_some_length_to_a_netlink_address() {
        assert!(trapped(false, libc::SYS_sendto, [3, 1, 68, 0, 1, 12]));
        assert!(!trapped(false, libc::SYS_sendto, [3, 1, 52, 0, 1, 12]));
        assert!(!trapped(false, libc::SYS_sendto, [3, 1, 68, 0, 1, 16]));
    }

    #[test]
    fn traps_what_may_ask_for_a_dummy() {
        for receive in [Receive::Native, Receive::Trapped] {
            let wanted = Wanted {
                receive,
                dummies: true,
            };
            assert!(is_trapped(wanted, libc::SYS_sendmsg, [3, 1, 0, 0, 0, 0]));
            let flags = libc::MSG_NOSIGNAL as u64;
            assert!(!is_trapped(
                wanted,
                libc::SYS_sendmsg,
                [3, 1, flags, 0, 0, 0]
            ));
            assert!(is_trapped(wanted, libc::SYS_sendto, [3, 1, 56, 0, 1, 12]));
            assert!(!is_trapped(wanted, libc::SYS_sendto, [3, 1, 56, 0, 0, 0]));
            assert_eq!(
                is_trapped(wanted, libc::SYS_recvmsg, [3, 1, 0, 0, 0, 0]),
                receive == Receive::Trapped
            );
        }
    }

    #[test]
    fn leaves_everything_else_and_other_architectures_alone() {
        for nr in [
            libc::SYS_read,
            libc::SYS_getppid,
            libc::SYS_sendmsg,
            libc::SYS_sendto,
        ] {
            assert!(!trapped(false, nr, [16, 270, 16, 0, 1, 0]));
        }
        let i386 = 0x4000_0003;
        assert_eq!(
            run(&program(wanted(false)), i386, libc::SYS_recvmsg, [0; 6]),
            libc::SECCOMP_RET_ALLOW
        );
    }
}
