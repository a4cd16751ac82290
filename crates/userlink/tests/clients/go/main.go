// A devlink client on vishvananda/netlink: list the devices, reload one into a network namespace, list them there.
//
// The library has calls for devices, ports and their information, and none for reload, so that one request is put
// together from the library's own parts (package nl), which is how its users extend it.
package main

import (
	"fmt"
	"os"
	"runtime"
	"sort"
	"strings"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

const (
	cmdReload   = 37
	attrNetnsFd = 138
)

func check(what string, err error) {
	if err != nil {
		fmt.Fprintf(os.Stderr, "%s: %v\n", what, err)
		os.Exit(1)
	}
}

func list(place string) {
	devices, err := netlink.DevLinkGetDeviceList()
	check("list devices", err)
	names := []string{}
	for _, device := range devices {
		names = append(names, device.BusName+"/"+device.DeviceName)
	}
	sort.Strings(names)
	fmt.Printf("%s: %s\n", place, strings.Join(names, " "))
}

func reload(bus, device string, namespace netns.NsHandle) {
	family, err := netlink.GenlFamilyGet(nl.GENL_DEVLINK_NAME)
	check("find the family", err)
	request := nl.NewNetlinkRequest(int(family.ID), unix.NLM_F_ACK)
	request.AddData(&nl.Genlmsg{Command: cmdReload, Version: nl.GENL_DEVLINK_VERSION})
	request.AddData(nl.NewRtAttr(nl.DEVLINK_ATTR_BUS_NAME, nl.ZeroTerminated(bus)))
	request.AddData(nl.NewRtAttr(nl.DEVLINK_ATTR_DEV_NAME, nl.ZeroTerminated(device)))
	request.AddData(nl.NewRtAttr(attrNetnsFd, nl.Uint32Attr(uint32(namespace))))
	_, err = request.Execute(unix.NETLINK_GENERIC, 0)
	check("reload", err)
}

func main() {
	if len(os.Args) != 3 {
		check("usage", fmt.Errorf("%s BUS/DEVICE NAMESPACE", os.Args[0]))
	}
	bus, name, _ := strings.Cut(os.Args[1], "/")
	runtime.LockOSThread()

	list("here")
	device, err := netlink.DevLinkGetDeviceByName(bus, name)
	check("get the device", err)
	info, err := netlink.DevlinkGetDeviceInfoByName(bus, name)
	check("get its information", err)
	fmt.Printf("driver of %s/%s: %s\n", device.BusName, device.DeviceName, info.Driver)
	ports, err := netlink.DevLinkGetAllPortList()
	check("list ports", err)
	fmt.Printf("ports: %d\n", len(ports))

	namespace, err := netns.GetFromName(os.Args[2])
	check("open the namespace", err)
	reload(bus, name, namespace)
	list("here, after")
	check("enter the namespace", netns.Set(namespace))
	list(os.Args[2])
}
