# Sourced by packaging/package: makes the packages of one target out of what was built.
# shellcheck shell=bash
# Set by the script that sources this: $tools, $work, $made, $epoch, $version, $number, $timestamp.
# shellcheck disable=SC2154

# tar_up NAME: a .tar.gz with one folder in it, the same for the same content.
tar_up() {
    set_times "$work/$1"
    tar --create --directory "$work" --sort=name --owner=0 --group=0 --numeric-owner --format=gnu "$1" |
        gzip --best --no-name >"$made/$1.tar.gz"
    rm -rf "${work:?}/$1"
}

# A .tar.gz has what the packages have, with the paths of /usr. The plugin is in lib: where it belongs differs.
make_tar() {
    local target=$1 name="mosquitto-iotda-auth-$version-$1"
    lay_out "$target" "$work/tar" /usr/lib site-functions
    mv "$work/tar/usr" "$work/$name"
    rmdir "$work/tar"
    tar_up "$name"
    cp -r "$work/$target/debug" "$work/$name-debug"
    tar_up "$name-debug"
}

# describe KIND MACHINE DEPENDENCIES... : nfpm's description of a package whose files are in $work/stage.
describe() {
    local kind=$1 machine=$2 file
    shift 2
    cat <<END
name: mosquitto-iotda-auth
arch: $machine
platform: linux
version: $number
version_schema: none
release: "1"
section: net
priority: optional
maintainer: The mosquitto-iotda-auth maintainers <maintainers@mosquitto-iotda-auth.invalid>
description: Lets devices built for Huawei Cloud IoTDA log in to Mosquitto, by a plugin and a tool
license: Apache-2.0
scripts:
  postinstall: $work/hint
depends: [$(printf '"%s",' "$@")]
END
    case $kind in
    # What is really needed is a libc: devices can be added on a machine without a broker.
    deb) echo 'recommends: ["mosquitto (>= 2.0.11)"]' ;;
    rpm) printf 'recommends: ["mosquitto >= 2.0.11"]\nrpm:\n  buildhost: localhost\n  group: Applications/Internet\n' ;;
    apk)
        # The other script is for the first installation alone.
        printf 'apk:\n  scripts:\n    postupgrade: %s/hint-upgrade\n' "$work"
        [[ -z ${IOTDA_APK_KEY:-} ]] ||
            printf '  signature:\n    key_file: "%s"\n    key_name: "%s"\n' "$IOTDA_APK_KEY" "$(basename "$IOTDA_APK_KEY" .rsa).rsa.pub"
        ;;
    esac
    echo "mtime: $timestamp"
    echo "contents:"
    # rpm removes only folders that a package names, and these are ours alone.
    [[ $kind != rpm ]] || while IFS= read -r file; do
        printf -- '- {dst: "/%s", type: dir, file_info: {mode: 0755, mtime: %s}}\n' "$file" "$timestamp"
    done < <(cd "$work/stage" && find usr/share/doc/mosquitto-iotda-auth -type d | LC_ALL=C sort)
    while IFS= read -r file; do
        printf -- '- {src: "%s/stage/%s", dst: "/%s", file_info: {mode: 0%s, mtime: %s}}\n' \
            "$work" "$file" "$file" "$(stat -c %a "$work/stage/$file")" "$timestamp"
    done < <(cd "$work/stage" && find . -type f -printf '%P\n' | LC_ALL=C sort)
}

# make_package KIND TARGET MACHINE PLUGINS FILE DEPENDENCIES...
make_package() {
    local kind=$1 target=$2 machine=$3 plugins=$4 file=$5 said zsh=site-functions
    shift 5
    [[ $kind != deb ]] || zsh=vendor-completions
    lay_out "$target" "$work/stage" "$plugins" "$zsh"
    if [[ $kind == deb ]]; then
        put 644 packaging/copyright "$work/stage/usr/share/doc/mosquitto-iotda-auth/copyright"
    fi
    compress_manual "$work/stage"
    # nfpm puts the time of the script's file into an .apk.
    cp "packaging/hints/$kind" "$work/hint"
    cp packaging/hints/apk-upgrade "$work/hint-upgrade"
    touch --date="@$epoch" "$work"/hint{,-upgrade}
    describe "$kind" "$machine" "$@" >"$work/nfpm.yaml"
    said=$(SOURCE_DATE_EPOCH=$epoch "$tools/bin/nfpm" package --config "$work/nfpm.yaml" --packager "$kind" \
        --target "$made/$file" 2>&1) || { echo "$said" >&2 && fail "nfpm cannot make $file"; }
    rm -rf "$work/stage"
}
