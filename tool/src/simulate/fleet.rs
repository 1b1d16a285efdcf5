//! Which devices log in?

use crate::{
    args,
    terminal::{Failure, shown},
};
use iotda_core::{
    login::SignType,
    registry::{Credential, Table},
};
use std::path::Path;

/// A device that logs in.
pub(super) struct Member<'a> {
    pub(super) id: &'a str,
    pub(super) secret: &'a [u8],
    pub(super) sign_type: SignType,
}

/// The devices that log in, in the order of the file, and how many cannot.
pub(super) struct Fleet<'a> {
    pub(super) members: Vec<Member<'a>>,
    /// Their certificates' keys are not here.
    pub(super) with_certificates: usize,
    pub(super) frozen: usize,
}

impl<'a> Fleet<'a> {
    /// The first devices of a secrets file that can log in by a secret.
    pub(super) fn of(
        table: &'a Table,
        file: &Path,
        args: &args::Simulate,
    ) -> Result<Self, Failure> {
        let mut fleet = Self { members: Vec::new(), with_certificates: 0, frozen: 0 };
        let mut sign_types = args.sign_type.iter().copied().cycle();
        let wanted =
            args.count.map_or(usize::MAX, |count| usize::try_from(count).unwrap_or(usize::MAX));
        for (id, device) in table.iter() {
            let (Ok(id), false) = (std::str::from_utf8(id), fleet.members.len() == wanted) else {
                break;
            };
            match device.credential {
                Credential::Certificate(_) => fleet.with_certificates += 1,
                Credential::Secret { .. } if device.frozen => fleet.frozen += 1,
                Credential::Secret { primary: secret, .. } => {
                    let sign_type = sign_types.next().unwrap_or(SignType::Sha256Timestamp);
                    fleet.members.push(Member { id, secret, sign_type });
                }
            }
        }
        let (found, max) = (fleet.members.len(), args::MAX_FLEET);
        let problem = if found == 0 {
            format!(
                "expected devices that log in by a secret, found {}",
                fleet.left_out().unwrap_or("none".into())
            )
        } else if args.count.is_some() && found < wanted {
            let others =
                fleet.left_out().map(|others| format!(", and {others}")).unwrap_or_default();
            format!(
                "expected at least {wanted} devices that log in by a secret (--count), found {found}{others}"
            )
        } else if i64::try_from(found).is_ok_and(|found| found > max) {
            format!(
                "expected at most {max} devices, found {found}; give a --count, and run it on several machines"
            )
        } else {
            return Ok(fleet);
        };
        Err(Failure::new(format!("{}: {problem}", shown(file))))
    }

    /// The devices that are left out, in words; `None` if there is none.
    pub(super) fn left_out(&self) -> Option<String> {
        let words = |count, what| (count > 0).then(|| format!("{count} {what}"));
        let words: Vec<String> =
            [words(self.with_certificates, "with a certificate"), words(self.frozen, "frozen")]
                .into_iter()
                .flatten()
                .collect();
        (!words.is_empty()).then(|| words.join(" and "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use iotda_core::registry::{Cancel, read::read};

    const FILE: &str = "a:secret-of-a\nb:secret-of-b:frozen\n\
                        c:x509=9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08\nd:secret-of-d\ne:secret-of-e\n";

    fn table(file: &str) -> Table {
        read(file.as_bytes(), file.len() as u64, 0, Cancel::NEVER).unwrap().table
    }

    fn args(words: &str) -> args::Simulate {
        args::simulate(&words.split_whitespace().collect::<Vec<_>>())
    }

    #[test]
    fn takes_the_first_that_have_a_secret_and_the_sign_types_in_turn() {
        let table = table(FILE);
        let of = |words| {
            let fleet = Fleet::of(&table, Path::new("f"), &args(words)).unwrap();
            let members = fleet
                .members
                .iter()
                .map(|member| format!("{}{}", member.id, char::from(member.sign_type.digit())));
            (members.collect::<Vec<_>>().join(" "), fleet.left_out().unwrap_or_default())
        };
        let left_out = "1 with a certificate and 1 frozen".to_owned();
        assert_eq!(of(""), ("a1 d1 e1".to_owned(), left_out.clone()));
        assert_eq!(of("--count 2 --sign-type 0,2"), ("a0 d2".to_owned(), left_out));
        assert_eq!(of("--count 1"), ("a1".to_owned(), String::new()));
    }

    #[test]
    fn too_few_are_told() {
        for (file, words, told) in [
            (
                FILE,
                "--count 4",
                "f: expected at least 4 devices that log in by a secret (--count), found 3, and 1 with a certificate and 1 frozen",
            ),
            (
                "b:secret-of-b:frozen\n",
                "",
                "f: expected devices that log in by a secret, found 1 frozen",
            ),
            ("", "", "f: expected devices that log in by a secret, found none"),
        ] {
            let table = table(file);
            let error = Fleet::of(&table, Path::new("f"), &args(words)).err().unwrap();
            assert_eq!(error.to_string(), told);
        }
    }
}
