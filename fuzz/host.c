/*
 * The C side of a broker that is not one: its functions, which src/broker.rs implements. It is C because the plugin
 * logs through a variadic function, and because include/iotda_broker.h has the types that these functions must have.
 *
 * The linker gives the plugin this dlsym and this clock_gettime instead of the C library's (see build.rs): so one
 * program can be a 2.0 and a 2.1, with TLS and without, at any time of any day.
 */
#define _GNU_SOURCE /* memfd_create */
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#include "iotda_broker.h"

/* src/broker/ffi.rs has the same, as Client. */
struct mosquitto {
	uint64_t head[12]; /* what a broker's begins with; src/broker/head.rs makes it */
	char *id;
	char *address;
	char *username;
	int keepalive;
	int protocol;
	int protocol_version;
	int port;
	struct x509 *certificate; /* fake_broker.h has it */
};

/* What src/broker.rs does when it is called. */
struct host {
	int (*callback_register)(int event, iotda_callback callback, void *userdata);
	int (*callback_unregister)(int event, iotda_callback callback);
	void (*log)(int level, const char *text);
	void (*kick)(const char *id, int with_will);
	int (*set_clientid)(struct mosquitto *client, const char *id);
	struct mosquitto *(*client)(const char *id);
	int (*filters)(const struct mosquitto *client);
	int (*add)(const char *id, const char *filter);
	int (*remove)(const char *id, const char *filter);
	void (*message)(const char *id, const char *topic, const void *payload, int length);
};
static struct host host;
static int is_2_1, has_tls;
static int64_t wall_seconds, steady_micros;
/* The broker's thread is inside of the plugin; any other thread has the real time. */
static __thread int is_inside;

void host_install(const struct host *given)
{
	host = *given;
}

void host_become(int a_2_1, int with_tls)
{
	is_2_1 = a_2_1;
	has_tls = with_tls;
}

void host_set_clock(int64_t wall, int64_t steady)
{
	wall_seconds = wall;
	steady_micros = steady;
}

void host_enter(int inside)
{
	is_inside = inside;
}

/* A file that has no name but one below /proc, and is gone with the process. */
int host_file(void)
{
	return memfd_create("secrets", MFD_CLOEXEC);
}

#define CHECK(condition) \
	do{ \
		if(!(condition)){ \
			fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #condition); \
			abort(); \
		} \
	}while(0)

/* A broker's functions may be called on its own thread only, and while it is inside of the plugin. */
static void check_thread(void)
{
	CHECK(is_inside);
}

static int filters_of(const struct mosquitto *client)
{
	return host.filters(client);
}

static void message_to(const char *id, const char *topic, const void *payload, int length)
{
	host.message(id, topic, payload, length);
}

#include "fake_broker.h"

/* ---- the broker's functions ---- */

static void log_printf(int level, const char *format, ...)
{
	char text[4096];
	check_thread();
	check_format(format);
	va_list arguments;
	va_start(arguments, format);
	vsnprintf(text, sizeof(text), format, arguments);
	va_end(arguments);
	host.log(level, text);
}

static int kick_client(const char *id, bool with_will)
{
	check_thread();
	CHECK(id); /* null stands for all clients */
	host.kick(id, with_will);
	return IOTDA_SUCCESS;
}

static int set_clientid(struct mosquitto *client, const char *id)
{
	check_thread();
	CHECK(client && id);
	return host.set_clientid(client, id);
}

/* The session that has an id, which is only compared. */
static struct mosquitto *client_of(const char *id)
{
	check_thread();
	CHECK(id);
	return host.client(id);
}

static int subscription_add(const struct iotda_subscription *subscription)
{
	check_thread();
	CHECK(subscription && subscription->clientid && subscription->topic_filter);
	CHECK(!subscription->properties && !subscription->identifier && !subscription->options);
	return host.add(subscription->clientid, subscription->topic_filter);
}

static int subscription_delete(const char *id, const char *filter)
{
	check_thread();
	CHECK(id && filter);
	return host.remove(id, filter);
}

static int set_info(mosquitto_plugin_id_t *identifier, const char *name, const char *version)
{
	check_thread();
	CHECK(identifier && name && version);
	return IOTDA_SUCCESS;
}

