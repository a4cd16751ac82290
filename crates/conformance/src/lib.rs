//! Replays what real kernels answered to real clients, and compares.
//!
//! `conformance/golden` has the transcripts: shell commands with what they printed on a machine with a real devlink. Each
//! transcript is played in a *stage*: namespaces of its own (network, processes, mounts), so that nothing reaches the machine it
//! runs on, with the files that the transcripts' machine had and the client they were taken with. In the stage `userlink run`
//! starts one machine, and in that machine one shell command after the other is executed as it was then. What is printed must
//! be equal, and what went over the wire too, but for what `conformance/masks.toml` names.
//!
//! | module | is |
//! |---|---|
//! | [`cli`] | the command line |
//! | [`replay`] | plays transcripts and says what differs |
//! | `client` | where the client's programs are |
//! | [`golden`] | the transcripts and the machines they come from |
//! | [`stage`] | the place where a transcript is played, and the way into it |
//! | [`play`] | executes the commands, inside |
//! | [`wire`] | datagrams: the recorded ones and ours |
//! | [`masks`] | what may differ |
//! | [`compare`] | the verdicts |
//! | [`oracle`] | a real kernel in QEMU, asked what it answers to commands made by chance |
//! | [`selftests`] | the kernel's own tests, in the same place |
//! | [`known`] | the differences that `docs/conformance.md` explains |

pub mod cli;
mod client;
pub mod compare;
pub mod golden;
pub mod known;
pub mod masks;
pub mod oracle;
pub mod play;
pub mod replay;
pub mod selftests;
pub mod stage;
pub mod wire;
