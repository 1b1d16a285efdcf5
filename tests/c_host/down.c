/* Scenarios: what goes down to a device. Part of host.c. */

static const char *const implicit[] = {DOWN("+/down"), DOWN("commands/+"), DOWN("properties/+/+"), DOWN("shadow/get/response/+")};

/* Checks that a client has exactly these filters, by what stands behind its sys/; its own come first, before a NULL. */
#define HAS(client, ...) check_filters(__LINE__, (client), (const char *[]){__VA_ARGS__, NULL})

static void check_filters(int line, const struct mosquitto *client, const char *const *filters)
{
	int count = 0;
	bool own = true, right = true;
	for(int ends = 0; ends < 2; filters++){
		if(!*filters){
			own = false;
			ends++;
			continue;
		}
		int i = filter_at(client, *filters);
		right = right && i >= 0 && client->filters[i].own == own;
		count++;
	}
	if(right && count == client->filter_count) return;
	fprintf(stderr, "checked in line %d:\n", line);
	for(int i = 0; i < client->filter_count; i++){
		fprintf(stderr, "  %s%s\n", client->filters[i].own ? "own " : "", client->filters[i].text);
	}
	CHECK(!"the filters are as they should be");
}

#define SUBSCRIBE(client, filter) change_filter(&plugin, (client), IOTDA_EVT_SUBSCRIBE, (filter))
#define UNSUBSCRIBE(client, filter) change_filter(&plugin, (client), IOTDA_EVT_UNSUBSCRIBE, (filter))

/* A device that connects is subscribed, where its broker can. */
static void subscribed_at_connect(void)
{
	mosquitto_plugin_id_t plugin = {0};
	start(&plugin);
	struct mosquitto device = client(CLIENT_ID);
	log_in(&plugin, &device, DEVICE, PASSWORD);
	if(IS_2_1) HAS(&device, NULL, implicit[0], implicit[1], implicit[2], implicit[3]);
	CHECK(subscription_changes == (IS_2_1 ? 4 : 0));
	/* Nothing is left to be done, and a message changes nothing. */
	CHECK_CODE(tick(&plugin), IOTDA_SUCCESS);
	if(IS_2_1) publish(&plugin, DOWN("commands/request_id=1"), "{}", 2);
	CHECK(subscription_changes == (IS_2_1 ? 4 : 0) && handed_count == 0);
	log_out(&device);
	stop(&plugin);
	if(!IS_2_1) return;

	/* By whatever name its session goes. */
	CHECK_CODE(INIT(&plugin, {"secrets_file", file("secrets")}, {"session_id", "device"}), IOTDA_SUCCESS);
	struct mosquitto named = client(CLIENT_ID);
	log_in(&plugin, &named, DEVICE, PASSWORD);
	HAS(&named, NULL, implicit[0], implicit[1], implicit[2], implicit[3]);
	log_out(&named);
	stop(&plugin);

	/* Not where that is not wanted. */
	int before = subscription_changes;
	CHECK_CODE(INIT(&plugin, {"secrets_file", file("secrets")}, {"implicit_subscriptions", "no"}), IOTDA_SUCCESS);
	struct mosquitto alone = client(CLIENT_ID);
	log_in(&plugin, &alone, DEVICE, PASSWORD);
	SUBSCRIBE(&alone, DOWN("commands/#"));
	UNSUBSCRIBE(&alone, DOWN("commands/#"));
	CHECK_CODE(tick(&plugin), IOTDA_SUCCESS);
	CHECK(alone.filter_count == 0 && subscription_changes == before);
	log_out(&alone);
	stop(&plugin);
}

