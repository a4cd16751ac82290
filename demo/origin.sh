#!/bin/sh
# The origin's three commands, typed into the real ip and devlink: `origin.sh USERLINK` runs them on two machines, one with
# today's driver locking and one with that of November 2021, and shows what each printed. `origin.sh inside` is what runs there.
set -eu
device=pci/0000:00:09.0

show() { # show COMMAND...: the command, its output, its exit status
    printf '\n$ %s\n' "$*"
    status=0
    "$@" || status=$?
    echo "[exit status $status]"
}

# The end of a namespace is asynchronous: the device is back when the monitor says so, not some time later.
listen() {
    heard=$(mktemp -d)
    trap 'kill $monitor 2>/dev/null || true; ip netns del n1 2>/dev/null || true; rm -r "$heard"' EXIT
    mkfifo "$heard/fifo"
    devlink monitor >"$heard/fifo" &
    monitor=$!
    exec 3<"$heard/fifo"
    # Nobody can see from outside when it listens, so knock until it has heard something: turn a parameter off and on again
    # (devlink does not send what would change nothing).
    while [ ! -e "$heard/something" ]; do
        for value in false true; do
            devlink dev param set $device name enable_remote_dev_reset value $value cmode runtime
        done
    done &
    read -r _ <&3
    : >"$heard/something"
    wait $!
}

wait_for() { # wait_for BEGINNING-OF-LINE
    while read -r line <&3; do
        case $line in "$1"*) echo "$line"; break ;; esac
    done
}

inside() {
    show devlink dev show
    listen
    show ip netns add n1
    show devlink dev reload $device netns n1
    show devlink -N n1 dev show
    show ip netns del n1
    printf '\nThe monitor in the first namespace, when the end of n1 has given the device back:\n'
    wait_for "[dev,new] $device"
    show devlink dev show $device
    reports=$(userlink dmesg | grep -c 'WARNING: ' || true)
    printf '\n%s lock reports.' "$reports"
    if [ "$reports" = 0 ]; then echo; else printf ' userlink dmesg:\n\n'; userlink dmesg | sed -n '/======/,$p'; fi
}

if [ "$1" = inside ]; then
    inside
    exit
fi
PATH=$(cd "$(dirname "$1")" && pwd):$PATH
export PATH
printf "The machine with today's driver locking\n=======================================\n"
userlink run -- sh "$0" inside
printf '\n\nThe machine with the driver locking of November 2021\n====================================================\n'
userlink run --driver-locking 2021 -- sh "$0" inside
