#!/bin/bash
# debian.sh FOLDER client VERSION   iproute2 VERSION (or, if its suites have gone on, the next one), built from Debian's source package
# debian.sh FOLDER tree KERNEL      the selftests of kernel KERNEL (6.1, 6.12, 7.2), from Debian's linux-source package
# Fetches into FOLDER with a package index of its own, so that the machine's is not touched; prints the folder of what was asked for.
# What is there already is not fetched again. The archive's signature is checked by apt, as ever.
set -euo pipefail
top=$(mkdir -p "$1" && cd "$1" && pwd)
what=$2 wanted=$3
conf= # set by `index`
# shellcheck source-path=SCRIPTDIR source=index.sh disable=SC1091
. "$(dirname "$0")/index.sh"

# packaged SUITES BUILD FOLDER: the binary package of the client, if one of the suites has the version and it runs on this machine
packaged() {
    local suite version file
    for suite in $1; do
        index "$suite" || continue
        version=$(apt-cache -c "$conf" madison iproute2 2>/dev/null | awk -F'|' '/Packages/ { gsub(/ /, "", $2); print $2 }' | grep "^$wanted-" | tail -n 1)
        [ -n "$version" ] || continue
        (cd "$2" && apt-get -c "$conf" download "iproute2=$version") >"$2/log" 2>&1 || continue
        rm -rf "$3.new" "$2/package"
        mkdir -p "$3.new"
        dpkg-deb -x "$2"/iproute2_*.deb "$2/package"
        rm -f "$2"/iproute2_*.deb
        for file in devlink ip tc; do cp "$(find "$2/package" -type f -path "*bin/$file" | head -n 1)" "$3.new/"; done
        "$3.new/devlink" -V >/dev/null 2>&1 || continue
        say "taking iproute2 $version of Debian $suite"
        mv "$3.new" "$3"
        rm -rf "$2"
        echo "$3"
        return 0
    done
    return 1
}

client() {
    local suites folder=$top/iproute2-$wanted build=$top/build.iproute2-$wanted suite version got=
    [ -x "$folder/devlink" ] && { echo "$folder"; return; }
    case $wanted in 6.1.0) suites=bookworm ;; 6.15.0) suites='trixie bookworm-backports' ;; *) suites='sid forky' ;; esac
    rm -rf "$build"
    mkdir -p "$build/source"
    for suite in $suites; do
        index "$suite" || continue
        version=$(apt-cache -c "$conf" showsrc iproute2 2>/dev/null | awk '/^Version:/ { print $2 }' | sort -V | tail -n 1)
        [ -n "$version" ] || continue
        if (cd "$build" && apt-get -c "$conf" source --download-only --tar-only "iproute2=$version") >"$build/log" 2>&1; then
            got=${version%%-*}
            [ "$got" = "$wanted" ] && break
            rm -f "$build"/*.orig.tar.*
        fi
    done
    if ! ls "$build"/*.orig.tar.* >/dev/null 2>&1; then
        packaged "$suites" "$build" "$folder" && return
        die "Debian ($suites) has no iproute2 $wanted${got:+, only $got}"
    fi
    say "building iproute2 $wanted"
    tar xf "$build"/*.orig.tar.* -C "$build/source" --strip-components=1
    { (cd "$build/source" && ./configure) && make -C "$build/source" -j"$(nproc)" SUBDIRS='lib ip tc devlink'; } >"$build/log" 2>&1 \
        || { tail -n 5 "$build/log" >&2; die "iproute2 $wanted could not be built (it needs pkg-config, libmnl-dev, bison, flex)"; }
    mkdir -p "$folder.new"
    cp "$build"/source/{devlink/devlink,ip/ip,tc/tc} "$folder.new/"
    strip "$folder.new"/*
    mv "$folder.new" "$folder"
    rm -rf "$build"
    echo "$folder"
}

tree() {
    local suites folder=$top/linux-$wanted suite version part
    [ -e "$folder/tools/testing/selftests/drivers/net/netdevsim/devlink.sh" ] && { echo "$folder"; return; }
    case $wanted in 6.1) suites=bookworm ;; 6.12) suites='trixie bookworm-backports' ;; *) suites='sid forky' ;; esac
    for suite in $suites; do
        index "$suite" || continue
        version=$(apt-cache -c "$conf" madison "linux-source-$wanted" 2>/dev/null | awk -F'|' '/Packages/ { gsub(/ /, "", $2); print $2 }' | sort -V | tail -n 1)
        [ -n "$version" ] || continue
        part=$top/part.$wanted
        rm -rf "$part"
        mkdir -p "$part/tree"
        say "fetching linux-source-$wanted $version (some 150 MB)"
        (cd "$part" && apt-get -c "$conf" download "linux-source-$wanted=$version") >"$part/log" 2>&1 || continue
        dpkg-deb --fsys-tarfile "$part"/*.deb | tar xf - -O --wildcards './usr/src/linux-source-*.tar.xz' | xz -dc -T0 \
            | tar xf - -C "$part/tree" --strip-components=1 --wildcards '*/tools/testing/selftests/drivers/net' \
                '*/tools/testing/selftests/net' '*/tools/testing/selftests/kselftest' '*/tools/testing/selftests/lib.sh' \
                '*/tools/net/ynl/pyynl' '*/Documentation/netlink' 2>>"$part/log" || true
        [ -e "$part/tree/tools/testing/selftests/drivers/net/netdevsim/devlink.sh" ] || continue
        rm -rf "$folder"
        mv "$part/tree" "$folder"
        rm -rf "$part"
        echo "$folder"
        return
    done
    die "Debian ($suites) has no linux-source-$wanted"
}

case $what in
    client | tree) "$what" ;;
    *) die "usage: debian.sh FOLDER client|tree VERSION" ;;
esac
