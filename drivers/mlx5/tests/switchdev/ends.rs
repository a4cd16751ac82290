//! Reloads, resets, recoveries, and the function's end with everything alive on it.

use lockdep::order::Held;
use netlink::{attr, cmd};
use rustix::io::Errno;

use super::{PF0, PF1, host};

#[test]
fn removing_the_function_with_everything_alive_leaves_nothing() {
    let host = host();
    host.vfs("0000:00:09.0", 4).unwrap();
    host.mode(PF0, 1).unwrap();
    for sfnum in 0..8 {
        host.port_add(PF0, 0, sfnum).unwrap();
        host.state(&format!("{PF0}/{}", 32768 + sfnum), true)
            .unwrap();
    }
    host.wait("all are there", || {
        let shown = host.client().dev_show();
        shown
            .iter()
            .filter(|line| line.contains("mlx5_core.sf."))
            .count()
            == 8
    });
    let pci = host.machine.driver_core.pci();
    pci.unbind(&mut Held::root(), "0000:00:09.0", "mlx5_core")
        .unwrap();
    let shown = host.client().dev_show();
    assert_eq!(
        shown.len(),
        3,
        "the other function, its part, what they share: {shown:?}"
    );
    assert_eq!(host.machine.driver_core.auxiliary().devices().len(), 3);
    assert_eq!(pci.devices().len(), 2);
    pci.bind(&mut Held::root(), "0000:00:09.0", "mlx5_core")
        .unwrap();
    assert!(host.has_instance(PF0));
}

#[test]
fn a_reload_leaves_virtual_functions_and_takes_sub_functions() {
    let host = host();
    host.vfs("0000:00:09.0", 2).unwrap();
    host.mode(PF0, 1).unwrap();
    host.port_add(PF0, 0, 1).unwrap();
    host.state(&format!("{PF0}/32768"), true).unwrap();
    host.wait("attached", || {
        host.states(&format!("{PF0}/32768")) == Some((1, 1))
    });
    host.client().reload(PF0, None).unwrap();
    assert!(host.has_instance("pci/0000:00:09.2") && host.has_instance("pci/0000:00:09.3"));
    assert!(
        !host
            .client()
            .dev_show()
            .iter()
            .any(|line| line.contains(".sf."))
    );
    host.mode(PF0, 1).unwrap();
    let ports = host.client().port_show();
    assert_eq!(
        ports
            .iter()
            .filter(|port| port.contains("flavour pcivf"))
            .count(),
        2
    );
}

#[test]
fn another_hosts_firmware_reset_is_counted_as_remote() {
    let host = host();
    let dev = host.module.function("0000:00:09.0").unwrap();
    host.module.remote_firmware_reset(&dev);
    let loads = || {
        let log = host.machine.log();
        let loaded = |function: &str| {
            let line = format!("mlx5_core {function}: firmware version: ");
            log.iter().filter(|found| found.starts_with(&line)).count()
        };
        (loaded("0000:00:09.0"), loaded("0000:00:09.1"))
    };
    host.wait("both load again", || loads() == (2, 2));
    host.wait("counted", || {
        driver_testkit::text::remote_reload_stats(
            &host.client().request(cmd::GET, PF1, |_| ()).unwrap()[0],
        ) == [
            "driver_reinit unspecified 1",
            "fw_activate unspecified 1",
            "fw_activate no_reset 0",
        ]
    });
}

#[test]
fn a_fatal_syndrome_is_recovered_from_and_then_not_so_soon_again() {
    let host = host();
    let dev = host.module.function("0000:00:09.0").unwrap();
    let raise = |fatal| {
        host.module
            .raise_syndrome(&mut Held::root(), &dev, 0x8, fatal)
    };
    raise(false).unwrap();
    host.fault("recover-fail,times=2");
    assert_eq!(raise(true), Err(Errno::IO));
    // The last error is not recovered.
    assert_eq!(raise(true), Err(Errno::CANCELED));
    let recover = || {
        let done = host
            .client()
            .request(cmd::HEALTH_REPORTER_RECOVER, PF0, |w| {
                w.put_str(attr::HEALTH_REPORTER_NAME, "fw_fatal").unwrap();
            });
        done.map(drop)
    };
    assert_eq!(recover().unwrap_err().errno, Errno::IO);
    recover().unwrap();
    let log = host.machine.log().join("\n");
    assert!(
        log.contains("synd 0x8: unrecoverable hardware error"),
        "{log}"
    );
    assert!(log.contains("health recovery flow aborted, PCI reads still not working"));
    assert!(log.contains("starting health recovery flow"));
    assert_eq!(host.client().port_show().len(), 2);
}
