//! What is done: each command at least once, with every attribute that it knows.

use netlink::attr::{port_fn, rate_tc, selftest_id};
use netlink::{Bitfield32, KernelVersion, Writer, attr, cmd};

use crate::stage::{Stage, put_handle};

const NSIM: &str = "netdevsim/netdevsim0";
const SWITCH: &str = "pci/0000:01:00.0";
const CARD: &str = "pci/0000:00:09.0";
const DPU: &str = "pci/0000:00:0a.0";

/// `DEVLINK_PORT_TYPE_ETH` and `_IB`, `DEVLINK_ESWITCH_MODE_SWITCHDEV`, `DEVLINK_PORT_FLAVOUR_PCI_SF`.
const ETH: u16 = 2;
const IB: u16 = 3;
const SWITCHDEV: u16 = 1;
const PCI_SF: u16 = 7;
/// `DEVLINK_LINECARD_STATE_*`
const UNPROVISIONED: u8 = 1;
const FAILED: u8 = 4;
const ACTIVE: u8 = 6;

fn all_bits(mask: u32) -> Bitfield32 {
    Bitfield32 {
        value: mask,
        selector: mask,
    }
}

pub(crate) fn play(stage: &mut Stage) {
    stage.new_netdevsim(0);
    stage.plug_switch("0000:01:00.0");
    stage.plug_card("0000:00:09.0", "connectx-7");
    stage.plug_card("0000:00:0a.0", "bluefield-3");
    let ops = netlink::devlink::family(stage.kernel).ops;
    // Before, the port was the function's own.
    let port = match stage.kernel {
        KernelVersion::V6_1 => format!("{CARD}/65535"),
        _ => "auxiliary/mlx5_core.eth.0/65535".to_owned(),
    };
    reporter(stage, &port, "tx");
    devices(stage);
    ports(stage);
    shared_buffers(stage);
    pipeline(stage);
    rates(stage);
    regions(stage);
    reporters(stage);
    traps(stage);
    line_cards(stage);
    for op in ops.iter().filter(|op| op.dump.is_some()) {
        match op.cmd {
            cmd::REGION_READ => stage.dump(op.cmd, |w| {
                put_handle(w, NSIM);
                w.put_str(attr::REGION_NAME, "dummy").unwrap();
                w.put_u32(attr::REGION_SNAPSHOT_ID, 7).unwrap();
                w.put_u64(attr::REGION_CHUNK_ADDR, 0).unwrap();
                w.put_u64(attr::REGION_CHUNK_LEN, 300).unwrap();
            }),
            // One reporter's: done above.
            cmd::HEALTH_REPORTER_DUMP_GET => {}
            cmd::RESOURCE_DUMP => stage.dump(op.cmd, |w| {
                w.put_u32(attr::RESOURCE_SCOPE_MASK, 3).unwrap();
            }),
            _ => stage.dump(op.cmd, |_| ()),
        }
    }
}

