/*
 * Scenarios of a secrets file that changes while the broker runs. host.c includes this file.
 *
 * The password of a device depends on its secret and on the time in its ClientId, not on its name: all devices here
 * have the secret of the device that is always right, and so its password.
 */

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <sys/resource.h>

/* ---- threads ---- */

/* The plugin's calls come here, for the program's own functions are found first. */
static int threads, thread_attempts;
static bool no_threads;

int pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*run)(void *), void *argument)
{
	int (*create)(pthread_t *, const pthread_attr_t *, void *(*)(void *), void *);
	*(void **)&create = dlsym(RTLD_NEXT, "pthread_create");
	CHECK(create);
	thread_attempts++;
	if(no_threads) return EAGAIN;
	int code = create(thread, attributes, run, argument);
	threads += code == 0;
	return code;
}

int pthread_join(pthread_t thread, void **result)
{
	int (*join)(pthread_t, void **);
	*(void **)&join = dlsym(RTLD_NEXT, "pthread_join");
	CHECK(join);
	int code = join(thread, result);
	threads -= code == 0;
	return code;
}

/* Whether a file does not answer who reads it on another thread than the first: what a disk or a network does that has gone. */
static volatile bool no_answer;
static volatile int waiting_reads;

ssize_t read(int fd, void *bytes, size_t count)
{
	ssize_t (*system_read)(int, void *, size_t);
	*(void **)&system_read = dlsym(RTLD_NEXT, "read");
	CHECK(system_read);
	if(no_answer && gettid() != getpid()){
		__sync_fetch_and_add(&waiting_reads, 1);
		while(no_answer) usleep(1000);
		__sync_fetch_and_sub(&waiting_reads, 1);
	}
	return system_read(fd, bytes, count);
}

/* Waits until the system knows of so many threads: one that was joined is there for a moment more. */
static bool tasks_become(int count)
{
	for(int tries = 0; tries < 1000; tries++){
		DIR *tasks = opendir("/proc/self/task");
		CHECK(tasks);
		int found = -2; /* . and .. */
		while(readdir(tasks)) found++;
		closedir(tasks);
		if(found == count) return true;
		usleep(1000);
	}
	return false;
}

/* ---- files ---- */

#define SECRET "123456789"
#define ID(device) device "_0_0_2999010100"

/* Puts a content in place, as a careful writer does. */
static void put_text(const char *content)
{
	int new = open(file("table.new"), O_WRONLY | O_CREAT | O_TRUNC, 0600);
	CHECK(new >= 0);
	CHECK(write(new, content, strlen(content)) == (ssize_t)strlen(content));
	CHECK(close(new) == 0);
	CHECK(rename(file("table.new"), file("table")) == 0);
}

/* Puts another file in place, which may not be there. */
static void put_file(const char *name)
{
	CHECK(symlink(name, file("table.new")) == 0);
	CHECK(rename(file("table.new"), file("table")) == 0);
}

/* Makes a file that takes a while to load. It has no secret that could be logged. */
static void make_big_file(int devices)
{
	int big = open(file("big"), O_WRONLY | O_CREAT | O_TRUNC, 0600);
	FILE *stream = fdopen(big, "w");
	CHECK(stream);
	fprintf(stream, "%s:%s\n", DEVICE, SECRET);
	for(int i = 1; i < devices; i++) fprintf(stream, "lamp-%06d:%s\n", i, SECRET);
	CHECK(fclose(stream) == 0);
}

/* An instance that reads "table". */
static void start_with_table(mosquitto_plugin_id_t *plugin)
{
	CHECK_CODE(INIT(plugin, {"secrets_file", file("table")}), IOTDA_SUCCESS);
	CHECK(plugin->userdata);
}

static void log_in_device(mosquitto_plugin_id_t *plugin, struct mosquitto *client)
{
	char device[64];
	snprintf(device, sizeof(device), "%.*s", (int)(strlen(client->id) - strlen(ID(""))), client->id);
	log_in(plugin, client, device, PASSWORD);
}