/* What the device subscribes to by itself takes the place of what it would get without asking, as long as it does. */
static void own_filters(void)
{
	mosquitto_plugin_id_t plugin = {0};
	start(&plugin);
	struct mosquitto device = client(CLIENT_ID);
	log_in(&plugin, &device, DEVICE, PASSWORD);
	if(!IS_2_1){
		SUBSCRIBE(&device, DOWN("commands/#"));
		CHECK(subscription_changes == 0);
		log_out(&device);
		stop(&plugin);
		return;
	}
	for(int again = 0; again < 2; again++){
		SUBSCRIBE(&device, DOWN("commands/#"));
		HAS(&device, DOWN("commands/#"), NULL, implicit[0], implicit[2], implicit[3]);
	}
	UNSUBSCRIBE(&device, DOWN("commands/#"));
	HAS(&device, NULL, implicit[0], implicit[1], implicit[2], implicit[3]);

	/* One of a group is left out of it. */
	SUBSCRIBE(&device, DOWN("messages/down"));
	HAS(&device, DOWN("messages/down"), NULL, DOWN("events/down"), DOWN("bootstrap/down"), implicit[1], implicit[2], implicit[3]);
	SUBSCRIBE(&device, DOWN("#"));
	HAS(&device, DOWN("messages/down"), DOWN("#"), NULL);
	UNSUBSCRIBE(&device, DOWN("messages/down"));
	HAS(&device, DOWN("#"), NULL);
	UNSUBSCRIBE(&device, DOWN("#"));
	HAS(&device, NULL, implicit[0], implicit[1], implicit[2], implicit[3]);

	/* The very same filter: the broker removes it after it has told of it, so it comes again at the next TICK. */
	for(int i = 0; i < 4; i++){
		SUBSCRIBE(&device, implicit[i]);
		HAS(&device, implicit[i], NULL, implicit[(i + 1) % 4], implicit[(i + 2) % 4], implicit[(i + 3) % 4]);
		UNSUBSCRIBE(&device, implicit[i]);
		HAS(&device, NULL, implicit[(i + 1) % 4], implicit[(i + 2) % 4], implicit[(i + 3) % 4]);
		CHECK_CODE(tick(&plugin), IOTDA_SUCCESS);
		HAS(&device, NULL, implicit[0], implicit[1], implicit[2], implicit[3]);
		/* Also if it never was the device's. */
		UNSUBSCRIBE(&device, implicit[i]);
		CHECK_CODE(tick(&plugin), IOTDA_SUCCESS);
		HAS(&device, NULL, implicit[0], implicit[1], implicit[2], implicit[3]);
	}

	/* Filters that cover nothing of this. */
	const char *others[] = {"#", "+/devices/" DEVICE "/sys/#", "$oc/devices/another/sys/#", DOWN("commands/request_id=1"),
			DOWN("messages/up"), "$oc/devices/" DEVICE "/user/#", "", "$oc/"};
	int before = subscription_changes;
	for(size_t i = 0; i < sizeof(others) / sizeof(*others); i++) SUBSCRIBE(&device, others[i]);
	for(size_t i = 0; i < sizeof(others) / sizeof(*others); i++) UNSUBSCRIBE(&device, others[i]);
	CHECK_CODE(tick(&plugin), IOTDA_SUCCESS);
	CHECK(subscription_changes == before);
	log_out(&device);
	stop(&plugin);
}

/* A TICK while a session waits, which the broker still has. */
static void tick_offline(mosquitto_plugin_id_t *plugin, const struct mosquitto *session)
{
	session_asked = session;
	CHECK_CODE(tick(plugin), IOTDA_SUCCESS);
	session_asked = NULL;
}

/* The device comes back to a session that has stayed. */
static void resumed_filters(void)
{
	if(!IS_2_1) return;
	mosquitto_plugin_id_t plugin = {0};
	start(&plugin);
	struct mosquitto device = client(CLIENT_ID);
	device.persistent = true;
	log_in(&plugin, &device, DEVICE, PASSWORD);
	SUBSCRIBE(&device, DOWN("commands/+"));
	int before = subscription_changes;
	log_out(&device);
	tick_offline(&plugin, &device);
	log_in(&plugin, &device, DEVICE, PASSWORD);
	CHECK(subscription_changes == before);
	HAS(&device, DOWN("commands/+"), NULL, implicit[0], implicit[2], implicit[3]);

	/* What was to come at a TICK comes with the session, if the connection ends before. */
	UNSUBSCRIBE(&device, DOWN("commands/+"));
	log_out(&device);
	tick_offline(&plugin, &device);
	log_in(&plugin, &device, DEVICE, PASSWORD);
	CHECK_CODE(tick(&plugin), IOTDA_SUCCESS);
	HAS(&device, NULL, implicit[0], implicit[1], implicit[2], implicit[3]);
	log_out(&device);
	stop(&plugin);

	/* Another process knows nothing of it: it only takes back what would come twice. */
	start(&plugin);
	log_in(&plugin, &device, DEVICE, PASSWORD);
	before = subscription_changes;
	UNSUBSCRIBE(&device, DOWN("commands/+"));
	CHECK_CODE(tick(&plugin), IOTDA_SUCCESS);
	CHECK(subscription_changes == before);
	SUBSCRIBE(&device, DOWN("#"));
	HAS(&device, DOWN("#"), NULL);
	UNSUBSCRIBE(&device, DOWN("#"));
	CHECK_CODE(tick(&plugin), IOTDA_SUCCESS);
	CHECK(device.filter_count == 0);
	log_out(&device);
	/* Now that it has none, it begins anew. */
	log_in(&plugin, &device, DEVICE, PASSWORD);
	HAS(&device, NULL, implicit[0], implicit[1], implicit[2], implicit[3]);
	log_out(&device);
	stop(&plugin);
}

