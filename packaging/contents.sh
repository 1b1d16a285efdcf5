# Sourced by packaging/package and packaging/install: lays out what is in a package, one file after another, below a folder.
# shellcheck shell=bash
# Set by the script that sources this: $work, $epoch, $version.
# shellcheck disable=SC2154

readonly product=mosquitto-iotda-auth

# put MODE SOURCE DESTINATION: a file, with all folders above it, whatever the umask.
put() {
    mkdir -p "$(dirname "$3")"
    install -m "$1" "$2" "$3"
}

# write_manual TOOL: the man pages and completions, in $work/manual.
write_manual() {
    local out=$work/manual tool=$1 verb
    mkdir -p "$out/man1" "$out/man5" "$out/completions"
    "$tool" man >"$out/man1/iotda-auth.1"
    while read -r verb; do
        "$tool" man "$verb" >"$out/man1/iotda-auth-$verb.1"
    done < <("$tool" --help | sed -n '/^Commands:/,/^$/s/^  \([a-z][a-z-]*\).*/\1/p' | grep -v '^help$')
    [[ -s $out/man1/iotda-auth-add.1 ]] || fail "iotda-auth --help lists no commands that this script understands"
    "$tool" man iotda.secrets >"$out/man5/iotda.secrets.5"
    "$tool" completions bash >"$out/completions/iotda-auth"
    "$tool" completions zsh >"$out/completions/_iotda-auth"
    "$tool" completions fish >"$out/completions/iotda-auth.fish"
}

# The example as a file for conf.d: the plugin and its options, without any listener.
as_conf_d() {
    cat <<'END'
# For a folder of include_dir, like /etc/mosquitto/conf.d: the plugin for the listeners that mosquitto.conf has. There has to be
# at least one ("listener 1883"), and per_listener_settings must be false, as it is by default.

END
    # The first line introduces the smallest configuration; the parts behind the options are listeners.
    sed -e '1,/^$/d' -e '/^# --- /,$d' -e '/^listener /d' "$1"
}

# lay_out TARGET FOLDER PLUGINS ZSH: all files of a package. PLUGINS is where that system's broker has its plugins, ZSH what zsh
# calls its folder there.
lay_out() {
    local built=$work/$1 to=$2 plugins=$3 zsh=$4 file docs examples
    docs=$to/usr/share/doc/$product examples=$to/usr/share/doc/$product/examples
    put 644 "$built/mosquitto_iotda_auth.so" "$to$plugins/mosquitto_iotda_auth.so"
    put 755 "$built/iotda-auth" "$to/usr/bin/iotda-auth"

    for file in "$work"/manual/man[15]/*; do
        put 644 "$file" "$to/usr/share/man/$(basename "$(dirname "$file")")/${file##*/}"
    done
    put 644 "$work/manual/completions/iotda-auth" "$to/usr/share/bash-completion/completions/iotda-auth"
    put 644 "$work/manual/completions/_iotda-auth" "$to/usr/share/zsh/$zsh/_iotda-auth"
    put 644 "$work/manual/completions/iotda-auth.fish" "$to/usr/share/fish/vendor_completions.d/iotda-auth.fish"

    for file in README.md CHANGELOG.md SECURITY.md LICENSE "$work"/{THIRD-PARTY-NOTICES,iotda-auth.html}; do
        # packaging/install has not always the last two.
        [[ ! -e $file ]] || put 644 "$file" "$docs/${file##*/}"
    done
    lay_out_tree docs "$docs/docs"
    put 644 mosquitto.acl.example "$examples/mosquitto.acl.example"
    as_conf_d mosquitto.conf.example >"$work/iotda-auth.conf"
    grep -q '^plugin .*mosquitto_iotda_auth.so$' "$work/iotda-auth.conf" && ! grep -q '^#*listener' "$work/iotda-auth.conf" ||
        fail "the conf.d file that packaging/contents.sh makes of mosquitto.conf.example names no plugin, or has a listener"
    put 644 mosquitto.conf.example "$examples/mosquitto.conf.example"
    put 644 "$work/iotda-auth.conf" "$examples/conf.d/iotda-auth.conf"
    lay_out_tree packaging/fail2ban "$examples/fail2ban"
    lay_out_tree packaging/systemd "$examples/systemd"
    lay_out_tree packaging/haproxy "$examples/haproxy"
}

# All files that git knows below a folder; outside of git, all that are there.
lay_out_tree() {
    local file
    while IFS= read -r file; do
        put 644 "$1/$file" "$2/$file"
    done < <(cd "$1" && { git ls-files 2>/dev/null | grep . || find . -type f ! -name '.*' -printf '%P\n'; })
}

# Packages have compressed man pages; a .tar.gz is compressed as a whole.
compress_manual() {
    find "$1/usr/share/man" -type f -exec gzip --best --no-name {} +
}

# set_times FOLDER: the commit's time everywhere, and no bits of the builder's umask.
set_times() {
    find "$1" -type d -exec chmod 755 {} +
    find "$1" -exec touch --no-dereference --date="@$epoch" {} +
}
