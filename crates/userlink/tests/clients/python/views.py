"""views.py PART: change the card from every side, and after each change compare all that shows it: devlink, ip, rdma and sysfs.

Prints one line for each change: what was done, and what of the card there is then."""
import glob
import json
import os
import subprocess
import sys
import time

PCI = "/sys/bus/pci/devices/"
AUX = "/sys/bus/auxiliary/devices/"
NET = "/sys/class/net/"
PF = "0000:00:09.0"
CARD = "pci/" + PF
SF = CARD + "/32768"
CORE = "/sys/bus/pci/drivers/mlx5_core/"
UPLINK = "enp0s9f0np0"
netns = None  # where we look


def run(words, **options):
    where = ["ip", "netns", "exec", netns] if netns else []
    return subprocess.run(where + words.split(), check=True, capture_output=True, text=True, **options).stdout


def parsed(words):
    return json.loads(run(words) or "{}")


def refused(words):
    return subprocess.run(words.split(), capture_output=True, text=True).stderr.strip().splitlines()[-1]


def read(path):
    """What is in the file, or the error's name."""
    try:
        with open(path) as file:
            return file.read().removesuffix("\n")
    except OSError as error:
        return os.strerror(error.errno)


def write(path, text):
    try:
        with open(path, "w") as file:
            file.write(text)
        return "good"
    except OSError as error:
        return os.strerror(error.errno)


def name(link):
    """Where a link leads to: the last part, or None without one."""
    return os.path.basename(os.readlink(link)) if os.path.islink(link) else None


def listed(path):
    return sorted(os.listdir(path)) if os.path.isdir(path) else []


