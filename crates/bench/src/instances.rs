//! What devlink costs when there is much of it: 10,000 ports, 10,000 instances, many clients, a long flash.
//!
//! All in process, from datagram to datagram, with lockdep on: how a datagram gets here is measured elsewhere
//! ([`way`](crate::way)). The instances are bare, without a driver and without network devices, except those that are
//! flashed. What is compared is the same with less of it: what must stay flat is the ratio.

use std::hint::black_box;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow, ensure};
use devlink::{
    Devl, Devlink, Flavour, NoPortOps, Ops, PortAttrs, ReloadAction, ReloadActions, ReloadDown,
    ReloadLimit,
};
use driver_core::Device;
use driver_core::bus::PlainBus;
use driver_testkit::{Client, Machine};
use lockdep::order::Held;
use netlink::{ExtAck, KernelVersion, attr, cmd};
use rustix::io::Errno;

use crate::rows::Row;
use crate::stats::{each, median, nanoseconds};

/// Ports of the device that is dumped, and instances.
const MANY: u32 = 10_000;
/// Half of them: what is linear costs each as much.
const HALF: u32 = MANY / 2;
/// Ports of the device that is reloaded.
const RELOADED: u32 = 1_000;
const CLIENTS: u32 = 64;
/// Requests of a round.
const REQUESTS: usize = 2_000;
/// Dumps and reloads of which the median counts.
const ROUNDS: usize = 7;

/// The driver of a bare instance: ports that it makes anew at each reload.
struct Bare {
    ports: u32,
    made: Mutex<Vec<Arc<devlink::Port>>>,
}

impl Bare {
    fn new(ports: u32) -> Arc<Self> {
        Arc::new(Bare {
            ports,
            made: Mutex::default(),
        })
    }

    fn made(&self) -> std::sync::MutexGuard<'_, Vec<Arc<devlink::Port>>> {
        self.made.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn ports_add(&self, devl: &mut Devl<'_>) -> Result<(), Errno> {
        for index in 0..self.ports {
            let attrs = PortAttrs::new(Flavour::Physical {
                number: index + 1,
                split_subport: None,
            });
            let port = devl.port_register(index, Some(attrs), Arc::new(NoPortOps))?;
            self.made().push(port);
        }
        Ok(())
    }
}

impl Ops for Bare {
    fn reload_actions(&self) -> ReloadActions {
        ReloadActions::of(&[ReloadAction::DriverReinit])
    }

    fn reload_down(
        &self,
        devl: &mut Devl<'_>,
        _reload: ReloadDown,
        _extack: &mut ExtAck,
    ) -> Result<(), Errno> {
        for port in self.made().drain(..).rev() {
            devl.port_unregister(&port);
        }
        Ok(())
    }

    fn reload_up(
        &self,
        devl: &mut Devl<'_>,
        action: ReloadAction,
        _limit: ReloadLimit,
        _extack: &mut ExtAck,
    ) -> Result<ReloadActions, Errno> {
        self.ports_add(devl)?;
        Ok(ReloadActions::of(&[action]))
    }
}

fn name(number: u32) -> String {
    format!("netdevsim/bare{number}")
}

/// Makes and registers a bare instance.
fn register(machine: &Machine, number: u32, ports: u32) -> Result<Arc<Devlink>> {
    let bus = machine.driver_core.register_bus(PlainBus::new("netdevsim"));
    let device = Device::new(&bus, format!("bare{number}"), None, ());
    let bare = Bare::new(ports);
    let net = Arc::clone(machine.net_core.init_net());
    let devlink = machine.devlink.alloc(Arc::clone(&bare) as _, net, device)?;
    let mut held = Held::root();
    let mut devl = devlink.lock(&mut held);
    devl.register();
    bare.ports_add(&mut devl)?;
    drop(devl);
    Ok(devlink)
}

fn client(machine: &Arc<Machine>) -> Client {
    machine.client(machine.init_net())
}

/// The request that is timed: one instance is asked what it is.
fn get(client: &Client, number: u32) -> Result<()> {
    let answer = client.request(cmd::GET, &name(number), |_| ());
    black_box(answer.map_err(|refusal| anyhow!("{refusal:?}"))?);
    Ok(())
}

/// The time that this thread has had of a processor, in nanoseconds. What takes long is measured with it: it is interrupted by
/// whoever else wants the processor, and what it is compared with is too short for that.
fn processor_time() -> f64 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    now.tv_sec as f64 * 1e9 + now.tv_nsec as f64
}

