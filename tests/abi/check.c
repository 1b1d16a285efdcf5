/*
 * Holds include/iotda_broker.h against the broker's own headers. There is nothing to run: it compiles, or it does not.
 *
 * EXPECTED_VERSION, where it is given, is the number that the headers must give themselves.
 */
#include <stddef.h>

#include <mosquitto.h>
#include <mosquitto_broker.h>
#include <mosquitto_plugin.h>

#include "iotda_broker.h"

#ifdef EXPECTED_VERSION
_Static_assert(LIBMOSQUITTO_VERSION_NUMBER == EXPECTED_VERSION, "these are another version's headers");
#endif
#define SINCE_2_1 (LIBMOSQUITTO_VERSION_NUMBER >= 2001000)

#define SAME_NUMBER(ours, theirs) _Static_assert((ours) == (theirs), #ours " is not " #theirs)

#define SAME_TYPE(ours, theirs) \
	_Static_assert(__builtin_types_compatible_p(ours, theirs), #ours " is not the type " #theirs)

#define SAME_SIZE(ours, theirs) \
	_Static_assert(sizeof(ours) == sizeof(theirs) && _Alignof(ours) == _Alignof(theirs), \
			#ours " has not the size of " #theirs)

#define SAME_MEMBER(ours, theirs, member) \
	_Static_assert(offsetof(ours, member) == offsetof(theirs, member), #ours ": offset of " #member); \
	_Static_assert(__builtin_types_compatible_p(__typeof__(((ours *)0)->member), __typeof__(((theirs *)0)->member)), \
			#ours ": type of " #member)

/* A function that is looked up is called through our type. */
#define SAME_FUNCTION(ours, theirs) SAME_TYPE(ours, __typeof__(&theirs))

SAME_NUMBER(IOTDA_PLUGIN_VERSION, MOSQ_PLUGIN_VERSION);

SAME_NUMBER(IOTDA_SUCCESS, MOSQ_ERR_SUCCESS);
SAME_NUMBER(IOTDA_ERR_NOMEM, MOSQ_ERR_NOMEM);
SAME_NUMBER(IOTDA_ERR_INVAL, MOSQ_ERR_INVAL);
SAME_NUMBER(IOTDA_ERR_AUTH, MOSQ_ERR_AUTH);
SAME_NUMBER(IOTDA_ERR_UNKNOWN, MOSQ_ERR_UNKNOWN);
SAME_NUMBER(IOTDA_ERR_PLUGIN_DEFER, MOSQ_ERR_PLUGIN_DEFER);
SAME_NUMBER(IOTDA_ERR_ALREADY_EXISTS, MOSQ_ERR_ALREADY_EXISTS);

SAME_NUMBER(IOTDA_PROTOCOL_MQTT, mp_mqtt);
SAME_NUMBER(IOTDA_PROTOCOL_WEBSOCKETS, mp_websockets);

SAME_NUMBER(IOTDA_EVT_RELOAD, MOSQ_EVT_RELOAD);
SAME_NUMBER(IOTDA_EVT_BASIC_AUTH, MOSQ_EVT_BASIC_AUTH);
SAME_NUMBER(IOTDA_EVT_MESSAGE, MOSQ_EVT_MESSAGE);
SAME_NUMBER(IOTDA_EVT_TICK, MOSQ_EVT_TICK);
SAME_NUMBER(IOTDA_EVT_DISCONNECT, MOSQ_EVT_DISCONNECT);
#if SINCE_2_1
SAME_NUMBER(IOTDA_EVT_CONNECT, MOSQ_EVT_CONNECT);
SAME_NUMBER(IOTDA_EVT_SUBSCRIBE, MOSQ_EVT_SUBSCRIBE);
SAME_NUMBER(IOTDA_EVT_UNSUBSCRIBE, MOSQ_EVT_UNSUBSCRIBE);
SAME_NUMBER(IOTDA_EVT_CLIENT_OFFLINE, MOSQ_EVT_CLIENT_OFFLINE);
#endif

SAME_NUMBER(IOTDA_LOG_INFO, MOSQ_LOG_INFO);
SAME_NUMBER(IOTDA_LOG_NOTICE, MOSQ_LOG_NOTICE);
SAME_NUMBER(IOTDA_LOG_WARNING, MOSQ_LOG_WARNING);
SAME_NUMBER(IOTDA_LOG_ERR, MOSQ_LOG_ERR);
SAME_NUMBER(IOTDA_LOG_DEBUG, MOSQ_LOG_DEBUG);

SAME_SIZE(struct iotda_opt, struct mosquitto_opt);
SAME_MEMBER(struct iotda_opt, struct mosquitto_opt, key);
SAME_MEMBER(struct iotda_opt, struct mosquitto_opt, value);

SAME_SIZE(struct iotda_evt_basic_auth, struct mosquitto_evt_basic_auth);
SAME_MEMBER(struct iotda_evt_basic_auth, struct mosquitto_evt_basic_auth, future);
SAME_MEMBER(struct iotda_evt_basic_auth, struct mosquitto_evt_basic_auth, client);
SAME_MEMBER(struct iotda_evt_basic_auth, struct mosquitto_evt_basic_auth, username);
SAME_MEMBER(struct iotda_evt_basic_auth, struct mosquitto_evt_basic_auth, password);
SAME_MEMBER(struct iotda_evt_basic_auth, struct mosquitto_evt_basic_auth, future2);

SAME_SIZE(struct iotda_evt_disconnect, struct mosquitto_evt_disconnect);
SAME_MEMBER(struct iotda_evt_disconnect, struct mosquitto_evt_disconnect, future);
SAME_MEMBER(struct iotda_evt_disconnect, struct mosquitto_evt_disconnect, client);
SAME_MEMBER(struct iotda_evt_disconnect, struct mosquitto_evt_disconnect, reason);
SAME_MEMBER(struct iotda_evt_disconnect, struct mosquitto_evt_disconnect, future2);

SAME_SIZE(struct iotda_evt_message, struct mosquitto_evt_message);
SAME_MEMBER(struct iotda_evt_message, struct mosquitto_evt_message, future);
SAME_MEMBER(struct iotda_evt_message, struct mosquitto_evt_message, client);
SAME_MEMBER(struct iotda_evt_message, struct mosquitto_evt_message, topic);
SAME_MEMBER(struct iotda_evt_message, struct mosquitto_evt_message, payload);
SAME_MEMBER(struct iotda_evt_message, struct mosquitto_evt_message, properties);
SAME_MEMBER(struct iotda_evt_message, struct mosquitto_evt_message, reason_string);
SAME_MEMBER(struct iotda_evt_message, struct mosquitto_evt_message, payloadlen);
SAME_MEMBER(struct iotda_evt_message, struct mosquitto_evt_message, qos);
SAME_MEMBER(struct iotda_evt_message, struct mosquitto_evt_message, reason_code);
SAME_MEMBER(struct iotda_evt_message, struct mosquitto_evt_message, retain);
SAME_MEMBER(struct iotda_evt_message, struct mosquitto_evt_message, future2);
#if SINCE_2_1
SAME_SIZE(struct iotda_subscription, struct mosquitto_subscription);
SAME_MEMBER(struct iotda_subscription, struct mosquitto_subscription, clientid);
SAME_MEMBER(struct iotda_subscription, struct mosquitto_subscription, topic_filter);
SAME_MEMBER(struct iotda_subscription, struct mosquitto_subscription, properties);
SAME_MEMBER(struct iotda_subscription, struct mosquitto_subscription, identifier);
SAME_MEMBER(struct iotda_subscription, struct mosquitto_subscription, options);
SAME_MEMBER(struct iotda_subscription, struct mosquitto_subscription, padding);
SAME_MEMBER(struct iotda_subscription, struct mosquitto_subscription, future2);
#define SAME_SUBSCRIBE(theirs) \
	SAME_SIZE(struct iotda_evt_subscribe, theirs); \
	SAME_MEMBER(struct iotda_evt_subscribe, theirs, client); \
	_Static_assert(offsetof(struct iotda_evt_subscribe, data) == offsetof(theirs, data), "offset of data in " #theirs)
SAME_SUBSCRIBE(struct mosquitto_evt_subscribe);
SAME_SUBSCRIBE(struct mosquitto_evt_unsubscribe);
SAME_SIZE(struct iotda_evt_connect, struct mosquitto_evt_connect);
SAME_MEMBER(struct iotda_evt_connect, struct mosquitto_evt_connect, future);
SAME_MEMBER(struct iotda_evt_connect, struct mosquitto_evt_connect, client);
SAME_MEMBER(struct iotda_evt_connect, struct mosquitto_evt_connect, future2);
/* Read through the structure of DISCONNECT, and nothing but the client is. */
SAME_MEMBER(struct iotda_evt_disconnect, struct mosquitto_evt_client_offline, client);
_Static_assert(sizeof(struct iotda_evt_disconnect) <= sizeof(struct mosquitto_evt_client_offline),
		"struct iotda_evt_disconnect reaches beyond a CLIENT_OFFLINE event");
#endif

SAME_TYPE(iotda_callback, MOSQ_FUNC_generic_callback);

SAME_FUNCTION(iotda_callback_register, mosquitto_callback_register);
SAME_FUNCTION(iotda_callback_unregister, mosquitto_callback_unregister);
SAME_FUNCTION(iotda_log_printf, mosquitto_log_printf);
SAME_FUNCTION(iotda_client_string, mosquitto_client_id);
SAME_FUNCTION(iotda_client_string, mosquitto_client_address);
SAME_FUNCTION(iotda_client_string, mosquitto_client_username);
SAME_FUNCTION(iotda_client_int, mosquitto_client_keepalive);
SAME_FUNCTION(iotda_client_int, mosquitto_client_protocol_version);
SAME_FUNCTION(iotda_client_int, mosquitto_client_sub_count);
SAME_FUNCTION(iotda_client_int, mosquitto_client_protocol);
SAME_FUNCTION(iotda_client_certificate, mosquitto_client_certificate);
SAME_FUNCTION(iotda_kick_client_by_clientid, mosquitto_kick_client_by_clientid);
SAME_FUNCTION(iotda_broker_publish_copy, mosquitto_broker_publish_copy);
#if SINCE_2_1
/* Ours takes our structure where theirs takes theirs. */
#define TAKES_A_SUBSCRIPTION(ours, theirs) \
	SAME_TYPE(ours, int (*)(const struct iotda_subscription *)); \
	SAME_TYPE(__typeof__(&theirs), int (*)(const struct mosquitto_subscription *))
TAKES_A_SUBSCRIPTION(iotda_subscription_add, mosquitto_subscription_add);
SAME_FUNCTION(iotda_subscription_delete, mosquitto_subscription_delete);
SAME_FUNCTION(iotda_plugin_set_info, mosquitto_plugin_set_info);
SAME_FUNCTION(iotda_set_clientid, mosquitto_set_clientid);
SAME_FUNCTION(iotda_client_int, mosquitto_client_port);
SAME_FUNCTION(iotda_client, mosquitto_client);
#endif

/* The entry points: ours take our structure where theirs take theirs, and the rest is the same. */
#define INIT(option) int (*)(mosquitto_plugin_id_t *, void **, option *, int)
#define CLEANUP(option) int (*)(void *, option *, int)
SAME_FUNCTION(iotda_plugin_version, mosquitto_plugin_version);
SAME_TYPE(iotda_plugin_init, INIT(struct iotda_opt));
SAME_TYPE(__typeof__(&mosquitto_plugin_init), INIT(struct mosquitto_opt));
SAME_TYPE(iotda_plugin_cleanup, CLEANUP(struct iotda_opt));
SAME_TYPE(__typeof__(&mosquitto_plugin_cleanup), CLEANUP(struct mosquitto_opt));
