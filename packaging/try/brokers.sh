# Sourced by packaging/test: the tests with real brokers, on other brokers and with the libraries of packages.
# shellcheck shell=bash
# shellcheck disable=SC2154

# on_brokers LIBRARY FAULT BROKERS SKIPPED TEST... : runs the tests that have one of these texts in their name. SKIPPED is a file with
# the texts of those that make no sense there. FAULT is the same library, but with ClientIds that make it panic.
on_brokers() {
    local library=$1 fault=$2 folder=$3 skipped=$4 options=() text
    shift 4
    [[ -z $skipped ]] || while read -r text _; do
        [[ -z $text || $text == \#* ]] || options+=(--skip "$text")
    done <"$skipped"
    [[ -z $fault ]] || local -x IOTDA_FAULT_LIBRARY=$fault
    IOTDA_LIBRARY=$library IOTDA_LIBRARY_VERSION=$version_in_library IOTDA_BROKERS=$folder \
        RUST_TEST_THREADS=${RUST_TEST_THREADS:-$((2 * $(nproc)))} \
        cargo test --quiet --test broker -- "$@" "${options[@]}"
}

# fault_library TARGET: sets $fault.
fault_library() {
    local triple
    read -r _ triple _ < <(grep "^$1 " packaging/targets)
    fault=$work/$1-fault.so
    cp "$(build_fault "$triple")" "$fault"
}

# unpack TARGET: sets $library.
unpack_library() {
    tar -xf "$packages/mosquitto-iotda-auth-$version-$1.tar.gz" -C "$work"
    library=$work/mosquitto-iotda-auth-$version-$1/lib/mosquitto_iotda_auth.so
}

try_musl() {
    local work fault library
    scratch
    tests/support/fetch-musl-brokers
    # The .apk, unpacked beside musl.
    mkdir "$work/alpine"
    tar --extract --gzip --ignore-zeros --warning=no-unknown-keyword --file "$(package '*.x86_64.apk')" -C "$work/alpine" usr
    library=$work/alpine/usr/lib/mosquitto_iotda_auth.so
    [[ $("$work/alpine/usr/bin/iotda-auth" --version) == "iotda-auth $version_in_library" ]]
    fault_library x86_64-musl
    on_brokers "$library" "$fault" "$cache/musl-brokers" packaging/try/not-on-musl on_2_0_21 on_2_1_2
}

# try_other RELEASE TARGET SKIPPED TEST... : the library of a target in a broker of packaging/try/fetch-others.
try_other() {
    local work fault library release=$1 target=$2 skipped=$3
    shift 3
    scratch
    packaging/try/fetch-others "$release"
    unpack_library "$target"
    fault_library "$target"
    on_brokers "$library" "$fault" "$cache/other-brokers/$release" "$skipped" "$@"
}

try_glibc() {
    try_other bullseye x86_64-glibc packaging/try/not-on-others \
        {login,fault,reload,certificates,connack,one_connection,matrix}::on_2_0_11
}

# Debian's Mosquitto, and one for musl.
try_arm64() {
    local work library
    # Each has a folder of its own.
    (try_other arm64 arm64-glibc packaging/try/not-on-arm64 {login,fault,reload,certificates,one_connection,machine}::on_2_0_21)
    scratch
    tests/support/fetch-musl-brokers arm64
    unpack_library arm64-musl
    cat packaging/try/not-on-{musl,arm64} >"$work/skipped"
    on_brokers "$library" "" "$cache/musl-brokers/arm64" "$work/skipped" {login,reload,certificates,one_connection,machine}::on_2_1_2
}
