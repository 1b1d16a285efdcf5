# Sourced by the scripts of ./dev's verbs, in the project's folder. It installs with apt what they need, or builds it once
# below ~/.cache.
# shellcheck shell=bash

fail() {
    echo "dev: $*" >&2
    exit 1
}

# For a verb that takes no arguments.
refuse_arguments() {
    [[ $# == 0 ]] || { ./dev "$(basename "$0")" --help >&2 || true; exit 2; }
}

readonly build_packages=(gcc libc6-dev ca-certificates)
# bindgen loads libclang.
# shellcheck disable=SC2034
readonly bindings_packages=("${build_packages[@]}" libclang1)
# Not mosquitto, and not mosquitto-dev, which depends on it: installing Mosquitto starts a broker as a service.
# fetch-brokers unpacks the brokers, and their headers with them.
# Not fail2ban either, which would watch this machine's own ssh: fetch-fail2ban unpacks it.
# shellcheck disable=SC2034
readonly test_packages=("${build_packages[@]}" bash-completion binutils fish openssl procps python3 valgrind zsh)

# Whether the thing that a package is needed for is there, from any source.
is_here() {
    case $1 in
    gcc) command -v cc ;;
    libc6-dev) [[ -e /usr/include/stdio.h ]] ;;
    libclang1) has_libclang ;;
    ca-certificates) [[ -e /etc/ssl/certs/ca-certificates.crt ]] ;;
    bash-completion) [[ -e /usr/share/bash-completion/bash_completion ]] ;;
    binutils) command -v nm ;;
    python3-pip) python3 -m pip --version 2>/dev/null ;;
    procps) type -P kill ;; # the shell's own kill is of no use to a test
    iproute2) PATH=$PATH:/usr/sbin:/sbin command -v ip ;;
    debootstrap) PATH=$PATH:/usr/sbin:/sbin command -v debootstrap ;;
    qemu-user) command -v qemu-aarch64 ;;
    qemu-user-static) command -v qemu-aarch64-static ;;
    python3) [[ -x /usr/bin/python3 ]] ;; # Debian's own, which its fail2ban is for
    chromium-driver) command -v chromedriver ;;
    python3-selenium) /usr/bin/python3 -c "import selenium" 2>&1 ;;
    fonts-noto-cjk) compgen -G "/usr/share/fonts/opentype/noto/NotoSansCJK*" ;;
    *) command -v "$1" ;;
    esac >/dev/null
}

# bindgen searches these places. libclang-cpp, which comes with LLVM's own packages, is a different
# library.
has_libclang() {
    local folder
    for folder in "${LIBCLANG_PATH:-/usr/lib/llvm-*/lib}" "/usr/lib/*-linux-gnu*" "/usr/lib*"; do
        compgen -G "$folder/libclang.so*" || compgen -G "$folder/libclang-[0-9]*.so*" || continue
        return
    done
    return 1
}

as_root() {
    if [[ $(id -u) == 0 ]]; then
        "$@"
    elif command -v sudo >/dev/null; then
        sudo "$@"
    else
        fail "this user may not install packages, and there is no sudo. As root: apt-get install ${missing[*]}"
    fi
}

