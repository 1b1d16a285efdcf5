# Sourced by the scripts that make or try packages, in the project's folder.
# shellcheck shell=bash
# shellcheck disable=SC2034 # used by those who source this

# Sets what names the commit: $release (the version of Cargo.toml), $number, $version, $version_in_library, $epoch, $timestamp.
name_commit() {
    local commit state="" order="~"
    release=$(sed -n '/^\[workspace.package\]/,/^$/s/^version = "\(.*\)".*/\1/p' Cargo.toml)
    version=$release
    if commit=$(git rev-parse HEAD 2>/dev/null) && [[ $(git rev-parse --show-toplevel) == "$PWD" ]]; then
        epoch=$(git log -1 --format=%ct)
        commit=${commit:0:12}
        [[ -z $(git status --porcelain) ]] || state=modified
        ! git merge-base --is-ancestor "v$release" HEAD 2>/dev/null || order=+
        [[ -n $state ]] || ! git tag --points-at HEAD | grep -qxF "v$release" || order=""
    else
        commit=${IOTDA_COMMIT:-} epoch=${SOURCE_DATE_EPOCH:-}
        [[ $commit =~ ^[0-9a-f]{12,40}$ && $epoch =~ ^[0-9]+$ ]] ||
            fail "no git repository that this user may read is here. IOTDA_COMMIT (at least 12 hex digits) and SOURCE_DATE_EPOCH" \
                "(seconds) must name the commit and its time"
        commit=${commit:0:12}
        [[ ${IOTDA_RELEASE:-} != yes ]] || order=""
    fi
    # Earlier than the version, as every system takes a ~, or later, if that version is behind us.
    [[ -z $order ]] || version="$release${order}git$(date --date="@$epoch" +%Y%m%d%H%M%S).$commit${state:+.$state}"
    version_in_library="$release ($commit${state:+, $state})"
    timestamp=$(date --date="@$epoch" +%Y-%m-%dT%H:%M:%SZ)
    number=$version
}

# The version as Alpine has it, without a tilde and a hash: 0.1.0_git20261126201012 would be later than 0.1.0 there, so it is called a
# pre-release; a patch is later.
apk_version() {
    sed -E 's/~git([0-9]+).*/_pre\1/; s/\+git([0-9]+).*/_p\1/' <<<"$version"
}

# The lines of packaging/targets; with IOTDA_TARGETS, only of those that it names.
targets() {
    local line
    while read -r line; do
        [[ -n ${IOTDA_TARGETS:-} && " $IOTDA_TARGETS " != *" ${line%% *} "* ]] || echo "$line"
    done < <(grep '^[^#]' packaging/targets)
}