/// What is about a device as a whole.
fn devices(stage: &mut Stage) {
    if stage.kernel.has(KernelVersion::new(6, 8)) {
        stage.ask(cmd::NOTIFY_FILTER_SET, false, |w| {
            put_handle(w, "netdevsim/netdevsim0/0");
        });
        stage.ask(cmd::NOTIFY_FILTER_SET, false, |_| ());
    }
    if stage.kernel.has(KernelVersion::new(7, 1)) {
        stage.ask(cmd::GET, false, |w| w.put_uint(attr::INDEX, 0).unwrap());
    }
    stage.carry_out(cmd::GET, CARD, |_| ());
    stage.carry_out(cmd::INFO_GET, CARD, |_| ());
    stage.carry_out(cmd::PARAM_GET, NSIM, |w| {
        w.put_str(attr::PARAM_NAME, "max_macs").unwrap();
    });
    let reset = stage.kernel.has(KernelVersion::new(7, 0));
    stage.carry_out(cmd::PARAM_SET, NSIM, |w| {
        w.put_str(attr::PARAM_NAME, "max_macs").unwrap();
        w.put_u8(attr::PARAM_TYPE, 3).unwrap();
        w.put_u8(attr::PARAM_VALUE_CMODE, 1).unwrap();
        if reset {
            w.put_flag(attr::PARAM_RESET_DEFAULT).unwrap();
        } else {
            w.put_u32(attr::PARAM_VALUE_DATA.of(), 31).unwrap();
        }
    });
    stage.carry_out(cmd::RESOURCE_SET, SWITCH, |w| {
        w.put_u64(attr::RESOURCE_ID, 3).unwrap();
        w.put_u64(attr::RESOURCE_SIZE, 98_176).unwrap();
    });
    stage.carry_out(cmd::RESOURCE_DUMP, SWITCH, |_| ());
    if stage.kernel.has(KernelVersion::V7_2) {
        stage.carry_out(cmd::RESOURCE_DUMP, &format!("{NSIM}/0"), |_| ());
    }
    stage.carry_out(cmd::SELFTESTS_GET, SWITCH, |_| ());
    stage.carry_out(cmd::SELFTESTS_RUN, SWITCH, |w| {
        w.nest(attr::SELFTESTS, |w| w.put_flag(selftest_id::FLASH))
            .unwrap();
    });
    stage.echo("3", "netdevsim/netdevsim0/fw_update_overwrite_mask");
    stage.carry_out(cmd::FLASH_UPDATE, NSIM, |w| {
        w.put_str(attr::FLASH_UPDATE_FILE_NAME, "any").unwrap();
        w.put_str(attr::FLASH_UPDATE_COMPONENT, "fw.mgmt").unwrap();
        w.put_bitfield32(attr::FLASH_UPDATE_OVERWRITE_MASK, all_bits(3))
            .unwrap();
    });
    stage.carry_out(cmd::RELOAD, CARD, |w| {
        w.put_u8(attr::RELOAD_ACTION, 2).unwrap();
        w.put_bitfield32(attr::RELOAD_LIMITS, all_bits(2)).unwrap();
    });
    stage.carry_out(cmd::ESWITCH_GET, CARD, |_| ());
    stage.carry_out(cmd::ESWITCH_SET, CARD, |w| {
        w.put_u16(attr::ESWITCH_MODE, SWITCHDEV).unwrap();
        w.put_u8(attr::ESWITCH_INLINE_MODE, 0).unwrap();
        w.put_u8(attr::ESWITCH_ENCAP_MODE, 1).unwrap();
    });
    let elsewhere = stage.machine.netns_add("elsewhere");
    stage.carry_out(cmd::RELOAD, NSIM, |w| {
        w.put_u8(attr::RELOAD_ACTION, 1).unwrap();
        w.put_u32(attr::NETNS_FD, elsewhere.0 as u32).unwrap();
    });
    // It comes home.
    stage.machine.netns_del("elsewhere");
    stage.carry_out(cmd::RELOAD, SWITCH, |w| {
        w.put_u8(attr::RELOAD_ACTION, 2).unwrap();
    });
}

