//! Where is the broker, as the command line says?

use super::{
    Target,
    tls::{Identity, Tls},
};
use crate::{args, terminal::Failure};
use std::net::IpAddr;

/// The usual ports, without and with TLS.
const PORTS: [u16; 2] = [1883, 8883];

impl args::Broker {
    /// The broker. It is spoken to over TLS if anything was said of TLS.
    pub(crate) fn target(&self, identity: Option<Identity<'_>>) -> Result<Target, Failure> {
        let host = self.host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
        let host = host.unwrap_or(&self.host).to_owned();
        let is_address = host.parse::<IpAddr>().is_ok();
        if host.is_empty() || (!is_address && host.contains(['/', ':', '@', ' '])) {
            let expected = "expected a name or an address alone, and the port with --port";
            return Err(Failure::new(format!("--host: {expected}, found something else")));
        }
        let speaks_tls =
            self.tls || self.cafile.is_some() || self.tls_name.is_some() || identity.is_some();
        let tls = if speaks_tls {
            let name = self.tls_name.as_deref().unwrap_or(&host);
            Some(Tls::new(self.cafile.as_deref(), name, identity)?)
        } else {
            None
        };
        let [plain_port, tls_port] = PORTS;
        let port = self.port.unwrap_or(if speaks_tls { tls_port } else { plain_port });
        Ok(Target { host, port, tls })
    }
}