/* Clients that have not logged in here. */
static void filters_of_others(void)
{
	mosquitto_plugin_id_t plugin = {0};
	CHECK_CODE(INIT(&plugin, {"secrets_file", file("secrets")}, {"other_clients", "defer"}), IOTDA_SUCCESS);
	struct mosquitto other = client("someone"), device = client(DEVICE);
	CHECK_CODE(ask(&plugin, &other, "name", "wrong-password"), IOTDA_ERR_PLUGIN_DEFER);
	let_in(&plugin, &other);
	CHECK_CODE(ask(&plugin, &device, DEVICE, "wrong-password"), IOTDA_ERR_PLUGIN_DEFER);
	let_in(&plugin, &device);
	struct mosquitto *clients[] = {&other, &device};
	for(int i = 0; i < 2; i++){
		SUBSCRIBE(clients[i], DOWN("commands/#"));
		UNSUBSCRIBE(clients[i], DOWN("commands/#"));
		SUBSCRIBE(clients[i], DOWN("+/down"));
		UNSUBSCRIBE(clients[i], DOWN("+/down"));
		CHECK(clients[i]->filter_count == 0);
	}
	CHECK_CODE(tick(&plugin), IOTDA_SUCCESS);
	publish(&plugin, DOWN("commands/request_id=1"), "{}", 2);
	CHECK(subscription_changes == 0 && handed_count == 0);
	log_out(&other);
	log_out(&device);
	/* One that was refused. */
	struct mosquitto refused = client(CLIENT_ID);
	CHECK_CODE(ask(&plugin, &refused, DEVICE, "wrong-password"), REFUSED);
	publish(&plugin, DOWN("commands/request_id=1"), "{}", 2);
	CHECK(subscription_changes == 0 && handed_count == 0);
	stop(&plugin);
}

static bool was_handed(const char *id, const char *topic, const char *payload, int length)
{
	return strcmp(handed.id, id) == 0 && strcmp(handed.topic, topic) == 0 && handed.length == length
			&& memcmp(handed.payload, payload, length) == 0;
}