fn ports(stage: &mut Stage) {
    stage.carry_out(cmd::ESWITCH_SET, DPU, |w| {
        w.put_u16(attr::ESWITCH_MODE, SWITCHDEV).unwrap();
    });
    stage.make_virtual_function("0000:00:09.0");
    let since = |major, minor| stage.kernel.has(KernelVersion::new(major, minor));
    let (has_caps, has_io_eqs) = (since(6, 2), since(6, 10));
    let caps = if since(6, 7) { 15 } else { 3 };
    stage.carry_out(cmd::PORT_SET, &format!("{CARD}/1"), |w| {
        w.nest(attr::PORT_FUNCTION.flagged(), |w| {
            if has_caps {
                w.put_bitfield32(port_fn::CAPS, all_bits(caps))?;
            }
            if has_io_eqs {
                w.put_u32(port_fn::MAX_IO_EQS, 5)?;
            }
            Ok(())
        })
        .unwrap();
    });
    stage.carry_out(cmd::PORT_NEW, CARD, |w| {
        w.put_u16(attr::PORT_FLAVOUR, PCI_SF).unwrap();
        w.put_u16(attr::PORT_PCI_PF_NUMBER, 0).unwrap();
        w.put_u32(attr::PORT_PCI_SF_NUMBER, 88).unwrap();
        w.put_u32(attr::PORT_CONTROLLER_NUMBER, 0).unwrap();
    });
    let function = format!("{CARD}/32768");
    stage.carry_out(cmd::PORT_SET, &function, |w| {
        w.nest(attr::PORT_FUNCTION.flagged(), |w| {
            w.put_binary(port_fn::HW_ADDR, &[0, 0, 0, 0, 0x88, 0x88])?;
            w.put_u8(port_fn::STATE, 1)
        })
        .unwrap();
    });
    stage.until(
        cmd::PORT_GET,
        &function,
        |_| (),
        port_fn::OPSTATE.number(),
        &[1],
    );
    stage.carry_out(cmd::PORT_DEL, &function, |_| ());
    let port = format!("{SWITCH}/1");
    for ty in [IB, ETH] {
        stage.carry_out(cmd::PORT_SET, &port, |w| {
            w.put_u16(attr::PORT_TYPE, ty).unwrap();
        });
        stage.carry_out(cmd::PORT_GET, &port, |_| ());
    }
    stage.carry_out(cmd::PORT_SPLIT, &port, |w| {
        w.put_u32(attr::PORT_SPLIT_COUNT, 2).unwrap();
    });
    stage.carry_out(cmd::PORT_GET, &port, |_| ());
    stage.carry_out(cmd::PORT_UNSPLIT, &port, |_| ());
}

fn shared_buffers(stage: &mut Stage) {
    let port = format!("{SWITCH}/1");
    let buffer = |w: &mut Writer<'_>| w.put_u32(attr::SB_INDEX, 0).unwrap();
    let pool = |w: &mut Writer<'_>| {
        buffer(w);
        w.put_u16(attr::SB_POOL_INDEX, 0).unwrap();
    };
    let class = |w: &mut Writer<'_>| {
        buffer(w);
        w.put_u8(attr::SB_POOL_TYPE, 0).unwrap();
        w.put_u16(attr::SB_TC_INDEX, 3).unwrap();
    };
    stage.carry_out(cmd::SB_GET, SWITCH, buffer);
    stage.carry_out(cmd::SB_POOL_GET, SWITCH, pool);
    stage.carry_out(cmd::SB_POOL_SET, SWITCH, |w| {
        pool(w);
        w.put_u8(attr::SB_POOL_THRESHOLD_TYPE, 1).unwrap();
        w.put_u32(attr::SB_POOL_SIZE, 96_000).unwrap();
    });
    stage.carry_out(cmd::SB_PORT_POOL_GET, &port, pool);
    stage.carry_out(cmd::SB_PORT_POOL_SET, &port, |w| {
        pool(w);
        w.put_u32(attr::SB_THRESHOLD, 7).unwrap();
    });
    stage.carry_out(cmd::SB_TC_POOL_BIND_GET, &port, class);
    stage.carry_out(cmd::SB_TC_POOL_BIND_SET, &port, |w| {
        class(w);
        w.put_u16(attr::SB_POOL_INDEX, 0).unwrap();
        w.put_u32(attr::SB_THRESHOLD, 7).unwrap();
    });
    stage.carry_out(cmd::SB_OCC_SNAPSHOT, SWITCH, buffer);
    stage.carry_out(cmd::SB_OCC_MAX_CLEAR, SWITCH, buffer);
}

fn pipeline(stage: &mut Stage) {
    stage.carry_out(cmd::DPIPE_HEADERS_GET, SWITCH, |_| ());
    stage.carry_out(cmd::DPIPE_TABLE_GET, SWITCH, |_| ());
    for table in ["mlxsw_erif", "mlxsw_host4", "mlxsw_host6", "mlxsw_adj"] {
        let name = |w: &mut Writer<'_>| w.put_str(attr::DPIPE_TABLE_NAME, table).unwrap();
        stage.carry_out(cmd::DPIPE_TABLE_GET, SWITCH, name);
        if table == "mlxsw_host6" {
            stage.carry_out(cmd::DPIPE_TABLE_COUNTERS_SET, SWITCH, |w| {
                name(w);
                w.put_u8(attr::DPIPE_TABLE_COUNTERS_ENABLED, 1).unwrap();
            });
        }
        stage.carry_out(cmd::DPIPE_ENTRIES_GET, SWITCH, name);
    }
}

