//! Command lines that are completed in real shells, as their users have them.

use crate::place::{FILE, Place, command, run, tool};
use std::{
    env, fs,
    io::{Read, Write},
    path::Path,
    process::{Child, ChildStdin, Command, Stdio},
    sync::mpsc::{Receiver, channel},
    thread,
    time::{Duration, Instant},
};
use support::{library::tool_path, tool::Said};

/// What is typed in a folder with the file `iotda.secrets`, and what the shell makes of it.
const TYPED: [(&str, &str); 15] = [
    ("iotda-auth fre\t", "iotda-auth freeze"),
    ("iotda-auth conn\t do", "iotda-auth connect-params do"),
    ("iotda-auth freeze iotda.secrets do\t", "iotda-auth freeze iotda.secrets door"),
    ("iotda-auth unfreeze -q iotda.secrets co\t", "iotda-auth unfreeze -q iotda.secrets cold"),
    ("iotda-auth remove iotda.secrets ma\t", "iotda-auth remove iotda.secrets many-"),
    ("iotda-auth add iotda.secrets do\t", "iotda-auth add iotda.secrets do"),
    (
        "iotda-auth set-cert\t iotda.secrets do\t cert.p\t",
        "iotda-auth set-certificate iotda.secrets door cert.pem",
    ),
    (
        "iotda-auth connect-params --secrets-file iotda.secrets la\t",
        "iotda-auth connect-params --secrets-file iotda.secrets lamp",
    ),
    (
        "iotda-auth reset-secret iotda.secrets lamp --dr\t",
        "iotda-auth reset-secret iotda.secrets lamp --drop-secondary",
    ),
    ("iotda-auth list iotda.secrets --format js\t", "iotda-auth list iotda.secrets --format json"),
    ("iotda-auth check iot\t", "iotda-auth check iotda.secrets"),
    ("iotda-auth man set-c\t", "iotda-auth man set-certificate"),
    // With the file of the environment.
    ("iotda-auth freeze do\t", "iotda-auth freeze door"),
    ("iotda-auth set-certificate do\t cert.p\t", "iotda-auth set-certificate door cert.pem"),
    ("iotda-auth connect-params co\t", "iotda-auth connect-params cold"),
];

fn place() -> Place {
    let place = Place::new(format!("{FILE}many-1:many-secret\nmany-2:many-secret\n"));
    place.other("cert.pem", "");
    place
}

/// The folder of the tool, in front of those where programs are.
fn search_path() -> std::ffi::OsString {
    let own = Path::new(tool_path()).parent().unwrap().to_path_buf();
    let others = env::var_os("PATH").unwrap();
    env::join_paths([own].into_iter().chain(env::split_paths(&others))).unwrap()
}

/// A command that runs in the folder, with the tool in the path and the file in the environment.
fn in_the_folder(place: &Place, program: &str) -> Command {
    let mut command = Command::new(program);
    command
        .current_dir(place.folder())
        .env("PATH", search_path())
        .env("HOME", place.folder())
        .env("TERM", "dumb")
        .env("IOTDA_SECRETS_FILE", "iotda.secrets");
    command
}

/// A shell at a terminal.
struct Shell {
    child: Child,
    keyboard: ChildStdin,
    shown: Receiver<Vec<u8>>,
    all: String,
}

