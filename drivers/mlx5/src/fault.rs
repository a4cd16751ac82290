//! Faults on demand: what real devices do at bad moments.
//!
//! A fault is named by a text, on the command line (`--fault`) or while the machine runs (`userlink ctl fault`):
//!
//! ```text
//! FAULT  = NAME [ "=" VALUE ] { "," OPTION }
//! OPTION = "on=" DEVICE      only this device, by its name on its bus (0000:00:09.0)
//!        | "after=" N        not the first N times
//!        | "times=" N        N times, then no more
//!        | "chance=" P "%"   each time only with this probability
//! ```
//!
//! | NAME | VALUE | what happens |
//! |---|---|---|
//! | `vf-delay` | milliseconds | each virtual function appears this much later than the one before |
//! | `vf-missing` | number | the virtual function of this number never comes up |
//! | `vf-enable` | errno | the bus refuses to make virtual functions |
//! | `vf-bound` | | switchdev mode is refused as long as a driver has one of the virtual functions |
//! | `eswitch-busy` | | a change of the eswitch's mode finds it busy |
//! | `eswitch-fail` | | switchdev mode fails half-way |
//! | `fw-reset` | | a firmware reset is under way: reload and mode changes are refused |
//! | `sf-event-delay` | milliseconds | what the firmware tells of sub-functions comes this much later |
//! | `reset-nack` | | another host disables the firmware reset |
//! | `reload-up` | errno | the second half of a reload fails |
//! | `recover-fail` | | a recovery of `fw_fatal` fails |
//! | `flash-stall` | milliseconds | the firmware follows an instruction of a flash this much later; the driver waits 30 s |
//! | `flash-reject` | number | the firmware rejects what was flashed, for the reason of this number (1 to 9) |
//! | `dump-intr` | | something interferes with a dump: its later messages, and its end, are marked (`NLM_F_DUMP_INTR`) |
//! | `enobufs` | | a notification is lost to one who listens; its next receive fails with `ENOBUFS`, and wakes only with the next one |
//!
//! The last two happen to clients, whatever device they ask about: they have no `on=`. Who receives with `recv` hears of `enobufs` only
//! where such receives are trapped, as they are if the machine starts with that fault; who reads with `read` never does.
//!
//! Probabilities come from the machine's seed: the same seed and the same events are the same run.

use std::fmt;
use std::str::FromStr;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use driver_core::{Device, Rng};
use netlink::genl::Mishaps;

use crate::core_dev::CoreDev;

macro_rules! faults {
    ($($(#[$doc:meta])* $fault:ident $name:literal $value:ident;)*) => {
        /// A kind of fault.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Fault { $($(#[$doc])* $fault,)* }

        impl Fault {
            const ALL: &'static [(Fault, &'static str, Wants)] = &[$((Fault::$fault, $name, Wants::$value),)*];
        }
    };
}

impl Fault {
    /// Whether it happens to clients, whatever device they ask about.
    fn is_of_clients(self) -> bool {
        matches!(self, Fault::DumpIntr | Fault::Enobufs)
    }
}

/// Whether a fault has a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wants {
    Nothing,
    Milliseconds,
    Number,
    Errno,
}

faults! {
    /// Virtual functions appear one by one.
    VfDelay "vf-delay" Milliseconds;
    /// A virtual function never comes up.
    VfMissing "vf-missing" Number;
    /// The bus refuses virtual functions.
    VfEnable "vf-enable" Errno;
    /// Virtual functions with drivers are in the way of switchdev mode.
    VfBound "vf-bound" Nothing;
    /// The eswitch is busy.
    EswitchBusy "eswitch-busy" Nothing;
    /// Switchdev mode fails.
    EswitchFail "eswitch-fail" Nothing;
    /// A firmware reset is under way.
    FwReset "fw-reset" Nothing;
    /// Events of sub-functions are late.
    SfEventDelay "sf-event-delay" Milliseconds;
    /// Another host disables the firmware reset.
    ResetNack "reset-nack" Nothing;
    /// The second half of a reload fails.
    ReloadUp "reload-up" Errno;
    /// A recovery of `fw_fatal` fails.
    RecoverFail "recover-fail" Nothing;
    /// The firmware is slow to follow an instruction of a flash.
    FlashStall "flash-stall" Milliseconds;
    /// The firmware rejects what was flashed.
    FlashReject "flash-reject" Number;
    /// A dump is interfered with.
    DumpIntr "dump-intr" Nothing;
    /// A notification is lost.
    Enobufs "enobufs" Nothing;
}

/// A fault that was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FaultSpec {
    fault: Fault,
    value: u64,
    on: Option<String>,
    after: u64,
    times: Option<u64>,
    chance: u64,
}

/// A text that names no fault.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("fault `{text}`: {what}")]
pub struct FaultError {
    text: String,
    what: String,
}

impl FromStr for FaultSpec {
    type Err = FaultError;

