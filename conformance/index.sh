# shellcheck shell=bash
# What the scripts here know of Debian's archive: an index of packages of their own, below the folder $top.
top=${top:?}
mirror=${DEBIAN_MIRROR:-http://deb.debian.org/debian}
keys=/usr/share/keyrings/debian-archive-keyring.gpg

say() { echo "${0##*/}: $*" >&2; }
die() { say "$*"; exit 1; }

# index SUITE: a private index of the suite's packages and sources; sets $conf
index() {
    local folder=$top/apt/$1
    conf=$folder/apt.conf
    [ -e $keys ] || die "there is no $keys (Debian package debian-archive-keyring)"
    mkdir -p "$folder"/{lists/partial,cache/archives/partial,empty}
    case $1 in *-security) archive=$mirror-security ;; *) archive=$mirror ;; esac
    printf 'Types: deb deb-src\nURIs: %s\nSuites: %s\nComponents: main\nSigned-By: %s\n' "$archive" "$1" $keys >"$folder/all.sources"
    cat >"$conf" <<CONF
Dir::Etc::sourcelist "$folder/all.sources";
Dir::Etc::sourceparts "$folder/empty";
Dir::Etc::preferencesparts "$folder/empty";
Dir::State::lists "$folder/lists";
Dir::Cache "$folder/cache";
APT::Sandbox::User "";
Acquire::Languages "none";
CONF
    [ -n "$(find "$folder/updated" -mtime -7 2>/dev/null)" ] && return
    say "fetching the package index of Debian $1"
    apt-get -c "$conf" -o APT::Update::Error-Mode=any update >"$folder/log" 2>&1 || { tail -n 3 "$folder/log" >&2; return 1; }
    touch "$folder/updated"
}

# newest PACKAGE: its newest version in the index at hand
newest() { apt-cache -c "$conf" madison "$1" 2>/dev/null | awk -F'|' '/Packages/ { gsub(/ /, "", $2); print $2 }' | sort -V | tail -n 1; }
