/*
 * Scenarios of what a refused client is told, and of who is who among the sessions. host.c includes this file.
 *
 * The sockets are real: the host listens, and is its own clients. What it hands to the plugin as a client begins like a
 * broker's structure, and lies about its socket where a scenario wants it to.
 */

#include <arpa/inet.h>
#include <limits.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/un.h>

/* ---- connections ---- */

enum family { IPV4, IPV6, MAPPED };

struct listener {
	int socket;
	enum family family;
	int port;
	char ports[64]; /* for the option */
};

union address {
	struct sockaddr any;
	struct sockaddr_in v4;
	struct sockaddr_in6 v6;
};

static void fail_on_pipe(int signal)
{
	(void)signal;
	static const char text[] = "SIGPIPE\n";
	if(write(STDERR_FILENO, text, sizeof(text) - 1)) _exit(1);
	_exit(1);
}

static struct listener listen_on(enum family family)
{
	struct listener listener = {.family = family};
	union address address = {0};
	socklen_t length = family == IPV4 ? sizeof(address.v4) : sizeof(address.v6);
	int off = 0;
	listener.socket = socket(family == IPV4 ? AF_INET : AF_INET6, SOCK_STREAM, 0);
	CHECK(listener.socket >= 0);
	if(family == IPV4){
		address.v4.sin_family = AF_INET;
		address.v4.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	}else{
		address.v6.sin6_family = AF_INET6;
		address.v6.sin6_addr = in6addr_loopback;
	}
	if(family == MAPPED){
		CHECK(setsockopt(listener.socket, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof(off)) == 0);
		CHECK(inet_pton(AF_INET6, "::ffff:127.0.0.1", &address.v6.sin6_addr) == 1);
	}
	CHECK(bind(listener.socket, &address.any, length) == 0);
	CHECK(listen(listener.socket, 16) == 0);
	CHECK(getsockname(listener.socket, &address.any, &length) == 0);
	listener.port = ntohs(family == IPV4 ? address.v4.sin_port : address.v6.sin6_port);
	snprintf(listener.ports, sizeof(listener.ports), "1, %d", listener.port);
	/* A broker that does not ignore it would end. */
	signal(SIGPIPE, fail_on_pipe);
	return listener;
}

struct connection {
	int broker;
	int peer;
	int port;
	char address[INET6_ADDRSTRLEN];
};

/* A connection as the broker has it before its first packet. */
static struct connection dial_from(const struct listener *listener, const char *source)
{
	struct connection connection = {.port = listener->port};
	union address address = {0};
	socklen_t length;
	connection.peer = socket(listener->family == IPV6 ? AF_INET6 : AF_INET, SOCK_STREAM, 0);
	CHECK(connection.peer >= 0);
	struct timeval patience = {.tv_sec = 30};
	CHECK(setsockopt(connection.peer, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience)) == 0);
	if(listener->family == IPV6){
		length = sizeof(address.v6);
		address.v6.sin6_family = AF_INET6;
		address.v6.sin6_addr = in6addr_loopback;
		address.v6.sin6_port = htons(listener->port);
	}else{
		length = sizeof(address.v4);
		address.v4.sin_family = AF_INET;
		CHECK(inet_pton(AF_INET, source, &address.v4.sin_addr) == 1);
		CHECK(bind(connection.peer, &address.any, length) == 0);
		address.v4.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
		address.v4.sin_port = htons(listener->port);
	}
	CHECK(connect(connection.peer, &address.any, length) == 0);
	length = sizeof(address);
	connection.broker = accept4(listener->socket, &address.any, &length, SOCK_NONBLOCK | SOCK_CLOEXEC);
	CHECK(connection.broker >= 0);
	/* As the broker does (net__socket_get_address). */
	const void *number = address.any.sa_family == AF_INET ? (void *)&address.v4.sin_addr : (void *)&address.v6.sin6_addr;
	CHECK(inet_ntop(address.any.sa_family, number, connection.address, sizeof(connection.address)));
	return connection;
}

/* Bytes go to the broker, who reads some of them. */
static void send_bytes(struct connection *connection, size_t length, size_t read)
{
	char bytes[256] = {0x10, 14};
	CHECK(length <= sizeof(bytes) && send(connection->peer, bytes, length, 0) == (ssize_t)length);
	for(int arrived = 0; arrived < (int)length; ) CHECK(ioctl(connection->broker, FIONREAD, &arrived) == 0);
	CHECK(recv(connection->broker, bytes, read, 0) == (ssize_t)read);
}

/* The first packet goes to the broker, who reads it. */
static void send_first_packet(struct connection *connection)
{
	send_bytes(connection, 16, 16);
}

static struct connection dial(const struct listener *listener)
{
	struct connection connection = dial_from(listener, "127.0.0.1");
	send_first_packet(&connection);
	return connection;
}

static void hang_up_connection(struct connection *connection)
{
	CHECK(close(connection->broker) == 0);
	CHECK(close(connection->peer) == 0);
}

/* A client that has sent its first packet over a connection. */
static struct mosquitto client_over(const struct connection *connection, const char *id)
{
	struct mosquitto over = client(id);
	over.numbers[0] = 2; /* what a client's structure is */
	over.numbers[1] = connection->broker;
	over.address = connection->address;
	over.port = connection->port;
	return over;
}

/* Whether the peer gets these bytes, and then the end. */
static bool gets(struct connection *connection, const void *bytes, size_t length)
{
	char got[64];
	size_t count = 0;
	for(;;){
		ssize_t more = recv(connection->peer, got + count, sizeof(got) - count, 0);
		CHECK(more >= 0);
		if(more == 0) break;
		count += more;
		CHECK(count < sizeof(got));
	}
	return count == length && memcmp(got, bytes, length) == 0;
}

