/*
 * Scenarios of the answers to a CONNECT: written to real sockets, given as return codes, and what follows from a login.
 * host.c includes this file.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/un.h>

/* ---- connections ---- */

struct connection {
	int listener, server, peer; /* the broker's two descriptors, and the device's own */
	int port;
};

static socklen_t address_of(struct sockaddr_storage *address, int family, int port)
{
	memset(address, 0, sizeof(*address));
	address->ss_family = family;
	if(family == AF_INET){
		struct sockaddr_in *in = (struct sockaddr_in *)address;
		in->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
		in->sin_port = htons(port);
		return sizeof(*in);
	}
	struct sockaddr_in6 *in = (struct sockaddr_in6 *)address;
	in->sin6_addr = in6addr_loopback;
	in->sin6_port = htons(port);
	return sizeof(*in);
}

/* A device that has connected to a listener of a family, from a family; a CONNECT has come in if it is not silent. */
static struct connection connection(int family, int from, bool silent)
{
	struct connection made;
	struct sockaddr_storage address;
	socklen_t length = address_of(&address, family, 0);
	if(from != family) ((struct sockaddr_in6 *)&address)->sin6_addr = in6addr_any;
	CHECK((made.listener = socket(family, SOCK_STREAM, 0)) >= 0);
	CHECK(bind(made.listener, (struct sockaddr *)&address, length) == 0 && listen(made.listener, 1) == 0);
	CHECK(getsockname(made.listener, (struct sockaddr *)&address, &length) == 0);
	made.port = ntohs(((struct sockaddr_in *)&address)->sin_port); /* at the same place in either family */
	length = address_of(&address, from, made.port);
	CHECK((made.peer = socket(from, SOCK_STREAM, 0)) >= 0);
	CHECK(connect(made.peer, (struct sockaddr *)&address, length) == 0);
	CHECK((made.server = accept(made.listener, NULL, NULL)) >= 0);
	if(!silent){
		char packet[20];
		CHECK(write(made.peer, "a CONNECT, for all we know", 20) == 20);
		CHECK(read(made.server, packet, sizeof(packet)) == 20);
	}
	CHECK(fcntl(made.server, F_SETFL, O_NONBLOCK) == 0);
	return made;
}

static void hang(struct connection *connection)
{
	close(connection->peer);
	close(connection->server);
	close(connection->listener);
}

/* What the device gets, to the end; the broker's own answer is tried after ours. */
static int received(struct connection *connection, unsigned char *bytes, size_t size)
{
	ssize_t count;
	int sum = 0;
	send(connection->server, "own", 3, MSG_NOSIGNAL);
	shutdown(connection->server, SHUT_RDWR);
	while((count = read(connection->peer, bytes + sum, size - sum)) > 0) sum += (int)count;
	return sum;
}

static struct mosquitto behind(const struct connection *connection, int version, const char *address)
{
	struct mosquitto device = client("lamp-01");
	device.protocol_version = version;
	device.address = address;
	device.listener_port = connection->port;
	device.numbers[0] = 2; /* an epoll build's mark of a client */
	device.numbers[1] = connection->server;
	return device;
}

static void start_with_port(mosquitto_plugin_id_t *plugin, int port)
{
	char text[16];
	snprintf(text, sizeof(text), "1,%d", port);
	CHECK_CODE(INIT(plugin, {"secrets_file", file("secrets")}, {"exact_connack_ports", text}), IOTDA_SUCCESS);
}

/* ---- scenarios ---- */

/* ClientId "lamp-01" has not the shape: 2, 0x85. */
static void exact_connack(void)
{
	static const struct {
		int family, from;
		const char *address;
	} ways[] = {
		{AF_INET, AF_INET, "127.0.0.1"},
		{AF_INET6, AF_INET6, "::1"},
		{AF_INET6, AF_INET, "::ffff:127.0.0.1"},
	};
	for(int way = 0; way < 3; way++){
		for(int version = 3; version <= 5; version++){
			for(int epoll = 0; epoll < 2; epoll++){
				struct connection made = connection(ways[way].family, ways[way].from, false);
				mosquitto_plugin_id_t plugin = {0};
				start_with_port(&plugin, made.port);
				struct mosquitto device = behind(&made, version, ways[way].address);
				if(!epoll){
					device.numbers[0] = made.server;
					device.numbers[1] = 0;
				}
				int flags = fcntl(made.server, F_GETFL);
				int code = ask(&plugin, &device, "lamp-01", PASSWORD);
				CHECK_CODE(fcntl(made.server, F_GETFL), flags); /* open, and as it was */
				unsigned char bytes[64];
				int count = received(&made, bytes, sizeof(bytes));
				if(IS_2_1 && version == 5){
					/* The broker itself sends the code. */
					CHECK_CODE(code, 0x85);
					CHECK(count == 3 && memcmp(bytes, "own", 3) == 0);
				}else if(version == 5){
					CHECK_CODE(code, REFUSED);
					CHECK(count == 5 && memcmp(bytes, "\x20\x03\x00\x85\x00", 5) == 0);
				}else{
					CHECK_CODE(code, REFUSED);
					CHECK(count == 4 && memcmp(bytes, "\x20\x02\x00\x02", 4) == 0);
				}
				stop(&plugin);
				hang(&made);
				forget_log();
			}
		}
	}
}

