//! The plugin in a broker that can be made to do anything: `c_host/host.c`, a small C program that loads the library as
//! Mosquitto 2.0 and 2.1 do and plays one scenario a run.
//!
//! Each scenario is played plain, where a 2.0 also unloads the library; under valgrind, which finds what is leaked or read
//! where it should not be; and with AddressSanitizer, which sees the stack and the globals too. Helgrind and drd are of no use here: they do not know the atomics that std's own
//! locks and channels are made of, and take each hand-over between the two threads for a race.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use iotda_core::login::{ClientId, SignType, signature::HourKey, timestamp::HOUR};
use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
    sync::OnceLock,
};
use support::{
    c, device, library,
    library::root,
    scratch::{Scratch, set_mode},
};

/// Makes of each scenario of the host's a test of each kind.
macro_rules! scenarios {
    ($($name:ident)+) => {
        const SCENARIOS: &[&str] = &[$(stringify!($name)),+];
        mod plain { $(#[test] fn $name() { super::plays(stringify!($name)); })+ }
        mod valgrind { $(#[test] fn $name() { super::plays_under_valgrind(stringify!($name)); })+ }
        mod address_sanitizer { $(#[test] fn $name() { super::plays_sanitized(stringify!($name)); })+ }
    };
}

scenarios! {
    versions
    init_and_cleanup
    cleanup_twice
    cleanup_of_strangers
    init_without_user_data
    two_instances
    registration_refused
    init_errors
    init_with_bad_files
    logins
    nulls
    null_events
    null_user_data
    long_and_odd_texts
    other_clients
    reload_answers
    sweep
    sweep_without_ticks
    sweep_of_restored_sessions
    reused_pointers
    heads
    not_asked
    missed_reload
    many_clients
    reload_at_a_tick
    reload_at_a_login
    reload_at_no_reload
    reload_of_bad_files
    reload_interval
    cleanup_after_reload
    cleanup_while_loading
    unload_while_loading
    thread_without_signals
    thread_refused
    no_file_descriptors
    end_without_an_answer
    two_threads
    many_reloads
    connack_is_exact
    connack_over_each_family
    connack_on_listed_ports
    connack_to_the_client_itself
    connack_needs_an_address
    connack_on_plain_connections
    connack_of_known_versions
    connack_to_a_peer_that_is_gone
    connack_behind_a_proxy
    connack_doubts
    connack_in_a_sweep
    session_by_device
    one_connection
    takeovers
    hearsay
    stats
    thinned_log
    certificates
    certificates_and_reloads
    subscribed_at_connect
    own_filters
    resumed_filters
    filters_of_others
    handed_down
    undelivered
    panic_in_a_login
    unload
}

/// Scenarios for hosts that lack something.
const FOR_OTHER_HOSTS: [&str; 3] = ["missing_function", "without_tls", "without_subscriptions"];

/// What valgrind ends with where it finds something.
const FOUND: i32 = 99;

/// The host as a broker of some kind.
struct Host {
    kind: &'static str,
    flags: &'static [&'static str],
    executable: OnceLock<PathBuf>,
}

static HOST_2_0: Host = Host::new("2.0", &["-DHOST_2_0"]);
static HOST_2_1: Host = Host::new("2.1", &["-DHOST_2_1"]);
static SANITIZED_2_0: Host = Host::new("2.0-sanitized", &["-DHOST_2_0", "-fsanitize=address"]);
static SANITIZED_2_1: Host = Host::new("2.1-sanitized", &["-DHOST_2_1", "-fsanitize=address"]);
static WITHOUT_CLIENT_ID: Host =
    Host::new("2.0-without-client-id", &["-DHOST_2_0", "-DWITHOUT_CLIENT_ID"]);
static WITHOUT_CLIENT_SUB_COUNT: Host =
    Host::new("2.0-without-client-sub-count", &["-DHOST_2_0", "-DWITHOUT_CLIENT_SUB_COUNT"]);
static WITHOUT_SUBSCRIPTIONS: Host =
    Host::new("2.1-without-subscriptions", &["-DHOST_2_1", "-DWITHOUT_SUBSCRIPTIONS"]);
static WITHOUT_TLS: Host = Host::new("2.1-without-tls", &["-DHOST_2_1", "-DWITHOUT_TLS"]);
static WITHOUT_LOG_PRINTF: Host =
    Host::new("2.1-without-log-printf", &["-DHOST_2_1", "-DWITHOUT_LOG_PRINTF"]);

impl Host {
    const fn new(kind: &'static str, flags: &'static [&'static str]) -> Self {
        Self { kind, flags, executable: OnceLock::new() }
    }

    fn executable(&self) -> &Path {
        self.executable.get_or_init(|| self.build())
    }

    fn build(&self) -> PathBuf {
        let source = root().join("tests/c_host/host.c");
        let include = format!("-I{}", root().join("include").display());
        let flags = ["-rdynamic", include.as_str()].into_iter().chain(self.flags.iter().copied());
        let scratch = Scratch::new();
        // Libraries come after what needs them.
        let built = c::build(&source, scratch.path().join("host"), flags.chain(["-ldl"]));
        // Another run of these tests may be using the one that is there.
        let place = support::library::temporary_directory().join(format!("c_host-{}", self.kind));
        fs::rename(built, &place).unwrap();
        place
    }
}

/// The device whose password these tests compute: the host cannot.
const DEVICE: &str = "lamp-01";
const SECRET: &str = "5f2b9c0e7d";

/// The folder that a host finds its files in.
fn files() -> Scratch {
    let scratch = Scratch::new();
    let secrets = format!("6203cc94c7fb24029b110408_88888888:123456789\n{DEVICE}:{SECRET}\n");
    scratch.file("secrets", &secrets);
    scratch.file("others", "lamp-02:5f2b9c0e7d\n");
    scratch.file("empty", "");
    scratch.file("wrong", "lamp-01 hunter2hunter2\n".repeat(25));
    set_mode(&scratch.file("readable", &secrets), 0o644);
    set_mode(&scratch.file("writable", &secrets), 0o606);
    fs::create_dir(scratch.path().join("directory")).unwrap();
    scratch
}

/// NAME=VALUE arguments: the logins that need an HMAC.
fn arguments() -> Vec<String> {
    let login = |kind: &str, stamp: &str| {
        let password = HourKey::new(SignType::Sha256, stamp.as_bytes().try_into().unwrap())
            .password(SECRET.as_bytes());
        let client_id = ClientId::format(DEVICE, SignType::Sha256Timestamp, stamp);
        [format!("{kind}_client={client_id}"), format!("{kind}_password={password}")]
    };
    let now = device::now();
    let mut arguments = vec![
        format!("version={}", env!("CARGO_PKG_VERSION")),
        format!("device={DEVICE}"),
        format!("hour={}", now - now % HOUR),
    ];
    arguments.extend(login("fresh", &device::stamp(now)));
    arguments.extend(login("stale", "2020010100"));
    arguments
}

/// The library that a scenario is about.
fn library_for(scenario: &str) -> &'static Path {
    if scenario.starts_with("panic") { library::with_fault_injection() } else { library::release() }
}

/// One run of a host; `with` is put before its name.
fn run(host: &Host, scenario: &str, with: &[&str], extra: &[&str]) -> Output {
    run_with(library_for(scenario), host, scenario, with, extra)
}

fn run_with(library: &Path, host: &Host, scenario: &str, with: &[&str], extra: &[&str]) -> Output {
    let scratch = files();
    let mut line = with.iter().map(AsRef::as_ref).chain([host.executable().as_os_str()]);
    c::run(
        Command::new(line.next().unwrap())
            .args(line)
            .arg(library)
            .arg(scratch.path())
            .arg(scenario)
            .args(extra)
            .args(arguments())
            // Leaks are valgrind's to find: here they are looked for by tracing the process, which not every container allows.
            .env("ASAN_OPTIONS", "detect_leaks=0:detect_stack_use_after_return=1")
            // A backtrace keeps what it has read of the library's debug information.
            .env_remove("RUST_BACKTRACE"),
    )
}

fn run_under_valgrind(host: &Host, scenario: &str) -> Output {
    let valgrind = [
        "valgrind",
        "--quiet",
        "--leak-check=full",
        "--show-leak-kinds=definite,indirect,possible",
        "--errors-for-leak-kinds=definite,indirect,possible",
        "--error-exitcode=99",
    ];
    run(host, scenario, &valgrind, &["keep-loaded"])
}

fn run_sanitized(host: &Host, scenario: &str) -> Output {
    run_with(library::with_address_sanitizer(), host, scenario, &[], &[])
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn plays(scenario: &str) {
    for host in [&HOST_2_0, &HOST_2_1] {
        let output = run(host, scenario, &[], &[]);
        let (kind, said) = (host.kind, said(&output));
        assert!(output.status.success(), "as {kind}: {}\n{said}", output.status);
        // The log is the broker's; standard error is nobody's.
        assert_eq!(said, "", "as {kind}");
    }
}

fn plays_sanitized(scenario: &str) {
    for host in [&SANITIZED_2_0, &SANITIZED_2_1] {
        let output = run_sanitized(host, scenario);
        assert!(output.status.success(), "as {}: {}\n{}", host.kind, output.status, said(&output));
    }
}

fn plays_under_valgrind(scenario: &str) {
    for host in [&HOST_2_0, &HOST_2_1] {
        let output = run_under_valgrind(host, scenario);
        assert!(output.status.success(), "as {}: {}\n{}", host.kind, output.status, said(&output));
    }
}

#[test]
fn no_scenario_is_left_out() {
    let listed = c::text_of(Command::new(HOST_2_0.executable()).arg("list"));
    let listed: Vec<&str> = listed
        .lines()
        .filter(|name| !name.starts_with("self_") && !FOR_OTHER_HOSTS.contains(name))
        .collect();
    assert_eq!(listed, SCENARIOS);
}

#[test]
fn a_missing_function_is_named() {
    for (host, name) in [
        (&WITHOUT_CLIENT_ID, "mosquitto_client_id"),
        (&WITHOUT_CLIENT_SUB_COUNT, "mosquitto_client_sub_count"),
        (&WITHOUT_LOG_PRINTF, "mosquitto_log_printf"),
    ] {
        let output = run(host, "missing_function", &[], &[]);
        let message = said(&output);
        assert!(output.status.success(), "{}\n{message}", output.status);
        assert_eq!(message.lines().count(), 1, "{message}");
        assert!(message.contains("not started") && message.contains(name), "{message}");
        let output = run_under_valgrind(host, "missing_function");
        assert!(output.status.success(), "{}\n{}", output.status, said(&output));
    }
}

#[test]
fn a_broker_without_tls_has_no_certificates() {
    for output in [
        run(&WITHOUT_TLS, "without_tls", &[], &[]),
        run_under_valgrind(&WITHOUT_TLS, "without_tls"),
    ] {
        assert!(output.status.success(), "{}\n{}", output.status, said(&output));
    }
    // In a broker that has TLS the same is not so.
    assert_eq!(run(&HOST_2_1, "without_tls", &[], &[]).status.code(), Some(1));
}

#[test]
fn a_2_1_that_lacks_the_subscriptions_subscribes_nobody() {
    for output in [
        run(&WITHOUT_SUBSCRIPTIONS, "without_subscriptions", &[], &[]),
        run_under_valgrind(&WITHOUT_SUBSCRIPTIONS, "without_subscriptions"),
    ] {
        assert!(output.status.success(), "{}\n{}", output.status, said(&output));
    }
    // A 2.1 that has them is another matter.
    assert_eq!(run(&HOST_2_1, "without_subscriptions", &[], &[]).status.code(), Some(1));
}

#[test]
fn a_failed_check_is_noticed() {
    let output = run(&HOST_2_0, "self_failed_check", &[], &[]);
    assert_eq!(output.status.code(), Some(1));
    assert!(said(&output).contains("not so: 1 + 1 == 3"));
    assert_eq!(run(&HOST_2_0, "no such scenario", &[], &[]).status.code(), Some(2));
    // The scenario of a whole broker, in one that lacks a function, and the other way round.
    assert_eq!(run(&WITHOUT_CLIENT_ID, "logins", &[], &[]).status.code(), Some(1));
    assert_eq!(run(&HOST_2_0, "missing_function", &[], &[]).status.code(), Some(1));
}

#[test]
fn valgrind_notices_a_leak() {
    for scenario in ["self_leak", "self_lost_instance"] {
        let output = run_under_valgrind(&HOST_2_0, scenario);
        assert_eq!(output.status.code(), Some(FOUND), "{scenario}: {}", said(&output));
        assert!(said(&output).contains("lost in loss record"), "{scenario}: {}", said(&output));
        assert!(run(&HOST_2_0, scenario, &[], &[]).status.success(), "{scenario}");
    }
}

#[test]
fn valgrind_notices_a_read_beyond_the_end() {
    let output = run_under_valgrind(&HOST_2_0, "self_read_after_end");
    assert_eq!(output.status.code(), Some(FOUND), "{}", said(&output));
    assert!(said(&output).contains("Invalid read"), "{}", said(&output));
}

#[test]
fn address_sanitizer_notices_a_read_beyond_the_end() {
    let output = run_sanitized(&SANITIZED_2_0, "self_read_after_end");
    assert!(!output.status.success());
    assert!(said(&output).contains("AddressSanitizer: heap-buffer-overflow"), "{}", said(&output));
    // It looks into the library's own code too.
    let calls = c::text_of(
        Command::new("nm").args(["-D", "--undefined-only"]).arg(library::with_address_sanitizer()),
    );
    assert!(calls.contains("__asan_report_load"), "{calls}");
}