/* Nothing has been written, and the broker's own answer arrives. */
static void check_untouched(struct connection *connection)
{
	CHECK(send(connection->broker, "own", 3, MSG_NOSIGNAL) == 3);
	CHECK(shutdown(connection->broker, SHUT_WR) == 0);
	CHECK(gets(connection, "own", 3));
}

/* ---- refusals ---- */

struct refusal {
	const char *reason;
	const char *id;
	const char *username;
	const char *password;
	int keepalive;
	/* The contract's codes. */
	unsigned char v3, v5;
};

static const struct refusal refusals[] = {
	{"bad_client_id", "someone", "name", "wrong-password", 120, 2, 0x85},
	{"bad_sign_type", DEVICE "_0_2_2999010100", DEVICE, PASSWORD, 120, 2, 0x85},
	{"bad_keepalive", CLIENT_ID, DEVICE, PASSWORD, 5, 2, 0x85},
	{"user_mismatch", CLIENT_ID, "someone", PASSWORD, 120, 4, 0x86},
	{"unknown_device", "nobody_0_0_2999010100", "nobody", PASSWORD, 120, 4, 0x86},
	{"stale_timestamp", DEVICE "_0_1_2020010100", DEVICE, PASSWORD, 120, 4, 0x86},
	{"future_timestamp", DEVICE "_0_1_2999010100", DEVICE, PASSWORD, 120, 4, 0x86},
	{"wrong_password", CLIENT_ID, DEVICE, "wrong-password", 120, 4, 0x86},
	{"frozen", ID("ice"), "ice", PASSWORD, 120, 5, 0x87},
};
#define REFUSALS ((int)(sizeof(refusals) / sizeof(*refusals)))

/* The one that is played where any is as good. */
static const struct refusal *const any_refusal = &refusals[7];

static void start_with_ports(mosquitto_plugin_id_t *plugin, const char *ports)
{
	put_text(DEVICE ":" SECRET "\n" "ice:" SECRET ":frozen\n");
	CHECK_CODE(INIT(plugin, {"secrets_file", file("table")}, {"exact_connack_ports", ports},
			{"sign_types", "0,1"}, {"timestamp_max_ahead", "1h"}), IOTDA_SUCCESS);
}

/* What a broker is answered: its own code where it knows no other. */
static int code_for(const struct refusal *refusal, int version)
{
	return IS_2_1 && version == 5 && refusal->v5 != 0x87 ? refusal->v5 : REFUSED;
}

/* How many warnings say that the code is not exact, and forgets them. Each instance has one. */
static int doubts;
static char last_doubt[sizeof(lines->text)];

static void take_doubts_out_of_the_log(void)
{
	int kept = 0;
	for(int i = 0; i < line_count; i++){
		if(lines[i].level == IOTDA_LOG_WARNING && strstr(lines[i].text, "plugin_opt_exact_connack_ports: on port ")){
			strcpy(last_doubt, lines[i].text);
			doubts++;
		}else{
			lines[kept++] = lines[i];
		}
	}
	line_count = kept;
}

/* Refuses a client; the broker's socket, where it has one, stays as it was. */
static void refuse(mosquitto_plugin_id_t *plugin, struct mosquitto *client, const struct connection *connection,
		const struct refusal *refusal)
{
	int flags = fcntl(connection->broker, F_GETFL), own_flags = fcntl(connection->broker, F_GETFD);
	char reason[64];
	snprintf(reason, sizeof(reason), "reason=%s", refusal->reason);
	client->id = refusal->id;
	client->keepalive = refusal->keepalive;
	forget_log();
	CHECK_CODE(ask(plugin, client, refusal->username, refusal->password), code_for(refusal, client->protocol_version));
	take_doubts_out_of_the_log();
	leave_out("iotda-auth: reloaded in ");
	/* Ten of a reason are told, each minute, at the least. */
	if(refused_before(refusal->reason) < 10 || line_count > 0) CHECK(line_count == 1 && logged(reason) == 1);
	CHECK(fcntl(connection->broker, F_GETFL) == flags && fcntl(connection->broker, F_GETFD) == own_flags);
}

/* A refused client gets the CONNACK, and nothing that the broker sends after it. */
static void check_exact(mosquitto_plugin_id_t *plugin, struct mosquitto *client, struct connection *connection,
		const struct refusal *refusal)
{
	refuse(plugin, client, connection, refusal);
	if(client->protocol_version == 5){
		unsigned char connack[] = {0x20, 3, 0, refusal->v5, 0};
		if(IS_2_1 || refusal->v5 == 0x87){
			/* The broker writes it itself; 0x87 is what AUTH stands for. */
			check_untouched(connection);
			return;
		}
		CHECK(gets(connection, connack, sizeof(connack)));
	}else{
		unsigned char connack[] = {0x20, 2, 0, refusal->v3};
		CHECK(gets(connection, connack, sizeof(connack)));
	}
	CHECK(fcntl(connection->broker, F_GETFD) >= 0);
	CHECK(send(connection->broker, "own", 3, MSG_NOSIGNAL) < 0 && errno == EPIPE);
	CHECK(gets(connection, "", 0));
}

/* ---- scenarios: the CONNACK ---- */

static void connack_is_exact(void)
{
	mosquitto_plugin_id_t plugin = {0};
	struct listener listener = listen_on(IPV4);
	start_with_ports(&plugin, listener.ports);
	for(int i = 0; i < REFUSALS; i++){
		for(int version = 3; version <= 5; version++){
			for(int layout = 0; layout < 4; layout++){
				struct connection connection = dial(&listener), other = dial(&listener);
				struct mosquitto refused = client_over(&connection, NULL);
				refused.protocol_version = version;
				switch(layout){
					case 1: /* without epoll */
						refused.numbers[0] = connection.broker;
						refused.numbers[1] = 0;
						break;
					case 2:
						refused.numbers[0] = connection.broker;
						refused.numbers[1] = -1;
						break;
					case 3: /* What the structure is happens to be the number of a socket. */
						refused.numbers[0] = other.broker;
						break;
				}
				check_exact(&plugin, &refused, &connection, &refusals[i]);
				check_untouched(&other);
				hang_up_connection(&connection);
				hang_up_connection(&other);
			}
		}
	}
	/* Who is let in gets the broker's CONNACK. */
	struct connection connection = dial(&listener);
	struct mosquitto right = client_over(&connection, CLIENT_ID);
	CHECK_CODE(ask(&plugin, &right, DEVICE, PASSWORD), IOTDA_SUCCESS);
	check_untouched(&connection);
	hang_up_connection(&connection);
	stop(&plugin);
	close(listener.socket);
}

