//! Devices that log in by a TLS client certificate: whose certificate counts, and what the broker's own TLS keeps out.

use iotda_core::login::SignType::{Sha256, Sha256Timestamp, Sm3Timestamp};
use support::{
    authority::{Authority, Issued},
    broker::{Broker, Setup, free_port},
    device::{Device, LAMP, METER, now, secrets, stamp},
    mqtt::{ACCEPTED, Answer, Client, Connect, VERSIONS, refused},
    on_every_broker,
    scratch::Scratch,
    transport,
    version::Version,
};

on_every_broker!(
    a_device_logs_in_by_its_certificate,
    what_tls_refuses_does_not_reach_the_plugin,
    in_a_chain_the_devices_own_certificate_counts,
    a_prefix_is_not_a_fingerprint,
    other_listeners_pass_no_certificate_on,
    a_certificate_is_changed_without_a_gap,
);

/// A listener that asks for a certificate of an authority's.
struct Door {
    broker: Broker,
    authority: Authority,
    port: u16,
}

impl Door {
    /// A broker with such a listener and a plain one, and the secrets file, which needs the authority's certificates.
    fn open(version: Version, secrets: impl FnOnce(&Authority) -> String) -> Self {
        Self::open_with(version, secrets, |_| String::new())
    }

    fn open_with(
        version: Version,
        secrets: impl FnOnce(&Authority) -> String,
        lines: impl FnOnce(&Authority) -> String,
    ) -> Self {
        let port = free_port();
        let setup = Setup::new(version);
        let authority = Authority::new(setup.scratch(), "authority");
        let server = authority.issue("127.0.0.1");
        let (file, more) = (secrets(&authority), lines(&authority));
        let broker = setup
            .secrets(file)
            .line(&format!(
                "listener {port} 127.0.0.1\ncertfile {}\nkeyfile {}\ncafile {}\nrequire_certificate true\n{more}",
                server.certificate,
                server.key,
                authority.own().certificate
            ))
            .start();
        Self { broker, authority, port }
    }

    /// A CONNECT behind a certificate, or behind none.
    fn knock(&self, connect: &Connect, shown: Option<&Issued>) -> (Client, Answer) {
        let arguments = shown.map(|issued| issued.shown().to_vec()).unwrap_or_default();
        self.knock_with(connect, &arguments)
    }

    fn knock_with(&self, connect: &Connect, arguments: &[&str]) -> (Client, Answer) {
        let mut client = Client::over(transport::tls(self.port, arguments));
        client.send(&connect.packet());
        let answer = client.answer();
        (client, answer)
    }

    fn last_refusal(&self) -> String {
        self.broker.refusals().pop().expect("a refusal")
    }
}

/// What a device with a certificate sends, by SDK: no password (Java, C), an empty one (C#), an HMAC of nothing (Go).
fn connects(id: &'static str) -> [Connect; 3] {
    let fresh = Device { id, secret: "" }.connect(Sha256, &stamp(now()));
    let stale = Device { id, secret: "" }.connect(Sha256Timestamp, "2020010100");
    [
        Connect { password: None, ..fresh.clone() },
        fresh.password(""),
        // Its hour is not checked.
        stale,
    ]
}

