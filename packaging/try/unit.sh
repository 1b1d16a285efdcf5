# Sourced by the scripts that run in a clean root: the broker, started as its unit does. Needs fail() and $log.
# shellcheck shell=bash
# shellcheck disable=SC2154

unit() {
    sed -n "s/^$1=//p" /lib/systemd/system/mosquitto.service
}

start_broker() {
    local command words
    while read -r command; do
        $command
    done < <(unit ExecStartPre)
    read -ra words < <(unit ExecStart)
    [[ -z $(unit User) ]] || words=(setpriv "--reuid=$(unit User)" "--regid=$(unit User)" --init-groups "${words[@]}")
    "${words[@]}" </dev/null >/broker-said 2>&1 &
    broker=$!
    wait_for " mosquitto version .* running" || { cat /broker-said && fail "the broker did not start"; }
    [[ $(stat -c %U "/proc/$broker") == mosquitto ]] || fail "the broker runs as $(stat -c %U "/proc/$broker")"
}

stop_broker() {
    kill "$broker"
    wait "$broker" || fail "the broker ended with $?"
    mv "$log" "$log.$SECONDS"
}

# wait_for EXPRESSION: in the log.
wait_for() {
    for _ in {1..100}; do
        ! grep -q "$1" "$log" 2>/dev/null || return 0
        kill -0 "$broker" 2>/dev/null || return 1
        sleep 0.1
    done
    return 1
}
