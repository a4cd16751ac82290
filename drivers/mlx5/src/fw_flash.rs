//! Flashing the firmware (`fw.c: mlx5_firmware_flash`, `mlxfw/mlxfw_fsm.c`).
//!
//! The driver reserves the update's state machine on the card, writes each component that the file has for this board, block
//! by block, has it checked, and makes it the one that the next reset runs. After each instruction it looks five times a
//! second whether the card has followed, for half a minute. What was running goes on running: `devlink dev info` shows two
//! versions until an activation.

mod mfa2;

use std::time::Duration;

use devlink::{FlashUpdate, Objects};
use netlink::ExtAck;
use rustix::io::Errno;

use crate::core_dev::CoreDev;
use crate::fault::Fault;
use crate::firmware::{
    self, ALIGN_BITS, FsmError, FsmState, Instant, MAX_COMPONENT_SIZE, MAX_WRITE_SIZE,
};
use crate::profile::{FwVersion, Profile};

/// How often the driver looks whether the card has followed, and how many times (`MLXFW_FSM_STATE_WAIT_*`).
const WAIT_CYCLE: Duration = Duration::from_millis(200);
const WAIT_ROUNDS: u32 = 150;

/// What a block takes the card.
const BLOCK: Duration = Duration::from_millis(1);

/// The kind of component that the card boots from (`MCQS_IDENTIFIER_BOOT_IMG`).
const BOOT_IMG: u16 = 1;

/// What each rejection by the card means, from 1 (`mlxfw_fsm.c: mlxfw_fsm_state_err`).
const REJECTIONS: [(Errno, &str); 9] = [
    (Errno::IO, "general error"),
    (Errno::BADMSG, "component hash mismatch"),
    (Errno::NOENT, "component not applicable"),
    (Errno::NOKEY, "unknown key"),
    (Errno::ACCESS, "authentication failed"),
    (Errno::KEYREVOKED, "component was not signed"),
    (Errno::KEYREJECTED, "key not applicable"),
    (Errno::NOEXEC, "bad format"),
    (Errno::BUSY, "pending reset"),
];

/// A firmware file of this version for a card of this profile, which a machine of ours takes and a real card does not.
pub fn image(profile: &Profile, version: FwVersion) -> Vec<u8> {
    mfa2::build(&profile.psid, BOOT_IMG, &firmware::image(version))
}

/// Flashes what the file has for this board.
///
/// # Errors
/// `EOPNOTSUPP` unless the function is a physical one; `EINVAL` for a file that is no firmware, damaged, or for other boards;
/// `EBUSY` while somebody else flashes the card; `ETIMEDOUT` when the card does not follow; what the card says of a component
/// that it does not like. With the text that says so.
#[inline(never)]
pub(crate) fn mlx5_firmware_flash(
    dev: &CoreDev,
    objects: &Objects<'_>,
    update: &FlashUpdate<'_>,
    extack: &mut ExtAck,
) -> Result<(), Errno> {
    if !dev.is_pf() {
        let klog = dev.module().driver_core().klog();
        klog.info(format_args!(
            "mlx5_core: mlx5_firmware_flash flashing isn't supported by the running FW"
        ));
        return Err(Errno::OPNOTSUPP);
    }
    let data = update.fw.data();
    Flash {
        dev,
        objects,
        extack,
    }
    .flash(data)
}

/// One flash, while it lasts (`struct mlxfw_dev`).
struct Flash<'a, 'objects> {
    dev: &'a CoreDev,
    objects: &'a Objects<'objects>,
    extack: &'a mut ExtAck,
}

impl Flash<'_, '_> {
    /// `mlxfw_fsm.c: mlxfw_firmware_flash`
    fn flash(&mut self, data: &[u8]) -> Result<(), Errno> {
        if !mfa2::check(data) {
            return Err(self.fail("Firmware file is not MFA2", Errno::INVAL));
        }
        let file = mfa2::File::init(data)
            .map_err(|errno| self.fail("Failed to initialize MFA2 firmware file", errno))?;
        self.info(format_args!("Initialize firmware flash process"));
        self.tell("Initializing firmware flash process", None, 0, 0);
        let at = self.instant();
        self.dev
            .firmware()
            .lock(at)
            .map_err(|errno| self.fail("Could not lock the firmware FSM", errno))?;
        let flashed = self.flash_locked(&file);
        self.dev.firmware().release();
        flashed?;
        self.info(format_args!("Firmware flash done"));
        self.tell("Firmware flash done", None, 0, 0);
        Ok(())
    }

