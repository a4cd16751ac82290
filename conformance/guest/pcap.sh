#!/bin/bash
# pcap.sh NAME COMMAND: on the transcripts' machine, captures what COMMAND says on netlink; here `userlink run --capture` does.
bash -c "$2"
