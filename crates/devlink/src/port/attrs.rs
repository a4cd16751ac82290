//! What a port is: the facts that a driver states once, before the port is registered, and that never change after that.

use netlink::{Writer, attr};

/// The role of a port within its device, with the numbers that identify it in that role.
///
/// The number of a flavour on the wire is [`Flavour::number`] (`enum devlink_port_flavour`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flavour {
    /// A port with a connector of its own.
    Physical {
        /// Number printed on the device, from 1 on with most drivers.
        number: u32,
        /// The place among its siblings when the port is one part of a split port.
        split_subport: Option<u32>,
    },
    /// The port that a switch has towards the host's processor.
    Cpu {
        /// Number of the port within the switch.
        number: u32,
    },
    /// A link between two switch chips.
    Dsa {
        /// Number of the port within the switch.
        number: u32,
    },
    /// The eswitch's side of a PCI physical function.
    PciPf {
        /// Host controller; 0 is the one that the eswitch belongs to.
        controller: u32,
        /// Number of the physical function.
        pf: u16,
        /// The function belongs to another host.
        external: bool,
    },
    /// The eswitch's side of a PCI virtual function.
    PciVf {
        /// Host controller; 0 is the one that the eswitch belongs to.
        controller: u32,
        /// Number of the physical function it was made from.
        pf: u16,
        /// Number of the virtual function, from 0 on.
        vf: u16,
        /// The function belongs to another host.
        external: bool,
    },
    /// Any port that exists only in software.
    Virtual,
    /// A port that is not in use.
    Unused,
    /// The eswitch's side of a PCI sub-function.
    PciSf {
        /// Host controller; 0 is the one that the eswitch belongs to.
        controller: u32,
        /// Number of the physical function it was made from.
        pf: u16,
        /// Number of the sub-function, chosen by the user.
        sf: u32,
        /// The function belongs to another host.
        external: bool,
    },
}

impl Flavour {
    /// The flavour's number in `DEVLINK_ATTR_PORT_FLAVOUR`.
    #[must_use]
    pub const fn number(&self) -> u16 {
        match self {
            Self::Physical { .. } => 0,
            Self::Cpu { .. } => 1,
            Self::Dsa { .. } => 2,
            Self::PciPf { .. } => 3,
            Self::PciVf { .. } => 4,
            Self::Virtual => 5,
            Self::Unused => 6,
            Self::PciSf { .. } => 7,
        }
    }

    /// Number of the sub-function flavour, which a request to create a port names.
    pub const PCI_SF: u16 = 7;

    /// Whether this is a virtual function's port, the only ones that have the migratable and IPsec capabilities.
    #[must_use]
    pub(crate) const fn is_pci_vf(&self) -> bool {
        matches!(self, Self::PciVf { .. })
    }
}

/// The unchanging attributes of a port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PortAttrs {
    /// Role and numbers.
    pub flavour: Flavour,
    /// Lanes of the port; 0 when the driver does not say.
    pub lanes: u32,
    /// The port can be split into several. Never true of a port that is itself a part of a split port.
    pub splittable: bool,
    /// The line card that the port is on, by its number (`devlink_port_linecard_set`).
    pub linecard: Option<u32>,
    /// Identity of the switch that the port is on; empty when it is on none. At most 32 bytes.
    pub switch_id: Vec<u8>,
}

impl PortAttrs {
    /// Attributes of a port of this flavour: no lanes stated, not splittable, on no switch.
    #[must_use]
    pub const fn new(flavour: Flavour) -> Self {
        Self {
            flavour,
            lanes: 0,
            splittable: false,
            linecard: None,
            switch_id: Vec::new(),
        }
    }

    /// The same on the switch of this identity.
    #[must_use]
    pub fn on_switch(mut self, switch_id: &[u8]) -> Self {
        self.switch_id = switch_id.to_vec();
        self
    }

    /// The same with so many lanes, which it can be split into or not.
    #[must_use]
    pub const fn with_lanes(mut self, lanes: u32, splittable: bool) -> Self {
        self.lanes = lanes;
        self.splittable = splittable;
        self
    }