static void connack_over_each_family(void)
{
	static const char *const addresses[] = {"127.0.0.1", "::1", "::ffff:127.0.0.1"};
	for(int family = IPV4; family <= MAPPED; family++){
		mosquitto_plugin_id_t plugin = {0};
		struct listener listener = listen_on(family);
		start_with_ports(&plugin, listener.ports);
		for(int version = 3; version <= 5; version++){
			struct connection connection = dial(&listener);
			CHECK(strcmp(connection.address, addresses[family]) == 0);
			struct mosquitto refused = client_over(&connection, NULL);
			refused.protocol_version = version;
			check_exact(&plugin, &refused, &connection, any_refusal);
			hang_up_connection(&connection);
		}
		stop(&plugin);
		close(listener.socket);
	}
}

/* Refuses a client over a connection that is nothing but what the caller has made of it. */
static void check_nothing(mosquitto_plugin_id_t *plugin, const struct mosquitto *like, struct connection *connection)
{
	for(int version = 3; version <= 5; version++){
		struct mosquitto refused = *like;
		refused.protocol_version = version;
		refuse(plugin, &refused, connection, any_refusal);
	}
	check_untouched(connection);
	hang_up_connection(connection);
}

static void connack_on_listed_ports(void)
{
	struct listener listener = listen_on(IPV4), other = listen_on(IPV4);
	for(int i = 0; i < 4; i++){
		mosquitto_plugin_id_t plugin = {0};
		switch(i){
			case 0:
				start_with_ports(&plugin, other.ports);
				break;
			case 1:
				start_with_ports(&plugin, "none");
				break;
			case 2:
				start(&plugin);
				break;
			case 3: /* The other one reports what is listed. */
				start_with_ports(&plugin, other.ports);
				break;
		}
		struct connection connection = dial(&listener);
		struct mosquitto refused = client_over(&connection, NULL);
		if(i == 3) refused.port = other.port;
		check_nothing(&plugin, &refused, &connection);
		stop(&plugin);
	}
	/* Both are listed, and the broker names another than the socket does. */
	if(IS_2_1){
		mosquitto_plugin_id_t plugin = {0};
		char ports[64];
		snprintf(ports, sizeof(ports), "%d,%d", listener.port, other.port);
		start_with_ports(&plugin, ports);
		for(int i = 0; i < 3; i++){
			struct connection connection = dial(&listener);
			struct mosquitto refused = client_over(&connection, NULL);
			refused.port = (int[]){other.port, 0, listener.port + 65536}[i];
			check_nothing(&plugin, &refused, &connection);
		}
		stop(&plugin);
	}
	close(listener.socket);
	close(other.socket);
}

/* Whatever is found where the socket should be, nobody else's is written to. */
static void connack_to_the_client_itself(void)
{
	mosquitto_plugin_id_t plugin = {0};
	struct listener listener = listen_on(IPV4);
	start_with_ports(&plugin, listener.ports);

	/* Another client, who has had its CONNACK. */
	struct connection other = dial(&listener);
	char connack[4];
	CHECK(send(other.broker, "\x20\x02\0\0", 4, 0) == 4);
	CHECK(recv(other.peer, connack, sizeof(connack), MSG_WAITALL) == 4);
	/* One that has not, and comes from elsewhere. */
	struct connection elsewhere = dial_from(&listener, "127.0.0.2");
	send_first_packet(&elsewhere);
	CHECK(strcmp(elsewhere.address, "127.0.0.2") == 0);

	int udp = socket(AF_INET, SOCK_DGRAM, 0), datagrams[2], local[2], pipes[2];
	union address address = {.v4 = {.sin_family = AF_INET, .sin_port = htons(listener.port)}};
	address.v4.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	/* From the listed port, and to the address. */
	CHECK(udp >= 0 && bind(udp, &address.any, sizeof(address.v4)) == 0);
	CHECK(connect(udp, &address.any, sizeof(address.v4)) == 0);
	CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, local) == 0);
	CHECK(socketpair(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0, datagrams) == 0);
	CHECK(pipe2(pipes, O_NONBLOCK) == 0);
	/* A number that no connection of this scenario is given. */
	int closed = fcntl(udp, F_DUPFD, 700), unconnected = socket(AF_INET, SOCK_STREAM, 0);
	CHECK(unconnected >= 0 && close(closed) == 0);
	int plain_file = open(file("secrets"), O_RDWR);

	int strangers[] = {other.broker, elsewhere.broker, listener.socket, udp, local[0], datagrams[0], pipes[0], pipes[1],
			closed, unconnected, plain_file, -1, INT_MAX, INT_MIN, 1 << 20, 0x41414141};
	int count = sizeof(strangers) / sizeof(*strangers);
	for(int i = 0; i < count; i++){
		for(int layout = 0; layout < 3; layout++){
			struct connection connection = dial(&listener);
			struct mosquitto refused = client_over(&connection, NULL);
			refused.numbers[0] = layout == 0 ? 2 : strangers[i];
			refused.numbers[1] = layout == 1 ? strangers[(i + 5) % count] : strangers[i];
			/* A 2.0's client that is known to have no socket is a session that waits. */
			if(refused.numbers[1] < 0) refused.wrong = KEEPALIVE;
			check_nothing(&plugin, &refused, &connection);
		}
	}
	char byte;
	CHECK(recv(local[1], &byte, 1, 0) < 0 && errno == EAGAIN);
	CHECK(recv(datagrams[1], &byte, 1, 0) < 0 && errno == EAGAIN);
	CHECK(recv(udp, &byte, 1, MSG_DONTWAIT) < 0 && errno == EAGAIN);
	CHECK(read(pipes[0], &byte, 1) < 0 && errno == EAGAIN);
	CHECK(fcntl(closed, F_GETFD) < 0 && errno == EBADF);
	check_untouched(&other);
	check_untouched(&elsewhere);
	/* The listener still listens. */
	struct connection connection = dial(&listener);
	struct mosquitto refused = client_over(&connection, NULL);
	check_exact(&plugin, &refused, &connection, any_refusal);
	hang_up_connection(&connection);
	hang_up_connection(&other);
	hang_up_connection(&elsewhere);
	for(int i = 0; i < 2; i++){
		CHECK(close(local[i]) == 0 && close(datagrams[i]) == 0 && close(pipes[i]) == 0);
	}
	CHECK(close(udp) == 0 && close(unconnected) == 0 && close(plain_file) == 0 && close(listener.socket) == 0);
	stop(&plugin);
}

