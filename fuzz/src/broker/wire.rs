//! Connections on the loopback interface, for what is sent on them, or must not be.

use std::{
    io::{ErrorKind, Read, Write},
    net::{TcpListener, TcpStream},
    os::{fd::AsRawFd, unix::net::UnixStream},
    time::Duration,
};

/// A listener, and connections on which nothing may ever be sent.
pub struct Wire {
    listener: TcpListener,
    /// On which nothing has been received: a client that has not spoken yet.
    quiet: (TcpStream, TcpStream),
    /// One that is no TCP connection.
    local: (UnixStream, UnixStream),
}

/// A connection whose client has sent its first packet.
pub struct Call {
    client: TcpStream,
    server: TcpStream,
}

impl Wire {
    #[allow(clippy::new_without_default)] // it is more than a value
    pub fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let quiet = connect(&listener);
        let local = UnixStream::pair().expect("two ends");
        quiet.0.set_nonblocking(true).expect("a socket");
        local.0.set_nonblocking(true).expect("a socket");
        Self { listener, quiet, local }
    }

    pub fn port(&self) -> u16 {
        self.listener.local_addr().expect("an address").port()
    }

    /// Numbers that are no client's socket.
    pub fn wrong_numbers(&self) -> [i32; 8] {
        let (listener, quiet) = (self.listener.as_raw_fd(), self.quiet.1.as_raw_fd());
        [-1, 0, i32::MIN, i32::MAX, 1_000_000, listener, quiet, self.local.1.as_raw_fd()]
    }

    /// Numbers that are open or may be, and nobody's connection from elsewhere.
    pub fn sockets(&self) -> [i32; 4] {
        let (listener, quiet) = (self.listener.as_raw_fd(), self.quiet.1.as_raw_fd());
        [1_000_000, quiet, listener, self.local.1.as_raw_fd()]
    }

    /// Whether this is the number of a connection from the loopback interface.
    pub fn is_connection(&self, number: i32) -> bool {
        number == self.quiet.1.as_raw_fd()
    }

    pub fn dial(&self) -> Call {
        let (mut client, server) = connect(&self.listener);
        client.write_all(&[0x10, 0x10]).expect("a peer");
        client.set_read_timeout(Some(Duration::from_secs(5))).expect("a socket");
        let mut packet = [0; 2];
        while server.peek(&mut packet).expect("a peer") < packet.len() {}
        Call { client, server }
    }

    /// Whether nothing has been sent where nothing may be.
    pub fn is_silent(&mut self) -> bool {
        let silent = |result: std::io::Result<usize>| {
            result.is_err_and(|error| error.kind() == ErrorKind::WouldBlock)
        };
        let mut place = [0];
        silent(self.quiet.0.read(&mut place)) && silent(self.local.0.read(&mut place))
    }
}

fn connect(listener: &TcpListener) -> (TcpStream, TcpStream) {
    let client = TcpStream::connect(listener.local_addr().expect("an address")).expect("a peer");
    (client, listener.accept().expect("a peer").0)
}

impl Call {
    /// The server's end.
    pub fn number(&self) -> i32 {
        self.server.as_raw_fd()
    }

    /// What the client receives until the server's end is shut.
    pub fn received(&mut self) -> Vec<u8> {
        let mut bytes = Vec::new();
        self.client.read_to_end(&mut bytes).expect("an end within seconds");
        bytes
    }

    /// Whether the client has received nothing, and no end either.
    pub fn is_silent(&mut self) -> bool {
        self.client.set_nonblocking(true).expect("a socket");
        let result = self.client.read(&mut [0]);
        result.is_err_and(|error| error.kind() == ErrorKind::WouldBlock)
    }
}
