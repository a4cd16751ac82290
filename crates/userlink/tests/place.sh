#!/bin/sh
# place.sh WHO COMMAND...: make the place where a test's machine starts, and execute COMMAND there as WHO.
#   here   as the caller, in the caller's place
#   root   in this (fresh) network and mount namespace, with a /run of its own
#   user   the same, as an ordinary user; what the tests need lies under /mnt, as the checkout may be closed to that user
set -e
who=$1
shift
if [ "$who" != here ]; then
    mount -t tmpfs -o mode=755 tmpfs /run
    mount -t tmpfs -o mode=755 tmpfs /mnt
    for name in BIN CLIENTS BUILT VENV GOLDEN; do
        from=$(printenv "$name") || continue
        [ -d "$from" ] || continue
        mkdir "/mnt/$name"
        mount --bind "$from" "/mnt/$name"
        eval "$name=/mnt/$name"
    done
    # The usual access to these is 0666 (udev's rules); a machine without udev has the kernel's 0600.
    for device in net/tun:200 fuse:229; do
        path=/dev/${device%:*}
        if [ -c "$path" ] && [ "$(stat -c %a "$path")" != 666 ]; then
            mknod -m 666 "/mnt/${device#*:}" c 10 "${device#*:}"
            mount --bind "/mnt/${device#*:}" "$path"
        fi
    done
    cd /
fi
PATH=$BIN:/usr/bin:/bin:/usr/sbin:/sbin
export PATH BIN CLIENTS BUILT VENV GOLDEN
if [ "$who" = user ]; then
    exec setpriv --reuid=65534 --regid=65534 --clear-groups env HOME=/nonexistent USER=nobody "$@"
fi
exec "$@"
