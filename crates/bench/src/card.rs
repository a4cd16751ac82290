//! What a full card costs: virtual and sub-functions by the hundred, on a machine whose namespaces and network devices are
//! made up, so that it is this program that is measured and not the real kernel's `tun`.
//!
//! Every figure is per object, of a card with 128 virtual and 1,000 sub-functions, beside the same of one with a quarter of
//! them: what is linear costs the same.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow, ensure};
use driver_core::pci;
use driver_testkit::{Client, Machine, Refusal};
use lockdep::order::Held;
use mlx5::{Config, Module, Profile};
use netlink::attr::{self, port_fn};
use netlink::{KernelVersion, cmd};

use crate::rows::Row;

const PF: &str = "pci/0000:00:09.0";
const VFS: u16 = 128;
const SFS: u32 = 1000;
/// A quarter of the objects may not cost each more than this many times less.
const LINEAR: f64 = 2.0;

/// What one card cost.
struct Cost {
    vf_create: f64,
    switchdev: f64,
    sf_create: f64,
    port_show: f64,
    legacy: f64,
    memory: f64,
}

/// Measures.
///
/// # Errors
/// A step that did not work.
pub(crate) fn measure() -> Result<Vec<Row>> {
    // Once for the memory that is taken only the first time.
    card(8, 16)?;
    let quarter = card(VFS / 4, SFS / 4)?;
    let full = card(VFS, SFS)?;
    let row = |case: &str, unit, value: f64, floor: f64| Row {
        case: case.to_owned(),
        value,
        unit,
        floor,
        against: "a quarter as many",
        target: Some(LINEAR * floor),
    };
    Ok(vec![
        row(
            "make a virtual function",
            "us",
            full.vf_create,
            quarter.vf_create,
        ),
        row(
            "to switchdev mode, per virtual function",
            "us",
            full.switchdev,
            quarter.switchdev,
        ),
        row(
            "make a sub-function until attached",
            "us",
            full.sf_create,
            quarter.sf_create,
        ),
        row(
            "port show, per port",
            "us",
            full.port_show,
            quarter.port_show,
        ),
        row(
            "to legacy mode, per function",
            "us",
            full.legacy,
            quarter.legacy,
        ),
        row("memory per function", "KB", full.memory, quarter.memory),
    ])
}

fn card(vfs: u16, sfs: u32) -> Result<Cost> {
    let machine = Machine::new(KernelVersion::DEFAULT);
    let config = Config {
        udev_names: true,
        ..Config::default()
    };
    let module = Module::new(
        Arc::clone(&machine.driver_core),
        Arc::clone(&machine.net_core),
        Arc::clone(&machine.devlink),
        config,
    );
    let mut held = Held::root();
    module.load(&mut held)?;
    let mut profile = Profile::connectx_7();
    profile.physical_functions = 1;
    profile.total_vfs = VFS;
    profile.max_total_vfs = VFS;
    let functions = module.plug(&mut held, "0000:00:09.0".parse()?, profile)?;
    let client = machine.client(machine.init_net());
    let before = resident()?;

    let vf_create = timed(|| Ok(pci::sriov::numvfs_store(&mut held, &functions[0], vfs)?))?;
    let switchdev = timed(|| mode(&client, 1))?;
    let sf_create = timed(|| {
        for sfnum in 0..sfs {
            add(&client, sfnum)?;
        }
        let start = Instant::now();
        while attached(&client)? < sfs as usize {
            ensure!(
                start.elapsed() < Duration::from_secs(60),
                "sub-functions do not attach"
            );
            // To look takes what the functions need to come: locks, and one of the cores.
            std::thread::sleep(Duration::from_millis(2));
        }
        Ok(())
    })?;
    let memory = resident()?.saturating_sub(before) as f64 / 1024.0;
    let mut ports = 0;
    let port_show = timed(|| {
        ports = client.port_show().len();
        Ok(())
    })?;
    let legacy = timed(|| mode(&client, 0))?;
    module.unload(&mut held)?;
    let reports = lockdep::reports().len();
    ensure!(reports == 0, "{reports} lock reports");

    let functions = f64::from(vfs) + f64::from(sfs);
    Ok(Cost {
        vf_create: vf_create / f64::from(vfs),
        switchdev: switchdev / f64::from(vfs),
        sf_create: sf_create / f64::from(sfs),
        port_show: port_show / ports as f64,
        legacy: legacy / functions,
        memory: memory / functions,
    })
}

/// Microseconds.
fn timed(work: impl FnOnce() -> Result<()>) -> Result<f64> {
    let start = Instant::now();
    work()?;
    Ok(start.elapsed().as_secs_f64() * 1e6)
}

fn refused(refusal: Refusal) -> anyhow::Error {
    anyhow!("{refusal:?}")
}

fn mode(client: &Client, mode: u16) -> Result<()> {
    let done = client.request(cmd::ESWITCH_SET, PF, |w| {
        // One small attribute fits into an empty message.
        _ = w.put_u16(attr::ESWITCH_MODE, mode);
    });
    done.map(drop).map_err(refused)
}

fn add(client: &Client, sfnum: u32) -> Result<()> {
    let added = client.request(cmd::PORT_NEW, PF, |w| {
        // So do three.
        _ = w.put_u16(attr::PORT_FLAVOUR, 7);
        _ = w.put_u16(attr::PORT_PCI_PF_NUMBER, 0);
        _ = w.put_u32(attr::PORT_PCI_SF_NUMBER, sfnum);
    });
    added.map_err(refused)?;
    let done = client.request(cmd::PORT_SET, &format!("{PF}/{}", 0x8000 + sfnum), |w| {
        let nest = attr::PORT_FUNCTION.flagged();
        _ = w.nest(nest, |w| w.put_u8(port_fn::STATE, 1));
    });
    done.map(drop).map_err(refused)
}

/// How many sub-functions have an instance.
fn attached(client: &Client) -> Result<usize> {
    let shown = client.dump(cmd::GET).map_err(refused)?;
    let names = shown.iter().map(driver_testkit::text::dev);
    Ok(names.filter(|name| name.contains("mlx5_core.sf.")).count())
}

/// The memory that this process has, in bytes.
fn resident() -> Result<u64> {
    let statm = std::fs::read_to_string("/proc/self/statm")?;
    let pages: u64 = statm
        .split(' ')
        .nth(1)
        .ok_or_else(|| anyhow!("/proc/self/statm has no second number"))?
        .parse()?;
    Ok(pages * rustix::param::page_size() as u64)
}