/* A 2.0, or whatever cannot subscribe a session: messages are handed to the live connection of a device without filters. */
static void play_handed_down(void)
{
	const char *topics[] = {DOWN("messages/down"), DOWN("events/down"), DOWN("bootstrap/down"), DOWN("commands/request_id=1"),
			DOWN("properties/set/request_id=1"), DOWN("properties/get/request_id=1"), DOWN("shadow/get/response/request_id=1")};
	const char *others[] = {DOWN("messages/up"), DOWN("commands/response/request_id=1"), DOWN("commands"), DOWN(""), "$oc",
			"$oc/devices/another/sys/messages/down", "$", "x", "$oc/devices/" DEVICE "x/sys/messages/down"};
	mosquitto_plugin_id_t plugin = {0};
	start(&plugin);
	for(int stays = 0; stays < 2; stays++){
		/* Of its own, so that nobody can look at it when it is gone. */
		struct mosquitto *device = malloc(sizeof(*device));
		*device = client(CLIENT_ID);
		device->persistent = stays;
		/* Not yet. */
		handed_count = 0;
		publish(&plugin, topics[0], "early", 5);
		CHECK(handed_count == 0);
		log_in(&plugin, device, DEVICE, PASSWORD);
		for(size_t i = 0; i < sizeof(topics) / sizeof(*topics); i++){
			publish(&plugin, topics[i], "\0%s\xff", 4);
			CHECK(handed_count == (int)i + 1 && was_handed(CLIENT_ID, topics[i], "\0%s\xff", 4));
		}
		publish(&plugin, topics[0], NULL, 0);
		CHECK(handed_count == 8 && was_handed(CLIENT_ID, topics[0], "", 0));
		handed_count = 0;
		for(size_t i = 0; i < sizeof(others) / sizeof(*others); i++) publish(&plugin, others[i], "x", 1);
		CHECK(handed_count == 0);
		/* Whatever it subscribes to: the broker does not tell. */
		add_filter(device, "x", true);
		publish(&plugin, topics[3], "x", 1);
		CHECK(handed_count == 0);
		remove_filter(device, "x");
		publish(&plugin, topics[3], "x", 1);
		CHECK(handed_count == 1);
		log_out(device);
		memset(device, '?', sizeof(*device));
		free(device);
		publish(&plugin, topics[3], "late", 4);
		CHECK(handed_count == 1);
	}
	/* A connection that is taken over: it is gone, or is going, and nothing is handed to it. */
	stop(&plugin);
	CHECK_CODE(INIT(&plugin, {"secrets_file", file("secrets")}, {"timestamp_max_age", "3650d"}), IOTDA_SUCCESS);
	struct mosquitto *first = malloc(sizeof(*first)), second = client(argument("fresh_client"));
	*first = client(argument("stale_client"));
	log_in(&plugin, first, argument("device"), argument("stale_password"));
	char topic[128];
	snprintf(topic, sizeof(topic), "$oc/devices/%s/sys/commands/1", argument("device"));
	handed_count = 0;
	publish(&plugin, topic, "x", 1);
	CHECK(handed_count == 1 && was_handed(argument("stale_client"), topic, "x", 1));
	CHECK_CODE(ask(&plugin, &second, argument("device"), argument("fresh_password")), IOTDA_SUCCESS);
	CHECK(was_kicked(argument("stale_client")));
	free(first);
	let_in(&plugin, &second);
	publish(&plugin, topic, "y", 1);
	CHECK(handed_count == 2 && was_handed(argument("fresh_client"), topic, "y", 1));
	log_out(&second);
	stop(&plugin);

	/* Not where that is not wanted. */
	CHECK_CODE(INIT(&plugin, {"secrets_file", file("secrets")}, {"implicit_subscriptions", "no"}), IOTDA_SUCCESS);
	struct mosquitto alone = client(CLIENT_ID);
	log_in(&plugin, &alone, DEVICE, PASSWORD);
	publish(&plugin, topics[0], "x", 1);
	CHECK(handed_count == 2);
	log_out(&alone);
	stop(&plugin);
}

static void handed_down(void)
{
	if(!IS_2_1) play_handed_down();
}

/* For a 2.1 that lacks these functions. */
static void without_subscriptions(void)
{
	play_handed_down();
	CHECK(subscription_changes == 0);
}

/* A message for a device that is not there is told, and not every time. */
static void undelivered(void)
{
	mosquitto_plugin_id_t plugin = {0};
	keep_counters = keep_debug = true;
	start(&plugin);
	struct mosquitto device = client(CLIENT_ID);
	log_in(&plugin, &device, DEVICE, PASSWORD);
	forget_log();
	publish(&plugin, DOWN("messages/down"), "x", 1);
	CHECK(line_count == 0);
	log_out(&device);
	for(int i = 0; i < 30; i++) publish(&plugin, DOWN("messages/down"), "x", 1);
	CHECK(line_count == 10 && logged_at(IOTDA_LOG_DEBUG) == 10);
	CHECK(logged("undelivered device=\"" DEVICE "\" topic=\"" DOWN("messages/down") "\"") == 10);
	publish(&plugin, DOWN("messages/up"), "x", 1);
	stop(&plugin);
	CHECK(logged(" undelivered=30 ") == 1);
}
