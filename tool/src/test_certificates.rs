//! Which certificates does a test of TLS need? An authority, and a broker's certificate that it signs.
//!
//! The authority's key is thrown away, so nobody can sign another certificate with it: firmware that trusts it trusts this
//! one broker.

use crate::{
    args,
    terminal::{Answer, Failure, Harmless, say, shown},
};
use ring::{
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair},
};
use sha1::{Digest, Sha1};
use std::{
    fmt::Display,
    fs::{File, OpenOptions},
    io::Write,
    net::IpAddr,
    os::unix::fs::OpenOptionsExt,
    path::Path,
    str::FromStr,
    time::{Duration, SystemTime, UNIX_EPOCH},
};
use x509_cert::{
    Certificate, TbsCertificate, Version,
    der::{
        Decode, Encode, EncodePem,
        asn1::{BitString, GeneralizedTime, Ia5String, OctetString, UtcTime},
        flagset::FlagSet,
        oid::ObjectIdentifier,
        pem::{LineEnding, encode_string},
    },
    ext::{
        AsExtension, Extension,
        pkix::{
            AuthorityKeyIdentifier, BasicConstraints, ExtendedKeyUsage, KeyUsage, KeyUsages,
            SubjectAltName, SubjectKeyIdentifier, name::GeneralName,
        },
    },
    name::Name,
    serial_number::SerialNumber,
    spki::{AlgorithmIdentifierOwned, SubjectPublicKeyInfoOwned},
    time::{Time, Validity},
};
use zeroize::Zeroizing;

const ECDSA_WITH_SHA256: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.4.3.2");
const EC_PUBLIC_KEY: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.2.1");
const P256: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.3.1.7");
const SERVER: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.5.5.7.3.1");

/// Clocks of devices may be behind.
const BEFORE: Duration = Duration::from_secs(86_400);
const DAY: Duration = Duration::from_secs(86_400);
/// From here on, times have four digits for their year.
const YEAR_2050: Duration = Duration::from_secs(2_524_608_000);

/// The names of the files, and who may read them.
const FILES: [(&str, u32); 3] = [("ca.crt", 0o644), ("server.crt", 0o644), ("server.key", 0o600)];

/// Makes the files. None of them is written over.
pub(crate) fn run(args: &args::TestCertificates) -> Result<Answer, Failure> {
    let folder = &args.folder;
    if let Some((name, _)) =
        FILES.iter().find(|(name, _)| folder.join(name).symlink_metadata().is_ok())
    {
        let hint = "to make new ones, remove ca.crt, server.crt and server.key";
        return Err(Failure::new(format!(
            "{}: is there already ({hint})",
            shown(&folder.join(name))
        )));
    }
    let names = names(&args.names)?;
    let made = Made::new(names, args.days)
        .map_err(|error| Failure::new(format!("certificates: cannot be made: {error}")))?;
    for ((name, mode), content) in FILES.into_iter().zip([made.authority, made.server, made.key]) {
        write(&folder.join(name), mode, content.as_bytes())?;
    }
    if !args.say.quiet {
        say(format_args!(
            "made ca.crt, server.crt and server.key in {}, for {}, valid for {} days",
            shown(folder),
            Harmless(args.names.join(", ")),
            args.days
        ));
    }
    Ok(Answer::Yes)
}

fn write(path: &Path, mode: u32, content: &[u8]) -> Result<(), Failure> {
    let made = OpenOptions::new().write(true).create_new(true).mode(mode).open(path);
    made.and_then(|mut file: File| file.write_all(content).and_then(|()| file.sync_all()))
        .map_err(|error| Failure::new(format!("{}: cannot be written: {error}", shown(path))))
}

/// The names of a server, as a certificate has them.
fn names(given: &[String]) -> Result<Vec<GeneralName>, Failure> {
    given.iter().map(|name| self::name(name)).collect()
}

