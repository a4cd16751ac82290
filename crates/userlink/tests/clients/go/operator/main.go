// What SR-IOV operators and CNI plugins do with vishvananda/netlink and sysfs: find the card, make virtual functions, change
// the eswitch's mode, find the representors, and take a sub-function from its addition to its deletion.
package main

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
)

const (
	bus   = "pci"
	card  = "0000:00:09.0"
	sysfs = "/sys/bus/pci/devices/" + card
)

func check(what string, err error) {
	if err != nil {
		fmt.Printf("%s: %v\n", what, err)
		os.Exit(1)
	}
}

func mode() string {
	device, err := netlink.DevLinkGetDeviceByName(bus, card)
	check("get the device", err)
	return device.Attrs.Eswitch.Mode
}

// information is the device's, asked for in each of the library's four ways.
func information() {
	byName, err := netlink.DevlinkGetDeviceInfoByName(bus, card)
	check("get the information by name", err)
	fields, err := netlink.DevlinkGetDeviceInfoByNameAsMap(bus, card)
	check("get the information by name as a map", err)
	devices, err := netlink.DevLinkGetDeviceList()
	check("list devices", err)
	for _, device := range devices {
		if device.DeviceName != card {
			continue
		}
		own, err := device.GetDevlinkInfo()
		check("get the device's information", err)
		ownFields, err := device.GetDevlinkInfoAsMap()
		check("get the device's information as a map", err)
		if *own != *byName || len(ownFields) != len(fields) || own.Driver != fields["driver"] {
			check("compare", fmt.Errorf("%v %v %v %v", own, byName, ownFields, fields))
		}
		fmt.Println("driver", own.Driver, "psid", ownFields["fw.psid"])
	}
}

// representors finds each virtual function's port, as a device plugin does, and checks that its network device exists.
func representors() int {
	ports, err := netlink.DevLinkGetAllPortList()
	check("list ports", err)
	count := 0
	for _, port := range ports {
		if port.PortFlavour == nl.DEVLINK_PORT_FLAVOUR_PCI_VF {
			link, err := netlink.LinkByName(port.NetdeviceName)
			check("find "+port.NetdeviceName, err)
			if port.Fn == nil || len(port.Fn.HwAddr) != 6 || uint32(link.Attrs().Index) != port.NetdevIfIndex {
				check("read "+port.NetdeviceName, fmt.Errorf("%+v", port))
			}
			count++
		}
	}
	return count
}

func port(index uint32) *netlink.DevlinkPort {
	port, err := netlink.DevLinkGetPortByIndex(bus, card, index)
	check("get the port", err)
	return port
}

func main() {
	information()

	total, err := os.ReadFile(sysfs + "/sriov_totalvfs")
	check("read sriov_totalvfs", err)
	fmt.Println("totalvfs", strings.TrimSpace(string(total)))
	check("make virtual functions", os.WriteFile(sysfs+"/sriov_numvfs", []byte("2"), 0))
	links, err := filepath.Glob(sysfs + "/virtfn*")
	check("list virtual functions", err)
	for _, link := range links {
		target, err := os.Readlink(link)
		check("read a link", err)
		fmt.Println(filepath.Base(link), filepath.Base(target))
	}

	fmt.Println("mode", mode())
	device, err := netlink.DevLinkGetDeviceByName(bus, card)
	check("get the device", err)
	check("set switchdev", netlink.DevLinkSetEswitchMode(device, "switchdev"))
	fmt.Println("mode", mode(), "representors", representors())

	added, err := netlink.DevLinkPortAdd(bus, card, nl.DEVLINK_PORT_FLAVOUR_PCI_SF, netlink.DevLinkPortAddAttrs{
		PfNumber: 0, SfNumber: 88, SfNumberValid: true,
	})
	check("add a sub-function", err)
	fmt.Println("added", added.PortIndex)
	check("set the function", netlink.DevlinkPortFnSet(bus, card, added.PortIndex, netlink.DevlinkPortFnSetAttrs{
		FnAttrs:     netlink.DevlinkPortFn{HwAddr: net.HardwareAddr{0, 0, 0, 0, 0x88, 0x88}, State: 1},
		HwAddrValid: true, StateValid: true,
	}))
	for attempt := 0; port(added.PortIndex).Fn.OpState != 1; attempt++ {
		if attempt == 1000 {
			check("wait for the sub-function", fmt.Errorf("it is not attached after 10 s"))
		}
		time.Sleep(10 * time.Millisecond)
	}
	fmt.Println("function", port(added.PortIndex).Fn.HwAddr, "attached")
	found, err := filepath.Glob("/sys/bus/auxiliary/devices/mlx5_core.sf.*")
	check("list sub-functions", err)
	fmt.Println("devices", len(found))

	_, err = netlink.DevLinkPortAdd(bus, card, nl.DEVLINK_PORT_FLAVOUR_PCI_SF, netlink.DevLinkPortAddAttrs{
		PfNumber: 0, SfNumber: 88, SfNumberValid: true,
	})
	fmt.Println("again:", err)
	check("delete the sub-function", netlink.DevLinkPortDel(bus, card, added.PortIndex))
	check("set legacy", netlink.DevLinkSetEswitchMode(device, "legacy"))
	check("remove virtual functions", os.WriteFile(sysfs+"/sriov_numvfs", []byte("0"), 0))
	fmt.Println("mode", mode(), "representors", representors())
}
