//! How namespaces come and go (`net/core/net_namespace.c`).
//!
//! A namespace comes when the machine first meets it: a socket that was opened in it, a device that is to be moved
//! there. It goes when the source says so; then it waits on the clean-up list for [`cleanup_net`], which runs on the
//! workqueue `netns` and takes all namespaces that have gathered there at once.

use std::sync::Arc;

use lock_order::PernetOps;
use lockdep::order::{Before, Held, Unlocked};
use rustix::io::Errno;

use crate::core::NetCore;
use crate::net::{Net, NetId, NetRef, lock};
use crate::pernet::PernetList;
use crate::rwsem::down_read;
use crate::source::NetnsHandle;

impl NetCore {
    /// The namespace that the machine starts in, to which devices return.
    pub fn init_net(&self) -> &Arc<Net> {
        &self.init_net
    }

    /// The namespace of that cookie, if it is known and not gone.
    pub fn net(&self, id: NetId) -> Option<Arc<Net>> {
        self.read_nets().iter().find(|net| net.id() == id).cloned()
    }

    /// All namespaces, the oldest first (`for_each_net`).
    pub fn nets(&self) -> Vec<Arc<Net>> {
        self.read_nets().clone()
    }

    /// The namespace behind a handle, and the handle: set up before this returns, if it is met for the first time.
    ///
    /// # Errors
    /// What a subsystem's `init` or the source's `watch` says.
    pub fn get_net<H>(
        &self,
        held: &mut Held<'_, H>,
        handle: Arc<dyn NetnsHandle>,
    ) -> Result<NetRef, Errno>
    where
        H: Before<PernetOps>,
    {
        let net = self.meet(&*handle)?;
        if !net.is_set_up() {
            let (list, mut held) = down_read!(self.pernet_ops_rwsem, held);
            self.setup_net(&list, &net, &mut held)?;
        }
        Ok(NetRef::new(net, handle))
    }

    /// Like [`get_net`](NetCore::get_net), for who may not take `pernet_ops_rwsem` because it holds a lock that comes
    /// later: the subsystems are told by a work item on the queue `netns`, which nobody waits for.
    ///
    /// # Errors
    /// What the source's `watch` says.
    pub fn get_net_deferred(&self, handle: Arc<dyn NetnsHandle>) -> Result<NetRef, Errno> {
        let net = self.meet(&*handle)?;
        if !net.is_set_up() {
            self.netns_wq.queue(&self.setup_work);
        }
        Ok(NetRef::new(net, handle))
    }

    /// The namespace is gone: nothing refers to it any more (`__put_net`). Its exit happens on the queue `netns`;
    /// [`flush_cleanup`](NetCore::flush_cleanup) waits for it. Unknown namespaces are ignored, and so is `init_net`,
    /// which outlives the machine. May be called from anywhere.
    pub fn net_gone(&self, id: NetId) {
        let Some(net) = self.net(id) else {
            return;
        };
        if net == self.init_net || !net.set_dying() {
            return;
        }
        lock(&self.cleanup_list).push(net);
        self.netns_wq.queue(&self.cleanup_work);
    }

    /// Waits for the exit of every namespace that is gone by now.
    #[track_caller]
    pub fn flush_cleanup(&self) {
        self.netns_wq.flush();
    }

    /// The known namespace behind the handle, or a new one in the list that the subsystems do not know of yet.
    fn meet(&self, handle: &dyn NetnsHandle) -> Result<Arc<Net>, Errno> {
        let id = handle.id();
        if let Some(net) = self.net(id) {
            return Ok(net);
        }
        let net = {
            let mut nets = self.write_nets();
            if let Some(net) = nets.iter().find(|net| net.id() == id) {
                return Ok(Arc::clone(net));
            }
            let net = Net::new(id);
            nets.push(Arc::clone(&net));
            net
        };
        if let Err(errno) = self.source.watch(handle) {
            self.write_nets().retain(|other| !Arc::ptr_eq(other, &net));
            return Err(errno);
        }
        Ok(net)
    }