/* TICKs until the plugin has said how a reload went. Valgrind takes its time. */
static void tick_until_told(mosquitto_plugin_id_t *plugin)
{
	for(int tries = 0; tries < 60 * 1000; tries++){
		CHECK_CODE(tick(plugin), IOTDA_SUCCESS);
		if(logged("reloaded")) return;
		usleep(1000);
	}
	CHECK(!"told");
}

static void reload_and_tick(mosquitto_plugin_id_t *plugin)
{
	forget_log();
	hang_up(plugin);
	tick_until_told(plugin);
}

/* ---- a new table ---- */

/* What ends the wait for a new table, on a broker that sends TICKs and on one that does not. A RELOAD does not: a 2.0 has its
 * ACLs out by then. */
enum moment { AT_A_TICK, AT_A_LOGIN, AT_NO_RELOAD };

static void wait_for_table(mosquitto_plugin_id_t *plugin, enum moment moment)
{
	forget_log();
	hang_up(plugin);
	usleep(300 * 1000);
	CHECK(line_count == 0 && kick_count == 0);
	switch(moment){
		case AT_A_TICK:
			tick_until_told(plugin);
			break;
		case AT_A_LOGIN:
			for(int tries = 0; !logged("reloaded in") && tries < 600; tries++){
				CHECK_CODE(right_login(plugin), IOTDA_SUCCESS);
				usleep(100 * 1000);
			}
			break;
		case AT_NO_RELOAD:
			for(int tries = 0; tries < 5; tries++){
				usleep(100 * 1000);
				hang_up(plugin);
				CHECK(line_count == 0 && kick_count == 0);
			}
			tick_until_told(plugin);
			/* The last RELOAD may have had the same file read once more. */
			usleep(300 * 1000);
			CHECK_CODE(tick(plugin), IOTDA_SUCCESS);
			leave_out(" 0 added, 0 removed, 0 changed; ");
			break;
	}
	CHECK(logged("reloaded in") == 1);
}

/* Who has no place in a new table is disconnected, and nobody else. */
static void play_reload(enum moment moment)
{
	mosquitto_plugin_id_t plugin = {0};
	put_text(DEVICE ":" SECRET "\n" "kept:" SECRET "\n" "removed:" SECRET "\n" "away:" SECRET "\n" "lost:" SECRET "\n"
			"frozen:" SECRET "\n" "changed:" SECRET "\n" "rotated:" SECRET "\n" "resting:" SECRET "\n");
	start_with_table(&plugin);
	if(moment == AT_A_TICK) CHECK_CODE(tick(&plugin), IOTDA_SUCCESS);
	const char *ids[] = {ID("kept"), ID("rotated"), ID("frozen"), ID("changed"), ID("removed"), ID("resting")};
	struct mosquitto clients[6], away = client(ID("away")), late = client(ID("added"));
	for(int i = 0; i < 6; i++){
		clients[i] = client(ids[i]);
		log_in_device(&plugin, &clients[i]);
	}
	log_in_device(&plugin, &away);
	log_out(&away);
	clients[5].persistent = true;
	/* One that the plugin knows, and the broker does not. */
	struct mosquitto lost = client(ID("lost"));
	CHECK_CODE(ask(&plugin, &lost, "lost", PASSWORD), IOTDA_SUCCESS);

	put_text(DEVICE ":" SECRET "\n" "added:" SECRET "\n" "kept:" SECRET "\n" "frozen:" SECRET ":frozen\n"
			"changed:another-secret\n" "rotated:another-secret:secondary=" SECRET "\n");
	wait_for_table(&plugin, moment);
	CHECK(kick_count == 5 && kicks_without_will == 0 && was_kicked(ID("lost")) && connected_count == 2);
	for(int i = 0; i < 6; i++) CHECK(was_kicked(ids[i]) == (i >= 2));
	CHECK(logged_at(IOTDA_LOG_NOTICE) == 5 && logged("iotda-auth: disconnected client=") == 5);
	CHECK(logged("client=\"" ID("frozen") "\" reason=frozen") == 1);
	CHECK(logged("client=\"" ID("changed") "\" reason=wrong_password") == 1);
	CHECK(logged("client=\"" ID("removed") "\" reason=unknown_device") == 1);
	CHECK(logged("client=\"" ID("resting") "\" reason=unknown_device") == 1);
	CHECK(logged(": 6 devices, 1 added, 4 removed, 3 changed; 2 logged in, 5 disconnected") == 1);

	/* Logins are held against the new table. */
	log_in_device(&plugin, &late);
	check_refused(&plugin, &clients[2], "frozen", PASSWORD, "reason=frozen");
	check_refused(&plugin, &clients[3], "changed", PASSWORD, "reason=wrong_password");
	check_refused(&plugin, &clients[4], "removed", PASSWORD, "reason=unknown_device");
	/* The address of a client that was kicked is the next one's. */
	clients[4].id = DEVICE "_0_0_2999010100";
	log_in(&plugin, &clients[4], DEVICE, PASSWORD);

	/* What did not change is nobody's end. */
	forget_kicks();
	CHECK_CODE(tick(&plugin), IOTDA_SUCCESS);
	reload_and_tick(&plugin);
	CHECK(kick_count == 0 && connected_count == 4);
	CHECK(logged(": 6 devices, 0 added, 0 removed, 0 changed; 4 logged in, 0 disconnected") == 1);
	stop(&plugin);
	CHECK(threads == 0 && tasks_become(1));
}

