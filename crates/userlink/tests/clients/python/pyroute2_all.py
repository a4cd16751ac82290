"""All that pyroute2 has for devlink, its own calls and those of the socket below them, synchronous and not: ends with `good`."""
import asyncio

from pyroute2 import DL
from pyroute2.devlink import AsyncDL
from pyroute2.netlink import NLM_F_ACK, NLM_F_REQUEST
from pyroute2.netlink.devlink import DEVLINK_NAMES, devlinkcmd

DEVICE = ("netdevsim", "netdevsim10")


def attr(message, name):
    return message.get_attr(f"DEVLINK_ATTR_{name}")


def devices(messages):
    return sorted((attr(m, "BUS_NAME"), attr(m, "DEV_NAME")) for m in messages)


def ports(messages):
    return sorted((attr(m, "DEV_NAME"), attr(m, "PORT_INDEX"), attr(m, "PORT_NETDEV_NAME")) for m in messages)


def command(name, **more):
    message = devlinkcmd()
    message["cmd"] = DEVLINK_NAMES[f"DEVLINK_CMD_{name}"]
    message["version"] = 1
    attrs = {"BUS_NAME": DEVICE[0], "DEV_NAME": DEVICE[1], **more}
    message["attrs"] = [(f"DEVLINK_ATTR_{name}", value) for name, value in attrs.items()]
    return message


async def without_waiting():
    async with AsyncDL() as dl:
        await dl.bind()
        found = [devices([m async for m in await call()]) for call in (dl.list, dl.get_dump)]
        assert found[0] == found[1] and DEVICE in found[0], found
        found = [ports([m async for m in await call()]) for call in (dl.port_list, dl.get_port_dump)]
        assert found[0] == found[1], found
        return found[0]


with DL() as dl:
    found = [devices(call()) for call in (dl.list, dl.get_dump)]
    assert found[0] == found[1] and DEVICE in found[0], found
    found = [ports(call()) for call in (dl.port_list, dl.get_port_dump)]
    assert found[0] == found[1] and (DEVICE[1], 0, "eni10np1") in found[0], found
    assert asyncio.run(without_waiting()) == found[0]

    assert "config" in dl.mcast_groups, dl.mcast_groups
    family = dl.discovery("devlink")
    assert family.get_attr("CTRL_ATTR_FAMILY_ID") == dl.prid, family
    policy = list(dl.policy("devlink"))
    assert len(policy) > 57, len(policy)
    one = list(dl.nlm_request(command("GET"), msg_type=dl.prid, msg_flags=NLM_F_REQUEST | NLM_F_ACK))
    assert devices(one) == [DEVICE], one
    with DL() as hears:
        hears.bind(groups=0)
        hears.add_membership("config")
        list(dl.nlm_request(command("REGION_NEW", REGION_NAME="dummy"), msg_type=dl.prid, msg_flags=NLM_F_REQUEST | NLM_F_ACK))
        heard = next(iter(hears.get()))
        assert (heard["event"], attr(heard, "REGION_NAME")) == ("DEVLINK_CMD_REGION_NEW", "dummy"), heard
        hears.drop_membership("config")
print("good")
