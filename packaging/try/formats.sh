# Sourced by packaging/test: what is in the packages that cannot be installed here, and whether their sums are right.
# shellcheck shell=bash
# shellcheck disable=SC2154

# expect WHAT EXPECTED FOUND
expect() {
    [[ $2 == "$3" ]] || fail "$1: expected
$2
found
$3"
}

# What a library or program of a target may need of the system.
check_needs() {
    local target=$1 folder=$2 file needed highest
    for file in "$folder"/lib/mosquitto_iotda_auth.so "$folder/bin/iotda-auth"; do
        needed=$(readelf --wide --dynamic "$file" | sed -n 's/.*(NEEDED).*\[\(.*\)\]/\1/p' | sort | paste -sd' ')
        case $target-${file##*/} in
        *-musl-*.so) expect "$target: ${file##*/} needs" libc.so "$needed" ;;
        *-musl-iotda-auth) expect "$target: ${file##*/} needs" "" "$needed" ;;
        *)
            [[ -z $(tr ' ' '\n' <<<"$needed" | grep -vE '^(lib(c|dl|m|pthread)\.so\.[0-9]|ld-linux.*)$') ]] || fail "$target: ${file##*/} needs $needed"
            highest=$(readelf --wide --version-info "$file" | grep -o 'GLIBC_[0-9.]*' | sort --version-sort | tail -n 1)
            printf '%s\n%s\n' "$highest" GLIBC_2.17 | sort --version-sort --check=quiet || fail "$target: ${file##*/} needs $highest"
            ;;
        esac
    done
    expect "$target: exports" "mosquitto_plugin_cleanup mosquitto_plugin_init mosquitto_plugin_version" \
        "$(readelf --wide --dyn-syms "$folder/lib/mosquitto_iotda_auth.so" |
            awk '$5 == "GLOBAL" && $7 != "UND" { print $8 }' | sort | paste -sd' ')"
    # Not grep -q, which ends early: then strings fails.
    strings --all "$folder/lib/mosquitto_iotda_auth.so" | grep -F "$version_in_library" >/dev/null || fail "$target: no $version_in_library in it"
    [[ $(strings --all "$folder"/lib/*.so "$folder/bin/iotda-auth" | grep -cF -e "$HOME/" -e "$PWD" -e "$output") == 0 ]] ||
        fail "$target: a folder of this machine is in it"
}

try_formats() {
    local work file target folder id
    scratch
    (cd "$packages" && sha256sum --check --quiet SHA256SUMS)
    for file in "$packages"/*.tar.gz; do
        mkdir -p "$work/tar"
        tar -xf "$file" -C "$work/tar"
    done
    while read -r target _; do
        folder=$work/tar/mosquitto-iotda-auth-$version-$target
        check_needs "$target" "$folder"
        # A debugger finds the symbols by this id.
        id=$(build_id "$folder/lib/mosquitto_iotda_auth.so")
        file=$folder-debug/usr/lib/debug/.build-id/${id:0:2}/${id:2}.debug
        readelf --wide --sections "$file" | grep debug_line >/dev/null || fail "$target: no debug symbols"
        echo "$target: needs no more than it may"
    done < <(targets)
    try_rpm
    try_apk
    PYTHONPATH=$(packaging/fetch-validators) python3 packaging/try/sbom.py "$(package '*.cdx.json')"
}

try_rpm() {
    local rpm=$work/rpm file scripts
    for file in "$packages"/*.rpm; do
        expect "rpm -K" "$file: digests OK" "$(rpm -K "$file")"
        # One script, which only prints.
        scripts=$(rpm -qp --scripts --triggers "$file")
        expect "its scripts" "postinstall scriptlet (using /bin/sh):
$(cat packaging/hints/rpm)" "$scripts"
        expect "its requirements" "libc.so.6(GLIBC_2.17)(64bit)" "$(rpm -qp --requires "$file" | grep -v '^rpmlib(')"
        expect "its recommendations" "mosquitto >= 2.0.11" "$(rpm -qp --recommends "$file")"
        rpm -qlp "$file" | grep -x /usr/share/doc/mosquitto-iotda-auth/examples >/dev/null || fail "$file: leaves folders behind"
        [[ -z $(rpm -qlp "$file" | grep -v '^/usr/' || true) ]] || fail "$file: has files outside of /usr"
    done
    mkdir "$rpm"
    rpm2cpio "$(package '*.x86_64.rpm')" | (cd "$rpm" && cpio --extract --make-directories --quiet)
    echo "x86_64.rpm: its library in a broker"
    fetch_broker 2.0.21
    on_brokers "$rpm/usr/lib64/mosquitto_iotda_auth.so" "" "$IOTDA_BROKERS" "" login::on_2_0_21
}

try_apk() {
    local key=$work/maintainer.rsa folder=$work/signed file
    openssl genrsa -traditional -out "$key" 2048 2>/dev/null || openssl genrsa -out "$key" 2048 2>/dev/null
    openssl rsa -in "$key" -pubout -out "$key.pub" 2>/dev/null
    for file in "$packages"/*.apk; do
        python3 packaging/try/apk.py "$file"
    done
    # The same once more, with a signature. Everything is built already.
    mkdir "$folder"
    ln -s "$build" "$folder/package-build"
    IOTDA_APK_KEY=$key CARGO_TARGET_DIR=$folder ./dev package x86_64-musl >/dev/null
    python3 packaging/try/apk.py "$folder"/package/*.x86_64.apk "$key.pub"
}
