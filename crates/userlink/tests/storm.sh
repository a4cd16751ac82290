#!/bin/sh
# storm.sh DEVICES SHELLS ROUNDS: netdevsim devices come and go from many shells at once, some of them in network namespaces that
# come and go, too. Prints how much of what there was before and is afterwards, a line each. To be run inside, in a user namespace of one's own.
devices=$1 shells=$2 rounds=$3
bus=/sys/bus/netdevsim debug=/sys/kernel/debug/netdevsim
supervisor=$PPID made=${TMPDIR:-/tmp}/storm.$$.
machine=$(tr ' ' '\n' <"/proc/$supervisor/task/$supervisor/children" | grep . | grep -vx $$)

# The network namespaces that are alive, whoever keeps them: one more than that cannot be had.
namespaces() {
    limit=0
    until echo $limit >/proc/sys/user/max_net_namespaces && unshare -n true 2>/dev/null; do
        limit=$((limit + 1))
        [ $limit -lt 1000 ] || break
    done
    echo 65536 >/proc/sys/user/max_net_namespaces
    echo $limit
}

count() {
    case $1 in
    devices) find $bus/devices $debug -mindepth 1 -maxdepth 1 | wc -l ;;
    instances) devlink dev show | wc -l ;;
    netdevs) ip -o link | wc -l ;;
    mounts) wc -l </proc/self/mountinfo ;;
    namespaces) namespaces ;;
    descriptors) find "/proc/$supervisor/fd" "/proc/$machine/fd" -mindepth 1 | wc -l ;;
    memory) awk '/^VmRSS/ { print $2 }' "/proc/$machine/status" ;;
    reports) userlink dmesg | grep -c WARNING: ;;
    esac
}

shell() { # shell NUMBER ROUND: its share of the devices
    number=$1
    ip netns add "storm$number" || echo "netns add" >&2
    echo "9$number 1" >"$made$number"
    ip netns exec "storm$number" sh -c "cat $made$number >$bus/new_device" || echo "new 9$number" >&2
    for id in $(seq $((1000 + number)) "$shells" $((999 + devices - shells))); do
        echo "$id 1" >$bus/new_device || echo "new $id" >&2
    done
    cat $debug/netdevsim$((1000 + number))/ports/0/ethtool/get_err >/dev/null || echo cat >&2
    for id in $(seq $((1000 + number)) "$shells" $((999 + devices - shells))); do
        echo "$id" >$bus/del_device || echo "del $id" >&2
    done
    # In every other round the device comes home first, perhaps while it is being deleted.
    [ $(($2 % 2)) = 0 ] || ip netns del "storm$number"
    echo "9$number" >$bus/del_device || echo "del 9$number" >&2
    [ $(($2 % 2)) != 0 ] || ip netns del "storm$number"
    rm "$made$number"
}

round() {
    for number in $(seq "$shells"); do
        shell "$number" "$1" &
    done
    wait
}

what="devices instances netdevs mounts namespaces descriptors reports"
# What is only made once, and threads that end when they have been idle.
round 1
round 2
sleep 2
for name in $what memory; do
    eval "before_$name=\$(count $name)"
done
for round in $(seq "$rounds"); do
    round "$round"
done
for name in $what memory; do
    eval "before=\${before_$name:?}"
    # The real kernel takes its time with namespaces and devices.
    tries=100
    while after=$(count "$name") && [ "$after" -gt "${before:?}" ] && [ $tries -gt 0 ]; do
        tries=$((tries - 1))
        [ "$name" != memory ] || break
        sleep 0.1
    done
    echo "$name $before $after"
done