fn name(given: &str) -> Result<GeneralName, Failure> {
    let octets = |address: IpAddr| match address {
        IpAddr::V4(address) => OctetString::new(address.octets()),
        IpAddr::V6(address) => OctetString::new(address.octets()),
    };
    let is_host = |text: &str| {
        let is_label = |label: &str| {
            (1..=63).contains(&label.len())
                && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
        };
        text.len() <= 253 && text.strip_prefix("*.").unwrap_or(text).split('.').all(is_label)
    };
    let made = match given.parse() {
        Ok(address) => octets(address).map(GeneralName::IpAddress).ok(),
        Err(_) if is_host(given) => Ia5String::new(given).map(GeneralName::DnsName).ok(),
        Err(_) => None,
    };
    made.ok_or_else(|| {
        let expected = "expected a host name or an address";
        Failure::new(format!("NAME: {expected}, found {}", Harmless(given)))
    })
}

/// What the files hold, in PEM.
struct Made {
    authority: Zeroizing<String>,
    server: Zeroizing<String>,
    key: Zeroizing<String>,
}

/// Why something could not be made. It cannot fail but for lack of randomness.
type Problem = Box<dyn std::error::Error>;

impl Made {
    fn new(names: Vec<GeneralName>, days: u16) -> Result<Self, Problem> {
        let validity = validity(days)?;
        let (authority, server) = (Key::new()?, Key::new()?);
        let issuer = Name::from_str("CN=Test authority of mosquitto-iotda-auth")?;
        let (authority_id, server_id) = (authority.id()?, server.id()?);
        let subject = Name::from_str("CN=Test broker of mosquitto-iotda-auth")?;
        let own = [
            extension(&BasicConstraints { ca: true, path_len_constraint: Some(0) }, &issuer)?,
            extension(&KeyUsage(FlagSet::from(KeyUsages::KeyCertSign)), &issuer)?,
            extension(&authority_id, &issuer)?,
        ];
        let of_server = [
            extension(&BasicConstraints { ca: false, path_len_constraint: None }, &subject)?,
            extension(&KeyUsage(FlagSet::from(KeyUsages::DigitalSignature)), &subject)?,
            extension(&ExtendedKeyUsage(vec![SERVER]), &subject)?,
            extension(&SubjectAltName(names), &subject)?,
            extension(&server_id, &subject)?,
            extension(
                &AuthorityKeyIdentifier {
                    key_identifier: Some(authority_id.0),
                    authority_cert_issuer: None,
                    authority_cert_serial_number: None,
                },
                &subject,
            )?,
        ];
        Ok(Self {
            authority: authority.certify(&authority, &issuer, &issuer, validity, own.into())?,
            server: authority.certify(&server, &issuer, &subject, validity, of_server.into())?,
            key: encode_string("PRIVATE KEY", LineEnding::LF, &server.pkcs8)
                .map_err(said("no PEM"))?
                .into(),
        })
    }
}

fn extension(extension: &impl AsExtension, subject: &Name) -> Result<Extension, Problem> {
    Ok(extension.to_extension(subject, &[])?)
}

fn validity(days: u16) -> Result<Validity, Problem> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH)?;
    let time = |at: Duration| -> Result<Time, Problem> {
        Ok(if at < YEAR_2050 {
            Time::UtcTime(UtcTime::from_unix_duration(at)?)
        } else {
            Time::GeneralTime(GeneralizedTime::from_unix_duration(at)?)
        })
    };
    let days = DAY.saturating_mul(days.into());
    Ok(Validity {
        not_before: time(now.saturating_sub(BEFORE))?,
        not_after: time(now.saturating_add(days))?,
    })
}

/// A key of the curve P-256, which TLS libraries of devices know.
struct Key {
    pkcs8: Zeroizing<Vec<u8>>,
    pair: EcdsaKeyPair,
    random: SystemRandom,
}