fn a_device_logs_in_by_its_certificate(version: Version) {
    let door = Door::open(version, |authority| {
        let [one, two] = ["one", "two"].map(|name| authority.issue(name));
        format!(
            "{}sha256:x509={}\nsha1:x509={}\nboth:x509={},{}\nice:x509={}:frozen\n",
            secrets(),
            one.fingerprint("-sha256"),
            one.fingerprint("-sha1").to_lowercase(),
            two.fingerprint("-sha256"),
            one.fingerprint("-sha1"),
            one.fingerprint("-sha256").to_lowercase(),
        )
    });
    let (one, two) = (door.authority.issued("one"), door.authority.issued("two"));
    let code = |level, id| refused(version, level, id);
    for level in VERSIONS {
        for id in ["sha256", "sha1", "both"] {
            for connect in connects(id) {
                let (mut client, answer) = door.knock(&connect.clone().level(level), Some(&one));
                assert_eq!(answer, ACCEPTED, "{id}: {}", door.broker.log());
                assert!(client.is_alive());
            }
        }
        let [connect, ..] = connects("both").map(|connect| connect.level(level));
        assert_eq!(door.knock(&connect, Some(&two)).1, ACCEPTED);
        let [connect, ..] = connects("sha256").map(|connect| connect.level(level));
        assert_eq!(door.knock(&connect, Some(&two)).1, code(level, "wrong_certificate"));
        let shown = two.fingerprint("-sha256").to_lowercase();
        let told = format!(" address=127.0.0.1 reason=wrong_certificate certificate={shown}");
        assert!(door.last_refusal().ends_with(&told), "{}", door.last_refusal());
        // On the plain listener there is no certificate.
        assert_eq!(Client::connect(&door.broker, &connect).1, code(level, "no_certificate"));
        let [connect, ..] = connects("ice").map(|connect| connect.level(level));
        assert_eq!(door.knock(&connect, Some(&one)).1, code(level, "frozen"));
        assert_eq!(door.knock(&connect, Some(&two)).1, code(level, "wrong_certificate"));
        // A device with a secret needs it here too, and a certificate does not let a client log in as another device.
        let right = LAMP.connect_now().level(level);
        assert_eq!(door.knock(&right, Some(&one)).1, ACCEPTED);
        let none = Connect { password: None, ..right };
        assert_eq!(door.knock(&none, Some(&one)).1, code(level, "wrong_password"));
    }
    // Sign type 2 works too.
    let connect = Device { id: "sha256", secret: "" }.connect(Sm3Timestamp, "2020010100");
    assert_eq!(door.knock(&connect, Some(&one)).1, ACCEPTED);
}

/// The broker ends the handshake, and the plugin is not asked.
fn what_tls_refuses_does_not_reach_the_plugin(version: Version) {
    let file = |authority: &Authority| {
        let certificates =
            [("good", authority.issue("good")), ("old", authority.issue_expired("old"))];
        let line =
            |(id, issued): (&str, Issued)| format!("{id}:x509={}\n", issued.fingerprint("-sha256"));
        certificates.map(line).concat()
    };
    let door = Door::open(version, file);
    let stranger = Authority::new(door.broker.scratch(), "stranger").issue("good");
    for shown in [Some(&door.authority.issued("old")), Some(&stranger), None] {
        let [connect, ..] = connects("old");
        assert_eq!(door.knock(&connect, shown).1, Answer::Closed, "{}", door.broker.log());
    }
    let [connect, ..] = connects("good");
    assert_eq!(door.knock(&connect, Some(&door.authority.issued("good"))).1, ACCEPTED);
    assert!(door.broker.refusals().is_empty(), "{}", door.broker.log());

    // The same, after the authority has revoked the certificate.
    let door = Door::open_with(version, file, |authority| {
        format!("crlfile {}\n", authority.revoke(&authority.issued("good")))
    });
    let shown = door.authority.issued("good");
    assert_eq!(door.knock(&connect, Some(&shown)).1, Answer::Closed, "{}", door.broker.log());
    assert!(door.broker.refusals().is_empty(), "{}", door.broker.log());
}

fn in_a_chain_the_devices_own_certificate_counts(version: Version) {
    let scratch = Scratch::new();
    let mut above = None;
    let door = Door::open(version, |root| {
        let between = above.insert(root.authority(&scratch, "between"));
        [("device", &between.issue("device")), ("between", between.own()), ("root", root.own())]
            .map(|(id, issued)| format!("{id}:x509={}\n", issued.fingerprint("-sha256")))
            .concat()
    });
    let between = above.unwrap();
    let device = between.issued("device");
    let shown = [&device.shown()[..], &["-cert_chain", &between.own().certificate]].concat();
    let knock = |id| {
        let [connect, ..] = connects(id);
        door.knock_with(&connect, &shown).1
    };
    assert_eq!(knock("device"), ACCEPTED, "{}", door.broker.log());
    for id in ["between", "root"] {
        assert_eq!(knock(id), refused(version, 4, "wrong_certificate"), "{}", door.broker.log());
    }
    // Without the intermediate certificate the broker cannot verify the device's.
    let [connect, ..] = connects("device");
    assert_eq!(door.knock(&connect, Some(&device)).1, Answer::Closed, "{}", door.broker.log());
}

