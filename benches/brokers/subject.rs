//! What lets clients in? The subjects that are compared.

use super::files::{self, Content, Files};
use std::{
    path::{Path, PathBuf},
    sync::OnceLock,
};
use support::{broker::dynamic_security, c, library, mqtt::Connect, version::Version};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Subject {
    /// The broker alone: everybody may log in.
    Anonymous,
    Nothing,
    /// The same, but nobody may log in.
    NothingRefusing,
    Ours,
    /// The same, without the subscriptions that nobody asks for.
    OursAlone,
    PasswordFile,
    DynamicSecurity,
}

impl Subject {
    /// Those whose cost is asked by the number of devices.
    pub const BY_NUMBER: [Self; 3] = [Self::Nothing, Self::Ours, Self::PasswordFile];

    pub fn name(self) -> &'static str {
        match self {
            Self::Anonymous => "no authentication",
            Self::Nothing => "plugin that does nothing",
            Self::NothingRefusing => "plugin that does nothing but refuse",
            Self::Ours => "ours",
            Self::OursAlone => "ours, without implicit subscriptions",
            Self::PasswordFile => "password_file",
            Self::DynamicSecurity => "dynamic-security",
        }
    }

    /// The file that it reads.
    pub fn file(self, files: &Files, version: Version, devices: usize) -> Option<PathBuf> {
        match self {
            Self::Anonymous | Self::Nothing | Self::NothingRefusing => None,
            Self::Ours | Self::OursAlone => Some(files.secrets(devices, Content::Plain)),
            Self::PasswordFile => Some(files.passwords(version, devices)),
            Self::DynamicSecurity => Some(files.dynamic_security(version, devices)),
        }
    }

    /// The login of a client that it knows, if it knows any.
    pub fn login(self, n: usize) -> Connect {
        match self {
            Self::PasswordFile | Self::DynamicSecurity => files::user(n),
            _ => files::device(n),
        }
    }

    /// The code that it answers to such a login.
    pub fn answer(self) -> u8 {
        if self == Self::NothingRefusing { 5 } else { 0 }
    }

    /// What a broker's configuration says of it.
    pub fn config(self, version: Version, file: Option<&Path>) -> String {
        let file = file.map(|file| file.display().to_string()).unwrap_or_default();
        let lines = match self {
            Self::Anonymous => return "allow_anonymous true\n".into(),
            Self::Nothing => format!("plugin {}", noop().display()),
            Self::NothingRefusing => {
                format!("plugin {}\nplugin_opt_refuse true", noop().display())
            }
            Self::Ours | Self::OursAlone => {
                let library = library::release().display();
                let option = match self {
                    Self::OursAlone => "\nplugin_opt_implicit_subscriptions no",
                    _ => "",
                };
                format!("plugin {library}\nplugin_opt_secrets_file {file}{option}")
            }
            Self::PasswordFile => format!("password_file {file}"),
            Self::DynamicSecurity => {
                let library = dynamic_security(version);
                format!("plugin {}\nplugin_opt_config_file {file}", library.display())
            }
        };
        format!("allow_anonymous false\n{lines}\n")
    }
}

/// The plugin that does nothing.
fn noop() -> &'static Path {
    static PATH: OnceLock<PathBuf> = OnceLock::new();
    PATH.get_or_init(|| {
        let root = library::root();
        let include = format!("-I{}", root.join("include").display());
        let result = library::target_directory().join("noop.so");
        let source = root.join("benches/brokers/noop.c");
        c::build(&source, result, ["-shared", "-fPIC", "-O2", &include])
    })
}