static void connack_needs_an_address(void)
{
	mosquitto_plugin_id_t plugin = {0};
	struct listener listener = listen_on(IPV4);
	start_with_ports(&plugin, listener.ports);
	const char *addresses[] = {NULL, "", "localhost", "127.0.0.2", "127.0.0.10", "127.0.0.1 ", "127.0.0.1:1883",
			"0.0.0.0", "::1", "/run/mosquitto.sock", "127.0.0.1%lo", "\xff"};
	for(int i = 0; i < (int)(sizeof(addresses) / sizeof(*addresses)); i++){
		struct connection connection = dial(&listener);
		struct mosquitto refused = client_over(&connection, NULL);
		refused.address = addresses[i];
		check_nothing(&plugin, &refused, &connection);
	}
	stop(&plugin);
	close(listener.socket);
}

/* What has sent something is TLS or a WebSocket, or has had its CONNACK; what has received nothing is no client yet. */
static void connack_on_plain_connections(void)
{
	mosquitto_plugin_id_t plugin = {0};
	struct listener listener = listen_on(IPV4);
	start_with_ports(&plugin, listener.ports);
	for(int protocol = -1; protocol <= 4; protocol++){
		if(protocol == IOTDA_PROTOCOL_MQTT) continue;
		struct connection connection = dial(&listener);
		struct mosquitto refused = client_over(&connection, NULL);
		refused.protocol = protocol;
		check_nothing(&plugin, &refused, &connection);
	}

	char handshake[7];
	for(int i = 0; i < 2; i++){
		struct connection connection = dial(&listener);
		struct mosquitto refused = client_over(&connection, NULL);
		CHECK(send(connection.broker, "\x16\x03\x03\0\x02hi", 7, 0) == 7);
		/* Whether the peer has read it does not matter. */
		if(i == 0) CHECK(recv(connection.peer, handshake, sizeof(handshake), MSG_WAITALL) == 7);
		for(int version = 3; version <= 5; version++){
			refused.protocol_version = version;
			refuse(&plugin, &refused, &connection, any_refusal);
		}
		if(i == 1) CHECK(recv(connection.peer, handshake, sizeof(handshake), MSG_WAITALL) == 7);
		check_untouched(&connection);
		hang_up_connection(&connection);
	}

	/* It has been sent, and waits. */
	int on = 1;
	struct connection corked = dial(&listener);
	struct mosquitto refused = client_over(&corked, NULL);
	CHECK(setsockopt(corked.broker, IPPROTO_TCP, TCP_CORK, &on, sizeof(on)) == 0);
	CHECK(send(corked.broker, "hi", 2, 0) == 2);
	refuse(&plugin, &refused, &corked, any_refusal);
	CHECK(shutdown(corked.broker, SHUT_WR) == 0);
	CHECK(gets(&corked, "hi", 2));
	hang_up_connection(&corked);

	struct connection silent = dial_from(&listener, "127.0.0.1");
	refused = client_over(&silent, NULL);
	check_nothing(&plugin, &refused, &silent);
	stop(&plugin);
	close(listener.socket);
}

static void connack_of_known_versions(void)
{
	mosquitto_plugin_id_t plugin = {0};
	struct listener listener = listen_on(IPV4);
	start_with_ports(&plugin, listener.ports);
	for(int i = 0; i < 7; i++){
		struct connection connection = dial(&listener);
		struct mosquitto refused = client_over(&connection, NULL);
		refused.protocol_version = (int[]){0, 6, 1, 2, -1, 255, INT_MAX}[i];
		refuse(&plugin, &refused, &connection, any_refusal);
		check_untouched(&connection);
		hang_up_connection(&connection);
	}
	stop(&plugin);
	close(listener.socket);
}

