//! Buses, devices, drivers, workqueues and the kernel-style log
