//! What a client sends: the right login of a device, or nearly that.

use crate::{
    input::Input,
    secrets::{CERTIFICATES, is_certificate_of},
};
use iotda_core::login::{Connect, Kind, Refusal, verify::Detail};
use reference_model::{
    ReferenceClientId, ReferenceDevice, ReferenceFile, ReferenceProof, reference_client_id,
    reference_hmac, reference_password, reference_shape,
};

/// A CONNECT, and the certificate that came before it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sent {
    pub client_id: Option<Vec<u8>>,
    pub username: Option<Vec<u8>>,
    pub password: Option<Vec<u8>>,
    pub certificate: Option<Vec<u8>>,
    pub keep_alive: u16,
}

/// The password that a secret makes, in one go.
pub fn password(sign_digit: u8, stamp: &[u8], secret: &[u8]) -> String {
    reference_hmac(sign_digit, stamp, secret)
}

impl Sent {
    /// The same for the crate.
    pub fn connect(&self) -> Connect<'_> {
        Connect {
            client_id: self.client_id.as_deref(),
            username: self.username.as_deref(),
            password: self.password.as_deref(),
            certificate: self.certificate.as_deref(),
            keep_alive: self.keep_alive,
        }
    }

    /// What is told of a refusal: the detail of the check, or what the ClientId or password is recognised as.
    pub fn told(&self, reason: &str, detail: &Detail, devices: &ReferenceFile) -> Detail {
        let client_id = self.client_id.as_deref().unwrap_or_default();
        let (reason, field, id) = match reason {
            "bad_client_id" => {
                let id = reference_shape(client_id, self.username.as_deref());
                (Refusal::BadClientId, "shape", id)
            }
            "wrong_password" => {
                let ReferenceClientId::Device { device_id, .. } = reference_client_id(client_id)
                else {
                    panic!("{self:?}")
                };
                let Some(ReferenceProof::Secrets(secrets)) =
                    devices.get(device_id).map(|device| &device.proof)
                else {
                    panic!("{self:?}")
                };
                let id = reference_password(client_id, self.password.as_deref(), secrets);
                (Refusal::WrongPassword, "password", id)
            }
            _ => return *detail,
        };
        Detail::Kind(Kind::from_id(reason, field, id).expect("a kind"))
    }

    /// A login of one of the devices, and the timestamp that it is signed with.
    pub fn choose(input: &mut Input<'_>, devices: &ReferenceFile) -> (Self, Vec<u8>) {
        let which = usize::from(input.byte());
        let (device_id, device) = match devices.iter().nth(which % (devices.len() + 1)) {
            Some((id, device)) => (id.clone(), Some(device)),
            None => (input.text_or(b"64a1f0c2_nobody"), None),
        };
        let sign_digit = match input.byte() {
            few @ 0..=3 => b'0' + few,
            any => any,
        };
        let stamp = input.text_or(b"2026112209");
        let sent = Self {
            client_id: client_id(input, &device_id, sign_digit, &stamp),
            username: username(input, &device_id),
            password: sent_password(input, device, sign_digit, &stamp),
            certificate: certificate(input, device),
            keep_alive: match input.byte() {
                0 => 120,
                1 => input.short(),
                near => [0, 1, 29, 30, 31, 1199, 1200, 1201, 65_535][usize::from(near) % 9],
            },
        };
        (sent, stamp)
    }
}

fn client_id(input: &mut Input<'_>, device_id: &[u8], sign: u8, stamp: &[u8]) -> Option<Vec<u8>> {
    let mut text = [device_id, b"_0_", &[sign], b"_", stamp].concat();
    match input.below(12) {
        0 | 1 | 6 => {}
        2 | 8 => input.edit(&mut text),
        3 => text = input.text().to_vec(),
        4 => text = device_id.to_vec(),
        7 => text = [b"\"".as_slice(), &text, b"\" "].concat(),
        9 => text = [&text, input.text()].concat(),
        10 => text.iter_mut().filter(|byte| **byte == b'_').for_each(|byte| *byte = b'-'),
        11 => text = [device_id, b"_", input.text(), b"_", &[sign], b"_", stamp].concat(),
        _ => return None,
    }
    Some(text)
}

fn username(input: &mut Input<'_>, device_id: &[u8]) -> Option<Vec<u8>> {
    let mut text = device_id.to_vec();
    match input.below(5) {
        0 | 1 => {}
        2 => input.edit(&mut text),
        3 => text = input.text().to_vec(),
        _ => return None,
    }
    Some(text)
}

fn sent_password(
    input: &mut Input<'_>,
    device: Option<&ReferenceDevice>,
    sign_digit: u8,
    stamp: &[u8],
) -> Option<Vec<u8>> {
    let secrets: &[Vec<u8>] = match device.map(|device| &device.proof) {
        Some(ReferenceProof::Secrets(secrets)) => secrets,
        _ => &[],
    };
    let first = secrets.first().map_or(b"".as_slice(), Vec::as_slice);
    let last = secrets.last().map_or(b"".as_slice(), Vec::as_slice);
    let mut text = password(sign_digit, stamp, first);
    match input.below(16) {
        0 | 8 => {}
        1 => text = password(sign_digit, stamp, last),
        2 => {
            let mut bytes = text.into_bytes();
            input.edit(&mut bytes);
            return Some(bytes);
        }
        3 => return Some(input.text().to_vec()),
        4 => return None,
        5 => text = password(if sign_digit == b'2' { b'0' } else { b'2' }, stamp, first),
        6 => text.make_ascii_uppercase(),
        9 => text = reference_hmac(sign_digit, last, stamp),
        10 => return Some(last.to_vec()),
        11 => text = format!("\"{text}\""),
        12 => text = format!(" {text}\r\n"),
        13 => text.truncate(usize::from(input.below(65))),
        14 => text = format!("{text}{}", char::from(input.below(128))),
        _ => text = password(sign_digit, &input.text_or(b"2026112210"), first),
    }
    Some(text.into_bytes())
}

fn certificate(input: &mut Input<'_>, device: Option<&ReferenceDevice>) -> Option<Vec<u8>> {
    let own = |der: &&&[u8]| device.is_some_and(|device| is_certificate_of(der, &device.proof));
    match input.below(4) {
        0 => CERTIFICATES.iter().find(own).map(|der| der.to_vec()),
        1 => Some(input.pick(CERTIFICATES).to_vec()),
        2 => Some(input.text().to_vec()),
        _ => None,
    }
}
