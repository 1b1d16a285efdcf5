# Sourced by packaging/test: where the packages of this commit are, and other folders.
# shellcheck shell=bash
# Set by the scripts that are sourced before: $version, $epoch, $version_in_library, $cache.
# shellcheck disable=SC2154,SC2034

have_packages() {
    local target
    while read -r target _; do
        [[ -r $packages/mosquitto-iotda-auth-$version-$target.tar.gz ]] || return
    done < <(targets)
}

# Sets $output, cargo's folder, and $packages; makes the packages if they are not there.
find_packages() {
    output=${CARGO_TARGET_DIR:-target}
    mkdir -p "$output"
    output=$(cd "$output" && pwd)
    packages=$output/package build=${IOTDA_PACKAGE_BUILD:-$output/package-build}
    rust=$IOTDA_RUST/trixie
    tools=$(packaging/fetch-tools --where)
    # A tree with changes has the same name before and after the next change.
    [[ $version != *.modified ]] && have_packages || ./dev package
}

# package PATTERN: the one file of that name among the packages.
package() {
    local found
    found=$(compgen -G "$packages/$1") || fail "$packages has no $1"
    [[ $(wc -l <<<"$found") == 1 ]] || fail "$packages has several $1"
    echo "$found"
}

# A folder that goes when the part ends.
scratch() {
    local folder
    folder=$(mktemp -d)
    # shellcheck disable=SC2064 # this folder
    trap "as_root rm -rf --one-file-system '$folder'" EXIT
    work=$folder
}
