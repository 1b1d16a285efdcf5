/*
 * What the fake brokers of host.c and of fuzz/host.c have in common: the functions that only tell what a client is, those
 * that stand for libcrypto's, and what every broker demands of the plugin's calls.
 *
 * Whoever includes this file has defined before
 *     struct mosquitto   with the members id, address, username, keepalive, protocol, protocol_version and port
 *     CHECK(condition)   ends the program if it is not so
 *     check_thread()     checks that a broker's function may be called here and now
 *     filters_of(client) how many filters it has; checks that it is one that may be asked about
 *     message_to(id, topic, payload, length)   a message for the session with this id alone
 */
#include <stdbool.h>
#include <string.h>

#include "iotda_broker.h"

/* ---- the log ---- */

/* A text of a client's is never a format. */
static inline void check_format(const char *format)
{
	CHECK(strcmp(format, "%s") == 0
			|| strcmp(format, "iotda-auth: accepted client=\"%.*s\" address=%.*s") == 0);
}

/* ---- what a client is ---- */

/* The compiler holds each function against the type that the plugin's header has for it. */
#define ASK_CLIENT(result, type, name, member) \
	result name(const struct mosquitto *client) \
	{ \
		check_thread(); \
		return client->member; \
	} \
	const type name##_type = name;

#ifndef WITHOUT_CLIENT_ID
ASK_CLIENT(const char *, iotda_client_string, mosquitto_client_id, id)
#endif
ASK_CLIENT(const char *, iotda_client_string, mosquitto_client_address, address)
ASK_CLIENT(const char *, iotda_client_string, mosquitto_client_username, username)
ASK_CLIENT(int, iotda_client_int, mosquitto_client_keepalive, keepalive)
ASK_CLIENT(int, iotda_client_int, mosquitto_client_protocol, protocol)
ASK_CLIENT(int, iotda_client_int, mosquitto_client_protocol_version, protocol_version)
#ifndef HOST_2_0
ASK_CLIENT(int, iotda_client_int, mosquitto_client_port, port)
#endif

#ifndef WITHOUT_CLIENT_SUB_COUNT
/* A broker that is asked about a client it has freed reads what is no longer there: here it is not looked at. */
int mosquitto_client_sub_count(const struct mosquitto *client)
{
	check_thread();
	return filters_of(client);
}
const iotda_client_int client_sub_count_type = mosquitto_client_sub_count;
#endif

/* ---- messages ---- */

int publish_count;

int mosquitto_broker_publish_copy(const char *id, const char *topic, int length, const void *payload, int qos,
		bool retain, mosquitto_property *properties)
{
	check_thread();
	CHECK(topic);
	if(id){
		CHECK(length >= 0 && (payload || !length) && qos == 0 && !retain && !properties);
		message_to(id, topic, payload, length);
		return IOTDA_SUCCESS;
	}
	CHECK(strncmp(topic, "$SYS/broker/iotda-auth/", 23) == 0 && qos == 0 && retain && !properties);
	CHECK(length > 0 && length <= 20);
	for(int i = 0; i < length; i++) CHECK(strchr("0123456789", ((const char *)payload)[i]));
	publish_count++;
	return IOTDA_SUCCESS;
}
const iotda_broker_publish_copy broker_publish_copy_type = mosquitto_broker_publish_copy;

/* ---- libcrypto's ---- */

/* What stands for an X509. fuzz/src/broker/ffi.rs has the same, as Certificate. */
struct x509 {
	const unsigned char *der;
	int length;
	int failure; /* what i2d_X509 answers instead of the length; 0: it does not fail */
	int references;
};

#ifndef WITHOUT_TLS
int i2d_X509(const void *given, unsigned char **place)
{
	const struct x509 *certificate = given;
	CHECK(certificate->references > 0);
	if(certificate->failure) return certificate->failure;
	if(place){
		CHECK(*place);
		memcpy(*place, certificate->der, certificate->length);
		*place += certificate->length;
	}
	return certificate->length;
}
const iotda_i2d_x509 i2d_x509_type = i2d_X509;

void X509_free(void *given)
{
	struct x509 *certificate = given;
	CHECK(certificate && certificate->references > 0);
	certificate->references--;
}
const iotda_x509_free x509_free_type = X509_free;
#endif
