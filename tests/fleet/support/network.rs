//! A network between the follower and the database that can be cut.

use std::{
    io::{ErrorKind, Read, Write},
    net::{Ipv4Addr, Shutdown, TcpListener, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicI64, AtomicU32, Ordering},
    },
    thread,
    time::Duration,
};

/// What happens to what is sent.
#[derive(Debug, Default)]
struct State {
    /// Nothing passes, and nobody is told.
    is_silent: AtomicBool,
    /// New connections are closed at once.
    is_closed: AtomicBool,
    /// All connections with a number below this are closed.
    closed_below: AtomicU32,
    /// How many bytes of the database may still pass, of all connections; then it is cut.
    budget: AtomicI64,
    /// Whether the cut is a silence, and not a close.
    cuts_in_silence: AtomicBool,
    connections: AtomicU32,
    has_ended: AtomicBool,
}

/// The network: connections to its port are passed on.
pub struct Network {
    port: u16,
    state: Arc<State>,
}

impl Network {
    /// Passes all on to a port of this machine.
    #[must_use]
    pub fn to(target: u16) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let state = Arc::new(State { budget: AtomicI64::new(i64::MAX), ..State::default() });
        let network = Self { port, state: Arc::clone(&state) };
        thread::spawn(move || {
            for client in listener.incoming() {
                if state.has_ended.load(Ordering::Relaxed) {
                    return;
                }
                let Ok(client) = client else { continue };
                let number = state.connections.fetch_add(1, Ordering::Relaxed);
                if state.is_closed.load(Ordering::Relaxed) {
                    continue;
                }
                let Ok(server) = TcpStream::connect((Ipv4Addr::LOCALHOST, target)) else {
                    continue;
                };
                pass(&client, &server, number, &state, false);
                pass(&server, &client, number, &state, true);
            }
        });
        network
    }

    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// How many connections there have been.
    #[must_use]
    pub fn connections(&self) -> u32 {
        self.state.connections.load(Ordering::Relaxed)
    }

    /// Closes all connections; later ones are possible.
    pub fn close(&self) {
        let now = self.connections();
        self.state.closed_below.store(now, Ordering::Relaxed);
    }

    /// Closes all connections, and each that is tried.
    pub fn shut(&self) {
        self.state.is_closed.store(true, Ordering::Relaxed);
        self.close();
    }

    /// From now on nothing passes, and nobody is told.
    pub fn silence(&self) {
        self.state.is_silent.store(true, Ordering::Relaxed);
    }

    /// Cuts it after so many bytes of the database.
    pub fn cut_after(&self, bytes: i64, in_silence: bool) {
        self.state.cuts_in_silence.store(in_silence, Ordering::Relaxed);
        self.state.budget.store(bytes, Ordering::Relaxed);
    }

    /// Whether it was cut after a number of bytes.
    #[must_use]
    pub fn is_cut(&self) -> bool {
        self.state.budget.load(Ordering::Relaxed) <= 0
    }

    /// Goes on where it fell silent, with the same connections.
    pub fn resume(&self) {
        self.state.budget.store(i64::MAX, Ordering::Relaxed);
        self.state.is_silent.store(false, Ordering::Relaxed);
    }

    /// Ends all connections of before, and passes new ones.
    pub fn mend(&self) {
        self.close();
        self.state.budget.store(i64::MAX, Ordering::Relaxed);
        self.state.is_silent.store(false, Ordering::Relaxed);
        self.state.is_closed.store(false, Ordering::Relaxed);
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        self.state.has_ended.store(true, Ordering::Relaxed);
        self.close();
        let _ = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port));
    }
}

/// Passes on what comes in one direction, in small pieces.
fn pass(from: &TcpStream, to: &TcpStream, number: u32, state: &Arc<State>, is_answer: bool) {
    let (mut from, mut to) = (from.try_clone().unwrap(), to.try_clone().unwrap());
    let state = Arc::clone(state);
    from.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
    thread::spawn(move || {
        let mut buffer = vec![0; 1 << 15];
        loop {
            if state.closed_below.load(Ordering::Relaxed) > number {
                break;
            }
            if state.is_silent.load(Ordering::Relaxed) {
                thread::sleep(Duration::from_millis(5));
                continue;
            }
            let length = match from.read(&mut buffer) {
                Ok(0) => break,
                Ok(length) => length,
                Err(error)
                    if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) =>
                {
                    continue;
                }
                Err(_) => break,
            };
            let mut passed = length;
            if is_answer {
                let counted = i64::try_from(length).unwrap();
                let left = state.budget.fetch_sub(counted, Ordering::Relaxed);
                if left < counted {
                    passed = usize::try_from(left.max(0)).unwrap();
                }
            }
            if to.write_all(&buffer[..passed]).is_err() {
                break;
            }
            if passed < length {
                if !state.cuts_in_silence.load(Ordering::Relaxed) {
                    break;
                }
                state.is_silent.store(true, Ordering::Relaxed);
                let is_over = || state.closed_below.load(Ordering::Relaxed) > number;
                while state.is_silent.load(Ordering::Relaxed) && !is_over() {
                    thread::sleep(Duration::from_millis(2));
                }
                if is_over() || to.write_all(&buffer[passed..length]).is_err() {
                    break;
                }
            }
        }
        let _ = from.shutdown(Shutdown::Both);
        let _ = to.shutdown(Shutdown::Both);
    });
}
