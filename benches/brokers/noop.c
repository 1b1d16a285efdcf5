/*
 * A plugin that does nothing: everybody may log in, or nobody, if it is given any option. What a broker costs with it is
 * the floor for any plugin.
 */
#include <stddef.h>

#include "iotda_broker.h"

int mosquitto_callback_register(mosquitto_plugin_id_t *identifier, int event, iotda_callback callback,
		const void *event_data, void *userdata);

/* Null on 2.0, which does not have it. */
__attribute__((weak)) int mosquitto_plugin_set_info(mosquitto_plugin_id_t *identifier, const char *plugin_name,
		const char *plugin_version);

static int accept_all(int event, void *event_data, void *userdata)
{
	(void)event;
	(void)event_data;
	(void)userdata;
	return IOTDA_SUCCESS;
}

static int refuse_all(int event, void *event_data, void *userdata)
{
	(void)event;
	(void)event_data;
	(void)userdata;
	return IOTDA_ERR_AUTH;
}

/* If this is 0, 2.0 does not call the other plugins; if it is not 0, 2.1 ends. */
static int reload(int event, void *event_data, void *userdata)
{
	(void)event;
	(void)event_data;
	(void)userdata;
	return mosquitto_plugin_set_info ? IOTDA_SUCCESS : IOTDA_ERR_PLUGIN_DEFER;
}

int mosquitto_plugin_version(int supported_version_count, const int *supported_versions)
{
	for(int i = 0; i < supported_version_count; i++){
		if(supported_versions[i] == IOTDA_PLUGIN_VERSION){
			return IOTDA_PLUGIN_VERSION;
		}
	}
	return -1;
}

int mosquitto_plugin_init(mosquitto_plugin_id_t *identifier, void **userdata, struct iotda_opt *options,
		int option_count)
{
	(void)userdata;
	(void)options;
	iotda_callback answer = option_count > 0 ? refuse_all : accept_all;
	int code = mosquitto_callback_register(identifier, IOTDA_EVT_BASIC_AUTH, answer, NULL, NULL);
	return code ? code : mosquitto_callback_register(identifier, IOTDA_EVT_RELOAD, reload, NULL, NULL);
}

int mosquitto_plugin_cleanup(void *userdata, struct iotda_opt *options, int option_count)
{
	(void)userdata;
	(void)options;
	(void)option_count;
	return IOTDA_SUCCESS;
}
