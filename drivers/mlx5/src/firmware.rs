//! The firmware of an adapter: which versions it has, and the state machine that takes another one.
//!
//! All of this is on the card, the driver only asks: the registers MCC (control of an update), MCDA (its data), MCQI and MCQS
//! (what is there) are the methods of [`Firmware`]. An instruction is accepted at once and done some time later; who gave it
//! looks at the state until it is the one that was wanted (`mlxfw/mlxfw.h: enum mlxfw_fsm_state`).

use std::sync::{Arc, PoisonError};
use std::time::Duration;

use rustix::io::Errno;

use crate::profile::{FwVersion, Profile};

/// Most bytes that a component may have.
pub(crate) const MAX_COMPONENT_SIZE: u32 = 32 << 20;

/// Most bytes that one MCDA access carries.
pub(crate) const MAX_WRITE_SIZE: u16 = 128;

/// log2 of the unit in which data is written.
pub(crate) const ALIGN_BITS: u8 = 2;

/// What erasing the place of a component takes, and checking it when it is there.
const ERASE: Duration = Duration::from_millis(400);
const CHECK: Duration = Duration::from_millis(600);
const SWITCH: Duration = Duration::from_millis(200);

/// What an image of ours begins with; its version and a newline follow.
const IMAGE_MAGIC: &str = "userlink mlx5 firmware ";

/// Bytes of an image of ours: few enough that a client is not flooded with the progress, which a real card makes slowly.
const IMAGE_SIZE: usize = 16 << 10;

/// Where an update is (`enum mlxfw_fsm_state`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FsmState {
    Idle,
    Locked,
    Initialize,
    Download,
    Verify,
    Activate,
}

/// Why the card rejects an update (`enum mlxfw_fsm_state_err`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct FsmError(pub(crate) u8);

impl FsmError {
    const OK: FsmError = FsmError(0);
    const NOT_APPLICABLE: FsmError = FsmError(3);
    const BAD_FORMAT: FsmError = FsmError(8);
}

/// Whether another version waits for an activation (`MCQS_UPDATE_STATE_*`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum UpdateState {
    Idle = 0,
    InProgress = 1,
    ActivePendingReset = 4,
}

/// The firmware of an adapter, which all its functions share.
#[derive(Debug)]
pub(crate) struct Firmware {
    state: lockdep::Mutex<State>,
}

#[derive(Debug)]
struct State {
    running: FwVersion,
    stored: FwVersion,
    update: UpdateState,
    fsm: FsmState,
    error: FsmError,
    /// What an instruction leads to, and when.
    next: Option<(Duration, FsmState, FsmError)>,
    /// The component that is being written, of `size` bytes.
    component: Vec<u8>,
    size: usize,
    /// What an activation makes the stored version.
    written: Option<FwVersion>,
}

impl State {
    /// The state has become what it is at this time.
    fn settle(&mut self, now: Duration) {
        if let Some((at, state, error)) = self.next {
            if now >= at {
                (self.fsm, self.error, self.next) = (state, error, None);
            }
        }
    }

    /// An instruction is accepted in `from` only.
    fn accept(&mut self, now: Duration, from: FsmState) -> Result<(), Errno> {
        self.settle(now);
        if self.fsm != from || self.next.is_some() {
            return Err(Errno::IO);
        }
        Ok(())
    }
}

/// When the driver gives an instruction, and how much longer than usual the firmware takes for it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Instant {
    pub(crate) now: Duration,
    pub(crate) stall: Duration,
}

impl Instant {
    fn after(self, duration: Duration) -> Duration {
        self.now + self.stall + duration
    }
}