class Views:
    """All views of one moment; those of sysfs are looked at when they are compared."""

    def __init__(self):
        self.instances = parsed("devlink -j dev show")["dev"]
        self.ports = parsed("devlink -j port show")["port"]
        self.links = {link["ifname"]: link for link in parsed("ip -j link")}
        self.rdma = {}
        for port in parsed("rdma -j link"):
            self.rdma.setdefault(port["ifname"], []).append(port)
        self.mode = None
        if CARD in self.instances:
            self.mode = parsed("devlink -j dev eswitch show " + CARD)["dev"][CARD]["mode"]

    def compare(self):
        functions = [entry for entry in listed(PCI) if read(PCI + entry + "/vendor") == "0x15b3"]
        for function in functions:
            self.function(function)
        for part in listed(AUX):
            self.part(part)
        for handle in self.instances:
            bus, device = handle.split("/")
            place = {"pci": PCI, "auxiliary": AUX}.get(bus)
            assert place is None or os.path.isdir(place + device), handle
        netdevs = {port["netdev"]: handle for handle, port in self.ports.items() if "netdev" in port}
        for netdev, handle in netdevs.items():
            self.netdev(netdev, handle)
        ours = {link for link in listed(NET) if os.path.realpath(NET + link).startswith("/sys/devices/pci")}
        simulated = {link for link in ours if "mlx5" in str(driver_of(link))}
        assert simulated == set(netdevs), (simulated, netdevs)
        for device in set(listed("/sys/class/infiniband")) | set(self.rdma):
            self.infiniband(device)
        self.representors(netdevs)

    def function(self, function):
        place = PCI + function
        driver = name(place + "/driver")
        bound = driver == "mlx5_core"
        assert bound == (f"pci/{function}" in self.instances), (function, driver)
        assert bound == os.path.islink(f"/sys/bus/pci/drivers/mlx5_core/{function}"), function
        assert bound == ("DRIVER=mlx5_core\n" in read(place + "/uevent")), function
        assert f"PCI_SLOT_NAME={function}" in read(place + "/uevent")
        assert bound or not [entry for entry in listed(place) if entry in ("net", "infiniband") or "mlx5" in entry], function
        assert read(place + "/class") == "0x020000" and read(place + "/subsystem_vendor") == "0x15b3"
        assert read(place + "/modalias").startswith(f"pci:v000015B3d0000{read(place + '/device')[2:].upper()}")
        virtual = [name(f"{place}/virtfn{number}") for number in range(len(glob.glob(place + "/virtfn*")))]
        if os.path.exists(place + "/sriov_numvfs"):
            assert read(place + "/sriov_numvfs") == str(len(virtual)), (function, virtual)
        for number, vf in enumerate(virtual):
            assert name(f"{PCI}{vf}/physfn") == function
            distance = int(read(place + "/sriov_offset")) + number * int(read(place + "/sriov_stride"))
            assert rid(vf) == rid(function) + distance, (function, vf)
            assert read(f"{PCI}{vf}/device") == "0x" + read(place + "/sriov_vf_device")
            assert not os.path.exists(f"{PCI}{vf}/sriov_numvfs")
        config = open(place + "/config", "rb").read()
        assert (config[4] & 2 != 0) == (driver is not None), function

    def part(self, part):
        kind = part.split(".")[1]
        bound = name(AUX + part + "/driver")
        has_instance = kind == "sf" or kind == "eth"
        assert (f"auxiliary/{part}" in self.instances) == (has_instance and bound is not None), (part, bound)
        assert bound is None or name(f"/sys/bus/auxiliary/drivers/{bound}/{part}") == part
        if kind == "sf":
            sfnum = int(read(AUX + part + "/sfnum"))
            assert any(port.get("sfnum") == sfnum for port in self.ports.values()), part

    def netdev(self, netdev, handle):
        """A port's network device, as devlink, ip and sysfs see it."""
        port, link, place = self.ports[handle], self.links[netdev], NET + netdev
        assert link["ifindex"] == int(read(place + "/ifindex")), netdev
        assert link["address"] == read(place + "/address"), netdev
        assert link["mtu"] == int(read(place + "/mtu")), netdev
        assert ("UP" in link["flags"]) == bool(int(read(place + "/flags"), 16) & 1), netdev
        device = name(place + "/device")
        assert netdev in listed(os.path.realpath(place + "/device") + "/net"), netdev
        flavour, shown = port["flavour"], read(place + "/phys_port_name")
        expected = {
            "physical": lambda: f"p{port['port']}",
            "pcivf": lambda: f"pf{port['pfnum']}vf{port['vfnum']}",
            "pcisf": lambda: f"pf{port['pfnum']}sf{port['sfnum']}",
            "virtual": lambda: "Operation not supported",
        }[flavour]()
        assert shown == expected, (netdev, shown, expected)
        if flavour in ("pcivf", "pcisf"):
            assert f"pci/{device}" == handle.rsplit("/", 1)[0], (netdev, device)
        else:
            part = handle.split("/")[1]
            assert os.path.realpath(AUX + part + "/..") == os.path.realpath(place + "/device"), netdev

    def infiniband(self, device):
        ports, place = self.rdma[device], "/sys/class/infiniband/" + device
        assert device in listed(os.path.realpath(place + "/device") + "/infiniband"), device
        assert len(ports) == len(listed(place + "/ports")), device
        for port in ports:
            if "netdev" in port:
                assert port["netdev_index"] == self.links[port["netdev"]]["ifindex"], port

    def representors(self, netdevs):
        """Who is on a switch has its id, and only then there are representors."""
        ids = {netdev: read(NET + netdev + "/phys_switch_id") for netdev in netdevs}
        if self.mode == "switchdev":
            vfs = [port for port in self.ports.values() if port["flavour"] == "pcivf"]
            assert str(len(vfs)) == read(f"{PCI}{PF}/sriov_numvfs"), vfs
        else:
            assert not [port for port in self.ports if port.startswith(CARD + "/")], self.ports
        switch = {number for netdev, number in ids.items() if self.ports[netdevs[netdev]]["flavour"] != "virtual"}
        assert len(switch) <= 1 and all(len(number) == 16 for number in switch), ids
        for netdev, handle in netdevs.items():
            if self.ports[handle]["flavour"] == "virtual":
                assert ids[netdev] == "Operation not supported", netdev

    def summary(self):
        flavours = [port["flavour"] for port in self.ports.values() if "netdev" in port]
        counted = [f"{flavours.count(flavour)} {flavour}" for flavour in sorted(set(flavours))]
        return f"{len(self.instances)} instances, {self.mode}, {', '.join(counted)}, {len(self.rdma)} rdma"


def driver_of(link):
    """The driver of what a network device belongs to."""
    return name(os.path.realpath(NET + link + "/device") + "/driver")


def rid(address):
    _, bus, rest = address.split(":")
    device, function = rest.split(".")
    return int(bus, 16) << 8 | int(device, 16) << 3 | int(function)


def look(what, settles=False):
    """Compares all views; if something `settles`, the last of it may still be under way."""
    end = time.monotonic() + (30 if settles else 0)
    while True:
        views = Views()
        try:
            views.compare()
            break
        except AssertionError:
            if time.monotonic() > end:
                print("after:", what, file=sys.stderr)
                raise
    print(f"{what}: {views.summary()}")
    return views


def wait(what, done):
    end = time.monotonic() + 30
    while not done():
        assert time.monotonic() < end, what
        time.sleep(0.01)


def states(handle):
    function = parsed("devlink -j port show " + handle)["port"][handle]["function"]
    return function["state"], function["opstate"]