static void reload_at_a_tick(void)
{
	play_reload(AT_A_TICK);
}

static void reload_at_a_login(void)
{
	play_reload(AT_A_LOGIN);
}

static void reload_at_no_reload(void)
{
	play_reload(AT_NO_RELOAD);
}

static void check_not_reloaded(mosquitto_plugin_id_t *plugin, const char *why)
{
	reload_and_tick(plugin);
	CHECK(logged("not reloaded, 2 devices stay: secrets_file ") == 1);
	CHECK(strstr(lines[0].text, why) && logged_at(IOTDA_LOG_ERR) == line_count);
	CHECK(kick_count == 0 && connected_count == 1);
	CHECK_CODE(right_login(plugin), IOTDA_SUCCESS);
}

static void reload_of_bad_files(void)
{
	mosquitto_plugin_id_t plugin = {0};
	put_file("secrets");
	start_with_table(&plugin);
	struct mosquitto lamp = client(argument("fresh_client"));
	log_in(&plugin, &lamp, argument("device"), argument("fresh_password"));
	for(int round = 0; round < 2; round++){
		put_file("missing");
		check_not_reloaded(&plugin, "cannot be read: No such file");
		CHECK(line_count == 1);
		put_file("directory");
		check_not_reloaded(&plugin, "expected a regular file");
		put_file("writable");
		check_not_reloaded(&plugin, "others cannot write");
		put_file("empty");
		check_not_reloaded(&plugin, "found none");
		put_file("wrong");
		check_not_reloaded(&plugin, "25 wrong lines");
		CHECK(line_count == 22 && logged(" line ") == 20 && logged("and 5 more") == 1);
		put_text("lamp-0");
		check_not_reloaded(&plugin, "1 wrong line");
		put_text(DEVICE ":" SECRET);
		check_not_reloaded(&plugin, "cut off?");
		CHECK(line_count == 1);

		put_file(round ? "secrets" : "readable");
		reload_and_tick(&plugin);
		CHECK(logged("reloaded in") == 1 && logged("0 changed; 1 logged in, 0 disconnected") == 1);
		CHECK(logged_at(IOTDA_LOG_WARNING) == !round && logged("chmod o-r") == !round);
	}
	stop(&plugin);
	CHECK(threads == 0);
}

