//! A wire to a server that can be cut: as a whole, or that of those who listen alone.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// What somebody sends who wants to be told of changes.
const LISTENING: [&[u8]; 2] = [b"LISTEN", b"TRACKING"];

/// A wire; connections over it end with this value's runtime.
pub struct Wire {
    pub address: SocketAddr,
    deaf: Arc<AtomicBool>,
}

impl Wire {
    /// Lays a wire to a port of this machine.
    pub async fn to(port: u16) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let deaf = Arc::<AtomicBool>::default();
        let cut = Arc::clone(&deaf);
        tokio::spawn(async move {
            while let Ok((near, _)) = listener.accept().await {
                if let Ok(far) = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await {
                    tokio::spawn(carry(near, far, Arc::clone(&cut)));
                }
            }
        });
        Self { address, deaf }
    }

    /// From now on, who listens hears nothing, and is not told that either.
    pub fn deafen(&self) {
        self.deaf.store(true, Ordering::SeqCst);
    }
}

async fn carry(near: TcpStream, far: TcpStream, deaf: Arc<AtomicBool>) {
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
            if deaf.load(Ordering::SeqCst) && listens.load(Ordering::SeqCst) {
                continue;
            }
            if to_near.write_all(&bytes[..count]).await.is_err() {
                return;
            }
        }
    };
    tokio::select! { () = there => {}, () = back => {} }
}
