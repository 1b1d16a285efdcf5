//! What if the network, the server, the disk or the follower fails? After each, the file is the table of some moment, and
//! once it is quiet, the table of now.

use crate::insert;
use fleet::{
    as_nobody,
    follower::{PATIENCE, Place},
    network::Network,
    server::{Release, Server},
};
use std::{
    fs,
    path::Path,
    process::Command,
    thread,
    time::{Duration, Instant},
};
use support::{broker::wait_within, scratch::set_mode};

on_each_server!(
    the_server_is_killed_and_comes_back,
    the_network_is_cut_at_any_byte,
    the_network_is_silent_at_any_byte,
    the_follower_is_killed_at_any_instant,
    a_transaction_is_open_across_the_hand_over,
    a_slot_that_waits_ends_with_its_follower,
    a_lost_permission_is_not_asked_for_in_a_hurry,
    a_crash_does_not_undo_a_snapshot,
    a_silent_host_does_not_keep_from_the_next,
    the_connection_string_is_read_again,
    an_unwritable_status_is_told_once,
    a_commit_that_is_not_on_disk_is_not_undone,
    an_emptier_primary_is_not_published,
    an_older_primary_is_not_published,
    a_standby_takes_over,
    the_disk_is_full,
    the_folder_is_read_only,
    systemd_hears_of_it,
);

fn the_server_is_killed_and_comes_back(release: Release) {
    let mut server = Server::new(release);
    server.sql(&insert(1, 50));
    let place = Place::new(&server.dsn());
    let _follower = place.start();
    place.wait_until_equal(&server);
    for (number, how) in (1..).zip(["QUIT", "INT", "QUIT"]) {
        let before = place.lines();
        server.stop(how);
        place.wait_for_status("state", "connecting");
        assert_eq!(place.lines(), before);
        assert!(place.status()["error"].is_string());
        server.start();
        server.sql(&insert(100 * number, 100 * number + 5));
        place.wait_until_equal(&server);
        place.wait_for_status("error", serde_json::Value::Null);
    }
    drop(_follower);
    server.wait_for_no_slot();
}

/// Cuts the network after a number of the database's bytes, from the first to the last of what a follower reads, and then in
/// the stream.
fn cut_at_any_byte(release: Release, in_silence: bool, cuts: i64) {
    let server = Server::new(release);
    server.sql(&insert(1, 2000));
    let network = Network::to(server.port());
    let place = Place::new(&server.dsn_by(network.port())).with(&["--answer-timeout", "1s"]);
    let mut random = fastrand::Rng::with_seed(u64::from(in_silence));
    // About as many bytes as a follower reads before it has published.
    let whole = 120_000;
    for number in 0..cuts {
        let follower = match number % 3 {
            0 => {
                network.cut_after(random.i64(0..6000), in_silence);
                place.start()
            }
            1 => {
                network.cut_after(random.i64(0..whole), in_silence);
                place.start()
            }
            _ => {
                let follower = place.start();
                place.wait_for_status("state", "streaming");
                network.cut_after(random.i64(0..3000), in_silence);
                follower
            }
        };
        let changed = u32::try_from(number).unwrap() % 50 + 1;
        server.sql(&format!(
            "UPDATE iotda.device SET frozen = NOT frozen WHERE device_id = 'dev-{changed}'"
        ));
        wait_within(Duration::from_secs(3), || network.is_cut());
        // Whatever there is, is a whole table; `lines` checks that.
        let devices = place.lines().len();
        assert!(devices == 2000 || number < 2 && devices == 0, "{devices}");
        if in_silence {
            // It gives the connection up by itself.
            let before = network.connections();
            if network.is_cut() {
                wait_within(PATIENCE, || network.connections() > before).expect("another attempt");
            }
        }
        network.mend();
        place.wait_until_equal(&server);
        drop(follower);
    }
    network.close();
    server.wait_for_no_slot();
}

fn the_network_is_cut_at_any_byte(release: Release) {
    cut_at_any_byte(release, false, 30);
}

fn the_network_is_silent_at_any_byte(release: Release) {
    cut_at_any_byte(release, true, 12);
}