/* The file is looked at without being asked; a broker that has no thread for that is told at the start. */
static void reload_interval(void)
{
	mosquitto_plugin_id_t plugin = {0};
	put_file("secrets");
	no_threads = true;
	CHECK_CODE(INIT(&plugin, {"secrets_file", file("table")}, {"reload_interval", "1s"}), IOTDA_ERR_INVAL);
	CHECK(logged("not started: no thread for plugin_opt_reload_interval") == 1 && logged_at(IOTDA_LOG_ERR) == 1);
	CHECK(!plugin.userdata && plugin.count == 0);
	no_threads = false;
	CHECK_CODE(INIT(&plugin, {"secrets_file", file("table")}, {"reload_interval", "1s"}), IOTDA_SUCCESS);
	CHECK(threads == 1);
	struct mosquitto right = client(CLIENT_ID);
	log_in(&plugin, &right, DEVICE, PASSWORD);
	forget_log();
	put_file("others");
	tick_until_told(&plugin);
	CHECK(logged("1 added, 2 removed, 0 changed; 0 logged in, 1 disconnected") == 1);
	CHECK(kick_count == 1 && was_kicked(CLIENT_ID) && connected_count == 0);
	forget_log();
	put_file("wrong");
	tick_until_told(&plugin);
	CHECK(logged("not reloaded, 1 device stays") == 1);
	stop(&plugin);
	CHECK(threads == 0);
}

/* ---- the thread, and its end ---- */

/* The thread may be at its start, reading, done, or have a table that nobody takes. */
static void cleanup_after_reload(void)
{
	for(int wait = 0; wait <= 50; wait += 5){
		mosquitto_plugin_id_t plugin = {0};
		put_file("secrets");
		start_with_table(&plugin);
		CHECK(threads == 0);
		put_file(wait % 2 ? "others" : "wrong");
		for(int requests = 0; requests <= wait % 3; requests++) hang_up(&plugin);
		CHECK(threads == 1);
		if(wait) usleep(wait * 1000);
		stop(&plugin);
		CHECK(threads == 0 && tasks_become(1));
	}
}

static void end_while_loading(mosquitto_plugin_id_t *plugin, int wait)
{
	put_file("secrets");
	start_with_table(plugin);
	forget_log();
	put_file("big");
	hang_up(plugin);
	if(wait) usleep(wait * 1000);
	CHECK(threads == 1 && line_count == 0);
	stop(plugin);
	CHECK(threads == 0);
}

static void cleanup_while_loading(void)
{
	make_big_file(300 * 1000);
	for(int i = 0; i < 10; i++){
		mosquitto_plugin_id_t plugin = {0};
		end_while_loading(&plugin, (int[]){0, 1, 2, 5, 10, 15, 20, 30, 40, 50}[i]);
		CHECK(tasks_become(1));
	}
}

/* A thread that were still reading might read on in code that is no longer there. Might: Rust leaves a destructor on
 * the thread that starts another, and until it has run, the C library does not unmap what it belongs to. */
static void unload_while_loading(void)
{
	make_big_file(300 * 1000);
	for(int wait = 0; wait <= 50; wait += 10){
		mosquitto_plugin_id_t plugin = {0};
		end_while_loading(&plugin, wait);
		if(keep_loaded) continue;
		CHECK(dlclose(library) == 0);
		CHECK(tasks_become(1));
		open_library();
	}
}

static pid_t signalled_thread;

static void note_thread(int signal)
{
	(void)signal;
	signalled_thread = gettid();
}

/* A line of a file in /proc, without its newline. */
static void read_line(const char *path, const char *prefix, char *line, int size)
{
	FILE *stream = fopen(path, "r");
	CHECK(stream);
	do{
		if(!fgets(line, size, stream)) line[0] = '\0';
	}while(line[0] && strncmp(line, prefix, strlen(prefix)) != 0);
	line[strcspn(line, "\n")] = '\0';
	fclose(stream);
}

/* The system's name for the one thread that is not ours. */
static void name_thread(char *path, int size)
{
	DIR *tasks = opendir("/proc/self/task");
	CHECK(tasks);
	path[0] = '\0';
	for(struct dirent *task; (task = readdir(tasks)); ){
		if(task->d_name[0] != '.' && atoi(task->d_name) != getpid()){
			CHECK(!path[0]);
			snprintf(path, size, "/proc/self/task/%.16s", task->d_name);
		}
	}
	closedir(tasks);
	CHECK(path[0]);
}