    fn from_str(text: &str) -> Result<Self, FaultError> {
        let wrong = |what: String| FaultError {
            text: text.to_owned(),
            what,
        };
        let mut words = text.split(',');
        let first = words.next().unwrap_or_default();
        let (name, value) = match first.split_once('=') {
            Some((name, value)) => (name, Some(value)),
            None => (first, None),
        };
        let known = Fault::ALL.iter().find(|(_, known, _)| *known == name);
        let Some(&(fault, _, wants)) = known else {
            let names: Vec<_> = Fault::ALL.iter().map(|(_, name, _)| *name).collect();
            return Err(wrong(format!(
                "there is no fault `{name}`; there are: {}",
                names.join(", ")
            )));
        };
        let value = match (wants, value) {
            (Wants::Nothing, None) => 0,
            (Wants::Nothing, Some(_)) => return Err(wrong(format!("{name} has no value"))),
            (Wants::Errno, None) => 5,
            (Wants::Milliseconds, Some(value)) => number(value.trim_end_matches("ms"))
                .ok_or_else(|| wrong(format!("expected milliseconds, as in {name}=500")))?,
            (Wants::Number, Some(value)) => {
                number(value).ok_or_else(|| wrong(format!("expected a number, as in {name}=1")))?
            }
            (Wants::Errno, Some(value)) => number(value)
                .filter(|errno| (1..=4095).contains(errno))
                .ok_or_else(|| {
                    wrong(format!("expected the number of an error, as in {name}=12"))
                })?,
            (Wants::Milliseconds | Wants::Number, None) => {
                return Err(wrong(format!("expected a value, as in {name}=1")));
            }
        };
        let mut spec = FaultSpec {
            fault,
            value,
            on: None,
            after: 0,
            times: None,
            chance: 100,
        };
        for word in words {
            let option = word.split_once('=');
            let parsed = match option {
                Some(("on", _)) if fault.is_of_clients() => {
                    return Err(wrong(format!("{name} happens to clients, not to a device")));
                }
                Some(("on", device)) => {
                    let name = device.rsplit('/').next().unwrap_or(device);
                    spec.on = Some(name.to_owned());
                    Some(())
                }
                Some(("after", times)) => number(times).map(|times| spec.after = times),
                Some(("times", times)) => number(times).map(|times| spec.times = Some(times)),
                Some(("chance", chance)) => number(chance.trim_end_matches('%'))
                    .filter(|chance| *chance <= 100)
                    .map(|chance| spec.chance = chance),
                _ => None,
            };
            if parsed.is_none() {
                return Err(wrong(format!(
                    "`{word}` is not on=DEVICE, after=N, times=N or chance=P%"
                )));
            }
        }
        Ok(spec)
    }
}

fn number(text: &str) -> Option<u64> {
    text.parse().ok()
}

impl FaultSpec {
    /// Whether clients may lose notifications.
    pub fn loses_notifications(&self) -> bool {
        self.fault == Fault::Enobufs
    }
}

impl fmt::Display for FaultSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let entry = Fault::ALL.iter().find(|(fault, ..)| *fault == self.fault);
        let (_, name, wants) = entry.expect("the table has every fault");
        f.write_str(name)?;
        if *wants != Wants::Nothing {
            write!(f, "={}", self.value)?;
        }
        if let Some(on) = &self.on {
            write!(f, ",on={on}")?;
        }
        if self.after > 0 {
            write!(f, ",after={}", self.after)?;
        }
        if let Some(times) = self.times {
            write!(f, ",times={times}")?;
        }
        if self.chance < 100 {
            write!(f, ",chance={}%", self.chance)?;
        }
        Ok(())
    }
}

/// The faults of a machine.
#[derive(Debug)]
pub struct Faults {
    specs: lockdep::Mutex<Vec<FaultSpec>>,
    rng: Arc<dyn Rng>,
}

impl Faults {
    /// No faults yet; probabilities come from `rng`.
    pub fn new(rng: Arc<dyn Rng>) -> Self {
        Faults {
            specs: lockdep::Mutex::named("mlx5 faults", Vec::new()),
            rng,
        }
    }

    fn specs(&self) -> lockdep::MutexGuard<'_, Vec<FaultSpec>> {
        self.specs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One more fault; takes the place of one of the same kind on the same device, except that several virtual functions may
    /// be missing.
    pub fn add(&self, spec: FaultSpec) {
        let mut specs = self.specs();
        specs.retain(|known| {
            let is_other_vf = spec.fault == Fault::VfMissing && known.value != spec.value;
            known.fault != spec.fault || known.on != spec.on || is_other_vf
        });
        specs.push(spec);
    }

    /// No faults any more.
    pub fn clear(&self) {
        self.specs().clear();
    }

    /// The faults that are left.
    pub fn list(&self) -> Vec<FaultSpec> {
        self.specs().clone()
    }

    /// The fault's value if it happens now, to this device. Counts.
    fn value(&self, fault: Fault, device: &str) -> Option<u64> {
        self.value_if(fault, device, |_| true)
    }