fn the_follower_is_killed_at_any_instant(release: Release) {
    let server = Server::new(release);
    server.sql(&insert(1, 3000));
    let place = Place::new(&server.dsn());
    let first = place.start();
    place.wait_until_equal(&server);
    drop(first);
    let mut client = server.client();
    let mut random = fastrand::Rng::with_seed(3);
    // From the start of the process to some changes after it has begun to follow.
    let most = Duration::from_millis(600);
    for number in 0..200 {
        let mut follower = place.start();
        let end = Instant::now() + most.mul_f64(random.f64());
        while Instant::now() < end {
            let device = random.u16(1..3000);
            let change = format!(
                "UPDATE iotda.device SET frozen = NOT frozen WHERE device_id = 'dev-{device}'"
            );
            client.batch_execute(&change).unwrap();
            thread::sleep(Duration::from_millis(20));
        }
        follower.kill();
        assert_eq!(place.lines().len(), 3000, "{number}");
        assert!(place.litter().len() <= 1, "{:?}", place.litter());
    }
    server.wait_for_no_slot();
    let _follower = place.start();
    place.wait_until_equal(&server);
    // What a killed one left is gone with the next write.
    server.sql(&insert(4000, 4000));
    place.wait_until_equal(&server);
    assert_eq!(place.litter(), [""; 0]);
}

fn a_transaction_is_open_across_the_hand_over(release: Release) {
    let server = Server::new(release);
    server.sql(&insert(1, 5));
    let mut client = server.client();
    let mut open = client.transaction().unwrap();
    open.batch_execute("UPDATE iotda.device SET frozen = true WHERE device_id = 'dev-2'").unwrap();
    let place = Place::new(&server.dsn());
    let follower = place.start();
    place.wait_for_log(
        "the change feed begins when all transactions that are open in the server have ended",
    );
    // Until then it goes by snapshots, and the status is fresh.
    for number in [6, 7] {
        server.sql(&insert(number, number));
        place.wait_until_equal(&server);
    }
    place.wait_for_status("state", "snapshots");
    let waits = |status: &serde_json::Value| {
        status["error"]
            .as_str()
            .is_some_and(|error| error.contains("all transactions that are open"))
    };
    wait_within(PATIENCE, || waits(&place.status()))
        .unwrap_or_else(|| panic!("{}", place.status()));
    open.commit().unwrap();
    place.wait_until_equal(&server);
    place.wait_for_status("state", "streaming");
    place.wait_for_status("error", serde_json::Value::Null);
    // One that begins before the follower connects again, and is rolled back.
    let mut open = client.transaction().unwrap();
    open.batch_execute("DELETE FROM iotda.device").unwrap();
    drop(follower);
    let _follower = place.start();
    thread::sleep(Duration::from_millis(500));
    open.rollback().unwrap();
    server.sql(&insert(8, 9));
    place.wait_until_equal(&server);
}

/// The server does not wait for a transaction that nobody waits for any more.
fn a_slot_that_waits_ends_with_its_follower(release: Release) {
    let server = Server::new(release);
    server.sql(&insert(1, 5));
    let mut client = server.client();
    let mut open = client.transaction().unwrap();
    open.batch_execute("UPDATE iotda.device SET frozen = true").unwrap();
    let place = Place::new(&server.dsn()).with(&["--answer-timeout", "1m"]);
    let mut follower = place.start();
    server.wait_for_slot();
    // Nothing is written meanwhile but the status, every five seconds.
    place.wait_for_status("state", "connecting");
    let first = place.status()["written"].clone();
    wait_within(PATIENCE, || place.status()["written"] != first).expect("a fresh status");
    follower.kill();
    server.wait_for_no_slot();
    open.rollback().unwrap();
}

fn a_lost_permission_is_not_asked_for_in_a_hurry(release: Release) {
    let server = Server::new(release);
    server.sql(&insert(1, 3));
    server.sql("REVOKE SELECT ON iotda.device FROM iotda_follow");
    let network = Network::to(server.port());
    let place = Place::new(&server.dsn_by(network.port()));
    let _follower = place.start();
    place.wait_for_log("permission denied for table device");
    thread::sleep(Duration::from_secs(6));
    assert!(network.connections() <= 5, "{}", network.connections());
    assert_eq!(place.log().matches("permission denied").count(), 1, "{}", place.log());
    server.sql("GRANT SELECT ON iotda.device TO iotda_follow");
    place.wait_until_equal(&server);
}

/// What is not on disk yet when the table is read.
fn a_crash_does_not_undo_a_snapshot(release: Release) {
    let mut server = Server::with_late_log(release);
    server.sql(&insert(1, 50));
    let place = Place::new(&server.dsn()).with(&["--snapshots"]);
    let mut follower = place.start();
    place.wait_until_equal(&server);
    server.sql("SET synchronous_commit = off; UPDATE iotda.device SET frozen = true; UPDATE iotda.device SET secret = 'new-secret'");
    place.wait_until_equal(&server);
    let before = place.lines();
    server.stop("QUIT");
    server.start();
    assert_eq!(server.lines(), before);
    server.sql(&insert(51, 51));
    place.wait_until_equal(&server);
    assert!(follower.is_running());
}

