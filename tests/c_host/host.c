/*
 * A broker that is not one: it loads the plugin as Mosquitto does, and plays one scenario with it.
 *
 *     host LIBRARY FOLDER SCENARIO [keep-loaded] [NAME=VALUE ...]
 *     host list
 *
 * FOLDER holds the files that tests/c_host.rs puts there. The exit code is 0 if all was as it should be. A broker is
 * compiled in as HOST_2_0 or HOST_2_1; WITHOUT_... leaves one of its functions out. It is C because the plugin logs
 * through a variadic function.
 */
#define _GNU_SOURCE /* RTLD_NEXT, gettid */
#include <dlfcn.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "iotda_broker.h"

#if defined(HOST_2_0) == defined(HOST_2_1)
#error "one of HOST_2_0 and HOST_2_1"
#endif
#ifdef HOST_2_0
#define IS_2_1 0
#define OPEN_FLAGS (RTLD_NOW | RTLD_GLOBAL)
#else
#define IS_2_1 1
#define OPEN_FLAGS (RTLD_NOW | RTLD_LOCAL)
#endif

#define REFUSED IOTDA_ERR_AUTH
#define ERR_NOT_FOUND 6
#define ERR_NOT_SUPPORTED 10
#define UNREGISTERED (-1000)

/* enum mosquitto_client_state of a 2.0, as far as it is needed. */
#define STATE_NEW 0
#define STATE_ACTIVE 3
#define STATE_CLOSING 6
#define STATE_DISCONNECTED 7

#define DEVICE "6203cc94c7fb24029b110408_88888888"
#define CLIENT_ID DEVICE "_0_0_2999010100"
/* A topic or filter of that device's, by what stands behind its sys/. */
#define DOWN(rest) "$oc/devices/" DEVICE "/sys/" rest
#define PASSWORD "5888ea6f4631ce76d621f452e8823507c36dd68a61f6e08518c8935e280c3c72"

/* ---- the log ---- */

static struct {
	int level;
	char text[2048];
} lines[256];
static int line_count;
static bool keep_counters, keep_debug;

static void show_log(void)
{
	for(int i = 0; i < line_count; i++){
		fprintf(stderr, "  log %d: %s\n", lines[i].level, lines[i].text);
	}
}

#define CHECK(condition) \
	do{ \
		if(!(condition)){ \
			fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #condition); \
			show_log(); \
			exit(1); \
		} \
	}while(0)