/* Nothing can be said to it, and nothing comes of that. */
static void connack_to_a_peer_that_is_gone(void)
{
	mosquitto_plugin_id_t plugin = {0};
	struct listener listener = listen_on(IPV4);
	start_with_ports(&plugin, listener.ports);
	for(int version = 3; version <= 5; version++){
		for(int i = 0; i < 5; i++){
			struct connection connection = dial(&listener);
			struct mosquitto refused = client_over(&connection, NULL);
			refused.protocol_version = version;
			char block[4096] = {0};
			size_t sent = 0, received = 0;
			struct linger reset = {.l_onoff = 1};
			struct pollfd readable = {.fd = connection.broker, .events = POLLIN};
			switch(i){
				case 0: /* It has closed. */
				case 1: /* It has reset. */
					if(i == 1) CHECK(setsockopt(connection.peer, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset)) == 0);
					CHECK(close(connection.peer) == 0);
					CHECK(poll(&readable, 1, 30 * 1000) == 1);
					refuse(&plugin, &refused, &connection, any_refusal);
					CHECK(close(connection.broker) == 0);
					continue;
				case 2: /* The broker itself is done. */
				case 3:
					CHECK(shutdown(connection.broker, i == 2 ? SHUT_WR : SHUT_RDWR) == 0);
					/* Acknowledged, the end looks like a handshake: the plugin does write, and must raise no signal. */
					for(int waiting = 1; waiting; ) CHECK(ioctl(connection.broker, TIOCOUTQ, &waiting) == 0);
					refuse(&plugin, &refused, &connection, any_refusal);
					CHECK(gets(&connection, "", 0));
					break;
				case 4: /* There is no room for more. */
					for(ssize_t more; (more = send(connection.broker, block, sizeof(block), 0)) > 0; ) sent += more;
					CHECK(errno == EAGAIN && sent > 0);
					refuse(&plugin, &refused, &connection, any_refusal);
					CHECK(shutdown(connection.broker, SHUT_WR) == 0);
					for(ssize_t more; (more = recv(connection.peer, block, sizeof(block), 0)) > 0; ) received += more;
					CHECK(received == sent);
					break;
			}
			hang_up_connection(&connection);
		}
	}
	stop(&plugin);
	close(listener.socket);
}

/* What CONNECT of MQTT 3.1.1 has at least, and the fixed part of a PROXY v2 header. */
static size_t least_behind_a_proxy(const struct refusal *refusal)
{
	return 16 + 14 + 2 + strlen(refusal->username) + 2 + strlen(refusal->password);
}

/* A client of a proxy: it has another address than the connection comes from, and its header has been read. */
static struct mosquitto client_behind_a_proxy(const struct connection *connection)
{
	struct mosquitto behind = client_over(connection, NULL);
	behind.address = "203.0.113.7";
	behind.words_at = 10;
	return behind;
}

static struct connection dial_by_proxy(const struct listener *listener)
{
	struct connection connection = dial_from(listener, "127.0.0.1");
	size_t length = least_behind_a_proxy(any_refusal);
	send_bytes(&connection, length, length);
	return connection;
}

/* What keeps the proof behind a proxy strict: each condition is taken out once. */
static void connack_behind_a_proxy(void)
{
	struct listener listener = listen_on(IPV4), other = listen_on(IPV4);
	mosquitto_plugin_id_t plugin = {0};
	char ports[64];
	snprintf(ports, sizeof(ports), "%d,%d", listener.port, other.port);
	start_with_ports(&plugin, ports);

	/* Whatever is in the way of the words, and whatever address the header has had. */
	static const char *const addresses[] = {"203.0.113.7", "2001:db8::1", "::ffff:203.0.113.7", "/run/app.sock"};
	for(int version = 3; version <= 5; version++){
		for(int at = 1; at < 12; at++){
			struct connection connection = dial_by_proxy(&listener), neighbour = dial_by_proxy(&listener);
			struct mosquitto refused = client_behind_a_proxy(&connection);
			refused.protocol_version = version;
			refused.words_at = at;
			refused.address = addresses[at % 4];
			if(IS_2_1){
				check_exact(&plugin, &refused, &connection, any_refusal);
			}else{
				/* A broker that has no PROXY. */
				refuse(&plugin, &refused, &connection, any_refusal);
				check_untouched(&connection);
			}
			check_untouched(&neighbour);
			hang_up_connection(&connection);
			hang_up_connection(&neighbour);
		}
	}
	CHECK(doubts == !IS_2_1);

	enum {
		NO_PORT, ANOTHER_PORT, PORT_OF_ANOTHER, NO_MARK, WRONG_MARK, WITHOUT_EPOLL, WITHOUT_EPOLL_BOTH, UNKNOWN_STRUCTURE,
		THE_OTHER_WAY_ROUND, NO_ID, NO_ADDRESS, TOO_FEW_BYTES, TOO_FEW_READ, NOTHING_READ, SOMETHING_SENT,
		SOMETHING_WAITS, WEB_SOCKET, THE_MARK_IS_A_SOCKET, COUNT
	};
	for(int i = 0; i < COUNT; i++){
		struct connection connection = dial_from(&listener, "127.0.0.1");
		struct connection neighbour = dial_by_proxy(&listener);
		size_t length = least_behind_a_proxy(any_refusal);
		char sent[2];
		int on = 1, standard_error = -1;
		send_bytes(&connection, length - (i == TOO_FEW_BYTES),
				i == NOTHING_READ ? 0 : length - (i == TOO_FEW_BYTES || i == TOO_FEW_READ));
		struct mosquitto refused = client_behind_a_proxy(&connection);
		switch(i){
			case NO_PORT: refused.port = 0; break;
			case ANOTHER_PORT: refused.port = other.port; break;
			case PORT_OF_ANOTHER: refused.port = listener.port + 65536; break;
			case NO_MARK: refused.numbers[0] = 0; break;
			case WRONG_MARK: refused.numbers[0] = 1; break;
			case WITHOUT_EPOLL: /* The number that comes next is no socket. */
				refused.numbers[0] = connection.broker;
				refused.numbers[1] = 0;
				break;
			case WITHOUT_EPOLL_BOTH: /* It is somebody else's. */
				refused.numbers[0] = connection.broker;
				refused.numbers[1] = neighbour.broker;
				break;
			case UNKNOWN_STRUCTURE: refused.words_at = 0; break;
			case THE_OTHER_WAY_ROUND: refused.words_at = -10; break;
			case NO_ID: break;
			case NO_ADDRESS: refused.address = NULL; break;
			case SOMETHING_SENT:
				CHECK(send(connection.broker, "hi", 2, 0) == 2);
				CHECK(recv(connection.peer, sent, sizeof(sent), MSG_WAITALL) == 2);
				break;
			case SOMETHING_WAITS:
				CHECK(setsockopt(connection.broker, IPPROTO_TCP, TCP_CORK, &on, sizeof(on)) == 0);
				CHECK(send(connection.broker, "hi", 2, 0) == 2);
				break;
			case WEB_SOCKET: refused.protocol = 1; break;
			case THE_MARK_IS_A_SOCKET:
				/* Without epoll, 2 is a client's socket, and what comes next may be anybody's. */
				standard_error = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 100);
				CHECK(standard_error >= 0 && dup2(connection.broker, STDERR_FILENO) == STDERR_FILENO);
				refused.numbers[1] = neighbour.broker;
				break;
		}
		if(i == NO_ID){
			struct refusal nameless = {"bad_client_id", NULL, "name", "wrong-password", 120, 2, 0x85};
			refuse(&plugin, &refused, &connection, &nameless);
		}else{
			refuse(&plugin, &refused, &connection, any_refusal);
		}
		if(standard_error >= 0){
			CHECK(dup2(standard_error, STDERR_FILENO) == STDERR_FILENO && close(standard_error) == 0);
		}
		if(i == SOMETHING_WAITS){
			CHECK(shutdown(connection.broker, SHUT_WR) == 0);
			CHECK(gets(&connection, "hi", 2));
		}else{
			check_untouched(&connection);
		}
		check_untouched(&neighbour);
		hang_up_connection(&connection);
		hang_up_connection(&neighbour);
	}
	CHECK(doubts == 1);
	doubts = 0;
	stop(&plugin);
	close(listener.socket);
	close(other.socket);
}

