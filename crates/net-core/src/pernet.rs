//! Who wants to know when namespaces come and go (`register_pernet_subsys`, `register_pernet_device`).

use std::sync::Arc;
use std::time::Duration;

use lock_order::PernetOps;
use lockdep::order::{Before, Held};
use rustix::io::Errno;

use crate::core::NetCore;
use crate::net::Net;
use crate::rwsem::down_write;

/// What a subsystem does for each namespace (`struct pernet_operations`). All of it is called with `pernet_ops_rwsem`
/// held: for writing while the subsystem is registered or unregistered, for reading when a namespace comes or goes.
pub trait PernetOperations: Send + Sync {
    /// The subsystem's name, for the log.
    fn name(&self) -> &str;

    /// A namespace has come, or was there when the subsystem was registered.
    ///
    /// # Errors
    /// Any: the registration, or the namespace's set-up, is then undone and fails.
    fn init(
        &self,
        _core: &Arc<NetCore>,
        _net: &Arc<Net>,
        _held: &mut Held<'_, PernetOps>,
    ) -> Result<(), Errno> {
        Ok(())
    }

    /// A namespace is about to go. All subsystems' `pre_exit` run before the first `exit`; a device that lives in the
    /// namespace leaves it here.
    fn pre_exit(&self, _core: &Arc<NetCore>, _net: &Arc<Net>, _held: &mut Held<'_, PernetOps>) {}

    /// A namespace goes.
    fn exit(&self, _core: &Arc<NetCore>, _net: &Arc<Net>, _held: &mut Held<'_, PernetOps>) {}

    /// All namespaces that go together, after [`exit`](PernetOperations::exit) was called for each.
    fn exit_batch(
        &self,
        _core: &Arc<NetCore>,
        _nets: &[Arc<Net>],
        _held: &mut Held<'_, PernetOps>,
    ) {
    }
}

/// The registered operations, in the order in which they are told that a namespace has come: first all subsystems, then
/// all devices; when it goes, the reverse.
pub(crate) struct PernetList {
    subsystems: Vec<Arc<dyn PernetOperations>>,
    devices: Vec<Arc<dyn PernetOperations>>,
}

impl PernetList {
    /// The core's own operations, which nothing needs to initialise.
    pub(crate) fn starting_with(device: Arc<dyn PernetOperations>) -> Self {
        PernetList {
            subsystems: Vec::new(),
            devices: vec![device],
        }
    }

    pub(crate) fn iter(&self) -> impl DoubleEndedIterator<Item = &Arc<dyn PernetOperations>> {
        self.subsystems.iter().chain(&self.devices)
    }
}

impl NetCore {
    /// Registers a subsystem, and initialises it in every namespace there is, the oldest first.
    ///
    /// # Errors
    /// What `init` says, after what had been initialised has exited again. `EDEADLK` when the calling thread holds
    /// `pernet_ops_rwsem` itself, which has then been reported.
    pub fn register_pernet_subsys<H>(
        &self,
        held: &mut Held<'_, H>,
        operations: Arc<dyn PernetOperations>,
    ) -> Result<(), Errno>
    where
        H: Before<PernetOps>,
    {
        self.register_pernet_operations(held, operations, |list| &mut list.subsystems)
    }

    /// Registers what must go before all subsystems when a namespace goes: what is made of network devices.
    ///
    /// # Errors
    /// As [`register_pernet_subsys`](NetCore::register_pernet_subsys).
    pub fn register_pernet_device<H>(
        &self,
        held: &mut Held<'_, H>,
        operations: Arc<dyn PernetOperations>,
    ) -> Result<(), Errno>
    where
        H: Before<PernetOps>,
    {
        self.register_pernet_operations(held, operations, |list| &mut list.devices)
    }

    fn register_pernet_operations<H>(
        &self,
        held: &mut Held<'_, H>,
        operations: Arc<dyn PernetOperations>,
        part: fn(&mut PernetList) -> &mut Vec<Arc<dyn PernetOperations>>,
    ) -> Result<(), Errno>
    where
        H: Before<PernetOps>,
    {
        let core = self.arc();
        let (mut list, mut held) =
            down_write!(self.pernet_ops_rwsem, held, Duration::MAX).map_err(|_| Errno::DEADLK)?;
        part(&mut list).push(Arc::clone(&operations));
        let mut initialised = Vec::new();
        for net in self.nets_set_up() {
            if let Err(errno) = operations.init(&core, &net, &mut held) {
                part(&mut list).pop();
                free_exit_list(&core, &*operations, &initialised, &mut held);
                return Err(errno);
            }
            initialised.push(net);
        }
        Ok(())
    }

    /// Unregisters a subsystem or device, after it has exited from every namespace.
    ///
    /// # Errors
    /// `ENOENT` when it is not registered, `EDEADLK` as for registering.
    pub fn unregister_pernet<H>(
        &self,
        held: &mut Held<'_, H>,
        operations: &Arc<dyn PernetOperations>,
    ) -> Result<(), Errno>
    where
        H: Before<PernetOps>,
    {
        let core = self.arc();
        let (mut list, mut held) =
            down_write!(self.pernet_ops_rwsem, held, Duration::MAX).map_err(|_| Errno::DEADLK)?;
        let list = &mut *list;
        let removed = [&mut list.subsystems, &mut list.devices]
            .into_iter()
            .find_map(|part| {
                let position = part
                    .iter()
                    .position(|other| Arc::ptr_eq(other, operations))?;
                Some(part.remove(position))
            });
        if removed.is_none() {
            return Err(Errno::NOENT);
        }
        free_exit_list(&core, &**operations, &self.nets_set_up(), &mut held);
        Ok(())
    }
}

/// All stages of exit for one subsystem.
fn free_exit_list(
    core: &Arc<NetCore>,
    operations: &dyn PernetOperations,
    nets: &[Arc<Net>],
    held: &mut Held<'_, PernetOps>,
) {
    for net in nets {
        operations.pre_exit(core, net, held);
    }
    for net in nets {
        operations.exit(core, net, held);
    }
    operations.exit_batch(core, nets, held);
}