fn rates(stage: &mut Stage) {
    let since_6_2 = stage.kernel.has(KernelVersion::new(6, 2));
    let since_6_17 = stage.kernel.has(KernelVersion::new(6, 17));
    let node = |name: &'static str| {
        move |w: &mut Writer<'_>| w.put_str(attr::RATE_NODE_NAME, name).unwrap()
    };
    // Below this node, or below none.
    let everything = |w: &mut Writer<'_>, parent: &str| {
        node("below")(w);
        w.put_u64(attr::RATE_TX_SHARE, 125_000).unwrap();
        w.put_u64(attr::RATE_TX_MAX, 250_000).unwrap();
        if since_6_2 {
            w.put_u32(attr::RATE_TX_PRIORITY, 7).unwrap();
            w.put_u32(attr::RATE_TX_WEIGHT, 200).unwrap();
        }
        w.put_str(attr::RATE_PARENT_NODE_NAME, parent).unwrap();
        for tc in 0..if since_6_17 { 8 } else { 0 } {
            w.nest(attr::RATE_TC_BWS, |w| {
                w.put_u8(rate_tc::INDEX, tc)?;
                w.put_u32(rate_tc::BW, if tc < 5 { 20 } else { 0 })
            })
            .unwrap();
        }
    };
    stage.carry_out(cmd::RATE_NEW, SWITCH, node("above"));
    stage.carry_out(cmd::RATE_NEW, SWITCH, |w| everything(w, "above"));
    stage.carry_out(cmd::RATE_GET, SWITCH, node("below"));
    stage.carry_out(cmd::RATE_SET, SWITCH, |w| everything(w, ""));
    stage.carry_out(cmd::RATE_GET, &format!("{SWITCH}/1"), |_| ());
    stage.carry_out(cmd::RATE_DEL, SWITCH, node("below"));
}

fn regions(stage: &mut Stage) {
    let snapshot = |region: &'static str, id: u32| {
        move |w: &mut Writer<'_>| {
            w.put_str(attr::REGION_NAME, region).unwrap();
            w.put_u32(attr::REGION_SNAPSHOT_ID, id).unwrap();
        }
    };
    stage.carry_out(cmd::REGION_NEW, NSIM, snapshot("dummy", 7));
    stage.carry_out(cmd::REGION_NEW, NSIM, snapshot("dummy", 8));
    stage.carry_out(cmd::REGION_NEW, NSIM, |w| {
        w.put_str(attr::REGION_NAME, "dummy").unwrap();
    });
    stage.carry_out(cmd::REGION_DEL, NSIM, snapshot("dummy", 8));
    let port = format!("{SWITCH}/1");
    stage.carry_out(cmd::REGION_NEW, &port, snapshot("eeprom", 3));
    stage.carry_out(cmd::REGION_GET, &port, |w| {
        w.put_str(attr::REGION_NAME, "eeprom").unwrap();
    });
    stage.dump(cmd::REGION_READ, |w| {
        put_handle(w, &port);
        snapshot("eeprom", 3)(w);
    });
    stage.carry_out(cmd::REGION_DEL, &port, snapshot("eeprom", 3));
    if stage.kernel.has(KernelVersion::new(6, 3)) {
        stage.dump(cmd::REGION_READ, |w| {
            put_handle(w, SWITCH);
            w.put_str(attr::REGION_NAME, "cr-space").unwrap();
            w.put_flag(attr::REGION_DIRECT).unwrap();
            w.put_u64(attr::REGION_CHUNK_ADDR, 16).unwrap();
            w.put_u64(attr::REGION_CHUNK_LEN, 8).unwrap();
        });
    }
}