fn a_silent_host_does_not_keep_from_the_next(release: Release) {
    let server = Server::new(release);
    server.sql(&insert(1, 3));
    let network = Network::to(server.port());
    network.silence();
    let place = Place::new(&format!(
        "host=127.0.0.1,127.0.0.1 port={},{} user=iotda_follow dbname=iot",
        network.port(),
        server.port()
    ));
    let _follower = place.start();
    place.wait_until_equal(&server);
}

/// For a new password, or another host.
fn the_connection_string_is_read_again(release: Release) {
    let server = Server::new(release);
    server.sql(&insert(1, 3));
    let network = Network::to(server.port());
    let place = Place::new(&server.dsn_by(network.port()));
    let _follower = place.start();
    place.wait_until_equal(&server);
    place.set_dsn("host=nonsense password='topsecret");
    network.shut();
    place.wait_for_log("found none; what was read before is used");
    place.set_dsn(&server.dsn());
    server.sql(&insert(4, 5));
    place.wait_until_equal(&server);
    assert!(!place.log().contains("topsecret"), "{}", place.log());
}

fn an_unwritable_status_is_told_once(release: Release) {
    let server = Server::new(release);
    server.sql(&insert(1, 3));
    let place = Place::new(&server.dsn());
    // Where the new one is to be written.
    let blocked = place.status_file().with_extension("json.new");
    fs::create_dir(&blocked).unwrap();
    let _follower = place.start();
    for number in 4..8 {
        server.sql(&insert(number, number));
        place.wait_until_equal(&server);
        thread::sleep(Duration::from_millis(300));
    }
    assert_eq!(place.log().matches("the status cannot be written").count(), 1, "{}", place.log());
    fs::remove_dir(&blocked).unwrap();
    place.wait_for_status("state", "streaming");
}

fn an_emptier_primary_is_not_published(release: Release) {
    let server = Server::new(release);
    server.sql(&insert(1, 200));
    let place = Place::new(&server.dsn());
    let first = place.start();
    place.wait_until_equal(&server);
    let before = place.lines();
    drop(first);
    // Another server that has a few of the devices, and one that has none.
    let other = Server::new(release);
    // Its history is not older: it goes on where the first one's ended, as far as anybody can tell.
    other.sql(LONG_HISTORY);
    place.set_dsn(&other.dsn());
    for statements in ["SELECT", &insert(1, 150)] {
        other.sql(statements);
        assert_eq!(place.run(), 1);
        assert_eq!(place.lines(), before);
        assert_eq!(place.status()["state"], "refused");
    }
    assert!(
        place.log().contains("the table is empty, and the file has 200 devices"),
        "{}",
        place.log()
    );
    assert!(place.log().contains("the table has 150 devices, and the file 200"), "{}", place.log());
    let place = place.with(&["--once", "--max-shrink", "30"]);
    assert_eq!(place.run(), 0);
    place.wait_until_equal(&other);
}

/// With `synchronous_commit = off` a table shows what the change feed does not tell yet. Then an earlier change of the same row
/// would be made over it.
fn a_commit_that_is_not_on_disk_is_not_undone(release: Release) {
    let mut server = Server::with_late_log(release);
    server.sql(&insert(1, 3));
    let network = Network::to(server.port());
    let place = Place::new(&server.dsn_by(network.port())).with(&["--answer-timeout", "20s"]);
    let mut client = server.client();
    // Two rows in one transaction, or the first alone.
    let mut set = |settings: &str, first: &str, second: Option<&str>| {
        let update = |device: &str, secret: &str| {
            format!("UPDATE iotda.device SET secret = '{secret}' WHERE device_id = '{device}';")
        };
        let second = second.map(|secret| update("dev-2", secret)).unwrap_or_default();
        let updates = update("dev-1", first) + &second;
        client.batch_execute(&format!("SET synchronous_commit = {settings}")).unwrap();
        client.batch_execute(&updates).unwrap();
    };
    let mut between = 0;
    // The follower is held up after any number of bytes; between the slot and the reading of the table is what matters.
    for bytes in (1200..3600).step_by(60) {
        set("on", "before-it", Some("before-it"));
        let _ = fs::remove_file(place.file());
        network.cut_after(bytes, true);
        let follower = place.start();
        wait_within(Duration::from_secs(2), || network.is_cut());
        let has_slot = server.slots() > 0;
        set("on", "the-first", None);
        set("off", "the-last", Some("the-last"));
        network.resume();
        wait_within(PATIENCE, || !place.lines().is_empty()).expect("a file");
        // Held up later, it has not seen the last change.
        let moments =
            [("before-it", "before-it"), ("the-first", "before-it"), ("the-last", "the-last")];
        let lines = place.lines();
        let moment = moments.into_iter().find(|(first, second)| {
            lines[..2] == [format!("dev-1:{first}"), format!("dev-2:{second}")]
        });
        assert!(moment.is_some(), "{lines:?} after {bytes} bytes");
        between += usize::from(has_slot && moment == Some(moments[2]));
        drop(follower);
        server.wait_for_no_slot();
    }
    assert!(between > 0);
}