    /// The same, of a fault that is only meant with some values.
    fn value_if(&self, fault: Fault, device: &str, is_meant: impl Fn(u64) -> bool) -> Option<u64> {
        let mut specs = self.specs();
        let place = specs.iter().position(|spec| {
            spec.fault == fault
                && spec.on.as_deref().is_none_or(|on| on == device)
                && is_meant(spec.value)
        })?;
        let spec = &mut specs[place];
        if spec.after > 0 {
            spec.after -= 1;
            return None;
        }
        if spec.chance < 100 && self.rng.next_u64() % 100 >= spec.chance {
            return None;
        }
        let value = spec.value;
        if let Some(times) = &mut spec.times {
            *times = times.saturating_sub(1);
            if *times == 0 {
                specs.remove(place);
            }
        }
        Some(value)
    }
}

impl Mishaps for Faults {
    fn interrupts_dump(&self) -> bool {
        self.value(Fault::DumpIntr, "").is_some()
    }

    fn loses_notification(&self) -> bool {
        self.value(Fault::Enobufs, "").is_some()
    }
}

/// The faults of one function.
#[derive(Debug)]
pub(crate) struct DevFaults<'a> {
    faults: &'a Faults,
    device: &'a str,
}

impl CoreDev {
    /// What is to go wrong with this function.
    pub(crate) fn faults(&self) -> DevFaults<'_> {
        self.faults_of(self.device())
    }

    /// What is to go wrong with another device, as this one hears of it.
    pub(crate) fn faults_of<'a>(&'a self, device: &'a Device) -> DevFaults<'a> {
        DevFaults {
            faults: self.module().faults(),
            device: device.name(),
        }
    }
}

impl DevFaults<'_> {
    /// Whether the fault happens now.
    pub(crate) fn fires(&self, fault: Fault) -> bool {
        self.value(fault).is_some()
    }

    /// The fault's value, if it happens now.
    pub(crate) fn value(&self, fault: Fault) -> Option<u64> {
        self.faults.value(fault, self.device)
    }

    /// Whether the virtual function of this number does not come up now.
    pub(crate) fn misses_vf(&self, number: u16) -> bool {
        let is_it = |value| value == u64::from(number);
        let faults = self.faults;
        faults
            .value_if(Fault::VfMissing, self.device, is_it)
            .is_some()
    }

    /// For how long, if the fault happens now.
    pub(crate) fn delay(&self, fault: Fault) -> Option<Duration> {
        self.value(fault).map(Duration::from_millis)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn faults(specs: &[&str]) -> Faults {
        let faults = Faults::new(Arc::new(driver_core::SeededRng::new(7)));
        for spec in specs {
            faults.add(spec.parse().unwrap());
        }
        faults
    }

    #[test]
    fn the_grammar_is_read_and_written() {
        for text in [
            "eswitch-busy",
            "vf-delay=500",
            "vf-missing=3,on=0000:00:09.0",
            "dump-intr,times=1",
            "enobufs,chance=10%",
            "reload-up=16,after=1,times=2,chance=50%",
        ] {
            assert_eq!(text.parse::<FaultSpec>().unwrap().to_string(), text);
        }
        assert_eq!(
            "vf-delay=1ms,on=pci/0000:00:09.0".parse::<FaultSpec>(),
            "vf-delay=1,on=0000:00:09.0".parse()
        );
    }

    #[test]
    fn mistakes_say_what_is_expected() {
        for (text, expected) in [
            ("vf-lost", "there are: vf-delay, vf-missing"),
            ("vf-delay", "expected a value"),
            ("vf-delay=soon", "expected milliseconds"),
            ("eswitch-busy=1", "has no value"),
            ("vf-enable=0", "expected the number of an error"),
            ("dump-intr,on=0000:00:09.0", "happens to clients"),
            ("eswitch-busy,often", "is not on=DEVICE"),
            ("eswitch-busy,chance=101%", "is not on=DEVICE"),
        ] {
            let error = text.parse::<FaultSpec>().unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
    }

    #[test]
    fn a_fault_happens_where_when_and_as_often_as_asked() {
        let faults = faults(&["eswitch-busy,on=a,after=1,times=2"]);
        let happens = |device| faults.value(Fault::EswitchBusy, device).is_some();
        assert!(!happens("b"));
        let seen: Vec<_> = (0..5).map(|_| happens("a")).collect();
        assert_eq!(seen, [false, true, true, false, false]);
        assert!(faults.list().is_empty());
    }

    #[test]
    fn each_missing_function_counts_for_itself() {
        let faults = faults(&[
            "vf-missing=1",
            "vf-missing=3,times=1",
            "vf-missing=1,times=2",
        ]);
        let misses = |number| {
            let found = faults.value_if(Fault::VfMissing, "a", |value| value == number);
            found.is_some()
        };
        let round = || (0..4).map(misses).collect::<Vec<_>>();
        assert_eq!(round(), [false, true, false, true]);
        assert_eq!(round(), [false, true, false, false]);
        assert!(faults.list().is_empty());
    }

    #[test]
    fn the_same_seed_is_the_same_run() {
        let run = || {
            let faults = faults(&["eswitch-busy,chance=50%"]);
            (0..32)
                .map(|_| faults.value(Fault::EswitchBusy, "a").is_some())
                .collect::<Vec<_>>()
        };
        assert_eq!(run(), run());
        assert!(run().contains(&true) && run().contains(&false));
    }
}
