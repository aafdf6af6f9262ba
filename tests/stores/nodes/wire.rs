//! A wire to a server that can be cut: as a whole, or that of those who listen alone.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// What somebody sends who wants to be told of changes.
const LISTENING: [&[u8]; 2] = [b"LISTEN", b"TRACKING"];

/// A wire; connections over it end with this value's runtime.
pub struct Wire {
    pub address: SocketAddr,
    deaf: Arc<AtomicBool>,
    /// Before which connection those stand that hear nothing any more.
    silent: Arc<AtomicUsize>,
    connections: Arc<AtomicUsize>,
}

impl Wire {
    /// Lays a wire to a port of this machine.
    pub async fn to(port: u16) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let deaf = Arc::<AtomicBool>::default();
        let (silent, connections) = (Arc::<AtomicUsize>::default(), Arc::<AtomicUsize>::default());
        let (cut, hush, count) = (Arc::clone(&deaf), Arc::clone(&silent), Arc::clone(&connections));
        tokio::spawn(async move {
            while let Ok((near, _)) = listener.accept().await {
                if let Ok(far) = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await {
                    let number = count.fetch_add(1, Ordering::SeqCst);
                    let (cut, hush) = (Arc::clone(&cut), Arc::clone(&hush));
                    let is_cut =
                        move |listens| number < hush.load(Ordering::SeqCst) || (listens && cut.load(Ordering::SeqCst));
                    tokio::spawn(carry(near, far, is_cut));
                }
            }
        });
        Self { address, deaf, silent, connections }
    }

    /// From now on, no connection that there is hears anything, and new ones do: as after a machine that routes was changed.
    pub fn silence(&self) {
        self.silent.store(self.connections.load(Ordering::SeqCst), Ordering::SeqCst);
    }

    /// From now on, who listens hears nothing, and is not told that either.
    pub fn deafen(&self) {
        self.deaf.store(true, Ordering::SeqCst);
    }
}

async fn carry(near: TcpStream, far: TcpStream, is_cut: impl Fn(bool) -> bool) {
    let listens = Arc::<AtomicBool>::default();
    let noted = Arc::clone(&listens);
    let (mut from_near, mut to_near) = near.into_split();
    let (mut from_far, mut to_far) = far.into_split();
    let there = async {
        let mut bytes = vec![0; 64 * 1024];
        while let Ok(count @ 1..) = from_near.read(&mut bytes).await {
            let is_listening =
                LISTENING.iter().any(|word| bytes[..count].windows(word.len()).any(|part| part == *word));
            noted.fetch_or(is_listening, Ordering::SeqCst);
            if to_far.write_all(&bytes[..count]).await.is_err() {
                return;
            }
        }
    };
    let back = async {
        let mut bytes = vec![0; 64 * 1024];
        while let Ok(count @ 1..) = from_far.read(&mut bytes).await {
            if is_cut(listens.load(Ordering::SeqCst)) {
                continue;
            }
            if to_near.write_all(&bytes[..count]).await.is_err() {
                return;
            }
        }
    };
    tokio::select! { () = there => {}, () = back => {} }
}
