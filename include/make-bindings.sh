# Sourced by ./dev bindings and by ./dev lint.
# shellcheck shell=bash

# make_bindings FOLDER: has the build script write the broker's types, and notes which header they were made from.
make_bindings() {
    local folder=$1 sum file
    IOTDA_BINDINGS=$(realpath "$folder") cargo check --quiet --package mosquitto-iotda-auth --features bindings
    sum=$(sha256sum <include/iotda_broker.h)
    for file in "$folder"/{64,32}_bit.rs; do
        sed -i "2a // Made by ./dev bindings. SHA-256 of include/iotda_broker.h: ${sum%% *}\n" "$file"
    done
}