/// Some megabytes of write-ahead log. All servers of the tests are copies of one.
const LONG_HISTORY: &str =
    "CREATE TABLE other AS SELECT repeat('x', 500) FROM generate_series(1, 20000)";

/// A copy of the data folder of before, as of a standby that had not replicated all.
fn an_older_primary_is_not_published(release: Release) {
    let mut server = Server::new(release);
    server.sql(&insert(1, 50));
    server.stop("INT");
    let (data, copy) = (server.data(), server.folder().join("copy"));
    let copy_folder = |from: &Path, to: &Path| {
        let status = Command::new("cp").arg("-a").args([from, to]).status();
        assert!(status.unwrap().success());
    };
    copy_folder(&data, &copy);
    server.start();
    server.sql(LONG_HISTORY);
    server.sql("UPDATE iotda.device SET frozen = true WHERE device_id = 'dev-1'");
    let place = Place::new(&server.dsn());
    let follower = place.start();
    place.wait_until_equal(&server);
    let before = place.lines();
    server.stop("INT");
    fs::remove_dir_all(&data).unwrap();
    copy_folder(&copy, &data);
    server.start();
    assert_eq!(follower.wait(), 1);
    assert!(place.log().contains("the server's history ends at WAL"), "{}", place.log());
    assert_eq!(place.lines(), before);
    assert_eq!(place.run(), 1);
    let place = place.with(&["--once", "--accept-older"]);
    assert_eq!(place.run(), 0);
    assert_ne!(place.lines(), before);
    place.wait_until_equal(&server);
}

/// A failover that has lost nothing, to a server that the connection string names too.
fn a_standby_takes_over(release: Release) {
    let mut server = Server::new(release);
    server.sql(&insert(1, 50));
    let standby = server.standby();
    let ports = format!("{},{}", server.port(), standby.port());
    let place = Place::new(&format!(
        "host=127.0.0.1,127.0.0.1 port={ports} user=iotda_follow dbname=iot target_session_attrs=read-write"
    ));
    let mut follower = place.start();
    place.wait_for_status("state", "streaming");
    place.wait_until_equal(&server);
    // A standby is read by whole snapshots.
    let beside = Place::new(&standby.dsn());
    let second = beside.start();
    beside.wait_for_log("the whole table is read every 1 s: the server is a standby");
    beside.wait_until_equal(&server);
    server.sql("UPDATE iotda.device SET frozen = true WHERE device_id = 'dev-2'");
    place.wait_until_equal(&server);
    beside.wait_until_equal(&server);
    assert_eq!(standby.slots(), 0);

    server.wait_for_standby(&standby);
    let before = place.lines();
    server.stop("QUIT");
    // The standby answers, and is not what the connection string asks for.
    place.wait_for_status("state", "connecting");
    assert_eq!(place.lines(), before);
    standby.client().execute("SELECT pg_promote()", &[]).unwrap();
    place.wait_for_status("state", "streaming");
    place.wait_for_log("changes that had not been replicated before the failover are lost");
    standby.sql("UPDATE iotda.device SET frozen = false WHERE device_id = 'dev-2'");
    standby.sql(&insert(51, 52));
    place.wait_until_equal(&standby);
    assert!(follower.is_running());
    // Who has followed the standby as such has the change feed now.
    beside.wait_for_log("each change is taken as it comes");
    beside.wait_until_equal(&standby);
    drop(second);
}