static int callback_register(mosquitto_plugin_id_t *identifier, int event, iotda_callback callback,
		const void *event_data, void *userdata)
{
	check_thread();
	CHECK(identifier && callback && userdata && !event_data);
	return host.callback_register(event, callback, userdata);
}

static int callback_unregister(mosquitto_plugin_id_t *identifier, int event, iotda_callback callback,
		const void *event_data)
{
	check_thread();
	CHECK(identifier && callback && !event_data);
	return host.callback_unregister(event, callback);
}

static void *client_certificate(const struct mosquitto *client)
{
	check_thread();
	if(client->certificate) client->certificate->references++;
	return client->certificate;
}

/* ---- what is found by its name ---- */

/* The compiler holds each function against the type that the header has for it. */
#define ENTRY(name, type, function, since) {name, (void *)(type){function}, since}
enum since { ALWAYS, SINCE_2_1, WITH_TLS };

void *__real_dlsym(void *handle, const char *name);

void *__wrap_dlsym(void *handle, const char *name)
{
	const struct {
		const char *name;
		void *function;
		enum since since;
	} functions[] = {
		ENTRY("mosquitto_callback_register", iotda_callback_register, callback_register, ALWAYS),
		ENTRY("mosquitto_callback_unregister", iotda_callback_unregister, callback_unregister, ALWAYS),
		ENTRY("mosquitto_log_printf", iotda_log_printf, log_printf, ALWAYS),
		ENTRY("mosquitto_client_id", iotda_client_string, mosquitto_client_id, ALWAYS),
		ENTRY("mosquitto_client_address", iotda_client_string, mosquitto_client_address, ALWAYS),
		ENTRY("mosquitto_client_username", iotda_client_string, mosquitto_client_username, ALWAYS),
		ENTRY("mosquitto_client_keepalive", iotda_client_int, mosquitto_client_keepalive, ALWAYS),
		ENTRY("mosquitto_client_protocol", iotda_client_int, mosquitto_client_protocol, ALWAYS),
		ENTRY("mosquitto_client_protocol_version", iotda_client_int, mosquitto_client_protocol_version, ALWAYS),
		ENTRY("mosquitto_kick_client_by_clientid", iotda_kick_client_by_clientid, kick_client, ALWAYS),
		ENTRY("mosquitto_broker_publish_copy", iotda_broker_publish_copy, mosquitto_broker_publish_copy, ALWAYS),
		ENTRY("mosquitto_client_sub_count", iotda_client_int, mosquitto_client_sub_count, ALWAYS),
		ENTRY("mosquitto_client_certificate", iotda_client_certificate, client_certificate, WITH_TLS),
		ENTRY("i2d_X509", iotda_i2d_x509, i2d_X509, WITH_TLS),
		ENTRY("X509_free", iotda_x509_free, X509_free, WITH_TLS),
		ENTRY("mosquitto_plugin_set_info", iotda_plugin_set_info, set_info, SINCE_2_1),
		ENTRY("mosquitto_set_clientid", iotda_set_clientid, set_clientid, SINCE_2_1),
		ENTRY("mosquitto_client", iotda_client, client_of, SINCE_2_1),
		ENTRY("mosquitto_client_port", iotda_client_int, mosquitto_client_port, SINCE_2_1),
		ENTRY("mosquitto_subscription_add", iotda_subscription_add, subscription_add, SINCE_2_1),
		ENTRY("mosquitto_subscription_delete", iotda_subscription_delete, subscription_delete, SINCE_2_1),
	};
	if(!is_inside) return __real_dlsym(handle, name);
	for(size_t i = 0; i < sizeof(functions) / sizeof(*functions); i++){
		if(strcmp(functions[i].name, name) != 0) continue;
		bool there = functions[i].since == ALWAYS || (functions[i].since == SINCE_2_1 ? is_2_1 : has_tls);
		return there ? functions[i].function : NULL;
	}
	return __real_dlsym(handle, name);
}

int __real_clock_gettime(clockid_t clock, struct timespec *time);

int __wrap_clock_gettime(clockid_t clock, struct timespec *time)
{
	if(!is_inside) return __real_clock_gettime(clock, time);
	if(clock == CLOCK_REALTIME){
		time->tv_sec = wall_seconds;
		time->tv_nsec = 0;
	}else{
		time->tv_sec = steady_micros / 1000000;
		time->tv_nsec = steady_micros % 1000000 * 1000;
	}
	return 0;
}
