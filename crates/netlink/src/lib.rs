//! Generic netlink and devlink's wire: attributes, policies, extended acknowledgements, families