/// The file's folder is a small file system, which only the follower and what reads through its root see.
fn the_disk_is_full(release: Release) {
    let server = Server::new(release);
    server.sql(&insert(1, 1000));
    let place = Place::new(&server.dsn());
    let files = place.files();
    let script = format!("mount -t tmpfs -o size=128k tmpfs '{}' && exec \"$@\"", files.display());
    let follower =
        place.start_by(&["unshare", "--map-root-user", "--mount", "sh", "-c", &script, "sh"]);
    let inside = |name: &str| {
        Path::new("/proc")
            .join(follower.pid().to_string())
            .join("root")
            .join(files.join(name).strip_prefix("/").unwrap())
    };
    let file = inside("iotda.secrets");
    let lines = || fleet::follower::lines_of(&file);
    wait_within(PATIENCE, || lines() == server.lines()).expect("the first file");
    let before = lines();
    // Two files of this size have no room.
    server.sql(&insert(1001, 5000));
    place.wait_for_log("No space left on device");
    assert_eq!(lines(), before);
    wait_within(PATIENCE, || {
        place.status()["error"].as_str().is_some_and(|error| error.contains("No space left"))
    })
    .unwrap_or_else(|| panic!("{}", place.status()));
    assert_eq!(fs::read_dir(inside("")).unwrap().count(), 2, "the file and its lock");
    server.sql("DELETE FROM iotda.device WHERE device_id > 'dev-2'");
    server.sql(&insert(9000, 9000));
    wait_within(PATIENCE, || lines() == server.lines())
        .unwrap_or_else(|| panic!("{} {}", lines().len(), server.lines().len()));
    place.wait_for_status("error", serde_json::Value::Null);
}

fn the_folder_is_read_only(release: Release) {
    let server = Server::new(release);
    server.sql(&insert(1, 10));
    let place = Place::new(&server.dsn());
    let nobody = as_nobody(Path::new(""));
    let words: Vec<&str> = [nobody.get_program()]
        .into_iter()
        .chain(nobody.get_args())
        .filter_map(|word| word.to_str())
        .filter(|word| !word.is_empty())
        .collect();
    set_mode(&place.files(), 0o555);
    assert_eq!(place.start_by(&words).wait(), 2);
    assert!(place.log().contains("iotda.secrets: Permission denied"), "{}", place.log());
    set_mode(&place.files(), 0o755);
    let _follower = place.start_by(&words);
    place.wait_until_equal(&server);
    let before = place.lines();
    set_mode(&place.files(), 0o555);
    server.sql(&insert(11, 12));
    wait_within(PATIENCE, || {
        place.status()["error"].as_str().is_some_and(|error| error.contains("denied"))
    })
    .unwrap_or_else(|| panic!("{}", place.status()));
    assert_eq!(place.lines(), before);
    // Later changes do not make it look as if all were well; only one that leaves nothing to be written does.
    for number in 13..16 {
        server.sql(&insert(number, number));
        place.wait_for_status("rows", number);
        let status = place.status();
        assert!(status["error"].as_str().is_some_and(|error| error.contains("denied")), "{status}");
    }
    server.sql("DELETE FROM iotda.device WHERE device_id IN ('dev-11', 'dev-12', 'dev-13', 'dev-14', 'dev-15')");
    place.wait_for_status("error", serde_json::Value::Null);
    assert_eq!(place.lines(), before);
    server.sql(&insert(11, 12));
    set_mode(&place.files(), 0o755);
    place.wait_until_equal(&server);
}

/// What a unit of `Type=notify` with a watchdog gets.
fn systemd_hears_of_it(release: Release) {
    let server = Server::new(release);
    server.sql(&insert(1, 3));
    let place = Place::new(&server.dsn());
    let path = place.files().join("../notify");
    let socket = std::os::unix::net::UnixDatagram::bind(&path).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    let variable = format!("NOTIFY_SOCKET={}", path.display());
    let heard = |expected: &str| {
        let mut buffer = [0; 1024];
        let end = Instant::now() + PATIENCE;
        while Instant::now() < end {
            let length = socket.recv(&mut buffer).unwrap();
            if String::from_utf8_lossy(&buffer[..length]).contains(expected) {
                return;
            }
        }
        panic!("{expected} is not heard");
    };
    let script = "WATCHDOG_PID=$$ exec \"$@\"";
    let words = ["env", &variable, "WATCHDOG_USEC=300000", "sh", "-c", script, "sh"];
    let follower = place.start_by(&words);
    heard("READY=1");
    assert_eq!(place.lines().len(), 3, "ready means that there is a file");
    for _ in 0..3 {
        heard("WATCHDOG=1");
    }
    heard("STATUS=streaming, 3 devices");
    follower.signal("TERM");
    heard("STOPPING=1");
    assert_eq!(follower.wait(), 0);
    // A file of before is enough, also without a database: the broker starts.
    place.set_dsn("host=127.0.0.1 port=1 user=nobody dbname=none");
    let _follower = place.start_by(&words);
    heard("READY=1");
}
