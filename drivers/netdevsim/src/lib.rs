//! The simulated network device that devlink developers know
