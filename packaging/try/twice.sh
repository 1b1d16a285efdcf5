# Sourced by packaging/test: another user makes the same packages in another folder.
# shellcheck shell=bash
# shellcheck disable=SC2154

# All that the other user has is below one folder of the cache, which they see as /srv. What they compiled of the crates of others
# stays there for the next time; nothing of it ever comes from the first build.
try_twice() {
    local world=$cache/package-build/second user=65534 work folder
    [[ $version != *.modified ]] || fail "there are changes that are not committed, so a clone makes other packages"
    as_root rm -rf "$world/somewhere else" "$world/cache/mosquitto-iotda-auth/rust"
    as_root mkdir -p "$world"/{home,build,cache/mosquitto-iotda-auth/tools}
    scratch
    git clone --quiet . "$work/clone"
    as_root mv "$work/clone" "$world/somewhere else"
    # The compiler and the tools, by hard links where that is possible.
    for folder in rust "tools/$(basename "$tools")"; do
        [[ -d $world/cache/mosquitto-iotda-auth/$folder ]] ||
            as_root cp -al "$cache/$folder" "$world/cache/mosquitto-iotda-auth/$folder" 2>/dev/null ||
            as_root cp -a "$cache/$folder" "$world/cache/mosquitto-iotda-auth/$folder"
    done
    # The libc that zig compiles is not what is tried here.
    [[ -d $world/cache/mosquitto-iotda-auth/tools/zig ]] || {
        as_root cp -a "$cache/tools/zig" "$world/cache/mosquitto-iotda-auth/tools/zig"
        as_root chown -R "$user:$user" "$world/cache/mosquitto-iotda-auth/tools/zig"
    }
    as_root chown -R "$user:$user" "$world"/{home,build,"somewhere else"}
    as_root chown "$user:$user" "$world" "$world"/cache{,/mosquitto-iotda-auth{,/*}}
    as_root unshare --mount bash -c 'mount --bind "$1" /srv && shift && cd /srv && exec "$@"' - "$world" \
        setpriv --reuid="$user" --regid="$user" --clear-groups env -i PATH=/usr/bin:/bin HOME=/srv/home \
        XDG_CACHE_HOME=/srv/cache IOTDA_PACKAGE_BUILD=/srv/build IOTDA_TARGETS="${IOTDA_TARGETS:-}" \
        TZ=Asia/Shanghai LANG=C CARGO_PROFILE_RELEASE_OPT_LEVEL=1 CARGO_PROFILE_RELEASE_DEBUG=2 RUSTFLAGS=-Cdebuginfo=2 \
        RUSTC_WRAPPER=/bin/false CARGO_INCREMENTAL=1 GZIP=--fast TAR_OPTIONS=--xattrs TARGET_CFLAGS=-O0 CFLAGS=-O0 bash -c 'umask 077 && cd "/srv/somewhere else" && ./dev package'
    as_root diff "$packages/SHA256SUMS" "$world/somewhere else/target/package/SHA256SUMS" || fail "the second build made other bytes"
    as_root bash -c 'cd "$1" && sha256sum --check --quiet SHA256SUMS' - "$world/somewhere else/target/package"
    as_root rm -rf "$world/somewhere else"
}
