#!/bin/bash
# kernel.sh FOLDER KERNEL   a machine with the real kernel KERNEL (6.1, 6.12, 7.2) and netdevsim for QEMU: `vmlinuz` and `initrd`
# 6.1 and 6.12 are Debian's kernels, to which Debian's sources add the one module that is missing (a minute, 300 MB); 7.2 is built whole,
# but small, from Debian's sources (some ten minutes). As long as Debian has the release that `kernels.toml` names it is that one, later the
# newest; `release` in the machine's folder says which. Fetches into FOLDER with package indexes of its own; prints the folder with the
# machine. What is there already is not made again, unless what is in `machine` has changed.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
top=$(mkdir -p "$1" && cd "$1" && pwd)
wanted=$2
conf= # set by `index`
# shellcheck source-path=SCRIPTDIR source=index.sh disable=SC1091
. "$here/index.sh"
folder=$top/kernel-$wanted
build=$folder.new
recorded=$(sed -n "/^version = \"$wanted\"/,/^release/s/^release = \"\(.*\)\"/\1/p" "$here/kernels.toml")
parts=$(cat "$here"/machine/* | sha256sum)

# logged COMMAND...: run it; of what it prints the end is shown if it fails
logged() { "$@" >"$build/log" 2>&1 || { tail -n 5 "$build/log" >&2; die "this failed: $*"; }; }
fetch() { (cd "$build/debs" && logged apt-get -c "$conf" download "$@"); }

# sources [PATTERN...]: what linux-source has of these
sources() {
    mkdir "$build/source"
    dpkg-deb --fsys-tarfile "$build"/debs/linux-source-*.deb | tar xf - -O --wildcards './usr/src/linux-source-*.tar.xz' | xz -dc -T0 \
        | tar xf - -C "$build/source" --strip-components=1 --wildcards "$@"
    rm "$build"/debs/linux-source-*.deb
}

# packaged SUITES PATTERN: Debian's kernel, and the module for it
packaged() {
    local suite name='' abi version headers
    for suite in $1; do
        index "$suite" || continue
        name=linux-image-$recorded
        version=$(newest "$name")
        [ -n "$version" ] && apt-cache -c "$conf" show "linux-source-$wanted=$version" >"$build/log" 2>&1 && break
        name=$(apt-cache -c "$conf" pkgnames linux-image- | grep -x "linux-image-$2-amd64" | sort -V | tail -n 1) && break
    done
    [ -n "$name" ] || die "Debian ($1) has no kernel $wanted"
    abi=${name#linux-image-}
    version=$(newest "$name")
    say "fetching Debian's kernel $abi ($version), its headers and its sources"
    headers=$(apt-cache -c "$conf" depends "linux-headers-$abi=$version" | sed -n 's/^ *Depends: \(linux-headers-.*-common\|linux-kbuild-.*\)/\1/p')
    # shellcheck disable=SC2046,SC2086 # names of packages
    fetch $(printf "%s=$version " "$name" "linux-headers-$abi" "linux-source-$wanted" $headers)
    sources '*/drivers/net/netdevsim'
    for deb in "$build"/debs/*.deb; do dpkg-deb -x "$deb" "$build/package"; done
    say "building netdevsim"
    headers=$build/package/usr/src
    sed -i "s#/usr/src/#$headers/#g" "$headers/linux-headers-$abi/Makefile" # it names its sibling by an absolute path
    logged make -C "$headers/linux-headers-$abi" M="$build/source/drivers/net/netdevsim" CONFIG_NETDEVSIM=m modules
    cp "$build/package/boot/vmlinuz-$abi" "$build/vmlinuz"
    initrd "$abi" "$build/package/lib/modules/$abi" "$build/source/drivers/net/netdevsim/netdevsim.ko"
}

# built SUITES: a kernel with what machine/kernel.config says, and what that needs
built() {
    local suite name=linux-source-$wanted version='' release
    for suite in $1; do
        index "$suite" || continue
        version=$(newest "$name")
        [ -n "$version" ] && break
    done
    [ -n "$version" ] || die "Debian ($1) has no $name"
    say "fetching $name $version"
    fetch "$name=$version"
    sources --exclude='*.dts' --exclude='*.dtsi' --exclude='*.rst' --exclude='*/drivers/gpu/drm/amd/include' '*'
    say "building kernel $wanted (some ten minutes on two processors)"
    logged make -C "$build/source" allnoconfig KCONFIG_ALLCONFIG="$here/machine/kernel.config"
    logged make -C "$build/source" -j"$(nproc)" bzImage modules
    logged make -C "$build/source" INSTALL_MOD_PATH="$build/package" INSTALL_MOD_STRIP=1 modules_install
    cp "$build/source/arch/x86/boot/bzImage" "$build/vmlinuz"
    release=$(cat "$build/source/include/config/kernel.release")
    initrd "$release" "$build/package/lib/modules/$release"
}

# initrd RELEASE MODULES [MODULE]: notes the release; busybox, the modules of the kernel that are needed, and machine/init
initrd() {
    local root=$build/root modules=$build/root/lib/modules/$1 name file
    echo "$1" >"$build/release"
    echo "$parts" >"$build/parts"
    mkdir -p "$root"/bin "$root"/lib/firmware/netdevsim "$modules"
    cp "$(command -v busybox)" "$root/bin/busybox"
    for name in $(ldd "$root/bin/busybox" 2>/dev/null | grep -o '/[^ ]*' || true); do cp --parents "$name" "$root"; done
    cp "$here/machine/init" "$root/init"
    chmod +x "$root/init"
    for name in virtio virtio_ring virtio_pci virtio_pci_modern_dev virtio_pci_legacy_dev 9pnet 9pnet_virtio fscache netfs 9p psample macsec \
        udp_tunnel ip6_udp_tunnel netdevsim; do
        file=$(find "$2" -name "$name.ko*" | head -n 1)
        case $file in
            '') ;;
            *.xz) xz -dc "$file" >"$modules/$name.ko" ;;
            *) cp "$file" "$modules/$name.ko" ;;
        esac
    done
    [ -z "${3:-}" ] || cp "$3" "$modules/"
    strip -g "$modules"/*.ko
    cp "$2"/modules.builtin* "$2"/modules.order "$modules/"
    /sbin/depmod -b "$root" "$1"
    for file in dummy.bin:1000 dummy:1000 netdevsim/fw2.bin:4096 empty.bin:0; do # as on the stage
        head -c "${file#*:}" /dev/zero >"$root/lib/firmware/${file%:*}"
    done
    (cd "$root" && find . | cpio -o -H newc -R 0:0 --quiet) >"$build/initrd"
}

if [ -e "$folder/initrd" ] && [ "$parts" = "$(cat "$folder/parts" 2>/dev/null)" ]; then
    echo "$folder"
    exit
fi
rm -rf "$build"
mkdir -p "$build/debs"
case $wanted in
    6.1) packaged 'bookworm-security bookworm' '6\.1\.0-[0-9]*' ;;
    6.12) packaged 'bookworm-security trixie-security trixie' '6\.12\.[0-9]*+deb1[23]' ;;
    7.2) built 'sid forky' ;;
    *) die "usage: kernel.sh FOLDER 6.1|6.12|7.2" ;;
esac
rm -rf "$folder" "$build"/{debs,package,source,root,log}
mv "$build" "$folder"
echo "$folder"