def plugged():
    """The card with two virtual functions: their addresses."""
    look("the card is plugged in")
    assert write(PCI + PF + "/sriov_numvfs", "2") == "good"
    look("two virtual functions")
    return name(PCI + PF + "/virtfn0"), name(PCI + PF + "/virtfn1")


def drivers():
    vf0, vf1 = plugged()
    refusals = {
        "70000": "Invalid argument",
        "x": "Invalid argument",
        "17": "Numerical result out of range",
        "1": "Device or resource busy",
    }
    for text, error in refusals.items():
        assert write(PCI + PF + "/sriov_numvfs", text) == error, text
    assert write(CORE + "unbind", vf0) == "good"
    assert write(CORE + "unbind", vf0) == "No such device"
    look("the first one is unbound")
    assert write(PCI + vf0 + "/driver_override", "vfio-pci") == "good"
    assert write(CORE + "bind", vf0) == "No such device"
    look("it is for another driver")
    assert write("/sys/bus/pci/drivers_probe", vf0) == "good"
    assert name(PCI + vf0 + "/driver") == "vfio-pci" and "DRIVER=vfio-pci\n" in read(PCI + vf0 + "/uevent")
    look("another driver has it")
    assert write(CORE + "bind", vf0) == "No such device"
    assert write(PCI + vf0 + "/driver_override", "x" * 4095) == "Invalid argument"
    assert read(PCI + vf0 + "/driver_override") == "vfio-pci"
    assert write(PCI + vf0 + "/driver_override", "\n") == "good"
    assert read(PCI + vf0 + "/driver_override") == "(null)"
    assert write(CORE + "unbind", vf0) == "No such device"
    assert write(CORE + "bind", vf0) == "Device or resource busy"
    assert write("/sys/bus/pci/drivers/vfio-pci/unbind", vf0) == "good"
    assert write("/sys/bus/pci/drivers_probe", vf0) == "good"
    assert write("/sys/bus/pci/drivers_probe", "0000:00:1f.7") == "No such device"
    look("it is probed again")
    assert write(CORE + "bind", vf0) == "Device or resource busy"
    assert write(CORE + "bind", "0000:00:1f.7") == "No such device"

    assert write(PCI + PF + "/sriov_numvfs", "0") == "good"
    assert write(PCI + PF + "/sriov_drivers_autoprobe", "maybe") == "Invalid argument"
    assert write(PCI + PF + "/sriov_drivers_autoprobe", "0") == "good"
    assert write(PCI + PF + "/sriov_numvfs", "2") == "good"
    look("two that no driver gets")
    assert write(CORE + "bind", vf0) == "No such device"
    assert write("/sys/bus/pci/drivers_probe", vf0) == "good" and name(PCI + vf0 + "/driver") is None
    assert write(PCI + vf0 + "/driver_override", "mlx5_core") == "good"
    assert write("/sys/bus/pci/drivers_probe", vf0) == "good"
    look("the first one is given by name")
    assert write(PCI + PF + "/sriov_drivers_autoprobe", "1") == "good"
    assert write(CORE + "bind", vf1) == "good"
    look("the second one is given")


def switch():
    vf0, vf1 = plugged()
    run(f"devlink dev eswitch set {CARD} mode switchdev")
    look("switchdev")
    run(f"devlink port function set {CARD}/1 hw_addr 00:00:00:00:77:77")
    assert write(CORE + "unbind", vf0) == "good" and write(CORE + "bind", vf0) == "good"
    views = look("the first one has an address")
    assert views.links["enp0s9f0v0"]["address"] == "00:00:00:00:77:77"

    # Network devices.
    run("ip link set enp0s9f0r0 name uplift")
    views = look("a representor is renamed")
    assert views.ports[CARD + "/1"]["netdev"] == "uplift"
    run(f"ip link set {UPLINK} up mtu 9000 address 02:00:00:00:00:01")
    views = look("the uplink is up")
    assert views.links[UPLINK]["address"] == "02:00:00:00:00:01" and views.links[UPLINK]["mtu"] == 9000
    run("ip netns add n1")
    run("ip link set enp0s9f0v1 netns n1")
    look("a virtual function's device is elsewhere")
    assert listed(PCI + vf1 + "/net") == []
    assert "enp0s9f0v1" in run("ip netns exec n1 ls /sys/class/net")
    run("ip netns del n1")
    wait("it returns", lambda: "enp0s9f0v1" in listed(NET))
    look("it is back")


