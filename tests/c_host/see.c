/*
 * Scenarios of what an operator sees. host.c includes this file.
 */

static void stats(void)
{
	mosquitto_plugin_id_t plugin = {0};
	CHECK_CODE(INIT(&plugin, {"secrets_file", file("secrets")}, {"stats_interval", "1s"}), IOTDA_SUCCESS);
	CHECK_CODE(tick(&plugin), IOTDA_SUCCESS);
	int all = publish_count;
	CHECK(all > 15);
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
	/* Once for the first time, and ten times again. */
	CHECK(line_count == 11 && logged("reason=wrong_password") == 11);
	stop(&plugin);
	CHECK(logged("refused 189 more, not shown: wrong_password=189") == 1);
	CHECK(logged("since the start: accepted=0 deferred=0 refused=200 wrong_password=200 ") == 1);
	CHECK(logged("recognised so far: wrong_password: 200 malformed") == 1);
}
