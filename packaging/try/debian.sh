# Sourced by packaging/test: what a user does, in clean roots of Debian.
# shellcheck shell=bash
# shellcheck disable=SC2154

# A root of a release, as debootstrap makes it, with the packages of a broker downloaded and not installed. It is made once.
root_of() {
    local suite=$1 root=$cache/roots/$1 new
    [[ ! -d $root ]] || return 0
    echo "Debian $suite: making a clean root in $root"
    mkdir -p "$cache/roots"
    new=$(mktemp -d "$cache/roots/.$suite-XXXXXX")
    debian_root "$new/root" "$suite"
    as_root chroot "$new/root" apt-get -qq update >"$new/log" 2>&1 &&
        as_root chroot "$new/root" apt-get -qq -y --download-only install mosquitto mosquitto-clients iproute2 >>"$new/log" 2>&1 ||
        { tail -n 5 "$new/log" >&2 && as_root rm -rf --one-file-system "$new" && fail "the root of Debian $suite gets no broker"; }
    as_root mv -T "$new/root" "$root"
    rm -rf "$new"
}

# The .deb of the commit before this one, or of the nearest that can make packages and is older by its time, which the version has;
# in $older.
make_older() {
    local commit folder=$output/package-before
    for commit in $(git rev-list HEAD^@ --max-count=100); do
        ! git cat-file -e "$commit:packaging/targets" 2>/dev/null || [[ $(git log -1 --format=%ct "$commit") -ge $epoch ]] || break
        commit=""
    done
    [[ -n ${commit:-} ]] || fail "no commit before this one makes packages, so an upgrade cannot be tried"
    older=$(compgen -G "$folder/$commit/package/*_amd64.deb") || {
        echo "Making the package of ${commit:0:12}, to upgrade from"
        rm -rf "$folder"
        mkdir -p "$folder/$commit"
        # What both have in common is built already.
        ln -s "$build" "$folder/$commit/package-build"
        git clone --quiet --no-checkout . "$folder/tree"
        git -C "$folder/tree" checkout --quiet --detach "$commit"
        (cd "$folder/tree" && CARGO_TARGET_DIR=$folder/$commit ./dev package x86_64-glibc) >"$folder/log" ||
            { cat "$folder/log" >&2 && fail "the commit before this one makes no package"; }
        rm -rf "$folder/tree"
        older=$(compgen -G "$folder/$commit/package/*_amd64.deb")
    }
}

# run_in_root SUITE SCRIPT [ARGUMENT...]: as root, with a network of its own that has nothing but the loopback.
run_in_root() {
    local root=$work/$1
    as_root cp packaging/try/{unit.sh,"$2"} "$root/"
    shift
    as_root unshare --mount --pid --net --fork bash -c '
        root=$1
        shift
        PATH=$PATH:/usr/sbin:/sbin
        ip link set lo up
        mount -t proc proc "$root/proc"
        mount --bind /dev "$root/dev"
        exec chroot "$root" /bin/bash -c "cd /root && exec \"/\$0\" \"\$@\"" "$@"' - "$root" "$@" || fail "Debian ${root##*/}: see above"
}

# The README's commands, in a root in which nothing was done yet.
try_readme() {
    local suite=$1
    as_root cp -a "$cache/roots/$suite" "$work/$suite-readme"
    as_root mkdir -p "$work/$suite-readme/root/target/package"
    as_root cp "$2" "$work/$suite-readme/root/target/package/"
    as_root cp README.md "$work/$suite-readme/root/"
    run_in_root "$suite-readme" readme-in-root
    echo "Debian $suite: the README's commands, word for word: a device is logged in"
}

try_debian() {
    local work older suite deb
    deb=$(package '*_amd64.deb')
    make_older
    scratch
    for suite in bookworm trixie; do
        root_of "$suite"
        try_readme "$suite" "$deb"
        as_root cp -a "$cache/roots/$suite" "$work/$suite"
        as_root cp "$deb" "$work/$suite/new.deb"
        as_root cp "$older" "$work/$suite/old.deb"
        run_in_root "$suite" in-root "$version_in_library"
        echo "Debian $suite: installed, configured, logged in, reloaded, upgraded, purged"
    done
}
