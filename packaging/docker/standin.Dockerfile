# What the official image of Mosquitto has, as far as the tests need it, for a machine that can pull no image: a broker for musl
# (tests/support/fetch-musl-brokers), busybox, and the clients, which are Debian's with their own libc. The context is the
# broker's folder. Only tests use it.
ARG DEBIAN=debian:stable-slim
FROM ${DEBIAN} AS parts
RUN apt-get -q update && DEBIAN_FRONTEND=noninteractive apt-get -q -y --no-install-recommends install busybox-static mosquitto-clients
COPY root /broker
RUN set -eu; cd /; mkdir -p s/bin s/lib s/usr/bin s/usr/sbin s/usr/lib/glibc s/etc s/tmp s/run s/proc s/dev s/sys s/var/empty; \
    chmod 1777 s/tmp; \
    cp /bin/busybox s/bin/; \
    cp broker/lib/ld-musl.so s/lib/ld-musl-$(uname -m).so.1; \
    cp -P broker/lib/lib*.so* s/usr/lib/; \
    cp broker/usr/sbin/mosquitto s/usr/sbin/; \
    cp broker/usr/bin/mosquitto_passwd s/usr/bin/; \
    for client in mosquitto_pub mosquitto_sub; do \
        cp /usr/bin/$client s/usr/lib/glibc/; \
        ldd /usr/bin/$client | grep -o '/[^ ]*' | xargs -I{} cp -L {} s/usr/lib/glibc/; \
        printf '#!/bin/sh\nexec %s --library-path /usr/lib/glibc /usr/lib/glibc/%s "$@"\n' \
            "/usr/lib/glibc/$(basename /lib*/ld-linux-*)" $client >s/usr/bin/$client; \
        chmod 755 s/usr/bin/$client; \
    done; \
    printf 'root:x:0:0:root:/root:/bin/sh\nmosquitto:x:1883:1883::/var/empty:/sbin/nologin\n' >s/etc/passwd; \
    printf 'root:x:0:\nmosquitto:x:1883:\n' >s/etc/group; \
    mkdir -p s/mosquitto/config s/mosquitto/data s/mosquitto/log; \
    printf '#!/bin/sh\nset -e\n[ "$(id -u)" != 0 ] || chown -R mosquitto:mosquitto /mosquitto/data || true\nexec "$@"\n' >s/docker-entrypoint.sh; \
    chmod 755 s/docker-entrypoint.sh; chown -R 1883:1883 s/mosquitto

FROM scratch
COPY --from=parts /s/ /
RUN ["/bin/busybox", "--install", "-s", "/bin"]
RUN chown -R mosquitto:mosquitto /mosquitto
VOLUME ["/mosquitto/data", "/mosquitto/log"]
EXPOSE 1883
ENTRYPOINT ["/docker-entrypoint.sh"]
CMD ["/usr/sbin/mosquitto", "-c", "/mosquitto/config/mosquitto.conf"]
