//! `userlink ctl`: changes a running machine. The machine's side ([`serve`]) and the user's ([`ctl`]).
//!
//! What a user could do at the machine itself is done there, with `devlink` and in `/sys`; this is for what comes from
//! elsewhere: faults, another host, the hardware.

use std::io;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Error;
use driver_core::pci;
use lockdep::order::Held;
use mlx5::core_dev::CoreDev;
use mlx5::{FaultSpec, Module};
use rustix::io::Errno;
use sandbox::KernelSide;

use crate::args::Ctl;

/// Sends the words to the machine, and prints its answer.
///
/// # Errors
/// There is no machine, or it refuses: its words.
pub(crate) fn ctl(args: &Ctl) -> Result<ExitCode, Error> {
    let machine = sandbox::ctl::locate()?;
    sandbox::ctl::request(&machine, &args.words.join(" "), &mut io::stdout().lock())?;
    Ok(ExitCode::SUCCESS)
}

/// Answers the verbs `fault`, `vfs`, `host`, `fw-reset` and `syndrome` from now on.
pub(crate) fn serve(side: &KernelSide, mlx5: &Arc<Module>) {
    let module = Arc::clone(mlx5);
    side.control().verb("fault", move |words, out| {
        match words {
            [] => {
                for fault in module.faults().list() {
                    writeln!(out, "{fault}").map_err(|error| error.to_string())?;
                }
            }
            ["clear"] => module.faults().clear(),
            words => {
                for word in words {
                    let fault: FaultSpec = word.parse().map_err(text)?;
                    module.faults().add(fault);
                }
            }
        }
        Ok(())
    });
    let module = Arc::clone(mlx5);
    side.control().verb("vfs", move |words, _| {
        let [address, count] = words else {
            return Err("expected: vfs ADDRESS COUNT".into());
        };
        let count = number_of_vfs(count)?;
        let device = module
            .driver_core()
            .pci()
            .find_device(address)
            .ok_or_else(|| format!("there is no PCI function {address}"))?;
        pci::sriov::numvfs_store(&mut Held::root(), &device, count).map_err(text)
    });
    let module = Arc::clone(mlx5);
    side.control().verb("fw-reset", move |words, _| {
        let [address] = words else {
            return Err("expected: fw-reset ADDRESS".into());
        };
        module.remote_firmware_reset(&function(&module, address)?);
        Ok(())
    });
    serve_host(side, mlx5);
    serve_syndrome(side, mlx5);
}

/// Answers `host ADDRESS vfs COUNT` and `host ADDRESS driver load|unload`: what is done on the host behind a DPU's function.
fn serve_host(side: &KernelSide, mlx5: &Arc<Module>) {
    let module = Arc::clone(mlx5);
    side.control().verb("host", move |words, _| match words {
        [address, "vfs", count] => {
            let count = number_of_vfs(count)?;
            let dev = function(&module, address)?;
            module.host_vfs(&dev, count).map_err(|errno| match errno {
                Errno::NOENT => "the host cannot use its function now".into(),
                errno => text(errno),
            })
        }
        [address, "driver", done @ ("load" | "unload")] => {
            let dev = function(&module, address)?;
            module.host_driver(&dev, *done == "load").map_err(text)
        }
        _ => Err("expected: host ADDRESS vfs COUNT, or host ADDRESS driver load|unload".into()),
    });
}

/// Answers `syndrome ADDRESS NUMBER [fatal]`: the firmware of a function raises a syndrome.
fn serve_syndrome(side: &KernelSide, mlx5: &Arc<Module>) {
    let module = Arc::clone(mlx5);
    side.control().verb("syndrome", move |words, _| {
        let (name, number, fatal) = match words {
            [name, number] => (name, number, false),
            [name, number, "fatal"] => (name, number, true),
            _ => return Err("expected: syndrome FUNCTION NUMBER [fatal]".into()),
        };
        let dev = function(&module, name)?;
        let digits = number.trim_start_matches("0x");
        let syndrome = u8::from_str_radix(digits, 16)
            .map_err(|_| format!("`{number}` is not a syndrome like 0x10"))?;
        module
            .raise_syndrome(&mut Held::root(), &dev, syndrome, fatal)
            .map_err(text)
    });
}

fn function(module: &Module, name: &str) -> Result<Arc<CoreDev>, String> {
    module
        .function(name)
        .ok_or_else(|| format!("mlx5_core has no function {name}"))
}

fn number_of_vfs(count: &str) -> Result<u16, String> {
    count
        .parse()
        .map_err(|_| format!("`{count}` is not a number of virtual functions"))
}

fn text(error: impl ToString) -> String {
    error.to_string()
}