/* Signals are for the loop that waits for them. */
static void thread_without_signals(void)
{
	mosquitto_plugin_id_t plugin = {0};
	sigset_t hang_ups, before, after;
	sigemptyset(&hang_ups);
	sigaddset(&hang_ups, SIGHUP);
	signal(SIGHUP, note_thread);
	put_file("secrets");
	start_with_table(&plugin);
	pthread_sigmask(SIG_BLOCK, NULL, &before);
	reload_and_tick(&plugin);
	pthread_sigmask(SIG_BLOCK, NULL, &after);
	for(int i = 1; i < 32; i++) CHECK(sigismember(&before, i) == sigismember(&after, i));
	CHECK(threads == 1 && tasks_become(2));

	char path[64], name[96], line[128];
	name_thread(path, sizeof(path));
	snprintf(name, sizeof(name), "%s/comm", path);
	read_line(name, "", line, sizeof(line));
	CHECK(strcmp(line, "iotda-reload") == 0);
	if(!keep_loaded){ /* valgrind has a mask of its own */
		snprintf(name, sizeof(name), "%s/status", path);
		read_line(name, "SigBlk:", line, sizeof(line));
		unsigned long long blocked = strtoull(line + strlen("SigBlk:"), NULL, 16);
		/* But for those that cannot be blocked: KILL, STOP, and two that are the C library's. */
		unsigned long long others = 1ull << (SIGKILL - 1) | 1ull << (SIGSTOP - 1) | 1ull << 31 | 1ull << 32;
		CHECK((blocked | others) == ~0ull);
	}

	/* One that the broker does not take now waits for the broker. */
	pthread_sigmask(SIG_BLOCK, &hang_ups, NULL);
	CHECK(kill(getpid(), SIGHUP) == 0);
	usleep(100 * 1000);
	CHECK(signalled_thread == 0);
	pthread_sigmask(SIG_UNBLOCK, &hang_ups, NULL);
	CHECK(signalled_thread == getpid());
	stop(&plugin);
	CHECK(threads == 0);
}

static void thread_refused(void)
{
	mosquitto_plugin_id_t plugin = {0};
	put_file("secrets");
	start_with_table(&plugin);
	put_file("others");
	no_threads = true;
	thread_attempts = 0;
	for(int round = 0; round < 3; round++){
		forget_log();
		hang_up(&plugin);
		CHECK(thread_attempts == round + 1 && threads == 0);
		CHECK(line_count == 1 && logged_at(IOTDA_LOG_ERR) == 1);
		CHECK(logged("not reloaded, 2 devices stay") == 1);
		CHECK_CODE(tick(&plugin), IOTDA_SUCCESS);
		CHECK_CODE(right_login(&plugin), IOTDA_SUCCESS);
		CHECK(line_count == 1);
	}
	no_threads = false;
	reload_and_tick(&plugin);
	CHECK(threads == 1 && logged("1 device, 1 added, 2 removed") == 1);
	check_refused(&plugin, &(struct mosquitto){.id = CLIENT_ID, .keepalive = 120}, DEVICE, PASSWORD,
			"reason=unknown_device");
	/* One that is there is used again. */
	no_threads = true;
	put_file("secrets");
	reload_and_tick(&plugin);
	CHECK(thread_attempts == 4 && logged("reloaded in") == 1);
	stop(&plugin);
	CHECK(threads == 0);

	/* And an end without it; at the start, the file is then read without one. */
	start_with_table(&plugin);
	hang_up(&plugin);
	stop(&plugin);
	CHECK(threads == 0);
}

static double now(void)
{
	struct timespec time;
	clock_gettime(CLOCK_MONOTONIC, &time);
	return time.tv_sec + time.tv_nsec / 1e9;
}

