# Sourced by packaging/test: another user makes the same packages in another folder.
# shellcheck shell=bash
# shellcheck disable=SC2154

try_twice() {
    local work user=65534 folder
    [[ $version != *.modified ]] || fail "there are changes that are not committed, so a clone makes other packages"
    scratch
    git clone --quiet . "$work/somewhere else"
    # The compiler and the tools, by hard links where that is possible; caches of what they compile stay behind.
    mkdir -p "$work/cache/mosquitto-iotda-auth/tools" "$work/home"
    for folder in rust "tools/$(basename "$tools")"; do
        cp -al "$cache/$folder" "$work/cache/mosquitto-iotda-auth/$folder" 2>/dev/null ||
            cp -a "$cache/$folder" "$work/cache/mosquitto-iotda-auth/$folder"
    done
    as_root chmod 755 "$work"
    as_root chown -R "$user:$user" "$work/home" "$work/somewhere else"
    as_root chown "$user:$user" "$work"/cache/mosquitto-iotda-auth{,/*}
    as_root setpriv --reuid="$user" --regid="$user" --clear-groups env -i PATH=/usr/bin:/bin HOME="$work/home" \
        XDG_CACHE_HOME="$work/cache" TZ=Asia/Shanghai LANG=C CARGO_PROFILE_RELEASE_OPT_LEVEL=1 \
        bash -c 'umask 077 && cd "$1" && ./dev package' - "$work/somewhere else"
    diff "$packages/SHA256SUMS" "$work/somewhere else/target/package/SHA256SUMS" || fail "the second build made other bytes"
    (cd "$work/somewhere else/target/package" && sha256sum --check --quiet SHA256SUMS)
}
