//! A certificate authority for tests, and what it signs. openssl makes all of it.

use super::{c::text_of, scratch::Scratch};
use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

/// How openssl's own authority works; FOLDER is where it lives.
const CONFIGURATION: &str = "[ca]
default_ca = ours
[ours]
database = FOLDER/index.txt
new_certs_dir = FOLDER
serial = FOLDER/serial
crlnumber = FOLDER/crlnumber
default_md = sha256
default_days = 2
default_crl_days = 2
unique_subject = no
policy = any
[any]
commonName = supplied
[authority]
basicConstraints = critical,CA:TRUE
[device]
basicConstraints = CA:FALSE
[server]
basicConstraints = CA:FALSE
subjectAltName = DNS:localhost,IP:127.0.0.1
[elsewhere]
basicConstraints = CA:FALSE
subjectAltName = DNS:elsewhere.example
";

/// An authority.
pub struct Authority {
    folder: PathBuf,
    own: Issued,
}

/// A certificate and its key, as paths of PEM files.
#[derive(Clone)]
pub struct Issued {
    pub certificate: String,
    pub key: String,
}

fn openssl(folder: &Path, arguments: &[&str]) -> String {
    text_of(Command::new("openssl").current_dir(folder).args(arguments))
}

impl Authority {
    /// A self-signed authority.
    pub fn new(scratch: &Scratch, name: &str) -> Self {
        let folder = prepare(scratch, name);
        let own = Issued::at(&folder, name);
        let subject = format!("/CN={name}");
        let made = ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"];
        let rest = ["-nodes", "-days", "2", "-subj", &subject, "-keyout", &own.key];
        openssl(&folder, &[&made[..], &rest, &["-out", &own.certificate]].concat());
        Self { folder, own }
    }

    /// An authority that this one has signed.
    pub fn authority(&self, scratch: &Scratch, name: &str) -> Self {
        let folder = prepare(scratch, name);
        let own = Issued::at(&folder, name);
        self.sign(&own, name, &["-extensions", "authority"]);
        Self { folder, own }
    }

    /// A certificate that was issued for a name.
    pub fn issued(&self, name: &str) -> Issued {
        Issued::at(&self.folder, name)
    }

    /// A certificate for a name, good for a day or two.
    pub fn issue(&self, name: &str) -> Issued {
        let issued = self.issued(name);
        self.sign(&issued, name, &["-extensions", "device"]);
        issued
    }

    /// A certificate for a server on this machine, with the names in it that clients look at.
    pub fn issue_server(&self, name: &str) -> Issued {
        let issued = self.issued(name);
        self.sign(&issued, name, &["-extensions", "server"]);
        issued
    }

    /// A certificate for a server at elsewhere.example.
    pub fn issue_server_elsewhere(&self, name: &str) -> Issued {
        let issued = self.issued(name);
        self.sign(&issued, name, &["-extensions", "elsewhere"]);
        issued
    }

    /// An expired certificate, for a device or for a server on this machine.
    pub fn issue_expired(&self, name: &str) -> Issued {
        let issued = self.issued(name);
        let time = ["-startdate", "20200101000000Z", "-enddate", "20200201000000Z"];
        self.sign(&issued, name, &[&["-extensions", "server"][..], &time].concat());
        issued
    }

    /// Revokes a certificate; returns the path of the revocation list.
    pub fn revoke(&self, issued: &Issued) -> String {
        self.ca(&["-revoke", &issued.certificate]);
        let list = self.folder.join("revoked.pem").display().to_string();
        self.ca(&["-gencrl", "-out", &list]);
        list
    }

    /// The authority's own certificate.
    pub fn own(&self) -> &Issued {
        &self.own
    }

    fn sign(&self, issued: &Issued, name: &str, extra: &[&str]) {
        let request = format!("{}.request", issued.certificate);
        let subject = format!("/CN={name}");
        let made = ["req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"];
        let rest = ["-subj", &subject, "-keyout", &issued.key, "-out", &request];
        openssl(&self.folder, &[&made[..], &rest].concat());
        let signed = ["-batch", "-notext", "-in", &request, "-out", &issued.certificate];
        self.ca(&[&signed[..], extra].concat());
    }

    fn ca(&self, arguments: &[&str]) {
        let Issued { certificate, key } = &self.own;
        let own = ["ca", "-config", "openssl.cnf", "-cert", certificate, "-keyfile", key];
        openssl(&self.folder, &[&own[..], arguments].concat());
    }
}

fn prepare(scratch: &Scratch, name: &str) -> PathBuf {
    let folder = scratch.path().join(name);
    fs::create_dir(&folder).unwrap();
    let path = folder.display().to_string();
    for (file, content) in [
        ("openssl.cnf", CONFIGURATION.replace("FOLDER", &path)),
        ("index.txt", String::new()),
        ("serial", "01\n".into()),
        ("crlnumber", "01\n".into()),
    ] {
        fs::write(folder.join(file), content).unwrap();
    }
    folder
}

impl Issued {
    fn at(folder: &Path, name: &str) -> Self {
        let path = |end: &str| folder.join(format!("{name}.{end}")).display().to_string();
        Self { certificate: path("pem"), key: path("key") }
    }

    /// The fingerprint according to openssl, by `-sha1` or `-sha256`: hex digits without colons.
    pub fn fingerprint(&self, digest: &str) -> String {
        let arguments = ["x509", "-noout", "-fingerprint", digest, "-in", &self.certificate];
        let said = openssl(Path::new("."), &arguments);
        said.trim().split_once('=').expect("a fingerprint").1.replace(':', "")
    }

    /// The arguments with which openssl's client shows the certificate.
    pub fn shown(&self) -> [&str; 4] {
        ["-cert", &self.certificate, "-key", &self.key]
    }
}