impl Key {
    fn new() -> Result<Self, Problem> {
        let algorithm = &ECDSA_P256_SHA256_ASN1_SIGNING;
        let random = SystemRandom::new();
        let unspecified = said("no randomness");
        let pkcs8 = EcdsaKeyPair::generate_pkcs8(algorithm, &random).map_err(&unspecified)?;
        let pkcs8 = Zeroizing::new(pkcs8.as_ref().to_vec());
        let pair = EcdsaKeyPair::from_pkcs8(algorithm, &pkcs8, &random).map_err(said("no key"))?;
        Ok(Self { pkcs8, pair, random })
    }

    fn public(&self) -> &[u8] {
        self.pair.public_key().as_ref()
    }

    /// What certificates call the key: RFC 5280, 4.2.1.2, the first way.
    fn id(&self) -> Result<SubjectKeyIdentifier, Problem> {
        Ok(SubjectKeyIdentifier(OctetString::new(Sha1::digest(self.public()).as_slice())?))
    }

    /// Signs a certificate, in PEM, with this key.
    fn certify(
        &self,
        key: &Self,
        issuer: &Name,
        subject: &Name,
        validity: Validity,
        extensions: Vec<Extension>,
    ) -> Result<Zeroizing<String>, Problem> {
        let signature = AlgorithmIdentifierOwned { oid: ECDSA_WITH_SHA256, parameters: None };
        let tbs_certificate = TbsCertificate {
            version: Version::V3,
            serial_number: serial_number(&key.random)?,
            signature: signature.clone(),
            issuer: issuer.clone(),
            validity,
            subject: subject.clone(),
            subject_public_key_info: SubjectPublicKeyInfoOwned {
                algorithm: AlgorithmIdentifierOwned {
                    oid: EC_PUBLIC_KEY,
                    parameters: Some(x509_cert::der::Any::from_der(&P256.to_der()?)?),
                },
                subject_public_key: BitString::from_bytes(key.public())?,
            },
            issuer_unique_id: None,
            subject_unique_id: None,
            extensions: Some(extensions),
        };
        let signed = self
            .pair
            .sign(&self.random, &tbs_certificate.to_der()?)
            .map_err(said("no signature"))?;
        let certificate = Certificate {
            tbs_certificate,
            signature_algorithm: signature,
            signature: BitString::from_bytes(signed.as_ref())?,
        };
        Ok(certificate.to_pem(LineEnding::LF)?.into())
    }
}

/// A random number: an authority that is made again has the same name, and must not give the same number twice.
fn serial_number(random: &SystemRandom) -> Result<SerialNumber, Problem> {
    let bytes: [u8; 16] = ring::rand::generate(random).map_err(said("no randomness"))?.expose();
    // A number below zero, or with a zero in front, is none.
    let mut bytes = bytes;
    if let Some(first) = bytes.first_mut() {
        *first = *first & 0x7F | 0x40;
    }
    Ok(SerialNumber::new(&bytes)?)
}

/// ring's errors say nothing.
fn said<E: Display>(what: &'static str) -> impl Fn(E) -> Problem {
    move |error| format!("{what}: {error}").into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_hosts_or_addresses() {
        for good in [
            "localhost",
            "broker",
            "mqtt.example.com",
            "*.example.com",
            "127.0.0.1",
            "::1",
            "a_b-c",
        ] {
            assert!(name(good).is_ok(), "{good}");
        }
        for wrong in [
            "",
            "a b",
            "http://broker",
            "broker:1883",
            "a..b",
            ".",
            "[::1]",
            "b\u{f6}se",
            "a\x1b[31m",
        ] {
            let told = name(wrong).err().unwrap().to_string();
            assert!(told.starts_with("NAME: expected a host name or an address, found "), "{told}");
            assert!(!told.contains('\x1b'));
        }
        assert!(name(&"a".repeat(64)).is_err());
    }

    #[test]
    fn a_time_may_lie_behind_2050() {
        let validity = validity(u16::MAX).unwrap();
        assert!(matches!(validity.not_after, Time::GeneralTime(_)));
        assert!(matches!(validity.not_before, Time::UtcTime(_)));
    }
}