impl Firmware {
    pub(crate) fn new(profile: &Profile) -> Arc<Self> {
        let pending = profile.fw_running != profile.fw_stored;
        Arc::new(Firmware {
            state: lockdep::Mutex::named(
                "mlx5 firmware",
                State {
                    running: profile.fw_running,
                    stored: profile.fw_stored,
                    update: match pending {
                        true => UpdateState::ActivePendingReset,
                        false => UpdateState::Idle,
                    },
                    fsm: FsmState::Idle,
                    error: FsmError::OK,
                    next: None,
                    component: Vec::new(),
                    size: 0,
                    written: None,
                },
            ),
        })
    }

    fn state(&self) -> lockdep::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The version that runs.
    pub(crate) fn running(&self) -> FwVersion {
        self.state().running
    }

    /// The version that would run after an activation.
    pub(crate) fn stored(&self) -> FwVersion {
        self.state().stored
    }

    /// The version that waits for an activation, if one does (`fw.c: mlx5_fw_image_pending`).
    ///
    /// # Errors
    /// The number of the state, when an update has begun and not come to its end.
    pub(crate) fn pending(&self) -> Result<Option<FwVersion>, u8> {
        let state = self.state();
        match state.update {
            UpdateState::Idle => Ok(None),
            UpdateState::ActivePendingReset => Ok(Some(state.stored)),
            UpdateState::InProgress => Err(state.update as u8),
        }
    }

    /// A reset: the stored version runs, and an update that was under way has never been.
    pub(crate) fn boot(&self) -> FwVersion {
        let mut state = self.state();
        state.running = state.stored;
        state.update = UpdateState::Idle;
        (state.fsm, state.error, state.next) = (FsmState::Idle, FsmError::OK, None);
        state.written = None;
        state.running
    }

    /// Where the update is.
    pub(crate) fn query(&self, now: Duration) -> (FsmState, FsmError) {
        let mut state = self.state();
        state.settle(now);
        (state.fsm, state.error)
    }

    /// Reserves the state machine.
    ///
    /// # Errors
    /// `EBUSY`: somebody has it.
    pub(crate) fn lock(&self, at: Instant) -> Result<(), Errno> {
        let mut state = self.state();
        state
            .accept(at.now, FsmState::Idle)
            .map_err(|_| Errno::BUSY)?;
        state.next = Some((at.after(Duration::ZERO), FsmState::Locked, FsmError::OK));
        Ok(())
    }

    /// Makes room for a component of `size` bytes.
    ///
    /// # Errors
    /// `EIO`: not now.
    pub(crate) fn update_component(&self, at: Instant, size: usize) -> Result<(), Errno> {
        let mut state = self.state();
        state.accept(at.now, FsmState::Locked)?;
        state.update = UpdateState::InProgress;
        state.component.clear();
        state.size = size;
        state.fsm = FsmState::Initialize;
        state.next = Some((at.after(ERASE), FsmState::Download, FsmError::OK));
        Ok(())
    }

    /// The next block of the component.
    ///
    /// # Errors
    /// `EIO`: not now, or not this one.
    pub(crate) fn download(&self, now: Duration, offset: usize, block: &[u8]) -> Result<(), Errno> {
        let mut state = self.state();
        state.accept(now, FsmState::Download)?;
        if offset != state.component.len() || offset + block.len() > state.size {
            return Err(Errno::IO);
        }
        state.component.extend_from_slice(block);
        Ok(())
    }

    /// Looks at what was written; `rejects` is what it finds there, whatever was written.
    ///
    /// # Errors
    /// `EIO`: not now.
    pub(crate) fn verify(&self, at: Instant, rejects: Option<FsmError>) -> Result<(), Errno> {
        let mut state = self.state();
        state.accept(at.now, FsmState::Download)?;
        let component = std::mem::take(&mut state.component);
        let version = image_version(&component).ok_or(FsmError::BAD_FORMAT);
        let family = state.running.major;
        let version = version.and_then(|version| match version.major == family {
            true => Ok(version),
            false => Err(FsmError::NOT_APPLICABLE),
        });
        let error = match (rejects, version) {
            (Some(error), _) | (None, Err(error)) => error,
            (None, Ok(version)) => {
                state.written = Some(version);
                FsmError::OK
            }
        };
        state.fsm = FsmState::Verify;
        state.next = Some((at.after(CHECK), FsmState::Locked, error));
        Ok(())
    }