/* Two instances, whose files do not answer any more; and their ends. */
static void *end_two(void *unused)
{
	(void)unused;
	broker_thread = gettid();
	mosquitto_plugin_id_t plugins[2] = {0};
	put_file("secrets");
	for(int i = 0; i < 2; i++) start_with_table(&plugins[i]);
	no_answer = true;
	for(int i = 0; i < 2; i++) hang_up(&plugins[i]);
	for(int tries = 0; waiting_reads < 2; tries++){
		CHECK(tries < 60 * 1000);
		usleep(1000);
	}
	/* Nobody waits for them meanwhile. */
	CHECK_CODE(right_login(&plugins[0]), IOTDA_SUCCESS);
	double begin = now();
	forget_log();
	for(int i = 0; i < 2; i++) stop(&plugins[i]);
	CHECK(now() - begin < 3 || keep_loaded);
	CHECK(logged("still being read at the end, without an answer") == 2);
	return NULL;
}

/* A thread that waits for its file is left behind, and finds its code where it was when the file answers at last. What
 * Rust leaves on the thread that starts another would hold the library too, so that thread ends before. */
static void end_without_an_answer(void)
{
	pthread_t broker;
	CHECK(pthread_create(&broker, NULL, end_two, NULL) == 0);
	CHECK(pthread_join(broker, NULL) == 0);
	broker_thread = 0;
	CHECK(waiting_reads == 2 && threads == 2 && tasks_become(3));
	if(!IS_2_1 && !keep_loaded) CHECK(dlclose(library) == 0);
	void *there = dlopen(library_path, RTLD_NOW | RTLD_NOLOAD);
	CHECK(there);
	no_answer = false;
	CHECK(tasks_become(1));
	threads = 0;
	library = there;
	/* It stays although nobody holds it any more, the thread's own destructors included, of which nothing is promised. */
	if(IS_2_1 || keep_loaded) return;
	CHECK(dlclose(there) == 0);
	library = dlopen(library_path, RTLD_NOW | RTLD_NOLOAD);
	CHECK(library);
}

static void no_file_descriptors(void)
{
	mosquitto_plugin_id_t plugin = {0};
	put_file("secrets");
	start_with_table(&plugin);
	struct rlimit before, none;
	CHECK(getrlimit(RLIMIT_NOFILE, &before) == 0);
	for(int round = 0; round < 2; round++){
		put_file(round ? "secrets" : "others");
		/* Not the lowest that is free now: the thread may still have to close one below it. */
		none = before;
		none.rlim_cur = 0;
		CHECK(setrlimit(RLIMIT_NOFILE, &none) == 0);
		CHECK(open("/dev/null", O_RDONLY) < 0 && errno == EMFILE);
		reload_and_tick(&plugin);
		CHECK(line_count == 1 && logged_at(IOTDA_LOG_ERR) == 1);
		CHECK(logged("cannot be read: Too many open files") == 1);
		CHECK_CODE(right_login(&plugin), round ? REFUSED : IOTDA_SUCCESS);
		CHECK(setrlimit(RLIMIT_NOFILE, &before) == 0);
		reload_and_tick(&plugin);
		CHECK(logged("reloaded in") == 1);
		CHECK_CODE(right_login(&plugin), round ? IOTDA_SUCCESS : REFUSED);
	}
	stop(&plugin);
}

/* Each instance has a thread of its own, and ends no other's. */
static void two_threads(void)
{
	make_big_file(100 * 1000);
	for(int wait = 0; wait <= 20; wait += 10){
		mosquitto_plugin_id_t plugins[2] = {0};
		struct mosquitto clients[2] = {client(CLIENT_ID), client(CLIENT_ID)};
		put_file("secrets");
		for(int i = 0; i < 2; i++){
			start_with_table(&plugins[i]);
			log_in(&plugins[i], &clients[i], DEVICE, PASSWORD);
		}
		put_file("big");
		for(int i = 0; i < 2; i++) hang_up(&plugins[i]);
		CHECK(threads == 2);
		if(wait) usleep(wait * 1000);
		int first = wait == 10;
		log_out(&clients[first]);
		stop(&plugins[first]);
		CHECK(threads == 1 && tasks_become(2));
		forget_log();
		tick_until_told(&plugins[!first]);
		CHECK(logged(": 100000 devices, ") == 1 && logged("; 1 logged in, 0 disconnected") == 1);
		put_file("others");
		reload_and_tick(&plugins[!first]);
		CHECK(logged("; 0 logged in, 1 disconnected") == 1 && connected_count == 0);
		stop(&plugins[!first]);
		CHECK(threads == 0 && tasks_become(1));
		forget_kicks();
	}
}

