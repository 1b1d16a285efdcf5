# Sourced by packaging/package: builds the library and the tool for one target, with the pinned tools.
# shellcheck shell=bash
# Set by the script that sources this: $tools, $rust, $build, $work, $epoch, $version_in_library.
# shellcheck disable=SC2154

# How cargo is called, by a name of its own so that `cargo` stays the machine's. Nothing of the user's own settings changes the
# result.
pinned_cargo() {
    local name unset=(-u RUSTUP_TOOLCHAIN)
    while IFS= read -r name; do
        unset+=(-u "$name")
    done < <(compgen -e | grep -E -e '^CARGO_(PROFILE|TARGET|UNSTABLE|BUILD)_|^CARGO_(INCREMENTAL|ENCODED_RUSTFLAGS)$' \
        -e '^((TARGET|HOST)_)?(CC|CXX|AR|ARFLAGS|RANLIB|CFLAGS|CXXFLAGS)(_|$)|^CRATE_CC_|^ZIG_|^(CPATH|C_INCLUDE_PATH|LIBRARY_PATH)$' \
        -e '^RUST(FLAGS|C_WRAPPER|C_WORKSPACE_WRAPPER)$' || true)
    # The unwinder that zig compiles would bring zig's own folder into the debug information: it has none. The last option wins.
    # RUSTC_BOOTSTRAP lets a stable compiler build std.
    env "${unset[@]}" \
        PATH="$tools/bin:$PATH" CARGO="$rust/cargo" RUSTC="$rust/rustc" RUSTC_BOOTSTRAP=1 \
        CARGO_TARGET_DIR="$build" CARGO_ZIGBUILD_ZIG_PATH="$tools/ziglang/zig" \
        CARGO_ZIGBUILD_CACHE_DIR="$cache/tools/zigbuild" ZIG_GLOBAL_CACHE_DIR="$cache/tools/zig" \
        CCC_OVERRIDE_OPTIONS='#+-g0' \
        SOURCE_DATE_EPOCH="$epoch" IOTDA_VERSION="$version_in_library" \
        RUSTFLAGS="$rustflags" "$@"
}

# Everything that a build reads from cargo's registry, so that the builds need no network.
fetch_crates() {
    local said rustflags="" manifest
    for manifest in Cargo.toml "$rust"/root/usr/src/rustc-*/library/sysroot/Cargo.toml; do
        said=$(pinned_cargo "$rust/cargo" fetch --quiet --locked --manifest-path "$manifest" 2>&1) || {
            echo "$said" >&2
            [[ $said != *"No space left"* ]] || fail "no space left for the crates, below ${CARGO_HOME:-$HOME/.cargo}"
            fail "cannot fetch the crates of $manifest: is there a network? (docs/packaging.md says how to build without one)"
        }
    done
}

# set_options TRIPLE: sets $options, cargo's, and $rustflags.
set_options() {
    options=(--locked --offline --quiet --target "$1")
    rustflags="-C link-arg=-Wl,--build-id=sha1"
    [[ $1 != *-musl ]] || {
        # Debian has no std for musl. A library cannot be linked with a static libc.
        rustflags+=" -C target-feature=-crt-static"
        options+=(-Z "build-std=std,panic_unwind")
    }
}

# with_symbols PROFILE: cargo's options for a profile whose debug symbols are wanted.
with_symbols() {
    printf '%s\n' --profile "$1" --config "profile.$1.strip=false" --config "profile.$1.debug=\"line-tables-only\""
}

# build TARGET TRIPLE: leaves the library and the tool, and their debug symbols, in $work/TARGET.
build() {
    local triple=$2 out=$work/$1 file options rustflags library tool
    mapfile -t library < <(with_symbols release)
    mapfile -t tool < <(with_symbols tool)
    set_options "$triple"
    mkdir -p "$out"
    # At the same time: each is at its end one long step on one core.
    pinned_cargo cargo-zigbuild zigbuild "${options[@]}" "${library[@]}" --package mosquitto-iotda-auth &
    if [[ $triple == *-musl ]]; then
        # The tool can be linked with a static libc, and then runs everywhere.
        pinned_cargo cargo-zigbuild rustc "${options[@]}" "${tool[@]}" --package iotda-auth --bin iotda-auth -- \
            -C target-feature=+crt-static -C link-self-contained=no
    else
        pinned_cargo cargo-zigbuild zigbuild "${options[@]}" "${tool[@]}" --package iotda-auth
    fi
    wait $!
    cp "$build/${triple%.2.17}/release/libmosquitto_iotda_auth.so" "$out/mosquitto_iotda_auth.so"
    cp "$build/${triple%.2.17}/tool/iotda-auth" "$out/iotda-auth"
    for file in mosquitto_iotda_auth.so iotda-auth; do
        split_symbols "$out" "$file"
    done
}

# build_fault TRIPLE: the library with ClientIds that make it panic, for tests. Prints where it is; the next build replaces it.
build_fault() {
    local options rustflags library
    mapfile -t library < <(with_symbols release)
    set_options "$1"
    pinned_cargo cargo-zigbuild zigbuild "${options[@]}" "${library[@]}" --package mosquitto-iotda-auth --features fault-injection >&2
    echo "$build/${1%.2.17}/release/libmosquitto_iotda_auth.so"
}

# The symbols go where debuggers search for them: below .build-id, by the id that the linker has made of the content.
split_symbols() {
    local out=$1 file=$2 id
    (cd "$out" && "$rust/eu-strip" -f "$file.debug" -o "$file.stripped" "$file")
    mv "$out/$file.stripped" "$out/$file"
    id=$(build_id "$out/$file")
    mkdir -p "$out/debug/usr/lib/debug/.build-id/${id:0:2}"
    chmod 644 "$out/$file.debug"
    mv "$out/$file.debug" "$out/debug/usr/lib/debug/.build-id/${id:0:2}/${id:2}.debug"
}

# The id, in hex digits.
build_id() {
    LC_ALL=C readelf --wide --notes "$1" | sed -n 's/.*Build ID: //p' | grep . || fail "$1 has no build id"
}

# The parameter page, by the same Rust.
make_page() {
    local rustflags=""
    PATH=$PATH:$rust pinned_cargo ./dev page >/dev/null
    cp "$build/page/iotda-auth.html" "$work/"
}

# The man pages and completions, by a tool that runs here: one of those that were built, or else one for this.
make_manual() {
    local rustflags="" tool
    [[ ! -d $work/manual ]] || return 0
    tool=$(compgen -G "$work/x86_64-*/iotda-auth" | head -n 1) || {
        pinned_cargo "$rust/cargo" build --quiet --locked --offline --package iotda-auth --config profile.dev.debug=0
        tool=$build/debug/iotda-auth
    }
    write_manual "$tool"
}
