//! Gives a process tree a machine that has devlink: interposition, namespaces, network devices
