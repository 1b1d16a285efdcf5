/*
 * A plugin that answers 0 to RELOAD, which keeps a Mosquitto 2.0 from telling the plugins that come after it.
 */
#include <stddef.h>

#include "iotda_broker.h"

int mosquitto_callback_register(mosquitto_plugin_id_t *identifier, int event, iotda_callback callback,
		const void *event_data, void *userdata);

static int reload(int event, void *event_data, void *userdata)
{
	(void)event;
	(void)event_data;
	(void)userdata;
	return IOTDA_SUCCESS;
}

int mosquitto_plugin_version(int count, const int *versions)
{
	(void)count;
	(void)versions;
	return IOTDA_PLUGIN_VERSION;
}

int mosquitto_plugin_init(mosquitto_plugin_id_t *identifier, void **userdata, struct iotda_opt *options, int count)
{
	(void)options;
	(void)count;
	*userdata = identifier;
	return mosquitto_callback_register(identifier, IOTDA_EVT_RELOAD, reload, NULL, identifier);
}

int mosquitto_plugin_cleanup(void *userdata, struct iotda_opt *options, int count)
{
	(void)userdata;
	(void)options;
	(void)count;
	return IOTDA_SUCCESS;
}