    /// Tells the subsystems of a namespace that has come.
    fn setup_net(
        &self,
        list: &PernetList,
        net: &Arc<Net>,
        held: &mut Held<'_, PernetOps>,
    ) -> Result<(), Errno> {
        // Two threads that meet a namespace at the same time: one sets up, under the lock of this function's own.
        let _once = lock(&self.setup_lock);
        if !net.set_set_up() {
            return Ok(());
        }
        let core = self.arc();
        let mut initialised = Vec::new();
        for operations in list.iter() {
            if let Err(errno) = operations.init(&core, net, held) {
                for operations in initialised.into_iter().rev() {
                    undo(&core, operations, net, held);
                }
                self.write_nets().retain(|other| !Arc::ptr_eq(other, net));
                return Err(errno);
            }
            initialised.push(&**operations);
        }
        Ok(())
    }

    /// The work item behind [`get_net_deferred`](NetCore::get_net_deferred).
    pub(crate) fn setup_new_nets(self: &Arc<Self>, held: &mut Held<'_, Unlocked>) {
        let (list, mut held) = down_read!(self.pernet_ops_rwsem, held);
        for net in self.nets() {
            if net.is_set_up() {
                continue;
            }
            if let Err(errno) = self.setup_net(&list, &net, &mut held) {
                self.klog()
                    .warn(format_args!("{net:?}: set-up failed: {errno}"));
            }
        }
    }

    /// The namespaces that the subsystems have been told of.
    pub(crate) fn nets_set_up(&self) -> Vec<Arc<Net>> {
        let mut nets = self.nets();
        nets.retain(|net| net.is_set_up());
        nets
    }

    fn unhash(&self, gone: &[Arc<Net>]) {
        self.write_nets()
            .retain(|net| !gone.iter().any(|gone| Arc::ptr_eq(gone, net)));
    }
}

fn undo(
    core: &Arc<NetCore>,
    operations: &dyn crate::PernetOperations,
    net: &Arc<Net>,
    held: &mut Held<'_, PernetOps>,
) {
    operations.pre_exit(core, net, held);
    operations.exit(core, net, held);
    operations.exit_batch(core, std::slice::from_ref(net), held);
}

/// The work item `net_cleanup_work`: the exit of all namespaces on the clean-up list.
///
/// `pernet_ops_rwsem` is held for reading from the first `pre_exit` to the last `exit`. First the namespaces become
/// unfindable and lose their ids, then every subsystem's `pre_exit` runs, the last registered first, without `rtnl_mutex`;
/// then every `exit`.
#[inline(never)]
pub(crate) fn cleanup_net(core: &Arc<NetCore>, held: &mut Held<'_, Unlocked>) {
    let mut gone = std::mem::take(&mut *lock(&core.cleanup_list));
    // The kernel's list is a stack.
    gone.reverse();

    {
        let (list, mut held) = down_read!(core.pernet_ops_rwsem, held);

        core.unhash(&gone);
        for net in &gone {
            core.unhash_nsid(net);
        }

        // One that the subsystems never heard of has nothing to leave.
        let set_up: Vec<_> = gone.iter().filter(|net| net.is_set_up()).cloned().collect();
        for operations in list.iter().rev() {
            ops_pre_exit_list(core, &**operations, &set_up, &mut held);
        }
        for operations in list.iter().rev() {
            ops_exit_list(core, &**operations, &set_up, &mut held);
        }
    }

    for net in &gone {
        core.rtnl_lock(held).forget_devices(net.id());
        drop(net.take_generic());
    }
}

fn ops_pre_exit_list(
    core: &Arc<NetCore>,
    operations: &dyn crate::PernetOperations,
    nets: &[Arc<Net>],
    held: &mut Held<'_, PernetOps>,
) {
    for net in nets {
        operations.pre_exit(core, net, held);
    }
}

fn ops_exit_list(
    core: &Arc<NetCore>,
    operations: &dyn crate::PernetOperations,
    nets: &[Arc<Net>],
    held: &mut Held<'_, PernetOps>,
) {
    for net in nets {
        operations.exit(core, net, held);
    }
    operations.exit_batch(core, nets, held);
}
