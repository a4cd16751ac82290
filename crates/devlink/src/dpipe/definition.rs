//! Headers and their fields, and those that all devices share.

/// A field of a header (`struct devlink_dpipe_field`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DpipeField {
    /// Its name.
    pub name: &'static str,
    /// Its number within the header.
    pub id: u32,
    /// Its width in bits.
    pub bitwidth: u32,
    /// What its values stand for (`enum devlink_dpipe_field_mapping_type`): 0 for nothing else, 1 for an interface's index.
    pub mapping_type: u32,
}

impl DpipeField {
    /// A field whose values stand for nothing else.
    #[must_use]
    pub const fn new(name: &'static str, id: u32, bitwidth: u32) -> Self {
        Self {
            name,
            id,
            bitwidth,
            mapping_type: 0,
        }
    }

    /// The same, whose values stand for interfaces: the index is told beside each value.
    #[must_use]
    pub const fn of_ifindex(mut self) -> Self {
        self.mapping_type = 1;
        self
    }
}

/// A header (`struct devlink_dpipe_header`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DpipeHeader {
    /// Its name.
    pub name: &'static str,
    /// Its number: among the global ones, or among the driver's own.
    pub id: u32,
    /// Its fields; the number of each is its place.
    pub fields: &'static [DpipeField],
    /// It is one of those that all devices share.
    pub global: bool,
}

/// Number of [`ETHERNET`]'s field `destination mac`.
pub const ETHERNET_DST_MAC: u32 = 0;
/// Number of [`IPV4`]'s field `destination ip`.
pub const IPV4_DST_IP: u32 = 0;
/// Number of [`IPV6`]'s field `destination ip`.
pub const IPV6_DST_IP: u32 = 0;

/// The Ethernet header, as far as any device has asked for it (`devlink_dpipe_header_ethernet`).
pub static ETHERNET: DpipeHeader = DpipeHeader {
    name: "ethernet",
    id: 0,
    fields: &[DpipeField::new("destination mac", ETHERNET_DST_MAC, 48)],
    global: true,
};

/// The IPv4 header (`devlink_dpipe_header_ipv4`).
pub static IPV4: DpipeHeader = DpipeHeader {
    name: "ipv4",
    id: 1,
    fields: &[DpipeField::new("destination ip", IPV4_DST_IP, 32)],
    global: true,
};

/// The IPv6 header (`devlink_dpipe_header_ipv6`).
pub static IPV6: DpipeHeader = DpipeHeader {
    name: "ipv6",
    id: 2,
    fields: &[DpipeField::new("destination ip", IPV6_DST_IP, 128)],
    global: true,
};
