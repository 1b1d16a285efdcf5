# Sourced by the fetch-… scripts here: unpacks packages of any Debian release into a cache, without installing them.
#
# They are unpacked with all dependencies, including libc and the dynamic loader, so that a program of a later Debian
# runs on an earlier one. This does not need root. The script that sources this sets $cache, the folder to fill. It may set
# $architectures before it calls look_into: Debian's names of machines, of which the first is the one that "apt-get install"
# means; without it, this machine's.
# shellcheck shell=bash

readonly cache
readonly work=$cache/.unpacking

fail() {
    echo "${0##*/}: $*" >&2
    exit 1
}

# check_tools ADVICE: the advice is printed on systems that are not Debian.
check_tools() {
    local tool
    for tool in apt-get apt-cache dpkg-deb flock; do
        command -v "$tool" >/dev/null || fail "$tool is not here. $1"
    done
}

# Only one script at a time fills the cache, and it leaves nothing incomplete.
lock_cache() {
    mkdir -p "$cache"
    exec 9>"$cache/.lock"
    flock 9
    trap 'rm -rf "$work"' EXIT
    trap 'exit 130' INT TERM HUP
}

# Debian's own key, under the name that this release gives the file.
keyring() {
    local file
    for file in /usr/share/keyrings/debian-archive-keyring.{gpg,pgp}; do
        [[ -r $file ]] && echo "$file" && return
    done
    fail "no Debian archive keys in /usr/share/keyrings (package debian-archive-keyring)"
}

# The mirror from which this machine gets Debian. This also works before the first `apt-get update`, when the sources are
# known but their content is not.
mirror() {
    local uri release
    while read -r uri release; do
        case $release in
        *-security | */updates | *-updates | *-backports* | */) ;;
        *)
            case $uri in
            *debian-security* | cdrom:* | "") ;;
            *debian* | mirror*) echo "$uri" && return ;;
            esac
            ;;
        esac
    done < <(apt-get indextargets --no-release-info --format '$(REPO_URI) $(RELEASE)' \
        'Created-By: Packages' 'Component: main' | sort -u)
    fail "apt has no Debian mirror here (/etc/apt/sources.list, /etc/apt/sources.list.d)"
}

# A separate state for apt in which no package is installed, so that it resolves every dependency. The machine's own
# settings, such as a proxy, stay in force, except for its hooks after an update.
prepare_apt() {
    local suite=$1 from keys architecture foreign
    read -r architecture foreign <<<"${architectures:-$(dpkg --print-architecture)}"
    read -ra foreign <<<"$foreign"
    from=$(mirror) || return
    keys=$(keyring) || return
    rm -rf "$work"
    mkdir -p "$work"/apt/{lists,archives}/partial "$work/root"
    : >"$work/apt/status"
    printf '%s [signed-by='"$keys] $from $suite main\n" deb ${with_sources:+deb-src} >"$work/apt/sources.list"
    cat >"$work/apt/apt.conf" <<END
#clear APT::Update;
#clear DPkg::Post-Invoke;
Dir::State "$work/apt";
Dir::State::status "$work/apt/status";
Dir::State::lists "$work/apt/lists";
Dir::Cache "$work/apt";
Dir::Cache::archives "$work/apt/archives";
Dir::Etc::sourcelist "$work/apt/sources.list";
Dir::Etc::sourceparts "/dev/null";
Dir::Etc::preferences "/dev/null";
Dir::Etc::preferencesparts "/dev/null";
APT::Architecture "$architecture";
APT::Architectures { $(printf '"%s"; ' "$architecture" "${foreign[@]}")};
APT::Install-Recommends "false";
APT::Sandbox::User "root"; // _apt may not write to a user's cache
APT::Get::AllowUnauthenticated "false";
Acquire::Languages "none";
Debug::NoLocking "true"; // the cache has a separate lock
END
}

apt() {
    local tool=$1
    shift
    "$tool" -c "$work/apt/apt.conf" -qq "$@"
}