/// The median time that a dump takes in nanoseconds, and that it is whole.
fn dump(client: &Client, command: u8, objects: u32) -> Result<f64> {
    let mut times = Vec::new();
    for _ in 0..ROUNDS {
        let start = processor_time();
        let found = client.dump(command);
        times.push(processor_time() - start);
        let found = found.map_err(|refusal| anyhow!("{refusal:?}"))?.len();
        ensure!(
            found == objects as usize,
            "{found} objects instead of {objects}"
        );
    }
    Ok(median(times))
}

/// Bytes of memory that the process has.
fn resident() -> Result<f64> {
    let statm = std::fs::read_to_string("/proc/self/statm")?;
    let pages = statm.split(' ').nth(1).context("no statm")?;
    Ok(pages.parse::<f64>()? * rustix::param::page_size() as f64)
}

fn row(case: &str, unit: &'static str, value: f64, floor: f64, against: &'static str) -> Row {
    Row {
        case: case.to_owned(),
        value,
        unit,
        floor,
        against,
        target: None,
    }
}

fn at_most(target: f64, row: Row) -> Row {
    Row {
        target: Some(target),
        ..row
    }
}

/// The rows of `./x bench devlink`.
pub(crate) fn measure() -> Result<Vec<Row>> {
    let mut rows = Vec::new();
    // First what is told by the process's memory, which does not shrink.
    ports(&mut rows)?;
    instances(&mut rows)?;
    reload(&mut rows)?;
    clients(&mut rows)?;
    flash(&mut rows)?;
    Ok(rows)
}

fn ports(rows: &mut Vec<Row>) -> Result<()> {
    let machine = Machine::new(KernelVersion::DEFAULT);
    let client = client(&machine);
    let few = register(&machine, 0, 100)?;
    let floor = dump(&client, cmd::PORT_GET, 100)? / 100.0;
    few.unregister(&mut Held::root());
    let before = resident()?;
    let _many = register(&machine, 1, MANY)?;
    let memory = (resident()? - before) / f64::from(MANY);
    let each = dump(&client, cmd::PORT_GET, MANY)? / f64::from(MANY);
    rows.extend([
        row(
            "dump of 10,000 ports",
            "kports/s",
            1e6 / each,
            1e6 / floor,
            "100 ports",
        ),
        at_most(
            3.0 * floor,
            row("  one port of it", "ns", each, floor, "one of 100"),
        ),
        at_most(
            1024.0,
            row(
                "memory of a port",
                "B",
                memory,
                size_of::<devlink::Port>() as f64,
                "struct Port",
            ),
        ),
    ]);
    Ok(())
}

fn instances(rows: &mut Vec<Row>) -> Result<()> {
    let machine = Machine::new(KernelVersion::DEFAULT);
    let client = client(&machine);
    let mut kept = Vec::new();
    let (mut requests, mut dumps, mut registrations) = (Vec::new(), Vec::new(), Vec::new());
    let before = resident()?;
    for many in [1, 100, HALF, MANY] {
        let start = processor_time();
        let from = kept.len() as u32;
        for number in from..many {
            kept.push(register(&machine, number, 0)?);
        }
        registrations.push((processor_time() - start) / f64::from(many - from));
        if many == MANY {
            let memory = (resident()? - before) / f64::from(MANY);
            let size = size_of::<Devlink>() as f64;
            let row = row("memory of an instance", "B", memory, size, "struct Devlink");
            rows.push(at_most(8192.0, row));
        }
        dumps.push(dump(&client, cmd::GET, many)? / f64::from(many));
        requests.push(each(REQUESTS, || get(&client, many - 1))?);
    }
    rows.extend([
        row(
            "registration of 10,000 instances",
            "k/s",
            1e6 / registrations[3],
            1e6 / registrations[1],
            "of 100",
        ),
        at_most(
            3.0 * registrations[1],
            row(
                "  one of it",
                "ns",
                registrations[3],
                registrations[1],
                "one of 100",
            ),
        ),
        // The memory of so many instances, and what lockdep knows of the lock of each, is more than a processor's caches hold.
        row(
            "dev show of 10,000, one of it",
            "ns",
            dumps[3],
            dumps[1],
            "one of 100",
        ),
        at_most(
            1.5 * dumps[2],
            row(
                "dev show of 10,000, one of it",
                "ns",
                dumps[3],
                dumps[2],
                "one of 5,000",
            ),
        ),
        at_most(
            2.0 * requests[0],
            row(
                "request among 100 instances",
                "ns",
                requests[1],
                requests[0],
                "among 1",
            ),
        ),
        at_most(
            2.0 * requests[0],
            row(
                "request among 10,000 instances",
                "ns",
                requests[3],
                requests[0],
                "among 1",
            ),
        ),
    ]);
    Ok(())
}

