"""Lists the ports of a machine with pyroute2: HANDLE/INDEX FLAVOUR NETDEV, a line each."""
from pyroute2 import DL

FLAVOURS = {0: "physical", 4: "pcivf", 5: "virtual", 7: "pcisf"}

with DL() as dl:
    for port in dl.port_list():
        get = lambda name: port.get_attr(f"DEVLINK_ATTR_{name}")
        handle = f"{get('BUS_NAME')}/{get('DEV_NAME')}/{get('PORT_INDEX')}"
        print(handle, FLAVOURS.get(get("PORT_FLAVOUR"), get("PORT_FLAVOUR")), get("PORT_NETDEV_NAME"))