/* ---- a long time ---- */

/* Devices are frozen, thawed, removed and brought back, while they come and go; some files are no good. What the plugin
 * says of who is logged in is what the broker knows. */
static void many_reloads(void)
{
	enum { DEVICES = 8 };
	mosquitto_plugin_id_t plugin = {0};
	struct mosquitto clients[DEVICES];
	char ids[DEVICES][64], names[DEVICES][32];
	bool online[DEVICES] = {0}, allowed[DEVICES];
	put_file("secrets");
	start_with_table(&plugin);
	CHECK_CODE(tick(&plugin), IOTDA_SUCCESS);
	for(int i = 0; i < DEVICES; i++){
		snprintf(names[i], sizeof(names[i]), "lamp-%d", i);
		snprintf(ids[i], sizeof(ids[i]), "%s_0_0_2999010100", names[i]);
		clients[i] = client(ids[i]);
		clients[i].persistent = i % 2;
		allowed[i] = false;
	}
	srand(1);
	int reloaded = 0, kicks = 0;
	for(int round = 0; round < 1000; round++){
		const char *bad = round % 9 < 4 ? ((const char *[]){"wrong", "missing", "empty", "directory"})[round % 9] : NULL;
		int doomed = 0;
		if(bad){
			put_file(bad);
		}else{
			char content[DEVICES * 64] = "# lamps\nspare:" SECRET "\n";
			for(int i = 0; i < DEVICES; i++){
				int fate = rand() % 6;
				allowed[i] = fate >= 3;
				doomed += online[i] && !allowed[i];
				if(fate == 0) continue;
				char *end = content + strlen(content);
				sprintf(end, "%s:%s%s\n", names[i], fate == 1 ? "another-secret" : SECRET, fate == 2 ? ":frozen" : "");
			}
			put_text(content);
		}
		forget_kicks();
		forget_log();
		hang_up(&plugin);
		/* The sweep, in which nothing is new yet. */
		for(int i = 0; i < DEVICES; i++){
			if(online[i]) CHECK_CODE(ask_again(&plugin, &clients[i], ONLINE, names[i], PASSWORD), IOTDA_SUCCESS);
		}
		tick_until_told(&plugin);
		CHECK(logged("not reloaded") == !!bad && kick_count == doomed);
		kicks += doomed;
		for(int i = 0; i < DEVICES; i++){
			CHECK(was_kicked(ids[i]) == (online[i] && !allowed[i]));
			online[i] &= allowed[i];
		}
		reloaded += !bad;
		if(!bad){
			char count[64];
			snprintf(count, sizeof(count), "; %d logged in, %d disconnected", connected_count, doomed);
			CHECK(logged(count) == 1);
		}
		forget_log();
		for(int i = 0; i < DEVICES; i++){
			if(online[i]){
				if(rand() % 4) continue;
				log_out(&clients[i]);
				online[i] = false;
			}else if(allowed[i]){
				log_in(&plugin, &clients[i], names[i], PASSWORD);
				online[i] = true;
			}else{
				CHECK_CODE(ask(&plugin, &clients[i], names[i], PASSWORD), REFUSED);
			}
		}
	}
	CHECK(reloaded > 500 && kicks > 500);
	for(int i = 0; i < DEVICES; i++){
		if(online[i]) log_out(&clients[i]);
	}
	put_file("others");
	reload_and_tick(&plugin);
	CHECK(logged("; 0 logged in, 0 disconnected") == 1 && threads == 1);
	stop(&plugin);
	CHECK(threads == 0 && tasks_become(1));
}