/// Two certificates whose fingerprints begin alike, and lines that are almost a fingerprint.
fn a_prefix_is_not_a_fingerprint(version: Version) {
    let mut twins = None;
    let door = Door::open(version, |authority| {
        let mut known: Vec<(Issued, String)> = Vec::new();
        let (one, two) = (0..)
            .find_map(|n| {
                let issued = authority.issue(&format!("device-{n}"));
                let print = issued.fingerprint("-sha256");
                let twin = known.iter().find(|(_, other)| other[..2] == print[..2]).cloned();
                known.push((issued.clone(), print.clone()));
                twin.map(|twin| (twin, (issued, print)))
            })
            .unwrap();
        let last = if one.1.ends_with('0') { "1" } else { "0" };
        let file = format!(
            "one:x509={}\ntwo:x509={}\nnear:x509={}{last}\nshort:x509={}\n",
            one.1,
            two.1,
            &one.1[..63],
            // The first 40 digits, which is the length of a SHA-1.
            &one.1[..40],
        );
        twins = Some((one.0, two.0));
        file
    });
    let (one, two) = twins.unwrap();
    for (id, shown, good) in [
        ("one", &one, true),
        ("two", &two, true),
        ("one", &two, false),
        ("two", &one, false),
        ("near", &one, false),
        ("short", &one, false),
    ] {
        let [connect, ..] = connects(id);
        let expected = if good { ACCEPTED } else { refused(version, 4, "wrong_certificate") };
        assert_eq!(door.knock(&connect, Some(shown)).1, expected, "{id}");
    }
}

/// A TLS listener that does not ask for a certificate gets none. A listener where it is optional passes none to the plugin.
fn other_listeners_pass_no_certificate_on(version: Version) {
    let port = free_port();
    let setup = Setup::new(version);
    let authority = Authority::new(setup.scratch(), "authority");
    let (server, device) = (authority.issue("127.0.0.1"), authority.issue("device"));
    let file = format!("{}device:x509={}\n", secrets(), device.fingerprint("-sha256"));
    let broker = setup
        .secrets(file)
        .line(&format!(
            "listener {port} 127.0.0.1\ncertfile {}\nkeyfile {}\ncafile {}",
            server.certificate,
            server.key,
            authority.own().certificate
        ))
        .start();
    for (connect, expected) in [
        (LAMP.connect_now(), ACCEPTED),
        (connects("device")[0].clone(), refused(version, 4, "no_certificate")),
    ] {
        let mut client = Client::over(transport::tls(port, &device.shown()));
        client.send(&connect.packet());
        assert_eq!(client.answer(), expected, "{}", broker.log());
    }
}

fn a_certificate_is_changed_without_a_gap(version: Version) {
    let door = Door::open(version, |authority| {
        let (old, _) = (authority.issue("old"), authority.issue("new"));
        format!("{}:{}\ndevice:x509={}\n", METER.id, METER.secret, old.fingerprint("-sha256"))
    });
    let (old, new) = (door.authority.issued("old"), door.authority.issued("new"));
    let [old_print, new_print] = [&old, &new].map(|issued| issued.fingerprint("-sha256"));
    let write = |line: &str| {
        door.broker.scratch().file("secrets", format!("{}:{}\n{line}", METER.id, METER.secret));
        let count = door.broker.log().matches("iotda-auth: reloaded").count();
        door.broker.reload();
        door.broker.wait_for_log_count("iotda-auth: reloaded", count + 1);
    };
    let [connect, ..] = connects("device");
    let (mut first, answer) = door.knock(&connect, Some(&old));
    assert_eq!(answer, ACCEPTED);
    // A log rotation: nobody is disconnected, although no password could be checked again.
    door.broker.reload();
    assert!(first.is_alive(), "{}", door.broker.log());

    write(&format!("device:x509={old_print},{new_print}\n"));
    assert!(first.is_alive(), "{}", door.broker.log());
    let (mut second, answer) = door.knock(&connect, Some(&new));
    assert_eq!(answer, ACCEPTED);
    // The device's earlier connection is ended.
    assert_eq!(first.rest(), b"");

    write(&format!("device:x509={new_print}\n"));
    assert!(second.is_alive(), "{}", door.broker.log());
    assert_eq!(door.knock(&connect, Some(&old)).1, refused(version, 4, "wrong_certificate"));

    write(&format!("device:x509={old_print}\n"));
    assert_eq!(second.rest(), b"", "{}", door.broker.log());
    let told = format!(
        "iotda-auth: disconnected client=\"{}\" reason=wrong_certificate",
        String::from_utf8_lossy(&connect.client_id)
    );
    door.broker.wait_for_log(&told);
}
