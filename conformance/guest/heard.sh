#!/bin/sh
# heard.sh COMMAND [LAST [TIMES]]: what `devlink monitor` prints of COMMAND, until so many of its lines fit LAST.
#
# A parameter of the second function that is changed for it marks where that begins and ends.
file=$(mktemp)

mark() { # VALUE
    devlink dev param set pci/0000:00:09.1 name fdb_large_groups value "$1" cmode driverinit
}
until_heard() { # PATTERN [TIMES]
    n=0
    until [ "$(grep -c -- "$1" "$file")" -ge "${2:-1}" ]; do
        n=$((n + 1))
        [ $n -lt 500 ] || { echo "not heard: $1"; break; }
        sleep 0.02
    done
}

stdbuf -oL devlink monitor >>"$file" &
monitor=$!
# Nobody tells when it has begun to listen.
value=100
until [ -s "$file" ] || [ $value -eq 600 ]; do
    value=$((value + 1))
    mark $value
    sleep 0.02
done
mark 20
until_heard 'value 20'
sh -c "$1"
[ -z "$2" ] || until_heard "$2" "$3"
mark 21
until_heard 'value 21'
{ kill $monitor; wait $monitor; } 2>/dev/null
# A notification is a line that begins with `[`, and those that do not; iproute2 does not find back after one of health.
awk '
    /^ *\[/ { show(); text = ""; }
    { text = text $0 "\n" }
    function show() {
        if (text ~ /value 21/) exit
        if (heard) printf "%s", text
        if (text ~ /value 20/) heard = 1
    }' "$file"
rm "$file"