/* The warning says why once, and not for what cannot have been meant. */
static void connack_doubts(void)
{
	static const char *const reasons[] = {"WebSocket listener", "as TLS does", "by a proxy at 127.0.0.1 ", "is not where"};
	struct listener listener = listen_on(IPV4), other = listen_on(IPV4);
	char port[64];
	snprintf(port, sizeof(port), ": on port %d ", listener.port);
	for(int i = 0; i < 4; i++){
		mosquitto_plugin_id_t plugin = {0};
		start_with_ports(&plugin, listener.ports);
		doubts = 0;

		/* A port that is not listed. */
		struct connection elsewhere = dial(&other);
		struct mosquitto refused = client_over(&elsewhere, NULL);
		refused.address = "203.0.113.7";
		check_nothing(&plugin, &refused, &elsewhere);
		/* A Unix socket. */
		int local[2];
		CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, local) == 0);
		struct connection path = {.broker = local[0], .peer = local[1], .address = "/run/mosquitto.sock"};
		refused = client_over(&path, NULL);
		check_nothing(&plugin, &refused, &path);
		/* A client that has reset. */
		struct connection reset = dial(&listener);
		struct linger hard = {.l_onoff = 1};
		struct pollfd readable = {.fd = reset.broker, .events = POLLIN};
		CHECK(setsockopt(reset.peer, SOL_SOCKET, SO_LINGER, &hard, sizeof(hard)) == 0 && close(reset.peer) == 0);
		CHECK(poll(&readable, 1, 30 * 1000) == 1);
		refused = client_over(&reset, NULL);
		refused.address = "203.0.113.7";
		refuse(&plugin, &refused, &reset, any_refusal);
		CHECK(close(reset.broker) == 0);
		/* A version of MQTT that has no CONNACK; nobody there. */
		struct connection odd = dial(&listener);
		refused = client_over(&odd, NULL);
		refused.protocol_version = 0;
		refused.address = "203.0.113.7";
		refuse(&plugin, &refused, &odd, any_refusal);
		check_untouched(&odd);
		hang_up_connection(&odd);
		struct connection right = dial(&listener);
		refused = client_over(&right, NULL);
		check_exact(&plugin, &refused, &right, any_refusal);
		hang_up_connection(&right);
		CHECK(doubts == 0);

		for(int again = 0; again < 3; again++){
			struct connection connection = dial(&listener);
			refused = client_over(&connection, NULL);
			switch(i){
				case 0: refused.protocol = 1; break;
				case 1:
					CHECK(send(connection.broker, "\x16\x03", 2, 0) == 2);
					char handshake[2];
					CHECK(recv(connection.peer, handshake, 2, MSG_WAITALL) == 2);
					break;
				case 2: refused.address = "203.0.113.7"; break;
				case 3:
					refused.numbers[1] = -1;
					/* A 2.0 whose inside is not known, or it would be a session that waits. */
					if(!IS_2_1) refused.wrong = PROTOCOL;
					break;
			}
			check_nothing(&plugin, &refused, &connection);
		}
		/* A 2.0 does not tell the port: whether a client was meant that has no socket, nobody knows. */
		bool told = i < 3 || IS_2_1;
		CHECK(doubts == told);
		if(told) CHECK(strstr(last_doubt, reasons[i]) && strstr(last_doubt, port) && strstr(last_doubt, "(told once)"));
		stop(&plugin);
	}
	doubts = 0;
	close(listener.socket);
	close(other.socket);
}

/* A session that is asked about again has had its CONNACK, even where its socket does not show it. A CONNECT has not, even
 * where it comes between the sweep and its TICK. */
