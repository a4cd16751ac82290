//! Network namespaces and their exit, rtnl, network devices and their notifiers