fn reporters(stage: &mut Stage) {
    stage.echo("broken", "netdevsim/netdevsim0/health/break_health");
    reporter(stage, NSIM, "dummy");
    stage.carry_out(cmd::HEALTH_REPORTER_TEST, SWITCH, |w| {
        w.put_str(attr::HEALTH_REPORTER_NAME, "fw_fatal").unwrap();
    });
}

/// Of a device or of a port.
fn reporter(stage: &mut Stage, handle: &str, name: &str) {
    let bursts = stage.kernel.has(KernelVersion::new(6, 19));
    let name = |w: &mut Writer<'_>| w.put_str(attr::HEALTH_REPORTER_NAME, name).unwrap();
    stage.carry_out(cmd::HEALTH_REPORTER_SET, handle, |w| {
        name(w);
        w.put_u64(attr::HEALTH_REPORTER_GRACEFUL_PERIOD, 0).unwrap();
        w.put_u8(attr::HEALTH_REPORTER_AUTO_RECOVER, 1).unwrap();
        w.put_u8(attr::HEALTH_REPORTER_AUTO_DUMP, 1).unwrap();
        if bursts {
            w.put_u64(attr::HEALTH_REPORTER_BURST_PERIOD, 0).unwrap();
        }
    });
    stage.dump(cmd::HEALTH_REPORTER_DUMP_GET, |w| {
        put_handle(w, handle);
        name(w);
    });
    for command in [
        cmd::HEALTH_REPORTER_GET,
        cmd::HEALTH_REPORTER_DIAGNOSE,
        cmd::HEALTH_REPORTER_RECOVER,
        cmd::HEALTH_REPORTER_DUMP_CLEAR,
    ] {
        stage.carry_out(command, handle, name);
    }
    stage.dump(cmd::HEALTH_REPORTER_GET, |w| put_handle(w, handle));
}

fn traps(stage: &mut Stage) {
    let trap = |w: &mut Writer<'_>| w.put_str(attr::TRAP_NAME, "blackhole_route").unwrap();
    let group = |w: &mut Writer<'_>| w.put_str(attr::TRAP_GROUP_NAME, "l3_drops").unwrap();
    let policer = |w: &mut Writer<'_>| w.put_u32(attr::TRAP_POLICER_ID, 1).unwrap();
    stage.carry_out(cmd::TRAP_GET, NSIM, trap);
    stage.carry_out(cmd::TRAP_SET, NSIM, |w| {
        trap(w);
        w.put_u8(attr::TRAP_ACTION, 1).unwrap();
    });
    stage.carry_out(cmd::TRAP_GROUP_GET, NSIM, group);
    stage.carry_out(cmd::TRAP_GROUP_SET, NSIM, |w| {
        group(w);
        policer(w);
        w.put_u8(attr::TRAP_ACTION, 1).unwrap();
    });
    stage.carry_out(cmd::TRAP_POLICER_GET, NSIM, policer);
    stage.carry_out(cmd::TRAP_POLICER_SET, NSIM, |w| {
        policer(w);
        w.put_u64(attr::TRAP_POLICER_RATE, 10).unwrap();
        w.put_u64(attr::TRAP_POLICER_BURST, 16).unwrap();
    });
}

/// One card works, and is taken back; the last slot is broken.
fn line_cards(stage: &mut Stage) {
    for (slot, ty, state) in [
        (1, "16x100G", ACTIVE),
        (8, "16x100G", FAILED),
        (1, "", UNPROVISIONED),
    ] {
        let index = |w: &mut Writer<'_>| w.put_u32(attr::LINECARD_INDEX, slot).unwrap();
        stage.carry_out(cmd::LINECARD_SET, SWITCH, |w| {
            index(w);
            w.put_str(attr::LINECARD_TYPE, ty).unwrap();
        });
        stage.until(
            cmd::LINECARD_GET,
            SWITCH,
            index,
            attr::LINECARD_STATE.number(),
            &[state],
        );
    }
}