static void connack_in_a_sweep(void)
{
	struct listener listener = listen_on(IPV4);
	for(int ticks = 0; ticks < 2; ticks++){
		mosquitto_plugin_id_t plugin = {0};
		start_with_ports(&plugin, listener.ports);
		if(ticks) CHECK_CODE(tick(&plugin), IOTDA_SUCCESS);
		for(int version = 3; version <= 5; version++){
			for(int i = 0; i < REFUSALS; i++){
				const struct refusal *refusal = &refusals[i];
				char reason[64];
				snprintf(reason, sizeof(reason), "reason=%s", refusal->reason);
				struct connection connection = dial(&listener);
				struct mosquitto session = client_over(&connection, refusal->id);
				session.protocol_version = version;
				session.keepalive = refusal->keepalive;
				hang_up(&plugin);
				check_ended(&plugin, &session, refusal->username, refusal->password, reason);
				CHECK_CODE(ask_again(&plugin, &session, OFFLINE, refusal->username, refusal->password), IOTDA_SUCCESS);
				check_untouched(&connection);
				hang_up_connection(&connection);

				connection = dial(&listener);
				struct mosquitto refused = client_over(&connection, NULL);
				refused.protocol_version = version;
				check_exact(&plugin, &refused, &connection, refusal);
				hang_up_connection(&connection);
			}
		}
		stop(&plugin);
	}
	close(listener.socket);
}

/* ---- scenarios: who is who ---- */

static void session_by_device(void)
{
#ifdef HOST_2_0
	FAILS("plugin_opt_session_id: device is for Mosquitto 2.1", {"secrets_file", file("secrets")},
			{"session_id", "device"});
#else
	mosquitto_plugin_id_t plugin = {0};
	struct listener listener = listen_on(IPV4);
	CHECK_CODE(INIT(&plugin, {"secrets_file", file("secrets")}, {"session_id", "device"},
			{"exact_connack_ports", listener.ports}), IOTDA_SUCCESS);
	struct mosquitto device = client(CLIENT_ID);
	check_refused(&plugin, &device, DEVICE, "wrong-password", "reason=wrong_password");
	CHECK(session_id_count == 0);
	log_in(&plugin, &device, DEVICE, PASSWORD);
	CHECK(session_id_count == 1 && strcmp(session_id, DEVICE) == 0);
	device.id = DEVICE;
	CHECK_CODE(tick(&plugin), IOTDA_SUCCESS);
	/* It is named once, and known by that name. */
	hang_up(&plugin);
	CHECK_CODE(ask_again(&plugin, &device, ONLINE, DEVICE, PASSWORD), IOTDA_SUCCESS);
	CHECK(session_id_count == 1);
	/* That name is not enough for a login, nor for a session that is not known. */
	struct mosquitto late = client(DEVICE), unknown = client(DEVICE);
	CHECK_CODE(ask(&plugin, &late, DEVICE, DEVICE), REFUSED);
	CHECK(logged("reason=bad_client_id") == 1 && logged("use_username_as_clientid") == 1);
	hang_up(&plugin);
	check_ended(&plugin, &unknown, DEVICE, DEVICE, "reason=bad_client_id");
	CHECK_CODE(ask_again(&plugin, &unknown, OFFLINE, DEVICE, NULL), IOTDA_SUCCESS);
	CHECK_CODE(tick(&plugin), IOTDA_SUCCESS);

	/* The login would go by a name that the plugin does not expect. */
	struct refusal fault = {"internal_error", CLIENT_ID, DEVICE, PASSWORD, 120, 3, 0x88};
	int codes[] = {IOTDA_ERR_NOMEM, IOTDA_ERR_INVAL, ERR_NOT_SUPPORTED};
	for(int i = 0; i < 3; i++){
		session_id_refusal = codes[i];
		for(int version = 3; version <= 5; version++){
			struct connection connection = dial(&listener);
			struct mosquitto nameless = client_over(&connection, NULL);
			nameless.protocol_version = version;
			check_exact(&plugin, &nameless, &connection, &fault);
			hang_up_connection(&connection);
		}
	}
	CHECK(kick_count == 0 && session_id_count == 10);
	session_id_refusal = IOTDA_SUCCESS;
	stop(&plugin);
	close(listener.socket);

	mosquitto_plugin_id_t other = {0};
	start(&other);
	CHECK_CODE(right_login(&other), IOTDA_SUCCESS);
	CHECK(session_id_count == 10);
	stop(&other);
#endif
}

static void one_connection(void)
{
	const char *username = argument("device"), *password = argument("fresh_password");
	const char *first_id = argument("fresh_client");
	/* The sign type is part of the ClientId, and not of the password. */
	char second_id[128];
	CHECK(strlen(first_id) < sizeof(second_id));
	strcpy(second_id, first_id);
	char *sign_type = strstr(second_id, "_0_1_");
	CHECK(sign_type);
	sign_type[3] = '0';

	for(int allowed = 0; allowed < 3; allowed++){
		mosquitto_plugin_id_t plugin = {0};
		if(allowed == 0){
			start(&plugin);
		}else{
			const char *value = allowed == 1 ? "yes" : "no";
			CHECK_CODE(INIT(&plugin, {"secrets_file", file("secrets")}, {"one_connection", value}), IOTDA_SUCCESS);
		}
		struct mosquitto first = client(first_id), again = client(first_id), second = client(second_id);
		struct mosquitto other = client(CLIENT_ID);
		log_in(&plugin, &other, DEVICE, PASSWORD);
		log_in(&plugin, &first, username, password);
		/* The broker itself ends the one of the same name, after this. */
		log_in(&plugin, &again, username, password);
		CHECK(kick_count == 0 && connected_count == 3);
		log_out(&first);

		/* Only who proves to be the device ends its other connection. */
		check_refused(&plugin, &second, username, "wrong-password", "reason=wrong_password");
		CHECK(kick_count == 0);
		forget_log();
		log_in(&plugin, &second, username, password);
		if(allowed == 2){
			CHECK(kick_count == 0 && connected_count == 3 && line_count == 0);
			log_out(&again);
		}else{
			CHECK(kick_count == 1 && was_kicked(first_id) && connected_count == 2);
			CHECK(line_count == 1 && kicks_without_will == 0);
			CHECK(logged("disconnected client=") == 1);
			CHECK(logged("reason=new_login address=203.0.113.7 new_address=203.0.113.7") == 1);
			/* It takes its turn again, and the second goes. */
			forget_kicks();
			log_in(&plugin, &first, username, password);
			CHECK(kick_count == 1 && was_kicked(second_id) && connected_count == 2);
			log_out(&first);
			log_in(&plugin, &second, username, password);
			CHECK(kick_count == 1);
		}
		log_out(&second);
		log_out(&other);
		forget_kicks();

		/* What was at this address is gone, though nobody has said so. Its name may be another's by now. */
		struct mosquitto place = client(first_id);
		CHECK_CODE(ask(&plugin, &place, username, password), IOTDA_SUCCESS);
		place.id = second_id;
		log_in(&plugin, &place, username, password);
		CHECK(kick_count == 0);
		log_in(&plugin, &first, username, password);
		if(allowed == 2){
			CHECK(kick_count == 0);
			log_out(&place);
		}else{
			CHECK(kick_count == 1 && was_kicked(second_id));
		}
		log_out(&first);
		CHECK(connected_count == 0);
		forget_kicks();
		stop(&plugin);
	}
}

