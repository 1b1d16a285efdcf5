//! MQTT over a WebSocket, spoken by tungstenite.

use super::transport::{local, tcp};
use std::{
    io::{self, ErrorKind, Read, Write},
    net::TcpStream,
};
use tungstenite::{
    ClientRequestBuilder, Error, Message, client,
    client::IntoClientRequest,
    error::ProtocolError,
    handshake::client::generate_request,
    protocol::frame::{
        Frame, FrameHeader,
        coding::{Data, OpCode},
    },
};

/// Each write is one binary message; reads give the contents of the messages, one after another.
pub struct WebSocket {
    socket: tungstenite::WebSocket<Uninterrupted>,
    unread: Vec<u8>,
}

pub fn web_socket(port: u16) -> WebSocket {
    web_socket_with(port, &[])
}

/// A WebSocket whose request has additional headers, as names and values.
pub fn web_socket_with(port: u16, headers: &[(&str, &str)]) -> WebSocket {
    web_socket_over(tcp(local(port)), headers)
}

/// A WebSocket over an existing connection.
pub fn web_socket_over(stream: TcpStream, headers: &[(&str, &str)]) -> WebSocket {
    let (socket, _) =
        client(request(headers), Uninterrupted(stream)).expect("the broker takes the upgrade");
    WebSocket { socket, unread: Vec::new() }
}

/// The bytes of an upgrade and, right after it, of a message, which a client should not send before the answer.
pub fn upgrade_and(message: &[u8]) -> Vec<u8> {
    let request = request(&[]).into_client_request().unwrap();
    let (mut bytes, _) = generate_request(request).unwrap();
    let header = FrameHeader {
        opcode: OpCode::Data(Data::Binary),
        mask: Some([0xA5, 0x5A, 0x3C, 0xC3]),
        ..FrameHeader::default()
    };
    Frame::from_payload(header, message.to_vec().into()).format(&mut bytes).unwrap();
    bytes
}

fn request(headers: &[(&str, &str)]) -> ClientRequestBuilder {
    let uri = "ws://127.0.0.1/mqtt".parse().unwrap();
    let request = ClientRequestBuilder::new(uri).with_sub_protocol("mqtt");
    headers.iter().fold(request, |request, (name, value)| request.with_header(*name, *value))
}

/// Goes on after a signal, as std's loops do and tungstenite does not.
struct Uninterrupted(TcpStream);

fn uninterrupted<T>(mut call: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    loop {
        match call() {
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            result => return result,
        }
    }
}

impl Read for Uninterrupted {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        uninterrupted(|| self.0.read(buffer))
    }
}

impl Write for Uninterrupted {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        uninterrupted(|| self.0.write(bytes))
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

impl Write for WebSocket {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.socket.send(Message::binary(bytes.to_vec())).map_err(io::Error::other)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.socket.flush().map_err(io::Error::other)
    }
}

impl Read for WebSocket {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.unread.is_empty() {
            match self.socket.read() {
                Ok(Message::Binary(bytes)) => self.unread = bytes.into(),
                Ok(Message::Ping(_) | Message::Pong(_)) => {}
                Ok(Message::Close(_)) => return Ok(0),
                Err(Error::ConnectionClosed | Error::AlreadyClosed) => return Ok(0),
                Err(Error::Protocol(ProtocolError::ResetWithoutClosingHandshake)) => return Ok(0),
                Err(Error::Io(error)) => return Err(error),
                other => panic!("expected a binary message, found {other:?}"),
            }
        }
        let count = buffer.len().min(self.unread.len());
        buffer[..count].copy_from_slice(&self.unread[..count]);
        self.unread.drain(..count);
        Ok(count)
    }
}