    /// What was written is what the next reset runs.
    ///
    /// # Errors
    /// `EIO`: not now, or nothing was written.
    pub(crate) fn activate(&self, at: Instant) -> Result<(), Errno> {
        let mut state = self.state();
        state.accept(at.now, FsmState::Locked)?;
        state.stored = state.written.take().ok_or(Errno::IO)?;
        state.update = UpdateState::ActivePendingReset;
        state.fsm = FsmState::Activate;
        state.next = Some((at.after(SWITCH), FsmState::Locked, FsmError::OK));
        Ok(())
    }

    /// Gives up the component that is being written. The state machine stays reserved.
    pub(crate) fn cancel(&self) {
        let mut state = self.state();
        state.component.clear();
        (state.fsm, state.error, state.next) = (FsmState::Locked, FsmError::OK, None);
    }

    /// Gives the state machine back.
    pub(crate) fn release(&self) {
        let mut state = self.state();
        state.written = None;
        (state.fsm, state.error, state.next) = (FsmState::Idle, FsmError::OK, None);
    }
}

/// An image of this version, as [`image_version`] reads it.
pub(crate) fn image(version: FwVersion) -> Vec<u8> {
    let mut image = format!("{IMAGE_MAGIC}{version}\n").into_bytes();
    image.resize(IMAGE_SIZE, 0xff);
    image
}

/// The version of an image; of a real card's we cannot know.
fn image_version(image: &[u8]) -> Option<FwVersion> {
    let line = image.strip_prefix(IMAGE_MAGIC.as_bytes())?;
    let end = line.iter().take(16).position(|byte| *byte == b'\n')?;
    std::str::from_utf8(&line[..end]).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Instant = Instant {
        now: Duration::ZERO,
        stall: Duration::ZERO,
    };

    fn later(seconds: u64) -> Instant {
        Instant {
            now: Duration::from_secs(seconds),
            stall: Duration::ZERO,
        }
    }

    #[test]
    fn an_instruction_is_done_later_and_only_in_its_state() {
        let firmware = Firmware::new(&Profile::connectx_7());
        assert_eq!(firmware.update_component(NOW, 4), Err(Errno::IO));
        firmware.lock(NOW).unwrap();
        assert_eq!(firmware.query(NOW.now), (FsmState::Locked, FsmError::OK));
        assert_eq!(firmware.lock(NOW), Err(Errno::BUSY));
        assert_eq!(firmware.activate(NOW), Err(Errno::IO), "nothing written");
        firmware.update_component(NOW, 4).unwrap();
        assert_eq!(firmware.query(NOW.now).0, FsmState::Initialize);
        assert_eq!(firmware.download(NOW.now, 0, b"abcd"), Err(Errno::IO));
        let now = later(1);
        firmware.download(now.now, 0, b"ab").unwrap();
        assert_eq!(firmware.download(now.now, 0, b"ab"), Err(Errno::IO));
        assert_eq!(firmware.download(now.now, 2, b"abc"), Err(Errno::IO));
        firmware.download(now.now, 2, b"cd").unwrap();
        firmware.verify(now, None).unwrap();
        assert_eq!(
            firmware.query(later(2).now),
            (FsmState::Locked, FsmError::BAD_FORMAT)
        );
        assert_eq!(firmware.pending(), Err(1));
        firmware.release();
        assert_eq!(firmware.query(later(2).now).0, FsmState::Idle);
    }

    #[test]
    fn an_image_says_its_version() {
        let version = "28.42.7".parse().unwrap();
        assert_eq!(image_version(&image(version)), Some(version));
        assert_eq!(image_version(b"userlink mlx5 firmware 28.42"), None);
        assert_eq!(image_version(b"MTFW"), None);
    }
}
