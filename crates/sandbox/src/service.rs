//! What the kernel process must implement: who answers the datagrams.

use std::sync::Arc;

use crate::caller::Sender;
use crate::client::ClientSocket;

/// Serves the generic netlink sockets of the process tree.
pub trait Service: Send + Sync + 'static {
    /// A client has opened a socket. The session lives on a thread of its own until the client closes it.
    fn open(&self, socket: Arc<ClientSocket>) -> Box<dyn Session>;

    /// The command has ended: the process ends when this returns.
    fn shut_down(&self) {}
}

/// One client socket's conversation. Dropped when the client has closed its socket, or was killed.
pub trait Session {
    /// A client has sent `datagram`. Answers go out through the [`ClientSocket`] the session was opened with; what is
    /// not for one of our families goes to [`ClientSocket::relay`].
    ///
    /// The next datagram of the same socket is received when this returns.
    fn receive(&mut self, datagram: &[u8], sender: &Sender);

    /// Whether an answer is unfinished because the client's queue was full: then [`room`](Session::room) is called when it
    /// has some again, and further datagrams of the client are received in the meantime.
    fn wants_room(&self) -> bool {
        false
    }

    /// The client has read: there is room for more.
    fn room(&mut self) {}
}