/* Nothing is written: the device gets what the broker has to say, and that alone. */
static void check_untouched(int line, struct connection *made, const struct mosquitto *device, int listed)
{
	mosquitto_plugin_id_t plugin = {0};
	start_with_port(&plugin, listed);
	forget_log();
	int code = ask(&plugin, device, "lamp-01", PASSWORD);
	unsigned char bytes[64];
	int count = received(made, bytes, sizeof(bytes));
	if(code != REFUSED || count != 3 || memcmp(bytes, "own", 3) != 0){
		fprintf(stderr, "line %d: code %d, %d bytes\n", line, code, count);
		exit(1);
	}
	stop(&plugin);
	hang(made);
	forget_log();
}

#define UNTOUCHED(silent, change) \
	do{ \
		struct connection made = connection(AF_INET, AF_INET, silent); \
		struct mosquitto device = behind(&made, 4, "127.0.0.1"); \
		int listed = made.port; \
		change; \
		check_untouched(__LINE__, &made, &device, listed); \
	}while(0)

static void no_exact_connack(void)
{
	signal(SIGPIPE, SIG_DFL); /* would end the host */
	UNTOUCHED(false, listed = made.port == 2 ? 3 : 2);
	UNTOUCHED(true, (void)0); /* a client that has sent nothing is not the one that is answered */
	UNTOUCHED(false, device.address = "127.0.0.2");
	UNTOUCHED(false, device.address = "::1");
	UNTOUCHED(false, device.address = "localhost");
	UNTOUCHED(false, device.address = "");
	UNTOUCHED(false, device.address = NULL);
	UNTOUCHED(false, device.protocol = 2); /* a WebSocket */
	UNTOUCHED(false, device.protocol_version = 0);
	UNTOUCHED(false, device.protocol_version = 6);
	UNTOUCHED(false, device.numbers[1] = -1);
	UNTOUCHED(false, device.numbers[1] = INT32_MAX);
	UNTOUCHED(false, device.numbers[1] = INT32_MIN);
	UNTOUCHED(false, device.numbers[1] = made.listener);
	UNTOUCHED(false, device.numbers[1] = 1000); /* not open */
	if(IS_2_1) UNTOUCHED(false, device.listener_port++);

	/* One on which something has been sent, as TLS and a WebSocket do: the device reads that first. */
	struct connection made = connection(AF_INET, AF_INET, false);
	struct mosquitto device = behind(&made, 4, "127.0.0.1");
	char hello[5];
	CHECK(write(made.server, "hello", 5) == 5 && read(made.peer, hello, 5) == 5);
	check_untouched(__LINE__, &made, &device, made.port);

	/* Another client's, which has had its CONNACK long ago. */
	struct connection other = connection(AF_INET, AF_INET, false);
	CHECK(write(other.server, "hello", 4) == 4 && read(other.peer, hello, 4) == 4);
	UNTOUCHED(false, (device.numbers[1] = other.server, listed = other.port, device.listener_port = other.port));
	CHECK(recv(other.peer, hello, 1, MSG_DONTWAIT) == -1 && errno == EAGAIN);
	hang(&other);

	/* Descriptors of other kinds. */
	int ends[2], pair[2];
	CHECK(pipe(ends) == 0 && socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0);
	int udp = socket(AF_INET, SOCK_DGRAM, 0), fresh = socket(AF_INET, SOCK_STREAM, 0);
	int others[] = {ends[0], ends[1], pair[0], pair[1], udp, fresh};
	for(int i = 0; i < 6; i++) UNTOUCHED(false, device.numbers[1] = others[i]);
	for(int i = 0; i < 6; i++) CHECK(close(others[i]) == 0);

	/* A session that is checked again has had its CONNACK, whatever its socket looks like. */
	made = connection(AF_INET, AF_INET, false);
	mosquitto_plugin_id_t plugin = {0};
	start_with_port(&plugin, made.port);
	device = behind(&made, 4, "127.0.0.1");
	device.sub_count = 1;
	hang_up(&plugin);
	CHECK_CODE(ask(&plugin, &device, "lamp-01", PASSWORD), REFUSED);
	unsigned char bytes[8];
	CHECK(received(&made, bytes, sizeof(bytes)) == 3);
	stop(&plugin);
	hang(&made);

	/* A device that has hung up already. */
	made = connection(AF_INET, AF_INET, false);
	plugin = (mosquitto_plugin_id_t){0};
	start_with_port(&plugin, made.port);
	device = behind(&made, 4, "127.0.0.1");
	struct linger at_once = {.l_onoff = 1};
	CHECK(setsockopt(made.peer, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once)) == 0);
	close(made.peer);
	CHECK_CODE(ask(&plugin, &device, "lamp-01", PASSWORD), REFUSED);
	made.peer = dup(made.server);
	stop(&plugin);
	hang(&made);
}

