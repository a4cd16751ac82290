//! A lifelike mlx5: core, Ethernet, RDMA and LAG parts, with both generations of locking
