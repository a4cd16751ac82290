//! How a sandbox is to be made, and how it went.

use std::ffi::OsString;
use std::ops::Range;

/// Which calls that receive are trapped, of the tree's every socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Receive {
    /// None: faster by two context switches, but the sender's address that the client sees is of family `AF_UNIX` (12 bytes
    /// long, port id 0), which strict clients refuse; and a client that was too slow for notifications does not hear of it.
    Native,
    /// Those that tell the sender's address. Who uses `recv` instead does not hear that it was too slow: nothing makes a receive from
    /// the client's end of a pair fail with `ENOBUFS`.
    Trapped,
    /// `recv`, too, for which each socket of the tree pays. `read` is not even then: each file would pay.
    All,
}

/// How a sandbox is to be made.
#[derive(Clone, Debug)]
pub struct Options {
    /// How clients receive.
    pub receive: Receive,
    /// The numbers of our own multicast groups, at most 32.
    pub groups: Range<u32>,
    /// The message type and the generic netlink command of requests that take long: their sender waits in its call until they
    /// are answered, as with the real kernel. With native receiving nobody does.
    pub slow_requests: Vec<(u16, u8)>,
    /// Where another type takes the place of network devices of type `dummy` ([`dummy`](crate::dummy)): whether there is one, called
    /// `dummy0`, in the first namespace as soon as one is asked for. The kernel's module makes it, unless told otherwise.
    pub dummy0: bool,
    /// Variables that the command gets besides those of the caller.
    pub environment: Vec<(OsString, OsString)>,
    /// What `modprobe` is to read besides its own configuration (`modprobe.d(5)`); empty: nothing.
    pub modprobe: String,
}

/// How it went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// The command's exit status; 128 + the signal's number if one ended it.
    pub status: i32,
    /// Generic netlink sockets opened in the tree.
    pub sockets: u64,
    /// Datagrams they sent.
    pub requests: u64,
    /// Trapped system calls, and how many of them went on to the real kernel.
    pub trapped: (u64, u64),
    /// Receives whose datagram was put back because a signal interrupted them.
    pub put_back: u64,
    /// The kernel process ended before the command.
    pub kernel_died: bool,
    /// Processes of the tree are still running, without a machine from now on.
    pub left_behind: bool,
}