impl Shell {
    /// Starts a shell, and lets it run a command.
    fn start(place: &Place, shell: &str, setting_up: &str) -> Self {
        let mut child = in_the_folder(place, "script")
            .args(["-qec", shell, "/dev/null"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("script(1) makes a terminal");
        let mut screen = child.stdout.take().unwrap();
        let (sender, shown) = channel();
        thread::spawn(move || {
            let mut piece = [0; 4096];
            while let Ok(length @ 1..) = screen.read(&mut piece) {
                let _ = sender.send(piece[..length].to_vec());
            }
        });
        let keyboard = child.stdin.take().unwrap();
        let mut shell = Self { child, keyboard, shown, all: String::new() };
        shell.keyboard.write_all(format!("{setting_up}; echo STARTED\n").as_bytes()).unwrap();
        shell.wait_for("STARTED");
        shell
    }

    /// What comes behind a word that begins a line, up to the line's end.
    fn wait_for(&mut self, word: &str) -> String {
        let begin = self.all.len();
        let end = Instant::now() + Duration::from_secs(60);
        loop {
            let new = self.all[begin..].replace('\r', "");
            let is_it = |line: &&str| line.starts_with(word) && line.ends_with('\n');
            if let Some(line) = new.split_inclusive('\n').find(is_it) {
                return line[word.len()..].trim().to_owned();
            }
            let left = end.saturating_duration_since(Instant::now());
            let piece = self.shown.recv_timeout(left);
            let piece = piece.unwrap_or_else(|_| panic!("no {word} from the shell: {}", self.all));
            self.all.push_str(&String::from_utf8_lossy(&piece));
        }
    }

    /// What the shell makes of a line that is typed.
    fn completed(&mut self, typed: &str) -> String {
        // The line's beginning, to make a command of it that shows the line.
        self.keyboard.write_all(format!("{typed}\x01echo GOT \n").as_bytes()).unwrap();
        self.wait_for("GOT ")
    }
}

impl Drop for Shell {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Types all lines into a shell.
fn type_into(place: &Place, shell: &str, setting_up: &str) {
    let mut shell = Shell::start(place, shell, setting_up);
    for (typed, completed) in TYPED {
        assert_eq!(shell.completed(typed), completed, "{typed:?}\n{}", shell.all);
    }
    assert!(
        !shell.all.contains("-secret\n") && !shell.all.contains("lamp-secret"),
        "{}",
        shell.all
    );
}

fn script_for(shell: &str) -> String {
    let said = tool(&["completions", shell]);
    assert_eq!((said.status, said.err.as_str()), (0, ""), "{shell}");
    said.out
}

const BASH: &str = "bash --noprofile --norc -i";
const ZSH: &str = "zsh -f -i";

#[test]
fn bash_completes() {
    let place = place();
    place.other("script", script_for("bash"));
    type_into(&place, BASH, "set -o emacs; source ./script");
}

/// As a package has it: bash-completion loads the script at the first completion.
#[test]
fn bash_completes_with_bash_completion() {
    let place = place();
    let folder = place.folder().join("data/bash-completion/completions");
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join("iotda-auth"), script_for("bash")).unwrap();
    let library = "/usr/share/bash-completion/bash_completion";
    assert!(Path::new(library).exists(), "needs bash-completion");
    let setting_up = format!("set -o emacs; export XDG_DATA_HOME=$PWD/data; source {library}");
    type_into(&place, BASH, &setting_up);
}

#[test]
fn zsh_completes() {
    let place = place();
    place.other("script", script_for("zsh"));
    let setting_up = "bindkey -e; autoload -U compinit; compinit -u -D; source ./script";
    type_into(&place, ZSH, setting_up);
}

/// As a package has it: zsh loads the script at the first completion.
#[test]
fn zsh_completes_with_a_script_in_its_path() {
    let place = place();
    fs::create_dir(place.folder().join("functions")).unwrap();
    place.other("functions/_iotda-auth", script_for("zsh"));
    let setting_up =
        "bindkey -e; fpath=($PWD/functions $fpath); autoload -U compinit; compinit -u -D";
    type_into(&place, ZSH, setting_up);
}

/// fish itself tells what it would offer.
#[test]
fn fish_completes() {
    let place = place();
    fs::create_dir_all(place.folder().join(".config/fish/completions")).unwrap();
    place.other(".config/fish/completions/iotda-auth.fish", script_for("fish"));
    for (typed, completed) in TYPED {
        // Only the last word is completed here.
        let (line, _) = typed.rsplit_once('\t').unwrap_or((typed, ""));
        if line.contains('\t') || !typed.ends_with('\t') {
            continue;
        }
        let output = in_the_folder(&place, "fish")
            .args(["-c", r#"complete -C "$argv[1]""#, line])
            .env_remove("XDG_CONFIG_HOME")
            .output()
            .expect("fish");
        let offered = String::from_utf8(output.stdout).unwrap();
        let offered: Vec<&str> = offered.lines().map(|l| l.split('\t').next().unwrap()).collect();
        let expected: &[&str] = match completed.rsplit(' ').next().unwrap() {
            "many-" => &["many-1", "many-2"],
            "do" => &[],
            word => &[word],
        };
        assert_eq!(offered, expected, "{line}");
    }
}

/// What the tool answers to a shell.
fn answer(place: &Place, words: &[&str]) -> Said {
    let words = [&["--", "iotda-auth"], words].concat();
    let mut command = place.command(&words);
    command
        .env("IOTDA_AUTH_COMPLETE", "bash")
        .env("_CLAP_COMPLETE_INDEX", (words.len() - 2).to_string())
        .env("_CLAP_IFS", "\n");
    run(command, b"")
}

#[test]
fn a_million_devices_are_completed_at_once() {
    let mut file = String::with_capacity(40_000_000);
    for number in 0..1_000_000 {
        file.push_str(&format!("lamp-{number:06}:topsecret-{number:06}\n"));
    }
    let place = Place::new(file);
    let begin = Instant::now();
    let said = answer(&place, &["freeze", place.file(), "lamp-"]);
    let took = begin.elapsed();
    let offered: Vec<&str> = said.out.lines().collect();
    assert_eq!((offered.len(), offered[0], offered[99]), (100, "lamp-000000", "lamp-999999"));
    let said = answer(&place, &["freeze", place.file(), "lamp-12345"]);
    assert_eq!(said.out.lines().count(), 10);
    // A hundredth of that where it is optimised.
    assert!(took < Duration::from_secs(10), "{took:?}");
}

/// Completing says nothing but what can be typed: not why there is nothing, and never a secret.
#[test]
fn what_is_not_in_order_offers_nothing() {
    let place = Place::new("lamp-secret\nlamp:lamp-secret\nlamp2:x509=lamp-secret\n:lamp-secret\n");
    let offered = |words: &[&str]| {
        let said = answer(&place, words);
        assert_eq!(said.err, "", "{words:?}");
        said.out
    };
    assert_eq!(offered(&["freeze", place.file(), "l"]), "lamp\nlamp2");
    for words in [
        &["freeze", place.file(), "lamp:"][..],
        &["freeze", place.file(), "lamp:lamp"],
        &["freeze", place.file(), "lamp-"],
        &["freeze", "missing", "l"],
        &["freeze", "/dev/zero", "l"],
        &["freeze", ".", "l"],
        &["connect-params", "l"],
        &["connect-params", "--secrets-file", "missing", "l"],
        &["man", "x"],
    ] {
        assert_eq!(offered(words), "", "{words:?}");
    }
    support::scratch::set_mode(&place.path, 0o666);
    assert_eq!(offered(&["freeze", place.file(), "l"]), "");
    // A shell that is not known, and none at all.
    for (shell, status) in [("csh", 1), ("", 0), ("0", 0)] {
        let mut command = command(["check", place.file()]);
        command.env("IOTDA_AUTH_COMPLETE", shell);
        let said = run(command, b"");
        assert!(shell != "csh" || (said.status, said.err.as_str()) == (status, ""), "{said:?}");
    }
}