#define CHECK_CODE(expression, code) \
	do{ \
		int found = (expression); \
		if(found != (code)){ \
			fprintf(stderr, "%s:%d: %s is %d, expected %d\n", __FILE__, __LINE__, #expression, found, (code)); \
			show_log(); \
			exit(1); \
		} \
	}while(0)

/* The thread that stands for the broker's, where it is not the process's first. */
static pid_t broker_thread;

/* A broker has one thread, and its functions may be called on no other. */
static void check_thread(void)
{
	CHECK(gettid() == (broker_thread ? broker_thread : getpid()));
}

/* How many lines of the log hold a text. */
static int logged(const char *text)
{
	int count = 0;
	for(int i = 0; i < line_count; i++) count += strstr(lines[i].text, text) != NULL;
	return count;
}

static int logged_at(int level)
{
	int count = 0;
	for(int i = 0; i < line_count; i++) count += lines[i].level == level;
	return count;
}

/* Leaves out of the log what a scenario is not about. */
static void leave_out(const char *text)
{
	int kept = 0;
	for(int i = 0; i < line_count; i++){
		if(!strstr(lines[i].text, text)) lines[kept++] = lines[i];
	}
	line_count = kept;
}

static void forget_log(void)
{
	line_count = 0;
}

/* ---- clients ---- */

struct mosquitto {
	/* How a broker's begins: what the structure is and the socket, or, built without epoll, the socket and what comes
	 * next. */
	int numbers[2];
	/* What a broker's has next: the address and the ClientId side by side, among others. Words, so that nothing of what
	 * is looked at is padding. */
	uintptr_t words[13];
	const char *id;
	const char *address;
	int keepalive;
	int protocol;
	int protocol_version;
	int port; /* of the listener */
	int words_at; /* where the address is among the words: 0 for nowhere, below 0 for behind the ClientId */
	bool persistent;
	void *certificate;
	const char *username;
	int state;
	bool with_adns; /* how a 2.0 is built */
	struct {
		char text[160];
		bool own; /* the client has subscribed to it by itself */
	} filters[16];
	int filter_count;
	enum place { NOWHERE, IDENT, PROTOCOL, KEEPALIVE, ADDRESS, ID_PLACE, USERNAME, PLACES } wrong; /* where it is not as it should be */
};

static struct mosquitto client(const char *id)
{
	/* Number 900 is no socket, and nothing else. */
	return (struct mosquitto){.numbers = {2, 900}, .id = id, .address = "203.0.113.7", .keepalive = 120,
			.protocol_version = 4, .with_adns = true};
}

/* Lays a client out as a 2.0 does (struct mosquitto in mosquitto_internal.h). Of a 2.1's, only the two numbers are known. */
static void lay_out(struct mosquitto *client)
{
	enum place wrong = client->wrong;
	if(wrong == IDENT) client->numbers[0] = 3;
	if(IS_2_1) return;
	struct {
		const char *address, *id, *username, *password;
		uint16_t keepalive, last_mid;
		unsigned state;
	} rest = {
		.address = client->address + (wrong == ADDRESS),
		.id = client->id + (wrong == ID_PLACE),
		.username = client->username + (wrong == USERNAME),
		.keepalive = client->keepalive + (wrong == KEEPALIVE),
		.state = client->state,
	};
	int version = client->protocol_version;
	unsigned protocol = (version == 3 ? 1 : version == 4 ? 2 : version == 5 ? 5 : 0) + (wrong == PROTOCOL);
	unsigned *before = (unsigned *)&client->words[client->with_adns ? 2 : 0];
	before[!client->with_adns] = protocol; /* without ADNS, behind another number */
	memcpy(client->words + (client->with_adns ? 3 : 1), &rest, sizeof(rest));
}

#ifndef WITHOUT_CLIENT_SUB_COUNT
static int filters_of(const struct mosquitto *client);
#endif
static void message_to(const char *id, const char *topic, const void *payload, int length);

#include "fake_broker.h"

#ifndef WITHOUT_LOG_PRINTF
/* Parts of all secrets in our files, and of the passwords. */
static const char *const secrets[] = {"123456789", "5f2b9c0e7d", "hunter2", "5888ea6f", "wrong-password",
		"another-secret"};

static void check_line(const char *text)
{
	CHECK(strncmp(text, "iotda-auth: ", 12) == 0);
	CHECK(strlen(text) < 1000);
	bool refusal = strstr(text, ": refused ");
	if(refusal) CHECK(strlen(text) < 700);
	for(const char *c = text; *c; c++){
		CHECK((unsigned char)*c >= ' ' && *c != 0x7f);
		/* What an operator wrote may be any text; what a client sent is escaped. */
		if(refusal) CHECK((unsigned char)*c < 0x7f);
	}
	for(size_t i = 0; i < sizeof(secrets) / sizeof(*secrets); i++) CHECK(!strstr(text, secrets[i]));
}

void mosquitto_log_printf(int level, const char *format, ...)
{
	check_thread();
	CHECK(line_count < (int)(sizeof(lines) / sizeof(*lines)));
	CHECK(level >= IOTDA_LOG_INFO && level <= IOTDA_LOG_DEBUG);
	check_format(format);
	va_list arguments;
	va_start(arguments, format);
	vsnprintf(lines[line_count].text, sizeof(lines->text), format, arguments);
	va_end(arguments);
	lines[line_count].level = level;
	check_line(lines[line_count].text);
	/* As a broker does by default, and the counters come at every end: few scenarios are about them. */
	bool counters = strstr(lines[line_count].text, "iotda-auth: since the start: ") != NULL;
	if((level != IOTDA_LOG_DEBUG || keep_debug) && (!counters || keep_counters)) line_count++;
}
const iotda_log_printf log_printf_type = mosquitto_log_printf;
#endif

/* ---- plugins ---- */

struct mosquitto_plugin_id_t {
	struct {
		int event;
		iotda_callback callback;
		void *userdata;
	} callbacks[16];
	int count;
	int refused_event; /* 0: none */
	int refusal;
	char name[64];
	char version[64];
	void *userdata;
};

int mosquitto_callback_register(mosquitto_plugin_id_t *identifier, int event, iotda_callback callback,
		const void *event_data, void *userdata)
{
	check_thread();
	CHECK(identifier && callback && userdata && !event_data);
	if(event == identifier->refused_event) return identifier->refusal;
	bool since_2_1 = event == IOTDA_EVT_CLIENT_OFFLINE || event == IOTDA_EVT_CONNECT || event == IOTDA_EVT_SUBSCRIBE
			|| event == IOTDA_EVT_UNSUBSCRIBE;
	if(since_2_1 && !IS_2_1) return ERR_NOT_SUPPORTED;
	CHECK(identifier->count < 16);
	int i = identifier->count++;
	identifier->callbacks[i].event = event;
	identifier->callbacks[i].callback = callback;
	identifier->callbacks[i].userdata = userdata;
	return IOTDA_SUCCESS;
}
const iotda_callback_register callback_register_type = mosquitto_callback_register;

int mosquitto_callback_unregister(mosquitto_plugin_id_t *identifier, int event, iotda_callback callback,
		const void *event_data)
{
	check_thread();
	CHECK(identifier && callback && !event_data);
	for(int i = 0; i < identifier->count; i++){
		if(identifier->callbacks[i].event == event && identifier->callbacks[i].callback == callback){
			identifier->callbacks[i] = identifier->callbacks[--identifier->count];
			return IOTDA_SUCCESS;
		}
	}
	return ERR_NOT_SUPPORTED;
}
const iotda_callback_unregister callback_unregister_type = mosquitto_callback_unregister;

#ifdef HOST_2_1
int mosquitto_plugin_set_info(mosquitto_plugin_id_t *identifier, const char *name, const char *version)
{
	check_thread();
	CHECK(identifier && name && version);
	snprintf(identifier->name, sizeof(identifier->name), "%s", name);
	snprintf(identifier->version, sizeof(identifier->version), "%s", version);
	return IOTDA_SUCCESS;
}
const iotda_plugin_set_info plugin_set_info_type = mosquitto_plugin_set_info;
#endif

/* ---- the command line ---- */

static const char *library_path;
static const char *folder;
static bool keep_loaded;
static char **arguments;

/* What comes after NAME= on the command line. */
static const char *argument(const char *name)
{
	size_t length = strlen(name);
	for(char **at = arguments; *at; at++){
		if(strncmp(*at, name, length) == 0 && (*at)[length] == '=') return *at + length + 1;
	}
	fprintf(stderr, "no %s= on the command line\n", name);
	exit(2);
}

/* ---- the library ---- */

static void *library;
static iotda_plugin_version plugin_version;
static iotda_plugin_init plugin_init;
static iotda_plugin_cleanup plugin_cleanup;

static void *entry_point(const char *name)
{
	void *function = dlsym(library, name);
	if(!function){
		fprintf(stderr, "%s\n", dlerror());
		exit(2);
	}
	return function;
}

static void open_library(void)
{
	library = dlopen(library_path, OPEN_FLAGS);
	if(!library){
		fprintf(stderr, "%s\n", dlerror());
		exit(2);
	}
	plugin_version = (iotda_plugin_version)entry_point("mosquitto_plugin_version");
	plugin_init = (iotda_plugin_init)entry_point("mosquitto_plugin_init");
	plugin_cleanup = (iotda_plugin_cleanup)entry_point("mosquitto_plugin_cleanup");
}

/* As a 2.0 does at its end, and a 2.1 does not; valgrind would lose the names of what is gone. */
static void close_library(void)
{
	if(!IS_2_1 && !keep_loaded) CHECK(dlclose(library) == 0);
}

/* ---- what a broker does ---- */

/* A copy in a block of its own, so that a byte read beyond its end is noticed, and one read after its end. */
static char *copy(const char *text)
{
	if(!text) return NULL;
	char *block = strdup(text);
	CHECK(block);
	return block;
}

static void overwrite_and_free(char *block)
{
	if(block) memset(block, '?', strlen(block));
	free(block);
}

struct option {
	const char *key;
	const char *value;
};

static int init_with(mosquitto_plugin_id_t *plugin, void **userdata, int count, const struct option *given)
{
	struct iotda_opt *options = calloc(count ? count : 1, sizeof(*options));
	CHECK(options);
	for(int i = 0; i < count; i++){
		options[i].key = copy(given[i].key);
		options[i].value = copy(given[i].value);
	}
	int code = plugin_init(plugin, userdata, count ? options : NULL, count);
	for(int i = 0; i < count; i++){
		overwrite_and_free(options[i].key);
		overwrite_and_free(options[i].value);
	}
	free(options);
	return code;
}

#define INIT(plugin, ...) \
	init_with((plugin), &(plugin)->userdata, (int)(sizeof((struct option[]){__VA_ARGS__}) / sizeof(struct option)), \
			(struct option[]){__VA_ARGS__})

/* The path of a file in the folder. */
static const char *file(const char *name)
{
	static char paths[8][4096];
	static unsigned next;
	char *path = paths[next++ % 8];
	CHECK(snprintf(path, sizeof(*paths), "%s/%s", folder, name) < (int)sizeof(*paths));
	return path;
}

static int cleanup(mosquitto_plugin_id_t *plugin)
{
	return plugin_cleanup(plugin->userdata, NULL, 0);
}

/* The index of an event's callback. */
static int callback_of(const mosquitto_plugin_id_t *plugin, int event)
{
	for(int i = 0; i < plugin->count; i++){
		if(plugin->callbacks[i].event == event) return i;
	}
	return -1;
}

static int deliver(mosquitto_plugin_id_t *plugin, int event, void *data)
{
	int i = callback_of(plugin, event);
	if(i < 0) return UNREGISTERED;
	bool is_login = event == IOTDA_EVT_BASIC_AUTH, is_end = event == IOTDA_EVT_DISCONNECT || event == IOTDA_EVT_CLIENT_OFFLINE;
	/* All three begin alike. */
	struct mosquitto *client = data && (is_login || is_end || event == IOTDA_EVT_CONNECT)
			? ((struct iotda_evt_disconnect *)data)->client : NULL;
	if(client && is_login) client->username = ((struct iotda_evt_basic_auth *)data)->username;
	if(client) lay_out(client);
	int code = plugin->callbacks[i].callback(event, data, plugin->callbacks[i].userdata);
	if(client && is_login) client->username = NULL;
	return code;
}

/* BASIC_AUTH, for a CONNECT. */
static int ask(mosquitto_plugin_id_t *plugin, const struct mosquitto *client, const char *username,
		const char *password)
{
	struct mosquitto *same = (struct mosquitto *)client;
	struct iotda_evt_basic_auth event = {.client = same, .username = copy(username), .password = copy(password)};
	const char *id = client->id, *address = client->address;
	same->id = copy(id);
	same->address = copy(address);
	if(client->words_at){
		uintptr_t *words = &same->words[abs(client->words_at)];
		words[client->words_at < 0] = (uintptr_t)same->address;
		words[client->words_at > 0] = (uintptr_t)same->id;
	}
	int code = deliver(plugin, IOTDA_EVT_BASIC_AUTH, &event);
	overwrite_and_free((char *)same->id);
	overwrite_and_free((char *)same->address);
	same->id = id;
	same->address = address;
	overwrite_and_free(event.username);
	overwrite_and_free(event.password);
	return code;
}

/* Where a session stands with its broker. Only a 2.0 has one that is closing: a WebSocket. */
enum standing { ONLINE, CLOSING, OFFLINE, RESTORED };

/* The session that the broker asks about, which it has, of course. */
static const struct mosquitto *session_asked;

/* BASIC_AUTH, for a session: what the sweep after a SIGHUP consists of. */
static int ask_again(mosquitto_plugin_id_t *plugin, const struct mosquitto *client, enum standing standing,
		const char *username, const char *password)
{
	struct mosquitto *same = (struct mosquitto *)client, before = *client;
	CHECK(standing != CLOSING || !IS_2_1);
	same->state = (int[]){STATE_ACTIVE, STATE_CLOSING, STATE_DISCONNECTED, STATE_NEW}[standing];
	if(standing != ONLINE) same->numbers[1] = -1;
	if(standing == CLOSING) same->protocol = IOTDA_PROTOCOL_WEBSOCKETS;
	if(standing == RESTORED){
		same->address = NULL;
		same->protocol_version = same->keepalive = 0;
	}
	session_asked = same;
	int code = ask(plugin, same, username, password);
	session_asked = NULL;
	*same = before;
	return code;
}

static int gone(mosquitto_plugin_id_t *plugin, int event, struct mosquitto *client)
{
	struct iotda_evt_disconnect data = {.client = client};
	return deliver(plugin, event, &data);
}

/* What a 2.0 and a 2.1 give with RELOAD. */
static int reload(mosquitto_plugin_id_t *plugin)
{
	struct {
		void *future;
		struct iotda_opt *options;
		int option_count;
		void *future2[4];
	} data = {0};
	return deliver(plugin, IOTDA_EVT_RELOAD, &data);
}

static int tick(mosquitto_plugin_id_t *plugin)
{
	struct {
		void *future;
		long now_ns, next_ns;
		time_t now_s, next_s;
		void *future2[4];
	} data = {0};
	return deliver(plugin, IOTDA_EVT_TICK, &data);
}

/* A SIGHUP up to the sweep. */
static void hang_up(mosquitto_plugin_id_t *plugin)
{
	CHECK_CODE(reload(plugin), IS_2_1 ? IOTDA_SUCCESS : IOTDA_ERR_PLUGIN_DEFER);
}

/* ---- who is connected ---- */

static struct {
	struct mosquitto *client;
	mosquitto_plugin_id_t *plugin;
} connected[64];
static int connected_count;

/* The ClientIds that the plugin has kicked since forget_kicks, whoever they belong to. */
static char kicked[64][64];
static int kick_count, kicks_without_will;

static bool was_kicked(const char *id)
{
	for(int i = 0; i < kick_count; i++){
		if(strcmp(kicked[i], id) == 0) return true;
	}
	return false;
}

static void forget_kicks(void)
{
	kick_count = kicks_without_will = 0;
}

#ifdef HOST_2_1
struct mosquitto *mosquitto_client(const char *id)
{
	check_thread();
	CHECK(id);
	if(session_asked && strcmp(session_asked->id, id) == 0) return (struct mosquitto *)session_asked;
	for(int i = 0; i < connected_count; i++){
		if(strcmp(connected[i].client->id, id) == 0) return connected[i].client;
	}
	return NULL;
}
const iotda_client client_type = mosquitto_client;

/* The last name that a session was given, and whether it gets none. */
static char session_id[64];
static int session_id_count;
static int session_id_refusal;
#endif

/* A client that its broker has let in, whoever was asked. */
static void let_in(mosquitto_plugin_id_t *plugin, struct mosquitto *client)
{
	CHECK(connected_count < (int)(sizeof(connected) / sizeof(*connected)));
	client->state = STATE_ACTIVE;
	connected[connected_count].client = client;
	connected[connected_count++].plugin = plugin;
	struct iotda_evt_connect data = {.client = client};
	CHECK_CODE(deliver(plugin, IOTDA_EVT_CONNECT, &data), IS_2_1 ? IOTDA_SUCCESS : UNREGISTERED);
}

/* A login that is accepted, and leaves a client that can be kicked. */
static void log_in(mosquitto_plugin_id_t *plugin, struct mosquitto *client, const char *username,
		const char *password)
{
	const char *id = client->id;
#ifdef HOST_2_1
	int names = session_id_count;
	CHECK_CODE(ask(plugin, client, username, password), IOTDA_SUCCESS);
	if(session_id_count > names) client->id = session_id;
#else
	CHECK_CODE(ask(plugin, client, username, password), IOTDA_SUCCESS);
#endif
	let_in(plugin, client);
	client->id = id;
}

/* The end of a connection, whoever ends it. */
static void log_out(struct mosquitto *client)
{
	for(int i = 0; i < connected_count; i++){
		if(connected[i].client != client) continue;
		mosquitto_plugin_id_t *plugin = connected[i].plugin;
		connected[i] = connected[--connected_count];
		int event = IS_2_1 && client->persistent ? IOTDA_EVT_CLIENT_OFFLINE : IOTDA_EVT_DISCONNECT;
		CHECK_CODE(gone(plugin, event, client), IOTDA_SUCCESS);
		client->state = STATE_NEW;
		return;
	}
	CHECK(!"connected");
}

/* As a broker does, it says that the client is gone before it returns. */
int mosquitto_kick_client_by_clientid(const char *id, bool with_will)
{
	check_thread();
	CHECK(id); /* null stands for all clients */
	kicks_without_will += !with_will;
	CHECK(kick_count < (int)(sizeof(kicked) / sizeof(*kicked)) && strlen(id) < sizeof(*kicked));
	char *before = strcpy(kicked[kick_count++], id);
	int code = ERR_NOT_FOUND;
	for(int i = 0; i < connected_count && code != IOTDA_SUCCESS; i++){
		if(strcmp(connected[i].client->id, id) != 0) continue;
		log_out(connected[i].client);
		code = IOTDA_SUCCESS;
	}
	/* A broker still logs the ClientId. */
	CHECK(strcmp(id, before) == 0);
	return code;
}
const iotda_kick_client_by_clientid kick_client_by_clientid_type = mosquitto_kick_client_by_clientid;

#ifdef HOST_2_1
/* As a broker does, it frees the ClientId. */
int mosquitto_set_clientid(struct mosquitto *client, const char *id)
{
	check_thread();
	CHECK(client && id && strlen(id) < sizeof(session_id));
	session_id_count++;
	if(session_id_refusal) return session_id_refusal;
	strcpy(session_id, id);
	overwrite_and_free((char *)client->id);
	client->id = copy(id);
	return IOTDA_SUCCESS;
}
const iotda_set_clientid set_clientid_type = mosquitto_set_clientid;
#endif

/* ---- subscriptions and messages ---- */

#ifndef WITHOUT_CLIENT_SUB_COUNT
/* Only of a client that is connected: any other may have been freed. */
static int filters_of(const struct mosquitto *client)
{
	for(int i = 0; i < connected_count; i++){
		if(connected[i].client == client) return client->filter_count;
	}
	CHECK(!"connected");
	return 0;
}
#endif

static int filter_at(const struct mosquitto *client, const char *filter)
{
	for(int i = 0; i < client->filter_count; i++){
		if(strcmp(client->filters[i].text, filter) == 0) return i;
	}
	return -1;
}

static void add_filter(struct mosquitto *client, const char *filter, bool own)
{
	int i = filter_at(client, filter);
	if(i < 0){
		i = client->filter_count++;
		CHECK(i < (int)(sizeof(client->filters) / sizeof(*client->filters)) && strlen(filter) < sizeof(client->filters->text));
		strcpy(client->filters[i].text, filter);
	}
	client->filters[i].own = own;
}

static bool remove_filter(struct mosquitto *client, const char *filter)
{
	int i = filter_at(client, filter);
	if(i >= 0) client->filters[i] = client->filters[--client->filter_count];
	return i >= 0;
}

/* How often the plugin has had a subscription added or removed. */
static int subscription_changes;

#if defined(HOST_2_1) && !defined(WITHOUT_SUBSCRIPTIONS)
int mosquitto_subscription_add(const struct iotda_subscription *subscription)
{
	check_thread();
	CHECK(subscription && subscription->clientid && subscription->topic_filter);
	CHECK(!subscription->properties && !subscription->identifier && !subscription->options);
	struct mosquitto *client = mosquitto_client(subscription->clientid);
	CHECK(client);
	subscription_changes++;
	add_filter(client, subscription->topic_filter, false);
	return IOTDA_SUCCESS;
}
const iotda_subscription_add subscription_add_type = mosquitto_subscription_add;

int mosquitto_subscription_delete(const char *id, const char *filter)
{
	check_thread();
	CHECK(id && filter);
	struct mosquitto *client = mosquitto_client(id);
	CHECK(client);
	int i = filter_at(client, filter);
	CHECK(i < 0 || !client->filters[i].own);
	subscription_changes++;
	return remove_filter(client, filter) ? IOTDA_SUCCESS : ERR_NOT_FOUND;
}
const iotda_subscription_delete subscription_delete_type = mosquitto_subscription_delete;
#endif

/* The messages that the plugin has handed to sessions, and the last of them. */
static struct {
	char id[64];
	char topic[160];
	char payload[64];
	int length;
} handed;
static int handed_count;

static void message_to(const char *id, const char *topic, const void *payload, int length)
{
	CHECK(strlen(id) < sizeof(handed.id) && strlen(topic) < sizeof(handed.topic) && length < (int)sizeof(handed.payload));
	strcpy(handed.id, id);
	strcpy(handed.topic, topic);
	if(length) memcpy(handed.payload, payload, length);
	handed.length = length;
	handed_count++;
}

/* SUBSCRIBE or UNSUBSCRIBE as a 2.1 does them: it tells, and then it does. A 2.0 only does. */
static void change_filter(mosquitto_plugin_id_t *plugin, struct mosquitto *client, int event, const char *filter)
{
	struct iotda_evt_subscribe data = {.client = client, .data = {.topic_filter = copy(filter)}};
	CHECK_CODE(deliver(plugin, event, &data), IS_2_1 ? IOTDA_SUCCESS : UNREGISTERED);
	overwrite_and_free(data.data.topic_filter);
	if(event == IOTDA_EVT_SUBSCRIBE) add_filter(client, filter, true);
	else remove_filter(client, filter);
}

/* MESSAGE, from somebody that need not be there. */
static void publish(mosquitto_plugin_id_t *plugin, const char *topic, const void *payload, int length)
{
	struct iotda_evt_message data = {.topic = copy(topic), .payload = length ? malloc(length) : NULL, .payloadlen = length};
	if(length) memcpy(data.payload, payload, length);
	CHECK_CODE(deliver(plugin, IOTDA_EVT_MESSAGE, &data), IOTDA_SUCCESS);
	overwrite_and_free(data.topic);
	free(data.payload);
}

/* ---- instances ---- */

static void start(mosquitto_plugin_id_t *plugin)
{
	CHECK_CODE(INIT(plugin, {"secrets_file", file("secrets")}), IOTDA_SUCCESS);
	CHECK(plugin->userdata);
}

static void stop(mosquitto_plugin_id_t *plugin)
{
	CHECK_CODE(cleanup(plugin), IOTDA_SUCCESS);
	CHECK(plugin->count == 0);
}

/* The device that is always right. */
static int right_login(mosquitto_plugin_id_t *plugin)
{
	struct mosquitto device = client(CLIENT_ID);
	int code = ask(plugin, &device, DEVICE, PASSWORD);
	if(code == IOTDA_SUCCESS){
		let_in(plugin, &device);
		log_out(&device);
	}else{
		gone(plugin, IOTDA_EVT_DISCONNECT, &device);
	}
	return code;
}

/* How often a reason was checked before. */
static int refused_before(const char *reason)
{
	static struct {
		const char *reason;
		int count;
	} reasons[32];
	for(int i = 0; i < 32; i++){
		if(!reasons[i].reason) reasons[i].reason = reason;
		if(strcmp(reasons[i].reason, reason) == 0) return reasons[i].count++;
	}
	return 0;
}

/* A login that is refused, for one reason, in one line. */
static void check_refused(mosquitto_plugin_id_t *plugin, const struct mosquitto *client, const char *username,
		const char *password, const char *reason)
{
	forget_log();
	CHECK_CODE(ask(plugin, client, username, password), REFUSED);
	leave_out("iotda-auth: reloaded in "); /* where no TICK comes */
	if(refused_before(reason) >= 10 && line_count == 0) return; /* ten of a reason are told, each minute, at the least */
	CHECK(line_count == 1);
	CHECK(lines[0].level == IOTDA_LOG_NOTICE);
	CHECK(logged(" refused client="));
	CHECK(logged(reason));
}

/* A session that is online, and is refused in a sweep: it ends. */
static void check_ended(mosquitto_plugin_id_t *plugin, const struct mosquitto *client, const char *username,
		const char *password, const char *reason)
{
	forget_log();
	int kicks = kick_count;
	CHECK_CODE(ask_again(plugin, client, ONLINE, username, password), REFUSED);
	CHECK(kick_count == kicks);
	if(refused_before(reason) >= 10 && line_count == 0) return;
	CHECK(line_count == 1 && lines[0].level == IOTDA_LOG_NOTICE && logged(" refused client=") && logged(reason));
}

/* A text of one character. */
static char *text_of(char character, size_t length)
{
	char *text = malloc(length + 1);
	CHECK(text);
	memset(text, character, length);
	text[length] = '\0';
	return text;
}

/* ---- scenarios: entry points ---- */

#define VERSION_OF(...) \
	plugin_version((int)(sizeof((int[]){__VA_ARGS__}) / sizeof(int)), (int[]){__VA_ARGS__})

static void versions(void)
{
	int five = 5;
	CHECK_CODE(plugin_version(0, NULL), -1);
	CHECK_CODE(plugin_version(4, NULL), -1);
	CHECK_CODE(plugin_version(0, &five), -1);
	CHECK_CODE(plugin_version(-1, &five), -1);
	CHECK_CODE(plugin_version(INT32_MIN, &five), -1);
	CHECK_CODE(VERSION_OF(5), 5);
	CHECK_CODE(VERSION_OF(2, 3, 4, 5), 5);
	CHECK_CODE(VERSION_OF(5, 4, 3, 2), 5);
	CHECK_CODE(VERSION_OF(5, 6), 5);
	CHECK_CODE(VERSION_OF(3, 4), -1);
	CHECK_CODE(VERSION_OF(6), -1);
	CHECK_CODE(VERSION_OF(0, -5), -1);
}

static void init_and_cleanup(void)
{
	mosquitto_plugin_id_t plugin = {0};
	start(&plugin);
	CHECK(plugin.count == (IS_2_1 ? 9 : 5));
	CHECK(callback_of(&plugin, IOTDA_EVT_BASIC_AUTH) == plugin.count - 1);
	CHECK(callback_of(&plugin, IOTDA_EVT_RELOAD) >= 0);
	CHECK(callback_of(&plugin, IOTDA_EVT_TICK) >= 0);
	CHECK(callback_of(&plugin, IOTDA_EVT_DISCONNECT) >= 0);
	CHECK((callback_of(&plugin, IOTDA_EVT_CLIENT_OFFLINE) >= 0) == IS_2_1);
	CHECK((callback_of(&plugin, IOTDA_EVT_CONNECT) >= 0) == IS_2_1);
	CHECK(callback_of(&plugin, IOTDA_EVT_MESSAGE) >= 0);
	CHECK((callback_of(&plugin, IOTDA_EVT_SUBSCRIBE) >= 0) == IS_2_1);
	CHECK((callback_of(&plugin, IOTDA_EVT_UNSUBSCRIBE) >= 0) == IS_2_1);
	for(int i = 0; i < plugin.count; i++) CHECK(plugin.callbacks[i].userdata == plugin.userdata);
	CHECK(strcmp(plugin.name, IS_2_1 ? "iotda-auth" : "") == 0);
	CHECK(strcmp(plugin.version, IS_2_1 ? argument("version") : "") == 0);
	CHECK(logged("2 devices") == 1 && logged_at(IOTDA_LOG_ERR) == 0 && logged_at(IOTDA_LOG_WARNING) == 0);
	stop(&plugin);
}

static void cleanup_twice(void)
{
	mosquitto_plugin_id_t plugin = {0};
	start(&plugin);
	stop(&plugin);
	stop(&plugin);
	start(&plugin);
	CHECK_CODE(right_login(&plugin), IOTDA_SUCCESS);
	stop(&plugin);
	stop(&plugin);
}

static void cleanup_of_strangers(void)
{
	mosquitto_plugin_id_t plugin = {0};
	int stranger = 0;
	for(int round = 0; round < 2; round++){
		CHECK_CODE(plugin_cleanup(NULL, NULL, 0), IOTDA_SUCCESS);
		CHECK_CODE(plugin_cleanup(&stranger, NULL, 0), IOTDA_SUCCESS);
		CHECK_CODE(plugin_cleanup((void *)(uintptr_t)1, NULL, -1), IOTDA_SUCCESS);
		if(round == 0) start(&plugin);
	}
	CHECK_CODE(right_login(&plugin), IOTDA_SUCCESS);
	stop(&plugin);
}

static void init_without_user_data(void)
{
	mosquitto_plugin_id_t plugin = {0};
	struct option options[] = {{"secrets_file", file("secrets")}};
	CHECK(init_with(&plugin, NULL, 1, options) != IOTDA_SUCCESS);
	CHECK(plugin.count == 0);
}

static void two_instances(void)
{
	for(int first = 0; first < 2; first++){
		mosquitto_plugin_id_t plugins[2] = {0};
		start(&plugins[0]);
		CHECK_CODE(INIT(&plugins[1], {"secrets_file", file("others")}, {"other_clients", "defer"}), IOTDA_SUCCESS);
		CHECK(plugins[0].userdata != plugins[1].userdata);
		struct mosquitto other = client("someone");
		for(int round = 0; round < 2; round++){
			CHECK_CODE(right_login(&plugins[0]), IOTDA_SUCCESS);
			CHECK_CODE(right_login(&plugins[1]), REFUSED);
			CHECK_CODE(ask(&plugins[0], &other, "name", "wrong-password"), REFUSED);
			CHECK_CODE(ask(&plugins[1], &other, "name", "wrong-password"), IOTDA_ERR_PLUGIN_DEFER);
		}
		stop(&plugins[first]);
		if(first == 0){
			CHECK_CODE(right_login(&plugins[1]), REFUSED);
			CHECK_CODE(ask(&plugins[1], &other, "name", "wrong-password"), IOTDA_ERR_PLUGIN_DEFER);
		}else{
			CHECK_CODE(right_login(&plugins[0]), IOTDA_SUCCESS);
			CHECK_CODE(ask(&plugins[0], &other, "name", "wrong-password"), REFUSED);
		}
		stop(&plugins[!first]);
	}
}

/* The broker refuses a callback, as a 2.0 does for the second plugin line of one path. */
static void registration_refused(void)
{
	int events[] = {IOTDA_EVT_BASIC_AUTH, IOTDA_EVT_RELOAD, IOTDA_EVT_TICK, IOTDA_EVT_DISCONNECT, IOTDA_EVT_MESSAGE};
	mosquitto_plugin_id_t other = {0};
	start(&other);
	for(int i = 0; i < 10; i++){
		int code = i < 5 ? IOTDA_ERR_ALREADY_EXISTS : IOTDA_ERR_NOMEM;
		mosquitto_plugin_id_t plugin = {.refused_event = events[i % 5], .refusal = code};
		forget_log();
		CHECK_CODE(INIT(&plugin, {"secrets_file", file("secrets")}), code);
		CHECK(plugin.count == 0 && !plugin.userdata);
		CHECK(logged_at(IOTDA_LOG_ERR) == 1 && logged("not started: ") == 1);
		/* The number would tell an operator nothing. */
		CHECK(logged("found a second plugin line") == (i < 5) && logged("per_listener_settings true") == (i < 5));
		CHECK(logged("answers 1 to a callback") == (i >= 5) && logged("answers 31") == 0);
		CHECK_CODE(cleanup(&plugin), IOTDA_SUCCESS);
	}
	CHECK_CODE(right_login(&other), IOTDA_SUCCESS);
	stop(&other);
}

/* A start that fails leaves a line that says why, and nothing else. */
#define FAILS(message, ...) \
	do{ \
		mosquitto_plugin_id_t plugin = {0}; \
		forget_log(); \
		CHECK_CODE(INIT(&plugin, __VA_ARGS__), IOTDA_ERR_INVAL); \
		CHECK(!plugin.userdata && plugin.count == 0); \
		CHECK(logged_at(IOTDA_LOG_ERR) == line_count); \
		CHECK(logged("not started: ") == 1); \
		CHECK(strstr(lines[0].text, message)); \
	}while(0)

static void init_errors(void)
{
	mosquitto_plugin_id_t plugin = {0};
	CHECK_CODE(plugin_init(&plugin, &plugin.userdata, NULL, 0), IOTDA_ERR_INVAL);
	CHECK(logged("plugin_opt_secrets_file") == 1);
	CHECK_CODE(plugin_init(&plugin, &plugin.userdata, NULL, 3), IOTDA_ERR_INVAL);
	CHECK_CODE(plugin_init(&plugin, &plugin.userdata, (struct iotda_opt[]){{0}}, -1), IOTDA_ERR_INVAL);
	CHECK(!plugin.userdata && plugin.count == 0);

	const char *secrets_file = file("secrets");
	FAILS("plugin_opt_keepalive", {"keepalive", "0-10"}, {"secrets_file", secrets_file});
	FAILS("plugin_opt_secret_file: unknown option", {"secret_file", secrets_file});
	FAILS("plugin_opt_secrets_file: found twice", {"secrets_file", secrets_file}, {"secrets_file", secrets_file});
	FAILS("plugin_opt_timestamp_max_age", {"secrets_file", secrets_file}, {"timestamp_max_age", "soon\n\x1b\xff"});
	FAILS("plugin_opt_: unknown option", {NULL, "1h"}, {"secrets_file", secrets_file});
	FAILS("plugin_opt_: unknown option", {NULL, NULL});
	FAILS("plugin_opt_secrets_file", {"secrets_file", NULL});
	FAILS("plugin_opt_secrets_file", {"secrets_file", " \t"});
	FAILS("unknown option", {"\xff\xfe\n%s%n", "%s%n"});

	char *longest = text_of('k', 60000);
	FAILS("plugin_opt_kkkkkkkk", {longest, "1h"});
	CHECK(strstr(lines[0].text, "kkk..."));
	FAILS("plugin_opt_keepalive: expected any", {"keepalive", longest});
	CHECK(strstr(lines[0].text, "kkk..."));
	FAILS("kkk...kkk", {"secrets_file", longest});
	CHECK(strstr(lines[0].text, "cannot be read: File name too long"));
	free(longest);
}

static void init_with_bad_files(void)
{
	FAILS("cannot be read", {"secrets_file", file("missing")});
	FAILS("expected a regular file", {"secrets_file", file("directory")});
	FAILS("expected a regular file", {"secrets_file", "/dev/null"});
	FAILS("others cannot write", {"secrets_file", file("writable")});
	FAILS("25 wrong lines", {"secrets_file", file("wrong")});
	CHECK(line_count == 22);
	CHECK(logged(" line ") == 20);
	CHECK(strstr(lines[1].text, " line 1: ") && strstr(lines[20].text, " line 20: "));
	CHECK(strstr(lines[21].text, "and 5 more"));

	mosquitto_plugin_id_t plugin = {0};
	forget_log();
	CHECK_CODE(INIT(&plugin, {"secrets_file", file("readable")}), IOTDA_SUCCESS);
	CHECK(logged_at(IOTDA_LOG_WARNING) == 1 && logged("chmod o-r") == 1);
	stop(&plugin);
	forget_log();
	CHECK_CODE(INIT(&plugin, {"secrets_file", file("empty")}), IOTDA_SUCCESS);
	CHECK(logged_at(IOTDA_LOG_WARNING) == 1 && logged("no device") == 1);
	stop(&plugin);
}

/* ---- scenarios: logins ---- */

static void logins(void)
{
	mosquitto_plugin_id_t plugin = {0};
	start(&plugin);
	struct mosquitto device = client(CLIENT_ID);
	for(int version = 3; version <= 5; version++){
		device.protocol_version = version;
		forget_log();
		CHECK_CODE(ask(&plugin, &device, DEVICE, PASSWORD), IOTDA_SUCCESS);
		CHECK(logged_at(IOTDA_LOG_NOTICE) == 0);
		CHECK_CODE(gone(&plugin, IOTDA_EVT_DISCONNECT, &device), IOTDA_SUCCESS);
	}

	device.protocol_version = 4; /* a 5 is refused with other codes, see connack.c */
	check_refused(&plugin, &device, DEVICE, "wrong-password", "reason=wrong_password");
	check_refused(&plugin, &device, DEVICE, "", "reason=wrong_password");
	check_refused(&plugin, &device, "someone", PASSWORD, "reason=user_mismatch");
	struct mosquitto unknown = client("nobody_0_0_2999010100");
	check_refused(&plugin, &unknown, "nobody", PASSWORD, "reason=unknown_device");
	struct mosquitto slow = client(CLIENT_ID);
	for(int i = 0; i < 4; i++){
		slow.keepalive = (int[]){0, 65535, -1, INT32_MAX}[i];
		check_refused(&plugin, &slow, DEVICE, PASSWORD, "reason=bad_keepalive");
	}
	struct mosquitto other = client("someone");
	check_refused(&plugin, &other, "name", "wrong-password", "reason=bad_client_id");
	CHECK(logged("client=\"someone\" user=\"name\" address=203.0.113.7 ") == 1);
	CHECK_CODE(ask(&plugin, &device, DEVICE, PASSWORD), IOTDA_SUCCESS);
	stop(&plugin);
}

/* Each of a login's four texts can be missing. */
static void nulls(void)
{
	mosquitto_plugin_id_t plugin = {0};
	start(&plugin);
	for(int missing = 1; missing < 16; missing++){
		struct mosquitto device = client(missing & 1 ? NULL : CLIENT_ID);
		if(missing & 2) device.address = NULL;
		const char *username = missing & 4 ? NULL : DEVICE;
		const char *password = missing & 8 ? NULL : PASSWORD;
		if(missing == 2){
			CHECK_CODE(ask(&plugin, &device, username, password), IOTDA_SUCCESS);
			continue;
		}
		const char *reason = missing & 1 ? "reason=bad_client_id"
				: missing & 4 ? "reason=user_mismatch" : "reason=wrong_password";
		check_refused(&plugin, &device, username, password, reason);
		CHECK(logged("client=- ") == !!(missing & 1));
		CHECK(logged("address=- ") == !!(missing & 2));
		CHECK(logged("user=- ") == !!(missing & 4));
	}
	stop(&plugin);
}

static void null_events(void)
{
	mosquitto_plugin_id_t plugin = {0};
	start(&plugin);
	CHECK_CODE(deliver(&plugin, IOTDA_EVT_BASIC_AUTH, NULL), REFUSED);
	struct iotda_evt_basic_auth nobody = {.username = DEVICE, .password = PASSWORD};
	CHECK_CODE(deliver(&plugin, IOTDA_EVT_BASIC_AUTH, &nobody), REFUSED);

	CHECK_CODE(deliver(&plugin, IOTDA_EVT_DISCONNECT, NULL), IOTDA_SUCCESS);
	CHECK_CODE(gone(&plugin, IOTDA_EVT_DISCONNECT, NULL), IOTDA_SUCCESS);
	int offline = IS_2_1 ? IOTDA_SUCCESS : UNREGISTERED;
	CHECK_CODE(deliver(&plugin, IOTDA_EVT_CLIENT_OFFLINE, NULL), offline);
	CHECK_CODE(gone(&plugin, IOTDA_EVT_CLIENT_OFFLINE, NULL), offline);
	CHECK_CODE(deliver(&plugin, IOTDA_EVT_CONNECT, NULL), offline);
	CHECK_CODE(deliver(&plugin, IOTDA_EVT_CONNECT, &(struct iotda_evt_connect){0}), offline);
	for(int i = 0; i < 2; i++){
		int event = i ? IOTDA_EVT_UNSUBSCRIBE : IOTDA_EVT_SUBSCRIBE;
		CHECK_CODE(deliver(&plugin, event, NULL), offline);
		CHECK_CODE(deliver(&plugin, event, &(struct iotda_evt_subscribe){0}), offline);
		struct iotda_evt_subscribe nobodys = {.data = {.topic_filter = DOWN("commands/#")}};
		CHECK_CODE(deliver(&plugin, event, &nobodys), offline);
		struct mosquitto somebody = client(CLIENT_ID);
		CHECK_CODE(deliver(&plugin, event, &(struct iotda_evt_subscribe){.client = &somebody}), offline);
	}
	CHECK_CODE(deliver(&plugin, IOTDA_EVT_MESSAGE, NULL), IOTDA_SUCCESS);
	CHECK_CODE(deliver(&plugin, IOTDA_EVT_MESSAGE, &(struct iotda_evt_message){0}), IOTDA_SUCCESS);
	struct iotda_evt_message empty = {.topic = DOWN("messages/down")}, odd = {.topic = "", .payload = "x", .payloadlen = 1};
	CHECK_CODE(deliver(&plugin, IOTDA_EVT_MESSAGE, &empty), IOTDA_SUCCESS);
	CHECK_CODE(deliver(&plugin, IOTDA_EVT_MESSAGE, &odd), IOTDA_SUCCESS);
	/* Where there is no payload, its length counts for nothing. */
	empty.payloadlen = 100;
	CHECK_CODE(deliver(&plugin, IOTDA_EVT_MESSAGE, &empty), IOTDA_SUCCESS);
	CHECK_CODE(deliver(&plugin, IOTDA_EVT_TICK, NULL), IOTDA_SUCCESS);
	CHECK_CODE(deliver(&plugin, IOTDA_EVT_RELOAD, NULL), IS_2_1 ? IOTDA_SUCCESS : IOTDA_ERR_PLUGIN_DEFER);
	CHECK_CODE(tick(&plugin), IOTDA_SUCCESS);
	CHECK_CODE(right_login(&plugin), IOTDA_SUCCESS);
	stop(&plugin);
}

static void null_user_data(void)
{
	mosquitto_plugin_id_t plugin = {0};
	start(&plugin);
	struct mosquitto device = client(CLIENT_ID);
	struct iotda_evt_basic_auth login = {.client = &device, .username = DEVICE, .password = PASSWORD};
	struct iotda_evt_disconnect disconnect = {.client = &device};
	struct iotda_evt_message message = {.topic = DOWN("messages/down")};
	struct iotda_evt_subscribe filter = {.client = &device, .data = {.topic_filter = DOWN("commands/#")}};
	for(int i = 0; i < plugin.count; i++){
		int event = plugin.callbacks[i].event;
		void *data = event == IOTDA_EVT_BASIC_AUTH ? (void *)&login
				: event == IOTDA_EVT_MESSAGE ? (void *)&message
				: event == IOTDA_EVT_SUBSCRIBE || event == IOTDA_EVT_UNSUBSCRIBE ? (void *)&filter : (void *)&disconnect;
		int expected = event == IOTDA_EVT_BASIC_AUTH ? REFUSED : IOTDA_SUCCESS;
		CHECK_CODE(plugin.callbacks[i].callback(event, data, NULL), expected);
		CHECK_CODE(plugin.callbacks[i].callback(event, NULL, NULL), expected);
	}
	stop(&plugin);
}

/* Everything that a client may send as a password, a user name or a ClientId. */
static void long_and_odd_texts(void)
{
	mosquitto_plugin_id_t plugin = {0};
	start(&plugin);
	struct mosquitto device = client(CLIENT_ID);
	for(int i = 0; i < 6; i++){
		char *text = text_of((char[]){'a', '0', '"', '\n', '%', '\xff'}[i], 60000);
		check_refused(&plugin, &device, DEVICE, text, "reason=wrong_password");
		check_refused(&plugin, &device, text, PASSWORD, "reason=user_mismatch");
		struct mosquitto odd = client(text);
		odd.address = text;
		check_refused(&plugin, &odd, text, text, "reason=bad_client_id");
		text[300] = '\0';
		check_refused(&plugin, &odd, text, text, "reason=bad_client_id");
		strcpy(text + 300 - strlen("_0_0_2999010100"), "_0_0_2999010100");
		check_refused(&plugin, &odd, text, text, "reason=bad_client_id");
		text[256] = '\0';
		strcpy(text + 256 - strlen("_0_0_2999010100"), "_0_0_2999010100");
		check_refused(&plugin, &odd, DEVICE, text, "reason=user_mismatch");
		free(text);
	}
	check_refused(&plugin, &device, DEVICE, "\xff\xfe\x80 \xc3(", "reason=wrong_password");
	check_refused(&plugin, &device, "\xff\xfe\x80\n\x1b[31m", PASSWORD, "reason=user_mismatch");
	/* By another instance, which tells it in full. */
	stop(&plugin);
	start(&plugin);
	struct mosquitto forged = client("x\" address=192.0.2.1 reason=frozen \"");
	check_refused(&plugin, &forged, "%s%n", "%s%n", "reason=bad_client_id");
	CHECK(logged("client=\"x\\\" address=192.0.2.1 reason=frozen \\\"\" user=\"%s%n\" address=203.0.113.7 ") == 1);
	CHECK_CODE(right_login(&plugin), IOTDA_SUCCESS);
	stop(&plugin);
}

static void other_clients(void)
{
	mosquitto_plugin_id_t plugin = {0};
	CHECK_CODE(INIT(&plugin, {"secrets_file", file("secrets")}, {"other_clients", "defer"}), IOTDA_SUCCESS);
	struct mosquitto other = client("someone");
	forget_log();
	CHECK_CODE(ask(&plugin, &other, "name", "wrong-password"), IOTDA_ERR_PLUGIN_DEFER);
	CHECK_CODE(ask(&plugin, &other, NULL, NULL), IOTDA_ERR_PLUGIN_DEFER);
	other.id = NULL;
	CHECK_CODE(ask(&plugin, &other, "name", NULL), IOTDA_ERR_PLUGIN_DEFER);
	CHECK(line_count == 0);
	struct mosquitto device = client(CLIENT_ID);
	check_refused(&plugin, &device, DEVICE, "wrong-password", "reason=wrong_password");
	struct mosquitto unknown = client("nobody_0_0_2999010100");
	check_refused(&plugin, &unknown, "nobody", "wrong-password", "reason=unknown_device");
	CHECK_CODE(right_login(&plugin), IOTDA_SUCCESS);
	stop(&plugin);
}

/* ---- scenarios: sessions ---- */

static void put_file(const char *name);
static void tick_until_told(mosquitto_plugin_id_t *plugin);

static void reload_answers(void)
{
	mosquitto_plugin_id_t plugin = {0};
	start(&plugin);
	for(int round = 0; round < 3; round++){
		hang_up(&plugin);
		CHECK_CODE(tick(&plugin), IOTDA_SUCCESS);
		CHECK_CODE(right_login(&plugin), IOTDA_SUCCESS);
	}
	stop(&plugin);
}

/* A plugin for which an hour has some seconds left, from now on. */
static void start_with_short_hour(mosquitto_plugin_id_t *plugin)
{
	char age[32];
	snprintf(age, sizeof(age), "%lld", (long long)time(NULL) - atoll(argument("hour")) + 3);
	CHECK_CODE(INIT(plugin, {"secrets_file", file("secrets")}, {"timestamp_max_age", age}), IOTDA_SUCCESS);
}

static int fresh_login(mosquitto_plugin_id_t *plugin, struct mosquitto *client)
{
	return ask(plugin, client, argument("device"), argument("fresh_password"));
}

/* Waits until the hour has passed. */
static void wait_until_stale(mosquitto_plugin_id_t *plugin)
{
	struct mosquitto probe = client(argument("fresh_client"));
	for(int tenths = 0; tenths < 100; tenths++){
		forget_log();
		int code = fresh_login(plugin, &probe);
		if(code == REFUSED){
			CHECK(logged("reason=stale_timestamp") && logged("password=right"));
			refused_before("reason=stale_timestamp");
			return;
		}
		CHECK_CODE(code, IOTDA_SUCCESS);
		CHECK_CODE(gone(plugin, IOTDA_EVT_DISCONNECT, &probe), IOTDA_SUCCESS);
		usleep(100 * 1000);
	}
	CHECK(!"stale at last");
}

static int fresh_again(mosquitto_plugin_id_t *plugin, struct mosquitto *client, enum standing standing)
{
	return ask_again(plugin, client, standing, argument("device"), argument("fresh_password"));
}

/* A CONNECT whose hour has passed gets in at no time, over no transport. */
static void check_stale(mosquitto_plugin_id_t *plugin)
{
	for(int protocol = 0; protocol <= IOTDA_PROTOCOL_WEBSOCKETS; protocol += IOTDA_PROTOCOL_WEBSOCKETS){
		for(int version = 3; version <= 4; version++){
			struct mosquitto late = client(argument("fresh_client"));
			late.protocol = protocol;
			late.protocol_version = version;
			check_refused(plugin, &late, argument("device"), argument("fresh_password"), "reason=stale_timestamp");
		}
	}
}

/* A SIGHUP hours after a login does not end the session; a new login with the old credentials is refused, whenever it
 * comes. */
static void sweep(void)
{
	mosquitto_plugin_id_t plugin = {0};
	start_with_short_hour(&plugin);
	CHECK_CODE(tick(&plugin), IOTDA_SUCCESS);
	struct mosquitto session = client(argument("fresh_client")), other = client(CLIENT_ID);
	struct mosquitto away = client(argument("fresh_client"));
	CHECK_CODE(fresh_login(&plugin, &session), IOTDA_SUCCESS);
	CHECK_CODE(ask(&plugin, &other, DEVICE, PASSWORD), IOTDA_SUCCESS);
	wait_until_stale(&plugin);

	for(int round = 0; round < 3; round++){
		if(round){
			hang_up(&plugin);
			check_stale(&plugin);
		}
		hang_up(&plugin);
		forget_log();
		CHECK_CODE(fresh_again(&plugin, &session, ONLINE), IOTDA_SUCCESS);
		if(!IS_2_1) CHECK_CODE(fresh_again(&plugin, &session, CLOSING), IOTDA_SUCCESS);
		CHECK_CODE(ask_again(&plugin, &other, ONLINE, DEVICE, PASSWORD), IOTDA_SUCCESS);
		/* It waits for its device, and was never seen here. */
		CHECK_CODE(fresh_again(&plugin, &away, OFFLINE), IOTDA_SUCCESS);
		CHECK(line_count == 0);
		check_stale(&plugin);
		CHECK_CODE(tick(&plugin), IOTDA_SUCCESS);
		check_stale(&plugin);
	}
	CHECK(kick_count == 0);
	/* And where the session itself sends a CONNECT, it is a new login. */
	check_refused(&plugin, &session, argument("device"), argument("fresh_password"), "reason=stale_timestamp");
	stop(&plugin);
}

/* A 2.0 with per_listener_settings sends no TICK: nothing tells that the sweep is over. */
static void sweep_without_ticks(void)
{
	mosquitto_plugin_id_t plugin = {0};
	start_with_short_hour(&plugin);
	struct mosquitto session = client(argument("fresh_client")), away = client(argument("fresh_client"));
	CHECK_CODE(fresh_login(&plugin, &session), IOTDA_SUCCESS);
	wait_until_stale(&plugin);
	for(int round = 0; round < 2; round++){
		hang_up(&plugin);
		forget_log();
		CHECK_CODE(fresh_again(&plugin, &session, ONLINE), IOTDA_SUCCESS);
		CHECK_CODE(fresh_again(&plugin, &away, OFFLINE), IOTDA_SUCCESS);
		CHECK(line_count == 0);
		check_stale(&plugin);
		/* Nothing of that has made a session of the one that is not known. */
		hang_up(&plugin);
		check_ended(&plugin, &away, argument("device"), argument("fresh_password"), "reason=stale_timestamp");
		check_stale(&plugin);
	}
	stop(&plugin);
}

/* Sessions that wait are never refused, and nobody is told anything of them: not those that came back from the persistence
 * file without a password, nor those of devices that are no longer there. */
static void sweep_of_restored_sessions(void)
{
	mosquitto_plugin_id_t plugin = {0};
	keep_counters = true;
	CHECK_CODE(INIT(&plugin, {"secrets_file", file("secrets")}, {"failure_limit", "1/1h"}), IOTDA_SUCCESS);
	CHECK_CODE(tick(&plugin), IOTDA_SUCCESS);
	struct mosquitto known = client(CLIENT_ID), unknown = client("nobody_0_0_2999010100"), other = client("someone");
	hang_up(&plugin);
	forget_log();
	for(int standing = OFFLINE; standing <= RESTORED; standing++){
		CHECK_CODE(ask_again(&plugin, &known, standing, DEVICE, NULL), IOTDA_SUCCESS);
		CHECK_CODE(ask_again(&plugin, &known, standing, DEVICE, "wrong-password"), IOTDA_SUCCESS);
		CHECK_CODE(ask_again(&plugin, &known, standing, "nobody", NULL), IOTDA_SUCCESS);
		CHECK_CODE(ask_again(&plugin, &known, standing, NULL, NULL), IOTDA_SUCCESS);
		CHECK_CODE(ask_again(&plugin, &unknown, standing, "nobody", NULL), IOTDA_SUCCESS);
		CHECK_CODE(ask_again(&plugin, &other, standing, "name", NULL), IOTDA_SUCCESS);
	}
	CHECK(line_count == 0 && kick_count == 0);
	/* None of these was held against the address. */
	CHECK_CODE(right_login(&plugin), IOTDA_SUCCESS);
	stop(&plugin);
	CHECK(logged("accepted=1 deferred=0 refused=0 rechecked=12 ") == 1);
	keep_counters = false;

	/* What was allowed to wait is a login like any other once it comes, in the sweep and after it. */
	start(&plugin);
	for(int round = 0; round < 3; round++){
		if(round == 1) hang_up(&plugin);
		if(round == 2) CHECK_CODE(tick(&plugin), IOTDA_SUCCESS);
		struct mosquitto restored = {.numbers = {2, 900}, .id = CLIENT_ID, .with_adns = true};
		if(round == 1) CHECK_CODE(ask_again(&plugin, &restored, RESTORED, DEVICE, NULL), IOTDA_SUCCESS);
		check_refused(&plugin, &restored, DEVICE, NULL, "reason=bad_keepalive");
		restored.keepalive = 120;
		check_refused(&plugin, &restored, DEVICE, NULL, "reason=wrong_password");
		/* One that is online is none of them, whatever it lacks. */
		hang_up(&plugin);
		check_ended(&plugin, &restored, DEVICE, NULL, "reason=wrong_password");
		restored.address = "203.0.113.7";
		check_ended(&plugin, &restored, DEVICE, NULL, "reason=wrong_password");
	}
	stop(&plugin);

	/* Others decide about the rest, if they may, but not about who waits. */
	CHECK_CODE(INIT(&plugin, {"secrets_file", file("secrets")}, {"other_clients", "defer"}), IOTDA_SUCCESS);
	hang_up(&plugin);
	for(int standing = OFFLINE; standing <= RESTORED; standing++){
		CHECK_CODE(ask_again(&plugin, &other, standing, "name", NULL), IOTDA_SUCCESS);
		CHECK_CODE(ask_again(&plugin, &unknown, standing, "nobody", NULL), IOTDA_SUCCESS);
		CHECK_CODE(ask_again(&plugin, &known, standing, "name", NULL), IOTDA_SUCCESS);
	}
	CHECK_CODE(ask_again(&plugin, &other, ONLINE, "name", NULL), IOTDA_ERR_PLUGIN_DEFER);
	stop(&plugin);
}

/* The broker gives the address of a client that is gone to the next one. */
static void reused_pointers(void)
{
	const char *device = argument("device"), *stale_id = argument("stale_client");
	const char *stale = argument("stale_password"), *fresh = argument("fresh_password");
	mosquitto_plugin_id_t plugin = {0};
	start(&plugin);
	struct mosquitto place = client(argument("fresh_client"));

	/* What was known of the first client does not help the second, be it a login or a session. */
	int events[] = {IOTDA_EVT_DISCONNECT, IS_2_1 ? IOTDA_EVT_CLIENT_OFFLINE : IOTDA_EVT_DISCONNECT, 0};
	for(int i = 0; i < 6; i++){
		bool ticks = i >= 3;
		place.id = argument("fresh_client");
		CHECK_CODE(fresh_login(&plugin, &place), IOTDA_SUCCESS);
		if(events[i % 3]) CHECK_CODE(gone(&plugin, events[i % 3], &place), IOTDA_SUCCESS);
		place.id = stale_id;
		if(i % 2){
			hang_up(&plugin);
			check_ended(&plugin, &place, device, stale, "reason=stale_timestamp");
		}
		check_refused(&plugin, &place, device, stale, "reason=stale_timestamp");
		hang_up(&plugin);
		check_refused(&plugin, &place, device, stale, "reason=stale_timestamp");
		check_refused(&plugin, &place, device, fresh, "reason=stale_timestamp");
		hang_up(&plugin);
		check_ended(&plugin, &place, device, stale, "reason=stale_timestamp");
		/* The refusal has made the place anyone's: the first client's credentials are checked again, and are right. */
		place.id = CLIENT_ID;
		check_ended(&plugin, &place, DEVICE, fresh, "reason=wrong_password");
		check_refused(&plugin, &place, DEVICE, fresh, "reason=wrong_password");
		/* To be checked again in a sweep makes no session that is known. */
		hang_up(&plugin);
		place.id = argument("fresh_client");
		CHECK_CODE(ask_again(&plugin, &place, ONLINE, device, fresh), IOTDA_SUCCESS);
		if(ticks) CHECK_CODE(tick(&plugin), IOTDA_SUCCESS);
		place.id = stale_id;
		check_refused(&plugin, &place, device, stale, "reason=stale_timestamp");
		/* One that waits may wait, and is no login either. */
		hang_up(&plugin);
		CHECK_CODE(ask_again(&plugin, &place, OFFLINE, device, stale), IOTDA_SUCCESS);
		check_refused(&plugin, &place, device, stale, "reason=stale_timestamp");
		if(ticks) CHECK_CODE(tick(&plugin), IOTDA_SUCCESS);
	}
	stop(&plugin);
}

/* What a 2.0's client begins with is believed if all of it is as it should be, and not if any of it is not. */
static void heads(void)
{
	struct mosquitto away = client("nobody_0_1_2020010100"), place = client(argument("fresh_client"));
	for(int with_adns = 0; with_adns < 2; with_adns++){
		for(int wrong = NOWHERE; wrong < PLACES; wrong++){
			mosquitto_plugin_id_t plugin = {0};
			start(&plugin);
			CHECK_CODE(tick(&plugin), IOTDA_SUCCESS);
			away.with_adns = place.with_adns = with_adns;
			away.wrong = place.wrong = NOWHERE;
			hang_up(&plugin);
			CHECK_CODE(ask_again(&plugin, &away, OFFLINE, "nobody", "wrong-password"), IOTDA_SUCCESS);
			away.wrong = place.wrong = wrong;
			/* A 2.1 says itself which sessions it has, and only whether one waits is looked up there. */
			bool proved = wrong == NOWHERE || (IS_2_1 && wrong != IDENT);
			for(int standing = OFFLINE; standing <= RESTORED; standing++){
				if(proved){
					CHECK_CODE(ask_again(&plugin, &away, standing, "nobody", "wrong-password"), IOTDA_SUCCESS);
				}else{
					CHECK_CODE(ask_again(&plugin, &away, standing, "nobody", "wrong-password"), REFUSED);
				}
			}
			/* Whoever logged in here goes on either way. */
			CHECK_CODE(fresh_login(&plugin, &place), IOTDA_SUCCESS);
			hang_up(&plugin);
			CHECK_CODE(fresh_again(&plugin, &place, ONLINE), IOTDA_SUCCESS);
			CHECK_CODE(fresh_again(&plugin, &place, OFFLINE), IOTDA_SUCCESS);
			if(!IS_2_1) CHECK_CODE(fresh_again(&plugin, &place, CLOSING), IOTDA_SUCCESS);
			/* Nobody else gets in, whenever it is. */
			for(int moment = 0; moment < 2; moment++){
				for(int protocol = 0; protocol <= IOTDA_PROTOCOL_WEBSOCKETS; protocol += IOTDA_PROTOCOL_WEBSOCKETS){
					struct mosquitto late = client(argument("stale_client"));
					late.with_adns = with_adns;
					late.wrong = wrong;
					late.protocol = protocol;
					CHECK_CODE(ask(&plugin, &late, argument("device"), argument("stale_password")), REFUSED);
				}
				CHECK_CODE(tick(&plugin), IOTDA_SUCCESS);
			}
			forget_log();
			stop(&plugin);
		}
	}
	/* A ClientId that is not there is proof of nothing. */
	mosquitto_plugin_id_t plugin = {0};
	start(&plugin);
	struct mosquitto nameless = client(NULL);
	nameless.numbers[1] = -1;
	nameless.state = STATE_DISCONNECTED;
	hang_up(&plugin);
	check_refused(&plugin, &nameless, DEVICE, PASSWORD, "reason=bad_client_id");
	stop(&plugin);
}

/* A client that a broker lets in without asking: a 2.1 says so, and it has to go; a 2.0 says nothing until it leaves. */
static void not_asked(void)
{
	mosquitto_plugin_id_t plugin = {0};
	const char *ids[] = {CLIENT_ID, "nobody_0_1_2020010100", DEVICE "_0_1_9999999999"};
	start(&plugin);
	struct mosquitto right = client(CLIENT_ID), other = client("someone"), device = client(DEVICE);
	log_in(&plugin, &right, DEVICE, PASSWORD);
	forget_log();
	/* A name that no device's session has is another's. */
	let_in(&plugin, &other);
	let_in(&plugin, &device);
	CHECK(kick_count == 0 && line_count == 0 && connected_count == 3);
	log_out(&device);
	log_out(&right);
	CHECK(line_count == 0);
	for(int i = 0; i < 3; i++){
		struct mosquitto unasked = client(ids[i]);
		unasked.username = "a certificate's name";
		forget_log();
		let_in(&plugin, &unasked);
		if(IS_2_1){
			CHECK(kick_count == i + 1 && was_kicked(ids[i]) && kicks_without_will == kick_count && connected_count == 1);
			CHECK(line_count == 1 && lines[0].level == IOTDA_LOG_NOTICE);
			CHECK(logged("user=\"a certificate's name\" address=203.0.113.7 reason=not_asked") == 1);
			continue;
		}
		CHECK(kick_count == 0 && line_count == 0 && connected_count == 2);
		/* One that was refused, and one that has long been offline, are no such clients. */
		struct mosquitto refused = client(ids[i]), away = client(ids[i]);
		away.numbers[1] = -1;
		away.state = STATE_DISCONNECTED;
		CHECK_CODE(gone(&plugin, IOTDA_EVT_DISCONNECT, &refused), IOTDA_SUCCESS);
		CHECK_CODE(gone(&plugin, IOTDA_EVT_DISCONNECT, &away), IOTDA_SUCCESS);
		/* Nor is one of which nothing is proved. */
		for(int wrong = IDENT; wrong < PLACES; wrong++){
			struct mosquitto unproved = client(ids[i]);
			unproved.state = STATE_ACTIVE;
			unproved.wrong = wrong;
			CHECK_CODE(gone(&plugin, IOTDA_EVT_DISCONNECT, &unproved), IOTDA_SUCCESS);
		}
		CHECK(line_count == 0);
		log_out(&unasked);
		/* It is told once: the broker's configuration is to be mended. */
		CHECK(line_count == (i == 0) && logged_at(IOTDA_LOG_ERR) == line_count);
		CHECK(logged("not asked about client=\"" CLIENT_ID "\" address=203.0.113.7: ") == line_count);
	}
	log_out(&other);
	stop(&plugin);

	/* A WebSocket that has closed; one that was told to close may be one that was refused. */
	start(&plugin);
	struct mosquitto closed = client(CLIENT_ID);
	closed.protocol = IOTDA_PROTOCOL_WEBSOCKETS;
	closed.numbers[1] = -1;
	closed.state = STATE_CLOSING;
	closed.with_adns = false;
	forget_log();
	CHECK_CODE(gone(&plugin, IOTDA_EVT_DISCONNECT, &closed), IOTDA_SUCCESS);
	CHECK(line_count == 0);
	closed.state = STATE_ACTIVE;
	CHECK_CODE(gone(&plugin, IOTDA_EVT_DISCONNECT, &closed), IOTDA_SUCCESS);
	CHECK(logged("not asked about client=") == !IS_2_1);
	stop(&plugin);

	/* Where sessions are known by their devices' ids, those are devices' names. */
	if(!IS_2_1) return;
	CHECK_CODE(INIT(&plugin, {"secrets_file", file("secrets")}, {"session_id", "device"}, {"other_clients", "defer"}),
			IOTDA_SUCCESS);
	forget_kicks();
	log_in(&plugin, &right, DEVICE, PASSWORD);
	CHECK(kick_count == 0);
	log_out(&right);
	let_in(&plugin, &device);
	CHECK(kick_count == 1 && was_kicked(DEVICE) && kicks_without_will == 1);
	stop(&plugin);
}

/* Another plugin keeps RELOAD from this one: the sweep itself says that there was one. */
static void missed_reload(void)
{
	mosquitto_plugin_id_t plugin = {0};
	keep_counters = true;
	put_file("secrets");
	CHECK_CODE(INIT(&plugin, {"secrets_file", file("table")}), IOTDA_SUCCESS);
	CHECK_CODE(tick(&plugin), IOTDA_SUCCESS);
	struct mosquitto first = client(CLIENT_ID), second = client(argument("fresh_client"));
	log_in(&plugin, &first, DEVICE, PASSWORD);
	log_in(&plugin, &second, argument("device"), argument("fresh_password"));
	forget_log();
	for(int round = 0; round < 3; round++){
		put_file(round == 2 ? "others" : "secrets");
		forget_log();
		CHECK_CODE(ask_again(&plugin, &first, round == 1 ? OFFLINE : ONLINE, DEVICE, PASSWORD), IOTDA_SUCCESS);
		CHECK_CODE(fresh_again(&plugin, &second, ONLINE), IOTDA_SUCCESS);
		/* Told once since the start, and each time the file is read, once. */
		CHECK(line_count == 1 + (round == 0) && logged("iotda-auth: since the start: ") == 1);
		CHECK(logged_at(IOTDA_LOG_WARNING) == (round == 0));
		CHECK(logged("the broker reloads and has not said so") == (round == 0));
		CHECK(kick_count == 0);
		tick_until_told(&plugin);
		CHECK(logged("reloaded in") == 1 && kick_count == (round == 2 ? 2 : 0));
	}
	CHECK(logged("2 removed, 0 changed; 0 logged in, 2 disconnected") == 1 && kicks_without_will == 0);
	stop(&plugin);
}

/* Many clients come and go, some of them without a word. */
static void many_clients(void)
{
	mosquitto_plugin_id_t plugin = {0};
	CHECK_CODE(INIT(&plugin, {"secrets_file", file("secrets")}, {"takeover_limit", "off"}), IOTDA_SUCCESS);
	struct mosquitto *clients = calloc(500, sizeof(*clients));
	CHECK(clients);
	for(int round = 0; round < 3; round++){
		for(int i = 0; i < 500; i++){
			clients[i] = client(CLIENT_ID);
			CHECK_CODE(ask(&plugin, &clients[i], DEVICE, PASSWORD), IOTDA_SUCCESS);
		}
		hang_up(&plugin);
		for(int i = 0; i < 500; i++) {
			CHECK_CODE(ask_again(&plugin, &clients[i], ONLINE, DEVICE, PASSWORD), IOTDA_SUCCESS);
		}
		CHECK_CODE(tick(&plugin), IOTDA_SUCCESS);
		for(int i = round; i < 500; i += 2) gone(&plugin, IOTDA_EVT_DISCONNECT, &clients[i]);
	}
	stop(&plugin);
	free(clients);
}

/* ---- scenarios: faults, and the end ---- */

/* For a library with fault injection: a fault refuses its own login and no other. */
static void panic_in_a_login(void)
{
	mosquitto_plugin_id_t plugins[2] = {0};
	start(&plugins[0]);
	start(&plugins[1]);
	struct mosquitto bad = client("fault-injection: panic");
	for(int round = 0; round < 3; round++){
		if(round == 1) hang_up(&plugins[0]);
		if(round == 2) CHECK_CODE(tick(&plugins[0]), IOTDA_SUCCESS);
		forget_log();
		CHECK_CODE(ask(&plugins[0], &bad, DEVICE, PASSWORD), REFUSED);
		CHECK(line_count == 2);
		CHECK(lines[0].level == IOTDA_LOG_ERR && strstr(lines[0].text, "internal error at src/"));
		CHECK(lines[1].level == IOTDA_LOG_NOTICE && strstr(lines[1].text, "reason=internal_error"));
		CHECK_CODE(right_login(&plugins[0]), IOTDA_SUCCESS);
		CHECK_CODE(right_login(&plugins[1]), IOTDA_SUCCESS);
	}
	stop(&plugins[0]);
	forget_log();
	CHECK_CODE(ask(&plugins[1], &bad, DEVICE, PASSWORD), REFUSED);
	CHECK(logged("internal error at src/") == 1);
	CHECK_CODE(right_login(&plugins[1]), IOTDA_SUCCESS);
	stop(&plugins[1]);
}

#include "reload.c"
#include "connack.c"
#include "see.c"
#include "certificate.c"
#include "down.c"

static void *start_and_stop(void *unused)
{
	(void)unused;
	broker_thread = gettid();
	mosquitto_plugin_id_t plugin = {0}, wrong = {0};
	CHECK(INIT(&wrong, {"secrets_file", file("missing")}) != IOTDA_SUCCESS);
	start(&plugin);
	CHECK_CODE(right_login(&plugin), IOTDA_SUCCESS);
	stop(&plugin);
	return NULL;
}

/* A 2.0 unmaps the library at its end; nothing of it may be called after that. What Rust leaves on a thread that starts
 * another holds the library until that thread ends, so the broker's is one that does. */
static void unload(void)
{
	for(int round = 0; round < 3; round++){
		pthread_t broker;
		CHECK(pthread_create(&broker, NULL, start_and_stop, NULL) == 0);
		CHECK(pthread_join(broker, NULL) == 0);
		broker_thread = 0;
		CHECK(threads == 0);
		if(keep_loaded) continue;
		CHECK(dlclose(library) == 0);
		CHECK(!dlopen(library_path, RTLD_NOW | RTLD_NOLOAD));
		open_library();
	}
}

/* ---- for the host's own test ---- */

static void self_failed_check(void)
{
	CHECK(1 + 1 == 3);
}

static void self_leak(void)
{
	char *volatile block = text_of('x', 100);
	block = NULL;
	(void)block;
}

static void self_read_after_end(void)
{
	char *volatile block = text_of('x', 7);
	if(block[8] == 'y') puts("not so");
	free(block);
}

static void self_lost_instance(void)
{
	mosquitto_plugin_id_t plugin = {0};
	start(&plugin);
}

/* For a host that lacks a function: the start fails, and says which. */
static void missing_function(void)
{
	mosquitto_plugin_id_t plugin = {0};
	CHECK(INIT(&plugin, {"secrets_file", file("secrets")}) == IOTDA_ERR_UNKNOWN);
	CHECK(!plugin.userdata && plugin.count == 0 && line_count == 0);
}

static const struct {
	const char *name;
	void (*play)(void);
} scenarios[] = {
#define SCENARIO(name) {#name, name}
	SCENARIO(versions),
	SCENARIO(init_and_cleanup),
	SCENARIO(cleanup_twice),
	SCENARIO(cleanup_of_strangers),
	SCENARIO(init_without_user_data),
	SCENARIO(two_instances),
	SCENARIO(registration_refused),
	SCENARIO(init_errors),
	SCENARIO(init_with_bad_files),
	SCENARIO(logins),
	SCENARIO(nulls),
	SCENARIO(null_events),
	SCENARIO(null_user_data),
	SCENARIO(long_and_odd_texts),
	SCENARIO(other_clients),
	SCENARIO(reload_answers),
	SCENARIO(sweep),
	SCENARIO(sweep_without_ticks),
	SCENARIO(sweep_of_restored_sessions),
	SCENARIO(reused_pointers),
	SCENARIO(heads),
	SCENARIO(not_asked),
	SCENARIO(missed_reload),
	SCENARIO(many_clients),
	SCENARIO(reload_at_a_tick),
	SCENARIO(reload_at_a_login),
	SCENARIO(reload_at_no_reload),
	SCENARIO(reload_of_bad_files),
	SCENARIO(reload_interval),
	SCENARIO(cleanup_after_reload),
	SCENARIO(cleanup_while_loading),
	SCENARIO(unload_while_loading),
	SCENARIO(thread_without_signals),
	SCENARIO(thread_refused),
	SCENARIO(no_file_descriptors),
	SCENARIO(end_without_an_answer),
	SCENARIO(two_threads),
	SCENARIO(many_reloads),
	SCENARIO(connack_is_exact),
	SCENARIO(connack_over_each_family),
	SCENARIO(connack_on_listed_ports),
	SCENARIO(connack_to_the_client_itself),
	SCENARIO(connack_needs_an_address),
	SCENARIO(connack_on_plain_connections),
	SCENARIO(connack_of_known_versions),
	SCENARIO(connack_to_a_peer_that_is_gone),
	SCENARIO(connack_behind_a_proxy),
	SCENARIO(connack_doubts),
	SCENARIO(connack_in_a_sweep),
	SCENARIO(session_by_device),
	SCENARIO(one_connection),
	SCENARIO(takeovers),
	SCENARIO(hearsay),
	SCENARIO(stats),
	SCENARIO(thinned_log),
	SCENARIO(certificates),
	SCENARIO(certificates_and_reloads),
	SCENARIO(subscribed_at_connect),
	SCENARIO(own_filters),
	SCENARIO(resumed_filters),
	SCENARIO(filters_of_others),
	SCENARIO(handed_down),
	SCENARIO(undelivered),
	SCENARIO(panic_in_a_login),
	SCENARIO(unload),
	SCENARIO(self_failed_check),
	SCENARIO(self_leak),
	SCENARIO(self_read_after_end),
	SCENARIO(self_lost_instance),
	SCENARIO(missing_function),
	SCENARIO(without_tls),
	SCENARIO(without_subscriptions),
};

int main(int count, char *given[])
{
	if(count == 2 && strcmp(given[1], "list") == 0){
		for(size_t i = 0; i < sizeof(scenarios) / sizeof(*scenarios); i++) puts(scenarios[i].name);
		return 0;
	}
	if(count < 4) return 2;
	library_path = given[1];
	folder = given[2];
	arguments = given + 4;
	keep_loaded = count > 4 && strcmp(given[4], "keep-loaded") == 0;
	for(size_t i = 0; i < sizeof(scenarios) / sizeof(*scenarios); i++){
		if(strcmp(scenarios[i].name, given[3]) != 0) continue;
		open_library();
		scenarios[i].play();
		CHECK(threads == 0);
		close_library();
		return 0;
	}
	fprintf(stderr, "no scenario %s\n", given[3]);
	return 2;
}