# Mirrors fail now and then.
persistently() {
    local try
    for try in 1 2 3; do
        "$@" && return
        [[ $try == 3 ]] || sleep $((try * 5))
    done
    return 1
}

# Reads the package list of a suite. Release files expire, so that an old state cannot be served forever. A mirror that is
# out of date is good enough here: its files are still signed by Debian.
look_into() {
    local suite=$1 try said
    prepare_apt "$suite" || return
    for try in 1 2 3; do
        said=$(LC_ALL=C apt apt-get -oAPT::Update::Error-Mode=any update 2>&1) && return
        if [[ $said == *"is expired"* ]]; then
            echo "${0##*/}: Debian $suite: this mirror's Release file has expired. It is used all the same; its signature" \
                "is checked as always" >&2
            echo 'Acquire::Check-Valid-Until "false";' >>"$work/apt/apt.conf"
        else
            [[ $try == 3 ]] || sleep $((try * 5))
        fi
    done
    echo "${0##*/}: apt cannot read Debian $suite: $said" >&2
    return 1
}

# The version of a package that the suite has.
version_on_offer() {
    apt apt-cache show --no-all-versions "$1" | sed -n 's/^Version: //p'
}

# Packages that are not unpacked, because the machine's own version is used.
leave_out() {
    printf 'Package: %s\nStatus: install ok installed\nArchitecture: all\nVersion: 99\n\n' "$@" >>"$work/apt/status"
}

# Fetches packages for `unpack`, without their dependencies: NAME or NAME:ARCHITECTURE.
fetch_alone() {
    (cd "$work/apt/archives" && persistently apt apt-get download "$@")
}

unpack() {
    local file
    if ! persistently apt apt-get -y --download-only install "$@"; then
        echo "${0##*/}: apt cannot download these packages: $*" >&2
        return 1
    fi
    for file in "$work"/apt/archives/*.deb; do
        dpkg-deb -x "$file" "$work/root" || return
        dpkg-deb -W --showformat '${Package} ${Version}\n' "$file" || return
    done >"$work/MANIFEST"
    # For those who pin what they use.
    (cd "$work/apt/archives" && sha256sum -- *.deb) >"$work/SHA256SUMS" || return
    rm -rf "$work/root/usr/share/"{doc,man,locale}
}

# The folders below the root that hold libraries, as a list for a loop; systemd has a separate one.
library_folders() {
    local folder
    for folder in "$work"/root/{usr/lib,lib}/*-linux-gnu*{,/systemd}; do
        [[ -d $folder ]] && echo "${folder#"$work/"}"
    done
}

# A program is started through its own loader, by a script with exec, so that the process id is the program's. It uses bash
# because Debian's sh drops variables whose names it cannot use, such as cargo's CARGO_BIN_EXE_iotda-auth.
write_wrappers() {
    local loader path="" folder program
    # Until Debian 11 it is a link there. The link in /lib64 is an absolute one.
    loader=$(cd "$work" && find root ! -type d -path '*-linux-gnu*/ld-linux*.so.*' -print -quit)
    [[ -n $loader ]] || fail "no dynamic loader among the packages"
    while read -r folder; do
        path+=${path:+:}'$here/'$folder
        # Some packages rely on ldconfig to create a library's link.
        PATH=$PATH:/usr/sbin:/sbin ldconfig -n "$work/$folder"
    done < <(library_folders)
    for program; do
        cat >"$work/${program##*/}" <<END
#!/bin/bash
here=\$(dirname "\$(readlink -f "\$0")")
exec "\$here/$loader" --library-path "$path" "\$here/root/$program" "\$@"
END
        chmod +x "$work/${program##*/}"
    done
}

# The result is moved into place in one step, so a folder with that name is always complete.
put_in_place() {
    rm -rf "$work/apt" "${cache:?}/$1"
    mv -T "$work" "$cache/$1"
}
