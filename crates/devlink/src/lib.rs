//! The devlink subsystem, one file an object