need() {
    local package missing=()
    for package; do
        is_here "$package" || missing+=("$package")
    done
    [[ ${#missing[@]} -gt 0 ]] || return 0
    command -v apt-get >/dev/null || fail "needs what Debian has in these packages: ${missing[*]}"

    echo "Installing with apt: ${missing[*]}"
    # One verb at a time: a second `apt-get update` fails at once while another runs.
    mkdir -p "$cache"
    (
        flock 9
        # An update that fails in part may still be enough; the installation shows it.
        as_root env DEBIAN_FRONTEND=noninteractive apt-get -qq -oAcquire::Retries=3 update || true
        as_root env DEBIAN_FRONTEND=noninteractive apt-get -qq -oAcquire::Retries=3 -y --no-install-recommends \
            install "${missing[@]}"
    ) 9>"$cache/.apt"
    for package in "${missing[@]}"; do
        is_here "$package" || fail "$package is installed, but what it is needed for was not found"
    done
}

need_cargo() {
    # A login shell has this from rustup; a script that is started in another way may not.
    command -v cargo >/dev/null || PATH=$PATH:${CARGO_HOME:-$HOME/.cargo}/bin
    command -v cargo >/dev/null || fail "needs a Rust toolchain (1.85 or later), and found no cargo"
}

# Where cargo builds, which the environment and cargo's own configuration may change.
target_directory() {
    cargo metadata --quiet --no-deps --format-version 1 | sed 's/.*"target_directory":"\([^"]*\)".*/\1/'
}

# What is downloaded or built once stays here, outside of the tree.
readonly cache=${XDG_CACHE_HOME:-${HOME:-/root}/.cache}/mosquitto-iotda-auth
export IOTDA_BROKERS=${IOTDA_BROKERS:-$cache/brokers} IOTDA_RUST=${IOTDA_RUST:-$cache/rust}

# tool NAME VERSION [OPTION...]: puts one of cargo's tools into the path; it is built once. It has so little to do that
# optimising it would take longer than running it.
tool() {
    local name=$1 version=$2
    shift 2
    local root=$cache/tools/$name-$version
    PATH=$root/bin:$PATH
    # cargo writes this file last.
    [[ ! -e $root/.crates.toml ]] || return 0
    echo "Building $name $version into $root (once; a minute or so)"
    CARGO_PROFILE_DEV_DEBUG=0 cargo install --quiet --locked --debug --root "$root" "$name@$version" "$@"
}

# The brokers of the tests, oldest first. The newest has the tests' name for it: Debian may have a later version.
mapfile -t brokers < <(grep -o '^[0-9][^ ]*' tests/support/brokers)
# shellcheck disable=SC2034
readonly brokers oldest=${brokers[0]} newest=${brokers[-1]}

# Unpacks a broker; fails if it is not available.
fetch_broker() {
    local status=0
    tests/support/fetch-brokers "$1" || status=$?
    # It was interrupted, so end this script too.
    [[ $status -lt 128 ]] || exit "$status"
    return "$status"
}

# Where this machine gets Debian from, for debootstrap.
debian_mirror() {
    # Not in this shell, whose own names it would take.
    bash -c 'set -eu; cache=/nonexistent; . tests/support/apt-world.sh; mirror'
}

# debian_root FOLDER SUITE [OPTION...]: a clean root of Debian, which debootstrap makes with these options.
debian_root() {
    local folder=$1 suite=$2 log=$1.log
    shift 2
    need debootstrap
    as_root env PATH="$PATH:/usr/sbin:/sbin" debootstrap --variant=minbase "$@" "$suite" "$folder" "$(debian_mirror)" >"$log" 2>&1 ||
        { tail -n 5 "$log" >&2 && as_root rm -rf --one-file-system "$folder" "$log" && fail "debootstrap makes no root of Debian $suite"; }
    rm "$log"
}

# debian_image NAME SUITE [OPTION...]: prints the file to import as an image; its root is made once, without what apt left there.
debian_image() {
    local tarball=$cache/images/$1.tar folder
    if [[ ! -r $tarball ]]; then
        echo "Making an image of Debian $2: $tarball" >&2
        mkdir -p "$cache/images"
        # Not the folder that mktemp makes, which only its owner may enter: it becomes the image's /.
        folder=$(mktemp -d)
        debian_root "$folder/root" "${@:2}" >&2
        # The network of this machine may have an authority of its own.
        as_root mkdir -p "$folder/root/usr/local/share/ca-certificates"
        as_root find /usr/local/share/ca-certificates -name '*.crt' -exec cp {} "$folder/root/usr/local/share/ca-certificates/" \;
        as_root tar -C "$folder/root" --exclude='./var/cache/apt/archives/*.deb' --exclude='./var/lib/apt/lists/*' \
            --exclude='./proc/*' --exclude='./dev/*' --exclude='./sys/*' -c . >"$tarball.new"
        as_root rm -rf --one-file-system "$folder"
        mv "$tarball.new" "$tarball"
    fi
    echo "$tarball"
}
