//! The traps and trap groups that every driver calls the same (`include/net/devlink.h: enum devlink_trap_generic_id`).
//!
//! A driver names a generic trap by its place in this table, so it cannot give it another name or type.

use super::TrapType;

macro_rules! generic_traps {
    ($($variant:ident $name:literal $ty:ident;)*) => {
        /// A trap with a meaning, a name and a type that are the same for all drivers.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(u16)]
        pub enum GenericTrap {
            $(#[doc = concat!("`", $name, "`.")] $variant,)*
        }

        impl GenericTrap {
            /// All of them, in the order of their numbers.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// What users call it.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)*
                }
            }

            /// Why packets meet it.
            #[must_use]
            pub const fn ty(self) -> TrapType {
                match self {
                    $(Self::$variant => TrapType::$ty,)*
                }
            }
        }
    };
}

macro_rules! generic_groups {
    ($($variant:ident $name:literal;)*) => {
        /// A trap group with a meaning and a name that are the same for all drivers.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(u16)]
        pub enum GenericTrapGroup {
            $(#[doc = concat!("`", $name, "`.")] $variant,)*
        }

        impl GenericTrapGroup {
            /// All of them, in the order of their numbers.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// What users call it.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)*
                }
            }
        }
    };
}

generic_traps! {
    SmacMc "source_mac_is_multicast" Drop;
    VlanTagMismatch "vlan_tag_mismatch" Drop;
    IngressVlanFilter "ingress_vlan_filter" Drop;
    IngressStpFilter "ingress_spanning_tree_filter" Drop;
    EmptyTxList "port_list_is_empty" Drop;
    PortLoopbackFilter "port_loopback_filter" Drop;
    BlackholeRoute "blackhole_route" Drop;
    TtlError "ttl_value_is_too_small" Exception;
    TailDrop "tail_drop" Drop;
    NonIpPacket "non_ip" Drop;
    UcDipMcDmac "uc_dip_over_mc_dmac" Drop;
    DipLb "dip_is_loopback_address" Drop;
    SipMc "sip_is_mc" Drop;
    SipLb "sip_is_loopback_address" Drop;
    CorruptedIpHdr "ip_header_corrupted" Drop;
    Ipv4SipBc "ipv4_sip_is_limited_bc" Drop;
    Ipv6McDipReservedScope "ipv6_mc_dip_reserved_scope" Drop;
    Ipv6McDipInterfaceLocalScope "ipv6_mc_dip_interface_local_scope" Drop;
    MtuError "mtu_value_is_too_small" Exception;
    UnresolvedNeigh "unresolved_neigh" Exception;
    Rpf "mc_reverse_path_forwarding" Exception;
    RejectRoute "reject_route" Exception;
    Ipv4LpmUnicastMiss "ipv4_lpm_miss" Exception;
    Ipv6LpmUnicastMiss "ipv6_lpm_miss" Exception;
    NonRoutable "non_routable_packet" Drop;
    DecapError "decap_error" Exception;
    OverlaySmacMc "overlay_smac_is_mc" Drop;
    IngressFlowActionDrop "ingress_flow_action_drop" Drop;
    EgressFlowActionDrop "egress_flow_action_drop" Drop;
    Stp "stp" Control;
    Lacp "lacp" Control;
    Lldp "lldp" Control;
    IgmpQuery "igmp_query" Control;
    IgmpV1Report "igmp_v1_report" Control;
    IgmpV2Report "igmp_v2_report" Control;
    IgmpV3Report "igmp_v3_report" Control;
    IgmpV2Leave "igmp_v2_leave" Control;
    MldQuery "mld_query" Control;
    MldV1Report "mld_v1_report" Control;
    MldV2Report "mld_v2_report" Control;
    MldV1Done "mld_v1_done" Control;
    Ipv4Dhcp "ipv4_dhcp" Control;
    Ipv6Dhcp "ipv6_dhcp" Control;
    ArpRequest "arp_request" Control;
    ArpResponse "arp_response" Control;
    ArpOverlay "arp_overlay" Control;
    Ipv6NeighSolicit "ipv6_neigh_solicit" Control;
    Ipv6NeighAdvert "ipv6_neigh_advert" Control;
    Ipv4Bfd "ipv4_bfd" Control;
    Ipv6Bfd "ipv6_bfd" Control;
    Ipv4Ospf "ipv4_ospf" Control;
    Ipv6Ospf "ipv6_ospf" Control;
    Ipv4Bgp "ipv4_bgp" Control;
    Ipv6Bgp "ipv6_bgp" Control;
    Ipv4Vrrp "ipv4_vrrp" Control;
    Ipv6Vrrp "ipv6_vrrp" Control;
    Ipv4Pim "ipv4_pim" Control;
    Ipv6Pim "ipv6_pim" Control;
    UcLb "uc_loopback" Control;
    LocalRoute "local_route" Control;
    ExternalRoute "external_route" Control;
    Ipv6UcDipLinkLocalScope "ipv6_uc_dip_link_local_scope" Control;
    Ipv6DipAllNodes "ipv6_dip_all_nodes" Control;
    Ipv6DipAllRouters "ipv6_dip_all_routers" Control;
    Ipv6RouterSolicit "ipv6_router_solicit" Control;
    Ipv6RouterAdvert "ipv6_router_advert" Control;
    Ipv6Redirect "ipv6_redirect" Control;
    Ipv4RouterAlert "ipv4_router_alert" Control;
    Ipv6RouterAlert "ipv6_router_alert" Control;
    PtpEvent "ptp_event" Control;
    PtpGeneral "ptp_general" Control;
    FlowActionSample "flow_action_sample" Control;
    FlowActionTrap "flow_action_trap" Control;
    EarlyDrop "early_drop" Drop;
    VxlanParsing "vxlan_parsing" Drop;
    LlcSnapParsing "llc_snap_parsing" Drop;
    VlanParsing "vlan_parsing" Drop;
    PppoePppParsing "pppoe_ppp_parsing" Drop;
    MplsParsing "mpls_parsing" Drop;
    ArpParsing "arp_parsing" Drop;
    Ip1Parsing "ip_1_parsing" Drop;
    IpNParsing "ip_n_parsing" Drop;
    GreParsing "gre_parsing" Drop;
    UdpParsing "udp_parsing" Drop;
    TcpParsing "tcp_parsing" Drop;
    IpsecParsing "ipsec_parsing" Drop;
    SctpParsing "sctp_parsing" Drop;
    DccpParsing "dccp_parsing" Drop;
    GtpParsing "gtp_parsing" Drop;
    EspParsing "esp_parsing" Drop;
    BlackholeNexthop "blackhole_nexthop" Drop;
    DmacFilter "dmac_filter" Drop;
    Eapol "eapol" Control;
    LockedPort "locked_port" Drop;
}

generic_groups! {
    L2Drops "l2_drops";
    L3Drops "l3_drops";
    L3Exceptions "l3_exceptions";
    BufferDrops "buffer_drops";
    TunnelDrops "tunnel_drops";
    AclDrops "acl_drops";
    Stp "stp";
    Lacp "lacp";
    Lldp "lldp";
    McSnooping "mc_snooping";
    Dhcp "dhcp";
    NeighDiscovery "neigh_discovery";
    Bfd "bfd";
    Ospf "ospf";
    Bgp "bgp";
    Vrrp "vrrp";
    Pim "pim";
    UcLb "uc_loopback";
    LocalDelivery "local_delivery";
    ExternalDelivery "external_delivery";
    Ipv6 "ipv6";
    PtpEvent "ptp_event";
    PtpGeneral "ptp_general";
    AclSample "acl_sample";
    AclTrap "acl_trap";
    ParserErrorDrops "parser_error_drops";
    Eapol "eapol";
}
