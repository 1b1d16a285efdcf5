# Sourced by packaging/test: the recipes for other systems, as far as they can be tried on this one.
# shellcheck shell=bash
# shellcheck disable=SC2154

# run_recipe FILE RUSTFLAGS: each function in a shell of its own that ends at the first mistake, as makepkg and abuild have it. Alpine's
# functions begin in the archive's own folder.
run_recipe() {
    local file=$1 flags=$2 function begin=$work/src
    [[ $file != */APKBUILD ]] || begin=$source
    for function in prepare build package; do
        # shellcheck disable=SC2016 # that shell's
        env -u IOTDA_VERSION RUSTFLAGS="$flags" CARGO_TARGET_DIR="$output/recipes" pkgdir="$work/$(basename "$file")" bash -euc '
            default_prepare() { :; }
            cd "$1"
            . "$2"
            "$3"' - "$begin" "$PWD/$file" "$function" >"$work/said" 2>&1 ||
            { tail -n 20 "$work/said" >&2 && fail "$file: $function does not work"; }
    done
}

# The files, without those that only our own packages have, or only a recipe.
files_of() {
    (cd "$1" && find . -type f | grep -vE 'THIRD-PARTY-NOTICES|iotda-auth\.html|share/licenses/' | LC_ALL=C sort)
}

try_recipes() {
    local work file source
    scratch
    source=$work/src/mosquitto-iotda-auth-$release
    mkdir -p "$source" "$work/tar"
    git archive HEAD | tar -x -C "$source"
    tar -xf "$packages/mosquitto-iotda-auth-$version-x86_64-glibc.tar.gz" -C "$work/tar"
    # With the same flags, so that all is built once; here they change nothing.
    run_recipe packaging/recipes/APKBUILD ""
    run_recipe packaging/recipes/PKGBUILD " -C target-feature=-crt-static"
    for file in APKBUILD PKGBUILD; do
        diff <(files_of "$work/tar/mosquitto-iotda-auth-$version-x86_64-glibc") <(files_of "$work/$file/usr") ||
            fail "packaging/recipes/$file installs other files than our own packages have"
    done
    [[ $("$work/PKGBUILD/usr/bin/iotda-auth" --version) == "iotda-auth $release-1" ]] || fail "the tool of a recipe does not run"
    version_in_library=$release-1 on_brokers "$work/PKGBUILD/usr/lib/mosquitto_iotda_auth.so" "" "$IOTDA_BROKERS" "" login::on_2_0_21
}