    /// What is done while the state machine is ours.
    fn flash_locked(&mut self, file: &mfa2::File<'_>) -> Result<(), Errno> {
        self.state_wait(FsmState::Locked)?;
        // A card that has flashed since its last reset is made ready once more; ours always is.
        self.state_wait(FsmState::Locked)?;
        let psid = &self.dev.profile().psid;
        let count = file
            .component_count(psid)
            .map_err(|errno| self.fail("Could not find device PSID in MFA2 file", errno))?;
        for index in 0..count {
            let component = file
                .component(psid, index)
                .map_err(|errno| self.fail("Failed to get MFA2 component", errno))?;
            self.info(format_args!("Flashing component type {}", component.index));
            self.flash_component(&component)?;
        }
        self.tell("Activating image", None, 0, 0);
        let at = self.instant();
        self.dev
            .firmware()
            .activate(at)
            .map_err(|errno| self.fail("Could not activate the downloaded image", errno))?;
        self.state_wait(FsmState::Locked)
    }

    /// `mlxfw_fsm.c: mlxfw_flash_component`
    fn flash_component(&mut self, component: &mfa2::Component) -> Result<(), Errno> {
        if component.data.len() > MAX_COMPONENT_SIZE as usize {
            return Err(self.fail("Component size is bigger than limit", Errno::INVAL));
        }
        let name = component.index.to_string();
        self.tell("Updating component", Some(&name), 0, 0);
        let at = self.instant();
        self.dev
            .firmware()
            .update_component(at, component.data.len())
            .map_err(|errno| self.fail("FSM component update failed", errno))?;
        let written = self.write_component(component, &name);
        if written.is_err() {
            self.dev.firmware().cancel();
        }
        written
    }

    fn write_component(&mut self, component: &mfa2::Component, name: &str) -> Result<(), Errno> {
        self.state_wait(FsmState::Download)?;
        let total = component.data.len() as u64;
        self.tell("Downloading component", Some(name), 0, total);
        let mut done = 0;
        let unit = usize::from(MAX_WRITE_SIZE) >> ALIGN_BITS << ALIGN_BITS;
        for block in component.data.chunks(unit) {
            let now = self.now();
            self.dev
                .firmware()
                .download(now, done, block)
                .map_err(|errno| self.fail("Component download failed", errno))?;
            done += block.len();
            self.dev.module().driver_core().clock().sleep(BLOCK);
            self.tell("Downloading component", Some(name), done as u64, total);
        }
        self.tell("Verifying component", Some(name), 0, 0);
        let rejects = self.dev.faults().value(Fault::FlashReject);
        let rejects = rejects.map(|number| FsmError(u8::try_from(number).unwrap_or(u8::MAX)));
        let at = self.instant();
        self.dev
            .firmware()
            .verify(at, rejects)
            .map_err(|errno| self.fail("FSM component verify failed", errno))?;
        self.state_wait(FsmState::Locked)
    }

    /// Waits until the card has followed (`mlxfw_fsm.c: mlxfw_fsm_state_wait`).
    fn state_wait(&mut self, wanted: FsmState) -> Result<(), Errno> {
        for round in 1.. {
            let (state, error) = self.dev.firmware().query(self.now());
            if error != FsmError(0) {
                return Err(self.rejected(error));
            }
            if state == wanted {
                break;
            }
            if round == WAIT_ROUNDS {
                let text = "Timeout reached on FSM state change";
                return Err(self.fail(text, Errno::TIMEDOUT));
            }
            self.dev.module().driver_core().clock().sleep(WAIT_CYCLE);
        }
        Ok(())
    }

    fn rejected(&mut self, FsmError(number): FsmError) -> Errno {
        let known = REJECTIONS.get(usize::from(number).wrapping_sub(1));
        let (errno, text) = known.copied().unwrap_or((Errno::INVAL, "unknown error"));
        // The log has the number of the reason, not of the error.
        let number = i32::from(number).min(REJECTIONS.len() as i32 + 1);
        self.failed(text, number);
        errno
    }

    fn fail(&mut self, text: &str, errno: Errno) -> Errno {
        self.failed(text, -errno.raw_os_error());
        errno
    }

    fn failed(&mut self, text: &str, number: i32) {
        self.dev.err(format_args!(
            "mlxfw: Firmware flash failed: {text}, err ({number})"
        ));
        // mlxfw is a module of its own, and its name is in front.
        self.extack
            .set_msg_fmt(format_args!("mlxfw: Firmware flash failed: {text}"));
    }

    fn info(&self, text: std::fmt::Arguments<'_>) {
        self.dev.info(format_args!("mlxfw: {text}"));
    }

    fn tell(&self, text: &str, component: Option<&str>, done: u64, total: u64) {
        self.objects
            .flash_update_status_notify(text, component, done, total);
    }

    fn now(&self) -> Duration {
        self.dev.module().driver_core().clock().now()
    }

    /// When the next instruction is given, and how long the card stalls then.
    fn instant(&self) -> Instant {
        let stall = self.dev.faults().delay(Fault::FlashStall);
        Instant {
            now: self.now(),
            stall: stall.unwrap_or_default(),
        }
    }
}