def subfunctions():
    run(f"devlink dev eswitch set {CARD} mode switchdev")
    run(f"devlink port add {CARD} flavour pcisf pfnum 0 sfnum 88")
    look("a sub-function", settles=True)
    assert states(SF) == ("inactive", "detached")
    run(f"devlink port function set {SF} hw_addr 00:00:00:00:88:88 state active")
    wait("it attaches", lambda: states(SF) == ("active", "attached"))
    sf = os.path.basename(glob.glob(AUX + "mlx5_core.sf.*")[0])
    look("it is active", settles=True)
    run(f"devlink dev param set auxiliary/{sf} name enable_eth value true cmode driverinit")
    run(f"devlink dev reload auxiliary/{sf}")
    views = look("it has a network device", settles=True)
    netdev = next(port["netdev"] for port in views.ports.values() if port["flavour"] == "virtual" and views.links[port["netdev"]]["address"] == "00:00:00:00:88:88")
    assert name(NET + netdev + "/device") == sf
    assert write("/sys/bus/auxiliary/drivers/mlx5_core.sf/unbind", sf) == "good"
    wait("its port says so", lambda: states(SF) == ("active", "detached"))
    look("its driver is gone", settles=True)
    assert write("/sys/bus/auxiliary/drivers/mlx5_core.sf/bind", sf) == "good"
    wait("its port says so", lambda: states(SF) == ("active", "attached"))
    look("its driver is back", settles=True)
    run(f"devlink port function set {SF} state inactive")
    wait("it detaches", lambda: states(SF) == ("inactive", "detached"))
    look("it is inactive", settles=True)
    run(f"devlink port del {SF}")
    look("it is deleted", settles=True)


def parts():
    plugged()
    run(f"devlink dev eswitch set {CARD} mode switchdev")
    assert write("/sys/bus/auxiliary/drivers/mlx5_core.eth/unbind", "mlx5_core.eth.0") == "good"
    look("the Ethernet part is unbound")
    assert write("/sys/bus/auxiliary/drivers/mlx5_core.eth/bind", "mlx5_core.eth.0") == "good"
    look("the Ethernet part is bound")
    run(f"devlink dev eswitch set {CARD} mode legacy")
    look("legacy")
    assert write("/sys/bus/auxiliary/drivers/mlx5_ib.rdma/unbind", "mlx5_core.rdma.0") == "good"
    look("the InfiniBand part is unbound")
    assert write("/sys/bus/auxiliary/drivers/mlx5_ib.rdma/bind", "mlx5_core.rdma.0") == "good"
    look("the InfiniBand part is bound")


def function():
    global netns
    vf0, _ = plugged()
    run(f"devlink dev reload {CARD}")
    look("reloaded")
    run("ip netns add n2")
    run(f"devlink dev reload {CARD} netns n2")
    assert UPLINK not in listed(NET) and listed(PCI + PF + "/net") == []
    netns = "n2"
    assert [UPLINK] == [port["netdev"] for port in parsed("devlink -j port show")["port"].values()]
    assert UPLINK in run("ls /sys/class/net") and read(PCI + PF + "/driver/uevent") == "Permission denied"
    netns = None
    run("ip netns del n2")
    wait("it returns", lambda: CARD in parsed("devlink -j dev show")["dev"] and UPLINK in listed(NET))
    look("back from another namespace")
    assert write(CORE + "unbind", PF) == "good"
    look("unbound")
    assert write(PCI + PF + "/sriov_numvfs", "1") == "No such file or directory"
    assert write(PCI + PF + "/uevent", "add") == "good" and write(PCI + PF + "/uevent", "appear") == "Invalid argument"
    assert refused(f"devlink dev eswitch show {CARD}").endswith("No such device")
    assert write(CORE + "bind", PF) == "good"
    look("bound")
    assert write("/sys/bus/pci/drivers_autoprobe", "0") == "good"
    assert write(PCI + PF + "/sriov_numvfs", "1") == "good" and name(PCI + vf0 + "/driver") is None
    assert write("/sys/bus/pci/drivers_autoprobe", "1") == "good" and name(PCI + vf0 + "/driver") is None
    look("a virtual function that the bus offers to nobody")
    assert write("/sys/bus/pci/drivers_probe", vf0) == "good" and name(PCI + vf0 + "/driver") == "mlx5_core"
    look("until it is told to")
    assert write(PCI + vf0 + "/remove", "1") == "good" and not os.path.exists(PCI + vf0)
    assert write(PCI + PF + "/sriov_numvfs", "0") == "good"
    assert write(PCI + PF + "/sriov_numvfs", "1") == "good"
    look("a virtual function was removed and made again")
    assert write(PCI + PF + "/remove", "0") == "good"
    assert write(PCI + PF + "/remove", "1") == "good"
    assert not os.path.exists(PCI + PF)
    look("removed")
    assert write("/sys/bus/pci/rescan", "1") == "good"
    look("found again")


{part.__name__: part for part in (drivers, switch, subfunctions, parts, function)}[sys.argv[1]]()