/* What 2.1 is told for an MQTT 5 client; everybody else is refused in one way. */
static void codes(void)
{
	mosquitto_plugin_id_t plugin = {0};
	start(&plugin);
	static const struct {
		const char *id, *username, *password;
		int keepalive, code;
	} rows[] = {
		{"backend", "backend", PASSWORD, 120, 0x85},
		{DEVICE "_0_7_2999010100", DEVICE, PASSWORD, 120, 0x85},
		{CLIENT_ID, DEVICE, PASSWORD, 0, 0x85},
		{CLIENT_ID, "other", PASSWORD, 120, 0x86},
		{"other_0_0_2999010100", "other", PASSWORD, 120, 0x86},
		{CLIENT_ID, DEVICE, "wrong", 120, 0x86},
	};
	for(size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++){
		for(int version = 3; version <= 5; version++){
			struct mosquitto device = client(rows[i].id);
			device.protocol_version = version;
			device.keepalive = rows[i].keepalive;
			int code = IS_2_1 && version == 5 ? rows[i].code : REFUSED;
			CHECK_CODE(ask(&plugin, &device, rows[i].username, rows[i].password), code);
		}
	}
	stop(&plugin);
}

static void session_ids(void)
{
	mosquitto_plugin_id_t plugin = {0};
	int code = INIT(&plugin, {"secrets_file", file("secrets")}, {"session_id", "device"});
#ifdef HOST_2_0
	CHECK(code != IOTDA_SUCCESS);
	CHECK(logged("plugin_opt_session_id: device is for Mosquitto 2.1 and later") == 1);
#else
	CHECK_CODE(code, IOTDA_SUCCESS);
	CHECK_CODE(right_login(&plugin), IOTDA_SUCCESS);
	CHECK(strcmp(given_id, DEVICE) == 0);
	refuse_ids = true;
	CHECK_CODE(right_login(&plugin), REFUSED);
	CHECK(logged("reason=internal_error") == 1);
	refuse_ids = false;
	given_id[0] = '\0';
	CHECK_CODE(right_login(&plugin), IOTDA_SUCCESS);
	CHECK(strcmp(given_id, DEVICE) == 0);
	stop(&plugin);
#endif
}

static void one_connection(void)
{
	for(int stay = 0; stay < 2; stay++){
		mosquitto_plugin_id_t plugin = {0};
		CHECK_CODE(INIT(&plugin, {"secrets_file", file("secrets")}, {"one_connection", stay ? "no" : "yes"}), IOTDA_SUCCESS);
		kick_count = 0;
		const char *stale = argument("stale_client"), *fresh = argument("fresh_client");
		CHECK(strcmp(stale, fresh) != 0);
		struct mosquitto first = client(CLIENT_ID), again = client(CLIENT_ID);
		log_in(&plugin, &first, DEVICE, PASSWORD);
		/* The same ClientId is the broker's to take over. */
		CHECK_CODE(ask(&plugin, &again, DEVICE, PASSWORD), IOTDA_SUCCESS);
		CHECK(kick_count == 0);
		gone(&plugin, IOTDA_EVT_DISCONNECT, &again);
		/* Another one, of another hour, in the hands of the same device. */
		struct mosquitto next = client(DEVICE "_0_0_2023111506");
		const char *password = "1c05cd54cb1b9585d40f10581aa2c84bf8c93c418eceff2f55f55dbc396c5b32";
		CHECK_CODE(ask(&plugin, &next, DEVICE, password), IOTDA_SUCCESS);
		CHECK(kick_count == (stay ? 0 : 1));
		if(!stay) CHECK(was_kicked(CLIENT_ID) && logged("reason=new_login") == 1);
		gone(&plugin, IOTDA_EVT_DISCONNECT, &next);
		if(stay) log_out(&first);
		stop(&plugin);
		forget_log();
	}
}

static void stats(void)
{
	mosquitto_plugin_id_t plugin = {0};
	CHECK_CODE(INIT(&plugin, {"secrets_file", file("secrets")}, {"stats_interval", "1s"}), IOTDA_SUCCESS);
	CHECK_CODE(tick(&plugin), IOTDA_SUCCESS);
	int all = publish_count;
	CHECK(all > 20);
	CHECK_CODE(right_login(&plugin), IOTDA_SUCCESS);
	usleep(1100 * 1000);
	CHECK_CODE(tick(&plugin), IOTDA_SUCCESS);
	/* What has changed: the login, and the age of the table. */
	CHECK(publish_count == all + 2);
	stop(&plugin);
}

static void thinned_log(void)
{
	mosquitto_plugin_id_t plugin = {0};
	keep_counters = true;
	start(&plugin);
	forget_log();
	for(int i = 0; i < 200; i++){
		struct mosquitto device = client(CLIENT_ID);
		CHECK_CODE(ask(&plugin, &device, DEVICE, "wrong"), REFUSED);
	}
	CHECK(line_count == 10 && logged("reason=wrong_password") == 10);
	stop(&plugin);
	CHECK(logged("refused 190 more, not shown: wrong_password=190") == 1);
	CHECK(logged("since the start: accepted=0 deferred=0 refused=200 wrong_password=200 ") == 1);
}
