/*
 * Scenarios of client certificates. host.c includes this file.
 *
 * Each X509 that is given is counted, and so is, in fake_broker.h, each that is freed.
 */

/* "abc", whose digests every book has, and another. */
#define DER(text) .der = (const unsigned char *)(text), .length = sizeof(text) - 1
static struct x509 abc = {DER("abc")}, other = {DER("abd")};
#define ABC_SHA1 "a9993e364706816aba3e25717850c26c9cd0d89d"
#define ABC_SHA256 "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
/* Alike but for the last digit. */
#define NEAR_SHA256 "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ae"

static int certificates_given;

#ifndef WITHOUT_TLS
void *mosquitto_client_certificate(const struct mosquitto *client)
{
	check_thread();
	CHECK(client);
	struct x509 *certificate = client->certificate;
	if(!certificate) return NULL;
	certificate->references++;
	certificates_given++;
	return certificate;
}
const iotda_client_certificate client_certificate_type = mosquitto_client_certificate;
#endif

static void start_with_certificates(mosquitto_plugin_id_t *plugin)
{
	put_text(DEVICE ":" SECRET "\n" "old:x509=" ABC_SHA1 "\n" "new:x509=" ABC_SHA256 "\n"
			"two:x509=" NEAR_SHA256 "," ABC_SHA256 "\n" "near:x509=" NEAR_SHA256 "\n"
			"ice:x509=" ABC_SHA256 ":frozen\n");
	CHECK_CODE(INIT(plugin, {"secrets_file", file("table")}), IOTDA_SUCCESS);
}

static void check_all_freed(void)
{
	CHECK(abc.references == 0 && other.references == 0);
}

static void certificates(void)
{
	mosquitto_plugin_id_t plugin = {0};
	start_with_certificates(&plugin);
	/* What an operator would have to register is told. */
	struct mosquitto first = client(ID("near"));
	first.certificate = &abc;
	check_refused(&plugin, &first, "near", NULL, "reason=wrong_certificate");
	CHECK(logged("reason=wrong_certificate certificate=" ABC_SHA256) == 1);
	/* What SDKs send for a password: nothing, an empty one, a hash; and one that is right for nobody. */
	const char *passwords[] = {NULL, "", PASSWORD, "wrong-password"};
	for(int i = 0; i < 4; i++){
		const char *ids[] = {ID("old"), ID("new"), ID("two")}, *names[] = {"old", "new", "two"};
		for(int n = 0; n < 3; n++){
			struct mosquitto device = client(ids[n]);
			device.certificate = &abc;
			CHECK_CODE(ask(&plugin, &device, names[n], passwords[i]), IOTDA_SUCCESS);
			gone(&plugin, IOTDA_EVT_DISCONNECT, &device);
			/* An hour that has long passed is not asked of it. */
			device.id = n == 0 ? "old_0_1_2020010100" : n == 1 ? "new_0_2_2020010100" : "two_0_1_2020010100";
			CHECK_CODE(ask(&plugin, &device, names[n], passwords[i]), IOTDA_SUCCESS);
			gone(&plugin, IOTDA_EVT_DISCONNECT, &device);

			device.certificate = NULL;
			check_refused(&plugin, &device, names[n], passwords[i], "reason=no_certificate");
			device.certificate = &other;
			check_refused(&plugin, &device, names[n], passwords[i], "reason=wrong_certificate");
		}
		struct mosquitto device = client(ID("near"));
		device.certificate = &abc;
		check_refused(&plugin, &device, "near", passwords[i], "reason=wrong_certificate");
		device.id = ID("ice");
		check_refused(&plugin, &device, "ice", passwords[i], "reason=frozen");
		device.certificate = &other;
		check_refused(&plugin, &device, "ice", passwords[i], "reason=wrong_certificate");
	}
	/* A device with a secret needs it all the same. */
	struct mosquitto device = client(CLIENT_ID);
	device.certificate = &abc;
	CHECK_CODE(ask(&plugin, &device, DEVICE, PASSWORD), IOTDA_SUCCESS);
	gone(&plugin, IOTDA_EVT_DISCONNECT, &device);
	check_refused(&plugin, &device, DEVICE, NULL, "reason=wrong_password");
	/* And no certificate makes another device of one. */
	device.id = ID("new");
	check_refused(&plugin, &device, "old", PASSWORD, "reason=user_mismatch");
	/* libcrypto has no room, or no DER. */
	for(int failure = -1; failure >= -2; failure--){
		abc.failure = failure;
		check_refused(&plugin, &device, "new", PASSWORD, "reason=no_certificate");
	}
	abc.failure = 0;
	CHECK(certificates_given > 0);
	check_all_freed();
	stop(&plugin);
}