fn reload(rows: &mut Vec<Row>) -> Result<()> {
    let machine = Machine::new(KernelVersion::DEFAULT);
    let client = client(&machine);
    let _instances = [register(&machine, 0, 0)?, register(&machine, 1, RELOADED)?];
    let time = |number| {
        let each = each(ROUNDS, || {
            let answer = client.reload(&name(number), None);
            answer.map_err(|refusal| anyhow!("{refusal:?}"))
        })?;
        anyhow::Ok(each / 1e6)
    };
    let case = "reload of 1,000 ports without netdevs";
    let row = row(case, "ms", time(1)?, time(0)?, "of no port");
    rows.push(at_most(100.0, row));
    Ok(())
}

/// The time that a request takes of the machine, when each of so many clients sends to an instance of its own.
fn together(machine: &Arc<Machine>, clients: u32) -> Result<f64> {
    let start = Instant::now();
    thread::scope(|scope| {
        let threads: Vec<_> = (0..clients)
            .map(|number| {
                scope.spawn(move || {
                    let client = client(machine);
                    (0..REQUESTS).try_for_each(|_| get(&client, number))
                })
            })
            .collect();
        let mut ended = threads.into_iter().map(|thread| thread.join());
        ended.try_for_each(|ended| ended.unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
    })?;
    Ok(nanoseconds(start) / (f64::from(clients) * REQUESTS as f64))
}

fn clients(rows: &mut Vec<Row>) -> Result<()> {
    let machine = Machine::new(KernelVersion::DEFAULT);
    let _instances: Vec<_> = (0..CLIENTS)
        .map(|number| register(&machine, number, 0))
        .collect::<Result<_>>()?;
    let (mut one, mut all) = (Vec::new(), Vec::new());
    for _ in 0..3 {
        one.push(together(&machine, 1)?);
        all.push(together(&machine, CLIENTS)?);
    }
    let (one, all) = (median(one), median(all));
    let case = "request, 64 clients on 64 instances";
    let row = row(case, "ns", all, one, "1 client");
    // As much faster as there are processors, less a third.
    let cores = thread::available_parallelism()?.get() as f64;
    rows.push(at_most(1.5 * one / cores, row));
    Ok(())
}

fn flash(rows: &mut Vec<Row>) -> Result<()> {
    let machine = Machine::new(KernelVersion::DEFAULT);
    let (drivers, nets) = (&machine.driver_core, &machine.net_core);
    let config = netdevsim::Config::default();
    let module = netdevsim::Netdevsim::new(
        Arc::clone(drivers),
        Arc::clone(nets),
        Arc::clone(&machine.devlink),
        config,
    );
    module.load(&mut Held::root())?;
    let net = Arc::clone(nets.init_net());
    module.new_device(&mut Held::root(), 0, 0, 1, net)?;
    drivers.set_firmware(Arc::new(Anything));
    let _bare = register(&machine, 1, 0)?;
    let client_of_other = client(&machine);
    let idle = each(REQUESTS, || get(&client_of_other, 1))?;
    let flashing = AtomicBool::new(true);
    let slowest = thread::scope(|scope| {
        let (machine, flashing) = (&machine, &flashing);
        let flash = scope.spawn(move || {
            let client = client(machine);
            let answer = client.request(cmd::FLASH_UPDATE, "netdevsim/netdevsim0", |w| {
                // It fits.
                _ = w.put_str(attr::FLASH_UPDATE_FILE_NAME, "dummy");
            });
            flashing.store(false, Ordering::Relaxed);
            answer.map_err(|refusal| anyhow!("{refusal:?}"))
        });
        let mut times = Vec::new();
        // The flash has begun by then, and takes five seconds.
        thread::sleep(Duration::from_millis(200));
        while flashing.load(Ordering::Relaxed) {
            times.push(each(REQUESTS / 10, || get(&client_of_other, 1))?);
            thread::sleep(Duration::from_millis(20));
        }
        flash
            .join()
            .unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
        ensure!(times.len() > 20, "the flash was over before it was met");
        anyhow::Ok(median(times))
    })?;
    module.unload(&mut Held::root())?;
    let case = "request while another instance is flashed";
    let row = row(case, "ns", slowest, idle, "without a flash");
    rows.push(at_most(2.0 * idle, row));
    Ok(())
}

/// Any firmware.
#[derive(Debug)]
struct Anything;

impl driver_core::FirmwareLoader for Anything {
    fn request(
        &self,
        _device: Option<&Device>,
        _name: &[u8],
    ) -> Result<driver_core::Firmware, Errno> {
        Ok(driver_core::Firmware::new(vec![1; 64]))
    }
}
