/*
 * The part of Mosquitto's plugin interface, version 5, that this project uses, in our own words.
 *
 * bindgen makes the Rust types of src/ffi/bindings from this file (after a change: `./dev bindings`); tests/abi holds
 * every number, size, offset and function type in it against the broker's own headers. Only types are declared, no
 * functions: the library must not refer to a broker symbol by name, because a broker that lacks one refuses to load it.
 * The functions are looked up by name (dlsym) into pointers of the types below.
 */
#ifndef IOTDA_BROKER_H
#define IOTDA_BROKER_H

/* The interface version that we speak. */
#define IOTDA_PLUGIN_VERSION 5

/* What a callback or an entry point answers. */
#define IOTDA_SUCCESS 0
#define IOTDA_ERR_NOMEM 1
#define IOTDA_ERR_INVAL 3
#define IOTDA_ERR_AUTH 11
#define IOTDA_ERR_UNKNOWN 13
#define IOTDA_ERR_PLUGIN_DEFER 17
#define IOTDA_ERR_ALREADY_EXISTS 31

/* Events. CONNECT, SUBSCRIBE, UNSUBSCRIBE and CLIENT_OFFLINE exist since broker 2.1; a 2.0 answers their registration
 * with an error. */
#define IOTDA_EVT_RELOAD 1
#define IOTDA_EVT_BASIC_AUTH 3
#define IOTDA_EVT_MESSAGE 7
#define IOTDA_EVT_TICK 9
#define IOTDA_EVT_DISCONNECT 10
#define IOTDA_EVT_CONNECT 11
#define IOTDA_EVT_SUBSCRIBE 12
#define IOTDA_EVT_UNSUBSCRIBE 13
#define IOTDA_EVT_CLIENT_OFFLINE 28

/* What mosquitto_client_protocol answers for MQTT over TCP, with TLS or without, and over a WebSocket. */
#define IOTDA_PROTOCOL_MQTT 0
#define IOTDA_PROTOCOL_WEBSOCKETS 2

/* Log levels. */
#define IOTDA_LOG_INFO 1
#define IOTDA_LOG_NOTICE 2
#define IOTDA_LOG_WARNING 4
#define IOTDA_LOG_ERR 8
#define IOTDA_LOG_DEBUG 16

/* One client connection; its inside is the broker's alone. */
struct mosquitto;

/* The properties of an MQTT 5 packet; we give none. */
typedef struct mqtt5__property mosquitto_property;

/* The broker's name for one loaded plugin. */
typedef struct mosquitto_plugin_id_t mosquitto_plugin_id_t;

/* One plugin_opt_KEY VALUE line: the key without its prefix, both NUL-terminated. */
struct iotda_opt {
	char *key;
	char *value;
};

/* BASIC_AUTH: a CONNECT, or a session that is checked again at SIGHUP. Both strings may be null. */
struct iotda_evt_basic_auth {
	void *future;
	struct mosquitto *client;
	char *username;
	char *password;
	void *future2[4];
};

/* DISCONNECT, and CLIENT_OFFLINE: a connection is over. */
struct iotda_evt_disconnect {
	void *future;
	struct mosquitto *client;
	int reason;
	void *future2[4];
};

/* CONNECT: a client has had its CONNACK, and the CONNACK said yes. */
struct iotda_evt_connect {
	void *future;
	struct mosquitto *client;
	void *future2[4];
};

/* MESSAGE: a PUBLISH that its sender may send, and that has not gone out yet. The topic is NUL-terminated. */
struct iotda_evt_message {
	void *future;
	struct mosquitto *client;
	char *topic;
	void *payload;
	mosquitto_property *properties;
	char *reason_string;
	unsigned int payloadlen;
	unsigned char qos;
	unsigned char reason_code;
	_Bool retain;
	void *future2[4];
};

/* One subscription of a session, since 2.1. The filter is NUL-terminated. */
struct iotda_subscription {
	char *clientid;
	char *topic_filter;
	mosquitto_property *properties;
	unsigned int identifier;
	unsigned char options;
	unsigned char padding[3];
	void *future2[8];
};

/* SUBSCRIBE and UNSUBSCRIBE, since 2.1: one filter of such a packet that the client may have, before the broker adds or
 * removes it. The clientid in it is null. */
struct iotda_evt_subscribe {
	void *future;
	struct mosquitto *client;
	struct iotda_subscription data;
	void *future2[8];
};

/* What the broker calls for an event. */
typedef int (*iotda_callback)(int event, void *event_data, void *userdata);

/* Our entry points. */
typedef int (*iotda_plugin_version)(int supported_version_count, const int *supported_versions);
typedef int (*iotda_plugin_init)(mosquitto_plugin_id_t *identifier, void **userdata, struct iotda_opt *options,
		int option_count);
typedef int (*iotda_plugin_cleanup)(void *userdata, struct iotda_opt *options, int option_count);

/* The broker's functions. plugin_set_info, set_clientid, mosquitto_client, mosquitto_client_port and those of subscriptions
 * exist since broker 2.1. */
typedef int (*iotda_plugin_set_info)(mosquitto_plugin_id_t *identifier, const char *plugin_name,
		const char *plugin_version);
typedef int (*iotda_callback_register)(mosquitto_plugin_id_t *identifier, int event, iotda_callback callback,
		const void *event_data, void *userdata);
typedef int (*iotda_callback_unregister)(mosquitto_plugin_id_t *identifier, int event, iotda_callback callback,
		const void *event_data);
typedef void (*iotda_log_printf)(int level, const char *format, ...);
typedef struct mosquitto *(*iotda_client)(const char *client_id); /* null if no session has this id */
typedef const char *(*iotda_client_string)(const struct mosquitto *client); /* mosquitto_client_id, _address, _username */
typedef void *(*iotda_client_certificate)(const struct mosquitto *client); /* an X509 to be freed, or null */
typedef int (*iotda_kick_client_by_clientid)(const char *client_id, _Bool with_will);
typedef int (*iotda_broker_publish_copy)(const char *client_id, const char *topic, int payload_length,
		const void *payload, int qos, _Bool retain, mosquitto_property *properties);
typedef int (*iotda_subscription_add)(const struct iotda_subscription *subscription);
typedef int (*iotda_subscription_delete)(const char *client_id, const char *topic_filter);
typedef int (*iotda_set_clientid)(struct mosquitto *client, const char *client_id);
/* mosquitto_client_keepalive, _protocol, _protocol_version, _sub_count, _port */
typedef int (*iotda_client_int)(const struct mosquitto *client);

/* What libcrypto has for a certificate: i2d_X509 and X509_free. A broker with TLS has it loaded. */
typedef int (*iotda_i2d_x509)(const void *certificate, unsigned char **place);
typedef void (*iotda_x509_free)(void *certificate);

#endif
