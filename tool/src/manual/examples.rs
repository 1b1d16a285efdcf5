//! What does one type? Examples for each command, as the man pages show them.

/// What an example is for, and its command line.
pub(super) type Example = (&'static str, &'static str);

/// The examples of each command, and those of the tool under its own name.
pub(super) const EXAMPLES: &[(&str, &[Example])] = &[
    (
        "iotda-auth",
        &[
            (
                "Make a secrets file with one device, and show the device's secret once",
                "iotda-auth add /etc/mosquitto/iotda.secrets 64a1f0c2_lamp-01 --create",
            ),
            (
                "See what the device sends",
                "iotda-auth connect-params 64a1f0c2_lamp-01 --secrets-file /etc/mosquitto/iotda.secrets",
            ),
            ("Check the file before a reload", "iotda-auth check /etc/mosquitto/iotda.secrets"),
            (
                "Name the file once",
                "export IOTDA_SECRETS_FILE=/etc/mosquitto/iotda.secrets\niotda-auth freeze 64a1f0c2_lamp-01",
            ),
        ],
    ),
    (
        "connect-params",
        &[
            (
                "For a client that asks for the three texts, with the secret of the file",
                "iotda-auth connect-params 64a1f0c2_lamp-01 --secrets-file iotda.secrets",
            ),
            (
                "Valid for about an hour only",
                "iotda-auth connect-params 64a1f0c2_lamp-01 --secrets-file iotda.secrets --sign-type 1",
            ),
            (
                "As variables of a shell",
                "eval \"$(iotda-auth connect-params 64a1f0c2_lamp-01 --secrets-file iotda.secrets --format shell)\"",
            ),
        ],
    ),
    ("page", &[("Make or explain a login in a browser", "iotda-auth page --open")]),
    (
        "probe",
        &[
            (
                "Whether the broker of this machine lets a device in",
                "iotda-auth probe 64a1f0c2_lamp-01 --secrets-file /etc/mosquitto/iotda.secrets",
            ),
            (
                "Over TLS, from elsewhere; the secret is asked for",
                "iotda-auth probe 64a1f0c2_lamp-01 --host mqtt.example.com --cafile ca.crt",
            ),
            (
                "For a health check, with a device of its own",
                "iotda-auth probe health-check --secrets-file /etc/mosquitto/iotda.secrets --quiet --timeout 2s",
            ),
        ],
    ),
    (
        "follow",
        &[
            (
                "What the database's administrator runs once",
                "iotda-auth follow --print-sql | psql registry",
            ),
            (
                "Keep the broker's secrets file equal to the table",
                "iotda-auth follow --dsn-file /etc/mosquitto/registry.dsn --out /etc/mosquitto/iotda/iotda.secrets",
            ),
            (
                "Once, for cron",
                "iotda-auth follow --dsn-file registry.dsn --out iotda.secrets --once",
            ),
        ],
    ),
    (
        "simulate",
        &[
            (
                "A thousand devices at the broker of this machine, for ten minutes",
                "iotda-auth simulate --devices fleet.secrets --count 1000 --rate 100 --duration 10m",
            ),
            (
                "Over TLS, half of the devices with a password of sign type 0",
                "iotda-auth simulate --devices fleet.secrets --host mqtt.example.com --cafile ca.crt --sign-type 0,1",
            ),
            (
                "For a test: one device reports, waits for a command, answers it, and leaves",
                "iotda-auth simulate --devices iotda.secrets --count 1 --once --duration 30s",
            ),
        ],
    ),
    (
        "check",
        &[(
            "Before the broker is reloaded",
            "iotda-auth check iotda.secrets && systemctl reload mosquitto",
        )],
    ),
    (
        "explain",
        &[
            (
                "Why a login is refused; the password is typed or pasted behind it",
                "iotda-auth explain --secrets-file iotda.secrets --client-id 64a1f0c2_lamp-01_0_1_2026112209 \
                 --username 64a1f0c2_lamp-01 --password-stdin",
            ),
            (
                "The same for a line of the broker's log",
                "iotda-auth explain --log-line 'iotda-auth: refused client=\"lamp_0_1_2026112209\" user=\"lamp\" \
                 address=203.0.113.7 reason=stale_timestamp age=3h'",
            ),
        ],
    ),
    (
        "add",
        &[
            (
                "With a new secret, which is shown once",
                "iotda-auth add iotda.secrets 64a1f0c2_lamp-01",
            ),
            (
                "With the secret that the device has already",
                "iotda-auth add iotda.secrets 64a1f0c2_lamp-02 --secret-prompt",
            ),
            ("By its certificate", "iotda-auth add iotda.secrets 64a1f0c2_meter-7 --x509 cert.pem"),
            (
                "By the fingerprint of its certificate",
                "iotda-auth add iotda.secrets 64a1f0c2_meter-8 --x509 \"$(openssl x509 -in cert.pem -noout -sha256 -fingerprint)\"",
            ),
        ],
    ),
    ("remove", &[("", "iotda-auth remove iotda.secrets 64a1f0c2_lamp-01")]),
    (
        "reset-secret",
        &[
            (
                "A new secret, which is shown once",
                "iotda-auth reset-secret iotda.secrets 64a1f0c2_lamp-01",
            ),
            (
                "Change the secret without an interruption: let both in, change the device, then drop the old one",
                "iotda-auth reset-secret iotda.secrets 64a1f0c2_lamp-01 --secondary\n\
                 iotda-auth reset-secret iotda.secrets 64a1f0c2_lamp-01 --secret-prompt\n\
                 iotda-auth reset-secret iotda.secrets 64a1f0c2_lamp-01 --drop-secondary",
            ),
        ],
    ),
    (
        "set-certificate",
        &[
            (
                "Let the device's next certificate in too",
                "iotda-auth set-certificate iotda.secrets 64a1f0c2_meter-7 next.pem --secondary",
            ),
            (
                "Once the device has it: that one alone",
                "iotda-auth set-certificate iotda.secrets 64a1f0c2_meter-7 next.pem\n\
                 iotda-auth set-certificate iotda.secrets 64a1f0c2_meter-7 --drop-secondary",
            ),
        ],
    ),
    ("freeze", &[("", "iotda-auth freeze iotda.secrets 64a1f0c2_lamp-01")]),
    ("unfreeze", &[("", "iotda-auth unfreeze iotda.secrets 64a1f0c2_lamp-01")]),
    (
        "list",
        &[
            ("", "iotda-auth list iotda.secrets"),
            (
                "The ids of the frozen devices",
                "iotda-auth list iotda.secrets --format json | jq -r '.[] | select(.frozen) | .device_id'",
            ),
        ],
    ),
    (
        "import",
        &[
            (
                "See what an import would do, then do it",
                "iotda-auth import iotda.secrets devices.csv --dry-run\niotda-auth import iotda.secrets devices.csv",
            ),
            (
                "Change devices that are there",
                "iotda-auth import iotda.secrets devices.csv --update",
            ),
        ],
    ),
    (
        "test-certificates",
        &[(
            "For a broker that clients call broker or localhost",
            "iotda-auth test-certificates certs broker localhost 127.0.0.1",
        )],
    ),
    ("man", &[("Read a page that is not installed", "iotda-auth man add | man -l -")]),
    (
        "completions",
        &[
            ("For bash, in this shell", "source <(iotda-auth completions bash)"),
            (
                "For bash, from the next login on",
                "iotda-auth completions bash >~/.local/share/bash-completion/completions/iotda-auth",
            ),
            ("For fish", "iotda-auth completions fish >~/.config/fish/completions/iotda-auth.fish"),
            (
                "For zsh, in a folder of $fpath",
                "iotda-auth completions zsh >/usr/local/share/zsh/site-functions/_iotda-auth",
            ),
        ],
    ),
];

/// The examples of a command.
pub(super) fn of(command: &str) -> &'static [Example] {
    EXAMPLES.iter().find(|(name, _)| *name == command).map_or(&[], |(_, examples)| *examples)
}