    /// The physical port name that network devices of the port report, as in `/sys/class/net/NAME/phys_port_name`; `None`
    /// where the kernel answers `EOPNOTSUPP` or `EINVAL` (`net/devlink/port.c: __devlink_port_phys_port_name_get`).
    #[must_use]
    pub fn phys_port_name(&self) -> Option<String> {
        let host = |controller: u32, external: bool| {
            if external {
                format!("c{controller}")
            } else {
                String::new()
            }
        };
        let slot = || {
            self.linecard
                .map_or_else(String::new, |index| format!("l{index}"))
        };
        match self.flavour {
            Flavour::Physical {
                number,
                split_subport: Some(subport),
            } => Some(format!("{}p{number}s{subport}", slot())),
            Flavour::Physical {
                number,
                split_subport: None,
            } => Some(format!("{}p{number}", slot())),
            Flavour::PciPf {
                controller,
                pf,
                external,
            } => Some(format!("{}pf{pf}", host(controller, external))),
            Flavour::PciVf {
                controller,
                pf,
                vf,
                external,
            } => Some(format!("{}pf{pf}vf{vf}", host(controller, external))),
            Flavour::PciSf {
                controller,
                pf,
                sf,
                external,
            } => Some(format!("{}pf{pf}sf{sf}", host(controller, external))),
            Flavour::Cpu { .. } | Flavour::Dsa { .. } | Flavour::Virtual | Flavour::Unused => None,
        }
    }
}

impl PortAttrs {
    /// Writes the attributes in the kernel's order (`net/devlink/port.c: devlink_nl_port_attrs_put`).
    pub(super) fn put(&self, w: &mut Writer<'_>) -> netlink::Result {
        if self.lanes != 0 {
            w.put_u32(attr::PORT_LANES, self.lanes)?;
        }
        w.put_u8(attr::PORT_SPLITTABLE, u8::from(self.splittable))?;
        w.put_u16(attr::PORT_FLAVOUR, self.flavour.number())?;
        match self.flavour {
            Flavour::PciPf {
                controller,
                pf,
                external,
            } => {
                w.put_u32(attr::PORT_CONTROLLER_NUMBER, controller)?;
                w.put_u16(attr::PORT_PCI_PF_NUMBER, pf)?;
                w.put_u8(attr::PORT_EXTERNAL, u8::from(external))
            }
            Flavour::PciVf {
                controller,
                pf,
                vf,
                external,
            } => {
                w.put_u32(attr::PORT_CONTROLLER_NUMBER, controller)?;
                w.put_u16(attr::PORT_PCI_PF_NUMBER, pf)?;
                w.put_u16(attr::PORT_PCI_VF_NUMBER, vf)?;
                w.put_u8(attr::PORT_EXTERNAL, u8::from(external))
            }
            // That it is external is not told of a sub-function.
            Flavour::PciSf {
                controller,
                pf,
                sf,
                external: _,
            } => {
                w.put_u32(attr::PORT_CONTROLLER_NUMBER, controller)?;
                w.put_u16(attr::PORT_PCI_PF_NUMBER, pf)?;
                w.put_u32(attr::PORT_PCI_SF_NUMBER, sf)
            }
            Flavour::Physical {
                number,
                split_subport,
            } => {
                w.put_u32(attr::PORT_NUMBER, number)?;
                split_subport.map_or(Ok(()), |subport| {
                    w.put_u32(attr::PORT_SPLIT_GROUP, number)?;
                    w.put_u32(attr::PORT_SPLIT_SUBPORT_NUMBER, subport)
                })
            }
            Flavour::Cpu { number } | Flavour::Dsa { number } => {
                w.put_u32(attr::PORT_NUMBER, number)
            }
            Flavour::Virtual | Flavour::Unused => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_say_what_the_port_stands_for() {
        let name = |flavour| PortAttrs::new(flavour).phys_port_name();
        assert_eq!(
            name(Flavour::Physical {
                number: 3,
                split_subport: None
            })
            .as_deref(),
            Some("p3")
        );
        assert_eq!(
            name(Flavour::Physical {
                number: 3,
                split_subport: Some(1)
            })
            .as_deref(),
            Some("p3s1")
        );
        assert_eq!(
            name(Flavour::PciVf {
                controller: 1,
                pf: 0,
                vf: 2,
                external: true
            })
            .as_deref(),
            Some("c1pf0vf2")
        );
        assert_eq!(
            name(Flavour::PciSf {
                controller: 0,
                pf: 0,
                sf: 88,
                external: false
            })
            .as_deref(),
            Some("pf0sf88")
        );
        assert_eq!(name(Flavour::Virtual), None);
    }
}
