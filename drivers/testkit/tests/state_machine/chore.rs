//! Several commands on one device, of which each makes the next one possible.

use driver_testkit::Client;
use netlink::{KernelVersion, attr, cmd};

use crate::aim;
use crate::requests::{Dice, Request};

/// What a user may want to do. Others undo it meanwhile.
const CHORES: [&[u8]; 8] = [
    // Which device can have a new port is seen before it can, so that its mode is set and not another one's.
    &[
        cmd::PORT_NEW,
        cmd::ESWITCH_SET,
        cmd::PORT_NEW,
        cmd::PORT_SET,
    ],
    &[
        cmd::PORT_NEW,
        cmd::ESWITCH_SET,
        cmd::PORT_NEW,
        cmd::PORT_SET,
        cmd::RATE_NEW,
        cmd::RATE_SET,
        cmd::PORT_SET,
        cmd::RATE_DEL,
        cmd::PORT_DEL,
    ],
    &[
        cmd::ESWITCH_SET,
        cmd::RATE_NEW,
        cmd::RATE_GET,
        cmd::RATE_SET,
        cmd::RATE_DEL,
        cmd::RELOAD,
    ],
    &[cmd::PORT_SPLIT, cmd::PORT_GET, cmd::PORT_UNSPLIT],
    &[
        cmd::REGION_NEW,
        cmd::REGION_GET,
        cmd::REGION_READ,
        cmd::REGION_DEL,
    ],
    &[
        cmd::HEALTH_REPORTER_TEST,
        cmd::HEALTH_REPORTER_DUMP_GET,
        cmd::HEALTH_REPORTER_RECOVER,
        cmd::HEALTH_REPORTER_DUMP_CLEAR,
    ],
    &[
        cmd::SB_OCC_SNAPSHOT,
        cmd::SB_POOL_SET,
        cmd::SB_PORT_POOL_SET,
        cmd::SB_TC_POOL_BIND_SET,
        cmd::SB_OCC_MAX_CLEAR,
    ],
    &[
        cmd::PARAM_SET,
        cmd::RESOURCE_SET,
        cmd::RELOAD,
        cmd::PARAM_GET,
    ],
];

/// What is left to do, and on which device.
#[derive(Default)]
pub(crate) struct Chore {
    left: &'static [u8],
    device: Option<Vec<u8>>,
}

impl Chore {
    pub(crate) fn is_begun(&self) -> bool {
        !self.left.is_empty()
    }

    /// A request for something that the client sees: the next of what is to be done, or any, sooner one that is wanted.
    pub(crate) fn next(
        &mut self,
        dice: &mut Dice,
        kernel: KernelVersion,
        client: &Client,
        net: u64,
        wanted: &[u8],
    ) -> Option<Request> {
        if self.left.is_empty() {
            self.device = None;
            if dice.chance(30) {
                self.left = dice.choose(&CHORES)?;
            }
        }
        let Some((&command, left)) = self.left.split_first() else {
            let command = match dice.choose(wanted) {
                Some(&wanted) if dice.chance(40) => wanted,
                _ => dice.choose(netlink::devlink::family(kernel).ops)?.cmd,
            };
            return aim::request(dice, kernel, client, net, command, None);
        };
        self.left = left;
        let device = self.device.as_deref();
        let request = aim::request(dice, kernel, client, net, command, device)?;
        let name = attr::DEV_NAME.number();
        let name = request.attrs().find(|found| found.number() == name)?;
        self.device = Some(name.payload.to_vec());
        Some(request)
    }
}
