//! As which user does the broker open its files, and what can that user open?
//!
//! The broker reads its configuration as the user who starts it, and everything else after `drop_privileges` (`mosquitto.c`).

use super::{
    conf::{Config, Place},
    finding::{Finding, Id},
};
use crate::terminal::Failure;
use iotda_files::User;
use nix::unistd::{self, getgrouplist};
use rustix::thread::{set_thread_gid, set_thread_groups, set_thread_uid};
use std::{ffi::CString, thread};

/// Who opens the files.
#[derive(Clone, Debug)]
pub(crate) struct Opener {
    /// Its name, or the caller's.
    pub(crate) name: String,
    /// Its id.
    pub(crate) uid: u32,
    /// Whom to become; `None` if the caller is this user already, or cannot become another.
    become_: Option<Identity>,
    /// The broker's user, if the caller is another one and cannot become it.
    pub(crate) instead_of: Option<String>,
}

#[derive(Clone, Debug)]
struct Identity {
    uid: u32,
    gid: u32,
    groups: Vec<u32>,
}

/// The user of a broker that is started by this caller, unless one is named.
///
/// # Errors
///
/// If there is no user of the given name.
pub(crate) fn opener(
    named: Option<&str>,
    config: Option<&Config>,
    findings: &mut Vec<Finding>,
) -> Result<Opener, Failure> {
    let given = config.and_then(|config| config.settings.get("user"));
    let name = named.or(given.map(|given| given.text.as_str())).unwrap_or("mosquitto");
    let caller = unistd::geteuid();
    let caller_name = || {
        let name = User::current().and_then(|user| user.name);
        name.unwrap_or_else(|| caller.to_string())
    };
    let user = look_up(name)?;
    if !caller.is_root() {
        let is_caller = user.as_ref().is_some_and(|user| user.uid == caller);
        // Started by this caller, the broker would not change its user either; a service manager may start it otherwise.
        let instead_of = (!is_caller).then(|| name.into());
        return Ok(Opener { name: caller_name(), uid: caller.as_raw(), become_: None, instead_of });
    }
    if name == "root" {
        return Ok(Opener::root(None));
    }
    let user = match user {
        Some(user) => user,
        None if named.is_some() => {
            return Err(Failure::new(format!("--as: there is no user {name:?}")));
        }
        // Then the broker takes "nobody", with the groups of "mosquitto", which are none.
        None if name == "mosquitto" => match look_up("nobody")? {
            Some(nobody) => nobody,
            None => return Err(Failure::new("there is no user mosquitto, and none called nobody")),
        },
        None => {
            let at = given.map_or_else(|| Place::of("".as_ref()), |given| given.at.clone());
            findings.push(Finding::new(
                Id::UserUnknown,
                &at,
                format!("user: there is no user {name:?}"),
            ));
            return Ok(Opener::root(Some(name.into())));
        }
    };
    let groups = CString::new(name).ok().and_then(|name| getgrouplist(&name, user.gid).ok());
    let groups = groups.unwrap_or_default().iter().map(|group| group.as_raw()).collect();
    let (uid, gid) = (user.uid.as_raw(), user.gid.as_raw());
    Ok(Opener {
        name: user.name,
        uid,
        become_: Some(Identity { uid, gid, groups }),
        instead_of: None,
    })
}

fn look_up(name: &str) -> Result<Option<unistd::User>, Failure> {
    unistd::User::from_name(name)
        .map_err(|error| Failure::new(format!("user {name:?}: cannot be looked up: {error}")))
}

impl Opener {
    fn root(instead_of: Option<String>) -> Self {
        Self { name: "root".into(), uid: 0, become_: None, instead_of }
    }

    /// What to know if the broker's user could not be tried.
    pub(crate) fn note(&self) -> Option<String> {
        let (name, meant) = (&self.name, self.instead_of.as_ref()?);
        let how = "run it as root (sudo), or as that user";
        Some(format!("files were opened as user {name}, not as the broker's user {meant}: {how}"))
    }

    /// Calls a function on a thread that has become the user, in the broker's order: groups, group, user. The rest of the
    /// process keeps its own.
    ///
    /// # Errors
    ///
    /// If the system refuses one of the steps.
    pub(crate) fn call<T: Send>(&self, call: impl FnOnce() -> T + Send) -> Result<T, Failure> {
        let Some(Identity { uid, gid, groups }) = &self.become_ else { return Ok(call()) };
        let become_ = || -> rustix::io::Result<T> {
            let groups: Vec<_> =
                groups.iter().map(|gid| rustix::thread::Gid::from_raw(*gid)).collect();
            set_thread_groups(&groups)?;
            set_thread_gid(rustix::thread::Gid::from_raw(*gid))?;
            set_thread_uid(rustix::thread::Uid::from_raw(*uid))?;
            Ok(call())
        };
        let joined = thread::scope(|scope| scope.spawn(become_).join());
        match joined {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(error)) => {
                Err(Failure::new(format!("cannot become user {:?}: {error}", self.name)))
            }
            Err(panic) => std::panic::resume_unwind(panic),
        }
    }
}
