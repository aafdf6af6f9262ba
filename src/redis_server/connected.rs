//! A server that stores use together.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use redis::{Cmd, FromRedisValue, Script};

use super::RedisServer;
use super::barrier::Barrier;
use super::health::{Assurance, Health};
use super::link::{Link, Question};
use crate::{Durability, StoreError, events};

pub(crate) struct Connected {
    server: RedisServer,
    link: Arc<Link>,
    barrier: Barrier,
    volatile: AtomicBool,
    warned: AtomicBool,
}

impl Connected {
    /// Connects once, so that what is set up wrongly is found out at start.
    pub(crate) async fn to(server: RedisServer) -> Result<Arc<Self>, StoreError> {
        let client = server.client()?;
        let link = Link::new(client.clone(), &server);
        // One connection writes and waits; which process that was with is compared each time.
        let for_good = server.clone().check_every(Duration::MAX);
        let barrier = Barrier::new(Link::new(client, &for_good), server.key(format_args!("written")));
        let (volatile, warned) = (AtomicBool::new(false), AtomicBool::new(false));
        let connected = Self { server, link, barrier, volatile, warned };
        let live = connected.link.live().await?;
        connected.learn(&live.health);
        Ok(Arc::new(connected))
    }

    pub(crate) const fn server(&self) -> &RedisServer {
        &self.server
    }

    pub(crate) fn key(&self, name: std::fmt::Arguments<'_>) -> String {
        self.server.key(name)
    }

    /// Asks something that changes nothing, or nothing that has to last.
    pub(crate) async fn query<T: FromRedisValue>(&self, command: &Cmd) -> Result<T, StoreError> {
        let (answer, health) = self.link.ask(Question::Command(command), Duration::ZERO).await?;
        self.learn(&health);
        Ok(answer)
    }

    /// Runs a script whose changes need not last.
    pub(crate) async fn run<T: FromRedisValue>(
        &self,
        script: &Script,
        keys: &[String],
        arguments: &[Vec<u8>],
    ) -> Result<T, StoreError> {
        self.change(script, keys, arguments).await.map(|(answer, _)| answer)
    }

    /// Runs a script; what it has changed lasts after [`Change::settle`].
    pub(crate) async fn change<T: FromRedisValue>(
        &self,
        script: &Script,
        keys: &[String],
        arguments: &[Vec<u8>],
    ) -> Result<(T, Change<'_>), StoreError> {
        let question = Question::Script(script, keys, arguments);
        // Ten thousand records take their time.
        let more = Duration::from_millis(arguments.len() as u64 / 4);
        let (answer, health) = self.link.ask(question, more).await?;
        self.learn(&health);
        Ok((answer, Change { connected: self, health }))
    }

    pub(crate) fn durability(&self) -> Durability {
        match self.volatile.load(Ordering::Relaxed) {
            true => Durability::Volatile,
            false => Durability::Durable,
        }
    }

    pub(crate) fn close(&self) {
        self.link.close();
        self.barrier.close();
    }

    fn learn(&self, health: &Health) {
        let Assurance::None(why) = health.assurance else {
            return self.volatile.store(false, Ordering::Relaxed);
        };
        self.volatile.store(true, Ordering::Relaxed);
        if !self.warned.swap(true, Ordering::Relaxed) {
            events::store_volatile("redis", why);
        }
    }
}

/// A change that was made.
#[must_use = "it may be lost in a crash until it is settled"]
pub(crate) struct Change<'a> {
    connected: &'a Connected,
    health: Arc<Health>,
}

impl Change<'_> {
    /// Waits until the change is on the disk, as far as the server can tell.
    ///
    /// # Errors
    ///
    /// [`StoreError::Unavailable`]: the change was made, and may be lost in a crash.
    pub(crate) async fn settle(self) -> Result<(), StoreError> {
        match self.health.assurance {
            Assurance::Wait => self.connected.barrier.pass(&self.health.run_id).await,
            Assurance::Always | Assurance::None(_) => Ok(()),
        }
    }
}
