#!/bin/bash
# pcap.sh NAME COMMAND: on the transcripts' machine, captures what COMMAND says on netlink; here `userlink run --capture` does. The
# answer may have an end that COMMAND does not wait for.
bash -c "$2"
rc=$?
sleep 0.1
exit $rc