/* A reload ends the sessions of the certificates that are no longer the device's, and no other. */
static void certificates_and_reloads(void)
{
	mosquitto_plugin_id_t plugin = {0};
	put_text(DEVICE ":" SECRET "\n" "kept:x509=" ABC_SHA1 "\n" "moved:x509=" ABC_SHA256 "\n"
			"ended:x509=" ABC_SHA256 "\n" "turned:x509=" ABC_SHA256 "\n" "back:" SECRET "\n" "left:" SECRET "\n"
			"away:x509=" ABC_SHA256 "\n");
	CHECK_CODE(INIT(&plugin, {"secrets_file", file("table")}), IOTDA_SUCCESS);
	CHECK_CODE(tick(&plugin), IOTDA_SUCCESS);
	const char *ids[] = {ID("kept"), ID("moved"), ID("ended"), ID("turned"), ID("back"), ID("left")};
	const char *names[] = {"kept", "moved", "ended", "turned", "back", "left"};
	struct mosquitto clients[6];
	for(int i = 0; i < 6; i++){
		clients[i] = client(ids[i]);
		/* The last has come over a listener without certificates. */
		if(i < 5) clients[i].certificate = &abc;
		log_in(&plugin, &clients[i], names[i], i < 4 ? NULL : PASSWORD);
	}
	put_text(DEVICE ":" SECRET "\n" "kept:x509=" ABC_SHA256 "\n" "moved:x509=" NEAR_SHA256 "," ABC_SHA1 "\n"
			"ended:x509=" NEAR_SHA256 "\n" "turned:" SECRET "\n" "back:x509=" ABC_SHA256 "\n"
			"left:x509=" ABC_SHA256 "\n" "away:x509=" ABC_SHA256 "\n");
	wait_for_table(&plugin, AT_A_TICK);
	for(int i = 0; i < 6; i++){
		bool ends = i == 2 || i == 3 || i == 5;
		CHECK(was_kicked(ids[i]) == ends);
	}
	CHECK(logged("client=\"" ID("ended") "\" reason=wrong_certificate") == 1);
	CHECK(logged("client=\"" ID("turned") "\" reason=wrong_password") == 1);
	CHECK(logged("client=\"" ID("left") "\" reason=no_certificate") == 1);

	/* The sweep of a SIGHUP: who is online is known; who is offline has no certificate to show, and may wait. */
	hang_up(&plugin);
	forget_log();
	CHECK_CODE(ask_again(&plugin, &clients[0], ONLINE, "kept", NULL), IOTDA_SUCCESS);
	struct mosquitto away = client(ID("away"));
	CHECK_CODE(ask_again(&plugin, &away, OFFLINE, "away", NULL), IOTDA_SUCCESS);
	CHECK_CODE(ask_again(&plugin, &away, RESTORED, "away", NULL), IOTDA_SUCCESS);
	CHECK(line_count == 0);
	/* One that is online, and was let in by others, has to show it. */
	check_ended(&plugin, &away, "away", NULL, "reason=no_certificate");
	away.certificate = &other;
	check_ended(&plugin, &away, "away", NULL, "reason=wrong_certificate");
	check_refused(&plugin, &away, "away", NULL, "reason=wrong_certificate");
	away.certificate = &abc;
	CHECK_CODE(ask_again(&plugin, &away, ONLINE, "away", NULL), IOTDA_SUCCESS);
	away.certificate = NULL;
	check_refused(&plugin, &away, "away", NULL, "reason=no_certificate");
	CHECK_CODE(tick(&plugin), IOTDA_SUCCESS);
	check_refused(&plugin, &away, "away", NULL, "reason=no_certificate");
	check_all_freed();
	stop(&plugin);
}

/* For a broker without TLS: nobody has a certificate there. */
static void without_tls(void)
{
	mosquitto_plugin_id_t plugin = {0};
	start_with_certificates(&plugin);
	struct mosquitto device = client(ID("new"));
	device.certificate = &abc;
	check_refused(&plugin, &device, "new", NULL, "reason=no_certificate");
	CHECK_CODE(right_login(&plugin), IOTDA_SUCCESS);
	CHECK(certificates_given == 0);
	stop(&plugin);
}
