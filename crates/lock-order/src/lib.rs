//! The declared order of userlink's core locks, in one table