/* A device that exists twice: what it does to itself is limited, told a few times, and nobody else's trouble. */
static void takeovers(void)
{
	mosquitto_plugin_id_t plugin = {0};
	put_text(DEVICE ":" SECRET "\n" "other:" SECRET "\n");
	keep_counters = true;
	start_with_table(&plugin);
	struct mosquitto twins[2] = {client(CLIENT_ID), client(CLIENT_ID)}, other = client(ID("other"));
	twins[1].address = "203.0.113.8";
	log_in(&plugin, &other, "other", PASSWORD);
	forget_log();
	for(int i = 0; i <= 20; i++){
		struct mosquitto *twin = &twins[i % 2];
		log_in(&plugin, twin, DEVICE, PASSWORD);
		/* The broker ends the one before. */
		if(i > 0) log_out(&twins[(i + 1) % 2]);
	}
	CHECK(kick_count == 0 && line_count == 0 && connected_count == 2);
	check_refused(&plugin, &twins[1], DEVICE, PASSWORD, "reason=rate_limited limit=takeovers");
	check_refused(&plugin, &twins[1], DEVICE, "wrong-password", "reason=wrong_password");
	/* The one that is there stays, and others come and go. */
	hang_up(&plugin);
	forget_log();
	CHECK_CODE(ask_again(&plugin, &twins[0], ONLINE, DEVICE, PASSWORD), IOTDA_SUCCESS);
	CHECK(line_count == 0);
	log_out(&other);
	log_in(&plugin, &other, "other", PASSWORD);
	/* Once it leaves there is nothing to take over. */
	log_out(&twins[0]);
	log_in(&plugin, &twins[1], DEVICE, PASSWORD);
	log_out(&twins[1]);
	log_out(&other);
	stop(&plugin);
	CHECK(logged("accepted=24 ") == 1 && logged(" takeovers=20 ") == 1 && logged(" disconnected=0 ") == 1);
}

/* The address of a WebSocket client of a 2.0 is what a header of the client's own says, unless its socket says the same. */
static void hearsay(void)
{
	struct listener listener = listen_on(IPV4);
	for(int with_adns = 0; with_adns < 2; with_adns++){
		for(int wrong = NOWHERE; wrong < PLACES; wrong++){
			mosquitto_plugin_id_t plugin = {0};
			CHECK_CODE(INIT(&plugin, {"secrets_file", file("secrets")}, {"failure_limit", "2/1h"}), IOTDA_SUCCESS);
			struct connection connection = dial(&listener);
			struct mosquitto client = client_over(&connection, CLIENT_ID);
			client.with_adns = with_adns;
			client.wrong = wrong;
			client.protocol = IOTDA_PROTOCOL_WEBSOCKETS;
			/* Whatever it says of itself is held against nobody. */
			if(!IS_2_1){
				const char *const said[] = {"203.0.113.7", "127.0.0.9", "127.0.0.1 ", "::1", "", "a\"b\n, 127.0.0.1"};
				const char *const told[] = {"203.0.113.7", "127.0.0.9", "127.0.0.1?", "::1", "-", "a?b???127.0.0.1"};
				for(int i = 0; i < 6; i++){
					char line[128];
					snprintf(line, sizeof(line), " address=- reason=wrong_password password=malformed forwarded_for=%s", told[i]);
					client.address = said[i];
					forget_log();
					CHECK_CODE(ask(&plugin, &client, DEVICE, "wrong-password"), REFUSED);
					CHECK(line_count == 1 && logged(line) == 1);
				}
			}
			/* Its own address is, where it can be told: in a 2.1 it is the broker that says it. */
			bool proved = wrong == NOWHERE || IS_2_1;
			client.address = connection.address;
			for(int i = 0; i < 3; i++){
				forget_log();
				CHECK_CODE(ask(&plugin, &client, DEVICE, i < 2 ? (i ? "wrong" : "another wrong") : PASSWORD),
						i < 2 || proved ? REFUSED : IOTDA_SUCCESS);
				const char *address = proved ? "address=127.0.0.1 reason=" : "address=- reason=";
				CHECK(logged(address) == (i < 2 || proved));
				CHECK(logged("forwarded_for=127.0.0.1") == (i < 2 && !proved));
			}
			/* And one that came over TCP is known by its socket anyway. */
			struct mosquitto over_tcp = client_over(&connection, CLIENT_ID);
			CHECK_CODE(ask(&plugin, &over_tcp, DEVICE, PASSWORD), proved ? REFUSED : IOTDA_SUCCESS);
			over_tcp.address = "203.0.113.7";
			CHECK_CODE(ask(&plugin, &over_tcp, DEVICE, PASSWORD), IOTDA_SUCCESS);
			hang_up_connection(&connection);
			stop(&plugin);
		}
	}
	close(listener.socket);
}
